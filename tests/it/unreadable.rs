//! A batch that the client cannot read: its partition stands still and is named, the others go on.

use crate::support::admin::{self, get};
use crate::support::scenario::Scenario;
use crate::support::wait_for;

fn wait_for_rows(scenario: &Scenario, partition: i32, expected: u64) {
    wait_for(&format!("{expected} rows of partition {partition}"), || {
        let sql = format!("SELECT count(), uniqExact(_offset) FROM {} WHERE _partition = {partition}", scenario.table);
        let found = scenario.servers.query(&sql);
        if found.trim() == format!("{expected}\t{expected}") { Ok(()) } else { Err(found) }
    });
}

#[test]
fn a_batch_that_unfolds_to_too_much_stops_its_partition_alone() {
    let mut scenario = Scenario::shared("unreadable", 2);
    scenario.kafka_lines.push("  receive.message.max.bytes: 4000000".to_owned());
    let mut connector = scenario.start("a");
    let admin = admin::address(&mut connector);
    scenario.produce(100);
    wait_for_rows(&scenario, 0, 50);
    wait_for_rows(&scenario, 1, 50);

    let note = "x".repeat(100_000);
    let payloads: Vec<String> =
        (1_000..1_060).map(|id| format!(r#"{{"id":{id},"sensor":"s","temp":1,"note":"{note}"}}"#)).collect();
    scenario.kafka.produce_unfolding(&scenario.topic, 0, &payloads);
    scenario.produce(100);
    wait_for_rows(&scenario, 1, 100);
    connector.wait_for_log("a batch cannot be read: the partition stands still, the others go on");
    let said: Vec<String> =
        connector.log().lines().filter(|line| line.contains("a batch cannot be read")).map(str::to_owned).collect();
    assert_eq!(said.len(), 1, "{said:?}");
    for part in
        ["partition=0", "offset=50", "raise that under `kafka.properties`", "receive.message.max.bytes` (4000000)"]
    {
        assert!(said[0].contains(part), "{part}: {}", said[0]);
    }
    // More of the other partition, while the first is tried again.
    scenario.produce(100);
    wait_for_rows(&scenario, 1, 150);
    wait_for_rows(&scenario, 0, 50);
    wait_for("the status to name the partition", || {
        let status: serde_json::Value =
            serde_json::from_str(&get(&admin, "/status")?).map_err(|error| error.to_string())?;
        let partition = |at: usize| &status["partitions"][at];
        let states = [&partition(0)["state"], &partition(1)["state"], &partition(0)["halted"]["code"]];
        let states = states.map(|state| state.as_str().unwrap_or_default());
        let lags = [partition(0), partition(1)].map(|partition| partition["lag_records"].as_u64());
        let expected = (["halted", "running", "unreadable_batch"], [Some(160), Some(0)]);
        if (states, lags) == expected { Ok(()) } else { Err(status.to_string()) }
    });
    let (code, text) = scenario.run(&["status", "--admin", &admin]);
    assert!(code == 1 && text.contains(&format!("halted: {} [0]: the batch at offset 50", scenario.topic)), "{text}");
    assert_eq!(connector.log().matches("takeover begins").count(), 1, "{}", connector.log());
    assert_eq!(connector.terminate(), Some(0));

    // What the message says helps.
    scenario.kafka_lines[0] = "  receive.message.max.bytes: 100000000".to_owned();
    let (code, text) = scenario.run(&["check"]);
    assert_eq!(code, 0, "{text}");
    let mut connector = scenario.start("a");
    wait_for_rows(&scenario, 0, 210);
    wait_for_rows(&scenario, 1, 150);
    assert_eq!(connector.terminate(), Some(0));
}
