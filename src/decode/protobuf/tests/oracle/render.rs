//! What columns ought to hold of the oracle's messages, as texts.

use std::borrow::Cow;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, ReflectMessage as _, Value};
use serde_json::Value as Json;

use crate::columns::ColumnType;

/// Where a column's value comes from.
pub(super) enum Place {
    Record,
    Field(FieldDescriptor),
    /// Steps to one value, and the field whose value that is.
    Inside(Vec<Step>, FieldDescriptor),
    /// These fields, as JSON.
    Rest(Vec<FieldDescriptor>),
}

pub(super) enum Step {
    Field(FieldDescriptor),
    Element(usize),
    Key(MapKey),
}

/// What a column holds of a record.
pub(super) fn expected(message: &DynamicMessage, place: &Place, column: &ColumnType) -> String {
    match place {
        Place::Record => stored(&Value::Message(message.clone()), &Kind::Message(message.descriptor()), column),
        Place::Field(field) => match present(message, field) {
            Some(value) => stored_field(&value, field, column),
            None => zero(column),
        },
        Place::Inside(steps, last) => match inside(message, steps) {
            Some(value) => match steps.last() {
                Some(Step::Field(_)) => stored_field(&value, last, column),
                _ => stored(&value, &last.kind(), column),
            },
            None => zero(column),
        },
        Place::Rest(fields) => {
            let there = fields.iter().filter(|field| message.has_field(field));
            let members = there.map(|field| (field.name().to_owned(), field_json(&message.get_field(field), field)));
            format!("{:?}", Json::Object(members.collect()).to_string())
        }
    }
}

/// The value that a field has for a column; `None` where that is left to the column.
fn present<'a>(message: &'a DynamicMessage, field: &FieldDescriptor) -> Option<Cow<'a, Value>> {
    let declared = field.field_descriptor_proto().default_value.is_some();
    (!field.supports_presence() || message.has_field(field) || declared).then(|| message.get_field(field))
}

fn inside(message: &DynamicMessage, steps: &[Step]) -> Option<Value> {
    let (first, rest) = steps.split_first()?;
    let Step::Field(field) = first else { return None };
    let value = present(message, field)?.into_owned();
    match (rest, value) {
        ([], value) => Some(value),
        ([Step::Element(number)], Value::List(list)) => list.get(*number).cloned(),
        ([Step::Key(key)], Value::Map(map)) => map.get(key).cloned(),
        (rest, Value::Message(inner)) => inside(&inner, rest),
        _ => None,
    }
}

fn stored_field(value: &Value, field: &FieldDescriptor, column: &ColumnType) -> String {
    match (value, column) {
        (Value::List(_) | Value::Map(_), ColumnType::String) => format!("{:?}", field_json(value, field).to_string()),
        (Value::List(list), ColumnType::Array(inner)) => {
            let elements: Vec<_> = list.iter().map(|one| stored(one, &field.kind(), inner)).collect();
            format!("[{}]", elements.join(", "))
        }
        (Value::Map(map), ColumnType::Map(keys, values)) => {
            let kind = field.kind();
            let entry = kind.as_message().unwrap();
            let (key, one) = (entry.map_entry_key_field().kind(), entry.map_entry_value_field().kind());
            let pair = |(own, value): (&MapKey, &Value)| {
                format!("{}: {}", stored(&Value::from(own.clone()), &key, keys), stored(value, &one, values))
            };
            format!("{{{}}}", map.iter().map(pair).collect::<Vec<_>>().join(", "))
        }
        (value, column) => stored(value, &field.kind(), column),
    }
}

fn shown(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => format!("{text:?}"),
        Err(_) => format!("b\"{}\"", bytes.escape_ascii()),
    }
}

