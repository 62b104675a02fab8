//! Values of formats that have types of their own (Avro, Protobuf) into columns.
//!
//! What a column takes:
//!
//! | value | columns |
//! |---|---|
//! | boolean | as in JSON |
//! | integer | as a JSON number; NULL-free and without a detour for integer and float columns |
//! | float | floats; decimals and `String` by its shortest text; no integers |
//! | text | as a JSON string |
//! | bytes | `String`, `FixedString` that is long enough; 16 bytes also `UUID` and `IPv6`, 4 bytes `IPv4` |
//! | enum | enums by name, `String`, integers by number |
//! | decimal | as a JSON number, exactly |
//! | date | `Date`, `Date32`, times at midnight UTC, integers in days, `String` as `2026-01-31` |
//! | timestamp | times and dates in UTC, integers in its own unit, `String` as `2026-01-31T00:00:00Z` |
//! | local timestamp | the same, read in the column's time zone; `String` without the `Z` |
//! | time of day | `Time`, `Time64`, integers in its own unit, `String` as `13:45:00.5` |
//! | span | `Time`, `Time64`, numbers in seconds, `String` as `1.5s` |
//! | calendar duration | `String` as `P1M2DT3.004S` |
//! | UUID | `UUID`, `String`, `FixedString(16)`, `UInt128` |
//!
//! Never changes a value in silence: what does not fit is an error.

#[cfg(test)]
mod tests;

use std::fmt::{self, Write as _};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ethnum::I256;

use super::error::ErrorCode;
use super::json::append_json;
use super::text::{append_bool, append_fixed_text, append_number, number_from_text, push_bfloat16};
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
}

type Outcome = Result<(), ErrorCode>;

/// Appends a value to a column. An error leaves bytes that the row's rollback, or that of the column, removes.
#[inline]
pub(crate) fn append_typed(value: Typed<'_>, builder: &mut ColumnBuilder) -> Outcome {
    match builder {
        ColumnBuilder::Fixed(column) => append_fixed(value, column),
        ColumnBuilder::String(column) => {
            match value {
                Typed::Text(text) | Typed::Enum { name: Some(text), .. } => column.push(text.as_bytes()),
                Typed::Bytes(bytes) => column.push(bytes),
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
                (Typed::Text(text) | Typed::Enum { name: Some(text), .. }, ColumnBuilder::String(_)) => {
                    column.push_string(text.as_bytes())
                }
                (Typed::Bytes(bytes), ColumnBuilder::String(_)) => column.push_string(bytes),
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
            Typed::Text(text) => append_json(text.as_bytes(), builder).map_err(|fault| fault.code),
            _ => Err(ErrorCode::TypeMismatch),
        },
        ColumnBuilder::Array(_) | ColumnBuilder::Map(_) | ColumnBuilder::Tuple(_) => Err(ErrorCode::TypeMismatch),
    }
}

/// What is out of the range of its own kind is a text.
fn append_dynamic(value: Typed<'_>, column: &mut VariantColumn) -> Outcome {
    let kind = match value {
        Typed::Bool(_) => DynamicKind::Bool,
        Typed::Int(_) => DynamicKind::Integer,
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
    let is_text = matches!(value, Typed::Text(_) | Typed::Bytes(_));
    for texts_only in [true, false] {
        for number in 0..column.types() {
            let trial = column.trial(number);
            if texts_only && !(is_text && trial.holds_bytes()) {
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
            FixedKind::FixedString => append_bytes(&value.to_be_bytes(), column),
            _ => Err(ErrorCode::TypeMismatch),
        },
        Typed::Duration { .. } => append_fixed_text(text_of(value).as_str().as_bytes(), column),
    }
}

fn is_enum(kind: &FixedKind) -> bool {
    matches!(kind, FixedKind::Enum8(_) | FixedKind::Enum16(_))
}

fn is_integer(kind: &FixedKind) -> bool {
    use FixedKind::{Int8, Int16, Int32, Int64, Int128, Int256, UInt8, UInt16, UInt32, UInt64, UInt128, UInt256};
    matches!(
        kind,
        Int8 | Int16 | Int32 | Int64 | Int128 | Int256 | UInt8 | UInt16 | UInt32 | UInt64 | UInt128 | UInt256
    )
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
        _ => return append_number_text(text_of(Typed::Float64(value)).as_str(), column),
    }
    Ok(())
}

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

/// Longest text of a value: a decimal of 256 bits with sign, point and leading zeros.
const SHORT_TEXT_BYTES: usize = 128;

/// A short text on the stack.
pub(crate) struct ShortText {
    bytes: [u8; SHORT_TEXT_BYTES],
    length: usize,
}

impl ShortText {
    pub(crate) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..self.length]).expect("only whole texts were written")
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    fn of(arguments: fmt::Arguments<'_>) -> Self {
        let mut text = Self { bytes: [0; SHORT_TEXT_BYTES], length: 0 };
        text.write_fmt(arguments).expect("no value has a longer text");
        text
    }
}

