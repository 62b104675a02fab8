//! `make bench`: loads through the release binary, exactly once throughout, everything on this machine.
//!
//! Prints rows per CPU second of the connector (P1), rows per second end to end (P5), peak memory (P10), and what broker
//! and engine cost beside it. Variants take turns, run by run:
//!
//! - `BENCH_LOADS`: of `benches/load`, separated by commas (default `L1`);
//! - `BENCH_BINARIES`: paths of binaries to compare, separated by commas (default: this one);
//! - `BENCH_PROPERTIES`: properties of the client library to compare: `a: 1, b: 2; a: 2` are two variants (default: none).
//!
//! `BENCH_RECORDS` is the number of records (default 2,000,000; L1 itself is 8,000,000), `BENCH_RUNS` the number of
//! rounds (default 3), `BENCH_MEMORY` the connector's `memory_max` (default 192MiB), `BENCH_BATCH` its `batch`. A bench is not a test: it fails for
//! wrong results only.

#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

#[path = "../examples/demo/connector.rs"]
mod connector;
#[path = "../examples/demo/kafka.rs"]
mod kafka;
mod load;
#[path = "load/process.rs"]
mod process;
#[path = "load/target.rs"]
mod target;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use devstack::http::query;
use devstack::{Stack, StackOptions};

use connector::Connector;
use kafka::Kafka;
use target::{Config, table};

const PARTITIONS: i32 = 4;
/// What is slower than this does not move at all.
const STALLED_AFTER: Duration = Duration::from_secs(60);
/// Counting costs the engine 2 ms of CPU time: at twenty a second that was a tenth of what it spent.
const LOOK_EVERY: Duration = Duration::from_millis(200);

const METHOD: &str = "\
P1: records / CPU seconds of the connector (user and system, /proc/PID/stat) from its start to the last row visible
P5: rows after the first visible ones / time between first and last row visible (count() every 200 ms);
    in brackets: all rows / time from the start of the process
P10: VmHWM of the connector
CPU seconds per million rows; engine with merges; broker and engine only where they are the bench's own";

fn main() -> Result<()> {
    let records = number("BENCH_RECORDS", 2_000_000)?;
    let rounds = number("BENCH_RUNS", 3)?.max(1);
    let variants = variants()?;
    let stack = Stack::from_env_or_start(&StackOptions::default())?;
    let bench = Bench {
        kafka: Kafka::new(stack.bootstrap()),
        name: format!("bench_{:08x}", rand::random::<u32>()),
        folder: tempfile::tempdir()?,
        memory_max: text("BENCH_MEMORY", "192MiB"),
        batch: text("BENCH_BATCH", "linger: 1s, rows_max: 500000, bytes_max: 64MiB, inserts_per_second_max: 50"),
        records,
        stack,
    };
    let result = bench.run(&variants, rounds);
    let topics: BTreeSet<String> = variants.iter().map(|variant| bench.topic(variant.load)).collect();
    let deleted = bench.kafka.delete_topics(&topics.iter().map(String::as_str).collect::<Vec<_>>());
    result.and(deleted)
}

fn text(name: &str, default: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| default.to_owned())
}

fn number(name: &str, default: usize) -> Result<usize> {
    let text = text(name, &default.to_string());
    text.parse().with_context(|| format!("{name} is no number: {text}"))
}

/// Every load with every binary and every set of properties.
fn variants() -> Result<Vec<Variant>> {
    let (loads, binaries) = (text("BENCH_LOADS", "L1"), text("BENCH_BINARIES", env!("CARGO_BIN_EXE_oncesink")));
    let properties = text("BENCH_PROPERTIES", "");
    let mut variants = Vec::new();
    for name in loads.split(',') {
        let known = load::LOADS.into_iter().find(|load| load.name == name);
        let load = known.with_context(|| format!("there is no load {name}"))?;
        for binary in binaries.split(',') {
            variants.extend(properties.split(';').map(|properties| Variant {
                label: [name, if binaries.contains(',') { binary } else { "" }, properties.trim()].join(" "),
                load,
                binary: binary.into(),
                properties: properties.trim().to_owned(),
            }));
        }
    }
    Ok(variants)
}

/// What is compared.
struct Variant {
    label: String,
    load: load::Load,
    binary: PathBuf,
    properties: String,
}

struct Bench {
    kafka: Kafka,
    name: String,
    folder: tempfile::TempDir,
    memory_max: String,
    batch: String,
    records: usize,
    // Declared, and so dropped, last.
    stack: Stack,
}

