//! The search for records that the server refuses: passes, verdicts, and what ends them.

use super::tests_core::*;
use super::*;
use crate::protocol::action::{Note, Released};
use crate::protocol::block::BlockSummary;
use crate::protocol::event::{InsertEnd, ServerError, ServerErrorKind, Table, TransactionEnd};
use crate::protocol::search::PASS_REFUSED_MAX;
use crate::protocol::state::PartitionView;
use crate::types::{BlockNumber, Offset, RecordCount};

fn doubtful(code: u32) -> InsertEnd {
    InsertEnd::Ended(ServerError { code, text: "?".to_owned(), kind: ServerErrorKind::Doubtful })
}

/// The next block of partition 0: its offsets, all of them rows, and what the server says.
fn try_block(core: &mut Core, number: u64, offsets: (u64, u64), end: InsertEnd) {
    core.close(number, &[(0, range(offsets.0, offsets.1), offsets.1 - offsets.0)]);
    core.check_topic(number);
    if end != STORED {
        core.answer_insert(end);
        return;
    }
    // Before the first refusal a block goes its whole way.
    while core.asked(|action| matches!(action, Action::Insert(_))) {
        core.answer_insert(STORED);
    }
    if let Some((transaction, ..)) = core.commit() {
        core.send(Event::TransactionEnded(transaction, TransactionEnd::Committed));
    }
}

/// A block with one row to insert, at this offset; what is before it is stored.
fn try_only(core: &mut Core, number: u64, offset: u64, end: InsertEnd) {
    let (key, batch) = core.batch(0, range(0, offset + 1), 1);
    core.send(Event::BlockClosed(BlockSummary {
        number: BlockNumber(number),
        lane: LANE,
        batches: [(key, batch)].into(),
        alerts: RecordCount(0),
        only_record: Some((key, Offset::new(offset))),
        bytes: 0,
    }));
    core.check_topic(number);
    core.answer_insert(end);
}

fn limits(core: &mut Core) -> Vec<Option<u64>> {
    let limit = |action: &Action| match action {
        Action::LimitRows(_, limit) => Some(*limit),
        _ => None,
    };
    let found = core.actions.iter().filter_map(limit).collect();
    core.actions.retain(|action| !matches!(action, Action::LimitRows(..)));
    found
}

fn condemned(core: &mut Core) -> Vec<u64> {
    core.take_over();
    let resume = core.resume().expect("it goes on");
    resume.condemned.keys().map(|offset| offset.get()).collect()
}

const STORED: InsertEnd = InsertEnd::Acknowledged;
const NONE: [u64; 0] = [];
const NO_LIMIT: [Option<u64>; 0] = [];

#[test]
fn n4_blocks_behind_a_refused_one_are_tried_and_not_committed_until_one_takeover() {
    let mut core = Core::owning(&[0]);
    try_block(&mut core, 1, (0, 64), bytes_error());
    assert_eq!(limits(&mut core), [Some(8)]);
    assert_eq!(condemned(&mut core), NONE);
    try_block(&mut core, 2, (0, 8), bytes_error());
    for block in 3..9 {
        try_block(&mut core, block, ((block - 2) * 8, (block - 1) * 8), STORED);
        assert!(core.insert().is_none(), "neither dead letters nor ledger");
        assert_eq!(core.released(block), [Released::Dropped]);
        assert!(core.read().is_none(), "no takeover while there is more to try");
    }
    try_block(&mut core, 9, (56, 64), bytes_error());
    assert!(core.commit().is_none());
    assert_eq!(limits(&mut core), [Some(1)]);
    assert_eq!(condemned(&mut core), NONE);
    for offset in 0..64 {
        let bad = offset == 3 || offset == 60;
        let tried = bad || !(8..56).contains(&offset);
        if tried {
            try_block(&mut core, 10 + offset, (offset, offset + 1), if bad { bytes_error() } else { STORED });
        } else if offset == 8 {
            // What the look found: nothing to insert, nothing to try.
            core.close(99, &[(0, range(8, 56), 0)]);
            core.check_topic(99);
            assert_eq!(core.released(99), [Released::Dropped]);
        }
    }
    assert_eq!(limits(&mut core), [None]);
    assert!(core.asked(|action| matches!(action, Action::Note(Note::SearchEnded(_)))));
    assert_eq!(condemned(&mut core), [3, 60], "both at once");
}

#[test]
fn a_pass_of_blocks_that_are_all_refused_is_cut_short() {
    let mut core = Core::owning(&[0]);
    try_block(&mut core, 1, (0, 8_000), bytes_error());
    core.take_over();
    limits(&mut core);
    for block in 0..16 {
        assert!(core.read().is_none());
        try_block(&mut core, 2 + block, (block * 100, block * 100 + 100), bytes_error());
    }
    assert_eq!(limits(&mut core), [Some(12)]);
    assert!(core.read().is_some());
}

#[test]
fn a_pass_keeps_a_bounded_number_of_refusals() {
    let mut core = Core::owning(&[0]);
    try_block(&mut core, 1, (0, 10_000), bytes_error());
    core.take_over();
    let mut block = 2;
    for at in 0..u64::from(PASS_REFUSED_MAX) {
        assert!(core.read().is_none());
        try_block(&mut core, block, (at * 20, at * 20 + 10), STORED);
        try_block(&mut core, block + 1, (at * 20 + 10, at * 20 + 20), bytes_error());
        block += 2;
    }
    assert!(core.read().is_some());
}

