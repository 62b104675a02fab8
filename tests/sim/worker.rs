//! A worker process as the simulation sees it: the production `step` and `fill`, and the harness's driver around them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use oncesink::block::fill::{Decision, Fate, PartitionFill, RowFates, close_block};
use oncesink::protocol::action::{Commit, Delay, Resume};
use oncesink::protocol::block::BlockSummary;
use oncesink::protocol::event::{Event, TakeoverNumber, Ticket, TransactionNumber};
use oncesink::protocol::facts::{Anchor, CommittedOffset, Presence, StoredFacts};
use oncesink::protocol::halt::HaltReason;
use oncesink::protocol::state::State;
use oncesink::types::{
    AssignmentNumber, BlockNumber, Claim, LaneId, Offset, OffsetRange, PartitionKey, RecordCount, Replay, TargetNumber,
    TopicId,
};

use crate::clickhouse::Row;
use crate::kafka::{Kafka, Kind, SEVERAL_ROWS, fires, hash, kind, rows};
use crate::oracle::Unit;
use crate::world::topic_id;

/// The rows of a block, which the core never sees.
#[derive(Debug, Default, Clone, Hash)]
pub(crate) struct BlockData {
    pub(crate) rows: Vec<Row>,
    pub(crate) dead: Vec<Row>,
    pub(crate) alerts: Vec<Unit>,
    pub(crate) ranges: Vec<(PartitionKey, OffsetRange)>,
}

/// Which of so many tables a row goes to.
pub(crate) fn target(row: &Row, targets: u16) -> TargetNumber {
    let place = (hash(row.unit) / 256 + row.row) % u64::from(targets);
    TargetNumber(u16::try_from(place).expect("few tables"))
}

impl BlockData {
    /// The rows that go to one of so many tables.
    pub(crate) fn rows_into(&self, into: TargetNumber, targets: u16) -> Vec<Row> {
        self.rows.iter().filter(|row| target(row, targets) == into).copied().collect()
    }
}

/// What the core told the source and the source has not done yet.
#[derive(Debug, Clone, Hash)]
pub(crate) enum Order {
    Stop(LaneId),
    Resume(Box<Resume>),
    Limit(LaneId, Option<u64>),
}

/// The steps of a transaction on the client's side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum TxnStep {
    Begin,
    SendOffsets,
    End,
}

/// An action under way; one scheduler step moves it on by one of its steps.
#[derive(Debug, Clone)]
pub(crate) enum Task {
    Facts {
        number: TakeoverNumber,
        keys: BTreeMap<PartitionKey, AssignmentNumber>,
        lane: LaneId,
        /// The topic's creation when the reading began.
        generation: u64,
        committed: Option<BTreeMap<PartitionKey, Option<CommittedOffset>>>,
        stored: Option<BTreeMap<PartitionKey, StoredFacts>>,
    },
    Txn {
        number: TransactionNumber,
        offsets: BTreeMap<PartitionKey, Commit>,
        ranges: Vec<(PartitionKey, OffsetRange)>,
        alerts: Vec<Unit>,
        step: TxnStep,
    },
    Claim {
        number: TakeoverNumber,
        keys: BTreeMap<PartitionKey, (Option<TopicId>, Replay)>,
        greatest: Option<BTreeMap<PartitionKey, Option<Claim>>>,
    },
    Drain {
        number: TakeoverNumber,
        listed: Option<BTreeSet<u64>>,
    },
    Settle {
        number: TakeoverNumber,
        lane: LaneId,
    },
    Look {
        number: TakeoverNumber,
        from: BTreeMap<PartitionKey, (Offset, Replay)>,
        rows: Option<BTreeMap<PartitionKey, Presence>>,
    },
    Topic {
        block: BlockNumber,
        lane: LaneId,
    },
    Build,
    Pause(Ticket, Delay),
}

#[derive(Debug, Default, Clone)]
pub(crate) struct Source {
    pub(crate) fills: BTreeMap<LaneId, BTreeMap<PartitionKey, PartitionFill>>,
    pub(crate) open: BTreeMap<LaneId, BlockData>,
    pub(crate) limits: BTreeMap<LaneId, u64>,
    pub(crate) orders: VecDeque<Order>,
    /// To the core, in order.
    pub(crate) events: VecDeque<Event>,
    pub(crate) blocks: u64,
    /// Among how many tables rows are divided.
    pub(crate) targets: u16,
    pub(crate) stopping: bool,
}

