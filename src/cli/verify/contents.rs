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
use crate::decode::Record;
use crate::pipeline::topic_decoding::{TopicDecoder, TopicDecoding};
use crate::types::{Offset, TargetNumber};

/// Which columns of a topic's tables are compared.
#[derive(Debug)]
pub(super) struct ContentsPlan {
    decoding: TopicDecoding,
    tables: Vec<ComparedTable>,
    /// Columns that are not compared, each with the reason.
    pub(super) left_out: Vec<String>,
}

/// Which columns of a table are compared.
#[derive(Debug, Clone)]
pub(super) struct ComparedTable {
    /// Its columns that are filled from records, each with whether it is compared.
    columns: Vec<(String, bool)>,
    /// The table's name, where a row could be in another one of the topic: it is compared like a column.
    name: Option<String>,
}

impl ComparedTable {
    fn names(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().filter(|(_, compared)| *compared).map(|(name, _)| name.as_str())
    }

    fn compared(&self) -> Vec<bool> {
        self.columns.iter().map(|(_, compared)| *compared).collect()
    }

    /// The hash of a stored row, as an expression.
    fn row_hash(&self) -> String {
        let mut values: Vec<String> = self.names().map(sql::identifier).collect();
        values.extend(self.name.as_deref().map(sql::string));
        if values.is_empty() {
            "xxh3('')".to_owned()
        } else {
            format!("xxh3(formatRow('RowBinary', {}))", values.join(", "))
        }
    }

    /// The same of the open row.
    pub(super) fn hash_open_row(&self, columns: &Columns, bytes: &mut Vec<u8>) -> u64 {
        bytes.clear();
        append_open_row(columns, &self.compared(), bytes);
        if let Some(name) = &self.name {
            push_varint(bytes, u64::try_from(name.len()).expect("a length has at most 64 bits"));
            bytes.extend_from_slice(name.as_bytes());
        }
        hash(bytes)
    }
}

/// The hash of a dead letter: record and key, byte for byte.
pub(super) const DEAD_LETTER_HASH: &str = "xxh3(formatRow('RowBinary', raw_message, kafka_key))";

impl ContentsPlan {
    /// Asks the server what expires, and leaves out what is not from the record alone. The tables come in the order of the
    /// decoding's.
    pub(super) async fn read(
        session: &Session,
        tables: &[Table],
        decoding: TopicDecoding,
    ) -> Result<Self, ControlError> {
        let (mut left_out, mut compared) = (Vec::new(), Vec::new());
        for (table, decoding) in tables.iter().zip(decoding.tables()) {
            let shown =
                |column: &str| if tables.len() == 1 { column.to_owned() } else { format!("{}.{column}", table.name) };
            let expiring = table.columns_with_ttl(session).await?;
            left_out.extend(
                table
                    .columns
                    .iter()
                    .filter_map(|column| Some(format!("{} ({})", shown(&column.name), computed(column)?))),
            );
            let mut columns = Vec::new();
            for column in decoding.rows.columns() {
                let is_stored = table.column(&column.name).is_none_or(|column| computed(column).is_none());
                // One that is not was named above.
                let reason = if !is_stored {
                    None
                } else if expiring.contains(&column.name) {
                    Some("its values expire")
                } else if column.column_type.is_made_from_json() {
                    Some("its value is made by the server from JSON text")
                } else if column.default == DefaultValue::ServerSide {
                    Some("its default is evaluated by the server")
                } else {
                    None
                };
                left_out.extend(reason.map(|reason| format!("{} ({reason})", shown(&column.name))));
                columns.push((column.name.clone(), is_stored && reason.is_none()));
            }
            let name = (tables.len() > 1).then(|| table.name.to_string());
            compared.push(ComparedTable { columns, name });
        }
        Ok(Self { decoding, tables: compared, left_out })
    }

    /// The hash of a stored row of each table, as expressions.
    pub(super) fn row_hashes(&self) -> Vec<String> {
        self.tables.iter().map(ComparedTable::row_hash).collect()
    }

