//! What a row of the target table is made of.

use std::collections::HashSet;

use super::builder::ColumnBuilder;
use super::constant::append_row_binary;
use super::conversion::Conversion;
use super::source::{OnError, Path, Source, Step, TimeUnit, UnknownFields};
use super::type_parser;
use super::types::{ColumnType, UnsupportedType};

/// What a record that lacks a field gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DefaultValue {
    /// The type's own default: zero, empty, the smallest value of an enum, or NULL.
    TypeZero,
    /// A value that the server was asked for once, as `RowBinary` has it.
    Constant(Vec<u8>),
    /// An expression that only the server can evaluate: the row gets a placeholder, and the block
    /// a presence column that says which rows have one.
    ServerSide,
}

#[cfg(test)]
impl DefaultValue {
    /// A constant of a type, from JSON.
    pub(crate) fn of_json(type_text: &str, json: &str) -> Self {
        let column_type = ColumnType::parse(type_text).expect("the type is known");
        let mut column = ColumnBuilder::new(&column_type, "UTC").expect("the zone is known");
        crate::decode::append_json_text(json, &mut column).expect("the value is one of the type");
        let mut bytes = Vec::new();
        super::row_bytes::append_value(&column, &mut bytes);
        Self::Constant(bytes)
    }
}

/// One column that is filled from records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnSpec {
    /// Column name.
    pub name: String,
    /// What it is filled from: unless configured, the field of its name.
    pub source: Source,
    /// Other places that it may be filled from, for records that lack the first: names in another case.
    pub aliases: Vec<Source>,
    /// What happens when a value does not fit.
    pub on_error: OnError,
    /// What a number means, in a column of times; by its size where nothing is said.
    pub time_unit: Option<TimeUnit>,
    /// Its type.
    pub column_type: ColumnType,
    /// Its type as the server wrote it, sent back in the block's header.
    pub type_text: String,
    /// Where the block's header has another type, which, and what the server makes of it.
    pub conversion: Option<Conversion>,
    /// What a row gets whose record lacks the field.
    pub default: DefaultValue,
}

impl ColumnSpec {
    /// A column from the server's name and type text.
    ///
    /// # Errors
    /// Where the sink cannot write the type.
    pub fn new(
        name: impl Into<String>,
        type_text: impl Into<String>,
        default: DefaultValue,
    ) -> Result<Self, UnsupportedType> {
        let (name, type_text) = (name.into(), type_text.into());
        let parsed = type_parser::parse(&type_text)?;
        let conversion = parsed.body_type.map(|body| Conversion::new(&name, &parsed.column_type, &type_text, body));
        Ok(Self {
            source: Source::field(&name),
            aliases: Vec::new(),
            on_error: OnError::default(),
            time_unit: None,
            column_type: parsed.column_type,
            conversion,
            name,
            type_text,
            default,
        })
    }

    /// The Nested that the column is a part of and the field that it takes of it, where `path` says just that: of a column
    /// `n.a` the path `n`, `a`.
    pub(crate) fn nested_field<'p>(&self, path: &'p Path) -> Option<(Path, &'p str)> {
        let (Some((outer, inner)), ColumnType::Array(_)) = (self.name.split_once('.'), &self.column_type) else {
            return None;
        };
        match path.0.as_slice() {
            [above @ .., Step::Field(n), Step::Field(field)] if n == outer && field == inner => {
                let steps = above.iter().cloned().chain([Step::Field(n.clone())]);
                Some((Path(steps.collect()), field))
            }
            _ => None,
        }
    }

    /// Its type in a block.
    pub(crate) fn body_type(&self) -> &str {
        self.conversion.as_ref().map_or(&self.type_text, |conversion| &conversion.body_type)
    }

    /// The same column, filled from elsewhere.
    #[must_use]
    pub fn from_source(self, source: Source) -> Self {
        Self { source, ..self }
    }

    /// The same column with another answer to values that do not fit.
    #[must_use]
    pub fn on_error(self, on_error: OnError) -> Self {
        Self { on_error, ..self }
    }
}

/// Which part of a record's coordinates a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CoordinateKind {
    /// Topic name.
    Topic,
    /// Partition number.
    Partition,
    /// Offset within the partition.
    Offset,
    /// Which row of its record.
    Row,
    /// How often the topic was consumed anew on purpose.
    Replay,
}

impl CoordinateKind {
    /// Whether every value of this coordinate fits the type.
    fn fits(self, column_type: &ColumnType) -> bool {
        use ColumnType::{Int32, Int64, LowCardinality, String, UInt32, UInt64};
        match (self, column_type) {
            (Self::Topic, String) => true,
            (Self::Topic, LowCardinality(inner)) => matches!(inner.as_ref(), String),
            (Self::Partition, Int32 | Int64 | UInt32 | UInt64) => true,
            (Self::Offset, Int64 | UInt64) => true,
            (Self::Row, Int32 | Int64 | UInt32 | UInt64) => true,
            (Self::Replay, Int64 | UInt32 | UInt64) => true,
            _ => false,
        }
    }

