//! One entry of `topics`: which topic goes to which table, and how.
//!
//! Takes the entry's section, gives [`TopicSettings`]. Knows nothing of the other topics: what must hold between
//! them is checked in `cross_checks`.

use std::time::Duration;

use jiff::Timestamp;

use super::detector::{DetectorSettings, read_detectors};
use super::drift::{SchemaDrift, read_schema_drift};
use super::error::{Located, Location, Problem};
use super::format::{Format, JsonSettings, Records, read_format};
use super::keys;
use super::mapping::{ColumnSource, Envelope, Mapping, Tombstones, read_mapping};
use super::names::{TableName, parse_column, parse_table, parse_table_of_pattern, parse_topic};
use super::pattern::{Pattern, parse_pattern};
use super::routes::{Routing, Unrouted, read_routing};
use super::section::{Found, Section};
use super::units::{
    ByteSize, Limits, Share, parse_count, parse_duration, parse_rate, parse_share, parse_size, show_duration,
};
use crate::columns::Source;

const LINGER_DEFAULT: Duration = Duration::from_secs(1);
const LINGER: Limits<Duration> = Limits {
    least: Duration::from_millis(1),
    greatest: Duration::from_secs(600),
    below: "nothing gathers in less",
    above: "rows of a quiet topic would stay invisible for longer",
};
const ROWS_MAX_DEFAULT: u32 = 500_000;
/// One insert was measured to stay one part per table partition up to 1 M rows and 227 MB.
const ROWS_MAX: Limits<u64> = Limits {
    least: 1,
    greatest: 1_000_000,
    below: "a block holds at least one row",
    above: "a larger block becomes several parts, of which an insert that fails may leave some",
};
const BYTES_MAX_DEFAULT: ByteSize = ByteSize::from_mebibytes(64);
const BYTES_MAX: Limits<ByteSize> = Limits {
    least: ByteSize::from_bytes(1024),
    greatest: ByteSize::from_mebibytes(200),
    below: "it would cut a block after every record",
    above: "a larger block becomes several parts, of which an insert that fails may leave some",
};
/// ClickHouse's advice: about one insert per second and table, so that merges keep up.
const INSERTS_PER_SECOND_MAX_DEFAULT: f64 = 1.0;
const INSERTS_PER_SECOND_MAX: Limits<f64> = Limits {
    least: 0.01,
    greatest: 100.0,
    below: "rows would wait longer than any memory lasts",
    above: "each insert makes a part, and merges must keep up",
};
const BAD_SHARE_MAX_DEFAULT: Share = Share::from_percent(10);

/// What happens with one topic.
#[derive(Debug, Clone)]
pub struct TopicSettings {
    /// The topic; it stands in one entry only. Of an entry with a pattern its text, until the cluster's topics are known.
    pub topic: Located<String>,
    /// Which topics the entry is for, where it does not name one; afterwards by which a topic was found. An entry has one
    /// of `topic` and `pattern`.
    pub pattern: Option<Pattern>,
    /// The table it is written to. Required. Changing it on a running connector starts a new target: rows of the old
    /// one are not looked at.
    pub table: Located<TableName>,
    /// How the values of records are encoded. Default JSON.
    pub format: Format,
    /// How their keys are. Default `None`: bytes.
    pub key_format: Option<Format>,
    /// Which part of a record goes to which column. Default: fields go to the columns of the same name.
    pub mapping: Mapping,
    /// What happens with fields that the table lacks a column for. Default: what `mapping` says of unknown fields.
    pub schema_drift: SchemaDrift,
    /// Which rows are written: an expression over the columns. Default all. The others are skipped and counted.
    pub only_when: Option<Located<String>>,
    /// Which of several tables a record goes to. Default none: all go to `table`.
    pub routing: Option<Routing>,
    /// Where to begin when nothing is committed and the ledger is empty; never used again. Default earliest.
    /// Wrong `latest`: records that are there before the first start are never written.
    pub start: Start,
    /// Where blocks are cut.
    pub batch: BatchSettings,
    /// The columns of the table that say which record a row came from.
    pub coordinates: CoordinateColumns,
    /// What to do when records are gone before they were read. Default halt.
    pub on_gap: OnGap,
    /// The share of dead letters in a block above which the partition stops. Default 10 %: a few bad records are
    /// poison, many are a changed format. Too high: a format change fills the dead-letter table.
    pub bad_share_max: Share,
    /// What is an anomaly in this topic. Default none.
    pub detectors: Vec<DetectorSettings>,
    /// Where the entry begins in the file.
    pub location: Location,
    /// Where `batch.bytes_max` stands, if it does, for the comparison with `memory_max`.
    pub(super) bytes_max_location: Option<Location>,
}

