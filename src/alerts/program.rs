//! Compiled expressions, evaluated over the row that was appended last.
//!
//! Every expression has one type, known when it is compiled: condition, number or text. A condition is true or false,
//! never null: a comparison in which either side is null (or is NaN) is false, `!=` too, and a null boolean is false.
//! Numbers and texts made from a null are null. Evaluating allocates only where texts are put together.

use std::borrow::Cow;

use super::number::{Arithmetic, Comparison, Number};
use super::observed::Observed;
use super::row::Row;
use crate::columns::Value;

/// True or false.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Condition {
    Constant(bool),
    Column(usize),
    Not(Box<Condition>),
    And(Box<[Condition; 2]>),
    Or(Box<[Condition; 2]>),
    If(Box<[Condition; 3]>),
    Numbers(Comparison, Box<[NumberExpression; 2]>),
    Texts(Comparison, Box<[TextExpression; 2]>),
    /// Compares two booleans for equality, or the opposite. `None` is null.
    Booleans(Comparison, Box<[Option<Condition>; 2]>),
    NumberIn(Box<NumberExpression>, Vec<Number>),
    TextIn(Box<TextExpression>, Vec<String>),
    Search(Search, Box<[TextExpression; 2]>),
    Matches(Box<TextExpression>, Pattern),
}

/// A regular expression, found anywhere in a text. Takes time in proportion to the text, whatever the pattern.
#[derive(Debug, Clone)]
pub(crate) struct Pattern(regex_lite::Regex);

impl Pattern {
    pub(crate) fn new(text: &str) -> Result<Self, regex_lite::Error> {
        regex_lite::Regex::new(text).map(Self)
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

/// How one text is looked for in another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Search {
    Contains,
    StartsWith,
    EndsWith,
}

/// A number or null.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum NumberExpression {
    Null,
    Literal(Number),
    Column(usize),
    Negate(Box<NumberExpression>),
    Calculate(Arithmetic, Box<[NumberExpression; 2]>),
    /// The number of characters of a text.
    Size(Box<TextExpression>),
    If(Box<Condition>, Box<[NumberExpression; 2]>),
}

/// A text or null.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum TextExpression {
    Null,
    Literal(String),
    Column(usize),
    /// A column whose values are filled up with zero bytes to one length.
    PaddedColumn(usize),
    Concatenate(Box<[TextExpression; 2]>),
    OfNumber(Box<NumberExpression>),
    /// As [`Program::SingleFloat`].
    OfSingleFloat(Box<NumberExpression>),
    OfCondition(Box<Condition>),
    If(Box<Condition>, Box<[TextExpression; 2]>),
}

impl Condition {
    /// Whether it is true of the row.
    #[inline]
    pub(crate) fn holds(&self, row: &impl Row) -> bool {
        match self {
            Self::Numbers(comparison, sides) => {
                let (Some(left), Some(right)) = (sides[0].evaluate(row), sides[1].evaluate(row)) else {
                    return false;
                };
                left.compare(right).is_some_and(|order| comparison.holds(order))
            }
            Self::Constant(value) => *value,
            Self::Column(column) => row.last_value(*column) == Value::Bool(true),
            Self::Not(inner) => !inner.holds(row),
            Self::And(sides) => sides[0].holds(row) && sides[1].holds(row),
            Self::Or(sides) => sides[0].holds(row) || sides[1].holds(row),
            Self::If(parts) => {
                let [condition, then, otherwise] = parts.as_ref();
                if condition.holds(row) { then.holds(row) } else { otherwise.holds(row) }
            }
            Self::Texts(comparison, sides) => match (sides[0].evaluate(row), sides[1].evaluate(row)) {
                (Some(left), Some(right)) => comparison.holds(left.as_ref().cmp(right.as_ref())),
                _ => false,
            },
            Self::Booleans(comparison, sides) => {
                let [left, right] = sides.as_ref();
                let truth = |side: &Option<Self>| side.as_ref().and_then(|side| side.truth(row));
                match (truth(left), truth(right)) {
                    (Some(left), Some(right)) => comparison.holds(left.cmp(&right)),
                    _ => false,
                }
            }
            Self::NumberIn(item, list) => item
                .evaluate(row)
                .is_some_and(|item| list.iter().any(|known| item.compare(*known).is_some_and(|order| order.is_eq()))),
            Self::TextIn(item, list) => {
                item.evaluate(row).is_some_and(|item| list.iter().any(|known| *known == item.as_ref()))
            }
            Self::Matches(text, pattern) => text.evaluate(row).is_some_and(|text| pattern.0.is_match(&text)),
            Self::Search(search, sides) => match (sides[0].evaluate(row), sides[1].evaluate(row)) {
                (Some(text), Some(part)) => match search {
                    Search::Contains => text.contains(part.as_ref()),
                    Search::StartsWith => text.starts_with(part.as_ref()),
                    Search::EndsWith => text.ends_with(part.as_ref()),
                },
                _ => false,
            },
        }
    }

