//! Values whose meaning only the name of their schema says: years, bits, and texts that are more than texts.

use ethnum::I256;

use super::text::ShortText;
use super::{Outcome, TextMeaning, Typed, append_bytes, append_fixed, append_int, append_typed, is_integer};
use crate::columns::{ArrayColumn, ColumnBuilder, FixedColumn, FixedKind, Zone};
use crate::decode::error::ErrorCode;
use crate::decode::json::append_json;
use crate::decode::text::append_fixed_text;
use crate::decode::time::Moment;

const SECONDS_PER_DAY: i64 = 86_400;
/// Longest text of a time of day with its zone.
const CLOCK_BYTES_MAX: usize = 40;

/// A year: as a date its first day.
pub(super) fn append_year(year: i64, column: &mut FixedColumn) -> Outcome {
    match column.kind {
        FixedKind::Date | FixedKind::Date32 | FixedKind::DateTime(_) | FixedKind::DateTime64 { .. } => {
            if !(0..=9_999).contains(&year) {
                return Err(ErrorCode::OutOfRange.of_sign(year < 0));
            }
            append_fixed_text(ShortText::of(format_args!("{year:04}-01-01")).as_bytes(), column)
        }
        FixedKind::Time | FixedKind::Time64 { .. } => Err(ErrorCode::TypeMismatch),
        _ => append_int(year, column),
    }
}

/// A date or a time of day with its zone.
pub(super) fn append_zoned(text: &str, column: &mut FixedColumn) -> Outcome {
    match column.kind {
        FixedKind::Date | FixedKind::Date32 => append_fixed_text(without_zone(text).as_bytes(), column),
        FixedKind::Time | FixedKind::Time64 { .. } if text.contains(':') && text.len() <= CLOCK_BYTES_MAX => {
            let mut utc = Zone::named("UTC").expect("UTC is known");
            let moment = ShortText::of(format_args!("1970-01-02T{text}"));
            let (seconds, nanos) = Moment::from_text(moment.as_bytes(), &mut utc)?.parts();
            let nanos = i32::try_from(nanos).map_err(|_| ErrorCode::InvalidTime)?;
            append_fixed(Typed::Span { seconds: seconds.rem_euclid(SECONDS_PER_DAY), nanos }, column)
        }
        _ => append_fixed_text(text.as_bytes(), column),
    }
}

/// A date without `Z` or an offset behind it.
fn without_zone(text: &str) -> &str {
    match text.as_bytes() {
        [_, _, _, _, b'-', _, _, b'-', _, _, b'Z' | b'+' | b'-', ..] => text.get(..10).unwrap_or(text),
        _ => text,
    }
}

/// A text into a column that is made of parts.
pub(super) fn append_parts(text: &str, meaning: TextMeaning, column: &mut ColumnBuilder) -> Outcome {
    match (meaning, column) {
        (TextMeaning::Json, column) => append_json(text.as_bytes(), column).map_err(|fault| fault.code),
        (TextMeaning::Set, ColumnBuilder::Array(column)) => append_set(text, column),
        _ => Err(ErrorCode::TypeMismatch),
    }
}

fn append_set(text: &str, column: &mut ArrayColumn) -> Outcome {
    let mut elements = 0;
    for element in text.split(',').filter(|_| !text.is_empty()) {
        append_typed(Typed::Text(element), &mut column.values)?;
        elements += 1;
    }
    column.offsets.push(elements);
    Ok(())
}

/// Bits as a number, else as they are.
pub(super) fn append_bits(bits: &[u8], column: &mut FixedColumn) -> Outcome {
    if !is_integer(&column.kind) && !matches!(column.kind, FixedKind::Bool) {
        return append_bytes(bits, column);
    }
    let mut wide = [0; 32];
    let kept = bits.len() - bits.iter().rev().take_while(|byte| **byte == 0).count();
    wide.get_mut(..kept).ok_or(ErrorCode::OutOfRange)?.copy_from_slice(&bits[..kept]);
    let unscaled = I256::from_le_bytes(wide);
    if unscaled < I256::ZERO {
        return Err(ErrorCode::OutOfRange);
    }
    match u64::try_from(unscaled) {
        Ok(value) => append_fixed(Typed::UInt(value), column),
        Err(_) => append_fixed(Typed::Decimal { unscaled, scale: 0 }, column),
    }
}
