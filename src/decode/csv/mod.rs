//! Delimited text to columns: one record, one row.
//!
//! Takes CSV as in RFC 4180, with any delimiter, or tab-separated text without quotes; the names of the fields come from
//! the configuration, for a record has no header. Promises what the other decoders do: no tree, no allocation per record,
//! nothing left of a record that fails. Behaviour where formats or readers disagree:
//!
//! - An empty field that has no quotes gives the column's default, as in ClickHouse, and so does one of blanks where the
//!   column takes no text; an empty one in quotes is a text.
//!   Without quotes at all, columns of texts take it as the empty text: there is no other way to write it.
//! - The text of `null`, without quotes, is NULL; the default for columns that have none.
//! - A record with more or fewer fields than there are names is refused, unless configured.
//! - One line break at the end is allowed. A second line is not, nor a blank one.
//! - A byte order mark in front is passed over. Fields that no column takes may be no UTF-8.
//! - Quotes that are not closed, and bytes behind closing quotes, are refused: a record that was cut short has them.

mod split;
mod value;

#[cfg(test)]
mod tests;

use std::fmt::Write as _;
use std::ops::Range;
use std::sync::Arc;

use self::split::{Field, Splitter};
use self::value::{append_field, append_json_field};
use super::error::{DecodeError, ErrorCode, Fault};
use super::json::{SCRATCH_BYTES_KEPT, byte_order_mark, check_utf8};
use super::record::Rest;
use super::target::Target;
use super::typed::write_json_text;
use crate::columns::{Columns, RowPlan};

/// How delimited text is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CsvOptions {
    /// What stands between two fields.
    pub delimiter: u8,
    /// What may stand around a field; a doubled one inside stands for one.
    pub quote: Option<u8>,
    /// What makes the byte behind it an ordinary one, inside of quotes. Without quotes it begins the sequences of
    /// ClickHouse's `TabSeparated`, such as `\t`.
    pub escape: Option<u8>,
    /// The text that means NULL where it has no quotes.
    pub null: Option<String>,
    /// The names of the fields in their order; an empty one is of a field that nobody can name.
    pub columns: Vec<String>,
    /// Whether blanks and tabs around a field, or around its quotes, are no part of it.
    pub trim: bool,
    /// Whether fields behind the last name are dropped. The record is refused otherwise.
    pub extra_fields: bool,
    /// Whether columns of fields that a record ends before get their default. The record is refused otherwise.
    pub missing_fields: bool,
}

impl Default for CsvOptions {
    /// CSV as in RFC 4180, with NULL as ClickHouse writes it.
    fn default() -> Self {
        Self {
            delimiter: b',',
            quote: Some(b'"'),
            escape: None,
            null: Some("\\N".to_owned()),
            columns: Vec::new(),
            trim: false,
            extra_fields: false,
            missing_fields: false,
        }
    }
}

impl CsvOptions {
    /// Tab-separated text as ClickHouse and most databases write it: no quotes, backslashes escape.
    pub fn tab_separated() -> Self {
        Self { delimiter: b'\t', quote: None, escape: Some(b'\\'), ..Self::default() }
    }

    fn check(&self) -> Result<(), String> {
        let bytes = [("delimiter", Some(self.delimiter)), ("quote", self.quote), ("escape", self.escape)];
        for (place, (name, byte)) in bytes.iter().enumerate() {
            let Some(byte) = byte else {
                continue;
            };
            if !byte.is_ascii() || matches!(byte, b'\n' | b'\r') {
                return Err(format!(
                    "{name} is {:?}: it must be an ASCII character and no line break",
                    char::from(*byte)
                ));
            }
            if let Some((other, _)) = bytes[..place].iter().find(|(_, taken)| *taken == Some(*byte)) {
                return Err(format!("{name} and {other} are both {:?}", char::from(*byte)));
            }
        }
        let mark = [Some(self.delimiter), self.quote, Some(b'\n'), Some(b'\r')];
        if self.null.as_deref().is_some_and(|null| null.bytes().any(|byte| mark.contains(&Some(byte)))) {
            return Err("null has a delimiter, a quote or a line break in it".to_owned());
        }
        let named = self.columns.iter().enumerate().filter(|(_, name)| !name.is_empty());
        for (place, name) in named {
            if self.columns[..place].contains(name) {
                return Err(format!("columns names `{name}` twice"));
            }
        }
        Ok(())
    }
}

