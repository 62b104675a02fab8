//! What `check` and the start of a lane ask of ClickHouse before the first record is consumed.
//!
//! Gives findings, each with what was seen, why it matters and the statement that puts it right. Changes nothing.

use std::fmt;

use clickhouse::Row;
use serde::Deserialize;

use super::engine::Verdict;
use super::error::ControlError;
use super::names::{LaneTables, TableName};
use super::session::Session;
use super::sql;
use super::table::{Column, Table};

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Good to know.
    Note,
    /// Works, but something is slower or promised under a condition.
    Warning,
    /// Does not work, or exactly-once cannot be promised.
    Error,
}

/// Something that a user should know before the connector runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// What was seen.
    pub what: String,
    /// Why it matters.
    pub why: String,
    /// What to do.
    pub fix: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Note => "note",
            Severity::Warning => "warning",
            Severity::Error => "error",
        };
        write!(f, "{severity}: {}: {}; {}", self.what, self.why, self.fix)
    }
}

impl Finding {
    fn new(severity: Severity, what: impl Into<String>, why: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { severity, what: what.into(), why: why.into(), fix: fix.into() }
    }
}

/// Everything there is to say about a lane's target and our user. An error means that the server did not answer.
pub async fn preflight(session: &Session, lane: &LaneTables, user: &str) -> Result<Vec<Finding>, ControlError> {
    let mut findings = Vec::new();
    match Table::read(session, &lane.cell.target).await? {
        None => findings.push(Finding::new(
            Severity::Error,
            format!("table {} is not there", lane.cell.target),
            "rows need a table to go to, and our user must see it",
            format!(
                "create it, or run: GRANT SELECT, INSERT ON {} TO {}",
                lane.cell.target.quoted(),
                sql::identifier(user)
            ),
        )),
        Some(table) => table_findings(&table, lane, &mut findings),
    }
    grants(session, lane, user, &mut findings).await?;
    row_policies(session, lane, &mut findings).await?;
    receive_timeout(session, &mut findings).await?;
    load_balancer(session, &mut findings).await?;
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    Ok(findings)
}

/// What can be said of a table without asking again.
fn table_findings(table: &Table, lane: &LaneTables, findings: &mut Vec<Finding>) {
    let name = &table.name;
    match table.verdict(&lane.coordinates) {
        Verdict::Supported => {}
        Verdict::Conditional { note } => findings.push(Finding::new(
            Severity::Note,
            format!("table {name} is a {}", table.engine),
            note,
            "nothing to do if this is meant",
        )),
        Verdict::Refused { why, fix } => {
            findings.push(Finding::new(Severity::Error, format!("table {name} is a {}", table.engine), why, fix))
        }
    }
    coordinates(table, lane, findings);
    if table.has_row_ttl() {
        findings.push(Finding::new(
            Severity::Warning,
            format!("table {name} has a TTL"),
            "rows that it removed look as if they had never been written: blocks are not proven, and a rewind below them trusts the ledger",
            "nothing to do if this is meant",
        ));
    }
    if !table.dependents.is_empty() {
        findings.push(Finding::new(
            Severity::Note,
            format!(
                "views are fed by {name}: {}",
                sql::joined(&table.dependents, ", ")
            ),
            "they are fed with every block once; after an insert that ended in an error they may lack its rows, which is reported and not repaired",
            "watch views_unverified_total",
        ));
    }
}

