//! Exactly-once Kafka to ClickHouse sink connector.

pub mod block;
pub mod clock;
pub mod metrics;
pub mod protocol;
pub mod types;
