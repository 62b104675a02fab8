//! What ownership and ledger say of a partition that is taken over.
//!
//! The ledger can hold a row per block and partition for days, so the server adds up and only borders come over the wire.

use std::collections::BTreeMap;

use clickhouse::Row;
use serde::Deserialize;
use uuid::Uuid;

use super::missing;
use crate::clickhouse::{ControlError, LaneTables, Session, sql};
use crate::protocol::facts::{StoredFacts, StoredIdentity};
use crate::types::{Claim, Offset, OffsetRange, OffsetSet, Partition, PartitionKey, Replay, TopicId};

/// A replay as one of the tables knows it: a row per topic id that was seen with it.
#[derive(Debug, Clone, PartialEq, Eq, Row, Deserialize)]
struct Known {
    partition: i32,
    replay: u32,
    #[serde(with = "clickhouse::serde::uuid::option")]
    topic_id: Option<Uuid>,
    first_claim: u128,
}

#[derive(Debug, Row, Deserialize)]
struct Newest {
    partition: i32,
    floor: u64,
    origin: u64,
}

#[derive(Debug, Row, Deserialize)]
struct Border {
    partition: i32,
    offset: u64,
    /// Ranges that begin here, less those that end here.
    change: i64,
}

#[derive(Debug, Row, Deserialize)]
struct Damaged {
    partition: i32,
    start_offset: u64,
    end_offset: u64,
}

/// What the state tables say of these partitions. `rows_countable` says whether the target keeps its rows (no row TTL,
/// an engine that does not merge them away), so that missing ones mean damage.
pub async fn stored_facts(
    session: &Session,
    lane: &LaneTables,
    partitions: &[Partition],
    rows_countable: bool,
) -> Result<BTreeMap<PartitionKey, StoredFacts>, ControlError> {
    let mut facts: BTreeMap<Partition, StoredFacts> =
        partitions.iter().map(|partition| (*partition, StoredFacts::default())).collect();
    let identities = identities(session, lane, partitions).await?;
    for (partition, identity) in &identities {
        if let Some(facts) = facts.get_mut(partition) {
            facts.identity = Some(*identity);
        }
    }
    if !identities.is_empty() {
        let ledger = Ledger { session, lane, condition: rows_of(lane, &identities) };
        ledger.read_newest(&mut facts).await?;
        ledger.read_covered(&mut facts).await?;
        ledger.read_damaged(&mut facts).await?;
        if rows_countable {
            let missing = missing::first_missing(session, lane, &identities).await?;
            for (partition, range) in missing {
                if let Some(facts) = facts.get_mut(&partition) {
                    facts.missing = Some(range);
                }
            }
        }
    }
    Ok(facts.into_iter().map(|(partition, facts)| (lane.key(partition), facts)).collect())
}

/// The ledger's rows of the greatest replay of each partition. A row without a topic id is of any.
fn rows_of(lane: &LaneTables, identities: &BTreeMap<Partition, StoredIdentity>) -> String {
    // As a rule all partitions have one replay and one topic id: the server is asked once for all instead of for each.
    let mut alike: BTreeMap<(Replay, Option<TopicId>), Vec<Partition>> = BTreeMap::new();
    for (partition, identity) in identities {
        alike.entry((identity.replay, identity.topic_id)).or_default().push(*partition);
    }
    let any_of = alike
        .into_iter()
        .map(|((replay, topic_id), partitions)| rows_of_partitions(&partitions, &StoredIdentity { replay, topic_id }));
    format!("{} AND ({})", lane.cell.condition(), sql::joined(any_of, " OR "))
}

/// The ledger's rows of these partitions, all of one identity.
pub(super) fn rows_of_partitions(partitions: &[Partition], identity: &StoredIdentity) -> String {
    let topic_id = identity
        .topic_id
        .map_or_else(String::new, |id| format!(" AND (topic_id IS NULL OR topic_id = '{}')", Uuid::from_u128(id.0)));
    let partitions = match partitions {
        [partition] => format!("= {partition}"),
        _ => format!("IN ({})", sql::joined(partitions, ", ")),
    };
    format!("(`partition` {partitions} AND replay = {}{topic_id})", identity.replay)
}

