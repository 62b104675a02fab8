//! The open block of a lane: records in, closed blocks out.
//!
//! Takes records in the order of their partitions' offsets, decodes each once straight into columns, and keeps apart
//! what becomes a row, a dead letter and an alert. Promises that a record it was given is decided about once and that
//! a bad one costs its neighbours nothing. Never talks to Kafka or ClickHouse.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::alerts::{AlertBuffer, Detectors, RecordCoordinates};
use crate::block::fill::{Decision, Fate, PartitionFill, close_block};
use crate::columns::{Columns, RowCoordinates, RowPlan};
use crate::dead_letter::{DeadLetter, DeadLetters, Stage};
use crate::decode::JsonDecoder;
use crate::protocol::action::Resume;
use crate::protocol::block::BlockSummary;
use crate::protocol::event::ServerError;
use crate::protocol::facts::Anchor;
use crate::source::native::Message;
use crate::types::{BlockNumber, LaneId, PartitionKey, RecordCount};

/// Everything about a lane that does not change while it runs.
#[derive(Debug)]
pub struct LanePlan {
    /// The lane.
    pub lane: LaneId,
    /// Its topic.
    pub topic: String,
    /// The columns of its table.
    pub rows: Arc<RowPlan>,
    /// What is an anomaly.
    pub detectors: Detectors,
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
}

/// A closed block with everything that goes into ClickHouse and to the alert topic.
#[derive(Debug)]
pub struct FilledBlock {
    /// What the protocol knows of it.
    pub summary: BlockSummary,
    /// Its rows.
    pub columns: Columns,
    /// Its dead letters.
    pub dead_letters: DeadLetters,
    /// Its alerts.
    pub alerts: AlertBuffer,
    /// The oldest and the newest Kafka timestamp of its rows, in milliseconds since 1970.
    pub timestamps_ms: Option<(i64, i64)>,
    /// Bytes of the records that it was made from.
    pub payload_bytes: u64,
}

/// How often the bytes of the open block are summed up, in records: it walks all columns.
const MEASURE_EVERY: u64 = 256;

/// Buffers of columns kept for reuse: one fills, one is sent, one waits.
const SPARES_MAX: usize = 2;

/// The open block of a lane.
#[derive(Debug)]
pub struct LaneFill {
    plan: Arc<LanePlan>,
    decoder: JsonDecoder,
    columns: Columns,
    spares: Vec<Columns>,
    dead_letters: DeadLetters,
    alerts: AlertBuffer,
    partitions: BTreeMap<PartitionKey, PartitionFill>,
    /// The last committed record of a partition that has to be seen again first.
    anchors: BTreeMap<PartitionKey, Anchor>,
    checkpoints: BTreeMap<PartitionKey, Instant>,
    timestamps_ms: Option<(i64, i64)>,
    payload_bytes: u64,
    records: u64,
    bytes: usize,
    opened: Option<Instant>,
    closed: Option<Instant>,
    rows_limit: Option<u64>,
}

/// What a record did.
#[derive(Debug, PartialEq, Eq)]
pub enum Taken {
    /// It is dealt with.
    Done,
    /// It is the anchor, and not the record that was committed: the partition is another one.
    AnchorDiffers(Anchor),
}

impl LaneFill {
    /// An empty block of the lane.
    ///
    /// # Errors
    /// Where a column names an unknown time zone, which making the plan has ruled out.
    pub fn new(plan: Arc<LanePlan>) -> Result<Self, crate::columns::PlanError> {
        let columns = Columns::new(&plan.rows)?;
        Ok(Self {
            decoder: JsonDecoder::new(&plan.rows),
            columns,
            spares: Vec::new(),
            dead_letters: DeadLetters::default(),
            alerts: AlertBuffer::default(),
            partitions: BTreeMap::new(),
            anchors: BTreeMap::new(),
            checkpoints: BTreeMap::new(),
            timestamps_ms: None,
            payload_bytes: 0,
            records: 0,
            bytes: 0,
            opened: None,
            closed: None,
            rows_limit: None,
            plan,
        })
    }

    /// What does not change.
    pub fn plan(&self) -> &LanePlan {
        &self.plan
    }

    /// Begins with a partition where its takeover ended. The caller fetches from [`LaneFill::fetch_from`].
    pub fn resume(&mut self, resume: Resume) {
        let key = resume.key;
        self.anchors.remove(&key);
        if let Some(anchor) = resume.start.anchor
            && anchor.offset < resume.start.fetch_from()
        {
            self.anchors.insert(key, anchor);
        }
        self.checkpoints.remove(&key);
        if resume.start.gap.is_some() {
            // Nothing may ever follow the gap: it is recorded even so.
            self.opened.get_or_insert_with(crate::clock::now);
        }
        self.partitions.insert(key, PartitionFill::new(resume));
    }

