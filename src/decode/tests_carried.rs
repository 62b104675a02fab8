//! Records of Kafka Connect's `JsonConverter`: a schema, and beside it the payload that it speaks of.

use std::sync::Arc;

use super::tests_record::{decoded_by, spec};
use super::{Format, Record, RecordDecoder};
use crate::columns::{Carried, Changes, ColumnSpec, DefaultValue, RowPlan, Source, UnknownFields};

const CONNECT: Changes = Changes {
    carried: Carried::Always,
    envelope: false,
    tombstone_rows: false,
    deletes_by_key: false,
    replaces_nothing: false,
};
const DEBEZIUM: Changes = Changes {
    carried: Carried::Maybe,
    envelope: true,
    tombstone_rows: false,
    deletes_by_key: false,
    replaces_nothing: false,
};

fn with(changes: Changes, columns: Vec<ColumnSpec>) -> Arc<RowPlan> {
    Arc::new(RowPlan::new(columns, Vec::new(), "UTC").unwrap().with_changes(changes))
}

fn column(name: &str, kind: &str) -> ColumnSpec {
    ColumnSpec::new(name, kind, DefaultValue::TypeZero).unwrap()
}

fn named(kind: &str, name: &str) -> String {
    format!(r#"{{"type":"{kind}","optional":true,"name":"{name}","version":1}}"#)
}

/// A struct of these fields, each with its schema.
fn fields(fields: &[(&str, &str)]) -> String {
    let field = |(name, schema): &(&str, &str)| format!(r#"{},"field":"{name}"}}"#, schema.strip_suffix('}').unwrap());
    let fields: Vec<_> = fields.iter().map(field).collect();
    format!(r#"{{"type":"struct","fields":[{}],"optional":false}}"#, fields.join(","))
}

fn record(schema: &str, payload: &str) -> String {
    format!(r#"{{"schema":{schema},"payload":{payload}}}"#)
}

/// What becomes of a record; its code where it is a dead letter.
fn stored(plan: &Arc<RowPlan>, record: &str) -> String {
    let stored = decoded_by(&mut RecordDecoder::json(plan), plan, &Record::of_value(record.as_bytes()));
    match stored.split_once(": ") {
        Some((code, _)) if !stored.starts_with("v=") => code.to_owned(),
        _ => stored.strip_prefix("v=").unwrap_or(&stored).to_owned(),
    }
}

/// A value with this schema into columns of these types: as the row, below `after` and `before` of a change, and inside of
/// lists and objects.
fn check(schema: &str, value: &str, cases: &[(&str, &str)]) {
    for (kind, expected) in cases {
        let of_row = fields(&[("v", schema)]);
        let row = format!(r#"{{"v":{value}}}"#);
        let connect = with(CONNECT, vec![column("v", kind)]);
        assert_eq!(stored(&connect, &record(&of_row, &row)), *expected, "{schema} {value} into {kind}");

        let source = |path: &str| Source::parse(path).unwrap();
        let in_event = ColumnSpec { aliases: vec![source("$.payload.after.v")], ..column("v", kind) };
        let debezium = with(DEBEZIUM, vec![in_event.from_source(source("$.after.v"))]);
        let event = fields(&[("before", &of_row), ("after", &of_row), ("op", r#"{"type":"string"}"#)]);
        for change in [format!(r#"{{"op":"c","after":{row}}}"#), format!(r#"{{"op":"d","before":{row}}}"#)] {
            assert_eq!(stored(&debezium, &record(&event, &change)), *expected, "{change} into {kind}");
        }
        if kind.starts_with("Array") || kind.starts_with("Map") || kind.starts_with("Tuple") {
            continue;
        }
        let list = format!(r#"{{"type":"array","items":{schema}}}"#);
        let map = format!(r#"{{"type":"map","keys":{{"type":"string"}},"values":{schema}}}"#);
        let of_row = fields(&[("v", &fields(&[("l", &list), ("m", &map), ("s", schema)]))]);
        let row = format!(r#"{{"v":{{"l":[{value},{value}],"m":{{"k":{value}}},"s":{value}}}}}"#);
        let kinds = format!("Tuple(l Array({kind}), m Map(String, {kind}), s {kind})");
        let inside = with(CONNECT, vec![column("v", &kinds)]);
        let found = stored(&inside, &record(&of_row, &row));
        let text = if kind.contains("String") { format!("\"{expected}\"") } else { (*expected).to_owned() };
        let all = format!("([{text}, {text}], {{\"k\": {text}}}, {text})");
        assert!(found == *expected || found == all, "{row} into {kinds}: {found}");
    }
}

#[test]
fn the_schema_that_travels_along_says_what_values_mean() {
    let decimal = r#"{"type":"bytes","name":"org.apache.kafka.connect.data.Decimal","parameters":{"scale":"2"}}"#;
    let price =
        &[("Decimal(9, 2)", "1234"), ("Nullable(Decimal(9, 2))", "1234"), ("Float64", "12.34"), ("String", "12.34")];
    check(decimal, r#""BNI=""#, price);
    check(decimal, r#""BN\u0049=""#, price);
    // `decimal.format: NUMERIC`.
    check(decimal, "12.34", price);
    check(decimal, r#""/w==""#, &[("Decimal(9, 2)", "-1"), ("UInt8", "not_an_integer")]);
    check(decimal, r#""!""#, &[("Decimal(9, 2)", "invalid_number")]);
    check(decimal, r#""""#, &[("Decimal(9, 2)", "invalid_number")]);
    check(decimal, "null", &[("Nullable(Decimal(9, 2))", "NULL"), ("Decimal(9, 2)", "0")]);

    for name in ["org.apache.kafka.connect.data.Date", "io.debezium.time.Date"] {
        let cases = [("Date", "19000"), ("DateTime", "1641600000"), ("Int32", "19000"), ("String", "2022-01-08")];
        check(&named("int32", name), "19000", &cases);
    }
    for name in ["org.apache.kafka.connect.data.Time", "io.debezium.time.Time"] {
        check(&named("int32", name), "3661001", &[("Time64(3)", "3661001"), ("Time", "3661"), ("Int32", "3661001")]);
    }
    for name in ["org.apache.kafka.connect.data.Timestamp", "io.debezium.time.Timestamp"] {
        check(&named("int64", name), "5000", &[("DateTime64(3)", "5000"), ("DateTime", "5"), ("Int64", "5000")]);
    }
    let micros = named("int64", "io.debezium.time.MicroTimestamp");
    check(&micros, "86400000000", &[("DateTime64(6)", "86400000000"), ("DateTime", "86400"), ("Date32", "1")]);
    check(&micros, "-1", &[("DateTime64(6)", "-1")]);
    check(&micros, r#""2024-05-01 10:00:00""#, &[("DateTime", "1714557600")]);
    check(&named("int64", "io.debezium.time.NanoTimestamp"), "1000000001", &[("DateTime64(9)", "1000000001")]);
    check(&named("int64", "io.debezium.time.MicroTime"), "3661000001", &[("Time64(6)", "3661000001")]);
    check(&named("int64", "io.debezium.time.NanoTime"), "3661000000001", &[("Time64(9)", "3661000000001")]);
    check(&named("int32", "io.debezium.time.Year"), "2024", &[("UInt16", "2024"), ("Date", "19723")]);
    check(
        &named("string", "io.debezium.time.ZonedTime"),
        r#""10:15:30Z""#,
        &[("Time", "36930"), ("String", "10:15:30Z")],
    );
    check(&named("string", "io.debezium.time.ZonedTimestamp"), r#""1970-01-01T00:00:01Z""#, &[("DateTime", "1")]);
    check(&named("string", "io.debezium.time.IsoDate"), r#""2017-09-15Z""#, &[("Date", "17424")]);
    check(
        &named("string", "io.debezium.data.EnumSet"),
        r#""a,b""#,
        &[("Array(String)", r#"["a", "b"]"#), ("String", "a,b")],
    );
    check(&named("string", "io.debezium.data.Json"), r#""[1]""#, &[("Array(UInt8)", "[1]"), ("String", "[1]")]);
    let uuid = "61f0c404-5cb3-11e7-907b-a6006ad3dba0";
    check(
        &named("string", "io.debezium.data.Uuid"),
        &format!("\"{uuid}\""),
        &[("UUID", "61f0c4045cb311e7907ba6006ad3dba0"), ("String", uuid)],
    );
    check(&named("bytes", "io.debezium.data.Bits"), r#""BQE=""#, &[("UInt16", "261")]);
    check(
        r#"{"type":"bytes"}"#,
        r#""aGk=""#,
        &[("String", "hi"), ("FixedString(2)", "hi"), ("LowCardinality(String)", "hi")],
    );
    check(r#"{"type":"bytes"}"#, r#""h""#, &[("String", "type_mismatch")]);
    // Nothing is said, or not of this type.
    check(r#"{"type":"string"}"#, r#""BNI=""#, &[("String", "BNI=")]);
    check(&named("int64", "io.debezium.time.Date"), "7", &[("DateTime", "7")]);
    check(
        r#"{"type":"bytes","name":"org.apache.kafka.connect.data.Decimal"}"#,
        r#""NTU=""#,
        &[("UInt8", "type_mismatch")],
    );
}

#[test]
fn a_decimal_with_its_own_scale() {
    let parts = fields(&[("scale", r#"{"type":"int32"}"#), ("value", r#"{"type":"bytes"}"#)]);
    let schema = format!(r#"{},"name":"io.debezium.data.VariableScaleDecimal"}}"#, parts.strip_suffix('}').unwrap());
    for value in [r#"{"scale":2,"value":"BNI="}"#, r#"{ "value" : "BNI=" , "more" : [1] , "scale" : 2 }"#] {
        check(&schema, value, &[("Decimal(9, 2)", "1234"), ("Nullable(Decimal(9, 4))", "123400"), ("String", "12.34")]);
    }
    check(&schema, r#"{"scale":2,"value":"BNI="}"#, &[("Tuple(scale Int8, value String)", r#"(2, "BNI=")"#)]);
    for value in
        ["{}", r#"{"scale":2}"#, r#"{"value":"BNI="}"#, r#"{"scale":"2","value":"BNI="}"#, r#"{"scale":2,"value":"."}"#]
    {
        check(&schema, value, &[("Decimal(9, 2)", "type_mismatch")]);
    }
}

#[test]
fn paths_lists_and_flattened_nested_take_what_the_schema_says() {
    let decimal = r#"{"type":"bytes","name":"org.apache.kafka.connect.data.Decimal","parameters":{"scale":"1"}}"#;
    let item = fields(&[("price", decimal), ("sku", r#"{"type":"string"}"#)]);
    let items = format!(r#"{{"type":"array","items":{item}}}"#);
    let map = format!(r#"{{"type":"map","keys":{{"type":"string"}},"values":{decimal}}}"#);
    let schema = fields(&[("n", &items), ("m", &map)]);
    let payload = r#"{"n":[{"price":"CQ==","sku":"a"},{"sku":"b","price":"Cg=="}],"m":{"x":"Cw=="}}"#;
    let check = |spec: ColumnSpec, expected: &str| {
        let (plan, shown) = (with(CONNECT, vec![spec]), format!("{payload} {expected}"));
        let stored =
            decoded_by(&mut RecordDecoder::json(&plan), &plan, &Record::of_value(record(&schema, payload).as_bytes()));
        assert_eq!(stored, expected, "{shown}");
    };
    check(spec(&("v", "Decimal(9, 1)", "$.n[1].price")), "v=10");
    check(spec(&("v", "Decimal(9, 1)", "$.m.x")), "v=11");
    let nested = |name: &str, kind: &str| ColumnSpec {
        aliases: vec![Source::parse("$.n.price").unwrap()],
        ..column(name, kind)
    };
    check(nested("n.price", "Array(Decimal(9, 1))"), "n.price=[9, 10]");
    check(
        column("n", "Array(Map(String, String))"),
        r#"n=[{"price": "0.9", "sku": "a"}, {"sku": "b", "price": "1.0"}]"#,
    );
    // As text it stays as it stands.
    check(spec(&("v", "String", "$.n[0]")), r#"v={"price":"CQ==","sku":"a"}"#);
}

#[test]
fn the_payload_is_the_row() {
    let plan = with(CONNECT, vec![column("v", "UInt8"), column("w", "UInt8")]);
    let one = |record: &str| decoded_by(&mut RecordDecoder::json(&plan), &plan, &Record::of_value(record.as_bytes()));
    for good in [
        r#"{"schema":{"type":"struct"},"payload":{"v":1,"w":2}}"#,
        r#"{"schema":null,"payload":{"v":1,"w":2}}"#,
        r#"{"payload":{"v":1,"w":2}}"#,
        r#" { "payload" : { "v" : 1, "w" : 2 } , "schema" : { } } "#,
        r#"{"x":[{}],"payload":{"v":1,"w":2},"v":9,"schema":{"type":1}}"#,
        r#"{"schema":7,"x":0,"payload":{"v":1,"w":2,"schema":5,"payload":6},"y":"}"}"#,
        r#"{"\u0073chema":{},"payl\u006fad":{"v":1,"w":2}}"#,
    ] {
        assert_eq!(one(good), "v=1, w=2", "{good}");
    }
    assert_eq!(one(r#"{"schema":{},"payload":{}}"#), "v=0, w=0");
    for nothing in [r#"{"schema":null,"payload":null}"#, r#"{"payload":null,"schema":{}}"#, r#"{"payload": null }"#] {
        assert_eq!(one(nothing), "skipped", "{nothing}");
    }
    for (bad, expected) in [
        (r#"{"v":1,"w":2}"#, "invalid_envelope: no `payload`, which `envelope: connect` takes for the row at byte 0"),
        (r#"{}"#, "invalid_envelope: no `payload`"),
        (r#"{"schema":{}}"#, "invalid_envelope: no `payload`"),
        ("7", "not_an_object"),
        ("", "empty"),
        (r#"{"schema":{},"payload":[1]}"#, "not_an_object"),
        (r#"{"schema":{},"payload":{"v":1},"payload":{"v":2}}"#, "duplicate_key"),
        (r#"{"payload":{"v":1},"payload":{"v":2}}"#, "duplicate_key"),
        (r#"{"schema":{},"payload":{"v":1},"schema":{}}"#, "duplicate_key"),
        (r#"{"schema":{},"payload":{"v":1}"#, "invalid_json"),
        (r#"{"schema":{},"payload":{"v":1}} x"#, "trailing_data"),
        (r#"{"schema":{},"payload":null} x"#, "trailing_data"),
        (r#"{"payload":{"v":1}} x"#, "trailing_data"),
        (r#"{"schema":{"#, "invalid_json"),
        (r#"{"schema":{},"payload":{"v":1},}"#, "invalid_json"),
        (
            r#"{"schema":{},"payload":{"v":1,"w":300}}"#,
            "out_of_range: field w (UInt8): outside the range of the column at byte 34",
        ),
    ] {
        let found = one(bad);
        assert!(found.starts_with(expected), "{bad}: {found}");
    }
    let whole = with(CONNECT, vec![spec(&("v", "String", "$"))]);
    assert_eq!(stored(&whole, r#"{"schema":{"type":"string"},"payload":"text"}"#), "text");
    let changes = Changes { tombstone_rows: true, deletes_by_key: true, ..CONNECT };
    let tombstones =
        with(changes, vec![spec(&("k", "UInt8", "$key")), column("v", "UInt8").from_source(Source::Deleted)]);
    for (value, expected) in
        [(r#"{"schema":null,"payload":null}"#, "k=3, v=1"), (r#"{"schema":null,"payload":{}}"#, "k=3, v=0")]
    {
        let record = Record { key: Some(b"3"), ..Record::of_value(value.as_bytes()) };
        assert_eq!(decoded_by(&mut RecordDecoder::json(&tombstones), &tombstones, &record), expected);
    }
}

#[test]
fn fields_that_no_column_takes_are_those_of_the_payload() {
    let columns = vec![column("v", "UInt8"), column("rest", "String").from_source(Source::UnknownFields)];
    let plan = RowPlan::new(columns, Vec::new(), "UTC").unwrap().with_changes(CONNECT);
    let plan = Arc::new(plan.with_unknown_fields(UnknownFields::Collect(1)));
    let record = r#"{"schema":{"type":"struct"},"payload":{"v":1,"more":[2]}}"#;
    let stored = decoded_by(&mut RecordDecoder::json(&plan), &plan, &Record::of_value(record.as_bytes()));
    assert_eq!(stored, r#"v=1, rest={"more":[2]}"#);
}

#[test]
fn each_record_is_read_by_its_own_schema() {
    let plan = with(CONNECT, vec![column("v", "DateTime64(3, 'UTC')")]);
    let mut decoder = RecordDecoder::json(&plan);
    let mut check = |schema: &str, expected: &str| {
        let record = record(schema, r#"{"v":5000}"#);
        assert_eq!(decoded_by(&mut decoder, &plan, &Record::of_value(record.as_bytes())), expected, "{schema}");
    };
    let schema = |name: &str, more: usize| {
        fields(&[("v", &named("int64", name)), (&format!("f{more}"), r#"{"type":"string"}"#)])
    };
    // More than are kept, twice, with others between them.
    for _ in 0..2 {
        for number in 0..70 {
            check(&schema("io.debezium.time.Timestamp", number), "v=5000");
            check("null", "v=5000000");
            check(&schema("io.debezium.time.MicroTimestamp", number), "v=5");
            check(&fields(&[("v", r#"{"type":"int64"}"#)]), "v=5000000");
        }
    }
    // One is the beginning of the other, as text.
    check("{}", "v=5000000");
    check(&schema("io.debezium.time.MicroTimestamp", 1), "v=5");
}

#[test]
fn keys_are_what_is_below_their_payload() {
    let columns = || vec![spec(&("id", "UInt32", "$key.id")), spec(&("all", "String", "$key"))];
    let check = |changes: Changes, key: &str, expected: &str| {
        let plan = with(changes, columns());
        let mut decoder = RecordDecoder::new(&plan, &Format::Json, Some(&Format::Json)).unwrap();
        let value = match changes.envelope {
            true => r#"{"op":"c","after":{}}"#,
            false => r#"{"payload":{}}"#,
        };
        let record = Record { key: Some(key.as_bytes()), ..Record::of_value(value.as_bytes()) };
        assert_eq!(decoded_by(&mut decoder, &plan, &record), expected, "{key}");
    };
    for changes in [CONNECT, DEBEZIUM] {
        check(changes, r#"{"schema":{"type":"struct"},"payload":{"id":7}}"#, r#"id=7, all={"id":7}"#);
        check(changes, r#"{"payload":{"id":7},"schema":{}}"#, r#"id=7, all={"id":7}"#);
        check(changes, r#"{"id":7}"#, r#"id=7, all={"id":7}"#);
        check(changes, r#"{"payload":{"id":7}}"#, r#"id=0, all={"payload":{"id":7}}"#);
        check(changes, r#"{"schema":{},"payload":null}"#, "id=0, all=");
        check(
            changes,
            r#"{"schema":{},"payload":"x"}"#,
            r#"not_an_object: key: the record is not an object at byte 23: "\"x\"}""#,
        );
    }
    let plan = with(CONNECT, vec![spec(&("id", "String", "$key"))]);
    let mut decoder = RecordDecoder::new(&plan, &Format::Json, Some(&Format::Json)).unwrap();
    let key = br#"{"schema":{"type":"bytes"},"payload":"aGk="}"#;
    let record = Record { key: Some(key), ..Record::of_value(br#"{"payload":{}}"#) };
    assert_eq!(decoded_by(&mut decoder, &plan, &record), "id=hi");
}

#[test]
fn a_record_that_is_cut_or_damaged_is_refused_and_harms_no_other() {
    let schema = fields(&[("v", &named("int64", "io.debezium.time.MicroTimestamp")), ("w", r#"{"type":"bytes"}"#)]);
    let good = record(&schema, r#"{"v":7000000,"w":"aGk="}"#);
    for (changes, kind) in [(CONNECT, "v"), (DEBEZIUM, "$.payload.v")] {
        let plan = with(changes, vec![spec(&("v", "DateTime", kind)), column("w", "String")]);
        let mut decoder = RecordDecoder::json(&plan);
        for end in 0..good.len() {
            let cut = decoded_by(&mut decoder, &plan, &Record::of_value(&good.as_bytes()[..end]));
            assert!(cut.contains(": "), "{end}: {cut}");
        }
        for at in 0..good.len() {
            let mut damaged = good.clone().into_bytes();
            damaged[at] = if damaged[at] == b'"' { b'}' } else { b'"' };
            decoded_by(&mut decoder, &plan, &Record::of_value(&damaged));
        }
        if changes == CONNECT {
            assert_eq!(decoded_by(&mut decoder, &plan, &Record::of_value(good.as_bytes())), "v=7, w=hi");
        }
    }
}
