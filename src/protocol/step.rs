//! `step`: one event in, the next state and what is to be done out. No I/O, no clock, no randomness.

use std::collections::{BTreeMap, BTreeSet};

use crate::protocol::action::{Action, Delay, Why};
use crate::protocol::event::{Event, ProducerEnd, Ticket};
use crate::protocol::halt::HaltReason;
use crate::protocol::planted::planted;
use crate::protocol::state::{
    FENCINGS_MAX, InsertStep, PartitionState, Phase, Producer, Stage, State, Stopping, TransactionKind,
};
use crate::types::{AssignmentNumber, LaneId, PartitionKey};

/// Takes one event to the next state.
///
/// Total: every event is legal in every state; a reply that nobody waits for any more changes nothing.
pub fn step(mut state: State, event: Event) -> (State, Vec<Action>) {
    let mut actions = Vec::new();
    match event {
        Event::Started => {}
        Event::Assigned(partitions) => state.on_assigned(partitions, &mut actions),
        Event::Revoked { partitions, discarded } => state.on_revoked(&partitions, &discarded, &mut actions),
        Event::FetchFailed(key, _) => state.on_fetch_failed(key, &mut actions),
        Event::Unusable(key, assignment, reason) => {
            // While a takeover is under way it is old news: what resumes then is compared anew.
            let current = state.partitions.get(&key).is_some_and(|partition| partition.assignment == assignment);
            if current && state.owned(key).is_some() {
                state.halt(key, reason, &mut actions);
                state.take_over_lane(key.lane, Why::BlockDropped, &mut actions);
            }
        }
        Event::BlockClosed(block) => state.on_block_closed(block, &mut actions),
        Event::FactsRead(number, facts) => state.on_facts(number, facts, &mut actions),
        Event::TransactionEnded(number, end) => state.on_transaction_ended(number, end, &mut actions),
        Event::Claimed(number, claimed) => state.on_claimed(number, claimed, &mut actions),
        Event::Drained(number, drained) => state.on_drained(number, drained, &mut actions),
        Event::Settled(number, settled) => state.on_settled(number, settled, &mut actions),
        Event::Looked(number, looked) => state.on_looked(number, looked, &mut actions),
        Event::TopicChecked(block, topic) => state.on_topic_checked(block, topic, &mut actions),
        Event::Inserted(block, table, end) => state.on_inserted(block, table, end, &mut actions),
        Event::ProducerBuilt(end) => state.on_producer_built(end, &mut actions),
        Event::ServerRestarted => state.on_server_restarted(&mut actions),
        Event::PauseOver(ticket) => state.on_pause_over(ticket, &mut actions),
        Event::Stop => state.on_stop(),
    }
    state.schedule(&mut actions);
    (state, actions)
}

impl State {
    fn on_assigned(&mut self, partitions: BTreeMap<PartitionKey, AssignmentNumber>, actions: &mut Vec<Action>) {
        for (key, assignment) in partitions {
            if self.partitions.contains_key(&key) {
                self.forget(key, actions);
            }
            let partition = PartitionState {
                assignment,
                phase: Phase::Waiting(Why::Assigned),
                identity: None,
                short: None,
                unverified: None,
                condemned: BTreeMap::new(),
            };
            self.partitions.insert(key, partition);
        }
    }

    fn on_revoked(
        &mut self,
        partitions: &BTreeSet<PartitionKey>,
        discarded: &BTreeSet<LaneId>,
        actions: &mut Vec<Action>,
    ) {
        for key in partitions {
            self.forget(*key, actions);
        }
        for lane in discarded {
            self.take_over_lane(*lane, Why::BlockDropped, actions);
        }
    }

    /// A partition is gone. Its rows under way stay fenced by its old claim; a block that holds rows of it and has
    /// not begun is dropped, and with it all that follows in the lane. Not begun is also a block whose topic is being
    /// checked: what the partition's topic was is forgotten here (N9).
    fn forget(&mut self, key: PartitionKey, actions: &mut Vec<Action>) {
        self.partitions.remove(&key);
        let lane = self.lane(key.lane);
        if let Some(search) = &mut lane.search {
            search.forget(key);
        }
        if !planted!(OldProofCounts) && lane.takeover.as_mut().is_some_and(|takeover| takeover.stage.forget(key)) {
            lane.takeover = None;
        }
        let checking = lane.inserting.iter().filter(|inserting| {
            inserting.step == InsertStep::CheckingTopic && !planted!(CheckedBlockSurvivesRevocation)
        });
        let mut waiting = checking.map(|inserting| &inserting.block).chain(&lane.queued);
        if waiting.any(|block| block.batches.contains_key(&key)) {
            self.take_over_lane(key.lane, Why::BlockDropped, actions);
        }
    }

    /// Takeovers under way end here: nothing is to be resumed. A proof that was sent is still waited for.
    fn on_stop(&mut self) {
        if self.stopping == Stopping::No {
            self.stopping = Stopping::Draining;
        }
        self.drop_takeovers();
    }

    /// Their replies find nobody; a transaction with a proof still holds its lane until it has ended.
    fn drop_takeovers(&mut self) {
        for lane in self.lanes.values_mut() {
            lane.takeover = None;
        }
        for partition in self.partitions.values_mut().filter(|partition| partition.phase == Phase::TakingOver) {
            partition.phase = Phase::Waiting(Why::Retry);
        }
    }

