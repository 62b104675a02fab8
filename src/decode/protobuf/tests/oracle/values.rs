//! Values of messages, and columns for them.

use prost_reflect::prost::Message as _;
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, Value};
use rand::RngExt;
use rand::rngs::SmallRng;

use super::render::{Place, Step};

/// Messages nest no deeper.
const DEPTH: u32 = 4;
/// Tuples nest no deeper; what is inside is text.
const TUPLE_DEPTH: u32 = 3;
const WORDS: [&str; 6] =
    ["a", "b", "k l", "\u{e9}\u{1F600}", "\"q\"\n", "a text of more than thirty-two bytes, to be sure"];

pub(super) struct Generator {
    random: SmallRng,
}

impl Generator {
    pub(super) fn new(random: SmallRng) -> Self {
        Self { random }
    }

    pub(super) fn below(&mut self, bound: u32) -> u32 {
        self.random.random_range(0..bound)
    }

    pub(super) fn place(&mut self, length: usize) -> usize {
        self.random.random_range(0..length)
    }

    pub(super) fn one_in(&mut self, times: u32) -> bool {
        self.below(times) == 0
    }

    fn pick<T: Clone>(&mut self, choices: &[T]) -> T {
        choices[self.place(choices.len())].clone()
    }

    pub(super) fn long(&mut self) -> i64 {
        let random: i64 = self.random.random();
        let shift = self.below(64);
        self.pick(&[0, 1, -1, i64::MAX, i64::MIN, random, random >> shift])
    }

    fn int(&mut self) -> i32 {
        let random: i32 = self.random.random();
        let shift = self.below(32);
        self.pick(&[0, 1, -1, i32::MAX, i32::MIN, random, random >> shift])
    }

    fn text(&mut self) -> String {
        let words = self.below(3);
        (0..words).map(|_| self.pick(&WORDS)).collect()
    }

    pub(super) fn bytes(&mut self) -> Vec<u8> {
        let length = self.below(20);
        (0..length).map(|_| self.random.random()).collect()
    }

    pub(super) fn message(&mut self, descriptor: &MessageDescriptor, depth: u32) -> DynamicMessage {
        let mut message = DynamicMessage::new(descriptor.clone());
        let mut set = |name: &str, value: Value| message.set_field_by_name(name, value);
        match descriptor.full_name() {
            "google.protobuf.Timestamp" => {
                set("seconds", Value::I64(self.below(u32::MAX).into()));
                set("nanos", Value::I32(self.pick(&[0, 1, 500_000_000, 999_999_999])));
            }
            "google.protobuf.Duration" => {
                set("seconds", Value::I64(self.below(u32::MAX).into()));
                set("nanos", Value::I32(self.pick(&[0, 1, 500_000_000, 999_999_999])));
            }
            "google.protobuf.Any" => {
                let pool = descriptor.parent_pool();
                let known = pool
                    .all_messages()
                    .filter(|known| !known.is_map_entry())
                    .nth(self.place(pool.all_messages().len() - 8));
                let inner = known.filter(|known| known.full_name() != descriptor.full_name() && depth < DEPTH);
                // Both are always there, so that a later one takes the place of all of an earlier one.
                let bytes = inner.as_ref().map(|inner| self.message(inner, DEPTH).encode_to_vec());
                let (name, bytes) = match (inner, bytes.filter(|bytes| !bytes.is_empty())) {
                    (Some(inner), Some(bytes)) => (inner.full_name().to_owned(), bytes),
                    _ => ("no.Such".to_owned(), [vec![0xFF], self.bytes()].concat()),
                };
                set("type_url", Value::String(format!("type.example/{name}")));
                set("value", Value::Bytes(bytes.into()));
            }
            _ => {
                for field in descriptor.fields() {
                    if self.one_in(if depth == 0 { 2 } else { 3 })
                        && (depth < DEPTH || field.kind().as_message().is_none())
                    {
                        let value = self.field_value(&field, depth);
                        message.set_field(&field, value);
                    }
                }
            }
        }
        message
    }

