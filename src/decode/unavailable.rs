//! Values that a database did not send: Debezium puts a placeholder where it has not read a large value that did not change.
//!
//! Takes a decoded row whose record holds the placeholder, as text or as base64, and treats it in each column as a value that
//! does not fit: the column's `on_error` says what becomes of it. It never takes the place of the real value unseen. Source:
//! Debezium's `unavailable.value.placeholder`.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use memchr::memmem::Finder;

use super::error::{ErrorCode, Fault};
use super::typed::write_json_text;
use crate::columns::{Columns, RowPlan, Source, Value, append_open_row};

/// Finds placeholders.
#[derive(Debug)]
pub(super) struct Unavailable {
    /// What a record contains that has one.
    needles: Vec<Finder<'static>>,
    /// What a column contains that has one.
    values: Vec<String>,
    /// The columns that are filled from values.
    columns: Vec<usize>,
}

impl Unavailable {
    /// `None` where no placeholder is expected.
    pub(super) fn new(plan: &RowPlan) -> Option<Self> {
        let placeholder = plan.unavailable()?;
        let values = vec![placeholder.to_owned(), BASE64_STANDARD.encode(placeholder)];
        let mut escaped = Vec::new();
        write_json_text(placeholder, &mut escaped);
        let mut needles: Vec<&[u8]> = values.iter().map(String::as_bytes).collect();
        let inside = &escaped[1..escaped.len() - 1];
        if inside != placeholder.as_bytes() {
            needles.push(inside);
        }
        let is_from_value = |(column, spec): (usize, &crate::columns::ColumnSpec)| {
            matches!(spec.source, Source::Value(_)).then_some(column)
        };
        Some(Self {
            needles: needles.into_iter().map(|needle| Finder::new(needle).into_owned()).collect(),
            columns: plan.columns().iter().enumerate().filter_map(is_from_value).collect(),
            values,
        })
    }

    /// Where a placeholder stands in the record, if one does.
    #[inline]
    pub(super) fn find(&self, record: &[u8]) -> Option<usize> {
        self.needles.iter().find_map(|needle| needle.find(record))
    }

    /// Replaces the placeholders of the open row, one of which stands at byte `at` of the record.
    #[cold]
    pub(super) fn replace(&self, at: usize, columns: &mut Columns) -> Result<(), Fault> {
        for column in &self.columns {
            if columns.has_value(*column)
                && self.is_in(columns, *column)
                && !columns.replace_value(*column, ErrorCode::Unavailable)
            {
                return Err(Fault { code: ErrorCode::Unavailable, at });
            }
        }
        Ok(())
    }

    fn is_in(&self, columns: &Columns, column: usize) -> bool {
        match columns.last_value(column) {
            Value::Str(text) => self.values.iter().any(|value| text.trim_end_matches('\0') == value),
            // A list, a map, a document.
            Value::Other => {
                let wanted: Vec<bool> = (0..columns.plan().columns().len()).map(|other| other == column).collect();
                let mut bytes = Vec::new();
                append_open_row(columns, &wanted, &mut bytes);
                self.values.iter().any(|value| memchr::memmem::find(&bytes, value.as_bytes()).is_some())
            }
            _ => false,
        }
    }
}
