//! Any text as the expressions of a detector: a program that runs on a row, or errors that each have a place.

use std::sync::Arc;

use oncesink::alerts::{AlertBuffer, AlertCoordinates, Detectors};
use oncesink::columns::{ColumnSpec, Columns, DefaultValue, RowPlan};
use oncesink::config;
use oncesink::decode::RecordDecoder;
use oncesink::types::{Offset, Partition, Replay, TopicId};

const COLUMNS: [(&str, &str); 6] = [
    ("temp", "Float64"),
    ("count", "Int64"),
    ("size", "UInt64"),
    ("name", "String"),
    ("on", "Bool"),
    ("maybe", "Nullable(Int8)"),
];
const ROWS: [&[u8]; 3] = [
    br#"{"temp":91.5,"count":-9223372036854775808,"size":18446744073709551615,"name":"a","on":true,"maybe":null}"#,
    br#"{"temp":-0.0,"count":9223372036854775807,"size":0,"name":"","on":false,"maybe":-128}"#,
    br#"{"temp":1e308,"count":0,"size":1,"name":"\u00e9\u4e2d","on":true,"maybe":1}"#,
];

/// The expression as condition, and again as key, value and message.
pub(crate) fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let quoted = serde_json::to_string(&text).expect("a text can be quoted");
    let file = format!(
        "name: n\ninstance: i\nkafka: {{ brokers: \"k:9092\" }}\nclickhouse: {{ url: \"http://c:8123\" }}\nalerts: {{ topic: a }}\n\
         topics:\n  - topic: t\n    table: d.t\n    detectors:\n      - {{ name: one, when: {quoted} }}\n      \
         - {{ name: two, when: on, key: {quoted}, value: {quoted}, message: {quoted} }}\n"
    );
    let Ok(settings) = config::parse("fuzz.yaml", &file, &|_| None) else { return };
    let spec = |(name, kind): &(&str, &str)| {
        ColumnSpec::new(*name, *kind, DefaultValue::TypeZero).expect("the types are supported")
    };
    let plan = RowPlan::new(COLUMNS.iter().map(spec).collect(), Vec::new(), "UTC").expect("the columns fit together");
    let plan = Arc::new(plan);
    for detector in &settings.topics[0].detectors {
        let one = std::slice::from_ref(detector);
        match Detectors::compile("c", "n", "t", one, &plan) {
            Ok(detectors) => evaluate(&detectors, &plan),
            Err(errors) => {
                for error in errors {
                    assert!(error.to_string().starts_with("fuzz.yaml:"), "{error}");
                }
            }
        }
    }
}

fn evaluate(detectors: &Detectors, plan: &Arc<RowPlan>) {
    let mut columns = Columns::new(plan).expect("no column names a zone");
    let mut decoder = RecordDecoder::json(plan);
    let mut alerts = AlertBuffer::default();
    let record = AlertCoordinates {
        partition: Partition(0),
        offset: Offset::new(0),
        row: 0,
        timestamp_ms: None,
        topic_id: TopicId(1),
        replay: Replay(0),
    };
    for row in ROWS {
        decoder.decode_value(row, &mut columns).expect("the rows are good");
        detectors.evaluate(&columns, &record, &mut alerts);
        columns.rollback_row();
    }
}
