//! The pieces of one field into one column.

use std::ops::Range;

use ethnum::I256;

use super::pieces::{Outcome, Reader, text, to_usize};
use super::plan::{Fill, TupleField, TupleFill};
use super::shape::{Field, Label, Shape};
use super::wire::{Cursor, LENGTH, VARINT, WIRE_BITS, lower_half};
use crate::columns::{ColumnBuilder, MapColumn, TupleColumn};
use crate::decode::error::{ErrorCode, Fault};
use crate::decode::json::append_json;
use crate::decode::text::append_text;
use crate::decode::typed::{DECIMAL_SCALE_MAX, Typed, append_typed};

/// Fields of messages that mean more than their fields.
const SECONDS_TAG: u32 = 1 << WIRE_BITS | VARINT;
const NANOS_TAG: u32 = 2 << WIRE_BITS | VARINT;
const DIGITS_TAG: u32 = 1 << WIRE_BITS | LENGTH;
const SCALE_TAG: u32 = 3 << WIRE_BITS | VARINT;
const PATH_TAG: u32 = 1 << WIRE_BITS | LENGTH;
const NANOS_PER_SECOND: i32 = 1_000_000_000;

impl<'r> Reader<'r, '_> {
    /// Appends the value of a field; without pieces what the field has in a message that lacks it.
    pub(super) fn append(
        &mut self,
        field: &'r Field,
        fill: &'r Fill,
        pieces: Range<usize>,
        depth: u32,
        column: &mut ColumnBuilder,
    ) -> Outcome {
        let at = self.place(&pieces);
        let converted = match (fill, column) {
            (Fill::Scalar, column) => append_typed(self.scalar(field, &pieces)?, column),
            (Fill::Timestamp, column) => append_typed(self.timestamp(&pieces, depth)?, column),
            (Fill::Duration, column) => append_typed(self.duration(&pieces, depth)?, column),
            (Fill::Decimal, column) => append_typed(self.decimal(&pieces, depth)?, column),
            (Fill::Wrapper(message), column) => append_typed(self.wrapped(*message, pieces, depth)?, column),
            (Fill::Mask, column) => {
                let mut joined = std::mem::take(&mut self.scratch.text);
                joined.clear();
                let mut paths = 0_usize;
                self.paths(pieces, depth, |path| {
                    if paths > 0 {
                        joined.push(b',');
                    }
                    joined.extend_from_slice(path.as_bytes());
                    paths += 1;
                })?;
                let paths = std::str::from_utf8(&joined).expect("a mask is made of texts");
                let appended = append_typed(Typed::Text(paths), column);
                self.scratch.text = joined;
                appended
            }
            (Fill::Json { whole }, column) => return self.append_as_json(field, *whole, pieces, depth, column),
            (Fill::Dynamic, column) => {
                let text = self.json_of(field, false, pieces, depth)?;
                let appended = append_json(&text, column);
                self.scratch.text = text;
                appended.map_err(|fault| fault.code)
            }
            (Fill::List(fill), ColumnBuilder::Array(array)) => {
                let elements = self.append_elements(field, fill, pieces, depth, &mut array.values)?;
                array.offsets.push(elements);
                Ok(())
            }
            (Fill::Places(fills), ColumnBuilder::Tuple(tuple)) => {
                return self.append_places(field, fills, pieces, depth, tuple);
            }
            (Fill::Entries(message, fill), ColumnBuilder::Map(map)) => {
                return self.append_entries(*message, fill, pieces, depth, map);
            }
            (Fill::Tuple(fill), ColumnBuilder::Tuple(tuple)) => {
                return self.append_fields(fill, pieces, depth, &mut tuple.fields);
            }
            (Fill::FieldOfEach(fill), ColumnBuilder::Array(array)) => {
                let elements = pieces.len() as u64;
                for piece in pieces {
                    self.append_fields(fill, piece..piece + 1, depth, std::slice::from_mut(array.values.as_mut()))?;
                }
                array.offsets.push(elements);
                Ok(())
            }
            (Fill::Members(message, fills), ColumnBuilder::Map(map)) => {
                return self.append_members(*message, fills, pieces, depth, map);
            }
            _ => unreachable!("the plan was made for this column"),
        };
        converted.map_err(|code| Fault { code, at })
    }

    /// The value as JSON in a buffer, which the caller gives back.
    pub(super) fn json_of(
        &mut self,
        field: &'r Field,
        whole: bool,
        pieces: Range<usize>,
        depth: u32,
    ) -> Result<Vec<u8>, Fault> {
        let mut text = std::mem::take(&mut self.scratch.text);
        text.clear();
        if whole {
            self.json_field(field, pieces, depth, &mut text)?;
        } else {
            self.json_value(field, pieces, depth, &mut text)?;
        }
        Ok(text)
    }

    fn append_as_json(
        &mut self,
        field: &'r Field,
        whole: bool,
        pieces: Range<usize>,
        depth: u32,
        column: &mut ColumnBuilder,
    ) -> Outcome {
        let at = self.place(&pieces);
        let text = self.json_of(field, whole, pieces, depth)?;
        let appended = match column {
            ColumnBuilder::String(column) => {
                column.push(&text);
                Ok(())
            }
            other => append_json(&text, other).map_err(|fault| Fault { at, ..fault }),
        };
        self.scratch.text = text;
        appended
    }

    /// Appends all elements of a list and gives their number.
    fn append_elements(
        &mut self,
        field: &'r Field,
        fill: &'r Fill,
        pieces: Range<usize>,
        depth: u32,
        values: &mut ColumnBuilder,
    ) -> Result<u64, Fault> {
        let mut elements = 0;
        if matches!(fill, Fill::Scalar) {
            self.scalars(field.kind, pieces, |value| {
                elements += 1;
                append_typed(value, values)
            })?;
            return Ok(elements);
        }
        for piece in pieces {
            self.append(field, fill, piece..piece + 1, depth, values)?;
            elements += 1;
        }
        Ok(elements)
    }

    fn append_places(
        &mut self,
        field: &'r Field,
        fills: &'r [Fill],
        pieces: Range<usize>,
        depth: u32,
        tuple: &mut TupleColumn,
    ) -> Outcome {
        let wrong_length = Fault { code: ErrorCode::TypeMismatch, at: self.place(&pieces) };
        let mut places = tuple.fields.iter_mut();
        if fills.iter().all(|fill| matches!(fill, Fill::Scalar)) {
            self.scalars(field.kind, pieces, |value| {
                append_typed(value, places.next().ok_or(ErrorCode::TypeMismatch)?)
            })?;
        } else {
            for (number, piece) in pieces.enumerate() {
                let column = places.next().ok_or(wrong_length)?;
                self.append(field, &fills[number], piece..piece + 1, depth, column)?;
            }
        }
        if places.next().is_none() { Ok(()) } else { Err(wrong_length) }
    }

    fn append_entries(
        &mut self,
        message: usize,
        fill: &'r Fill,
        pieces: Range<usize>,
        depth: u32,
        map: &mut MapColumn,
    ) -> Outcome {
        let depth = self.deeper(&pieces, depth)?;
        let [_, value] = self.plan.shapes.entry(message);
        let first = self.entries(message, pieces, depth)?;
        let mut entries = 0;
        while let Some(entry) = self.entry(first + entries) {
            let before = self.pieces();
            let at = self.piece(entry.piece).start();
            let (key, values) = self.entry_parts(message, entry, depth)?;
            append_typed(key, &mut map.keys).map_err(|code| Fault { code, at })?;
            self.append(value, fill, values, depth, &mut map.values)?;
            self.pop_pieces(before);
            entries += 1;
        }
        self.pop_entries(first);
        map.offsets.push(entries as u64);
        Ok(())
    }

    /// The fields of a message to the columns of a tuple.
    fn append_fields(
        &mut self,
        fill: &'r TupleFill,
        pieces: Range<usize>,
        depth: u32,
        columns: &mut [ColumnBuilder],
    ) -> Outcome {
        let depth = self.deeper(&pieces, depth)?;
        let shape = self.shape(fill.message);
        let first = self.index(shape, pieces, depth, |slot| fill.wanted[slot])?;
        let mut group = first..first;
        for TupleField { slot, place, fill, always } in &fill.fields {
            group = self.group_of(*slot, group);
            let column = &mut columns[*place];
            if group.is_empty() && !always {
                column.push_zero();
            } else {
                self.append(&shape.fields[*slot], fill, group.clone(), depth, column)?;
            }
        }
        for place in &fill.others {
            columns[*place].push_zero();
        }
        self.pop_pieces(first);
        Ok(())
    }

    /// The pieces of a field, behind or the same as those of the field before.
    fn group_of(&self, slot: usize, before: Range<usize>) -> Range<usize> {
        let mut start = before.start;
        while start < self.pieces() && self.piece(start).slot() < slot {
            start += 1;
        }
        if start == self.pieces() || self.piece(start).slot() != slot {
            return start..start;
        }
        start..self.end_of_group(start)
    }

    fn append_members(
        &mut self,
        message: usize,
        fills: &'r [Fill],
        pieces: Range<usize>,
        depth: u32,
        map: &mut MapColumn,
    ) -> Outcome {
        let depth = self.deeper(&pieces, depth)?;
        let shape = self.shape(message);
        let first = self.index(shape, pieces, depth, |_| true)?;
        let (mut start, mut members) = (first, 0);
        while start < self.pieces() {
            let (slot, end) = (self.piece(start).slot(), self.end_of_group(start));
            let field = &shape.fields[slot];
            if self.is_there(field, start..end, depth)? {
                let at = self.piece(start).start();
                append_text(field.name.as_bytes(), &mut map.keys).map_err(|code| Fault { code, at })?;
                self.append(field, &fills[slot], start..end, depth, &mut map.values)?;
                members += 1;
            }
            start = end;
        }
        self.pop_pieces(first);
        map.offsets.push(members);
        Ok(())
    }

    /// Whether the pieces of a field say more than their absence would.
    pub(super) fn is_there(&mut self, field: &'r Field, pieces: Range<usize>, depth: u32) -> Result<bool, Fault> {
        match field.label {
            Label::One if field.zero_is_absent => Ok(!is_zero(self.scalar(field, &pieces)?)),
            Label::One => Ok(true),
            Label::Many => {
                let before = self.pieces();
                let has_elements = self.push_element(field.kind, pieces, 0)?;
                self.pop_pieces(before);
                Ok(has_elements)
            }
            Label::Map(message) if self.plan.shapes.entry(message)[1].closed => {
                let first = self.entries(message, pieces, depth)?;
                let has_entries = self.entry(first).is_some();
                self.pop_entries(first);
                Ok(has_entries)
            }
            Label::Map(_) => Ok(true),
        }
    }

    /// The two numbers of a timestamp or duration.
    fn seconds_and_nanos(&self, pieces: &Range<usize>, depth: u32) -> Result<(i64, i32), Fault> {
        let (mut seconds, mut nanos) = (0, 0);
        for piece in pieces.clone() {
            let mut cursor = self.cursor(self.piece(piece));
            while !cursor.at_end() {
                match cursor.tag()? {
                    SECONDS_TAG => seconds = cursor.varint()?.cast_signed(),
                    NANOS_TAG => nanos = lower_half(cursor.varint()?).cast_signed(),
                    other => cursor.skip(other, depth)?,
                }
            }
        }
        Ok((seconds, nanos))
    }

    pub(super) fn timestamp(&self, pieces: &Range<usize>, depth: u32) -> Result<Typed<'r>, Fault> {
        let (seconds, nanos) = self.seconds_and_nanos(pieces, depth)?;
        match u32::try_from(nanos) {
            Ok(nanos) if nanos < NANOS_PER_SECOND.unsigned_abs() => Ok(Typed::Instant { seconds, nanos }),
            _ => Err(Fault { code: ErrorCode::InvalidTime, at: self.place(pieces) }),
        }
    }

    pub(super) fn duration(&self, pieces: &Range<usize>, depth: u32) -> Result<Typed<'r>, Fault> {
        let (seconds, nanos) = self.seconds_and_nanos(pieces, depth)?;
        let one_sign = seconds == 0 || nanos == 0 || (seconds < 0) == (nanos < 0);
        if one_sign && nanos.unsigned_abs() < NANOS_PER_SECOND.unsigned_abs() {
            return Ok(Typed::Span { seconds, nanos });
        }
        Err(Fault { code: ErrorCode::InvalidTime, at: self.place(pieces) })
    }

    /// Confluent's decimal.
    pub(super) fn decimal(&self, pieces: &Range<usize>, depth: u32) -> Result<Typed<'r>, Fault> {
        let (mut digits, mut scale) = (&[][..], 0);
        for piece in pieces.clone() {
            let mut cursor = self.cursor(self.piece(piece));
            while !cursor.at_end() {
                match cursor.tag()? {
                    DIGITS_TAG => {
                        let (start, end) = cursor.run()?;
                        digits = &self.record[start..end];
                    }
                    SCALE_TAG => scale = lower_half(cursor.varint()?).cast_signed(),
                    other => cursor.skip(other, depth)?,
                }
            }
        }
        let negative = digits.first().is_some_and(|first| first & 0x80 != 0);
        let mut bytes = [if negative { 0xFF } else { 0 }; 32];
        let out_of_range = Fault { code: ErrorCode::OutOfRange.of_sign(negative), at: self.place(pieces) };
        let start = bytes.len().checked_sub(digits.len()).ok_or(out_of_range)?;
        bytes[start..].copy_from_slice(digits);
        let scale =
            u32::try_from(scale).ok().filter(|scale| to_usize(*scale) <= DECIMAL_SCALE_MAX).ok_or(out_of_range)?;
        Ok(Typed::Decimal { unscaled: I256::from_be_bytes(bytes), scale })
    }

    /// The value that a wrapper holds.
    pub(super) fn wrapped(&mut self, message: usize, pieces: Range<usize>, depth: u32) -> Result<Typed<'r>, Fault> {
        let shape: &'r Shape = self.shape(message);
        let first = self.index(shape, pieces, depth, |_| true)?;
        let value = self.scalar(&shape.fields[0], &(first..self.pieces()))?;
        self.pop_pieces(first);
        Ok(value)
    }

    /// Gives the paths of a mask to `each`.
    pub(super) fn paths(&self, pieces: Range<usize>, depth: u32, mut each: impl FnMut(&str)) -> Outcome {
        for piece in pieces {
            let mut cursor: Cursor<'r> = self.cursor(self.piece(piece));
            while !cursor.at_end() {
                let tag = cursor.tag()?;
                if tag != PATH_TAG {
                    cursor.skip(tag, depth)?;
                    continue;
                }
                let (start, end) = cursor.run()?;
                if let Typed::Text(path) = text(self.record, start, end)? {
                    each(path);
                }
            }
        }
        Ok(())
    }
}

fn is_zero(value: Typed<'_>) -> bool {
    match value {
        Typed::Bool(value) => !value,
        Typed::Int(value) => value == 0,
        Typed::UInt(value) => value == 0,
        // Minus zero is another number.
        Typed::Float32(value) => value.to_bits() == 0,
        Typed::Float64(value) => value.to_bits() == 0,
        Typed::Text(text) => text.is_empty(),
        Typed::Bytes(bytes) => bytes.is_empty(),
        Typed::Enum { number, .. } => number == 0,
        _ => false,
    }
}
