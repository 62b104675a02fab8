//! Text of an expression in, its syntax tree or a typed program out.
//!
//! The language is CEL, parsed by the `cel` crate; the tree is compiled by [`super::compile`] and the crate's own
//! interpreter, which allocates per value, never runs. No text makes this panic.

use cel::IdedExpr;
use cel::parser::{ParseErrors, Parser};

use super::column::Column;
use super::compile::{Compiler, Typed};
use super::program::{Condition, Program};

/// The parser's time and stack grow with the text; no honest expression comes near.
const EXPRESSION_BYTES_MAX: usize = 4096;
/// Likewise with nesting.
const BRACKETS_OPEN_MAX: usize = 64;
/// Enough for the deepest tree that so many bytes can hold. Reserved, not used, unless a text is as bad as that.
const STACK_BYTES: usize = 256 << 20;

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
    compile_with(text, columns, |compiler, tree| {
        let condition = match compiler.compile(tree)? {
            Typed::Condition(condition) => condition,
            Typed::Unknown => Condition::Constant(false),
            other => {
                let reason = format!("the expression is {other}, where a condition is needed");
                compiler.report(reason, "compare it with something, such as `temp > 90`");
                return None;
            }
        };
        let comparison = compiler.comparison_sides(tree);
        Some(CompiledCondition { condition, comparison, columns: compiler.columns_used() })
    })
}

/// Compiles an expression of any type, as [`compile_condition`] does.
pub(crate) fn compile_value(text: &str, columns: Option<&[Column]>) -> Result<Program, Vec<ExpressionError>> {
    compile_with(text, columns, |compiler, tree| compiler.compile(tree).map(Typed::into_program))
}

/// Compiles an expression that must be a text, as [`compile_condition`] does.
pub(crate) fn compile_text(text: &str, columns: Option<&[Column]>) -> Result<Program, Vec<ExpressionError>> {
    compile_with(text, columns, |compiler, tree| match compiler.compile(tree)? {
        typed @ (Typed::Text(_) | Typed::Unknown) => Some(typed.into_program()),
        other => {
            let reason = format!("the expression is {other}, where a text is needed");
            compiler.report(reason, "turn values into text with `string(..)` and join texts with `+`");
            None
        }
    })
}

/// Parses `text` and lets `compile` make a program of the tree, on a thread of its own: the parser and the tree recurse
/// as deep as the text nests, and a panic of the parser must not end the process.
fn compile_with<T: Send>(
    text: &str,
    columns: Option<&[Column]>,
    compile: impl FnOnce(&mut Compiler<'_>, &IdedExpr) -> Option<T> + Send,
) -> Result<T, Vec<ExpressionError>> {
    check_size(text).map_err(|error| vec![error])?;
    let work = || {
        let (tree, source) =
            Parser::new().parse_with_source_info(text).map_err(|errors| vec![syntax_error(&errors)])?;
        let mut compiler = Compiler::new(columns, &source);
        let compiled = compile(&mut compiler, &tree);
        let errors = compiler.into_errors();
        compiled.filter(|_| errors.is_empty()).ok_or(errors)
    };
    let failed = |what: &str| vec![ExpressionError::new(what, "write it shorter and simpler")];
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(STACK_BYTES).spawn_scoped(scope, work);
        let thread = thread.map_err(|error| failed(&format!("no thread could be started to read it: {error}")))?;
        thread.join().unwrap_or_else(|_| Err(failed("the expression could not be read")))
    })
}

/// What the parser is spared. Brackets in quoted texts count too: the few that a text leaves open do not matter.
fn check_size(text: &str) -> Result<(), ExpressionError> {
    let fix = "split it into several detectors";
    if text.len() > EXPRESSION_BYTES_MAX {
        let reason = format!("the expression has {} bytes, the most is {EXPRESSION_BYTES_MAX}", text.len());
        return Err(ExpressionError::new(reason, fix));
    }
    let mut open = 0_usize;
    for byte in text.bytes() {
        match byte {
            b'(' | b'[' | b'{' => open += 1,
            b')' | b']' | b'}' => open = open.saturating_sub(1),
            _ => {}
        }
        if open > BRACKETS_OPEN_MAX {
            let reason = format!("the expression has more than {BRACKETS_OPEN_MAX} brackets open at once");
            return Err(ExpressionError::new(reason, fix));
        }
    }
    Ok(())
}

