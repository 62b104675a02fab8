//! What happens to one partition.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use metrics::{Counter, Gauge};
use tracing::{error, info, warn};

use super::account::Skip;
use super::definitions as names;
use super::registry::{Registry, float};
use crate::types::{Offset, OffsetRange, Partition};

/// The handles of one partition of a lane.
#[derive(Debug)]
pub struct PartitionMetrics {
    registry: Arc<Registry>,
    topic: Arc<str>,
    table: Arc<str>,
    partition: Partition,
    consumed: Counter,
    inserted: Counter,
    skipped: [Counter; Skip::ALL.len()],
    discarded: Counter,
    in_flight: Gauge,
    bytes_in: Counter,
    lag_records: Gauge,
    lag_seconds: Gauge,
    open_transaction_seconds: Gauge,
    halted: Gauge,
    rewinds: Counter,
    gaps: Counter,
    views_unverified: Counter,
    /// Made when a reason is first seen: most never are.
    dead: Mutex<BTreeMap<&'static str, Counter>>,
}

impl PartitionMetrics {
    pub(crate) fn new(registry: &Arc<Registry>, topic: &Arc<str>, table: &Arc<str>, partition: Partition) -> Self {
        let number = partition.to_string();
        let labels: [&str; 3] = [topic, table, &number];
        let counter = |metric| registry.counter(metric, &labels);
        let gauge = |metric| registry.gauge(metric, &labels);
        let skipped = Skip::ALL.map(|why| registry.counter(&names::SKIPPED, &[topic, table, &number, why.as_str()]));
        Self {
            registry: Arc::clone(registry),
            topic: Arc::clone(topic),
            table: Arc::clone(table),
            partition,
            consumed: counter(&names::RECORDS_CONSUMED),
            inserted: counter(&names::ROWS_INSERTED),
            skipped,
            discarded: counter(&names::DISCARDED),
            in_flight: gauge(&names::RECORDS_IN_FLIGHT),
            bytes_in: counter(&names::BYTES_IN),
            lag_records: gauge(&names::CONSUMER_LAG_RECORDS),
            lag_seconds: gauge(&names::CONSUMER_LAG_SECONDS),
            open_transaction_seconds: gauge(&names::OPEN_TRANSACTION_SECONDS),
            halted: gauge(&names::PARTITION_HALTED),
            rewinds: counter(&names::REWINDS),
            gaps: counter(&names::GAPS),
            views_unverified: counter(&names::VIEWS_UNVERIFIED),
            dead: Mutex::new(BTreeMap::new()),
        }
    }

    /// For how long a transaction of a producer has kept records from being read; 0 where none does.
    pub fn open_transaction(&self, seconds: f64) {
        self.open_transaction_seconds.set(seconds);
    }

    /// How far the partition is behind: offsets that may hold a record up to the last stable one, and the age of the oldest record that is not committed.
    /// No log line: it is measured every few seconds.
    pub fn lag(&self, records: u64, age: Duration) {
        self.lag_records.set(float(records));
        self.lag_seconds.set(age.as_secs_f64());
    }

    /// The partition is consumed from `from`, after a takeover.
    pub fn resumed(&self, from: Offset) {
        self.halted.set(0.0);
        info!(topic = &*self.topic, partition = %self.partition, table = &*self.table, %from, "partition resumed");
    }

    /// The partition stands still until a person acts.
    pub fn halted(&self, code: &str, reason: &str) {
        self.halted.set(1.0);
        error!(
            topic = &*self.topic,
            partition = %self.partition,
            table = &*self.table,
            code,
            reason,
            "partition halted",
        );
    }

    /// The partition stands still until its next batch can be read.
    pub fn unreadable(&self, offset: Offset, reason: &str) {
        self.halted.set(1.0);
        error!(
            topic = &*self.topic,
            partition = %self.partition,
            table = &*self.table,
            %offset,
            reason,
            "a batch cannot be read: the partition stands still, the others go on",
        );
    }

    /// Its batch was read after all.
    pub fn readable(&self) {
        self.halted.set(0.0);
        info!(topic = &*self.topic, partition = %self.partition, table = &*self.table, "the batch could be read");
    }

    /// The group took the partition away. Its gauges go to 0: whoever has it now reports its lag.
    pub fn revoked(&self) {
        self.lag(0, Duration::ZERO);
        self.open_transaction(0.0);
        self.halted.set(0.0);
        info!(topic = &*self.topic, partition = %self.partition, table = &*self.table, "partition revoked");
    }

    /// ClickHouse does not show rows any more that it had acknowledged: they are inserted again.
    pub fn rewound(&self, damaged: OffsetRange) {
        self.rewinds.increment(1);
        error!(
            topic = &*self.topic,
            partition = %self.partition,
            table = &*self.table,
            %damaged,
            "acknowledged rows are not in the table any more (a restore, a power loss?): inserting them again",
        );
    }

    /// Kafka no longer has these offsets, and the configuration says to go on.
    pub fn gap(&self, range: OffsetRange) {
        self.gaps.increment(1);
        error!(
            topic = &*self.topic,
            partition = %self.partition,
            table = &*self.table,
            %range,
            "offsets are gone from kafka before they were consumed (retention): going on behind them",
        );
    }

    /// An insert with views was not acknowledged: the views may lack rows of this range.
    pub fn views_unverified(&self, range: OffsetRange) {
        self.views_unverified.increment(1);
        warn!(
            topic = &*self.topic,
            partition = %self.partition,
            table = &*self.table,
            %range,
            "materialized views may lack rows of this range: its first insert was not acknowledged",
        );
    }

    pub(crate) fn book_consumed(&self, records: u64, bytes: u64) {
        self.consumed.increment(records);
        self.bytes_in.increment(bytes);
        self.in_flight.increment(float(records));
    }

    pub(crate) fn book_acknowledged(&self, records: u64, inserted: u64) {
        self.in_flight.decrement(float(records));
        self.inserted.increment(inserted);
    }

    pub(crate) fn book_replaced(&self, column: &str, policy: &'static str, values: u64) {
        self.registry.counter(&names::VALUES_REPLACED, &[&self.topic, &self.table, column, policy]).increment(values);
    }

    pub(crate) fn book_skipped(&self, why: Skip, records: u64) {
        for (counter, known) in self.skipped.iter().zip(Skip::ALL) {
            if known == why {
                counter.increment(records);
            }
        }
    }

    pub(crate) fn book_dead(&self, reason: &'static str, records: u64) {
        self.dead
            .lock()
            .expect("nothing panics while it holds this lock")
            .entry(reason)
            .or_insert_with(|| {
                let partition = self.partition.to_string();
                self.registry.counter(&names::DEAD_LETTERS, &[&self.topic, &self.table, &partition, reason])
            })
            .increment(records);
    }

    pub(crate) fn book_discarded(&self, records: u64) {
        self.in_flight.decrement(float(records));
        self.discarded.increment(records);
    }
}
