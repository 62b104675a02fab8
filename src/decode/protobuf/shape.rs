//! Message types as the decoder needs them, without columns.
//!
//! Takes the descriptor of a message, gives a [`Shape`] for it and for every message that can stand in it. Says for each tag
//! which field it is; a tag whose wire type does not fit its field is that of an unknown field, as Protobuf has it.

use std::collections::{HashMap, VecDeque};

use prost_reflect::{EnumDescriptor, FieldDescriptor, MessageDescriptor, Syntax, Value};

use super::wire::{FIXED32, FIXED64, GROUP, LENGTH, VARINT, WIRE_BITS};
use crate::decode::typed::Typed;

/// Stands for no field in a table of tags.
const NO_SLOT: u16 = u16::MAX;
/// Tags up to here have a place each in a table, where a message has such: those of fields up to 255.
const NEAR_TAGS: usize = 1 << 11;

/// What kind of value a field has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Int32,
    Int64,
    UInt32,
    UInt64,
    SInt32,
    SInt64,
    Fixed32,
    Fixed64,
    SFixed32,
    SFixed64,
    Float,
    Double,
    Bool,
    String,
    Bytes,
    /// The enum of this number.
    Enum(usize),
    /// The message of this number.
    Message(usize),
}

impl Kind {
    fn wire(self) -> u32 {
        match self {
            Self::Int32 | Self::Int64 | Self::UInt32 | Self::UInt64 | Self::SInt32 | Self::SInt64 => VARINT,
            Self::Bool | Self::Enum(_) => VARINT,
            Self::Fixed64 | Self::SFixed64 | Self::Double => FIXED64,
            Self::Fixed32 | Self::SFixed32 | Self::Float => FIXED32,
            Self::String | Self::Bytes | Self::Message(_) => LENGTH,
        }
    }
}

/// How often a field may stand in a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Label {
    One,
    Many,
    /// Many entries, each a message of this number: a key and a value.
    Map(usize),
}

/// A field of a message.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) name: Box<str>,
    json_name: Box<str>,
    pub(super) kind: Kind,
    pub(super) label: Label,
    /// Whether a message that lacks the field has a value for it: zero, an empty list, or a default of the schema.
    pub(super) always: bool,
    /// Whether zero is the same as nothing.
    pub(super) zero_is_absent: bool,
    /// Whether numbers that the field's enum lacks are unknown fields.
    pub(super) closed: bool,
    /// Its place among the message's oneofs.
    pub(super) oneof: Option<usize>,
    absent: Owned,
}

impl Field {
    /// A field that nothing is known of but its message.
    pub(super) fn of_message(message: usize) -> Self {
        Self {
            name: Box::default(),
            json_name: Box::default(),
            kind: Kind::Message(message),
            label: Label::One,
            always: false,
            zero_is_absent: false,
            closed: false,
            oneof: None,
            absent: Owned::Bytes(Box::default()),
        }
    }

    /// The value of the field in a message that lacks it.
    pub(super) fn absent<'a>(&'a self, enums: &'a [EnumShape]) -> Typed<'a> {
        match &self.absent {
            Owned::Bool(value) => Typed::Bool(*value),
            Owned::Int(value) => Typed::Int(*value),
            Owned::UInt(value) => Typed::UInt(*value),
            Owned::Float32(value) => Typed::Float32(*value),
            Owned::Float64(value) => Typed::Float64(*value),
            Owned::Text(text) => Typed::Text(text),
            Owned::Bytes(bytes) => Typed::Bytes(bytes),
            Owned::Enum(shape, number) => enums[*shape].value(*number),
        }
    }
}

/// A scalar that a schema names.
#[derive(Debug)]
enum Owned {
    Bool(bool),
    Int(i64),
    UInt(u64),
    Float32(f32),
    Float64(f64),
    Text(Box<str>),
    Bytes(Box<[u8]>),
    Enum(usize, i32),
}

/// An enum.
#[derive(Debug)]
pub(super) struct EnumShape {
    closed: bool,
    /// Sorted by number; of names with one number the first.
    names: Box<[(i32, Box<str>)]>,
}

impl EnumShape {
    fn new(descriptor: &EnumDescriptor) -> Self {
        let mut names: Vec<(i32, Box<str>)> = descriptor
            .enum_descriptor_proto()
            .value
            .iter()
            .map(|value| (value.number(), value.name().into()))
            .collect();
        names.sort_by_key(|(number, _)| *number);
        names.dedup_by_key(|(number, _)| *number);
        Self { closed: descriptor.parent_file().syntax() == Syntax::Proto2, names: names.into() }
    }

