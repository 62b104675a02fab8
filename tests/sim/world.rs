//! The world: workers, Kafka, ClickHouse, and a scheduler that takes one random enabled move at a time.

use std::collections::{BTreeMap, BTreeSet};

use oncesink::protocol::event::{Event, InsertEnd};
use oncesink::protocol::halt::HaltReason;
use oncesink::protocol::resolve::OnGap;
use oncesink::protocol::state::{LanePolicy, PartitionView, State};
use oncesink::types::{AssignmentNumber, LaneId, Partition, PartitionKey, Replay, TopicId};

use crate::clickhouse::{ClickHouse, Fate, Ownership, Run};
use crate::kafka::{Coordinator, Kafka, Log, Progress};
use crate::mutants::{Mutant, Planting};
use crate::oracle::{Oracle, Unit};
use crate::rng::Rng;
use crate::scenario::{Fault, PACES, Scenario};
use crate::worker::{Fetched, Task, Worker};

pub(crate) fn topic_id(lane: LaneId, generation: u64) -> TopicId {
    TopicId(u128::from(generation) * 1000 + u128::from(lane.0))
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Move {
    Strike(Fault),
    Reply(usize, usize),
    FromSource(usize),
    Obey(usize),
    Poll(usize),
    Fetch(usize, PartitionKey),
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

/// What is run: the real thing, a mutant among the faults that tell it, or the real thing among the same faults.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Plan {
    Plain,
    Mutant(Planting),
    Control(Planting),
}

/// What a run is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Faulty,
    Calm,
    Stopping,
}

/// Calm steps after which a run that is not done counts as stuck.
const CALM_STEPS_MAX: usize = 30_000;

#[derive(Clone)]
pub(crate) struct World {
    pub(crate) rng: Rng,
    pub(crate) scenario: Scenario,
    pub(crate) mutant: Option<Mutant>,
    pub(crate) kafka: Kafka,
    pub(crate) clickhouse: ClickHouse,
    pub(crate) oracle: Oracle,
    pub(crate) workers: Vec<Worker>,
    pub(crate) keys: Vec<PartitionKey>,
    pub(crate) late_claims: Vec<Vec<Ownership>>,
    pub(crate) to_produce: BTreeMap<PartitionKey, u64>,
    pub(crate) replays: BTreeMap<LaneId, u32>,
    pub(crate) to_reset: BTreeSet<LaneId>,
    pub(crate) retained: BTreeSet<PartitionKey>,
    pub(crate) power_losses: u32,
    /// Parts that the server dropped after it had acknowledged them.
    pub(crate) vanished: u32,
    pub(crate) progress: u64,
    pub(crate) struck: BTreeMap<Fault, u32>,
    /// Every outcome is visited, one after the other.
    pub(crate) exhaustive: bool,
    phase: Phase,
    verbose: bool,
}

impl World {
    pub(crate) fn new(seed: u64, plan: Plan, verbose: bool) -> Self {
        let mut rng = Rng::new(seed);
        let mut scenario = Scenario::draw(&mut rng);
        if let Plan::Mutant(focus) | Plan::Control(focus) = plan {
            focus.focus(&mut scenario, &mut rng);
        }
        let mutant = match plan {
            Plan::Mutant(planting) => planting.around(),
            Plan::Plain | Plan::Control(_) => None,
        };
        Self::with(scenario, rng, mutant, verbose)
    }

    /// A world of this size, with its workers started.
    pub(crate) fn with(scenario: Scenario, rng: Rng, mutant: Option<Mutant>, verbose: bool) -> Self {
        let mut world = Self {
            exhaustive: matches!(rng, Rng::Scripted { .. }),
            rng,
            mutant,
            kafka: Kafka::default(),
            clickhouse: ClickHouse::default(),
            oracle: Oracle::default(),
            workers: Vec::new(),
            keys: Vec::new(),
            late_claims: Vec::new(),
            to_produce: BTreeMap::new(),
            replays: BTreeMap::new(),
            to_reset: BTreeSet::new(),
            retained: BTreeSet::new(),
            power_losses: 0,
            vanished: 0,
            progress: 0,
            struck: BTreeMap::new(),
            phase: Phase::Faulty,
            verbose,
            scenario,
        };
        world.oracle.start_latest = world.scenario.start_latest;
        world.kafka.group.eager = world.scenario.eager;
        for lane in (0..world.scenario.lanes).map(LaneId) {
            world.kafka.generations.insert(lane, world.scenario.generation);
            for partition in (0..world.scenario.partitions).map(Partition) {
                let key = PartitionKey { lane, partition };
                world.keys.push(key);
                world.kafka.logs.insert(key, Log::default());
                world.oracle.replays.insert((key, Replay(0)), world.scenario.generation);
                world.to_produce.insert(key, world.scenario.records);
                let at_once = if world.exhaustive { world.scenario.records } else { world.rng.between(0, 3) };
                for _ in 0..at_once {
                    world.produce(key);
                }
            }
        }
        for w in 0..world.scenario.workers {
            world.workers.push(Worker { alive: false, ..Worker::new(0) });
            world.kafka.coordinators.push(Coordinator::default());
            world.start(w);
        }
        world
    }

