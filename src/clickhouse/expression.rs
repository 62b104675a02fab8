//! What the expressions of columns are made of, as the server writes them.
//!
//! Not a parser: it tells texts, numbers, names and functions apart, which is what is needed to see what an expression
//! reads, and whether it is the same for every row.

use std::iter::Peekable;
use std::str::Chars;

/// A piece of an expression.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Text,
    Number,
    /// What may be a column, or a part of one, piece by piece: `n.a` is two.
    Name(Vec<String>),
    Function(String),
    Symbol(char),
    /// A text or a name without an end.
    Torn,
}

#[derive(Debug)]
struct Tokens<'e> {
    rest: Peekable<Chars<'e>>,
}

impl<'e> Tokens<'e> {
    fn of(expression: &'e str) -> Self {
        Self { rest: expression.chars().peekable() }
    }

    /// The text up to a quote that no backslash stands before; `None` where there is none.
    fn quoted(&mut self, quote: char) -> Option<String> {
        let mut text = String::new();
        loop {
            match self.rest.next()? {
                '\\' => text.extend(self.rest.next()),
                end if end == quote => return Some(text),
                other => text.push(other),
            }
        }
    }

    fn word(&mut self, first: char) -> String {
        let mut word = String::from(first);
        while let Some(next) = self.rest.next_if(|next| next.is_alphanumeric() || *next == '_') {
            word.push(next);
        }
        word
    }

    /// The name that begins with a piece.
    fn name(&mut self, first: String) -> Token {
        let mut pieces = vec![first];
        while self.rest.next_if_eq(&'.').is_some() {
            let piece = match self.rest.next() {
                Some('`') => self.quoted('`'),
                Some(first) if first.is_alphanumeric() || first == '_' => Some(self.word(first)),
                _ => None,
            };
            let Some(piece) = piece else { return Token::Torn };
            pieces.push(piece);
        }
        Token::Name(pieces)
    }
}

impl Iterator for Tokens<'_> {
    type Item = Token;

    fn next(&mut self) -> Option<Token> {
        while self.rest.next_if(|next| next.is_whitespace()).is_some() {}
        Some(match self.rest.next()? {
            '\'' => self.quoted('\'').map_or(Token::Torn, |_| Token::Text),
            '`' => match self.quoted('`') {
                Some(name) => self.name(name),
                None => Token::Torn,
            },
            '0'..='9' => {
                // With exponents and hexadecimal digits.
                while self.rest.next_if(|next| next.is_ascii_alphanumeric() || *next == '.').is_some() {}
                Token::Number
            }
            first if first.is_alphabetic() || first == '_' => {
                let word = self.word(first);
                if self.rest.peek() == Some(&'(') { Token::Function(word) } else { self.name(word) }
            }
            symbol => Token::Symbol(symbol),
        })
    }
}

/// Whether an expression consists of literals and conversions alone. Anything else may read a column, the clock or
/// chance; taking a constant for one costs little, the reverse would store wrong values.
pub(super) fn is_literal(expression: &str) -> bool {
    const WORDS: [&str; 6] = ["NULL", "true", "false", "inf", "nan", "NOT"];
    const CONVERSIONS: [&str; 18] = [
        "CAST",
        "_CAST",
        "array",
        "map",
        "tuple",
        "negate",
        "concat",
        "toBool",
        "toDate",
        "toDate32",
        "toDateTime",
        "toDateTime64",
        "toFixedString",
        "toIPv4",
        "toIPv6",
        "toString",
        "toUUID",
        "defaultValueOfTypeName",
    ];
    const NUMBERS: [&str; 4] = ["toInt", "toUInt", "toFloat", "toDecimal"];
    let is_constant = |token: Token| match token {
        Token::Text | Token::Number => true,
        Token::Name(pieces) => matches!(pieces.as_slice(), [word] if WORDS.contains(&word.as_str())),
        Token::Function(name) => {
            // `toIntervalDay` is none of them.
            let number = |prefix: &str| name.strip_prefix(prefix).is_some_and(|rest| !rest.starts_with("erval"));
            CONVERSIONS.contains(&name.as_str()) || NUMBERS.iter().any(|prefix| number(prefix))
        }
        Token::Symbol(symbol) => "()[],-+*/.".contains(symbol),
        Token::Torn => false,
    };
    !expression.trim().is_empty() && Tokens::of(expression).all(is_constant)
}

