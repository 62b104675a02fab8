//! What the stages of a connector took, from its own metrics page.

use std::collections::BTreeMap;

/// The mean of each stage in milliseconds, by a name for people.
pub(crate) fn stages(metrics: &str) -> BTreeMap<String, f64> {
    let mut stages: BTreeMap<String, (f64, f64)> = BTreeMap::new();
    for line in metrics.lines() {
        let Some((series, value)) = line.rsplit_once(' ') else { continue };
        let Ok(value) = value.parse::<f64>() else { continue };
        let name = series.split('{').next().unwrap_or_default();
        let (stage, count) = match name.strip_prefix("oncesink_") {
            Some("insert_seconds_sum") => (into(series), false),
            Some("insert_seconds_count") => (into(series), true),
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

fn into(series: &str) -> String {
    let table = series.split_once("into=\"").and_then(|(_, rest)| rest.split_once('"'));
    format!("insert into {}", table.map_or("a table", |(table, _)| table))
}
