//! What the connector is doing, as `/status` shows it and `oncesink status` reads it.
//!
//! The pipeline publishes a whole [`Status`] now and then through a watch channel; the admin port only reads it, so that
//! nothing a client does there can slow the pipeline down. Times are milliseconds since 1970. Texts must be free of
//! secrets and of record contents: they are shown to whoever reaches the port.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Everything that is shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The connector's name: its consumer group.
    pub connector: String,
    /// This process among those of the connector.
    pub instance: String,
    /// The version of this program.
    pub version: String,
    /// When the process started.
    pub started_unix_ms: i64,
    /// When this was put together.
    pub updated_unix_ms: i64,
    /// What the process is doing.
    pub state: ProcessState,
    /// Whether the consumer group has given partitions out with us among its members, be it none for us.
    pub group_joined: bool,
    /// What the brokers last said.
    pub kafka: Contact,
    /// What ClickHouse last said.
    pub clickhouse: Contact,
    /// What the schema registry last said, where there is one.
    #[serde(default)]
    pub schema_registry: Option<RegistryStatus>,
    /// The transactional producer.
    pub producer: ProducerStatus,
    /// Memory for records and blocks.
    pub memory: MemoryStatus,
    /// Ranges that the audit found to hold another number of rows than the ledger has proven.
    #[serde(default)]
    pub audit_differences: Vec<AuditDifference>,
    /// Topics that match a pattern of the configuration and are not read.
    #[serde(default)]
    pub left_out: Vec<LeftOutTopic>,
    /// Members of the consumer group that are not of this connector.
    #[serde(default)]
    pub group_strangers: Vec<GroupStranger>,
    /// What of the tables does not fit the configuration since they were changed, and how to mend it.
    #[serde(default)]
    pub unfit_tables: Vec<String>,
    /// The partitions that the group has given to us, by topic, table and number.
    pub partitions: Vec<PartitionStatus>,
}

impl Status {
    /// A process that has just started and knows nothing yet.
    pub fn starting(connector: &str, instance: &str, now_unix_ms: i64, memory_max_bytes: u64) -> Self {
        Self {
            connector: connector.to_owned(),
            instance: instance.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started_unix_ms: now_unix_ms,
            updated_unix_ms: now_unix_ms,
            state: ProcessState::Starting,
            group_joined: false,
            kafka: Contact::default(),
            clickhouse: Contact::default(),
            schema_registry: None,
            producer: ProducerStatus { state: ProducerState::Absent, last_commit_unix_ms: None, last_error: None },
            memory: MemoryStatus { bytes: 0, bytes_max: memory_max_bytes },
            audit_differences: Vec::new(),
            left_out: Vec::new(),
            group_strangers: Vec::new(),
            unfit_tables: Vec::new(),
            partitions: Vec::new(),
        }
    }

    /// The consumer has ended, and another one is about to be built.
    pub fn start_anew(&mut self) {
        self.state = ProcessState::Starting;
        self.group_joined = false;
        self.producer.state = ProducerState::Absent;
        self.partitions.clear();
    }

    /// Why no work can be done now, empty if it can.
    ///
    /// A halted partition is no such reason: the others go on, and an orchestrator that took the process out would
    /// stop them too. It is in [`Status::halted`], in a metric and in the alert rules.
    pub fn obstacles(&self) -> Vec<String> {
        let mut obstacles = Vec::new();
        match self.state {
            ProcessState::Starting => obstacles.push("the process is starting".to_owned()),
            ProcessState::Running => {}
            ProcessState::Stopping => obstacles.push("the process is stopping".to_owned()),
        }
        for (name, contact) in [("kafka", &self.kafka), ("clickhouse", &self.clickhouse)] {
            if !contact.ok {
                let reason = contact.last_error.as_ref().map_or("it has not answered yet", |error| &error.text);
                obstacles.push(format!("{name}: {reason}"));
            }
        }
        if self.producer.state == ProducerState::Failed
            && let Some(error) = &self.producer.last_error
        {
            obstacles.push(format!("transactions: {}", error.text));
        }
        if !self.group_joined {
            obstacles.push("the consumer group has not been joined".to_owned());
        }
        obstacles
    }

    /// Whether no person has to act.
    pub fn is_well(&self) -> bool {
        self.halted().next().is_none()
            && self.audit_differences.is_empty()
            && self.left_out.is_empty()
            && self.group_strangers.is_empty()
            && self.unfit_tables.is_empty()
    }

    /// The partitions that stand still until a person acts.
    pub fn halted(&self) -> impl Iterator<Item = &PartitionStatus> {
        self.partitions.iter().filter(|partition| partition.halted.is_some())
    }
}

/// What the process is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProcessState {
    /// Preparing: preflight, first connections.
    Starting,
    /// At work.
    Running,
    /// Finishing what is under way.
    Stopping,
}

/// What the other side last said.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contact {
    /// Whether the last attempt was answered.
    pub ok: bool,
    /// When the last answer came.
    pub last_success_unix_ms: Option<i64>,
    /// What went wrong last, kept after it passed.
    pub last_error: Option<TimedError>,
}

