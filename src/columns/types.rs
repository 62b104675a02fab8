//! ClickHouse types as the sink knows them, read from the text that the server reports.
//!
//! Takes a type string such as `LowCardinality(Nullable(String))` from `system.columns`, gives a
//! [`ColumnType`]. A type that the sink cannot write, or a nesting that ClickHouse forbids, is an
//! [`UnsupportedType`] that names the offending part, so that `check` can print it. Nothing here
//! touches data.

use std::fmt;
use std::sync::Arc;

use super::type_text::TypeText;

/// Deepest nesting of types that is accepted. Decoding recurses by type, never by data, so this
/// bounds the stack.
pub(crate) const TYPE_DEPTH_MAX: u32 = 24;

/// Most digits after the point that `DateTime64` has.
const DATETIME64_PRECISION_MAX: u64 = 9;
/// Most digits that a `Decimal` has.
const DECIMAL_PRECISION_MAX: u64 = 76;
/// Longest `FixedString` that the server itself accepts.
const FIXED_STRING_BYTES_MAX: u64 = 0xFF_FFFF;

/// The type of one column of the target table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ColumnType {
    /// 8-bit signed integer.
    Int8,
    /// 16-bit signed integer.
    Int16,
    /// 32-bit signed integer.
    Int32,
    /// 64-bit signed integer.
    Int64,
    /// 128-bit signed integer.
    Int128,
    /// 256-bit signed integer.
    Int256,
    /// 8-bit unsigned integer.
    UInt8,
    /// 16-bit unsigned integer.
    UInt16,
    /// 32-bit unsigned integer.
    UInt32,
    /// 64-bit unsigned integer.
    UInt64,
    /// 128-bit unsigned integer.
    UInt128,
    /// 256-bit unsigned integer.
    UInt256,
    /// The upper half of a 32-bit float.
    BFloat16,
    /// 32-bit float.
    Float32,
    /// 64-bit float.
    Float64,
    /// `true` or `false`.
    Bool,
    /// Bytes of any length.
    String,
    /// Exactly this many bytes, shorter values padded with zero bytes.
    FixedString(usize),
    /// Days since 1970-01-01, up to 2149-06-06.
    Date,
    /// Days since 1970-01-01, from 1900-01-01 to 2299-12-31.
    Date32,
    /// Seconds since 1970-01-01 UTC.
    DateTime {
        /// Time zone for texts that carry none; the server's where it is absent.
        zone: Option<String>,
    },
    /// Ticks of 10^-precision seconds since 1970-01-01 UTC.
    DateTime64 {
        /// Digits after the point, 0 to 9.
        precision: u8,
        /// Time zone for texts that carry none; the server's where it is absent.
        zone: Option<String>,
    },
    /// 128-bit identifier.
    Uuid,
    /// Fixed-point number.
    Decimal {
        /// Digits in all, 1 to 76.
        precision: u8,
        /// Digits after the point.
        scale: u8,
    },
    /// Named values of 8 bits.
    Enum8(Arc<EnumNames>),
    /// Named values of 16 bits.
    Enum16(Arc<EnumNames>),
    /// IPv4 address.
    Ipv4,
    /// IPv6 address.
    Ipv6,
    /// Values kept once in a dictionary.
    LowCardinality(Box<ColumnType>),
    /// A value or NULL.
    Nullable(Box<ColumnType>),
    /// A list.
    Array(Box<ColumnType>),
    /// Keys and values; keys may repeat, as in ClickHouse.
    Map(Box<ColumnType>, Box<ColumnType>),
    /// A fixed list of fields.
    Tuple(Vec<TupleField>),
}

/// One field of a `Tuple`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TupleField {
    /// Its name; fields have either all a name or none.
    pub name: Option<String>,
    /// Its type.
    pub field_type: ColumnType,
}

/// The names of an `Enum8` or `Enum16`, sorted by value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnumNames {
    by_value: Vec<(i16, String)>,
    by_name: Vec<(String, i16)>,
}

impl EnumNames {
    fn new(mut by_value: Vec<(i16, String)>) -> Self {
        by_value.sort();
        let mut by_name: Vec<_> = by_value.iter().map(|(v, n)| (n.clone(), *v)).collect();
        by_name.sort();
        Self { by_value, by_name }
    }

    /// The value of a name.
    pub(crate) fn value_of(&self, name: &[u8]) -> Option<i16> {
        let found = self.by_name.binary_search_by(|(known, _)| known.as_bytes().cmp(name));
        found.ok().map(|at| self.by_name[at].1)
    }

