//! Our own tables: made where they are missing, refused where they are newer than we are or not ours.
//!
//! The statements stand in `schemas/`, so that an operator can run them by hand. Each table carries its schema version
//! in its comment. Never drops or empties anything.

use std::collections::BTreeMap;
use std::time::Duration;

use clickhouse::Row;
use serde::Deserialize;

use super::error::ControlError;
use super::names::{StateTables, TableName};
use super::session::Session;
use super::sql;

/// What stands in front of the version in a table's comment.
const COMMENT: &str = "oncesink schema ";

/// A change that brings a table from one version to the next.
struct Migration {
    table: &'static str,
    from: u32,
    /// With `{database}` for the state database.
    statement: &'static str,
}

/// In the order in which they have to run.
const MIGRATIONS: &[Migration] = &[Migration {
    table: "ownership",
    from: 1,
    statement: "ALTER TABLE {database}.ownership ADD COLUMN IF NOT EXISTS routes Array(String) \
                COMMENT 'other tables that rows of the topic may be in' AFTER replay, \
                MODIFY COMMENT 'oncesink schema 2'",
}];

const SCHEMAS: [(&str, &str); 6] = [
    ("ownership", include_str!("../../schemas/ownership.sql")),
    ("ledger", include_str!("../../schemas/ledger.sql")),
    ("dead_letters", include_str!("../../schemas/dead_letters.sql")),
    ("dead_letter_events", include_str!("../../schemas/dead_letter_events.sql")),
    ("alerts", include_str!("../../schemas/alerts.sql")),
    ("halted_samples", include_str!("../../schemas/halted_samples.sql")),
];

#[derive(Debug, Clone, Row, Deserialize)]
struct Existing {
    name: String,
    engine: String,
    comment: String,
}

/// The statements that create all of our tables, the database first.
pub fn statements(state: &StateTables, ledger_retention: Duration) -> Vec<String> {
    std::iter::once(create_database(state))
        .chain(SCHEMAS.iter().map(|(_, schema)| create_table(schema, state, ledger_retention)))
        .collect()
}

/// The statements that are still to run so that our tables are there and of this version.
pub async fn missing_state_tables(
    session: &Session,
    state: &StateTables,
    ledger_retention: Duration,
) -> Result<Vec<String>, ControlError> {
    todo(state, ledger_retention, &existing(session, state).await?)
}

/// Makes sure that our tables are there and of this version. With `create` missing ones are made and older ones
/// migrated; without it both are an error that prints what to run.
pub async fn ensure_state_tables(
    session: &Session,
    state: &StateTables,
    ledger_retention: Duration,
    create: bool,
) -> Result<(), ControlError> {
    let existing = existing(session, state).await?;
    let todo = todo(state, ledger_retention, &existing)?;
    if todo.is_empty() {
        return Ok(());
    }
    if !create {
        return Err(ControlError::Unusable {
            what: format!("state tables in database {} are missing or old", state.database),
            fix: format!("set create_state_tables: true, or run: {}", todo.join(";\n")),
        });
    }
    for statement in &todo {
        session.execute("creating state tables", statement).await?;
    }
    // Another worker may have made them at the same moment, in another version.
    let left = self::todo(state, ledger_retention, &self::existing(session, state).await?)?;
    if left.is_empty() {
        Ok(())
    } else {
        Err(ControlError::Unusable {
            what: format!("state tables in database {} were created but are not there", state.database),
            fix: format!("look whether the user may see them (SHOW TABLES FROM {})", sql::identifier(&state.database)),
        })
    }
}

async fn existing(session: &Session, state: &StateTables) -> Result<Vec<Existing>, ControlError> {
    let names = SCHEMAS.iter().map(|(name, _)| sql::string(name));
    session
        .fetch(
            "looking for state tables",
            &format!(
                "SELECT name, engine, comment FROM system.tables WHERE database = {} AND name IN ({})",
                sql::string(&state.database),
                sql::joined(names, ", ")
            ),
        )
        .await
}

/// The statements that are still to run.
fn todo(state: &StateTables, ledger_retention: Duration, existing: &[Existing]) -> Result<Vec<String>, ControlError> {
    let existing: BTreeMap<&str, &Existing> = existing.iter().map(|table| (table.name.as_str(), table)).collect();
    let mut todo = Vec::new();
    if existing.is_empty() {
        todo.push(create_database(state));
    }
    for (name, schema) in SCHEMAS {
        match existing.get(name) {
            None => todo.push(create_table(schema, state, ledger_retention)),
            Some(table) => todo.extend(migrations(state, table, version_of(schema))?),
        }
    }
    Ok(todo)
}

