//! Replies that are cut, requests that are repeated, servers that die in the middle.

use devstack::proxy::{Action, Proxy, Rule};
use devstack::{Broker, BrokerOptions, Engine, EngineOptions, FaultAction, FaultWhen};

use crate::support::scenario::{Scenario, Servers};
use crate::support::{admin, servers_are_ours, wait_for};

#[test]
fn a_reply_that_is_cut_leads_to_a_look_and_not_to_a_resend() {
    for after in [0, 20] {
        let mut scenario = Scenario::shared("reply_cut", 2);
        let proxy = Proxy::to_url(&scenario.servers.clickhouse_url).unwrap();
        scenario.clickhouse_through = Some(proxy.url());
        let target = format!("INSERT INTO `{}`.`readings`", scenario.database);
        let rule = proxy.add(Rule::once(&target, Action::CutReply { after }));
        scenario.produce(3_000);
        let mut connector = scenario.start("a");
        rule.wait_hits(1).unwrap();
        scenario.wait_until_done();
        connector.wait_for_log("insert without an answer");
        assert_eq!(connector.terminate(), Some(0));
        scenario.assert_exactly_once();
    }
}

#[test]
fn a_request_that_is_cut_inserts_nothing_and_is_made_anew() {
    let mut scenario = Scenario::shared("request_cut", 2);
    let proxy = Proxy::to_url(&scenario.servers.clickhouse_url).unwrap();
    scenario.clickhouse_through = Some(proxy.url());
    let target = format!("INSERT INTO `{}`.`readings`", scenario.database);
    let rule = proxy.add(Rule::once(&target, Action::CutRequest { after: 6_000 }));
    scenario.produce(3_000);
    let mut connector = scenario.start("a");
    rule.wait_hits(1).unwrap();
    scenario.wait_until_done();
    assert_eq!(connector.terminate(), Some(0));
    scenario.assert_exactly_once();
}

/// (H11): presence test and query id together make a repeated POST harmless.
#[test]
fn h11_a_request_that_a_proxy_repeats_stores_nothing_twice() {
    for action in [Action::Repeat, Action::RepeatLater] {
        let mut scenario = Scenario::shared("repeated", 2);
        let proxy = Proxy::to_url(&scenario.servers.clickhouse_url).unwrap();
        scenario.clickhouse_through = Some(proxy.url());
        scenario.servers.clickhouse_lines.push("behind_proxy: true".to_owned());
        let target = format!("INSERT INTO `{}`.`readings`", scenario.database);
        let rule = proxy.add(Rule { matching: target, times: 3, action });
        scenario.produce(8_000);
        let mut connector = scenario.start("a");
        scenario.wait_until_done();
        rule.release();
        assert!(!rule.wait_repeats(1).unwrap().is_empty());
        scenario.produce(2_000);
        scenario.wait_until_done();
        assert_eq!(connector.terminate(), Some(0));
        scenario.assert_exactly_once();
    }
}

#[test]
fn an_engine_killed_in_mid_insert_and_started_again_loses_and_doubles_nothing() {
    if !servers_are_ours("kills ClickHouse") {
        return;
    }
    let stack = devstack::Stack::shared().unwrap();
    let engine = Engine::start(&EngineOptions::default()).unwrap();
    for when in [FaultWhen::Before, FaultWhen::After] {
        let mut scenario = Scenario::new(Servers::plain(stack.bootstrap(), engine.url()), "engine_killed", 2);
        scenario.produce(3_000);
        let fault = engine.fault("INSERT INTO `[a-z0-9_]+`.`readings`", when, &FaultAction::Hold).unwrap();
        let mut connector = scenario.start("a");
        fault.wait_hit().unwrap();
        engine.kill9();
        engine.restart().unwrap();
        scenario.produce(1_000);
        scenario.wait_until_done();
        assert_eq!(connector.terminate(), Some(0), "{}", connector.log());
        scenario.assert_exactly_once();
    }
}

#[test]
fn a_broker_killed_in_mid_transaction_loses_and_doubles_nothing() {
    if !servers_are_ours("kills Kafka") {
        return;
    }
    let stack = devstack::Stack::shared().unwrap();
    let broker = Broker::start(&BrokerOptions::default()).unwrap();
    let mut scenario = Scenario::new(Servers::plain(broker.bootstrap(), stack.clickhouse_url()), "broker_killed", 2);
    scenario.produce(3_000);
    // The proof is the first transaction; the second holds alerts and offsets, and freezes with both sent.
    let mut connector = scenario.start_with_failpoint("a", "after_send_offsets=stop:2");
    connector.wait_until_frozen();
    broker.kill9();
    connector.signal("CONT");
    broker.restart().unwrap();
    scenario.produce(1_000);
    scenario.wait_until_done();
    assert_eq!(connector.terminate(), Some(0), "{}", connector.log());
    scenario.assert_exactly_once();
}

#[test]
fn dead_ports_at_the_start_are_waited_for() {
    if !servers_are_ours("stops ClickHouse") {
        return;
    }
    let stack = devstack::Stack::shared().unwrap();
    let engine = Engine::start(&EngineOptions::default()).unwrap();
    let mut scenario = Scenario::new(Servers::plain(stack.bootstrap(), engine.url()), "dead_port", 2);
    scenario.produce(1_000);
    engine.kill9();
    let mut connector = scenario.start("a");
    connector.wait_for_log("waiting for clickhouse");
    engine.restart().unwrap();
    scenario.wait_until_done();
    assert_eq!(connector.terminate(), Some(0));
    scenario.assert_exactly_once();
}

