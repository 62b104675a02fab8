//! What a schema of Kafka Connect says of the values of a JSON record: hints, by column.
//!
//! Takes a schema's text and the tree of columns, gives for each column what its values mean; reads values by that. Bytes are
//! base64 in JSON, a decimal is bytes, a time a number of a unit that only the schema tells. A value that is not what the
//! hint expects (a decimal that is written as a number) is read as without one.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value as Json;

use super::cursor::Cursor;
use super::value::{HasScratch, append_array, append_map, append_named_tuple, append_tuple, append_value};
use crate::columns::ColumnBuilder;
use crate::decode::connect::{Carrier, Meaning, scale_parameter};
use crate::decode::error::{ErrorCode, Fault};
use crate::decode::target::Target;
use crate::decode::typed::{TextMeaning, Typed, append_typed, decimal_of_bytes};

/// By column; `None` where nothing is said that the value does not say itself.
#[derive(Debug)]
pub(super) struct Hints(Box<[Option<Hint>]>);

/// What a value means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Hint {
    Value(Meaning),
    /// Bytes, without any other meaning.
    Bytes,
    /// Of the elements of a list.
    Items(Box<Hint>),
    /// Of the values of an object with any keys.
    Entries(Box<Hint>),
    /// Of some fields of an object.
    Fields(Box<[(Box<str>, Hint)]>),
}

/// Buffers that values are read with.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    /// Holds strings that have escapes.
    pub(super) scratch: Vec<u8>,
    /// Holds bytes that stood as base64.
    bytes: Vec<u8>,
    /// Holds a text that is a document.
    pub(super) unescaped: Vec<u8>,
    /// Holds a document as plain JSON.
    pub(super) document: Vec<u8>,
}

impl HasScratch for Buffers {
    fn scratch(&mut self) -> &mut Vec<u8> {
        &mut self.scratch
    }
}

impl Buffers {
    pub(super) fn shrink(&mut self, kept: usize) {
        for buffer in [&mut self.scratch, &mut self.bytes, &mut self.unescaped, &mut self.document] {
            if buffer.capacity() > kept {
                *buffer = Vec::new();
            }
        }
    }
}

impl Hints {
    /// What a schema says of the columns that take something of its value; `None` where it says nothing of any.
    pub(super) fn new(schema: &[u8], target: &Target, columns: usize) -> Option<Self> {
        let schema: Json = serde_json::from_slice(schema).ok()?;
        let mut hints = vec![None; columns];
        note(&schema, target, &mut hints);
        hints.iter().any(Option::is_some).then(|| Self(hints.into()))
    }

    pub(super) fn of(&self, column: usize) -> Option<&Hint> {
        self.0.get(column).and_then(Option::as_ref)
    }

    /// What is said of a field of each object of a list that the column takes.
    pub(super) fn of_each(&self, column: usize) -> Option<&Hint> {
        match self.of(column) {
            Some(Hint::Items(hint)) => Some(hint),
            _ => None,
        }
    }
}

/// As deep as the paths are.
fn note(schema: &Json, target: &Target, hints: &mut [Option<Hint>]) {
    let mut say = |column: usize, hint: Option<Hint>| {
        if let Some(known @ None) = hints.get_mut(column) {
            *known = hint;
        }
    };
    for column in &target.columns {
        say(*column, hint_of(schema));
    }
    if !target.nested.is_empty() && kind(schema) == "array" {
        for (name, column) in &target.nested {
            let of_field = schema.get("items").and_then(|items| field(items, name)).and_then(hint_of);
            say(*column, of_field.map(|hint| Hint::Items(Box::new(hint))));
        }
    }
    for (name, child) in &target.fields {
        let below = if kind(schema) == "map" { schema.get("values") } else { field(schema, name) };
        below.into_iter().for_each(|below| note(below, child, hints));
    }
    for (_, child) in &target.elements {
        schema.get("items").into_iter().for_each(|items| note(items, child, hints));
    }
}

fn kind(schema: &Json) -> &str {
    schema.get("type").and_then(Json::as_str).unwrap_or_default()
}

fn fields(schema: &Json) -> impl Iterator<Item = (&str, &Json)> {
    let fields = schema.get("fields").and_then(Json::as_array).into_iter().flatten();
    fields.filter_map(|field| Some((field.get("field")?.as_str()?, field)))
}

