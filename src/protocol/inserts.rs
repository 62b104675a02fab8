//! Blocks on their way into ClickHouse: target, dead letters, alerts, ledger, each sent once.

use std::collections::BTreeMap;

use crate::protocol::action::{Action, Delay, Found, Insert, Note, Released, Why};
use crate::protocol::block::{BlockSummary, Strange};
use crate::protocol::event::{Failure, InsertEnd, ServerError, ServerErrorKind, Table};
use crate::protocol::facts::LedgerRow;
use crate::protocol::halt::HaltReason;
use crate::protocol::planted::planted;
use crate::protocol::search::Search;
use crate::protocol::state::{BAD_SAMPLE_MIN, InsertStep, Inserting, Phase, State};
use crate::types::{BlockNumber, LaneId, OffsetRange, PartitionKey, RecordCount, TargetNumber, TopicId};

impl State {
    pub(crate) fn on_block_closed(&mut self, block: BlockSummary, actions: &mut Vec<Action>) {
        let id = block.lane;
        let current = |state: &Self, key: PartitionKey| {
            let claim = block.batches.get(&key).map(|batch| batch.claim);
            state.owned(key).is_some_and(|owned| Some(owned.claim) == claim || planted!(OldClaimInserts))
        };
        let stale = block.batches.keys().any(|key| !current(self, *key));
        if stale {
            actions.push(Action::Release(block.number, Released::Dropped));
            if block.batches.keys().any(|key| current(self, *key)) {
                self.take_over_lane(id, Why::BlockDropped, actions);
            }
            return;
        }
        let share = u128::from(self.lane(id).policy.bad_share_max_millionths);
        let drifted: Vec<(PartitionKey, HaltReason)> = block
            .batches
            .iter()
            .filter_map(|(key, batch)| {
                let (dead, records) = (batch.dead_inserted, batch.records());
                let too_many = dead >= BAD_SAMPLE_MIN && u128::from(dead.0) * 1_000_000 > share * u128::from(records.0);
                let from = batch.range.start();
                if let Some(Strange { records, fields }) = batch.strange.clone() {
                    return Some((*key, HaltReason::NoKnownField { records, from, fields }));
                }
                too_many.then_some((*key, HaltReason::BadShare { dead, records, from }))
            })
            .collect();
        if !drifted.is_empty() {
            actions.push(Action::Release(block.number, Released::Dropped));
            for (key, reason) in drifted {
                self.halt(key, reason, actions);
            }
            return self.take_over_lane(id, Why::BlockDropped, actions);
        }
        for (key, batch) in &block.batches {
            let partition = self.partitions.get_mut(key).expect("the batch is current");
            let Phase::Owned(owned) = &mut partition.phase else { unreachable!("the batch is current") };
            assert_eq!(batch.range.start(), owned.position, "a block leaves out or repeats offsets of {key:?}");
            owned.position = batch.range.end();
        }
        let lane = self.lane(id);
        if let Some(search) = &mut lane.search {
            search.touch();
        }
        lane.queued.push_back(block);
    }

    /// Begins with the next block of the lane. One block at a time; its transaction runs beside the next insert, and
    /// none runs further ahead: what waits for Kafka stays bounded, and the floor in the ledger is never more than two
    /// blocks behind, which is what a foreign move of the offset relies on (N5).
    pub(crate) fn begin_insert(&mut self, id: LaneId, actions: &mut Vec<Action>) {
        let committing = |number| self.transaction.as_ref().is_some_and(|running| running.has_block(id, number));
        let ahead = self.lanes[&id].acknowledged.iter().any(|block| !committing(block.number));
        let lane = self.lane(id);
        if (ahead && !planted!(TwoBlocksAhead)) || lane.inserting.is_some() {
            return;
        }
        let Some(block) = lane.queued.pop_front() else { return };
        actions.push(Action::CheckTopic(block.number, id));
        lane.inserting = Some(Inserting { block, step: InsertStep::CheckingTopic, abandoned: false });
    }

