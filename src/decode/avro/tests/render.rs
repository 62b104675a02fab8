//! The oracle's values as what a column ought to hold: the text that the reader of blocks gives.
//!
//! Written from the tables of [`crate::decode::typed`] and [`crate::decode::avro::value`], and shares nothing with the code.

use apache_avro::schema::{DecimalSchema, ResolvedSchema, Schema};
use apache_avro::types::Value;
use base64::Engine as _;

use crate::columns::ColumnType;

/// What a column of this type holds for a value of this schema.
pub(super) fn stored(value: &Value, schema: &Schema, names: &ResolvedSchema<'_>, column: &ColumnType) -> String {
    match (value, schema, column) {
        (_, Schema::Ref { name }, _) => stored(value, names.get_names()[name], names, column),
        (Value::Union(branch, value), Schema::Union(union), _) => {
            stored(value, &union.variants()[*branch as usize], names, column)
        }
        (Value::Null, _, _) => zero(column),
        (_, _, ColumnType::Nullable(inner) | ColumnType::LowCardinality(inner)) => stored(value, schema, names, inner),
        (_, _, ColumnType::String) => shown(&text(value, schema, names)),
        (Value::Record(fields), Schema::Record(record), ColumnType::Tuple(wanted)) => {
            let fields = wanted.iter().map(|wanted| {
                let name = wanted.name.as_deref().unwrap();
                match record.fields.iter().position(|field| field.name == name) {
                    None => zero(&wanted.field_type),
                    Some(place) => stored(&fields[place].1, &record.fields[place].schema, names, &wanted.field_type),
                }
            });
            format!("({})", fields.collect::<Vec<_>>().join(", "))
        }
        (Value::Record(fields), Schema::Record(record), ColumnType::Map(_, wanted)) => {
            let pairs = fields.iter().zip(&record.fields);
            let pairs = pairs.map(|((_, value), field)| {
                format!("{:?}: {}", field.name, stored(value, &field.schema, names, wanted))
            });
            format!("{{{}}}", pairs.collect::<Vec<_>>().join(", "))
        }
        (Value::Array(items), Schema::Array(array), ColumnType::Array(wanted)) => {
            let items: Vec<_> = items.iter().map(|item| stored(item, &array.items, names, wanted)).collect();
            format!("[{}]", items.join(", "))
        }
        (Value::Map(entries), Schema::Map(map), ColumnType::Map(_, wanted)) => {
            let entries = entries.iter();
            let entries = entries.map(|(key, value)| format!("{key:?}: {}", stored(value, &map.types, names, wanted)));
            format!("{{{}}}", entries.collect::<Vec<_>>().join(", "))
        }
        _ => scalar(value, schema, column),
    }
}

fn scalar(value: &Value, schema: &Schema, column: &ColumnType) -> String {
    match (value, column) {
        (Value::Boolean(truth), ColumnType::Bool) => truth.to_string(),
        (Value::Boolean(truth), _) => u8::from(*truth).to_string(),
        (Value::Int(number), ColumnType::Float64) => format!("{:?}", f64::from(*number)),
        (Value::Int(number) | Value::Date(number) | Value::TimeMillis(number), _) => number.to_string(),
        (
            Value::TimestampMicros(ticks) | Value::LocalTimestampMicros(ticks),
            ColumnType::DateTime64 { precision: 3, .. },
        ) => ticks.div_euclid(1_000).to_string(),
        (
            Value::Long(number)
            | Value::TimeMicros(number)
            | Value::TimestampMillis(number)
            | Value::TimestampMicros(number)
            | Value::TimestampNanos(number)
            | Value::LocalTimestampMillis(number)
            | Value::LocalTimestampMicros(number)
            | Value::LocalTimestampNanos(number),
            ColumnType::Int64 | ColumnType::Int128 | ColumnType::DateTime64 { .. },
        ) => number.to_string(),
        (Value::Float(number), ColumnType::Float64) => format!("{:?}", f64::from(*number)),
        (Value::Float(number), _) => format!("{number:?}"),
        (Value::Double(number), _) => format!("{number:?}"),
        (Value::Fixed(_, bytes), ColumnType::FixedString(size)) => {
            let mut padded = bytes.clone();
            padded.resize(*size, 0);
            shown(&padded)
        }
        (Value::Enum(place, _), ColumnType::Int32) => place.to_string(),
        (Value::Enum(place, _), ColumnType::Enum8(_)) => (93 - 7 * i64::from(*place)).to_string(),
        (Value::Decimal(decimal), ColumnType::Decimal { scale, .. }) => {
            let Schema::Decimal(DecimalSchema { scale: written, .. }) = schema else {
                panic!("{schema:?} is no decimal");
            };
            let zeros = usize::from(*scale) - written;
            let digits = unscaled(decimal).to_string();
            if digits == "0" { digits } else { digits + &"0".repeat(zeros) }
        }
        (Value::BigDecimal(decimal), ColumnType::Decimal { scale, .. }) => {
            let text = decimal.to_plain_string();
            let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
            let digits = format!("{whole}{fraction:0<scale$}", scale = usize::from(*scale));
            let (sign, digits) = digits.strip_prefix('-').map_or(("", digits.as_str()), |digits| ("-", digits));
            match digits.trim_start_matches('0') {
                "" => "0".to_owned(),
                digits => format!("{sign}{digits}"),
            }
        }
        (Value::Uuid(uuid), ColumnType::Uuid) => format!("{:032x}", uuid.as_u128()),
        other => panic!("{other:?} was not expected"),
    }
}

