//! The texts of Avro schemas to trees, and their fingerprints.
//!
//! Takes a schema and those it refers to, gives the parsed tree and its named types. Texts come from a registry, so what has
//! nothing to do with reading data (documentation, other attributes, a writer's defaults) is taken out before the parser
//! sees it: it can then neither refuse a schema for it nor stumble over it. What Connect's names say is noted beside it.

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;

use apache_avro::Schema;
use apache_avro::schema::{DecimalSchema, FixedSchema, InnerDecimalSchema, Name, UuidSchema};
use serde_json::{Map, Value as Json, json};

use crate::decode::connect::{Carrier, Meaning, scale_parameter};

/// Schemas that one may refer to.
const REFERENCES_MAX: usize = 1_000;
/// Largest `fixed`; no record is longer.
const FIXED_BYTES_MAX: u64 = 1 << 30;
/// Digits of a decimal, far beyond what any column holds.
const DECIMAL_DIGITS_MAX: u64 = 10_000;
/// Types inside each other, across all references.
pub(super) const NESTING_MAX: usize = 256;
/// Holds all schemas that belong together while they are parsed.
const ENVELOPE: &str = "oncesink_envelope_of_schemas";

/// An Avro schema as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AvroSchema {
    /// The schema, in JSON.
    pub text: String,
    /// Those it refers to, each after what it needs itself.
    pub references: Vec<String>,
}

impl AvroSchema {
    /// A schema that refers to no other.
    pub fn alone(text: impl Into<String>) -> Self {
        Self { text: text.into(), references: Vec::new() }
    }
}

/// Whether a schema's defaults count: those of the schema that data is read as do, those of its writer never.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Defaults {
    Kept,
    Dropped,
}

/// Parsed schemas that belong together.
pub(super) struct Parsed {
    /// A record whose last field has the schema that was asked for, the others those it refers to.
    envelope: Schema,
    /// The texts of these fields: they say what the parser leaves out.
    texts: Vec<Json>,
}

/// The same with its named types.
pub(super) struct Named<'s> {
    pub(super) root: &'s Schema,
    types: HashMap<&'s Name, &'s Schema>,
    /// What Connect's names say of a type, which is known by its place.
    meanings: HashMap<*const Schema, Meaning>,
}

impl Parsed {
    /// Parses a schema with all it refers to.
    ///
    /// One text is made of them, in which each stands after what it needs: names are then found in order, whatever kind of
    /// schema refers to what.
    pub(super) fn new(schema: &AvroSchema, defaults: Defaults) -> Result<Self, String> {
        if schema.references.len() > REFERENCES_MAX {
            return Err(format!("it refers to more than {REFERENCES_MAX} schemas"));
        }
        let mut fields = Vec::with_capacity(schema.references.len() + 1);
        let mut texts = Vec::with_capacity(fields.capacity());
        for (number, text) in schema.references.iter().chain([&schema.text]).enumerate() {
            let parsed: Json = serde_json::from_str(text).map_err(|error| format!("it is not JSON: {error}"))?;
            fields.push(json!({ "name": format!("schema_{number}"), "type": cleaned(&parsed, defaults)? }));
            texts.push(parsed);
        }
        let envelope = json!({ "type": "record", "name": ENVELOPE, "fields": fields });
        let envelope = Schema::parse(&envelope).map_err(|error| error.to_string())?;
        Ok(Self { envelope, texts })
    }

    /// Finds the named types; none may be defined twice.
    pub(super) fn named(&self) -> Result<Named<'_>, String> {
        let Schema::Record(envelope) = &self.envelope else {
            unreachable!("a record was parsed");
        };
        let mut types = HashMap::new();
        let mut meanings = HashMap::new();
        let mut root = &self.envelope;
        for (field, text) in envelope.fields.iter().zip(&self.texts) {
            root = &field.schema;
            collect(root, &mut types)?;
            note_meanings(text, root, &mut meanings);
        }
        Ok(Named { root, types, meanings })
    }
}

/// A type by its name; a reference has none of its own.
pub(super) fn name_of(schema: &Schema) -> Option<&Name> {
    match schema {
        Schema::Record(record) => Some(&record.name),
        Schema::Enum(symbols) => Some(&symbols.name),
        other => fixed_of(other).map(|fixed| &fixed.name),
    }
}

/// The `fixed` that a type is, whatever it means.
pub(super) fn fixed_of(schema: &Schema) -> Option<&FixedSchema> {
    match schema {
        Schema::Fixed(fixed)
        | Schema::Duration(fixed)
        | Schema::Decimal(DecimalSchema { inner: InnerDecimalSchema::Fixed(fixed), .. })
        | Schema::Uuid(UuidSchema::Fixed(fixed)) => Some(fixed),
        _ => None,
    }
}

fn collect<'s>(schema: &'s Schema, types: &mut HashMap<&'s Name, &'s Schema>) -> Result<(), String> {
    if let Some(name) = name_of(schema)
        && types.insert(name, schema).is_some()
    {
        return Err(format!("{name} is defined twice"));
    }
    match schema {
        Schema::Record(record) => record.fields.iter().try_for_each(|field| collect(&field.schema, types)),
        Schema::Array(array) => collect(&array.items, types),
        Schema::Map(map) => collect(&map.types, types),
        Schema::Union(union) => union.variants().iter().try_for_each(|branch| collect(branch, types)),
        _ => Ok(()),
    }
}

