//! The entries of a map field: each a message of a key and a value, of which the last with one key counts.

use std::cmp::Ordering;
use std::ops::Range;

use super::pieces::{Met, Reader, to_usize};
use super::plan::MapKey;
use super::shape::Kind;
use crate::decode::error::Fault;
use crate::decode::typed::Typed;

/// An entry of a map.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    key: Key,
    /// Its piece.
    pub(super) piece: usize,
}

/// A key of a map: a text by its place, all else by its bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    Text(u32, u32),
    Bits(u64),
}

impl<'r> Reader<'r, '_> {
    /// The entries of a map, of several with one key the last; gives the first of them in `entry`.
    pub(super) fn entries(&mut self, message: usize, pieces: Range<usize>, depth: u32) -> Result<usize, Fault> {
        let first = self.scratch.entries.len();
        let [key, value] = self.plan.shapes.entry(message);
        for piece in pieces {
            let before = self.pieces();
            let own = self.index(self.shape(message), piece..piece + 1, depth, |_| true)?;
            let keys = own..self.end_of_slot(own, 0);
            let values = keys.end..self.pieces();
            let key = match (key.kind, keys.last()) {
                (Kind::String, Some(last)) => {
                    let last = self.piece(last);
                    Key::Text(last.start, last.end)
                }
                (Kind::String, None) => Key::Text(0, 0),
                (kind, last) => {
                    let found = last.map(|last| self.scalar_at(kind, self.piece(last))).transpose()?;
                    Key::Bits(found.map_or(0, bits))
                }
            };
            // An entry with a number that the enum lacks is an unknown field as a whole: `index` has left it out.
            let unknown = value.closed && values.is_empty() && self.has_value(message, piece, depth)?;
            self.pop_pieces(before);
            if !unknown {
                self.scratch.entries.push(Entry { key, piece });
            }
        }
        self.drop_earlier(first);
        Ok(first)
    }

    /// Whether an entry has a value, be it one that its enum lacks.
    fn has_value(&mut self, message: usize, piece: usize, depth: u32) -> Result<bool, Fault> {
        let mut has = false;
        self.scan(self.shape(message), piece..piece + 1, depth, |_, slot| {
            has |= slot == 1;
            Ok(Met::Skipped)
        })?;
        Ok(has)
    }

    fn end_of_slot(&self, first: usize, slot: usize) -> usize {
        let same = self.scratch.pieces[first..].iter().take_while(|piece| piece.slot() == slot);
        first + same.count()
    }

    fn drop_earlier(&mut self, first: usize) {
        let record = self.record;
        let entries = &mut self.scratch.entries;
        if entries.len() - first < 2 {
            return;
        }
        let by_key = |a: &Entry, b: &Entry| compare(record, a.key, b.key);
        entries[first..].sort_unstable_by(|a, b| by_key(a, b).then(a.piece.cmp(&b.piece)));
        let mut kept = first;
        for number in first..entries.len() {
            let entry = entries[number];
            let is_last = entries.get(number + 1).is_none_or(|next| by_key(&entry, next).is_ne());
            if is_last {
                entries[kept] = entry;
                kept += 1;
            }
        }
        entries.truncate(kept);
        entries[first..].sort_unstable_by_key(|entry| entry.piece);
    }

    pub(super) fn entry(&self, number: usize) -> Option<Entry> {
        self.scratch.entries.get(number).copied()
    }

    pub(super) fn pop_entries(&mut self, length: usize) {
        self.scratch.entries.truncate(length);
    }

    /// Whether an entry has this key.
    pub(super) fn has_key(&self, entry: Entry, key: &MapKey) -> bool {
        match (entry.key, key) {
            (Key::Text(start, end), MapKey::Text(text)) => {
                self.record[to_usize(start)..to_usize(end)] == *text.as_bytes()
            }
            (Key::Bits(own), MapKey::Bits(bits)) => own == *bits,
            _ => false,
        }
    }

    /// The key of an entry and the pieces of its value, which the caller pops.
    pub(super) fn entry_parts(
        &mut self,
        message: usize,
        entry: Entry,
        depth: u32,
    ) -> Result<(Typed<'r>, Range<usize>), Fault> {
        let [key, _] = self.plan.shapes.entry(message);
        let own = self.index(self.shape(message), entry.piece..entry.piece + 1, depth, |_| true)?;
        let values = self.end_of_slot(own, 0);
        let key = self.scalar(key, &(own..values))?;
        Ok((key, values..self.pieces()))
    }
}

fn compare(record: &[u8], a: Key, b: Key) -> Ordering {
    match (a, b) {
        (Key::Bits(a), Key::Bits(b)) => a.cmp(&b),
        (Key::Text(a, a_end), Key::Text(b, b_end)) => {
            record[to_usize(a)..to_usize(a_end)].cmp(&record[to_usize(b)..to_usize(b_end)])
        }
        _ => unreachable!("the keys of a map are of one kind"),
    }
}

fn bits(key: Typed<'_>) -> u64 {
    match key {
        Typed::Int(value) => value.cast_unsigned(),
        Typed::UInt(value) => value,
        Typed::Bool(value) => value.into(),
        _ => unreachable!("descriptors are checked to have no other keys"),
    }
}
