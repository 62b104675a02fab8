//! The core with a world around it that answers as told: what the tests of `step` are written in.

use super::*;
use crate::protocol::action::{Commit, Insert, Released, Resume};
use crate::protocol::block::{Batch, BlockSummary};
use crate::protocol::event::{
    InsertEnd, ServerError, ServerErrorKind, Table, TakeoverNumber, TransactionEnd, TransactionNumber,
};
use crate::protocol::facts::{Claimed, CommittedOffset, Facts, Metadata, Presence, StoredFacts, StoredIdentity};
use crate::protocol::resolve::OnGap;
use crate::protocol::state::{LanePolicy, PartitionView};
use crate::types::{BlockNumber, Claim, Offset, OffsetRange, OffsetSet, Partition, RecordCount, Replay, TopicId};

pub(super) const LANE: LaneId = LaneId(0);
pub(super) const TOPIC: TopicId = TopicId(7);

pub(super) fn key(partition: i32) -> PartitionKey {
    PartitionKey { lane: LANE, partition: Partition(partition) }
}

pub(super) fn range(start: u64, end: u64) -> OffsetRange {
    OffsetRange::new(Offset::new(start), Offset::new(end))
}

pub(super) fn facts(topic: TopicId, replay: u32, committed: u64) -> Facts {
    let offset = Offset::new(committed);
    let metadata =
        Metadata { topic_id: Some(topic), replay: Replay(replay), floor: offset, origin: Offset::ZERO, anchor: None };
    let covered: OffsetSet = [range(0, committed)].into_iter().collect();
    Facts {
        topic_id: Some(topic),
        log: range(0, 100),
        start: Offset::ZERO,
        committed: Some(CommittedOffset { offset, metadata: Some(metadata) }),
        stored: StoredFacts {
            identity: Some(StoredIdentity { topic_id: Some(topic), replay: Replay(replay) }),
            covered,
            origin: Some(Offset::ZERO),
            floor: Some(offset),
            missing: None,
            damaged: Vec::new(),
        },
    }
}

/// The core with a memory of what it asked for.
pub(super) struct Core {
    pub(super) state: Option<State>,
    pub(super) actions: Vec<Action>,
    pub(super) claims: u64,
    pub(super) facts: Facts,
    pub(super) assigned: u64,
}

impl Core {
    pub(super) fn new(replicated: bool) -> Self {
        let policy = LanePolicy {
            on_gap: OnGap::Halt,
            bad_share_max_millionths: 100_000,
            replicated,
            views: false,
            adopt: false,
        };
        let state = Some(State::new([(LANE, policy)].into()));
        let mut core = Self { state, actions: Vec::new(), claims: 0, facts: facts(TOPIC, 0, 0), assigned: 0 };
        core.send(Event::Started);
        core.send(Event::ProducerBuilt(ProducerEnd::Ready));
        core
    }

    /// Owns these partitions from offset 0.
    pub(super) fn owning(partitions: &[i32]) -> Self {
        let mut core = Self::new(false);
        core.assign(partitions);
        core.take_over();
        core
    }

    pub(super) fn send(&mut self, event: Event) {
        let (state, actions) = step(self.state.take().expect("put back below"), event);
        self.state = Some(state);
        self.actions.extend(actions);
    }

    pub(super) fn assign(&mut self, partitions: &[i32]) {
        let number = |core: &mut Self| {
            core.assigned += 1;
            AssignmentNumber(core.assigned)
        };
        let assigned = partitions.iter().map(|partition| (key(*partition), number(self))).collect();
        self.send(Event::Assigned(assigned));
    }

    pub(super) fn revoke(&mut self, partition: i32) {
        self.send(Event::Revoked { partitions: [key(partition)].into(), discarded: BTreeSet::new() });
    }

    /// Takes the newest action of a kind out of what was asked for.
    pub(super) fn take<T>(&mut self, pick: impl Fn(&Action) -> Option<T>) -> Option<T> {
        let (at, found) = self.actions.iter().enumerate().rev().find_map(|(at, action)| Some((at, pick(action)?)))?;
        self.actions.remove(at);
        Some(found)
    }

    pub(super) fn read(&mut self) -> Option<(TakeoverNumber, BTreeSet<PartitionKey>)> {
        self.take(|action| match action {
            Action::ReadFacts(number, _, keys) => Some((*number, keys.keys().copied().collect())),
            _ => None,
        })
    }

    pub(super) fn proof(&mut self) -> Option<TransactionNumber> {
        self.take(|action| match action {
            Action::Prove(number, _) => Some(*number),
            _ => None,
        })
    }

    pub(super) fn commit(
        &mut self,
    ) -> Option<(TransactionNumber, BTreeMap<PartitionKey, Commit>, BTreeSet<PartitionKey>)> {
        self.take(|action| match action {
            Action::Commit(number, offsets, alerts) => {
                let published = alerts.iter().flat_map(|block| block.partitions.iter().copied()).collect();
                Some((*number, offsets.clone(), published))
            }
            _ => None,
        })
    }

    pub(super) fn insert(&mut self) -> Option<Insert> {
        self.take(|action| match action {
            Action::Insert(insert) => Some((**insert).clone()),
            _ => None,
        })
    }

    pub(super) fn resume(&mut self) -> Option<Resume> {
        self.take(|action| match action {
            Action::Resume(resume) => Some((**resume).clone()),
            _ => None,
        })
    }

    pub(super) fn asked(&self, test: impl Fn(&Action) -> bool) -> bool {
        self.actions.iter().any(test)
    }

