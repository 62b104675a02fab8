//! The words of the domain as types: offset, half-open offset range, record count, partition, claim.
//!
//! Each is its own type, so that an offset cannot be passed where a count is meant. Nothing here does I/O.

mod unit;

use std::fmt;

pub use unit::{RECORD_ROWS_MAX, ROW_BITS, UnitKind, UnitSet};

/// An offset of a Kafka partition. Never negative: Kafka's special values are an `Option` with us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Offset(u64);

impl Offset {
    /// The first offset of a new partition.
    pub const ZERO: Self = Self(0);

    /// An offset from its number.
    pub const fn new(value: u64) -> Self {
        Self(value)
    }

    /// An offset as Kafka writes it; `None` for its negative special values (unset, beginning, end).
    pub fn from_kafka(value: i64) -> Option<Self> {
        u64::try_from(value).ok().map(Self)
    }

    /// The offset as Kafka writes it.
    pub fn to_kafka(self) -> i64 {
        i64::try_from(self.0).expect("offsets come from Kafka, which counts in i64")
    }

    /// The plain number.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The offset after this one: the end of a range whose last record is here.
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A table of a lane: 0 is the topic's own, the others are those of its routes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TargetNumber(pub u16);

impl TargetNumber {
    /// The topic's own table.
    pub const OWN: Self = Self(0);

    /// Its place among the lane's tables.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// Offsets from `start` up to, not including, `end`. `end` is the offset to commit.
///
/// A range says nothing of how many records it holds: offsets have gaps (compaction, transaction markers).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OffsetRange {
    start: Offset,
    end: Offset,
}

impl OffsetRange {
    /// The range from `start` up to `end`. Panics if `end` lies before `start`: such a range would lose records.
    pub fn new(start: Offset, end: Offset) -> Self {
        assert!(start <= end, "offset range ends at {end} before its start {start}");
        Self { start, end }
    }

    /// The first offset.
    pub const fn start(self) -> Offset {
        self.start
    }

    /// The offset behind the last one.
    pub const fn end(self) -> Offset {
        self.end
    }

    /// Whether it holds no offset.
    pub fn is_empty(self) -> bool {
        self.start == self.end
    }

    /// Whether `offset` lies in it.
    pub fn contains(self, offset: Offset) -> bool {
        self.start <= offset && offset < self.end
    }

    /// Whether both hold a common offset.
    pub fn overlaps(self, other: Self) -> bool {
        self.start < other.end && other.start < self.end
    }
}

impl fmt::Display for OffsetRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}, {})", self.start, self.end)
    }
}

/// A set of offsets as sorted, disjoint, non-adjacent ranges. Its size is the number of runs, not of offsets.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct OffsetSet {
    ranges: Vec<OffsetRange>,
}

impl OffsetSet {
    /// The set that holds nothing.
    pub const fn empty() -> Self {
        Self { ranges: Vec::new() }
    }

    /// Adds all offsets of `range`.
    pub fn insert(&mut self, range: OffsetRange) {
        if range.is_empty() {
            return;
        }
        let first = self.ranges.partition_point(|known| known.end < range.start);
        let behind = self.ranges.partition_point(|known| known.start <= range.end);
        let mut merged = range;
        if first < behind {
            merged.start = merged.start.min(self.ranges[first].start);
            merged.end = merged.end.max(self.ranges[behind - 1].end);
        }
        self.ranges.splice(first..behind, [merged]);
    }

    /// Whether `offset` is in the set.
    pub fn contains(&self, offset: Offset) -> bool {
        let behind = self.ranges.partition_point(|known| known.start <= offset);
        behind > 0 && self.ranges[behind - 1].contains(offset)
    }

    /// How many offsets from `offset` on are in the set, one after the other.
    pub fn run_from(&self, offset: Offset) -> u64 {
        let behind = self.ranges.partition_point(|known| known.start <= offset);
        self.ranges[..behind].last().map_or(0, |known| known.end.0.saturating_sub(offset.0))
    }

