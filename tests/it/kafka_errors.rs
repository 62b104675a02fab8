//! What the client library makes of the broker's errors, and we of that: errors injected into a cluster inside the
//! process, which needs no broker.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use oncesink::commit::transactions::{Job, TransactionEnd, TransactionSettings, TransactionThread};
use oncesink::source::group::GroupEvent;
use rdkafka::mocking::{MockCluster, MockCoordinator};
use rdkafka::producer::DefaultProducerContext;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

use crate::kafka_support::{Committer, Worker, commit_of, fresh, key, now, until};

type Mock = MockCluster<'static, DefaultProducerContext>;

fn mock(topic: &str, brokers: i32) -> Mock {
    let mock = MockCluster::new(brokers).unwrap();
    mock.create_topic(topic, 2, 1).unwrap();
    mock
}

#[test]
fn errors_of_the_broker_become_ends() {
    let topic = "topic";
    let mock = mock(topic, 1);
    let bootstrap = mock.bootstrap_servers();
    let group = fresh("group");
    let mut worker = Worker::new(&bootstrap, &group, "a", topic, &[]);
    worker.wait_for_assignment(2);
    let number = worker.owned[&key(0)];
    let check = |api: RDKafkaApiKey, error: RDKafkaRespErr, expected: fn(&TransactionEnd) -> bool| {
        let committer = Committer::built(&bootstrap, &group, "a", worker.handle());
        mock.request_errors(api, &[error]);
        let end = committer.run(commit_of(key(0), number, 3));
        assert!(expected(&end), "{error:?}: {end:?}");
        mock.clear_request_errors(api);
        let gone = matches!(end, TransactionEnd::Ambiguous { .. } | TransactionEnd::Fatal { .. });
        let again = committer.run(commit_of(key(0), number, 4));
        let done = matches!(again, TransactionEnd::Committed { .. });
        assert_eq!(done, !gone, "{error:?}: {again:?}");
    };
    use RDKafkaRespErr as E;
    let offsets = RDKafkaApiKey::TxnOffsetCommit;
    let end_txn = RDKafkaApiKey::EndTxn;
    let committed = |end: &TransactionEnd| matches!(end, TransactionEnd::Committed { .. });
    let recycled = |end: &TransactionEnd| *end == TransactionEnd::Committed { recycle: true };
    let rejected = |end: &TransactionEnd| matches!(end, TransactionEnd::Rejected { replaced: false, .. });
    let replaced = |end: &TransactionEnd| matches!(end, TransactionEnd::Rejected { replaced: true, .. });
    let fenced = |end: &TransactionEnd| matches!(end, TransactionEnd::Fatal { fenced: true, .. });
    let fatal = |end: &TransactionEnd| matches!(end, TransactionEnd::Fatal { fenced: false, .. });
    let ambiguous = |end: &TransactionEnd| matches!(end, TransactionEnd::Ambiguous { .. });
    check(offsets, E::RD_KAFKA_RESP_ERR_NO_ERROR, committed);
    check(offsets, E::RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION, rejected);
    check(offsets, E::RD_KAFKA_RESP_ERR_STALE_MEMBER_EPOCH, rejected);
    check(offsets, E::RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS, rejected);
    check(offsets, E::RD_KAFKA_RESP_ERR_OFFSET_METADATA_TOO_LARGE, rejected);
    check(offsets, E::RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID, rejected);
    check(offsets, E::RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID, replaced);
    check(offsets, E::RD_KAFKA_RESP_ERR_FENCED_MEMBER_EPOCH, rejected);
    check(offsets, E::RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED, ambiguous);
    check(offsets, E::RD_KAFKA_RESP_ERR_UNKNOWN, ambiguous);
    check(offsets, E::RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH, fenced);
    check(offsets, E::RD_KAFKA_RESP_ERR_INVALID_TXN_STATE, fatal);
    check(offsets, E::RD_KAFKA_RESP_ERR_INVALID_PRODUCER_ID_MAPPING, fatal);
    // Sent again by the client: committed, and the first try may still be on its way.
    check(offsets, E::RD_KAFKA_RESP_ERR_NOT_COORDINATOR, recycled);
    check(offsets, E::RD_KAFKA_RESP_ERR_CONCURRENT_TRANSACTIONS, recycled);
    check(offsets, E::RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT, recycled);
    check(end_txn, E::RD_KAFKA_RESP_ERR_PRODUCER_FENCED, fenced);
    check(end_txn, E::RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH, fenced);
    check(end_txn, E::RD_KAFKA_RESP_ERR_INVALID_TXN_STATE, fatal);
    check(end_txn, E::RD_KAFKA_RESP_ERR_UNKNOWN_PRODUCER_ID, ambiguous);
    check(end_txn, E::RD_KAFKA_RESP_ERR_CONCURRENT_TRANSACTIONS, committed);
    check(end_txn, E::RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS, committed);
}

