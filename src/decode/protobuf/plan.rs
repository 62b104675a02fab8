//! What becomes of the fields of a message: its type and the columns' types, brought together once.
//!
//! Takes a message's descriptor and the tree of columns, gives a [`ProtobufPlan`] that any number of readers share. All that
//! depends on names and types is settled here: a record costs a table look-up for each field.

use prost_reflect::MessageDescriptor;

use super::shape::{Field, Kind, Label, Shapes, WellKnown};
use crate::columns::{ColumnBuilder, RowPlan, TupleColumn};
use crate::decode::json::append_json;
use crate::decode::target::Target;
use crate::decode::typed::append_typed;

/// How the records of one message type become rows of one table.
#[derive(Debug)]
pub(crate) struct ProtobufPlan {
    pub(super) shapes: Shapes,
    /// The columns that take the record as a whole.
    pub(super) root_columns: Vec<(usize, Fill)>,
    /// The record itself, as if it were a field of another message.
    pub(super) root_field: Field,
    pub(super) root: Node,
}

/// What becomes of the fields of a message.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) message: usize,
    /// By field.
    pub(super) uses: Box<[Use]>,
    pub(super) takers: Box<[Taker]>,
    /// Columns that have a value also where the message lacks the field: field, column and how.
    pub(super) always: Box<[(usize, usize, Fill)]>,
}

/// What a field is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    Nothing,
    /// Its coming takes another field of its oneof away.
    Rival,
    /// The one scalar of one column that nothing else fills.
    Column(usize),
    /// The taker of this number.
    Taker(usize),
}

/// What becomes of the value at a place.
#[derive(Debug)]
pub(super) struct Taker {
    /// The columns that take it as a whole.
    pub(super) columns: Vec<(usize, Fill)>,
    pub(super) inside: Inside,
    /// It is the row in a change event.
    pub(super) is_image: bool,
}

/// Columns that take parts of a value.
#[derive(Debug)]
pub(super) enum Inside {
    Nothing,
    Message(Node),
    /// Of a list: by the element's number.
    Elements(Vec<(usize, Taker)>),
    /// Of a map: by the key.
    Entries(Vec<(MapKey, Taker)>),
    /// Of a value that only the record gives a shape, or of a list of such: as of JSON.
    Json {
        target: Target,
        whole: bool,
    },
    /// A document of MongoDB, as a text.
    Document(Target),
    /// These columns want parts of a value that has none.
    Lacking(Box<[usize]>),
}

/// A key of a map that a path names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum MapKey {
    Text(String),
    /// The bits of an integer or a boolean.
    Bits(u64),
}

impl MapKey {
    /// `None` where the map can have no such key.
    fn parse(text: &str, kind: Kind) -> Option<Self> {
        match kind {
            Kind::String => Some(Self::Text(text.to_owned())),
            Kind::Bool => text.parse().ok().map(|value: bool| Self::Bits(value.into())),
            Kind::UInt32 | Kind::UInt64 | Kind::Fixed32 | Kind::Fixed64 => text.parse().ok().map(Self::Bits),
            _ => text.parse().ok().map(|value: i64| Self::Bits(value.cast_unsigned())),
        }
    }
}

/// How a value gets into a column.
#[derive(Debug, Clone)]
pub(super) enum Fill {
    /// A scalar, by `append_typed`.
    Scalar,
    Timestamp,
    Duration,
    Decimal,
    /// The one field of this message, or its zero.
    Wrapper(usize),
    /// The paths of a mask, as one text.
    Mask,
    /// As JSON text: of one value, or of the whole list or map.
    Json {
        whole: bool,
    },
    /// A value that only the record gives a shape, as JSON is taken.
    Dynamic,
    /// A list into an array.
    List(Box<Fill>),
    /// A list into a tuple without names, which it is as long as.
    Places(Box<[Fill]>),
    /// A map into a map; the entries are messages of this number.
    Entries(usize, Box<Fill>),
    /// A message into a tuple.
    Tuple(Box<TupleFill>),
    /// A list of messages, of which a column of a flattened Nested takes a field of each.
    FieldOfEach(Box<TupleFill>),
    /// A message into a map, by the names of its fields.
    Members(usize, Box<[Fill]>),
}

