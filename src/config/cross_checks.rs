//! What must hold between keys of different sections.
//!
//! Takes what was read, also where parts of it were bad, and reports each contradiction with both keys and both values.

use std::collections::BTreeMap;
use std::time::Duration;

use super::error::Located;
use super::section::Report;
use super::topic::TopicSettings;
use super::units::{ByteSize, show_duration};

/// The tables that the connector keeps in `state_database`.
pub(super) const STATE_TABLES: [&str; 5] = ["ownership", "ledger", "dead_letters", "dead_letter_events", "alerts"];

/// What was read; `None` where it was bad and is reported already.
pub(super) struct Parts<'a> {
    pub(super) topics: &'a [Option<TopicSettings>],
    pub(super) alert_topic: &'a Option<Located<String>>,
    /// Whether `alerts` was absent or good.
    pub(super) alerts_known: bool,
    pub(super) memory_max: Option<&'a Located<ByteSize>>,
    /// The inner `None` where the default holds.
    pub(super) drain_timeout: Option<&'a Option<Located<Duration>>>,
    pub(super) drain_timeout_default: Duration,
    pub(super) state_database: Option<&'a Located<String>>,
    pub(super) transaction_timeout: Option<&'a Located<Duration>>,
    pub(super) response_bytes_max: Option<&'a Located<u64>>,
    /// Whether `kafka` is good and names no registry.
    pub(super) registry_missing: bool,
}

pub(super) fn check(report: &Report, parts: &Parts<'_>) {
    check_topics_once(report, parts);
    check_shared_tables(report, parts);
    check_state_tables(report, parts);
    check_alerts(report, parts);
    check_memory(report, parts);
    check_drain(report, parts);
    check_registry(report, parts);
}

fn topics<'a>(parts: &'a Parts<'_>) -> impl Iterator<Item = &'a TopicSettings> {
    parts.topics.iter().flatten()
}

/// Each topic once for each of its tables.
fn tables<'a>(parts: &'a Parts<'_>) -> impl Iterator<Item = &'a TopicSettings> {
    topics(parts).flat_map(TopicSettings::tables)
}

fn check_topics_once(report: &Report, parts: &Parts<'_>) {
    let mut first_lines = BTreeMap::new();
    for topic in topics(parts) {
        let line = topic.topic.location.line();
        let name = topic.topic.value.as_str();
        let what = if topic.pattern.is_some() { "pattern" } else { "topic" };
        let first = *first_lines.entry((what, name)).or_insert(line);
        if first != line {
            let reason = format!("{what} `{name}` stands twice, first on line {first}; one topic feeds one table");
            let fix = "keep one entry; a second table can be fed by a materialized view, or by a second connector";
            report.add(&topic.topic.location, reason, fix);
        }
    }
}

/// Topics may share a table, each with its own blocks; the columns that tell their rows apart must then be the same.
fn check_shared_tables(report: &Report, parts: &Parts<'_>) {
    let mut first_topics: BTreeMap<_, &TopicSettings> = BTreeMap::new();
    for topic in tables(parts).filter(|topic| !topic.table.value.holds_topic()) {
        let first = *first_topics.entry(&topic.table.value).or_insert(topic);
        if first.coordinates != topic.coordinates {
            let reason = format!(
                "topics `{}` (line {}) and `{}` share the table `{}`, but name different `coordinates`",
                first.topic.value,
                first.location.line(),
                topic.topic.value,
                topic.table.value
            );
            let fix = "give both the same `coordinates`: they tell the rows of the two topics apart";
            report.add(&topic.table.location, reason, fix);
        }
    }
}

fn check_state_tables(report: &Report, parts: &Parts<'_>) {
    let Some(database) = parts.state_database else {
        return;
    };
    for topic in tables(parts) {
        let table = &topic.table.value;
        if table.database() == database.value && STATE_TABLES.contains(&table.table()) {
            let reason = format!(
                "table `{table}` is one of the connector's own, because `state_database` is `{}`",
                database.value
            );
            let fix = "write to another table, or keep the connector's tables in another `state_database`";
            report.add(&topic.table.location, reason, fix);
        }
    }
}

