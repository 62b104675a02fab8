//! Every situation that can follow a situation, for the model checker: the same moves as the random scheduler makes,
//! each with every outcome.
//!
//! What nobody else can see is done at once: replies reach the core, orders the source, what is fetched becomes a block.
//! Whoever is slow there is slow at the move before or after it.

use oncesink::protocol::action::Delay;
use oncesink::protocol::halt::HaltReason;
use oncesink::protocol::state::PartitionView;

use crate::kafka::{Kind, kind};
use crate::moves::Move;
use crate::rng::Rng;
use crate::scenario::Fault;
use crate::worker::{Task, TxnStep, Worker};
use crate::world::World;

/// More moves in a row that nobody else sees are a loop.
const LOCAL_MOVES_MAX: usize = 10_000;

/// Faults that strike where the world decides; the others strike within a move.
const FROM_OUTSIDE: [Fault; 12] = [
    Fault::Crash,
    Fault::Kick,
    Fault::Rebalance,
    Fault::Timeout,
    Fault::TxnTimeout,
    Fault::ServerCrash,
    Fault::PowerLoss,
    Fault::Retention,
    Fault::Compaction,
    Fault::Outage,
    Fault::Recreate,
    Fault::Repeat,
];

impl World {
    /// All situations that one move leads to.
    pub(crate) fn successors(&self) -> Vec<(Move, Self)> {
        let mut next = Vec::new();
        for step in self.enabled() {
            let mut script = Some(Vec::new());
            while let Some(choices) = script {
                let mut world = self.clone();
                world.rng = Rng::scripted(choices);
                world.make(step);
                world.settle_locally();
                script = world.rng.next_script();
                next.push((step, world));
            }
        }
        next
    }

    /// All workers are in the group, which has given the partitions out.
    pub(crate) fn assign_all(&mut self) {
        while let Some(w) = (0..self.workers.len()).find(|w| self.has_news(*w)) {
            self.make(Move::Poll(w));
            self.settle_locally();
        }
    }

    /// Does what nobody else can see.
    pub(crate) fn settle_locally(&mut self) {
        for _ in 0..LOCAL_MOVES_MAX {
            let Some(step) = (0..self.workers.len()).find_map(|w| self.local(w)) else { return };
            self.trace(|| format!("{step:?}"));
            self.make(step);
            for worker in &mut self.workers {
                worker.state.iter_mut().for_each(oncesink::protocol::state::State::forget_delays);
            }
        }
        self.oracle.violation.get_or_insert_with(|| "a worker is busy with itself for ever".to_owned());
    }

    fn local(&self, w: usize) -> Option<Move> {
        let worker = &self.workers[w];
        if !worker.runs() {
            return None;
        }
        if !worker.ready.is_empty() {
            return Some(Move::Reply(w, 0));
        }
        if !worker.source.events.is_empty() {
            return Some(Move::FromSource(w));
        }
        if !worker.source.orders.is_empty() {
            return Some(Move::Obey(w));
        }
        let fetches = self.keys.iter().find(|key| worker.source.has_next(&self.kafka, **key));
        if let Some(key) = fetches.filter(|_| !worker.source.stopping && !self.log_may_change()) {
            return Some(Move::Fetch(w, *key));
        }
        let open = self.kafka.generations.keys().find(|lane| worker.source.is_open(**lane));
        if let Some(lane) = open.filter(|_| !self.log_may_change()) {
            return Some(Move::Close(w, *lane));
        }
        let task = worker.tasks.iter().position(|task| self.is_local(task) && self.can_go_on(w, task))?;
        Some(Move::Task(w, task))
    }

    /// Whether nobody else can tell when the task's next step is made.
    fn is_local(&self, task: &Task) -> bool {
        match task {
            Task::Pause(..) | Task::Txn { step: TxnStep::Begin, .. } | Task::Drain { listed: Some(_), .. } => true,
            Task::Build => {
                !self.budget(Fault::TxnUnclear) && self.kafka.late_offsets.is_empty() && self.kafka.late_ends.is_empty()
            }
            Task::Facts { stored: Some(_), .. } => !self.log_may_change(),
            Task::Topic { .. } => !self.budget(Fault::Recreate),
            Task::Look { rows: Some(_), .. } => self.oracle.produced.iter().all(|unit| kind(*unit) == Kind::Good),
            Task::Facts { .. }
            | Task::Txn { .. }
            | Task::Claim { .. }
            | Task::Drain { .. }
            | Task::Settle { .. }
            | Task::Look { .. } => false,
        }
    }

