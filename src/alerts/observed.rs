//! What an alert reports of the row that fired it.

use std::fmt;

use serde::{Serialize, Serializer};

use super::number::Number;

/// Longest text that an alert carries of a row: an alert must fit into a Kafka message, whatever the record held.
const TEXT_BYTES_MAX: usize = 4096;

/// A reported value: the observed one, or the threshold.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Observed {
    Null,
    Boolean(bool),
    Number(Number),
    Text(String),
}

impl Observed {
    /// A text, cut where it is too long for an alert.
    pub(crate) fn text(text: &str) -> Self {
        if text.len() <= TEXT_BYTES_MAX {
            return Self::Text(text.to_owned());
        }
        let end = (0..=TEXT_BYTES_MAX).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        Self::Text(format!("{}…", &text[..end]))
    }

    /// As text; `None` for null.
    pub(crate) fn into_text(self) -> Option<String> {
        match self {
            Self::Null => None,
            Self::Text(text) => Some(text),
            Self::Boolean(_) | Self::Number(_) => Some(self.to_string()),
        }
    }

    /// Bytes held on the heap.
    pub(crate) fn heap_bytes(&self) -> usize {
        match self {
            Self::Text(text) => text.capacity(),
            Self::Null | Self::Boolean(_) | Self::Number(_) => 0,
        }
    }
}

impl fmt::Display for Observed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Boolean(value) => value.fmt(f),
            Self::Number(number) => number.fmt(f),
            Self::Text(text) => text.fmt(f),
        }
    }
}

impl Serialize for Observed {
    /// A JSON value of the same kind. JSON has no infinity and no NaN: they become the texts `inf`, `-inf`, `NaN`.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_none(),
            Self::Boolean(value) => serializer.serialize_bool(*value),
            Self::Number(Number::Integer(value)) => match i64::try_from(*value) {
                Ok(value) => serializer.serialize_i64(value),
                Err(_) => serializer.serialize_u64(u64::try_from(*value).expect("integers end at the greatest u64")),
            },
            Self::Number(Number::Float(value)) if value.is_finite() => serializer.serialize_f64(*value),
            Self::Number(_) => serializer.collect_str(self),
            Self::Text(text) => serializer.serialize_str(text),
        }
    }
}
