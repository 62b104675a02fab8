//! Seeded simulation of the protocol: the production core and block bookkeeping among fake brokers and servers that
//! fail. A failing seed replays: `SIM_SEED=17 cargo test --test sim`. More of them: `SIM_SEEDS=100000`.

mod clickhouse;
mod driver;
mod kafka;
mod oracle;
mod rng;
mod scenario;
mod server;
mod worker;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};

use scenario::{MUTANTS, Mutant};
use world::{Plan, World};

/// Seeds of an ordinary test run.
const SEEDS: u64 = 2_000;

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is not a number: {text}")))
}

/// Runs one seed; an assertion of the core counts as a failure like any other.
fn run(seed: u64, plan: Plan, verbose: bool) -> Result<(), String> {
    let run = AssertUnwindSafe(|| World::new(seed, plan, verbose).run());
    catch_unwind(run).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        Err(text.or(panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default())
    })
}

#[test]
fn every_record_arrives_once_and_every_alert_is_read_once() {
    if let Some(seed) = number("SIM_SEED") {
        return run(seed, Plan::Plain, true).unwrap_or_else(|violation| panic!("seed {seed}: {violation}"));
    }
    let first = number("SIM_FIRST").unwrap_or(0);
    let seeds = number("SIM_SEEDS").unwrap_or(SEEDS);
    let failed: Vec<_> =
        (first..first + seeds).filter_map(|seed| Some((seed, run(seed, Plan::Plain, false).err()?))).take(20).collect();
    for (seed, violation) in &failed {
        println!("SIM_SEED={seed}: {violation:.400}");
    }
    assert!(failed.is_empty(), "{} seeds fail", failed.len());
}

/// Seeds within which the oracle has to notice a mutant.
const MUTANT_SEEDS: u64 = 3_000;

#[test]
fn the_oracle_notices_every_mutant() {
    let survives = |mutant: &Mutant| {
        let caught = (0..MUTANT_SEEDS).find_map(|seed| Some((seed, run(seed, Plan::Mutant(*mutant), false).err()?)));
        let Some((seed, violation)) = caught else { return true };
        println!("{mutant:?}: seed {seed}: {violation:.200}");
        let control = run(seed, Plan::Control(*mutant), false);
        assert_eq!(control, Ok(()), "{mutant:?}: seed {seed} fails without the mutant too");
        false
    };
    let survivors: Vec<Mutant> = MUTANTS.into_iter().filter(survives).collect();
    assert!(survivors.is_empty(), "the oracle does not notice {survivors:?}");
}

#[test]
fn the_faults_that_tell_mutants_break_nothing_else() {
    let seeds = number("SIM_CONTROLS").unwrap_or(40);
    for mutant in MUTANTS {
        for seed in 0..seeds {
            run(seed, Plan::Control(mutant), number("SIM_TRACE") == Some(seed))
                .unwrap_or_else(|violation| panic!("{mutant:?}: seed {seed}: {violation}"));
        }
    }
}
