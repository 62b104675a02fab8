//! Where the fields of a message stand in a record.
//!
//! Takes the bytes of a message, which may be in several pieces: a message field that occurs more than once is the message
//! of all its pieces, one after the other. Gives the places of its fields in their order, without those that another field
//! of the same oneof has taken away. Keeps places only, and reuses their room for every record.

use std::ops::Range;

use super::entries::Entry;
use super::plan::ProtobufPlan;
use super::shape::{EnumShape, Field, Kind, Shape};
use super::wire::{Cursor, DEPTH_MAX, GROUP, LENGTH, WIRE_MASK, lower_half, unzigzag};
use crate::decode::error::{ErrorCode, Fault};
use crate::decode::json::Walk;
use crate::decode::typed::Typed;

pub(super) type Outcome = Result<(), Fault>;

/// Largest buffer that is kept from one record to the next.
const SCRATCH_BYTES_KEPT: usize = 1 << 20;

/// A field's value, where it stands: of what has a length its bytes, of a group its fields.
#[derive(Debug, Clone, Copy)]
pub(super) struct Piece {
    pub(super) start: u32,
    pub(super) end: u32,
    /// How many pieces of the same message stood before it.
    order: u32,
    slot: u16,
    /// Whether it has a length, as all numbers of a list together have.
    has_length: bool,
}

impl Piece {
    pub(super) fn start(self) -> usize {
        to_usize(self.start)
    }

    pub(super) fn end(self) -> usize {
        to_usize(self.end)
    }

    pub(super) fn slot(self) -> usize {
        self.slot.into()
    }

    /// Whether it holds any number of a list's numbers.
    pub(super) fn is_packed(self, kind: Kind) -> bool {
        self.has_length && !matches!(kind, Kind::String | Kind::Bytes | Kind::Message(_))
    }
}

fn place(at: usize) -> u32 {
    u32::try_from(at).expect("the piece around it is as short")
}

pub(super) fn to_usize(place: u32) -> usize {
    usize::try_from(place).expect("this program is for machines of 64 bits")
}

/// Which field of a oneof came last, and since when.
#[derive(Debug, Clone, Copy)]
struct Winner {
    slot: usize,
    since: usize,
}

/// Room that is used for one record after the other; the lists are stacks, of which each message has the top.
#[derive(Debug)]
pub(super) struct Scratch {
    pub(super) pieces: Vec<Piece>,
    pub(super) entries: Vec<Entry>,
    winners: Vec<Winner>,
    /// Whether something was met that is allowed and that few writers write: a field that the schema lacks, one that repeats.
    pub(super) met_odd: bool,
    pub(super) text: Vec<u8>,
    pub(super) walk: Walk,
}

impl Scratch {
    pub(super) fn new(walk: Walk) -> Self {
        Self { pieces: Vec::new(), entries: Vec::new(), winners: Vec::new(), met_odd: false, text: Vec::new(), walk }
    }

    /// Forgets the record, and the room that no usual record needs.
    pub(super) fn reset(&mut self) {
        reset(&mut self.pieces);
        reset(&mut self.entries);
        reset(&mut self.winners);
        reset(&mut self.text);
        self.met_odd = false;
        self.walk.shrink();
    }
}

fn reset<T>(buffer: &mut Vec<T>) {
    buffer.clear();
    buffer.shrink_to(SCRATCH_BYTES_KEPT / size_of::<T>());
}

/// What becomes of a field that was met.
pub(super) enum Met {
    /// It has been read.
    Read,
    Noted,
    Skipped,
}

/// One record being read.
pub(super) struct Reader<'r, 's> {
    pub(super) plan: &'r ProtobufPlan,
    pub(super) record: &'r [u8],
    pub(super) scratch: &'s mut Scratch,
}

