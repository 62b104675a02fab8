//! Inserting one table of one block: the body, the conditions, one request.

use std::collections::BTreeMap;
use std::sync::mpsc::SyncSender;

use crate::block::native::BodyColumn;
use crate::clickhouse::TableName;
use crate::dead_letter::DeadLetters;
use crate::failpoint;
use crate::insert::{
    self, Body, ComputedColumn, Condition, Expected, InputColumn, InsertRequest, RowBinary, ServerDefault,
};
use crate::ledger;
use crate::metrics::InsertReport;
use crate::pipeline::alert_rows;
use crate::pipeline::blocks::Contents;
use crate::pipeline::effects::{Effects, LaneEffects, end_of};
use crate::price;
use crate::protocol::action::{Found, Insert};
use crate::protocol::event::{InsertEnd, Table};
use crate::source::poll_loop::Command;
use crate::types::{Claim, Partition, RecordCount, TargetNumber};

/// A request with what the metrics say of it.
struct Prepared {
    request: InsertRequest,
    rows: u64,
    bytes: u64,
}

impl Effects {
    /// Sends one insert of a block, once, and says how it ended.
    pub(super) async fn insert(&self, insert: Insert, contents: Contents, commands: &SyncSender<Command>) -> InsertEnd {
        let lane = self.lane(insert.lane);
        let into = insert.table;
        if into == Table::Ledger && price::without("ledger") {
            return InsertEnd::Acknowledged;
        }
        let Prepared { request, rows, bytes } = self.prepare(lane, &insert, contents, commands).await;
        let (before, after) = failpoints(into);
        if let Err(text) = failpoint::reach(before) {
            return InsertEnd::Unknown(text);
        }
        let began = crate::clock::now();
        let end = end_of(self.session().server().insert(request).await);
        let elapsed = began.elapsed();
        let end = failpoint::reach(after).map_or_else(InsertEnd::Unknown, |()| end);
        let end = match into {
            Table::Target(target) => self.suspect_table(&lane.targets[target.index()], end).await,
            Table::DeadLetters | Table::Alerts | Table::Ledger => end,
        };
        let target = match into {
            Table::Target(target) if !lane.tables.routes.is_empty() => Some(lane.tables.target(target).to_string()),
            _ => None,
        };
        let report =
            InsertReport { block: insert.block, into, target: target.as_deref(), rows, bytes, elapsed, end: &end };
        lane.metrics.insert_ended(&report);
        end
    }

    async fn prepare(
        &self,
        lane: &LaneEffects,
        insert: &Insert,
        contents: Contents,
        commands: &SyncSender<Command>,
    ) -> Prepared {
        let state = &lane.tables.state;
        match contents {
            Contents::Rows(target, encoding, expected) => {
                let (block, columns) = encoding.await.expect("encoding a block panicked");
                // When the polling thread has ended nobody needs the buffers.
                drop(commands.try_send(Command::Recycle(insert.lane, target, columns)));
                let rows = u64::try_from(block.rows).expect("rows fit 64 bits");
                assert_eq!(RecordCount(rows), expected, "block {} holds other rows than it says", insert.block);
                let values = &lane.server_values[target.index()];
                let columns = input_columns(&block.body_columns, &values.defaults);
                let found = expected_units(&insert.found, |found| found.rows);
                let mut conditions = self.where_repeated(Condition::presence_of_rows(&lane.tables, &found));
                let table = &lane.targets[target.index()];
                conditions.push(Condition::structure(&table.name, table.structure));
                let bytes = u64::try_from(block.compressed_bytes).expect("bytes fit 64 bits");
                let body = Body::Native { frames: block.frames };
                let role = if target == TargetNumber::OWN { "target".to_owned() } else { format!("route{}", target.0) };
                let what = (columns.as_slice(), values.computed.as_slice());
                self.request(lane, insert, &table.name, &role, what, conditions, rows, bytes, body)
            }
            Contents::DeadLetters(letters) => {
                let found = expected_units(&insert.found, |found| found.dead);
                let test = Condition::presence_of_dead_letters(&lane.tables, &found);
                let columns = DeadLetters::columns();
                let rows = u64::try_from(letters.len()).expect("rows fit 64 bits");
                let body = letters.rows(&lane.tables.cell);
                self.small(lane, insert, &state.dead_letters(), "dead_letters", &columns, test, rows, body)
            }
            Contents::Alerts(alerts) => {
                let (columns, body) = (alert_rows::columns(), alert_rows::rows(&alerts));
                self.small(lane, insert, &state.alerts(), "alerts", &columns, None, alerts.count().0, body)
            }
            Contents::Ledger => {
                let claims = claims(insert);
                let (session, prove) = (self.session(), !lane.rows_expire);
                let request =
                    ledger::insert(&session, &lane.tables, &self.writer, insert.block, &claims, &insert.ledger, prove);
                let rows = u64::try_from(insert.ledger.len()).expect("rows fit 64 bits");
                Prepared { request, rows, bytes: 0 }
            }
        }
    }

