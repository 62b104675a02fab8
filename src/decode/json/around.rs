//! Records whose rows are the elements of a list inside: where the list stands, and what columns take of what is around it.
//!
//! One pass over a record checks all of it, before its first row counts, and notes places: that of the list, and those of
//! the values around it. Each row then reads its element and the noted values, so that the time grows with the record and
//! with what its rows take. What they take again and again is bounded. Nothing of a record is copied, and no place is used
//! for another reading than the one that it was noted in.

use super::cursor::Mark;
use super::{Cursor, Walk, byte_order_mark, check_utf8, not_an_object};
use crate::columns::{Columns, Path, RowPlan, Source, Step};
use crate::decode::error::{ErrorCode, Fault, SeekFault};
use crate::decode::record::REPEATED_BYTES_MAX;
use crate::decode::target::Target;

/// What is around the rows of a record.
#[derive(Debug)]
pub(super) struct Around {
    /// Where the list is.
    path: Path,
    /// Which columns take what; has the place of the list as well.
    root: Target,
    /// Columns of a flattened Nested, each with the field that it takes of all objects of a list.
    nested: Vec<(usize, String)>,
    noted: Noted,
}

/// What was found in a record.
#[derive(Debug, Default)]
struct Noted {
    /// In which reading of a record, where it was found without a fault.
    reading: Option<u64>,
    list_is_there: bool,
    /// Its first byte and the brackets open there; `None` where it is missing or null.
    list: Option<(usize, u32)>,
    /// The values that columns take.
    values: Vec<NotedValue>,
    /// How long they are together.
    bytes: usize,
    /// Columns that want parts of a value that has none, each with the place of that value.
    lacking: Vec<(usize, usize)>,
}

/// A value that a column takes.
#[derive(Debug)]
struct NotedValue {
    column: usize,
    place: Mark,
    /// It is a list of objects, of which the column takes a field each.
    of_each: bool,
}

impl Around {
    /// For columns of this plan, where `path` leads to the list.
    pub(super) fn new(plan: &RowPlan, path: &Path) -> Self {
        let mut root = Target::of_surroundings(plan);
        root.place(path);
        let nested = plan.columns().iter().enumerate().filter_map(|(column, spec)| match &spec.source {
            Source::Record(path) => spec.nested_field(path).map(|(_, field)| (column, field.to_owned())),
            _ => None,
        });
        Self { path: path.clone(), root, nested: nested.collect(), noted: Noted::default() }
    }

    /// Checks a text that begins at byte `at`, and notes the places in it, unless that was done in this reading.
    pub(super) fn note(
        &mut self,
        record: &[u8],
        at: usize,
        reading: u64,
        scratch: &mut Vec<u8>,
    ) -> Result<(), SeekFault> {
        if self.noted.reading == Some(reading) {
            return Ok(());
        }
        self.noted.forget();
        check_utf8(&record[at..]).map_err(|fault| Fault { at: at + fault.at, ..fault })?;
        let mut json = Cursor::starting_at(record, at + byte_order_mark(&record[at..]));
        match (self.path.0.first(), json.next_token()) {
            (Some(Step::Field(_)), b'{') | (Some(Step::Element(_)), b'[') => {}
            (Some(Step::Element(_)), 0) if json.at_end() => return Err(json.fault(ErrorCode::Empty).into()),
            (Some(Step::Element(_)), _) => return Err(not_a_list(&mut json).into()),
            _ => return Err(not_an_object(&mut json).into()),
        }
        self.noted.value(&mut json, &self.root, Some(&self.path.0), scratch)?;
        if json.next_token() != 0 || !json.at_end() {
            return Err(json.fault(ErrorCode::TrailingData).into());
        }
        self.noted.reading = Some(reading);
        Ok(())
    }

    /// Where the list begins, and how many brackets are open there; `None` where there is none.
    pub(super) fn list(&self) -> Option<(usize, u32)> {
        self.noted.list
    }

    /// Whether the rows up to this one, counted from 0, take more again than they may.
    pub(super) fn is_too_much(&self, row: u64) -> bool {
        let again = usize::try_from(row).unwrap_or(usize::MAX);
        self.noted.bytes.saturating_mul(again) > REPEATED_BYTES_MAX
    }

    /// The noted values to their columns.
    pub(super) fn fill(&self, record: &[u8], walk: &mut Walk, columns: &mut Columns) -> Result<(), Fault> {
        let mut json = Cursor::new(record);
        for NotedValue { column, place, of_each } in &self.noted.values {
            json.back_to(*place);
            match self.nested.iter().find(|(nested, _)| *of_each && nested == column) {
                Some((_, field)) => walk.field_of_each(&mut json, field, *column, columns)?,
                None => walk.column(&mut json, *column, columns)?,
            }
        }
        for (column, at) in &self.noted.lacking {
            if !columns.replace_parts([*column]) {
                return Err(Fault { code: ErrorCode::NoParts, at: *at });
            }
        }
        Ok(())
    }
}

