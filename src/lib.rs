//! Exactly-once Kafka to ClickHouse sink connector.

pub mod alerts;
pub mod block;
pub mod clickhouse;
pub mod clock;
pub mod columns;
pub mod commit;
pub mod config;
pub mod decode;
pub mod insert;
pub mod metrics;
pub mod ledger;
pub mod ownership;
pub mod protocol;
pub mod source;
pub mod types;
