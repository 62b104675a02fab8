//! Bad records of every kind: each has its stated fate, and costs its neighbours nothing.

use crate::support::admin;
use crate::support::scenario::Scenario;
use crate::support::wait_for;

/// A record, and stage and field of the dead letter that it becomes, if it does.
type Case<'a> = (&'a [u8], Option<(&'a str, &'a str)>);

#[test]
fn every_kind_of_bad_record_has_its_fate() {
    let mut scenario = Scenario::shared("bad_records", 1);
    let deep = format!(r#"{{"id":1,"sensor":"s","temp":1,"x":{}{}}}"#, "[".repeat(50_000), "]".repeat(50_000));
    let large = format!(r#"{{"id":77,"sensor":"s","temp":1,"note":"{}"}}"#, "x".repeat(16 << 20));
    let cases: Vec<Case> = vec![
        (br#"{"id":1,"sensor":"s","temp":1.5,"note":"n"}"#, None),
        // Missing fields get the column's default, unknown fields are ignored, null is null or the default.
        (br#"{"id":2}"#, None),
        (br#"{"id":3,"unknown":{"a":[1,2,{"b":null}]},"note":null,"temp":null}"#, None),
        (br#"{"id":300,"sensor":"s","temp":"hot"}"#, Some(("convert", "temp"))),
        (br#"{"id":18446744073709551616,"sensor":"s"}"#, Some(("convert", "id"))),
        (br#"{"id":-1}"#, Some(("convert", "id"))),
        (br#"{"id":1.5}"#, Some(("convert", "id"))),
        (br#"{"id":1,"sensor":"#, Some(("decode", "sensor"))),
        (br#"{"id":1} trailing"#, Some(("decode", ""))),
        (br#"[1,2]"#, Some(("decode", ""))),
        (b"", Some(("decode", ""))),
        (b"{\"id\":4,\"sensor\":\"\xff\xfe\"}", Some(("decode", "sensor"))),
        (deep.as_bytes(), Some(("decode", ""))),
        (large.as_bytes(), None),
        (br#"{"id":99,"sensor":"last","temp":-1}"#, None),
    ];
    let payloads: Vec<(i32, &[u8])> = cases.iter().map(|(payload, _)| (0, *payload)).collect();
    scenario.produce_payloads(&payloads);
    scenario.topic_lines.push("bad_share_max: 100%".to_owned());
    let mut connector = scenario.start("a");
    scenario.wait_until_done();
    let port = admin::address(&mut connector);
    // In a line of the log, and in the status, with their reasons and fields.
    connector.wait_for_log("records became dead letters: ");
    connector.wait_for_log(" in `id` (first at offset ");
    let told = format!("dead letters: {} [0]: ", scenario.topic);
    wait_for("the status to tell of dead letters", || {
        let (_, text) = scenario.run(&["status", "--admin", &port]);
        let tells = |line: &str| line.starts_with(&told) && line.contains(" in `id` (first at offset ");
        if text.lines().any(tells) { Ok(()) } else { Err(text) }
    });
    assert_eq!(connector.terminate(), Some(0));
    scenario.assert_exactly_once();
    for (offset, (payload, fate)) in cases.iter().enumerate() {
        let letter = scenario.servers.query(&format!(
            "SELECT stage, error_field, length(raw_message), hex(MD5(raw_message)) FROM {}.dead_letters \
             WHERE kafka_offset = {offset}",
            scenario.database
        ));
        match fate {
            None => assert_eq!(letter, "", "offset {offset} is a row"),
            Some((stage, field)) => {
                let md5 = scenario.servers.query(&format!("SELECT hex(MD5(unhex('{}')))", hex(payload)));
                let expected = format!("{stage}\t{field}\t{}\t{md5}", payload.len());
                assert_eq!(letter.trim_end(), expected.trim_end(), "offset {offset}: exact bytes, stage and field");
            }
        }
    }
    let row = scenario
        .servers
        .query(&format!("SELECT id, sensor, temp, note FROM {} WHERE _offset IN (1, 2) ORDER BY id", scenario.table));
    assert_eq!(row, "2\t\t0\t\\N\n3\t\t0\t\\N\n");
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn tombstones_are_skipped_and_counted() {
    let mut scenario = Scenario::shared("tombstones", 1);
    scenario.produce(10);
    scenario.kafka.produce_tombstone(&scenario.topic, 0);
    scenario.skip_offset(0);
    scenario.produce(10);
    let mut connector = scenario.start("a");
    scenario.wait_until_done();
    assert_eq!(connector.terminate(), Some(0));
    scenario.assert_exactly_once();
}

/// Drift is not poison: above `bad_share_max` a partition stops, and the others go on.
#[test]
fn a_partition_whose_records_are_mostly_bad_stops_and_the_others_go_on() {
    let mut scenario = Scenario::shared("drift", 2);
    let good: Vec<(i32, String)> = (0..500).map(|id| (0, format!(r#"{{"id":{id},"sensor":"s","temp":1}}"#))).collect();
    scenario.produce_payloads(&good);
    let bad: Vec<(i32, &[u8])> = (0..500).map(|_| (1, &b"other format"[..])).collect();
    scenario.kafka.produce(&scenario.topic, bad);
    let mut connector = scenario.start("a");
    connector.wait_for_log("bad_share_max");
    scenario.wait_until_stored();
    let port = admin::address(&mut connector);
    // The status is put together now and then.
    let mut text = String::new();
    wait_for("the status to tell of the halt", || {
        let (code, told) = scenario.run(&["status", "--admin", &port]);
        text = told;
        if code == 1 { Ok(()) } else { Err(text.clone()) }
    });
    for part in [" invalid_json (first at offset 0)", "`on_error`", ".halted_samples keeps the first of each"] {
        assert!(text.contains(part) && connector.log().contains(part), "{part}: {text}\n{}", connector.log());
    }
    assert!(!text.contains("other format"), "the status shows no records: {text}");
    // A sample is neither a row nor a dead letter.
    let sql = format!(
        "SELECT kafka_partition, kafka_offset, raw_message, raw_bytes, error_code FROM {}.halted_samples FINAL \
         ORDER BY kafka_offset",
        scenario.database
    );
    wait_for("the sample", || {
        let found = scenario.servers.query(&sql);
        let expected: String = (0..3).map(|offset| format!("1\t{offset}\tother format\t12\tinvalid_json\n")).collect();
        if found == expected { Ok(()) } else { Err(found) }
    });
    assert_eq!(connector.terminate(), Some(0));
    scenario.assert_exactly_once();
}

/// (N4): a row that only the server refuses is searched and becomes a dead letter with the server's words.
#[test]
fn n4_a_row_that_the_server_refuses_becomes_a_dead_letter_alone() {
    let mut scenario = Scenario::shared("constraint", 1);
    scenario.servers.query(&format!("ALTER TABLE {} ADD CONSTRAINT not_thirteen CHECK id != 13", scenario.table));
    scenario.produce(300);
    let mut connector = scenario.start("a");
    scenario.wait_until_done();
    assert_eq!(connector.terminate(), Some(0));
    scenario.assert_exactly_once();
    let letters = scenario
        .servers
        .query(&format!("SELECT kafka_offset, stage, error_code FROM {}.dead_letters", scenario.database));
    assert_eq!(letters, "13\tinsert\t469\n");
}
