//! One JSON value into one column.
//!
//! What a column takes follows ClickHouse's JSONEachRow at its default settings, with one rule on
//! top: where JSONEachRow stores something else than was written (300 into `UInt8` becomes 44, an
//! empty text becomes 0, a day that does not exist becomes another one), the record is refused.
//!
//! | column | takes |
//! |---|---|
//! | integers | numbers without fraction or exponent, the same in quotes, true and false as 1 and 0 |
//! | floats | numbers, the same in quotes, "nan", "inf", true and false |
//! | `Bool` | true, false, 1, 0 |
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

use crate::columns::{
    ArrayColumn, ColumnBuilder, DictionaryColumn, FixedColumn, FixedKind, JsonColumn, MapColumn, StringColumn,
    TupleColumn, VariantColumn,
};
use crate::decode::error::{ErrorCode, Fault};
use crate::decode::text::{append_bool, append_fixed_text, append_number, append_text};

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
        ColumnBuilder::Json(column) => append_text_of(json, column),
    }
}

fn append_variant(json: &mut Cursor<'_>, column: &mut VariantColumn, scratch: &mut Vec<u8>) -> Outcome {
    let (start, first) = (json.mark(), json.peek());
    for number in 0..column.types() {
        let trial = column.trial(number);
        if !is_tried(first, trial) {
            continue;
        }
        let fits = append_value(json, trial, scratch).is_ok();
        column.end_trial(number, fits);
        if fits {
            return Ok(());
        }
        json.back_to(start);
    }
    Err(mismatch(json))
}

/// Whether ClickHouse tries a type for a value with this first byte, of those that it would take in a column of their own.
fn is_tried(first: u8, column: &ColumnBuilder) -> bool {
    match column {
        ColumnBuilder::Fixed(column) => match column.kind {
            FixedKind::Bool => matches!(first, b't' | b'f'),
            FixedKind::Decimal { .. } => first != b'"',
            _ => true,
        },
        ColumnBuilder::Nullable(column) => is_tried(first, &column.values),
        ColumnBuilder::Dictionary(column) => is_tried(first, &column.values),
        _ => true,
    }
}

/// Appends the text of an object, which is checked to be JSON.
fn append_text_of(json: &mut Cursor<'_>, column: &mut JsonColumn) -> Outcome {
    if json.peek() != b'{' {
        return Err(mismatch(json));
    }
    let start = json.at;
    json.skip_value()?;
    column.text.push(json.since(start));
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
    json.skip_value()?;
    column.push(json.since(start));
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
            let key = json.string(buffers.scratch())?;
            let mut names = column.names.iter().map(|name| name.as_deref().unwrap_or_default());
            let place = names.position(|name| name.as_bytes() == key);
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
fn mismatch(json: &mut Cursor<'_>) -> Fault {
    let at = json.at;
    match json.skip_value() {
        Ok(()) => Fault { code: ErrorCode::TypeMismatch, at },
        Err(fault) => fault,
    }
}

#[inline]
fn append_fixed(json: &mut Cursor<'_>, column: &mut FixedColumn, scratch: &mut Vec<u8>) -> Outcome {
    let at = json.at;
    let outcome = match json.peek() {
        b'0'..=b'9' | b'-' => append_number(&json.number()?, column),
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
        _ => return Err(mismatch(json)),
    };
    outcome.map_err(|code| Fault { code, at })
}
