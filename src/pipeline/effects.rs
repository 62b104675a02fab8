//! What the protocol's actions mean outside: questions to Kafka, statements for ClickHouse.
//!
//! Every method answers with what the protocol's event needs; an error is its text. Nothing here is tried again: the
//! protocol decides that.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use crate::clickhouse::codes::Disposition;
use crate::clickhouse::{ControlError, LaneTables, Session, Table};
use crate::commit::metadata;
use crate::config::Start;
use crate::decode::NewColumn;
use crate::insert::{Outcome, Refusal, Writer};
use crate::ledger;
use crate::metrics::LaneMetrics;
use crate::ownership::{self, LookFrom, ToClaim};
use crate::pipeline::lag::LogEnd;
use crate::pipeline::offset_version::OffsetVersions;
use crate::pipeline::routes::OutdatedNotice;
use crate::pipeline::server_values::ServerValues;
use crate::protocol::event::{Failure, InsertEnd, ServerError, ServerErrorKind};
use crate::protocol::facts::{Claimed, CommittedOffset, Facts, Presence, StoredFacts};
use crate::protocol::halt::HaltReason;
use crate::source::handle::{GroupHandle, PerPartition};
use crate::source::{KafkaFault, StoredOffset, TopicIdentity};
use crate::types::{LaneId, Offset, OffsetRange, Partition, PartitionKey, Replay, TopicId};

/// For each question to Kafka. A stable read of offsets waits for a transaction that its owner left open, which the
/// broker ends within `transaction.timeout.ms`; what takes longer is asked again.
const KAFKA_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a drain waits for statements before it says so and starts over.
const DRAIN_DEADLINE: Duration = Duration::from_secs(60);

/// A lane as the statements need it.
#[derive(Debug)]
pub(super) struct LaneEffects {
    /// Names of its tables and columns.
    pub(super) tables: LaneTables,
    /// Its tables as they were when the lane was built; its own first.
    pub(super) targets: Vec<Table>,
    /// What only the server can make, for each of its tables.
    pub(super) server_values: Vec<ServerValues>,
    /// Where a partition begins that nobody consumed yet.
    pub(super) start: Start,
    /// One of its tables removes rows by itself (TTL): absent rows prove nothing.
    pub(super) rows_expire: bool,
    /// Every table of a route that any configuration of this connector has claimed for the topic, when the lane was built;
    /// those that are gone since too.
    pub(super) known_routes: BTreeSet<String>,
    /// Tables of it in which an offset decides which row is newer.
    pub(super) offset_versions: OffsetVersions,
    /// Its metrics.
    pub(super) metrics: LaneMetrics,
}

/// The outside world of one consumer's life.
#[derive(Debug)]
pub(super) struct Effects {
    session: Mutex<Arc<Session>>,
    group: GroupHandle,
    pub(super) writer: Writer,
    pub(super) lanes: BTreeMap<LaneId, LaneEffects>,
    outdated: OutdatedNotice,
    table_doubts: Notify,
    /// Columns that records ask for.
    wanted_columns: Mutex<BTreeMap<LaneId, Vec<NewColumn>>>,
}

impl Effects {
    /// The outside world, with a session that was just opened.
    pub(super) fn new(
        session: Session,
        group: GroupHandle,
        writer: Writer,
        lanes: BTreeMap<LaneId, LaneEffects>,
        outdated: OutdatedNotice,
    ) -> Self {
        let (table_doubts, wanted_columns) = (Notify::new(), Mutex::default());
        Self { session: Mutex::new(Arc::new(session)), group, writer, lanes, outdated, table_doubts, wanted_columns }
    }

    /// Keeps a sample of records that a partition stopped for. Where it cannot be kept that is said, and no more.
    pub(super) async fn keep_sample(&self, statement: &str) {
        let session = self.session();
        if let Err(error) = session.execute("keeping a sample of records that cannot be stored", statement).await {
            tracing::warn!(%error, "no sample is kept of the records that a partition stopped for");
        }
    }

