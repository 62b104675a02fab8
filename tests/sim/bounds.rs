//! How large the worlds are that the model checker exhausts.

use oncesink::types::{LaneId, Partition, PartitionKey};

use crate::kafka::{Kind, SEVERAL_ROWS, fires, kind, rows};
use crate::oracle::Unit;
use crate::scenario::Fault::{self, *};
use crate::scenario::{PACES, Scenario};
use crate::start::Start;

/// A bound: so many of everything, and so many faults of each kind at most.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bound {
    pub(crate) workers: usize,
    pub(crate) lanes: u16,
    pub(crate) partitions: i32,
    /// What each partition holds.
    pub(crate) records: &'static [Kind],
    pub(crate) rows_max: u64,
    pub(crate) faults: &'static [(Fault, u32)],
    pub(crate) shape: Shape,
    pub(crate) start: Start,
}

/// What else differs.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Shape {
    pub(crate) eager: bool,
    pub(crate) replicated: bool,
    pub(crate) two_parts: bool,
    pub(crate) proxied: bool,
    /// The code with which the server refuses a record says nothing by itself, and neither do its other errors.
    pub(crate) doubtful: bool,
    pub(crate) listed_apart: bool,
    /// No record fires an alert; otherwise each good one does. An alert is written with a fence of its own.
    pub(crate) quiet: bool,
    /// Rows are divided among two tables.
    pub(crate) two_targets: bool,
    /// Each record makes two rows.
    pub(crate) two_rows: bool,
}

impl Bound {
    pub(crate) fn scenario(&self) -> Scenario {
        Scenario {
            lanes: self.lanes,
            partitions: self.partitions,
            workers: self.workers,
            records: u64::try_from(self.records.len()).expect("few records"),
            generation: self.generation(),
            markers: false,
            targets: if self.shape.two_targets { 2 } else { 1 },
            rows_max: self.rows_max,
            eager: self.shape.eager,
            replicated: self.shape.replicated,
            two_parts: self.shape.two_parts,
            skip_gaps: true,
            start_latest: false,
            checkpoints: false,
            proxied: self.shape.proxied,
            doubtful: self.shape.doubtful,
            listed_apart: self.shape.listed_apart,
            budgets: self.faults.to_vec(),
            faulty_steps: usize::MAX,
            prompt: true,
            strikes: 0,
            notice: 100,
            pace: [100; PACES],
        }
    }

    /// What a record is follows from its identity: a creation of the topics is looked for whose records are these.
    fn generation(&self) -> u64 {
        let lanes = (0..self.lanes).map(LaneId);
        let partitions = || (0..self.partitions).map(Partition);
        let keys: Vec<PartitionKey> =
            lanes.flat_map(|lane| partitions().map(move |partition| PartitionKey { lane, partition })).collect();
        let fits = |generation: &u64| {
            keys.iter().all(|key| {
                self.records.iter().zip(0..).all(|(wanted, offset)| {
                    let unit = Unit { key: *key, generation: *generation, offset };
                    (!self.shape.two_rows || rows(unit) == 2)
                        && kind(unit) == *wanted
                        && (*wanted != Kind::Good || fires(unit) != self.shape.quiet)
                })
            })
        };
        let first = if self.shape.two_rows { SEVERAL_ROWS } else { 1 };
        (first..first + 1_000_000).find(fits).expect("some creation has such records")
    }
}

const G1: &[Kind] = &[Kind::Good];
const G2: &[Kind] = &[Kind::Good, Kind::Good];
const G3: &[Kind] = &[Kind::Good, Kind::Good, Kind::Good];
const GB: &[Kind] = &[Kind::Good, Kind::Bad];
const GP: &[Kind] = &[Kind::Poison, Kind::Good];
const GPG: &[Kind] = &[Kind::Good, Kind::Poison, Kind::Good];

const PLAIN: Shape = Shape {
    eager: false,
    replicated: false,
    two_parts: false,
    proxied: false,
    doubtful: false,
    listed_apart: false,
    quiet: false,
    two_targets: false,
    two_rows: false,
};
const LISTED: Shape = Shape { listed_apart: true, ..PLAIN };
const EAGER: Shape = Shape { eager: true, ..PLAIN };
const PARTS: Shape = Shape { two_parts: true, ..PLAIN };
const REPLICATED: Shape = Shape { replicated: true, ..PLAIN };
const QUIET: Shape = Shape { quiet: true, ..REPLICATED };
/// The rows of a record are in two parts.
const ROWS: Shape = Shape { two_rows: true, ..PARTS };
const ROUTED: Shape = Shape { two_rows: true, two_targets: true, ..PLAIN };
const DOUBTFUL: Shape = Shape { doubtful: true, ..PLAIN };
const PROXIED: Shape = Shape { proxied: true, ..PLAIN };

