//! Records to columns.
//!
//! Takes the bytes of one record, appends one row to [`crate::columns::Columns`], or says why it
//! cannot: then the row has been rolled back in every column, and the record becomes a dead
//! letter. Never builds a tree, never keeps a record, and never changes a value in silence: a
//! number that does not fit is an error, not a wrap.

mod avro;
mod connect;
mod csv;
mod drift;
mod envelope;
mod error;
mod format;
mod json;
mod number;
mod protobuf;
mod raw;
mod record;
mod registered;
mod target;
mod text;
mod time;
mod time_text;
mod typed;
mod unavailable;

pub use avro::{AvroFraming, AvroOptions, AvroSchema};
pub use csv::CsvOptions;
pub use drift::NewColumn;
pub use error::{DecodeError, ErrorCode, Stage};
pub use format::Format;
pub use json::RowCursor;
#[cfg(test)]
pub(crate) use json::append_json_text;
pub use protobuf::ProtobufSchema;
pub use record::{Headers, Record, RecordDecoder, Undecoded};
pub use registered::Registry;

#[cfg(test)]
mod tests_carried;
#[cfg(test)]
mod tests_changes;
#[cfg(test)]
mod tests_drift;
#[cfg(test)]
mod tests_formats;
#[cfg(test)]
mod tests_images;
#[cfg(test)]
mod tests_record;
