//! Records whose rows are the elements of a list inside.

use std::sync::Arc;

use super::rows::read;
use crate::block::native::NativeEncoder;
use crate::block::test_reader;
use crate::columns::{ColumnSpec, Columns, DefaultValue, OnError, RowCoordinates, RowPlan, Source, UnknownFields};
use crate::config::Records;
use crate::decode::record::REPEATED_BYTES_MAX;
use crate::decode::{ErrorCode, Record, RecordDecoder, RowCursor, Undecoded};

fn spec((name, kind, source): (&str, &str, &str)) -> ColumnSpec {
    ColumnSpec::new(name, kind, DefaultValue::TypeZero).unwrap().from_source(Source::parse(source).unwrap())
}

fn plan(columns: &[(&str, &str, &str)]) -> Arc<RowPlan> {
    Arc::new(RowPlan::new(columns.iter().copied().map(spec).collect(), Vec::new(), "UTC").unwrap())
}

fn inside(path: &str) -> Records {
    match Source::parse(path) {
        Ok(Source::Value(path)) => Records::Inside(path),
        other => panic!("{path}: {other:?}"),
    }
}

/// The rows, separated by blanks, without the types of their values.
fn rows(plan: &Arc<RowPlan>, path: &str, text: &str) -> Result<String, String> {
    let rows = read(plan, inside(path), text.as_bytes())?;
    let plain = rows.join(" ").replace("U64(", "").replace("I64(", "").replace("Str(", "");
    Ok(plain.replace(')', ""))
}