fn stored(value: &Value, kind: &Kind, column: &ColumnType) -> String {
    match (value, column) {
        (Value::Message(message), ColumnType::Nullable(_)) if dynamic(message) == Some(Json::Null) => "NULL".to_owned(),
        (_, ColumnType::Nullable(inner) | ColumnType::LowCardinality(inner)) => stored(value, kind, inner),
        (Value::Message(message), ColumnType::Tuple(fields)) => {
            let field = |name: &str| {
                let by_name = message.descriptor().get_field_by_name(name);
                by_name.or_else(|| message.descriptor().get_field_by_json_name(name))
            };
            let values: Vec<_> = fields
                .iter()
                .map(|inner| {
                    let Some(field) = field(inner.name.as_deref().unwrap()) else { return zero(&inner.field_type) };
                    match present(message, &field) {
                        Some(value) => stored_field(&value, &field, &inner.field_type),
                        None => zero(&inner.field_type),
                    }
                })
                .collect();
            format!("({})", values.join(", "))
        }
        (Value::Message(message), ColumnType::Map(..)) => {
            let members = message.fields().map(|(field, value)| {
                let text = match value {
                    Value::List(_) | Value::Map(_) => field_json(value, &field).to_string().into_bytes(),
                    value => text(value, &field.kind()),
                };
                format!("{:?}: {}", field.name(), shown(&text))
            });
            format!("{{{}}}", members.collect::<Vec<_>>().join(", "))
        }
        (_, ColumnType::String) => shown(&text(value, kind)),
        (Value::Message(message), column) => match (message.descriptor().full_name(), column) {
            ("google.protobuf.Timestamp", ColumnType::DateTime64 { precision: 3, .. }) => {
                (nanos(message) / 1_000_000).to_string()
            }
            ("google.protobuf.Timestamp", ColumnType::DateTime { .. }) => (nanos(message) / 1_000_000_000).to_string(),
            ("google.protobuf.Timestamp" | "google.protobuf.Duration", _) => nanos(message).to_string(),
            _ => {
                let value = message.descriptor().get_field_by_name("value").unwrap();
                stored(&message.get_field(&value), &value.kind(), column)
            }
        },
        (Value::EnumNumber(number), _) => number.to_string(),
        (value, _) => String::from_utf8(text(value, kind)).unwrap(),
    }
}

fn nanos(message: &DynamicMessage) -> i128 {
    let part = |name: &str| match message.get_field_by_name(name).as_deref() {
        Some(Value::I64(number)) => i128::from(*number),
        Some(Value::I32(number)) => i128::from(*number),
        other => panic!("{other:?} is no part of a time"),
    };
    part("seconds") * 1_000_000_000 + part("nanos")
}

/// What a row without a value has.
fn zero(column: &ColumnType) -> String {
    match column {
        ColumnType::Nullable(_) => "NULL".to_owned(),
        ColumnType::LowCardinality(inner) => zero(inner),
        ColumnType::String => "\"\"".to_owned(),
        ColumnType::Bool => "false".to_owned(),
        ColumnType::Float32 | ColumnType::Float64 => "0.0".to_owned(),
        ColumnType::Array(_) => "[]".to_owned(),
        ColumnType::Map(..) => "{}".to_owned(),
        ColumnType::Tuple(fields) => {
            format!("({})", fields.iter().map(|field| zero(&field.field_type)).collect::<Vec<_>>().join(", "))
        }
        _ => "0".to_owned(),
    }
}

/// What a column of texts holds.
fn text(value: &Value, kind: &Kind) -> Vec<u8> {
    match (value, kind) {
        (Value::Bool(value), _) => value.to_string().into_bytes(),
        (Value::I32(value), _) => value.to_string().into_bytes(),
        (Value::I64(value), _) => value.to_string().into_bytes(),
        (Value::U32(value), _) => value.to_string().into_bytes(),
        (Value::U64(value), _) => value.to_string().into_bytes(),
        (Value::F32(value), _) => format!("{value:?}").into_bytes(),
        (Value::F64(value), _) => format!("{value:?}").into_bytes(),
        (Value::String(text), _) => text.clone().into_bytes(),
        (Value::Bytes(bytes), _) => bytes.to_vec(),
        (Value::EnumNumber(number), Kind::Enum(descriptor)) => {
            descriptor.get_value(*number).map_or(number.to_string(), |value| value.name().to_owned()).into_bytes()
        }
        (Value::Message(message), _) if is_wrapper(&message.descriptor()) => {
            let value = message.descriptor().get_field_by_name("value").unwrap();
            text(&message.get_field(&value), &value.kind())
        }
        (Value::Message(message), _) => match message_json(message) {
            Json::String(text) => text.into_bytes(),
            Json::Null => Vec::new(),
            Json::Number(_) if dynamic(message).is_some() => {
                let Some((_, Value::F64(value))) = message.fields().next() else { panic!("{message:?} is no number") };
                dynamic_number(*value).into_bytes()
            }
            other => other.to_string().into_bytes(),
        },
        other => panic!("{other:?} is no single value"),
    }
}

fn is_wrapper(message: &MessageDescriptor) -> bool {
    message.full_name().starts_with("google.protobuf.")
        && message.full_name().ends_with("Value")
        && message.fields().len() == 1
        && message.get_field_by_name("value").is_some()
}

