//! For a checker that visits every state once: states that differ only in how often something was numbered are one state.
//!
//! Compiled in only with the feature `failpoints`, which a release never has. Takeovers, transactions, pauses, blocks
//! and assignments carry numbers that mean nothing but "the same one" or "another one". Within [`renumbered`] their
//! `Hash` is the order in which they are met, so that two histories that lead to the same situation hash alike.

use std::cell::RefCell;
use std::hash::{Hash, Hasher};

use crate::protocol::event::{TakeoverNumber, Ticket, TransactionNumber};
use crate::protocol::state::{Counters, State};
use crate::types::{AssignmentNumber, BlockNumber};

#[derive(Default)]
struct Ranks {
    process: u64,
    /// Kind, process and number of those met, in the order of meeting. A few dozen: quicker to search than a map.
    known: Vec<(&'static str, u64, u64)>,
}

thread_local! {
    static RANKS: RefCell<Option<Ranks>> = const { RefCell::new(None) };
}

/// Runs `hash` with numbers replaced by the order in which they are met.
pub fn renumbered<T>(hash: impl FnOnce() -> T) -> T {
    RANKS.with_borrow_mut(|ranks| *ranks = Some(Ranks::default()));
    let value = hash();
    RANKS.with_borrow_mut(|ranks| *ranks = None);
    value
}

/// Whose numbers come next: every process counts its own.
pub fn of_process(process: u64) {
    RANKS.with_borrow_mut(|ranks| {
        if let Some(ranks) = ranks {
            ranks.process = process;
        }
    });
}

/// Hashes a number by which the process names something.
pub fn name<H: Hasher>(kind: &'static str, number: u64, state: &mut H) {
    let process = RANKS.with_borrow(|ranks| ranks.as_ref().map_or(SHARED, |ranks| ranks.process));
    name_of(process, kind, number, state);
}

/// Hashes a number that names the same thing for every process.
pub fn shared_name<H: Hasher>(kind: &'static str, number: u64, state: &mut H) {
    name_of(SHARED, kind, number, state);
}

/// Stands for no process.
const SHARED: u64 = u64::MAX;

fn name_of<H: Hasher>(process: u64, kind: &'static str, number: u64, state: &mut H) {
    let rank = RANKS.with_borrow_mut(|ranks| {
        let Some(ranks) = ranks else { return number };
        let key = (kind, process, number);
        let same = |known: &(&'static str, u64, u64)| known.2 == key.2 && known.1 == key.1 && known.0 == key.0;
        let rank = ranks.known.iter().position(same).unwrap_or_else(|| {
            ranks.known.push(key);
            ranks.known.len() - 1
        });
        u64::try_from(rank).expect("few numbers")
    });
    state.write_u64(rank);
}

macro_rules! names {
    ($($name:ident),*) => { $(
        impl Hash for $name {
            fn hash<H: Hasher>(&self, state: &mut H) {
                name(stringify!($name), self.0, state);
            }
        }
    )* };
}

names!(TakeoverNumber, TransactionNumber, Ticket, BlockNumber, AssignmentNumber);

/// The next numbers are nobody's yet.
impl Hash for Counters {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let Self { takeover: _, transaction: _, ticket: _, fencings, rejections } = self;
        (fencings, rejections).hash(state);
    }
}

impl State {
    /// Forgets how long the next pause would be: whoever has no clock cannot tell.
    pub fn forget_delays(&mut self) {
        for lane in self.lanes.values_mut() {
            lane.failures = 0;
        }
    }
}