fn coordinates(table: &Table, lane: &LaneTables, findings: &mut Vec<Finding>) {
    let names = &lane.coordinates;
    let mut wanted = vec![
        (&names.topic, "LowCardinality(String)", "a string", is_topic as fn(&str) -> bool),
        (&names.partition, "Int32", "an integer", is_integer),
        (&names.offset, "UInt64", "UInt64 or Int64", is_offset),
    ];
    if let Some(row) = &names.row {
        wanted.push((row, "UInt32", "a number of a row", is_row));
    }
    if let Some(replay) = &names.replay {
        wanted.push((replay, "UInt32", "an integer", is_integer));
    }
    let mut missing = Vec::new();
    for (name, kind, meant, fits) in wanted {
        match table.column(name) {
            None => missing.push(format!("ADD COLUMN {} {kind}", sql::identifier(name))),
            Some(Column { kind: actual, .. }) if !fits(actual) => findings.push(Finding::new(
                Severity::Error,
                format!("column {name} of {} is {actual}", table.name),
                format!("it has to hold {meant} to say where a row comes from"),
                format!("ALTER TABLE {} MODIFY COLUMN {} {kind}", table.name.quoted(), sql::identifier(name)),
            )),
            Some(_) => {}
        }
    }
    let offset_is_missing = table.column(&names.offset).is_none();
    let mut alter = missing.clone();
    let index = format!(
        "ADD INDEX {} {} TYPE minmax GRANULARITY 1",
        sql::identifier(&format!("{}_minmax", names.offset.trim_start_matches('_'))),
        sql::identifier(&names.offset)
    );
    if offset_is_missing {
        alter.push(index.clone());
    }
    if !missing.is_empty() {
        findings.push(Finding::new(
            Severity::Error,
            format!("table {} has no columns for a row's place in kafka", table.name),
            "without them nobody can look up which rows are there",
            format!("ALTER TABLE {} {}", table.name.quoted(), alter.join(", ")),
        ));
    }
    if !offset_is_missing && !table.has_offset_index(names) {
        findings.push(Finding::new(
            Severity::Warning,
            format!("table {} has no minmax index on {}", table.name, names.offset),
            "every takeover and every block's proof reads the whole column: 332 ms instead of 28 ms with 60 million rows",
            format!(
                "ALTER TABLE {table} {index}; ALTER TABLE {table} MATERIALIZE INDEX {}",
                sql::identifier(&format!("{}_minmax", names.offset.trim_start_matches('_'))),
                table = table.name.quoted(),
            ),
        ));
    }
}

fn is_topic(kind: &str) -> bool {
    matches!(kind, "String" | "LowCardinality(String)")
}

fn is_integer(kind: &str) -> bool {
    matches!(kind, "UInt8" | "UInt16" | "UInt32" | "UInt64" | "Int8" | "Int16" | "Int32" | "Int64")
}

fn is_row(kind: &str) -> bool {
    matches!(kind, "UInt32" | "UInt64" | "Int32" | "Int64")
}

fn is_offset(kind: &str) -> bool {
    matches!(kind, "UInt64" | "Int64")
}

/// Tries what can be tried and asks the server about the rest.
async fn grants(
    session: &Session,
    lane: &LaneTables,
    user: &str,
    findings: &mut Vec<Finding>,
) -> Result<(), ControlError> {
    let state = &lane.state;
    let system = |table| TableName::new("system", table);
    let readable = [
        lane.cell.target.clone(),
        state.ownership(),
        state.ledger(),
        state.dead_letters(),
        state.dead_letter_events(),
        state.alerts(),
        state.halted_samples(),
        system("processes"),
        system("replicas"),
    ];
    for table in &readable {
        let attempt =
            session.fetch::<u8>("trying to read", &format!("SELECT toUInt8(1) FROM {} LIMIT 0", table.quoted())).await;
        // A table that is not there is another finding's matter.
        if denied(attempt)? {
            findings.push(grant("SELECT", &table.quoted(), user));
        }
    }
    for table in readable.iter().take(7) {
        if !granted(session, "INSERT", &table.quoted()).await? {
            findings.push(grant("INSERT", &table.quoted(), user));
        }
    }
    if !session.is_at_least(26, 5) && !granted(session, "CREATE TEMPORARY TABLE", "*.*").await? {
        findings.push(grant("CREATE TEMPORARY TABLE", "*.*", user));
    }
    Ok(())
}

/// The statement that lets our user add columns.
pub fn alter_grant(table: &TableName, user: &str) -> String {
    format!("GRANT ALTER ADD COLUMN ON {} TO {}", table.quoted(), sql::identifier(user))
}

/// Whether our user may add columns to the table; a finding if not.
pub async fn columns_can_be_added(
    session: &Session,
    table: &TableName,
    user: &str,
) -> Result<Option<Finding>, ControlError> {
    let granted = granted(session, "ALTER ADD COLUMN", &table.quoted()).await?;
    let what = format!("our user has no ALTER ADD COLUMN on {}", table.quoted());
    let why = "`schema_drift: add_columns` adds columns; until it can, topics with new fields wait";
    Ok((!granted).then(|| Finding::new(Severity::Error, what, why, alter_grant(table, user))))
}

fn grant(privilege: &str, on: &str, user: &str) -> Finding {
    Finding::new(
        Severity::Error,
        format!("our user has no {privilege} on {on}"),
        "inserts or takeovers would be refused",
        format!("GRANT {privilege} ON {on} TO {}", sql::identifier(user)),
    )
}

fn denied<T>(attempt: Result<T, ControlError>) -> Result<bool, ControlError> {
    match attempt {
        Ok(_) => Ok(false),
        Err(ControlError::Refused { code, .. }) => Ok(code == ACCESS_DENIED),
        Err(error) => Err(error),
    }
}

