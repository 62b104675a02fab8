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
        let columns: Vec<_> = plan.columns().iter().enumerate().map(|(index, spec)| Column::of(index, spec)).collect();
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
                row: record.row,
                detector: &self.origin.detector,
            }),
            origin: Arc::clone(&self.origin),
            severity,
            partition: record.partition,
            offset: record.offset,
            row: record.row,
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
        let values: Vec<_> = values.iter().map(|(name, column)| format!("{name} = {}", column.evaluate(row))).collect();
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alerts::AlertSet;
    use crate::columns::{ColumnSpec, DefaultValue, RowCoordinates};
    use crate::config::parse;
    use crate::decode::RecordDecoder;
    use crate::types::{Offset, Partition, RecordCount, Replay, TopicId};

    /// A configuration with these lines under `detectors`.
    fn settings(detectors: &str) -> Vec<DetectorSettings> {
        let head = "\
name: readings
kafka: { brokers: \"127.0.0.1:9092\" }
clickhouse: { url: \"http://127.0.0.1:8123\", user: u }
alerts: { topic: alerts }
topics:
  - topic: iot
    table: iot.readings
    format: json
    start: earliest
    detectors:
";
        let settings = parse("oncesink.yaml", &format!("{head}{detectors}"), &|_| None).unwrap();
        settings.topics[0].detectors.clone()
    }

    fn plan() -> Arc<RowPlan> {
        let columns = [("temp", "Float32"), ("sensor", "Nullable(String)"), ("count", "Int32")]
            .map(|(name, kind)| ColumnSpec::new(name, kind, DefaultValue::TypeZero).unwrap());
        Arc::new(RowPlan::new(columns.to_vec(), Vec::new(), "UTC").unwrap())
    }

    /// Evaluates the detectors over records of (partition, offset, JSON).
    fn run(detectors: &str, records: &[(i32, u64, &str)]) -> AlertBuffer {
        let plan = plan();
        let detectors = Detectors::compile("k", "readings", "iot", &settings(detectors), &plan).unwrap();
        let mut columns = Columns::new(&plan).unwrap();
        let mut decoder = RecordDecoder::json(&plan);
        let mut alerts = AlertBuffer::new();
        for (partition, offset, json) in records {
            decoder.decode_value(json.as_bytes(), &mut columns).unwrap();
            let record = AlertCoordinates {
                partition: Partition(*partition),
                offset: Offset::new(*offset),
                row: 0,
                timestamp_ms: Some(1_700_000_000_000),
                topic_id: TopicId(7),
                replay: Replay(0),
            };
            detectors.evaluate(&columns, &record, &mut alerts);
            columns.commit_row(&RowCoordinates { topic: "iot", partition: 0, offset: 0, row: 0, replay: 0 });
        }
        alerts
    }

    /// Severity, key, value, threshold and message of each alert.
    fn texts(alerts: &AlertSet) -> Vec<String> {
        let text = |alert: &Alert| {
            let row = alert.to_row();
            [row.severity, &row.key, &row.value, &row.threshold, &row.message].join(" | ")
        };
        alerts.iter().map(text).collect()
    }

    #[test]
    fn an_alert_reports_what_its_detector_says() {
        let check = |detector: &str, json: &str, expected: &[&str]| {
            let alerts = run(detector, &[(2, 5, json)]).close();
            assert_eq!(texts(&alerts), expected, "{detector} {json}");
        };
        let bare = "      - { name: d, when: temp > 90 }\n";
        check(bare, r#"{"temp": 90}"#, &[]);
        check(bare, r#"{"temp": 97.3}"#, &["medium | iot/2 | 97.3 | 90 | temp > 90 (temp = 97.3)"]);
        let levels = "      - name: d
        when: temp > 90
        key: sensor
        severity: [ { when: temp > 110, is: critical }, { when: temp > 100, is: high }, { is: low } ]\n";
        check(levels, r#"{"temp": 95, "sensor": "a"}"#, &["low | a | 95 | 90 | temp > 90 (temp = 95)"]);
        check(levels, r#"{"temp": 105, "sensor": "a"}"#, &["high | a | 105 | 90 | temp > 90 (temp = 105)"]);
        check(levels, r#"{"temp": 115, "sensor": "a"}"#, &["critical | a | 115 | 90 | temp > 90 (temp = 115)"]);
        check(levels, r#"{"temp": 95}"#, &["low | iot/2 | 95 | 90 | temp > 90 (temp = 95)"]);
        let open_ended = "      - { name: d, when: temp > 90, severity: [ { when: temp > 100, is: high } ] }\n";
        check(open_ended, r#"{"temp": 95}"#, &["medium | iot/2 | 95 | 90 | temp > 90 (temp = 95)"]);
        let spelled = "      - name: d
        when: temp > 90 && sensor != 'x'
        key: count
        value: temp - 90
        message: sensor + ' is too hot, ' + string(temp)\n";
        check(spelled, r#"{"temp": 97.5, "sensor": "a", "count": 3}"#, &["medium | 3 | 7.5 |  | a is too hot, 97.5"]);
        check(spelled, r#"{"temp": 97.5, "sensor": null}"#, &[]);
        let null_message = "      - { name: d, when: temp > 90 && count >= 0, message: sensor + '!' }\n";
        check(
            null_message,
            r#"{"temp": 97.5}"#,
            &["medium | iot/2 |  |  | temp > 90 && count >= 0 (temp = 97.5, count = 0)"],
        );
        let two = "      - { name: d, when: temp > 90 }\n      - { name: e, when: count > 1 }\n";
        check(
            two,
            r#"{"temp": 91, "count": 2}"#,
            &["medium | iot/2 | 91 | 90 | temp > 90 (temp = 91)", "medium | iot/2 | 2 | 1 | count > 1 (count = 2)"],
        );
    }

    #[test]
    fn beyond_the_limit_alerts_are_counted_in_one_summary_for_each_partition() {
        let detector = "      - name: d
        when: temp > 90
        alerts_per_block_max: 2
        severity: [ { when: temp > 110, is: critical }, { is: low } ]
      - { name: e, when: count > 0 }\n";
        let hot = r#"{"temp": 95}"#;
        let mut alerts = run(
            detector,
            &[
                (0, 1, hot),
                (1, 1, r#"{"temp": 95, "count": 1}"#),
                (0, 2, hot),
                (1, 5, r#"{"temp": 120}"#),
                (1, 6, r#"{"temp": 10}"#),
                (1, 9, hot),
            ],
        );
        let (critical, low) = ("critical | iot/1 |  | ", "low | iot/0 |  | ");
        let message = |count, partition, offsets| {
            format!(
                " | {count} more alerts of d in partition {partition}, offsets {offsets}: the block had reached \
                 alerts_per_block_max, 2"
            )
        };
        let hot = |partition| format!("low | iot/{partition} | 95 | 90 | temp > 90 (temp = 95)");
        let other = "medium | iot/1 | 1 | 0 | count > 0 (count = 1)".to_owned();
        let summaries = [low.to_owned() + &message(1, 0, "2 to 2"), critical.to_owned() + &message(2, 1, "5 to 9")];
        let [of_0, of_1] = summaries;

        let all = [hot(0), of_0, hot(1), other.clone(), of_1.clone()];
        let bytes = alerts.bytes();
        assert!(bytes > 0);
        alerts.drop_partition(Partition(9));
        assert_eq!(alerts.bytes(), bytes);
        let mut closed = alerts.close();
        assert_eq!(texts(&closed), all);
        assert_eq!(closed.count(), RecordCount(5));
        assert_eq!(closed.iter().map(|alert| alert.firings().0).sum::<u64>(), 6);
        assert_eq!(closed.of_partition(Partition(0)).len(), 2);

        closed.drop_partition(Partition(0));
        assert_eq!(texts(&closed), [hot(1), other, of_1]);
        closed.drop_partition(Partition(1));
        assert_eq!((closed.count(), closed.bytes()), (RecordCount(0), 0));
    }

    #[test]
    fn a_partition_dropped_while_the_block_fills_takes_only_its_own_along() {
        let detector = "      - { name: d, when: temp > 90, alerts_per_block_max: 1 }\n";
        let hot = r#"{"temp": 95}"#;
        let mut alerts = run(detector, &[(0, 1, hot), (0, 2, hot), (1, 1, hot)]);
        alerts.drop_partition(Partition(0));
        assert_eq!(alerts.close().count(), RecordCount(1));

        let mut alerts = run(detector, &[(0, 1, hot), (1, 1, hot)]);
        alerts.drop_partition(Partition(0));
        alerts.drop_partition(Partition(1));
        assert_eq!(alerts.bytes(), 0);
    }

    #[test]
    fn the_same_record_fires_the_same_ids_however_blocks_are_cut() {
        let detector = "      - { name: d, when: temp > 90, alerts_per_block_max: 1 }\n";
        let hot = r#"{"temp": 95}"#;
        let ids =
            |records: &[(i32, u64, &str)]| -> Vec<_> { run(detector, records).close().iter().map(Alert::id).collect() };
        let (whole, first, second) = (ids(&[(0, 1, hot), (0, 2, hot)]), ids(&[(0, 1, hot)]), ids(&[(0, 2, hot)]));
        assert_eq!(whole[0], first[0]);
        assert_ne!(whole[1], second[0], "a summary is not the alert of its first record");
        assert_eq!(whole, ids(&[(0, 1, hot), (0, 2, hot), (0, 3, hot)]));
    }

    #[test]
    fn long_texts_are_cut() {
        let long = "ö".repeat(5000);
        let json = format!("{{\"temp\": 95, \"sensor\": \"{long}\"}}");
        let detector = "      - { name: d, when: sensor != 'x', key: sensor, message: sensor + sensor }\n";
        let row = run(detector, &[(0, 1, json.as_str())]).close().iter().next().unwrap().to_row();
        for text in [row.key, row.value, row.message] {
            assert_eq!(text, format!("{}…", "ö".repeat(2048)));
        }
    }

    #[test]
    fn mistakes_stand_at_their_expression() {
        let settings = settings(
            "      - name: d
        when: tmep > 90
        key: sensor > 1
        message: temp
        severity: [ { when: temp, is: high } ]
      - { name: e, when: temp > 90, value: 'f(temp)' }\n",
        );
        let texts = |errors: Vec<ConfigError>| -> Vec<String> {
            errors.iter().map(|error| format!("{} {}", error.location(), error.reason())).collect()
        };
        assert_eq!(
            texts(Detectors::compile("k", "readings", "iot", &settings, &plan()).unwrap_err()),
            [
                "oncesink.yaml:12:15 `when` of detector `d`: `tmep` at character 1 is not a column of the table that \
                 records fill",
                "oncesink.yaml:13:14 `key` of detector `d`: `>` at character 8 has a text on one side and an integer \
                 on the other",
                "oncesink.yaml:14:18 `message` of detector `d`: the expression is a number, where a text is needed",
                "oncesink.yaml:15:29 `severity.when` of detector `d`: the expression is a number, where a condition \
                 is needed",
                "oncesink.yaml:16:44 `value` of detector `e`: the function `f` with such arguments is not supported \
                 at character 2",
            ]
        );
        assert_eq!(texts(Detectors::check(&settings).unwrap_err()).len(), 1, "only the function is known to be wrong");
    }
}
