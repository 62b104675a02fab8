//! Records into the open row.
//!
//! The fields of a message are read in one pass where that is enough: scalars that are the one value of one column go there
//! at once, and a later one takes its place. All others are noted, and come to their columns when the message has been read
//! to its end, each with all of its pieces.

use std::ops::Range;
use std::sync::Arc;

use super::natural;
use super::pieces::{Met, Outcome, Reader, Scratch, number, text};
use super::plan::{Fill, Inside, MapKey, Node, ProtobufPlan, Taker, Use};
use super::shape::{EnumShape, Field, Kind, Label};
use super::suspect::InFront;
use super::wire::Cursor;
use crate::columns::{ColumnBuilder, Columns, RowPlan};
use crate::decode::error::{ErrorCode, Fault};
use crate::decode::json::{Cursor as JsonCursor, Walk};
use crate::decode::record::Rest;
use crate::decode::typed::{Typed, append_typed};

/// Reads records by any plans that were made for one table. One per thread.
#[derive(Debug)]
pub(crate) struct ProtobufReader {
    scratch: Scratch,
}

impl ProtobufReader {
    pub(crate) fn new(plan: &Arc<RowPlan>) -> Self {
        Self { scratch: Scratch::new(Walk::new(plan)) }
    }

    /// Fills the open row from a message that begins at byte `start` of the record and ends with it.
    pub(crate) fn decode(
        &mut self,
        plan: &ProtobufPlan,
        record: &[u8],
        start: usize,
        in_front: InFront,
        rest: &mut Rest,
        columns: &mut Columns,
    ) -> Result<(), Fault> {
        let mut reader = Reader { plan, record, scratch: &mut self.scratch };
        let decoded = match reader.record(start, rest, columns) {
            Err(fault) => {
                let blamed = reader.blame(fault, start, in_front);
                if blamed != fault {
                    columns.leave_field();
                }
                Err(blamed)
            }
            Ok(())
                if reader.scratch.met_odd || in_front == InFront::Nothing && reader.begins_with_its_length(start) =>
            {
                columns.leave_field();
                reader.suspect(start, in_front)
            }
            Ok(()) => Ok(()),
        };
        self.scratch.reset();
        decoded
    }
}

