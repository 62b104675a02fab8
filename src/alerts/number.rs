//! Numbers of an expression: whole numbers of 64 bits with or without sign, and floats, mixed freely.
//!
//! Promises that no comparison loses precision and that no operation wraps: a result that is not a number that the
//! operands' types can hold (division by zero, overflow) is `None`, which expressions know as null.

use std::cmp::Ordering;
use std::fmt;

/// A number. Integers lie between the least `i64` and the greatest `u64`; floats may be anything on input.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Number {
    /// A signed or unsigned integer: both are one kind here, so that they mix without surprise.
    Integer(i128),
    /// A float.
    Float(f64),
}

/// An arithmetic operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

/// A comparison operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Comparison {
    /// Whether operands in this order satisfy the comparison.
    #[inline]
    pub(crate) fn holds(self, order: Ordering) -> bool {
        match self {
            Self::Equal => order.is_eq(),
            Self::NotEqual => order.is_ne(),
            Self::Less => order.is_lt(),
            Self::LessOrEqual => order.is_le(),
            Self::Greater => order.is_gt(),
            Self::GreaterOrEqual => order.is_ge(),
        }
    }

    /// Whether it asks for an order, not only for equality.
    pub(crate) fn orders(self) -> bool {
        !matches!(self, Self::Equal | Self::NotEqual)
    }
}

impl Number {
    /// The exact order; `None` where one is not a number.
    #[inline]
    pub(crate) fn compare(self, other: Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Integer(left), Self::Integer(right)) => Some(left.cmp(&right)),
            (Self::Float(left), Self::Float(right)) => left.partial_cmp(&right),
            (Self::Integer(left), Self::Float(right)) => compare_mixed(left, right),
            (Self::Float(left), Self::Integer(right)) => compare_mixed(right, left).map(Ordering::reverse),
        }
    }

    /// The result; `None` where it does not exist or does not fit. Integers stay integers (7 / 2 is 3); with a float
    /// on either side the result is a float.
    pub(crate) fn calculate(self, operator: Arithmetic, other: Self) -> Option<Self> {
        if let (Self::Integer(left), Self::Integer(right)) = (self, other) {
            return integer(match operator {
                Arithmetic::Add => left.checked_add(right),
                Arithmetic::Subtract => left.checked_sub(right),
                Arithmetic::Multiply => left.checked_mul(right),
                Arithmetic::Divide => left.checked_div(right),
                Arithmetic::Remainder => left.checked_rem(right),
            }?);
        }
        let (left, right) = (self.to_float(), other.to_float());
        float(match operator {
            Arithmetic::Add => left + right,
            Arithmetic::Subtract => left - right,
            Arithmetic::Multiply => left * right,
            Arithmetic::Divide => left / right,
            Arithmetic::Remainder => left % right,
        })
    }

    /// The number with the other sign.
    pub(crate) fn negate(self) -> Option<Self> {
        match self {
            Self::Integer(value) => integer(-value),
            Self::Float(value) => Some(Self::Float(-value)),
        }
    }

    fn to_float(self) -> f64 {
        match self {
            Self::Integer(value) => value as f64,
            Self::Float(value) => value,
        }
    }
}

fn integer(value: i128) -> Option<Number> {
    (i128::from(i64::MIN)..=i128::from(u64::MAX)).contains(&value).then_some(Number::Integer(value))
}

fn float(value: f64) -> Option<Number> {
    value.is_finite().then_some(Number::Float(value))
}

/// Converting a great integer instead would make 2^53 + 1 equal to 2^53.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the cast rounds towards zero and saturates, which is what is meant"
)]
fn compare_mixed(integer: i128, float: f64) -> Option<Ordering> {
    if let Ok(integer) = i32::try_from(integer) {
        return f64::from(integer).partial_cmp(&float);
    }
    if float.is_nan() {
        return None;
    }
    let whole = float as i128;
    let fraction = float - float.trunc();
    // A saturated `whole` lies beyond every 64-bit integer, so the fraction (zero or, for an infinity, NaN) is not read.
    Some(integer.cmp(&whole).then_with(|| 0.0_f64.partial_cmp(&fraction).unwrap_or(Ordering::Equal)))
}

