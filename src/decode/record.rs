//! One record to one row: its value, its key, its headers and where it stood.
//!
//! Takes a record and the columns of the open block, gives an open row, or says why there is none; then nothing of the
//! record is left in any column. A record whose schema has not come yet is no error: it is given back untouched.

use std::collections::HashSet;
use std::sync::Arc;

use super::drift::{self, NewColumn};
use super::envelope::{Envelope, Operation};
use super::error::{DecodeError, ErrorCode, Fault, SeekFault, Shown};
use super::format::{Format, Part, Stop, ValueDecoder};
use super::json::{RowCursor, append_json};
use super::target::Target;
use super::typed::{Typed, append_typed};
use super::unavailable::Unavailable;
use crate::columns::{ColumnBuilder, ColumnSpec, Columns, RowPlan, Source, UnknownFields};
use crate::config::Records;
use crate::registry::SchemaKey;

/// How many bytes of what is around them the rows of a record may take again: else each element of a long list could
/// repeat a long text.
pub(super) const REPEATED_BYTES_MAX: usize = 64 << 20;

/// The headers of a record.
pub trait Headers {
    /// The value of the last header of this name; the inner `None` is null.
    fn last(&self, name: &str) -> Option<Option<&[u8]>>;
}

/// No headers.
impl Headers for () {
    fn last(&self, _name: &str) -> Option<Option<&[u8]>> {
        None
    }
}

/// A record as it was read.
#[derive(Clone, Copy)]
pub struct Record<'a> {
    /// Its value; `None` of a tombstone.
    pub value: Option<&'a [u8]>,
    /// Its key.
    pub key: Option<&'a [u8]>,
    /// Its headers.
    pub headers: &'a dyn Headers,
    /// Its timestamp in milliseconds since 1970, where it has one. Whoever wrote the record may have meant another unit.
    pub timestamp_ms: Option<i64>,
    /// Its topic.
    pub topic: &'a str,
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
}

impl std::fmt::Debug for Record<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Record")
            .field("partition", &self.partition)
            .field("offset", &self.offset)
            .finish_non_exhaustive()
    }
}

impl<'a> Record<'a> {
    /// A record that has nothing but a value.
    pub fn of_value(value: &'a [u8]) -> Self {
        Self { value: Some(value), key: None, headers: &(), timestamp_ms: None, topic: "", partition: 0, offset: 0 }
    }
}

/// Why there is no row of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Undecoded {
    /// It cannot be one.
    Bad(DecodeError),
    /// Its schema has been asked for and is not there yet.
    Awaiting(SchemaKey),
    /// It makes none on purpose: it has no value, or is an event about no row.
    Skipped,
    /// It could be one, and has fields that the table has no column for.
    Drifted(Vec<NewColumn>),
}

/// Decodes the records of one table. One per thread that decodes.
#[derive(Debug)]
pub struct RecordDecoder {
    plan: Arc<RowPlan>,
    value: ValueDecoder,
    envelope: Option<Envelope>,
    rest: Rest,
    /// What reads keys, where they have a format and columns take something of them.
    key: Option<ValueDecoder>,
    /// Columns that are filled from beside the value.
    beside: Vec<(usize, Source)>,
    /// Columns that have to come from a key where nothing else says which row was deleted.
    key_columns: Vec<usize>,
    /// A column says which rows are deletions.
    marks_deletions: bool,
    unavailable: Option<Unavailable>,
    /// Columns are filled from fields of the value, and nothing keeps all of it.
    expects_fields: bool,
    no_known_field: bool,
}

