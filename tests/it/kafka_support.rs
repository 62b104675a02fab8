//! A broker that tests share, topics with fresh names, and a worker that consumes as the connector does.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak, mpsc};
use std::time::{Duration, Instant};

use devstack::{Broker, BrokerOptions};
use oncesink::commit::transactions::{
    BuildEnd, Job, OffsetCommit, Transaction, TransactionEnd, TransactionSettings, TransactionThread,
};
use oncesink::protocol::facts::Metadata;
use oncesink::source::consumer::{ConsumerSettings, KafkaConsumer, StartAt, StartError};
use oncesink::source::group::{Assignments, GroupEvent};
use oncesink::source::handle::GroupHandle;
use oncesink::types::{AssignmentNumber, LaneId, Offset, Partition, PartitionKey, Replay};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};

use crate::support;

pub(crate) const LANE: LaneId = LaneId(0);
pub(crate) const TIMEOUT: Duration = Duration::from_secs(20);
/// No test takes this long; a condition that never comes is a failure.
const PATIENCE: Duration = Duration::from_secs(90);

/// The broker of all tests that run now; it ends with the last of them. `KAFKA_BROKERS` names one to use instead, which
/// keeps nothing of what a test made there.
pub(crate) struct Kafka {
    pub(crate) bootstrap: String,
    broker: Option<Arc<Broker>>,
    made: Mutex<Made>,
}

#[derive(Default)]
struct Made {
    topics: BTreeSet<String>,
    groups: BTreeSet<String>,
}

static SHARED: Mutex<Weak<Broker>> = Mutex::new(Weak::new());

pub(crate) fn kafka() -> Kafka {
    if let Ok(bootstrap) = std::env::var("KAFKA_BROKERS") {
        return Kafka { bootstrap, broker: None, made: Mutex::default() };
    }
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    let broker = shared.upgrade().unwrap_or_else(|| Arc::new(Broker::start(&BrokerOptions::default()).unwrap()));
    *shared = Arc::downgrade(&broker);
    Kafka { bootstrap: broker.bootstrap().to_owned(), broker: Some(broker), made: Mutex::default() }
}

impl Kafka {
    fn made(&self) -> MutexGuard<'_, Made> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn admin(&self) -> AdminClient<DefaultClientContext> {
        ClientConfig::new().set("bootstrap.servers", &self.bootstrap).create().unwrap()
    }

    pub(crate) fn create_topic(&self, name: &str, partitions: i32) {
        let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
        let admin = self.admin();
        self.made().topics.insert(name.to_owned());
        let results = wait(admin.create_topics([&topic], &AdminOptions::new())).unwrap();
        results[0].as_ref().unwrap();
    }

    pub(crate) fn fresh_topic(&self, partitions: i32) -> String {
        let name = fresh("topic");
        self.create_topic(&name, partitions);
        name
    }

    pub(crate) fn delete_topic(&self, name: &str) {
        let results = wait(self.admin().delete_topics(&[name], &AdminOptions::new())).unwrap();
        results[0].as_ref().unwrap();
        self.made().topics.remove(name);
    }

    /// Deletes the records below `offset`, as retention does.
    pub(crate) fn delete_records(&self, topic: &str, partition: i32, offset: i64) {
        let mut list = rdkafka::TopicPartitionList::new();
        list.add_partition_offset(topic, partition, rdkafka::Offset::Offset(offset)).unwrap();
        wait(self.admin().delete_records(&list, &AdminOptions::new())).unwrap();
    }

    /// Appends `count` records to each partition; the value says which record of the partition it is.
    pub(crate) fn fill(&self, topic: &str, partitions: i32, count: u64) {
        let producer: ThreadedProducer<DefaultProducerContext> = ClientConfig::new()
            .set("bootstrap.servers", &self.bootstrap)
            .set("compression.type", "lz4")
            .set("linger.ms", "20")
            // Without it a batch that is sent again, because the topic is so new, lands behind later ones.
            .set("enable.idempotence", "true")
            .set("queue.buffering.max.messages", "10000000")
            .create()
            .unwrap();
        for index in 0..count {
            for partition in 0..partitions {
                let payload = index.to_string();
                producer
                    .send(BaseRecord::<(), _>::to(topic).partition(partition).payload(&payload))
                    .map_err(|(error, _)| error)
                    .unwrap();
            }
        }
        producer.flush(PATIENCE).unwrap();
    }

    pub(crate) fn worker(&self, group: &str, instance: &str, topic: &str) -> Worker {
        self.worker_with(group, instance, topic, &[])
    }

    pub(crate) fn worker_with(&self, group: &str, instance: &str, topic: &str, properties: &[(&str, &str)]) -> Worker {
        self.made().groups.insert(group.to_owned());
        Worker::new(&self.bootstrap, group, instance, topic, properties)
    }
}