/// A message into a tuple with names.
#[derive(Debug, Clone)]
pub(super) struct TupleFill {
    pub(super) message: usize,
    /// Sorted by field.
    pub(super) fields: Box<[TupleField]>,
    /// Places that no field is for.
    pub(super) others: Box<[usize]>,
    /// By field: whether it is to be looked at.
    pub(super) wanted: Box<[bool]>,
}

/// A field into a field of a tuple.
#[derive(Debug, Clone)]
pub(super) struct TupleField {
    pub(super) slot: usize,
    pub(super) place: usize,
    pub(super) fill: Fill,
    /// Whether a message that lacks the field has a value for it.
    pub(super) always: bool,
}

impl ProtobufPlan {
    /// A plan for records of this message.
    ///
    /// # Errors
    /// Says why there can be none.
    pub(crate) fn compile(message: &MessageDescriptor, plan: &RowPlan, target: &Target) -> Result<Self, String> {
        let shapes = Shapes::compile(message)?;
        let columns = plan.columns().iter().map(|spec| ColumnBuilder::new(&spec.column_type, &plan.server_zone));
        let columns = columns.collect::<Result<_, _>>().map_err(|error| error.to_string())?;
        let mut compiler = Compiler { shapes: &shapes, columns, fed: vec![0; plan.columns().len()] };
        compiler.count(target);
        let root_field = Field::of_message(0);
        let root_columns = compiler.fills(&root_field, Label::One, target);
        let root = compiler.node(0, target);
        Ok(Self { root_columns, root_field, root, shapes })
    }
}

struct Compiler<'a> {
    shapes: &'a Shapes,
    /// Empty columns, whose types are looked at.
    columns: Vec<ColumnBuilder>,
    /// By column: from how many places it is filled.
    fed: Vec<usize>,
}

