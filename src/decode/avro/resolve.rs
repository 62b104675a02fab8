//! A writer's schema, read as a reader's, to the shapes of what is read.
//!
//! Follows the specification, section Schema Resolution. Where that leaves room:
//!
//! - Of a reader's union the branch of the writer's own type is taken before one that it is promoted to, as in Java.
//! - Logical types that differ do not match: microseconds are never read as milliseconds. Where only one side has one, the
//!   reader's word counts. Decimals match where their scales do, whatever bytes they are made of.
//! - Connect's names count as logical types do, of the schema that is read as; a logical type beside a name outranks it.
//! - What cannot be resolved is an error here, but in a branch of a writer's union only when a record has that branch.

use std::collections::HashMap;

use apache_avro::Schema;
use apache_avro::schema::{
    DecimalSchema, EnumSchema, FixedSchema, InnerDecimalSchema, Name, RecordSchema, UnionSchema, UuidSchema,
};

use super::defaults;
use super::schema::{NESTING_MAX, Named, fixed_of, name_of, primitive_name, too_nested};
use super::shape::{
    BYTELESS_MAX, Blob, DEFAULT_BYTES_PER_WORK, DecimalOrder, Default, Field, Id, Items, Record, Scalar, Shape, Symbol,
    Whole,
};
use crate::decode::connect::Meaning;
use crate::decode::typed::TextMeaning;

/// Types of a plan: a union of many branches, read as another one, has their product.
const SHAPES_MAX: usize = 100_000;

/// One side: a schema, and what its names stand for.
#[derive(Clone, Copy)]
struct Side<'s> {
    schema: &'s Schema,
    named: &'s Named<'s>,
}

impl<'s> Side<'s> {
    fn of(self, schema: &'s Schema) -> Result<Self, String> {
        Ok(Self { schema: self.named.follow(schema)?, named: self.named })
    }

    /// What Connect's name of the schema says.
    fn meaning(self) -> Option<Meaning> {
        self.named.meaning(self.schema)
    }
}

/// The shapes of data that `writer` wrote and that is read as `reader`, and which of them is the whole.
pub(super) fn resolve(writer: &Named<'_>, reader: &Named<'_>) -> Result<(Vec<Shape>, Id), String> {
    let mut resolver = Resolver { shapes: Vec::new(), weights: Vec::new(), known: HashMap::new(), depth: 0 };
    let writer = Side { schema: writer.root, named: writer }.of(writer.root)?;
    let reader = Side { schema: reader.root, named: reader }.of(reader.root)?;
    let root = resolver.resolve(writer, reader)?;
    Ok((resolver.shapes, root))
}

struct Resolver {
    shapes: Vec<Shape>,
    /// Per shape: how much work one without bytes is; `None` where each has bytes.
    weights: Vec<Option<u32>>,
    /// Records that were resolved or are being, and those that cannot be.
    known: HashMap<(*const Schema, *const Schema), Result<Id, String>>,
    depth: usize,
}

impl Resolver {
    fn push(&mut self, shape: Shape, weight: Option<u32>) -> Result<Id, String> {
        if self.shapes.len() == SHAPES_MAX {
            return Err(format!("it has more than {SHAPES_MAX} types"));
        }
        self.shapes.push(shape);
        self.weights.push(weight);
        Ok(self.shapes.len() - 1)
    }

    fn resolve(&mut self, writer: Side<'_>, reader: Side<'_>) -> Result<Id, String> {
        if self.depth == NESTING_MAX {
            return Err(too_nested());
        }
        self.depth += 1;
        let resolved = self.resolve_type(writer, reader);
        self.depth -= 1;
        resolved
    }

    /// What was written, as it was written.
    fn alone(&mut self, side: Side<'_>) -> Result<Id, String> {
        self.resolve(side, side)
    }

