//! The wire format of Protobuf: tags, and what stands behind them.
//!
//! Strict where the specification leaves no choice, and bounded: a length reaches no further than the record, a number has
//! at most ten bytes, and groups nest at most [`DEPTH_MAX`] deep.

use crate::decode::error::{ErrorCode, Fault};

/// Messages and groups nest at most this deep.
pub(super) const DEPTH_MAX: u32 = 64;

/// The wire types, as the lowest three bits of a tag.
pub(super) const VARINT: u32 = 0;
pub(super) const FIXED64: u32 = 1;
pub(super) const LENGTH: u32 = 2;
pub(super) const GROUP: u32 = 3;
const GROUP_END: u32 = 4;
pub(super) const FIXED32: u32 = 5;

/// Bits of a tag that hold the wire type.
pub(super) const WIRE_BITS: u32 = 3;
pub(super) const WIRE_MASK: u32 = 7;
/// The tag of the smallest field number.
const TAG_MIN: u32 = 1 << WIRE_BITS;

/// A place in a record, and how far it may be read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    pub(super) at: usize,
}

impl<'a> Cursor<'a> {
    /// A cursor over a part of a record.
    #[inline]
    pub(super) fn new(record: &'a [u8], start: usize, end: usize) -> Self {
        Self { bytes: &record[..end], at: start }
    }

    #[inline]
    pub(super) fn at_end(&self) -> bool {
        self.at >= self.bytes.len()
    }

    /// The tag of a field.
    #[inline]
    pub(super) fn tag(&mut self) -> Result<u32, Fault> {
        let at = self.at;
        let tag = self.any_tag()?;
        if tag & WIRE_MASK == GROUP_END { Err(invalid(at)) } else { Ok(tag) }
    }

    /// The tag of a field, or of the end of a group.
    #[inline]
    fn any_tag(&mut self) -> Result<u32, Fault> {
        let at = self.at;
        match u32::try_from(self.varint()?) {
            Ok(tag) if tag >= TAG_MIN && tag & WIRE_MASK <= FIXED32 => Ok(tag),
            _ => Err(invalid(at)),
        }
    }

    #[inline]
    pub(super) fn varint(&mut self) -> Result<u64, Fault> {
        match self.bytes.get(self.at) {
            Some(&byte) if byte < 0x80 => {
                self.at += 1;
                Ok(byte.into())
            }
            _ => self.long_varint(),
        }
    }

    fn long_varint(&mut self) -> Result<u64, Fault> {
        let start = self.at;
        let mut value = 0;
        for (place, &byte) in self.bytes[start..].iter().take(10).enumerate() {
            value |= u64::from(byte & 0x7F) << (7 * place);
            if byte < 0x80 {
                // Of the tenth byte one bit is left.
                if place == 9 && byte > 1 {
                    break;
                }
                self.at = start + place + 1;
                return Ok(value);
            }
        }
        Err(invalid(start))
    }

    #[inline]
    pub(super) fn fixed<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let found = self.bytes[self.at..].first_chunk().ok_or(invalid(self.at))?;
        self.at += N;
        Ok(*found)
    }

    /// Where the bytes behind a length begin and end; the cursor then stands behind them.
    #[inline]
    pub(super) fn run(&mut self) -> Result<(usize, usize), Fault> {
        let at = self.at;
        let length = self.varint()?;
        let start = self.at;
        let end = usize::try_from(length).ok().and_then(|length| start.checked_add(length));
        match end {
            Some(end) if end <= self.bytes.len() => {
                self.at = end;
                Ok((start, end))
            }
            _ => Err(invalid(at)),
        }
    }

    /// Passes over what stands behind a tag, in a message that is `depth` deep.
    #[inline]
    pub(super) fn skip(&mut self, tag: u32, depth: u32) -> Result<(), Fault> {
        match tag & WIRE_MASK {
            VARINT => self.varint().map(drop),
            FIXED64 => self.fixed::<8>().map(drop),
            LENGTH => self.run().map(drop),
            FIXED32 => self.fixed::<4>().map(drop),
            _ => self.group(tag, depth).map(drop),
        }
    }

    /// Where the fields of a group begin and end; the cursor then stands behind the tag that ends it.
    pub(super) fn group(&mut self, tag: u32, depth: u32) -> Result<(usize, usize), Fault> {
        let start = self.at;
        if depth >= DEPTH_MAX {
            return Err(Fault { code: ErrorCode::TooDeep, at: start });
        }
        loop {
            let end = self.at;
            let inner = self.any_tag()?;
            if inner & WIRE_MASK != GROUP_END {
                self.skip(inner, depth + 1)?;
            } else if inner >> WIRE_BITS == tag >> WIRE_BITS {
                return Ok((start, end));
            } else {
                return Err(invalid(end));
            }
        }
    }
}

#[cold]
fn invalid(at: usize) -> Fault {
    Fault { code: ErrorCode::InvalidProtobuf, at }
}

/// The lower half of a number, which is all that 32-bit fields take of it.
#[inline]
pub(super) fn lower_half(value: u64) -> u32 {
    let [a, b, c, d, ..] = value.to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

/// A signed number from its zigzag form.
#[inline]
pub(super) fn unzigzag(value: u64) -> i64 {
    ((value >> 1) ^ (value & 1).wrapping_neg()).cast_signed()
}
