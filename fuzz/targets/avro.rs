//! Any bytes as Avro: no panic, bounded memory, and a record that fails leaves nothing behind. By a schema that has
//! everything, into columns of its own types and as JSON; and by a schema that is itself made of the bytes.

use std::sync::Arc;

use oncesink::block::native::NativeEncoder;
use oncesink::columns::{ColumnSpec, Columns, DefaultValue, RowCoordinates, RowPlan, Source};
use oncesink::decode::{AvroFraming, AvroOptions, AvroSchema, Format, RecordDecoder};

const SCHEMA: &str = r#"{"type": "record", "name": "R", "fields": [
    {"name": "b", "type": "boolean"},
    {"name": "i", "type": "int"},
    {"name": "l", "type": ["null", "long"]},
    {"name": "f", "type": "float"},
    {"name": "d", "type": "double"},
    {"name": "s", "type": "string"},
    {"name": "y", "type": "bytes"},
    {"name": "x", "type": {"type": "fixed", "name": "X", "size": 3}},
    {"name": "e", "type": {"type": "enum", "name": "E", "symbols": ["A", "B"]}},
    {"name": "dec", "type": {"type": "bytes", "logicalType": "decimal", "precision": 20, "scale": 4}},
    {"name": "big", "type": {"type": "bytes", "logicalType": "big-decimal"}},
    {"name": "uid", "type": {"type": "string", "logicalType": "uuid"}},
    {"name": "at", "type": {"type": "long", "logicalType": "timestamp-micros"}},
    {"name": "lat", "type": {"type": "long", "logicalType": "local-timestamp-millis"}},
    {"name": "day", "type": {"type": "int", "logicalType": "date"}},
    {"name": "span", "type": {"type": "fixed", "name": "D", "size": 12, "logicalType": "duration"}},
    {"name": "a", "type": {"type": "array", "items": ["null", "string"]}},
    {"name": "nulls", "type": {"type": "array", "items": "null"}},
    {"name": "m", "type": {"type": "map", "values": {"type": "array", "items": "int"}}},
    {"name": "t", "type": {"type": "record", "name": "T", "fields": [
        {"name": "x", "type": "int"}, {"name": "next", "type": ["null", "T"]}]}},
    {"name": "any", "type": ["null", "boolean", "long", "double", "string", "T", {"type": "map", "values": "T"}]}
]}"#;

/// The fields as columns of their own types.
const COLUMNS: [(&str, &str); 23] = [
    ("b", "Bool"),
    ("i", "Int32"),
    ("l", "Nullable(Int64)"),
    ("f", "Float32"),
    ("d", "Decimal(38, 10)"),
    ("s", "LowCardinality(String)"),
    ("y", "String"),
    ("x", "FixedString(4)"),
    ("e", "Enum8('A' = 1, 'B' = 2)"),
    ("dec", "Decimal(20, 4)"),
    ("big", "Float64"),
    ("uid", "UUID"),
    ("at", "DateTime64(6)"),
    ("lat", "DateTime('Europe/Berlin')"),
    ("day", "Date32"),
    ("span", "String"),
    ("a", "Array(Nullable(String))"),
    ("nulls", "Array(Nullable(Int8))"),
    ("m", "Map(String, Array(UInt16))"),
    ("t", "Tuple(x Int64, next Tuple(next String, other Int8))"),
    ("any", "Nullable(String)"),
    ("$.t.next.x", "UInt8"),
    ("$.m.key[1]", "Nullable(String)"),
];

/// Memory beside a multiple of the record: empty columns, buffers that are kept, and items without bytes.
const HEAP_BYTES: usize = 4 << 20;
const PLACE: RowCoordinates<'_> = RowCoordinates { topic: "t", partition: 0, offset: 0, row: 0, replay: 0 };
fn plan(columns: impl Iterator<Item = (String, &'static str)>) -> Arc<RowPlan> {
    let spec = |(source, kind): (String, &str)| {
        let spec = ColumnSpec::new(&source, kind, DefaultValue::TypeZero).expect("the types are supported");
        spec.from_source(Source::parse(&source).expect("the sources are right"))
    };
    Arc::new(RowPlan::new(columns.map(spec).collect(), Vec::new(), "UTC").expect("the columns fit together"))
}

fn decoder(plan: &Arc<RowPlan>, schema: &str) -> Result<RecordDecoder, String> {
    let framing = AvroFraming::Bare(AvroSchema::alone(schema));
    RecordDecoder::new(plan, &Format::Avro(AvroOptions { framing, reader: None }), None)
}

fn block(columns: &Columns) -> Vec<u8> {
    NativeEncoder::new().encode(columns).frames.concat()
}

/// A record that has every field.
fn good() -> Vec<u8> {
    [
        &[1, 2, 0][..],
        &1_f32.to_le_bytes(),
        &1_f64.to_le_bytes(),
        b"\x02s\x02yxyz\x02",
        b"\x02\x05\x06\x02\x05\x02",
        b"\x4800000000-0000-4000-8000-000000000000",
        &[0, 0x80, 0x80, 0x80, 0x80, 0x20, 0],
        &[0; 12],
        b"\x04\x00\x02\x02a\x00",
        &[4, 0],
        b"\x02\x06key\x04\x02\x04\x00\x00",
        &[2, 2, 4, 0],
        &[8, 2, b'x'],
    ]
    .concat()
}

/// Decodes `data`, then what is good: nothing of `data` may be left.
fn check(plan: &Arc<RowPlan>, data: &[u8]) {
    let new = || Columns::new(plan).expect("the zones are known");
    let (mut columns, mut alone) = (new(), new());
    let mut decoder = decoder(plan, SCHEMA).expect("the schema is good");
    if decoder.decode_value(data, &mut columns).is_ok() {
        columns.rollback_row();
    }
    assert!(columns.heap_bytes() <= HEAP_BYTES + 64 * data.len(), "{} bytes of heap", columns.heap_bytes());
    for columns in [&mut columns, &mut alone] {
        decoder.decode_value(&good(), columns).expect("the good record is good");
        columns.commit_row(&PLACE);
    }
    assert_eq!(block(&columns), block(&alone), "something was left behind");
}

pub(crate) fn run(data: &[u8]) {
    check(&plan(COLUMNS.iter().map(|(source, kind)| ((*source).to_owned(), *kind))), data);
    check(&plan(COLUMNS.iter().map(|(source, _)| ((*source).to_owned(), "String"))), data);
    // The schema, a zero byte, the record.
    let end = data.iter().position(|byte| *byte == 0).unwrap_or(data.len());
    if let Ok(schema) = std::str::from_utf8(&data[..end]) {
        let whole = plan([("$".to_owned(), "String")].into_iter());
        if let Ok(mut decoder) = decoder(&whole, schema) {
            let mut columns = Columns::new(&whole).expect("the zones are known");
            let record = data.get(end + 1..).unwrap_or_default();
            if decoder.decode_value(record, &mut columns).is_ok() {
                columns.rollback_row();
            }
        }
    }
}
