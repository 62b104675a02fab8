//! Dead letters: records that could not become rows, kept byte for byte, with what was wrong.
//!
//! Takes letters while a block fills, gives the body of one insert into `dead_letters`. Never changes a letter, and
//! never shows its bytes in a log.

use crate::clickhouse::Cell;
use crate::insert::{InputColumn, RowBinary};
use crate::types::{Offset, Partition, Replay};

/// In which step a record failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The bytes are not what the format says.
    Decode,
    /// A value does not fit its column.
    Convert,
    /// The server refused the row.
    Insert,
}

impl Stage {
    /// A stable word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Decode => "decode",
            Self::Convert => "convert",
            Self::Insert => "insert",
        }
    }

    /// The number in the table's `Enum8`.
    fn number(self) -> u8 {
        match self {
            Self::Decode => 1,
            Self::Convert => 2,
            Self::Insert => 3,
        }
    }
}

/// One record that could not become a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// Where it stood.
    pub partition: Partition,
    /// Where it stood.
    pub offset: Offset,
    /// In which replay of the topic.
    pub replay: Replay,
    /// Its key, exactly.
    pub key: Option<Vec<u8>>,
    /// Its timestamp in milliseconds since 1970.
    pub timestamp_ms: Option<i64>,
    /// Its headers, in order: name and value, exactly.
    pub headers: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    /// Its value, exactly.
    pub raw_message: Option<Vec<u8>>,
    /// In which step it failed.
    pub stage: Stage,
    /// What was wrong, for people.
    pub error: String,
    /// What was wrong, for queries: a reason of ours, or the server's code.
    pub error_code: String,
    /// The column whose value was wrong, if it was one.
    pub error_field: Option<String>,
    /// The schema that it was written with.
    pub schema_id: Option<u32>,
    /// When it was set aside, in microseconds since 1970.
    pub event_time_us: i64,
}

impl DeadLetter {
    /// Bytes of memory that it takes.
    fn bytes(&self) -> usize {
        let optional = |part: &Option<Vec<u8>>| part.as_ref().map_or(0, Vec::len);
        let headers = self
            .headers
            .iter()
            .map(|(name, value)| size_of::<(Vec<u8>, Option<Vec<u8>>)>() + name.len() + optional(value));
        size_of::<Self>()
            + optional(&self.key)
            + optional(&self.raw_message)
            + headers.sum::<usize>()
            + self.error.len()
            + self.error_code.len()
            + self.error_field.as_ref().map_or(0, String::len)
    }
}

/// The dead letters of one block.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeadLetters {
    letters: Vec<DeadLetter>,
    bytes: usize,
}

/// The columns of the insert, in the order in which [`DeadLetters::rows`] writes them, with the table's types.
const COLUMNS: [(&str, &str); 17] = [
    ("cluster", "LowCardinality(String)"),
    ("connector", "LowCardinality(String)"),
    ("target", "LowCardinality(String)"),
    ("kafka_topic_name", "LowCardinality(String)"),
    ("kafka_partition", "Int32"),
    ("kafka_offset", "UInt64"),
    ("replay", "UInt32"),
    ("kafka_key", "Nullable(String)"),
    ("kafka_timestamp", "Nullable(DateTime64(3, 'UTC'))"),
    ("kafka_headers", "Array(Tuple(name String, value Nullable(String)))"),
    ("raw_message", "Nullable(String)"),
    ("stage", "Enum8('decode' = 1, 'convert' = 2, 'insert' = 3)"),
    ("error", "String"),
    ("error_code", "LowCardinality(String)"),
    ("error_field", "String"),
    ("schema_id", "Nullable(UInt32)"),
    ("event_time", "DateTime64(6, 'UTC')"),
];

impl DeadLetters {
    /// Adds one.
    pub fn push(&mut self, letter: DeadLetter) {
        self.bytes += letter.bytes();
        self.letters.push(letter);
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.letters.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.letters.is_empty()
    }

