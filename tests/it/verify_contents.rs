//! `verify --contents` against what a connector has stored: a table of all common column types, and every kind of edit.

use std::fmt::Write as _;

use crate::support::scenario::Scenario;

/// Columns, and for each an edit of one of its values.
const COLUMNS: [(&str, &str, &str); 31] = [
    ("temp", "Float64", "temp + 1"),
    ("i8", "Int8", "i8 + 1"),
    ("i64", "Int64", "-i64"),
    ("i128", "Int128", "i128 + 1"),
    ("u256", "UInt256", "u256 + 1"),
    ("f32", "Float32", "-f32"),
    ("decimal", "Decimal(18, 4)", "decimal + toDecimal64(0.0001, 4)"),
    ("flag", "Bool", "not flag"),
    ("day", "Date", "day + 1"),
    ("day32", "Date32", "day32 + 1"),
    ("at", "DateTime", "at + 1"),
    ("at64", "DateTime64(3, 'Europe/Berlin')", "addMilliseconds(at64, 1)"),
    ("uid", "UUID", "toUUID('00000000-0000-0000-0000-000000000001')"),
    ("choice", "Enum8('a' = 1, 'b' = 2)", "if(choice = 'a', 'b', 'a')"),
    ("ip4", "IPv4", "toIPv4('10.0.0.1')"),
    ("ip6", "IPv6", "toIPv6('::2')"),
    ("fixed", "FixedString(4)", "'zzzz'"),
    ("text", "String", "concat(text, '!')"),
    ("word", "LowCardinality(String)", "'other'"),
    ("maybe", "Nullable(Int32)", "if(maybe IS NULL, 0, NULL)"),
    ("lc", "LowCardinality(Nullable(String))", "if(lc IS NULL, '', NULL)"),
    ("tags", "Array(String)", "arrayPushBack(tags, 'x')"),
    ("nested", "Array(Array(Nullable(Int16)))", "arrayPushBack(nested, [NULL])"),
    ("attributes", "Map(String, Int32)", "map('k', 1)"),
    ("pair", "Tuple(a UInt8, b Nullable(String))", "(pair.1 + 1, pair.2)::Tuple(a UInt8, b Nullable(String))"),
    ("constant", "String DEFAULT 'none'", "'some'"),
    ("at9", "DateTime64(9, 'UTC')", "addNanoseconds(at9, 1)"),
    ("span", "Time64(3)", "CAST('00:00:00.001', 'Time64(3)')"),
    (
        "either",
        "Variant(Array(LowCardinality(String)), String, UInt32)",
        "CAST(NULL, 'Variant(Array(LowCardinality(String)), String, UInt32)')",
    ),
    ("spot", "Point", "(spot.1, spot.2 + 1)::Point"),
    ("largest", "SimpleAggregateFunction(max, UInt16)", "largest + 1"),
];

/// One column each whose value does not come from the record alone.
const LEFT_OUT: &str = "doubled UInt64 DEFAULT id * 2, next UInt64 MATERIALIZED id + 1, alias UInt64 ALIAS id + 2, \
                        passing String DEFAULT 'p' TTL at + INTERVAL 100 YEAR, document JSON, anything Array(Dynamic)";

/// A column for each field, whose names have a dot.
const NESTED: &str = "n Nested(a UInt8, b String)";

const RECORDS: u64 = 60;
/// These do not decode.
const BAD: [u64; 3] = [50, 51, 52];

fn record(id: u64) -> String {
    let sparse = id.is_multiple_of(4);
    let mut json = format!(
        r#"{{"id":{id},"sensor":"s{}","temp":{}.5,"i8":{},"i64":{},"i128":"-17014118346046923173168730371588410{id:04}","#,
        id % 5,
        id % 80,
        i64::try_from(id).unwrap() - 20,
        1_000_000_007 * (id + 1),
    );
    write!(
        json,
        r#""u256":"1157920892373161954235709850086879078532699846656405640394575840079131296{id:04}","f32":{}.25,"decimal":"{id}.1234","flag":{},"#,
        id + 1,
        id.is_multiple_of(2)
    )
    .unwrap();
    write!(
        json,
        r#""day":"2024-02-{:02}","day32":"1950-01-{:02}","at":"2024-05-01 10:00:{:02}","at64":"2024-07-01T10:00:00.{id:03}Z","at9":"2024-07-01T10:00:00.123456{id:03}Z","#,
        1 + id % 28,
        1 + id % 28,
        id % 60
    )
    .unwrap();
    write!(
        json,
        r#""uid":"61f0c404-5cb3-11e7-907b-a6006ad3d{id:03x}","choice":"{}","ip4":"127.0.0.{id}","ip6":"fe80::{id:x}","fixed":"f{id}","text":"t\u00e9\n{id}","word":"w{}""#,
        if id.is_multiple_of(3) { "a" } else { "b" },
        id % 3
    )
    .unwrap();
    write!(
        json,
        r#","span":"1:00:00.{id:03}","either":{},"spot":[{id}.5,-1],"largest":{id},"n.a":[1,{id}],"n.b":["x","y"],"document":{{"id":{id}}},"anything":[{id},"x"]"#,
        ["7", "\"x\"", "[\"a\",\"b\"]"][usize::try_from(id % 3).unwrap()]
    )
    .unwrap();
    if !sparse {
        write!(
            json,
            r#","maybe":{id},"lc":"l{}","tags":["a","{id}"],"nested":[[1,null],[],[{id}]],"attributes":{{"a":1,"b":{id}}},"pair":{{"a":7,"b":null}},"constant":"c{id}","doubled":5,"passing":"q""#,
            id % 2
        )
        .unwrap();
    }
    json.push('}');
    json
}

