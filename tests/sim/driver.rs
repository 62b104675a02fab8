//! The driver's side of a worker: does the core's actions step by step, and reports.

use std::collections::{BTreeMap, BTreeSet};

use oncesink::protocol::action::{Action, Commit, Insert, Released};
use oncesink::protocol::event::{Event, InsertEnd, ProducerEnd, Table, TransactionEnd};
use oncesink::protocol::facts::{Claimed, CommittedOffset, Facts};
use oncesink::protocol::step;
use oncesink::types::{Claim, Offset, OffsetRange, PartitionKey, Replay, TargetNumber, UnitSet};

use crate::clickhouse::{Ownership, Row, Run, Statement};
use crate::kafka::OffsetsRequest;
use crate::mutants::Mutant;
use crate::scenario::Fault;
use crate::worker::{BlockData, Order, Task, TxnStep, target};
use crate::world::{World, topic_id};

impl World {
    /// One event into a worker's core, and its actions into the world.
    pub(crate) fn deliver(&mut self, w: usize, event: Event) {
        self.trace(|| format!("worker {w} <- {event:?}"));
        if let Event::BlockClosed(block) = &event {
            assert!(self.workers[w].blocks.contains_key(&block.number), "the driver keeps the rows of closed blocks");
        }
        let state = self.workers[w].state.take().expect("a living worker has a state");
        let (state, actions) = step(state, event);
        self.workers[w].state = Some(state);
        for action in actions {
            self.trace(|| format!("worker {w} -> {action:?}"));
            self.act(w, action);
        }
    }

    fn act(&mut self, w: usize, action: Action) {
        let worker = &mut self.workers[w];
        match action {
            Action::BuildProducer => {
                worker.epoch = None;
                worker.tasks.push(Task::Build);
            }
            Action::ReadFacts(number, lane, keys) => {
                let generation = self.kafka.generations[&lane];
                worker.tasks.push(Task::Facts { number, lane, keys, generation, committed: None, stored: None });
            }
            Action::Prove(number, mut offsets) => {
                if self.mutant == Some(Mutant::RememberedOffset) {
                    for (key, commit) in &mut offsets {
                        let known = worker.remembered.get(key);
                        *commit = known.map_or(*commit, |known| Commit { assignment: commit.assignment, ..*known });
                    }
                }
                let (ranges, alerts) = (Vec::new(), Vec::new());
                worker.tasks.push(Task::Txn { number, offsets, ranges, alerts, step: TxnStep::Begin });
            }
            Action::Commit(number, offsets, blocks) => {
                if self.mutant == Some(Mutant::RememberedOffset) {
                    worker.remembered.extend(&offsets);
                }
                let mut alerts = Vec::new();
                let mut ranges = Vec::new();
                for block in blocks {
                    let data = worker.blocks.get(&block.block).expect("a block is released after its commit");
                    alerts.extend(data.alerts.iter().filter(|unit| block.partitions.contains(&unit.key)));
                    ranges.extend(data.ranges.iter().filter(|(key, _)| block.partitions.contains(key)));
                }
                worker.tasks.push(Task::Txn { number, offsets, ranges, alerts, step: TxnStep::Begin });
            }
            Action::Claim(number, _, keys) => worker.tasks.push(Task::Claim { number, keys, greatest: None }),
            Action::Drain(number, _) => worker.tasks.push(Task::Drain { number, listed: None }),
            Action::Settle(number, lane) => worker.tasks.push(Task::Settle { number, lane }),
            Action::Look(number, _, from) => worker.tasks.push(Task::Look { number, from, rows: None }),
            Action::CheckTopic(block, lane) => worker.tasks.push(Task::Topic { block, lane }),
            Action::Pause(ticket, delay) => worker.tasks.push(Task::Pause(ticket, delay)),
            Action::Resume(resume) => worker.source.orders.push_back(Order::Resume(resume)),
            Action::StopLane(lane) => worker.source.orders.push_back(Order::Stop(lane)),
            Action::LimitRows(lane, limit) => worker.source.orders.push_back(Order::Limit(lane, limit)),
            Action::Insert(insert) => self.send(w, *insert),
            Action::Release(block, how) => {
                let known = worker.blocks.remove(&block);
                assert!(known.is_some(), "block {block} is released twice");
                if how == Released::Committed {
                    self.progress += 1;
                }
            }
            // Rows have no bytes here.
            Action::Halt(..) | Action::Note(_) | Action::LimitBytes(..) => {}
            Action::Finished => {
                assert!(worker.source.stopping, "finished without a stop");
                assert!(worker.blocks.is_empty(), "finished with blocks under way");
                worker.finished = true;
            }
            Action::ExitDuplicateInstance(_) => self.crash(w),
        }
    }

