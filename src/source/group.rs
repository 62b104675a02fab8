//! Membership in the consumer group: which partitions are ours, under which number, and what else the group tells us.
//!
//! Takes the client's callbacks, gives the assignment table and events.
//! Promises: a partition leaves the table before the group learns that we let go of it, and not while somebody holds the
//! table. Never fetches anything: an assigned partition stays paused until it is started.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::topic_partition_list::{Offset as NativeOffset, TopicPartitionList};
use rdkafka::types::RDKafkaRespErr;

use super::native::{ForwardTarget, KafkaFault};
use super::trouble::{Heard, without_thread};
use crate::types::{AssignmentNumber, LaneId, Partition, PartitionKey};

/// What happened to our membership, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GroupEvent {
    /// The group handed us these partitions. They are paused until started. May be empty.
    Assigned(BTreeMap<PartitionKey, AssignmentNumber>),
    /// The group took these partitions. Nothing of them comes any more. May be empty.
    Revoked(BTreeMap<PartitionKey, AssignmentNumber>),
    /// Another member has our instance id: this process must stop.
    Fenced {
        /// The client's words.
        text: String,
    },
    /// The client cannot go on and must be built anew.
    Fatal {
        /// The client's words.
        text: String,
    },
    /// The consumer was not served for so long that the group took everything from it.
    ServedTooLate {
        /// The client's words.
        text: String,
    },
    /// A topic that we subscribe to does not exist.
    UnknownTopic {
        /// The client's words.
        text: String,
    },
    /// The cluster refuses us: credentials or grants are missing.
    Denied {
        /// The client's words.
        text: String,
    },
    /// Something that the client goes on trying by itself: a connection lost, a coordinator that moves.
    Trouble {
        /// The client's words.
        text: String,
    },
}

/// The partitions that are ours, each with the number of its assignment.
///
/// Offsets may be sent only while the table is held, and a partition is let go only while it is held: so no offset of a
/// partition can follow the moment at which the group may give it away. Kafka itself fences members, not partitions.
#[derive(Debug, Default)]
pub struct Assignments {
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    owned: BTreeMap<PartitionKey, AssignmentNumber>,
    last: u64,
}

impl Assignments {
    /// An empty table. One per process, also when a consumer is built anew: its numbers are never used twice.
    pub fn new() -> Self {
        Self::default()
    }

    /// The number under which the partition is ours, if it is.
    pub fn number(&self, key: PartitionKey) -> Option<AssignmentNumber> {
        self.lock().owned.get(&key).copied()
    }

    /// All partitions that are ours.
    pub fn owned(&self) -> BTreeMap<PartitionKey, AssignmentNumber> {
        self.lock().owned.clone()
    }

    /// Holds the table: until the result is dropped no partition is let go.
    pub(crate) fn hold(&self) -> HeldAssignments<'_> {
        HeldAssignments(self.lock())
    }

    fn add(&self, keys: BTreeSet<PartitionKey>) -> BTreeMap<PartitionKey, AssignmentNumber> {
        let mut table = self.lock();
        let mut added = BTreeMap::new();
        for key in keys {
            table.last += 1;
            let number = AssignmentNumber(table.last);
            table.owned.insert(key, number);
            added.insert(key, number);
        }
        added
    }

    fn remove(&self, keys: &BTreeSet<PartitionKey>) -> BTreeMap<PartitionKey, AssignmentNumber> {
        let mut table = self.lock();
        keys.iter().filter_map(|key| Some((*key, table.owned.remove(key)?))).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        // The table is changed in one step after all that can panic, so it is whole even then.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The assignment table while nobody can change it.
#[derive(Debug)]
pub(crate) struct HeldAssignments<'a>(MutexGuard<'a, Table>);

impl HeldAssignments<'_> {
    /// Those of `expected` that are not, or no longer, ours under that number.
    pub(crate) fn not_owned<'e>(
        &self,
        expected: impl IntoIterator<Item = (&'e PartitionKey, &'e AssignmentNumber)>,
    ) -> BTreeSet<PartitionKey> {
        expected
            .into_iter()
            .filter(|(key, number)| self.0.owned.get(key) != Some(number))
            .map(|(key, _)| *key)
            .collect()
    }
}

/// The lanes' topics, both ways.
#[derive(Debug, Clone)]
pub(crate) struct LaneTopics {
    topics: BTreeMap<LaneId, String>,
    lanes: BTreeMap<String, LaneId>,
}

