//! The hot path allocates nothing per record: what is decoded goes into buffers that the block before has left, and what
//! is encoded costs per column and per frame, however many rows there are.

#[expect(dead_code, reason = "the benches use more of it")]
#[path = "../benches/load/mod.rs"]
mod load;
#[path = "../benches/load/plan.rs"]
mod plan;

use std::sync::Arc;

use allocation_counter::measure;
use oncesink::block::native::NativeEncoder;
use oncesink::columns::{Carried, Changes, ColumnSpec, Columns, DefaultValue, Path, RowCoordinates, RowPlan, Source};
use oncesink::config::Records;
use oncesink::decode::{
    AvroFraming, AvroOptions, AvroSchema, CsvOptions, Format, ProtobufSchema, Record, RecordDecoder, RowCursor,
};
use plan::plan;

const RECORDS: usize = 100_000;

/// A frame holds at most so many bytes before compression; a quarter of it is what a frame may be cut short by.
const FRAME_BYTES: usize = 1 << 20;

/// Of every kind of column one, or two where there are two ways to store it.
const KINDS: [(&str, &str); 20] = [
    ("flag", "Bool"),
    ("small", "Int8"),
    ("large", "UInt256"),
    ("float", "Float32"),
    ("price", "Decimal(18, 4)"),
    ("day", "Date32"),
    ("second", "DateTime('Europe/Berlin')"),
    ("nano", "DateTime64(9)"),
    ("text", "String"),
    ("code", "FixedString(4)"),
    ("level", "Enum8('low' = 1, 'high' = 2)"),
    ("id", "UUID"),
    ("four", "IPv4"),
    ("six", "IPv6"),
    ("site", "LowCardinality(Nullable(String))"),
    ("maybe", "Nullable(Int64)"),
    ("tags", "Array(String)"),
    ("grid", "Array(Array(Nullable(UInt8)))"),
    ("labels", "Map(String, Float64)"),
    ("point", "Tuple(x Float64, name String)"),
];

fn every_kind() -> impl Iterator<Item = Vec<u8>> {
    (0..).map(|row: u64| {
        let maybe = if row.is_multiple_of(3) { "null".to_owned() } else { row.to_string() };
        format!(
            "{{\"flag\":{},\"small\":{},\"large\":1{row}000000000000000000000000000,\"float\":{row}.5,\"price\":\"{row}.25\",\
             \"day\":\"2026-11-{:02}\",\"second\":\"2026-11-21 10:00:{:02}\",\"nano\":\"2026-11-21T10:00:00.{:09}Z\",\
             \"text\":\"line\\n{row}\",\"code\":\"{:04}\",\"level\":\"{}\",\"id\":\"00000000-0000-4000-8000-{row:012}\",\
             \"four\":\"10.0.{}.{}\",\"six\":\"fe80::{:x}\",\"site\":\"site-{}\",\"maybe\":{maybe},\"tags\":[\"a\",\"tag-{row}\"],\
             \"grid\":[[1,null],[]],\"labels\":{{\"cpu\":{row},\"disk\\u0041\":2}},\"point\":{{\"x\":{row},\"name\":\"p\"}},\
             \"unknown\":{{\"deep\":[1,2,{{\"x\":null}}]}}}}",
            row.is_multiple_of(2),
            row % 100,
            1 + row % 28,
            row % 60,
            row % 1_000_000_000,
            row % 10_000,
            if row.is_multiple_of(2) { "low" } else { "high" },
            row / 256 % 256,
            row % 256,
            row % 0xffff,
            row % 50,
        )
        .into_bytes()
    })
}

/// The same as CSV; what has a comma or a quote in it is quoted, lists and objects are JSON.
fn as_csv(columns: &[(&str, &str)], json: &[u8]) -> Vec<u8> {
    let record: serde_json::Value = serde_json::from_slice(json).expect("the records are JSON");
    let field = |(name, _): &(&str, &str)| match &record[name] {
        serde_json::Value::Null => String::new(),
        serde_json::Value::String(text) => format!("\"{}\"", text.replace('"', "\"\"")),
        other => format!("\"{}\"", other.to_string().replace('"', "\"\"")),
    };
    columns.iter().map(field).collect::<Vec<_>>().join(",").into_bytes()
}

