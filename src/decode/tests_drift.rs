//! Tests of the columns that fields of Avro and Protobuf ask for: each takes the value that asked for it.

use std::sync::Arc;

use super::tests_record::{decoded_by, plan, spec};
use super::{
    AvroFraming, AvroOptions, AvroSchema, Format, NewColumn, ProtobufSchema, Record, RecordDecoder, Undecoded,
};
use crate::columns::{ColumnSpec, Columns, RowPlan};

/// What a record asks for where the table has the column `a` alone.
fn asked(format: &Format, bytes: &[u8]) -> Vec<NewColumn> {
    let plan = RowPlan::new(vec![spec(&("a", "Int32", "a"))], Vec::new(), "UTC").unwrap();
    let plan = Arc::new(plan.reporting_unknown_fields(["known".to_owned()].into()));
    let mut decoder = RecordDecoder::new(&plan, format, None).unwrap();
    match decoder.decode(&Record::of_value(bytes), &mut Columns::new(&plan).unwrap()) {
        Err(Undecoded::Drifted(columns)) => columns,
        Ok(()) => Vec::new(),
        Err(undecoded) => panic!("{undecoded:?}"),
    }
}

/// The field `x` asks for a column of this type, and this is stored in it.
#[track_caller]
fn check(format: &Format, bytes: &[u8], kind: &str, stored: &str) {
    let asked = asked(format, bytes);
    let shown: Vec<String> = asked.iter().map(|column| format!("{} {}", column.name, column.type_text)).collect();
    let expected = if kind.is_empty() { String::new() } else { format!("x {kind}") };
    assert_eq!(shown.join(", "), expected, "{format:?}");
    let columns: Vec<ColumnSpec> =
        asked.iter().map(|column| spec(&(&column.name, &column.type_text, &column.name))).collect();
    let plan = plan(columns);
    let mut decoder = RecordDecoder::new(&plan, format, None).unwrap();
    assert_eq!(decoded_by(&mut decoder, &plan, &Record::of_value(bytes)), stored, "{kind}");
}