    pub(super) fn lane(&self, id: LaneId) -> &LaneEffects {
        self.lanes.get(&id).expect("lanes are fixed by the configuration")
    }

    /// Notified when an insert ended as if its table had been changed.
    pub(super) fn table_doubts(&self) -> &Notify {
        &self.table_doubts
    }

    /// Has the table watch add columns that a record of the lane asks for.
    pub(super) fn want_columns(&self, id: LaneId, columns: Vec<NewColumn>) {
        self.wanted_columns.lock().unwrap_or_else(PoisonError::into_inner).insert(id, columns);
        self.table_doubts.notify_one();
    }

    /// The columns that records ask for, by lane.
    pub(super) fn wanted_columns(&self) -> BTreeMap<LaneId, Vec<NewColumn>> {
        self.wanted_columns.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn session(&self) -> Arc<Session> {
        Arc::clone(&self.session.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The server may have been restarted with another profile or version since: asks anew what has to be pinned.
    async fn reopen_session(&self) -> Result<Arc<Session>, ControlError> {
        let fresh = Arc::new(Session::open(self.session().server().clone()).await?);
        *self.session.lock().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&fresh);
        Ok(fresh)
    }

    /// Asks Kafka something, on a thread that may wait.
    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&GroupHandle) -> Result<T, KafkaFault> + Send + 'static,
    ) -> Result<T, Failure> {
        let group = self.group.clone();
        tokio::task::spawn_blocking(move || question(&group))
            .await
            .expect("a question to Kafka panicked")
            .map_err(|fault| fault.to_string())
    }

    /// Everything that decides where these partitions go on. The group's offsets before the state tables, and stable:
    /// whatever is read after them is at least as new. The topic's id before and after: what lies between belongs to one
    /// topic. A partition of which Kafka cannot say something, as one without a leader, is left out: the others go on.
    pub(super) async fn read_facts(
        &self,
        id: LaneId,
        keys: &[PartitionKey],
    ) -> Result<BTreeMap<PartitionKey, Result<Facts, HaltReason>>, Failure> {
        let topic_id = self.topic_id(id).await?;
        let wanted = keys.to_vec();
        let mut committed = self.ask(move |group| group.committed(&wanted, KAFKA_TIMEOUT)).await?;
        let wanted = keys.to_vec();
        let mut logs = self.ask(move |group| group.logs(&wanted, KAFKA_TIMEOUT)).await?;
        let mut timed = self.offsets_at_start(id, keys).await?;
        let lane = self.lane(id);
        let session = self.reopen_session().await.map_err(|error| error.to_string())?;
        let partitions: Vec<Partition> = keys.iter().map(|key| key.partition).collect();
        let mut stored = ledger::stored_facts(&session, &lane.tables, &partitions, !lane.rows_expire)
            .await
            .map_err(|error| error.to_string())?;
        if self.topic_id(id).await? != topic_id {
            return Err(format!("topic {} was made anew meanwhile", self.group.topic(id)));
        }
        let mut facts_of_one = |key: PartitionKey| {
            let log = answer(&mut logs, key)?;
            let stored_offset = answer(&mut committed, key)?;
            let stored = stored.remove(&key).unwrap_or_default();
            let start = match (lane.start, &mut timed) {
                (Start::Latest, _) => log.end(),
                (Start::Timestamp(_), Some(timed)) => answer(timed, key)?.unwrap_or(log.end()),
                (Start::Earliest | Start::Timestamp(_), _) => log.start(),
            };
            Ok::<_, Failure>(facts_of(topic_id, log, start, stored_offset, stored))
        };
        let (mut facts, mut failure) = (BTreeMap::new(), None);
        for key in keys {
            match facts_of_one(*key) {
                Ok(found) => drop(facts.insert(*key, found)),
                Err(text) => {
                    lane.metrics.takeover_failed("read", &text);
                    failure = Some(text);
                }
            }
        }
        failure.filter(|_| facts.is_empty()).map_or(Ok(facts), Err)
    }

