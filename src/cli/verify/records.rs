//! Reads what Kafka has, as windows: a blocking loop of its own, so that fetching and asking ClickHouse overlap.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::error::RDKafkaErrorCode;
use tokio::sync::mpsc;

use super::compare::{Seen, Window, WindowCutter};
use super::contents::{Hasher, decoder_of};
use super::several::RowReader;
use crate::clock;
use crate::decode::{Record, Undecoded};
use crate::pipeline::topic_decoding::{TopicDecoder, TopicDecoding};
use crate::source::observer::Observer;
use crate::source::{KafkaFault, Message, OwnedRecord};
use crate::types::{Offset, OffsetRange, Partition};

const READ_TIMEOUT: Duration = Duration::from_millis(100);
const READ_LIMIT: usize = 10_000;
/// Records that are held at once, where they are compared column by column.
const HELD_MAX: usize = 4_096;
/// The same in bytes.
const HELD_BYTES_MAX: usize = 16 << 20;
/// A broker that sends nothing for so long will not send anything.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// How records become windows.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) window_offsets: u64,
    /// Where contents are compared.
    pub(super) hasher: Option<Hasher>,
    /// Where some rows are not wanted.
    pub(super) sieve: Option<Sieve>,
    /// Where a record makes several rows; then in place of the other two.
    pub(super) rows: Option<RowReader>,
}

/// Sends the windows of these ranges, each partition's in order, until all are sent or nobody listens any more.
pub(super) fn send_windows(
    observer: &mut Observer,
    topic: &str,
    ranges: &BTreeMap<Partition, OffsetRange>,
    mut reading: Reading,
    windows: &mpsc::Sender<(Partition, Window)>,
) -> Result<(), KafkaFault> {
    let mut cutters: BTreeMap<Partition, WindowCutter> = ranges
        .iter()
        .filter(|(_, range)| !range.is_empty())
        .map(|(partition, range)| (*partition, WindowCutter::new(*range, reading.window_offsets)))
        .collect();
    let starts = cutters.keys().map(|partition| (*partition, ranges[partition].start())).collect();
    observer.assign(topic, &starts)?;
    let mut last_heard = clock::now();
    let mut done = Vec::new();
    while !cutters.is_empty() {
        let batch = observer.read(READ_TIMEOUT, READ_LIMIT);
        let heard = !batch.is_empty();
        for message in batch.iter() {
            let partition = message.partition();
            let Some(cutter) = cutters.get_mut(&partition) else { continue };
            let closed = match (message.error(), message.offset()) {
                (None, Some(offset)) => cutter.record(offset, reading.seen(&message, topic)),
                (Some(fault), Some(offset)) if fault.code == RDKafkaErrorCode::PartitionEOF => cutter.reached(offset),
                (Some(fault), _) => return Err(explained(fault, topic)),
                (None, None) => Vec::new(),
            };
            for window in closed {
                if windows.blocking_send((partition, window)).is_err() {
                    return Ok(());
                }
            }
            if cutter.is_done() {
                cutters.remove(&partition);
                done.push(partition);
            }
        }
        for partition in done.drain(..) {
            observer.stop(topic, partition)?;
        }
        if heard {
            last_heard = clock::now();
        }
        check_silence(observer, topic, last_heard)?;
    }
    observer.assign(topic, &BTreeMap::new())
}

impl Reading {
    fn seen(&mut self, message: &Message<'_>, topic: &str) -> Seen {
        let record = message.record(topic);
        if let (Some(rows), Some(record)) = (&mut self.rows, &record) {
            return rows.read(record);
        }
        let wanted = |record: &Record<'_>| match &mut self.sieve {
            Some(sieve) => sieve.admits(record),
            None => record.value.is_some(),
        };
        let Some(record) = record.filter(wanted) else { return Seen::Skipped };
        Seen::Value(self.hasher.as_mut().map(|hasher| hasher.hash(&record)))
    }
}

/// Tells the records that make no row on purpose from the others.
#[derive(Debug)]
pub(super) struct Sieve {
    decoder: TopicDecoder,
}

impl Sieve {
    /// For the rows that are decoded so; `None` where every value makes one.
    pub(super) fn of(decoding: &TopicDecoding) -> Option<Self> {
        let needed = !decoding.keeps_every_value();
        needed.then(|| Self { decoder: decoder_of(decoding) })
    }

    /// What makes no row is a dead letter, which no filter leaves out.
    fn admits(&mut self, record: &Record<'_>) -> bool {
        match self.decoder.decode_patiently(record) {
            Err(undecoded) => undecoded != Undecoded::Skipped,
            Ok(target) => {
                let admitted = self.decoder.admits(target);
                self.decoder.columns_mut(target).rollback_row();
                admitted
            }
        }
    }
}