#[test]
fn each_element_is_a_row() {
    let plan = plan(&[("a", "UInt8", "a"), ("order", "UInt32", "$record.id"), ("city", "String", "$record.to.city")]);
    let check = |path: &str, text: &str, expected: &str| {
        assert_eq!(rows(&plan, path, text).as_deref(), Ok(expected), "{path} of {text}");
    };
    check("$.items", r#"{"items":[{"a":1},{"a":2}],"id":7,"to":{"city":"x"}}"#, r#"1,7,"x" 2,7,"x""#);
    check("$.items", r#"{"id":7,"to":{"x":[],"city":"\u0041"},"items":[{"a":1}]}"#, r#"1,7,"A""#);
    check("$.items", " { \"id\" : 7 , \"items\" : [ {\"a\":1 } ,\n{ } ] , \"to\" : null } ", r#"1,7,"" 0,7,"""#);
    check("$.\u{e9}", r#"{"\u00e9":[{"a":1}],"to":null}"#, r#"1,0,"""#);
    check(
        "$.items",
        "\u{feff}{\"z\":NaN,\"\\ud800\":1,\"items\":[{\"a\":1,\"z\":[\"\\ud800\"]}],\"id\":7}",
        r#"1,7,"""#,
    );
    // Fields of the same name are of the element, and of the record where it is asked for.
    check("$.items", r#"{"a":9,"items":[{"id":3,"a":1,"to":{"city":"y"}}],"id":7}"#, r#"1,7,"""#);
    check("$.a.b[1].items", r#"{"a":{"b":[5,{"id":1,"items":[{"a":4}]},{}]},"id":8}"#, r#"4,8,"""#);
    check("$.items", r#"{"items":[{"items":[{"a":9}],"a":1}]}"#, r#"1,0,"""#);
    check("$[1]", r#"[{"id":5},[{"a":1},{"a":2}],{}]"#, r#"1,0,"" 2,0,"""#);
    check("$.to", r#"{"to":[{"a":1}],"id":2}"#, r#"1,2,"""#);
    // Nothing there.
    for nothing in [r#"{"items":[],"id":1}"#, r#"{"items":null}"#, r#"{"id":1}"#, "{}", r#"{"items":[ ]}"#] {
        check("$.items", nothing, "");
    }
    for nothing in [r#"{"a":null}"#, r#"{"a":{}}"#, r#"{"a":{"b":null}}"#, r#"{"a":{"b":[]}}"#, r#"{"a":{"b":[{}]}}"#] {
        check("$.a.b[0].items", nothing, "");
    }
    check("$[1]", "[[]]", "");
}

#[test]
fn an_element_may_be_taken_whole() {
    let check = |columns: &[(&str, &str, &str)], text: &str, expected: &str| {
        assert_eq!(rows(&plan(columns), "$.v", text).as_deref(), Ok(expected), "{text}");
    };
    check(&[("n", "Int32", "$"), ("id", "UInt8", "$record.id")], r#"{"v":[1, -2],"id":3}"#, "1,3 -2,3");
    check(
        &[("s", "String", "$")],
        r#"{"v":["a\n",{"x":[1]},[2],null,5]}"#,
        "\"a\\n\" \"{\\\"x\\\":[1]}\" \"[2]\" \"\" \"5\"",
    );
    check(&[("s", "String", "$")], r#"{"v":[[1,2],[]]}"#, r#""[1,2]" "[]""#);
    check(&[("whole", "String", "$record"), ("n", "UInt8", "$")], r#"{"v":[1]}"#, r#""{\"v\":[1]}",1"#);
    check(&[("first", "UInt8", "$record.v[0]"), ("n", "UInt8", "$")], r#"{"v":[4,5]}"#, "4,4 4,5");
    check(&[("list", "String", "$record.v"), ("n", "UInt8", "$")], r#"{"v":[4,5]}"#, r#""[4,5]",4 "[4,5]",5"#);
}

#[test]
fn what_is_wrong_is_named_with_its_place() {
    let plan = plan(&[("a", "UInt8", "a"), ("id", "UInt8", "$record.id")]);
    let check = |path: &str, text: &str, expected: &str| {
        assert_eq!(rows(&plan, path, text), Err(expected.to_owned()), "{path} of {text}");
    };
    let items = "$.items";
    check(items, "", r#"empty: row 0: the record has no bytes at byte 0: """#);
    check(items, "[]", r#"not_an_object: row 0: the record is not an object at byte 0: "[]""#);
    check(items, "null", r#"not_an_object: row 0: the record is not an object at byte 0: "null""#);
    let not_a_list = |at: usize, text: &str| {
        format!("not_a_list: row 0: not a json list, where the rows are to be at byte {at}: {text:?}")
    };
    check(items, r#"{"items":{"a":1}}"#, &not_a_list(9, r#"{"a":1}}"#));
    check(items, r#"{"items": "x"}"#, &not_a_list(10, r#""x"}"#));
    // What stands in the way of the list hides rows as well.
    check("$.a.items", r#"{"a":5}"#, &not_a_list(5, "5}"));
    check("$.a[0].items", r#"{"a":{}}"#, &not_a_list(5, "{}}"));
    check("$.a[0].items", r#"{"a":[[]]}"#, &not_a_list(6, "[]]}"));
    check("$[0]", "{}", &not_a_list(0, "{}"));
    check("$[0]", "null", &not_a_list(0, "null"));
    check("$[0]", " ", r#"empty: row 0: the record has no bytes at byte 1: """#);
    check(items, r#"{"items":[5]}"#, r#"not_an_object: row 0: the record is not an object at byte 10: "5]}""#);
    check(
        items,
        r#"{"items":[{"a":1},{"a":300}]}"#,
        r#"out_of_range: row 1: field a (UInt8): outside the range of the column at byte 23: "300}]}""#,
    );
    check(
        items,
        r#"{"items":[{}],"id":"x"}"#,
        r#"invalid_number: row 0: field id (UInt8): not a number at byte 19: "\"x\"}""#,
    );
    // A key that counts is there once, also where no row says so.
    check(items, r#"{"items":[],"items":[]}"#, r#"duplicate_key: row 0: the key occurs twice at byte 20: "[]}""#);
    check(items, r#"{"items":null,"items":[]}"#, r#"duplicate_key: row 0: the key occurs twice at byte 22: "[]}""#);
    check(
        items,
        r#"{"id":1,"items":[],"id":1}"#,
        r#"duplicate_key: row 0: field id (UInt8): the key occurs twice at byte 24: "1}""#,
    );
    check(
        items,
        r#"{"items":[{"a":1,"a":2}]}"#,
        r#"duplicate_key: row 0: field a (UInt8): the key occurs twice at byte 21: "2}]}""#,
    );
    check(
        "$.a.v",
        r#"{"a":{"v":[]},"a":{"v":[{}]}}"#,
        r#"duplicate_key: row 0: the key occurs twice at byte 23: "[{}]}}""#,
    );
    // What is behind the list is wrong before its first row counts.
    check(items, r#"{"items":[{}]} x"#, r#"trailing_data: row 0: bytes follow the record at byte 15: "x""#);
    check(items, r#"{"items":[{}]"#, r#"invalid_json: row 0: not json at byte 13: """#);
    check(items, r#"{"items":[{}],}"#, r#"invalid_json: row 0: not json at byte 14: "}""#);
    check(items, r#"{"items":[{},]}"#, r#"invalid_json: row 0: not json at byte 13: "]}""#);
    check(items, r#"{"items":[{}],"z":[1,"x"}"#, r#"invalid_json: row 0: not json at byte 24: "}""#);
    check(items, r#"{"items":[{}],"id":5x}"#, r#"invalid_json: row 0: not json at byte 20: "x}""#);
    check(items, r#"{"items":nullx}"#, r#"invalid_json: row 0: not json at byte 13: "x}""#);
    check(items, r#"{"items":nul}"#, r#"invalid_json: row 0: not json at byte 9: "nul}""#);
    for deep in [
        format!(r#"{{"items":[{{"z":{}"#, "[".repeat(126)),
        format!(r#"{{"items":[],"z":{}"#, "[".repeat(128)),
        format!(r#"{{"items":[],"id":{}"#, "[".repeat(128)),
    ] {
        let error = rows(&plan, items, &deep).unwrap_err();
        assert!(error.starts_with("too_deep: row 0: "), "{error}");
    }
    let error = read(&plan, inside(items), b"{\"items\":[{}],\"z\":\"\xff\"}").unwrap_err();
    assert!(error.starts_with("invalid_utf8: row 0: ") && error.contains("at byte 19"), "{error}");
}

/// A list of objects beside the rows fills the columns of a flattened Nested, as it does in a row.
#[test]
fn a_nested_list_around_the_rows_is_divided_among_columns() {
    let plan =
        plan(&[("n.a", "Array(UInt8)", "$record.o.n.a"), ("n.b", "Array(String)", "$.n.b"), ("x", "UInt8", "x")]);
    let (mut decoder, mut columns) =
        (RecordDecoder::json(&plan).of_records(&inside("$.v")), Columns::new(&plan).unwrap());
    let text = br#"{"o":{"n":[{"a":1},{},{"a":3}]},"v":[{"x":1,"n":[{"b":"p"},{"b":"q"}]},{"x":2}]}"#;
    let mut cursor = RowCursor::default();
    while decoder.next_row(&Record::of_value(text), &mut cursor, &mut columns).unwrap() {
        columns.commit_row(&RowCoordinates { topic: "t", partition: 0, offset: 0, row: 0, replay: 0 });
    }
    let raw = test_reader::decompress(&NativeEncoder::new().encode(&columns).frames);
    let found: Vec<_> = test_reader::read_block(&raw).into_iter().map(|(_, _, values)| values.join(" ")).collect();
    assert_eq!(found, ["[1, 0, 3] [1, 0, 3]", r#"["p", "q"] ["", "", ""]"#, "1 2"]);
    let twice = br#"{"o":{"n":[{"a":1,"a":2}]},"v":[{}]}"#;
    let error = decoder.next_row(&Record::of_value(twice), &mut RowCursor::default(), &mut columns).unwrap_err();
    assert!(matches!(&error, Undecoded::Bad(error) if error.field.as_deref() == Some("n.a")), "{error:?}");
}

/// `unknown_fields` is about elements, and policies hold for values around them too.
#[test]
fn policies_hold_for_elements_and_what_is_around_them() {
    let refusing = RowPlan::new(vec![spec(("a", "UInt8", "a"))], Vec::new(), "UTC").unwrap();
    let refusing = Arc::new(refusing.with_unknown_fields(UnknownFields::DeadLetter));
    assert_eq!(rows(&refusing, "$.v", r#"{"x":1,"v":[{"a":1}]}"#).as_deref(), Ok("1"));
    let error = rows(&refusing, "$.v", r#"{"v":[{"a":1},{"x":1}]}"#).unwrap_err();
    assert_eq!(error, r#"unknown_field: row 1: no column takes this field at byte 15: "\"x\":1}]}""#);
    let rest = ColumnSpec::new("rest", "String", DefaultValue::TypeZero).unwrap().from_source(Source::UnknownFields);
    let lenient = spec(("id", "UInt8", "$record.id")).on_error(OnError::Clamp);
    let collecting = RowPlan::new(vec![lenient, rest], Vec::new(), "UTC").unwrap();
    let collecting = Arc::new(collecting.with_unknown_fields(UnknownFields::Collect(1)));
    assert_eq!(
        rows(&collecting, "$.v", r#"{"id":300,"v":[{"b":2,"c":[]},{}]}"#).as_deref(),
        Ok(r#"255,"{\"b\":2,\"c\":[]}" 255,"{}""#)
    );
}

/// Decoders share the cursor of a record: one may see a record for the first time at a row in its middle, while what it has
/// noted is of another record.
#[test]
fn a_decoder_may_begin_in_the_middle_of_a_record() {
    let ids = plan(&[("id", "UInt8", "$record.id"), ("n", "UInt8", "$")]);
    let names = plan(&[("n", "UInt8", "$"), ("name", "String", "$record.name")]);
    let mut decoders =
        [&ids, &names].map(|plan| (RecordDecoder::json(plan).of_records(&inside("$.v")), Columns::new(plan).unwrap()));
    let mut found = Vec::new();
    // Both texts have the same length, and the places in them differ.
    for text in [r#"{"id":1,"name":"x","v":[1,2,3,4]}"#, r#"{"v":[5,6,7,8],"name":"y","id":2}"#] {
        let (record, mut cursor) = (Record::of_value(text.as_bytes()), RowCursor::default());
        for turn in [0, 1, 1, 0] {
            let (decoder, columns) = &mut decoders[turn];
            assert!(decoder.next_row(&record, &mut cursor, columns).unwrap());
            found.push(format!("{:?},{:?}", columns.last_value(0), columns.last_value(1)));
            columns.rollback_row();
        }
        for (decoder, columns) in &mut decoders {
            assert!(!decoder.next_row(&record, &mut cursor.clone(), columns).unwrap());
        }
    }
    let expected = [
        "U64(1),U64(1)",
        "U64(2),Str(\"x\")",
        "U64(3),Str(\"x\")",
        "U64(1),U64(4)",
        "U64(2),U64(5)",
        "U64(6),Str(\"y\")",
        "U64(7),Str(\"y\")",
        "U64(2),U64(8)",
    ];
    assert_eq!(found, expected);
}

/// A long text around a long list would become a block of any size.
#[test]
fn what_rows_repeat_is_bounded() {
    let check = |columns: &[(&str, &str, &str)], bytes: usize, elements: usize, rows: usize| {
        let text = format!(r#"{{"v":[{}],"t":"{}"}}"#, vec!["1"; elements].join(","), "x".repeat(bytes - 2));
        let (plan, mut cursor) = (plan(columns), RowCursor::default());
        let (mut decoder, mut columns) =
            (RecordDecoder::json(&plan).of_records(&inside("$.v")), Columns::new(&plan).unwrap());
        let record = Record::of_value(text.as_bytes());
        let end = loop {
            match decoder.next_row(&record, &mut cursor, &mut columns) {
                Ok(true) => columns.rollback_row(),
                Ok(false) => break None,
                Err(Undecoded::Bad(error)) => break Some(error),
                Err(other) => panic!("{other:?}"),
            }
        };
        assert_eq!(cursor.rows(), u64::try_from(rows).unwrap());
        assert_eq!(end.is_none(), rows == elements, "{end:?}");
        if let Some(error) = end {
            assert_eq!(error.code, ErrorCode::TooMuchRepeated);
            let at = 6 + 2 * rows;
            assert!(error.reason.contains(&format!("row {rows}: ")), "{error}");
            assert!(error.reason.contains(&format!("at byte {at}: ")), "{error}");
        }
    };
    let one = ("t", "String", "$record.t");
    let (quarter, n) = (REPEATED_BYTES_MAX / 4, ("n", "UInt8", "$"));
    // The first row takes what is there; the others repeat it.
    check(&[one, n], quarter, 5, 5);
    check(&[one, n], quarter, 6, 5);
    check(&[one, n], quarter + 1, 6, 4);
    check(&[one, ("u", "String", "$record.t"), n], quarter, 6, 3);
    check(&[n], quarter, 1000, 1000);
}

/// The same of what is beside the value, for every way that a record makes several rows.
#[test]
fn what_rows_take_of_key_and_record_is_bounded_too() {
    let check = |source: &str, key: usize, pad: usize, good: usize| {
        let key = vec![b'k'; key];
        let text = format!("[{}{}]", vec!["{}"; 20].join(","), " ".repeat(pad));
        let plan = plan(&[("x", "String", source)]);
        let (mut decoder, mut columns) =
            (RecordDecoder::json(&plan).of_records(&Records::Array), Columns::new(&plan).unwrap());
        let record = Record { key: Some(&key), ..Record::of_value(text.as_bytes()) };
        let (mut cursor, mut rows) = (RowCursor::default(), 0);
        let end = loop {
            match decoder.next_row(&record, &mut cursor, &mut columns) {
                Ok(true) => columns.rollback_row(),
                Ok(false) => break None,
                Err(Undecoded::Bad(error)) => break Some(error.code),
                Err(other) => panic!("{other:?}"),
            }
            rows += 1;
        };
        assert_eq!((rows, end), (good, (good < 20).then_some(ErrorCode::TooMuchRepeated)), "{source}");
    };
    let eighth = REPEATED_BYTES_MAX / 8;
    check("$key", eighth, 0, 9);
    check("$key", 100, eighth, 20);
    check("$raw", 100, eighth, 8);
    check("$timestamp", eighth, eighth, 20);
}

/// One pass, not one for each row: a record that took a look at each element for each element would not come to an end.
#[test]
fn a_long_list_is_read_in_one_go() {
    let plan = plan(&[("n", "UInt32", "$.n"), ("id", "UInt8", "$record.id")]);
    let elements: Vec<String> = (0..100_000).map(|n| format!(r#"{{"n":{n},"pad":"{}"}}"#, "x".repeat(80))).collect();
    let text = format!(r#"{{"v":[{}],"id":7}}"#, elements.join(","));
    let found = read(&plan, inside("$.v"), text.as_bytes()).unwrap();
    let expected: Vec<String> = (0..100_000).map(|n| format!("U64({n}),U64(7)")).collect();
    assert_eq!(found, expected);
}
