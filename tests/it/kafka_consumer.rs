//! Consuming in a group: nothing lost, nothing twice, nothing before it is asked for.

use std::collections::BTreeMap;

use oncesink::source::consumer::StartError;
use oncesink::source::group::GroupEvent;

use crate::kafka_support::{LANE, Seen, Worker, fresh, kafka, key, now, until};

/// Follows the positions of a group whose members hand partitions on without committing anything.
#[derive(Default)]
struct Positions {
    next: BTreeMap<oncesink::types::PartitionKey, u64>,
    total: u64,
}

impl Positions {
    fn take(&mut self, worker: &Worker, seen: &[Seen]) {
        for record in seen {
            assert!(worker.owned.contains_key(&record.key), "record of a partition that is not assigned: {record:?}");
            let next = self.next.entry(record.key).or_default();
            assert_eq!(record.offset, *next, "gap or repeat: {record:?}");
            assert_eq!(record.payload, record.offset.to_string());
            *next += 1;
            self.total += 1;
        }
    }
}

fn rebalances(strategy: &str) {
    const PARTITIONS: i32 = 4;
    const PER_PARTITION: u64 = 30_000;
    const PAUSE_EVERY: usize = 20;
    let kafka = kafka();
    let topic = kafka.fresh_topic(PARTITIONS);
    kafka.fill(&topic, PARTITIONS, PER_PARTITION);
    let group = fresh("group");
    let properties = [
        ("partition.assignment.strategy", strategy),
        // A static member that leaves keeps its partitions until its session ends.
        ("session.timeout.ms", "2000"),
        ("heartbeat.interval.ms", "300"),
    ];
    let mut positions = Positions::default();
    let mut first = kafka.worker_with(&group, "a", &topic, &properties);
    let mut second: Option<Worker> = None;
    let mut joined = 0;
    let mut left = 0;
    let mut rounds = 0;
    until("all records", || {
        rounds += 1;
        for worker in [Some(&mut first), second.as_mut()].into_iter().flatten() {
            worker.serve();
            worker.start_waiting(&positions.next);
            let seen = worker.read(200);
            positions.take(worker, &seen);
            // In between a partition is paused, which forgets what was fetched of it, and sought where it stands.
            let paused = worker.owned.keys().copied().nth(rounds / PAUSE_EVERY % 4);
            if let Some(paused) = paused.filter(|_| rounds % PAUSE_EVERY == 0) {
                worker.pause(paused);
            }
        }
        let all = u64::from(PARTITIONS.unsigned_abs()) * PER_PARTITION;
        // The second member comes twice and goes once, each time under load.
        if second.is_none() && joined == left && joined < 2 && positions.total > joined * all / 3 {
            second = Some(kafka.worker_with(&group, "b", &topic, &properties));
            joined += 1;
        } else if joined == 1
            && left == 0
            && positions.total > all / 4
            && second.as_ref().is_some_and(|worker| !worker.owned.is_empty())
        {
            second = None;
            left += 1;
        }
        (positions.total == all).then_some(())
    });
    assert_eq!((joined, left), (2, 1));
    for partition in 0..PARTITIONS {
        assert_eq!(positions.next[&key(partition)], PER_PARTITION);
    }
}

#[test]
fn cooperative_rebalances_lose_and_repeat_nothing() {
    rebalances("cooperative-sticky");
}

#[test]
fn eager_rebalances_lose_and_repeat_nothing() {
    rebalances("range");
}

#[test]
fn nothing_comes_before_the_start() {
    let kafka = kafka();
    let topic = kafka.fresh_topic(2);
    kafka.fill(&topic, 2, 1_000);
    let group = fresh("group");
    let mut worker = kafka.worker(&group, "a", &topic);
    worker.wait_for_assignment(2);
    // Partition 1 is consumed to its end while partition 0 waits: fetching works, and keeps away from what is not started.
    worker.start(key(1), 400);
    let mut next = 400;
    until("partition 1", || {
        worker.serve();
        for record in worker.read(64) {
            assert_eq!((record.key, record.offset), (key(1), next));
            next += 1;
        }
        (next == 1_000).then_some(())
    });
    worker.start(key(0), 990);
    let seen = until("partition 0", || {
        worker.serve();
        Some(worker.read(64)).filter(|seen| !seen.is_empty())
    });
    assert_eq!((seen[0].key, seen[0].offset), (key(0), 990));
}

