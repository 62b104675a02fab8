//! What of a partition's records could not become rows: counted by reason and field, for people.
//!
//! Takes dead letters, gives counts, words, and a bounded sample. Words hold names of columns and fields, never values.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::admin::DeadLetterCount;
use crate::clickhouse::{Cell, TableName};
use crate::dead_letter::{DeadLetter, DeadLetters};
use crate::types::{Offset, Partition, RecordCount};

/// So many reasons are told apart for each partition; the rest share one. A server's words and unknown fields may be many.
const REASONS_MAX: usize = 20;
/// So many reasons are named in one sentence, the most frequent ones.
const REASONS_SAID_MAX: usize = 5;
/// So many records of each reason are kept when a partition stops.
const SAMPLES_MAX: usize = 3;
/// So many bytes of each.
const SAMPLE_BYTES_MAX: usize = 4096;
/// The reason of what is not told apart.
const OTHER: &str = "other";

/// Records by reason and field.
#[derive(Debug, Clone, Default)]
pub(super) struct Offences(BTreeMap<(String, String), Offence>);

#[derive(Debug, Clone)]
struct Offence {
    records: u64,
    first: Offset,
    last_unix_ms: i64,
}

impl Offences {
    /// Those of a block, of one partition.
    pub(super) fn of(letters: &DeadLetters, partition: Partition, now_unix_ms: i64) -> Self {
        let mut found = Self::default();
        for letter in letters.iter().filter(|letter| letter.partition == partition) {
            let known = found.entry(&letter.error_code, letter.error_field.as_deref().unwrap_or_default());
            let offence =
                known.or_insert_with(|| Offence { records: 0, first: letter.offset, last_unix_ms: now_unix_ms });
            offence.records += 1;
        }
        found
    }

    fn entry(&mut self, code: &str, field: &str) -> std::collections::btree_map::Entry<'_, (String, String), Offence> {
        let mut key = (code.to_owned(), field.to_owned());
        if self.0.len() >= REASONS_MAX && !self.0.contains_key(&key) {
            key = (OTHER.to_owned(), String::new());
        }
        self.0.entry(key)
    }

    /// Adds those of a later block.
    pub(super) fn add(&mut self, later: &Self) {
        for ((code, field), offence) in &later.0 {
            let known = self.entry(code, field);
            let known = known.or_insert_with(|| Offence { records: 0, ..offence.clone() });
            known.records += offence.records;
            known.last_unix_ms = offence.last_unix_ms;
        }
    }

    /// How many records there are.
    pub(super) fn records(&self) -> RecordCount {
        RecordCount(self.0.values().map(|offence| offence.records).sum())
    }

    /// The most frequent reasons, such as ``60 out_of_range in `price` (first at offset 12)``.
    pub(super) fn words(&self) -> String {
        let mut most: Vec<_> = self.0.iter().collect();
        most.sort_by_key(|(_, offence)| std::cmp::Reverse(offence.records));
        let mut words = String::new();
        for ((code, field), offence) in most.iter().take(REASONS_SAID_MAX) {
            let comma = if words.is_empty() { "" } else { ", " };
            let place = if field.is_empty() { String::new() } else { format!(" in `{field}`") };
            write!(words, "{comma}{} {code}{place} (first at offset {})", offence.records, offence.first)
                .expect("writing to a string does not fail");
        }
        if most.len() > REASONS_SAID_MAX {
            write!(words, ", and {} reasons more", most.len() - REASONS_SAID_MAX)
                .expect("writing to a string does not fail");
        }
        words
    }

    /// For the status.
    pub(super) fn counts(&self) -> Vec<DeadLetterCount> {
        let counts = self.0.iter().map(|((code, field), offence)| DeadLetterCount {
            code: code.clone(),
            field: field.clone(),
            records: offence.records,
            first_offset: offence.first.get(),
            last_unix_ms: offence.last_unix_ms,
        });
        counts.collect()
    }

    /// The statement that keeps the first letters of each of these reasons; `None` where there are none.
    pub(super) fn keep_samples(
        &self,
        letters: &DeadLetters,
        partition: Partition,
        table: &TableName,
        cell: &Cell,
    ) -> Option<String> {
        let mut left: BTreeMap<(&str, &str), usize> =
            self.0.keys().map(|(code, field)| ((code.as_str(), field.as_str()), SAMPLES_MAX)).collect();
        let samples = letters.iter().filter(|letter| letter.partition == partition);
        let samples: Vec<&DeadLetter> = samples
            .filter(|letter| {
                let field = letter.error_field.as_deref().unwrap_or_default();
                let reason = (letter.error_code.as_str(), field);
                let reason = if left.contains_key(&reason) { reason } else { (OTHER, "") };
                left.get_mut(&reason).is_some_and(|left| left.checked_sub(1).map(|less| *left = less).is_some())
            })
            .collect();
        if samples.is_empty() {
            return None;
        }
        let mut statement = format!(
            "INSERT INTO {} (cluster, connector, target, kafka_topic_name, kafka_partition, kafka_offset, replay, kafka_key, \
             raw_message, raw_bytes, stage, error, error_code, error_field) VALUES",
            table.quoted()
        );
        for letter in samples {
            let of = |part: &Option<Vec<u8>>| match part {
                None => "NULL".to_owned(),
                Some(bytes) => hex(bytes),
            };
            let text = |text: &str| hex(text.as_bytes());
            write!(
                statement,
                " ({}, {}, {}, {}, {}, {}, {}, {}, {}, {}, '{}', {}, {}, {})",
                text(&cell.cluster_id),
                text(&cell.connector),
                text(&cell.target.to_string()),
                text(&cell.topic),
                letter.partition,
                letter.offset,
                letter.replay.0,
                of(&letter.key),
                of(&letter.raw_message),
                letter.raw_message.as_ref().map_or(0, Vec::len),
                letter.stage.as_str(),
                text(&letter.error),
                text(&letter.error_code),
                text(letter.error_field.as_deref().unwrap_or_default()),
            )
            .expect("writing to a string does not fail");
        }
        Some(statement)
    }
}

