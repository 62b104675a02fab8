//! The world: workers, Kafka, ClickHouse, and a run that takes one move after the other.

use std::collections::{BTreeMap, BTreeSet};

use oncesink::protocol::event::{Event, InsertEnd};
use oncesink::protocol::halt::HaltReason;
use oncesink::protocol::resolve::OnGap;
use oncesink::protocol::state::{LanePolicy, PartitionView, State};
use oncesink::types::{LaneId, Partition, PartitionKey, Replay, TopicId};

use crate::clickhouse::{ClickHouse, Fate, Ownership};
use crate::kafka::{Coordinator, Kafka, Kind, Log, kind};
use crate::mutants::{Mutant, Planting};
use crate::oracle::Oracle;
use crate::rng::Rng;
use crate::scenario::{Fault, Scenario};
use crate::worker::{Task, Worker};

pub(crate) fn topic_id(lane: LaneId, generation: u64) -> TopicId {
    TopicId(u128::from(generation) * 1000 + u128::from(lane.0))
}

/// What is run: the real thing, a mutant among the faults that tell it, or the real thing among the same faults.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Plan {
    Plain,
    Mutant(Planting),
    Control(Planting),
}

impl Plan {
    /// The fault that is planted.
    pub(crate) fn planting(self) -> Option<Planting> {
        match self {
            Self::Mutant(planting) => Some(planting),
            Self::Plain | Self::Control(_) => None,
        }
    }
}

/// What a run is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Faulty,
    Calm,
    Stopping,
}

/// Calm steps after which what waits for another record, of which there is none, waits in vain.
const WITNESS_STEPS: usize = 10_000;

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
    /// The server had trouble of its own that looks like a record's.
    pub(crate) doubted: bool,
    /// Parts that the server dropped after it had acknowledged them.
    pub(crate) vanished: u32,
    pub(crate) progress: u64,
    pub(crate) struck: BTreeMap<Fault, u32>,
    /// Moves that were made.
    pub(crate) moves: usize,
    /// Every outcome is visited, one after the other.
    pub(crate) exhaustive: bool,
    pub(crate) phase: Phase,
    verbose: bool,
}

impl World {
    pub(crate) fn new(seed: u64, plan: Plan, verbose: bool) -> Self {
        Self::drawn(Rng::new(seed), plan, verbose)
    }

