//! A look at single values, for detectors.

use super::builder::{ColumnBuilder, read_varint};
use super::fixed::{FixedColumn, FixedKind};

/// A value of the open row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'a> {
    /// NULL.
    Null,
    /// A signed integer of at most 64 bits; for `DateTime` the Unix seconds, for `Time` the seconds.
    I64(i64),
    /// An unsigned integer of at most 64 bits.
    U64(u64),
    /// A float, or the float nearest to a decimal of at most 64 bits.
    F64(f64),
    /// A boolean.
    Bool(bool),
    /// A string, or the name of an enum's value.
    Str(&'a str),
    /// A value that has no simple form: a list, a wide number, a date.
    Other,
}

/// The value appended since the column's mark.
pub(crate) fn last_value(column: &ColumnBuilder) -> Value<'_> {
    match column {
        ColumnBuilder::Fixed(column) => fixed_value(&column.kind, column.last()),
        ColumnBuilder::String(column) => string_value(&column.data[column.mark..]),
        ColumnBuilder::Dictionary(column) => match column.indexes.last() {
            None => Value::Other,
            Some(0) if column.nullable => Value::Null,
            Some(&index) => match column.values.as_ref() {
                ColumnBuilder::Fixed(FixedColumn { kind, .. }) => fixed_value(kind, column.value(index)),
                _ => string_value(column.value(index)),
            },
        },
        ColumnBuilder::Nullable(column) if column.nulls.last() == Some(&1) => Value::Null,
        ColumnBuilder::Nullable(column) => last_value(&column.values),
        ColumnBuilder::Array(_)
        | ColumnBuilder::Map(_)
        | ColumnBuilder::Tuple(_)
        | ColumnBuilder::Variant(_)
        | ColumnBuilder::Json(_) => Value::Other,
    }
}

fn string_value(wire: &[u8]) -> Value<'_> {
    let (_, prefix) = read_varint(wire);
    std::str::from_utf8(&wire[prefix..]).map_or(Value::Other, Value::Str)
}

fn fixed_value<'a>(kind: &'a FixedKind, bytes: &'a [u8]) -> Value<'a> {
    match kind {
        FixedKind::Int8 => int(bytes).map_or(Value::Other, |b| Value::I64(i8::from_le_bytes(b).into())),
        FixedKind::Int16 => int(bytes).map_or(Value::Other, |b| Value::I64(i16::from_le_bytes(b).into())),
        FixedKind::Int32 => int(bytes).map_or(Value::Other, |b| Value::I64(i32::from_le_bytes(b).into())),
        FixedKind::Int64 => int(bytes).map_or(Value::Other, |b| Value::I64(i64::from_le_bytes(b))),
        FixedKind::UInt8 => int(bytes).map_or(Value::Other, |[b]: [u8; 1]| Value::U64(b.into())),
        FixedKind::UInt16 => int(bytes).map_or(Value::Other, |b| Value::U64(u16::from_le_bytes(b).into())),
        FixedKind::UInt32 => int(bytes).map_or(Value::Other, |b| Value::U64(u32::from_le_bytes(b).into())),
        FixedKind::UInt64 => int(bytes).map_or(Value::Other, |b| Value::U64(u64::from_le_bytes(b))),
        FixedKind::DateTime(_) => int(bytes).map_or(Value::Other, |b| Value::I64(u32::from_le_bytes(b).into())),
        FixedKind::Time => int(bytes).map_or(Value::Other, |b| Value::I64(i32::from_le_bytes(b).into())),
        FixedKind::BFloat16 => int(bytes)
            .map_or(Value::Other, |[low, high]: [u8; 2]| Value::F64(f32::from_le_bytes([0, 0, low, high]).into())),
        FixedKind::Float32 => int(bytes).map_or(Value::Other, |b| Value::F64(f32::from_le_bytes(b).into())),
        FixedKind::Float64 => int(bytes).map_or(Value::Other, |b| Value::F64(f64::from_le_bytes(b))),
        FixedKind::Bool => Value::Bool(bytes == [1]),
        FixedKind::Decimal { scale, .. } => decimal_value(bytes, *scale),
        FixedKind::Enum8(names) => {
            int(bytes).and_then(|b| names.name_of(i8::from_le_bytes(b).into())).map_or(Value::Other, Value::Str)
        }
        FixedKind::Enum16(names) => {
            int(bytes).and_then(|b| names.name_of(i16::from_le_bytes(b))).map_or(Value::Other, Value::Str)
        }
        FixedKind::FixedString => std::str::from_utf8(bytes).map_or(Value::Other, Value::Str),
        FixedKind::Int128
        | FixedKind::Int256
        | FixedKind::UInt128
        | FixedKind::UInt256
        | FixedKind::Date
        | FixedKind::Date32
        | FixedKind::DateTime64 { .. }
        | FixedKind::Time64 { .. }
        | FixedKind::Uuid
        | FixedKind::Ipv4
        | FixedKind::Ipv6 => Value::Other,
    }
}

fn decimal_value<'a>(bytes: &[u8], scale: u8) -> Value<'a> {
    let unscaled = match bytes.len() {
        4 => int(bytes).map(|b| i64::from(i32::from_le_bytes(b))),
        8 => int(bytes).map(i64::from_le_bytes),
        _ => None,
    };
    let power = 10_f64.powi(scale.into());
    unscaled.map_or(Value::Other, |unscaled| Value::F64(unscaled as f64 / power))
}

fn int<const N: usize>(bytes: &[u8]) -> Option<[u8; N]> {
    bytes.try_into().ok()
}
