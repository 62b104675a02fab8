//! What must hold, told from the outside: it sees rows appear and vanish, offsets and alerts take effect, records
//! come and go, and knows nothing of the protocol.

use std::collections::{BTreeMap, BTreeSet};

use oncesink::protocol::facts::CommittedOffset;
use oncesink::types::{OffsetRange, PartitionKey, Replay};

use crate::clickhouse::Row;
use crate::kafka::{Kind, fires, kind, rows};

/// A record: its partition, which creation of the topic, its offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Unit {
    pub(crate) key: PartitionKey,
    pub(crate) generation: u64,
    pub(crate) offset: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Place {
    Target,
    Dead,
}

#[derive(Debug, Default, Clone, Hash)]
pub(crate) struct Oracle {
    pub(crate) produced: BTreeSet<Unit>,
    /// How often each row is in the target, and each record among the dead letters.
    stored: BTreeMap<(Unit, u64), u32>,
    dead: BTreeMap<Unit, u32>,
    /// Rows lost with the server's power: offsets may stand above them until they are repaired.
    lost: BTreeSet<Unit>,
    /// Units that may be absent: retention, a start behind them.
    excused: BTreeSet<Unit>,
    /// Units that a foreign tool jumped over: absent until it goes back below them.
    jumped: BTreeSet<Unit>,
    /// All that a tool ever jumped over. That it went back is known to Kafka alone until a block is stored: an offset
    /// that expires before then takes it along.
    jumped_once: BTreeSet<Unit>,
    excused_alerts: BTreeSet<Unit>,
    alerts: BTreeMap<Unit, u32>,
    repeats: BTreeMap<Unit, u32>,
    blocks: BTreeMap<(PartitionKey, u64), Vec<OffsetRange>>,
    /// Which creation of its topic a replay reads.
    pub(crate) replays: BTreeMap<(PartitionKey, Replay), u64>,
    started: BTreeSet<(PartitionKey, Replay)>,
    pub(crate) start_latest: bool,
    pub(crate) lost_ledger: bool,
    pub(crate) violation: Option<String>,
}

impl Oracle {
    fn fail(&mut self, text: String) {
        self.violation.get_or_insert(text);
    }

    pub(crate) fn is_stored(&self, unit: Unit) -> bool {
        let dead = self.dead.get(&unit).is_some_and(|count| *count > 0);
        dead || (kind(unit) == Kind::Good && (0..rows(unit)).all(|row| self.has_row(unit, row)))
    }

    fn has_row(&self, unit: Unit, row: u64) -> bool {
        self.stored.get(&(unit, row)).is_some_and(|count| *count > 0)
    }

    fn may_be_absent(&self, unit: &Unit) -> bool {
        self.excused.contains(unit) || self.jumped.contains(unit)
    }

    pub(crate) fn appear(&mut self, row: &Row, place: Place) {
        let Row { unit, row, replay } = *row;
        if self.replays.get(&(unit.key, replay)) != Some(&unit.generation) {
            return self.fail(format!("{unit:?} was stored under replay {replay} of another topic"));
        }
        // Of a record whose first row the server refuses the others may come first.
        let fits = match kind(unit) {
            Kind::Good => place == Place::Target && row < rows(unit),
            Kind::Poison => place == Place::Dead || (1..rows(unit)).contains(&row),
            Kind::Bad => place == Place::Dead,
            Kind::Tombstone => false,
        };
        if !fits {
            return self.fail(format!("row {row} of {unit:?}, a {:?} record, went to {place:?}", kind(unit)));
        }
        let count = match place {
            Place::Target => self.stored.entry((unit, row)).or_default(),
            Place::Dead => self.dead.entry(unit).or_default(),
        };
        *count += 1;
        let count = *count;
        if count > 1 {
            self.fail(format!("row {row} of {unit:?} is stored {count} times"));
        }
        if self.dead.get(&unit).is_some_and(|dead| *dead > 0) && (0..rows(unit)).any(|row| self.has_row(unit, row)) {
            self.fail(format!("{unit:?} is in both tables"));
        }
        if self.is_stored(unit) {
            self.lost.remove(&unit);
        }
    }

    pub(crate) fn vanish(&mut self, row: &Row, place: Place, by_power_loss: bool, committed: Option<u64>) {
        let unit = row.unit;
        let count = match place {
            Place::Target => self.stored.get_mut(&(unit, row.row)),
            Place::Dead => self.dead.get_mut(&unit),
        };
        if let Some(count) = count {
            *count -= 1;
        }
        if by_power_loss {
            self.lost.insert(unit);
        } else if committed.is_some_and(|committed| unit.offset < committed) && !self.may_be_absent(&unit) {
            self.fail(format!("{unit:?} vanished below the committed offset"));
        }
    }

    fn below(&self, key: PartitionKey, generation: u64, from: u64, to: u64) -> Vec<Unit> {
        let unit = |offset| Unit { key, generation, offset };
        if from >= to {
            return Vec::new();
        }
        self.produced.range(unit(from)..unit(to)).copied().collect()
    }

