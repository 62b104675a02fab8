//! What the cluster is asked: committed offsets, topic ids, the ends of a log.

use std::collections::BTreeMap;

use oncesink::commit::metadata::{decode, encode};
use oncesink::commit::transactions::TransactionEnd;
use oncesink::source::TopicIdentity;
use oncesink::types::Offset;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};

use crate::kafka_support::{Committer, LANE, TIMEOUT, commit_of, fresh, kafka, key, metadata, until};

#[test]
fn metadata_comes_back_as_it_was_committed() {
    let kafka = kafka();
    let topic = kafka.fresh_topic(2);
    let group = fresh("group");
    let mut worker = kafka.worker(&group, "a", &topic);
    worker.wait_for_assignment(2);
    let handle = worker.handle();
    let keys = [key(0), key(1)];
    let before = handle.committed(&keys, TIMEOUT).unwrap();
    assert_eq!(before, BTreeMap::from(keys.map(|key| (key, Ok(None)))));
    let committer = Committer::built(&kafka.bootstrap, &group, "a", worker.handle());
    let end = committer.run(commit_of(key(1), worker.owned[&key(1)], 42));
    assert!(matches!(end, TransactionEnd::Committed { .. }), "{end:?}");
    let after = handle.committed(&keys, TIMEOUT).unwrap();
    assert_eq!(after[&key(0)], Ok(None));
    let stored = after[&key(1)].clone().unwrap().unwrap();
    assert_eq!(stored.offset, Offset::new(42));
    assert_eq!(stored.metadata, encode(&metadata(42)).into_bytes());
    assert_eq!(decode(&stored.metadata), Ok(Some(metadata(42))));
}

#[test]
fn metadata_of_others_is_bytes() {
    let kafka = kafka();
    let topic = kafka.fresh_topic(1);
    let group = fresh("group");
    let foreign: BaseConsumer =
        ClientConfig::new().set("bootstrap.servers", &kafka.bootstrap).set("group.id", &group).create().unwrap();
    let mut offsets = rdkafka::TopicPartitionList::new();
    {
        let mut element = offsets.add_partition(&topic, 0);
        element.set_offset(rdkafka::Offset::Offset(7)).unwrap();
        element.set_metadata("moved by hand: \u{e9}");
    }
    foreign.commit(&offsets, CommitMode::Sync).unwrap();
    let worker = kafka.worker(&group, "a", &topic);
    let stored = worker.handle().committed(&[key(0)], TIMEOUT).unwrap();
    let stored = stored[&key(0)].clone().unwrap().unwrap();
    assert_eq!(stored.offset, Offset::new(7));
    assert_eq!(stored.metadata, "moved by hand: \u{e9}".as_bytes());
    assert_eq!(decode(&stored.metadata), Ok(None));
}

#[test]
fn a_topic_has_another_id_when_it_is_made_again() {
    let kafka = kafka();
    let topic = kafka.fresh_topic(1);
    let worker = kafka.worker(&fresh("group"), "a", &topic);
    let handle = worker.handle();
    let identity = || handle.topic_identity(LANE, TIMEOUT).unwrap();
    let known = || matches!(identity(), TopicIdentity::Id(_)).then(&identity);
    let first = until("the topic to be known", known);
    assert_eq!(identity(), first);
    kafka.delete_topic(&topic);
    until("the topic to be gone", || (identity() == TopicIdentity::Unknown).then_some(()));
    kafka.create_topic(&topic, 1);
    let second = until("the topic to be back", || match identity() {
        TopicIdentity::Unknown => None,
        known => Some(known),
    });
    assert!(matches!(second, TopicIdentity::Id(_)), "{second:?}");
    assert_ne!(second, first);
    let cluster = handle.cluster_id(TIMEOUT);
    assert!(cluster.as_ref().is_some_and(|id| id.len() == 22), "{cluster:?}");
}

#[test]
fn the_ends_of_a_log_are_known() {
    let kafka = kafka();
    let topic = kafka.fresh_topic(2);
    kafka.fill(&topic, 2, 100);
    kafka.delete_records(&topic, 1, 30);
    let worker = kafka.worker(&fresh("group"), "a", &topic);
    let handle = worker.handle();
    let keys = [key(0), key(1), key(9)];
    let logs = handle.logs(&keys, TIMEOUT).unwrap();
    let range = |key| {
        let log = logs[&key].clone().unwrap();
        (log.start().get(), log.end().get())
    };
    assert_eq!(range(key(0)), (0, 100));
    assert_eq!(range(key(1)), (30, 100));
    assert!(logs[&key(9)].is_err(), "{logs:?}");
    let at = |time_ms| handle.offsets_at(&[key(1)], time_ms, TIMEOUT).unwrap()[&key(1)].clone();
    assert_eq!(at(0), Ok(Some(Offset::new(30))));
    assert_eq!(at(i64::MAX), Ok(None));
    assert_eq!(handle.logs(&[], TIMEOUT), Ok(BTreeMap::new()));
}

#[test]
fn an_open_transaction_is_above_the_last_stable_offset() {
    use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
    let kafka = kafka();
    let topic = kafka.fresh_topic(1);
    kafka.fill(&topic, 1, 10);
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", &kafka.bootstrap)
        .set("transactional.id", fresh("transaction"))
        .create()
        .unwrap();
    producer.init_transactions(TIMEOUT).unwrap();
    producer.begin_transaction().unwrap();
    let record = BaseRecord::<(), _>::to(&topic).partition(0).payload("open");
    producer.send(record).map_err(|(error, _)| error).unwrap();
    producer.flush(TIMEOUT).unwrap();
    let handle = kafka.worker(&fresh("group"), "a", &topic).handle();
    let ends = handle.ends(&[key(0), key(9)], TIMEOUT).unwrap();
    assert_eq!(ends[&key(0)], Ok((Offset::new(10), Offset::new(11))));
    assert!(ends[&key(9)].is_err(), "{ends:?}");
}

#[test]
fn a_cluster_that_is_not_there_is_an_error_in_time() {
    use crate::kafka_support::Worker;
    use std::time::Duration;
    let worker = Worker::new("127.0.0.1:1", &fresh("group"), "a", "topic", &[]);
    let handle = worker.handle();
    let short = Duration::from_millis(300);
    assert!(handle.committed(&[key(0)], short).is_err());
    assert!(handle.topic_identity(LANE, short).is_err());
    assert!(handle.logs(&[key(0)], short).is_err());
    assert_eq!(handle.cluster_id(short), None);
}

/// A broker answers the requests of one connection in their order, and the fetch of a quiet partition waits for records.
#[test]
fn a_question_does_not_wait_behind_a_fetch() {
    let kafka = kafka();
    let topic = kafka.fresh_topic(1);
    kafka.fill(&topic, 1, 10);
    let mut worker = kafka.worker_with(&fresh("group"), "a", &topic, &[("fetch.wait.max.ms", "50000")]);
    worker.wait_for_assignment(1);
    worker.start(key(0), 0);
    // From the last record on the fetch waits for more, much longer than a question.
    let mut seen = 0;
    until("all records", || {
        worker.serve();
        seen += worker.read(64).len();
        (seen == 10).then_some(())
    });
    let identity = worker.handle().topic_identity(LANE, TIMEOUT).unwrap();
    assert!(matches!(identity, TopicIdentity::Id(_)), "{identity:?}");
    let log = worker.handle().logs(&[key(0)], TIMEOUT).unwrap();
    assert_eq!(log[&key(0)].as_ref().map(|log| log.end()), Ok(Offset::new(10)));
}
