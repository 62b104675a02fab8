//! The tables of a topic's routes besides its own: whether they can be looked into together, and those that an earlier
//! configuration wrote to.
//!
//! A row that a route of yesterday wrote is a row of the topic: who would not look for it would write it again.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use tokio::sync::oneshot;

use crate::clickhouse::{ControlError, Coordinates, LaneTables, Session, Table, TableName};

/// One statement looks into all tables, so that the types of their coordinates have to be the same.
///
/// # Errors
/// Says which column of which table differs, and how to change it.
pub fn check_coordinates(own: &Table, routes: &[Table], names: &Coordinates) -> Result<(), Vec<String>> {
    let mut unfit = Vec::new();
    for (table, name) in routes.iter().flat_map(|table| names.names().map(move |name| (table, name))) {
        let Some((wanted, found)) = own.column(name).zip(table.column(name)) else { continue };
        if wanted.kind != found.kind {
            unfit.push(format!(
                "column {name} of {} is {}, and {} in {}: the tables of one topic are looked into together; ALTER TABLE {} \
                 MODIFY COLUMN `{name}` {}",
                table.name,
                found.kind,
                wanted.kind,
                own.name,
                table.name.quoted(),
                wanted.kind,
            ));
        }
    }
    if unfit.is_empty() { Ok(()) } else { Err(unfit) }
}

/// Of the tables that the topic was claimed for before, those that are not configured now and can be looked into.
pub async fn former(
    session: &Session,
    known: &BTreeSet<String>,
    own: &Table,
    tables: &LaneTables,
) -> Result<Vec<Table>, ControlError> {
    let mut former = Vec::new();
    for name in known {
        let Some((database, table)) = name.split_once('.') else { continue };
        let name = TableName::new(database, table);
        if tables.targets().any(|configured| *configured == name) {
            continue;
        }
        let topic = &tables.cell.topic;
        match Table::read(session, &name).await? {
            Some(table) if has_coordinates(own, &table, &tables.coordinates) => {
                tracing::info!(topic, table = %name, "a former route wrote here: its rows count as the topic's");
                former.push(table);
            }
            Some(_) | None => tracing::warn!(
                topic, table = %name,
                "a former route wrote here, but the table is gone or has other coordinates: its rows count as lost"
            ),
        }
    }
    Ok(former)
}

fn has_coordinates(own: &Table, table: &Table, names: &Coordinates) -> bool {
    let here = names.names().all(|name| table.column(name).is_some());
    here && check_coordinates(own, std::slice::from_ref(table), names).is_ok()
}

/// Tells the pipeline that what it was built for has changed.
#[derive(Debug)]
pub(super) struct OutdatedNotice(Mutex<Option<oneshot::Sender<String>>>);

impl OutdatedNotice {
    /// What has changed; only the first notice counts.
    pub(super) fn notice(&self, what: String) {
        let sender = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        // Nobody listens when the pipeline is about to end.
        drop(sender.map(|sender| sender.send(what)));
    }
}

/// A notice, and what resolves when it is given.
pub(super) fn outdated_notice() -> (OutdatedNotice, impl Future<Output = String> + Send) {
    let (sender, noticed) = oneshot::channel();
    let noticed = async {
        match noticed.await {
            Ok(what) => what,
            Err(_) => std::future::pending().await,
        }
    };
    (OutdatedNotice(Mutex::new(Some(sender))), noticed)
}
