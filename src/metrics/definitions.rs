//! Every metric by name: kind, labels, what it means. `deploy/METRICS.md` is made of this table, and a test
//! compares the two.
//!
//! Base units (seconds, bytes), units last, `_total` for counters. Labels are bounded by the configuration and the
//! cluster: topic, table, partition, and words that this code knows. Every series also carries `connector`.

/// What kind of metric it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only grows, from 0 at the start of the process.
    Counter,
    /// A value of now.
    Gauge,
    /// Samples in buckets.
    Histogram,
}

impl Kind {
    /// The word that Prometheus has for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// One metric.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Definition {
    /// Its full name.
    pub name: &'static str,
    /// Its kind.
    pub kind: Kind,
    /// Its labels besides `connector`, in the order in which values are given.
    pub labels: &'static [&'static str],
    /// What it counts or measures.
    pub help: &'static str,
    /// The upper bounds of a histogram's buckets; empty for other kinds.
    pub buckets: &'static [f64],
}

const PROCESS: &[&str] = &[];
const LANE: &[&str] = &["topic", "table"];
const PARTITION: &[&str] = &["topic", "table", "partition"];

const fn counter(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Definition {
    Definition { name, kind: Kind::Counter, labels, help, buckets: &[] }
}

const fn gauge(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Definition {
    Definition { name, kind: Kind::Gauge, labels, help, buckets: &[] }
}

const fn histogram(
    name: &'static str,
    labels: &'static [&'static str],
    buckets: &'static [f64],
    help: &'static str,
) -> Definition {
    Definition { name, kind: Kind::Histogram, labels, help, buckets }
}

// The accounting identity, exact in every scrape, for each partition:
// consumed = inserted + dead letters + skipped + discarded + in flight.

/// See its help.
pub const RECORDS_CONSUMED: Definition = counter(
    "oncesink_records_consumed_total",
    PARTITION,
    "Records of closed blocks, where a record makes several rows their rows; what is read again after a takeover counts \
     again",
);
/// See its help.
pub const ROWS_INSERTED: Definition =
    counter("oncesink_rows_inserted_total", PARTITION, "Rows that the target table acknowledged");
/// See its help.
pub const DEAD_LETTERS: Definition = counter(
    "oncesink_dead_letters_total",
    &["topic", "table", "partition", "reason"],
    "Dead letters that the dead-letter table acknowledged, by error code",
);
/// See its help.
pub const SKIPPED: Definition = counter(
    "oncesink_skipped_total",
    &["topic", "table", "partition", "why"],
    "Records that needed no insert: present, dead_letter_present (both stored by an earlier owner), tombstone, \
     removed (stored, and deleted since), filtered (`only_when`, and change events that are about no row), empty (of no \
     rows). Where a record makes several rows each of them counts",
);
/// See its help.
pub const VALUES_REPLACED: Definition = counter(
    "oncesink_values_replaced_total",
    &["topic", "table", "column", "policy"],
    "Values of rows that did not fit their column and were replaced, by `on_error` (default, null, clamp); by `timestamp` \
     where Kafka's timestamp is outside the column's range",
);
/// See its help.
pub const COLUMNS_ADDED: Definition =
    counter("oncesink_columns_added_total", LANE, "Columns that `schema_drift: add_columns` has added to the table");
/// See its help.
pub const DISCARDED: Definition = counter(
    "oncesink_discarded_total",
    PARTITION,
    "Records of blocks that were dropped at a takeover; they are read again",
);
/// See its help.
pub const RECORDS_IN_FLIGHT: Definition =
    gauge("oncesink_records_in_flight", PARTITION, "Records of blocks that are not acknowledged yet");

/// See its help.
pub const BYTES_IN: Definition =
    counter("oncesink_bytes_in_total", PARTITION, "Bytes of keys and values of the consumed records");
/// See its help.
pub const BYTES_OUT: Definition =
    counter("oncesink_bytes_out_total", LANE, "Bytes of insert bodies sent to ClickHouse, as sent (compressed)");
/// See its help.
pub const INSERTS: Definition = counter(
    "oncesink_inserts_total",
    &["topic", "table", "into", "outcome"],
    "Inserts by table (target, dead_letters, alerts, ledger) and outcome (acknowledged, fenced, short, present, \
     table_changed, error, too_large, unknown)",
);
/// See its help.
pub const ROUTED_ROWS: Definition = counter(
    "oncesink_routed_rows_total",
    &["topic", "table", "target"],
    "Rows that each table (target) of a topic with routes acknowledged",
);
/// See its help.
pub const INSERT_SECONDS: Definition = histogram(
    "oncesink_insert_seconds",
    &["topic", "table", "into"],
    &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0],
    "Time from sending an insert to its reply",
);
/// See its help.
pub const BLOCK_ROWS: Definition = histogram(
    "oncesink_block_rows",
    LANE,
    &[1.0, 10.0, 100.0, 1e3, 1e4, 5e4, 1e5, 2.5e5, 5e5, 1e6],
    "Rows of an insert into the target table",
);
/// See its help.
pub const BLOCK_BYTES: Definition = histogram(
    "oncesink_block_bytes",
    LANE,
    &[1024.0, 4096.0, 16384.0, 65536.0, 262_144.0, 1_048_576.0, 4_194_304.0, 16_777_216.0, 67_108_864.0, 268_435_456.0],
    "Bytes of an insert into the target table, as sent (compressed)",
);
/// See its help.
pub const COMMITS: Definition = counter(
    "oncesink_commits_total",
    &["outcome"],
    "Kafka transactions by outcome (committed, not_owned, rejected, ambiguous, fenced, instance_replaced)",
);
/// See its help.
pub const COMMIT_SECONDS: Definition = histogram(
    "oncesink_commit_seconds",
    PROCESS,
    &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0],
    "Time of one Kafka transaction: alerts, offsets, commit",
);