const ACCESS_DENIED: u32 = 497;

/// `CHECK GRANT` came with 24.9; where the server does not know it, the privilege is taken for granted and a missing one
/// shows with the first insert.
async fn granted(session: &Session, privilege: &str, on: &str) -> Result<bool, ControlError> {
    let answer = session.fetch::<u8>("asking for grants", &format!("CHECK GRANT {privilege} ON {on}")).await;
    match answer {
        Ok(rows) => Ok(rows.first() != Some(&0)),
        Err(ControlError::Refused { .. }) => Ok(true),
        Err(error) => Err(error),
    }
}

/// A policy can hide claims, rows or running inserts from us, and each of these breaks the promise.
async fn row_policies(session: &Session, lane: &LaneTables, findings: &mut Vec<Finding>) -> Result<(), ControlError> {
    #[derive(Row, Deserialize)]
    struct Policy {
        name: String,
        applies: u8,
    }
    let tables = [
        lane.cell.target.clone(),
        lane.state.ownership(),
        lane.state.ledger(),
        lane.state.dead_letters(),
        TableName::new("system", "processes"),
    ];
    let wanted = tables.iter().map(|table| {
        format!("(database = {} AND table IN ({}, ''))", sql::string(&table.database), sql::string(&table.table))
    });
    let policies = session
        .fetch::<Policy>(
            "looking for row policies",
            &format!(
                "SELECT name, toUInt8(if(apply_to_all, NOT has(apply_to_except, currentUser()), \
                 has(apply_to_list, currentUser()) OR notEmpty(arrayIntersect(apply_to_list, currentRoles())))) AS applies \
                 FROM system.row_policies WHERE {}",
                sql::joined(wanted, " OR ")
            ),
        )
        .await;
    match policies {
        Ok(policies) => findings.extend(policies.into_iter().filter(|policy| policy.applies == 1).map(|policy| {
            Finding::new(
                Severity::Error,
                format!("row policy {} filters what our user sees", policy.name),
                "a claim, a row or a running insert that is hidden would be taken for absent: rows would double",
                format!("exempt our user: ALTER ROW POLICY {} TO ALL EXCEPT ..", policy.name),
            )
        })),
        Err(ControlError::Refused { code, .. }) if code == ACCESS_DENIED => {
            findings.push(Finding::new(
                Severity::Warning,
                "our user may not see row policies",
                "one on our tables, on the target or on system.processes would break exactly-once unseen",
                "GRANT SHOW ROW POLICIES ON *.*, or make sure by hand that there are none",
            ));
        }
        Err(error) => return Err(error),
    }
    let ownership = lane.state.ownership();
    let counts = session
        .fetch::<(Option<u64>, Option<u64>)>(
            "comparing what is seen of ownership",
            &format!(
                "SELECT (SELECT count() FROM {}), (SELECT total_rows FROM system.tables WHERE database = {} AND name = {})",
                ownership.quoted(),
                sql::string(&ownership.database),
                sql::string(&ownership.table)
            ),
        )
        .await;
    match counts {
        Ok(counts) => {
            if let Some((Some(seen), Some(total))) = counts.first()
                && seen < total
            {
                findings.push(Finding::new(
                    Severity::Error,
                    format!("our user sees {seen} of {total} rows of {ownership}"),
                    "a claim that is hidden fences nobody",
                    "remove the row policy or filter on it",
                ));
            }
        }
        // The table is not there yet.
        Err(ControlError::Refused { .. }) => {}
        Err(error) => return Err(error),
    }
    Ok(())
}

async fn receive_timeout(session: &Session, findings: &mut Vec<Finding>) -> Result<(), ControlError> {
    const SECONDS_MAX: f64 = 60.0;
    let values = session
        .fetch::<String>(
            "reading http_receive_timeout",
            "SELECT value FROM system.settings WHERE name = 'http_receive_timeout'",
        )
        .await?;
    let seconds: Option<f64> = values.first().and_then(|value| value.parse().ok());
    if let Some(seconds) = seconds
        && seconds > SECONDS_MAX
    {
        findings.push(Finding::new(
            Severity::Warning,
            format!("http_receive_timeout is {seconds} s"),
            "an insert whose sender is gone stays listed for so long, and a takeover waits for it",
            "set http_receive_timeout to at most 60 in our user's profile",
        ));
    }
    Ok(())
}

