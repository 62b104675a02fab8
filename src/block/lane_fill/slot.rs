//! A partition that is being filled, and what becomes of its records that make no row.

use std::time::Instant;

use super::{Skip, Taken};
use crate::block::fill::PartitionFill;
use crate::columns::{Columns, OnError};
use crate::dead_letter::{DeadLetter, Stage};
use crate::decode::{self, DecodeError, ErrorCode};
use crate::metrics::BatchTally;
use crate::protocol::action::Resume;
use crate::protocol::block::Batch;
use crate::protocol::event::ServerError;
use crate::protocol::facts::Anchor;
use crate::protocol::halt::HaltReason;
use crate::source::Message;
use crate::types::Offset;

/// A partition that is being filled.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) fill: PartitionFill,
    /// The last committed record, until it has been seen again.
    pub(super) anchor: Option<Anchor>,
    /// When a ledger row of this process vouched for everything from the origin.
    pub(super) checkpoint: Option<Instant>,
    /// What the batch cannot say: bytes, and reasons of dead letters.
    pub(super) tally: BatchTally,
    /// Schemas that the registry does not know, since the last record that could be read.
    unknown: UnknownSchemas,
}

/// So many schemas that the registry does not know, one after the other, are no schemas: each of their records would wait
/// for `unknown_schema_after`.
const UNKNOWN_IN_A_ROW: usize = 3;

/// Schema ids that the registry does not know.
#[derive(Debug, Default)]
struct UnknownSchemas {
    ids: Vec<u32>,
    /// The first record that names one of them.
    from: Option<Offset>,
}

impl UnknownSchemas {
    fn note(&mut self, id: u32, offset: Offset) -> Option<HaltReason> {
        let from = *self.from.get_or_insert(offset);
        // No registry gives the id 0, so each record counts that names it.
        if id == 0 || !self.ids.contains(&id) {
            self.ids.push(id);
        }
        if self.ids.len() < UNKNOWN_IN_A_ROW {
            return None;
        }
        let mut ids = std::mem::take(self).ids;
        ids.dedup();
        let ids: Vec<String> = ids.iter().map(u32::to_string).collect();
        Some(HaltReason::UnknownSchemas { ids: ids.join(", "), from })
    }
}

impl Slot {
    pub(super) fn new(fill: PartitionFill, anchor: Option<Anchor>) -> Self {
        let unknown = UnknownSchemas::default();
        Self { fill, anchor, checkpoint: None, tally: BatchTally::new(), unknown }
    }

    /// A record could be read.
    #[inline]
    pub(super) fn was_read(&mut self) {
        if !self.unknown.ids.is_empty() {
            self.unknown = UnknownSchemas::default();
        }
    }

    /// A record is about to be a dead letter for this error; gives why the partition is to stop instead.
    #[cold]
    pub(super) fn suspects(&mut self, offset: Offset, error: &DecodeError) -> Option<HaltReason> {
        let id = error.schema_id.filter(|_| error.code == ErrorCode::UnknownSchema)?;
        self.unknown.note(id, offset)
    }

    /// A record below the first wanted one: the anchor, or a leftover of the fetch before a seek.
    #[cold]
    pub(super) fn compare_anchor(&mut self, offset: Offset, message: &Message<'_>) -> Taken {
        match self.anchor.take_if(|anchor| anchor.offset == offset) {
            Some(anchor) if anchor.hash != record_hash(message) => {
                Taken::Unusable(HaltReason::AnchorDiffers { offset: anchor.offset })
            }
            Some(_) | None => Taken::Done,
        }
    }
}

/// Counts the values of kept rows that were replaced.
#[inline]
pub(super) fn book_replaced(tally: &mut BatchTally, columns: &mut Columns) {
    for (column, values) in columns.take_replaced() {
        let spec = &columns.plan().columns()[column];
        let policy = match spec.on_error {
            // Else it would be a dead letter.
            OnError::DeadLetter => "timestamp",
            policy => policy.as_str(),
        };
        tally.replaced(&spec.name, policy, values);
    }
}

/// Adds what the batch counts to what was tallied record by record.
pub(super) fn complete(tally: &mut BatchTally, batch: &Batch) {
    debug_assert_eq!(tally.skips(), batch.skipped.0, "each skip has a reason");
    tally.inserted(batch.inserted.0);
    tally.skipped(Skip::Present, batch.present.0);
    tally.skipped(Skip::DeadLetterPresent, batch.dead_present.0);
}

/// What recognises a record: its timestamp, key and value.
pub(super) fn record_hash(message: &Message<'_>) -> u64 {
    let mut hasher = xxhash_rust::xxh3::Xxh3Default::new();
    hasher.update(&message.timestamp_ms().unwrap_or(-1).to_le_bytes());
    for part in [message.key(), message.payload()] {
        let length = part.map_or(u64::MAX, |part| u64::try_from(part.len()).unwrap_or(u64::MAX));
        hasher.update(&length.to_le_bytes());
        hasher.update(part.unwrap_or_default());
    }
    hasher.digest()
}

pub(super) fn condemned(message: &Message<'_>, offset: Offset, resume: &Resume, error: &ServerError) -> DeadLetter {
    DeadLetter {
        stage: Stage::Insert,
        error: error.text.clone(),
        error_code: error.code.to_string(),
        ..letter(message, offset, resume)
    }
}

pub(super) fn undecodable(message: &Message<'_>, offset: Offset, resume: &Resume, error: DecodeError) -> DeadLetter {
    DeadLetter {
        stage: match error.code.stage() {
            decode::Stage::Decode => Stage::Decode,
            decode::Stage::Convert => Stage::Convert,
        },
        error: error.reason,
        error_code: error.code.as_str().to_owned(),
        error_field: error.field,
        schema_id: error.schema_id,
        ..letter(message, offset, resume)
    }
}

/// A dead letter of the record, with everything but the error.
fn letter(message: &Message<'_>, offset: Offset, resume: &Resume) -> DeadLetter {
    DeadLetter {
        partition: message.partition(),
        offset,
        replay: resume.start.replay,
        key: message.key().map(<[u8]>::to_vec),
        timestamp_ms: message.timestamp_ms(),
        headers: message.headers().map(|(name, value)| (name.to_vec(), value.map(<[u8]>::to_vec))).collect(),
        raw_message: message.payload().map(<[u8]>::to_vec),
        stage: Stage::Decode,
        error: String::new(),
        error_code: String::new(),
        error_field: None,
        schema_id: None,
        event_time_us: crate::clock::unix_ms().saturating_mul(1000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_ids_in_a_row_are_none() {
        let check = |named: &[u32], expected: Option<(&str, u64)>| {
            let mut unknown = UnknownSchemas::default();
            let mut said = None;
            for (offset, id) in (7..).zip(named) {
                assert_eq!(said, None, "{named:?}");
                said = unknown.note(*id, Offset::new(offset));
            }
            let expected =
                expected.map(|(ids, from)| HaltReason::UnknownSchemas { ids: ids.to_owned(), from: Offset::new(from) });
            assert_eq!(said, expected, "{named:?}");
        };
        check(&[4_096], None);
        check(&[4_096, 4_097], None);
        check(&[4_096, 4_097, 4_098], Some(("4096, 4097, 4098", 7)));
        // One id is one schema, however many records name it; but 0 is none.
        check(&[5, 5, 5, 5, 6, 6, 5], None);
        check(&[5, 5, 6, 7], Some(("5, 6, 7", 7)));
        check(&[0, 0, 0], Some(("0", 7)));
    }
}
