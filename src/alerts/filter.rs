//! Which rows of a topic are written.
//!
//! Takes the expression of `only_when`, gives a condition over decoded rows. Null compares as false, as in detectors.

use super::column::Column;
use super::expression::{ExpressionError, compile_condition};
use super::program::Condition;
use crate::columns::{Columns, RowPlan};
use crate::config::{ConfigError, Located};

/// A condition that a row has to meet to be written.
#[derive(Debug)]
pub struct Filter {
    condition: Condition,
}

impl Filter {
    /// Compiles the expression against the columns of a table.
    ///
    /// # Errors
    /// Everything that is wrong with it, each with its place.
    pub fn compile(text: &Located<String>, plan: &RowPlan) -> Result<Self, Vec<ConfigError>> {
        let columns: Vec<_> = plan.columns().iter().enumerate().map(|(index, spec)| Column::of(index, spec)).collect();
        let compiled = compile_condition(&text.value, Some(&columns)).map_err(|errors| located(errors, text))?;
        Ok(Self { condition: compiled.condition })
    }

    /// Checks what can be checked while the table is not known.
    ///
    /// # Errors
    /// Everything that is wrong with it, each with its place.
    pub fn check(text: &Located<String>) -> Result<(), Vec<ConfigError>> {
        compile_condition(&text.value, None).map(drop).map_err(|errors| located(errors, text))
    }

    /// Whether the row that was decoded last is to be written.
    #[inline]
    pub fn admits(&self, row: &Columns) -> bool {
        self.condition.holds(row)
    }
}

fn located(errors: Vec<ExpressionError>, text: &Located<String>) -> Vec<ConfigError> {
    let error = |error: ExpressionError| {
        ConfigError::at(text.location.clone(), format!("`only_when`: {}", error.reason), error.fix)
    };
    errors.into_iter().map(error).collect()
}
