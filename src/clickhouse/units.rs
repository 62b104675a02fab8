//! Where the units of a partition can be found: the target table and the dead letters, asked in the same way.

use super::names::{LaneTables, TableName};
use super::sql;
use crate::types::{Offset, OffsetRange, Partition, Replay};

/// A table with one row per unit, and the columns that say which.
#[derive(Debug, Clone)]
pub(crate) struct Units {
    pub(crate) table: TableName,
    /// Selects the lane's rows among those of others.
    pub(crate) condition: String,
    /// Quoted, like the two below.
    pub(crate) partition: String,
    pub(crate) offset: String,
    pub(crate) replay: Option<String>,
}

impl Units {
    /// The rows of the target table.
    pub(crate) fn of_target(lane: &LaneTables) -> Self {
        let columns = &lane.coordinates;
        Self {
            table: lane.cell.target.clone(),
            condition: format!("{} = {}", sql::identifier(&columns.topic), sql::string(&lane.cell.topic)),
            partition: sql::identifier(&columns.partition),
            offset: sql::identifier(&columns.offset),
            replay: columns.replay.as_deref().map(sql::identifier),
        }
    }

    /// The dead letters of this connector, target and topic, and of no other.
    pub(crate) fn of_dead_letters(lane: &LaneTables) -> Self {
        Self {
            table: lane.state.dead_letters(),
            condition: lane.cell.dead_letter_condition(),
            partition: sql::identifier("kafka_partition"),
            offset: sql::identifier("kafka_offset"),
            replay: Some(sql::identifier("replay")),
        }
    }

    /// The condition of the units of a partition within `range`.
    pub(crate) fn within(&self, partition: Partition, replay: Replay, range: OffsetRange) -> String {
        let Self { offset, .. } = self;
        format!(
            "({} AND {offset} >= {} AND {offset} < {})",
            self.of_partition(partition, replay),
            range.start(),
            range.end(),
        )
    }

    /// The condition of the units of a partition from an offset on.
    pub(crate) fn from(&self, partition: Partition, replay: Replay, from: Offset) -> String {
        format!("({} AND {} >= {from})", self.of_partition(partition, replay), self.offset,)
    }

    /// The condition of all units of a partition.
    pub(crate) fn of_partition(&self, partition: Partition, replay: Replay) -> String {
        match &self.replay {
            Some(column) => format!("{} = {partition} AND {column} = {replay}", self.partition),
            None => format!("{} = {partition}", self.partition),
        }
    }

    /// `FROM .. WHERE ..` for any of the given conditions.
    pub(crate) fn table_where(&self, any_of: &[String]) -> String {
        format!("FROM {} WHERE {} AND ({})", self.table.quoted(), self.condition, any_of.join(" OR "))
    }
}
