//! A load through everything that is compared, as fast as it goes.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;

use crate::contender::{Build, Contender};
use crate::load::Load;
use crate::report::Report;
use crate::run::{Job, Rig, binary};

/// A block a third of a second at most; what is measured is how much fits through, not how long it lingers.
pub(crate) const BATCH: &str = "linger: 1s, rows_max: 500000, bytes_max: 64MiB, inserts_per_second_max: 50";

const METHOD: &str = "\
thousand rows/s (P5): rows after the first visible ones / time between first and last row visible (count() every 200 ms);
  from start: all rows / time from the start of the process
CPU s (P1): user and system of the whole process, start included, until the last row is visible; engine with its merges
peak MiB (P10): VmHWM. Stages: means over all of their kind, from the connector's own metrics
";

/// What is compared: each load with each contender.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// L1, L2, L3, L4, csv, narrow, `sized_BYTES`, `wide_FIELDS`.
    #[arg(long, value_delimiter = ',', default_value = "L1")]
    loads: Vec<String>,
    /// Other builds of the connector to compare with this one.
    #[arg(long)]
    binary: Vec<PathBuf>,
    /// Properties of the client library, `a: 1, b: 2`; once for each set to compare.
    #[arg(long, default_value = "")]
    properties: Vec<String>,
    /// The inside of `batch`; once for each to compare.
    #[arg(long, default_value = BATCH)]
    batch: Vec<String>,
    /// Partitions of the topic.
    #[arg(long, default_value_t = 4)]
    partitions: i32,
    /// The Kafka table engine with so many consumers.
    #[arg(long, value_delimiter = ',')]
    kafka_engine: Vec<usize>,
    /// `perf record` is attached to the connector of every run; the last one stays in this file.
    #[arg(long)]
    profile: Option<PathBuf>,
    /// A shell command that moves `$TOPIC` at `$BROKERS` into `$DATABASE.readings` at `$CLICKHOUSE_URL` until it is killed.
    #[arg(long)]
    command: Vec<String>,
}

pub(crate) fn bench(rig: &Rig, report: &mut Report, options: &Options) -> Result<()> {
    println!("{METHOD}");
    let mut contenders = Vec::new();
    for path in std::iter::once(binary().to_owned()).chain(options.binary.iter().cloned()) {
        for properties in &options.properties {
            let named = if options.binary.is_empty() { String::new() } else { format!(" {}", path.display()) };
            let label = format!("{named} {properties}");
            let profile = options.profile.clone();
            let build = Build { binary: path.clone(), properties: properties.clone(), without: None, profile };
            contenders.push((label.trim_end().to_owned(), Contender::Connector(build)));
        }
    }
    for consumers in &options.kafka_engine {
        contenders
            .push((format!(" Kafka engine, {consumers} consumers"), Contender::KafkaEngine { consumers: *consumers }));
    }
    contenders
        .extend(options.command.iter().map(|command| (format!(" {command}"), Contender::Command(command.clone()))));
    let loads = options.loads.iter().map(|name| Load::named(name).with_context(|| format!("there is no load {name}")));
    let loads: Vec<Load> = loads.collect::<Result<_>>()?;
    for load in &loads {
        rig.loaded(load, options.partitions, rig.common.records)?;
    }
    for _ in 0..rig.common.runs {
        for load in &loads {
            let topic = rig.loaded(load, options.partitions, rig.common.records)?;
            for (label, contender) in &contenders {
                // It stops for good at a record that it cannot decode.
                let refuses = matches!(contender, Contender::KafkaEngine { .. }) && load.dead(rig.common.records) > 0;
                if refuses {
                    continue;
                }
                let connector = matches!(contender, Contender::Connector(_));
                for batch in if connector { &options.batch[..] } else { &options.batch[..1] } {
                    let job = Job { topic: topic.clone(), load, records: rig.common.records, batch };
                    let batched =
                        if connector && options.batch.len() > 1 { format!(" {batch}") } else { String::new() };
                    report.add(&format!("{}{label}{batched}", load.name), rig.run(contender, &job)?)?;
                }
            }
        }
    }
    Ok(())
}
