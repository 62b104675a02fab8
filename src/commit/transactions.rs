//! The thread that commits: one Kafka transaction at a time, with alerts and offsets.
//!
//! Takes jobs from a bounded channel, gives each job's end through its callback, on this thread.
//! Promises: alerts are acknowledged before offsets are sent; offsets are sent only while every partition is ours under
//! the number that the job names, and under the group identity that was looked at; an end that is not known is called
//! ambiguous. Never retries a transaction, never rebuilds the producer by itself.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::producer::Producer;
use rdkafka::topic_partition_list::{Offset as NativeOffset, TopicPartitionList};

use super::metadata;
use super::outcome::{self, Failure};
use super::producer::{self, AlertProducer, Deliveries};
use crate::protocol::facts::Metadata;
use crate::source::handle::GroupHandle;
use crate::source::{Coordinator, TransactionError, coordinator_obstacle, send_offsets};
use crate::types::{AssignmentNumber, Offset, PartitionKey};

/// What the producer is built from.
#[derive(Debug, Clone)]
pub struct TransactionSettings {
    /// Bootstrap servers, separated by commas.
    pub brokers: String,
    /// The connector's name.
    pub name: String,
    /// This process among those of the same name.
    pub instance: String,
    /// More properties of the client library.
    pub properties: BTreeMap<String, String>,
    /// After which the broker aborts a transaction: how long one that was left open delays the next owner. 10 to 15 s,
    /// since a transaction holds no work of ClickHouse.
    pub transaction_timeout: Duration,
    /// The clock, which only decides when a producer is to be recycled.
    pub now: fn() -> Instant,
}

impl TransactionSettings {
    pub(super) fn transactional_id(&self) -> String {
        format!("{}-{}", self.name, self.instance)
    }
}

/// What one transaction commits. With neither offsets nor alerts there is nothing to do, and it ends `Committed`.
#[derive(Debug, Clone, Default)]
pub struct Transaction {
    /// The next offset of each partition, with its metadata and the number of the assignment it was reached under.
    pub offsets: BTreeMap<PartitionKey, OffsetCommit>,
    /// Alerts, in order. Without offsets they are committed by themselves, whoever owns what.
    pub alerts: Vec<AlertMessage>,
}

/// The offset to commit for a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OffsetCommit {
    /// The assignment under which the work was done.
    pub number: AssignmentNumber,
    /// The next offset to consume.
    pub offset: Offset,
    /// What stands beside it.
    pub metadata: Metadata,
}

/// A message to an alert topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlertMessage {
    /// The topic.
    pub topic: Arc<str>,
    /// The key, which chooses the partition.
    pub key: Option<Vec<u8>>,
    /// The value.
    pub payload: Vec<u8>,
    /// Headers.
    pub headers: Vec<(String, Vec<u8>)>,
}

/// How building a producer ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BuildEnd {
    /// It is ready; what an earlier one left open is aborted.
    Built,
    /// There is no producer now.
    Failed {
        /// Why.
        text: String,
        /// Whether the same may work later.
        retry: bool,
    },
    /// Another producer with the same transactional id got in between.
    Fenced {
        /// The client's words.
        text: String,
    },
}

/// How a transaction ended. After `Ambiguous` and `Fatal` the producer is gone: `Build` comes next, then a takeover.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TransactionEnd {
    /// All of it is committed.
    Committed {
        /// The cluster was slow to answer, so that a request sent twice may still be on its way: build a new producer
        /// before the next transaction.
        recycle: bool,
    },
    /// These partitions are not ours under the numbers given, or the group does not count us at all (then all are
    /// named). Nothing was sent for any partition, alerts are aborted.
    NotOwned(BTreeSet<PartitionKey>),
    /// The group's coordinator refused the offsets. Nothing is committed.
    Rejected {
        /// The client's words.
        text: String,
        /// Another member has joined with our instance id.
        replaced: bool,
    },
    /// An alert could not be delivered. Nothing is committed.
    AlertsFailed {
        /// The client's words.
        text: String,
    },
    /// Whether it is committed is not known.
    Ambiguous {
        /// What happened.
        text: String,
    },
    /// The producer failed for good; whether the transaction is committed is not known.
    Fatal {
        /// What happened.
        text: String,
        /// Another producer has our transactional id. (A transaction that outlasted its own timeout looks the same, and
        /// is not counted.)
        fenced: bool,
    },
}

