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

fn is_integer(kind: &FixedKind) -> bool {
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
        FixedKind::Bool => match number.magnitude {
            b"0" | b"1" if !number.negative => column.push([number.magnitude[0] - b'0']),
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
            let days = time::days_from_text(text).ok_or(ErrorCode::InvalidTime)?;
            push_narrow!(column, time::days_within(days, least, greatest)?, u16);
        }
        FixedKind::Date32 => {
            let (least, greatest) = time::DATE32_DAYS;
            let days = time::days_from_text(text).ok_or(ErrorCode::InvalidTime)?;
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
            let address: std::net::Ipv4Addr = parse_address(text)?;
            column.push(u32::from(address).to_le_bytes());
        }
        FixedKind::Ipv6 => {
            let address = match parse_address::<std::net::IpAddr>(text)? {
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
        FixedKind::Bool => return Err(ErrorCode::TypeMismatch),
        FixedKind::Float32 | FixedKind::Float64 | FixedKind::BFloat16 => {
            return append_float_text(text, column);
        }
        _ => return append_number(&number_from_text(text)?, column),
    }
    Ok(())
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
        return append_number(&number_from_text(text)?, column);
    };
    let value = if negative { -value } else { value };
    match column.kind {
        FixedKind::Float64 => column.push(f64::from(value).to_le_bytes()),
        FixedKind::Float32 => column.push(value.to_le_bytes()),
        _ => push_bfloat16(column, value),
    }
    Ok(())
}

/// A number in quotes: as JSON writes it, but a plus sign and leading zeros are taken as well.
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
    if !digits.first().is_some_and(u8::is_ascii_digit) {
        return Err(ErrorCode::InvalidNumber);
    }
    let mut cursor = Cursor::new(digits);
    match cursor.number() {
        Ok(number) if cursor.at_end() => Ok(Number { negative, ..number }),
        _ => Err(ErrorCode::InvalidNumber),
    }
}

/// A quoted time: a date, or a Unix time as a number would be.
#[inline]
fn moment_from_text(text: &[u8], zone: &mut Zone) -> Result<Moment, ErrorCode> {
    if text.get(4) == Some(&b'-') {
        return Moment::from_text(text, zone);
    }
    let number = number_from_text(text).map_err(|_| ErrorCode::InvalidTime)?;
    Moment::from_number(&number, zone.unit)
}

/// A quoted span: a clock's text, or seconds as a number would be.
fn span_from_text(text: &[u8]) -> Result<Span, ErrorCode> {
    if text.contains(&b':') {
        return Span::from_text(text);
    }
    let number = number_from_text(text).map_err(|_| ErrorCode::InvalidTime)?;
    Span::from_number(&number)
}

fn uuid_from_text(text: &[u8]) -> Option<u128> {
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

fn parse_address<T: std::str::FromStr>(text: &[u8]) -> Result<T, ErrorCode> {
    let text = std::str::from_utf8(text).map_err(|_| ErrorCode::InvalidAddress)?;
    text.parse().map_err(|_| ErrorCode::InvalidAddress)
}
