//! A client that looks at the cluster without being a member of the group: for commands, never for the connector.
//!
//! Takes the connector's Kafka settings, gives offsets, identities and, of chosen partitions, the records that a reader of
//! committed data sees. Never subscribes, so that it causes no rebalance; never commits. It uses the connector's group
//! name, because that is the one that the cluster's access rules know.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::topic_partition_list::{Offset as NativeOffset, TopicPartitionList};

use super::listing::{ListedTopic, topics, unreadable};
use super::native::{self, Batch, BatchQueue, KafkaFault, StoredOffset, TopicIdentity, WantedOffset};
use super::partitions::partitions;
use super::trouble::{Heard, is_silence};
use crate::config::KafkaSettings;
use crate::types::{Offset, OffsetRange, Partition};

/// What fetched records may take until they are read.
const QUEUED_KBYTES_MAX: &str = "65536";

/// How many events of the client are looked at after a failure: the reason is among the first.
const EVENTS_MAX: usize = 64;

/// A topic to ask for where it does not matter which.
const ANY_TOPIC: &str = "__consumer_offsets";

/// An answer of its own for each partition of a topic.
pub type ByPartition<T> = BTreeMap<Partition, Result<T, KafkaFault>>;

/// The client.
pub struct Observer {
    /// Destroyed before the consumer, which it keeps alive.
    queue: BatchQueue<Heard>,
    consumer: Arc<BaseConsumer<Heard>>,
    timeout: Duration,
}

/// Between two questions to a coordinator that is just being found.
const COORDINATOR_RETRY_INTERVAL: Duration = Duration::from_millis(100);

fn is_moving(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::NotCoordinator
            | RDKafkaErrorCode::CoordinatorNotAvailable
            | RDKafkaErrorCode::CoordinatorLoadInProgress
    )
}