/// Set by the clock of the transaction below: it is asked first as the transaction begins, then with the assignment
/// table held, before and after offsets are sent.
static ASKED: AtomicUsize = AtomicUsize::new(0);

fn counting_clock() -> Instant {
    ASKED.fetch_add(1, Ordering::SeqCst);
    now()
}

#[test]
fn a_partition_is_let_go_only_after_offsets_that_are_being_sent() {
    let topic = "topic";
    let group = fresh("group");
    let mock = mock(topic, 2);
    // The group answers at once, the transaction takes its time.
    mock.coordinator(MockCoordinator::Group(group.clone()), 1).unwrap();
    let id = format!("{group}-a");
    mock.coordinator(MockCoordinator::Transaction(id), 2).unwrap();
    let bootstrap = mock.bootstrap_servers();
    let properties = [("heartbeat.interval.ms", "100"), ("partition.assignment.strategy", "range")];
    let mut first = Worker::new(&bootstrap, &group, "a", topic, &properties);
    first.wait_for_assignment(2);
    let settings = TransactionSettings {
        brokers: bootstrap.clone(),
        name: group.clone(),
        instance: "a".to_owned(),
        properties: BTreeMap::new(),
        transaction_timeout: Duration::from_secs(15),
        now: counting_clock,
    };
    let committer = Committer(TransactionThread::start(settings, first.handle()).unwrap());
    committer.build();
    mock.broker_round_trip_time(2, Duration::from_secs(2)).unwrap();
    let end = committer.begin(commit_of(key(0), first.owned[&key(0)], 3));
    until("the table to be held", || (ASKED.load(Ordering::SeqCst) >= 2).then_some(()));
    // A second member makes the group take partitions from the first.
    let second = Mutex::new(Worker::new(&bootstrap, &group, "b", topic, &properties));
    until("a revocation", || {
        second.lock().unwrap().serve();
        first.serve().iter().any(|event| matches!(event, GroupEvent::Revoked(_))).then_some(())
    });
    assert!(ASKED.load(Ordering::SeqCst) >= 3, "let go while offsets were being sent");
    let end = end.recv().unwrap();
    assert!(matches!(end, TransactionEnd::Committed { .. }), "{end:?}");
}

#[test]
fn jobs_that_do_not_fit_come_back() {
    let topic = "topic";
    let mock = mock(topic, 1);
    let worker = Worker::new(&mock.bootstrap_servers(), &fresh("group"), "a", topic, &[]);
    let committer = Committer::new("127.0.0.1:1", &fresh("group"), "a", worker.handle());
    let mut taken = 0;
    // Nothing is ever built at this address, so jobs pile up.
    let refused = loop {
        let job = Job::Build { reply: Box::new(drop) };
        match committer.0.submit(job) {
            Ok(()) => taken += 1,
            Err(error) => break error,
        }
        assert!(taken < 10);
    };
    assert!(format!("{refused:?}").contains("Full"), "{refused:?}");
    // Waiting for the builds would take minutes.
    std::mem::forget(committer);
}