    #[inline]
    fn name(&self, number: i32) -> Option<&str> {
        // Most enums count from 0 without gaps.
        let guess = usize::try_from(number).ok().and_then(|place| self.names.get(place));
        match guess {
            Some((found, name)) if *found == number => Some(name),
            _ => {
                let place = self.names.binary_search_by_key(&number, |(number, _)| *number).ok()?;
                Some(&self.names[place].1)
            }
        }
    }

    #[inline]
    pub(super) fn value(&self, number: i32) -> Typed<'_> {
        Typed::Enum { name: self.name(number), number }
    }

    /// Whether a field has no other numbers than those that are named.
    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    pub(super) fn has(&self, number: i32) -> bool {
        self.name(number).is_some()
    }
}

/// Messages that mean more than their fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WellKnown {
    Timestamp,
    Duration,
    /// A scalar that may be absent.
    Wrapper,
    Struct,
    Value,
    ListValue,
    Any,
    FieldMask,
    /// Confluent's: an unscaled integer, the most significant byte first, and how many of its digits follow the point.
    Decimal,
}

impl WellKnown {
    /// The meaning of a message: by its name, where its fields are those that the name promises.
    fn of(descriptor: &MessageDescriptor) -> Option<Self> {
        let (meaning, fields): (_, &[(&str, &str)]) = match descriptor.full_name() {
            "google.protobuf.Timestamp" => (Self::Timestamp, &[("seconds", "int64"), ("nanos", "int32")]),
            "google.protobuf.Duration" => (Self::Duration, &[("seconds", "int64"), ("nanos", "int32")]),
            "google.protobuf.DoubleValue" => (Self::Wrapper, &[("value", "double")]),
            "google.protobuf.FloatValue" => (Self::Wrapper, &[("value", "float")]),
            "google.protobuf.Int64Value" => (Self::Wrapper, &[("value", "int64")]),
            "google.protobuf.UInt64Value" => (Self::Wrapper, &[("value", "uint64")]),
            "google.protobuf.Int32Value" => (Self::Wrapper, &[("value", "int32")]),
            "google.protobuf.UInt32Value" => (Self::Wrapper, &[("value", "uint32")]),
            "google.protobuf.BoolValue" => (Self::Wrapper, &[("value", "bool")]),
            "google.protobuf.StringValue" => (Self::Wrapper, &[("value", "string")]),
            "google.protobuf.BytesValue" => (Self::Wrapper, &[("value", "bytes")]),
            "google.protobuf.Struct" => (Self::Struct, &[("fields", "google.protobuf.Struct.FieldsEntry")]),
            "google.protobuf.ListValue" => (Self::ListValue, &[("values", "google.protobuf.Value")]),
            "google.protobuf.Value" => (
                Self::Value,
                &[
                    ("null_value", "google.protobuf.NullValue"),
                    ("number_value", "double"),
                    ("string_value", "string"),
                    ("bool_value", "bool"),
                    ("struct_value", "google.protobuf.Struct"),
                    ("list_value", "google.protobuf.ListValue"),
                ],
            ),
            "google.protobuf.Any" => (Self::Any, &[("type_url", "string"), ("value", "bytes")]),
            "confluent.type.Decimal" => {
                (Self::Decimal, &[("value", "bytes"), ("precision", "uint32"), ("scale", "int32")])
            }
            "google.protobuf.FieldMask" => (Self::FieldMask, &[("paths", "string")]),
            _ => return None,
        };
        let as_promised = (1..).zip(fields).all(|(number, (name, kind))| {
            descriptor.get_field(number).is_some_and(|field| field.name() == *name && kind_name(&field) == *kind)
        });
        (as_promised && descriptor.fields().len() == fields.len()).then_some(meaning)
    }
}

fn kind_name(field: &FieldDescriptor) -> String {
    match field.kind() {
        prost_reflect::Kind::Message(message) => message.full_name().to_owned(),
        prost_reflect::Kind::Enum(one) => one.full_name().to_owned(),
        scalar => format!("{scalar:?}").to_lowercase(),
    }
}

