//! Sets of records in constant memory: a count and a sum of hashes for every 4,096 offsets of a partition.
//!
//! Two sets of records with the same count and the same sum are the same set, but for a chance of 2^-64: a record that
//! is missing, doubled, altered, or stored where another belongs changes the sum. ClickHouse makes the same sums, so
//! that hundreds of millions of rows are compared by the thousand.

use std::collections::BTreeMap;

/// Offsets per chunk.
pub(crate) const CHUNK: u64 = 4_096;
/// The content of a dead letter in its hash: no value of a row.
pub(crate) const DEAD: u64 = 1_023;
/// From here on a value fires an alert.
pub(crate) const HOT: u64 = 100;

/// (partition, chunk).
pub(crate) type ChunkOf = (i32, u64);

/// What a record is to become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// A row with this value.
    Row(u8),
    /// A dead letter.
    Dead,
}

/// A set of records.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Sum {
    pub(crate) count: u64,
    pub(crate) hash: u64,
}

impl Sum {
    fn add(&mut self, offset: u64, content: u64) {
        self.count += 1;
        self.hash = self.hash.wrapping_add(hash(offset.wrapping_mul(1_024).wrapping_add(content)));
    }
}

/// ClickHouse's `intHash64`.
fn hash(value: u64) -> u64 {
    let mut x = value ^ 0x4CF2_D2BA_AE6D_A887;
    x = (x ^ (x >> 33)).wrapping_mul(0xFF51_AFD7_ED55_8CCD);
    x = (x ^ (x >> 33)).wrapping_mul(0xC4CE_B9FE_1A85_EC53);
    x ^ (x >> 33)
}

/// Rows and dead letters of one chunk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) rows: Sum,
    pub(crate) dead: Sum,
}

impl Tally {
    /// Adds a record.
    pub(crate) fn add(&mut self, offset: u64, fate: Fate) {
        match fate {
            Fate::Row(value) => self.rows.add(offset, value.into()),
            Fate::Dead => self.dead.add(offset, DEAD),
        }
    }
}

/// What a record's bytes say; the format is [`crate::traffic::payload`]'s.
pub(crate) fn fate(payload: &[u8]) -> Fate {
    let inner = payload.strip_prefix(br#"{"v":"#).and_then(|rest| rest.strip_suffix(b"}"));
    let number = inner.and_then(|digits| std::str::from_utf8(digits).ok()).and_then(|digits| digits.parse().ok());
    number.map_or(Fate::Dead, Fate::Row)
}

/// A chunk whose sums differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Difference {
    pub(crate) chunk: ChunkOf,
    pub(crate) expected: Tally,
    pub(crate) stored: Tally,
}

/// The chunks that differ, of those in either.
pub(crate) fn compare(expected: &BTreeMap<ChunkOf, Tally>, stored: &BTreeMap<ChunkOf, Tally>) -> Vec<Difference> {
    let of = |map: &BTreeMap<ChunkOf, Tally>, chunk| map.get(chunk).copied().unwrap_or_default();
    let new = stored.keys().filter(|chunk| !expected.contains_key(chunk));
    expected
        .keys()
        .chain(new)
        .map(|chunk| Difference { chunk: *chunk, expected: of(expected, chunk), stored: of(stored, chunk) })
        .filter(|difference| difference.expected != difference.stored)
        .collect()
}

/// What two lists of units say exactly: how often each stands in them.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Exact {
    /// In neither table.
    pub(crate) lost: Vec<u64>,
    /// In one of the tables more than once, or in both.
    pub(crate) doubled: Vec<u64>,
    /// In the other table, with another value, or never produced.
    pub(crate) wrong: Vec<u64>,
}

/// Compares one chunk record by record: offset and fate of each, in any order.
pub(crate) fn compare_exactly(expected: &[(u64, Fate)], stored: &[(u64, Fate)]) -> Exact {
    let mut found: BTreeMap<u64, Vec<Fate>> = BTreeMap::new();
    for (offset, fate) in stored {
        found.entry(*offset).or_default().push(*fate);
    }
    let mut exact = Exact::default();
    for (offset, fate) in expected {
        match found.remove(offset).as_deref() {
            None => exact.lost.push(*offset),
            Some([one]) if one == fate => {}
            Some([_]) => exact.wrong.push(*offset),
            Some(_) => exact.doubled.push(*offset),
        }
    }
    exact.wrong.extend(found.into_keys());
    exact
}

/// The alerts that stand in the topic, against those that ought to: both sorted by (partition, offset).
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct AlertFaults {
    pub(crate) missing: Vec<(i32, u64)>,
    pub(crate) repeated: Vec<(i32, u64)>,
    pub(crate) unexpected: Vec<(i32, u64)>,
}

