//! What happens to the process as a whole: transactions, producer, memory.

use std::sync::Arc;
use std::time::Duration;

use metrics::{Gauge, Histogram};
use tracing::{debug, error, info, warn};

use super::definitions as names;
use super::lane::LaneMetrics;
use super::registry::{Registry, float};
use super::schemas::SchemaMetrics;
use super::throttle::Throttled;
use crate::clock;
use crate::protocol::event::TransactionEnd;

/// All metrics of one connector. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Metrics {
    registry: Arc<Registry>,
    commit_seconds: Histogram,
    memory: Gauge,
    memory_max: Gauge,
    topics_left_out: Gauge,
}

impl Metrics {
    /// The metrics of the connector of this name. The process's start is now.
    pub fn new(connector: &str) -> Self {
        let registry = Arc::new(Registry::new(connector));
        let profile = if cfg!(debug_assertions) { "debug" } else { "release" };
        let target = format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS);
        registry.gauge(&names::BUILD_INFO, &[env!("CARGO_PKG_VERSION"), &target, profile]).set(1.0);
        let started = u64::try_from(clock::unix_ms()).unwrap_or(0);
        registry.gauge(&names::START_TIME_SECONDS, &[]).set(float(started) / 1000.0);
        Self {
            commit_seconds: registry.histogram(&names::COMMIT_SECONDS, &[]),
            memory: registry.gauge(&names::MEMORY_BYTES, &[]),
            memory_max: registry.gauge(&names::MEMORY_MAX_BYTES, &[]),
            topics_left_out: registry.gauge(&names::TOPICS_LEFT_OUT, &[]),
            registry,
        }
    }

    /// The handles of a lane.
    pub fn lane(&self, topic: &str, table: &str) -> LaneMetrics {
        LaneMetrics::new(&self.registry, topic, table)
    }

    /// The handles of the schema registry's client.
    pub fn schemas(&self) -> SchemaMetrics {
        SchemaMetrics::new(&self.registry)
    }

    /// What `/metrics` serves.
    pub fn render(&self) -> String {
        self.registry.render()
    }

    /// To be called every few seconds, whether anybody scrapes or not: keeps the samples of histograms from piling up.
    pub fn upkeep(&self) {
        self.registry.upkeep();
    }

    /// Says which log lines are to be written; shared, so that one cause is one line a minute wherever it shows.
    pub fn throttled(&self) -> &Throttled {
        &self.registry.throttled
    }

    /// Memory held, and its bound.
    pub fn memory(&self, bytes: u64, bytes_max: u64) {
        self.memory.set(float(bytes));
        self.memory_max.set(float(bytes_max));
    }

    /// So many topics match a pattern and are not read.
    pub fn topics_left_out(&self, topics: u64) {
        self.topics_left_out.set(float(topics));
    }

    /// So many partitions of the topic are with members of the group that are not of this connector.
    pub fn stranger_partitions(&self, topic: &str, partitions: u64) {
        self.registry.gauge(&names::STRANGER_PARTITIONS, &[topic]).set(float(partitions));
    }

    /// A Kafka transaction has ended.
    pub fn transaction_ended(&self, end: &TransactionEnd, partitions: usize, elapsed: Duration) {
        self.commit_seconds.record(elapsed.as_secs_f64());
        let outcome = match end {
            TransactionEnd::Committed | TransactionEnd::CommittedSlowly => "committed",
            TransactionEnd::NotOwned(_) => "not_owned",
            TransactionEnd::Rejected(_) => "rejected",
            TransactionEnd::Ambiguous(_) => "ambiguous",
            TransactionEnd::Fenced(_) => "fenced",
            TransactionEnd::InstanceReplaced => "instance_replaced",
        };
        self.registry.counter(&names::COMMITS, &[outcome]).increment(1);
        match end {
            TransactionEnd::Committed => debug!(partitions, ?elapsed, "committed"),
            TransactionEnd::CommittedSlowly => {
                warn!(partitions, ?elapsed, "committed, but slowly: the producer is made anew");
            }
            TransactionEnd::NotOwned(lost) => {
                info!(partitions, lost = lost.len(), "transaction not sent: partitions were revoked");
            }
            TransactionEnd::InstanceReplaced => {
                error!("another process runs with this instance: this one is replaced and stops");
            }
            TransactionEnd::Rejected(reason) | TransactionEnd::Ambiguous(reason) | TransactionEnd::Fenced(reason) => {
                self.registry.retried("transaction");
                let cause = format!("transaction {outcome}");
                if let Some(held_back) = self.registry.throttled.permit(&cause, clock::now()) {
                    warn!(outcome, partitions, error = reason, held_back, "transaction did not commit");
                }
            }
        }
    }

    /// The transactional producer could not be made; it is tried again.
    pub fn producer_failed(&self, reason: &str) {
        self.registry.retried("producer");
        if let Some(held_back) = self.registry.throttled.permit("producer", clock::now()) {
            warn!(error = reason, held_back, "the transactional producer is not ready, trying again");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::metrics::definitions::{self, Kind};
    use crate::metrics::{BatchTally, InsertReport, RegistryReply};
    use crate::protocol::action::Why;
    use crate::protocol::event::{InsertEnd, ServerError, ServerErrorKind, Table};
    use crate::types::{BlockNumber, Offset, OffsetRange, Partition, RecordCount, TargetNumber};

    /// Metrics after one of each event.
    fn everything() -> String {
        let metrics = Metrics::new("readings");
        let lane = metrics.lane("readings", "iot.readings");
        let partition = lane.partition(Partition(3));
        let second = Duration::from_secs(1);
        let range = OffsetRange::new(Offset::new(5), Offset::new(9));
        let mut tally = BatchTally::new();
        tally.dead("invalid_json");
        tally.replaced("temp", "clamp", 2);
        lane.block_closed(vec![(Arc::clone(&partition), tally)]).acknowledged();
        let error = |kind| InsertEnd::Ended(ServerError { code: 241, text: "memory limit".to_owned(), kind });
        let ends = [
            InsertEnd::Acknowledged,
            InsertEnd::Fenced,
            InsertEnd::Short,
            InsertEnd::Present,
            InsertEnd::TableChanged,
            error(ServerErrorKind::Passing),
            error(ServerErrorKind::Configuration),
            InsertEnd::Unknown("connection reset".to_owned()),
        ];
        for end in &ends {
            lane.insert_ended(&InsertReport {
                block: BlockNumber(1),
                into: Table::Target(TargetNumber::OWN),
                target: Some("db.routed"),
                rows: 100,
                bytes: 4000,
                elapsed: second,
                end,
            });
        }
        lane.visible(second);
        lane.takeover_began(Why::Assigned, 4);
        lane.takeover_failed("claim", "connection refused");
        lane.takeover_ended(4, second);
        lane.drained(2);
        let audit = lane.audit();
        audit.differs(Partition(3), range, RecordCount(4), RecordCount(3));
        audit.finished(12, 1);
        lane.partitions(4, 1);
        lane.alerts("too_hot", "high").fired(3);
        partition.lag(1_000, second);
        partition.resumed(Offset::new(5));
        partition.rewound(range);
        partition.gap(range);
        partition.views_unverified(range);
        partition.halted("topic_recreated", "why");
        metrics.memory(1, 2);
        metrics.transaction_ended(&TransactionEnd::Committed, 4, second);
        metrics.transaction_ended(&TransactionEnd::NotOwned(BTreeSet::new()), 4, second);
        metrics.transaction_ended(&TransactionEnd::Ambiguous("timed out".to_owned()), 4, second);
        metrics.producer_failed("no broker");
        metrics.stranger_partitions("readings", 1);
        metrics.schemas().replied(RegistryReply::Refused);
        metrics.schemas().awaited(3);
        metrics.upkeep();
        metrics.render()
    }

    #[test]
    fn every_metric_of_the_table_is_fed_and_nothing_else() {
        let text = everything();
        for metric in definitions::ALL {
            assert!(text.contains(&format!("# HELP {} {}\n", metric.name, metric.help)), "{}", metric.name);
            assert!(text.contains(&format!("# TYPE {} {}\n", metric.name, metric.kind.as_str())), "{}", metric.name);
            let sample = if metric.kind == Kind::Histogram { "_count" } else { "" };
            let sample = format!("{}{sample}{{connector=\"readings\"", metric.name);
            assert!(text.contains(&sample), "{sample}\n{text}");
        }
        let described = text.lines().filter(|line| line.starts_with("# TYPE")).count();
        assert_eq!(described, definitions::ALL.len(), "{text}");
    }

    #[test]
    fn events_are_counted_where_they_belong() {
        let text = everything();
        let check = |line: &str| assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        let lane = r#"connector="readings",topic="readings",table="iot.readings""#;
        check(&format!(r#"oncesink_inserts_total{{{lane},into="target",outcome="acknowledged"}} 1"#));
        check(&format!(r#"oncesink_inserts_total{{{lane},into="target",outcome="error"}} 2"#));
        check(&format!(r#"oncesink_inserts_total{{{lane},into="target",outcome="table_changed"}} 1"#));
        check(&format!(r#"oncesink_inserts_total{{{lane},into="target",outcome="unknown"}} 1"#));
        check(&format!(r#"oncesink_fenced_inserts_total{{{lane}}} 1"#));
        check(&format!(r#"oncesink_insert_seconds_bucket{{{lane},into="target",le="1"}} 8"#));
        check(&format!(r#"oncesink_insert_seconds_bucket{{{lane},into="target",le="0.5"}} 0"#));
        check(&format!(r#"oncesink_bytes_out_total{{{lane}}} 32000"#));
        check(&format!(r#"oncesink_audited_ranges_total{{{lane}}} 12"#));
        check(&format!(r#"oncesink_audit_differences_total{{{lane}}} 1"#));
        check(&format!(r#"oncesink_audit_differing_ranges{{{lane}}} 1"#));
        check(&format!(r#"oncesink_takeovers_total{{{lane},why="assigned"}} 1"#));
        check(&format!(r#"oncesink_alerts_total{{{lane},detector="too_hot",severity="high"}} 3"#));
        check(&format!(r#"oncesink_dead_letters_total{{{lane},partition="3",reason="invalid_json"}} 1"#));
        check(&format!(r#"oncesink_consumer_lag_records{{{lane},partition="3"}} 1000"#));
        check(&format!(r#"oncesink_partition_halted{{{lane},partition="3"}} 1"#));
        check(r#"oncesink_retries_total{connector="readings",code="241"} 2"#);
        check(r#"oncesink_retries_total{connector="readings",code="claim"} 1"#);
        check(r#"oncesink_commits_total{connector="readings",outcome="ambiguous"} 1"#);
        check(r#"oncesink_schema_registry_requests_total{connector="readings",outcome="refused"} 1"#);
        check(r#"oncesink_schema_registry_requests_total{connector="readings",outcome="failed"} 0"#);
        check(r#"oncesink_schemas_awaited{connector="readings"} 3"#);
    }

    #[test]
    fn what_is_not_ours_any_more_reports_no_lag() {
        let metrics = Metrics::new("readings");
        let partition = metrics.lane("readings", "iot.readings").partition(Partition(0));
        partition.lag(1_000, Duration::from_secs(60));
        partition.halted("newer_metadata", "why");
        partition.revoked();
        let text = metrics.render();
        for name in ["oncesink_consumer_lag_records{", "oncesink_consumer_lag_seconds{", "oncesink_partition_halted{"] {
            let line = text.lines().find(|line| line.starts_with(name)).unwrap();
            assert!(line.ends_with(" 0"), "{line}");
        }
    }
}
