//! What a target table is: columns, engine, keys, what hangs on it.

use clickhouse::Row;
use serde::Deserialize;
use uuid::Uuid;

use super::engine::{self, Verdict};
use super::error::ControlError;
use super::expression::is_literal;
use super::names::{Coordinates, TableName};
use super::session::Session;
use super::sql;
use super::structure::Structure;

/// A table as the server describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Its name.
    pub name: TableName,
    /// Its identity: another one under the same name is another table.
    pub uuid: Uuid,
    /// What its columns are, as a number. Of before they were read: where they were changed between, inserts are refused.
    pub structure: Structure,
    /// The engine's name.
    pub engine: String,
    /// The engine with parameters, keys, TTL and settings.
    pub engine_full: String,
    /// All columns, in the table's order.
    pub columns: Vec<Column>,
    /// The partition key's expression; empty without one.
    pub partition_key: String,
    /// The sorting key's expression; empty without one.
    pub sorting_key: String,
    /// Data skipping indices.
    pub indexes: Vec<SkipIndex>,
    /// Views that are fed by inserts into it.
    pub dependents: Vec<TableName>,
}

/// A column of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its type, as the server writes it.
    pub kind: String,
    /// What it is when an insert leaves it out.
    pub default_kind: DefaultKind,
    /// The expression that goes with it; empty without one.
    pub default_expression: String,
}

/// Where a column's value comes from when an insert does not give it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DefaultKind {
    /// The type's own default.
    None,
    /// An expression.
    Default,
    /// Always an expression: cannot be inserted.
    Materialized,
    /// Not stored: cannot be inserted.
    Alias,
    /// Not stored: inserted for the expressions of other columns.
    Ephemeral,
}

impl DefaultKind {
    const ALL: [Self; 5] = [Self::None, Self::Default, Self::Materialized, Self::Alias, Self::Ephemeral];

    /// Its word in a column's definition.
    pub fn keyword(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Default => "DEFAULT",
            Self::Materialized => "MATERIALIZED",
            Self::Alias => "ALIAS",
            Self::Ephemeral => "EPHEMERAL",
        }
    }
}

/// A data skipping index.
#[derive(Debug, Clone, PartialEq, Eq, Row, Deserialize)]
pub struct SkipIndex {
    /// Its name.
    pub name: String,
    /// For example `minmax`.
    pub kind: String,
    /// What it indexes.
    pub expression: String,
}

/// A column's default, where it is the same for every row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConstantDefault {
    /// The value, as `RowBinary` has it.
    Value(Vec<u8>),
    /// It depends on the row or the moment, or cannot be evaluated: what to make of it is up to the server, row by row.
    NotConstant,
}

#[derive(Debug, Row, Deserialize)]
struct Description {
    #[serde(with = "clickhouse::serde::uuid")]
    uuid: Uuid,
    structure: u64,
    engine: String,
    engine_full: String,
    partition_key: String,
    sorting_key: String,
    dependent_databases: Vec<String>,
    dependent_tables: Vec<String>,
}

#[derive(Debug, Row, Deserialize)]
struct ColumnRow {
    name: String,
    kind: String,
    default_kind: String,
    default_expression: String,
}

impl Table {
    /// Reads a table's description; `None` if there is no such table, or our user may not see it.
    pub async fn read(session: &Session, name: &TableName) -> Result<Option<Self>, ControlError> {
        let doing = "reading the target table";
        let here = format!("database = {} AND table = {}", sql::string(&name.database), sql::string(&name.table));
        let descriptions: Vec<Description> = session
            .fetch(
                doing,
                &format!(
                    "SELECT uuid, ifNull(({structure}), 0) AS structure, engine, toValidUTF8(engine_full) AS engine_full, \
                     toValidUTF8(partition_key) AS partition_key, toValidUTF8(sorting_key) AS sorting_key, \
                     dependencies_database AS dependent_databases, dependencies_table AS dependent_tables \
                     FROM system.tables WHERE {here}",
                    structure = Structure::question(name),
                ),
            )
            .await?;
        let Some(description) = descriptions.into_iter().next() else {
            return Ok(None);
        };
        let columns: Vec<ColumnRow> = session
            .fetch(
                doing,
                &format!(
                    "SELECT name, hex(type) AS kind, default_kind, hex(default_expression) AS default_expression FROM system.columns \
                     WHERE {here} ORDER BY position"
                ),
            )
            .await?;
        let indexes: Vec<SkipIndex> = session
            .fetch(
                doing,
                &format!(
                    "SELECT name, type AS kind, toValidUTF8(expr) AS expression FROM system.data_skipping_indices \
                     WHERE {here} ORDER BY name"
                ),
            )
            .await?;
        Ok(Some(Self {
            name: name.clone(),
            uuid: description.uuid,
            structure: Structure(description.structure),
            engine: description.engine,
            engine_full: description.engine_full,
            columns: columns.into_iter().map(|row| row.into_column(session, name)).collect::<Result<_, _>>()?,
            partition_key: description.partition_key,
            sorting_key: description.sorting_key,
            indexes,
            dependents: description
                .dependent_databases
                .into_iter()
                .zip(description.dependent_tables)
                .map(|(database, table)| TableName { database, table })
                .collect(),
        }))
    }

    /// A column by its name.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// Whether it is replicated, so that its parts can be visible before they are certain.
    pub fn is_replicated(&self) -> bool {
        self.engine.starts_with("Replicated")
    }

