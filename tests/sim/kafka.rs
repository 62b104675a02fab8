//! A Kafka as far as the protocol can tell: logs with gaps, a group that fences members (not partitions), offsets
//! with metadata, and transactions whose end is decided at one moment and takes effect at later ones.

use std::collections::{BTreeMap, BTreeSet};

use oncesink::protocol::facts::CommittedOffset;
use oncesink::types::{LaneId, OffsetRange, PartitionKey};

use crate::oracle::Unit;
use crate::rng::{Rng, mix};

/// What a record is, fixed by its identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Good,
    /// Cannot be decoded: a dead letter at once.
    Bad,
    /// Decodes, but the server refuses its first row for good.
    Poison,
    Tombstone,
}

pub(crate) fn kind(unit: Unit) -> Kind {
    match hash(unit) % 20 {
        0 | 1 => Kind::Bad,
        // A list of no rows is skipped like a record without a value.
        _ if rows(unit) == 0 => Kind::Tombstone,
        2 => Kind::Poison,
        3 => Kind::Tombstone,
        _ => Kind::Good,
    }
}

/// The records of topics created from here on make several rows, or none.
pub(crate) const SEVERAL_ROWS: u64 = 1_000_000;

/// How many rows a record makes, if it is good.
pub(crate) fn rows(unit: Unit) -> u64 {
    if unit.generation < SEVERAL_ROWS {
        return 1;
    }
    [2, 0, 1, 3][usize::try_from(hash(unit) / 64 % 4).expect("small")]
}

/// Whether a detector fires on the record.
pub(crate) fn fires(unit: Unit) -> bool {
    kind(unit) == Kind::Good && (hash(unit) / 32).is_multiple_of(2)
}

pub(crate) fn hash(unit: Unit) -> u64 {
    let place = u64::from(unit.key.lane.0) * 31 + u64::try_from(unit.key.partition.0).expect("not negative");
    mix(unit.offset + 1000 * unit.generation + 1_000_000 * place)
}

#[derive(Debug, Default, Clone, Hash)]
pub(crate) struct Log {
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) records: BTreeSet<u64>,
}

#[derive(Debug, Clone)]
pub(crate) struct Member {
    pub(crate) worker: usize,
    pub(crate) incarnation: u64,
    /// Partitions it has to give back at its next poll.
    pub(crate) revoke: BTreeSet<PartitionKey>,
}

#[derive(Debug, Default, Clone)]
pub(crate) struct Group {
    pub(crate) generation: u64,
    pub(crate) members: BTreeMap<u64, Member>,
    pub(crate) target: BTreeMap<PartitionKey, u64>,
    pub(crate) holder: BTreeMap<PartitionKey, u64>,
    pub(crate) eager: bool,
    joined: u64,
}

impl Group {
    pub(crate) fn join(&mut self, worker: usize, incarnation: u64, keys: &[PartitionKey], rng: &mut Rng) -> u64 {
        self.joined += 1;
        self.members.insert(self.joined, Member { worker, incarnation, revoke: BTreeSet::new() });
        self.assign(keys, rng, 60);
        self.joined
    }

    pub(crate) fn kick(&mut self, member: u64, keys: &[PartitionKey], rng: &mut Rng) {
        self.members.remove(&member);
        self.holder.retain(|_, holder| *holder != member);
        self.assign(keys, rng, 60);
    }

    pub(crate) fn rebalance(&mut self, keys: &[PartitionKey], rng: &mut Rng) {
        self.assign(keys, rng, 30);
    }

    /// Gives every partition to a member. Of those that are held, so many in a hundred stay where they are; of a world
    /// whose every outcome is visited all stay, but for a rebalance that is a fault.
    fn assign(&mut self, keys: &[PartitionKey], rng: &mut Rng, stay: u64) {
        let stay = if matches!(rng, Rng::Scripted { .. }) && stay > 50 { 100 } else { stay };
        self.generation += 1;
        let members: Vec<u64> = self.members.keys().copied().collect();
        self.target.clear();
        if members.is_empty() {
            return;
        }
        for key in keys {
            let holder = self.holder.get(key).copied();
            let target = match holder {
                Some(holder) if rng.percent(stay) => holder,
                Some(_) | None => members[rng.below(members.len())],
            };
            self.target.insert(*key, target);
            if let Some(holder) = holder
                && (self.eager || holder != target)
            {
                self.members.get_mut(&holder).expect("a holder is a member").revoke.insert(*key);
            }
        }
    }

