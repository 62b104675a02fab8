//! Tests of what a column may be filled from, and of what happens when a value does not fit.

use std::sync::Arc;

use super::{Headers, Record, RecordDecoder, Undecoded};
use crate::block::native::NativeEncoder;
use crate::block::test_reader;
use crate::columns::{
    Carried, Changes, ColumnSpec, Columns, DefaultValue, OnError, RowCoordinates, RowPlan, Source, TimeUnit,
    UnknownFields,
};

/// A column: name, type, source.
pub(super) type Mapped<'a> = (&'a str, &'a str, &'a str);

pub(super) fn spec((name, kind, source): &Mapped<'_>) -> ColumnSpec {
    ColumnSpec::new(*name, *kind, DefaultValue::TypeZero).unwrap().from_source(Source::parse(source).unwrap())
}

pub(super) fn plan(columns: Vec<ColumnSpec>) -> Arc<RowPlan> {
    Arc::new(RowPlan::new(columns, Vec::new(), "UTC").unwrap())
}

/// The reader shows texts as Rust writes them.
fn unquoted(shown: &str) -> String {
    let inner = shown.strip_prefix('"').and_then(|shown| shown.strip_suffix('"'));
    inner.unwrap_or(shown).replace("\\\"", "\"").replace("\\\\", "\\")
}

fn decoded(plan: &Arc<RowPlan>, record: &Record<'_>) -> String {
    decoded_by(&mut RecordDecoder::json(plan), plan, record)
}

/// The stored row, as `column=value` pairs, or why there is none.
pub(super) fn decoded_by(decoder: &mut RecordDecoder, plan: &Arc<RowPlan>, record: &Record<'_>) -> String {
    let mut columns = Columns::new(plan).unwrap();
    if let Err(undecoded) = decoder.decode(record, &mut columns) {
        return match undecoded {
            Undecoded::Bad(error) => format!("{}: {}", error.code, error.reason),
            Undecoded::Skipped => "skipped".to_owned(),
            Undecoded::Drifted(columns) => format!("drifted: {columns:?}"),
            Undecoded::Awaiting(key) => panic!("{key} is waited for"),
        };
    }
    columns.commit_row(&RowCoordinates { topic: "t", partition: 0, offset: 0, row: 0, replay: 0 });
    let replaced: u64 = columns.take_replaced().iter().map(|(_, values)| values).sum();
    let raw = test_reader::decompress(&NativeEncoder::new().encode(&columns).frames);
    let values = test_reader::read_block(&raw)
        .into_iter()
        .map(|(name, _, values)| format!("{name}={}", unquoted(&values.join(" "))));
    let text = values.collect::<Vec<_>>().join(", ");
    if replaced > 0 { format!("{text} ({replaced} replaced)") } else { text }
}

