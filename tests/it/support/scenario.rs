//! A scenario: a topic, a table and a connector's configuration under fresh names, and what was produced.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU32, Ordering};

use super::connector::{Connector, oncesink};
use super::kafka::Kafka;
use super::oracle::{Stored, Unit};
use super::wait_for;

/// Where the servers are.
#[derive(Debug, Clone)]
pub(crate) struct Servers {
    pub(crate) brokers: String,
    pub(crate) clickhouse_url: String,
    /// What a client needs to know to connect to the brokers, as librdkafka and the configuration name it.
    pub(crate) kafka_properties: Vec<(String, String)>,
    /// Asks ClickHouse.
    pub(crate) client: devstack::http::Client,
    /// More lines of `clickhouse`.
    pub(crate) clickhouse_lines: Vec<String>,
}

impl Servers {
    /// The broker and the engine that all tests share, or those that the environment names.
    pub(crate) fn shared() -> Self {
        let stack = devstack::Stack::shared().unwrap();
        Self::plain(stack.bootstrap(), stack.clickhouse_url())
    }

    /// Servers without passwords.
    pub(crate) fn plain(brokers: &str, clickhouse_url: &str) -> Self {
        Self {
            brokers: brokers.to_owned(),
            clickhouse_url: clickhouse_url.to_owned(),
            kafka_properties: Vec::new(),
            client: devstack::http::Client::new(clickhouse_url),
            clickhouse_lines: Vec::new(),
        }
    }

    pub(crate) fn kafka(&self) -> Kafka {
        let properties: Vec<(&str, &str)> =
            self.kafka_properties.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        Kafka::new(&self.brokers, &properties)
    }

    pub(crate) fn query(&self, sql: &str) -> String {
        self.client.query(sql).unwrap_or_else(|error| panic!("{sql}: {error:#}"))
    }
}

/// A scenario of one topic and one table.
pub(crate) struct Scenario {
    pub(crate) servers: Servers,
    pub(crate) kafka: Kafka,
    pub(crate) name: String,
    pub(crate) topic: String,
    pub(crate) alert_topic: String,
    pub(crate) database: String,
    pub(crate) table: String,
    pub(crate) partitions: i32,
    pub(crate) folder: tempfile::TempDir,
    produced: BTreeSet<Unit>,
    next_offset: BTreeMap<i32, u64>,
    next_id: u64,
    /// The topic's detectors, as lines of its entry.
    pub(crate) detector_lines: Vec<String>,
    /// The columns of `coordinates` that are not named as they are anyway.
    pub(crate) coordinates: String,
    /// More lines of `kafka`.
    pub(crate) kafka_lines: Vec<String>,
    /// More lines below the topic's entry of the configuration.
    pub(crate) topic_lines: Vec<String>,
    /// More lines at the top level of the configuration.
    pub(crate) top_lines: Vec<String>,
    /// Where the connector connects to, if not straight to the server: a proxy.
    pub(crate) clickhouse_through: Option<String>,
    pub(crate) linger: String,
    /// When the group gives up a member that is silent.
    pub(crate) session_timeout_ms: u32,
}

/// One record in so many is hot enough to fire an alert.
pub(crate) const HOT_EVERY: u64 = 100;

impl Scenario {
    /// Makes topic, database and table.
    pub(crate) fn new(servers: Servers, name: &str, partitions: i32) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let unique = format!("{name}_{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let kafka = servers.kafka();
        kafka.create_topic(&unique, partitions);
        let alert_topic = format!("{unique}_alerts");
        kafka.create_topic(&alert_topic, 1);
        servers.query(&format!("CREATE DATABASE {unique}"));
        let table = format!("{unique}.readings");
        servers.query(&format!(
            "CREATE TABLE {table} (id UInt64, sensor LowCardinality(String), temp Float64, note Nullable(String), \
             _topic LowCardinality(String), _partition Int32, _offset UInt64, _replay UInt32, \
             INDEX offsets _offset TYPE minmax) ENGINE = MergeTree ORDER BY (sensor, id)"
        ));
        Self {
            kafka,
            servers,
            name: unique.clone(),
            topic: unique.clone(),
            alert_topic,
            database: unique,
            table,
            partitions,
            folder: tempfile::tempdir().unwrap(),
            produced: BTreeSet::new(),
            next_offset: BTreeMap::new(),
            next_id: 0,
            detector_lines: vec![
                "detectors:".to_owned(),
                "  - { name: too_hot, when: temp > 90, key: sensor, alerts_per_block_max: 100000 }".to_owned(),
            ],
            coordinates: "replay: _replay".to_owned(),
            kafka_lines: Vec::new(),
            topic_lines: Vec::new(),
            top_lines: Vec::new(),
            clickhouse_through: None,
            linger: "100ms".to_owned(),
            session_timeout_ms: 6_000,
        }
    }