impl RecordDecoder {
    /// A decoder for columns made from this plan. Without a format of its own the key is bytes.
    ///
    /// # Errors
    /// Says what is wrong with a format, or which column is filled from what its format does not have.
    pub fn new(plan: &Arc<RowPlan>, value: &Format, key: Option<&Format>) -> Result<Self, String> {
        let keys = Target::of_keys(plan);
        let key = match key {
            Some(format) if !keys.is_empty() => {
                Some(ValueDecoder::new(plan, keys, format, Part::Key).map_err(|error| format!("key: {error}"))?)
            }
            Some(_) => None,
            None => match keys.all_columns().get(keys.columns.len()) {
                Some(column) => {
                    let spec = &plan.columns[*column];
                    return Err(format!("{}: filled from `{}`, but the key has no format", spec.name, spec.source));
                }
                None => None,
            },
        };
        let envelope = plan.changes.envelope.then(|| Envelope::new(plan, value)).transpose()?;
        let value = ValueDecoder::new(plan, Target::of_values(plan), value, Part::Value)?;
        let beside = |(column, source): (usize, &Source)| match source {
            Source::Value(_) | Source::Record(_) | Source::UnknownFields => None,
            Source::Key(_) if key.is_some() => None,
            other => Some((column, other.clone())),
        };
        let is_key = |(_, spec): &(usize, &ColumnSpec)| {
            matches!(spec.source, Source::Key(_)) && !spec.column_type.accepts_null()
        };
        let key_columns = plan.columns().iter().enumerate().filter(is_key).map(|(column, _)| column).collect();
        Ok(Self {
            key_columns,
            unavailable: Unavailable::new(plan),
            expects_fields: expects_fields(plan),
            no_known_field: false,
            marks_deletions: plan.columns().iter().any(|spec| spec.source == Source::Deleted),
            value,
            envelope,
            rest: Rest::new(plan.unknown_fields, plan.overlooked.clone()),
            beside: plan.columns().iter().map(|spec| &spec.source).enumerate().filter_map(beside).collect(),
            key,
            plan: Arc::clone(plan),
        })
    }

    /// The same decoder of JSON records that hold so many objects.
    #[must_use]
    pub fn of_records(mut self, records: &Records) -> Self {
        self.value.expect_records(&self.plan, records);
        self
    }

    /// A decoder of JSON objects, whose keys are bytes.
    ///
    /// # Panics
    /// Where a column is filled from a part of the key: [`RecordDecoder::new`] gives an error.
    pub fn json(plan: &Arc<RowPlan>) -> Self {
        Self::new(plan, &Format::Json, None).expect("no column is filled from a part of the key")
    }

    /// Appends one record as an open row; the caller commits it or rolls it back.
    ///
    /// # Errors
    /// Says why there is none; the row has then been rolled back in every column.
    ///
    /// # Panics
    /// Where the row before was neither committed nor rolled back.
    pub fn decode(&mut self, record: &Record<'_>, columns: &mut Columns) -> Result<(), Undecoded> {
        debug_assert!(Arc::ptr_eq(&self.plan, columns.plan()));
        columns.begin_row();
        match self.fill(record, None, columns) {
            Ok(()) => {
                columns.complete_row();
                Ok(())
            }
            Err(failed) => Err(self.give_up(&failed, columns)),
        }
    }

    /// Appends the next row of a record as an open row, where a record may make several; false where none is left. The
    /// rows are numbered in their order from 0.
    ///
    /// # Errors
    /// As [`RecordDecoder::decode`]; says which row is wrong.
    ///
    /// # Panics
    /// As [`RecordDecoder::decode`].
    pub fn next_row(
        &mut self,
        record: &Record<'_>,
        cursor: &mut RowCursor,
        columns: &mut Columns,
    ) -> Result<bool, Undecoded> {
        debug_assert!(Arc::ptr_eq(&self.plan, columns.plan()));
        let row = cursor.rows;
        let found = match record.value {
            Some(value) => self.value.seek_row(value, cursor).map_err(|SeekFault { fault, column }| {
                Undecoded::Bad(self.value.explain(fault, value, self.field(column)).within_row(row))
            })?,
            None => row == 0,
        };
        if !found {
            return Ok(false);
        }
        if row > 0 && self.repeats_too_much(record, row) {
            return Err(Undecoded::Bad(DecodeError::too_much_repeated().within_row(row)));
        }
        cursor.rows += 1;
        columns.begin_row();
        match self.fill(record, Some(cursor), columns) {
            Ok(()) => {
                columns.complete_row();
                Ok(true)
            }
            Err(failed) => Err(match self.give_up(&failed, columns) {
                Undecoded::Bad(error) => Undecoded::Bad(error.within_row(row)),
                other => other,
            }),
        }
    }

