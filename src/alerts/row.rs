//! The look that detectors take at a row.

use crate::columns::{Columns, Value};

/// A row whose values can be looked at by column.
pub(crate) trait Row {
    /// The value in the column that the compiler was given at this place.
    fn last_value(&self, column: usize) -> Value<'_>;
}

impl Row for Columns {
    #[inline]
    fn last_value(&self, column: usize) -> Value<'_> {
        Columns::last_value(self, column)
    }
}
