//! Reads the source topic as a reader of committed data does: what it sees is what has to be stored.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::clock::Stop;
use crate::tally::{CHUNK, ChunkOf, Fate, HOT, Tally, fate};
use crate::world::{NAME, World};

/// What the topic holds, as far as it was read.
#[derive(Debug, Default)]
pub(crate) struct Expected {
    pub(crate) chunks: BTreeMap<ChunkOf, Tally>,
    /// The offset behind the last record read of each partition.
    pub(crate) positions: BTreeMap<i32, u64>,
    /// Records that fire an alert: one in a thousand.
    pub(crate) hot: BTreeMap<i32, Vec<u64>>,
    pub(crate) records: u64,
    pub(crate) dead: u64,
    /// Partitions that were read to their end.
    pub(crate) at_end: BTreeSet<i32>,
}

impl Expected {
    fn take(&mut self, polled: Result<BorrowedMessage<'_>, KafkaError>) {
        match polled {
            Ok(message) => {
                let (partition, offset) = unit(&message);
                self.add(partition, offset, fate(message.payload().unwrap_or_default()));
            }
            Err(KafkaError::PartitionEOF(partition)) => drop(self.at_end.insert(partition)),
            // The broker is killed now and then: the client comes back by itself.
            Err(_) => {}
        }
    }

    fn add(&mut self, partition: i32, offset: u64, fate: Fate) {
        self.chunks.entry((partition, offset / CHUNK)).or_default().add(offset, fate);
        self.positions.insert(partition, offset + 1);
        self.at_end.remove(&partition);
        self.records += 1;
        match fate {
            Fate::Dead => self.dead += 1,
            Fate::Row(value) if u64::from(value) >= HOT => self.hot.entry(partition).or_default().push(offset),
            Fate::Row(_) => {}
        }
    }
}

/// The thread that reads.
pub(crate) struct Reader {
    expected: Arc<Mutex<Expected>>,
    stop: Stop,
    thread: Option<JoinHandle<()>>,
}

impl Reader {
    /// Starts to read from the beginning.
    pub(crate) fn start(world: &Arc<World>) -> Self {
        let (expected, stop) = (Arc::default(), Stop::default());
        let (world, of_thread, stop_thread) = (Arc::clone(world), Arc::clone(&expected), stop.clone());
        let thread = Some(std::thread::spawn(move || read(&world, &of_thread, &stop_thread)));
        Self { expected, stop, thread }
    }

    /// What was read so far. Reading waits meanwhile.
    pub(crate) fn expected(&self) -> MutexGuard<'_, Expected> {
        self.expected.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.stop.set();
        if let Some(Err(_)) = self.thread.take().map(JoinHandle::join) {
            eprintln!("the reader panicked");
        }
    }
}

fn consumer(world: &World) -> BaseConsumer {
    let mut config = world.client();
    config
        .set("group.id", "oracle")
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "error")
        .set("isolation.level", "read_committed")
        .set("enable.partition.eof", "true")
        .set("queued.max.messages.kbytes", "16384");
    config.create().unwrap()
}

fn read(world: &World, expected: &Mutex<Expected>, stop: &Stop) {
    let consumer = consumer(world);
    let mut known = 0;
    while !stop.is_set() {
        let partitions = world.partition_numbers();
        if partitions.end > known {
            let mut new = TopicPartitionList::new();
            for partition in known..partitions.end {
                new.add_partition_offset(NAME, partition, Offset::Beginning).unwrap();
            }
            consumer.incremental_assign(&new).unwrap();
            known = partitions.end;
        }
        let mut polled = consumer.poll(Duration::from_millis(100));
        // As many as are there, so that the lock is taken once.
        let mut expected = expected.lock().unwrap_or_else(PoisonError::into_inner);
        for _ in 0..2_000 {
            let Some(result) = polled else { break };
            expected.take(result);
            polled = consumer.poll(Duration::ZERO);
        }
        if let Some(result) = polled {
            expected.take(result);
        }
    }
}

fn unit(message: &BorrowedMessage<'_>) -> (i32, u64) {
    (message.partition(), u64::try_from(message.offset()).expect("records have offsets"))
}

/// Reads one chunk again, record by record.
pub(crate) fn read_chunk(world: &World, (partition, chunk): ChunkOf) -> Vec<(u64, Fate)> {
    let consumer = consumer(world);
    let mut list = TopicPartitionList::new();
    let start = Offset::Offset(i64::try_from(chunk * CHUNK).unwrap());
    list.add_partition_offset(NAME, partition, start).unwrap();
    consumer.assign(&list).unwrap();
    let mut records = Vec::new();
    while let Some(Ok(message)) = consumer.poll(Duration::from_secs(20)) {
        let (_, offset) = unit(&message);
        if offset >= (chunk + 1) * CHUNK {
            break;
        }
        records.push((offset, fate(message.payload().unwrap_or_default())));
    }
    records
}

/// The alerts that a reader of committed data sees, from the first to the last: the unit that fired each, and its id.
pub(crate) fn read_alerts(world: &World, topic: &str) -> Vec<((i32, u64), String)> {
    let records = world.kafka.read_all(topic);
    let mut alerts: Vec<_> = records
        .into_iter()
        .map(|record| {
            let alert: serde_json::Value = serde_json::from_slice(&record.payload).unwrap();
            let partition = i32::try_from(alert["partition"].as_i64().unwrap()).unwrap();
            assert!(alert["suppressed"].is_null(), "no alert of the runs is left out: {alert}");
            let id = alert["alert_id"].as_str().unwrap_or_default().to_owned();
            ((partition, alert["offset"].as_u64().unwrap()), id)
        })
        .collect();
    alerts.sort();
    alerts
}
