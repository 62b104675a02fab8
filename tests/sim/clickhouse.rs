//! A ClickHouse as far as the protocol can tell: statements that are listed, then evaluate their conditions, then
//! commit part by part, whoever still waits for the reply; tables that can lose their newest rows.

use std::collections::{BTreeMap, BTreeSet};

use oncesink::protocol::action::{Found, Insert};
use oncesink::protocol::event::Table;
use oncesink::protocol::facts::{LedgerRow, Presence, StoredFacts, StoredIdentity};
use oncesink::types::{
    Claim, LaneId, Offset, OffsetRange, OffsetSet, PartitionKey, RecordCount, Replay, TopicId, UnitKind, UnitSet,
};

use crate::mutants::Mutant;
use crate::oracle::{Place, Unit};

/// A row or a dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Row {
    pub(crate) unit: Unit,
    /// Which row of its record; 0 of a dead letter.
    pub(crate) row: u64,
    pub(crate) replay: Replay,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Fate {
    Certain,
    /// Seen now; Keeper may say that it never was.
    MayVanish,
    /// Not seen yet; Keeper may say that it was.
    MayAppear,
}

#[derive(Debug, Clone, Hash)]
pub(crate) struct Part {
    pub(crate) place: Place,
    pub(crate) rows: Vec<Row>,
    pub(crate) fate: Fate,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Ownership {
    pub(crate) key: PartitionKey,
    pub(crate) claim: Claim,
    pub(crate) topic_id: Option<TopicId>,
    pub(crate) replay: Replay,
    pub(crate) acknowledged: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Run {
    /// On its way to the server: it may start at any time, or never.
    Sent,
    /// In the process list; its conditions are not evaluated yet.
    Listed,
    Writing,
}

#[derive(Debug, Clone)]
pub(crate) struct Statement {
    pub(crate) id: u64,
    /// The query id: a request that something on the way repeats carries the same.
    pub(crate) request: u64,
    pub(crate) worker: usize,
    pub(crate) incarnation: u64,
    /// Whether the client still waits for the reply.
    pub(crate) awaited: bool,
    pub(crate) insert: Insert,
    pub(crate) parts: Vec<Vec<Row>>,
    pub(crate) run: Run,
}

/// What the server answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Pass,
    Fenced,
    Short,
    Present,
}

#[derive(Debug, Default, Clone)]
pub(crate) struct ClickHouse {
    pub(crate) ownership: Vec<Ownership>,
    pub(crate) ledger: Vec<LedgerRow>,
    pub(crate) parts: Vec<Part>,
    pub(crate) statements: Vec<Statement>,
    pub(crate) sent: u64,
    pub(crate) requests: u64,
    /// What a unit of the target is.
    pub(crate) units: UnitKind,
}

impl ClickHouse {
    pub(crate) fn greatest(&self, key: PartitionKey) -> Option<Claim> {
        self.ownership.iter().filter(|row| row.key == key).map(|row| row.claim).max()
    }

    /// What a new claim has to outrank.
    pub(crate) fn outranked(&self, key: PartitionKey) -> Option<Claim> {
        self.greatest(key).max(self.ledger.iter().filter(|row| row.key == key).map(|row| row.claim).max())
    }

    pub(crate) fn running(&self) -> BTreeSet<u64> {
        self.statements.iter().filter(|statement| statement.run != Run::Sent).map(|statement| statement.id).collect()
    }

    fn visible(&self, place: Place, key: PartitionKey, replay: Replay) -> impl Iterator<Item = u64> + '_ {
        self.visible_rows(place, key, replay).map(|row| row.unit.offset)
    }

