//! Notices that a target table is not what its lane was built from any more.
//!
//! Looks now and then, and at once when an insert's end speaks for it. Where all changed tables fit the configuration it
//! ends, and with it this consumer, whose records are read again for the tables as they are now. Where one does not fit
//! it says what and how to mend it, and goes on looking: inserts into that table are refused meanwhile. Before it looks
//! it adds the columns that records ask for, where the configuration has it do so; else it changes nothing.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::admin::Status;
use crate::clickhouse::{Column, ControlError, Session, Table, TableName, alter_grant, structures};
use crate::clock;
use crate::config::Settings;
use crate::metrics::Metrics;
use crate::pipeline::drift;
use crate::pipeline::effects::Effects;
use crate::pipeline::lane_setup::{LaneError, Process, lane_setup};
use crate::pipeline::{Outdated, lanes};
use crate::protocol::event::{InsertEnd, ServerError, ServerErrorKind};
use crate::registry::Schemas;

/// Between two looks. An insert that is refused asks for one at once.
const INTERVAL: Duration = Duration::from_secs(10);

/// What it needs to make lanes anew, as a trial.
#[derive(Debug)]
pub(super) struct TableWatch {
    pub(super) settings: Settings,
    pub(super) cluster_id: String,
    pub(super) metrics: Metrics,
    pub(super) schemas: Option<Schemas>,
    pub(super) adopt: bool,
    pub(super) effects: Arc<Effects>,
    pub(super) status: watch::Sender<Arc<Status>>,
}

impl TableWatch {
    /// Ends when lanes have to be built anew, and can be.
    pub(super) async fn run(self) -> Outdated {
        loop {
            tokio::select! {
                () = tokio::time::sleep(INTERVAL) => {}
                () = self.effects.table_doubts().notified() => {}
            }
            match self.look().await {
                Ok(Some(outdated)) => return outdated,
                Ok(None) => {}
                // The inserts say so too, and louder.
                Err(error) => tracing::debug!(%error, "looking for changed tables"),
            }
        }
    }

    async fn look(&self) -> Result<Option<Outdated>, ControlError> {
        let session = self.effects.session();
        let refused = self.add_columns(&session).await?;
        let targets = self.effects.lanes.values().flat_map(|lane| &lane.targets);
        let names: Vec<&TableName> = targets.map(|table| &table.name).collect();
        let now = structures(&session, &names).await?;
        let process = Process {
            session: &session,
            settings: &self.settings,
            cluster_id: &self.cluster_id,
            metrics: &self.metrics,
            schemas: self.schemas.as_ref(),
            adopt: self.adopt,
        };
        let (mut changes, mut unfit) = (Vec::new(), Vec::new());
        for (id, topic) in lanes(&self.settings) {
            let targets = self.effects.lane(id).targets.iter();
            let changed: Vec<&Table> = targets.filter(|table| now.get(&table.name) != Some(&table.structure)).collect();
            if changed.is_empty() {
                continue;
            }
            for before in changed {
                let after = Table::read(&session, &before.name).await?;
                changes.push(format!("table {} changed: {}", before.name, difference(before, after.as_ref())));
            }
            match lane_setup(&process, id, topic).await {
                Ok(_) => {}
                Err(LaneError::Unfit(lines)) => unfit.extend(lines),
                Err(LaneError::Control(error)) => return Err(error),
            }
        }
        self.show([refused, unfit.clone()].concat());
        changes.dedup();
        let what = changes.join("; ");
        if unfit.is_empty() {
            return Ok(Some(Outdated(what)).filter(|_| !changes.is_empty()));
        }
        // Not one lane alone: a consumer that is built anew has to have all of its tables.
        if let Some(held_back) = self.metrics.throttled().permit(&what, clock::now()) {
            let error = unfit.join("; ");
            tracing::error!(what, error, held_back, "the configuration does not fit any more; waiting for it to fit");
        }
        Ok(None)
    }

    /// Runs the ALTERs that records ask for; gives what cannot be run and how to mend it.
    async fn add_columns(&self, session: &Session) -> Result<Vec<String>, ControlError> {
        let mut refused = Vec::new();
        for (id, columns) in self.effects.wanted_columns() {
            let lane = self.effects.lane(id);
            // Of a topic with routes no columns are asked for.
            let before = &lane.targets[0];
            let name = &before.name;
            let Some(table) = Table::read(session, name).await? else { continue };
            // Another instance may have been faster; or it has used up the room, which the next plan knows.
            let others = table.columns.iter().filter(|column| before.column(&column.name).is_none()).count();
            let missing: Vec<_> = columns.into_iter().filter(|column| table.column(&column.name).is_none()).collect();
            if missing.is_empty() || others > 0 {
                continue;
            }
            let statement = drift::statement(name, &missing);
            match session.execute("adding columns", &statement).await {
                Ok(()) => {
                    lane.metrics.columns_added(missing.len());
                    tracing::info!(topic = lane.tables.cell.topic, statement, "columns added, as `schema_drift` says");
                }
                Err(error) => {
                    let fix = alter_grant(name, &self.settings.clickhouse.user);
                    let line = format!("{error}; {statement} cannot be run: run it, or {fix}");
                    if let Some(held_back) = self.metrics.throttled().permit(&statement, clock::now()) {
                        tracing::error!(topic = lane.tables.cell.topic, error = line, held_back, "waiting for columns");
                    }
                    refused.push(line);
                }
            }
        }
        Ok(refused)
    }