impl LaneTopics {
    /// `Err` with the topic if two lanes share one: a consumer has one position per partition.
    pub(crate) fn new(topics: BTreeMap<LaneId, String>) -> Result<Self, String> {
        let mut lanes = BTreeMap::new();
        for (lane, topic) in &topics {
            if lanes.insert(topic.clone(), *lane).is_some() {
                return Err(topic.clone());
            }
        }
        Ok(Self { topics, lanes })
    }

    pub(crate) fn topic(&self, lane: LaneId) -> &str {
        self.topics.get(&lane).expect("lanes are numbered by the configuration that named their topics")
    }

    pub(crate) fn lane(&self, topic: &str) -> Option<LaneId> {
        self.lanes.get(topic).copied()
    }

    pub(crate) fn key(&self, topic: &str, partition: Partition) -> Option<PartitionKey> {
        Some(PartitionKey { lane: self.lane(topic)?, partition })
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (LaneId, &str)> {
        self.topics.iter().map(|(lane, topic)| (*lane, topic.as_str()))
    }

    pub(crate) fn list(&self, keys: impl IntoIterator<Item = PartitionKey>) -> TopicPartitionList {
        let mut list = TopicPartitionList::new();
        for key in keys {
            list.add_partition(self.topic(key.lane), key.partition.0);
        }
        list
    }
}

/// The consumer's callbacks. They run on the thread that serves the consumer.
#[derive(Debug)]
pub(crate) struct GroupContext {
    pub(crate) topics: LaneTopics,
    pub(crate) assignments: std::sync::Arc<Assignments>,
    /// Set once the queues exist, which is before the consumer subscribes.
    pub(crate) queues: std::sync::OnceLock<BTreeMap<LaneId, ForwardTarget>>,
    events: Mutex<Vec<GroupEvent>>,
    /// The client library has given its session up, and has no member id until it has joined again.
    session_lost: AtomicBool,
    /// What the brokers last had against us.
    heard: Heard,
}

/// What the client library says when it gives its session up.
const SESSION_TIMED_OUT: &str = "SESSTMOUT";

impl GroupContext {
    pub(crate) fn new(topics: LaneTopics, assignments: std::sync::Arc<Assignments>, heard: Heard) -> Self {
        Self {
            topics,
            assignments,
            queues: std::sync::OnceLock::new(),
            events: Mutex::new(Vec::new()),
            session_lost: AtomicBool::new(false),
            heard,
        }
    }

    /// The fault, with what the brokers had against us meanwhile.
    pub(crate) fn explained(&self, fault: KafkaFault) -> KafkaFault {
        self.heard.explained(fault)
    }

