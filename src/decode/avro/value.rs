//! One Avro value into one column, and past it.
//!
//! | value | columns |
//! |---|---|
//! | record | `Tuple` with names: fields by name, missing ones get defaults; `Map`: its fields' names and values |
//! | array | `Array`; `Tuple` without names, of exactly as many fields |
//! | map | `Map`; keys that repeat are kept |
//! | array of records or maps | the columns of a flattened Nested: of each element the field; zero where it has none or is null |
//! | any of these | `String`, also `Nullable` and `LowCardinality`, `JSON`, `Variant`, `Dynamic`: as JSON |
//! | union | what the column takes of the branch that the record has |
//! | null | NULL where allowed, else the default |
//! | enum, and all other types | see [`crate::decode::typed`] |
//! | string with the meaning of a UUID | `String` as it stands; else a UUID |
//! | Debezium's `VariableScaleDecimal` | what a decimal is, but `Tuple` and `Map` as a record |

use super::compile::{Fit, PairsFit, Quick, TupleFit};
use super::cursor::{Cursor, invalid_utf8};
use super::json;
use super::shape::{Blob, DecimalOrder, Id, Items, Scalar, Shape, Symbol, Whole};
use crate::columns::{ArrayColumn, ColumnBuilder, FixedColumn, MapColumn, TupleColumn};
use crate::decode::error::{ErrorCode, Fault};
use crate::decode::json::{Walk, append_json};
use crate::decode::time::DATE32_DAYS;
use crate::decode::typed::{Typed, append_int, append_typed, decimal_of_bytes};

pub(super) type Outcome = Result<(), Fault>;

/// What appending a value needs beside the value.
#[derive(Debug)]
pub(super) struct Values<'p> {
    pub(super) shapes: &'p [Shape],
    /// Holds texts that are made.
    pub(super) scratch: &'p mut Vec<u8>,
    /// Reads documents that are texts.
    pub(super) walk: &'p mut Option<Box<Walk>>,
}