    fn types(self) -> &'static str {
        match self {
            Self::Topic => "String or LowCardinality(String)",
            Self::Partition => "Int32, UInt32, Int64 or UInt64",
            Self::Offset => "Int64 or UInt64",
            Self::Row => "UInt32, UInt64, Int32 or Int64",
            Self::Replay => "UInt32, Int64 or UInt64",
        }
    }
}

/// One column that is filled from a record's coordinates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CoordinateSpec {
    /// Which coordinate.
    pub kind: CoordinateKind,
    /// Column name.
    pub name: String,
    /// Its type.
    pub column_type: ColumnType,
    /// Its type as the server wrote it.
    pub type_text: String,
}

impl CoordinateSpec {
    /// A coordinate column from the server's name and type text.
    ///
    /// # Errors
    /// Where the sink cannot write the type.
    pub fn new(
        kind: CoordinateKind,
        name: impl Into<String>,
        type_text: impl Into<String>,
    ) -> Result<Self, UnsupportedType> {
        let type_text = type_text.into();
        Ok(Self { kind, name: name.into(), column_type: ColumnType::parse(&type_text)?, type_text })
    }
}

/// Why columns cannot be made into a plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// A type names a zone that the time-zone database lacks.
    #[error("time zone {0} is unknown")]
    UnknownTimeZone(String),
    /// Two columns of one name.
    #[error("column {0} is named twice")]
    DuplicateColumn(String),
    /// A coordinate column that cannot hold every coordinate.
    #[error("coordinate column {name} is {type_text}: it must be {wanted}")]
    CoordinateType {
        /// Column name.
        name: String,
        /// Its type.
        type_text: String,
        /// The types that fit.
        wanted: &'static str,
    },
    /// A constant default that is not a value of its column.
    #[error("default of column {name} is not a value of {type_text}: {} bytes", .bytes.len())]
    Constant {
        /// Column name.
        name: String,
        /// Its type.
        type_text: String,
        /// The value.
        bytes: Vec<u8>,
    },
}

/// How a missing field is filled, made ready.
#[derive(Debug)]
pub(crate) enum Filler {
    TypeZero,
    /// A list in a flattened Nested: as many defaults as the lists beside it have elements.
    Nested,
    /// A column of one row: the constant.
    Constant(ColumnBuilder),
    /// Which presence column says so.
    ServerSide(usize),
}

/// A presence column beside a column whose default only the server can evaluate.
#[derive(Debug)]
pub(crate) struct PresenceSpec {
    pub(crate) name: String,
    /// Index of the data column.
    pub(crate) column: usize,
}

/// The columns of a target table in the order of the block: data, coordinates, presence flags.
/// Immutable and shared by the decoder and all blocks of a table.
#[derive(Debug)]
pub struct RowPlan {
    pub(crate) columns: Vec<ColumnSpec>,
    pub(crate) coordinates: Vec<CoordinateSpec>,
    pub(crate) server_zone: String,
    pub(crate) fillers: Vec<Filler>,
    pub(crate) presences: Vec<PresenceSpec>,
    /// For each [`Filler::Nested`] its column, and the columns beside it.
    pub(crate) nested: Vec<(usize, Vec<usize>)>,
    pub(crate) unknown_fields: UnknownFields,
    /// Names of fields that are not reported, though no column takes them.
    pub(crate) overlooked: HashSet<String>,
    pub(crate) changes: Changes,
    /// What stands for values that the source did not send.
    unavailable: Option<String>,
}

/// Whether Kafka Connect's schema travels along in records of JSON, beside a `payload`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Carried {
    /// It does not.
    #[default]
    Never,
    /// It may: values are read as they are, and by what it says. Keys that have one are what is below their `payload`.
    Maybe,
    /// It does, and the row is what is below `payload`. Keys as before.
    Always,
}

/// What is around the row in a record, and which records say that something was deleted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Changes {
    /// Whether a schema travels along.
    pub carried: Carried,
    /// Records are change events in Debezium's envelope.
    pub envelope: bool,
    /// Records without a value make a row.
    pub tombstone_rows: bool,
    /// The table's sorting key is filled from keys, and nothing of it from values: a key says which row a deletion is about.
    pub deletes_by_key: bool,
    /// Nothing in the table's sorting key comes from records: no row takes the place of another.
    pub replaces_nothing: bool,
}