/// See its help.
pub const CONSUMER_LAG_RECORDS: Definition = gauge(
    "oncesink_consumer_lag_records",
    PARTITION,
    "Offsets that may hold a record and are not committed, up to the last stable offset; 0 where all that a reader of committed data can see is stored, or the partition is not ours any more",
);
/// See its help.
pub const CONSUMER_LAG_SECONDS: Definition = gauge(
    "oncesink_consumer_lag_seconds",
    PARTITION,
    "Age of the oldest record that is not committed; 0 where there is none or the partition is not ours any more",
);
/// See its help.
pub const OPEN_TRANSACTION_SECONDS: Definition = gauge(
    "oncesink_open_transaction_seconds",
    PARTITION,
    "For how long a producer's transaction has been seen open: nothing from its first record on can be read before it ends; 0 where there is none",
);
/// See its help.
pub const VISIBLE_LATENCY_SECONDS: Definition = histogram(
    "oncesink_visible_latency_seconds",
    LANE,
    &[0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 21600.0],
    "Time from a record's Kafka timestamp to its row being visible; one sample for each block and partition: its \
     oldest record",
);

/// See its help.
pub const TAKEOVERS: Definition = counter(
    "oncesink_takeovers_total",
    &["topic", "table", "why"],
    "Takeovers begun, by cause (assigned, block_dropped, insert, transaction, fetch, retry, recheck)",
);
/// See its help.
pub const TAKEOVER_SECONDS: Definition = histogram(
    "oncesink_takeover_seconds",
    LANE,
    &[0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0],
    "Time of a takeover: prove, claim, drain, look",
);
/// See its help.
pub const FENCED_INSERTS: Definition = counter(
    "oncesink_fenced_inserts_total",
    LANE,
    "Inserts that the server refused because of a newer claim; nothing of them was written",
);
/// See its help.
pub const DRAINED_INSERTS: Definition =
    counter("oncesink_drained_inserts_total", LANE, "Running statements of this connector that a takeover waited for");
