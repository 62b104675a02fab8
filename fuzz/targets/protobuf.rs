//! Any bytes as a Protobuf message into columns of every kind of field: no panic, texts that are JSON where they are to be,
//! the same row for the same bytes after others, and a record that fails leaves nothing behind.

use std::sync::{Arc, OnceLock};

use oncesink::block::native::NativeEncoder;
use oncesink::columns::{ColumnSpec, Columns, DefaultValue, RowCoordinates, RowPlan, Source, UnknownFields, Value};
use oncesink::decode::{Format, ProtobufSchema, RecordDecoder};

const SCHEMA: &str = r#"syntax = "proto2";
import "google/protobuf/any.proto";
import "google/protobuf/duration.proto";
import "google/protobuf/field_mask.proto";
import "google/protobuf/struct.proto";
import "google/protobuf/timestamp.proto";
import "google/protobuf/wrappers.proto";
enum E { A = 1; B = 2; }
message P { optional int32 x = 1 [default = 7]; optional string s = 2; repeated P more = 3; map<string, P> by = 4; optional E e = 5; }
message M {
  optional int32 i = 1; optional uint64 u = 2; optional sint64 z = 3; optional float f = 4; optional double d = 5;
  optional bool b = 6; optional string s = 7; optional bytes y = 8; optional E e = 9; optional P p = 10; repeated P ps = 11;
  repeated int32 list = 12; repeated E es = 13 [packed = true]; repeated string texts = 14; map<string, int32> map = 15;
  map<int32, P> points = 16; oneof k { int32 one = 17; P two = 18; string three = 19; E four = 20; }
  optional group G = 21 { optional int32 x = 1; repeated group H = 2 { optional fixed32 y = 1; } }
  optional google.protobuf.Timestamp at = 22; optional google.protobuf.Duration took = 23; optional google.protobuf.Struct st = 24;
  optional google.protobuf.Value va = 25; optional google.protobuf.Any any = 26; optional google.protobuf.FieldMask mask = 27;
  optional google.protobuf.Int32Value w = 28; repeated google.protobuf.Any anys = 29; optional fixed64 unmapped = 30;
}
"#;

/// Where columns are filled from, and their types.
const COLUMNS: [(&str, &str); 34] = [
    ("$", "String"),
    ("i", "Int32"),
    ("u", "UInt64"),
    ("z", "Int8"),
    ("f", "Float32"),
    ("d", "Float64"),
    ("b", "Bool"),
    ("s", "LowCardinality(String)"),
    ("y", "FixedString(4)"),
    ("e", "Enum8('A' = 1, 'B' = 2)"),
    ("p", "Tuple(x Int32, s String, more Array(Tuple(x Int32)), by String)"),
    ("$.p.more[1].x", "Nullable(Int32)"),
    ("$.p.by.a.s", "Nullable(String)"),
    ("ps", "Array(Map(String, String))"),
    ("list", "Array(Int16)"),
    ("$.list[2]", "Nullable(Int32)"),
    ("es", "Array(String)"),
    ("texts", "Array(LowCardinality(Nullable(String)))"),
    ("map", "Map(LowCardinality(String), UInt8)"),
    ("points", "Map(Int32, Tuple(x Int32, e Nullable(String)))"),
    ("one", "Nullable(Int32)"),
    ("$.two.x", "Nullable(Int32)"),
    ("three", "Nullable(String)"),
    ("four", "Nullable(String)"),
    ("g", "Tuple(x Int32, h Array(Tuple(y UInt32)))"),
    ("at", "DateTime64(9)"),
    ("took", "Decimal(38, 9)"),
    ("st", "String"),
    ("$.st.a[0]", "Nullable(String)"),
    ("va", "Nullable(String)"),
    ("any", "String"),
    ("mask", "String"),
    ("w", "Nullable(Int32)"),
    ("anys", "Array(String)"),
];

/// A record with a field of most kinds.
const GOOD: &[u8] =
    b"\x08\x05\x3a\x04word\x52\x02\x08\x01\x62\x02\x01\x02\x7a\x05\x0a\x01k\x10\x07\xb2\x01\x02\x08\x01";

/// Memory beside a multiple of the record: empty columns and buffers that are kept.
const HEAP_BYTES: usize = 1 << 20;

const PLACE: RowCoordinates<'_> = RowCoordinates { topic: "t", partition: 0, offset: 0, row: 0, replay: 0 };

fn schema() -> &'static ProtobufSchema {
    static COMPILED: OnceLock<ProtobufSchema> = OnceLock::new();
    COMPILED.get_or_init(|| ProtobufSchema::from_registry(SCHEMA, &[]).expect("the schema is good"))
}

fn plan() -> RowPlan {
    let spec = |source: &str, kind: &str| {
        let spec = ColumnSpec::new(source, kind, DefaultValue::TypeZero).expect("a supported type");
        spec.from_source(Source::parse(source).expect("a source"))
    };
    let mut columns: Vec<_> = COLUMNS.iter().map(|(source, kind)| spec(source, kind)).collect();
    columns.push(spec("rest", "String").from_source(Source::UnknownFields));
    let rest = columns.len() - 1;
    let plan = RowPlan::new(columns, Vec::new(), "UTC").expect("the columns fit together");
    plan.with_unknown_fields(UnknownFields::Collect(rest))
}

fn block(columns: &Columns) -> Vec<u8> {
    NativeEncoder::new().encode(columns).frames.concat()
}

pub(crate) fn run(data: &[u8]) {
    let plan = Arc::new(plan());
    let new = || Columns::new(&plan).expect("the zones are known");
    let (mut columns, mut alone) = (new(), new());
    let format = Format::Protobuf(schema().clone(), "M".to_owned());
    let mut decoder = RecordDecoder::new(&plan, &format, None).expect("the columns are good");
    let fits = decoder.decode_value(data, &mut columns).is_ok();
    if fits {
        for column in [0, COLUMNS.len()] {
            let Value::Str(json) = columns.last_value(column) else {
                panic!("column {column} is no text");
            };
            assert!(serde_json::from_str::<serde_json::Value>(json).is_ok_and(|json| json.is_object()), "{json}");
        }
        columns.rollback_row();
    }
    assert_eq!(columns.rows(), 0);
    // A row has all columns, whatever the record has: that is no growth with the record.
    assert!(columns.heap_bytes() <= HEAP_BYTES + 64 * data.len(), "{} bytes of heap", columns.heap_bytes());
    for columns in [&mut columns, &mut alone] {
        decoder.decode_value(GOOD, columns).expect("the good record is good");
        columns.commit_row(&PLACE);
        assert_eq!(decoder.decode_value(data, columns).is_ok(), fits);
        columns.rollback_row();
    }
    assert_eq!(block(&columns), block(&alone), "something was left behind");
}
