//! Why a record could not become a row.

use std::fmt;

/// How a piece of a record is repeated in a reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shown {
    /// As text.
    Text,
    /// As hexadecimal digits.
    Bytes,
}

impl Shown {
    /// The longest piece.
    fn bytes_max(self) -> usize {
        match self {
            Self::Text => 60,
            Self::Bytes => 16,
        }
    }

    fn excerpt(self, piece: &[u8]) -> String {
        match self {
            Self::Text => format!("{:?}", String::from_utf8_lossy(piece)),
            Self::Bytes if piece.is_empty() => "the end".to_owned(),
            Self::Bytes => piece.iter().fold("0x".to_owned(), |text, byte| text + &format!("{byte:02x}")),
        }
    }
}

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
    /// The record is no object: neither a JSON object nor anything else with fields.
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
    /// The same, where it is known to be below the range; reported as `out_of_range`.
    BelowRange,
    /// A number with a fraction or an exponent, for an integer column.
    NotAnInteger,
    /// A text that is not a number, for a number column.
    InvalidNumber,
    /// A text that is not a date or a time.
    InvalidTime,
    /// A time of day other than midnight, for a column of dates; reported as `invalid_time`.
    TimeOfDay,
    /// A text that is not a UUID.
    InvalidUuid,
    /// A text that is not an address.
    InvalidAddress,
    /// A name or value that the enum lacks.
    UnknownEnumValue,
    /// A text longer than the column's `FixedString`.
    TooLong,
    /// The record does not begin as its framing says.
    InvalidFraming,
    /// No schema is known by what the record names.
    UnknownSchema,
    /// The schema is there, and cannot be used.
    UnusableSchema,
    /// The record is not Avro by its schema.
    InvalidAvro,
    /// The record is not Protobuf by its schema.
    InvalidProtobuf,
    /// The record seems to have lengths in front of messages that nobody spoke of; reported as `invalid_framing`.
    LengthInFront,
    /// No field of the record is one of the schema; reported as `invalid_protobuf`.
    NoKnownField,
    /// The first field of the record has another wire type than the schema says; reported as `invalid_protobuf`.
    OtherWireType,
    /// The record holds several messages where one is to be; reported as `too_many_rows`.
    SeveralMessages,
    /// The record is not CSV as configured.
    InvalidCsv,
    /// A field that no column takes, where such fields are refused.
    UnknownField,
    /// The record is no change event.
    InvalidEnvelope,
    /// The record has no `payload` where that is to be the row; reported as `invalid_envelope`.
    NoPayload,
    /// A change without the row as it is now; reported as `invalid_envelope`.
    NoAfter,
    /// A deletion without the row as it was; reported as `invalid_envelope`.
    NoBefore,
    /// A deletion that does not say of which key; reported as `invalid_envelope`.
    NoKey,
    /// A value without the parts that a column is filled from, as a text for an object; reported as `type_mismatch`.
    NoParts,
    /// A placeholder for a value that the source did not send.
    Unavailable,
    /// JSON, but no list, where the rows of a record are to be.
    NotAList,
    /// The record makes more rows than a block takes.
    TooManyRows,
    /// The rows of the record take too many bytes of what is around them again and again.
    TooMuchRepeated,
    /// No route takes the record.
    Unrouted,
    /// The record has fields that would need more columns than the table may have.
    TooManyColumns,
}