/// What the thread is asked to do. Each callback is called once, or dropped with the thread.
pub enum Job {
    /// Drop the producer, if any, and make a new one.
    Build {
        /// Called with the end.
        reply: Box<dyn FnOnce(BuildEnd) + Send>,
    },
    /// Run a transaction.
    Run {
        /// What to commit.
        transaction: Transaction,
        /// Called with the end.
        reply: Box<dyn FnOnce(TransactionEnd) + Send>,
    },
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Build { .. } => "Build",
            Self::Run { .. } => "Run",
        })
    }
}

/// Why a job was not taken. It comes back.
#[derive(Debug)]
pub enum SubmitError {
    /// Too many jobs wait.
    Full(Job),
    /// The thread has ended, which it does only by a panic.
    Ended(Job),
}

/// How many jobs may wait: one runs, one waits, and a build can always be added.
const JOBS_MAX: usize = 4;

/// For `init_transactions`, which may have to wait for an older transaction to be aborted.
const BUILD_TIMEOUT: Duration = Duration::from_secs(10);
/// For each question to the brokers about why there is no producer.
const WHY_TIMEOUT: Duration = Duration::from_secs(3);
/// For alerts and for sending offsets. Below the shortest transaction timeout.
const STEP_TIMEOUT: Duration = Duration::from_secs(8);
/// For each try to abort.
const ABORT_TIMEOUT: Duration = Duration::from_secs(1);
const ABORT_TRIES_MAX: u32 = 8;
/// For each try to commit; a try that runs out is resumed.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(15);
const COMMIT_TRIES_MAX: u32 = 4;
/// The client sends offsets again half a second after a try that had no clear answer; the first may then arrive late, in
/// the next transaction. Anything quicker was sent once.
const OFFSETS_SENT_ONCE: Duration = Duration::from_millis(450);
/// The longest that a commit may take without a doubt about late requests.
const COMMIT_QUICK: Duration = Duration::from_secs(10);

/// The committing thread. Dropping this lets it finish its jobs, then waits for its end.
pub struct TransactionThread {
    jobs: Option<SyncSender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl TransactionThread {
    /// Starts the thread, without a producer yet. `Err` where a property is not the user's to set, or no thread can be had.
    pub fn start(settings: TransactionSettings, group: GroupHandle) -> io::Result<Self> {
        if let Some(property) = producer::refused_property(&settings.properties) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!(
                    "kafka producer property {property} cannot be set: exactly-once delivery needs the connector's own value; remove it from the configuration"
                ),
            ));
        }
        let (jobs, waiting) = sync_channel(JOBS_MAX);
        let mut worker = Worker { settings, group, producer: None };
        let thread =
            std::thread::Builder::new().name("transactions".to_owned()).spawn(move || worker.work(&waiting))?;
        Ok(Self { jobs: Some(jobs), thread: Some(thread) })
    }

    /// Adds a job. Never waits.
    pub fn submit(&self, job: Job) -> Result<(), SubmitError> {
        let jobs = self.jobs.as_ref().expect("taken only when dropped");
        jobs.try_send(job).map_err(|error| match error {
            TrySendError::Full(job) => SubmitError::Full(job),
            TrySendError::Disconnected(job) => SubmitError::Ended(job),
        })
    }
}

impl Drop for TransactionThread {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the transaction thread panicked");
        }
    }
}

impl fmt::Debug for TransactionThread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TransactionThread")
    }
}

struct Worker {
    settings: TransactionSettings,
    group: GroupHandle,
    producer: Option<AlertProducer>,
}

impl Worker {
    fn work(&mut self, jobs: &Receiver<Job>) {
        while let Ok(job) = jobs.recv() {
            match job {
                Job::Build { reply } => reply(self.build()),
                Job::Run { transaction, reply } => reply(self.run(&transaction)),
            }
        }
    }

    fn build(&mut self) -> BuildEnd {
        // First, so that its requests are over before the new epoch begins.
        self.producer = None;
        let config = producer::client_config(&self.settings);
        let created = config.create_with_context(Deliveries::new(&config));
        let producer: AlertProducer = match created {
            Ok(producer) => producer,
            Err(error) => {
                return BuildEnd::Failed { text: format!("creating the producer: {error}"), retry: false };
            }
        };
        match producer.init_transactions(BUILD_TIMEOUT) {
            Ok(()) => {
                self.producer = Some(producer);
                BuildEnd::Built
            }
            Err(error) => {
                let mut error = TransactionError::from(error);
                if let Some(why) = why_none(&self.settings, &error, producer.context().heard()) {
                    error.text = why;
                }
                build_failure(&error)
            }
        }
    }

