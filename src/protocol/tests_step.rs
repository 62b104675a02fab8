//! The step function, one test for each fault that an earlier wording of the protocol had; the marks are the faults'.

use super::*;
use crate::protocol::action::{Commit, Insert, Released, Resume};
use crate::protocol::block::{Batch, BlockSummary};
use crate::protocol::event::{
    InsertEnd, ServerError, ServerErrorKind, Table, TakeoverNumber, TransactionEnd, TransactionNumber,
};
use crate::protocol::facts::{
    Claimed, CommittedOffset, Facts, LedgerRow, Metadata, Presence, StoredFacts, StoredIdentity,
};
use crate::protocol::resolve::OnGap;
use crate::protocol::state::{LanePolicy, PartitionView};
use crate::types::{BlockNumber, Claim, Offset, OffsetRange, OffsetSet, Partition, RecordCount, Replay, TopicId};

const LANE: LaneId = LaneId(0);
const TOPIC: TopicId = TopicId(7);

fn key(partition: i32) -> PartitionKey {
    PartitionKey { lane: LANE, partition: Partition(partition) }
}

fn range(start: u64, end: u64) -> OffsetRange {
    OffsetRange::new(Offset::new(start), Offset::new(end))
}

fn facts(topic: TopicId, replay: u32, committed: u64) -> Facts {
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
struct Core {
    state: Option<State>,
    actions: Vec<Action>,
    claims: u64,
    facts: Facts,
    assigned: u64,
}

impl Core {
    fn new(replicated: bool) -> Self {
        let policy = LanePolicy {
            on_gap: OnGap::Halt,
            bad_share_max_millionths: 100_000,
            rows_max: 8,
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
    fn owning(partitions: &[i32]) -> Self {
        let mut core = Self::new(false);
        core.assign(partitions);
        core.take_over();
        core
    }

    fn send(&mut self, event: Event) {
        let (state, actions) = step(self.state.take().expect("put back below"), event);
        self.state = Some(state);
        self.actions.extend(actions);
    }

    fn assign(&mut self, partitions: &[i32]) {
        let number = |core: &mut Self| {
            core.assigned += 1;
            AssignmentNumber(core.assigned)
        };
        let assigned = partitions.iter().map(|partition| (key(*partition), number(self))).collect();
        self.send(Event::Assigned(assigned));
    }

    fn revoke(&mut self, partition: i32) {
        self.send(Event::Revoked { partitions: [key(partition)].into(), discarded: BTreeSet::new() });
    }

    /// Takes the newest action of a kind out of what was asked for.
    fn take<T>(&mut self, pick: impl Fn(&Action) -> Option<T>) -> Option<T> {
        let (at, found) = self.actions.iter().enumerate().rev().find_map(|(at, action)| Some((at, pick(action)?)))?;
        self.actions.remove(at);
        Some(found)
    }

    fn read(&mut self) -> Option<(TakeoverNumber, BTreeSet<PartitionKey>)> {
        self.take(|action| match action {
            Action::ReadFacts(number, _, keys) => Some((*number, keys.keys().copied().collect())),
            _ => None,
        })
    }

    fn proof(&mut self) -> Option<TransactionNumber> {
        self.take(|action| match action {
            Action::Prove(number, _) => Some(*number),
            _ => None,
        })
    }

    fn commit(&mut self) -> Option<(TransactionNumber, BTreeMap<PartitionKey, Commit>, BTreeSet<PartitionKey>)> {
        self.take(|action| match action {
            Action::Commit(number, offsets, alerts) => {
                let published = alerts.iter().flat_map(|block| block.partitions.iter().copied()).collect();
                Some((*number, offsets.clone(), published))
            }
            _ => None,
        })
    }

    fn insert(&mut self) -> Option<Insert> {
        self.take(|action| match action {
            Action::Insert(insert) => Some((**insert).clone()),
            _ => None,
        })
    }

    fn resume(&mut self) -> Option<Resume> {
        self.take(|action| match action {
            Action::Resume(resume) => Some((**resume).clone()),
            _ => None,
        })
    }

    fn asked(&self, test: impl Fn(&Action) -> bool) -> bool {
        self.actions.iter().any(test)
    }

    fn checks_topic(&self) -> bool {
        self.asked(|action| matches!(action, Action::CheckTopic(..)))
    }

    fn finished(&self) -> bool {
        self.asked(|action| matches!(action, Action::Finished))
    }

    fn exits(&self) -> bool {
        self.asked(|action| matches!(action, Action::ExitDuplicateInstance(_)))
    }

    fn released(&self, block: u64) -> Vec<Released> {
        let of = |action: &Action| match action {
            Action::Release(number, how) if *number == BlockNumber(block) => Some(*how),
            _ => None,
        };
        self.actions.iter().filter_map(of).collect()
    }

    fn view(&self, partition: i32) -> PartitionView<'_> {
        let state = self.state.as_ref().expect("put back by send");
        state.overview().find(|(known, _)| *known == key(partition)).expect("assigned").1
    }

    /// Ends all pauses that were asked for.
    fn end_pauses(&mut self) {
        let pause = |action: &Action| match action {
            Action::Pause(ticket, _) => Some(*ticket),
            _ => None,
        };
        while let Some(ticket) = self.take(pause) {
            self.send(Event::PauseOver(ticket));
        }
    }

    fn answer_facts(&mut self) {
        let (number, keys) = self.read().expect("a takeover reads first");
        let facts = keys.iter().map(|key| (*key, Ok(self.facts.clone()))).collect();
        self.send(Event::FactsRead(number, Ok(facts)));
    }

    fn answer_proof(&mut self, end: TransactionEnd) {
        let number = self.proof().expect("facts are followed by a proof");
        self.send(Event::TransactionEnded(number, end));
    }

    fn answer_claim(&mut self) -> TakeoverNumber {
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

    fn look(&mut self) -> Option<BTreeSet<PartitionKey>> {
        self.take(|action| match action {
            Action::Look(_, _, from) => Some(from.keys().copied().collect()),
            _ => None,
        })
    }

    fn take_over(&mut self) {
        self.answer_facts();
        self.answer_proof(TransactionEnd::Committed);
        let number = self.answer_claim();
        self.send(Event::Drained(number, Ok(())));
        let keys = self.look().expect("a drain is followed by a look");
        self.send(Event::Looked(number, Ok(keys.iter().map(|key| (*key, Presence::default())).collect())));
    }

    fn batch(&self, partition: i32, range: OffsetRange, inserted: u64) -> (PartitionKey, Batch) {
        let none = RecordCount(0);
        let batch = Batch {
            assignment: AssignmentNumber(self.assigned),
            claim: Claim(u128::from(self.claims) << 64),
            range,
            inserted: RecordCount(inserted),
            present: none,
            dead_inserted: none,
            dead_present: none,
            skipped: none,
            further_rows: none,
            gap: None,
            checkpoint: false,
            anchor: None,
        };
        (key(partition), batch)
    }

    fn close(&mut self, number: u64, batches: &[(i32, OffsetRange, u64)]) {
        let batches: BTreeMap<_, _> =
            batches.iter().map(|(partition, range, rows)| self.batch(*partition, *range, *rows)).collect();
        let mut block = BlockSummary {
            number: BlockNumber(number),
            lane: LANE,
            batches,
            alerts: RecordCount(1),
            only_record: None,
        };
        let only = block.batches.iter().find(|(_, batch)| batch.inserted == RecordCount(1));
        block.only_record = only.map(|(key, batch)| (*key, batch.range.start())).filter(|_| block.rows().0 == 1);
        self.send(Event::BlockClosed(block));
    }

    fn check_topic(&mut self, number: u64) {
        self.send(Event::TopicChecked(BlockNumber(number), Ok(Some(TOPIC))));
    }

    /// Answers the insert that is under way; gives the table.
    fn answer_insert(&mut self, end: InsertEnd) -> Table {
        let insert = self.insert().expect("an insert is under way");
        self.send(Event::Inserted(insert.block, insert.table, end));
        insert.table
    }

    /// All inserts of a block are acknowledged.
    fn store(&mut self, number: u64) {
        self.check_topic(number);
        while self.answer_insert(InsertEnd::Acknowledged) != Table::Ledger {}
    }
}

fn bytes_error() -> InsertEnd {
    InsertEnd::Ended(ServerError { code: 53, text: "type".to_owned(), kind: ServerErrorKind::Bytes })
}

fn unknown() -> InsertEnd {
    InsertEnd::Unknown("timeout".to_owned())
}

#[test]
fn a_takeover_proves_claims_drains_and_looks_in_this_order() {
    let mut core = Core::new(false);
    core.assign(&[0]);
    assert!(core.proof().is_none());
    core.answer_facts();
    assert!(!core.asked(|action| matches!(action, Action::Claim(..))), "no claim before Kafka's word");
    core.answer_proof(TransactionEnd::Committed);
    assert!(!core.asked(|action| matches!(action, Action::Drain(..))), "no drain before the claim");
    let number = core.answer_claim();
    assert!(core.look().is_none(), "no look before the drain");
    core.send(Event::Drained(number, Ok(())));
    assert!(core.resume().is_none());
    core.send(Event::Looked(number, Ok([(key(0), Presence::default())].into())));
    assert_eq!(core.resume().expect("it goes on").claim, Claim(1 << 64));
}

#[test]
fn f5_no_look_before_parts_are_certain() {
    let mut core = Core::new(true);
    core.assign(&[0]);
    core.answer_facts();
    core.answer_proof(TransactionEnd::Committed);
    let number = core.answer_claim();
    core.send(Event::Drained(number, Ok(())));
    for _ in 0..3 {
        core.send(Event::Settled(number, Ok(false)));
        assert!(core.look().is_none());
        core.end_pauses();
    }
    core.send(Event::Settled(number, Ok(true)));
    assert!(core.look().is_some());
}

#[test]
fn n1_an_ambiguous_end_is_followed_by_a_new_producer_and_a_new_reading() {
    let mut core = Core::owning(&[0]);
    core.close(1, &[(0, range(0, 4), 4)]);
    core.store(1);
    let (number, ..) = core.commit().expect("stored blocks are committed");
    core.send(Event::TransactionEnded(number, TransactionEnd::Ambiguous(String::new())));
    assert!(core.take(|action| matches!(action, Action::BuildProducer).then_some(())).is_some());
    core.facts = facts(TOPIC, 0, 4);
    core.answer_facts();
    assert!(core.proof().is_none(), "the old producer must not be used again [N6]");
    core.send(Event::ProducerBuilt(ProducerEnd::Ready));
    let proof = core.take(|action| match action {
        Action::Prove(_, offsets) => Some(offsets[&key(0)].offset),
        _ => None,
    });
    assert_eq!(proof, Some(Offset::new(4)), "what was read counts, not what is remembered");
    assert_eq!(core.released(1), [Released::Dropped]);
}

#[test]
fn h3_alerts_of_a_revoked_partition_are_not_published() {
    let mut core = Core::owning(&[0, 1]);
    core.close(1, &[(0, range(0, 4), 4), (1, range(0, 2), 2)]);
    core.check_topic(1);
    core.revoke(0);
    while core.answer_insert(InsertEnd::Acknowledged) != Table::Ledger {}
    let (_, offsets, published) = core.commit().expect("partition 1 is still ours");
    assert_eq!(offsets.keys().copied().collect::<Vec<_>>(), [key(1)]);
    assert_eq!(published, [key(1)].into());
}

#[test]
fn h3_a_commit_that_the_guard_refuses_is_dropped_once_and_taken_over() {
    let mut core = Core::owning(&[0]);
    core.close(1, &[(0, range(0, 4), 4)]);
    core.store(1);
    let (number, ..) = core.commit().expect("stored blocks are committed");
    core.send(Event::TransactionEnded(number, TransactionEnd::NotOwned([key(0)].into())));
    assert_eq!(core.released(1), [Released::Dropped]);
    assert!(core.read().is_some());
    assert!(core.commit().is_none());
}

#[test]
fn h4_no_end_but_an_acknowledgement_is_followed_by_another_insert() {
    let passing = ServerError { code: 241, text: String::new(), kind: ServerErrorKind::Passing };
    let config = ServerError { kind: ServerErrorKind::Configuration, ..passing.clone() };
    let ends = [
        unknown(),
        InsertEnd::Fenced,
        InsertEnd::Present,
        InsertEnd::Short,
        InsertEnd::Ended(passing),
        InsertEnd::Ended(config),
        bytes_error(),
    ];
    for end in ends {
        let mut core = Core::owning(&[0]);
        core.close(1, &[(0, range(0, 4), 4)]);
        core.check_topic(1);
        core.answer_insert(end.clone());
        assert!(core.insert().is_none(), "{end:?}");
        assert_eq!(core.released(1), [Released::Dropped], "{end:?}");
        core.end_pauses();
        assert!(core.read().is_some(), "{end:?}");
    }
}

#[test]
fn h7_a_takeover_waits_for_the_running_transaction() {
    let mut core = Core::owning(&[0]);
    core.close(1, &[(0, range(0, 4), 4)]);
    core.store(1);
    let (number, ..) = core.commit().expect("stored blocks are committed");
    core.close(2, &[(0, range(4, 6), 2)]);
    core.check_topic(2);
    core.answer_insert(unknown());
    core.end_pauses();
    assert!(core.read().is_none());
    core.send(Event::TransactionEnded(number, TransactionEnd::Committed));
    assert!(core.read().is_some());
    assert_eq!(core.released(1), [Released::Committed]);
}

#[test]
fn n3_a_block_that_inserts_nothing_still_writes_its_fenced_ledger_row() {
    let mut core = Core::owning(&[0]);
    let (key, batch) = core.batch(0, range(0, 4), 0);
    let batch = Batch { present: RecordCount(3), dead_present: RecordCount(1), ..batch };
    let (number, lane, alerts) = (BlockNumber(1), LANE, RecordCount(0));
    core.send(Event::BlockClosed(BlockSummary {
        number,
        lane,
        batches: [(key, batch)].into(),
        alerts,
        only_record: None,
    }));
    core.check_topic(1);
    assert!(core.commit().is_none());
    let insert = core.insert().expect("the ledger");
    assert_eq!((insert.table, insert.claims), (Table::Ledger, [(key, Claim(1 << 64))].into()));
    let LedgerRow { rows, dead, range: covered, .. } = insert.ledger[0].clone();
    assert_eq!((rows, dead, covered), (RecordCount(3), RecordCount(1), range(0, 4)));
}

#[test]
fn n4_a_refused_row_becomes_a_dead_letter_only_under_the_next_claim() {
    let mut core = Core::owning(&[0]);
    core.close(1, &[(0, range(0, 2), 2)]);
    core.check_topic(1);
    core.answer_insert(bytes_error());
    assert!(core.asked(|action| *action == Action::LimitRows(LANE, Some(1))), "halves first");
    core.end_pauses();
    core.take_over();
    assert!(core.resume().expect("it goes on").condemned.is_empty());
    core.close(2, &[(0, range(0, 1), 1)]);
    core.check_topic(2);
    core.answer_insert(bytes_error());
    assert!(core.insert().is_none(), "not under the claim that was refused");
    core.end_pauses();
    core.take_over();
    let resume = core.resume().expect("it goes on");
    assert_eq!(resume.claim, Claim(3 << 64));
    assert_eq!(resume.condemned.keys().copied().collect::<Vec<_>>(), [Offset::ZERO]);
}

/// A record's rows stay together: a block may be larger than the limit, and the same again.
#[test]
fn the_search_for_a_refused_row_comes_to_an_end_whatever_a_record_makes() {
    let mut core = Core::owning(&[0]);
    for (number, limit) in [(1, 500), (2, 250), (3, 125)] {
        core.close(number, &[(0, range(0, 2), 1001)]);
        core.check_topic(number);
        core.answer_insert(bytes_error());
        assert!(core.asked(|action| *action == Action::LimitRows(LANE, Some(limit))), "{limit}");
        core.end_pauses();
        core.take_over();
        assert!(core.resume().expect("it goes on").condemned.is_empty());
    }
}

#[test]
fn n9_what_was_refused_is_forgotten_with_its_topic() {
    let mut core = Core::owning(&[0]);
    core.close(1, &[(0, range(0, 1), 1)]);
    core.check_topic(1);
    core.answer_insert(bytes_error());
    core.end_pauses();
    core.facts = facts(TopicId(8), 1, 0);
    core.take_over();
    let resume = core.resume().expect("it goes on");
    assert_eq!((resume.start.replay, resume.condemned.len()), (Replay(1), 0));
}

#[test]
fn n9_records_of_a_recreated_topic_are_not_inserted() {
    let mut core = Core::owning(&[0]);
    core.close(1, &[(0, range(0, 4), 4)]);
    core.send(Event::TopicChecked(BlockNumber(1), Ok(Some(TopicId(8)))));
    assert!(core.insert().is_none());
    assert_eq!(core.view(0), PartitionView::Halted(&HaltReason::TopicRecreated));
}

#[test]
fn n9_a_block_that_loses_its_partition_while_its_topic_is_checked_is_dropped() {
    let mut core = Core::owning(&[0, 1]);
    core.close(1, &[(0, range(0, 4), 4), (1, range(0, 4), 4)]);
    core.revoke(0);
    core.send(Event::TopicChecked(BlockNumber(1), Ok(Some(TopicId(8)))));
    assert!(core.insert().is_none());
    assert_eq!(core.released(1), [Released::Dropped]);
    assert_eq!(core.read().map(|(_, keys)| keys), Some([key(1)].into()));
}

#[test]
fn n5_at_most_one_block_is_ahead_of_the_transaction() {
    let mut core = Core::owning(&[0]);
    for (number, start) in [(1, 0), (2, 2), (3, 4)] {
        core.close(number, &[(0, range(start, start + 2), 2)]);
    }
    core.store(1);
    let (first, ..) = core.commit().expect("stored blocks are committed");
    core.store(2);
    core.actions.retain(|action| !matches!(action, Action::CheckTopic(..)));
    core.send(Event::PauseOver(Ticket(999)));
    assert!(!core.checks_topic(), "the third waits");
    core.send(Event::TransactionEnded(first, TransactionEnd::Committed));
    assert!(core.commit().is_some());
    assert!(core.checks_topic());
}

#[test]
fn n7_a_proof_of_an_older_assignment_does_not_count() {
    let mut core = Core::new(false);
    core.assign(&[0]);
    core.answer_facts();
    let old = core.proof().expect("facts are followed by a proof");
    core.revoke(0);
    core.assign(&[0]);
    core.send(Event::TransactionEnded(old, TransactionEnd::Committed));
    assert!(!core.asked(|action| matches!(action, Action::Claim(..))));
    core.take_over();
    assert_eq!(core.resume().expect("it goes on").assignment, AssignmentNumber(2));
}

#[test]
fn s3_short_twice_for_a_range_halts() {
    let mut core = Core::owning(&[0]);
    for number in [1, 2] {
        assert!(matches!(core.view(0), PartitionView::Running { .. }));
        core.close(number, &[(0, range(0, 4), 4)]);
        core.check_topic(number);
        while core.insert_is_not_ledger() {}
        core.answer_insert(InsertEnd::Short);
        core.end_pauses();
        if number == 1 {
            core.take_over();
        }
    }
    assert_eq!(core.view(0), PartitionView::Halted(&HaltReason::RowsVanish { range: range(0, 4) }));
}

impl Core {
    /// Acknowledges inserts up to the ledger's, which stays under way.
    fn insert_is_not_ledger(&mut self) -> bool {
        let ledger = |action: &Action| matches!(action, Action::Insert(insert) if insert.table == Table::Ledger);
        if self.asked(ledger) {
            return false;
        }
        self.answer_insert(InsertEnd::Acknowledged);
        true
    }
}

#[test]
fn s9_another_connector_halts() {
    let mut core = Core::new(false);
    core.assign(&[0]);
    core.answer_facts();
    core.answer_proof(TransactionEnd::Committed);
    let claim = core.take(|action| match action {
        Action::Claim(number, ..) => Some(*number),
        _ => None,
    });
    let claimed = Claimed { claims: [(key(0), Claim(1))].into(), others: vec!["twin".to_owned()] };
    core.send(Event::Claimed(claim.expect("asked for"), Ok(claimed)));
    assert!(matches!(core.view(0), PartitionView::Halted(HaltReason::OtherConnector { .. })));
    assert!(!core.asked(|action| matches!(action, Action::Drain(..))));
}

#[test]
fn s10_two_fencings_in_a_row_end_the_process() {
    let check = |ends: &[TransactionEnd], expected: bool| {
        let mut core = Core::new(false);
        core.assign(&[0]);
        for end in ends {
            core.answer_facts();
            core.answer_proof(end.clone());
            core.send(Event::ProducerBuilt(ProducerEnd::Ready));
            core.end_pauses();
            if *end == TransactionEnd::Committed {
                core.revoke(0);
                core.assign(&[0]);
            }
        }
        assert_eq!(core.exits(), expected, "{ends:?}");
    };
    let fenced = || TransactionEnd::Fenced("epoch".to_owned());
    check(&[fenced()], false);
    check(&[fenced(), fenced()], true);
    check(&[fenced(), TransactionEnd::Committed, fenced()], false);
    check(&[fenced(), TransactionEnd::Ambiguous(String::new()), fenced()], true);
    check(&[TransactionEnd::InstanceReplaced], true);
}

#[test]
fn a_block_of_an_older_claim_is_dropped() {
    let mut core = Core::owning(&[0]);
    core.send(Event::ServerRestarted);
    core.close(1, &[(0, range(0, 4), 4)]);
    assert_eq!(core.released(1), [Released::Dropped]);
    assert!(!core.checks_topic());
}

#[test]
fn a_server_restart_begins_takeovers_anew() {
    let mut core = Core::new(false);
    core.assign(&[0]);
    core.answer_facts();
    core.answer_proof(TransactionEnd::Committed);
    let number = core.answer_claim();
    core.send(Event::ServerRestarted);
    core.send(Event::Drained(number, Ok(())));
    assert!(core.look().is_none(), "what it read was before the restart");
    core.take_over();
    assert!(core.resume().is_some());
}

#[test]
fn a_stop_finishes_what_is_stored_and_resumes_nothing() {
    let mut core = Core::owning(&[0]);
    core.actions.clear();
    core.close(1, &[(0, range(0, 4), 4)]);
    core.assign(&[1]);
    core.answer_facts();
    core.store(1);
    core.send(Event::Stop);
    core.answer_proof(TransactionEnd::Committed);
    assert!(!core.asked(|action| matches!(action, Action::Claim(..))));
    assert!(!core.finished());
    let (number, ..) = core.commit().expect("stored blocks are committed");
    core.send(Event::TransactionEnded(number, TransactionEnd::Committed));
    assert!(core.finished());
    assert!(core.proof().is_none() && core.resume().is_none());
    assert_eq!(core.released(1), [Released::Committed]);
}

#[test]
fn a_stop_does_not_wait_for_what_failed() {
    let mut core = Core::owning(&[0]);
    core.close(1, &[(0, range(0, 4), 4)]);
    core.check_topic(1);
    core.send(Event::Stop);
    assert!(!core.finished());
    core.answer_insert(unknown());
    assert!(core.finished());
    assert_eq!(core.released(1), [Released::Dropped]);
}

#[test]
fn an_anchor_that_differs_halts_only_what_is_read() {
    let differs = |assignment| {
        let reason = HaltReason::AnchorDiffers { offset: Offset::ZERO };
        Event::Unusable(key(0), AssignmentNumber(assignment), reason)
    };
    let mut core = Core::owning(&[0]);
    core.send(differs(0));
    assert!(matches!(core.view(0), PartitionView::Running { .. }), "an older assignment");
    core.send(differs(1));
    assert!(matches!(core.view(0), PartitionView::Halted(_)));
    let mut core = Core::new(false);
    core.assign(&[0]);
    core.send(differs(1));
    assert!(matches!(core.view(0), PartitionView::TakingOver));
}