    fn resolve_type(&mut self, writer: Side<'_>, reader: Side<'_>) -> Result<Id, String> {
        match (writer.schema, reader.schema) {
            (Schema::Union(written), Schema::Union(_)) if std::ptr::eq(writer.schema, reader.schema) => {
                let mut branches = Vec::with_capacity(written.variants().len());
                for branch in written.variants() {
                    branches.push(self.alone(writer.of(branch)?)?);
                }
                self.push(Shape::Union(branches.into()), None)
            }
            (Schema::Union(written), _) => self.resolve_union(writer, written, reader),
            (_, Schema::Union(wanted)) => self.choose_branch(writer, reader, wanted),
            (Schema::Record(written), Schema::Record(wanted)) if matches(written, wanted) => {
                let key = (std::ptr::from_ref(writer.schema), std::ptr::from_ref(reader.schema));
                if let Some(known) = self.known.get(&key) {
                    return known.clone();
                }
                // Its own place first: it may hold itself. It has bytes, then, or no end.
                let id = self.push(Shape::Null, Some(1))?;
                self.known.insert(key, Ok(id));
                match self.resolve_record(writer, written, reader, wanted) {
                    Ok((record, weight)) => {
                        self.shapes[id] = Shape::Record(record);
                        self.weights[id] = weight;
                    }
                    Err(error) => {
                        self.known.insert(key, Err(error.clone()));
                        if !std::ptr::eq(writer.schema, reader.schema) {
                            // Others that were resolved meanwhile may hold it.
                            let alone = self.alone(writer)?;
                            self.shapes[id] = Shape::Refused(alone);
                            self.weights[id] = self.weights[alone];
                        }
                        return Err(error);
                    }
                }
                Ok(id)
            }
            (Schema::Enum(written), Schema::Enum(wanted)) if matches(written, wanted) => {
                self.push(Shape::Enum(symbols(written, wanted)), None)
            }
            (Schema::Array(written), Schema::Array(wanted)) => {
                let items = self.resolve_items(writer.of(&written.items)?, reader.of(&wanted.items)?)?;
                self.push(Shape::Array(items), None)
            }
            (Schema::Map(written), Schema::Map(wanted)) => {
                let items = self.resolve_items(writer.of(&written.types)?, reader.of(&wanted.types)?)?;
                self.push(Shape::Map(Items { weight: 0, ..items }), None)
            }
            (Schema::Null, Schema::Null) => self.push(Shape::Null, Some(1)),
            _ => match scalar(writer, reader) {
                Some(scalar) => {
                    let weight = if let Scalar::Fixed(0, _) = scalar { Some(1) } else { None };
                    self.push(Shape::Scalar(scalar), weight)
                }
                None => Err(format!("{} cannot be read as {}", shown(writer.schema), shown(reader.schema))),
            },
        }
    }

    fn resolve_union(&mut self, writer: Side<'_>, written: &UnionSchema, reader: Side<'_>) -> Result<Id, String> {
        let mut branches = Vec::with_capacity(written.variants().len());
        let mut refused = None;
        let mut usable = false;
        for branch in written.variants() {
            let branch = writer.of(branch)?;
            branches.push(match self.resolve(branch, reader) {
                Ok(id) => {
                    usable = true;
                    id
                }
                Err(error) => {
                    refused.get_or_insert(error);
                    let id = self.alone(branch)?;
                    self.push(Shape::Refused(id), self.weights[id])?
                }
            });
        }
        match refused {
            Some(error) if !usable => Err(error),
            _ => self.push(Shape::Union(branches.into()), None),
        }
    }

    /// The branch of a reader's union that data of one type is read as.
    fn choose_branch(&mut self, writer: Side<'_>, reader: Side<'_>, wanted: &UnionSchema) -> Result<Id, String> {
        for likeness in [Likeness::Same, Likeness::SameKind, Likeness::Promoted] {
            for branch in wanted.variants() {
                let branch = reader.of(branch)?;
                if Likeness::of(writer.schema, branch.schema) == likeness
                    && let Ok(id) = self.resolve(writer, branch)
                {
                    return Ok(id);
                }
            }
        }
        Err(format!("{} is no branch of the reader's union", shown(writer.schema)))
    }

    fn resolve_items(&mut self, writer: Side<'_>, reader: Side<'_>) -> Result<Items, String> {
        let shape = self.resolve(writer, reader)?;
        Ok(Items { shape, weight: self.weights[shape].unwrap_or(0) })
    }

