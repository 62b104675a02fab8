//! Which units of a partition are there: in the target table, and among the dead letters.
//!
//! Gives a *set*, not a greatest offset: an insert that ended in an error may have left any part of its rows. Final only
//! after a claim and a drain. Asks window by window, so that neither we nor the server hold more than a window of
//! single units; what is kept are runs of adjacent ones.

use std::collections::BTreeMap;

use clickhouse::Row;
use serde::Deserialize;

use crate::clickhouse::{ControlError, LaneTables, Session, Units, sql};
use crate::protocol::facts::Presence;
use crate::types::{Offset, OffsetRange, Partition, PartitionKey, RecordCount, Replay, UnitKind, UnitSet};

/// Runs kept over all partitions of a look. A run takes 16 bytes; a topic of many small transactions has as many runs
/// as records, and so has one whose records make several rows.
pub const LOOK_RUNS_MAX: usize = 2_000_000;
/// Single offsets that one question makes the server group, over all of its partitions.
const WINDOW_OFFSETS: u64 = 4_000_000;
/// The same where a record makes several rows: so many times fewer.
const WINDOW_SHRINKS: u64 = 64;
/// However many partitions there are, each gets windows of at least this size.
const PARTITION_WINDOW_OFFSETS_MIN: u64 = 50_000;

/// A partition to be looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LookFrom {
    /// The partition.
    pub partition: Partition,
    /// The replay.
    pub replay: Replay,
    /// The first offset of interest: where consumption goes on.
    pub from: Offset,
}

/// What a look found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Look {
    /// The units of every partition that was asked for, also where there are none.
    pub presence: BTreeMap<PartitionKey, Presence>,
    /// Rows beyond the first of their offset: a breach of the promise, or somebody else writes our coordinates.
    pub doubled: BTreeMap<PartitionKey, RecordCount>,
}

#[derive(Debug, Row, Deserialize)]
struct Extent {
    unit_partition: i32,
    first: u64,
    last: u64,
}

#[derive(Debug, Row, Deserialize)]
struct Run {
    unit_partition: i32,
    first: u64,
    last: u64,
    unit_rows: u64,
}

#[derive(Debug, Row, Deserialize)]
struct ReplicaState {
    is_readonly: u8,
    is_session_expired: u8,
    parts_to_check: u64,
}

/// Looks which units are there, from each partition's offset on. On a replicated target only after
/// [`parts_are_certain`].
pub async fn look(session: &Session, lane: &LaneTables, partitions: &[LookFrom]) -> Result<Look, ControlError> {
    let mut look = Look::default();
    for from in partitions {
        let rows = UnitSet::empty(lane.coordinates.unit_kind());
        look.presence.insert(lane.key(from.partition), Presence { rows, ..Presence::default() });
    }
    let rows = Scan::new(session, lane, Units::of_targets(lane), partitions).run(LOOK_RUNS_MAX).await?;
    for (partition, found) in rows {
        let key = lane.key(partition);
        if found.doubled.0 > 0 {
            look.doubled.insert(key, found.doubled);
        }
        look.presence.entry(key).or_default().rows = found.units;
    }
    let dead = Scan::new(session, lane, Units::of_dead_letters(lane), partitions).run(LOOK_RUNS_MAX).await?;
    for (partition, found) in dead {
        let key = lane.key(partition);
        if found.doubled.0 > 0 {
            *look.doubled.entry(key).or_default() += found.doubled;
        }
        look.presence.entry(key).or_default().dead = found.units.numbers().clone();
    }
    Ok(look)
}

#[derive(Debug)]
struct Found {
    units: UnitSet,
    doubled: RecordCount,
}

/// The part of a partition that is still to be asked for.
#[derive(Debug, Clone, Copy)]
struct Rest {
    replay: Replay,
    next: Offset,
    last: Offset,
}

struct Scan<'a> {
    session: &'a Session,
    lane: &'a LaneTables,
    units: Units,
    partitions: &'a [LookFrom],
}

impl<'a> Scan<'a> {
    fn new(session: &'a Session, lane: &'a LaneTables, units: Units, partitions: &'a [LookFrom]) -> Self {
        Self { session, lane, units, partitions }
    }

