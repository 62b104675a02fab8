//! The open block of a lane: records in, closed blocks out.
//!
//! Takes records in the order of their partitions' offsets, decodes each once straight into columns, and keeps apart
//! what becomes a row, a dead letter and an alert. Promises that a record it was given is decided about once and that
//! a bad one costs its neighbours nothing. Never talks to Kafka or ClickHouse.

mod rows;
mod slot;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use self::slot::{Slot, book_replaced, complete, condemned, record_hash, undecodable};
use crate::alerts::{AlertBuffer, AlertCoordinates, AlertSet, Detectors};
use crate::block::fill::{Decision, Fate, PartitionFill, close_block};
use crate::columns::{Columns, RowCoordinates};
use crate::dead_letter::DeadLetters;
use crate::decode::{DecodeError, NewColumn, Undecoded};
use crate::metrics::{BatchTally, Skip};
use crate::pipeline::drift::{Drift, Verdict};
use crate::pipeline::topic_decoding::{TopicDecoder, TopicDecoding};
use crate::protocol::action::Resume;
use crate::protocol::block::{Batch, BlockSummary};
use crate::protocol::facts::Anchor;
use crate::protocol::halt::HaltReason;
use crate::registry::SchemaKey;
use crate::source::Message;
use crate::types::{
    BlockNumber, LaneId, Offset, OffsetRange, PartitionKey, RecordCount, TargetNumber, TopicId, UnitKind,
};

/// Everything about a lane that does not change while it runs.
#[derive(Debug)]
pub struct LanePlan {
    /// The lane.
    pub lane: LaneId,
    /// Its topic.
    pub topic: String,
    /// How its records become rows.
    pub decoding: TopicDecoding,
    /// Whether a record is one row, or may make several.
    pub units: UnitKind,
    /// What becomes of fields that the table has no column for, where they are not dropped.
    pub drift: Option<Drift>,
    /// What is an anomaly, in the rows of each of its tables.
    pub detectors: Vec<Detectors>,
    /// The most rows of a block.
    pub rows_max: u64,
    /// The most bytes of memory that a block may take.
    pub block_bytes_max: usize,
    /// How long a block waits for more records.
    pub linger: Duration,
    /// At least so long between two blocks.
    pub interval_min: Duration,
    /// How often a partition's ledger row is to vouch for everything from the origin.
    pub checkpoint_interval: Duration,
    /// Whether a partition stops where the registry knows none of several schemas in a row.
    pub doubts_schemas: bool,
}

/// A closed block with everything that goes into ClickHouse and to the alert topic.
#[derive(Debug)]
pub struct FilledBlock {
    /// What the protocol knows of it.
    pub summary: BlockSummary,
    /// Its rows, by table; a table without any is left out.
    pub columns: BTreeMap<TargetNumber, Columns>,
    /// Its dead letters.
    pub dead_letters: DeadLetters,
    /// Its alerts.
    pub alerts: AlertSet,
    /// What became of each partition's records.
    pub tallies: Vec<(PartitionKey, BatchTally)>,
    /// The oldest Kafka timestamp of its records, in milliseconds since 1970; of those that are no time in milliseconds, none.
    pub oldest_ms: Option<i64>,
}

/// How often the bytes of the open block are summed up, in records: it walks all columns.
const MEASURE_EVERY: u64 = 256;

/// How long offsets without a record, such as a transaction's marker, wait for a block with records before they are committed
/// by themselves. Retention may remove them later, and only a committed offset above them says that nothing is missing.
const PASSED_WAIT_MAX: Duration = Duration::from_secs(3);

/// Buffers of columns kept for reuse, for each table.
const SPARES_MAX: usize = 1;

/// Bytes of a record, as long as none was seen.
const RECORD_BYTES: u64 = 1024;

/// How long a block waits for more records while a bad row is searched: they have been read before.
const SEARCH_LINGER: Duration = Duration::from_millis(50);

/// Schemas that are asked for while that of an earlier record is waited for: enough to see that none is known, and no burden
/// for the registry.
const ASKED_AHEAD_MAX: usize = 32;