#[derive(Debug, Clone)]
pub(crate) struct Worker {
    pub(crate) alive: bool,
    pub(crate) frozen: bool,
    pub(crate) incarnation: u64,
    pub(crate) state: Option<State>,
    pub(crate) source: Source,
    pub(crate) member: Option<u64>,
    pub(crate) generation: u64,
    pub(crate) assigned: BTreeMap<PartitionKey, AssignmentNumber>,
    pub(crate) assignments: u64,
    pub(crate) blocks: BTreeMap<BlockNumber, BlockData>,
    pub(crate) tasks: Vec<Task>,
    pub(crate) ready: Vec<Event>,
    pub(crate) epoch: Option<u64>,
    pub(crate) finished: bool,
    /// The server was started anew, and the driver has not noticed yet.
    pub(crate) unnoticed: bool,
    /// What a look that comes too early has seen (a mutant).
    pub(crate) early: BTreeMap<PartitionKey, Presence>,
    /// What a drain that comes too early has listed (a mutant).
    pub(crate) listed_early: BTreeSet<u64>,
    /// What this process has committed (a mutant remembers).
    pub(crate) remembered: BTreeMap<PartitionKey, Commit>,
}

impl Worker {
    pub(crate) fn new(incarnation: u64, targets: u16) -> Self {
        Self {
            alive: true,
            frozen: false,
            incarnation,
            state: None,
            source: Source { targets, ..Source::default() },
            member: None,
            generation: 0,
            assigned: BTreeMap::new(),
            assignments: 0,
            blocks: BTreeMap::new(),
            tasks: Vec::new(),
            ready: Vec::new(),
            epoch: None,
            finished: false,
            unnoticed: false,
            early: BTreeMap::new(),
            listed_early: BTreeSet::new(),
            remembered: BTreeMap::new(),
        }
    }

    pub(crate) fn runs(&self) -> bool {
        self.alive && !self.frozen && !self.finished
    }
}

/// What fetching the next record of a partition came to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fetched {
    Nothing,
    Record,
    OutOfRange,
    /// The partition cannot go on with it.
    Unusable(AssignmentNumber, HaltReason),
}

impl Source {
    /// The group took partitions away: forget them, and drop open blocks with records of them.
    pub(crate) fn revoke(&mut self, keys: &BTreeSet<PartitionKey>) -> BTreeSet<LaneId> {
        let mut discarded = BTreeSet::new();
        for key in keys {
            let fills = self.fills.entry(key.lane).or_default();
            if fills.remove(key).is_some_and(|fill| fill.is_decided()) {
                discarded.insert(key.lane);
            }
        }
        for lane in &discarded {
            self.stop(*lane);
        }
        discarded
    }

    pub(crate) fn stop(&mut self, lane: LaneId) {
        self.fills.remove(&lane);
        self.open.remove(&lane);
    }

    /// Does the oldest order of the core.
    pub(crate) fn obey(&mut self, assigned: &BTreeMap<PartitionKey, AssignmentNumber>) {
        match self.orders.pop_front() {
            Some(Order::Stop(lane)) => self.stop(lane),
            Some(Order::Resume(resume)) if self.stopping || assigned.get(&resume.key) != Some(&resume.assignment) => {}
            Some(Order::Resume(resume)) => {
                let fills = self.fills.entry(resume.key.lane).or_default();
                fills.insert(resume.key, PartitionFill::new(*resume));
            }
            Some(Order::Limit(lane, limit)) => {
                self.limits.remove(&lane);
                self.limits.extend(limit.map(|limit| (lane, limit)));
            }
            None => {}
        }
    }

    pub(crate) fn has_next(&self, kafka: &Kafka, key: PartitionKey) -> bool {
        let Some(fill) = self.fills.get(&key.lane).and_then(|fills| fills.get(&key)) else { return false };
        let next = fill.next().get();
        let log = &kafka.logs[&key];
        let replaced = Self::replaced(kafka, key, fill);
        replaced || next < log.start || next > log.end || log.records.range(next..).next().is_some()
    }

    /// Where the reader of a partition is, if that is above what was decided about: in front of the first record that it was
    /// not given. `unread`: it takes the end of the log for that (a mutant).
    pub(crate) fn position(&self, kafka: &Kafka, key: PartitionKey, unread: bool) -> Option<Offset> {
        let next = self.fills.get(&key.lane)?.get(&key)?.next().get();
        let log = &kafka.logs[&key];
        if next < log.start || next > log.end {
            return None;
        }
        let record = log.records.range(next..).next().filter(|_| !unread);
        let position = record.copied().unwrap_or(log.end);
        (position > next).then(|| Offset::new(position))
    }

    fn replaced(kafka: &Kafka, key: PartitionKey, fill: &PartitionFill) -> bool {
        fill.resume().start.topic_id != Some(topic_id(key.lane, kafka.generations[&key.lane]))
    }

