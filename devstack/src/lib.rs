//! Local broker, ClickHouse engine and registry for demo, tests and benches.

mod broker;
mod cache;
mod folder;
mod process;
mod slot;
mod tls;

pub use broker::{Broker, BrokerOptions, SaslSsl};
pub use tls::PrivateCa;