impl<'r> Reader<'r, '_> {
    fn record(&mut self, start: usize, rest: &mut Rest, columns: &mut Columns) -> Outcome {
        self.push(start, self.record.len())?;
        for (column, fill) in &self.plan.root_columns {
            self.column(&self.plan.root_field, fill, 0..1, 0, *column, columns)?;
        }
        let rest = if rest.is_ignored() { None } else { Some(rest) };
        let is_read = !self.plan.root_columns.is_empty();
        if is_read && rest.is_none() && self.plan.root.uses.iter().all(|one| *one == Use::Nothing) {
            return Ok(());
        }
        self.node(&self.plan.root, 0..1, 0, rest, columns)
    }

    /// The fields of a message to their columns.
    fn node(
        &mut self,
        node: &'r Node,
        pieces: Range<usize>,
        depth: u32,
        mut rest: Option<&mut Rest>,
        columns: &mut Columns,
    ) -> Outcome {
        let shape = self.shape(node.message);
        let (record, enums) = (self.record, self.enums());
        let first = self.pieces();
        let keeps_rest = rest.is_some();
        let mut repeats = false;
        columns.leave_field();
        self.scan(shape, pieces, depth, |cursor, slot| match node.uses[slot] {
            Use::Column(column) => {
                repeats |= columns.has_value(column);
                direct(record, cursor, shape.fields[slot].kind, enums, column, columns)?;
                columns.leave_field();
                Ok(Met::Read)
            }
            Use::Taker(_) | Use::Rival => Ok(Met::Noted),
            Use::Nothing if keeps_rest => Ok(Met::Noted),
            Use::Nothing => Ok(Met::Skipped),
        })?;
        self.scratch.met_odd |= repeats;
        self.settle(shape, first);
        let mut start = first;
        while start < self.pieces() {
            let (slot, end) = (self.piece(start).slot(), self.end_of_group(start));
            let field = &shape.fields[slot];
            if let Use::Taker(number) = node.uses[slot] {
                self.take(field, field.label, &node.takers[number], start..end, depth, columns)?;
            } else if let Some(rest) = rest.as_deref_mut() {
                self.keep(field, start..end, depth, rest)?;
            }
            columns.leave_field();
            start = end;
        }
        self.pop_pieces(first);
        if !columns.row_is_full() {
            self.append_absent(node, depth, columns)?;
        }
        Ok(())
    }

    /// What columns get that have a value even where the field is absent.
    fn append_absent(&mut self, node: &'r Node, depth: u32, columns: &mut Columns) -> Outcome {
        let shape = self.shape(node.message);
        for (slot, column, fill) in &node.always {
            if !columns.has_value(*column) {
                self.column(&shape.fields[*slot], fill, 0..0, depth, *column, columns)?;
            }
        }
        Ok(())
    }

    /// A field that no column takes.
    fn keep(&mut self, field: &'r Field, pieces: Range<usize>, depth: u32, rest: &mut Rest) -> Outcome {
        let at = self.place(&pieces);
        if !self.is_there(field, pieces.clone(), depth)? {
            return Ok(());
        }
        if rest.reports() {
            rest.report(&field.name, || Some(natural::type_of(|message| self.shape(message), field)));
        } else if let Some(json) = rest.field(&field.name).map_err(|code| Fault { code, at })? {
            self.json_field(field, pieces, depth, json)?;
        }
        Ok(())
    }

    /// A value to one column.
    fn column(
        &mut self,
        field: &'r Field,
        fill: &'r Fill,
        pieces: Range<usize>,
        depth: u32,
        column: usize,
        columns: &mut Columns,
    ) -> Outcome {
        let Some(builder) = columns.open(column) else {
            return Err(Fault { code: ErrorCode::DuplicateKey, at: self.place(&pieces) });
        };
        match self.append(field, fill, pieces, depth, builder) {
            // The lists of a Nested have one length: none is replaced by an empty one.
            Err(fault) if matches!(fill, Fill::FieldOfEach(_)) || !columns.replace(column, fault.code) => Err(fault),
            _ => Ok(()),
        }
    }

    /// A value to all columns that take it or a part of it. As deep as the paths are.
    fn take(
        &mut self,
        field: &'r Field,
        label: Label,
        taker: &'r Taker,
        pieces: Range<usize>,
        depth: u32,
        columns: &mut Columns,
    ) -> Outcome {
        for (column, fill) in &taker.columns {
            self.column(field, fill, pieces.clone(), depth, *column, columns)?;
        }
        let before = columns.begun();
        self.inside(field, label, taker, pieces, depth, columns)?;
        if taker.is_image {
            columns.leave_image(before);
        }
        Ok(())
    }

    fn inside(
        &mut self,
        field: &'r Field,
        label: Label,
        taker: &'r Taker,
        pieces: Range<usize>,
        depth: u32,
        columns: &mut Columns,
    ) -> Outcome {
        match &taker.inside {
            Inside::Nothing => Ok(()),
            Inside::Lacking(parts) => {
                let at = self.place(&pieces);
                let replaced = columns.replace_parts(parts.iter().copied());
                if replaced { Ok(()) } else { Err(Fault { code: ErrorCode::NoParts, at }) }
            }
            Inside::Document(target) => {
                let at = self.place(&pieces);
                let Typed::Text(text) = self.scalar(field, &pieces)? else { unreachable!("the field is a string") };
                self.scratch.walk.document(text.as_bytes(), target, columns).map_err(|fault| Fault { at, ..fault })
            }
            Inside::Message(node) => {
                let depth = self.deeper(&pieces, depth)?;
                self.node(node, pieces, depth, None, columns)
            }
            Inside::Json { target, whole } => {
                let at = self.place(&pieces);
                let text = self.json_of(field, *whole, pieces, depth)?;
                let mut json = JsonCursor::new(&text);
                json.next_token();
                let walked = self.scratch.walk.tree(&mut json, target, columns);
                self.scratch.text = text;
                walked.map_err(|fault| Fault { at, ..fault })
            }
            Inside::Elements(takers) => self.elements(field, takers, pieces, depth, columns),
            Inside::Entries(takers) => match label {
                Label::Map(message) => self.map(message, takers, pieces, depth, columns),
                _ => unreachable!("only maps have entries"),
            },
        }
    }

    fn elements(
        &mut self,
        field: &'r Field,
        takers: &'r [(usize, Taker)],
        pieces: Range<usize>,
        depth: u32,
        columns: &mut Columns,
    ) -> Outcome {
        for (number, taker) in takers {
            let before = self.pieces();
            if self.push_element(field.kind, pieces.clone(), *number)? {
                self.take(field, Label::One, taker, before..before + 1, depth, columns)?;
            }
            self.pop_pieces(before);
        }
        Ok(())
    }

    fn map(
        &mut self,
        message: usize,
        takers: &'r [(MapKey, Taker)],
        pieces: Range<usize>,
        depth: u32,
        columns: &mut Columns,
    ) -> Outcome {
        let depth = self.deeper(&pieces, depth)?;
        let [_, value] = self.plan.shapes.entry(message);
        let first = self.entries(message, pieces, depth)?;
        let mut number = first;
        while let Some(entry) = self.entry(number) {
            for (key, taker) in takers {
                if !self.has_key(entry, key) {
                    continue;
                }
                let before = self.pieces();
                let (_, values) = self.entry_parts(message, entry, depth)?;
                self.take(value, value.label, taker, values, depth, columns)?;
                self.pop_pieces(before);
            }
            number += 1;
        }
        self.pop_entries(first);
        Ok(())
    }
}

/// The scalar at the cursor into a column that takes nothing else of the record.
#[inline]
fn direct(
    record: &[u8],
    cursor: &mut Cursor<'_>,
    kind: Kind,
    enums: &[EnumShape],
    column: usize,
    columns: &mut Columns,
) -> Outcome {
    let builder = open_anew(column, columns);
    let at = cursor.at;
    let value = match kind {
        Kind::String => {
            let (start, end) = cursor.run()?;
            text(record, start, end)?
        }
        Kind::Bytes => {
            let (start, end) = cursor.run()?;
            Typed::Bytes(&record[start..end])
        }
        _ => number(kind, cursor, enums)?,
    };
    match append_typed(value, builder) {
        Err(code) if !columns.replace(column, code) => Err(Fault { code, at }),
        _ => Ok(()),
    }
}

/// A column to append to, without what the record has given it already.
#[inline]
fn open_anew(column: usize, columns: &mut Columns) -> &mut ColumnBuilder {
    if columns.has_value(column) {
        columns.withdraw(column);
    }
    columns.open(column).expect("a column without a value can be opened")
}