    async fn run(&self, runs_max: usize) -> Result<BTreeMap<Partition, Found>, ControlError> {
        let mut found: BTreeMap<Partition, Found> = BTreeMap::new();
        let mut runs = 0;
        let mut rest = self.extents(self.partitions).await?;
        while !rest.is_empty() {
            let windows = windows(&rest, self.units.kind());
            let answer = self.runs_within(&windows, &rest, runs_max).await?;
            if answer.len() > runs_max {
                return Err(self.too_many_runs(runs_max));
            }
            let mut empty: BTreeMap<Partition, OffsetRange> = windows.clone();
            for run in answer {
                let partition = Partition(run.unit_partition);
                empty.remove(&partition);
                let found = found.entry(partition).or_insert_with(|| {
                    let units = UnitSet::empty(self.units.kind());
                    Found { units, doubled: RecordCount(0) }
                });
                let before = found.units.numbers().runs();
                found.units.insert_numbers(run.first, run.last);
                found.doubled += RecordCount(run.unit_rows.saturating_sub(run.last - run.first + 1));
                runs += found.units.numbers().runs() - before;
            }
            if runs > runs_max {
                return Err(self.too_many_runs(runs_max));
            }
            rest = self.advance(rest, &windows, &empty).await?;
        }
        Ok(found)
    }

    /// Where the units of each partition begin and end.
    async fn extents(&self, partitions: &[LookFrom]) -> Result<BTreeMap<Partition, Rest>, ControlError> {
        if partitions.is_empty() {
            return Ok(BTreeMap::new());
        }
        let replays: BTreeMap<Partition, Replay> =
            partitions.iter().map(|from| (from.partition, from.replay)).collect();
        let behind = |one: &LookFrom| (one.partition, one.replay, OffsetRange::new(one.from, Offset::new(u64::MAX)));
        let conditions = self.units.any_within(&partitions.iter().map(behind).collect::<Vec<_>>());
        let extents: Vec<Extent> = self
            .session
            .fetch(
                "looking for the extent of rows",
                &format!(
                    "SELECT toInt32({}) AS unit_partition, toUInt64(min({offset})) AS first, \
                     toUInt64(max({offset})) AS last {} GROUP BY unit_partition",
                    self.units.partition,
                    self.units.table_where(&conditions),
                    offset = self.units.offset,
                ),
            )
            .await?;
        Ok(extents
            .into_iter()
            .filter_map(|extent| {
                let partition = Partition(extent.unit_partition);
                let rest = Rest {
                    replay: *replays.get(&partition)?,
                    next: Offset::new(extent.first),
                    last: Offset::new(extent.last),
                };
                Some((partition, rest))
            })
            .collect())
    }

    /// The runs of adjacent units in each partition's window: a run's units all differ from their place in order by the
    /// same.
    async fn runs_within(
        &self,
        windows: &BTreeMap<Partition, OffsetRange>,
        rest: &BTreeMap<Partition, Rest>,
        runs_max: usize,
    ) -> Result<Vec<Run>, ControlError> {
        let ranges: Vec<_> =
            windows.iter().map(|(partition, window)| (*partition, rest[partition].replay, *window)).collect();
        let conditions = self.units.any_within(&ranges);
        self.session
            .fetch(
                "looking for rows",
                &format!(
                    "SELECT unit_partition, min(unit_number) AS first, max(unit_number) AS last, \
                     sum(number_rows) AS unit_rows FROM (\
                     SELECT unit_partition, unit_number, number_rows, \
                     unit_number - row_number() OVER (PARTITION BY unit_partition ORDER BY unit_number) AS run FROM (\
                     SELECT toInt32({}) AS unit_partition, {} AS unit_number, count() AS number_rows \
                     {} GROUP BY unit_partition, unit_number)) \
                     GROUP BY unit_partition, run ORDER BY unit_partition, first LIMIT {}",
                    self.units.partition,
                    self.units.number(),
                    self.units.table_where(&conditions),
                    // One more than may be: a cut answer must be seen as one.
                    runs_max + 1,
                ),
            )
            .await
    }

    /// Goes on behind the windows. Where a window was empty, asks where the next row is, so that a hole of any size
    /// costs one question.
    async fn advance(
        &self,
        rest: BTreeMap<Partition, Rest>,
        windows: &BTreeMap<Partition, OffsetRange>,
        empty: &BTreeMap<Partition, OffsetRange>,
    ) -> Result<BTreeMap<Partition, Rest>, ControlError> {
        let mut next = BTreeMap::new();
        let mut jumps = Vec::new();
        for (partition, mut left) in rest {
            left.next = windows[&partition].end();
            if left.next > left.last {
                continue;
            }
            if empty.contains_key(&partition) {
                jumps.push(LookFrom { partition, replay: left.replay, from: left.next });
            } else {
                next.insert(partition, left);
            }
        }
        next.extend(self.extents(&jumps).await?);
        Ok(next)
    }

