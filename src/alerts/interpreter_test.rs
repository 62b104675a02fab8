//! Compares our programs with the `cel` crate's own interpreter, on generated expressions and rows without nulls.

use cel::{Context, Value as CelValue};
use proptest::prelude::*;

use super::column::{Column, ColumnKind};
use super::expression::compile_value;
use super::number::Number;
use super::observed::Observed;
use super::row::Row;
use crate::columns::Value;

const COLUMNS: [(&str, ColumnKind); 6] = [
    ("i", ColumnKind::Integer),
    ("j", ColumnKind::Integer),
    ("u", ColumnKind::Integer),
    ("f", ColumnKind::Float),
    ("b", ColumnKind::Boolean),
    ("s", ColumnKind::Text),
];

#[derive(Debug, Clone)]
struct TestRow {
    i: i64,
    j: i64,
    u: u64,
    f: f64,
    b: bool,
    s: String,
}

impl Row for TestRow {
    fn last_value(&self, column: usize) -> Value<'_> {
        match COLUMNS[column].0 {
            "i" => Value::I64(self.i),
            "j" => Value::I64(self.j),
            "u" => Value::U64(self.u),
            "f" => Value::F64(self.f),
            "b" => Value::Bool(self.b),
            _ => Value::Str(&self.s),
        }
    }
}

fn rows() -> impl Strategy<Value = TestRow> {
    (-20..20_i64, any::<i64>(), 0..20_u64, -20..20_i32, any::<bool>(), "[abö]{0,3}")
        .prop_map(|(i, j, u, f, b, s)| TestRow { i, j, u, f: f64::from(f) / 4.0, b, s })
}

/// Keeps to one number type inside of arithmetic, as the interpreter does; ours also mixes them.
fn arithmetic(leaves: BoxedStrategy<String>, operators: &'static [&'static str]) -> BoxedStrategy<String> {
    let binary = move |inner: BoxedStrategy<String>| {
        (inner.clone(), prop::sample::select(operators), inner)
            .prop_map(|(left, operator, right)| format!("({left} {operator} {right})"))
    };
    leaves.prop_recursive(3, 12, 2, binary).boxed()
}

fn integers() -> BoxedStrategy<String> {
    let leaves = prop_oneof![Just("i".to_owned()), Just("j".to_owned()), (-9..9_i64).prop_map(|n| n.to_string())];
    let calculated = arithmetic(leaves.boxed(), &["+", "-", "*", "/", "%"]);
    prop_oneof![calculated.clone(), calculated.prop_map(|n| format!("-{n}")), Just("size(s)".to_owned())].boxed()
}

fn unsigned() -> BoxedStrategy<String> {
    arithmetic(
        prop_oneof![Just("u".to_owned()), (0..9_u64).prop_map(|n| format!("{n}u"))].boxed(),
        &["+", "*", "/", "%"],
    )
}

/// Without division: by zero it is infinity for the interpreter and null for us.
fn floats() -> BoxedStrategy<String> {
    let leaves = prop_oneof![Just("f".to_owned()), (-9..9_i32).prop_map(|n| format!("{:?}", f64::from(n) / 2.0))];
    arithmetic(leaves.boxed(), &["+", "-", "*"])
}

fn texts() -> BoxedStrategy<String> {
    arithmetic(prop_oneof![Just("s".to_owned()), "[abö]{0,2}".prop_map(|s| format!("'{s}'"))].boxed(), &["+"])
}

fn numbers() -> BoxedStrategy<String> {
    prop_oneof![integers(), unsigned(), floats()].boxed()
}

fn conditions() -> BoxedStrategy<String> {
    let comparison = prop::sample::select(vec!["==", "!=", "<", "<=", ">", ">="]);
    let search = prop::sample::select(vec!["contains", "startsWith", "endsWith"]);
    let leaves = prop_oneof![
        Just("b".to_owned()),
        (numbers(), comparison.clone(), numbers())
            .prop_map(|(left, operator, right)| format!("{left} {operator} {right}")),
        (texts(), comparison, texts()).prop_map(|(left, operator, right)| format!("{left} {operator} {right}")),
        (texts(), search, texts()).prop_map(|(text, search, part)| format!("{text}.{search}({part})")),
        numbers().prop_map(|number| format!("{number} in [0, 1, 2, 3u, -1.5]")),
        texts().prop_map(|text| format!("{text} in ['a', 'bö']")),
    ];
    let combined = |inner: BoxedStrategy<String>| {
        prop_oneof![
            inner.clone().prop_map(|inner| format!("!({inner})")),
            (inner.clone(), prop::sample::select(vec!["&&", "||"]), inner.clone())
                .prop_map(|(left, operator, right)| format!("({left}) {operator} ({right})")),
            (inner.clone(), inner.clone(), inner).prop_map(|(a, b, c)| format!("({a}) ? ({b}) : ({c})")),
        ]
    };
    leaves.prop_recursive(3, 12, 3, combined).boxed()
}

/// What the interpreter says; `None` where it gives an error (overflow, division by zero), which is null with us.
fn interpret(text: &str, row: &TestRow) -> Option<Observed> {
    let mut context = Context::default();
    context.add_variable_from_value("i", row.i);
    context.add_variable_from_value("j", row.j);
    context.add_variable_from_value("u", row.u);
    context.add_variable_from_value("f", row.f);
    context.add_variable_from_value("b", row.b);
    context.add_variable_from_value("s", row.s.clone());
    match cel::Program::compile(text).expect(text).execute(&context).ok()? {
        CelValue::Int(value) => Some(Observed::Number(Number::Integer(value.into()))),
        CelValue::UInt(value) => Some(Observed::Number(Number::Integer(value.into()))),
        CelValue::Float(value) => Some(Observed::Number(Number::Float(value))),
        CelValue::Bool(value) => Some(Observed::Boolean(value)),
        CelValue::String(value) => Some(Observed::Text(value.to_string())),
        other => panic!("{text} gives {other:?}"),
    }
}

fn check(text: &str, row: &TestRow) {
    let column = |(index, (name, kind)): (usize, &(&str, ColumnKind))| Column {
        name: (*name).to_owned(),
        index,
        kind: *kind,
        type_text: String::new(),
    };
    let columns: Vec<_> = COLUMNS.iter().enumerate().map(column).collect();
    let program = compile_value(text, Some(&columns)).expect(text);
    if let Some(expected) = interpret(text, row) {
        assert_eq!(program.evaluate(row), expected, "{text} {row:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn numbers_equal_the_interpreters(text in numbers(), row in rows()) {
        check(&text, &row);
    }

    #[test]
    fn conditions_equal_the_interpreters(text in conditions(), row in rows()) {
        check(&text, &row);
    }
}
