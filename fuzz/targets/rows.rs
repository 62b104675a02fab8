//! Any bytes as a list of objects, as one object after the other, and as an object with such a list inside: no panic, the rows that serde_json finds, the same when
//! they are read again, and a record that fails leaves nothing behind.

use std::sync::Arc;

use oncesink::block::native::NativeEncoder;
use oncesink::columns::{ColumnSpec, Columns, DefaultValue, Path, RowCoordinates, RowPlan, Source, Value};
use oncesink::config::Records;
use oncesink::decode::{Record, RecordDecoder, RowCursor};

/// Memory beside a multiple of the record: empty columns and buffers that are kept.
const HEAP_BYTES: usize = 1 << 20;
const GOOD: [&[u8]; 3] = [
    br#"[{"u":1,"s":"good"},{}]"#,
    b"{\"u\":1,\"s\":\"good\"}\n{}\n",
    br#"{"o":"good","a":{"v":[{"u":1,"s":"good"},{}]}}"#,
];

/// What is read of a row: its own fields, and one beside the list that it stands in.
type Row = [String; 3];

/// The rows of a record as texts, all of them rolled back; `None` where it is bad.
fn rows(decoder: &mut RecordDecoder, columns: &mut Columns, data: &[u8]) -> Option<Vec<Row>> {
    let (record, mut cursor, mut rows) = (Record::of_value(data), RowCursor::default(), Vec::new());
    while decoder.next_row(&record, &mut cursor, columns).ok()? {
        rows.push([0, 1, 2].map(|column| format!("{:?}", columns.last_value(column))));
        columns.rollback_row();
        assert_eq!(cursor.rows(), rows.len() as u64);
        assert!(rows.len() <= data.len(), "a row without a byte");
    }
    Some(rows)
}

/// What serde_json makes of it; `None` where it sees no such record, or a value of which the two may say different things.
fn expected(records: &Records, data: &[u8]) -> Option<Vec<Row>> {
    let text = |field: Option<&serde_json::Value>| match field {
        None | Some(serde_json::Value::Null) => Some(format!("{:?}", Value::Str(""))),
        Some(text) => text.as_str().map(|text| format!("{:?}", Value::Str(text))),
    };
    let mut outer = text(None)?;
    let values: Vec<serde_json::Value> = match records {
        Records::Array => serde_json::from_slice(data).ok()?,
        Records::Inside(_) => {
            let record: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(data).ok()?;
            let list = match record.get("a") {
                None | Some(serde_json::Value::Null) => None,
                Some(a) => a.as_object()?.get("v"),
            };
            match list {
                None | Some(serde_json::Value::Null) => Vec::new(),
                Some(list) => {
                    let list = list.as_array()?.clone();
                    // Without a row nobody looks at it.
                    if !list.is_empty() {
                        outer = text(record.get("o"))?;
                    }
                    list
                }
            }
        }
        _ => serde_json::Deserializer::from_slice(data).into_iter().collect::<Result<_, _>>().ok()?,
    };
    let row = |value: &serde_json::Value| {
        let object = value.as_object()?;
        let number = match object.get("u") {
            None | Some(serde_json::Value::Null) => Value::U64(0),
            Some(number) => Value::U64(number.as_u64()?),
        };
        Some([format!("{number:?}"), text(object.get("s"))?, outer.clone()])
    };
    values.iter().map(row).collect()
}

fn good(decoder: &mut RecordDecoder, columns: &mut Columns, data: &[u8]) -> Vec<u8> {
    let (record, mut cursor) = (Record::of_value(data), RowCursor::default());
    while decoder.next_row(&record, &mut cursor, columns).expect("the good record is good") {
        columns.commit_row(&RowCoordinates { topic: "t", partition: 0, offset: 0, row: 0, replay: 0 });
    }
    NativeEncoder::new().encode(columns).frames.concat()
}

pub(crate) fn run(data: &[u8]) {
    let spec = |(name, kind): (&str, &str)| {
        ColumnSpec::new(name, kind, DefaultValue::TypeZero).expect("the types are supported")
    };
    let columns = [
        ("u", "UInt64"),
        ("s", "String"),
        ("o", "String"),
        ("a", "Array(Nullable(String))"),
        ("t", "Tuple(x UInt8, y String)"),
    ];
    let inside = Records::Inside(Path::of_fields(["a", "v"]));
    for (records, record) in [Records::Array, Records::Lines, inside].into_iter().zip(GOOD) {
        let mut columns: Vec<ColumnSpec> = columns.into_iter().map(spec).collect();
        // What is around a list where there is something around it; else nothing.
        columns[2].source = Source::Record(Path::of_fields(["o"]));
        let plan = Arc::new(RowPlan::new(columns, Vec::new(), "UTC").expect("they fit together"));
        let new = || Columns::new(&plan).expect("the zones are known");
        let mut decoder = RecordDecoder::json(&plan).of_records(&records);
        let (mut columns, mut alone) = (new(), new());
        let found = rows(&mut decoder, &mut columns, data);
        assert_eq!(rows(&mut decoder, &mut columns, data), found, "read again it is another record");
        if let (Some(found), Some(expected)) = (&found, expected(&records, data)) {
            assert_eq!(*found, expected);
        }
        assert!(columns.heap_bytes() <= HEAP_BYTES + 64 * data.len(), "{} bytes of heap", columns.heap_bytes());
        let (after, before) = (good(&mut decoder, &mut columns, record), good(&mut decoder, &mut alone, record));
        assert_eq!(after, before, "something was left behind");
    }
}
