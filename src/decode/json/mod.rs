//! JSON records to columns, in one pass.
//!
//! Strict by RFC 8259 in what columns take: UTF-8 and surrogates are checked, brackets nest
//! at most [`DEPTH_MAX`] deep, one object per record where nothing else is configured, nothing after it. Behaviour where the RFC or
//! users disagree:
//!
//! - What no column takes costs no record, as long as it is certain where it ends: `NaN` and half a surrogate pair are passed
//!   over there, and bytes that are no UTF-8 where the record is one object.
//! - A float column takes `NaN`, `Infinity` and `-Infinity`; they are no JSON, and many write them.
//! - A byte order mark in front is passed over.
//! - A key that has a column and occurs twice makes a dead letter: parsers disagree which one
//!   counts (ClickHouse keeps the first, most others the last). Keys without a column may repeat.
//! - Keys are compared byte by byte after unescaping. Unknown keys are dropped.
//! - A list of objects fills the columns of a flattened Nested ([`nested`]).
//! - Where Kafka Connect's schema travels along in a record, what it says of values counts ([`carried`], [`hints`]).
//! - A missing field, and null for a column that has no NULL, give the column's default.

mod around;
mod carried;
mod cursor;
mod dynamic;
mod extended;
mod hints;
mod keys;
mod nested;
mod rows;
mod single_keys;
mod skip;
mod value;
mod walk;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use self::carried::{Around, Carried, Reads};
pub(super) use self::cursor::Cursor;
pub(super) use self::dynamic::append_dynamic_text;
use self::keys::{KeyGuess, NOWHERE, START};
use self::rows::Expected;
pub use self::rows::RowCursor;
use self::value::append_value;
pub(super) use self::walk::Walk;
use super::error::{ErrorCode, Fault};
use super::format::{Part, Stop};
use super::record::Rest;
use super::target::Target;
use crate::columns::{self, ColumnBuilder, Columns, RowPlan};

/// Largest buffer that is kept from one record to the next: one record of 16 MB must not cost 16 MB for good.
pub(super) const SCRATCH_BYTES_KEPT: usize = 1 << 20;

/// Decodes JSON objects into the open row of a table.
#[derive(Debug)]
pub(super) struct JsonDecoder {
    records: Expected,
    root: Target,
    /// What the fields of the root are, in their order.
    fields: Vec<FieldTarget>,
    keys: KeyGuess,
    walk: Walk,
    /// What reads the schema that travels along, where one may.
    carried: Option<Box<Carried>>,
    /// Where that schema stands in the record, which no column takes.
    passed_over: (usize, usize),
}

/// What becomes of a field of the root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FieldTarget {
    /// The one column that takes it whole.
    Column(usize),
    /// Anything else: the field of the root with this number.
    Tree(usize),
    Nobody,
}

impl JsonDecoder {
    /// A decoder for columns made from this plan. `root` says what becomes of a record.
    pub(super) fn new(plan: &Arc<RowPlan>, root: Target, part: Part) -> Self {
        let reads = match part {
            _ if plan.changes.carried == columns::Carried::Never => None,
            Part::Value if plan.changes.carried == columns::Carried::Always => Some(Reads::Payload),
            Part::Value => Some(Reads::All),
            Part::Key => Some(Reads::PayloadOrAll),
        };
        let fields = root.fields.iter().enumerate().map(|(number, (_, target))| match target.columns.as_slice() {
            [column] if !target.has_children() => FieldTarget::Column(*column),
            _ => FieldTarget::Tree(number),
        });
        Self {
            records: Expected::One,
            fields: fields.collect(),
            keys: KeyGuess::new(root.fields.iter().map(|(name, _)| name.as_str())),
            walk: Walk::new(plan),
            carried: reads.map(|reads| Box::new(Carried::new(reads, plan.columns().len()))),
            passed_over: carried::NO_SCHEMA,
            root,
        }
    }

