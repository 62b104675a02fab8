//! Inserts: how one is built, sent once, and judged.
//!
//! Takes rows as bytes and the claims they are written under, gives an [`Outcome`]. Everything that makes an insert
//! safe stands in its statement, so that the server decides: the fence, the proof of the ledger, the presence test.
//! Never resends. Only an acknowledgement says that the rows are there; nothing says that they are not.

mod condition;
mod outcome;
mod request;
mod rowbinary;
mod send;

pub use condition::{Condition, Expected};
pub(crate) use outcome::page_text;
pub use outcome::{Outcome, Refusal, Reply};
pub use request::{Body, ComputedColumn, InputColumn, Insert, InsertRequest, ServerDefault, Writer};
pub(crate) use request::{selection, structure};
pub use rowbinary::RowBinary;
pub(crate) use send::Sender;

#[cfg(test)]
pub(crate) mod tests {
    use crate::clickhouse::{Cell, Coordinates, LaneTables, StateTables, TableName};
    use crate::types::LaneId;

    /// A lane for golden texts; its topic has a quote in it on purpose.
    pub(crate) fn lane() -> LaneTables {
        LaneTables {
            lane: LaneId(0),
            cell: Cell {
                cluster_id: "c1".to_owned(),
                connector: "readings".to_owned(),
                target: TableName::new("iot", "readings"),
                topic: "it's".to_owned(),
            },
            routes: Vec::new(),
            coordinates: Coordinates { replay: Some("_replay".to_owned()), ..Coordinates::default() },
            state: StateTables { database: "oncesink".to_owned() },
        }
    }
}
