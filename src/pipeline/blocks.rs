//! The contents of blocks under way: the protocol names a block by its number, here are its bytes.
//!
//! A block's rows are encoded as soon as it is closed, on a blocking thread, beside the insert of the block before it;
//! then its columns go back to the polling thread. What is kept is compressed.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use tokio::task::JoinHandle;

use crate::alerts::AlertBuffer;
use crate::block::lane_fill::FilledBlock;
use crate::block::native::{EncodedBlock, encode_native};
use crate::columns::Columns;
use crate::commit::transactions::AlertMessage;
use crate::dead_letter::DeadLetters;
use crate::protocol::action::BlockAlerts;
use crate::protocol::block::BlockSummary;
use crate::protocol::event::Table;
use crate::types::{BlockNumber, LaneId, RecordCount};

/// All blocks that were closed and not let go. The protocol bounds their number per lane.
#[derive(Debug, Default)]
pub struct BlockStore {
    blocks: BTreeMap<BlockNumber, StoredBlock>,
}

#[derive(Debug)]
struct StoredBlock {
    summary: BlockSummary,
    rows: Option<JoinHandle<(EncodedBlock, Columns)>>,
    dead_letters: Arc<DeadLetters>,
    alerts: Arc<AlertBuffer>,
    timestamps_ms: Option<(i64, i64)>,
    payload_bytes: u64,
}

/// What is inserted into one table.
#[derive(Debug)]
pub enum Contents {
    /// Rows, being encoded.
    Rows(JoinHandle<(EncodedBlock, Columns)>, RecordCount),
    /// Dead letters.
    DeadLetters(Arc<DeadLetters>),
    /// Alerts.
    Alerts(Arc<AlertBuffer>),
    /// The protocol gives the rows itself.
    Ledger,
}

/// What is left of a block when it is let go.
#[derive(Debug)]
pub struct ReleasedBlock {
    /// Its lane.
    pub lane: LaneId,
    /// What it held.
    pub summary: BlockSummary,
    /// The oldest and newest timestamp of its records.
    pub timestamps_ms: Option<(i64, i64)>,
    /// Bytes of its records.
    pub payload_bytes: u64,
}

impl BlockStore {
    /// Keeps a block and begins to encode its rows.
    pub fn store(&mut self, block: FilledBlock) {
        let FilledBlock { summary, columns, dead_letters, alerts, timestamps_ms, payload_bytes } = block;
        let rows = tokio::task::spawn_blocking(move || (encode_native(&columns), columns));
        let number = summary.number;
        let stored = StoredBlock {
            summary,
            rows: Some(rows),
            dead_letters: Arc::new(dead_letters),
            alerts: Arc::new(alerts),
            timestamps_ms,
            payload_bytes,
        };
        let replaced = self.blocks.insert(number, stored);
        assert!(replaced.is_none(), "block {number} was closed twice");
    }

    /// What goes into one of the block's tables. Rows are handed out once: a block is sent once.
    pub fn contents(&mut self, number: BlockNumber, table: Table) -> Contents {
        let block = self.blocks.get_mut(&number).expect("the protocol inserts blocks that it has not let go");
        match table {
            Table::Target => {
                let rows = block.rows.take().expect("the rows of a block are sent once");
                Contents::Rows(rows, block.summary.rows())
            }
            Table::DeadLetters => Contents::DeadLetters(Arc::clone(&block.dead_letters)),
            Table::Alerts => Contents::Alerts(Arc::clone(&block.alerts)),
            Table::Ledger => Contents::Ledger,
        }
    }

    /// The messages for the alert topic of these blocks, of the partitions that count.
    pub fn alerts(&self, wanted: &[BlockAlerts], topic: Option<&Arc<str>>) -> Vec<AlertMessage> {
        let Some(topic) = topic else { return Vec::new() };
        let mut messages = Vec::new();
        for BlockAlerts { block, partitions } in wanted {
            let block = self.blocks.get(block).expect("the protocol commits blocks that it has not let go");
            for key in partitions {
                messages.extend(block.alerts.messages(key.partition, topic));
            }
        }
        messages
    }

    /// Forgets a block; `None` if it was never stored.
    pub fn release(&mut self, number: BlockNumber) -> Option<ReleasedBlock> {
        let block = self.blocks.remove(&number)?;
        Some(ReleasedBlock {
            lane: block.summary.lane,
            summary: block.summary,
            timestamps_ms: block.timestamps_ms,
            payload_bytes: block.payload_bytes,
        })
    }
}

/// Bytes of a body.
pub fn body_bytes(frames: &[Bytes]) -> usize {
    frames.iter().map(Bytes::len).sum()
}
