//! What tables, columns and cells are called: the names that every statement is made of.
//!
//! A *cell* is what a claim, a ledger row and a dead letter belong to: cluster, connector, target table, topic.

use std::fmt;

use super::sql;
use crate::types::{LaneId, Partition, PartitionKey, TargetNumber, UnitKind};

/// A table with its database.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableName {
    /// The database.
    pub database: String,
    /// The table.
    pub table: String,
}

impl TableName {
    /// A table of a database.
    pub fn new(database: impl Into<String>, table: impl Into<String>) -> Self {
        Self { database: database.into(), table: table.into() }
    }

    /// The name as it stands in a statement.
    pub fn quoted(&self) -> String {
        format!("{}.{}", sql::identifier(&self.database), sql::identifier(&self.table))
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.database, self.table)
    }
}

/// The names of our own tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateTables {
    /// The database that holds them.
    pub database: String,
}

impl StateTables {
    /// Who may write: a row per claim.
    pub fn ownership(&self) -> TableName {
        TableName::new(&self.database, "ownership")
    }

    /// What was written: a row per block and partition.
    pub fn ledger(&self) -> TableName {
        TableName::new(&self.database, "ledger")
    }

    /// Records that could not become rows.
    pub fn dead_letters(&self) -> TableName {
        TableName::new(&self.database, "dead_letters")
    }

    /// What became of dead letters.
    pub fn dead_letter_events(&self) -> TableName {
        TableName::new(&self.database, "dead_letter_events")
    }

    /// The first records of each reason that made a partition stop.
    pub fn halted_samples(&self) -> TableName {
        TableName::new(&self.database, "halted_samples")
    }

    /// Alerts and their acknowledgement.
    pub fn alerts(&self) -> TableName {
        TableName::new(&self.database, "alerts")
    }
}

/// What claims, ledger rows and dead letters belong to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cell {
    /// The Kafka cluster's id.
    pub cluster_id: String,
    /// The connector's name, which is its consumer group.
    pub connector: String,
    /// The table that the rows go to.
    pub target: TableName,
    /// The topic that they come from.
    pub topic: String,
}

impl Cell {
    /// The condition that selects this cell in `ownership` and `ledger`.
    pub(crate) fn condition(&self) -> String {
        self.condition_on("topic")
    }

    /// The condition that selects this cell in `dead_letters`, whose columns are named as ClickHouse's own.
    pub(crate) fn dead_letter_condition(&self) -> String {
        self.condition_on("kafka_topic_name")
    }

    fn condition_on(&self, topic_column: &str) -> String {
        format!(
            "cluster = {} AND connector = {} AND target = {} AND {topic_column} = {}",
            sql::string(&self.cluster_id),
            sql::string(&self.connector),
            sql::string(&self.target.to_string()),
            sql::string(&self.topic),
        )
    }
}

/// The target's columns that hold a row's place in Kafka.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coordinates {
    /// Topic name: `String` or `LowCardinality(String)`.
    pub topic: String,
    /// Partition: any integer.
    pub partition: String,
    /// Offset: `UInt64` or `Int64`.
    pub offset: String,
    /// Which row of its record, where records make several: any integer of 32 bits or more.
    pub row: Option<String>,
    /// Replay, where the table has it.
    pub replay: Option<String>,
}

impl Default for Coordinates {
    fn default() -> Self {
        Self {
            topic: "_topic".to_owned(),
            partition: "_partition".to_owned(),
            offset: "_offset".to_owned(),
            row: None,
            replay: None,
        }
    }
}

impl Coordinates {
    /// What a unit of the table is.
    pub fn unit_kind(&self) -> UnitKind {
        if self.row.is_some() { UnitKind::Row } else { UnitKind::Record }
    }

    /// All columns that a table needs for them.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let always = [&self.topic, &self.partition, &self.offset];
        always.into_iter().chain(&self.row).chain(&self.replay).map(String::as_str)
    }
}

/// Everything that the statements about one lane need to know of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaneTables {
    /// The lane.
    pub lane: LaneId,
    /// Whom its claims and ledger rows belong to.
    pub cell: Cell,
    /// Tables of routes, which rows of the topic may be in as well: those that the configuration names, and those that the
    /// ledger knows from before. They have the same coordinate columns, of the same types.
    pub routes: Vec<TableName>,
    /// Where the target keeps topic, partition and offset.
    pub coordinates: Coordinates,
    /// Our own tables.
    pub state: StateTables,
}

impl LaneTables {
    /// All tables that rows of the topic may be in, its own first.
    pub fn targets(&self) -> impl Iterator<Item = &TableName> {
        std::iter::once(&self.cell.target).chain(&self.routes)
    }

    /// One of the tables that rows of the topic go to.
    ///
    /// # Panics
    /// Where the configuration names no such table.
    pub fn target(&self, number: TargetNumber) -> &TableName {
        self.targets().nth(number.index()).expect("tables are numbered by the configuration")
    }

    /// A partition of this lane.
    pub fn key(&self, partition: Partition) -> PartitionKey {
        PartitionKey { lane: self.lane, partition }
    }
}

/// The frozen start of every query id of this connector: a drain recognises inserts of all versions by it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueryPrefix(String);

impl QueryPrefix {
    /// The prefix of a connector on a cluster. Must never change: a drain would overlook an older version's inserts.
    pub fn new(cluster_id: &str, connector: &str) -> Self {
        let mut identity = Vec::with_capacity(cluster_id.len() + connector.len() + 1);
        identity.extend_from_slice(cluster_id.as_bytes());
        // Neither a cluster id nor a consumer group can hold a zero byte, so no two pairs run together.
        identity.push(0);
        identity.extend_from_slice(connector.as_bytes());
        Self(format!("oncesink-{:016x}-", xxhash_rust::xxh3::xxh3_64(&identity)))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_query_prefix_is_frozen() {
        assert_eq!(QueryPrefix::new("MkU3OEVBNTcwNTJENDM2Qk", "readings").as_str(), "oncesink-9635cbeb7959a115-");
        assert_ne!(QueryPrefix::new("a", "bc"), QueryPrefix::new("ab", "c"));
    }

    #[test]
    fn a_cell_is_selected_by_all_of_its_names() {
        let cell = Cell {
            cluster_id: "c".to_owned(),
            connector: "it's".to_owned(),
            target: TableName::new("iot", "readings"),
            topic: "t".to_owned(),
        };
        assert_eq!(
            cell.condition(),
            r"cluster = 'c' AND connector = 'it\'s' AND target = 'iot.readings' AND topic = 't'"
        );
        assert_eq!(cell.target.quoted(), "`iot`.`readings`");
    }
}
