//! Tests of change events that lack their row, or have it as a text, and of paths through values without parts.

use std::sync::Arc;

use super::avro::{AvroFraming, AvroOptions, AvroSchema};
use super::tests_record::{Mapped, decoded_by, spec};
use super::{Format, ProtobufSchema, Record, RecordDecoder};
use crate::columns::{Changes, ColumnSpec, DefaultValue, OnError, RowPlan, Source};

/// A table of `id` and `name`, with what the key says of `id` where it does.
fn changes(key: Option<&str>) -> Arc<RowPlan> {
    let of_row = |name: &str, kind: &str| {
        let spec = spec(&(name, kind, &format!("$.after.{name}")));
        ColumnSpec { aliases: vec![Source::parse(&format!("$.payload.after.{name}")).unwrap()], ..spec }
    };
    let id = key.map_or_else(|| of_row("id", "UInt32"), |source| spec(&("id", "UInt32", source)));
    let deleted = ColumnSpec::new("deleted", "UInt8", DefaultValue::TypeZero).unwrap().from_source(Source::Deleted);
    let plan = RowPlan::new(vec![id, of_row("name", "String"), deleted], Vec::new(), "UTC").unwrap();
    let changes = Changes { envelope: true, deletes_by_key: key.is_some(), ..Changes::default() };
    Arc::new(plan.with_changes(changes))
}

/// What becomes of the value, without the part of a reason that says what to do.
fn found(plan: &Arc<RowPlan>, format: &Format, key: Option<&[u8]>, value: Option<&[u8]>) -> String {
    let key_format = plan.columns().iter().any(|spec| spec.source.to_string().starts_with("$key."));
    let mut decoder = RecordDecoder::new(plan, format, key_format.then_some(&Format::Json)).unwrap();
    let record = Record { value, key, ..Record::of_value(b"") };
    let shown = decoded_by(&mut decoder, plan, &record);
    shown.split("; let the source").next().unwrap().to_owned()
}

const NO_AFTER: &str = "invalid_envelope: `after`, the row as it is now, is missing, null or has no field of the table";
const NO_BEFORE: &str =
    "invalid_envelope: `before`, the row that was deleted, is missing, null or has no field of the table";