/// Of every kind of Avro a field; some into columns of their own types, some as texts.
const AVRO: &str = r#"{"type": "record", "name": "R", "fields": [
    {"name": "flag", "type": "boolean"},
    {"name": "small", "type": "int"},
    {"name": "price", "type": {"type": "bytes", "logicalType": "decimal", "precision": 18, "scale": 4}},
    {"name": "maybe", "type": ["null", "double"]},
    {"name": "level", "type": {"type": "enum", "name": "E", "symbols": ["low", "high"]}},
    {"name": "id", "type": {"type": "string", "logicalType": "uuid"}},
    {"name": "nano", "type": {"type": "long", "logicalType": "timestamp-micros"}},
    {"name": "tags", "type": {"type": "array", "items": "string"}},
    {"name": "labels", "type": {"type": "map", "values": "long"}},
    {"name": "point", "type": {"type": "record", "name": "P", "fields": [
        {"name": "x", "type": "double"}, {"name": "raw", "type": "bytes"}, {"name": "next", "type": ["null", "P"]}]}},
    {"name": "text", "type": "P"},
    {"name": "unknown", "type": {"type": "array", "items": ["null", "string"]}}
]}"#;
const AVRO_COLUMNS: [(&str, &str); 11] = [
    ("flag", "Bool"),
    ("small", "Int8"),
    ("price", "Decimal(18, 6)"),
    ("maybe", "Nullable(Float64)"),
    ("level", "LowCardinality(String)"),
    ("id", "UUID"),
    ("nano", "DateTime64(9)"),
    ("tags", "Array(String)"),
    ("labels", "Map(String, Int64)"),
    ("point", "Tuple(x Float64, next Tuple(raw String))"),
    ("text", "String"),
];

fn avro() -> impl Iterator<Item = Vec<u8>> {
    (0..=u8::MAX).cycle().map(|row| {
        [
            &[row & 1, row & 0x7F, 4, row, 7, 2][..],
            &f64::from(row).to_le_bytes(),
            &[row & 2],
            b"\x4800000000-0000-4000-8000-000000000000",
            &[0x80 | row, 2, 4, 2, b'a', 2, row & 0x7F, 0],
            &[2, 2, b'k', row & 0x7F, 0],
            &f64::from(row).to_le_bytes(),
            &[2, row, 2],
            &0.5_f64.to_le_bytes(),
            &[0, 0],
            &0.25_f64.to_le_bytes(),
            &[6, 1, 2, row, 0],
            &[3, 8, 0, 2, 2, b'u', 0],
        ]
        .concat()
    })
}

/// Messages of most kinds of fields; some into columns of their own types, some as texts.
const PROTOBUF: &str = r#"syntax = "proto3";
    import "google/protobuf/any.proto";
    import "google/protobuf/field_mask.proto";
    import "google/protobuf/struct.proto";
    import "google/protobuf/timestamp.proto";
    message P { int32 x = 1; string name = 2; bytes raw = 3; repeated P more = 4; map<string, int32> map = 5; google.protobuf.FieldMask mask = 6; }
    enum E { LOW = 0; HIGH = 1; }
    message M {
      int64 id = 1; google.protobuf.Timestamp at = 2; E level = 3; repeated int32 list = 4; map<string, int32> map = 5; P point = 6;
      P text = 7; google.protobuf.Struct free = 8; google.protobuf.Any any = 9; oneof k { string a = 10; int32 b = 11; } P unknown = 12;
    }"#;
const PROTOBUF_COLUMNS: [(&str, &str); 12] = [
    ("id", "Int64"),
    ("at", "DateTime64(9)"),
    ("level", "LowCardinality(String)"),
    ("list", "Array(Int32)"),
    ("map", "Map(String, Int32)"),
    ("point", "Tuple(x Int32, more Array(Tuple(name String, map Map(String, Int32))))"),
    ("text", "String"),
    ("free", "String"),
    ("any", "String"),
    ("a", "Nullable(String)"),
    ("b", "Nullable(Int32)"),
    ("absent", "String"),
];

