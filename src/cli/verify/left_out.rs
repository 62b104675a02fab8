//! Topics of patterns that the connector leaves out: nothing can be compared, and mostly nothing has to be.

use super::report::TopicReport;
use crate::cli::connect::CommandError;
use crate::clickhouse::{Cell, LaneTables, Session, Table};
use crate::config::LeftOut;
use crate::source::observer::Observer;

impl TopicReport {
    /// Of a topic that the configuration alone leaves out.
    pub(super) fn left_out(one: LeftOut) -> Self {
        let notes = vec![format!("left out: {one}")];
        Self { topic: one.topic, notes, ..Self::default() }
    }
}

/// A topic of a pattern whose table is missing or does not fit is left out by the connector: no finding, as long as
/// nothing of it was consumed.
pub(super) async fn without_table(
    session: &Session,
    observer: &Observer,
    lane: &LaneTables,
) -> Result<Option<TopicReport>, CommandError> {
    let Cell { topic, target, .. } = &lane.cell;
    let mut obstacle = None;
    for target in lane.targets() {
        obstacle = match Table::read(session, target).await? {
            None => Some(format!("table {target} does not exist, or our user may not see it")),
            Some(table) => {
                let missing = lane.coordinates.names().find(|name| table.column(name).is_none());
                missing.map(|name| format!("table {target} has no column {name}"))
            }
        };
        if obstacle.is_some() {
            break;
        }
    }
    let Some(obstacle) = obstacle else { return Ok(None) };
    let mut report = TopicReport { topic: topic.clone(), table: target.to_string(), ..TopicReport::default() };
    let partitions = observer.partitions(topic)?.unwrap_or_default();
    let committed = observer.committed(topic, &partitions)?;
    if committed.values().any(|offset| matches!(offset, Ok(Some(_)))) {
        report.findings.push(obstacle);
    } else {
        report.notes.push(format!("left out: {obstacle}"));
    }
    Ok(Some(report))
}