    /// The name of a value.
    pub(crate) fn name_of(&self, value: i16) -> Option<&str> {
        let found = self.by_value.binary_search_by_key(&value, |(v, _)| *v);
        found.ok().map(|at| self.by_value[at].1.as_str())
    }

    /// What ClickHouse gives a row that lacks the column: the smallest value.
    pub(crate) fn default_value(&self) -> i16 {
        self.by_value.first().map_or(0, |(value, _)| *value)
    }
}

/// A type, or a nesting of types, that the sink does not write.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct UnsupportedType {
    /// The part of the type text that is not supported.
    pub type_text: String,
    /// What is wrong with it.
    pub reason: String,
}

impl UnsupportedType {
    pub(crate) fn new(type_text: impl Into<String>, why: impl fmt::Display) -> Self {
        let type_text = type_text.into();
        let reason = format!("type {type_text} is not supported: {why}");
        Self { type_text, reason }
    }
}

impl ColumnType {
    /// Reads ClickHouse's own text of a type.
    ///
    /// # Errors
    /// Names the first part that the sink cannot write.
    pub fn parse(text: &str) -> Result<Self, UnsupportedType> {
        let mut rest = TypeText::new(text);
        let parsed = parse_type(&mut rest, 0)?;
        if !rest.at_end() {
            return Err(UnsupportedType::new(text, "text follows the type"));
        }
        Ok(parsed)
    }

    /// Whether an explicit null can be stored as NULL.
    pub(crate) fn accepts_null(&self) -> bool {
        match self {
            Self::Nullable(_) => true,
            Self::LowCardinality(inner) => inner.accepts_null(),
            _ => false,
        }
    }

    /// Whether its values are moments, alone or in a list.
    pub(crate) fn holds_times(&self) -> bool {
        match self {
            Self::DateTime { .. } | Self::DateTime64 { .. } => true,
            Self::Nullable(inner) | Self::LowCardinality(inner) | Self::Array(inner) => inner.holds_times(),
            _ => false,
        }
    }

    /// Whether one value is one run of bytes: what dictionaries and map keys need.
    fn is_leaf(&self) -> bool {
        !matches!(self, Self::LowCardinality(_) | Self::Nullable(_) | Self::Array(_) | Self::Map(..) | Self::Tuple(_))
    }
}

fn parse_type(text: &mut TypeText<'_>, depth: u32) -> Result<ColumnType, UnsupportedType> {
    if depth > TYPE_DEPTH_MAX {
        return Err(UnsupportedType::new(text.whole(), "nested too deeply"));
    }
    let start = text.position();
    let name = text.word();
    let has_arguments = text.eat(b'(');
    let parsed = if has_arguments {
        let parsed = with_arguments(name, text, depth)?;
        let closed = text.eat(b')');
        parsed.filter(|_| closed)
    } else {
        without_arguments(name)
    };
    parsed.ok_or_else(|| {
        // The text of the whole type, where its end is known; else what was read of it.
        let shown = text.type_from(start);
        let why = match name {
            "" => "a type name was expected",
            _ => "it is not one of the types that the sink writes",
        };
        UnsupportedType::new(shown, why)
    })
}

fn without_arguments(name: &str) -> Option<ColumnType> {
    Some(match name {
        "Int8" => ColumnType::Int8,
        "Int16" => ColumnType::Int16,
        "Int32" => ColumnType::Int32,
        "Int64" => ColumnType::Int64,
        "Int128" => ColumnType::Int128,
        "Int256" => ColumnType::Int256,
        "UInt8" => ColumnType::UInt8,
        "UInt16" => ColumnType::UInt16,
        "UInt32" => ColumnType::UInt32,
        "UInt64" => ColumnType::UInt64,
        "UInt128" => ColumnType::UInt128,
        "UInt256" => ColumnType::UInt256,
        "BFloat16" => ColumnType::BFloat16,
        "Float32" => ColumnType::Float32,
        "Float64" => ColumnType::Float64,
        "Bool" => ColumnType::Bool,
        "String" => ColumnType::String,
        "Date" => ColumnType::Date,
        "Date32" => ColumnType::Date32,
        "DateTime" => ColumnType::DateTime { zone: None },
        "DateTime64" => ColumnType::DateTime64 { precision: 3, zone: None },
        "UUID" => ColumnType::Uuid,
        "IPv4" => ColumnType::Ipv4,
        "IPv6" => ColumnType::Ipv6,
        _ => return None,
    })
}

