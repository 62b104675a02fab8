//! What a message may look like: fields that repeat, are absent, rival each other, or are unknown.

use super::{Table, column, f4, f8, g, l, plan, schema, store, v};
use crate::columns::{ColumnSpec, DefaultValue, OnError, RowPlan, Source, UnknownFields};
use crate::decode::ProtobufSchema;

fn check(schema: &ProtobufSchema, columns: &[(&str, &str)], record: impl AsRef<[u8]>, expected: &str) {
    let columns: Vec<_> = columns.iter().map(|(source, text)| column(source, text)).collect();
    assert_eq!(store(schema, plan(columns), record.as_ref()), expected);
}

const PROTO3: &str = r#"syntax = "proto3";
    message P { int32 x = 1; optional int32 y = 2; repeated int32 list = 3; P p = 4; oneof k { int32 u = 5; string w = 6; } }
    message M {
      int32 a = 1; string b = 2; optional int32 o = 3; P p = 4; repeated P many = 5; map<string, P> map = 6;
      oneof kind { int32 number = 7; string text = 8; P point = 9; double unmapped = 10; }
      map<int32, string> by_number = 11; map<bool, int32> by_truth = 12; repeated int32 list = 13;
      string snake_case = 14; map<uint64, int32> by_unsigned = 15;
    }"#;

