//! The consumer: built with the properties that exactly-once needs, read in batches, served by one thread.
//!
//! Takes settings and start offsets, gives batches per lane and group events.
//! Promises: no record of a partition comes before [`KafkaConsumer::start`] has said from where, and none after its
//! revocation was served. Never commits, never chooses a position by itself.
//!
//! Threads: [`KafkaConsumer`] belongs to one thread, which must call [`KafkaConsumer::serve`] every few hundred
//! milliseconds. Everything that waits for the cluster is on [`GroupHandle`], for other threads.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::{Offset as NativeOffset, TopicPartitionList};

use super::asking::Asking;
use super::group::{Assignments, GroupContext, GroupEvent, LaneTopics, event_of_fatal};
use super::handle::GroupHandle;
use super::native::{self, Batch, BatchQueue, KafkaFault};
use super::trouble::Heard;
use super::unowned::CLIENT_ID;
use crate::config::{FETCH_LIMITS, RESPONSE_BYTES_MAX_DEFAULT, consumer_takes};
use crate::types::{AssignmentNumber, LaneId, Offset, Partition, PartitionKey};

/// What a consumer is built from.
#[derive(Debug, Clone)]
pub struct ConsumerSettings {
    /// Bootstrap servers, separated by commas.
    pub brokers: String,
    /// The connector's name, which is the group's.
    pub name: String,
    /// This process among those of the same name; one process at a time may have it.
    pub instance: String,
    /// The topic of each lane.
    pub topics: BTreeMap<LaneId, String>,
    /// More properties of the client library. Those that the guarantee rests on cannot be given.
    pub properties: BTreeMap<String, String>,
    /// What fetched records may take, over all lanes. One fetch more than this may be under way.
    pub memory_bytes: u64,
}

/// Why there is no consumer.
#[derive(Debug, thiserror::Error)]
pub enum ConsumerError {
    /// A property that is not the user's to set.
    #[error(
        "kafka property {property} cannot be set: exactly-once delivery needs the connector's own value; remove it from the configuration"
    )]
    FixedProperty {
        /// The property.
        property: String,
    },
    /// Two lanes with one topic.
    #[error(
        "topic {topic} is configured twice: a group has one position per partition; use a second connector name for the second table"
    )]
    TopicTwice {
        /// The topic.
        topic: String,
    },
    /// The client library refused the configuration or a call.
    #[error(transparent)]
    Kafka(#[from] KafkaFault),
}

/// From where a partition is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StartAt {
    /// The partition.
    pub key: PartitionKey,
    /// The assignment that it is to be read under.
    pub assignment: AssignmentNumber,
    /// The first offset.
    pub offset: Offset,
}

/// Why a partition was not started.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// The group took the partition, or gave it again under another number: forget this start.
    #[error("the partition is no longer assigned under this number")]
    NotOwned,
    /// The assignment is not finished inside the client: try again after the next call of `serve`.
    #[error("the partition cannot be started yet: {0}")]
    NotYet(KafkaFault),
    /// The client library refused.
    #[error(transparent)]
    Kafka(KafkaFault),
}

/// Set by us and by nobody else. Changing one of them silently loses or doubles records.
const FIXED: [(&str, &str); 9] = [
    // Offsets are sent in transactions only.
    ("enable.auto.commit", "false"),
    ("enable.auto.offset.store", "false"),
    // Positions are ours: a wrong one must be an error, not a jump.
    ("auto.offset.reset", "error"),
    // End-of-partition items move the position wrongly when read in batches (library issue 4844).
    ("enable.partition.eof", "false"),
    // Also makes reads of committed offsets wait for pending transactions.
    ("isolation.level", "read_committed"),
    // A topic that is made by being asked for would hide a misspelt name.
    ("allow.auto.create.topics", "false"),
    ("statistics.interval.ms", "0"),
    ("check.crcs", "true"),
    // The newer protocol lets a fenced member go on for longer; it is allowed once its tests exist.
    ("group.protocol", "classic"),
];

/// Given by settings of their own.
#[cfg(test)]
const OURS: [&str; 6] = [
    "bootstrap.servers",
    "metadata.broker.list",
    "group.id",
    "group.instance.id",
    "queued.max.messages.kbytes",
    "queued.min.messages",
];

/// What the library needs above the largest fetch.
const RESPONSE_OVERHEAD_BYTES: u64 = 512;

/// How often one call of `serve` asks for events: bounds its time when errors pour in.
const EVENTS_PER_SERVE_MAX: usize = 64;

