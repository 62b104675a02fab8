//! The continuous audit: now and then, whether the tables still hold what the ledger has proven.
//!
//! Reads the status to know which partitions are ours and running, asks ClickHouse, tells people. Takes no part in the
//! protocol: no action, no event, no lock of it; what fails here is left until the next time.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::admin::{AuditDifference, PartitionState, PartitionStatus, Status};
use crate::ledger::{self, Audited};
use crate::metrics::AuditMetrics;
use crate::pipeline::effects::{Effects, LaneEffects};
use crate::types::{LaneId, OffsetRange, Partition, RecordCount};

/// The longest that the audit of one lane may take.
const AUDIT_TIMEOUT: Duration = Duration::from_secs(60);
/// Partitions of one lane that are audited at a time; of more, each time others.
const PARTITIONS_MAX: usize = 100;
/// Differences of one lane that are remembered and counted again. More add nothing to the alarm.
const DIFFERENCES_MAX: usize = 100;

/// What is known to differ in one lane.
#[derive(Debug)]
struct LaneAudit {
    metrics: AuditMetrics,
    /// By partition and range: proven and found.
    differing: BTreeMap<(Partition, OffsetRange), (RecordCount, RecordCount)>,
}

/// Audits every `interval`.
pub(super) async fn audit_for_ever(
    interval: Duration,
    effects: Arc<Effects>,
    status: watch::Sender<Arc<Status>>,
) -> Infallible {
    // Of a lane whose rows expire or are merged away counts prove nothing.
    let lanes = effects.lanes.iter().filter(|(_, lane)| !lane.rows_expire);
    let mut audits: BTreeMap<LaneId, LaneAudit> = lanes
        .map(|(id, lane)| (*id, LaneAudit { metrics: lane.metrics.audit(), differing: BTreeMap::new() }))
        .collect();
    let mut round = 0;
    loop {
        tokio::time::sleep(interval).await;
        let mut differences = Vec::new();
        for (id, audit) in &mut audits {
            let lane = effects.lane(*id);
            let (mine, running) = {
                let status = status.borrow();
                (assigned(&status, lane), running(&status, lane, round))
            };
            // Whoever has the partition now audits it.
            audit.differing.retain(|(partition, _), _| mine.contains(partition));
            audit.round(&effects, lane, &running).await;
            differences.extend(audit.differences(lane));
        }
        round += 1;
        status.send_if_modified(|status| {
            let changed = status.audit_differences != differences;
            if changed {
                Arc::make_mut(status).audit_differences = differences;
            }
            changed
        });
    }
}

/// The lane's partitions that the group has given to us.
fn assigned(status: &Status, lane: &LaneEffects) -> Vec<Partition> {
    of_lane(status, lane).map(|one| Partition(one.partition)).collect()
}

fn of_lane<'s>(status: &'s Status, lane: &LaneEffects) -> impl Iterator<Item = &'s PartitionStatus> {
    let (topic, table) = (lane.tables.cell.topic.clone(), lane.tables.cell.target.to_string());
    status.partitions.iter().filter(move |one| one.topic == topic && one.table == table)
}

/// Those that are consumed, as many as are audited at a time.
fn running(status: &Status, lane: &LaneEffects, round: usize) -> Vec<Partition> {
    let mut running: Vec<Partition> = of_lane(status, lane)
        .filter(|one| matches!(one.state, PartitionState::Running | PartitionState::Paused))
        .map(|one| Partition(one.partition))
        .collect();
    if running.len() > PARTITIONS_MAX {
        let start = round * PARTITIONS_MAX % running.len();
        running.rotate_left(start);
        running.truncate(PARTITIONS_MAX);
    }
    running
}

impl LaneAudit {
    async fn round(&mut self, effects: &Effects, lane: &LaneEffects, running: &[Partition]) {
        if running.is_empty() {
            return;
        }
        let session = effects.session();
        let mine = |(partition, _): &(Partition, OffsetRange)| running.contains(partition);
        let known: Vec<(Partition, OffsetRange)> = self.differing.keys().copied().filter(mine).collect();
        let mut pick = |ranges: usize| rand::random_range(0..ranges);
        let asking = ledger::audit(&session, &lane.tables, running, &known, &mut pick);
        match tokio::time::timeout(AUDIT_TIMEOUT, asking).await {
            Ok(Ok(audited)) => self.take(&audited, &known),
            Ok(Err(error)) => self.metrics.failed(&error.to_string()),
            Err(_) => self.metrics.failed(&format!("no end within {} s", AUDIT_TIMEOUT.as_secs())),
        }
    }

    fn take(&mut self, audited: &[Audited], known: &[(Partition, OffsetRange)]) {
        for (partition, range) in known {
            let still = audited.iter().any(|one| (one.partition, one.range) == (*partition, *range) && one.differs());
            if !still {
                self.differing.remove(&(*partition, *range));
                self.metrics.agrees(*partition, *range);
            }
        }
        for one in audited.iter().filter(|one| one.differs()) {
            let key = (one.partition, one.range);
            let is_new = !self.differing.contains_key(&key);
            if is_new {
                self.metrics.differs(one.partition, one.range, one.expected, one.found);
            }
            if !is_new || self.differing.len() < DIFFERENCES_MAX {
                self.differing.insert(key, (one.expected, one.found));
            }
        }
        self.metrics.finished(length(audited.len()), length(self.differing.len()));
    }

    fn differences(&self, lane: &LaneEffects) -> Vec<AuditDifference> {
        let cell = &lane.tables.cell;
        let difference =
            |((partition, range), (expected, found)): (&(Partition, OffsetRange), &(RecordCount, RecordCount))| {
                AuditDifference {
                    topic: cell.topic.clone(),
                    table: cell.target.to_string(),
                    partition: partition.0,
                    start: range.start().get(),
                    end: range.end().get(),
                    expected: expected.0,
                    found: found.0,
                }
            };
        self.differing.iter().map(difference).collect()
    }
}

fn length(items: usize) -> u64 {
    u64::try_from(items).unwrap_or(u64::MAX)
}