    /// Whether the rows up to this one, counted from 0, take more of what is beside the value again than they may.
    fn repeats_too_much(&self, record: &Record<'_>, row: u64) -> bool {
        let length = |bytes: Option<&[u8]>| bytes.map_or(0, <[u8]>::len);
        let beside = self.beside.iter().map(|(_, source)| match source {
            Source::Key(_) => length(record.key),
            Source::Header(name) => length(record.headers.last(name).flatten()),
            Source::Raw => length(record.value),
            _ => 0,
        });
        let key = if self.key.is_some() { length(record.key) } else { 0 };
        let again = usize::try_from(row).unwrap_or(usize::MAX);
        beside.sum::<usize>().saturating_add(key).saturating_mul(again) > REPEATED_BYTES_MAX
    }

    /// Whether no column was filled from the value of the record that became a row last, though columns expect fields.
    #[inline]
    pub fn has_no_known_field(&self) -> bool {
        self.no_known_field
    }

    /// The names of the fields of a record that no column takes, as far as they are few.
    #[cold]
    pub fn unknown_fields(&mut self, record: &Record<'_>) -> String {
        let (Some(value), Ok(mut columns)) = (record.value, Columns::new(&self.plan)) else { return String::new() };
        let mut rest = Rest::new(UnknownFields::Report, HashSet::new());
        columns.begin_row();
        let decoded = self.value.decode(value, record, &mut rest, &mut columns);
        columns.rollback_row();
        if decoded.is_err() { String::new() } else { rest.names().join(", ") }
    }

    /// Whether fields without a column are dropped that are reported otherwise: of records that are stored already.
    #[inline]
    pub fn overlook_unknown_fields(&mut self, overlook: bool) {
        if self.plan.unknown_fields == UnknownFields::Report {
            self.rest.policy = if overlook { UnknownFields::Ignore } else { UnknownFields::Report };
        }
    }

    /// A column's name and type.
    fn field(&self, column: Option<usize>) -> Option<(&str, &str)> {
        column.map(|column| &self.plan.columns[column]).map(|spec| (spec.name.as_str(), spec.type_text.as_str()))
    }

    #[cold]
    fn give_up(&self, failed: &Failed<'_>, columns: &mut Columns) -> Undecoded {
        columns.rollback_row();
        let field = self.field(columns.field());
        match *failed {
            Failed::Awaiting(key) => Undecoded::Awaiting(key),
            Failed::OfNoRow => Undecoded::Skipped,
            Failed::Drifted => Undecoded::Drifted(self.rest.new_columns()),
            Failed::Value(bytes, fault) => Undecoded::Bad(self.value.explain(fault, bytes, field)),
            Failed::Key(bytes, fault) => match &self.key {
                Some(decoder) => Undecoded::Bad(decoder.explain(fault, bytes, field).within("key")),
                None => unreachable!("only a decoder of keys fails there"),
            },
            Failed::Beside(part, bytes, fault) => Undecoded::Bad(fault.explain(bytes, field, Shown::Text).within(part)),
        }
    }