impl fmt::Display for Number {
    /// The shortest text that reads back as the same number.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Integer(value) => value.fmt(f),
            Self::Float(value) if value == 0.0 || (1e-6..1e17).contains(&value.abs()) || !value.is_finite() => {
                value.fmt(f)
            }
            Self::Float(value) => write!(f, "{value:e}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO_53: i128 = 1 << 53;

    #[test]
    fn integers_and_floats_compare_without_loss() {
        let check = |left: Number, right: Number, expected: Option<Ordering>| {
            assert_eq!(left.compare(right), expected, "{left} {right}");
            assert_eq!(right.compare(left), expected.map(Ordering::reverse), "{right} {left}");
        };
        let (int, float) = (Number::Integer, Number::Float);
        check(int(1), float(1.0), Some(Ordering::Equal));
        check(int(1), float(1.5), Some(Ordering::Less));
        check(int(-1), float(-1.5), Some(Ordering::Greater));
        check(int(0), float(-0.0), Some(Ordering::Equal));
        check(int(0), float(-1e-300), Some(Ordering::Greater));
        check(int(TWO_53 + 1), float(9_007_199_254_740_992.0), Some(Ordering::Greater));
        check(int(u64::MAX.into()), float(18_446_744_073_709_551_616.0), Some(Ordering::Less));
        check(int(i64::MIN.into()), float(-9_223_372_036_854_775_808.0), Some(Ordering::Equal));
        check(int(i64::MIN.into()), float(f64::NEG_INFINITY), Some(Ordering::Greater));
        check(int(u64::MAX.into()), float(f64::INFINITY), Some(Ordering::Less));
        check(int(u64::MAX.into()), int(-1), Some(Ordering::Greater));
        check(int(0), float(f64::NAN), None);
        check(float(0.0), float(f64::NAN), None);
    }

    #[test]
    fn results_that_do_not_exist_or_do_not_fit_are_null() {
        use Arithmetic::{Add, Divide, Multiply, Remainder, Subtract};
        let check = |left: Number, operator: Arithmetic, right: Number, expected: Option<Number>| {
            assert_eq!(left.calculate(operator, right), expected, "{left} {operator:?} {right}");
        };
        let (int, float) = (Number::Integer, Number::Float);
        let (least, most) = (int(i64::MIN.into()), int(u64::MAX.into()));
        check(int(7), Divide, int(2), Some(int(3)));
        check(int(-7), Divide, int(2), Some(int(-3)));
        check(int(-7), Remainder, int(2), Some(int(-1)));
        check(int(7), Divide, float(2.0), Some(float(3.5)));
        check(int(3), Subtract, int(5), Some(int(-2)));
        check(most, Add, int(1), None);
        check(least, Subtract, int(1), None);
        check(most, Multiply, most, None);
        check(int(1), Divide, int(0), None);
        check(int(1), Remainder, int(0), None);
        check(float(1.0), Divide, int(0), None);
        check(float(f64::MAX), Add, float(f64::MAX), None);
        assert_eq!(most.negate(), None);
        assert_eq!(least.negate(), Some(int(1 << 63)));
    }

    #[test]
    fn numbers_are_written_short() {
        let check = |number: Number, expected: &str| assert_eq!(number.to_string(), expected);
        check(Number::Integer(-3), "-3");
        check(Number::Float(97.3), "97.3");
        check(Number::Float(90.0), "90");
        check(Number::Float(0.0), "0");
        check(Number::Float(1e300), "1e300");
        check(Number::Float(1.5e-9), "1.5e-9");
        check(Number::Float(f64::INFINITY), "inf");
    }
}
