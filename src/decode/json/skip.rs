//! Past values and names: of what is kept as JSON all is checked, of what nobody takes only where it ends.
//!
//! So brackets, commas, colons and quotes are looked at in what nobody takes; escapes, control characters and what a number or
//! a word is are not.

use super::cursor::{Cursor, special_from};
use crate::decode::error::Fault;

impl<'a> Cursor<'a> {
    /// Takes the name of a field; `None` where it is no text, as with half a surrogate pair, and so the name of no column.
    #[inline]
    pub(crate) fn name<'s>(&mut self, scratch: &'s mut Vec<u8>) -> Result<Option<&'s [u8]>, Fault>
    where
        'a: 's,
    {
        match self.plain_string() {
            Some((start, end)) => Ok(Some(&self.bytes[start..end])),
            None => self.escaped_name(scratch),
        }
    }

    #[cold]
    fn escaped_name<'s>(&mut self, scratch: &'s mut Vec<u8>) -> Result<Option<&'s [u8]>, Fault>
    where
        'a: 's,
    {
        let start = self.at;
        if self.string(scratch).is_ok() {
            return Ok(Some(scratch));
        }
        self.at = start;
        if self.peek() != b'"' {
            return self.syntax();
        }
        self.pass_string().map(|()| None)
    }

    /// Takes a string and drops it; all of it is checked.
    #[inline]
    fn check_string(&mut self) -> Result<(), Fault> {
        if self.plain_string().is_some() {
            return Ok(());
        }
        let start = self.at + 1;
        self.escaped_string(start, special_from(self.bytes, start), None)
    }

    /// Takes a string and drops it, whatever is in it.
    #[inline]
    fn pass_string(&mut self) -> Result<(), Fault> {
        if self.plain_string().is_some() {
            return Ok(());
        }
        self.pass_special_string()
    }

    #[cold]
    fn pass_special_string(&mut self) -> Result<(), Fault> {
        self.at += 1;
        loop {
            self.at = special_from(self.bytes, self.at);
            match self.bytes.get(self.at) {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => self.at = (self.at + 2).min(self.bytes.len()),
                Some(_) => self.at += 1,
                None => return self.syntax(),
            }
        }
    }

    /// Takes a number or a word and drops it, whatever it says.
    #[inline]
    fn pass_word(&mut self) -> Result<(), Fault> {
        let length = self.rest().iter().take_while(|byte| is_of_word(**byte)).count();
        self.at += length;
        if length == 0 { self.syntax() } else { Ok(()) }
    }

    /// Takes `NaN`, `Infinity` or `-Infinity`, which are no JSON and which many write.
    #[cold]
    pub(crate) fn skip_unbounded(&mut self) -> Option<f32> {
        const WORDS: [(&[u8], f32); 3] =
            [(b"NaN", f32::NAN), (b"Infinity", f32::INFINITY), (b"-Infinity", f32::NEG_INFINITY)];
        let (word, value) = WORDS.iter().find(|(word, _)| self.rest().starts_with(word))?;
        self.at += word.len();
        Some(*value)
    }

    /// Takes a value that nobody takes.
    #[inline]
    pub(crate) fn skip_value(&mut self) -> Result<(), Fault> {
        self.pass_value::<false>()
    }

    /// Takes a value whose text is kept as JSON, and checks all of it.
    #[inline]
    pub(crate) fn check_value(&mut self) -> Result<(), Fault> {
        self.pass_value::<true>()
    }

    /// Takes a value that a column takes as well, or was to take: a number or a word has to be one, and not just begin as one.
    pub(crate) fn skip_taken_value(&mut self) -> Result<(), Fault> {
        match self.next_token() {
            b'"' | b'{' | b'[' => self.skip_value(),
            _ if self.skip_unbounded().is_some() => Ok(()),
            _ => self.check_value(),
        }
    }

    /// Does not recurse: the open brackets are bits of a number.
    fn pass_value<const STRICT: bool>(&mut self) -> Result<(), Fault> {
        let outer_depth = self.depth;
        // One bit per open bracket, the innermost lowest: 1 is an object.
        let mut objects = 0_u128;
        'value: loop {
            match self.next_token() {
                b'"' if STRICT => self.check_string()?,
                b'"' => self.pass_string()?,
                b'{' => {
                    self.enter()?;
                    if self.next_token() == b'}' {
                        self.leave();
                    } else {
                        objects = objects << 1 | 1;
                        self.pass_key::<STRICT>()?;
                        continue 'value;
                    }
                }
                b'[' => {
                    self.enter()?;
                    if self.next_token() == b']' {
                        self.leave();
                    } else {
                        objects <<= 1;
                        continue 'value;
                    }
                }
                _ if !STRICT => self.pass_word()?,
                b't' => self.literal(b"true")?,
                b'f' => self.literal(b"false")?,
                b'n' => self.literal(b"null")?,
                _ => {
                    self.number()?;
                }
            }
            // A value has ended: close what ends with it.
            while self.depth > outer_depth {
                let in_object = objects & 1 == 1;
                if self.another(if in_object { b'}' } else { b']' })? {
                    if in_object {
                        self.pass_key::<STRICT>()?;
                    }
                    continue 'value;
                }
                objects >>= 1;
            }
            return Ok(());
        }
    }

    fn pass_key<const STRICT: bool>(&mut self) -> Result<(), Fault> {
        if self.next_token() != b'"' {
            return self.syntax();
        }
        match STRICT {
            true => self.check_string()?,
            false => self.pass_string()?,
        }
        self.expect(b':')
    }
}

/// Whether a byte may be part of a number or a word: `-1.5e+3`, `true`, `NaN`, `-Infinity`.
#[inline]
fn is_of_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.' | b'_')
}