/// Only the first: what follows is mostly its consequence.
fn syntax_error(errors: &ParseErrors) -> ExpressionError {
    let (place, message) = match errors.errors.first() {
        Some(error) if error.pos.0 > 1 => {
            (format!(" at line {}, character {}", error.pos.0, error.pos.1), error.msg.as_str())
        }
        Some(error) if error.pos.1 > 0 => (format!(" at character {}", error.pos.1), error.msg.as_str()),
        Some(error) => (String::new(), error.msg.as_str()),
        None => (String::new(), "unknown"),
    };
    if message.contains("Recursion limit") {
        return ExpressionError::new("the expression is nested too deep", "split it into several detectors");
    }
    let message: String = message.chars().map(|c| if c.is_control() { ' ' } else { c }).take(200).collect();
    ExpressionError::new(
        format!("not a CEL expression{place}: {message}"),
        "write it like `temp > 90 && sensor != \"x1\"`",
    )
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::alerts::row::Row;
    use crate::columns::{ColumnSpec, Columns, DefaultValue, RowPlan};
    use crate::decode::RecordDecoder;

    const TYPES: [(&str, &str); 20] = [
        ("temp", "Float64"),
        ("single", "Float32"),
        ("limit", "Nullable(Float64)"),
        ("count", "Int32"),
        ("total", "UInt64"),
        ("balance", "Int64"),
        ("maybe", "Nullable(Int64)"),
        ("price", "Decimal(9, 2)"),
        ("sensor", "String"),
        ("site", "LowCardinality(String)"),
        ("room", "LowCardinality(Nullable(String))"),
        ("note", "Nullable(String)"),
        ("code", "FixedString(4)"),
        ("state", "Enum8('ok' = 1, 'failed' = 2)"),
        ("on", "Bool"),
        ("flag", "Nullable(Bool)"),
        ("at", "DateTime"),
        ("id", "UUID"),
        ("wide", "Int128"),
        ("tags", "Array(String)"),
    ];

    fn plan() -> Arc<RowPlan> {
        let spec = |(name, kind): &(&str, &str)| ColumnSpec::new(*name, *kind, DefaultValue::TypeZero).unwrap();
        Arc::new(RowPlan::new(TYPES.iter().map(spec).collect(), Vec::new(), "UTC").unwrap())
    }

    fn columns_of(plan: &RowPlan) -> Vec<Column> {
        plan.columns().iter().enumerate().map(|(index, spec)| Column::of(index, spec)).collect()
    }

    fn row(plan: &Arc<RowPlan>, json: &str) -> Columns {
        let mut columns = Columns::new(plan).unwrap();
        let mut decoder = RecordDecoder::json(plan);
        // An earlier row, which must not be looked at.
        decoder.decode_value(br#"{"temp": 1000, "sensor": "earlier", "note": "earlier"}"#, &mut columns).unwrap();
        columns.commit_row(&crate::columns::RowCoordinates { topic: "t", partition: 0, offset: 0, row: 0, replay: 0 });
        decoder.decode_value(json.as_bytes(), &mut columns).unwrap();
        columns
    }

    fn evaluate(row: &impl Row, known: &[Column], text: &str) -> String {
        match compile_value(text, Some(known)) {
            Ok(program) => program.evaluate(row).to_string(),
            Err(errors) => errors[0].reason.clone(),
        }
    }

    fn check_row(json: &str, expressions: &[(&str, &str)]) {
        let plan = plan();
        let (known, row) = (columns_of(&plan), row(&plan, json));
        for (text, expected) in expressions {
            assert_eq!(evaluate(&row, &known, text), *expected, "{text}");
            assert_eq!(compile_value(text, None).err(), None, "{text} without columns");
        }
    }

    #[test]
    fn expressions_read_every_supported_type() {
        check_row(
            r#"{"temp": 97.3, "single": 97.3, "limit": 90, "count": -3, "total": 18446744073709551615,
                "balance": -9223372036854775808, "maybe": 7, "price": 12.35, "sensor": "s-1", "site": "north",
                "room": "r1", "note": "öl", "code": "ab", "state": "failed", "on": true, "flag": false,
                "at": "2023-11-14 22:13:20"}"#,
            &[
                ("temp > 90", "true"),
                ("temp > 97.3", "false"),
                ("temp >= 97.3", "true"),
                ("90 < temp", "true"),
                ("temp > limit", "true"),
                ("single", "97.3"),
                ("single > 97", "true"),
                ("count", "-3"),
                ("count == -3", "true"),
                ("-count", "3"),
                ("- -3", "3"),
                ("total == 18446744073709551615u", "true"),
                ("total > balance", "true"),
                ("balance < -9223372036854775807", "true"),
                ("balance", "-9223372036854775808"),
                ("maybe * 2 + 1 == 15", "true"),
                ("maybe / 2", "3"),
                ("maybe % 4", "3"),
                ("price == 12.35", "true"),
                ("sensor == 's-1'", "true"),
                ("sensor < \"s-2\"", "true"),
                ("sensor != site", "true"),
                ("site in ['south', 'north']", "true"),
                ("room == 'r1' && note == 'öl'", "true"),
                ("size(note)", "2"),
                ("note.size() == 2", "true"),
                ("code == 'ab'", "true"),
                ("size(code)", "2"),
                ("state == 'failed'", "true"),
                ("on && !flag", "true"),
                ("on == true", "true"),
                ("on != flag", "true"),
                ("flag || on", "true"),
                ("at >= 1700000000", "true"),
                ("count in [1, -3]", "true"),
                ("count in [1.5, -3.0]", "true"),
                ("temp in [90, 91]", "false"),
                ("sensor.contains('-')", "true"),
                ("sensor.startsWith('s')", "true"),
                ("sensor.matches('^s-[0-9]+$')", "true"),
                ("matches(sensor, '[0-9]')", "true"),
                ("sensor.matches('^[0-9]')", "false"),
                ("note.matches('^ö.$')", "true"),
                ("sensor.endsWith('s')", "false"),
                ("temp > 110 ? 'hot' : 'warm'", "warm"),
                ("(on ? count : maybe) + 1", "-2"),
                ("on ? null : sensor", "null"),
                ("sensor + ': ' + string(single) + ' of ' + string(limit)", "s-1: 97.3 of 90"),
                ("string(on) + string(count)", "true-3"),
                ("temp * 2", "194.6"),
                ("1 + 2 * 3 - 4", "3"),
                ("true ? 1 : 2.5", "1"),
                ("temp > 90 && count > 0 || on", "true"),
            ],
        );
    }

    #[test]
    fn a_comparison_with_null_is_false_and_arithmetic_with_null_is_null() {
        check_row(
            r#"{"limit": null, "maybe": null, "note": null, "room": null, "flag": null, "temp": 1}"#,
            &[
                ("limit", "null"),
                ("limit > 1", "false"),
                ("limit <= 1", "false"),
                ("limit == 1", "false"),
                ("limit != 1", "false"),
                ("limit == limit", "false"),
                ("!(limit > 1)", "true"),
                ("limit + 1", "null"),
                ("temp + null", "null"),
                ("-limit", "null"),
                ("limit + 1 > 0", "false"),
                ("maybe in [1, 2]", "false"),
                ("!(maybe in [1, 2])", "true"),
                ("note != 'x'", "false"),
                ("note in ['x']", "false"),
                ("note.contains('')", "false"),
                ("size(note)", "null"),
                ("note + 'x'", "null"),
                ("string(limit)", "null"),
                ("room == ''", "false"),
                ("flag", "null"),
                ("flag && true", "false"),
                ("!flag", "true"),
                ("flag == false", "false"),
                ("flag != true", "false"),
                ("flag ? 1 : 2", "2"),
                ("string(flag)", "null"),
                ("temp / 0", "null"),
                ("count / 0", "null"),
                ("count % 0 == 0", "false"),
                ("9223372036854775807 * 3", "null"),
            ],
        );
    }

    #[test]
    fn what_cannot_be_evaluated_is_refused_with_its_place() {
        let plan = plan();
        let known = columns_of(&plan);
        let check = |text: &str, reason: &str, fix: &str| match compile_condition(text, Some(&known)) {
            Ok(_) => panic!("{text} was accepted"),
            Err(errors) => {
                assert_eq!(errors[0].reason, reason, "{text}");
                assert!(errors[0].fix.contains(fix), "{text}: {}", errors[0].fix);
            }
        };
        check(
            "tmep > 90",
            "`tmep` at character 1 is not a column of the table that records fill",
            "did you mean `temp`",
        );
        check(
            "x && true",
            "`x` at character 1 is not a column of the table that records fill",
            "use one of temp, single",
        );
        check("temp > warm", "`warm` at character 8 is not a column of the table that records fill", "in quotes");
        check(
            "on && id == 'x'",
            "column `id` at character 7 is UUID, which expressions cannot read",
            "type Bool, String",
        );
        check("wide > 1", "column `wide` at character 1 is Int128, which expressions cannot read", "at most 64 bits");
        check("sensor > 90", "`>` at character 8 has a text on one side and an integer on the other", "quoted");
        check(
            "note == 'ö' || sensor == 90",
            "`==` at character 23 has a text on one side and an integer on the other",
            "",
        );
        check(
            "sensor.matches(sensor)",
            "`matches` takes a literal text, but at character 16 stands something else",
            "in quotes",
        );
        check(
            "sensor.matches('(')",
            "`matches`: \"(\" is no regular expression: found open group without closing ')'",
            "in quotes",
        );
        check("temp.matches('x')", "`matches` takes texts, but at character 1 stands a number", "string(");
        check("temp == '90'", "`==` at character 6 has a number on one side and a text on the other", "quoted");
        check("temp", "the expression is a number, where a condition is needed", "temp > 90");
        check("null", "the expression is null, where a condition is needed", "temp > 90");
        check("temp && on", "`&&` takes a condition, but at character 1 stands a number", "compare it");
        check("!temp", "`!` takes a condition, but at character 2 stands a number", "compare it");
        check("temp ? on : on", "`? :` takes a condition, but at character 1 stands a number", "compare it");
        check("on > false", "`>` at character 4 puts booleans in an order", "== or !=");
        check("limit == null", "`==` at character 7 compares with null, which is always false", "leave it out");
    }

    #[test]
    fn nodes_outside_of_the_language_are_named() {
        let plan = plan();
        let known = columns_of(&plan);
        let check = |text: &str, reason: &str| {
            for known in [Some(known.as_slice()), None] {
                let errors = compile_value(text, known).expect_err(text);
                assert_eq!(errors[0].reason, reason, "{text}");
                assert_eq!(errors[0].fix, super::super::compile::SUPPORTED, "{text}");
            }
        };
        check("temp.round() > 1", "the function `round` with such arguments is not supported at character 11");
        check("sensor.replace('x')", "the function `replace` with such arguments is not supported at character 15");
        check("sensor.size('x')", "the function `size` with such arguments is not supported at character 12");
        check("[1, 2].exists(x, x > 1)", "a loop (`all`, `exists`, `map`, `filter`) is not supported at character 14");
        check("has(temp.x)", "`has(..x)` is not supported at character 4");
        check("temp.x > 1", "the field access `.x` is not supported at character 5");
        check("tags[0] == 'x'", "the element access `[..]` is not supported at character 5");
        check("{'a': 1}", "a map is not supported at character 1");
        check("[1]", "a list anywhere but right of `in` is not supported at character 1");
        check("b'x'", "a byte string is not supported at character 1");
        check("Point{x: 1}", "an object of type `Point` is not supported at character 6");
        check("1 in []", "an empty list right of `in` is not supported at character 3");
        check("1 in [1, 'x']", "a list of both numbers and texts is not supported at character 3");
        check("1 in [true]", "anything but a number or a text in the list of `in` is not supported at character 7");
        check("sensor in sensor", "anything but a list right of `in` is not supported at character 8");
    }

    #[test]
    fn all_errors_of_an_expression_are_reported() {
        let plan = plan();
        let errors = compile_condition("tmep > 90 && sensor > 1 || wide == 1", Some(&columns_of(&plan)));
        assert_eq!(errors.expect_err("three mistakes").len(), 3);
    }

    #[test]
    fn what_is_not_cel_says_where() {
        let check = |text: &str, reason: &str| {
            let errors = compile_condition(text, None).expect_err(text);
            assert!(errors[0].reason.starts_with(reason), "{text}: {}", errors[0].reason);
        };
        check("temp >", "not a CEL expression at character 7: ");
        check("", "not a CEL expression at character 1: ");
        check("temp > 90)", "not a CEL expression at character 10: ");
        check("'öö' >", "not a CEL expression at character 7: ");
        check("true &&\n  >", "not a CEL expression at line 2, character 3: ");
        check("'open", "not a CEL expression at character 1: ");
        check("temp > 99999999999999999999", "not a CEL expression at character 8: invalid int literal");
        check(&"(".repeat(5000), "the expression has 5000 bytes, the most is 4096");
    }

    #[test]
    fn no_nesting_overflows_the_stack() {
        let check = |text: &str, expected: Option<&str>| {
            let error = compile_value(text, None).err().map(|errors| errors[0].reason.clone());
            match expected {
                None => assert_eq!(error, None, "{text:.20}"),
                Some(part) => {
                    assert!(error.as_ref().is_some_and(|error| error.contains(part)), "{text:.20}: {error:?}")
                }
            }
        };
        check(&format!("{}1{}", "(".repeat(64), ")".repeat(64)), None);
        check(&format!("{}1{}", "(".repeat(65), ")".repeat(65)), Some("more than 64 brackets open at once"));
        check(&format!("{}true", "!".repeat(4000)), None);
        check(&format!("1{}", "+1".repeat(60)), None);
        check(&format!("(1 > 2){}", " || (1 > 2)".repeat(200)), None);
        check(&format!("1{}", "+1".repeat(2000)), Some("nested more than 100 deep"));
        check(&format!("a{}", ".a".repeat(2000)), Some("the field access"));
        check(&format!("{}1", "true?1:".repeat(500)), Some("nested too deep"));
        check(&format!("true{}", "||true".repeat(600)), None);
    }

    #[test]
    fn one_comparison_tells_observed_from_threshold() {
        let plan = plan();
        let (known, row) = (columns_of(&plan), row(&plan, r#"{"temp": 97.3, "limit": 90, "sensor": "a"}"#));
        let check = |text: &str, expected: Option<(&str, &str)>| {
            let compiled = compile_condition(text, Some(&known)).expect(text);
            let sides = compiled.comparison.map(|(observed, threshold)| {
                (observed.evaluate(&row).to_string(), threshold.evaluate(&row).to_string())
            });
            assert_eq!(
                sides,
                expected.map(|(observed, threshold)| (observed.to_owned(), threshold.to_owned())),
                "{text}"
            );
        };
        check("temp > 90", Some(("97.3", "90")));
        check("(temp > 90)", Some(("97.3", "90")));
        check("90 < temp", Some(("97.3", "90")));
        check("-5 != temp", Some(("97.3", "-5")));
        check("temp > limit", Some(("97.3", "90")));
        check("temp - limit > 5", Some(("7.299999999999997", "5")));
        check("sensor == 'a'", Some(("a", "a")));
        check("temp > 90 && sensor == 'a'", None);
        check("!(temp > 90)", None);
        check("sensor in ['a']", None);
    }
}
