//! Lists of records or maps into the columns of a flattened Nested.

use super::compile::Fit;
use super::cursor::Cursor;
use super::shape::Items;
use super::value::{Outcome, Values, skip};
use crate::columns::{ArrayColumn, ColumnBuilder};
use crate::decode::error::{ErrorCode, Fault};

impl Values<'_> {
    /// What a field holds in each element of a list. Never replaced where it does not fit: the lists of a Nested have one
    /// length.
    pub(super) fn append_field_of_each(
        &mut self,
        avro: &mut Cursor<'_>,
        fit: &Fit,
        items: Items,
        column: &mut ArrayColumn,
    ) -> Outcome {
        avro.enter()?;
        let mut elements = 0;
        while let Some(block) = avro.block(items.weight)? {
            for _ in 0..block.items {
                self.append_element(avro, fit, &mut column.values)?;
            }
            avro.end_block(block)?;
            elements += block.items;
        }
        column.offsets.push(elements);
        avro.leave();
        Ok(())
    }

    fn append_element(&mut self, avro: &mut Cursor<'_>, fit: &Fit, values: &mut ColumnBuilder) -> Outcome {
        match fit {
            Fit::Null => {
                values.push_zero();
                Ok(())
            }
            Fit::Tuple(fit) => self.append_fields(avro, fit, std::slice::from_mut(values)),
            Fit::Key(name, fit, items) => self.append_value_of_key(avro, name, fit, *items, values),
            Fit::Union(branches) => {
                let branch = avro.choice(branches.len())?;
                self.append_element(avro, &branches[branch], values)
            }
            _ => Err(Fault { code: ErrorCode::TypeMismatch, at: avro.at }),
        }
    }

    fn append_value_of_key(
        &mut self,
        avro: &mut Cursor<'_>,
        name: &str,
        fit: &Fit,
        items: Items,
        values: &mut ColumnBuilder,
    ) -> Outcome {
        avro.enter()?;
        let mut found = false;
        while let Some(block) = avro.block(0)? {
            for _ in 0..block.items {
                let at = avro.at;
                let (start, end) = avro.sized()?;
                if avro.bytes()[start..end] != *name.as_bytes() {
                    skip(avro, self.shapes, items.shape)?;
                } else if std::mem::replace(&mut found, true) {
                    return Err(Fault { code: ErrorCode::DuplicateKey, at });
                } else {
                    self.append(avro, fit, values)?;
                }
            }
            avro.end_block(block)?;
        }
        if !found {
            values.push_zero();
        }
        avro.leave();
        Ok(())
    }
}