/// `None` where the name or its arguments are unknown.
fn with_arguments(name: &str, text: &mut TypeText<'_>, depth: u32) -> Result<Option<ColumnType>, UnsupportedType> {
    Ok(match name {
        "FixedString" => text
            .number()
            .filter(|bytes| (1..=FIXED_STRING_BYTES_MAX).contains(bytes))
            .and_then(|bytes| usize::try_from(bytes).ok())
            .map(ColumnType::FixedString),
        "DateTime" => text.quoted().map(|zone| ColumnType::DateTime { zone: Some(zone) }),
        "DateTime64" => parse_datetime64(text),
        "Decimal" => text.number().and_then(|precision| {
            let scale = if text.eat(b',') { text.number()? } else { 0 };
            decimal(precision, scale)
        }),
        "Decimal32" => text.number().and_then(|scale| decimal(9, scale)),
        "Decimal64" => text.number().and_then(|scale| decimal(18, scale)),
        "Decimal128" => text.number().and_then(|scale| decimal(38, scale)),
        "Decimal256" => text.number().and_then(|scale| decimal(76, scale)),
        "Enum8" => parse_enum(text, i64::from(i8::MIN), i64::from(i8::MAX)).map(ColumnType::Enum8),
        "Enum16" => parse_enum(text, i64::from(i16::MIN), i64::from(i16::MAX)).map(ColumnType::Enum16),
        "Nullable" => {
            let inner = parse_type(text, depth + 1)?;
            if !inner.is_leaf() {
                return Err(UnsupportedType::new(text.whole(), "Nullable holds a plain type only"));
            }
            Some(ColumnType::Nullable(Box::new(inner)))
        }
        "LowCardinality" => {
            let inner = parse_type(text, depth + 1)?;
            let plain = match &inner {
                ColumnType::Nullable(inner) => inner.is_leaf(),
                other => other.is_leaf(),
            };
            if !plain {
                return Err(UnsupportedType::new(
                    text.whole(),
                    "LowCardinality holds a plain type, or a Nullable one, only",
                ));
            }
            Some(ColumnType::LowCardinality(Box::new(inner)))
        }
        "Array" => Some(ColumnType::Array(Box::new(parse_type(text, depth + 1)?))),
        "Map" => parse_map(text, depth)?,
        "Tuple" => parse_tuple(text, depth)?,
        _ => None,
    })
}

fn parse_datetime64(text: &mut TypeText<'_>) -> Option<ColumnType> {
    let precision = text.number().filter(|digits| *digits <= DATETIME64_PRECISION_MAX)?;
    let zone = if text.eat(b',') { Some(text.quoted()?) } else { None };
    Some(ColumnType::DateTime64 { precision: u8::try_from(precision).ok()?, zone })
}

fn decimal(precision: u64, scale: u64) -> Option<ColumnType> {
    if !(1..=DECIMAL_PRECISION_MAX).contains(&precision) || scale > precision {
        return None;
    }
    Some(ColumnType::Decimal { precision: u8::try_from(precision).ok()?, scale: u8::try_from(scale).ok()? })
}

fn parse_enum(text: &mut TypeText<'_>, least: i64, greatest: i64) -> Option<Arc<EnumNames>> {
    let mut by_value = Vec::new();
    loop {
        let name = text.quoted()?;
        if !text.eat(b'=') {
            return None;
        }
        let negative = text.eat(b'-');
        let size = i64::try_from(text.number()?).ok()?;
        let value = if negative { -size } else { size };
        if !(least..=greatest).contains(&value) {
            return None;
        }
        by_value.push((i16::try_from(value).ok()?, name));
        if !text.eat(b',') {
            return Some(Arc::new(EnumNames::new(by_value)));
        }
    }
}

fn parse_map(text: &mut TypeText<'_>, depth: u32) -> Result<Option<ColumnType>, UnsupportedType> {
    let key = parse_type(text, depth + 1)?;
    let plain = match &key {
        ColumnType::LowCardinality(inner) => inner.is_leaf(),
        other => other.is_leaf(),
    };
    if !plain {
        return Err(UnsupportedType::new(text.whole(), "a Map key is a plain type, or a LowCardinality of one, only"));
    }
    if !text.eat(b',') {
        return Ok(None);
    }
    let value = parse_type(text, depth + 1)?;
    Ok(Some(ColumnType::Map(Box::new(key), Box::new(value))))
}

