//! What happens with fields that the table lacks a column for, beyond dropping or keeping them.

use super::error::Location;
use super::format::Format;
use super::keys;
use super::mapping::{Envelope, Mapping, Unknown};
use super::section::{Found, Section};
use super::tree::NodeKind;
use super::units::{Limits, parse_count};

const COLUMNS_MAX_DEFAULT: u32 = 256;
const COLUMNS_MAX: Limits<u64> = Limits {
    least: 1,
    greatest: 10_000,
    below: "every table has columns",
    above: "each column is a file in every part, and inserts slow down with them",
};

/// What happens when records have fields that the table has no column for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SchemaDrift {
    /// Nothing: `unknown_fields` decides.
    #[default]
    Ignore,
    /// The partition stops at the record until the table has the column.
    Halt,
    /// The connector adds the columns, until the table has so many. Default 256: a column is a file in every part.
    AddColumns {
        /// The most columns of the table, all counted.
        columns_max: u32,
    },
}

/// How the words are written; the limit is read beside.
#[derive(Clone, Copy)]
enum Policy {
    Ignore,
    Halt,
    AddColumns,
}

const POLICIES: [(&str, Policy); 3] =
    [("ignore", Policy::Ignore), ("halt", Policy::Halt), ("add_columns", Policy::AddColumns)];

/// What a topic says; `None` where it is bad.
pub(super) fn read_schema_drift(
    topic: &Section<'_>,
    format: Option<&Format>,
    mapping: Option<&Mapping>,
) -> Option<SchemaDrift> {
    let key = "schema_drift";
    let Some(entry) = topic.entry(key) else { return Some(SchemaDrift::Ignore) };
    let drift = match entry.value.kind {
        NodeKind::Mapping(_) => match topic.section(key, keys::SCHEMA_DRIFT) {
            Found::Value(section) => read_section(&section.value)?,
            Found::Absent | Found::Bad => return None,
        },
        _ => {
            let policy = topic.choice(key, &POLICIES).or(Policy::Ignore, &topic.location)?;
            of_policy(policy.value, COLUMNS_MAX_DEFAULT)
        }
    };
    if drift != SchemaDrift::Ignore {
        refuse_combinations(topic, &entry.key_location, format, mapping);
    }
    Some(drift)
}

fn of_policy(policy: Policy, columns_max: u32) -> SchemaDrift {
    match policy {
        Policy::Ignore => SchemaDrift::Ignore,
        Policy::Halt => SchemaDrift::Halt,
        Policy::AddColumns => SchemaDrift::AddColumns { columns_max },
    }
}

fn read_section(section: &Section<'_>) -> Option<SchemaDrift> {
    let policy = section.choice("policy", &POLICIES);
    let policy = section.require("policy", policy, "add `policy: add_columns`");
    let columns_max = section.value("columns_max", "a whole number", |text| {
        let columns = COLUMNS_MAX.check(parse_count(text)?, u64::to_string)?;
        Ok(u32::try_from(columns).expect("the limit is far below u32::MAX"))
    });
    let columns_max = columns_max.optional();
    let (policy, columns_max) = (policy?.value, columns_max?);
    if let (Policy::Ignore | Policy::Halt, Some(columns_max)) = (policy, &columns_max) {
        let reason = "`columns_max` limits the columns that are added, and no other policy adds any";
        section.report.add(&columns_max.location, reason, "remove it, or write `policy: add_columns`");
    }
    Some(of_policy(policy, columns_max.map_or(COLUMNS_MAX_DEFAULT, |columns| columns.value)))
}

fn refuse_combinations(topic: &Section<'_>, at: &Location, format: Option<&Format>, mapping: Option<&Mapping>) {
    if let Some(Format::Csv(_) | Format::Raw) = format {
        let reason = "`schema_drift` is about fields that records name, and records of this format name none";
        topic.report.add(at, reason, "remove it");
    }
    if topic.entry("routes").is_some() {
        let reason = "`schema_drift` is about the columns of one table, and `routes` names several";
        topic.report.add(at, reason, "remove `schema_drift`, or `routes`");
    }
    let Some(mapping) = mapping else { return };
    if mapping.unknown_fields != Unknown::Ignore {
        let reason = "`unknown_fields` says already what happens with fields that no column takes";
        topic.report.add(at, reason, "remove `schema_drift`, or `unknown_fields`");
    }
    if mapping.envelope == Envelope::Debezium {
        let reason = "`schema_drift` is about the fields of the whole value, of which an envelope has its own";
        topic.report.add(at, reason, "remove it");
    }
}
