//! Tests against real services, a file per promise.

mod kafka_consumer;
mod kafka_errors;
mod kafka_queries;
mod kafka_support;
mod kafka_transactions;
