//! The schema that travels along in a record: `{"schema": .., "payload": ..}`, as Kafka Connect's `JsonConverter` writes it.
//!
//! Finds the payload and what the schema says of it. The schema is the same text in nearly all records: it is parsed once and
//! then known by its bytes, so that a record costs a comparison. What is kept is bounded.

use std::sync::Arc;

use super::cursor::{Cursor, Mark};
use super::hints::Hints;
use super::not_an_object;
use super::walk::Walk;
use crate::decode::error::{ErrorCode, Fault};
use crate::decode::target::Target;

/// Schemas that are kept.
const KNOWN_MAX: usize = 64;
/// How long they are together.
const KNOWN_BYTES_MAX: usize = 8 << 20;

/// What is read of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reads {
    /// What is below `payload`, which has to be there.
    Payload,
    /// What is below `payload` where a schema stands beside it and nothing else; or else all.
    PayloadOrAll,
    /// All; the schema speaks of what is below `payload`.
    All,
}

/// Reads what is around a payload.
#[derive(Debug)]
pub(super) struct Carried {
    reads: Reads,
    /// How many columns there are.
    columns: usize,
    known: Vec<Known>,
    /// How long their texts are together.
    bytes: usize,
    /// Which of them the record before had.
    last: usize,
    /// Where the schema of this record begins and ends.
    pub(super) schema: (usize, usize),
}

/// A schema that was seen.
#[derive(Debug)]
struct Known {
    text: Box<[u8]>,
    hints: Option<Arc<Hints>>,
}

/// What is still to be read of a record when its row has been.
#[derive(Debug, Clone, Copy)]
pub(super) enum Around {
    /// Nothing.
    Nothing,
    /// The fields behind the payload.
    Open,
    /// Nothing: it was read before. The record goes on here.
    Read(Mark),
}

impl Carried {
    pub(super) fn new(reads: Reads, columns: usize) -> Self {
        Self { reads, columns, known: Vec::new(), bytes: 0, last: 0, schema: NO_SCHEMA }
    }

    /// Goes to what is read of the record that begins at the cursor.
    pub(super) fn open(&mut self, json: &mut Cursor<'_>, root: &Target, walk: &mut Walk) -> Result<Around, Fault> {
        self.schema = NO_SCHEMA;
        let start = json.mark();
        if self.reads == Reads::Payload {
            if json.next_token() != b'{' {
                return Err(not_an_object(json));
            }
            let at = json.at;
            return match self.payload(json, root, walk)? {
                Some((payload, around)) => {
                    json.back_to(payload);
                    Ok(around)
                }
                None => Err(Fault { code: ErrorCode::NoPayload, at }),
            };
        }
        // Whatever is wrong is found, and said better, when all is read.
        let found = match json.next_token() {
            b'{' => self.payload(json, root, walk).unwrap_or(None),
            _ => None,
        };
        match found {
            Some((payload, around)) if self.reads == Reads::PayloadOrAll && self.schema != NO_SCHEMA => {
                json.back_to(payload);
                Ok(around)
            }
            _ => {
                if self.schema == NO_SCHEMA {
                    walk.hints = None;
                }
                json.back_to(start);
                Ok(Around::Nothing)
            }
        }
    }

    /// The place of the payload in the object at the cursor, and what is left behind it; `None` where there is none.
    fn payload(
        &mut self,
        json: &mut Cursor<'_>,
        root: &Target,
        walk: &mut Walk,
    ) -> Result<Option<(Mark, Around)>, Fault> {
        let mut payload = None;
        json.enter()?;
        if json.next_token() == b'}' {
            json.leave();
            return Ok(None);
        }
        loop {
            json.next_token();
            let at = json.at;
            let key = json.string(&mut walk.buffers.scratch)?;
            let (is_schema, is_payload) = (key == b"schema", key == b"payload");
            json.expect(b':')?;
            json.next_token();
            match () {
                () if is_schema && self.schema == NO_SCHEMA => {
                    let begins = json.at;
                    self.schema(json, root, walk)?;
                    self.schema = (begins, json.at);
                    if self.reads == Reads::All {
                        return Ok(None);
                    }
                }
                () if is_payload && payload.is_none() => {
                    payload = Some(json.mark());
                    if self.schema != NO_SCHEMA {
                        return Ok(payload.map(|payload| (payload, Around::Open)));
                    }
                    json.skip_taken_value()?;
                }
                () if is_schema || is_payload => return Err(Fault { code: ErrorCode::DuplicateKey, at }),
                // No wrapper has other fields; of change events most begin with one.
                () if self.reads != Reads::Payload => return Ok(None),
                () => json.skip_value()?,
            }
            if !json.another(b'}')? {
                break;
            }
        }
        if self.schema == NO_SCHEMA {
            walk.hints = None;
        }
        let end = json.mark();
        Ok(payload.map(|payload| (payload, Around::Read(end))))
    }

    /// Reads what is behind the row.
    pub(super) fn close(around: Around, json: &mut Cursor<'_>, walk: &mut Walk) -> Result<(), Fault> {
        match around {
            Around::Nothing => {}
            Around::Read(end) => json.back_to(end),
            Around::Open => {
                while json.another(b'}')? {
                    json.next_token();
                    let at = json.at;
                    let key = json.string(&mut walk.buffers.scratch)?;
                    if key == b"schema" || key == b"payload" {
                        return Err(Fault { code: ErrorCode::DuplicateKey, at });
                    }
                    json.expect(b':')?;
                    json.next_token();
                    json.skip_value()?;
                }
            }
        }
        Ok(())
    }

    /// Takes the schema at the cursor: what it says is then said of the columns.
    fn schema(&mut self, json: &mut Cursor<'_>, root: &Target, walk: &mut Walk) -> Result<(), Fault> {
        let rest = json.rest();
        // An object ends where its text does, whatever follows.
        let is_it = |known: &Known| rest.starts_with(&known.text);
        let found = match self.known.get(self.last) {
            Some(known) if is_it(known) => Some(self.last),
            _ => self.known.iter().position(is_it),
        };
        if let Some(place) = found {
            self.last = place;
            let known = &self.known[place];
            json.at += known.text.len();
            walk.hints.clone_from(&known.hints);
            return Ok(());
        }
        let start = json.at;
        json.skip_value()?;
        let text = json.since(start);
        walk.hints = None;
        if !text.starts_with(b"{") {
            return Ok(());
        }
        let target = match self.reads {
            Reads::Payload | Reads::PayloadOrAll => Some(root),
            Reads::All => root.field("payload"),
        };
        walk.hints = target.and_then(|target| Hints::new(text, target, self.columns)).map(Arc::new);
        if text.len() > KNOWN_BYTES_MAX {
            return Ok(());
        }
        if self.known.len() == KNOWN_MAX || self.bytes + text.len() > KNOWN_BYTES_MAX {
            self.known.clear();
            self.bytes = 0;
        }
        self.last = self.known.len();
        self.bytes += text.len();
        self.known.push(Known { text: text.into(), hints: walk.hints.clone() });
        Ok(())
    }
}

/// What `schema` is where there is none.
pub(super) const NO_SCHEMA: (usize, usize) = (usize::MAX, usize::MAX);
