//! Columns to one block in ClickHouse's Native format, compressed.
//!
//! The columns hold their data in Native form already, so this writes headers and copies. The
//! format is that of HTTP (client revision 0): no block info, no custom serialisation.

use bytes::Bytes;

use super::compress::FrameWriter;
use crate::columns::{ColumnBuilder, Columns, DictionaryColumn};

/// The only version of the LowCardinality serialisation that there is.
const DICTIONARY_VERSION: u64 = 1;
/// The block carries its own dictionary values.
const DICTIONARY_HAS_OWN_VALUES: u64 = 1 << 9;
/// The reader starts a new dictionary.
const DICTIONARY_IS_NEW: u64 = 1 << 10;
/// Each row's type stands in a byte of its own.
const VARIANT_BASIC: u64 = 0;
/// Indexes that are narrowed at a time.
const INDEXES_AT_A_TIME: usize = 4096;

/// One column of the body, in its order: what `input('..')` has to name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BodyColumn {
    /// Column name.
    pub name: String,
    /// Type text.
    pub type_text: String,
    /// What makes the table's value of the block's, where that is not the same.
    pub conversion: Option<String>,
    /// For a presence flag: the column (counted as in `RowPlan::columns`) whose default the server
    /// evaluates where the flag is 0.
    pub presence_of: Option<usize>,
}

/// The compressed body of one insert.
#[derive(Debug, Clone)]
pub struct NativeBlock {
    /// Compressed frames, in order.
    pub frames: Vec<Bytes>,
    /// The columns, in order.
    pub body_columns: Vec<BodyColumn>,
    /// Rows in the block.
    pub rows: usize,
    /// Bytes before compression.
    pub raw_bytes: usize,
    /// Bytes of all frames.
    pub compressed_bytes: usize,
}

/// Encodes blocks; keeps its buffers (about 2 MiB) between them.
#[derive(Debug)]
pub struct NativeEncoder {
    writer: FrameWriter,
    small: Vec<u8>,
}

impl Default for NativeEncoder {
    fn default() -> Self {
        Self::new()
    }
}

impl NativeEncoder {
    /// An encoder with its buffers.
    pub fn new() -> Self {
        Self { writer: FrameWriter::new(), small: Vec::new() }
    }

    /// Encodes all committed rows as one block. The columns stay as they are.
    ///
    /// # Panics
    /// Where a decoded row was neither committed nor rolled back.
    pub fn encode(&mut self, columns: &Columns) -> NativeBlock {
        assert!(!columns.row_is_open(), "a decoded row is committed or rolled back before the block is encoded");
        let plan = columns.plan();
        let present = |index: &usize| !columns.presences[*index].flags.is_empty();
        let flags: Vec<usize> = (0..plan.presences.len()).filter(present).collect();
        let column_count = plan.columns.len() + columns.coordinates.len() + flags.len();

        self.write_varint(column_count);
        self.write_varint(columns.rows());
        let mut body_columns = Vec::with_capacity(column_count);
        for (spec, column) in plan.columns.iter().zip(columns.data_builders()) {
            let header = self.write_header(&spec.name, spec.body_type(), None);
            let conversion = spec.conversion.as_ref().and_then(|conversion| conversion.expression.clone());
            body_columns.push(BodyColumn { conversion, ..header });
            self.write_column(column, columns.rows());
        }
        for (spec, column) in plan.coordinates.iter().zip(&columns.coordinates) {
            body_columns.push(self.write_header(&spec.name, &spec.type_text, None));
            self.write_column(column, columns.rows());
        }
        for flag in flags {
            let spec = &plan.presences[flag];
            body_columns.push(self.write_header(&spec.name, "UInt8", Some(spec.column)));
            self.writer.write(&columns.presences[flag].flags);
        }
        let (frames, raw_bytes) = self.writer.finish();
        NativeBlock {
            compressed_bytes: frames.iter().map(Bytes::len).sum(),
            frames,
            body_columns,
            rows: columns.rows(),
            raw_bytes,
        }
    }

