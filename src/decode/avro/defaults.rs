//! Defaults of a reader's schema, which stand in it as JSON, to the bytes that a writer would have written.

use apache_avro::Schema;
use apache_avro::schema::UuidSchema;
use serde_json::Value as Json;

use super::schema::{Named, fixed_of};

/// Defaults inside each other.
const DEPTH_MAX: u32 = 64;
/// Longest default: each record that lacks the field costs as much.
const BYTES_MAX: usize = 64 << 10;
/// Values that are looked at for one default; unions are tried branch by branch.
const TRIES_MAX: u32 = 100_000;

/// Encodes a default; `schema` is a type, no name of one.
pub(super) fn encode(default: &Json, schema: &Schema, named: &Named<'_>) -> Result<Vec<u8>, String> {
    let mut encoder = Encoder { named, bytes: Vec::new(), tries: 0 };
    encoder.append(default, schema, 0)?;
    Ok(encoder.bytes)
}

struct Encoder<'s> {
    named: &'s Named<'s>,
    bytes: Vec<u8>,
    tries: u32,
}

impl<'s> Encoder<'s> {
    fn append(&mut self, default: &Json, schema: &'s Schema, depth: u32) -> Result<(), String> {
        self.tries += 1;
        if depth > DEPTH_MAX || self.bytes.len() > BYTES_MAX || self.tries > TRIES_MAX {
            return Err("its default is too large".to_owned());
        }
        let wrong = || format!("{default} is no default for it");
        match self.named.follow(schema)? {
            Schema::Null => default.as_null().ok_or_else(wrong)?,
            Schema::Boolean => self.bytes.push(default.as_bool().ok_or_else(wrong)?.into()),
            Schema::Int | Schema::Date | Schema::TimeMillis => {
                let number = default.as_i64().and_then(|number| i32::try_from(number).ok());
                self.push_long(number.ok_or_else(wrong)?.into());
            }
            Schema::Long
            | Schema::TimeMicros
            | Schema::TimestampMillis
            | Schema::TimestampMicros
            | Schema::TimestampNanos
            | Schema::LocalTimestampMillis
            | Schema::LocalTimestampMicros
            | Schema::LocalTimestampNanos => self.push_long(default.as_i64().ok_or_else(wrong)?),
            Schema::Float => {
                #[expect(clippy::cast_possible_truncation, reason = "the nearest float is what is wanted")]
                let number = float(default).ok_or_else(wrong)? as f32;
                self.bytes.extend(number.to_le_bytes());
            }
            Schema::Double => self.bytes.extend(float(default).ok_or_else(wrong)?.to_le_bytes()),
            Schema::String | Schema::Uuid(UuidSchema::String) => {
                self.push_bytes(default.as_str().ok_or_else(wrong)?.as_bytes());
            }
            Schema::Array(array) => {
                let items = default.as_array().ok_or_else(wrong)?;
                self.begin_block(items.len());
                for item in items {
                    self.append(item, &array.items, depth + 1)?;
                }
                self.end_blocks(items.len());
            }
            Schema::Map(map) => {
                let entries = default.as_object().ok_or_else(wrong)?;
                self.begin_block(entries.len());
                for (key, value) in entries {
                    self.push_bytes(key.as_bytes());
                    self.append(value, &map.types, depth + 1)?;
                }
                self.end_blocks(entries.len());
            }
            Schema::Union(union) => {
                // The first branch by the older specifications, any by the newer ones.
                let start = self.bytes.len();
                for (number, branch) in union.variants().iter().enumerate() {
                    self.push_count(number);
                    if self.append(default, branch, depth + 1).is_ok() {
                        return Ok(());
                    }
                    self.bytes.truncate(start);
                }
                return Err(wrong());
            }
            Schema::Record(record) => {
                let given = default.as_object().ok_or_else(wrong)?;
                for field in &record.fields {
                    let value = given.get(&field.name).or(field.default.as_ref()).ok_or_else(wrong)?;
                    self.append(value, &field.schema, depth + 1)?;
                }
            }
            Schema::Enum(symbols) => {
                let name = default.as_str().ok_or_else(wrong)?;
                self.push_count(symbols.symbols.iter().position(|symbol| symbol == name).ok_or_else(wrong)?);
            }
            other => {
                let content = latin1(default.as_str().ok_or_else(wrong)?).ok_or_else(wrong)?;
                match fixed_of(other) {
                    Some(fixed) if fixed.size == content.len() => self.bytes.extend(content),
                    Some(_) => return Err(wrong()),
                    None => self.push_bytes(&content),
                }
            }
        }
        Ok(())
    }

    fn begin_block(&mut self, items: usize) {
        self.push_count(items);
    }

    /// The empty block behind others.
    fn end_blocks(&mut self, items: usize) {
        if items > 0 {
            self.push_count(0);
        }
    }

    fn push_bytes(&mut self, content: &[u8]) {
        self.push_count(content.len());
        self.bytes.extend(content);
    }

    fn push_count(&mut self, count: usize) {
        self.push_long(i64::try_from(count).unwrap_or(i64::MAX));
    }

    fn push_long(&mut self, value: i64) {
        crate::columns::push_varint(&mut self.bytes, ((value << 1) ^ (value >> 63)).cast_unsigned());
    }
}

/// JSON has no numbers for these three.
fn float(default: &Json) -> Option<f64> {
    match default.as_str() {
        Some("NaN") => Some(f64::NAN),
        Some("INF" | "Infinity") => Some(f64::INFINITY),
        Some("-INF" | "-Infinity") => Some(f64::NEG_INFINITY),
        Some(_) => None,
        None => default.as_f64(),
    }
}

/// Bytes stand in JSON as characters of their numbers.
fn latin1(text: &str) -> Option<Vec<u8>> {
    text.chars().map(|character| u8::try_from(u32::from(character)).ok()).collect()
}
