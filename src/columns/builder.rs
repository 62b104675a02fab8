//! One column of the open block, of any type.

use super::dictionary::DictionaryColumn;
use super::fixed::{FixedColumn, FixedKind};
use super::plan::PlanError;
use super::source::TimeUnit;
use super::types::ColumnType;
use super::variant::VariantColumn;
use super::zone::Zone;

/// The data of one column in Native form. Rows are appended between `mark` and either nothing
/// (kept) or `rollback`.
#[derive(Debug)]
pub(crate) enum ColumnBuilder {
    Fixed(FixedColumn),
    String(StringColumn),
    Dictionary(DictionaryColumn),
    Nullable(NullableColumn),
    Array(ArrayColumn),
    Map(MapColumn),
    Tuple(TupleColumn),
    Variant(VariantColumn),
    Json(JsonColumn),
}

/// Strings, each behind its length.
#[derive(Debug, Default)]
pub(crate) struct StringColumn {
    pub(crate) data: Vec<u8>,
    /// Length of `data` before the open row.
    pub(crate) mark: usize,
}

impl StringColumn {
    #[inline]
    pub(crate) fn push(&mut self, value: &[u8]) {
        push_varint(&mut self.data, value.len() as u64);
        self.data.extend_from_slice(value);
    }

    /// Appends a piece of a text; quicker than `push` where more text follows the piece.
    #[inline]
    pub(crate) fn push_piece(&mut self, text: &[u8], start: usize, end: usize) {
        let bytes = end - start;
        match text[start..].first_chunk::<SHORT_BYTES>() {
            Some(chunk) if bytes <= SHORT_BYTES => {
                self.data.reserve(1 + SHORT_BYTES);
                push_varint(&mut self.data, bytes as u64);
                let content = self.data.len();
                self.data.extend_from_slice(chunk);
                self.data.truncate(content + bytes);
            }
            _ => self.push(&text[start..end]),
        }
    }
}

/// Strings up to this are copied as if they had as many bytes: a copy of fixed size is no call.
const SHORT_BYTES: usize = 32;

/// Texts of JSON objects, of which the server makes values.
#[derive(Debug, Default)]
pub(crate) struct JsonColumn {
    pub(crate) text: StringColumn,
    /// There once the server has refused an object that has a key twice.
    pub(crate) single_keys: Option<Box<KeyBuffers>>,
}

/// The keys of an object, one behind the other: where each is, and whether its value is an object.
#[derive(Debug, Default)]
pub(crate) struct KeyBuffers {
    pub(crate) text: Vec<u8>,
    pub(crate) keys: Vec<(std::ops::Range<usize>, bool)>,
}

impl JsonColumn {
    /// The text of which the server makes the type's default.
    pub(crate) fn push_zero(&mut self) {
        self.text.push(b"{}");
    }
}

/// A null map beside the values.
#[derive(Debug)]
pub(crate) struct NullableColumn {
    pub(crate) nulls: Vec<u8>,
    pub(crate) values: Box<ColumnBuilder>,
    pub(super) mark: usize,
}

impl NullableColumn {
    pub(crate) fn push_null(&mut self) {
        self.nulls.push(1);
        self.values.push_zero();
    }
}

/// Where each row's elements end, as running counts.
#[derive(Debug, Default)]
pub(crate) struct Offsets {
    pub(crate) data: Vec<u8>,
    pub(crate) elements: u64,
    pub(super) mark: (usize, u64),
}

impl Offsets {
    /// Ends a row of `elements` elements.
    #[inline]
    pub(crate) fn push(&mut self, elements: u64) {
        self.elements += elements;
        self.data.extend_from_slice(&self.elements.to_le_bytes());
    }

    fn append_all(&mut self, other: &Self) {
        let mut before = 0;
        for end in other.data.chunks_exact(8) {
            let end = u64::from_le_bytes(end.try_into().expect("chunks of 8 bytes were asked for"));
            self.push(end - before);
            before = end;
        }
    }

    fn mark(&mut self) {
        self.mark = (self.data.len(), self.elements);
    }

