//! One window of a partition: what Kafka has against what ClickHouse has, word by word.
//!
//! Pure. A word holds 64 offsets as bits, on both sides, so that 64 records are compared at once and a window of two
//! million offsets costs a quarter of a megabyte whatever the records are.

use std::fmt;

use serde::Serialize;

use super::contents::Hashes;
use super::several::Expected;
use super::sums::Sums;
use crate::types::{Offset, OffsetRange, OffsetSet, RecordCount};

/// Offsets of one window, whose bounds are multiples of this. Two bits an offset: half a megabyte.
pub(super) const WINDOW_OFFSETS: u64 = 1 << 21;

/// The same where contents are compared: up to 32 bytes an offset, four megabytes.
pub(super) const WINDOW_OFFSETS_WITH_CONTENTS: u64 = 1 << 17;

/// Offsets of one word.
pub(super) const WORD_OFFSETS: u64 = 64;

/// Ranges that are shown of one kind of fault in one partition.
const RANGES_SHOWN_MAX: usize = 10;

/// A set of offsets within one window.
#[derive(Debug, Clone, Default)]
pub(super) struct Bits {
    words: Vec<u64>,
}

impl Bits {
    fn insert(&mut self, place: u64) {
        let word = index(place / WORD_OFFSETS);
        if self.words.len() <= word {
            self.words.resize(word + 1, 0);
        }
        self.words[word] |= 1 << (place % WORD_OFFSETS);
    }

    fn word(&self, word: usize) -> u64 {
        self.words.get(word).copied().unwrap_or(0)
    }
}

/// What Kafka has of a part of one partition.
#[derive(Debug, Clone)]
pub(super) struct Window {
    /// The offsets that it speaks of: within one aligned window.
    pub(super) range: OffsetRange,
    /// The most offsets that it can have.
    size: u64,
    records: Bits,
    /// Records that make no row on purpose: without a value, or left out by the filter.
    skipped: Bits,
    skipped_count: u64,
    /// All other records.
    pub(super) expected: u64,
    /// Of these.
    pub(super) sums: Sums,
    /// The same records by offset, where contents are compared.
    pub(super) contents: Vec<(u64, Hashes)>,
    /// The same records by offset, where a record makes several rows.
    pub(super) several: Vec<(u64, Expected)>,
}

/// A record as far as it is compared.
#[derive(Debug, Clone, Copy)]
pub(super) enum Seen {
    /// It has no value, or the filter leaves it out.
    Skipped,
    /// It has one; its hashes where contents are compared.
    Value(Option<Hashes>),
    /// Of a topic whose records make several rows.
    Rows(Expected),
}

impl Window {
    fn new(range: OffsetRange, size: u64) -> Self {
        Self {
            range,
            size,
            records: Bits::default(),
            skipped: Bits::default(),
            skipped_count: 0,
            expected: 0,
            sums: Sums::default(),
            contents: Vec::new(),
            several: Vec::new(),
        }
    }

    fn base(&self) -> u64 {
        self.range.start().get() / self.size * self.size
    }

    fn insert(&mut self, offset: Offset, seen: Seen) {
        let place = offset.get() - self.base();
        match seen {
            Seen::Skipped => {
                self.skipped.insert(place);
                self.skipped_count += 1;
            }
            Seen::Value(hashes) => {
                self.records.insert(place);
                self.expected += 1;
                self.sums += Sums::of(offset.get(), hashes.map(Hashes::expected));
                self.contents.extend(hashes.map(|hashes| (offset.get(), hashes)));
            }
            Seen::Rows(expected) => {
                self.expected += 1;
                self.sums += expected.sums(offset.get());
                self.several.push((offset.get(), expected));
            }
        }
    }

    /// How many records make no row on purpose.
    pub(super) fn skipped_count(&self) -> u64 {
        self.skipped_count
    }

    /// Whether the record makes no row on purpose.
    pub(super) fn is_skipped(&self, offset: Offset) -> bool {
        let place = offset.get() - self.base();
        self.skipped.word(index(place / WORD_OFFSETS)) >> (place % WORD_OFFSETS) & 1 == 1
    }

    /// Counts a window whose sums are those of the tables: nothing is wrong with it.
    pub(super) fn count_clean(&self, rows: Sums, dead: Sums, tally: &mut Tally) {
        tally.records += self.expected;
        tally.skipped += self.skipped_count;
        tally.rows += rows.units;
        tally.dead_letters += dead.units;
    }
}

/// Cuts the records of one partition, which come in order, into windows.
#[derive(Debug)]
pub(super) struct WindowCutter {
    open: Option<Window>,
    end: Offset,
    size: u64,
}

