//! A failing run made small: its choices are recorded, pieces of them are left out or set back to the first of each,
//! and what still fails in the same way is kept. What is left is for a person to read.

use crate::guarded;
use crate::mutants::Planting;
use crate::rng::Rng;
use crate::world::{Plan, World};

/// Runs that shrinking may take.
const RUNS_MAX: usize = 1_500;

/// Failing seeds of which the smallest run is shown: some stay large, because only several changes at once make them smaller.
const SEEDS_SHRUNK: usize = 3;

/// A run that fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failing {
    pub(crate) violation: String,
    pub(crate) faults: u32,
    pub(crate) moves: usize,
    choices: Vec<u32>,
}

impl Failing {
    /// The run of a seed, if it fails.
    pub(crate) fn of_seed(seed: u64, plan: Plan) -> Option<Self> {
        Self::run(seed, plan, &[], false)
    }

    /// Runs the world that these choices make; where they end it goes on by the seed.
    fn run(seed: u64, plan: Plan, choices: &[u32], verbose: bool) -> Option<Self> {
        let mut world = None;
        let rng = Rng::recorded(seed, choices.to_vec());
        let done = guarded(plan.planting(), || world.insert(World::drawn(rng, plan, verbose)).run()).flatten();
        let violation = done.err()?;
        let world = world?;
        Some(Self {
            violation,
            faults: world.struck.values().sum(),
            moves: world.moves,
            choices: world.rng.choices().to_vec(),
        })
    }

    /// The smallest of the runs of some failing seeds, and its seed.
    pub(crate) fn smallest(seeds: impl IntoIterator<Item = u64>, plan: Plan) -> Option<(u64, Self)> {
        let failing = seeds.into_iter().filter_map(|seed| Some((seed, Self::of_seed(seed, plan)?))).take(SEEDS_SHRUNK);
        failing.map(|(seed, failing)| (seed, failing.shrink(seed, plan))).min_by_key(|(_, small)| small.size())
    }

    /// The smallest run found that fails in the same way.
    fn shrink(self, seed: u64, plan: Plan) -> Self {
        let hook = std::panic::take_hook();
        // A breached assertion of the core is told once, by whoever asked.
        std::panic::set_hook(Box::new(|_| {}));
        let mut best = self;
        let mut runs = 0;
        let mut size = best.choices.len();
        while size > 0 && runs < RUNS_MAX {
            let mut at = 0;
            let mut better = false;
            while at < best.choices.len() && runs < RUNS_MAX {
                let end = (at + size).min(best.choices.len());
                let without = [&best.choices[..at], &best.choices[end..]].concat();
                let mut reset = best.choices.clone();
                reset[at..end].fill(0);
                let smaller = [without, reset].into_iter().filter(|candidate| *candidate != best.choices);
                let found = smaller.filter_map(|candidate| {
                    runs += 1;
                    Self::run(seed, plan, &candidate, false)
                });
                let found = found.filter(|run| run.alike(&best) && run.size() < best.size()).min_by_key(Self::size);
                if let Some(smaller) = found {
                    best = smaller;
                    better = true;
                } else {
                    at = end;
                }
            }
            if !better || size > 1 {
                size /= 2;
            }
        }
        std::panic::set_hook(hook);
        best
    }

    /// Prints every move of it.
    pub(crate) fn print(&self, seed: u64, plan: Plan) {
        Self::run(seed, plan, &self.choices, true);
    }

    fn size(&self) -> (u32, usize, usize, u64) {
        (self.faults, self.moves, self.choices.len(), self.choices.iter().map(|choice| u64::from(*choice)).sum())
    }

    /// Whether it is the same failure, whatever offset it hits.
    fn alike(&self, other: &Self) -> bool {
        let words = |text: &str| text.chars().filter(|letter| !letter.is_ascii_digit()).take(80).collect::<String>();
        words(&self.violation) == words(&other.violation)
    }
}

#[test]
fn a_failing_run_is_made_small() {
    let fenceless = Planting::all().into_iter().find(|planting| format!("{planting:?}").contains("FenceIgnored"));
    let plan = Plan::Mutant(fenceless.expect("it is planted"));
    let (seed, small) = Failing::smallest(0..1_000, plan).expect("the simulation notices it");
    let failing = Failing::of_seed(seed, plan).expect("a seed fails always or never");
    assert_eq!(Err(failing.violation.clone()), crate::run(seed, plan, false), "a recorded run is the run of its seed");
    println!("{} faults, {} moves: {}", failing.faults, failing.moves, failing.violation);
    println!("{} faults, {} moves: {}", small.faults, small.moves, small.violation);
    assert!(small.alike(&failing), "another failure: {}", small.violation);
    assert!(small.faults <= 2 && small.moves * 2 < failing.moves, "{} faults, {} moves", small.faults, small.moves);
    assert_eq!(Failing::run(seed, plan, &small.choices, false), Some(small), "it replays");
}
