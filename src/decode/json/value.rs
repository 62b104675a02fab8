//! One JSON value into one column.
//!
//! What a column takes follows ClickHouse's JSONEachRow at its default settings, with one rule on
//! top: where JSONEachRow stores something else than was written (300 into `UInt8` becomes 44, an
//! empty text becomes 0, a day that does not exist becomes another one), the record is refused.
//!
//! | column | takes |
//! |---|---|
//! | integers | numbers whose value is an integer (`5`, `5.0`, `5e2`), the same in quotes, true and false as 1 and 0, also in quotes |
//! | floats | numbers, the same in quotes, `NaN` and `Infinity` with quotes or without, true and false |
//! | `Bool` | true, false, 1, 0; in quotes also the engine's words: `t`, `yes`, `y`, `on`, `enable`, `enabled` and their opposites, in any case |
//! | `String` | strings; of numbers, literals, lists and objects their text as it stands |
//! | `Decimal` | numbers, the same in quotes; digits beyond the scale are cut off |
//! | dates, times, `Time`, `Time64` | see [`crate::decode::time`] |
//! | `UUID`, IPs | their usual texts; `IPv6` also an IPv4 text |
//! | enums | a name, a value, a value in quotes |
//! | `Array`, unnamed `Tuple` | a list, of a tuple exactly as long |
//! | `Map` | an object; keys that repeat are kept, as in ClickHouse |
//! | named `Tuple` | an object; missing fields get defaults, unknown ones are dropped |
//! | `Nested` | a list of objects, each as for a named `Tuple` |
//! | `Point`, `Ring`, `Polygon` and their like | lists of numbers as `[1.5, 2.5]`, and lists of such |
//! | `SimpleAggregateFunction` | what its type takes |
//! | `Variant` | what one of its types takes, tried in ClickHouse's order; a number is no `Bool` here, a text no `Decimal` |
//! | `JSON` | an object |
//! | `Dynamic` | see [`super::dynamic`] |
//! | any, for null | NULL where allowed, else the default |

use super::cursor::Cursor;
use super::dynamic::append_dynamic;
use super::single_keys::check_single_keys;

use crate::columns::{
    ArrayColumn, ColumnBuilder, DictionaryColumn, FixedColumn, FixedKind, JsonColumn, MapColumn, StringColumn,
    TupleColumn, VariantColumn,
};
use crate::decode::error::{ErrorCode, Fault};
use crate::decode::text::{
    append_bool, append_fixed_text, append_number, append_text, append_unbounded, holds_integers, is_particular,
    is_plainly,
};

type Outcome = Result<(), Fault>;

/// Takes one value and appends it to the column. The cursor stands at the value.
#[inline]
pub(crate) fn append_value(json: &mut Cursor<'_>, column: &mut ColumnBuilder, scratch: &mut Vec<u8>) -> Outcome {
    match column {
        ColumnBuilder::Fixed(column) => append_fixed(json, column, scratch),
        ColumnBuilder::String(column) => append_string(json, column, scratch),
        other => append_composite(json, other, scratch),
    }
}

fn append_composite(json: &mut Cursor<'_>, column: &mut ColumnBuilder, scratch: &mut Vec<u8>) -> Outcome {
    if json.peek() == b'n' {
        json.literal(b"null")?;
        column.push_zero();
        return Ok(());
    }
    match column {
        ColumnBuilder::Fixed(column) => append_fixed(json, column, scratch),
        ColumnBuilder::String(column) => append_string(json, column, scratch),
        ColumnBuilder::Dictionary(column) => append_dictionary(json, column, scratch),
        ColumnBuilder::Nullable(column) => {
            column.nulls.push(0);
            append_value(json, &mut column.values, scratch)
        }
        ColumnBuilder::Array(column) => append_array(json, column, scratch, append_value),
        ColumnBuilder::Map(column) => {
            append_map(json, column, scratch, |_| (), |(), json, column, scratch| append_value(json, column, scratch))
        }
        ColumnBuilder::Tuple(column) if column.names.iter().all(Option::is_some) => {
            append_named_tuple(json, column, scratch, |_, json, column, scratch| append_value(json, column, scratch))
        }
        ColumnBuilder::Tuple(column) => append_tuple(json, column, scratch, append_value),
        ColumnBuilder::Variant(column) if column.is_dynamic() => append_dynamic(json, column, scratch),
        ColumnBuilder::Variant(column) => append_variant(json, column, scratch),
        ColumnBuilder::Json(column) => append_text_of(json, column, scratch),
    }
}

fn append_variant(json: &mut Cursor<'_>, column: &mut VariantColumn, scratch: &mut Vec<u8>) -> Outcome {
    let start = json.mark();
    for number in 0..column.types() {
        let trial = column.trial(number);
        if !is_tried(json, scratch, trial)? {
            json.back_to(start);
            continue;
        }
        json.back_to(start);
        let fits = append_value(json, trial, scratch).is_ok();
        column.end_trial(number, fits);
        if fits {
            return Ok(());
        }
        json.back_to(start);
    }
    Err(mismatch(json))
}

