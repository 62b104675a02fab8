//! Where the units of a partition can be found: the target table and the dead letters, asked in the same way.

use std::collections::BTreeSet;

use super::names::{LaneTables, TableName};
use super::sql;
use crate::types::{Offset, OffsetRange, OffsetSet, Partition, ROW_BITS, Replay, UnitKind};

/// So many ranges are asked for singly; above, in one condition.
const SINGLY_MAX: usize = 8;
/// The most windows of offsets that an index is asked for.
const WINDOWS_MAX: usize = 8;

/// Tables that have together one row per unit, and the columns that say which.
#[derive(Debug, Clone)]
pub(crate) struct Units {
    pub(crate) tables: Vec<TableName>,
    /// Selects the lane's rows among those of others.
    pub(crate) condition: String,
    /// Quoted, like those below.
    pub(crate) partition: String,
    pub(crate) offset: String,
    /// Which row of its record, where records make several.
    pub(crate) row: Option<String>,
    pub(crate) replay: Option<String>,
    /// What is computed of each row besides, by table, and comes as [`COMPUTED`]; empty for nothing.
    pub(crate) computed: Vec<String>,
}

/// The name of what is computed of each row, where there are several tables.
pub(crate) const COMPUTED: &str = "oncesink_computed";

impl Units {
    /// The rows of the target tables.
    pub(crate) fn of_targets(lane: &LaneTables) -> Self {
        let columns = &lane.coordinates;
        Self {
            tables: lane.targets().cloned().collect(),
            condition: format!("{} = {}", sql::identifier(&columns.topic), sql::string(&lane.cell.topic)),
            partition: sql::identifier(&columns.partition),
            offset: sql::identifier(&columns.offset),
            row: columns.row.as_deref().map(sql::identifier),
            replay: columns.replay.as_deref().map(sql::identifier),
            computed: Vec::new(),
        }
    }

    /// The dead letters of this connector, target and topic, and of no other.
    pub(crate) fn of_dead_letters(lane: &LaneTables) -> Self {
        Self {
            tables: vec![lane.state.dead_letters()],
            condition: lane.cell.dead_letter_condition(),
            partition: sql::identifier("kafka_partition"),
            offset: sql::identifier("kafka_offset"),
            // A record becomes one as a whole.
            row: None,
            replay: Some(sql::identifier("replay")),
            computed: Vec::new(),
        }
    }

    /// What a unit is here.
    pub(crate) fn kind(&self) -> UnitKind {
        if self.row.is_some() { UnitKind::Row } else { UnitKind::Record }
    }

    /// The expression of a unit's number, as `UnitSet` counts. Never a condition: no index knows it.
    pub(crate) fn number(&self) -> String {
        match &self.row {
            None => format!("toUInt64({})", self.offset),
            Some(row) => format!("bitShiftLeft(toUInt64({}), {ROW_BITS}) + toUInt64({row})", self.offset),
        }
    }

    /// The condition of the units of a partition within `range`.
    pub(crate) fn within(&self, partition: Partition, replay: Replay, range: OffsetRange) -> String {
        let Self { offset, .. } = self;
        format!(
            "({} AND {offset} >= {} AND {offset} < {})",
            self.of_partition(partition, replay),
            range.start(),
            range.end(),
        )
    }

    /// Conditions, one of which holds for the units of these ranges: one for each range, or, where there are many partitions,
    /// a single one that the server can analyse in a fraction of the time. Windows of offsets around all ranges come first
    /// in that, because an index on offsets knows nothing of partitions.
    pub(crate) fn any_within(&self, ranges: &[(Partition, Replay, OffsetRange)]) -> Vec<String> {
        let partitions: BTreeSet<Partition> = ranges.iter().map(|(partition, _, _)| *partition).collect();
        let offsets: OffsetSet = ranges.iter().map(|(_, _, range)| *range).collect();
        // Ranges that hold nothing have no window.
        if ranges.len() <= SINGLY_MAX || partitions.len() < ranges.len() || offsets.is_empty() {
            return ranges.iter().map(|(partition, replay, range)| self.within(*partition, *replay, *range)).collect();
        }
        let Self { partition, offset, .. } = self;
        let windows = windows_around(&offsets);
        let windows =
            windows.iter().map(|window| format!("({offset} >= {} AND {offset} < {})", window.start(), window.end()));
        // A partition that is not asked for begins behind every offset.
        let starts = ranges.iter().map(|(partition, _, range)| (partition, range.start()));
        let ends = ranges.iter().map(|(partition, _, range)| (partition, range.end()));
        let mut condition = format!(
            "(({}) AND {offset} >= {} AND {offset} < {}",
            sql::joined(windows, " OR "),
            sql::lookup(partition, starts, u64::MAX),
            sql::lookup(partition, ends, 0),
        );
        if let Some(column) = &self.replay {
            let replays = ranges.iter().map(|(partition, replay, _)| (partition, replay));
            condition += &format!(" AND {column} = {}", sql::lookup(partition, replays, 0));
        }
        vec![condition + ")"]
    }

    /// The condition of the units of a partition from an offset on.
    pub(crate) fn from(&self, partition: Partition, replay: Replay, from: Offset) -> String {
        format!("({} AND {} >= {from})", self.of_partition(partition, replay), self.offset,)
    }

    /// The condition of all units of a partition.
    pub(crate) fn of_partition(&self, partition: Partition, replay: Replay) -> String {
        match &self.replay {
            Some(column) => format!("{} = {partition} AND {column} = {replay}", self.partition),
            None => format!("{} = {partition}", self.partition),
        }
    }

