//! Quoting of names and values in the statements that we build.

use std::fmt;

/// A string literal.
pub(crate) fn string(value: &str) -> String {
    let mut quoted = String::with_capacity(value.len() + 2);
    quoted.push('\'');
    for character in value.chars() {
        push_escaped(&mut quoted, character, '\'');
    }
    quoted.push('\'');
    quoted
}

/// A quoted identifier.
pub(crate) fn identifier(value: &str) -> String {
    let mut quoted = String::with_capacity(value.len() + 2);
    quoted.push('`');
    for character in value.chars() {
        push_escaped(&mut quoted, character, '`');
    }
    quoted.push('`');
    quoted
}

fn push_escaped(quoted: &mut String, character: char, quote: char) {
    match character {
        '\\' => quoted.push_str("\\\\"),
        '\n' => quoted.push_str("\\n"),
        '\r' => quoted.push_str("\\r"),
        '\t' => quoted.push_str("\\t"),
        '\0' => quoted.push_str("\\0"),
        other => {
            if other == quote {
                quoted.push('\\');
            }
            quoted.push(other);
        }
    }
}

/// An expression that gives, for each key that the column may hold, its own value; for any other the default. One function
/// call, where a condition for each key costs the server's analysis some 0.4 ms a key.
pub(crate) fn lookup<K: fmt::Display, V: fmt::Display>(
    column: &str,
    pairs: impl Iterator<Item = (K, V)> + Clone,
    default: impl fmt::Display,
) -> String {
    let (keys, values) = (pairs.clone().map(|(key, _)| key), pairs.map(|(_, value)| value));
    format!("transform({column}, [{}], [{}], {default})", joined(keys, ", "), joined(values, ", "))
}

/// Items with a separator between them.
pub(crate) fn joined<T: fmt::Display>(items: impl IntoIterator<Item = T>, separator: &str) -> String {
    let mut text = String::new();
    for item in items {
        if !text.is_empty() {
            text.push_str(separator);
        }
        text.push_str(&item.to_string());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_end_a_literal_is_escaped() {
        let check = |value: &str, literal: &str, name: &str| {
            assert_eq!(string(value), literal);
            assert_eq!(identifier(value), name);
        };
        check("plain", "'plain'", "`plain`");
        check("it's", r"'it\'s'", "`it's`");
        check("a`b", "'a`b'", r"`a\`b`");
        check(r"back\slash", r"'back\\slash'", r"`back\\slash`");
        check("a\nb\0", r"'a\nb\0'", r"`a\nb\0`");
        check("Zürich", "'Zürich'", "`Zürich`");
    }
}