impl Values<'_> {
    /// Takes one value and appends it to the column.
    pub(super) fn append(&mut self, avro: &mut Cursor<'_>, fit: &Fit, column: &mut ColumnBuilder) -> Outcome {
        match fit {
            Fit::Quick(quick) => append_quick(avro, *quick, column),
            Fit::Scalar(scalar) => append_scalar(avro, *scalar, column),
            other => self.append_other(avro, other, column),
        }
    }

    fn append_other(&mut self, avro: &mut Cursor<'_>, fit: &Fit, column: &mut ColumnBuilder) -> Outcome {
        let at = avro.at;
        let refused = Err(Fault { code: ErrorCode::TypeMismatch, at });
        match (fit, column) {
            (Fit::Null, column) => {
                column.push_zero();
                Ok(())
            }
            (Fit::Union(branches), column) => {
                let branch = avro.choice(branches.len())?;
                self.append(avro, &branches[branch], column)
            }
            (Fit::Symbol(id), column) => {
                let symbol = symbol(avro, self.shapes, *id)?;
                append_typed(symbol, column).map_err(|code| Fault { code, at })
            }
            (Fit::VariableDecimal(order), column) => {
                let decimal = variable_decimal(avro, *order)?;
                append_typed(decimal, column).map_err(|code| Fault { code, at })
            }
            (Fit::Text(id), column) => self.append_json(avro, *id, column),
            (Fit::Tuple(fit), ColumnBuilder::Tuple(column)) => self.append_fields(avro, fit, &mut column.fields),
            (Fit::FieldOfEach(fit, items), ColumnBuilder::Array(column)) => {
                self.append_field_of_each(avro, fit, *items, column)
            }
            (Fit::Pairs(fit), ColumnBuilder::Map(column)) => self.append_pairs(avro, fit, column),
            (Fit::Array(fit, items), ColumnBuilder::Array(column)) => self.append_array(avro, fit, *items, column),
            (Fit::Sequence(fits, items), ColumnBuilder::Tuple(column)) => {
                self.append_sequence(avro, fits, *items, column)
            }
            (Fit::Map(fit), ColumnBuilder::Map(column)) => self.append_map(avro, fit, column),
            _ => refused,
        }
    }

    /// As deep as the schema, which [`Cursor::enter`] bounds.
    fn append_json(&mut self, avro: &mut Cursor<'_>, id: Id, column: &mut ColumnBuilder) -> Outcome {
        let at = avro.at;
        self.scratch.clear();
        json::write(avro, self.shapes, id, self.scratch)?;
        let appended = match column {
            ColumnBuilder::Json(_) | ColumnBuilder::Variant(_) => {
                append_json(self.scratch, column).map_err(|fault| fault.code)
            }
            texts => append_typed(Typed::Bytes(self.scratch), texts),
        };
        appended.map_err(|code| Fault { code, at })
    }

    /// The fields of a record to the columns of a tuple.
    pub(super) fn append_fields(
        &mut self,
        avro: &mut Cursor<'_>,
        fit: &TupleFit,
        columns: &mut [ColumnBuilder],
    ) -> Outcome {
        avro.enter()?;
        for (shape, field) in &fit.fields {
            match field {
                Some((place, fit)) => self.append(avro, fit, &mut columns[*place])?,
                None => skip(avro, self.shapes, *shape)?,
            }
        }
        for (place, fit, bytes) in &fit.defaults {
            self.append_default(avro, fit, bytes, &mut columns[*place])?;
        }
        for place in &fit.absent {
            columns[*place].push_zero();
        }
        avro.leave();
        Ok(())
    }

    fn append_pairs(&mut self, avro: &mut Cursor<'_>, fit: &PairsFit, column: &mut MapColumn) -> Outcome {
        avro.enter()?;
        let mut entries = 0;
        for (shape, field) in &fit.fields {
            match field {
                Some((name, fit)) => {
                    append_key(name, avro.at, column)?;
                    self.append(avro, fit, &mut column.values)?;
                    entries += 1;
                }
                None => skip(avro, self.shapes, *shape)?,
            }
        }
        for (name, fit, bytes) in &fit.defaults {
            append_key(name, avro.at, column)?;
            self.append_default(avro, fit, bytes, &mut column.values)?;
            entries += 1;
        }
        column.offsets.push(entries);
        avro.leave();
        Ok(())
    }

    /// A value that stands in the reader's schema and not in the record.
    fn append_default(&mut self, avro: &Cursor<'_>, fit: &Fit, bytes: &[u8], column: &mut ColumnBuilder) -> Outcome {
        let appended = self.append(&mut avro.aside(bytes), fit, column);
        appended.map_err(|fault| Fault { at: avro.at, ..fault })
    }

    fn append_array(&mut self, avro: &mut Cursor<'_>, fit: &Fit, items: Items, column: &mut ArrayColumn) -> Outcome {
        avro.enter()?;
        let mut elements = 0;
        while let Some(block) = avro.block(items.weight)? {
            for _ in 0..block.items {
                self.append(avro, fit, &mut column.values)?;
            }
            avro.end_block(block)?;
            elements += block.items;
        }
        column.offsets.push(elements);
        avro.leave();
        Ok(())
    }

    fn append_sequence(
        &mut self,
        avro: &mut Cursor<'_>,
        fits: &[Fit],
        items: Items,
        column: &mut TupleColumn,
    ) -> Outcome {
        let wrong_length = Err(Fault { code: ErrorCode::TypeMismatch, at: avro.at });
        avro.enter()?;
        let mut places = fits.iter().zip(&mut column.fields);
        while let Some(block) = avro.block(items.weight)? {
            for _ in 0..block.items {
                match places.next() {
                    Some((fit, field)) => self.append(avro, fit, field)?,
                    None => return wrong_length,
                }
            }
            avro.end_block(block)?;
        }
        avro.leave();
        if places.next().is_some() { wrong_length } else { Ok(()) }
    }

    fn append_map(&mut self, avro: &mut Cursor<'_>, fit: &Fit, column: &mut MapColumn) -> Outcome {
        avro.enter()?;
        let mut entries = 0;
        while let Some(block) = avro.block(0)? {
            for _ in 0..block.items {
                append_scalar(avro, Scalar::Sized(Blob::Text), &mut column.keys)?;
                self.append(avro, fit, &mut column.values)?;
            }
            avro.end_block(block)?;
            entries += block.items;
        }
        column.offsets.push(entries);
        avro.leave();
        Ok(())
    }
}