/// Claims are local to a server: behind a load balancer, claim, drain and look would ask different ones.
async fn load_balancer(session: &Session, findings: &mut Vec<Finding>) -> Result<(), ControlError> {
    const ASKED: usize = 5;
    for _ in 0..ASKED {
        let hosts = session.fetch::<String>("asking for the host name", "SELECT hostName()").await?;
        if let Some(host) = hosts.first()
            && host != session.host()
        {
            findings.push(Finding::new(
                Severity::Error,
                format!("{} is answered by several servers: {} and {host}", session.server().name(), session.host()),
                "a claim on one of them does not fence inserts on another",
                "give the url of one server",
            ));
            break;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clickhouse::{DefaultKind, SkipIndex};
    use crate::insert::tests::lane;

    fn table(columns: &[(&str, &str)], index: bool) -> Table {
        Table {
            name: TableName::new("iot", "readings"),
            uuid: uuid::Uuid::nil(),
            structure: crate::clickhouse::Structure(0),
            engine: "MergeTree".to_owned(),
            engine_full: "MergeTree ORDER BY tuple()".to_owned(),
            columns: columns
                .iter()
                .map(|(name, kind)| Column {
                    name: (*name).to_owned(),
                    kind: (*kind).to_owned(),
                    default_kind: DefaultKind::None,
                    default_expression: String::new(),
                })
                .collect(),
            partition_key: String::new(),
            sorting_key: String::new(),
            indexes: index
                .then(|| SkipIndex {
                    name: "o".to_owned(),
                    kind: "minmax".to_owned(),
                    expression: "_offset".to_owned(),
                })
                .into_iter()
                .collect(),
            dependents: Vec::new(),
        }
    }

    #[test]
    fn coordinate_columns_are_asked_for_with_the_alter() {
        let check = |columns: &[(&str, &str)], index: bool, expected: &[(Severity, &str)]| {
            let mut findings = Vec::new();
            table_findings(&table(columns, index), &lane(), &mut findings);
            let found: Vec<_> = findings.iter().map(|finding| (finding.severity, finding.fix.as_str())).collect();
            assert_eq!(found, expected);
        };
        let all = [
            ("_topic", "LowCardinality(String)"),
            ("_partition", "UInt16"),
            ("_offset", "UInt64"),
            ("_replay", "UInt32"),
        ];
        check(&all, true, &[]);
        check(
            &all,
            false,
            &[(
                Severity::Warning,
                "ALTER TABLE `iot`.`readings` ADD INDEX `offset_minmax` `_offset` TYPE minmax GRANULARITY 1; \
                 ALTER TABLE `iot`.`readings` MATERIALIZE INDEX `offset_minmax`",
            )],
        );
        check(&all[..3], true, &[(Severity::Error, "ALTER TABLE `iot`.`readings` ADD COLUMN `_replay` UInt32")]);
        check(
            &[],
            false,
            &[(
                Severity::Error,
                "ALTER TABLE `iot`.`readings` ADD COLUMN `_topic` LowCardinality(String), ADD COLUMN `_partition` Int32, \
                 ADD COLUMN `_offset` UInt64, ADD COLUMN `_replay` UInt32, \
                 ADD INDEX `offset_minmax` `_offset` TYPE minmax GRANULARITY 1",
            )],
        );
        check(
            &[all[0], all[1], ("_offset", "UInt32"), all[3]],
            true,
            &[(Severity::Error, "ALTER TABLE `iot`.`readings` MODIFY COLUMN `_offset` UInt64")],
        );
    }

    #[test]
    fn the_column_of_a_row_s_number_is_asked_for_where_it_is_named() {
        let mut lane = lane();
        lane.coordinates.row = Some("_row".to_owned());
        let check = |row: Option<&'static str>, expected: &[&str]| {
            let mut columns =
                vec![("_topic", "String"), ("_partition", "Int32"), ("_offset", "UInt64"), ("_replay", "UInt32")];
            columns.extend(row.map(|kind| ("_row", kind)));
            let mut findings = Vec::new();
            table_findings(&table(&columns, true), &lane, &mut findings);
            let found: Vec<_> = findings.iter().map(|finding| finding.fix.as_str()).collect();
            assert_eq!(found, expected, "{row:?}");
        };
        check(Some("UInt32"), &[]);
        check(Some("Int64"), &[]);
        check(Some("UInt16"), &["ALTER TABLE `iot`.`readings` MODIFY COLUMN `_row` UInt32"]);
        check(None, &["ALTER TABLE `iot`.`readings` ADD COLUMN `_row` UInt32"]);
    }
}
