//! What can happen to the protocol: replies to its actions, and news from Kafka.

use std::collections::{BTreeMap, BTreeSet};

use crate::protocol::block::BlockSummary;
use crate::protocol::facts::{Claimed, Facts, Presence};
use crate::protocol::halt::HaltReason;
use crate::types::{AssignmentNumber, BlockNumber, LaneId, PartitionKey, TargetNumber, TopicId};

/// Counts takeovers; a reply names the one it belongs to and is ignored if that one is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(not(feature = "failpoints"), derive(Hash))]
pub struct TakeoverNumber(pub u64);

/// Counts Kafka transactions of this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(not(feature = "failpoints"), derive(Hash))]
pub struct TransactionNumber(pub u64);

/// Names a running pause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(not(feature = "failpoints"), derive(Hash))]
pub struct Ticket(pub u64);

/// The tables a block is inserted into, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    /// A target table, of which a topic with routes has several.
    Target(TargetNumber),
    /// The dead-letter table.
    DeadLetters,
    /// The alerts table.
    Alerts,
    /// The ledger; its insert proves the block.
    Ledger,
}

impl Table {
    /// Whether it is one of the target tables.
    pub const fn is_target(self) -> bool {
        matches!(self, Self::Target(_))
    }
}

/// Something could not be done now; the text says what and why.
pub type Failure = String;

/// One event.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Event {
    /// The process starts.
    Started,
    /// The group gave us partitions.
    Assigned(BTreeMap<PartitionKey, AssignmentNumber>),
    /// The group took partitions away. `discarded`: lanes whose open block held records of them and was dropped.
    Revoked {
        /// The partitions that are gone.
        partitions: BTreeSet<PartitionKey>,
        /// Lanes whose open block was dropped.
        discarded: BTreeSet<LaneId>,
    },
    /// A partition cannot be fetched where it stands: offset out of range, corrupt batch, or the topic has another id
    /// now (an idle owner would wait at an offset of the old one).
    FetchFailed(PartitionKey, Failure),
    /// A record that the source cannot go on with: the one at the anchor is another one, or of one that is partly
    /// stored the rest cannot be.
    Unusable(PartitionKey, AssignmentNumber, HaltReason),
    /// The source closed a block.
    BlockClosed(BlockSummary),
    /// Reply to `ReadFacts`.
    FactsRead(TakeoverNumber, Result<BTreeMap<PartitionKey, Result<Facts, HaltReason>>, Failure>),
    /// Reply to `Prove` and `Commit`.
    TransactionEnded(TransactionNumber, TransactionEnd),
    /// Reply to `Claim`.
    Claimed(TakeoverNumber, Result<Claimed, Failure>),
    /// Reply to `Drain`.
    Drained(TakeoverNumber, Result<(), Failure>),
    /// Reply to `Settle`: whether no part of the replicated table is uncertain.
    Settled(TakeoverNumber, Result<bool, Failure>),
    /// Reply to `Look`.
    Looked(TakeoverNumber, Result<BTreeMap<PartitionKey, Presence>, Failure>),
    /// Reply to `CheckTopic`.
    TopicChecked(BlockNumber, Result<Option<TopicId>, Failure>),
    /// Reply to `Insert`.
    Inserted(BlockNumber, Table, InsertEnd),
    /// Reply to `BuildProducer`.
    ProducerBuilt(ProducerEnd),
    /// ClickHouse was started anew: what it acknowledged before may be gone (power loss).
    ServerRestarted,
    /// A pause is over.
    PauseOver(Ticket),
    /// A person wants the process to end: no more fetching, finish what is under way.
    Stop,
}

/// How a Kafka transaction ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum TransactionEnd {
    /// Committed.
    Committed,
    /// Committed, but so slowly that a request sent twice may still be under way: it must not meet the next
    /// transaction of the same producer.
    CommittedSlowly,
    /// The guard found partitions that are not ours under that assignment any more; nothing was sent.
    NotOwned(BTreeSet<PartitionKey>),
    /// The broker refused the offsets, clearly; aborted.
    Rejected(Failure),
    /// It may have been committed or not, or a late request may still arrive: this producer must not be used again.
    Ambiguous(Failure),
    /// Another producer with our id fenced this one. A transaction that may have outlived its own time-out (the process
    /// was frozen) is `Ambiguous` instead: the broker fences that too, and two of those are no second process (S10).
    Fenced(Failure),
    /// Another member with our `group.instance.id` replaced this one.
    InstanceReplaced,
}

/// How building a producer ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ProducerEnd {
    /// It is ready; transactions of its predecessor are ended.
    Ready,
    /// Not now.
    Failed(Failure),
    /// Another producer with our id was faster.
    Fenced(Failure),
}

/// How an insert ended. Everything but an acknowledgement leads to a takeover.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum InsertEnd {
    /// All rows are in.
    Acknowledged,
    /// Refused by our own condition: a newer claim exists, or nothing was inserted for another reason of ours.
    Fenced,
    /// The ledger's proof found other counts than expected.
    Short,
    /// Rows are there that the look did not find.
    Present,
    /// Refused by our own condition: the table is not the one that the rows were made for. Nothing was inserted.
    TableChanged,
    /// An error reply: the statement has ended, part of it may be there (H4, F4).
    Ended(ServerError),
    /// Something in front of the server says that the request is too large. Whether the server got it nobody knows.
    TooLarge(Failure),
    /// No such reply: it may be running still, or never start.
    Unknown(Failure),
}

/// An error reply of the server.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ServerError {
    /// ClickHouse's error code.
    pub code: u32,
    /// Its text, without a stack.
    pub text: String,
    /// What it means for the block.
    pub kind: ServerErrorKind,
}

/// What an error reply means for the block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ServerErrorKind {
    /// It will pass.
    Passing,
    /// These bytes will never be accepted.
    Bytes,
    /// Nobody knows from the code alone whether these bytes or the server are to blame.
    Doubtful,
    /// A person must change table, grant or setting.
    Configuration,
    /// The table was changed since the rows were made for it.
    TableChanged,
}