    #[expect(clippy::print_stdout, reason = "the trace of a replayed seed is for a person to read")]
    pub(crate) fn trace(&self, text: impl FnOnce() -> String) {
        if self.verbose {
            println!("{}", text());
        }
    }

    /// Whether a fault strikes here; it costs a piece of its budget.
    pub(crate) fn strikes(&mut self, fault: Fault) -> bool {
        if self.phase != Phase::Faulty || !self.budget(fault) || !self.rng.percent(20) {
            return false;
        }
        self.spend(fault);
        true
    }

    pub(crate) fn budget(&self, fault: Fault) -> bool {
        self.scenario.budgets.iter().any(|(known, left)| *known == fault && *left > 0)
    }

    pub(crate) fn spend(&mut self, fault: Fault) {
        self.trace(|| format!("fault {fault:?}"));
        *self.struck.entry(fault).or_default() += 1;
        for (known, left) in &mut self.scenario.budgets {
            if *known == fault {
                *left -= 1;
            }
        }
    }

    pub(crate) fn produce(&mut self, key: PartitionKey) {
        let skip = if !self.exhaustive && self.rng.percent(20) { self.rng.between(1, 2) } else { 0 };
        let log = self.kafka.logs.get_mut(&key).expect("partitions are fixed");
        let offset = log.end + skip;
        log.records.insert(offset);
        log.end = offset + 1;
        let unit = self.kafka.unit(key, offset);
        self.oracle.produced.insert(unit);
        if let Some(left) = self.to_produce.get_mut(&key) {
            *left = left.saturating_sub(1);
        }
    }

    fn policies(&self) -> BTreeMap<LaneId, LanePolicy> {
        let policy = LanePolicy {
            on_gap: if self.scenario.skip_gaps { OnGap::Skip } else { OnGap::Halt },
            bad_share_max_millionths: 100_000,
            rows_max: self.scenario.rows_max,
            replicated: self.scenario.replicated,
            views: true,
            adopt: false,
        };
        self.kafka.generations.keys().map(|lane| (*lane, policy)).collect()
    }

    pub(crate) fn start(&mut self, w: usize) {
        let incarnation = self.workers[w].incarnation + 1;
        self.workers[w] = Worker::new(incarnation);
        self.workers[w].state = Some(State::new(self.policies()));
        self.deliver(w, Event::Started);
    }

    /// kill -9: what was sent stays sent, the rest is gone.
    pub(crate) fn crash(&mut self, w: usize) {
        let incarnation = self.workers[w].incarnation;
        self.workers[w] = Worker { alive: false, ..Worker::new(incarnation) };
        for statement in &mut self.clickhouse.statements {
            statement.awaited &= statement.worker != w;
        }
    }

    /// Runs to the end. `Err` says what went wrong.
    pub(crate) fn run(&mut self) -> Result<(), String> {
        let mut steps = 0;
        loop {
            steps += 1;
            if self.phase == Phase::Faulty && steps > self.scenario.faulty_steps {
                self.calm();
                steps = 0;
            }
            if self.phase == Phase::Faulty && self.rng.percent(self.scenario.strikes) {
                self.strike();
            }
            if let Some(next) = self.pick() {
                self.trace(|| format!("{next:?}"));
                self.make(next);
            }
            if let Some(violation) = self.oracle.violation.take() {
                return Err(violation);
            }
            if self.phase == Phase::Calm && self.is_done() {
                self.ends_well()?;
                self.stop_all();
                steps = 0;
            }
            if self.phase == Phase::Stopping && self.workers.iter().all(|worker| worker.finished) {
                return self.oracle.violation.take().map_or(Ok(()), Err);
            }
            if self.phase != Phase::Faulty && steps > CALM_STEPS_MAX {
                return Err(format!("stuck: {}", self.describe()));
            }
        }
    }

    fn calm(&mut self) {
        self.trace(|| "faults are over".to_owned());
        self.phase = Phase::Calm;
        for w in 0..self.workers.len() {
            self.workers[w].frozen = false;
        }
    }

    fn stop_all(&mut self) {
        self.trace(|| "all is delivered: stop".to_owned());
        self.phase = Phase::Stopping;
        for w in 0..self.workers.len() {
            self.stop(w);
        }
    }

