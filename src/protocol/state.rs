//! The state of the protocol in one process. Each variant owns only what exists in it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::protocol::action::{Action, Commit, Delay, Why};
use crate::protocol::block::BlockSummary;
use crate::protocol::event::{ServerError, Table, TakeoverNumber, Ticket, TransactionNumber};
use crate::protocol::facts::Anchor;
use crate::protocol::halt::HaltReason;
use crate::protocol::resolve::{OnGap, Start};
use crate::protocol::search::{Search, Suspicion};
use crate::types::{
    AssignmentNumber, BlockNumber, Claim, LaneId, Offset, OffsetRange, PartitionKey, RecordCount, Replay, TopicId,
};

/// What the configuration says of a lane, as far as the protocol asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LanePolicy {
    /// What to do about records that retention removed.
    pub on_gap: OnGap,
    /// Above this share of dead letters in a block a partition stops.
    pub bad_share_max_millionths: u32,
    /// The target is replicated: every look waits for uncertain parts (F5, H9).
    pub replicated: bool,
    /// Materialized views read from the target.
    pub views: bool,
    /// Take a table over from another connector knowingly (S9).
    pub adopt: bool,
}

/// A block has to hold this many dead letters before their share stops a partition: a few bad records are poison,
/// not drift, however small the block.
pub const BAD_SAMPLE_MIN: RecordCount = RecordCount(100);

/// So many clear refusals of a commit in a row, then its partitions are taken over.
pub const REJECTIONS_MAX: u32 = 5;

/// So many fencings by another producer in a row mean that the same instance runs twice (S10).
pub const FENCINGS_MAX: u32 = 2;

/// The whole state.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct State {
    pub(crate) lanes: BTreeMap<LaneId, Lane>,
    pub(crate) partitions: BTreeMap<PartitionKey, PartitionState>,
    pub(crate) producer: Producer,
    pub(crate) transaction: Option<Transaction>,
    pub(crate) counters: Counters,
    pub(crate) stopping: Stopping,
}

/// Whether the process is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Stopping {
    No,
    Draining,
    Finished,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[cfg_attr(not(feature = "failpoints"), derive(Hash))]
pub(crate) struct Counters {
    pub(crate) takeover: u64,
    pub(crate) transaction: u64,
    pub(crate) ticket: u64,
    /// Fencings by another producer since the last commit.
    pub(crate) fencings: u32,
    /// Clear refusals of commits since the last commit.
    pub(crate) rejections: u32,
}

/// The stream of blocks into one table.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Lane {
    pub(crate) policy: LanePolicy,
    pub(crate) takeover: Option<Takeover>,
    /// No takeover begins before this pause is over.
    pub(crate) pause: Option<Ticket>,
    /// Failures since the last acknowledged block.
    pub(crate) failures: u32,
    /// Halted partitions are looked at again when this pause is over.
    pub(crate) recheck: Option<Ticket>,
    pub(crate) inserting: Option<Inserting>,
    pub(crate) queued: VecDeque<BlockSummary>,
    pub(crate) acknowledged: VecDeque<BlockSummary>,
    /// Records that the server refuses are searched.
    pub(crate) search: Option<Search>,
    /// Blocks are closed at so many bytes of records: larger ones do not get through to the server.
    pub(crate) bytes_limit: Option<u64>,
    /// A refusal that does not say whether records or the server are to blame.
    pub(crate) suspicion: Option<Suspicion>,
}

/// The block that is being inserted.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Inserting {
    pub(crate) block: BlockSummary,
    pub(crate) step: InsertStep,
    /// A takeover has overtaken it: its end is awaited, then it is dropped.
    pub(crate) abandoned: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum InsertStep {
    CheckingTopic,
    Into(Table),
}

