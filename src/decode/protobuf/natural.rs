//! The column type that takes every value of a Protobuf field as it is.
//!
//! Scalars, lists of scalars and messages with a meaning of their own have one; what is made of parts is a text, as JSON.

use super::shape::{Field, Kind, Label, Shape, WellKnown};

/// The type of a column for a field.
pub(super) fn type_of<'a>(shape: impl Fn(usize) -> &'a Shape, field: &Field) -> String {
    let text = || "Nullable(String)".to_owned();
    match (field.label, field.kind) {
        (Label::Map(_), _) | (Label::Many, Kind::Message(_)) => text(),
        (Label::Many, kind) => scalar_type(kind).map_or_else(text, |kind| format!("Array({kind})")),
        (Label::One, Kind::Enum(_)) => "LowCardinality(Nullable(String))".to_owned(),
        (Label::One, Kind::Message(message)) => match shape(message).well_known {
            Some(WellKnown::Timestamp) => "Nullable(DateTime64(9, 'UTC'))".to_owned(),
            Some(WellKnown::Wrapper) => {
                let value = shape(message).fields.first().and_then(|value| scalar_type(value.kind));
                value.map_or_else(text, |kind| format!("Nullable({kind})"))
            }
            _ => text(),
        },
        (Label::One, kind) => scalar_type(kind).map_or_else(text, |kind| format!("Nullable({kind})")),
    }
}

fn scalar_type(kind: Kind) -> Option<&'static str> {
    Some(match kind {
        Kind::Int32 | Kind::SInt32 | Kind::SFixed32 => "Int32",
        Kind::Int64 | Kind::SInt64 | Kind::SFixed64 => "Int64",
        Kind::UInt32 | Kind::Fixed32 => "UInt32",
        Kind::UInt64 | Kind::Fixed64 => "UInt64",
        Kind::Float => "Float32",
        Kind::Double => "Float64",
        Kind::Bool => "Bool",
        Kind::String | Kind::Bytes | Kind::Enum(_) => "String",
        Kind::Message(_) => return None,
    })
}
