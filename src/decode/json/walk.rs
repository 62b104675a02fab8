//! Values of a record to the columns that take them, whole or in parts.

use std::sync::Arc;

use super::SCRATCH_BYTES_KEPT;
use super::cursor::{Cursor, Mark};
use super::extended;
use super::hints::{Buffers, Hints, append_hinted};
use super::nested::append_field_of_each;
use super::value::append_value;
use crate::columns::{ColumnBuilder, Columns, RowPlan};
use crate::decode::error::{ErrorCode, Fault};
use crate::decode::record::Rest;
use crate::decode::target::Target;

type Outcome = Result<(), Fault>;

/// What every value needs.
#[derive(Debug)]
pub(in crate::decode) struct Walk {
    /// Per column: whether null is a value.
    accepts_null: Vec<bool>,
    pub(super) buffers: Buffers,
    /// What the schema that travels along in the record says of columns.
    pub(super) hints: Option<Arc<Hints>>,
}

impl Walk {
    pub(in crate::decode) fn new(plan: &Arc<RowPlan>) -> Self {
        let accepts_null = plan.columns().iter().map(|spec| spec.column_type.accepts_null()).collect();
        Self { accepts_null, buffers: Buffers::default(), hints: None }
    }

    pub(in crate::decode) fn shrink(&mut self) {
        self.buffers.shrink(SCRATCH_BYTES_KEPT);
    }

    /// The value at the cursor to one column.
    #[inline]
    pub(super) fn column(&mut self, json: &mut Cursor<'_>, column: usize, columns: &mut Columns) -> Outcome {
        let Some(builder) = columns.open(column) else {
            return Err(json.fault(ErrorCode::DuplicateKey));
        };
        if json.peek() == b'n' && !self.accepts_null[column] {
            json.literal(b"null")?;
            columns.append_default(column);
            return Ok(());
        }
        let start = json.mark();
        let hint = self.hints.as_ref().and_then(|hints| hints.of(column));
        let appended = match hint {
            None => append_value(json, builder, &mut self.buffers.scratch),
            Some(hint) => append_hinted(json, hint, builder, &mut self.buffers),
        };
        match appended {
            Ok(()) => Ok(()),
            Err(fault) => replace(json, start, column, fault, columns),
        }
    }

    /// The value at the cursor to all columns that take it whole.
    pub(super) fn whole(&mut self, json: &mut Cursor<'_>, target: &Target, columns: &mut Columns) -> Outcome {
        json.next_token();
        let start = json.mark();
        for column in &target.columns {
            json.back_to(start);
            self.column(json, *column, columns)?;
        }
        Ok(())
    }

    /// The value at the cursor to all columns that take it or a part of it. As deep as the paths are.
    pub(in crate::decode) fn tree(&mut self, json: &mut Cursor<'_>, target: &Target, columns: &mut Columns) -> Outcome {
        let start = json.mark();
        self.whole(json, target, columns)?;
        if !target.has_children() {
            return Ok(());
        }
        json.back_to(start);
        if target.is_document {
            return self.image(json, target, columns);
        }
        self.parts(json, target, columns)
    }

    /// The value at the cursor to the columns that take parts of it.
    fn parts(&mut self, json: &mut Cursor<'_>, target: &Target, columns: &mut Columns) -> Outcome {
        let start = json.mark();
        if json.peek() == b'[' {
            for (field, column) in &target.nested {
                self.field_of_each(json, field, *column, columns)?;
                json.back_to(start);
            }
        }
        match json.peek() {
            b'{' if !target.fields.is_empty() => self.fields(json, target, None, columns),
            b'[' if !target.elements.is_empty() => self.elements(json, target, columns),
            b'n' => {
                columns.leave_field();
                columns.meet_null();
                json.literal(b"null")
            }
            first => {
                let at = json.at;
                columns.leave_field();
                if target.columns.is_empty() { json.skip_value() } else { json.skip_taken_value() }?;
                let parts = target.part_columns(first == b'[');
                if columns.replace_parts(parts) {
                    return Ok(());
                }
                // What only begins as a value is not JSON.
                match json.next_token() {
                    b',' | b'}' | b']' | 0 => Err(Fault { code: ErrorCode::NoParts, at }),
                    _ => Err(json.fault(ErrorCode::InvalidJson)),
                }
            }
        }
    }

