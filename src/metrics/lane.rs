//! What happens to one lane: a topic and its table.

use std::sync::Arc;
use std::time::Duration;

use metrics::{Counter, Gauge, Histogram};
use tracing::{debug, error, info, warn};

use super::account::{BatchTally, BlockAccount};
use super::audit::AuditMetrics;
use super::definitions as names;
use super::partition::PartitionMetrics;
use super::registry::{Registry, float};
use crate::clock;
use crate::protocol::action::Why;
use crate::protocol::event::{InsertEnd, ServerErrorKind, Table};
use crate::types::{BlockNumber, Partition, TargetNumber};

/// One insert that has ended, however it did.
#[derive(Debug)]
pub struct InsertReport<'a> {
    /// The block.
    pub block: BlockNumber,
    /// The table it went into.
    pub into: Table,
    /// The target table's name, where the topic has several.
    pub target: Option<&'a str>,
    /// Its rows.
    pub rows: u64,
    /// Its body's size as sent.
    pub bytes: u64,
    /// From sending to the reply.
    pub elapsed: Duration,
    /// How it ended.
    pub end: &'a InsertEnd,
}

/// The handles of one lane.
#[derive(Debug)]
pub struct LaneMetrics {
    registry: Arc<Registry>,
    topic: Arc<str>,
    table: Arc<str>,
    inserts: [InsertHandles; TABLES.len()],
    bytes_out: Counter,
    block_rows: Histogram,
    block_bytes: Histogram,
    visible_latency: Histogram,
    takeover_seconds: Histogram,
    fenced: Counter,
    drained: Counter,
    columns_added: Counter,
    assigned: Gauge,
    paused: Gauge,
}

#[derive(Debug)]
struct InsertHandles {
    acknowledged: Counter,
    seconds: Histogram,
}

const TABLES: [Table; 4] = [Table::Target(TargetNumber::OWN), Table::DeadLetters, Table::Alerts, Table::Ledger];

fn index(table: Table) -> usize {
    match table {
        Table::Target(_) => 0,
        Table::DeadLetters => 1,
        Table::Alerts => 2,
        Table::Ledger => 3,
    }
}

fn word(table: Table) -> &'static str {
    match table {
        Table::Target(_) => "target",
        Table::DeadLetters => "dead_letters",
        Table::Alerts => "alerts",
        Table::Ledger => "ledger",
    }
}

fn outcome(end: &InsertEnd) -> &'static str {
    match end {
        InsertEnd::Acknowledged => "acknowledged",
        InsertEnd::Fenced => "fenced",
        InsertEnd::Short => "short",
        InsertEnd::Present => "present",
        InsertEnd::TableChanged => "table_changed",
        InsertEnd::Ended(_) => "error",
        InsertEnd::TooLarge(_) => "too_large",
        InsertEnd::Unknown(_) => "unknown",
    }
}

impl LaneMetrics {
    pub(crate) fn new(registry: &Arc<Registry>, topic: &str, table: &str) -> Self {
        let labels = [topic, table];
        let inserts = TABLES.map(|into| InsertHandles {
            acknowledged: registry
                .counter(&names::INSERTS, &[topic, table, word(into), outcome(&InsertEnd::Acknowledged)]),
            seconds: registry.histogram(&names::INSERT_SECONDS, &[topic, table, word(into)]),
        });
        Self {
            registry: Arc::clone(registry),
            topic: topic.into(),
            table: table.into(),
            inserts,
            bytes_out: registry.counter(&names::BYTES_OUT, &labels),
            block_rows: registry.histogram(&names::BLOCK_ROWS, &labels),
            block_bytes: registry.histogram(&names::BLOCK_BYTES, &labels),
            visible_latency: registry.histogram(&names::VISIBLE_LATENCY_SECONDS, &labels),
            takeover_seconds: registry.histogram(&names::TAKEOVER_SECONDS, &labels),
            fenced: registry.counter(&names::FENCED_INSERTS, &labels),
            drained: registry.counter(&names::DRAINED_INSERTS, &labels),
            columns_added: registry.counter(&names::COLUMNS_ADDED, &labels),
            assigned: registry.gauge(&names::PARTITIONS_ASSIGNED, &labels),
            paused: registry.gauge(&names::PAUSED_PARTITIONS, &labels),
        }
    }

    /// The handles of a partition. Made again after a reassignment, they go on where the old ones ended.
    pub fn partition(&self, partition: Partition) -> Arc<PartitionMetrics> {
        Arc::new(PartitionMetrics::new(&self.registry, &self.topic, &self.table, partition))
    }

    /// The counter of one detector's alerts of one severity; both words come from the configuration.
    pub fn alerts(&self, detector: &str, severity: &str) -> AlertCounter {
        AlertCounter(self.registry.counter(&names::ALERTS, &[&self.topic, &self.table, detector, severity]))
    }

    /// A block has closed: books what its partitions brought.
    pub fn block_closed(&self, batches: Vec<(Arc<PartitionMetrics>, BatchTally)>) -> BlockAccount {
        BlockAccount::open(Arc::clone(&self.registry), batches)
    }

