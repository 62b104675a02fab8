//! Exactly-once Kafka to ClickHouse sink connector.

pub mod admin;
pub mod block;
pub mod clickhouse;
pub mod clock;
pub mod dead_letter;
pub mod insert;
pub mod logging;
pub mod metrics;
pub mod protocol;
pub mod types;