    /// Whether rows leave it by themselves after a time.
    pub fn has_row_ttl(&self) -> bool {
        engine::has_row_ttl(&self.engine_full)
    }

    /// Whether a row that was inserted stays one row, so that counting proves something.
    pub fn rows_countable(&self) -> bool {
        matches!(self.engine.as_str(), "MergeTree" | "ReplicatedMergeTree") && !self.has_row_ttl()
    }

    /// What can be promised for it.
    pub fn verdict(&self, coordinates: &Coordinates) -> Verdict {
        engine::verdict(&self.engine, &engine::parameters(&self.engine_full), &coordinates.offset)
    }

    /// The column by which the table keeps the newer of two rows with one key; `None` where it keeps both.
    pub fn version_column(&self) -> Option<String> {
        engine::version_column(&self.engine, &engine::parameters(&self.engine_full))
    }

    /// Whether a look is served by a `minmax` index on the offset.
    pub fn has_offset_index(&self, coordinates: &Coordinates) -> bool {
        self.indexes
            .iter()
            .any(|index| index.kind == "minmax" && index.expression.trim_matches('`') == coordinates.offset)
    }
}

impl ColumnRow {
    fn into_column(self, session: &Session, table: &TableName) -> Result<Column, ControlError> {
        let malformed = |what: &str| ControlError::Malformed {
            doing: "reading the target table".to_owned(),
            server: session.server().name().to_owned(),
            why: format!("column {} of {table} has {what}", self.name),
        };
        let default_kind = DefaultKind::ALL.into_iter().find(|kind| kind.keyword() == self.default_kind);
        let default_kind =
            default_kind.ok_or_else(|| malformed(&format!("a default of kind {:?}", self.default_kind)))?;
        let sql = |hex: &str| unhex(hex).map(|bytes| as_text(&bytes)).ok_or_else(|| malformed("no text"));
        let (kind, default_expression) = (sql(&self.kind)?, sql(&self.default_expression)?);
        Ok(Column { name: self.name, kind, default_kind, default_expression })
    }
}

impl Column {
    /// Whether an insert may name it.
    pub const fn is_insertable(&self) -> bool {
        matches!(self.default_kind, DefaultKind::None | DefaultKind::Default | DefaultKind::Ephemeral)
    }

    /// Whether a row that lacks it gets what an expression says, and not the type's own default.
    pub fn has_expression(&self) -> bool {
        match self.default_kind {
            DefaultKind::None => false,
            DefaultKind::Default | DefaultKind::Materialized | DefaultKind::Alias => true,
            // The server's own words for the type's default.
            DefaultKind::Ephemeral => !self.default_expression.starts_with("defaultValueOfTypeName("),
        }
    }

    /// What the server makes of a row that lacks the column: an expression of the column's own type.
    pub fn default_value(&self) -> String {
        let kind = sql::string(&self.kind);
        if self.has_expression() {
            // As the server itself does. `CAST` would listen to settings of the profile.
            format!("_CAST({}, {kind})", self.default_expression)
        } else {
            format!("defaultValueOfTypeName({kind})")
        }
    }

    /// Asks the server for a default that is the same for every row.
    pub async fn constant_default(&self, session: &Session) -> Result<ConstantDefault, ControlError> {
        if !self.has_expression() || !is_literal(&self.default_expression) {
            return Ok(ConstantDefault::NotConstant);
        }
        let doing = "evaluating a column's default";
        let question = format!("SELECT hex(formatRow('RowBinary', {})) AS value", self.default_value());
        let values: Vec<String> = match session.fetch(doing, &question).await {
            Ok(values) => values,
            // Only a record that lacks the column meets it.
            Err(ControlError::Refused { .. }) => return Ok(ConstantDefault::NotConstant),
            Err(error) => return Err(error),
        };
        let value = super::session::one(session.server(), doing, values)?;
        let value = unhex(&value).ok_or_else(|| ControlError::Malformed {
            doing: doing.to_owned(),
            server: session.server().name().to_owned(),
            why: format!("the default of column {} is {value:?}", self.name),
        })?;
        Ok(ConstantDefault::Value(value))
    }
}

/// The bytes that the server's `hex` shows.
fn unhex(text: &str) -> Option<Vec<u8>> {
    let pairs = text.as_bytes().chunks(2);
    pairs.map(|pair| u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok()).collect()
}

/// The server's SQL as a text. Bytes that are no UTF-8 stand in literals only, where an escape says the same.
fn as_text(sql: &[u8]) -> String {
    let mut text = String::with_capacity(sql.len());
    for chunk in sql.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|byte| format!("\\x{byte:02X}")));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_as_hexadecimal_digits() {
        let check = |text: &str, expected: Option<&[u8]>| assert_eq!(unhex(text).as_deref(), expected, "{text}");
        check("", Some(&[]));
        check("00FF0a", Some(&[0, 255, 10]));
        check("0x", None);
    }

    #[test]
    fn literals_of_any_bytes_become_texts() {
        let check = |sql: &[u8], expected: &str| assert_eq!(as_text(sql), expected);
        check("'größe'".as_bytes(), "'größe'");
        check(b"concat('\\\\\xFFx\x80', 'a')", "concat('\\\\\\xFFx\\x80', 'a')");
    }
}
