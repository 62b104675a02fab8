//! Detectors of kind threshold: settings and columns in, alerts out.

use std::sync::Arc;

use super::alert::{Alert, AlertOrigin};
use super::buffer::{AlertBuffer, AlertCoordinates};
use super::column::Column;
use super::expression::{CompiledCondition, ExpressionError, compile_condition, compile_text, compile_value};
use super::id::{AlertId, AlertKind, Identity};
use super::observed::Observed;
use super::program::{Condition, Program};
use super::row::Row;
use crate::columns::{Columns, RowPlan};
use crate::config::{ConfigError, DetectorSettings, Located, Severity};

/// Columns shown in a default message; more would bury the condition.
const COLUMNS_SHOWN_MAX: usize = 8;

/// The detectors of one topic, ready to look at rows.
#[derive(Debug)]
pub struct Detectors {
    detectors: Vec<Detector>,
}

#[derive(Debug)]
struct Detector {
    origin: Arc<AlertOrigin>,
    when: Condition,
    when_text: String,
    /// The columns that `when` reads.
    columns: Vec<(String, Program)>,
    severity: Vec<(Option<Condition>, Severity)>,
    key: Option<Program>,
    value: Program,
    threshold: Program,
    message: Option<Program>,
    alerts_per_block_max: u32,
}

impl Detectors {
    /// Compiles a topic's detectors against the columns of its table.
    ///
    /// # Errors
    /// Everything that is wrong with them, each with its place.
    pub fn compile(
        cluster: &str,
        connector: &str,
        topic: &str,
        settings: &[DetectorSettings],
        plan: &RowPlan,
    ) -> Result<Self, Vec<ConfigError>> {
        let columns: Vec<_> =
            plan.columns().iter().enumerate().map(|(index, spec)| Column::of(index, spec)).collect();
        let (cluster, connector, topic) = (Arc::from(cluster), Arc::from(connector), Arc::from(topic));
        let origin = |detector: &str| AlertOrigin {
            cluster: Arc::clone(&cluster),
            connector: Arc::clone(&connector),
            topic: Arc::clone(&topic),
            detector: detector.to_owned(),
        };
        compile_all(settings, Some(&columns), &origin).map(|detectors| Self { detectors })
    }

    /// Checks what can be checked while the table is not known: syntax, supported language, types of literals.
    ///
    /// # Errors
    /// Everything that is wrong, each with its place.
    pub fn check(settings: &[DetectorSettings]) -> Result<(), Vec<ConfigError>> {
        let nowhere = Arc::from("");
        let origin = |detector: &str| AlertOrigin {
            cluster: Arc::clone(&nowhere),
            connector: Arc::clone(&nowhere),
            topic: Arc::clone(&nowhere),
            detector: detector.to_owned(),
        };
        compile_all(settings, None, &origin).map(|_| ())
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.detectors.is_empty()
    }

    /// Looks at the row that was decoded last, before it is committed or rolled back, and keeps what it fires in `out`.
    ///
    /// Call it for every record that became a row, present in the table or not, whose offset is not below the alert
    /// floor, and for no other: alerts below the floor are committed already.
    #[inline]
    pub fn evaluate(&self, row: &Columns, record: &AlertCoordinates, out: &mut AlertBuffer) {
        for (number, detector) in self.detectors.iter().enumerate() {
            if detector.when.holds(row) {
                detector.fire(number, row, record, out);
            }
        }
    }
}

impl Detector {
    #[cold]
    fn fire(&self, number: usize, row: &impl Row, record: &AlertCoordinates, out: &mut AlertBuffer) {
        let severity = self.severity(row);
        if !out.admit(number, self.alerts_per_block_max) {
            out.suppress(number, &self.origin, severity, self.alerts_per_block_max, record);
            return;
        }
        let message = self.message.as_ref().and_then(|message| message.evaluate(row).into_text());
        out.keep(Alert {
            id: AlertId::of(&Identity {
                kind: AlertKind::Record,
                connector: &self.origin.connector,
                topic: &self.origin.topic,
                topic_id: record.topic_id,
                replay: record.replay,
                partition: record.partition,
                offset: record.offset,
                detector: &self.origin.detector,
            }),
            origin: Arc::clone(&self.origin),
            severity,
            partition: record.partition,
            offset: record.offset,
            replay: record.replay,
            timestamp_ms: record.timestamp_ms,
            key: self.key.as_ref().and_then(|key| key.evaluate(row).into_text()),
            value: self.value.evaluate(row),
            threshold: self.threshold.evaluate(row),
            message: message.unwrap_or_else(|| self.default_message(row)),
            suppressed: None,
        });
    }

