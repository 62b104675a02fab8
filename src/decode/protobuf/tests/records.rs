//! What no Protobuf message is, and where the error is said to be.

use super::{column, f4, g, l, plan, schema, store, tag, v, varint};

const SCHEMA: &str = r#"syntax = "proto3";
    message P { int32 x = 1; string s = 2; P p = 3; repeated P more = 4; map<string, P> map = 5; repeated int32 list = 6; }
    message M { int32 a = 1; string s = 2; P p = 3; repeated int32 list = 4; double d = 5; map<string, int32> map = 6; }"#;

/// Stores a record in a column for each kind of field; `expected` is the error, up to the bytes that it shows.
fn check(record: impl AsRef<[u8]>, expected: &str) {
    let columns = [
        ("a", "Int32"),
        ("s", "String"),
        ("p", "Tuple(x Int32, s String, p String, more Array(Tuple(x Int32)), list Array(Int32))"),
        ("list", "Array(Int32)"),
        ("d", "Float64"),
        ("map", "Map(String, Int32)"),
    ];
    let columns = columns.iter().map(|(name, text)| column(name, text)).collect();
    let stored = store(&schema(SCHEMA), plan(columns), record.as_ref());
    let stored = stored.split_once(": 0x").or(stored.split_once(": the end")).map_or(stored.as_str(), |(text, _)| text);
    let stored =
        stored.replace(" (Tuple(x Int32, s String, p String, more Array(Tuple(x Int32)), list Array(Int32)))", "");
    assert_eq!(stored, expected, "{}", super::hex(record.as_ref()));
}

fn invalid(at: usize) -> String {
    format!("not protobuf by its schema at byte {at}")
}

fn invalid_in(field: &str, at: usize) -> String {
    format!("field {field}: not protobuf by its schema at byte {at}")
}

#[test]
fn tags() {
    let good = v(1, 5);
    check([good.clone(), vec![0]].concat(), &invalid(2));
    check([good.clone(), vec![5]].concat(), &invalid(2));
    for wire in [4, 6, 7] {
        check([good.clone(), tag(1, wire)].concat(), &invalid(2));
        check([good.clone(), tag(99, wire)].concat(), &invalid(2));
    }
    check([good.clone(), vec![0x88]].concat(), &invalid(2));
    // A tag has 32 bits.
    check([good.clone(), varint(1 << 32 | 8), vec![1]].concat(), &invalid(2));
    check([good.clone(), vec![0x80; 10], vec![1]].concat(), &invalid(2));
    check([good, vec![0xFF; 9], vec![2]].concat(), &invalid(2));
}