    /// Where to fetch a partition from; `None` if it is not being filled.
    pub fn fetch_from(&self, key: PartitionKey) -> Option<crate::types::Offset> {
        let fill = self.partitions.get(&key)?;
        Some(self.anchors.get(&key).map_or(fill.next(), |anchor| anchor.offset.min(fill.next())))
    }

    /// The anchor cannot be read any more: goes on without.
    pub fn forget_anchor(&mut self, key: PartitionKey) -> bool {
        self.anchors.remove(&key).is_some()
    }

    /// Whether the open block holds records of the partition.
    pub fn holds(&self, key: PartitionKey) -> bool {
        self.partitions.get(&key).is_some_and(PartitionFill::is_open)
    }

    /// Lets a partition go whose records are not in the open block.
    pub fn forget(&mut self, key: PartitionKey) {
        assert!(!self.holds(key), "the open block holds records of {key:?}");
        self.partitions.remove(&key);
        self.anchors.remove(&key);
    }

    /// Drops the open block and lets all partitions go. Gives how many records were dropped.
    pub fn stop(&mut self) -> RecordCount {
        self.partitions.clear();
        self.anchors.clear();
        let dropped = RecordCount(self.records);
        self.columns.clear();
        self.dead_letters = DeadLetters::default();
        self.alerts = AlertBuffer::default();
        self.reset();
        dropped
    }

    /// Cuts blocks at so many rows, while a bad row is searched.
    pub fn limit_rows(&mut self, limit: Option<u64>) {
        self.rows_limit = limit;
    }

    /// Takes emptied columns back for the next block.
    pub fn recycle(&mut self, mut columns: Columns) {
        if self.spares.len() < SPARES_MAX {
            columns.clear();
            self.spares.push(columns);
        }
    }

    /// How many records may be taken before the block is full; 0 when it is.
    pub fn room(&self) -> usize {
        let rows_max = self.rows_limit.unwrap_or(self.plan.rows_max).min(self.plan.rows_max);
        let rows = rows_max.saturating_sub(self.records);
        if rows == 0 || self.bytes >= self.plan.block_bytes_max {
            return 0;
        }
        let record_bytes = self.payload_bytes.checked_div(self.records).unwrap_or(1024).max(1);
        let left = u64::try_from(self.plan.block_bytes_max - self.bytes).unwrap_or(u64::MAX);
        usize::try_from(rows.min((left / record_bytes).max(1))).unwrap_or(usize::MAX)
    }

    /// Whether the block should be closed now, if there is anything in it and one may be handed over.
    pub fn is_due(&self, now: Instant) -> bool {
        let Some(opened) = self.opened else { return false };
        let narrowing = self.rows_limit.is_some();
        let spaced = self.closed.is_none_or(|closed| now - closed >= self.plan.interval_min);
        (narrowing || spaced) && (self.room() == 0 || now - opened >= self.plan.linger)
    }

    /// Deals with one record of the lane's topic.
    pub fn take(&mut self, message: &Message<'_>) -> Taken {
        let key = PartitionKey { lane: self.plan.lane, partition: message.partition() };
        let (Some(fill), Some(offset)) = (self.partitions.get_mut(&key), message.offset()) else {
            return Taken::Done;
        };
        let payload = message.payload();
        let fate = match fill.decide(offset) {
            Decision::Repeated => {
                let anchor = self.anchors.remove(&key).filter(|anchor| anchor.offset == offset);
                return match anchor {
                    Some(anchor) if anchor.hash != record_hash(message) => Taken::AnchorDiffers(anchor),
                    Some(_) | None => Taken::Done,
                };
            }
            Decision::Dead => Fate::DeadPresent,
            Decision::Removed => Fate::Skipped,
            Decision::Condemned(error) => {
                self.dead_letters.push(condemned(&self.plan, message, fill.resume(), error));
                Fate::DeadInserted
            }
            decision @ (Decision::Insert | Decision::Present) => {
                let present = decision == Decision::Present;
                let alert_wanted = !fill.below_floor(offset);
                match payload.map(|payload| self.decoder.decode(payload, &mut self.columns)) {
                    None => Fate::Skipped,
                    Some(Ok(())) => {
                        let resume = fill.resume();
                        if alert_wanted && !self.plan.detectors.is_empty() {
                            let coordinates = RecordCoordinates {
                                topic: &self.plan.topic,
                                topic_id: resume.start.topic_id,
                                replay: resume.start.replay,
                                partition: key.partition,
                                offset,
                                timestamp_ms: message.timestamp_ms(),
                            };
                            self.plan.detectors.evaluate(&self.columns, &coordinates, &mut self.alerts);
                        }
                        if present {
                            self.columns.rollback_row();
                            Fate::Present
                        } else {
                            self.columns.commit_row(&RowCoordinates {
                                topic: &self.plan.topic,
                                partition: key.partition.0,
                                offset: offset.to_kafka(),
                                replay: resume.start.replay.0,
                            });
                            Fate::Inserted
                        }
                    }
                    // It is a row already, whatever the configuration makes of it today.
                    Some(Err(_)) if present => Fate::Present,
                    Some(Err(error)) => {
                        let mut letter = letter(&self.plan, message, fill.resume());
                        letter.stage = error.code.stage().into();
                        letter.error_code = error.code.as_str().to_owned();
                        letter.error_field = error.field;
                        letter.error = error.reason;
                        self.dead_letters.push(letter);
                        Fate::DeadInserted
                    }
                }
            }
        };
        self.anchors.remove(&key);
        fill.record(offset, fate, record_hash(message));
        self.count(message, payload.map_or(0, <[u8]>::len));
        Taken::Done
    }

