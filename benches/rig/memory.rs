//! Memory while ClickHouse does not answer: the engine is frozen (SIGSTOP) in the middle of a load, for minutes.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Args;

use crate::contender::{Build, terminate};
use crate::load::Load;
use crate::plot::{Axis, Line, plot};
use crate::report::{Report, figure};
use crate::run::Rig;
use crate::throughput::BATCH;
use crate::{now, process};

const LOOK_EVERY: Duration = Duration::from_millis(100);
const SAMPLE_EVERY: Duration = Duration::from_secs(1);

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// How long the engine is frozen.
    #[arg(long, default_value_t = 600)]
    seconds: u64,
    /// Where the plot goes, as SVG.
    #[arg(long, default_value = "target/bench/memory.svg")]
    plot: PathBuf,
}

pub(crate) fn bench(rig: &Rig, report: &mut Report, options: &Options) -> Result<()> {
    let engine = rig.engine().context("this freezes the engine: it has to be one of our own")?;
    let load = Load::l1();
    let records = rig.common.records;
    let topic = rig.loaded(&load, 4, records)?;
    let database = rig.database(&load)?;
    let (mut running, _) = Build::ours().start(rig, &database, &topic, &load, BATCH)?;
    let wait_for_rows = |rows| rig.wait_for_rows(&database, rows, LOOK_EVERY, |_| Ok(()));
    wait_for_rows(1)?;
    signal("STOP", engine)?;
    let mut samples = Vec::new();
    let began = now();
    while began.elapsed() < Duration::from_secs(options.seconds) {
        samples.push((began.elapsed().as_secs_f64(), process::resident_mib(running.pid())?));
        ensure!(running.ended()?.is_none(), "the connector ended by itself:\n{}", running.log_tail());
        std::thread::sleep(SAMPLE_EVERY);
    }
    signal("CONT", engine)?;
    wait_for_rows(records)?;
    let peak = process::peak_mib(running.pid())?;
    terminate(running)?;
    rig.check(&database, records, 0)?;
    rig.drop_database(&database)?;

    let name = format!("resident MiB while the engine is frozen (memory_max {})", rig.common.memory);
    let (first, last) = (samples[0].1, samples[samples.len() - 1].1);
    let most = samples.iter().map(|(_, mib)| *mib).fold(0.0, f64::max);
    std::fs::write(&options.plot, plot("seconds", Axis::Linear, &[Line { name, points: samples }]))?;
    println!("plotted in {}", options.plot.display());
    let figures = vec![
        figure("resident MiB, first", first),
        figure("resident MiB, last", last),
        figure("resident MiB, most while frozen", most),
        figure("peak MiB of the run", peak),
    ];
    report.add(&format!("engine frozen for {} s", options.seconds), figures)
}

fn signal(name: &str, pid: u32) -> Result<()> {
    let sent = Command::new("kill").args(["-s", name, &pid.to_string()]).status().context("run kill")?;
    ensure!(sent.success(), "SIG{name} could not be sent");
    Ok(())
}
