//! Tests of the Protobuf decoder: what each column takes, what a record may look like, and where schemas come from.

mod framing;
mod messages;
mod nested;
mod oracle;
mod records;
mod schemas;
mod values;

use std::sync::Arc;

use crate::block::native::NativeEncoder;
use crate::block::test_reader;
use crate::columns::{ColumnSpec, Columns, DefaultValue, RowCoordinates, RowPlan, Source};
use crate::decode::{DecodeError, Format, ProtobufSchema, RecordDecoder};

/// A table that records of one message type are decoded into.
struct Table {
    decoder: RecordDecoder,
    columns: Columns,
}

impl Table {
    fn new(plan: &Arc<RowPlan>, schema: &ProtobufSchema, message: &str) -> Self {
        let decoder = RecordDecoder::new(plan, &Format::Protobuf(schema.clone(), message.to_owned()), None).unwrap();
        Self { decoder, columns: Columns::new(plan).unwrap() }
    }

    /// Decodes and keeps a record.
    fn push(&mut self, record: &[u8]) -> Result<(), DecodeError> {
        self.decoder.decode_value(record, &mut self.columns)?;
        self.columns.commit_row(&RowCoordinates { topic: "t", partition: 0, offset: 0, row: 0, replay: 0 });
        Ok(())
    }

    /// Per column the values of its rows.
    fn stored(&self) -> Vec<Vec<String>> {
        let raw = test_reader::decompress(&NativeEncoder::new().encode(&self.columns).frames);
        test_reader::read_block(&raw).into_iter().map(|(_, _, values)| values).collect()
    }
}

/// A column filled from `source`, which is also its name.
fn column(source: &str, type_text: &str) -> ColumnSpec {
    let column = ColumnSpec::new(source, type_text, DefaultValue::TypeZero).unwrap();
    column.from_source(Source::parse(source).unwrap())
}

fn plan(columns: Vec<ColumnSpec>) -> RowPlan {
    RowPlan::new(columns, Vec::new(), "UTC").unwrap()
}

fn schema(text: &str) -> ProtobufSchema {
    ProtobufSchema::from_registry(text, &[]).unwrap()
}

/// What is stored of a record of the message `M` between two empty ones, as values separated by ` | `, or the error's text;
/// the rows around must never suffer.
fn store(schema: &ProtobufSchema, plan: RowPlan, record: &[u8]) -> String {
    let mut table = Table::new(&Arc::new(plan), schema, "M");
    table.push(&[]).unwrap();
    let zero = table.stored();
    let outcome = table.push(record);
    table.push(&[]).unwrap();
    let stored = table.stored();
    let mut values = Vec::new();
    for (zero, stored) in zero.iter().zip(stored) {
        assert_eq!(zero[0], stored[0], "the row before was damaged");
        assert_eq!(zero.last(), stored.last(), "the row behind was damaged");
        assert_eq!(stored.len(), if outcome.is_ok() { 3 } else { 2 });
        values.push(stored[1].clone());
    }
    match outcome {
        Ok(()) => values.join(" | "),
        Err(error) => error.to_string(),
    }
}

/// A number in 7-bit groups.
fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = value.to_le_bytes()[0] & 0x7F;
        value >>= 7;
        if value == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

fn tag(field: u64, wire: u64) -> Vec<u8> {
    varint(field << 3 | wire)
}

/// A field that is a number.
fn v(field: u64, value: i64) -> Vec<u8> {
    [tag(field, 0), varint(value.cast_unsigned())].concat()
}

/// A field that has a length: a text, bytes, a message, a packed list.
fn l(field: u64, bytes: impl AsRef<[u8]>) -> Vec<u8> {
    let bytes = bytes.as_ref();
    [tag(field, 2), varint(bytes.len() as u64), bytes.to_vec()].concat()
}

/// A field of 4 bytes.
fn f4(field: u64, bytes: [u8; 4]) -> Vec<u8> {
    [tag(field, 5), bytes.to_vec()].concat()
}

/// A field of 8 bytes.
fn f8(field: u64, bytes: [u8; 8]) -> Vec<u8> {
    [tag(field, 1), bytes.to_vec()].concat()
}

/// A group.
fn g(field: u64, fields: impl AsRef<[u8]>) -> Vec<u8> {
    [tag(field, 3), fields.as_ref().to_vec(), tag(field, 4)].concat()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