    async fn offsets_at_start(
        &self,
        id: LaneId,
        keys: &[PartitionKey],
    ) -> Result<Option<PerPartition<Option<Offset>>>, Failure> {
        let Start::Timestamp(time) = self.lane(id).start else { return Ok(None) };
        let (wanted, time_ms) = (keys.to_vec(), time.as_millisecond());
        self.ask(move |group| group.offsets_at(&wanted, time_ms, KAFKA_TIMEOUT)).await.map(Some)
    }

    /// The identity of the lane's topic now.
    pub(super) async fn topic_id(&self, id: LaneId) -> Result<Option<TopicId>, Failure> {
        match self.ask(move |group| group.topic_identity(id, KAFKA_TIMEOUT)).await? {
            TopicIdentity::Id(topic_id) => Ok(Some(topic_id)),
            TopicIdentity::WithoutId => Ok(None),
            TopicIdentity::Unknown => Err(format!("topic {} does not exist", self.group.topic(id))),
        }
    }

    /// Where partitions end now; what cannot be learned is left out.
    pub(super) async fn log_ends(&self, keys: Vec<PartitionKey>) -> BTreeMap<PartitionKey, LogEnd> {
        let ends = self.ask(move |group| group.ends(&keys, KAFKA_TIMEOUT)).await.unwrap_or_default();
        let known = ends.into_iter().filter_map(|(key, end)| Some((key, end.ok()?)));
        known.map(|(key, (stable, high_watermark))| (key, LogEnd { stable, high_watermark })).collect()
    }

    /// When the server was started, in seconds since 1970, give or take one; `None` if it does not answer.
    pub(super) async fn server_started(&self) -> Option<i64> {
        #[derive(clickhouse::Row, serde::Deserialize)]
        struct Started {
            unix_s: i64,
        }
        let question = "SELECT toInt64(toUnixTimestamp(now())) - toInt64(uptime()) AS unix_s";
        let rows: Vec<Started> = self.session().fetch("asking when the server was started", question).await.ok()?;
        rows.first().map(|started| started.unix_s)
    }

    /// Claims partitions of a lane.
    pub(super) async fn claim(
        &self,
        id: LaneId,
        members: &BTreeMap<PartitionKey, (Option<TopicId>, Replay)>,
    ) -> Result<Claimed, Failure> {
        let wanted: Vec<ToClaim> = members
            .iter()
            .map(|(key, (topic_id, replay))| ToClaim { partition: key.partition, topic_id: *topic_id, replay: *replay })
            .collect();
        let (lane, session) = (self.lane(id), self.session());
        let owner = &self.writer.owner;
        let claimed =
            ownership::claim(&session, &lane.tables, &wanted, lane.targets[0].uuid, owner, rand::random::<u64>)
                .await
                .map_err(|error| error.to_string())?;
        let replays = members.iter().map(|(key, (_, replay))| (key.partition, *replay));
        lane.offset_versions.warn(&lane.tables.cell.topic, replays);
        // A person may have begun a new replay after the facts were read; from the claim on nobody else can.
        let partitions: Vec<Partition> = members.keys().map(|key| key.partition).collect();
        let stored = ledger::stored_facts(&session, &lane.tables, &partitions, false)
            .await
            .map_err(|error| error.to_string())?;
        // Another process may run with other routes: its rows are in tables that this one does not look into yet.
        let routes = ownership::known_routes(&session, &lane.tables).await.map_err(|error| error.to_string())?;
        let configured = |route: &String| lane.tables.routes.iter().any(|table| table.to_string() == *route);
        if let Some(route) = routes.iter().find(|route| !lane.known_routes.contains(*route) && !configured(route)) {
            let what = format!("topic {} has a route into {route}", lane.tables.cell.topic);
            self.outdated.notice(what.clone());
            return Err(what + ", which another process runs with");
        }
        let outdated = members.iter().any(|(key, (_, replay))| {
            let known = stored.get(key).and_then(|stored| stored.identity);
            known.is_some_and(|known| known.replay > *replay)
        });
        if outdated { Err("a new replay was begun meanwhile".to_owned()) } else { Ok(claimed) }
    }