    #[expect(clippy::too_many_arguments, reason = "each is one part of one statement")]
    fn small(
        &self,
        lane: &LaneEffects,
        insert: &Insert,
        table: &TableName,
        role: &str,
        columns: &[InputColumn],
        test: Option<Condition>,
        rows: u64,
        body: RowBinary,
    ) -> Prepared {
        let bytes = u64::try_from(body.len()).expect("bytes fit 64 bits");
        let conditions = self.where_repeated(test);
        self.request(lane, insert, table, role, (columns, &[]), conditions, rows, bytes, Body::RowBinary(body))
    }

    /// Only where a request may be repeated on its way: the test costs a look.
    fn where_repeated(&self, test: Option<Condition>) -> Vec<Condition> {
        test.into_iter().filter(|_| self.session().server().behind_proxy()).collect()
    }

    #[expect(clippy::too_many_arguments, reason = "each is one part of one statement")]
    fn request(
        &self,
        lane: &LaneEffects,
        insert: &Insert,
        table: &TableName,
        role: &str,
        (columns, computed): (&[InputColumn], &[ComputedColumn]),
        conditions: Vec<Condition>,
        rows: u64,
        bytes: u64,
        body: Body,
    ) -> Prepared {
        let session = self.session();
        let claims = claims(insert);
        let (tables, block) = (&lane.tables, insert.block);
        let lane = tables;
        let parts =
            insert::Insert { lane, table, role, claims: &claims, block, columns, computed, conditions, rows, body };
        Prepared { request: InsertRequest::new(session.pins(), &self.writer, parts), rows, bytes }
    }
}

fn claims(insert: &Insert) -> BTreeMap<Partition, Claim> {
    insert.claims.iter().map(|(key, claim)| (key.partition, *claim)).collect()
}

fn expected_units(found: &[Found], count: fn(&Found) -> RecordCount) -> Vec<Expected> {
    let expected = |found: &Found| Expected {
        partition: found.key.partition,
        replay: found.replay,
        range: found.range,
        rows: count(found),
    };
    found.iter().map(expected).collect()
}

/// The body's columns as the statement names them: a presence flag follows from its column's default.
fn input_columns(body: &[BodyColumn], defaults: &BTreeMap<String, String>) -> Vec<InputColumn> {
    let flags: BTreeMap<usize, &str> =
        body.iter().filter_map(|column| Some((column.presence_of?, column.name.as_str()))).collect();
    let data = body.iter().enumerate().filter(|(_, column)| column.presence_of.is_none());
    let column = |(index, column): (usize, &BodyColumn)| InputColumn {
        name: column.name.clone(),
        kind: column.type_text.clone(),
        conversion: column.conversion.clone(),
        default: flags.get(&index).map(|presence| ServerDefault {
            presence: (*presence).to_owned(),
            expression: defaults.get(&column.name).cloned().expect("a flag is made for a default of the server"),
        }),
    };
    data.map(column).collect()
}

/// The failpoints before and after an insert.
fn failpoints(table: Table) -> (&'static str, &'static str) {
    match table {
        Table::Target(TargetNumber::OWN) => ("before_insert_target", "after_insert_target"),
        Table::Target(_) => ("before_insert_route", "after_insert_route"),
        Table::DeadLetters => ("before_insert_dead_letters", "after_insert_dead_letters"),
        Table::Alerts => ("before_insert_alerts", "after_insert_alerts"),
        Table::Ledger => ("before_insert_ledger", "after_insert_ledger"),
    }
}