    fn rollback(&mut self) {
        self.data.truncate(self.mark.0);
        self.elements = self.mark.1;
    }

    fn clear(&mut self) {
        self.data.clear();
        self.elements = 0;
        self.mark();
    }
}

/// Lists of values.
#[derive(Debug)]
pub(crate) struct ArrayColumn {
    pub(crate) offsets: Offsets,
    pub(crate) values: Box<ColumnBuilder>,
}

impl ArrayColumn {
    /// Appends a list of so many defaults.
    pub(crate) fn push_zeros(&mut self, elements: u64) {
        for _ in 0..elements {
            self.values.push_zero();
        }
        self.offsets.push(elements);
    }
}

/// Lists of keys and values.
#[derive(Debug)]
pub(crate) struct MapColumn {
    pub(crate) offsets: Offsets,
    pub(crate) keys: Box<ColumnBuilder>,
    pub(crate) values: Box<ColumnBuilder>,
}

/// A column per field.
#[derive(Debug)]
pub(crate) struct TupleColumn {
    /// Names, or as many `None`.
    pub(crate) names: Vec<Option<String>>,
    pub(crate) fields: Vec<ColumnBuilder>,
}

impl ColumnBuilder {
    /// An empty column; `server_zone` is for times whose type names no zone.
    pub(crate) fn new(column_type: &ColumnType, server_zone: &str) -> Result<Self, PlanError> {
        let zone = |name: &Option<String>| {
            let name = name.as_deref().unwrap_or(server_zone);
            Zone::named(name).ok_or_else(|| PlanError::UnknownTimeZone(name.to_owned()))
        };
        let fixed = |kind, width| Ok(Self::Fixed(FixedColumn::new(kind, width)));
        match column_type {
            ColumnType::Int8 => fixed(FixedKind::Int8, 1),
            ColumnType::Int16 => fixed(FixedKind::Int16, 2),
            ColumnType::Int32 => fixed(FixedKind::Int32, 4),
            ColumnType::Int64 => fixed(FixedKind::Int64, 8),
            ColumnType::Int128 => fixed(FixedKind::Int128, 16),
            ColumnType::Int256 => fixed(FixedKind::Int256, 32),
            ColumnType::UInt8 => fixed(FixedKind::UInt8, 1),
            ColumnType::UInt16 => fixed(FixedKind::UInt16, 2),
            ColumnType::UInt32 => fixed(FixedKind::UInt32, 4),
            ColumnType::UInt64 => fixed(FixedKind::UInt64, 8),
            ColumnType::UInt128 => fixed(FixedKind::UInt128, 16),
            ColumnType::UInt256 => fixed(FixedKind::UInt256, 32),
            ColumnType::BFloat16 => fixed(FixedKind::BFloat16, 2),
            ColumnType::Float32 => fixed(FixedKind::Float32, 4),
            ColumnType::Float64 => fixed(FixedKind::Float64, 8),
            ColumnType::Bool => fixed(FixedKind::Bool, 1),
            ColumnType::FixedString(bytes) => fixed(FixedKind::FixedString, *bytes),
            ColumnType::Date => fixed(FixedKind::Date, 2),
            ColumnType::Date32 => fixed(FixedKind::Date32, 4),
            ColumnType::DateTime { zone: name } => fixed(FixedKind::DateTime(zone(name)?), 4),
            ColumnType::DateTime64 { precision, zone: name } => {
                let kind = FixedKind::DateTime64 { precision: *precision, zone: zone(name)? };
                fixed(kind, 8)
            }
            ColumnType::Time => fixed(FixedKind::Time, 4),
            ColumnType::Time64 { precision } => fixed(FixedKind::Time64 { precision: *precision }, 8),
            ColumnType::Uuid => fixed(FixedKind::Uuid, 16),
            ColumnType::Decimal { precision, scale } => {
                let width = match *precision {
                    0..=9 => 4,
                    10..=18 => 8,
                    19..=38 => 16,
                    _ => 32,
                };
                let kind = FixedKind::Decimal { precision: *precision, scale: *scale };
                fixed(kind, width)
            }
            ColumnType::Enum8(names) => fixed(FixedKind::Enum8(names.clone()), 1),
            ColumnType::Enum16(names) => fixed(FixedKind::Enum16(names.clone()), 2),
            ColumnType::Ipv4 => fixed(FixedKind::Ipv4, 4),
            ColumnType::Ipv6 => fixed(FixedKind::Ipv6, 16),
            ColumnType::String => Ok(Self::String(StringColumn::default())),
            ColumnType::LowCardinality(inner) => {
                let (inner, nullable) = match inner.as_ref() {
                    ColumnType::Nullable(inner) => (inner, true),
                    _ => (inner, false),
                };
                let values = Self::new(inner, server_zone)?;
                Ok(Self::Dictionary(DictionaryColumn::new(values, nullable)))
            }
            ColumnType::Nullable(inner) => Ok(Self::Nullable(NullableColumn {
                nulls: Vec::new(),
                values: Box::new(Self::new(inner, server_zone)?),
                mark: 0,
            })),
            ColumnType::Array(inner) => Ok(Self::Array(ArrayColumn {
                offsets: Offsets::default(),
                values: Box::new(Self::new(inner, server_zone)?),
            })),
            ColumnType::Map(key, value) => Ok(Self::Map(MapColumn {
                offsets: Offsets::default(),
                keys: Box::new(Self::new(key, server_zone)?),
                values: Box::new(Self::new(value, server_zone)?),
            })),
            ColumnType::Tuple(fields) => Ok(Self::Tuple(TupleColumn {
                names: fields.iter().map(|field| field.name.clone()).collect(),
                fields: fields
                    .iter()
                    .map(|field| Self::new(&field.field_type, server_zone))
                    .collect::<Result<_, _>>()?,
            })),
            ColumnType::Variant(types) => Ok(Self::Variant(VariantColumn::new(types, server_zone)?)),
            ColumnType::Json => Ok(Self::Json(JsonColumn::default())),
            ColumnType::Dynamic => Ok(Self::Variant(VariantColumn::of_dynamic(server_zone)?)),
        }
    }