impl Observer {
    /// Prepares the client; nothing is waited for. Each question waits for up to `timeout`.
    ///
    /// # Errors
    /// Where the client library refuses the settings.
    pub fn new(kafka: &KafkaSettings, group: &str, timeout: Duration) -> Result<Self, KafkaFault> {
        let mut config = ClientConfig::new();
        for (property, value) in kafka.consumer_properties() {
            config.set(property, value);
        }
        config
            .set("bootstrap.servers", &kafka.brokers)
            .set("group.id", group)
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "error")
            .set("isolation.level", "read_committed")
            .set("allow.auto.create.topics", "false")
            // The only sign that nothing comes any more. Positions, which this disturbs in batches, are not used.
            .set("enable.partition.eof", "true")
            // A fetch that waits for more at the end of one partition holds up the next one.
            .set("fetch.wait.max.ms", "20")
            .set("fetch.queue.backoff.ms", "5")
            // The bound on bytes counts contents only, while a record costs the library some 300 bytes besides: of small
            // records it is their number that bounds memory, for each partition.
            .set("fetch.message.max.bytes", "1048576")
            .set("queued.min.messages", "30000")
            .set("queued.max.messages.kbytes", QUEUED_KBYTES_MAX);
        let heard = Heard::new(&config);
        let consumer: BaseConsumer<Heard> = config
            .create_with_context(heard)
            .map_err(|error| KafkaFault::from_client("building the client", &error))?;
        let consumer = Arc::new(consumer);
        Ok(Self { queue: BatchQueue::new(Arc::clone(&consumer)), consumer, timeout })
    }

    /// The id of the cluster.
    ///
    /// # Errors
    /// Where no broker answers in time.
    pub fn cluster_id(&self) -> Result<String, KafkaFault> {
        let doing = "asking for the cluster's id";
        // A client that is asked nothing connects to nobody, and so never hears why it cannot.
        if let Err(fault) = partitions(&self.consumer, ANY_TOPIC, self.timeout)
            && is_silence(fault.code)
        {
            return Err(self.explained(KafkaFault { doing: doing.to_owned(), ..fault }));
        }
        native::cluster_id(&self.consumer, self.timeout)
            .ok_or_else(|| self.explained(KafkaFault::new(doing, RDKafkaErrorCode::OperationTimedOut)))
    }

    /// All topics of the cluster.
    ///
    /// # Errors
    /// Where no broker answers in time.
    pub fn topics(&self) -> Result<Vec<ListedTopic>, KafkaFault> {
        topics(&self.consumer, self.timeout).map_err(|fault| self.explained(fault))
    }

    /// Those of the topics that our user may describe and not read.
    ///
    /// # Errors
    /// Where no broker answers in time.
    pub fn unreadable(&self, topics: &[&str]) -> Result<BTreeSet<String>, KafkaFault> {
        unreadable(&self.consumer, topics, self.timeout).map_err(|fault| self.explained(fault))
    }

    /// The partitions of a topic; `None` if there is no such topic.
    ///
    /// # Errors
    /// Where no broker answers, or access is denied.
    pub fn partitions(&self, topic: &str) -> Result<Option<Vec<Partition>>, KafkaFault> {
        partitions(&self.consumer, topic, self.timeout).map_err(|fault| self.explained(fault))
    }

    /// The identity of a topic now.
    ///
    /// # Errors
    /// Where no broker answers, or access is denied.
    pub fn topic_identity(&self, topic: &str) -> Result<TopicIdentity, KafkaFault> {
        let mut found =
            native::topic_identities(&self.consumer, &[topic], self.timeout).map_err(|fault| self.explained(fault))?;
        Ok(found.remove(topic).unwrap_or(TopicIdentity::Unknown))
    }

    /// The group's offsets, with the bytes beside them; `None` where there is none. Waits for pending transactions.
    ///
    /// # Errors
    /// Where the group's coordinator does not answer, or access is denied.
    pub fn committed(
        &self,
        topic: &str,
        partitions: &[Partition],
    ) -> Result<ByPartition<Option<StoredOffset>>, KafkaFault> {
        let began = crate::clock::now();
        loop {
            match native::committed_offsets(&self.consumer, &named(topic, partitions), self.timeout) {
                // A group's first coordinator, or one that moves: the client passes this on instead of asking again.
                Err(fault) if is_moving(fault.code) && began.elapsed() < self.timeout => {
                    std::thread::sleep(COORDINATOR_RETRY_INTERVAL);
                }
                answer => return answer.map(unnamed).map_err(|fault| self.explained(fault)),
            }
        }
    }

    /// From the oldest retained offset up to the high watermark.
    ///
    /// # Errors
    /// Where no broker answers, or access is denied.
    pub fn logs(&self, topic: &str, partitions: &[Partition]) -> Result<ByPartition<OffsetRange>, KafkaFault> {
        let mut first = self.offsets(topic, partitions, WantedOffset::Earliest)?;
        let ends = self.offsets(topic, partitions, WantedOffset::HighWatermark)?;
        let ranges = ends.into_iter().filter_map(|(partition, end)| {
            let range = first.remove(&partition)?.and_then(|start| {
                let start = start.unwrap_or(Offset::ZERO);
                // Retention may move the start between the two questions, past an end that was read before.
                Ok(OffsetRange::new(start, end?.unwrap_or(start).max(start)))
            });
            Some((partition, range))
        });
        Ok(ranges.collect())
    }

    /// The last stable offsets: where a reader of committed data is at the end.
    ///
    /// # Errors
    /// Where no broker answers, or access is denied.
    pub fn last_stable(
        &self,
        topic: &str,
        partitions: &[Partition],
    ) -> Result<ByPartition<Option<Offset>>, KafkaFault> {
        self.offsets(topic, partitions, WantedOffset::LastStable)
    }

    fn offsets(
        &self,
        topic: &str,
        partitions: &[Partition],
        wanted: WantedOffset,
    ) -> Result<ByPartition<Option<Offset>>, KafkaFault> {
        native::offsets_of_log(&self.consumer, &named(topic, partitions), wanted, self.timeout)
            .map(unnamed)
            .map_err(|fault| self.explained(fault))
    }

    /// Reads these partitions from these offsets on, and no others any more.
    ///
    /// # Errors
    /// Where the client library refuses.
    pub fn assign(&mut self, topic: &str, starts: &BTreeMap<Partition, Offset>) -> Result<(), KafkaFault> {
        let doing = format!("assigning partitions of topic {topic}");
        let mut list = TopicPartitionList::with_capacity(starts.len());
        let target = self.queue.target();
        for (partition, start) in starts {
            list.add_partition_offset(topic, partition.0, NativeOffset::Offset(start.to_kafka()))
                .map_err(|error| KafkaFault::from_client(&doing, &error))?;
            target.forward(&self.consumer, topic, *partition);
        }
        // A partition that was stopped stays stopped through assignments.
        self.consumer.resume(&list).map_err(|error| KafkaFault::from_client(&doing, &error))?;
        self.consumer.assign(&list).map_err(|error| KafkaFault::from_client(doing, &error))
    }

    /// Fetches no more of a partition.
    ///
    /// # Errors
    /// Where the client library refuses.
    pub fn stop(&mut self, topic: &str, partition: Partition) -> Result<(), KafkaFault> {
        let mut list = TopicPartitionList::with_capacity(1);
        list.add_partition(topic, partition.0);
        self.consumer.pause(&list).map_err(|error| KafkaFault::from_client("pausing a partition", &error))
    }

    /// Waits up to `timeout` for records, then takes what is there, up to `limit`. An item may be an error of its
    /// partition, among them `PartitionEOF`, whose offset is where the partition ends for a reader of committed data.
    pub fn read(&mut self, timeout: Duration, limit: usize) -> Batch<'_> {
        self.queue.read(timeout, limit)
    }

    /// Why nothing comes, where the client knows.
    pub fn trouble(&self) -> Option<String> {
        for _ in 0..EVENTS_MAX {
            // An event that was served looks like an empty queue.
            drop(self.consumer.poll(Duration::ZERO));
        }
        self.consumer.context().reason()
    }

    /// The fault with the reason that the client has heard of in the meantime.
    fn explained(&self, fault: KafkaFault) -> KafkaFault {
        self.trouble();
        self.consumer.context().explained(fault)
    }
}

impl std::fmt::Debug for Observer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Observer")
    }
}

fn named<'a>(topic: &'a str, partitions: &[Partition]) -> Vec<(&'a str, Partition)> {
    partitions.iter().map(|partition| (topic, *partition)).collect()
}

fn unnamed<T>(found: native::ByPartition<Result<T, KafkaFault>>) -> ByPartition<T> {
    found.into_iter().map(|((_, partition), value)| (partition, value)).collect()
}
