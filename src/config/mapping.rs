//! Which part of a record goes to which column.
//!
//! Takes the section of a topic, gives [`Mapping`]. Whether the table has the columns is seen when it is read.

use std::collections::BTreeMap;

use super::error::{Located, Problem};
use super::keys;
use super::section::{Found, Section};
use super::tree::NodeKind;
use crate::columns::{OnError, Source, TimeUnit};

/// Which part of a record goes to which column.
#[derive(Debug, Clone, Default)]
pub struct Mapping {
    /// Columns that are not filled from the field of their name.
    pub columns: BTreeMap<String, Located<ColumnMapping>>,
    /// The style in which records write the names of columns. Default none: names are equal.
    pub field_names: Option<NameStyle>,
    /// What happens with fields that no column takes. Default ignored.
    pub unknown_fields: Unknown,
    /// What is around the fields. Default nothing.
    pub envelope: Envelope,
    /// What stands for values that the source did not send, if anything does.
    pub unavailable: Option<String>,
    /// The column that is 1 in rows that say that something was deleted, and 0 in all others. Default none.
    pub deleted: Option<Located<String>>,
    /// What happens with records without a value. Default skipped.
    pub tombstones: Tombstones,
}

/// What is around the fields of a row.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Envelope {
    /// Nothing: the value's fields are the row's.
    #[default]
    None,
    /// Debezium's: `op`, `before` and `after`, alone or as the `payload` beside a schema.
    Debezium,
    /// Kafka Connect's: a schema, and beside it the row as `payload`.
    Connect,
}

/// What happens with records without a value.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Tombstones {
    /// They are skipped and counted.
    #[default]
    Skip,
    /// A row with what the key gives, and 1 in the column `deleted`.
    Row,
}

/// How one column is filled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnMapping {
    /// From where. Default the field of the column's name.
    pub from: ColumnSource,
    /// What happens when a value does not fit. Default a dead letter.
    pub on_error: OnError,
    /// What a number means in a column of times. Default by its size.
    pub parse: Option<TimeUnit>,
}

/// From where a column is filled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ColumnSource {
    /// The field of the column's name.
    Name,
    /// A place that the file names.
    Source(Source),
    /// From nowhere: the table's default.
    Nothing,
}

/// What happens with fields that no column takes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Unknown {
    /// They are dropped.
    #[default]
    Ignore,
    /// The record becomes a dead letter.
    DeadLetter,
    /// They are kept in this column, as one JSON object.
    Column(Located<String>),
}

/// A style of writing names of several words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameStyle {
    /// `deviceId`
    Camel,
    /// `DeviceId`
    Pascal,
    /// `device_id`
    Snake,
    /// `device-id`
    Kebab,
    /// `DEVICE_ID`
    UpperSnake,
}

const STYLES: [(&str, NameStyle); 5] = [
    ("camelCase", NameStyle::Camel),
    ("PascalCase", NameStyle::Pascal),
    ("snake_case", NameStyle::Snake),
    ("kebab-case", NameStyle::Kebab),
    ("UPPER_SNAKE_CASE", NameStyle::UpperSnake),
];

const POLICIES: [(&str, OnError); 4] = [
    ("dead_letter", OnError::DeadLetter),
    ("default", OnError::Default),
    ("null", OnError::Null),
    ("clamp", OnError::Clamp),
];

const UNITS: [(&str, TimeUnit); 4] = [
    ("unix_s", TimeUnit::Seconds),
    ("unix_ms", TimeUnit::Milliseconds),
    ("unix_us", TimeUnit::Microseconds),
    ("unix_ns", TimeUnit::Nanoseconds),
];

impl NameStyle {
    /// The name in this style.
    pub fn of(self, name: &str) -> String {
        let words = words(name);
        let capital = |word: &String| {
            let mut characters = word.chars();
            characters.next().map_or_else(String::new, |first| first.to_uppercase().chain(characters).collect())
        };
        match self {
            Self::Camel => {
                let capitals: String = words.iter().skip(1).map(capital).collect();
                words.first().cloned().unwrap_or_default() + &capitals
            }
            Self::Pascal => words.iter().map(capital).collect(),
            Self::Snake => words.join("_"),
            Self::Kebab => words.join("-"),
            Self::UpperSnake => words.join("_").to_uppercase(),
        }
    }
}