    /// Over the servers that all tests share.
    pub(crate) fn shared(name: &str, partitions: i32) -> Self {
        Self::new(Servers::shared(), name, partitions)
    }

    /// The configuration file of an instance.
    pub(crate) fn config(&self, instance: &str) -> String {
        let url = self.clickhouse_through.as_ref().unwrap_or(&self.servers.clickhouse_url);
        let mut text = format!(
            "name: {name}\ninstance: {instance}\nkafka:\n  brokers: {brokers}\n  properties:\n    \
             session.timeout.ms: {session}\n    heartbeat.interval.ms: 500\n",
            session = self.session_timeout_ms,
            name = self.name,
            brokers = self.servers.brokers,
        );
        for (property, value) in &self.servers.kafka_properties {
            writeln!(text, "    {property}: {value}").unwrap();
        }
        for line in &self.kafka_lines {
            writeln!(text, "  {line}").unwrap();
        }
        writeln!(text, "clickhouse:\n  url: {url}").unwrap();
        for line in &self.servers.clickhouse_lines {
            writeln!(text, "  {line}").unwrap();
        }
        writeln!(
            text,
            "state_database: {database}\nadmin: {{ listen: 127.0.0.1:0 }}\nalerts: {{ topic: {alerts} }}",
            database = self.database,
            alerts = self.alert_topic,
        )
        .unwrap();
        for line in &self.top_lines {
            writeln!(text, "{line}").unwrap();
        }
        writeln!(
            text,
            "topics:\n  - topic: {topic}\n    table: {table}\n    batch: {{ linger: {linger}, rows_max: 5000, \
             inserts_per_second_max: 20 }}\n    \
             coordinates: {{ topic: _topic, partition: _partition, offset: _offset, {coordinates} }}",
            coordinates = self.coordinates,
            topic = self.topic,
            table = self.table,
            linger = self.linger,
        )
        .unwrap();
        for line in self.detector_lines.iter().chain(&self.topic_lines) {
            writeln!(text, "    {line}").unwrap();
        }
        text
    }

    /// Starts a connector.
    pub(crate) fn start(&self, instance: &str) -> Connector {
        Connector::start(self.folder.path(), instance, &self.config(instance), None)
    }

    /// Starts a connector that ends or freezes at a failpoint.
    pub(crate) fn start_with_failpoint(&self, instance: &str, failpoint: &str) -> Connector {
        Connector::start(self.folder.path(), instance, &self.config(instance), Some(failpoint))
    }

