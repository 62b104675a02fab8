//! Exactly-once Kafka to ClickHouse sink connector.

pub mod block;
pub mod clock;
pub mod metrics;
pub mod clickhouse;
pub mod insert;
pub mod protocol;
pub mod types;