/// Compares alerts. `expected` and `seen` are sorted.
pub(crate) fn compare_alerts(expected: &[(i32, u64)], seen: &[(i32, u64)]) -> AlertFaults {
    let mut faults = AlertFaults::default();
    let mut seen = seen.iter().copied().peekable();
    for unit in expected {
        while let Some(other) = seen.next_if(|other| other < unit) {
            faults.unexpected.push(other);
        }
        if seen.next_if_eq(unit).is_none() {
            faults.missing.push(*unit);
        }
        while let Some(again) = seen.next_if_eq(unit) {
            faults.repeated.push(again);
        }
    }
    faults.unexpected.extend(seen);
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tallies(records: &[(u64, Fate)]) -> BTreeMap<ChunkOf, Tally> {
        let mut map: BTreeMap<ChunkOf, Tally> = BTreeMap::new();
        for (offset, fate) in records {
            map.entry((3, offset / CHUNK)).or_default().add(*offset, *fate);
        }
        map
    }

    fn records() -> Vec<(u64, Fate)> {
        let fate = |offset: u64| if offset.is_multiple_of(50) { Fate::Dead } else { Fate::Row(10) };
        // A gap, as a transaction's marker leaves one.
        (0..10_000).filter(|offset| *offset != 777).map(|offset| (offset, fate(offset))).collect()
    }

    #[test]
    fn the_oracle_sees_every_kind_of_fault() {
        type Change = dyn Fn(&mut Vec<(u64, Fate)>);
        let check = |change: &Change, expected: Option<(u64, Exact)>| {
            let mut stored = records();
            change(&mut stored);
            let differences = compare(&tallies(&records()), &tallies(&stored));
            let chunks: Vec<u64> = differences.iter().map(|difference| difference.chunk.1).collect();
            assert_eq!(chunks, expected.iter().map(|(chunk, _)| *chunk).collect::<Vec<_>>());
            let exact = compare_exactly(&records(), &stored);
            assert_eq!(exact, expected.map_or_else(Exact::default, |(_, exact)| exact));
        };
        check(&|_| {}, None);
        check(&|stored| stored.reverse(), None);
        let lost = |offset| Exact { lost: vec![offset], ..Exact::default() };
        let doubled = |offset| Exact { doubled: vec![offset], ..Exact::default() };
        let wrong = |offset| Exact { wrong: vec![offset], ..Exact::default() };
        check(&|stored| stored.retain(|(offset, _)| *offset != 5_000), Some((1, lost(5_000))));
        check(&|stored| stored.retain(|(offset, _)| *offset != 5_050), Some((1, lost(5_050))));
        check(&|stored| stored.push((9_001, Fate::Row(10))), Some((2, doubled(9_001))));
        check(&|stored| stored.push((9_050, Fate::Dead)), Some((2, doubled(9_050))));
        // Row and dead letter both.
        check(&|stored| stored.push((9_050, Fate::Row(10))), Some((2, doubled(9_050))));
        check(&|stored| stored[12].1 = Fate::Row(11), Some((0, wrong(12))));
        check(&|stored| stored[12].1 = Fate::Dead, Some((0, wrong(12))));
        // What no reader of committed data sees.
        check(&|stored| stored.push((777, Fate::Row(255))), Some((0, wrong(777))));
        // One lost and another doubled in its place: the count alone would not see it.
        let swap = |stored: &mut Vec<(u64, Fate)>| stored[12].0 = 13;
        check(&swap, Some((0, Exact { lost: vec![12], doubled: vec![13], wrong: Vec::new() })));
        check(&|stored| stored.push((20_000, Fate::Row(10))), Some((4, wrong(20_000))));
    }

    #[test]
    fn the_oracle_sees_wrong_alerts() {
        let check = |seen: &[(i32, u64)], expected: AlertFaults| {
            assert_eq!(compare_alerts(&[(0, 5), (0, 9), (1, 5)], seen), expected);
        };
        check(&[(0, 5), (0, 9), (1, 5)], AlertFaults::default());
        check(&[(0, 5), (1, 5)], AlertFaults { missing: vec![(0, 9)], ..AlertFaults::default() });
        check(&[(0, 5), (0, 9)], AlertFaults { missing: vec![(1, 5)], ..AlertFaults::default() });
        check(&[(0, 5), (0, 9), (0, 9), (1, 5)], AlertFaults { repeated: vec![(0, 9)], ..AlertFaults::default() });
        check(&[(0, 4), (0, 5), (0, 9), (1, 5)], AlertFaults { unexpected: vec![(0, 4)], ..AlertFaults::default() });
        check(&[(0, 5), (0, 9), (1, 5), (2, 0)], AlertFaults { unexpected: vec![(2, 0)], ..AlertFaults::default() });
    }

    #[test]
    fn a_payload_says_what_becomes_of_it() {
        let check = |payload: &str, expected| assert_eq!(fate(payload.as_bytes()), expected, "{payload}");
        check(r#"{"v":42}"#, Fate::Row(42));
        check(r#"{"v":255}"#, Fate::Row(255));
        check(r#"{"v":999}"#, Fate::Dead);
        check(r#"{"v":xx}"#, Fate::Dead);
        // As `SELECT intHash64(12345)` says.
        assert_eq!(hash(12_345), 16_722_121_143_744_093_920);
    }
}
