//! `make bench`: what oncesink costs and how fast it is, everything on this machine, exactly once throughout.
//!
//! `cargo bench --bench rig -- throughput --help` tells what can be varied. Variants take turns, run by run, because
//! machines are noisy; what is compared is printed as median and spread, and every run goes to a file of JSON lines. A
//! bench is not a test: it fails for wrong results only.

#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

#[path = "../../examples/demo/connector.rs"]
mod connector;
mod contender;
mod floors;
mod growth;
mod idle;
#[path = "../../examples/demo/kafka.rs"]
mod kafka;
mod latency;
#[path = "../load/mod.rs"]
mod load;
mod look;
mod memory;
mod plot;
mod price;
mod process;
mod report;
mod run;
mod stages;
mod start;
mod target;
mod throughput;
mod verify;

use std::path::PathBuf;
use std::time::Instant;

use anyhow::Result;
use clap::{Args, Parser, Subcommand};

use report::Report;
use run::Rig;

/// The benches of oncesink.
#[derive(Debug, Parser)]
#[command(name = "rig")]
struct Cli {
    #[command(subcommand)]
    what: What,
    #[command(flatten)]
    common: Common,
    /// Cargo says so to every bench.
    #[arg(long, hide = true, global = true)]
    bench: bool,
}

/// What every bench takes.
#[derive(Debug, Clone, Args)]
struct Common {
    /// How often each variant is run.
    #[arg(long, global = true, default_value_t = 5)]
    runs: usize,
    /// Records of a load that is consumed as fast as it can be; L1 itself has 8,000,000.
    #[arg(long, global = true, default_value_t = 2_000_000)]
    records: usize,
    /// The connector's `memory_max`.
    #[arg(long, global = true, default_value = "192MiB")]
    memory: String,
    /// Configurations and logs of the connectors are kept here.
    #[arg(long, global = true)]
    folder: Option<PathBuf>,
    /// Every run is appended to this file, a line of JSON each.
    #[arg(long, global = true, default_value = "target/bench/results.jsonl")]
    json: PathBuf,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Loads through connectors, the Kafka table engine or other commands (P1, P5, P6, P7, P10, P15).
    Throughput(throughput::Options),
    /// What reading from Kafka costs at least: a poll loop and a batch loop that throw records away (P3).
    Floors,
    /// Paced loads, from a record's timestamp to its visible row (P11, P12).
    Latency(latency::Options),
    /// Fence, ledger and transaction left out one by one; needs `--features price` (P13).
    Price,
    /// From the start of a process, or of one that was killed, to the first row (P14).
    Start(start::Options),
    /// What 100 partitions without records cost.
    Idle(idle::Options),
    /// CPU per row, byte and value from 1 to 200 partitions, 100 bytes to 10 KB, 10 to 300 columns; plots beside.
    Growth(growth::Options),
    /// A takeover's look at tables of a million to a hundred million rows.
    Look(look::Options),
    /// The engine frozen for minutes while records wait: memory stays flat, and everything arrives (P10).
    Memory(memory::Options),
    /// `oncesink verify` (R11).
    Verify(verify::Options),
}

fn main() -> Result<()> {
    let Cli { what, common, bench: _ } = Cli::parse();
    let mut report = Report::new(&common.json)?;
    let rig = Rig::start(&common)?;
    if !matches!(what, What::Floors | What::Look(_) | What::Verify(_)) {
        rig.warm_up()?;
    }
    match &what {
        What::Throughput(options) => throughput::bench(&rig, &mut report, options)?,
        What::Floors => floors::bench(&rig, &mut report)?,
        What::Latency(options) => latency::bench(&rig, &mut report, options)?,
        What::Price => price::bench(&rig, &mut report)?,
        What::Start(options) => start::bench(&rig, &mut report, options)?,
        What::Idle(options) => idle::bench(&rig, &mut report, options)?,
        What::Growth(options) => growth::bench(&rig, &mut report, options)?,
        What::Look(options) => look::bench(&rig, &mut report, options)?,
        What::Memory(options) => memory::bench(&rig, &mut report, options)?,
        What::Verify(options) => verify::bench(&rig, &mut report, options)?,
    }
    report.summary();
    rig.stop()
}

#[expect(clippy::disallowed_methods, reason = "a bench measures the real clock")]
fn now() -> Instant {
    Instant::now()
}