fn append_key(name: &str, at: usize, column: &mut MapColumn) -> Outcome {
    append_typed(Typed::Text(name), &mut column.keys).map_err(|code| Fault { code, at })
}

/// Takes a value for which there is a quick way; it has been taken, also where it does not fit.
#[inline]
pub(super) fn append_quick(avro: &mut Cursor<'_>, quick: Quick, column: &mut ColumnBuilder) -> Outcome {
    match column {
        ColumnBuilder::Fixed(column) => append_quick_fixed(avro, quick, column),
        ColumnBuilder::String(column) => {
            let (start, end) = avro.sized()?;
            if quick == Quick::Text {
                check_utf8(&avro.bytes()[start..end], start)?;
            }
            column.push_piece(avro.bytes(), start, end);
            Ok(())
        }
        ColumnBuilder::Dictionary(column) => {
            let (start, end) = avro.sized()?;
            let word = &avro.bytes()[start..end];
            check_utf8(word, start)?;
            column.push_string(word);
            Ok(())
        }
        ColumnBuilder::Nullable(column) => {
            column.nulls.push(0);
            match column.values.as_mut() {
                ColumnBuilder::Fixed(column) => append_quick_fixed(avro, quick, column),
                other => append_quick(avro, quick, other),
            }
        }
        ColumnBuilder::Array(_)
        | ColumnBuilder::Map(_)
        | ColumnBuilder::Tuple(_)
        | ColumnBuilder::Variant(_)
        | ColumnBuilder::Json(_) => unreachable!("the plan has quick ways into plain columns only"),
    }
}

/// The range of `DateTime64`, by precision: its first and its last tick.
const TICKS: [(i64, i64); 10] = {
    let (first, last) = DATE32_DAYS;
    let (first, end) = (first * 86_400, (last + 1) * 86_400);
    let mut ranges = [(first, end - 1); 10];
    let (mut precision, mut per_second) = (1, 10);
    while precision < ranges.len() {
        // Of nanoseconds 64 bits do not hold the whole range.
        let end: i64 = end.saturating_mul(per_second);
        let last = if end == i64::MAX { end } else { end - 1 };
        ranges[precision] = (first.saturating_mul(per_second), last);
        per_second *= 10;
        precision += 1;
    }
    ranges
};

#[inline]
fn append_quick_fixed(avro: &mut Cursor<'_>, quick: Quick, column: &mut FixedColumn) -> Outcome {
    let at = avro.at;
    let appended = match quick {
        Quick::Int => append_int(avro.int()?.into(), column),
        Quick::Long => append_int(avro.long()?, column),
        Quick::Double => {
            column.push(avro.double()?.to_le_bytes());
            Ok(())
        }
        Quick::Float => {
            column.push(avro.float()?.to_le_bytes());
            Ok(())
        }
        Quick::Boolean => {
            column.push([avro.boolean()?.into()]);
            Ok(())
        }
        Quick::Ticks(precision) => {
            let ticks = avro.long()?;
            let (least, greatest) = TICKS[usize::from(precision)];
            if (least..=greatest).contains(&ticks) {
                column.push(ticks.to_le_bytes());
                return Ok(());
            }
            Err(ErrorCode::OutOfRange.of_sign(ticks < least))
        }
        Quick::Text | Quick::Bytes | Quick::Word => unreachable!("texts go to columns of texts"),
    };
    appended.map_err(|code| Fault { code, at })
}

