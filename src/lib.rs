//! Exactly-once Kafka to ClickHouse sink connector.
pub mod config;
