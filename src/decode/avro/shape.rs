//! What the bytes of a schema are, and what they mean: an arena of types that decoding walks.
//!
//! Each says how its bytes were *written* and what is *read* from them, so that nothing of schema resolution is left to do.

use crate::decode::typed::TextMeaning;

/// A type's place in the arena.
pub(super) type Id = usize;

/// A type.
#[derive(Debug)]
pub(super) enum Shape {
    Null,
    Scalar(Scalar),
    /// What each number that the writer may give stands for; `None` where the reader has no such symbol.
    Enum(Box<[Option<Symbol>]>),
    Record(Record),
    Array(Items),
    /// Texts with a value each.
    Map(Items),
    /// What each number that the writer may give stands for.
    Union(Box<[Id]>),
    /// Written like this, and not to be had as what the reader wants.
    Refused(Id),
}

/// A type of one value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scalar {
    Boolean,
    Int(Whole),
    Long(Whole),
    Float,
    /// Written with 32 bits, read with 64.
    FloatAsDouble,
    Double,
    /// Behind their length.
    Sized(Blob),
    /// So many bytes.
    Fixed(usize, Blob),
}

/// What an integer means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whole {
    Number,
    Float,
    Double,
    Date,
    Year,
    /// Ticks, of which a second has `10^precision`; so are those that follow.
    TimeOfDay(u8),
    Timestamp(u8),
    LocalTimestamp(u8),
}

/// What bytes mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Blob {
    Bytes,
    /// To be checked to be UTF-8.
    Text,
    /// A UUID's usual text.
    UuidText,
    /// A UUID's 16 bytes.
    Uuid,
    Decimal {
        scale: u32,
    },
    /// The scale stands behind the digits.
    BigDecimal,
    /// Of `Fixed(12)` only.
    Duration,
    /// A text that is more than its characters.
    Meant(TextMeaning),
    /// Bits, the first byte the least.
    Bits,
}

/// A symbol of an enum, with its number in the schema that is read as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Symbol {
    pub(super) name: Box<str>,
    pub(super) number: i32,
}

/// A record: what was written, in its order, and what the reader has beyond that.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) fields: Box<[Field]>,
    pub(super) defaults: Box<[Default]>,
    /// Where the record is a decimal with a scale of its own.
    pub(super) decimal: Option<DecimalOrder>,
}

/// Which of the two fields of a decimal comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DecimalOrder {
    ScaleFirst,
    ValueFirst,
}

/// A field that was written.
#[derive(Debug)]
pub(super) struct Field {
    /// By what name it is read; `None` where the reader has no such field.
    pub(super) name: Option<Box<str>>,
    pub(super) shape: Id,
}

/// A field that was not written.
#[derive(Debug)]
pub(super) struct Default {
    pub(super) name: Box<str>,
    pub(super) shape: Id,
    /// Its value, as it would have been written.
    pub(super) bytes: Box<[u8]>,
}

/// What a list or a map holds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Items {
    pub(super) shape: Id,
    /// Where an item may have no bytes: how much work one is. 0: each has bytes.
    pub(super) weight: u32,
}

/// The most work that the items of a record may be that have no bytes: a record of a few bytes makes as many values.
pub(super) const BYTELESS_MAX: u32 = 1 << 16;
/// So many bytes of a default are as much work as an item.
pub(super) const DEFAULT_BYTES_PER_WORK: usize = 64;
