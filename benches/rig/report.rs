//! What was measured: a line for each run, a file of JSON, at last median and spread of each variant.

use std::fs::{File, OpenOptions, create_dir_all};
use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};

/// One figure of one run.
#[derive(Debug, Clone)]
pub(crate) struct Figure {
    pub(crate) what: String,
    pub(crate) value: f64,
}

/// A figure by its name, which ends in its unit.
pub(crate) fn figure(what: impl Into<String>, value: f64) -> Figure {
    Figure { what: what.into(), value }
}

/// All runs of one variant.
struct Series {
    variant: String,
    runs: Vec<Vec<Figure>>,
}

/// What was measured so far.
pub(crate) struct Report {
    json: File,
    commit: String,
    series: Vec<Series>,
}

impl Report {
    /// A report that appends its runs to this file.
    pub(crate) fn new(json: &Path) -> Result<Self> {
        if let Some(folder) = json.parent() {
            create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
        }
        let file = OpenOptions::new().create(true).append(true).open(json);
        let file = file.with_context(|| format!("open {}", json.display()))?;
        Ok(Self { json: file, commit: commit(), series: Vec::new() })
    }

    /// Adds a run and prints it.
    pub(crate) fn add(&mut self, variant: &str, figures: Vec<Figure>) -> Result<()> {
        let at = self.series.iter().position(|series| series.variant == variant).unwrap_or_else(|| {
            self.series.push(Series { variant: variant.to_owned(), runs: Vec::new() });
            self.series.len() - 1
        });
        let series = &mut self.series[at];
        let shown: Vec<String> =
            figures.iter().map(|figure| format!("{} {}", figure.what, short(figure.value))).collect();
        println!("{variant}, run {}: {}", series.runs.len() + 1, shown.join(", "));
        let values: Map<String, Value> =
            figures.iter().map(|figure| (figure.what.clone(), json!(figure.value))).collect();
        let line = json!({"variant": variant, "commit": self.commit, "figures": values});
        writeln!(self.json, "{line}").context("write the file of results")?;
        series.runs.push(figures);
        Ok(())
    }

    /// The median of a figure over the runs of a variant.
    pub(crate) fn median(&self, variant: &str, what: &str) -> Option<f64> {
        let series = self.series.iter().find(|series| series.variant == variant)?;
        let values = series.values(what);
        values.get(values.len() / 2).copied()
    }

    /// Prints median and spread of each figure of each variant.
    pub(crate) fn summary(&self) {
        for series in &self.series {
            println!("\n{}: median of {} (lowest to highest)", series.variant, series.runs.len());
            for figure in &series.runs[0] {
                let values = series.values(&figure.what);
                let (lowest, median, highest) = (values[0], values[values.len() / 2], values[values.len() - 1]);
                println!("  {:52} {:>9} ({} to {})", figure.what, short(median), short(lowest), short(highest));
            }
        }
    }
}

impl Series {
    /// In ascending order.
    fn values(&self, what: &str) -> Vec<f64> {
        let figures = self.runs.iter().flatten().filter(|figure| figure.what == what);
        let mut values: Vec<f64> = figures.map(|figure| figure.value).collect();
        values.sort_by(f64::total_cmp);
        values
    }
}

/// Three digits or more.
fn short(value: f64) -> String {
    let digits = if value.abs() < 10.0 { 2 } else { usize::from(value.abs() < 100.0) };
    format!("{value:.digits$}")
}

/// Which code this is.
fn commit() -> String {
    let described = Command::new("git").args(["describe", "--always", "--dirty", "--abbrev=12"]).output();
    let described = described.ok().filter(|done| done.status.success());
    described.map_or_else(|| "unknown".to_owned(), |done| String::from_utf8_lossy(&done.stdout).trim().to_owned())
}