fn field<'s>(schema: &'s Json, name: &str) -> Option<&'s Json> {
    fields(schema).find(|(known, _)| *known == name).map(|(_, field)| field)
}

/// As deep as the schema, which `serde_json` bounds.
fn hint_of(schema: &Json) -> Option<Hint> {
    let carrier = match kind(schema) {
        "int32" => Carrier::Int32,
        "int64" => Carrier::Int64,
        "string" => Carrier::Text,
        "bytes" => Carrier::Bytes,
        "struct" => Carrier::Record,
        "array" => return hint_of(schema.get("items")?).map(|hint| Hint::Items(Box::new(hint))),
        // Others are lists of pairs in JSON.
        "map" if schema.get("keys").is_some_and(|keys| kind(keys) == "string") => {
            return hint_of(schema.get("values")?).map(|hint| Hint::Entries(Box::new(hint)));
        }
        _ => return None,
    };
    let name = schema.get("name").and_then(Json::as_str).unwrap_or_default();
    match (Meaning::of(name, carrier, scale_parameter(schema.get("parameters"))), carrier) {
        (Some(meaning), _) => Some(Hint::Value(meaning)),
        (None, Carrier::Bytes) => Some(Hint::Bytes),
        (None, Carrier::Record) => {
            let some = fields(schema).filter_map(|(name, field)| Some((Box::from(name), hint_of(field)?)));
            let some: Box<[_]> = some.collect();
            (!some.is_empty()).then_some(Hint::Fields(some))
        }
        (None, _) => None,
    }
}

/// Takes one value and appends it to the column, as the hint says. The cursor stands at the value. As deep as the type of
/// the column.
pub(super) fn append_hinted(
    json: &mut Cursor<'_>,
    hint: &Hint,
    column: &mut ColumnBuilder,
    buffers: &mut Buffers,
) -> Result<(), Fault> {
    if json.peek() == b'n' {
        return append_value(json, column, &mut buffers.scratch);
    }
    match (hint, column) {
        (Hint::Items(hint), ColumnBuilder::Array(column)) => {
            append_array(json, column, buffers, |json, column, buffers| append_hinted(json, hint, column, buffers))
        }
        (Hint::Items(hint), ColumnBuilder::Tuple(column)) if column.names.iter().all(Option::is_none) => {
            append_tuple(json, column, buffers, |json, column, buffers| append_hinted(json, hint, column, buffers))
        }
        (Hint::Entries(hint), ColumnBuilder::Map(column)) => append_map(
            json,
            column,
            buffers,
            |_| (),
            |(), json, column, buffers| append_hinted(json, hint, column, buffers),
        ),
        (Hint::Fields(fields), ColumnBuilder::Map(column)) => {
            append_map(json, column, buffers, |key| said_of(fields, key), append_maybe)
        }
        (Hint::Fields(fields), ColumnBuilder::Tuple(column)) if column.names.iter().all(Option::is_some) => {
            append_named_tuple(json, column, buffers, |name, json, column, buffers| {
                append_maybe(said_of(fields, name.as_bytes()), json, column, buffers)
            })
        }
        (Hint::Value(Meaning::VariableDecimal), column @ (ColumnBuilder::Tuple(_) | ColumnBuilder::Map(_))) => {
            append_value(json, column, &mut buffers.scratch)
        }
        (Hint::Value(Meaning::VariableDecimal), column) if json.peek() == b'{' => {
            append_variable_decimal(json, column, buffers)
        }
        (Hint::Value(meaning), column) => append_meant(json, Some(*meaning), column, buffers),
        (Hint::Bytes, column) => append_meant(json, None, column, buffers),
        (_, column) => append_value(json, column, &mut buffers.scratch),
    }
}

fn said_of<'h>(fields: &'h [(Box<str>, Hint)], name: &[u8]) -> Option<&'h Hint> {
    fields.iter().find(|(known, _)| known.as_bytes() == name).map(|(_, hint)| hint)
}

/// The same where a hint may be missing.
pub(super) fn append_maybe(
    hint: Option<&Hint>,
    json: &mut Cursor<'_>,
    column: &mut ColumnBuilder,
    buffers: &mut Buffers,
) -> Result<(), Fault> {
    match hint {
        Some(hint) => append_hinted(json, hint, column, buffers),
        None => append_value(json, column, &mut buffers.scratch),
    }
}

