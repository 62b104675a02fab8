//! What `verify` says: per partition what was compared, and what is wrong with it.

use std::fmt::Write as _;

use serde::Serialize;

use super::compare::{Spots, Tally};
use super::subject::Subject;
use crate::cli::output::table;

/// Everything.
#[derive(Debug, Default, Serialize)]
pub(super) struct Report {
    pub(super) topics: Vec<TopicReport>,
    /// How many findings there are.
    pub(super) findings: usize,
    /// Records that were compared.
    pub(super) records: u64,
}

/// One topic with its table.
#[derive(Debug, Default, Serialize)]
pub(super) struct TopicReport {
    pub(super) topic: String,
    pub(super) table: String,
    pub(super) partitions: Vec<PartitionReport>,
    /// Whether contents were compared too.
    pub(super) contents: bool,
    pub(super) notes: Vec<String>,
    /// What concerns no single partition.
    pub(super) findings: Vec<String>,
}

/// One partition.
#[derive(Debug, Serialize)]
pub(super) struct PartitionReport {
    pub(super) partition: i32,
    pub(super) replay: u32,
    /// The compared offsets, the second one not included.
    pub(super) compared: Option<(u64, u64)>,
    pub(super) committed: Option<u64>,
    /// The partition's end in Kafka.
    pub(super) end: Option<u64>,
    #[serde(flatten)]
    pub(super) tally: Tally,
    /// Rows and dead letters at or above the committed offset.
    pub(super) not_committed_yet: u64,
    /// Rows and dead letters below the first offset that Kafka has.
    pub(super) below_log: u64,
    pub(super) findings: Vec<String>,
    pub(super) notes: Vec<String>,
}

impl PartitionReport {
    /// Of a partition that cannot be compared.
    pub(super) fn refused(partition: i32, reason: String) -> Self {
        Self {
            partition,
            replay: 0,
            compared: None,
            committed: None,
            end: None,
            tally: Tally::default(),
            not_committed_yet: 0,
            below_log: 0,
            findings: vec![reason],
            notes: Vec::new(),
        }
    }

    /// Of a partition of which nothing is compared yet.
    pub(super) fn of(subject: &Subject) -> Self {
        Self {
            partition: subject.partition.0,
            replay: subject.replay.0,
            compared: Some((subject.range.start().get(), subject.range.end().get())),
            committed: subject.committed.map(|offset| offset.get()),
            end: Some(subject.end.get()),
            notes: subject.notes.clone(),
            findings: Vec::new(),
            ..Self::refused(subject.partition.0, String::new())
        }
    }

    /// Turns the tally into words, when everything is in it.
    pub(super) fn conclude(&mut self) {
        let tally = &self.tally;
        let mut finding = |spots: &Spots, what: &str| {
            if !spots.is_empty() {
                self.findings.push(format!("{} {what}: offsets {spots}", spots.count));
            }
        };
        finding(&tally.missing, "records are missing: neither a row nor a dead letter");
        finding(&tally.partly, "records lack some of their rows");
        finding(&tally.doubled, &format!("offsets are doubled ({} rows or dead letters too many)", tally.surplus));
        finding(&tally.both, "offsets have a row and a dead letter");
        finding(&tally.unexplained, "rows or dead letters are unexplained: Kafka has no such record");
        finding(&tally.altered, "rows do not hold what their record says");
        finding(&tally.swapped, "rows hold what another record says (swapped)");
        finding(&tally.undecodable, "rows are of records that do not decode");
        finding(&tally.dead_altered, "dead letters do not hold their record's bytes");
        let mut note = |count: u64, what: &str| {
            if count > 0 {
                self.notes.push(format!("{count} {what}"));
            }
        };
        note(tally.before_origin, "records lie before the offset where consumption began");
        note(tally.in_gaps, "absent records lie in gaps that the ledger tells of");
        note(tally.compacted, "rows or dead letters are of records that compaction removed");
        note(self.below_log, "rows or dead letters are of records that Kafka no longer has");
    }
}

impl TopicReport {
    fn findings(&self) -> usize {
        self.findings.len() + self.partitions.iter().map(|partition| partition.findings.len()).sum::<usize>()
    }
}

impl Report {
    pub(super) fn add(&mut self, topic: TopicReport) {
        self.findings += topic.findings();
        self.records += topic.partitions.iter().map(|partition| partition.tally.compared().0).sum::<u64>();
        self.topics.push(topic);
    }

    /// For people.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        for topic in &self.topics {
            write!(text, "topic {}", topic.topic).expect("writing to a string does not fail");
            if !topic.table.is_empty() {
                write!(text, " in table {}", topic.table).expect("writing to a string does not fail");
            }
            text.push('\n');
            if !topic.partitions.is_empty() {
                text.push_str(&table(&lines(topic)));
            }
            text.push_str(&details(topic));
            text.push('\n');
        }
        let verdict = match self.findings {
            0 if self.topics.iter().all(|topic| topic.contents) => {
                "clean: every consumed record is stored exactly once, with its contents".to_owned()
            }
            0 => "clean: every consumed record is stored exactly once".to_owned(),
            1 => "1 finding".to_owned(),
            many => format!("{many} findings"),
        };
        writeln!(text, "{} records compared, {verdict}", self.records).expect("writing to a string does not fail");
        text
    }
}

const HEADINGS: [&str; 12] = [
    "partition",
    "from",
    "to",
    "end",
    "records",
    "rows",
    "dead letters",
    "skipped",
    "missing",
    "doubled",
    "unexplained",
    "not committed yet",
];

fn lines(topic: &TopicReport) -> Vec<Vec<String>> {
    let mut lines = vec![HEADINGS.iter().map(|heading| (*heading).to_owned()).collect::<Vec<_>>()];
    let or_dash = |number: Option<u64>| number.map_or_else(|| "-".to_owned(), |number| number.to_string());
    for one in &topic.partitions {
        let tally = &one.tally;
        lines.push(vec![
            one.partition.to_string(),
            or_dash(one.compared.map(|range| range.0)),
            or_dash(one.compared.map(|range| range.1)),
            or_dash(one.end),
            tally.compared().to_string(),
            tally.rows.to_string(),
            tally.dead_letters.to_string(),
            tally.skipped.to_string(),
            tally.missing.count.to_string(),
            (tally.doubled.count + tally.both.count).to_string(),
            tally.unexplained.count.to_string(),
            one.not_committed_yet.to_string(),
        ]);
    }
    lines
}

fn details(topic: &TopicReport) -> String {
    let partitions = topic.partitions.iter().flat_map(|one| {
        let findings = one.findings.iter().map(move |text| format!("  finding: partition {}: {text}\n", one.partition));
        findings.chain(one.notes.iter().map(move |text| format!("  note: partition {}: {text}\n", one.partition)))
    });
    let findings = topic.findings.iter().map(|text| format!("  finding: {text}\n"));
    findings.chain(topic.notes.iter().map(|text| format!("  note: {text}\n"))).chain(partitions).collect()
}
