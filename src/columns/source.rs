//! Where a column's value comes from, and what happens when it does not fit.
//!
//! Takes the text that a configuration gives behind `from`. Knows nothing of formats: a path is a path in all of them.

use std::fmt;

/// Steps of a path: deeper than any mapping a person writes.
const STEPS_MAX: usize = 32;

/// What a column is filled from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A place in the record's value, or in the row where a record makes several; the empty path is the whole of it.
    Value(Path),
    /// A place in the value around the rows of a list inside it; the empty path is the whole value.
    Record(Path),
    /// A place in the record's key; the empty path is the whole key.
    Key(Path),
    /// The last header of this name.
    Header(String),
    /// Kafka's timestamp.
    Timestamp,
    /// The topic's name.
    Topic,
    /// The partition.
    Partition,
    /// The offset.
    Offset,
    /// The record's value, byte for byte.
    Raw,
    /// The fields that no column takes.
    UnknownFields,
    /// Whether the record says that something was deleted.
    Deleted,
}

/// A place in a value: field names and element numbers, from the root.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Path(pub Vec<Step>);

/// One step of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// The field of this name: of an object, a record, a message or a map.
    Field(String),
    /// The element of this number, from 0.
    Element(usize),
}

/// What happens when a value does not fit its column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnError {
    /// The record becomes a dead letter.
    #[default]
    DeadLetter,
    /// The column gets its default.
    Default,
    /// The column gets NULL. Of columns that take NULL only.
    Null,
    /// A number or time outside the column's range becomes the nearest one inside; all else is a dead letter.
    Clamp,
}

impl OnError {
    /// Its word, in configurations and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::DeadLetter => "dead_letter",
            Self::Default => "default",
            Self::Null => "null",
            Self::Clamp => "clamp",
        }
    }
}

/// What a number means in a column of times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeUnit {
    /// Seconds since 1970.
    Seconds,
    /// Milliseconds since 1970.
    Milliseconds,
    /// Microseconds since 1970.
    Microseconds,
    /// Nanoseconds since 1970.
    Nanoseconds,
}

/// What happens with fields that no column takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum UnknownFields {
    /// They are dropped.
    #[default]
    Ignore,
    /// The record becomes a dead letter.
    DeadLetter,
    /// The record is given back with them.
    Report,
    /// They are kept, as one JSON object, in this column (an index into the plan's columns).
    Collect(usize),
}

impl Source {
    /// The field of the record's value that has this name.
    pub fn field(name: impl Into<String>) -> Self {
        Self::Value(Path(vec![Step::Field(name.into())]))
    }

    /// Reads what stands behind `from`: a field's name, a path such as `$.a.b[0]` or `$['a.b']`, or one of `$key`,
    /// `$key.id`, `$record.id`, `$headers.name`, `$timestamp`, `$topic`, `$partition`, `$offset`, `$raw`.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let Some(rest) = text.strip_prefix('$') else {
            return if text.is_empty() { Err("is empty".to_owned()) } else { Ok(Self::field(text)) };
        };
        if rest.is_empty() || rest.starts_with(['.', '[']) {
            return parse_path(rest).map(Self::Value);
        }
        let end = rest.find(['.', '[']).unwrap_or(rest.len());
        let (word, path) = rest.split_at(end);
        match (word, path) {
            ("timestamp", "") => Ok(Self::Timestamp),
            ("topic", "") => Ok(Self::Topic),
            ("partition", "") => Ok(Self::Partition),
            ("offset", "") => Ok(Self::Offset),
            ("raw", "") => Ok(Self::Raw),
            ("key", path) => parse_path(path).map(Self::Key),
            ("record", path) => parse_path(path).map(Self::Record),
            ("headers", path) => match path.strip_prefix('.').filter(|name| !name.is_empty()) {
                Some(name) => Ok(Self::Header(name.to_owned())),
                None => match parse_path(path)?.0.as_slice() {
                    [Step::Field(name)] => Ok(Self::Header(name.clone())),
                    _ => Err("names no header".to_owned()),
                },
            },
            _ => Err(format!("begins with `${word}`, which is no source")),
        }
    }
}

impl Path {
    /// The path of fields inside each other.
    pub fn of_fields<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        Self(names.into_iter().map(|name| Step::Field(name.to_owned())).collect())
    }
}

