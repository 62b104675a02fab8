//! The beat of the process's main loop: what `/livez` looks at.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::clock;

/// Beaten by the main loop, read by the admin port. Cheap to clone and to beat.
#[derive(Debug, Clone)]
pub struct Heartbeat {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    start: Instant,
    /// Milliseconds between `start` and the last beat.
    last_ms: AtomicU64,
    silence_max: Duration,
}

impl Heartbeat {
    /// Beats now for the first time. A loop that is silent for `silence_max` counts as stuck.
    pub fn new(silence_max: Duration) -> Self {
        Self { shared: Arc::new(Shared { start: clock::now(), last_ms: AtomicU64::new(0), silence_max }) }
    }

    /// The loop has come round.
    pub fn beat(&self) {
        self.shared.last_ms.store(self.elapsed_ms(), Ordering::Relaxed);
    }

    /// How long the loop has been silent, if that is too long.
    pub fn stuck(&self) -> Option<Duration> {
        let silence = self.elapsed_ms().saturating_sub(self.shared.last_ms.load(Ordering::Relaxed));
        let silence = Duration::from_millis(silence);
        (silence >= self.shared.silence_max).then_some(silence)
    }

    fn elapsed_ms(&self) -> u64 {
        let elapsed = clock::now().saturating_duration_since(self.shared.start);
        u64::try_from(elapsed.as_millis()).expect("no process runs for half a billion years")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_judged_by_its_bound() {
        let check = |silence_max: Duration, stuck: bool| {
            let heartbeat = Heartbeat::new(silence_max);
            heartbeat.beat();
            assert_eq!(heartbeat.stuck().is_some(), stuck, "{silence_max:?}");
        };
        check(Duration::from_secs(86_400), false);
        // A bound that any silence reaches.
        check(Duration::ZERO, true);
    }
}
