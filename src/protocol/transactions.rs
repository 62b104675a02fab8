//! The one Kafka transaction of the process: proofs of takeovers, and alerts with offsets of acknowledged blocks.

use std::collections::{BTreeMap, BTreeSet};

use crate::protocol::action::{Action, BlockAlerts, Commit, Delay, Note, Released, Why};
use crate::protocol::event::{TransactionEnd, TransactionNumber};
use crate::protocol::facts::Metadata;
use crate::protocol::planted::planted;
use crate::protocol::state::{
    FENCINGS_MAX, Owned, Phase, Producer, REJECTIONS_MAX, Stage, State, Transaction, TransactionKind,
};
use crate::types::{BlockNumber, LaneId, PartitionKey};

impl State {
    /// Begins a transaction if there is something for one: a takeover's proof, else all acknowledged blocks.
    pub(crate) fn begin_transaction(&mut self, actions: &mut Vec<Action>) {
        if self.transaction.is_some() || self.producer != Producer::Ready {
            return;
        }
        if !self.begin_proof(actions) {
            self.begin_commit(actions);
        }
    }

    fn next_transaction(&mut self) -> TransactionNumber {
        self.counters.transaction += 1;
        TransactionNumber(self.counters.transaction)
    }

    fn begin_proof(&mut self, actions: &mut Vec<Action>) -> bool {
        let due = self.lanes.iter().find_map(|(id, lane)| match &lane.takeover {
            Some(takeover) if matches!(takeover.stage, Stage::ToProve(_)) => Some(*id),
            Some(_) | None => None,
        });
        let Some(id) = due else { return false };
        let number = self.next_transaction();
        let Some(takeover) = &mut self.lane(id).takeover else { return false };
        let Stage::ToProve(members) = &takeover.stage else { return false };
        let members = members.clone();
        let offsets = members
            .iter()
            .map(|(key, proof)| {
                let (offset, mut metadata) = (proof.start.commit, proof.start.metadata());
                if planted!(ProofMovesFloor) {
                    metadata.floor = offset;
                }
                (*key, Commit { assignment: proof.assignment, offset, metadata })
            })
            .collect();
        takeover.stage = Stage::Proving(number, members);
        self.transaction = Some(Transaction { number, kind: TransactionKind::Proof(id) });
        actions.push(Action::Prove(number, offsets));
        true
    }

    fn begin_commit(&mut self, actions: &mut Vec<Action>) {
        let mut offsets: BTreeMap<PartitionKey, Commit> = BTreeMap::new();
        let mut alerts = Vec::new();
        let mut blocks: BTreeSet<(LaneId, BlockNumber)> = BTreeSet::new();
        for (id, lane) in &self.lanes {
            for block in &lane.acknowledged {
                blocks.insert((*id, block.number));
                let mut partitions = BTreeSet::new();
                for (key, batch) in &block.batches {
                    // Of a partition that went away nothing is published: its new owner does that (H3).
                    let ours = |owned: &&Owned| owned.claim == batch.claim || planted!(AbandonedBlockCounts);
                    let Some(owned) = self.owned(*key).filter(ours) else {
                        if planted!(AlertsOfRevokedKept) {
                            partitions.insert(*key);
                        }
                        continue;
                    };
                    partitions.insert(*key);
                    let offset = batch.range.end();
                    let before = offsets.get(key).map_or(owned.anchor, |commit| commit.metadata.anchor);
                    let metadata = Metadata {
                        topic_id: owned.topic_id,
                        replay: owned.replay,
                        floor: owned.floor.max(offset),
                        origin: owned.origin,
                        anchor: batch.anchor.or(before),
                    };
                    let previous = offsets.insert(*key, Commit { assignment: batch.assignment, offset, metadata });
                    let from = previous.map_or(owned.committed, |commit| commit.offset);
                    assert_eq!(from, batch.range.start(), "a commit leaves out or repeats offsets of {key:?}");
                }
                alerts.push(BlockAlerts { block: block.number, partitions });
            }
        }
        if blocks.is_empty() {
            return;
        }
        if offsets.is_empty() {
            return self.release(&blocks, Released::Dropped, actions);
        }
        let number = self.next_transaction();
        self.transaction =
            Some(Transaction { number, kind: TransactionKind::Commit { offsets: offsets.clone(), blocks } });
        actions.push(Action::Commit(number, offsets, alerts));
    }

