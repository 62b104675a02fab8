//! `cargo bench --bench latency`: from a record's Kafka timestamp until its row is visible, and how many inserts that takes,
//! everything on this machine.
//!
//! L5: 50,000 records/s of 347 bytes in 4 partitions, linger 100 ms, `inserts_per_second_max: 20` (target P11). L6: 200
//! partitions with 5 records/s each, linger 1 s (P12). `BENCH_SECONDS` (default 30) is the length of a run, `BENCH_RUNS`
//! (default 3) how often each is made, `BENCH_RATE` another rate for L5. A bench is not a test: it fails for wrong results
//! only.

#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

#[path = "../examples/demo/connector.rs"]
mod connector;
#[expect(dead_code, reason = "this bench has a producer of its own, which keeps a pace")]
#[path = "../examples/demo/kafka.rs"]
mod kafka;
#[expect(dead_code, reason = "the bench from end to end has more loads")]
mod load;
#[expect(dead_code, reason = "the bench from end to end looks at more")]
#[path = "load/process.rs"]
mod process;
#[path = "load/target.rs"]
mod target;

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use devstack::http::query;
use devstack::{Stack, StackOptions};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};

use connector::Connector;
use kafka::Kafka;
use target::{Config, table};

const METHOD: &str = "\
A row counts as visible at the first count() that counts it, one every 20 ms: latencies are too long by up to that.
Rows are taken to become visible in the order in which their records were made, whatever their partition.
The first 3 seconds of a run are left out of latencies. CPU is that of the connector.";

/// The producer wakes up so often.
const TICK: Duration = Duration::from_millis(10);
const LOOK_EVERY: Duration = Duration::from_millis(20);
const WARM_UP: Duration = Duration::from_secs(3);
const STALLED_AFTER: Duration = Duration::from_secs(60);

/// A paced load.
struct Paced {
    name: &'static str,
    partitions: i32,
    records_per_second: usize,
    batch: &'static str,
}

fn main() -> Result<()> {
    let (seconds, runs) = (number("BENCH_SECONDS", 30)?, number("BENCH_RUNS", 3)?.max(1));
    let loads = [
        Paced {
            name: "L5",
            partitions: 4,
            records_per_second: number("BENCH_RATE", 50_000)?,
            batch: "linger: 100ms, inserts_per_second_max: 20",
        },
        Paced { name: "L6", partitions: 200, records_per_second: 1_000, batch: "linger: 1s" },
    ];
    let stack = Stack::from_env_or_start(&StackOptions::default())?;
    let kafka = Kafka::new(stack.bootstrap());
    let folder = tempfile::tempdir()?;
    println!("{METHOD}\n");
    for run in 1..=runs {
        for paced in &loads {
            let name = format!("latency_{}_{run}_{:08x}", paced.name.to_lowercase(), rand::random::<u32>());
            query(stack.clickhouse_url(), &format!("CREATE DATABASE {name}"))?;
            kafka.create_topics(&[(&name, paced.partitions)])?;
            let figures = one_run(&stack, folder.path(), &name, paced, Duration::from_secs(seconds as u64));
            query(stack.clickhouse_url(), &format!("DROP DATABASE {name} SYNC"))?;
            kafka.delete_topics(&[&name])?;
            if !stack.can_kill() {
                kafka.delete_group(&name)?;
            }
            println!("{} run {run}: {}", paced.name, figures?);
        }
    }
    Ok(())
}

fn number(name: &str, default: usize) -> Result<usize> {
    match std::env::var(name) {
        Ok(text) => text.parse().with_context(|| format!("{name} is no number: {text}")),
        Err(_) => Ok(default),
    }
}

