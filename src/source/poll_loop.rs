//! The polling thread: serves the consumer group, reads records, fills blocks.
//!
//! Takes commands of the pipeline, gives events. It never waits for ClickHouse: when a lane may hand over no more
//! blocks it stops reading that lane's queue, which has a bound, and goes on serving the group.

mod exchange;
mod unreadable;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::time::{Duration, Instant};

use tokio::sync::mpsc::Sender;

pub use self::exchange::{Command, SourceEvent};
use self::unreadable::Unreadable;
use crate::block::lane_fill::{LaneFill, LanePlan, Taken};
use crate::columns::Columns;
use crate::registry::SchemaKey;
use crate::source::consumer::{KafkaConsumer, StartAt, StartError};
use crate::source::group::GroupEvent;
use crate::source::{KafkaFault, Message};
use crate::types::{AssignmentNumber, BlockNumber, LaneId, PartitionKey};

/// Blocks of a lane that may be handed over and not let go yet: one is inserted, one waits.
pub const LANE_BLOCKS_MAX: usize = 2;

/// Records taken from a lane's queue at a time.
const READ_MAX: usize = 4_096;

/// How long to wait for records when there are none; bounds the delay of a rebalance, of a command and of a block whose
/// time has come.
const WAIT_MAX: Duration = Duration::from_millis(10);
/// The same when nothing has happened for so many rounds and nothing is open: a round costs some 50 us, at a hundred a
/// second most of what an idle process spends.
const IDLE_WAIT_MAX: Duration = Duration::from_millis(50);
const IDLE_AFTER_ROUNDS: u32 = 100;

/// The thread's state.
#[derive(Debug)]
pub struct PollLoop {
    consumer: KafkaConsumer,
    lanes: BTreeMap<LaneId, Lane>,
    commands: Receiver<Command>,
    events: Sender<SourceEvent>,
    next_block: u64,
    /// Partitions to start, or that the client could not start yet.
    starts: BTreeMap<PartitionKey, AssignmentNumber>,
    /// Partitions whose next batch cannot be read for now.
    unreadable: Unreadable,
    draining: bool,
    /// Rounds in which nothing happened since something did.
    idle_rounds: u32,
    /// Bytes that blocks hold, for people.
    memory: Arc<AtomicU64>,
}

#[derive(Debug)]
struct Lane {
    fill: LaneFill,
    outstanding: usize,
    /// What was told last of its being read.
    held: bool,
    awaiting: Awaiting,
    assignments: BTreeMap<PartitionKey, AssignmentNumber>,
    /// Partitions of which every record was taken that the client gave since it started them: its position is ours.
    reading: BTreeSet<PartitionKey>,
}

/// Whether a lane waits for a schema, or for columns. Records behind the one that waits have been taken out of the queue and
/// dropped, so all partitions of the lane are started anew before anything is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Awaiting {
    Nothing,
    Schema(SchemaKey),
    /// For columns of the table: until this consumer ends, or a takeover has the record read again.
    Columns,
    /// The schema is there; partitions are being started.
    Starts,
}

/// The pipeline has ended: so does this thread.
struct Ended;

impl PollLoop {
    /// A loop over a subscribed consumer.
    ///
    /// # Errors
    /// Where the columns of a lane cannot be made, which making the plan has ruled out.
    pub fn new(
        consumer: KafkaConsumer,
        plans: &BTreeMap<LaneId, Arc<LanePlan>>,
        commands: Receiver<Command>,
        events: Sender<SourceEvent>,
        memory: Arc<AtomicU64>,
    ) -> Result<Self, crate::columns::PlanError> {
        let mut lanes = BTreeMap::new();
        for (id, plan) in plans {
            let fill = LaneFill::new(Arc::clone(plan))?;
            let lane = Lane {
                fill,
                outstanding: 0,
                held: false,
                awaiting: Awaiting::Nothing,
                assignments: BTreeMap::new(),
                reading: BTreeSet::new(),
            };
            lanes.insert(*id, lane);
        }
        Ok(Self {
            consumer,
            lanes,
            commands,
            events,
            next_block: 0,
            starts: BTreeMap::new(),
            unreadable: Unreadable::default(),
            draining: false,
            idle_rounds: 0,
            memory,
        })
    }