    /// The events since the last call.
    pub(crate) fn take_events(&self) -> Vec<GroupEvent> {
        std::mem::take(&mut self.events.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn push(&self, event: GroupEvent) {
        self.events.lock().unwrap_or_else(PoisonError::into_inner).push(event);
    }

    /// What a fencing means. After a session timeout the library empties its member id and, until it has revoked its
    /// partitions, goes on sending heartbeats with it; a broker that still counts the member, as after a restart, calls
    /// that fenced (library issue 3437). It says nothing of a second process: the consumer is built anew. Where there
    /// is one, joining again fences that one, which has kept its session and stops.
    pub(crate) fn judged(&self, event: GroupEvent) -> GroupEvent {
        match event {
            GroupEvent::Fenced { text } if self.session_lost.load(Ordering::SeqCst) => GroupEvent::Fatal { text },
            other => other,
        }
    }

    /// Sends what is fetched for the partition to the queue of its lane.
    pub(crate) fn forward(&self, consumer: &BaseConsumer<Self>, key: PartitionKey) {
        let queues = self.queues.get().expect("set before the consumer subscribes");
        if let Some(queue) = queues.get(&key.lane) {
            queue.forward(consumer, self.topics.topic(key.lane), key.partition);
        }
    }

    fn keys(&self, list: &TopicPartitionList) -> BTreeSet<PartitionKey> {
        list.elements()
            .iter()
            .filter_map(|element| {
                let key = self.topics.key(element.topic(), Partition(element.partition()));
                if key.is_none() {
                    tracing::warn!(
                        topic = element.topic(),
                        "the group gives us a partition of a topic that is not read here"
                    );
                }
                key
            })
            .collect()
    }

    fn assign(&self, consumer: &BaseConsumer<Self>, list: &mut TopicPartitionList) -> KafkaResult<()> {
        self.session_lost.store(false, Ordering::SeqCst);
        let queues = self.queues.get();
        for element in &mut list.elements() {
            let topic = element.topic().to_owned();
            let queue = self.topics.lane(&topic).and_then(|lane| queues?.get(&lane));
            if let Some(queue) = queue {
                queue.forward(consumer, &topic, Partition(element.partition()));
            }
            // A real offset, so that nothing is looked up or reset; no record is fetched from it, since the partition is
            // paused before it starts.
            element.set_offset(NativeOffset::Offset(0))?;
        }
        consumer.pause(list)?;
        let added = self.assignments.add(self.keys(list));
        self.push(GroupEvent::Assigned(added));
        match consumer.rebalance_protocol() {
            RebalanceProtocol::Cooperative => consumer.incremental_assign(list),
            RebalanceProtocol::Eager | RebalanceProtocol::None => consumer.assign(list),
        }
    }

    fn revoke(&self, consumer: &BaseConsumer<Self>, list: &TopicPartitionList) -> KafkaResult<()> {
        // Waits for a transaction that is just sending offsets.
        let removed = self.assignments.remove(&self.keys(list));
        self.push(GroupEvent::Revoked(removed));
        match consumer.rebalance_protocol() {
            RebalanceProtocol::Cooperative => consumer.incremental_unassign(list),
            RebalanceProtocol::Eager | RebalanceProtocol::None => consumer.unassign(),
        }
    }
}

impl ClientContext for GroupContext {
    fn error(&self, error: KafkaError, reason: &str) {
        let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown);
        if let Some(event) = event_of_error(code, self.heard.heard(code, reason)) {
            self.push(self.judged(event));
        }
    }

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        if facility == SESSION_TIMED_OUT {
            self.session_lost.store(true, Ordering::SeqCst);
        }
        log_line(level, facility, message);
    }
}

impl ConsumerContext for GroupContext {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, kind: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let done = if kind == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            self.assign(consumer, list)
        } else {
            self.revoke(consumer, list)
        };
        if let Err(error) = done {
            self.push(GroupEvent::Fatal { text: format!("rebalance was not carried out: {error}") });
        }
    }
}

/// The library says of each broken connection what it also tells as an error, which comes out as a sentence.
const TOLD_AS_ERRORS: [&str; 2] = ["FAIL", "ERROR"];

/// Passes a line of the client library on to our log.
pub(crate) fn log_line(level: RDKafkaLogLevel, facility: &str, message: &str) {
    let message = without_thread(message);
    let level = if TOLD_AS_ERRORS.contains(&facility) { RDKafkaLogLevel::Debug } else { level };
    match level {
        RDKafkaLogLevel::Emerg
        | RDKafkaLogLevel::Alert
        | RDKafkaLogLevel::Critical
        | RDKafkaLogLevel::Error
        | RDKafkaLogLevel::Warning => {
            tracing::warn!(target: "librdkafka", facility, "{message}");
        }
        RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info => {
            tracing::info!(target: "librdkafka", facility, "{message}");
        }
        RDKafkaLogLevel::Debug => tracing::debug!(target: "librdkafka", facility, "{message}"),
    }
}

/// The event that a client error is; `None` for the announcement of a fatal error, which is asked for by itself, and for
/// the news that no broker is left, which comes after the reason.
fn event_of_error(code: RDKafkaErrorCode, text: String) -> Option<GroupEvent> {
    use RDKafkaErrorCode as Code;
    Some(match code {
        Code::Fatal | Code::AllBrokersDown => return None,
        Code::FencedInstanceId => GroupEvent::Fenced { text },
        Code::PollExceeded => GroupEvent::ServedTooLate { text },
        Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::InvalidTopic => GroupEvent::UnknownTopic { text },
        Code::TopicAuthorizationFailed
        | Code::GroupAuthorizationFailed
        | Code::ClusterAuthorizationFailed
        | Code::SaslAuthenticationFailed
        | Code::UnsupportedSASLMechanism
        | Code::Authentication
        | Code::SSL => GroupEvent::Denied { text },
        _ => GroupEvent::Trouble { text },
    })
}

