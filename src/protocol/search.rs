//! The search for records that the server refuses for good (N4).
//!
//! A refused block says that one of its records is bad, not which. The lane goes over the same offsets again, in *passes*
//! with smaller and smaller blocks. Within a pass a refused block does not stop the lane: the blocks behind it are tried
//! too, each sent once and into the targets alone, and none of them is committed. One takeover ends the pass. Its look
//! finds what was stored, so the next pass tries only what was in refused blocks. So many bad records are found at once,
//! and a takeover is paid per size of blocks, not per record.
//!
//! A record that was refused alone is condemned: a dead letter under the next claim, after the look. Where the code tells
//! that the record is to blame, that is all. Of a code that says nothing by itself it takes more: the table took another
//! record soon after, and the same record was refused alone with the same code again, after another takeover. Without
//! both it is taken for weather, and tried again.

use std::collections::BTreeMap;

use crate::protocol::action::{Action, Delay, Note, Released, Why};
use crate::protocol::block::BlockSummary;
use crate::protocol::event::{ServerError, ServerErrorKind, Ticket};
use crate::protocol::halt::HaltReason;
use crate::protocol::planted::planted;
use crate::protocol::state::{BAD_SAMPLE_MIN, State};
use crate::types::{LaneId, Offset, OffsetRange, PartitionKey, RecordCount};

/// Each pass cuts blocks to this part of the last one's. A takeover costs about as much as ten inserts.
const SHRINK: u64 = 8;

/// A pass ends after so many refused blocks: what it finds is kept until it is committed.
pub(crate) const PASS_REFUSED_MAX: u32 = 256;

/// So many refused blocks and none stored: blocks of this size are not worth more inserts.
const HOPELESS: u32 = 16;

/// So many refusals since the table took something speak of the server, not of the records, where the code does not say.
const WEATHER: u32 = 8;

/// A code that says nothing by itself starts a search when it has come so many times in a row for the same records.
const DOUBTS: u32 = 3;

/// A search in one lane.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Search {
    /// Blocks are cut at this many rows.
    pub(crate) limit: u64,
    /// What is still to be tried: each partition up to this offset.
    until: BTreeMap<PartitionKey, Offset>,
    /// A block was refused since the last takeover: nothing behind it is committed before the next.
    pass: Option<Pass>,
    /// The table took rows since the last takeover.
    stored: bool,
    /// Records that were refused alone with a code that says nothing by itself, in a pass in which others were stored.
    doubted: BTreeMap<(PartitionKey, Offset), u32>,
    /// Running while records are read. When it is over and nothing has come, what is still to be tried is gone.
    pub(crate) idle: Option<Ticket>,
    /// A block has come since the pause began.
    touched: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
struct Pass {
    refused: u32,
    /// Of these, since the table took something.
    in_a_row: u32,
    /// The ends of refused blocks of several records, and the most rows that one of them had.
    again: BTreeMap<PartitionKey, Offset>,
    rows: u64,
    /// Records that were refused alone.
    alone: BTreeMap<(PartitionKey, Offset), Alone>,
    /// Records that blocks of this pass held.
    tried: BTreeMap<PartitionKey, RecordCount>,
    /// Some refusal had a code that says nothing by itself.
    doubtful: bool,
}

/// A record that was refused alone.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Alone {
    error: ServerError,
    /// The table took others afterwards.
    followed: bool,
}

/// Refusals in a row of the same records, with a code that says nothing by itself.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Suspicion {
    code: u32,
    times: u32,
    ranges: BTreeMap<PartitionKey, OffsetRange>,
}

impl Search {
    /// Blocks behind a refused one are tried, and nothing is committed.
    pub(crate) fn is_passing(&self) -> bool {
        self.pass.is_some()
    }

    /// A takeover begins for another reason: what was refused is tried again.
    pub(crate) fn interrupt(&mut self) {
        self.idle = None;
        self.stored = false;
        let Some(pass) = self.pass.take() else { return };
        let alone = pass.alone.keys().map(|(key, offset)| (*key, offset.next()));
        for (key, end) in pass.again.into_iter().chain(alone) {
            extend(&mut self.until, key, end);
        }
    }

    /// A partition is gone or stands still.
    pub(crate) fn forget(&mut self, key: PartitionKey) {
        self.until.remove(&key);
        self.doubted.retain(|(known, _), _| *known != key);
        if let Some(pass) = &mut self.pass {
            pass.again.remove(&key);
            pass.alone.retain(|(known, _), _| *known != key);
            pass.tried.remove(&key);
        }
    }

    /// A block has come.
    pub(crate) fn touch(&mut self) {
        self.touched = true;
    }

    /// The block was tried, however it ended.
    fn passed(&mut self, block: &BlockSummary) {
        for (key, batch) in &block.batches {
            if self.until.get(key).is_some_and(|end| *end <= batch.range.end()) {
                self.until.remove(key);
            }
            if let Some(pass) = &mut self.pass {
                *pass.tried.entry(*key).or_default() += batch.records();
            }
        }
    }

