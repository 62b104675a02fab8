//! The servers of a run: a broker, an engine and a proxy of its own, a topic, a narrow table, a connector's file.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use devstack::proxy::Proxy;
use devstack::{Broker, BrokerOptions, Engine, EngineOptions};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::support::kafka::Kafka;
use crate::support::wait_for;
use crate::watch;

/// Topic, group, database of the connector's tables.
pub(crate) const NAME: &str = "chaos";
/// Where alerts go.
pub(crate) const ALERTS: &str = "chaos_alerts";
/// The target table.
pub(crate) const TABLE: &str = "target.readings";
/// When the group gives up a member that is silent.
pub(crate) const SESSION: Duration = Duration::from_secs(6);
/// `memory_max` of every instance.
pub(crate) const MEMORY_MAX_MIB: u64 = 128;

const ASK_TIMEOUT: Duration = Duration::from_secs(5);

/// Servers and names.
pub(crate) struct World {
    // Dropped first: its connections end before the servers do.
    pub(crate) proxy: Proxy,
    pub(crate) engine: Engine,
    pub(crate) broker: Broker,
    pub(crate) kafka: Kafka,
    /// Configurations and logs of the instances.
    pub(crate) folder: tempfile::TempDir,
    /// How many partitions the topic has.
    pub(crate) partitions: AtomicI32,
    /// How far the broker's log was read, and the group's last generation in it.
    generation: Mutex<(u64, u32)>,
    /// Rows and dead letters that were seen when they were last counted.
    pub(crate) stored: AtomicU64,
}

impl World {
    /// Starts everything.
    pub(crate) fn start(partitions: i32) -> Self {
        let (broker, engine) = std::thread::scope(|scope| {
            let broker = scope.spawn(|| Broker::start(&BrokerOptions::default()).unwrap());
            let engine = Engine::start(&EngineOptions::default()).unwrap();
            (broker.join().unwrap(), engine)
        });
        let kafka = Kafka::new(broker.bootstrap(), &[]);
        kafka.create_topic(NAME, partitions);
        kafka.create_topic(ALERTS, 1);
        engine.query("CREATE DATABASE target").unwrap();
        // Plain, with default settings: no deduplication window.
        let table = format!(
            "CREATE TABLE {TABLE} (v UInt8, _topic LowCardinality(String), _partition Int32, _offset UInt64, \
             _replay UInt32, INDEX offsets _offset TYPE minmax) ENGINE = MergeTree ORDER BY (_partition, _offset)"
        );
        engine.query(&table).unwrap();
        Self {
            proxy: Proxy::to_url(engine.url()).unwrap(),
            folder: tempfile::tempdir().unwrap(),
            partitions: AtomicI32::new(partitions),
            generation: Mutex::default(),
            stored: AtomicU64::new(0),
            kafka,
            engine,
            broker,
        }
    }

    /// The configuration file of an instance.
    pub(crate) fn config(&self, instance: &str) -> String {
        let mut text = format!(
            "name: {NAME}\ninstance: {instance}\nkafka:\n  brokers: {brokers}\n  properties:\n    \
             session.timeout.ms: {session}\n    heartbeat.interval.ms: 500\n    \
             topic.metadata.refresh.interval.ms: 2000\n",
            brokers = self.broker.bootstrap(),
            session = SESSION.as_millis(),
        );
        // The proxy repeats requests.
        writeln!(text, "clickhouse: {{ url: \"{}\", behind_proxy: true }}", self.proxy.url()).unwrap();
        writeln!(text, "state_database: {NAME}\nadmin: {{ listen: 127.0.0.1:0 }}\nalerts: {{ topic: {ALERTS} }}")
            .unwrap();
        writeln!(text, "memory_max: {MEMORY_MAX_MIB}MiB").unwrap();
        writeln!(
            text,
            "topics:\n  - topic: {NAME}\n    table: {TABLE}\n    batch: {{ linger: 500ms, bytes_max: 16MiB, \
             inserts_per_second_max: 4 }}\n    \
             coordinates: {{ topic: _topic, partition: _partition, offset: _offset, replay: _replay }}\n    \
             detectors:\n      - {{ name: hot, when: v >= 100, alerts_per_block_max: 100000 }}",
        )
        .unwrap();
        text
    }