/// Whether a type is tried for the value at the cursor, of those that would take it in a column of their own: as ClickHouse
/// does it, and where it is plainly one of its values. May take the value.
fn is_tried(json: &mut Cursor<'_>, scratch: &mut Vec<u8>, column: &ColumnBuilder) -> Result<bool, Fault> {
    Ok(match json.peek() {
        b'"' if is_particular(column) => is_plainly(json.string(scratch)?, column),
        b'"' => !holds_truths_or_decimals(column),
        b'0'..=b'9' | b'-' if holds_integers(column) => json.number()?.integral,
        first => !holds_truths(column) || matches!(first, b't' | b'f'),
    })
}

fn holds_truths(column: &ColumnBuilder) -> bool {
    is_of_kind(column, |kind| matches!(kind, FixedKind::Bool))
}

fn holds_truths_or_decimals(column: &ColumnBuilder) -> bool {
    is_of_kind(column, |kind| matches!(kind, FixedKind::Bool | FixedKind::Decimal { .. }))
}

fn is_of_kind(column: &ColumnBuilder, is: fn(&FixedKind) -> bool) -> bool {
    match column {
        ColumnBuilder::Fixed(column) => is(&column.kind),
        ColumnBuilder::Nullable(column) => is_of_kind(&column.values, is),
        ColumnBuilder::Dictionary(column) => is_of_kind(&column.values, is),
        _ => false,
    }
}

/// Appends the text of an object, which is checked to be JSON.
fn append_text_of(json: &mut Cursor<'_>, column: &mut JsonColumn, scratch: &mut Vec<u8>) -> Outcome {
    if json.peek() != b'{' {
        return Err(mismatch(json));
    }
    let start = json.at;
    json.check_value()?;
    let text = json.since(start);
    if let Some(keys) = &mut column.single_keys {
        check_single_keys(text, keys, scratch).map_err(|fault| Fault { at: start + fault.at, ..fault })?;
    }
    column.text.push(text);
    Ok(())
}

#[inline]
fn append_string(json: &mut Cursor<'_>, column: &mut StringColumn, scratch: &mut Vec<u8>) -> Outcome {
    if let Some((start, end)) = json.plain_string() {
        column.push_piece(json.text(), start, end);
        return Ok(());
    }
    if json.peek() == b'"' {
        column.push(json.string(scratch)?);
        return Ok(());
    }
    if json.peek() == b'n' {
        json.literal(b"null")?;
        column.push(b"");
        return Ok(());
    }
    let start = json.at;
    match json.peek() {
        b'{' | b'[' => json.skip_value()?,
        _ if json.skip_unbounded().is_some() => {}
        _ => json.check_value()?,
    }
    let text = json.since(start);
    // Such a byte stands where the record is no UTF-8.
    if let Some(place) = memchr::memchr(0, text) {
        return Err(Fault { code: ErrorCode::InvalidJson, at: start + place });
    }
    column.push(text);
    Ok(())
}

fn append_dictionary(json: &mut Cursor<'_>, column: &mut DictionaryColumn, scratch: &mut Vec<u8>) -> Outcome {
    if json.peek() == b'"' && matches!(column.values.as_ref(), ColumnBuilder::String(_)) {
        column.push_string(json.string(scratch)?);
        return Ok(());
    }
    append_value(json, &mut column.values, scratch)?;
    column.push_appended();
    Ok(())
}

/// Buffers that reading a value needs.
pub(super) trait HasScratch {
    /// Holds strings that have escapes.
    fn scratch(&mut self) -> &mut Vec<u8>;
}

impl HasScratch for Vec<u8> {
    fn scratch(&mut self) -> &mut Vec<u8> {
        self
    }
}

