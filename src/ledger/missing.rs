//! Whether rows that the ledger has proven are still in the target: how a server that went back in time is noticed.
//!
//! Looks at the newest rows only: a restore or a power loss takes the newest data first. Rows that a lightweight DELETE
//! hides are counted: somebody wanted them gone, and inserting them again would be wrong.

use std::collections::BTreeMap;

use clickhouse::Row;
use serde::Deserialize;

use super::facts::rows_of_partitions;
use crate::clickhouse::{ControlError, LaneTables, Session, Units, sql};
use crate::protocol::facts::StoredIdentity;
use crate::types::{Offset, OffsetRange, Partition, RecordCount, Replay};

/// Ledger rows that are looked at per partition.
const NEWEST_ROWS_MAX: usize = 64;
/// Partitions that one statement asks about.
pub(super) const PARTITIONS_PER_STATEMENT: usize = 50;

/// A ledger row that says how many rows a range holds, newest first within its partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Row, Deserialize)]
pub(super) struct Proven {
    pub(super) partition: i32,
    start_offset: u64,
    end_offset: u64,
    pub(super) rows: u64,
}

#[derive(Debug, Row, Deserialize)]
pub(super) struct Counted {
    partition: i32,
    start_offset: u64,
    unit_rows: u64,
}

/// The first range of each partition that has lost rows.
pub(super) async fn first_missing(
    session: &Session,
    lane: &LaneTables,
    identities: &BTreeMap<Partition, StoredIdentity>,
) -> Result<BTreeMap<Partition, OffsetRange>, ControlError> {
    let mut missing = BTreeMap::new();
    let identities: Vec<(Partition, StoredIdentity)> =
        identities.iter().map(|(partition, identity)| (*partition, *identity)).collect();
    for chunk in identities.chunks(PARTITIONS_PER_STATEMENT) {
        let newest = newest(session, lane, &questions_of(chunk)).await?;
        let proven = undisputed(&newest);
        if proven.is_empty() {
            continue;
        }
        let replays: BTreeMap<Partition, Replay> =
            chunk.iter().map(|(partition, identity)| (*partition, identity.replay)).collect();
        let counted = counted(session, lane, &proven, &replays, &[]).await?;
        missing.extend(short(&proven, &counted));
    }
    Ok(missing)
}

/// Which rows of a partition are wanted: its newest ones.
pub(super) fn questions_of(identities: &[(Partition, StoredIdentity)]) -> Vec<String> {
    identities.iter().map(|(partition, identity)| rows_of_partitions(&[*partition], identity)).collect()
}

/// The newest rows under each of these conditions, which fix the partition. One small question each: with the partition
/// fixed, the server reads the end of the table's order and no more.
pub(super) async fn newest(
    session: &Session,
    lane: &LaneTables,
    conditions: &[String],
) -> Result<Vec<Proven>, ControlError> {
    let questions = conditions.iter().map(|condition| {
        format!(
            "(SELECT `partition`, start_offset, end_offset, rows FROM {} WHERE {} AND {condition} \
             ORDER BY claim DESC, block DESC, start_offset DESC LIMIT {NEWEST_ROWS_MAX})",
            lane.state.ledger().quoted(),
            lane.cell.condition(),
        )
    });
    session.fetch("reading the newest ledger rows", &sql::joined(questions, " UNION ALL ")).await
}

/// Of rows that overlap, the newest decides: what an older one counted may have been repaired or cut differently since.
/// `newest` holds each partition's rows newest first; the result is sorted by offset.
pub(super) fn undisputed(newest: &[Proven]) -> BTreeMap<Partition, Vec<Proven>> {
    let mut undisputed: BTreeMap<Partition, Vec<Proven>> = BTreeMap::new();
    let mut seen: BTreeMap<Partition, Vec<OffsetRange>> = BTreeMap::new();
    for row in newest {
        let partition = Partition(row.partition);
        let range = row.range();
        let newer = seen.entry(partition).or_default();
        let decided = newer.iter().any(|newer| newer.overlaps(range));
        newer.push(range);
        if !decided && row.rows > 0 && !range.is_empty() {
            undisputed.entry(partition).or_default().push(*row);
        }
    }
    for rows in undisputed.values_mut() {
        rows.sort_unstable_by_key(|row| row.start_offset);
    }
    undisputed
}