    /// Properties of every plain client.
    pub(crate) fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.broker.bootstrap());
        config.set("reconnect.backoff.max.ms", "500").set("topic.metadata.refresh.interval.ms", "1000");
        config
    }

    /// The numbers of the topic's partitions.
    pub(crate) fn partition_numbers(&self) -> std::ops::Range<i32> {
        0..self.partitions.load(Ordering::SeqCst)
    }

    /// A client that asks for the group's offsets and moves them; no member of it.
    pub(crate) fn group_client(&self) -> BaseConsumer {
        self.client().set("group.id", NAME).set("enable.auto.commit", "false").create().unwrap()
    }

    /// The group's committed offsets; partitions without one are left out.
    pub(crate) fn committed(&self, client: &BaseConsumer) -> Result<BTreeMap<i32, u64>, String> {
        let mut list = TopicPartitionList::new();
        for partition in self.partition_numbers() {
            list.add_partition(NAME, partition);
        }
        let found = client.committed_offsets(list, ASK_TIMEOUT).map_err(|error| error.to_string())?;
        let offset = |offset| if let Offset::Offset(offset) = offset { u64::try_from(offset).ok() } else { None };
        let known = found.elements().into_iter().filter_map(|of| Some((of.partition(), offset(of.offset())?)));
        Ok(known.collect())
    }

    /// Moves the group's offsets as a foreign tool does: fails while the group has members.
    pub(crate) fn move_offsets(&self, client: &BaseConsumer, offsets: &BTreeMap<i32, u64>) -> Result<(), String> {
        let mut list = TopicPartitionList::new();
        for (partition, offset) in offsets {
            let offset = Offset::Offset(i64::try_from(*offset).unwrap());
            list.add_partition_offset(NAME, *partition, offset).unwrap();
        }
        client.commit(&list, CommitMode::Sync).map_err(|error| error.to_string())
    }

    /// Adds a partition and waits until clients see it with a leader.
    pub(crate) fn add_partition(&self) -> Result<i32, String> {
        let count = self.partitions.load(Ordering::SeqCst) + 1;
        let admin: AdminClient<DefaultClientContext> = self.client().create().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let new = NewPartitions::new(NAME, usize::try_from(count).unwrap());
        let options = AdminOptions::new().operation_timeout(Some(ASK_TIMEOUT));
        let made = runtime.block_on(admin.create_partitions([&new], &options)).map_err(|error| error.to_string())?;
        for result in made {
            result.map_err(|(_, code)| code.to_string())?;
        }
        wait_for("the new partition to have a leader", || {
            let found = admin.inner().fetch_metadata(Some(NAME), ASK_TIMEOUT).map_err(|error| error.to_string())?;
            let partitions = found.topics().first().ok_or("no metadata")?.partitions();
            let led = partitions.iter().filter(|partition| partition.leader() >= 0).count();
            if led == usize::try_from(count).unwrap() { Ok(()) } else { Err(format!("{led} of {count} have one")) }
        });
        self.partitions.store(count, Ordering::SeqCst);
        Ok(count)
    }

    /// The broker's log, where groups tell their generations.
    pub(crate) fn broker_log(&self) -> PathBuf {
        self.broker.folder().join("kafka.log")
    }

    /// The last generation that the broker has told of the group. Reads what is new in the log only.
    pub(crate) fn generation(&self) -> u32 {
        let mut scan = self.generation.lock().unwrap_or_else(PoisonError::into_inner);
        let (lines, read) = watch::new_lines(&self.broker_log(), scan.0);
        scan.0 = read;
        for line in lines {
            for text in [format!("Stabilized group {NAME} generation "), format!("Group {NAME} with generation ")] {
                let number = line.split_once(&text).and_then(|(_, rest)| rest.split_whitespace().next()?.parse().ok());
                scan.1 = number.unwrap_or(scan.1);
            }
        }
        scan.1
    }

    /// Whether the broker has let a member with this instance id join.
    pub(crate) fn has_joined(&self, instance: &str) -> bool {
        let text = std::fs::read(self.broker_log()).unwrap_or_default();
        String::from_utf8_lossy(&text).contains(&format!("with group instance id {NAME}-{instance};"))
    }
}