#[test]
fn an_error_reply_from_a_view_does_not_double_its_source() {
    let mut scenario = Scenario::shared("view_error", 1);
    let database = &scenario.database;
    scenario
        .servers
        .query(&format!("CREATE TABLE {database}.totals (sensor String, n UInt64) ENGINE = MergeTree ORDER BY sensor"));
    scenario.servers.query(&format!("CREATE TABLE {database}.switch (broken UInt8) ENGINE = Memory"));
    scenario.servers.query(&format!("INSERT INTO {database}.switch VALUES (1)"));
    // (H4, F4): raised after all rows of the source are committed, with the code of our own fence.
    scenario.servers.query(&format!(
        "CREATE MATERIALIZED VIEW {database}.feed TO {database}.totals AS SELECT toString(sensor) AS sensor, \
         count() AS n FROM {database}.readings \
         WHERE throwIf((SELECT max(broken) FROM {database}.switch) = 1, 'a view of its own') = 0 GROUP BY sensor"
    ));
    scenario.produce(1_000);
    let mut connector = scenario.start("a");
    connector.wait_for_log("insert ended with an error");
    scenario.servers.query(&format!("TRUNCATE TABLE {}.switch", scenario.database));
    scenario.produce(1_000);
    scenario.wait_until_done();
    assert_eq!(connector.terminate(), Some(0));
    scenario.assert_exactly_once();
    let flagged =
        scenario.servers.query(&format!("SELECT countIf(views_unverified) > 0 FROM {}.ledger", scenario.database));
    assert_eq!(flagged.trim(), "1", "the ledger says which ranges the views may lack");
}

/// The statements of docs/views.md: one record costs the view its block, and the repair brings all rows but that one's.
#[test]
fn what_a_view_lacks_is_found_and_repaired_as_documented() {
    let mut scenario = Scenario::shared("view_repair", 1);
    let coordinates = "_topic, _partition, _offset, _replay";
    let database = scenario.database.clone();
    let columns = "id UInt64, _topic String, _partition Int32, _offset UInt64, _replay UInt32";
    scenario.servers.query(&format!(
        "CREATE TABLE {database}.copies ({columns}) ENGINE = MergeTree ORDER BY (_partition, _offset)"
    ));
    scenario.servers.query(&format!(
        "CREATE MATERIALIZED VIEW {database}.feed TO {database}.copies AS SELECT id, {coordinates} FROM \
         {database}.readings WHERE throwIf(id = 500, 'a view of its own') = 0"
    ));
    scenario.produce(1_000);
    let mut connector = scenario.start("a");
    connector.wait_for_log("insert ended with an error");
    scenario.wait_until_done();
    scenario.produce(1_000);
    scenario.wait_until_done();
    assert_eq!(connector.terminate(), Some(0));
    scenario.assert_exactly_once();

    let count = || scenario.servers.query(&format!("SELECT count(), uniqExact(id) FROM {database}.copies"));
    let lacking = count();
    assert!(!lacking.starts_with("1999\t"), "the view lacks nothing: {lacking}");
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/views.md")).unwrap();
    let statements: Vec<&str> =
        page.split("```sql\n").skip(1).filter_map(|rest| rest.split_once("```")).map(|(sql, _)| sql).collect();
    let [find, repair] = statements[..] else { panic!("{} statements", statements.len()) };
    let find = find.replace("oncesink.ledger", &format!("{database}.ledger")).replace("NAME", &scenario.name);
    let flagged = scenario.servers.query(&find);
    assert!(!flagged.is_empty(), "the ledger flags nothing");
    for line in flagged.lines().chain(flagged.lines()) {
        let fields: Vec<&str> = line.split('\t').collect();
        scenario.servers.query(
            &repair
                .replace("VIEW_TABLE", &format!("{database}.copies"))
                .replace("TARGET", &scenario.table)
                .replace("'TOPIC'", &format!("'{}'", fields[0]))
                .replace("START", fields[3])
                .replace("END", fields[4])
                .replace("CONDITION THAT THROWS", "id = 500"),
        );
    }
    assert_eq!(count(), "1999\t1999\n", "every row but the one that the view refuses, once");
}

/// What waits for ClickHouse is shown as paused, and what the group gave out is counted.
#[test]
fn partitions_that_wait_for_clickhouse_are_shown_as_paused() {
    let mut scenario = Scenario::shared("paused", 2);
    let proxy = Proxy::to_url(&scenario.servers.clickhouse_url).unwrap();
    scenario.clickhouse_through = Some(proxy.url());
    let target = format!("INSERT INTO `{}`.`readings`", scenario.database);
    let rule = proxy.add(Rule::once(&target, Action::StallReply { after: 0 }));
    // More than three blocks: one is being inserted, one waits, one is open and full.
    scenario.produce(20_000);
    let mut connector = scenario.start("a");
    rule.wait_hits(1).unwrap();
    let address = admin::address(&mut connector);
    let wait_for_metric = |name: &str, expected: f64| {
        wait_for(name, || match admin::metric(&address, name)? {
            value if value == expected => Ok(()),
            value => Err(format!("it is {value} instead of {expected}")),
        });
    };
    wait_for_metric("oncesink_partitions_assigned", 2.0);
    wait_for_metric("oncesink_paused_partitions", 2.0);
    let status = admin::get(&address, "/status").unwrap();
    assert_eq!(status.matches("\"state\":\"paused\"").count(), 2, "{status}");
    rule.release();
    wait_for_metric("oncesink_paused_partitions", 0.0);
    scenario.wait_until_done();
    assert_eq!(connector.terminate(), Some(0));
    scenario.assert_exactly_once();
}