/// What a row without a value has.
fn zero(column: &ColumnType) -> String {
    match column {
        ColumnType::Nullable(_) => "NULL".to_owned(),
        ColumnType::LowCardinality(inner) => zero(inner),
        ColumnType::String => "\"\"".to_owned(),
        ColumnType::FixedString(size) => shown(&vec![0; *size]),
        ColumnType::Bool => "false".to_owned(),
        ColumnType::Float32 | ColumnType::Float64 => "0.0".to_owned(),
        ColumnType::Uuid => "0".repeat(32),
        // The smallest value.
        ColumnType::Enum8(names) => names.default_value().to_string(),
        ColumnType::Array(_) => "[]".to_owned(),
        ColumnType::Map(..) => "{}".to_owned(),
        ColumnType::Tuple(fields) => {
            format!("({})", fields.iter().map(|field| zero(&field.field_type)).collect::<Vec<_>>().join(", "))
        }
        _ => "0".to_owned(),
    }
}

fn shown(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => format!("{text:?}"),
        Err(_) => format!("b\"{}\"", bytes.escape_ascii()),
    }
}

/// What a column of texts holds.
fn text(value: &Value, schema: &Schema, names: &ResolvedSchema<'_>) -> Vec<u8> {
    match value {
        Value::Bytes(bytes) | Value::Fixed(_, bytes) => bytes.clone(),
        Value::String(text) | Value::Enum(_, text) => text.clone().into_bytes(),
        Value::Array(_) | Value::Map(_) | Value::Record(_) => json(value, schema, names).into_bytes(),
        other => plain(other, schema).into_bytes(),
    }
}

