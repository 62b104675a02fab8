//! Exactly-once Kafka to ClickHouse sink connector.

pub mod clickhouse;
pub mod insert;
pub mod ledger;
pub mod ownership;
pub mod protocol;
pub mod types;
