//! Lists of objects into the columns of a flattened Nested.

use std::sync::Arc;

use super::Table;
use crate::columns::{ColumnSpec, CoordinateKind, CoordinateSpec, DefaultValue, OnError, Path, RowPlan, Source};

#[test]
fn a_list_of_objects_fills_the_columns_of_a_flattened_nested() {
    let spec = |name: &str, text: &str| {
        let path = Path::of_fields(name.split('.'));
        let spec = ColumnSpec::new(name, text, DefaultValue::TypeZero).unwrap().on_error(OnError::Default);
        ColumnSpec { aliases: vec![Source::Value(path)], ..spec }
    };
    let columns = vec![spec("n.a", "Array(UInt8)"), spec("n.b", "Array(Array(String))")];
    let offset = CoordinateSpec::new(CoordinateKind::Offset, "_offset", "UInt64").unwrap();
    let plan = Arc::new(RowPlan::new(columns, vec![offset], "UTC").unwrap());
    let check = |record: &str, expected: &str| {
        let mut table = Table::new(&plan);
        let found = match table.push(record) {
            Ok(()) => format!("{} {}", table.stored("n.a"), table.stored("n.b")),
            Err(error) => format!("{} {}", error.code.as_str(), error.field.unwrap_or_default()),
        };
        assert_eq!(found, expected, "{record}");
        // Whatever became of it, the next record is whole.
        table.push("{\"n\":[{\"a\":7}]}").unwrap();
        assert!(table.stored("n.a").ends_with("[7]") && table.stored("n.b").ends_with("[[]]"), "{record}");
    };
    check(
        "{\"n\": [{\"a\": 1, \"b\": [\"x\"]}, {\"b\": [\"y\"], \"c\": [{}]}, {}]}",
        "[1, 0, 0] [[\"x\"], [\"y\"], []]",
    );
    check("{\"n\": [{\"\\u0061\": null, \"b\": []}]}", "[0] [[]]");
    check("{\"n\": []}", "[] []");
    check("{\"n\": null}", "[] []");
    check("{}", "[] []");
    // As before: an object of lists, or each list under its own name.
    check("{\"n\": {\"a\": [1, 2], \"b\": [[], [\"x\"]]}}", "[1, 2] [[], [\"x\"]]");
    check("{\"n.a\": [1], \"n.b\": [[]]}", "[1] [[]]");
    check("{\"n\": [1]}", "type_mismatch n.a");
    check("{\"n\": [{\"a\": 1}, null]}", "[1, 0] [[], []]");
    // Not replaced: the lists would no longer be of one length.
    check("{\"n\": [{\"a\": 1}, {\"a\": 256}]}", "out_of_range n.a");
    check("{\"n\": [{\"a\": 1, \"a\": 2}]}", "duplicate_key n.a");
    check("{\"n.a\": [1], \"n\": [{\"a\": 1}]}", "duplicate_key n.a");
    check("{\"n\": [{\"a\": 1}", "invalid_json n.a");
}