/// Notes what Connect's names say of a type and of those inside. As deep as the text, which `serde_json` bounds.
fn note_meanings(text: &Json, schema: &Schema, meanings: &mut HashMap<*const Schema, Meaning>) {
    let object = match (text, schema) {
        (Json::Array(branches), Schema::Union(union)) => {
            for (branch, schema) in branches.iter().zip(union.variants()) {
                note_meanings(branch, schema, meanings);
            }
            return;
        }
        (Json::Object(object), _) => object,
        _ => return,
    };
    if let Some(meaning) = meaning_of(object) {
        meanings.insert(std::ptr::from_ref(schema), meaning);
    }
    let parts = |key| object.get(key).and_then(Json::as_array).into_iter().flatten();
    match (object.get("type"), schema) {
        // The type itself stands one level further inside.
        (Some(inner @ (Json::Object(_) | Json::Array(_))), _) => note_meanings(inner, schema, meanings),
        (Some(_), Schema::Record(record)) => {
            for (field, known) in parts("fields").zip(&record.fields) {
                // A name beside the type counts as well as one within.
                note_meanings(field, &known.schema, meanings);
            }
        }
        (Some(_), Schema::Array(array)) => {
            object.get("items").into_iter().for_each(|items| note_meanings(items, &array.items, meanings));
        }
        (Some(_), Schema::Map(map)) => {
            object.get("values").into_iter().for_each(|values| note_meanings(values, &map.types, meanings));
        }
        _ => {}
    }
}

/// What Connect's name of a type says, where it has one. Connect writes the parameters of a decimal twice.
fn meaning_of(object: &Map<String, Json>) -> Option<Meaning> {
    let name = object.get("connect.name")?.as_str()?;
    let carrier = match object.get("type")?.as_str()? {
        "int" => Carrier::Int32,
        "long" => Carrier::Int64,
        "string" => Carrier::Text,
        "bytes" | "fixed" => Carrier::Bytes,
        "record" => Carrier::Record,
        _ => return None,
    };
    let scale = || object.get("scale")?.as_u64().and_then(|scale| u32::try_from(scale).ok());
    Meaning::of(name, carrier, scale_parameter(object.get("connect.parameters")).or_else(scale))
}

impl<'s> Named<'s> {
    /// What Connect's name of a type says beyond the type.
    pub(super) fn meaning(&self, schema: &Schema) -> Option<Meaning> {
        self.meanings.get(&std::ptr::from_ref(schema)).copied()
    }

    /// The type itself where a schema only names it.
    pub(super) fn follow(&self, schema: &'s Schema) -> Result<&'s Schema, String> {
        match schema {
            Schema::Ref { name } => {
                self.types.get(name).copied().ok_or_else(|| format!("{name} is named and nowhere defined"))
            }
            other => Ok(other),
        }
    }

    /// CRC-64-AVRO of the Parsing Canonical Form, by which single-object encoding names a schema.
    pub(super) fn fingerprint(&self) -> Result<u64, String> {
        let mut text = String::new();
        self.canonical(self.root, &mut HashSet::new(), &mut text, 0)?;
        Ok(crc64_avro(text.as_bytes()))
    }

    /// Appends the Parsing Canonical Form, all references written out.
    ///
    /// Not by `Schema::canonical_form`, which keeps precision and scale of decimals and writes `{"type":"long"}` where a
    /// long has a logical type: the specification strips both, and so do writers in other languages.
    fn canonical(
        &self,
        schema: &'s Schema,
        seen: &mut HashSet<&'s Name>,
        text: &mut String,
        depth: usize,
    ) -> Result<(), String> {
        if depth > NESTING_MAX {
            return Err(too_nested());
        }
        let schema = self.follow(schema)?;
        if let Some(name) = name_of(schema) {
            if !seen.insert(name) {
                return append(text, format_args!("\"{name}\""));
            }
            append(text, format_args!("{{\"name\":\"{name}\","))?;
        }
        match schema {
            Schema::Record(record) => {
                text.push_str("\"type\":\"record\",\"fields\":[");
                for (place, field) in record.fields.iter().enumerate() {
                    let comma = if place > 0 { "," } else { "" };
                    append(text, format_args!("{comma}{{\"name\":\"{}\",\"type\":", field.name))?;
                    self.canonical(&field.schema, seen, text, depth + 1)?;
                    text.push('}');
                }
                text.push_str("]}");
            }
            Schema::Enum(symbols) => {
                let symbols: Vec<String> = symbols.symbols.iter().map(|symbol| format!("\"{symbol}\"")).collect();
                append(text, format_args!("\"type\":\"enum\",\"symbols\":[{}]}}", symbols.join(",")))?;
            }
            Schema::Array(array) => {
                text.push_str("{\"type\":\"array\",\"items\":");
                self.canonical(&array.items, seen, text, depth + 1)?;
                text.push('}');
            }
            Schema::Map(map) => {
                text.push_str("{\"type\":\"map\",\"values\":");
                self.canonical(&map.types, seen, text, depth + 1)?;
                text.push('}');
            }
            Schema::Union(union) => {
                text.push('[');
                for (place, branch) in union.variants().iter().enumerate() {
                    if place > 0 {
                        text.push(',');
                    }
                    self.canonical(branch, seen, text, depth + 1)?;
                }
                text.push(']');
            }
            other => match fixed_of(other) {
                Some(fixed) => append(text, format_args!("\"type\":\"fixed\",\"size\":{}}}", fixed.size))?,
                None => append(text, format_args!("\"{}\"", primitive_name(other)))?,
            },
        }
        Ok(())
    }
}

fn append(text: &mut String, piece: std::fmt::Arguments<'_>) -> Result<(), String> {
    text.write_fmt(piece).map_err(|error| error.to_string())
}

pub(super) fn too_nested() -> String {
    format!("it nests more than {NESTING_MAX} types inside each other")
}

/// The name of the type that the bytes have.
pub(super) fn primitive_name(schema: &Schema) -> &'static str {
    match schema {
        Schema::Null => "null",
        Schema::Boolean => "boolean",
        Schema::Int | Schema::Date | Schema::TimeMillis => "int",
        Schema::Long
        | Schema::TimeMicros
        | Schema::TimestampMillis
        | Schema::TimestampMicros
        | Schema::TimestampNanos
        | Schema::LocalTimestampMillis
        | Schema::LocalTimestampMicros
        | Schema::LocalTimestampNanos => "long",
        Schema::Float => "float",
        Schema::Double => "double",
        Schema::Bytes | Schema::BigDecimal | Schema::Decimal(_) => "bytes",
        Schema::String | Schema::Uuid(UuidSchema::String) => "string",
        Schema::Uuid(_) => "bytes",
        Schema::Array(_) => "array",
        Schema::Map(_) => "map",
        Schema::Union(_) => "union",
        Schema::Record(_) => "record",
        Schema::Enum(_) => "enum",
        Schema::Fixed(_) | Schema::Duration(_) => "fixed",
        Schema::Ref { .. } => "reference",
    }
}