/// Whether a reader of committed data finds a record of the partition in `range`, whose end must be stable.
pub(super) fn has_record(
    observer: &mut Observer,
    topic: &str,
    partition: Partition,
    range: OffsetRange,
) -> Result<bool, KafkaFault> {
    first_record(observer, topic, partition, range, |_| ()).map(|found| found.is_some())
}

/// One record, where a reader of committed data finds it.
pub(super) fn record_at(
    observer: &mut Observer,
    topic: &str,
    partition: Partition,
    offset: Offset,
) -> Result<Option<OwnedRecord>, KafkaFault> {
    let range = OffsetRange::new(offset, offset.next());
    first_record(observer, topic, partition, range, |message| OwnedRecord::of(&message)).map(Option::flatten)
}

/// The first records of a range, as many as are well held at once, and up to where they reach.
pub(super) fn some_records(
    observer: &mut Observer,
    topic: &str,
    partition: Partition,
    range: OffsetRange,
) -> Result<(Vec<OwnedRecord>, Offset), KafkaFault> {
    observer.assign(topic, &BTreeMap::from([(partition, range.start())]))?;
    let (mut last_heard, mut records, mut bytes) = (clock::now(), Vec::new(), 0);
    let reached = 'reading: loop {
        let batch = observer.read(READ_TIMEOUT, READ_LIMIT);
        if !batch.is_empty() {
            last_heard = clock::now();
        }
        for message in batch.iter().filter(|message| message.partition() == partition) {
            match (message.error(), message.offset()) {
                (None, Some(offset)) if offset >= range.end() => break 'reading range.end(),
                (None, Some(offset)) if records.len() >= HELD_MAX || bytes >= HELD_BYTES_MAX => break 'reading offset,
                (None, _) => {
                    bytes += message.payload().map_or(0, <[u8]>::len) + message.key().map_or(0, <[u8]>::len);
                    records.extend(OwnedRecord::of(&message));
                }
                (Some(fault), Some(end)) if fault.code == RDKafkaErrorCode::PartitionEOF => {
                    if end >= range.end() {
                        break 'reading range.end();
                    }
                }
                (Some(fault), _) => return Err(explained(fault, topic)),
            }
        }
        check_silence(observer, topic, last_heard)?;
    };
    observer.assign(topic, &BTreeMap::new())?;
    Ok((records, reached))
}

fn first_record<T>(
    observer: &mut Observer,
    topic: &str,
    partition: Partition,
    range: OffsetRange,
    take: impl Fn(Message<'_>) -> T,
) -> Result<Option<T>, KafkaFault> {
    observer.assign(topic, &BTreeMap::from([(partition, range.start())]))?;
    let mut last_heard = clock::now();
    let found = 'reading: loop {
        let batch = observer.read(READ_TIMEOUT, READ_LIMIT);
        if !batch.is_empty() {
            last_heard = clock::now();
        }
        for message in batch.iter().filter(|message| message.partition() == partition) {
            match (message.error(), message.offset()) {
                (None, Some(offset)) if range.contains(offset) => break 'reading Some(take(message)),
                (None, Some(offset)) if offset >= range.end() => break 'reading None,
                (None, _) => {}
                (Some(fault), Some(end)) if fault.code == RDKafkaErrorCode::PartitionEOF => {
                    if end >= range.end() {
                        break 'reading None;
                    }
                }
                (Some(fault), _) => return Err(explained(fault, topic)),
            }
        }
        check_silence(observer, topic, last_heard)?;
    };
    observer.assign(topic, &BTreeMap::new())?;
    Ok(found)
}

fn check_silence(observer: &Observer, topic: &str, last_heard: Instant) -> Result<(), KafkaFault> {
    if clock::now().duration_since(last_heard) <= SILENCE_MAX {
        return Ok(());
    }
    let text = observer.trouble().unwrap_or_else(|| format!("nothing came within {} s", SILENCE_MAX.as_secs()));
    Err(KafkaFault { doing: format!("reading topic {topic}"), code: RDKafkaErrorCode::OperationTimedOut, text })
}

fn explained(fault: KafkaFault, topic: &str) -> KafkaFault {
    let text = match fault.code {
        RDKafkaErrorCode::AutoOffsetReset => {
            "Kafka removed records (retention) while they were read: run verify again".to_owned()
        }
        _ => fault.text,
    };
    KafkaFault { doing: format!("reading topic {topic}: {}", fault.doing), text, code: fault.code }
}