    fn run(&mut self, transaction: &Transaction) -> TransactionEnd {
        if transaction.offsets.is_empty() && transaction.alerts.is_empty() {
            return TransactionEnd::Committed { recycle: false };
        }
        let Some(producer) = &self.producer else {
            return TransactionEnd::Fatal {
                text: "there is no producer: the last one failed and no new one was built".to_owned(),
                fenced: false,
            };
        };
        let attempt = Attempt {
            producer,
            group: &self.group,
            transaction,
            settings: &self.settings,
            began: (self.settings.now)(),
        };
        let end = attempt.run().unwrap_or_else(|end| end);
        if matches!(end, TransactionEnd::Ambiguous { .. } | TransactionEnd::Fatal { .. }) {
            self.producer = None;
        }
        end
    }
}

/// Why there is no producer, in words for a person, where the client's own do not say it.
fn why_none(settings: &TransactionSettings, error: &TransactionError, heard: Option<String>) -> Option<String> {
    let id = settings.transactional_id();
    let is = |code: RDKafkaErrorCode, words: &str| error.code == code || error.text.contains(words);
    let rule = "kafka-acls.sh --add --allow-principal User:..";
    if is(RDKafkaErrorCode::TransactionalIdAuthorizationFailed, "Transactional Id authorization failed") {
        return Some(format!(
            "the cluster does not let this user use the transactional id {id}: {rule} --operation Write --operation \
             Describe --transactional-id {id}"
        ));
    }
    if is(RDKafkaErrorCode::ClusterAuthorizationFailed, "Cluster authorization failed") {
        return Some(format!(
            "the cluster does not let this user write idempotently: {rule} --operation IdempotentWrite --cluster"
        ));
    }
    if !may_pass(error) {
        return None;
    }
    if heard.is_some() {
        return heard;
    }
    let mut config = ClientConfig::new();
    for (property, value) in &settings.properties {
        config.set(property, value);
    }
    config.set("bootstrap.servers", &settings.brokers);
    coordinator_obstacle(&config, Coordinator::Transactions, WHY_TIMEOUT)
}

fn build_failure(error: &TransactionError) -> BuildEnd {
    let text = format!("starting transactions: {}", error.text);
    if outcome::is_fenced(error.code) {
        return BuildEnd::Fenced { text };
    }
    BuildEnd::Failed { text, retry: may_pass(error) }
}

fn may_pass(error: &TransactionError) -> bool {
    error.retriable
        || matches!(
            error.code,
            RDKafkaErrorCode::OperationTimedOut
                | RDKafkaErrorCode::BrokerTransportFailure
                | RDKafkaErrorCode::CoordinatorNotAvailable
                | RDKafkaErrorCode::NotCoordinator
                | RDKafkaErrorCode::CoordinatorLoadInProgress
                | RDKafkaErrorCode::ConcurrentTransactions
        )
}

/// One transaction on its way.
struct Attempt<'a> {
    producer: &'a AlertProducer,
    group: &'a GroupHandle,
    transaction: &'a Transaction,
    settings: &'a TransactionSettings,
    began: Instant,
}

