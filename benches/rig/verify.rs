//! How fast `oncesink verify` compares (target R11).
//!
//! Three loads: offsets over L1 (347 bytes of JSON), offsets over narrow records, contents over narrow records. Topic and
//! table are made beforehand, the table by the engine itself.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Result, ensure};
use clap::Args;
use oncesink::commit::metadata;
use oncesink::protocol::facts::Metadata;
use oncesink::types::{Offset, Replay};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::topic_partition_list::{Offset as NativeOffset, TopicPartitionList};

use crate::report::{Figure, Report, figure};
use crate::run::{Rig, binary};
use crate::{load, now, process};

const PARTITIONS: i32 = 4;
const LOOK_EVERY: Duration = Duration::from_millis(10);

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Another build to time instead of this one.
    #[arg(long)]
    binary: Option<PathBuf>,
}

pub(crate) fn bench(rig: &Rig, report: &mut Report, options: &Options) -> Result<()> {
    let binary = options.binary.clone().unwrap_or_else(|| binary().to_owned());
    let bench = Bench { rig, binary, records: rig.common.records / 4 * 4 };
    let l1 = bench.prepare("verify_l1", load::records())?;
    let narrow = (0..).map(|n: u64| format!("{{\"id\":{n},\"value\":{}}}", n * 7).into_bytes());
    let narrow = bench.prepare("verify_narrow", narrow)?;
    for _ in 0..rig.common.runs {
        report.add("offsets, L1", bench.verify(&l1, &[])?)?;
        report.add("offsets, narrow", bench.verify(&narrow, &[])?)?;
        report.add("contents, narrow", bench.verify(&narrow, &["--contents"])?)?;
    }
    [l1, narrow].iter().try_for_each(|name| rig.drop_database(name))
}

struct Bench<'a> {
    rig: &'a Rig,
    binary: PathBuf,
    records: usize,
}

impl Bench<'_> {
    /// A topic and a table that hold the same, all of it committed; gives the name of both.
    fn prepare(&self, what: &str, records: impl Iterator<Item = Vec<u8>>) -> Result<String> {
        let name = self.rig.topic(what, PARTITIONS)?;
        self.rig.produce(&name, PARTITIONS, records.take(self.records))?;
        self.rig.query(&format!("CREATE DATABASE {name}"))?;
        self.rig.query(&format!(
            "CREATE TABLE {name}.t (id UInt64, value UInt64, _topic LowCardinality(String), _partition Int32, \
             _offset UInt64, _replay UInt32, INDEX offsets _offset TYPE minmax) ENGINE = MergeTree ORDER BY cityHash64(id)"
        ))?;
        self.rig.query(&format!(
            "INSERT INTO {name}.t SELECT number, number * 7, '{name}', number % {PARTITIONS}, \
             intDiv(number, {PARTITIONS}), 0 FROM numbers({})",
            self.records
        ))?;
        self.commit(&name)?;
        std::fs::write(
            self.rig.folder.join(&name),
            format!(
                "name: {name}\ninstance: bench\nkafka: {{ brokers: \"{}\" }}\nclickhouse: {{ url: \"{}\" }}\n\
                 state_database: {name}\ntopics:\n  - topic: {name}\n    table: {name}.t\n    \
                 coordinates: {{ topic: _topic, partition: _partition, offset: _offset, replay: _replay }}\n",
                self.rig.brokers(),
                self.rig.url()
            ),
        )?;
        Ok(name)
    }

    fn commit(&self, name: &str) -> Result<()> {
        let mut config = self.rig.kafka.config();
        config.set("group.id", name);
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

    fn verify(&self, name: &str, arguments: &[&str]) -> Result<Vec<Figure>> {
        let servers = self.rig.servers()?;
        let began = now();
        let mut child = Command::new(&self.binary)
            .args(["verify", "--complete", "--config"])
            .arg(self.rig.folder.join(name))
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
        let mut figures = vec![
            figure("million a minute, start included", millions / wall * 60.0),
            figure("CPU s per million", own / millions),
            figure("peak MiB", peak),
        ];
        if let (Some(before), Some(after)) = (servers, self.rig.servers()?) {
            figures.push(figure("broker, CPU s per million", (after.0 - before.0) / millions));
            figures.push(figure("engine, CPU s per million", (after.1 - before.1) / millions));
        }
        Ok(figures)
    }
}