    /// Takes the block that waits for this reply; the caller puts it back or lets it go.
    fn expect_block(&mut self, number: BlockNumber, step: InsertStep) -> Option<(LaneId, Inserting)> {
        let (id, lane) = self.lanes.iter_mut().find(|(_, lane)| {
            lane.inserting.as_ref().is_some_and(|inserting| inserting.block.number == number && inserting.step == step)
        })?;
        let inserting = lane.inserting.take()?;
        Some((*id, inserting))
    }

    pub(crate) fn on_topic_checked(
        &mut self,
        number: BlockNumber,
        topic: Result<Option<TopicId>, Failure>,
        actions: &mut Vec<Action>,
    ) {
        let Some((id, inserting)) = self.expect_block(number, InsertStep::CheckingTopic) else { return };
        if inserting.abandoned {
            return actions.push(Action::Release(number, Released::Dropped));
        }
        match topic {
            Err(failure) => {
                actions.push(Action::Note(Note::TakeoverFailed(id, "check topic", failure)));
                actions.push(Action::Release(number, Released::Dropped));
                self.back_off(id, Delay::Backoff(self.lanes[&id].failures), actions);
            }
            Ok(now) => {
                let recreated = |key: &PartitionKey| {
                    let known = self.owned(*key).and_then(|owned| owned.topic_id);
                    known.zip(now).is_some_and(|(known, now)| known != now) && !planted!(TopicNotCompared)
                };
                let gone: Vec<PartitionKey> = inserting.block.batches.keys().copied().filter(recreated).collect();
                if gone.is_empty() {
                    return self.insert_next(id, inserting.block, None, actions);
                }
                actions.push(Action::Release(number, Released::Dropped));
                for key in gone {
                    self.halt(key, HaltReason::TopicRecreated, actions);
                }
                self.take_over_lane(id, Why::BlockDropped, actions);
            }
        }
    }

    pub(crate) fn on_inserted(&mut self, number: BlockNumber, table: Table, end: InsertEnd, actions: &mut Vec<Action>) {
        let Some((id, inserting)) = self.expect_block(number, InsertStep::Into(table)) else { return };
        let Inserting { block, abandoned, .. } = inserting;
        if end != InsertEnd::Acknowledged {
            actions.push(Action::Note(Note::InsertFailed(number, table, end.clone())));
        }
        if abandoned && !planted!(AbandonedBlockCounts) {
            return actions.push(Action::Release(number, Released::Dropped));
        }
        match end {
            InsertEnd::Acknowledged => {
                if table.is_target() {
                    self.on_witness(id);
                }
                self.insert_next(id, block, Some(table), actions);
            }
            InsertEnd::Fenced | InsertEnd::Present => self.drop_block(id, &block, Delay::Backoff(0), actions),
            // Until the lane is made anew for the table as it is, it is refused again.
            InsertEnd::TableChanged => self.drop_block(id, &block, Delay::Slow, actions),
            InsertEnd::Short if planted!(ShortCounts) => self.on_block_acknowledged(id, block, actions),
            InsertEnd::Short => self.on_short(id, &block, actions),
            InsertEnd::Unknown(_) if planted!(ResendAfterSilence) => self.insert_next(id, block, None, actions),
            InsertEnd::Ended(_) if planted!(ResendAfterError) => self.insert_next(id, block, None, actions),
            InsertEnd::TooLarge(why) => {
                self.flag_views(table, &block);
                self.on_too_large(id, &block, why, actions);
            }
            InsertEnd::Unknown(_) => {
                self.flag_views(table, &block);
                self.drop_block(id, &block, Delay::Backoff(self.lanes[&id].failures), actions);
            }
            InsertEnd::Ended(error) => {
                self.flag_views(table, &block);
                self.on_error_reply(id, table, &block, error, actions);
            }
        }
    }

