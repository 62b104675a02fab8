//! What a connector says of itself on its metrics page, and what its stages took by that.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use devstack::http::Client;

/// The metrics page of the connector that writes this log.
pub(crate) fn page(log: &Path) -> Result<String> {
    let text = std::fs::read_to_string(log)?;
    let (_, rest) = text.split_once("admin=").context("the connector has not said where it listens")?;
    let address = rest.split_whitespace().next().unwrap_or_default().trim_matches('"');
    Ok(Client::new(&format!("http://{address}")).get("/metrics")?.text())
}

/// Name, labels and value of every series.
fn samples(page: &str) -> impl Iterator<Item = (&str, &str, f64)> {
    page.lines().filter_map(|line| {
        let (series, value) = line.rsplit_once(' ')?;
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        Some((name, labels, value.parse().ok()?))
    })
}

/// The sum over all series of a name.
pub(crate) fn total(page: &str, name: &str) -> f64 {
    samples(page).filter(|(found, _, _)| *found == name).map(|(_, _, value)| value).sum()
}

/// The mean of each stage in milliseconds, by a name for people.
pub(crate) fn stages(page: &str) -> BTreeMap<String, f64> {
    let mut stages: BTreeMap<String, (f64, f64)> = BTreeMap::new();
    for (name, labels, value) in samples(page) {
        let (stage, count) = match name.strip_prefix("oncesink_") {
            Some("insert_seconds_sum") => (into(labels), false),
            Some("insert_seconds_count") => (into(labels), true),
            Some("commit_seconds_sum") => ("transaction".to_owned(), false),
            Some("commit_seconds_count") => ("transaction".to_owned(), true),
            Some("takeover_seconds_sum") => ("takeover".to_owned(), false),
            Some("takeover_seconds_count") => ("takeover".to_owned(), true),
            _ => continue,
        };
        let entry = stages.entry(stage).or_default();
        if count { entry.1 += value } else { entry.0 += value }
    }
    let means = stages.into_iter().filter(|(_, (_, count))| *count > 0.0);
    means.map(|(stage, (seconds, count))| (format!("{stage}, mean ms"), 1e3 * seconds / count)).collect()
}

fn into(labels: &str) -> String {
    let table = labels.split_once("into=\"").and_then(|(_, rest)| rest.split_once('"'));
    format!("insert into {}", table.map_or("a table", |(table, _)| table))
}
