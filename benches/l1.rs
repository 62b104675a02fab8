//! `make bench`: load L1 (JSON records of 12 fields) through the release binary, exactly once throughout, everything on this machine.
//!
//! Prints rows per CPU second of the connector (P1), rows per second end to end (P5), peak memory (P10), and what broker
//! and engine cost beside it. `BENCH_RECORDS` is the load (default 2,000,000; L1 itself is 8,000,000), `BENCH_RUNS` the
//! number of runs (default 3). A bench is not a test: it fails for wrong results only.

#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

#[path = "../examples/demo/connector.rs"]
mod connector;
#[path = "../examples/demo/kafka.rs"]
mod kafka;
mod load;
#[path = "load/process.rs"]
mod process;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use devstack::http::query;
use devstack::{Stack, StackOptions};

use connector::Connector;
use kafka::Kafka;

const PARTITIONS: i32 = 4;
/// What is slower than this does not move at all.
const STALLED_AFTER: Duration = Duration::from_secs(60);
/// Counting costs the engine 2 ms.
const LOOK_EVERY: Duration = Duration::from_millis(50);

const METHOD: &str = "\
P1: records / CPU seconds of the connector (user and system, /proc/PID/stat) from its start to the last row visible
P5: rows after the first visible ones / time between first and last row visible (count() every 50 ms);
    in brackets: all rows / time from the start of the process
P10: VmHWM of the connector, memory_max 192MiB
CPU seconds per million rows; engine with merges; broker and engine only where they are the bench's own";

fn main() -> Result<()> {
    let records = from_environment("BENCH_RECORDS", 2_000_000)?;
    let runs = from_environment("BENCH_RUNS", 3)?.max(1);
    let stack = Stack::from_env_or_start(&StackOptions::default())?;
    let bench = Bench {
        kafka: Kafka::new(stack.bootstrap()),
        name: format!("bench_{:08x}", rand::random::<u32>()),
        folder: tempfile::tempdir()?,
        records,
        stack,
    };
    let result = bench.run(runs);
    let deleted = bench.kafka.delete_topics(&[&bench.name]);
    result.and(deleted)
}

fn from_environment(name: &str, default: usize) -> Result<usize> {
    match std::env::var(name) {
        Ok(text) => text.parse().with_context(|| format!("{name} is no number: {text}")),
        Err(_) => Ok(default),
    }
}

struct Bench {
    kafka: Kafka,
    name: String,
    folder: tempfile::TempDir,
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
    fn run(&self, runs: usize) -> Result<()> {
        let began = now();
        self.kafka.create_topics(&[(&self.name, PARTITIONS)])?;
        let mut bytes = 0;
        let partitions = (0..PARTITIONS).cycle();
        let records = load::records().take(self.records).zip(partitions).map(|(payload, partition)| {
            bytes += payload.len();
            (partition, None, payload)
        });
        self.kafka.produce(&self.name, records)?;
        println!(
            "{} records of {} bytes, {PARTITIONS} partitions, lz4, produced in {:.0} s\n{METHOD}\n",
            self.records,
            bytes / self.records.max(1),
            began.elapsed().as_secs_f64()
        );
        let mut all = Vec::new();
        for run in 1..=runs {
            let figures = self.one_run(run)?;
            println!("run {run}: {}", figures.line());
            all.push(figures);
        }
        if let Some(last) = all.last() {
            println!("threads of the connector in the last run, CPU s per million rows: {}", last.thread_line());
        }
        println!("\nmedian of {runs} (lowest to highest)");
        show("P1   connector, million rows per CPU second", &all, |run| run.rows_per_cpu_second / 1e6);
        show("P5   end to end, thousand rows/s", &all, |run| run.rows_per_second / 1e3);
        show("P10  peak memory of the connector, MiB", &all, |run| run.peak_mib);
        show("     connector, CPU s per million rows", &all, |run| run.connector);
        if all.iter().all(|run| run.engine.is_some()) {
            show("     engine, CPU s per million rows", &all, |run| run.engine.unwrap_or(0.0));
            show("     broker, CPU s per million rows", &all, |run| run.broker.unwrap_or(0.0));
        }
        Ok(())
    }