    /// The same for a record that has nothing but a value, and whose schema needs no waiting for.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn decode_value(&mut self, value: &[u8], columns: &mut Columns) -> Result<(), DecodeError> {
        self.decode(&Record::of_value(value), columns).map_err(|undecoded| match undecoded {
            Undecoded::Bad(error) => error,
            Undecoded::Awaiting(key) => panic!("schema {key} is waited for"),
            Undecoded::Skipped => panic!("a value was given, and no envelope is expected"),
            Undecoded::Drifted(columns) => panic!("{columns:?} are asked for"),
        })
    }

    #[inline]
    fn fill<'r>(
        &mut self,
        record: &Record<'r>,
        cursor: Option<&mut RowCursor>,
        columns: &mut Columns,
    ) -> Result<(), Failed<'r>> {
        self.rest.clear();
        let said = match record.value {
            Some(value) => self.fill_from_value(value, record, cursor, columns)?,
            None if self.plan.changes.tombstone_rows => Said::OfKey(ErrorCode::NoKey),
            None => return Err(Failed::OfNoRow),
        };
        let deleted = said != Said::Present;
        self.no_known_field = self.expects_fields && !deleted && !columns.met_a_field();
        if let (Some(decoder), Some(key)) = (&mut self.key, record.key) {
            match decoder.decode(key, record, &mut Rest::ignored(), columns) {
                // As if there were no key.
                Ok(()) | Err(Stop::NoValue) => {}
                Err(Stop::Fault(fault)) => return Err(Failed::Key(key, fault)),
                Err(Stop::Awaiting(key)) => return Err(Failed::Awaiting(key)),
            }
        }
        if let Said::OfKey(code) = said
            && self.marks_deletions
            && !(code == ErrorCode::NoKey && self.plan.changes.replaces_nothing)
            && !self.key_says_which(record, columns)
        {
            columns.leave_field();
            return Err(Failed::Value(record.value.unwrap_or(&[]), Fault { code, at: 0 }));
        }
        for (column, source) in &self.beside {
            append_beside(record, *column, source, deleted, columns)?;
        }
        // Last, so that a record that is bad anyway asks for nothing.
        if self.rest.reports() && self.rest.has_new_columns() { Err(Failed::Drifted) } else { Ok(()) }
    }

    /// Whether the key names the row that was deleted.
    #[cold]
    fn key_says_which(&self, record: &Record<'_>, columns: &Columns) -> bool {
        let is_there = |column: &usize| self.key.is_none() || columns.has_value(*column);
        self.plan.changes.deletes_by_key && record.key.is_some() && self.key_columns.iter().all(is_there)
    }

    /// Gives what the record says of its row.
    #[inline]
    fn fill_from_value<'r>(
        &mut self,
        value: &'r [u8],
        record: &Record<'r>,
        cursor: Option<&mut RowCursor>,
        columns: &mut Columns,
    ) -> Result<Said, Failed<'r>> {
        let failed = |stop: Stop| match stop {
            Stop::Fault(fault) => Failed::Value(value, fault),
            Stop::Awaiting(key) => Failed::Awaiting(key),
            Stop::NoValue => Failed::OfNoRow,
        };
        let mut said = Said::Present;
        let mut needs_image = false;
        let mut decoder = &mut self.value;
        if let Some(envelope) = &mut self.envelope {
            needs_image = envelope.needs_image;
            match envelope.operation(value, record).map_err(failed)? {
                Operation::Present => {}
                Operation::Deleted => {
                    said = Said::Deleted;
                    decoder = envelope.before();
                }
                Operation::OfNoRow => return Err(Failed::OfNoRow),
            }
        }
        let decoded = match cursor {
            None => decoder.decode(value, record, &mut self.rest, columns),
            Some(cursor) => decoder.decode_row(value, record, cursor, &mut self.rest, columns),
        };
        match decoded {
            Ok(()) => {}
            // A tombstone with something around it.
            Err(Stop::NoValue) if self.plan.changes.tombstone_rows => return Ok(Said::OfKey(ErrorCode::NoKey)),
            Err(stop) => return Err(failed(stop)),
        }
        if needs_image && !columns.image_was_met() {
            if said == Said::Present {
                columns.leave_field();
                return Err(Failed::Value(value, Fault { code: ErrorCode::NoAfter, at: 0 }));
            }
            said = Said::OfKey(ErrorCode::NoBefore);
        } else if said == Said::Deleted && self.plan.changes.deletes_by_key {
            // The row that was there does not say which one it is: its key does.
            said = Said::OfKey(ErrorCode::NoKey);
        }
        if let Some(unavailable) = &self.unavailable
            && let Some(at) = unavailable.find(value)
        {
            unavailable.replace(at, columns).map_err(|fault| Failed::Value(value, fault))?;
        }
        if let UnknownFields::Collect(column) = self.rest.policy {
            self.rest.finish(column, columns).map_err(|fault| Failed::Value(value, fault))?;
        }
        Ok(said)
    }
}

