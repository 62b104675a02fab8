//! Time of the chaos runs: the paced clock of the schedule, and a signal that ends every wait.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The time.
#[expect(clippy::disallowed_methods, reason = "the tests have no clock of their own")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Ends what waits for it. Clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stop(Arc<(Mutex<bool>, Condvar)>);

impl Stop {
    /// Ends all waits, now and later.
    pub(crate) fn set(&self) {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.0.1.notify_all();
    }

    /// Whether it was set.
    pub(crate) fn is_set(&self) -> bool {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits so long, or until it is set; says whether it is.
    pub(crate) fn wait(&self, time: Duration) -> bool {
        let set = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.0.1.wait_timeout_while(set, time, |set| !*set);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }

    /// Looks every 50 ms until `condition` holds, at most so long, and not beyond the stop; says whether it held.
    pub(crate) fn until(&self, limit: Duration, mut condition: impl FnMut() -> bool) -> bool {
        let began = now();
        loop {
            if condition() {
                return true;
            }
            if began.elapsed() > limit || self.wait(Duration::from_millis(50)) {
                return false;
            }
        }
    }
}