#[test]
fn a_change_without_its_row_is_refused() {
    let plan = changes(None);
    for (value, expected) in [
        (r#"{"op":"d","before":null,"after":null}"#, NO_BEFORE),
        (r#"{"op":"d","before":{},"after":null}"#, NO_BEFORE),
        (r#"{"op":"d","after":{"id":1}}"#, NO_BEFORE),
        (r#"{"op":"d","before":{"other":1}}"#, NO_BEFORE),
        (r#"{"schema":{},"payload":{"op":"d","before":null}}"#, NO_BEFORE),
        (r#"{"op":"u","before":null,"after":null}"#, NO_AFTER),
        (r#"{"op":"u","before":{"id":1},"after":null}"#, NO_AFTER),
        (r#"{"op":"c"}"#, NO_AFTER),
        (r#"{"op":"r","after":{}}"#, NO_AFTER),
        (r#"{"payload":{"op":"u","after":null}}"#, NO_AFTER),
        (r#"{"op":"u","after":{"id":0}}"#, "id=0, name=, deleted=0"),
        (r#"{"op":"u","after":{"id":null}}"#, "id=0, name=, deleted=0"),
        (r#"{"op":"d","before":{"id":3,"name":null}}"#, "id=3, name=, deleted=1"),
    ] {
        assert_eq!(found(&plan, &Format::Json, Some(b"1"), Some(value.as_bytes())), expected, "{value}");
    }
    for named in ["REPLICA IDENTITY FULL", "binlog_row_image=FULL", "capture.mode"] {
        for value in [r#"{"op":"d"}"#, r#"{"op":"u"}"#] {
            let mut decoder = RecordDecoder::json(&plan);
            let shown = decoded_by(&mut decoder, &plan, &Record::of_value(value.as_bytes()));
            assert!(shown.contains(named), "{shown}");
        }
    }
}

#[test]
fn a_key_says_which_row_was_deleted() {
    let plan = changes(Some("$key.id"));
    let deletion = r#"{"op":"d","before":null,"after":null}"#;
    for (key, value, expected) in [
        (Some(r#"{"id":7}"#), deletion, "id=7, name=, deleted=1"),
        (Some(r#"{"id":7}"#), r#"{"op":"d","before":{"id":7,"name":"a"}}"#, "id=7, name=a, deleted=1"),
        (Some(r#"{"id":7}"#), r#"{"op":"u","after":null}"#, NO_AFTER),
        (Some("{}"), deletion, NO_BEFORE),
        (None, deletion, NO_BEFORE),
    ] {
        let shown = found(&plan, &Format::Json, key.map(str::as_bytes), Some(value.as_bytes()));
        assert_eq!(shown, expected, "{key:?} {value}");
    }
    let whole = changes(Some("$key"));
    assert_eq!(found(&whole, &Format::Json, Some(b"8"), Some(deletion.as_bytes())), "id=8, name=, deleted=1");
    assert_eq!(found(&whole, &Format::Json, None, Some(deletion.as_bytes())), NO_BEFORE);
}

#[test]
fn a_tombstone_needs_a_key_that_says_which_row_it_is_about() {
    let deleted = ColumnSpec::new("deleted", "UInt8", DefaultValue::TypeZero).unwrap().from_source(Source::Deleted);
    let plan = |by_key: bool| {
        let columns = vec![spec(&("id", "UInt32", "$key")), deleted.clone()];
        let changes = Changes { tombstone_rows: true, deletes_by_key: by_key, ..Changes::default() };
        Arc::new(RowPlan::new(columns, Vec::new(), "UTC").unwrap().with_changes(changes))
    };
    let refused = "invalid_envelope: a deletion that does not say which row is deleted";
    assert_eq!(found(&plan(true), &Format::Json, Some(b"8"), None), "id=8, deleted=1");
    assert!(found(&plan(true), &Format::Json, None, None).starts_with(refused));
    assert!(found(&plan(false), &Format::Json, Some(b"8"), None).starts_with(refused));
}

fn avro(row: &str) -> Format {
    let schema = format!(
        r#"{{"type":"record","name":"Envelope","fields":[{{"name":"op","type":"string"}},
            {{"name":"before","type":["null",{row}]}},
            {{"name":"after","type":["null",{}]}}]}}"#,
        if row.contains("Row") { "\"Row\"" } else { row },
    );
    Format::Avro(AvroOptions { framing: AvroFraming::Bare(AvroSchema::alone(schema)), reader: None })
}

#[test]
fn the_same_of_avro() {
    let row = r#"{"type":"record","name":"Row","fields":[{"name":"id","type":"int"},{"name":"name","type":"string"}]}"#;
    let plan = changes(None);
    for (value, expected) in [
        (&b"\x02d\x00\x00"[..], NO_BEFORE),
        (b"\x02d\x00\x02\x06\x02a", NO_BEFORE),
        (b"\x02u\x00\x00", NO_AFTER),
        (b"\x02u\x02\x06\x02a\x00", NO_AFTER),
        (b"\x02u\x00\x02\x06\x02a", "id=3, name=a, deleted=0"),
        (b"\x02d\x02\x06\x02a\x00", "id=3, name=a, deleted=1"),
    ] {
        let shown = found(&plan, &avro(row), None, Some(value));
        assert_eq!(shown, expected, "{value:?}");
    }
    let document = br#"{"id":{"$numberInt":"4"},"name":"b"}"#;
    let text = [&b"\x02u\x00\x02\x48"[..], document].concat();
    assert_eq!(found(&plan, &avro("\"string\""), None, Some(&text)), "id=4, name=b, deleted=0");
    let shown = found(&plan, &avro("\"int\""), None, Some(b"\x02u\x00\x02\x06"));
    assert_eq!(
        shown,
        "type_mismatch: field id (UInt32): not the object or list that the path of the column goes through at byte 4: 0x06"
    );
    assert_eq!(found(&plan, &avro("\"string\""), None, Some(b"\x02u\x00\x00")), NO_AFTER);
}

#[test]
fn the_same_of_protobuf() {
    let format = |row: &str| {
        let text = format!(
            "syntax = \"proto3\"; message M {{ string op = 1; {row} before = 2; {row} after = 3; }} \
             message Row {{ uint32 id = 1; string name = 2; }}"
        );
        Format::Protobuf(ProtobufSchema::from_registry(&text, &[]).unwrap(), "M".to_owned())
    };
    let plan = changes(None);
    for (value, expected) in [
        (&b"\x0a\x01d"[..], NO_BEFORE),
        (b"\x0a\x01d\x1a\x02\x08\x03", NO_BEFORE),
        (b"\x0a\x01u", NO_AFTER),
        (b"\x0a\x01u\x1a\x02\x08\x03", "id=3, name=, deleted=0"),
        // A message of zeros has no bytes, and is one.
        (b"\x0a\x01d\x12\x00", "id=0, name=, deleted=1"),
    ] {
        assert_eq!(found(&plan, &format("Row"), None, Some(value)), expected, "{value:?}");
    }
    let document = br#"{"id":{"$numberLong":"4"},"name":"b"}"#;
    let text = [&b"\x0a\x01u\x1a\x25"[..], document].concat();
    assert_eq!(found(&plan, &format("string"), None, Some(&text)), "id=4, name=b, deleted=0");
    assert_eq!(
        found(&plan, &format("int32"), None, Some(b"\x0a\x01u\x18\x05")),
        "type_mismatch: field id (UInt32): not the object or list that the path of the column goes through at byte 4: 0x05"
    );
    let shown = found(&plan, &format("repeated int32"), None, Some(b"\x0a\x01u\x1a\x01\x05"));
    assert!(shown.starts_with("type_mismatch: field id"), "{shown}");
}

#[test]
fn documents_of_mongodb_are_read() {
    let check = |kind: &str, value: &str, expected: &str| {
        let column = spec(&("c", kind, "$.after.c"));
        let plan = RowPlan::new(vec![column], Vec::new(), "UTC").unwrap();
        let plan = Arc::new(plan.with_changes(Changes { envelope: true, ..Changes::default() }));
        let document = serde_json::to_string(&format!(r#"{{"_id":{{"$oid":"6"}}, "c": {value}}}"#)).unwrap();
        let event = format!(r#"{{"op":"c","after":{document}}}"#);
        let shown = found(&plan, &Format::Json, None, Some(event.as_bytes()));
        assert!(shown.starts_with(expected), "{kind} {value}: {shown}");
        let no_more = shown.len() == expected.len() || expected.ends_with(": ");
        assert!(no_more, "{kind} {value}: {shown}");
    };
    check("String", r#"{"$oid":"65f0"}"#, "c=65f0");
    check("String", r#"{ "$oid" : "65\u0066" }"#, "c=65f");
    check("Int64", r#"{"$numberLong":"-9007199254740993"}"#, "c=-9007199254740993");
    check("Int32", r#"{"$numberInt":"7"}"#, "c=7");
    check("Int32", "7", "c=7");
    check("Float64", r#"{"$numberDouble":"1.5"}"#, "c=1.5");
    check("Float64", r#"{"$numberDouble":"-Infinity"}"#, "c=-inf");
    check("Float64", r#"{"$numberDouble":"NaN"}"#, "c=NaN");
    check("Decimal(18, 4)", r#"{"$numberDecimal":"1234567890.1234"}"#, "c=12345678901234");
    check("String", r#"{"$numberDecimal":"1.10"}"#, "c=1.10");
    check("DateTime64(3, 'UTC')", r#"{"$date":"2024-05-01T10:00:00.123Z"}"#, "c=1714557600123");
    check("DateTime64(3, 'UTC')", r#"{"$date":{"$numberLong":"1714557600123"}}"#, "c=1714557600123");
    // By its size it would be seconds.
    check("DateTime64(3, 'UTC')", r#"{"$date":{"$numberLong":"5000"}}"#, "c=5000");
    check("DateTime64(3, 'UTC')", r#"{"$date":{"$numberLong":"-1"}}"#, "c=-1");
    check("DateTime64(3, 'UTC')", r#"{"$date":5000}"#, "c=5000");
    check(
        "UUID",
        r#"{"$binary":{"base64":"ABEiM0RVZneImaq7zN3u/w==","subType":"04"}}"#,
        "c=00112233445566778899aabbccddeeff",
    );
    check("String", r#"{"$binary":{"base64":"AQI=","subType":"00"}}"#, "c=AQI=");
    check("Array(Int64)", r#"[{"$numberLong":"1"}, 2]"#, "c=[1, 2]");
    check("String", r#"{"a":{"$numberLong":"1"},"b":[{"$oid":"x"}],"c":{}}"#, r#"c={"a":1,"b":["x"],"c":{}}"#);
    // Other names, and what has something beside it, are objects.
    check("String", r#"{"$ref":"a","$id":{"$oid":"x"}}"#, r#"c={"$ref":"a","$id":"x"}"#);
    check("String", r#"{"$oid":"x","y":1}"#, r#"c={"$oid":"x","y":1}"#);
    check("Nullable(Int64)", "null", "c=NULL");
    check("UInt8", "300", "out_of_range: field c (UInt8): outside the range of the column at byte 18: ");
}

#[test]
fn a_path_through_a_value_without_parts_is_refused() {
    let refused = "type_mismatch: field a (Int32): not the object or list that the path of the column goes through";
    let check = |source: &str, policy: OnError, record: &str, expected: &str| {
        let column = spec(&("a", "Int32", source)).on_error(policy);
        let plan = Arc::new(RowPlan::new(vec![column, spec(&("b", "UInt8", "b"))], Vec::new(), "UTC").unwrap());
        let shown = found(&plan, &Format::Json, None, Some(record.as_bytes()));
        assert!(shown.starts_with(expected), "{source} {record}: {shown}");
    };
    for value in ["5", "true", "\"text\"", "\"{\\\"y\\\":1}\"", "[1]", "[]"] {
        let record = format!(r#"{{"x": {value}, "b": 1}}"#);
        check("$.x.y", OnError::DeadLetter, &record, &format!("{refused} at byte 6"));
        check("$.x.y", OnError::Default, &record, "a=0, b=1 (1 replaced)");
    }
    check("$.x.y.z", OnError::DeadLetter, r#"{"x": {"y": 1}}"#, &format!("{refused} at byte 12"));
    check("$.x[0]", OnError::DeadLetter, r#"{"x": {"y": 1}}"#, &format!("{refused} at byte 6"));
    check("$.x[0]", OnError::DeadLetter, r#"{"x": "text"}"#, &format!("{refused} at byte 6"));
    check("$.x.y", OnError::DeadLetter, r#"{"x": null, "b": 1}"#, "a=0, b=1");
    check("$.x.y", OnError::DeadLetter, r#"{"x": {}, "b": 1}"#, "a=0, b=1");
    check("$.x[0]", OnError::DeadLetter, r#"{"x": [], "b": 1}"#, "a=0, b=1");
}

#[test]
fn a_placeholder_never_takes_the_place_of_a_value() {
    let told = "unavailable_value: field name (";
    let check = |kind: &str, policy: OnError, name: &str, expected: &str| {
        let columns = vec![spec(&("id", "UInt32", "id")), spec(&("name", kind, "name")).on_error(policy)];
        let plan = RowPlan::new(columns, Vec::new(), "UTC").unwrap();
        let plan = Arc::new(plan.with_unavailable(Some("__debezium_unavailable_value".to_owned())));
        let record = format!(r#"{{"id":1,"name":{name},"other":"__debezium_unavailable_value"}}"#);
        let shown = found(&plan, &Format::Json, None, Some(record.as_bytes()));
        assert!(shown.starts_with(expected), "{kind} {policy:?} {name}: {shown}");
    };
    let placeholder = r#""__debezium_unavailable_value""#;
    check("String", OnError::DeadLetter, placeholder, told);
    check("String", OnError::DeadLetter, r#""X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ==""#, told);
    check("LowCardinality(Nullable(String))", OnError::DeadLetter, placeholder, told);
    check("FixedString(40)", OnError::DeadLetter, placeholder, told);
    check("Array(String)", OnError::DeadLetter, r#"["__debezium_unavailable_value"]"#, told);
    check("Map(String, String)", OnError::DeadLetter, &format!("{{{placeholder}:{placeholder}}}"), told);
    check("String", OnError::Default, placeholder, "id=1, name= (1 replaced)");
    check("Nullable(String)", OnError::Null, placeholder, "id=1, name=NULL (1 replaced)");
    check("Array(String)", OnError::Default, r#"["__debezium_unavailable_value"]"#, "id=1, name=[] (1 replaced)");
    // Nothing is taken from the field that has one.
    check("String", OnError::DeadLetter, r#""a""#, "id=1, name=a");
    check("String", OnError::DeadLetter, r#""about __debezium_unavailable_value""#, "id=1, name=about __debezium");
    let columns = vec![spec(&("name", "String", "$.after.name"))];
    let plan = RowPlan::new(columns, Vec::new(), "UTC").unwrap();
    let changes = Changes { envelope: true, ..Changes::default() };
    let plan = Arc::new(plan.with_changes(changes).with_unavailable(Some("n\"a".to_owned())));
    let event = br#"{"op":"u","after":{"name":"n\"a"}}"#;
    assert!(found(&plan, &Format::Json, None, Some(event)).starts_with(told));
    // The same of formats that have no escapes.
    let row = r#"{"type":"record","name":"Row","fields":[{"name":"id","type":"int"},{"name":"name","type":"string"}]}"#;
    assert!(found(&plan, &avro(row), None, Some(b"\x02u\x00\x02\x06\x06n\"a")).starts_with(told));
    let text = "syntax = \"proto3\"; message M { string op = 1; Row after = 3; } message Row { string name = 2; }";
    let protobuf = Format::Protobuf(ProtobufSchema::from_registry(text, &[]).unwrap(), "M".to_owned());
    assert!(found(&plan, &protobuf, None, Some(b"\x0a\x01u\x1a\x05\x12\x03n\"a")).starts_with(told));
}

#[test]
fn a_record_without_a_known_field_is_told_with_its_fields() {
    let check = |columns: &[Mapped<'_>], record: &str, expected: Option<&str>| {
        let plan = Arc::new(RowPlan::new(columns.iter().map(spec).collect(), Vec::new(), "UTC").unwrap());
        let mut decoder = RecordDecoder::json(&plan);
        let record = Record { key: Some(b"k"), ..Record::of_value(record.as_bytes()) };
        decoded_by(&mut decoder, &plan, &record);
        let found = decoder.has_no_known_field().then(|| decoder.unknown_fields(&record));
        assert_eq!(found.as_deref(), expected, "{columns:?}");
    };
    let usual = [("id", "UInt32", "id"), ("k", "String", "$key"), ("deep", "UInt8", "$.a.b")];
    check(&usual, r#"{"id":1,"x":2}"#, None);
    check(&usual, r#"{"id":null}"#, None);
    check(&usual, r#"{"schema":{"type":"struct"},"payload":{"id":1}}"#, Some("payload, schema"));
    check(&usual, r#"{"x":null}"#, Some("x"));
    check(&usual, r#"{"a":null,"x":1}"#, None);
    check(&usual, "{}", Some(""));
    // What keeps all of a record, or expects nothing of it, has no strange ones.
    check(&[("id", "UInt32", "id"), ("all", "String", "$")], r#"{"x":1}"#, None);
    check(&[("id", "UInt32", "id"), ("all", "String", "$raw")], r#"{"x":1}"#, None);
    check(&[("k", "String", "$key")], r#"{"x":1}"#, None);
}
