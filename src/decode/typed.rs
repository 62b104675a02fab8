//! Values of formats that have types of their own (Avro, Protobuf) into columns.
//!
//! What a column takes:
//!
//! | value | columns |
//! |---|---|
//! | boolean | as in JSON |
//! | integer | as a JSON number; NULL-free and without a detour for integer and float columns |
//! | float | floats; integers where it is one, exactly; decimals and `String` by its shortest text |
//! | text | as a JSON string |
//! | bytes | `String`, `FixedString` that is long enough; 16 bytes also `UUID` and `IPv6`, 4 bytes `IPv4` |
//! | enum | enums by name, `String`, integers by number |
//! | decimal | as a JSON number, exactly |
//! | date | `Date`, `Date32`, times at midnight UTC, integers in days, `String` as `2026-01-31` |
//! | timestamp | times and dates in UTC, integers in its own unit, `String` as `2026-01-31T00:00:00Z` |
//! | local timestamp | the same, read in the column's time zone; `String` without the `Z` |
//! | time of day | `Time`, `Time64`, integers in its own unit, `String` as `13:45:00.5` |
//! | span | `Time`, `Time64`, numbers in seconds, `String` as `1.5s` |
//! | calendar duration | `FixedString` as its 12 bytes (months, days, milliseconds, little-endian), as ClickHouse; `String` as `P1M2DT3.004S` |
//! | UUID | `UUID`, `String`, `UInt128`, `FixedString(16)`; its text in a `FixedString` of 36 |
//! | year | integers, dates and times as its first day, `String` |
//! | text with a zone | dates without it, `Time` and `Time64` in UTC; else as a text |
//! | text that is a JSON document | lists, maps, tuples and `JSON` as in JSON; else as a text |
//! | text that is a set, with commas | `Array` of its elements; else as a text |
//! | bits | integers, the first byte the least; else as bytes |
//!
//! Never changes a value in silence: what does not fit is an error.

mod meant;
#[cfg(test)]
mod tests;
mod text;
mod unscaled;

use ethnum::{AsU256 as _, I256};

pub(crate) use self::text::{DECIMAL_SCALE_MAX, text_of, write_json, write_json_text};
use self::text::{seconds_text, span_text};
pub(crate) use self::unscaled::decimal_of_bytes;
use super::error::ErrorCode;
use super::json::append_json;
use super::text::{
    append_bool, append_fixed_text, append_number, holds_integers, is_integer, is_plainly, number_from_text,
    push_bfloat16,
};
use super::time::{self, Moment};
use crate::columns::{ColumnBuilder, DynamicKind, FixedColumn, FixedKind, VariantColumn};

