//! One alert: what is published to Kafka and stored in ClickHouse.

use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;

use super::id::AlertId;
use super::observed::Observed;
use crate::config::Severity;
use crate::types::{Offset, Partition, RecordCount, Replay};

/// What all alerts of one detector have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AlertOrigin {
    pub(crate) cluster: Arc<str>,
    pub(crate) connector: Arc<str>,
    pub(crate) topic: Arc<str>,
    pub(crate) detector: String,
}

/// An alert, for one record or in place of many.
#[derive(Debug, Clone, PartialEq)]
pub struct Alert {
    pub(crate) id: AlertId,
    pub(crate) origin: Arc<AlertOrigin>,
    pub(crate) severity: Severity,
    pub(crate) partition: Partition,
    pub(crate) offset: Offset,
    /// Which row of the record; 0 where it makes one.
    pub(crate) row: u64,
    pub(crate) replay: Replay,
    /// The record's timestamp in Unix milliseconds.
    pub(crate) timestamp_ms: Option<i64>,
    pub(crate) key: Option<String>,
    pub(crate) value: Observed,
    pub(crate) threshold: Observed,
    pub(crate) message: String,
    /// Of a summary: how many alerts it stands for, and the last record among them (`offset` is the first).
    pub(crate) suppressed: Option<(RecordCount, Offset)>,
}

/// A row of the alerts table, a field per column. The columns about acknowledgement stay at their defaults.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AlertRow {
    /// The connector's name.
    pub connector: String,
    /// [`Alert::id`] as 32 hexadecimal digits.
    pub alert_id: String,
    /// The detector's name.
    pub detector: String,
    /// The severity's word.
    pub severity: &'static str,
    /// Id of the Kafka cluster.
    pub cluster: String,
    /// Where the record was read.
    pub topic: String,
    /// Its partition.
    pub partition: i32,
    /// Its offset; of a summary, that of the first suppressed record.
    pub offset: u64,
    /// Its replay.
    pub replay: u32,
    /// The record's timestamp in Unix milliseconds (`DateTime64(3)`); 0 where it has none, or none within the calendar.
    pub event_time: i64,
    /// The key that the alert has in Kafka.
    pub key: String,
    /// What was observed, as text; empty where there is none.
    pub value: String,
    /// The threshold, as text; empty where there is none.
    pub threshold: String,
    /// The text for people.
    pub message: String,
    /// How many alerts a summary stands for; 0 for any other.
    pub suppressed: u64,
    /// Offset of the last record that the alert stands for.
    pub last_offset: u64,
}

/// The alert as it stands in Kafka.
#[derive(Serialize)]
struct AlertMessage<'a> {
    alert_id: AlertId,
    detector: &'a str,
    severity: &'static str,
    connector: &'a str,
    topic: &'a str,
    partition: i32,
    offset: u64,
    #[serde(skip_serializing_if = "is_first")]
    row: u64,
    replay: u32,
    event_time: Option<String>,
    key: &'a str,
    value: &'a Observed,
    threshold: &'a Observed,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    suppressed: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_offset: Option<u64>,
}

impl Alert {
    /// Its deterministic identity.
    pub fn id(&self) -> AlertId {
        self.id
    }

    /// The detector's name.
    pub fn detector(&self) -> &str {
        &self.origin.detector
    }

    /// How bad it is.
    pub fn severity(&self) -> Severity {
        self.severity
    }

    /// The partition whose transaction publishes it.
    pub fn partition(&self) -> Partition {
        self.partition
    }

    /// How many firings it stands for: 1, or what a summary counted.
    pub fn firings(&self) -> RecordCount {
        self.suppressed.map_or(RecordCount(1), |(count, _)| count)
    }

    /// The key of its Kafka message: what the detector's `key` gave, otherwise `topic/partition`.
    pub fn kafka_key(&self) -> String {
        self.key.clone().unwrap_or_else(|| format!("{}/{}", self.origin.topic, self.partition))
    }

    /// The value of its Kafka message.
    pub fn to_json(&self) -> Vec<u8> {
        let message = AlertMessage {
            alert_id: self.id,
            detector: &self.origin.detector,
            severity: self.severity.as_str(),
            connector: &self.origin.connector,
            topic: &self.origin.topic,
            partition: self.partition.0,
            offset: self.offset.get(),
            row: self.row,
            replay: self.replay.0,
            event_time: self.timestamp_ms.and_then(rfc3339),
            key: &self.kafka_key(),
            value: &self.value,
            threshold: &self.threshold,
            message: &self.message,
            suppressed: self.suppressed.map(|(count, _)| count.0),
            last_offset: self.suppressed.map(|(_, last)| last.get()),
        };
        serde_json::to_vec(&message).expect("texts and numbers always have a JSON form")
    }