impl Contact {
    /// It answered.
    pub fn succeeded(&mut self, now_unix_ms: i64) {
        self.ok = true;
        self.last_success_unix_ms = Some(now_unix_ms);
    }

    /// It answered that something is wrong.
    pub fn complained(&mut self, now_unix_ms: i64, text: impl Into<String>) {
        self.succeeded(now_unix_ms);
        self.last_error = Some(TimedError { unix_ms: now_unix_ms, text: text.into() });
    }

    /// It did not answer, or not as it should.
    pub fn failed(&mut self, now_unix_ms: i64, text: impl Into<String>) {
        self.ok = false;
        self.last_error = Some(TimedError { unix_ms: now_unix_ms, text: text.into() });
    }
}

/// An error and when it happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimedError {
    /// When.
    pub unix_ms: i64,
    /// What.
    pub text: String,
}

/// The schema registry, and what is expected from it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegistryStatus {
    /// What it last said.
    pub contact: Contact,
    /// The schemas that it has not given yet, the longest awaited first. Partitions whose records name them wait.
    pub awaited: Vec<AwaitedSchema>,
}

/// A schema that partitions wait for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AwaitedSchema {
    /// Which one, such as `id 7`.
    pub schema: String,
    /// Since when.
    pub since_unix_ms: i64,
    /// Why it is not there, as far as that is known.
    pub reason: Option<String>,
}

impl fmt::Display for AwaitedSchema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reason = self.reason.as_deref().unwrap_or("it has not answered yet");
        write!(f, "{}: {reason}", self.schema)
    }
}

/// A range of the ledger that the table does not agree with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditDifference {
    /// Its topic.
    pub topic: String,
    /// The table that its rows went to.
    pub table: String,
    /// Its partition.
    pub partition: i32,
    /// The range's first offset.
    pub start: u64,
    /// The first offset behind it.
    pub end: u64,
    /// The rows that the ledger has proven.
    pub expected: u64,
    /// The rows that the table holds.
    pub found: u64,
}

impl fmt::Display for AuditDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { topic, table, partition, start, end, expected, found } = self;
        write!(
            f,
            "{topic}/{partition}: {table} holds {found} rows of the offsets [{start}, {end}), proven were {expected}"
        )
    }
}

/// A topic that matches a pattern and is not read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOutTopic {
    /// Its name.
    pub topic: String,
    /// Why, and how to mend it.
    pub reason: String,
}

impl fmt::Display for LeftOutTopic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.topic, self.reason)
    }
}

/// A member of the group that is not of this connector.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupStranger {
    /// What it calls itself: its `client.id`.
    pub client_id: String,
    /// Where it is.
    pub host: String,
    /// How the group gives partitions out; empty while that is not settled.
    pub protocol: String,
    /// How many partitions of our topics it has.
    pub partition_count: u64,
    /// The first of these.
    pub partitions: Vec<String>,
}

impl fmt::Display for GroupStranger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { client_id, host, protocol, partition_count, partitions } = self;
        write!(f, "client id {client_id:?} at {host}")?;
        if !protocol.is_empty() {
            write!(f, ", protocol {protocol}")?;
        }
        match (partition_count, partitions.as_slice()) {
            (0, _) => f.write_str(", without partitions of our topics"),
            (1, [one]) => write!(f, ", has {one}"),
            (count, first) => write!(f, ", has {count} partitions: {}", first.join(", ")),
        }
    }
}

/// The transactional producer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProducerStatus {
    /// What it is doing.
    pub state: ProducerState,
    /// When a transaction was committed last.
    pub last_commit_unix_ms: Option<i64>,
    /// What went wrong last, kept after it passed.
    pub last_error: Option<TimedError>,
}

/// What the producer is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProducerState {
    /// There is none.
    Absent,
    /// It is being made.
    Building,
    /// It can commit.
    Ready,
    /// It could not be made and is tried again after a pause.
    Failed,
}

/// Memory for records and blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryStatus {
    /// Held now.
    pub bytes: u64,
    /// The configured bound.
    pub bytes_max: u64,
}

/// One partition.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PartitionStatus {
    /// Its topic.
    pub topic: String,
    /// The table that its rows go to.
    pub table: String,
    /// Its number.
    pub partition: i32,
    /// What it is doing.
    pub state: PartitionState,
    /// The next offset to be consumed.
    pub position: Option<u64>,
    /// The committed offset.
    pub committed: Option<u64>,
    /// Offsets that may hold a record and are not committed, up to the last stable offset; 0 when all that a reader of
    /// committed data can see is stored.
    pub lag_records: Option<u64>,
    /// The age of the oldest record that is not committed; 0 where there is none.
    pub lag_seconds: Option<f64>,
    /// The transaction that keeps records from being read, where one stays open.
    #[serde(default)]
    pub open_transaction: Option<OpenTransaction>,
    /// When a block with records of it was acknowledged last.
    pub last_insert_unix_ms: Option<i64>,
    /// What went wrong last, kept after it passed.
    pub last_error: Option<TimedError>,
    /// What became dead letters since this process was given the partition, by reason and field; the first twenty reasons.
    #[serde(default)]
    pub dead_letters: Vec<DeadLetterCount>,
    /// Why it stands still, where it does.
    pub halted: Option<Halted>,
}