/// Whether columns are filled from fields of the value, and nothing keeps all of it.
fn expects_fields(plan: &RowPlan) -> bool {
    let sources = || plan.columns().iter().flat_map(|spec| std::iter::once(&spec.source).chain(&spec.aliases));
    let is_all = |source: &Source| match source {
        Source::Value(path) => path.0.is_empty(),
        Source::UnknownFields | Source::Raw | Source::Record(_) => true,
        _ => false,
    };
    !sources().any(is_all) && sources().any(|source| matches!(source, Source::Value(_)))
}

/// What a record says of its row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Said {
    /// It is there.
    Present,
    /// It was deleted.
    Deleted,
    /// The same, where only the key can say which one it is; else this is wrong with the record.
    OfKey(ErrorCode),
}

/// Where a record failed.
enum Failed<'r> {
    Awaiting(SchemaKey),
    OfNoRow,
    Drifted,
    /// In the value, which has these bytes.
    Value(&'r [u8], Fault),
    /// In the key, which has these bytes.
    Key(&'r [u8], Fault),
    /// In this part beside the value, which has these bytes.
    Beside(&'static str, &'r [u8], Fault),
}

fn append_beside<'r>(
    record: &Record<'r>,
    column: usize,
    source: &Source,
    deleted: bool,
    columns: &mut Columns,
) -> Result<(), Failed<'r>> {
    let (part, value) = match source {
        Source::Key(_) => ("key", record.key.map(Beside::Bytes)),
        Source::Header(name) => ("header", record.headers.last(name).flatten().map(Beside::Bytes)),
        Source::Raw => ("value", record.value.map(Beside::Bytes)),
        Source::Deleted => ("deletion", Some(Beside::Typed(Typed::Bool(deleted)))),
        Source::Topic => ("topic", Some(Beside::Bytes(record.topic.as_bytes()))),
        Source::Timestamp => return append_timestamp(record.timestamp_ms, column, columns),
        Source::Partition => ("partition", Some(Beside::Typed(Typed::Int(record.partition.into())))),
        Source::Offset => ("offset", Some(Beside::Typed(Typed::Int(record.offset)))),
        Source::Value(_) | Source::Record(_) | Source::UnknownFields => unreachable!("the value has its own decoder"),
    };
    let builder = columns.open(column).expect("a column has one source");
    let (bytes, appended) = match value {
        None => {
            columns.append_default(column);
            return Ok(());
        }
        Some(Beside::Bytes(bytes)) => (bytes, append_bytes(bytes, builder)),
        Some(Beside::Typed(value)) => (&[][..], append_typed(value, builder)),
    };
    match appended {
        Err(code) if !columns.replace(column, code) => Err(Failed::Beside(part, bytes, Fault { code, at: 0 })),
        _ => Ok(()),
    }
}

/// A record without a timestamp gives NULL, or the default of a column that has none. So does one whose timestamp is outside
/// the column's range: it is in another unit, which is no fault of the record. That is counted, and `clamp` clamps it.
fn append_timestamp<'r>(timestamp_ms: Option<i64>, column: usize, columns: &mut Columns) -> Result<(), Failed<'r>> {
    let builder = columns.open(column).expect("a column has one source");
    let Some(ticks) = timestamp_ms else {
        columns.append_null_or_default(column);
        return Ok(());
    };
    match append_typed(Typed::Timestamp { ticks, precision: 3 }, builder) {
        Err(code) if columns.replace(column, code) => Ok(()),
        Err(ErrorCode::OutOfRange | ErrorCode::BelowRange) => {
            columns.replace_by_null_or_default(column);
            Ok(())
        }
        Err(code) => Err(Failed::Beside("timestamp", &[], Fault { code, at: 0 })),
        Ok(()) => Ok(()),
    }
}

