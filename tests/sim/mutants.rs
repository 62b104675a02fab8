//! Planted faults: of the protocol itself (`oncesink::protocol::planted`), and of the driver and the servers around it,
//! which here are fakes. Each has to be noticed.

use oncesink::protocol::planted::Planted;

use crate::kafka::SEVERAL_ROWS;
use crate::rng::Rng;
use crate::scenario::{Fault, Scenario};

macro_rules! mutants {
    ($($(#[doc = $doc:literal])+ $name:ident: $faults:expr,)*) => {
        /// A fault of the driver, or of the statements that it sends.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Mutant {
            $($(#[doc = $doc])+ $name,)*
        }

        impl Mutant {
            const ALL: &[Self] = &[$(Self::$name,)*];

            fn describe(self) -> &'static str {
                match self {
                    $(Self::$name => concat!($($doc),+).trim_ascii(),)*
                }
            }

            /// What has to happen for it to show.
            fn faults(self) -> &'static [Fault] {
                use Fault::*;
                match self {
                    $(Self::$name => &$faults,)*
                }
            }
        }
    };
}

mutants! {
    /// No fence.
    FenceIgnored: [Timeout, Crash, Kick, Freeze],
    /// A block of several partitions passes while one of them is owned.
    FenceAnyPartition: [Rebalance, Timeout, Kick, Freeze],
    /// Claims of the same rank are equal.
    EqualClaims: [Timeout, Crash, Kick, Freeze],
    /// The look is older than the claim.
    LookBeforeClaim: [Timeout, Crash, Kick, Freeze],
    /// The look does not wait for the drain.
    LookBeforeDrain: [Timeout, Crash, Kick, Freeze],
    /// The drain waits for what ran before the claim.
    DrainBeforeClaim: [Timeout, Crash, Kick, Freeze],
    /// Nothing is waited for.
    DrainSkipped: [Timeout, Crash, Kick, Freeze],
    /// Only this process's statements are waited for.
    DrainOnlyOwn: [Timeout, Crash, Kick, Freeze],
    /// Only other processes' statements are waited for.
    DrainOnlyOthers: [Timeout, Crash, ErrorReply],
    /// The look asks the topic's own table and no other.
    LookAsksOneTarget: [ErrorReply, Timeout, Crash],
    /// The look does not ask for dead letters.
    DeadLettersNotLookedAt: [Timeout, Crash],
    /// The look stops after some rows (`overflow_mode = 'break'`).
    LookBreaksOff: [Timeout, Crash],
    /// The look counts rows of other replays.
    LookWithoutReplay: [Recreate],
    /// The guard does not compare assignments before offsets are sent.
    GuardOff: [Rebalance, Kick],
    /// The committed offset is read while a transaction with it is under way.
    UnstableRead: [Crash, TxnUnclear],
    /// The ledger row of a block with nothing new is not sent (N3).
    LedgerOmitted: [ErrorReply, Freeze, Kick],
    /// The ledger row is not fenced.
    LedgerUnfenced: [ErrorReply, Freeze, Kick],
    /// A reset to a new replay takes the alert floor of the old one along.
    ReplayKeepsFloor: [Recreate],
    /// The alert floor is not read from the metadata.
    FloorDropped: [Crash, PowerLoss, Outage],
    /// A request that got no answer is sent again.
    BlindResend: [Timeout, Crash],
    /// After an error reply a request is sent again.
    ErrorMeansNothingWritten: [ErrorReply, Kick],
    /// Offsets are sent with generation -1, which the broker does not fence.
    GenerationMinusOne: [Freeze, Kick],
    /// Alerts are published outside the transaction.
    AlertsOutsideTransaction: [Crash, TxnTimeout],
    /// An offset request without an answer is followed by abort and another transaction of the same producer (N6).
    LateOffsetsThenAgain: [TxnUnclear, ErrorReply, Timeout],
    /// The topic id is not read again before an insert (N9).
    TopicNotChecked: [Recreate],
    /// A checkpoint is written without being proven against the ledger.
    CheckpointUnproved: [PowerLoss],
    /// Records that are present already are not fed to the detectors.
    PresentNotFed: [Crash, TxnTimeout],
    /// The source takes the end of the log for the reader's position.
    UnreadPassed: [Restart],
    /// The proof commits the offset that this process committed last, not the one that it read (N1).
    RememberedOffset: [Kick, Freeze, Rebalance, TxnUnclear],
    /// Behind something that repeats requests, rows that are already there are not tested for (H11).
    PresenceNotTested: [Repeat, Crash],
    /// Behind something that repeats requests, twins may run at the same time (H11).
    TwinsRunTogether: [Repeat, Crash],
}

/// One planted fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Planting {
    Core(Planted),
    Around(Mutant),
}

impl Planting {
    /// All of them.
    pub(crate) fn all() -> Vec<Self> {
        Planted::ALL
            .iter()
            .map(|fault| Self::Core(*fault))
            .chain(Mutant::ALL.iter().map(|m| Self::Around(*m)))
            .collect()
    }

    pub(crate) fn core(self) -> Option<Planted> {
        match self {
            Self::Core(planted) => Some(planted),
            Self::Around(_) => None,
        }
    }

    pub(crate) fn around(self) -> Option<Mutant> {
        match self {
            Self::Core(_) => None,
            Self::Around(mutant) => Some(mutant),
        }
    }

    /// The seed near which the simulation meets what few seeds do.
    pub(crate) fn rare(self) -> Option<u64> {
        match self {
            Self::Core(Planted::AbandonedBlockCounts) => Some(71_800),
            Self::Around(Mutant::FenceAnyPartition) => Some(5_900),
            Self::Core(_) | Self::Around(_) => None,
        }
    }

