//! The driver: feeds events to the protocol and carries its actions out. It decides nothing itself.
//!
//! Every action becomes a task, a job of the committing thread, or a command for the polling thread; each answers with
//! one event. Tasks live in one `JoinSet`, so that a panic in any of them ends the process instead of a partition.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use crate::admin::Heartbeat;
use crate::clickhouse::codes;
use crate::commit::transactions::{BuildEnd, Job, TransactionEnd as KafkaEnd, TransactionThread};
use crate::failpoint;
use crate::pipeline::blocks::BlockStore;
use crate::pipeline::effects::Effects;
use crate::pipeline::lag::LogEnd;
use crate::pipeline::report::{Report, stores_block};
use crate::price;
use crate::protocol::action::{Action, Delay, Released};
use crate::protocol::event::{Event, InsertEnd, ProducerEnd, Ticket, TransactionEnd, TransactionNumber};
use crate::protocol::state::State;
use crate::protocol::step;
use crate::source::poll_loop::{Command, SourceEvent};
use crate::types::PartitionKey;

/// The shortest pause after a failure, and the longest.
const BACKOFF_MIN: Duration = Duration::from_millis(50);
const BACKOFF_MAX: Duration = Duration::from_secs(10);
/// The pause where a person has to act first.
const SLOW_PAUSE: Duration = Duration::from_secs(10);
/// How long a lane in search goes without a block before the records are taken for gone.
const IDLE_PAUSE: Duration = Duration::from_secs(5);

/// How often the servers are asked what nobody waits for: where partitions end, when ClickHouse was started.
const WATCH_INTERVAL: Duration = Duration::from_secs(2);
/// The server's start is told to the second, and the division of two clocks may differ by one.
const START_TOLERANCE_S: i64 = 2;

/// Why the driver ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Ended {
    /// It was asked to, and everything under way is finished.
    Stopped,
    /// It was asked to, and not everything was finished in time: the next start takes over.
    StoppedLate,
    /// Another process runs under the same instance name.
    DuplicateInstance(String),
    /// The consumer cannot go on and must be built anew.
    ConsumerFailed(String),
}

/// The driver of one consumer's life.
#[derive(Debug)]
pub(super) struct Driver {
    state: Option<State>,
    effects: Arc<Effects>,
    blocks: BlockStore,
    report: Report,
    tasks: JoinSet<Event>,
    /// Samples of records that partitions stopped for, on their way into their table.
    samples: JoinSet<()>,
    commands: std::sync::mpsc::SyncSender<Command>,
    transactions: TransactionThread,
    alert_topic: Option<Arc<str>>,
    memory: Arc<AtomicU64>,
    server_started: Option<i64>,
    ended: Option<Ended>,
}

/// What the servers said of themselves.
struct Watched {
    log_ends: BTreeMap<PartitionKey, LogEnd>,
    server_started: Option<i64>,
}

/// The question under way.
type Watching = Pin<Box<dyn Future<Output = Watched> + Send>>;

impl Driver {
    /// A driver over a state that nothing has happened to.
    pub(super) fn new(
        state: State,
        effects: Arc<Effects>,
        report: Report,
        commands: std::sync::mpsc::SyncSender<Command>,
        transactions: TransactionThread,
        alert_topic: Option<&str>,
        memory: Arc<AtomicU64>,
    ) -> Self {
        Self {
            state: Some(state),
            effects,
            blocks: BlockStore::default(),
            report,
            tasks: JoinSet::new(),
            samples: JoinSet::new(),
            commands,
            transactions,
            alert_topic: alert_topic.map(Arc::from),
            memory,
            server_started: None,
            ended: None,
        }
    }

