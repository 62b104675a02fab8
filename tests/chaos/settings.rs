//! What the environment asks for.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// A number from the environment; `default` where it is not set.
pub(crate) fn number<T: FromStr>(name: &str, default: T) -> T {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")),
        Err(_) => default,
    }
}

/// How a run is made.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// How long there are faults.
    pub(crate) faults: Duration,
    /// Before the first fault: what the clean rate is measured in.
    pub(crate) clean: Duration,
    /// Between the starts of two faults, on average.
    pub(crate) interval: Duration,
    /// Chooses the faults.
    pub(crate) seed: u64,
    /// Records per second that the producers make at most.
    pub(crate) rate: u64,
    /// Records that may wait for the connector; the producers pause above.
    pub(crate) backlog_max: u64,
}

/// A debug build is for CI, where a few minutes have to do.
const DEBUG: bool = cfg!(debug_assertions);

impl Settings {
    /// Of one of the two variants, which share `CHAOS_MINUTES`.
    pub(crate) fn from_environment() -> Self {
        // With three short overloads that makes five minutes of faults.
        let minutes: f64 = number("CHAOS_MINUTES", 3.8);
        let faults = Duration::from_secs_f64(minutes * 30.0);
        Self {
            faults,
            clean: Duration::from_secs(60).min(faults / 4),
            interval: Duration::from_secs_f64(number("CHAOS_INTERVAL", 4.5)),
            seed: number("CHAOS_SEED", rand::random()),
            rate: number("CHAOS_RATE", if DEBUG { 10_000 } else { 120_000 }),
            backlog_max: number("CHAOS_BACKLOG", 20_000_000),
        }
    }
}

/// Where every run appends its line.
pub(crate) fn record_file() -> PathBuf {
    let default = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/chaos/record.jsonl");
    std::env::var_os("CHAOS_RECORD").map_or_else(default, PathBuf::from)
}
