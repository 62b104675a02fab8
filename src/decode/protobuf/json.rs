//! The pieces of a field as JSON text.
//!
//! Follows Protobuf's own mapping to JSON (fields that equal their absence are left out, enums by name, bytes in base64,
//! wrappers bare, `Any` with `@type`), but for what a table wants otherwise: fields have their names of the schema, numbers
//! of 64 bits are numbers, and times and durations are written as in a column of texts.

use std::ops::Range;

use super::pieces::{Outcome, Reader};
use super::shape::{Field, Kind, Label, Shape, WellKnown};
use crate::decode::typed::{Typed, text_of, write_json, write_json_text};

/// Below this every whole number has a float of its own.
const WHOLE_FLOATS: f64 = 9_007_199_254_740_992.0;

impl<'r> Reader<'r, '_> {
    /// A field with all its elements or entries.
    pub(super) fn json_field(
        &mut self,
        field: &'r Field,
        pieces: Range<usize>,
        depth: u32,
        json: &mut Vec<u8>,
    ) -> Outcome {
        match field.label {
            Label::One => self.json_value(field, pieces, depth, json),
            Label::Many => self.json_list(field, pieces, depth, json),
            Label::Map(message) => self.json_map(message, pieces, depth, json),
        }
    }

    /// One value of a field's kind.
    pub(super) fn json_value(
        &mut self,
        field: &'r Field,
        pieces: Range<usize>,
        depth: u32,
        json: &mut Vec<u8>,
    ) -> Outcome {
        match field.kind {
            Kind::Message(message) => self.json_message(message, pieces, depth, json),
            _ => {
                write_json(self.scalar(field, &pieces)?, json);
                Ok(())
            }
        }
    }

    fn json_list(&mut self, field: &'r Field, pieces: Range<usize>, depth: u32, json: &mut Vec<u8>) -> Outcome {
        json.push(b'[');
        let begin = json.len();
        if matches!(field.kind, Kind::Message(_)) {
            for piece in pieces {
                comma(json, begin);
                self.json_value(field, piece..piece + 1, depth, json)?;
            }
        } else {
            self.scalars(field.kind, pieces, |value| {
                comma(json, begin);
                write_json(value, json);
                Ok(())
            })?;
        }
        json.push(b']');
        Ok(())
    }

    fn json_map(&mut self, message: usize, pieces: Range<usize>, depth: u32, json: &mut Vec<u8>) -> Outcome {
        let depth = self.deeper(&pieces, depth)?;
        let [_, value] = self.plan.shapes.entry(message);
        let first = self.entries(message, pieces, depth)?;
        json.push(b'{');
        let begin = json.len();
        let mut number = first;
        while let Some(entry) = self.entry(number) {
            let before = self.pieces();
            let (key, values) = self.entry_parts(message, entry, depth)?;
            comma(json, begin);
            match key {
                Typed::Text(text) => write_json_text(text, json),
                other => write_json_text(text_of(other).as_str(), json),
            }
            json.push(b':');
            self.json_value(value, values, depth, json)?;
            self.pop_pieces(before);
            number += 1;
        }
        self.pop_entries(first);
        json.push(b'}');
        Ok(())
    }

    fn json_message(&mut self, message: usize, pieces: Range<usize>, depth: u32, json: &mut Vec<u8>) -> Outcome {
        let shape = self.shape(message);
        let typed = match shape.well_known {
            None => {
                json.push(b'{');
                let begin = json.len();
                self.json_members(shape, pieces, depth, json, begin)?;
                json.push(b'}');
                return Ok(());
            }
            Some(WellKnown::Timestamp) => self.timestamp(&pieces, depth)?,
            Some(WellKnown::Duration) => self.duration(&pieces, depth)?,
            Some(WellKnown::Decimal) => self.decimal(&pieces, depth)?,
            Some(WellKnown::Wrapper) => self.wrapped(message, pieces, depth)?,
            Some(WellKnown::FieldMask) => {
                let mut paths = 0_usize;
                json.push(b'"');
                self.paths(pieces, depth, |path| {
                    if paths > 0 {
                        json.push(b',');
                    }
                    // Its own quotes are not wanted.
                    let quote = json.len();
                    write_json_text(path, json);
                    json.pop();
                    json.remove(quote);
                    paths += 1;
                })?;
                json.push(b'"');
                return Ok(());
            }
            Some(WellKnown::Struct | WellKnown::ListValue) => return self.json_only_field(shape, pieces, depth, json),
            Some(WellKnown::Value) => return self.json_dynamic(shape, pieces, depth, json),
            Some(WellKnown::Any) => return self.json_any(shape, pieces, depth, json),
        };
        write_json(typed, json);
        Ok(())
    }

    /// The fields of a message that say something, without braces; `begin` is where the first one would begin.
    pub(super) fn json_members(
        &mut self,
        shape: &'r Shape,
        pieces: Range<usize>,
        depth: u32,
        json: &mut Vec<u8>,
        begin: usize,
    ) -> Outcome {
        let depth = self.deeper(&pieces, depth)?;
        let first = self.index(shape, pieces, depth, |_| true)?;
        let mut start = first;
        while start < self.pieces() {
            let end = self.end_of_group(start);
            let field = &shape.fields[self.piece(start).slot()];
            if self.is_there(field, start..end, depth)? {
                comma(json, begin);
                write_json_text(&field.name, json);
                json.push(b':');
                self.json_field(field, start..end, depth, json)?;
            }
            start = end;
        }
        self.pop_pieces(first);
        Ok(())
    }

    /// A message that stands for its only field.
    fn json_only_field(&mut self, shape: &'r Shape, pieces: Range<usize>, depth: u32, json: &mut Vec<u8>) -> Outcome {
        let depth = self.deeper(&pieces, depth)?;
        let first = self.index(shape, pieces, depth, |_| true)?;
        self.json_field(&shape.fields[0], first..self.pieces(), depth, json)?;
        self.pop_pieces(first);
        Ok(())
    }

    /// A `google.protobuf.Value`: the one of its fields that is set.
    fn json_dynamic(&mut self, shape: &'r Shape, pieces: Range<usize>, depth: u32, json: &mut Vec<u8>) -> Outcome {
        let depth = self.deeper(&pieces, depth)?;
        let first = self.index(shape, pieces, depth, |_| true)?;
        let set = first..self.pieces();
        if set.is_empty() {
            json.extend_from_slice(b"null");
            return Ok(());
        }
        let field = &shape.fields[self.piece(first).slot()];
        match field.kind {
            Kind::Enum(_) => json.extend_from_slice(b"null"),
            Kind::Double => match self.scalar(field, &set)? {
                // What was written as a whole number is read as one.
                Typed::Float64(value) if value.fract() == 0.0 && value.abs() < WHOLE_FLOATS => {
                    #[expect(clippy::cast_possible_truncation, reason = "it is a whole number, and small")]
                    write_json(Typed::Int(value as i64), json);
                }
                other => write_json(other, json),
            },
            _ => self.json_value(field, set, depth, json)?,
        }
        self.pop_pieces(first);
        Ok(())
    }

    /// A `google.protobuf.Any`: its message, where the schema has it, else its bytes.
    fn json_any(&mut self, shape: &'r Shape, pieces: Range<usize>, depth: u32, json: &mut Vec<u8>) -> Outcome {
        let depth = self.deeper(&pieces, depth)?;
        let first = self.index(shape, pieces, depth, |_| true)?;
        let middle = first + (first..self.pieces()).take_while(|piece| self.piece(*piece).slot() == 0).count();
        let url = self.scalar(&shape.fields[0], &(first..middle))?;
        let value = middle..self.pieces();
        json.push(b'{');
        let begin = json.len();
        if let Typed::Text(url) = url
            && !url.is_empty()
        {
            json.extend_from_slice(b"\"@type\":");
            write_json_text(url, json);
            let name = url.rsplit_once('/').map_or(url, |(_, name)| name);
            if let Some(message) = self.plan.shapes.by_name(name) {
                // Of the bytes only the last ones count, as of any scalar.
                let last = value.end.saturating_sub(1).max(value.start)..value.end;
                let inner = self.shape(message);
                if inner.well_known.is_none() {
                    self.json_members(inner, last, depth, json, begin)?;
                } else {
                    json.extend_from_slice(b",\"value\":");
                    self.json_message(message, last, depth, json)?;
                }
                json.push(b'}');
                self.pop_pieces(first);
                return Ok(());
            }
        }
        if !value.is_empty() {
            comma(json, begin);
            json.extend_from_slice(b"\"value\":");
            write_json(self.scalar(&shape.fields[1], &value)?, json);
        }
        json.push(b'}');
        self.pop_pieces(first);
        Ok(())
    }
}

/// Puts a comma before everything but the first.
pub(super) fn comma(json: &mut Vec<u8>, begin: usize) {
    if json.len() > begin {
        json.push(b',');
    }
}