/// The words of a name in any style, in lower case. A word begins at a capital behind a small letter or a digit, and at the
/// last capital of several.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let characters: Vec<char> = name.chars().collect();
    for (at, character) in characters.iter().enumerate() {
        let before = at.checked_sub(1).map(|before| characters[before]);
        let next_is_small = characters.get(at + 1).is_some_and(|next| next.is_lowercase());
        let begins = character.is_uppercase()
            && before.is_some_and(|before| {
                before.is_lowercase() || before.is_ascii_digit() || (before.is_uppercase() && next_is_small)
            });
        if matches!(character, '_' | '-' | ' ' | '.') || begins {
            words.push(String::new());
        }
        if !matches!(character, '_' | '-' | ' ' | '.') {
            let word = words.last_mut().expect("there is always a word");
            word.extend(character.to_lowercase());
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// The default of Debezium's `unavailable.value.placeholder`.
const UNAVAILABLE: &str = "__debezium_unavailable_value";

const ENVELOPES: [(&str, Envelope); 3] =
    [("none", Envelope::None), ("debezium", Envelope::Debezium), ("connect", Envelope::Connect)];

/// What a topic says of its columns; `None` where something is bad.
pub(super) fn read_mapping(topic: &Section<'_>) -> Option<Mapping> {
    let columns = read_columns(topic);
    let field_names = topic.choice("field_names", &STYLES).optional();
    let unknown_fields = read_unknown_fields(topic);
    let here = &topic.location;
    let envelope = topic.choice("envelope", &ENVELOPES);
    let envelope = envelope.or(Envelope::None, here);
    let placeholder =
        topic.value("unavailable_placeholder", "the text of Debezium's `unavailable.value.placeholder`", |text| {
            let empty = Problem::new("is empty", "write the text, or remove the key");
            if text.is_empty() { Err(empty) } else { Ok(text.to_owned()) }
        });
    let placeholder = placeholder.optional();
    let deleted = topic.value("deleted", "the name of a column", parse_any_column).optional();
    let tombstones = topic.choice("tombstones", &[("skip", Tombstones::Skip), ("row", Tombstones::Row)]);
    let tombstones = tombstones.or(Tombstones::Skip, here);
    let (envelope, deleted, tombstones) = (envelope?, deleted?, tombstones?);
    let placeholder = placeholder?.map(|placeholder| placeholder.value);
    let by_envelope = (envelope.value == Envelope::Debezium).then(|| UNAVAILABLE.to_owned());
    if deleted.is_none() {
        let needed = [
            (envelope.value == Envelope::Debezium, "envelope: debezium", &envelope.location),
            (tombstones.value == Tombstones::Row, "tombstones: row", &tombstones.location),
        ];
        for (_, what, location) in needed.into_iter().filter(|(needed, ..)| *needed) {
            let reason = format!("`{what}` needs a column that tells deletions from other rows");
            let fix = "add `deleted: is_deleted`, the second parameter of ReplacingMergeTree(version, is_deleted)";
            topic.report.add(location, reason, fix);
        }
    }
    if let (Envelope::Debezium, Some(entry)) = (envelope.value, topic.entry("unknown_fields")) {
        let reason = "`unknown_fields` is about the fields of the whole value, of which an envelope has its own";
        topic.report.add(&entry.key_location, reason, "remove it, or keep a part by a column such as `rest: $.after`");
    }
    Some(Mapping {
        columns: columns?,
        field_names: field_names?.map(|style| style.value),
        unknown_fields: unknown_fields?,
        envelope: envelope.value,
        unavailable: placeholder.or(by_envelope),
        deleted,
        tombstones: tombstones.value,
    })
}

fn read_unknown_fields(topic: &Section<'_>) -> Option<Unknown> {
    let key = "unknown_fields";
    if let Some(entry) = topic.entry(key)
        && matches!(entry.value.kind, NodeKind::Mapping(_))
    {
        let Found::Value(section) = topic.section(key, keys::UNKNOWN_FIELDS) else { return None };
        let column = section.value.value("column", "the name of a column", parse_any_column);
        let column = section.value.require("column", column, "add `column: ..`")?;
        return Some(Unknown::Column(column));
    }
    let choices = [("ignore", false), ("dead_letter", true)];
    let refused = topic.choice(key, &choices).or(false, &topic.location)?;
    Some(if refused.value { Unknown::DeadLetter } else { Unknown::Ignore })
}

pub(super) fn read_columns(topic: &Section<'_>) -> Option<BTreeMap<String, Located<ColumnMapping>>> {
    let Some(entry) = topic.entry("columns") else { return Some(BTreeMap::new()) };
    let path = topic.path_of("columns");
    let section = Section::open_free(topic.report, &entry.value, &entry.key_location, path)?;
    let mut columns = Some(BTreeMap::new());
    for entry in section.entries() {
        let mapping = match &entry.value.kind {
            NodeKind::Mapping(_) => match section.section(&entry.key, keys::COLUMN) {
                Found::Value(section) => read_column(&section.value),
                Found::Absent | Found::Bad => None,
            },
            _ => section.value(&entry.key, FROM, parse_source).optional().flatten().map(|from| ColumnMapping {
                from: from.value,
                on_error: OnError::default(),
                parse: None,
            }),
        };
        let named = parse_any_column(&entry.key).map_err(|problem| {
            let reason = format!("`{}` {}", section.path_of(&entry.key), problem.reason);
            section.report.add(&entry.key_location, reason, problem.fix);
        });
        columns = match (columns, mapping, named) {
            (Some(mut columns), Some(value), Ok(name)) => {
                columns.insert(name, Located { value, location: entry.key_location.clone() });
                Some(columns)
            }
            _ => None,
        };
    }
    columns
}

pub(super) const FROM: &str = "a field, a path such as `$.a.b[0]`, or `$key`, `$headers.name`, `$timestamp`";

fn read_column(section: &Section<'_>) -> Option<ColumnMapping> {
    let here = &section.location;
    let from = section.value("from", FROM, parse_source).or(ColumnSource::Name, here);
    let on_error = read_policy(section);
    let parse = section.choice("parse", &UNITS).optional();
    Some(ColumnMapping { from: from?.value, on_error: on_error?, parse: parse?.map(|unit| unit.value) })
}

/// `on_error`; YAML reads a bare `null` as no value, which here is one.
fn read_policy(section: &Section<'_>) -> Option<OnError> {
    if let Some(entry) = section.entry("on_error")
        && let NodeKind::Scalar(scalar) = &entry.value.kind
        && scalar.plain
        && scalar.text == "null"
    {
        return Some(OnError::Null);
    }
    section.choice("on_error", &POLICIES).or(OnError::default(), &section.location).map(|policy| policy.value)
}

/// Any name that the server can have given.
pub(super) fn parse_any_column(text: &str) -> Result<String, Problem> {
    if text.is_empty() || text.contains(char::is_control) {
        return Err(Problem::new("is no name of a column", "write the name as the table has it"));
    }
    Ok(text.to_owned())
}

pub(super) fn parse_source(text: &str) -> Result<ColumnSource, Problem> {
    if text == "$none" {
        return Ok(ColumnSource::Nothing);
    }
    let fix = "write a field's name, a path such as `$.a.b[0]`, or one of `$key`, `$key.id`, `$record.id`, `$headers.name`, \
               `$timestamp`, `$topic`, `$partition`, `$offset`, `$raw`, `$none`";
    Source::parse(text).map(ColumnSource::Source).map_err(|reason| Problem::new(reason, fix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_written_in_every_style() {
        let check = |name: &str, expected: [&str; 5]| {
            let found = STYLES.map(|(_, style)| style.of(name));
            assert_eq!(found, expected, "{name}");
        };
        check("device_id", ["deviceId", "DeviceId", "device_id", "device-id", "DEVICE_ID"]);
        check("deviceId", ["deviceId", "DeviceId", "device_id", "device-id", "DEVICE_ID"]);
        check("HTTPServer", ["httpServer", "HttpServer", "http_server", "http-server", "HTTP_SERVER"]);
        check("x2Rate", ["x2Rate", "X2Rate", "x2_rate", "x2-rate", "X2_RATE"]);
        check("temp", ["temp", "Temp", "temp", "temp", "TEMP"]);
        check("_private", ["private", "Private", "private", "private", "PRIVATE"]);
        check("", ["", "", "", "", ""]);
    }
}
