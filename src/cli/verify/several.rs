//! Records that make several rows against what is stored of them.
//!
//! How many rows a record makes only decoding it says, so that the connector's own decoder is asked. A window is compared
//! by its sums, as any other; where they differ, record by record: how many rows are there, which, and what they hold.

use std::collections::{BTreeMap, BTreeSet};

use super::compare::{Excused, Seen, Tally, Window};
use super::contents::{ComparedTable, ContentsPlan, dead_hash, decoder_of};
use super::stored::{Kind, StoredSide};
use super::sums::Sums;
use crate::clickhouse::ControlError;
use crate::decode::{Record, RowCursor, Undecoded};
use crate::pipeline::routing::Routed;
use crate::pipeline::topic_decoding::{TopicDecoder, TopicDecoding};
use crate::types::{Offset, OffsetRange, Partition, Replay, UnitKind, UnitSet};

/// What a record is expected to leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Expected {
    /// Its rows; `None` of one that makes none, because it is bad.
    rows: Option<Sums>,
    /// All rows that it makes, also those that the filter leaves out.
    made: u64,
    /// The hash of the dead letter that it would be, where contents are compared.
    dead: Option<u64>,
}

impl Expected {
    /// What it adds to the sums of its window.
    pub(super) fn sums(&self, offset: u64) -> Sums {
        self.rows.unwrap_or_else(|| Sums::of(offset, self.dead))
    }
}

/// Reads records for it.
#[derive(Debug)]
pub(super) struct RowReader {
    decoder: TopicDecoder,
    most: u64,
    /// Which columns of each table are compared, if contents are.
    compared: Option<Vec<ComparedTable>>,
    bytes: Vec<u8>,
}

impl RowReader {
    /// For rows that are decoded so.
    pub(super) fn new(decoding: &TopicDecoding, contents: Option<&ContentsPlan>) -> Self {
        Self {
            decoder: decoder_of(decoding),
            most: decoding.record_rows_max(),
            compared: contents.map(|contents| contents.tables().to_vec()),
            bytes: Vec::new(),
        }
    }

    /// What a record is expected to leave.
    pub(super) fn read(&mut self, record: &Record<'_>) -> Seen {
        let dead = self.compared.is_some().then(|| dead_hash(record, &mut self.bytes));
        match self.rows(record) {
            Err(Undecoded::Skipped) => Seen::Skipped,
            Ok((made, rows)) if rows.units == 0 && made <= self.most => Seen::Skipped,
            Ok((made, rows)) if made <= self.most => Seen::Rows(Expected { rows: Some(rows), made, dead }),
            Ok(_) | Err(Undecoded::Bad(_) | Undecoded::Awaiting(_) | Undecoded::Drifted(_)) => {
                Seen::Rows(Expected { rows: None, made: 0, dead })
            }
        }
    }

    /// How many rows the record makes, one too many at most, and the sums of those that are wanted.
    fn rows(&mut self, record: &Record<'_>) -> Result<(u64, Sums), Undecoded> {
        let offset = Offset::from_kafka(record.offset).expect("a record has an offset");
        let (mut sums, mut cursor) = (Sums::default(), RowCursor::default());
        while cursor.rows() <= self.most {
            let Some(routed) = self.decoder.next_row_patiently(record, &mut cursor)? else { break };
            let Routed::To(target) = routed else { continue };
            if self.decoder.admits(target) {
                let contents = self
                    .compared
                    .as_ref()
                    .map(|tables| tables[target.index()].hash_open_row(self.decoder.columns(target), &mut self.bytes));
                sums += Sums::of(UnitSet::number(UnitKind::Row, offset, cursor.rows() - 1), contents);
            }
            self.decoder.columns_mut(target).rollback_row();
        }
        Ok((cursor.rows(), sums))
    }
}

/// What a table holds of one record.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct StoredRecord {
    offset: u64,
    units: u64,
    /// Without those that are there more than once.
    distinct: u64,
    numbers: u64,
    contents: u64,
}