fn field_json(value: &Value, field: &FieldDescriptor) -> Json {
    match value {
        Value::List(list) => Json::Array(list.iter().map(|one| json(one, &field.kind())).collect()),
        Value::Map(map) => {
            let kind = field.kind();
            let value = kind.as_message().unwrap().map_entry_value_field().kind();
            let key = |key: &MapKey| match key {
                MapKey::Bool(key) => key.to_string(),
                MapKey::I32(key) => key.to_string(),
                MapKey::I64(key) => key.to_string(),
                MapKey::U32(key) => key.to_string(),
                MapKey::U64(key) => key.to_string(),
                MapKey::String(key) => key.clone(),
            };
            Json::Object(map.iter().map(|(own, one)| (key(own), json(one, &value))).collect())
        }
        value => json(value, &field.kind()),
    }
}

fn float(value: f64, text: &str) -> Json {
    if value.is_finite() { serde_json::from_str(text).unwrap() } else { Json::from(text) }
}

fn json(value: &Value, kind: &Kind) -> Json {
    match (value, kind) {
        (Value::Bool(value), _) => Json::from(*value),
        (Value::I32(value), _) => Json::from(*value),
        (Value::I64(value), _) => Json::from(*value),
        (Value::U32(value), _) => Json::from(*value),
        (Value::U64(value), _) => Json::from(*value),
        (Value::F32(value), _) => float((*value).into(), &format!("{value:?}")),
        (Value::F64(value), _) => float(*value, &format!("{value:?}")),
        (Value::Bytes(bytes), _) => Json::from(BASE64_STANDARD.encode(bytes)),
        (Value::String(text), _) => Json::from(text.as_str()),
        (Value::EnumNumber(number), Kind::Enum(descriptor)) => match descriptor.get_value(*number) {
            Some(value) => Json::from(value.name()),
            None => Json::from(*number),
        },
        (Value::Message(message), _) => message_json(message),
        other => panic!("{other:?} is no single value"),
    }
}

/// What a `google.protobuf.Value` holds.
fn dynamic(message: &DynamicMessage) -> Option<Json> {
    if message.descriptor().full_name() != "google.protobuf.Value" {
        return None;
    }
    let set = message.fields().next();
    Some(match set {
        None | Some((_, Value::EnumNumber(_))) => Json::Null,
        Some((_, Value::F64(value))) => float(*value, &dynamic_number(*value)),
        Some((field, value)) => json(value, &field.kind()),
    })
}

/// Whole numbers are written as such.
fn dynamic_number(value: f64) -> String {
    match format!("{value:.0}").as_str() {
        _ if value.fract() != 0.0 || value.abs() > 1e15 => format!("{value:?}"),
        "-0" => "0".to_owned(),
        whole => whole.to_owned(),
    }
}

fn message_json(message: &DynamicMessage) -> Json {
    if let Some(json) = dynamic(message) {
        return json;
    }
    let get = |name: &str| message.get_field_by_name(name).unwrap().into_owned();
    let only = || message.descriptor().fields().next().unwrap();
    match message.descriptor().full_name() {
        "google.protobuf.Timestamp" => jiff::Timestamp::from_nanosecond(nanos(message)).unwrap().to_string().into(),
        "google.protobuf.Duration" => {
            let nanos = nanos(message);
            let text = format!("{}.{:09}", nanos / 1_000_000_000, nanos % 1_000_000_000);
            format!("{}s", text.trim_end_matches('0').trim_end_matches('.')).into()
        }
        "google.protobuf.FieldMask" => match get("paths") {
            Value::List(paths) => paths.iter().map(|path| path.as_str().unwrap()).collect::<Vec<_>>().join(",").into(),
            other => panic!("{other:?} are no paths"),
        },
        "google.protobuf.Struct" | "google.protobuf.ListValue" => field_json(&message.get_field(&only()), &only()),
        "google.protobuf.Any" => any_json(message),
        _ if is_wrapper(&message.descriptor()) => json(&message.get_field(&only()), &only().kind()),
        _ => members(message),
    }
}

fn members(message: &DynamicMessage) -> Json {
    Json::Object(message.fields().map(|(field, value)| (field.name().to_owned(), field_json(value, &field))).collect())
}

