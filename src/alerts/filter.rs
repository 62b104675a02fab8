//! Which rows of a topic are written, and to which table.
//!
//! Takes the expression of `only_when`, or of a route's `when`, gives a condition over decoded rows. Null compares as false, as in detectors.

use super::column::Column;
use super::expression::{ExpressionError, compile_condition};
use super::program::Condition;
use crate::columns::{Columns, RowPlan};
use crate::config::{ConfigError, Located};

/// A condition that a row has to meet.
#[derive(Debug)]
pub struct Filter {
    condition: Condition,
}

impl Filter {
    /// Compiles the expression that stands under a key against the columns of a table.
    ///
    /// # Errors
    /// Everything that is wrong with it, each with its place.
    pub fn compile(key: &str, text: &Located<String>, plan: &RowPlan) -> Result<Self, Vec<ConfigError>> {
        let columns: Vec<_> = plan.columns().iter().enumerate().map(|(index, spec)| Column::of(index, spec)).collect();
        let compiled = compile_condition(&text.value, Some(&columns)).map_err(|errors| located(key, errors, text))?;
        Ok(Self { condition: compiled.condition })
    }

    /// Checks what can be checked while the table is not known.
    ///
    /// # Errors
    /// Everything that is wrong with it, each with its place.
    pub fn check(text: &Located<String>) -> Result<(), Vec<ConfigError>> {
        compile_condition(&text.value, None).map(drop).map_err(|errors| located("only_when", errors, text))
    }

    /// Whether the row that was decoded last meets it.
    #[inline]
    pub fn admits(&self, row: &Columns) -> bool {
        self.condition.holds(row)
    }
}

fn located(key: &str, errors: Vec<ExpressionError>, text: &Located<String>) -> Vec<ConfigError> {
    let error = |error: ExpressionError| {
        ConfigError::at(text.location.clone(), format!("`{key}`: {}", error.reason), error.fix)
    };
    errors.into_iter().map(error).collect()
}
