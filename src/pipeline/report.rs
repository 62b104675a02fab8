//! What people see of the pipeline: metrics, log lines and the status, kept from the events that pass.
//!
//! Never decides anything, and never shows a record's contents.

mod inserts;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::admin::{
    Halted, OpenTransaction, PartitionState, PartitionStatus, ProcessState, ProducerState, Status, TimedError,
};
use crate::block::lane_fill::FilledBlock;
use crate::clock;
use crate::dead_letter::DeadLetters;
use crate::decode::NewColumn;
use crate::metrics::{BlockAccount, Metrics, PartitionMetrics};
use crate::pipeline::blocks::StoredBlock;
use crate::pipeline::driver::Ended;
use crate::pipeline::effects::Effects;
use crate::pipeline::lag::{Lag, LogEnd};
use crate::pipeline::offences::Offences;
use crate::protocol::action::{Note, Why};
use crate::protocol::event::{Event, InsertEnd, ProducerEnd, Table, TransactionEnd};
use crate::protocol::facts::Facts;
use crate::protocol::halt::HaltReason;
use crate::protocol::state::{PartitionView, State};
use crate::registry::{SchemaKey, Schemas};
use crate::source::group::GroupEvent;
use crate::types::{LaneId, Offset, OffsetRange, PartitionKey, RecordCount};

/// Keeps what is shown.
#[derive(Debug)]
pub(super) struct Report {
    metrics: Metrics,
    effects: Arc<Effects>,
    status: watch::Sender<Arc<Status>>,
    partitions: BTreeMap<PartitionKey, Partition>,
    takeovers: BTreeMap<LaneId, Instant>,
    /// Records found so far in lanes that search for what the server rejects.
    searches: BTreeMap<LaneId, u64>,
    /// Lanes that are not read, because memory is full, and since when.
    held: BTreeMap<LaneId, Instant>,
    schemas: Option<Schemas>,
    /// Lanes with a record whose schema is not there yet.
    awaiting: BTreeMap<LaneId, Instant>,
    /// Dead letters that no log line has told yet.
    untold: BTreeMap<LaneId, Offences>,
    /// Those of the block that the event at hand has dropped.
    dropped: Option<Arc<DeadLetters>>,
    /// Lanes with a record that the table lacks columns for.
    lacking: BTreeMap<LaneId, Instant>,
}

/// A lane at full speed is held for moments all the time; a person is told of longer ones.
const PAUSED_AFTER: Duration = Duration::from_secs(1);

#[derive(Debug)]
struct Partition {
    metrics: Arc<PartitionMetrics>,
    position: Option<Offset>,
    lag: Lag,
    /// The age of the oldest record of the last block, when it was closed.
    oldest_ms: Option<i64>,
    last_insert_unix_ms: Option<i64>,
    last_error: Option<TimedError>,
    /// Why its next batch cannot be read.
    unreadable: Option<String>,
    /// What became dead letters.
    dead_letters: Offences,
    /// Which of the records made the partition stop, where that was it.
    offenders: Option<String>,
}

impl Report {
    /// A report of a process that begins.
    pub(super) fn new(
        metrics: Metrics,
        effects: Arc<Effects>,
        status: watch::Sender<Arc<Status>>,
        schemas: Option<Schemas>,
    ) -> Self {
        Self {
            metrics,
            schemas,
            effects,
            status,
            partitions: BTreeMap::new(),
            takeovers: BTreeMap::new(),
            searches: BTreeMap::new(),
            held: BTreeMap::new(),
            awaiting: BTreeMap::new(),
            untold: BTreeMap::new(),
            dropped: None,
            lacking: BTreeMap::new(),
        }
    }

    fn change(&self, change: impl FnOnce(&mut Status)) {
        self.status.send_modify(|status| change(Arc::make_mut(status)));
    }

