//! The columns of a target table, and what each is filled from, as a plan.
//!
//! Takes the table as the server describes it and the mapping of the configuration. Gives everything that does not fit, at
//! once, each with what to do.

use crate::clickhouse::{Column, ConstantDefault, ControlError, Coordinates, DefaultKind, Session, Table};
use crate::columns::{
    Carried, Changes, ColumnSpec, ColumnType, CoordinateKind, CoordinateSpec, DefaultValue, OnError, Path, RowPlan,
    Source, UnknownFields,
};
use crate::config::{ColumnMapping, ColumnSource, Envelope, Format, Mapping, Tombstones, Unknown};
use crate::pipeline::lane_setup::LaneError;
use crate::pipeline::server_values::ServerValues;

/// The target's columns as a plan, and what only the server can make.
pub async fn row_plan(
    session: &Session,
    table: &Table,
    coordinates: &Coordinates,
    mapping: &Mapping,
    format: &Format,
) -> Result<(RowPlan, ServerValues), LaneError> {
    let mut unfit = Vec::new();
    let mut data = Vec::new();
    let kinds = coordinate_kinds(coordinates);
    let is_coordinate = |name: &str| kinds.iter().any(|(_, known)| *known == name);
    check_names(table, mapping, &is_coordinate, &mut unfit);
    for column in &table.columns {
        let mapped = mapping.columns.get(&column.name).map(|mapped| &mapped.value);
        let left_out = mapped.is_some_and(|mapped| mapped.from == ColumnSource::Nothing);
        if !column.is_insertable() || is_coordinate(&column.name) || left_out {
            continue;
        }
        let spec = match ColumnSpec::new(&column.name, &column.kind, DefaultValue::TypeZero) {
            Ok(spec) => Ok(ColumnSpec { default: default_of(session, column, &spec).await?, ..spec }),
            // Nothing of it is stored: what reads it gets what the server makes of a row without it.
            Err(_) if column.default_kind == DefaultKind::Ephemeral && mapped.is_none() => continue,
            Err(error) => Err(error.to_string()),
        };
        match spec.and_then(|spec| mapped_spec(spec, mapped, mapping)) {
            Ok(spec) => data.push(spec),
            Err(error) => unfit.push(format!("column {} of {}: {error}", column.name, table.name)),
        }
    }
    if *format == Format::Raw {
        fill_from_bytes(table, &mut data);
    }
    let unknown_fields = unknown_fields(mapping, &mut data);
    if let Some(deleted) = &mapping.deleted
        && let Some(spec) = data.iter_mut().find(|spec| spec.name == deleted.value)
    {
        spec.source = Source::Deleted;
        spec.aliases.clear();
    }
    let mut places = Vec::new();
    for (kind, name) in kinds {
        match table.column(name).map(|column| CoordinateSpec::new(kind, name, &column.kind)) {
            Some(Ok(spec)) => places.push(spec),
            Some(Err(error)) => unfit.push(format!("coordinate column {name} of {}: {error}", table.name)),
            None => unfit.push(format!(
                "table {} has no column {name}; ALTER TABLE {} ADD COLUMN `{name}` {}",
                table.name,
                table.name.quoted(),
                coordinate_type(kind),
            )),
        }
    }
    if !unfit.is_empty() {
        return Err(LaneError::Unfit(unfit));
    }
    let zone = session.time_zone();
    let plan = RowPlan::new(data, places, zone).map_err(|error| LaneError::Unfit(vec![error.to_string()]))?;
    let (server_values, unfit) = ServerValues::of(table, &plan);
    if !unfit.is_empty() {
        return Err(LaneError::Unfit(unfit));
    }
    let (deletes_by_key, replaces_nothing) = deletions(table, &plan);
    let changes = Changes {
        carried: carried(mapping.envelope),
        envelope: mapping.envelope == Envelope::Debezium,
        tombstone_rows: mapping.tombstones == Tombstones::Row,
        deletes_by_key,
        replaces_nothing,
    };
    let plan = plan.with_unknown_fields(unknown_fields).with_changes(changes);
    Ok((plan.with_unavailable(mapping.unavailable.clone()), server_values))
}

/// What the sorting key says of deletions: whether keys fill it and values do not, and whether records fill none of it.
/// A column that the server computes counts as one that values fill.
fn deletions(table: &Table, plan: &RowPlan) -> (bool, bool) {
    let (mut by_key, mut by_value) = (false, false);
    for column in table.columns.iter().filter(|column| names(&table.sorting_key, &column.name)) {
        match plan.columns().iter().find(|spec| spec.name == column.name).map(|spec| &spec.source) {
            Some(Source::Key(_)) => by_key = true,
            Some(Source::Header(_) | Source::Timestamp | Source::Topic | Source::Partition | Source::Offset) => {}
            Some(_) => by_value = true,
            None => by_value |= !plan.coordinates().iter().any(|spec| spec.name == column.name),
        }
    }
    (by_key && !by_value, !by_key && !by_value)
}

