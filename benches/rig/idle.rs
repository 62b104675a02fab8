//! What partitions without records cost: CPU of the connector while nothing happens.

use std::time::Duration;

use anyhow::Result;
use clap::Args;

use crate::contender::{Build, terminate, wait_until_owned};
use crate::load::Load;
use crate::process;
use crate::report::{Report, figure};
use crate::run::Rig;

#[derive(Debug, Args)]
pub(crate) struct Options {
    #[arg(long, default_value_t = 100)]
    partitions: i32,
    /// How long is measured.
    #[arg(long, default_value_t = 30)]
    seconds: u64,
}

pub(crate) fn bench(rig: &Rig, report: &mut Report, options: &Options) -> Result<()> {
    let load = Load::l1();
    let topic = rig.topic("idle", options.partitions)?;
    for _ in 0..rig.common.runs {
        let database = rig.database(&load)?;
        let (running, log) = Build::ours().start(rig, &database, &topic, &load, "linger: 1s")?;
        wait_until_owned(&log, options.partitions)?;
        let before = process::cpu_seconds(running.pid())?;
        let threads_before = process::cpu_seconds_by_thread(running.pid())?;
        std::thread::sleep(Duration::from_secs(options.seconds));
        let spent = process::cpu_seconds(running.pid())? - before;
        let threads = process::cpu_seconds_by_thread(running.pid())?;
        let peak = process::peak_mib(running.pid())?;
        terminate(running)?;
        rig.drop_database(&database)?;
        let share = |seconds: f64| 100.0 * seconds / options.seconds as f64;
        let mut figures = vec![figure("% of a core", share(spent)), figure("peak MiB", peak)];
        for (thread, seconds) in threads {
            let before = threads_before.get(&thread).copied().unwrap_or(0.0);
            figures.push(figure(format!("thread {thread}, % of a core"), share(seconds - before)));
        }
        report.add(&format!("{} idle partitions", options.partitions), figures)?;
    }
    Ok(())
}
