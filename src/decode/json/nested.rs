//! A list of objects to a column of a flattened Nested: what its field holds in each of them.
//!
//! `{"n": [{"a": 1, "b": "x"}, {"a": 2}]}` gives `n.a` [1, 2] and `n.b` ['x', '']. One pass over the list for each column, so
//! that each is whole or taken back by itself. Unlike elsewhere a value that does not fit is not replaced: a list of another
//! length is what the engine refuses.

use super::cursor::Cursor;
use super::hints::{Buffers, Hint, append_maybe};
use super::value::begin;
use crate::columns::{ArrayColumn, ColumnBuilder};
use crate::decode::error::{ErrorCode, Fault};

/// Appends one list. The cursor stands at its bracket.
pub(super) fn append_field_of_each(
    json: &mut Cursor<'_>,
    field: &str,
    hint: Option<&Hint>,
    column: &mut ArrayColumn,
    buffers: &mut Buffers,
) -> Result<(), Fault> {
    begin(json, b'[')?;
    let mut objects = 0;
    if json.next_token() == b']' {
        json.leave();
    } else {
        loop {
            json.next_token();
            append_field(json, field, hint, &mut column.values, buffers)?;
            objects += 1;
            if !json.another(b']')? {
                break;
            }
        }
    }
    column.offsets.push(objects);
    Ok(())
}

/// Appends what an object holds under a name, or a zero where it has none or is null. The cursor stands at the object.
fn append_field(
    json: &mut Cursor<'_>,
    field: &str,
    hint: Option<&Hint>,
    values: &mut ColumnBuilder,
    buffers: &mut Buffers,
) -> Result<(), Fault> {
    if json.peek() == b'n' {
        json.literal(b"null")?;
        values.push_zero();
        return Ok(());
    }
    begin(json, b'{')?;
    let mut found = false;
    if json.next_token() == b'}' {
        json.leave();
    } else {
        loop {
            json.next_token();
            let at = json.at;
            let is_it = json.name(&mut buffers.scratch)? == Some(field.as_bytes());
            json.expect(b':')?;
            json.next_token();
            if !is_it {
                json.skip_value()?;
            } else if std::mem::replace(&mut found, true) {
                return Err(Fault { code: ErrorCode::DuplicateKey, at });
            } else {
                append_maybe(hint, json, values, buffers)?;
            }
            if !json.another(b'}')? {
                break;
            }
        }
    }
    if !found {
        values.push_zero();
    }
    Ok(())
}
