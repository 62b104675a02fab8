//! Text of an expression in, its syntax tree or a typed program out.
//!
//! The language is CEL, parsed by the `cel` crate; the tree is compiled by [`super::compile`] and the crate's own
//! interpreter, which allocates per value, never runs. No text makes this panic.

use cel::parser::{ParseErrors, Parser};

use super::column::Column;
use super::compile::{Compiler, Typed};
use super::program::{Condition, Program};

/// The parser's time grows with the text; no honest expression comes near.
const EXPRESSION_BYTES_MAX: usize = 4096;

/// What is wrong with an expression, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ExpressionError {
    pub(crate) reason: String,
    pub(crate) fix: String,
}

impl ExpressionError {
    pub(crate) fn new(reason: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { reason: reason.into(), fix: fix.into() }
    }
}

/// A condition with all that an alert says about it.
#[derive(Debug)]
pub(crate) struct CompiledCondition {
    pub(crate) condition: Condition,
    /// The two sides where the condition is one comparison: what is observed, and the threshold.
    pub(crate) comparison: Option<(Program, Program)>,
    /// The columns that it reads, in the order of the text.
    pub(crate) columns: Vec<(String, Program)>,
}

/// Compiles an expression that must be a condition. Without `columns`, every name is taken for a column of a fitting
/// type and the result is good for nothing but its errors.
pub(crate) fn compile_condition(
    text: &str,
    columns: Option<&[Column]>,
) -> Result<CompiledCondition, Vec<ExpressionError>> {
    let (tree, source) = parse(text)?;
    let mut compiler = Compiler::new(columns, &source);
    let condition = compiler.compile(&tree).and_then(|typed| match typed {
        Typed::Condition(condition) => Some(condition),
        Typed::Unknown => Some(Condition::Constant(false)),
        other => {
            let reason = format!("the expression is {other}, where a condition is needed");
            compiler.report(reason, "compare it with something, such as `temp > 90`");
            None
        }
    });
    let comparison = compiler.comparison_sides(&tree);
    let (columns, errors) = compiler.finish();
    match condition {
        Some(condition) if errors.is_empty() => Ok(CompiledCondition { condition, comparison, columns }),
        _ => Err(errors),
    }
}

/// Compiles an expression of any type, as [`compile_condition`] does.
pub(crate) fn compile_value(text: &str, columns: Option<&[Column]>) -> Result<Program, Vec<ExpressionError>> {
    let (tree, source) = parse(text)?;
    let mut compiler = Compiler::new(columns, &source);
    let program = compiler.compile(&tree).map(Typed::into_program);
    let (_, errors) = compiler.finish();
    match program {
        Some(program) if errors.is_empty() => Ok(program),
        _ => Err(errors),
    }
}

/// Compiles an expression that must be a text, as [`compile_condition`] does.
pub(crate) fn compile_text(text: &str, columns: Option<&[Column]>) -> Result<Program, Vec<ExpressionError>> {
    let (tree, source) = parse(text)?;
    let mut compiler = Compiler::new(columns, &source);
    let program = compiler.compile(&tree).and_then(|typed| match typed {
        Typed::Text(_) | Typed::Unknown => Some(typed.into_program()),
        other => {
            let reason = format!("the expression is {other}, where a text is needed");
            compiler.report(reason, "turn values into text with `string(..)` and join texts with `+`");
            None
        }
    });
    let (_, errors) = compiler.finish();
    match program {
        Some(program) if errors.is_empty() => Ok(program),
        _ => Err(errors),
    }
}

fn parse(text: &str) -> Result<(cel::IdedExpr, cel::common::ast::SourceInfo), Vec<ExpressionError>> {
    if text.len() > EXPRESSION_BYTES_MAX {
        let reason = format!("the expression has {} bytes, the most is {EXPRESSION_BYTES_MAX}", text.len());
        return Err(vec![ExpressionError::new(reason, "split it into several detectors")]);
    }
    Parser::new().parse_with_source_info(text).map_err(|errors| vec![syntax_error(&errors)])
}

/// Only the first: what follows is mostly its consequence.
fn syntax_error(errors: &ParseErrors) -> ExpressionError {
    let (place, message) = match errors.errors.first() {
        Some(error) if error.pos.1 > 0 => (format!(" at character {}", error.pos.1), error.msg.as_str()),
        Some(error) => (String::new(), error.msg.as_str()),
        None => (String::new(), "unknown"),
    };
    let message: String = message.chars().map(|c| if c.is_control() { ' ' } else { c }).take(200).collect();
    ExpressionError::new(format!("not a CEL expression{place}: {message}"), "write it like `temp > 90 && sensor != \"x1\"`")
}