    fn one_run(&self, run: usize) -> Result<Figures> {
        let database = format!("{}_{run}", self.name);
        let url = self.stack.clickhouse_url();
        query(url, &format!("CREATE DATABASE {database}"))?;
        query(url, &table(&database))?;
        let config = self.folder.path().join(format!("run-{run}.yaml"));
        std::fs::write(&config, self.config(&database))?;
        let result = self.measure(&database, &config);
        query(url, &format!("DROP DATABASE {database} SYNC"))?;
        if !self.stack.can_kill() {
            self.kafka.delete_group(&database)?;
        }
        result
    }

    fn measure(&self, database: &str, config: &Path) -> Result<Figures> {
        let (broker, engine) = if self.stack.can_kill() {
            (Some(process::child("java")?), Some(process::child("python")?))
        } else {
            (None, None)
        };
        let cpu = |pid: Option<u32>| pid.map(process::cpu_seconds).transpose();
        let (broker_before, engine_before) = (cpu(broker)?, cpu(engine)?);
        let began = now();
        let binary = Path::new(env!("CARGO_BIN_EXE_oncesink"));
        let mut running = Connector::start(binary, config, &[], config.with_extension("log"))?;
        let visible = self.wait(database, &mut running, began);
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
        let inserts = self.check(database)?;

        let (rows, millions) = (self.records as f64, self.records as f64 / 1e6);
        let spent = |before: Option<f64>, after: Option<f64>| Some((after? - before?) / millions);
        Ok(Figures {
            rows_per_cpu_second: rows / connector,
            rows_per_second: (self.records - first_rows) as f64 / (last - first).as_secs_f64(),
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
    fn wait(&self, database: &str, running: &mut Connector, began: Instant) -> Result<(Duration, usize, Duration)> {
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
                && rows >= self.records
            {
                return Ok((at, first_rows, began.elapsed()));
            }
            if rows > changed.0 {
                changed = (rows, now());
            }
            ensure!(changed.1.elapsed() < STALLED_AFTER, "stuck at {rows} of {} rows", self.records);
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// Every record is there, once; gives the number of inserts.
    fn check(&self, database: &str) -> Result<f64> {
        let url = self.stack.clickhouse_url();
        let counts = query(url, &format!("SELECT count(), uniqExact(_partition, _offset) FROM {database}.readings"))?;
        let expected = format!("{0}\t{0}\n", self.records);
        ensure!(counts == expected, "rows and distinct offsets are {counts:?} instead of {expected:?}");
        Ok(query(url, &format!("SELECT uniqExact(block) FROM {database}.ledger"))?.trim().parse()?)
    }

    fn config(&self, database: &str) -> String {
        format!(
            "name: {database}\n\
             instance: bench-0\n\
             kafka: {{ brokers: \"{brokers}\", properties: {{ session.timeout.ms: 6000, heartbeat.interval.ms: 1000 }} }}\n\
             clickhouse: {{ url: \"{url}\" }}\n\
             state_database: {database}\n\
             memory_max: 192MiB\n\
             admin: {{ listen: \"127.0.0.1:0\" }}\n\
             topics:\n  \
               - topic: {topic}\n    \
                 table: {database}.readings\n    \
                 batch: {{ linger: 1s, rows_max: 500000, bytes_max: 64MiB, inserts_per_second_max: 50 }}\n    \
                 coordinates: {{ topic: _topic, partition: _partition, offset: _offset, replay: _replay }}\n",
            brokers = self.stack.bootstrap(),
            url = self.stack.clickhouse_url(),
            topic = self.name,
        )
    }
}

fn table(database: &str) -> String {
    let mut columns = String::new();
    for (name, kind) in load::COLUMNS {
        write!(columns, "{name} {kind}, ").expect("writing to a string does not fail");
    }
    format!(
        "CREATE TABLE {database}.readings ({columns} _topic LowCardinality(String), _partition Int32, _offset UInt64, \
         _replay UInt32, INDEX offsets _offset TYPE minmax) ENGINE = MergeTree ORDER BY (site, device, ts)"
    )
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