    /// Runs until the pipeline ends or says so. Then the consumer leaves the group.
    pub fn run(mut self) {
        while self.round().is_ok() {}
    }

    fn round(&mut self) -> Result<(), Ended> {
        self.obey()?;
        for event in self.consumer.serve() {
            self.on_group_event(event)?;
        }
        self.look_for_schemas();
        self.try_unreadable();
        self.start_pending()?;
        self.end_waits()?;
        let mut read = 0;
        let lanes: Vec<LaneId> = self.lanes.keys().copied().collect();
        for lane in &lanes {
            read += self.read(*lane, Duration::ZERO)?;
            self.close_if_due(*lane)?;
            self.tell_if_held(*lane)?;
        }
        if read == 0 { self.wait(&lanes) } else { Ok(()) }
    }

    /// Waits for records of a lane that may be read, else for a command.
    fn wait(&mut self, lanes: &[LaneId]) -> Result<(), Ended> {
        let busy = |lane: &Lane| lane.outstanding > 0 || lane.fill.is_open() || lane.awaiting != Awaiting::Nothing;
        let waits = !self.starts.is_empty() || self.lanes.values().any(busy);
        let idle = !waits && self.idle_rounds >= IDLE_AFTER_ROUNDS;
        let wait_max = if idle { IDLE_WAIT_MAX } else { WAIT_MAX };
        self.idle_rounds = self.idle_rounds.saturating_add(1);
        match lanes.iter().find(|lane| self.may_read(**lane)) {
            Some(lane) => self.read(*lane, wait_max).map(|_| ()),
            None => match self.commands.recv_timeout(wait_max) {
                Ok(command) => self.on_command(command),
                Err(RecvTimeoutError::Timeout) => Ok(()),
                Err(RecvTimeoutError::Disconnected) => Err(Ended),
            },
        }
    }

    fn obey(&mut self) -> Result<(), Ended> {
        loop {
            match self.commands.try_recv() {
                Ok(command) => self.on_command(command)?,
                Err(TryRecvError::Empty) => return Ok(()),
                Err(TryRecvError::Disconnected) => return Err(Ended),
            }
        }
    }

    fn lane(&mut self, id: LaneId) -> &mut Lane {
        self.lanes.get_mut(&id).expect("lanes are fixed by the configuration")
    }

    fn on_command(&mut self, command: Command) -> Result<(), Ended> {
        self.idle_rounds = 0;
        match command {
            Command::Resume(resume) => {
                let (key, assignment) = (resume.key, resume.assignment);
                let lane = self.lane(key.lane);
                if lane.assignments.get(&key) == Some(&assignment) {
                    lane.fill.resume(*resume);
                    lane.reading.remove(&key);
                    self.unreadable.forget(key);
                    self.starts.insert(key, assignment);
                }
            }
            Command::StopLane(id) => self.stop_lane(id),
            Command::LimitRows(id, limit) => self.lane(id).fill.limit_rows(limit),
            Command::WantSingleKeys(id) => self.lane(id).fill.want_single_keys(),
            Command::LimitBytes(id, limit) => self.lane(id).fill.limit_bytes(limit),
            Command::Recycle(id, target, columns) => self.lane(id).fill.recycle(target, columns),
            Command::Released(id) => {
                let lane = self.lane(id);
                assert!(lane.outstanding > 0, "a block was let go twice");
                lane.outstanding -= 1;
            }
            Command::Pass(keys) => self.pass(&keys)?,
            Command::Rejoin => self.rejoin(),
            Command::Drain => self.drain()?,
            Command::Exit => return Err(Ended),
        }
        Ok(())
    }

    /// Drops what is open and stops fetching: what was fetched is read again after the takeover.
    fn stop_lane(&mut self, id: LaneId) {
        let lane = self.lane(id);
        lane.fill.stop();
        lane.reading.clear();
        self.unreadable.forget_lane(id);
        let lane = self.lane(id);
        if lane.awaiting != Awaiting::Nothing {
            // What the takeover resumes is started anew anyway.
            lane.awaiting = Awaiting::Starts;
        }
        let keys: Vec<PartitionKey> = lane.assignments.keys().copied().collect();
        self.pause(&keys);
    }

