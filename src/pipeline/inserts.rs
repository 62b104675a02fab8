//! Inserting one table of one block: the body, the conditions, one request.

use std::collections::BTreeMap;
use std::sync::mpsc::SyncSender;

use crate::block::native::BodyColumn;
use crate::clickhouse::{LaneTables, TableName};
use crate::dead_letter;
use crate::failpoint;
use crate::insert::{self, Body, Condition, Expected, InputColumn, InsertRequest, RowBinary};
use crate::ledger;
use crate::metrics::InsertReport;
use crate::pipeline::blocks::{Contents, RowsBody};
use crate::pipeline::effects::{Effects, end_of};
use crate::protocol::action::Insert;
use crate::protocol::event::{InsertEnd, Table};
use crate::protocol::facts::LedgerRow;
use crate::source::poll_loop::Command;
use crate::types::{Claim, Partition, RecordCount};

/// What is sent for one table.
struct Prepared {
    table: TableName,
    role: &'static str,
    columns: Vec<InputColumn>,
    conditions: Vec<Condition>,
    rows: u64,
    bytes: u64,
    body: Body,
}

impl Effects {
    /// Sends one insert of a block, once, and says how it ended.
    pub async fn insert(&self, insert: Insert, contents: Contents, commands: &SyncSender<Command>) -> InsertEnd {
        let lane = self.lane(insert.lane);
        let prepared = self.prepare(&insert, contents, commands).await;
        let claims: BTreeMap<Partition, Claim> =
            insert.claims.iter().map(|(key, claim)| (key.partition, *claim)).collect();
        let session = self.session();
        let (rows, bytes, into) = (prepared.rows, prepared.bytes, insert.table);
        let request = InsertRequest::new(
            session.pins(),
            &self.writer,
            insert::Insert {
                lane: &lane.tables,
                table: &prepared.table,
                role: prepared.role,
                claims: &claims,
                block: insert.block,
                columns: &prepared.columns,
                conditions: prepared.conditions,
                rows,
                body: prepared.body,
            },
        );
        failpoint::hit(failpoints(into).0);
        let began = crate::clock::now();
        let end = end_of(session.server().insert(request).await);
        let elapsed = began.elapsed();
        failpoint::hit(failpoints(into).1);
        lane.metrics.insert_ended(&InsertReport { block: insert.block, into, rows, bytes, elapsed, end: &end });
        end
    }

    async fn prepare(&self, insert: &Insert, contents: Contents, commands: &SyncSender<Command>) -> Prepared {
        let lane = self.lane(insert.lane);
        let state = &lane.tables.state;
        let small = |table, role, (columns, rows, body): (Vec<InputColumn>, u64, RowBinary)| Prepared {
            table,
            role,
            columns,
            conditions: Vec::new(),
            rows,
            bytes: body.len(),
            body: Body::RowBinary(body),
        };
        match contents {
            Contents::Rows(encoding, expected) => {
                let RowsBody { block, columns } = encoding.await.expect("encoding a block panicked");
                // The polling thread may be at its end; then nobody needs the buffers.
                drop(commands.try_send(Command::Recycle(insert.lane, columns)));
                let rows = u64::try_from(block.rows).expect("rows fit 64 bits");
                assert_eq!(RecordCount(rows), expected, "block {} holds other rows than it says", insert.block);
                Prepared {
                    table: lane.tables.cell.target.clone(),
                    role: "target",
                    columns: input_columns(&block.body_columns, &lane.server_defaults),
                    conditions: self.presence(insert),
                    rows,
                    bytes: u64::try_from(block.compressed_bytes).expect("bytes fit 64 bits"),
                    body: Body::Native { frames: block.frames },
                }
            }
            Contents::DeadLetters(letters) => {
                let rows = dead_letter::rows(&lane.tables.cell, &letters);
                small(state.dead_letters(), "dead_letters", rows)
            }
            Contents::Alerts(alerts) => small(state.alerts(), "alerts", alerts.rows(&lane.tables.cell)),
            Contents::Ledger => {
                let version = self.session().version().to_owned();
                let rows = ledger::rows(&lane.tables, insert.block, &version, &insert.ledger);
                let mut prepared = small(state.ledger(), "ledger", rows);
                prepared.conditions = proof(&lane.tables, &insert.ledger);
                prepared
            }
        }
    }

    /// Where something between us and the server may repeat a request: the rows that the look found, and no more.
    fn presence(&self, insert: &Insert) -> Vec<Condition> {
        let lane = self.lane(insert.lane);
        if !self.session().server().behind_proxy() {
            return Vec::new();
        }
        Condition::presence_of_rows(&lane.tables, &expected(&insert.found, |found| found.rows)).into_iter().collect()
    }
}

/// The ledger vouches only for what the server counts in both tables.
fn proof(lane: &LaneTables, rows: &[LedgerRow]) -> Vec<Condition> {
    let expected = |count: fn(&LedgerRow) -> RecordCount| -> Vec<Expected> {
        rows.iter()
            .map(|row| Expected {
                partition: row.key.partition,
                replay: row.replay,
                range: row.range,
                rows: count(row),
            })
            .collect()
    };
    let of_rows = Condition::proof_of_rows(lane, &expected(|row| row.rows));
    let of_dead_letters = Condition::proof_of_dead_letters(lane, &expected(|row| row.dead));
    of_rows.into_iter().chain(of_dead_letters).collect()
}

/// The body's columns as the statement names them: a presence column follows from its column's default.
fn input_columns(body: &[BodyColumn], defaults: &BTreeMap<String, String>) -> Vec<InputColumn> {
    todo!()
}

/// The failpoints before and after an insert.
fn failpoints(table: Table) -> (&'static str, &'static str) {
    match table {
        Table::Target => ("before_insert_target", "after_insert_target"),
        Table::DeadLetters => ("before_insert_dead_letters", "after_insert_dead_letters"),
        Table::Alerts => ("before_insert_alerts", "after_insert_alerts"),
        Table::Ledger => ("before_insert_ledger", "after_insert_ledger"),
    }
}
