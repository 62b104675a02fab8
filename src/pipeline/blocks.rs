//! The contents of blocks under way: the protocol names a block by its number, here are its bytes.
//!
//! A block's rows are encoded as soon as it is closed, on a blocking thread, beside the insert of the block before it;
//! then its columns go back to the polling thread. What is kept is compressed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::task::JoinHandle;

use crate::alerts::AlertSet;
use crate::block::lane_fill::FilledBlock;
use crate::block::native::{NativeBlock, NativeEncoder};
use crate::columns::Columns;
use crate::commit::transactions::AlertMessage;
use crate::dead_letter::DeadLetters;
use crate::metrics::BlockAccount;
use crate::protocol::action::BlockAlerts;
use crate::protocol::block::BlockSummary;
use crate::protocol::event::Table;
use crate::types::{BlockNumber, RecordCount, TargetNumber};

/// Rows on their way to become a body; the columns come back for reuse.
pub(super) type Encoding = JoinHandle<(NativeBlock, Columns)>;

/// All blocks that were closed and not let go. The protocol bounds their number per lane.
#[derive(Debug, Default)]
pub(super) struct BlockStore {
    blocks: BTreeMap<BlockNumber, StoredBlock>,
    encoder: Arc<Mutex<NativeEncoder>>,
}

/// A block without its columns.
#[derive(Debug)]
pub(super) struct StoredBlock {
    /// What the protocol knows of it.
    pub(super) summary: BlockSummary,
    /// The books of its records, until their fate is known.
    pub(super) account: Option<BlockAccount>,
    /// The oldest timestamp of its records.
    pub(super) oldest_ms: Option<i64>,
    rows: BTreeMap<TargetNumber, Encoding>,
    dead_letters: Arc<DeadLetters>,
    alerts: Arc<AlertSet>,
}

/// What is inserted into one table.
#[derive(Debug)]
pub(super) enum Contents {
    /// Rows of one of the target tables, being encoded, and how many they must be.
    Rows(TargetNumber, Encoding, RecordCount),
    /// Dead letters.
    DeadLetters(Arc<DeadLetters>),
    /// Alerts.
    Alerts(Arc<AlertSet>),
    /// The protocol gives the rows itself.
    Ledger,
}

impl BlockStore {
    /// Keeps a block and begins to encode its rows.
    pub(super) fn store(&mut self, block: FilledBlock, account: BlockAccount) {
        let FilledBlock { summary, columns, dead_letters, alerts, oldest_ms, .. } = block;
        let encode = |(target, columns): (TargetNumber, Columns)| {
            let encoder = Arc::clone(&self.encoder);
            let encoding = tokio::task::spawn_blocking(move || {
                let mut encoder = encoder.lock().unwrap_or_else(PoisonError::into_inner);
                (encoder.encode(&columns), columns)
            });
            (target, encoding)
        };
        let rows = columns.into_iter().map(encode).collect();
        let number = summary.number;
        let stored = StoredBlock {
            summary,
            account: Some(account),
            oldest_ms,
            rows,
            dead_letters: Arc::new(dead_letters),
            alerts: Arc::new(alerts),
        };
        let replaced = self.blocks.insert(number, stored);
        assert!(replaced.is_none(), "block {number} was closed twice");
    }

    /// A block that is under way.
    pub(super) fn get_mut(&mut self, number: BlockNumber) -> Option<&mut StoredBlock> {
        self.blocks.get_mut(&number)
    }

    /// What goes into one of the block's tables. Rows are handed out once: a block is sent once.
    pub(super) fn contents(&mut self, number: BlockNumber, table: Table) -> Contents {
        let block = self.blocks.get_mut(&number).expect("the protocol inserts blocks that it has not let go");
        match table {
            Table::Target(target) => {
                let rows = block.rows.remove(&target).expect("the rows of a block are sent once");
                Contents::Rows(target, rows, block.summary.rows_into(target))
            }
            Table::DeadLetters => Contents::DeadLetters(Arc::clone(&block.dead_letters)),
            Table::Alerts => Contents::Alerts(Arc::clone(&block.alerts)),
            Table::Ledger => Contents::Ledger,
        }
    }

    /// The messages for the alert topic of these blocks, of the partitions that count.
    pub(super) fn alerts(&self, wanted: &[BlockAlerts], topic: Option<&Arc<str>>) -> Vec<AlertMessage> {
        let Some(topic) = topic else { return Vec::new() };
        let mut messages = Vec::new();
        for BlockAlerts { block, partitions } in wanted {
            let block = self.blocks.get(block).expect("the protocol commits blocks that it has not let go");
            for alert in partitions.iter().flat_map(|key| block.alerts.of_partition(key.partition)) {
                messages.push(AlertMessage {
                    topic: Arc::clone(topic),
                    key: Some(alert.kafka_key().into_bytes()),
                    payload: alert.to_json(),
                    headers: Vec::new(),
                });
            }
        }
        messages
    }

    /// Forgets a block; `None` if it was never stored.
    pub(super) fn release(&mut self, number: BlockNumber) -> Option<StoredBlock> {
        self.blocks.remove(&number)
    }
}

impl StoredBlock {
    /// Its dead letters.
    pub(super) fn dead_letters(&self) -> &Arc<DeadLetters> {
        &self.dead_letters
    }

    /// Alerts of it, for their counters.
    pub(super) fn alert_set(&self) -> &AlertSet {
        &self.alerts
    }
}