    /// The row in a change event. Of MongoDB it is a text.
    fn image(&mut self, json: &mut Cursor<'_>, target: &Target, columns: &mut Columns) -> Outcome {
        let before = columns.begun();
        if json.peek() == b'"' {
            let at = json.at;
            let mut unescaped = std::mem::take(&mut self.buffers.unescaped);
            let read = json
                .string(&mut unescaped)
                .and_then(|text| self.document(text, target, columns).map_err(|fault| Fault { at, ..fault }));
            self.buffers.unescaped = unescaped;
            read?;
        } else {
            self.parts(json, target, columns)?;
        }
        if target.is_image {
            columns.leave_image(before);
        }
        Ok(())
    }

    /// A document of MongoDB, as a text of its own, to the columns that take parts of it.
    pub(in crate::decode) fn document(&mut self, text: &[u8], target: &Target, columns: &mut Columns) -> Outcome {
        let mut plain = std::mem::take(&mut self.buffers.document);
        columns.leave_field();
        let read = match extended::to_plain(text, &mut plain) {
            Ok(()) => {
                let mut json = Cursor::new(&plain);
                json.next_token();
                self.parts(&mut json, target, columns)
            }
            // What a text is that holds no object: nothing that has parts.
            Err(Fault { code: ErrorCode::InvalidJson, .. }) if columns.replace_parts(target.part_columns(false)) => {
                Ok(())
            }
            Err(Fault { code: ErrorCode::InvalidJson, at }) => Err(Fault { code: ErrorCode::NoParts, at }),
            Err(fault) => Err(fault),
        };
        self.buffers.document = plain;
        read
    }

    /// What a field holds in each object of the list at the cursor, to one column of a flattened Nested.
    pub(super) fn field_of_each(
        &mut self,
        json: &mut Cursor<'_>,
        field: &str,
        column: usize,
        columns: &mut Columns,
    ) -> Outcome {
        match columns.open(column) {
            Some(ColumnBuilder::Array(array)) => {
                let hint = self.hints.as_ref().and_then(|hints| hints.of_each(column));
                append_field_of_each(json, field, hint, array, &mut self.buffers)
            }
            _ => Err(json.fault(ErrorCode::DuplicateKey)),
        }
    }

    /// The fields of the object at the cursor.
    pub(super) fn fields(
        &mut self,
        json: &mut Cursor<'_>,
        target: &Target,
        mut rest: Option<&mut Rest>,
        columns: &mut Columns,
    ) -> Outcome {
        json.enter()?;
        if json.next_token() == b'}' {
            json.leave();
            return Ok(());
        }
        loop {
            columns.leave_field();
            json.next_token();
            let at = json.at;
            let key = json.name(&mut self.buffers.scratch)?;
            let child = key.and_then(|key| target.fields.iter().find(|(name, _)| name.as_bytes() == key));
            let child = child.map(|(_, child)| child);
            let mut kept = None;
            if child.is_none()
                && let Some(rest) = rest.as_deref_mut()
            {
                let key = key.ok_or(Fault { code: ErrorCode::InvalidJson, at })?;
                let name = std::str::from_utf8(key).map_err(|_| Fault { code: ErrorCode::InvalidUtf8, at })?;
                kept = rest.field(name).map_err(|code| Fault { code, at })?;
            }
            json.expect(b':')?;
            json.next_token();
            match child {
                Some(child) => self.tree(json, child, columns)?,
                None => match kept {
                    Some(kept) => {
                        let start = json.at;
                        json.check_value()?;
                        kept.extend_from_slice(json.since(start));
                    }
                    None => json.skip_value()?,
                },
            }
            columns.leave_field();
            if !json.another(b'}')? {
                return Ok(());
            }
        }
    }

    fn elements(&mut self, json: &mut Cursor<'_>, target: &Target, columns: &mut Columns) -> Outcome {
        json.enter()?;
        if json.next_token() == b']' {
            json.leave();
            return Ok(());
        }
        for number in 0.. {
            json.next_token();
            match target.element(number) {
                Some(child) => self.tree(json, child, columns)?,
                None => {
                    columns.leave_field();
                    json.skip_value()?;
                }
            }
            if !json.another(b']')? {
                break;
            }
        }
        Ok(())
    }
}

/// Goes on behind a value that does not fit, where the column's configuration says so.
#[cold]
fn replace(json: &mut Cursor<'_>, start: Mark, column: usize, fault: Fault, columns: &mut Columns) -> Outcome {
    if !columns.replace(column, fault.code) {
        return Err(fault);
    }
    json.back_to(start);
    json.skip_taken_value()
}