/// Where to begin reading a partition that was never read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// At the first record that is still there.
    Earliest,
    /// After the last record.
    Latest,
    /// At the first record with this Kafka timestamp or a later one.
    Timestamp(Timestamp),
}

/// What to do when records are gone before they were read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnGap {
    /// Stop the partition until an operator decides.
    Halt,
    /// Go on after the gap; it is recorded, counted and published.
    Skip,
}

/// Where blocks are cut: whichever limit is reached first.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BatchSettings {
    /// How long a block waits for more records. Default 1 s, 1 ms to 10 min. It bounds the latency of quiet topics;
    /// too low: many small parts.
    pub linger: Duration,
    /// The most rows of a block. Default 500,000, 1 to 1,000,000, above which an insert becomes several parts.
    pub rows_max: u32,
    /// The most bytes of a block, decoded. Default 64 MiB, 1 KiB to 200 MiB, and at most half of `memory_max`, because
    /// the next block fills while one is sent.
    pub bytes_max: ByteSize,
    /// The most inserts per second into the table. Default 1, 0.01 to 100. Too high: ClickHouse refuses inserts with
    /// `too many parts`.
    pub inserts_per_second_max: f64,
}

/// The columns that say which record a row came from. They must exist in the table; `check` prints the ALTER.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CoordinateColumns {
    /// The topic's name. Default `_topic`.
    pub topic: String,
    /// The partition. Default `_partition`.
    pub partition: String,
    /// The offset. Default `_offset`.
    pub offset: String,
    /// Which row of its record, where records make several. Default none. Wrong without it: nobody could tell which rows of
    /// a record are there.
    pub row: Option<String>,
    /// The replay number, where the table has it. Default none; needed after a topic was recreated.
    pub replay: Option<String>,
}

impl TopicSettings {
    /// The topic as if all of its records went to one table, for each of its tables: its own, then those of its routes.
    pub fn tables(&self) -> impl Iterator<Item = &Self> {
        std::iter::once(self).chain(self.routing.iter().flat_map(|routing| &routing.tables))
    }

    /// Whether each record with a value, and no other, makes a row or a dead letter.
    pub fn keeps_every_value(&self) -> bool {
        self.tables().all(|table| table.only_when.is_none())
            && self.routing.as_ref().is_none_or(|routing| routing.unrouted != Unrouted::Skip)
            && self.mapping.envelope == Envelope::None
            && self.mapping.tombstones == Tombstones::Skip
    }
}