    /// Fills the open row from the text that begins at byte `at`; columns that it has no field for are left.
    pub(super) fn decode(
        &mut self,
        record: &[u8],
        at: usize,
        rest: &mut Rest,
        columns: &mut Columns,
    ) -> Result<(), Stop> {
        let decoded = self.decode_record(record, at, rest, columns);
        self.walk.shrink();
        decoded
    }

    fn decode_record(&mut self, record: &[u8], at: usize, rest: &mut Rest, columns: &mut Columns) -> Result<(), Stop> {
        match check_utf8(&record[at..]) {
            Ok(()) => self.decode_checked(record, at, rest, columns),
            Err(_) => self.decode_marked(record, at, rest, columns),
        }
    }

    /// The same of a record that is not UTF-8, where no column takes what is not: there the record has bytes that are
    /// allowed in no text.
    #[cold]
    fn decode_marked(&mut self, record: &[u8], at: usize, rest: &mut Rest, columns: &mut Columns) -> Result<(), Stop> {
        let mut marked = record[..at].to_vec();
        for chunk in record[at..].utf8_chunks() {
            marked.extend_from_slice(chunk.valid().as_bytes());
            marked.resize(marked.len() + chunk.invalid().len(), 0);
        }
        self.decode_checked(&marked, at, rest, columns).map_err(|stop| match stop {
            Stop::Fault(fault) if marked.get(fault.at) == Some(&0) && record[fault.at] != 0 => {
                Stop::Fault(Fault { code: ErrorCode::InvalidUtf8, ..fault })
            }
            other => other,
        })
    }

    /// The same of a record that is UTF-8.
    fn decode_checked(&mut self, record: &[u8], at: usize, rest: &mut Rest, columns: &mut Columns) -> Result<(), Stop> {
        let mut json = Cursor::starting_at(record, at + byte_order_mark(&record[at..]));
        let around = match &mut self.carried {
            None => Around::Nothing,
            Some(carried) => {
                let around = carried.open(&mut json, &self.root, &mut self.walk)?;
                self.passed_over = carried.schema;
                around
            }
        };
        let mut has_row = true;
        if !matches!(around, Around::Nothing) && json.peek() == b'n' {
            json.literal(b"null")?;
            has_row = false;
        } else {
            self.decode_value(&mut json, rest, columns)?;
        }
        Carried::close(around, &mut json, &mut self.walk)?;
        if json.next_token() != 0 || !json.at_end() {
            columns.leave_field();
            return Err(json.fault(ErrorCode::TrailingData).into());
        }
        if has_row { Ok(()) } else { Err(Stop::NoValue) }
    }

    /// The value at the cursor, which is to be an object unless it is taken whole.
    #[inline]
    fn decode_value(&mut self, json: &mut Cursor<'_>, rest: &mut Rest, columns: &mut Columns) -> Result<(), Fault> {
        if !self.root.columns.is_empty() {
            let start = json.mark();
            self.walk.whole(json, &self.root, columns)?;
            json.back_to(start);
        }
        if self.root.fields.is_empty() && !self.root.columns.is_empty() && rest.is_ignored() {
            json.skip_taken_value()
        } else if rest.is_ignored() {
            self.decode_object(json, columns)
        } else {
            self.decode_all_fields(json, rest, columns)
        }
    }

    fn decode_object(&mut self, json: &mut Cursor<'_>, columns: &mut Columns) -> Result<(), Fault> {
        let mut place = START;
        while let Some(target) = self.next_key(json, &mut place, columns)? {
            json.next_token();
            match target {
                FieldTarget::Nobody => {
                    columns.leave_field();
                    match self.passed_over {
                        (begins, ends) if begins == json.at => json.at = ends,
                        _ => json.skip_value()?,
                    }
                }
                FieldTarget::Column(column) => self.walk.column(json, column, columns)?,
                FieldTarget::Tree(number) => self.walk.tree(json, &self.root.fields[number].1, columns)?,
            }
        }
        Ok(())
    }

