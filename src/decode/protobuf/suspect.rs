//! Records that are no message of the schema, and are read as one all the same.
//!
//! Protobuf names no types: nearly any bytes are some message, of unknown fields if of nothing else. A record with its length
//! in front, as ClickHouse's `Protobuf` format has it, begins with a byte that may well be a tag. So what is odd is looked at
//! again. What is normal stays: fields that the schema lacks, behind or between those that it has.
//!
//! Refused are
//!
//! - a record whose first field has another wire type than the schema says,
//! - a record of fields of which the schema has none,
//! - a record that reads as messages with their lengths in front, each as the schema says, and not so well as one message.

use super::pieces::Reader;
use super::shape::{Label, Shape};
use super::wire::{Cursor, FIXED32, WIRE_BITS};
use crate::decode::error::{ErrorCode, Fault};

/// What is in front of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum InFront {
    /// Nothing: there may be something that nobody said.
    Nothing,
    /// Its length, or what names its schema.
    Known,
}

/// The fields of a message.
#[derive(Debug, Clone, Copy)]
struct Fields {
    known: u32,
    unknown: u32,
    /// The schema has the first one.
    leads: bool,
    /// They stand in the order of their numbers, and only lists repeat, as all writers put them.
    ordered: bool,
}

impl Reader<'_, '_> {
    /// Whether the first number in the record is the length of what follows.
    #[inline]
    pub(super) fn begins_with_its_length(&self, start: usize) -> bool {
        match self.record.get(start) {
            Some(&length) if length < 0x80 => usize::from(length) == self.record.len() - start - 1,
            Some(_) => {
                let mut cursor = Cursor::new(self.record, start, self.record.len());
                cursor.varint().is_ok_and(|length| usize::try_from(length) == Ok(self.record.len() - cursor.at))
            }
            None => false,
        }
    }

    /// Looks again at a record that was read to its end as one message.
    #[cold]
    pub(super) fn suspect(&self, start: usize, in_front: InFront) -> Result<(), Fault> {
        let shape = self.shape(self.plan.root.message);
        let end = self.record.len();
        let Some(fields) = self.fields(shape, start, end).filter(|_| start < end) else { return Ok(()) };
        let with_lengths = || in_front == InFront::Nothing && self.has_lengths(shape, start, &fields);
        let code = match () {
            () if with_lengths() => ErrorCode::LengthInFront,
            () if fields.known == 0 => ErrorCode::NoKnownField,
            () if !fields.leads && self.first_is_of_another_type(shape, start) => ErrorCode::OtherWireType,
            () => return Ok(()),
        };
        Err(Fault { code, at: start })
    }

    /// What is wrong with a record that could not be read: that it has lengths in front, where it has.
    #[cold]
    pub(super) fn blame(&self, fault: Fault, start: usize, in_front: InFront) -> Fault {
        let nothing = Fields { known: 0, unknown: 1, leads: false, ordered: false };
        let shape = self.shape(self.plan.root.message);
        match in_front {
            InFront::Nothing if self.has_lengths(shape, start, &nothing) => {
                Fault { code: ErrorCode::LengthInFront, at: start }
            }
            _ => fault,
        }
    }

    /// Whether the record reads better as messages, each behind its length, than as one of these fields.
    fn has_lengths(&self, shape: &Shape, start: usize, as_one: &Fields) -> bool {
        let mut lengths = Cursor::new(self.record, start, self.record.len());
        let (mut any, mut all_known) = (false, true);
        while !lengths.at_end() {
            let Ok((from, to)) = lengths.run() else { return false };
            if from == to {
                continue;
            }
            match self.fields(shape, from, to) {
                Some(fields) if fields.leads => {
                    any = true;
                    all_known &= fields.unknown == 0 && fields.ordered;
                }
                _ => return false,
            }
        }
        // A record that begins as the schema says has to be odd, and its messages perfect.
        any && (!as_one.leads || all_known && (as_one.unknown > 0 || !as_one.ordered))
    }

    /// `None` where it is no message at all.
    fn fields(&self, shape: &Shape, start: usize, end: usize) -> Option<Fields> {
        let mut cursor = Cursor::new(self.record, start, end);
        let mut fields = Fields { known: 0, unknown: 0, leads: false, ordered: true };
        let mut last = 0;
        while !cursor.at_end() {
            let tag = cursor.tag().ok()?;
            cursor.skip(tag, 0).ok()?;
            let mut may_repeat = true;
            if let Some(slot) = shape.slot(tag) {
                fields.leads |= fields.unknown == 0;
                fields.known = fields.known.saturating_add(1);
                may_repeat = shape.fields[slot].label != Label::One;
            } else {
                fields.unknown = fields.unknown.saturating_add(1);
            }
            let number = tag >> WIRE_BITS;
            fields.ordered &= last < number || last == number && may_repeat;
            last = number;
        }
        Some(fields)
    }

    fn first_is_of_another_type(&self, shape: &Shape, start: usize) -> bool {
        let tag = Cursor::new(self.record, start, self.record.len()).tag();
        tag.is_ok_and(|tag| (0..=FIXED32).any(|wire| shape.slot(tag >> WIRE_BITS << WIRE_BITS | wire).is_some()))
    }
}