    fn on_fetch_failed(&mut self, key: PartitionKey, actions: &mut Vec<Action>) {
        if self.owned(key).is_some() {
            self.take_over_lane(key.lane, Why::Fetch, actions);
            let failures = self.lane(key.lane).failures;
            self.lane(key.lane).failures = failures.saturating_add(1);
            self.pause_lane(key.lane, Delay::Backoff(failures), actions);
        }
    }

    /// Rows below the committed offset may be gone. Only a takeover compares them with the ledger, and one under way
    /// may have compared before they went.
    fn on_server_restarted(&mut self, actions: &mut Vec<Action>) {
        if planted!(RestartUnnoticed) {
            return;
        }
        if !planted!(TakeoverSurvivesRestart) {
            self.drop_takeovers();
        }
        let lanes: Vec<LaneId> = self.lanes.keys().copied().collect();
        for lane in lanes {
            self.take_over_lane(lane, Why::ServerRestarted, actions);
        }
    }

    fn on_producer_built(&mut self, end: ProducerEnd, actions: &mut Vec<Action>) {
        let text = match end {
            ProducerEnd::Ready => {
                self.producer = Producer::Ready;
                return;
            }
            ProducerEnd::Fenced(text) => {
                self.counters.fencings += 1;
                if self.counters.fencings >= FENCINGS_MAX {
                    actions.push(Action::ExitDuplicateInstance(text));
                    return;
                }
                text
            }
            ProducerEnd::Failed(text) => text,
        };
        actions.push(Action::Note(crate::protocol::action::Note::ProducerFailed(text)));
        let ticket = self.ticket();
        self.counters.rejections = self.counters.rejections.saturating_add(1);
        self.producer = Producer::Pausing(ticket);
        actions.push(Action::Pause(ticket, Delay::Backoff(self.counters.rejections)));
    }

    fn on_pause_over(&mut self, ticket: Ticket, actions: &mut Vec<Action>) {
        if self.producer == Producer::Pausing(ticket) {
            self.producer = Producer::Absent;
        }
        if self.transaction.as_ref().is_some_and(|running| running.kind == TransactionKind::Refused(ticket)) {
            self.transaction = None;
        }
        let mut settle = Vec::new();
        let mut recheck = Vec::new();
        let mut idle = Vec::new();
        for (id, lane) in &mut self.lanes {
            if lane.pause == Some(ticket) {
                lane.pause = None;
            }
            if lane.search.as_ref().is_some_and(|search| search.idle == Some(ticket)) {
                idle.push(*id);
            }
            if lane.recheck == Some(ticket) {
                lane.recheck = None;
                recheck.push(*id);
            }
            if let Some(takeover) = &mut lane.takeover
                && let Stage::Settling(waiting, _) = &mut takeover.stage
                && *waiting == Some(ticket)
            {
                *waiting = None;
                settle.push(Action::Settle(takeover.number, *id));
            }
        }
        actions.append(&mut settle);
        for id in idle {
            self.on_search_idle(id, actions);
        }
        for partition in self.partitions.iter_mut().filter(|(key, _)| recheck.contains(&key.lane)) {
            if matches!(&partition.1.phase, Phase::Halted(reason) if reason.may_pass()) {
                partition.1.phase = Phase::Waiting(Why::Recheck);
            }
        }
    }

    /// Stops a partition, keeps its assignment and its offsets.
    pub(crate) fn halt(&mut self, key: PartitionKey, reason: HaltReason, actions: &mut Vec<Action>) {
        let Some(partition) = self.partitions.get_mut(&key) else { return };
        let recheck = reason.may_pass();
        partition.phase = Phase::Halted(reason.clone());
        actions.push(Action::Halt(key, reason));
        if let Some(search) = &mut self.lane(key.lane).search {
            search.forget(key);
        }
        if recheck && self.lane(key.lane).recheck.is_none() {
            let ticket = self.ticket();
            self.lane(key.lane).recheck = Some(ticket);
            actions.push(Action::Pause(ticket, Delay::Slow));
        }
    }

    /// Starts whatever can start now.
    fn schedule(&mut self, actions: &mut Vec<Action>) {
        if self.producer == Producer::Absent {
            self.producer = Producer::Building;
            actions.push(Action::BuildProducer);
        }
        let lanes: Vec<LaneId> = self.lanes.keys().copied().collect();
        if self.stopping == Stopping::No {
            for lane in &lanes {
                self.begin_takeover(*lane, actions);
            }
        }
        self.begin_transaction(actions);
        // After the transaction: the block that it takes makes room for the next insert.
        for lane in lanes {
            self.begin_insert(lane, actions);
        }
        let idle = self.transaction.is_none() && !self.lanes.values().any(|lane| lane.busy());
        if self.stopping == Stopping::Draining && idle {
            self.stopping = Stopping::Finished;
            actions.push(Action::Finished);
        }
    }
}

#[cfg(test)]
#[expect(clippy::wildcard_enum_match_arm, reason = "a test picks one action out of many")]
#[path = "tests_core.rs"]
mod tests_core;

#[cfg(test)]
#[expect(clippy::wildcard_enum_match_arm, reason = "a test picks one action out of many")]
#[path = "tests_step.rs"]
mod tests;

#[cfg(test)]
#[expect(clippy::wildcard_enum_match_arm, reason = "a test picks one action out of many")]
#[path = "tests_search.rs"]
mod tests_search;