impl WindowCutter {
    /// For the records of `range`, in windows of `size` offsets.
    pub(super) fn new(range: OffsetRange, size: u64) -> Self {
        Self { open: window_at(range.start(), range.end(), size), end: range.end(), size }
    }

    /// Whether all of the range was seen.
    pub(super) fn is_done(&self) -> bool {
        self.open.is_none()
    }

    /// A record. Gives the windows that it closes.
    pub(super) fn record(&mut self, offset: Offset, seen: Seen) -> Vec<Window> {
        let closed = self.reached(offset);
        if let Some(open) = &mut self.open
            && open.range.contains(offset)
        {
            open.insert(offset, seen);
        }
        closed
    }

    /// No record below `offset` will come any more. Gives the windows that this closes.
    pub(super) fn reached(&mut self, offset: Offset) -> Vec<Window> {
        let mut closed = Vec::new();
        while let Some(open) = self.open.take_if(|open| open.range.end() <= offset) {
            self.open = window_at(open.range.end(), self.end, self.size);
            closed.push(open);
        }
        closed
    }
}

fn window_at(start: Offset, end: Offset, size: u64) -> Option<Window> {
    let aligned = Offset::new((start.get() / size + 1) * size);
    (start < end).then(|| Window::new(OffsetRange::new(start, aligned.min(end)), size))
}

/// The units that a table has at the offsets of one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct StoredWord {
    /// The word's number: offset divided by 64.
    pub(super) word: u64,
    /// A bit for each offset that has at least one unit.
    pub(super) present: u64,
    /// How many units there are.
    pub(super) units: u64,
}

/// What may be absent.
#[derive(Debug, Clone)]
pub(super) struct Excused {
    /// Consumption began here: what lies below was never to be stored.
    pub(super) origin: Offset,
    /// Offsets that Kafka no longer had when they were to be consumed, by the ledger.
    pub(super) gaps: OffsetSet,
    /// The topic is compacted: a record that was stored may be gone from Kafka.
    pub(super) compacted: bool,
}

/// Places with the same fault.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(super) struct Spots {
    pub(super) count: u64,
    /// The first of them.
    ranges: Vec<(u64, u64)>,
}

impl Spots {
    pub(super) fn add(&mut self, offset: Offset) {
        self.add_range(OffsetRange::new(offset, offset.next()), 1);
    }

    pub(super) fn add_range(&mut self, range: OffsetRange, count: u64) {
        self.count += count;
        let (start, end) = (range.start().get(), range.end().get());
        if let Some(last) = self.ranges.last_mut().filter(|last| last.1 == start) {
            last.1 = end;
        } else if self.ranges.len() < RANGES_SHOWN_MAX {
            self.ranges.push((start, end));
        }
    }

    /// The first of them, at most so many.
    pub(super) fn first(&self, most: usize) -> Vec<Offset> {
        self.ranges.iter().flat_map(|(start, end)| *start..*end).take(most).map(Offset::new).collect()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }
}

impl fmt::Display for Spots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, (start, end)) in self.ranges.iter().enumerate() {
            let comma = if number == 0 { "" } else { ", " };
            if start + 1 == *end {
                write!(f, "{comma}{start}")?;
            } else {
                write!(f, "{comma}{start}..{}", end - 1)?;
            }
        }
        if self.ranges.len() == RANGES_SHOWN_MAX {
            f.write_str(" and maybe more")?;
        }
        Ok(())
    }
}

/// What the comparison of a partition, or of a part of it, came to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(super) struct Tally {
    /// Records that Kafka has, but for those that make no row on purpose.
    pub(super) records: u64,
    /// Offsets with a row; where a record makes several rows, these.
    pub(super) rows: u64,
    /// Offsets with a dead letter.
    pub(super) dead_letters: u64,
    /// Records that make no row on purpose, and left none.
    pub(super) skipped: u64,
    /// Absent records below the origin.
    pub(super) before_origin: u64,
    /// Absent records in gaps of the ledger.
    pub(super) in_gaps: u64,
    /// Records that are nowhere.
    pub(super) missing: Spots,
    /// Records that lack some of their rows.
    pub(super) partly: Spots,
    /// Offsets with more than one row, or more than one dead letter.
    pub(super) doubled: Spots,
    /// Rows and dead letters beyond the first of their offset.
    pub(super) surplus: u64,
    /// Offsets with a row and a dead letter.
    pub(super) both: Spots,
    /// Rows or dead letters where Kafka has no record.
    pub(super) unexplained: Spots,
    /// The same of a topic that is compacted.
    pub(super) compacted: u64,
    /// Rows that do not hold what their record says.
    pub(super) altered: Spots,
    /// The same, and they hold what another record near by says.
    pub(super) swapped: Spots,
    /// Rows of records that do not decode.
    pub(super) undecodable: Spots,
    /// Dead letters whose bytes are not their record's.
    pub(super) dead_altered: Spots,
}