/// A value beside the record's own.
enum Beside<'r> {
    Bytes(&'r [u8]),
    Typed(Typed<'r>),
}

/// Bytes whose meaning nobody gives: as they are into columns of bytes, else read as a text, without a byte order mark.
pub(crate) fn append_bytes(bytes: &[u8], column: &mut ColumnBuilder) -> Result<(), ErrorCode> {
    if column.holds_bytes() {
        return append_typed(Typed::Bytes(bytes), column);
    }
    let text = simdutf8::basic::from_utf8(bytes).map_err(|_| ErrorCode::InvalidUtf8)?;
    append_typed(Typed::Text(text.strip_prefix('\u{feff}').unwrap_or(text)), column)
}

/// The fields of a record that no column takes.
#[derive(Debug)]
pub(crate) struct Rest {
    policy: UnknownFields,
    /// The members of a JSON object, without its braces.
    json: Vec<u8>,
    /// Names that are not reported.
    overlooked: HashSet<String>,
    /// What is reported of formats with types of their own.
    reported: Vec<NewColumn>,
}

impl Rest {
    fn new(policy: UnknownFields, overlooked: HashSet<String>) -> Self {
        Self { policy, json: Vec::new(), overlooked, reported: Vec::new() }
    }

    fn clear(&mut self) {
        self.json.clear();
        self.reported.clear();
    }

    /// What decoders outside of a table use.
    pub(crate) fn ignored() -> Self {
        Self::new(UnknownFields::Ignore, HashSet::new())
    }

    /// Whether fields without a column may be dropped unseen.
    pub(crate) fn is_ignored(&self) -> bool {
        self.policy == UnknownFields::Ignore
    }

    /// Takes the name of a field that no column takes, and gives the place where its value is to be written as JSON.
    /// `None` where such fields are dropped.
    ///
    /// # Errors
    /// Where such fields are refused.
    pub(crate) fn field(&mut self, name: &str) -> Result<Option<&mut Vec<u8>>, ErrorCode> {
        match self.policy {
            UnknownFields::Ignore => Ok(None),
            UnknownFields::DeadLetter => Err(ErrorCode::UnknownField),
            UnknownFields::Report if self.overlooked.contains(name) => Ok(None),
            UnknownFields::Report | UnknownFields::Collect(_) => {
                if !self.json.is_empty() {
                    self.json.push(b',');
                }
                super::typed::write_json_text(name, &mut self.json);
                self.json.push(b':');
                Ok(Some(&mut self.json))
            }
        }
    }

    /// Whether the names and types of fields without a column are reported.
    pub(crate) fn reports(&self) -> bool {
        self.policy == UnknownFields::Report
    }

    /// Takes a field that no column takes, of a format that says which type a column for it has; none of what is null only.
    pub(crate) fn report(&mut self, name: &str, type_text: impl FnOnce() -> Option<String>) {
        if self.overlooked.contains(name) || self.reported.iter().any(|column| column.name == name) {
            return;
        }
        if let Some(type_text) = type_text() {
            self.reported.push(NewColumn { name: name.to_owned(), type_text });
        }
    }

    /// The columns that fields without one ask for.
    fn new_columns(&self) -> Vec<NewColumn> {
        [self.reported.clone(), drift::columns_of(&self.json)].concat()
    }

    /// The names of the first fields without a column.
    fn names(&self) -> Vec<String> {
        const NAMES_MAX: usize = 12;
        let json = [b"{", self.json.as_slice(), b"}"].concat();
        let fields: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(&json).unwrap_or_default();
        let reported = self.reported.iter().map(|column| column.name.clone());
        reported.chain(fields.into_iter().map(|(name, _)| name)).take(NAMES_MAX).collect()
    }

    /// Whether there is such a field.
    fn has_new_columns(&self) -> bool {
        !self.reported.is_empty() || !self.json.is_empty() && !drift::columns_of(&self.json).is_empty()
    }

    fn finish(&mut self, column: usize, columns: &mut Columns) -> Result<(), Fault> {
        self.json.insert(0, b'{');
        self.json.push(b'}');
        let duplicate = Fault { code: ErrorCode::DuplicateKey, at: 0 };
        let builder = columns.open(column).ok_or(duplicate)?;
        append_json(&self.json, builder)
    }
}
