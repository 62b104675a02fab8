//! The formats of values and keys, and what stands in front of them.

use std::sync::Arc;

use super::avro::{AvroDecoder, AvroOptions, AvroSchema};
use super::csv::{CsvDecoder, CsvOptions};
use super::error::{DecodeError, Fault, SeekFault, Shown};
use super::json::{JsonDecoder, RowCursor};
use super::protobuf::{DelimitedDecoder, ProtobufDecoder, ProtobufSchema};
use super::raw::RawDecoder;
use super::record::{Record, Rest};
use super::registered::{Language, RegisteredDecoder, Registry, prefix};
use super::target::Target;
use crate::columns::{Columns, RowPlan};
use crate::config::Records;
use crate::registry::SchemaKey;

/// How the value or the key of a record is written.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Format {
    /// A JSON object.
    Json,
    /// A JSON object with a schema's id in front of it, which says nothing that is needed to read it.
    FramedJson,
    /// Avro by schemas that are given.
    Avro(AvroOptions),
    /// Avro whose schemas the registry knows, read as another one where one is given.
    RegisteredAvro(Registry, Option<AvroSchema>),
    /// Protobuf of this message.
    Protobuf(ProtobufSchema, String),
    /// The same, each message with its length in front; a record may hold several.
    DelimitedProtobuf(ProtobufSchema, String),
    /// Protobuf whose schemas the registry knows.
    RegisteredProtobuf(Registry),
    /// Delimited text.
    Csv(CsvOptions),
    /// Bytes that are not looked into.
    Raw,
}

impl Format {
    /// The schema that a record's value names, where it names one of a registry.
    pub fn schema_of_value(&self, record: &Record<'_>) -> Option<SchemaKey> {
        self.registry()?.schema_named(record.value?, record.headers, Part::Value)
    }

    /// The same of a record's key.
    pub fn schema_of_key(&self, record: &Record<'_>) -> Option<SchemaKey> {
        self.registry()?.schema_named(record.key?, record.headers, Part::Key)
    }

    fn registry(&self) -> Option<&Registry> {
        match self {
            Self::RegisteredAvro(registry, _) | Self::RegisteredProtobuf(registry) => Some(registry),
            _ => None,
        }
    }
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
    /// There is null where the row should be.
    NoValue,
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
    FramedJson(JsonDecoder),
    Avro(AvroDecoder),
    Protobuf(ProtobufDecoder),
    Delimited(DelimitedDecoder),
    Registered(Box<RegisteredDecoder>),
    Csv(CsvDecoder),
    Raw(RawDecoder),
}

impl ValueDecoder {
    /// `root` says what becomes of a value.
    pub(super) fn new(plan: &Arc<RowPlan>, root: Target, format: &Format, part: Part) -> Result<Self, String> {
        Ok(match format {
            Format::Json => Self::Json(JsonDecoder::new(plan, root, part)),
            Format::FramedJson => Self::FramedJson(JsonDecoder::new(plan, root, part)),
            Format::Avro(options) => Self::Avro(AvroDecoder::new(plan, &root, options)?),
            Format::RegisteredAvro(registry, reader) => {
                let language = Language::Avro(reader.clone());
                Self::Registered(Box::new(RegisteredDecoder::new(plan, root, registry, language, part)))
            }
            Format::Protobuf(schema, message) => {
                Self::Protobuf(ProtobufDecoder::new(plan, &root, &schema.message(message)?)?)
            }
            Format::DelimitedProtobuf(schema, message) => {
                let messages = ProtobufDecoder::new(plan, &root, &schema.message(message)?)?;
                Self::Delimited(DelimitedDecoder::new(messages))
            }
            Format::RegisteredProtobuf(registry) => {
                Self::Registered(Box::new(RegisteredDecoder::new(plan, root, registry, Language::Protobuf, part)))
            }
            Format::Csv(options) => Self::Csv(CsvDecoder::new(plan, &root, options)?),
            Format::Raw => Self::Raw(RawDecoder::new(plan, root)?),
        })
    }

