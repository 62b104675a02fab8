//! Committing: offsets, their metadata and alerts in Kafka transactions.

pub mod metadata;
mod outcome;
mod producer;
pub mod transactions;
