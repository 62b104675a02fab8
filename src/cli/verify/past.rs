//! Rows that were written before their table was altered, and hold what the table was then.
//!
//! A column that was added since shows its default in such rows, whatever their records say; a column whose default was
//! changed since keeps the old one in rows whose records lack the field. Both are told from faults by three things
//! together: the ledger says that the rows may be older than the table's last ALTER; the default of today stands on one
//! side; and it is so for a partition's first rows only: behind one in which the column is right it is a fault.

use std::collections::{BTreeMap, BTreeSet};

use clickhouse::Row;
use serde::Deserialize;

use super::compare::Spots;
use super::contents::{ContentsPlan, RowByColumn};
use super::report::PartitionReport;
use super::stored::{Kind, StoredSide};
use super::subject::Subject;
use super::{Verification, or_unknown, records};
use crate::cli::connect::CommandError;
use crate::clickhouse::{ControlError, LaneTables, Session, Units, sql};
use crate::source::observer::Observer;
use crate::types::{Offset, OffsetRange, Partition, Replay, TargetNumber};

/// A block is in the table before the ledger tells of it, and the time of an ALTER is known to a second.
const LEDGER_LAG_S: u32 = 10;

/// Up to where rows may be older than the last ALTER of their table.
#[derive(Debug, Default)]
pub(super) struct Past {
    until: BTreeMap<(Partition, Replay), Told>,
    altered_at: u32,
}

/// What the ledger tells of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Row, Deserialize)]
struct Told {
    in_partition: i32,
    in_replay: u32,
    /// When the first of its rows was written.
    first_s: u32,
    first_offset: u64,
    /// Where the rows begin that were written after the last ALTER.
    after: u64,
    rows_after: u64,
}

impl Past {
    /// Asks when the lane's tables were altered, and what the ledger has from before.
    pub(super) async fn read(session: &Session, lane: &LaneTables) -> Result<Self, ControlError> {
        let doing = "asking what is older than the table's last alter";
        let pairs =
            lane.targets().map(|table| format!("({}, {})", sql::string(&table.database), sql::string(&table.table)));
        let question = format!(
            "SELECT toUInt32(max(metadata_modification_time)) AS altered_at FROM system.tables WHERE (database, name) IN ({})",
            sql::joined(pairs, ", ")
        );
        let altered_at: Vec<u32> = session.fetch(doing, &question).await?;
        let altered_at = altered_at.first().copied().unwrap_or_default();
        let after = format!("toUInt32(toDateTime(inserted_at)) > {}", altered_at.saturating_add(LEDGER_LAG_S));
        let question = format!(
            "SELECT `partition` AS in_partition, replay AS in_replay, toUInt32(toDateTime(min(inserted_at))) AS first_s, \
             min(start_offset) AS first_offset, minIf(start_offset, {after}) AS after, countIf({after}) AS rows_after \
             FROM {} WHERE {} GROUP BY in_partition, in_replay",
            lane.state.ledger().quoted(),
            lane.cell.condition(),
        );
        let told: Vec<Told> = session.fetch(doing, &question).await?;
        let until = told.into_iter().map(|told| ((Partition(told.in_partition), Replay(told.in_replay)), told));
        Ok(Self { until: until.collect(), altered_at })
    }

    /// The offset below which rows of a partition may be older than the last ALTER; `None` where none may.
    pub(super) fn until(&self, subject: &Subject) -> Option<Offset> {
        let told = self.until.get(&(subject.partition, subject.replay))?;
        told.until(self.altered_at, subject.range)
    }
}

impl Told {
    fn until(self, altered_at: u32, compared: OffsetRange) -> Option<Offset> {
        // A table is not made after it was written to.
        if altered_at > self.first_s {
            return Some(if self.rows_after > 0 { Offset::new(self.after) } else { compared.end() });
        }
        // Of what lies below the ledger's first row nothing is known.
        let first = Offset::new(self.first_offset);
        (first > compared.start()).then_some(first)
    }
}

/// A row, column by column.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sides<'a> {
    /// What its record says.
    pub(super) expected: &'a [u64],
    /// What the column's default is now.
    pub(super) defaults: &'a [u64],
    /// Whether the record lacks the column.
    pub(super) lacking: &'a [bool],
    /// What the table holds.
    pub(super) stored: &'a [u64],
}

/// What the rows of a partition have shown so far, in the order of their offsets, for each compared column of a table.
#[derive(Debug, Clone)]
pub(super) struct Shown {
    /// The column was there: a row holds a value of its record that is not the default.
    was_there: Vec<bool>,
    /// The default was today's: a row without a value holds it.
    had_default: Vec<bool>,
}

