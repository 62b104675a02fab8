//! What the ledger and the claims say of a partition.

use oncesink::insert::Outcome;
use oncesink::ledger::stored_facts;
use oncesink::protocol::facts::{StoredFacts, StoredIdentity};
use oncesink::types::{Offset, OffsetSet, Partition, Replay, TopicId};

use crate::clickhouse_fixture::{Fixture, TOPIC_ID, range};

impl Fixture {
    async fn facts(&self, partition: i32) -> StoredFacts {
        let partition = Partition(partition);
        stored_facts(&self.session, &self.lane, &[partition, Partition(99)], true)
            .await
            .unwrap()
            .remove(&self.lane.key(partition))
            .unwrap()
    }

    async fn put_rows(&self, partition: i32, start: u64, end: u64) {
        self.run(&format!(
            "INSERT INTO {} (_topic, _partition, _offset, _replay, v) \
             SELECT 'it\\'s a topic', {partition}, number, 0, '' FROM numbers({start}, {})",
            self.lane.cell.target.quoted(),
            end - start
        ))
        .await;
    }
}

fn set(ranges: &[(u64, u64)]) -> OffsetSet {
    ranges.iter().map(|(start, end)| range(*start, *end)).collect()
}

#[tokio::test]
async fn a_partition_nobody_knows_has_no_facts() {
    let fixture = Fixture::new().await;
    assert_eq!(fixture.facts(0).await, StoredFacts::default());
    fixture.claims(&[0]).await;
    let facts = fixture.facts(0).await;
    assert_eq!(facts.identity, Some(StoredIdentity { topic_id: Some(TOPIC_ID), replay: Replay(0) }));
    assert_eq!((facts.origin, facts.floor), (None, None));
    fixture.finish().await;
}

#[tokio::test]
async fn ranges_are_united_and_the_newest_row_gives_the_origin() {
    let fixture = Fixture::new().await;
    let claims = fixture.claims(&[0]).await;
    let claim = claims[&Partition(0)];
    let write = async |start, end, change: &dyn Fn(&mut oncesink::protocol::facts::LedgerRow)| {
        let mut row = fixture.ledger_row(0, claim, range(start, end), 0);
        change(&mut row);
        let outcome = fixture.write_ledger(&claims, &[row]).await;
        assert_eq!(outcome, Outcome::Acknowledged);
    };
    write(10, 20, &|row| row.floor = Offset::new(10)).await;
    write(20, 30, &|row| row.floor = Offset::new(25)).await;
    write(15, 35, &|row| row.floor = Offset::new(20)).await;
    write(50, 60, &|row| {
        row.origin = Offset::new(50);
        row.floor = Offset::new(0);
    })
    .await;
    // Of another replay and another topic: neither counts for this one.
    write(70, 80, &|row| {
        row.topic_id = Some(TopicId(9));
        // A claim has one topic id; of two, the one that was claimed first is the replay's.
        row.claim.0 += 1;
    })
    .await;
    let facts = fixture.facts(0).await;
    assert_eq!(facts.covered, set(&[(10, 35), (50, 60)]));
    assert_eq!(facts.floor, Some(Offset::new(25)));
    assert_eq!(facts.origin, Some(Offset::new(50)));
    assert_eq!(facts.damaged, []);

    // A row that repairs a damaged range proves it like any other, and is remembered.
    write(60, 65, &|row| row.damaged = true).await;
    write(60, 65, &|row| row.damaged = true).await;
    let facts = fixture.facts(0).await;
    assert_eq!(facts.covered, set(&[(10, 35), (50, 65)]));
    assert_eq!(facts.damaged, [range(60, 65)]);

    // A checkpoint counts from its origin; rows within it and beyond it are united with it.
    write(60, 62, &|row| {
        row.checkpoint = true;
        row.origin = Offset::new(5);
    })
    .await;
    write(62, 64, &|_| {}).await;
    assert_eq!(fixture.facts(0).await.covered, set(&[(5, 65)]));

    // A new replay begins with nothing.
    write(0, 3, &|row| {
        row.replay = Replay(1);
        row.topic_id = Some(TopicId(9));
    })
    .await;
    let facts = fixture.facts(0).await;
    assert_eq!(facts.identity, Some(StoredIdentity { topic_id: Some(TopicId(9)), replay: Replay(1) }));
    assert_eq!(facts.covered, set(&[(0, 3)]));
    assert_eq!(facts.damaged, []);
    fixture.finish().await;
}

#[tokio::test]
async fn rows_that_are_gone_are_noticed() {
    let fixture = Fixture::new().await;
    let claims = fixture.claims(&[0, 1]).await;
    for partition in [0, 1] {
        fixture.put_rows(partition, 0, 100).await;
        for start in (0..100).step_by(10) {
            let row = fixture.ledger_row(partition, claims[&Partition(partition)], range(start, start + 10), 10);
            let outcome = fixture.write_ledger(&claims, &[row]).await;
            assert_eq!(outcome, Outcome::Acknowledged);
        }
    }
    assert_eq!(fixture.facts(0).await.missing, None);
    let target = fixture.lane.cell.target.quoted();
    // Rows that somebody deleted on purpose are not damage.
    fixture.run(&format!("DELETE FROM {target} WHERE _partition = 1 AND _offset = 95")).await;
    assert_eq!(fixture.facts(1).await.missing, None);
    fixture
        .run(&format!(
            "ALTER TABLE {target} DELETE WHERE _partition = 0 AND _offset IN (57, 83) SETTINGS mutations_sync = 1"
        ))
        .await;
    assert_eq!(fixture.facts(0).await.missing, Some(range(50, 60)));
    fixture.finish().await;
}

/// Of overlapping ledger rows the greater claim decides: it has to be the newer one also when claims were lost.
#[tokio::test]
async fn a_claim_outranks_the_ledger_when_claims_are_lost() {
    let fixture = Fixture::new().await;
    for _ in 0..3 {
        fixture.claims(&[0]).await;
    }
    let claims = fixture.claims(&[0]).await;
    let old = claims[&Partition(0)];
    let outcome = fixture.write_ledger(&claims, &[fixture.ledger_row(0, old, range(0, 10), 0)]).await;
    assert_eq!(outcome, Outcome::Acknowledged);
    fixture.run(&format!("TRUNCATE TABLE {} SYNC", fixture.lane.state.ownership().quoted())).await;
    let new = fixture.claims(&[0]).await[&Partition(0)];
    assert!(new > old, "{new} after {old}");
    fixture.finish().await;
}
