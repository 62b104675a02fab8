//! Protobuf records to columns, by a plan that is made from the message's descriptor.
//!
//! Takes the wire format as its specification has it, straight into columns: no message object is made, and nothing is
//! allocated for a record. What the specification leaves to readers, or lets them choose:
//!
//! - A field that occurs more than once: of scalars the last counts, messages are merged, lists are joined; packed and
//!   unpacked lists are taken whatever is declared. Of a oneof the field that came last counts. Of entries of a map with one
//!   key the last counts.
//! - A field whose wire type is not that of the schema is an unknown field, and so is a number that a closed enum (of
//!   proto2) lacks. Unknown fields are passed over. Extensions are unknown fields.
//! - Of a record whose first field has another wire type, that has no field of the schema but others, or that reads as
//!   messages with their lengths in front and not so well as one, nothing is believed ([`suspect`]).
//! - An absent field that has presence (`optional`, of a oneof, a message, of proto2) leaves the column to its default, or
//!   NULL inside of others. An absent field that has none is zero, empty, or the enum's first value, also where the column
//!   could be NULL, and so is a list or a map without elements; a column that takes no such value (an empty text is no UUID)
//!   gets its default. Declared defaults of proto2 count as values. Fields of an absent message are absent. `required` is not
//!   checked.
//! - A number that an open enum lacks stays a number: integers and `String` take it, enums of the table only if it is one
//!   of theirs.
//! - Texts that a column takes must be UTF-8, in proto2 too. What no column takes is passed over unseen.
//! - Messages and groups nest at most 64 deep. A number of more than ten bytes or 64 bits, field number 0, the wire types 6
//!   and 7, and the end of a group that was not begun make a record invalid.
//!
//! What a column takes:
//!
//! | field | columns |
//! |---|---|
//! | scalar | see [`crate::decode::typed`] |
//! | list of messages | also the columns of a flattened Nested: of each message the field |
//! | list | `Array`, a `Tuple` without names that is as long, JSON text |
//! | map | `Map`, JSON text |
//! | message | a `Tuple` with names (fields of the tuple that the message has not are zero), `Map` of the fields that are set, JSON text |
//! | `Timestamp` | as a time in UTC |
//! | `Duration` | as a span |
//! | wrappers (`Int32Value` and the like) | as the value; absent ones as absent fields |
//! | `Struct`, `Value`, `ListValue` | as the same value in JSON; paths go on inside |
//! | `Any` | JSON text with `@type`, and the fields of the message where the schema has it, else `value` in base64 |
//! | `FieldMask` | its paths, separated by commas |
//! | `confluent.type.Decimal` | as a decimal |
//!
//! A path calls a field by its name in the schema, or else by its name in JSON. Fields of the record that no column takes
//! are what the mapping's `unknown_fields` speaks of; numbers that the schema does not know have no name, and are dropped.

mod delimited;
mod entries;
mod json;
mod natural;
mod pieces;
mod plan;
mod reader;
mod schema;
mod shape;
mod suspect;
mod value;
mod wire;

#[cfg(test)]
mod tests;

use std::sync::Arc;

pub(super) use self::delimited::DelimitedDecoder;
pub(crate) use self::plan::ProtobufPlan;
pub(crate) use self::reader::ProtobufReader;
pub(crate) use self::schema::MessageIndexes;
pub use self::schema::ProtobufSchema;
pub(crate) use self::suspect::InFront;
use super::error::Fault;
use super::record::Rest;
use super::target::Target;
use crate::columns::{Columns, RowPlan};

/// Decodes records of one message type, with nothing in front of them.
#[derive(Debug)]
pub(super) struct ProtobufDecoder {
    plan: Arc<ProtobufPlan>,
    reader: ProtobufReader,
}

impl ProtobufDecoder {
    /// A decoder for columns made from this plan. `root` says what becomes of a record.
    pub(super) fn new(
        plan: &Arc<RowPlan>,
        root: &Target,
        message: &prost_reflect::MessageDescriptor,
    ) -> Result<Self, String> {
        Ok(Self { plan: Arc::new(ProtobufPlan::compile(message, plan, root)?), reader: ProtobufReader::new(plan) })
    }

    /// Fills the open row; columns that the record has nothing for are left.
    pub(super) fn decode(&mut self, record: &[u8], rest: &mut Rest, columns: &mut Columns) -> Result<(), Fault> {
        self.decode_from(record, 0, InFront::Nothing, rest, columns)
    }

    /// The same from a message that begins at byte `start` and ends with the record.
    fn decode_from(
        &mut self,
        record: &[u8],
        start: usize,
        in_front: InFront,
        rest: &mut Rest,
        columns: &mut Columns,
    ) -> Result<(), Fault> {
        self.reader.decode(&self.plan, record, start, in_front, rest, columns)
    }
}
