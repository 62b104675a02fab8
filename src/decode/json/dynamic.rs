//! A JSON value of any kind into a `Dynamic` column.
//!
//! Numbers, booleans, texts, lists of one of these kinds, with nulls or without, and objects. A text that is a date or a
//! time is one, as in JSONEachRow. Another list would need a type that depends on its neighbours, so it is refused.

use super::cursor::Cursor;
use super::value::append_value;
use crate::columns::{ColumnBuilder, DynamicKind, VariantColumn};
use crate::decode::error::{ErrorCode, Fault};
use crate::decode::number::Number;
use crate::decode::text::append_text;

/// Appends the value at the cursor, which is not null.
pub(super) fn append_dynamic(
    json: &mut Cursor<'_>,
    column: &mut VariantColumn,
    scratch: &mut Vec<u8>,
) -> Result<(), Fault> {
    let start = json.mark();
    let kind = kind_of(json, scratch)?;
    json.back_to(start);
    let appended = append(json, kind, column, scratch);
    if appended.is_ok() || !matches!(kind, DynamicKind::Date | DynamicKind::DateTime | DynamicKind::DateTime64) {
        return appended;
    }
    json.back_to(start);
    append(json, DynamicKind::Text, column, scratch)
}

/// Appends a text that stands for itself, not for JSON.
pub(in crate::decode) fn append_dynamic_text(text: &[u8], column: &mut VariantColumn) -> Result<(), ErrorCode> {
    for kind in [text_kind(text), DynamicKind::Text] {
        let appended = append_text(text, column.trial(kind.place()));
        column.end_trial(kind.place(), appended.is_ok());
        if appended.is_ok() {
            return Ok(());
        }
    }
    Err(ErrorCode::TypeMismatch)
}

fn append(
    json: &mut Cursor<'_>,
    kind: DynamicKind,
    column: &mut VariantColumn,
    scratch: &mut Vec<u8>,
) -> Result<(), Fault> {
    let appended = match column.trial(kind.place()) {
        ColumnBuilder::Tuple(object) => {
            let start = json.at;
            json.check_value().map(|()| {
                if let [ColumnBuilder::String(text)] = object.fields.as_mut_slice() {
                    text.push(json.since(start));
                }
            })
        }
        trial => append_value(json, trial, scratch),
    };
    column.end_trial(kind.place(), appended.is_ok());
    appended
}

/// Takes the value.
fn kind_of(json: &mut Cursor<'_>, scratch: &mut Vec<u8>) -> Result<DynamicKind, Fault> {
    match json.peek() {
        b'"' => json.string(scratch).map(text_kind),
        b't' | b'f' => Ok(DynamicKind::Bool),
        b'{' => Ok(DynamicKind::Object),
        b'[' => list_kind(json),
        _ => json.number().map(|number| number_kind(&number)),
    }
}

/// What a text may be: whether it is shows when it is read.
fn text_kind(text: &[u8]) -> DynamicKind {
    match text {
        [_, _, _, _, b'-', _, _, b'-', _, _] => DynamicKind::Date,
        // With a comma it is a text to the engine.
        [_, _, _, _, b'-', _, _, b'-', _, _, b'T' | b' ', rest @ ..] if rest.contains(&b',') => DynamicKind::Text,
        [_, _, _, _, b'-', _, _, b'-', _, _, b'T' | b' ', rest @ ..] if rest.contains(&b'.') => DynamicKind::DateTime64,
        [_, _, _, _, b'-', _, _, b'-', _, _, b'T' | b' ', ..] => DynamicKind::DateTime,
        _ => DynamicKind::Text,
    }
}

fn number_kind(number: &Number<'_>) -> DynamicKind {
    match number {
        number if !number.integral => DynamicKind::Float,
        number if number.signed().is_ok() => DynamicKind::Integer,
        number if number.unsigned().is_ok() => DynamicKind::Unsigned,
        // No number type of JSONEachRow holds it.
        _ => DynamicKind::Text,
    }
}

fn list_kind(json: &mut Cursor<'_>) -> Result<DynamicKind, Fault> {
    let mixed = json.fault(ErrorCode::TypeMismatch);
    let (mut of, mut nulls) = (None, false);
    json.enter()?;
    if json.next_token() == b']' {
        return Ok(DynamicKind::Texts);
    }
    loop {
        let kind = match json.next_token() {
            b'n' => None,
            b't' | b'f' => Some(DynamicKind::Bool),
            b'"' => Some(DynamicKind::Text),
            b'0'..=b'9' | b'-' => {
                let start = json.mark();
                let integral = json.number()?.integral;
                json.back_to(start);
                Some(if integral { DynamicKind::Integer } else { DynamicKind::Float })
            }
            _ => {
                json.skip_value()?;
                return Err(mixed);
            }
        };
        json.skip_value()?;
        nulls |= kind.is_none();
        of = match (of, kind) {
            (of, None) => of,
            (None, kind) => kind,
            (Some(one), Some(other)) if one == other => Some(one),
            (Some(DynamicKind::Integer | DynamicKind::Float), Some(DynamicKind::Integer | DynamicKind::Float)) => {
                Some(DynamicKind::Float)
            }
            _ => return Err(mixed),
        };
        if !json.another(b']')? {
            break;
        }
    }
    Ok(match (of, nulls) {
        (Some(DynamicKind::Bool), false) => DynamicKind::Bools,
        (Some(DynamicKind::Bool), true) => DynamicKind::BoolsAndNulls,
        (Some(DynamicKind::Integer), false) => DynamicKind::Integers,
        (Some(DynamicKind::Integer), true) => DynamicKind::IntegersAndNulls,
        (Some(DynamicKind::Float), false) => DynamicKind::Floats,
        (Some(DynamicKind::Float), true) => DynamicKind::FloatsAndNulls,
        (_, false) => DynamicKind::Texts,
        (_, true) => DynamicKind::TextsAndNulls,
    })
}