    fn send(&mut self, w: usize, insert: Insert) {
        let worker = &mut self.workers[w];
        let data = worker.blocks.get(&insert.block).expect("a block is released after its inserts");
        let nothing_new = data.rows.is_empty() && data.dead.is_empty();
        if self.mutant == Some(Mutant::LedgerOmitted) && insert.table == Table::Ledger && nothing_new {
            worker.ready.push(Event::Inserted(insert.block, Table::Ledger, InsertEnd::Acknowledged));
            return;
        }
        let split = |rows: &[Row], parts: u64| -> Vec<Vec<Row>> {
            let part_of = |row: &&Row| (row.unit.offset + row.row) % parts;
            let of = |part| rows.iter().filter(|row| part_of(row) == part).copied().collect::<Vec<_>>();
            (0..parts).map(of).filter(|rows| !rows.is_empty()).collect()
        };
        let parts = match insert.table {
            Table::Target(target) => {
                split(&data.rows_into(target, self.scenario.targets), if self.scenario.two_parts { 2 } else { 1 })
            }
            Table::DeadLetters => split(&data.dead, 1),
            Table::Alerts | Table::Ledger => Vec::new(),
        };
        self.clickhouse.sent += 1;
        self.clickhouse.requests += 1;
        self.clickhouse.statements.push(Statement {
            id: self.clickhouse.sent,
            request: self.clickhouse.requests,
            worker: w,
            incarnation: worker.incarnation,
            awaited: true,
            insert,
            parts,
            run: Run::Sent,
        });
    }

    /// The source notices how far a partition was read.
    pub(crate) fn pass(&mut self, w: usize, key: PartitionKey) {
        let unread = self.mutant == Some(Mutant::UnreadPassed);
        let source = &mut self.workers[w].source;
        if let Some(position) = source.position(&self.kafka, key, unread) {
            let fills = source.fills.get_mut(&key.lane).expect("it has a position there");
            fills.get_mut(&key).expect("it has a position there").pass(position).expect("it is behind its position");
        }
    }

    /// The same for all partitions of a lane.
    pub(crate) fn pass_lane(&mut self, w: usize, lane: oncesink::types::LaneId) {
        let keys = if self.scenario.markers { self.keys.clone() } else { Vec::new() };
        keys.into_iter().filter(|key| key.lane == lane).for_each(|key| self.pass(w, key));
    }

    /// Closes the open block of a lane, if there is one.
    pub(crate) fn close(&mut self, w: usize, lane: oncesink::types::LaneId) {
        let checkpoint = self.scenario.checkpoints && self.rng.percent(50);
        let closed = self.workers[w].source.close(lane, checkpoint);
        self.keep(w, closed);
    }

    fn keep(&mut self, w: usize, closed: Option<(oncesink::protocol::block::BlockSummary, BlockData)>) {
        if let Some((block, data)) = closed {
            self.workers[w].blocks.insert(block.number, data);
            self.workers[w].source.events.push_back(Event::BlockClosed(block));
        }
    }

    /// Whether a task can move.
    pub(crate) fn can_move(&self, w: usize, task: &Task) -> bool {
        match task {
            Task::Facts { keys, committed: None, .. } => {
                self.mutant == Some(Mutant::UnstableRead) || !keys.keys().any(|key| self.kafka.pending(*key))
            }
            Task::Txn { step: TxnStep::Begin, .. } => {
                let coordinator = &self.kafka.coordinators[w];
                coordinator.txn.is_none() || Some(coordinator.epoch) != self.workers[w].epoch
            }
            Task::Drain { listed: Some(listed), .. } => listed.is_disjoint(&self.clickhouse.running()),
            Task::Build => {
                let txn = &self.kafka.coordinators[w].txn;
                txn.is_none() || self.kafka.coordinators[w].ongoing()
            }
            Task::Pause(..)
            | Task::Facts { .. }
            | Task::Txn { .. }
            | Task::Claim { .. }
            | Task::Drain { .. }
            | Task::Settle { .. }
            | Task::Look { .. }
            | Task::Topic { .. } => true,
        }
    }

