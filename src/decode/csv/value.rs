//! One field into one column.
//!
//! What a column takes follows ClickHouse's CSV, with the JSON decoder's rule on top: what would be stored as something
//! else than was written is refused.
//!
//! | column | takes |
//! |---|---|
//! | `String`, `FixedString` | the text |
//! | other plain types | the text, as the content of a JSON string; blanks around it mean nothing |
//! | `Variant` | the text, as the first type that takes it |
//! | `Dynamic` | JSON but for strings and null; any other text, of which a date or a time is one |
//! | `JSON`, `Array`, `Map`, `Tuple` | JSON; ClickHouse writes lists in a way of its own, with single quotes |

use crate::columns::{ColumnBuilder, FixedColumn, FixedKind, VariantColumn};
use crate::decode::error::{ErrorCode, Fault, Stage};
use crate::decode::json::{Cursor, append_dynamic_text, append_json_with};
use crate::decode::text::{append_fixed_text, append_number, is_plainly};

/// Appends what stands from `start` to `end` of a text. The fault's place counts from `start`.
#[inline]
pub(super) fn append_field(
    text: &[u8],
    start: usize,
    end: usize,
    column: &mut ColumnBuilder,
    scratch: &mut Vec<u8>,
) -> Result<(), Fault> {
    match column {
        ColumnBuilder::Fixed(column) => append_fixed(text, start, end, column).map_err(at_the_start),
        ColumnBuilder::String(column) => {
            column.push_piece(text, start, end);
            Ok(())
        }
        other => append_other(&text[start..end], other, scratch),
    }
}

fn append_other(text: &[u8], builder: &mut ColumnBuilder, scratch: &mut Vec<u8>) -> Result<(), Fault> {
    match builder {
        ColumnBuilder::Dictionary(column) => match column.values.as_mut() {
            ColumnBuilder::String(_) => column.push_string(text),
            values => {
                append_field(text, 0, text.len(), values, scratch)?;
                column.push_appended();
            }
        },
        ColumnBuilder::Nullable(column) => {
            column.nulls.push(0);
            append_field(text, 0, text.len(), &mut column.values, scratch)?;
        }
        ColumnBuilder::Variant(column) if column.is_dynamic() => {
            if !is_json(text) {
                return append_dynamic_text(text, column).map_err(at_the_start);
            }
            append_json_field(text, builder, scratch)?;
        }
        ColumnBuilder::Variant(column) => append_variant(text, column, scratch)?,
        composite => append_json_field(text, composite, scratch)?,
    }
    Ok(())
}

fn append_variant(text: &[u8], column: &mut VariantColumn, scratch: &mut Vec<u8>) -> Result<(), Fault> {
    for number in 0..column.types() {
        let trial = column.trial(number);
        // Of the words for truths ClickHouse takes two here: the others are texts as well.
        if holds_truths(trial) && !matches!(text, b"true" | b"false") || !is_plainly(text, trial) {
            continue;
        }
        let fits = append_field(text, 0, text.len(), trial, scratch).is_ok();
        column.end_trial(number, fits);
        if fits {
            return Ok(());
        }
    }
    Err(at_the_start(ErrorCode::TypeMismatch))
}

fn holds_truths(column: &ColumnBuilder) -> bool {
    match column {
        ColumnBuilder::Fixed(column) => matches!(column.kind, FixedKind::Bool),
        ColumnBuilder::Dictionary(column) => holds_truths(&column.values),
        _ => false,
    }
}

/// Whether a text is a number, a truth, a list or an object.
fn is_json(text: &[u8]) -> bool {
    let mut json = Cursor::new(text);
    matches!(json.peek(), b'0'..=b'9' | b'-' | b't' | b'f' | b'[' | b'{') && json.check_value().is_ok() && json.at_end()
}

/// Appends JSON that stands in a field. The record is well formed whatever is in there: a field that is not JSON is a value
/// that does not fit.
pub(super) fn append_json_field(text: &[u8], column: &mut ColumnBuilder, scratch: &mut Vec<u8>) -> Result<(), Fault> {
    append_json_with(text, column, scratch).map_err(|fault| match fault.code.stage() {
        Stage::Convert => fault,
        Stage::Decode => Fault { code: ErrorCode::TypeMismatch, ..fault },
    })
}

#[inline]
fn append_fixed(text: &[u8], start: usize, end: usize, column: &mut FixedColumn) -> Result<(), ErrorCode> {
    if holds_numbers(&column.kind) {
        // Quicker where more text follows; what is no number as JSON writes it may be one all the same.
        let mut cursor = Cursor::new(text);
        cursor.at = start;
        if let Ok(number) = cursor.number()
            && cursor.at == end
        {
            return append_number(&number, column);
        }
    }
    let text = &text[start..end];
    match append_fixed_text(text, column) {
        // The content of a fixed string is a text; around all else blanks mean nothing.
        Err(_) if text.trim_ascii().len() < text.len() && !matches!(column.kind, FixedKind::FixedString) => {
            append_fixed_text(text.trim_ascii(), column)
        }
        outcome => outcome,
    }
}

/// Whether values are numbers and nothing else: of times and enums a number is one form among others.
#[inline]
fn holds_numbers(kind: &FixedKind) -> bool {
    use FixedKind::{
        BFloat16, Decimal, Float32, Float64, Int8, Int16, Int32, Int64, Int128, Int256, UInt8, UInt16, UInt32, UInt64,
        UInt128, UInt256,
    };
    let signed = matches!(kind, Int8 | Int16 | Int32 | Int64 | Int128 | Int256);
    let unsigned = matches!(kind, UInt8 | UInt16 | UInt32 | UInt64 | UInt128 | UInt256);
    signed || unsigned || matches!(kind, BFloat16 | Float32 | Float64 | Decimal { .. })
}

#[cold]
fn at_the_start(code: ErrorCode) -> Fault {
    Fault { code, at: 0 }
}
