//! The kinds of faults, and the seeded choice of one.

use std::time::Duration;

use devstack::FaultWhen;
use devstack::proxy::Action;

use crate::rng::Rng;
use crate::world::SESSION;

/// What insert a fault is for: the table as it stands in the statement. The target most of the time.
const TABLES: [&str; 6] = [
    "INSERT INTO `target`.`readings`",
    "INSERT INTO `target`.`readings`",
    "INSERT INTO `target`.`readings`",
    "INSERT INTO `chaos`.`dead_letters`",
    "INSERT INTO `chaos`.`alerts`",
    "INSERT INTO `chaos`.`ledger`",
];

/// Memory, parts, queries, network, time, read-only, Keeper.
const CODES: [u32; 7] = [241, 252, 202, 209, 159, 242, 999];

/// A fault with everything that is chosen about it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Fault {
    /// `kill -9`, and a start after a while.
    Kill { slot: usize, down: Duration },
    /// SIGTERM, and a start after a while.
    Terminate { slot: usize, down: Duration },
    /// SIGSTOP until the group has given its partitions to others, and so long again.
    PauseBeyondSession { slot: usize, more: Duration },
    /// SIGSTOP for less than a session.
    PauseShort { slot: usize, time: Duration },
    /// One more member joins the group, and leaves.
    Join { stay: Duration },
    /// `kill -9` of the broker, and a start.
    KillBroker { down: Duration },
    /// `kill -9` of ClickHouse, and a start.
    KillEngine { down: Duration },
    /// Something happens to requests on their way; what stalls goes on after `hold`.
    Network { action: Action, table: &'static str, times: u64, hold: Duration },
    /// ClickHouse answers an error, before it has executed an insert or afterwards.
    Error { code: u32, when: FaultWhen, table: &'static str, times: u64 },
    /// All instances are stopped, and the group's offsets moved back.
    Rewind { kill: bool, back: Vec<u64> },
    /// The topic gets another partition.
    AddPartition,
}

impl Fault {
    /// Chooses one.
    pub(crate) fn choose(rng: &mut Rng, slots: usize) -> Self {
        let slot = rng.below(slots);
        let millis = |rng: &mut Rng, low, high| Duration::from_millis(rng.between(low, high));
        // Half of the restarts come while the group still counts the old member, half when it has given it up.
        let down = |rng: &mut Rng| {
            if rng.percent(50) { millis(rng, 0, 500) } else { SESSION + millis(rng, 1_000, 3_000) }
        };
        match rng.below(100) {
            0..14 => Self::Kill { slot, down: down(rng) },
            14..19 => Self::Terminate { slot, down: down(rng) },
            19..26 => Self::PauseBeyondSession { slot, more: millis(rng, 0, 3_000) },
            26..31 => Self::PauseShort { slot, time: millis(rng, 200, 4_000) },
            31..35 => Self::Join { stay: millis(rng, 1_000, 8_000) },
            35..38 => Self::KillBroker { down: millis(rng, 0, 3_000) },
            38..43 => Self::KillEngine { down: millis(rng, 0, 3_000) },
            43..77 => Self::network(rng),
            77..95 => Self::Error {
                code: CODES[rng.below(CODES.len())],
                when: if rng.percent(50) { FaultWhen::Before } else { FaultWhen::After },
                table: TABLES[rng.below(TABLES.len())],
                times: rng.between(1, 3),
            },
            95..98 => Self::Rewind {
                kill: rng.percent(50),
                back: (0..rng.between(1, 4)).map(|_| rng.between(1, 300_000)).collect(),
            },
            _ => Self::AddPartition,
        }
    }

    fn network(rng: &mut Rng) -> Self {
        // The head of an insert's request has some 4 KB, a reply some 500 bytes.
        let in_request = rng.between(0, 9_000);
        let in_reply = rng.between(0, 400);
        let action = match rng.below(8) {
            0 => Action::CutRequest { after: in_request },
            1 => Action::CutReply { after: in_reply },
            2 => Action::StallRequest { after: in_request },
            3 => Action::StallReply { after: in_reply },
            // Half open: no byte of an answer.
            4 => Action::StallReply { after: 0 },
            5 => Action::DropReply,
            6 => Action::Repeat,
            _ => Action::RepeatLater,
        };
        // The connector gives up after a minute: now and then it has to.
        let hold = if rng.percent(15) { 70_000 } else { rng.between(500, 12_000) };
        let stalls = matches!(action, Action::StallRequest { .. } | Action::StallReply { .. });
        let times = if stalls { 1 } else { rng.between(1, 3) };
        Self::Network { action, table: TABLES[rng.below(TABLES.len())], times, hold: Duration::from_millis(hold) }
    }

    /// The word that it is counted under.
    pub(crate) fn kind(&self) -> String {
        let word = match self {
            Self::Kill { .. } => "kill_connector",
            Self::Terminate { .. } => "terminate_connector",
            Self::PauseBeyondSession { .. } => "pause_beyond_session",
            Self::PauseShort { .. } => "pause_short",
            Self::Join { .. } => "member_joins_and_leaves",
            Self::KillBroker { .. } => "kill_broker",
            Self::KillEngine { .. } => "kill_clickhouse",
            Self::Network { action, .. } => match action {
                Action::CutRequest { .. } => "request_cut",
                Action::CutReply { .. } => "reply_cut",
                Action::StallRequest { .. } => "request_stalled",
                Action::StallReply { after: 0 } => "reply_never_comes",
                Action::StallReply { .. } => "reply_stalled",
                Action::DropReply => "reply_dropped",
                Action::Repeat => "request_repeated",
                Action::RepeatLater => "request_repeated_later",
            },
            Self::Error { code, when, .. } => {
                let when = if *when == FaultWhen::Before { "before" } else { "after" };
                return format!("error_{code}_{when}_execution");
            }
            Self::Rewind { .. } => "offsets_rewound",
            Self::AddPartition => "partition_added",
        };
        word.to_owned()
    }
}

#[test]
fn a_seed_repeats_its_choices_and_chooses_every_kind() {
    let choose = |seed| {
        let mut rng = Rng::new(seed);
        (0..2_000).map(|_| Fault::choose(&mut rng, 3)).collect::<Vec<_>>()
    };
    assert_eq!(choose(7), choose(7));
    assert_ne!(choose(7), choose(8));
    let kinds: std::collections::BTreeSet<String> = choose(7).iter().map(Fault::kind).collect();
    assert_eq!(kinds.len(), 10 + 8 + 2 * CODES.len() - 1, "{kinds:?}");
}
