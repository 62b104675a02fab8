//! Which records of a partition go into the open block, and as what. Bookkeeping only: no bytes, no I/O.
//!
//! One `PartitionFill` lives from a takeover to the next. It promises that every offset is decided about once,
//! in order, and that the ranges of its batches follow each other without a hole.

use std::collections::BTreeMap;

use crate::protocol::action::Resume;
use crate::protocol::block::{Batch, BlockSummary};
use crate::protocol::event::ServerError;
use crate::protocol::facts::Anchor;
use crate::types::{BlockNumber, LaneId, Offset, OffsetRange, PartitionKey, RecordCount};

/// What is to be done with a record.
#[derive(Debug, PartialEq, Eq)]
pub enum Decision<'a> {
    /// It was decided about before: a leftover of the fetch before a seek.
    Repeated,
    /// Decode it and insert it; it may turn out a dead letter.
    Insert,
    /// Its row is in the target: feed the detectors, insert nothing.
    Present,
    /// It is among the dead letters.
    Dead,
    /// The ledger proves that it was stored; it was removed since, on purpose (F7). Feed the detectors as if it were
    /// there: its alert may lie above the floor.
    Removed,
    /// The server refused it for good: a dead letter with the server's words (N4).
    Condemned(&'a ServerError),
}

/// What became of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// A row of the block.
    Inserted,
    /// Already a row of the target.
    Present,
    /// A dead letter of the block.
    DeadInserted,
    /// Already a dead letter.
    DeadPresent,
    /// Skipped on purpose.
    Skipped,
}

/// One partition between two takeovers.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PartitionFill {
    resume: Resume,
    /// The first offset not decided about.
    next: Offset,
    open: OpenBatch,
    /// Ledger rows of this session end above the last one that vouches for everything from the origin.
    unvouched: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct OpenBatch {
    start: Offset,
    inserted: RecordCount,
    last_inserted: Option<Offset>,
    dead_inserted: RecordCount,
    skipped: RecordCount,
    gap: Option<OffsetRange>,
    anchor: Option<Anchor>,
}

impl OpenBatch {
    fn at(start: Offset, gap: Option<OffsetRange>) -> Self {
        let none = RecordCount(0);
        Self { start, inserted: none, last_inserted: None, dead_inserted: none, skipped: none, gap, anchor: None }
    }
}

impl PartitionFill {
    /// Begins where a takeover ended. A gap is decided about at once: it is part of the first batch.
    pub fn new(resume: Resume) -> Self {
        let open = OpenBatch::at(resume.start.commit, resume.start.gap);
        Self { next: resume.start.fetch_from(), open, resume, unvouched: false }
    }

    /// What the takeover said.
    pub fn resume(&self) -> &Resume {
        &self.resume
    }

    /// The first offset that is not decided about.
    pub fn next(&self) -> Offset {
        self.next
    }

    /// What to do with the record at `offset`.
    pub fn decide(&self, offset: Offset) -> Decision<'_> {
        if offset < self.next {
            return Decision::Repeated;
        }
        let Resume { presence, start, condemned, .. } = &self.resume;
        if presence.rows.contains(offset) {
            Decision::Present
        } else if presence.dead.contains(offset) {
            Decision::Dead
        } else if start.trusted.contains(offset) {
            Decision::Removed
        } else if let Some(error) = condemned.get(&offset) {
            Decision::Condemned(error)
        } else {
            Decision::Insert
        }
    }

    /// Notes what became of the record at `offset`.
    pub fn record(&mut self, offset: Offset, fate: Fate) {
        assert!(offset >= self.next, "offset {offset} was decided about before, next is {}", self.next);
        self.next = offset.next();
        let one = RecordCount(1);
        match fate {
            Fate::Inserted => {
                self.open.inserted += one;
                self.open.last_inserted = Some(offset);
            }
            Fate::DeadInserted => self.open.dead_inserted += one,
            // Counted when the batch is closed, from the look.
            Fate::Present | Fate::DeadPresent => {}
            Fate::Skipped => self.open.skipped += one,
        }
    }

    /// Notes the hash of the last record, by which the partition is recognised later.
    pub fn anchor(&mut self, anchor: Anchor) {
        assert_eq!(anchor.offset.next(), self.next, "only the last record can be the anchor");
        self.open.anchor = Some(anchor);
    }

    /// Whether alerts of the record at `offset` are known to be committed.
    pub fn below_floor(&self, offset: Offset) -> bool {
        offset < self.resume.start.floor
    }

    /// Whether the open batch decides about any offset.
    pub fn is_open(&self) -> bool {
        self.next > self.open.start
    }

    /// Whether a checkpoint would say something new.
    pub fn is_unvouched(&self) -> bool {
        self.unvouched
    }

    fn close(&mut self, checkpoint: bool) -> (Batch, Option<Offset>) {
        self.unvouched = !checkpoint;
        let open = std::mem::replace(&mut self.open, OpenBatch::at(self.next, None));
        let range = OffsetRange::new(open.start, self.next);
        // Not the records met again: compaction and retention may have removed some since their rows were written,
        // and the ledger's proof counts rows (S3).
        let presence = &self.resume.presence;
        let batch = Batch {
            assignment: self.resume.assignment,
            claim: self.resume.claim,
            range,
            inserted: open.inserted,
            present: presence.rows.within(range).records(),
            dead_inserted: open.dead_inserted,
            dead_present: presence.dead.within(range).records(),
            skipped: open.skipped,
            gap: open.gap,
            checkpoint,
            anchor: open.anchor,
        };
        (batch, open.last_inserted)
    }
}

/// Closes the open batches of a lane's partitions to one block; `None` if none of them decides about anything.
/// The flag beside each says whether its ledger row is to vouch for everything from the origin: without it the rows of
/// a quiet partition would expire and leave a hole. A partition without new records is in the block for that alone.
pub fn close_block<'a>(
    lane: LaneId,
    number: BlockNumber,
    partitions: impl IntoIterator<Item = (PartitionKey, &'a mut PartitionFill, bool)>,
    alerts: RecordCount,
) -> Option<BlockSummary> {
    let mut batches = BTreeMap::new();
    let mut last_row = None;
    for (key, fill, checkpoint) in partitions {
        if fill.is_open() || (checkpoint && fill.is_unvouched()) {
            let (batch, last_inserted) = fill.close(checkpoint);
            last_row = last_inserted.map(|offset| (key, offset)).or(last_row);
            batches.insert(key, batch);
        }
    }
    if batches.is_empty() {
        return None;
    }
    let mut summary = BlockSummary { number, lane, batches, alerts, only_row: None };
    summary.only_row = last_row.filter(|_| summary.rows() == RecordCount(1));
    Some(summary)
}

#[cfg(test)]
#[path = "tests_fill.rs"]
mod tests;
