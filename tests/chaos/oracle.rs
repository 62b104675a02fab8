//! The oracle: compares what Kafka holds with what ClickHouse holds, while the faults go on and afterwards.
//!
//! Knows nothing of the connector but its promise and its tables. All sums over rows are made by ClickHouse.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use rdkafka::consumer::BaseConsumer;

use crate::reader::{Reader, read_chunk};
use crate::tally::{CHUNK, ChunkOf, DEAD, Difference, Fate, Sum, Tally, compare, compare_exactly};
use crate::world::{NAME, TABLE, World};

/// Chunks that are looked at record by record when something is wrong.
const EXPLAINED_MAX: usize = 50;

/// What a comparison of everything found.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    pub(crate) rows: u64,
    pub(crate) dead: u64,
    pub(crate) lost: u64,
    pub(crate) doubled: u64,
    pub(crate) wrong: u64,
    /// What is wrong, in words.
    pub(crate) faults: Vec<String>,
}

/// The oracle of a run.
pub(crate) struct Oracle {
    world: Arc<World>,
    client: BaseConsumer,
    /// The first chunk of each partition that was not compared yet.
    next_chunk: BTreeMap<i32, u64>,
}

impl Oracle {
    pub(crate) fn new(world: &Arc<World>) -> Self {
        Self { client: world.group_client(), world: Arc::clone(world), next_chunk: BTreeMap::new() }
    }

    /// What must hold at every moment: nothing twice, and everything below the committed offsets is there. Gives what
    /// is wrong; an error where a server cannot be asked.
    pub(crate) fn check(&mut self, reader: &Reader) -> Result<Vec<String>, String> {
        self.count_stored()?;
        // Read before the rows are: an offset that is committed later promises nothing yet.
        let committed = self.world.committed(&self.client)?;
        let (mut conditions, mut expected) = (Vec::new(), BTreeMap::new());
        {
            let known = reader.expected();
            for (partition, position) in &known.positions {
                let end = committed.get(partition).copied().unwrap_or(0).min(*position) / CHUNK;
                let start = self.next_chunk.get(partition).copied().unwrap_or(0);
                if end > start {
                    let range = known.chunks.range((*partition, start)..(*partition, end));
                    expected.extend(range.map(|(chunk, tally)| (*chunk, *tally)));
                    conditions.push((*partition, start, end));
                }
            }
        }
        let mut faults = Vec::new();
        if !conditions.is_empty() {
            let stored = self.stored(&conditions)?;
            let differences = compare(&expected, &stored);
            if !differences.is_empty() {
                let verdict = self.explain(&differences)?;
                faults.push(format!("below the committed offsets {committed:?}:"));
                faults.extend(verdict.faults);
            }
            self.next_chunk.extend(conditions.iter().map(|(partition, _, end)| (*partition, *end)));
        }
        faults.extend(self.doubled_above()?);
        Ok(faults)
    }

    /// Rows that are there twice among those that [`Oracle::check`] does not compare yet.
    fn doubled_above(&self) -> Result<Vec<String>, String> {
        let above: Vec<String> = self
            .world
            .partition_numbers()
            .map(|partition| {
                let start = self.next_chunk.get(&partition).copied().unwrap_or(0) * CHUNK;
                format!("(_partition = {partition} AND _offset >= {start})")
            })
            .collect();
        let sql = format!(
            "SELECT _partition, count(), uniqExact(_offset), min(_offset), max(_offset) FROM {TABLE} WHERE {} \
             GROUP BY _partition HAVING count() != uniqExact(_offset)",
            above.join(" OR ")
        );
        let text = self.query(&sql)?;
        Ok(text.lines().map(|line| format!("doubled (partition, rows, offsets, first, last): {line}")).collect())
    }

    /// Counts rows and dead letters, for whoever wants to know how far it is.
    pub(crate) fn count_stored(&self) -> Result<u64, String> {
        let sql = format!(
            "SELECT sum(total_rows) FROM system.tables \
             WHERE (concat(database, '.', name) = '{TABLE}') OR (database = '{NAME}' AND name = 'dead_letters')"
        );
        let stored = self.query(&sql)?.trim().parse().map_err(|error| format!("{error}"))?;
        self.world.stored.store(stored, Ordering::SeqCst);
        Ok(stored)
    }

    /// Whether everything in the topic is stored and committed; else how far it is.
    pub(crate) fn drained(&self, reader: &Reader) -> Result<Result<(), (u64, u64)>, String> {
        let stored = self.count_stored()?;
        let committed = self.world.committed(&self.client)?;
        let known = reader.expected();
        let all = known.positions.iter().all(|(partition, end)| committed.get(partition).is_some_and(|at| at >= end));
        let progress = (stored, committed.values().sum());
        Ok(if all && stored >= known.records { Ok(()) } else { Err(progress) })
    }

    /// Compares everything.
    pub(crate) fn compare_all(&self, reader: &Reader) -> Result<Verdict, String> {
        let all: Vec<_> = self.world.partition_numbers().map(|partition| (partition, 0, u64::MAX / CHUNK)).collect();
        let stored = self.stored(&all)?;
        let differences = compare(&reader.expected().chunks, &stored);
        let mut verdict = self.explain(&differences)?;
        verdict.rows = stored.values().map(|tally| tally.rows.count).sum();
        verdict.dead = stored.values().map(|tally| tally.dead.count).sum();
        let foreign = self.query(&format!(
            "SELECT countIf(v = 255), countIf(_topic != '{NAME}'), countIf(_replay != 0), countIf(_partition < 0 OR _partition >= {}) \
             FROM {TABLE}",
            self.world.partition_numbers().end
        ))?;
        if foreign.trim() != "0\t0\t0\t0" {
            verdict.faults.push(format!("rows of aborted records, other topics, replays, partitions: {foreign}"));
        }
        Ok(verdict)
    }

