//! Shapes, the columns that want their values, and the types of these columns: to one plan.
//!
//! Everything that is the same for all records is decided here: which field goes where, which field of a tuple it is, what
//! never fits.

use super::resolve::resolve;
use super::schema::{AvroSchema, Defaults, Parsed};
use super::shape::{Blob, DecimalOrder, Id, Items, Record, Scalar, Shape, Whole};
use crate::columns::{ColumnType, RowPlan, TupleField};
use crate::decode::target::Target;

/// Pieces of a plan: a type with many unions inside each other has the product of their branches.
const PIECES_MAX: usize = 100_000;

/// How the records of one schema become rows.
#[derive(Debug)]
pub(crate) struct AvroPlan {
    pub(super) shapes: Vec<Shape>,
    pub(super) root: Place,
    /// CRC-64-AVRO of the writer's schema.
    pub(crate) fingerprint: u64,
}

/// What becomes of a value.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) shape: Id,
    /// The columns that take it as a whole.
    pub(super) columns: Box<[Column]>,
    pub(super) parts: Parts,
    /// It is the row in a change event.
    pub(super) is_image: bool,
}

/// What becomes of the parts of a value.
#[derive(Debug)]
pub(super) enum Parts {
    /// Nothing.
    None,
    /// Columns want fields of a record that is no record.
    NoFields,
    /// These columns want parts of a value that has none.
    Lacking(Box<[usize]>),
    /// A document of MongoDB, as a text.
    Document(Target),
    Record(RecordPlan),
    /// By their keys.
    Map(Box<[(Box<str>, Place)]>, Id),
    /// By their numbers.
    Array(Box<[(usize, Place)]>, Items),
    Union(Box<[Place]>),
}

/// A record's fields in the order in which they were written, and those that only the reader has.
#[derive(Debug)]
pub(super) struct RecordPlan {
    pub(super) fields: Box<[FieldPlan]>,
    pub(super) defaults: Box<[(FieldPlan, Box<[u8]>)]>,
}

/// What becomes of a field.
#[derive(Debug)]
pub(super) struct FieldPlan {
    pub(super) taken: Taken,
    pub(super) shape: Id,
    /// `None` where it was written and is not to be read.
    pub(super) name: Option<Box<str>>,
}

/// Who takes a value.
#[derive(Debug)]
pub(super) enum Taken {
    Nobody,
    /// One column, as a whole.
    Column(Column),
    Place(Box<Place>),
}

/// A column, and how a value becomes one of its values.
#[derive(Debug)]
pub(super) struct Column {
    pub(super) number: usize,
    pub(super) accepts_null: bool,
    pub(super) fit: Fit,
}

/// How a value becomes one of a type of columns.
#[derive(Debug)]
pub(super) enum Fit {
    Null,
    Quick(Quick),
    Scalar(Scalar),
    /// A symbol of this enum.
    Symbol(Id),
    Union(Box<[Fit]>),
    /// As JSON.
    Text(Id),
    /// A record as a tuple with names.
    Tuple(TupleFit),
    /// A record as a map of its fields.
    Pairs(PairsFit),
    /// A record as the decimal that it is.
    VariableDecimal(DecimalOrder),
    /// A list.
    Array(Box<Fit>, Items),
    /// A list as a tuple without names: so many, each with a type of its own.
    Sequence(Box<[Fit]>, Items),
    Map(Box<Fit>),
    /// A list of which a column of a flattened Nested takes a field of each element.
    FieldOfEach(Box<Fit>, Items),
    /// What a map has under a key.
    Key(Box<str>, Box<Fit>, Items),
    /// It never fits.
    Refused,
}

/// Where a value goes inside of another, by number or name, and how it fits there.
type Member<N> = Option<(N, Fit)>;
/// The same of a field that the writer lacks, with the reader's default in Avro.
type Absent<N> = (N, Fit, Box<[u8]>);

/// The usual types, and columns that are just what they are: a value goes there without any detour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Quick {
    Boolean,
    /// Into an integer of up to 64 bits; so is the next.
    Int,
    Long,
    Float,
    Double,
    Text,
    Bytes,
    /// A text into a dictionary.
    Word,
    /// A time in the column's own unit, of which a second has `10^precision`.
    Ticks(u8),
}

/// Which field of a tuple each field of a record is.
#[derive(Debug)]
pub(super) struct TupleFit {
    /// In the order in which they were written; those of no field are passed over.
    pub(super) fields: Box<[(Id, Member<usize>)]>,
    pub(super) defaults: Box<[Absent<usize>]>,
    /// Fields of the tuple that the record does not have.
    pub(super) absent: Box<[usize]>,
}