impl fmt::Write for ShortText {
    fn write_str(&mut self, piece: &str) -> fmt::Result {
        let end = self.length + piece.len();
        self.bytes.get_mut(self.length..end).ok_or(fmt::Error)?.copy_from_slice(piece.as_bytes());
        self.length = end;
        Ok(())
    }
}

/// The text of a value that is neither a text nor bytes.
pub(crate) fn text_of(value: Typed<'_>) -> ShortText {
    match value {
        Typed::Bool(value) => ShortText::of(format_args!("{value}")),
        Typed::Int(value) => ShortText::of(format_args!("{value}")),
        Typed::UInt(value) => ShortText::of(format_args!("{value}")),
        // The shortest text that reads back as the same float, with an exponent where it is long.
        Typed::Float32(value) => ShortText::of(format_args!("{value:?}")),
        Typed::Float64(value) => ShortText::of(format_args!("{value:?}")),
        Typed::Enum { name: None, number } => ShortText::of(format_args!("{number}")),
        Typed::Decimal { unscaled, scale } => decimal_text(unscaled, scale),
        Typed::Date(days) => date_text(days),
        Typed::Timestamp { ticks, precision } => time_text(Moment::from_ticks(ticks, precision), "Z"),
        Typed::Instant { seconds, nanos } => time_text(Moment::new(seconds, nanos), "Z"),
        Typed::LocalTimestamp { ticks, precision } => time_text(Moment::from_ticks(ticks, precision), ""),
        Typed::TimeOfDay { ticks, precision } => clock_text(ticks, precision),
        Typed::Span { seconds, nanos } => ShortText::of(format_args!("{}s", span_text(seconds, nanos).as_str())),
        Typed::Duration { months, days, millis } => {
            let seconds = millis / 1_000;
            ShortText::of(format_args!("P{months}M{days}DT{seconds}.{:03}S", millis % 1_000))
        }
        Typed::Uuid(value) => ShortText::of(format_args!("{}", uuid::Uuid::from_u128(value))),
        Typed::Text(_) | Typed::Bytes(_) | Typed::Enum { name: Some(_), .. } => {
            unreachable!("a text has no other text")
        }
    }
}

fn decimal_text(unscaled: I256, scale: u32) -> ShortText {
    let digits = ShortText::of(format_args!("{}", unscaled.unsigned_abs()));
    let digits = digits.as_str();
    let sign = if unscaled < I256::ZERO { "-" } else { "" };
    let scale = usize::try_from(scale).unwrap_or(usize::MAX).min(DECIMAL_SCALE_MAX);
    match digits.len().checked_sub(scale) {
        _ if scale == 0 => ShortText::of(format_args!("{sign}{digits}")),
        Some(whole) if whole > 0 => ShortText::of(format_args!("{sign}{}.{}", &digits[..whole], &digits[whole..])),
        _ => ShortText::of(format_args!("{sign}0.{digits:0>scale$}")),
    }
}

/// Digits after the point that a decimal may have; plans refuse schemas with more.
pub(crate) const DECIMAL_SCALE_MAX: usize = 76;