/// Reads `.name`, `[0]` and `['name']`, any number of them.
fn parse_path(text: &str) -> Result<Path, String> {
    let mut steps = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        if steps.len() == STEPS_MAX {
            return Err(format!("has more than {STEPS_MAX} steps"));
        }
        if let Some(after) = rest.strip_prefix('.') {
            let end = after.find(['.', '[']).unwrap_or(after.len());
            if end == 0 {
                return Err("has a step without a name".to_owned());
            }
            steps.push(Step::Field(after[..end].to_owned()));
            rest = &after[end..];
            continue;
        }
        let inner = rest.strip_prefix('[').ok_or_else(|| format!("has `{rest}` where a step begins"))?;
        let quote = inner.chars().next().filter(|first| matches!(first, '\'' | '"'));
        let (step, after) = match quote {
            Some(quote) => {
                let (name, after) = inner[1..].split_once(quote).ok_or("has a quote that is not closed")?;
                (Step::Field(name.to_owned()), after)
            }
            None => {
                let end = inner.find(']').ok_or("has a bracket that is not closed")?;
                let number =
                    inner[..end].parse().map_err(|_| format!("has `[{}]`, no number of an element", &inner[..end]))?;
                (Step::Element(number), &inner[end..])
            }
        };
        steps.push(step);
        rest = after.strip_prefix(']').ok_or("has a bracket that is not closed")?;
    }
    Ok(Path(steps))
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for step in &self.0 {
            match step {
                Step::Field(name) if name.contains(['.', '[']) => write!(f, "['{name}']")?,
                Step::Field(name) => write!(f, ".{name}")?,
                Step::Element(number) => write!(f, "[{number}]")?,
            }
        }
        Ok(())
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value(path) => write!(f, "${path}"),
            Self::Key(path) => write!(f, "$key{path}"),
            Self::Record(path) => write!(f, "$record{path}"),
            Self::Header(name) => write!(f, "$headers.{name}"),
            Self::Timestamp => f.write_str("$timestamp"),
            Self::Topic => f.write_str("$topic"),
            Self::Partition => f.write_str("$partition"),
            Self::Offset => f.write_str("$offset"),
            Self::Raw => f.write_str("$raw"),
            Self::UnknownFields => f.write_str("unknown fields"),
            Self::Deleted => f.write_str("whether it was deleted"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_read() {
        let check = |text: &str, expected: &str| {
            let found = match Source::parse(text) {
                Ok(source) => format!("{source}"),
                Err(error) => format!("error: {error}"),
            };
            assert_eq!(found, expected, "{text}");
        };
        check("temp", "$.temp");
        check("a.b", "$['a.b']");
        check("$", "$");
        check("$.a.b[0]", "$.a.b[0]");
        check("$['a.b'][3].c", "$['a.b'][3].c");
        check("$[\"x\"]", "$.x");
        check("$key", "$key");
        check("$key.id", "$key.id");
        check("$record", "$record");
        check("$record.a['b.c'][0]", "$record.a['b.c'][0]");
        check("$record[x]", "error: has `[x]`, no number of an element");
        check("$records.a", "error: begins with `$records`, which is no source");
        check("$headers.trace-id", "$headers.trace-id");
        check("$headers.a.b", "$headers.a.b");
        check("$headers['a b']", "$headers.a b");
        check("$timestamp", "$timestamp");
        check("$topic", "$topic");
        check("$partition", "$partition");
        check("$offset", "$offset");
        check("$raw", "$raw");
        check("", "error: is empty");
        check("$headers", "error: names no header");
        check("$headers.", "error: has a step without a name");
        check("$headers[0]", "error: names no header");
        check("$value", "error: begins with `$value`, which is no source");
        check("$timestamp.x", "error: begins with `$timestamp`, which is no source");
        check("$.", "error: has a step without a name");
        check("$.a..b", "error: has a step without a name");
        check("$[x]", "error: has `[x]`, no number of an element");
        check("$[0", "error: has a bracket that is not closed");
        check("$['a]", "error: has a quote that is not closed");
        check("$['a'", "error: has a bracket that is not closed");
        check("$[0]a", "error: has `a` where a step begins");
        check(&format!("${}", ".a".repeat(33)), "error: has more than 32 steps");
    }
}