    fn too_many_runs(&self, runs_max: usize) -> ControlError {
        ControlError::Unusable {
            what: format!(
                "the rows of topic {} in {} above the committed offsets fall into more than {runs_max} separate runs \
                 of them, more than a takeover keeps in memory",
                self.lane.cell.topic,
                sql::joined(&self.units.tables, ", ")
            ),
            fix: "move the group's offsets nearer to the end of the rows that are there".to_owned(),
        }
    }
}

/// The next window of each partition; together they stay near the bound of single offsets.
fn windows(rest: &BTreeMap<Partition, Rest>, kind: UnitKind) -> BTreeMap<Partition, OffsetRange> {
    let partitions = u64::try_from(rest.len()).expect("partitions are counted in 31 bits");
    let size = (WINDOW_OFFSETS / partitions.max(1)).max(PARTITION_WINDOW_OFFSETS_MIN);
    let size = match kind {
        UnitKind::Record => size,
        UnitKind::Row => size / WINDOW_SHRINKS,
    };
    rest.iter()
        .map(|(partition, left)| {
            let end = left.next.get().saturating_add(size).min(left.last.get() + 1);
            (*partition, OffsetRange::new(left.next, Offset::new(end)))
        })
        .collect()
}

/// Whether no part of a replicated target is uncertain. After a lost answer of keeper a part is visible at once and
/// may vanish up to 300 s later (F5): no look before this is true.
pub async fn parts_are_certain(session: &Session, lane: &LaneTables) -> Result<bool, ControlError> {
    let targets = lane.targets().map(|table| {
        format!("(database = {} AND table = {})", sql::string(&table.database), sql::string(&table.table))
    });
    let replicas: Vec<ReplicaState> = session
        .fetch(
            "asking whether all parts are certain",
            &format!(
                "SELECT toUInt8(is_readonly) AS is_readonly, toUInt8(is_session_expired) AS is_session_expired, \
                 toUInt64(parts_to_check) AS parts_to_check FROM system.replicas WHERE {}",
                sql::joined(targets, " OR ")
            ),
        )
        .await?;
    Ok(matches!(replicas.as_slice(), [replica] if is_certain(replica)))
}

const fn is_certain(replica: &ReplicaState) -> bool {
    replica.is_readonly == 0 && replica.is_session_expired == 0 && replica.parts_to_check == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_bounded_and_end_with_the_last_row() {
        let check = |kind, rest: &[(i32, u64, u64)], expected: &[(i32, u64, u64)]| {
            let rest = rest
                .iter()
                .map(|(partition, next, last)| {
                    let rest = Rest { replay: Replay(0), next: Offset::new(*next), last: Offset::new(*last) };
                    (Partition(*partition), rest)
                })
                .collect();
            let windows: Vec<_> = windows(&rest, kind)
                .into_iter()
                .map(|(partition, range)| (partition.0, range.start().get(), range.end().get()))
                .collect();
            assert_eq!(windows, expected);
        };
        let record = UnitKind::Record;
        check(record, &[], &[]);
        check(record, &[(0, 5, 5)], &[(0, 5, 6)]);
        check(record, &[(0, 5, 9_000_000)], &[(0, 5, 4_000_005)]);
        check(record, &[(0, 0, 9_000_000), (3, 7, 8)], &[(0, 0, 2_000_000), (3, 7, 9)]);
        check(UnitKind::Row, &[(0, 5, 9_000_000)], &[(0, 5, 62_505)]);
    }

    #[test]
    fn parts_are_certain_when_nothing_is_in_doubt() {
        let check = |is_readonly, is_session_expired, parts_to_check, expected| {
            let replica = ReplicaState { is_readonly, is_session_expired, parts_to_check };
            assert_eq!(is_certain(&replica), expected, "{replica:?}");
        };
        check(0, 0, 0, true);
        check(1, 0, 0, false);
        check(0, 1, 0, false);
        check(0, 0, 1, false);
    }
}
