//! The conditions that the server evaluates before it writes: fence, proof, presence test and the table's structure.
//!
//! All are *positive*: they say what must be so, and an emptied, filtered or restored table makes them refuse. A
//! negative one ("nobody has a newer claim") would let a zombie in as soon as the newer claim cannot be seen.

use std::collections::BTreeMap;

use super::outcome::{FENCED, PRESENT, SHORT, TABLE_CHANGED};
use crate::clickhouse::{LaneTables, Structure, TableName, Units, sql};
use crate::price;
use crate::types::{Claim, Offset, OffsetRange, Partition, RecordCount, Replay};

/// One condition, ready to stand behind `WHERE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition(String);

impl Condition {
    /// The fence: each of these claims is the newest of its partition.
    ///
    /// Panics without a claim: such a fence would refuse nobody.
    pub fn fence(lane: &LaneTables, claims: &BTreeMap<Partition, Claim>) -> Self {
        assert!(!claims.is_empty(), "an insert needs a claim to be fenced by");
        if price::without("fence") {
            return Self("1".to_owned());
        }
        // As text: literals are analysed many times as fast as calls of a function, and claims exceed 64 bits.
        let mine = claims.iter().map(|(partition, claim)| format!("({partition}, '{}')", claim.0));
        let question = format!(
            "SELECT countIf((`partition`, toString(newest)) IN ({})) FROM (SELECT `partition`, max(claim) AS newest FROM {} \
             WHERE {} AND `partition` IN ({}) GROUP BY `partition`)",
            sql::joined(mine, ", "),
            lane.state.ownership().quoted(),
            lane.cell.condition(),
            sql::joined(claims.keys(), ", "),
        );
        Self::equal(&question, claims.len(), FENCED)
    }

    /// The proof of a ledger row: the target holds exactly the expected rows, in each partition.
    pub fn proof_of_rows(lane: &LaneTables, expected: &[Expected]) -> Option<Self> {
        Self::counted(&Units::of_targets(lane), expected, SHORT)
    }

    /// The same for the dead letters.
    pub fn proof_of_dead_letters(lane: &LaneTables, expected: &[Expected]) -> Option<Self> {
        Self::counted(&Units::of_dead_letters(lane), expected, SHORT)
    }

    /// The presence test: the target holds exactly the rows that the look found, so none of this block.
    pub fn presence_of_rows(lane: &LaneTables, found: &[Expected]) -> Option<Self> {
        Self::counted(&Units::of_targets(lane), found, PRESENT)
    }

    /// The same for the dead letters.
    pub fn presence_of_dead_letters(lane: &LaneTables, found: &[Expected]) -> Option<Self> {
        Self::counted(&Units::of_dead_letters(lane), found, PRESENT)
    }

    /// The table has the structure that the rows were made for. Without it the server would convert them to another one in
    /// silence.
    pub fn structure(table: &TableName, made_for: Structure) -> Self {
        Self::equal(&Structure::question(table), made_for.0, TABLE_CHANGED)
    }

    /// The proof of a checkpoint: each of these partitions has a ledger row that ends at its offset or behind. Without it
    /// a checkpoint could cover up rows that the ledger lost with a power failure.
    pub fn proof_of_ledger(lane: &LaneTables, ends: &[(Partition, Replay, Offset)]) -> Option<Self> {
        if ends.is_empty() {
            return None;
        }
        let question = format!(
            "SELECT uniqExact(`partition`) FROM {} WHERE {} AND `partition` IN ({}) AND end_offset >= {} AND replay = {}",
            lane.state.ledger().quoted(),
            lane.cell.condition(),
            sql::joined(ends.iter().map(|(partition, _, _)| partition), ", "),
            sql::lookup("`partition`", ends.iter().map(|(partition, _, end)| (partition, end)), u64::MAX),
            sql::lookup("`partition`", ends.iter().map(|(partition, replay, _)| (partition, replay)), 0),
        );
        Some(Self::equal(&question, ends.len(), SHORT))
    }

    /// Counts per partition, so that a row too many in one cannot hide one too few in another.
    fn counted(units: &Units, expected: &[Expected], text: &str) -> Option<Self> {
        let mut rows: BTreeMap<Partition, RecordCount> = BTreeMap::new();
        let mut ranges = Vec::new();
        for one in expected.iter().filter(|one| !one.range.is_empty()) {
            *rows.entry(one.partition).or_default() += one.rows;
            ranges.push((one.partition, one.replay, one.range));
        }
        if ranges.is_empty() {
            return None;
        }
        // Partitions without rows make no group: a group that is not expected counts against the sum.
        rows.retain(|_, count| count.0 > 0);
        let wanted = rows.len();
        let verdict = if rows.is_empty() {
            "-1".to_owned()
        } else {
            let pairs = rows.iter().map(|(partition, count)| format!("({partition}, {count})"));
            format!("if((unit_partition, unit_rows) IN ({}), 1, -1)", sql::joined(pairs, ", "))
        };
        let question = format!(
            "SELECT sum({verdict}) FROM (SELECT toInt32({}) AS unit_partition, count() AS unit_rows {} \
             GROUP BY unit_partition)",
            units.partition,
            units.table_where(&units.any_within(&ranges)),
        );
        Some(Self::equal(&question, wanted, text))
    }

