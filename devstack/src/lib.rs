//! Local broker, ClickHouse engine and registry for demo, tests and benches.

mod broker;
mod cache;
mod engine;
mod folder;
pub mod http;
mod process;
pub mod proxy;
mod registry;
mod slot;
mod stack;
mod tls;

pub use broker::{Broker, BrokerOptions, SaslSsl};
pub use engine::{Engine, EngineOptions, EngineVersion, Fault, FaultAction, FaultWhen};
pub use registry::Registry;
pub use stack::{CLICKHOUSE_URL, KAFKA_BROKERS, Stack, StackOptions};
pub use tls::PrivateCa;
