//! What happens on the server's side and to the records: statements, faults, topics that come anew.

use oncesink::protocol::event::{Event, InsertEnd, ServerError, ServerErrorKind, Table};
use oncesink::protocol::facts::{CommittedOffset, LedgerRow};
use oncesink::types::{Claim, LaneId, Offset, OffsetRange, PartitionKey, RecordCount, Replay};

use crate::clickhouse::{Fate, Ownership, Part, Run, Statement, Verdict};
use crate::kafka::{Kind, Log, kind};
use crate::mutants::Mutant;
use crate::oracle::Place;
use crate::scenario::{FAULTS, Fault};
use crate::world::{World, topic_id};

fn error(kind: ServerErrorKind) -> InsertEnd {
    InsertEnd::Ended(ServerError { code: 0, text: "injected".to_owned(), kind })
}

impl World {
    /// A statement moves on by one step.
    pub(crate) fn advance(&mut self, at: usize) {
        let statement = &mut self.clickhouse.statements[at];
        match statement.run {
            Run::Sent => {
                let request = statement.request;
                let twin = |other: &Statement| other.request == request && other.run != Run::Sent;
                let refused = self.mutant != Some(Mutant::TwinsRunTogether);
                if refused && self.clickhouse.statements.iter().any(twin) {
                    return self.answer(at, error(ServerErrorKind::Passing));
                }
                self.clickhouse.statements[at].run = Run::Listed;
                if !self.scenario.listed_apart {
                    self.advance(at);
                }
            }
            Run::Listed => {
                statement.run = Run::Writing;
                let insert = statement.insert.clone();
                let proxied = self.scenario.proxied && self.mutant != Some(Mutant::PresenceNotTested);
                let mut verdict = self.clickhouse.evaluate(&insert, self.mutant, proxied);
                if self.mutant == Some(Mutant::FenceIgnored) && verdict == Verdict::Fenced {
                    verdict = Verdict::Pass;
                }
                match verdict {
                    Verdict::Pass => {}
                    Verdict::Fenced => self.answer(at, InsertEnd::Fenced),
                    Verdict::Short => self.answer(at, InsertEnd::Short),
                    Verdict::Present => self.answer(at, InsertEnd::Present),
                }
            }
            Run::Writing => self.write(at),
        }
    }

    fn write(&mut self, at: usize) {
        if self.clickhouse.statements[at].awaited && self.strikes(Fault::ErrorReply) {
            if self.mutant == Some(Mutant::ErrorMeansNothingWritten) {
                self.resend(at);
                self.clickhouse.statements[at].awaited = false;
            }
            let slow = !self.exhaustive && self.rng.percent(20);
            // Once in a run: the same again and again for the same records would be what a record does.
            let doubtful = if self.exhaustive { self.scenario.doubtful } else { slow && !self.doubted };
            self.doubted |= doubtful;
            let kind = match (doubtful, slow) {
                (true, _) => ServerErrorKind::Doubtful,
                (false, true) => ServerErrorKind::Configuration,
                (false, false) => ServerErrorKind::Passing,
            };
            return self.answer(at, error(kind));
        }
        let table = self.clickhouse.statements[at].insert.table;
        let Some(rows) = self.clickhouse.statements[at].parts.pop() else {
            if table == Table::Ledger {
                let rows = self.clickhouse.statements[at].insert.ledger.clone();
                self.clickhouse.ledger.extend(rows);
            }
            return self.answer(at, InsertEnd::Acknowledged);
        };
        if table.is_target() && rows.iter().any(|row| kind(row.unit) == Kind::Poison && row.row == 0) {
            let doubtful = self.scenario.doubtful;
            let kind = if doubtful { ServerErrorKind::Doubtful } else { ServerErrorKind::Bytes };
            return self.answer(at, error(kind));
        }
        if table.is_target() && self.strikes(Fault::Vanish) {
            self.vanished += 1;
            return;
        }
        let place = if table.is_target() { Place::Target } else { Place::Dead };
        let unsure = place == Place::Target && self.scenario.replicated && self.strikes(Fault::ErrorReply);
        let fate = match (unsure, self.rng.percent(50)) {
            (false, _) => Fate::Certain,
            (true, true) => Fate::MayVanish,
            (true, false) => Fate::MayAppear,
        };
        if fate != Fate::MayAppear {
            rows.iter().for_each(|row| self.oracle.appear(row, place));
        }
        self.clickhouse.parts.push(Part { place, rows, fate });
        if unsure {
            self.answer(at, error(ServerErrorKind::Passing));
        }
    }