    fn show(&self, unfit: Vec<String>) {
        self.status.send_if_modified(|status| {
            let changed = status.unfit_tables != unfit;
            if changed {
                Arc::make_mut(status).unfit_tables = unfit;
            }
            changed
        });
    }
}

impl Effects {
    /// An error reply that speaks against table or bytes may come of a table that was changed, and then no record is to
    /// blame. In any case the watch looks at once.
    pub(super) async fn suspect_table(&self, table: &Table, end: InsertEnd) -> InsertEnd {
        let error = match end {
            InsertEnd::TableChanged => {
                self.table_doubts().notify_one();
                return end;
            }
            InsertEnd::Ended(error)
                if matches!(
                    error.kind,
                    ServerErrorKind::Configuration | ServerErrorKind::Bytes | ServerErrorKind::Doubtful
                ) =>
            {
                error
            }
            other => return other,
        };
        let kind = match structures(&self.session(), &[&table.name]).await {
            Ok(now) if now.get(&table.name) == Some(&table.structure) => return InsertEnd::Ended(error),
            Ok(_) => {
                self.table_doubts().notify_one();
                ServerErrorKind::TableChanged
            }
            // Nobody knows; it comes again, or it does not.
            Err(_) if matches!(error.kind, ServerErrorKind::Bytes | ServerErrorKind::Doubtful) => {
                ServerErrorKind::Passing
            }
            Err(_) => error.kind,
        };
        InsertEnd::Ended(ServerError { kind, ..error })
    }
}

/// What a person would say of it.
fn difference(before: &Table, after: Option<&Table>) -> String {
    let Some(after) = after else { return "it is not there, or our user may not see it any more".to_owned() };
    let mut said = Vec::new();
    if before.uuid != after.uuid {
        said.push("it is another table".to_owned());
    }
    for column in &before.columns {
        match after.column(&column.name) {
            None => said.push(format!("column {} dropped", column.name)),
            Some(now) if now != column => {
                said.push(format!("column {} altered from {} to {}", column.name, definition(column), definition(now)));
            }
            Some(_) => {}
        }
    }
    let added = after.columns.iter().filter(|column| before.column(&column.name).is_none());
    said.extend(added.map(|column| format!("column {} {} added", column.name, definition(column))));
    if said.is_empty() {
        said.push("something besides its columns was altered".to_owned());
    }
    said.join(", ")
}

fn definition(column: &Column) -> String {
    let default = column.default_kind.keyword();
    let parts = [column.kind.as_str(), default, column.default_expression.as_str()];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clickhouse::{DefaultKind, Structure};

    fn table(uuid: u128, columns: &[(&str, &str, &str)]) -> Table {
        let column = |(name, kind, default): &(&str, &str, &str)| Column {
            name: (*name).to_owned(),
            kind: (*kind).to_owned(),
            default_kind: if default.is_empty() { DefaultKind::None } else { DefaultKind::Default },
            default_expression: (*default).to_owned(),
        };
        Table {
            name: TableName::new("iot", "readings"),
            uuid: uuid::Uuid::from_u128(uuid),
            structure: Structure(0),
            engine: "MergeTree".to_owned(),
            engine_full: "MergeTree ORDER BY tuple()".to_owned(),
            columns: columns.iter().map(column).collect(),
            partition_key: String::new(),
            sorting_key: String::new(),
            indexes: Vec::new(),
            dependents: Vec::new(),
        }
    }

    #[test]
    fn differences_are_named() {
        let before = table(1, &[("a", "UInt64", ""), ("b", "String", "'x'")]);
        let check = |after: Option<Table>, expected: &str| assert_eq!(difference(&before, after.as_ref()), expected);
        check(None, "it is not there, or our user may not see it any more");
        check(Some(before.clone()), "something besides its columns was altered");
        check(Some(table(2, &[("b", "String", "'x'"), ("a", "UInt64", "")])), "it is another table");
        check(
            Some(table(1, &[("a", "UInt8", ""), ("c", "Nullable(String)", ""), ("d", "UInt8", "1")])),
            "column a altered from UInt64 to UInt8, column b dropped, column c Nullable(String) added, \
             column d UInt8 DEFAULT 1 added",
        );
        check(
            Some(table(1, &[("a", "UInt64", ""), ("b", "String", "")])),
            "column b altered from String DEFAULT 'x' to String",
        );
    }
}