    fn field_value(&mut self, field: &FieldDescriptor, depth: u32) -> Value {
        let length = self.below(4);
        if field.is_list() {
            return Value::List((0..length).map(|_| self.value(&field.kind(), depth)).collect());
        }
        match field.kind() {
            Kind::Message(entry) if field.is_map() => {
                let (key, value) = (entry.map_entry_key_field().kind(), entry.map_entry_value_field().kind());
                Value::Map((0..length).map(|_| (self.key(&key), self.value(&value, depth))).collect())
            }
            kind => self.value(&kind, depth),
        }
    }

    fn key(&mut self, kind: &Kind) -> MapKey {
        let small = self.below(4);
        match kind {
            Kind::String => MapKey::String(self.pick(&WORDS).to_owned()),
            Kind::Bool => MapKey::Bool(small < 2),
            Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => MapKey::I32(self.pick(&[0, 1, -1, i32::MIN])),
            Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => MapKey::I64(self.pick(&[0, 1, -1, i64::MAX])),
            Kind::Uint32 | Kind::Fixed32 => MapKey::U32(small),
            _ => MapKey::U64(self.pick(&[0, 1, u64::MAX])),
        }
    }

    fn value(&mut self, kind: &Kind, depth: u32) -> Value {
        match kind {
            Kind::Bool => Value::Bool(self.one_in(2)),
            Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => Value::I32(self.int()),
            Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => Value::I64(self.long()),
            Kind::Uint32 | Kind::Fixed32 => Value::U32(self.int().cast_unsigned()),
            Kind::Uint64 | Kind::Fixed64 => Value::U64(self.long().cast_unsigned()),
            Kind::Float => {
                Value::F32(self.pick(&[0.0, -0.0, 1.5, f32::MAX, f32::MIN_POSITIVE, f32::NEG_INFINITY, 0.1, f32::NAN]))
            }
            Kind::Double => {
                let random = f64::from(self.int()) / 1_000.0;
                Value::F64(self.pick(&[0.0, -0.0, 7.0, -1e300, 5e-324, f64::INFINITY, 0.1, f64::NAN, random]))
            }
            Kind::String => Value::String(self.text()),
            Kind::Bytes => Value::Bytes(self.bytes().into()),
            Kind::Enum(descriptor) => {
                let values: Vec<_> = descriptor.values().map(|value| value.number()).collect();
                let open = descriptor.parent_file().syntax() == prost_reflect::Syntax::Proto3;
                let number = if open && self.one_in(5) { self.int() } else { self.pick(&values) };
                Value::EnumNumber(number)
            }
            Kind::Message(descriptor) => Value::Message(self.message(descriptor, depth + 1)),
        }
    }

    /// A place inside of a field, and the path to it.
    pub(super) fn place_inside(&mut self, field: &FieldDescriptor) -> Option<(String, Place)> {
        let path = format!("$['{}']", field.name());
        let inside = |path: String, step: Step, last: &FieldDescriptor| {
            Some((path, Place::Inside(vec![Step::Field(field.clone()), step], last.clone())))
        };
        match field.kind() {
            _ if field.is_list() => {
                let number = self.place(4);
                inside(format!("{path}[{number}]"), Step::Element(number), field)
            }
            Kind::Message(entry) if field.is_map() => {
                let key = self.key(&entry.map_entry_key_field().kind());
                let text = match &key {
                    MapKey::Bool(key) => key.to_string(),
                    MapKey::I32(key) => key.to_string(),
                    MapKey::I64(key) => key.to_string(),
                    MapKey::U32(key) => key.to_string(),
                    MapKey::U64(key) => key.to_string(),
                    MapKey::String(key) => key.clone(),
                };
                inside(format!("{path}['{text}']"), Step::Key(key), &entry.map_entry_value_field())
            }
            Kind::Message(message) if !is_dynamic(&message) => {
                let fields: Vec<_> = message.fields().collect();
                let inner = if fields.is_empty() { None } else { Some(self.pick(&fields)) }?;
                let path = format!("{path}['{}']", inner.json_name());
                Some((path, Place::Inside(vec![Step::Field(field.clone()), Step::Field(inner.clone())], inner)))
            }
            _ => None,
        }
    }