/// One run.
struct Figures {
    rows_per_cpu_second: f64,
    rows_per_second: f64,
    rows_per_second_from_start: f64,
    peak_mib: f64,
    inserts: f64,
    connector: f64,
    /// Absent where the servers are not ours.
    engine: Option<f64>,
    broker: Option<f64>,
    threads: BTreeMap<String, f64>,
}

impl Bench {
    fn topic(&self, load: load::Load) -> String {
        format!("{}_{}", self.name, load.name)
    }

    fn run(&self, variants: &[Variant], rounds: usize) -> Result<()> {
        println!("{METHOD}\nmemory_max {}\n", self.memory_max);
        let mut loaded = BTreeSet::new();
        for variant in variants {
            if loaded.insert(variant.load.name) {
                self.load(variant.load)?;
            }
        }
        let mut all: Vec<Vec<Figures>> = variants.iter().map(|_| Vec::new()).collect();
        for round in 1..=rounds {
            for (at, variant) in variants.iter().enumerate() {
                let figures = self.one_run(variant, &format!("{}_{round}_{at}", self.name))?;
                println!("{} run {round}: {}", variant.label, figures.line());
                all[at].push(figures);
            }
        }
        for (variant, runs) in variants.iter().zip(&all) {
            println!("\n{}: median of {rounds} (lowest to highest)", variant.label);
            show("P1   connector, million rows per CPU second", runs, |run| run.rows_per_cpu_second / 1e6);
            show("P5   end to end, thousand rows/s", runs, |run| run.rows_per_second / 1e3);
            show("P10  peak memory of the connector, MiB", runs, |run| run.peak_mib);
            show("     connector, CPU s per million rows", runs, |run| run.connector);
            if runs.iter().all(|run| run.engine.is_some()) {
                show("     engine, CPU s per million rows", runs, |run| run.engine.unwrap_or(0.0));
                show("     broker, CPU s per million rows", runs, |run| run.broker.unwrap_or(0.0));
            }
            if let Some(last) = runs.last() {
                println!(
                    "     threads of the connector in the last run, CPU s per million rows: {}",
                    last.thread_line()
                );
            }
        }
        Ok(())
    }

    fn load(&self, load: load::Load) -> Result<()> {
        let began = now();
        let topic = self.topic(load);
        self.kafka.create_topics(&[(&topic, PARTITIONS)])?;
        let mut bytes = 0;
        let partitions = (0..PARTITIONS).cycle();
        let records = load.records().take(self.records).zip(partitions).map(|(payload, partition)| {
            bytes += payload.len();
            (partition, None, payload)
        });
        self.kafka.produce(&topic, records)?;
        println!(
            "{}: {} records of {} bytes, {PARTITIONS} partitions, lz4, produced in {:.0} s",
            load.name,
            self.records,
            bytes / self.records.max(1),
            began.elapsed().as_secs_f64()
        );
        Ok(())
    }

    fn one_run(&self, variant: &Variant, database: &str) -> Result<Figures> {
        let url = self.stack.clickhouse_url();
        query(url, &format!("CREATE DATABASE {database}"))?;
        query(url, &table(database, variant.load))?;
        let config = self.folder.path().join(format!("{database}.yaml"));
        let text = Config {
            database,
            topic: &self.topic(variant.load),
            brokers: self.stack.bootstrap(),
            clickhouse_url: url,
            memory_max: &self.memory_max,
            batch: &self.batch,
            properties: &variant.properties,
        };
        std::fs::write(&config, text.text())?;
        let result = self.measure(variant, database, &config);
        query(url, &format!("DROP DATABASE {database} SYNC"))?;
        if !self.stack.can_kill() {
            self.kafka.delete_group(database)?;
        }
        result
    }

