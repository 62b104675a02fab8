//! Every key of the file: the one list that unknown keys are judged by and that the reference page is tested against.
//!
//! Pure data and the search for the nearest spelling. Never reads a value.

/// One key that may stand in a section.
#[derive(Debug)]
pub(super) struct Key {
    /// The section it stands in: empty for the top level, `topics[].batch` for a section inside a list.
    pub(super) section: &'static str,
    pub(super) name: &'static str,
}

const fn accepted(section: &'static str, name: &'static str) -> Key {
    Key { section, name }
}

pub(super) const TOP: &str = "";
pub(super) const KAFKA: &str = "kafka";
pub(super) const SCHEMA_REGISTRY: &str = "kafka.schema_registry";
pub(super) const CLICKHOUSE: &str = "clickhouse";
pub(super) const ADMIN: &str = "admin";
pub(super) const AUDIT: &str = "audit";
pub(super) const ALERTS: &str = "alerts";
pub(super) const TOPIC: &str = "topics[]";
pub(super) const ROUTE: &str = "topics[].routes[]";
pub(super) const BATCH: &str = "topics[].batch";
pub(super) const COORDINATES: &str = "topics[].coordinates";
pub(super) const KEY: &str = "topics[].key";
pub(super) const JSON: &str = "topics[].json";
pub(super) const AVRO: &str = "topics[].avro";
pub(super) const PROTOBUF: &str = "topics[].protobuf";
pub(super) const CSV: &str = "topics[].csv";
pub(super) const COLUMN: &str = "topics[].columns.*";
pub(super) const UNKNOWN_FIELDS: &str = "topics[].unknown_fields";
pub(super) const SCHEMA_DRIFT: &str = "topics[].schema_drift";
pub(super) const DETECTOR: &str = "topics[].detectors[]";
pub(super) const SEVERITY: &str = "topics[].detectors[].severity[]";

pub(super) const KEYS: &[Key] = &[
    accepted(TOP, "name"),
    accepted(TOP, "instance"),
    accepted(TOP, "kafka"),
    accepted(TOP, "clickhouse"),
    accepted(TOP, "state_database"),
    accepted(TOP, "create_state_tables"),
    accepted(TOP, "ledger_retention"),
    accepted(TOP, "memory_max"),
    accepted(TOP, "drain_timeout"),
    accepted(TOP, "admin"),
    accepted(TOP, "audit"),
    accepted(TOP, "alerts"),
    accepted(TOP, "topics"),
    accepted(KAFKA, "brokers"),
    accepted(KAFKA, "properties"),
    accepted(KAFKA, "schema_registry"),
    accepted(SCHEMA_REGISTRY, "url"),
    accepted(SCHEMA_REGISTRY, "username"),
    accepted(SCHEMA_REGISTRY, "password"),
    accepted(SCHEMA_REGISTRY, "password_file"),
    accepted(SCHEMA_REGISTRY, "token"),
    accepted(SCHEMA_REGISTRY, "token_file"),
    accepted(SCHEMA_REGISTRY, "ca_file"),
    accepted(SCHEMA_REGISTRY, "certificate_file"),
    accepted(SCHEMA_REGISTRY, "key_file"),
    accepted(SCHEMA_REGISTRY, "unknown_schema_after"),
    accepted(CLICKHOUSE, "url"),
    accepted(CLICKHOUSE, "user"),
    accepted(CLICKHOUSE, "password"),
    accepted(CLICKHOUSE, "password_file"),
    accepted(CLICKHOUSE, "behind_proxy"),
    accepted(CLICKHOUSE, "ca_file"),
    accepted(ADMIN, "listen"),
    accepted(AUDIT, "interval"),
    accepted(ALERTS, "topic"),
    accepted(TOPIC, "topic"),
    accepted(TOPIC, "pattern"),
    accepted(TOPIC, "table"),
    accepted(TOPIC, "format"),
    accepted(TOPIC, "json"),
    accepted(TOPIC, "avro"),
    accepted(TOPIC, "protobuf"),
    accepted(TOPIC, "csv"),
    accepted(TOPIC, "key"),
    accepted(TOPIC, "columns"),
    accepted(TOPIC, "field_names"),
    accepted(TOPIC, "unknown_fields"),
    accepted(TOPIC, "schema_drift"),
    accepted(TOPIC, "only_when"),
    accepted(TOPIC, "route_by"),
    accepted(TOPIC, "routes"),
    accepted(TOPIC, "unrouted"),
    accepted(TOPIC, "start"),
    accepted(TOPIC, "batch"),
    accepted(TOPIC, "coordinates"),
    accepted(TOPIC, "on_gap"),
    accepted(TOPIC, "bad_share_max"),
    accepted(TOPIC, "detectors"),
    accepted(TOPIC, "envelope"),
    accepted(TOPIC, "unavailable_placeholder"),
    accepted(TOPIC, "tombstones"),
    accepted(TOPIC, "deleted"),
    accepted(ROUTE, "when"),
    accepted(ROUTE, "table"),
    accepted(ROUTE, "only_when"),
    accepted(ROUTE, "columns"),
    accepted(ROUTE, "detectors"),
    accepted(BATCH, "linger"),
    accepted(BATCH, "rows_max"),
    accepted(BATCH, "bytes_max"),
    accepted(BATCH, "inserts_per_second_max"),
    accepted(COORDINATES, "topic"),
    accepted(COORDINATES, "partition"),
    accepted(COORDINATES, "offset"),
    accepted(COORDINATES, "row"),
    accepted(COORDINATES, "replay"),
    accepted(KEY, "format"),
    accepted(KEY, "json"),
    accepted(KEY, "avro"),
    accepted(KEY, "protobuf"),
    accepted(KEY, "csv"),
    accepted(JSON, "framing"),
    accepted(JSON, "records"),
    accepted(AVRO, "framing"),
    accepted(AVRO, "schema_files"),
    accepted(AVRO, "reader_schema_file"),
    accepted(PROTOBUF, "framing"),
    accepted(PROTOBUF, "descriptor_set"),
    accepted(PROTOBUF, "proto_files"),
    accepted(PROTOBUF, "include"),
    accepted(PROTOBUF, "message"),
    accepted(CSV, "delimiter"),
    accepted(CSV, "quote"),
    accepted(CSV, "escape"),
    accepted(CSV, "null"),
    accepted(CSV, "columns"),
    accepted(CSV, "trim"),
    accepted(CSV, "extra_fields"),
    accepted(CSV, "missing_fields"),
    accepted(COLUMN, "from"),
    accepted(COLUMN, "on_error"),
    accepted(COLUMN, "parse"),
    accepted(UNKNOWN_FIELDS, "column"),
    accepted(SCHEMA_DRIFT, "policy"),
    accepted(SCHEMA_DRIFT, "columns_max"),
    accepted(DETECTOR, "name"),
    accepted(DETECTOR, "when"),
    accepted(DETECTOR, "key"),
    accepted(DETECTOR, "value"),
    accepted(DETECTOR, "message"),
    accepted(DETECTOR, "alerts_per_block_max"),
    accepted(DETECTOR, "severity"),
    accepted(SEVERITY, "when"),
    accepted(SEVERITY, "is"),
];

