//! Where the visit of all states begins. What lies deep is reached on one way, and left on all.

use crate::clickhouse::Run;
use crate::moves::Move;
use crate::worker::Task;
use crate::world::World;

/// The situation that a bound begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Start {
    /// All workers are in the group, which has given the partitions out.
    Assigned,
    /// The owner has proved that the partition is its own and is about to claim; the group has given it to the
    /// other worker, which has claimed, has waited for what ran, and is about to look.
    ZombieClaims,
    /// Both have proved that the partition is theirs, one after the other, and know which claim to outrank.
    BothClaim,
    /// The insert of the owner is on its way; the group has given the partition to the other worker, which is about to claim.
    ZombieInserts,
}

/// A way that leads nowhere within this many moves is an error of the checker.
const MOVES_MAX: usize = 200;

impl World {
    /// Goes there from a world that was just made.
    pub(crate) fn begin(&mut self, start: Start) {
        self.assign_all();
        let holder = self.kafka.group.holder.get(&self.keys[0]).expect("it is given out");
        let first = self.kafka.group.members[holder].worker;
        let second = self.workers.len() - 1 - first;
        let claims =
            |read: bool| move |task: &Task| matches!(task, Task::Claim { greatest, .. } if greatest.is_some() == read);
        match start {
            Start::Assigned => {}
            Start::ZombieClaims => {
                self.advance_to(first, claims(false));
                self.hand_over(first);
                self.advance_to(second, |task| matches!(task, Task::Look { rows: None, .. }));
            }
            Start::BothClaim => {
                self.advance_to(first, claims(true));
                self.hand_over(first);
                self.advance_to(second, claims(true));
            }
            Start::ZombieInserts => {
                self.only(first, |world| world.clickhouse.statements.iter().any(|sent| sent.run == Run::Sent));
                self.hand_over(first);
                self.advance_to(second, claims(false));
            }
        }
    }

    /// The group gives to the other worker what this one has, which does not hear of it.
    fn hand_over(&mut self, first: usize) {
        let member = self.workers[first].member.expect("all are in the group");
        self.kafka.group.kick(member, &self.keys, &mut self.rng);
    }

    fn advance_to(&mut self, w: usize, arrived: impl Fn(&Task) -> bool) {
        self.only(w, |world| world.workers[w].tasks.iter().any(&arrived));
    }

    /// Only this worker moves, and the brokers write what is decided; nothing fails.
    fn only(&mut self, w: usize, arrived: impl Fn(&Self) -> bool) {
        for _ in 0..MOVES_MAX {
            if arrived(self) {
                return;
            }
            let own = |step: &Move| match step {
                Move::Task(of, _) | Move::Poll(of) => *of == w,
                Move::Marker(_) => true,
                _ => false,
            };
            let step = self.enabled().into_iter().find(own);
            let Some(step) = step else { panic!("worker {w} does not get there: {}", self.describe()) };
            self.make(step);
            self.settle_locally();
        }
        panic!("worker {w} does not get there: {}", self.describe());
    }
}