    /// `FROM .. WHERE ..` for any of the given conditions.
    pub(crate) fn table_where(&self, any_of: &[String]) -> String {
        let any_of = any_of.join(" OR ");
        let of_one = |table: &TableName| format!("FROM {} WHERE {} AND ({any_of})", table.quoted(), self.condition);
        match self.tables.as_slice() {
            [table] => of_one(table),
            several => {
                let columns = [Some(&self.partition), Some(&self.offset), self.row.as_ref(), self.replay.as_ref()];
                let columns = sql::joined(columns.into_iter().flatten(), ", ");
                let computed = self.computed.iter().map(|expression| format!(", {expression} AS {COMPUTED}"));
                let computed = computed.map(Some).chain(std::iter::repeat(None));
                let each = several.iter().zip(computed).map(|(table, computed)| {
                    format!("SELECT {columns}{} {}", computed.unwrap_or_default(), of_one(table))
                });
                format!("FROM ({}) WHERE 1", sql::joined(each, " UNION ALL "))
            }
        }
    }
}

/// A few windows that hold all these offsets, parted where the gaps between them are widest.
fn windows_around(offsets: &OffsetSet) -> Vec<OffsetRange> {
    let ranges = offsets.ranges();
    let mut gaps: Vec<u64> = ranges.windows(2).map(|pair| pair[1].start().get() - pair[0].end().get()).collect();
    gaps.sort_unstable_by(|a, b| b.cmp(a));
    // Gaps as wide as the first that is one too many are closed, so that equal ones do not exceed the bound.
    let Some(closed) = gaps.get(WINDOWS_MAX - 1).copied() else { return ranges.to_vec() };
    let mut windows: Vec<OffsetRange> = Vec::new();
    for range in ranges {
        match windows.last_mut() {
            Some(last) if range.start().get() - last.end().get() <= closed => {
                *last = OffsetRange::new(last.start(), range.end());
            }
            _ => windows.push(*range),
        }
    }
    windows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_hold_all_ranges_and_are_few() {
        let check = |ranges: &[(u64, u64)], expected: &[(u64, u64)]| {
            let range = |(start, end): &(u64, u64)| OffsetRange::new(Offset::new(*start), Offset::new(*end));
            let windows = windows_around(&ranges.iter().map(range).collect());
            assert_eq!(windows, expected.iter().map(range).collect::<Vec<_>>(), "{ranges:?}");
        };
        check(&[], &[]);
        check(&[(5, 9)], &[(5, 9)]);
        check(&[(20, 30), (5, 9), (9, 12), (6, 7)], &[(5, 12), (20, 30)]);
        // Nine ranges: the narrowest gap is closed.
        let nine: Vec<(u64, u64)> = (0..9).map(|n| (100 * n, 100 * n + 10 + n)).collect();
        let mut expected = nine[..7].to_vec();
        expected.push((700, 818));
        check(&nine, &expected);
        // Ten at the same distance: one window, not nine.
        let ten: Vec<(u64, u64)> = (0..10).map(|n| (100 * n, 100 * n + 10)).collect();
        check(&ten, &[(0, 910)]);
    }

    #[test]
    fn several_tables_are_asked_as_one() {
        let check = |tables: &[&str], computed: &[&str], expected: &str| {
            let units = Units {
                tables: tables.iter().map(|table| TableName::new("db", *table)).collect(),
                condition: "`t` = 'x'".to_owned(),
                partition: "`p`".to_owned(),
                offset: "`o`".to_owned(),
                row: Some("`r`".to_owned()),
                replay: None,
                computed: computed.iter().map(|expression| (*expression).to_owned()).collect(),
            };
            assert_eq!(units.table_where(&["a".to_owned(), "b".to_owned()]), expected);
        };
        check(&["u"], &[], "FROM `db`.`u` WHERE `t` = 'x' AND (a OR b)");
        check(
            &["u", "v"],
            &[],
            "FROM (SELECT `p`, `o`, `r` FROM `db`.`u` WHERE `t` = 'x' AND (a OR b) UNION ALL \
             SELECT `p`, `o`, `r` FROM `db`.`v` WHERE `t` = 'x' AND (a OR b)) WHERE 1",
        );
        check(
            &["u", "v"],
            &["1", "2"],
            "FROM (SELECT `p`, `o`, `r`, 1 AS oncesink_computed FROM `db`.`u` WHERE `t` = 'x' AND (a OR b) UNION ALL \
             SELECT `p`, `o`, `r`, 2 AS oncesink_computed FROM `db`.`v` WHERE `t` = 'x' AND (a OR b)) WHERE 1",
        );
    }

    #[test]
    fn ranges_without_offsets_are_asked_for_singly() {
        let units = Units {
            tables: vec![TableName::new("db", "t")],
            condition: "1".to_owned(),
            partition: "`p`".to_owned(),
            offset: "`o`".to_owned(),
            row: None,
            replay: None,
            computed: Vec::new(),
        };
        let check = |end_of_last: u64, conditions: usize| {
            let range = |n: i32| OffsetRange::new(Offset::new(7), Offset::new(if n == 8 { end_of_last } else { 7 }));
            let ranges: Vec<_> = (0..9).map(|n| (Partition(n), Replay(0), range(n))).collect();
            let asked = units.any_within(&ranges);
            assert_eq!(asked.len(), conditions, "{asked:?}");
            assert!(asked.iter().all(|condition| !condition.contains("()")), "{asked:?}");
        };
        check(7, 9);
        check(8, 1);
    }
}