    /// The part of `range` that is not in the set and comes first, if any.
    pub fn first_hole(&self, range: OffsetRange) -> Option<OffsetRange> {
        let mut start = range.start;
        for known in &self.ranges {
            if known.end <= start {
                continue;
            }
            if known.start > start {
                break;
            }
            start = known.end;
        }
        if start >= range.end {
            return None;
        }
        let next = self.ranges.iter().map(|known| known.start).find(|known| *known > start);
        Some(OffsetRange::new(start, next.map_or(range.end, |next| next.min(range.end))))
    }

    /// The part of the set that lies in `range`.
    pub fn within(&self, range: OffsetRange) -> Self {
        let first = self.ranges.partition_point(|known| known.end <= range.start);
        let inside = self.ranges[first..].iter().take_while(|known| known.start < range.end);
        inside.map(|known| OffsetRange::new(known.start.max(range.start), known.end.min(range.end))).collect()
    }

    /// How many records it stands for, where every offset of it is a record (a look's result).
    pub fn records(&self) -> RecordCount {
        RecordCount(self.ranges.iter().map(|range| range.end.0 - range.start.0).sum())
    }

    /// The ranges, in order.
    pub fn ranges(&self) -> &[OffsetRange] {
        &self.ranges
    }

    /// The offset behind the greatest one, if there is any.
    pub fn end(&self) -> Option<Offset> {
        self.ranges.last().map(|range| range.end)
    }

    /// How many runs it is made of: what it costs to keep.
    pub fn runs(&self) -> usize {
        self.ranges.len()
    }

    /// Whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }
}

impl FromIterator<OffsetRange> for OffsetSet {
    fn from_iter<T: IntoIterator<Item = OffsetRange>>(ranges: T) -> Self {
        let mut set = Self::empty();
        for range in ranges {
            set.insert(range);
        }
        set
    }
}

/// A number of records, never to be mixed with a distance of offsets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordCount(pub u64);

impl std::ops::Add for RecordCount {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }
}

impl std::ops::AddAssign for RecordCount {
    fn add_assign(&mut self, other: Self) {
        self.0 += other.0;
    }
}

impl std::iter::Sum for RecordCount {
    fn sum<I: Iterator<Item = Self>>(counts: I) -> Self {
        counts.fold(Self(0), |sum, count| sum + count)
    }
}

impl fmt::Display for RecordCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The number of a partition within its topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Partition(pub i32);

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A lane: the partitions of one topic entry of the configuration, which share one stream of blocks into one table.
/// The number is the entry's place in the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LaneId(pub u16);

/// A partition of a lane's topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartitionKey {
    /// The lane, which fixes topic and table.
    pub lane: LaneId,
    /// The partition within the lane's topic.
    pub partition: Partition,
}

/// Counts the assignments of this process: each time the group hands a partition to us, it gets a new number.
/// A reply that was asked for under another number is discarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(not(feature = "failpoints"), derive(Hash))]
pub struct AssignmentNumber(pub u64);

/// Counts the blocks of this process, over all lanes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(not(feature = "failpoints"), derive(Hash))]
pub struct BlockNumber(pub u64);

impl fmt::Display for BlockNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A claim on a partition: `(greatest known >> 64) + 1` in the upper half, 64 random bits in the lower.
/// Ordered, unique, never used twice: a new one is drawn for every claim, also after a timeout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Claim(pub u128);

impl Claim {
    /// The claim that outranks `greatest`, made unique by `random`.
    pub fn above(greatest: Option<Self>, random: u64) -> Self {
        let rank = greatest.map_or(0, |claim| claim.0 >> 64);
        Self(((rank + 1) << 64) | u128::from(random))
    }
}

impl fmt::Display for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{:016x}", self.0 >> 64, self.0 & u128::from(u64::MAX))
    }
}

