//! Lists of records into the columns of a flattened Nested.

use super::{Table, long, outcome, plan, record, sized};
use crate::columns::{ColumnSpec, DefaultValue, OnError, Path, Source};

/// A column of a Nested, as a table without further configuration has it.
fn nested(name: &str, type_text: &str) -> ColumnSpec {
    let spec = ColumnSpec::new(name, type_text, DefaultValue::TypeZero).unwrap().on_error(OnError::Default);
    ColumnSpec { aliases: vec![Source::Value(Path::of_fields(name.split('.')))], ..spec }
}

/// What is stored of a field `n` of this type and these bytes, between two records without elements.
fn check(kind: &str, bytes: impl AsRef<[u8]>, expected: &str) {
    let columns = vec![nested("n.a", "Array(UInt8)"), nested("n.b", "Array(Array(Nullable(String)))")];
    let mut table = Table::new(plan(columns), &record("R", &[("n", kind), ("w", "\"int\"")]));
    let found = outcome(&mut table, &[bytes.as_ref(), &long(1)].concat());
    assert_eq!(found, expected, "{kind} {:x?}", bytes.as_ref());
}

const ELEMENT: &str = r#"{"type": "record", "name": "E", "fields": [{"name": "b", "type": {"type": "array", "items": ["null", "string"]}},
    {"name": "z", "type": "string"}, {"name": "a", "type": "int"}]}"#;

fn list(of: &str) -> String {
    format!("{{\"type\": \"array\", \"items\": {of}}}")
}

fn element(b: &[u8], a: i64) -> Vec<u8> {
    [b, &sized("zz"), &long(a)].concat()
}

#[test]
fn a_list_of_records_fills_the_columns_of_a_flattened_nested() {
    let texts = [long(2), long(1), sized("x"), long(0), long(0)].concat();
    let two = [element(&texts, 1), element(&long(0), 2)].concat();
    check(&list(ELEMENT), [long(2), two.clone(), long(0)].concat(), "[1, 2] / [[\"x\", NULL], []]");
    // In several blocks, one of them with its length.
    let size = long(i64::try_from(element(&texts, 1).len()).unwrap());
    let blocks = [long(-1), size, element(&texts, 1), long(1), element(&long(0), 2), long(0)].concat();
    check(&list(ELEMENT), blocks, "[1, 2] / [[\"x\", NULL], []]");
    check(&list(ELEMENT), long(0), "[] / []");

    // Null, and elements that are null.
    let or_null = format!("[\"null\", {}]", list(&format!("[\"null\", {ELEMENT}]")));
    check(&or_null, long(0), "[] / []");
    let one_null = [long(1), long(2), long(0), long(1), element(&texts, 7), long(0)].concat();
    check(&or_null, one_null, "[0, 7] / [[], [\"x\", NULL]]");

    // Records that lack a field, and maps.
    let only_a = r#"{"type": "record", "name": "A", "fields": [{"name": "a", "type": ["null", "int"]}]}"#;
    check(&list(only_a), [long(2), long(1), long(5), long(0), long(0)].concat(), "[5, 0] / [[], []]");
    let maps = list(r#"{"type": "map", "values": "int"}"#);
    let map = [long(2), sized("c"), long(3), sized("a"), long(4), long(0)].concat();
    check(&maps, [long(2), map, long(0), long(0)].concat(), "[4, 0] / [[], []]");
    let twice = [long(2), sized("a"), long(3), sized("a"), long(4), long(0)].concat();
    check(&maps, [long(1), twice, long(0)].concat(), "duplicate_key");

    // A record of lists is as before.
    let lists =
        r#"{"type": "record", "name": "L", "fields": [{"name": "a", "type": {"type": "array", "items": "int"}}]}"#;
    check(lists, [long(2), long(1), long(2), long(0)].concat(), "[1, 2] / [[], []]");
    let either = format!("[{lists}, {}]", list(ELEMENT));
    check(&either, [long(0), long(1), long(9), long(0)].concat(), "[9] / [[]]");
    check(&either, [long(1), long(2), two, long(0)].concat(), "[1, 2] / [[\"x\", NULL], []]");
}

#[test]
fn what_does_not_fit_is_never_replaced_in_one_column_alone() {
    // The lists would no longer be of one length.
    check(&list(ELEMENT), [long(1), element(&long(0), 300), long(0)].concat(), "out_of_range");
    check(&list("\"int\""), [long(1), long(5), long(0)].concat(), "type_mismatch");
    check(&list("\"int\""), long(0), "[] / []");
    check(&list(ELEMENT), [long(1), long(0)].concat(), "invalid_avro");
}

#[test]
fn a_nested_may_stand_deeper() {
    let source = |name: &str| {
        let path = Path::of_fields(["after", "n", name]);
        nested(&format!("n.{name}"), "Array(UInt8)").from_source(Source::Value(path))
    };
    let columns = vec![ColumnSpec { aliases: Vec::new(), ..source("a") }];
    let row = record("Row", &[("n", &list(ELEMENT))]);
    let mut table = Table::new(plan(columns), &record("R", &[("after", &format!("[\"null\", {row}]"))]));
    assert_eq!(outcome(&mut table, &[long(1), long(1), element(&long(0), 5), long(0)].concat()), "[5]");
    assert_eq!(outcome(&mut table, &long(0)), "[5] []");
}