    fn resend(&mut self, at: usize) {
        let mut again = self.clickhouse.statements[at].clone();
        self.clickhouse.requests += 1;
        again.request = self.clickhouse.requests;
        let data = &self.workers[again.worker].blocks[&again.insert.block];
        self.clickhouse.sent += 1;
        again.id = self.clickhouse.sent;
        again.run = Run::Sent;
        again.parts = match again.insert.table {
            Table::Target(target) => vec![data.rows_into(target, self.scenario.targets)],
            Table::DeadLetters => vec![data.dead.clone()],
            Table::Alerts | Table::Ledger => Vec::new(),
        };
        self.clickhouse.statements.push(again);
    }

    /// Something between sends a request again; the reply to the first is lost.
    fn repeat(&mut self) -> bool {
        let awaited: Vec<usize> =
            (0..self.clickhouse.statements.len()).filter(|at| self.clickhouse.statements[*at].awaited).collect();
        if awaited.is_empty() {
            return false;
        }
        let at = awaited[self.rng.below(awaited.len())];
        let request = self.clickhouse.statements[at].request;
        self.resend(at);
        self.clickhouse.statements[at].awaited = false;
        let twin = self.clickhouse.statements.last_mut().expect("it was just sent");
        twin.request = request;
        true
    }

    /// Keeper says what became of a part.
    pub(crate) fn decide_part(&mut self, at: usize) {
        let stays = self.rng.percent(50);
        let fate = self.clickhouse.parts[at].fate;
        if stays {
            self.clickhouse.parts[at].fate = Fate::Certain;
            if fate == Fate::MayAppear {
                for row in &self.clickhouse.parts[at].rows {
                    self.oracle.appear(row, Place::Target);
                }
            }
            return;
        }
        let part = self.clickhouse.parts.remove(at);
        if fate == Fate::MayVanish {
            self.vanish(&part, false);
        }
    }

    fn vanish(&mut self, part: &Part, by_power_loss: bool) {
        for row in &part.rows {
            let key = row.unit.key;
            let current = self.kafka.generations[&key.lane] == row.unit.generation;
            if !current || !self.kafka.logs[&key].records.contains(&row.unit.offset) {
                self.oracle.irreparable(row.unit);
            }
            let committed = if current { self.consumed(key) } else { None };
            self.oracle.vanish(row, part.place, by_power_loss, committed);
        }
    }

    /// The committed offset, if it is not one of an older topic.
    fn consumed(&self, key: PartitionKey) -> Option<u64> {
        let generation = self.kafka.generations[&key.lane];
        let committed = self.kafka.committed.get(&key)?;
        let replay = committed.metadata.map(|metadata| metadata.replay);
        let current = replay.is_none_or(|replay| self.oracle.replays.get(&(key, replay)) == Some(&generation));
        current.then_some(committed.offset.get())
    }

    /// One fault of those that strike from outside.
    pub(crate) fn strike(&mut self) {
        let possible: Vec<Fault> = FAULTS.into_iter().filter(|fault| self.budget(*fault)).collect();
        if possible.is_empty() {
            return;
        }
        let fault = possible[self.rng.below(possible.len())];
        self.strike_with(fault);
    }

    /// This fault, if it can strike now.
    pub(crate) fn strike_with(&mut self, fault: Fault) {
        let running: Vec<usize> = (0..self.workers.len()).filter(|w| self.workers[*w].runs()).collect();
        let w = if running.is_empty() { None } else { Some(running[self.rng.below(running.len())]) };
        let done = match (fault, w) {
            (Fault::Crash, Some(w)) => {
                self.crash(w);
                true
            }
            (Fault::Freeze, Some(w)) => {
                self.workers[w].frozen = true;
                true
            }
            (Fault::Restart, Some(w)) if !self.workers[w].source.stopping => {
                self.stop(w);
                true
            }
            (Fault::Kick, _) => self.kick_any(),
            (Fault::Rebalance, _) => {
                self.kafka.group.rebalance(&self.keys, &mut self.rng);
                true
            }
            (Fault::Timeout, _) => self.time_out(),
            (Fault::TxnTimeout, _) => {
                let open: Vec<usize> =
                    (0..self.workers.len()).filter(|w| self.kafka.coordinators[*w].ongoing()).collect();
                open.first().is_some_and(|w| {
                    self.kafka.coordinators[*w].fence();
                    true
                })
            }
            (Fault::ServerCrash, _) => {
                self.server_crash();
                true
            }
            (Fault::PowerLoss, _) => {
                self.power_loss();
                true
            }
            (Fault::Retention, _) => self.forget_records(true),
            (Fault::Compaction, _) => self.forget_records(false),
            (Fault::Outage, _) => {
                self.outage();
                true
            }
            (Fault::Recreate, _) => self.recreate(),
            (Fault::Repeat, _) => self.repeat(),
            (
                Fault::Crash
                | Fault::Freeze
                | Fault::Restart
                | Fault::ErrorReply
                | Fault::StepFails
                | Fault::TxnUnclear
                | Fault::Vanish,
                _,
            ) => false,
        };
        if done {
            self.spend(fault);
        }
    }

