//! Records that hold several objects: a list of them, or one after the other. Each becomes a row.
//!
//! Read object by object, so that nothing is kept of a record but the place in it. What comes behind the last object is
//! checked like any other byte.

use super::{Cursor, JsonDecoder, check_utf8};
use crate::columns::Columns;
use crate::config::Records;
use crate::decode::error::{ErrorCode, Fault};
use crate::decode::record::Rest;

/// How far the rows of a record were read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RowCursor {
    /// Rows read.
    pub(in crate::decode) rows: u64,
    /// Behind the last one, or at the next one.
    at: usize,
    /// Brackets open there.
    depth: u32,
}

impl RowCursor {
    /// How many rows were read.
    pub fn rows(&self) -> u64 {
        self.rows
    }
}

impl JsonDecoder {
    /// Makes it one of records that hold so many objects.
    pub(in crate::decode) fn expect_records(&mut self, records: Records) {
        self.records = records;
    }

    /// Goes to the next object of the text that begins at byte `at`; false where there is none left, and nothing else
    /// either.
    pub(in crate::decode) fn seek_row(
        &mut self,
        record: &[u8],
        at: usize,
        cursor: &mut RowCursor,
    ) -> Result<bool, Fault> {
        let first = cursor.rows == 0;
        if self.records == Records::One {
            cursor.at = at;
            return Ok(first);
        }
        if first {
            check_utf8(&record[at..]).map_err(|fault| Fault { at: at + fault.at, ..fault })?;
            (cursor.at, cursor.depth) = (at, 0);
        }
        let mut json = Cursor::resume(record, cursor.at, cursor.depth);
        let found = if self.records == Records::Array {
            seek_element(&mut json, first)?
        } else {
            json.next_token();
            !json.at_end()
        };
        (cursor.at, cursor.depth) = json.place();
        Ok(found)
    }

    /// The same as [`JsonDecoder::decode`] for the object at the cursor.
    pub(in crate::decode) fn decode_row(
        &mut self,
        record: &[u8],
        cursor: &mut RowCursor,
        rest: &mut Rest,
        columns: &mut Columns,
    ) -> Result<(), Fault> {
        if self.records == Records::One {
            return self.decode(record, cursor.at, rest, columns);
        }
        let mut json = Cursor::resume(record, cursor.at, cursor.depth);
        let decoded = self.decode_value(&mut json, rest, columns);
        self.walk.shrink();
        (cursor.at, cursor.depth) = json.place();
        decoded
    }
}

fn seek_element(json: &mut Cursor<'_>, first: bool) -> Result<bool, Fault> {
    let another = if first {
        match json.next_token() {
            b'[' => json.enter()?,
            0 if json.at_end() => return Err(json.fault(ErrorCode::Empty)),
            _ => return Err(json.fault(ErrorCode::NotAList)),
        }
        let another = json.next_token() != b']';
        if !another {
            json.leave();
        }
        another
    } else {
        json.another(b']')?
    };
    let next = json.next_token();
    if !another && (next != 0 || !json.at_end()) {
        return Err(json.fault(ErrorCode::TrailingData));
    }
    Ok(another)
}
