//! What a lane is made of before it runs: the target's columns as a plan, the detectors, the limits.
//!
//! Takes the configuration of a topic and the table as the server describes it. Gives everything that is wrong at once.

use std::sync::Arc;
use std::time::Duration;

use crate::alerts::Detectors;
use crate::block::lane_fill::LanePlan;
use crate::clickhouse::{Cell, ControlError, Coordinates, LaneTables, Session, StateTables, Table, TableName};
use crate::config::{self, ConfigError, Settings, TopicSettings};
use crate::metrics::Metrics;
use crate::ownership::known_routes;
use crate::pipeline::drift::Drift;
use crate::pipeline::effects::LaneEffects;
use crate::pipeline::offset_version::{OffsetVersion, OffsetVersions};
use crate::pipeline::routes;
use crate::pipeline::row_plan::row_plan;
use crate::pipeline::topic_decoding::TopicDecoding;
use crate::protocol::resolve::OnGap;
use crate::protocol::state::LanePolicy;
use crate::registry::Schemas;
use crate::types::LaneId;

/// Of `memory_max` this part is for records that the client library has fetched.
const FETCH_SHARE: u64 = 8;

/// A block may have this part of its lane's memory. Columns are held three times at most: a block that fills, one that is
/// being encoded, one kept for reuse. Their buffers grow by doubling, and two bodies are held compressed.
const BLOCK_SHARE: u64 = 7;

/// A ledger row vouches for everything from the origin at least this often.
const CHECKPOINT_INTERVAL_MAX: Duration = Duration::from_secs(3600);

/// A lane, ready to run.
#[derive(Debug)]
pub(super) struct LaneSetup {
    /// For the polling thread.
    pub(super) plan: Arc<LanePlan>,
    /// For the statements.
    pub(super) effects: LaneEffects,
    /// For the protocol.
    pub(super) policy: LanePolicy,
}

/// What all lanes of a process share.
#[derive(Debug)]
pub(super) struct Process<'a> {
    pub(super) session: &'a Session,
    pub(super) settings: &'a Settings,
    pub(super) cluster_id: &'a str,
    pub(super) metrics: &'a Metrics,
    pub(super) schemas: Option<&'a Schemas>,
    /// Whether targets that another connector has claimed are taken over.
    pub(super) adopt: bool,
}

/// Why a lane cannot run.
#[derive(Debug, thiserror::Error)]
pub enum LaneError {
    /// The server did not answer, or refused.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// Table and configuration do not fit: each line says what and how to mend it.
    #[error("{}", .0.join("\n"))]
    Unfit(Vec<String>),
}

/// What of `memory_max` fetched records may take.
pub fn fetch_bytes(settings: &Settings) -> u64 {
    settings.memory_max.bytes() / FETCH_SHARE
}

/// The names of a lane's tables and columns.
pub fn lane_tables(settings: &Settings, lane: LaneId, topic: &TopicSettings, cluster_id: &str) -> LaneTables {
    let columns = &topic.coordinates;
    LaneTables {
        lane,
        cell: Cell {
            cluster_id: cluster_id.to_owned(),
            connector: settings.name.clone(),
            target: table_name(topic),
            topic: topic.topic.value.clone(),
        },
        coordinates: Coordinates {
            topic: columns.topic.clone(),
            partition: columns.partition.clone(),
            offset: columns.offset.clone(),
            row: columns.row.clone(),
            replay: columns.replay.clone(),
        },
        routes: topic.tables().skip(1).map(table_name).collect(),
        state: StateTables { database: settings.state_database.clone() },
    }
}

fn table_name(topic: &TopicSettings) -> TableName {
    TableName::new(topic.table.value.database(), topic.table.value.table())
}

/// How many topics may have rows in a table.
pub fn topics_into(settings: &Settings, table: &TableName) -> usize {
    let writes = |topic: &&TopicSettings| topic.tables().any(|one| table_name(one) == *table);
    settings.topics.iter().filter(writes).count()
}

