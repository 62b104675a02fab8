//! The step function, one test for each fault that an earlier wording of the protocol had; the marks are the faults'.

use super::tests_core::*;
use super::*;
use crate::protocol::action::Released;
use crate::protocol::block::{Batch, BlockSummary};
use crate::protocol::event::{InsertEnd, ServerError, ServerErrorKind, Table, TransactionEnd};
use crate::protocol::facts::{Claimed, LedgerRow, Presence};
use crate::protocol::state::PartitionView;
use crate::types::{BlockNumber, Claim, Offset, RecordCount, Replay, TargetNumber, TopicId};

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
        InsertEnd::TooLarge(String::new()),
        InsertEnd::Fenced,
        InsertEnd::Present,
        InsertEnd::Short,
        InsertEnd::TableChanged,
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
fn the_tables_of_a_block_follow_each_other() {
    let mut core = Core::owning(&[0, 1]);
    let routed = |(target, rows): (u16, u64)| (TargetNumber(target), RecordCount(rows));
    let mut batches = BTreeMap::new();
    for (partition, inserted, routes) in [(0, 10, vec![(1, 4), (3, 5)]), (1, 2, vec![(3, 2)])] {
        let (key, batch) = core.batch(partition, range(0, 20), inserted);
        batches
            .insert(key, Batch { routed: routes.into_iter().map(routed).collect(), present: RecordCount(7), ..batch });
    }
    let (number, none) = (BlockNumber(1), RecordCount(0));
    let block = BlockSummary { number, lane: LANE, batches, alerts: none, only_record: None, bytes: 0 };
    core.send(Event::BlockClosed(block));
    core.check_topic(1);
    // What each table finds is what the look found and what the tables before it got.
    for (table, rows) in [(0, [7, 7]), (1, [8, 7]), (3, [12, 7])] {
        let insert = core.insert().expect("the next table");
        assert_eq!(insert.table, Table::Target(TargetNumber(table)));
        assert_eq!(insert.found.iter().map(|found| found.rows.0).collect::<Vec<_>>(), rows);
        assert_eq!(insert.claims.len(), 2, "each is fenced by all claims");
        core.send(Event::Inserted(insert.block, insert.table, InsertEnd::Acknowledged));
    }
    let insert = core.insert().expect("the ledger");
    assert_eq!(insert.table, Table::Ledger);
    assert_eq!(insert.ledger.iter().map(|row| row.rows.0).collect::<Vec<_>>(), [17, 9]);
}

#[test]
fn a_table_that_was_changed_is_waited_for_and_no_record_is_searched() {
    let error = ServerError { code: 44, text: String::new(), kind: ServerErrorKind::TableChanged };
    for end in [InsertEnd::TableChanged, InsertEnd::Ended(error)] {
        let mut core = Core::owning(&[0]);
        core.close(1, &[(0, range(0, 4), 4)]);
        core.check_topic(1);
        core.answer_insert(end.clone());
        assert!(!core.asked(|action| matches!(action, Action::LimitRows(..))), "{end:?}");
        assert!(core.asked(|action| matches!(action, Action::Pause(_, Delay::Slow))), "{end:?}");
        assert!(core.read().is_none(), "{end:?}");
    }
}

/// Whether the server got it nobody knows: takeover, as after no reply.
#[test]
fn a_block_that_does_not_get_through_is_cut_smaller_from_then_on() {
    let too_large = || InsertEnd::TooLarge("http status 413".to_owned());
    let mut core = Core::owning(&[0]);
    for (number, limit) in [(1, 500), (2, 250), (3, 125)] {
        core.close(number, &[(0, range(0, 4), 4)]);
        core.check_topic(number);
        core.answer_insert(too_large());
        assert_eq!(core.released(number), [Released::Dropped]);
        assert!(core.asked(|action| *action == Action::LimitBytes(LANE, limit)), "{limit}");
        core.end_pauses();
        core.take_over();
    }
    // One record, alone: as a dead letter it would be as large.
    core.close(4, &[(0, range(0, 1), 1)]);
    core.check_topic(4);
    core.answer_insert(too_large());
    match core.view(0) {
        PartitionView::Halted(reason @ HaltReason::RecordTooLarge { offset, .. }) => {
            assert!(*offset == Offset::ZERO && reason.may_pass());
        }
        other => panic!("{other:?}"),
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
        bytes: 0,
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
    assert!(core.asked(|action| *action == Action::LimitRows(LANE, Some(1))), "smaller blocks first");
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
    for (number, limit) in [(1, 125), (2, 15), (3, 1)] {
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