/// A value as its format gives it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Typed<'a> {
    Bool(bool),
    Int(i64),
    UInt(u64),
    Float32(f32),
    Float64(f64),
    /// Checked to be UTF-8.
    Text(&'a str),
    Bytes(&'a [u8]),
    Enum {
        /// `None` where the schema has none for the number.
        name: Option<&'a str>,
        number: i32,
    },
    Decimal {
        unscaled: I256,
        scale: u32,
    },
    /// Days since 1970-01-01.
    Date(i64),
    /// Ticks since 1970-01-01 UTC; a second has `10^precision`.
    Timestamp {
        ticks: i64,
        precision: u8,
    },
    /// Seconds since 1970-01-01 UTC and nanoseconds that follow them.
    Instant {
        seconds: i64,
        nanos: u32,
    },
    /// Ticks since 1970-01-01 of a clock whose zone is not known.
    LocalTimestamp {
        ticks: i64,
        precision: u8,
    },
    /// Ticks since midnight.
    TimeOfDay {
        ticks: i64,
        precision: u8,
    },
    /// Seconds and nanoseconds of one sign.
    Span {
        seconds: i64,
        nanos: i32,
    },
    Duration {
        months: u32,
        days: u32,
        millis: u32,
    },
    Uuid(u128),
    /// A year of the calendar.
    Year(i64),
    /// A text that means more than its characters.
    Meant(&'a str, TextMeaning),
    /// Bits, the first byte the least.
    Bits(&'a [u8]),
}

/// What a text is beyond its characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TextMeaning {
    /// A date or a time of day with its zone.
    Zoned,
    /// A JSON document.
    Json,
    /// Texts with commas between them.
    Set,
}

type Outcome = Result<(), ErrorCode>;

/// A column of so many bytes holds the usual text of a UUID.
const UUID_TEXT_BYTES: usize = 36;

/// Appends a value to a column. An error leaves bytes that the row's rollback, or that of the column, removes.
#[inline]
pub(crate) fn append_typed(value: Typed<'_>, builder: &mut ColumnBuilder) -> Outcome {
    match builder {
        ColumnBuilder::Fixed(column) => append_fixed(value, column),
        ColumnBuilder::String(column) => {
            match value {
                Typed::Text(text) | Typed::Enum { name: Some(text), .. } | Typed::Meant(text, _) => {
                    column.push(text.as_bytes())
                }
                Typed::Bytes(bytes) | Typed::Bits(bytes) => column.push(bytes),
                other => column.push(text_of(other).as_bytes()),
            }
            Ok(())
        }
        ColumnBuilder::Nullable(column) => {
            column.nulls.push(0);
            append_typed(value, &mut column.values)
        }
        ColumnBuilder::Dictionary(column) => {
            match (value, column.values.as_ref()) {
                (
                    Typed::Text(text) | Typed::Enum { name: Some(text), .. } | Typed::Meant(text, _),
                    ColumnBuilder::String(_),
                ) => column.push_string(text.as_bytes()),
                (Typed::Bytes(bytes) | Typed::Bits(bytes), ColumnBuilder::String(_)) => column.push_string(bytes),
                _ => {
                    append_typed(value, &mut column.values)?;
                    column.push_appended();
                }
            }
            Ok(())
        }
        ColumnBuilder::Variant(column) if column.is_dynamic() => append_dynamic(value, column),
        ColumnBuilder::Variant(column) => append_variant(value, column),
        ColumnBuilder::Json(_) => match value {
            Typed::Text(text) | Typed::Meant(text, _) => {
                append_json(text.as_bytes(), builder).map_err(|fault| fault.code)
            }
            _ => Err(ErrorCode::TypeMismatch),
        },
        ColumnBuilder::Array(_) | ColumnBuilder::Map(_) | ColumnBuilder::Tuple(_) => match value {
            Typed::Meant(text, meaning) => meant::append_parts(text, meaning, builder),
            _ => Err(ErrorCode::TypeMismatch),
        },
    }
}

/// What is out of the range of its own kind is a text.
fn append_dynamic(value: Typed<'_>, column: &mut VariantColumn) -> Outcome {
    let kind = match value {
        Typed::Bool(_) => DynamicKind::Bool,
        Typed::Int(_) | Typed::Year(_) => DynamicKind::Integer,
        Typed::UInt(value) if i64::try_from(value).is_ok() => DynamicKind::Integer,
        Typed::UInt(_) => DynamicKind::Unsigned,
        Typed::Float32(_) | Typed::Float64(_) => DynamicKind::Float,
        Typed::Date(_) => DynamicKind::Date,
        Typed::Timestamp { .. } | Typed::Instant { .. } | Typed::LocalTimestamp { .. } => DynamicKind::DateTime64,
        _ => DynamicKind::Text,
    };
    for kind in [kind, DynamicKind::Text] {
        let fits = append_typed(value, column.trial(kind.place())).is_ok();
        column.end_trial(kind.place(), fits);
        if fits {
            return Ok(());
        }
    }
    Err(ErrorCode::TypeMismatch)
}

/// A text is a text where the column has texts; for all else the order of the types decides.
fn append_variant(value: Typed<'_>, column: &mut VariantColumn) -> Outcome {
    let is_text = matches!(value, Typed::Text(_) | Typed::Bytes(_) | Typed::Meant(..) | Typed::Bits(_));
    let is_fractional = matches!(value, Typed::Float32(_) | Typed::Float64(_) | Typed::Decimal { .. });
    for texts_only in [true, false] {
        for number in 0..column.types() {
            let trial = column.trial(number);
            if texts_only && !(is_text && trial.holds_bytes()) {
                continue;
            }
            let is_plain = match value {
                Typed::Text(text) => is_plainly(text.as_bytes(), trial),
                _ => !is_fractional || !holds_integers(trial),
            };
            if !is_plain {
                continue;
            }
            let fits = append_typed(value, trial).is_ok();
            column.end_trial(number, fits);
            if fits {
                return Ok(());
            }
        }
    }
    Err(ErrorCode::TypeMismatch)
}

#[inline]
fn append_fixed(value: Typed<'_>, column: &mut FixedColumn) -> Outcome {
    match value {
        Typed::Int(value) => append_int(value, column),
        Typed::UInt(value) => match i64::try_from(value) {
            Ok(value) => append_int(value, column),
            Err(_) if matches!(column.kind, FixedKind::UInt64) => {
                column.push(value.to_le_bytes());
                Ok(())
            }
            Err(_) => append_number_text(text_of(Typed::UInt(value)).as_str(), column),
        },
        Typed::Float64(value) => append_float(value, column),
        Typed::Float32(value) => match column.kind {
            FixedKind::Float32 => {
                column.push(value.to_le_bytes());
                Ok(())
            }
            FixedKind::BFloat16 => {
                push_bfloat16(column, value);
                Ok(())
            }
            FixedKind::Float64 => append_float(value.into(), column),
            ref kind if is_integer(kind) => append_whole_float(value.into(), column),
            // The shortest text of the 32-bit float, not of the 64-bit one nearest to it.
            _ => append_number_text(text_of(Typed::Float32(value)).as_str(), column),
        },
        Typed::Bool(value) => append_bool(value, column),
        Typed::Text(text) => append_fixed_text(text.as_bytes(), column),
        Typed::Bytes(bytes) => append_bytes(bytes, column),
        Typed::Timestamp { ticks, precision } => {
            append_moment(Moment::from_ticks(ticks, precision), column).unwrap_or_else(|| append_int(ticks, column))
        }
        Typed::Instant { seconds, nanos } => append_moment(Moment::new(seconds, nanos), column)
            .unwrap_or_else(|| append_number_text(seconds_text(seconds, nanos).as_str(), column)),
        Typed::LocalTimestamp { ticks, precision } => {
            let mut moment = Moment::from_ticks(ticks, precision);
            if let FixedKind::DateTime(zone) | FixedKind::DateTime64 { zone, .. } = &mut column.kind {
                moment = moment.local_in(zone);
            }
            append_moment(moment, column).unwrap_or_else(|| append_int(ticks, column))
        }
        Typed::Date(days) => match &column.kind {
            FixedKind::DateTime(_) | FixedKind::DateTime64 { .. } => {
                let seconds = days.checked_mul(86_400).ok_or(ErrorCode::OutOfRange)?;
                append_moment(Moment::new(seconds, 0), column).unwrap_or(Err(ErrorCode::TypeMismatch))
            }
            _ => append_int(days, column),
        },
        Typed::Decimal { unscaled, scale } => quick_decimal(unscaled, scale, column)
            .unwrap_or_else(|| append_number_text(text_of(value).as_str(), column)),
        Typed::Span { seconds, nanos } => append_number_text(span_text(seconds, nanos).as_str(), column),
        Typed::TimeOfDay { ticks, .. } => match &column.kind {
            kind if is_integer(kind) => append_int(ticks, column),
            _ => append_fixed_text(text_of(value).as_str().as_bytes(), column),
        },
        Typed::Enum { name, number } => match (&column.kind, name) {
            (FixedKind::Enum8(_) | FixedKind::Enum16(_), Some(name)) => append_fixed_text(name.as_bytes(), column),
            (kind, None) if is_enum(kind) => append_int(number.into(), column),
            (kind, _) if is_integer(kind) => append_int(number.into(), column),
            (_, Some(name)) => append_fixed_text(name.as_bytes(), column),
            (_, None) => Err(ErrorCode::UnknownEnumValue),
        },
        Typed::Uuid(value) => match &column.kind {
            // ClickHouse keeps a UUID as two 64-bit numbers, the upper half first.
            FixedKind::Uuid => {
                column.push(value.rotate_left(64).to_le_bytes());
                Ok(())
            }
            FixedKind::UInt128 => {
                column.push(value.to_le_bytes());
                Ok(())
            }
            FixedKind::FixedString if column.width < UUID_TEXT_BYTES => append_bytes(&value.to_be_bytes(), column),
            FixedKind::FixedString => append_bytes(text_of(Typed::Uuid(value)).as_bytes(), column),
            _ => Err(ErrorCode::TypeMismatch),
        },
        Typed::Year(year) => meant::append_year(year, column),
        Typed::Meant(text, TextMeaning::Zoned) => meant::append_zoned(text, column),
        Typed::Meant(text, _) => append_fixed_text(text.as_bytes(), column),
        Typed::Bits(bytes) => meant::append_bits(bytes, column),
        Typed::Duration { months, days, millis } => match column.kind {
            FixedKind::FixedString => {
                let parts = [months, days, millis].map(u32::to_le_bytes);
                append_bytes(parts.as_flattened(), column)
            }
            _ => append_fixed_text(text_of(value).as_str().as_bytes(), column),
        },
    }
}

fn is_enum(kind: &FixedKind) -> bool {
    matches!(kind, FixedKind::Enum8(_) | FixedKind::Enum16(_))
}

/// Appends an integer that is narrower than it was read.
macro_rules! push_narrow {
    ($column:ident, $value:ident, $narrow:ty) => {
        match <$narrow>::try_from($value) {
            Ok(narrow) => {
                $column.push(narrow.to_le_bytes());
                Ok(())
            }
            Err(_) => Err(ErrorCode::OutOfRange.of_sign($value < 0)),
        }
    };
}

/// Appends an integer, by the column's own type.
#[inline]
pub(crate) fn append_int(value: i64, column: &mut FixedColumn) -> Outcome {
    match column.kind {
        FixedKind::Int64 => {
            column.push(value.to_le_bytes());
            Ok(())
        }
        FixedKind::Int32 => push_narrow!(column, value, i32),
        FixedKind::Int16 => push_narrow!(column, value, i16),
        FixedKind::Int8 => push_narrow!(column, value, i8),
        FixedKind::UInt64 => push_narrow!(column, value, u64),
        FixedKind::UInt32 => push_narrow!(column, value, u32),
        FixedKind::UInt16 => push_narrow!(column, value, u16),
        FixedKind::UInt8 => push_narrow!(column, value, u8),
        FixedKind::Float64 => {
            column.push((value as f64).to_le_bytes());
            Ok(())
        }
        _ => append_number_text(text_of(Typed::Int(value)).as_str(), column),
    }
}

fn append_float(value: f64, column: &mut FixedColumn) -> Outcome {
    match column.kind {
        FixedKind::Float64 => column.push(value.to_le_bytes()),
        FixedKind::Float32 | FixedKind::BFloat16 => {
            let narrow = narrowed(value)?;
            match column.kind {
                FixedKind::Float32 => column.push(narrow.to_le_bytes()),
                _ => push_bfloat16(column, narrow),
            }
        }
        ref kind if is_integer(kind) => return append_whole_float(value, column),
        _ => return append_number_text(text_of(Typed::Float64(value)).as_str(), column),
    }
    Ok(())
}

/// A float into an integer column: the integer that it is, which the digits of its shortest text may not be.
fn append_whole_float(value: f64, column: &mut FixedColumn) -> Outcome {
    if !value.is_finite() {
        return Err(ErrorCode::InvalidNumber);
    }
    if value.fract() != 0.0 {
        return Err(ErrorCode::NotAnInteger);
    }
    if value.abs() < INT64_END {
        #[expect(clippy::cast_possible_truncation, reason = "it is an integer within the range")]
        return append_int(value as i64, column);
    }
    append_great_float(value, column)
}

#[cold]
fn append_great_float(value: f64, column: &mut FixedColumn) -> Outcome {
    if value.abs() >= INT256_END {
        return Err(ErrorCode::OutOfRange.of_sign(value < 0.0));
    }
    let sign = if value < 0.0 { "-" } else { "" };
    append_number_text(&format!("{sign}{}", value.abs().as_u256()), column)
}

/// 2^63.
const INT64_END: f64 = 9_223_372_036_854_775_808.0;
/// 2^256, from which on no integer column has a value.
const INT256_END: f64 = INT64_END * INT64_END * INT64_END * INT64_END * 16.0;

/// The nearest 32-bit float; infinite only where the value is.
fn narrowed(value: f64) -> Result<f32, ErrorCode> {
    #[expect(clippy::cast_possible_truncation, reason = "the nearest float is what is wanted")]
    let narrow = value as f32;
    if narrow.is_infinite() && value.is_finite() {
        return Err(ErrorCode::OutOfRange.of_sign(value < 0.0));
    }
    Ok(narrow)
}

/// The exact way of all numbers for which there is no quick one.
#[cold]
fn append_number_text(text: &str, column: &mut FixedColumn) -> Outcome {
    if matches!(column.kind, FixedKind::FixedString | FixedKind::Uuid | FixedKind::Ipv4 | FixedKind::Ipv6) {
        return Err(ErrorCode::TypeMismatch);
    }
    append_number(&number_from_text(text.as_bytes())?, column)
}

/// A decimal of at most 128 bits into a column of decimals that loses none of its digits; `None` for all else.
#[inline]
fn quick_decimal(unscaled: I256, scale: u32, column: &mut FixedColumn) -> Option<Outcome> {
    let FixedKind::Decimal { precision, scale: wanted } = column.kind else {
        return None;
    };
    let factor = 10_i128.checked_pow(u32::from(wanted).checked_sub(scale)?)?;
    let value = i128::try_from(unscaled).ok()?.checked_mul(factor)?;
    let limit = 10_u128.checked_pow(precision.into())?;
    if value.unsigned_abs() >= limit {
        return Some(Err(ErrorCode::OutOfRange.of_sign(value < 0)));
    }
    match column.width {
        32 => column.data.extend_from_slice(&I256::from(value).to_le_bytes()),
        width => column.data.extend_from_slice(&value.to_le_bytes()[..width]),
    }
    Some(Ok(()))
}

/// `None` where the column is neither a time nor a date.
#[inline]
fn append_moment(moment: Moment, column: &mut FixedColumn) -> Option<Outcome> {
    let days_within = |(least, greatest): (i64, i64)| time::days_within(moment.days(), least, greatest);
    Some(match column.kind {
        FixedKind::DateTime64 { precision, .. } => {
            moment.date_time64(precision).map(|ticks| column.push(ticks.to_le_bytes()))
        }
        FixedKind::DateTime(_) => moment.date_time().map(|seconds| column.push(seconds.to_le_bytes())),
        FixedKind::Date => days_within(time::DATE_DAYS).and_then(|days| push_narrow!(column, days, u16)),
        FixedKind::Date32 => days_within(time::DATE32_DAYS).and_then(|days| push_narrow!(column, days, i32)),
        _ => return None,
    })
}

fn append_bytes(bytes: &[u8], column: &mut FixedColumn) -> Outcome {
    match (&column.kind, bytes.len()) {
        (FixedKind::FixedString, length) => {
            let padding = column.width.checked_sub(length).ok_or(ErrorCode::TooLong)?;
            column.data.extend_from_slice(bytes);
            column.data.resize(column.data.len() + padding, 0);
        }
        (FixedKind::Uuid, 16) => {
            let value = u128::from_be_bytes(bytes.try_into().expect("16 bytes were matched"));
            column.push(value.rotate_left(64).to_le_bytes());
        }
        (FixedKind::Ipv6, 16) => column.data.extend_from_slice(bytes),
        // A number in ClickHouse, so its first byte comes last.
        (FixedKind::Ipv4, 4) => column.data.extend(bytes.iter().rev()),
        _ => return Err(ErrorCode::TypeMismatch),
    }
    Ok(())
}
