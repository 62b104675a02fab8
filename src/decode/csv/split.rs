//! One record of delimited text to its fields.
//!
//! Takes a record that is known to be UTF-8, gives where each field stands, copies nothing. What is taken means the same
//! as to the `csv` crate (a quote inside of a field that does not begin with one is an ordinary byte; `\n`, `\r` and
//! `\r\n` end a record); what that one mends in silence is refused: a quote that is not closed, bytes behind a closing
//! quote, a second line.

use memchr::{memchr, memchr2, memchr3};

use crate::decode::error::{ErrorCode, Fault};

/// The bytes that mean something.
#[derive(Debug)]
pub(super) struct Splitter {
    pub(super) delimiter: u8,
    pub(super) quote: Option<u8>,
    pub(super) escape: Option<u8>,
    /// Whether blanks around fields are no part of them.
    pub(super) trim: bool,
}

/// Where a field stands in its record, without quotes and blanks around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) quoted: bool,
    /// Whether it has to be unescaped.
    pub(super) escaped: bool,
}

/// The fields of one record, from the first on.
#[derive(Debug)]
pub(super) struct Fields<'a> {
    splitter: &'a Splitter,
    record: &'a [u8],
    /// Where the next field begins; `None` behind the last one.
    at: Option<usize>,
    /// The record's delimiters, where it has nothing else that means something.
    delimiters: Option<Delimiters<'a>>,
}

/// The places of one byte in a text. Fields are short: to look at eight bytes at once costs less than a call for each field.
#[derive(Debug)]
struct Delimiters<'a> {
    text: &'a [u8],
    /// Eight times the byte.
    pattern: u64,
    /// Of the eight bytes before `next`, the highest bit of each that is the byte and has not been given yet.
    found: u64,
    next: usize,
}

impl<'a> Delimiters<'a> {
    fn new(text: &'a [u8], delimiter: u8) -> Self {
        Self { text, pattern: u64::from_le_bytes([delimiter; 8]), found: 0, next: 0 }
    }

    /// The next place.
    #[inline]
    fn next(&mut self) -> Option<usize> {
        while self.found == 0 {
            let rest = &self.text[self.next.min(self.text.len())..];
            let word = match rest.first_chunk() {
                Some(chunk) => *chunk,
                None if rest.is_empty() => return None,
                None => self.last_word(rest),
            };
            self.found = zero_bytes(u64::from_le_bytes(word) ^ self.pattern);
            self.next += 8;
        }
        let place = self.next - 8 + self.found.trailing_zeros() as usize / 8;
        self.found &= self.found - 1;
        Some(place)
    }

    /// The last bytes, and behind them such as are not the one that is looked for.
    #[cold]
    fn last_word(&self, rest: &[u8]) -> [u8; 8] {
        let mut word = (!self.pattern).to_le_bytes();
        word[..rest.len()].copy_from_slice(rest);
        word
    }
}

/// The highest bit of every byte that is zero.
#[inline]
fn zero_bytes(word: u64) -> u64 {
    const LOW_BITS: u64 = u64::from_le_bytes([0x7F; 8]);
    // Low bits that are not all zero carry into the highest one.
    !(((word & LOW_BITS) + LOW_BITS) | word | LOW_BITS)
}

impl Splitter {
    /// The fields of a record.
    #[inline]
    pub(super) fn fields<'a>(&'a self, record: &'a [u8]) -> Fields<'a> {
        let body = without_line_break(record);
        let marker = self.quote.or(self.escape).unwrap_or(b'\n');
        let plain = memchr3(marker, b'\n', b'\r', body).is_none();
        let delimiters = plain.then(|| Delimiters::new(body, self.delimiter));
        Fields { splitter: self, record, at: Some(0), delimiters }
    }

    /// Whether an escape counts outside of quotes: as in tab-separated texts, which have none.
    fn escape_of_bare(&self) -> Option<u8> {
        self.escape.filter(|_| self.quote.is_none())
    }

    fn is_blank(&self, byte: u8) -> bool {
        self.trim && matches!(byte, b' ' | b'\t') && byte != self.delimiter
    }

    /// The first place from `at` on that holds no blank.
    fn behind_blanks(&self, record: &[u8], at: usize) -> usize {
        at + record[at..].iter().take_while(|byte| self.is_blank(**byte)).count()
    }

    #[inline(always)]
    fn bare(&self, record: &[u8], start: usize, end: usize, escaped: bool) -> Field {
        let (start, end) = if self.trim { self.trimmed(record, start, end) } else { (start, end) };
        Field { start, end, quoted: false, escaped }
    }

    fn trimmed(&self, record: &[u8], start: usize, end: usize) -> (usize, usize) {
        let start = self.behind_blanks(&record[..end], start);
        let blanks = record[start..end].iter().rev().take_while(|byte| self.is_blank(**byte)).count();
        (start, end - blanks)
    }