    fn kick_any(&mut self) -> bool {
        let members: Vec<u64> = self.kafka.group.members.keys().copied().collect();
        if members.is_empty() {
            return false;
        }
        let member = members[self.rng.below(members.len())];
        self.kafka.group.kick(member, &self.keys, &mut self.rng);
        true
    }

    fn time_out(&mut self) -> bool {
        let awaited: Vec<usize> =
            (0..self.clickhouse.statements.len()).filter(|at| self.clickhouse.statements[*at].awaited).collect();
        if awaited.is_empty() {
            return false;
        }
        let at = awaited[self.rng.below(awaited.len())];
        if self.mutant == Some(Mutant::BlindResend) {
            self.resend(at);
        } else {
            let statement = &self.clickhouse.statements[at];
            let too_large = !self.exhaustive && self.moves.is_multiple_of(4);
            let why = "injected".to_owned();
            let end = if too_large { InsertEnd::TooLarge(why) } else { InsertEnd::Unknown(why) };
            let event = Event::Inserted(statement.insert.block, statement.insert.table, end);
            self.workers[statement.worker].ready.push(event);
        }
        self.clickhouse.statements[at].awaited = false;
        true
    }

    /// Statements that run are gone, and parts of them stay. What was only sent may still arrive.
    fn server_crash(&mut self) {
        let mut at = 0;
        while at < self.clickhouse.statements.len() {
            if self.clickhouse.statements[at].run == Run::Sent {
                at += 1;
            } else {
                self.answer(at, InsertEnd::Unknown("connection reset".to_owned()));
            }
        }
        for worker in self.workers.iter_mut().filter(|worker| worker.alive && !worker.finished) {
            worker.unnoticed = true;
        }
    }

    /// The newest rows of every table are gone, but for acknowledged claims.
    fn power_loss(&mut self) {
        self.power_losses += 1;
        self.server_crash();
        for place in [Place::Target, Place::Dead] {
            for _ in 0..self.rng.below(4) {
                let Some(last) = self.clickhouse.parts.iter().rposition(|part| part.place == place) else { break };
                let part = self.clickhouse.parts.remove(last);
                if part.fate != Fate::MayAppear {
                    self.vanish(&part, true);
                }
            }
        }
        for _ in 0..self.rng.below(4) {
            // The row of `reset --new-replay` is waited for by a person, who looks whether it is there.
            if self.clickhouse.ledger.last().is_some_and(|row| !row.range.is_empty()) {
                self.oracle.lost_ledger = true;
                self.clickhouse.ledger.pop();
            }
        }
        for key in self.keys.clone() {
            let silent = !self.clickhouse.ledger.iter().any(|row| row.key == key);
            match self.kafka.committed.get(&key) {
                None if silent => self.oracle.restarted(key),
                // What the ledger had of the alert floor may be gone.
                None if self.oracle.lost_ledger => self.oracle.repeatable(key, self.kafka.generations[&key.lane]),
                Some(CommittedOffset { offset, metadata: None }) if self.oracle.lost_ledger => {
                    self.oracle.forgotten(key, self.kafka.generations[&key.lane], offset.get());
                    self.oracle.repeatable(key, self.kafka.generations[&key.lane]);
                }
                Some(CommittedOffset { metadata: Some(metadata), .. }) if self.oracle.lost_ledger => {
                    // The same below a jump of old.
                    self.oracle.forgotten(key, self.kafka.generations[&key.lane], metadata.origin.get());
                }
                None | Some(_) => {}
            }
        }
        if self.rng.percent(50) {
            self.clickhouse.ownership.retain(|row| row.acknowledged);
        }
    }

    fn forget_records(&mut self, oldest: bool) -> bool {
        let key = self.keys[self.rng.below(self.keys.len())];
        let generation = self.kafka.generations[&key.lane];
        let log = self.kafka.logs.get_mut(&key).expect("partitions are fixed");
        let gone: Vec<u64> = if oldest {
            let start = self.rng.between(log.start, log.end);
            log.start = start;
            self.retained.insert(key);
            log.records.iter().copied().filter(|offset| *offset < start).collect()
        } else {
            // The cleaner never takes the newest record.
            let known = log.records.len().saturating_sub(1);
            log.records.iter().take(known).copied().filter(|_| self.rng.percent(40)).collect()
        };
        for offset in gone {
            self.kafka.logs.get_mut(&key).expect("partitions are fixed").records.remove(&offset);
            self.oracle.removed(crate::oracle::Unit { key, generation, offset });
        }
        true
    }

