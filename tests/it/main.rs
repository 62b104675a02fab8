//! Tests against real services, a file per promise.
#![expect(
    clippy::unwrap_used,
    reason = "the lint is lifted in test functions, but not in what they share"
)]

mod kafka_consumer;
mod kafka_errors;
mod kafka_queries;
mod kafka_support;
mod kafka_transactions;