    /// The same where no field may be passed over. No guesses: they say of such a field only that it is one.
    fn decode_all_fields(
        &mut self,
        json: &mut Cursor<'_>,
        rest: &mut Rest,
        columns: &mut Columns,
    ) -> Result<(), Fault> {
        if json.next_token() != b'{' {
            return Err(not_an_object(json));
        }
        self.walk.fields(json, &self.root, Some(rest), columns)
    }

    /// Takes all between two values, from the opening brace on; `None` after the closing one.
    #[inline]
    fn next_key(
        &mut self,
        json: &mut Cursor<'_>,
        place: &mut usize,
        columns: &mut Columns,
    ) -> Result<Option<FieldTarget>, Fault> {
        if let Some((found, bytes)) = self.keys.guess(*place, json.rest()) {
            let after = json.at + bytes;
            if *place == START {
                json.enter()?;
            }
            json.at = after;
            *place = found;
            return Ok(Some(self.target(found)));
        }
        columns.leave_field();
        self.parse_key(json, place)
    }

    #[inline(never)]
    fn parse_key(&mut self, json: &mut Cursor<'_>, place: &mut usize) -> Result<Option<FieldTarget>, Fault> {
        let start = json.at;
        if *place == START {
            if json.next_token() != b'{' {
                return Err(not_an_object(json));
            }
            json.enter()?;
            if json.next_token() == b'}' {
                json.leave();
                return Ok(None);
            }
        } else if !json.another(b'}')? {
            return Ok(None);
        }
        json.next_token();
        let key = json.name(&mut self.walk.buffers.scratch)?;
        let found = key.map_or(NOWHERE, |key| self.keys.look_up(key));
        json.expect(b':')?;
        json.next_token();
        self.keys.learn(*place, json.since(start), found);
        *place = found;
        Ok(Some(self.target(found)))
    }

    #[inline]
    fn target(&self, place: usize) -> FieldTarget {
        self.keys.name(place).map_or(FieldTarget::Nobody, |number| self.fields[number])
    }
}

/// Appends one JSON value to a column that is not part of a row.
#[cfg(test)]
pub(crate) fn append_json_text(text: &str, column: &mut ColumnBuilder) -> Result<(), super::DecodeError> {
    append_json(text.as_bytes(), column)
        .map_err(|fault| fault.explain(text.as_bytes(), None, super::error::Shown::Text))
}

/// Appends one JSON value, known to be UTF-8, to a column.
pub(super) fn append_json(text: &[u8], column: &mut ColumnBuilder) -> Result<(), Fault> {
    append_json_with(text, column, &mut Vec::new())
}

/// The same with a buffer of the caller's, which holds strings that have escapes.
pub(super) fn append_json_with(text: &[u8], column: &mut ColumnBuilder, scratch: &mut Vec<u8>) -> Result<(), Fault> {
    let mut json = Cursor::new(text);
    json.next_token();
    append_value(&mut json, column, scratch)?;
    match json.next_token() {
        0 if json.at_end() => Ok(()),
        _ => Err(json.fault(ErrorCode::TrailingData)),
    }
}

/// How many bytes of a byte order mark a text begins with.
#[inline]
pub(super) fn byte_order_mark(text: &[u8]) -> usize {
    const MARK: &[u8] = "\u{feff}".as_bytes();
    if text.starts_with(MARK) { MARK.len() } else { 0 }
}

/// Says where a record is not UTF-8.
pub(super) fn check_utf8(record: &[u8]) -> Result<(), Fault> {
    if simdutf8::basic::from_utf8(record).is_ok() {
        return Ok(());
    }
    let at = simdutf8::compat::from_utf8(record).map_or_else(|error| error.valid_up_to(), str::len);
    Err(Fault { code: ErrorCode::InvalidUtf8, at })
}

/// The error for a record whose first token is not a brace.
#[cold]
fn not_an_object(json: &mut Cursor<'_>) -> Fault {
    let at = json.at;
    if json.at_end() {
        let code = if at == 0 { ErrorCode::Empty } else { ErrorCode::InvalidJson };
        return Fault { code, at };
    }
    match json.check_value() {
        Ok(()) => Fault { code: ErrorCode::NotAnObject, at },
        Err(fault) => fault,
    }
}