    fn resolve_record(
        &mut self,
        writer: Side<'_>,
        written: &RecordSchema,
        reader: Side<'_>,
        wanted: &RecordSchema,
    ) -> Result<(Record, Option<u32>), String> {
        // Per field that was written: the reader's field that it fills.
        let mut fills = vec![None; written.fields.len()];
        let written_as = |name: &String| written.fields.iter().position(|field| field.name == *name);
        let mut missing = Vec::new();
        for (place, field) in wanted.fields.iter().enumerate() {
            match written_as(&field.name) {
                Some(found) => fills[found] = Some(place),
                None => missing.push((place, field)),
            }
        }
        // A name outranks an alias.
        missing.retain(|(place, field)| {
            let found = field.aliases.iter().filter_map(written_as).find(|found| fills[*found].is_none());
            found.map(|found| fills[found] = Some(*place)).is_none()
        });
        let within = |name: &str, error: String| format!("field {name} of {}: {error}", wanted.name);
        let mut weight = Some(1_u32);
        let mut fields = Vec::with_capacity(fills.len());
        for (field, fills) in written.fields.iter().zip(fills) {
            let from = writer.of(&field.schema)?;
            let (name, shape) = match fills {
                None => (None, self.alone(from)),
                Some(place) => {
                    let field = &wanted.fields[place];
                    (Some(field.name.as_str()), self.resolve(from, reader.of(&field.schema)?))
                }
            };
            let shape = shape.map_err(|error| within(&field.name, error))?;
            weight = weight.zip(self.weights[shape]).map(|(sum, part)| sum.saturating_add(part));
            fields.push(Field { name: name.map(Box::from), shape });
        }
        let mut defaults = Vec::with_capacity(missing.len());
        for (_, field) in missing {
            let side = reader.of(&field.schema)?;
            let Some(default) = &field.default else {
                return Err(within(&field.name, "the writer has none, and there is no default".to_owned()));
            };
            let bytes = defaults::encode(default, side.schema, side.named).map_err(|e| within(&field.name, e))?;
            let shape = self.alone(side).map_err(|error| within(&field.name, error))?;
            let work = 1 + u32::try_from(bytes.len() / DEFAULT_BYTES_PER_WORK).unwrap_or(u32::MAX - 1);
            weight = weight.map(|sum| sum.saturating_add(work));
            defaults.push(Default { name: field.name.as_str().into(), shape, bytes: bytes.into() });
        }
        if weight.is_some_and(|weight| weight > BYTELESS_MAX) {
            return Err(format!("a value without bytes has more than {BYTELESS_MAX} parts"));
        }
        let decimal = match reader.meaning() {
            Some(Meaning::VariableDecimal) if defaults.is_empty() => self.decimal_order(&fields),
            _ => None,
        };
        Ok((Record { fields: fields.into(), defaults: defaults.into(), decimal }, weight))
    }

    /// Whether these are the fields of a decimal with a scale of its own.
    fn decimal_order(&self, fields: &[Field]) -> Option<DecimalOrder> {
        let [first, second] = fields else { return None };
        let is_scale = |field: &Field| {
            field.name.as_deref() == Some("scale")
                && matches!(self.shapes[field.shape], Shape::Scalar(Scalar::Int(Whole::Number)))
        };
        let is_value = |field: &Field| {
            field.name.as_deref() == Some("value")
                && matches!(self.shapes[field.shape], Shape::Scalar(Scalar::Sized(Blob::Bytes)))
        };
        match () {
            () if is_scale(first) && is_value(second) => Some(DecimalOrder::ScaleFirst),
            () if is_value(first) && is_scale(second) => Some(DecimalOrder::ValueFirst),
            () => None,
        }
    }
}

/// How well a type suits one that is wanted; whether it does in full is known when both were resolved.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Likeness {
    /// The same type, by its full name where it has one.
    Same,
    /// The same kind of type: its short name or an alias may suit.
    SameKind,
    Promoted,
}

impl Likeness {
    fn of(writer: &Schema, reader: &Schema) -> Self {
        match (name_of(writer), name_of(reader)) {
            (Some(written), Some(wanted)) if written == wanted => Self::Same,
            (Some(_), Some(_)) => Self::SameKind,
            (None, None) if primitive_name(writer) == primitive_name(reader) => Self::Same,
            _ => Self::Promoted,
        }
    }
}

/// A type that has a name, and as a reader's others by which its writers may have known it.
trait HasName {
    fn name(&self) -> &Name;
    fn aliases(&self) -> &[apache_avro::schema::Alias];
}