    /// The sums that ClickHouse makes for these ranges of chunks.
    fn stored(&self, ranges: &[(i32, u64, u64)]) -> Result<BTreeMap<ChunkOf, Tally>, String> {
        let mut found: BTreeMap<ChunkOf, Tally> = BTreeMap::new();
        let rows = format!(
            "SELECT _partition AS p, intDiv(_offset, {CHUNK}) AS k, count(), sum(intHash64(_offset * 1024 + v)) \
             FROM {TABLE} WHERE {} GROUP BY p, k",
            condition(ranges, "_partition", "_offset")
        );
        for (chunk, sum) in parse(&self.query(&rows)?)? {
            found.entry(chunk).or_default().rows = sum;
        }
        let dead = format!(
            "SELECT kafka_partition AS p, intDiv(kafka_offset, {CHUNK}) AS k, count(), \
             sum(intHash64(kafka_offset * 1024 + {DEAD})) FROM {NAME}.dead_letters WHERE {} GROUP BY p, k",
            condition(ranges, "kafka_partition", "kafka_offset")
        );
        for (chunk, sum) in parse(&self.query(&dead)?)? {
            found.entry(chunk).or_default().dead = sum;
        }
        Ok(found)
    }

    /// Looks at chunks that differ record by record, reading the topic again.
    fn explain(&self, differences: &[Difference]) -> Result<Verdict, String> {
        let mut verdict = Verdict::default();
        for difference in differences.iter().take(EXPLAINED_MAX) {
            let (partition, chunk) = difference.chunk;
            let (start, end) = (chunk * CHUNK, (chunk + 1) * CHUNK);
            let sql = format!(
                "SELECT _offset, toInt32(v), _part FROM {TABLE} WHERE _partition = {partition} AND _offset >= {start} AND _offset < {end} \
                 UNION ALL SELECT kafka_offset, -1, _part FROM {NAME}.dead_letters \
                 WHERE kafka_partition = {partition} AND kafka_offset >= {start} AND kafka_offset < {end}"
            );
            let text = self.query(&sql)?;
            let stored: Vec<(u64, Fate)> = text.lines().filter_map(unit).collect();
            let exact = compare_exactly(&read_chunk(&self.world, difference.chunk), &stored);
            let count = |list: &[u64]| u64::try_from(list.len()).expect("at most a chunk");
            verdict.lost += count(&exact.lost);
            verdict.doubled += count(&exact.doubled);
            verdict.wrong += count(&exact.wrong);
            let mut words = format!("partition {partition}, offsets {start} to {end}:");
            for (what, list) in [("lost", &exact.lost), ("doubled", &exact.doubled), ("wrong", &exact.wrong)] {
                if let (Some(first), Some(last)) = (list.first(), list.last()) {
                    write!(words, " {} {what} ({first} to {last})", list.len()).unwrap();
                    let parts: Vec<&str> =
                        text.lines().filter(|line| line.starts_with(&format!("{first}\t"))).collect();
                    write!(words, " {parts:?}").unwrap();
                }
            }
            verdict.faults.push(words);
        }
        if differences.len() > EXPLAINED_MAX {
            verdict.faults.push(format!("{} chunks differ in all", differences.len()));
        }
        Ok(verdict)
    }

    /// For each partition the offsets of the last two blocks: their alerts may come again after a foreign rewind.
    pub(crate) fn last_two_blocks(&self) -> Result<Vec<(i32, u64, u64)>, String> {
        let text = self.query(&format!(
            "SELECT partition, min(start_offset), max(end_offset) FROM (SELECT partition, start_offset, end_offset \
             FROM {NAME}.ledger WHERE topic = '{NAME}' \
             ORDER BY inserted_at DESC, end_offset DESC LIMIT 2 BY partition) GROUP BY partition"
        ))?;
        text.lines()
            .map(|line| {
                let mut fields = line.split('\t').map(str::parse::<u64>);
                let mut next = || fields.next().and_then(Result::ok).ok_or_else(|| format!("bad line {line:?}"));
                Ok((i32::try_from(next()?).map_err(|error| error.to_string())?, next()?, next()?))
            })
            .collect()
    }

    fn query(&self, sql: &str) -> Result<String, String> {
        self.world.engine.query(sql).map_err(|error| format!("{error:#}"))
    }
}

fn condition(ranges: &[(i32, u64, u64)], partition: &str, offset: &str) -> String {
    let of = |(number, start, end): &(i32, u64, u64)| {
        let (start, end) = (start * CHUNK, end * CHUNK);
        format!("({partition} = {number} AND {offset} >= {start} AND {offset} < {end})")
    };
    ranges.iter().map(of).collect::<Vec<_>>().join(" OR ")
}

fn parse(text: &str) -> Result<Vec<(ChunkOf, Sum)>, String> {
    let line = |line: &str| {
        let fields: Vec<&str> = line.split('\t').collect();
        let [partition, chunk, count, hash] = fields[..] else { return None };
        let sum = Sum { count: count.parse().ok()?, hash: hash.parse().ok()? };
        Some(((partition.parse().ok()?, chunk.parse().ok()?), sum))
    };
    text.lines().map(|of| line(of).ok_or_else(|| format!("bad line {of:?}"))).collect()
}

fn unit(line: &str) -> Option<(u64, Fate)> {
    let mut fields = line.split('\t');
    let offset = fields.next()?.parse().ok()?;
    let value: i32 = fields.next()?.parse().ok()?;
    Some((offset, u8::try_from(value).map_or(Fate::Dead, Fate::Row)))
}
