//! What people see of inserts that fail, and of the search for records that the server refuses.

use super::Report;
use crate::admin::TimedError;
use crate::clickhouse::codes;
use crate::clock;
use crate::protocol::block::BlockSummary;
use crate::protocol::event::{InsertEnd, ServerError, ServerErrorKind, Table};
use crate::types::{LaneId, Offset, PartitionKey, RecordCount};

impl Report {
    /// An insert of a block has ended.
    pub(in crate::pipeline) fn inserted(&mut self, block: &BlockSummary, table: Table, end: &InsertEnd) {
        let now = clock::unix_ms();
        let error = words(table, end);
        if let Some(text) = &error {
            for key in block.batches.keys() {
                if let Some(partition) = self.partitions.get_mut(key) {
                    partition.last_error = Some(TimedError { unix_ms: now, text: text.clone() });
                }
            }
        }
        self.change(|status| match (end, error) {
            (InsertEnd::Unknown(_) | InsertEnd::TooLarge(_), Some(text)) => status.clickhouse.failed(now, text),
            (InsertEnd::Ended(_), Some(text)) => status.clickhouse.complained(now, text),
            _ => status.clickhouse.succeeded(now),
        });
    }

    /// Blocks of the lane are closed at so many bytes from here on.
    pub(in crate::pipeline) fn bytes_limited(&self, lane: LaneId, limit: u64) {
        let topic = &self.effects.lane(lane).tables.cell.topic;
        tracing::warn!(
            topic,
            bytes = limit,
            "something in front of clickhouse refuses large requests (http status 413): blocks hold at most so many bytes \
             of records until the next start; set `batch.bytes_max`, or raise the limit there (nginx: client_max_body_size)"
        );
    }

    pub(super) fn search_began(&mut self, lane: LaneId, rows: RecordCount, error: &ServerError) {
        self.searches.insert(lane, 0);
        let topic = &self.effects.lane(lane).tables.cell.topic;
        tracing::info!(
            topic, %rows, code = error.code,
            "bisecting a block to isolate the records that the server rejects; the others are stored meanwhile"
        );
    }

    pub(super) fn search_ended(&mut self, lane: LaneId) {
        let rejected = self.searches.remove(&lane).unwrap_or(0);
        let topic = &self.effects.lane(lane).tables.cell.topic;
        tracing::info!(topic, rejected, "bisection finished");
    }

    pub(super) fn condemned(&mut self, key: PartitionKey, offset: Offset, error: &ServerError) {
        *self.searches.entry(key.lane).or_default() += 1;
        let topic = &self.effects.lane(key.lane).tables.cell.topic;
        let cause = format!("condemned {topic} {}", error.code);
        if let Some(held_back) = self.metrics.throttled().permit(&cause, clock::now()) {
            tracing::warn!(
                topic, partition = %key.partition, %offset, code = error.code, error = error.text, held_back,
                "the server refuses this record for good: it becomes a dead letter"
            );
        }
    }
}

/// What went wrong, without anything of a record: the server's words about records quote them.
fn words(table: Table, end: &InsertEnd) -> Option<String> {
    let into = match table {
        Table::Target(_) => "the table",
        Table::DeadLetters => "dead_letters",
        Table::Alerts => "alerts",
        Table::Ledger => "the ledger",
    };
    let said = match end {
        InsertEnd::Acknowledged => return None,
        InsertEnd::Fenced => "another owner has claimed a partition of the block".to_owned(),
        InsertEnd::Short => "the table holds fewer rows than were acknowledged".to_owned(),
        InsertEnd::Present => "rows are there that were not before (a request sent twice?)".to_owned(),
        InsertEnd::TableChanged => "the table was changed since it was read".to_owned(),
        InsertEnd::Ended(ServerError { code, text, kind }) => {
            let name = codes::name(*code).map(|name| format!(" {name}")).unwrap_or_default();
            match kind {
                ServerErrorKind::Bytes | ServerErrorKind::Doubtful => {
                    format!("clickhouse refuses it with code {code}{name}, in words that the log has")
                }
                ServerErrorKind::Passing | ServerErrorKind::Configuration | ServerErrorKind::TableChanged => {
                    format!("clickhouse answered with code {code}{name}: {text}")
                }
            }
        }
        InsertEnd::TooLarge(why) | InsertEnd::Unknown(why) => why.clone(),
    };
    Some(format!("insert into {into}: {said}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::TargetNumber;

    #[test]
    fn what_failed_is_said_without_records() {
        let check = |end: InsertEnd, expected: Option<&str>| {
            assert_eq!(words(Table::Target(TargetNumber::OWN), &end).as_deref(), expected);
        };
        let ended = |code, kind| InsertEnd::Ended(ServerError { code, text: "secret".to_owned(), kind });
        check(InsertEnd::Acknowledged, None);
        check(
            ended(153, ServerErrorKind::Bytes),
            Some(
                "insert into the table: clickhouse refuses it with code 153 ILLEGAL_DIVISION, in words that the log has",
            ),
        );
        check(
            ended(9_999, ServerErrorKind::Doubtful),
            Some("insert into the table: clickhouse refuses it with code 9999, in words that the log has"),
        );
        check(
            ended(497, ServerErrorKind::Configuration),
            Some("insert into the table: clickhouse answered with code 497 ACCESS_DENIED: secret"),
        );
        check(InsertEnd::Unknown("connection reset".to_owned()), Some("insert into the table: connection reset"));
    }
}
