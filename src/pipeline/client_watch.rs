//! Notices when the Kafka client remembers what is not so any more, and has it built anew.
//!
//! The client library asks who coordinates the group again and again, but keeps the coordinator's address as long as its
//! number stays the same: a broker that named a wrong address once (`advertised.listeners`) is never found again. So now and
//! then the clients are asked something that only the coordinator, or only a leader, can answer. Where they find nobody and a
//! client made this moment does, they are built anew. A client that finds its brokers is left alone, and so is one whose
//! brokers nobody finds.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::Outdated;
use crate::source::handle::GroupHandle;

/// Between two looks.
const INTERVAL: Duration = Duration::from_secs(3);
/// For each question.
const TIMEOUT: Duration = Duration::from_secs(3);
/// How long a fresh client has to find what ours do not. Ours find a broker that comes back by themselves, a little later.
const PATIENCE_MIN: Duration = Duration::from_secs(5);
/// The patience doubles up to this while building anew does not help.
const PATIENCE_MAX: Duration = Duration::from_secs(80);

/// When clients are built anew. Shared by all consumers that one process builds, one after the other.
#[derive(Debug)]
pub(super) struct Patience {
    length: Duration,
    /// Since when a fresh client finds what ours do not.
    since: Option<Instant>,
}

impl Default for Patience {
    fn default() -> Self {
        Self { length: PATIENCE_MIN, since: None }
    }
}

impl Patience {
    /// Our clients find all they need.
    fn found(&mut self) {
        *self = Self::default();
    }

    /// Nobody finds it.
    fn nobody_finds(&mut self) {
        self.since = None;
    }

    /// A fresh client finds it, and ours do not. Gives whether they are to be built anew.
    fn only_fresh_finds(&mut self, now: Instant) -> bool {
        let over = now - *self.since.get_or_insert(now) >= self.length;
        if over {
            *self = Self { length: (self.length * 2).min(PATIENCE_MAX), since: None };
        }
        over
    }
}

/// Looks until the clients have to be built anew.
pub(super) async fn watch(group: GroupHandle, patience: Arc<Mutex<Patience>>) -> Outdated {
    loop {
        tokio::time::sleep(INTERVAL).await;
        let ours = ask(&group, |group| group.finds_brokers(TIMEOUT)).await;
        let fresh =
            if ours.is_err() { ask(&group, |group| group.fresh_client_finds_brokers(TIMEOUT)).await } else { Ok(()) };
        let mut patience = patience.lock().unwrap_or_else(PoisonError::into_inner);
        match (ours, fresh) {
            (Ok(()), _) => patience.found(),
            (Err(_), Err(_)) => patience.nobody_finds(),
            (Err(text), Ok(())) if patience.only_fresh_finds(crate::clock::now()) => {
                return Outdated(format!("the kafka client does not find what a new one finds ({text})"));
            }
            (Err(_), Ok(())) => {}
        }
    }
}

async fn ask(
    group: &GroupHandle,
    question: impl FnOnce(&GroupHandle) -> Result<(), crate::source::KafkaFault> + Send + 'static,
) -> Result<(), String> {
    let group = group.clone();
    let asked = tokio::task::spawn_blocking(move || question(&group)).await;
    asked.expect("a question to Kafka panicked").map_err(|fault| fault.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_built_anew_when_only_a_fresh_one_finds_its_brokers_for_a_while() {
        let start = crate::clock::now();
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let mut patience = Patience::default();
        assert!(!patience.only_fresh_finds(at(0)));
        assert!(!patience.only_fresh_finds(at(4)));
        // The servers went away for everybody: it begins again.
        patience.nobody_finds();
        assert!(!patience.only_fresh_finds(at(6)));
        assert!(patience.only_fresh_finds(at(11)));
        // It did not help: more patience, within a bound.
        let mut waits = Vec::new();
        let mut now = 11;
        for _ in 0..6 {
            now += 1;
            let began = now;
            while !patience.only_fresh_finds(at(now)) {
                now += 1;
            }
            waits.push(now - began);
        }
        assert_eq!(waits, [10, 20, 40, 80, 80, 80]);
        patience.found();
        assert!(!patience.only_fresh_finds(at(now)));
        assert!(patience.only_fresh_finds(at(now + 5)));
    }
}
