//! What people's producers really write, from a real broker through the connector into a real engine: each of these records
//! is a row, none a dead letter, and `verify --contents` says that it is the right one.

use std::fmt::Write as _;

use apache_avro::types::Value;
use apache_avro::writer::datum::GenericDatumWriter;

use crate::support::scenario::Scenario;
use crate::support::{admin, wait_for};

/// A scenario whose table has these columns beside the coordinates, and no detectors.
fn scenario(name: &str, columns: &str) -> Scenario {
    let mut scenario = Scenario::shared(name, 1);
    scenario.detector_lines.clear();
    scenario.table = format!("{}.target", scenario.database);
    scenario.servers.query(&format!(
        "CREATE TABLE {} ({columns}, _topic LowCardinality(String), _partition Int32, _offset UInt64, \
         _replay UInt32, INDEX offsets _offset TYPE minmax) ENGINE = MergeTree ORDER BY _offset",
        scenario.table
    ));
    scenario
}

fn stored(scenario: &Scenario, columns: &str) -> String {
    scenario.servers.query(&format!("SELECT {columns} FROM {} ORDER BY _offset", scenario.table))
}

fn assert_contents_are_verified(scenario: &Scenario) {
    let (code, text) = scenario.run(&["verify", "--complete", "--contents"]);
    assert_eq!(code, 0, "{text}");
}