    /// Runs until the process is to end. `stop` resolves when a person asks for it.
    pub(super) async fn run(
        mut self,
        mut source: mpsc::Receiver<SourceEvent>,
        mut stop: oneshot::Receiver<()>,
        drain_timeout: Duration,
        heartbeat: Heartbeat,
    ) -> Ended {
        let mut tick = tokio::time::interval(Duration::from_secs(1));
        let mut deadline = std::pin::pin!(tokio::time::sleep(Duration::MAX));
        let mut stopping = false;
        let mut watch = tokio::time::interval(WATCH_INTERVAL);
        let mut watching: Option<Watching> = None;
        self.feed(Event::Started);
        loop {
            if let Some(ended) = self.ended.take() {
                self.send(Command::Exit);
                return ended;
            }
            tokio::select! {
                event = source.recv() => match event {
                    Some(event) => self.on_source(event),
                    None => return Ended::ConsumerFailed("the polling thread has ended".to_owned()),
                },
                Some(event) = self.tasks.join_next() => {
                    self.feed(event.expect("a task of the pipeline panicked"));
                }
                _ = tick.tick() => {
                    heartbeat.beat();
                    self.publish();
                }
                _ = watch.tick(), if watching.is_none() => watching = Some(self.watch()),
                watched = async { watching.as_mut().expect("checked by the guard").await }, if watching.is_some() => {
                    watching = None;
                    self.on_watched(watched);
                }
                _ = &mut stop, if !stopping => {
                    stopping = true;
                    self.report.stopping(drain_timeout);
                    deadline.as_mut().reset(tokio::time::Instant::from_std(crate::clock::now() + drain_timeout));
                    self.send(Command::Drain);
                }
                () = &mut deadline, if stopping => {
                    self.send(Command::Exit);
                    return Ended::StoppedLate;
                }
            }
        }
    }

    fn watch(&self) -> Watching {
        let (effects, keys) = (Arc::clone(&self.effects), self.report.keys());
        Box::pin(async move {
            let log_ends = effects.log_ends(keys).await;
            Watched { log_ends, server_started: effects.server_started().await }
        })
    }

    fn on_watched(&mut self, watched: Watched) {
        // Records on their way, or offsets that hold none: the polling thread knows.
        let behind = self.report.log_ends(&watched.log_ends);
        if !behind.is_empty() {
            self.send(Command::Pass(behind));
        }
        let Some(now) = watched.server_started else { return };
        let before = self.server_started.replace(now);
        if before.is_some_and(|before| (now - before).abs() > START_TOLERANCE_S) {
            tracing::warn!("clickhouse was started anew: comparing its tables with the ledger");
            self.feed(Event::ServerRestarted);
        }
    }

    fn publish(&mut self) {
        let state = self.state.as_ref().expect("the state is put back after every step");
        self.report.publish(state, self.memory.load(Ordering::Relaxed));
    }

    fn on_source(&mut self, event: SourceEvent) {
        match event {
            SourceEvent::Assigned(partitions) => {
                self.report.assigned(partitions.keys());
                self.feed(Event::Assigned(partitions));
            }
            SourceEvent::Revoked { partitions, discarded } => {
                self.report.revoked(&partitions);
                self.feed(Event::Revoked { partitions, discarded });
            }
            SourceEvent::Block(mut block) => {
                let summary = block.summary.clone();
                let account = self.report.block_closed(&mut block);
                self.blocks.store(*block, account);
                self.feed(Event::BlockClosed(summary));
            }
            SourceEvent::Unreadable(key, at, text) => self.report.unreadable(key, at, text),
            SourceEvent::Readable(key) => self.report.readable(key),
            SourceEvent::FetchFailed(key, text) => {
                self.report.fetch_failed(key, &text);
                self.feed(Event::FetchFailed(key, text));
            }
            SourceEvent::Unusable(key, assignment, reason) => {
                self.feed(Event::Unusable(key, assignment, reason));
            }
            SourceEvent::Passed(key, range) => self.report.passed(key, range),
            SourceEvent::Held(lane, held) => self.report.held(lane, held),
            SourceEvent::Awaiting(lane, awaiting) => self.report.awaiting(lane, awaiting),
            SourceEvent::Lacking(key, columns) => {
                self.report.lacking(key, &columns);
                self.effects.want_columns(key.lane, columns);
            }
            SourceEvent::Drained => self.feed(Event::Stop),
            SourceEvent::Group(event) => {
                if let Some(ended) = self.report.group_event(event) {
                    self.ended = Some(ended);
                }
            }
        }
    }

    fn feed(&mut self, event: Event) {
        self.report.event(&event);
        if let Event::Inserted(block, table, end) = &event
            && stores_block(*table, end)
            && let Some(block) = self.blocks.get_mut(*block)
        {
            self.report.stored(block);
        }
        if let Event::Inserted(block, table, end) = &event
            && let Some(summary) = self.blocks.get_mut(*block).map(|block| &block.summary)
        {
            self.report.inserted(summary, *table, end);
            if let InsertEnd::Ended(error) = end
                && codes::is_key_twice(error.code, &error.text)
            {
                let lane = summary.lane;
                self.send(Command::WantSingleKeys(lane));
            }
        }
        let state = self.state.take().expect("the state is put back after every step");
        let (state, actions) = step(state, event);
        self.state = Some(state);
        for action in actions {
            self.perform(action);
        }
        self.report.event_done();
    }

