//! The model: the shipped `step`, in worlds so small that every state can be visited (stateright).
//!
//! Safety is what the oracle sees, in every state. Liveness: no state leads back to itself, since every fault costs a
//! piece of a budget; so every run ends, and where it ends all is delivered, or halted with a reason.

use std::collections::HashMap;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};

use stateright::{Checker, HasDiscoveries, Model, Property};

use crate::bounds::{BOUNDS, Bound};
use crate::canonical::fingerprint;
use crate::guarded;
use crate::moves::Move;
use crate::mutants::Planting;
use crate::rng::Rng;
use crate::world::World;

/// A state that was reached.
#[derive(Clone)]
pub(crate) struct Reached {
    world: Option<Box<World>>,
    fingerprint: u64,
    violation: Option<String>,
}

impl Hash for Reached {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.fingerprint);
    }
}

impl PartialEq for Reached {
    fn eq(&self, other: &Self) -> bool {
        self.fingerprint == other.fingerprint
    }
}

impl fmt::Debug for Reached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x} {:?}", self.fingerprint, self.violation)
    }
}

impl Reached {
    fn new(mut world: World) -> Self {
        let ends = world.oracle.violation.is_none() && world.enabled().is_empty();
        if ends && let Err(why) = world.ends_well() {
            world.oracle.violation = Some(why);
        }
        Self {
            fingerprint: fingerprint(&world),
            violation: world.oracle.violation.take(),
            world: Some(Box::new(world)),
        }
    }

    fn broken(from: u64, violation: String) -> Self {
        Self { world: None, fingerprint: !from, violation: Some(violation) }
    }
}

/// One move and where it leads.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Step {
    label: String,
    next: Reached,
}

/// The protocol at a bound, with or without a planted fault.
struct Protocol {
    bound: Bound,
    planting: Option<Planting>,
    /// Which state leads to which.
    edges: Arc<Mutex<Vec<(u64, u64)>>>,
}

impl Model for Protocol {
    type State = Reached;
    type Action = Step;

    fn init_states(&self) -> Vec<Reached> {
        let start = || {
            let around = self.planting.and_then(Planting::around);
            let mut world = World::with(self.bound.scenario(), Rng::scripted(Vec::new()), around, false);
            world.settle_locally();
            world.begin(self.bound.start);
            Reached::new(world)
        };
        vec![guarded(self.planting, start).unwrap_or_else(|violation| Reached::broken(0, violation))]
    }

    fn actions(&self, state: &Reached, actions: &mut Vec<Step>) {
        let Some(world) = state.world.as_ref().filter(|_| state.violation.is_none()) else { return };
        let label = |step: Move| format!("{step:?}");
        let found = guarded(self.planting, || {
            world.successors().into_iter().map(|(step, next)| (step, Reached::new(next))).collect::<Vec<_>>()
        });
        match found {
            Ok(found) => {
                actions.extend(found.into_iter().map(|(step, next)| Step { label: label(step), next }));
            }
            Err(violation) => {
                let next = Reached::broken(state.fingerprint, violation);
                actions.push(Step { label: "an assertion is breached".to_owned(), next });
            }
        }
        // What changes nothing is no step.
        actions.retain(|step| step.next.fingerprint != state.fingerprint);
        let mut edges = self.edges.lock().unwrap_or_else(PoisonError::into_inner);
        edges.extend(actions.iter().map(|step| (state.fingerprint, step.next.fingerprint)));
    }

    fn next_state(&self, _: &Reached, step: Step) -> Option<Reached> {
        Some(step.next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![Property::always("safe, and all is delivered where it ends", |_, state: &Reached| {
            state.violation.is_none()
        })]
    }
}

/// What a check found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// All states were visited.
    Exhausted { states: usize },
    /// The limit was reached first.
    Limit { states: usize },
    /// A shortest run into what must not be.
    Violation { steps: usize, text: String },
    /// States that lead back to themselves.
    Cycle { states: usize },
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::Exhausted { states } => format!("{states} states, no violation, no cycle, all end well"),
            Self::Limit { states } => format!("{states} states, no violation; there are more"),
            Self::Violation { steps, text } => format!("violation after {steps} steps: {text}"),
            Self::Cycle { states } => format!("{states} states lead back to themselves"),
        };
        f.pad(&text)
    }
}

