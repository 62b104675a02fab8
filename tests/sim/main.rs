//! Seeded simulation of the protocol: the production core and block bookkeeping among fake brokers and servers that
//! fail. A failing seed replays: `SIM_SEED=17 cargo test --test sim`. More of them: `SIM_SEEDS=100000`.

mod bounds;
mod canonical;
mod clickhouse;
mod driver;
mod explore;
mod kafka;
mod model;
mod moves;
mod mutants;
mod oracle;
mod rng;
mod scenario;
mod server;
mod shrink;
mod start;
mod worker;
mod world;

use oncesink::protocol::planted;
use std::panic::{AssertUnwindSafe, catch_unwind};

use mutants::Planting;
use world::{Plan, World};

/// Seeds of an ordinary test run.
const SEEDS: u64 = 10_000;

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is not a number: {text}")))
}

/// Which code this is.
fn commit() -> String {
    let described = std::process::Command::new("git").args(["describe", "--always", "--dirty", "--abbrev=12"]).output();
    let described = described.ok().filter(|done| done.status.success());
    described.map_or_else(|| "unknown".to_owned(), |done| String::from_utf8_lossy(&done.stdout).trim().to_owned())
}

/// Runs one seed; an assertion of the core counts as a failure like any other.
fn run(seed: u64, plan: Plan, verbose: bool) -> Result<(), String> {
    guarded(plan.planting(), || World::new(seed, plan, verbose).run()).flatten()
}

/// Runs the core, with a fault planted or without, and tells a breach of its assertions as text.
fn guarded<T>(planting: Option<Planting>, run: impl FnOnce() -> T) -> Result<T, String> {
    planted::plant(planting.and_then(Planting::core));
    let done = catch_unwind(AssertUnwindSafe(run));
    planted::plant(None);
    done.map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        text.or(panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
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
    // The trace of one of the first, as short as it gets.
    if let Some((seed, small)) = shrink::Failing::smallest(failed.iter().map(|(seed, _)| *seed), Plan::Plain) {
        small.print(seed, Plan::Plain);
        println!("seed {seed}, {} faults, {} moves: {}", small.faults, small.moves, small.violation);
    }
    assert!(failed.is_empty(), "{} seeds fail at {}", failed.len(), commit());
}

/// Seeds within which the simulation has to notice a planted fault, if the model is not to.
const MUTANT_SEEDS: u64 = 3_000;

/// The first seed at which the simulation notices a planted fault, and finds nothing without it; and what it says.
fn caught_by_simulation(planting: Planting) -> Option<(u64, String)> {
    if let Some(seed) = number("SIM_SEED") {
        return Some((seed, run(seed, Plan::Mutant(planting), true).err()?));
    }
    let first = planting.rare().unwrap_or(0);
    (first..first + number("SIM_SEEDS").unwrap_or(MUTANT_SEEDS)).find_map(|seed| {
        let violation = run(seed, Plan::Mutant(planting), false).err()?;
        run(seed, Plan::Control(planting), false).is_ok().then_some((seed, violation))
    })
}

#[test]
fn every_planted_fault_is_noticed() {
    let only = std::env::var("MUTANT").unwrap_or_default();
    let chosen = Planting::all().into_iter().filter(|planting| format!("{planting:?}").contains(&only));
    let survives = |planting: &Planting| {
        let what = planting.describe();
        let by_model = |bound: &str| model::notices(*planting, bound);
        let by_simulation = || {
            let (seed, violation) = caught_by_simulation(*planting)?;
            Some(format!("simulation, seed {seed}: {violation:.160}"))
        };
        let noticed = planting.deep().map_or_else(|| by_simulation().or_else(|| by_model("")), by_model);
        println!("| {planting:?} | {what} | {} |", noticed.as_deref().unwrap_or("nothing"));
        noticed.is_none()
    };
    let survivors: Vec<Planting> = chosen.filter(survives).collect();
    assert!(survivors.is_empty(), "nothing notices {survivors:?}");
}

#[test]
fn the_faults_that_tell_mutants_break_nothing_else() {
    let seeds = number("SIM_CONTROLS").unwrap_or(40);
    for mutant in Planting::all() {
        for seed in 0..seeds {
            run(seed, Plan::Control(mutant), number("SIM_TRACE") == Some(seed))
                .unwrap_or_else(|violation| panic!("{mutant:?}: seed {seed}: {violation}"));
        }
    }
}
