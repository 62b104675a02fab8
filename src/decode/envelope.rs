//! Change events: which part of one is the row.
//!
//! Debezium's envelope has `op`, `before` and `after`, at the root or below `payload` where the schema travels along. The
//! row is `after`, of a deletion `before`. Sources of columns name `after`; for deletions the same tree is hung below
//! `before`.

use std::sync::Arc;

use super::error::{ErrorCode, Fault};
use super::format::{Format, Part, Stop, ValueDecoder};
use super::record::{Record, Rest};
use super::target::Target;
use crate::columns::{ColumnSpec, Columns, DefaultValue, Path, RowPlan, Source, Value};

/// What a change event says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    /// Something is there now: created, read by a snapshot, updated.
    Present,
    Deleted,
    /// It is about no row: a truncation, a message.
    OfNoRow,
}

/// Reads change events.
#[derive(Debug)]
pub(super) struct Envelope {
    operation: ValueDecoder,
    /// One row of one column: the operation.
    columns: Columns,
    /// Fills rows from what was there before.
    before: ValueDecoder,
    /// Columns are filled from the row in an event.
    pub(super) needs_image: bool,
}

impl Envelope {
    /// For events in `format` that fill columns of this plan.
    pub(super) fn new(plan: &Arc<RowPlan>, format: &Format) -> Result<Self, String> {
        let kind = ColumnSpec::new("op", "String", DefaultValue::TypeZero).expect("String is known");
        let kind = ColumnSpec { aliases: vec![Source::Value(Path::of_fields(["payload", "op"]))], ..kind };
        let operations = Arc::new(RowPlan::new(vec![kind], Vec::new(), "UTC").map_err(|error| error.to_string())?);
        let columns = Columns::new(&operations).map_err(|error| error.to_string())?;
        let before = below_before(Target::of_values(plan));
        let needs_image = before.has_image();
        Ok(Self {
            operation: ValueDecoder::new(&operations, Target::of_values(&operations), format, Part::Value)?,
            columns,
            before: ValueDecoder::new(plan, before, format, Part::Value)?,
            needs_image,
        })
    }

    /// What the event in `bytes` says.
    pub(super) fn operation(&mut self, bytes: &[u8], record: &Record<'_>) -> Result<Operation, Stop> {
        self.columns.clear();
        self.columns.begin_row();
        let decoded = self.operation.decode(bytes, record, &mut Rest::ignored(), &mut self.columns);
        if decoded.is_ok() {
            self.columns.complete_row();
        }
        let operation = match self.columns.last_value(0) {
            Value::Str("c" | "r" | "u") => Ok(Operation::Present),
            Value::Str("d") => Ok(Operation::Deleted),
            Value::Str("t" | "m") => Ok(Operation::OfNoRow),
            _ => Err(Stop::Fault(Fault { code: ErrorCode::InvalidEnvelope, at: 0 })),
        };
        self.columns.rollback_row();
        decoded.and(operation)
    }

    /// The decoder of what was there before.
    pub(super) fn before(&mut self) -> &mut ValueDecoder {
        &mut self.before
    }
}

/// Hangs what is below `after` below `before`.
fn below_before(mut root: Target) -> Target {
    root.rename_field("after", "before");
    if let Some((_, payload)) = root.fields.iter_mut().find(|(name, _)| name == "payload") {
        payload.rename_field("after", "before");
    }
    root
}