impl Drop for Kafka {
    fn drop(&mut self) {
        if self.broker.is_some() || std::thread::panicking() {
            return;
        }
        let made = self.made();
        let kafka = support::kafka::Kafka::new(&self.bootstrap, &[]);
        // A static member stays in its group until its session is over: deleting waits for that.
        made.groups.iter().for_each(|group| kafka.delete_group(group));
        made.topics.iter().for_each(|topic| kafka.delete_topic(topic));
    }
}

pub(crate) fn fresh(what: &str) -> String {
    format!("{what}-{:016x}", rand::random::<u64>())
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

#[expect(clippy::disallowed_methods, reason = "tests bound their waiting by the real clock")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Repeats `turn` until it gives something.
pub(crate) fn until<T>(what: &str, mut turn: impl FnMut() -> Option<T>) -> T {
    let began = now();
    loop {
        if let Some(value) = turn() {
            return value;
        }
        assert!(began.elapsed() < PATIENCE, "waited too long: {what}");
    }
}

pub(crate) fn key(partition: i32) -> PartitionKey {
    PartitionKey { lane: LANE, partition: Partition(partition) }
}

pub(crate) fn settings(
    bootstrap: &str,
    group: &str,
    instance: &str,
    topic: &str,
    properties: &[(&str, &str)],
) -> ConsumerSettings {
    ConsumerSettings {
        brokers: bootstrap.to_owned(),
        name: group.to_owned(),
        instance: instance.to_owned(),
        topics: [(LANE, topic.to_owned())].into(),
        properties: properties.iter().map(|(property, value)| ((*property).to_owned(), (*value).to_owned())).collect(),
        memory_bytes: 64 << 20,
    }
}

/// One record as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) key: PartitionKey,
    pub(crate) offset: u64,
    pub(crate) payload: String,
}

/// A consumer that starts what it is assigned where a position table says.
pub(crate) struct Worker {
    pub(crate) consumer: KafkaConsumer,
    pub(crate) owned: BTreeMap<PartitionKey, AssignmentNumber>,
    waiting: BTreeMap<PartitionKey, AssignmentNumber>,
}

impl Worker {
    pub(crate) fn new(bootstrap: &str, group: &str, instance: &str, topic: &str, properties: &[(&str, &str)]) -> Self {
        let settings = settings(bootstrap, group, instance, topic, properties);
        Self {
            consumer: KafkaConsumer::subscribe(&settings, Arc::new(Assignments::new())).unwrap(),
            owned: BTreeMap::new(),
            waiting: BTreeMap::new(),
        }
    }

    pub(crate) fn handle(&self) -> GroupHandle {
        self.consumer.handle()
    }

    /// Serves the group and follows who owns what.
    pub(crate) fn serve(&mut self) -> Vec<GroupEvent> {
        let events = self.consumer.serve();
        for event in &events {
            match event {
                GroupEvent::Assigned(added) => {
                    for (key, number) in added {
                        assert_eq!(self.owned.insert(*key, *number), None, "assigned twice");
                        self.waiting.insert(*key, *number);
                    }
                }
                GroupEvent::Revoked(removed) => {
                    for (key, number) in removed {
                        assert_eq!(self.owned.remove(key), Some(*number), "not owned");
                        self.waiting.remove(key);
                    }
                }
                GroupEvent::UnknownTopic { .. }
                | GroupEvent::Denied { .. }
                | GroupEvent::Trouble { .. }
                | GroupEvent::ServedTooLate { .. }
                | GroupEvent::Fenced { .. }
                | GroupEvent::Fatal { .. } => {}
            }
        }
        events
    }

    pub(crate) fn wait_for_assignment(&mut self, partitions: usize) {
        until("assignment", || {
            self.serve();
            (self.owned.len() == partitions).then_some(())
        });
    }