    fn measure(&self, variant: &Variant, database: &str, config: &Path) -> Result<Figures> {
        let (broker, engine) = if self.stack.can_kill() {
            (Some(process::child("java")?), Some(process::child("python")?))
        } else {
            (None, None)
        };
        let cpu = |pid: Option<u32>| pid.map(process::cpu_seconds).transpose();
        let (broker_before, engine_before) = (cpu(broker)?, cpu(engine)?);
        let began = now();
        let mut running = Connector::start(&variant.binary, config, &[], config.with_extension("log"))?;
        let expected = self.records - variant.load.dead(self.records);
        let visible = self.wait(database, expected, &mut running, began);
        let (first, first_rows, last) = match visible {
            Ok(visible) => visible,
            Err(error) => bail!("{error:#}; the last lines of the connector's log:\n{}", running.log_tail()),
        };
        let pid = running.pid();
        let connector = process::cpu_seconds(pid)?;
        let (peak_mib, threads) = (process::peak_mib(pid)?, process::cpu_seconds_by_thread(pid)?);
        let (broker_after, engine_after) = (cpu(broker)?, cpu(engine)?);
        let status = running.terminate()?;
        ensure!(status.success(), "the connector ended with {status}:\n{}", running.log_tail());
        let inserts = self.check(variant, database)?;

        let (rows, millions) = (self.records as f64, self.records as f64 / 1e6);
        let spent = |before: Option<f64>, after: Option<f64>| Some((after? - before?) / millions);
        Ok(Figures {
            rows_per_cpu_second: rows / connector,
            rows_per_second: (expected - first_rows) as f64 / (last - first).as_secs_f64(),
            rows_per_second_from_start: rows / last.as_secs_f64(),
            peak_mib,
            inserts,
            connector: connector / millions,
            engine: spent(engine_before, engine_after),
            broker: spent(broker_before, broker_after),
            threads: threads.into_iter().map(|(name, seconds)| (name, seconds / millions)).collect(),
        })
    }

    /// Waits until all rows are visible; gives when the first were, how many those were, and when the last was.
    fn wait(
        &self,
        database: &str,
        expected: usize,
        running: &mut Connector,
        began: Instant,
    ) -> Result<(Duration, usize, Duration)> {
        let (mut first, mut changed) = (None, (0, began));
        loop {
            if let Some(status) = running.ended()? {
                bail!("the connector ended by itself ({status})");
            }
            let text = query(self.stack.clickhouse_url(), &format!("SELECT count() FROM {database}.readings"))?;
            let rows: usize = text.trim().parse()?;
            if rows > 0 && first.is_none() {
                first = Some((began.elapsed(), rows));
            }
            if let Some((at, first_rows)) = first
                && rows >= expected
            {
                return Ok((at, first_rows, began.elapsed()));
            }
            if rows > changed.0 {
                changed = (rows, now());
            }
            ensure!(changed.1.elapsed() < STALLED_AFTER, "stuck at {rows} of {expected} rows");
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// Every record is there, once; gives the number of inserts.
    fn check(&self, variant: &Variant, database: &str) -> Result<f64> {
        let url = self.stack.clickhouse_url();
        let dead = variant.load.dead(self.records);
        let letters = query(url, &format!("SELECT count() FROM {database}.dead_letters"))?;
        ensure!(letters.trim() == dead.to_string(), "{letters} dead letters instead of {dead}");
        let counts = query(url, &format!("SELECT count(), uniqExact(_partition, _offset) FROM {database}.readings"))?;
        let expected = format!("{0}\t{0}\n", self.records - dead);
        ensure!(counts == expected, "rows and distinct offsets are {counts:?} instead of {expected:?}");
        Ok(query(url, &format!("SELECT uniqExact(block) FROM {database}.ledger"))?.trim().parse()?)
    }
}

impl Figures {
    fn line(&self) -> String {
        let servers = match (self.engine, self.broker) {
            (Some(engine), Some(broker)) => format!(", engine {engine:.2}, broker {broker:.2}"),
            _ => String::new(),
        };
        format!(
            "P1 {:.0} K rows per CPU s, P5 {:.0} K rows/s ({:.0} K), P10 {:.0} MiB, {} inserts; CPU s per million: connector {:.2}{servers}",
            self.rows_per_cpu_second / 1e3,
            self.rows_per_second / 1e3,
            self.rows_per_second_from_start / 1e3,
            self.peak_mib,
            self.inserts,
            self.connector,
        )
    }

    fn thread_line(&self) -> String {
        let mut threads: Vec<_> = self.threads.iter().filter(|(_, seconds)| **seconds >= 0.005).collect();
        threads.sort_by(|a, b| b.1.total_cmp(a.1));
        let threads: Vec<String> = threads.iter().map(|(name, seconds)| format!("{name} {seconds:.2}")).collect();
        threads.join(", ")
    }
}

fn show(what: &str, runs: &[Figures], figure: impl Fn(&Figures) -> f64) {
    let mut values: Vec<f64> = runs.iter().map(figure).collect();
    values.sort_by(f64::total_cmp);
    let (lowest, median, highest) = (values[0], values[values.len() / 2], values[values.len() - 1]);
    println!("{what:45} {median:8.2} ({lowest:.2} to {highest:.2})");
}

#[expect(clippy::disallowed_methods, reason = "a bench measures the real clock")]
fn now() -> Instant {
    Instant::now()
}