    /// What a member may take at its next poll.
    pub(crate) fn grants(&self, member: u64) -> Vec<PartitionKey> {
        let free = |key: &PartitionKey| !self.holder.contains_key(key);
        self.target.iter().filter(|(key, target)| **target == member && free(key)).map(|(key, _)| *key).collect()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Progress {
    Ongoing,
    /// Decided; readers do not see it yet.
    Prepared {
        commit: bool,
    },
}

#[derive(Debug, Clone, Hash)]
pub(crate) struct Txn {
    pub(crate) progress: Progress,
    pub(crate) offsets: BTreeMap<PartitionKey, CommittedOffset>,
    /// Partitions whose offset was set from outside afterwards: it lies above in the coordinator's log, and stays.
    pub(crate) superseded: BTreeSet<PartitionKey>,
    pub(crate) ranges: Vec<(PartitionKey, OffsetRange)>,
    pub(crate) alerts: Vec<Unit>,
    pub(crate) offsets_marked: bool,
    pub(crate) alerts_marked: bool,
}

#[derive(Debug, Default, Clone)]
pub(crate) struct Coordinator {
    pub(crate) epoch: u64,
    pub(crate) txn: Option<Txn>,
}

impl Coordinator {
    pub(crate) fn begin(&mut self) -> &mut Txn {
        self.txn.insert(Txn {
            progress: Progress::Ongoing,
            offsets: BTreeMap::new(),
            superseded: BTreeSet::new(),
            ranges: Vec::new(),
            alerts: Vec::new(),
            offsets_marked: false,
            alerts_marked: false,
        })
    }

    pub(crate) fn ongoing(&self) -> bool {
        self.txn.as_ref().is_some_and(|txn| txn.progress == Progress::Ongoing)
    }

    pub(crate) fn end(&mut self, commit: bool) {
        if let Some(txn) = &mut self.txn
            && txn.progress == Progress::Ongoing
        {
            txn.progress = Progress::Prepared { commit };
        }
    }

    /// Aborts what is open and fences its producer.
    pub(crate) fn fence(&mut self) {
        self.end(false);
        self.epoch += 1;
    }
}

/// An offset request in flight.
#[derive(Debug, Clone)]
pub(crate) struct OffsetsRequest {
    pub(crate) worker: usize,
    pub(crate) epoch: u64,
    /// `None`: generation -1 without a member id, which the broker does not fence.
    pub(crate) member: Option<(u64, u64)>,
    pub(crate) offsets: BTreeMap<PartitionKey, CommittedOffset>,
    pub(crate) ranges: Vec<(PartitionKey, OffsetRange)>,
}

#[derive(Debug, Default, Clone)]
pub(crate) struct Kafka {
    pub(crate) generations: BTreeMap<LaneId, u64>,
    pub(crate) logs: BTreeMap<PartitionKey, Log>,
    pub(crate) group: Group,
    pub(crate) committed: BTreeMap<PartitionKey, CommittedOffset>,
    pub(crate) coordinators: Vec<Coordinator>,
    pub(crate) late_offsets: Vec<OffsetsRequest>,
    /// Worker and producer epoch of commit requests in flight.
    pub(crate) late_ends: Vec<(usize, u64)>,
}

impl Kafka {
    pub(crate) fn unit(&self, key: PartitionKey, offset: u64) -> Unit {
        Unit { key, generation: self.generations[&key.lane], offset }
    }

    pub(crate) fn pending(&self, key: PartitionKey) -> bool {
        let holds = |txn: &Txn| txn.offsets.contains_key(&key) && !txn.offsets_marked;
        self.coordinators.iter().any(|coordinator| coordinator.txn.as_ref().is_some_and(holds))
    }

    /// Lands an offset request. False: refused.
    pub(crate) fn send_offsets(&mut self, request: &OffsetsRequest) -> bool {
        let fenced = request.member.is_some_and(|(member, generation)| {
            !self.group.members.contains_key(&member) || self.group.generation != generation
        });
        let coordinator = &mut self.coordinators[request.worker];
        if fenced || coordinator.epoch != request.epoch || !coordinator.ongoing() {
            return false;
        }
        let txn = coordinator.txn.as_mut().expect("it is ongoing");
        txn.superseded.retain(|key| !request.offsets.contains_key(key));
        txn.offsets.extend(request.offsets.clone());
        txn.ranges.extend(request.ranges.clone());
        true
    }
}