/// A value that is neither a text nor made of others.
fn plain(value: &Value, schema: &Schema) -> String {
    let clock = |seconds: i64| format!("{:02}:{:02}:{:02}", seconds / 3_600, seconds / 60 % 60, seconds % 60);
    let fraction = |ticks: i64, digits: usize| if ticks == 0 { String::new() } else { format!(".{ticks:0digits$}") };
    let time = |ticks: i64, per_second: i128| {
        let nanos = i128::from(ticks) * (1_000_000_000 / per_second);
        jiff::Timestamp::from_nanosecond(nanos).unwrap().to_string()
    };
    let local = |ticks: i64, per_second: i128| time(ticks, per_second).trim_end_matches('Z').to_owned();
    match value {
        Value::Boolean(truth) => truth.to_string(),
        Value::Int(number) => number.to_string(),
        Value::Long(number) => number.to_string(),
        Value::Float(number) => format!("{number:?}"),
        Value::Double(number) => format!("{number:?}"),
        Value::Uuid(uuid) => uuid.to_string(),
        Value::Date(days) => {
            (jiff::civil::date(1970, 1, 1) + jiff::SignedDuration::from_hours(i64::from(*days) * 24)).to_string()
        }
        Value::TimeMillis(ticks) => {
            let ticks = i64::from(*ticks);
            clock(ticks / 1_000) + &fraction(ticks % 1_000, 3)
        }
        Value::TimeMicros(ticks) => clock(ticks / 1_000_000) + &fraction(ticks % 1_000_000, 6),
        Value::TimestampMillis(ticks) => time(*ticks, 1_000),
        Value::TimestampMicros(ticks) => time(*ticks, 1_000_000),
        Value::TimestampNanos(ticks) => time(*ticks, 1_000_000_000),
        Value::LocalTimestampMillis(ticks) => local(*ticks, 1_000),
        Value::LocalTimestampMicros(ticks) => local(*ticks, 1_000_000),
        Value::LocalTimestampNanos(ticks) => local(*ticks, 1_000_000_000),
        Value::Duration(duration) => {
            let millis = u32::from(duration.millis());
            let (months, days) = (u32::from(duration.months()), u32::from(duration.days()));
            format!("P{months}M{days}DT{}.{:03}S", millis / 1_000, millis % 1_000)
        }
        Value::Decimal(decimal) => {
            let Schema::Decimal(DecimalSchema { scale, .. }) = schema else {
                panic!("{schema:?} is no decimal");
            };
            let unscaled = unscaled(decimal);
            let sign = if unscaled < 0 { "-" } else { "" };
            let digits = format!("{:0>width$}", unscaled.unsigned_abs(), width = scale + 1);
            let (whole, fraction) = digits.split_at(digits.len() - scale);
            let point = if fraction.is_empty() { "" } else { "." };
            format!("{sign}{whole}{point}{fraction}")
        }
        Value::BigDecimal(decimal) => decimal.to_plain_string(),
        other => panic!("{other:?} is made of others"),
    }
}

fn unscaled(decimal: &apache_avro::Decimal) -> i128 {
    let bytes = Vec::try_from(decimal).unwrap();
    let sign = if bytes.first().is_some_and(|first| *first >= 0x80) { 0xFF } else { 0 };
    let mut wide = [sign; 16];
    wide[16 - bytes.len()..].copy_from_slice(&bytes);
    i128::from_be_bytes(wide)
}

fn json(value: &Value, schema: &Schema, names: &ResolvedSchema<'_>) -> String {
    match (value, schema) {
        (_, Schema::Ref { name }) => json(value, names.get_names()[name], names),
        (Value::Union(branch, value), Schema::Union(union)) => json(value, &union.variants()[*branch as usize], names),
        (Value::Null, _) => "null".to_owned(),
        (Value::String(text) | Value::Enum(_, text), _) => serde_json::to_string(text).unwrap(),
        (Value::Bytes(bytes) | Value::Fixed(_, bytes), _) => {
            format!("\"{}\"", base64::prelude::BASE64_STANDARD.encode(bytes))
        }
        (Value::Array(items), Schema::Array(array)) => {
            let items: Vec<_> = items.iter().map(|item| json(item, &array.items, names)).collect();
            format!("[{}]", items.join(","))
        }
        (Value::Map(entries), Schema::Map(map)) => {
            let entries = entries.iter();
            let entries = entries.map(|(key, value)| format!("{key:?}:{}", json(value, &map.types, names)));
            format!("{{{}}}", entries.collect::<Vec<_>>().join(","))
        }
        (Value::Record(fields), Schema::Record(record)) => {
            let fields = fields.iter().zip(&record.fields);
            let fields =
                fields.map(|((_, value), field)| format!("{:?}:{}", field.name, json(value, &field.schema, names)));
            format!("{{{}}}", fields.collect::<Vec<_>>().join(","))
        }
        (Value::Float(number), _) if !number.is_finite() => format!("\"{number:?}\""),
        (Value::Double(number), _) if !number.is_finite() => format!("\"{number:?}\""),
        (
            Value::Boolean(_)
            | Value::Int(_)
            | Value::Long(_)
            | Value::Float(_)
            | Value::Double(_)
            | Value::Decimal(_)
            | Value::BigDecimal(_),
            _,
        ) => plain(value, schema),
        _ => format!("\"{}\"", plain(value, schema)),
    }
}