/// The fields of a record as entries of a map.
#[derive(Debug)]
pub(super) struct PairsFit {
    /// In the order in which they were written; without a name those that are not to be read.
    pub(super) fields: Box<[(Id, Member<Box<str>>)]>,
    pub(super) defaults: Box<[Absent<Box<str>>]>,
}

impl AvroPlan {
    /// The plan for data that was written with `writer`, and is read as `reader` where there is one, into the columns of `row`
    /// that `target` names.
    ///
    /// # Errors
    /// Says, for people, why a schema cannot be used, or not be read as the reader's.
    pub(crate) fn compile(
        writer: &AvroSchema,
        reader: Option<&AvroSchema>,
        row: &RowPlan,
        target: &Target,
    ) -> Result<Self, String> {
        let parsed = Parsed::new(writer, Defaults::Dropped).map_err(|e| format!("the schema cannot be used: {e}"))?;
        let named = parsed.named().map_err(|error| format!("the schema cannot be used: {error}"))?;
        let fingerprint = named.fingerprint().map_err(|error| format!("the schema cannot be used: {error}"))?;
        let (shapes, root) = match reader {
            None => resolve(&named, &named).map_err(|error| format!("the schema cannot be used: {error}"))?,
            Some(reader) => {
                let of_reader = |error| format!("the reader's schema cannot be used: {error}");
                let parsed = Parsed::new(reader, Defaults::Kept).map_err(of_reader)?;
                let reader = parsed.named().map_err(of_reader)?;
                resolve(&named, &reader).map_err(|e| format!("the schema cannot be read as the reader's: {e}"))?
            }
        };
        let mut compiler = Compiler { shapes: &shapes, row, pieces: 0 };
        let root = compiler.root(root, target)?;
        Ok(Self { shapes, root, fingerprint })
    }
}

struct Compiler<'s> {
    shapes: &'s [Shape],
    row: &'s RowPlan,
    pieces: usize,
}

