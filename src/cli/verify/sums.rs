//! A set of units as three numbers that Kafka's side and ClickHouse's side come to in the same way.
//!
//! A unit adds a hash of its offset to one sum and a hash of its offset and contents to the other, so that the order does
//! not matter, and a unit that is missing, doubled, moved or changed changes a sum. Equal sums are taken for equal sets
//! (a fault passes with a chance of 1 in 2^64); sums that differ only mean that somebody looks closer.

use std::ops::{Add, AddAssign};

use xxhash_rust::xxh3::xxh3_64;

/// Hashes are added without regard to overflow, on both sides.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Sums {
    pub(super) units: u64,
    pub(super) offsets: u64,
    /// Zero where contents are not compared.
    pub(super) contents: u64,
}

impl Sums {
    /// One unit; the hash of its contents where they are compared.
    pub(super) fn of(offset: u64, contents: Option<u64>) -> Self {
        let place = mix(offset);
        Self { units: 1, offsets: place, contents: contents.map_or(0, |contents| mix(place ^ contents)) }
    }

    /// The same over all rows of a SELECT, from the expression of a unit's offset and that of its contents' hash.
    pub(super) fn sql(offset: &str, contents: Option<&str>) -> String {
        let place = format!("intHash64({offset})");
        let contents = contents.map_or_else(
            || "toUInt64(0)".to_owned(),
            |contents| format!("sum(intHash64(bitXor({place}, {contents})))"),
        );
        format!("count() AS units, sum({place}) AS offsets, {contents} AS contents")
    }
}

impl Add for Sums {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            units: self.units + other.units,
            offsets: self.offsets.wrapping_add(other.offsets),
            contents: self.contents.wrapping_add(other.contents),
        }
    }
}

impl AddAssign for Sums {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

/// The hash of a unit's contents: ClickHouse's `xxh3`.
pub(super) fn hash(bytes: &[u8]) -> u64 {
    xxh3_64(bytes)
}

/// ClickHouse's `intHash64`.
fn mix(value: u64) -> u64 {
    let mut value = value ^ 0x4CF2_D2BA_AE6D_A887;
    value ^= value >> 33;
    value = value.wrapping_mul(0xFF51_AFD7_ED55_8CCD);
    value ^= value >> 33;
    value = value.wrapping_mul(0xC4CE_B9FE_1A85_EC53);
    value ^ (value >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_of_the_server() {
        // SELECT intHash64(12345), sum(intHash64(number)) FROM numbers(20000000), xxh3(..)
        assert_eq!(mix(12_345), 16_722_121_143_744_093_920);
        assert_eq!(
            hash(b"\x05\0\0\0\0\0\0\0\x03abc\x00\x03\x01\x01\x01a\x01\x02\x01\x02\x01\x01x"),
            4_745_808_565_830_281_374
        );
    }

    #[test]
    fn every_fault_changes_a_sum() {
        let all = |units: &[(u64, u64)]| {
            units.iter().fold(Sums::default(), |sums, (offset, contents)| sums + Sums::of(*offset, Some(*contents)))
        };
        let clean = all(&[(1, 10), (2, 20), (3, 30)]);
        assert_eq!(clean, all(&[(3, 30), (1, 10), (2, 20)]));
        let offsets_of = |units: &[(u64, u64)]| all(units).offsets;
        for wrong in [
            &[(1, 10), (2, 20)][..],
            &[(1, 10), (2, 20), (3, 30), (3, 30)],
            &[(1, 10), (2, 20), (2, 20)],
            &[(1, 10), (2, 20), (4, 30)],
        ] {
            assert_ne!((clean.units, clean.offsets), (all(wrong).units, offsets_of(wrong)), "{wrong:?}");
        }
        let swapped = all(&[(1, 20), (2, 10), (3, 30)]);
        assert_eq!((swapped.units, swapped.offsets), (clean.units, clean.offsets));
        assert_ne!(swapped.contents, clean.contents);
        assert_ne!(all(&[(1, 10), (2, 20), (3, 31)]).contents, clean.contents);
    }
}