/// The consumer. Belongs to the thread that serves it.
pub struct KafkaConsumer {
    /// Destroyed before the consumer, which each keeps alive.
    queues: BTreeMap<LaneId, BatchQueue<GroupContext>>,
    consumer: Arc<BaseConsumer<GroupContext>>,
    /// For the handles.
    asking: Arc<Asking>,
    /// Under which number each partition was last started.
    started: BTreeMap<PartitionKey, AssignmentNumber>,
    said_fatal: bool,
    response_bytes_max: u64,
}

impl KafkaConsumer {
    /// Builds a consumer and subscribes it. Nothing is waited for: a cluster that cannot be reached shows as events.
    pub fn subscribe(settings: &ConsumerSettings, assignments: Arc<Assignments>) -> Result<Self, ConsumerError> {
        let config = client_config(settings)?;
        let topics = LaneTopics::new(settings.topics.clone()).map_err(|topic| ConsumerError::TopicTwice { topic })?;
        let doing = "building the consumer";
        let consumer: BaseConsumer<GroupContext> = config
            .create_with_context(GroupContext::new(topics, assignments, Heard::new(&config)))
            .map_err(|error| KafkaFault::from_client(doing, &error))?;
        let consumer = Arc::new(consumer);
        let queues: BTreeMap<_, _> =
            settings.topics.keys().map(|lane| (*lane, BatchQueue::new(Arc::clone(&consumer)))).collect();
        let targets = queues.iter().map(|(lane, queue)| (*lane, queue.target())).collect();
        consumer.context().queues.set(targets).expect("the context was made above, for these queues");
        let names: Vec<&str> = settings.topics.values().map(String::as_str).collect();
        consumer.subscribe(&names).map_err(|error| KafkaFault::from_client("subscribing", &error))?;
        let asking = Arc::new(Asking::new(&config)?);
        let response_bytes_max = response_bytes_max(settings);
        Ok(Self { queues, consumer, asking, started: BTreeMap::new(), said_fatal: false, response_bytes_max })
    }

    /// A handle for other threads.
    pub fn handle(&self) -> GroupHandle {
        GroupHandle { consumer: Arc::clone(&self.consumer), asking: Arc::clone(&self.asking) }
    }

    /// Takes part in the group: carries rebalances out and gives what happened. Never waits for the network, but for a
    /// transaction that is just sending offsets, before it lets partitions go.
    pub fn serve(&mut self) -> Vec<GroupEvent> {
        let context = Arc::clone(self.consumer.context());
        let mut events = Vec::new();
        for _ in 0..EVENTS_PER_SERVE_MAX {
            let polled = self.consumer.poll(Duration::ZERO);
            let new = context.take_events();
            // A rebalance that was served looks like an empty queue: go on as long as anything happens.
            let idle = polled.is_none() && new.is_empty();
            events.extend(new);
            match polled {
                Some(Ok(_)) => {
                    events.push(GroupEvent::Fatal { text: "a record came outside the queue of its lane".to_owned() })
                }
                Some(Err(_)) if !self.said_fatal => {
                    if let Some((code, reason)) = self.consumer.client().fatal_error() {
                        self.said_fatal = true;
                        events.push(context.judged(event_of_fatal(code, reason)));
                    }
                }
                Some(Err(_)) | None => {}
            }
            if idle {
                break;
            }
        }
        events
    }

