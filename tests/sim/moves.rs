//! The moves: which are possible, the random choice among them, and what each does.

use std::collections::{BTreeMap, BTreeSet};

use oncesink::protocol::event::Event;
use oncesink::types::{AssignmentNumber, LaneId, PartitionKey};

use crate::clickhouse::{Fate, Run};
use crate::kafka::{Member, Progress};
use crate::mutants::Mutant;
use crate::oracle::Unit;
use crate::scenario::{Fault, PACES};
use crate::worker::Fetched;
use crate::world::{Phase, World};

#[derive(Debug, Clone, Copy)]
pub(crate) enum Move {
    Strike(Fault),
    Reply(usize, usize),
    FromSource(usize),
    Obey(usize),
    Poll(usize),
    Fetch(usize, PartitionKey),
    Pass(usize, PartitionKey),
    Close(usize, LaneId),
    Task(usize, usize),
    Start(usize),
    Wake(usize),
    Notice(usize),
    Kick(u64),
    Abort(usize),
    Marker(usize),
    Statement(usize),
    Forget(usize),
    ClaimLands(usize),
    OffsetsLand(usize),
    EndLands(usize),
    PartDecided(usize),
    Produce(PartitionKey),
    Reset(LaneId),
}

impl World {
    pub(crate) fn pick(&mut self) -> Option<Move> {
        // Slowness is a fault: when those are over every kind of move is open all the time.
        let pace = self.scenario.pace;
        let open = pace.map(|percent| self.phase != Phase::Faulty || self.rng.percent(percent));
        let mut moves = Vec::new();
        for w in 0..self.workers.len() {
            self.moves_of_worker(w, open, &mut moves);
        }
        if open[0] {
            self.moves_of_server(&mut moves);
        }
        if open[1] {
            self.moves_of_brokers(&mut moves);
        }
        moves.extend(self.to_produce.iter().filter(|(_, left)| **left > 0).map(|(key, _)| Move::Produce(*key)));
        if self.scenario.prompt || self.phase != Phase::Faulty {
            moves.extend(self.to_reset.iter().map(|lane| Move::Reset(*lane)));
        }
        if moves.is_empty() { None } else { Some(moves[self.rng.below(moves.len())]) }
    }

    fn moves_of_worker(&mut self, w: usize, open: [bool; PACES], moves: &mut Vec<Move>) {
        let worker = &self.workers[w];
        if (!worker.alive || worker.finished) && self.phase != Phase::Stopping {
            moves.push(Move::Start(w));
        }
        if worker.frozen && self.rng.percent(10) {
            moves.push(Move::Wake(w));
        }
        if !worker.runs() {
            return;
        }
        if worker.unnoticed && (self.phase != Phase::Faulty || self.rng.percent(self.scenario.notice)) {
            moves.push(Move::Notice(w));
        }
        if open[2] && self.has_news(w) {
            moves.push(Move::Poll(w));
        }
        if open[3] {
            moves.extend((0..worker.ready.len()).map(|at| Move::Reply(w, at)));
        }
        if !worker.source.events.is_empty() {
            moves.push(Move::FromSource(w));
        }
        if !worker.source.orders.is_empty() {
            moves.push(Move::Obey(w));
        }
        let fetches = |key: &&PartitionKey| !worker.source.stopping && worker.source.has_next(&self.kafka, **key);
        moves.extend(self.keys.iter().filter(fetches).map(|key| Move::Fetch(w, *key)));
        if self.scenario.markers && !worker.source.stopping {
            let unread = self.mutant == Some(Mutant::UnreadPassed);
            let behind = |key: &&PartitionKey| worker.source.position(&self.kafka, **key, unread).is_some();
            moves.extend(self.keys.iter().filter(behind).map(|key| Move::Pass(w, *key)));
        }
        let lanes = self.kafka.generations.keys().filter(|lane| worker.source.is_open(**lane));
        moves.extend(lanes.map(|lane| Move::Close(w, *lane)));
        let tasks = worker.tasks.iter().enumerate().filter(|(_, task)| self.can_move(w, task));
        moves.extend(tasks.map(|(at, _)| Move::Task(w, at)));
    }