fn check_alerts(report: &Report, parts: &Parts<'_>) {
    if let Some(alert_topic) = parts.alert_topic {
        // A pattern leaves it out.
        let by_name = topics(parts).filter(|topic| topic.pattern.is_none());
        for topic in by_name.filter(|topic| topic.topic.value == alert_topic.value) {
            let reason = format!(
                "`alerts.topic` is `{}`, which is also read (line {}): alerts would make alerts",
                alert_topic.value,
                topic.topic.location.line()
            );
            report.add(&alert_topic.location, reason, "publish alerts to a topic of their own");
        }
    } else if parts.alerts_known {
        for topic in tables(parts) {
            if let Some(detector) = topic.detectors.first() {
                let reason = format!(
                    "topic `{}` has detectors, such as `{}`, but `alerts.topic` is missing",
                    topic.topic.value, detector.name.value
                );
                let fix = "add `alerts: { topic: .. }` at the top level of the file";
                report.add(&detector.name.location, reason, fix);
            }
        }
    }
}

fn check_memory(report: &Report, parts: &Parts<'_>) {
    let Some(memory_max) = parts.memory_max else {
        return;
    };
    let half = memory_max.value.bytes() / 2;
    for topic in topics(parts) {
        let bytes_max = topic.batch.bytes_max;
        if bytes_max.bytes() > half {
            let reason = format!(
                "`batch.bytes_max` ({bytes_max}) of topic `{}` is more than half of `memory_max` ({}): the next block fills while one is sent",
                topic.topic.value, memory_max.value
            );
            let fix = format!(
                "lower `batch.bytes_max`, or raise `memory_max` to at least `{}`",
                ByteSize::from_bytes(bytes_max.bytes().saturating_mul(2))
            );
            let location = topic.bytes_max_location.as_ref().unwrap_or(&memory_max.location);
            report.add(location, reason, fix);
        }
    }
    if let Some(response) = parts.response_bytes_max
        && response.value > half
    {
        let reason = format!(
            "`receive.message.max.bytes` ({}) is more than half of `memory_max` ({}), which also holds the blocks",
            response.value, memory_max.value
        );
        let needed = ByteSize::from_bytes(response.value.saturating_mul(2).next_multiple_of(1 << 20));
        let fix = format!("write at most `{half}`, or raise `memory_max` to at least `{needed}`");
        report.add(&response.location, reason, fix);
    }
}

/// Formats whose schemas come from the registry need one.
fn check_registry(report: &Report, parts: &Parts<'_>) {
    if !parts.registry_missing {
        return;
    }
    for topic in topics(parts) {
        let of_key = topic.key_format.as_ref().map(|format| ("key of topic", format));
        for (what, format) in [("topic", &topic.format)].into_iter().chain(of_key) {
            if format.needs_registry() {
                let reason = format!(
                    "the {what} `{}` is {}, whose schemas come from the registry, but `kafka.schema_registry` is missing",
                    topic.topic.value,
                    format.name(),
                );
                let fix = "add `kafka.schema_registry: { url: .. }`, or name schema files and write `framing: none`";
                report.add(&topic.location, reason, fix);
            }
        }
    }
}

/// A process that leaves a transaction behind makes its successor wait for the transaction timeout.
fn check_drain(report: &Report, parts: &Parts<'_>) {
    let (Some(drain), Some(transaction)) = (parts.drain_timeout, parts.transaction_timeout) else {
        return;
    };
    let drain_timeout = drain.as_ref().map_or(parts.drain_timeout_default, |drain| drain.value);
    if drain_timeout < transaction.value {
        let reason = format!(
            "`drain_timeout` ({}) is below `transaction.timeout.ms` ({}): a stop could leave a transaction behind, which the next start waits for",
            show_duration(&drain_timeout),
            transaction.value.as_millis()
        );
        let fix = "raise `drain_timeout`, or lower `transaction.timeout.ms` under `kafka.properties`";
        let location = drain.as_ref().map_or(&transaction.location, |drain| &drain.location);
        report.add(location, reason, fix);
    }
}