    /// Waits up to `timeout` for records of the lane, then takes what is there, up to `limit`. An item may be an error of
    /// its partition: then, before `serve` is called, that partition must be started again, or, where the fault
    /// [`KafkaFault::needs_rejoin`], everything be let go by [`Self::rejoin`].
    ///
    /// A record below the offset that is expected next is to be dropped, one above it is fine: offsets have gaps.
    ///
    /// A batch cannot outlive the next call, so no record is looked at after its partition was let go:
    /// ```compile_fail,E0499
    /// # use {oncesink::{source::consumer::KafkaConsumer, types::LaneId}, std::time::Duration};
    /// fn keep(consumer: &mut KafkaConsumer) {
    ///     let batch = consumer.read(LaneId(0), Duration::ZERO, 1);
    ///     consumer.serve();
    ///     assert!(batch.is_empty());
    /// }
    /// ```
    pub fn read(&mut self, lane: LaneId, timeout: Duration, limit: usize) -> Batch<'_> {
        self.queues
            .get_mut(&lane)
            .expect("lanes are numbered by the configuration that the consumer was built from")
            .read(timeout, limit)
    }

    /// Lets records of these partitions, each named once, come from their offsets on: after an assignment, after a pause,
    /// after an error item, or to go elsewhere. What was fetched before is forgotten: the next record is the first at or
    /// after the offset. An offset that the log does not hold shows as an error item that needs a rejoin, never as a jump;
    /// until then starting the partition again fails with a fault that needs it too. Gives the answer for each.
    pub fn start(&mut self, starts: &[StartAt]) -> BTreeMap<PartitionKey, Result<(), StartError>> {
        let mut answers = BTreeMap::new();
        let mut owned = BTreeMap::new();
        for start in starts {
            // No race: only this thread carries revocations out.
            if self.consumer.context().assignments.number(start.key) == Some(start.assignment) {
                owned.insert(start.key, *start);
            } else {
                answers.insert(start.key, Err(StartError::NotOwned));
            }
        }
        if owned.is_empty() {
            return answers;
        }
        let sought = match self.seek(&owned) {
            Ok(sought) => sought,
            Err(fault) => {
                answers.extend(owned.into_keys().map(|key| (key, Err(StartError::Kafka(fault.clone())))));
                return answers;
            }
        };
        let mut started = Vec::new();
        for (key, error) in sought {
            match error {
                None => started.push(key),
                Some(error) => {
                    answers.insert(key, Err(self.refusal(&owned[&key], &error)));
                }
            }
        }
        if started.is_empty() {
            return answers;
        }
        for key in &started {
            // Once more, now that the partition has certainly started: stopping an earlier fetch undoes a forward that was
            // made before, and without one the partition is silent for ever.
            self.consumer.context().forward(&self.consumer, *key);
        }
        let list = self.consumer.context().topics.list(started.iter().copied());
        let resumed =
            self.consumer.resume(&list).map_err(|error| StartError::Kafka(KafkaFault::from_client("resuming", &error)));
        for key in started {
            if resumed.is_ok() {
                self.started.insert(key, owned[&key].assignment);
            }
            answers.insert(key, resumed.clone());
        }
        self.wake_fetchers(list);
        answers
    }

    /// Seeks, all at once; gives what was refused of each.
    fn seek(
        &self,
        starts: &BTreeMap<PartitionKey, StartAt>,
    ) -> Result<BTreeMap<PartitionKey, Option<KafkaError>>, KafkaFault> {
        let topics = &self.consumer.context().topics;
        let fault = |error| KafkaFault::from_client("seeking", &error);
        let mut list = TopicPartitionList::new();
        for (key, start) in starts {
            let offset = NativeOffset::Offset(start.offset.to_kafka());
            list.add_partition_offset(topics.topic(key.lane), key.partition.0, offset).map_err(fault)?;
        }
        let list = self.consumer.seek_partitions(list, SEEK_TIMEOUT).map_err(fault)?;
        let sought = list.elements().into_iter().filter_map(|element| {
            Some((topics.key(element.topic(), Partition(element.partition()))?, element.error().err()))
        });
        Ok(sought.collect())
    }

    fn refusal(&self, start: &StartAt, error: &KafkaError) -> StartError {
        let StartAt { key, assignment, offset } = start;
        let topic = self.consumer.context().topics.topic(key.lane);
        let mut fault = KafkaFault::from_client(format!("seeking {topic} [{}] to {offset}", key.partition), error);
        // What was started once under this number cannot be sought only if the client has given it up.
        if fault.code == RDKafkaErrorCode::State && self.started.get(key) == Some(assignment) {
            fault.code = RDKafkaErrorCode::AutoOffsetReset;
            return StartError::Kafka(fault);
        }
        match fault.code {
            RDKafkaErrorCode::State
            | RDKafkaErrorCode::PreviousInProgress
            | RDKafkaErrorCode::Outdated
            | RDKafkaErrorCode::OperationTimedOut => StartError::NotYet(fault),
            _ => StartError::Kafka(fault),
        }
    }

    /// Resuming a partition does not wake the thread that fetches from its broker, which sleeps for up to a second when it
    /// has nothing to do (`rd_kafka_broker_consumer_serve`). Any request to the broker does; this one asks for what nobody
    /// needs, where the log ends.
    fn wake_fetchers(&self, mut list: TopicPartitionList) {
        let asked = list.set_all_offsets(NativeOffset::End);
        let answered = asked.and_then(|()| self.consumer.offsets_for_times(list, WAKE_TIMEOUT));
        if let Err(error) = answered {
            tracing::debug!(%error, "waking the fetchers");
        }
    }

    /// Lets all partitions go and asks the group for them anew: `Revoked`, then `Assigned` under new numbers, follow. For a
    /// partition that the client has given up after an offset outside the log: it can neither be started nor, without
    /// confusing a rebalance that may be under way, be assigned again by itself.
    pub fn rejoin(&mut self) -> Result<(), KafkaFault> {
        self.consumer.unsubscribe();
        let names: Vec<&str> = self.consumer.context().topics.iter().map(|(_, topic)| topic).collect();
        self.consumer.subscribe(&names).map_err(|error| KafkaFault::from_client("subscribing again", &error))
    }

    /// The largest response, and the most that a batch compressed with zstd may unfold to.
    pub(super) fn response_bytes_max(&self) -> u64 {
        self.response_bytes_max
    }

    /// How far these partitions were read: every record below that a reader of committed data can see came out of
    /// [`Self::read`] since the partition was last started. Left out are partitions of which nothing came since then, and
    /// the answer is wrong for one that an error item came of and that was not started again.
    pub fn positions(&self, keys: &[PartitionKey]) -> BTreeMap<PartitionKey, Offset> {
        let topics = &self.consumer.context().topics;
        match native::positions(&self.consumer, &topics.list(keys.iter().copied())) {
            Ok(found) => {
                let known = found.into_iter();
                known.filter_map(|((topic, partition), at)| Some((topics.key(&topic, partition)?, at?))).collect()
            }
            Err(fault) => {
                tracing::debug!(%fault, "reading positions");
                BTreeMap::new()
            }
        }
    }

    /// Stops fetching these partitions; what was fetched and not yet read is forgotten. Goes on with `start`. To slow down
    /// it is cheaper not to read: the queue has a bound.
    pub fn pause(&mut self, keys: &[PartitionKey]) -> Result<(), KafkaFault> {
        let list = self.consumer.context().topics.list(keys.iter().copied());
        self.consumer.pause(&list).map_err(|error: KafkaError| KafkaFault::from_client("pausing", &error))
    }
}