    /// As a value to compare or to report, where a null column is still told from a false one.
    pub(crate) fn truth(&self, row: &impl Row) -> Option<bool> {
        match self {
            Self::Column(column) => match row.last_value(*column) {
                Value::Bool(value) => Some(value),
                _ => None,
            },
            condition => Some(condition.holds(row)),
        }
    }
}

impl NumberExpression {
    /// The number; `None` for null.
    #[inline]
    pub(crate) fn evaluate(&self, row: &impl Row) -> Option<Number> {
        match self {
            Self::Literal(number) => Some(*number),
            Self::Column(column) => match row.last_value(*column) {
                Value::I64(value) => Some(Number::Integer(value.into())),
                Value::U64(value) => Some(Number::Integer(value.into())),
                Value::F64(value) => Some(Number::Float(value)),
                Value::Null | Value::Bool(_) | Value::Str(_) | Value::Other => None,
            },
            composite => composite.evaluate_composite(row),
        }
    }

    /// Apart, so that the two cases of nearly every detector are inlined.
    fn evaluate_composite(&self, row: &impl Row) -> Option<Number> {
        match self {
            Self::Null => None,
            Self::Literal(_) | Self::Column(_) => self.evaluate(row),
            Self::Negate(inner) => inner.evaluate(row)?.negate(),
            Self::Calculate(operator, sides) => sides[0].evaluate(row)?.calculate(*operator, sides[1].evaluate(row)?),
            Self::Size(text) => {
                let characters = text.evaluate(row)?.chars().count();
                Some(Number::Integer(i128::try_from(characters).expect("a text is shorter than 2^64 characters")))
            }
            Self::If(condition, sides) => sides[usize::from(!condition.holds(row))].evaluate(row),
        }
    }
}

impl TextExpression {
    /// The text; `None` for null, and for a column whose bytes are not UTF-8.
    pub(crate) fn evaluate<'a>(&'a self, row: &'a impl Row) -> Option<Cow<'a, str>> {
        match self {
            Self::Null => None,
            Self::Literal(text) => Some(Cow::Borrowed(text)),
            Self::Column(column) => text_of(row.last_value(*column)).map(Cow::Borrowed),
            Self::PaddedColumn(column) => {
                text_of(row.last_value(*column)).map(|text| Cow::Borrowed(text.trim_end_matches('\0')))
            }
            Self::Concatenate(sides) => Some(sides[0].evaluate(row)? + sides[1].evaluate(row)?),
            Self::OfNumber(number) => Some(Cow::Owned(number.evaluate(row)?.to_string())),
            Self::OfSingleFloat(number) => Some(Cow::Owned(shortest_single(number.evaluate(row)?).to_string())),
            Self::OfCondition(condition) => Some(Cow::Owned(condition.truth(row)?.to_string())),
            Self::If(condition, sides) => sides[usize::from(!condition.holds(row))].evaluate(row),
        }
    }
}

fn text_of(value: Value<'_>) -> Option<&str> {
    match value {
        Value::Str(text) => Some(text),
        Value::Null | Value::I64(_) | Value::U64(_) | Value::F64(_) | Value::Bool(_) | Value::Other => None,
    }
}

/// An expression of any type, for what an alert reports.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Program {
    Null,
    Condition(Condition),
    Number(NumberExpression),
    /// A column of 32-bit floats: compared as it is, but shown as it was written, 97.3 and not 97.30000305175781.
    SingleFloat(NumberExpression),
    Text(TextExpression),
}

impl Program {
    /// Its value for the row.
    pub(crate) fn evaluate(&self, row: &impl Row) -> Observed {
        match self {
            Self::Null => Observed::Null,
            Self::Condition(condition) => condition.truth(row).map_or(Observed::Null, Observed::Boolean),
            Self::Number(number) => number.evaluate(row).map_or(Observed::Null, Observed::Number),
            Self::SingleFloat(number) => {
                number.evaluate(row).map_or(Observed::Null, |number| Observed::Number(shortest_single(number)))
            }
            Self::Text(text) => text.evaluate(row).map_or(Observed::Null, |text| Observed::text(&text)),
        }
    }
}

/// The double that the shortest text of this single-precision number reads as.
#[expect(clippy::cast_possible_truncation, reason = "the value was read from a 32-bit float")]
fn shortest_single(number: Number) -> Number {
    match number {
        Number::Float(value) => Number::Float((value as f32).to_string().parse().unwrap_or(value)),
        Number::Integer(_) => number,
    }
}
