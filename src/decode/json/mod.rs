//! JSON records to columns, in one pass.
//!
//! Strict by RFC 8259, also in what is skipped: UTF-8 and surrogates are checked, brackets nest
//! at most [`DEPTH_MAX`] deep, one object per record, nothing after it. Behaviour where the RFC or
//! users disagree:
//!
//! - A key that has a column and occurs twice makes a dead letter: parsers disagree which one
//!   counts (ClickHouse keeps the first, most others the last). Keys without a column may repeat.
//! - Keys are compared byte by byte after unescaping. Unknown keys are checked and dropped.
//! - A missing field, and null for a column that has no NULL, give the column's default.

mod cursor;
mod keys;
mod value;

#[cfg(test)]
mod tests;

use std::sync::Arc;

pub(super) use self::cursor::Cursor;
use self::keys::{KeyGuess, START};
use self::value::append_value;
use super::error::{DecodeError, ErrorCode, Fault};
use crate::columns::{ColumnBuilder, Columns, RowPlan};

/// Largest buffer that is kept from one record to the next: one record of 16 MB must not cost 16 MB for good.
const SCRATCH_BYTES_KEPT: usize = 1 << 20;

/// Decodes the JSON records of one table. One per thread that decodes.
#[derive(Debug)]
pub struct JsonDecoder {
    plan: Arc<RowPlan>,
    /// Per column: whether null is a value.
    accepts_null: Vec<bool>,
    keys: KeyGuess,
    /// Holds strings that have escapes.
    scratch: Vec<u8>,
    /// The column whose value was begun last, for messages.
    column: Option<usize>,
}

impl JsonDecoder {
    /// A decoder for columns made from this plan.
    pub fn new(plan: &Arc<RowPlan>) -> Self {
        let specs = &plan.columns;
        Self {
            plan: Arc::clone(plan),
            accepts_null: specs.iter().map(|s| s.column_type.accepts_null()).collect(),
            keys: KeyGuess::new(specs),
            scratch: Vec::new(),
            column: None,
        }
    }

    /// Appends one record as an open row; the caller commits it or rolls it back.
    ///
    /// # Errors
    /// Says what is wrong; the row has then been rolled back in every column.
    ///
    /// # Panics
    /// Where the row before was neither committed nor rolled back.
    pub fn decode(&mut self, record: &[u8], columns: &mut Columns) -> Result<(), DecodeError> {
        debug_assert!(Arc::ptr_eq(&self.plan, columns.plan()));
        columns.begin_row();
        self.column = None;
        let decoded = self.decode_object(record, columns).map_err(|fault| {
            columns.rollback_row();
            let spec = self.column.map(|column| &self.plan.columns[column]);
            fault.explain(record, spec.map(|s| (s.name.as_str(), s.type_text.as_str())))
        });
        if self.scratch.capacity() > SCRATCH_BYTES_KEPT {
            self.scratch = Vec::new();
        }
        decoded
    }

    fn decode_object(&mut self, record: &[u8], columns: &mut Columns) -> Result<(), Fault> {
        check_utf8(record)?;
        let mut json = Cursor::new(record);
        let mut place = START;
        while let Some(column) = self.next_key(&mut json, &mut place)? {
            json.next_token();
            match column {
                Target::Skip => {
                    self.column = None;
                    json.skip_value()?;
                }
                Target::Column(column) => self.field(&mut json, column, columns)?,
            }
        }
        if json.next_token() != 0 || !json.at_end() {
            return Err(json.fault(ErrorCode::TrailingData));
        }
        columns.complete_row();
        Ok(())
    }

    /// Takes all between two values, from the opening brace on; `None` after the closing one.
    #[inline]
    fn next_key(&mut self, json: &mut Cursor<'_>, place: &mut usize) -> Result<Option<Target>, Fault> {
        if let Some((found, bytes)) = self.keys.guess(*place, json.rest()) {
            let after = json.at + bytes;
            if *place == START {
                json.enter()?;
            }
            json.at = after;
            *place = found;
            return Ok(Some(self.target(found)));
        }
        self.parse_key(json, place)
    }

    #[inline(never)]
    fn parse_key(&mut self, json: &mut Cursor<'_>, place: &mut usize) -> Result<Option<Target>, Fault> {
        self.column = None;
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
        let key = json.string(&mut self.scratch)?;
        let found = self.keys.look_up(key);
        json.expect(b':')?;
        json.next_token();
        self.keys.learn(*place, json.since(start), found);
        *place = found;
        Ok(Some(self.target(found)))
    }

    #[inline]
    fn target(&self, place: usize) -> Target {
        self.keys.column(place).map_or(Target::Skip, Target::Column)
    }

    #[inline]
    fn field(&mut self, json: &mut Cursor<'_>, column: usize, columns: &mut Columns) -> Result<(), Fault> {
        self.column = Some(column);
        let Some(builder) = columns.open(column) else {
            return Err(json.fault(ErrorCode::DuplicateKey));
        };
        if json.peek() == b'n' && !self.accepts_null[column] {
            json.literal(b"null")?;
            columns.append_default(column);
            return Ok(());
        }
        append_value(json, builder, &mut self.scratch)
    }
}

/// What is to be done with a value.
enum Target {
    Column(usize),
    Skip,
}

/// Appends one JSON value to a column that is not part of a row.
pub(crate) fn append_json_text(text: &str, column: &mut ColumnBuilder) -> Result<(), DecodeError> {
    let mut json = Cursor::new(text.as_bytes());
    json.next_token();
    append_value(&mut json, column, &mut Vec::new())
        .and_then(|()| match json.next_token() {
            0 if json.at_end() => Ok(()),
            _ => Err(json.fault(ErrorCode::TrailingData)),
        })
        .map_err(|fault| fault.explain(text.as_bytes(), None))
}

fn check_utf8(record: &[u8]) -> Result<(), Fault> {
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
    match json.skip_value() {
        Ok(()) => Fault { code: ErrorCode::NotAnObject, at },
        Err(fault) => fault,
    }
}