    /// Fills the open row from `bytes`, which are a part of `record`.
    #[inline]
    pub(super) fn decode(
        &mut self,
        bytes: &[u8],
        record: &Record<'_>,
        rest: &mut Rest,
        columns: &mut Columns,
    ) -> Result<(), Stop> {
        match self {
            Self::Json(decoder) => decoder.decode(bytes, 0, rest, columns)?,
            Self::FramedJson(decoder) => {
                let (_, at) = prefix(bytes)?;
                decoder.decode(bytes, at, rest, columns)?;
            }
            Self::Avro(decoder) => decoder.decode(bytes, rest, columns)?,
            Self::Protobuf(decoder) => decoder.decode(bytes, rest, columns)?,
            Self::Delimited(decoder) => decoder.decode(bytes, rest, columns)?,
            Self::Registered(decoder) => decoder.decode(bytes, record.headers, rest, columns)?,
            Self::Csv(decoder) => decoder.decode(bytes, rest, columns)?,
            Self::Raw(decoder) => decoder.decode(bytes, columns)?,
        }
        Ok(())
    }

    /// Makes it one of JSON records that hold so many objects.
    pub(super) fn expect_records(&mut self, plan: &RowPlan, records: &Records) {
        if let Self::Json(decoder) | Self::FramedJson(decoder) = self {
            decoder.expect_records(plan, records);
        }
    }

    /// Goes to the next row of a record; false where there is none left. Of formats that have one there is one.
    pub(super) fn seek_row(&mut self, bytes: &[u8], cursor: &mut RowCursor) -> Result<bool, SeekFault> {
        match self {
            Self::Json(decoder) => decoder.seek_row(bytes, 0, cursor),
            Self::FramedJson(decoder) => {
                let (_, at) = prefix(bytes)?;
                decoder.seek_row(bytes, at, cursor)
            }
            Self::Delimited(decoder) => Ok(decoder.seek_row(bytes, cursor)?),
            Self::Avro(_) | Self::Protobuf(_) | Self::Registered(_) | Self::Csv(_) | Self::Raw(_) => {
                Ok(cursor.rows() == 0)
            }
        }
    }

    /// Fills the open row from the row of `bytes` at the cursor.
    pub(super) fn decode_row(
        &mut self,
        bytes: &[u8],
        record: &Record<'_>,
        cursor: &mut RowCursor,
        rest: &mut Rest,
        columns: &mut Columns,
    ) -> Result<(), Stop> {
        match self {
            Self::Json(decoder) | Self::FramedJson(decoder) => decoder.decode_row(bytes, cursor, rest, columns),
            Self::Delimited(decoder) => Ok(decoder.decode_row(bytes, cursor, rest, columns)?),
            Self::Avro(_) | Self::Protobuf(_) | Self::Registered(_) | Self::Csv(_) | Self::Raw(_) => {
                self.decode(bytes, record, rest, columns)
            }
        }
    }

    /// The error for people. `field` is the column's name and type.
    pub(super) fn explain(&self, fault: Fault, bytes: &[u8], field: Option<(&str, &str)>) -> DecodeError {
        let shown = match self {
            Self::Json(_) | Self::Csv(_) | Self::Raw(_) => Shown::Text,
            Self::FramedJson(_) | Self::Avro(_) | Self::Protobuf(_) | Self::Delimited(_) | Self::Registered(_) => {
                Shown::Bytes
            }
        };
        let error = fault.explain(bytes, field, shown);
        match self {
            Self::Csv(decoder) => decoder.place(error),
            Self::Registered(decoder) => decoder.explain(error),
            Self::Json(_)
            | Self::FramedJson(_)
            | Self::Avro(_)
            | Self::Protobuf(_)
            | Self::Delimited(_)
            | Self::Raw(_) => error,
        }
    }
}
