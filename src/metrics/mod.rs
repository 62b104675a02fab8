//! What happens, as metrics and log lines: one function for each event writes both.
//!
//! Takes events of the pipeline, gives the text that `/metrics` serves. Handles are made once, for the process
//! ([`Metrics`]), a lane ([`LaneMetrics`]) or a partition ([`PartitionMetrics`]), so that no label is formatted where
//! records flow. Log levels say who must act: ERROR a person, WARN nobody yet, INFO a state that changed, DEBUG each
//! block. Something that repeats in an outage is one line a minute and cause. Never logs a record's content.

mod account;
mod audit;
pub mod definitions;
mod lane;
mod partition;
mod process;
mod registry;
mod schemas;
mod throttle;

pub use account::{BatchTally, BlockAccount, Skip};
pub use audit::AuditMetrics;
pub use lane::{AlertCounter, InsertReport, LaneMetrics};
pub use partition::PartitionMetrics;
pub use process::Metrics;
pub use schemas::{RegistryReply, SchemaMetrics};
pub use throttle::{INTERVAL, Throttled};