    /// Remembers the present end, to which `rollback` returns.
    #[inline]
    pub(crate) fn mark(&mut self) {
        match self {
            Self::Fixed(column) => column.mark = column.data.len(),
            Self::String(column) => column.mark = column.data.len(),
            Self::Dictionary(column) => column.mark(),
            composite => composite.mark_composite(),
        }
    }

    fn mark_composite(&mut self) {
        match self {
            Self::Fixed(_) | Self::String(_) | Self::Dictionary(_) => self.mark(),
            Self::Nullable(column) => {
                column.mark = column.nulls.len();
                column.values.mark();
            }
            Self::Array(column) => {
                column.offsets.mark();
                column.values.mark();
            }
            Self::Map(column) => {
                column.offsets.mark();
                column.keys.mark();
                column.values.mark();
            }
            Self::Tuple(column) => column.fields.iter_mut().for_each(Self::mark),
            Self::Variant(column) => column.mark(),
            Self::Json(column) => column.text.mark = column.text.data.len(),
        }
    }

    /// Takes back everything appended since `mark`, however far that got.
    pub(crate) fn rollback(&mut self) {
        match self {
            Self::Fixed(column) => column.data.truncate(column.mark),
            Self::String(column) => column.data.truncate(column.mark),
            Self::Dictionary(column) => column.rollback(),
            Self::Nullable(column) => {
                column.nulls.truncate(column.mark);
                column.values.rollback();
            }
            Self::Array(column) => {
                column.offsets.rollback();
                column.values.rollback();
            }
            Self::Map(column) => {
                column.offsets.rollback();
                column.keys.rollback();
                column.values.rollback();
            }
            Self::Tuple(column) => column.fields.iter_mut().for_each(Self::rollback),
            Self::Variant(column) => column.rollback(),
            Self::Json(column) => column.text.data.truncate(column.text.mark),
        }
    }