    /// The insert of `done` is acknowledged: on to the block's next table, or it is complete.
    fn insert_next(&mut self, id: LaneId, block: BlockSummary, done: Option<Table>, actions: &mut Vec<Action>) {
        let has_rows = |table: Table| match table {
            Table::Target(_) => true,
            Table::DeadLetters => block.dead() > RecordCount(0),
            Table::Alerts => block.alerts > RecordCount(0),
            // Always: for a block that inserts nothing it is the only fence it meets (N3, H2).
            Table::Ledger => true,
        };
        let next = block
            .targets()
            .into_iter()
            .map(Table::Target)
            .chain([Table::DeadLetters, Table::Alerts, Table::Ledger])
            .find(|table| done.is_none_or(|done| *table > done) && has_rows(*table));
        let next = next.filter(|_| !planted!(CommitBeforeInsert));
        let next = next.filter(|table| table.is_target() || !planted!(AcknowledgedByTarget));
        let nothing = block.rows() + block.dead() == RecordCount(0);
        let next = next.filter(|table| !(*table == Table::Ledger && nothing && planted!(LedgerLeftOut)));
        let passing = self.lanes[&id].search.as_ref().is_some_and(Search::is_passing) && !planted!(PassCommits);
        if passing && !next.is_some_and(Table::is_target) {
            return self.on_tried(id, &block, actions);
        }
        let Some(table) = next else { return self.on_block_acknowledged(id, block, actions) };
        let ledger = if table == Table::Ledger { self.ledger_rows(&block) } else { Vec::new() };
        if table == Table::Ledger && ledger.is_empty() {
            // Every partition of it has gone to another member, which finds the rows by its look.
            return actions.push(Action::Release(block.number, Released::Dropped));
        }
        let claims = block.batches.iter().map(|(key, batch)| (*key, batch.claim)).collect();
        let found = self.found(&block, table);
        let number = block.number;
        actions.push(Action::Insert(Box::new(Insert { block: number, lane: id, table, claims, found, ledger })));
        self.lane(id).inserting = Some(Inserting { block, step: InsertStep::Into(table), abandoned: false });
    }

    /// What is there when the insert into `table` begins: what the look found, and what this block has put into the tables
    /// before it.
    fn found(&self, block: &BlockSummary, table: Table) -> Vec<Found> {
        let targets: Vec<TargetNumber> =
            block.targets().into_iter().filter(|target| Table::Target(*target) < table).collect();
        let batches = block.batches.iter().filter_map(|(key, batch)| {
            let replay = self.owned(*key)?.replay;
            let before: RecordCount = targets.iter().map(|target| batch.inserted_into(*target)).sum();
            let rows = batch.present + before;
            Some(Found { key: *key, replay, range: batch.range, rows, dead: batch.dead_present })
        });
        batches.collect()
    }

    fn ledger_rows(&self, block: &BlockSummary) -> Vec<LedgerRow> {
        // A partition that was revoked meanwhile gets its row from its new owner, who finds what is there.
        let rows = block.batches.iter().filter_map(|(key, batch)| {
            let owned = self.owned(*key)?;
            let partition = &self.partitions[key];
            let overlaps = |range: Option<OffsetRange>| range.is_some_and(|range| range.overlaps(batch.range));
            Some(LedgerRow {
                key: *key,
                claim: batch.claim,
                topic_id: owned.topic_id,
                replay: owned.replay,
                range: batch.range,
                origin: owned.origin,
                checkpoint: batch.checkpoint,
                rows: batch.inserted + batch.present,
                dead: batch.dead_inserted + batch.dead_present,
                skipped: batch.skipped,
                gap: batch.gap,
                floor: owned.floor,
                damaged: overlaps(owned.damaged),
                views_unverified: overlaps(partition.unverified),
            })
        });
        rows.collect()
    }

    fn on_block_acknowledged(&mut self, id: LaneId, block: BlockSummary, actions: &mut Vec<Action>) {
        self.lane(id).failures = 0;
        self.on_passed(id, &block, actions);
        self.lane(id).acknowledged.push_back(block);
    }

    fn on_short(&mut self, id: LaneId, block: &BlockSummary, actions: &mut Vec<Action>) {
        let mut vanishing = Vec::new();
        for (key, batch) in &block.batches {
            let Some(partition) = self.partitions.get_mut(key) else { continue };
            if partition.short.is_some_and(|short| short.overlaps(batch.range)) {
                vanishing.push((*key, batch.range));
            }
            partition.short = Some(batch.range);
        }
        for (key, range) in vanishing {
            self.halt(key, HaltReason::RowsVanish { range }, actions);
        }
        self.drop_block(id, block, Delay::Backoff(self.lanes[&id].failures), actions);
    }