    fn perform(&mut self, action: Action) {
        let effects = Arc::clone(&self.effects);
        match action {
            Action::BuildProducer => self.build_producer(),
            Action::ReadFacts(number, lane, members) => {
                let keys: Vec<PartitionKey> = members.into_keys().collect();
                self.spawn(async move {
                    let read = failpoint::between("before_facts", effects.read_facts(lane, &keys), "after_facts");
                    Event::FactsRead(number, read.await)
                });
            }
            Action::Prove(number, offsets) => self.run_transaction(number, offsets, Vec::new(), true),
            Action::Commit(number, offsets, alerts) => {
                let alerts = self.blocks.alerts(&alerts, self.alert_topic.as_ref());
                self.run_transaction(number, offsets, alerts, false);
            }
            Action::Claim(number, lane, members) => self.spawn(async move {
                let claimed = failpoint::between("before_claim", effects.claim(lane, &members), "after_claim");
                Event::Claimed(number, claimed.await)
            }),
            Action::Drain(number, lane) => self.spawn(async move {
                let drained = failpoint::between("before_drain", effects.drain(lane), "after_drain");
                Event::Drained(number, drained.await)
            }),
            Action::Settle(number, lane) => {
                self.spawn(async move { Event::Settled(number, effects.settle(lane).await) });
            }
            Action::Look(number, lane, from) => self.spawn(async move {
                let looked = failpoint::between("before_look", effects.look(lane, &from), "after_look");
                Event::Looked(number, looked.await)
            }),
            Action::Resume(resume) => self.send(Command::Resume(resume)),
            Action::StopLane(lane) => self.send(Command::StopLane(lane)),
            Action::LimitRows(lane, limit) => {
                self.send(Command::LimitRows(lane, limit));
            }
            Action::LimitBytes(lane, limit) => {
                self.report.bytes_limited(lane, limit);
                self.send(Command::LimitBytes(lane, limit));
            }
            Action::CheckTopic(block, lane) => self.spawn(async move {
                let checked = failpoint::between("before_topic_check", effects.topic_id(lane), "after_topic_check");
                Event::TopicChecked(block, checked.await)
            }),
            Action::Insert(insert) => {
                for row in insert.ledger.iter().filter(|row| row.views_unverified) {
                    self.report.views_unverified(row.key, row.range);
                }
                let contents = self.blocks.contents(insert.block, insert.table);
                let commands = self.commands.clone();
                self.spawn(async move {
                    let (block, table) = (insert.block, insert.table);
                    let end = effects.insert(*insert, contents, &commands).await;
                    Event::Inserted(block, table, end)
                });
            }
            Action::Release(block, how) => {
                if let Some(released) = self.blocks.release(block) {
                    match how {
                        Released::Committed => self.report.committed(&released),
                        Released::Dropped => self.report.dropped(&released),
                    }
                    self.send(Command::Released(released.summary.lane));
                }
            }
            Action::Pause(ticket, delay) => self.pause(ticket, delay),
            Action::Halt(key, reason) => {
                if let Some(statement) = self.report.halted(key, &reason) {
                    while let Some(kept) = self.samples.try_join_next() {
                        kept.expect("keeping a sample panicked");
                    }
                    // Of no consequence to the protocol, so it waits for nothing of this.
                    self.samples.spawn(async move { effects.keep_sample(&statement).await });
                }
            }
            Action::Note(note) => self.report.note(note),
            Action::Finished => self.ended = Some(Ended::Stopped),
            Action::ExitDuplicateInstance(text) => self.ended = Some(Ended::DuplicateInstance(text)),
        }
    }

    fn spawn(&mut self, task: impl Future<Output = Event> + Send + 'static) {
        self.tasks.spawn(task);
    }

    fn pause(&mut self, ticket: Ticket, delay: Delay) {
        let pause = pause_of(delay);
        self.spawn(async move {
            tokio::time::sleep(pause).await;
            Event::PauseOver(ticket)
        });
    }

    /// Never waits: the channel holds more than the protocol can have under way.
    fn send(&mut self, command: Command) {
        if let Err(std::sync::mpsc::TrySendError::Full(command)) = self.commands.try_send(command) {
            panic!("the polling thread does not take commands any more: {command:?}");
        }
    }