/// The words of a dead letter that the server's refusal made: a label, so not the server's own code.
const REFUSED: &str = "refused_by_server";

/// The open block of a lane.
#[derive(Debug)]
pub struct LaneFill {
    plan: Arc<LanePlan>,
    decoder: TopicDecoder,
    spares: BTreeMap<TargetNumber, Vec<Columns>>,
    dead_letters: DeadLetters,
    alerts: AlertBuffer,
    partitions: BTreeMap<PartitionKey, Slot>,
    oldest_ms: Option<i64>,
    payload_bytes: u64,
    records: u64,
    bytes: usize,
    /// The most rows of a record, of those seen lately, where a record may make several.
    rows_seen: u64,
    /// Rows since `bytes` was summed up, there too.
    rows_unmeasured: u64,
    opened: Option<Instant>,
    closed: Option<Instant>,
    /// Since when the reader is past offsets without a record that no block covers.
    passed: Option<Instant>,
    /// When the next checkpoint of a partition is due, whether records come or not.
    checkpoint_due: Option<Instant>,
    rows_limit: Option<u64>,
    /// Something in front of the server refuses larger requests.
    bytes_limit: Option<u64>,
    /// Bytes of a record, in the last block.
    record_bytes: u64,
    /// The server has refused a JSON object that has a key twice.
    single_keys: bool,
}

/// What a record did.
#[derive(Debug, PartialEq, Eq)]
pub enum Taken {
    /// It is dealt with.
    Done,
    /// The partition cannot go on with it.
    Unusable(HaltReason),
    /// Its schema is not there yet. Nothing of the record was kept: it has to be read again, and what follows it must not
    /// be taken before.
    Awaiting(SchemaKey),
    /// The table lacks these columns for it. The same holds as for a schema.
    Lacking(Vec<NewColumn>),
}

impl LaneFill {
    /// An empty block of the lane.
    ///
    /// # Errors
    /// Where a column names an unknown time zone, which making the plan has ruled out.
    pub fn new(plan: Arc<LanePlan>) -> Result<Self, crate::columns::PlanError> {
        Ok(Self {
            decoder: plan.decoding.decoder()?,
            spares: BTreeMap::new(),
            dead_letters: DeadLetters::default(),
            alerts: AlertBuffer::default(),
            partitions: BTreeMap::new(),
            oldest_ms: None,
            payload_bytes: 0,
            records: 0,
            bytes: 0,
            rows_seen: Self::rows_expected(&plan),
            rows_unmeasured: 0,
            opened: None,
            closed: None,
            passed: None,
            checkpoint_due: None,
            rows_limit: None,
            bytes_limit: None,
            record_bytes: RECORD_BYTES,
            single_keys: false,
            plan,
        })
    }

    /// Begins with a partition where its takeover ended. The caller fetches from [`LaneFill::fetch_from`].
    pub fn resume(&mut self, resume: Resume) {
        let key = resume.key;
        let anchor = resume.start.anchor.filter(|anchor| anchor.offset < resume.start.fetch_from());
        if resume.start.gap.is_some() {
            // Nothing may ever follow the gap: it is recorded even so.
            self.opened.get_or_insert_with(crate::clock::now);
        }
        let fill = PartitionFill::new(resume);
        self.partitions.insert(key, Slot::new(fill, anchor));
    }

    /// Where to fetch a partition from; `None` if it is not being filled.
    pub fn fetch_from(&self, key: PartitionKey) -> Option<Offset> {
        let slot = self.partitions.get(&key)?;
        Some(slot.anchor.map_or(slot.fill.next(), |anchor| anchor.offset))
    }

    /// The first offset of a partition that is not decided about; `None` if it is not being filled.
    pub fn next(&self, key: PartitionKey) -> Option<Offset> {
        self.partitions.get(&key).map(|slot| slot.fill.next())
    }

    /// Whether the open block holds records of the partition.
    pub fn holds(&self, key: PartitionKey) -> bool {
        self.partitions.get(&key).is_some_and(|slot| slot.fill.is_decided())
    }