fn one_run(stack: &Stack, folder: &Path, name: &str, paced: &Paced, length: Duration) -> Result<String> {
    let url = stack.clickhouse_url();
    query(url, &table(name, load::LOADS[0]))?;
    let config = folder.join(format!("{name}.yaml"));
    let text = Config {
        database: name,
        topic: name,
        brokers: stack.bootstrap(),
        clickhouse_url: url,
        memory_max: "192MiB",
        batch: paced.batch,
        properties: "",
    };
    std::fs::write(&config, text.text())?;
    let binary = Path::new(env!("CARGO_BIN_EXE_oncesink"));
    let mut running = Connector::start(binary, &config, &[], config.with_extension("log"))?;
    let per_tick = paced.records_per_second * usize::try_from(TICK.as_millis())? / 1_000;
    let ticks = length.as_millis() / TICK.as_millis();
    let total = per_tick * usize::try_from(ticks)?;
    let began = now();
    let (visible, cpu) = std::thread::scope(|scope| -> Result<_> {
        let producer = scope.spawn(|| produce(stack, name, paced, per_tick, total, began));
        let visible = watch(url, name, total, began);
        producer.join().expect("the producer does not panic")?;
        Ok((visible?, process::cpu_seconds(running.pid())?))
    })?;
    let peak = process::peak_mib(running.pid())?;
    let status = running.terminate()?;
    ensure!(status.success(), "the connector ended with {status}:\n{}", running.log_tail());
    let counts = query(url, &format!("SELECT count(), uniqExact(_partition, _offset) FROM {name}.readings"))?;
    ensure!(counts == format!("{total}\t{total}\n"), "rows and distinct offsets are {counts:?}, {total} were made");
    let inserts: f64 = query(url, &format!("SELECT uniqExact(block) FROM {name}.ledger"))?.trim().parse()?;

    // Record number n was made in tick n / per_tick, and seen with the first count above n.
    let made_at = |record: usize| TICK * u32::try_from(record / per_tick).expect("a run has few ticks");
    let mut latencies = Vec::with_capacity(total);
    let mut next = 0;
    for (at, rows) in visible {
        let seen = (next..rows).filter(|record| made_at(*record) >= WARM_UP);
        latencies.extend(seen.map(|record| at.saturating_sub(made_at(record))));
        next = next.max(rows);
    }
    latencies.sort_unstable();
    let share = |percent: usize| latencies[(latencies.len() - 1) * percent / 100].as_millis();
    Ok(format!(
        "{} records/s, visible after {} ms (p50), {} ms (p99), {} ms (most); {:.1} inserts/s; {:.1} % of a core, {peak:.0} MiB",
        paced.records_per_second,
        share(50),
        share(99),
        share(100),
        inserts / length.as_secs_f64(),
        100.0 * cpu / length.as_secs_f64(),
    ))
}

/// Makes the records at their pace.
fn produce(stack: &Stack, topic: &str, paced: &Paced, per_tick: usize, total: usize, began: Instant) -> Result<()> {
    let mut config = Kafka::new(stack.bootstrap()).config();
    config.set("compression.type", "lz4").set("linger.ms", "5");
    let producer: ThreadedProducer<DefaultProducerContext> = config.create().context("make a producer")?;
    let partitions = (0..paced.partitions).cycle();
    for ((number, payload), partition) in load::LOADS[0].records().take(total).enumerate().zip(partitions) {
        if number % per_tick == 0 {
            let due = TICK * u32::try_from(number / per_tick)?;
            std::thread::sleep(due.saturating_sub(began.elapsed()));
        }
        let record = BaseRecord::<(), [u8]>::to(topic).partition(partition).payload(&payload);
        producer.send(record).map_err(|(error, _)| error).context("produce a record")?;
    }
    producer.flush(Duration::from_secs(30)).context("wait for the broker to acknowledge all records")
}

/// How many rows were visible when, until all are.
fn watch(url: &str, name: &str, total: usize, began: Instant) -> Result<Vec<(Duration, usize)>> {
    let mut seen: Vec<(Duration, usize)> = Vec::new();
    loop {
        let rows: usize = query(url, &format!("SELECT count() FROM {name}.readings"))?.trim().parse()?;
        let last = seen.last().map_or((Duration::ZERO, 0), |last| *last);
        if rows > last.1 {
            seen.push((began.elapsed(), rows));
        }
        if rows >= total {
            return Ok(seen);
        }
        ensure!(began.elapsed() - last.0 < STALLED_AFTER, "stuck at {rows} of {total} rows");
        std::thread::sleep(LOOK_EVERY);
    }
}

#[expect(clippy::disallowed_methods, reason = "a bench measures the real clock")]
fn now() -> Instant {
    Instant::now()
}
