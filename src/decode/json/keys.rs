//! Which of the known names a key is, guessed from the last record.
//!
//! Producers write the fields of their records in one order and one style, so what follows the
//! value of `a` is most likely what followed it last time: the same comma, white space, key and
//! colon. That text is compared as a whole, and where it is the same bytes it means the same; only
//! where it differs is the key parsed and looked up, and the text learned. Keys that nobody takes
//! are learned too. All that is learned is bounded.

use std::collections::HashMap;

/// Most keys that nobody takes that are remembered.
const UNKNOWN_KEYS_MAX: usize = 256;
/// Longest key that nobody takes that is remembered.
const UNKNOWN_KEY_BYTES_MAX: usize = 256;
/// Longest text between two values that is learned. It is compared four words at a time, which
/// costs less than a call.
const TEXT_BYTES_MAX: usize = 32;
const TEXT_WORDS: usize = TEXT_BYTES_MAX / 8;

/// The place before the first key.
pub(crate) const START: usize = 0;
/// The place of all keys that are not remembered.
pub(crate) const NOWHERE: usize = 1;

/// What is known of the keys of a table's records.
#[derive(Debug)]
pub(crate) struct KeyGuess {
    /// One per known key, after the one for the start of a record.
    entries: Vec<KeyEntry>,
    places: HashMap<Box<[u8]>, usize>,
    unknown_keys: usize,
}

#[derive(Debug)]
struct KeyEntry {
    /// Which of the known names; `None` of a key that nobody takes.
    name: Option<usize>,
    next: Next,
}

/// What followed a value last time, up to the next value.
#[derive(Debug, Default)]
struct Next {
    words: [u64; TEXT_WORDS],
    /// Ones where the text is; nothing was learned where it has none.
    mask: [u64; TEXT_WORDS],
    bytes: usize,
    place: usize,
}

impl KeyGuess {
    pub(crate) fn new<'a>(names: impl Iterator<Item = &'a str>) -> Self {
        let mut guess = Self { entries: Vec::new(), places: HashMap::new(), unknown_keys: 0 };
        for place in [START, NOWHERE] {
            let added = guess.add_entry(None);
            debug_assert_eq!(added, place);
        }
        for (number, name) in names.enumerate() {
            let place = guess.add_entry(Some(number));
            guess.places.insert(name.as_bytes().into(), place);
        }
        guess
    }

    /// Where `rest`, which begins after a value, is what followed that value last time: the place
    /// of the next key, and the bytes up to its value.
    #[inline]
    pub(crate) fn guess(&self, after: usize, rest: &[u8]) -> Option<(usize, usize)> {
        let next = &self.entries[after].next;
        // The last bytes of a record are too few to compare: a shorter read would cost all others.
        let text = words(rest.first_chunk()?);
        let differing = (text[0] ^ next.words[0]) & next.mask[0]
            | (text[1] ^ next.words[1]) & next.mask[1]
            | (text[2] ^ next.words[2]) & next.mask[2]
            | (text[3] ^ next.words[3]) & next.mask[3];
        (differing == 0 && next.bytes > 0).then_some((next.place, next.bytes))
    }

    /// The place of a key.
    pub(crate) fn look_up(&mut self, key: &[u8]) -> usize {
        if let Some(&place) = self.places.get(key) {
            return place;
        }
        if self.unknown_keys == UNKNOWN_KEYS_MAX || key.len() > UNKNOWN_KEY_BYTES_MAX {
            return NOWHERE;
        }
        self.unknown_keys += 1;
        let place = self.add_entry(None);
        self.places.insert(key.into(), place);
        place
    }

    /// Remembers the whole text between two values.
    pub(crate) fn learn(&mut self, after: usize, text: &[u8], place: usize) {
        let (mut padded, mut mask) = ([0; TEXT_BYTES_MAX], [0; TEXT_BYTES_MAX]);
        let Some(start) = padded.get_mut(..text.len()) else {
            return;
        };
        start.copy_from_slice(text);
        mask[..text.len()].fill(0xFF);
        self.entries[after].next = Next { words: words(&padded), mask: words(&mask), bytes: text.len(), place };
    }

    #[inline]
    pub(crate) fn name(&self, place: usize) -> Option<usize> {
        self.entries[place].name
    }

    fn add_entry(&mut self, name: Option<usize>) -> usize {
        self.entries.push(KeyEntry { name, next: Next::default() });
        self.entries.len() - 1
    }
}

#[inline]
fn words(bytes: &[u8; TEXT_BYTES_MAX]) -> [u64; TEXT_WORDS] {
    let (words, _) = bytes.as_chunks::<8>();
    [
        u64::from_le_bytes(words[0]),
        u64::from_le_bytes(words[1]),
        u64::from_le_bytes(words[2]),
        u64::from_le_bytes(words[3]),
    ]
}