/// See its help.
pub const REWINDS: Definition = counter(
    "oncesink_rewinds_total",
    PARTITION,
    "Returns to an earlier offset, because rows that were acknowledged are not in the table any more",
);
/// See its help.
pub const GAPS: Definition =
    counter("oncesink_gaps_total", PARTITION, "Ranges of offsets that Kafka no longer had: records may be lost");
/// See its help.
pub const VIEWS_UNVERIFIED: Definition = counter(
    "oncesink_views_unverified_total",
    PARTITION,
    "Ranges whose materialized views may lack rows, because an insert with views was not acknowledged",
);
/// See its help.
pub const ALERTS: Definition = counter(
    "oncesink_alerts_total",
    &["topic", "table", "detector", "severity"],
    "Alerts published, by detector and severity",
);
/// See its help.
pub const RETRIES: Definition = counter(
    "oncesink_retries_total",
    &["code"],
    "Steps that are tried again: by ClickHouse error code, `none` where there was no reply, or by the step's name",
);

/// See its help.
pub const PARTITIONS_ASSIGNED: Definition =
    gauge("oncesink_partitions_assigned", LANE, "Partitions that the group has given to this instance");
/// See its help.
pub const PARTITION_HALTED: Definition =
    gauge("oncesink_partition_halted", PARTITION, "1 while the partition stands still and a person has to act");
/// See its help.
pub const PAUSED_PARTITIONS: Definition =
    gauge("oncesink_paused_partitions", LANE, "Partitions that are not fetched, because memory is full");
/// See its help.
pub const MEMORY_BYTES: Definition =
    gauge("oncesink_memory_bytes", PROCESS, "Bytes of records and blocks held, including librdkafka's queues");
/// See its help.
pub const MEMORY_MAX_BYTES: Definition =
    gauge("oncesink_memory_max_bytes", PROCESS, "The configured bound of oncesink_memory_bytes");
/// See its help.
pub const START_TIME_SECONDS: Definition =
    gauge("oncesink_start_time_seconds", PROCESS, "When the process started, in seconds since 1970");
/// See its help.
pub const BUILD_INFO: Definition =
    gauge("oncesink_build_info", &["version", "target", "profile"], "Always 1; the labels say what is running");

/// See its help.
pub const AUDITED_RANGES: Definition =
    counter("oncesink_audited_ranges_total", LANE, "Ranges of the ledger whose rows were counted again");
/// See its help.
pub const AUDIT_DIFFERENCES: Definition = counter(
    "oncesink_audit_differences_total",
    LANE,
    "Ranges of the ledger that turned out to have fewer or more rows than proven, each counted once",
);
/// See its help.
pub const AUDIT_DIFFERING_RANGES: Definition = gauge(
    "oncesink_audit_differing_ranges",
    LANE,
    "Ranges of the ledger that have fewer or more rows than proven now; they are counted again with every audit",
);
/// See its help.
pub const AUDIT_TIME_SECONDS: Definition =
    gauge("oncesink_audit_time_seconds", LANE, "When an audit was finished last, in seconds since 1970; 0 before");

/// See its help.
pub const SCHEMA_REGISTRY_REQUESTS: Definition = counter(
    "oncesink_schema_registry_requests_total",
    &["outcome"],
    "Requests to the schema registry by outcome (found, absent, refused, failed)",
);
/// See its help.
pub const SCHEMAS_AWAITED: Definition = gauge(
    "oncesink_schemas_awaited",
    PROCESS,
    "Schemas that records name and that the registry has not given yet; partitions with such records wait",
);
/// See its help.
pub const STRANGER_PARTITIONS: Definition = gauge(
    "oncesink_stranger_partitions",
    &["topic"],
    "Partitions that the consumer group has given to members that are not of this connector: nothing of them is read; `/status` names the members",
);
/// See its help.
pub const TOPICS_LEFT_OUT: Definition = gauge(
    "oncesink_topics_left_out",
    PROCESS,
    "Topics that match a pattern of the configuration and are not read: the status says why",
);