impl std::fmt::Debug for KafkaConsumer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KafkaConsumer").field("queues", &self.queues).finish_non_exhaustive()
    }
}

/// A seek is answered by the library's own thread; this bounds the wait for a thread that is starved.
const SEEK_TIMEOUT: Duration = Duration::from_secs(1);

/// A broker answers in milliseconds. One that does not costs the group this at each start, and wakes up by itself.
const WAKE_TIMEOUT: Duration = Duration::from_millis(100);

fn client_config(settings: &ConsumerSettings) -> Result<ClientConfig, ConsumerError> {
    if let Some(property) = settings.properties.keys().find(|property| !consumer_takes(property)) {
        return Err(ConsumerError::FixedProperty { property: property.clone() });
    }
    let response_bytes_max = response_bytes_max(settings);
    let lanes = u64::try_from(settings.topics.len().max(1)).unwrap_or(u64::MAX);
    let lane_bytes = settings.memory_bytes / lanes;
    // Half for what is queued, the rest for a fetch under way and for what the library keeps beside each message.
    let queued_kbytes = (lane_bytes / 2 / 1024).clamp(1024, 2_097_151);
    // Compressed, and all of it unfolds at once, whatever is queued: the smallest records, of some four bytes each, take a
    // hundred times that with what the library keeps beside each message. Larger fetches are not faster for records of some
    // hundred bytes; of eight bytes a quarter more could be read with four times this.
    let fetch_bytes = (lane_bytes / 64).clamp(128 * 1024, 16 * 1024 * 1024);
    let fetch_bytes = fetch_bytes.min(response_bytes_max.saturating_sub(RESPONSE_OVERHEAD_BYTES));
    let partition_bytes = fetch_bytes / 4;
    let queued_messages = (lane_bytes / 1024).clamp(1_000, 100_000);
    let mut config = ClientConfig::new();
    config
        .set("partition.assignment.strategy", "cooperative-sticky")
        // A broker that is back is found within this; the default is ten seconds.
        .set("reconnect.backoff.max.ms", "2000")
        // By which a member of the group is known to be ours.
        .set("client.id", CLIENT_ID)
        // A full queue is looked at again after this; the default of a second is felt after every seek.
        .set("fetch.queue.backoff.ms", "20")
        // A fetch that waits for records holds up whatever is started meanwhile at the same broker.
        .set("fetch.wait.max.ms", "200")
        .set("fetch.max.bytes", fetch_bytes.to_string())
        .set("fetch.message.max.bytes", partition_bytes.to_string())
        // The library raises `fetch.max.bytes` to this.
        .set("message.max.bytes", fetch_bytes.to_string());
    for (property, value) in &settings.properties {
        config.set(property, value);
    }
    for (property, value) in FIXED {
        config.set(property, value);
    }
    config
        .set("bootstrap.servers", &settings.brokers)
        .set("group.id", &settings.name)
        .set("group.instance.id", format!("{}-{}", settings.name, settings.instance))
        .set("queued.max.messages.kbytes", queued_kbytes.to_string())
        .set("queued.min.messages", queued_messages.to_string())
        .set("receive.message.max.bytes", response_bytes_max.to_string());
    Ok(config)
}

