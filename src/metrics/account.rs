//! The books: every record of a block is booked when the block closes, and once more when its fate is known.
//!
//! For each partition, at any time and in every scrape:
//! consumed = inserted + dead letters + skipped + discarded + in flight.
//! Where a record makes several rows each of them counts, and a record without rows counts once.

use std::sync::Arc;

use super::partition::PartitionMetrics;
use super::registry::Registry;

/// Why a record, or a row of one that makes several, needed no insert.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Skip {
    /// Its row is in the target: an earlier owner stored it.
    Present,
    /// It is among the dead letters already.
    DeadLetterPresent,
    /// A tombstone.
    Tombstone,
    /// The ledger proves that it was stored; it was removed since, on purpose.
    Removed,
    /// The configured filter leaves it out.
    Filtered,
    /// It makes no row: an empty list, or no line.
    Empty,
}

impl Skip {
    pub(crate) const ALL: [Self; 6] =
        [Self::Present, Self::DeadLetterPresent, Self::Tombstone, Self::Removed, Self::Filtered, Self::Empty];

    /// Why a record that makes no row on purpose does so.
    pub fn on_purpose(has_value: bool) -> Self {
        if has_value { Self::Filtered } else { Self::Tombstone }
    }

    /// The value of the label `why`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Present => "present",
            Self::DeadLetterPresent => "dead_letter_present",
            Self::Tombstone => "tombstone",
            Self::Removed => "removed",
            Self::Filtered => "filtered",
            Self::Empty => "empty",
        }
    }

    fn index(self) -> usize {
        match self {
            Self::Present => 0,
            Self::DeadLetterPresent => 1,
            Self::Tombstone => 2,
            Self::Removed => 3,
            Self::Filtered => 4,
            Self::Empty => 5,
        }
    }
}

/// What became of the records of one partition in one block: plain numbers, counted while the block fills.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BatchTally {
    inserted: u64,
    bytes: u64,
    skipped: [u64; Skip::ALL.len()],
    /// Values that did not fit and were replaced, by column and policy: few, as below.
    replaced: Vec<(String, &'static str, u64)>,
    /// By error code: few, so a list is quicker than a map.
    dead: Vec<(&'static str, u64)>,
}

impl BatchTally {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Records that become rows.
    pub fn inserted(&mut self, records: u64) {
        self.inserted += records;
    }

    /// Bytes of keys and values that were read, of all records alike.
    pub fn bytes(&mut self, bytes: u64) {
        self.bytes += bytes;
    }

    /// Records that need no insert.
    pub fn skipped(&mut self, why: Skip, records: u64) {
        self.skipped[why.index()] += records;
    }

    /// Records counted so far that need no insert.
    pub fn skips(&self) -> u64 {
        self.skipped.iter().sum()
    }

    /// Values of rows that did not fit a column and were replaced. `policy` is a label, so only fixed words.
    pub fn replaced(&mut self, column: &str, policy: &'static str, values: u64) {
        match self.replaced.iter_mut().find(|(known, by, _)| known == column && *by == policy) {
            Some((_, _, before)) => *before += values,
            None => self.replaced.push((column.to_owned(), policy, values)),
        }
    }

    /// A record that becomes a dead letter. `reason` is its error code: a label, so only fixed words.
    pub fn dead(&mut self, reason: &'static str) {
        match self.dead.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, records)) => *records += 1,
            None => self.dead.push((reason, 1)),
        }
    }

    /// All records counted so far.
    pub fn records(&self) -> u64 {
        self.inserted + self.skipped.iter().sum::<u64>() + self.dead.iter().map(|(_, records)| records).sum::<u64>()
    }
}

/// The records of a closed block, booked as in flight until it is known what became of them.
///
/// An account that is dropped without [`BlockAccount::acknowledged`] is booked as discarded: its records are read
/// again. So the books balance on every way out.
#[derive(Debug)]
#[must_use = "dropping an account books its records as discarded"]
pub struct BlockAccount {
    registry: Arc<Registry>,
    batches: Vec<(Arc<PartitionMetrics>, BatchTally)>,
}

