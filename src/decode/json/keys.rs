//! Which column a key belongs to, guessed from the order of the last record.
//!
//! Producers write the fields of their records in one order, so the key after `a` is most likely
//! the one that followed `a` last time. A guess is checked against the bytes; only where it fails
//! is the key looked up. Keys without a column are learned too, up to a bound.

use std::collections::HashMap;

use crate::columns::ColumnSpec;

/// Most keys without a column that are remembered.
const UNKNOWN_KEYS_MAX: usize = 256;
/// Longest key without a column that is remembered.
const UNKNOWN_KEY_BYTES_MAX: usize = 256;

/// The place before the first key.
pub(crate) const START: usize = 0;

/// What is known of the keys of a table's records.
#[derive(Debug)]
pub(crate) struct KeyGuess {
    entries: Vec<KeyEntry>,
    places: HashMap<Box<[u8]>, usize>,
    unknown_keys: usize,
}

#[derive(Debug)]
struct KeyEntry {
    /// The key in quotes and the colon, as a record without white space has it; empty where the
    /// key cannot be compared byte by byte.
    quoted: Box<[u8]>,
    column: Option<usize>,
    /// The entry that followed this one last.
    next: usize,
}

impl KeyGuess {
    pub(crate) fn new(columns: &[ColumnSpec]) -> Self {
        let mut guess = Self {
            entries: vec![KeyEntry {
                quoted: Box::default(),
                column: None,
                next: START,
            }],
            places: HashMap::new(),
            unknown_keys: 0,
        };
        for (column, spec) in columns.iter().enumerate() {
            guess.learn(spec.name.as_bytes(), Some(column));
        }
        // The first guess: fields in the order of the columns.
        let last = guess.entries.len() - 1;
        for (place, entry) in guess.entries.iter_mut().enumerate() {
            entry.next = (place + 1).min(last);
        }
        guess
    }

    /// The place of the key that most likely follows, and how many bytes it and its colon take,
    /// where `rest` begins with it.
    #[inline]
    pub(crate) fn guess(&self, after: usize, rest: &[u8]) -> Option<(usize, usize)> {
        let place = self.entries[after].next;
        let quoted = &self.entries[place].quoted;
        (!quoted.is_empty() && rest.starts_with(quoted)).then_some((place, quoted.len()))
    }

    /// The place of a key. `None` for a key that is neither a column nor remembered.
    pub(crate) fn look_up(&mut self, after: usize, key: &[u8]) -> Option<usize> {
        let place = match self.places.get(key) {
            Some(&place) => place,
            None => {
                let room = self.unknown_keys < UNKNOWN_KEYS_MAX;
                if !room || key.len() > UNKNOWN_KEY_BYTES_MAX {
                    return None;
                }
                self.unknown_keys += 1;
                self.learn(key, None)
            }
        };
        self.entries[after].next = place;
        Some(place)
    }

    #[inline]
    pub(crate) fn column(&self, place: usize) -> Option<usize> {
        self.entries[place].column
    }

    fn learn(&mut self, key: &[u8], column: Option<usize>) -> usize {
        let plain = key.iter().all(|b| *b >= b' ' && *b != b'"' && *b != b'\\');
        let quoted = match plain {
            true => [b"\"", key, b"\":"].concat().into(),
            false => Box::default(),
        };
        let place = self.entries.len();
        self.entries.push(KeyEntry {
            quoted,
            column,
            next: START,
        });
        self.places.insert(key.into(), place);
        place
    }
}
