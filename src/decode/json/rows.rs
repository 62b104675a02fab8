//! Records that make several rows: a list of objects, objects one after the other, or the elements of a list inside.
//!
//! Read row by row, so that nothing is kept of a record but the place in it, and of what is around a list the places that
//! [`super::around`] notes. What comes behind the last row is checked like any other byte.

use std::sync::atomic::{AtomicU64, Ordering};

use super::around::Around;
use super::{Cursor, JsonDecoder, byte_order_mark, check_utf8};
use crate::columns::{Columns, RowPlan};
use crate::config::Records;
use crate::decode::error::{ErrorCode, Fault, SeekFault};
use crate::decode::format::Stop;
use crate::decode::record::Rest;

/// How many readings were numbered. Of the whole process, because several decoders share the cursor of a record, and each
/// has to see whether what it noted is of this record.
static READINGS: AtomicU64 = AtomicU64::new(0);

/// How far the rows of a record were read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RowCursor {
    /// Rows read.
    pub(in crate::decode) rows: u64,
    /// Behind the last one, or at the next one.
    pub(in crate::decode) at: usize,
    /// Brackets open there.
    depth: u32,
    /// The number of this reading of the record, where decoders note something of it.
    reading: Option<u64>,
}

impl RowCursor {
    /// How many rows were read.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Goes back to where the cursor stood before, for another decoder of the same record.
    pub(crate) fn go_back(&mut self, before: &Self) {
        *self = Self { reading: self.reading, ..*before };
    }
}

/// What a record is expected to hold.
#[derive(Debug)]
pub(super) enum Expected {
    One,
    Array,
    Lines,
    /// A list somewhere in the value.
    Inside(Box<Around>),
}

impl JsonDecoder {
    /// Makes it one of records that hold their rows like this.
    pub(in crate::decode) fn expect_records(&mut self, plan: &RowPlan, records: &Records) {
        self.records = match records {
            Records::One => Expected::One,
            Records::Array => Expected::Array,
            Records::Lines => Expected::Lines,
            Records::Inside(path) => Expected::Inside(Box::new(Around::new(plan, path))),
        };
    }

    /// Goes to the next row of the text that begins at byte `at`; false where there is none left, and nothing else either.
    pub(in crate::decode) fn seek_row(
        &mut self,
        record: &[u8],
        at: usize,
        cursor: &mut RowCursor,
    ) -> Result<bool, SeekFault> {
        let first = cursor.rows == 0;
        match &mut self.records {
            Expected::One => {
                cursor.at = at;
                return Ok(first);
            }
            Expected::Array | Expected::Lines if first => {
                check_utf8(&record[at..]).map_err(|fault| Fault { at: at + fault.at, ..fault })?;
                (cursor.at, cursor.depth) = (at + byte_order_mark(&record[at..]), 0);
            }
            Expected::Array | Expected::Lines => {}
            Expected::Inside(around) => {
                let reading = *cursor.reading.get_or_insert_with(|| READINGS.fetch_add(1, Ordering::Relaxed));
                let noted = around.note(record, at, reading, &mut self.walk.buffers.scratch);
                self.walk.shrink();
                noted?;
                if first {
                    let Some((at, depth)) = around.list() else { return Ok(false) };
                    (cursor.at, cursor.depth) = (at, depth);
                }
            }
        }
        let mut json = Cursor::resume(record, cursor.at, cursor.depth);
        let found = match &self.records {
            Expected::One | Expected::Lines => {
                json.next_token();
                !json.at_end()
            }
            Expected::Array => {
                let found = seek_element(&mut json, first)?;
                if !found && (json.next_token() != 0 || !json.at_end()) {
                    return Err(json.fault(ErrorCode::TrailingData).into());
                }
                found
            }
            Expected::Inside(around) => {
                let found = seek_element(&mut json, first)?;
                if found && around.is_too_much(cursor.rows) {
                    return Err(json.fault(ErrorCode::TooMuchRepeated).into());
                }
                found
            }
        };
        (cursor.at, cursor.depth) = json.place();
        Ok(found)
    }

    /// The same as [`JsonDecoder::decode`] for the row at the cursor.
    pub(in crate::decode) fn decode_row(
        &mut self,
        record: &[u8],
        cursor: &mut RowCursor,
        rest: &mut Rest,
        columns: &mut Columns,
    ) -> Result<(), Stop> {
        if matches!(self.records, Expected::One) {
            return self.decode(record, cursor.at, rest, columns);
        }
        let mut json = Cursor::resume(record, cursor.at, cursor.depth);
        let mut decoded = self.decode_value(&mut json, rest, columns);
        if let (Expected::Inside(around), Ok(())) = (&self.records, decoded) {
            decoded = around.fill(record, &mut self.walk, columns);
        }
        self.walk.shrink();
        (cursor.at, cursor.depth) = json.place();
        Ok(decoded?)
    }
}

/// Goes to the next element of a list, or behind its end.
fn seek_element(json: &mut Cursor<'_>, first: bool) -> Result<bool, Fault> {
    if !first {
        let another = json.another(b']')?;
        json.next_token();
        return Ok(another);
    }
    match json.next_token() {
        b'[' => json.enter()?,
        0 if json.at_end() => return Err(json.fault(ErrorCode::Empty)),
        _ => return Err(json.fault(ErrorCode::NotAList)),
    }
    let any = json.next_token() != b']';
    if !any {
        json.leave();
    }
    Ok(any)
}