/// A message type.
#[derive(Debug)]
pub(super) struct Shape {
    pub(super) well_known: Option<WellKnown>,
    /// Sorted by number: the order in which writers put them.
    pub(super) fields: Box<[Field]>,
    /// How many oneofs of more than one field there are.
    pub(super) oneofs: usize,
    /// Which field a small tag is.
    near: Box<[u16]>,
    /// The same of the other tags, sorted.
    far: Box<[(u32, u16)]>,
}

impl Shape {
    /// Which field a tag is.
    #[inline]
    pub(super) fn slot(&self, tag: u32) -> Option<usize> {
        let near = usize::try_from(tag).ok().and_then(|tag| self.near.get(tag));
        let slot = match near {
            Some(slot) => *slot,
            None => self.far_slot(tag),
        };
        (slot != NO_SLOT).then_some(slot.into())
    }

    fn far_slot(&self, tag: u32) -> u16 {
        let found = self.far.binary_search_by_key(&tag, |(tag, _)| *tag);
        found.map_or(NO_SLOT, |place| self.far[place].1)
    }

    /// The field that a path calls so: by its name in the schema, else by its name in JSON.
    pub(super) fn named(&self, name: &str) -> Option<usize> {
        let by = |own: fn(&Field) -> &str| self.fields.iter().position(|field| own(field) == name);
        by(|field| &field.name).or_else(|| by(|field| &field.json_name))
    }
}

/// All message types that a record may hold; the first is the record's own.
#[derive(Debug)]
pub(super) struct Shapes {
    pub(super) messages: Vec<Shape>,
    pub(super) enums: Vec<EnumShape>,
    /// Messages by their full names, where a record may name one.
    by_name: HashMap<String, usize>,
}

impl Shapes {
    pub(super) fn compile(root: &MessageDescriptor) -> Result<Self, String> {
        let mut compiler = Compiler::default();
        compiler.message(root);
        let mut messages: Vec<Shape> = Vec::new();
        let mut any = false;
        while let Some(descriptor) = compiler.queue.pop_front() {
            let shape = compiler.shape(&descriptor)?;
            if shape.well_known == Some(WellKnown::Any) && !std::mem::replace(&mut any, true) {
                for message in descriptor.parent_pool().all_messages() {
                    compiler.message(&message);
                }
            }
            messages.push(shape);
        }
        let by_name = if any { compiler.messages } else { HashMap::new() };
        Ok(Self { messages, enums: compiler.enum_shapes, by_name })
    }

    /// The key and the value of a map's entries.
    pub(super) fn entry(&self, message: usize) -> &[Field; 2] {
        self.messages[message].fields.first_chunk().expect("descriptors of entries are checked to have both")
    }

    /// The message of this full name.
    pub(super) fn by_name(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }
}

#[derive(Default)]
struct Compiler {
    messages: HashMap<String, usize>,
    /// Messages that have a number and no shape yet, in the order of their numbers.
    queue: VecDeque<MessageDescriptor>,
    enums: HashMap<String, usize>,
    enum_shapes: Vec<EnumShape>,
}

impl Compiler {
    fn message(&mut self, descriptor: &MessageDescriptor) -> usize {
        if let Some(known) = self.messages.get(descriptor.full_name()) {
            return *known;
        }
        let number = self.messages.len();
        self.messages.insert(descriptor.full_name().to_owned(), number);
        self.queue.push_back(descriptor.clone());
        number
    }

    fn enumeration(&mut self, descriptor: &EnumDescriptor) -> usize {
        if let Some(known) = self.enums.get(descriptor.full_name()) {
            return *known;
        }
        self.enum_shapes.push(EnumShape::new(descriptor));
        self.enums.insert(descriptor.full_name().to_owned(), self.enum_shapes.len() - 1);
        self.enum_shapes.len() - 1
    }

    fn shape(&mut self, descriptor: &MessageDescriptor) -> Result<Shape, String> {
        let mut fields: Vec<_> = descriptor.fields().collect();
        fields.sort_by_key(FieldDescriptor::number);
        if fields.len() >= usize::from(NO_SLOT) {
            return Err(format!("message {} has {} fields", descriptor.full_name(), fields.len()));
        }
        let oneofs: Vec<_> = descriptor.oneofs().filter(|oneof| oneof.fields().len() > 1).collect();
        let is_entry = descriptor.is_map_entry();
        let (mut own, mut near, mut far) = (Vec::new(), Vec::new(), Vec::new());
        for (slot, descriptor) in (0_u16..).zip(&fields) {
            let oneof = descriptor.containing_oneof();
            let oneof = oneof.and_then(|own| oneofs.iter().position(|oneof| *oneof == own));
            let field = self.field(descriptor, oneof, is_entry);
            for tag in tags(descriptor, &field) {
                match usize::try_from(tag) {
                    Ok(tag) if tag < NEAR_TAGS => {
                        near.resize(near.len().max(tag + 1), NO_SLOT);
                        near[tag] = slot;
                    }
                    _ => far.push((tag, slot)),
                }
            }
            own.push(field);
        }
        far.sort_unstable();
        Ok(Shape {
            fields: own.into(),
            well_known: WellKnown::of(descriptor),
            oneofs: oneofs.len(),
            near: near.into(),
            far: far.into(),
        })
    }

