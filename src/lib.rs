//! Exactly-once Kafka to ClickHouse sink connector.

pub mod admin;
pub mod alerts;
pub mod block;
pub mod cli;
pub mod clickhouse;
pub mod clock;
pub mod columns;
pub mod commit;
pub mod config;
pub mod dead_letter;
pub mod decode;
pub mod failpoint;
mod http;
pub mod insert;
pub mod ledger;
pub mod logging;
pub mod metrics;
pub mod ownership;
pub mod pipeline;
pub mod price;
pub mod protocol;
pub mod registry;
pub mod source;
pub mod types;
