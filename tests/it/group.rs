//! Other programs in the connector's group.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};

use crate::support::admin::{self, get, metric};
use crate::support::scenario::Scenario;
use crate::support::wait_for;

/// A program that consumes the scenario's topic in the connector's group; it leaves when dropped.
struct Stranger {
    end: Arc<AtomicBool>,
    polling: Option<JoinHandle<()>>,
}

impl Stranger {
    /// Waits until it has partitions.
    fn join(scenario: &Scenario, strategy: &str) -> Self {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", &scenario.servers.brokers)
            .set("group.id", &scenario.name)
            .set("client.id", "somebody-else")
            .set("partition.assignment.strategy", strategy)
            .set("enable.auto.commit", "false")
            .set("session.timeout.ms", "6000")
            .set("heartbeat.interval.ms", "500")
            .create()
            .unwrap();
        consumer.subscribe(&[&scenario.topic]).unwrap();
        let has_some = Arc::new(AtomicBool::new(false));
        let end = Arc::new(AtomicBool::new(false));
        let (flag, ended) = (Arc::clone(&has_some), Arc::clone(&end));
        let polling = std::thread::spawn(move || {
            while !ended.load(Ordering::SeqCst) {
                drop(consumer.poll(Duration::from_millis(50)));
                if consumer.assignment().unwrap().count() > 0 {
                    flag.store(true, Ordering::SeqCst);
                }
            }
        });
        wait_for("the stranger to have partitions", || {
            has_some.load(Ordering::SeqCst).then_some(()).ok_or(String::new())
        });
        Self { end, polling: Some(polling) }
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        self.end.store(true, Ordering::SeqCst);
        self.polling.take().unwrap().join().unwrap();
    }
}

#[test]
fn members_that_are_not_of_the_connector_are_named() {
    let mut scenario = Scenario::shared("group", 4);
    scenario.produce(200);
    let told = |address: &str, what: &str| {
        wait_for(&format!("{what:?} in the status"), || {
            let status = get(address, "/status")?;
            if status.contains(what) { Ok(()) } else { Err(status) }
        });
    };

    // Another protocol: nobody can join as long as it is there.
    let stranger = Stranger::join(&scenario, "range");
    let mut connector = scenario.start("a");
    let port = admin::address(&mut connector);
    connector.wait_for_log("has a member that is not of this connector: client id \"somebody-else\" at 127.0.0.1");
    connector.wait_for_log("protocol range, has 4 partitions");
    told(&port, "\"protocol\":\"range\"");
    drop(stranger);
    scenario.wait_until_done();
    let of_strangers = |expected: f64| {
        wait_for(&format!("{expected} partitions with strangers"), || {
            let found = metric(&port, "oncesink_stranger_partitions")?;
            if found == expected { Ok(()) } else { Err(found.to_string()) }
        });
    };
    of_strangers(0.0);

    // The same one: the group is well, and half of the partitions are not read. A second instance is no stranger.
    let mut second = scenario.start("b");
    second.wait_for_log("partition resumed");
    let stranger = Stranger::join(&scenario, "cooperative-sticky");
    told(&port, "\"protocol\":\"cooperative-sticky\"");
    let (code, text) = scenario.run(&["status", "--admin", &port]);
    assert_eq!(code, 1, "{text}");
    let lines: Vec<&str> = text.lines().filter(|line| line.contains("is not of this connector")).collect();
    assert!(lines.len() == 1 && lines[0].contains("somebody-else"), "{text}");
    drop(stranger);
    of_strangers(0.0);
    scenario.produce(200);
    scenario.wait_until_done();
    for connector in [&mut connector, &mut second] {
        assert_eq!(connector.terminate(), Some(0));
    }
    scenario.assert_exactly_once();
}
