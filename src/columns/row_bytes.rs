//! A decoded row as the bytes that ClickHouse's `RowBinary` has for them.
//!
//! For whoever compares a row with one that the server holds: both sides then have the same bytes for the same values,
//! whatever the column's type is.

use super::builder::{ColumnBuilder, Offsets, push_varint, read_varint};
use super::dictionary::DictionaryColumn;
use super::rows::Columns;
use super::variant::VariantColumn;

/// Appends some data columns of the decoded row, which is neither committed nor taken back yet. `wanted` says for each
/// data column whether it is read.
pub(crate) fn append_open_row(columns: &Columns, wanted: &[bool], bytes: &mut Vec<u8>) {
    for (column, wanted) in columns.data_builders().zip(wanted) {
        if *wanted {
            append_value(column, bytes);
        }
    }
}

/// The value since the column's mark.
pub(super) fn append_value(column: &ColumnBuilder, bytes: &mut Vec<u8>) {
    match column {
        ColumnBuilder::Fixed(column) => bytes.extend_from_slice(&column.data[column.mark..]),
        ColumnBuilder::String(column) => bytes.extend_from_slice(&column.data[column.mark..]),
        ColumnBuilder::Nullable(column) => {
            let is_null = column.nulls[column.mark];
            bytes.push(is_null);
            if is_null == 0 {
                append_value(&column.values, bytes);
            }
        }
        ColumnBuilder::Json(column) => bytes.extend_from_slice(&column.text.data[column.text.mark..]),
        ColumnBuilder::Tuple(column) => column.fields.iter().for_each(|field| append_value(field, bytes)),
        ColumnBuilder::Variant(column) => {
            let discriminator = column.discriminators[column.mark];
            bytes.push(discriminator);
            if let Some(place) = VariantColumn::place(discriminator) {
                append_value(&column.values[place], bytes);
            }
        }
        composite @ (ColumnBuilder::Dictionary(_) | ColumnBuilder::Array(_) | ColumnBuilder::Map(_)) => {
            Reader::new(composite).append_next(bytes);
        }
    }
}

