//! An offset as the version of a `ReplacingMergeTree`: right within one partition, and nowhere else.
//!
//! No version made of a record's coordinates alone is right across partitions, as Kafka does not order them: a timestamp
//! above the offset would be of clocks that differ and go back, also within a partition, where the offset is right.
//! So nothing is composed here; what speaks against an offset is said.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::clickhouse::{Coordinates, Table, TableName};
use crate::columns::{RowPlan, Source};
use crate::types::{Partition, Replay};

/// What to write instead.
pub const FIX: &str = "take the version from what the source orders its changes by, such as `$.source.lsn` of Debezium's Postgres connector, or \
                       from `$timestamp`; see config/README.md, `deleted`";

/// Where a row stands that replaces others by its offset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OffsetVersion {
    /// The table.
    pub table: TableName,
    /// Its version column.
    pub column: String,
    /// How many topics have rows in it.
    pub topics: usize,
}

impl OffsetVersion {
    /// `None` where the table has no version, or one that is not an offset.
    pub fn of(table: &Table, coordinates: &Coordinates, plan: &RowPlan, topics: usize) -> Option<Self> {
        let column = table.version_column()?;
        let is_filled_so = plan.columns().iter().any(|spec| spec.name == column && spec.source == Source::Offset);
        let is_offset = column == coordinates.offset || is_filled_so;
        is_offset.then(|| Self { table: table.name.clone(), column, topics })
    }

    /// Why an older row may win, of a topic with so many partitions; `None` where it cannot yet.
    pub fn fault(&self, partitions: usize) -> Option<String> {
        if self.topics > 1 {
            return Some(format!(
                "offsets of {} topics are compared, which says nothing of what is newer",
                self.topics
            ));
        }
        (partitions > 1).then(|| {
            format!(
                "offsets of {partitions} partitions are compared: of a key whose records change their partition, as when a topic \
                 gets more of them, the older row may win for good"
            )
        })
    }
}

/// The version columns of a lane that are offsets, of which a person is told once.
#[derive(Debug, Default)]
pub(super) struct OffsetVersions {
    all: Vec<OffsetVersion>,
    told: AtomicBool,
}

impl OffsetVersions {
    pub(super) fn new(all: Vec<OffsetVersion>) -> Self {
        Self { all, told: AtomicBool::new(false) }
    }

    /// Says what is wrong, now that these partitions are claimed: partitions are numbered from 0, replays too.
    pub(super) fn warn(&self, topic: &str, claimed: impl Iterator<Item = (Partition, Replay)>) {
        if self.all.is_empty() || self.told.load(Ordering::Relaxed) {
            return;
        }
        let (mut partitions, mut replayed) = (0, false);
        for (partition, replay) in claimed {
            partitions = partitions.max(usize::try_from(partition.0).unwrap_or(0) + 1);
            replayed |= replay > Replay(0);
        }
        let anew = "the topic is read anew, and offsets of before are compared with those of now: rows of a topic that was made \
                    anew may lose to older ones";
        for version in &self.all {
            let Some(why) = version.fault(partitions).or_else(|| replayed.then(|| anew.to_owned())) else { continue };
            self.told.store(true, Ordering::Relaxed);
            tracing::warn!(topic, table = %version.table, column = version.column, why, fix = FIX, "an offset is the version of rows");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offset_is_right_in_one_partition_of_one_topic() {
        let check = |topics: usize, partitions: usize, expected: Option<&str>| {
            let version = OffsetVersion { table: TableName::new("d", "t"), column: "version".to_owned(), topics };
            let found = version.fault(partitions);
            assert_eq!(
                found.as_deref().map(|text| text.split(" are").next().unwrap()),
                expected,
                "{topics} {partitions}"
            );
        };
        check(1, 1, None);
        check(1, 0, None);
        check(1, 4, Some("offsets of 4 partitions"));
        check(2, 1, Some("offsets of 2 topics"));
    }
}
