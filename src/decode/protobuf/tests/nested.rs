//! Lists of messages into the columns of a flattened Nested.

use std::sync::Arc;

use super::{Table, l, plan, schema, v};
use crate::columns::{ColumnSpec, DefaultValue, OnError, Path, Source};

fn nested(name: &str, type_text: &str) -> ColumnSpec {
    let spec = ColumnSpec::new(name, type_text, DefaultValue::TypeZero).unwrap().on_error(OnError::Default);
    ColumnSpec { aliases: vec![Source::Value(Path::of_fields(name.split('.')))], ..spec }
}

const SCHEMA: &str = r#"syntax = "proto3";
    import "google/protobuf/struct.proto";
    message E { uint32 a = 1; repeated string b = 2; string z = 3; optional uint32 o = 4; oneof k { uint32 u = 5; string w = 6; } }
    message L { repeated uint32 a = 1; }
    message M { repeated E n = 1; L one = 2; repeated uint32 plain = 3; repeated google.protobuf.Struct free = 4; }"#;

#[test]
fn a_list_of_messages_fills_the_columns_of_a_flattened_nested() {
    let check = |columns: Vec<ColumnSpec>, record: &[u8], expected: &str| {
        let plan = Arc::new(plan(columns));
        let mut table = Table::new(&plan, &schema(SCHEMA), "M");
        let found = match table.push(record) {
            Ok(()) => table.stored().concat().join(" / "),
            Err(error) => format!("{} {}", error.code, error.field.unwrap_or_default()),
        };
        assert_eq!(found, expected, "{record:x?}");
        // Whatever became of it, the next record is whole.
        table.push(&[]).unwrap();
        assert!(table.stored().iter().all(|values| values.last().unwrap() == "[]"), "{record:x?}");
    };
    let all = || {
        vec![
            nested("n.a", "Array(UInt8)"),
            nested("n.b", "Array(Array(String))"),
            nested("n.o", "Array(Nullable(UInt8))"),
            nested("n.u", "Array(UInt8)"),
            nested("n.none", "Array(String)"),
        ]
    };
    let first = l(1, [v(1, 1), l(2, "x"), l(3, "z"), l(2, "y"), v(5, 5), l(6, "w")].concat());
    let second = l(1, [v(4, 0), v(5, 6)].concat());
    check(
        all(),
        &[first, second, l(1, [])].concat(),
        r#"[1, 0, 0] / [["x", "y"], [], []] / [NULL, 0, NULL] / [0, 6, 0] / ["", "", ""]"#,
    );
    check(all(), &[], "[] / [] / [] / [] / []");
    // Not replaced: the lists would no longer be of one length.
    check(all(), &[l(1, v(1, 1)), l(1, v(1, 300))].concat(), "out_of_range n.a");
    // As before: a message of lists.
    check(vec![nested("one.a", "Array(UInt8)")], &l(2, l(1, [1, 2])), "[1, 2]");
    // What has no fields has none of that name.
    check(vec![nested("plain.a", "Array(UInt8)")], &l(3, [1, 2]), "type_mismatch plain.a");
    // Objects whose shape only the record gives.
    let number = |value: f64| [vec![0x11], value.to_le_bytes().to_vec()].concat();
    let field = |name: &str, value: f64| l(1, [l(1, name), l(2, number(value))].concat());
    let free = [l(4, field("a", 5.0)), l(4, field("z", 1.0))].concat();
    check(vec![nested("free.a", "Array(UInt8)")], &free, "[5, 0]");
}