#[test]
fn avro_fields_ask_for_the_types_of_their_schema() {
    let check = |field: &str, value: &[u8], kind: &str, stored: &str| {
        let text = format!(
            r#"{{"type": "record", "name": "R", "fields": [{{"name": "known", "type": "int"}}, {{"name": "x", "type": {field}}}]}}"#
        );
        let options = AvroOptions { framing: AvroFraming::Bare(AvroSchema::alone(text)), reader: None };
        check(&Format::Avro(options), &[&[2], value].concat(), kind, stored);
    };
    let meaning = |kind: &str, meaning: &str| format!(r#"{{"type": "{kind}", "logicalType": "{meaning}"}}"#);
    check("\"boolean\"", &[1], "Nullable(Bool)", "x=true");
    check("\"int\"", &[3], "Nullable(Int32)", "x=-2");
    check("\"long\"", &[4], "Nullable(Int64)", "x=2");
    check("\"float\"", &1.5_f32.to_le_bytes(), "Nullable(Float32)", "x=1.5");
    check("\"double\"", &1.5_f64.to_le_bytes(), "Nullable(Float64)", "x=1.5");
    check("\"string\"", b"\x04hi", "Nullable(String)", "x=hi");
    check("\"bytes\"", b"\x04hi", "Nullable(String)", "x=hi");
    check(&meaning("int", "date"), &[4], "Nullable(Date32)", "x=2");
    check(&meaning("int", "time-millis"), &[0xD0, 0x0F], "Nullable(String)", "x=00:00:01");
    check(&meaning("long", "timestamp-millis"), &[4], "Nullable(DateTime64(3, 'UTC'))", "x=2");
    check(&meaning("long", "local-timestamp-micros"), &[4], "Nullable(DateTime64(6, 'UTC'))", "x=2");
    let decimal = r#"{"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}"#;
    check(decimal, &[2, 5], "Nullable(Decimal(38, 2))", "x=5");
    let uuid = meaning("string", "uuid");
    check(&uuid, b"\x4800000000-0000-0000-0000-000000000001", "Nullable(UUID)", "x=00000000000000000000000000000001");
    check(r#"{"type": "enum", "name": "E", "symbols": ["A", "B"]}"#, &[2], "LowCardinality(Nullable(String))", "x=B");
    check(r#"{"type": "array", "items": "int"}"#, &[4, 2, 4, 0], "Array(Int32)", "x=[1, 2]");
    check(r#"{"type": "array", "items": ["null", "int"]}"#, &[4, 0, 2, 4, 0], "Array(Nullable(Int32))", "x=[NULL, 2]");
    check(r#"["null", {"type": "array", "items": "int"}]"#, &[0], "Array(Int32)", "x=[]");
    check(r#"{"type": "array", "items": {"type": "array", "items": "int"}}"#, &[0], "Nullable(String)", "x=[]");
    check(r#"{"type": "map", "values": "int"}"#, b"\x02\x02k\x02\x00", "Nullable(String)", r#"x={"k":1}"#);
    check(
        r#"{"type": "record", "name": "I", "fields": [{"name": "y", "type": "int"}]}"#,
        &[2],
        "Nullable(String)",
        r#"x={"y":1}"#,
    );
    // The schema says what null would be.
    check(r#"["null", "long"]"#, &[0], "Nullable(Int64)", "x=NULL");
    check(r#"["null", "long"]"#, &[2, 4], "Nullable(Int64)", "x=2");
    check(r#"["int", "string"]"#, &[0, 4], "Nullable(String)", "x=2");
    check("\"null\"", &[], "", "");
}

#[test]
fn protobuf_fields_ask_for_the_types_of_their_schema() {
    let check = |field: &str, value: &[u8], kind: &str, stored: &str| {
        let text = format!(
            "syntax = \"proto3\"; import \"google/protobuf/timestamp.proto\"; import \"google/protobuf/wrappers.proto\"; \
             enum E {{ A = 0; B = 1; }} message P {{ int32 y = 1; }} message M {{ int32 known = 2; {field} = 1; }}"
        );
        let schema = ProtobufSchema::from_registry(&text, &[]).unwrap();
        check(&Format::Protobuf(schema, "M".to_owned()), &[&[16, 1], value].concat(), kind, stored);
    };
    check("bool x", &[8, 1], "Nullable(Bool)", "x=true");
    check("sint32 x", &[8, 3], "Nullable(Int32)", "x=-2");
    check("int64 x", &[8, 2], "Nullable(Int64)", "x=2");
    check("fixed32 x", &[13, 2, 0, 0, 0], "Nullable(UInt32)", "x=2");
    check("uint64 x", &[8, 2], "Nullable(UInt64)", "x=2");
    check("double x", &[&[9], &1.5_f64.to_le_bytes()[..]].concat(), "Nullable(Float64)", "x=1.5");
    check("string x", b"\x0a\x02hi", "Nullable(String)", "x=hi");
    check("bytes x", b"\x0a\x02hi", "Nullable(String)", "x=hi");
    check("E x", &[8, 1], "LowCardinality(Nullable(String))", "x=B");
    check("repeated int32 x", &[10, 2, 1, 2], "Array(Int32)", "x=[1, 2]");
    check("repeated E x", &[10, 1, 1], "Array(String)", "x=[\"B\"]");
    check("repeated P x", &[10, 2, 8, 1], "Nullable(String)", r#"x=[{"y":1}]"#);
    check("map<string, int32> x", b"\x0a\x05\x0a\x01k\x10\x01", "Nullable(String)", r#"x={"k":1}"#);
    check("P x", &[10, 2, 8, 1], "Nullable(String)", r#"x={"y":1}"#);
    check("google.protobuf.Timestamp x", &[10, 2, 8, 1], "Nullable(DateTime64(9, 'UTC'))", "x=1000000000");
    check("google.protobuf.Int64Value x", &[10, 2, 8, 5], "Nullable(Int64)", "x=5");
    // What is not there asks for nothing.
    check("int32 x", &[], "", "");
}
