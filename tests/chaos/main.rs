//! Chaos on real parts: instances, broker and engine are killed, frozen, cut off and answered with errors, every few
//! seconds, while an oracle compares what Kafka holds with what ClickHouse holds. `docs/reliability.md` has the method.
#![expect(clippy::unwrap_used, reason = "the lint is lifted in test functions, but not in what they share")]

mod clock;
mod fault;
mod fleet;
mod inflict;
mod oracle;
mod overload;
mod reader;
mod record;
#[expect(dead_code, reason = "the simulation uses more of it")]
#[path = "../sim/rng.rs"]
mod rng;
mod run;
mod schedule;
mod settings;
#[expect(dead_code, reason = "the other tests on real parts use more of it")]
#[path = "../it/support/mod.rs"]
mod support;
mod tally;
mod traffic;
mod watch;
mod world;
mod zombies;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// The runs load the whole machine, and measure: one at a time.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn the_oracle_sees_what_is_planted_in_the_tables() {
    let _alone = alone();
    run::planted_faults_are_found();
}

#[test]
fn chaos_with_a_quiet_tail() {
    let _alone = alone();
    run::chaos(run::Tail::Quiet);
}

#[test]
fn chaos_without_a_quiet_tail() {
    let _alone = alone();
    run::chaos(run::Tail::None);
}

#[test]
fn overload_clickhouse_is_stopped() {
    let _alone = alone();
    overload::overload(overload::Overload::Stopped);
}

#[test]
fn overload_clickhouse_refuses_every_insert() {
    let _alone = alone();
    overload::overload(overload::Overload::Refusing);
}

#[test]
fn overload_clickhouse_answers_nothing() {
    let _alone = alone();
    overload::overload(overload::Overload::BlackHole);
}

#[test]
fn zombies_double_nothing() {
    let _alone = alone();
    zombies::zombies();
}
