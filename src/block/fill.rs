//! Which records of a partition go into the open block, and as what. Bookkeeping only: no bytes, no I/O.
//!
//! One `PartitionFill` lives from a takeover to the next. It promises that every offset is decided about once,
//! in order, and that the ranges of its batches follow each other without a hole.

use std::collections::BTreeMap;

use crate::protocol::action::Resume;
use crate::protocol::block::{Batch, BlockSummary, Strange};
use crate::protocol::event::ServerError;
use crate::protocol::facts::Anchor;
use crate::protocol::planted::planted;
use crate::types::{BlockNumber, LaneId, Offset, OffsetRange, PartitionKey, RecordCount, TargetNumber, UnitKind};

/// What is to be done with a record.
#[derive(Debug, PartialEq, Eq)]
pub enum Decision<'a> {
    /// It was decided about before: a leftover of the fetch before a seek.
    Repeated,
    /// Decode it and insert it; it may turn out a dead letter. Where a record makes several rows, insert those that are
    /// not there.
    Insert,
    /// Its row is in the target: feed the detectors, insert nothing. Never where a record makes several rows, since only
    /// decoding it says how many.
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
    /// Of a record that makes several rows.
    Rows(RowFates),
}

/// What became of the rows of a record. Those that are there already are in no number but the last.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RowFates {
    /// Rows of the block.
    pub inserted: RecordCount,
    /// Left out on purpose.
    pub skipped: RecordCount,
    /// All rows but the first.
    pub further: RecordCount,
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
    /// A column was filled from a record since the takeover.
    knows_fields: bool,
    /// Records in a row, also of earlier batches, whose fields no column is filled from.
    strange_run: RecordCount,
}

/// Records without a field that a column is filled from, from which on they are no accident in a partition that had others.
const STRANGE_MIN: RecordCount = RecordCount(10);

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct OpenBatch {
    start: Offset,
    inserted: RecordCount,
    routed: BTreeMap<TargetNumber, RecordCount>,
    /// Records that these rows are of.
    inserting_records: RecordCount,
    last_inserting: Option<Offset>,
    dead_inserted: RecordCount,
    skipped: RecordCount,
    further_rows: RecordCount,
    gap: Option<OffsetRange>,
    anchor: Option<Anchor>,
    /// Something of the range was decided about: a record, or a gap. Else the reader has only passed over it.
    decided: bool,
    /// A column was filled from one of its records.
    knows_fields: bool,
    /// Records whose fields no column is filled from.
    strange: Option<Strange>,
}

impl OpenBatch {
    fn at(start: Offset, gap: Option<OffsetRange>) -> Self {
        let none = RecordCount(0);
        Self {
            start,
            inserted: none,
            routed: BTreeMap::new(),
            inserting_records: none,
            last_inserting: None,
            dead_inserted: none,
            skipped: none,
            further_rows: none,
            gap,
            anchor: None,
            decided: gap.is_some(),
            knows_fields: false,
            strange: None,
        }
    }
}

