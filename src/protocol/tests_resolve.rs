//! Where a partition goes on, as a table.

use super::*;
use crate::protocol::facts::StoredIdentity;

const TOPIC: TopicId = TopicId(7);
const OTHER: TopicId = TopicId(8);

fn offset(value: u64) -> Offset {
    Offset::new(value)
}

fn range(start: u64, end: u64) -> OffsetRange {
    OffsetRange::new(offset(start), offset(end))
}

fn set(ranges: &[(u64, u64)]) -> OffsetSet {
    ranges.iter().map(|(start, end)| range(*start, *end)).collect()
}

fn metadata(floor: u64, origin: u64) -> Metadata {
    Metadata {
        topic_id: Some(TOPIC),
        replay: Replay(0),
        floor: offset(floor),
        origin: offset(origin),
        anchor: Some(Anchor { offset: offset(floor.saturating_sub(1)), hash: 1 }),
    }
}

/// Nothing known: a log of [0, 100), the start policy points at 40.
fn fresh() -> Facts {
    Facts {
        topic_id: Some(TOPIC),
        log: range(0, 100),
        start: offset(40),
        committed: None,
        stored: StoredFacts::default(),
    }
}

fn identity(topic_id: TopicId, replay: u32) -> Option<StoredIdentity> {
    Some(StoredIdentity { topic_id: Some(topic_id), replay: Replay(replay) })
}

/// Consumed from 10, committed at 30, all of it in the ledger, whose last row knew the floor 25.
fn running() -> Facts {
    Facts {
        committed: Some(CommittedOffset { offset: offset(30), metadata: Some(metadata(30, 10)) }),
        stored: StoredFacts {
            identity: identity(TOPIC, 0),
            covered: set(&[(10, 30)]),
            origin: Some(offset(10)),
            floor: Some(offset(25)),
            missing: None,
            damaged: Vec::new(),
        },
        ..fresh()
    }
}

/// As `running`, but a foreign tool has set the offset.
fn moved(to: u64) -> Facts {
    Facts { committed: Some(CommittedOffset { offset: offset(to), metadata: None }), ..running() }
}

fn with(mut facts: Facts, change: impl FnOnce(&mut Facts)) -> Facts {
    change(&mut facts);
    facts
}

/// Position, floor, origin and cause.
fn check(name: &str, facts: &Facts, expected: (u64, u64, u64, StartCause)) -> Start {
    let Resolution::Start(start) = resolve(facts, OnGap::Skip) else {
        panic!("{name}: {:?}", resolve(facts, OnGap::Skip))
    };
    let (commit, floor, origin, cause) = expected;
    let got = (start.commit, start.floor, start.origin, start.cause);
    assert_eq!(got, (offset(commit), offset(floor), offset(origin), cause), "{name}");
    start
}

fn check_halt(name: &str, facts: &Facts, on_gap: OnGap, expected: HaltReason) {
    assert_eq!(resolve(facts, on_gap), Resolution::Halt(expected), "{name}");
}

#[test]
fn positions() {
    use StartCause::{Committed, First, Ledger, Moved};
    check("nobody consumed it yet", &fresh(), (40, 40, 40, First));
    let start = check("our own offset", &running(), (30, 30, 10, Committed));
    assert_eq!(start.anchor.map(|anchor| anchor.offset), Some(offset(29)));
    let reset = with(running(), |facts| facts.committed.as_mut().expect("set").offset = offset(12));
    check("reset keeps the floor [H1]", &reset, (12, 30, 10, Committed));
    let expired = with(running(), |facts| facts.committed = None);
    check("no offset, but a ledger [S6]", &expired, (25, 25, 10, Ledger));
    let jumped = with(expired, |facts| {
        facts.stored.origin = Some(offset(28));
        facts.stored.covered = set(&[(10, 26), (28, 30)]);
    });
    check("no offset, after a jump over the floor", &jumped, (28, 25, 28, Ledger));
    let below = with(running(), |facts| facts.committed.as_mut().expect("set").offset = offset(5));
    check("reset below the origin moves it", &below, (5, 30, 5, Committed));
    check("moved forward, beyond what is stored", &moved(50), (50, 25, 50, Moved));
    check("moved back, within [N5]", &moved(20), (20, 25, 10, Moved));
    check("moved below the origin", &moved(5), (5, 25, 5, Moved));
    let silent = with(moved(20), |facts| facts.stored = StoredFacts::default());
    check("moved, and nothing in the ledger", &silent, (20, 20, 20, Moved));
    let claimed = with(fresh(), |facts| facts.stored.identity = identity(TOPIC, 0));
    check("claimed before, nothing written", &claimed, (40, 40, 40, First));
}

#[test]
fn trust_is_what_the_ledger_covers() {
    let check = |name: &str, facts: Facts, expected: &[(u64, u64)]| {
        let Resolution::Start(start) = resolve(&facts, OnGap::Skip) else { panic!("{name}") };
        assert_eq!(start.trusted, set(expected), "{name}");
        assert_eq!(start.damaged, None, "{name}");
    };
    check("our own offset", running(), &[]);
    check("moved back [F7]", moved(20), &[(20, 30)]);
    check("moved to the end", moved(30), &[]);
    check("moved below the origin", moved(5), &[(10, 30)]);
    let jumped = |to| with(moved(to), |facts| facts.stored.covered = set(&[(10, 15), (20, 30)]));
    check("over a hole of an older jump", jumped(12), &[(12, 15), (20, 30)]);
    let ours = with(running(), |facts| facts.committed.as_mut().expect("set").offset = offset(12));
    check("a reset of ours looks", ours, &[]);
}

