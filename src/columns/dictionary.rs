//! `LowCardinality`: every distinct value once, and an index per row.

use std::hash::{BuildHasher, RandomState};

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::builder::{ColumnBuilder, read_varint};

/// Slots of a new table; always a power of two.
const SLOTS_MIN: usize = 64;

/// A dictionary of leaf values and the index of each row.
///
/// Value 0 is the type's default; where NULL is allowed, value 0 is NULL and value 1 the default.
#[derive(Debug)]
pub(crate) struct DictionaryColumn {
    pub(crate) values: Box<ColumnBuilder>,
    /// Where each value ends in the data of `values`.
    ends: Vec<usize>,
    /// Open addressing: index + 1, or 0 for a free slot.
    slots: Vec<u32>,
    pub(crate) indexes: Vec<u32>,
    pub(crate) nullable: bool,
    /// Lengths of `ends` and `indexes` before the open row.
    mark: (usize, usize),
    /// Values come from outside, so their places in the table must not be predictable.
    seed: u64,
}

impl DictionaryColumn {
    pub(crate) fn new(values: ColumnBuilder, nullable: bool) -> Self {
        let mut column = Self {
            values: Box::new(values),
            ends: Vec::new(),
            slots: Vec::new(),
            indexes: Vec::new(),
            nullable,
            mark: (0, 0),
            seed: RandomState::new().hash_one(0_u8),
        };
        column.clear();
        column
    }

    pub(crate) fn clear(&mut self) {
        self.values.clear();
        self.ends.clear();
        self.slots.clear();
        self.slots.resize(SLOTS_MIN, 0);
        self.indexes.clear();
        if self.nullable {
            self.values.push_zero();
            self.ends.push(self.values.leaf_data().len());
        }
        self.values.push_zero();
        self.resolve_last();
        self.mark();
    }

    #[inline]
    pub(crate) fn mark(&mut self) {
        self.mark = (self.ends.len(), self.indexes.len());
    }

    /// Takes back the open row, and the values that only it had.
    pub(crate) fn rollback(&mut self) {
        let (values, rows) = self.mark;
        self.indexes.truncate(rows);
        // A value that was being appended when the row failed.
        let known = self.ends.last().copied().unwrap_or(0);
        self.values.leaf_data_mut().truncate(known);
        while self.ends.len() > values {
            let index = self.ends.len() - 1;
            // The newest entry is at the end of its probe chain, so freeing its slot breaks none.
            let slot = self.slot_of(index);
            self.slots[slot] = 0;
            self.ends.pop();
            let end = self.ends.last().copied().unwrap_or(0);
            self.values.leaf_data_mut().truncate(end);
        }
    }

    pub(crate) fn push_null(&mut self) {
        debug_assert!(self.nullable);
        self.indexes.push(0);
    }

    pub(crate) fn push_zero(&mut self) {
        self.indexes.push(u32::from(self.nullable));
    }

    pub(crate) fn append_all(&mut self, other: &Self) {
        for &index in &other.indexes {
            if other.nullable && index == 0 {
                self.push_null();
                continue;
            }
            let value = other.value(index);
            self.values.leaf_data_mut().extend_from_slice(value);
            self.push_appended();
        }
    }

    /// Ends the append of one value to `values`: a row that points at it, or at the equal value
    /// that the dictionary has already.
    pub(crate) fn push_appended(&mut self) {
        let index = self.resolve_last();
        self.indexes.push(index);
    }

    /// A row of a string; for dictionaries of strings only. Copies the string only where it is
    /// new.
    #[inline]
    pub(crate) fn push_string(&mut self, string: &[u8]) {
        // Runs of one value are the common case of low cardinality.
        if let Some(&last) = self.indexes.last()
            && !(self.nullable && last == 0)
            && self.key(last) == string
        {
            self.indexes.push(last);
            return;
        }
        let slot = match self.find(string) {
            Ok(known) => {
                self.indexes.push(known);
                return;
            }
            Err(slot) => slot,
        };
        if let ColumnBuilder::String(values) = self.values.as_mut() {
            values.push(string);
        }
        let index = self.insert(slot);
        self.indexes.push(index);
    }

