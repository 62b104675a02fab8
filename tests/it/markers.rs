//! Offsets that hold nothing for a reader of committed data: markers of transactions, aborted records, open transactions.

use std::collections::BTreeMap;

use rdkafka::producer::Producer as _;

use crate::support::admin::{self, get};
use crate::support::connector::Connector;
use crate::support::kafka::Kafka;
use crate::support::scenario::Scenario;
use crate::support::wait_for;

const TIMEOUT: std::time::Duration = std::time::Duration::from_secs(20);

fn payloads(ids: std::ops::Range<u64>) -> Vec<String> {
    ids.map(|id| format!(r#"{{"id":{id},"sensor":"s","temp":1,"note":null}}"#)).collect()
}

/// Waits until the status has these lags and committed offsets, by partition.
fn wait_for_offsets(admin: &str, expected: &[(u64, u64)]) {
    wait_for("lags and committed offsets", || {
        let status: serde_json::Value =
            serde_json::from_str(&get(admin, "/status")?).map_err(|error| error.to_string())?;
        let partitions = status["partitions"].as_array().ok_or("no partitions")?;
        let found: Option<Vec<(u64, u64)>> = partitions
            .iter()
            .map(|partition| Some((partition["lag_records"].as_u64()?, partition["committed"].as_u64()?)))
            .collect();
        if found.as_deref() == Some(expected) { Ok(()) } else { Err(format!("{found:?} in {status}")) }
    });
}

fn rows(scenario: &Scenario) -> String {
    scenario.servers.query(&format!("SELECT count() FROM {}", scenario.table)).trim().to_owned()
}

#[test]
fn what_a_reader_of_committed_data_cannot_see_is_no_lag_and_no_gap() {
    let scenario = Scenario::shared("markers", 4);
    let (topic, kafka) = (scenario.topic.as_str(), &scenario.kafka);
    let mut connector = scenario.start("a");
    let admin = admin::address(&mut connector);

    // A transaction; one and an aborted one behind it; one and an open one behind it; an aborted one alone.
    let producer = kafka.transactional(&format!("{topic}-x"));
    for partition in 0..3 {
        Kafka::produce_in(&producer, topic, partition, &payloads(0..10));
    }
    producer.commit_transaction(TIMEOUT).unwrap();
    producer.begin_transaction().unwrap();
    for partition in [1, 3] {
        Kafka::produce_in(&producer, topic, partition, &payloads(100..600));
    }
    producer.abort_transaction(TIMEOUT).unwrap();
    let open = kafka.transactional(&format!("{topic}-y"));
    Kafka::produce_in(&open, topic, 2, &payloads(600..605));

    // Caught up, and the markers are committed, so that retention may take them.
    wait_for_offsets(&admin, &[(0, 11), (0, 512), (0, 11), (0, 501)]);
    let lag = |partition: u32, name: &str| {
        let text = get(&admin, "/metrics").unwrap();
        let label = format!("partition=\"{partition}\"");
        let line = text.lines().find(|line| line.starts_with(&format!("{name}{{")) && line.contains(&label)).unwrap();
        line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()
    };
    for partition in 0..4 {
        assert_eq!(lag(partition, "oncesink_consumer_lag_records"), 0.0, "{partition}");
        assert_eq!(lag(partition, "oncesink_consumer_lag_seconds"), 0.0, "{partition}");
    }
    wait_for("the open transaction", || {
        let (_, text) = scenario.run(&["status", "--admin", &admin]);
        let told = format!("open transaction: {topic} [2]: since ");
        let offset = "nothing from offset 11 on can be read";
        if text.contains(&told) && text.contains(offset) { Ok(()) } else { Err(text) }
    });
    assert!(lag(2, "oncesink_open_transaction_seconds") >= 5.0);
    assert_eq!(lag(0, "oncesink_open_transaction_seconds"), 0.0);
    open.commit_transaction(TIMEOUT).unwrap();
    wait_for_offsets(&admin, &[(0, 11), (0, 512), (0, 17), (0, 501)]);
    assert_eq!(rows(&scenario), "35");

    // Killed, and everything is gone by retention when it comes back.
    connector.kill9();
    kafka.delete_records(topic, &BTreeMap::from([(0, 11), (1, 512), (2, 17), (3, 501)]));
    let mut connector: Connector = scenario.start("a");
    let admin = admin::address(&mut connector);
    wait_for_offsets(&admin, &[(0, 11), (0, 512), (0, 17), (0, 501)]);
    let log = connector.log();
    assert!(log.contains("partition=1 range=[10, 512)") && log.contains("nothing is missing"), "{log}");
    assert!(!log.contains("partition halted"), "{log}");
    let (code, text) = scenario.run(&["verify", "--complete"]);
    assert_eq!(code, 0, "{text}");

    // A marker that came a moment before SIGTERM is committed too.
    let producer = kafka.transactional(&format!("{topic}-x"));
    Kafka::produce_in(&producer, topic, 0, &payloads(700..701));
    producer.commit_transaction(TIMEOUT).unwrap();
    wait_for("the row to be stored", || if rows(&scenario) == "36" { Ok(()) } else { Err(rows(&scenario)) });
    assert_eq!(connector.terminate(), Some(0));
    kafka.delete_records(topic, &BTreeMap::from([(0, 13)]));
    let mut connector = scenario.start("a");
    let admin = admin::address(&mut connector);
    wait_for_offsets(&admin, &[(0, 13), (0, 512), (0, 17), (0, 501)]);
    let (code, text) = scenario.run(&["verify", "--complete"]);
    assert_eq!(code, 0, "{text}");
    assert_eq!(connector.terminate(), Some(0));
}