/// The version in a table's comment.
fn version_in(comment: &str) -> Option<u32> {
    comment.strip_prefix(COMMENT).and_then(|version| version.trim().parse().ok())
}

/// The version of a table that this build reads and writes: the one in the comment at the end of its statement.
fn version_of(schema: &str) -> u32 {
    let comment = schema.trim().rsplit('\'').nth(1).and_then(version_in);
    comment.expect("every schema ends in a comment with its version")
}

fn migrations(state: &StateTables, table: &Existing, known: u32) -> Result<Vec<String>, ControlError> {
    let name = TableName::new(&state.database, &table.name);
    let Some(version) = version_in(&table.comment) else {
        return Err(ControlError::Unusable {
            what: format!("table {name} is not one of ours: its comment is {:?}, not \"{COMMENT}..\"", table.comment),
            fix: "give state_database the name of a database of its own".to_owned(),
        });
    };
    if version > known {
        return Err(ControlError::Unusable {
            what: format!("table {name} has schema {version}, this version of oncesink knows {known}"),
            fix: "run the newer oncesink, which made it".to_owned(),
        });
    }
    if table.name == "ownership" && table.engine != "MergeTree" {
        return Err(ControlError::Unusable {
            what: format!("table {name} has engine {}: claims must be local and kept one by one", table.engine),
            fix: "create it as MergeTree, as in schemas/ownership.sql".to_owned(),
        });
    }
    Ok(MIGRATIONS
        .iter()
        .filter(|migration| migration.table == table.name && migration.from >= version)
        .map(|migration| migration.statement.replace("{database}", &sql::identifier(&state.database)))
        .collect())
}

fn create_database(state: &StateTables) -> String {
    format!("CREATE DATABASE IF NOT EXISTS {}", sql::identifier(&state.database))
}

fn create_table(schema: &str, state: &StateTables, ledger_retention: Duration) -> String {
    schema
        .replace("{database}", &sql::identifier(&state.database))
        .replace("{ledger_retention_s}", &ledger_retention.as_secs().to_string())
        .trim()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> StateTables {
        StateTables { database: "once".to_owned() }
    }

    fn table(name: &str, comment: &str) -> Existing {
        Existing { name: name.to_owned(), engine: "MergeTree".to_owned(), comment: comment.to_owned() }
    }

    #[test]
    fn every_table_carries_its_version_and_database() {
        let statements = statements(&state(), Duration::from_secs(604_800));
        assert_eq!(statements.len(), 7);
        for statement in statements.iter().skip(1) {
            assert!(statement.contains("CREATE TABLE IF NOT EXISTS `once`."), "{statement}");
            let version = if statement.contains(".ownership") { 2 } else { 1 };
            assert_eq!(version_of(statement), version, "{statement}");
            assert!(!statement.contains('{'), "{statement}");
        }
        assert!(statements[2].contains("toIntervalSecond(604800)"), "{}", statements[2]);
    }

    #[test]
    fn what_exists_decides_what_is_left() {
        let all = |comment: &str| -> Vec<Existing> { SCHEMAS.iter().map(|(name, _)| table(name, comment)).collect() };
        let check = |existing: &[Existing], expected: Result<usize, &str>| match (
            todo(&state(), Duration::from_secs(1), existing),
            expected,
        ) {
            (Ok(todo), Ok(count)) => assert_eq!(todo.len(), count, "{existing:?}"),
            (Err(error), Err(part)) => {
                assert!(error.to_string().contains(part), "{error}");
            }
            (result, _) => panic!("{existing:?}: {result:?}"),
        };
        check(&[], Ok(7));
        check(&all("oncesink schema 1"), Ok(1));
        check(&all("oncesink schema 1")[..2], Ok(5));
        check(&all("oncesink schema 1")[1..], Ok(1));
        let current = || -> Vec<Existing> {
            let comment = |schema: &str| format!("oncesink schema {}", version_of(schema));
            SCHEMAS.iter().map(|(name, schema)| table(name, &comment(schema))).collect()
        };
        check(&current(), Ok(0));
        check(&all("oncesink schema 2"), Err("table once.ledger has schema 2, this version of oncesink knows 1"));
        let mut newer = current();
        newer[0].comment = "oncesink schema 3".to_owned();
        check(&newer, Err("table once.ownership has schema 3, this version of oncesink knows 2"));
        check(&all(""), Err("is not one of ours"));
        check(&all("oncesink schema x"), Err("is not one of ours"));
        let mut replicated = all("oncesink schema 1");
        replicated[0].engine = "ReplicatedMergeTree".to_owned();
        check(&replicated, Err("must be local"));
    }
}