    pub(super) fn checks_topic(&self) -> bool {
        self.asked(|action| matches!(action, Action::CheckTopic(..)))
    }

    pub(super) fn finished(&self) -> bool {
        self.asked(|action| matches!(action, Action::Finished))
    }

    pub(super) fn exits(&self) -> bool {
        self.asked(|action| matches!(action, Action::ExitDuplicateInstance(_)))
    }

    pub(super) fn released(&self, block: u64) -> Vec<Released> {
        let of = |action: &Action| match action {
            Action::Release(number, how) if *number == BlockNumber(block) => Some(*how),
            _ => None,
        };
        self.actions.iter().filter_map(of).collect()
    }

    pub(super) fn view(&self, partition: i32) -> PartitionView<'_> {
        let state = self.state.as_ref().expect("put back by send");
        state.overview().find(|(known, _)| *known == key(partition)).expect("assigned").1
    }

    /// Ends all pauses that were asked for.
    pub(super) fn end_pauses(&mut self) {
        let pause = |action: &Action| match action {
            Action::Pause(ticket, _) => Some(*ticket),
            _ => None,
        };
        while let Some(ticket) = self.take(pause) {
            self.send(Event::PauseOver(ticket));
        }
    }

    pub(super) fn answer_facts(&mut self) {
        let (number, keys) = self.read().expect("a takeover reads first");
        let facts = keys.iter().map(|key| (*key, Ok(self.facts.clone()))).collect();
        self.send(Event::FactsRead(number, Ok(facts)));
    }

    pub(super) fn answer_proof(&mut self, end: TransactionEnd) {
        let number = self.proof().expect("facts are followed by a proof");
        self.send(Event::TransactionEnded(number, end));
    }

    pub(super) fn answer_claim(&mut self) -> TakeoverNumber {
        let claim = |action: &Action| match action {
            Action::Claim(number, _, keys) => Some((*number, keys.keys().copied().collect::<Vec<_>>())),
            _ => None,
        };
        let (number, keys) = self.take(claim).expect("a proof is followed by a claim");
        self.claims += 1;
        let claims = keys.iter().map(|key| (*key, Claim(u128::from(self.claims) << 64))).collect();
        self.send(Event::Claimed(number, Ok(Claimed { claims, others: Vec::new() })));
        number
    }

    pub(super) fn look(&mut self) -> Option<BTreeSet<PartitionKey>> {
        self.take(|action| match action {
            Action::Look(_, _, from) => Some(from.keys().copied().collect()),
            _ => None,
        })
    }

    pub(super) fn take_over(&mut self) {
        self.answer_facts();
        self.answer_proof(TransactionEnd::Committed);
        let number = self.answer_claim();
        self.send(Event::Drained(number, Ok(())));
        let keys = self.look().expect("a drain is followed by a look");
        self.send(Event::Looked(number, Ok(keys.iter().map(|key| (*key, Presence::default())).collect())));
    }

    pub(super) fn batch(&self, partition: i32, range: OffsetRange, inserted: u64) -> (PartitionKey, Batch) {
        let none = RecordCount(0);
        let batch = Batch {
            assignment: AssignmentNumber(self.assigned),
            claim: Claim(u128::from(self.claims) << 64),
            range,
            routed: BTreeMap::new(),
            inserted: RecordCount(inserted),
            present: none,
            dead_inserted: none,
            dead_present: none,
            skipped: none,
            further_rows: none,
            gap: None,
            checkpoint: false,
            anchor: None,
            strange: None,
        };
        (key(partition), batch)
    }

    pub(super) fn close(&mut self, number: u64, batches: &[(i32, OffsetRange, u64)]) {
        let batches: BTreeMap<_, _> =
            batches.iter().map(|(partition, range, rows)| self.batch(*partition, *range, *rows)).collect();
        let mut block = BlockSummary {
            number: BlockNumber(number),
            lane: LANE,
            batches,
            alerts: RecordCount(1),
            only_record: None,
            bytes: 1_000,
        };
        let only = block.batches.iter().find(|(_, batch)| batch.inserted == RecordCount(1));
        block.only_record = only.map(|(key, batch)| (*key, batch.range.start())).filter(|_| block.rows().0 == 1);
        self.send(Event::BlockClosed(block));
    }

    pub(super) fn check_topic(&mut self, number: u64) {
        self.send(Event::TopicChecked(BlockNumber(number), Ok(Some(TOPIC))));
    }

    /// Answers the insert that is under way; gives the table.
    pub(super) fn answer_insert(&mut self, end: InsertEnd) -> Table {
        let insert = self.insert().expect("an insert is under way");
        self.send(Event::Inserted(insert.block, insert.table, end));
        insert.table
    }

    /// All inserts of a block are acknowledged.
    pub(super) fn store(&mut self, number: u64) {
        self.check_topic(number);
        while self.answer_insert(InsertEnd::Acknowledged) != Table::Ledger {}
    }
}

pub(super) fn bytes_error() -> InsertEnd {
    InsertEnd::Ended(ServerError { code: 53, text: "type".to_owned(), kind: ServerErrorKind::Bytes })
}

pub(super) fn unknown() -> InsertEnd {
    InsertEnd::Unknown("timeout".to_owned())
}

impl Core {
    /// Acknowledges inserts up to the ledger's, which stays under way.
    pub(super) fn insert_is_not_ledger(&mut self) -> bool {
        let ledger = |action: &Action| matches!(action, Action::Insert(insert) if insert.table == Table::Ledger);
        if self.asked(ledger) {
            return false;
        }
        self.answer_insert(InsertEnd::Acknowledged);
        true
    }
}
