//! The promise in ordinary life: start, load, restart, rebalance, stop.

use std::collections::BTreeMap;

use crate::support::scenario::Scenario;
use crate::support::wait_for;

#[test]
fn four_partitions_are_stored_once_with_their_dead_letters_and_alerts() {
    let mut scenario = Scenario::shared("happy", 4);
    scenario.produce(20_000);
    scenario.produce_payloads(&[(0, "{\"id\":"), (1, "no json"), (3, r#"{"id":-1}"#)]);
    let mut connector = scenario.start("a");
    scenario.wait_until_done();
    assert_eq!(connector.terminate(), Some(0));
    scenario.assert_exactly_once();
    let stored = scenario.stored().unwrap();
    assert_eq!(stored.rows.len(), 20_000);
    assert_eq!(stored.dead.len(), 3);
    let alerts = scenario.servers.query(&format!("SELECT uniqExact(alert_id) FROM {}.alerts", scenario.database));
    assert_eq!(alerts.trim(), "200", "the alerts table holds what the topic holds");
}

#[test]
fn a_block_may_hold_hundreds_of_partitions() {
    let mut scenario = Scenario::shared("partitions", 300);
    // Partitions begin one after another, however slowly: the block waits until it is full, and 5,000 records fill it.
    scenario.linger = "60s".to_owned();
    scenario.produce(4_998);
    scenario.produce_payloads(&[(7, "no json"), (299, "no json")]);
    let mut connector = scenario.start("a");
    scenario.wait_until_done();
    assert_eq!(connector.terminate(), Some(0));
    scenario.assert_exactly_once();
    let log = connector.log();
    assert_eq!(log.matches("takeover done").count(), 1, "no insert failed:\n{log}");
    let blocks = scenario.servers.query(&format!(
        "SELECT max(n) FROM (SELECT uniqExact(`partition`) n FROM {}.ledger GROUP BY block)",
        scenario.database
    ));
    assert_eq!(blocks.trim(), "300", "partitions of the largest block");
}

#[test]
fn a_restart_goes_on_where_the_last_run_ended() {
    let mut scenario = Scenario::shared("restart", 2);
    for _ in 0..3 {
        scenario.produce(3_000);
        let mut connector = scenario.start("a");
        scenario.wait_until_done();
        assert_eq!(connector.terminate(), Some(0));
    }
    scenario.assert_exactly_once();
}

#[test]
fn sigterm_under_load_finishes_what_is_under_way_and_exits_0() {
    let mut scenario = Scenario::shared("sigterm", 4);
    scenario.produce(60_000);
    let mut connector = scenario.start("a");
    wait_for("the first rows", || if scenario.stored_count() > 0 { Ok(()) } else { Err("none".to_owned()) });
    assert_eq!(connector.terminate(), Some(0), "{}", connector.log());
    // What was stored is committed: nothing of it is read again.
    let (code, text) = scenario.run(&["verify"]);
    assert_eq!(code, 0, "{text}");
    let mut connector = scenario.start("a");
    scenario.wait_until_done();
    assert_eq!(connector.terminate(), Some(0));
    scenario.assert_exactly_once();
}

#[test]
fn two_instances_share_the_partitions_while_others_come_and_go() {
    let mut scenario = Scenario::shared("rebalance", 6);
    let mut first = scenario.start("a");
    scenario.produce(20_000);
    let mut second = scenario.start("b");
    scenario.produce(20_000);
    second.wait_for_log("partition resumed");
    scenario.produce(20_000);
    let mut third = scenario.start("c");
    third.wait_for_log("partition resumed");
    second.kill9();
    scenario.produce(20_000);
    assert_eq!(third.terminate(), Some(0));
    scenario.produce(10_000);
    scenario.wait_until_done();
    assert_eq!(first.terminate(), Some(0));
    scenario.assert_exactly_once();
}

#[test]
fn offsets_rewound_by_another_tool_double_nothing() {
    let mut scenario = Scenario::shared("rewound", 2);
    scenario.produce(4_000);
    let mut connector = scenario.start("a");
    scenario.wait_until_done();
    connector.kill9();
    // A static member is in the group until its session ends.
    scenario.kafka.move_offsets(&scenario.name, &scenario.topic, &BTreeMap::from([(0, 0), (1, 1_000)]));
    scenario.produce(1_000);
    let mut connector = scenario.start("a");
    connector.wait_for_log("was moved by another tool");
    scenario.wait_until_done();
    assert_eq!(connector.terminate(), Some(0));
    let stored = scenario.stored().unwrap();
    stored.compare(scenario.produced()).unwrap();
}

#[test]
fn the_same_instance_twice_stops_the_first_and_names_it() {
    let mut scenario = Scenario::shared("twice", 2);
    scenario.produce(500);
    let mut first = scenario.start("a");
    first.wait_for_log("partition resumed");
    let mut second = scenario.start("a");
    assert_eq!(first.wait_for_exit(), Some(3), "{}", first.log());
    assert!(first.log().contains("another process runs with this `instance`"), "{}", first.log());
    scenario.produce(500);
    scenario.wait_until_done();
    assert_eq!(second.terminate(), Some(0));
    scenario.assert_exactly_once();
}
