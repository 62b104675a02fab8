//! A number, a boolean or a text into a column, by the column's type.
//!
//! What is taken follows the table of `super::json::value`. An error leaves the column as it was, or with bytes that the
//! row's rollback removes.

use super::json::Cursor;
use crate::columns::{ColumnBuilder, FixedColumn, FixedKind, Zone};
use crate::decode::error::ErrorCode;
use crate::decode::number::Number;
use crate::decode::time::{self, Moment, Span};

pub(super) fn append_bool(value: bool, column: &mut FixedColumn) -> Result<(), ErrorCode> {
    use FixedKind::{BFloat16, Float32, Float64};
    match column.kind {
        FixedKind::Bool => column.push([value.into()]),
        Float32 => column.push(f32::from(u8::from(value)).to_le_bytes()),
        Float64 => column.push(f64::from(u8::from(value)).to_le_bytes()),
        BFloat16 => push_bfloat16(column, f32::from(u8::from(value))),
        _ if is_integer(&column.kind) => {
            let end = column.data.len();
            column.data.resize(end + column.width, 0);
            column.data[end] = value.into();
        }
        _ => return Err(ErrorCode::TypeMismatch),
    }
    Ok(())
}

pub(super) fn is_integer(kind: &FixedKind) -> bool {
    use FixedKind::{Int8, Int16, Int32, Int64, Int128, Int256, UInt8, UInt16, UInt32, UInt64, UInt128, UInt256};
    matches!(
        kind,
        Int8 | Int16 | Int32 | Int64 | Int128 | Int256 | UInt8 | UInt16 | UInt32 | UInt64 | UInt128 | UInt256
    )
}

/// ClickHouse cuts the lower half off and does not round.
pub(super) fn push_bfloat16(column: &mut FixedColumn, value: f32) {
    let [_, _, low, high] = value.to_le_bytes();
    column.push([low, high]);
}

/// Appends a number that is narrower than it was read.
macro_rules! push_narrow {
    ($column:ident, $value:expr, $narrow:ty) => {{
        let narrow = <$narrow>::try_from($value).map_err(|_| ErrorCode::OutOfRange)?;
        $column.push(narrow.to_le_bytes());
    }};
}

#[inline]
pub(super) fn append_number(number: &Number<'_>, column: &mut FixedColumn) -> Result<(), ErrorCode> {
    append_value_of(number, column).map_err(|code| code.of_sign(number.negative))
}

#[inline]
fn append_value_of(number: &Number<'_>, column: &mut FixedColumn) -> Result<(), ErrorCode> {
    match &mut column.kind {
        FixedKind::Int64 => column.push(number.signed()?.to_le_bytes()),
        FixedKind::UInt64 => column.push(number.unsigned()?.to_le_bytes()),
        FixedKind::Float64 => column.push(number.float64()?.to_le_bytes()),
        FixedKind::Float32 => column.push(number.float32()?.to_le_bytes()),
        FixedKind::Int8 => push_narrow!(column, number.signed()?, i8),
        FixedKind::Int16 => push_narrow!(column, number.signed()?, i16),
        FixedKind::Int32 => push_narrow!(column, number.signed()?, i32),
        FixedKind::UInt8 => push_narrow!(column, number.unsigned()?, u8),
        FixedKind::UInt16 => push_narrow!(column, number.unsigned()?, u16),
        FixedKind::UInt32 => push_narrow!(column, number.unsigned()?, u32),
        FixedKind::Int128 | FixedKind::Int256 => push_wide(number, column, true)?,
        FixedKind::UInt128 | FixedKind::UInt256 => push_wide(number, column, false)?,
        FixedKind::BFloat16 => push_bfloat16(column, number.float32()?),
        FixedKind::Decimal { precision, scale } => {
            let bytes = number.decimal(*precision, *scale, column.width)?;
            column.data.extend_from_slice(&bytes[..column.width]);
        }
        FixedKind::Bool => match number.unsigned() {
            Ok(value @ (0 | 1)) => column.push([u8::from(value == 1)]),
            _ => return Err(ErrorCode::OutOfRange),
        },
        FixedKind::Date => {
            let (least, greatest) = time::DATE_DAYS;
            let days = time::days_within(number.signed()?, least, greatest)?;
            push_narrow!(column, days, u16);
        }
        FixedKind::Date32 => {
            let (least, greatest) = time::DATE32_DAYS;
            let days = time::days_within(number.signed()?, least, greatest)?;
            push_narrow!(column, days, i32);
        }
        FixedKind::DateTime(zone) => {
            let seconds = Moment::from_number(number, zone.unit)?.date_time()?;
            column.push(seconds.to_le_bytes());
        }
        FixedKind::DateTime64 { precision, zone } => {
            let ticks = Moment::from_number(number, zone.unit)?.date_time64(*precision)?;
            column.push(ticks.to_le_bytes());
        }
        FixedKind::Time => column.push(Span::from_number(number)?.time().to_le_bytes()),
        FixedKind::Time64 { precision } => {
            let ticks = Span::from_number(number)?.time64(*precision);
            column.push(ticks.to_le_bytes());
        }
        FixedKind::Enum8(names) => {
            let value = enum_number(number, |value| names.name_of(value).is_some())?;
            push_narrow!(column, value, i8);
        }
        FixedKind::Enum16(names) => {
            let value = enum_number(number, |value| names.name_of(value).is_some())?;
            column.push(value.to_le_bytes());
        }
        FixedKind::FixedString | FixedKind::Uuid | FixedKind::Ipv4 | FixedKind::Ipv6 => {
            return Err(ErrorCode::TypeMismatch);
        }
    }
    Ok(())
}

