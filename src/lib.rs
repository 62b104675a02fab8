//! Exactly-once Kafka to ClickHouse sink connector.

pub mod block;
pub mod columns;
pub mod decode;