pub(super) async fn identities(
    session: &Session,
    lane: &LaneTables,
    partitions: &[Partition],
) -> Result<BTreeMap<Partition, StoredIdentity>, ControlError> {
    if partitions.is_empty() {
        return Ok(BTreeMap::new());
    }
    let known_to = |table: &str| {
        format!(
            "SELECT `partition`, replay, topic_id, min(claim) AS first_claim FROM {table} WHERE {} \
             AND `partition` IN ({}) GROUP BY `partition`, replay, topic_id",
            lane.cell.condition(),
            sql::joined(partitions, ", ")
        )
    };
    let known: Vec<Known> = session
        .fetch(
            "reading the greatest replay",
            &format!(
                "{} UNION ALL {}",
                known_to(&lane.state.ownership().quoted()),
                known_to(&lane.state.ledger().quoted())
            ),
        )
        .await?;
    Ok(greatest_replay(&known))
}

/// The greatest replay of each partition, with the topic id that was first claimed for it.
fn greatest_replay(known: &[Known]) -> BTreeMap<Partition, StoredIdentity> {
    let mut greatest: BTreeMap<Partition, (StoredIdentity, Option<Claim>)> = BTreeMap::new();
    for row in known {
        let replay = Replay(row.replay);
        let (identity, begun) =
            greatest.entry(Partition(row.partition)).or_insert((StoredIdentity { topic_id: None, replay }, None));
        if replay > identity.replay {
            *identity = StoredIdentity { topic_id: None, replay };
            *begun = None;
        }
        let first = Claim(row.first_claim);
        if replay == identity.replay
            && let Some(topic_id) = row.topic_id
            && begun.is_none_or(|begun| first < begun)
        {
            identity.topic_id = Some(TopicId(topic_id.as_u128()));
            *begun = Some(first);
        }
    }
    greatest.into_iter().map(|(partition, (identity, _))| (partition, identity)).collect()
}

struct Ledger<'a> {
    session: &'a Session,
    lane: &'a LaneTables,
    condition: String,
}

impl Ledger<'_> {
    async fn read_newest(&self, facts: &mut BTreeMap<Partition, StoredFacts>) -> Result<(), ControlError> {
        let rows: Vec<Newest> = self
            .session
            .fetch(
                "reading the newest ledger rows",
                &format!(
                    "SELECT `partition`, max(ledger.floor) AS floor, \
                     argMax(ledger.origin, (ledger.claim, ledger.block)) AS origin \
                     FROM {} AS ledger WHERE {} GROUP BY `partition`",
                    self.lane.state.ledger().quoted(),
                    self.condition
                ),
            )
            .await?;
        for row in rows {
            if let Some(facts) = facts.get_mut(&Partition(row.partition)) {
                facts.floor = Some(Offset::new(row.floor));
                facts.origin = Some(Offset::new(row.origin));
            }
        }
        Ok(())
    }

    /// The union of all ranges. Ranges follow one another, so where one ends and the next begins the two cancel out and
    /// only the borders of the union are left. Rows within the newest checkpoint add nothing and are not counted.
    async fn read_covered(&self, facts: &mut BTreeMap<Partition, StoredFacts>) -> Result<(), ControlError> {
        let ledger = self.lane.state.ledger().quoted();
        let condition = &self.condition;
        let borders: Vec<Border> = self
            .session
            .fetch(
                "reading what the ledger covers",
                &format!(
                    "SELECT `partition`, border.1 AS offset, sum(border.2) AS change FROM (\
                     SELECT `partition`, \
                     arrayJoin([(if(checkpoint, origin, start_offset), toInt64(1)), (end_offset, toInt64(-1))]) \
                     AS border FROM {ledger} AS ledger LEFT JOIN (\
                     SELECT `partition`, argMax(origin, (claim, block)) AS vouched_start, \
                     argMax(end_offset, (claim, block)) AS vouched_end, toUInt8(1) AS vouched \
                     FROM {ledger} WHERE {condition} AND checkpoint GROUP BY `partition`\
                     ) AS newest USING (`partition`) \
                     WHERE {condition} AND end_offset > if(checkpoint, origin, start_offset) \
                     AND (checkpoint OR ifNull(vouched, 0) = 0 OR start_offset < vouched_start OR end_offset > vouched_end)\
                     ) GROUP BY `partition`, offset HAVING change != 0 ORDER BY `partition`, offset"
                ),
            )
            .await?;
        for (partition, covered) in covered(&borders) {
            if let Some(facts) = facts.get_mut(&partition) {
                facts.covered = covered;
            }
        }
        Ok(())
    }

    async fn read_damaged(&self, facts: &mut BTreeMap<Partition, StoredFacts>) -> Result<(), ControlError> {
        let rows: Vec<Damaged> = self
            .session
            .fetch(
                "reading damaged ranges",
                &format!(
                    "SELECT DISTINCT `partition`, start_offset, end_offset FROM {} WHERE {} AND damaged \
                     ORDER BY `partition`, start_offset, end_offset",
                    self.lane.state.ledger().quoted(),
                    self.condition
                ),
            )
            .await?;
        for row in rows {
            if let Some(facts) = facts.get_mut(&Partition(row.partition)) {
                facts.damaged.push(OffsetRange::new(Offset::new(row.start_offset), Offset::new(row.end_offset)));
            }
        }
        Ok(())
    }
}

