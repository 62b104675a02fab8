//! The values of a record to the columns that take them, whole or in parts.

use super::compile::{Column, FieldPlan, Fit, Parts, Place, RecordPlan, Taken};
use super::cursor::{Cursor, Mark, invalid_utf8};
use super::shape::{Id, Items};
use super::value::{Values, append_quick, skip};
use super::{json, natural};
use crate::columns::Columns;
use crate::decode::error::{ErrorCode, Fault};
use crate::decode::json::Walk;
use crate::decode::record::Rest;

type Outcome = Result<(), Fault>;

impl Values<'_> {
    /// The value at the cursor to all columns that take it or a part of it. As deep as the paths are.
    ///
    /// `rest` takes the fields that nobody does; of the root only.
    pub(super) fn place(
        &mut self,
        avro: &mut Cursor<'_>,
        place: &Place,
        rest: Option<&mut Rest>,
        columns: &mut Columns,
    ) -> Outcome {
        let start = avro.mark();
        for column in &place.columns {
            avro.back_to(start);
            self.column(avro, column, place.shape, columns)?;
        }
        if let Parts::None = place.parts {
            if place.columns.is_empty() {
                columns.leave_field();
                skip(avro, self.shapes, place.shape)?;
            }
            return Ok(());
        }
        avro.back_to(start);
        columns.leave_field();
        let before = columns.begun();
        self.parts(avro, place, rest, columns)?;
        if place.is_image {
            columns.leave_image(before);
        }
        Ok(())
    }

    fn parts(
        &mut self,
        avro: &mut Cursor<'_>,
        place: &Place,
        rest: Option<&mut Rest>,
        columns: &mut Columns,
    ) -> Outcome {
        match &place.parts {
            Parts::None => Ok(()),
            Parts::NoFields => Err(Fault { code: ErrorCode::NotAnObject, at: avro.at }),
            Parts::Lacking(parts) => {
                let at = avro.at;
                skip(avro, self.shapes, place.shape)?;
                let replaced = columns.replace_parts(parts.iter().copied());
                if replaced { Ok(()) } else { Err(Fault { code: ErrorCode::NoParts, at }) }
            }
            Parts::Document(target) => {
                let (start, end) = avro.sized()?;
                let text = &avro.bytes()[start..end];
                simdutf8::basic::from_utf8(text).map_err(|_| invalid_utf8(text, start))?;
                let walk = self.walk.get_or_insert_with(|| Box::new(Walk::new(columns.plan())));
                walk.document(text, target, columns).map_err(|fault| Fault { at: start, ..fault })?;
                walk.shrink();
                Ok(())
            }
            Parts::Record(record) => self.record(avro, record, rest, columns),
            Parts::Map(keys, shape) => self.map(avro, keys, *shape, rest, columns),
            Parts::Array(elements, items) => self.array(avro, elements, *items, columns),
            Parts::Union(branches) => {
                let branch = avro.choice(branches.len())?;
                self.place(avro, &branches[branch], rest, columns)
            }
        }
    }

    /// The value at the cursor to one column. A call for each field of each record would cost a tenth of the time.
    #[inline(always)]
    fn column(&mut self, avro: &mut Cursor<'_>, column: &Column, shape: Id, columns: &mut Columns) -> Outcome {
        let Fit::Quick(quick) = &column.fit else {
            return self.column_of_other(avro, column, shape, columns);
        };
        let Some(builder) = columns.open(column.number) else {
            return Err(Fault { code: ErrorCode::DuplicateKey, at: avro.at });
        };
        append_quick(avro, *quick, builder).or_else(|fault| replace_taken(column.number, fault, columns))
    }

    fn column_of_other(&mut self, avro: &mut Cursor<'_>, column: &Column, shape: Id, columns: &mut Columns) -> Outcome {
        let start = avro.mark();
        let Some(builder) = columns.open(column.number) else {
            return Err(Fault { code: ErrorCode::DuplicateKey, at: avro.at });
        };
        let mut fit = &column.fit;
        if let Fit::Union(branches) = fit {
            fit = &branches[avro.choice(branches.len())?];
        }
        match fit {
            Fit::Quick(quick) => {
                append_quick(avro, *quick, builder).or_else(|fault| replace_taken(column.number, fault, columns))
            }
            Fit::Null if !column.accepts_null => {
                columns.append_default(column.number);
                Ok(())
            }
            fit @ Fit::FieldOfEach(..) => self.append(avro, fit, builder),
            fit => match self.append(avro, fit, builder) {
                Ok(()) => Ok(()),
                Err(fault) => self.replace(avro, start, column.number, shape, fault, columns),
            },
        }
    }

    /// Goes on behind a value that does not fit, where the column's configuration says so.
    #[cold]
    fn replace(
        &mut self,
        avro: &mut Cursor<'_>,
        start: Mark,
        column: usize,
        shape: Id,
        fault: Fault,
        columns: &mut Columns,
    ) -> Outcome {
        if !columns.replace(column, fault.code) {
            return Err(fault);
        }
        avro.back_to(start);
        skip(avro, self.shapes, shape)
    }

    fn record(
        &mut self,
        avro: &mut Cursor<'_>,
        record: &RecordPlan,
        mut rest: Option<&mut Rest>,
        columns: &mut Columns,
    ) -> Outcome {
        avro.enter()?;
        for field in &record.fields {
            match &field.taken {
                Taken::Column(column) => self.column(avro, column, field.shape, columns)?,
                _ => self.field(avro, field, rest.as_deref_mut(), columns)?,
            }
        }
        for (field, bytes) in &record.defaults {
            let filled = self.field(&mut avro.aside(bytes), field, rest.as_deref_mut(), columns);
            filled.map_err(|fault| Fault { at: avro.at, ..fault })?;
        }
        avro.leave();
        Ok(())
    }

    fn field(
        &mut self,
        avro: &mut Cursor<'_>,
        field: &FieldPlan,
        rest: Option<&mut Rest>,
        columns: &mut Columns,
    ) -> Outcome {
        match &field.taken {
            Taken::Column(column) => self.column(avro, column, field.shape, columns),
            Taken::Place(place) => self.place(avro, place, None, columns),
            Taken::Nobody => {
                columns.leave_field();
                let rest = rest.filter(|rest| !rest.is_ignored());
                match (&field.name, rest) {
                    (Some(name), Some(rest)) => self.keep(avro, name, field.shape, rest),
                    _ => skip(avro, self.shapes, field.shape),
                }
            }
        }
    }

    /// A field that no column takes.
    fn keep(&mut self, avro: &mut Cursor<'_>, name: &str, shape: Id, rest: &mut Rest) -> Outcome {
        if rest.reports() {
            rest.report(name, || natural::type_of(self.shapes, shape));
            return skip(avro, self.shapes, shape);
        }
        match rest.field(name).map_err(|code| Fault { code, at: avro.at })? {
            Some(json) => json::write(avro, self.shapes, shape, json),
            None => skip(avro, self.shapes, shape),
        }
    }

    fn map(
        &mut self,
        avro: &mut Cursor<'_>,
        keys: &[(Box<str>, Place)],
        shape: Id,
        mut rest: Option<&mut Rest>,
        columns: &mut Columns,
    ) -> Outcome {
        avro.enter()?;
        while let Some(block) = avro.block(0)? {
            for _ in 0..block.items {
                columns.leave_field();
                let (start, end) = avro.sized()?;
                let key = &avro.bytes()[start..end];
                let taken = keys.iter().find(|(name, _)| name.as_bytes() == key);
                match (taken, rest.as_deref_mut().filter(|rest| !rest.is_ignored())) {
                    (Some((_, place)), _) => self.place(avro, place, None, columns)?,
                    (None, Some(rest)) => {
                        let name = simdutf8::basic::from_utf8(key).map_err(|_| invalid_utf8(key, start))?;
                        self.keep(avro, name, shape, rest)?;
                    }
                    (None, None) => skip(avro, self.shapes, shape)?,
                }
            }
            columns.leave_field();
            avro.end_block(block)?;
        }
        avro.leave();
        Ok(())
    }

    fn array(
        &mut self,
        avro: &mut Cursor<'_>,
        elements: &[(usize, Place)],
        items: Items,
        columns: &mut Columns,
    ) -> Outcome {
        avro.enter()?;
        let mut number = 0;
        while let Some(block) = avro.block(items.weight)? {
            for _ in 0..block.items {
                columns.leave_field();
                match elements.iter().find(|(wanted, _)| *wanted == number) {
                    Some((_, place)) => self.place(avro, place, None, columns)?,
                    None => skip(avro, self.shapes, items.shape)?,
                }
                number += 1;
            }
            columns.leave_field();
            avro.end_block(block)?;
        }
        avro.leave();
        Ok(())
    }
}

/// The same where the value has been taken, and nothing is left to pass over.
#[cold]
fn replace_taken(column: usize, fault: Fault, columns: &mut Columns) -> Outcome {
    if columns.replace(column, fault.code) { Ok(()) } else { Err(fault) }
}