impl Compiler<'_> {
    fn count(&mut self) -> Result<(), String> {
        self.pieces += 1;
        if self.pieces > PIECES_MAX {
            return Err(format!("schema and columns together have more than {PIECES_MAX} pieces"));
        }
        Ok(())
    }

    fn root(&mut self, shape: Id, target: &Target) -> Result<Place, String> {
        let place = self.place(shape, target, true, true)?;
        if let Parts::NoFields = place.parts {
            return Err("the schema has no fields, and columns are filled from fields".to_owned());
        }
        Ok(place)
    }

    /// What becomes of a value; without `whole`, the columns that take all of it are left to somebody else.
    fn place(&mut self, shape: Id, target: &Target, is_root: bool, whole: bool) -> Result<Place, String> {
        self.count()?;
        let columns = if whole { target.columns.as_slice() } else { &[] };
        let mut columns = columns.iter().map(|column| self.column(shape, *column)).collect::<Result<Vec<_>, _>>()?;
        if let Shape::Array(items) = &self.shapes[shape] {
            for (field, column) in &target.nested {
                columns.push(self.nested_column(*items, field, *column)?);
            }
        }
        let parts = match &self.shapes[shape] {
            Shape::Union(branches) if is_root || target.has_children() => {
                let places = branches.iter().map(|branch| self.place(*branch, target, is_root, false));
                Parts::Union(places.collect::<Result<_, _>>()?)
            }
            // What becomes of each of its fields has to be said, also where no column wants one.
            Shape::Record(record) if is_root || !target.fields.is_empty() => {
                let mut fields = Vec::with_capacity(record.fields.len());
                for field in &record.fields {
                    fields.push(self.field(field.shape, field.name.as_deref(), target)?);
                }
                let mut defaults = Vec::with_capacity(record.defaults.len());
                for field in &record.defaults {
                    let plan = self.field(field.shape, Some(&field.name), target)?;
                    defaults.push((plan, field.bytes.clone()));
                }
                Parts::Record(RecordPlan { fields: fields.into(), defaults: defaults.into() })
            }
            Shape::Map(items) if is_root || !target.fields.is_empty() => {
                let place = |(name, child): &(String, Target)| {
                    Ok((name.as_str().into(), self.place(items.shape, child, false, true)?))
                };
                Parts::Map(target.fields.iter().map(place).collect::<Result<_, String>>()?, items.shape)
            }
            Shape::Array(items) if !target.elements.is_empty() => {
                let place =
                    |(number, child): &(usize, Target)| Ok((*number, self.place(items.shape, child, false, true)?));
                Parts::Array(target.elements.iter().map(place).collect::<Result<_, String>>()?, *items)
            }
            _ if is_root && !target.fields.is_empty() => Parts::NoFields,
            Shape::Null => Parts::None,
            Shape::Scalar(Scalar::Sized(Blob::Text | Blob::Meant(_))) if target.is_document => {
                Parts::Document(target.clone())
            }
            other if target.has_children() => {
                let parts = target.part_columns(matches!(other, Shape::Array(_)));
                if parts.is_empty() { Parts::None } else { Parts::Lacking(parts.into()) }
            }
            _ => Parts::None,
        };
        let is_image = target.is_image && !matches!(parts, Parts::Union(_));
        Ok(Place { shape, columns: columns.into(), parts, is_image })
    }

    fn field(&mut self, shape: Id, name: Option<&str>, target: &Target) -> Result<FieldPlan, String> {
        let taken = match name.and_then(|name| target.field(name)) {
            None => Taken::Nobody,
            Some(target) => match target.columns.as_slice() {
                [column] if !target.has_children() => Taken::Column(self.column(shape, *column)?),
                _ => Taken::Place(Box::new(self.place(shape, target, false, true)?)),
            },
        };
        Ok(FieldPlan { taken, shape, name: name.map(Box::from) })
    }

    fn column(&mut self, shape: Id, number: usize) -> Result<Column, String> {
        let column_type = &self.row.columns()[number].column_type;
        Ok(Column { number, accepts_null: column_type.accepts_null(), fit: self.fit(shape, column_type)? })
    }

    /// A column of a flattened Nested, which takes a field of all elements of a list.
    fn nested_column(&mut self, items: Items, field: &str, number: usize) -> Result<Column, String> {
        let ColumnType::Array(inner) = &self.row.columns()[number].column_type else {
            unreachable!("columns of a Nested are lists");
        };
        let wanted = TupleField { name: Some(field.to_owned()), field_type: inner.as_ref().clone() };
        let fit = Fit::FieldOfEach(Box::new(self.element_fit(items.shape, &wanted)?), items);
        Ok(Column { number, accepts_null: false, fit })
    }

    /// How an element of a list gives one field.
    fn element_fit(&mut self, shape: Id, wanted: &TupleField) -> Result<Fit, String> {
        self.count()?;
        Ok(match &self.shapes[shape] {
            Shape::Null => Fit::Null,
            Shape::Record(_) => Fit::Tuple(self.tuple(shape, std::slice::from_ref(wanted))?),
            Shape::Map(items) => {
                let fit = Box::new(self.fit(items.shape, &wanted.field_type)?);
                Fit::Key(wanted.name.as_deref().unwrap_or_default().into(), fit, *items)
            }
            Shape::Union(branches) => {
                let fits = branches.iter().map(|branch| self.element_fit(*branch, wanted));
                Fit::Union(fits.collect::<Result<_, _>>()?)
            }
            Shape::Scalar(_) | Shape::Enum(_) | Shape::Array(_) | Shape::Refused(_) => Fit::Refused,
        })
    }

    /// As deep as the type of the column.
    fn fit(&mut self, shape: Id, column_type: &ColumnType) -> Result<Fit, String> {
        self.count()?;
        Ok(match (&self.shapes[shape], column_type) {
            (Shape::Null, _) => Fit::Null,
            (Shape::Union(branches), _) => {
                let fits = branches.iter().map(|branch| self.fit(*branch, column_type));
                Fit::Union(fits.collect::<Result<_, _>>()?)
            }
            // A text as it stands, also where it is no UUID or whatever else it should be.
            (Shape::Scalar(Scalar::Sized(Blob::UuidText | Blob::Meant(_))), text) if holds_text(text) => {
                let text = Scalar::Sized(Blob::Text);
                quick(text, column_type).map_or(Fit::Scalar(text), Fit::Quick)
            }
            (Shape::Scalar(scalar), _) => quick(*scalar, column_type).map_or(Fit::Scalar(*scalar), Fit::Quick),
            (Shape::Enum(_), _) => Fit::Symbol(shape),
            (Shape::Record(Record { decimal: Some(order), .. }), other)
                if !matches!(other, ColumnType::Tuple(_) | ColumnType::Map(..)) =>
            {
                Fit::VariableDecimal(*order)
            }
            (Shape::Record(_) | Shape::Array(_) | Shape::Map(_), text) if holds_text(text) => Fit::Text(shape),
            (
                Shape::Record(_) | Shape::Array(_) | Shape::Map(_),
                ColumnType::Json | ColumnType::Variant(_) | ColumnType::Dynamic,
            ) => Fit::Text(shape),
            (Shape::Record(_), ColumnType::Tuple(fields)) if fields.iter().all(|field| field.name.is_some()) => {
                Fit::Tuple(self.tuple(shape, fields)?)
            }
            (Shape::Record(_), ColumnType::Map(_, value)) => Fit::Pairs(self.pairs(shape, value)?),
            (Shape::Array(items), ColumnType::Array(inner)) => {
                Fit::Array(Box::new(self.fit(items.shape, inner)?), *items)
            }
            (Shape::Array(items), ColumnType::Tuple(fields)) if fields.iter().all(|field| field.name.is_none()) => {
                let fits = fields.iter().map(|field| self.fit(items.shape, &field.field_type));
                Fit::Sequence(fits.collect::<Result<_, _>>()?, *items)
            }
            (Shape::Map(items), ColumnType::Map(_, value)) => Fit::Map(Box::new(self.fit(items.shape, value)?)),
            (Shape::Record(_) | Shape::Array(_) | Shape::Map(_) | Shape::Refused(_), _) => Fit::Refused,
        })
    }

    fn tuple(&mut self, shape: Id, wanted: &[TupleField]) -> Result<TupleFit, String> {
        let Shape::Record(record) = &self.shapes[shape] else {
            unreachable!("a record was matched");
        };
        let place = |name: &str| wanted.iter().position(|field| field.name.as_deref() == Some(name));
        let mut absent: Vec<usize> = (0..wanted.len()).collect();
        let mut fields = Vec::with_capacity(record.fields.len());
        for field in &record.fields {
            let fit = match field.name.as_deref().and_then(place) {
                None => None,
                Some(place) => {
                    absent.retain(|absent| *absent != place);
                    Some((place, self.fit(field.shape, &wanted[place].field_type)?))
                }
            };
            fields.push((field.shape, fit));
        }
        let mut defaults = Vec::new();
        for field in &record.defaults {
            if let Some(place) = place(&field.name) {
                absent.retain(|absent| *absent != place);
                defaults.push((place, self.fit(field.shape, &wanted[place].field_type)?, field.bytes.clone()));
            }
        }
        Ok(TupleFit { fields: fields.into(), defaults: defaults.into(), absent: absent.into() })
    }

    fn pairs(&mut self, shape: Id, value: &ColumnType) -> Result<PairsFit, String> {
        let Shape::Record(record) = &self.shapes[shape] else {
            unreachable!("a record was matched");
        };
        let mut fields = Vec::with_capacity(record.fields.len());
        for field in &record.fields {
            let fit = match &field.name {
                None => None,
                Some(name) => Some((name.clone(), self.fit(field.shape, value)?)),
            };
            fields.push((field.shape, fit));
        }
        let mut defaults = Vec::with_capacity(record.defaults.len());
        for field in &record.defaults {
            defaults.push((field.name.clone(), self.fit(field.shape, value)?, field.bytes.clone()));
        }
        Ok(PairsFit { fields: fields.into(), defaults: defaults.into() })
    }
}

