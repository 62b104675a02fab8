//! Takeover: one procedure for every cause. Prove, claim, drain, look, in this order.
//!
//! It never assumes what it did before: position, floor and identity are read again every time, and every
//! claim is a new one.

use std::collections::BTreeMap;

use crate::protocol::action::{Action, Delay, Note, Resume, Why};
use crate::protocol::event::{Failure, TakeoverNumber};
use crate::protocol::facts::{Claimed, Facts, Presence};
use crate::protocol::halt::HaltReason;
use crate::protocol::planted::planted;
use crate::protocol::resolve::{Resolution, resolve};
use crate::protocol::state::{Claimant, Owned, Phase, Proof, Stage, State, Takeover};
use crate::types::{LaneId, PartitionKey};

impl State {
    /// Lets go of everything of a lane that is not committed, and has all its partitions taken over.
    pub(crate) fn take_over_lane(&mut self, id: LaneId, why: Why, actions: &mut Vec<Action>) {
        let keys: Vec<PartitionKey> = self.keys_of(id).collect();
        for key in keys {
            let partition = self.partitions.get_mut(&key).expect("its key was just listed");
            if matches!(partition.phase, Phase::Owned(_)) {
                partition.phase = Phase::Waiting(why);
            }
        }
        let running = self.transaction.clone();
        let lane = self.lane(id);
        if let Some(inserting) = &mut lane.inserting {
            inserting.abandoned = true;
        }
        if let Some(search) = &mut lane.search {
            search.interrupt();
        }
        for block in lane.queued.drain(..) {
            actions.push(Action::Release(block.number, crate::protocol::action::Released::Dropped));
        }
        // Blocks of the running transaction are released when it has ended: their alerts are still needed.
        lane.acknowledged.retain(|block| {
            let keep = running.as_ref().is_some_and(|running| running.has_block(id, block.number));
            if !keep {
                actions.push(Action::Release(block.number, crate::protocol::action::Released::Dropped));
            }
            keep
        });
        actions.push(Action::StopLane(id));
    }

    /// Begins the lane's takeover if one is due, none runs, and no transaction of ours holds the lane (H7).
    pub(crate) fn begin_takeover(&mut self, id: LaneId, actions: &mut Vec<Action>) {
        let held = self.transaction.as_ref().is_some_and(|running| running.holds(id));
        let lane = self.lane(id);
        if (held && !planted!(TakeoverBesideTransaction)) || lane.takeover.is_some() || lane.pause.is_some() {
            return;
        }
        let mut members = BTreeMap::new();
        let mut cause = None;
        for (key, partition) in self.partitions.iter_mut().filter(|(key, _)| key.lane == id) {
            if let Phase::Waiting(why) = partition.phase {
                cause = cause.max(Some(why));
                partition.phase = Phase::TakingOver;
                members.insert(*key, partition.assignment);
            }
        }
        let Some(why) = cause else { return };
        self.counters.takeover += 1;
        let number = TakeoverNumber(self.counters.takeover);
        actions.push(Action::Note(Note::Takeover(id, why, members.len())));
        actions.push(Action::ReadFacts(number, id, members.clone()));
        self.lane(id).takeover = Some(Takeover { number, stage: Stage::Reading(members) });
    }

    /// Takes the takeover that waits for this reply out of its lane; the caller puts it back or ends it.
    fn expect_takeover(&mut self, number: TakeoverNumber) -> Option<(LaneId, Stage)> {
        let (id, lane) =
            self.lanes.iter_mut().find(|(_, lane)| lane.takeover.as_ref().is_some_and(|t| t.number == number))?;
        let takeover = lane.takeover.take()?;
        Some((*id, takeover.stage))
    }

    fn continue_takeover(&mut self, id: LaneId, number: TakeoverNumber, stage: Stage) {
        self.lane(id).takeover = Some(Takeover { number, stage });
    }

    /// A step failed: all members wait for a new takeover, which starts from the beginning, after a pause.
    pub(crate) fn retry_takeover(
        &mut self,
        id: LaneId,
        members: impl IntoIterator<Item = PartitionKey>,
        actions: &mut Vec<Action>,
    ) {
        for key in members {
            if let Some(partition) = self.partitions.get_mut(&key)
                && partition.phase == Phase::TakingOver
            {
                partition.phase = Phase::Waiting(Why::Retry);
            }
        }
        let failures = self.lane(id).failures;
        self.lane(id).failures = failures.saturating_add(1);
        self.pause_lane(id, Delay::Backoff(failures), actions);
    }

