//! The open block: all columns, filled one row at a time.

use std::sync::Arc;

use super::builder::ColumnBuilder;
use super::plan::{CoordinateKind, Filler, PlanError, RowPlan};
use super::row_bytes::append_value;
use super::source::OnError;
use super::value::{Value, last_value};
use crate::decode::{ErrorCode, Stage};

/// Where a record was read.
#[derive(Debug, Clone, Copy)]
pub struct RowCoordinates<'a> {
    /// Topic name.
    pub topic: &'a str,
    /// Partition number, not negative.
    pub partition: i32,
    /// Offset, not negative.
    pub offset: i64,
    /// Which row of the record; 0 where it makes one.
    pub row: u32,
    /// How often the topic was consumed anew on purpose.
    pub replay: u32,
}

/// The columns of one open block.
///
/// A decoder appends a row to the data columns; then [`Columns::commit_row`] adds its coordinates
/// and keeps it, or [`Columns::rollback_row`] takes it back. All columns always have the same
/// number of kept rows.
#[derive(Debug)]
pub struct Columns {
    plan: Arc<RowPlan>,
    data: Vec<DataColumn>,
    pub(crate) coordinates: Vec<ColumnBuilder>,
    pub(crate) presences: Vec<Presence>,
    /// Number of the open or last row, counted from 1 and never used again.
    row: u64,
    /// Data columns that have begun the open row.
    begun: usize,
    row_is_open: bool,
    /// A column has something of the image in the change event.
    image_was_met: bool,
    /// The open row met a null where columns take parts of a value.
    null_was_met: bool,
    rows: usize,
    /// The column whose value was begun last, for messages.
    field: Option<usize>,
    /// Values of the open row that did not fit and were replaced.
    replaced_in_open_row: u64,
    /// Whether any row kept since they were taken has such values.
    replaced: bool,
}

#[derive(Debug)]
struct DataColumn {
    builder: ColumnBuilder,
    /// The row that was begun last in this column.
    row: u64,
    /// The row in which the default was given last.
    defaulted_row: u64,
    /// The row in which a value was replaced last.
    replaced_row: u64,
    /// Values that were replaced, in rows kept since they were taken.
    replaced: u64,
}

/// Which rows have a value in a column whose default only the server can evaluate.
#[derive(Debug, Default)]
pub(crate) struct Presence {
    /// 1 or 0 per row; empty as long as no row lacks the value.
    pub(crate) flags: Vec<u8>,
    missing_in_open_row: bool,
}