/// Compares a window with the units in the target and in the dead letters, each in the order of their words. Doubled
/// offsets are only counted as surplus: which they are is another, rarer question.
pub(super) fn compare(window: &Window, rows: &[StoredWord], dead: &[StoredWord], excused: &Excused, tally: &mut Tally) {
    let base = window.base();
    let words = window.size / WORD_OFFSETS;
    let (mut rows, mut dead) = (rows.iter().peekable(), dead.iter().peekable());
    for word in 0..words {
        let number = base / WORD_OFFSETS + word;
        let row = rows.next_if(|stored| stored.word == number);
        let dead_letter = dead.next_if(|stored| stored.word == number);
        for stored in [row, dead_letter].into_iter().flatten() {
            tally.surplus += stored.units - u64::from(stored.present.count_ones());
        }
        let row = row.map_or(0, |stored| stored.present);
        let dead_letter = dead_letter.map_or(0, |stored| stored.present);
        let records = window.records.word(index(word));
        let skipped = window.skipped.word(index(word));
        let stored = row | dead_letter;
        tally.records += u64::from(records.count_ones());
        tally.rows += u64::from(row.count_ones());
        tally.dead_letters += u64::from(dead_letter.count_ones());
        tally.skipped += u64::from((skipped & !stored).count_ones());
        let first = number * WORD_OFFSETS;
        each_offset(row & dead_letter, first, |offset| tally.both.add(offset));
        each_offset(stored & !(records | skipped), first, |offset| tally.add_without_record(offset, excused));
        each_offset(records & !stored, first, |offset| {
            if offset < excused.origin {
                tally.before_origin += 1;
            } else if excused.gaps.contains(offset) {
                tally.in_gaps += 1;
            } else {
                tally.missing.add(offset);
            }
        });
    }
    assert!(rows.peek().is_none() && dead.peek().is_none(), "stored words come in order and lie within the window");
}

fn each_offset(mut bits: u64, first: u64, mut found: impl FnMut(Offset)) {
    while bits != 0 {
        found(Offset::new(first + u64::from(bits.trailing_zeros())));
        bits &= bits - 1;
    }
}

fn index(word: u64) -> usize {
    usize::try_from(word).expect("a window has few words")
}

impl Tally {
    /// A row or dead letter that Kafka has no record of, below the end of the partition.
    pub(super) fn add_without_record(&mut self, offset: Offset, excused: &Excused) {
        if excused.compacted {
            self.compacted += 1;
        } else {
            self.unexplained.add(offset);
        }
    }

    /// The records that were compared.
    pub(super) fn compared(&self) -> RecordCount {
        RecordCount(self.records + self.skipped)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// Words as the server gives them, from offsets, which may repeat.
    fn stored(offsets: &[u64]) -> Vec<StoredWord> {
        let mut words: BTreeMap<u64, StoredWord> = BTreeMap::new();
        for offset in offsets {
            let word = offset / WORD_OFFSETS;
            let stored = words.entry(word).or_insert(StoredWord { word, present: 0, units: 0 });
            stored.present |= 1 << (offset % WORD_OFFSETS);
            stored.units += 1;
        }
        words.into_values().collect()
    }

    struct Case<'a> {
        range: (u64, u64),
        records: &'a [u64],
        skipped: &'a [u64],
        rows: &'a [u64],
        dead: &'a [u64],
        compacted: bool,
    }

