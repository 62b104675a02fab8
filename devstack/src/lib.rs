//! The local Kafka broker, ClickHouse engine and schema registry that demo, tests and benches run on.
//!
//! Everything listens on free ports of 127.0.0.1, keeps its data in a folder of its own, and ends with the process that
//! started it, however that ends. Software comes from package registries into a cache. The ClickHouse engine is
//! ClickHouse's own, embedded, behind our HTTP front; it is not clickhouse-server: README.md lists the differences.
//!
//! - [`Stack`]: one broker and one engine, or the servers that the environment names.
//! - [`Broker`], [`Engine`], [`Registry`]: single services, to be killed, paused and restarted.
//! - [`proxy`]: does to chosen HTTP requests what networks do.
//! - [`http`]: asks an engine.
//! - [`data`]: real data to demonstrate with.

mod broker;
mod cache;
pub mod data;
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
pub use tls::{Issued, PrivateCa};

/// Compiles the example in the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
