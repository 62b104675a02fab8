//! What any thread may ask of the consumer: calls that wait for the cluster.
//!
//! Takes partitions and a timeout, gives what the cluster knows of them. Never changes anything, and never serves the
//! consumer: that is for the thread that owns it. Each call blocks for up to its timeout, so async code calls it from a
//! blocking thread.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::BaseConsumer;

use super::asking::Asking;
use super::group::{Assignments, GroupContext, LaneTopics};
use super::native::{self, KafkaFault, StoredOffset, TopicIdentity, WantedOffset};
use super::partitions::partitions;
use crate::types::{LaneId, Offset, OffsetRange, Partition, PartitionKey};

/// A shared handle of the consumer. While one exists the consumer is not closed.
#[derive(Clone)]
pub struct GroupHandle {
    pub(super) consumer: Arc<BaseConsumer<GroupContext>>,
    pub(super) asking: Arc<Asking>,
}

/// An answer of its own for each partition.
pub type PerPartition<T> = BTreeMap<PartitionKey, Result<T, KafkaFault>>;

impl GroupHandle {
    /// The assignment table.
    pub fn assignments(&self) -> &Assignments {
        &self.context().assignments
    }

    /// The group's offsets, with the bytes beside them; `None` where there is none. Waits for pending transactions on
    /// them: a timeout may mean that another worker's transaction is still open.
    pub fn committed(
        &self,
        keys: &[PartitionKey],
        timeout: Duration,
    ) -> Result<PerPartition<Option<StoredOffset>>, KafkaFault> {
        let found = native::committed_offsets(&self.consumer, &self.named(keys), timeout)
            .map_err(|fault| self.context().explained(fault))?;
        Ok(self.keyed(found))
    }

    /// The identity of a lane's topic now. Of others nothing is asked: one that may not be read any more is no trouble of
    /// this one.
    pub fn topic_identity(&self, lane: LaneId, timeout: Duration) -> Result<TopicIdentity, KafkaFault> {
        let topic = self.topic(lane);
        let mut found = native::topic_identities(self.asking.client(), &[topic], timeout)
            .map_err(|fault| self.asking.explained(fault))?;
        Ok(found.remove(topic).unwrap_or(TopicIdentity::Unknown))
    }

    /// The id of the cluster; `None` if it could not be learned in time. The consumer's own connection knows it first: a
    /// client that asks nothing makes none.
    pub fn cluster_id(&self, timeout: Duration) -> Option<String> {
        native::cluster_id(&self.consumer, timeout)
    }

    /// Why no broker answers, as far as a client that asks for one of our topics hears of it within the timeout.
    pub fn trouble(&self, timeout: Duration) -> Option<String> {
        let (_, topic) = self.topics().iter().next()?;
        let fault = partitions(self.asking.client(), topic, timeout).err()?;
        Some(self.asking.explained(fault).text)
    }

    /// From the oldest retained offset up to the high watermark. Two requests, each with this timeout.
    pub fn logs(&self, keys: &[PartitionKey], timeout: Duration) -> Result<PerPartition<OffsetRange>, KafkaFault> {
        let mut first = self.offsets(keys, WantedOffset::Earliest, timeout)?;
        let last = self.offsets(keys, WantedOffset::HighWatermark, timeout)?;
        Ok(last
            .into_iter()
            .filter_map(|(key, end)| {
                let range = match (first.remove(&key)?, end) {
                    (Ok(start), Ok(end)) => {
                        let start = start.unwrap_or(Offset::ZERO);
                        // Retention may move the start between the two requests, past an end that was read before.
                        Ok(OffsetRange::new(start, end.unwrap_or(start).max(start)))
                    }
                    (Err(fault), _) | (_, Err(fault)) => Err(fault),
                };
                Some((key, range))
            })
            .collect())
    }

    /// Where the logs end for a reader of committed data, and for everybody else. Two requests, each with this timeout.
    pub fn ends(&self, keys: &[PartitionKey], timeout: Duration) -> Result<PerPartition<(Offset, Offset)>, KafkaFault> {
        // The last stable offset first: it never seems to be above the end that is read after it.
        let mut stable = self.offsets(keys, WantedOffset::LastStable, timeout)?;
        let last = self.offsets(keys, WantedOffset::HighWatermark, timeout)?;
        let ends = last.into_iter().filter_map(|(key, end)| {
            let both = stable.remove(&key)?.and_then(|stable| {
                let stable = stable.unwrap_or(Offset::ZERO);
                Ok((stable, end?.unwrap_or(stable).max(stable)))
            });
            Some((key, both))
        });
        Ok(ends.collect())
    }

    /// The first offset whose record is at or after the time, in milliseconds since 1970; `None` if there is none yet.
    pub fn offsets_at(
        &self,
        keys: &[PartitionKey],
        time_ms: i64,
        timeout: Duration,
    ) -> Result<PerPartition<Option<Offset>>, KafkaFault> {
        self.offsets(keys, WantedOffset::AtTime(time_ms), timeout)
    }

    /// All topics.
    pub fn topic_names(&self) -> impl Iterator<Item = &str> {
        self.topics().iter().map(|(_, topic)| topic)
    }

    /// The topic of a lane.
    pub fn topic(&self, lane: LaneId) -> &str {
        self.topics().topic(lane)
    }

    fn offsets(
        &self,
        keys: &[PartitionKey],
        wanted: WantedOffset,
        timeout: Duration,
    ) -> Result<PerPartition<Option<Offset>>, KafkaFault> {
        let found = native::offsets_of_log(self.asking.client(), &self.named(keys), wanted, timeout)
            .map_err(|fault| self.asking.explained(fault))?;
        Ok(self.keyed(found))
    }

    fn named(&self, keys: &[PartitionKey]) -> Vec<(&str, Partition)> {
        keys.iter().map(|key| (self.topics().topic(key.lane), key.partition)).collect()
    }

    fn keyed<T>(&self, found: BTreeMap<(String, Partition), T>) -> BTreeMap<PartitionKey, T> {
        found
            .into_iter()
            .filter_map(|((topic, partition), value)| Some((self.topics().key(&topic, partition)?, value)))
            .collect()
    }

    pub(crate) fn topics(&self) -> &LaneTopics {
        &self.context().topics
    }

    /// The identity to send offsets under; `None` while the consumer is in no generation.
    pub(crate) fn identity(&self) -> Option<native::GroupIdentity> {
        native::GroupIdentity::of(&self.consumer)
    }

    fn context(&self) -> &Arc<GroupContext> {
        rdkafka::consumer::Consumer::context(&*self.consumer)
    }
}

impl std::fmt::Debug for GroupHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("GroupHandle")
    }
}