impl Compiler<'_> {
    fn count(&mut self, target: &Target) {
        for column in &target.columns {
            self.fed[*column] += 1;
        }
        target.fields.iter().for_each(|(_, child)| self.count(child));
        target.elements.iter().for_each(|(_, child)| self.count(child));
    }

    /// How the value at a place gets into the columns that take it as a whole.
    fn fills(&mut self, field: &Field, label: Label, target: &Target) -> Vec<(usize, Fill)> {
        let mut fills: Vec<(usize, Fill)> = Vec::new();
        for column in &target.columns {
            if !fills.iter().any(|(known, _)| known == column) {
                fills.push((*column, fill(self.shapes, field, label, &mut self.columns[*column])));
            }
        }
        fills
    }

    fn node(&mut self, message: usize, target: &Target) -> Node {
        let shapes = self.shapes;
        let shape = &shapes.messages[message];
        // A field may be called by either of its names.
        let mut merged: Vec<(usize, Target)> = Vec::new();
        for (name, child) in &target.fields {
            let Some(slot) = shape.named(name) else { continue };
            match merged.iter_mut().find(|(known, _)| *known == slot) {
                Some((_, known)) => merge(known, child),
                None => merged.push((slot, child.clone())),
            }
        }
        let mut uses = vec![Use::Nothing; shape.fields.len()];
        let (mut takers, mut always) = (Vec::new(), Vec::new());
        for (slot, target) in &merged {
            let field = &shape.fields[*slot];
            let taker = self.taker(field, field.label, target);
            for (column, fill) in &taker.columns {
                if has_value_when_absent(shapes, field, fill, &mut self.columns[*column]) {
                    always.push((*slot, *column, fill.clone()));
                }
            }
            uses[*slot] = match taker.columns.as_slice() {
                [(column, Fill::Scalar)] if self.is_direct(field, *column, target) => Use::Column(*column),
                _ => {
                    takers.push(taker);
                    Use::Taker(takers.len() - 1)
                }
            };
        }
        for (slot, field) in shape.fields.iter().enumerate() {
            let is_rival = |(other, _): &(usize, Target)| shape.fields[*other].oneof == field.oneof;
            if uses[slot] == Use::Nothing && field.oneof.is_some() && merged.iter().any(is_rival) {
                uses[slot] = Use::Rival;
            }
        }
        Node { message, uses: uses.into(), takers: takers.into(), always: always.into() }
    }

    /// Whether the last value of the field is that of the column, whatever else the record holds.
    fn is_direct(&self, field: &Field, column: usize, target: &Target) -> bool {
        let alone = self.fed[column] == target.columns.iter().filter(|own| **own == column).count();
        field.label == Label::One && field.oneof.is_none() && !field.closed && alone
    }

    fn taker(&mut self, field: &Field, label: Label, target: &Target) -> Taker {
        let mut columns = self.fills(field, label, target);
        let shapes = self.shapes;
        let well_known = match field.kind {
            Kind::Message(message) => shapes.messages[message].well_known,
            _ => None,
        };
        let inside = match (label, field.kind) {
            (Label::Many, Kind::Message(message))
                if well_known.is_none() && !(target.nested.is_empty() && target.elements.is_empty()) =>
            {
                for (name, column) in &target.nested {
                    if let ColumnBuilder::Array(array) = &mut self.columns[*column] {
                        let wanted = std::iter::once((Some(name.as_str()), array.values.as_mut()));
                        columns.push((*column, Fill::FieldOfEach(Box::new(fill_fields(shapes, message, wanted)))));
                    }
                }
                Inside::Elements(self.element_takers(field, target))
            }
            (Label::Many, _) if !target.nested.is_empty() => {
                columns.clear();
                Inside::Json { target: target.clone(), whole: true }
            }
            (Label::Many, _) if !target.elements.is_empty() => Inside::Elements(self.element_takers(field, target)),
            (Label::Map(entry), _) if !target.fields.is_empty() => {
                let [key, value] = shapes.entry(entry);
                let mut taker = |(text, child): &(String, Target)| {
                    Some((MapKey::parse(text, key.kind)?, self.taker(value, value.label, child)))
                };
                Inside::Entries(target.fields.iter().filter_map(&mut taker).collect())
            }
            (Label::One, Kind::Message(_)) if is_dynamic(well_known) => {
                columns.clear();
                Inside::Json { target: target.clone(), whole: false }
            }
            (Label::One, Kind::Message(message)) if !target.fields.is_empty() => {
                Inside::Message(self.node(message, target))
            }
            (Label::One, Kind::String) if target.is_document => Inside::Document(target.clone()),
            _ => {
                let parts = target.part_columns(label == Label::Many);
                if parts.is_empty() { Inside::Nothing } else { Inside::Lacking(parts.into()) }
            }
        };
        Taker { columns, inside, is_image: target.is_image }
    }

    fn element_takers(&mut self, field: &Field, target: &Target) -> Vec<(usize, Taker)> {
        let mut taker = |(number, child): &(usize, Target)| (*number, self.taker(field, Label::One, child));
        target.elements.iter().map(&mut taker).collect()
    }
}

/// How a field gets into a column. As deep as the column's type is.
fn fill(shapes: &Shapes, field: &Field, label: Label, column: &mut ColumnBuilder) -> Fill {
    match (label, column) {
        (Label::One, column) => fill_one(shapes, field, column),
        (Label::Many, ColumnBuilder::Array(array)) => Fill::List(Box::new(fill_one(shapes, field, &mut array.values))),
        (Label::Many, ColumnBuilder::Tuple(tuple)) if tuple.names.iter().any(Option::is_none) => {
            Fill::Places(tuple.fields.iter_mut().map(|column| fill_one(shapes, field, column)).collect())
        }
        (Label::Map(entry), ColumnBuilder::Map(map)) => {
            let [_, value] = shapes.entry(entry);
            Fill::Entries(entry, Box::new(fill_one(shapes, value, &mut map.values)))
        }
        (Label::Many | Label::Map(_), _) => Fill::Json { whole: true },
    }
}