    /// Its row in the alerts table.
    pub fn to_row(&self) -> AlertRow {
        let text = |value: &Observed| value.clone().into_text().unwrap_or_default();
        AlertRow {
            connector: self.origin.connector.to_string(),
            alert_id: self.id.to_string(),
            detector: self.origin.detector.clone(),
            severity: self.severity.as_str(),
            cluster: self.origin.cluster.to_string(),
            topic: self.origin.topic.to_string(),
            partition: self.partition.0,
            offset: self.offset.get(),
            replay: self.replay.0,
            event_time: self.timestamp_ms.filter(|timestamp| rfc3339(*timestamp).is_some()).unwrap_or(0),
            key: self.kafka_key(),
            value: text(&self.value),
            threshold: text(&self.threshold),
            message: self.message.clone(),
            suppressed: self.suppressed.map_or(0, |(count, _)| count.0),
            last_offset: self.suppressed.map_or(self.offset, |(_, last)| last).get(),
        }
    }

    /// Bytes held, for the memory budget.
    pub(crate) fn bytes(&self) -> usize {
        size_of::<Self>()
            + self.key.as_ref().map_or(0, String::capacity)
            + self.value.heap_bytes()
            + self.threshold.heap_bytes()
            + self.message.capacity()
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_first(row: &u64) -> bool {
    *row == 0
}

/// Always with milliseconds, so that the texts sort. `None` where the timestamp lies outside of the calendar.
fn rfc3339(timestamp_ms: i64) -> Option<String> {
    Timestamp::from_millisecond(timestamp_ms).ok().map(|timestamp| format!("{timestamp:.3}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alerts::number::Number;

    fn alert() -> Alert {
        Alert {
            id: AlertId::of(&crate::alerts::id::Identity {
                kind: crate::alerts::id::AlertKind::Record,
                connector: "c",
                topic: "t",
                topic_id: crate::types::TopicId(1),
                replay: Replay(0),
                partition: Partition(3),
                offset: Offset::new(17),
                row: 0,
                detector: "too_hot",
            }),
            origin: Arc::new(AlertOrigin {
                cluster: Arc::from("k"),
                connector: Arc::from("c"),
                topic: Arc::from("t"),
                detector: "too_hot".to_owned(),
            }),
            severity: Severity::High,
            partition: Partition(3),
            offset: Offset::new(17),
            row: 0,
            replay: Replay(0),
            timestamp_ms: Some(1_700_000_000_120),
            key: Some("s\"1".to_owned()),
            value: Observed::Number(Number::Float(97.3)),
            threshold: Observed::Number(Number::Integer(90)),
            message: "hot".to_owned(),
            suppressed: None,
        }
    }

    #[test]
    fn json_has_the_documented_fields() {
        let check = |alert: &Alert, expected: &str| {
            let json = String::from_utf8(alert.to_json()).unwrap();
            assert_eq!(json, format!("{{\"alert_id\":\"{}\",{expected}}}", alert.id));
        };
        check(
            &alert(),
            r#""detector":"too_hot","severity":"high","connector":"c","topic":"t","partition":3,"offset":17,"replay":0,"event_time":"2023-11-14T22:13:20.120Z","key":"s\"1","value":97.3,"threshold":90,"message":"hot""#,
        );
        let bare = Alert {
            timestamp_ms: None,
            key: None,
            value: Observed::Null,
            threshold: Observed::Number(Number::Float(f64::INFINITY)),
            suppressed: Some((RecordCount(4), Offset::new(40))),
            ..alert()
        };
        check(
            &bare,
            r#""detector":"too_hot","severity":"high","connector":"c","topic":"t","partition":3,"offset":17,"replay":0,"event_time":null,"key":"t/3","value":null,"threshold":"inf","message":"hot","suppressed":4,"last_offset":40"#,
        );
        let third = Alert { row: 2, ..alert() };
        assert!(String::from_utf8(third.to_json()).unwrap().contains(r#""offset":17,"row":2,"#));
        let outside = Alert { timestamp_ms: Some(i64::MAX), ..alert() };
        assert!(String::from_utf8(outside.to_json()).unwrap().contains("\"event_time\":null"));
    }

    #[test]
    fn the_row_says_what_the_message_says() {
        let row = alert().to_row();
        assert_eq!((row.value.as_str(), row.threshold.as_str(), row.key.as_str()), ("97.3", "90", "s\"1"));
        assert_eq!((row.event_time, row.suppressed, row.last_offset), (1_700_000_000_120, 0, 17));
        assert_eq!(row.alert_id, alert().id().to_string());
        let summary = Alert { suppressed: Some((RecordCount(4), Offset::new(40))), key: None, ..alert() }.to_row();
        assert_eq!((summary.suppressed, summary.last_offset, summary.key.as_str()), (4, 40, "t/3"));
    }
}