fn any_json(message: &DynamicMessage) -> Json {
    let get = |name: &str| message.get_field_by_name(name).unwrap().into_owned();
    let (Value::String(url), Value::Bytes(bytes)) = (get("type_url"), get("value")) else {
        panic!("{message:?} is no Any");
    };
    let descriptor = message.descriptor();
    let known = descriptor.parent_pool().get_message_by_name(url.rsplit('/').next().unwrap());
    let mut object = serde_json::Map::new();
    if !url.is_empty() {
        object.insert("@type".to_owned(), url.into());
    }
    match known {
        Some(known) => {
            let inner = DynamicMessage::decode(known, bytes).unwrap();
            match message_json(&inner) {
                Json::Object(members)
                    if !inner.descriptor().full_name().ends_with("Struct") && dynamic(&inner).is_none() =>
                {
                    object.extend(members);
                }
                other => drop(object.insert("value".to_owned(), other)),
            }
        }
        None if bytes.is_empty() => {}
        None => drop(object.insert("value".to_owned(), BASE64_STANDARD.encode(bytes).into())),
    }
    Json::Object(object)
}

/// The text of stored values with what has no order in the order of its texts: entries of maps, also inside of JSON texts.
pub(super) fn normal(text: &str) -> String {
    let mut rest = text;
    let normal = take(&mut rest);
    assert!(rest.is_empty(), "{rest} follows a value in {text}");
    normal
}

fn take(rest: &mut &str) -> String {
    match rest.chars().next() {
        Some(open @ ('[' | '(' | '{')) => {
            let close = match open {
                '[' => ']',
                '(' => ')',
                _ => '}',
            };
            *rest = &rest[1..];
            let mut items = Vec::new();
            while !rest.starts_with(close) {
                let mut item = take(rest);
                if let Some(after) = rest.strip_prefix(": ") {
                    *rest = after;
                    item = format!("{item}: {}", take(rest));
                }
                items.push(item);
                *rest = rest.strip_prefix(", ").unwrap_or(rest);
            }
            *rest = &rest[1..];
            if open == '{' {
                items.sort();
            }
            format!("{open}{}{close}", items.join(", "))
        }
        Some('"') => {
            let mut escaped = false;
            let end = rest[1..].find(|sign: char| {
                let ends = sign == '"' && !escaped;
                escaped = sign == '\\' && !escaped;
                ends
            });
            let (quoted, after) = rest.split_at(end.unwrap() + 2);
            *rest = after;
            match serde_json::from_str::<Json>(&plain(quoted)) {
                Ok(json @ (Json::Array(_) | Json::Object(_))) => format!("json {}", sorted(json)),
                _ => quoted.to_owned(),
            }
        }
        _ => {
            // Bytes that are no text are escaped so that they hold none of these.
            let end = rest.find([',', ':', ']', ')', '}']).filter(|_| !rest.starts_with("b\""));
            let end = end.unwrap_or_else(|| if rest.starts_with("b\"") { bytes_end(rest) } else { rest.len() });
            let (atom, after) = rest.split_at(end);
            *rest = after;
            atom.to_owned()
        }
    }
}

fn bytes_end(text: &str) -> usize {
    let mut escaped = false;
    let end = text[2..].find(|sign: char| {
        let ends = sign == '"' && !escaped;
        escaped = sign == '\\' && !escaped;
        ends
    });
    end.unwrap() + 3
}

/// The text that is shown in quotes.
fn plain(quoted: &str) -> String {
    let mut text = String::new();
    let mut signs = quoted[1..quoted.len() - 1].chars();
    while let Some(sign) = signs.next() {
        if sign != '\\' {
            text.push(sign);
            continue;
        }
        match signs.next().unwrap() {
            'n' => text.push('\n'),
            'r' => text.push('\r'),
            't' => text.push('\t'),
            '0' => text.push('\0'),
            'u' => {
                let code: String = signs.by_ref().skip(1).take_while(|sign| *sign != '}').collect();
                text.push(char::from_u32(u32::from_str_radix(&code, 16).unwrap()).unwrap());
            }
            other => text.push(other),
        }
    }
    text
}

fn sorted(json: Json) -> String {
    match json {
        Json::Array(items) => format!("[{}]", items.into_iter().map(sorted).collect::<Vec<_>>().join(",")),
        Json::Object(members) => {
            let mut members: Vec<_> =
                members.into_iter().map(|(key, value)| format!("{key:?}:{}", sorted(value))).collect();
            members.sort();
            format!("{{{}}}", members.join(","))
        }
        other => other.to_string(),
    }
}
