//! Tests on real parts, a file per promise: a real broker, a real engine, the connector as a process.
//!
//! With `KAFKA_BROKERS` and `CLICKHOUSE_URL` set they run against servers of the user's own, under fresh names, and
//! delete what they made; tests that kill a server are left out then, and say so.
#![expect(clippy::unwrap_used, reason = "the lint is lifted in test functions, but not in what they share")]

mod audit;
mod binary_formats;
mod brokers;
mod clickhouse_drain;
mod clickhouse_fence;
mod clickhouse_fixture;
mod clickhouse_ledger;
mod clickhouse_look;
mod clickhouse_pins;
mod clickhouse_profiles;
mod clickhouse_state;
mod clickhouse_target;
mod column_values;
mod columns;
mod commands;
mod crashes;
mod csv;
mod defaults;
mod drift;
mod failpoints;
mod faults;
mod formats;
mod group;
mod hostile;
mod kafka_addresses;
mod kafka_consumer;
mod kafka_errors;
mod kafka_queries;
mod kafka_support;
mod kafka_transactions;
mod markers;
mod names;
mod patterns;
mod records;
mod refusals;
mod registry;
mod routes;
mod rows;
mod runs;
mod secrets;
mod secure;
mod support;
mod texts;
mod topics;
mod unreadable;
mod values;
mod verify_contents;
mod versions;