fn parse_tuple(text: &mut TypeText<'_>, depth: u32) -> Result<Option<ColumnType>, UnsupportedType> {
    let mut fields = Vec::new();
    loop {
        let name = text.field_name();
        let field_type = parse_type(text, depth + 1)?;
        fields.push(TupleField { name, field_type });
        if !text.eat(b',') {
            break;
        }
    }
    let named = fields.iter().filter(|field| field.name.is_some()).count();
    let uniform = named == 0 || named == fields.len();
    Ok(uniform.then_some(ColumnType::Tuple(fields)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let got = match ColumnType::parse(text) {
            Ok(parsed) => format!("{parsed:?}"),
            Err(error) => error.to_string(),
        };
        assert_eq!(got, expected, "{text}");
    }

    #[test]
    fn known_types() {
        check("Int8", "Int8");
        check("UInt256", "UInt256");
        check("DateTime", "DateTime { zone: None }");
        check("DateTime('Asia/Tokyo')", "DateTime { zone: Some(\"Asia/Tokyo\") }");
        check("DateTime64", "DateTime64 { precision: 3, zone: None }");
        check("DateTime64(6, 'UTC')", "DateTime64 { precision: 6, zone: Some(\"UTC\") }");
        check("Decimal(18, 3)", "Decimal { precision: 18, scale: 3 }");
        check("Decimal(5)", "Decimal { precision: 5, scale: 0 }");
        check("Decimal256(70)", "Decimal { precision: 76, scale: 70 }");
        check("FixedString(16)", "FixedString(16)");
        check("LowCardinality(Nullable(String))", "LowCardinality(Nullable(String))");
        check("Map(LowCardinality(String), Array(UInt8))", "Map(LowCardinality(String), Array(UInt8))");
        check(
            "Tuple(\n    `x y` UInt8,\n    z Int8)",
            "Tuple([TupleField { name: Some(\"x y\"), field_type: UInt8 }, \
             TupleField { name: Some(\"z\"), field_type: Int8 }])",
        );
        check(
            "Tuple(UInt8, Array(String))",
            "Tuple([TupleField { name: None, field_type: UInt8 }, \
             TupleField { name: None, field_type: Array(String) }])",
        );
        check(
            "Enum8('it\\'s' = -1, 'b' = 2)",
            "Enum8(EnumNames { by_value: [(-1, \"it's\"), (2, \"b\")], \
             by_name: [(\"b\", 2), (\"it's\", -1)] })",
        );
    }

    #[test]
    fn refused_types_are_named() {
        let not_ours = "it is not one of the types that the sink writes";
        for text in [
            "JSON",
            "Variant(Int8, String)",
            "AggregateFunction(sum, UInt8)",
            "Nothing",
            "FixedString(0)",
            "DateTime64(10)",
            "Decimal(77, 0)",
            "Decimal(3, 4)",
            "Enum8('a' = 128)",
            "Tuple(a UInt8, String)",
            "FixedString(3",
        ] {
            check(text, &format!("type {text} is not supported: {not_ours}"));
        }
        check("Array(Dynamic)", &format!("type Dynamic is not supported: {not_ours}"));
        check("Nullable(Array(Int8))", "type Nullable(Array(Int8)) is not supported: Nullable holds a plain type only");
        check(
            "LowCardinality(LowCardinality(String))",
            "type LowCardinality(LowCardinality(String)) is not supported: \
             LowCardinality holds a plain type, or a Nullable one, only",
        );
        check(
            "Map(Nullable(String), Int8)",
            "type Map(Nullable(String), Int8) is not supported: \
             a Map key is a plain type, or a LowCardinality of one, only",
        );
        check("Int8 Int8", "type Int8 Int8 is not supported: text follows the type");
        check("", "type  is not supported: a type name was expected");
        let deep = format!("{}Int8{}", "Array(".repeat(100_000), ")".repeat(100_000));
        assert!(ColumnType::parse(&deep).unwrap_err().reason.ends_with("nested too deeply"));
    }

    #[test]
    fn the_default_of_an_enum_is_its_smallest_value() {
        let ColumnType::Enum16(names) = ColumnType::parse("Enum16('b' = 2, 'a' = -5)").unwrap() else {
            panic!("an Enum16 was expected");
        };
        assert_eq!(names.default_value(), -5);
        assert_eq!(names.value_of(b"b"), Some(2));
        assert_eq!(names.name_of(-5), Some("a"));
        assert_eq!(names.name_of(0), None);
    }
}
