//! The text of a ClickHouse type to a [`ColumnType`].
//!
//! Takes a type string such as `LowCardinality(Nullable(String))` from `system.columns`. Gives the type, and the type that
//! the column has in a block where that is another one. A type that the sink cannot write, or a nesting that ClickHouse
//! forbids, is an [`UnsupportedType`] that names the offending part and says what to do.

use std::sync::Arc;

use super::dynamic;
use super::type_text::TypeText;
use super::types::{ColumnType, EnumNames, TupleField, UnsupportedType};

/// Deepest nesting of types that is accepted. Decoding recurses by type, never by data, so this
/// bounds the stack.
const TYPE_DEPTH_MAX: u32 = 24;
/// Most digits after the point that `DateTime64` and `Time64` have.
const PRECISION_MAX: u64 = 9;
/// Most digits that a `Decimal` has.
const DECIMAL_PRECISION_MAX: u64 = 76;
/// Longest `FixedString` that the server itself accepts.
const FIXED_STRING_BYTES_MAX: u64 = 0xFF_FFFF;
/// A row's type is one byte in a block, and one of its values says NULL.
const VARIANT_TYPES_MAX: usize = 255;

/// A type as it was read.
#[derive(Debug)]
pub(super) struct ParsedType {
    pub(super) column_type: ColumnType,
    /// The column's type in a block, where it is not the same.
    pub(super) body_type: Option<String>,
}

/// Reads ClickHouse's own text of a type.
pub(super) fn parse(text: &str) -> Result<ParsedType, UnsupportedType> {
    let mut rest = TypeText::new(text);
    let column_type = parse_type(&mut rest, 0)?;
    if !rest.at_end() {
        return Err(UnsupportedType::new(text, "text follows the type"));
    }
    Ok(ParsedType { column_type, body_type: rest.replaced() })
}

fn parse_type(text: &mut TypeText<'_>, depth: u32) -> Result<ColumnType, UnsupportedType> {
    if depth > TYPE_DEPTH_MAX {
        return Err(UnsupportedType::new(text.whole(), "nested too deeply"));
    }
    let start = text.position();
    let name = text.word();
    if let Some((made_from_json, body_type)) = made_from_json(name) {
        let end = text.skip_type(start);
        text.replace(start, end, body_type);
        return Ok(made_from_json);
    }
    let has_arguments = text.eat(b'(');
    let parsed = if has_arguments {
        let parsed = with_arguments(name, text, start, depth)?;
        let closed = text.eat(b')');
        parsed.filter(|_| closed)
    } else {
        without_arguments(name)
    };
    parsed.ok_or_else(|| {
        // The text of the whole type, where its end is known; else what was read of it.
        let shown = text.type_from(start);
        UnsupportedType::new(shown, refusal(name))
    })
}

/// Types whose values the server makes from others, and from which. What their arguments say is for the server alone.
fn made_from_json(name: &str) -> Option<(ColumnType, &'static str)> {
    match name {
        "JSON" => Some((ColumnType::Json, "String")),
        "Dynamic" => Some((ColumnType::Dynamic, dynamic::BODY_TYPE)),
        _ => None,
    }
}

/// Why a type is not written, and what to do instead.
fn refusal(name: &str) -> &'static str {
    match name {
        "" => "a type name was expected",
        "AggregateFunction" => {
            "no record holds the state of an aggregate function; insert into a plain table, and let a materialized view \
             make the states with the function's -State form"
        }
        "Nothing" => "it has no values; give the column the type that its values shall have",
        "Object" => "ClickHouse has removed it; make the column JSON",
        "Geometry" => {
            "a list of points may be several of its shapes; give the column the shape's own type, as Polygon, or String"
        }
        "QBit" => {
            "it keeps vectors as planes of bits; insert into an Array column, and make the QBit column MATERIALIZED"
        }
        _ if name.starts_with("Interval") => {
            "no record holds an interval; make the column an integer with its unit in its name, or Time"
        }
        _ => "it is not one of the types that the sink writes",
    }
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
        "Time" => ColumnType::Time,
        "Time64" => ColumnType::Time64 { precision: 3 },
        "UUID" => ColumnType::Uuid,
        "IPv4" => ColumnType::Ipv4,
        "IPv6" => ColumnType::Ipv6,
        "Point" => point(),
        "Ring" | "LineString" | "MultiPoint" => array_of(point()),
        "Polygon" | "MultiLineString" => array_of(array_of(point())),
        "MultiPolygon" => array_of(array_of(array_of(point()))),
        _ => return None,
    })
}

fn point() -> ColumnType {
    let field = || TupleField { name: None, field_type: ColumnType::Float64 };
    ColumnType::Tuple(vec![field(), field()])
}

fn array_of(inner: ColumnType) -> ColumnType {
    ColumnType::Array(Box::new(inner))
}