#[test]
fn paths_reach_into_records() {
    let check = |columns: &[Mapped<'_>], record: &str, expected: &str| {
        let plan = plan(columns.iter().map(spec).collect());
        assert_eq!(decoded(&plan, &Record::of_value(record.as_bytes())), expected, "{record}");
    };
    let deep = [("a", "Int32", "$.x.y[1].z")];
    check(&deep, r#"{"x": {"y": [0, {"z": 7, "w": 1}, 2]}}"#, "a=7");
    check(&deep, r#"{"x": {"y": [0]}}"#, "a=0");
    check(&deep, r#"{"x": null}"#, "a=0");
    check(&deep, r#"{"q": [1, {}]}"#, "a=0");
    check(&deep, r#"{}"#, "a=0");
    check(
        &deep,
        r#"{"x": {"y": [0, {"z": "seven"}]}}"#,
        r#"invalid_number: field a (Int32): not a number at byte 22: "\"seven\"}]}}""#,
    );
    check(
        &deep,
        r#"{"x": {"y": [0, {"z": 1, "z": 2}]}}"#,
        r#"duplicate_key: field a (Int32): the key occurs twice at byte 30: "2}]}}""#,
    );
    check(&deep, r#"{"x": {"y": [0, ]}}"#, r#"invalid_json: not json at byte 16: "]}}""#);
    check(&deep, r#"{"x": {"y": [1"#, r#"invalid_json: not json at byte 14: """#);
    let both = [("whole", "String", "$.x"), ("part", "UInt8", "$.x.y"), ("again", "String", "$.x.y")];
    check(&both, r#"{"x": {"y": 3, "z": [1]}}"#, r#"whole={"y": 3, "z": [1]}, part=3, again=3"#);
    check(&both, r#"{"x": {}}"#, "whole={}, part=0, again=");
    let root = [("record", "String", "$"), ("a", "UInt8", "a")];
    check(&root, r#" {"a": 1} "#, r#"record={"a": 1}, a=1"#);
    check(&root[..1], r#"[1, 2]"#, "record=[1, 2]");
    check(&root[..1], r#"[1, 2] 3"#, r#"trailing_data: bytes follow the record at byte 7: "3""#);
    check(&root, r#"[1, 2]"#, r#"not_an_object: the record is not an object at byte 0: "[1, 2]""#);
    check(&[("dot", "UInt8", "$['a.b']")], r#"{"a.b": 4, "a": {"b": 5}}"#, "dot=4");
}

#[test]
fn other_names_of_a_field_are_taken() {
    let column = ColumnSpec {
        aliases: vec![Source::field("deviceId")],
        ..ColumnSpec::new("device_id", "UInt8", DefaultValue::TypeZero).unwrap()
    };
    let plan = plan(vec![column]);
    let check = |record: &str, expected: &str| {
        assert_eq!(decoded(&plan, &Record::of_value(record.as_bytes())), expected, "{record}");
    };
    check(r#"{"device_id": 1}"#, "device_id=1");
    check(r#"{"deviceId": 2}"#, "device_id=2");
    check(
        r#"{"deviceId": 2, "device_id": 1}"#,
        r#"duplicate_key: field device_id (UInt8): the key occurs twice at byte 29: "1}""#,
    );
}

struct Traced;

impl Headers for Traced {
    fn last(&self, name: &str) -> Option<Option<&[u8]>> {
        match name {
            "trace" => Some(Some(b"t-1")),
            "number" => Some(Some(b"17")),
            "bytes" => Some(Some(&[0xFF])),
            "null" => Some(None),
            _ => None,
        }
    }
}

#[test]
fn columns_are_filled_from_beside_the_value() {
    let record = Record {
        value: Some(b"{}"),
        key: Some(b"k1"),
        headers: &Traced,
        timestamp_ms: Some(1_700_000_000_123),
        topic: "readings",
        partition: 3,
        offset: 42,
    };
    let check = |source: &str, kind: &str, expected: &str| {
        let plan = plan(vec![spec(&("c", kind, source))]);
        assert_eq!(decoded(&plan, &record), expected, "{source} {kind}");
    };
    check("$key", "String", "c=k1");
    check("$key", "LowCardinality(String)", "c=k1");
    check("$key", "FixedString(4)", "c=k1\\0\\0");
    check("$key", "UInt8", "invalid_number: key: field c (UInt8): not a number at byte 0: \"k1\"");
    check("$headers.trace", "Nullable(String)", "c=t-1");
    check("$headers.number", "UInt16", "c=17");
    check("$headers.null", "Nullable(String)", "c=NULL");
    check("$headers.absent", "Nullable(String)", "c=NULL");
    check("$headers.absent", "String", "c=");
    check(
        "$headers.bytes",
        "UInt8",
        "invalid_utf8: header: field c (UInt8): the record is not utf-8 at byte 0: \"\u{fffd}\"",
    );
    check("$timestamp", "DateTime64(3, 'UTC')", "c=1700000000123");
    check("$timestamp", "DateTime", "c=1700000000");
    check("$timestamp", "Int64", "c=1700000000123");
    check("$timestamp", "String", "c=2023-11-14T22:13:20.123Z");
    check("$topic", "LowCardinality(String)", "c=readings");
    check("$partition", "Int32", "c=3");
    check("$offset", "UInt64", "c=42");
    check("$raw", "String", "c={}");
}

#[test]
fn what_a_column_takes_ends_where_it_was_read_to() {
    let check = |columns: &[Mapped<'_>], record: &str| {
        let plan = plan(columns.iter().map(spec).collect());
        let found = decoded(&plan, &Record::of_value(record.as_bytes()));
        assert!(found.starts_with("invalid_json") || found.starts_with("trailing_data"), "{record}: {found}");
    };
    for value in ["5x", "nullx", "truex", "NaNx"] {
        check(&[("c", "String", "$")], value);
        check(&[("c", "String", "c")], &format!("{{\"c\":{value}}}"));
        // Taken whole, and parts of it by others.
        check(
            &[("c", "String", "c"), ("d", "String", "$.c.d"), ("e", "String", "$.c[0]")],
            &format!("{{\"c\":{value}}}"),
        );
    }
}

#[test]
fn a_text_that_is_no_time_is_told_what_is_one() {
    let check = |kind: &str, text: &str, expected: &str| {
        let record = format!("{{\"c\":\"{text}\"}}");
        let found = decoded(&plan(vec![spec(&("c", kind, "c"))]), &Record::of_value(record.as_bytes()));
        let expected = expected
            .replace("{}", &format!("field c ({kind}): "))
            .replace("{at}", &format!("at byte 5: {:?}", &record[5..]));
        assert_eq!(found, expected, "{kind} {text}");
    };
    check(
        "Nullable(DateTime64(3))",
        "01/05/2024",
        "invalid_time: {}not a date or time that the column takes {at}; it takes ISO 8601, as 2026-01-31T10:00:00.5+02:00 or \
         20260131T100000Z, and numbers since 1970",
    );
    check(
        "Date",
        "01/05/2024",
        "invalid_time: {}not a date or time that the column takes {at}; it takes ISO 8601, as 2026-01-31 or 20260131",
    );
    check("Date32", "2024-05-01T10:00Z", "invalid_time: {}has a time of day, which the column would lose {at}");
    check(
        "Time",
        "10:00",
        "invalid_time: {}not a date or time that the column takes {at}; it takes hours, minutes and seconds, as 13:45:00.5, \
         and a number of seconds",
    );
}

#[test]
fn a_timestamp_that_is_none_or_in_another_unit_is_no_fault_of_the_record() {
    let check = |timestamp_ms: Option<i64>, kind: &str, policy: OnError, expected: &str| {
        let column = ColumnSpec::new("c", kind, DefaultValue::of_json(kind, "7")).unwrap().on_error(policy);
        let plan = plan(vec![column.from_source(Source::Timestamp)]);
        let record = Record { timestamp_ms, ..Record::of_value(b"{}") };
        assert_eq!(decoded(&plan, &record), expected, "{timestamp_ms:?} {kind} {policy:?}");
    };
    let refuse = OnError::DeadLetter;
    for kind in ["DateTime", "DateTime64(0)", "Date", "UInt32", "LowCardinality(DateTime)"] {
        check(None, kind, refuse, "c=7");
    }
    for kind in ["Nullable(DateTime64(3))", "Nullable(Int64)", "LowCardinality(Nullable(DateTime))"] {
        check(None, kind, refuse, "c=NULL");
    }
    // Microseconds and nanoseconds.
    check(Some(1_700_000_000_000_000), "DateTime64(0)", refuse, "c=7 (1 replaced)");
    check(Some(1_700_000_000_000_000), "DateTime", OnError::Default, "c=7 (1 replaced)");
    check(Some(i64::MAX), "Nullable(DateTime64(3))", refuse, "c=NULL (1 replaced)");
    check(Some(i64::MIN), "Nullable(DateTime)", refuse, "c=NULL (1 replaced)");
    check(Some(-2), "DateTime", refuse, "c=7 (1 replaced)");
    check(Some(1_700_000_000_000_000), "DateTime", OnError::Clamp, "c=4294967295 (1 replaced)");
    check(Some(1_700_000_000_000_000), "UInt32", refuse, "c=7 (1 replaced)");
    // What fits is as it was written.
    check(Some(1_700_000_000), "DateTime", refuse, "c=1700000");
    check(Some(1_700_000_000_000_000), "Int64", refuse, "c=1700000000000000");
    check(Some(-2), "DateTime64(3)", refuse, "c=-2");
    // A column that takes no time at all is a fault of the configuration.
    let refused = "type_mismatch: timestamp: field c (UUID): not a kind of value that the column takes at byte 0: \"\"";
    let uuid = ColumnSpec::new("c", "UUID", DefaultValue::TypeZero).unwrap().from_source(Source::Timestamp);
    let record = Record { timestamp_ms: Some(0), ..Record::of_value(b"{}") };
    assert_eq!(decoded(&plan(vec![uuid]), &record), refused);
}

#[test]
fn values_that_do_not_fit_are_replaced_where_that_is_wanted() {
    let check = |kind: &str, policy: OnError, value: &str, expected: &str| {
        let column = ColumnSpec::new("c", kind, DefaultValue::of_json(kind, "7")).unwrap().on_error(policy);
        let after = ColumnSpec::new("after", "UInt8", DefaultValue::TypeZero).unwrap();
        let plan = plan(vec![column, after]);
        let record = format!(r#"{{"c": {value}, "after": 1}}"#);
        let found = decoded(&plan, &Record::of_value(record.as_bytes()));
        let found = found.split(':').next().unwrap();
        assert_eq!(found, expected, "{kind} {policy:?} {value}");
    };
    check("UInt8", OnError::DeadLetter, "300", "out_of_range");
    check("UInt8", OnError::Default, "300", "c=7, after=1 (1 replaced)");
    check("UInt8", OnError::Default, "\"x\"", "c=7, after=1 (1 replaced)");
    check("UInt8", OnError::Default, "[1, {\"a\": 2}]", "c=7, after=1 (1 replaced)");
    check("UInt8", OnError::Default, "5", "c=5, after=1");
    check("Nullable(UInt8)", OnError::Null, "300", "c=NULL, after=1 (1 replaced)");
    check("Nullable(UInt8)", OnError::Null, "null", "c=NULL, after=1");
    check("UInt8", OnError::Clamp, "300", "c=255, after=1 (1 replaced)");
    check("UInt8", OnError::Clamp, "-300", "c=0, after=1 (1 replaced)");
    check("Int16", OnError::Clamp, "\"-40000\"", "c=-32768, after=1 (1 replaced)");
    check("UInt8", OnError::Clamp, "\"x\"", "invalid_number");
    check("Decimal(4, 2)", OnError::Clamp, "1000", "c=9999, after=1 (1 replaced)");
    check("Nullable(Int8)", OnError::Clamp, "-129", "c=-128, after=1 (1 replaced)");
    check("Time", OnError::Clamp, "\"1000:00:00\"", "c=3599999, after=1 (1 replaced)");
    check("Time64(3)", OnError::Clamp, "-9999999", "c=-3599999999, after=1 (1 replaced)");
    check("LowCardinality(UInt8)", OnError::Clamp, "999", "c=255, after=1 (1 replaced)");
    check("UInt8", OnError::Default, "NaN", "c=7, after=1 (1 replaced)");
    check("UInt8", OnError::Default, "[NaN]", "c=7, after=1 (1 replaced)");
    // What is no JSON at all is never replaced.
    check("UInt8", OnError::Default, "0300", "invalid_json");
    check("UInt8", OnError::Default, "300x", "invalid_json");
    check("UInt8", OnError::Default, "nullx", "invalid_json");
}

#[test]
fn fields_that_no_column_takes() {
    let columns = || {
        let rest = ColumnSpec::new("rest", "String", DefaultValue::TypeZero).unwrap();
        vec![spec(&("a", "UInt8", "a")), rest.from_source(Source::UnknownFields)]
    };
    let check = |policy: UnknownFields, record: &str, expected: &str| {
        let plan = RowPlan::new(columns(), Vec::new(), "UTC").unwrap().with_unknown_fields(policy);
        assert_eq!(decoded(&Arc::new(plan), &Record::of_value(record.as_bytes())), expected, "{record}");
    };
    check(UnknownFields::Ignore, r#"{"a": 1, "b": 2}"#, "a=1, rest=");
    check(UnknownFields::DeadLetter, r#"{"a": 1}"#, "a=1, rest=");
    check(
        UnknownFields::DeadLetter,
        r#"{"a": 1, "b": 2}"#,
        r#"unknown_field: no column takes this field at byte 9: "\"b\": 2}""#,
    );
    check(
        UnknownFields::Collect(1),
        r#"{"b" : [1, {"c": null}], "a": 1, "d\n": "x"}"#,
        r#"a=1, rest={"b":[1, {"c": null}],"d\n":"x"}"#,
    );
    check(UnknownFields::Collect(1), r#"{"a": 1}"#, "a=1, rest={}");
    check(UnknownFields::Collect(1), r#"{"rest": 1}"#, r#"a=0, rest={"rest":1}"#);
    check(UnknownFields::Collect(1), "[]", r#"not_an_object: the record is not an object at byte 0: "[]""#);
    check(UnknownFields::Collect(1), r#"{"b": }"#, r#"invalid_json: not json at byte 6: "}""#);
}

#[test]
fn fields_that_no_column_takes_are_reported() {
    let check = |stored: bool, record: &str, expected: &str| {
        let columns = vec![spec(&("a", "UInt8", "a")), spec(&("k", "UInt8", "$key"))];
        let plan = RowPlan::new(columns, Vec::new(), "UTC").unwrap();
        let plan = Arc::new(plan.reporting_unknown_fields(["computed".to_owned()].into()));
        let mut decoder = RecordDecoder::json(&plan);
        decoder.overlook_unknown_fields(stored);
        let record = Record { key: Some(b"7"), ..Record::of_value(record.as_bytes()) };
        let shown = decoded_by(&mut decoder, &plan, &record);
        assert!(shown.starts_with(expected), "{shown}");
        // What a record left behind does not come back with the next one.
        assert_eq!(decoded_by(&mut decoder, &plan, &Record { value: Some(b"{}"), ..record }), "a=0, k=7");
    };
    check(false, r#"{"a": 1}"#, "a=1, k=7");
    check(false, r#"{"a": 1, "b": null, "computed": 5}"#, "a=1, k=7");
    check(
        false,
        r#"{"b": 1.5, "a": 1, "c": [{}], "d": null, "computed": 5}"#,
        r#"drifted: [NewColumn { name: "b", type_text: "Nullable(Float64)" }, NewColumn { name: "c", type_text: "Nullable(String)" }]"#,
    );
    check(true, r#"{"b": 1.5, "a": 1}"#, "a=1, k=7");
    // A record that is bad asks for nothing.
    check(false, r#"{"b": 1, "a": 300}"#, "out_of_range");
    check(false, r#"{"b": 1"#, "invalid_json");
    check(false, r#"{"b": 1} x"#, "trailing_data");
}

/// What a table for changes has.
fn changes_plan(changes: Changes) -> Arc<RowPlan> {
    let of_row = |name: &str, kind: &str| {
        let spec = spec(&(name, kind, &format!("$.after.{name}")));
        ColumnSpec { aliases: vec![Source::parse(&format!("$.payload.after.{name}")).unwrap()], ..spec }
    };
    let deleted = ColumnSpec::new("deleted", "UInt8", DefaultValue::TypeZero).unwrap().from_source(Source::Deleted);
    let columns = vec![
        of_row("id", "UInt32"),
        of_row("name", "Nullable(String)"),
        spec(&("at", "Int64", "$.source.ts_ms")),
        spec(&("key", "String", "$key")),
        spec(&("version", "UInt64", "$offset")),
        deleted,
    ];
    Arc::new(RowPlan::new(columns, Vec::new(), "UTC").unwrap().with_changes(changes))
}

fn change<'r>(value: Option<&'r str>) -> Record<'r> {
    Record { value: value.map(str::as_bytes), key: Some(b"k"), offset: 9, ..Record::of_value(b"") }
}

#[test]
fn change_events_make_rows_of_what_is_or_was_there() {
    let plan = changes_plan(Changes { envelope: true, carried: Carried::Maybe, ..Changes::default() });
    let check = |value: Option<&str>, expected: &str| assert_eq!(decoded(&plan, &change(value)), expected, "{value:?}");
    check(
        Some(r#"{"op":"c","before":null,"after":{"id":1,"name":"a"},"source":{"ts_ms":5}}"#),
        "id=1, name=a, at=5, key=k, version=9, deleted=0",
    );
    check(
        Some(r#"{"before":{"id":1,"name":"a"},"after":{"id":1,"name":null},"op":"u"}"#),
        "id=1, name=NULL, at=0, key=k, version=9, deleted=0",
    );
    check(
        Some(r#"{"op":"d","before":{"id":1,"name":"a"},"after":null,"source":{"ts_ms":6}}"#),
        "id=1, name=a, at=6, key=k, version=9, deleted=1",
    );
    check(
        Some(r#"{"schema":{},"payload":{"op":"r","after":{"id":2,"name":"b"}}}"#),
        "id=2, name=b, at=0, key=k, version=9, deleted=0",
    );
    check(
        Some(r#"{"schema":{},"payload":{"op":"d","before":{"id":2},"after":null}}"#),
        "id=2, name=NULL, at=0, key=k, version=9, deleted=1",
    );
    check(Some(r#"{"op":"t"}"#), "skipped");
    check(Some(r#"{"op":"m","message":{}}"#), "skipped");
    check(None, "skipped");
    let not_one = "invalid_envelope: not a change event: `op` is none of c, r, u, d, t, m at byte 0";
    check(Some(r#"{"id":1}"#), &format!("{not_one}: {:?}", r#"{"id":1}"#));
    check(Some(r#"{"op":"x"}"#), &format!("{not_one}: {:?}", r#"{"op":"x"}"#));
    check(Some(r#"{"op":"#), "invalid_json: not json at byte 6: \"\"");
    check(
        Some(r#"{"op":"d","before":{"id":-1}}"#),
        "out_of_range: field id (UInt32): outside the range of the column at byte 25: \"-1}}\"",
    );
}

#[test]
fn tombstones_make_rows_where_that_is_wanted() {
    let plan = changes_plan(Changes { tombstone_rows: true, deletes_by_key: true, ..Changes::default() });
    assert_eq!(decoded(&plan, &change(None)), "id=0, name=NULL, at=0, key=k, version=9, deleted=1");
    let value = r#"{"after":{"id":3}}"#;
    assert_eq!(decoded(&plan, &change(Some(value))), "id=3, name=NULL, at=0, key=k, version=9, deleted=0");
}

#[test]
fn numbers_are_times_in_the_unit_that_is_configured() {
    let check = |unit: Option<TimeUnit>, kind: &str, value: &str, expected: &str| {
        let column = ColumnSpec::new("c", kind, DefaultValue::TypeZero).unwrap();
        let plan = plan(vec![ColumnSpec { time_unit: unit, ..column }]);
        let record = format!(r#"{{"c": {value}}}"#);
        assert_eq!(decoded(&plan, &Record::of_value(record.as_bytes())), format!("c={expected}"), "{kind} {value}");
    };
    let ms = Some(TimeUnit::Milliseconds);
    check(None, "DateTime64(3, 'UTC')", "5000", "5000000");
    check(ms, "DateTime64(3, 'UTC')", "5000", "5000");
    check(ms, "DateTime64(3, 'UTC')", "\"5000\"", "5000");
    check(ms, "DateTime64(3, 'UTC')", "5000.5", "5000");
    check(ms, "DateTime", "5999", "5");
    check(ms, "Nullable(DateTime64(0, 'UTC'))", "-1", "-1");
    check(ms, "Array(DateTime)", "[1000, 2000]", "[1, 2]");
    check(Some(TimeUnit::Seconds), "DateTime64(0, 'UTC')", "1700000000", "1700000000");
    check(Some(TimeUnit::Microseconds), "DateTime64(6, 'UTC')", "7", "7");
    check(Some(TimeUnit::Nanoseconds), "DateTime64(9, 'UTC')", "7", "7");
    check(ms, "DateTime64(3, 'UTC')", "\"1970-01-01 00:00:01\"", "1000");
}