/// The lists of flattened Nested columns that have no default of their own, each with the lists beside it. The server
/// refuses rows where their lengths differ.
fn nested(columns: &[ColumnSpec]) -> Vec<(usize, Vec<usize>)> {
    let part_of = |spec: &ColumnSpec| match (spec.name.split_once('.'), &spec.column_type) {
        (Some((outer, _)), ColumnType::Array(_)) => Some(outer.to_owned()),
        _ => None,
    };
    let parts: Vec<Option<String>> = columns.iter().map(part_of).collect();
    let beside = |place: usize| -> Vec<usize> {
        (0..parts.len()).filter(|other| *other != place && parts[*other] == parts[place]).collect()
    };
    let without_default = |place: &usize| parts[*place].is_some() && columns[*place].default == DefaultValue::TypeZero;
    let lists = (0..parts.len()).filter(without_default).map(|place| (place, beside(place)));
    lists.filter(|(_, beside)| !beside.is_empty()).collect()
}

impl RowPlan {
    /// Checks the columns against each other. `server_zone` is the server's time zone
    /// (`SELECT timezone()`), used where a type names none.
    ///
    /// # Errors
    /// Says which column does not fit and why.
    pub fn new(
        columns: Vec<ColumnSpec>,
        coordinates: Vec<CoordinateSpec>,
        server_zone: &str,
    ) -> Result<Self, PlanError> {
        let names = columns.iter().map(|spec| &spec.name);
        let mut taken = HashSet::new();
        for name in names.chain(coordinates.iter().map(|spec| &spec.name)) {
            if !taken.insert(name.clone()) {
                return Err(PlanError::DuplicateColumn(name.clone()));
            }
        }
        for spec in &coordinates {
            if !spec.kind.fits(&spec.column_type) {
                return Err(PlanError::CoordinateType {
                    name: spec.name.clone(),
                    type_text: spec.type_text.clone(),
                    wanted: spec.kind.types(),
                });
            }
        }
        let nested = nested(&columns);
        let mut fillers = Vec::with_capacity(columns.len());
        let mut presences = Vec::new();
        for (column, spec) in columns.iter().enumerate() {
            let mut builder = ColumnBuilder::new(&spec.column_type, server_zone)?;
            fillers.push(match &spec.default {
                DefaultValue::TypeZero if nested.iter().any(|(place, _)| *place == column) => Filler::Nested,
                DefaultValue::TypeZero => Filler::TypeZero,
                DefaultValue::Constant(bytes) => {
                    append_row_binary(&mut builder, bytes).ok_or_else(|| PlanError::Constant {
                        name: spec.name.clone(),
                        type_text: spec.type_text.clone(),
                        bytes: bytes.clone(),
                    })?;
                    Filler::Constant(builder)
                }
                DefaultValue::ServerSide => {
                    let mut name = format!("_has_{}", spec.name);
                    while !taken.insert(name.clone()) {
                        name.insert(0, '_');
                    }
                    presences.push(PresenceSpec { name, column });
                    Filler::ServerSide(presences.len() - 1)
                }
            });
        }
        let unknown_fields = UnknownFields::default();
        let changes = Changes::default();
        Ok(Self {
            columns,
            coordinates,
            server_zone: server_zone.to_owned(),
            fillers,
            presences,
            nested,
            unknown_fields,
            overlooked: HashSet::new(),
            changes,
            unavailable: None,
        })
    }

    /// The same plan for records that say what was deleted.
    #[must_use]
    pub fn with_changes(self, changes: Changes) -> Self {
        Self { changes, ..self }
    }

    /// The same plan for records where this text stands for values that the source did not send.
    #[must_use]
    pub fn with_unavailable(self, placeholder: Option<String>) -> Self {
        Self { unavailable: placeholder, ..self }
    }

    /// The text that stands for values that the source did not send.
    pub fn unavailable(&self) -> Option<&str> {
        self.unavailable.as_deref()
    }

    /// The same plan with another answer to fields that no column takes.
    #[must_use]
    pub fn with_unknown_fields(self, unknown_fields: UnknownFields) -> Self {
        Self { unknown_fields, ..self }
    }

    /// The same plan for records that are given back where they have fields that no column takes, but for fields of these
    /// names.
    #[must_use]
    pub fn reporting_unknown_fields(self, overlooked: HashSet<String>) -> Self {
        Self { unknown_fields: UnknownFields::Report, overlooked, ..self }
    }

    /// Which records say that something was deleted.
    pub fn changes(&self) -> Changes {
        self.changes
    }

    /// The columns filled from records.
    pub fn columns(&self) -> &[ColumnSpec] {
        &self.columns
    }

    /// The columns filled from coordinates.
    pub fn coordinates(&self) -> &[CoordinateSpec] {
        &self.coordinates
    }

    /// The columns that are marked where a row lacks them, each with the name of its mark in the block.
    pub fn presences(&self) -> impl Iterator<Item = (&str, &str)> {
        self.presences.iter().map(|presence| (self.columns[presence.column].name.as_str(), presence.name.as_str()))
    }

    /// Index of a data column, as [`super::Columns::last_value`] takes it.
    pub fn column_index(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|spec| spec.name == name)
    }
}