    fn count(&mut self, message: &Message<'_>, payload_bytes: usize) {
        self.opened.get_or_insert_with(crate::clock::now);
        self.records += 1;
        self.payload_bytes += u64::try_from(payload_bytes).unwrap_or(u64::MAX);
        if let Some(timestamp) = message.timestamp_ms() {
            let (oldest, newest) = self.timestamps_ms.unwrap_or((timestamp, timestamp));
            self.timestamps_ms = Some((oldest.min(timestamp), newest.max(timestamp)));
        }
        if self.records % MEASURE_EVERY == 1 || payload_bytes > self.plan.block_bytes_max / 16 {
            self.measure();
        }
    }

    fn measure(&mut self) {
        self.bytes = self.columns.wire_bytes() + self.dead_letters.bytes() + self.alerts.bytes();
    }

    /// Bytes of memory that this lane holds.
    pub fn heap_bytes(&self) -> usize {
        let spares: usize = self.spares.iter().map(Columns::heap_bytes).sum();
        self.columns.heap_bytes() + spares + self.dead_letters.bytes() + self.alerts.bytes()
    }

    /// Closes the open block; `None` if it decides about nothing.
    pub fn close(&mut self, number: BlockNumber, now: Instant) -> Option<FilledBlock> {
        self.alerts.close();
        let alerts = RecordCount(u64::try_from(self.alerts.len()).unwrap_or(u64::MAX));
        let interval = self.plan.checkpoint_interval;
        let checkpoints = &mut self.checkpoints;
        let summary = close_block(self.plan.lane, number, &mut self.partitions, alerts, |key| {
            let due = checkpoints.get(&key).is_none_or(|last| now - *last >= interval);
            if due {
                checkpoints.insert(key, now);
            }
            due
        })?;
        let next = match self.spares.pop() {
            Some(spare) => spare,
            None => Columns::new(&self.plan.rows).expect("the plan was checked when the first columns were made"),
        };
        let block = FilledBlock {
            summary,
            columns: std::mem::replace(&mut self.columns, next),
            dead_letters: std::mem::take(&mut self.dead_letters),
            alerts: std::mem::take(&mut self.alerts),
            timestamps_ms: self.timestamps_ms,
            payload_bytes: self.payload_bytes,
        };
        self.reset();
        self.closed = Some(now);
        Some(block)
    }

    fn reset(&mut self) {
        self.timestamps_ms = None;
        self.payload_bytes = 0;
        self.records = 0;
        self.bytes = 0;
        self.opened = None;
    }
}

/// What recognises a record: its timestamp, key and value.
fn record_hash(message: &Message<'_>) -> u64 {
    let mut hasher = xxhash_rust::xxh3::Xxh3Default::new();
    hasher.update(&message.timestamp_ms().unwrap_or(-1).to_le_bytes());
    for part in [message.key(), message.payload()] {
        let length = part.map_or(u64::MAX, |part| u64::try_from(part.len()).unwrap_or(u64::MAX));
        hasher.update(&length.to_le_bytes());
        hasher.update(part.unwrap_or_default());
    }
    hasher.digest()
}

fn condemned(plan: &LanePlan, message: &Message<'_>, resume: &Resume, error: &ServerError) -> DeadLetter {
    let mut letter = letter(plan, message, resume);
    letter.stage = Stage::Insert;
    letter.error_code = format!("clickhouse_{}", error.code);
    letter.error.clone_from(&error.text);
    letter
}

/// A dead letter of the record, with everything but the error.
fn letter(plan: &LanePlan, message: &Message<'_>, resume: &Resume) -> DeadLetter {
    let _ = (plan, message, resume);
    unimplemented!()
}