    /// The first rule that holds. The settings end in a rule without condition; without any, medium.
    fn severity(&self, row: &impl Row) -> Severity {
        let rule = self.severity.iter().find(|(when, _)| when.as_ref().is_none_or(|when| when.holds(row)));
        rule.map_or(Severity::Medium, |(_, severity)| *severity)
    }

    /// The condition and the values that made it true: `temp > 90 (temp = 97.3)`.
    fn default_message(&self, row: &impl Row) -> String {
        let values: Vec<_> = self.columns.iter().take(COLUMNS_SHOWN_MAX).collect();
        let values: Vec<_> =
            values.iter().map(|(name, column)| format!("{name} = {}", column.evaluate(row))).collect();
        let text = if values.is_empty() {
            self.when_text.clone()
        } else {
            format!("{} ({})", self.when_text, values.join(", "))
        };
        Observed::text(&text).into_text().expect("a text is never null")
    }
}

fn compile_all(
    settings: &[DetectorSettings],
    columns: Option<&[Column]>,
    origin: &impl Fn(&str) -> AlertOrigin,
) -> Result<Vec<Detector>, Vec<ConfigError>> {
    let mut errors = Vec::new();
    let detectors: Vec<_> =
        settings.iter().filter_map(|settings| compile_one(settings, columns, origin, &mut errors)).collect();
    if errors.is_empty() { Ok(detectors) } else { Err(errors) }
}

fn compile_one(
    settings: &DetectorSettings,
    columns: Option<&[Column]>,
    origin: &impl Fn(&str) -> AlertOrigin,
    errors: &mut Vec<ConfigError>,
) -> Option<Detector> {
    let name = settings.name.value.as_str();
    let mut reader = Reader { detector: name, errors };
    let when = reader.read("when", &settings.when, |text| compile_condition(text, columns));
    let value = |text: &str| compile_value(text, columns);
    let key = settings.key.as_ref().map(|text| reader.read("key", text, value));
    let observed = settings.value.as_ref().map(|text| reader.read("value", text, value));
    let message =
        settings.message.as_ref().map(|text| reader.read("message", text, |text| compile_text(text, columns)));
    let severity: Vec<_> = settings
        .severity
        .iter()
        .map(|rule| {
            let when = rule.when.as_ref().map(|text| {
                reader.read("severity.when", text, |text| compile_condition(text, columns)).map(|when| when.condition)
            });
            Some((flatten(when)?, rule.is))
        })
        .collect();
    let CompiledCondition { condition, comparison, columns } = when?;
    let (compared, threshold) = comparison.unwrap_or((Program::Null, Program::Null));
    Some(Detector {
        origin: Arc::new(origin(name)),
        when: condition,
        when_text: settings.when.value.trim().to_owned(),
        columns,
        severity: severity.into_iter().collect::<Option<_>>()?,
        key: flatten(key)?,
        value: flatten(observed)?.unwrap_or(compared),
        threshold,
        message: flatten(message)?,
        alerts_per_block_max: settings.alerts_per_block_max,
    })
}

/// Absent stays absent; bad is bad.
fn flatten<T>(read: Option<Option<T>>) -> Option<Option<T>> {
    match read {
        None => Some(None),
        Some(None) => None,
        Some(good) => Some(good),
    }
}

/// Compiles a detector's expressions and puts their errors where they stand in the file.
struct Reader<'a> {
    detector: &'a str,
    errors: &'a mut Vec<ConfigError>,
}

impl Reader<'_> {
    fn read<T>(
        &mut self,
        key: &str,
        text: &Located<String>,
        compile: impl FnOnce(&str) -> Result<T, Vec<ExpressionError>>,
    ) -> Option<T> {
        match compile(&text.value) {
            Ok(compiled) => Some(compiled),
            Err(found) => {
                self.errors.extend(found.into_iter().map(|error| {
                    let reason = format!("`{key}` of detector `{}`: {}", self.detector, error.reason);
                    ConfigError::at(text.location.clone(), reason, error.fix)
                }));
                None
            }
        }
    }
}