fn push_wide(number: &Number<'_>, column: &mut FixedColumn, signed: bool) -> Result<(), ErrorCode> {
    let bytes = number.wide_integer(column.width, signed)?;
    column.data.extend_from_slice(&bytes[..column.width]);
    Ok(())
}

fn enum_number(number: &Number<'_>, known: impl Fn(i16) -> bool) -> Result<i16, ErrorCode> {
    let value = i16::try_from(number.signed()?).ok();
    value.filter(|value| known(*value)).ok_or(ErrorCode::UnknownEnumValue)
}

/// Appends a text that stands for a value: the content of a string, or a key of a map.
pub(super) fn append_text(text: &[u8], column: &mut ColumnBuilder) -> Result<(), ErrorCode> {
    match column {
        ColumnBuilder::Fixed(column) => append_fixed_text(text, column),
        ColumnBuilder::String(column) => {
            column.push(text);
            Ok(())
        }
        ColumnBuilder::Dictionary(column) => {
            append_text(text, &mut column.values)?;
            column.push_appended();
            Ok(())
        }
        _ => Err(ErrorCode::TypeMismatch),
    }
}

pub(super) fn append_fixed_text(text: &[u8], column: &mut FixedColumn) -> Result<(), ErrorCode> {
    match &mut column.kind {
        FixedKind::DateTime64 { precision, zone } => {
            let moment = moment_from_text(text, zone)?;
            let ticks = moment.date_time64(*precision)?;
            column.push(ticks.to_le_bytes());
        }
        FixedKind::DateTime(zone) => {
            let moment = moment_from_text(text, zone)?;
            column.push(moment.date_time()?.to_le_bytes());
        }
        FixedKind::Date => {
            let (least, greatest) = time::DATE_DAYS;
            let days = time::date_from_text(text)?;
            push_narrow!(column, time::days_within(days, least, greatest)?, u16);
        }
        FixedKind::Date32 => {
            let (least, greatest) = time::DATE32_DAYS;
            let days = time::date_from_text(text)?;
            push_narrow!(column, time::days_within(days, least, greatest)?, i32);
        }
        FixedKind::Time => column.push(span_from_text(text)?.time().to_le_bytes()),
        FixedKind::Time64 { precision } => {
            let ticks = span_from_text(text)?.time64(*precision);
            column.push(ticks.to_le_bytes());
        }
        FixedKind::FixedString => {
            let padding = column.width.checked_sub(text.len());
            let padding = padding.ok_or(ErrorCode::TooLong)?;
            column.data.extend_from_slice(text);
            column.data.resize(column.data.len() + padding, 0);
        }
        FixedKind::Uuid => {
            let value = uuid_from_text(text).ok_or(ErrorCode::InvalidUuid)?;
            // ClickHouse keeps a UUID as two 64-bit numbers, the upper half first.
            column.push(value.rotate_left(64).to_le_bytes());
        }
        FixedKind::Ipv4 => {
            let address = ipv4_from_text(text).ok_or(ErrorCode::InvalidAddress)?;
            column.push(address.to_le_bytes());
        }
        FixedKind::Ipv6 => {
            let text = std::str::from_utf8(text).map_err(|_| ErrorCode::InvalidAddress)?;
            let address = match text.parse().map_err(|_| ErrorCode::InvalidAddress)? {
                std::net::IpAddr::V4(v4) => v4.to_ipv6_mapped(),
                std::net::IpAddr::V6(v6) => v6,
            };
            column.push(address.octets());
        }
        FixedKind::Enum8(names) => match names.value_of(text) {
            Some(value) => push_narrow!(column, value, i8),
            None => return append_enum_number_text(text, column),
        },
        FixedKind::Enum16(names) => match names.value_of(text) {
            Some(value) => column.push(value.to_le_bytes()),
            None => return append_enum_number_text(text, column),
        },
        FixedKind::Bool => return append_bool(truth_of(text).ok_or(ErrorCode::TypeMismatch)?, column),
        FixedKind::Float32 | FixedKind::Float64 | FixedKind::BFloat16 => {
            return append_float_text(text, column);
        }
        FixedKind::Decimal { .. } => return append_number(&number_from_text(text)?, column),
        _ => return append_integer_text(text, column),
    }
    Ok(())
}