impl<'r> Reader<'r, '_> {
    pub(super) fn shape(&self, message: usize) -> &'r Shape {
        &self.plan.shapes.messages[message]
    }

    pub(super) fn enums(&self) -> &'r [EnumShape] {
        &self.plan.shapes.enums
    }

    pub(super) fn piece(&self, number: usize) -> Piece {
        self.scratch.pieces[number]
    }

    pub(super) fn pieces(&self) -> usize {
        self.scratch.pieces.len()
    }

    /// Where a value begins; of none, where the record ends.
    pub(super) fn place(&self, pieces: &Range<usize>) -> usize {
        if pieces.is_empty() { self.record.len() } else { self.piece(pieces.start).start() }
    }

    pub(super) fn cursor(&self, piece: Piece) -> Cursor<'r> {
        Cursor::new(self.record, piece.start(), piece.end())
    }

    /// Takes a part of the record as a message.
    pub(super) fn push(&mut self, start: usize, end: usize) -> Outcome {
        self.note(start, end, 0, true)
    }

    fn note(&mut self, start: usize, end: usize, slot: usize, has_length: bool) -> Outcome {
        // Kafka has no longer records: their length is a number of 31 bits.
        let too_long = Fault { code: ErrorCode::InvalidProtobuf, at: start };
        let narrow = |number: usize| u32::try_from(number).map_err(|_| too_long);
        let piece = Piece {
            start: narrow(start)?,
            end: narrow(end)?,
            order: narrow(self.scratch.pieces.len())?,
            slot: u16::try_from(slot).map_err(|_| too_long)?,
            has_length,
        };
        self.scratch.pieces.push(piece);
        Ok(())
    }

    pub(super) fn pop_pieces(&mut self, length: usize) {
        self.scratch.pieces.truncate(length);
    }

    /// Reads the tags of a message; `met` says of each known field what becomes of it.
    #[inline]
    pub(super) fn scan(
        &mut self,
        shape: &Shape,
        message: Range<usize>,
        depth: u32,
        mut met: impl FnMut(&mut Cursor<'r>, usize) -> Result<Met, Fault>,
    ) -> Outcome {
        for piece in message {
            let mut cursor = self.cursor(self.piece(piece));
            while !cursor.at_end() {
                let tag = cursor.tag()?;
                let Some(slot) = shape.slot(tag) else {
                    self.scratch.met_odd = true;
                    cursor.skip(tag, depth)?;
                    continue;
                };
                match met(&mut cursor, slot)? {
                    Met::Read => {}
                    Met::Noted => self.note_field(&mut cursor, &shape.fields[slot], tag, slot, depth)?,
                    Met::Skipped => cursor.skip(tag, depth)?,
                }
            }
        }
        Ok(())
    }

    fn note_field(&mut self, cursor: &mut Cursor<'r>, field: &Field, tag: u32, slot: usize, depth: u32) -> Outcome {
        let (start, end) = match tag & WIRE_MASK {
            LENGTH => cursor.run()?,
            GROUP => cursor.group(tag, depth)?,
            _ => {
                let start = cursor.at;
                cursor.skip(tag, depth)?;
                (start, cursor.at)
            }
        };
        let has_length = tag & WIRE_MASK == LENGTH;
        if field.closed && !has_length && !self.is_known(field.kind, start, end)? {
            return Ok(());
        }
        self.note(start, end, slot, has_length)
    }

    /// Whether a number is one that its enum takes; of other kinds all are.
    pub(super) fn is_known(&self, kind: Kind, start: usize, end: usize) -> Result<bool, Fault> {
        match kind {
            Kind::Enum(number) if self.enums()[number].is_closed() => {
                let value = Cursor::new(self.record, start, end).varint()?;
                Ok(self.enums()[number].has(lower_half(value).cast_signed()))
            }
            _ => Ok(true),
        }
    }

    /// Notes the wanted fields of a message, and gives the first of the new pieces.
    pub(super) fn index(
        &mut self,
        shape: &Shape,
        message: Range<usize>,
        depth: u32,
        wanted: impl Fn(usize) -> bool,
    ) -> Result<usize, Fault> {
        let first = self.pieces();
        self.scan(shape, message, depth, |_, slot| Ok(if wanted(slot) { Met::Noted } else { Met::Skipped }))?;
        self.settle(shape, first);
        Ok(first)
    }

    /// Brings pieces into the order of their fields, without those that a oneof has lost.
    pub(super) fn settle(&mut self, shape: &Shape, first: usize) {
        if self.pieces() - first < 2 {
            return;
        }
        if shape.oneofs > 0 {
            self.settle_oneofs(shape, first);
        }
        let pieces = &mut self.scratch.pieces[first..];
        if !pieces.is_sorted_by_key(|piece| piece.slot) {
            pieces.sort_unstable_by_key(|piece| (piece.slot, piece.order));
        }
    }

    fn settle_oneofs(&mut self, shape: &Shape, first: usize) {
        let Scratch { pieces, winners, .. } = &mut *self.scratch;
        let base = winners.len();
        winners.resize(base + shape.oneofs, Winner { slot: usize::MAX, since: 0 });
        for (number, piece) in pieces.iter().enumerate().skip(first) {
            if let Some(oneof) = shape.fields[piece.slot()].oneof {
                let winner = &mut winners[base + oneof];
                if winner.slot != piece.slot() {
                    *winner = Winner { slot: piece.slot(), since: number };
                }
            }
        }
        let mut kept = first;
        for number in first..pieces.len() {
            let piece = pieces[number];
            let stays = shape.fields[piece.slot()].oneof.is_none_or(|oneof| {
                let winner = winners[base + oneof];
                winner.slot == piece.slot() && winner.since <= number
            });
            if stays {
                pieces[kept] = piece;
                kept += 1;
            }
        }
        pieces.truncate(kept);
        winners.truncate(base);
    }

    /// The end of the pieces of one field.
    pub(super) fn end_of_group(&self, first: usize) -> usize {
        let pieces = &self.scratch.pieces;
        let slot = pieces[first].slot;
        let same = pieces[first..].iter().take_while(|piece| piece.slot == slot);
        first + same.count()
    }

    /// The scalar of a field: of its last piece, or what an absent one has.
    pub(super) fn scalar(&self, field: &'r Field, pieces: &Range<usize>) -> Result<Typed<'r>, Fault> {
        match pieces.clone().next_back() {
            Some(last) => self.scalar_at(field.kind, self.piece(last)),
            None => Ok(field.absent(self.enums())),
        }
    }

    pub(super) fn scalar_at(&self, kind: Kind, piece: Piece) -> Result<Typed<'r>, Fault> {
        match kind {
            Kind::String => text(self.record, piece.start(), piece.end()),
            Kind::Bytes => Ok(Typed::Bytes(&self.record[piece.start()..piece.end()])),
            _ => number(kind, &mut self.cursor(piece), self.enums()),
        }
    }

    /// Notes one element of a list as a piece of its own; false where the list is shorter.
    pub(super) fn push_element(&mut self, kind: Kind, pieces: Range<usize>, number: usize) -> Result<bool, Fault> {
        let mut left = number;
        for piece in pieces {
            let piece = self.piece(piece);
            let mut cursor = self.cursor(piece);
            while !cursor.at_end() || !piece.is_packed(kind) {
                let at = cursor.at;
                let element = if piece.is_packed(kind) {
                    self::number(kind, &mut cursor, self.enums())?;
                    Piece { start: place(at), end: place(cursor.at), has_length: false, ..piece }
                } else {
                    piece
                };
                let counts = !piece.is_packed(kind) || self.is_known(kind, at, cursor.at)?;
                match left.checked_sub(usize::from(counts)) {
                    Some(still) => left = still,
                    None => {
                        self.scratch.pieces.push(element);
                        return Ok(true);
                    }
                }
                if !piece.is_packed(kind) {
                    break;
                }
            }
        }
        Ok(false)
    }

    /// Gives each scalar of a list to `each`.
    pub(super) fn scalars(
        &self,
        kind: Kind,
        pieces: Range<usize>,
        mut each: impl FnMut(Typed<'r>) -> Result<(), ErrorCode>,
    ) -> Outcome {
        for piece in pieces {
            let piece = self.piece(piece);
            if !piece.is_packed(kind) {
                let value = self.scalar_at(kind, piece)?;
                each(value).map_err(|code| Fault { code, at: piece.start() })?;
                continue;
            }
            let mut cursor = self.cursor(piece);
            while !cursor.at_end() {
                let at = cursor.at;
                let value = number(kind, &mut cursor, self.enums())?;
                if self.is_known(kind, at, cursor.at)? {
                    each(value).map_err(|code| Fault { code, at })?;
                }
            }
        }
        Ok(())
    }

    /// One message deeper.
    pub(super) fn deeper(&self, pieces: &Range<usize>, depth: u32) -> Result<u32, Fault> {
        if depth < DEPTH_MAX {
            return Ok(depth + 1);
        }
        Err(Fault { code: ErrorCode::TooDeep, at: self.place(pieces) })
    }
}

/// The text of a string.
#[inline]
pub(super) fn text(record: &[u8], start: usize, end: usize) -> Result<Typed<'_>, Fault> {
    let bytes = &record[start..end];
    match simdutf8::basic::from_utf8(bytes) {
        Ok(text) => Ok(Typed::Text(text)),
        Err(_) => Err(bad_text(bytes, start)),
    }
}

