//! Where a partition goes on: one decision over what Kafka and ClickHouse know of it.
//!
//! Pure. Order matters: identity first (whose records are these), then the position, then damage, then gaps.

use crate::protocol::facts::{Anchor, CommittedOffset, Facts, Metadata, StoredFacts};
use crate::protocol::halt::HaltReason;
use crate::protocol::planted::planted;
use crate::types::{Offset, OffsetRange, OffsetSet, Replay, TopicId};

/// What to do when Kafka no longer has records that were not consumed yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OnGap {
    /// Stop the partition until a person decides.
    Halt,
    /// Record the exact range in the ledger and go on behind it.
    Skip,
}

/// Where and as what a partition goes on.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Start {
    /// The offset that the proof commits again; the first block's range starts here.
    pub commit: Offset,
    /// The topic's identity.
    pub topic_id: Option<TopicId>,
    /// The replay.
    pub replay: Replay,
    /// The alert floor: alerts below are known to be committed.
    pub floor: Offset,
    /// Where consumption began or was moved to.
    pub origin: Offset,
    /// The record below `commit`, to compare when it is read again.
    pub anchor: Option<Anchor>,
    /// Offsets that Kafka no longer has and that are skipped by configuration.
    pub gap: Option<OffsetRange>,
    /// What ClickHouse lost and is inserted again.
    pub damaged: Option<OffsetRange>,
    /// Offsets of which the ledger proves that they were stored: what is absent there was removed on purpose.
    pub trusted: OffsetSet,
    /// Why it starts here.
    pub cause: StartCause,
}

impl Start {
    /// The metadata that goes beside the offset in the proof.
    pub fn metadata(&self) -> Metadata {
        Metadata {
            topic_id: self.topic_id,
            replay: self.replay,
            floor: self.floor,
            origin: self.origin,
            anchor: self.anchor,
        }
    }

    /// The first offset to fetch.
    pub fn fetch_from(&self) -> Offset {
        self.gap.map_or(self.commit, OffsetRange::end)
    }
}

/// Why a partition starts where it does, for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StartCause {
    /// Nobody consumed it yet: the start policy.
    First,
    /// The offset that we committed.
    Committed,
    /// Kafka has no offset any more, the ledger has.
    Ledger,
    /// A foreign tool moved the offset.
    Moved,
    /// ClickHouse went back in time.
    Damaged,
}

/// Go on, or stop and say why.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Resolution {
    /// Go on here.
    Start(Start),
    /// Stop the partition.
    Halt(HaltReason),
}

/// Decides where a partition goes on.
pub fn resolve(facts: &Facts, on_gap: OnGap) -> Resolution {
    let identity = match identify(facts) {
        Ok(identity) => identity,
        Err(reason) => return Resolution::Halt(reason),
    };
    let mut start = position(facts, &identity);
    start.origin = start.origin.min(start.commit);
    if start.commit > facts.log.end() {
        return Resolution::Halt(HaltReason::LogTruncated { committed: start.commit, end: facts.log.end() });
    }
    // A foreign move changes the range that commits answer for, [origin, commit), not what was stored: rows that are
    // gone are missed below a jump, and above a rewind. Above our own offset the look finds out.
    let covered = &identity.stored.covered;
    let stored = match start.cause {
        StartCause::Moved => covered.clone(),
        StartCause::First | StartCause::Committed | StartCause::Ledger | StartCause::Damaged => {
            covered.within(OffsetRange::new(Offset::ZERO, start.commit))
        }
    };
    let damaged = damage(&identity.stored, start.origin, start.commit, &stored);
    if let Some(damaged) = damaged.filter(|_| !planted!(DamageUnseen)) {
        if identity.stored.damaged.iter().any(|repaired| repaired.overlaps(damaged)) {
            return Resolution::Halt(HaltReason::DamagedTwice { range: damaged });
        }
        start.commit = start.commit.min(damaged.start());
        start.origin = start.origin.min(start.commit);
        start.anchor = None;
        start.damaged = Some(damaged);
        start.cause = StartCause::Damaged;
        if planted!(RepairTrusted) {
            start.trusted = stored;
        }
    } else if let Some(end) = stored.end().filter(|end| *end > start.commit) {
        // Only what the ledger covers: the tool may also have jumped over records that nobody stored.
        let above = OffsetRange::new(start.commit, end);
        start.trusted = if planted!(HolesTrusted) { [above].into_iter().collect() } else { stored.within(above) };
    }
    // A record that retention has removed cannot be compared any more.
    start.anchor = start.anchor.filter(|anchor| facts.log.start() <= anchor.offset);
    if start.commit < facts.log.start() {
        let gap = OffsetRange::new(start.commit, facts.log.start());
        match on_gap {
            OnGap::Halt => return Resolution::Halt(HaltReason::Gap { range: gap }),
            OnGap::Skip if planted!(GapForgotten) => start.commit = gap.end(),
            OnGap::Skip => start.gap = Some(gap),
        }
    }
    Resolution::Start(start)
}

