//! What an expression may know of a column of the target table.

use std::fmt;

/// A column as the compiler of expressions sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Column {
    /// Its name, which is the identifier in expressions.
    pub(crate) name: String,
    /// Its place for [`super::Row::last_value`].
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
    /// A type whose values have no simple form.
    Unusable,
}

impl fmt::Display for ColumnKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Boolean => "a boolean",
            Self::Integer => "an integer",
            Self::Float | Self::SingleFloat => "a number",
            Self::Text => "a text",
            Self::Unusable => "of a type that expressions cannot read",
        })
    }
}
