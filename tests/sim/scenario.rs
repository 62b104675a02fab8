//! What a seed means: the size of the world, its configuration, and how often each fault may strike.

use oncesink::types::UnitKind;

use crate::kafka::SEVERAL_ROWS;
use crate::rng::Rng;

/// Faults that a run can have; each has its own budget, so that a seed combines a few of them often.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
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
    /// Something between repeats a request, and passes on the reply to the second.
    Repeat,
    /// The server acknowledges a part of the target and drops it, as its deduplication by content would.
    Vanish,
}

pub(crate) const FAULTS: [Fault; 18] = [
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
    Fault::Repeat,
    Fault::Vanish,
];

#[derive(Debug, Clone)]
pub(crate) struct Scenario {
    pub(crate) lanes: u16,
    pub(crate) partitions: i32,
    pub(crate) workers: usize,
    pub(crate) records: u64,
    /// The first creation of the topics, which fixes what their records are, and whether they make several rows.
    pub(crate) generation: u64,
    /// Among how many tables the rows of a topic are divided.
    pub(crate) targets: u16,
    /// Offsets behind records may hold none, as a transaction's marker.
    pub(crate) markers: bool,
    pub(crate) rows_max: u64,
    pub(crate) eager: bool,
    pub(crate) replicated: bool,
    pub(crate) two_parts: bool,
    pub(crate) skip_gaps: bool,
    pub(crate) start_latest: bool,
    pub(crate) checkpoints: bool,
    /// The code with which the server refuses a record says nothing by itself.
    pub(crate) doubtful: bool,
    /// Something between the connector and the server may repeat requests.
    pub(crate) proxied: bool,
    /// A statement is seen in the process list before its conditions are evaluated.
    pub(crate) listed_apart: bool,
    pub(crate) budgets: Vec<(Fault, u32)>,
    pub(crate) faulty_steps: usize,
    /// A topic that was created anew is reset soon, or only when all else is done.
    pub(crate) prompt: bool,
    /// How often, in percent per step, a fault strikes from outside.
    pub(crate) strikes: u64,
    /// How soon, in percent per step, a driver notices that the server was started anew.
    pub(crate) notice: u64,
    /// How often, in percent, moves of each kind are open to the scheduler: what is slow leaves time for races.
    pub(crate) pace: [u64; PACES],
}

/// Kinds of moves that a run can slow down: server, brokers, polls, replies.
pub(crate) const PACES: usize = 4;

impl Scenario {
    /// What a unit of the target is.
    pub(crate) fn units(&self) -> UnitKind {
        if self.generation < SEVERAL_ROWS { UnitKind::Record } else { UnitKind::Row }
    }

    pub(crate) fn draw(rng: &mut Rng) -> Self {
        let several_rows = rng.first_is_one_in(3);
        let several_targets = rng.first_is_one_in(4);
        let markers = rng.first_is_one_in(5);
        let mut budgets = Vec::new();
        let proxied = rng.percent(30);
        let share = [15, 30, 60][rng.below(3)];
        for fault in FAULTS {
            let rare =
                matches!(fault, Fault::PowerLoss | Fault::Recreate | Fault::Outage | Fault::Retention | Fault::Vanish);
            let possible = proxied || fault != Fault::Repeat;
            if possible && rng.percent(if rare { share / 2 } else { share }) {
                let most = if rare { 2 } else { 4 };
                budgets.push((fault, u32::try_from(rng.between(1, most)).expect("small")));
            }
        }
        let (lanes, partitions) = (if rng.percent(25) { 2 } else { 1 }, if rng.percent(50) { 2 } else { 1 });
        let workers = if rng.percent(25) { 3 } else { 2 };
        let records = rng.between(2, 10);
        Self {
            lanes,
            partitions,
            workers,
            records,
            doubtful: records.is_multiple_of(2),
            generation: if several_rows { SEVERAL_ROWS } else { 1 },
            targets: if several_targets { 2 } else { 1 },
            markers,
            rows_max: rng.between(1, 4),
            eager: rng.percent(30),
            // A part of unknown fate is not seen by the test for rows that are there: a limit of what repeats requests.
            replicated: rng.percent(25) && !proxied,
            two_parts: rng.percent(50),
            skip_gaps: rng.percent(70),
            start_latest: rng.percent(15),
            checkpoints: rng.percent(30),
            proxied,
            listed_apart: true,
            budgets,
            faulty_steps: rng.below(500) + 100,
            prompt: rng.percent(70),
            strikes: [8, 3, 1][rng.below(3)],
            notice: [30, 10, 1][rng.below(3)],
            pace: [(); PACES].map(|()| [100, 100, 30, 8][rng.below(4)]),
        }
    }
}
