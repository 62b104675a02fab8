//! What the pipeline and the polling thread tell each other.

use std::collections::{BTreeMap, BTreeSet};

use crate::block::lane_fill::FilledBlock;
use crate::columns::Columns;
use crate::decode::NewColumn;
use crate::protocol::action::Resume;
use crate::protocol::halt::HaltReason;
use crate::registry::SchemaKey;
use crate::source::group::GroupEvent;
use crate::types::{AssignmentNumber, LaneId, Offset, OffsetRange, PartitionKey, TargetNumber};

/// What the pipeline wants of this thread.
#[derive(Debug)]
pub enum Command {
    /// Read a partition from where its takeover ended.
    Resume(Box<Resume>),
    /// Drop the lane's open block and read nothing of it.
    StopLane(LaneId),
    /// Cut the lane's blocks at so many rows.
    LimitRows(LaneId, Option<u64>),
    /// Make a dead letter of a record with a JSON object that has a key twice.
    WantSingleKeys(LaneId),
    /// Close the lane's blocks at so many bytes of records.
    LimitBytes(LaneId, u64),
    /// Emptied columns, for reuse.
    Recycle(LaneId, TargetNumber, Columns),
    /// A block of the lane is let go.
    Released(LaneId),
    /// Look how far these partitions were read: they end above the last record of theirs.
    Pass(Vec<PartitionKey>),
    /// Let all partitions go and join the group anew.
    Rejoin,
    /// Close what is open and read no more; answered by `Drained`.
    Drain,
    /// End the thread.
    Exit,
}

/// What this thread tells the pipeline.
#[derive(Debug)]
pub enum SourceEvent {
    /// The group gave us partitions.
    Assigned(BTreeMap<PartitionKey, AssignmentNumber>),
    /// The group took partitions; the open blocks of these lanes held records of them and were dropped.
    Revoked {
        /// The partitions.
        partitions: BTreeSet<PartitionKey>,
        /// The lanes.
        discarded: BTreeSet<LaneId>,
    },
    /// A block is full or old enough.
    Block(Box<FilledBlock>),
    /// The partition was read past these offsets, and no record was in them.
    Passed(PartitionKey, OffsetRange),
    /// The next batch of a partition cannot be read: where it stands, why, and what a person can do. It is tried again.
    Unreadable(PartitionKey, Offset, String),
    /// It was read after all.
    Readable(PartitionKey),
    /// A partition cannot be fetched.
    FetchFailed(PartitionKey, String),
    /// A partition cannot go on with a record: its last committed one is another now, or one is partly stored.
    Unusable(PartitionKey, AssignmentNumber, HaltReason),
    /// The lane is not read any more, because a record of the partition waits for its schema; `None`, and it is again.
    Awaiting(LaneId, Option<(PartitionKey, SchemaKey)>),
    /// The lane is not read any more, because the table lacks columns for a record of the partition.
    Lacking(PartitionKey, Vec<NewColumn>),
    /// The lane is not read any more, because blocks wait for ClickHouse and its share of memory is full; or it is again.
    Held(LaneId, bool),
    /// Everything that was open is closed and handed over.
    Drained,
    /// News of the group that change nothing by themselves.
    Group(GroupEvent),
}