    fn write_header(&mut self, name: &str, type_text: &str, presence_of: Option<usize>) -> BodyColumn {
        for text in [name, type_text] {
            self.write_varint(text.len());
            self.writer.write(text.as_bytes());
        }
        BodyColumn { name: name.to_owned(), type_text: type_text.to_owned(), conversion: None, presence_of }
    }

    fn write_column(&mut self, column: &ColumnBuilder, rows: usize) {
        if rows > 0 {
            self.write_prefix(column);
            self.write_data(column);
        }
    }

    /// All dictionary versions of a column, and how it tells the types of its rows, come before all of its data.
    fn write_prefix(&mut self, column: &ColumnBuilder) {
        match column {
            ColumnBuilder::Fixed(_)
            | ColumnBuilder::String(_)
            | ColumnBuilder::Nullable(_)
            | ColumnBuilder::Json(_) => {}
            ColumnBuilder::Dictionary(_) => self.write_u64(DICTIONARY_VERSION),
            ColumnBuilder::Array(column) => self.write_prefix(&column.values),
            ColumnBuilder::Map(column) => {
                self.write_prefix(&column.keys);
                self.write_prefix(&column.values);
            }
            ColumnBuilder::Tuple(column) => {
                for field in &column.fields {
                    self.write_prefix(field);
                }
            }
            ColumnBuilder::Variant(column) => {
                self.write_u64(VARIANT_BASIC);
                for values in &column.values {
                    self.write_prefix(values);
                }
            }
        }
    }

    fn write_data(&mut self, column: &ColumnBuilder) {
        match column {
            ColumnBuilder::Fixed(column) => self.writer.write(&column.data),
            ColumnBuilder::String(column) => self.writer.write(&column.data),
            ColumnBuilder::Dictionary(column) => self.write_dictionary(column),
            ColumnBuilder::Nullable(column) => {
                self.writer.write(&column.nulls);
                self.write_data(&column.values);
            }
            ColumnBuilder::Array(column) => {
                self.writer.write(&column.offsets.data);
                self.write_data(&column.values);
            }
            ColumnBuilder::Map(column) => {
                self.writer.write(&column.offsets.data);
                self.write_data(&column.keys);
                self.write_data(&column.values);
            }
            ColumnBuilder::Tuple(column) => {
                for field in &column.fields {
                    self.write_data(field);
                }
            }
            ColumnBuilder::Variant(column) => {
                self.writer.write(&column.discriminators);
                for values in &column.values {
                    self.write_data(values);
                }
            }
            ColumnBuilder::Json(column) => self.writer.write(&column.text.data),
        }
    }

    fn write_dictionary(&mut self, column: &DictionaryColumn) {
        if column.indexes.is_empty() {
            return;
        }
        let width = index_width(column.value_count());
        let width_code = match width {
            1 => 0,
            2 => 1,
            _ => 2,
        };
        self.write_u64(width_code | DICTIONARY_HAS_OWN_VALUES | DICTIONARY_IS_NEW);
        self.write_u64(column.value_count() as u64);
        self.writer.write(column.values.leaf_data());
        self.write_u64(column.indexes.len() as u64);
        for indexes in column.indexes.chunks(INDEXES_AT_A_TIME) {
            self.small.clear();
            let indexes = indexes.iter().map(|index| index.to_le_bytes());
            match width {
                1 => self.small.extend(indexes.map(|[low, ..]| low)),
                2 => self.small.extend(indexes.flat_map(|[low, high, ..]| [low, high])),
                _ => self.small.extend(indexes.flatten()),
            }
            self.writer.write(&self.small);
        }
    }

    fn write_varint(&mut self, value: usize) {
        self.small.clear();
        crate::columns::push_varint(&mut self.small, value as u64);
        self.writer.write(&self.small);
    }

    fn write_u64(&mut self, value: u64) {
        self.writer.write(&value.to_le_bytes());
    }
}

/// Bytes of an index into this many values.
fn index_width(values: usize) -> usize {
    match values {
        0..=0x100 => 1,
        0x101..=0x1_0000 => 2,
        _ => 4,
    }
}