#[cold]
fn bad_text(bytes: &[u8], start: usize) -> Fault {
    let valid = simdutf8::compat::from_utf8(bytes).map_or_else(|error| error.valid_up_to(), str::len);
    Fault { code: ErrorCode::InvalidUtf8, at: start + valid }
}

/// A scalar that has no length, at the cursor.
#[inline]
pub(super) fn number<'a>(kind: Kind, cursor: &mut Cursor<'_>, enums: &'a [EnumShape]) -> Result<Typed<'a>, Fault> {
    Ok(match kind {
        Kind::Int32 => Typed::Int(lower_half(cursor.varint()?).cast_signed().into()),
        Kind::Int64 => Typed::Int(cursor.varint()?.cast_signed()),
        Kind::UInt32 => Typed::UInt(lower_half(cursor.varint()?).into()),
        Kind::UInt64 => Typed::UInt(cursor.varint()?),
        Kind::SInt32 => Typed::Int(unzigzag(lower_half(cursor.varint()?).into())),
        Kind::SInt64 => Typed::Int(unzigzag(cursor.varint()?)),
        Kind::Fixed32 => Typed::UInt(u32::from_le_bytes(cursor.fixed()?).into()),
        Kind::Fixed64 => Typed::UInt(u64::from_le_bytes(cursor.fixed()?)),
        Kind::SFixed32 => Typed::Int(i32::from_le_bytes(cursor.fixed()?).into()),
        Kind::SFixed64 => Typed::Int(i64::from_le_bytes(cursor.fixed()?)),
        Kind::Float => Typed::Float32(f32::from_le_bytes(cursor.fixed()?)),
        Kind::Double => Typed::Float64(f64::from_le_bytes(cursor.fixed()?)),
        Kind::Bool => Typed::Bool(cursor.varint()? != 0),
        Kind::Enum(number) => enums[number].value(lower_half(cursor.varint()?).cast_signed()),
        Kind::String | Kind::Bytes | Kind::Message(_) => unreachable!("what has a length is no number"),
    })
}