    fn fail_takeover(
        &mut self,
        id: LaneId,
        step: &'static str,
        failure: Failure,
        members: impl IntoIterator<Item = PartitionKey>,
        actions: &mut Vec<Action>,
    ) {
        actions.push(Action::Note(Note::TakeoverFailed(id, step, failure)));
        self.retry_takeover(id, members, actions);
    }

    pub(crate) fn on_facts(
        &mut self,
        number: TakeoverNumber,
        facts: Result<BTreeMap<PartitionKey, Result<Facts, HaltReason>>, Failure>,
        actions: &mut Vec<Action>,
    ) {
        let Some((id, stage)) = self.expect_takeover(number) else { return };
        let Stage::Reading(members) = stage else { return self.continue_takeover(id, number, stage) };
        let mut facts = match facts {
            Ok(facts) => facts,
            Err(failure) => return self.fail_takeover(id, "read", failure, members.into_keys(), actions),
        };
        let on_gap = self.lane(id).policy.on_gap;
        let mut proofs = BTreeMap::new();
        for (key, assignment) in members {
            let resolution = match facts.remove(&key) {
                Some(Ok(facts)) => resolve(&facts, on_gap),
                Some(Err(reason)) => Resolution::Halt(reason),
                None => {
                    self.fail_takeover(id, "read", format!("no facts of partition {}", key.partition), [key], actions);
                    continue;
                }
            };
            match resolution {
                Resolution::Start(start) => {
                    proofs.insert(key, Proof { assignment, start });
                }
                Resolution::Halt(reason) => self.halt(key, reason, actions),
            }
        }
        if planted!(NoProof) && !proofs.is_empty() {
            self.claim(id, number, proofs, actions);
        } else if !proofs.is_empty() {
            self.continue_takeover(id, number, Stage::ToProve(proofs));
        }
    }

    /// Kafka has confirmed the offsets under our assignments.
    pub(crate) fn on_proved(&mut self, id: LaneId, actions: &mut Vec<Action>) {
        let Some(takeover) = self.lane(id).takeover.take() else { return };
        let Stage::Proving(_, members) = takeover.stage else {
            return self.continue_takeover(id, takeover.number, takeover.stage);
        };
        self.claim(id, takeover.number, members, actions);
    }

    fn claim(
        &mut self,
        id: LaneId,
        number: TakeoverNumber,
        members: BTreeMap<PartitionKey, Proof>,
        actions: &mut Vec<Action>,
    ) {
        let claims = members.iter().map(|(key, proof)| (*key, (proof.start.topic_id, proof.start.replay))).collect();
        actions.push(Action::Claim(number, id, claims));
        self.continue_takeover(id, number, Stage::Claiming(members));
    }

    pub(crate) fn on_claimed(
        &mut self,
        number: TakeoverNumber,
        claimed: Result<Claimed, Failure>,
        actions: &mut Vec<Action>,
    ) {
        let Some((id, stage)) = self.expect_takeover(number) else { return };
        let Stage::Claiming(members) = stage else { return self.continue_takeover(id, number, stage) };
        let claimed = match claimed {
            Ok(claimed) => claimed,
            Err(failure) => return self.fail_takeover(id, "claim", failure, members.into_keys(), actions),
        };
        if !claimed.others.is_empty() && !self.lane(id).policy.adopt {
            for key in members.into_keys() {
                let reason = HaltReason::OtherConnector { names: claimed.others.join(", ") };
                self.halt(key, reason, actions);
            }
            return;
        }
        let missing: Vec<PartitionKey> =
            members.keys().copied().filter(|key| !claimed.claims.contains_key(key)).collect();
        let claimants: BTreeMap<PartitionKey, Claimant> = members
            .into_iter()
            .filter_map(|(key, Proof { assignment, start })| {
                let claim = *claimed.claims.get(&key)?;
                Some((key, Claimant { assignment, start, claim }))
            })
            .collect();
        if !missing.is_empty() {
            self.fail_takeover(id, "claim", "not every partition was claimed".to_owned(), missing, actions);
        }
        if !claimants.is_empty() {
            actions.push(Action::Drain(number, id));
            self.continue_takeover(id, number, Stage::Draining(claimants));
        }
    }

