//! Tests of the JSON decoder: what each column type takes, and what a record may look like.

mod around;
mod nested;
mod properties;
mod records;
mod rows;
mod special;
mod values;

use std::sync::Arc;

use crate::block::native::NativeEncoder;
use crate::block::test_reader;
use crate::columns::{ColumnSpec, Columns, CoordinateKind, CoordinateSpec, DefaultValue, RowCoordinates, RowPlan};
use crate::decode::{DecodeError, RecordDecoder};

/// A plan of columns with the types' own defaults and an `_offset`.
fn plan(columns: &[(&str, &str)]) -> Arc<RowPlan> {
    let columns: Vec<_> = columns.iter().map(|(name, text)| (*name, *text, DefaultValue::TypeZero)).collect();
    plan_with_defaults(&columns)
}

fn plan_with_defaults(columns: &[(&str, &str, DefaultValue)]) -> Arc<RowPlan> {
    let columns =
        columns.iter().map(|(name, text, default)| ColumnSpec::new(*name, *text, default.clone()).unwrap()).collect();
    let offset = CoordinateSpec::new(CoordinateKind::Offset, "_offset", "UInt64").unwrap();
    Arc::new(RowPlan::new(columns, vec![offset], "UTC").unwrap())
}

/// A table that records are decoded into.
struct Table {
    decoder: RecordDecoder,
    columns: Columns,
    encoder: NativeEncoder,
}

impl Table {
    fn new(plan: &Arc<RowPlan>) -> Self {
        Self { decoder: RecordDecoder::json(plan), columns: Columns::new(plan).unwrap(), encoder: NativeEncoder::new() }
    }

    /// Decodes and keeps a record; its offset is the row's number.
    fn push(&mut self, record: impl AsRef<[u8]>) -> Result<(), DecodeError> {
        let offset = i64::try_from(self.columns.rows()).unwrap();
        self.push_at(record, offset)
    }

    fn push_at(&mut self, record: impl AsRef<[u8]>, offset: i64) -> Result<(), DecodeError> {
        self.decoder.decode_value(record.as_ref(), &mut self.columns)?;
        self.columns.commit_row(&RowCoordinates { topic: "t", partition: 0, offset, row: 0, replay: 0 });
        Ok(())
    }

    fn raw_block(&mut self) -> Vec<u8> {
        let block = self.encoder.encode(&self.columns);
        let raw = test_reader::decompress(&block.frames);
        assert_eq!(raw.len(), block.raw_bytes);
        raw
    }

    /// The values of a column, separated by spaces.
    fn stored(&mut self, name: &str) -> String {
        let raw = self.raw_block();
        let columns = test_reader::read_block(&raw);
        let column = columns.into_iter().find(|(found, ..)| found == name);
        column.map_or("no column".into(), |(_, _, values)| values.join(" "))
    }
}