    fn on_error_reply(
        &mut self,
        id: LaneId,
        table: Table,
        block: &BlockSummary,
        error: ServerError,
        actions: &mut Vec<Action>,
    ) {
        let delay = match error.kind {
            ServerErrorKind::Bytes if table.is_target() => return self.on_refused(id, block, error, actions),
            ServerErrorKind::Doubtful if table.is_target() && self.is_suspicious(id, block, error.code) => {
                return self.on_refused(id, block, error, actions);
            }
            ServerErrorKind::Passing | ServerErrorKind::Doubtful => Delay::Backoff(self.lanes[&id].failures),
            ServerErrorKind::Configuration | ServerErrorKind::TableChanged => Delay::Slow,
            ServerErrorKind::Bytes => Delay::Slow,
        };
        self.drop_block(id, block, delay, actions);
    }

    /// An insert that fed views and was not acknowledged may have left them without it: reported, not repaired.
    fn flag_views(&mut self, table: Table, block: &BlockSummary) {
        if !table.is_target() || !self.lanes[&block.lane].policy.views {
            return;
        }
        for (key, batch) in &block.batches {
            if let Some(partition) = self.partitions.get_mut(key) {
                let known = partition.unverified.unwrap_or(batch.range);
                let start = known.start().min(batch.range.start());
                let end = known.end().max(batch.range.end());
                partition.unverified = Some(OffsetRange::new(start, end));
            }
        }
    }

    /// Smaller blocks from here on; a record that is too large by itself stops its partition, since as a dead letter it
    /// would be as large.
    fn on_too_large(&mut self, id: LaneId, block: &BlockSummary, why: Failure, actions: &mut Vec<Action>) {
        let single_letter = || {
            let key = block.batches.iter().find(|(_, batch)| batch.dead_inserted > RecordCount(0));
            key.map(|(key, batch)| (*key, batch.range.start()))
        };
        let alone = match (block.only_record, block.rows().0, block.dead().0) {
            (record, _, 0) => record,
            (_, 0, 1) => single_letter(),
            _ => None,
        };
        if let Some((key, offset)) = alone {
            self.halt(key, HaltReason::RecordTooLarge { offset, why }, actions);
            return self.drop_block(id, block, Delay::Backoff(0), actions);
        }
        let lane = self.lane(id);
        let limit = (lane.bytes_limit.unwrap_or(block.bytes).min(block.bytes) / 2).max(1);
        lane.bytes_limit = Some(limit);
        actions.push(Action::LimitBytes(id, limit));
        self.drop_block(id, block, Delay::Backoff(0), actions);
    }

    fn drop_block(&mut self, id: LaneId, block: &BlockSummary, delay: Delay, actions: &mut Vec<Action>) {
        actions.push(Action::Release(block.number, Released::Dropped));
        self.back_off(id, delay, actions);
    }

    /// Takeover of the whole lane, after a pause.
    pub(crate) fn back_off(&mut self, id: LaneId, delay: Delay, actions: &mut Vec<Action>) {
        self.take_over_lane(id, Why::Insert, actions);
        let failures = self.lane(id).failures;
        self.lane(id).failures = failures.saturating_add(1);
        self.pause_lane(id, delay, actions);
    }

    /// Forgets what is settled for good by a commit up to `offset`.
    pub(crate) fn forget_below(&mut self, key: PartitionKey, offset: crate::types::Offset) {
        let Some(partition) = self.partitions.get_mut(&key) else { return };
        let settled = |range: Option<OffsetRange>| range.filter(|range| range.end() > offset);
        partition.short = settled(partition.short);
        partition.unverified = settled(partition.unverified);
        let condemned: BTreeMap<_, _> = partition.condemned.split_off(&offset);
        partition.condemned = condemned;
    }
}