impl ErrorCode {
    /// Every word of [`ErrorCode::as_str`], by one code each, for tables of metrics and documents.
    pub const ALL: [Self; 30] = [
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
        Self::InvalidFraming,
        Self::UnknownSchema,
        Self::UnusableSchema,
        Self::InvalidAvro,
        Self::InvalidProtobuf,
        Self::InvalidCsv,
        Self::UnknownField,
        Self::InvalidEnvelope,
        Self::NotAList,
        Self::TooManyRows,
        Self::TooMuchRepeated,
        Self::Unrouted,
        Self::TooManyColumns,
        Self::Unavailable,
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
            Self::TypeMismatch | Self::NoParts => "type_mismatch",
            Self::OutOfRange | Self::BelowRange => "out_of_range",
            Self::NotAnInteger => "not_an_integer",
            Self::InvalidNumber => "invalid_number",
            Self::InvalidTime | Self::TimeOfDay => "invalid_time",
            Self::InvalidUuid => "invalid_uuid",
            Self::InvalidAddress => "invalid_address",
            Self::UnknownEnumValue => "unknown_enum_value",
            Self::TooLong => "too_long",
            Self::InvalidFraming | Self::LengthInFront => "invalid_framing",
            Self::UnknownSchema => "unknown_schema",
            Self::UnusableSchema => "unusable_schema",
            Self::InvalidAvro => "invalid_avro",
            Self::InvalidProtobuf | Self::NoKnownField | Self::OtherWireType => "invalid_protobuf",
            Self::InvalidCsv => "invalid_csv",
            Self::UnknownField => "unknown_field",
            Self::InvalidEnvelope | Self::NoPayload | Self::NoAfter | Self::NoBefore | Self::NoKey => {
                "invalid_envelope"
            }
            Self::Unavailable => "unavailable_value",
            Self::NotAList => "not_a_list",
            Self::TooManyRows | Self::SeveralMessages => "too_many_rows",
            Self::TooMuchRepeated => "too_much_repeated",
            Self::Unrouted => "unrouted",
            Self::TooManyColumns => "too_many_columns",
        }
    }

    /// What is out of range, told apart by the side on which it is.
    #[inline]
    pub(crate) fn of_sign(self, below: bool) -> Self {
        if below && self == Self::OutOfRange { Self::BelowRange } else { self }
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
            | Self::DuplicateKey
            | Self::InvalidFraming
            | Self::UnknownSchema
            | Self::UnusableSchema
            | Self::InvalidAvro
            | Self::InvalidProtobuf
            | Self::LengthInFront
            | Self::NoKnownField
            | Self::OtherWireType
            | Self::SeveralMessages
            | Self::InvalidCsv
            | Self::UnknownField
            | Self::InvalidEnvelope
            | Self::NoPayload
            | Self::NoAfter
            | Self::NoBefore
            | Self::NoKey
            | Self::NotAList
            | Self::TooManyRows
            | Self::TooMuchRepeated
            | Self::TooManyColumns
            | Self::Unrouted => Stage::Decode,
            Self::TypeMismatch
            | Self::NoParts
            | Self::Unavailable
            | Self::OutOfRange
            | Self::BelowRange
            | Self::NotAnInteger
            | Self::InvalidNumber
            | Self::InvalidTime
            | Self::TimeOfDay
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
            Self::NotAnObject => "the record is not an object",
            Self::TooDeep => "brackets nest too deeply",
            Self::TrailingData => "bytes follow the record",
            Self::DuplicateKey => "the key occurs twice",
            Self::TypeMismatch => "not a kind of value that the column takes",
            Self::OutOfRange | Self::BelowRange => "outside the range of the column",
            Self::NotAnInteger => "not an integer",
            Self::InvalidNumber => "not a number",
            Self::InvalidTime => "not a date or time that the column takes",
            Self::TimeOfDay => "has a time of day, which the column would lose",
            Self::InvalidUuid => "not a uuid",
            Self::InvalidAddress => "not an ip address",
            Self::UnknownEnumValue => "not a value of the enum",
            Self::TooLong => "longer than the column",
            Self::InvalidFraming => "the record does not begin as its framing says",
            Self::UnknownSchema => "no such schema is known",
            Self::UnusableSchema => "the schema cannot be used",
            Self::InvalidAvro => "not avro by its schema",
            Self::InvalidProtobuf => "not protobuf by its schema",
            Self::LengthInFront => {
                "it seems to be messages with their length in front, which `protobuf: { framing: length }` reads"
            }
            Self::NoKnownField => {
                "the schema has none of its fields; is it another message, or is there something in front of it?"
            }
            Self::OtherWireType => {
                "the first field has another wire type than the schema says; is it another message, or is there something \
                 in front of it?"
            }
            Self::SeveralMessages => "another message follows; with a column `row` in `coordinates` each makes a row",
            Self::InvalidCsv => "not csv as configured",
            Self::UnknownField => "no column takes this field",
            Self::NotAList => "not a json list, where the rows are to be",
            Self::TooManyRows => "the record makes too many rows",
            Self::TooMuchRepeated => "the rows repeat more than 64 MiB of what is around them",
            Self::Unrouted => "no route takes the record",
            Self::TooManyColumns => "the table may have no more columns",
            Self::NoParts => "not the object or list that the path of the column goes through",
            Self::Unavailable => {
                "a placeholder for a value that the source did not send; let it send the value (Postgres: REPLICA IDENTITY \
                 FULL), or say with `on_error` of the column what is stored"
            }
            Self::NoAfter => {
                "`after`, the row as it is now, is missing, null or has no field of the table; let the source send it: \
                 REPLICA IDENTITY FULL (Postgres), binlog_row_image=FULL (MySQL), capture.mode=change_streams_update_full \
                 (MongoDB)"
            }
            Self::NoBefore => {
                "`before`, the row that was deleted, is missing, null or has no field of the table; let the source send it: \
                 REPLICA IDENTITY FULL (Postgres), binlog_row_image=FULL (MySQL), pre-images and a capture.mode with \
                 pre_image (MongoDB); or fill the columns of the sorting key `from: $key..`"
            }
            Self::NoKey => {
                "a deletion that does not say which row is deleted: fill the columns of the sorting key `from: $key..`, and \
                 let the source send keys"
            }
            Self::NoPayload => "no `payload`, which `envelope: connect` takes for the row",
            Self::InvalidEnvelope => "not a change event: `op` is none of c, r, u, d, t, m",
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
    /// The schema that the record names, where it names one by a number.
    pub schema_id: Option<u32>,
}