/// Which of `columns` an expression may read: it names them. What only looks like one, as a parameter of a lambda, is given
/// too.
pub(crate) fn columns_read<'c>(expression: &str, columns: impl Iterator<Item = &'c str> + Clone) -> Vec<&'c str> {
    let mut found = Vec::new();
    for token in Tokens::of(expression) {
        let Token::Name(pieces) = token else { continue };
        // A field of a tuple or a path of a JSON stands behind the column's name; a Nested has points in it.
        let names: Vec<String> = (1..=pieces.len()).map(|count| pieces[..count].join(".")).collect();
        found.extend(columns.clone().filter(|column| names.iter().any(|name| name == column)));
    }
    found.sort_unstable();
    found.dedup();
    found
}

/// Whether an expression gives another value each time it is evaluated for a row, the clock aside.
pub(crate) fn is_random(expression: &str) -> bool {
    const PREFIXES: [&str; 8] =
        ["rand", "generate", "fuzz", "arrayrandom", "arrayshuffle", "arraypartialshuffle", "rownumberin", "nowinblock"];
    Tokens::of(expression).any(|token| match token {
        Token::Function(name) => PREFIXES.iter().any(|prefix| name.to_lowercase().starts_with(prefix)),
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_are_told_from_expressions() {
        let check = |expression: &str, expected: bool| {
            assert_eq!(is_literal(expression), expected, "{expression}");
        };
        check("5", true);
        check("-1.5e10", true);
        check("1e-300", true);
        check("-inf", true);
        check("-(-5)", true);
        check("1000 * 60", true);
        check("'it\\'s'", true);
        check("'a now() b'", true);
        check("CAST('x', 'Enum8(\\'x\\' = 1)')", true);
        check("_CAST(5, 'Int8')", true);
        check("[1, 2]", true);
        check("map('a', (1, nan))", true);
        check("NULL", true);
        check("toDateTime64('2020-01-01 00:00:00', 3)", true);
        check("toUInt8(3)", true);
        check("toDecimal64('1.5', 2)", true);
        check("toIntervalDay(1) + toDateTime(0)", false);
        check("'torn", false);
        check("now()", false);
        check("toDate(now())", false);
        check("toDate('2020-01-01') + today()", false);
        check("other_column", false);
        check("nan.x", false);
        check("a + 1", false);
        check("`quoted`", false);
        check("rand()", false);
        check("generateUUIDv4()", false);
        check("x -> 1", false);
        check("", false);
    }

    #[test]
    fn columns_that_are_read_are_found() {
        let columns = ["a", "b", "n.a", "n.b c", "t", "day", "größe", "x"];
        let check = |expression: &str, expected: &[&str]| {
            assert_eq!(columns_read(expression, columns.iter().copied()), expected, "{expression}");
        };
        check("a + b", &["a", "b"]);
        check("concat('a', toString(b))", &["b"]);
        check("'it\\'s a' = 'b'", &[]);
        check("day(a)", &["a"]);
        check("`day`", &["day"]);
        check("length(n.a)", &["n.a"]);
        check("`n.a`[1] + n.`b c`[2]", &["n.a", "n.b c"]);
        check("t.1 + t.x.y", &["t"]);
        check("arrayMap(x -> x + größe, n.a)", &["größe", "n.a", "x"]);
        check("1e5 + 2.a", &[]);
        check("ab + a_ + _a", &[]);
    }

    #[test]
    fn chance_is_told_from_what_rows_say() {
        let check = |expression: &str, expected: bool| {
            assert_eq!(is_random(expression), expected, "{expression}");
        };
        check("generateUUIDv4()", true);
        check("toString(rand32() % 5)", true);
        check("arrayShuffle(l)", true);
        check("rand + 1", false);
        check("'rand()'", false);
        check("now64(3)", false);
        check("cityHash64(a)", false);
    }
}
