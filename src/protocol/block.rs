//! What the protocol knows of a block: ranges, counts and claims, never its rows.

use std::collections::{BTreeMap, BTreeSet};

use crate::protocol::facts::Anchor;
use crate::types::{
    AssignmentNumber, BlockNumber, Claim, LaneId, Offset, OffsetRange, PartitionKey, RecordCount, TargetNumber,
};

/// A closed block: batches of one or more partitions of a lane.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BlockSummary {
    /// Its number, unique in this process.
    pub number: BlockNumber,
    /// Its lane.
    pub lane: LaneId,
    /// One batch for each partition.
    pub batches: BTreeMap<PartitionKey, Batch>,
    /// Alerts to publish and to store.
    pub alerts: RecordCount,
    /// The only record whose rows the block inserts, if it is exactly one: the end of a search for a bad row.
    pub only_record: Option<(PartitionKey, Offset)>,
    /// Bytes of the records that it was made of.
    pub bytes: u64,
}

impl BlockSummary {
    /// Rows that it inserts into all target tables.
    pub fn rows(&self) -> RecordCount {
        self.batches.values().map(|batch| batch.inserted).sum()
    }

    /// Rows that it inserts into one of them.
    pub fn rows_into(&self, target: TargetNumber) -> RecordCount {
        self.batches.values().map(|batch| batch.inserted_into(target)).sum()
    }

    /// The target tables that it has rows for, in the order of their numbers.
    pub fn targets(&self) -> BTreeSet<TargetNumber> {
        let routed = self.batches.values().flat_map(|batch| batch.routed.keys().copied());
        let own = (self.rows_into(TargetNumber::OWN) > RecordCount(0)).then_some(TargetNumber::OWN);
        routed.chain(own).collect()
    }

    /// Dead letters that it inserts.
    pub fn dead(&self) -> RecordCount {
        self.batches.values().map(|batch| batch.dead_inserted).sum()
    }
}

/// Contiguous records of one partition within a block.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Batch {
    /// The assignment under which it was read.
    pub assignment: AssignmentNumber,
    /// The claim under which it was read.
    pub claim: Claim,
    /// The offsets it decides about; starts where the last one ended.
    pub range: OffsetRange,
    /// Rows to insert, in all target tables.
    pub inserted: RecordCount,
    /// Of these, what goes to tables of routes, none of them without rows. The rest goes to the topic's own.
    pub routed: BTreeMap<TargetNumber, RecordCount>,
    /// Rows that the look found in the target tables.
    pub present: RecordCount,
    /// Dead letters to insert.
    pub dead_inserted: RecordCount,
    /// Records that the look found among the dead letters.
    pub dead_present: RecordCount,
    /// Records skipped on purpose: tombstones, and rows that were removed after the ledger proved them. Of a record that
    /// makes several rows each row that the filter leaves out.
    pub skipped: RecordCount,
    /// What of the counts above is no record of its own: rows beyond the first of their record.
    pub further_rows: RecordCount,
    /// Offsets that Kafka no longer had.
    pub gap: Option<OffsetRange>,
    /// Whether its ledger row is to vouch for everything from the origin.
    pub checkpoint: bool,
    /// The last record of the range, if the range has one.
    pub anchor: Option<Anchor>,
    /// No column was filled from any record, and that is no accident.
    pub strange: Option<Strange>,
}

/// Records that have fields, none of them one that a column is filled from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Strange {
    /// How many there are.
    pub records: RecordCount,
    /// The names of the fields of the first.
    pub fields: String,
}

impl Batch {
    /// Rows to insert into one of the target tables.
    pub fn inserted_into(&self, target: TargetNumber) -> RecordCount {
        if target != TargetNumber::OWN {
            return self.routed.get(&target).copied().unwrap_or_default();
        }
        let routed: RecordCount = self.routed.values().copied().sum();
        let own = self.inserted.0.checked_sub(routed.0);
        RecordCount(own.expect("of the rows to insert some go to tables of routes"))
    }

    /// All records in it.
    pub fn records(&self) -> RecordCount {
        let units = self.inserted + self.present + self.dead_inserted + self.dead_present + self.skipped;
        RecordCount(units.0.saturating_sub(self.further_rows.0))
    }
}
