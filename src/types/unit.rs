//! Units: what is stored exactly once. A unit is a record, or, where a record makes several rows, one of them.
//!
//! A unit is numbered by its record's offset followed by [`ROW_BITS`] bits of its row's number, so that the units of a
//! partition are in one order and a set of them is a set of ranges. Where a record is a unit its number is its offset.

use super::{Offset, OffsetRange, OffsetSet, RecordCount};

/// Bits of a unit's number that hold the row: 2^20 rows of a record, and 2^44 records of a partition.
pub const ROW_BITS: u32 = 20;

/// The most rows that a record may make.
pub const RECORD_ROWS_MAX: u64 = 1 << ROW_BITS;

/// What a unit of a table is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum UnitKind {
    /// A record: it makes one row.
    #[default]
    Record,
    /// One of the rows that a record makes.
    Row,
}

impl UnitKind {
    const fn row_bits(self) -> u32 {
        match self {
            Self::Record => 0,
            Self::Row => ROW_BITS,
        }
    }

    /// The number of a record's first unit. Panics where it has none: such a partition cannot be told apart.
    fn first_of(self, offset: Offset) -> u64 {
        let bits = self.row_bits();
        assert!(offset.0 <= u64::MAX >> bits, "offset {offset} leaves no bits for the numbers of its rows");
        offset.0 << bits
    }
}

/// A set of units of one partition.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct UnitSet {
    kind: UnitKind,
    numbers: OffsetSet,
}

impl UnitSet {
    /// Without units.
    pub const fn empty(kind: UnitKind) -> Self {
        Self { kind, numbers: OffsetSet::empty() }
    }

    /// Where every offset is a unit.
    pub const fn of_records(offsets: OffsetSet) -> Self {
        Self { kind: UnitKind::Record, numbers: offsets }
    }

    /// What its units are.
    pub const fn kind(&self) -> UnitKind {
        self.kind
    }

    /// The number of a unit.
    pub fn number(kind: UnitKind, offset: Offset, row: u64) -> u64 {
        assert!(row < 1 << kind.row_bits(), "a record has no row {row}");
        kind.first_of(offset) + row
    }

    /// Adds the units from one number to another, both included.
    pub fn insert_numbers(&mut self, first: u64, last: u64) {
        self.numbers.insert(OffsetRange::new(Offset(first), Offset(last).next()));
    }

    /// Adds one unit.
    pub fn insert(&mut self, offset: Offset, row: u64) {
        let number = Self::number(self.kind, offset, row);
        self.insert_numbers(number, number);
    }

    /// Whether the unit is in the set. Where records are units, row 0 is the record.
    #[inline]
    pub fn contains(&self, offset: Offset, row: u64) -> bool {
        row < 1 << self.kind.row_bits() && self.numbers.contains(Offset(self.kind.first_of(offset) + row))
    }

    /// How many units of these records are in the set.
    pub fn within(&self, records: OffsetRange) -> RecordCount {
        let (start, end) = (self.kind.first_of(records.start), self.kind.first_of(records.end));
        self.numbers.within(OffsetRange::new(Offset(start), Offset(end))).records()
    }

    /// How many records from `offset` on are all in the set, one after the other; where records make rows, nobody knows.
    pub fn run_from(&self, offset: Offset) -> u64 {
        match self.kind {
            UnitKind::Record => self.numbers.run_from(offset),
            UnitKind::Row => 0,
        }
    }

    /// The numbers, in order.
    pub fn numbers(&self) -> &OffsetSet {
        &self.numbers
    }

    /// How many units are in the set.
    pub fn count(&self) -> RecordCount {
        self.numbers.records()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_told_apart_by_offset_and_row() {
        let mut set = UnitSet::empty(UnitKind::Row);
        for (offset, row) in [(3, 0), (3, 2), (4, 0), (4, 1), (9, RECORD_ROWS_MAX - 1)] {
            set.insert(Offset(offset), row);
        }
        let check = |offset: u64, row: u64, expected: bool| {
            assert_eq!(set.contains(Offset(offset), row), expected, "{offset} {row}");
        };
        check(3, 0, true);
        check(3, 1, false);
        check(3, 2, true);
        check(4, 1, true);
        check(4, 2, false);
        check(9, RECORD_ROWS_MAX - 1, true);
        // Not the first row of the record behind it.
        check(9, RECORD_ROWS_MAX, false);
        check(10, 0, false);
        let within = |start: u64, end: u64| set.within(OffsetRange::new(Offset(start), Offset(end))).0;
        assert_eq!([within(0, 3), within(3, 4), within(4, 5), within(3, 10), within(5, 5)], [0, 2, 2, 5, 0]);
    }

    #[test]
    fn where_records_are_units_numbers_are_offsets() {
        let set = UnitSet::of_records([OffsetRange::new(Offset(3), Offset(6))].into_iter().collect());
        let check = |offset: u64, row: u64, expected: bool| {
            assert_eq!(set.contains(Offset(offset), row), expected, "{offset} {row}");
        };
        check(2, 0, false);
        check(3, 0, true);
        check(3, 1, false);
        check(u64::MAX, 0, false);
        assert_eq!(set.within(OffsetRange::new(Offset(4), Offset(u64::MAX))), RecordCount(2));
    }

    #[test]
    #[should_panic(expected = "leaves no bits")]
    fn an_offset_that_leaves_no_bits_is_refused() {
        UnitSet::empty(UnitKind::Row).contains(Offset(1 << 44), 0);
    }
}
