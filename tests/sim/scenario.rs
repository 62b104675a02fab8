//! What a seed means: the size of the world, its configuration, and how often each fault may strike.

use crate::rng::Rng;

/// Faults that a run can have; each has its own budget, so that a seed combines a few of them often.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    Crash,
    Freeze,
    Kick,
    Rebalance,
    /// A client gives up on a statement that is on its way or runs.
    Timeout,
    /// A statement ends with an error before, between or after its parts.
    ErrorReply,
    /// A step of a takeover fails.
    StepFails,
    TxnTimeout,
    /// An offset or commit request of a transaction gets no answer, and takes effect later, or at once.
    TxnUnclear,
    ServerCrash,
    PowerLoss,
    Retention,
    Compaction,
    Outage,
    Recreate,
    /// The process is told to stop and started again.
    Restart,
}

pub(crate) const FAULTS: [Fault; 16] = [
    Fault::Crash,
    Fault::Freeze,
    Fault::Kick,
    Fault::Rebalance,
    Fault::Timeout,
    Fault::ErrorReply,
    Fault::StepFails,
    Fault::TxnTimeout,
    Fault::TxnUnclear,
    Fault::ServerCrash,
    Fault::PowerLoss,
    Fault::Retention,
    Fault::Compaction,
    Fault::Outage,
    Fault::Recreate,
    Fault::Restart,
];

/// Faults of the harness or the fakes, to see that the oracle notices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mutant {
    FenceIgnored,
    DrainSkipped,
    LookBeforeClaim,
    DeadLettersNotLookedAt,
    GuardOff,
    UnstableRead,
    LedgerOmitted,
    SettleSkipped,
    FloorDropped,
    BlindResend,
    ErrorMeansNothingWritten,
    GenerationMinusOne,
    AlertsOutsideTransaction,
    LateOffsetsThenAgain,
    TopicNotChecked,
    CheckpointUnproved,
    PresentNotFed,
}

pub(crate) const MUTANTS: [Mutant; 17] = [
    Mutant::FenceIgnored,
    Mutant::DrainSkipped,
    Mutant::LookBeforeClaim,
    Mutant::DeadLettersNotLookedAt,
    Mutant::GuardOff,
    Mutant::UnstableRead,
    Mutant::LedgerOmitted,
    Mutant::SettleSkipped,
    Mutant::FloorDropped,
    Mutant::BlindResend,
    Mutant::ErrorMeansNothingWritten,
    Mutant::GenerationMinusOne,
    Mutant::AlertsOutsideTransaction,
    Mutant::LateOffsetsThenAgain,
    Mutant::TopicNotChecked,
    Mutant::CheckpointUnproved,
    Mutant::PresentNotFed,
];

#[derive(Debug, Clone)]
pub(crate) struct Scenario {
    pub(crate) lanes: u16,
    pub(crate) partitions: i32,
    pub(crate) workers: usize,
    pub(crate) records: u64,
    pub(crate) rows_max: u64,
    pub(crate) eager: bool,
    pub(crate) replicated: bool,
    pub(crate) two_parts: bool,
    pub(crate) skip_gaps: bool,
    pub(crate) start_latest: bool,
    pub(crate) checkpoints: bool,
    pub(crate) budgets: Vec<(Fault, u32)>,
    pub(crate) faulty_steps: usize,
    /// How soon, in percent per step, a driver notices that the server was started anew.
    pub(crate) notice: u64,
    /// How often, in percent, moves of each kind are open to the scheduler: what is slow leaves time for races.
    pub(crate) pace: [u64; PACES],
}

/// Kinds of moves that a run can slow down: server, brokers, polls, replies.
pub(crate) const PACES: usize = 4;

impl Scenario {
    pub(crate) fn draw(rng: &mut Rng) -> Self {
        let mut budgets = Vec::new();
        let share = [15, 30, 60][rng.below(3)];
        for fault in FAULTS {
            let rare = matches!(fault, Fault::PowerLoss | Fault::Recreate | Fault::Outage | Fault::Retention);
            if rng.percent(if rare { share / 2 } else { share }) {
                let most = if rare { 2 } else { 4 };
                budgets.push((fault, u32::try_from(rng.between(1, most)).expect("small")));
            }
        }
        Self {
            lanes: if rng.percent(25) { 2 } else { 1 },
            partitions: if rng.percent(50) { 2 } else { 1 },
            workers: if rng.percent(25) { 3 } else { 2 },
            records: rng.between(2, 10),
            rows_max: rng.between(1, 4),
            eager: rng.percent(30),
            replicated: rng.percent(25),
            two_parts: rng.percent(50),
            skip_gaps: rng.percent(70),
            start_latest: rng.percent(15),
            checkpoints: rng.percent(30),
            budgets,
            faulty_steps: rng.below(500) + 100,
            notice: [30, 10, 1][rng.below(3)],
            pace: [(); PACES].map(|()| [100, 100, 30, 8][rng.below(4)]),
        }
    }

    /// Makes the faults frequent that tell a mutant from the real thing.
    pub(crate) fn focus(&mut self, mutant: Mutant, rng: &mut Rng) {
        let faults: &[Fault] = match mutant {
            Mutant::FenceIgnored | Mutant::DrainSkipped | Mutant::LookBeforeClaim => {
                &[Fault::Timeout, Fault::Crash, Fault::Kick, Fault::Freeze]
            }
            Mutant::DeadLettersNotLookedAt | Mutant::BlindResend => &[Fault::Timeout, Fault::Crash],
            Mutant::GuardOff => &[Fault::Rebalance, Fault::Kick],
            Mutant::UnstableRead => &[Fault::Crash, Fault::TxnUnclear],
            Mutant::LedgerOmitted => &[Fault::ErrorReply, Fault::Freeze, Fault::Kick],
            Mutant::SettleSkipped | Mutant::ErrorMeansNothingWritten => &[Fault::ErrorReply, Fault::Kick],
            Mutant::FloorDropped => &[Fault::Crash, Fault::PowerLoss, Fault::Outage],
            Mutant::GenerationMinusOne => &[Fault::Freeze, Fault::Kick],
            Mutant::AlertsOutsideTransaction | Mutant::PresentNotFed => &[Fault::Crash, Fault::TxnTimeout],
            Mutant::LateOffsetsThenAgain => &[Fault::TxnUnclear, Fault::ErrorReply, Fault::Timeout],
            Mutant::TopicNotChecked => &[Fault::Recreate],
            Mutant::CheckpointUnproved => &[Fault::PowerLoss],
        };
        self.budgets = faults.iter().map(|fault| (*fault, 6)).collect();
        self.replicated |= mutant == Mutant::SettleSkipped || mutant == Mutant::LedgerOmitted;
        if mutant == Mutant::CheckpointUnproved {
            self.checkpoints = true;
            self.notice = 1;
        }
        // A recreated topic tells most where its predecessor was short.
        self.records = if mutant == Mutant::TopicNotChecked { rng.between(1, 3) } else { rng.between(5, 15) };
        self.faulty_steps += 400;
    }
}