/// Whose records these are: the topic id and replay to go on with, and what is stored for exactly them.
struct Identity {
    topic_id: Option<TopicId>,
    replay: Replay,
    metadata: Option<Metadata>,
    stored: StoredFacts,
}

/// Topic id and replay are decided by ownership and ledger, metadata only confirms: deleting a topic deletes
/// its committed offsets and their metadata with it (N8).
fn identify(facts: &Facts) -> Result<Identity, HaltReason> {
    let metadata = facts.committed.as_ref().and_then(|committed| committed.metadata);
    let stored = facts.stored.identity;
    let differs = |known: Option<TopicId>| known.zip(facts.topic_id).is_some_and(|(known, now)| known != now);
    if stored.is_some_and(|stored| differs(stored.topic_id)) && !planted!(TopicIdOnlyInMetadata) {
        return Err(HaltReason::TopicRecreated);
    }
    let stored_replay = stored.map(|stored| stored.replay).filter(|_| !planted!(ReplayOnlyInMetadata));
    let outdated = metadata.is_some_and(|metadata| stored_replay.is_some_and(|replay| metadata.replay < replay));
    if !outdated && metadata.is_some_and(|metadata| differs(metadata.topic_id)) {
        return Err(HaltReason::TopicRecreated);
    }
    let metadata = metadata.filter(|_| !outdated);
    let replay = metadata.map(|metadata| metadata.replay).max(stored_replay).unwrap_or_default();
    let stored = if stored_replay == Some(replay) { facts.stored.clone() } else { StoredFacts::default() };
    Ok(Identity { topic_id: facts.topic_id, replay, metadata, stored })
}

fn position(facts: &Facts, identity: &Identity) -> Start {
    let stored = &identity.stored;
    let at = |commit: Offset, floor: Offset, origin: Offset, anchor: Option<Anchor>, cause: StartCause| Start {
        commit,
        topic_id: identity.topic_id,
        replay: identity.replay,
        floor,
        origin,
        anchor,
        gap: None,
        damaged: None,
        trusted: OffsetSet::empty(),
        cause,
    };
    match (&facts.committed, identity.metadata) {
        (Some(committed), Some(metadata)) => {
            at(committed.offset, metadata.floor, metadata.origin, metadata.anchor, StartCause::Committed)
        }
        (Some(CommittedOffset { offset, metadata: None }), None) => {
            let known = stored.origin.zip(stored.covered.end());
            let origin =
                known.filter(|(origin, end)| origin <= offset && offset <= end).map_or(*offset, |(origin, _)| origin);
            // The greatest floor: alerts of the last two blocks may repeat, none is lost (N5).
            let floor = stored.floor.filter(|_| !planted!(MovedOffsetMovesFloor)).unwrap_or(*offset);
            at(*offset, floor, origin, None, StartCause::Moved)
        }
        // No offset, or one of an older replay: the ledger's floor, else the start policy (S6).
        (Some(_), None) | (None, _) => match stored.floor.filter(|_| !planted!(ExpiredOffsetStartsAnew)) {
            // Not below the origin: what was jumped over lies there.
            Some(floor) => {
                let origin = stored.origin.unwrap_or(floor);
                at(floor.max(origin), floor, origin, None, StartCause::Ledger)
            }
            None => at(facts.start, facts.start, facts.start, None, StartCause::First),
        },
    }
}

/// What ClickHouse should have and has not: a hole of the ledger in `[origin, commit)`, or rows gone from its newest
/// ranges, there or in what else is known to be stored.
fn damage(facts: &StoredFacts, origin: Offset, commit: Offset, stored: &OffsetSet) -> Option<OffsetRange> {
    let below = (origin < commit).then(|| OffsetRange::new(origin, commit));
    let promised: OffsetSet = stored.ranges().iter().copied().chain(below).collect();
    let hole = below.and_then(|below| facts.covered.first_hole(below)).map(OffsetRange::start);
    let gone = facts.missing.and_then(|missing| promised.within(missing).ranges().first().map(|range| range.start()));
    let start = hole.into_iter().chain(gone).min()?;
    Some(OffsetRange::new(start, promised.end()?))
}

#[cfg(test)]
#[path = "tests_resolve.rs"]
mod tests;
