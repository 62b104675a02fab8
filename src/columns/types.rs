//! ClickHouse types as the sink knows them, read from the text that the server reports.
//!
//! Takes a type string such as `LowCardinality(Nullable(String))` from `system.columns`, gives a
//! [`ColumnType`]. A type that the sink cannot write, or a nesting that ClickHouse forbids, is an
//! [`UnsupportedType`] that names the offending part, so that `check` can print it. Nothing here
//! touches data.

use std::fmt;
use std::sync::Arc;

use super::type_parser;

/// The type of one column of the target table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ColumnType {
    /// 8-bit signed integer.
    Int8,
    /// 16-bit signed integer.
    Int16,
    /// 32-bit signed integer.
    Int32,
    /// 64-bit signed integer.
    Int64,
    /// 128-bit signed integer.
    Int128,
    /// 256-bit signed integer.
    Int256,
    /// 8-bit unsigned integer.
    UInt8,
    /// 16-bit unsigned integer.
    UInt16,
    /// 32-bit unsigned integer.
    UInt32,
    /// 64-bit unsigned integer.
    UInt64,
    /// 128-bit unsigned integer.
    UInt128,
    /// 256-bit unsigned integer.
    UInt256,
    /// The upper half of a 32-bit float.
    BFloat16,
    /// 32-bit float.
    Float32,
    /// 64-bit float.
    Float64,
    /// `true` or `false`.
    Bool,
    /// Bytes of any length.
    String,
    /// Exactly this many bytes, shorter values padded with zero bytes.
    FixedString(usize),
    /// Days since 1970-01-01, up to 2149-06-06.
    Date,
    /// Days since 1970-01-01, from 1900-01-01 to 2299-12-31.
    Date32,
    /// Seconds since 1970-01-01 UTC.
    DateTime {
        /// Time zone for texts that carry none; the server's where it is absent.
        zone: Option<String>,
    },
    /// Ticks of 10^-precision seconds since 1970-01-01 UTC.
    DateTime64 {
        /// Digits after the point, 0 to 9.
        precision: u8,
        /// Time zone for texts that carry none; the server's where it is absent.
        zone: Option<String>,
    },
    /// Seconds, up to a thousand hours in either direction.
    Time,
    /// Ticks of 10^-precision seconds, up to a thousand hours in either direction.
    Time64 {
        /// Digits after the point, 0 to 9.
        precision: u8,
    },
    /// 128-bit identifier.
    Uuid,
    /// Fixed-point number.
    Decimal {
        /// Digits in all, 1 to 76.
        precision: u8,
        /// Digits after the point.
        scale: u8,
    },
    /// Named values of 8 bits.
    Enum8(Arc<EnumNames>),
    /// Named values of 16 bits.
    Enum16(Arc<EnumNames>),
    /// IPv4 address.
    Ipv4,
    /// IPv6 address.
    Ipv6,
    /// Values kept once in a dictionary.
    LowCardinality(Box<ColumnType>),
    /// A value or NULL.
    Nullable(Box<ColumnType>),
    /// A list.
    Array(Box<ColumnType>),
    /// Keys and values; keys may repeat, as in ClickHouse.
    Map(Box<ColumnType>, Box<ColumnType>),
    /// A fixed list of fields.
    Tuple(Vec<TupleField>),
    /// A value of one of these types, or NULL. In the order of the server, which counts them in its blocks.
    Variant(Vec<ColumnType>),
    /// A JSON object, of which the server makes subcolumns: sent to it as text.
    Json,
    /// A value of any type, which is kept beside it.
    Dynamic,
}

/// One field of a `Tuple`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TupleField {
    /// Its name; fields have either all a name or none.
    pub name: Option<String>,
    /// Its type.
    pub field_type: ColumnType,
}

/// The names of an `Enum8` or `Enum16`, sorted by value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnumNames {
    by_value: Vec<(i16, String)>,
    by_name: Vec<(String, i16)>,
}

impl EnumNames {
    pub(super) fn new(mut by_value: Vec<(i16, String)>) -> Self {
        by_value.sort();
        let mut by_name: Vec<_> = by_value.iter().map(|(v, n)| (n.clone(), *v)).collect();
        by_name.sort();
        Self { by_value, by_name }
    }

    /// The value of a name.
    pub(crate) fn value_of(&self, name: &[u8]) -> Option<i16> {
        let found = self.by_name.binary_search_by(|(known, _)| known.as_bytes().cmp(name));
        found.ok().map(|at| self.by_name[at].1)
    }

    /// The name of a value.
    pub(crate) fn name_of(&self, value: i16) -> Option<&str> {
        let found = self.by_value.binary_search_by_key(&value, |(v, _)| *v);
        found.ok().map(|at| self.by_value[at].1.as_str())
    }

    /// What ClickHouse gives a row that lacks the column: the smallest value.
    pub(crate) fn default_value(&self) -> i16 {
        self.by_value.first().map_or(0, |(value, _)| *value)
    }
}

/// A type, or a nesting of types, that the sink does not write.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct UnsupportedType {
    /// The part of the type text that is not supported.
    pub type_text: String,
    /// What is wrong with it.
    pub reason: String,
}

impl UnsupportedType {
    pub(crate) fn new(type_text: impl Into<String>, why: impl fmt::Display) -> Self {
        let type_text = type_text.into();
        let reason = format!("type {type_text} is not supported: {why}");
        Self { type_text, reason }
    }
}

impl ColumnType {
    /// Reads ClickHouse's own text of a type.
    ///
    /// # Errors
    /// Names the first part that the sink cannot write.
    pub fn parse(text: &str) -> Result<Self, UnsupportedType> {
        type_parser::parse(text).map(|parsed| parsed.column_type)
    }

    /// Whether an explicit null can be stored as NULL.
    pub(crate) fn accepts_null(&self) -> bool {
        match self {
            Self::Nullable(_) | Self::Variant(_) | Self::Dynamic => true,
            Self::LowCardinality(inner) => inner.accepts_null(),
            _ => false,
        }
    }

    /// Whether its values are moments, alone or in a list.
    pub(crate) fn holds_times(&self) -> bool {
        match self {
            Self::DateTime { .. } | Self::DateTime64 { .. } => true,
            Self::Nullable(inner) | Self::LowCardinality(inner) | Self::Array(inner) => inner.holds_times(),
            _ => false,
        }
    }

    /// Whether one value is one run of bytes: what dictionaries and map keys need.
    pub(super) fn is_leaf(&self) -> bool {
        !matches!(
            self,
            Self::LowCardinality(_)
                | Self::Nullable(_)
                | Self::Array(_)
                | Self::Map(..)
                | Self::Tuple(_)
                | Self::Variant(_)
                | Self::Json
                | Self::Dynamic
        )
    }

    /// Whether the server makes values of the type from JSON text, so that what it stores is not known before.
    pub fn is_made_from_json(&self) -> bool {
        match self {
            Self::Json | Self::Dynamic => true,
            Self::Nullable(inner) | Self::Array(inner) => inner.is_made_from_json(),
            Self::Map(_, value) => value.is_made_from_json(),
            Self::Tuple(fields) => fields.iter().any(|field| field.field_type.is_made_from_json()),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_of_an_enum_is_its_smallest_value() {
        let ColumnType::Enum16(names) = ColumnType::parse("Enum16('b' = 2, 'a' = -5)").unwrap() else {
            panic!("an Enum16 was expected");
        };
        assert_eq!(names.default_value(), -5);
        assert_eq!(names.value_of(b"b"), Some(2));
        assert_eq!(names.name_of(-5), Some("a"));
        assert_eq!(names.name_of(0), None);
    }
}