impl Shown {
    pub(super) fn new(columns: usize) -> Self {
        Self { was_there: vec![false; columns], had_default: vec![false; columns] }
    }

    /// Takes a row in. Gives the columns that differ, and whether all of them are of the time before an ALTER.
    pub(super) fn judge(&mut self, row: Sides<'_>, may_be_older: bool) -> (Vec<usize>, bool) {
        let (mut differing, mut is_older) = (Vec::new(), may_be_older);
        for column in 0..self.was_there.len() {
            let (expected, default, stored) = (row.expected[column], row.defaults[column], row.stored[column]);
            if expected != stored {
                let was_added = stored == default && !self.was_there[column];
                let was_changed = row.lacking[column] && !self.had_default[column];
                is_older &= was_added || was_changed;
                differing.push(column);
            } else if row.lacking[column] {
                self.had_default[column] = true;
            } else if stored != default {
                self.was_there[column] = true;
            }
        }
        (differing, is_older)
    }
}

#[derive(Debug, Row, Deserialize)]
struct StoredRow {
    oncesink_unit_offset: u64,
    hashes: Vec<u64>,
}

impl StoredSide<'_> {
    /// The hashes of the columns of each row of a table within a range, in the order of offsets. `hashes` is their expression.
    pub(super) async fn column_hashes_within(
        &self,
        target: TargetNumber,
        hashes: &str,
        partition: Partition,
        replay: Replay,
        range: OffsetRange,
    ) -> Result<Vec<(u64, Vec<u64>)>, ControlError> {
        let table = self.lane.target(target).clone();
        let units = Units { tables: vec![table], ..self.units(Kind::Rows) };
        let statement = format!(
            "SELECT toUInt64({}) AS oncesink_unit_offset, {hashes} AS hashes {} ORDER BY oncesink_unit_offset",
            units.offset,
            units.table_where(&[units.within(partition, replay, range)]),
        );
        let rows: Vec<StoredRow> = self.session.fetch("comparing the columns of rows", &statement).await?;
        Ok(rows.into_iter().map(|row| (row.oncesink_unit_offset, row.hashes)).collect())
    }
}

