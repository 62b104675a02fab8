//! A position in JSON text, and the grammar of RFC 8259 without recursion.

use crate::decode::error::{ErrorCode, Fault};
use crate::decode::number::{EXPONENT_MAX, Number};

/// Deepest nesting of brackets in a record, its own braces included.
pub(crate) const DEPTH_MAX: u32 = 128;

/// Powers of ten up to that of one step of digits.
const POWERS: [u64; 9] = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000];

/// A position in a text that is known to be UTF-8.
#[derive(Debug)]
pub(crate) struct Cursor<'a> {
    pub(super) bytes: &'a [u8],
    pub(crate) at: usize,
    pub(super) depth: u32,
}

/// A place in a text.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mark {
    at: usize,
    depth: u32,
}

impl<'a> Cursor<'a> {
    #[inline]
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, depth: 0 }
    }

    /// The same behind what stands in front of the text.
    #[inline]
    pub(crate) fn starting_at(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, at, depth: 0 }
    }

    /// At a place in a text that was read before.
    pub(crate) fn resume(bytes: &'a [u8], at: usize, depth: u32) -> Self {
        Self { bytes, at, depth }
    }

    /// What `resume` needs to know.
    pub(crate) fn place(&self) -> (usize, u32) {
        (self.at, self.depth)
    }

    /// The next byte; 0, which no JSON text has outside of strings, at the end.
    #[inline]
    pub(crate) fn peek(&self) -> u8 {
        self.bytes.get(self.at).copied().unwrap_or(0)
    }

    /// The bytes that are left.
    #[inline]
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or(&[])
    }

    #[inline]
    pub(crate) fn at_end(&self) -> bool {
        self.at >= self.bytes.len()
    }

    /// The text since an earlier position.
    #[inline]
    pub(crate) fn since(&self, start: usize) -> &'a [u8] {
        &self.bytes[start..self.at]
    }

    #[inline]
    pub(crate) fn fault(&self, code: ErrorCode) -> Fault {
        Fault { code, at: self.at }
    }

    #[inline]
    pub(super) fn syntax<T>(&self) -> Result<T, Fault> {
        Err(self.fault(ErrorCode::InvalidJson))
    }

    /// Skips white space and returns the byte after it.
    #[inline]
    pub(crate) fn next_token(&mut self) -> u8 {
        loop {
            let byte = self.peek();
            if byte > b' ' || !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                return byte;
            }
            self.at += 1;
        }
    }

    /// Takes a byte that has to be there.
    #[inline]
    pub(crate) fn expect(&mut self, byte: u8) -> Result<(), Fault> {
        if self.next_token() != byte {
            return self.syntax();
        }
        self.at += 1;
        Ok(())
    }

    /// Takes `true`, `false` or `null`.
    #[inline]
    pub(crate) fn literal(&mut self, word: &'static [u8]) -> Result<(), Fault> {
        if !self.rest().starts_with(word) {
            return self.syntax();
        }
        self.at += word.len();
        Ok(())
    }

    /// A place to which `back_to` returns.
    #[inline]
    pub(crate) fn mark(&self) -> Mark {
        Mark { at: self.at, depth: self.depth }
    }

    /// Returns to an earlier place.
    #[inline]
    pub(crate) fn back_to(&mut self, mark: Mark) {
        (self.at, self.depth) = (mark.at, mark.depth);
    }

    /// Takes an opening bracket or brace.
    #[inline]
    pub(crate) fn enter(&mut self) -> Result<(), Fault> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(self.fault(ErrorCode::TooDeep));
        }
        self.at += 1;
        Ok(())
    }

    /// Takes a closing bracket or brace.
    #[inline]
    pub(crate) fn leave(&mut self) {
        self.depth -= 1;
        self.at += 1;
    }

    /// After a value inside brackets: takes a comma, or the closing byte and then returns false.
    #[inline]
    pub(crate) fn another(&mut self, close: u8) -> Result<bool, Fault> {
        let byte = self.next_token();
        if byte == b',' {
            self.at += 1;
            return Ok(true);
        }
        if byte == close {
            self.leave();
            return Ok(false);
        }
        self.syntax()
    }

    /// Takes a string without escapes, which nearly all are; gives where its content begins and ends.
    #[inline]
    pub(crate) fn plain_string(&mut self) -> Option<(usize, usize)> {
        if self.peek() != b'"' {
            return None;
        }
        let start = self.at + 1;
        let end = special_from(self.bytes, start);
        if self.bytes.get(end) != Some(&b'"') {
            return None;
        }
        self.at = end + 1;
        Some((start, end))
    }

    /// The whole text.
    #[inline]
    pub(crate) fn text(&self) -> &'a [u8] {
        self.bytes
    }

    /// Takes a string. Its content is a piece of the text, or `scratch` where there are escapes.
    #[inline]
    pub(crate) fn string<'s>(&mut self, scratch: &'s mut Vec<u8>) -> Result<&'s [u8], Fault>
    where
        'a: 's,
    {
        if let Some((start, end)) = self.plain_string() {
            return Ok(&self.bytes[start..end]);
        }
        if self.peek() != b'"' {
            return self.syntax();
        }
        let start = self.at + 1;
        scratch.clear();
        self.escaped_string(start, special_from(self.bytes, start), Some(scratch))?;
        Ok(scratch)
    }

    /// The rest of a string whose first special byte is at `special`.
    pub(super) fn escaped_string(
        &mut self,
        start: usize,
        special: usize,
        mut out: Option<&mut Vec<u8>>,
    ) -> Result<(), Fault> {
        let (mut from, mut special) = (start, special);
        loop {
            if let Some(out) = out.as_deref_mut() {
                out.extend_from_slice(&self.bytes[from..special]);
            }
            self.at = special;
            match self.peek() {
                b'"' => {
                    self.at += 1;
                    return Ok(());
                }
                b'\\' => {
                    let character = self.escape()?;
                    if let Some(out) = out.as_deref_mut() {
                        let mut utf8 = [0; 4];
                        out.extend_from_slice(character.encode_utf8(&mut utf8).as_bytes());
                    }
                }
                // A control character, or the end of the text.
                _ => return self.syntax(),
            }
            from = self.at;
            special = special_from(self.bytes, from);
        }
    }

    /// Takes one escape sequence, or two that make a surrogate pair.
    fn escape(&mut self) -> Result<char, Fault> {
        let start = self.at;
        let invalid = Fault { code: ErrorCode::InvalidJson, at: start };
        self.at += 1;
        let kind = self.peek();
        self.at += 1;
        Ok(match kind {
            b'"' | b'\\' | b'/' => char::from(kind),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let first = self.hex4().ok_or(invalid)?;
                let code = match first {
                    0xD800..=0xDBFF => {
                        if !self.rest().starts_with(b"\\u") {
                            return Err(invalid);
                        }
                        self.at += 2;
                        let second = self.hex4().ok_or(invalid)?;
                        if !(0xDC00..=0xDFFF).contains(&second) {
                            return Err(invalid);
                        }
                        0x1_0000 + ((first - 0xD800) << 10) + (second - 0xDC00)
                    }
                    code => code,
                };
                // Refuses a second half without a first one.
                char::from_u32(code).ok_or(invalid)?
            }
            _ => return Err(invalid),
        })
    }

    fn hex4(&mut self) -> Option<u32> {
        let digits = self.rest().first_chunk::<4>()?;
        let mut value = 0;
        for digit in digits {
            value = value * 16 + char::from(*digit).to_digit(16)?;
        }
        self.at += 4;
        Some(value)
    }

    /// Takes a number.
    #[inline]
    pub(crate) fn number(&mut self) -> Result<Number<'a>, Fault> {
        let negative = self.peek() == b'-';
        self.at += usize::from(negative);
        let start = self.at;
        let mut mantissa = self.digits(0);
        let whole_digits = self.at - start;
        // Digits are needed, and a leading zero stands alone.
        if whole_digits == 0 || (whole_digits > 1 && self.bytes[start] == b'0') {
            return self.syntax();
        }
        let (mut fraction_digits, mut exponent, mut integral) = (0, 0, true);
        if self.peek() == b'.' {
            self.at += 1;
            let fraction = self.at;
            mantissa = self.digits(mantissa);
            fraction_digits = self.at - fraction;
            integral = false;
            if fraction_digits == 0 {
                return self.syntax();
            }
        }
        if matches!(self.peek(), b'e' | b'E') {
            exponent = self.exponent()?;
            integral = false;
        }
        Ok(Number {
            negative,
            magnitude: &self.bytes[start..self.at],
            mantissa,
            digits: whole_digits + fraction_digits,
            fraction_digits,
            exponent,
            integral,
        })
    }

    /// Takes digits and appends them to a value, which wraps where they are too many.
    ///
    /// Eight at a time, because how many digits a number has cannot be predicted.
    #[inline]
    fn digits(&mut self, mut value: u64) -> u64 {
        while let Some(chunk) = self.rest().first_chunk() {
            let (count, digits) = leading_digits(u64::from_le_bytes(*chunk));
            value = value.wrapping_mul(POWERS[count]).wrapping_add(digits);
            self.at += count;
            if count < 8 {
                return value;
            }
        }
        while self.peek().is_ascii_digit() {
            value = value.wrapping_mul(10).wrapping_add((self.peek() - b'0').into());
            self.at += 1;
        }
        value
    }

    fn exponent(&mut self) -> Result<i32, Fault> {
        self.at += 1;
        let negative = self.peek() == b'-';
        self.at += usize::from(matches!(self.peek(), b'-' | b'+'));
        let start = self.at;
        let mut value = 0;
        while self.peek().is_ascii_digit() {
            value = (value * 10 + i32::from(self.peek() - b'0')).min(EXPONENT_MAX);
            self.at += 1;
        }
        if self.at == start {
            return self.syntax();
        }
        Ok(if negative { -value } else { value })
    }
}

