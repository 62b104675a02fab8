//! Records that only the server can refuse: they become dead letters, and cost the others moments.

use devstack::proxy::Proxy;

use crate::kafka_support::now;
use crate::support::scenario::Scenario;
use crate::support::{admin, wait_for};

/// What one record in so many is like.
const BAD: [(&str, &str); 3] = [
    // A column that the server computes: `ILLEGAL_DIVISION`.
    (r#""seconds":0,"session":"61f0c404-5cb3-11e7-907b-a6006ad3dba0""#, "153"),
    // A skip index over an expression: `CANNOT_PARSE_UUID`.
    (r#""seconds":1,"session":"""#, "376"),
    // `BAD_ARGUMENTS`, which says nothing about whose they are.
    (r#""seconds":1,"session":"61f0c404-5cb3-11e7-907b-a6006ad3dba0","span":"x""#, "36"),
];
const GOOD: &str = r#""seconds":7,"session":"61f0c404-5cb3-11e7-907b-a6006ad3dba0""#;

fn produce(scenario: &mut Scenario, count: u64, bad: impl Fn(u64) -> Option<usize>) {
    let payload = |id: u64| {
        let rest = bad(id).map_or(GOOD, |kind| BAD[kind].0);
        let partition = i32::try_from(id % 2).unwrap();
        (partition, format!(r#"{{"id":{id},"sensor":"s{}","temp":1,{rest}}}"#, id % 50))
    };
    let payloads: Vec<(i32, String)> = (0..count).map(payload).collect();
    scenario.produce_payloads(&payloads);
}

#[test]
fn n4_every_hundredth_record_is_refused_by_the_server_and_the_others_are_stored_at_once() {
    let mut scenario = Scenario::shared("refused", 2);
    scenario.servers.query(&format!(
        "ALTER TABLE {} ADD COLUMN seconds UInt32, ADD COLUMN rate UInt64 MATERIALIZED intDiv(1000, seconds), \
         ADD COLUMN session String, ADD INDEX by_session (toUUID(session)) TYPE minmax, \
         ADD COLUMN span String DEFAULT '1s', ADD COLUMN spent Float64 MATERIALIZED parseTimeDelta(span)",
        scenario.table
    ));
    let began = now();
    produce(&mut scenario, 1_500, |id| (id % 100 == 13).then_some(usize::try_from(id / 100 % 3).unwrap()));
    let mut connector = scenario.start("a");
    scenario.wait_until_done();
    println!("1,500 records, 15 of them refused, are stored after {:?}", began.elapsed());
    let takeovers = connector.log().matches("takeover done").count();
    assert!(takeovers < 40, "many are found by each of {takeovers} takeovers");
    // Of a code that nobody knows, alone among good ones.
    produce(&mut scenario, 200, |id| (id == 120).then_some(2));
    scenario.wait_until_done();
    assert!(connector.log().contains("bisection finished"));
    assert_eq!(connector.terminate(), Some(0));
    scenario.assert_exactly_once();
    assert_eq!(letters(&scenario), "153\tinsert\t5\n36\tinsert\t6\n376\tinsert\t5\n");
}

fn letters(scenario: &Scenario) -> String {
    scenario.servers.query(&format!(
        "SELECT error_code, stage, count() FROM {}.dead_letters GROUP BY ALL ORDER BY ALL",
        scenario.database
    ))
}

/// The first refusal teaches it: the others are seen before they are sent.
#[test]
fn json_objects_with_a_key_twice_become_dead_letters_at_once() {
    let mut scenario = Scenario::shared("key_twice", 1);
    scenario.servers.query(&format!("ALTER TABLE {} ADD COLUMN doc JSON", scenario.table));
    let doc = |id: u64| match id % 50 {
        7 => r#"{"a":1,"b":[2],"a":3}"#,
        // The server takes a value and an object.
        8 => r#"{"a":1,"a":{"b":2}}"#,
        _ => r#"{"a":1,"b":{"a":2}}"#,
    };
    let payload = |id: u64| (0, format!(r#"{{"id":{id},"sensor":"s","temp":1,"doc":{}}}"#, doc(id)));
    scenario.produce_payloads(&(0..1_000).map(payload).collect::<Vec<_>>());
    let mut connector = scenario.start("a");
    scenario.wait_until_done();
    assert_eq!(connector.log().matches("insert ended with an error").count(), 1);
    assert_eq!(connector.terminate(), Some(0));
    scenario.assert_exactly_once();
    assert_eq!(letters(&scenario), "duplicate_key\tdecode\t20\n");
}

/// Something in front of the server bounds requests: smaller blocks, until one record is too large by itself.
#[test]
fn blocks_are_cut_to_what_a_proxy_lets_through() {
    let mut scenario = Scenario::shared("too_large", 1);
    let proxy = Proxy::to_url(&scenario.servers.clickhouse_url).unwrap();
    scenario.clickhouse_through = Some(proxy.url());
    let noise = |seed: u64, words: u64| -> String {
        (0..words).map(|word| format!("{:x}", (seed * 1_000 + word + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15))).collect()
    };
    let record =
        |id: u64, words: u64| (0, format!(r#"{{"id":{id},"sensor":"s","temp":1,"note":"{}"}}"#, noise(id, words)));
    let mut records: Vec<(i32, String)> = (0..2_000).map(|id| record(id, 20)).collect();
    records.insert(1_000, record(3_000, 20_000));
    scenario.produce_payloads(&records);
    proxy.bound_bodies(100_000);
    let mut connector = scenario.start("a");
    connector.wait_for_log("http status 413 from something that is not clickhouse: 413 Request Entity Too Large");
    connector.wait_for_log("set `batch.bytes_max`");
    connector.wait_for_log("the record at offset 1000 is alone in its insert and still too large");
    let address = admin::address(&mut connector);
    wait_for("the status to say so", || {
        let status = admin::get(&address, "/status")?;
        if status.contains("record_too_large") { Ok(()) } else { Err(status) }
    });
    proxy.bound_bodies(u64::MAX);
    assert_eq!(connector.terminate(), Some(0));
    let mut connector = scenario.start("a");
    scenario.wait_until_done();
    assert_eq!(connector.terminate(), Some(0));
    scenario.assert_exactly_once();
}
