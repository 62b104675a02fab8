//! What ClickHouse holds, in sums per window: one statement reads a long stretch of all partitions once, whatever order
//! the table is in, and answers with a few numbers for each window.

use std::collections::BTreeMap;

use clickhouse::Row;
use serde::Deserialize;

use super::compare::Window;
use super::contents::DEAD_LETTER_HASH;
use super::stored::{Kind, StoredSide};
use super::subject::Subject;
use super::sums::Sums;
use crate::cli::connect::CommandError;
use crate::clickhouse::{ControlError, Units};
use crate::types::{Offset, OffsetRange, Partition, Replay, TargetNumber};

/// Offsets that one statement asks about, in all partitions together: bounds its time.
const STRETCH_OFFSETS: u64 = 1 << 28;
/// The same where every column is read.
const STRETCH_OFFSETS_WITH_CONTENTS: u64 = 1 << 24;

/// Sums of windows that are not compared yet.
#[derive(Debug)]
pub(super) struct Survey {
    window_offsets: u64,
    /// The expression of a row's hash, where contents are compared.
    row_hash: Option<String>,
    /// Up to where each partition is surveyed.
    reached: BTreeMap<Partition, Offset>,
    found: BTreeMap<(Partition, u64), BySide>,
}

/// What the two tables hold of a window.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct BySide {
    pub(super) rows: Sums,
    pub(super) dead: Sums,
}

#[derive(Debug, Row, Deserialize)]
struct SumsRow {
    in_partition: i32,
    in_window: u64,
    units: u64,
    offsets: u64,
    contents: u64,
}

impl Survey {
    /// For windows of so many offsets.
    pub(super) fn new(window_offsets: u64, row_hash: Option<String>) -> Self {
        Self { window_offsets, row_hash, reached: BTreeMap::new(), found: BTreeMap::new() }
    }

    /// The expression of a unit's contents' hash, where contents are compared.
    pub(super) fn hash_of(&self, kind: Kind) -> Option<&str> {
        let row_hash = self.row_hash.as_deref()?;
        Some(match kind {
            Kind::Rows => row_hash,
            Kind::DeadLetters => DEAD_LETTER_HASH,
        })
    }

    /// The sums of a window, which is forgotten with this. Windows of a partition are asked for in order.
    pub(super) async fn window(
        &mut self,
        stored: &StoredSide<'_>,
        subjects: &BTreeMap<Partition, Subject>,
        partition: Partition,
        window: &Window,
    ) -> Result<BySide, CommandError> {
        if self.reached.get(&partition).is_none_or(|reached| *reached < window.range.end()) {
            self.advance(stored, subjects).await?;
        }
        let number = window.range.start().get() / self.window_offsets;
        Ok(self.found.remove(&(partition, number)).unwrap_or_default())
    }

    /// Surveys the next stretch of every partition.
    async fn advance(
        &mut self,
        stored: &StoredSide<'_>,
        subjects: &BTreeMap<Partition, Subject>,
    ) -> Result<(), CommandError> {
        let stretch = if self.row_hash.is_some() { STRETCH_OFFSETS_WITH_CONTENTS } else { STRETCH_OFFSETS };
        let mut ranges = Vec::new();
        let waiting = subjects.iter().filter(|(partition, subject)| {
            self.reached.get(partition).copied().unwrap_or(subject.range.start()) < subject.range.end()
        });
        let waiting: Vec<_> = waiting.collect();
        let share = stretch / u64::try_from(waiting.len().max(1)).expect("partitions are counted in 31 bits");
        for (partition, subject) in waiting {
            let start = self.reached.get(partition).copied().unwrap_or(subject.range.start());
            let end = share_end(start, share, self.window_offsets).min(subject.range.end());
            ranges.push((*partition, subject.replay, OffsetRange::new(start, end)));
        }
        for kind in [Kind::Rows, Kind::DeadLetters] {
            let sums = stored.sums(kind, self.window_offsets, self.hash_of(kind), &ranges).await;
            for (partition, window, sums) in super::or_nothing(kind, sums)?.unwrap_or_default() {
                let side = self.found.entry((partition, window)).or_default();
                match kind {
                    Kind::Rows => side.rows = sums,
                    Kind::DeadLetters => side.dead = sums,
                }
            }
        }
        self.reached.extend(ranges.iter().map(|(partition, _, range)| (*partition, range.end())));
        Ok(())
    }
}

