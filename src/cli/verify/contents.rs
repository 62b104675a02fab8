//! What rows and dead letters hold against what the records say.
//!
//! A record is decoded by the connector's own decoder and written as `RowBinary`; the server writes the stored row with
//! `formatRow('RowBinary', ..)`. Both are hashed by xxh3, so only hashes meet. Columns whose stored value does not come
//! from the record alone are left out, and the report says which.

use std::collections::{BTreeMap, HashMap};

use super::compare::{Tally, Window};
use super::sums::hash;
use crate::clickhouse::{Column, ControlError, DefaultKind, Session, Table, sql};
use crate::columns::{Columns, DefaultValue, append_open_row, push_varint};
use crate::decode::{Record, RecordDecoder};
use crate::pipeline::decoding::Decoding;
use crate::types::Offset;

/// Which columns of a table are compared.
#[derive(Debug)]
pub(super) struct ContentsPlan {
    decoding: Decoding,
    /// For each data column.
    compared: Vec<bool>,
    /// Columns that are not compared, each with the reason.
    pub(super) left_out: Vec<String>,
}

/// The hash of a dead letter: record and key, byte for byte.
pub(super) const DEAD_LETTER_HASH: &str = "xxh3(formatRow('RowBinary', raw_message, kafka_key))";

impl ContentsPlan {
    /// Asks the server what expires, and leaves out what is not from the record alone.
    pub(super) async fn read(session: &Session, table: &Table, decoding: Decoding) -> Result<Self, ControlError> {
        let expiring = table.columns_with_ttl(session).await?;
        let mut left_out: Vec<String> = table.columns.iter().filter_map(computed).collect();
        let compared = decoding
            .rows
            .columns()
            .iter()
            .map(|column| {
                let reason = if expiring.contains(&column.name) {
                    "its values expire"
                } else if column.column_type.is_made_from_json() {
                    "its value is made by the server from JSON text"
                } else if column.default == DefaultValue::ServerSide {
                    "its default is evaluated by the server"
                } else {
                    return true;
                };
                left_out.push(format!("{} ({reason})", column.name));
                false
            })
            .collect();
        Ok(Self { decoding, compared, left_out })
    }

    /// The hash of a stored row, as an expression.
    pub(super) fn row_hash(&self) -> String {
        let names = sql::joined(self.names().map(sql::identifier), ", ");
        if names.is_empty() { "xxh3('')".to_owned() } else { format!("xxh3(formatRow('RowBinary', {names}))") }
    }

    /// The hash of each compared column of a stored row, as one expression.
    pub(super) fn column_hashes(&self) -> String {
        let hash = |name: &str| format!("xxh3(formatRow('RowBinary', {}))", sql::identifier(name));
        format!("[{}]", sql::joined(self.names().map(hash), ", "))
    }

    /// The compared columns.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        let columns = self.decoding.rows.columns().iter().zip(&self.compared);
        columns.filter(|(_, compared)| **compared).map(|(column, _)| column.name.as_str())
    }

    /// For each data column whether it is compared.
    pub(super) fn compared(&self) -> &[bool] {
        &self.compared
    }

    /// What hashes records for it.
    pub(super) fn hasher(&self) -> Hasher {
        Hasher {
            decoder: self.decoding.decoder(),
            columns: Columns::new(&self.decoding.rows).expect("making the plan has checked every time zone"),
            compared: self.compared.clone(),
            bytes: Vec::new(),
        }
    }
}

/// Why a column that is not filled from records is not compared.
fn computed(column: &Column) -> Option<String> {
    match column.default_kind {
        DefaultKind::None | DefaultKind::Default => None,
        DefaultKind::Materialized => Some(format!("{} (MATERIALIZED)", column.name)),
        DefaultKind::Alias => Some(format!("{} (ALIAS)", column.name)),
        DefaultKind::Ephemeral => Some(format!("{} (EPHEMERAL)", column.name)),
    }
}

/// A record as hashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hashes {
    /// Of the row that it makes; `None` where it makes none.
    pub(super) row: Option<u64>,
    /// Of the dead letter that it would be.
    pub(super) dead: u64,
}

impl Hashes {
    /// What is expected to be stored.
    pub(super) fn expected(self) -> u64 {
        self.row.unwrap_or(self.dead)
    }
}

/// Hashes records.
#[derive(Debug)]
pub(super) struct Hasher {
    decoder: RecordDecoder,
    columns: Columns,
    compared: Vec<bool>,
    bytes: Vec<u8>,
}

impl Hasher {
    /// Of a record.
    pub(super) fn hash(&mut self, record: &Record<'_>) -> Hashes {
        let dead = dead_hash(record, &mut self.bytes);
        let row = self.decoder.decode_patiently(record, &mut self.columns).ok().map(|()| {
            self.bytes.clear();
            append_open_row(&self.columns, &self.compared, &mut self.bytes);
            self.columns.rollback_row();
            hash(&self.bytes)
        });
        Hashes { row, dead }
    }
}

/// The hash of the dead letter that a record would be; the buffer is for its bytes.
pub(super) fn dead_hash(record: &Record<'_>, bytes: &mut Vec<u8>) -> u64 {
    bytes.clear();
    for part in [record.value, record.key] {
        bytes.push(u8::from(part.is_none()));
        if let Some(part) = part {
            push_varint(bytes, u64::try_from(part.len()).expect("a length has at most 64 bits"));
            bytes.extend_from_slice(part);
        }
    }
    hash(bytes)
}

impl Hasher {
    /// The hash of each compared column of the row that a record makes; `None` where it makes none.
    pub(super) fn column_hashes(&mut self, record: &Record<'_>) -> Option<Vec<u64>> {
        self.decoder.decode(record, &mut self.columns).ok()?;
        let mut hashes = Vec::new();
        for column in (0..self.compared.len()).filter(|column| self.compared[*column]) {
            let only: Vec<bool> = (0..self.compared.len()).map(|other| other == column).collect();
            self.bytes.clear();
            append_open_row(&self.columns, &only, &mut self.bytes);
            hashes.push(hash(&self.bytes));
        }
        self.columns.rollback_row();
        Some(hashes)
    }
}

/// Compares what a window's rows and dead letters hold, each given as offset and hash. Units without a record are not
/// judged here: [`super::compare::compare`] does.
pub(super) fn compare_contents(window: &Window, rows: &[(u64, u64)], dead: &[(u64, u64)], tally: &mut Tally) {
    let records: BTreeMap<u64, Hashes> = window.contents.iter().copied().collect();
    let mut owners: Option<HashMap<u64, u64>> = None;
    let mut sorted: Vec<(u64, u64)> = rows.to_vec();
    sorted.sort_unstable();
    for (offset, stored) in sorted {
        let Some(record) = records.get(&offset) else { continue };
        match record.row {
            Some(row) if row == stored => {}
            Some(_) => {
                let owners = owners.get_or_insert_with(|| {
                    records.iter().filter_map(|(offset, record)| Some((record.row?, *offset))).collect()
                });
                if owners.contains_key(&stored) {
                    tally.swapped.add(Offset::new(offset));
                } else {
                    tally.altered.add(Offset::new(offset));
                }
            }
            None => tally.undecodable.add(Offset::new(offset)),
        }
    }
    let mut sorted: Vec<(u64, u64)> = dead.to_vec();
    sorted.sort_unstable();
    for (offset, stored) in sorted {
        if records.get(&offset).is_some_and(|record| record.dead != stored) {
            tally.dead_altered.add(Offset::new(offset));
        }
    }
}