/// Whether an expression names a column. One whose name the server quotes is looked for anywhere.
fn names(expression: &str, column: &str) -> bool {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if column.chars().all(is_part) {
        expression.split(|c| !is_part(c)).any(|word| word == column)
    } else {
        expression.contains(column)
    }
}

/// Whether a schema travels along in records with this envelope.
pub(super) fn carried(envelope: Envelope) -> Carried {
    match envelope {
        Envelope::None => Carried::Never,
        Envelope::Debezium => Carried::Maybe,
        Envelope::Connect => Carried::Always,
    }
}

/// What a row gets that lacks the column.
async fn default_of(session: &Session, column: &Column, spec: &ColumnSpec) -> Result<DefaultValue, ControlError> {
    if !column.has_expression() {
        return Ok(DefaultValue::TypeZero);
    }
    // What the server makes of JSON has no bytes of its own here.
    if spec.column_type.is_made_from_json() {
        return Ok(DefaultValue::ServerSide);
    }
    Ok(match column.constant_default(session).await? {
        ConstantDefault::Value(value) => DefaultValue::Constant(value),
        ConstantDefault::NotConstant => DefaultValue::ServerSide,
    })
}

/// Bytes that are not looked into go to the one column that nothing else fills: one that is stored before one that is not.
fn fill_from_bytes(table: &Table, data: &mut [ColumnSpec]) {
    let is_stored = |name: &str| table.column(name).is_some_and(|column| column.default_kind != DefaultKind::Ephemeral);
    for stored in [true, false] {
        let unfilled = |spec: &&mut ColumnSpec| spec.source == Source::field(&spec.name);
        let mut unfilled = data.iter_mut().filter(|spec| is_stored(&spec.name) == stored).filter(unfilled);
        match (unfilled.next(), unfilled.next()) {
            (Some(only), None) => {
                only.source = Source::Value(Path::default());
                only.aliases.clear();
                return;
            }
            (Some(_), Some(_)) => return,
            (None, _) => {}
        }
    }
}

/// Columns that the mapping names must be there and be free.
fn check_names(table: &Table, mapping: &Mapping, is_coordinate: &impl Fn(&str) -> bool, unfit: &mut Vec<String>) {
    let mut named: Vec<_> = mapping.columns.iter().map(|(name, mapped)| (name, &mapped.location)).collect();
    if let Unknown::Column(column) = &mapping.unknown_fields {
        named.push((&column.value, &column.location));
    }
    named.extend(mapping.deleted.iter().map(|deleted| (&deleted.value, &deleted.location)));
    for (name, location) in named {
        let why = match table.column(name) {
            None => "the table has no such column",
            Some(_) if is_coordinate(name) => "it is one of the `coordinates`, which are filled by themselves",
            Some(column) if !column.is_insertable() => "the server computes it",
            Some(_) => continue,
        };
        unfit.push(format!("{location}: column {name} of {}: {why}", table.name));
    }
}

fn mapped_spec(spec: ColumnSpec, mapped: Option<&ColumnMapping>, mapping: &Mapping) -> Result<ColumnSpec, String> {
    let Some(ColumnMapping { from, on_error, parse }) = mapped else {
        return Ok(named_spec(spec, mapping));
    };
    if *on_error == OnError::Null && !spec.column_type.accepts_null() {
        return Err(format!("`on_error: null`, but its type is {}; make it Nullable({0})", spec.type_text));
    }
    if parse.is_some() && !spec.column_type.holds_times() {
        return Err(format!(
            "`parse` says what a number means in a column of times, but its type is {}",
            spec.type_text
        ));
    }
    let spec = match from {
        ColumnSource::Source(source) => in_payload(spec.from_source(source.clone()), mapping),
        ColumnSource::Name | ColumnSource::Nothing => named_spec(spec, mapping),
    };
    Ok(ColumnSpec { on_error: *on_error, time_unit: *parse, ..spec })
}

/// A column that is filled by name: its own, or the same in the style of the records.
fn named_spec(spec: ColumnSpec, mapping: &Mapping) -> ColumnSpec {
    let mut aliases: Vec<Source> =
        mapping.field_names.map(|style| Source::field(style.of(&spec.name))).into_iter().collect();
    // A column `n.a` of a flattened Nested takes the field `a` of the field `n` as well.
    if let Some((outer, inner)) = spec.name.split_once('.')
        && matches!(spec.column_type, ColumnType::Array(_))
    {
        aliases.push(Source::Value(Path::of_fields([outer, inner])));
    }
    aliases.retain(|alias| *alias != spec.source);
    let named = ColumnSpec { aliases, ..spec };
    if mapping.envelope == Envelope::Debezium { in_envelope(named) } else { named }
}