macro_rules! has_name {
    ($($schema:ty),*) => {$(
        impl HasName for $schema {
            fn name(&self) -> &Name {
                &self.name
            }

            fn aliases(&self) -> &[apache_avro::schema::Alias] {
                self.aliases.as_deref().unwrap_or_default()
            }
        }
    )*};
}

has_name!(RecordSchema, EnumSchema, FixedSchema);

/// Whether the names match: the short ones, or a full one and an alias.
fn matches<S: HasName>(written: &S, wanted: &S) -> bool {
    let full = written.name().fullname(None);
    written.name().name() == wanted.name().name()
        || wanted.aliases().iter().any(|alias| alias.fullname(wanted.name().namespace()) == full)
}

/// What each symbol of the writer's is to the reader.
fn symbols(written: &EnumSchema, wanted: &EnumSchema) -> Box<[Option<Symbol>]> {
    let find = |name: &String| wanted.symbols.iter().position(|symbol| symbol == name);
    let default = wanted.default.as_ref().and_then(find);
    let symbol =
        |place: usize| Some(Symbol { name: wanted.symbols[place].as_str().into(), number: i32::try_from(place).ok()? });
    written.symbols.iter().map(|name| find(name).or(default).and_then(symbol)).collect()
}

/// What the bytes of a scalar are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wire {
    Boolean,
    Int,
    Long,
    Float,
    Double,
    Bytes,
    Text,
    Fixed(usize),
}

/// What they mean beyond that.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Logical {
    None,
    Date,
    TimeOfDay(u8),
    Timestamp(u8),
    LocalTimestamp(u8),
    Decimal {
        scale: u32,
    },
    BigDecimal,
    Uuid,
    Duration,
    /// Only by Connect's names; so are the next.
    Year,
    Bits,
    Text(TextMeaning),
}

fn wire(schema: &Schema) -> Option<(Wire, Logical)> {
    Some(match schema {
        Schema::Boolean => (Wire::Boolean, Logical::None),
        Schema::Int => (Wire::Int, Logical::None),
        Schema::Long => (Wire::Long, Logical::None),
        Schema::Float => (Wire::Float, Logical::None),
        Schema::Double => (Wire::Double, Logical::None),
        Schema::Bytes => (Wire::Bytes, Logical::None),
        Schema::String => (Wire::Text, Logical::None),
        Schema::Fixed(fixed) => (Wire::Fixed(fixed.size), Logical::None),
        Schema::Date => (Wire::Int, Logical::Date),
        Schema::TimeMillis => (Wire::Int, Logical::TimeOfDay(3)),
        Schema::TimeMicros => (Wire::Long, Logical::TimeOfDay(6)),
        Schema::TimestampMillis => (Wire::Long, Logical::Timestamp(3)),
        Schema::TimestampMicros => (Wire::Long, Logical::Timestamp(6)),
        Schema::TimestampNanos => (Wire::Long, Logical::Timestamp(9)),
        Schema::LocalTimestampMillis => (Wire::Long, Logical::LocalTimestamp(3)),
        Schema::LocalTimestampMicros => (Wire::Long, Logical::LocalTimestamp(6)),
        Schema::LocalTimestampNanos => (Wire::Long, Logical::LocalTimestamp(9)),
        Schema::Decimal(DecimalSchema { scale, inner, .. }) => {
            let wire = match inner {
                InnerDecimalSchema::Bytes => Wire::Bytes,
                InnerDecimalSchema::Fixed(fixed) => Wire::Fixed(fixed.size),
            };
            (wire, Logical::Decimal { scale: u32::try_from(*scale).ok()? })
        }
        Schema::BigDecimal => (Wire::Bytes, Logical::BigDecimal),
        Schema::Uuid(UuidSchema::String) => (Wire::Text, Logical::Uuid),
        Schema::Uuid(UuidSchema::Fixed(fixed)) => (Wire::Fixed(fixed.size), Logical::Uuid),
        // The specification has no UUID of bytes, and what it has not is to be ignored.
        Schema::Uuid(UuidSchema::Bytes) => (Wire::Bytes, Logical::None),
        Schema::Duration(fixed) => (Wire::Fixed(fixed.size), Logical::Duration),
        _ => return None,
    })
}