    fn refused(&mut self, block: &BlockSummary, error: ServerError) {
        let pass = self.pass.get_or_insert_with(Pass::default);
        pass.refused += 1;
        pass.in_a_row += 1;
        pass.doubtful |= error.kind == ServerErrorKind::Doubtful;
        match block.only_record {
            Some(record) => {
                pass.alone.insert(record, Alone { error, followed: false });
            }
            None => {
                pass.rows = pass.rows.max(block.rows().0);
                for (key, batch) in &block.batches {
                    extend(&mut pass.again, *key, batch.range.end());
                }
            }
        }
        self.passed(block);
    }

    /// Whether the record was refused in the same way before, while others were stored.
    fn is_doubted(&self, record: (PartitionKey, Offset), error: &ServerError) -> bool {
        self.doubted.get(&record) == Some(&error.code)
    }

    fn is_over(&self, share_max_millionths: u32) -> bool {
        let Some(pass) = &self.pass else { return false };
        // Without another record that goes into the table nobody can tell bad records from a bad day of the server.
        let wants_witness = !self.stored
            && pass.alone.iter().any(|(record, Alone { error, .. })| {
                error.kind == ServerErrorKind::Doubtful && !self.is_doubted(*record, error)
            });
        let all_tried = self.until.is_empty() && !wants_witness;
        let hopeless = pass.refused >= HOPELESS && !self.stored && pass.rows > 0;
        all_tried || hopeless || pass.refused >= PASS_REFUSED_MAX || !pass.drifted(share_max_millionths).is_empty()
    }
}

impl Pass {
    /// Partitions of which too large a share was refused: drift, not poison.
    fn drifted(&self, share_max_millionths: u32) -> BTreeMap<PartitionKey, HaltReason> {
        let mut dead: BTreeMap<PartitionKey, (Offset, RecordCount)> = BTreeMap::new();
        if u64::try_from(self.alone.len()).is_ok_and(|alone| alone < BAD_SAMPLE_MIN.0) {
            return BTreeMap::new();
        }
        for (key, offset) in self.alone.keys() {
            dead.entry(*key).or_insert((*offset, RecordCount(0))).1 += RecordCount(1);
        }
        let reason = |(key, (from, dead)): (PartitionKey, (Offset, RecordCount))| {
            let records = self.tried.get(&key).copied().unwrap_or_default();
            let too_many = dead >= BAD_SAMPLE_MIN
                && u128::from(dead.0) * 1_000_000 > u128::from(share_max_millionths) * u128::from(records.0);
            too_many.then_some((key, HaltReason::BadShare { dead, records, from }))
        };
        dead.into_iter().filter_map(reason).collect()
    }
}

fn extend(ends: &mut BTreeMap<PartitionKey, Offset>, key: PartitionKey, end: Offset) {
    let known = ends.entry(key).or_insert(end);
    *known = end.max(*known);
}

impl State {
    /// Whether an error whose code says nothing by itself is to be searched for in the records: it has come again and
    /// again for them, while takeovers, which are statements too, went well.
    pub(crate) fn is_suspicious(&mut self, id: LaneId, block: &BlockSummary, code: u32) -> bool {
        let lane = self.lane(id);
        if lane.search.is_some() {
            return true;
        }
        let ranges: BTreeMap<PartitionKey, OffsetRange> =
            block.batches.iter().map(|(key, batch)| (*key, batch.range)).collect();
        let same = |known: &&Suspicion| {
            let overlaps = |(key, range): (&PartitionKey, &OffsetRange)| {
                known.ranges.get(key).is_some_and(|known| known.overlaps(*range))
            };
            known.code == code && ranges.iter().any(overlaps)
        };
        let times = lane.suspicion.as_ref().filter(same).map_or(1, |known| known.times + 1);
        lane.suspicion = Some(Suspicion { code, times, ranges });
        times >= DOUBTS
    }

    /// The server refused a block for its records.
    pub(crate) fn on_refused(
        &mut self,
        id: LaneId,
        block: &BlockSummary,
        error: ServerError,
        actions: &mut Vec<Action>,
    ) {
        actions.push(Action::Release(block.number, Released::Dropped));
        let lane = self.lane(id);
        lane.suspicion = None;
        if lane.search.is_none() {
            actions.push(Action::Note(Note::SearchBegan(id, block.rows(), error.clone())));
        }
        let search = lane.search.get_or_insert_with(|| Search {
            limit: block.rows().0,
            until: BTreeMap::new(),
            pass: None,
            stored: false,
            doubted: BTreeMap::new(),
            idle: None,
            touched: false,
        });
        search.refused(block, error);
        self.go_on_searching(id, actions);
    }

