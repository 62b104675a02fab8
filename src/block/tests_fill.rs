//! Bookkeeping of one partition between two takeovers.

use super::*;
use crate::protocol::event::ServerErrorKind;
use crate::protocol::facts::Presence;
use crate::protocol::resolve::{Start, StartCause};
use crate::types::{AssignmentNumber, Claim, OffsetSet, Partition, Replay, UnitSet};

const LANE: LaneId = LaneId(0);

fn offset(value: u64) -> Offset {
    Offset::new(value)
}

fn range(start: u64, end: u64) -> OffsetRange {
    OffsetRange::new(offset(start), offset(end))
}

fn key(partition: i32) -> PartitionKey {
    PartitionKey { lane: LANE, partition: Partition(partition) }
}

fn resume(partition: i32, commit: u64) -> Resume {
    let start = Start {
        commit: offset(commit),
        topic_id: None,
        replay: Replay(0),
        floor: offset(commit + 2),
        origin: offset(0),
        anchor: None,
        gap: None,
        damaged: None,
        trusted: OffsetSet::empty(),
        cause: StartCause::Committed,
    };
    Resume {
        key: key(partition),
        assignment: AssignmentNumber(1),
        claim: Claim(1),
        start,
        presence: Presence::default(),
        condemned: BTreeMap::new(),
    }
}

fn close(fills: &mut BTreeMap<PartitionKey, PartitionFill>) -> Option<BlockSummary> {
    let fills = fills.iter_mut().map(|(key, fill)| (*key, fill, false));
    close_block(LANE, BlockNumber(1), fills, RecordCount(0))
}

#[test]
fn each_record_has_one_decision() {
    let mut resumed = resume(0, 10);
    resumed.presence.rows = UnitSet::of_records([range(10, 12)].into_iter().collect());
    resumed.presence.dead.insert(range(12, 13));
    resumed.start.trusted.insert(range(10, 15));
    let error = ServerError { code: 53, text: String::new(), kind: ServerErrorKind::Bytes };
    resumed.condemned = [10, 14, 15].map(|at| (offset(at), error.clone())).into();
    let fill = PartitionFill::new(resumed);
    let check = |at: u64, expected: Decision<'_>| assert_eq!(fill.decide(offset(at)), expected, "{at}");
    check(9, Decision::Repeated);
    check(10, Decision::Present);
    check(12, Decision::Dead);
    check(13, Decision::Removed);
    check(14, Decision::Removed);
    check(15, Decision::Condemned(&error));
    check(16, Decision::Insert);
    let below: Vec<bool> = (10..14).map(|at| fill.below_floor(offset(at))).collect();
    assert_eq!(below, [true, true, false, false]);
}

#[test]
fn ranges_follow_each_other_over_gaps_of_the_log() {
    let mut resumed = resume(0, 10);
    resumed.start.gap = Some(range(10, 13));
    let mut fills = BTreeMap::from([(key(0), PartitionFill::new(resumed))]);
    let block = close(&mut fills).expect("a gap is a decision");
    assert_eq!((block.batches[&key(0)].range, block.batches[&key(0)].gap), (range(10, 13), Some(range(10, 13))));
    assert_eq!(close(&mut fills), None);
    let fill = fills.get_mut(&key(0)).expect("inserted above");
    assert_eq!(fill.decide(offset(12)), Decision::Repeated);
    fill.record(offset(17), Fate::Inserted);
    fill.record(offset(20), Fate::Skipped);
    fill.anchor(Anchor { offset: offset(20), hash: 2 });
    let batch = close(&mut fills).expect("open").batches[&key(0)].clone();
    assert_eq!((batch.range, batch.gap), (range(13, 21), None));
    assert_eq!((batch.inserted, batch.skipped, batch.records()), (RecordCount(1), RecordCount(1), RecordCount(2)));
    assert_eq!(batch.anchor, Some(Anchor { offset: offset(20), hash: 2 }));
}