    fn release(&mut self, blocks: &BTreeSet<(LaneId, BlockNumber)>, how: Released, actions: &mut Vec<Action>) {
        for (id, number) in blocks {
            self.lane(*id).acknowledged.retain(|block| block.number != *number);
            actions.push(Action::Release(*number, how));
        }
    }

    pub(crate) fn on_transaction_ended(
        &mut self,
        number: TransactionNumber,
        end: TransactionEnd,
        actions: &mut Vec<Action>,
    ) {
        let Some(running) = self.transaction.take_if(|running| running.number == number) else { return };
        match &end {
            TransactionEnd::Committed | TransactionEnd::CommittedSlowly => {
                self.counters.fencings = 0;
                self.counters.rejections = 0;
                if end == TransactionEnd::CommittedSlowly {
                    self.producer = Producer::Absent;
                }
            }
            TransactionEnd::InstanceReplaced => {
                let text = "another member with the same group.instance.id has joined the group".to_owned();
                actions.push(Action::ExitDuplicateInstance(text));
            }
            TransactionEnd::Fenced(text) => {
                self.counters.fencings += 1;
                self.producer = Producer::Absent;
                if self.counters.fencings >= FENCINGS_MAX {
                    actions.push(Action::ExitDuplicateInstance(text.clone()));
                }
            }
            TransactionEnd::Ambiguous(_) if planted!(UnclearProducerKept) => {}
            TransactionEnd::Ambiguous(_) => self.producer = Producer::Absent,
            TransactionEnd::NotOwned(_) | TransactionEnd::Rejected(_) => {}
        }
        let committed = matches!(end, TransactionEnd::Committed | TransactionEnd::CommittedSlowly);
        if !committed {
            actions.push(Action::Note(Note::TransactionFailed(end.clone())));
        }
        match running.kind {
            TransactionKind::Proof(id) if committed => self.on_proved(id, actions),
            TransactionKind::Proof(id) => self.on_not_proved(id, number, actions),
            TransactionKind::Commit { offsets, blocks } => {
                self.on_commit_ended(&offsets, &blocks, end, actions);
            }
            TransactionKind::Refused(_) => unreachable!("a pause has no transaction that could end"),
        }
    }

    /// Kafka does not count us as owner, or did not say: let go, and ask again from the beginning after a pause.
    fn on_not_proved(&mut self, id: LaneId, number: TransactionNumber, actions: &mut Vec<Action>) {
        let Some(takeover) = self.lane(id).takeover.take() else { return };
        if let Stage::Proving(proving, members) = &takeover.stage
            && *proving == number
        {
            return self.retry_takeover(id, members.clone().into_keys(), actions);
        }
        self.lane(id).takeover = Some(takeover);
    }

    fn on_commit_ended(
        &mut self,
        offsets: &BTreeMap<PartitionKey, Commit>,
        blocks: &BTreeSet<(LaneId, BlockNumber)>,
        end: TransactionEnd,
        actions: &mut Vec<Action>,
    ) {
        match end {
            TransactionEnd::Committed | TransactionEnd::CommittedSlowly => {
                for (key, commit) in offsets {
                    self.on_committed(*key, commit);
                }
                self.release(blocks, Released::Committed, actions);
            }
            TransactionEnd::Rejected(_) if self.counters.rejections < REJECTIONS_MAX => {
                self.counters.rejections += 1;
                let ticket = self.ticket();
                let number = self.next_transaction();
                self.transaction = Some(Transaction { number, kind: TransactionKind::Refused(ticket) });
                actions.push(Action::Pause(ticket, Delay::Backoff(self.counters.rejections)));
            }
            TransactionEnd::NotOwned(_)
            | TransactionEnd::Rejected(_)
            | TransactionEnd::Ambiguous(_)
            | TransactionEnd::Fenced(_)
            | TransactionEnd::InstanceReplaced => {
                // Whatever was acknowledged is found by the look; its alerts are made again above the floor.
                self.release(blocks, Released::Dropped, actions);
                let lanes: BTreeSet<LaneId> = offsets.keys().map(|key| key.lane).collect();
                for lane in lanes {
                    self.take_over_lane(lane, Why::Transaction, actions);
                }
            }
        }
    }

    fn on_committed(&mut self, key: PartitionKey, commit: &Commit) {
        if let Some(partition) = self.partitions.get_mut(&key)
            && partition.assignment == commit.assignment
        {
            if let Phase::Owned(owned) = &mut partition.phase {
                owned.committed = commit.offset;
                owned.floor = commit.metadata.floor;
                owned.anchor = commit.metadata.anchor;
            }
            self.forget_below(key, commit.offset);
        }
    }
}