fn date_text(days: i64) -> ShortText {
    let date = days.checked_mul(86_400).and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    match date {
        Some(time) => ShortText::of(format_args!("{}", jiff::tz::Offset::UTC.to_datetime(time).date())),
        None => ShortText::of(format_args!("{days}")),
    }
}

/// A time that has no calendar date stands as its seconds.
fn time_text(moment: Moment, zone: &str) -> ShortText {
    let (seconds, nanos) = moment.parts();
    match jiff::Timestamp::new(seconds, i32::try_from(nanos).unwrap_or(0)) {
        Ok(time) => ShortText::of(format_args!("{}{zone}", jiff::tz::Offset::UTC.to_datetime(time))),
        Err(_) => seconds_text(seconds, nanos),
    }
}

fn seconds_text(seconds: i64, nanos: u32) -> ShortText {
    match nanos {
        0 => ShortText::of(format_args!("{seconds}")),
        // The seconds are the whole ones below: -1 s and 0.25 s are -0.75 s.
        _ if seconds < 0 => ShortText::of(format_args!("-{}.{:09}", -(seconds + 1), 1_000_000_000 - nanos)),
        _ => ShortText::of(format_args!("{seconds}.{nanos:09}")),
    }
}

fn span_text(seconds: i64, nanos: i32) -> ShortText {
    let sign = if seconds < 0 || nanos < 0 { "-" } else { "" };
    match nanos.unsigned_abs() {
        0 => ShortText::of(format_args!("{seconds}")),
        nanos => {
            let fraction = ShortText::of(format_args!("{nanos:09}"));
            let fraction = fraction.as_str().trim_end_matches('0');
            ShortText::of(format_args!("{sign}{}.{fraction}", seconds.unsigned_abs()))
        }
    }
}

fn clock_text(ticks: i64, precision: u8) -> ShortText {
    let sign = if ticks < 0 { "-" } else { "" };
    let per_second = 10_u64.pow(precision.into());
    let (seconds, fraction) = (ticks.unsigned_abs() / per_second, ticks.unsigned_abs() % per_second);
    let (hours, minutes, seconds) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    match fraction {
        0 => ShortText::of(format_args!("{sign}{hours:02}:{minutes:02}:{seconds:02}")),
        _ => {
            let digits = usize::from(precision);
            ShortText::of(format_args!("{sign}{hours:02}:{minutes:02}:{seconds:02}.{fraction:0digits$}"))
        }
    }
}

/// Appends a value as JSON: numbers as numbers where JSON has them, bytes in base64, all else as texts.
pub(crate) fn write_json(value: Typed<'_>, json: &mut Vec<u8>) {
    match value {
        Typed::Bool(_) | Typed::Int(_) | Typed::UInt(_) | Typed::Decimal { .. } | Typed::Enum { name: None, .. } => {
            json.extend_from_slice(text_of(value).as_bytes());
        }
        Typed::Float32(number) if number.is_finite() => json.extend_from_slice(text_of(value).as_bytes()),
        Typed::Float64(number) if number.is_finite() => json.extend_from_slice(text_of(value).as_bytes()),
        Typed::Text(text) | Typed::Enum { name: Some(text), .. } => write_json_text(text, json),
        Typed::Bytes(bytes) => write_json_bytes(bytes, json),
        _ => write_json_text(text_of(value).as_str(), json),
    }
}

fn write_json_bytes(bytes: &[u8], json: &mut Vec<u8>) {
    json.push(b'"');
    let start = json.len();
    json.resize(start + bytes.len().div_ceil(3) * 4, 0);
    let written = BASE64_STANDARD.encode_slice(bytes, &mut json[start..]).expect("four characters for three bytes");
    json.truncate(start + written);
    json.push(b'"');
}

/// Appends a text as a JSON string.
pub(crate) fn write_json_text(text: &str, json: &mut Vec<u8>) {
    serde_json::to_writer(json, text).expect("a text can always be written to memory");
}
