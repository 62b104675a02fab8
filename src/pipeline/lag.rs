//! How far a partition is behind, as a reader of committed data counts.
//!
//! Takes what brokers, source and protocol say of it, gives what people see. Caught up is 0: what lies above the last stable
//! offset cannot be read yet, and a marker or an aborted record never can.

use crate::types::{Offset, OffsetRange};

/// Where a log ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LogEnd {
    /// For a reader of committed data: the last stable offset.
    pub(super) stable: Offset,
    /// For everybody else.
    pub(super) high_watermark: Offset,
}

/// A transaction that has been open for this long is worth a word: others end between two questions.
const OPEN_SHOWN_AFTER_MS: i64 = 5_000;

/// What is known of one partition.
#[derive(Debug, Default)]
pub(super) struct Lag {
    end: Option<LogEnd>,
    /// Offsets without a record that the reader is past, and which need not be committed yet.
    passed: Option<OffsetRange>,
    /// When nothing was left to commit.
    caught_up_ms: Option<i64>,
    /// The last stable offset that stands still below the end, and since when.
    open: Option<(Offset, i64)>,
}

impl Lag {
    /// The brokers said where the log ends.
    pub(super) fn measured(&mut self, end: LogEnd, now_ms: i64) {
        self.end = Some(end);
        let same = self.open.filter(|(offset, _)| *offset == end.stable);
        self.open = (end.stable < end.high_watermark).then(|| same.unwrap_or((end.stable, now_ms)));
    }

    /// The reader went past offsets that hold no record.
    pub(super) fn passed(&mut self, range: OffsetRange) {
        let joined = self.passed.filter(|before| before.end() == range.start());
        self.passed = Some(joined.map_or(range, |before| OffsetRange::new(before.start(), range.end())));
    }

    /// A takeover has ended: what was passed before it is passed again.
    pub(super) fn resumed(&mut self) {
        self.passed = None;
    }

    /// Whether the log goes on behind this position.
    pub(super) fn goes_on_behind(&self, position: Offset) -> bool {
        self.end.is_some_and(|end| end.stable > position)
    }

    /// Offsets that are not committed and may hold a record; `None` where the log's end is not known yet.
    pub(super) fn records(&mut self, committed: Offset, now_ms: i64) -> Option<u64> {
        let settled = self.passed.filter(|passed| passed.start() <= committed).map_or(committed, |passed| passed.end());
        let records = self.end?.stable.get().saturating_sub(settled.max(committed).get());
        if records == 0 {
            self.caught_up_ms = Some(now_ms);
        }
        Some(records)
    }

    /// The age of the oldest record that is not committed. One that came after all was committed has waited no longer than
    /// since then.
    pub(super) fn seconds(&self, records: u64, oldest_age_s: Option<f64>, now_ms: i64) -> Option<f64> {
        if records == 0 {
            return Some(0.0);
        }
        let waited = self.caught_up_ms.map(|then| seconds_since(then, now_ms));
        match (oldest_age_s, waited) {
            (Some(age), Some(waited)) => Some(age.min(waited)),
            (age, waited) => age.or(waited),
        }
    }

    /// The transaction that keeps records from being read: where it begins, and since when it is seen.
    pub(super) fn open_transaction(&self, now_ms: i64) -> Option<(Offset, i64)> {
        self.open.filter(|(_, since)| now_ms - since >= OPEN_SHOWN_AFTER_MS)
    }

    /// For how long a transaction has been seen open; 0 where none is.
    pub(super) fn open_seconds(&self, now_ms: i64) -> f64 {
        self.open_transaction(now_ms).map_or(0.0, |(_, since)| seconds_since(since, now_ms))
    }
}

fn seconds_since(then_ms: i64, now_ms: i64) -> f64 {
    let waited = u64::try_from(now_ms.saturating_sub(then_ms)).unwrap_or(0);
    std::time::Duration::from_millis(waited).as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(stable: u64, high_watermark: u64) -> LogEnd {
        LogEnd { stable: Offset::new(stable), high_watermark: Offset::new(high_watermark) }
    }

    fn range(start: u64, end: u64) -> OffsetRange {
        OffsetRange::new(Offset::new(start), Offset::new(end))
    }

    #[test]
    fn caught_up_is_zero_for_a_reader_of_committed_data() {
        let check = |end: LogEnd, passed: &[OffsetRange], committed: u64, expected: u64| {
            let mut lag = Lag::default();
            lag.measured(end, 0);
            passed.iter().for_each(|range| lag.passed(*range));
            let records = lag.records(Offset::new(committed), 0);
            assert_eq!(records, Some(expected), "{end:?} {passed:?} {committed}");
        };
        check(end(10, 10), &[], 10, 0);
        check(end(12, 12), &[], 10, 2);
        // A marker behind the last record, then aborted records and their marker.
        check(end(11, 11), &[range(10, 11)], 10, 0);
        check(end(513, 513), &[range(10, 11), range(11, 513)], 10, 0);
        // Records before what was passed wait to be committed.
        check(end(11, 11), &[range(10, 11)], 7, 4);
        check(end(20, 20), &[range(10, 11), range(19, 20)], 10, 10);
        // What is committed says more than what was passed.
        check(end(20, 20), &[range(10, 11)], 20, 0);
        // What an open transaction holds back cannot be read.
        check(end(10, 21), &[], 10, 0);
        let mut lag = Lag::default();
        assert_eq!(lag.records(Offset::new(1), 0), None);
        lag.measured(end(11, 11), 0);
        lag.passed(range(10, 11));
        lag.resumed();
        assert_eq!(lag.records(Offset::new(10), 0), Some(1));
    }

    #[test]
    fn a_record_waits_since_it_could_be_read() {
        let mut lag = Lag::default();
        lag.measured(end(10, 10), 0);
        assert_eq!(lag.seconds(10, None, 5_000), None);
        assert_eq!(lag.seconds(10, Some(7.0), 5_000), Some(7.0));
        assert_eq!(lag.records(Offset::new(10), 1_000), Some(0));
        assert_eq!(lag.seconds(0, Some(7.0), 5_000), Some(0.0));
        // The last block's oldest record says nothing of what came an hour later.
        assert_eq!(lag.seconds(3, Some(3_600.0), 3_000), Some(2.0));
        assert_eq!(lag.seconds(3, Some(0.5), 3_000), Some(0.5));
        assert_eq!(lag.seconds(3, None, 3_000), Some(2.0));
    }

    #[test]
    fn a_transaction_that_stays_open_is_told() {
        let mut lag = Lag::default();
        lag.measured(end(10, 12), 1_000);
        assert_eq!(lag.open_transaction(5_999), None);
        lag.measured(end(10, 14), 6_000);
        assert_eq!(lag.open_transaction(6_000), Some((Offset::new(10), 1_000)));
        assert!((lag.open_seconds(6_000) - 5.0).abs() < 1e-9);
        // Another one, and none.
        lag.measured(end(12, 14), 7_000);
        assert_eq!(lag.open_transaction(8_000), None);
        lag.measured(end(14, 14), 20_000);
        assert_eq!(lag.open_transaction(90_000), None);
        assert!(lag.open_seconds(90_000).abs() < 1e-9);
    }
}