    /// Moves a task on by one step; gives it back if it is not done.
    pub(crate) fn move_task(&mut self, w: usize, task: Task) -> Option<Task> {
        let fails = !matches!(task, Task::Pause(..) | Task::Txn { .. }) && self.strikes(Fault::StepFails);
        if fails {
            let reply = failed(task);
            self.workers[w].ready.extend(reply);
            return None;
        }
        let reply = match task {
            Task::Pause(ticket, _) => Event::PauseOver(ticket),
            Task::Facts { number, lane, keys, generation, committed: None, stored } => {
                let read = |key: &PartitionKey| (*key, self.kafka.committed.get(key).cloned());
                let committed = Some(keys.keys().map(read).collect());
                return Some(Task::Facts { number, lane, keys, generation, committed, stored });
            }
            Task::Facts { number, lane, keys, generation, committed, stored: None } => {
                let stored = Some(keys.keys().map(|key| (*key, self.clickhouse.facts(*key))).collect());
                if self.mutant == Some(Mutant::LookBeforeClaim) {
                    self.look_early(w);
                }
                return Some(Task::Facts { number, lane, keys, generation, committed, stored });
            }
            // Another topic than at the beginning: what was read between is of neither.
            Task::Facts { number, lane, generation, stored: Some(_), .. }
                if self.kafka.generations[&lane] != generation =>
            {
                Event::FactsRead(number, Err("the topic was created anew meanwhile".to_owned()))
            }
            Task::Facts { number, committed: Some(committed), stored: Some(mut stored), .. } => {
                let facts = committed.into_iter().map(|(key, mut committed)| {
                    if self.mutant == Some(Mutant::FloorDropped)
                        && let Some(CommittedOffset { metadata: Some(metadata), .. }) = &mut committed
                    {
                        metadata.floor = Offset::ZERO;
                    }
                    let log = &self.kafka.logs[&key];
                    let facts = Facts {
                        topic_id: Some(topic_id(key.lane, self.kafka.generations[&key.lane])),
                        log: OffsetRange::new(Offset::new(log.start), Offset::new(log.end)),
                        start: Offset::new(if self.scenario.start_latest { log.end } else { log.start }),
                        committed,
                        stored: stored.remove(&key).expect("read for the same keys"),
                    };
                    (key, Ok(facts))
                });
                Event::FactsRead(number, Ok(facts.collect()))
            }
            Task::Claim { number, keys, greatest: None } => {
                if self.mutant == Some(Mutant::DrainBeforeClaim) {
                    self.workers[w].listed_early = self.clickhouse.running();
                }
                let greatest = Some(keys.keys().map(|key| (*key, self.clickhouse.outranked(*key))).collect());
                return Some(Task::Claim { number, keys, greatest });
            }
            Task::Claim { number, keys, greatest: Some(greatest) } => self.claim(w, number, &keys, &greatest),
            Task::Drain { number, listed: None } => {
                let ours =
                    |id: &u64| self.clickhouse.statements.iter().any(|known| known.id == *id && known.worker == w);
                let running = self.clickhouse.running();
                let listed = match self.mutant {
                    Some(Mutant::DrainOnlyOwn) => running.into_iter().filter(ours).collect(),
                    Some(Mutant::DrainOnlyOthers) => running.into_iter().filter(|id| !ours(id)).collect(),
                    Some(Mutant::DrainBeforeClaim) => self.workers[w].listed_early.clone(),
                    _ => running,
                };
                let listed = Some(listed);
                if self.mutant == Some(Mutant::LookBeforeDrain) {
                    self.look_early(w);
                }
                if self.mutant != Some(Mutant::DrainSkipped) {
                    return Some(Task::Drain { number, listed });
                }
                Event::Drained(number, Ok(()))
            }
            Task::Drain { number, .. } => Event::Drained(number, Ok(())),
            Task::Settle { number, lane } => {
                let certain = !self.clickhouse.uncertain(lane);
                Event::Settled(number, Ok(certain))
            }
            Task::Look { number, from, rows: None } => {
                let look = |(key, (offset, replay)): (&PartitionKey, &(Offset, Replay))| {
                    let every = self.mutant != Some(Mutant::LookAsksOneTarget);
                    let asked = |row: &Row| every || target(row, self.scenario.targets) == TargetNumber::OWN;
                    let mut present = self.clickhouse.present_where(*key, offset.get(), *replay, asked);
                    if self.mutant == Some(Mutant::LookWithoutReplay) {
                        let others =
                            (0..replay.0).map(|older| self.clickhouse.present(*key, offset.get(), Replay(older)));
                        for range in others.flat_map(|older| older.rows.numbers().ranges().to_vec()) {
                            present.rows.insert_numbers(range.start().get(), range.end().get() - 1);
                        }
                    }
                    (*key, present)
                };
                let rows = Some(from.iter().map(look).collect());
                return Some(Task::Look { number, from, rows });
            }
            Task::Look { number, from, rows: Some(mut rows) } => {
                for (key, presence) in &mut rows {
                    let (offset, replay) = from[key];
                    presence.dead = self.clickhouse.present(*key, offset.get(), replay).dead;
                    if self.mutant == Some(Mutant::DeadLettersNotLookedAt) {
                        presence.dead = Default::default();
                    }
                    if self.mutant == Some(Mutant::LookBreaksOff) {
                        let first = presence.rows.numbers().ranges().first().copied();
                        presence.rows = UnitSet::empty(presence.rows.kind());
                        if let Some(first) = first {
                            presence.rows.insert_numbers(first.start().get(), first.end().get() - 1);
                        }
                    }
                    if matches!(self.mutant, Some(Mutant::LookBeforeClaim | Mutant::LookBeforeDrain)) {
                        *presence = self.workers[w].early.get(key).cloned().unwrap_or_default();
                    }
                }
                Event::Looked(number, Ok(rows))
            }
            Task::Topic { block, lane } => {
                let checked = self.mutant != Some(Mutant::TopicNotChecked);
                let now = checked.then(|| topic_id(lane, self.kafka.generations[&lane]));
                Event::TopicChecked(block, Ok(now))
            }
            Task::Build => {
                let coordinator = &mut self.kafka.coordinators[w];
                if coordinator.ongoing() {
                    coordinator.fence();
                    return Some(Task::Build);
                }
                coordinator.epoch += 1;
                let epoch = coordinator.epoch;
                self.workers[w].epoch = Some(epoch);
                Event::ProducerBuilt(ProducerEnd::Ready)
            }
            Task::Txn { number, offsets, ranges, alerts, step } => {
                return self.move_txn(w, number, offsets, ranges, alerts, step);
            }
        };
        self.workers[w].ready.push(reply);
        None
    }