fn quick(scalar: Scalar, column_type: &ColumnType) -> Option<Quick> {
    use ColumnType::{Int8, Int16, Int32, Int64, UInt8, UInt16, UInt32, UInt64};
    let column_type = match column_type {
        ColumnType::Nullable(inner) => inner,
        ColumnType::LowCardinality(_) if scalar == Scalar::Sized(Blob::Text) && holds_text(column_type) => {
            return Some(Quick::Word);
        }
        other => other,
    };
    Some(match (scalar, column_type) {
        (Scalar::Boolean, ColumnType::Bool) => Quick::Boolean,
        (Scalar::Int(Whole::Number), Int8 | Int16 | Int32 | Int64 | UInt8 | UInt16 | UInt32 | UInt64) => Quick::Int,
        (Scalar::Long(Whole::Number), Int8 | Int16 | Int32 | Int64 | UInt8 | UInt16 | UInt32 | UInt64) => Quick::Long,
        (Scalar::Float, ColumnType::Float32) => Quick::Float,
        (Scalar::Double, ColumnType::Float64) => Quick::Double,
        (Scalar::Sized(Blob::Text), ColumnType::String) => Quick::Text,
        (Scalar::Sized(Blob::Bytes), ColumnType::String) => Quick::Bytes,
        (Scalar::Long(Whole::Timestamp(unit)), ColumnType::DateTime64 { precision, .. }) if unit == *precision => {
            Quick::Ticks(unit)
        }
        _ => return None,
    })
}

/// Whether a column takes any text as it is.
fn holds_text(column_type: &ColumnType) -> bool {
    match column_type {
        ColumnType::String => true,
        ColumnType::Nullable(inner) | ColumnType::LowCardinality(inner) => holds_text(inner),
        _ => false,
    }
}
