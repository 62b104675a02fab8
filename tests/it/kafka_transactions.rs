//! Committing: what is committed is committed whole, and only by the owner.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use oncesink::commit::transactions::{AlertMessage, BuildEnd, Transaction, TransactionEnd};
use oncesink::types::{AssignmentNumber, Offset};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Headers, Message};

use crate::kafka_support::{Committer, Kafka, TIMEOUT, Worker, commit_of, fresh, kafka, key, until};

fn committed(worker: &Worker, partition: i32) -> Option<u64> {
    let found = worker.handle().committed(&[key(partition)], TIMEOUT).unwrap();
    let stored = found[&key(partition)].clone().unwrap();
    stored.map(|stored| stored.offset.get())
}

/// Whether it is to be recycled is a matter of time, which no test depends on.
fn assert_committed(end: &TransactionEnd) {
    assert!(matches!(end, TransactionEnd::Committed { .. }), "{end:?}");
}

fn alert(topic: &str, text: &str) -> AlertMessage {
    AlertMessage {
        topic: Arc::from(topic),
        key: Some(b"id".to_vec()),
        payload: text.as_bytes().to_vec(),
        headers: vec![("kind".to_owned(), b"test".to_vec())],
    }
}

/// What a reader of committed data sees in a topic of one partition, up to and with the record `last`.
fn read_committed(kafka: &Kafka, topic: &str, last: &str) -> Vec<String> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &kafka.bootstrap)
        .set("group.id", fresh("reader"))
        .set("auto.offset.reset", "earliest")
        .create()
        .unwrap();
    consumer.subscribe(&[topic]).unwrap();
    let mut seen = Vec::new();
    until("committed records", || {
        let message = consumer.poll(TIMEOUT)?.unwrap();
        assert_eq!(message.key(), Some(&b"id"[..]));
        let header = message.headers().unwrap().get(0);
        assert_eq!((header.key, header.value), ("kind", Some(&b"test"[..])));
        seen.push(String::from_utf8(message.payload().unwrap().to_vec()).unwrap());
        (seen.last().unwrap() == last).then_some(())
    });
    seen
}

#[test]
fn offsets_and_alerts_are_committed_together() {
    let kafka = kafka();
    let topic = kafka.fresh_topic(2);
    let alerts = kafka.fresh_topic(1);
    let group = fresh("group");
    let mut worker = kafka.worker(&group, "a", &topic);
    worker.wait_for_assignment(2);
    let committer = Committer::built(&kafka.bootstrap, &group, "a", worker.handle());

    assert_committed(&committer.run(Transaction::default()));

    let mut both = commit_of(key(0), worker.owned[&key(0)], 5);
    both.alerts = vec![alert(&alerts, "one"), alert(&alerts, "two")];
    assert_committed(&committer.run(both));
    assert_eq!((committed(&worker, 0), committed(&worker, 1)), (Some(5), None));

    let alone = Transaction { alerts: vec![alert(&alerts, "three")], ..Transaction::default() };
    assert_committed(&committer.run(alone));

    // The number of another assignment: nothing of it is committed, not even the alert.
    let mut stale = commit_of(key(1), worker.owned[&key(1)], 9);
    let owned = commit_of(key(0), worker.owned[&key(0)], 6);
    stale.offsets.extend(owned.offsets.clone());
    stale.offsets.get_mut(&key(1)).unwrap().number = AssignmentNumber(77);
    stale.alerts = vec![alert(&alerts, "stale")];
    let end = committer.run(stale);
    assert_eq!(end, TransactionEnd::NotOwned([key(1)].into()));
    assert_eq!((committed(&worker, 0), committed(&worker, 1)), (Some(5), None));

    assert_committed(&committer.run(owned));
    let last = Transaction { alerts: vec![alert(&alerts, "last")], ..Transaction::default() };
    assert_committed(&committer.run(last));
    let seen = read_committed(&kafka, &alerts, "last");
    assert_eq!(seen, ["one", "two", "three", "last"]);
}

#[test]
fn a_producer_that_failed_or_was_never_built_commits_nothing() {
    let kafka = kafka();
    let topic = kafka.fresh_topic(1);
    let group = fresh("group");
    let mut worker = kafka.worker(&group, "a", &topic);
    worker.wait_for_assignment(1);
    let committer = Committer::new(&kafka.bootstrap, &group, "a", worker.handle());
    let commit = commit_of(key(0), worker.owned[&key(0)], 1);
    let end = committer.run(commit.clone());
    assert!(matches!(&end, TransactionEnd::Fatal { fenced: false, text } if text.contains("no producer")), "{end:?}");
    assert_eq!(committer.build(), BuildEnd::Built);
    // Building again replaces the producer.
    assert_eq!(committer.build(), BuildEnd::Built);
    let end = committer.run(commit);
    assert_committed(&end);
}

