//! What the audit of a lane has found.

use std::sync::Arc;

use metrics::{Counter, Gauge};
use tracing::{debug, error, info, warn};

use super::definitions as names;
use super::registry::{Registry, float};
use crate::clock;
use crate::types::{OffsetRange, Partition, RecordCount};

/// The handles of one lane's audit.
#[derive(Debug)]
pub struct AuditMetrics {
    registry: Arc<Registry>,
    topic: Arc<str>,
    table: Arc<str>,
    audited: Counter,
    differences: Counter,
    differing: Gauge,
    time: Gauge,
}

impl AuditMetrics {
    pub(super) fn new(registry: &Arc<Registry>, topic: &Arc<str>, table: &Arc<str>) -> Self {
        let labels: [&str; 2] = [topic, table];
        Self {
            audited: registry.counter(&names::AUDITED_RANGES, &labels),
            differences: registry.counter(&names::AUDIT_DIFFERENCES, &labels),
            differing: registry.gauge(&names::AUDIT_DIFFERING_RANGES, &labels),
            time: registry.gauge(&names::AUDIT_TIME_SECONDS, &labels),
            registry: Arc::clone(registry),
            topic: Arc::clone(topic),
            table: Arc::clone(table),
        }
    }

    /// An audit is finished: so many ranges were counted, so many have another number of rows than proven.
    pub fn finished(&self, audited: u64, differing: u64) {
        self.audited.increment(audited);
        self.differing.set(float(differing));
        self.time.set(float(u64::try_from(clock::unix_ms()).unwrap_or(0)) / 1000.0);
        debug!(topic = &*self.topic, table = &*self.table, audited, differing, "audited");
    }

    /// A range has another number of rows than the ledger has proven.
    pub fn differs(&self, partition: Partition, range: OffsetRange, expected: RecordCount, found: RecordCount) {
        self.differences.increment(1);
        error!(
            topic = &*self.topic,
            table = &*self.table,
            %partition,
            %range,
            %expected,
            %found,
            "audit: the table holds another number of rows than the ledger has proven; `oncesink verify` names the offsets",
        );
    }

    /// A range that differed is as it should be again, or a newer row of the ledger speaks for it.
    pub fn agrees(&self, partition: Partition, range: OffsetRange) {
        info!(topic = &*self.topic, table = &*self.table, %partition, %range, "audit: this range differs no longer");
    }

    /// An audit could not be done; the next one is tried at its time.
    pub fn failed(&self, reason: &str) {
        let (topic, table) = (&*self.topic, &*self.table);
        if let Some(held_back) = self.registry.throttled.permit(&format!("audit {topic} {table}"), clock::now()) {
            warn!(topic, table, error = reason, held_back, "an audit could not be done");
        }
    }
}