pub(super) fn read_topic(section: &Section<'_>) -> Option<TopicSettings> {
    let here = &section.location;
    let topic = read_name(section);
    let by_pattern = section.entry("pattern").is_some();
    let parse_table = if by_pattern { parse_table_of_pattern } else { parse_table };
    let table = section.value("table", "`table` or `database.table`", parse_table);
    let table = section.require("table", table, "add `table: database.table`");
    let format = read_format(section, "json");
    let key_format = read_key_format(section);
    let mapping = read_mapping(section);
    let schema_drift = read_schema_drift(section, format.as_ref(), mapping.as_ref());
    let only_when = section.text("only_when", "an expression").optional();
    let start = section.value("start", "`earliest`, `latest` or a time", parse_start).or(Start::Earliest, here);
    let batch = read_batch(section);
    let coordinates = read_coordinates(section);
    let on_gap = section.choice("on_gap", &[("halt", OnGap::Halt), ("skip", OnGap::Skip)]).or(OnGap::Halt, here);
    let bad_share_max = section.value("bad_share_max", "a percentage", parse_share).or(BAD_SHARE_MAX_DEFAULT, here);
    let detectors = read_detectors(section);
    require_row_column(section, format.as_ref(), coordinates.as_ref());
    refuse_events_in_lists(section, format.as_ref(), mapping.as_ref());
    refuse_wrapper_of_other_formats(section, format.as_ref(), mapping.as_ref());
    let has_surroundings = format.as_ref().is_none_or(has_surroundings);
    if let Some(mapping) = mapping.as_ref().filter(|_| !has_surroundings) {
        refuse_surroundings(section, sources_of(mapping));
    }
    let mut settings = TopicSettings {
        topic: topic.as_ref()?.0.clone(),
        pattern: topic?.1,
        table: table?,
        format: format?,
        key_format: key_format?,
        mapping: mapping?,
        schema_drift: schema_drift?,
        only_when: only_when?,
        routing: None,
        start: start?.value,
        bytes_max_location: batch.as_ref()?.1.clone(),
        batch: batch?.0,
        coordinates: coordinates?,
        on_gap: on_gap?.value,
        bad_share_max: bad_share_max?.value,
        detectors: detectors?,
        location: here.clone(),
    };
    settings.routing = read_routing(section, &settings)?;
    if let Some(routing) = settings.routing.as_ref().filter(|_| !has_surroundings) {
        refuse_surroundings(section, routing.tables.iter().flat_map(|table| sources_of(&table.mapping)));
        refuse_surroundings(section, routing.by.values().map(|source| (&source.value, &source.location)));
    }
    Some(settings)
}

/// The topic's name, or a pattern and its text.
fn read_name(section: &Section<'_>) -> Option<(Located<String>, Option<Pattern>)> {
    match (section.entry("topic"), section.entry("pattern")) {
        (None, None) if section.is_misspelt("pattern") => None,
        (_, None) => {
            let topic = section.value("topic", "the name of a topic", parse_topic);
            let topic = section.require("topic", topic, "add `topic: ..`, or `pattern: ..` for several topics")?;
            Some((topic, None))
        }
        (None, Some(_)) => {
            let pattern = section.value("pattern", "a regular expression", parse_pattern).optional()??;
            Some((Located { value: pattern.value.to_string(), location: pattern.location }, Some(pattern.value)))
        }
        (Some(_), Some(pattern)) => {
            let reason = format!("`{}` stands beside `topic`", section.path_of("pattern"));
            section.report.add(&pattern.key_location, reason, "keep one of them; both may have an entry of their own");
            None
        }
    }
}

/// Whether rows have a value around them.
fn has_surroundings(format: &Format) -> bool {
    matches!(format, Format::Json(JsonSettings { records: Records::Inside(_), .. }))
}

/// What columns are filled from, and where the file says so.
fn sources_of(mapping: &Mapping) -> impl Iterator<Item = (&Source, &Location)> {
    mapping.columns.values().filter_map(|mapped| match &mapped.value.from {
        ColumnSource::Source(source) => Some((source, &mapped.location)),
        ColumnSource::Name | ColumnSource::Nothing => None,
    })
}

/// A row that is the whole value, or one of several that are, has nothing around it.
fn refuse_surroundings<'a>(topic: &Section<'_>, sources: impl Iterator<Item = (&'a Source, &'a Location)>) {
    for (source, location) in sources {
        if let Source::Record(path) = source {
            let reason = format!("`{source}` is a place around a list of rows, and `json.records` names no such list");
            let fix =
                format!("write `${path}` for a place in the row, or name the list, as `json: {{ records: $.items }}`");
            topic.report.add(location, reason, fix);
        }
    }
}