impl Proven {
    pub(super) fn range(&self) -> OffsetRange {
        OffsetRange::new(Offset::new(self.start_offset), Offset::new(self.end_offset))
    }
}

/// The rows that the target holds in each of the ranges, hidden ones included.
pub(super) async fn counted(
    session: &Session,
    lane: &LaneTables,
    proven: &BTreeMap<Partition, Vec<Proven>>,
    replays: &BTreeMap<Partition, Replay>,
    settings: &[(&str, &str)],
) -> Result<Vec<Counted>, ControlError> {
    let units = Units::of_targets(lane);
    let questions = proven.iter().map(|(partition, rows)| {
        let ranges: Vec<String> =
            rows.iter().map(|row| units.within(*partition, replays[partition], row.range())).collect();
        // Within the ranges, the greatest start that is not above an offset is that of its own range.
        let starts = rows.iter().map(|row| format!("toUInt64({})", row.start_offset));
        format!(
            "SELECT toInt32({partition}) AS `partition`, \
             roundDown(toUInt64({}), [{}]) AS start_offset, count() AS unit_rows {} GROUP BY start_offset",
            units.offset,
            sql::joined(starts, ", "),
            units.table_where(&ranges)
        )
    });
    session
        .fetch_with(
            "counting the rows of the newest ledger rows",
            &sql::joined(questions, " UNION ALL "),
            &[&[("apply_deleted_mask", "0")], settings].concat(),
        )
        .await
}

/// The counts by partition and start of the range; a range without rows is not among them.
pub(super) fn by_start(counted: &[Counted]) -> BTreeMap<(i32, u64), RecordCount> {
    counted.iter().map(|row| ((row.partition, row.start_offset), RecordCount(row.unit_rows))).collect()
}

fn short(proven: &BTreeMap<Partition, Vec<Proven>>, counted: &[Counted]) -> BTreeMap<Partition, OffsetRange> {
    let counted = by_start(counted);
    proven
        .iter()
        .filter_map(|(partition, rows)| {
            let short = rows.iter().find(|row| {
                let there = counted.get(&(row.partition, row.start_offset)).copied().unwrap_or_default();
                there < RecordCount(row.rows)
            })?;
            Some((*partition, short.range()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_of_overlapping_rows_decides() {
        let check = |newest: &[(u64, u64, u64)], counts: &[(u64, u64)], expected: Option<(u64, u64)>| {
            let newest: Vec<_> = newest
                .iter()
                .map(|(start_offset, end_offset, rows)| Proven {
                    partition: 3,
                    start_offset: *start_offset,
                    end_offset: *end_offset,
                    rows: *rows,
                })
                .collect();
            let counted: Vec<_> = counts
                .iter()
                .map(|(start_offset, unit_rows)| Counted {
                    partition: 3,
                    start_offset: *start_offset,
                    unit_rows: *unit_rows,
                })
                .collect();
            let missing = short(&undisputed(&newest), &counted);
            let missing = missing.get(&Partition(3)).map(|range| (range.start().get(), range.end().get()));
            assert_eq!(missing, expected, "{newest:?} {counts:?}");
        };
        check(&[], &[], None);
        check(&[(10, 20, 10)], &[(10, 10)], None);
        check(&[(10, 20, 10)], &[(10, 11)], None);
        check(&[(10, 20, 10)], &[(10, 9)], Some((10, 20)));
        check(&[(10, 20, 10)], &[], Some((10, 20)));
        check(&[(10, 20, 0)], &[], None);
        // The first in offset, whatever its age.
        check(&[(20, 30, 5), (10, 20, 5)], &[], Some((10, 20)));
        check(&[(20, 30, 5), (10, 20, 5)], &[(10, 5)], Some((20, 30)));
        // The older row counted 10, the newer knows that 6 of the first 8 were skipped.
        check(&[(10, 18, 2), (10, 20, 10)], &[(10, 2)], None);
        check(&[(15, 18, 3), (10, 20, 10)], &[(15, 3)], None);
        check(&[(15, 18, 3), (10, 20, 10)], &[(15, 2)], Some((15, 18)));
    }
}