    /// The group gave us partitions.
    pub(super) fn assigned<'a>(&mut self, keys: impl IntoIterator<Item = &'a PartitionKey>) {
        for key in keys {
            let lane = self.effects.lane(key.lane);
            self.partitions.entry(*key).or_insert_with(|| Partition {
                metrics: lane.metrics.partition(key.partition),
                position: None,
                lag: Lag::default(),
                oldest_ms: None,
                last_insert_unix_ms: None,
                last_error: None,
                unreadable: None,
                dead_letters: Offences::default(),
                offenders: None,
            });
        }
        self.change(|status| {
            status.group_joined = true;
            status.kafka.succeeded(clock::unix_ms());
        });
    }

    /// A lane is not read any more, or again.
    pub(super) fn held(&mut self, lane: LaneId, held: bool) {
        if held {
            self.held.insert(lane, clock::now());
        } else {
            self.held.remove(&lane);
        }
    }

    /// A record of the lane waits for its schema, or no longer does.
    pub(super) fn awaiting(&mut self, lane: LaneId, awaiting: Option<(PartitionKey, SchemaKey)>) {
        let topic = self.effects.lane(lane).tables.cell.topic.as_str();
        match awaiting {
            Some((key, schema)) => {
                if let Some(held_back) = self.metrics.throttled().permit(&format!("schema {topic}"), clock::now()) {
                    tracing::warn!(
                        topic,
                        partition = %key.partition,
                        %schema,
                        held_back,
                        "a record waits for its schema; the topic is not read until the registry answers"
                    );
                }
                self.awaiting.insert(lane, clock::now());
            }
            None => {
                if self.awaiting.remove(&lane).is_some() {
                    tracing::info!(topic, "the wait for a schema is over; the topic is read again");
                }
                self.lacking.remove(&lane);
            }
        }
    }

    /// The table lacks columns for a record of the partition.
    pub(super) fn lacking(&mut self, key: PartitionKey, columns: &[NewColumn]) {
        let topic = self.effects.lane(key.lane).tables.cell.topic.as_str();
        let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
        if let Some(held_back) = self.metrics.throttled().permit(&format!("columns {topic}"), clock::now()) {
            tracing::info!(
                topic, partition = %key.partition, columns = names.join(", "), held_back,
                "a record has fields that the table has no column for; the topic is not read until it has"
            );
        }
        self.lacking.insert(key.lane, clock::now());
    }

    /// The group took partitions.
    pub(super) fn revoked(&mut self, keys: &BTreeSet<PartitionKey>) {
        for key in keys {
            if let Some(partition) = self.partitions.remove(key) {
                partition.metrics.revoked();
            }
        }
    }

    /// A block was closed: its books begin.
    pub(super) fn block_closed(&mut self, block: &mut FilledBlock) -> BlockAccount {
        let lane = self.effects.lane(block.summary.lane);
        let mut batches = Vec::new();
        for (key, tally) in std::mem::take(&mut block.tallies) {
            let metrics = match self.partitions.get_mut(&key) {
                Some(partition) => {
                    partition.position = block.summary.batches.get(&key).map(|batch| batch.range.end());
                    partition.oldest_ms = block.oldest_ms;
                    Arc::clone(&partition.metrics)
                }
                None => lane.metrics.partition(key.partition),
            };
            batches.push((metrics, tally));
        }
        lane.metrics.block_closed(batches)
    }

    /// An event on its way to the protocol.
    pub(super) fn event(&mut self, event: &Event) {
        let now = clock::unix_ms();
        match event {
            Event::FactsRead(_, Ok(facts)) => {
                for (key, facts) in facts {
                    if let Ok(facts) = facts {
                        self.tell_harmless_removal(*key, facts);
                    }
                }
                self.change(|status| {
                    status.kafka.succeeded(now);
                    status.clickhouse.succeeded(now);
                });
            }
            Event::Claimed(_, Ok(_)) | Event::Drained(_, Ok(())) | Event::Looked(_, Ok(_)) => {
                self.change(|status| status.clickhouse.succeeded(now));
            }
            Event::Claimed(_, Err(text)) | Event::Drained(_, Err(text)) | Event::Looked(_, Err(text)) => {
                self.change(|status| status.clickhouse.failed(now, text.as_str()));
            }
            Event::ProducerBuilt(end) => self.change(|status| match end {
                ProducerEnd::Ready => {
                    status.producer.state = ProducerState::Ready;
                    status.kafka.succeeded(now);
                }
                ProducerEnd::Failed(text) | ProducerEnd::Fenced(text) => {
                    status.producer.state = ProducerState::Failed;
                    status.producer.last_error = Some(TimedError { unix_ms: now, text: text.clone() });
                }
            }),
            Event::TransactionEnded(_, end) => self.change(|status| match end {
                TransactionEnd::Committed | TransactionEnd::CommittedSlowly => {
                    status.producer.last_commit_unix_ms = Some(now);
                    status.kafka.succeeded(now);
                }
                TransactionEnd::Rejected(text) | TransactionEnd::Ambiguous(text) | TransactionEnd::Fenced(text) => {
                    status.producer.last_error = Some(TimedError { unix_ms: now, text: text.clone() });
                }
                TransactionEnd::NotOwned(_) | TransactionEnd::InstanceReplaced => {}
            }),
            // Told with its block.
            Event::Inserted(..)
            | Event::Started
            | Event::Assigned(_)
            | Event::Revoked { .. }
            | Event::FetchFailed(..)
            | Event::Unusable(..)
            | Event::BlockClosed(_)
            | Event::FactsRead(_, Err(_))
            | Event::Settled(..)
            | Event::TopicChecked(..)
            | Event::PauseOver(_)
            | Event::ServerRestarted
            | Event::Stop => {}
        }
    }

    /// The ledger has a block: whatever becomes of its offsets, its rows are there.
    pub(super) fn stored(&mut self, block: &mut StoredBlock) {
        if let Some(account) = block.account.take() {
            account.acknowledged();
        }
        let now = clock::unix_ms();
        if let Some(age) = block.oldest_ms.map(|oldest| age(now, oldest)) {
            self.effects.lane(block.summary.lane).metrics.visible(age);
        }
        for (key, batch) in &block.summary.batches {
            if let Some(partition) = self.partitions.get_mut(key) {
                partition.last_insert_unix_ms = Some(now);
                if batch.dead_inserted > RecordCount(0) {
                    let offences = Offences::of(block.dead_letters(), key.partition, now);
                    partition.dead_letters.add(&offences);
                    self.untold.entry(key.lane).or_default().add(&offences);
                }
                if let Some(gap) = batch.gap {
                    partition.metrics.gap(gap);
                }
            }
        }
    }

    /// A block is dropped: until the event at hand is dealt with, its dead letters say why a partition stops.
    pub(super) fn dropped(&mut self, block: &StoredBlock) {
        self.dropped = Some(Arc::clone(block.dead_letters()));
    }

    /// The event at hand is dealt with.
    pub(super) fn event_done(&mut self) {
        self.dropped = None;
    }

    /// Tells what became dead letters, a line a minute for each topic.
    fn tell_dead_letters(&mut self) {
        let effects = Arc::clone(&self.effects);
        let throttled = self.metrics.throttled();
        self.untold.retain(|lane, offences| {
            let tables = &effects.lane(*lane).tables;
            let topic = tables.cell.topic.as_str();
            if throttled.permit(&format!("dead letters {topic}"), clock::now()).is_none() {
                return true;
            }
            tracing::warn!(
                topic,
                records = offences.records().0,
                reasons = offences.words(),
                "records became dead letters: {} holds each with its bytes and reason",
                tables.state.dead_letters()
            );
            false
        });
    }

    /// A block is committed: its alerts are published.
    pub(super) fn committed(&self, block: &StoredBlock) {
        let lane = &self.effects.lane(block.summary.lane).metrics;
        let mut fired: BTreeMap<(&str, &str), u64> = BTreeMap::new();
        for alert in block.alert_set().iter() {
            *fired.entry((alert.detector(), alert.severity().as_str())).or_default() += alert.firings().0;
        }
        for ((detector, severity), count) in fired {
            lane.alerts(detector, severity).fired(count);
        }
    }

    /// A row of the ledger says that views may lack a range.
    pub(super) fn views_unverified(&self, key: PartitionKey, range: OffsetRange) {
        if let Some(partition) = self.partitions.get(&key) {
            partition.metrics.views_unverified(range);
        }
    }

    /// The metrics, for what ends elsewhere.
    pub(super) fn transactions(&self) -> Metrics {
        self.metrics.clone()
    }

    /// What the protocol has to say.
    pub(super) fn note(&mut self, note: Note) {
        match note {
            Note::Takeover(lane, why, partitions) => {
                self.takeovers.insert(lane, clock::now());
                // A look at a halted partition every few seconds is no news.
                if why != Why::Recheck {
                    self.effects.lane(lane).metrics.takeover_began(why, partitions);
                }
            }
            Note::TakeoverFailed(lane, step, text) => {
                self.effects.lane(lane).metrics.takeover_failed(step, &text);
                let now = clock::unix_ms();
                for (_, partition) in self.partitions.iter_mut().filter(|(key, _)| key.lane == lane) {
                    partition.last_error = Some(TimedError { unix_ms: now, text: format!("{step}: {text}") });
                }
            }
            Note::Resumed(key, start) => {
                if let Some(partition) = self.partitions.get_mut(&key) {
                    partition.position = Some(start.fetch_from());
                    partition.lag.resumed();
                    partition.unreadable = None;
                    partition.metrics.resumed(start.fetch_from());
                    if let Some(damaged) = start.damaged {
                        partition.metrics.rewound(damaged);
                    }
                }
                if start.cause == crate::protocol::resolve::StartCause::Moved {
                    let topic = &self.effects.lane(key.lane).tables.cell.topic;
                    tracing::warn!(
                        topic, partition = %key.partition, offset = %start.commit,
                        "the committed offset was moved by another tool: going on from there; what is stored is not \
                         inserted again, and alerts of the last two blocks may repeat with the same id"
                    );
                }
            }
            // The insert itself is logged and counted where it ended.
            Note::InsertFailed(..) => {}
            Note::TransactionFailed(_) => {}
            Note::ProducerFailed(text) => self.metrics.producer_failed(&text),
            Note::TakeoverDone(lane, partitions) => {
                if let Some(began) = self.takeovers.remove(&lane) {
                    self.effects.lane(lane).metrics.takeover_ended(partitions, clock::now() - began);
                }
            }
            Note::SearchBegan(lane, rows, error) => self.search_began(lane, rows, &error),
            Note::SearchEnded(lane) => self.search_ended(lane),
            Note::Condemned(key, offset, error) => self.condemned(key, offset, &error),
        }
    }

    /// A partition stands still. Gives the statement that keeps a sample of the records that it stopped for, where it did.
    pub(super) fn halted(&mut self, key: PartitionKey, reason: &HaltReason) -> Option<String> {
        let partition = self.partitions.get_mut(&key)?;
        let now = clock::unix_ms();
        let mut sample = None;
        if let HaltReason::BadShare { dead, .. } = reason {
            let tables = &self.effects.lane(key.lane).tables;
            let letters = self.dropped.as_deref();
            let offences = letters.map(|letters| Offences::of(letters, key.partition, now));
            // Where a search has found them the block at hand is one of many.
            let counted = letters.zip(offences).filter(|(_, offences)| offences.records() == *dead);
            partition.offenders = counted.as_ref().map(|(_, offences)| {
                format!("{}; {} keeps the first of each", offences.words(), tables.state.halted_samples())
            });
            sample = counted.and_then(|(letters, offences)| {
                offences.keep_samples(letters, key.partition, &tables.state.halted_samples(), &tables.cell)
            });
        }
        let text = partition.why_halted(reason);
        if partition.last_error.as_ref().is_none_or(|error| error.text != text) {
            partition.metrics.halted(reason.code(), &text);
        }
        partition.last_error = Some(TimedError { unix_ms: now, text });
        sample
    }

    /// The next batch of a partition cannot be read: it stands still, the others go on.
    pub(super) fn unreadable(&mut self, key: PartitionKey, at: Offset, text: String) {
        let Some(partition) = self.partitions.get_mut(&key) else { return };
        let reason = format!("the batch at offset {at} cannot be read, it is tried again: {text}");
        if partition.unreadable.as_ref() != Some(&reason) {
            partition.metrics.unreadable(at, &reason);
        }
        partition.last_error = Some(TimedError { unix_ms: clock::unix_ms(), text: reason.clone() });
        partition.unreadable = Some(reason);
    }

    /// It was read after all.
    pub(super) fn readable(&mut self, key: PartitionKey) {
        if let Some(partition) = self.partitions.get_mut(&key)
            && partition.unreadable.take().is_some()
        {
            partition.metrics.readable();
        }
    }

    /// A partition cannot be fetched.
    pub(super) fn fetch_failed(&mut self, key: PartitionKey, text: &str) {
        if let Some(partition) = self.partitions.get_mut(&key) {
            partition.last_error = Some(TimedError { unix_ms: clock::unix_ms(), text: text.to_owned() });
        }
        let topic = &self.effects.lane(key.lane).tables.cell.topic;
        if let Some(held_back) = self.metrics.throttled().permit(&format!("fetch {topic} {text}"), clock::now()) {
            tracing::warn!(topic, partition = %key.partition, error = text, held_back, "a partition cannot be fetched");
        }
    }

    /// News of the group; some of them end the process or this consumer.
    pub(super) fn group_event(&self, event: GroupEvent) -> Option<Ended> {
        let (text, ended) = match event {
            GroupEvent::Fenced { text } => return Some(Ended::DuplicateInstance(text)),
            GroupEvent::Fatal { text } => return Some(Ended::ConsumerFailed(text)),
            GroupEvent::ServedTooLate { text }
            | GroupEvent::UnknownTopic { text }
            | GroupEvent::Denied { text }
            | GroupEvent::Trouble { text } => (text, None),
            GroupEvent::Assigned(_) | GroupEvent::Revoked(_) => return None,
        };
        self.change(|status| status.kafka.failed(clock::unix_ms(), text.as_str()));
        if let Some(held_back) = self.metrics.throttled().permit(&format!("kafka {text}"), clock::now()) {
            tracing::warn!(error = text, held_back, "kafka has a problem; waiting for it to pass");
        }
        ended
    }

    /// The process was told to stop.
    pub(super) fn stopping(&self, drain_timeout: Duration) {
        tracing::info!(?drain_timeout, "stopping: finishing what is under way");
        self.change(|status| status.state = ProcessState::Stopping);
    }

    /// Where the partitions end now, for their lag. Gives those that were not read to their end.
    pub(super) fn log_ends(&mut self, ends: &BTreeMap<PartitionKey, LogEnd>) -> Vec<PartitionKey> {
        let now = clock::unix_ms();
        let mut behind = Vec::new();
        for (key, end) in ends {
            if let Some(partition) = self.partitions.get_mut(key) {
                partition.lag.measured(*end, now);
                if partition.position.is_some_and(|position| partition.lag.goes_on_behind(position)) {
                    behind.push(*key);
                }
            }
        }
        behind
    }

    /// A partition was read past offsets that hold no record.
    pub(super) fn passed(&mut self, key: PartitionKey, range: OffsetRange) {
        if let Some(partition) = self.partitions.get_mut(&key) {
            partition.position = Some(range.end());
            partition.lag.passed(range);
        }
    }

    /// Offsets behind the last record that was read are gone from Kafka, and they held none: they look like a gap to whoever
    /// compares the last record with the start of the log.
    fn tell_harmless_removal(&self, key: PartitionKey, facts: &Facts) {
        let Some(committed) = &facts.committed else { return };
        let anchor = committed.metadata.and_then(|metadata| metadata.anchor);
        let Some(read) = anchor.map(|anchor| anchor.offset.next()) else { return };
        let start = facts.log.start();
        if read < start && start <= committed.offset {
            let topic = &self.effects.lane(key.lane).tables.cell.topic;
            tracing::info!(
                topic, partition = %key.partition, range = %OffsetRange::new(read, start),
                "offsets are gone from kafka that held no record for a reader of committed data (markers of transactions, \
                 aborted records): nothing is missing"
            );
        }
    }

    /// The partitions whose ends are to be asked for.
    pub(super) fn keys(&self) -> Vec<PartitionKey> {
        self.partitions.keys().copied().collect()
    }

    /// Puts the status together and shows it.
    pub(super) fn publish(&mut self, state: &State, memory_bytes: u64) {
        self.tell_dead_letters();
        let now = clock::unix_ms();
        let views: BTreeMap<PartitionKey, PartitionView<'_>> = state.overview().collect();
        let paused: BTreeSet<LaneId> =
            self.effects.lanes.keys().copied().filter(|lane| self.is_paused(*lane)).collect();
        let effects = Arc::clone(&self.effects);
        let partitions = self.partitions.iter_mut().map(|(key, partition)| {
            let tables = &effects.lane(key.lane).tables;
            let view = views.get(key).copied().unwrap_or(PartitionView::Waiting);
            let mut status = partition.status(&tables.cell.topic, &tables.cell.target.to_string(), *key, view, now);
            if status.state == PartitionState::Running && paused.contains(&key.lane) {
                status.state = PartitionState::Paused;
            }
            status
        });
        let partitions: Vec<PartitionStatus> = partitions.collect();
        for (lane, effects) in &self.effects.lanes {
            let assigned = self.partitions.keys().filter(|key| key.lane == *lane).count();
            let assigned = u64::try_from(assigned).expect("partitions are counted in 31 bits");
            effects.metrics.partitions(assigned, if paused.contains(lane) { assigned } else { 0 });
        }
        self.change(|status| {
            if status.state == ProcessState::Starting {
                status.state = ProcessState::Running;
            }
            status.updated_unix_ms = now;
            status.memory.bytes = memory_bytes;
            status.partitions = partitions;
            status.schema_registry = self.schemas.as_ref().map(Schemas::status);
            self.metrics.memory(memory_bytes, status.memory.bytes_max);
        });
    }

    fn is_paused(&self, lane: LaneId) -> bool {
        let since = [self.held.get(&lane), self.awaiting.get(&lane), self.lacking.get(&lane)];
        since.into_iter().flatten().any(|since| since.elapsed() >= PAUSED_AFTER)
    }
}