impl Columns {
    /// Empty columns.
    ///
    /// # Errors
    /// Where a type names an unknown time zone, which making the plan has ruled out.
    pub fn new(plan: &Arc<RowPlan>) -> Result<Self, PlanError> {
        let zone = plan.server_zone.as_str();
        let data = plan
            .columns
            .iter()
            .map(|spec| {
                let mut builder = ColumnBuilder::new(&spec.column_type, zone)?;
                if let Some(unit) = spec.time_unit {
                    builder.set_time_unit(unit);
                }
                Ok(DataColumn { builder, row: 0, defaulted_row: 0, replaced_row: 0, replaced: 0 })
            })
            .collect::<Result<Vec<_>, _>>()?;
        let coordinates = plan
            .coordinates
            .iter()
            .map(|spec| ColumnBuilder::new(&spec.column_type, zone))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Self {
            presences: plan.presences.iter().map(|_| Presence::default()).collect(),
            data,
            coordinates,
            plan: Arc::clone(plan),
            row: 0,
            begun: 0,
            row_is_open: false,
            image_was_met: false,
            null_was_met: false,
            rows: 0,
            field: None,
            replaced_in_open_row: 0,
            replaced: false,
        })
    }

    /// The plan that the columns were made from.
    pub fn plan(&self) -> &Arc<RowPlan> {
        &self.plan
    }

    /// Rows kept.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Bytes of the block before compression: what a limit on block bytes counts.
    pub fn wire_bytes(&self) -> usize {
        let columns = self.data_builders().chain(&self.coordinates);
        let flags: usize = self.presences.iter().map(|p| p.flags.len()).sum();
        columns.map(ColumnBuilder::wire_bytes).sum::<usize>() + flags
    }

    /// Bytes of heap held, free capacity included: what the memory budget counts.
    pub fn heap_bytes(&self) -> usize {
        let columns = self.data_builders().chain(&self.coordinates);
        let flags: usize = self.presences.iter().map(|p| p.flags.capacity()).sum();
        columns.map(ColumnBuilder::heap_bytes).sum::<usize>() + flags
    }

    /// Removes all rows and keeps the buffers for the next block.
    pub fn clear(&mut self) {
        for column in &mut self.data {
            column.builder.clear();
        }
        self.coordinates.iter_mut().for_each(ColumnBuilder::clear);
        for presence in &mut self.presences {
            presence.flags.clear();
        }
        self.row_is_open = false;
        self.rows = 0;
    }

    /// Takes no more JSON objects that have a key twice: the server refuses them.
    pub fn want_single_keys(&mut self) {
        for column in &mut self.data {
            column.builder.want_single_keys();
        }
    }

    /// Begins a row.
    #[inline]
    pub(crate) fn begin_row(&mut self) {
        assert!(!self.row_is_open, "a decoded row is committed or rolled back before the next one");
        self.row_is_open = true;
        self.row += 1;
        self.image_was_met = false;
        self.null_was_met = false;
        self.begun = 0;
        self.field = None;
        self.replaced_in_open_row = 0;
        for presence in &mut self.presences {
            presence.missing_in_open_row = false;
        }
    }

    /// The column to append this row's value to; `None` where the row has one already.
    #[inline]
    pub(crate) fn open(&mut self, column: usize) -> Option<&mut ColumnBuilder> {
        self.field = Some(column);
        let column = &mut self.data[column];
        if column.row == self.row {
            return None;
        }
        column.row = self.row;
        self.begun += 1;
        column.builder.mark();
        Some(&mut column.builder)
    }

    /// Gives an opened column its default.
    pub(crate) fn append_default(&mut self, column: usize) {
        self.data[column].defaulted_row = self.row;
        match &self.plan.fillers[column] {
            Filler::TypeZero => self.data[column].builder.push_zero(),
            // How long it is shows when the row is complete.
            Filler::Nested => self.withdraw(column),
            Filler::Constant(constant) => self.data[column].builder.append_all(constant),
            Filler::ServerSide(presence) => {
                self.data[column].builder.push_zero();
                self.presences[*presence].missing_in_open_row = true;
            }
        }
    }

    /// Gives an opened column NULL, or its default where it has no NULL.
    pub(crate) fn append_null_or_default(&mut self, column: usize) {
        if self.plan.columns[column].column_type.accepts_null() {
            self.data[column].builder.push_zero();
        } else {
            self.append_default(column);
        }
    }

    /// The column whose value was begun last; `None` behind a field that no column takes.
    pub(crate) fn field(&self) -> Option<usize> {
        self.field
    }

    /// Notes that what is read now belongs to no column.
    #[inline]
    pub(crate) fn leave_field(&mut self) {
        self.field = None;
    }

    /// Puts something else in the place of a value that does not fit, where the column's configuration says so. The caller
    /// then goes on behind the value; on `false` the record has failed.
    #[cold]
    pub(crate) fn replace(&mut self, column: usize, code: ErrorCode) -> bool {
        if code.stage() != Stage::Convert {
            return false;
        }
        let builder = &mut self.data[column].builder;
        builder.rollback();
        match self.plan.columns[column].on_error {
            OnError::DeadLetter => return false,
            OnError::Default => self.append_default(column),
            OnError::Null => builder.push_zero(),
            OnError::Clamp => {
                if !builder.push_limit(code) {
                    return false;
                }
            }
        }
        self.count_as_replaced(column);
        true
    }

    /// Puts NULL, or the default of a column that has none, in the place of a value that does not fit, whatever the column's
    /// configuration says.
    #[cold]
    pub(crate) fn replace_by_null_or_default(&mut self, column: usize) {
        self.data[column].builder.rollback();
        self.append_null_or_default(column);
        self.count_as_replaced(column);
    }

    fn count_as_replaced(&mut self, column: usize) {
        self.data[column].replaced_row = self.row;
        self.replaced_in_open_row += 1;
    }

    /// Takes back what the open row has in a column, as if it had not been opened.
    #[cold]
    pub(crate) fn withdraw(&mut self, column: usize) {
        debug_assert!(self.has_value(column));
        if let Filler::ServerSide(presence) = &self.plan.fillers[column] {
            self.presences[*presence].missing_in_open_row = false;
        }
        let column = &mut self.data[column];
        column.builder.rollback();
        // Rows count from 1.
        column.row = 0;
        self.begun -= 1;
        if std::mem::take(&mut column.replaced_row) == self.row {
            self.replaced_in_open_row -= 1;
        }
    }

    /// Whether the open row has a value in a column.
    #[inline]
    pub(crate) fn has_value(&self, column: usize) -> bool {
        self.data[column].row == self.row
    }

    /// How many data columns the open row has a value in.
    #[inline]
    pub(crate) fn begun(&self) -> usize {
        self.begun
    }

    /// Notes a null where columns take parts of a value: the field is there, though no column has a value of it.
    #[inline]
    pub(crate) fn meet_null(&mut self) {
        self.null_was_met = true;
    }

    /// Whether the record of the open row has a field that a column takes.
    #[inline]
    pub(crate) fn met_a_field(&self) -> bool {
        self.begun > 0 || self.null_was_met
    }

    /// Notes that the image in a change event was read, when so many columns had a value before.
    #[inline]
    pub(crate) fn leave_image(&mut self, begun_before: usize) {
        self.image_was_met |= self.begun > begun_before;
    }

    /// Whether the open row has something of the image in a change event.
    #[inline]
    pub(crate) fn image_was_met(&self) -> bool {
        self.image_was_met
    }

    /// Puts something else in the place of a value that was taken, where the column's configuration says so.
    #[cold]
    pub(crate) fn replace_value(&mut self, column: usize, code: ErrorCode) -> bool {
        self.field = Some(column);
        self.replace(column, code)
    }

    /// Puts something else in the place of these columns' values, which are parts of a value that has none, where their
    /// configuration says so. Gives whether the record can go on.
    #[cold]
    pub(crate) fn replace_parts(&mut self, parts: impl IntoIterator<Item = usize>) -> bool {
        parts.into_iter().all(|column| self.open(column).is_none() || self.replace(column, ErrorCode::NoParts))
    }

    /// Whether the open row has a value in every data column.
    #[inline]
    pub(crate) fn row_is_full(&self) -> bool {
        self.begun == self.data.len()
    }

    /// How many values of each data column were replaced in the rows kept since this was asked last; of none that had none.
    #[inline]
    pub fn take_replaced(&mut self) -> Vec<(usize, u64)> {
        if std::mem::take(&mut self.replaced) { self.count_replaced() } else { Vec::new() }
    }

    #[cold]
    fn count_replaced(&mut self) -> Vec<(usize, u64)> {
        let counts = self.data.iter_mut().map(|column| std::mem::take(&mut column.replaced)).enumerate();
        counts.filter(|(_, values)| *values > 0).collect()
    }

    #[cold]
    fn keep_replaced(&mut self) {
        for column in self.data.iter_mut().filter(|column| column.replaced_row == self.row) {
            column.replaced += 1;
        }
        self.replaced = true;
    }

    /// Gives every column that the record had no field for its default.
    #[inline]
    pub(crate) fn complete_row(&mut self) {
        if self.row_is_full() {
            return;
        }
        for column in 0..self.data.len() {
            if self.open(column).is_some() {
                self.append_default(column);
            }
        }
        if !self.row_is_full() {
            self.complete_nested();
        }
    }

    /// Fills the lists that have to be as long as those beside them.
    #[cold]
    fn complete_nested(&mut self) {
        let plan = Arc::clone(&self.plan);
        let is_left = |columns: &Self, column: usize| !columns.has_value(column);
        let lengths = plan.nested.iter().filter(|(column, _)| is_left(self, *column)).map(|(column, beside)| {
            let known = beside.iter().filter(|beside| self.has_value(**beside));
            (*column, known.map(|beside| self.data[*beside].builder.open_elements()).max().unwrap_or(0))
        });
        for (column, elements) in lengths.collect::<Vec<_>>() {
            if let Some(ColumnBuilder::Array(list)) = self.open(column) {
                list.push_zeros(elements);
            }
        }
    }

    /// Whether the decoded row has the default in a column, for want of a value of its own.
    pub(crate) fn is_defaulted(&self, column: usize) -> bool {
        self.data[column].defaulted_row == self.row
    }

    /// Appends, as `RowBinary`, what the decoded row would have in a column that its record lacked; nothing where only the
    /// server knows it.
    pub(crate) fn append_default_bytes(&self, column: usize, bytes: &mut Vec<u8>) {
        let plan = &self.plan;
        let empty = || {
            let new = ColumnBuilder::new(&plan.columns[column].column_type, &plan.server_zone);
            new.expect("making the plan has checked every time zone")
        };
        match &plan.fillers[column] {
            Filler::Constant(constant) => append_value(constant, bytes),
            Filler::TypeZero => {
                let mut zero = empty();
                zero.push_zero();
                append_value(&zero, bytes);
            }
            Filler::Nested => {
                let beside = plan.nested.iter().filter(|(place, _)| *place == column).flat_map(|(_, beside)| beside);
                let elements = beside.map(|beside| self.data[*beside].builder.open_elements()).max().unwrap_or(0);
                if let ColumnBuilder::Array(mut list) = empty() {
                    list.push_zeros(elements);
                    append_value(&ColumnBuilder::Array(list), bytes);
                }
            }
            Filler::ServerSide(_) => {}
        }
    }

    /// Keeps the decoded row.
    ///
    /// # Panics
    /// Where no row was decoded: a caller's mistake that would misalign coordinates and data.
    #[inline]
    pub fn commit_row(&mut self, coordinates: &RowCoordinates<'_>) {
        assert!(self.row_is_open, "a row is decoded before it is committed");
        for (spec, column) in self.plan.coordinates.iter().zip(&mut self.coordinates) {
            append_coordinate(spec.kind, column, coordinates);
        }
        for presence in &mut self.presences {
            let missing = presence.missing_in_open_row;
            if missing && presence.flags.is_empty() {
                presence.flags.resize(self.rows, 1);
            }
            if missing || !presence.flags.is_empty() {
                presence.flags.push(u8::from(!missing));
            }
        }
        self.rows += 1;
        if self.replaced_in_open_row > 0 {
            self.keep_replaced();
        }
        self.row_is_open = false;
    }

    /// Takes the open row back from every column. Does nothing where none is open.
    pub fn rollback_row(&mut self) {
        if !self.row_is_open {
            return;
        }
        for column in &mut self.data {
            if column.row == self.row {
                column.builder.rollback();
            }
        }
        self.row_is_open = false;
    }

    /// The data columns, in the order of the plan.
    pub(crate) fn data_builders(&self) -> impl ExactSizeIterator<Item = &ColumnBuilder> {
        self.data.iter().map(|column| &column.builder)
    }

    /// Whether a row was decoded and neither committed nor rolled back.
    pub(crate) fn row_is_open(&self) -> bool {
        self.row_is_open
    }

    /// The value of the decoded row, before it is committed. `column` counts as in
    /// [`RowPlan::columns`]. A missing field shows its default; where only the server knows that
    /// one, [`Value::Null`].
    pub fn last_value(&self, column: usize) -> Value<'_> {
        if let Filler::ServerSide(presence) = &self.plan.fillers[column]
            && self.presences[*presence].missing_in_open_row
        {
            return Value::Null;
        }
        last_value(&self.data[column].builder)
    }
}

#[inline]
fn append_coordinate(kind: CoordinateKind, column: &mut ColumnBuilder, coordinates: &RowCoordinates<'_>) {
    let number = match kind {
        CoordinateKind::Topic => return append_topic(column, coordinates.topic),
        CoordinateKind::Partition => i64::from(coordinates.partition),
        CoordinateKind::Offset => coordinates.offset,
        CoordinateKind::Row => i64::from(coordinates.row),
        CoordinateKind::Replay => i64::from(coordinates.replay),
    };
    let ColumnBuilder::Fixed(column) = column else {
        unreachable!("the plan has checked the type of every coordinate column");
    };
    let bytes = number.to_le_bytes();
    debug_assert!(number >= 0 && bytes[column.width..].iter().all(|b| *b == 0));
    if column.width == 8 {
        column.data.extend_from_slice(&bytes);
    } else {
        column.data.extend_from_slice(&bytes[..column.width]);
    }
}

fn append_topic(column: &mut ColumnBuilder, topic: &str) {
    match column {
        ColumnBuilder::String(column) => column.push(topic.as_bytes()),
        ColumnBuilder::Dictionary(column) => column.push_string(topic.as_bytes()),
        _ => unreachable!("the plan has checked the type of every coordinate column"),
    }
}