/// Kafka's identity of a topic: a new one for every creation under the same name (KIP-516).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicId(pub u128);

impl fmt::Display for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// How often a topic was begun anew on purpose (`reset --new-replay`); a part of every row's identity
/// where the table has the column.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Replay(pub u32);

impl Replay {
    /// The replay after this one.
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Replay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(start: u64, end: u64) -> OffsetRange {
        OffsetRange::new(Offset::new(start), Offset::new(end))
    }

    #[test]
    fn offset_sets_merge_what_touches() {
        let check = |inserted: &[(u64, u64)], expected: &[(u64, u64)]| {
            let set: OffsetSet = inserted.iter().map(|(start, end)| range(*start, *end)).collect();
            let expected: Vec<_> = expected.iter().map(|(start, end)| range(*start, *end)).collect();
            assert_eq!(set.ranges(), expected, "{inserted:?}");
            for offset in 0..30 {
                let wanted = inserted.iter().any(|(start, end)| (*start..*end).contains(&offset));
                assert_eq!(set.contains(Offset::new(offset)), wanted, "{inserted:?} at {offset}");
            }
        };
        check(&[], &[]);
        check(&[(3, 3)], &[]);
        check(&[(1, 3), (3, 5)], &[(1, 5)]);
        check(&[(3, 5), (1, 3)], &[(1, 5)]);
        check(&[(1, 2), (4, 5), (2, 4)], &[(1, 5)]);
        check(&[(1, 2), (4, 5), (8, 9), (0, 20)], &[(0, 20)]);
        check(&[(1, 2), (4, 5)], &[(1, 2), (4, 5)]);
        check(&[(4, 8), (5, 6)], &[(4, 8)]);
    }

    #[test]
    fn the_part_within_a_range_is_cut_at_its_ends() {
        let check = |known: &[(u64, u64)], asked: (u64, u64), expected: &[(u64, u64)], records: u64| {
            let set: OffsetSet = known.iter().map(|(start, end)| range(*start, *end)).collect();
            let expected: Vec<_> = expected.iter().map(|(start, end)| range(*start, *end)).collect();
            let within = set.within(range(asked.0, asked.1));
            assert_eq!((within.ranges(), within.records()), (&*expected, RecordCount(records)), "{known:?} {asked:?}");
        };
        check(&[], (0, 9), &[], 0);
        check(&[(2, 5)], (0, 9), &[(2, 5)], 3);
        check(&[(2, 5), (6, 9)], (3, 7), &[(3, 5), (6, 7)], 3);
        check(&[(2, 5), (6, 9)], (5, 6), &[], 0);
        check(&[(2, 5)], (3, 3), &[], 0);
    }

    #[test]
    fn first_hole_is_the_first_uncovered_part() {
        let check = |known: &[(u64, u64)], asked: (u64, u64), expected: Option<(u64, u64)>| {
            let set: OffsetSet = known.iter().map(|(start, end)| range(*start, *end)).collect();
            let hole = set.first_hole(range(asked.0, asked.1));
            assert_eq!(hole, expected.map(|(start, end)| range(start, end)), "{known:?} {asked:?}");
        };
        check(&[], (0, 0), None);
        check(&[], (0, 5), Some((0, 5)));
        check(&[(0, 5)], (0, 5), None);
        check(&[(0, 5)], (2, 9), Some((5, 9)));
        check(&[(0, 5), (7, 9)], (0, 9), Some((5, 7)));
        check(&[(3, 5)], (0, 9), Some((0, 3)));
        check(&[(3, 5)], (6, 9), Some((6, 9)));
    }

    #[test]
    fn a_claim_outranks_what_was_known_whatever_the_random_bits() {
        let old = Claim::above(None, u64::MAX);
        let new = Claim::above(Some(old), 0);
        assert!(new > old);
        assert_ne!(Claim::above(Some(old), 1), new);
    }
}
