//! Alerts as rows of the alerts table.

use crate::alerts::AlertSet;
use crate::insert::{InputColumn, RowBinary};

/// The columns that [`rows`] writes, in its order, with their types as an insert takes them.
const COLUMNS: [(&str, &str); 16] = [
    ("connector", "String"),
    ("alert_id", "String"),
    ("detector", "String"),
    ("severity", "String"),
    ("cluster", "String"),
    ("topic", "String"),
    ("partition", "Int32"),
    ("offset", "UInt64"),
    ("replay", "UInt32"),
    ("event_time", "DateTime64(3, 'UTC')"),
    ("key", "String"),
    ("value", "String"),
    ("threshold", "String"),
    ("message", "String"),
    ("suppressed", "UInt64"),
    ("last_offset", "UInt64"),
];

/// The columns of the insert.
pub(super) fn columns() -> Vec<InputColumn> {
    let column = |(name, kind): &(&str, &str)| InputColumn {
        name: (*name).to_owned(),
        kind: (*kind).to_owned(),
        conversion: None,
        default: None,
    };
    COLUMNS.iter().map(column).collect()
}

/// The rows of the insert.
pub(super) fn rows(alerts: &AlertSet) -> RowBinary {
    let mut rows = RowBinary::new();
    for alert in alerts.iter() {
        let row = alert.to_row();
        rows.string(&row.connector);
        rows.string(&row.alert_id);
        rows.string(&row.detector);
        rows.string(row.severity);
        rows.string(&row.cluster);
        rows.string(&row.topic);
        rows.i32(row.partition);
        rows.u64(row.offset);
        rows.u32(row.replay);
        rows.i64(row.event_time);
        rows.string(&row.key);
        rows.string(&row.value);
        rows.string(&row.threshold);
        rows.string(&row.message);
        rows.u64(row.suppressed);
        rows.u64(row.last_offset);
    }
    rows
}