impl DecodeError {
    /// The same error, said to be in a part beside the record's value.
    pub(crate) fn within(mut self, part: &str) -> Self {
        self.reason = format!("{part}: {}", self.reason);
        self
    }

    /// The same error, said to be in one of the record's rows.
    pub(crate) fn within_row(self, row: u64) -> Self {
        self.within(&format!("row {row}"))
    }

    /// The error of a record that no route takes, or of such a row of it.
    pub(crate) fn unrouted(row: Option<u64>) -> Self {
        let code = ErrorCode::Unrouted;
        let error = Self { code, field: None, reason: code.explanation().to_owned(), schema_id: None };
        match row {
            Some(row) => error.within_row(row),
            None => error,
        }
    }

    /// The error of a record with fields that cannot become columns, the first of them named.
    pub(crate) fn of_new_fields(code: ErrorCode, field: &str, why: &str) -> Self {
        let reason = format!("{}: {why}", code.explanation());
        Self { code, field: Some(field.to_owned()), reason, schema_id: None }
    }

    /// The error of a record whose rows take too much of what is around them again.
    pub(crate) fn too_much_repeated() -> Self {
        let code = ErrorCode::TooMuchRepeated;
        Self { code, field: None, reason: code.explanation().to_owned(), schema_id: None }
    }

    /// The error of a record that makes more than so many rows.
    pub(crate) fn too_many_rows(most: u64) -> Self {
        let code = ErrorCode::TooManyRows;
        let reason = format!("{}: more than {most}, half of `batch.rows_max`", code.explanation());
        Self { code, field: None, reason, schema_id: None }
    }
}

/// An error inside a decoder: small, because every value returns one or nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) code: ErrorCode,
    /// Byte of the record at which the bad value or syntax begins.
    pub(crate) at: usize,
}

/// A fault that is found before there is a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SeekFault {
    pub(crate) fault: Fault,
    /// The column whose value it is about, if it is about one.
    pub(crate) column: Option<usize>,
}

impl From<Fault> for SeekFault {
    fn from(fault: Fault) -> Self {
        Self { fault, column: None }
    }
}

impl Fault {
    /// The error for people. `field` is the column's name and type.
    #[cold]
    pub(crate) fn explain(self, record: &[u8], field: Option<(&str, &str)>, shown: Shown) -> DecodeError {
        let start = self.at.min(record.len());
        let end = record.len().min(start + shown.bytes_max());
        let excerpt = shown.excerpt(&record[start..end]);
        let more = if end < record.len() { ".." } else { "" };
        let place = match field {
            Some((name, type_text)) => format!("field {name} ({type_text}): "),
            None => String::new(),
        };
        let taken = match (self.code, field) {
            (ErrorCode::InvalidTime, Some((_, type_text))) => times_taken(type_text),
            _ => "",
        };
        let reason = format!("{place}{} at byte {start}: {excerpt}{more}{taken}", self.code.explanation());
        DecodeError { code: self.code, field: field.map(|(name, _)| name.to_owned()), reason, schema_id: None }
    }
}

/// What a column takes that did not take a time; all of it is in `docs/values.md`.
fn times_taken(type_text: &str) -> &'static str {
    match type_text {
        text if text.contains("DateTime") => {
            "; it takes ISO 8601, as 2026-01-31T10:00:00.5+02:00 or 20260131T100000Z, and numbers since 1970"
        }
        text if text.contains("Date") => "; it takes ISO 8601, as 2026-01-31 or 20260131",
        text if text.contains("Time") => {
            "; it takes hours, minutes and seconds, as 13:45:00.5, and a number of seconds"
        }
        _ => "",
    }
}