impl Verification<'_> {
    /// Takes rows that are older than the last ALTER of their table out of the findings: of partitions with altered rows all
    /// records are read again for it.
    pub(super) async fn excuse_the_past(
        &self,
        observer: &mut Observer,
        subjects: &BTreeMap<Partition, Subject>,
        reports: &mut BTreeMap<Partition, PartitionReport>,
    ) -> Result<(), CommandError> {
        let Some(contents) = self.contents_by_record() else { return Ok(()) };
        if reports.values().all(|report| report.tally.altered.is_empty()) {
            return Ok(());
        }
        let past = or_unknown(Past::read(self.session, self.lane).await)?.unwrap_or_default();
        for (partition, subject) in subjects {
            let report = reports.get_mut(partition).expect("every subject has a report");
            // Rows that changed places are no matter of columns.
            let is_judged = !report.tally.altered.is_empty() && report.tally.swapped.is_empty();
            let Some(until) = past.until(subject).filter(|_| is_judged) else { continue };
            self.judge_by_column(observer, contents, subject, until, report).await?;
        }
        Ok(())
    }

    /// The same of one partition, whose rows below `until` may be so old.
    async fn judge_by_column(
        &self,
        observer: &mut Observer,
        contents: &ContentsPlan,
        subject: &Subject,
        until: Offset,
        report: &mut PartitionReport,
    ) -> Result<(), CommandError> {
        let topic = &self.lane.cell.topic;
        let (mut hasher, stored) = (contents.hasher(), self.stored());
        let targets = || contents.tables().iter().zip(0..).map(|(_, number)| TargetNumber(number));
        let mut shown: Vec<Shown> = targets().map(|target| Shown::new(contents.names(target).count())).collect();
        let (mut faults, mut older, mut columns, mut last) = (Spots::default(), 0_u64, BTreeSet::new(), None);
        let mut rest = subject.range;
        while !rest.is_empty() && older + faults.count < report.tally.altered.count {
            let (records, reached) = records::some_records(observer, topic, subject.partition, rest)?;
            let range = OffsetRange::new(rest.start(), reached);
            let mut rows: BTreeMap<(u64, usize), Vec<Vec<u64>>> = BTreeMap::new();
            for target in targets() {
                let hashes = contents.column_hashes(target);
                let found =
                    stored.column_hashes_within(target, &hashes, subject.partition, subject.replay, range).await?;
                for (offset, hashes) in found {
                    rows.entry((offset, target.index())).or_default().push(hashes);
                }
            }
            for record in &records {
                let (Some(row), Some(offset)) = (hasher.columns(&record.record(topic)), record.offset()) else {
                    continue;
                };
                let RowByColumn { target, hashes: expected, defaults, lacking } = row;
                for stored in rows.get(&(offset.get(), target.index())).into_iter().flatten() {
                    let row = Sides { expected: &expected, defaults: &defaults, lacking: &lacking, stored };
                    let (differing, is_older) = shown[target.index()].judge(row, offset < until);
                    if differing.is_empty() {
                        continue;
                    }
                    if is_older {
                        older += 1;
                        last = Some(offset);
                        columns
                            .extend(contents.names(target).enumerate().filter(|(place, _)| differing.contains(place)));
                    } else {
                        faults.add(offset);
                    }
                }
            }
            rest = OffsetRange::new(reached, rest.end());
        }
        if let Some(last) = last {
            let columns: Vec<&str> = columns.into_iter().map(|(_, name)| name).collect();
            report.notes.push(format!(
                "{older} rows up to offset {last} hold another value in {} than their records say, or lack it: they were written before the \
                 table was altered, and the column's default of then or of today stands there",
                columns.join(", ")
            ));
            report.tally.altered = faults;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows as expected, default and stored value of one column; gives which of them are of the past, and which are faults.
    fn check(rows: &[(u64, u64, u64)], expected: &str) {
        let mut shown = Shown::new(1);
        let said: String = rows
            .iter()
            .map(|(expected, default, stored)| {
                let lacking = [expected == default];
                let row =
                    Sides { expected: &[*expected], defaults: &[*default], lacking: &lacking, stored: &[*stored] };
                match shown.judge(row, true) {
                    (differing, _) if differing.is_empty() => '.',
                    (_, true) => 'o',
                    (_, false) => 'X',
                }
            })
            .collect();
        assert_eq!(said, expected, "{rows:?}");
    }

    #[test]
    fn what_a_table_was_is_told_from_a_fault() {
        // A column that was added: its default, until it holds what records say.
        check(&[(5, 7, 7), (7, 7, 7), (6, 7, 7), (8, 7, 8), (9, 7, 9)], "o.o..");
        check(&[(5, 7, 7), (8, 7, 8), (6, 7, 7)], "o.X");
        // A default that was changed: another value, until it is today's.
        check(&[(7, 7, 1), (3, 7, 3), (7, 7, 1), (7, 7, 7), (4, 7, 4)], "o.o..");
        check(&[(7, 7, 1), (7, 7, 7), (7, 7, 1)], "o.X");
        // Neither side is the default.
        check(&[(5, 7, 6)], "X");
        let mut shown = Shown::new(2);
        let row = Sides { expected: &[5, 1], defaults: &[7, 0], lacking: &[false, false], stored: &[7, 2] };
        assert_eq!(shown.judge(row, true), (vec![0, 1], false));
        let row = Sides { expected: &[5, 1], defaults: &[7, 0], lacking: &[false, false], stored: &[7, 1] };
        assert_eq!(shown.judge(row, true), (vec![0], true));
        assert_eq!(shown.judge(row, false), (vec![0], false));
        // A value that is given and happens to be the default of today says nothing of what the default was.
        let mut shown = Shown::new(1);
        let given = Sides { expected: &[7], defaults: &[7], lacking: &[false], stored: &[7] };
        assert_eq!(shown.judge(given, true), (vec![], true));
        let lacking = Sides { expected: &[7], defaults: &[7], lacking: &[true], stored: &[1] };
        assert_eq!(shown.judge(lacking, true), (vec![0], true));
    }

    #[test]
    fn the_ledger_says_what_may_be_older() {
        let check =
            |altered_at: u32, first_s: u32, first_offset: u64, after: u64, rows_after: u64, expected: Option<u64>| {
                let told = Told { in_partition: 0, in_replay: 0, first_s, first_offset, after, rows_after };
                let compared = OffsetRange::new(Offset::new(100), Offset::new(900));
                assert_eq!(told.until(altered_at, compared), expected.map(Offset::new), "{told:?}");
            };
        check(50, 50, 100, 100, 3, None);
        check(40, 50, 100, 100, 3, None);
        check(60, 50, 100, 500, 3, Some(500));
        check(60, 50, 100, 0, 0, Some(900));
        check(40, 50, 300, 300, 3, Some(300));
    }
}
