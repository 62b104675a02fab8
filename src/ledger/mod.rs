//! The ledger: what each block did to each partition, and what it says when a partition is taken over.
//!
//! Takes [`LedgerRow`]s and writes them fenced, with the proof that the target and the dead letters hold what they say;
//! gives [`StoredFacts`](crate::protocol::facts::StoredFacts). Every block writes its rows, also when nothing was inserted: they are then the only fence that
//! the block meets (N3).

mod audit;
mod facts;
mod missing;

pub use audit::{Audited, audit};
pub use facts::stored_facts;

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::clickhouse::{LaneTables, Session};
use crate::insert::{Body, Condition, Expected, InputColumn, Insert, InsertRequest, RowBinary, Writer};
use crate::protocol::facts::LedgerRow;
use crate::types::{BlockNumber, Claim, Offset, Partition, Replay};

/// Builds the insert of a block's ledger rows. With `prove_rows` (a MergeTree without row TTL) the server refuses them
/// unless the target holds the rows; the dead letters are proven always.
///
/// Panics if a row is not of this lane, because it would be written under another target's name.
pub fn insert(
    session: &Session,
    lane: &LaneTables,
    writer: &Writer,
    block: BlockNumber,
    claims: &BTreeMap<Partition, Claim>,
    rows: &[LedgerRow],
    prove_rows: bool,
) -> InsertRequest {
    let mut body = RowBinary::new();
    for row in rows {
        assert!(row.key.lane == lane.lane, "a ledger row of another lane");
        encode(&mut body, lane, block, session.version(), row);
    }
    let mut conditions = Vec::new();
    if prove_rows {
        conditions.extend(Condition::proof_of_rows(lane, &expected(rows, |row| row.rows)));
    }
    conditions.extend(Condition::proof_of_ledger(lane, &vouched(rows)));
    conditions.extend(Condition::proof_of_dead_letters(lane, &expected(rows, |row| row.dead)));
    InsertRequest::new(
        session.pins(),
        writer,
        Insert {
            lane,
            table: &lane.state.ledger(),
            role: "ledger",
            claims,
            block,
            computed: &[],
            columns: &columns(),
            conditions,
            rows: u64::try_from(rows.len()).expect("partitions are counted in 31 bits"),
            body: Body::RowBinary(body),
        },
    )
}

/// Where the ledger has to reach for each checkpoint, which takes the place of all rows before it.
fn vouched(rows: &[LedgerRow]) -> Vec<(Partition, Replay, Offset)> {
    rows.iter()
        .filter(|row| row.checkpoint && row.origin < row.range.start())
        .map(|row| (row.key.partition, row.replay, row.range.start()))
        .collect()
}

/// What a row vouches for. A row that repairs a damaged range proves it like any other.
fn expected(rows: &[LedgerRow], count: impl Fn(&LedgerRow) -> crate::types::RecordCount) -> Vec<Expected> {
    rows.iter()
        .map(|row| Expected { partition: row.key.partition, replay: row.replay, range: row.range, rows: count(row) })
        .collect()
}

/// The columns of [`encode`], in its order. `inserted_at` is the server's own clock.
const COLUMNS: [(&str, &str); 22] = [
    ("cluster", "String"),
    ("connector", "String"),
    ("target", "String"),
    ("topic", "String"),
    ("partition", "Int32"),
    ("topic_id", "Nullable(UUID)"),
    ("replay", "UInt32"),
    ("start_offset", "UInt64"),
    ("end_offset", "UInt64"),
    ("origin", "UInt64"),
    ("checkpoint", "Bool"),
    ("rows", "UInt64"),
    ("dead", "UInt64"),
    ("skipped", "UInt64"),
    ("gap_start", "Nullable(UInt64)"),
    ("gap_end", "Nullable(UInt64)"),
    ("floor", "UInt64"),
    ("claim", "UInt128"),
    ("block", "UInt64"),
    ("damaged", "Bool"),
    ("views_unverified", "Bool"),
    ("server_version", "String"),
];

fn columns() -> Vec<InputColumn> {
    COLUMNS
        .iter()
        .map(|(name, kind)| InputColumn {
            name: (*name).to_owned(),
            kind: (*kind).to_owned(),
            conversion: None,
            default: None,
        })
        .collect()
}

fn encode(body: &mut RowBinary, lane: &LaneTables, block: BlockNumber, server_version: &str, row: &LedgerRow) {
    body.string(&lane.cell.cluster_id);
    body.string(&lane.cell.connector);
    body.string(lane.cell.target.to_string());
    body.string(&lane.cell.topic);
    body.i32(row.key.partition.0);
    body.nullable(row.topic_id, |body, id| body.uuid(Uuid::from_u128(id.0)));
    body.u32(row.replay.0);
    body.u64(row.range.start().get());
    body.u64(row.range.end().get());
    body.u64(row.origin.get());
    body.bool(row.checkpoint);
    body.u64(row.rows.0);
    body.u64(row.dead.0);
    body.u64(row.skipped.0);
    body.nullable(row.gap, |body, gap| body.u64(gap.start().get()));
    body.nullable(row.gap, |body, gap| body.u64(gap.end().get()));
    body.u64(row.floor.get());
    body.u128(row.claim.0);
    body.u64(block.0);
    body.bool(row.damaged);
    body.bool(row.views_unverified);
    body.string(server_version);
}
