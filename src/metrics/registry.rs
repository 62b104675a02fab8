//! The series: made from definitions, kept by the exporter, rendered under the lock of the accounts.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};

use metrics::{Counter, Gauge, Histogram, Key, KeyName, Label, Level, Metadata, Recorder, Unit};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusRecorder};

use super::definitions::{self, Definition, Kind};
use super::throttle::Throttled;

/// So many error codes are told apart in `oncesink_retries_total`.
const CODES_MAX: usize = 64;

#[derive(Debug)]
pub(crate) struct Registry {
    recorder: PrometheusRecorder,
    /// Held while a block is booked and while the text is made: in every scrape the accounts balance.
    accounts: Mutex<()>,
    retries: Mutex<BTreeMap<String, Counter>>,
    pub(crate) throttled: Throttled,
}

impl Registry {
    pub(crate) fn new(connector: &str) -> Self {
        let mut builder = PrometheusBuilder::new().add_global_label("connector", connector);
        for metric in definitions::ALL.iter().filter(|metric| metric.kind == Kind::Histogram) {
            builder = builder
                .set_buckets_for_metric(Matcher::Full(metric.name.to_owned()), metric.buckets)
                .expect("every histogram has buckets: a test looks at all of them");
        }
        let recorder = builder.build_recorder();
        for metric in definitions::ALL {
            let (name, help) = (KeyName::from_const_str(metric.name), metric.help.into());
            match metric.kind {
                Kind::Counter => recorder.describe_counter(name, unit(metric), help),
                Kind::Gauge => recorder.describe_gauge(name, unit(metric), help),
                Kind::Histogram => recorder.describe_histogram(name, unit(metric), help),
            }
        }
        Self { recorder, accounts: Mutex::new(()), retries: Mutex::new(BTreeMap::new()), throttled: Throttled::new() }
    }

    pub(crate) fn counter(&self, metric: &Definition, labels: &[&str]) -> Counter {
        self.recorder.register_counter(&key(metric, Kind::Counter, labels), &METADATA)
    }

    pub(crate) fn gauge(&self, metric: &Definition, labels: &[&str]) -> Gauge {
        self.recorder.register_gauge(&key(metric, Kind::Gauge, labels), &METADATA)
    }

    pub(crate) fn histogram(&self, metric: &Definition, labels: &[&str]) -> Histogram {
        self.recorder.register_histogram(&key(metric, Kind::Histogram, labels), &METADATA)
    }

    /// Something is tried again. Codes come from servers, so their number is bounded here.
    pub(crate) fn retried(&self, code: &str) {
        let mut retries = self.retries.lock().expect("nothing panics while it holds this lock");
        let known = retries.contains_key(code) || retries.len() < CODES_MAX;
        let code = if known { code } else { "other" };
        retries.entry(code.to_owned()).or_insert_with(|| self.counter(&definitions::RETRIES, &[code])).increment(1);
    }

    /// No scrape sees the accounts while this is held. Held for additions only, never across a wait.
    pub(crate) fn accounts(&self) -> MutexGuard<'_, ()> {
        self.accounts.lock().expect("nothing panics while it holds this lock")
    }

    pub(crate) fn render(&self) -> String {
        let _accounts = self.accounts();
        self.recorder.handle().render()
    }

    /// Moves samples into buckets. Without it they pile up for as long as nobody scrapes.
    pub(crate) fn upkeep(&self) {
        self.recorder.handle().run_upkeep();
    }
}

static METADATA: Metadata<'static> = Metadata::new("oncesink", Level::INFO, Some("oncesink"));

fn key(metric: &Definition, kind: Kind, values: &[&str]) -> Key {
    assert_eq!(metric.kind, kind, "{} is used as another kind than it is defined as", metric.name);
    assert_eq!(metric.labels.len(), values.len(), "{} wants the labels {:?}", metric.name, metric.labels);
    let labels = metric.labels.iter().zip(values).map(|(name, value)| Label::new(*name, (*value).to_owned()));
    Key::from_parts(metric.name, labels.collect::<Vec<_>>())
}

fn unit(metric: &Definition) -> Option<Unit> {
    let base = metric.name.strip_suffix("_total").unwrap_or(metric.name);
    if base.ends_with("_seconds") {
        Some(Unit::Seconds)
    } else if base.contains("bytes") {
        Some(Unit::Bytes)
    } else {
        Some(Unit::Count)
    }
}

/// A count as a metric's value. Above 2^53 the last digits are lost, which no graph shows.
pub(crate) fn float(value: u64) -> f64 {
    value as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_codes_is_bounded() {
        let registry = Registry::new("readings");
        for code in 0..CODES_MAX + 10 {
            registry.retried(&code.to_string());
        }
        let text = registry.render();
        assert_eq!(text.lines().filter(|line| line.starts_with("oncesink_retries_total{")).count(), CODES_MAX + 1);
        assert!(text.contains(r#"oncesink_retries_total{connector="readings",code="other"} 10"#), "{text}");
    }

    #[test]
    fn units_follow_from_names() {
        let check = |metric: &Definition, expected| assert_eq!(unit(metric), Some(expected), "{}", metric.name);
        check(&definitions::INSERT_SECONDS, Unit::Seconds);
        check(&definitions::BYTES_IN, Unit::Bytes);
        check(&definitions::MEMORY_BYTES, Unit::Bytes);
        check(&definitions::INSERTS, Unit::Count);
    }
}
