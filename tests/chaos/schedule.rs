//! The schedule: a seeded choice of faults, one begun every few seconds, each counted by what it proved.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::clock::{Stop, now};
use crate::fault::Fault;
use crate::inflict::Ground;
use crate::rng::Rng;

/// Faults of one kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Count {
    /// How often it struck: a rule that cuts three requests counts three.
    pub(crate) fired: u64,
    /// Faults that were begun and struck nothing.
    pub(crate) not_fired: u64,
}

/// Faults by kind.
pub(crate) type Counts = BTreeMap<String, Count>;

/// Begins faults for `time`, or until `stop`; returns when all are over and what they broke is repaired.
pub(crate) fn run(ground: &Ground<'_>, rng: &mut Rng, interval: Duration, time: Duration, stop: &Stop) -> Counts {
    let counts: Mutex<Counts> = Mutex::default();
    std::thread::scope(|scope| {
        let began = now();
        while began.elapsed() < time {
            // Between two thirds and four thirds of the interval.
            let pause = interval.mul_f64(2.0 / 3.0) + interval.mul_f64(2.0 / 3.0 * share(rng));
            if stop.wait(pause) {
                break;
            }
            let fault = Fault::choose(rng, ground.fleet.slots.len());
            let counts = &counts;
            scope.spawn(move || {
                let Some(outcome) = ground.inflict(&fault) else { return };
                let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
                let count = counts.entry(fault.kind()).or_default();
                match outcome {
                    Ok(fired) => count.fired += fired,
                    Err(why) => {
                        count.not_fired += 1;
                        eprintln!("{:>5.0} s: {fault:?} did not fire: {why}", began.elapsed().as_secs_f64());
                        return;
                    }
                }
                eprintln!("{:>5.0} s: {fault:?}", began.elapsed().as_secs_f64());
            });
        }
        ground.stop.set();
    });
    counts.into_inner().unwrap_or_else(PoisonError::into_inner)
}

fn share(rng: &mut Rng) -> f64 {
    f64::from(u32::try_from(rng.below(1_000)).expect("below a thousand")) / 1_000.0
}

/// How many struck.
pub(crate) fn fired(counts: &Counts) -> u64 {
    counts.values().map(|count| count.fired).sum()
}