    /// Every worker is gone or frozen and out of the group; someone moves an offset, or it expires.
    fn outage(&mut self) {
        for w in 0..self.workers.len() {
            if self.rng.percent(50) {
                self.crash(w);
            } else if self.workers[w].alive {
                self.workers[w].frozen = true;
            }
        }
        let members: Vec<u64> = self.kafka.group.members.keys().copied().collect();
        for member in members {
            self.kafka.group.kick(member, &self.keys, &mut self.rng);
        }
        let key = self.keys[self.rng.below(self.keys.len())];
        let generation = self.kafka.generations[&key.lane];
        let from = self.consumed(key);
        let (start, end) = (self.kafka.logs[&key].start, self.kafka.logs[&key].end);
        if self.rng.percent(30) {
            self.kafka.committed.remove(&key);
            let silent = !self.clickhouse.ledger.iter().any(|row| row.key == key);
            if silent {
                self.oracle.restarted(key);
            }
            self.oracle.moved(key, generation, from, None);
        } else {
            let to = self.rng.between(start, end);
            // Of two offsets the later in the coordinator's log counts, whenever the marker of a transaction comes.
            for txn in self.kafka.coordinators.iter_mut().filter_map(|coordinator| coordinator.txn.as_mut()) {
                txn.superseded.insert(key);
                for (_, range) in txn.ranges.extract_if(.., |(of, _)| *of == key) {
                    self.oracle.block(key, generation, range);
                }
            }
            self.kafka.committed.insert(key, CommittedOffset { offset: Offset::new(to), metadata: None });
            self.oracle.moved(key, generation, from, Some(to));
        }
        self.trace(|| format!("{key:?} moved from {from:?} to {:?}", self.kafka.committed.get(&key)));
    }

    fn recreate(&mut self) -> bool {
        // Before the first claim that lasts nobody can know that there was another topic.
        let known = |lane: &LaneId| {
            let mut keys = self.keys.iter().filter(|key| key.lane == *lane);
            keys.all(|key| self.clickhouse.ownership.iter().any(|row| row.key == *key && row.acknowledged))
        };
        let lanes: Vec<LaneId> = self.kafka.generations.keys().copied().filter(known).collect();
        let Some(lane) = lanes.get(self.rng.below(lanes.len())).copied() else { return false };
        let generation = self.kafka.generations[&lane];
        self.kafka.generations.insert(lane, generation + 1);
        self.to_reset.insert(lane);
        let keys: Vec<PartitionKey> = self.keys.iter().copied().filter(|key| key.lane == lane).collect();
        for key in keys {
            self.oracle.deleted(key, generation);
            self.kafka.logs.insert(key, Log::default());
            self.kafka.committed.remove(&key);
            for _ in 0..self.rng.below(6) {
                self.produce(key);
            }
        }
        true
    }

    /// `reset --new-replay`: a claim and a ledger row under the next replay.
    pub(crate) fn reset(&mut self, lane: LaneId) {
        self.to_reset.remove(&lane);
        let generation = self.kafka.generations[&lane];
        let known = self.replays.entry(lane).or_default();
        *known += 1;
        let replay = Replay(*known);
        let keys: Vec<PartitionKey> = self.keys.iter().copied().filter(|key| key.lane == lane).collect();
        for key in keys {
            let claim = Claim::above(self.clickhouse.outranked(key), self.rng.bits(50));
            let topic_id = Some(topic_id(lane, generation));
            let kept = self.clickhouse.facts(key).floor.filter(|_| self.mutant == Some(Mutant::ReplayKeepsFloor));
            self.clickhouse.ownership.push(Ownership { key, claim, topic_id, replay, acknowledged: true });
            self.clickhouse.ledger.push(LedgerRow {
                key,
                claim,
                topic_id,
                replay,
                range: OffsetRange::new(Offset::ZERO, Offset::ZERO),
                origin: Offset::ZERO,
                checkpoint: false,
                rows: RecordCount(0),
                dead: RecordCount(0),
                skipped: RecordCount(0),
                gap: None,
                floor: kept.unwrap_or(Offset::ZERO),
                damaged: false,
                views_unverified: false,
            });
            self.oracle.replays.insert((key, replay), generation);
        }
    }
}