    /// The hash of each compared column of a stored row of a table, as one expression.
    pub(super) fn column_hashes(&self, target: TargetNumber) -> String {
        let hash = |name: &str| format!("xxh3(formatRow('RowBinary', {}))", sql::identifier(name));
        format!("[{}]", sql::joined(self.names(target).map(hash), ", "))
    }

    /// The compared columns of a table.
    pub(super) fn names(&self, target: TargetNumber) -> impl Iterator<Item = &str> {
        self.tables[target.index()].names()
    }

    /// Which columns of each table are compared.
    pub(super) fn tables(&self) -> &[ComparedTable] {
        &self.tables
    }

    /// What hashes records for it.
    pub(super) fn hasher(&self) -> Hasher {
        Hasher { decoder: decoder_of(&self.decoding), tables: self.tables.clone(), bytes: Vec::new() }
    }
}

/// What decodes the records of a topic whose tables were read.
pub(super) fn decoder_of(decoding: &TopicDecoding) -> TopicDecoder {
    decoding.decoder().expect("making the plan has checked every time zone")
}

/// Why a column that is not filled from records is not compared.
fn computed(column: &Column) -> Option<&'static str> {
    match column.default_kind {
        DefaultKind::None | DefaultKind::Default => None,
        DefaultKind::Materialized => Some("MATERIALIZED"),
        DefaultKind::Alias => Some("ALIAS"),
        DefaultKind::Ephemeral => Some("EPHEMERAL"),
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

/// The row that a record makes, column by column of those that are compared.
#[derive(Debug)]
pub(super) struct RowByColumn {
    pub(super) target: TargetNumber,
    pub(super) hashes: Vec<u64>,
    /// The hashes of what the columns have by default.
    pub(super) defaults: Vec<u64>,
    /// Which columns have their default because the record lacks them.
    pub(super) lacking: Vec<bool>,
}

/// Hashes records.
#[derive(Debug)]
pub(super) struct Hasher {
    decoder: TopicDecoder,
    tables: Vec<ComparedTable>,
    bytes: Vec<u8>,
}

impl Hasher {
    /// Of a record.
    pub(super) fn hash(&mut self, record: &Record<'_>) -> Hashes {
        let dead = dead_hash(record, &mut self.bytes);
        let row = self.decoder.decode_patiently(record).ok().map(|target| {
            let columns = self.decoder.columns_mut(target);
            let hash = self.tables[target.index()].hash_open_row(columns, &mut self.bytes);
            columns.rollback_row();
            hash
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
    /// The hash of each compared column of the row that a record makes, and its table; `None` where it makes none.
    pub(super) fn column_hashes(&mut self, record: &Record<'_>) -> Option<(TargetNumber, Vec<u64>)> {
        self.columns(record).map(|row| (row.target, row.hashes))
    }

    /// The same, with what each column would have if the record lacked it, and whether it does.
    pub(super) fn columns(&mut self, record: &Record<'_>) -> Option<RowByColumn> {
        let target = self.decoder.decode_patiently(record).ok()?;
        let columns = self.decoder.columns_mut(target);
        let compared = self.tables[target.index()].compared();
        let (mut hashes, mut defaults, mut lacking) = (Vec::new(), Vec::new(), Vec::new());
        for column in (0..compared.len()).filter(|column| compared[*column]) {
            let only: Vec<bool> = (0..compared.len()).map(|other| other == column).collect();
            self.bytes.clear();
            append_open_row(columns, &only, &mut self.bytes);
            hashes.push(hash(&self.bytes));
            self.bytes.clear();
            columns.append_default_bytes(column, &mut self.bytes);
            defaults.push(hash(&self.bytes));
            lacking.push(columns.is_defaulted(column));
        }
        columns.rollback_row();
        Some(RowByColumn { target, hashes, defaults, lacking })
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