/// What is left of one column since its mark.
#[derive(Debug)]
enum Reader<'c> {
    Fixed { data: &'c [u8], width: usize },
    String { data: &'c [u8] },
    Dictionary { column: &'c DictionaryColumn, indexes: &'c [u32] },
    Nullable { nulls: &'c [u8], values: Box<Reader<'c>> },
    Array { lengths: Lengths<'c>, values: Box<Reader<'c>> },
    Map { lengths: Lengths<'c>, keys: Box<Reader<'c>>, values: Box<Reader<'c>> },
    Tuple { fields: Vec<Reader<'c>> },
    Variant { discriminators: &'c [u8], values: Vec<Reader<'c>> },
}

impl<'c> Reader<'c> {
    fn new(column: &'c ColumnBuilder) -> Self {
        let boxed = |column: &'c ColumnBuilder| Box::new(Self::new(column));
        match column {
            ColumnBuilder::Fixed(column) => Self::Fixed { data: &column.data[column.mark..], width: column.width },
            ColumnBuilder::String(column) => Self::String { data: &column.data[column.mark..] },
            ColumnBuilder::Dictionary(column) => Self::Dictionary { column, indexes: column.open_indexes() },
            ColumnBuilder::Nullable(column) => {
                Self::Nullable { nulls: &column.nulls[column.mark..], values: boxed(&column.values) }
            }
            ColumnBuilder::Array(column) => {
                Self::Array { lengths: Lengths::new(&column.offsets), values: boxed(&column.values) }
            }
            ColumnBuilder::Map(column) => Self::Map {
                lengths: Lengths::new(&column.offsets),
                keys: boxed(&column.keys),
                values: boxed(&column.values),
            },
            ColumnBuilder::Tuple(column) => Self::Tuple { fields: column.fields.iter().map(Self::new).collect() },
            ColumnBuilder::Variant(column) => Self::Variant {
                discriminators: &column.discriminators[column.mark..],
                values: column.values.iter().map(Self::new).collect(),
            },
            ColumnBuilder::Json(column) => Self::String { data: &column.text.data[column.text.mark..] },
        }
    }

    fn append_next(&mut self, bytes: &mut Vec<u8>) {
        match self {
            Self::Fixed { data, width } => bytes.extend_from_slice(take(data, *width)),
            Self::String { data } => {
                let (length, prefix) = read_varint(data);
                let length = usize::try_from(length).expect("a string is in memory");
                bytes.extend_from_slice(take(data, prefix + length));
            }
            Self::Dictionary { column, indexes } => {
                let (index, rest) = indexes.split_first().expect("a row has a value in every column");
                *indexes = rest;
                if column.nullable {
                    bytes.push(u8::from(*index == 0));
                }
                if !(column.nullable && *index == 0) {
                    bytes.extend_from_slice(column.value(*index));
                }
            }
            Self::Nullable { nulls, values } => {
                let is_null = take(nulls, 1)[0];
                bytes.push(is_null);
                let start = bytes.len();
                values.append_next(bytes);
                if is_null != 0 {
                    // The place of a NULL is filled; the format leaves it out.
                    bytes.truncate(start);
                }
            }
            Self::Array { lengths, values } => {
                for _ in 0..lengths.append_next(bytes) {
                    values.append_next(bytes);
                }
            }
            Self::Map { lengths, keys, values } => {
                for _ in 0..lengths.append_next(bytes) {
                    keys.append_next(bytes);
                    values.append_next(bytes);
                }
            }
            Self::Tuple { fields } => fields.iter_mut().for_each(|field| field.append_next(bytes)),
            Self::Variant { discriminators, values } => {
                let discriminator = take(discriminators, 1)[0];
                bytes.push(discriminator);
                if let Some(place) = VariantColumn::place(discriminator) {
                    values[place].append_next(bytes);
                }
            }
        }
    }
}

/// How many elements each row has, from where each row's elements end.
#[derive(Debug)]
struct Lengths<'c> {
    ends: &'c [u8],
    before: u64,
}

impl<'c> Lengths<'c> {
    fn new(offsets: &'c Offsets) -> Self {
        let (bytes, elements) = offsets.mark;
        Self { ends: &offsets.data[bytes..], before: elements }
    }

    fn append_next(&mut self, bytes: &mut Vec<u8>) -> u64 {
        let end = u64::from_le_bytes(take(&mut self.ends, 8).try_into().expect("8 bytes were asked for"));
        let length = end - self.before;
        self.before = end;
        push_varint(bytes, length);
        length
    }
}

fn take<'c>(data: &mut &'c [u8], bytes: usize) -> &'c [u8] {
    let (taken, rest) = data.split_at(bytes);
    *data = rest;
    taken
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::columns::{ColumnSpec, DefaultValue, RowCoordinates, RowPlan};
    use crate::decode::RecordDecoder;

    /// The rows of a single column, as the bytes of each.
    fn check(type_text: &str, values: &[&str], expected: &[&[u8]]) {
        let spec = ColumnSpec::new("v", type_text, DefaultValue::TypeZero).unwrap();
        let plan = Arc::new(RowPlan::new(vec![spec], Vec::new(), "UTC").unwrap());
        let mut columns = Columns::new(&plan).unwrap();
        let mut decoder = RecordDecoder::json(&plan);
        for (value, expected) in values.iter().zip(expected) {
            decoder.decode_value(format!("{{\"v\":{value}}}").as_bytes(), &mut columns).unwrap();
            let (mut bytes, mut nothing) = (Vec::new(), Vec::new());
            append_open_row(&columns, &[true], &mut bytes);
            append_open_row(&columns, &[false], &mut nothing);
            assert_eq!((bytes.as_slice(), nothing.as_slice()), (*expected, [].as_slice()), "{type_text} {value}");
            columns.commit_row(&RowCoordinates { topic: "t", partition: 0, offset: 0, row: 0, replay: 0 });
        }
    }

    #[test]
    fn rows_are_written_as_the_format_says() {
        check("UInt16", &["1", "515"], &[&[1, 0], &[3, 2]]);
        check("String", &["\"ab\"", "\"\"", "\"c\""], &[b"\x02ab", b"\x00", b"\x01c"]);
        check("FixedString(3)", &["\"ab\""], &[b"ab\0"]);
        check("Nullable(String)", &["\"a\"", "null", "\"b\""], &[b"\x00\x01a", b"\x01", b"\x00\x01b"]);
        check("LowCardinality(String)", &["\"a\"", "\"b\"", "\"a\""], &[b"\x01a", b"\x01b", b"\x01a"]);
        check("LowCardinality(Nullable(String))", &["\"a\"", "null", "\"\""], &[b"\x00\x01a", b"\x01", b"\x00\x00"]);
        check("Array(UInt8)", &["[1,2]", "[]", "[3]"], &[&[2, 1, 2], &[0], &[1, 3]]);
        check("Array(Nullable(UInt8))", &["[1,null]", "[2]"], &[&[2, 0, 1, 1], &[1, 0, 2]]);
        check("Array(Array(UInt8))", &["[[1],[]]", "[[2,3]]"], &[&[2, 1, 1, 0], &[1, 2, 2, 3]]);
        check("Map(String, UInt8)", &[r#"{"a":1,"b":2}"#, "{}"], &[b"\x02\x01a\x01\x01b\x02", b"\x00"]);
        check("Tuple(a UInt8, b String)", &[r#"{"a":1,"b":"x"}"#], &[b"\x01\x01x"]);
        check("Time", &["\"00:00:02\"", "-1"], &[&[2, 0, 0, 0], &[255, 255, 255, 255]]);
        check("Time64(1)", &["\"00:00:01.5\""], &[&[15, 0, 0, 0, 0, 0, 0, 0]]);
        check("SimpleAggregateFunction(max, UInt8)", &["7"], &[&[7]]);
        check(
            "Nested(a UInt8, b String)",
            &[r#"[{"a":1,"b":"x"},{"a":2}]"#, "[]"],
            &[b"\x02\x01\x01x\x02\x00", b"\x00"],
        );
        check("Variant(String, UInt8)", &["\"a\"", "7", "null"], &[b"\x00\x01a", b"\x01\x07", b"\xFF"]);
        check(
            "Array(Variant(String, UInt8))",
            &["[\"a\",7]", "[null,8]"],
            &[b"\x02\x00\x01a\x01\x07", b"\x02\xFF\x01\x08"],
        );
        check("Variant(Array(UInt8), String)", &["[1,2]", "[3]"], &[b"\x00\x02\x01\x02", b"\x00\x01\x03"]);
    }
}