/// The Rabin fingerprint of the specification, section Schema Fingerprints.
fn crc64_avro(bytes: &[u8]) -> u64 {
    const EMPTY: u64 = 0xc15d_213a_a4d7_a795;
    bytes.iter().fold(EMPTY, |hash, byte| {
        let mut low = (hash ^ u64::from(*byte)) & 0xFF;
        for _ in 0..8 {
            low = (low >> 1) ^ (EMPTY & (low & 1).wrapping_neg());
        }
        (hash >> 8) ^ low
    })
}

/// The schema without what no reader of data needs. As deep as the text, which `serde_json` bounds.
fn cleaned(schema: &Json, defaults: Defaults) -> Result<Json, String> {
    let object = match schema {
        Json::Array(branches) => {
            return branches.iter().map(|branch| cleaned(branch, defaults)).collect::<Result<_, _>>().map(Json::Array);
        }
        Json::Object(object) => object,
        other => return Ok(other.clone()),
    };
    let mut kept = Map::new();
    for (key, value) in object {
        let clean = match key.as_str() {
            "type" | "items" | "values" => cleaned(value, defaults)?,
            "fields" => {
                let fields = value.as_array().ok_or("the fields of a record are no list")?;
                fields.iter().map(|field| cleaned_field(field, defaults)).collect::<Result<_, _>>().map(Json::Array)?
            }
            "name" | "namespace" | "symbols" => value.clone(),
            "aliases" | "default" if defaults == Defaults::Kept => value.clone(),
            // Names of meanings that are no texts, and bounds that are no small numbers, are as good as none.
            "logicalType" if value.is_string() => value.clone(),
            "precision" | "scale" if value.as_u64().is_some_and(|digits| digits <= DECIMAL_DIGITS_MAX) => value.clone(),
            "size" => match value.as_u64() {
                Some(bytes) if bytes <= FIXED_BYTES_MAX => value.clone(),
                _ => return Err(format!("a fixed has {value} bytes")),
            },
            _ => continue,
        };
        kept.insert(key.clone(), clean);
    }
    // The parser would read it as none, which is another number.
    if object.contains_key("scale") && !kept.contains_key("scale") {
        kept.remove("logicalType");
    }
    Ok(Json::Object(kept))
}

fn cleaned_field(field: &Json, defaults: Defaults) -> Result<Json, String> {
    let field = field.as_object().ok_or("a field of a record is no object")?;
    let mut kept = Map::new();
    for (key, value) in field {
        match key.as_str() {
            "type" => kept.insert(key.clone(), cleaned(value, defaults)?),
            "name" => kept.insert(key.clone(), value.clone()),
            "aliases" | "default" if defaults == Defaults::Kept => kept.insert(key.clone(), value.clone()),
            _ => None,
        };
    }
    Ok(Json::Object(kept))
}
