//! The formats of values and keys, and what stands in front of them.

use std::sync::Arc;

use super::avro::{AvroDecoder, AvroOptions};
use super::csv::{CsvDecoder, CsvOptions};
use super::error::{DecodeError, Fault, Shown};
use super::json::JsonDecoder;
use super::raw::RawDecoder;
use super::record::{Record, Rest};
use super::target::Target;
use crate::columns::{Columns, RowPlan};
use crate::registry::SchemaKey;

/// How the value or the key of a record is written.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Format {
    /// A JSON object.
    Json,
    /// Delimited text.
    Csv(CsvOptions),
    /// Avro by schemas that are given.
    Avro(AvroOptions),
    /// Bytes that are not looked into.
    Raw,
}

/// Which part of a record is decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Value,
    Key,
}

/// Why a decoder did not reach the end of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    Fault(Fault),
    /// The schema is not there yet; nothing is said of the record.
    Awaiting(SchemaKey),
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// A decoder of one format.
#[derive(Debug)]
pub(super) enum ValueDecoder {
    Json(JsonDecoder),
    Csv(CsvDecoder),
    Avro(AvroDecoder),
    Raw(RawDecoder),
}

impl ValueDecoder {
    /// `root` says what becomes of a value.
    pub(super) fn new(plan: &Arc<RowPlan>, root: Target, format: &Format, _part: Part) -> Result<Self, String> {
        Ok(match format {
            Format::Json => Self::Json(JsonDecoder::new(plan, root)),
            Format::Csv(options) => Self::Csv(CsvDecoder::new(plan, &root, options)?),
            Format::Avro(options) => Self::Avro(AvroDecoder::new(plan, &root, options)?),
            Format::Raw => Self::Raw(RawDecoder::new(plan, root)?),
        })
    }

    /// Fills the open row from `bytes`, which are a part of `record`.
    #[inline]
    pub(super) fn decode(
        &mut self,
        bytes: &[u8],
        _record: &Record<'_>,
        rest: &mut Rest,
        columns: &mut Columns,
    ) -> Result<(), Stop> {
        match self {
            Self::Json(decoder) => decoder.decode(bytes, rest, columns)?,
            Self::Csv(decoder) => decoder.decode(bytes, rest, columns)?,
            Self::Avro(decoder) => decoder.decode(bytes, rest, columns)?,
            Self::Raw(decoder) => decoder.decode(bytes, columns)?,
        }
        Ok(())
    }

    /// The error for people. `field` is the column's name and type.
    pub(super) fn explain(&self, fault: Fault, bytes: &[u8], field: Option<(&str, &str)>) -> DecodeError {
        match self {
            Self::Csv(decoder) => decoder.place(fault.explain(bytes, field, Shown::Text)),
            Self::Avro(_) => fault.explain(bytes, field, Shown::Bytes),
            Self::Json(_) | Self::Raw(_) => fault.explain(bytes, field, Shown::Text),
        }
    }
}