impl Drop for Report {
    /// The consumer has ended: its partitions are somebody else's, and a topic may be gone for good.
    fn drop(&mut self) {
        self.revoked(&self.partitions.keys().copied().collect());
        for lane in self.effects.lanes.values() {
            lane.metrics.partitions(0, 0);
        }
    }
}

impl Partition {
    fn why_halted(&self, reason: &HaltReason) -> String {
        match (&self.offenders, reason) {
            (Some(offenders), HaltReason::BadShare { .. }) => format!("{reason}. Of this block: {offenders}"),
            _ => reason.to_string(),
        }
    }

    fn status(
        &mut self,
        topic: &str,
        table: &str,
        key: PartitionKey,
        view: PartitionView<'_>,
        now_unix_ms: i64,
    ) -> PartitionStatus {
        let (state, committed, halted) = match view {
            PartitionView::Waiting => (PartitionState::Waiting, None, None),
            PartitionView::TakingOver => (PartitionState::TakingOver, None, None),
            PartitionView::Running { committed } => match &self.unreadable {
                None => (PartitionState::Running, Some(committed), None),
                Some(reason) => {
                    let halted = Halted { code: "unreadable_batch".to_owned(), reason: reason.clone() };
                    (PartitionState::Halted, Some(committed), Some(halted))
                }
            },
            PartitionView::Halted(reason) => {
                let halted = Halted { code: reason.code().to_owned(), reason: self.why_halted(reason) };
                (PartitionState::Halted, None, Some(halted))
            }
        };
        let lag_records = committed.and_then(|committed| self.lag.records(committed, now_unix_ms));
        let oldest_age_s = self.oldest_ms.map(|oldest| age(now_unix_ms, oldest).as_secs_f64());
        let lag_seconds = lag_records.and_then(|records| self.lag.seconds(records, oldest_age_s, now_unix_ms));
        if let Some(records) = lag_records {
            self.metrics.lag(records, Duration::from_secs_f64(lag_seconds.unwrap_or(0.0)));
        }
        self.metrics.open_transaction(self.lag.open_seconds(now_unix_ms));
        let open_transaction = self.lag.open_transaction(now_unix_ms);
        let open_transaction =
            open_transaction.map(|(offset, since_unix_ms)| OpenTransaction { offset: offset.get(), since_unix_ms });
        PartitionStatus {
            topic: topic.to_owned(),
            table: table.to_owned(),
            partition: key.partition.0,
            state,
            position: self.position.map(Offset::get),
            committed: committed.map(Offset::get),
            lag_records,
            lag_seconds,
            open_transaction,
            last_insert_unix_ms: self.last_insert_unix_ms,
            last_error: self.last_error.clone(),
            dead_letters: self.dead_letters.counts(),
            halted,
        }
    }
}

/// How long ago a Kafka timestamp was; a clock that is ahead of ours makes no negative age.
fn age(now_unix_ms: i64, then_unix_ms: i64) -> Duration {
    Duration::from_millis(u64::try_from(now_unix_ms.saturating_sub(then_unix_ms)).unwrap_or(0))
}

/// Which tables count as a block being stored.
pub(super) fn stores_block(table: Table, end: &InsertEnd) -> bool {
    table == Table::Ledger && *end == InsertEnd::Acknowledged
}