    /// SIGTERM: no more fetching, the open blocks are closed, then the core is told.
    pub(crate) fn stop(&mut self, w: usize) {
        self.workers[w].source.stopping = true;
        let lanes: Vec<LaneId> = self.workers[w].source.fills.keys().copied().collect();
        for lane in lanes {
            self.close(w, lane);
        }
        self.workers[w].source.events.push_back(Event::Stop);
    }

    pub(crate) fn describe(&self) -> String {
        let states: Vec<_> = self
            .workers
            .iter()
            .map(|worker| {
                let views: Vec<_> = worker.state.iter().flat_map(State::overview).collect();
                format!("{views:?} member {:?} tasks {:?} ready {:?}", worker.member, worker.tasks, worker.ready)
            })
            .collect();
        let logs: Vec<_> = self.kafka.logs.iter().map(|(key, log)| (key, log.start, log.end)).collect();
        format!("{states:#?} {:?} {logs:?} {:?}", self.kafka.committed, self.clickhouse.describe())
    }

    /// Whether all is delivered where nothing moves any more, or halted for a reason.
    pub(crate) fn ends_well(&mut self) -> Result<(), String> {
        if !self.is_done() {
            return Err(format!("stuck: {}", self.describe()));
        }
        let halted = self.halted()?;
        self.oracle.settle(&halted);
        self.oracle.violation.take().map_or(Ok(()), Err)
    }

    pub(crate) fn is_done(&self) -> bool {
        let idle = |worker: &Worker| {
            worker.runs()
                && worker.ready.is_empty()
                && !worker.unnoticed
                && worker.source.events.is_empty()
                && worker.source.orders.is_empty()
                && worker.tasks.iter().all(|task| matches!(task, Task::Pause(..)))
                && !self.keys.iter().any(|key| worker.source.has_next(&self.kafka, *key))
        };
        let quiet = self.clickhouse.statements.is_empty()
            && self.late_claims.is_empty()
            && self.to_reset.is_empty()
            && self.clickhouse.parts.iter().all(|part| part.fate == Fate::Certain)
            && self.to_produce.values().all(|left| *left == 0)
            && self.kafka.coordinators.iter().all(|coordinator| coordinator.txn.is_none());
        quiet && self.workers.iter().all(idle) && self.keys.iter().all(|key| self.key_is_done(*key))
    }

    fn key_is_done(&self, key: PartitionKey) -> bool {
        let mut views = self.workers.iter().filter_map(|worker| {
            let assigned = worker.assigned.contains_key(&key);
            let view = worker.state.as_ref()?.overview().find(|(known, _)| *known == key)?.1;
            assigned.then_some(view)
        });
        match (views.next(), views.next()) {
            // The reset was done: it has to be noticed.
            (Some(PartitionView::Halted(HaltReason::TopicRecreated)), None) => false,
            (Some(PartitionView::Halted(_)), None) => true,
            (Some(PartitionView::Running { committed }), None) => {
                self.kafka.logs[&key].records.range(committed.get()..).next().is_none()
            }
            (Some(PartitionView::Waiting | PartitionView::TakingOver), None) | (None, _) | (Some(_), Some(_)) => false,
        }
    }

    /// Which partitions stand still; for a reason that nothing in this run explains, an error.
    pub(crate) fn halted(&self) -> Result<BTreeSet<PartitionKey>, String> {
        let mut halted = BTreeSet::new();
        for (key, view) in self.workers.iter().flat_map(|worker| worker.state.as_ref().expect("alive").overview()) {
            let PartitionView::Halted(reason) = view else { continue };
            let fits = match reason {
                HaltReason::Gap { .. } => self.retained.contains(&key) && !self.scenario.skip_gaps,
                HaltReason::DamagedTwice { .. } | HaltReason::RowsVanish { .. } => {
                    self.power_losses + self.vanished >= 2
                }
                HaltReason::TopicRecreated
                | HaltReason::LogTruncated { .. }
                | HaltReason::AnchorDiffers { .. }
                | HaltReason::OtherConnector { .. }
                | HaltReason::BadShare { .. }
                | HaltReason::NewerMetadata => false,
            };
            if !fits {
                return Err(format!("{key:?} is halted for no good reason: {reason}"));
            }
            halted.insert(key);
        }
        Ok(halted)
    }

    fn pick(&mut self) -> Option<Move> {
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
        let gone = |member: &crate::kafka::Member| {
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
            let (offsets, ranges) = (txn.offsets.clone(), txn.ranges.clone());
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

    pub(crate) fn answer(&mut self, at: usize, end: InsertEnd) {
        let statement = self.clickhouse.statements.remove(at);
        if statement.awaited && self.workers[statement.worker].incarnation == statement.incarnation {
            let event = Event::Inserted(statement.insert.block, statement.insert.table, end);
            self.workers[statement.worker].ready.push(event);
        }
    }
}
