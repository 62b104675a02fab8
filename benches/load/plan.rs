//! The columns of a load as the connector sees them.

use std::sync::Arc;

use oncesink::columns::{ColumnSpec, CoordinateKind, CoordinateSpec, DefaultValue, RowPlan};

/// A row of these columns (name, type) and the four coordinates.
pub(crate) fn plan(columns: &[(&str, &str)]) -> Arc<RowPlan> {
    let data = columns.iter().map(|(name, text)| ColumnSpec::new(*name, *text, DefaultValue::TypeZero));
    let coordinates = [
        (CoordinateKind::Topic, "_topic", "LowCardinality(String)"),
        (CoordinateKind::Partition, "_partition", "Int32"),
        (CoordinateKind::Offset, "_offset", "UInt64"),
        (CoordinateKind::Replay, "_replay", "UInt32"),
    ];
    let coordinates = coordinates.iter().map(|(kind, name, text)| CoordinateSpec::new(*kind, *name, *text));
    let data = data.collect::<Result<_, _>>().expect("the types are known");
    let coordinates = coordinates.collect::<Result<_, _>>().expect("the types are known");
    Arc::new(RowPlan::new(data, coordinates, "UTC").expect("the columns fit"))
}