impl StoredSide<'_> {
    /// What a table holds of each record of a window. `contents` is the expression of a unit's hash, where they are compared.
    pub(super) async fn records(
        &self,
        kind: Kind,
        contents: Option<&str>,
        partition: Partition,
        replay: Replay,
        range: OffsetRange,
    ) -> Result<Vec<StoredRecord>, ControlError> {
        let units = self.units(kind);
        let hashed = contents.map_or_else(String::new, |contents| format!(", {contents} AS oncesink_unit_hash"));
        let statement = format!(
            "SELECT oncesink_unit_offset AS offset, units, distinct_units, offsets, contents FROM (\
             SELECT oncesink_unit_offset, {}, uniqExact(oncesink_unit_number) AS distinct_units FROM (\
             SELECT toUInt64({}) AS oncesink_unit_offset, {} AS oncesink_unit_number{hashed} {}) \
             GROUP BY oncesink_unit_offset) ORDER BY offset",
            Sums::sql("oncesink_unit_number", contents.map(|_| "oncesink_unit_hash")),
            units.offset,
            units.number(),
            units.table_where(&[units.within(partition, replay, range)]),
        );
        let rows: Vec<(u64, u64, u64, u64, u64)> =
            self.session.fetch("comparing the records of a window", &statement).await?;
        let record =
            |(offset, units, distinct, numbers, contents)| StoredRecord { offset, units, distinct, numbers, contents };
        Ok(rows.into_iter().map(record).collect())
    }
}

