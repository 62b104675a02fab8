//! Why a record could not become a row.

use std::fmt;

/// Longest piece of a record that is repeated in a reason.
const EXCERPT_BYTES_MAX: usize = 60;

/// In which step a record failed; part of a dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The record is not what its format says.
    Decode,
    /// The record is well formed, but a value does not fit its column.
    Convert,
}

impl Stage {
    /// Stable name, for dead letters.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Decode => "decode",
            Self::Convert => "convert",
        }
    }
}

/// What kind of error it was: stable, and of bounded number, so that metrics can be labelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorCode {
    /// The record has no bytes.
    Empty,
    /// The record is not UTF-8.
    InvalidUtf8,
    /// The record is not JSON by RFC 8259.
    InvalidJson,
    /// The record is JSON, but not an object.
    NotAnObject,
    /// Brackets nest deeper than the limit.
    TooDeep,
    /// Bytes follow the object.
    TrailingData,
    /// A field that has a column occurs twice.
    DuplicateKey,
    /// A value of a kind that the column does not take, as a list for a number.
    TypeMismatch,
    /// A number, date or time outside the range of the column.
    OutOfRange,
    /// A number with a fraction or an exponent, for an integer column.
    NotAnInteger,
    /// A text that is not a number, for a number column.
    InvalidNumber,
    /// A text that is not a date or a time.
    InvalidTime,
    /// A text that is not a UUID.
    InvalidUuid,
    /// A text that is not an address.
    InvalidAddress,
    /// A name or value that the enum lacks.
    UnknownEnumValue,
    /// A text longer than the column's `FixedString`.
    TooLong,
}

impl ErrorCode {
    /// Every code, for tables of metrics and documents.
    pub const ALL: [Self; 16] = [
        Self::Empty,
        Self::InvalidUtf8,
        Self::InvalidJson,
        Self::NotAnObject,
        Self::TooDeep,
        Self::TrailingData,
        Self::DuplicateKey,
        Self::TypeMismatch,
        Self::OutOfRange,
        Self::NotAnInteger,
        Self::InvalidNumber,
        Self::InvalidTime,
        Self::InvalidUuid,
        Self::InvalidAddress,
        Self::UnknownEnumValue,
        Self::TooLong,
    ];

    /// Stable name, for metrics and dead letters.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::InvalidUtf8 => "invalid_utf8",
            Self::InvalidJson => "invalid_json",
            Self::NotAnObject => "not_an_object",
            Self::TooDeep => "too_deep",
            Self::TrailingData => "trailing_data",
            Self::DuplicateKey => "duplicate_key",
            Self::TypeMismatch => "type_mismatch",
            Self::OutOfRange => "out_of_range",
            Self::NotAnInteger => "not_an_integer",
            Self::InvalidNumber => "invalid_number",
            Self::InvalidTime => "invalid_time",
            Self::InvalidUuid => "invalid_uuid",
            Self::InvalidAddress => "invalid_address",
            Self::UnknownEnumValue => "unknown_enum_value",
            Self::TooLong => "too_long",
        }
    }

    /// The step that the error belongs to.
    pub fn stage(self) -> Stage {
        match self {
            Self::Empty
            | Self::InvalidUtf8
            | Self::InvalidJson
            | Self::NotAnObject
            | Self::TooDeep
            | Self::TrailingData
            | Self::DuplicateKey => Stage::Decode,
            Self::TypeMismatch
            | Self::OutOfRange
            | Self::NotAnInteger
            | Self::InvalidNumber
            | Self::InvalidTime
            | Self::InvalidUuid
            | Self::InvalidAddress
            | Self::UnknownEnumValue
            | Self::TooLong => Stage::Convert,
        }
    }

    fn explanation(self) -> &'static str {
        match self {
            Self::Empty => "the record has no bytes",
            Self::InvalidUtf8 => "the record is not utf-8",
            Self::InvalidJson => "not json",
            Self::NotAnObject => "the record is not a json object",
            Self::TooDeep => "brackets nest too deeply",
            Self::TrailingData => "bytes follow the object",
            Self::DuplicateKey => "the key occurs twice",
            Self::TypeMismatch => "not a kind of value that the column takes",
            Self::OutOfRange => "outside the range of the column",
            Self::NotAnInteger => "not an integer",
            Self::InvalidNumber => "not a number",
            Self::InvalidTime => "not a date or time that the column takes",
            Self::InvalidUuid => "not a uuid",
            Self::InvalidAddress => "not an ip address",
            Self::UnknownEnumValue => "not a value of the enum",
            Self::TooLong => "longer than the column",
        }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a record could not become a row.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct DecodeError {
    /// What kind of error.
    pub code: ErrorCode,
    /// The column whose value was being read, if one was.
    pub field: Option<String>,
    /// What is wrong, where, and a piece of the record.
    pub reason: String,
}

/// An error inside a decoder: small, because every value returns one or nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) code: ErrorCode,
    /// Byte of the record at which the bad value or syntax begins.
    pub(crate) at: usize,
}

impl Fault {
    /// The error for people. `field` is the column's name and type.
    #[cold]
    pub(crate) fn explain(self, record: &[u8], field: Option<(&str, &str)>) -> DecodeError {
        let start = self.at.min(record.len());
        let end = record.len().min(start + EXCERPT_BYTES_MAX);
        let excerpt = String::from_utf8_lossy(&record[start..end]);
        let more = if end < record.len() { ".." } else { "" };
        let place = match field {
            Some((name, type_text)) => format!("field {name} ({type_text}): "),
            None => String::new(),
        };
        let reason = format!("{place}{} at byte {start}: {excerpt:?}{more}", self.code.explanation());
        DecodeError { code: self.code, field: field.map(|(name, _)| name.to_owned()), reason }
    }
}