    /// Says what a number means in a column of times, also inside of others.
    pub(crate) fn set_time_unit(&mut self, unit: TimeUnit) {
        match self {
            Self::Fixed(column) => {
                if let FixedKind::DateTime(zone) | FixedKind::DateTime64 { zone, .. } = &mut column.kind {
                    zone.unit = Some(unit);
                }
            }
            Self::Nullable(column) => column.values.set_time_unit(unit),
            Self::Dictionary(column) => column.values.set_time_unit(unit),
            Self::Array(column) => column.values.set_time_unit(unit),
            _ => {}
        }
    }

    /// Whether a value of the column is bytes of any kind.
    pub(crate) fn holds_bytes(&self) -> bool {
        match self {
            Self::String(_) => true,
            Self::Fixed(column) => matches!(column.kind, FixedKind::FixedString),
            Self::Dictionary(column) => column.values.holds_bytes(),
            Self::Nullable(column) => column.values.holds_bytes(),
            Self::Array(_) | Self::Map(_) | Self::Tuple(_) | Self::Variant(_) | Self::Json(_) => false,
        }
    }

    /// How many elements the open row has in a column of lists; 0 in any other.
    pub(crate) fn open_elements(&self) -> u64 {
        match self {
            Self::Array(column) => column.offsets.elements - column.offsets.mark.1,
            _ => 0,
        }
    }

    /// Appends what ClickHouse calls the type's default: zero, empty, or NULL.
    pub(crate) fn push_zero(&mut self) {
        match self {
            Self::Fixed(column) => column.push_zero(),
            Self::String(column) => column.data.push(0),
            Self::Dictionary(column) if column.nullable => column.push_null(),
            Self::Dictionary(column) => column.push_zero(),
            Self::Nullable(column) => column.push_null(),
            Self::Array(column) => column.offsets.push(0),
            Self::Map(column) => column.offsets.push(0),
            Self::Tuple(column) => column.fields.iter_mut().for_each(Self::push_zero),
            Self::Variant(column) => column.push_null(),
            Self::Json(column) => column.push_zero(),
        }
    }

    /// Appends all rows of a column of the same type.
    pub(crate) fn append_all(&mut self, other: &Self) {
        match (self, other) {
            (Self::Fixed(to), Self::Fixed(from)) => to.data.extend_from_slice(&from.data),
            (Self::String(to), Self::String(from)) => to.data.extend_from_slice(&from.data),
            (Self::Dictionary(to), Self::Dictionary(from)) => to.append_all(from),
            (Self::Nullable(to), Self::Nullable(from)) => {
                to.nulls.extend_from_slice(&from.nulls);
                to.values.append_all(&from.values);
            }
            (Self::Array(to), Self::Array(from)) => {
                to.offsets.append_all(&from.offsets);
                to.values.append_all(&from.values);
            }
            (Self::Map(to), Self::Map(from)) => {
                to.offsets.append_all(&from.offsets);
                to.keys.append_all(&from.keys);
                to.values.append_all(&from.values);
            }
            (Self::Tuple(to), Self::Tuple(from)) => {
                for (to, from) in to.fields.iter_mut().zip(&from.fields) {
                    to.append_all(from);
                }
            }
            (Self::Variant(to), Self::Variant(from)) => to.append_all(from),
            (Self::Json(to), Self::Json(from)) => to.text.data.extend_from_slice(&from.text.data),
            _ => unreachable!("both columns were made from one type"),
        }
    }

    /// Empties the column and keeps its buffers.
    pub(crate) fn clear(&mut self) {
        match self {
            Self::Fixed(column) => column.data.clear(),
            Self::String(column) => column.data.clear(),
            Self::Dictionary(column) => column.clear(),
            Self::Nullable(column) => {
                column.nulls.clear();
                column.values.clear();
            }
            Self::Array(column) => {
                column.offsets.clear();
                column.values.clear();
            }
            Self::Map(column) => {
                column.offsets.clear();
                column.keys.clear();
                column.values.clear();
            }
            Self::Tuple(column) => column.fields.iter_mut().for_each(Self::clear),
            Self::Variant(column) => column.clear(),
            Self::Json(column) => column.text.data.clear(),
        }
        self.mark();
    }