    /// The targets have taken a block that may not be committed, because one before it was refused.
    pub(crate) fn on_tried(&mut self, id: LaneId, block: &BlockSummary, actions: &mut Vec<Action>) {
        actions.push(Action::Release(block.number, Released::Dropped));
        if let Some(search) = &mut self.lane(id).search {
            search.passed(block);
        }
        self.go_on_searching(id, actions);
    }

    /// A target has taken rows.
    pub(crate) fn on_witness(&mut self, id: LaneId) {
        if let Some(search) = &mut self.lane(id).search {
            search.stored = true;
            if let Some(pass) = &mut search.pass {
                pass.in_a_row = 0;
                pass.alone.values_mut().for_each(|alone| alone.followed = true);
            }
        }
    }

    /// All of a block is stored, and no refused one is before it.
    pub(crate) fn on_passed(&mut self, id: LaneId, block: &BlockSummary, actions: &mut Vec<Action>) {
        let lane = self.lane(id);
        lane.suspicion = None;
        let Some(search) = &mut lane.search else { return };
        search.passed(block);
        if search.until.is_empty() {
            self.end_search(id, actions);
        }
    }

    fn go_on_searching(&mut self, id: LaneId, actions: &mut Vec<Action>) {
        let lane = &self.lanes[&id];
        if lane.search.as_ref().is_some_and(|search| search.is_over(lane.policy.bad_share_max_millionths)) {
            self.end_pass(id, actions);
        } else {
            self.watch_search(id, actions);
        }
    }

    fn end_search(&mut self, id: LaneId, actions: &mut Vec<Action>) {
        self.lane(id).search = None;
        actions.push(Action::LimitRows(id, None));
        actions.push(Action::Note(Note::SearchEnded(id)));
    }

    /// Condemns what was refused alone, and has the rest of the refused blocks tried again in smaller ones.
    fn end_pass(&mut self, id: LaneId, actions: &mut Vec<Action>) {
        let lane = self.lane(id);
        let share_max = lane.policy.bad_share_max_millionths;
        let Some(search) = &mut lane.search else { return };
        let Some(pass) = search.pass.take() else { return };
        search.idle = None;
        let stored = std::mem::take(&mut search.stored);
        let drifted = pass.drifted(share_max);
        let clear = stored && pass.in_a_row < WEATHER;
        let mut condemned = Vec::new();
        let mut doubted = BTreeMap::new();
        search.until = pass.again;
        for ((key, offset), Alone { error, followed }) in pass.alone {
            let proven = search.is_doubted((key, offset), &error) || planted!(DoubtCondemns);
            if error.kind != ServerErrorKind::Doubtful || proven {
                condemned.push((key, offset, error));
                continue;
            }
            if followed || clear {
                doubted.insert((key, offset), error.code);
            }
            extend(&mut search.until, key, offset.next());
        }
        search.doubted = doubted;
        // A record's rows stay together, whatever the limit: it goes down even where the block did not.
        search.limit = (search.limit.min(pass.rows) / SHRINK).max(1);
        let (limit, over) = (search.limit, search.until.is_empty());
        let failures = if stored { 0 } else { lane.failures };
        lane.failures = if pass.doubtful { failures.saturating_add(1) } else { failures };
        for (key, offset, error) in condemned {
            if let Some(partition) = self.partitions.get_mut(&key) {
                actions.push(Action::Note(Note::Condemned(key, offset, error.clone())));
                partition.condemned.insert(offset, error);
            }
        }
        for (key, reason) in drifted {
            self.halt(key, reason, actions);
        }
        if over {
            self.end_search(id, actions);
        } else {
            actions.push(Action::LimitRows(id, Some(limit)));
        }
        self.take_over_lane(id, Why::Insert, actions);
        if pass.doubtful {
            self.pause_lane(id, Delay::Backoff(failures), actions);
        }
    }

    /// Records of a lane in search are read, or read on.
    pub(crate) fn watch_search(&mut self, id: LaneId, actions: &mut Vec<Action>) {
        if self.lanes[&id].search.as_ref().is_some_and(|search| search.idle.is_none()) {
            let ticket = self.ticket();
            if let Some(search) = &mut self.lane(id).search {
                (search.idle, search.touched) = (Some(ticket), false);
            }
            actions.push(Action::Pause(ticket, Delay::Idle));
        }
    }

    /// What is to be tried may never come: retention or compaction took it, or its partition was.
    pub(crate) fn on_search_idle(&mut self, id: LaneId, actions: &mut Vec<Action>) {
        let lane = self.lane(id);
        let busy = lane.inserting.is_some() || !lane.queued.is_empty();
        let Some(search) = &mut lane.search else { return };
        search.idle = None;
        if search.touched || busy {
            self.watch_search(id, actions);
        } else if search.pass.is_some() {
            self.end_pass(id, actions);
        } else {
            self.end_search(id, actions);
        }
    }
}
