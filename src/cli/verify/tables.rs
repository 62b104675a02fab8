//! The tables of a topic, and how the connector decodes its records into them.

use super::or_unknown;
use crate::cli::connect::CommandError;
use crate::clickhouse::{LaneTables, Session, Table, TableName};
use crate::config::TopicSettings;
use crate::ownership::known_routes;
use crate::pipeline::routes;
use crate::pipeline::row_plan::row_plan;
use crate::pipeline::topic_decoding::TopicDecoding;
use crate::registry::Schemas;

/// Tables of routes that are not configured any more, which rows of the topic may be in.
pub(super) async fn former_routes(session: &Session, lane: &LaneTables) -> Result<Vec<TableName>, CommandError> {
    let known = or_unknown(known_routes(session, lane).await)?.unwrap_or_default();
    if known.is_empty() {
        return Ok(Vec::new());
    }
    let Some(own) = Table::read(session, &lane.cell.target).await? else { return Ok(Vec::new()) };
    let former = routes::former(session, &known, &own, lane).await?;
    Ok(former.into_iter().map(|table| table.name).collect())
}

/// The tables that rows of the topic may be in.
pub(super) async fn tables(session: &Session, lane: &LaneTables) -> Result<Vec<Table>, CommandError> {
    let mut tables = Vec::new();
    for target in lane.targets() {
        let gone = || CommandError::Impossible(format!("table {target} does not exist, or our user may not see it"));
        tables.push(Table::read(session, target).await?.ok_or_else(gone)?);
    }
    Ok(tables)
}

/// How the connector decodes the topic's records.
pub(super) async fn decoding(
    session: &Session,
    lane: &LaneTables,
    topic: &TopicSettings,
    tables: &[Table],
    schemas: Option<&Schemas>,
) -> Result<TopicDecoding, CommandError> {
    let mut plans = Vec::new();
    for (table, topic) in tables.iter().zip(topic.tables()) {
        let plan = row_plan(session, table, &lane.coordinates, &topic.mapping, &topic.format).await;
        let (rows, _) = plan.map_err(|error| CommandError::Impossible(error.to_string()))?;
        plans.push(rows);
    }
    TopicDecoding::compile(topic, plans, schemas).map_err(|errors| {
        let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
        CommandError::Impossible(lines.join("\n"))
    })
}
