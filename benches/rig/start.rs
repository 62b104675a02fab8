//! How soon rows come: after the first start of a process, and after `kill -9` and a start under the same name.

use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Args;

use crate::connector::Connector;
use crate::contender::{Build, terminate};
use crate::load::Load;
use crate::now;
use crate::report::{Report, figure};
use crate::run::Rig;

const LOOK_EVERY: Duration = Duration::from_millis(5);
/// Few enough to be one block.
const RECORDS: usize = 1_000;
const BATCH: &str = "linger: 10ms, inserts_per_second_max: 50";

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Partitions of the topic; once for each to measure.
    #[arg(long, value_delimiter = ',', default_value = "4,200")]
    partitions: Vec<i32>,
}

pub(crate) fn bench(rig: &Rig, report: &mut Report, options: &Options) -> Result<()> {
    let load = Load::l1();
    for _ in 0..rig.common.runs {
        for partitions in &options.partitions {
            let topic = rig.topic(&format!("start_{:08x}", rand::random::<u32>()), *partitions)?;
            let produce = || rig.produce(&topic, *partitions, load.records(0).take(RECORDS));
            produce()?;
            let database = rig.database(&load)?;
            let start = || -> Result<(Connector, Instant)> {
                let began = now();
                let (process, _) = Build::ours().start(rig, &database, &topic, &load, BATCH)?;
                Ok((process, began))
            };
            let (running, began) = start()?;
            let first = until_visible(rig, &database, 1, began)?;
            let all = until_visible(rig, &database, RECORDS, began)?;
            // Dropped without a word: killed.
            drop(running);
            produce()?;
            let (running, began) = start()?;
            let after_kill = until_visible(rig, &database, RECORDS + 1, began)?;
            terminate(running)?;
            rig.drop_database(&database)?;
            report.add(
                &format!("{partitions} partitions"),
                vec![
                    figure("start to first row, ms", ms(first)),
                    figure("start to all rows, ms", ms(all)),
                    figure("start after kill -9 to first row, ms", ms(after_kill)),
                ],
            )?;
        }
    }
    Ok(())
}

/// How long it takes from then on until so many rows are visible.
fn until_visible(rig: &Rig, database: &str, rows: usize, began: Instant) -> Result<Duration> {
    rig.wait_for_rows(database, rows, LOOK_EVERY, |_| Ok(()))?;
    Ok(began.elapsed())
}

fn ms(duration: Duration) -> f64 {
    1e3 * duration.as_secs_f64()
}