const ONE: Bound = Bound {
    workers: 2,
    lanes: 1,
    partitions: 1,
    records: G1,
    rows_max: 1,
    faults: &[],
    shape: PLAIN,
    start: Start::Assigned,
};
const TWO: Bound = Bound { records: G2, ..ONE };
/// Two partitions, whose records share a block.
const GROUP: Bound = Bound { partitions: 2, rows_max: 2, ..ONE };
const LANES: Bound = Bound { lanes: 2, workers: 1, ..ONE };

/// The bounds, by name: so many good, bad and poisoned records, so many faults.
pub(crate) const BOUNDS: &[(&str, Bound)] = &[
    ("2 records", TWO),
    ("3 records, rebalance", Bound { records: G3, faults: &[(Rebalance, 1)], ..ONE }),
    ("2 records, rebalance, timeout", Bound { faults: &[(Rebalance, 1), (Timeout, 1)], ..TWO }),
    (
        "2 records, eager rebalance, error reply",
        Bound { faults: &[(Rebalance, 1), (ErrorReply, 1)], shape: EAGER, ..TWO },
    ),
    ("2 records, kick", Bound { faults: &[(Kick, 1)], ..TWO }),
    (
        "replicated: record, error reply, kick",
        Bound { faults: &[(ErrorReply, 1), (Kick, 1)], shape: REPLICATED, ..ONE },
    ),
    ("record, kick, timeout", Bound { faults: &[(Kick, 1), (Timeout, 1)], ..ONE }),
    ("record, kick, timeout, listed apart", Bound { faults: &[(Kick, 1), (Timeout, 1)], shape: LISTED, ..ONE }),
    ("record, crash", Bound { faults: &[(Crash, 1)], ..ONE }),
    ("2 records, one worker, crash, timeout", Bound { workers: 1, faults: &[(Crash, 1), (Timeout, 1)], ..TWO }),
    ("2 records, one worker, two crashes", Bound { workers: 1, faults: &[(Crash, 2)], ..TWO }),
    (
        "good and bad, one worker, crash, timeout",
        Bound { workers: 1, records: GB, faults: &[(Crash, 1), (Timeout, 1)], ..ONE },
    ),
    (
        "poison and good, one worker, crash",
        Bound { workers: 1, records: GP, rows_max: 2, faults: &[(Crash, 1)], ..ONE },
    ),
    (
        "poison between good, one worker, crash",
        Bound { workers: 1, records: GPG, rows_max: 3, faults: &[(Crash, 1)], ..ONE },
    ),
    (
        "poison that may be weather, and good, one worker, crash",
        Bound { workers: 1, records: GP, rows_max: 2, faults: &[(Crash, 1)], shape: DOUBTFUL, ..ONE },
    ),
    (
        "poison that may be weather, between good, one worker, error reply",
        Bound { workers: 1, records: GPG, rows_max: 3, faults: &[(ErrorReply, 1)], shape: DOUBTFUL, ..ONE },
    ),
    (
        "2 records in parts, timeout, kick",
        Bound { rows_max: 2, faults: &[(Timeout, 1), (Kick, 1)], shape: PARTS, ..TWO },
    ),
    ("2 records, unclear transaction, kick", Bound { faults: &[(TxnUnclear, 1), (Kick, 1)], ..TWO }),
    ("record, transaction timeout, timeout", Bound { faults: &[(TxnTimeout, 1), (Timeout, 1)], ..ONE }),
    ("2 records, failing steps, rebalance", Bound { faults: &[(StepFails, 2), (Rebalance, 1)], ..TWO }),
    ("2 records, server crash, one worker", Bound { workers: 1, faults: &[(ServerCrash, 1), (Timeout, 1)], ..TWO }),
    ("2 records, power loss, one worker", Bound { workers: 1, faults: &[(PowerLoss, 1)], ..TWO }),
    ("record, power loss, crash, one worker", Bound { workers: 1, faults: &[(PowerLoss, 1), (Crash, 1)], ..ONE }),
    (
        "replicated: 2 records, error reply, kick",
        Bound { faults: &[(ErrorReply, 1), (Kick, 1)], shape: REPLICATED, ..TWO },
    ),
    (
        "behind a proxy: record, repeated request, timeout",
        Bound { faults: &[(Repeat, 1), (Timeout, 1)], shape: PROXIED, ..ONE },
    ),
    (
        "behind a proxy: 2 records, repeated request, error reply",
        Bound { workers: 1, faults: &[(Repeat, 1), (ErrorReply, 1)], shape: PROXIED, ..TWO },
    ),
    ("two rows, error reply, kick", Bound { rows_max: 2, faults: &[(ErrorReply, 1), (Kick, 1)], shape: ROWS, ..ONE }),
    ("two rows, timeout, crash", Bound { rows_max: 2, faults: &[(Timeout, 1), (Crash, 1)], shape: ROWS, ..ONE }),
    (
        "2 records of two rows, one worker, error reply, crash",
        Bound { workers: 1, rows_max: 4, faults: &[(ErrorReply, 1), (Crash, 1)], shape: ROWS, ..TWO },
    ),
    (
        "poison and good of two rows, one worker, crash",
        Bound { workers: 1, records: GP, rows_max: 4, faults: &[(Crash, 1)], shape: ROWS, ..ONE },
    ),
    (
        "two rows in two tables, error reply, kick",
        Bound { rows_max: 2, faults: &[(ErrorReply, 1), (Kick, 1)], shape: ROUTED, ..ONE },
    ),
    (
        "2 records in two tables, one worker, timeout, crash",
        Bound { workers: 1, rows_max: 4, faults: &[(Timeout, 1), (Crash, 1)], shape: ROUTED, ..TWO },
    ),
    (
        "behind a proxy: two rows in two tables, repeated request",
        Bound { rows_max: 2, faults: &[(Repeat, 1)], shape: Shape { proxied: true, ..ROUTED }, ..ONE },
    ),
    ("group block: rebalance, timeout", Bound { faults: &[(Rebalance, 1), (Timeout, 1)], ..GROUP }),
    ("group block: rebalance, error reply", Bound { faults: &[(Rebalance, 1), (ErrorReply, 1)], ..GROUP }),
    ("two lanes: timeout, unclear transaction", Bound { faults: &[(Timeout, 1), (TxnUnclear, 1)], ..LANES }),
    ("2 records, offset moved, one worker", Bound { workers: 1, faults: &[(Outage, 1)], ..TWO }),
    (
        "3 records, offset moved, crash, one worker",
        Bound { workers: 1, records: G3, faults: &[(Outage, 1), (Crash, 1)], ..ONE },
    ),
    ("2 records, part dropped, crash, one worker", Bound { workers: 1, faults: &[(Vanish, 1), (Crash, 1)], ..TWO }),
    ("2 records, retention, one worker", Bound { workers: 1, faults: &[(Retention, 1)], ..TWO }),
    ("record, topic recreated, one worker", Bound { workers: 1, faults: &[(Recreate, 1)], ..ONE }),
    ("a zombie claims: 2 records, timeout", Bound { faults: &[(Timeout, 1)], start: Start::ZombieClaims, ..TWO }),
    (
        "a zombie claims: replicated, record, error reply",
        Bound { faults: &[(ErrorReply, 1)], shape: REPLICATED, start: Start::ZombieClaims, ..ONE },
    ),
    (
        "a zombie claims: replicated, record without alert, error reply",
        Bound { faults: &[(ErrorReply, 1)], shape: QUIET, start: Start::ZombieClaims, ..ONE },
    ),
    ("a zombie inserts: 2 records, timeout", Bound { faults: &[(Timeout, 1)], start: Start::ZombieInserts, ..TWO }),
    (
        "a zombie inserts: replicated, record, error reply",
        Bound { faults: &[(ErrorReply, 1)], shape: REPLICATED, start: Start::ZombieInserts, ..ONE },
    ),
    ("both claim: record, timeout", Bound { faults: &[(Timeout, 1)], start: Start::BothClaim, ..ONE }),
    ("both claim: record in parts, kick", Bound { faults: &[(Kick, 1)], shape: PARTS, start: Start::BothClaim, ..ONE }),
];