impl Attempt<'_> {
    fn run(&self) -> Result<TransactionEnd, TransactionEnd> {
        // Only to spare a transaction: what counts is the look at the table while offsets are sent.
        self.check_owned(&self.group.assignments().hold()).map_err(TransactionEnd::NotOwned)?;
        self.producer.begin_transaction().map_err(|error| {
            let error = error.into();
            self.end_of(outcome::of_other(&error), "beginning a transaction", &error)
        })?;
        match producer::deliver(self.producer, &self.transaction.alerts, STEP_TIMEOUT) {
            Ok(()) => {}
            Err(Ok(text)) => {
                return self.aborted(TransactionEnd::AlertsFailed { text });
            }
            Err(Err(error)) => {
                return Err(self.end_of(outcome::of_other(&error), "sending alerts", &error));
            }
        }
        let sent_once = self.send_offsets()?;
        crate::failpoint::hit("after_send_offsets");
        let quick = self.commit()?;
        Ok(TransactionEnd::Committed { recycle: !(sent_once && quick) })
    }

    fn check_owned(&self, held: &crate::source::group::HeldAssignments<'_>) -> Result<(), BTreeSet<PartitionKey>> {
        let expected = self.transaction.offsets.iter().map(|(key, commit)| (key, &commit.number));
        let missing = held.not_owned(expected);
        if missing.is_empty() { Ok(()) } else { Err(missing) }
    }

    /// Whether the offsets were certainly sent once only.
    fn send_offsets(&self) -> Result<bool, TransactionEnd> {
        if self.transaction.offsets.is_empty() {
            return Ok(true);
        }
        let offsets = self.offset_list();
        // From here to the end of sending no partition is let go.
        let held = self.group.assignments().hold();
        let started = (self.settings.now)();
        let sent = match self.check_owned(&held) {
            Err(missing) => Err(Err(missing)),
            Ok(()) => match self.group.identity() {
                // Never without an identity: the broker would take the offsets from anybody.
                None => Err(Err(self.transaction.offsets.keys().copied().collect())),
                Some(identity) => send_offsets(self.producer, &offsets, &identity, STEP_TIMEOUT).map_err(Ok),
            },
        };
        let took = (self.settings.now)().saturating_duration_since(started);
        drop(held);
        match sent {
            Ok(()) => Ok(took < OFFSETS_SENT_ONCE),
            Err(Err(missing)) => Err(self.aborted(TransactionEnd::NotOwned(missing))?),
            Err(Ok(error)) => {
                let failure = outcome::of_sending_offsets(&error);
                let end = self.end_of(failure, "sending offsets", &error);
                if matches!(end, TransactionEnd::Rejected { .. }) {
                    return Err(self.aborted(end)?);
                }
                Err(end)
            }
        }
    }

    fn offset_list(&self) -> TopicPartitionList {
        let mut list = TopicPartitionList::with_capacity(self.transaction.offsets.len());
        for (key, commit) in &self.transaction.offsets {
            let mut element = list.add_partition(self.group.topic(key.lane), key.partition.0);
            element
                .set_offset(NativeOffset::Offset(commit.offset.to_kafka()))
                .expect("an offset of ours is never negative");
            element.set_metadata(metadata::encode(&commit.metadata));
        }
        list
    }

    /// Whether it was quick enough to leave no request behind.
    fn commit(&self) -> Result<bool, TransactionEnd> {
        let started = (self.settings.now)();
        for tries in 1.. {
            let Err(error) = self.producer.commit_transaction(COMMIT_TIMEOUT) else {
                let took = (self.settings.now)().saturating_duration_since(started);
                return Ok(tries == 1 && took < COMMIT_QUICK);
            };
            let error = TransactionError::from(error);
            let failure = outcome::of_committing(&error);
            // Calling again resumes the same commit.
            if failure != Failure::Resumable || tries == COMMIT_TRIES_MAX {
                return Err(self.end_of(failure, "committing", &error));
            }
        }
        unreachable!("the last try returns")
    }

    /// `end`, once the transaction is aborted.
    fn aborted(&self, end: TransactionEnd) -> Result<TransactionEnd, TransactionEnd> {
        for tries in 1.. {
            let Err(error) = self.producer.abort_transaction(ABORT_TIMEOUT) else {
                return Ok(end);
            };
            let error = TransactionError::from(error);
            // Aborting waits until the reports of purged alerts were read, which is for us to do. It resumes.
            if !error.retriable || tries == ABORT_TRIES_MAX {
                return Err(self.end_of(outcome::of_other(&error), "aborting", &error));
            }
            self.producer.poll(Duration::ZERO);
        }
        unreachable!("the last try returns")
    }

    fn end_of(&self, failure: Failure, doing: &str, error: &TransactionError) -> TransactionEnd {
        let text = format!("{doing}: {}", error.text);
        match failure {
            Failure::Rejected { replaced } => TransactionEnd::Rejected { text, replaced },
            Failure::Resumable | Failure::Ambiguous => TransactionEnd::Ambiguous { text },
            Failure::Fatal { fenced } => {
                let took = (self.settings.now)().saturating_duration_since(self.began);
                TransactionEnd::Fatal { text, fenced: fenced && took < self.settings.transaction_timeout }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_producer_that_cannot_start() {
        let check = |code, retriable, expected: fn(String) -> BuildEnd| {
            let error =
                TransactionError { code, fatal: false, retriable, requires_abort: false, text: "why".to_owned() };
            let text = "starting transactions: why".to_owned();
            assert_eq!(build_failure(&error), expected(text), "{code:?}");
        };
        use RDKafkaErrorCode as Code;
        for code in [Code::Fenced, Code::InvalidProducerEpoch] {
            check(code, false, |text| BuildEnd::Fenced { text });
        }
        for code in [Code::OperationTimedOut, Code::CoordinatorNotAvailable] {
            check(code, false, |text| BuildEnd::Failed { text, retry: true });
        }
        check(Code::Unknown, true, |text| BuildEnd::Failed { text, retry: true });
        check(Code::TransactionalIdAuthorizationFailed, false, |text| BuildEnd::Failed { text, retry: false });
    }
}