/// Bytes in a statement, whatever they are; of a long value its beginning.
fn hex(bytes: &[u8]) -> String {
    let mut text = "unhex('".to_owned();
    for byte in &bytes[..bytes.len().min(SAMPLE_BYTES_MAX)] {
        write!(text, "{byte:02x}").expect("writing to a string does not fail");
    }
    text + "')"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dead_letter::Stage;
    use crate::types::Replay;

    fn letters(reasons: &[(&str, Option<&str>)]) -> DeadLetters {
        let mut letters = DeadLetters::default();
        for (offset, (code, field)) in (0..).zip(reasons) {
            letters.push(DeadLetter {
                partition: Partition(3),
                offset: Offset::new(offset),
                replay: Replay(0),
                key: None,
                timestamp_ms: None,
                headers: Vec::new(),
                raw_message: Some(vec![b'x'; 5000]),
                stage: Stage::Convert,
                error: "it's".to_owned(),
                error_code: (*code).to_owned(),
                error_field: field.map(str::to_owned),
                schema_id: None,
                event_time_us: 0,
            });
        }
        letters
    }

    #[test]
    fn offences_are_counted_by_reason_and_field() {
        let price = ("out_of_range", Some("price"));
        let mut all = Offences::of(&letters(&[("invalid_json", None), price, price]), Partition(3), 7);
        assert_eq!(all.words(), "2 out_of_range in `price` (first at offset 1), 1 invalid_json (first at offset 0)");
        assert_eq!(all.records(), RecordCount(3));
        all.add(&Offences::of(&letters(&[price]), Partition(3), 9));
        let counts: Vec<_> =
            all.counts().into_iter().map(|one| (one.records, one.first_offset, one.last_unix_ms)).collect();
        assert_eq!(counts, [(1, 0, 7), (3, 1, 9)]);
        assert!(Offences::of(&letters(&[price]), Partition(4), 7).counts().is_empty());
    }

    #[test]
    fn reasons_samples_and_bytes_are_bounded() {
        let fields: Vec<String> = (0..100).map(|number| format!("f{number:02}")).collect();
        let reasons: Vec<_> = fields.iter().map(|field| ("unknown_field", Some(field.as_str()))).collect();
        let many = Offences::of(&letters(&reasons), Partition(3), 7);
        assert_eq!(many.counts().len(), REASONS_MAX + 1);
        assert_eq!(many.records(), RecordCount(100));
        assert!(many.words().ends_with("and 16 reasons more"), "{}", many.words());
        let cell = Cell {
            cluster_id: "c".to_owned(),
            connector: "n".to_owned(),
            topic: "t".to_owned(),
            target: TableName::new("d", "t"),
        };
        let table = TableName::new("once", "halted_samples");
        let same = letters(&[("invalid_json", None); 50]);
        let samples = |letters: &DeadLetters, partition: i32| {
            let partition = Partition(partition);
            Offences::of(letters, partition, 7).keep_samples(letters, partition, &table, &cell)
        };
        let statement = samples(&same, 3).unwrap();
        assert_eq!(statement.matches(", 5000, 'convert', ").count(), SAMPLES_MAX);
        assert_eq!(statement.matches("78").count(), SAMPLES_MAX * SAMPLE_BYTES_MAX);
        assert!(!statement.contains("it's"), "whatever an error says ends no literal");
        let statement = samples(&letters(&reasons), 3).unwrap();
        assert_eq!(statement.matches(", 5000, 'convert', ").count(), REASONS_MAX + SAMPLES_MAX);
        assert!(samples(&same, 4).is_none());
    }
}