    /// Starts a partition, as often as it takes.
    pub(crate) fn start(&mut self, key: PartitionKey, offset: u64) {
        let number = self.owned[&key];
        self.waiting.remove(&key);
        until("start", || match self.try_start(key, number, offset) {
            Ok(()) => Some(()),
            Err(StartError::NotYet(_)) => {
                self.consumer.serve();
                None
            }
            Err(error) => panic!("{error}"),
        });
    }

    /// One attempt to start one partition.
    pub(crate) fn try_start(
        &mut self,
        key: PartitionKey,
        assignment: AssignmentNumber,
        offset: u64,
    ) -> Result<(), StartError> {
        let mut answers = self.consumer.start(&[StartAt { key, assignment, offset: Offset::new(offset) }]);
        answers.remove(&key).expect("each partition gets an answer")
    }

    /// Pauses a partition; [`Self::start_waiting`] starts it again, from where it is told to.
    pub(crate) fn pause(&mut self, key: PartitionKey) {
        self.consumer.pause(&[key]).unwrap();
        self.waiting.insert(key, self.owned[&key]);
    }

    /// Starts what waits to be started, at the offset that `next` has for it.
    pub(crate) fn start_waiting(&mut self, next: &BTreeMap<PartitionKey, u64>) {
        let at = |(key, assignment): (&PartitionKey, &AssignmentNumber)| StartAt {
            key: *key,
            assignment: *assignment,
            offset: Offset::new(next.get(key).copied().unwrap_or(0)),
        };
        let starts: Vec<StartAt> = self.waiting.iter().map(at).collect();
        for (key, answer) in self.consumer.start(&starts) {
            match answer {
                Ok(()) => {
                    self.waiting.remove(&key);
                }
                Err(StartError::NotYet(_)) => {}
                Err(error) => panic!("{error}"),
            }
        }
    }

    pub(crate) fn read(&mut self, limit: usize) -> Vec<Seen> {
        let batch = self.consumer.read(LANE, Duration::from_millis(20), limit);
        batch
            .iter()
            .map(|message| {
                assert_eq!(message.error(), None);
                Seen {
                    key: key(message.partition().0),
                    offset: message.offset().unwrap().get(),
                    payload: String::from_utf8(message.payload().unwrap().to_vec()).unwrap(),
                }
            })
            .collect()
    }
}

/// The committing thread with calls that wait for the end.
pub(crate) struct Committer(pub(crate) TransactionThread);

impl Committer {
    pub(crate) fn new(bootstrap: &str, group: &str, instance: &str, handle: GroupHandle) -> Self {
        let settings = TransactionSettings {
            brokers: bootstrap.to_owned(),
            name: group.to_owned(),
            instance: instance.to_owned(),
            properties: BTreeMap::new(),
            transaction_timeout: Duration::from_secs(15),
            now,
        };
        Self(TransactionThread::start(settings, handle).unwrap())
    }

    pub(crate) fn built(bootstrap: &str, group: &str, instance: &str, handle: GroupHandle) -> Self {
        let committer = Self::new(bootstrap, group, instance, handle);
        assert_eq!(committer.build(), BuildEnd::Built);
        committer
    }

    pub(crate) fn build(&self) -> BuildEnd {
        let (reply, end) = mpsc::channel();
        let reply = Box::new(move |end| reply.send(end).unwrap());
        self.0.submit(Job::Build { reply }).unwrap();
        end.recv().unwrap()
    }

    pub(crate) fn begin(&self, transaction: Transaction) -> mpsc::Receiver<TransactionEnd> {
        let (reply, end) = mpsc::channel();
        let reply = Box::new(move |end| reply.send(end).unwrap());
        self.0.submit(Job::Run { transaction, reply }).unwrap();
        end
    }

    pub(crate) fn run(&self, transaction: Transaction) -> TransactionEnd {
        self.begin(transaction).recv().unwrap()
    }
}

pub(crate) fn metadata(floor: u64) -> Metadata {
    Metadata { topic_id: None, replay: Replay(1), floor: Offset::new(floor), origin: Offset::ZERO, anchor: None }
}

/// A transaction that commits one partition.
pub(crate) fn commit_of(key: PartitionKey, number: AssignmentNumber, offset: u64) -> Transaction {
    let commit = OffsetCommit { number, offset: Offset::new(offset), metadata: metadata(offset) };
    Transaction { offsets: [(key, commit)].into(), alerts: Vec::new() }
}