#[test]
fn a_second_producer_with_the_same_id_fences_the_first() {
    let kafka = kafka();
    let topic = kafka.fresh_topic(1);
    let group = fresh("group");
    let mut worker = kafka.worker(&group, "a", &topic);
    worker.wait_for_assignment(1);
    let number = worker.owned[&key(0)];
    let first = Committer::built(&kafka.bootstrap, &group, "x", worker.handle());
    let second = Committer::built(&kafka.bootstrap, &group, "x", worker.handle());
    let end = first.run(commit_of(key(0), number, 3));
    assert!(matches!(end, TransactionEnd::Fatal { fenced: true, .. }), "{end:?}");
    let end = second.run(commit_of(key(0), number, 4));
    assert_committed(&end);
    assert_eq!(committed(&worker, 0), Some(4));
    // The first one gets its id back by building anew.
    assert_eq!(first.build(), BuildEnd::Built);
    let end = first.run(commit_of(key(0), number, 5));
    assert_committed(&end);
}

#[test]
fn a_member_that_the_group_dropped_is_rejected() {
    let kafka = kafka();
    let topic = kafka.fresh_topic(1);
    let group = fresh("group");
    // It must not learn of it by a heartbeat before it commits.
    let properties = [("heartbeat.interval.ms", "15000"), ("session.timeout.ms", "45000")];
    let mut worker = kafka.worker_with(&group, "a", &topic, &properties);
    worker.wait_for_assignment(1);
    let number = worker.owned[&key(0)];
    let committer = Committer::built(&kafka.bootstrap, &group, "a", worker.handle());
    leave_group(&kafka.bootstrap, &group, &format!("{group}-a"));
    let end = committer.run(commit_of(key(0), number, 3));
    // Nobody else has its instance id: it joins again.
    assert!(matches!(end, TransactionEnd::Rejected { replaced: false, .. }), "{end:?}");
    assert_eq!(committed(&worker, 0), None);
}

/// Removes a static member from outside, as an administrator can (LeaveGroup, version 3).
fn leave_group(bootstrap: &str, group: &str, instance: &str) {
    let string = |text: &str| {
        let length = i16::try_from(text.len()).unwrap();
        [&length.to_be_bytes()[..], text.as_bytes()].concat()
    };
    let request = [
        &13_i16.to_be_bytes()[..],
        &3_i16.to_be_bytes(),
        &1_i32.to_be_bytes(),
        &string("test"),
        &string(group),
        &1_i32.to_be_bytes(),
        &string(""),
        &string(instance),
    ]
    .concat();
    let mut stream = TcpStream::connect(bootstrap).unwrap();
    let length = i32::try_from(request.len()).unwrap();
    stream.write_all(&[&length.to_be_bytes()[..], &request].concat()).unwrap();
    // Length, correlation id, throttle time, error code.
    let mut reply = [0_u8; 14];
    stream.read_exact(&mut reply).unwrap();
    assert_eq!(reply[12..], [0, 0], "leaving failed");
}

#[test]
fn nothing_is_committed_before_the_group_has_taken_us_in() {
    let kafka = kafka();
    let topic = kafka.fresh_topic(1);
    let group = fresh("group");
    let mut worker = kafka.worker(&group, "a", &topic);
    let committer = Committer::built(&kafka.bootstrap, &group, "a", worker.handle());
    let end = committer.run(commit_of(key(0), AssignmentNumber(1), 3));
    assert_eq!(end, TransactionEnd::NotOwned([key(0)].into()));
    worker.wait_for_assignment(1);
    assert_eq!(committed(&worker, 0), None);
    let end = committer.run(commit_of(key(0), worker.owned[&key(0)], 3));
    assert_committed(&end);
}

#[test]
fn without_a_generation_nothing_is_sent_though_the_table_has_the_partition() {
    let kafka = kafka();
    let topic = kafka.fresh_topic(1);
    let group = fresh("group");
    let properties = [("heartbeat.interval.ms", "200")];
    let mut worker = kafka.worker_with(&group, "a", &topic, &properties);
    worker.wait_for_assignment(1);
    let number = worker.owned[&key(0)];
    let committer = Committer::built(&kafka.bootstrap, &group, "a", worker.handle());
    leave_group(&kafka.bootstrap, &group, &format!("{group}-a"));
    // The next heartbeat takes the member's id away. The consumer is not served, so the table does not know.
    let end = until("the client to know", || match committer.run(commit_of(key(0), number, 3)) {
        TransactionEnd::Rejected { .. } => None,
        end => Some(end),
    });
    assert_eq!(end, TransactionEnd::NotOwned([key(0)].into()));
    assert_eq!(worker.handle().assignments().number(key(0)), Some(number));
    assert_eq!(committed(&worker, 0), None);
}

#[test]
fn an_alert_that_cannot_be_delivered_takes_the_offsets_with_it() {
    let kafka = kafka();
    let topic = kafka.fresh_topic(1);
    let group = fresh("group");
    let mut worker = kafka.worker(&group, "a", &topic);
    worker.wait_for_assignment(1);
    let number = worker.owned[&key(0)];
    let committer = Committer::built(&kafka.bootstrap, &group, "a", worker.handle());
    let mut transaction = commit_of(key(0), number, 3);
    transaction.alerts = vec![alert(&fresh("missing"), "lost")];
    let end = committer.run(transaction);
    assert!(matches!(end, TransactionEnd::AlertsFailed { .. }), "{end:?}");
    assert_eq!(committed(&worker, 0), None);
    let end = committer.run(commit_of(key(0), number, 4));
    assert_committed(&end);
    assert_eq!(Some(Offset::new(4).get()), committed(&worker, 0));
}