/// Where a record makes several rows, the offset does not say which of them a row is.
fn require_row_column(topic: &Section<'_>, format: Option<&Format>, coordinates: Option<&CoordinateColumns>) {
    let (Some(Format::Json(json)), Some(CoordinateColumns { row: None, .. })) = (format, coordinates) else { return };
    if json.records != Records::One {
        let location = topic.entry("json").map_or(&topic.location, |entry| &entry.key_location);
        let reason = "a record makes several rows, and `coordinates` names no column that says which of them a row is";
        topic.report.add(location, reason, "add `row: _row` to `coordinates`, and the column to the table (UInt32)");
    }
}

/// A change event says of its own row only whether it was deleted.
fn refuse_events_in_lists(topic: &Section<'_>, format: Option<&Format>, mapping: Option<&Mapping>) {
    let (Some(Format::Json(json)), Some(mapping)) = (format, mapping) else { return };
    let reason = match mapping.envelope {
        Envelope::Debezium => "a record makes several rows, and `envelope: debezium` expects one change event",
        Envelope::Connect => "a record makes several rows, and `envelope: connect` expects one as `payload`",
        Envelope::None => return,
    };
    if json.records != Records::One {
        let location = topic.entry("json").map_or(&topic.location, |entry| &entry.key_location);
        topic.report.add(location, reason, "remove `records`, or `envelope`");
    }
}

/// Only JSON has Connect's schema beside a payload; in other formats the value is the row.
fn refuse_wrapper_of_other_formats(topic: &Section<'_>, format: Option<&Format>, mapping: Option<&Mapping>) {
    let (Some(format), Some(Mapping { envelope: Envelope::Connect, .. })) = (format, mapping) else { return };
    if !matches!(format, Format::Json(_)) {
        let location = topic.entry("envelope").map_or(&topic.location, |entry| &entry.value.location);
        let reason = "`envelope: connect` is the schema and the `payload` of Kafka Connect's JsonConverter, but the format \
                      is not `json`";
        topic.report.add(location, reason, "remove `envelope`; what schemas of Connect say is read without it");
    }
}

/// The outer `None` where it was bad.
fn read_key_format(topic: &Section<'_>) -> Option<Option<Format>> {
    match topic.section("key", keys::KEY) {
        Found::Absent => Some(None),
        Found::Bad => None,
        Found::Value(section) => {
            let format = read_format(&section.value, "raw")?;
            if matches!(&format, Format::Json(json) if json.records != Records::One) {
                let reason = "the key of a record makes no rows of its own";
                section.value.report.add(&section.value.location, reason, "remove `records`");
                return None;
            }
            Some(Some(format))
        }
    }
}

fn parse_start(text: &str) -> Result<Start, Problem> {
    match text {
        "earliest" => return Ok(Start::Earliest),
        "latest" => return Ok(Start::Latest),
        _ => {}
    }
    let fix = "write `earliest`, `latest` or a time with its zone, such as `2026-01-01T00:00:00Z`";
    if !text.starts_with(|c: char| c.is_ascii_digit()) {
        let near = keys::nearest(text, ["earliest", "latest"].into_iter());
        let fix = near.map_or_else(|| fix.to_owned(), |near| format!("did you mean `{near}`?"));
        return Err(Problem::new("is no start", fix));
    }
    let timestamp: Timestamp = text.parse().map_err(|_| Problem::new("is not a time in RFC 3339", fix))?;
    if timestamp < Timestamp::UNIX_EPOCH {
        return Err(Problem::new("is before 1970, where Kafka's timestamps begin", "write `earliest`"));
    }
    Ok(Start::Timestamp(timestamp))
}

