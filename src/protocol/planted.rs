//! Faults that are planted in the protocol on purpose, to see that the checkers notice each of them.
//!
//! Compiled in only with the feature `failpoints`, which a release never has: without it `planted!` is `false`.

/// Whether this fault is planted in the running check.
#[cfg(not(feature = "failpoints"))]
macro_rules! planted {
    ($name:ident) => {
        false
    };
}

/// Whether this fault is planted in the running check.
#[cfg(feature = "failpoints")]
macro_rules! planted {
    ($name:ident) => {
        $crate::protocol::planted::is($crate::protocol::planted::Planted::$name)
    };
}

pub(crate) use planted;

#[cfg(feature = "failpoints")]
pub use switch::*;

#[cfg(feature = "failpoints")]
mod switch {
    use std::cell::Cell;

    thread_local! {
        static PLANTED: Cell<Option<Planted>> = const { Cell::new(None) };
    }

    /// Plants a fault in what this thread checks from now on.
    pub fn plant(fault: Option<Planted>) {
        PLANTED.set(fault);
    }

    pub(crate) fn is(fault: Planted) -> bool {
        PLANTED.get() == Some(fault)
    }

    macro_rules! faults {
        ($($(#[doc = $doc:literal])+ $name:ident,)*) => {
            /// A fault of the protocol.
            #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
            pub enum Planted {
                $($(#[doc = $doc])+ $name,)*
            }

            impl Planted {
                /// All of them.
                pub const ALL: &[Self] = &[$(Self::$name,)*];

                /// What is wrong with it, in a sentence.
                pub fn describe(self) -> &'static str {
                    match self {
                        $(Self::$name => concat!($($doc),+).trim_ascii(),)*
                    }
                }
            }
        };
    }

    faults! {
        /// A takeover claims without having proved to Kafka that the partitions are its own (H12).
        NoProof,
        /// The proof writes the committed offset as alert floor.
        ProofMovesFloor,
        /// A revoked partition stays in the takeover under way, whose replies then count for its next assignment (N7).
        OldProofCounts,
        /// A takeover begins while a transaction of the same lane is under way (H7).
        TakeoverBesideTransaction,
        /// A block that a takeover has overtaken goes on, and is committed under the new claim.
        AbandonedBlockCounts,
        /// A block counts as stored when its target has acknowledged, before dead letters and ledger.
        AcknowledgedByTarget,
        /// A block is committed without being inserted.
        CommitBeforeInsert,
        /// After an error reply the same block is sent again under the same claim (N4).
        ResendAfterError,
        /// Blocks behind one that was refused are committed while its records are searched.
        PassCommits,
        /// A record is condemned by a code that may as well be the server's own trouble.
        DoubtCondemns,
        /// After no reply the same block is sent again under the same claim (H5).
        ResendAfterSilence,
        /// A proof that came short counts as proof.
        ShortCounts,
        /// Alerts of a partition that went away meanwhile are published (H3).
        AlertsOfRevokedKept,
        /// Blocks made under an older claim are inserted.
        OldClaimInserts,
        /// Blocks run further ahead of their transactions than one (N5).
        TwoBlocksAhead,
        /// A block with nothing to insert leaves its ledger row out, and with it its only fence (N3).
        LedgerLeftOut,
        /// Looks do not wait until the fate of uncertain parts is known (F5).
        LookAtUncertainParts,
        /// The topic id is not compared before a block is inserted (N9).
        TopicNotCompared,
        /// A block whose topic is being checked survives that a partition of it is revoked (N9).
        CheckedBlockSurvivesRevocation,
        /// Records that the server refused stay condemned when the topic is another one.
        CondemnedAcrossTopics,
        /// The identity of the topic is taken from the committed metadata alone (N8).
        TopicIdOnlyInMetadata,
        /// The replay is taken from the committed metadata alone.
        ReplayOnlyInMetadata,
        /// An offset moved by another tool takes the alert floor with it.
        MovedOffsetMovesFloor,
        /// An offset that has expired starts at the start policy, ledger or not (S6).
        ExpiredOffsetStartsAnew,
        /// Holes of the ledger and rows that are gone are not noticed (H2).
        DamageUnseen,
        /// What is absent up to the ledger's end counts as removed on purpose, also in the ledger's holes.
        HolesTrusted,
        /// A repair trusts the ledger about the rows it is to repair.
        RepairTrusted,
        /// That the server was started anew is not noticed (power loss).
        RestartUnnoticed,
        /// A takeover under way goes on when the server was started anew.
        TakeoverSurvivesRestart,
        /// The producer is used again after a transaction whose end is unclear (N6).
        UnclearProducerKept,
        /// A gap that retention left is not part of the first batch.
        GapForgotten,
        /// Where one row of a record is there all of them are taken to be.
        RowForgotten,
    }
}
