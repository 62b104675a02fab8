//! Records that make several rows.
//!
//! Takes a record, reads its rows twice: once to see whether all are good and which are wanted, once to append those that
//! are not there. Promises that a record with a bad row becomes a dead letter as a whole, and that none becomes both rows
//! and a dead letter: where rows of it are stored already and the others cannot be, the partition stops.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{
    Decision, Fate, LaneFill, LanePlan, MEASURE_EVERY, REFUSED, Skip, Taken, book_replaced, condemned, undecodable,
};
use crate::alerts::AlertCoordinates;
use crate::block::fill::RowFates;
use crate::columns::RowCoordinates;
use crate::decode::{DecodeError, Record, RowCursor, Undecoded};
use crate::pipeline::routing::Routed;
use crate::pipeline::topic_decoding::TopicDecoder;
use crate::protocol::event::ServerError;
use crate::protocol::halt::HaltReason;
use crate::source::Message;
use crate::types::{Offset, PartitionKey, RecordCount, TargetNumber, TopicId};

/// The rows of a record, counted.
#[derive(Debug, Default)]
struct Counted {
    rows: u64,
    /// Wanted and not there.
    missing: u64,
    /// Not wanted and not there.
    left_out: u64,
}

impl LanePlan {
    /// Reads all rows of a record and keeps none.
    fn count(
        &self,
        decoder: &mut TopicDecoder,
        record: &Record<'_>,
        has_row: impl Fn(u64) -> bool,
    ) -> Result<Counted, Undecoded> {
        let (mut counted, mut cursor) = (Counted::default(), RowCursor::default());
        let most = self.decoding.record_rows_max();
        while let Some(routed) = decoder.next_row(record, &mut cursor)? {
            let wanted = match routed {
                Routed::To(target) => {
                    let wanted = decoder.admits(target);
                    decoder.columns_mut(target).rollback_row();
                    wanted
                }
                Routed::Nowhere => false,
            };
            if cursor.rows() > most {
                return Err(Undecoded::Bad(DecodeError::too_many_rows(most)));
            }
            if !has_row(counted.rows) {
                counted.missing += u64::from(wanted);
                counted.left_out += u64::from(!wanted);
            }
            counted.rows += 1;
        }
        Ok(counted)
    }
}

impl LaneFill {
    /// Records that may be read before the block is full: by the largest that was seen lately, since nobody knows how many
    /// rows the next ones make. While a bad row is searched the limit holds whole.
    pub(super) fn room_for_rows(&self) -> u64 {
        let limit = self.rows_limit.map_or(self.plan.decoding.record_rows_max(), |limit| limit.min(self.plan.rows_max));
        let rows = self.open_rows();
        if rows >= limit || self.records >= self.plan.rows_max {
            return 0;
        }
        ((limit - rows) / self.rows_seen.max(1)).max(1)
    }

    /// What is taken for the rows of a record at the start.
    pub(super) fn rows_expected(plan: &LanePlan) -> u64 {
        plan.rows_max / 64
    }

    /// Deals with one record of a lane whose records may make several rows.
    pub(super) fn take_rows(&mut self, message: &Message<'_>) -> Taken {
        let key = PartitionKey { lane: self.plan.lane, partition: message.partition() };
        let (Some(slot), Some(offset)) = (self.partitions.get_mut(&key), message.offset()) else {
            return Taken::Done;
        };
        let plan = Arc::clone(&self.plan);
        let Some(record) = message.record(&plan.topic) else { return Taken::Done };
        let fate = match slot.fill.decide(offset) {
            Decision::Repeated => return slot.compare_anchor(offset, message),
            Decision::Dead => Fate::DeadPresent,
            Decision::Removed => match self.removed(key, offset, message, &record) {
                Ok(fate) => fate,
                Err(taken) => return taken,
            },
            decision @ (Decision::Insert | Decision::Present | Decision::Condemned(_)) => {
                let refused = match decision {
                    Decision::Condemned(error) => Some(error.clone()),
                    _ => None,
                };
                match self.store(key, offset, message, &record, refused.as_ref()) {
                    Ok(fate) => fate,
                    Err(taken) => return taken,
                }
            }
        };
        let slot = self.partitions.get_mut(&key).expect("found above");
        slot.anchor = None;
        slot.fill.record(offset, fate);
        let bytes = message.key().map_or(0, <[u8]>::len) + message.payload().map_or(0, <[u8]>::len);
        slot.tally.bytes(u64::try_from(bytes).unwrap_or(u64::MAX));
        self.count(message, bytes);
        if let Fate::Rows(RowFates { inserted, .. }) = fate {
            self.rows_seen = self.rows_seen.max(inserted.0);
            self.rows_unmeasured += inserted.0;
            if self.rows_unmeasured >= MEASURE_EVERY {
                self.rows_unmeasured = 0;
                self.measure();
            }
        }
        Taken::Done
    }

