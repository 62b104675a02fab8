//! A place in the bytes of a record, and the encodings that Avro has there.
//!
//! Never reads behind the record, and believes no length or count before what it says can be there.

use super::shape::BYTELESS_MAX;
use crate::decode::error::{ErrorCode, Fault};

/// Records, lists and maps inside each other: recursive types have no end of their own.
pub(super) const DEPTH_MAX: u32 = 64;

/// A place in a record.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cursor<'r> {
    bytes: &'r [u8],
    pub(super) at: usize,
    depth: u32,
    /// How much work items without bytes may still be.
    byteless: u32,
}

/// A place to come back to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mark {
    at: usize,
    depth: u32,
    byteless: u32,
}

/// Items that follow each other.
#[derive(Debug, Clone, Copy)]
pub(super) struct Block {
    pub(super) items: u64,
    start: usize,
    /// Where it ends, where the writer says so.
    end: Option<usize>,
}

type Read<T> = Result<T, Fault>;

impl<'r> Cursor<'r> {
    pub(super) fn new(record: &'r [u8], at: usize) -> Self {
        Self { bytes: record, at, depth: 0, byteless: BYTELESS_MAX }
    }

    /// A place in bytes that belong to the same record and stand elsewhere.
    pub(super) fn aside<'d>(&self, bytes: &'d [u8]) -> Cursor<'d> {
        Cursor { bytes, at: 0, depth: self.depth, byteless: self.byteless }
    }

    pub(super) fn mark(&self) -> Mark {
        Mark { at: self.at, depth: self.depth, byteless: self.byteless }
    }

    pub(super) fn back_to(&mut self, mark: Mark) {
        (self.at, self.depth, self.byteless) = (mark.at, mark.depth, mark.byteless);
    }

    pub(super) fn at_end(&self) -> bool {
        self.at == self.bytes.len()
    }

    fn remaining(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// All of the bytes, for pieces by their places.
    #[inline]
    pub(super) fn bytes(&self) -> &'r [u8] {
        self.bytes
    }

    #[cold]
    pub(super) fn invalid(at: usize) -> Fault {
        Fault { code: ErrorCode::InvalidAvro, at }
    }

    pub(super) fn enter(&mut self) -> Read<()> {
        if self.depth == DEPTH_MAX {
            return Err(Fault { code: ErrorCode::TooDeep, at: self.at });
        }
        self.depth += 1;
        Ok(())
    }

    pub(super) fn leave(&mut self) {
        self.depth -= 1;
    }

    /// The next so many bytes.
    #[inline]
    pub(super) fn take(&mut self, count: usize) -> Read<&'r [u8]> {
        let piece = self.bytes[self.at..].get(..count).ok_or_else(|| Self::invalid(self.at))?;
        self.at += count;
        Ok(piece)
    }

    #[inline]
    fn chunk<const N: usize>(&mut self) -> Read<[u8; N]> {
        let chunk = self.bytes[self.at..].first_chunk().ok_or_else(|| Self::invalid(self.at))?;
        self.at += N;
        Ok(*chunk)
    }

    #[inline]
    pub(super) fn boolean(&mut self) -> Read<bool> {
        match self.bytes.get(self.at) {
            Some(byte @ (0 | 1)) => {
                self.at += 1;
                Ok(*byte == 1)
            }
            _ => Err(Self::invalid(self.at)),
        }
    }

    #[inline]
    pub(super) fn float(&mut self) -> Read<f32> {
        self.chunk().map(f32::from_le_bytes)
    }

    #[inline]
    pub(super) fn double(&mut self) -> Read<f64> {
        self.chunk().map(f64::from_le_bytes)
    }

    #[inline]
    pub(super) fn long(&mut self) -> Read<i64> {
        let zigzag = match self.bytes.get(self.at) {
            Some(byte) if *byte < 0x80 => {
                self.at += 1;
                u64::from(*byte)
            }
            _ => self.varint()?,
        };
        Ok((zigzag >> 1).cast_signed() ^ -(zigzag & 1).cast_signed())
    }

    /// A varint, where eight bytes can be read at once.
    fn varint(&mut self) -> Read<u64> {
        let Some(chunk) = self.bytes.get(self.at..).and_then(<[u8]>::first_chunk) else {
            return self.any_varint();
        };
        let word = u64::from_le_bytes(*chunk);
        // The byte without the upper bit is the last one.
        let last = (!word & 0x8080_8080_8080_8080).trailing_zeros();
        if last == 64 {
            return self.any_varint();
        }
        self.at += last as usize / 8 + 1;
        Ok(seven_bits_a_byte(word & (u64::MAX >> (63 - last))))
    }

    /// A varint of any length, anywhere.
    fn any_varint(&mut self) -> Read<u64> {
        let start = self.at;
        let mut value = 0;
        for (place, byte) in self.bytes[start..].iter().take(10).enumerate() {
            // The tenth byte has one bit of the 64.
            if place == 9 && *byte > 1 {
                break;
            }
            value |= u64::from(byte & 0x7F) << (7 * place);
            if *byte < 0x80 {
                self.at = start + place + 1;
                return Ok(value);
            }
        }
        Err(Self::invalid(start))
    }

    #[inline]
    pub(super) fn int(&mut self) -> Read<i32> {
        let start = self.at;
        i32::try_from(self.long()?).map_err(|_| Self::invalid(start))
    }

    /// The number of a branch or a symbol, below `count`.
    #[inline]
    pub(super) fn choice(&mut self, count: usize) -> Read<usize> {
        let start = self.at;
        let number = usize::try_from(self.long()?).ok().filter(|number| *number < count);
        number.ok_or_else(|| Self::invalid(start))
    }

    /// Where the bytes behind a length begin and end.
    #[inline]
    pub(super) fn sized(&mut self) -> Read<(usize, usize)> {
        let start = self.at;
        let length = usize::try_from(self.long()?).ok().filter(|length| *length <= self.remaining());
        let length = length.ok_or_else(|| Self::invalid(start))?;
        let begin = self.at;
        self.at += length;
        Ok((begin, self.at))
    }

    /// The next items of a list or a map; `None` behind the last ones.
    ///
    /// `weight` is how much work an item without bytes is, 0 where each has bytes. Then there cannot be more items than
    /// bytes.
    pub(super) fn block(&mut self, weight: u32) -> Read<Option<Block>> {
        let start = self.at;
        let count = self.long()?;
        if count == 0 {
            return Ok(None);
        }
        let mut end = None;
        if count < 0 {
            let bytes = usize::try_from(self.long()?).ok().filter(|bytes| *bytes <= self.remaining());
            end = Some(self.at + bytes.ok_or_else(|| Self::invalid(start))?);
        }
        let items = count.unsigned_abs();
        let possible = match weight {
            0 => items <= (end.unwrap_or(self.bytes.len()) - self.at) as u64,
            weight => {
                let work = items.checked_mul(weight.into()).and_then(|work| u32::try_from(work).ok());
                let left = work.and_then(|work| self.byteless.checked_sub(work));
                self.byteless = left.unwrap_or(0);
                left.is_some()
            }
        };
        if !possible {
            return Err(Self::invalid(start));
        }
        Ok(Some(Block { items, start, end }))
    }

    /// Behind the items of a block: they must be as long as the writer said.
    pub(super) fn end_block(&self, block: Block) -> Read<()> {
        match block.end {
            Some(end) if end != self.at => Err(Self::invalid(block.start)),
            _ => Ok(()),
        }
    }

    /// Steps over a block unseen, where the writer says how long it is.
    pub(super) fn pass_block(&mut self, block: Block) -> bool {
        if let Some(end) = block.end {
            self.at = end;
        }
        block.end.is_some()
    }
}

/// The lower seven bits of each byte, side by side.
#[inline]
fn seven_bits_a_byte(word: u64) -> u64 {
    let pairs = (word & 0x007F_007F_007F_007F) | (word & 0x7F00_7F00_7F00_7F00) >> 1;
    let fours = (pairs & 0x0000_3FFF_0000_3FFF) | (pairs & 0x3FFF_0000_3FFF_0000) >> 2;
    (fours & 0x0FFF_FFFF) | (fours & 0x0FFF_FFFF_0000_0000) >> 4
}

/// Where UTF-8 ends in `bytes`, which begin at `start`.
#[cold]
pub(super) fn invalid_utf8(bytes: &[u8], start: usize) -> Fault {
    let valid = simdutf8::compat::from_utf8(bytes).map_or_else(|error| error.valid_up_to(), str::len);
    Fault { code: ErrorCode::InvalidUtf8, at: start + valid }
}