    /// The type of a column for all of a field.
    pub(super) fn column(&mut self, field: &FieldDescriptor, depth: u32) -> String {
        if field.is_list() || field.is_map() {
            if self.one_in(4) {
                return "String".to_owned();
            }
            return match field.kind() {
                Kind::Message(entry) if field.is_map() => {
                    let key = native(&entry.map_entry_key_field().kind());
                    format!("Map({key}, {})", self.column_of_one(&entry.map_entry_value_field(), depth + 1))
                }
                _ => format!("Array({})", self.column_of_one(field, depth + 1)),
            };
        }
        self.column_of_one(field, depth)
    }

    /// The same for one element, or one value of a map.
    pub(super) fn column_of_one(&mut self, field: &FieldDescriptor, depth: u32) -> String {
        match field.kind() {
            Kind::Message(message) => self.column_of_message(&message, depth),
            kind => {
                let native = native(&kind);
                match self.below(5) {
                    0 => "String".to_owned(),
                    1 => format!("Nullable({native})"),
                    2 if native == "String" => "LowCardinality(String)".to_owned(),
                    3 if matches!(kind, Kind::Enum(_)) => "Int32".to_owned(),
                    _ => native.to_owned(),
                }
            }
        }
    }

    pub(super) fn column_of_message(&mut self, message: &MessageDescriptor, depth: u32) -> String {
        let choices: &[&str] = match message.full_name() {
            "google.protobuf.Timestamp" => {
                &["DateTime64(9)", "Nullable(DateTime64(3))", "DateTime", "String", "Tuple(seconds Int64)"]
            }
            "google.protobuf.Duration" => &["Decimal(38, 9)", "String", "Nullable(Decimal(38, 9))"],
            "google.protobuf.FieldMask" => &["String", "Tuple(paths Array(String))"],
            "google.protobuf.Int32Value" => &["Int32", "Nullable(Int32)", "String", "Tuple(value Int32)"],
            "google.protobuf.UInt64Value" => &["UInt64", "Nullable(UInt64)", "String"],
            "google.protobuf.BoolValue" => &["Bool", "Nullable(Bool)"],
            "google.protobuf.DoubleValue" => &["Float64", "Nullable(Float64)"],
            "google.protobuf.StringValue" | "google.protobuf.BytesValue" => &["String", "Nullable(String)"],
            name if name.starts_with("google.protobuf.") => &["String"],
            _ if depth >= TUPLE_DEPTH || self.one_in(4) => &["String"],
            _ if self.one_in(8) => &["Map(String, String)"],
            _ => &[],
        };
        if !choices.is_empty() {
            return self.pick(choices).to_owned();
        }
        let mut fields = Vec::new();
        for field in message.fields() {
            if !self.one_in(4) {
                let name = if self.one_in(2) { field.name().to_owned() } else { field.json_name().to_owned() };
                fields.push(format!("`{name}` {}", self.column(&field, depth + 1)));
            }
        }
        if fields.is_empty() || self.one_in(3) {
            fields.push("nobody UInt8".to_owned());
        }
        let first = self.place(fields.len());
        fields.rotate_left(first);
        format!("Tuple({})", fields.join(", "))
    }
}

pub(super) fn is_dynamic(message: &MessageDescriptor) -> bool {
    matches!(message.full_name(), "google.protobuf.Struct" | "google.protobuf.Value" | "google.protobuf.ListValue")
}

/// The column type that a scalar is like.
fn native(kind: &Kind) -> &'static str {
    match kind {
        Kind::Bool => "Bool",
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => "Int32",
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => "Int64",
        Kind::Uint32 | Kind::Fixed32 => "UInt32",
        Kind::Uint64 | Kind::Fixed64 => "UInt64",
        Kind::Float => "Float32",
        Kind::Double => "Float64",
        Kind::String | Kind::Bytes | Kind::Enum(_) | Kind::Message(_) => "String",
    }
}
