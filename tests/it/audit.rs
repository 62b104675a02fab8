//! The continuous audit: what happens to rows behind the connector's back is noticed while it runs.

use std::fmt::Write as _;

use crate::support::admin::{self, get, metric};
use crate::support::scenario::Scenario;
use crate::support::wait_for;

fn wait_for_metric(admin: &str, name: &str, expected: impl Fn(f64) -> bool) {
    wait_for(name, || {
        let value = metric(admin, name)?;
        if expected(value) { Ok(()) } else { Err(format!("{name} is {value}")) }
    });
}

#[test]
fn a_row_that_is_deleted_behind_the_connector_s_back_is_noticed() {
    let mut scenario = Scenario::shared("audit", 2);
    scenario.top_lines.push("audit: { interval: 1s }".to_owned());
    let mut connector = scenario.start("a");
    let admin = admin::address(&mut connector);
    scenario.produce(400);
    scenario.wait_until_stored();
    wait_for_metric(&admin, "oncesink_audited_ranges_total", |ranges| ranges > 3.0);
    assert_eq!(metric(&admin, "oncesink_audit_differing_ranges").unwrap(), 0.0);
    assert!(metric(&admin, "oncesink_audit_time_seconds").unwrap() > 1.7e9);

    let table = scenario.table.clone();
    scenario.servers.query(&format!("CREATE TABLE {table}_kept AS {table}"));
    scenario
        .servers
        .query(&format!("INSERT INTO {table}_kept SELECT * FROM {table} WHERE _partition = 1 AND _offset = 7"));
    scenario
        .servers
        .query(&format!("ALTER TABLE {table} DELETE WHERE _partition = 1 AND _offset = 7 SETTINGS mutations_sync = 1"));
    let ledger = scenario.servers.query(&format!(
        "SELECT start_offset, end_offset, rows FROM {}.ledger WHERE partition = 1 AND start_offset <= 7 AND end_offset > 7",
        scenario.database
    ));
    let numbers: Vec<u64> = ledger.split_whitespace().map(|number| number.parse().unwrap()).collect();
    let [start, end, rows] = numbers[..] else { panic!("{ledger}") };
    connector.wait_for_log("audit: the table holds another number of rows");
    let mut expected = format!("partition=1 range=[{start}, {end}) expected={rows} found={}", rows - 1);
    assert!(connector.log().contains(&expected), "{expected}: {}", connector.log());
    wait_for_metric(&admin, "oncesink_audit_differing_ranges", |ranges| ranges == 1.0);
    assert_eq!(metric(&admin, "oncesink_audit_differences_total").unwrap(), 1.0);
    expected.clear();
    write!(expected, r#""partition":1,"start":{start},"end":{end},"expected":{rows},"found":{}"#, rows - 1).unwrap();
    wait_for("the difference in /status", || {
        let status = get(&admin, "/status")?;
        if status.contains(&expected) { Ok(()) } else { Err(status) }
    });
    let (code, text) = scenario.run(&["status", "--admin", &admin]);
    assert_eq!((code, text.contains("run `oncesink verify`")), (1, true), "{text}");

    scenario.servers.query(&format!("INSERT INTO {table} SELECT * FROM {table}_kept"));
    connector.wait_for_log("audit: this range differs no longer");
    wait_for_metric(&admin, "oncesink_audit_differing_ranges", |ranges| ranges == 0.0);

    // A row too many is as wrong as one that is missing.
    scenario.servers.query(&format!("INSERT INTO {table} SELECT * FROM {table}_kept"));
    connector.wait_for_log(&format!("range=[{start}, {end}) expected={rows} found={}", rows + 1));
    // Nothing came of it but words.
    scenario.produce(10);
    wait_for("the connector to go on", || {
        if scenario.stored_count() == 410 { Ok(()) } else { Err(format!("{} units", scenario.stored_count())) }
    });
    assert_eq!(metric(&admin, "oncesink_takeovers_total").unwrap(), 1.0);
    assert_eq!(connector.terminate(), Some(0));
}

#[test]
fn an_audit_that_is_off_asks_nothing() {
    let mut scenario = Scenario::shared("no_audit", 1);
    scenario.top_lines.push("audit: { interval: off }".to_owned());
    let mut connector = scenario.start("a");
    let admin = admin::address(&mut connector);
    scenario.produce(10);
    scenario.wait_until_stored();
    assert!(metric(&admin, "oncesink_audited_ranges_total").is_err());
    assert_eq!(connector.terminate(), Some(0));
}