#[test]
fn numbers() {
    let column = "field a (Int32): not protobuf by its schema at byte";
    check(tag(1, 0), &format!("{column} 1"));
    check([tag(1, 0), vec![0x80]].concat(), &format!("{column} 1"));
    check([tag(1, 0), vec![0x80; 10], vec![0]].concat(), &format!("{column} 1"));
    check([tag(1, 0), vec![0xFF; 9], vec![2]].concat(), &format!("{column} 1"));
    check([tag(9, 0), vec![0x80; 11]].concat(), &invalid(1));
    check([tag(5, 1), vec![0; 7]].concat(), "field d (Float64): not protobuf by its schema at byte 1");
    check([tag(9, 1), vec![0; 7]].concat(), &invalid(1));
    check([tag(9, 5), vec![0; 3]].concat(), &invalid(1));
    check(&f4(9, [0; 4])[..4], &invalid(1));
    // Ten bytes and 64 bits are the most.
    check([tag(1, 0), vec![0xFF; 9], vec![1]].concat(), r#"-1 | "" | (0, "", "", [], []) | [] | 0.0 | {}"#);
    check([tag(1, 0), vec![0x80; 9], vec![0]].concat(), r#"0 | "" | (0, "", "", [], []) | [] | 0.0 | {}"#);
}

#[test]
fn lengths() {
    for length in [1, 5, u64::from(u32::MAX), u64::MAX, i64::MAX.unsigned_abs()] {
        check([tag(2, 2), varint(length)].concat(), "field s (String): not protobuf by its schema at byte 1");
        check([tag(3, 2), varint(length)].concat(), &invalid(1));
        check([tag(4, 2), varint(length)].concat(), &invalid(1));
        check([tag(99, 2), varint(length)].concat(), &invalid(2));
    }
    // A part ends within what holds it.
    check([l(3, [tag(2, 2), varint(3)].concat()), v(1, 1), v(1, 1)].concat(), &invalid_in("p", 3));
    check(l(4, [1, 0x80]), "field list (Array(Int32)): not protobuf by its schema at byte 3");
    check(
        l(6, [l(1, "k"), tag(2, 0)].concat()),
        "field map (Map(String, Int32)): not protobuf by its schema at byte 6",
    );
    check(l(3, l(6, [1, 0x80])), &invalid_in("p", 5));
    check(l(3, vec![0x80]), &invalid_in("p", 2));
}

#[test]
fn texts() {
    check(l(2, b"ab\xff"), "field s (String): the record is not utf-8 at byte 4");
    check(l(3, l(2, b"\xed\xa0\x80")), "field p: the record is not utf-8 at byte 4");
    check(l(6, l(1, b"\xff")), "field map (Map(String, Int32)): the record is not utf-8 at byte 4");
    let proto2 = schema(r#"syntax = "proto2"; message M { optional string s = 1; optional string unmapped = 2; }"#);
    let stored = store(&proto2, plan(vec![column("s", "String")]), &l(1, b"\xff"));
    assert_eq!(stored, "field s (String): the record is not utf-8 at byte 2: 0xff");
    // What no column takes is not looked at.
    assert_eq!(store(&proto2, plan(vec![column("s", "String")]), &l(2, b"\xff")), "\"\"");
}

#[test]
fn groups() {
    check(tag(9, 3), &invalid(1));
    check([tag(9, 3), tag(8, 4)].concat(), &invalid(1));
    check([tag(9, 3), v(1, 1), tag(8, 3), tag(9, 4)].concat(), &invalid(4));
    check([tag(9, 3), vec![0]].concat(), &invalid(1));
    check(tag(9, 4), &invalid(0));
    check(l(3, tag(1, 4)), &invalid_in("p", 2));
    check([l(3, tag(1, 3)), tag(1, 4)].concat(), &invalid(3));
    check(l(3, tag(1, 3)), &invalid_in("p", 3));
}

/// A message in a message, so many times.
fn nested(field: u64, times: usize) -> Vec<u8> {
    (0..times).fold(Vec::new(), |inner, _| l(field, inner))
}

#[test]
fn depth_is_bounded() {
    let store =
        |source: &str, text: &str, record: &[u8]| store(&schema(SCHEMA), plan(vec![column(source, text)]), record);
    let too_deep = |stored: String| assert!(stored.contains("nest too deeply"), "{stored}");
    let fits = |stored: String| assert!(!stored.contains("at byte"), "{stored}");
    fits(store("p", "String", &nested(3, 64)));
    too_deep(store("p", "String", &nested(3, 65)));
    too_deep(store("$", "String", &nested(3, 65)));
    too_deep(store("p", "String", &l(3, nested(4, 20_000))));
    too_deep(store("p", "Tuple(p String)", &nested(3, 65)));
    // Behind a field of the schema: without any a record is none of its messages.
    let groups = |times: usize| [v(1, 1), (0..times).fold(Vec::new(), |inner, _| g(9, inner))].concat();
    fits(store("a", "Int8", &groups(64)));
    too_deep(store("a", "Int8", &groups(65)));
    too_deep(store("a", "Int8", &groups(20_000)));
    too_deep(store("a", "Int8", &tag(9, 3).repeat(100_000)));
    // The entries of a map are messages too.
    let entries = |times: usize| (0..times).fold(Vec::new(), |inner, _| l(5, l(2, inner)));
    fits(store("p", "String", &l(3, entries(31))));
    too_deep(store("p", "String", &l(3, entries(32))));
    // What no column takes is passed over, however deep.
    fits(store("a", "Int8", &nested(3, 20_000)));
}

#[test]
fn a_message_of_many_pieces_is_read_in_linear_time() {
    // Pieces that rival and repeat each other, in turns: were they looked through for each, this would take minutes.
    let schema = schema(
        r#"syntax = "proto3";
        message P { int32 x = 1; }
        message M { oneof k { P a = 1; P b = 2; } map<int32, int32> map = 3; repeated int32 list = 4; repeated int32 other = 5; }"#,
    );
    let mut record = Vec::new();
    for number in 0..50_000 {
        record.extend([l(1, v(1, 1)), l(2, v(1, 2)), v(4, 1), v(5, 1), l(3, v(1, number))].concat());
    }
    let columns =
        [("$.a.x", "Nullable(Int8)"), ("$.b.x", "Int8"), ("$.map['49999']", "Int8"), ("$.list[49999]", "Int8")];
    let columns = columns.iter().map(|(name, text)| column(name, text)).collect();
    assert_eq!(store(&schema, plan(columns), &record), "NULL | 2 | 0 | 1");
}