impl PartitionFill {
    /// Begins where a takeover ended. A gap is decided about at once: it is part of the first batch.
    pub fn new(resume: Resume) -> Self {
        let open = OpenBatch::at(resume.start.commit, resume.start.gap);
        let strange_run = RecordCount(0);
        Self { next: resume.start.fetch_from(), open, resume, unvouched: false, knows_fields: false, strange_run }
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
        if presence.rows.kind() == UnitKind::Record && presence.rows.contains(offset, 0) {
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

    /// How many of the next offsets have nothing to insert, for sure.
    pub fn stored_ahead(&self) -> u64 {
        self.resume.presence.rows.run_from(self.next)
    }

    /// Whether a row of the record at `offset` is in the target.
    pub fn has_row(&self, offset: Offset, row: u64) -> bool {
        let any = planted!(RowForgotten) && self.rows_there(offset) > RecordCount(0);
        any || self.resume.presence.rows.contains(offset, row)
    }

    /// How many rows of the record at `offset` are in the target.
    pub fn rows_there(&self, offset: Offset) -> RecordCount {
        self.resume.presence.rows.within(OffsetRange::new(offset, offset.next()))
    }

    /// Notes what became of the record at `offset`.
    pub fn record(&mut self, offset: Offset, fate: Fate) {
        assert!(offset >= self.next, "offset {offset} was decided about before, next is {}", self.next);
        self.next = offset.next();
        self.open.decided = true;
        let one = RecordCount(1);
        match fate {
            Fate::Inserted => self.insert(offset, one),
            Fate::DeadInserted => self.open.dead_inserted += one,
            // Counted when the batch is closed, from the look.
            Fate::Present | Fate::DeadPresent => {}
            Fate::Skipped => self.open.skipped += one,
            Fate::Rows(RowFates { inserted, skipped, further }) => {
                if inserted > RecordCount(0) {
                    self.insert(offset, inserted);
                }
                self.open.skipped += skipped;
                self.open.further_rows += further;
            }
        }
    }

    /// Notes that a column was filled from a record's value.
    #[inline]
    pub fn known_field(&mut self) {
        self.open.knows_fields = true;
    }

    /// Notes that none was, of a record that is inserted. It may have no fields, which is as good as any: `fields` names
    /// those that it has, and is asked as long as the answer can matter.
    #[cold]
    pub fn no_known_field(&mut self, fields: impl FnOnce() -> String) {
        if self.open.knows_fields {
            return;
        }
        match &mut self.open.strange {
            Some(strange) => strange.records += RecordCount(1),
            None => {
                let fields = fields();
                if !fields.is_empty() {
                    self.open.strange = Some(Strange { records: RecordCount(1), fields });
                }
            }
        }
    }

    /// What of the open batch is no accident: no record of it had a known field, and none was ever stored of the partition,
    /// or several came in a row. One odd record does not stop a partition that is used.
    fn settle_strange(&mut self, open: &mut OpenBatch) -> Option<Strange> {
        if open.knows_fields {
            self.knows_fields = true;
            self.strange_run = RecordCount(0);
            return None;
        }
        let strange = open.strange.take()?;
        self.strange_run += strange.records;
        let Resume { start, .. } = &self.resume;
        let is_new = !self.knows_fields && start.commit == start.origin;
        (is_new || self.strange_run >= STRANGE_MIN).then_some(strange)
    }

    /// Notes that so many of the rows of the record at `offset`, whose fate is noted next, go to a table. What is not noted
    /// goes to the topic's own.
    pub fn route(&mut self, offset: Offset, target: TargetNumber, rows: RecordCount) {
        assert!(offset >= self.next, "offset {offset} was decided about before, next is {}", self.next);
        if target != TargetNumber::OWN && rows > RecordCount(0) {
            *self.open.routed.entry(target).or_default() += rows;
        }
    }

    fn insert(&mut self, offset: Offset, rows: RecordCount) {
        self.open.inserted += rows;
        self.open.inserting_records += RecordCount(1);
        self.open.last_inserting = Some(offset);
    }

    /// Notes where the reader is. It has been given every record below that a reader of committed data can see, so what it
    /// was not given is none: a transaction's marker, an aborted record, or one that compaction removed. Gives the offsets
    /// that are settled with this.
    pub fn pass(&mut self, position: Offset) -> Option<OffsetRange> {
        let passed = (self.next < position).then(|| OffsetRange::new(self.next, position))?;
        self.next = position;
        Some(passed)
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

    /// Whether the open batch covers any offset.
    pub fn is_open(&self) -> bool {
        self.next > self.open.start
    }

    /// Whether the open batch covers more than offsets that hold no record.
    pub fn is_decided(&self) -> bool {
        self.open.decided
    }

    /// Whether a checkpoint would say something new.
    pub fn is_unvouched(&self) -> bool {
        self.unvouched
    }

    /// The batch, of how many records its rows are, and the last of these.
    fn close(&mut self, checkpoint: bool) -> (Batch, RecordCount, Option<Offset>) {
        self.unvouched = !checkpoint;
        let mut open = std::mem::replace(&mut self.open, OpenBatch::at(self.next, None));
        let strange = self.settle_strange(&mut open);
        let range = OffsetRange::new(open.start, self.next);
        // Not the records met again: compaction and retention may have removed some since their rows were written,
        // and the ledger's proof counts rows (S3).
        let presence = &self.resume.presence;
        let batch = Batch {
            assignment: self.resume.assignment,
            claim: self.resume.claim,
            range,
            inserted: open.inserted,
            routed: open.routed,
            present: presence.rows.within(range),
            dead_inserted: open.dead_inserted,
            dead_present: presence.dead.within(range).records(),
            skipped: open.skipped,
            further_rows: open.further_rows,
            gap: open.gap,
            checkpoint,
            anchor: open.anchor,
            strange,
        };
        (batch, open.inserting_records, open.last_inserting)
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
    let mut inserting = RecordCount(0);
    let mut last_inserting = None;
    for (key, fill, checkpoint) in partitions {
        if fill.is_open() || (checkpoint && fill.is_unvouched()) {
            let (batch, records, last) = fill.close(checkpoint);
            inserting += records;
            last_inserting = last.map(|offset| (key, offset)).or(last_inserting);
            batches.insert(key, batch);
        }
    }
    if batches.is_empty() {
        return None;
    }
    let only_record = last_inserting.filter(|_| inserting == RecordCount(1));
    Some(BlockSummary { number, lane, batches, alerts, only_record, bytes: 0 })
}

#[cfg(test)]
#[path = "tests_fill.rs"]
mod tests;
