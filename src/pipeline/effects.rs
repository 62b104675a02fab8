//! What the protocol's actions mean outside: questions to Kafka, statements for ClickHouse.
//!
//! Every method answers with what the protocol's event needs; an error is its text. Nothing here is tried again: the
//! protocol decides that.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::clickhouse::{LaneTables, Session, TableName};
use crate::commit::metadata;
use crate::config::Start;
use crate::failpoint;
use crate::insert::{Body, Condition, Expected, InputColumn, Insert, InsertRequest, Outcome, Refusal, Writer};
use crate::ledger;
use crate::metrics::LaneMetrics;
use crate::ownership;
use crate::pipeline::blocks::{Contents, body_bytes};
use crate::protocol::action;
use crate::protocol::event::{Failure, InsertEnd, ServerError, ServerErrorKind, Table};
use crate::protocol::facts::{Claimed, CommittedOffset, Facts, LedgerRow, Presence, StoredFacts};
use crate::protocol::halt::HaltReason;
use crate::source::handle::GroupHandle;
use crate::source::poll_loop::Command;
use crate::source::{KafkaFault, TopicIdentity};
use crate::types::{LaneId, Offset, OffsetRange, PartitionKey, Replay, TopicId};

/// For each question to Kafka. A stable read of offsets waits for a transaction that its owner left open, which the
/// broker ends within `transaction.timeout.ms`; what takes longer is asked again.
const KAFKA_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a drain waits for statements before it says so and starts over.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(60);

/// A lane as the statements need it.
#[derive(Debug)]
pub struct LaneEffects {
    /// Names of its tables and columns.
    pub tables: LaneTables,
    /// The target's unique id.
    pub table_uuid: uuid::Uuid,
    /// Default expressions that only the server can evaluate, by column.
    pub server_defaults: BTreeMap<String, String>,
    /// Where a partition begins that nobody consumed yet.
    pub start: Start,
    /// The target has row TTL or an engine that removes rows by itself: absent rows prove nothing.
    pub rows_may_vanish: bool,
    /// Its metrics.
    pub metrics: LaneMetrics,
}

/// The outside world of one consumer's life.
#[derive(Debug)]
pub struct Effects {
    session: Mutex<Arc<Session>>,
    group: GroupHandle,
    writer: Writer,
    lanes: BTreeMap<LaneId, LaneEffects>,
}
