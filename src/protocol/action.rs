//! What the protocol wants done. The driver does it and reports with an event; it decides nothing itself.

use std::collections::{BTreeMap, BTreeSet};

use crate::protocol::event::{ServerError, Table, TakeoverNumber, Ticket, TransactionNumber};
use crate::protocol::facts::{LedgerRow, Metadata, Presence};
use crate::protocol::halt::HaltReason;
use crate::protocol::resolve::Start;
use crate::types::{
    AssignmentNumber, BlockNumber, Claim, LaneId, Offset, OffsetRange, PartitionKey, RecordCount, Replay, TopicId,
};

/// One action.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Action {
    /// Make a new producer; the old one is dropped. Reply: `ProducerBuilt`.
    BuildProducer,
    /// Read what Kafka and ClickHouse know. Reply: `FactsRead`.
    ReadFacts(TakeoverNumber, LaneId, BTreeMap<PartitionKey, AssignmentNumber>),
    /// Commit these offsets again, under the guard. Reply: `TransactionEnded`.
    Prove(TransactionNumber, BTreeMap<PartitionKey, Commit>),
    /// Claim partitions in `ownership`, then read it: a greater replay than ours there is a failure (a reset that this
    /// takeover has not seen must not be claimed over). Reply: `Claimed`.
    Claim(TakeoverNumber, LaneId, BTreeMap<PartitionKey, (Option<TopicId>, Replay)>),
    /// Wait for every statement of this connector that runs now. Reply: `Drained`.
    Drain(TakeoverNumber, LaneId),
    /// Ask whether parts of the replicated target are uncertain. Reply: `Settled`.
    Settle(TakeoverNumber, LaneId),
    /// Find the units present from an offset on. Reply: `Looked`.
    Look(TakeoverNumber, LaneId, BTreeMap<PartitionKey, (Offset, Replay)>),
    /// Start reading a partition.
    Resume(Box<Resume>),
    /// Stop reading all partitions of a lane and drop its open block.
    StopLane(LaneId),
    /// Close blocks at this many rows (`None`: as configured).
    LimitRows(LaneId, Option<u64>),
    /// Close blocks at so many bytes of records from here on.
    LimitBytes(LaneId, u64),
    /// Read the topic id again before the block is inserted (N9). Reply: `TopicChecked`.
    CheckTopic(BlockNumber, LaneId),
    /// Insert a block into one table, fenced on these claims. Reply: `Inserted`.
    Insert(Box<Insert>),
    /// Publish the blocks' alerts and commit the offsets, in one transaction, under the guard. Reply: `TransactionEnded`.
    Commit(TransactionNumber, BTreeMap<PartitionKey, Commit>, Vec<BlockAlerts>),
    /// The block's rows and alerts are not needed any more.
    Release(BlockNumber, Released),
    /// Report `PauseOver` after a while.
    Pause(Ticket, Delay),
    /// Stop a partition, with an alarm.
    Halt(PartitionKey, HaltReason),
    /// Say that a takeover begins, and why.
    Note(Note),
    /// Nothing is under way any more: the process can end.
    Finished,
    /// The same instance runs twice: end the process.
    ExitDuplicateInstance(String),
}

/// An offset to commit, and under which assignment it may be committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Commit {
    /// The assignment that must still hold.
    pub assignment: AssignmentNumber,
    /// The offset to commit.
    pub offset: Offset,
    /// What goes beside it.
    pub metadata: Metadata,
}

/// The alerts of a block that go into a transaction: those of these partitions.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BlockAlerts {
    /// The block.
    pub block: BlockNumber,
    /// The partitions whose alerts count; of others they are dropped.
    pub partitions: BTreeSet<PartitionKey>,
}

/// Everything the source needs to read a partition.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Resume {
    /// The partition.
    pub key: PartitionKey,
    /// Its assignment.
    pub assignment: AssignmentNumber,
    /// Our claim on it.
    pub claim: Claim,
    /// Where it goes on, and as what.
    pub start: Start,
    /// What is there already.
    pub presence: Presence,
    /// Records that the server refused for good: dead letters.
    pub condemned: BTreeMap<Offset, ServerError>,
}

/// One insert of a block.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Insert {
    /// The block.
    pub block: BlockNumber,
    /// Its lane.
    pub lane: LaneId,
    /// Which of its tables.
    pub table: Table,
    /// The claims that must be the newest.
    pub claims: BTreeMap<PartitionKey, Claim>,
    /// What the look found within the block's ranges: more than that is a repeated request (H11).
    pub found: Vec<Found>,
    /// The ledger's rows, with which it proves the block; empty for the other tables.
    pub ledger: Vec<LedgerRow>,
}

/// What is there already of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Found {
    /// The partition.
    pub key: PartitionKey,
    /// The replay.
    pub replay: Replay,
    /// The batch's offsets.
    pub range: OffsetRange,
    /// Rows in the target.
    pub rows: RecordCount,
    /// Dead letters.
    pub dead: RecordCount,
}

/// Why a block is let go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Released {
    /// All of it is in ClickHouse and its offsets are committed.
    Committed,
    /// It was dropped; its records are read again.
    Dropped,
}

/// How long to pause. The driver turns it into a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Delay {
    /// Grows with the number of failures in a row.
    Backoff(u32),
    /// A person has to act first: look again now and then.
    Slow,
    /// Long enough to say that no more records come for now.
    Idle,
}

/// Something worth a line in the log and a metric.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Note {
    /// A takeover begins.
    Takeover(LaneId, Why, usize),
    /// A takeover's step failed and is tried again.
    TakeoverFailed(LaneId, &'static str, String),
    /// An insert ended in anything but an acknowledgement.
    InsertFailed(BlockNumber, Table, crate::protocol::event::InsertEnd),
    /// A transaction did not commit.
    TransactionFailed(crate::protocol::event::TransactionEnd),
    /// The producer could not be made.
    ProducerFailed(String),
    /// A partition goes on.
    Resumed(PartitionKey, Start),
    /// A takeover has ended, and so many partitions go on.
    TakeoverDone(LaneId, usize),
    /// A block of so many rows was refused for some record of it, which is searched from here on.
    SearchBegan(LaneId, RecordCount, ServerError),
    /// The search is over: blocks are as large as configured.
    SearchEnded(LaneId),
    /// A record was condemned by the server.
    Condemned(PartitionKey, Offset, ServerError),
}

/// Why partitions are taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Why {
    /// The group assigned them.
    Assigned,
    /// A block of theirs was dropped, because another partition of it went away.
    BlockDropped,
    /// An insert was refused, failed, or got no answer.
    Insert,
    /// A transaction failed.
    Transaction,
    /// The source cannot read on.
    Fetch,
    /// ClickHouse was started anew.
    ServerRestarted,
    /// A takeover failed.
    Retry,
    /// A halted partition is looked at again.
    Recheck,
}

impl Why {
    /// A stable word for metrics.
    pub fn code(self) -> &'static str {
        match self {
            Self::Assigned => "assigned",
            Self::BlockDropped => "block_dropped",
            Self::Insert => "insert",
            Self::Transaction => "transaction",
            Self::Fetch => "fetch",
            Self::ServerRestarted => "server_restarted",
            Self::Retry => "retry",
            Self::Recheck => "recheck",
        }
    }
}