/// A value without parts; without a meaning it is bytes.
fn append_meant(
    json: &mut Cursor<'_>,
    meaning: Option<Meaning>,
    column: &mut ColumnBuilder,
    buffers: &mut Buffers,
) -> Result<(), Fault> {
    let (start, at, first) = (json.mark(), json.at, json.peek());
    let value = match meaning {
        None | Some(Meaning::Decimal { .. } | Meaning::Bits) if first == b'"' => {
            let text = json.string(&mut buffers.scratch)?;
            buffers.bytes.clear();
            let read = BASE64_STANDARD.decode_vec(text, &mut buffers.bytes).is_ok();
            match meaning {
                Some(Meaning::Decimal { scale }) if read && !text.is_empty() => {
                    Some(decimal_of_bytes(&buffers.bytes, scale.into()).map_err(|code| Fault { code, at })?)
                }
                Some(Meaning::Decimal { .. }) => None,
                _ if !read => return Err(Fault { code: ErrorCode::TypeMismatch, at }),
                Some(_) => Some(Typed::Bits(&buffers.bytes)),
                None => Some(Typed::Bytes(&buffers.bytes)),
            }
        }
        Some(meaning) if matches!(first, b'0'..=b'9' | b'-') => match json.number()?.signed() {
            Ok(value) => counted(value, meaning),
            Err(_) => None,
        },
        Some(Meaning::Zoned | Meaning::Json | Meaning::Set) if first == b'"' => {
            let text = json.string(&mut buffers.scratch)?;
            let text = std::str::from_utf8(text).map_err(|_| Fault { code: ErrorCode::InvalidUtf8, at })?;
            let meaning = match meaning {
                Some(Meaning::Zoned) => TextMeaning::Zoned,
                Some(Meaning::Json) => TextMeaning::Json,
                _ => TextMeaning::Set,
            };
            Some(Typed::Meant(text, meaning))
        }
        // The text of a UUID says all.
        _ => None,
    };
    match value {
        Some(value) => append_typed(value, column).map_err(|code| Fault { code, at }),
        None => {
            json.back_to(start);
            append_value(json, column, &mut buffers.scratch)
        }
    }
}

fn counted(value: i64, meaning: Meaning) -> Option<Typed<'static>> {
    Some(match meaning {
        Meaning::Date => Typed::Date(value),
        Meaning::TimeOfDay(precision) => Typed::TimeOfDay { ticks: value, precision },
        Meaning::Timestamp(precision) => Typed::Timestamp { ticks: value, precision },
        Meaning::Year => Typed::Year(value),
        _ => return None,
    })
}

/// An object of `scale` and the base64 text `value`.
fn append_variable_decimal(
    json: &mut Cursor<'_>,
    column: &mut ColumnBuilder,
    buffers: &mut Buffers,
) -> Result<(), Fault> {
    let at = json.at;
    let mismatch = Fault { code: ErrorCode::TypeMismatch, at };
    let (mut scale, mut found) = (None, false);
    json.enter()?;
    if json.next_token() == b'}' {
        return Err(mismatch);
    }
    loop {
        json.next_token();
        let key = json.string(&mut buffers.scratch)?;
        let (is_scale, is_value) = (key == b"scale", key == b"value");
        json.expect(b':')?;
        json.next_token();
        if is_scale && scale.is_none() && matches!(json.peek(), b'0'..=b'9' | b'-') {
            scale = Some(json.number()?.signed().map_err(|code| Fault { code, at })?);
        } else if is_value && !found && json.peek() == b'"' {
            let text = json.string(&mut buffers.scratch)?;
            buffers.bytes.clear();
            BASE64_STANDARD.decode_vec(text, &mut buffers.bytes).map_err(|_| mismatch)?;
            found = true;
        } else {
            json.skip_value()?;
        }
        if !json.another(b'}')? {
            break;
        }
    }
    let scale = scale.filter(|_| found).ok_or(mismatch)?;
    let decimal = decimal_of_bytes(&buffers.bytes, scale);
    decimal.and_then(|decimal| append_typed(decimal, column)).map_err(|code| Fault { code, at })
}