    /// A partition that cannot be paused goes on sending records, which are dropped: slower, not wrong.
    fn pause(&mut self, keys: &[PartitionKey]) {
        if let Err(fault) = self.consumer.pause(keys) {
            tracing::debug!(%fault, "pausing partitions");
        }
    }

    fn drain(&mut self) -> Result<(), Ended> {
        self.draining = true;
        let ids: Vec<LaneId> = self.lanes.keys().copied().collect();
        for id in ids {
            let keys: Vec<PartitionKey> = self.lane(id).assignments.keys().copied().collect();
            // Before the pause, which forgets what was fetched and not read.
            self.pass(&keys)?;
            self.pause(&keys);
            self.lane(id).fill.vouch();
            self.close(id, crate::clock::now())?;
        }
        self.tell(SourceEvent::Drained)
    }

    fn on_group_event(&mut self, event: GroupEvent) -> Result<(), Ended> {
        self.idle_rounds = 0;
        match event {
            GroupEvent::Assigned(partitions) => {
                for (key, number) in &partitions {
                    self.lane(key.lane).assignments.insert(*key, *number);
                }
                self.tell(SourceEvent::Assigned(partitions))
            }
            GroupEvent::Revoked(partitions) => {
                let partitions: BTreeSet<PartitionKey> = partitions.into_keys().collect();
                let mut discarded = BTreeSet::new();
                for key in &partitions {
                    let lane = self.lane(key.lane);
                    lane.assignments.remove(key);
                    lane.reading.remove(key);
                    self.unreadable.forget(*key);
                    let lane = self.lane(key.lane);
                    if lane.fill.holds(*key) {
                        discarded.insert(key.lane);
                        self.stop_lane(key.lane);
                    } else {
                        lane.fill.forget(*key);
                    }
                }
                self.tell(SourceEvent::Revoked { partitions, discarded })
            }
            GroupEvent::Fenced { .. }
            | GroupEvent::Fatal { .. }
            | GroupEvent::ServedTooLate { .. }
            | GroupEvent::UnknownTopic { .. }
            | GroupEvent::Denied { .. }
            | GroupEvent::Trouble { .. } => self.tell(SourceEvent::Group(event)),
        }
    }

    /// Starts partitions whose takeover has ended, all at once; what the client refuses for now waits for the next round.
    fn start_pending(&mut self) -> Result<(), Ended> {
        let mut starts = Vec::new();
        for (key, assignment) in std::mem::take(&mut self.starts) {
            if let Some(offset) = self.lane(key.lane).fill.fetch_from(key) {
                starts.push(StartAt { key, assignment, offset });
            }
        }
        if starts.is_empty() {
            return Ok(());
        }
        let mut answers = self.consumer.start(&starts);
        for StartAt { key, assignment, .. } in starts {
            match answers.remove(&key) {
                Some(Ok(())) => drop(self.lane(key.lane).reading.insert(key)),
                Some(Err(StartError::NotOwned)) => {}
                None | Some(Err(StartError::NotYet(_))) => {
                    self.starts.insert(key, assignment);
                }
                Some(Err(StartError::Kafka(fault))) => self.on_fault(key, &fault)?,
            }
        }
        Ok(())
    }

    /// Starts the partitions of lanes whose schema has come.
    fn look_for_schemas(&mut self) {
        for lane in self.lanes.values_mut() {
            let Awaiting::Schema(schema) = lane.awaiting else { continue };
            if lane.fill.awaits(schema) {
                continue;
            }
            lane.awaiting = Awaiting::Starts;
            let filled = lane.assignments.iter().filter(|(key, _)| lane.fill.fetch_from(**key).is_some());
            self.starts.extend(filled.map(|(key, assignment)| (*key, *assignment)));
        }
    }