    /// The bound at which the model notices at once what the simulation meets at one seed of many thousands, or never.
    pub(crate) fn deep(self) -> Option<&'static str> {
        match self {
            Self::Around(Mutant::EqualClaims) => Some("both claim: record, timeout"),
            Self::Around(Mutant::DrainBeforeClaim) => Some("good and bad, one worker, crash, timeout"),
            Self::Around(Mutant::LedgerUnfenced) => {
                Some("a zombie claims: replicated, record without alert, error reply")
            }
            Self::Core(_) | Self::Around(_) => None,
        }
    }

    pub(crate) fn describe(self) -> &'static str {
        match self {
            Self::Core(planted) => planted.describe(),
            Self::Around(mutant) => mutant.describe(),
        }
    }

    fn faults(self) -> &'static [Fault] {
        use Fault::*;
        let planted = match self {
            Self::Around(mutant) => return mutant.faults(),
            Self::Core(planted) => planted,
        };
        match planted {
            Planted::NoProof => &[Kick, Freeze, Timeout, Crash],
            Planted::ProofMovesFloor => &[Outage, Crash, PowerLoss],
            Planted::OldProofCounts | Planted::AlertsOfRevokedKept => &[Rebalance, Kick, Freeze],
            Planted::OldClaimInserts => &[Rebalance, Timeout, ErrorReply],
            Planted::TakeoverBesideTransaction => &[Rebalance, Timeout, ErrorReply, Crash],
            Planted::AbandonedBlockCounts => &[Rebalance, Timeout, StepFails],
            Planted::AcknowledgedByTarget | Planted::CommitBeforeInsert => &[Crash, Timeout],
            Planted::PassCommits => &[Crash, Timeout],
            Planted::DoubtCondemns => &[ErrorReply],
            Planted::ResendAfterError => &[ErrorReply, Crash],
            Planted::ResendAfterSilence => &[Timeout, Crash],
            Planted::ShortCounts => &[Vanish],
            Planted::TwoBlocksAhead => &[Outage, TxnTimeout, Crash],
            Planted::LedgerLeftOut => &[ErrorReply, Freeze, Kick],
            Planted::LookAtUncertainParts => &[ErrorReply, Kick],
            Planted::TopicNotCompared | Planted::TopicIdOnlyInMetadata => &[Recreate, Crash],
            Planted::CheckedBlockSurvivesRevocation => &[Recreate, Rebalance, Kick],
            Planted::CondemnedAcrossTopics => &[Recreate],
            Planted::ReplayOnlyInMetadata => &[Recreate, Outage],
            Planted::MovedOffsetMovesFloor | Planted::ExpiredOffsetStartsAnew => &[Outage, Crash],
            Planted::DamageUnseen | Planted::RepairTrusted => &[PowerLoss, Crash],
            Planted::HolesTrusted => &[Outage, Crash],
            Planted::RestartUnnoticed => &[PowerLoss],
            Planted::TakeoverSurvivesRestart => &[PowerLoss, Rebalance],
            Planted::UnclearProducerKept => &[TxnUnclear, ErrorReply],
            Planted::GapForgotten => &[Retention, Outage],
            Planted::RowForgotten => &[ErrorReply, Timeout, Crash],
        }
    }

    /// Makes the faults frequent that tell it from the real thing.
    pub(crate) fn focus(self, scenario: &mut Scenario, rng: &mut Rng) {
        let is = |mutants: &[Mutant]| self.around().is_some_and(|mutant| mutants.contains(&mutant));
        let core = |faults: &[Planted]| self.core().is_some_and(|fault| faults.contains(&fault));
        scenario.budgets = self.faults().iter().map(|fault| (*fault, 6)).collect();
        scenario.replicated |= is(&[Mutant::LedgerOmitted, Mutant::LedgerUnfenced])
            || core(&[Planted::LookAtUncertainParts, Planted::LedgerLeftOut]);
        scenario.proxied |= is(&[Mutant::PresenceNotTested, Mutant::TwinsRunTogether]);
        // A block of several partitions, of which one goes away.
        if is(&[Mutant::FenceAnyPartition]) || core(&[Planted::AlertsOfRevokedKept]) {
            (scenario.partitions, scenario.rows_max) = (2, 4);
        }
        if is(&[Mutant::CheckpointUnproved]) {
            scenario.checkpoints = true;
            scenario.notice = 1;
        }
        scenario.markers |= is(&[Mutant::UnreadPassed]);
        if is(&[Mutant::LookAsksOneTarget]) {
            scenario.targets = 2;
        }
        if core(&[Planted::RowForgotten]) {
            (scenario.generation, scenario.two_parts) = (SEVERAL_ROWS, true);
        }
        if self.rare().is_some() {
            // The seed was found in a plain world.
            (scenario.generation, scenario.targets, scenario.markers) = (1, 1, false);
        }
        // Nobody is there in time to tell the connector.
        scenario.prompt = !core(&[
            Planted::TopicIdOnlyInMetadata,
            Planted::TopicNotCompared,
            Planted::CheckedBlockSurvivesRevocation,
        ]) && !is(&[Mutant::TopicNotChecked]);
        if core(&[Planted::GapForgotten]) {
            scenario.skip_gaps = true;
        }
        // A recreated topic tells most where its predecessor was short.
        let short = is(&[Mutant::TopicNotChecked]) || core(&[Planted::TopicNotCompared]);
        scenario.records = if short { rng.between(1, 3) } else { rng.between(5, 15) };
        scenario.faulty_steps += 400;
    }
}