    /// Whether a pause ends now. A pause outlasts a poll, or a member that was kicked would try for ever; and what a
    /// person has to mend is looked at again when it is mended.
    fn is_over(&self, w: usize, task: &Task) -> bool {
        let Task::Pause(_, delay) = task else { return false };
        if *delay == Delay::Idle {
            // Nothing but what changes the log takes away what is searched.
            return self.log_may_change() && self.workers[w].blocks.is_empty();
        }
        let waits_for_a_person = *delay == Delay::Slow && self.stands_still(&self.workers[w]);
        !self.has_news(w) && !waits_for_a_person
    }

    fn stands_still(&self, worker: &Worker) -> bool {
        let mended = |lane| self.kafka.generations[&lane] > self.scenario.generation && !self.to_reset.contains(&lane);
        worker.state.iter().flat_map(|state| state.overview()).any(|(key, view)| match view {
            PartitionView::Halted(HaltReason::TopicRecreated) => !mended(key.lane),
            PartitionView::Halted(_) => true,
            PartitionView::Waiting | PartitionView::TakingOver | PartitionView::Running { .. } => false,
        })
    }

    fn log_may_change(&self) -> bool {
        [Fault::Retention, Fault::Compaction, Fault::Recreate].into_iter().any(|fault| self.budget(fault))
    }

    /// Moves that somebody else can see.
    pub(crate) fn enabled(&self) -> Vec<Move> {
        let mut moves = Vec::new();
        for (w, worker) in self.workers.iter().enumerate() {
            if !worker.alive || worker.finished {
                moves.push(Move::Start(w));
                continue;
            }
            if worker.unnoticed {
                moves.push(Move::Notice(w));
            }
            if self.has_news(w) {
                moves.push(Move::Poll(w));
            }
            let ours = worker.tasks.iter().enumerate();
            let ours = ours.filter(|(_, task)| !self.is_local(task) && self.can_go_on(w, task));
            moves.extend(ours.map(|(at, _)| Move::Task(w, at)));
            if self.log_may_change() {
                let fetches = self.keys.iter().filter(|key| worker.source.has_next(&self.kafka, **key));
                moves.extend(fetches.map(|key| Move::Fetch(w, *key)));
                let open = self.kafka.generations.keys().filter(|lane| worker.source.is_open(**lane));
                moves.extend(open.map(|lane| Move::Close(w, *lane)));
            }
        }
        self.moves_of_server(&mut moves);
        self.moves_of_brokers(&mut moves);
        moves.retain(|step| match step {
            // Nothing to land in yet.
            Move::OffsetsLand(at) => {
                let request = &self.kafka.late_offsets[*at];
                let coordinator = &self.kafka.coordinators[request.worker];
                coordinator.epoch != request.epoch || coordinator.ongoing()
            }
            _ => true,
        });
        moves.extend(self.to_reset.iter().map(|lane| Move::Reset(*lane)));
        let faults = FROM_OUTSIDE.into_iter().filter(|fault| self.budget(*fault) && self.can_strike(*fault));
        moves.extend(faults.map(Move::Strike));
        moves
    }

    /// A task that waits for something else waits without asking again and again.
    fn can_go_on(&self, w: usize, task: &Task) -> bool {
        match task {
            Task::Pause(..) => self.is_over(w, task),
            Task::Settle { lane, .. } => !self.clickhouse.uncertain(*lane),
            _ => self.can_move(w, task),
        }
    }

    fn can_strike(&self, fault: Fault) -> bool {
        match fault {
            Fault::Crash => self.workers.iter().any(Worker::runs),
            Fault::Timeout | Fault::Repeat => self.clickhouse.statements.iter().any(|statement| statement.awaited),
            Fault::TxnTimeout => self.kafka.coordinators.iter().any(crate::kafka::Coordinator::ongoing),
            Fault::Kick => !self.kafka.group.members.is_empty(),
            _ => true,
        }
    }
}