impl Logical {
    /// What Connect's name says, where there is no logical type.
    fn or_named(self, meaning: Option<Meaning>) -> Self {
        match (self, meaning) {
            (Self::None, Some(meaning)) => match meaning {
                Meaning::Date => Self::Date,
                Meaning::TimeOfDay(precision) => Self::TimeOfDay(precision),
                Meaning::Timestamp(precision) => Self::Timestamp(precision),
                Meaning::Year => Self::Year,
                Meaning::Decimal { scale } => Self::Decimal { scale },
                Meaning::Bits => Self::Bits,
                Meaning::Uuid => Self::Uuid,
                Meaning::Zoned => Self::Text(TextMeaning::Zoned),
                Meaning::Json => Self::Text(TextMeaning::Json),
                Meaning::Set => Self::Text(TextMeaning::Set),
                Meaning::VariableDecimal => Self::None,
            },
            (logical, _) => logical,
        }
    }
}

/// A scalar as another one, where that is the same or a promotion.
fn scalar(writer: Side<'_>, reader: Side<'_>) -> Option<Scalar> {
    let (from, written) = wire(writer.schema)?;
    let (to, wanted) = wire(reader.schema)?;
    let named = wanted.or_named(reader.meaning());
    let written = if std::ptr::eq(writer.schema, reader.schema) { named } else { written };
    let wanted = named;
    let (writer, reader) = (writer.schema, reader.schema);
    if wanted != Logical::None && written != Logical::None && written != wanted {
        return None;
    }
    if let (Some(written), Some(wanted)) = (fixed_of(writer), fixed_of(reader))
        && !matches(written, wanted)
    {
        return None;
    }
    let whole = |promoted| {
        Some(match (to, wanted) {
            (_, Logical::Date) => Whole::Date,
            (_, Logical::Year) => Whole::Year,
            (_, Logical::TimeOfDay(precision)) => Whole::TimeOfDay(precision),
            (_, Logical::Timestamp(precision)) => Whole::Timestamp(precision),
            (_, Logical::LocalTimestamp(precision)) => Whole::LocalTimestamp(precision),
            (Wire::Int | Wire::Long, _) => Whole::Number,
            (Wire::Float, _) if promoted => Whole::Float,
            (Wire::Double, _) if promoted => Whole::Double,
            _ => return None,
        })
    };
    let blob = match (wanted, to) {
        (Logical::Decimal { scale }, _) => Blob::Decimal { scale },
        (Logical::BigDecimal, _) => Blob::BigDecimal,
        (Logical::Uuid, _) if matches!(from, Wire::Fixed(_)) => Blob::Uuid,
        (Logical::Uuid, _) => Blob::UuidText,
        (Logical::Duration, _) => Blob::Duration,
        (Logical::Text(meaning), _) => Blob::Meant(meaning),
        (Logical::Bits, _) => Blob::Bits,
        (_, Wire::Text) => Blob::Text,
        _ => Blob::Bytes,
    };
    match (from, to) {
        (Wire::Boolean, Wire::Boolean) => Some(Scalar::Boolean),
        (Wire::Int, Wire::Int | Wire::Long | Wire::Float | Wire::Double) => whole(true).map(Scalar::Int),
        (Wire::Long, Wire::Long | Wire::Float | Wire::Double) => whole(true).map(Scalar::Long),
        (Wire::Float, Wire::Float) => Some(Scalar::Float),
        (Wire::Float, Wire::Double) => Some(Scalar::FloatAsDouble),
        (Wire::Double, Wire::Double) => Some(Scalar::Double),
        (Wire::Bytes | Wire::Text, Wire::Bytes | Wire::Text) => Some(Scalar::Sized(blob)),
        (Wire::Fixed(size), Wire::Fixed(wanted)) if size == wanted => Some(Scalar::Fixed(size, blob)),
        // One meaning in two forms.
        (Wire::Fixed(size), _) if written == wanted && written != Logical::None => Some(Scalar::Fixed(size, blob)),
        (Wire::Bytes | Wire::Text, Wire::Fixed(_)) if written == wanted && written != Logical::None => {
            Some(Scalar::Sized(blob))
        }
        _ => None,
    }
}

/// A type, for people.
fn shown(schema: &Schema) -> String {
    match name_of(schema) {
        Some(name) => format!("{} {name}", if fixed_of(schema).is_some() { "fixed" } else { primitive_name(schema) }),
        None => primitive_name(schema).to_owned(),
    }
}