/// The limits of a block, and where `bytes_max` stands.
fn read_batch(topic: &Section<'_>) -> Option<(BatchSettings, Option<Location>)> {
    let section = match topic.section("batch", keys::BATCH) {
        Found::Absent => {
            let defaults = BatchSettings {
                linger: LINGER_DEFAULT,
                rows_max: ROWS_MAX_DEFAULT,
                bytes_max: BYTES_MAX_DEFAULT,
                inserts_per_second_max: INSERTS_PER_SECOND_MAX_DEFAULT,
            };
            return Some((defaults, None));
        }
        Found::Bad => return None,
        Found::Value(section) => section.value,
    };
    let here = &section.location;
    let linger = section.value("linger", "a duration", |text| LINGER.check(parse_duration(text)?, show_duration));
    let rows_max = section.value("rows_max", "a whole number", |text| {
        let rows = ROWS_MAX.check(parse_count(text)?, u64::to_string)?;
        Ok(u32::try_from(rows).expect("the limit is far below u32::MAX"))
    });
    let bytes_max =
        section.value("bytes_max", "a size", |text| BYTES_MAX.check(parse_size(text)?, ByteSize::to_string));
    let inserts_per_second_max = section.value("inserts_per_second_max", "a number", |text| {
        INSERTS_PER_SECOND_MAX.check(parse_rate(text)?, f64::to_string)
    });
    let bytes_max_location = section.entry("bytes_max").map(|entry| entry.value.location.clone());
    let linger = linger.or(LINGER_DEFAULT, here);
    let rows_max = rows_max.or(ROWS_MAX_DEFAULT, here);
    let bytes_max = bytes_max.or(BYTES_MAX_DEFAULT, here);
    let inserts_per_second_max = inserts_per_second_max.or(INSERTS_PER_SECOND_MAX_DEFAULT, here);
    let batch = BatchSettings {
        linger: linger?.value,
        rows_max: rows_max?.value,
        bytes_max: bytes_max?.value,
        inserts_per_second_max: inserts_per_second_max?.value,
    };
    Some((batch, bytes_max_location))
}

fn read_coordinates(topic: &Section<'_>) -> Option<CoordinateColumns> {
    let section = match topic.section("coordinates", keys::COORDINATES) {
        Found::Absent => {
            return Some(CoordinateColumns {
                topic: "_topic".to_owned(),
                partition: "_partition".to_owned(),
                offset: "_offset".to_owned(),
                row: None,
                replay: None,
            });
        }
        Found::Bad => return None,
        Found::Value(section) => section.value,
    };
    let column = |key: &str| section.value(key, "the name of a column", parse_column);
    let named = |key: &str, default: &str| column(key).or(default.to_owned(), &section.location);
    let topic = named("topic", "_topic");
    let partition = named("partition", "_partition");
    let offset = named("offset", "_offset");
    let (row, replay) = (column("row").optional(), column("replay").optional());
    let (topic, partition, offset, row, replay) = (topic?, partition?, offset?, row?, replay?);
    let columns: Vec<_> = [&topic, &partition, &offset].into_iter().chain(&row).chain(&replay).collect();
    for (index, column) in columns.iter().enumerate() {
        if columns.iter().take(index).any(|other| other.value == column.value) {
            let path = section.path_of("");
            let reason = format!("`{}` names the column `{}` twice", path.trim_end_matches('.'), column.value);
            section.report.add(&column.location, reason, "give each coordinate its own column");
        }
    }
    Some(CoordinateColumns {
        topic: topic.value,
        partition: partition.value,
        offset: offset.value,
        row: row.map(|column| column.value),
        replay: replay.map(|column| column.value),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starts() {
        let check = |text: &str, expected: &str| {
            let found = match parse_start(text) {
                Ok(start) => format!("{start:?}"),
                Err(problem) => format!("error: {} | {}", problem.reason, problem.fix),
            };
            assert!(found.starts_with(expected), "{text}: {found}");
        };
        check("earliest", "Earliest");
        check("latest", "Latest");
        check("2026-01-01T00:00:00Z", "Timestamp(2026-01-01T00:00:00Z)");
        check("2026-01-01T02:00:00+02:00", "Timestamp(2026-01-01T00:00:00Z)");
        check("2026-01-01T00:00:00", "error: is not a time in RFC 3339");
        check("2026-01-01", "error: is not a time in RFC 3339");
        check("2026-02-30T00:00:00Z", "error: is not a time in RFC 3339");
        check("1767225600", "error: is not a time in RFC 3339");
        check("1969-12-31T23:59:59Z", "error: is before 1970");
        check("erliest", "error: is no start | did you mean `earliest`?");
        check("Latest", "error: is no start | did you mean `latest`?");
        check("beginning", "error: is no start | write `earliest`, `latest` or");
    }
}