#[test]
fn identity_comes_from_the_state_tables() {
    let recreated = |change: fn(&mut Facts)| with(running(), change);
    let halts = |name: &str, facts: Facts| check_halt(name, &facts, OnGap::Skip, HaltReason::TopicRecreated);
    halts("recreated", recreated(|facts| facts.topic_id = Some(OTHER)));
    halts(
        "recreated, its offset went with it [N8]",
        recreated(|facts| {
            facts.topic_id = Some(OTHER);
            facts.committed = None;
        }),
    );
    halts(
        "recreated, only the metadata knows",
        recreated(|facts| {
            facts.topic_id = Some(OTHER);
            facts.stored = StoredFacts::default();
        }),
    );
    let unknown = with(running(), |facts| facts.topic_id = None);
    check("a broker without topic ids", &unknown, (30, 30, 10, StartCause::Committed));
    let replayed = with(running(), |facts| {
        facts.topic_id = Some(OTHER);
        facts.stored = StoredFacts {
            identity: identity(OTHER, 1),
            origin: Some(offset(0)),
            floor: Some(offset(0)),
            ..StoredFacts::default()
        };
    });
    let start = check("after reset --new-replay old metadata is outdated", &replayed, (0, 0, 0, StartCause::Ledger));
    assert_eq!((start.replay, start.topic_id), (Replay(1), Some(OTHER)));
    let ahead = with(running(), |facts| {
        facts.committed.as_mut().expect("set").metadata.as_mut().expect("set").replay = Replay(2);
    });
    let start = check("a replay that only the metadata knows", &ahead, (10, 30, 10, StartCause::Damaged));
    assert_eq!(start.replay, Replay(2));
}

#[test]
fn damage_rewinds_to_its_start_and_keeps_the_floor() {
    let damaged = |name: &str, facts: Facts, position: (u64, u64, u64), range: OffsetRange| {
        let (commit, floor, origin) = position;
        let start = check(name, &facts, (commit, floor, origin, StartCause::Damaged));
        assert_eq!((start.damaged, start.anchor, start.trusted), (Some(range), None, OffsetSet::empty()), "{name}");
    };
    let ledger = |ranges: &[(u64, u64)]| with(running(), |facts| facts.stored.covered = set(ranges));
    damaged("the ledger lost its end", ledger(&[(10, 20)]), (20, 30, 10), range(20, 30));
    damaged("the ledger lost all [H2]", ledger(&[]), (10, 30, 10), range(10, 30));
    damaged("a hole", ledger(&[(10, 12), (15, 30)]), (12, 30, 10), range(12, 30));
    let gone = |facts: Facts, start, end| with(facts, |facts| facts.stored.missing = Some(range(start, end)));
    damaged("rows are gone", gone(running(), 22, 26), (22, 30, 10), range(22, 30));
    damaged("a range that began before the origin", gone(running(), 5, 26), (10, 30, 10), range(10, 30));
    check("what is gone above our offset is looked at", &gone(running(), 30, 40), (30, 30, 10, StartCause::Committed));
    let jumped = with(gone(running(), 5, 8), |facts| facts.stored.covered = set(&[(5, 8), (10, 30)]));
    damaged("gone below a jump of old", jumped, (5, 30, 5), range(5, 30));
    damaged("rows gone above a move [S4]", gone(moved(20), 22, 26), (20, 25, 10), range(22, 30));
    damaged("a jump does not hide what is gone", gone(moved(50), 22, 26), (22, 25, 22), range(22, 30));
    let below = with(running(), |facts| facts.stored.covered = set(&[(8, 30)]));
    check("a start of `latest` is no hole [S5]", &below, (30, 30, 10, StartCause::Committed));
    let twice = with(ledger(&[(10, 20)]), |facts| facts.stored.damaged = vec![range(18, 22)]);
    check_halt("damaged twice", &twice, OnGap::Skip, HaltReason::DamagedTwice { range: range(20, 30) });
    let elsewhere = with(ledger(&[(10, 20)]), |facts| facts.stored.damaged = vec![range(10, 20)]);
    damaged("another range was damaged before", elsewhere, (20, 30, 10), range(20, 30));
}

#[test]
fn gaps_and_ends_of_the_log() {
    let retained = with(running(), |facts| facts.log = range(35, 100));
    let start = check("retention, skip", &retained, (30, 30, 10, StartCause::Committed));
    assert_eq!((start.gap, start.fetch_from()), (Some(range(30, 35)), offset(35)));
    check_halt("retention, halt", &retained, OnGap::Halt, HaltReason::Gap { range: range(30, 35) });
    let edge = with(running(), |facts| facts.log = range(30, 100));
    assert_eq!(check("nothing is lost", &edge, (30, 30, 10, StartCause::Committed)).gap, None);
    let truncated = with(running(), |facts| facts.log = range(0, 29));
    let reason = HaltReason::LogTruncated { committed: offset(30), end: offset(29) };
    check_halt("the log ends before the offset", &truncated, OnGap::Skip, reason);
    let both = with(running(), |facts| {
        facts.log = range(25, 100);
        facts.stored.covered = set(&[(10, 20)]);
    });
    let start = check("damage that retention reached", &both, (20, 30, 10, StartCause::Damaged));
    assert_eq!(start.gap, Some(range(20, 25)));
}
