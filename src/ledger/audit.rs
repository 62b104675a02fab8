//! Counts rows again that the ledger has proven, while the connector runs: a small sample, read only, with one thread
//! of the server. What it finds is for people; the protocol never hears of it.

use std::collections::BTreeMap;

use super::facts;
use super::missing::{self, PARTITIONS_PER_STATEMENT, Proven};
use crate::clickhouse::{ControlError, LaneTables, Session};
use crate::protocol::facts::StoredIdentity;
use crate::types::{OffsetRange, Partition, RecordCount, Replay};

/// What a count may cost.
const SETTINGS: &[(&str, &str)] = &[("max_threads", "1"), ("max_execution_time", "20")];

/// A range whose rows were counted again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Audited {
    /// The partition.
    pub partition: Partition,
    /// The range of one row of the ledger.
    pub range: OffsetRange,
    /// What the ledger has proven.
    pub expected: RecordCount,
    /// What the target holds, rows that a lightweight DELETE hides included.
    pub found: RecordCount,
}

impl Audited {
    /// Whether rows are missing, or are there more than once.
    pub fn differs(&self) -> bool {
        self.found != self.expected
    }
}

/// Counts one recent range of each partition, which `pick` chooses among so many, and those of `known`. A difference is
/// told only when the ledger, read again after the count, still says the same and so does a second count: a takeover
/// may have been between the two. What a newer row of the ledger speaks for is left out.
///
/// # Errors
/// Where the server does not answer, or refuses.
pub async fn audit(
    session: &Session,
    lane: &LaneTables,
    partitions: &[Partition],
    known: &[(Partition, OffsetRange)],
    pick: &mut (dyn FnMut(usize) -> usize + Send),
) -> Result<Vec<Audited>, ControlError> {
    let identities = facts::identities(session, lane, partitions).await?;
    let look = Look { session, lane, identities: &identities };
    let mut audited = look.again(known).await?;
    let mut suspects = Vec::new();
    for one in look.recent(known, pick).await? {
        if one.differs() {
            suspects.push((one.partition, one.range));
        } else {
            audited.push(one);
        }
    }
    audited.extend(look.again(&suspects).await?);
    Ok(audited)
}

struct Look<'a> {
    session: &'a Session,
    lane: &'a LaneTables,
    identities: &'a BTreeMap<Partition, StoredIdentity>,
}

impl Look<'_> {
    /// One recent range of each partition that is not known already.
    async fn recent(
        &self,
        known: &[(Partition, OffsetRange)],
        pick: &mut (dyn FnMut(usize) -> usize + Send),
    ) -> Result<Vec<Audited>, ControlError> {
        let identities: Vec<_> = self.identities.iter().map(|(partition, identity)| (*partition, *identity)).collect();
        let mut audited = Vec::new();
        for chunk in identities.chunks(PARTITIONS_PER_STATEMENT) {
            let newest = missing::newest(self.session, self.lane, &missing::questions_of(chunk)).await?;
            let mut proven = missing::undisputed(&newest);
            for (partition, rows) in &mut proven {
                rows.retain(|row| !known.contains(&(*partition, row.range())));
                if rows.len() > 1 {
                    let picked = rows[pick(rows.len()) % rows.len()];
                    *rows = vec![picked];
                }
            }
            proven.retain(|_, rows| !rows.is_empty());
            audited.extend(self.count(&proven).await?);
        }
        Ok(audited)
    }

    /// These ranges, where a row of the ledger has just them and no newer one overlaps them.
    async fn again(&self, ranges: &[(Partition, OffsetRange)]) -> Result<Vec<Audited>, ControlError> {
        let mut audited = Vec::new();
        for (partition, range) in ranges {
            let Some(identity) = self.identities.get(partition) else { continue };
            let question = format!(
                "{} AND start_offset < {} AND end_offset > {}",
                super::facts::rows_of_partitions(&[*partition], identity),
                range.end(),
                range.start()
            );
            let newest = missing::newest(self.session, self.lane, &[question]).await?;
            let mut proven = missing::undisputed(&newest);
            for rows in proven.values_mut() {
                rows.retain(|row| row.range() == *range);
            }
            proven.retain(|_, rows| !rows.is_empty());
            audited.extend(self.count(&proven).await?);
        }
        Ok(audited)
    }

    async fn count(&self, proven: &BTreeMap<Partition, Vec<Proven>>) -> Result<Vec<Audited>, ControlError> {
        if proven.is_empty() {
            return Ok(Vec::new());
        }
        let replays: BTreeMap<Partition, Replay> =
            self.identities.iter().map(|(partition, identity)| (*partition, identity.replay)).collect();
        let counted = missing::counted(self.session, self.lane, proven, &replays, SETTINGS).await?;
        let counted = missing::by_start(&counted);
        let audited = proven.values().flatten().map(|row| Audited {
            partition: Partition(row.partition),
            range: row.range(),
            expected: RecordCount(row.rows),
            found: counted.get(&(row.partition, row.range().start().get())).copied().unwrap_or_default(),
        });
        Ok(audited.collect())
    }
}