/// Position of the first quote, backslash or control character, or the end.
#[inline]
pub(super) fn special_from(bytes: &[u8], mut at: usize) -> usize {
    while let Some(chunk) = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        let special = special_bytes(u64::from_le_bytes(*chunk));
        if special != 0 {
            return at + (special.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    while let Some(&byte) = bytes.get(at) {
        if byte == b'"' || byte == b'\\' || byte < b' ' {
            break;
        }
        at += 1;
    }
    at
}

/// The high bit of each byte that is special. Bits above the lowest one set may be wrong: a borrow
/// runs only upwards from a byte that is special itself.
#[inline]
fn special_bytes(word: u64) -> u64 {
    const ONES: u64 = u64::MAX / 255;
    const HIGH: u64 = ONES * 0x80;
    let quote = (word ^ (ONES * b'"' as u64)).wrapping_sub(ONES);
    let backslash = (word ^ (ONES * b'\\' as u64)).wrapping_sub(ONES);
    let control = word.wrapping_sub(ONES * 0x20);
    // Of a byte above 127 none of the three says anything.
    (quote | backslash | control) & !word & HIGH
}

/// How many of eight bytes are digits before the first that is none, and their value.
#[inline]
fn leading_digits(word: u64) -> (usize, u64) {
    const ONES: u64 = u64::MAX / 255;
    let digits = word ^ (ONES * b'0' as u64);
    // The high bit of each byte above 9; a carry runs only upwards from such a byte.
    let others = (digits.wrapping_add(ONES * 0x76) | digits) & (ONES * 0x80);
    let bits = others.trailing_zeros() & !7;
    // Moved up, so that zeros come before the first digit.
    let digits = digits.checked_shl(64 - bits).unwrap_or(0);
    let pairs = digits.wrapping_mul(10).wrapping_add(digits >> 8);
    let outer = (pairs & 0x0000_00FF_0000_00FF).wrapping_mul(100 + (1_000_000 << 32));
    let inner = (pairs >> 16 & 0x0000_00FF_0000_00FF).wrapping_mul(1 + (10_000 << 32));
    ((bits / 8) as usize, outer.wrapping_add(inner) >> 32)
}
