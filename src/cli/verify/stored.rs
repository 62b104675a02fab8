//! What ClickHouse has of a partition, asked for in words of 64 offsets: the server adds up, little comes over the wire.

use std::collections::BTreeMap;

use clickhouse::Row;
use serde::Deserialize;

use super::compare::{StoredWord, WORD_OFFSETS};
use crate::clickhouse::{COMPUTED, ControlError, LaneTables, Session, Units, sql};
use crate::types::{Offset, OffsetRange, OffsetSet, Partition, Replay};

/// Doubled offsets of one window that are named.
const DOUBLED_SHOWN_MAX: usize = 20;
/// Partitions that Kafka does not have and that are named.
const STRANGE_PARTITIONS_MAX: usize = 20;

/// The tables of one lane.
#[derive(Debug)]
pub(super) struct StoredSide<'a> {
    pub(super) session: &'a Session,
    pub(super) lane: &'a LaneTables,
    /// The hash of a row of each table, as expressions, where contents are compared.
    pub(super) row_hashes: Vec<String>,
}

/// One of the two tables with units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Rows,
    DeadLetters,
}

/// Units of a partition that lie outside of what is compared.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Outside {
    /// Below the first offset that Kafka has, zero or more.
    pub(super) below: u64,
    /// Below zero.
    pub(super) negative: u64,
    /// At or above the committed offset.
    pub(super) above: u64,
    /// The greatest offset of all.
    pub(super) greatest: Option<Offset>,
}

/// Units of a partition or replay that nobody produced to.
#[derive(Debug, Clone, PartialEq, Eq, Row, Deserialize)]
pub(super) struct Stranger {
    pub(super) unit_partition: i64,
    pub(super) unit_replay: i64,
    pub(super) units: u64,
}

#[derive(Debug, Row, Deserialize)]
struct WordRow {
    word: u64,
    present: u64,
    units: u64,
}

#[derive(Debug, Row, Deserialize)]
struct OutsideRow {
    below: u64,
    negative: u64,
    above: u64,
    units: u64,
    greatest: i64,
}

#[derive(Debug, Row, Deserialize)]
struct GapRow {
    partition: i32,
    replay: u32,
    gap_start: Option<u64>,
    gap_end: Option<u64>,
}