    /// The world that chance makes.
    pub(crate) fn drawn(mut rng: Rng, plan: Plan, verbose: bool) -> Self {
        let mut scenario = Scenario::draw(&mut rng);
        if let Plan::Mutant(focus) | Plan::Control(focus) = plan {
            focus.focus(&mut scenario, &mut rng);
        }
        let mutant = plan.planting().and_then(Planting::around);
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
            doubted: false,
            vanished: 0,
            progress: 0,
            struck: BTreeMap::new(),
            moves: 0,
            phase: Phase::Faulty,
            verbose,
            scenario,
        };
        world.clickhouse.units = world.scenario.units();
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
            world.workers.push(Worker { alive: false, ..Worker::new(0, world.scenario.targets) });
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
        let behind = if self.scenario.markers { self.rng.between(0, 2) } else { 0 };
        log.end = offset + 1 + behind;
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
            replicated: self.scenario.replicated,
            views: true,
            adopt: false,
        };
        self.kafka.generations.keys().map(|lane| (*lane, policy)).collect()
    }

    pub(crate) fn start(&mut self, w: usize) {
        let incarnation = self.workers[w].incarnation + 1;
        self.workers[w] = Worker::new(incarnation, self.scenario.targets);
        self.workers[w].state = Some(State::new(self.policies()));
        self.deliver(w, Event::Started);
    }

    /// kill -9: what was sent stays sent, the rest is gone.
    pub(crate) fn crash(&mut self, w: usize) {
        let incarnation = self.workers[w].incarnation;
        self.workers[w] = Worker { alive: false, ..Worker::new(incarnation, self.scenario.targets) };
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
                self.moves += 1;
                self.make(next);
            }
            if let Some(violation) = self.oracle.violation.take() {
                return Err(violation);
            }
            let waits = steps > WITNESS_STEPS && steps.is_multiple_of(100) && self.waits_for_witnesses();
            if self.phase == Phase::Calm && (waits || self.is_done()) {
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
            self.pass_lane(w, lane);
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
        if !self.is_done() && !self.waits_for_witnesses() {
            return Err(format!("stuck: {}", self.describe()));
        }
        let mut halted = self.halted()?;
        halted.extend(self.keys.iter().copied().filter(|key| self.wants_witness(key.lane)));
        self.oracle.settle(&halted);
        self.oracle.violation.take().map_or(Ok(()), Err)
    }

    pub(crate) fn is_done(&self) -> bool {
        let idle = |(w, worker): (usize, &Worker)| {
            worker.runs()
                && worker.ready.is_empty()
                && !worker.unnoticed
                && worker.source.events.is_empty()
                && worker.source.orders.is_empty()
                && !self.has_news(w)
                && worker.tasks.iter().all(|task| matches!(task, Task::Pause(..)))
                && !self.keys.iter().any(|key| worker.source.has_next(&self.kafka, *key))
        };
        let quiet = self.clickhouse.statements.is_empty()
            && self.late_claims.is_empty()
            && self.to_reset.is_empty()
            && self.clickhouse.parts.iter().all(|part| part.fate == Fate::Certain)
            && self.to_produce.values().all(|left| *left == 0)
            && self.kafka.coordinators.iter().all(|coordinator| coordinator.txn.is_none());
        quiet && self.workers.iter().enumerate().all(idle) && self.keys.iter().all(|key| self.key_is_done(*key))
    }

    fn key_is_done(&self, key: PartitionKey) -> bool {
        let mut views = self.workers.iter().filter_map(|worker| {
            let assigned = worker.assigned.contains_key(&key);
            let view = worker.state.as_ref()?.overview().find(|(known, _)| *known == key)?.1;
            assigned.then_some(view)
        });
        match (views.next(), views.next()) {
            // The reset was done: it has to be noticed.
            (Some(PartitionView::Halted(HaltReason::TopicRecreated | HaltReason::RecordTooLarge { .. })), None) => {
                false
            }
            (Some(PartitionView::Halted(_)), None) => true,
            (Some(PartitionView::Running { committed }), None) => {
                let delivered = self.kafka.logs[&key].records.range(committed.get()..).next().is_none();
                delivered || self.wants_witness(key.lane)
            }
            (Some(PartitionView::Waiting | PartitionView::TakingOver), None) | (None, _) | (Some(_), Some(_)) => false,
        }
    }

    /// Whether a lane waits for another record that goes into the table, to tell a bad one from a bad day of the server.
    fn wants_witness(&self, lane: LaneId) -> bool {
        let mut poison = false;
        // What stands still at a gap, or for good, gives no other record either.
        let committed =
            |key: &PartitionKey| self.kafka.committed.get(key).map_or(0, |committed| committed.offset.get());
        let gap = |key: &PartitionKey| !self.scenario.skip_gaps && committed(key) < self.kafka.logs[key].start;
        let views: Vec<_> =
            self.workers.iter().filter_map(|worker| worker.state.as_ref()).flat_map(State::overview).collect();
        let halted = |key: &PartitionKey| {
            views.iter().any(|(known, view)| known == key && matches!(view, PartitionView::Halted(_)))
        };
        for key in self.keys.iter().filter(|key| key.lane == lane && !gap(key) && !halted(key)) {
            for offset in self.kafka.logs[key].records.range(committed(key)..) {
                let unit = self.kafka.unit(*key, *offset);
                match kind(unit) {
                    Kind::Poison => poison |= !self.oracle.is_stored(unit),
                    Kind::Good if !self.oracle.is_stored(unit) => return false,
                    Kind::Good | Kind::Bad | Kind::Tombstone => {}
                }
            }
        }
        poison && self.scenario.doubtful
    }

    /// Whether all that is not delivered waits for another record, which will not come.
    fn waits_for_witnesses(&self) -> bool {
        self.keys.iter().all(|key| self.wants_witness(key.lane) || self.key_is_done(*key))
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
                HaltReason::PartlyStored { offset, .. } => kind(self.kafka.unit(key, offset.get())) == Kind::Poison,
                HaltReason::TopicRecreated
                | HaltReason::LogTruncated { .. }
                | HaltReason::AnchorDiffers { .. }
                | HaltReason::OtherConnector { .. }
                | HaltReason::BadShare { .. }
                | HaltReason::UnknownSchemas { .. }
                | HaltReason::RecordTooLarge { .. }
                | HaltReason::NewFields { .. }
                | HaltReason::NoKnownField { .. }
                | HaltReason::NewerMetadata => false,
            };
            if !fits {
                return Err(format!("{key:?} is halted for no good reason: {reason}"));
            }
            halted.insert(key);
        }
        Ok(halted)
    }

    pub(crate) fn answer(&mut self, at: usize, end: InsertEnd) {
        let statement = self.clickhouse.statements.remove(at);
        if statement.awaited && self.workers[statement.worker].incarnation == statement.incarnation {
            let event = Event::Inserted(statement.insert.block, statement.insert.table, end);
            self.workers[statement.worker].ready.push(event);
        }
    }
}
