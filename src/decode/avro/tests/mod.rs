//! Tests of the Avro decoder: what each column takes, what a record may look like, schemas and their resolution, and
//! `apache_avro` as the oracle.

mod connect;
mod generate;
mod nested;
mod oracle;
mod records;
mod render;
mod resolution;
mod schemas;
mod values;

use std::sync::Arc;

use crate::block::native::NativeEncoder;
use crate::block::test_reader;
use crate::columns::{ColumnSpec, Columns, DefaultValue, RowCoordinates, RowPlan};
use crate::decode::{AvroFraming, AvroOptions, AvroSchema, DecodeError, Format, RecordDecoder};

fn spec(name: &str, type_text: &str) -> ColumnSpec {
    ColumnSpec::new(name, type_text, DefaultValue::TypeZero).unwrap()
}

fn plan(columns: Vec<ColumnSpec>) -> RowPlan {
    RowPlan::new(columns, Vec::new(), "UTC").unwrap()
}

/// A record schema of these fields, each `"name": type` in JSON.
fn record(name: &str, fields: &[(&str, &str)]) -> String {
    let fields: Vec<_> =
        fields.iter().map(|(name, kind)| format!("{{\"name\": \"{name}\", \"type\": {kind}}}")).collect();
    format!("{{\"type\": \"record\", \"name\": \"{name}\", \"fields\": [{}]}}", fields.join(", "))
}

fn bare(schema: impl Into<String>) -> AvroFraming {
    AvroFraming::Bare(AvroSchema::alone(schema))
}

/// A table that records are decoded into.
struct Table {
    decoder: RecordDecoder,
    columns: Columns,
}

impl Table {
    fn new(plan: RowPlan, schema: &str) -> Self {
        Self::try_new(plan, &bare(schema), None).unwrap()
    }

    fn read_as(plan: RowPlan, writer: &str, reader: &str) -> Result<Self, String> {
        Self::try_new(plan, &bare(writer), Some(&AvroSchema::alone(reader)))
    }

    fn try_new(plan: RowPlan, framing: &AvroFraming, reader: Option<&AvroSchema>) -> Result<Self, String> {
        let plan = Arc::new(plan);
        let options = AvroOptions { framing: framing.clone(), reader: reader.cloned() };
        let decoder = RecordDecoder::new(&plan, &Format::Avro(options), None)?;
        Ok(Self { decoder, columns: Columns::new(&plan).unwrap() })
    }

    /// Decodes and keeps a record.
    fn push(&mut self, record: impl AsRef<[u8]>) -> Result<(), DecodeError> {
        self.decoder.decode_value(record.as_ref(), &mut self.columns)?;
        self.columns.commit_row(&RowCoordinates { topic: "t", partition: 0, offset: 0, row: 0, replay: 0 });
        Ok(())
    }

    /// The values of all columns, per column.
    fn all_stored(&self) -> Vec<Vec<String>> {
        let block = NativeEncoder::new().encode(&self.columns);
        let columns = test_reader::read_block(&test_reader::decompress(&block.frames));
        columns.into_iter().map(|(_, _, values)| values).collect()
    }

    /// What is stored, columns separated by slashes, values by spaces.
    fn stored(&self) -> String {
        let columns: Vec<_> = self.all_stored().into_iter().map(|values| values.join(" ")).collect();
        columns.join(" / ")
    }
}

/// What is stored of one record, or the code of its error.
fn outcome(table: &mut Table, record: &[u8]) -> String {
    match table.push(record) {
        Ok(()) => table.stored(),
        Err(error) => error.code.to_string(),
    }
}

fn long(value: i64) -> Vec<u8> {
    let mut bytes = Vec::new();
    crate::columns::push_varint(&mut bytes, ((value << 1) ^ (value >> 63)).cast_unsigned());
    bytes
}

/// Bytes behind their length: a text, too.
fn sized(content: impl AsRef<[u8]>) -> Vec<u8> {
    let content = content.as_ref();
    [&long(i64::try_from(content.len()).unwrap()), content].concat()
}