#[test]
fn what_the_reader_is_past_is_settled_without_a_record() {
    let mut fills = BTreeMap::from([(key(0), PartitionFill::new(resume(0, 10)))]);
    let fill = fills.get_mut(&key(0)).expect("inserted above");
    assert_eq!(fill.pass(offset(10)), None);
    assert_eq!(fill.pass(offset(12)), Some(range(10, 12)));
    assert!(fill.is_open() && !fill.is_decided());
    assert_eq!((fill.decide(offset(11)), fill.decide(offset(12))), (Decision::Repeated, Decision::Insert));
    let batch = close(&mut fills).expect("markers are committed").batches[&key(0)].clone();
    assert_eq!((batch.range, batch.records(), batch.anchor), (range(10, 12), RecordCount(0), None));
    // A record and the marker behind it: one range, whose anchor is the record.
    let fill = fills.get_mut(&key(0)).expect("inserted above");
    fill.record(offset(12), Fate::Inserted);
    fill.anchor(Anchor { offset: offset(12), hash: 1 });
    assert_eq!(fill.pass(offset(14)), Some(range(13, 14)));
    assert_eq!(fill.pass(offset(13)), None, "a position that is behind says nothing");
    let batch = close(&mut fills).expect("open").batches[&key(0)].clone();
    assert_eq!((batch.range, batch.records()), (range(12, 14), RecordCount(1)));
    assert_eq!(batch.anchor, Some(Anchor { offset: offset(12), hash: 1 }));
}

#[test]
fn s3_rows_whose_records_are_gone_count_as_present() {
    let mut resumed = resume(0, 10);
    resumed.presence.rows = UnitSet::of_records([range(10, 13), range(15, 16)].into_iter().collect());
    resumed.presence.dead = [range(13, 14), range(16, 17)].into_iter().collect();
    let mut fills = BTreeMap::from([(key(0), PartitionFill::new(resumed))]);
    // Compaction left 12 and 14 of what was there.
    let fill = fills.get_mut(&key(0)).expect("inserted above");
    fill.record(offset(12), Fate::Present);
    fill.record(offset(14), Fate::Inserted);
    let batch = close(&mut fills).expect("open").batches[&key(0)].clone();
    assert_eq!((batch.range, batch.inserted), (range(10, 15), RecordCount(1)));
    assert_eq!((batch.present, batch.dead_present), (RecordCount(3), RecordCount(1)));
}

#[test]
fn the_only_record_of_a_block_is_known() {
    let check = |fates: &[(i32, Fate)], expected: Option<(PartitionKey, Offset)>| {
        let mut fills: BTreeMap<_, _> = (0..2).map(|at| (key(at), PartitionFill::new(resume(at, 10)))).collect();
        for (partition, fate) in fates {
            let fill = fills.get_mut(&key(*partition)).expect("two partitions");
            fill.record(fill.next(), *fate);
        }
        assert_eq!(close(&mut fills).expect("open").only_record, expected, "{fates:?}");
    };
    check(&[(0, Fate::Inserted)], Some((key(0), offset(10))));
    check(&[(0, Fate::DeadInserted), (0, Fate::Inserted), (1, Fate::Skipped)], Some((key(0), offset(11))));
    check(&[(0, Fate::Present), (1, Fate::Inserted)], Some((key(1), offset(10))));
    check(&[(0, Fate::Inserted), (1, Fate::Inserted)], None);
    check(&[(0, Fate::Inserted), (0, Fate::Inserted)], None);
    check(&[(0, Fate::Skipped)], None);
    let rows = |inserted| Fate::Rows(RowFates { inserted: RecordCount(inserted), ..RowFates::default() });
    check(&[(0, rows(7))], Some((key(0), offset(10))));
    check(&[(0, rows(0)), (1, rows(2))], Some((key(1), offset(10))));
    check(&[(0, rows(1)), (0, rows(1))], None);
    check(&[(0, rows(0))], None);
}