/// The words that the engine takes for true and for false in a `Bool`.
fn truth_of(text: &[u8]) -> Option<bool> {
    const TRUE: [&[u8]; 8] = [b"true", b"1", b"t", b"yes", b"y", b"on", b"enable", b"enabled"];
    const FALSE: [&[u8]; 8] = [b"false", b"0", b"f", b"no", b"n", b"off", b"disable", b"disabled"];
    let is_one_of = |words: &[&[u8]]| words.iter().any(|word| word.eq_ignore_ascii_case(text));
    match is_one_of(&TRUE) {
        true => Some(true),
        false => is_one_of(&FALSE).then_some(false),
    }
}

/// Of the words for truths columns of numbers take two, as 1 and 0; the others are no numbers.
fn truth_of_number(text: &[u8]) -> Option<bool> {
    match text.eq_ignore_ascii_case(b"true") {
        true => Some(true),
        false => text.eq_ignore_ascii_case(b"false").then_some(false),
    }
}

/// Whether a column that is one type of several takes a text. Where a column of its own is generous, the text may be another
/// type's as it stands: `5.0` and `true` are no integers here, and a date with a time of day at midnight is no date.
pub(super) fn is_plainly(text: &[u8], column: &ColumnBuilder) -> bool {
    match column {
        ColumnBuilder::Fixed(column) => match column.kind {
            FixedKind::Float32 | FixedKind::Float64 | FixedKind::BFloat16 => truth_of_number(text).is_none(),
            FixedKind::Date | FixedKind::Date32 => text.len() <= DATE_BYTES,
            _ if is_integer(&column.kind) => number_from_text(text).is_ok_and(|number| number.integral),
            _ => true,
        },
        ColumnBuilder::Nullable(column) => is_plainly(text, &column.values),
        ColumnBuilder::Dictionary(column) => is_plainly(text, &column.values),
        _ => true,
    }
}

/// Whether a column that is one type of several takes some texts only.
pub(super) fn is_particular(column: &ColumnBuilder) -> bool {
    match column {
        ColumnBuilder::Fixed(column) => {
            use FixedKind::{BFloat16, Date, Date32, Float32, Float64};
            is_integer(&column.kind) || matches!(column.kind, Float32 | Float64 | BFloat16 | Date | Date32)
        }
        ColumnBuilder::Nullable(column) => is_particular(&column.values),
        ColumnBuilder::Dictionary(column) => is_particular(&column.values),
        _ => false,
    }
}

/// The longest text of a date alone.
const DATE_BYTES: usize = 10;

/// Whether a column holds integers.
pub(super) fn holds_integers(column: &ColumnBuilder) -> bool {
    match column {
        ColumnBuilder::Fixed(column) => is_integer(&column.kind),
        ColumnBuilder::Nullable(column) => holds_integers(&column.values),
        ColumnBuilder::Dictionary(column) => holds_integers(&column.values),
        _ => false,
    }
}

fn append_integer_text(text: &[u8], column: &mut FixedColumn) -> Result<(), ErrorCode> {
    match (number_from_text(text), truth_of_number(text)) {
        (Ok(number), _) => append_number(&number, column),
        (Err(_), Some(truth)) => append_bool(truth, column),
        (Err(code), None) => Err(code),
    }
}

fn append_enum_number_text(text: &[u8], column: &mut FixedColumn) -> Result<(), ErrorCode> {
    let number = number_from_text(text).map_err(|_| ErrorCode::UnknownEnumValue)?;
    append_number(&number, column).map_err(|_| ErrorCode::UnknownEnumValue)
}

fn append_float_text(text: &[u8], column: &mut FixedColumn) -> Result<(), ErrorCode> {
    let (negative, word) = match text {
        [b'-', word @ ..] => (true, word),
        [b'+', word @ ..] => (false, word),
        word => (false, word),
    };
    let is = |name: &[u8]| word.eq_ignore_ascii_case(name);
    let value = if is(b"nan") {
        f32::NAN
    } else if is(b"inf") || is(b"infinity") {
        f32::INFINITY
    } else {
        return append_integer_text(text, column);
    };
    append_unbounded(if negative { -value } else { value }, column)
}