    pub(crate) fn moves_of_server(&self, moves: &mut Vec<Move>) {
        for (at, statement) in self.clickhouse.statements.iter().enumerate() {
            moves.push(Move::Statement(at));
            if statement.run == Run::Sent && !statement.awaited {
                moves.push(Move::Forget(at));
            }
        }
        moves.extend((0..self.late_claims.len()).map(Move::ClaimLands));
        let undecided = self.clickhouse.parts.iter().enumerate().filter(|(_, part)| part.fate != Fate::Certain);
        moves.extend(undecided.map(|(at, _)| Move::PartDecided(at)));
    }

    pub(crate) fn moves_of_brokers(&self, moves: &mut Vec<Move>) {
        for (w, coordinator) in self.kafka.coordinators.iter().enumerate() {
            match coordinator.txn.as_ref().map(|txn| txn.progress) {
                Some(Progress::Prepared { .. }) => moves.push(Move::Marker(w)),
                Some(Progress::Ongoing) if !self.workers[w].runs() => moves.push(Move::Abort(w)),
                Some(Progress::Ongoing) | None => {}
            }
        }
        let gone = |member: &Member| {
            let worker = &self.workers[member.worker];
            !worker.runs() || worker.incarnation != member.incarnation
        };
        moves.extend(self.kafka.group.members.iter().filter(|(_, member)| gone(member)).map(|(id, _)| Move::Kick(*id)));
        moves.extend((0..self.kafka.late_offsets.len()).map(Move::OffsetsLand));
        moves.extend((0..self.kafka.late_ends.len()).map(Move::EndLands));
    }

    pub(crate) fn has_news(&self, w: usize) -> bool {
        let worker = &self.workers[w];
        let group = &self.kafka.group;
        let Some(id) = worker.member else { return true };
        let Some(member) = group.members.get(&id) else { return true };
        !member.revoke.is_empty() || worker.generation != group.generation || !group.grants(id).is_empty()
    }

    pub(crate) fn make(&mut self, next: Move) {
        match next {
            Move::Strike(fault) => self.strike_with(fault),
            Move::Reply(w, at) => {
                let event = self.workers[w].ready.remove(at);
                self.deliver(w, event);
            }
            Move::FromSource(w) => {
                let event = self.workers[w].source.events.pop_front().expect("it was there");
                self.deliver(w, event);
            }
            Move::Obey(w) => {
                let worker = &mut self.workers[w];
                worker.source.obey(&worker.assigned);
            }
            Move::Poll(w) => self.poll(w),
            Move::Fetch(w, key) => self.fetch(w, key),
            Move::Pass(w, key) => self.pass(w, key),
            Move::Close(w, lane) => self.close(w, lane),
            Move::Task(w, at) => {
                let task = self.workers[w].tasks.remove(at);
                let incarnation = self.workers[w].incarnation;
                let rest = self.move_task(w, task);
                if self.workers[w].incarnation == incarnation {
                    self.workers[w].tasks.extend(rest);
                }
            }
            Move::Start(w) => self.start(w),
            Move::Wake(w) => self.workers[w].frozen = false,
            Move::Notice(w) => {
                self.workers[w].unnoticed = false;
                self.workers[w].ready.push(Event::ServerRestarted);
            }
            Move::Kick(member) => self.kafka.group.kick(member, &self.keys, &mut self.rng),
            Move::Abort(w) => self.kafka.coordinators[w].fence(),
            Move::Marker(w) => self.mark(w),
            Move::Statement(at) => self.advance(at),
            Move::Forget(at) => drop(self.clickhouse.statements.remove(at)),
            Move::ClaimLands(at) => {
                let rows = self.late_claims.swap_remove(at);
                self.clickhouse.ownership.extend(rows);
            }
            Move::OffsetsLand(at) => {
                let request = self.kafka.late_offsets.swap_remove(at);
                let coordinator = &self.kafka.coordinators[request.worker];
                if coordinator.epoch == request.epoch && !coordinator.ongoing() {
                    // Nothing to land in yet; with the next transaction of the same producer there will be.
                    self.kafka.late_offsets.push(request);
                } else {
                    self.kafka.send_offsets(&request);
                }
            }
            Move::EndLands(at) => {
                let (w, epoch) = self.kafka.late_ends.swap_remove(at);
                if self.kafka.coordinators[w].epoch == epoch {
                    self.kafka.coordinators[w].end(true);
                }
            }
            Move::PartDecided(at) => self.decide_part(at),
            Move::Produce(key) => self.produce(key),
            Move::Reset(lane) => self.reset(lane),
        }
    }