    /// Reads lanes again whose partitions were all started.
    fn end_waits(&mut self) -> Result<(), Ended> {
        let starting = |id: LaneId| self.starts.keys().any(|key| key.lane == id);
        let started =
            |(id, lane): (&LaneId, &Lane)| (lane.awaiting == Awaiting::Starts && !starting(*id)).then_some(*id);
        let over: Vec<LaneId> = self.lanes.iter().filter_map(started).collect();
        for id in over {
            self.lane(id).awaiting = Awaiting::Nothing;
            self.tell(SourceEvent::Awaiting(id, None))?;
        }
        Ok(())
    }

    /// Starts partitions again whose batch could not be read a while ago.
    fn try_unreadable(&mut self) {
        if self.unreadable.is_empty() || self.draining {
            return;
        }
        for key in self.unreadable.due(crate::clock::now()) {
            if let Some(assignment) = self.lane(key.lane).assignments.get(&key).copied() {
                self.starts.insert(key, assignment);
            }
        }
    }

    /// Tells which partitions of the lane can be read again.
    fn end_unreadable(&mut self, id: LaneId) -> Result<(), Ended> {
        if self.unreadable.is_empty() {
            return Ok(());
        }
        let fill = &self.lanes[&id].fill;
        for key in self.unreadable.read_past(id, |key| fill.next(key)) {
            self.tell(SourceEvent::Readable(key))?;
        }
        Ok(())
    }

    /// A partition cannot be fetched where it stands. Of a batch that cannot be read only the partition stands still, and is
    /// tried again by itself: its owner is as good as any other. One that the client has given up (its offset is outside the log)
    /// can only be had again by joining the group anew; then everything is assigned and taken over again.
    fn on_fault(&mut self, key: PartitionKey, fault: &KafkaFault) -> Result<(), Ended> {
        let lane = self.lane(key.lane);
        lane.reading.remove(&key);
        if fault.is_of_the_batch()
            && let Some(at) = lane.fill.next(key)
        {
            let pause = self.unreadable.failed(key, at, crate::clock::now());
            tracing::debug!(?key, ?pause, "a batch cannot be read");
            let text = fault.explained_by(self.consumer.response_bytes_max());
            return self.tell(SourceEvent::Unreadable(key, at, text));
        }
        if fault.needs_rejoin() {
            self.rejoin();
        }
        self.tell(SourceEvent::FetchFailed(key, fault.to_string()))
    }

    /// Takes offsets as settled that the client has read past without giving a record.
    fn pass(&mut self, keys: &[PartitionKey]) -> Result<(), Ended> {
        let lanes = &self.lanes;
        let reading = |key: &&PartitionKey| lanes.get(&key.lane).is_some_and(|lane| lane.reading.contains(key));
        let keys: Vec<PartitionKey> = keys.iter().filter(reading).copied().collect();
        if keys.is_empty() {
            return Ok(());
        }
        let now = crate::clock::now();
        for (key, position) in self.consumer.positions(&keys) {
            if let Some(passed) = self.lane(key.lane).fill.pass(key, position, now) {
                self.tell(SourceEvent::Passed(key, passed))?;
            }
        }
        Ok(())
    }

    fn rejoin(&mut self) {
        if !self.draining
            && let Err(error) = self.consumer.rejoin()
        {
            tracing::warn!(%error, "the group cannot be joined anew yet");
        }
    }

    fn may_read(&self, id: LaneId) -> bool {
        let readable = |lane: &Lane| lane.awaiting == Awaiting::Nothing && lane.fill.room() > 0;
        !self.draining && self.lanes.get(&id).is_some_and(readable)
    }