impl BlockAccount {
    /// Books a block when it closes.
    pub(crate) fn open(registry: Arc<Registry>, batches: Vec<(Arc<PartitionMetrics>, BatchTally)>) -> Self {
        let accounts = registry.accounts();
        for (partition, tally) in &batches {
            partition.book_consumed(tally.records(), tally.bytes);
        }
        drop(accounts);
        Self { registry, batches }
    }

    /// The ledger's insert is acknowledged: rows and dead letters are in ClickHouse, whatever becomes of the offsets.
    /// A record that is read again because its offset was not committed is booked again, as skipped.
    pub fn acknowledged(mut self) {
        let batches = std::mem::take(&mut self.batches);
        let _accounts = self.registry.accounts();
        for (partition, tally) in &batches {
            partition.book_acknowledged(tally.records(), tally.inserted);
            for (column, policy, values) in &tally.replaced {
                partition.book_replaced(column, policy, *values);
            }
            for why in Skip::ALL {
                partition.book_skipped(why, tally.skipped[why.index()]);
            }
            for (reason, records) in &tally.dead {
                partition.book_dead(reason, *records);
            }
        }
    }

    /// The block is dropped: its records are read again.
    pub fn discarded(self) {
        // As said above, by being dropped.
    }
}

impl Drop for BlockAccount {
    fn drop(&mut self) {
        let _accounts = self.registry.accounts();
        for (partition, tally) in &self.batches {
            partition.book_discarded(tally.records());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Metrics;
    use super::*;
    use crate::types::Partition;

    /// The sum of all series of a metric that carry this label.
    fn sum(text: &str, name: &str, label: &str) -> u64 {
        text.lines()
            .filter(|line| line.starts_with(&format!("{name}{{")) && line.contains(label))
            .map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap())
            .sum()
    }

    #[test]
    fn the_books_balance_at_every_step() {
        let metrics = Metrics::new("readings");
        let lane = metrics.lane("readings", "iot.readings");
        let partitions = [lane.partition(Partition(0)), lane.partition(Partition(1))];
        let check = |step: &str, expected: [[u64; 6]; 2]| {
            let text = metrics.render();
            for (partition, expected) in expected.iter().enumerate() {
                let label = format!("partition=\"{partition}\"");
                let found = [
                    "oncesink_records_consumed_total",
                    "oncesink_rows_inserted_total",
                    "oncesink_dead_letters_total",
                    "oncesink_skipped_total",
                    "oncesink_discarded_total",
                    "oncesink_records_in_flight",
                ]
                .map(|name| sum(&text, name, &label));
                assert_eq!(&found, expected, "{step}, partition {partition}");
                assert_eq!(found[0], found[1..].iter().sum::<u64>(), "{step}, partition {partition}");
            }
        };
        let tally = || {
            let mut tally = BatchTally::new();
            tally.inserted(5);
            tally.bytes(1000);
            tally.skipped(Skip::Present, 2);
            tally.skipped(Skip::Tombstone, 1);
            tally.dead("out_of_range");
            tally.dead("out_of_range");
            tally.dead("invalid_json");
            tally
        };
        let block = |count: usize| {
            lane.block_closed(partitions.iter().take(count).map(|partition| (Arc::clone(partition), tally())).collect())
        };
        assert_eq!(tally().records(), 11);
        check("start", [[0; 6]; 2]);
        let both = block(2);
        check("closed", [[11, 0, 0, 0, 0, 11]; 2]);
        let first = block(1);
        check("second closed", [[22, 0, 0, 0, 0, 22], [11, 0, 0, 0, 0, 11]]);
        both.acknowledged();
        check("acknowledged", [[22, 5, 3, 3, 0, 11], [11, 5, 3, 3, 0, 0]]);
        first.discarded();
        check("discarded", [[22, 5, 3, 3, 11, 0], [11, 5, 3, 3, 0, 0]]);
        let text = metrics.render();
        assert_eq!(sum(&text, "oncesink_dead_letters_total", "reason=\"out_of_range\""), 4);
        assert_eq!(sum(&text, "oncesink_skipped_total", "why=\"present\""), 4);
        assert_eq!(sum(&text, "oncesink_bytes_in_total", "topic=\"readings\""), 3000);
    }
}