/// The ranges between borders at which at least one range is open. Borders are sorted by partition and offset.
fn covered(borders: &[Border]) -> BTreeMap<Partition, OffsetSet> {
    let mut covered: BTreeMap<Partition, OffsetSet> = BTreeMap::new();
    let mut open: Option<(i32, u64, i64)> = None;
    for border in borders {
        open = match open {
            Some((partition, start, depth)) if partition == border.partition => match depth + border.change {
                0 => {
                    covered
                        .entry(Partition(partition))
                        .or_default()
                        .insert(OffsetRange::new(Offset::new(start), Offset::new(border.offset)));
                    None
                }
                depth => Some((partition, start, depth)),
            },
            _ => Some((border.partition, border.offset, border.change)),
        };
    }
    covered
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_greatest_replay_keeps_the_topic_id_it_was_begun_with() {
        let check = |known: &[(u32, Option<u128>, u128)], expected: Option<(u32, Option<u128>)>| {
            let known: Vec<_> = known
                .iter()
                .map(|(replay, topic_id, first_claim)| Known {
                    partition: 4,
                    replay: *replay,
                    topic_id: topic_id.map(Uuid::from_u128),
                    first_claim: *first_claim,
                })
                .collect();
            let identity = greatest_replay(&known)
                .get(&Partition(4))
                .map(|identity| (identity.replay.0, identity.topic_id.map(|id| id.0)));
            assert_eq!(identity, expected, "{known:?}");
        };
        check(&[], None);
        check(&[(0, None, 1)], Some((0, None)));
        check(&[(0, None, 1), (0, Some(7), 2)], Some((0, Some(7))));
        check(&[(0, Some(7), 2), (0, Some(8), 1)], Some((0, Some(8))));
        check(&[(0, Some(8), 1), (0, Some(7), 2)], Some((0, Some(8))));
        check(&[(0, Some(7), 1), (1, Some(8), 9)], Some((1, Some(8))));
        check(&[(1, Some(8), 9), (0, Some(7), 1)], Some((1, Some(8))));
        check(&[(1, None, 9), (0, Some(7), 1)], Some((1, None)));
    }

    #[test]
    fn borders_become_ranges() {
        let check = |borders: &[(i32, u64, i64)], expected: &[(i32, u64, u64)]| {
            let borders: Vec<_> = borders
                .iter()
                .map(|(partition, offset, change)| Border { partition: *partition, offset: *offset, change: *change })
                .collect();
            let ranges: Vec<_> = covered(&borders)
                .into_iter()
                .flat_map(|(partition, set)| {
                    set.ranges()
                        .iter()
                        .map(|range| (partition.0, range.start().get(), range.end().get()))
                        .collect::<Vec<_>>()
                })
                .collect();
            assert_eq!(ranges, expected, "{borders:?}");
        };
        check(&[], &[]);
        check(&[(0, 3, 1), (0, 9, -1)], &[(0, 3, 9)]);
        check(&[(0, 0, 1), (0, 5, 1), (0, 7, -1), (0, 9, -1)], &[(0, 0, 9)]);
        check(
            &[(0, 0, 2), (0, 5, -2), (0, 7, 1), (0, 9, -1), (1, 1, 1), (1, 2, -1)],
            &[(0, 0, 5), (0, 7, 9), (1, 1, 2)],
        );
    }
}
