//! The look that detectors take at a row.

/// A value of the open row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'a> {
    /// NULL.
    Null,
    /// A signed integer of at most 64 bits; for `DateTime` the Unix seconds.
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

/// A row whose values can be looked at by column.
pub trait Row {
    /// The value in the column that the compiler was given at this place.
    fn last_value(&self, column: usize) -> Value<'_>;
}
