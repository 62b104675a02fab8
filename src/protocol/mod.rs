//! The exactly-once protocol: `step(state, event) -> (state, actions)`.
//!
//! Takes events, gives actions. It promises that, whatever the events and in whatever order they come, no unit is
//! inserted twice, no offset is committed above a unit that is not stored, and each alert is committed once. It does
//! no I/O, reads no clock, draws no random number, and knows neither Kafka's nor ClickHouse's client.

#![deny(clippy::wildcard_enum_match_arm, clippy::match_wildcard_for_single_variants)]

pub mod action;
pub mod block;
pub mod event;
#[cfg(feature = "failpoints")]
pub mod explore;
pub mod facts;
pub mod halt;
mod inserts;
pub mod planted;
pub mod resolve;
mod search;
pub mod state;
pub mod step;
mod takeover;
mod transactions;

pub use step::step;