    /// Notes where the reader of a partition is, when all that it was given was taken. Gives the offsets below of which it
    /// was given no record.
    pub fn pass(&mut self, key: PartitionKey, position: Offset, now: Instant) -> Option<OffsetRange> {
        let passed = self.partitions.get_mut(&key)?.fill.pass(position)?;
        self.passed.get_or_insert(now);
        Some(passed)
    }

    /// Lets a partition go whose records are not in the open block.
    pub fn forget(&mut self, key: PartitionKey) {
        assert!(!self.holds(key), "the open block holds records of {key:?}");
        self.partitions.remove(&key);
    }

    /// Drops the open block and lets all partitions go.
    pub fn stop(&mut self) {
        self.partitions.clear();
        self.checkpoint_due = None;
        self.decoder.all_columns_mut().for_each(Columns::clear);
        self.dead_letters = DeadLetters::default();
        self.alerts = AlertBuffer::default();
        self.reset();
    }

    /// Makes the next block vouch for all partitions: the last one before a stop, which may last longer than the ledger's
    /// rows do.
    pub fn vouch(&mut self) {
        for slot in self.partitions.values_mut() {
            slot.checkpoint = None;
        }
    }

    /// Cuts blocks at so many rows, while a bad row is searched.
    pub fn limit_rows(&mut self, limit: Option<u64>) {
        self.rows_limit = limit;
    }

    /// Closes blocks at so many bytes of records from here on.
    pub fn limit_bytes(&mut self, limit: u64) {
        self.bytes_limit = Some(limit);
    }

    /// Makes a dead letter of each record with a JSON object that has a key twice, as the server refuses it.
    pub fn want_single_keys(&mut self) {
        self.single_keys = true;
        self.decoder.all_columns_mut().for_each(Columns::want_single_keys);
    }

    /// Takes emptied columns of a table back for the next block.
    pub fn recycle(&mut self, target: TargetNumber, mut columns: Columns) {
        let tables = self.plan.decoding.tables().len();
        let spares = self.spares.entry(target).or_default();
        // Of several tables each may have been the one that most of a block went to: together they keep what one would.
        let affordable = tables == 1 || columns.heap_bytes() <= 2 * self.plan.block_bytes_max / tables;
        if spares.len() < SPARES_MAX && affordable {
            columns.clear();
            spares.push(columns);
        }
    }

    /// How many records may be taken before the block is full; 0 when it is.
    pub fn room(&self) -> usize {
        let rows = match self.plan.units {
            UnitKind::Record => self.plan.rows_max.saturating_sub(self.records).min(self.room_in_search()),
            UnitKind::Row => self.room_for_rows(),
        };
        if rows == 0 || self.bytes >= self.plan.block_bytes_max {
            return 0;
        }
        let mut left = u64::try_from(self.plan.block_bytes_max - self.bytes).unwrap_or(u64::MAX);
        let mut record_bytes = self.payload_bytes.checked_div(self.records).unwrap_or(RECORD_BYTES).max(1);
        if let Some(limit) = self.bytes_limit {
            left = left.min(limit.saturating_sub(self.payload_bytes));
            if left == 0 {
                return 0;
            }
            record_bytes = record_bytes.max(self.record_bytes);
        }
        usize::try_from(rows.min((left / record_bytes).max(1))).unwrap_or(usize::MAX)
    }

    /// The same while a bad row is searched: what counts is rows, since most of the records are stored already.
    fn room_in_search(&self) -> u64 {
        let Some(limit) = self.rows_limit else { return u64::MAX };
        let left = limit.saturating_sub(self.open_rows());
        let stored = self.partitions.values().map(|slot| slot.fill.stored_ahead()).min().unwrap_or(0);
        if left == 0 { 0 } else { left.saturating_add(stored) }
    }

    /// Rows in the open block, of all its tables.
    fn open_rows(&self) -> u64 {
        let rows: usize = self.decoder.all_columns().map(|(_, columns)| columns.rows()).sum();
        u64::try_from(rows).unwrap_or(u64::MAX)
    }

