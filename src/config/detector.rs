//! Detectors of a topic: what is an anomaly, as the file says it.
//!
//! Takes the list `detectors`, gives names, limits and expressions. The expressions stay text with its place: the
//! alerts module compiles them against the table's columns and reports through [`super::ConfigError::at`].

use super::error::Located;
use super::keys;
use super::names::parse_label;
use super::section::{Found, Section};
use super::units::{Limits, parse_count};

/// So that a detector that fires on every record costs a bounded part of the alert transaction.
const ALERTS_PER_BLOCK_MAX_DEFAULT: u32 = 1000;
const ALERTS_PER_BLOCK_MAX: Limits<u64> = Limits {
    least: 1,
    greatest: 100_000,
    below: "a detector without alerts says nothing; remove the detector instead",
    above: "the alerts of a block are held in memory until its transaction commits",
};
/// Each detector is evaluated over every row of the topic.
const DETECTORS_MAX: usize = 100;

/// How bad an anomaly is. A closed set, because it is a label of metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// Look at it some time.
    Low,
    /// Look at it today.
    Medium,
    /// Look at it now.
    High,
    /// Wake somebody.
    Critical,
}

const SEVERITIES: [(&str, Severity); 5] = [
    ("info", Severity::Info),
    ("low", Severity::Low),
    ("medium", Severity::Medium),
    ("high", Severity::High),
    ("critical", Severity::Critical),
];

impl Severity {
    /// The word in the configuration, in alerts and in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Severity::Info => "info",
            Severity::Low => "low",
            Severity::Medium => "medium",
            Severity::High => "high",
            Severity::Critical => "critical",
        }
    }
}

/// One detector.
#[derive(Debug, Clone)]
pub struct DetectorSettings {
    /// Its name in alerts and metrics. Required, unique in the topic. Part of the alert id: renaming it makes alerts new.
    pub name: Located<String>,
    /// When a row is an anomaly: an expression over the columns. Required.
    pub when: Located<String>,
    /// The alert's key in Kafka: an expression. Default: none, and the alert has no key.
    pub key: Option<Located<String>>,
    /// The observed value that the alert reports: an expression. Default: the compared column where `when` is one comparison.
    pub value: Option<Located<String>>,
    /// The alert's text: an expression. Default: made from name and condition.
    pub message: Option<Located<String>>,
    /// How many alerts of this detector one block may publish; the rest is counted in one summary alert.
    /// Default 1000, 1 to 100,000. Too high: one broken sensor floods the alert topic.
    pub alerts_per_block_max: u32,
    /// The rules of severity, first match wins. Never empty, and the last one has no condition: a list of the file
    /// that ends otherwise (or is absent) ends in [`Severity::Medium`].
    pub severity: Vec<SeverityRule>,
}

/// One rule of severity.
#[derive(Debug, Clone)]
pub struct SeverityRule {
    /// When it holds: an expression over the columns; `None` for always.
    pub when: Option<Located<String>>,
    /// The severity then.
    pub is: Severity,
}

/// The detectors under the topic's section; `None` where one of them is bad.
pub(super) fn read_detectors(topic: &Section<'_>) -> Option<Vec<DetectorSettings>> {
    let sections = match topic.list("detectors", keys::DETECTOR) {
        Found::Absent => return Some(Vec::new()),
        Found::Bad => return None,
        Found::Value(sections) => sections,
    };
    if sections.value.len() > DETECTORS_MAX {
        let reason = format!("`{}` has {} entries", topic.path_of("detectors"), sections.value.len());
        let fix = format!("keep at most {DETECTORS_MAX} per topic");
        topic.report.add(&sections.location, reason, fix);
    }
    let read: Vec<_> = sections.value.iter().map(|section| section.as_ref().and_then(read_detector)).collect();
    for (index, detector) in read.iter().enumerate() {
        let Some(detector) = detector else { continue };
        let before = read.iter().take(index).flatten();
        if let Some(first) = before.into_iter().find(|other| other.name.value == detector.name.value) {
            let name = &detector.name.value;
            let reason =
                format!("detector `{name}` stands twice in this topic, first on line {}", first.name.location.line());
            topic.report.add(&detector.name.location, reason, "give each its own name");
        }
    }
    read.into_iter().collect()
}

fn read_detector(section: &Section<'_>) -> Option<DetectorSettings> {
    let here = &section.location;
    let name = section.value("name", "a name", parse_label);
    let name = section.require("name", name, "add `name: ..`, which alerts and metrics carry");
    let when = section.text("when", "an expression");
    let when = section.require("when", when, "add `when: ..`, such as `when: temperature > 90`");
    let key = section.text("key", "an expression").optional();
    let value = section.text("value", "an expression").optional();
    let message = section.text("message", "an expression").optional();
    let alerts_per_block_max = section
        .value("alerts_per_block_max", "a whole number", |text| {
            let count = ALERTS_PER_BLOCK_MAX.check(parse_count(text)?, u64::to_string)?;
            Ok(u32::try_from(count).expect("the limit is far below u32::MAX"))
        })
        .or(ALERTS_PER_BLOCK_MAX_DEFAULT, here);
    let severity = read_severity(section);
    Some(DetectorSettings {
        name: name?,
        when: when?,
        key: key?,
        value: value?,
        message: message?,
        alerts_per_block_max: alerts_per_block_max?.value,
        severity: severity?,
    })
}

fn read_severity(detector: &Section<'_>) -> Option<Vec<SeverityRule>> {
    let always_medium = SeverityRule { when: None, is: Severity::Medium };
    let sections = match detector.list("severity", keys::SEVERITY) {
        Found::Absent => return Some(vec![always_medium]),
        Found::Bad => return None,
        Found::Value(sections) => sections.value,
    };
    let mut rules = Some(Vec::new());
    let mut always_line = None;
    for section in &sections {
        let Some(section) = section else {
            rules = None;
            continue;
        };
        if let Some(line) = always_line {
            let reason =
                format!("this severity is never reached: the one on line {line} has no `when`, so it always holds");
            let fix = "move the entry without `when` to the end";
            detector.report.add(&section.location, reason, fix);
        }
        if section.entry("when").is_none() && section.entry("is").is_some() {
            always_line = Some(section.location.line());
        }
        let when = section.text("when", "an expression").optional();
        let is = section.choice("is", &SEVERITIES);
        let is = section.require("is", is, "add `is: critical`, `high`, `medium`, `low` or `info`");
        let rule = when.zip(is).map(|(when, is)| SeverityRule { when, is: is.value });
        rules = rules.zip(rule).map(|(mut rules, rule)| {
            rules.push(rule);
            rules
        });
    }
    let mut rules = rules?;
    if rules.last().is_none_or(|rule| rule.when.is_some()) {
        rules.push(always_medium);
    }
    Some(rules)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn severities_are_written_as_they_are_read() {
        for (word, severity) in SEVERITIES {
            assert_eq!(severity.as_str(), word);
        }
    }
}