    /// Rows that are missing become rows of the block; a record without any that cannot, a dead letter.
    fn store(
        &mut self,
        key: PartitionKey,
        offset: Offset,
        message: &Message<'_>,
        record: &Record<'_>,
        refused: Option<&ServerError>,
    ) -> Result<Fate, Taken> {
        let slot = self.partitions.get_mut(&key).expect("the caller found it");
        let there = slot.fill.rows_there(offset);
        let has_row = |row| slot.fill.has_row(offset, row);
        if self.plan.drift.is_some() {
            self.decoder.overlook_unknown_fields(there > RecordCount(0));
        }
        let counted = match self.plan.count(&mut self.decoder, record, has_row) {
            Err(Undecoded::Drifted(fields)) if refused.is_none() => {
                Err(Undecoded::Bad(self.plan.drifted(offset, fields)?))
            }
            counted => counted,
        };
        if counted.is_ok() {
            slot.was_read();
        }
        let partly = |why: &str| Taken::Unusable(HaltReason::PartlyStored { offset, there, why: why.to_owned() });
        let counted = match (counted, refused) {
            (Err(Undecoded::Awaiting(schema)), _) => return Err(Taken::Awaiting(schema)),
            (Err(Undecoded::Drifted(_)), None) => unreachable!("judged above"),
            (Err(Undecoded::Skipped), None) => {
                let absent = u64::from(there == RecordCount(0));
                slot.tally.skipped(Skip::on_purpose(message.payload().is_some()), absent);
                return Ok(Fate::Rows(RowFates {
                    inserted: RecordCount(0),
                    skipped: RecordCount(absent),
                    further: RecordCount(there.0.saturating_sub(1)),
                }));
            }
            // All that it makes is there: so it was not this record that the server refused.
            (Ok(counted), Some(_)) if counted.missing == 0 => counted,
            (_, Some(error)) if there > RecordCount(0) => return Err(partly(&error.text)),
            (_, Some(error)) => {
                slot.tally.dead(REFUSED);
                self.dead_letters.push(condemned(message, offset, slot.fill.resume(), error));
                return Ok(Fate::DeadInserted);
            }
            (Ok(counted), None) => counted,
            (Err(Undecoded::Bad(error)), None) if there > RecordCount(0) => return Err(partly(&error.reason)),
            (Err(Undecoded::Bad(error)), None) => {
                if self.plan.doubts_schemas
                    && let Some(reason) = slot.suspects(offset, &error)
                {
                    return Err(Taken::Unusable(reason));
                }
                slot.tally.dead(error.code.as_str());
                self.dead_letters.push(undecodable(message, offset, slot.fill.resume(), error));
                return Ok(Fate::DeadInserted);
            }
        };
        let empty = u64::from(counted.rows == 0 && there == RecordCount(0));
        slot.tally.skipped(Skip::Filtered, counted.left_out);
        slot.tally.skipped(Skip::Empty, empty);
        let skipped = counted.left_out + empty;
        let units = counted.missing + skipped + there.0;
        if counted.missing > 0 || self.detects(key, offset) {
            self.append(key, offset, message, record, true);
        }
        Ok(Fate::Rows(RowFates {
            inserted: RecordCount(counted.missing),
            skipped: RecordCount(skipped),
            further: RecordCount(units.saturating_sub(1)),
        }))
    }

    /// What is not there was removed since: only the detectors see it.
    fn removed(
        &mut self,
        key: PartitionKey,
        offset: Offset,
        message: &Message<'_>,
        record: &Record<'_>,
    ) -> Result<Fate, Taken> {
        let there = self.partitions[&key].fill.rows_there(offset);
        if self.plan.drift.is_some() {
            self.decoder.overlook_unknown_fields(true);
        }
        let counted = self.plan.count(&mut self.decoder, record, |_| true);
        if let Err(Undecoded::Awaiting(schema)) = counted {
            return Err(Taken::Awaiting(schema));
        }
        if counted.is_ok() && self.detects(key, offset) {
            self.append(key, offset, message, record, false);
        }
        let absent = u64::from(there == RecordCount(0));
        self.partitions.get_mut(&key).expect("the caller found it").tally.skipped(Skip::Removed, absent);
        Ok(Fate::Rows(RowFates {
            inserted: RecordCount(0),
            skipped: RecordCount(absent),
            further: RecordCount(there.0.saturating_sub(1)),
        }))
    }

    fn detects(&self, key: PartitionKey, offset: Offset) -> bool {
        self.plan.detectors.iter().any(|detectors| !detectors.is_empty())
            && !self.partitions[&key].fill.below_floor(offset)
    }

    /// Shows all wanted rows of a good record to the detectors, and appends those that are not there, if `insert`.
    fn append(&mut self, key: PartitionKey, offset: Offset, message: &Message<'_>, record: &Record<'_>, insert: bool) {
        let detects = self.detects(key, offset);
        let slot = self.partitions.get_mut(&key).expect("the caller found it");
        let start = slot.fill.resume().start.clone();
        let mut cursor = RowCursor::default();
        let mut routes: BTreeMap<TargetNumber, RecordCount> = BTreeMap::new();
        let good = "the same bytes were decoded a moment ago";
        while let Some(routed) = self.decoder.next_row(record, &mut cursor).expect(good) {
            let Routed::To(target) = routed else { continue };
            let row = cursor.rows() - 1;
            let wanted = self.decoder.admits(target);
            let columns = self.decoder.columns_mut(target);
            if wanted && detects {
                let place = AlertCoordinates {
                    partition: key.partition,
                    offset,
                    row,
                    timestamp_ms: message.timestamp_ms(),
                    topic_id: start.topic_id.unwrap_or(TopicId(0)),
                    replay: start.replay,
                };
                self.plan.detectors[target.index()].evaluate(columns, &place, &mut self.alerts);
            }
            if insert && wanted && !slot.fill.has_row(offset, row) {
                columns.commit_row(&RowCoordinates {
                    topic: &self.plan.topic,
                    partition: key.partition.0,
                    offset: offset.to_kafka(),
                    row: u32::try_from(row).expect("a record has few rows"),
                    replay: start.replay.0,
                });
                *routes.entry(target).or_default() += RecordCount(1);
                book_replaced(&mut slot.tally, columns);
            } else {
                columns.rollback_row();
            }
        }
        for (target, rows) in routes {
            slot.fill.route(offset, target, rows);
        }
    }
}