    fn poll(&mut self, w: usize) {
        let incarnation = self.workers[w].incarnation;
        let Some(id) = self.workers[w].member else {
            let id = self.kafka.group.join(w, incarnation, &self.keys, &mut self.rng);
            self.workers[w].member = Some(id);
            return;
        };
        let Some(member) = self.kafka.group.members.get_mut(&id) else {
            let lost = self.workers[w].assigned.keys().copied().collect();
            self.workers[w].member = None;
            return self.revoke(w, lost);
        };
        let revoked = std::mem::take(&mut member.revoke);
        if !revoked.is_empty() {
            self.kafka.group.holder.retain(|key, _| !revoked.contains(key));
            self.kafka.group.generation += 1;
            return self.revoke(w, revoked);
        }
        let granted = self.kafka.group.grants(id);
        let worker = &mut self.workers[w];
        worker.generation = self.kafka.group.generation;
        let mut assigned = BTreeMap::new();
        for key in granted {
            self.kafka.group.holder.insert(key, id);
            worker.assignments += 1;
            assigned.insert(key, AssignmentNumber(worker.assignments));
        }
        if !assigned.is_empty() {
            worker.assigned.extend(&assigned);
            worker.source.events.push_back(Event::Assigned(assigned));
        }
    }

    fn revoke(&mut self, w: usize, partitions: BTreeSet<PartitionKey>) {
        let worker = &mut self.workers[w];
        worker.assigned.retain(|key, _| !partitions.contains(key));
        let discarded = worker.source.revoke(&partitions);
        worker.source.events.push_back(Event::Revoked { partitions, discarded });
    }

    fn fetch(&mut self, w: usize, key: PartitionKey) {
        let unfed = self.mutant == Some(Mutant::PresentNotFed);
        let worker = &mut self.workers[w];
        match worker.source.fetch(&self.kafka, key, unfed) {
            Fetched::OutOfRange => {
                if worker.source.fills.get_mut(&key.lane).and_then(|fills| fills.remove(&key)).is_some() {
                    worker.source.events.push_back(Event::FetchFailed(key, "out of range".to_owned()));
                }
            }
            Fetched::Nothing => {}
            Fetched::Unusable(assignment, reason) => {
                worker.source.stop(key.lane);
                worker.source.events.push_back(Event::Unusable(key, assignment, reason));
            }
            Fetched::Record => {
                if worker.source.full(key.lane, self.scenario.rows_max) {
                    self.close(w, key.lane);
                }
            }
        }
    }

    /// One of the two effects of a decided transaction reaches its readers.
    fn mark(&mut self, w: usize) {
        let offsets_first = self.rng.percent(50);
        let coordinator = &mut self.kafka.coordinators[w];
        let Some(txn) = &mut coordinator.txn else { return };
        let commit = txn.progress == Progress::Prepared { commit: true };
        if !txn.offsets_marked && (offsets_first || txn.alerts_marked) {
            txn.offsets_marked = true;
            let (mut offsets, ranges) = (txn.offsets.clone(), txn.ranges.clone());
            offsets.retain(|key, _| !txn.superseded.contains(key));
            if commit {
                for (key, range) in ranges {
                    self.oracle.block(key, self.kafka.generations[&key.lane], range);
                }
                for (key, committed) in offsets {
                    self.oracle.commit(key, self.kafka.generations[&key.lane], &committed);
                    self.kafka.committed.insert(key, committed);
                }
            }
        } else {
            txn.alerts_marked = true;
            let alerts: Vec<Unit> = txn.alerts.clone();
            if commit {
                alerts.into_iter().for_each(|unit| self.oracle.alert(unit));
                if let Some(txn) = &mut self.kafka.coordinators[w].txn {
                    txn.alerts.clear();
                }
            }
        }
        if self.kafka.coordinators[w].txn.as_ref().is_some_and(|txn| txn.offsets_marked && txn.alerts_marked) {
            self.kafka.coordinators[w].txn = None;
        }
    }
}