    const CLEAN: Case<'static> = Case {
        range: (0, 200),
        records: &[0, 1, 63, 64, 150],
        skipped: &[],
        rows: &[0, 1, 63, 64, 150],
        dead: &[],
        compacted: false,
    };

    fn tally(case: &Case<'_>) -> Tally {
        let range = OffsetRange::new(Offset::new(case.range.0), Offset::new(case.range.1));
        let mut cutter = WindowCutter::new(range, WINDOW_OFFSETS);
        let mut all: BTreeMap<u64, bool> = case.records.iter().map(|offset| (*offset, false)).collect();
        all.extend(case.skipped.iter().map(|offset| (*offset, true)));
        let mut windows = Vec::new();
        for (offset, is_skipped) in all {
            let seen = if is_skipped { Seen::Skipped } else { Seen::Value(None) };
            windows.extend(cutter.record(Offset::new(offset), seen));
        }
        windows.extend(cutter.reached(range.end()));
        assert!(cutter.is_done());
        let excused = Excused {
            origin: Offset::new(2),
            gaps: [OffsetRange::new(Offset::new(170), Offset::new(180))].into_iter().collect(),
            compacted: case.compacted,
        };
        let mut tally = Tally::default();
        for window in &windows {
            let within = |offsets: &[u64]| -> Vec<u64> {
                offsets.iter().copied().filter(|offset| window.range.contains(Offset::new(*offset))).collect()
            };
            compare(window, &stored(&within(case.rows)), &stored(&within(case.dead)), &excused, &mut tally);
        }
        tally
    }

    /// Missing, surplus, both, unexplained; as they are shown.
    fn check(case: &Case<'_>, expected: [&str; 4]) {
        let tally = tally(case);
        let found = [
            tally.missing.to_string(),
            tally.surplus.to_string(),
            tally.both.to_string(),
            tally.unexplained.to_string(),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn every_kind_of_fault_is_found() {
        check(&CLEAN, ["", "0", "", ""]);
        check(&Case { rows: &[0, 1, 64, 150], dead: &[63], ..CLEAN }, ["", "0", "", ""]);
        check(&Case { rows: &[0, 1, 64], ..CLEAN }, ["63, 150", "0", "", ""]);
        check(&Case { rows: &[0, 1, 63, 63, 64, 150, 150, 150], ..CLEAN }, ["", "3", "", ""]);
        check(&Case { dead: &[63, 64], ..CLEAN }, ["", "0", "63..64", ""]);
        check(&Case { rows: &[0, 1, 64, 150], dead: &[63, 63], ..CLEAN }, ["", "1", "", ""]);
        check(&Case { rows: &[0, 1, 2, 63, 64, 150], dead: &[199], ..CLEAN }, ["", "0", "", "2, 199"]);
    }

    #[test]
    fn records_that_compaction_removed_are_no_fault() {
        let case = Case { rows: &[0, 1, 2, 63, 64, 64, 150], dead: &[199], compacted: true, ..CLEAN };
        check(&case, ["", "1", "", ""]);
        assert_eq!(tally(&case).compacted, 2);
        // A record that is there and has no row is missed all the same.
        check(&Case { rows: &[0, 1, 2, 63, 64], compacted: true, ..CLEAN }, ["150", "0", "", ""]);
    }

    #[test]
    fn what_is_absent_on_purpose_is_explained() {
        check(&Case { skipped: &[5, 199], ..CLEAN }, ["", "0", "", ""]);
        assert_eq!(tally(&Case { skipped: &[5, 199], ..CLEAN }).skipped, 2);
        check(&Case { skipped: &[5], rows: &[0, 1, 5, 63, 64, 150], ..CLEAN }, ["", "0", "", ""]);
        check(&Case { rows: &[63, 64, 150], ..CLEAN }, ["", "0", "", ""]);
        assert_eq!(tally(&Case { rows: &[63, 64, 150], ..CLEAN }).before_origin, 2);
        let with_gap = Case { records: &[0, 1, 63, 64, 150, 169, 170, 179, 180], ..CLEAN };
        check(&with_gap, ["169, 180", "0", "", ""]);
        assert_eq!(tally(&with_gap).in_gaps, 2);
    }

    #[test]
    fn windows_are_aligned_and_follow_one_another() {
        let far = WINDOW_OFFSETS;
        let case = Case {
            range: (far - 3, 3 * far + 2),
            records: &[far - 3, far - 1, far, 3 * far, 3 * far + 1],
            skipped: &[],
            rows: &[far - 3, far, 3 * far + 1],
            dead: &[2 * far],
            compacted: false,
        };
        let last = far - 1;
        let (missing, other) = (format!("{last}, {}", 3 * far), (2 * far).to_string());
        check(&case, [&missing, "0", "", &other]);
        // Nothing of a range that is not asked for counts, and an empty range is done at once.
        check(&Case { range: (1, 64), rows: &[1, 63], ..CLEAN }, ["", "0", "", ""]);
        assert!(WindowCutter::new(OffsetRange::new(Offset::new(7), Offset::new(7)), 64).is_done());
    }

    #[test]
    fn places_are_shown_as_ranges_up_to_a_bound() {
        let check = |offsets: &[u64], expected: &str| {
            let mut spots = Spots::default();
            for offset in offsets {
                spots.add(Offset::new(*offset));
            }
            assert_eq!(spots.to_string(), expected);
            assert_eq!(spots.count, u64::try_from(offsets.len()).unwrap());
        };
        check(&[], "");
        check(&[4], "4");
        check(&[4, 5, 6, 9], "4..6, 9");
        let many: Vec<u64> = (0..20).map(|n| n * 2).collect();
        check(&many, "0, 2, 4, 6, 8, 10, 12, 14, 16, 18 and maybe more");
    }
}