    fn visible_rows(&self, place: Place, key: PartitionKey, replay: Replay) -> impl Iterator<Item = &Row> + '_ {
        let rows = self.parts.iter().filter(move |part| part.place == place && part.fate != Fate::MayAppear);
        rows.flat_map(|part| &part.rows).filter(move |row| row.unit.key == key && row.replay == replay)
    }

    fn count(&self, place: Place, row: &LedgerRow) -> RecordCount {
        let inside = |offset: &u64| row.range.contains(Offset::new(*offset));
        let count = self.visible(place, row.key, row.replay).filter(inside).count();
        RecordCount(u64::try_from(count).expect("few rows"))
    }

    /// What the server says when a statement's conditions are evaluated. `proxied`: something between may repeat
    /// requests, so that conditions and query ids are to find the twin (H11).
    pub(crate) fn evaluate(&self, insert: &Insert, mutant: Option<Mutant>, proxied: bool) -> Verdict {
        let unproved = mutant == Some(Mutant::CheckpointUnproved);
        let newest = |key, claim| match mutant {
            Some(Mutant::LedgerUnfenced) if insert.table == Table::Ledger => true,
            _ => self.greatest(key) == Some(claim),
        };
        let mut owned = insert.claims.iter().map(|(key, claim)| newest(*key, *claim));
        let any = mutant == Some(Mutant::FenceAnyPartition);
        if !(if any { owned.any(|owned| owned) } else { owned.all(|owned| owned) }) {
            return Verdict::Fenced;
        }
        if insert.table != Table::Ledger {
            let more = |place, found: &Found, known: RecordCount| {
                let inside = |offset: &u64| found.range.contains(Offset::new(*offset));
                let count = self.visible(place, found.key, found.replay).filter(inside).count();
                u64::try_from(count).expect("few rows") > known.0
            };
            let repeated = insert.found.iter().any(|found| match insert.table {
                Table::Target(_) => more(Place::Target, found, found.rows),
                Table::DeadLetters => more(Place::Dead, found, found.dead),
                Table::Alerts | Table::Ledger => false,
            });
            return if proxied && repeated { Verdict::Present } else { Verdict::Pass };
        }
        let proven: RecordCount = insert.ledger.iter().map(|row| self.count(Place::Target, row)).sum();
        let expected: RecordCount = insert.ledger.iter().map(|row| row.rows).sum();
        // A row that vouches for everything below it asks whether the ledger has everything below it.
        let vouched = |row: &LedgerRow| {
            let below = OffsetRange::new(row.origin, row.range.start());
            unproved || !row.checkpoint || self.covered(row.key, row.replay).first_hole(below).is_none()
        };
        if proven == expected && insert.ledger.iter().all(vouched) { Verdict::Pass } else { Verdict::Short }
    }

    pub(crate) fn present(&self, key: PartitionKey, from: u64, replay: Replay) -> Presence {
        self.present_where(key, from, replay, |_| true)
    }

    /// Of the rows of the target tables only some.
    pub(crate) fn present_where(
        &self,
        key: PartitionKey,
        from: u64,
        replay: Replay,
        asked: impl Fn(&Row) -> bool,
    ) -> Presence {
        let mut rows = UnitSet::empty(self.units);
        let visible = self.visible_rows(Place::Target, key, replay);
        for row in visible.filter(|row| row.unit.offset >= from && asked(row)) {
            rows.insert(Offset::new(row.unit.offset), row.row);
        }
        let dead = self.visible(Place::Dead, key, replay).filter(|offset| *offset >= from);
        let dead = dead.map(|offset| OffsetRange::new(Offset::new(offset), Offset::new(offset + 1)));
        Presence { rows, dead: dead.collect() }
    }

    fn covered(&self, key: PartitionKey, replay: Replay) -> OffsetSet {
        let rows = self.ledger.iter().filter(|row| row.key == key && row.replay == replay);
        rows.map(|row| OffsetRange::new(if row.checkpoint { row.origin } else { row.range.start() }, row.range.end()))
            .collect()
    }

    pub(crate) fn facts(&self, key: PartitionKey) -> StoredFacts {
        let owned = self.ownership.iter().filter(|row| row.key == key).map(|row| (row.replay, row.claim, row.topic_id));
        let written = self.ledger.iter().filter(|row| row.key == key).map(|row| (row.replay, row.claim, row.topic_id));
        let Some((replay, _, topic_id)) = owned.chain(written).max() else { return StoredFacts::default() };
        let rows: Vec<&LedgerRow> = self.ledger.iter().filter(|row| row.key == key && row.replay == replay).collect();
        // Of overlapping rows the newest claim decides: what could not be had again is not missed for ever.
        let replaced =
            |row: &LedgerRow| rows.iter().any(|newer| newer.claim > row.claim && newer.range.overlaps(row.range));
        let gone = |row: &&&LedgerRow| {
            let lacks = |place, promised| self.count(place, row) < promised;
            !replaced(row) && (lacks(Place::Target, row.rows) || lacks(Place::Dead, row.dead))
        };
        StoredFacts {
            identity: Some(StoredIdentity { topic_id, replay }),
            covered: self.covered(key, replay),
            origin: rows.last().map(|row| row.origin),
            floor: rows.iter().map(|row| row.floor).max(),
            missing: rows.iter().filter(gone).map(|row| row.range).min(),
            damaged: rows.iter().filter(|row| row.damaged).map(|row| row.range).collect(),
        }
    }

    pub(crate) fn uncertain(&self, lane: LaneId) -> bool {
        self.parts
            .iter()
            .any(|part| part.fate != Fate::Certain && part.rows.iter().any(|row| row.unit.key.lane == lane))
    }

    /// What a rewound table would have to hold, for messages.
    pub(crate) fn describe(&self) -> BTreeMap<&'static str, usize> {
        let parts = |place| self.parts.iter().filter(|part| part.place == place).count();
        BTreeMap::from([
            ("target parts", parts(Place::Target)),
            ("dead letter parts", parts(Place::Dead)),
            ("ledger rows", self.ledger.len()),
            ("claims", self.ownership.len()),
            ("statements", self.statements.len()),
        ])
    }
}