    pub(crate) fn on_drained(
        &mut self,
        number: TakeoverNumber,
        drained: Result<(), Failure>,
        actions: &mut Vec<Action>,
    ) {
        let Some((id, stage)) = self.expect_takeover(number) else { return };
        let Stage::Draining(members) = stage else { return self.continue_takeover(id, number, stage) };
        if let Err(failure) = drained {
            return self.fail_takeover(id, "drain", failure, members.into_keys(), actions);
        }
        if self.lane(id).policy.replicated && !planted!(LookAtUncertainParts) {
            actions.push(Action::Settle(number, id));
            self.continue_takeover(id, number, Stage::Settling(None, members));
        } else {
            self.begin_look(id, number, members, actions);
        }
    }

    /// A part whose fate Keeper has not told may vanish after it was seen: no look before that is known (F5, N2).
    pub(crate) fn on_settled(
        &mut self,
        number: TakeoverNumber,
        settled: Result<bool, Failure>,
        actions: &mut Vec<Action>,
    ) {
        let Some((id, stage)) = self.expect_takeover(number) else { return };
        let Stage::Settling(None, members) = stage else { return self.continue_takeover(id, number, stage) };
        match settled {
            Err(failure) => self.fail_takeover(id, "settle", failure, members.into_keys(), actions),
            Ok(true) => self.begin_look(id, number, members, actions),
            Ok(false) => {
                let ticket = self.ticket();
                actions.push(Action::Pause(ticket, Delay::Backoff(1)));
                self.continue_takeover(id, number, Stage::Settling(Some(ticket), members));
            }
        }
    }

    fn begin_look(
        &mut self,
        id: LaneId,
        number: TakeoverNumber,
        members: BTreeMap<PartitionKey, Claimant>,
        actions: &mut Vec<Action>,
    ) {
        let from =
            members.iter().map(|(key, claimant)| (*key, (claimant.start.commit, claimant.start.replay))).collect();
        actions.push(Action::Look(number, id, from));
        self.continue_takeover(id, number, Stage::Looking(members));
    }

    pub(crate) fn on_looked(
        &mut self,
        number: TakeoverNumber,
        looked: Result<BTreeMap<PartitionKey, Presence>, Failure>,
        actions: &mut Vec<Action>,
    ) {
        let Some((id, stage)) = self.expect_takeover(number) else { return };
        let Stage::Looking(members) = stage else { return self.continue_takeover(id, number, stage) };
        let mut looked = match looked {
            Ok(looked) => looked,
            Err(failure) => return self.fail_takeover(id, "look", failure, members.into_keys(), actions),
        };
        let mut resumed = 0;
        for (key, Claimant { assignment, start, claim }) in members {
            let Some(presence) = looked.remove(&key) else {
                self.fail_takeover(id, "look", format!("nothing on partition {}", key.partition), [key], actions);
                continue;
            };
            let partition = self.partitions.get_mut(&key).expect("a revoked partition leaves its takeover");
            let same = partition.assignment == assignment || planted!(OldProofCounts);
            assert!(same, "a takeover went on under another assignment");
            let identity = Some((start.topic_id, start.replay));
            if partition.identity != identity && !planted!(CondemnedAcrossTopics) {
                partition.short = None;
                partition.unverified = None;
                partition.condemned.clear();
                partition.identity = identity;
            }
            partition.phase = Phase::Owned(Owned {
                claim,
                topic_id: start.topic_id,
                replay: start.replay,
                origin: start.origin,
                floor: start.floor,
                damaged: start.damaged,
                committed: start.commit,
                anchor: start.anchor,
                position: start.commit,
            });
            resumed += 1;
            actions.push(Action::Note(Note::Resumed(key, start.clone())));
            let condemned = partition.condemned.clone();
            actions.push(Action::Resume(Box::new(Resume { key, assignment, claim, start, presence, condemned })));
        }
        if resumed > 0 {
            actions.push(Action::Note(Note::TakeoverDone(id, resumed)));
        }
        self.watch_search(id, actions);
    }
}