#[test]
fn too_large_a_share_of_refused_records_is_drift() {
    let mut core = Core::owning(&[0]);
    try_block(&mut core, 1, (0, 4_000), bytes_error());
    core.take_over();
    core.resume();
    for at in 0..496 {
        let end = if at % 5 == 0 { bytes_error() } else { STORED };
        try_block(&mut core, 10 + at, (at, at + 1), end);
    }
    match core.view(0) {
        PartitionView::Halted(HaltReason::BadShare { dead, records, from }) => {
            assert_eq!((dead.0, records.0, from.get()), (100, 496, 0));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_code_that_nobody_knows_condemns_after_repeats_and_with_a_witness() {
    let mut core = Core::owning(&[0]);
    // Weather at first: the same block again and again.
    for block in 1..4 {
        assert_eq!(limits(&mut core), NO_LIMIT, "refusal {block}");
        try_block(&mut core, block, (0, 8), doubtful(4_711));
        core.end_pauses();
        assert_eq!(condemned(&mut core), NONE);
    }
    assert_eq!(limits(&mut core), [Some(1)]);
    // Alone, once, between records that are stored: not yet.
    for offset in 0..8 {
        try_block(&mut core, 10 + offset, (offset, offset + 1), if offset == 5 { doubtful(4_711) } else { STORED });
    }
    core.end_pauses();
    assert_eq!(condemned(&mut core), NONE);
    // Again, after a takeover: of what is there already the block holds only the range.
    try_only(&mut core, 30, 5, doubtful(4_711));
    core.end_pauses();
    assert_eq!(condemned(&mut core), [5]);
}

#[test]
fn another_code_or_no_witness_condemns_nothing() {
    let mut core = Core::owning(&[0]);
    for (number, code) in [(1, 1), (2, 2), (3, 1), (4, 1)] {
        try_block(&mut core, number, (0, 1), doubtful(code));
        core.end_pauses();
        assert_eq!(condemned(&mut core), NONE);
    }
    // From the third refusal in a row on it is a search; nothing else goes into the table, however often it is tried.
    for number in 5..30 {
        try_block(&mut core, number, (0, 1), doubtful(1));
        assert!(core.read().is_none(), "another record may come and be stored");
        core.end_pauses();
        assert_eq!(condemned(&mut core), NONE);
    }
    // One comes.
    try_block(&mut core, 30, (0, 1), doubtful(1));
    try_block(&mut core, 31, (1, 2), STORED);
    core.end_pauses();
    assert_eq!(condemned(&mut core), NONE);
    try_only(&mut core, 32, 0, doubtful(2));
    core.end_pauses();
    assert_eq!(condemned(&mut core), NONE, "another code");
    try_only(&mut core, 33, 0, doubtful(2));
    try_block(&mut core, 34, (1, 2), STORED);
    core.end_pauses();
    assert_eq!(condemned(&mut core), NONE);
    try_only(&mut core, 35, 0, doubtful(2));
    core.end_pauses();
    assert_eq!(condemned(&mut core), [0]);
}

#[test]
fn a_bad_day_of_the_server_within_a_search_condemns_nothing() {
    let mut core = Core::owning(&[0]);
    try_block(&mut core, 1, (0, 64), bytes_error());
    core.take_over();
    // The table takes some, then it takes nothing for a while.
    for block in 0..4 {
        try_block(&mut core, 10 + block, (block * 8, block * 8 + 8), STORED);
    }
    for pass in 0..6 {
        for offset in 32..48 {
            let number = 100 + pass * 100 + offset;
            if pass > 0 && offset == 32 {
                try_only(&mut core, number, offset, doubtful(9));
            } else {
                try_block(&mut core, number, (offset, offset + 1), doubtful(9));
            }
        }
        core.end_pauses();
        assert_eq!(condemned(&mut core), NONE);
    }
}

#[test]
fn a_search_that_is_interrupted_tries_again_what_was_refused() {
    let mut core = Core::owning(&[0]);
    try_block(&mut core, 1, (0, 16), bytes_error());
    core.take_over();
    limits(&mut core);
    try_block(&mut core, 2, (0, 2), bytes_error());
    try_block(&mut core, 3, (2, 4), unknown());
    core.end_pauses();
    core.take_over();
    assert_eq!(limits(&mut core), NO_LIMIT);
    try_block(&mut core, 4, (0, 2), bytes_error());
    core.close(5, &[(0, range(2, 16), 1)]);
    core.check_topic(5);
    core.answer_insert(STORED);
    assert_eq!(limits(&mut core), [Some(1)]);
}

#[test]
fn a_search_for_what_never_comes_ends_by_itself() {
    let mut core = Core::owning(&[0, 1]);
    core.close(1, &[(0, range(0, 4), 4), (1, range(0, 4), 4)]);
    core.check_topic(1);
    core.answer_insert(bytes_error());
    core.take_over();
    limits(&mut core);
    // The records of partition 1 are gone: compaction took them, or the partition went away.
    core.close(2, &[(0, range(0, 4), 4)]);
    core.check_topic(2);
    while core.answer_insert(STORED) != Table::Ledger {}
    assert_eq!(limits(&mut core), NO_LIMIT);
    core.end_pauses();
    assert_eq!(limits(&mut core), [None]);
}