    /// Writes the content of a field that has escapes.
    ///
    /// # Errors
    /// Where an escape means different things to different writers.
    pub(super) fn unescape(&self, record: &[u8], field: Field, text: &mut Vec<u8>) -> Result<(), Fault> {
        text.clear();
        let mut from = field.start;
        let quote = self.quote.filter(|_| field.quoted);
        while let Some(found) = self.next_escape(quote, &record[from..field.end]) {
            let at = from + found;
            text.extend_from_slice(&record[from..at]);
            // A doubled quote stands for one, and so does what follows an escape inside of quotes.
            let meant = match record[at + 1] {
                byte if field.quoted => Some(byte),
                byte => control_byte(byte),
            };
            let invalid = Fault { code: ErrorCode::InvalidCsv, at };
            let meant = meant.ok_or(invalid)?;
            text.push(meant);
            from = at + 2;
        }
        text.extend_from_slice(&record[from..field.end]);
        Ok(())
    }

    fn next_escape(&self, quote: Option<u8>, rest: &[u8]) -> Option<usize> {
        match (quote, self.escape) {
            (Some(quote), Some(escape)) => memchr2(quote, escape, rest),
            (Some(only), None) | (None, Some(only)) => memchr(only, rest),
            (None, None) => None,
        }
    }
}

/// What a letter behind an escape means where there are no quotes, by the format `TabSeparated`. Of letters that it does
/// not list some writers keep the escape and others drop it.
fn control_byte(letter: u8) -> Option<u8> {
    Some(match letter {
        b't' => b'\t',
        b'n' | b'\n' => b'\n',
        b'r' => b'\r',
        b'b' => 0x08,
        b'f' => 0x0C,
        b'v' => 0x0B,
        b'0' => 0,
        b'\\' | b'\'' | b'"' | b'/' => letter,
        _ => return None,
    })
}

/// A record may end as a line does.
fn without_line_break(record: &[u8]) -> &[u8] {
    match record {
        [body @ .., b'\r', b'\n'] | [body @ .., b'\n' | b'\r'] => body,
        body => body,
    }
}

impl Fields<'_> {
    /// The next field; `None` behind the last one. In place of a call, because a field that comes back through memory costs
    /// more than finding it.
    #[inline(always)]
    pub(super) fn next(&mut self) -> Result<Option<Field>, Fault> {
        let Some(start) = self.at else {
            return Ok(None);
        };
        let Some(delimiters) = &mut self.delimiters else {
            return self.next_of_any(start).map(Some);
        };
        let end = match delimiters.next() {
            Some(end) => {
                self.at = Some(end + 1);
                end
            }
            None => {
                self.at = None;
                delimiters.text.len()
            }
        };
        Ok(Some(self.splitter.bare(self.record, start, end, false)))
    }

    #[inline(never)]
    fn next_of_any(&mut self, start: usize) -> Result<Field, Fault> {
        let splitter = self.splitter;
        let opening = splitter.behind_blanks(self.record, start);
        if self.record.get(opening).is_some_and(|byte| splitter.quote == Some(*byte)) {
            let field = self.quoted(opening)?;
            let end = splitter.behind_blanks(self.record, field.end + 1);
            self.end_field(end)?;
            return Ok(field);
        }
        let (mut end, mut escaped) = (start, false);
        loop {
            let rest = &self.record[end..];
            let stop = memchr3(splitter.delimiter, b'\n', b'\r', rest).unwrap_or(rest.len());
            let escape = splitter.escape_of_bare().and_then(|escape| memchr(escape, &rest[..stop]));
            let Some(escape) = escape else {
                end += stop;
                break;
            };
            escaped = true;
            // What is escaped ends no field.
            if end + escape + 1 == self.record.len() {
                return Err(Fault { code: ErrorCode::InvalidCsv, at: end + escape });
            }
            end += escape + 2;
        }
        self.end_field(end)?;
        Ok(splitter.bare(self.record, start, end, escaped))
    }

    /// The field whose quote opens at this place.
    fn quoted(&self, opening: usize) -> Result<Field, Fault> {
        let (quote, start) = (self.record[opening], opening + 1);
        let (mut at, mut escaped) = (start, false);
        loop {
            let rest = self.record.get(at..).unwrap_or(&[]);
            let found = self.splitter.next_escape(Some(quote), rest);
            // A record that was cut short must not pass for a whole one.
            at += found.ok_or(Fault { code: ErrorCode::InvalidCsv, at: opening })?;
            if self.record[at] == quote && self.record.get(at + 1) != Some(&quote) {
                return Ok(Field { start, end: at, quoted: true, escaped });
            }
            escaped = true;
            at += 2;
        }
    }

    /// Goes on behind a field that ends here.
    fn end_field(&mut self, end: usize) -> Result<(), Fault> {
        let rest = &self.record[end..];
        self.at = None;
        let after = match rest {
            [byte, ..] if *byte == self.splitter.delimiter => {
                self.at = Some(end + 1);
                return Ok(());
            }
            [b'\r', b'\n', after @ ..] | [b'\n' | b'\r', after @ ..] => after,
            [] => return Ok(()),
            _ => return Err(Fault { code: ErrorCode::InvalidCsv, at: end }),
        };
        match after {
            [] => Ok(()),
            _ => Err(Fault { code: ErrorCode::TrailingData, at: self.record.len() - after.len() }),
        }
    }
}