/// The user's, else enough for a record of 16 MB and what others are beside it, and for the largest fetch.
fn response_bytes_max(settings: &ConsumerSettings) -> u64 {
    let given = |property: &str| settings.properties.get(property)?.parse::<u64>().ok();
    given("receive.message.max.bytes").unwrap_or_else(|| {
        let fetch = FETCH_LIMITS.iter().filter_map(|property| given(property)).max().unwrap_or(0);
        RESPONSE_BYTES_MAX_DEFAULT.max(fetch.saturating_add(RESPONSE_OVERHEAD_BYTES))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(memory_bytes: u64, properties: &[(&str, &str)]) -> ConsumerSettings {
        ConsumerSettings {
            brokers: "127.0.0.1:1".to_owned(),
            name: "flights".to_owned(),
            instance: "a".to_owned(),
            topics: [(LaneId(0), "one".to_owned()), (LaneId(1), "two".to_owned())].into(),
            properties: properties
                .iter()
                .map(|(property, value)| ((*property).to_owned(), (*value).to_owned()))
                .collect(),
            memory_bytes,
        }
    }

    #[test]
    fn properties_are_fixed_or_the_user_s() {
        let check = |given: &[(&str, &str)], property: &str, expected: Option<&str>| {
            let config = client_config(&settings(1 << 30, given)).unwrap();
            assert_eq!(config.get(property), expected, "{property} of {given:?}");
        };
        for (property, value) in FIXED {
            check(&[], property, Some(value));
        }
        check(&[], "group.id", Some("flights"));
        check(&[], "group.instance.id", Some("flights-a"));
        let strategy = "partition.assignment.strategy";
        check(&[], strategy, Some("cooperative-sticky"));
        check(&[(strategy, "range")], strategy, Some("range"));
        check(&[("sasl.username", "u")], "sasl.username", Some("u"));
    }

    #[test]
    fn properties_of_the_guarantee_are_refused() {
        let ours = OURS.map(|property| (property, "1"));
        // The same value may be written down.
        let refused = FIXED.iter().filter(|(property, _)| *property != "group.protocol");
        for (property, _) in refused.chain(&ours) {
            let error = client_config(&settings(1 << 30, &[(property, "1")])).unwrap_err();
            assert!(error.to_string().contains(property), "{error}");
        }
    }

    #[test]
    fn a_response_is_as_large_as_the_user_says_or_the_largest_fetch_needs() {
        let check = |given: &[(&str, &str)], response: &str, fetch: &str| {
            let config = client_config(&settings(1 << 30, given)).unwrap();
            let got = ["receive.message.max.bytes", "fetch.max.bytes"].map(|property| config.get(property).unwrap());
            assert_eq!(got, [response, fetch], "{given:?}");
            config.create_native_config().unwrap();
        };
        check(&[], "67108864", "8388608");
        check(&[("receive.message.max.bytes", "200000000")], "200000000", "8388608");
        check(&[("receive.message.max.bytes", "1000512")], "1000512", "1000000");
        check(&[("fetch.max.bytes", "100000000")], "100000512", "100000000");
        check(&[("fetch.max.bytes", "1000000")], "67108864", "1000000");
    }

    #[test]
    fn memory_bounds_what_is_fetched() {
        let check = |memory_mb: u64, kbytes: &str, fetch: &str, messages: &str| {
            let config = client_config(&settings(memory_mb << 20, &[])).unwrap();
            let got = ["queued.max.messages.kbytes", "fetch.max.bytes", "queued.min.messages"]
                .map(|property| config.get(property).unwrap());
            assert_eq!(got, [kbytes, fetch, messages], "{memory_mb} MB");
        };
        check(0, "1024", "131072", "1000");
        check(64, "16384", "524288", "32768");
        check(1024, "262144", "8388608", "100000");
        check(1 << 20, "2097151", "16777216", "100000");
    }

    #[test]
    fn the_library_accepts_the_properties() {
        for memory_bytes in [0, 64 << 20, 1 << 40] {
            let consumer = KafkaConsumer::subscribe(&settings(memory_bytes, &[]), Arc::default()).unwrap();
            assert_eq!(consumer.handle().topic(LaneId(1)), "two");
        }
        let unknown = settings(1 << 20, &[("no.such.property", "1")]);
        let error = KafkaConsumer::subscribe(&unknown, Arc::default()).unwrap_err();
        assert!(error.to_string().contains("no.such.property"), "{error}");
    }
}
