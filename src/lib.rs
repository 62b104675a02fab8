//! Exactly-once Kafka to ClickHouse sink connector.

pub mod alerts;
pub mod block;
pub mod config;
pub mod commit;
pub mod clickhouse;
pub mod insert;
pub mod clock;
pub mod metrics;
pub mod protocol;
pub mod source;
pub mod types;
pub mod columns;
pub mod decode;
pub mod columns;
pub mod config;
pub mod decode;
pub mod protocol;
pub mod types;
