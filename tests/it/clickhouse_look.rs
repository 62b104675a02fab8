//! A look finds exactly the units that are there.

use oncesink::ownership::{Look, LookFrom, look};
use oncesink::protocol::facts::Presence;
use oncesink::types::{Offset, OffsetSet, Partition, Replay};

use crate::clickhouse_fixture::{Fixture, range};

impl Fixture {
    async fn put(&self, topic: &str, partition: i32, replay: u32, offsets: &str) {
        self.run(&format!(
            "INSERT INTO {} (_topic, _partition, _offset, _replay, v) \
             SELECT '{topic}', {partition}, arrayJoin({offsets}), {replay}, ''",
            self.lane.cell.target.quoted()
        ))
        .await;
    }

    async fn look(&self, partitions: &[(i32, u64)]) -> Look {
        let partitions: Vec<_> = partitions
            .iter()
            .map(|(partition, from)| LookFrom {
                partition: Partition(*partition),
                replay: Replay(0),
                from: Offset::new(*from),
            })
            .collect();
        look(&self.session, &self.lane, &partitions).await.unwrap()
    }

    fn presence(&self, look: &Look, partition: i32) -> Presence {
        look.presence[&self.lane.key(Partition(partition))].clone()
    }
}

fn set(ranges: &[(u64, u64)]) -> OffsetSet {
    ranges.iter().map(|(start, end)| range(*start, *end)).collect()
}

#[tokio::test]
async fn runs_gaps_and_borders() {
    let fixture = Fixture::new().await;
    let topic = "it\\'s a topic";
    fixture.put(topic, 0, 0, "[5, 6, 7, 9, 20, 21]").await;
    fixture.put(topic, 0, 0, "[8]").await;
    fixture.put(topic, 2, 0, "range(100)").await;
    fixture.put(topic, 2, 1, "range(300)").await;
    fixture.put("another topic", 0, 0, "range(50)").await;
    let look = fixture.look(&[(0, 6), (1, 0), (2, 99)]).await;
    let check = |partition, rows: &[(u64, u64)]| {
        assert_eq!(*fixture.presence(&look, partition).rows.numbers(), set(rows), "partition {partition}");
    };
    check(0, &[(6, 10), (20, 22)]);
    check(1, &[]);
    check(2, &[(99, 100)]);
    assert_eq!(look.presence.len(), 3);
    assert!(look.doubled.is_empty());
    assert_eq!(fixture.look(&[]).await, Look::default());
    fixture.finish().await;
}

/// Many partitions are asked for in another way than a few.
#[tokio::test]
async fn a_look_at_many_partitions_tells_them_apart() {
    let fixture = Fixture::new().await;
    let topic = "it\\'s a topic";
    for partition in 0..30 {
        let first = partition * 700 % 5_000;
        fixture.put(topic, partition, 0, &format!("[{first}, {}, {}, {}]", first + 1, first + 2, first + 9)).await;
    }
    fixture.put(topic, 7, 1, "range(300)").await;
    fixture.put(topic, 30, 0, "range(100)").await;
    let from = |partition: i32| u64::try_from(partition * 700 % 5_000).unwrap() + 1;
    let asked: Vec<_> = (0..30).map(|partition| (partition, from(partition))).collect();
    let look = fixture.look(&asked).await;
    assert_eq!(look.presence.len(), 30);
    for (partition, from) in asked {
        let expected = set(&[(from, from + 2), (from + 8, from + 9)]);
        assert_eq!(*fixture.presence(&look, partition).rows.numbers(), expected, "partition {partition}");
    }
    fixture.finish().await;
}

#[tokio::test]
async fn windows_join_and_holes_are_jumped() {
    let fixture = Fixture::new().await;
    let topic = "it\\'s a topic";
    // Wider than a window, then a hole of many windows.
    fixture
        .run(&format!(
            "INSERT INTO {} (_topic, _partition, _offset, _replay, v) \
             SELECT '{topic}', 0, number + 3, 0, '' FROM numbers(4500000)",
            fixture.lane.cell.target.quoted()
        ))
        .await;
    fixture.put(topic, 0, 0, "[1000000000000]").await;
    fixture.put(topic, 1, 0, "[0, 9000000000000000000]").await;
    let look = fixture.look(&[(0, 0), (1, 0)]).await;
    assert_eq!(
        *fixture.presence(&look, 0).rows.numbers(),
        set(&[(3, 4_500_003), (1_000_000_000_000, 1_000_000_000_001)])
    );
    assert_eq!(
        *fixture.presence(&look, 1).rows.numbers(),
        set(&[(0, 1), (9_000_000_000_000_000_000, 9_000_000_000_000_000_001)])
    );
    fixture.finish().await;
}

/// [R1]: a dead letter of another connector says nothing about our records.
#[tokio::test]
async fn dead_letters_of_others_do_not_count() {
    let fixture = Fixture::new().await;
    let connector = fixture.lane.cell.connector.clone();
    fixture.dead_letters(&connector, 0, "[3, 4, 9]").await;
    fixture.dead_letters("another", 0, "[5, 6]").await;
    let look = fixture.look(&[(0, 4)]).await;
    assert_eq!(fixture.presence(&look, 0).dead, set(&[(4, 5), (9, 10)]));
    assert_eq!(*fixture.presence(&look, 0).rows.numbers(), OffsetSet::empty());
    fixture.finish().await;
}

#[tokio::test]
async fn doubled_rows_are_reported() {
    let fixture = Fixture::new().await;
    let topic = "it\\'s a topic";
    fixture.put(topic, 0, 0, "[1, 2, 3]").await;
    fixture.put(topic, 0, 0, "[2, 3]").await;
    fixture.put(topic, 1, 0, "[1]").await;
    let look = fixture.look(&[(0, 0), (1, 0)]).await;
    let doubled: Vec<_> = look.doubled.iter().map(|(key, count)| (key.partition.0, count.0)).collect();
    assert_eq!(doubled, [(0, 2)]);
    assert_eq!(*fixture.presence(&look, 0).rows.numbers(), set(&[(1, 4)]));
    fixture.finish().await;
}