/// The rule for `name` in `section`.
pub(super) fn find(section: &str, name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.section == section && key.name == name)
}

/// The names that `section` accepts.
pub(super) fn accepted_in(section: &str) -> impl Iterator<Item = &'static str> {
    KEYS.iter().filter(move |key| key.section == section).map(|key| key.name)
}

/// The sections other than `section` that accept `name`.
pub(super) fn sections_of(name: &str, section: &str) -> Vec<&'static str> {
    KEYS.iter().filter(|key| key.name == name && key.section != section).map(|key| key.section).collect()
}

/// The candidate that `written` was most likely meant to be; `None` where nothing is near.
pub(super) fn nearest<'a>(written: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let written = fold(written);
    candidates
        .filter_map(|candidate| Some((distance(&written, &fold(candidate))?, candidate)))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

fn fold(text: &str) -> String {
    text.to_lowercase().replace('-', "_")
}

/// How far two names are apart; `None` where one was hardly meant to be the other. Names with the same words in
/// another order (`max_rows`), or with something added or left out at the end (`username`), are near too.
fn distance(written: &str, candidate: &str) -> Option<usize> {
    const PREFIX_MIN: usize = 4;
    let edits = strsim::damerau_levenshtein(written, candidate);
    if edits <= 1 + candidate.len() / 4 {
        return Some(edits);
    }
    let words = |text: &str| {
        let mut words: Vec<_> = text.split('_').map(str::to_owned).collect();
        words.sort();
        words
    };
    let shorter = written.len().min(candidate.len());
    let prefix = written.starts_with(candidate) || candidate.starts_with(written);
    (words(written) == words(candidate) || (prefix && shorter >= PREFIX_MIN)).then_some(edits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_spelling_is_found() {
        let check = |section: &str, written: &str, expected: Option<&str>| {
            assert_eq!(nearest(written, accepted_in(section)), expected, "{written}");
        };
        check(TOP, "nmae", Some("name"));
        check(TOP, "Name", Some("name"));
        check(TOP, "memory-max", Some("memory_max"));
        check(TOP, "drainTimeout", Some("drain_timeout"));
        check(TOP, "topic", Some("topics"));
        check(TOP, "database", None);
        check(KAFKA, "broker", Some("brokers"));
        check(BATCH, "max_rows", Some("rows_max"));
        check(BATCH, "linger_ms", Some("linger"));
        check(BATCH, "max", None);
        check(CLICKHOUSE, "username", Some("user"));
        check(BATCH, "row_max", Some("rows_max"));
        check(DETECTOR, "alert_per_block_max", Some("alerts_per_block_max"));
    }

    /// The page has a heading per section and a table row per key; both must say the same as the list.
    #[test]
    fn the_reference_page_lists_every_key_and_no_other() {
        let page = include_str!("../../config/README.md");
        let mut section = None;
        let mut listed = Vec::new();
        let keys = page.split("\n## ").find(|part| part.starts_with("Keys\n")).unwrap();
        for line in keys.lines() {
            if let Some(heading) = line.strip_prefix("### ") {
                let heading = heading.trim_matches('`');
                section = Some(if heading == "Top level" { TOP } else { heading });
            } else if let (Some(section), Some(row)) = (section, line.strip_prefix("| `"))
                && section != "kafka.properties"
            {
                let name = row.split('`').next().unwrap();
                assert!(find(section, name).is_some(), "{section} {name}");
                listed.push((section, name));
            }
        }
        for key in KEYS {
            assert!(listed.contains(&(key.section, key.name)), "{key:?}");
        }
    }

    #[test]
    fn no_key_stands_twice() {
        for (index, key) in KEYS.iter().enumerate() {
            let again = KEYS[index + 1..].iter().any(|other| other.section == key.section && other.name == key.name);
            assert!(!again, "{key:?}");
        }
    }
}