fn append_scalar(avro: &mut Cursor<'_>, scalar: Scalar, column: &mut ColumnBuilder) -> Outcome {
    let at = avro.at;
    append_typed(read(avro, scalar)?, column).map_err(|code| Fault { code, at })
}

/// Short texts without letters beyond ASCII are checked quickest by looking for these.
#[inline]
fn check_utf8(bytes: &[u8], start: usize) -> Outcome {
    if bytes.is_ascii() || simdutf8::basic::from_utf8(bytes).is_ok() {
        return Ok(());
    }
    Err(invalid_utf8(bytes, start))
}

#[inline]
fn text(record: &[u8], start: usize, end: usize) -> Result<&str, Fault> {
    let bytes = &record[start..end];
    simdutf8::basic::from_utf8(bytes).map_err(|_| invalid_utf8(bytes, start))
}

/// Takes a record that is a decimal with a scale of its own.
pub(super) fn variable_decimal<'r>(avro: &mut Cursor<'r>, order: DecimalOrder) -> Result<Typed<'r>, Fault> {
    let at = avro.at;
    let (scale, (start, end)) = match order {
        DecimalOrder::ScaleFirst => {
            let scale = avro.int()?;
            (scale, avro.sized()?)
        }
        DecimalOrder::ValueFirst => {
            let value = avro.sized()?;
            (avro.int()?, value)
        }
    };
    decimal_of_bytes(&avro.bytes()[start..end], scale.into()).map_err(|code| Fault { code, at })
}

/// Takes one value of a scalar type.
pub(super) fn read<'r>(avro: &mut Cursor<'r>, scalar: Scalar) -> Result<Typed<'r>, Fault> {
    let at = avro.at;
    Ok(match scalar {
        Scalar::Boolean => Typed::Bool(avro.boolean()?),
        Scalar::Int(whole) => integer(avro.int()?.into(), whole),
        Scalar::Long(whole) => integer(avro.long()?, whole),
        Scalar::Float => Typed::Float32(avro.float()?),
        Scalar::FloatAsDouble => Typed::Float64(avro.float()?.into()),
        Scalar::Double => Typed::Float64(avro.double()?),
        Scalar::Sized(Blob::Text) => {
            let (start, end) = avro.sized()?;
            Typed::Text(text(avro.bytes(), start, end)?)
        }
        Scalar::Sized(blob) => {
            let (start, end) = avro.sized()?;
            meaning(&avro.bytes()[start..end], blob).map_err(|code| Fault { code, at })?
        }
        Scalar::Fixed(size, blob) => meaning(avro.take(size)?, blob).map_err(|code| Fault { code, at })?,
    })
}

fn integer(value: i64, whole: Whole) -> Typed<'static> {
    match whole {
        Whole::Number => Typed::Int(value),
        Whole::Float => Typed::Float32(value as f32),
        Whole::Double => Typed::Float64(value as f64),
        Whole::Date => Typed::Date(value),
        Whole::Year => Typed::Year(value),
        Whole::TimeOfDay(precision) => Typed::TimeOfDay { ticks: value, precision },
        Whole::Timestamp(precision) => Typed::Timestamp { ticks: value, precision },
        Whole::LocalTimestamp(precision) => Typed::LocalTimestamp { ticks: value, precision },
    }
}