    /// An insert has ended.
    pub fn insert_ended(&self, report: &InsertReport<'_>) {
        let InsertReport { block, into, target, rows, bytes, elapsed, end } = report;
        let shown = target.unwrap_or(word(*into));
        let handles = &self.inserts[index(*into)];
        handles.seconds.record(elapsed.as_secs_f64());
        self.bytes_out.increment(*bytes);
        if into.is_target() {
            self.block_rows.record(float(*rows));
            self.block_bytes.record(float(*bytes));
        }
        if **end == InsertEnd::Acknowledged {
            handles.acknowledged.increment(1);
            if let Some(target) = target {
                self.registry.counter(&names::ROUTED_ROWS, &[&self.topic, &self.table, target]).increment(*rows);
            }
            debug!(topic = &*self.topic, table = &*self.table, into = shown, %block, rows, bytes, ?elapsed, "inserted");
            return;
        }
        self.registry.counter(&names::INSERTS, &[&self.topic, &self.table, word(*into), outcome(end)]).increment(1);
        self.insert_failed(*block, shown, end);
    }

    fn insert_failed(&self, block: BlockNumber, into: &str, end: &InsertEnd) {
        let (topic, table) = (&*self.topic, &*self.table);
        match end {
            InsertEnd::Acknowledged => {}
            InsertEnd::Fenced => {
                self.fenced.increment(1);
                info!(topic, table, into, %block, "insert refused: another owner claimed a partition of the block");
            }
            InsertEnd::Short => {
                warn!(topic, table, into, %block, "the ledger's proof found fewer rows than were acknowledged");
            }
            InsertEnd::Present => {
                warn!(topic, table, into, %block, "insert refused: rows are there that were not before (a request sent twice?)");
            }
            InsertEnd::TableChanged => {
                let cause = format!("insert {topic} {table} changed");
                if let Some(held_back) = self.registry.throttled.permit(&cause, clock::now()) {
                    info!(topic, table, into, %block, held_back, "insert refused: the table was changed since it was read");
                }
            }
            InsertEnd::Ended(error) => {
                let code = error.code;
                self.registry.retried(&code.to_string());
                let cause = format!("insert {topic} {table} {into} {code}");
                let Some(held_back) = self.registry.throttled.permit(&cause, clock::now()) else { return };
                let text = &error.text;
                match error.kind {
                    ServerErrorKind::Configuration => {
                        error!(topic, table, into, %block, code, error = text, held_back, "insert refused until the table, a grant or a setting is changed");
                    }
                    ServerErrorKind::TableChanged => {
                        info!(topic, table, into, %block, code, error = text, held_back, "insert ended with an error: the table was changed since it was read");
                    }
                    ServerErrorKind::Passing | ServerErrorKind::Bytes | ServerErrorKind::Doubtful => {
                        warn!(topic, table, into, %block, code, error = text, held_back, "insert ended with an error");
                    }
                }
            }
            InsertEnd::TooLarge(why) => {
                self.registry.retried("413");
                warn!(topic, table, into, %block, error = why, "insert too large for what is in front of clickhouse");
            }
            InsertEnd::Unknown(why) => {
                self.registry.retried("none");
                let cause = format!("insert {topic} {table} {into}");
                if let Some(held_back) = self.registry.throttled.permit(&cause, clock::now()) {
                    warn!(topic, table, into, %block, error = why, held_back, "insert without an answer");
                }
            }
        }
    }

    /// The rows of a block are visible: the age of one partition's oldest record in it, by its Kafka timestamp.
    pub fn visible(&self, oldest: Duration) {
        self.visible_latency.record(oldest.as_secs_f64());
    }

    /// A takeover begins.
    pub fn takeover_began(&self, why: Why, partitions: usize) {
        self.registry.counter(&names::TAKEOVERS, &[&self.topic, &self.table, why.code()]).increment(1);
        let (topic, table, why) = (&*self.topic, &*self.table, why.code());
        // In an outage takeovers repeat; their first line names the cause, the rest is counted.
        if let Some(held_back) =
            self.registry.throttled.permit(&format!("takeover {topic} {table} {why}"), clock::now())
        {
            info!(topic, table, why, partitions, held_back, "takeover begins");
        }
    }

    /// A takeover is over; its partitions are consumed.
    pub fn takeover_ended(&self, partitions: usize, elapsed: Duration) {
        self.takeover_seconds.record(elapsed.as_secs_f64());
        info!(topic = &*self.topic, table = &*self.table, partitions, ?elapsed, "takeover done");
    }

    /// A step of a takeover failed; it is tried again.
    pub fn takeover_failed(&self, step: &'static str, reason: &str) {
        self.registry.retried(step);
        let (topic, table) = (&*self.topic, &*self.table);
        if let Some(held_back) =
            self.registry.throttled.permit(&format!("takeover {topic} {table} failed at {step}"), clock::now())
        {
            warn!(topic, table, step, error = reason, held_back, "takeover failed, trying again");
        }
    }

    /// A takeover waited for this many running statements.
    pub fn drained(&self, statements: u64) {
        self.drained.increment(statements);
        if statements > 0 {
            info!(topic = &*self.topic, table = &*self.table, statements, "waited for statements of earlier owners");
        }
    }

    /// Columns were added to the table.
    pub fn columns_added(&self, columns: usize) {
        self.columns_added.increment(u64::try_from(columns).unwrap_or(u64::MAX));
    }

    /// The handles of the lane's audit.
    pub fn audit(&self) -> AuditMetrics {
        AuditMetrics::new(&self.registry, &self.topic, &self.table)
    }

    /// How many partitions the group has given to us, and how many of these are not fetched because memory is full.
    pub fn partitions(&self, assigned: u64, paused: u64) {
        self.assigned.set(float(assigned));
        self.paused.set(float(paused));
    }
}

/// Counts one detector's alerts of one severity.
#[derive(Debug)]
pub struct AlertCounter(Counter);

impl AlertCounter {
    /// Alerts were committed.
    pub fn fired(&self, alerts: u64) {
        self.0.increment(alerts);
    }
}