/// Decodes delimited text into the open row of a table.
#[derive(Debug)]
pub(super) struct CsvDecoder {
    splitter: Splitter,
    /// Without quotes there is one way only to write an empty text.
    empty_is_text: bool,
    null: Option<Vec<u8>>,
    names: Vec<String>,
    extra_fields: bool,
    missing_fields: bool,
    /// The columns that take the record as a whole.
    whole: Vec<usize>,
    /// Per field: which of `takers` take it.
    fields: Vec<Range<usize>>,
    takers: Vec<usize>,
    /// Per column: whether null is a value.
    accepts_null: Vec<bool>,
    /// What a fault is about, beside the place.
    about: About,
    buffers: Buffers,
}

/// What is kept from one record to the next.
#[derive(Debug, Default)]
struct Buffers {
    /// A field without its escapes.
    text: Vec<u8>,
    /// The same of a text in JSON.
    json_text: Vec<u8>,
    /// The record as JSON.
    json: Vec<u8>,
    /// The number of a field that has no name.
    number: String,
}

/// What a fault is about.
#[derive(Debug, Clone, Copy)]
enum About {
    Record,
    /// The field of this number, from 0.
    Field(usize),
    /// So many fields are in the record.
    Count(usize),
}

/// What a field says.
enum Content {
    Null,
    /// Nothing, and no quotes around it.
    Empty,
    Text,
}

impl CsvDecoder {
    /// A decoder for columns made from this plan. `root` says what becomes of a record.
    ///
    /// # Errors
    /// Says what is wrong with the options, or with what the columns are filled from.
    pub(super) fn new(plan: &Arc<RowPlan>, root: &Target, options: &CsvOptions) -> Result<Self, String> {
        options.check()?;
        let mut takers_of: Vec<Vec<usize>> = vec![Vec::new(); options.columns.len()];
        let column_names = |target: &Target| {
            let names: Vec<_> =
                target.all_columns().into_iter().map(|column| plan.columns[column].name.as_str()).collect();
            names.join(", ")
        };
        for (name, target) in &root.fields {
            if target.has_children() {
                return Err(format!("{}: a field of CSV has no parts", column_names(target)));
            }
            if options.columns.is_empty() {
                let columns = column_names(target);
                return Err(format!("{columns}: filled from the field `{name}`, but `columns` names no fields"));
            }
            if let Some(place) = options.columns.iter().position(|known| known == name) {
                takers_of[place].extend(&target.columns);
            }
        }
        for (number, target) in &root.elements {
            if target.has_children() {
                return Err(format!("{}: a field of CSV has no parts", column_names(target)));
            }
            let named = !options.columns.is_empty();
            if *number >= FIELDS_MAX || named && *number >= options.columns.len() && !options.extra_fields {
                let fields = if named { options.columns.len() } else { FIELDS_MAX };
                return Err(format!("{}: filled from `$[{number}]` of {fields} fields", column_names(target)));
            }
            takers_of.resize(takers_of.len().max(number + 1), Vec::new());
            takers_of[*number].extend(&target.columns);
        }
        let takers = takers_of.concat();
        for (place, column) in takers.iter().enumerate() {
            if takers[..place].contains(column) {
                return Err(format!("{}: filled from two fields", plan.columns[*column].name));
            }
        }
        let mut end = 0;
        let fields = takers_of.iter().map(|takers| {
            end += takers.len();
            end - takers.len()..end
        });
        Ok(Self {
            fields: fields.collect(),
            takers,
            whole: root.columns.clone(),
            splitter: Splitter {
                delimiter: options.delimiter,
                quote: options.quote,
                escape: options.escape,
                trim: options.trim,
            },
            empty_is_text: options.quote.is_none(),
            null: options.null.as_ref().map(|null| null.clone().into_bytes()),
            names: options.columns.clone(),
            extra_fields: options.extra_fields,
            missing_fields: options.missing_fields,
            accepts_null: plan.columns().iter().map(|spec| spec.column_type.accepts_null()).collect(),
            about: About::Record,
            buffers: Buffers::default(),
        })
    }

