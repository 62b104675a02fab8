//! From a record's Kafka timestamp until its row is visible, and how many inserts that takes.
//!
//! L5: 50,000 records/s of 347 bytes in 4 partitions, linger 100 ms, `inserts_per_second_max: 20` (target P11). L6: 200
//! partitions with 5 records/s each, linger 1 s (P12). Records are made when the connector owns all partitions.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::Args;
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};

use crate::contender::{Build, terminate, wait_until_owned};
use crate::load::Load;
use crate::report::{Figure, Report, figure};
use crate::run::Rig;
use crate::{now, process};

const METHOD: &str = "\
A row counts as visible at the first count() that counts it, one every 20 ms: latencies are too long by up to that.
Rows are taken to become visible in the order in which their records were made, whatever their partition.
The first second of records is left out of latencies. CPU is that of the connector.";

/// The producer wakes up so often.
const TICK: Duration = Duration::from_millis(10);
const LOOK_EVERY: Duration = Duration::from_millis(20);
const WARM_UP: Duration = Duration::from_secs(1);

/// A paced load.
struct Paced {
    name: &'static str,
    partitions: i32,
    records_per_second: usize,
    batch: &'static str,
}

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// How long records are made.
    #[arg(long, default_value_t = 30)]
    seconds: u64,
    /// Another rate for L5, in records a second.
    #[arg(long, default_value_t = 50_000)]
    rate: usize,
    /// Only one of them.
    #[arg(long, value_delimiter = ',', default_value = "L5,L6")]
    loads: Vec<String>,
}

pub(crate) fn bench(rig: &Rig, report: &mut Report, options: &Options) -> Result<()> {
    println!("{METHOD}\n");
    let batch = "linger: 100ms, inserts_per_second_max: 20";
    let loads = [
        Paced { name: "L5", partitions: 4, records_per_second: options.rate, batch },
        Paced { name: "L6", partitions: 200, records_per_second: 1_000, batch: "linger: 1s" },
    ];
    for _ in 0..rig.common.runs {
        for paced in loads.iter().filter(|paced| options.loads.iter().any(|name| name == paced.name)) {
            let figures = one_run(rig, paced, Duration::from_secs(options.seconds))?;
            report.add(&format!("{}, {} records/s", paced.name, paced.records_per_second), figures)?;
        }
    }
    Ok(())
}

fn one_run(rig: &Rig, paced: &Paced, length: Duration) -> Result<Vec<Figure>> {
    let topic = rig.topic(&format!("{}_{:08x}", paced.name, rand::random::<u32>()), paced.partitions)?;
    let database = rig.database(&Load::l1())?;
    let (running, log) = Build::ours().start(rig, &database, &topic, &Load::l1(), paced.batch)?;
    wait_until_owned(&log, paced.partitions)?;
    let per_tick = paced.records_per_second * usize::try_from(TICK.as_millis())? / 1_000;
    let ticks = length.as_millis() / TICK.as_millis();
    let total = per_tick * usize::try_from(ticks)?;
    let (began, cpu_before) = (now(), process::cpu_seconds(running.pid())?);
    let visible = std::thread::scope(|scope| -> Result<_> {
        let client = rig.kafka.config();
        let topic = &topic;
        let producer = scope.spawn(move || produce(client, topic, paced, per_tick, total, began));
        let visible = watch(rig, &database, total, began);
        producer.join().expect("the producer does not panic")?;
        visible
    });
    let visible = visible.with_context(|| format!("the connector's log ends with:\n{}", running.log_tail()))?;
    let cpu = process::cpu_seconds(running.pid())? - cpu_before;
    let peak = process::peak_mib(running.pid())?;
    terminate(running)?;
    let inserts = rig.check(&database, total, 0)?;
    rig.drop_database(&database)?;

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
    let share = |percent: usize| 1e3 * latencies[(latencies.len() - 1) * percent / 100].as_secs_f64();
    Ok(vec![
        figure("visible after, p50, ms", share(50)),
        figure("visible after, p99, ms", share(99)),
        figure("visible after, most, ms", share(100)),
        figure("inserts/s", inserts / length.as_secs_f64()),
        figure("% of a core", 100.0 * cpu / length.as_secs_f64()),
        figure("peak MiB", peak),
    ])
}

/// Makes the records at their pace.
fn produce(
    mut config: ClientConfig,
    topic: &str,
    paced: &Paced,
    per_tick: usize,
    total: usize,
    began: Instant,
) -> Result<()> {
    config.set("compression.type", "lz4").set("linger.ms", "5");
    let producer: ThreadedProducer<DefaultProducerContext> = config.create().context("make a producer")?;
    let partitions = (0..paced.partitions).cycle();
    for ((number, payload), partition) in Load::l1().records(0).take(total).enumerate().zip(partitions) {
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
fn watch(rig: &Rig, database: &str, total: usize, began: Instant) -> Result<Vec<(Duration, usize)>> {
    let mut seen: Vec<(Duration, usize)> = Vec::new();
    rig.wait_for_rows(database, total, LOOK_EVERY, |rows| {
        if rows > seen.last().map_or(0, |(_, rows)| *rows) {
            seen.push((began.elapsed(), rows));
        }
        Ok(())
    })?;
    Ok(seen)
}