    fn submit<T: Send + 'static>(
        &mut self,
        job: impl FnOnce(Box<dyn FnOnce(T) + Send>) -> Job,
        event: impl FnOnce(T) -> Event + Send + 'static,
    ) {
        let (reply, answer) = oneshot::channel();
        let job = job(Box::new(move |end| {
            // Nobody listens any more when the process is about to end.
            drop(reply.send(end));
        }));
        self.transactions.submit(job).expect("the protocol runs one transaction at a time");
        self.spawn(async move { event(answer.await.expect("the committing thread has panicked")) });
    }

    fn build_producer(&mut self) {
        self.submit(
            |reply| Job::Build { reply },
            |end| {
                Event::ProducerBuilt(match end {
                    BuildEnd::Built => ProducerEnd::Ready,
                    BuildEnd::Failed { text, retry: _ } => ProducerEnd::Failed(text),
                    BuildEnd::Fenced { text } => ProducerEnd::Fenced(text),
                })
            },
        );
    }

    fn run_transaction(
        &mut self,
        number: TransactionNumber,
        offsets: BTreeMap<PartitionKey, crate::protocol::action::Commit>,
        alerts: Vec<crate::commit::transactions::AlertMessage>,
        proof: bool,
    ) {
        let partitions = offsets.len();
        let offsets = offsets
            .into_iter()
            .map(|(key, commit)| {
                let crate::protocol::action::Commit { assignment: number, offset, metadata } = commit;
                (key, crate::commit::transactions::OffsetCommit { number, offset, metadata })
            })
            .collect();
        let transaction = crate::commit::transactions::Transaction { offsets, alerts };
        if let Err(text) = failpoint::reach(if proof { "before_proof" } else { "before_commit" }) {
            return self.spawn(async move { Event::TransactionEnded(number, TransactionEnd::Rejected(text)) });
        }
        if !proof && price::without("transaction") {
            return self.spawn(async move { Event::TransactionEnded(number, TransactionEnd::Committed) });
        }
        let began = crate::clock::now();
        let report = self.report.transactions();
        self.submit(
            |reply| Job::Run { transaction, reply },
            move |end| {
                let end = end_of(end);
                report.transaction_ended(&end, partitions, crate::clock::now() - began);
                let reached = failpoint::reach(if proof { "after_proof" } else { "after_commit" });
                Event::TransactionEnded(number, reached.map_or_else(TransactionEnd::Ambiguous, |()| end))
            },
        );
    }
}

fn end_of(end: KafkaEnd) -> TransactionEnd {
    match end {
        KafkaEnd::Committed { recycle: false } => TransactionEnd::Committed,
        KafkaEnd::Committed { recycle: true } => TransactionEnd::CommittedSlowly,
        KafkaEnd::NotOwned(keys) => TransactionEnd::NotOwned(keys),
        KafkaEnd::Rejected { text: _, replaced: true } => TransactionEnd::InstanceReplaced,
        KafkaEnd::Rejected { text, replaced: false } | KafkaEnd::AlertsFailed { text } => {
            TransactionEnd::Rejected(text)
        }
        KafkaEnd::Ambiguous { text } | KafkaEnd::Fatal { text, fenced: false } => TransactionEnd::Ambiguous(text),
        KafkaEnd::Fatal { text, fenced: true } => TransactionEnd::Fenced(text),
    }
}

/// Doubles with each failure in a row; the first retry is at once.
fn pause_of(delay: Delay) -> Duration {
    match delay {
        Delay::Backoff(0) => Duration::ZERO,
        Delay::Backoff(failures) => {
            BACKOFF_MIN.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(BACKOFF_MAX)
        }
        Delay::Slow => SLOW_PAUSE,
        Delay::Idle => IDLE_PAUSE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_bound() {
        let check = |delay, expected_ms: u64| {
            assert_eq!(pause_of(delay), Duration::from_millis(expected_ms), "{delay:?}");
        };
        check(Delay::Backoff(0), 0);
        check(Delay::Backoff(1), 50);
        check(Delay::Backoff(2), 100);
        check(Delay::Backoff(9), 10_000);
        check(Delay::Backoff(u32::MAX), 10_000);
        check(Delay::Slow, 10_000);
        check(Delay::Idle, 5_000);
    }
}