#[test]
fn of_fields_that_repeat_the_last_counts_and_messages_are_merged() {
    let schema = schema(PROTO3);
    let simple = [("a", "Int32"), ("b", "String")];
    check(&schema, &simple, [v(1, 1), l(2, "x"), v(1, 2), l(2, "y"), v(1, 3)].concat(), "3 | \"y\"");
    // One that does not fit, and is not the last, does no harm where the column forgives.
    let points = [("p", "Tuple(x Int8, y Nullable(Int8), list Array(Int8))")];
    let record =
        [l(4, [v(1, 1), v(3, 7)].concat()), v(1, 1), l(4, v(2, 2)), l(4, [l(3, [8, 9]), v(1, 3)].concat())].concat();
    check(&schema, &points, &record, "(3, 2, [7, 8, 9])");
    check(
        &schema,
        &[("$.p.x", "Int8"), ("$.p.list", "String"), ("$.p.list[2]", "Int8")],
        &record,
        r#"3 | "[7,8,9]" | 9"#,
    );
    check(&schema, &[("p", "String")], &record, r#""{\"x\":3,\"y\":2,\"list\":[7,8,9]}""#);
    // Merged at each depth.
    let record = [l(4, l(4, v(1, 1))), l(4, l(4, v(2, 2)))].concat();
    check(
        &schema,
        &[("$.p.p.x", "Int8"), ("$.p.p.y", "Int8"), ("p", "Tuple(p String)")],
        &record,
        r#"1 | 2 | ("{\"x\":1,\"y\":2}")"#,
    );
}

#[test]
fn of_a_oneof_the_last_counts() {
    let schema = schema(PROTO3);
    let columns = [("number", "Nullable(Int8)"), ("text", "Nullable(String)"), ("$.point.x", "Nullable(Int8)")];
    check(&schema, &columns, v(7, 5), "5 | NULL | NULL");
    check(&schema, &columns, v(7, 0), "0 | NULL | NULL");
    check(&schema, &columns, [v(7, 5), l(8, "x")].concat(), "NULL | \"x\" | NULL");
    check(&schema, &columns, [l(8, "x"), v(7, 5), v(7, 6)].concat(), "6 | NULL | NULL");
    check(&schema, &columns, [l(8, "x"), f8(10, [0; 8])].concat(), "NULL | NULL | NULL");
    check(&schema, &columns, l(9, []), "NULL | NULL | 0");
    // A message that comes again after another field is not merged with what was there before.
    let points = [("point", "Tuple(x Int8, y Int8)")];
    check(&schema, &points, [l(9, v(1, 1)), l(9, v(2, 2))].concat(), "(1, 2)");
    check(&schema, &points, [l(9, v(1, 1)), v(7, 5), l(9, v(2, 2))].concat(), "(0, 2)");
    check(&schema, &points, [l(9, v(1, 1)), f8(10, [0; 8]), l(9, v(2, 2))].concat(), "(0, 2)");
    check(&schema, &points, [l(9, v(1, 1)), v(7, 5)].concat(), "(0, 0)");
    // Inside of messages as well.
    let inner = l(4, [v(5, 1), l(6, "w")].concat());
    check(
        &schema,
        &[("p", "Tuple(u Nullable(Int8), w String)"), ("$.p.u", "Nullable(Int8)")],
        &inner,
        "(NULL, \"w\") | NULL",
    );
    check(&schema, &[("p", "String"), ("$.p.w", "String")], &inner, r#""{\"w\":\"w\"}" | "w""#);
    check(&schema, &[("p", "Tuple(u Nullable(Int8))")], &inner, "(NULL)");
}

#[test]
fn presence_says_whether_absence_is_zero_or_nothing() {
    let schema3 = schema(PROTO3);
    let spec = |source: &str, text: &str, json: &str| {
        let column = ColumnSpec::new(source, text, DefaultValue::of_json(text, json)).unwrap();
        column.from_source(Source::parse(source).unwrap())
    };
    let columns = || {
        plan(vec![
            spec("a", "Int8", "9"),
            spec("o", "Int8", "9"),
            spec("list", "Array(Int8)", "[9]"),
            spec("$.p.x", "Int8", "9"),
        ])
    };
    assert_eq!(store(&schema3, columns(), &[]), "0 | 9 | [] | 9");
    assert_eq!(store(&schema3, columns(), &[v(1, 0), v(3, 0), l(4, [])].concat()), "0 | 0 | [] | 0");
    let schema2 = schema(
        r#"syntax = "proto2";
        enum E { FIRST = 3; SECOND = 4; }
        message P { optional int32 y = 1 [default = 6]; optional int32 z = 2; }
        message M {
          optional int32 plain = 1; optional int32 seven = 2 [default = 7]; optional string text = 3 [default = "a\"b"];
          optional bytes raw = 4 [default = "\001x"]; optional E e = 5 [default = SECOND]; optional E first = 6;
          optional double d = 7 [default = inf]; required bool yes = 8; optional bool truth = 9 [default = true]; optional P p = 10;
        }"#,
    );
    let columns = [
        ("plain", "Nullable(Int8)"),
        ("seven", "Nullable(Int8)"),
        ("text", "String"),
        ("raw", "String"),
        ("e", "String"),
        ("first", "Nullable(String)"),
        ("d", "Float64"),
        ("yes", "Nullable(Bool)"),
        ("truth", "Bool"),
        ("$.p.y", "Nullable(Int8)"),
        ("p", "Tuple(y Int8, z Nullable(Int8))"),
    ];
    let absent = r#"NULL | 7 | "a\"b" | "\u{1}x" | "SECOND" | NULL | inf | NULL | true | NULL | (0, NULL)"#;
    check(&schema2, &columns, [], absent);
    check(&schema2, &columns[..2], [v(1, 0), v(2, 0)].concat(), "0 | 0");
    check(&schema2, &columns[9..], l(10, []), "6 | (6, NULL)");
    // Declared defaults are no part of the text, as in Protobuf's own mapping; zeros that were written are.
    check(&schema2, &[("$", "String")], [v(2, 0), l(10, [])].concat(), r#""{\"seven\":0,\"p\":{}}""#);
    check(&schema3, &[("$", "String")], [v(1, 0), l(2, ""), v(3, 0), l(13, [])].concat(), r#""{\"o\":0}""#);
}

#[test]
fn numbers_that_a_closed_enum_lacks_are_unknown_fields() {
    let schema = schema(
        r#"syntax = "proto2";
        enum E { ONE = 1; TWO = 2; }
        message M {
          optional E e = 1; repeated E list = 2; repeated E packed = 3 [packed = true]; map<string, E> map = 4;
          oneof k { E either = 5; int32 other = 6; } optional E two = 7 [default = TWO];
        }"#,
    );
    check(&schema, &[("e", "Nullable(String)")], v(1, 9), "NULL");
    check(&schema, &[("e", "Nullable(Int8)")], [v(1, 2), v(1, 9)].concat(), "2");
    check(&schema, &[("two", "String")], v(7, 9), "\"TWO\"");
    check(
        &schema,
        &[("list", "Array(String)")],
        [v(2, 1), v(2, 9), v(2, 2), l(2, [9, 1])].concat(),
        r#"["ONE", "TWO", "ONE"]"#,
    );
    check(&schema, &[("packed", "Array(Int8)"), ("$.packed[1]", "Int8")], l(3, [9, 1, 9, 2]), "[1, 2] | 2");
    let entry = |key: &str, value: i64| l(4, [l(1, key), v(2, value)].concat());
    check(
        &schema,
        &[("map", "Map(String, String)")],
        [entry("a", 1), entry("a", 9), entry("b", 9)].concat(),
        r#"{"a": "ONE"}"#,
    );
    check(&schema, &[("map", "Map(String, String)")], l(4, l(1, "a")), r#"{"a": "ONE"}"#);
    check(
        &schema,
        &[("other", "Nullable(Int8)"), ("either", "Nullable(Int8)")],
        [v(6, 5), v(5, 9)].concat(),
        "5 | NULL",
    );
    check(&schema, &[("$", "String")], [v(1, 9), v(2, 9), l(3, [9])].concat(), r#""{}""#);
}

#[test]
fn fields_of_another_wire_type_and_unknown_ones_are_passed_over() {
    let schema = schema(PROTO3);
    let columns = [("a", "Int32"), ("b", "String"), ("o", "Nullable(Int8)"), ("p", "String")];
    // The first one is as the schema says: see `framing`.
    let record = [l(8, "k"), l(1, "x"), v(2, 5), f4(3, [1; 4]), g(4, v(1, 1)), f8(1, [1; 8]), v(4, 1)].concat();
    check(&schema, &columns, record, r#"0 | "" | NULL | """#);
    let unknown =
        [v(99, 1), l(98, "x"), f4(97, [0; 4]), f8(96, [0; 8]), g(95, g(94, l(1, "y"))), v(536_870_911, 1)].concat();
    check(
        &schema,
        &columns,
        [unknown.clone(), v(1, 5), unknown.clone(), l(4, unknown)].concat(),
        r#"5 | "" | NULL | "{}""#,
    );
}

#[test]
fn paths() {
    let schema = schema(PROTO3);
    let point = |x: i64| v(1, x);
    let entry = |key: &str, x: i64| l(6, [l(1, key), l(2, point(x))].concat());
    let record = [
        [l(5, [point(1), v(3, 4)].concat()), l(5, point(2)), entry("k", 5), entry("k l", 6), entry("k", 7)].concat(),
        [l(11, [v(1, -2), l(2, "minus two")].concat()), l(12, [v(1, 1), v(2, 8)].concat()), l(13, [1, 2]), v(13, 3)]
            .concat(),
        [l(14, "snake"), l(15, [v(1, -1), v(2, 3)].concat())].concat(),
    ]
    .concat();
    for (source, text, expected) in [
        ("$.many[1].x", "Int8", "2"),
        ("$.many[0].list[0]", "Int8", "4"),
        ("$.many[0]", "Tuple(x Int8)", "(1)"),
        ("$.many[0]", "String", r#""{\"x\":1,\"list\":[4]}""#),
        ("$.many[2].x", "Nullable(Int8)", "NULL"),
        ("$.map.k.x", "Int8", "7"),
        ("$.map['k l'].x", "Int8", "6"),
        ("$.map.k.y", "Nullable(Int8)", "NULL"),
        ("$.map.none.x", "Nullable(Int8)", "NULL"),
        ("$.by_number['-2']", "String", "\"minus two\""),
        ("$.by_number['two']", "Nullable(String)", "NULL"),
        ("$.by_truth.true", "Int8", "8"),
        ("$.by_truth.false", "Nullable(Int8)", "NULL"),
        ("$.by_unsigned['18446744073709551615']", "Int8", "3"),
        ("$.list[0]", "Int8", "1"),
        ("$.list[2]", "Int8", "3"),
        ("$.list[3]", "Nullable(Int8)", "NULL"),
        ("snakeCase", "String", "\"snake\""),
        ("snake_case", "String", "\"snake\""),
        ("byNumber", "Map(Int8, String)", "{-2: \"minus two\"}"),
        ("$.a.x", "Nullable(Int8)", "NULL"),
        ("nobody", "Nullable(Int8)", "NULL"),
        ("$.p.x", "Nullable(Int8)", "NULL"),
    ] {
        check(&schema, &[(source, text)], &record, expected);
    }
    // One place may have several columns, and columns for its parts.
    let spec = |name: &str, source: &str, text: &str| {
        let column = ColumnSpec::new(name, text, DefaultValue::TypeZero).unwrap();
        column.from_source(Source::parse(source).unwrap())
    };
    let columns = vec![
        spec("1", "snake_case", "String"),
        spec("2", "snakeCase", "String"),
        spec("3", "many", "String"),
        spec("4", "$.many[1].x", "Int8"),
    ];
    let stored = store(&schema, plan(columns), &record);
    assert_eq!(stored, r#""snake" | "snake" | "[{\"x\":1,\"list\":[4]},{\"x\":2}]" | 2"#);
}

#[test]
fn paths_go_on_inside_of_values_without_a_schema() {
    let schema = schema(
        r#"syntax = "proto3";
        import "google/protobuf/struct.proto";
        message M { google.protobuf.Struct s = 1; repeated google.protobuf.Value v = 2; int32 i = 3; }"#,
    );
    let number = |value: f64| f8(2, value.to_le_bytes());
    let entry = |key: &str, value: &[u8]| l(1, [l(1, key), l(2, value)].concat());
    let inner =
        l(5, [entry("id", &number(7.0)), entry("tags", &l(6, [l(1, l(3, "x")), l(1, l(3, "y"))].concat()))].concat());
    let record = [l(1, entry("user", &inner)), l(2, l(3, "first")), l(2, inner)].concat();
    for (source, text, expected) in [
        ("$.s.user.id", "UInt8", "7"),
        ("$.s.user.tags[1]", "String", "\"y\""),
        ("$.s.user.tags", "Array(String)", "[\"x\", \"y\"]"),
        ("$.s.user", "String", r#""{\"id\":7,\"tags\":[\"x\",\"y\"]}""#),
        ("$.s.other", "Nullable(String)", "NULL"),
        ("$.v[0]", "String", "\"first\""),
        ("$.v[1].id", "UInt8", "7"),
        (
            "$.s.user.tags[0]",
            "UInt8",
            "field $.s.user.tags[0] (UInt8): not a number at byte 2: 0x0a310a047573657212292a270a0f0a02..",
        ),
    ] {
        check(&schema, &[(source, text)], [record.as_slice(), &v(3, 1)].concat(), expected);
    }
}

#[test]
fn the_record_as_a_whole() {
    let schema = schema(PROTO3);
    let record = [v(1, 5), l(4, v(1, 1)), l(2, "x")].concat();
    check(&schema, &[("$", "String"), ("a", "Int8")], &record, r#""{\"a\":5,\"b\":\"x\",\"p\":{\"x\":1}}" | 5"#);
    check(&schema, &[("$", "Tuple(a Int8, p Tuple(x Int8))")], &record, "(5, (1))");
    check(&schema, &[("$", "Map(String, String)")], &record, r#"{"a": "5", "b": "x", "p": "{\"x\":1}"}"#);
    let mut table = Table::new(&std::sync::Arc::new(plan(vec![column("$", "Int8")])), &schema, "M");
    let error = table.push(&v(1, 5)).unwrap_err().to_string();
    assert_eq!(error, "field $ (Int8): not a kind of value that the column takes at byte 0: 0x0805");
}

fn with_rest(policy: UnknownFields, columns: &[(&str, &str)]) -> RowPlan {
    plan(columns.iter().map(|(source, text)| column(source, text)).collect()).with_unknown_fields(policy)
}

#[test]
fn fields_that_no_column_takes() {
    let schema = schema(PROTO3);
    let columns = [("a", "Int8"), ("text", "Nullable(String)"), ("rest", "String")];
    let all = [v(13, 1), v(1, 5), l(2, "x"), v(99, 1), l(4, v(1, 1)), l(4, v(2, 2)), l(13, [2])].concat();
    let stored = |policy, columns, record: &[u8]| store(&schema, with_rest(policy, columns), record);
    assert_eq!(stored(UnknownFields::Ignore, &columns[..2], &all), "5 | NULL");
    assert_eq!(stored(UnknownFields::DeadLetter, &columns[..2], &[v(1, 5), v(99, 1), l(8, "t")].concat()), "5 | \"t\"");
    let refused = "no column takes this field at byte 6: 0x78980601220208012202100";
    assert!(stored(UnknownFields::DeadLetter, &columns[..2], &all).starts_with(refused));
    let kept = r#"5 | NULL | "{\"b\":\"x\",\"p\":{\"x\":1,\"y\":2},\"list\":[1,2]}""#;
    assert_eq!(stored(UnknownFields::Collect(2), &columns, &all), kept);
    // What equals its absence is absent, and so is what a oneof has lost.
    let record = [v(7, 5), v(3, 0), l(2, ""), l(13, []), l(8, "t")].concat();
    assert_eq!(stored(UnknownFields::Collect(2), &columns, &record), r#"0 | "t" | "{\"o\":0}""#);
    assert_eq!(
        stored(UnknownFields::Collect(2), &columns, &[l(8, "t"), v(7, 5)].concat()),
        r#"0 | NULL | "{\"number\":5}""#
    );
}

#[test]
fn values_that_do_not_fit() {
    let schema = schema(PROTO3);
    let spec = |source: &str, text: &str, on_error| column(source, text).on_error(on_error);
    let columns = || {
        vec![
            spec("a", "UInt8", OnError::Clamp),
            spec("o", "Nullable(UInt8)", OnError::Null),
            spec("p", "Tuple(x UInt8)", OnError::Default),
            spec("$.many[0].x", "Int8", OnError::Default),
            column("b", "String"),
        ]
    };
    let record = [v(1, 300), v(3, 300), l(4, v(1, 300)), l(5, v(1, 300)), l(2, "x")].concat();
    let mut table = Table::new(&std::sync::Arc::new(plan(columns())), &schema, "M");
    table.push(&record).unwrap();
    assert_eq!(table.stored(), [["255"], ["NULL"], ["(0)"], ["0"], ["\"x\""]]);
    let replaced = |table: &mut Table| -> u64 { table.columns.take_replaced().iter().map(|(_, values)| values).sum() };
    assert_eq!(table.columns.take_replaced(), [(0, 1), (1, 1), (2, 1), (3, 1)]);
    // Only the value that counts in the end is counted.
    table.push(&[v(1, 300), v(1, 7), v(1, 300), v(1, 8)].concat()).unwrap();
    assert_eq!(replaced(&mut table), 0);
    table.push(&[v(1, 300), v(1, 7), v(1, 300)].concat()).unwrap();
    assert_eq!(replaced(&mut table), 1);
    assert_eq!(table.stored()[0], ["255", "8", "255"]);
    // What is no message is never forgiven.
    assert!(table.push(&[v(1, 300), vec![0x20]].concat()).is_err());
    assert_eq!(replaced(&mut table), 0);
}

#[test]
fn a_default_that_only_the_server_knows_is_marked_by_the_last_value() {
    let schema = schema(PROTO3);
    let column = ColumnSpec::new("a", "UInt8", DefaultValue::ServerSide).unwrap().on_error(OnError::Default);
    let mut table = Table::new(&std::sync::Arc::new(plan(vec![column])), &schema, "M");
    table.push(&[v(1, 300), v(1, 7)].concat()).unwrap();
    assert_eq!(table.stored(), [["7"]]);
    table.push(&[v(1, 7), v(1, 300)].concat()).unwrap();
    assert_eq!(table.stored(), [["7", "0"], ["1", "0"]]);
}

#[test]
fn two_fields_of_one_column() {
    let schema = schema(PROTO3);
    let mut both = column("a", "Int8");
    both.aliases = vec![Source::parse("o").unwrap()];
    let stored = |record: &[u8]| store(&schema, plan(vec![both.clone()]), record);
    assert_eq!(stored(&v(1, 5)), "5");
    assert_eq!(stored(&v(3, 6)), "6");
    assert_eq!(stored(&[v(1, 5), v(1, 6)].concat()), "6");
    assert_eq!(stored(&[v(1, 5), v(3, 6)].concat()), "field a (Int8): the key occurs twice at byte 3: 0x06");
    // Two names of one field are one source.
    let mut names = column("snake_case", "String");
    names.aliases = vec![Source::parse("snakeCase").unwrap()];
    assert_eq!(store(&schema, plan(vec![names]), &l(14, "x")), "\"x\"");
}
