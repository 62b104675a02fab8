//! What grows with the load: CPU per row from 1 to 200 partitions, per byte from 100 bytes to 10 KB, per value from 10 to
//! 300 columns; rows a second against linger.

use std::fs::write;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;

use crate::contender::{Build, Contender};
use crate::load::Load;
use crate::plot::{Axis, Line, plot};
use crate::report::Report;
use crate::run::{Job, Rig};
use crate::throughput::BATCH;

const PARTITIONS: [i32; 4] = [1, 4, 50, 200];
const BYTES: [usize; 4] = [100, 347, 1_000, 10_000];
const FIELDS: [usize; 4] = [10, 30, 100, 300];
const LINGER_MS: [usize; 4] = [50, 200, 1_000, 3_000];
/// Of records of a chosen size, and of values of a chosen number of fields: a run is as long whatever is chosen.
const BYTES_OF_A_RUN: usize = 500_000_000;
const VALUES_OF_A_RUN: usize = 24_000_000;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Where the plots go, as SVG.
    #[arg(long, default_value = "target/bench")]
    plots: PathBuf,
}

/// One point: what is run, and what a unit of it is.
struct Point {
    variant: String,
    load: Load,
    partitions: i32,
    records: usize,
    batch: String,
    at: f64,
    units_per_record: f64,
}

/// Points along one axis.
struct Series {
    file: &'static str,
    axis: &'static str,
    /// What is counted: rows, bytes, values.
    unit: &'static str,
    points: Vec<Point>,
}

pub(crate) fn bench(rig: &Rig, report: &mut Report, options: &Options) -> Result<()> {
    let all = series(rig.common.records);
    for _ in 0..rig.common.runs {
        for point in all.iter().flat_map(|series| &series.points) {
            let topic = rig.loaded(&point.load, point.partitions, point.records)?;
            let job = Job { topic, load: &point.load, records: point.records, batch: &point.batch };
            report.add(&point.variant, rig.run(&Contender::Connector(Build::ours()), &job)?)?;
        }
    }
    println!();
    for series in &all {
        let median = |point: &Point, what| report.median(&point.variant, what).context("every point was run");
        let (mut cpu, mut rate) = (Vec::new(), Vec::new());
        for point in &series.points {
            let nanos = 1e3 * median(point, "CPU s per million")? / point.units_per_record;
            let thousands = median(point, "from start, thousand rows/s")?;
            println!("{:24} {nanos:8.2} CPU ns per {}, {thousands:7.0} thousand rows/s", point.variant, series.unit);
            cpu.push((point.at, nanos));
            rate.push((point.at, thousands));
        }
        let lines = [
            Line { name: format!("connector, CPU ns per {}", series.unit), points: cpu },
            Line { name: "thousand rows/s, end to end".to_owned(), points: rate },
        ];
        std::fs::create_dir_all(&options.plots)?;
        let path = options.plots.join(series.file);
        write(&path, plot(series.axis, Axis::Logarithmic, &lines))
            .with_context(|| format!("write {}", path.display()))?;
        println!("  plotted in {}", path.display());
    }
    Ok(())
}

fn series(records: usize) -> Vec<Series> {
    let of_l1 = |variant: String, partitions: i32, batch: String, at: f64| Point {
        variant,
        load: Load::l1(),
        partitions,
        records,
        batch,
        at,
        units_per_record: 1.0,
    };
    let sized = |bytes: usize| Point {
        variant: format!("{bytes} bytes"),
        load: if bytes == 347 { Load::l1() } else { Load::sized(bytes) },
        partitions: 4,
        records: if bytes == 347 { records } else { BYTES_OF_A_RUN / bytes },
        batch: BATCH.to_owned(),
        at: bytes as f64,
        units_per_record: bytes as f64,
    };
    let wide = |fields: usize| Point {
        variant: format!("{fields} columns"),
        load: Load::wide(fields),
        partitions: 4,
        records: VALUES_OF_A_RUN / fields,
        batch: BATCH.to_owned(),
        at: fields as f64,
        units_per_record: fields as f64,
    };
    let lingering = |ms: usize| {
        let batch = format!("linger: {ms}ms, rows_max: 500000, bytes_max: 64MiB, inserts_per_second_max: 50");
        of_l1(format!("linger {ms} ms"), 4, batch, ms as f64)
    };
    let partitioned = |n: i32| of_l1(format!("{n} partitions"), n, BATCH.to_owned(), f64::from(n));
    vec![
        Series {
            file: "partitions.svg",
            axis: "partitions",
            unit: "row",
            points: PARTITIONS.map(partitioned).into_iter().collect(),
        },
        Series {
            file: "record-size.svg",
            axis: "bytes of a record",
            unit: "byte",
            points: BYTES.map(sized).into_iter().collect(),
        },
        Series { file: "columns.svg", axis: "columns", unit: "value", points: FIELDS.map(wide).into_iter().collect() },
        Series {
            file: "linger.svg",
            axis: "linger, ms",
            unit: "row",
            points: LINGER_MS.map(lingering).into_iter().collect(),
        },
    ]
}