/// Sixty records, stored by a connector that has stopped since.
fn stored_scenario(name: &str) -> Scenario {
    let mut scenario = Scenario::shared(name, 1);
    let columns: Vec<String> = COLUMNS.iter().map(|(column, kind, _)| format!("{column} {kind}")).collect();
    scenario.table = format!("{}.wide", scenario.database);
    scenario.servers.query(&format!(
        "CREATE TABLE {} (id UInt64, sensor LowCardinality(String), {}, {LEFT_OUT}, {NESTED}, _topic LowCardinality(String), \
         _partition Int32, _offset UInt64, _replay UInt32, INDEX offsets _offset TYPE minmax) \
         ENGINE = MergeTree ORDER BY (sensor, id)",
        scenario.table,
        columns.join(", ")
    ));
    let payloads: Vec<(i32, String)> =
        (0..RECORDS).map(|id| (0, if BAD.contains(&id) { format!("{{\"id\": {id}") } else { record(id) })).collect();
    scenario.produce_payloads(&payloads);
    scenario.kafka.produce_tombstone(&scenario.topic, 0);
    let mut connector = scenario.start("a");
    scenario.wait_until_done();
    assert_eq!(connector.terminate(), Some(0));
    scenario
}

fn update(scenario: &Scenario, table: &str, assignment: &str, condition: &str) {
    scenario
        .servers
        .query(&format!("ALTER TABLE {table} UPDATE {assignment} WHERE {condition} SETTINGS mutations_sync = 1"));
}

#[track_caller]
fn verify(scenario: &Scenario, code: i32, parts: &[&str]) {
    let (found, text) = scenario.run(&["verify", "--contents"]);
    assert_eq!(found, code, "{text}");
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in the output: {text}");
    }
}

#[test]
fn an_edit_of_any_column_is_found() {
    let scenario = stored_scenario("contents");
    verify(
        &scenario,
        0,
        &[
            "61 records compared, clean: every consumed record is stored exactly once, with its contents",
            "columns that are not compared: next (MATERIALIZED), alias (ALIAS), doubled (its default is evaluated by the \
             server), passing (its values expire), document (its value is made by the server from JSON text), anything (its \
             value is made by the server from JSON text)",
        ],
    );
    let count = COLUMNS.len();
    for (offset, (column, _, edit)) in COLUMNS.iter().enumerate() {
        update(&scenario, &scenario.table, &format!("{column} = {edit}"), &format!("_offset = {offset}"));
    }
    verify(
        &scenario,
        1,
        &[
            &format!("partition 0: {count} rows do not hold what their record says: offsets 0..{}", count - 1),
            "1 finding",
            "the row of offset 0 differs in temp\n",
            "the row of offset 9 differs in day32\n",
        ],
    );
    // Offsets alone are as they should be.
    let (code, text) = scenario.run(&["verify"]);
    assert_eq!((code, text.contains("clean: every consumed record is stored exactly once\n")), (0, true), "{text}");
}

#[test]
fn swaps_losses_doubles_and_altered_dead_letters_are_found() {
    let scenario = stored_scenario("swaps");
    let (table, dead) = (scenario.table.as_str(), format!("{}.dead_letters", scenario.database));
    update(&scenario, table, "_offset = if(_offset = 3, 5, 3)", "_offset IN (3, 5)");
    verify(&scenario, 1, &["partition 0: 2 rows hold what another record says (swapped): offsets 3, 5"]);
    update(&scenario, table, "_offset = if(_offset = 3, 5, 3)", "_offset IN (3, 5)");
    verify(&scenario, 0, &["clean"]);

    update(&scenario, &dead, "raw_message = concat(raw_message, ' ')", "kafka_offset = 51");
    verify(&scenario, 1, &["partition 0: 1 dead letters do not hold their record's bytes: offsets 51"]);
    update(&scenario, &dead, "raw_message = '{\"id\": 51'", "kafka_offset = 51");
    update(&scenario, &dead, "kafka_key = 'k'", "kafka_offset = 52");
    verify(&scenario, 1, &["partition 0: 1 dead letters do not hold their record's bytes: offsets 52"]);
    update(&scenario, &dead, "kafka_key = NULL", "kafka_offset = 52");

    scenario.servers.query(&format!("INSERT INTO {table} SELECT * REPLACE (50 AS _offset) FROM {table} WHERE id = 9"));
    scenario.servers.query(&format!("DELETE FROM {dead} WHERE kafka_offset = 50"));
    verify(&scenario, 1, &["partition 0: 1 rows are of records that do not decode: offsets 50", "1 finding"]);
    scenario.servers.query(&format!("DELETE FROM {table} WHERE _offset IN (11, 50)"));
    verify(&scenario, 1, &["2 records are missing: neither a row nor a dead letter: offsets 11, 50"]);
    scenario.servers.query(&format!("INSERT INTO {table} SELECT * FROM {table} WHERE _offset = 12"));
    verify(
        &scenario,
        1,
        &["2 records are missing", "1 offsets are doubled (1 rows or dead letters too many): offsets 12"],
    );
}
