//! The column type that takes every value of an Avro type as it is.
//!
//! Scalars and lists of scalars have one of their own; what is made of parts is a text, as JSON.

use super::shape::{Blob, Id, Scalar, Shape, Whole};

/// The most digits of a decimal of 16 bytes.
const DECIMAL_DIGITS: u32 = 38;

/// The type of a column for values of this shape; `None` where there is nothing but null.
pub(super) fn type_of(shapes: &[Shape], id: Id) -> Option<String> {
    Some(match &shapes[id] {
        Shape::Null => return None,
        Shape::Array(items) => match element(shapes, items.shape) {
            Some(element) => format!("Array({element})"),
            None => "Nullable(String)".to_owned(),
        },
        Shape::Enum(_) => "LowCardinality(Nullable(String))".to_owned(),
        Shape::Union(branches) => {
            let mut others = branches.iter().filter(|branch| !matches!(shapes[**branch], Shape::Null));
            match (others.next(), others.next()) {
                (None, _) => return None,
                // A list has no NULL: of null and of an empty list it is the same.
                (Some(only), None) if !matches!(shapes[*only], Shape::Union(_)) => return type_of(shapes, *only),
                _ => "Nullable(String)".to_owned(),
            }
        }
        Shape::Scalar(scalar) => format!("Nullable({})", scalar_type(*scalar)),
        Shape::Record(_) | Shape::Map(_) | Shape::Refused(_) => "Nullable(String)".to_owned(),
    })
}

/// The type of a list's elements, where they are scalars.
fn element(shapes: &[Shape], id: Id) -> Option<String> {
    match &shapes[id] {
        Shape::Scalar(scalar) => Some(scalar_type(*scalar)),
        Shape::Enum(_) => Some("String".to_owned()),
        Shape::Union(branches) => {
            let scalar = |branch: &&Id| matches!(shapes[**branch], Shape::Scalar(_));
            match (branches.iter().find(scalar), branches.len()) {
                (Some(only), 2) if branches.iter().any(|branch| matches!(shapes[*branch], Shape::Null)) => {
                    element(shapes, *only).map(|element| format!("Nullable({element})"))
                }
                _ => None,
            }
        }
        Shape::Null | Shape::Record(_) | Shape::Array(_) | Shape::Map(_) | Shape::Refused(_) => None,
    }
}

fn scalar_type(scalar: Scalar) -> String {
    let whole = |whole: Whole, number: &str| match whole {
        Whole::Number => number.to_owned(),
        Whole::Float => "Float32".to_owned(),
        Whole::Double => "Float64".to_owned(),
        Whole::Date => "Date32".to_owned(),
        Whole::Year => "Int32".to_owned(),
        // The server may have no type for it.
        Whole::TimeOfDay(_) => "String".to_owned(),
        Whole::Timestamp(precision) | Whole::LocalTimestamp(precision) => format!("DateTime64({precision}, 'UTC')"),
    };
    match scalar {
        Scalar::Boolean => "Bool".to_owned(),
        Scalar::Int(meaning) => whole(meaning, "Int32"),
        Scalar::Long(meaning) => whole(meaning, "Int64"),
        Scalar::Float => "Float32".to_owned(),
        Scalar::FloatAsDouble | Scalar::Double => "Float64".to_owned(),
        Scalar::Sized(blob) | Scalar::Fixed(_, blob) => match blob {
            Blob::Uuid | Blob::UuidText => "UUID".to_owned(),
            Blob::Decimal { scale } if scale <= DECIMAL_DIGITS => format!("Decimal({DECIMAL_DIGITS}, {scale})"),
            Blob::Bytes
            | Blob::Bits
            | Blob::Text
            | Blob::Meant(_)
            | Blob::Decimal { .. }
            | Blob::BigDecimal
            | Blob::Duration => "String".to_owned(),
        },
    }
}
