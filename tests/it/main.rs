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
//! Tests against a real engine: a file per promise. With `CLICKHOUSE_URL` and `KAFKA_BROKERS` set they run against
//! servers of the user's own, in databases of their own, which they drop.

mod clickhouse_fixture;

mod clickhouse_drain;
mod clickhouse_fence;
mod clickhouse_ledger;
mod clickhouse_look;
mod clickhouse_pins;
mod clickhouse_state;
mod clickhouse_target;
