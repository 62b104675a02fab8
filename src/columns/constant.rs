//! One value from the bytes that ClickHouse's `RowBinary` has for it: a default that the server was asked for.
//!
//! Takes bytes of the server, and refuses those that are not exactly one value. What [`super::row_bytes`] writes is read
//! here.

use super::builder::{ColumnBuilder, read_varint};
use super::variant::VariantColumn;

/// Appends the value of which `bytes` is all; `None` where they are not one value of the column's type. Then the column
/// is of no use any more.
pub(super) fn append_row_binary(column: &mut ColumnBuilder, mut bytes: &[u8]) -> Option<()> {
    append_next(column, &mut bytes)?;
    bytes.is_empty().then_some(())
}

fn append_next(column: &mut ColumnBuilder, bytes: &mut &[u8]) -> Option<()> {
    match column {
        ColumnBuilder::Fixed(column) => column.data.extend_from_slice(take(bytes, column.width)?),
        ColumnBuilder::String(column) => column.push(take_string(bytes)?),
        ColumnBuilder::Json(column) => column.text.push(take_string(bytes)?),
        ColumnBuilder::Dictionary(column) => {
            if column.nullable && take_flag(bytes)? {
                column.push_null();
            } else {
                append_next(&mut column.values, bytes)?;
                column.push_appended();
            }
        }
        ColumnBuilder::Nullable(column) => {
            if take_flag(bytes)? {
                column.push_null();
            } else {
                column.nulls.push(0);
                append_next(&mut column.values, bytes)?;
            }
        }
        ColumnBuilder::Array(column) => {
            let elements = take_count(bytes)?;
            for _ in 0..elements {
                append_next(&mut column.values, bytes)?;
            }
            column.offsets.push(elements);
        }
        ColumnBuilder::Map(column) => {
            let elements = take_count(bytes)?;
            for _ in 0..elements {
                append_next(&mut column.keys, bytes)?;
                append_next(&mut column.values, bytes)?;
            }
            column.offsets.push(elements);
        }
        ColumnBuilder::Tuple(column) => {
            for field in &mut column.fields {
                append_next(field, bytes)?;
            }
        }
        ColumnBuilder::Variant(column) => {
            let discriminator = take(bytes, 1)?[0];
            if let Some(place) = VariantColumn::place(discriminator) {
                append_next(column.values.get_mut(place)?, bytes)?;
            }
            column.discriminators.push(discriminator);
        }
    }
    Some(())
}

fn take<'b>(bytes: &mut &'b [u8], count: usize) -> Option<&'b [u8]> {
    let (taken, rest) = bytes.split_at_checked(count)?;
    *bytes = rest;
    Some(taken)
}

fn take_flag(bytes: &mut &[u8]) -> Option<bool> {
    take(bytes, 1).map(|flag| flag[0] != 0)
}

/// A number of things, of which there can be no more than there are bytes: none is a value without any.
fn take_count(bytes: &mut &[u8]) -> Option<u64> {
    // Ten bytes hold 64 bits; `read_varint` takes what it is given.
    let (count, width) = read_varint(&bytes[..bytes.len().min(9)]);
    take(bytes, width)?.last().filter(|last| **last < 0x80)?;
    (count <= u64::try_from(bytes.len()).ok()?).then_some(count)
}

fn take_string<'b>(bytes: &mut &'b [u8]) -> Option<&'b [u8]> {
    let length = take_count(bytes)?;
    take(bytes, usize::try_from(length).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::columns::ColumnType;
    use crate::columns::row_bytes::append_value;

    fn builder(type_text: &str) -> ColumnBuilder {
        ColumnBuilder::new(&ColumnType::parse(type_text).unwrap(), "UTC").unwrap()
    }

    #[test]
    fn values_are_read_as_they_are_written() {
        let check = |type_text: &str, bytes: &[u8]| {
            let mut column = builder(type_text);
            assert_eq!(append_row_binary(&mut column, bytes), Some(()), "{type_text} {bytes:?}");
            let mut written = Vec::new();
            append_value(&column, &mut written);
            assert_eq!(written, bytes, "{type_text}");
        };
        check("Float64", &f64::NAN.to_le_bytes());
        check("Float32", &f32::NEG_INFINITY.to_le_bytes());
        check("Int256", &[0xFF; 32]);
        check("FixedString(3)", b"\xFF\0z");
        check("String", b"\x04\xFF\0z'");
        check("Nullable(String)", &[1]);
        check("Nullable(String)", b"\x00\x01x");
        check("LowCardinality(String)", b"\x00");
        check("LowCardinality(String)", b"\x01x");
        check("LowCardinality(Nullable(UInt16))", &[0, 5, 0]);
        check("LowCardinality(Nullable(String))", &[1]);
        check("Array(Array(UInt8))", &[2, 0, 1, 7]);
        check("Array(LowCardinality(String))", b"\x03\x01a\x01b\x01a");
        check("Map(String, Nullable(UInt8))", b"\x02\x01a\x01\x01b\x00\x05");
        check("Tuple(a UInt8, b Array(Bool))", &[9, 1, 1]);
        check("Variant(String, UInt8)", &[255]);
        check("Variant(String, UInt8)", &[1, 7]);
        check("Array(Variant(String, UInt8))", b"\x02\x00\x01x\x01\x07");
    }

    #[test]
    fn bytes_that_are_not_one_value_are_refused() {
        let check = |type_text: &str, bytes: &[u8]| {
            assert_eq!(append_row_binary(&mut builder(type_text), bytes), None, "{type_text} {bytes:?}");
        };
        check("UInt16", &[1]);
        check("UInt16", &[1, 2, 3]);
        check("String", b"");
        check("String", b"\x02x");
        check("String", &[0xFF; 12]);
        check("Nullable(UInt8)", &[0]);
        check("Array(UInt8)", &[2, 1]);
        check("Array(UInt8)", &[0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F, 1]);
        check("Variant(String, UInt8)", &[7, 7]);
    }
}