/// A takeover under way. Required order: prove, claim, drain, look.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Takeover {
    pub(crate) number: TakeoverNumber,
    pub(crate) stage: Stage,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Stage {
    Reading(BTreeMap<PartitionKey, AssignmentNumber>),
    ToProve(BTreeMap<PartitionKey, Proof>),
    Proving(TransactionNumber, BTreeMap<PartitionKey, Proof>),
    Claiming(BTreeMap<PartitionKey, Proof>),
    Draining(BTreeMap<PartitionKey, Claimant>),
    Settling(Option<Ticket>, BTreeMap<PartitionKey, Claimant>),
    Looking(BTreeMap<PartitionKey, Claimant>),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Proof {
    pub(crate) assignment: AssignmentNumber,
    pub(crate) start: Start,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Claimant {
    pub(crate) assignment: AssignmentNumber,
    pub(crate) start: Start,
    pub(crate) claim: Claim,
}

/// A partition that the group has assigned to us.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct PartitionState {
    pub(crate) assignment: AssignmentNumber,
    pub(crate) phase: Phase,
    /// Whose offsets the following speak of: with another topic or replay they are forgotten.
    pub(crate) identity: Option<(Option<TopicId>, Replay)>,
    /// The range of which the ledger's proof came short, until it is committed.
    pub(crate) short: Option<OffsetRange>,
    /// A range whose views may lack it, until it is committed.
    pub(crate) unverified: Option<OffsetRange>,
    /// Records that the server refused for good, until they are committed as dead letters (N4).
    pub(crate) condemned: BTreeMap<Offset, ServerError>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Phase {
    /// A takeover is due.
    Waiting(Why),
    /// The lane's takeover is at it.
    TakingOver,
    /// Ours: blocks of it are inserted.
    Owned(Owned),
    /// Stands still.
    Halted(HaltReason),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Owned {
    pub(crate) claim: Claim,
    pub(crate) topic_id: Option<TopicId>,
    pub(crate) replay: Replay,
    pub(crate) origin: Offset,
    pub(crate) floor: Offset,
    pub(crate) damaged: Option<OffsetRange>,
    pub(crate) committed: Offset,
    pub(crate) anchor: Option<Anchor>,
    /// The end of the last block that was accepted: the next one starts here.
    pub(crate) position: Offset,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Producer {
    Absent,
    Building,
    Ready,
    Pausing(Ticket),
}

/// The one Kafka transaction of the process that is under way.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Transaction {
    pub(crate) number: TransactionNumber,
    pub(crate) kind: TransactionKind,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum TransactionKind {
    Proof(LaneId),
    Commit {
        offsets: BTreeMap<PartitionKey, Commit>,
        blocks: BTreeSet<(LaneId, BlockNumber)>,
    },
    /// A commit was refused; a little later it is done again with what is acknowledged then.
    Refused(Ticket),
}

impl Transaction {
    /// Whether the block is part of it.
    pub(crate) fn has_block(&self, lane: LaneId, block: BlockNumber) -> bool {
        match &self.kind {
            TransactionKind::Commit { blocks, .. } => blocks.contains(&(lane, block)),
            TransactionKind::Proof(_) | TransactionKind::Refused(_) => false,
        }
    }

    /// Whether partitions of the lane are in it.
    pub(crate) fn holds(&self, lane: LaneId) -> bool {
        match &self.kind {
            TransactionKind::Proof(proved) => *proved == lane,
            TransactionKind::Commit { offsets, .. } => offsets.keys().any(|key| key.lane == lane),
            TransactionKind::Refused(_) => false,
        }
    }
}

impl State {
    /// A process that has just started: nothing assigned, no producer.
    pub fn new(policies: BTreeMap<LaneId, LanePolicy>) -> Self {
        let lanes = policies.into_iter().map(|(id, policy)| (id, Lane::new(policy))).collect();
        Self {
            lanes,
            partitions: BTreeMap::new(),
            producer: Producer::Absent,
            transaction: None,
            counters: Counters::default(),
            stopping: Stopping::No,
        }
    }

    pub(crate) fn lane(&mut self, id: LaneId) -> &mut Lane {
        self.lanes.get_mut(&id).expect("lanes are fixed by the configuration")
    }

    pub(crate) fn keys_of(&self, lane: LaneId) -> impl Iterator<Item = PartitionKey> + '_ {
        self.partitions.keys().copied().filter(move |key| key.lane == lane)
    }

    pub(crate) fn owned(&self, key: PartitionKey) -> Option<&Owned> {
        match &self.partitions.get(&key)?.phase {
            Phase::Owned(owned) => Some(owned),
            Phase::Waiting(_) | Phase::TakingOver | Phase::Halted(_) => None,
        }
    }

    pub(crate) fn ticket(&mut self) -> Ticket {
        self.counters.ticket += 1;
        Ticket(self.counters.ticket)
    }

    /// Lets no takeover of the lane begin before a pause is over.
    pub(crate) fn pause_lane(&mut self, id: LaneId, delay: Delay, actions: &mut Vec<Action>) {
        let ticket = self.ticket();
        self.lane(id).pause = Some(ticket);
        actions.push(Action::Pause(ticket, delay));
    }

    /// What each partition is doing, for status and metrics.
    pub fn overview(&self) -> impl Iterator<Item = (PartitionKey, PartitionView<'_>)> {
        self.partitions.iter().map(|(key, partition)| {
            let view = match &partition.phase {
                Phase::Waiting(_) => PartitionView::Waiting,
                Phase::TakingOver => PartitionView::TakingOver,
                Phase::Owned(owned) => PartitionView::Running { committed: owned.committed },
                Phase::Halted(reason) => PartitionView::Halted(reason),
            };
            (*key, view)
        })
    }
}

/// What a partition is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PartitionView<'a> {
    /// A takeover is due.
    Waiting,
    /// A takeover is at it.
    TakingOver,
    /// It is consumed.
    Running {
        /// The offset committed last.
        committed: Offset,
    },
    /// It stands still.
    Halted(&'a HaltReason),
}

impl Lane {
    fn new(policy: LanePolicy) -> Self {
        Self {
            policy,
            takeover: None,
            pause: None,
            failures: 0,
            recheck: None,
            inserting: None,
            queued: VecDeque::new(),
            acknowledged: VecDeque::new(),
            search: None,
            bytes_limit: None,
            suspicion: None,
        }
    }

    /// Whether anything of it is neither committed nor dropped.
    pub(crate) fn busy(&self) -> bool {
        self.inserting.is_some() || !self.queued.is_empty() || !self.acknowledged.is_empty()
    }
}

impl Stage {
    /// Forgets a partition. True if none is left.
    pub(crate) fn forget(&mut self, key: PartitionKey) -> bool {
        match self {
            Self::Reading(members) => {
                members.remove(&key);
                members.is_empty()
            }
            Self::ToProve(members) | Self::Proving(_, members) | Self::Claiming(members) => {
                members.remove(&key);
                members.is_empty()
            }
            Self::Draining(members) | Self::Settling(_, members) | Self::Looking(members) => {
                members.remove(&key);
                members.is_empty()
            }
        }
    }
}