#[test]
fn a_record_of_several_rows_is_judged_by_row_and_counted_once() {
    let mut resumed = resume(0, 10);
    let mut there = UnitSet::empty(UnitKind::Row);
    for (at, row) in [(10, 0), (10, 2), (12, 5), (13, 0)] {
        there.insert(offset(at), row);
    }
    resumed.presence.rows = there;
    let mut fills = BTreeMap::from([(key(0), PartitionFill::new(resumed))]);
    let fill = fills.get_mut(&key(0)).expect("inserted above");
    // How many rows it makes is not known here.
    assert_eq!(fill.decide(offset(10)), Decision::Insert);
    assert_eq!([0, 1, 2, 3].map(|row| fill.has_row(offset(10), row)), [true, false, true, false]);
    assert_eq!([10, 11, 12].map(|at| fill.rows_there(offset(at)).0), [2, 0, 1]);
    let rows = |inserted, skipped, further| {
        Fate::Rows(RowFates {
            inserted: RecordCount(inserted),
            skipped: RecordCount(skipped),
            further: RecordCount(further),
        })
    };
    // Four rows, of which two are there; three, of which the filter leaves out one; compaction took what made 12.
    fill.record(offset(10), rows(2, 0, 3));
    fill.record(offset(11), rows(2, 1, 2));
    fill.record(offset(13), Fate::DeadInserted);
    let batch = close(&mut fills).expect("open").batches[&key(0)].clone();
    assert_eq!((batch.inserted, batch.present, batch.skipped), (RecordCount(4), RecordCount(4), RecordCount(1)));
    // 10, 11, 13, the row of 12 and the row that 13 has.
    assert_eq!(batch.records(), RecordCount(5));
}

#[test]
#[should_panic(expected = "was decided about before")]
fn no_offset_is_decided_about_twice() {
    let mut fill = PartitionFill::new(resume(0, 10));
    fill.record(offset(11), Fate::Inserted);
    fill.record(offset(11), Fate::Inserted);
}

#[test]
fn a_quiet_partition_gets_its_checkpoint() {
    let mut fills = BTreeMap::from([(key(0), PartitionFill::new(resume(0, 10)))]);
    let mut close = |record: bool, checkpoint: bool| {
        let fill = fills.get_mut(&key(0)).expect("inserted above");
        if record {
            fill.record(fill.next(), Fate::Inserted);
        }
        let fills = fills.iter_mut().map(|(key, fill)| (*key, fill, checkpoint));
        let block = close_block(LANE, BlockNumber(1), fills, RecordCount(0))?;
        Some((block.batches[&key(0)].range, block.batches[&key(0)].checkpoint))
    };
    assert_eq!(close(false, true), None, "nothing was written in this session");
    assert_eq!(close(true, true), Some((range(10, 11), true)));
    assert_eq!(close(false, true), None, "everything is vouched for");
    assert_eq!(close(true, false), Some((range(11, 12), false)));
    assert_eq!(close(false, false), None);
    assert_eq!(close(false, true), Some((range(12, 12), true)));
}

#[test]
fn a_batch_without_a_known_field_is_strange_unless_the_partition_had_others() {
    // Per record of each batch: whether it has a known field, or which others.
    let check = |commit: u64, batches: &[&[Option<&str>]], expected: &[Option<u64>]| {
        let mut fills: BTreeMap<_, _> = [(key(0), PartitionFill::new(resume(0, commit)))].into();
        let mut next = commit;
        let mut found = Vec::new();
        for batch in batches {
            for record in *batch {
                let fill = fills.get_mut(&key(0)).unwrap();
                match record {
                    None => fill.known_field(),
                    Some(fields) => fill.no_known_field(|| (*fields).to_owned()),
                }
                fill.record(offset(next), Fate::Inserted);
                next += 1;
            }
            let strange = close(&mut fills).unwrap().batches.remove(&key(0)).unwrap().strange;
            found.push(strange.map(|strange| strange.records.0));
        }
        assert_eq!(found, expected, "{commit} {batches:?}");
    };
    let (known, odd, empty) = (None, Some("a, b"), Some(""));
    check(0, &[&[odd]], &[Some(1)]);
    check(0, &[&[odd, odd, known]], &[None]);
    check(0, &[&[known], &[odd]], &[None, None]);
    check(0, &[&[empty, empty]], &[None]);
    check(0, &[&[empty, odd]], &[Some(1)]);
    // One odd record does not stop a partition that was used before.
    check(5, &[&[odd]], &[None]);
    check(5, &[&[odd; 10]], &[Some(10)]);
    check(5, &[&[odd; 6], &[odd; 6]], &[None, Some(6)]);
    check(5, &[&[odd; 6], &[known], &[odd; 6]], &[None, None, None]);
    check(5, &[&[empty; 20]], &[None]);
}