/// Visits every state of a bound, `limit` of them at most.
pub(crate) fn check(bound: Bound, planting: Option<Planting>, limit: usize) -> (Found, Vec<String>) {
    let edges = Arc::new(Mutex::new(Vec::new()));
    let protocol = Protocol { bound, planting, edges: Arc::clone(&edges) };
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let checker = protocol
        .checker()
        .threads(threads)
        .target_state_count(limit)
        .finish_when(HasDiscoveries::Any)
        .spawn_bfs()
        .join();
    let states = checker.unique_state_count();
    if let Some(path) = checker.discoveries().into_values().next() {
        let text = path.last_state().violation.clone().unwrap_or_default();
        let steps: Vec<String> = path.into_actions().into_iter().map(|step| step.label).collect();
        return (Found::Violation { steps: steps.len(), text }, steps);
    }
    if checker.state_count() >= limit {
        return (Found::Limit { states }, Vec::new());
    }
    let edges = std::mem::take(&mut *edges.lock().unwrap_or_else(PoisonError::into_inner));
    match on_cycles(&edges) {
        0 => (Found::Exhausted { states }, Vec::new()),
        states => (Found::Cycle { states }, Vec::new()),
    }
}

/// How many states cannot be put in an order in which every edge leads forward.
fn on_cycles(edges: &[(u64, u64)]) -> usize {
    let mut index: HashMap<u64, usize> = HashMap::new();
    let mut next: Vec<Vec<usize>> = Vec::new();
    let mut entering: Vec<usize> = Vec::new();
    for (from, to) in edges {
        let mut place = |state: u64| {
            *index.entry(state).or_insert_with(|| {
                next.push(Vec::new());
                entering.push(0);
                next.len() - 1
            })
        };
        let (from, to) = (place(*from), place(*to));
        next[from].push(to);
        entering[to] += 1;
    }
    let mut ready: Vec<usize> = (0..next.len()).filter(|state| entering[*state] == 0).collect();
    let mut ordered = 0;
    while let Some(state) = ready.pop() {
        ordered += 1;
        for to in std::mem::take(&mut next[state]) {
            entering[to] -= 1;
            if entering[to] == 0 {
                ready.push(to);
            }
        }
    }
    next.len() - ordered
}

#[test]
fn cycles_are_found() {
    let check = |edges: &[(u64, u64)], expected: usize| assert_eq!(on_cycles(edges), expected, "{edges:?}");
    check(&[], 0);
    check(&[(1, 2), (2, 3), (1, 3)], 0);
    check(&[(1, 2), (2, 1)], 2);
    // What a cycle leads to cannot be ordered either.
    check(&[(0, 1), (1, 2), (2, 1), (2, 3)], 3);
}

fn steps_from_environment() -> Option<usize> {
    Some(usize::try_from(crate::number("MODEL_STEPS")?).expect("fits"))
}

fn named(part: &str) -> impl Iterator<Item = &'static (&'static str, Bound)> {
    BOUNDS.iter().filter(move |(name, _)| name.contains(part))
}

/// Steps of a bound within which a planted fault has to be noticed.
const MUTANT_STEPS: usize = 60_000;

/// At which of the bounds with this in their name the model notices a planted fault, and how.
pub(crate) fn notices(planting: Planting, bounds: &str) -> Option<String> {
    let limit = steps_from_environment().unwrap_or(MUTANT_STEPS);
    named(bounds).find_map(|(name, bound)| {
        let (found, _) = check(*bound, Some(planting), limit);
        let noticed = matches!(found, Found::Violation { .. } | Found::Cycle { .. });
        noticed.then(|| format!("model, {name}: {found:.160}"))
    })
}

/// At most so many steps of a bound in an ordinary test run; `MODEL_STEPS` allows more.
const STEPS: usize = 60_000;

#[test]
fn no_state_of_a_small_world_is_wrong_and_none_leads_back_to_itself() {
    let limit = steps_from_environment().unwrap_or(STEPS);
    let only = std::env::var("MODEL_BOUND").unwrap_or_default();
    let mut wrong = Vec::new();
    for (name, bound) in named(&only) {
        let (found, steps) = check(*bound, None, limit);
        println!("{name}: {found:.400}");
        if let Found::Violation { .. } | Found::Cycle { .. } = found {
            steps.iter().for_each(|step| println!("    {step}"));
            wrong.push(name);
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}