    /// Fills the open row; columns that the record has no field for are left.
    pub(super) fn decode(&mut self, record: &[u8], rest: &mut Rest, columns: &mut Columns) -> Result<(), Fault> {
        let mark = byte_order_mark(record);
        let decoded = self.decode_record(&record[mark..], rest, columns);
        let decoded = decoded.map_err(|fault| Fault { at: fault.at + mark, ..fault });
        for buffer in [&mut self.buffers.text, &mut self.buffers.json_text, &mut self.buffers.json] {
            if buffer.capacity() > SCRATCH_BYTES_KEPT {
                *buffer = Vec::new();
            }
        }
        decoded
    }

    /// The error with the number and the name of the field that the last record failed at.
    #[cold]
    pub(super) fn place(&self, error: DecodeError) -> DecodeError {
        match self.about {
            About::Record => error,
            About::Field(number) => {
                let name = self.names.get(number).filter(|name| !name.is_empty());
                let name = name.map(|name| format!(" ({name})")).unwrap_or_default();
                error.within(&format!("column {}{name} of the record", number + 1))
            }
            About::Count(count) => {
                error.within(&format!("the record has {count} fields, and {} have a name", self.names.len()))
            }
        }
    }

    fn decode_record(&mut self, record: &[u8], rest: &mut Rest, columns: &mut Columns) -> Result<(), Fault> {
        self.about = About::Record;
        if record.is_empty() {
            return Err(Fault { code: ErrorCode::Empty, at: 0 });
        }
        let all_text = check_utf8(record);
        if !self.whole.is_empty() || !rest.is_ignored() {
            all_text?;
        }
        if !self.whole.is_empty() {
            self.append_whole(record, columns)?;
        }
        let mut number = 0;
        let mut fields = self.splitter.fields(record);
        let refused = if self.names.is_empty() || self.extra_fields { usize::MAX } else { self.names.len() };
        loop {
            self.about = About::Field(number);
            let field = match fields.next() {
                Ok(Some(field)) => field,
                Ok(None) => break,
                Err(fault) => {
                    columns.leave_field();
                    return Err(fault);
                }
            };
            if number == refused {
                let mut count = number + 1;
                while let Ok(Some(_)) = fields.next() {
                    count += 1;
                }
                columns.leave_field();
                self.about = About::Count(count);
                return Err(Fault { code: ErrorCode::InvalidCsv, at: field.start });
            }
            let takers = self.fields.get(number).map_or(&[][..], |range| &self.takers[range.clone()]);
            let content = content_of(&self.null, record, field);
            let mut text = record;
            let (mut start, mut end) = (field.start, field.end);
            if field.escaped && matches!(content, Content::Text) {
                self.splitter.unescape(record, field, &mut self.buffers.text).inspect_err(|_| columns.leave_field())?;
                text = &self.buffers.text;
                (start, end) = (0, text.len());
            }
            if all_text.is_err() && !takers.is_empty() {
                columns.leave_field();
                let checked = check_utf8(&record[field.start..field.end]);
                checked.map_err(|fault| Fault { at: field.start + fault.at, ..fault })?;
            }
            for &column in takers {
                let Some(builder) = columns.open(column) else {
                    return Err(Fault { code: ErrorCode::DuplicateKey, at: field.start });
                };
                let appended = match content {
                    // As to the engine, which has no blanks around what has no quotes.
                    Content::Text if !field.quoted && is_blank(&text[start..end]) && !builder.holds_bytes() => {
                        columns.append_default(column);
                        Ok(())
                    }
                    Content::Text => append_field(text, start, end, builder, &mut self.buffers.json_text),
                    Content::Empty if self.empty_is_text && builder.holds_bytes() => {
                        append_field(text, start, end, builder, &mut self.buffers.json_text)
                    }
                    Content::Null if self.accepts_null[column] => {
                        builder.push_zero();
                        Ok(())
                    }
                    Content::Null | Content::Empty => {
                        columns.append_default(column);
                        Ok(())
                    }
                };
                if let Err(fault) = appended
                    && !columns.replace(column, fault.code)
                {
                    // Where escapes were taken out, places of the text are no places of the record.
                    let within = if field.escaped { 0 } else { fault.at };
                    return Err(Fault { code: fault.code, at: field.start + within });
                }
            }
            if takers.is_empty() && !rest.is_ignored() {
                columns.leave_field();
                let name = name_of(&self.names, number, &mut self.buffers.number);
                let kept = rest.field(name).map_err(|code| Fault { code, at: field.start })?;
                if let Some(kept) = kept {
                    write_content(&content, &text[start..end], kept);
                }
            }
            number += 1;
        }
        if number < self.names.len() && !self.missing_fields {
            columns.leave_field();
            self.about = About::Count(number);
            return Err(Fault { code: ErrorCode::InvalidCsv, at: record.len() });
        }
        self.about = About::Record;
        Ok(())
    }