/// The last boundary of windows within `share` offsets; at least one window is taken.
fn share_end(start: Offset, share: u64, window_offsets: u64) -> Offset {
    let windows = (share / window_offsets).max(1);
    Offset::new((start.get() / window_offsets + windows) * window_offsets)
}

impl StoredSide<'_> {
    /// The sums of each window that holds any unit of these ranges.
    async fn sums(
        &self,
        kind: Kind,
        window_offsets: u64,
        contents: Option<&str>,
        ranges: &[(Partition, Replay, OffsetRange)],
    ) -> Result<Vec<(Partition, u64, Sums)>, ControlError> {
        let units = self.units(kind);
        let within = units.any_within(ranges);
        let hashed = contents.map_or_else(String::new, |contents| format!(", {contents} AS oncesink_unit_hash"));
        let statement = format!(
            "SELECT oncesink_unit_partition AS in_partition, intDiv(oncesink_unit_offset, {window_offsets}) AS in_window, \
             {} FROM (SELECT toInt32({}) AS oncesink_unit_partition, toUInt64({}) AS oncesink_unit_offset, \
             {} AS oncesink_unit_number{hashed} {}) GROUP BY in_partition, in_window",
            Sums::sql("oncesink_unit_number", contents.map(|_| "oncesink_unit_hash")),
            units.partition,
            units.offset,
            units.number(),
            units.table_where(&within),
        );
        let rows: Vec<SumsRow> = self.session.fetch("adding up windows", &statement).await?;
        let sums = |row: &SumsRow| Sums { units: row.units, offsets: row.offsets, contents: row.contents };
        Ok(rows.iter().map(|row| (Partition(row.in_partition), row.in_window, sums(row))).collect())
    }

    /// Offset and hash of each unit of a window.
    pub(super) async fn hashes(
        &self,
        kind: Kind,
        contents: &str,
        partition: Partition,
        replay: Replay,
        range: OffsetRange,
    ) -> Result<Vec<(u64, u64)>, ControlError> {
        let units = self.units(kind);
        let statement = format!(
            "SELECT toUInt64({}) AS oncesink_unit_offset, {contents} AS oncesink_unit_hash {}",
            units.offset,
            units.table_where(&[units.within(partition, replay, range)]),
        );
        self.session.fetch("comparing the contents of a window", &statement).await
    }
}

#[derive(Debug, Row, Deserialize)]
struct ColumnHashes {
    hashes: Vec<u64>,
}

impl StoredSide<'_> {
    /// The hashes of the columns of one row of a table, which `hashes` is the expression of.
    pub(super) async fn column_hashes(
        &self,
        target: TargetNumber,
        hashes: &str,
        partition: Partition,
        replay: Replay,
        offset: Offset,
    ) -> Result<Option<Vec<u64>>, ControlError> {
        let table = self.lane.target(target).clone();
        let units = Units { tables: vec![table], ..self.units(Kind::Rows) };
        let here = units.within(partition, replay, OffsetRange::new(offset, offset.next()));
        let statement = format!("SELECT {hashes} AS hashes {} LIMIT 1", units.table_where(&[here]));
        let rows: Vec<ColumnHashes> = self.session.fetch("looking for the columns that differ", &statement).await?;
        Ok(rows.into_iter().next().map(|row| row.hashes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches_end_between_windows() {
        let check = |start: u64, share: u64, expected: u64| {
            assert_eq!(share_end(Offset::new(start), share, 64), Offset::new(expected), "{start} {share}");
        };
        check(0, 640, 640);
        check(0, 650, 640);
        check(5, 640, 640);
        check(64, 64, 128);
        check(70, 1, 128);
    }
}