/// `None` where the name or its arguments are unknown.
fn with_arguments(
    name: &str,
    text: &mut TypeText<'_>,
    start: usize,
    depth: u32,
) -> Result<Option<ColumnType>, UnsupportedType> {
    Ok(match name {
        "FixedString" => text
            .number()
            .filter(|bytes| (1..=FIXED_STRING_BYTES_MAX).contains(bytes))
            .and_then(|bytes| usize::try_from(bytes).ok())
            .map(ColumnType::FixedString),
        "DateTime" => text.quoted().map(|zone| ColumnType::DateTime { zone: Some(zone) }),
        "DateTime64" => parse_datetime64(text),
        "Time64" => precision(text).map(|precision| ColumnType::Time64 { precision }),
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
            if !(inner.is_leaf() || inner == ColumnType::Json) {
                return Err(UnsupportedType::new(text.whole(), "Nullable holds a plain type or JSON only"));
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
        "Array" => Some(array_of(parse_type(text, depth + 1)?)),
        "Map" => parse_map(text, depth)?,
        "Tuple" => parse_tuple(text, depth)?,
        "Nested" => parse_nested(text, start, depth)?,
        "SimpleAggregateFunction" => parse_simple_aggregate(text, depth)?,
        "Variant" => Some(ColumnType::Variant(parse_variant(text, depth)?)),
        _ => None,
    })
}

fn parse_datetime64(text: &mut TypeText<'_>) -> Option<ColumnType> {
    let precision = precision(text)?;
    let zone = if text.eat(b',') { Some(text.quoted()?) } else { None };
    Some(ColumnType::DateTime64 { precision, zone })
}

fn precision(text: &mut TypeText<'_>) -> Option<u8> {
    let digits = text.number().filter(|digits| *digits <= PRECISION_MAX)?;
    u8::try_from(digits).ok()
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

/// A list of records, which is a list of tuples under another name. The server would take the name in the structure of a
/// block for one column per field, so the block says what it is.
fn parse_nested(text: &mut TypeText<'_>, start: usize, depth: u32) -> Result<Option<ColumnType>, UnsupportedType> {
    text.replace(start, start + "Nested".len(), "Array(Tuple");
    let fields = parse_tuple(text, depth + 1)?;
    let end = text.position();
    text.replace(end, end, ")");
    Ok(fields.map(array_of))
}

/// A type whose rows merge by a function: what is inserted are values of the type.
fn parse_simple_aggregate(text: &mut TypeText<'_>, depth: u32) -> Result<Option<ColumnType>, UnsupportedType> {
    let function = text.position();
    text.skip_type(function);
    if !text.eat(b',') {
        return Ok(None);
    }
    parse_type(text, depth + 1).map(Some)
}

fn parse_variant(text: &mut TypeText<'_>, depth: u32) -> Result<Vec<ColumnType>, UnsupportedType> {
    let mut types = Vec::new();
    loop {
        let one = parse_type(text, depth + 1)?;
        if one.is_made_from_json() {
            return Err(UnsupportedType::new(
                text.whole(),
                "the server makes JSON and Dynamic of texts, and a text in a Variant is one of its own values; make the column JSON or Dynamic",
            ));
        }
        types.push(one);
        if !text.eat(b',') {
            break;
        }
    }
    if types.len() > VARIANT_TYPES_MAX {
        return Err(UnsupportedType::new(text.whole(), "a Variant has at most 255 types"));
    }
    Ok(types)
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
        check("Time", "Time");
        check("Time64(6)", "Time64 { precision: 6 }");
        check("SimpleAggregateFunction(sum, UInt64)", "UInt64");
        check("SimpleAggregateFunction(groupArrayLastArray(5), Array(String))", "Array(String)");
        check(
            "Point",
            "Tuple([TupleField { name: None, field_type: Float64 }, TupleField { name: None, field_type: Float64 }])",
        );
        let point = format!("{:?}", ColumnType::parse("Point").unwrap());
        for (name, lists) in [
            ("Ring", 1),
            ("LineString", 1),
            ("MultiPoint", 1),
            ("Polygon", 2),
            ("MultiLineString", 2),
            ("MultiPolygon", 3),
        ] {
            check(name, &format!("{}{point}{}", "Array(".repeat(lists), ")".repeat(lists)));
        }
        check("Nested(a UInt8)", "Array(Tuple([TupleField { name: Some(\"a\"), field_type: UInt8 }]))");
        check("Variant(Array(UInt8), String)", "Variant([Array(UInt8), String])");
        check("Map(String, JSON(max_dynamic_paths=8, `a)` UInt8, SKIP REGEXP ')'))", "Map(String, Json)");
        check("Nullable(JSON)", "Nullable(Json)");
        check("Array(Dynamic(max_types=3))", "Array(Dynamic)");
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
            "FixedString(0)",
            "DateTime64(10)",
            "Time64(10)",
            "Decimal(77, 0)",
            "Decimal(3, 4)",
            "Enum8('a' = 128)",
            "Tuple(a UInt8, String)",
            "FixedString(3",
            "SimpleAggregateFunction(sum)",
        ] {
            check(text, &format!("type {text} is not supported: {not_ours}"));
        }
        for (text, part) in [
            ("AggregateFunction(sum, UInt8)", "let a materialized view make the states"),
            ("Nothing", "it has no values"),
            ("IntervalDay", "make the column an integer"),
            ("QBit(Float32, 8)", "insert into an Array column"),
            ("Object('json')", "make the column JSON"),
            ("Geometry", "give the column the shape's own type"),
        ] {
            for (text, named) in [(text.to_owned(), text), (format!("Array({text})"), text)] {
                let reason = ColumnType::parse(&text).unwrap_err().reason;
                assert!(reason.starts_with(&format!("type {named} is not supported: ")), "{reason}");
                assert!(reason.contains(part), "{reason}");
            }
        }
        check(
            "Variant(JSON, String)",
            "type Variant(JSON, String) is not supported: the server makes JSON and Dynamic of texts, and a text in a \
             Variant is one of its own values; make the column JSON or Dynamic",
        );
        check(
            "Nullable(Array(Int8))",
            "type Nullable(Array(Int8)) is not supported: Nullable holds a plain type or JSON only",
        );
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
}