#[test]
fn json_as_other_languages_write_it() {
    let mut scenario = scenario(
        "json_values",
        "id UInt32, done Bool, n UInt8, f Float64, at DateTime64(3, 'UTC'), day Date, g Float64 DEFAULT nan",
    );
    let row = |id: u32, fields: &str| format!("{{\"id\":{id},{fields}}}");
    let times = [
        "2024-05-01T10:00",
        "2024-05-01T10:00Z",
        "2024-05-01 10:00:00+00",
        "2024-05-01 10:00:00 +0000",
        "2024-05-01 10:00:00,000",
        "20240501T100000Z",
        "2024-05-01T12:00:00+02:00[Europe/Berlin]",
        "2024-05-01 12:00:00.0 +0200 CEST",
        "Wed, 01 May 2024 10:00:00 GMT",
    ];
    let mut records: Vec<String> = vec![
        "\u{feff}{\"id\":0,\"done\":\"true\",\"n\":\"true\",\"f\":NaN}".to_owned(),
        row(1, r#""done":"False","n":5.0,"f":-Infinity"#),
        row(2, r#""n":5e1,"other":NaN,"f":"inf""#),
        row(3, r#""n":"7.00","other":{"deep":["\ud800",{"\udc00":"\x"}]}"#),
        row(4, r#""day":"2024-05-01T00:00:00Z","g":null"#),
        row(5, r#""day":"20240501","g":1.5"#),
    ];
    records.extend((6..).zip(times).map(|(id, time)| row(id, &format!("\"at\":\"{time}\""))));
    let mut records: Vec<(i32, Vec<u8>)> = records.into_iter().map(|record| (0, record.into_bytes())).collect();
    records.push((0, b"{\"id\":15,\"other\":\"\xff\xfe\",\"n\":1}".to_vec()));
    scenario.produce_payloads(&records);

    let mut connector = scenario.start("a");
    scenario.wait_until_done();
    let mut expected = "0\ttrue\t1\tnan\t1970-01-01 00:00:00.000\t1970-01-01\n\
                        1\tfalse\t5\t-inf\t1970-01-01 00:00:00.000\t1970-01-01\n\
                        2\tfalse\t50\tinf\t1970-01-01 00:00:00.000\t1970-01-01\n\
                        3\tfalse\t7\t0\t1970-01-01 00:00:00.000\t1970-01-01\n\
                        4\tfalse\t0\t0\t1970-01-01 00:00:00.000\t2024-05-01\n\
                        5\tfalse\t0\t0\t1970-01-01 00:00:00.000\t2024-05-01\n"
        .to_owned();
    for id in (6..).take(times.len()) {
        writeln!(expected, "{id}\tfalse\t0\t0\t2024-05-01 10:00:00.000\t1970-01-01").unwrap();
    }
    expected.push_str("15\tfalse\t1\t0\t1970-01-01 00:00:00.000\t1970-01-01\n");
    assert_eq!(stored(&scenario, "id, done, n, f, at, day"), expected);
    // Null and nothing are the default, as JSONEachRow has it.
    let defaults =
        scenario.servers.query(&format!("SELECT countIf(isNaN(g)), sumIf(g, NOT isNaN(g)) FROM {}", scenario.table));
    assert_eq!(defaults, "15\t1.5\n");
    assert_contents_are_verified(&scenario);
    assert_eq!(connector.terminate(), Some(0));
}

#[test]
fn timestamps_that_are_none_or_in_another_unit_stop_nothing() {
    let mut scenario = scenario(
        "timestamps",
        "id UInt32, at DateTime64(3, 'UTC') DEFAULT toDateTime64(7, 3, 'UTC'), maybe Nullable(DateTime)",
    );
    scenario.topic_lines.push("columns: { at: $timestamp, maybe: $timestamp }".to_owned());
    let timestamps = [
        -1,
        // Seconds, microseconds, nanoseconds; what a clock says.
        1_714_557_600,
        1_714_557_600_000_000,
        1_714_557_600_000_000_000,
        1_714_557_600_000,
    ];
    // More than the share of dead letters that would halt the partition.
    let records: Vec<_> = (0..60)
        .zip(timestamps.iter().cycle())
        .map(|(id, timestamp): (u32, _)| (format!("{{\"id\":{id}}}"), *timestamp))
        .collect();
    scenario.produce_at(&records);
    let mut connector = scenario.start("a");
    let address = admin::address(&mut connector);
    scenario.wait_until_done();
    let expected = "0\t1970-01-01 00:00:07.000\t\\N\n\
                    1\t1970-01-20 20:15:57.600\t1970-01-20 20:15:57\n\
                    2\t1970-01-01 00:00:07.000\t\\N\n\
                    3\t1970-01-01 00:00:07.000\t\\N\n\
                    4\t2024-05-01 10:00:00.000\t2024-05-01 10:00:00\n";
    let first = stored(&scenario, "id, at, toTimeZone(maybe, 'UTC')");
    assert!(first.starts_with(expected), "{first}");
    assert_contents_are_verified(&scenario);
    // What was put in the place of others is counted, and no age is one of decades.
    let metrics = wait_for("the metrics", || {
        let text = admin::get(&address, "/metrics")?;
        let replaced = |column: &str| {
            let series = "oncesink_values_replaced_total{";
            let of_column = format!("column=\"{column}\",policy=\"timestamp\"");
            text.lines().any(|line| line.starts_with(series) && line.contains(&of_column) && line.ends_with(" 24"))
        };
        if replaced("at") && replaced("maybe") { Ok(text) } else { Err(text) }
    });
    let latency = metrics.lines().find(|line| line.starts_with("oncesink_visible_latency_seconds_sum"));
    let seconds = latency.map_or(0.0, |line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap());
    assert!(seconds < 1e9, "{latency:?}");
    assert_eq!(connector.terminate(), Some(0));
}

#[test]
fn lists_of_records_fill_a_nested() {
    const SCHEMA: &str = r#"{"type":"record","name":"R","fields":[{"name":"id","type":"long"},{"name":"n","type":["null",
        {"type":"array","items":{"type":"record","name":"E","fields":[{"name":"a","type":"int"},{"name":"b","type":"string"}]}}]}]}"#;
    let mut scenario = scenario("nested_lists", "id UInt32, n Nested(a UInt32, b String)");
    let file = scenario.folder.path().join("schema.avsc");
    std::fs::write(&file, SCHEMA).unwrap();
    scenario.topic_lines.push("format: avro".to_owned());
    scenario.topic_lines.push(format!("avro: {{ framing: none, schema_files: [\"{}\"] }}", file.display()));
    let schema = apache_avro::Schema::parse_str(SCHEMA).unwrap();
    let writer = GenericDatumWriter::builder(&schema).build().unwrap();
    let element = |a: i32, b: &str| {
        Value::Record(vec![("a".to_owned(), Value::Int(a)), ("b".to_owned(), Value::String(b.to_owned()))])
    };
    let record = |id: i64, n: Option<Vec<Value>>| {
        let n = match n {
            None => Value::Union(0, Box::new(Value::Null)),
            Some(elements) => Value::Union(1, Box::new(Value::Array(elements))),
        };
        let record = Value::Record(vec![("id".to_owned(), Value::Long(id)), ("n".to_owned(), n)]);
        (0, writer.write_value_to_vec(record).unwrap())
    };
    scenario.produce_payloads(&[
        record(1, Some(vec![element(1, "x"), element(2, "y")])),
        record(2, None),
        record(3, Some(Vec::new())),
    ]);
    let mut connector = scenario.start("a");
    scenario.wait_until_done();
    assert_eq!(stored(&scenario, "id, n.a, n.b"), "1\t[1,2]\t['x','y']\n2\t[]\t[]\n3\t[]\t[]\n");
    assert_contents_are_verified(&scenario);
    assert_eq!(connector.terminate(), Some(0));
}
