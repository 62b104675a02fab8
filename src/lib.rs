//! Exactly-once Kafka to ClickHouse sink connector.

pub mod alerts;
pub mod block;
pub mod columns;
pub mod config;
pub mod decode;
pub mod protocol;
pub mod types;
