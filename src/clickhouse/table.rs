//! What a target table is: columns, engine, keys, what hangs on it.

use clickhouse::Row;
use serde::Deserialize;
use uuid::Uuid;

use super::engine::{self, Verdict};
use super::error::ControlError;
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
    /// Only read by other columns' expressions while inserting.
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
    /// The value as JSON.
    Json(String),
    /// It depends on the row or the moment: the server has to evaluate it.
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
                    "SELECT uuid, ifNull(({structure}), 0) AS structure, engine, engine_full, partition_key, sorting_key, \
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
                    "SELECT name, type AS kind, default_kind, default_expression FROM system.columns \
                     WHERE {here} ORDER BY position"
                ),
            )
            .await?;
        let indexes: Vec<SkipIndex> = session
            .fetch(
                doing,
                &format!(
                    "SELECT name, type AS kind, expr AS expression FROM system.data_skipping_indices \
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

    /// Whether a look is served by a `minmax` index on the offset.
    pub fn has_offset_index(&self, coordinates: &Coordinates) -> bool {
        self.indexes
            .iter()
            .any(|index| index.kind == "minmax" && index.expression.trim_matches('`') == coordinates.offset)
    }
}

impl ColumnRow {
    fn into_column(self, session: &Session, table: &TableName) -> Result<Column, ControlError> {
        let Some(default_kind) = DefaultKind::ALL.into_iter().find(|kind| kind.keyword() == self.default_kind) else {
            return Err(ControlError::Malformed {
                doing: "reading the target table".to_owned(),
                server: session.server().name().to_owned(),
                why: format!("column {} of {table} has a default of kind {:?}", self.name, self.default_kind),
            });
        };
        Ok(Column { name: self.name, kind: self.kind, default_kind, default_expression: self.default_expression })
    }
}

impl Column {
    /// Asks the server for a default that is the same for every row.
    pub async fn constant_default(&self, session: &Session) -> Result<ConstantDefault, ControlError> {
        #[derive(Row, Deserialize)]
        struct Value {
            json: String,
        }
        if self.default_kind != DefaultKind::Default || !is_literal(&self.default_expression) {
            return Ok(ConstantDefault::NotConstant);
        }
        let values: Vec<Value> = session
            .fetch(
                "evaluating a column's default",
                &format!(
                    "SELECT assumeNotNull(ifNull(toJSONString(CAST({}, {})), 'null')) AS json",
                    self.default_expression,
                    sql::string(&self.kind)
                ),
            )
            .await?;
        let value = super::session::one(session.server(), "evaluating a column's default", values)?;
        Ok(ConstantDefault::Json(value.json))
    }
}

/// Whether an expression consists of literals and conversions alone. Anything else may read a column, the clock or
/// chance; taking a constant for one costs little, the reverse would store wrong values.
fn is_literal(expression: &str) -> bool {
    const CONVERSIONS: [&str; 16] = [
        "CAST",
        "NULL",
        "true",
        "false",
        "inf",
        "nan",
        "array",
        "map",
        "tuple",
        "toDate",
        "toDate32",
        "toDateTime",
        "toDateTime64",
        "toUUID",
        "toIPv4",
        "toIPv6",
    ];
    let mut rest = expression.chars().peekable();
    while let Some(character) = rest.next() {
        match character {
            '\'' => {
                let mut escaped = false;
                let closed = rest.by_ref().any(|character| {
                    let closes = character == '\'' && !escaped;
                    escaped = character == '\\' && !escaped;
                    closes
                });
                if !closed {
                    return false;
                }
            }
            '0'..='9' => {
                // Numbers, with exponents and hexadecimal digits.
                while rest.next_if(|next| next.is_ascii_alphanumeric() || *next == '.').is_some() {}
            }
            '(' | ')' | '[' | ']' | ',' | ' ' | '-' | '+' | '.' => {}
            first if first.is_ascii_alphabetic() || first == '_' => {
                let mut word = String::from(first);
                while let Some(next) = rest.next_if(|next| next.is_ascii_alphanumeric() || *next == '_') {
                    word.push(next);
                }
                let is_number_conversion =
                    ["toInt", "toUInt", "toFloat", "toDecimal"].iter().any(|prefix| word.starts_with(prefix));
                if !CONVERSIONS.contains(&word.as_str()) && !is_number_conversion {
                    return false;
                }
            }
            _ => return false,
        }
    }
    !expression.trim().is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_are_told_from_expressions() {
        let check = |expression: &str, expected: bool| {
            assert_eq!(is_literal(expression), expected, "{expression}");
        };
        check("5", true);
        check("-1.5e10", true);
        check("'it\\'s'", true);
        check("'a now() b'", true);
        check("CAST('x', 'Enum8(\\'x\\' = 1)')", true);
        check("[1, 2]", true);
        check("NULL", true);
        check("toDateTime64('2020-01-01 00:00:00', 3)", true);
        check("toUInt8(3)", true);
        check("'torn", false);
        check("now()", false);
        check("toDate(now())", false);
        check("other_column", false);
        check("a + 1", false);
        check("`quoted`", false);
        check("rand()", false);
        check("generateUUIDv4()", false);
        check("", false);
    }
}