    /// `ifNull`, because a profile can turn the aggregate of nothing into NULL, and `throwIf(NULL)` lets rows vanish.
    fn equal(question: &str, wanted: impl std::fmt::Display, text: &str) -> Self {
        Self(format!("throwIf(ifNull(({question}), 0) != {wanted}, {}) = 0", sql::string(text)))
    }

    /// The text.
    pub fn as_sql(&self) -> &str {
        &self.0
    }
}

/// How many units a table has to hold within a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expected {
    /// The partition.
    pub partition: Partition,
    /// The replay.
    pub replay: Replay,
    /// The offsets.
    pub range: OffsetRange,
    /// The units among them.
    pub rows: RecordCount,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::insert::tests::lane;

    #[test]
    fn a_checkpoint_needs_what_it_vouches_for() {
        assert_eq!(Condition::proof_of_ledger(&lane(), &[]), None);
        let ends = [(Partition(0), Replay(1), Offset::new(7)), (Partition(2), Replay(0), Offset::new(9))];
        let sql = Condition::proof_of_ledger(&lane(), &ends).unwrap().0;
        let wanted = "`partition` IN (0, 2) AND end_offset >= transform(`partition`, [0, 2], [7, 9], 18446744073709551615) \
                      AND replay = transform(`partition`, [0, 2], [1, 0], 0)";
        assert!(sql.contains(wanted), "{sql}");
        assert!(sql.ends_with("!= 2, 'oncesink:short') = 0"), "{sql}");
    }

    #[test]
    fn the_structure_is_compared() {
        assert_eq!(
            Condition::structure(&lane().cell.target, Structure(u64::MAX)).as_sql(),
            "throwIf(ifNull((SELECT groupBitXor(hash) FROM (\
             SELECT sipHash64(name, type, default_kind, default_expression) AS hash FROM system.columns \
             WHERE database = 'iot' AND table = 'readings' UNION ALL \
             SELECT sipHash64(uuid, metadata_modification_time) AS hash FROM system.tables \
             WHERE database = 'iot' AND name = 'readings')), 0) != 18446744073709551615, 'oncesink:table_changed') = 0"
        );
    }

    #[test]
    fn the_fence_counts_claims_that_are_the_newest() {
        let claims = BTreeMap::from([(Partition(0), Claim(1 << 64)), (Partition(7), Claim((3 << 64) + 5))]);
        assert_eq!(
            Condition::fence(&lane(), &claims).as_sql(),
            "throwIf(ifNull((SELECT countIf((`partition`, toString(newest)) IN \
             ((0, '18446744073709551616'), (7, '55340232221128654853'))) \
             FROM (SELECT `partition`, max(claim) AS newest FROM `oncesink`.`ownership` \
             WHERE cluster = 'c1' AND connector = 'readings' AND target = 'iot.readings' AND topic = 'it\\'s' \
             AND `partition` IN (0, 7) GROUP BY `partition`)), 0) != 2, 'oncesink:fenced') = 0"
        );
    }

    #[test]
    fn proofs_count_each_partition() {
        let check = |expected: &[(i32, u64, u64, u64)], wanted: Option<&str>| {
            let expected: Vec<_> = expected
                .iter()
                .map(|(partition, start, end, rows)| Expected {
                    partition: Partition(*partition),
                    replay: Replay(2),
                    range: OffsetRange::new(Offset::new(*start), Offset::new(*end)),
                    rows: RecordCount(*rows),
                })
                .collect();
            let proof = Condition::proof_of_rows(&lane(), &expected);
            assert_eq!(proof.as_ref().map(Condition::as_sql), wanted);
        };
        check(&[], None);
        check(&[(0, 5, 5, 0)], None);
        check(
            &[(0, 5, 9, 0)],
            Some(
                "throwIf(ifNull((SELECT sum(-1) FROM (SELECT toInt32(`_partition`) AS unit_partition, \
                 count() AS unit_rows FROM `iot`.`readings` WHERE `_topic` = 'it\\'s' AND \
                 ((`_partition` = 0 AND `_replay` = 2 AND `_offset` >= 5 AND `_offset` < 9)) \
                 GROUP BY unit_partition)), 0) != 0, 'oncesink:short') = 0",
            ),
        );
        check(
            &[(0, 5, 9, 3), (0, 11, 12, 1), (1, 0, 1, 0), (2, 3, 4, 1)],
            Some(
                "throwIf(ifNull((SELECT sum(if((unit_partition, unit_rows) IN ((0, 4), (2, 1)), 1, -1)) FROM \
                 (SELECT toInt32(`_partition`) AS unit_partition, \
                 count() AS unit_rows FROM `iot`.`readings` WHERE `_topic` = 'it\\'s' AND \
                 ((`_partition` = 0 AND `_replay` = 2 AND `_offset` >= 5 AND `_offset` < 9) OR \
                 (`_partition` = 0 AND `_replay` = 2 AND `_offset` >= 11 AND `_offset` < 12) OR \
                 (`_partition` = 1 AND `_replay` = 2 AND `_offset` >= 0 AND `_offset` < 1) OR \
                 (`_partition` = 2 AND `_replay` = 2 AND `_offset` >= 3 AND `_offset` < 4)) \
                 GROUP BY unit_partition)), 0) != 2, 'oncesink:short') = 0",
            ),
        );
    }
}