    /// Whether a block is open.
    pub fn is_open(&self) -> bool {
        self.opened.is_some()
    }

    /// Whether the block should be closed now, if one may be handed over.
    pub fn is_due(&self, now: Instant) -> bool {
        if self.checkpoint_due.is_some_and(|due| now >= due) {
            return true;
        }
        if self.passed.is_some_and(|passed| now - passed >= PASSED_WAIT_MAX) {
            return true;
        }
        let Some(opened) = self.opened else { return false };
        let narrowing = self.rows_limit.is_some();
        let linger = if narrowing { self.plan.linger.min(SEARCH_LINGER) } else { self.plan.linger };
        let spaced = self.closed.is_none_or(|closed| now - closed >= self.plan.interval_min);
        (narrowing || spaced) && (self.room() == 0 || now - opened >= linger)
    }

    /// Whether the schema is still waited for.
    pub fn awaits(&self, schema: SchemaKey) -> bool {
        self.plan.decoding.awaits(schema)
    }

    /// Has the schemas asked for that these records name, which are to be taken when that of an earlier one has come: else
    /// each would be waited for by itself.
    pub fn ask_ahead<'m>(&self, messages: impl Iterator<Item = Message<'m>>) {
        let mut asked = Vec::new();
        for message in messages.filter(|message| message.error().is_none()) {
            let Some(record) = message.record(&self.plan.topic) else { continue };
            for schema in self.plan.decoding.schemas_of(&record) {
                if asked.len() < ASKED_AHEAD_MAX && !asked.contains(&schema) {
                    // Who is asked whether it is still to come has it asked for.
                    self.plan.decoding.awaits(schema);
                    asked.push(schema);
                }
            }
        }
    }

    /// Deals with one record of the lane's topic.
    pub fn take(&mut self, message: &Message<'_>) -> Taken {
        if self.plan.units == UnitKind::Row {
            return self.take_rows(message);
        }
        let key = PartitionKey { lane: self.plan.lane, partition: message.partition() };
        let (Some(slot), Some(offset)) = (self.partitions.get_mut(&key), message.offset()) else {
            return Taken::Done;
        };
        let payload = message.payload();
        let mut removed = false;
        let fate = match slot.fill.decide(offset) {
            Decision::Repeated => return slot.compare_anchor(offset, message),
            Decision::Dead => Fate::DeadPresent,
            Decision::Condemned(error) => {
                self.dead_letters.push(condemned(message, offset, slot.fill.resume(), error));
                slot.tally.dead(REFUSED);
                Fate::DeadInserted
            }
            // What is stored already, and what was removed since, still feeds the detectors: above the floor nobody
            // knows their alerts to be committed.
            decision @ (Decision::Insert | Decision::Present | Decision::Removed) => {
                let stored = match decision {
                    Decision::Present => Some(Fate::Present),
                    Decision::Removed => {
                        removed = true;
                        Some(Fate::Skipped)
                    }
                    _ => None,
                };
                let Some(record) = message.record(&self.plan.topic) else { return Taken::Done };
                if self.plan.drift.is_some() {
                    self.decoder.overlook_unknown_fields(stored.is_some());
                }
                let decoded = match self.decoder.decode(&record) {
                    Err(Undecoded::Drifted(fields)) => match self.plan.drifted(offset, fields) {
                        Ok(error) => Err(Undecoded::Bad(error)),
                        Err(taken) => return taken,
                    },
                    decoded => decoded,
                };
                if decoded.is_ok() {
                    slot.was_read();
                }
                match decoded {
                    // What is stored stays counted as that: routes and filter may be newer than the row.
                    Err(Undecoded::Skipped) => stored.unwrap_or_else(|| {
                        slot.tally.skipped(Skip::on_purpose(payload.is_some()), 1);
                        Fate::Skipped
                    }),
                    Ok(target) if !self.decoder.admits(target) => {
                        self.decoder.columns_mut(target).rollback_row();
                        stored.unwrap_or_else(|| {
                            slot.tally.skipped(Skip::Filtered, 1);
                            Fate::Skipped
                        })
                    }
                    Ok(target) => {
                        let columns = self.decoder.columns_mut(target);
                        let detectors = &self.plan.detectors[target.index()];
                        let start = &slot.fill.resume().start;
                        if !detectors.is_empty() && offset >= start.floor {
                            let record = AlertCoordinates {
                                partition: key.partition,
                                offset,
                                row: 0,
                                timestamp_ms: message.timestamp_ms(),
                                topic_id: start.topic_id.unwrap_or(TopicId(0)),
                                replay: start.replay,
                            };
                            detectors.evaluate(columns, &record, &mut self.alerts);
                        }
                        if let Some(fate) = stored {
                            columns.rollback_row();
                            fate
                        } else {
                            columns.commit_row(&RowCoordinates {
                                topic: &self.plan.topic,
                                partition: key.partition.0,
                                offset: offset.to_kafka(),
                                row: 0,
                                replay: start.replay.0,
                            });
                            book_replaced(&mut slot.tally, columns);
                            slot.fill.route(offset, target, RecordCount(1));
                            if self.decoder.has_no_known_field(target) {
                                let decoder = &mut self.decoder;
                                slot.fill.no_known_field(|| decoder.unknown_fields(target, &record));
                            } else {
                                slot.fill.known_field();
                            }
                            Fate::Inserted
                        }
                    }
                    Err(Undecoded::Awaiting(key)) => return Taken::Awaiting(key),
                    Err(Undecoded::Drifted(_)) => unreachable!("judged above"),
                    Err(Undecoded::Bad(error)) => match stored {
                        // It is a row already, whatever the table makes of it today.
                        Some(fate) => fate,
                        None => {
                            if self.plan.doubts_schemas
                                && let Some(reason) = slot.suspects(offset, &error)
                            {
                                return Taken::Unusable(reason);
                            }
                            slot.tally.dead(error.code.as_str());
                            self.dead_letters.push(undecodable(message, offset, slot.fill.resume(), error));
                            Fate::DeadInserted
                        }
                    },
                }
            }
        };
        slot.anchor = None;
        slot.tally.skipped(Skip::Removed, u64::from(removed));
        slot.fill.record(offset, fate);
        let bytes = message.key().map_or(0, <[u8]>::len) + payload.map_or(0, <[u8]>::len);
        slot.tally.bytes(u64::try_from(bytes).unwrap_or(u64::MAX));
        self.count(message, bytes);
        Taken::Done
    }

    /// Keeps the hash of a record if it is the last one taken of its partition. To be called before a block is closed;
    /// for every record it would cost more than to find its columns.
    pub fn anchor(&mut self, message: &Message<'_>) {
        let key = PartitionKey { lane: self.plan.lane, partition: message.partition() };
        if let (Some(slot), Some(offset)) = (self.partitions.get_mut(&key), message.offset())
            && slot.fill.next() == offset.next()
        {
            slot.fill.anchor(Anchor { offset, hash: record_hash(message) });
        }
    }

    fn count(&mut self, message: &Message<'_>, bytes: usize) {
        if self.opened.is_none() {
            self.opened = Some(crate::clock::now());
        }
        self.records += 1;
        self.payload_bytes += u64::try_from(bytes).unwrap_or(u64::MAX);
        if self.records % MEASURE_EVERY == 1 || bytes > self.plan.block_bytes_max / 16 {
            self.measure();
            let timestamp = message.aged_timestamp_ms();
            self.oldest_ms = self.oldest_ms.into_iter().chain(timestamp).min();
        }
    }

    fn measure(&mut self) {
        let rows: usize = self.decoder.all_columns().map(|(_, columns)| columns.wire_bytes()).sum();
        self.bytes = rows + self.dead_letters.bytes() + self.alerts.bytes();
    }

    /// Bytes of memory that this lane holds.
    pub fn heap_bytes(&self) -> usize {
        let spares: usize = self.spares.values().flatten().map(Columns::heap_bytes).sum();
        let open: usize = self.decoder.all_columns().map(|(_, columns)| columns.heap_bytes()).sum();
        open + spares + self.dead_letters.bytes() + self.alerts.bytes()
    }

    /// Closes the open block; `None` if it decides about nothing.
    pub fn close(&mut self, number: BlockNumber, now: Instant) -> Option<FilledBlock> {
        self.passed = None;
        let alerts = std::mem::take(&mut self.alerts).close();
        let interval = self.plan.checkpoint_interval;
        let fills = self.partitions.iter_mut().map(|(key, slot)| {
            let due = slot.checkpoint.is_none_or(|last| now - last >= interval);
            if due && (slot.fill.is_open() || slot.fill.is_unvouched()) {
                slot.checkpoint = Some(now);
            }
            (*key, &mut slot.fill, due)
        });
        let mut summary = close_block(self.plan.lane, number, fills, alerts.count());
        if let Some(summary) = &mut summary {
            summary.bytes = self.payload_bytes;
        }
        let unvouched = self.partitions.values().filter(|slot| slot.fill.is_unvouched());
        self.checkpoint_due = unvouched.filter_map(|slot| slot.checkpoint.map(|last| last + interval)).min();
        let summary = summary?;
        let tally = |(key, batch): (&PartitionKey, &Batch)| {
            let slot = self.partitions.get_mut(key).expect("its batch was just closed");
            let mut tally = std::mem::take(&mut slot.tally);
            complete(&mut tally, batch);
            (*key, tally)
        };
        let tallies = summary.batches.iter().map(tally).collect();
        let columns = self.take_columns();
        for (target, columns) in &columns {
            let rows = RecordCount(u64::try_from(columns.rows()).expect("rows fit 64 bits"));
            assert_eq!(rows, summary.rows_into(*target), "block {number} holds other rows than it says");
        }
        assert_eq!(columns.len(), summary.targets().len(), "block {number} lacks the rows of a table");
        let block = FilledBlock {
            summary,
            columns,
            dead_letters: std::mem::take(&mut self.dead_letters),
            alerts,
            tallies,
            oldest_ms: self.oldest_ms,
        };
        self.reset();
        self.closed = Some(now);
        Some(block)
    }

    /// The columns of tables that the block has rows for; others take their place.
    fn take_columns(&mut self) -> BTreeMap<TargetNumber, Columns> {
        let filled = self.decoder.all_columns().filter(|(_, columns)| columns.rows() > 0);
        let filled: Vec<TargetNumber> = filled.map(|(target, _)| target).collect();
        let mut taken = BTreeMap::new();
        for target in filled {
            let columns = self.decoder.columns_mut(target);
            let mut next = self.spares.get_mut(&target).and_then(Vec::pop).unwrap_or_else(|| {
                Columns::new(columns.plan()).expect("the plan was checked when the first columns were made")
            });
            if self.single_keys {
                next.want_single_keys();
            }
            taken.insert(target, std::mem::replace(columns, next));
        }
        taken
    }

    fn reset(&mut self) {
        self.oldest_ms = None;
        self.record_bytes = self.payload_bytes.checked_div(self.records).unwrap_or(self.record_bytes).max(1);
        self.payload_bytes = 0;
        self.records = 0;
        self.bytes = 0;
        // One large record is not remembered for ever.
        self.rows_seen /= 2;
        self.rows_unmeasured = 0;
        self.opened = None;
        self.passed = None;
    }
}

impl LanePlan {
    /// What becomes of a record with fields that the table has no column for: a dead letter of this error, or what the
    /// caller is told.
    #[cold]
    fn drifted(&self, offset: Offset, fields: Vec<NewColumn>) -> Result<DecodeError, Taken> {
        let drift = self.drift.as_ref().expect("without it no field is reported");
        match drift.judge(offset, fields) {
            Verdict::Dead(error) => Ok(error),
            Verdict::Halt(reason) => Err(Taken::Unusable(reason)),
            Verdict::Wait(columns) => Err(Taken::Lacking(columns)),
        }
    }
}