fn fill_one(shapes: &Shapes, field: &Field, column: &mut ColumnBuilder) -> Fill {
    let Kind::Message(message) = field.kind else {
        return Fill::Scalar;
    };
    let shape = &shapes.messages[message];
    match (shape.well_known, column) {
        (Some(WellKnown::Value | WellKnown::Struct | WellKnown::ListValue), _) => Fill::Dynamic,
        (_, ColumnBuilder::Tuple(tuple)) if tuple.names.iter().all(Option::is_some) => {
            Fill::Tuple(Box::new(fill_tuple(shapes, message, tuple)))
        }
        (_, ColumnBuilder::Map(map)) => {
            let fill = |field: &Field| fill(shapes, field, field.label, &mut map.values);
            Fill::Members(message, shape.fields.iter().map(fill).collect())
        }
        (Some(WellKnown::Timestamp), _) => Fill::Timestamp,
        (Some(WellKnown::Duration), _) => Fill::Duration,
        (Some(WellKnown::Decimal), _) => Fill::Decimal,
        (Some(WellKnown::Wrapper), _) => Fill::Wrapper(message),
        (Some(WellKnown::FieldMask), _) => Fill::Mask,
        (Some(WellKnown::Any) | None, _) => Fill::Json { whole: false },
    }
}

fn fill_tuple(shapes: &Shapes, message: usize, tuple: &mut TupleColumn) -> TupleFill {
    fill_fields(shapes, message, tuple.names.iter().map(Option::as_deref).zip(&mut tuple.fields))
}

/// How a message gets into columns, each with the name of its field.
fn fill_fields<'c>(
    shapes: &Shapes,
    message: usize,
    columns: impl Iterator<Item = (Option<&'c str>, &'c mut ColumnBuilder)>,
) -> TupleFill {
    let shape = &shapes.messages[message];
    let (mut fields, mut others) = (Vec::new(), Vec::new());
    for (place, (name, column)) in columns.enumerate() {
        match name.and_then(|name| shape.named(name)) {
            Some(slot) => {
                let field = &shape.fields[slot];
                let fill = fill(shapes, field, field.label, column);
                let always = has_value_when_absent(shapes, field, &fill, column);
                fields.push(TupleField { slot, place, fill, always });
            }
            None => others.push(place),
        }
    }
    fields.sort_by_key(|field| field.slot);
    let is_wanted = |(slot, field): (usize, &Field)| {
        let rivals = |other: &TupleField| field.oneof.is_some() && shape.fields[other.slot].oneof == field.oneof;
        fields.iter().any(|other| other.slot == slot || rivals(other))
    };
    let wanted = shape.fields.iter().enumerate().map(is_wanted).collect();
    TupleFill { message, fields: fields.into(), others: others.into(), wanted }
}

/// Whether a message that lacks the field has a value for it that the column takes: an empty text is no UUID.
fn has_value_when_absent(shapes: &Shapes, field: &Field, fill: &Fill, column: &mut ColumnBuilder) -> bool {
    let fits = field.always
        && match (fill, field.label) {
            (Fill::Scalar, _) => append_typed(field.absent(&shapes.enums), column).is_ok(),
            (Fill::Json { .. }, Label::Many) => append_json(b"[]", column).is_ok(),
            (Fill::Json { .. }, Label::Map(_)) => append_json(b"{}", column).is_ok(),
            (Fill::Places(_), _) => false,
            _ => true,
        };
    column.clear();
    fits
}

fn is_dynamic(well_known: Option<WellKnown>) -> bool {
    matches!(well_known, Some(WellKnown::Struct | WellKnown::Value | WellKnown::ListValue))
}

/// Adds the columns of one place to those of another that has turned out to be the same.
fn merge(known: &mut Target, other: &Target) {
    known.is_image |= other.is_image;
    known.is_document |= other.is_document;
    known.columns.extend(&other.columns);
    known.nested.extend_from_slice(&other.nested);
    for (name, child) in &other.fields {
        match known.fields.iter_mut().find(|(own, _)| own == name) {
            Some((_, own)) => merge(own, child),
            None => known.fields.push((name.clone(), child.clone())),
        }
    }
    for (number, child) in &other.elements {
        match known.elements.iter_mut().find(|(own, _)| own == number) {
            Some((_, own)) => merge(own, child),
            None => known.elements.push((*number, child.clone())),
        }
    }
}
