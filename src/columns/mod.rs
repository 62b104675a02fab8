//! Typed column builders of one open block.
//!
//! Takes the target table's columns as a [`RowPlan`], gives a [`Columns`] that decoders append one
//! row at a time to. Every column keeps its data in the form that ClickHouse's Native format sends
//! (little-endian values, length-prefixed strings, null maps, array offsets), so that encoding a
//! block is copying and compressing.
//!
//! Promises that a row is in all columns or in none: a row that fails is rolled back everywhere,
//! whatever had been appended. Never allocates per row once the buffers have grown, and never
//! knows where a row came from.

mod builder;
mod constant;
mod conversion;
mod dictionary;
mod dynamic;
mod fixed;
mod limit;
mod plan;
mod row_bytes;
mod rows;
mod source;
mod type_parser;
mod type_text;
mod types;
mod value;
mod variant;
mod zone;

pub(crate) use builder::{
    ArrayColumn, ColumnBuilder, JsonColumn, KeyBuffers, MapColumn, StringColumn, TupleColumn, push_varint,
};
pub use conversion::Conversion;
pub(crate) use dictionary::DictionaryColumn;
pub(crate) use dynamic::DynamicKind;
pub(crate) use fixed::{FixedColumn, FixedKind};
pub use plan::{Carried, Changes, ColumnSpec, CoordinateKind, CoordinateSpec, DefaultValue, PlanError, RowPlan};
pub(crate) use row_bytes::append_open_row;
pub use rows::{Columns, RowCoordinates};
pub use source::{OnError, Path, Source, Step, TimeUnit, UnknownFields};
pub use types::{ColumnType, EnumNames, TupleField, UnsupportedType};
pub use value::Value;
pub(crate) use variant::VariantColumn;
pub(crate) use zone::Zone;