    /// The record as JSON to the columns that take it whole: an object, or a list where the fields have no names.
    fn append_whole(&mut self, record: &[u8], columns: &mut Columns) -> Result<(), Fault> {
        let Buffers { text, json_text, json, number: name } = &mut self.buffers;
        let named = !self.names.is_empty();
        json.clear();
        json.push(if named { b'{' } else { b'[' });
        let mut fields = self.splitter.fields(record);
        let mut number = 0;
        loop {
            self.about = About::Field(number);
            let Some(field) = fields.next()? else {
                break;
            };
            if number > 0 {
                json.push(b',');
            }
            if named {
                write_json_text(name_of(&self.names, number, name), json);
                json.push(b':');
            }
            let content = content_of(&self.null, record, field);
            if field.escaped && matches!(content, Content::Text) {
                self.splitter.unescape(record, field, text)?;
                write_content(&content, text, json);
            } else {
                write_content(&content, &record[field.start..field.end], json);
            }
            number += 1;
        }
        json.push(if named { b'}' } else { b']' });
        self.about = About::Record;
        for &column in &self.whole {
            let Some(builder) = columns.open(column) else {
                return Err(Fault { code: ErrorCode::DuplicateKey, at: 0 });
            };
            if let Err(fault) = append_json_field(json, builder, json_text)
                && !columns.replace(column, fault.code)
            {
                return Err(Fault { code: fault.code, at: 0 });
            }
        }
        Ok(())
    }
}

/// Most fields that columns may be filled from by number: the engine has no more columns either.
const FIELDS_MAX: usize = 10_000;

#[inline]
fn content_of(null: &Option<Vec<u8>>, record: &[u8], field: Field) -> Content {
    let text = &record[field.start..field.end];
    // The first bytes tell most texts apart without a call.
    let is_null = |null: &Vec<u8>| null.first() == text.first() && null.as_slice() == text;
    if field.quoted {
        Content::Text
    } else if null.as_ref().is_some_and(is_null) {
        Content::Null
    } else if text.is_empty() {
        Content::Empty
    } else {
        Content::Text
    }
}

fn is_blank(text: &[u8]) -> bool {
    matches!(text.first(), Some(b' ' | b'\t')) && text.iter().all(|byte| matches!(byte, b' ' | b'\t'))
}

fn write_content(content: &Content, text: &[u8], json: &mut Vec<u8>) {
    match content {
        Content::Null => json.extend_from_slice(b"null"),
        Content::Empty | Content::Text => {
            let text = std::str::from_utf8(text).expect("the record was checked, and is cut at ASCII characters only");
            write_json_text(text, json);
        }
    }
}

/// The name of a field, or its number where it has none.
fn name_of<'a>(names: &'a [String], number: usize, buffer: &'a mut String) -> &'a str {
    match names.get(number) {
        Some(name) if !name.is_empty() => name,
        _ => {
            buffer.clear();
            write!(buffer, "{number}").expect("a number can always be written to memory");
            buffer
        }
    }
}