    /// Produces good records, round robin over the partitions.
    pub(crate) fn produce(&mut self, count: u64) {
        let payloads: Vec<(i32, String)> = (0..count)
            .map(|_| {
                let id = self.next_id;
                self.next_id += 1;
                let temp = if id.is_multiple_of(HOT_EVERY) { 95.5 } else { 20.25 };
                let payload = format!(r#"{{"id":{id},"sensor":"s{}","temp":{temp},"note":null}}"#, id % 50);
                (self.partition_of(id), payload)
            })
            .collect();
        self.produce_payloads(&payloads);
    }

    /// Adds partitions to the topic, until it has so many.
    pub(crate) fn add_partitions(&mut self, partitions: i32) {
        self.kafka.add_partitions(&self.topic, partitions);
        self.partitions = partitions;
    }

    /// Produces these records.
    pub(crate) fn produce_payloads<P: AsRef<[u8]>>(&mut self, payloads: &[(i32, P)]) {
        for (partition, _) in payloads {
            let next = self.next_offset.entry(*partition).or_default();
            self.produced.insert((*partition, *next));
            *next += 1;
        }
        self.kafka.produce(&self.topic, payloads.iter().map(|(partition, payload)| (*partition, payload.as_ref())));
    }

    /// Produces these records with these timestamps, into partition 0.
    pub(crate) fn produce_at(&mut self, records: &[(String, i64)]) {
        for _ in records {
            let next = self.skip_offset(0);
            self.produced.insert((0, next));
        }
        self.kafka.produce_at(&self.topic, records.iter().map(|(payload, timestamp)| (payload.as_bytes(), *timestamp)));
    }

    fn partition_of(&self, id: u64) -> i32 {
        i32::try_from(id % u64::try_from(self.partitions).unwrap()).unwrap()
    }

    /// Forgets what was produced, and which offsets: the topic was made anew.
    pub(crate) fn forget_produced(&mut self) {
        self.produced.clear();
        self.next_offset.clear();
    }

    /// Everything produced and not forgotten.
    pub(crate) fn produced(&self) -> &BTreeSet<Unit> {
        &self.produced
    }

    /// The offset that the next record of a partition gets, after one that the scenario did not produce itself.
    pub(crate) fn skip_offset(&mut self, partition: i32) -> u64 {
        let next = self.next_offset.entry(partition).or_default();
        *next += 1;
        *next - 1
    }

    /// What ClickHouse has.
    pub(crate) fn stored(&self) -> Result<Stored, String> {
        Stored::read(&self.servers.client, &self.table, &self.database, &self.topic)
    }

    /// How many units ClickHouse has.
    pub(crate) fn stored_count(&self) -> usize {
        self.stored().map_or(0, |stored| stored.rows.len() + stored.dead.len())
    }

    /// Waits until every unit is stored, and once.
    pub(crate) fn wait_until_stored(&self) {
        wait_for(&format!("{} to be stored", self.name), || self.stored()?.compare(&self.produced));
    }

    /// Waits until every unit is stored, and the group has committed the end of every partition.
    pub(crate) fn wait_until_done(&self) {
        self.wait_until_stored();
        wait_for(&format!("offsets of {} to be committed", self.name), || {
            let (code, text) = self.run(&["verify", "--complete"]);
            if code == 0 { Ok(()) } else { Err(text) }
        });
    }

    /// Another command with this configuration.
    pub(crate) fn run(&self, arguments: &[&str]) -> (i32, String) {
        let config = self.folder.path().join("command.yaml");
        std::fs::write(&config, self.config("command")).unwrap();
        let mut all = arguments.to_vec();
        all.extend(["--config", config.to_str().unwrap()]);
        oncesink(&all)
    }

    /// The promise: every unit once, every alert once. To be called when the connector has come to rest.
    pub(crate) fn assert_exactly_once(&self) {
        self.stored().unwrap().compare(&self.produced).unwrap();
        let mut alerts: BTreeMap<String, u32> = BTreeMap::new();
        for record in self.kafka.read_all(&self.alert_topic) {
            let alert: serde_json::Value = serde_json::from_slice(&record.payload).unwrap();
            let unit = format!("{}/{}", alert["partition"], alert["offset"]);
            *alerts.entry(unit).or_default() += 1;
        }
        let hot = self.servers.query(&format!(
            "SELECT concat(toString(_partition), '/', toString(_offset)) FROM {} WHERE temp > 90 AND _topic = '{}'",
            self.table, self.topic
        ));
        let expected: BTreeMap<String, u32> = hot.lines().map(|unit| (unit.to_owned(), 1)).collect();
        let wrong: Vec<_> = expected
            .keys()
            .chain(alerts.keys())
            .filter(|unit| expected.get(*unit) != alerts.get(*unit))
            .map(|unit| format!("{unit}: {:?} alerts, expected {:?}", alerts.get(unit), expected.get(unit)))
            .collect();
        assert!(wrong.is_empty(), "{} alerts are wrong: {}", wrong.len(), wrong[..wrong.len().min(10)].join("; "));
    }
}

impl Drop for Scenario {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        // On servers of the user's own nothing is left behind; our own are thrown away whole.
        if std::env::var_os("KAFKA_BROKERS").is_some() {
            self.kafka.delete_topic(&self.topic);
            self.kafka.delete_topic(&self.alert_topic);
            self.kafka.delete_group(&self.name);
            self.servers.query(&format!("DROP DATABASE {} SYNC", self.database));
        }
    }
}