    /// Reads what the lane's block has room for. Gives how many items came.
    fn read(&mut self, id: LaneId, timeout: Duration) -> Result<usize, Ended> {
        if !self.may_read(id) {
            return Ok(0);
        }
        let lane = self.lanes.get_mut(&id).expect("lanes are fixed by the configuration");
        let batch = self.consumer.read(id, timeout, lane.fill.room().min(READ_MAX));
        let count = batch.len();
        if count > 0 {
            self.idle_rounds = 0;
        }
        let mut failed = Vec::new();
        let mut unusable = Vec::new();
        let mut awaiting = None;
        let mut lacking = None;
        let mut last: Option<Message<'_>> = None;
        for (number, message) in batch.iter().enumerate() {
            let previous = last.replace(message);
            if let Some(previous) = previous.filter(|previous| previous.partition() != message.partition()) {
                lane.fill.anchor(&previous);
            }
            let gone_before = |(key, _): &(PartitionKey, KafkaFault)| key.partition == message.partition();
            if failed.iter().any(gone_before) {
                // The client goes on behind a damaged batch; the records there come again once that is read.
                last = previous;
                continue;
            }
            if let Some(fault) = message.error() {
                failed.push((PartitionKey { lane: id, partition: message.partition() }, fault));
                last = previous;
                continue;
            }
            match lane.fill.take(&message) {
                Taken::Done => {}
                Taken::Unusable(reason) => {
                    unusable.push((PartitionKey { lane: id, partition: message.partition() }, reason));
                }
                Taken::Awaiting(schema) => {
                    awaiting = Some((PartitionKey { lane: id, partition: message.partition() }, schema));
                    lane.awaiting = Awaiting::Schema(schema);
                    last = previous;
                    lane.fill.ask_ahead(batch.iter().skip(number + 1));
                    break;
                }
                Taken::Lacking(columns) => {
                    lacking = Some((PartitionKey { lane: id, partition: message.partition() }, columns));
                    lane.awaiting = Awaiting::Columns;
                    last = previous;
                    break;
                }
            }
        }
        if let Some(previous) = last {
            lane.fill.anchor(&previous);
        }
        if lane.awaiting != Awaiting::Nothing {
            // Records that the client has given were not taken.
            lane.reading.clear();
        }
        if awaiting.is_some() {
            self.tell(SourceEvent::Awaiting(id, awaiting))?;
        }
        if let Some((key, columns)) = lacking {
            self.tell(SourceEvent::Lacking(key, columns))?;
        }
        for (key, reason) in unusable {
            if let Some(assignment) = self.lane(id).assignments.get(&key).copied() {
                self.stop_lane(id);
                self.tell(SourceEvent::Unusable(key, assignment, reason))?;
            }
        }
        for (key, fault) in failed {
            // The client's own position is wrong after an error item (librdkafka issue 4844): it must be started again
            // before the group is served.
            self.pause(&[key]);
            self.on_fault(key, &fault)?;
        }
        self.end_unreadable(id)?;
        Ok(count)
    }

    fn close_if_due(&mut self, id: LaneId) -> Result<(), Ended> {
        let now = crate::clock::now();
        let lane = self.lane(id);
        if lane.outstanding < LANE_BLOCKS_MAX && lane.fill.is_due(now) {
            self.close(id, now)?;
        }
        Ok(())
    }

    fn tell_if_held(&mut self, id: LaneId) -> Result<(), Ended> {
        let lane = self.lane(id);
        let held = lane.outstanding >= LANE_BLOCKS_MAX && lane.fill.room() == 0;
        if std::mem::replace(&mut lane.held, held) == held {
            return Ok(());
        }
        self.tell(SourceEvent::Held(id, held))
    }

    fn close(&mut self, id: LaneId, now: Instant) -> Result<(), Ended> {
        // A transaction's records are followed by its marker: one block, and one commit, for both.
        let lane = self.lane(id);
        let keys: Vec<PartitionKey> = lane.reading.iter().filter(|key| lane.fill.holds(**key)).copied().collect();
        self.pass(&keys)?;
        let number = BlockNumber(self.next_block + 1);
        let Some(block) = self.lane(id).fill.close(number, now) else { return Ok(()) };
        self.next_block += 1;
        self.lane(id).outstanding += 1;
        let held: usize = self.lanes.values().map(|lane| lane.fill.heap_bytes()).sum();
        let bytes = held + block.columns.values().map(Columns::heap_bytes).sum::<usize>();
        self.memory.store(u64::try_from(bytes).unwrap_or(u64::MAX), Ordering::Relaxed);
        self.tell(SourceEvent::Block(Box::new(block)))
    }

    /// The channel holds far more than can be under way, so this does not wait but for a pipeline that is stuck.
    fn tell(&self, event: SourceEvent) -> Result<(), Ended> {
        self.events.blocking_send(event).map_err(|_| Ended)
    }
}