    /// A committed offset takes effect.
    pub(crate) fn commit(&mut self, key: PartitionKey, generation: u64, committed: &CommittedOffset) {
        let Some(metadata) = committed.metadata else { return };
        if self.replays.get(&(key, metadata.replay)) != Some(&generation) {
            return;
        }
        let below = self.below(key, generation, 0, committed.offset.get());
        if self.started.insert((key, metadata.replay)) && self.start_latest {
            self.excused.extend(below.iter().copied());
            self.excused_alerts.extend(below.iter().copied());
        }
        for unit in below {
            let skipped = kind(unit) == Kind::Tombstone;
            if !skipped && !self.is_stored(unit) && !self.lost.contains(&unit) && !self.may_be_absent(&unit) {
                self.fail(format!("offset {} was committed above {unit:?}, which is absent", committed.offset));
            }
        }
    }

    pub(crate) fn block(&mut self, key: PartitionKey, generation: u64, range: OffsetRange) {
        self.blocks.entry((key, generation)).or_default().push(range);
    }

    pub(crate) fn alert(&mut self, unit: Unit) {
        let count = self.alerts.entry(unit).or_default();
        *count += 1;
        let allowed = 1 + self.repeats.get(&unit).copied().unwrap_or(0);
        if *count > allowed {
            self.fail(format!("the alert of {unit:?} is read {} times, {allowed} allowed", self.alerts[&unit]));
        }
    }

    /// Kafka forgot a record.
    pub(crate) fn removed(&mut self, unit: Unit) {
        if !self.is_stored(unit) {
            self.excused.insert(unit);
        }
        if !self.alerts.contains_key(&unit) {
            self.excused_alerts.insert(unit);
        }
    }

    /// Rows that are gone and whose records are gone too cannot be had again.
    pub(crate) fn irreparable(&mut self, unit: Unit) {
        self.excused.insert(unit);
    }

    /// The offset was set from outside, or expired (`to` is `None`).
    pub(crate) fn moved(&mut self, key: PartitionKey, generation: u64, from: Option<u64>, to: Option<u64>) {
        if let Some(to) = to {
            let jumped = self.below(key, generation, from.unwrap_or(0), to);
            // What lies above is owed again; its alerts are not, where others above them were published.
            self.jumped.retain(|unit| (unit.key, unit.generation) != (key, generation) || unit.offset < to);
            self.jumped.extend(jumped.iter().copied());
            self.jumped_once.extend(jumped.iter().copied());
            self.excused_alerts.extend(jumped);
            if self.lost_ledger {
                self.forgotten(key, generation, to);
            }
        } else {
            let again = self.jumped_once.iter().filter(|unit| (unit.key, unit.generation) == (key, generation));
            self.jumped.extend(again.copied().collect::<Vec<_>>());
        }
        let blocks = self.blocks.get(&(key, generation)).cloned().unwrap_or_default();
        let mut by_end = blocks.clone();
        by_end.sort_by_key(|range| range.end());
        let last = blocks.iter().rev().take(2).chain(by_end.iter().rev().take(2));
        let from = if self.lost_ledger { Some(0) } else { last.map(|range| range.start().get()).min() };
        for unit in from.map(|from| self.below(key, generation, from, u64::MAX)).unwrap_or_default() {
            *self.repeats.entry(unit).or_default() += 1;
        }
    }

    /// An offset from outside, and a ledger that lost what it knew: nothing tells what lay below.
    pub(crate) fn forgotten(&mut self, key: PartitionKey, generation: u64, to: u64) {
        let below: Vec<Unit> =
            self.below(key, generation, 0, to).into_iter().filter(|unit| self.lost.contains(unit)).collect();
        self.excused.extend(below);
    }

    /// Nothing tells any more which alerts were committed.
    pub(crate) fn repeatable(&mut self, key: PartitionKey, generation: u64) {
        for unit in self.below(key, generation, 0, u64::MAX) {
            *self.repeats.entry(unit).or_default() += 1;
        }
    }

    /// Neither Kafka nor the ledger knows the partition any more: the start policy counts again.
    pub(crate) fn restarted(&mut self, key: PartitionKey) {
        self.started.retain(|(known, _)| *known != key);
    }

    /// The records of a deleted topic are not owed any more.
    pub(crate) fn deleted(&mut self, key: PartitionKey, generation: u64) {
        for unit in self.below(key, generation, 0, u64::MAX) {
            self.removed(unit);
        }
    }

    /// Faults are over and all is quiet: everything owed is there. `halted` partitions owe nothing.
    pub(crate) fn settle(&mut self, halted: &BTreeSet<PartitionKey>) {
        let owed: Vec<Unit> = self.produced.iter().filter(|unit| !halted.contains(&unit.key)).copied().collect();
        for unit in owed {
            if kind(unit) != Kind::Tombstone && !self.is_stored(unit) && !self.may_be_absent(&unit) {
                self.fail(format!("{unit:?} never arrived"));
            }
            if fires(unit) && !self.alerts.contains_key(&unit) && !self.excused_alerts.contains(&unit) {
                self.fail(format!("the alert of {unit:?} never arrived"));
            }
        }
    }
}