impl Noted {
    fn forget(&mut self) {
        self.values.clear();
        self.lacking.clear();
        (self.reading, self.list_is_there, self.list, self.bytes) = (None, false, None, 0);
    }

    /// Takes the value at the cursor. `way` is what is left of the path to the list, where the value is on it. As deep as
    /// the paths are.
    fn value(
        &mut self,
        json: &mut Cursor<'_>,
        target: &Target,
        way: Option<&[Step]>,
        scratch: &mut Vec<u8>,
    ) -> Result<(), SeekFault> {
        let (start, at) = (json.mark(), json.at);
        if let Some(way) = way {
            self.step(json, way)?;
        }
        let first = json.peek();
        match first {
            b'{' if !target.fields.is_empty() => self.fields(json, target, way, scratch)?,
            b'[' if !target.elements.is_empty() => self.elements(json, target, way, scratch)?,
            // A column takes it later, or it is null in the place of the list.
            _ if way.is_some() || !target.columns.is_empty() => json.skip_taken_value()?,
            _ => json.skip_value()?,
        }
        let goes_on = first == b'{' && !target.fields.is_empty() || first == b'[' && !target.elements.is_empty();
        if !goes_on && first != b'n' && target.has_children() && way.is_none() {
            let parts = target.part_columns(first == b'[').into_iter();
            self.lacking.extend(parts.map(|column| (column, at)));
        }
        let of_each = target.nested.iter().filter(|_| first == b'[').map(|(_, column)| (*column, true));
        for (column, of_each) in target.columns.iter().map(|column| (*column, false)).chain(of_each) {
            if self.values.iter().any(|known| known.column == column) {
                let fault = Fault { code: ErrorCode::DuplicateKey, at };
                return Err(SeekFault { fault, column: Some(column) });
            }
            self.values.push(NotedValue { column, place: start, of_each });
            self.bytes += json.at - at;
        }
        Ok(())
    }

    /// Looks at a value on the way to the list, or at the list. Null is like nothing; anything else that is not what the
    /// path needs would hide rows.
    fn step(&mut self, json: &mut Cursor<'_>, way: &[Step]) -> Result<(), Fault> {
        let first = json.peek();
        let leads_on = match way.first() {
            Some(Step::Field(_)) => first == b'{',
            Some(Step::Element(_)) | None => first == b'[',
        };
        if !leads_on && first != b'n' {
            return Err(not_a_list(json));
        }
        if way.is_empty() {
            if std::mem::replace(&mut self.list_is_there, true) {
                return Err(json.fault(ErrorCode::DuplicateKey));
            }
            self.list = leads_on.then(|| json.place());
        }
        Ok(())
    }

    fn fields(
        &mut self,
        json: &mut Cursor<'_>,
        target: &Target,
        way: Option<&[Step]>,
        scratch: &mut Vec<u8>,
    ) -> Result<(), SeekFault> {
        json.enter()?;
        if json.next_token() == b'}' {
            json.leave();
            return Ok(());
        }
        loop {
            json.next_token();
            let key = json.name(scratch)?;
            let child = key.and_then(|key| target.fields.iter().find(|(name, _)| name.as_bytes() == key));
            json.expect(b':')?;
            json.next_token();
            match child {
                Some((name, child)) => {
                    let way = behind(way, |step| matches!(step, Step::Field(next) if next == name));
                    self.value(json, child, way, scratch)?;
                }
                None => json.skip_value()?,
            }
            if !json.another(b'}')? {
                return Ok(());
            }
        }
    }

    fn elements(
        &mut self,
        json: &mut Cursor<'_>,
        target: &Target,
        way: Option<&[Step]>,
        scratch: &mut Vec<u8>,
    ) -> Result<(), SeekFault> {
        json.enter()?;
        if json.next_token() == b']' {
            json.leave();
            return Ok(());
        }
        for number in 0.. {
            json.next_token();
            match target.element(number) {
                Some(child) => {
                    let way = behind(way, |step| *step == Step::Element(number));
                    self.value(json, child, way, scratch)?;
                }
                None => json.skip_value()?,
            }
            if !json.another(b']')? {
                break;
            }
        }
        Ok(())
    }
}

/// The error for a value that hides the rows, or for what is no value at all.
#[cold]
fn not_a_list(json: &mut Cursor<'_>) -> Fault {
    let at = json.at;
    match json.check_value() {
        Ok(()) => Fault { code: ErrorCode::NotAList, at },
        Err(fault) => fault,
    }
}

/// What is left of a way behind a step, if the way goes there.
fn behind(way: Option<&[Step]>, is_taken: impl Fn(&Step) -> bool) -> Option<&[Step]> {
    let (step, rest) = way?.split_first()?;
    is_taken(step).then_some(rest)
}
