//! Records that only the server can refuse: they become dead letters, and cost the others moments.

use crate::kafka_support::now;
use crate::support::scenario::Scenario;

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
    let letters = scenario.servers.query(&format!(
        "SELECT error_code, stage, count() FROM {}.dead_letters GROUP BY ALL ORDER BY ALL",
        scenario.database
    ));
    assert_eq!(letters, "153\tinsert\t5\n36\tinsert\t6\n376\tinsert\t5\n");
}