    /// Waits for every statement of this connector that runs now.
    pub(super) async fn drain(&self, id: LaneId) -> Result<(), Failure> {
        let waited_for = ownership::drain(&self.session(), &self.writer.prefix, DRAIN_DEADLINE)
            .await
            .map_err(|error| error.to_string())?;
        self.lane(id).metrics.drained(u64::try_from(waited_for).unwrap_or(u64::MAX));
        Ok(())
    }

    /// Whether no part of the replicated target is uncertain.
    pub(super) async fn settle(&self, id: LaneId) -> Result<bool, Failure> {
        ownership::parts_are_certain(&self.session(), &self.lane(id).tables).await.map_err(|error| error.to_string())
    }

    /// The units present from an offset on.
    pub(super) async fn look(
        &self,
        id: LaneId,
        from: &BTreeMap<PartitionKey, (Offset, Replay)>,
    ) -> Result<BTreeMap<PartitionKey, Presence>, Failure> {
        let lane = self.lane(id);
        let wanted: Vec<LookFrom> = from
            .iter()
            .map(|(key, (from, replay))| LookFrom { partition: key.partition, replay: *replay, from: *from })
            .collect();
        let look = ownership::look(&self.session(), &lane.tables, &wanted).await.map_err(|error| error.to_string())?;
        for (key, rows) in &look.doubled {
            tracing::error!(
                topic = lane.tables.cell.topic, partition = %key.partition, table = %lane.tables.cell.target, %rows,
                "the target holds offsets more than once: somebody else writes rows with our coordinates"
            );
        }
        Ok(look.presence)
    }
}

/// One partition's answer out of many.
fn answer<T>(answers: &mut PerPartition<T>, key: PartitionKey) -> Result<T, Failure> {
    match answers.remove(&key) {
        Some(Ok(answer)) => Ok(answer),
        Some(Err(fault)) => Err(fault.to_string()),
        None => Err(format!("kafka said nothing of partition {}", key.partition)),
    }
}

fn facts_of(
    topic_id: Option<TopicId>,
    log: OffsetRange,
    start: Offset,
    committed: Option<StoredOffset>,
    stored: StoredFacts,
) -> Result<Facts, HaltReason> {
    let committed = match committed {
        None => None,
        Some(found) => Some(CommittedOffset {
            offset: found.offset,
            metadata: metadata::decode(&found.metadata).or_else(|error| match error {
                metadata::MetadataError::Newer { .. } => Err(HaltReason::NewerMetadata),
                // Bytes that were ours and are damaged: as if a foreign tool had moved the offset.
                metadata::MetadataError::Damaged { .. } => Ok(None),
            })?,
        }),
    };
    Ok(Facts { topic_id, log, start, committed, stored })
}

/// An outcome in the protocol's words.
pub(super) fn end_of(outcome: Outcome) -> InsertEnd {
    match outcome {
        Outcome::Acknowledged => InsertEnd::Acknowledged,
        Outcome::Refused(Refusal::Fenced) => InsertEnd::Fenced,
        Outcome::Refused(Refusal::Short) => InsertEnd::Short,
        Outcome::Refused(Refusal::Present) => InsertEnd::Present,
        Outcome::Refused(Refusal::TableChanged) => InsertEnd::TableChanged,
        Outcome::Ended { code, text, disposition } => {
            let kind = match disposition {
                Disposition::Backoff => ServerErrorKind::Passing,
                Disposition::Other => ServerErrorKind::Doubtful,
                Disposition::PermanentForBytes => ServerErrorKind::Bytes,
                Disposition::Configuration => ServerErrorKind::Configuration,
            };
            InsertEnd::Ended(ServerError { code, text, kind })
        }
        Outcome::TooLarge { why } => InsertEnd::TooLarge(why),
        Outcome::Unknown { why } => InsertEnd::Unknown(why),
    }
}