/// Reads the target tables and prepares the lane.
///
/// # Errors
/// Where the server does not answer, or table and configuration do not fit.
pub(super) async fn lane_setup(
    process: &Process<'_>,
    lane: LaneId,
    topic: &TopicSettings,
) -> Result<LaneSetup, LaneError> {
    let Process { session, settings, cluster_id, metrics, schemas, adopt } = *process;
    let mut tables = lane_tables(settings, lane, topic, cluster_id);
    let unfit = |errors: Vec<ConfigError>| LaneError::Unfit(errors.iter().map(ToString::to_string).collect());
    let mut found: Vec<Table> = Vec::new();
    let mut offset_versions = Vec::new();
    let (mut rows, mut server_values, mut detectors) = (Vec::new(), Vec::new(), Vec::new());
    for (name, topic) in tables.targets().zip(topic.tables()) {
        let Some(table) = Table::read(session, name).await? else {
            return Err(LaneError::Unfit(vec![format!(
                "table {name} does not exist, or our user may not see it; create it, or GRANT SHOW, SELECT, INSERT on it"
            )]));
        };
        let (plan, values) = row_plan(session, &table, &tables.coordinates, &topic.mapping, &topic.format).await?;
        let compiled = Detectors::compile(cluster_id, &settings.name, &tables.cell.topic, &topic.detectors, &plan)
            .map_err(unfit)?;
        let topics = topics_into(settings, name);
        offset_versions.extend(OffsetVersion::of(&table, &tables.coordinates, &plan, topics));
        found.push(table);
        rows.push(plan);
        server_values.push(values);
        detectors.push(compiled);
    }
    let [table, routes @ ..] = found.as_slice() else { unreachable!("every topic has a table of its own") };
    routes::check_coordinates(table, routes, &tables.coordinates).map_err(LaneError::Unfit)?;
    let (drift, rows) = Drift::of(table, topic.schema_drift, &topic.mapping, rows);
    let known = known_routes(session, &tables).await?;
    let former = routes::former(session, &known, table, &tables).await?;
    found.extend(former.iter().cloned());
    let decoding = TopicDecoding::compile(topic, rows, schemas).map_err(unfit)?;
    tables.routes.extend(former.into_iter().map(|table| table.name));
    let plan = LanePlan {
        lane,
        topic: tables.cell.topic.clone(),
        decoding,
        units: tables.coordinates.unit_kind(),
        drift,
        detectors,
        rows_max: u64::from(topic.batch.rows_max),
        block_bytes_max: block_bytes(settings, topic),
        linger: topic.batch.linger,
        interval_min: Duration::from_secs_f64(1.0 / topic.batch.inserts_per_second_max),
        checkpoint_interval: (settings.ledger_retention / 8).min(CHECKPOINT_INTERVAL_MAX),
        doubts_schemas: topic.bad_share_max.millionths() < 1_000_000,
    };
    let policy = LanePolicy {
        on_gap: match topic.on_gap {
            config::OnGap::Halt => OnGap::Halt,
            config::OnGap::Skip => OnGap::Skip,
        },
        bad_share_max_millionths: topic.bad_share_max.millionths(),
        replicated: found.iter().any(Table::is_replicated),
        views: found.iter().any(|table| !table.dependents.is_empty()),
        adopt,
    };
    let effects = LaneEffects {
        metrics: metrics.lane(&tables.cell.topic, &tables.cell.target.to_string()),
        server_values,
        start: topic.start,
        rows_expire: !found.iter().all(Table::rows_countable),
        known_routes: known,
        targets: found,
        offset_versions: OffsetVersions::new(offset_versions),
        tables,
    };
    Ok(LaneSetup { plan: Arc::new(plan), effects, policy })
}

/// The most bytes of one block: what is configured, or what all lanes' blocks leave of `memory_max`.
fn block_bytes(settings: &Settings, topic: &TopicSettings) -> usize {
    let lanes = u64::try_from(settings.topics.len()).expect("a configuration has few topics");
    // A large batch that is allowed to unfold takes its memory from the blocks.
    let unfolded = settings.kafka.response_bytes_above_default();
    let left = (settings.memory_max.bytes() - fetch_bytes(settings)).saturating_sub(unfolded);
    let share = left / (lanes.max(1) * BLOCK_SHARE);
    usize::try_from(topic.batch.bytes_max.bytes().min(share)).unwrap_or(usize::MAX)
}
