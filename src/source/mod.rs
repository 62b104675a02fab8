//! Consuming: batches of records of the partitions that the group hands to us.

mod asking;
mod cluster;
pub mod consumer;
pub mod group;
pub mod handle;
mod listing;
mod native;
pub mod observer;
mod partitions;
pub mod poll_loop;
mod reach;
mod record;
mod trouble;
pub mod unowned;

pub(crate) use cluster::{BrokerSettings, Coordinator, coordinator_obstacle};
pub use listing::ListedTopic;
pub(crate) use listing::{Lister, UNREADABLE};
pub use native::{Batch, Headers, KafkaFault, Message, StoredOffset, TopicIdentity};
pub(crate) use native::{TransactionError, send_offsets};
pub use record::OwnedRecord;
pub(crate) use trouble::Heard;