/// The event of a fatal error.
pub(crate) fn event_of_fatal(code: RDKafkaErrorCode, reason: String) -> GroupEvent {
    let text = format!("{code}: {reason}");
    if code == RDKafkaErrorCode::FencedInstanceId { GroupEvent::Fenced { text } } else { GroupEvent::Fatal { text } }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(partition: i32) -> PartitionKey {
        PartitionKey { lane: LaneId(0), partition: Partition(partition) }
    }

    #[test]
    fn every_assignment_has_a_number_of_its_own() {
        let assignments = Assignments::new();
        let first = assignments.add([key(0), key(1)].into());
        assert_eq!(assignments.remove(&[key(0), key(7)].into()).len(), 1);
        assert_eq!(assignments.number(key(0)), None);
        let second = assignments.add([key(0)].into());
        assert!(second[&key(0)] > first[&key(1)]);
        assert_eq!(assignments.number(key(0)), Some(second[&key(0)]));
        assert_eq!(assignments.number(key(7)), None);
        assert_eq!(assignments.owned().len(), 2);
    }

    #[test]
    fn a_table_that_is_held_says_what_is_no_longer_owned() {
        let assignments = Assignments::new();
        let old = assignments.add([key(0), key(1)].into());
        assignments.remove(&[key(0)].into());
        assignments.add([key(0)].into());
        let held = assignments.hold();
        let check = |expected: &[(PartitionKey, AssignmentNumber)], missing: &[PartitionKey]| {
            let expected = expected.iter().map(|(key, number)| (key, number));
            assert_eq!(held.not_owned(expected), missing.iter().copied().collect());
        };
        check(&[], &[]);
        check(&[(key(1), old[&key(1)])], &[]);
        check(&[(key(0), old[&key(0)]), (key(1), old[&key(1)])], &[key(0)]);
        check(&[(key(9), AssignmentNumber(1))], &[key(9)]);
    }

    #[test]
    fn a_partition_is_not_let_go_while_the_table_is_held() {
        let assignments = Assignments::new();
        assignments.add([key(0)].into());
        std::thread::scope(|scope| {
            let held = assignments.hold();
            let revoking = scope.spawn(|| assignments.remove(&[key(0)].into()));
            assert!(held.not_owned([(&key(0), &AssignmentNumber(1))]).is_empty(), "still there");
            drop(held);
            assert_eq!(revoking.join().unwrap().len(), 1);
        });
    }

    #[test]
    fn two_lanes_cannot_share_a_topic() {
        let lanes = |names: &[&str]| {
            LaneTopics::new((0..).zip(names).map(|(lane, name)| (LaneId(lane), (*name).to_owned())).collect())
        };
        assert_eq!(lanes(&["a", "b", "a"]).unwrap_err(), "a");
        let known = lanes(&["a", "b"]).unwrap();
        assert_eq!(known.topic(LaneId(1)), "b");
        assert_eq!(known.key("a", Partition(3)), Some(key(3)));
        assert_eq!(known.key("c", Partition(3)), None);
    }

    #[test]
    fn a_member_that_has_lost_its_session_is_not_replaced_by_a_fencing() {
        let topics = LaneTopics::new([(LaneId(0), "a".to_owned())].into()).unwrap();
        let context = GroupContext::new(topics, std::sync::Arc::new(Assignments::new()), Heard::default());
        let fenced = || GroupEvent::Fenced { text: "why".to_owned() };
        assert_eq!(context.judged(fenced()), fenced());
        context.log(RDKafkaLogLevel::Warning, "FAIL", "disconnected");
        assert_eq!(context.judged(fenced()), fenced());
        context.log(RDKafkaLogLevel::Warning, "SESSTMOUT", "revoking assignment and rejoining group");
        assert_eq!(context.judged(fenced()), GroupEvent::Fatal { text: "why".to_owned() });
        let trouble = GroupEvent::Trouble { text: "why".to_owned() };
        assert_eq!(context.judged(trouble.clone()), trouble);
    }

    #[test]
    fn client_errors_become_events() {
        use RDKafkaErrorCode as Code;
        let text = |code: Code| format!("{code}: why");
        let check = |code: Code, expected: Option<GroupEvent>| {
            assert_eq!(event_of_error(code, text(code)), expected, "{code:?}");
        };
        check(Code::Fatal, None);
        check(Code::AllBrokersDown, None);
        check(Code::FencedInstanceId, Some(GroupEvent::Fenced { text: text(Code::FencedInstanceId) }));
        check(Code::PollExceeded, Some(GroupEvent::ServedTooLate { text: text(Code::PollExceeded) }));
        check(
            Code::UnknownTopicOrPartition,
            Some(GroupEvent::UnknownTopic { text: text(Code::UnknownTopicOrPartition) }),
        );
        for code in [Code::GroupAuthorizationFailed, Code::Authentication] {
            check(code, Some(GroupEvent::Denied { text: text(code) }));
        }
        for code in [Code::Resolve, Code::BrokerTransportFailure] {
            check(code, Some(GroupEvent::Trouble { text: text(code) }));
        }
    }
}