    /// Bytes of memory that they take.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The letters, in the order in which they were added.
    pub fn iter(&self) -> std::slice::Iter<'_, DeadLetter> {
        self.letters.iter()
    }

    /// The columns of the insert.
    pub fn columns() -> Vec<InputColumn> {
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

    /// The rows of the insert, for the lane's cell.
    pub fn rows(&self, cell: &Cell) -> RowBinary {
        let target = cell.target.to_string();
        let mut rows = RowBinary::new();
        for letter in &self.letters {
            rows.string(&cell.cluster_id);
            rows.string(&cell.connector);
            rows.string(&target);
            rows.string(&cell.topic);
            rows.i32(letter.partition.0);
            rows.u64(letter.offset.get());
            rows.u32(letter.replay.0);
            rows.nullable(letter.key.as_deref(), RowBinary::string);
            rows.nullable(letter.timestamp_ms, RowBinary::i64);
            rows.length(letter.headers.len());
            for (name, value) in &letter.headers {
                rows.string(name);
                rows.nullable(value.as_deref(), RowBinary::string);
            }
            rows.nullable(letter.raw_message.as_deref(), RowBinary::string);
            rows.u8(letter.stage.number());
            rows.string(&letter.error);
            rows.string(&letter.error_code);
            rows.string(letter.error_field.as_deref().unwrap_or_default());
            rows.nullable(letter.schema_id, RowBinary::u32);
            rows.i64(letter.event_time_us);
        }
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clickhouse::TableName;

    fn letter() -> DeadLetter {
        DeadLetter {
            partition: Partition(3),
            offset: Offset::new(7),
            replay: Replay(1),
            key: Some(vec![0xff, 0x00]),
            timestamp_ms: Some(-1),
            headers: vec![(b"h".to_vec(), None), (b"i".to_vec(), Some(vec![0xfe]))],
            raw_message: Some(vec![0xc3, 0x28]),
            stage: Stage::Convert,
            error: "bad".to_owned(),
            error_code: "out_of_range".to_owned(),
            error_field: Some("temp".to_owned()),
            schema_id: None,
            event_time_us: 2,
        }
    }

    fn cell() -> Cell {
        Cell {
            cluster_id: "c".to_owned(),
            connector: "n".to_owned(),
            target: TableName::new("d", "t"),
            topic: "k".to_owned(),
        }
    }

    #[test]
    fn letters_are_written_byte_for_byte() {
        let mut letters = DeadLetters::default();
        letters.push(letter());
        let mut expected: Vec<u8> = b"\x01c\x01n\x03d.t\x01k".to_vec();
        expected.extend_from_slice(&[3, 0, 0, 0]);
        expected.extend_from_slice(&[7, 0, 0, 0, 0, 0, 0, 0]);
        expected.extend_from_slice(&[1, 0, 0, 0]);
        expected.extend_from_slice(&[0, 2, 0xff, 0x00]);
        expected.push(0);
        expected.extend_from_slice(&[0xff; 8]);
        expected.extend_from_slice(b"\x02\x01h\x01\x01i\x00\x01\xfe");
        expected.extend_from_slice(&[0, 2, 0xc3, 0x28]);
        expected.push(2);
        expected.extend_from_slice(b"\x03bad\x0cout_of_range\x04temp");
        expected.push(1);
        expected.extend_from_slice(&[2, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(letters.rows(&cell()).into_bytes(), expected);
    }

    #[test]
    fn what_a_record_lacks_is_null() {
        let mut letters = DeadLetters::default();
        letters.push(DeadLetter {
            key: None,
            timestamp_ms: None,
            headers: Vec::new(),
            raw_message: None,
            error_field: None,
            ..letter()
        });
        let bytes = letters.rows(&cell()).into_bytes();
        let behind_the_replay = 1 + 1 + 1 + 1 + 4 + 2 + 4 + 8 + 4;
        // NULL key, NULL timestamp, no headers, NULL value, the stage.
        assert_eq!(bytes[behind_the_replay..][..5], [1, 1, 0, 1, 2]);
    }

    #[test]
    fn bytes_are_accounted_for() {
        let check = |change: &dyn Fn(&mut DeadLetter), more: usize| {
            let mut changed = letter();
            change(&mut changed);
            assert_eq!(changed.bytes(), letter().bytes() + more);
        };
        check(&|_| {}, 0);
        check(&|letter| letter.raw_message = Some(vec![0; 1_002]), 1_000);
        check(&|letter| letter.key = Some(vec![0; 12]), 10);
        check(&|letter| letter.headers[0].1 = Some(vec![0; 9]), 9);
        check(&|letter| letter.error = "x".repeat(103), 100);
        let mut letters = DeadLetters::default();
        letters.push(letter());
        letters.push(letter());
        assert_eq!((letters.len(), letters.bytes()), (2, 2 * letter().bytes()));
    }

    #[test]
    fn the_columns_are_those_of_the_table() {
        let schema = include_str!("../schemas/dead_letters.sql");
        let columns = schema.split_once("\n(\n").unwrap().1.split_once("\n)").unwrap().0;
        let found: Vec<(&str, &str)> = columns
            .lines()
            .map(|line| {
                let (name, rest) = line.trim().split_once(' ').unwrap();
                let kind = rest.split(" COMMENT ").next().unwrap().split(" DEFAULT ").next().unwrap();
                (name, kind.trim().trim_end_matches(','))
            })
            .collect();
        assert_eq!(found, COLUMNS);
    }
}