/// The same column of a change event: below `after`, which may be below `payload`.
fn in_envelope(spec: ColumnSpec) -> ColumnSpec {
    let names: Vec<Path> = std::iter::once(&spec.source).chain(&spec.aliases).filter_map(value_path).collect();
    let below = |outer: &[&str], path: &Path| {
        let steps = Path::of_fields(outer.iter().copied()).0;
        Source::Value(Path(steps.into_iter().chain(path.0.iter().cloned()).collect()))
    };
    let mut places: Vec<Source> = names.iter().map(|path| below(&["after"], path)).collect();
    places.extend(names.iter().map(|path| below(&["payload", "after"], path)));
    let aliases = places.split_off(1);
    ColumnSpec { source: places.remove(0), aliases, ..spec }
}

/// The same column of an event that may be below `payload`, beside its schema.
fn in_payload(spec: ColumnSpec, mapping: &Mapping) -> ColumnSpec {
    let path = match &spec.source {
        Source::Value(path) if mapping.envelope == Envelope::Debezium => path,
        _ => return spec,
    };
    let payload = Path::of_fields(["payload"]).0;
    // All of the record is all of it, and what is below `payload` is nowhere else.
    if path.0.is_empty() || path.0.starts_with(&payload) {
        return spec;
    }
    let below = Source::Value(Path(payload.into_iter().chain(path.0.iter().cloned()).collect()));
    ColumnSpec { aliases: vec![below], ..spec }
}

fn value_path(source: &Source) -> Option<Path> {
    match source {
        Source::Value(path) => Some(path.clone()),
        _ => None,
    }
}

/// The column that keeps what no other takes is not filled from a field of its own.
fn unknown_fields(mapping: &Mapping, data: &mut [ColumnSpec]) -> UnknownFields {
    match &mapping.unknown_fields {
        Unknown::Ignore => UnknownFields::Ignore,
        Unknown::DeadLetter => UnknownFields::DeadLetter,
        Unknown::Column(column) => {
            let Some(place) = data.iter().position(|spec| spec.name == column.value) else {
                return UnknownFields::Ignore;
            };
            data[place].source = Source::UnknownFields;
            data[place].aliases.clear();
            UnknownFields::Collect(place)
        }
    }
}

fn coordinate_kinds(coordinates: &Coordinates) -> Vec<(CoordinateKind, &str)> {
    let mut kinds = vec![
        (CoordinateKind::Topic, coordinates.topic.as_str()),
        (CoordinateKind::Partition, coordinates.partition.as_str()),
        (CoordinateKind::Offset, coordinates.offset.as_str()),
    ];
    kinds.extend(coordinates.row.as_deref().map(|row| (CoordinateKind::Row, row)));
    kinds.extend(coordinates.replay.as_deref().map(|replay| (CoordinateKind::Replay, replay)));
    kinds
}

fn coordinate_type(kind: CoordinateKind) -> &'static str {
    match kind {
        CoordinateKind::Topic => "LowCardinality(String)",
        CoordinateKind::Partition => "Int32",
        CoordinateKind::Offset => "UInt64",
        CoordinateKind::Row | CoordinateKind::Replay => "UInt32",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sorting_key_says_whether_a_key_says_which_row_was_deleted() {
        let check = |sorting_key: &str, expected: (bool, bool)| {
            let sources = [("id", "$key.id"), ("at", "$.after.at"), ("my col", "$.after.x"), ("site", "$headers.site")];
            let spec = |(name, source): (&str, &str)| {
                let spec = ColumnSpec::new(name, "String", DefaultValue::TypeZero).unwrap();
                spec.from_source(Source::parse(source).unwrap())
            };
            let offset = CoordinateSpec::new(CoordinateKind::Offset, "_offset", "UInt64").unwrap();
            let plan = RowPlan::new(sources.map(spec).into(), vec![offset], "UTC").unwrap();
            let column = |name: &str| Column {
                name: name.to_owned(),
                kind: "String".to_owned(),
                default_kind: DefaultKind::None,
                default_expression: String::new(),
            };
            let table = Table {
                name: crate::clickhouse::TableName::new("d", "t"),
                uuid: uuid::Uuid::nil(),
                structure: crate::clickhouse::Structure(0),
                engine: "ReplacingMergeTree".to_owned(),
                engine_full: String::new(),
                columns: ["id", "at", "my col", "site", "day", "_offset"].map(column).into(),
                partition_key: String::new(),
                sorting_key: sorting_key.to_owned(),
                indexes: Vec::new(),
                dependents: Vec::new(),
            };
            assert_eq!(deletions(&table, &plan), expected, "{sorting_key}");
        };
        check("id", (true, false));
        check("lower(id), site, _offset", (true, false));
        check("cityHash64(`id`)", (true, false));
        check("id, lower(at)", (false, false));
        check("id, at", (false, false));
        check("id, `my col`", (false, false));
        // The server makes it of what the value says.
        check("day, id", (false, false));
        check("ident", (false, true));
        check("_offset", (false, true));
        check("", (false, true));
    }
}
