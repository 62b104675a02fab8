//! What Kafka and ClickHouse know of a partition when it is taken over: the input of every decision of the protocol.

use std::collections::BTreeMap;

use crate::types::{Claim, Offset, OffsetRange, OffsetSet, PartitionKey, RecordCount, Replay, TopicId, UnitSet};

/// Everything a takeover reads before it decides where a partition goes on.
///
/// The order of reading is part of the protocol: the topic id, the committed offset, then the state tables (the other
/// way round, what the last owner writes between looks like a hole of the ledger), then the topic id again: if it
/// differs, the offset is of neither topic and the reading has failed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Facts {
    /// The topic's identity now; `None` where the broker has none to give (before Kafka 2.8).
    pub topic_id: Option<TopicId>,
    /// From the oldest retained offset up to the high watermark.
    pub log: OffsetRange,
    /// Where the start policy points, for a partition that nobody consumed yet.
    pub start: Offset,
    /// The group's offset, read with `isolation.level=read_committed`.
    pub committed: Option<CommittedOffset>,
    /// What the state tables say.
    pub stored: StoredFacts,
}

/// The committed offset of a partition.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CommittedOffset {
    /// The next offset to consume.
    pub offset: Offset,
    /// Our metadata beside it; `None` if it is empty or not ours: a foreign tool has moved the offset.
    pub metadata: Option<Metadata>,
}

/// What we commit beside every offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Metadata {
    /// The topic's identity when this was committed.
    pub topic_id: Option<TopicId>,
    /// The replay that the offset belongs to.
    pub replay: Replay,
    /// The alert floor: the first offset whose alerts are not known to be committed.
    pub floor: Offset,
    /// Where consumption began or was moved to: the ledger covers everything from here.
    pub origin: Offset,
    /// The last committed record, to recognise a topic that was replaced.
    pub anchor: Option<Anchor>,
}

/// A hash of the last record below a committed offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Anchor {
    /// The record's offset.
    pub offset: Offset,
    /// XXH3 of its timestamp, key and value.
    pub hash: u64,
}

/// What ownership and ledger say of one partition, for the greatest replay known to either.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct StoredFacts {
    /// The greatest replay known and the topic id it was begun with; `None` if both tables are silent.
    pub identity: Option<StoredIdentity>,
    /// Union of the ledger's ranges of that topic id and replay; a checkpoint row counts from its origin.
    pub covered: OffsetSet,
    /// The origin in the newest ledger row.
    pub origin: Option<Offset>,
    /// The greatest alert floor in the ledger.
    pub floor: Option<Offset>,
    /// The first of the newest ranges of which rows or dead letters are gone, where that can be told. Of overlapping
    /// ledger rows only the newest claim's is compared: what a repair could not get again from Kafka is not missed
    /// for ever.
    pub missing: Option<OffsetRange>,
    /// Ranges that were repaired once already.
    pub damaged: Vec<OffsetRange>,
}

/// Identity of a partition's records as the state tables know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct StoredIdentity {
    /// The topic's identity when the replay was begun.
    pub topic_id: Option<TopicId>,
    /// The greatest replay known.
    pub replay: Replay,
}

/// What the claim gave.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Claimed {
    /// The new claim of each partition.
    pub claims: BTreeMap<PartitionKey, Claim>,
    /// Other connectors that claim partitions of the same topic for the same table.
    pub others: Vec<String>,
}

/// The units that a look found at and above an offset.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Presence {
    /// The units in the target table.
    pub rows: UnitSet,
    /// Offsets with a dead letter: a record becomes one as a whole.
    pub dead: OffsetSet,
}

/// One row of the ledger: what a block did to one partition.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LedgerRow {
    /// The partition.
    pub key: PartitionKey,
    /// The claim under which the block was made.
    pub claim: Claim,
    /// The topic's identity.
    pub topic_id: Option<TopicId>,
    /// The replay.
    pub replay: Replay,
    /// The offsets that the block decided about.
    pub range: OffsetRange,
    /// Where consumption began or was moved to.
    pub origin: Offset,
    /// Whether the row vouches for everything from `origin`, so that older ones may expire.
    pub checkpoint: bool,
    /// Rows in the target within `range`: those found there and those inserted. The insert proves it.
    pub rows: RecordCount,
    /// Dead letters within `range`: those found there and those inserted.
    pub dead: RecordCount,
    /// Records skipped on purpose.
    pub skipped: RecordCount,
    /// Offsets that Kafka no longer had.
    pub gap: Option<OffsetRange>,
    /// The alert floor known when this was written.
    pub floor: Offset,
    /// The range is being repaired.
    pub damaged: bool,
    /// The insert of the target may have left views without it.
    pub views_unverified: bool,
}