/// A field that has a length.
fn field(number: u8, content: &[u8]) -> Vec<u8> {
    let length = u8::try_from(content.len()).expect("the messages are short");
    assert!(length < 0x80, "a length of one byte");
    [&[number << 3 | 2, length], content].concat()
}

fn protobuf() -> impl Iterator<Item = Vec<u8>> {
    (0..0x80).cycle().map(|row: u8| {
        let entry = |key: &[u8], value: u8| field(5, &[&field(1, key)[..], &[0x10, value]].concat());
        let mask = field(6, &[field(1, b"x.y"), field(1, b"\"z\"")].concat());
        let inner =
            [field(2, b"inner"), entry(b"b", row), entry(b"a", 1), entry(b"b", 2), field(3, &[row, row])].concat();
        let point = [&[8, row][..], &field(4, &inner), &field(4, &mask)].concat();
        let free = field(1, &[field(1, b"k"), field(2, &field(3, b"text"))].concat());
        [
            // Out of order, in pieces, and more than once: the longer way.
            &field(4, &[1, row])[..],
            &[0x20, 7, 8, 1, 8, row, 0x18, row & 1],
            &field(2, &[8, row]),
            &entry(b"key", row),
            &field(6, &point),
            &field(6, &[8, 5]),
            &field(7, &point),
            &field(8, &free),
            &field(9, &[field(1, b"t/P"), field(2, &point)].concat()),
            &field(9 + (row & 1), b""),
            &[0x58, row],
            &field(12, &point),
        ]
        .concat()
    })
}

/// Records with three rows each, and something around them, by a key that has to be unescaped.
fn lists() -> impl Iterator<Item = Vec<u8>> {
    (0..).map(|row: u64| {
        let element = |number: u64| format!(r#"{{"text":"item\n{number}","n":{number}}}"#);
        let elements = [row, row + 1, row + 2].map(element).join(",");
        format!(r#"{{"i\u0064":{row},"items":[{elements}],"to":{{"name":"a\n{row}"}}}}"#).into_bytes()
    })
}

/// Blocks of records that make three rows each: decoded, with what the block before left.
fn check_rows(what: &str, records: &Records, texts: impl Iterator<Item = Vec<u8>>) {
    let texts: Vec<Vec<u8>> = texts.take(RECORDS / 4).collect();
    let sources = [("text", "String", "text"), ("n", "UInt64", "n"), ("id", "UInt64", "$record.id")];
    let sources = sources.into_iter().chain([("name", "String", "$record.to.name"), ("all", "String", "$")]);
    let specs = sources.map(|(name, kind, source)| {
        let spec = ColumnSpec::new(name, kind, DefaultValue::TypeZero).expect("the types are known");
        spec.from_source(Source::parse(source).expect("a source"))
    });
    let plan = Arc::new(RowPlan::new(specs.collect(), Vec::new(), "UTC").expect("they fit together"));
    let mut columns = Columns::new(&plan).expect("the plan was checked");
    let mut decoder = RecordDecoder::json(&plan).of_records(records);
    let mut block = || {
        let decoding = measure(|| {
            for text in &texts {
                let (record, mut cursor) = (Record::of_value(text), RowCursor::default());
                while decoder.next_row(&record, &mut cursor, &mut columns).expect("the record is good") {
                    columns.commit_row(&RowCoordinates { topic: "t", partition: 0, offset: 0, row: 0, replay: 0 });
                }
            }
        });
        assert_eq!(columns.rows(), 3 * texts.len());
        columns.clear();
        decoding.count_total
    };
    block();
    assert_eq!(block(), 0, "{what}: allocations while {} records are decoded", texts.len());
}

/// Records of Kafka Connect, of two schemas in turns.
const CONNECT_COLUMNS: [(&str, &str); 5] = [
    ("price", "Decimal(9, 2)"),
    ("at", "DateTime64(6)"),
    ("tags", "Array(String)"),
    ("raw", "String"),
    ("labels", "Map(String, Date)"),
];

fn connect() -> impl Iterator<Item = Vec<u8>> {
    (0..).map(|row: u64| {
        format!(
            r#"{{"schema":{{"type":"struct","name":"s{}","fields":[
                {{"type":"bytes","name":"org.apache.kafka.connect.data.Decimal","parameters":{{"scale":"2"}},"field":"price"}},
                {{"type":"int64","name":"io.debezium.time.MicroTimestamp","field":"at"}},
                {{"type":"string","name":"io.debezium.data.EnumSet","field":"tags"}},
                {{"type":"bytes","field":"raw"}},
                {{"type":"map","keys":{{"type":"string"}},"values":{{"type":"int32","name":"io.debezium.time.Date"}},"field":"labels"}}
            ]}},"payload":{{"price":"BNI=","at":{row},"tags":"a,b\u0041","raw":"aGVsbG8=","labels":{{"k":{}}}}}}}"#,
            row % 2,
            row % 1_000,
        )
        .into_bytes()
    })
}