    /// Takes no more JSON objects that have a key twice.
    pub(super) fn want_single_keys(&mut self) {
        match self {
            Self::Json(column) => {
                column.single_keys.get_or_insert_default();
            }
            Self::Nullable(column) => column.values.want_single_keys(),
            Self::Array(column) => column.values.want_single_keys(),
            Self::Map(column) => column.values.want_single_keys(),
            Self::Tuple(column) => column.fields.iter_mut().for_each(Self::want_single_keys),
            // No variant is JSON, and an object of a `Dynamic` is left to the server.
            Self::Fixed(_) | Self::String(_) | Self::Dictionary(_) | Self::Variant(_) => {}
        }
    }

    /// Bytes that the column will have in the block, before compression.
    pub(crate) fn wire_bytes(&self) -> usize {
        match self {
            Self::Fixed(column) => column.data.len(),
            Self::String(column) => column.data.len(),
            Self::Dictionary(column) => column.values.wire_bytes() + column.indexes.len() * 4,
            Self::Nullable(column) => column.nulls.len() + column.values.wire_bytes(),
            Self::Array(column) => column.offsets.data.len() + column.values.wire_bytes(),
            Self::Map(column) => column.offsets.data.len() + column.keys.wire_bytes() + column.values.wire_bytes(),
            Self::Tuple(column) => column.fields.iter().map(Self::wire_bytes).sum(),
            Self::Variant(column) => {
                column.discriminators.len() + column.values.iter().map(Self::wire_bytes).sum::<usize>()
            }
            Self::Json(column) => column.text.data.len(),
        }
    }

    /// Bytes of heap that the column holds.
    pub(crate) fn heap_bytes(&self) -> usize {
        match self {
            Self::Fixed(column) => column.data.capacity(),
            Self::String(column) => column.data.capacity(),
            Self::Dictionary(column) => column.heap_bytes(),
            Self::Nullable(column) => column.nulls.capacity() + column.values.heap_bytes(),
            Self::Array(column) => column.offsets.data.capacity() + column.values.heap_bytes(),
            Self::Map(column) => column.offsets.data.capacity() + column.keys.heap_bytes() + column.values.heap_bytes(),
            Self::Tuple(column) => column.fields.iter().map(Self::heap_bytes).sum(),
            Self::Variant(column) => column.heap_bytes(),
            Self::Json(column) => column.text.data.capacity(),
        }
    }

    /// The bytes of a column whose values are single runs of bytes.
    #[inline]
    pub(crate) fn leaf_data(&self) -> &Vec<u8> {
        match self {
            Self::Fixed(column) => &column.data,
            Self::String(column) => &column.data,
            _ => unreachable!("the type parser lets only plain types into a dictionary"),
        }
    }

    /// As `leaf_data`.
    #[inline]
    pub(crate) fn leaf_data_mut(&mut self) -> &mut Vec<u8> {
        match self {
            Self::Fixed(column) => &mut column.data,
            Self::String(column) => &mut column.data,
            _ => unreachable!("the type parser lets only plain types into a dictionary"),
        }
    }
}

/// Appends a number in 7-bit groups, least significant first.
#[inline]
pub(crate) fn push_varint(data: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        data.push(low_byte(value) | 0x80);
        value >>= 7;
    }
    data.push(low_byte(value));
}

#[inline]
fn low_byte(value: u64) -> u8 {
    value.to_le_bytes()[0]
}

/// Reads what `push_varint` wrote: the number and the bytes it took.
#[inline]
pub(crate) fn read_varint(data: &[u8]) -> (u64, usize) {
    let mut value = 0;
    for (at, &byte) in data.iter().enumerate() {
        value |= u64::from(byte & 0x7F) << (7 * at);
        if byte < 0x80 {
            return (value, at + 1);
        }
    }
    (value, data.len())
}