/// A producer's transaction that has not ended: nothing from its first record on can be read before it has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenTransaction {
    /// Its first record: the last stable offset.
    pub offset: u64,
    /// Since when it is seen open.
    pub since_unix_ms: i64,
}

/// What a partition is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PartitionState {
    /// A takeover is due.
    Waiting,
    /// A takeover is at it.
    TakingOver,
    /// It is consumed.
    Running,
    /// It is ours and not fetched, because memory is full.
    Paused,
    /// It stands still until a person acts.
    Halted,
}

/// Dead letters of one reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetterCount {
    /// The reason, as in the dead-letter table.
    pub code: String,
    /// The column or field whose value was wrong, if it was one.
    pub field: String,
    /// How many there are.
    pub records: u64,
    /// Where the first one is.
    pub first_offset: u64,
    /// When the last block with one was stored.
    pub last_unix_ms: i64,
}

impl fmt::Display for DeadLetterCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.records, self.code)?;
        if !self.field.is_empty() {
            write!(f, " in `{}`", self.field)?;
        }
        write!(f, " (first at offset {})", self.first_offset)
    }
}

/// Why a partition stands still.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Halted {
    /// A stable word.
    pub code: String,
    /// What happened and what to do.
    pub reason: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn obstacles_name_what_is_missing() {
        let check = |change: &dyn Fn(&mut Status), expected: &[&str]| {
            let mut status = Status::starting("readings", "host-1", 0, 1);
            status.state = ProcessState::Running;
            status.group_joined = true;
            status.kafka.succeeded(1);
            status.clickhouse.succeeded(1);
            change(&mut status);
            assert_eq!(status.obstacles(), expected);
        };
        check(&|_| {}, &[]);
        check(&|status| status.state = ProcessState::Starting, &["the process is starting"]);
        check(&|status| status.state = ProcessState::Stopping, &["the process is stopping"]);
        check(&|status| status.group_joined = false, &["the consumer group has not been joined"]);
        check(&|status| status.kafka = Contact::default(), &["kafka: it has not answered yet"]);
        check(&|status| status.clickhouse.failed(2, "connection refused"), &["clickhouse: connection refused"]);
        let producer_failed = |status: &mut Status| {
            status.producer.state = ProducerState::Failed;
            status.producer.last_error = Some(TimedError { unix_ms: 2, text: "no coordinator".to_owned() });
        };
        check(&producer_failed, &["transactions: no coordinator"]);
        check(
            &|status| {
                producer_failed(status);
                status.producer.state = ProducerState::Ready;
            },
            &[],
        );
        check(
            &|status| {
                status.clickhouse.failed(2, "connection refused");
                status.clickhouse.succeeded(3);
            },
            &[],
        );
    }

    #[test]
    fn a_status_survives_json() {
        let mut status = Status::starting("readings", "host-1", 5, 1);
        status.kafka.failed(6, "no broker");
        status.group_strangers.push(GroupStranger {
            client_id: "flink".to_owned(),
            host: "10.0.0.9".to_owned(),
            protocol: "range".to_owned(),
            partition_count: 1,
            partitions: vec!["readings [1]".to_owned()],
        });
        let awaited = AwaitedSchema { schema: "id 7".to_owned(), since_unix_ms: 4, reason: None };
        status.schema_registry = Some(RegistryStatus { contact: Contact::default(), awaited: vec![awaited] });
        status.partitions.push(PartitionStatus {
            topic: "readings".to_owned(),
            table: "iot.readings".to_owned(),
            partition: 3,
            state: PartitionState::TakingOver,
            position: Some(u64::MAX),
            committed: None,
            lag_records: Some(1),
            lag_seconds: Some(0.25),
            open_transaction: Some(OpenTransaction { offset: 8, since_unix_ms: 7 }),
            last_insert_unix_ms: None,
            last_error: None,
            dead_letters: vec![DeadLetterCount {
                code: "out_of_range".to_owned(),
                field: "price".to_owned(),
                records: 2,
                first_offset: 7,
                last_unix_ms: 3,
            }],
            halted: None,
        });
        let text = serde_json::to_string(&status).unwrap();
        assert!(text.contains(r#""state":"taking_over""#), "{text}");
        assert_eq!(serde_json::from_str::<Status>(&text).unwrap(), status);
        let mut older: serde_json::Value = serde_json::from_str(&text).unwrap();
        older.as_object_mut().unwrap().remove("schema_registry").unwrap();
        assert_eq!(serde_json::from_value::<Status>(older).unwrap().schema_registry, None);
    }
}