#[test]
fn start_moves_a_running_partition_and_pause_stops_it() {
    let kafka = kafka();
    let topic = kafka.fresh_topic(1);
    kafka.fill(&topic, 1, 5_000);
    let mut worker = kafka.worker(&fresh("group"), "a", &topic);
    worker.wait_for_assignment(1);
    for (from, pause) in [(0, false), (4_000, true), (17, true), (0, false), (4_999, false)] {
        if pause {
            worker.consumer.pause(&[key(0)]).unwrap();
            assert_eq!(worker.read(10), []);
        }
        worker.start(key(0), from);
        let seen = until("records", || {
            worker.serve();
            Some(worker.read(10)).filter(|seen| !seen.is_empty())
        });
        assert_eq!(seen[0].offset, from);
    }
    let number = worker.owned[&key(0)];
    let stale = oncesink::types::AssignmentNumber(number.0 + 1);
    let refused = worker.try_start(key(0), stale, 0);
    assert_eq!(refused, Err(StartError::NotOwned));
}

#[test]
fn an_offset_that_the_log_lacks_is_an_error_never_a_jump() {
    let kafka = kafka();
    let topic = kafka.fresh_topic(1);
    kafka.fill(&topic, 1, 100);
    kafka.delete_records(&topic, 0, 50);
    let mut worker = kafka.worker(&fresh("group"), "a", &topic);
    worker.wait_for_assignment(1);
    for wrong in [10, 5_000] {
        worker.start(key(0), wrong);
        let fault = until("an error item", || {
            worker.serve();
            let batch = worker.consumer.read(LANE, std::time::Duration::from_millis(20), 10);
            let message = batch.iter().next()?;
            assert_eq!(message.payload(), None);
            assert_eq!(message.partition(), key(0).partition);
            Some(message.error().expect("no record is below or above the log"))
        });
        assert!(fault.needs_rejoin(), "{fault:?}");
        // Where it goes on is said by us.
        let given_up = worker.owned[&key(0)];
        let refused = worker.try_start(key(0), given_up, 60);
        assert!(matches!(&refused, Err(StartError::Kafka(fault)) if fault.needs_rejoin()), "{refused:?}");
        worker.consumer.rejoin().unwrap();
        until("a new assignment", || {
            worker.serve();
            let number = worker.owned.get(&key(0));
            number.is_some_and(|number| *number > given_up).then_some(())
        });
        worker.start(key(0), 60);
        let seen = until("records", || {
            worker.serve();
            Some(worker.read(1)).filter(|seen| !seen.is_empty())
        });
        assert_eq!(seen[0].offset, 60);
    }
}

#[test]
fn the_same_instance_twice_fences_the_first() {
    let kafka = kafka();
    let topic = kafka.fresh_topic(1);
    let group = fresh("group");
    let properties = [("heartbeat.interval.ms", "300")];
    let mut first = kafka.worker_with(&group, "a", &topic, &properties);
    first.wait_for_assignment(1);
    let mut second = kafka.worker_with(&group, "a", &topic, &properties);
    let text = until("the first to be fenced", || {
        second.serve();
        first.serve().into_iter().find_map(|event| match event {
            GroupEvent::Fenced { text } => Some(text),
            _ => None,
        })
    });
    assert!(text.contains("instance"), "{text}");
    second.wait_for_assignment(1);
}

#[test]
fn a_topic_that_does_not_exist_is_told_and_waited_for() {
    let kafka = kafka();
    let topic = fresh("topic");
    let properties = [("topic.metadata.refresh.interval.ms", "500")];
    let mut worker = kafka.worker_with(&fresh("group"), "a", &topic, &properties);
    let text = until("the unknown topic", || {
        worker.serve().into_iter().find_map(|event| match event {
            GroupEvent::UnknownTopic { text } => Some(text),
            _ => None,
        })
    });
    assert!(text.contains(&topic), "{text}");
    kafka.create_topic(&topic, 1);
    worker.wait_for_assignment(1);
}

#[test]
fn a_full_queue_does_not_keep_the_consumer_from_closing() {
    let kafka = kafka();
    let topic = kafka.fresh_topic(1);
    kafka.fill(&topic, 1, 150_000);
    let mut worker = kafka.worker(&fresh("group"), "a", &topic);
    worker.wait_for_assignment(1);
    worker.start(key(0), 0);
    until("records", || {
        worker.serve();
        Some(worker.read(10)).filter(|seen| !seen.is_empty())
    });
    // The library fetches until its queue is full. Give it the time that it takes, without reading.
    let filling = now();
    while filling.elapsed() < std::time::Duration::from_millis(700) {
        worker.serve();
    }
    // A handle elsewhere keeps the consumer alive; the queue goes first all the same.
    let handle = worker.handle();
    let (done, closed) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        drop(worker);
        drop(handle);
        done.send(()).unwrap();
    });
    closed.recv_timeout(std::time::Duration::from_secs(20)).expect("the consumer hangs");
}
