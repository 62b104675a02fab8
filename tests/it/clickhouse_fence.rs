//! Only the newest claimant writes, and a refused insert writes nothing.

use std::collections::BTreeMap;

use oncesink::insert::{Condition, Outcome, Refusal};
use oncesink::types::{Claim, Partition};

use crate::clickhouse_fixture::{Fixture, expected, range};

const FENCED: Outcome = Outcome::Refused(Refusal::Fenced);

#[tokio::test]
async fn claims_are_ordered_and_name_other_connectors() {
    let fixture = Fixture::new().await;
    let first = fixture.claim(&[0, 1]).await;
    let second = fixture.claim(&[0]).await;
    let key = fixture.lane.key(Partition(0));
    assert!(second.claims[&key] > first.claims[&key]);
    assert_eq!(second.claims[&key].0 >> 64, 2);
    assert_eq!(first.others, Vec::<String>::new());

    let mut other = fixture.lane.clone();
    other.cell.connector = "another".to_owned();
    let partitions =
        [oncesink::ownership::ToClaim { partition: Partition(7), topic_id: None, replay: oncesink::types::Replay(0) }];
    let theirs =
        oncesink::ownership::claim(&fixture.session, &other, &partitions, uuid::Uuid::nil(), "o", rand::random)
            .await
            .unwrap();
    assert_eq!(theirs.others, std::slice::from_ref(&fixture.lane.cell.connector));
    other.cell.cluster_id = "elsewhere".to_owned();
    other.cell.topic = "a topic of its own".to_owned();
    let alone = oncesink::ownership::claim(&fixture.session, &other, &partitions, uuid::Uuid::nil(), "o", rand::random)
        .await
        .unwrap();
    assert_eq!(alone.others, Vec::<String>::new());
    assert_eq!(fixture.claim(&[0]).await.others, ["another"]);
    fixture.finish().await;
}

#[tokio::test]
async fn a_stale_claim_writes_nothing() {
    let fixture = Fixture::new().await;
    let old = fixture.claims(&[0, 1]).await;
    assert_eq!(fixture.insert(&old, &[(0, 0), (1, 0)]).await, Outcome::Acknowledged);
    let new = fixture.claims(&[1]).await;
    // One newer claim among the partitions of a block is enough.
    assert_eq!(fixture.insert(&old, &[(0, 1), (1, 1)]).await, FENCED);
    assert_eq!(fixture.target_rows().await, 2);
    let still_mine = BTreeMap::from([(Partition(0), old[&Partition(0)])]);
    assert_eq!(fixture.insert(&still_mine, &[(0, 1)]).await, Outcome::Acknowledged);
    assert_eq!(fixture.insert(&new, &[(1, 1)]).await, Outcome::Acknowledged);
    assert_eq!(fixture.target_rows().await, 4);
    fixture.finish().await;
}

/// A negative fence ("nobody has a newer claim") would let this in (F3).
#[tokio::test]
async fn a_claim_that_cannot_be_seen_writes_nothing() {
    let fixture = Fixture::new().await;
    let claims = fixture.claims(&[0]).await;
    let never_claimed = BTreeMap::from([(Partition(5), Claim(1 << 64))]);
    assert_eq!(fixture.insert(&never_claimed, &[(5, 0)]).await, FENCED);
    fixture.run(&format!("TRUNCATE TABLE {}", fixture.lane.state.ownership().quoted())).await;
    assert_eq!(fixture.insert(&claims, &[(0, 0)]).await, FENCED);
    assert_eq!(fixture.target_rows().await, 0);
    fixture.finish().await;
}

#[tokio::test]
async fn of_claims_that_race_one_writes() {
    let fixture = Fixture::new().await;
    for round in 0..5 {
        let (left, right) = tokio::join!(fixture.claims(&[0]), fixture.claims(&[0]));
        assert_ne!(left, right);
        let outcomes = [fixture.insert(&left, &[(0, round)]).await, fixture.insert(&right, &[(0, round)]).await];
        let acknowledged = outcomes.iter().filter(|outcome| **outcome == Outcome::Acknowledged).count();
        assert_eq!(acknowledged, 1, "{outcomes:?}");
        assert!(outcomes.contains(&FENCED), "{outcomes:?}");
    }
    assert_eq!(fixture.target_rows().await, 5);
    fixture.finish().await;
}

#[tokio::test]
async fn a_ledger_row_is_written_only_if_its_rows_are_there() {
    let fixture = Fixture::new().await;
    let claims = fixture.claims(&[0, 1]).await;
    let short = Outcome::Refused(Refusal::Short);
    fixture.insert(&claims, &[(0, 10), (0, 11), (0, 13), (1, 5)]).await;
    let row = |partition: i32, start, end, rows| {
        fixture.ledger_row(partition, claims[&Partition(partition)], range(start, end), rows)
    };
    let check = async |rows: Vec<_>, wanted: &Outcome| {
        let outcome = fixture.write_ledger(&claims, &rows).await;
        assert_eq!(outcome, *wanted, "{rows:?}");
    };
    check(vec![row(0, 10, 14, 4)], &short).await;
    check(vec![row(0, 10, 14, 2)], &short).await;
    // Together four, but not where they are said to be.
    check(vec![row(0, 10, 14, 2), row(1, 5, 6, 2)], &short).await;
    check(vec![row(0, 10, 14, 3), row(1, 6, 9, 1)], &short).await;
    check(vec![row(1, 5, 9, 0)], &short).await;
    // Right in one partition, and rows in another that should have none.
    check(vec![row(0, 10, 14, 3), row(1, 5, 9, 0)], &short).await;
    let mut dead = row(0, 10, 14, 3);
    dead.dead.0 = 1;
    check(vec![dead.clone()], &short).await;
    assert_eq!(fixture.count(&fixture.lane.state.ledger().quoted()).await, 0);
    // Another connector's dead letter is none of ours [R1].
    fixture.dead_letters("another", 0, "[12]").await;
    check(vec![dead.clone()], &short).await;
    fixture.dead_letters(&fixture.lane.cell.connector, 0, "[12]").await;
    check(vec![dead, row(1, 5, 6, 1)], &Outcome::Acknowledged).await;
    check(vec![row(1, 6, 9, 0)], &Outcome::Acknowledged).await;
    assert_eq!(fixture.count(&fixture.lane.state.ledger().quoted()).await, 3);
    // A block without rows meets the fence all the same.
    fixture.claims(&[1]).await;
    check(vec![row(1, 9, 12, 0)], &FENCED).await;
    fixture.finish().await;
}

