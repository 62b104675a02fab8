//! Any bytes as a list of objects, and as one object after the other: no panic, the rows that serde_json finds, the same when
//! they are read again, and a record that fails leaves nothing behind.

use std::sync::Arc;

use oncesink::block::native::NativeEncoder;
use oncesink::columns::{ColumnSpec, Columns, DefaultValue, RowCoordinates, RowPlan, Value};
use oncesink::config::Records;
use oncesink::decode::{Record, RecordDecoder, RowCursor};

/// Memory beside a multiple of the record: empty columns and buffers that are kept.
const HEAP_BYTES: usize = 1 << 20;
const GOOD: [&[u8]; 2] = [br#"[{"u":1,"s":"good"},{}]"#, b"{\"u\":1,\"s\":\"good\"}\n{}\n"];

/// The rows of a record as texts, all of them rolled back; `None` where it is bad.
fn rows(decoder: &mut RecordDecoder, columns: &mut Columns, data: &[u8]) -> Option<Vec<(String, String)>> {
    let (record, mut cursor, mut rows) = (Record::of_value(data), RowCursor::default(), Vec::new());
    while decoder.next_row(&record, &mut cursor, columns).ok()? {
        rows.push((format!("{:?}", columns.last_value(0)), format!("{:?}", columns.last_value(1))));
        columns.rollback_row();
        assert_eq!(cursor.rows(), rows.len() as u64);
        assert!(rows.len() <= data.len(), "a row without a byte");
    }
    Some(rows)
}

/// What serde_json makes of it; `None` where it sees no such record, or a value of which the two may say different things.
fn expected(records: Records, data: &[u8]) -> Option<Vec<(String, String)>> {
    let values: Vec<serde_json::Value> = match records {
        Records::Array => serde_json::from_slice(data).ok()?,
        _ => serde_json::Deserializer::from_slice(data).into_iter().collect::<Result<_, _>>().ok()?,
    };
    let row = |value: &serde_json::Value| {
        let object = value.as_object()?;
        let number = match object.get("u") {
            None | Some(serde_json::Value::Null) => Value::U64(0),
            Some(number) => Value::U64(number.as_u64()?),
        };
        let text = match object.get("s") {
            None | Some(serde_json::Value::Null) => "",
            Some(text) => text.as_str()?,
        };
        Some((format!("{number:?}"), format!("{:?}", Value::Str(text))))
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
    let columns =
        [("u", "UInt64"), ("s", "String"), ("a", "Array(Nullable(String))"), ("t", "Tuple(x UInt8, y String)")];
    let plan = RowPlan::new(columns.into_iter().map(spec).collect(), Vec::new(), "UTC").expect("they fit together");
    let plan = Arc::new(plan);
    let new = || Columns::new(&plan).expect("the zones are known");
    for (records, record) in [Records::Array, Records::Lines].into_iter().zip(GOOD) {
        let mut decoder = RecordDecoder::json(&plan).of_records(records);
        let (mut columns, mut alone) = (new(), new());
        let found = rows(&mut decoder, &mut columns, data);
        assert_eq!(rows(&mut decoder, &mut columns, data), found, "read again it is another record");
        if let (Some(found), Some(expected)) = (&found, expected(records, data)) {
            assert_eq!(*found, expected);
        }
        assert!(columns.heap_bytes() <= HEAP_BYTES + 64 * data.len(), "{} bytes of heap", columns.heap_bytes());
        let (after, before) = (good(&mut decoder, &mut columns, record), good(&mut decoder, &mut alone, record));
        assert_eq!(after, before, "something was left behind");
    }
}
