//! Which structure a table has now, as one number that a statement can ask for.
//!
//! Of the columns' names, types and defaults, because the server converts in silence what it is given for a column of
//! another type: 300 becomes 44 in a `UInt8`. Of the table's id and of the moment of its last ALTER, because an insert
//! whose table is changed and changed back while it begins would take the structure between them.
//! The server takes a table's structure before it evaluates scalar subqueries, so a condition on this number sees
//! nothing older than what the insert writes by.

use std::collections::BTreeMap;

use clickhouse::Row;
use serde::Deserialize;

use super::error::ControlError;
use super::names::TableName;
use super::session::Session;
use super::sql;

/// A table's structure at some moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Row, Deserialize)]
pub struct Structure(pub u64);

impl Structure {
    /// The SELECT that gives the number; of a table that is not there 0.
    pub(crate) fn question(table: &TableName) -> String {
        let (database, name) = (sql::string(&table.database), sql::string(&table.table));
        // The order of columns does not count: statements name them.
        format!(
            "SELECT groupBitXor(hash) FROM (\
             SELECT sipHash64(name, type, default_kind, default_expression) AS hash FROM system.columns \
             WHERE database = {database} AND table = {name} UNION ALL \
             SELECT sipHash64(uuid, metadata_modification_time) AS hash FROM system.tables \
             WHERE database = {database} AND name = {name})"
        )
    }
}

#[derive(Debug, Row, Deserialize)]
struct Found {
    database: String,
    table_name: String,
    structure: u64,
}

/// The structures of tables now; those that are not there, or that our user may not see, are left out.
pub async fn structures(
    session: &Session,
    tables: &[&TableName],
) -> Result<BTreeMap<TableName, Structure>, ControlError> {
    let pairs = tables.iter().map(|table| format!("({}, {})", sql::string(&table.database), sql::string(&table.table)));
    let wanted = sql::joined(pairs, ", ");
    let found: Vec<Found> = session
        .fetch(
            "looking at the structure of the target tables",
            &format!(
                "SELECT database, table_name, groupBitXor(hash) AS structure FROM (\
                 SELECT database, table AS table_name, sipHash64(name, type, default_kind, default_expression) AS hash \
                 FROM system.columns WHERE (database, table) IN ({wanted}) UNION ALL \
                 SELECT database, name AS table_name, sipHash64(uuid, metadata_modification_time) AS hash \
                 FROM system.tables WHERE (database, name) IN ({wanted})) GROUP BY database, table_name"
            ),
        )
        .await?;
    let one = |found: Found| (TableName::new(found.database, found.table_name), Structure(found.structure));
    Ok(found.into_iter().map(one).collect())
}