/// What bytes mean.
fn meaning(bytes: &[u8], blob: Blob) -> Result<Typed<'_>, ErrorCode> {
    Ok(match blob {
        Blob::Bytes => Typed::Bytes(bytes),
        Blob::Text => Typed::Text(simdutf8::basic::from_utf8(bytes).map_err(|_| ErrorCode::InvalidUtf8)?),
        Blob::Bits => Typed::Bits(bytes),
        Blob::Meant(meaning) => {
            Typed::Meant(simdutf8::basic::from_utf8(bytes).map_err(|_| ErrorCode::InvalidUtf8)?, meaning)
        }
        Blob::UuidText => {
            let uuid = uuid::Uuid::try_parse_ascii(bytes).map_err(|_| ErrorCode::InvalidUuid)?;
            Typed::Uuid(uuid.as_u128())
        }
        Blob::Uuid => Typed::Uuid(u128::from_be_bytes(bytes.try_into().map_err(|_| ErrorCode::InvalidAvro)?)),
        Blob::Decimal { scale } => decimal_of_bytes(bytes, scale.into())?,
        Blob::BigDecimal => {
            let mut inner = Cursor::new(bytes, 0);
            let parts = inner.sized().and_then(|digits| Ok((digits, inner.long()?)));
            let ((start, end), scale) = parts.map_err(|_| ErrorCode::InvalidAvro)?;
            if !inner.at_end() {
                return Err(ErrorCode::InvalidAvro);
            }
            decimal_of_bytes(&bytes[start..end], scale)?
        }
        Blob::Duration => {
            let (parts, []) = bytes.as_chunks::<4>() else {
                return Err(ErrorCode::InvalidAvro);
            };
            let &[months, days, millis] = parts else {
                return Err(ErrorCode::InvalidAvro);
            };
            let number = u32::from_le_bytes;
            Typed::Duration { months: number(months), days: number(days), millis: number(millis) }
        }
    })
}

/// Takes a symbol of the enum `id`.
pub(super) fn symbol<'p>(avro: &mut Cursor<'_>, shapes: &'p [Shape], id: Id) -> Result<Typed<'p>, Fault> {
    let Shape::Enum(symbols) = &shapes[id] else {
        unreachable!("the plan says so of enums only");
    };
    let at = avro.at;
    match &symbols[avro.choice(symbols.len())?] {
        Some(Symbol { name, number }) => Ok(Typed::Enum { name: Some(name), number: *number }),
        None => Err(Fault { code: ErrorCode::UnknownEnumValue, at }),
    }
}

/// Steps over one value. Checks lengths, counts and numbers of branches, but no text.
pub(super) fn skip(avro: &mut Cursor<'_>, shapes: &[Shape], id: Id) -> Outcome {
    match &shapes[id] {
        Shape::Null => Ok(()),
        Shape::Scalar(scalar) => match scalar {
            Scalar::Boolean => avro.boolean().map(drop),
            Scalar::Int(_) => avro.int().map(drop),
            Scalar::Long(_) => avro.long().map(drop),
            Scalar::Float | Scalar::FloatAsDouble => avro.take(4).map(drop),
            Scalar::Double => avro.take(8).map(drop),
            Scalar::Sized(_) => avro.sized().map(drop),
            Scalar::Fixed(size, _) => avro.take(*size).map(drop),
        },
        Shape::Enum(symbols) => avro.choice(symbols.len()).map(drop),
        Shape::Record(record) => {
            avro.enter()?;
            for field in &record.fields {
                skip(avro, shapes, field.shape)?;
            }
            avro.leave();
            Ok(())
        }
        Shape::Array(items) => skip_blocks(avro, shapes, *items, false),
        Shape::Map(items) => skip_blocks(avro, shapes, *items, true),
        Shape::Union(branches) => {
            let branch = avro.choice(branches.len())?;
            skip(avro, shapes, branches[branch])
        }
        Shape::Refused(written) => skip(avro, shapes, *written),
    }
}

fn skip_blocks(avro: &mut Cursor<'_>, shapes: &[Shape], items: Items, keyed: bool) -> Outcome {
    avro.enter()?;
    while let Some(block) = avro.block(items.weight)? {
        if avro.pass_block(block) {
            continue;
        }
        for _ in 0..block.items {
            if keyed {
                avro.sized()?;
            }
            skip(avro, shapes, items.shape)?;
        }
    }
    avro.leave();
    Ok(())
}