/// Many partitions are asked for in another way than a few: it must count as well.
#[tokio::test]
async fn a_block_of_many_partitions_is_fenced_and_proven_like_any_other() {
    const PARTITIONS: i32 = 40;
    let fixture = Fixture::new().await;
    let all: Vec<i32> = (0..PARTITIONS).collect();
    let claims = fixture.claims(&all).await;
    let short = Outcome::Refused(Refusal::Short);
    // Each partition has two rows of this block, at offsets far from those of the others, and rows around them.
    let start = |partition: i32| u64::try_from(partition).unwrap() * 1_000_000_007 % 9_000;
    let rows = all.iter().flat_map(|p| [0, 1, 3, 9].map(|n| (*p, 2 + start(*p) + n)));
    assert_eq!(fixture.insert(&claims, &rows.collect::<Vec<_>>()).await, Outcome::Acknowledged);
    let row = |partition: i32, rows| {
        let from = 3 + start(partition);
        fixture.ledger_row(partition, claims[&Partition(partition)], range(from, from + 3), rows)
    };
    let right: Vec<_> = all.iter().map(|partition| row(*partition, 2)).collect();
    for wrong in [1, 3] {
        for partition in [0, 17, PARTITIONS - 1] {
            let mut rows = right.clone();
            rows[usize::try_from(partition).unwrap()] = row(partition, wrong);
            assert_eq!(fixture.write_ledger(&claims, &rows).await, short, "{wrong} rows in partition {partition}");
        }
    }
    let mut elsewhere = right.clone();
    elsewhere[5].replay.0 = 1;
    assert_eq!(fixture.write_ledger(&claims, &elsewhere).await, short);
    assert_eq!(fixture.write_ledger(&claims, &right).await, Outcome::Acknowledged);
    // A checkpoint of all vouches for what the ledger has of all.
    let checkpoint = |partition: i32, start_offset| {
        let mut row = row(partition, 0);
        row.range = range(start_offset, start_offset);
        row.checkpoint = true;
        row
    };
    let mut checkpoints: Vec<_> = all.iter().map(|partition| checkpoint(*partition, 6 + start(*partition))).collect();
    let too_far = std::mem::replace(&mut checkpoints[30], checkpoint(30, 7 + start(30)));
    assert_eq!(fixture.write_ledger(&claims, &checkpoints).await, short);
    checkpoints[30] = too_far;
    assert_eq!(fixture.write_ledger(&claims, &checkpoints).await, Outcome::Acknowledged);
    // One of the partitions belongs to somebody else.
    fixture.claims(&[23]).await;
    assert_eq!(fixture.insert(&claims, &[(0, 50_000)]).await, FENCED);
    assert_eq!(fixture.target_rows().await, 4 * u64::try_from(PARTITIONS).unwrap());
    fixture.finish().await;
}

#[tokio::test]
async fn the_presence_test_refuses_a_second_copy() {
    let fixture = Fixture::new().await;
    let claims = fixture.claims(&[0]).await;
    let condition = |found: u64| {
        Condition::presence_of_rows(&fixture.lane, &[expected(0, range(0, 10), found)]).into_iter().collect()
    };
    let send = async |rows: &[(i32, u64)], found| {
        let request = fixture.request(&claims, rows, condition(found));
        fixture.session.server().insert(request).await
    };
    assert_eq!(send(&[(0, 1), (0, 2)], 0).await, Outcome::Acknowledged);
    let present = Outcome::Refused(Refusal::Present);
    assert_eq!(send(&[(0, 1), (0, 2)], 0).await, present);
    assert_eq!(send(&[(0, 3)], 2).await, Outcome::Acknowledged);
    assert_eq!(fixture.target_rows().await, 3);
    fixture.finish().await;
}

/// A view's own 395 comes after the rows are committed: it must never be taken for the fence (F4).
#[tokio::test]
async fn an_exception_of_a_view_is_not_the_fence() {
    let fixture = Fixture::new().await;
    let claims = fixture.claims(&[0]).await;
    let database = &fixture.lane.cell.target.database;
    fixture
        .run(&format!(
            "CREATE MATERIALIZED VIEW {database}.view ENGINE = MergeTree ORDER BY x AS \
             SELECT throwIf(_offset = 1, 'view says no') AS x FROM {database}.target"
        ))
        .await;
    assert_eq!(fixture.insert(&claims, &[(0, 0)]).await, Outcome::Acknowledged);
    let outcome = fixture.insert(&claims, &[(0, 1)]).await;
    let Outcome::Ended { code: 395, text, .. } = &outcome else {
        panic!("{outcome:?}");
    };
    assert!(text.contains("view says no"), "{text}");
    fixture.finish().await;
}
