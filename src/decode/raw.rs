//! A value as it is, to the columns that take it: bytes to columns of bytes, else read as a text.

use super::error::{ErrorCode, Fault};
use super::record::append_bytes;
use super::target::Target;
use crate::columns::{Columns, RowPlan};

/// Puts whole records into columns of the open row.
#[derive(Debug)]
pub(super) struct RawDecoder {
    columns: Vec<usize>,
}

impl RawDecoder {
    /// A decoder for columns made from this plan. `root` says what becomes of a record.
    ///
    /// # Errors
    /// Names a column that is filled from a part of the record.
    pub(super) fn new(plan: &RowPlan, root: Target) -> Result<Self, String> {
        if let Some(column) = root.all_columns().get(root.columns.len()) {
            let name = &plan.columns[*column].name;
            return Err(format!("{name}: filled from a part of the bytes, which `raw` does not read"));
        }
        Ok(Self { columns: root.columns })
    }

    /// Fills the open row; columns that take nothing of the value are left.
    pub(super) fn decode(&mut self, record: &[u8], columns: &mut Columns) -> Result<(), Fault> {
        for &column in &self.columns {
            let Some(builder) = columns.open(column) else {
                return Err(Fault { code: ErrorCode::DuplicateKey, at: 0 });
            };
            if let Err(code) = append_bytes(record, builder)
                && !columns.replace(column, code)
            {
                return Err(Fault { code, at: 0 });
            }
        }
        Ok(())
    }
}