    /// What a look that comes too early sees.
    fn look_early(&mut self, w: usize) {
        for key in &self.keys {
            let replay = self.clickhouse.facts(*key).identity.map_or_else(Default::default, |id| id.replay);
            self.workers[w].early.insert(*key, self.clickhouse.present(*key, 0, replay));
        }
    }

    /// A claim that outranks what was read. Its random half decides among those that race with it.
    fn unused_claim(&mut self, w: usize, key: PartitionKey, greatest: Option<Claim>) -> Claim {
        let equal = self.mutant == Some(Mutant::EqualClaims);
        let late = self.late_claims.iter().flatten();
        let taken: BTreeSet<Claim> =
            self.clickhouse.ownership.iter().chain(late).filter(|row| row.key == key).map(|row| row.claim).collect();
        let w = u64::try_from(w).expect("few workers");
        // A script puts it above or below those of other workers, where there can be any of the same rank.
        let raced = taken.range(Claim::above(greatest, 0)..).next().is_some();
        let above = !raced || self.rng.percent(50);
        let order = if equal {
            0
        } else if above {
            100 + w
        } else {
            99 - w
        };
        let mut claim = Claim::above(greatest, if equal { 0 } else { self.rng.bits(order) });
        while !equal && taken.contains(&claim) {
            claim = Claim(claim.0 + 200);
        }
        claim
    }

    fn claim(
        &mut self,
        w: usize,
        number: oncesink::protocol::event::TakeoverNumber,
        keys: &BTreeMap<PartitionKey, (Option<oncesink::types::TopicId>, oncesink::types::Replay)>,
        greatest: &BTreeMap<PartitionKey, Option<Claim>>,
    ) -> Event {
        let rows: Vec<Ownership> = keys
            .iter()
            .map(|(key, (topic_id, replay))| {
                let claim = self.unused_claim(w, *key, greatest[key]);
                Ownership { key: *key, claim, topic_id: *topic_id, replay: *replay, acknowledged: true }
            })
            .collect();
        if self.strikes(Fault::Timeout) {
            if self.rng.percent(70) {
                self.late_claims.push(rows.iter().map(|row| Ownership { acknowledged: false, ..*row }).collect());
            }
            return Event::Claimed(number, Err("timeout".to_owned()));
        }
        let claims = rows.iter().map(|row| (row.key, row.claim)).collect();
        let outdated = |row: &Ownership| {
            self.clickhouse.ownership.iter().any(|known| known.key == row.key && known.replay > row.replay)
        };
        let outdated = rows.iter().any(outdated);
        self.clickhouse.ownership.extend(rows);
        if outdated {
            return Event::Claimed(number, Err("a newer replay was begun meanwhile".to_owned()));
        }
        Event::Claimed(number, Ok(Claimed { claims, others: Vec::new() }))
    }

