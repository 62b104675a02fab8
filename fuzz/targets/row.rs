//! Any bytes into columns of every kind: no panic, values as serde_json reads them, and a record that fails leaves nothing
//! behind.

use std::sync::Arc;

use oncesink::block::native::NativeEncoder;
use oncesink::columns::{ColumnSpec, Columns, DefaultValue, RowCoordinates, RowPlan, Value};
use oncesink::decode::RecordDecoder;

/// One column of every kind; a record has them by these names.
const COLUMNS: [(&str, &str); 31] = [
    ("u", "UInt64"),
    ("i", "Int64"),
    ("f", "Float64"),
    ("s", "String"),
    ("b", "Bool"),
    ("u8", "UInt8"),
    ("i256", "Int256"),
    ("f32", "Float32"),
    ("bf", "BFloat16"),
    ("dec", "Decimal(38, 10)"),
    ("fs", "FixedString(5)"),
    ("day", "Date"),
    ("day32", "Date32"),
    ("at", "DateTime('Europe/Berlin')"),
    ("at9", "DateTime64(9)"),
    ("uid", "UUID"),
    ("e", "Enum8('a' = 1, 'b' = -2)"),
    ("ip4", "IPv4"),
    ("ip6", "IPv6"),
    ("lc", "LowCardinality(Nullable(String))"),
    ("n", "Nullable(Int32)"),
    ("a", "Array(Nullable(String))"),
    ("m", "Map(String, Array(UInt16))"),
    ("t", "Tuple(x UInt8, y LowCardinality(String))"),
    ("span", "Time"),
    ("span9", "Array(Time64(9))"),
    ("v", "Array(Variant(Array(LowCardinality(String)), Bool, Float64, Int8, Map(String, Int64)))"),
    ("json", "JSON"),
    ("any", "Map(String, Dynamic)"),
    ("ring", "Ring"),
    ("nested", "Nested(a UInt8, b Nullable(JSON))"),
];

/// Memory beside a multiple of the record: empty columns and buffers that are kept.
const HEAP_BYTES: usize = 1 << 20;

const GOOD: &[u8] = br#"{"u":1,"s":"good","lc":"word","a":["x",null],"m":{"k":[1,2]},"t":{"x":1,"y":"z"},"n":null}"#;
const PLACE: RowCoordinates<'_> = RowCoordinates { topic: "t", partition: 0, offset: 0, row: 0, replay: 0 };

fn block(columns: &Columns) -> Vec<u8> {
    NativeEncoder::new().encode(columns).frames.concat()
}

fn compare(value: Value<'_>, json: &serde_json::Value, name: &str) {
    let same = match (name, json) {
        ("u", json) if json.is_u64() => json.as_u64().map(Value::U64) == Some(value),
        ("i", json) if json.is_i64() => json.as_i64().map(Value::I64) == Some(value),
        ("f", json) if json.is_number() => {
            matches!(value, Value::F64(ours) if json.as_f64().is_some_and(|theirs| theirs.to_bits() == ours.to_bits()))
        }
        ("s", serde_json::Value::String(text)) => value == Value::Str(text),
        ("b", serde_json::Value::Bool(truth)) => value == Value::Bool(*truth),
        _ => true,
    };
    assert!(same, "{name} is {value:?} and not {json}");
}

pub(crate) fn run(data: &[u8]) {
    let spec = |(name, kind): &(&str, &str)| {
        ColumnSpec::new(*name, *kind, DefaultValue::TypeZero).expect("the types are supported")
    };
    let plan = RowPlan::new(COLUMNS.iter().map(spec).collect(), Vec::new(), "UTC").expect("the columns fit together");
    let plan = Arc::new(plan);
    let new = || Columns::new(&plan).expect("the zones are known");
    let (mut columns, mut alone) = (new(), new());
    let mut decoder = RecordDecoder::json(&plan);
    if decoder.decode_value(data, &mut columns).is_ok() {
        if let Ok(json) = serde_json::from_slice::<serde_json::Value>(data) {
            for (index, (name, _)) in COLUMNS.iter().enumerate() {
                if let Some(json) = json.get(name) {
                    compare(columns.last_value(index), json, name);
                }
            }
        }
        columns.rollback_row();
    }
    assert_eq!(columns.rows(), 0);
    // A row has all columns, whatever the record has: that is no growth with the record.
    assert!(columns.heap_bytes() <= HEAP_BYTES + 64 * data.len(), "{} bytes of heap", columns.heap_bytes());
    for columns in [&mut columns, &mut alone] {
        decoder.decode_value(GOOD, columns).expect("the good record is good");
        columns.commit_row(&PLACE);
    }
    assert_eq!(block(&columns), block(&alone), "something was left behind");
}
