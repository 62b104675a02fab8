//! Exactly-once Kafka to ClickHouse sink connector.

pub mod protocol;
pub mod types;