impl StoredSide<'_> {
    pub(super) fn units(&self, kind: Kind) -> Units {
        match kind {
            Kind::Rows => Units { computed: self.row_hashes.clone(), ..Units::of_targets(self.lane) },
            Kind::DeadLetters => Units::of_dead_letters(self.lane),
        }
    }

    /// The hash of a row, as an expression over what [`StoredSide::units`] selects.
    pub(super) fn row_hash(&self) -> String {
        match self.row_hashes.as_slice() {
            [one] => one.clone(),
            _ => COMPUTED.to_owned(),
        }
    }

    /// The units at the offsets of a window, in order.
    pub(super) async fn words(
        &self,
        kind: Kind,
        partition: Partition,
        replay: Replay,
        range: OffsetRange,
    ) -> Result<Vec<StoredWord>, ControlError> {
        let units = self.units(kind);
        let statement = format!(
            "SELECT intDiv(unit_offset, {WORD_OFFSETS}) AS word, \
             groupBitOr(bitShiftLeft(toUInt64(1), toUInt8(unit_offset % {WORD_OFFSETS}))) AS present, count() AS units \
             FROM (SELECT toUInt64({}) AS unit_offset {}) GROUP BY word ORDER BY word",
            units.offset,
            units.table_where(&[units.within(partition, replay, range)]),
        );
        let rows: Vec<WordRow> = self.session.fetch("comparing a window", &statement).await?;
        let words = rows.into_iter().map(|row| StoredWord { word: row.word, present: row.present, units: row.units });
        Ok(words.collect())
    }

    /// How many offsets of a window have more than one unit, and the first of them.
    pub(super) async fn doubled(
        &self,
        kind: Kind,
        partition: Partition,
        replay: Replay,
        range: OffsetRange,
    ) -> Result<(u64, Vec<Offset>), ControlError> {
        let units = self.units(kind);
        let doubled = format!(
            "(SELECT toUInt64({}) AS unit_offset {} GROUP BY unit_offset HAVING count() > 1)",
            units.offset,
            units.table_where(&[units.within(partition, replay, range)]),
        );
        let doing = "looking for doubled offsets";
        let count: Vec<u64> = self.session.fetch(doing, &format!("SELECT count() FROM {doubled}")).await?;
        let first: Vec<u64> = self
            .session
            .fetch(doing, &format!("SELECT unit_offset FROM {doubled} ORDER BY unit_offset LIMIT {DOUBLED_SHOWN_MAX}"))
            .await?;
        Ok((count.first().copied().unwrap_or(0), first.into_iter().map(Offset::new).collect()))
    }

    /// The units outside of `compared`.
    pub(super) async fn outside(
        &self,
        kind: Kind,
        partition: Partition,
        replay: Replay,
        compared: OffsetRange,
    ) -> Result<Outside, ControlError> {
        let units = self.units(kind);
        let offset = &units.offset;
        let statement = format!(
            "SELECT countIf({offset} >= 0 AND {offset} < {start}) AS below, countIf({offset} < 0) AS negative, \
             countIf({offset} >= {end}) AS above, count() AS units, toInt64(max({offset})) AS greatest {}",
            units.table_where(&[units.of_partition(partition, replay)]),
            start = compared.start(),
            end = compared.end(),
        );
        let rows: Vec<OutsideRow> = self.session.fetch("counting what is not compared", &statement).await?;
        Ok(rows.first().map_or_else(Outside::default, |row| Outside {
            below: row.below,
            negative: row.negative,
            above: row.above,
            greatest: if row.units == 0 { None } else { Offset::from_kafka(row.greatest) },
        }))
    }

    /// The units from an offset on.
    pub(super) async fn count_from(
        &self,
        kind: Kind,
        partition: Partition,
        replay: Replay,
        from: Offset,
    ) -> Result<u64, ControlError> {
        let units = self.units(kind);
        let statement = format!("SELECT count() {}", units.table_where(&[units.from(partition, replay, from)]));
        let counts: Vec<u64> = self.session.fetch("counting what was never produced", &statement).await?;
        Ok(counts.first().copied().unwrap_or(0))
    }

    /// Units of partitions that the topic does not have, or of replays that nobody began.
    pub(super) async fn strangers(
        &self,
        kind: Kind,
        partitions: &[Partition],
        greatest_replay: Replay,
    ) -> Result<Vec<Stranger>, ControlError> {
        let units = self.units(kind);
        let known = sql::joined(partitions, ", ");
        let mut conditions = vec![format!("{} NOT IN ({known})", units.partition)];
        conditions.extend(units.replay.as_ref().map(|replay| format!("{replay} > {greatest_replay}")));
        let statement = format!(
            "SELECT toInt64({}) AS unit_partition, toInt64({}) AS unit_replay, count() AS units {} \
             GROUP BY unit_partition, unit_replay ORDER BY unit_partition, unit_replay LIMIT {STRANGE_PARTITIONS_MAX}",
            units.partition,
            units.replay.as_deref().unwrap_or("0"),
            units.table_where(&conditions),
        );
        self.session.fetch("looking for unknown partitions", &statement).await
    }

    /// The gaps in the ledger.
    pub(super) async fn gaps(&self) -> Result<BTreeMap<(Partition, Replay), OffsetSet>, ControlError> {
        let statement = format!(
            "SELECT `partition`, replay, gap_start, gap_end FROM {} WHERE {} AND gap_start IS NOT NULL",
            self.lane.state.ledger().quoted(),
            self.lane.cell.condition(),
        );
        let rows: Vec<GapRow> = self.session.fetch("reading the ledger's gaps", &statement).await?;
        let mut gaps: BTreeMap<(Partition, Replay), OffsetSet> = BTreeMap::new();
        for row in rows {
            if let (Some(start), Some(end)) = (row.gap_start, row.gap_end)
                && start < end
            {
                let gaps = gaps.entry((Partition(row.partition), Replay(row.replay))).or_default();
                gaps.insert(OffsetRange::new(Offset::new(start), Offset::new(end)));
            }
        }
        Ok(gaps)
    }
}