    pub(crate) fn fetch(&mut self, kafka: &Kafka, key: PartitionKey, unfed: bool) -> Fetched {
        let Some(fill) = self.fills.get_mut(&key.lane).and_then(|fills| fills.get_mut(&key)) else {
            return Fetched::Nothing;
        };
        let log = &kafka.logs[&key];
        let next = fill.next().get();
        if next < log.start || next > log.end {
            return Fetched::OutOfRange;
        }
        let Some(at) = log.records.range(next..).next().copied() else {
            // The client refreshes its metadata now and then; until then it takes records for the old topic's.
            return if Self::replaced(kafka, key, fill) { Fetched::OutOfRange } else { Fetched::Nothing };
        };
        let unit = kafka.unit(key, at);
        let replay = fill.resume().start.replay;
        let data = self.open.entry(key.lane).or_default();
        let before = data.rows.len();
        let offset = Offset::new(at);
        let fate = match (fill.decide(offset), kind(unit)) {
            (Decision::Repeated, _) => return Fetched::Nothing,
            (decision, _) if unit.generation >= SEVERAL_ROWS => match fate_of_rows(fill, data, unit, &decision) {
                Ok(fate) => fate,
                Err(reason) => return Fetched::Unusable(fill.resume().assignment, reason),
            },
            (Decision::Insert, Kind::Bad) | (Decision::Condemned(_), _) => {
                data.dead.push(Row { unit, row: 0, replay });
                Fate::DeadInserted
            }
            (Decision::Insert | Decision::Removed, Kind::Tombstone) => Fate::Skipped,
            (Decision::Insert, Kind::Good | Kind::Poison) => {
                data.rows.push(Row { unit, row: 0, replay });
                Fate::Inserted
            }
            (Decision::Present, _) => Fate::Present,
            (Decision::Dead, _) => Fate::DeadPresent,
            (Decision::Removed, _) => Fate::Skipped,
        };
        let present = match fate {
            Fate::Rows(rows) => rows.inserted == RecordCount(0),
            fate => fate == Fate::Present,
        };
        if fires(unit) && !fill.below_floor(offset) && !(unfed && present) {
            data.alerts.push(unit);
        }
        for row in &data.rows[before..] {
            fill.route(offset, target(row, self.targets), RecordCount(1));
        }
        fill.record(offset, fate);
        fill.anchor(Anchor { offset, hash: hash(unit) });
        Fetched::Record
    }

    pub(crate) fn full(&self, lane: LaneId, rows_max: u64) -> bool {
        let rows = self.open.get(&lane).map_or(0, |data| data.rows.len());
        let limit = self.limits.get(&lane).copied().unwrap_or(rows_max);
        u64::try_from(rows).expect("few rows") >= limit
    }

    pub(crate) fn is_open(&self, lane: LaneId) -> bool {
        self.fills.get(&lane).is_some_and(|fills| fills.values().any(PartitionFill::is_open))
    }

    /// Closes the lane's open block.
    pub(crate) fn close(&mut self, lane: LaneId, checkpoint: bool) -> Option<(BlockSummary, BlockData)> {
        let mut data = self.open.remove(&lane).unwrap_or_default();
        let alerts = RecordCount(u64::try_from(data.alerts.len()).expect("few alerts"));
        let fills = self.fills.get_mut(&lane)?;
        self.blocks += 1;
        let fills = fills.iter_mut().map(|(key, fill)| (*key, fill, checkpoint));
        let block = close_block(lane, BlockNumber(self.blocks), fills, alerts)?;
        data.ranges = block.batches.iter().map(|(key, batch)| (*key, batch.range)).collect();
        Some((block, data))
    }
}

/// What `LaneFill` does with a record that may make several rows.
fn fate_of_rows(
    fill: &PartitionFill,
    data: &mut BlockData,
    unit: Unit,
    decision: &Decision<'_>,
) -> Result<Fate, HaltReason> {
    let (offset, replay) = (Offset::new(unit.offset), fill.resume().start.replay);
    let there = fill.rows_there(offset);
    let made = if kind(unit) == Kind::Bad { 0 } else { rows(unit) };
    let missing: Vec<u64> = (0..made).filter(|row| !fill.has_row(offset, *row)).collect();
    let mut dead = || {
        data.dead.push(Row { unit, row: 0, replay });
        Fate::DeadInserted
    };
    let partly = |why: &str| HaltReason::PartlyStored { offset, there, why: why.to_owned() };
    let insert = match (decision, kind(unit)) {
        (Decision::Repeated, _) => unreachable!("it was looked at before"),
        (Decision::Present, _) => panic!("whether all rows are there is not known before they are counted"),
        (Decision::Dead, _) => return Ok(Fate::DeadPresent),
        (_, Kind::Tombstone) => return Ok(Fate::Skipped),
        (Decision::Removed, _) => false,
        (Decision::Condemned(_), _) if kind(unit) != Kind::Bad && missing.is_empty() => true,
        (Decision::Condemned(_), _) | (Decision::Insert, Kind::Bad) => {
            return if there == RecordCount(0) { Ok(dead()) } else { Err(partly("refused")) };
        }
        (Decision::Insert, Kind::Good | Kind::Poison) => true,
    };
    let inserted = if insert { missing } else { Vec::new() };
    let skipped = u64::from(!insert && there == RecordCount(0));
    data.rows.extend(inserted.iter().map(|row| Row { unit, row: *row, replay }));
    let inserted = u64::try_from(inserted.len()).expect("few rows");
    let units = inserted + skipped + there.0;
    Ok(Fate::Rows(RowFates {
        inserted: RecordCount(inserted),
        skipped: RecordCount(skipped),
        further: RecordCount(units.saturating_sub(1)),
    }))
}