/// Compares a window record by record.
pub(super) fn compare_records(
    window: &Window,
    rows: &[StoredRecord],
    dead: &[StoredRecord],
    excused: &Excused,
    tally: &mut Tally,
) {
    let by_offset = |stored: &[StoredRecord]| -> BTreeMap<u64, StoredRecord> {
        stored.iter().map(|record| (record.offset, *record)).collect()
    };
    let expected: BTreeMap<u64, Expected> = window.several.iter().copied().collect();
    let (rows, dead) = (by_offset(rows), by_offset(dead));
    let offsets: BTreeSet<u64> = expected.keys().chain(rows.keys()).chain(dead.keys()).copied().collect();
    tally.records += window.expected;
    tally.skipped += window.skipped_count();
    for at in offsets {
        let offset = Offset::new(at);
        let of = |stored: &BTreeMap<u64, StoredRecord>| stored.get(&at).copied().unwrap_or_default();
        let (row, letter) = (of(&rows), of(&dead));
        tally.rows += row.units;
        tally.dead_letters += letter.units;
        let surplus = row.units - row.distinct + letter.units - letter.distinct;
        if surplus > 0 {
            tally.surplus += surplus;
            tally.doubled.add(offset);
        }
        if row.units > 0 && letter.units > 0 {
            tally.both.add(offset);
        }
        match expected.get(&at) {
            // What the filter leaves out today may have been stored when there was none.
            None if window.is_skipped(offset) => {}
            None => tally.add_without_record(offset, excused),
            Some(record) if letter.units > 0 => {
                if record.dead.is_some_and(|hash| Sums::of(at, Some(hash)).contents != letter.contents) {
                    tally.dead_altered.add(offset);
                }
            }
            Some(_) if row.units == 0 && offset < excused.origin => tally.before_origin += 1,
            Some(_) if row.units == 0 && excused.gaps.contains(offset) => tally.in_gaps += 1,
            Some(_) if row.units == 0 => tally.missing.add(offset),
            Some(Expected { rows: None, .. }) => tally.undecodable.add(offset),
            Some(Expected { rows: Some(wanted), made, dead }) => {
                let filtered = *made > wanted.units;
                if row.distinct < wanted.units {
                    tally.partly.add(offset);
                } else if row.distinct > *made || (!filtered && row.numbers != wanted.offsets && surplus == 0) {
                    tally.unexplained.add(offset);
                } else if dead.is_some()
                    && surplus == 0
                    && row.distinct == wanted.units
                    && row.contents != wanted.contents
                {
                    tally.altered.add(offset);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::compare::WindowCutter;
    use super::*;
    use crate::types::OffsetSet;

    fn sums(offset: u64, rows: &[u64]) -> Sums {
        let of =
            |row: &u64| Sums::of(UnitSet::number(UnitKind::Row, Offset::new(offset), *row), Some(offset * 10 + row));
        rows.iter().map(of).fold(Sums::default(), |sum, one| sum + one)
    }

    fn stored(offset: u64, rows: &[u64]) -> StoredRecord {
        let Sums { units, offsets, contents } = sums(offset, rows);
        let distinct = rows.iter().collect::<BTreeSet<_>>().len();
        StoredRecord { offset, units, distinct: u64::try_from(distinct).unwrap(), numbers: offsets, contents }
    }

    fn letter(offset: u64) -> StoredRecord {
        let Sums { units, offsets, contents } = Sums::of(offset, Some(offset));
        StoredRecord { offset, units, distinct: 1, numbers: offsets, contents }
    }

    /// Against these: 1 makes three rows, 2 one, 3 is bad, 4 is skipped, 5 makes two of which one is wanted.
    fn tally(rows: &[StoredRecord], dead: &[StoredRecord]) -> Tally {
        let range = OffsetRange::new(Offset::new(0), Offset::new(9));
        let mut cutter = WindowCutter::new(range, 64);
        let expected = |offset: u64, rows: &[u64], made: u64| {
            let rows = (made > 0).then(|| sums(offset, rows));
            Seen::Rows(Expected { rows, made, dead: Some(offset) })
        };
        let seen = [(1, expected(1, &[0, 1, 2], 3)), (2, expected(2, &[0], 1)), (3, expected(3, &[], 0))];
        for (offset, seen) in seen.into_iter().chain([(4, Seen::Skipped), (5, expected(5, &[1], 2))]) {
            assert!(cutter.record(Offset::new(offset), seen).is_empty());
        }
        let window = cutter.reached(range.end()).remove(0);
        let mut tally = Tally::default();
        let excused = Excused { origin: Offset::new(1), gaps: OffsetSet::empty(), compacted: false };
        compare_records(&window, rows, dead, &excused, &mut tally);
        tally
    }

    #[test]
    fn every_kind_of_fault_is_found() {
        let good = [stored(1, &[0, 1, 2]), stored(2, &[0]), stored(5, &[1])];
        let check = |change: &dyn Fn(&mut Vec<StoredRecord>, &mut Vec<StoredRecord>), expected: &str| {
            let (mut rows, mut dead) = (good.to_vec(), vec![letter(3)]);
            change(&mut rows, &mut dead);
            let tally = tally(&rows, &dead);
            let spots = [
                ("missing", &tally.missing),
                ("partly", &tally.partly),
                ("doubled", &tally.doubled),
                ("both", &tally.both),
                ("unexplained", &tally.unexplained),
                ("altered", &tally.altered),
                ("undecodable", &tally.undecodable),
                ("dead altered", &tally.dead_altered),
            ];
            let found =
                spots.iter().filter(|(_, spots)| !spots.is_empty()).map(|(name, spots)| format!("{name} {spots}"));
            assert_eq!(found.collect::<Vec<_>>().join(", "), expected);
            assert_eq!((tally.records, tally.skipped), (4, 1));
        };
        check(&|_, _| {}, "");
        check(&|rows, _| rows.truncate(1), "missing 2, 5");
        check(&|rows, _| rows[0] = stored(1, &[0, 2]), "partly 1");
        check(&|rows, _| rows[0] = stored(1, &[0, 1, 1, 2]), "doubled 1");
        check(&|rows, _| rows[0] = stored(1, &[0, 1, 1]), "partly 1, doubled 1");
        check(&|rows, _| rows[0] = stored(1, &[0, 1, 3]), "unexplained 1");
        check(&|rows, _| rows[0] = stored(1, &[0, 1, 2, 3]), "unexplained 1");
        check(&|rows, _| rows[0].contents += 1, "altered 1");
        check(&|_, dead| dead.push(letter(1)), "both 1");
        // The server refused it.
        check(
            &|rows, dead| {
                rows.remove(0);
                dead.push(letter(1));
            },
            "",
        );
        check(&|_, dead| dead[0].contents += 1, "dead altered 3");
        check(&|_, dead| dead.clear(), "missing 3");
        check(
            &|rows, dead| {
                dead.clear();
                rows.push(stored(3, &[0]));
            },
            "undecodable 3",
        );
        check(&|rows, _| rows.push(stored(7, &[0])), "unexplained 7");
        // Stored before there was a filter.
        check(&|rows, _| rows.push(stored(4, &[0, 1])), "");
        check(&|rows, _| rows[2] = stored(5, &[0, 1]), "");
        check(&|rows, _| rows[2] = stored(5, &[0, 1, 2]), "unexplained 5");
    }
}
