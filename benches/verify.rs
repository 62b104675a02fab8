//! `cargo bench --bench verify`: how fast `oncesink verify` compares, everything on this machine (target R11).
//!
//! Three loads: offsets over L1 (347 bytes of JSON), offsets over narrow records, contents over narrow records. Topic and
//! table are made beforehand, the table by the engine itself. `BENCH_RECORDS` (default 4,000,000) is the load,
//! `BENCH_RUNS` (default 3) how often each is compared, `BENCH_BINARY` another binary to time.

#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

#[expect(dead_code, reason = "shared with the demo, which does more")]
#[path = "../examples/demo/kafka.rs"]
mod kafka;
#[expect(dead_code, reason = "shared with the bench of L1, whose table has all columns")]
mod load;
#[expect(dead_code, reason = "shared with the bench of L1, which looks at threads")]
#[path = "load/process.rs"]
mod process;

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use devstack::http::query;
use devstack::{Stack, StackOptions};
use kafka::Kafka;
use oncesink::commit::metadata;
use oncesink::protocol::facts::Metadata;
use oncesink::types::{Offset, Replay};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::topic_partition_list::{Offset as NativeOffset, TopicPartitionList};

const PARTITIONS: i32 = 4;
const LOOK_EVERY: Duration = Duration::from_millis(10);

fn main() -> Result<()> {
    let records = from_environment("BENCH_RECORDS", 4_000_000)? / 4 * 4;
    let runs = from_environment("BENCH_RUNS", 3)?.max(1);
    let binary = std::env::var_os("BENCH_BINARY").map_or_else(|| env!("CARGO_BIN_EXE_oncesink").into(), PathBuf::from);
    let stack = Stack::from_env_or_start(&StackOptions::default())?;
    let bench = Bench { kafka: Kafka::new(stack.bootstrap()), folder: tempfile::tempdir()?, binary, records, stack };
    let l1 = bench.prepare("l1", load::records())?;
    let narrow =
        bench.prepare("narrow", (0..).map(|n: u64| format!("{{\"id\":{n},\"value\":{}}}", n * 7).into_bytes()))?;
    println!("{records} records, {PARTITIONS} partitions; wall includes the start of the process\n");
    for run in 1..=runs {
        bench.verify(run, "offsets, L1", &l1, &[])?;
        bench.verify(run, "offsets, narrow", &narrow, &[])?;
        bench.verify(run, "contents, narrow", &narrow, &["--contents"])?;
    }
    bench.kafka.delete_topics(&[&l1, &narrow])
}

fn from_environment(name: &str, default: usize) -> Result<usize> {
    match std::env::var(name) {
        Ok(text) => text.parse().with_context(|| format!("{name} is no number: {text}")),
        Err(_) => Ok(default),
    }
}

struct Bench {
    kafka: Kafka,
    folder: tempfile::TempDir,
    binary: PathBuf,
    records: usize,
    // Declared, and so dropped, last.
    stack: Stack,
}

impl Bench {
    /// A topic and a table that hold the same, all of it committed; gives the name of both.
    fn prepare(&self, what: &str, records: impl Iterator<Item = Vec<u8>>) -> Result<String> {
        let name = format!("verify_{what}_{:08x}", rand::random::<u32>());
        self.kafka.create_topics(&[(&name, PARTITIONS)])?;
        let partitions = (0..PARTITIONS).cycle();
        let records = records.take(self.records).zip(partitions);
        self.kafka.produce(&name, records.map(|(payload, partition)| (partition, None, payload)))?;
        let url = self.stack.clickhouse_url();
        query(url, &format!("CREATE DATABASE {name}"))?;
        query(
            url,
            &format!(
                "CREATE TABLE {name}.t (id UInt64, value UInt64, _topic LowCardinality(String), _partition Int32, \
                 _offset UInt64, _replay UInt32, INDEX offsets _offset TYPE minmax) ENGINE = MergeTree ORDER BY cityHash64(id)"
            ),
        )?;
        query(
            url,
            &format!(
                "INSERT INTO {name}.t SELECT number, number * 7, '{name}', number % {PARTITIONS}, \
                 intDiv(number, {PARTITIONS}), 0 FROM numbers({})",
                self.records
            ),
        )?;
        self.commit(&name)?;
        std::fs::write(
            self.folder.path().join(&name),
            format!(
                "name: {name}\ninstance: bench\nkafka: {{ brokers: \"{}\" }}\nclickhouse: {{ url: \"{url}\" }}\n\
                 state_database: {name}\ntopics:\n  - topic: {name}\n    table: {name}.t\n    \
                 coordinates: {{ topic: _topic, partition: _partition, offset: _offset, replay: _replay }}\n",
                self.stack.bootstrap()
            ),
        )?;
        Ok(name)
    }

    fn commit(&self, name: &str) -> Result<()> {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.stack.bootstrap()).set("group.id", name);
        let consumer: BaseConsumer = config.create()?;
        let metadata =
            Metadata { topic_id: None, replay: Replay(0), floor: Offset::ZERO, origin: Offset::ZERO, anchor: None };
        let mut list = TopicPartitionList::new();
        for partition in 0..PARTITIONS {
            let mut element = list.add_partition(name, partition);
            element.set_offset(NativeOffset::Offset(i64::try_from(self.records)? / i64::from(PARTITIONS)))?;
            element.set_metadata(metadata::encode(&metadata));
        }
        let began = now();
        loop {
            match consumer.commit(&list, CommitMode::Sync) {
                Ok(()) => return Ok(()),
                Err(error) if began.elapsed() > Duration::from_secs(20) => return Err(error.into()),
                Err(_) => std::thread::sleep(LOOK_EVERY),
            }
        }
    }

    fn verify(&self, run: usize, what: &str, name: &str, arguments: &[&str]) -> Result<()> {
        let servers =
            if self.stack.can_kill() { vec![process::child("java")?, process::child("python")?] } else { Vec::new() };
        let cpu = || servers.iter().map(|pid| process::cpu_seconds(*pid)).collect::<Result<Vec<f64>>>();
        let before = cpu()?;
        let began = now();
        let mut child = Command::new(&self.binary)
            .args(["verify", "--complete", "--config"])
            .arg(self.folder.path().join(name))
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()?;
        let (mut own, mut peak) = (0.0, 0.0);
        while child.try_wait()?.is_none() {
            if let Ok(seconds) = process::cpu_seconds(child.id()) {
                own = seconds;
            }
            if let Ok(mib) = process::peak_mib(child.id()) {
                peak = mib;
            }
            std::thread::sleep(LOOK_EVERY);
        }
        let wall = began.elapsed().as_secs_f64();
        let output = child.wait_with_output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        let expected = format!("{} records compared, clean", self.records);
        ensure!(output.status.success() && text.contains(&expected), "verify ended with {}: {text}", output.status);
        let millions = self.records as f64 / 1e6;
        let spent: Vec<String> =
            cpu()?.iter().zip(before).map(|(after, before)| format!("{:.2}", (after - before) / millions)).collect();
        println!(
            "run {run}: {what:18} {:6.1} million a minute ({wall:.2} s), peak {peak:.0} MiB; CPU s per million: verify {:.2}, broker and engine {}",
            millions / wall * 60.0,
            own / millions,
            spent.join(", ")
        );
        Ok(())
    }
}

#[expect(clippy::disallowed_methods, reason = "a bench measures the real clock")]
fn now() -> Instant {
    Instant::now()
}
