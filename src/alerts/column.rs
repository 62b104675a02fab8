//! What an expression may know of a column of the target table.

use crate::columns::{ColumnSpec, ColumnType};

/// Most digits of a decimal that is stored in 64 bits.
const DECIMAL_DIGITS_MAX: u8 = 18;

/// A column as the compiler of expressions sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Column {
    /// Its name, which is the identifier in expressions.
    pub(crate) name: String,
    /// Its place for [`super::row::Row::last_value`].
    pub(crate) index: usize,
    /// What it holds.
    pub(crate) kind: ColumnKind,
    /// Its type as the server writes it, for messages.
    pub(crate) type_text: String,
}

/// What expressions can make of a column's type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ColumnKind {
    Boolean,
    Integer,
    Float,
    /// A 32-bit float.
    SingleFloat,
    Text,
    /// A text with zero bytes behind it, which do not count.
    PaddedText,
    /// A type whose values have no simple form.
    Unusable,
}

impl Column {
    /// The column with this place among those that are filled from records.
    pub(crate) fn of(index: usize, spec: &ColumnSpec) -> Self {
        let kind = ColumnKind::of(&spec.column_type);
        Self { name: spec.name.clone(), index, kind, type_text: spec.type_text.clone() }
    }
}

impl ColumnKind {
    /// Fits what [`crate::columns::Value`] shows of a column of this type.
    fn of(column_type: &ColumnType) -> Self {
        match column_type {
            ColumnType::Nullable(inner) | ColumnType::LowCardinality(inner) => Self::of(inner),
            ColumnType::Bool => Self::Boolean,
            ColumnType::Int8
            | ColumnType::Int16
            | ColumnType::Int32
            | ColumnType::Int64
            | ColumnType::UInt8
            | ColumnType::UInt16
            | ColumnType::UInt32
            | ColumnType::UInt64
            | ColumnType::DateTime { .. }
            | ColumnType::Time => Self::Integer,
            ColumnType::Float64 => Self::Float,
            ColumnType::Decimal { precision, .. } if *precision <= DECIMAL_DIGITS_MAX => Self::Float,
            ColumnType::BFloat16 | ColumnType::Float32 => Self::SingleFloat,
            ColumnType::String | ColumnType::Enum8(_) | ColumnType::Enum16(_) => Self::Text,
            ColumnType::FixedString(_) => Self::PaddedText,
            ColumnType::Int128
            | ColumnType::Int256
            | ColumnType::UInt128
            | ColumnType::UInt256
            | ColumnType::Decimal { .. }
            | ColumnType::Date
            | ColumnType::Date32
            | ColumnType::DateTime64 { .. }
            | ColumnType::Time64 { .. }
            | ColumnType::Uuid
            | ColumnType::Ipv4
            | ColumnType::Ipv6
            | ColumnType::Array(_)
            | ColumnType::Map(..)
            | ColumnType::Tuple(_)
            | ColumnType::Variant(_)
            | ColumnType::Json
            | ColumnType::Dynamic => Self::Unusable,
        }
    }
}