    /// Index of the value appended last to `values`, which is removed again where it is known.
    fn resolve_last(&mut self) -> u32 {
        let start = self.ends.last().copied().unwrap_or(0);
        match self.find(self.content(&self.values.leaf_data()[start..])) {
            Ok(known) => {
                self.values.leaf_data_mut().truncate(start);
                known
            }
            Err(slot) => self.insert(slot),
        }
    }

    /// The index of a value, or the slot that it would have.
    #[inline]
    fn find(&self, content: &[u8]) -> Result<u32, usize> {
        let mut slot = self.first_slot(content);
        loop {
            match self.slots[slot] {
                0 => return Err(slot),
                found if self.key(found - 1) == content => return Ok(found - 1),
                _ => slot = (slot + 1) & (self.slots.len() - 1),
            }
        }
    }

    /// Takes the value appended last to `values` into the dictionary.
    fn insert(&mut self, slot: usize) -> u32 {
        self.ends.push(self.values.leaf_data().len());
        let count = u32::try_from(self.ends.len()).expect("a block has fewer than 2^32 values");
        self.slots[slot] = count;
        if self.ends.len() * 2 > self.slots.len() {
            self.grow();
        }
        count - 1
    }

    /// What is compared and hashed of a value: its bytes, without the length of a string.
    #[inline]
    fn key(&self, index: u32) -> &[u8] {
        self.content(self.value(index))
    }

    #[inline]
    fn content<'a>(&self, wire: &'a [u8]) -> &'a [u8] {
        match self.values.as_ref() {
            ColumnBuilder::String(_) => &wire[read_varint(wire).1..],
            _ => wire,
        }
    }

    /// Wire bytes of one value.
    #[inline]
    pub(crate) fn value(&self, index: u32) -> &[u8] {
        let index = index as usize;
        let start = match index {
            0 => 0,
            _ => self.ends[index - 1],
        };
        &self.values.leaf_data()[start..self.ends[index]]
    }

    /// The indexes since the mark.
    pub(super) fn open_indexes(&self) -> &[u32] {
        &self.indexes[self.mark.1..]
    }

    pub(crate) fn value_count(&self) -> usize {
        self.ends.len()
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        self.values.heap_bytes()
            + self.ends.capacity() * size_of::<usize>()
            + (self.slots.capacity() + self.indexes.capacity()) * size_of::<u32>()
    }

    #[inline]
    fn first_slot(&self, bytes: &[u8]) -> usize {
        let mask = self.slots.len() - 1;
        usize::try_from(xxh3_64_with_seed(bytes, self.seed) & mask as u64).expect("a masked hash is a table index")
    }

    fn slot_of(&self, index: usize) -> usize {
        let wanted = u32::try_from(index + 1).expect("a block has fewer than 2^32 values");
        let mut slot = self.first_slot(self.key(wanted - 1));
        while self.slots[slot] != wanted {
            slot = (slot + 1) & (self.slots.len() - 1);
        }
        slot
    }

    fn grow(&mut self) {
        let slots = self.slots.len() * 2;
        self.slots.clear();
        self.slots.resize(slots, 0);
        // In the order of insertion, on which `rollback` relies. NULL has no slot.
        for index in usize::from(self.nullable)..self.ends.len() {
            let entry = u32::try_from(index + 1).expect("a block has fewer than 2^32 values");
            let mut slot = self.first_slot(self.key(entry - 1));
            while self.slots[slot] != 0 {
                slot = (slot + 1) & (self.slots.len() - 1);
            }
            self.slots[slot] = entry;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::columns::StringColumn;

    #[test]
    fn a_value_that_was_begun_when_the_row_failed_is_taken_back() {
        let mut column = DictionaryColumn::new(ColumnBuilder::String(StringColumn::default()), true);
        column.push_string(b"kept");
        column.mark();
        column.push_string(b"gone");
        column.values.leaf_data_mut().extend_from_slice(b"\x20half a val");
        column.rollback();
        assert_eq!(column.values.leaf_data(), b"\0\0\x04kept");
        assert_eq!(column.indexes, [2]);
        column.push_string(b"gone");
        column.push_string(b"kept");
        assert_eq!(column.indexes, [2, 3, 2]);
        column.mark();
        column.push_string(b"kept");
        column.values.leaf_data_mut().extend_from_slice(b"\x20half a val");
        column.rollback();
        assert_eq!(column.values.leaf_data(), b"\0\0\x04kept\x04gone");
    }
}