/// Appends a float that is no number, or infinite. Other columns have none.
pub(super) fn append_unbounded(value: f32, column: &mut FixedColumn) -> Result<(), ErrorCode> {
    match column.kind {
        FixedKind::Float64 => column.push(f64::from(value).to_le_bytes()),
        FixedKind::Float32 => column.push(value.to_le_bytes()),
        FixedKind::BFloat16 => push_bfloat16(column, value),
        _ => return Err(ErrorCode::TypeMismatch),
    }
    Ok(())
}

/// A number in quotes: as JSON writes it, but a plus sign, leading zeros, and a point without digits on one side of it are
/// taken as well.
pub(super) fn number_from_text(text: &[u8]) -> Result<Number<'_>, ErrorCode> {
    let (negative, mut digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    while let [b'0', rest @ ..] = digits
        && rest.first().is_some_and(u8::is_ascii_digit)
    {
        digits = rest;
    }
    // The sign has been taken: a second one is not a number.
    if digits.first().is_some_and(u8::is_ascii_digit) {
        let mut cursor = Cursor::new(digits);
        if let Ok(number) = cursor.number()
            && cursor.at_end()
        {
            return Ok(Number { negative, ..number });
        }
    }
    half_number(negative, digits).ok_or(ErrorCode::InvalidNumber)
}

/// A number like `5.` or `.5`.
#[cold]
fn half_number(negative: bool, magnitude: &[u8]) -> Option<Number<'_>> {
    let (digits, fraction_digits) = match magnitude {
        [b'.', digits @ ..] => (digits, digits.len()),
        [digits @ .., b'.'] => (digits, 0),
        _ => return None,
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    // Meaningless where there are too many.
    let mantissa =
        digits.iter().fold(0_u64, |value, digit| value.wrapping_mul(10).wrapping_add(u64::from(digit - b'0')));
    Some(Number { negative, magnitude, mantissa, digits: digits.len(), fraction_digits, exponent: 0, integral: false })
}

/// A quoted time: a date, or a Unix time as a number would be.
#[inline]
fn moment_from_text(text: &[u8], zone: &mut Zone) -> Result<Moment, ErrorCode> {
    if text.get(4) == Some(&b'-') {
        return Moment::from_text(text, zone);
    }
    match number_from_text(text) {
        Ok(number) if zone.unit.is_some() || !is_compact_date(text) => Moment::from_number(&number, zone.unit),
        _ => Moment::from_other_text(text, zone),
    }
}

/// Whether digits in quotes are `YYYYMMDD` or `YYYYMMDDhhmmss`. As numbers they are times that nobody means, in 1970, or are
/// out of every column's range.
fn is_compact_date(text: &[u8]) -> bool {
    matches!(text.len(), 8 | 14) && text.iter().all(u8::is_ascii_digit)
}

/// A quoted span: a clock's text, or seconds as a number would be.
fn span_from_text(text: &[u8]) -> Result<Span, ErrorCode> {
    if text.contains(&b':') {
        return Span::from_text(text);
    }
    let number = number_from_text(text).map_err(|_| ErrorCode::InvalidTime)?;
    Span::from_number(&number)
}

/// A UUID with its hyphens or without; in braces or behind `urn:uuid:` too.
fn uuid_from_text(text: &[u8]) -> Option<u128> {
    let text = match text {
        [b'{', inner @ .., b'}'] => inner,
        text => text.strip_prefix(b"urn:uuid:").unwrap_or(text),
    };
    let hyphens: &[usize] = match text.len() {
        36 => &[8, 13, 18, 23],
        32 => &[],
        _ => return None,
    };
    let mut value = 0;
    for (place, &byte) in text.iter().enumerate() {
        if hyphens.contains(&place) {
            if byte != b'-' {
                return None;
            }
            continue;
        }
        value = value << 4 | u128::from(char::from(byte).to_digit(16)?);
    }
    Some(value)
}

/// An address of four numbers. Zeros in front of one mean nothing, as to the engine.
fn ipv4_from_text(text: &[u8]) -> Option<u32> {
    let mut address = 0;
    let mut parts = 0;
    for part in text.split(|byte| *byte == b'.') {
        parts += 1;
        if parts > 4 || !(1..=3).contains(&part.len()) || !part.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let value = part.iter().fold(0, |value, digit| value * 10 + u32::from(digit - b'0'));
        address = address << 8 | u8::try_from(value).map(u32::from).ok()?;
    }
    (parts == 4).then_some(address)
}