/// A list whose elements `each` appends.
pub(super) fn append_array<B>(
    json: &mut Cursor<'_>,
    column: &mut ArrayColumn,
    buffers: &mut B,
    each: impl Fn(&mut Cursor<'_>, &mut ColumnBuilder, &mut B) -> Outcome,
) -> Outcome {
    begin(json, b'[')?;
    let mut elements = 0;
    if json.next_token() == b']' {
        json.leave();
    } else {
        loop {
            json.next_token();
            each(json, &mut column.values, buffers)?;
            elements += 1;
            if !json.another(b']')? {
                break;
            }
        }
    }
    column.offsets.push(elements);
    Ok(())
}

/// An object of any keys, whose values `each` appends by what `find` says of the key.
pub(super) fn append_map<B: HasScratch, K>(
    json: &mut Cursor<'_>,
    column: &mut MapColumn,
    buffers: &mut B,
    find: impl Fn(&[u8]) -> K,
    each: impl Fn(K, &mut Cursor<'_>, &mut ColumnBuilder, &mut B) -> Outcome,
) -> Outcome {
    begin(json, b'{')?;
    let mut elements = 0;
    if json.next_token() == b'}' {
        json.leave();
    } else {
        loop {
            json.next_token();
            let at = json.at;
            let key = json.string(buffers.scratch())?;
            append_text(key, &mut column.keys).map_err(|code| Fault { code, at })?;
            let found = find(key);
            json.expect(b':')?;
            json.next_token();
            each(found, json, &mut column.values, buffers)?;
            elements += 1;
            if !json.another(b'}')? {
                break;
            }
        }
    }
    column.offsets.push(elements);
    Ok(())
}

/// A list that is as long as the tuple, whose elements `each` appends.
pub(super) fn append_tuple<B>(
    json: &mut Cursor<'_>,
    column: &mut TupleColumn,
    buffers: &mut B,
    each: impl Fn(&mut Cursor<'_>, &mut ColumnBuilder, &mut B) -> Outcome,
) -> Outcome {
    let start = json.at;
    let wrong_length = Err(Fault { code: ErrorCode::TypeMismatch, at: start });
    begin(json, b'[')?;
    if json.next_token() == b']' {
        return wrong_length;
    }
    let last = column.fields.len() - 1;
    for (place, field) in column.fields.iter_mut().enumerate() {
        json.next_token();
        each(json, field, buffers)?;
        if json.another(b']')? != (place < last) {
            return wrong_length;
        }
    }
    Ok(())
}

/// An object with the fields of the tuple, which `each` appends by their names.
pub(super) fn append_named_tuple<B: HasScratch>(
    json: &mut Cursor<'_>,
    column: &mut TupleColumn,
    buffers: &mut B,
    each: impl Fn(&str, &mut Cursor<'_>, &mut ColumnBuilder, &mut B) -> Outcome,
) -> Outcome {
    begin(json, b'{')?;
    // One bit per field; tuples with more fields than bits fall back to a list.
    let mut seen = FieldSet::new(column.fields.len());
    if json.next_token() == b'}' {
        json.leave();
    } else {
        loop {
            json.next_token();
            let at = json.at;
            let key = json.name(buffers.scratch())?;
            let mut names = column.names.iter().map(|name| name.as_deref().unwrap_or_default());
            let place = key.and_then(|key| names.position(|name| name.as_bytes() == key));
            json.expect(b':')?;
            json.next_token();
            match place {
                None => json.skip_value()?,
                Some(place) if !seen.insert(place) => {
                    let code = ErrorCode::DuplicateKey;
                    return Err(Fault { code, at });
                }
                Some(place) => {
                    let name = column.names[place].as_deref().unwrap_or_default();
                    each(name, json, &mut column.fields[place], buffers)?;
                }
            }
            if !json.another(b'}')? {
                break;
            }
        }
    }
    for (place, field) in column.fields.iter_mut().enumerate() {
        if seen.insert(place) {
            field.push_zero();
        }
    }
    Ok(())
}

/// Which fields of a tuple a row has.
enum FieldSet {
    Few(u128),
    Many(Vec<bool>),
}

impl FieldSet {
    fn new(fields: usize) -> Self {
        match fields {
            ..=128 => Self::Few(0),
            _ => Self::Many(vec![false; fields]),
        }
    }

    /// Whether the field was not there before.
    fn insert(&mut self, place: usize) -> bool {
        match self {
            Self::Few(bits) => {
                let bit = 1 << place;
                let new = *bits & bit == 0;
                *bits |= bit;
                new
            }
            Self::Many(seen) => !std::mem::replace(&mut seen[place], true),
        }
    }
}

/// Takes the bracket that the column needs.
pub(super) fn begin(json: &mut Cursor<'_>, bracket: u8) -> Outcome {
    if json.peek() == bracket {
        return json.enter();
    }
    Err(mismatch(json))
}

/// The error for a value of the wrong kind, or for what is no value at all.
#[cold]
pub(super) fn mismatch(json: &mut Cursor<'_>) -> Fault {
    let at = json.at;
    match json.skip_taken_value() {
        Ok(()) => Fault { code: ErrorCode::TypeMismatch, at },
        Err(fault) => fault,
    }
}

#[inline]
fn append_fixed(json: &mut Cursor<'_>, column: &mut FixedColumn, scratch: &mut Vec<u8>) -> Outcome {
    let at = json.at;
    let outcome = match json.peek() {
        b'0'..=b'9' | b'-' => match json.number() {
            Ok(number) => append_number(&number, column),
            Err(fault) => {
                json.at = at;
                append_word(json, fault, column)?
            }
        },
        b'"' => {
            let text = json.string(scratch)?;
            append_fixed_text(text, column)
        }
        b't' => {
            json.literal(b"true")?;
            append_bool(true, column)
        }
        b'f' => {
            json.literal(b"false")?;
            append_bool(false, column)
        }
        b'n' => {
            json.literal(b"null")?;
            column.push_zero();
            Ok(())
        }
        _ => {
            let fault = Fault { code: ErrorCode::TypeMismatch, at };
            append_word(json, fault, column)?
        }
    };
    outcome.map_err(|code| Fault { code, at })
}

/// Appends `NaN` and the like; of all else the fault.
#[cold]
fn append_word(json: &mut Cursor<'_>, fault: Fault, column: &mut FixedColumn) -> Result<Result<(), ErrorCode>, Fault> {
    match json.skip_unbounded() {
        Some(value) => Ok(append_unbounded(value, column)),
        None if fault.code == ErrorCode::TypeMismatch => Err(mismatch(json)),
        None => Err(fault),
    }
}
