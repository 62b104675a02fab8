//! The alerts of one block, apart by partition.
//!
//! Each alert belongs to one partition, a summary too: a partition that goes away before the block's transaction takes
//! exactly its own alerts along.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::alert::{Alert, AlertOrigin};
use super::id::{AlertId, AlertKind, Identity};
use super::observed::Observed;
use crate::config::Severity;
use crate::types::{Offset, Partition, RecordCount, Replay, TopicId};

/// Where a record was read, and when it was written.
#[derive(Debug, Clone, Copy)]
pub struct AlertCoordinates {
    /// The partition.
    pub partition: Partition,
    /// The offset.
    pub offset: Offset,
    /// Which row of the record; 0 where it makes one.
    pub row: u64,
    /// The record's timestamp in Unix milliseconds, where it has one.
    pub timestamp_ms: Option<i64>,
    /// The topic's identity in Kafka.
    pub topic_id: TopicId,
    /// How often the topic was begun anew.
    pub replay: Replay,
}

/// The alerts of a block that is being filled.
#[derive(Debug, Default)]
pub struct AlertBuffer {
    by_partition: BTreeMap<Partition, Vec<Alert>>,
    /// Alerts kept per detector, over all partitions.
    kept: Vec<u32>,
    suppressed: BTreeMap<(Partition, usize), Suppressed>,
    bytes: usize,
}

/// The alerts of a block that is complete.
#[derive(Debug, Default)]
pub struct AlertSet {
    by_partition: BTreeMap<Partition, Vec<Alert>>,
    bytes: usize,
}

#[derive(Debug)]
struct Suppressed {
    origin: Arc<AlertOrigin>,
    first: AlertCoordinates,
    last: Offset,
    count: u64,
    worst: Severity,
    alerts_per_block_max: u32,
}

impl AlertBuffer {
    /// Without alerts.
    pub fn new() -> Self {
        Self::default()
    }

    /// Bytes held, for the memory budget.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Forgets what the partition's records fired. What they took of a detector's limit stays taken: the alerts that
    /// were suppressed for it are not known any more.
    pub fn drop_partition(&mut self, partition: Partition) {
        let dropped = self.by_partition.remove(&partition).unwrap_or_default();
        self.bytes -= dropped.iter().map(Alert::bytes).sum::<usize>();
        let before = self.suppressed.len();
        self.suppressed.retain(|(of, _), _| *of != partition);
        self.bytes -= (before - self.suppressed.len()) * size_of::<Suppressed>();
    }

    /// Closes the block: what was suppressed becomes one summary for each detector and partition.
    pub fn close(mut self) -> AlertSet {
        for ((partition, _), suppressed) in std::mem::take(&mut self.suppressed) {
            self.bytes -= size_of::<Suppressed>();
            let summary = suppressed.into_alert();
            self.bytes += summary.bytes();
            self.by_partition.entry(partition).or_default().push(summary);
        }
        AlertSet { by_partition: self.by_partition, bytes: self.bytes }
    }

    /// Whether the detector may keep one more alert in this block, which is then counted.
    pub(super) fn admit(&mut self, detector: usize, alerts_per_block_max: u32) -> bool {
        if self.kept.len() <= detector {
            self.kept.resize(detector + 1, 0);
        }
        let admitted = self.kept[detector] < alerts_per_block_max;
        self.kept[detector] += u32::from(admitted);
        admitted
    }

    pub(super) fn keep(&mut self, alert: Alert) {
        self.bytes += alert.bytes();
        self.by_partition.entry(alert.partition).or_default().push(alert);
    }

    pub(super) fn suppress(
        &mut self,
        detector: usize,
        origin: &Arc<AlertOrigin>,
        severity: Severity,
        alerts_per_block_max: u32,
        record: &AlertCoordinates,
    ) {
        let bytes = &mut self.bytes;
        let suppressed = self.suppressed.entry((record.partition, detector)).or_insert_with(|| {
            *bytes += size_of::<Suppressed>();
            Suppressed {
                origin: Arc::clone(origin),
                first: *record,
                last: record.offset,
                count: 0,
                worst: severity,
                alerts_per_block_max,
            }
        });
        suppressed.last = record.offset;
        suppressed.count += 1;
        suppressed.worst = suppressed.worst.max(severity);
    }
}

impl Suppressed {
    fn into_alert(self) -> Alert {
        let Self { origin, first, last, count, worst, alerts_per_block_max } = self;
        let message = format!(
            "{count} more alerts of {} in partition {}, offsets {} to {last}: the block had reached \
             alerts_per_block_max, {alerts_per_block_max}",
            origin.detector, first.partition, first.offset
        );
        Alert {
            id: AlertId::of(&Identity {
                kind: AlertKind::Summary,
                connector: &origin.connector,
                topic: &origin.topic,
                topic_id: first.topic_id,
                replay: first.replay,
                partition: first.partition,
                offset: first.offset,
                row: first.row,
                detector: &origin.detector,
            }),
            origin,
            severity: worst,
            partition: first.partition,
            offset: first.offset,
            row: first.row,
            replay: first.replay,
            timestamp_ms: first.timestamp_ms,
            key: None,
            value: Observed::Null,
            threshold: Observed::Null,
            message,
            suppressed: Some((RecordCount(count), last)),
        }
    }
}

impl AlertSet {
    /// The alerts of all partitions, each partition's in the order of their records, its summaries last.
    pub fn iter(&self) -> impl Iterator<Item = &Alert> {
        self.by_partition.values().flatten()
    }

    /// The alerts of one partition.
    pub fn of_partition(&self, partition: Partition) -> &[Alert] {
        self.by_partition.get(&partition).map_or(&[], Vec::as_slice)
    }

    /// How many there are, each a row of the alerts table.
    pub fn count(&self) -> RecordCount {
        RecordCount(self.by_partition.values().map(|alerts| alerts.len() as u64).sum())
    }

    /// Bytes held, for the memory budget.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Forgets the alerts of a partition that is not ours any more.
    pub fn drop_partition(&mut self, partition: Partition) {
        let dropped = self.by_partition.remove(&partition).unwrap_or_default();
        self.bytes -= dropped.iter().map(Alert::bytes).sum::<usize>();
    }
}