    fn move_txn(
        &mut self,
        w: usize,
        number: oncesink::protocol::event::TransactionNumber,
        offsets: BTreeMap<PartitionKey, oncesink::protocol::action::Commit>,
        ranges: Vec<(PartitionKey, OffsetRange)>,
        alerts: Vec<crate::oracle::Unit>,
        step: TxnStep,
    ) -> Option<Task> {
        let end = |world: &mut Self, end: TransactionEnd| {
            world.workers[w].ready.push(Event::TransactionEnded(number, end));
            None
        };
        let fenced = self.workers[w].epoch != Some(self.kafka.coordinators[w].epoch);
        let mutant = self.mutant;
        if fenced || (step != TxnStep::Begin && !self.kafka.coordinators[w].ongoing()) {
            // The driver knows its own time-out and calls that ambiguous; another producer of this instance there is not.
            return end(self, TransactionEnd::Ambiguous("timed out".to_owned()));
        }
        match step {
            TxnStep::Begin => {
                let outside = mutant == Some(Mutant::AlertsOutsideTransaction);
                let txn = self.kafka.coordinators[w].begin();
                if !outside {
                    txn.alerts.clone_from(&alerts);
                }
                for unit in alerts.iter().filter(|_| outside) {
                    self.oracle.alert(*unit);
                }
                Some(Task::Txn { number, offsets, ranges, alerts, step: TxnStep::SendOffsets })
            }
            TxnStep::SendOffsets => {
                let worker = &self.workers[w];
                let not_owned: BTreeSet<PartitionKey> = offsets
                    .iter()
                    .filter(|(key, commit)| worker.assigned.get(key) != Some(&commit.assignment))
                    .map(|(key, _)| *key)
                    .collect();
                if !not_owned.is_empty() && mutant != Some(Mutant::GuardOff) {
                    self.kafka.coordinators[w].end(false);
                    return end(self, TransactionEnd::NotOwned(not_owned));
                }
                let member = match worker.member {
                    _ if mutant == Some(Mutant::GenerationMinusOne) => None,
                    Some(member) => Some((member, worker.generation)),
                    None => {
                        self.kafka.coordinators[w].end(false);
                        return end(self, TransactionEnd::Rejected("no member".to_owned()));
                    }
                };
                let sent = offsets.iter().map(|(key, commit)| {
                    (*key, CommittedOffset { offset: commit.offset, metadata: Some(commit.metadata) })
                });
                let epoch = self.kafka.coordinators[w].epoch;
                let request =
                    OffsetsRequest { worker: w, epoch, member, offsets: sent.collect(), ranges: ranges.clone() };
                if self.strikes(Fault::TxnUnclear) {
                    if self.rng.percent(70) {
                        self.kafka.late_offsets.push(request);
                    } else {
                        self.kafka.send_offsets(&request);
                    }
                    if mutant == Some(Mutant::LateOffsetsThenAgain) {
                        self.kafka.coordinators[w].end(false);
                        return end(self, TransactionEnd::Rejected("no answer".to_owned()));
                    }
                    return end(self, TransactionEnd::Ambiguous("no answer to the offsets".to_owned()));
                }
                if !self.kafka.send_offsets(&request) {
                    self.kafka.coordinators[w].end(false);
                    return end(self, TransactionEnd::Rejected("illegal generation".to_owned()));
                }
                Some(Task::Txn { number, offsets, ranges, alerts, step: TxnStep::End })
            }
            TxnStep::End => {
                if self.strikes(Fault::TxnUnclear) {
                    let epoch = self.kafka.coordinators[w].epoch;
                    if self.rng.percent(70) {
                        self.kafka.late_ends.push((w, epoch));
                    } else {
                        self.kafka.coordinators[w].end(true);
                    }
                    return end(self, TransactionEnd::Ambiguous("no answer to the commit".to_owned()));
                }
                self.kafka.coordinators[w].end(true);
                end(self, TransactionEnd::Committed)
            }
        }
    }
}

fn failed(task: Task) -> Option<Event> {
    let text = || "injected".to_owned();
    Some(match task {
        Task::Facts { number, .. } => Event::FactsRead(number, Err(text())),
        Task::Claim { number, .. } => Event::Claimed(number, Err(text())),
        Task::Drain { number, .. } => Event::Drained(number, Err(text())),
        Task::Settle { number, .. } => Event::Settled(number, Err(text())),
        Task::Look { number, .. } => Event::Looked(number, Err(text())),
        Task::Topic { block, .. } => Event::TopicChecked(block, Err(text())),
        Task::Build => Event::ProducerBuilt(ProducerEnd::Failed(text())),
        Task::Txn { .. } | Task::Pause(..) => return None,
    })
}