/// One block of these records: decoded, then encoded; with what the block before left.
fn check(what: &str, format: &Format, columns: &[(&str, &str)], records: impl Iterator<Item = Vec<u8>>) {
    check_plan(what, format, plan(columns), records);
}

fn check_plan(what: &str, format: &Format, plan: Arc<RowPlan>, records: impl Iterator<Item = Vec<u8>>) {
    let records: Vec<Vec<u8>> = records.take(RECORDS).collect();
    let mut columns = Columns::new(&plan).expect("the plan was checked");
    let mut decoder = RecordDecoder::new(&plan, format, None).expect("the format is right");
    let mut encoder = NativeEncoder::new();
    let mut block = |columns: &mut Columns| {
        let decoding = measure(|| {
            for (offset, record) in (0..).zip(&records) {
                decoder.decode_value(record, columns).expect("the record is good");
                columns.commit_row(&RowCoordinates { topic: "readings", partition: 3, offset, row: 0, replay: 0 });
            }
        });
        let mut raw_bytes = 0;
        let encoding = measure(|| raw_bytes = encoder.encode(columns).raw_bytes);
        columns.clear();
        (decoding.count_total, encoding.count_total, raw_bytes)
    };
    block(&mut columns);
    let (decoding, encoding, raw_bytes) = block(&mut columns);
    assert_eq!(decoding, 0, "{what}: allocations while {RECORDS} records are decoded");
    let frames = u64::try_from(raw_bytes / (FRAME_BYTES / 4) + 1).expect("few");
    let most = 4 * u64::try_from(plan.columns().len() + 4).expect("few") + 4 * frames;
    assert!(encoding <= most, "{what}: {encoding} allocations while a block is encoded, {most} expected at most");
}

fn csv(columns: &[(&str, &str)]) -> Format {
    let columns = columns.iter().map(|(name, _)| (*name).to_owned()).collect();
    Format::Csv(CsvOptions { columns, ..CsvOptions::default() })
}

#[test]
fn decoding_allocates_nothing_per_record() {
    check("L1", &Format::Json, &load::COLUMNS, load::records());
    check("a column of every kind", &Format::Json, &KINDS, every_kind());
    // serde_json, which turns the records into CSV, has no integers as large.
    let kinds: Vec<_> = KINDS.into_iter().filter(|(name, _)| *name != "large").collect();
    check("a column of every kind, CSV", &csv(&kinds), &kinds, every_kind().map(|json| as_csv(&kinds, &json)));
    let framing = AvroFraming::Bare(AvroSchema::alone(AVRO));
    check("Avro", &Format::Avro(AvroOptions { framing, reader: None }), &AVRO_COLUMNS, avro());
    let schema = ProtobufSchema::from_registry(PROTOBUF, &[]).expect("the schema is good");
    check_rows("a list inside", &Records::Inside(Path::of_fields(["items"])), lists());
    let specs = CONNECT_COLUMNS.map(|(name, kind)| ColumnSpec::new(name, kind, DefaultValue::TypeZero).expect("known"));
    let carried = Changes { carried: Carried::Always, ..Changes::default() };
    let carried = RowPlan::new(specs.into(), Vec::new(), "UTC").expect("they fit together").with_changes(carried);
    check_plan("Connect with its schema", &Format::Json, Arc::new(carried), connect());
    check("Protobuf", &Format::Protobuf(schema, "M".to_owned()), &PROTOBUF_COLUMNS, protobuf());
}