    fn field(&mut self, field: &FieldDescriptor, oneof: Option<usize>, of_entry: bool) -> Field {
        let kind = self.kind(&field.kind());
        let label = match kind {
            Kind::Message(entry) if field.is_map() => Label::Map(entry),
            _ if field.is_list() => Label::Many,
            _ => Label::One,
        };
        let is_message = matches!(kind, Kind::Message(_));
        let declared = field.field_descriptor_proto().default_value.is_some();
        let zero_is_absent = label == Label::One && !is_message && !field.supports_presence();
        Field {
            name: field.name().into(),
            json_name: field.json_name().into(),
            kind,
            label,
            always: label != Label::One || !is_message && (zero_is_absent || declared || of_entry),
            zero_is_absent: zero_is_absent && !of_entry,
            closed: matches!(kind, Kind::Enum(number) if self.enum_shapes[number].closed),
            oneof,
            absent: owned(field.default_value(), kind),
        }
    }

    fn kind(&mut self, kind: &prost_reflect::Kind) -> Kind {
        match kind {
            prost_reflect::Kind::Int32 => Kind::Int32,
            prost_reflect::Kind::Int64 => Kind::Int64,
            prost_reflect::Kind::Uint32 => Kind::UInt32,
            prost_reflect::Kind::Uint64 => Kind::UInt64,
            prost_reflect::Kind::Sint32 => Kind::SInt32,
            prost_reflect::Kind::Sint64 => Kind::SInt64,
            prost_reflect::Kind::Fixed32 => Kind::Fixed32,
            prost_reflect::Kind::Fixed64 => Kind::Fixed64,
            prost_reflect::Kind::Sfixed32 => Kind::SFixed32,
            prost_reflect::Kind::Sfixed64 => Kind::SFixed64,
            prost_reflect::Kind::Float => Kind::Float,
            prost_reflect::Kind::Double => Kind::Double,
            prost_reflect::Kind::Bool => Kind::Bool,
            prost_reflect::Kind::String => Kind::String,
            prost_reflect::Kind::Bytes => Kind::Bytes,
            prost_reflect::Kind::Enum(descriptor) => Kind::Enum(self.enumeration(descriptor)),
            prost_reflect::Kind::Message(descriptor) => Kind::Message(self.message(descriptor)),
        }
    }
}

/// The tags that a field may have: of lists of numbers two, since readers take both forms whatever is declared.
fn tags(descriptor: &FieldDescriptor, field: &Field) -> impl Iterator<Item = u32> {
    let number = descriptor.number() << WIRE_BITS;
    let own = if descriptor.is_group() { GROUP } else { field.kind.wire() };
    let packed = field.label == Label::Many && !matches!(own, LENGTH | GROUP);
    std::iter::once(number | own).chain(packed.then_some(number | LENGTH))
}

fn owned(value: Value, kind: Kind) -> Owned {
    match (value, kind) {
        (Value::Bool(value), _) => Owned::Bool(value),
        (Value::I32(value), _) => Owned::Int(value.into()),
        (Value::I64(value), _) => Owned::Int(value),
        (Value::U32(value), _) => Owned::UInt(value.into()),
        (Value::U64(value), _) => Owned::UInt(value),
        (Value::F32(value), _) => Owned::Float32(value),
        (Value::F64(value), _) => Owned::Float64(value),
        (Value::String(text), _) => Owned::Text(text.into()),
        (Value::Bytes(bytes), _) => Owned::Bytes(bytes.to_vec().into()),
        (Value::EnumNumber(number), Kind::Enum(shape)) => Owned::Enum(shape, number),
        // Of lists, maps and messages an absent one has no pieces, which says all.
        _ => Owned::Bytes(Box::default()),
    }
}