/// All of them, in the order of the documentation.
pub const ALL: &[Definition] = &[
    RECORDS_CONSUMED,
    ROWS_INSERTED,
    DEAD_LETTERS,
    SKIPPED,
    VALUES_REPLACED,
    COLUMNS_ADDED,
    DISCARDED,
    RECORDS_IN_FLIGHT,
    BYTES_IN,
    BYTES_OUT,
    INSERTS,
    ROUTED_ROWS,
    INSERT_SECONDS,
    BLOCK_ROWS,
    BLOCK_BYTES,
    COMMITS,
    COMMIT_SECONDS,
    CONSUMER_LAG_RECORDS,
    CONSUMER_LAG_SECONDS,
    OPEN_TRANSACTION_SECONDS,
    VISIBLE_LATENCY_SECONDS,
    TAKEOVERS,
    TAKEOVER_SECONDS,
    FENCED_INSERTS,
    DRAINED_INSERTS,
    REWINDS,
    GAPS,
    VIEWS_UNVERIFIED,
    ALERTS,
    RETRIES,
    AUDITED_RANGES,
    AUDIT_DIFFERENCES,
    AUDIT_DIFFERING_RANGES,
    AUDIT_TIME_SECONDS,
    SCHEMA_REGISTRY_REQUESTS,
    SCHEMAS_AWAITED,
    STRANGER_PARTITIONS,
    TOPICS_LEFT_OUT,
    PARTITIONS_ASSIGNED,
    PARTITION_HALTED,
    PAUSED_PARTITIONS,
    MEMORY_BYTES,
    MEMORY_MAX_BYTES,
    START_TIME_SECONDS,
    BUILD_INFO,
];

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use super::*;

    /// The page, as it should be.
    fn page() -> String {
        let mut page = String::from(
            "# Metrics\n\n\
             Served at `/metrics` of the admin port, in Prometheus' text format. Made from `src/metrics/definitions.rs`; \
             a test fails when the two differ, and `UPDATE_METRICS_PAGE=1 cargo test metrics_page` writes this page \
             anew.\n\n\
             Every series also carries `connector`. Labels are bounded: topics, tables and detectors come from the \
             configuration, topics of patterns (at most 1,000 at a time) and partitions from the cluster, the other values are fixed words.\n\n\
             The accounts balance in every scrape, for each partition: `records_consumed_total` = \
             `rows_inserted_total` + `dead_letters_total` + `skipped_total` + `discarded_total` + \
             `records_in_flight`.\n\n\
             | name | kind | labels | meaning |\n|---|---|---|---|\n",
        );
        for metric in ALL {
            let labels: Vec<_> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
            writeln!(
                page,
                "| `{}` | {} | {} | {} |",
                metric.name,
                metric.kind.as_str(),
                labels.join(", "),
                metric.help
            )
            .unwrap();
        }
        page
    }

    #[test]
    fn the_metrics_page_is_up_to_date() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/METRICS.md");
        if std::env::var_os("UPDATE_METRICS_PAGE").is_some() {
            std::fs::write(path, page()).unwrap();
        }
        let found = std::fs::read_to_string(path).unwrap();
        assert!(found == page(), "deploy/METRICS.md is out of date: UPDATE_METRICS_PAGE=1 cargo test metrics_page");
    }

    #[test]
    fn names_follow_the_rules() {
        for metric in ALL {
            let Definition { name, kind, buckets, .. } = metric;
            assert!(name.starts_with("oncesink_"), "{name}");
            assert_eq!(name.ends_with("_total"), *kind == Kind::Counter, "{name}");
            assert_eq!(buckets.is_empty(), *kind != Kind::Histogram, "{name}");
            assert!(buckets.is_sorted_by(|low, high| low < high), "{name}");
            assert!(!metric.help.ends_with('.'), "{name}");
            assert_eq!(ALL.iter().filter(|other| other.name == *name).count(), 1, "{name}");
        }
    }
}
