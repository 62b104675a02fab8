//! What a record may look like, and what becomes of its fields.

use super::{Table, plan, plan_with_defaults};
use crate::columns::{ColumnSpec, CoordinateKind, CoordinateSpec, DefaultValue, PlanError, RowPlan, Value};
use crate::decode::json::cursor::DEPTH_MAX;
use crate::decode::{ErrorCode, Stage};

/// Decodes one record into `a Int32, b String`; expects what is stored as `a/b`, or a code.
fn check(record: impl AsRef<[u8]>, expected: &str) {
    let mut table = Table::new(&plan(&[("a", "Int32"), ("b", "String")]));
    table.push(r#"{"a":7,"b":"before"}"#).unwrap();
    let outcome = table.push(record.as_ref());
    table.push(r#"{"a":8,"b":"after"}"#).unwrap();
    let stored = format!("{}/{}", table.stored("a"), table.stored("b"));
    let (expected, got) = match outcome {
        Ok(()) => {
            let (a, b) = expected.split_once('/').unwrap_or((expected, ""));
            (format!("7 {a} 8/\"before\" {b} \"after\""), stored)
        }
        Err(error) => {
            assert_eq!(stored, "7 8/\"before\" \"after\"");
            (expected.to_owned(), error.code.to_string())
        }
    };
    let record = String::from_utf8_lossy(record.as_ref()).into_owned();
    let shown: String = record.chars().take(80).collect();
    assert_eq!(got, expected, "{shown}");
}

#[test]
fn shapes_of_records() {
    check(r#"{"a":1,"b":"x"}"#, "1/\"x\"");
    check(" \t\r\n{ \"b\" : \"x\" , \"a\" : 1 } \n", "1/\"x\"");
    check("{}", "0/\"\"");
    check(r#"{"a":null,"b":null}"#, "0/\"\"");
    check(r#"{"b":"x"}"#, "0/\"x\"");
    check(r#"{"\u0061":5}"#, "5/\"\"");
    check(r#"{"A":5}"#, "0/\"\"");
    check(r#"{"a":1,"c":{"a":[2,{"a":3}],"b":"]}"},"b":"x"}"#, "1/\"x\"");
    check("", "empty");
    check("  ", "invalid_json");
    check("null", "not_an_object");
    check("[{\"a\":1}]", "not_an_object");
    check("5", "not_an_object");
    check("\"{}\"", "not_an_object");
    check("[1", "invalid_json");
    check("{", "invalid_json");
    check("{\"a\"", "invalid_json");
    check("{\"a\":", "invalid_json");
    check("{\"a\":1", "invalid_json");
    check("{\"a\":1,", "invalid_json");
    check("{\"a\":1,}", "invalid_json");
    check("{,\"a\":1}", "invalid_json");
    check("{\"a\":1 \"b\":2}", "invalid_json");
    check("{a:1}", "invalid_json");
    check("{'a':1}", "invalid_json");
    check("{\"a\" 1}", "invalid_json");
    check("{\"a\":1}}", "trailing_data");
    check("{\"a\":1}{\"a\":2}", "trailing_data");
    check("{\"a\":1}\0", "trailing_data");
    check("\0{\"a\":1}", "invalid_json");
    check("\u{feff}{\"a\":1}", "1/\"\"");
    check("\u{feff} {\"a\":1}", "1/\"\"");
    check("\u{feff}\u{feff}{\"a\":1}", "invalid_json");
    check(" \u{feff}{\"a\":1}", "invalid_json");
    check("\u{feff}", "invalid_json");
    check("\u{feff}[1]", "not_an_object");
}

#[test]
fn a_repeated_key_that_has_a_column_is_refused() {
    check(r#"{"a":1,"b":"x","a":1}"#, "duplicate_key");
    check(r#"{"a":null,"a":1}"#, "duplicate_key");
    check(r#"{"a":1,"\u0061":2}"#, "duplicate_key");
    check(r#"{"z":1,"a":1,"z":2}"#, "1/\"\"");
}

#[test]
fn bad_utf8_is_refused_where_a_column_would_take_it() {
    for record in [
        &b"{\"a\":1,\"b\":\"\xff\"}"[..],
        b"{\"a\":1,\"b\":[\"\xff\"]}",
        b"{\"a\":1,\"b\":\"x\\n\xff\"}",
        b"{\"a\":1,\"b\":\"\xed\xa0\x80\"}",
        b"{\"a\":1}\xff",
        b"\xff{\"a\":1}",
        b"{\"a\":\xff1}",
        b"{\"a\":1\xff}",
        b"{\"z\":\xff,\"a\":1}",
    ] {
        check(record, "invalid_utf8");
    }
    for record in [
        &b"{\"a\":1,\"z\":\"\xff\"}"[..],
        b"{\"a\":1,\"\xff\":1}",
        b"{\"a\":1,\"\\n\xff\":1}",
        b"{\"z\":[\"\\n\xc3\"],\"a\":1}",
        b"{\"z\":{\"\xff\":[\"\xff\xff\"]},\"a\":1}",
    ] {
        check(record, "1/\"\"");
    }
    // What is wrong elsewhere is called that.
    check(b"{\"z\":\"\xff\",\"a\":\"x\"}", "invalid_number");
    check(b"{\"z\":\"\xff\",\"b\":\"\0\"}", "invalid_json");
}

#[test]
fn what_no_column_takes_has_to_end_where_it_seems_to() {
    for value in [
        "",
        "'x'",
        "\"",
        "\"\\",
        "\"\\\"",
        "1 2",
        "(1)",
        "[",
        "[1,]",
        "[,1]",
        "[1 2]",
        "{\"x\"}",
        "{\"x\":}",
        "{1:2}",
        "{\"x\":1,}",
        "[}",
        "{]",
        "]",
        "[1}",
        "{\"x\":1]",
    ] {
        check(format!("{{\"z\":{value},\"a\":1}}"), "invalid_json");
    }
    for value in [
        "-0.0e-0",
        "[]",
        "[[],{}]",
        "{\"x\":{}}",
        "[1,\"\\u00e9\",null,true,{}]",
        "1e999",
        // No JSON, and nobody takes it.
        "NaN",
        "[NaN, -Infinity, {\"x\": Infinity}]",
        "nan",
        "-inf",
        "None",
        "01",
        "1.",
        "+.5",
        "0x1F",
        "\"\\ud800\"",
        "\"\\udc00 \\ud800\\u0041\"",
        "\"\\x \\u12\"",
        "\"\\\\\"",
        "\"\\ud800\\\"}\"",
        "\"a\tb\nc\"",
        "{\"\\ud800\": [\"\\ud800\"]}",
    ] {
        check(format!("{{\"z\":{value},\"a\":1}}"), "1/\"\"");
        check(format!("{{\"a\":1,\"z\":[{value}]}}"), "1/\"\"");
    }
    check("{\"\\ud800\":2,\"a\":1}", "1/\"\"");
    check("{\"\\x\":2,\"a\":1}", "1/\"\"");
    check("{\"a\":1,\"\\ud800\"}", "invalid_json");
    check("{\"a\":1,\"\\ud800", "invalid_json");
}

#[test]
fn depth_is_bounded_without_recursion() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let deepest = DEPTH_MAX as usize - 1;
    check(format!("{{\"z\":{},\"a\":1}}", nested(deepest)), "1/\"\"");
    check(format!("{{\"z\":{},\"a\":1}}", nested(deepest + 1)), "too_deep");
    check(format!("{{\"z\":{}}}", nested(50_000)), "too_deep");
    check(format!("{{\"b\":{}}}", nested(50_000)), "too_deep");
    check(nested(50_000), "too_deep");
    check(format!("{{\"a\":{}1{}}}", "{\"a\":".repeat(50_000), "}".repeat(50_000)), "too_deep");
    // Brackets side by side do not add up.
    check(format!("{{\"z\":[{}[]],\"a\":1}}", "[[]],".repeat(1_000)), "1/\"\"");
    // Lists that a column takes count too.
    let column_type = format!("{}String{}", "Array(".repeat(20), ")".repeat(20));
    let mut table = Table::new(&plan(&[("x", &column_type)]));
    let brackets = |inner: usize| format!("{{\"x\":{}}}", nested(20 + inner));
    table.push(brackets(deepest - 20)).unwrap();
    let error = table.push(brackets(deepest - 19)).unwrap_err();
    assert_eq!(error.code, ErrorCode::TooDeep);
}

#[test]
fn a_record_of_16_megabytes() {
    let text = "x\u{e9}\\n".repeat((16 << 20) / 5);
    check(format!("{{\"z\":\"{text}\",\"a\":1}}"), "1/\"\"");
    let mut table = Table::new(&plan(&[("b", "String")]));
    table.push(format!("{{\"b\":\"{text}\"}}")).unwrap();
    let expected = format!("{:?}", text.replace("\\n", "\n"));
    assert!(table.stored("b") == expected);
}

#[test]
fn the_order_of_keys_may_change_from_record_to_record() {
    let mut table = Table::new(&plan(&[("a", "UInt8"), ("b", "UInt8"), ("say \"c\"", "UInt8")]));
    for record in [
        r#"{"a":1,"b":2,"say \"c\"":3}"#,
        r#"{"b":2,"a":1,"say \"c\"":3}"#,
        r#"{"x":9,"b":2,"y":9,"a":1,"say \"c\"":3}"#,
        r#"{"x":9,"b":2,"y":9,"a":1,"say \"c\"":3}"#,
        r#"{"say \"c\"":3,"b":2,"a":1}"#,
        r#"{"ab":9,"a":1,"b":2,"say \"c\"":3}"#,
        r#"{ "a" : 1 , "b" : 2 , "say \u0022c\u0022" : 3 }"#,
    ] {
        table.push(record).unwrap();
    }
    let many: Vec<_> = (0..2_000).map(|n| format!("\"k{n}\":0,")).collect();
    table.push(format!("{{{}\"a\":1,\"b\":2,\"say \\\"c\\\"\":3}}", many.concat())).unwrap();
    assert_eq!(table.stored("a"), "1 1 1 1 1 1 1 1");
    assert_eq!(table.stored("b"), "2 2 2 2 2 2 2 2");
    assert_eq!(table.stored("say \"c\""), "3 3 3 3 3 3 3 3");
}

#[test]
fn keys_that_begin_alike_and_white_space_that_changes_are_told_apart() {
    let columns = [("temperature_of_sensor_1", "UInt8"), ("temperature_of_sensor_2", "UInt8"), ("pad", "String")];
    let mut table = Table::new(&plan(&columns));
    let pad = "\"pad\":\"long enough that no record ends within a comparison\"";
    for record in [
        "{\"temperature_of_sensor_1\":1,\"temperature_of_sensor_2\":2,",
        "{\"temperature_of_sensor_2\":2,\"temperature_of_sensor_1\":1,",
        "{\"temperature_of_sensor_2\":\t2,\"temperature_of_sensor_1\": 1 ,",
        " {\"temperature_of_sensor_2\" :2 ,\"temperature_of_sensor_1\":1,\n",
        " { \"temperature_of_sensor_2\" :2 ,\"temperature_of_sensor_1\":1,\n",
    ] {
        table.push(format!("{record}{pad}}}")).unwrap();
    }
    assert_eq!(table.stored("temperature_of_sensor_1"), "1 1 1 1 1");
    assert_eq!(table.stored("temperature_of_sensor_2"), "2 2 2 2 2");
    // What begins a record is no way to go on after a value, nor the other way round.
    let error = table.push(format!("{{\"x\":1{{\"temperature_of_sensor_2\" :2,{pad}}}")).unwrap_err();
    assert_eq!(error.code, ErrorCode::InvalidJson);
    let error = table.push(format!(",\"temperature_of_sensor_1\":1,{pad}}}")).unwrap_err();
    assert_eq!(error.code, ErrorCode::InvalidJson);
}

#[test]
fn missing_fields_get_the_column_default() {
    let constant = |name: &'static str, kind: &'static str, json: &str| (name, kind, DefaultValue::of_json(kind, json));
    let mut table = Table::new(&plan_with_defaults(&[
        constant("n", "Int32", "-5"),
        constant("s", "LowCardinality(String)", "\"none\""),
        constant("o", "Nullable(String)", "\"x\""),
        constant("l", "Array(LowCardinality(String))", "[\"p\", \"q\"]"),
        constant("m", "Map(String, Tuple(UInt8, Nullable(Int8)))", "{\"k\": [1, null]}"),
        ("z", "Nullable(Int8)", DefaultValue::TypeZero),
    ]));
    table.push("{}").unwrap();
    table.push(r#"{"n":1,"s":"v","o":"w","l":["r"],"m":{},"z":1}"#).unwrap();
    table.push(r#"{"n":null,"s":null,"o":null,"l":null,"m":null,"z":null}"#).unwrap();
    assert_eq!(table.stored("n"), "-5 1 -5");
    assert_eq!(table.stored("s"), "\"none\" \"v\" \"none\"");
    assert_eq!(table.stored("o"), "\"x\" \"w\" NULL");
    assert_eq!(table.stored("l"), "[\"p\", \"q\"] [\"r\"] [\"p\", \"q\"]");
    assert_eq!(table.stored("m"), "{\"k\": (1, NULL)} {} {\"k\": (1, NULL)}");
    assert_eq!(table.stored("z"), "NULL 1 NULL");
}

#[test]
fn a_list_of_a_nested_is_as_long_as_those_beside_it() {
    let mut table = Table::new(&plan_with_defaults(&[
        ("n.c", "Array(Float64)", DefaultValue::TypeZero),
        ("n.a", "Array(UInt8)", DefaultValue::TypeZero),
        ("n.d", "Array(Nullable(String))", DefaultValue::TypeZero),
        ("n.k", "Array(UInt8)", DefaultValue::of_json("Array(UInt8)", "[]")),
        ("n.text", "String", DefaultValue::TypeZero),
        ("m.c", "Array(UInt8)", DefaultValue::TypeZero),
    ]));
    table.push(r#"{"n.a":[1,2]}"#).unwrap();
    table.push(r#"{"n.c":null,"n.a":[1,2,3],"n.d":["x",null,"y"],"n.k":[7,8,9]}"#).unwrap();
    table.push(r#"{"n.d":["z"],"n.c":[2.5]}"#).unwrap();
    table.push("{}").unwrap();
    // Nothing is left of a row that failed behind a list that was not known yet.
    table.push(r#"{"n.c":null,"n.a":[1,300]}"#).unwrap_err();
    table.push(r#"{"n.k":[5]}"#).unwrap();
    assert_eq!(table.stored("n.c"), "[0.0, 0.0] [0.0, 0.0, 0.0] [2.5] [] [0.0]");
    assert_eq!(table.stored("n.a"), "[1, 2] [1, 2, 3] [0] [] [0]");
    assert_eq!(table.stored("n.d"), "[NULL, NULL] [\"x\", NULL, \"y\"] [\"z\"] [] [NULL]");
    assert_eq!(table.stored("n.k"), "[] [7, 8, 9] [] [] [5]");
    assert_eq!(table.stored("m.c"), "[] [] [] [] []");
}

#[test]
fn a_server_side_default_is_marked_by_a_presence_column_that_comes_only_when_needed() {
    let columns = [
        ("a", "UInt8", DefaultValue::ServerSide),
        ("b", "UInt8", DefaultValue::ServerSide),
        ("_has_b", "UInt8", DefaultValue::TypeZero),
    ];
    let mut table = Table::new(&plan_with_defaults(&columns));
    table.push(r#"{"a":1,"b":2}"#).unwrap();
    assert_eq!(table.stored("_has_a"), "no column");
    table.push(r#"{"b":2}"#).unwrap();
    // A failed row that lacked `b` leaves no mark.
    table.push(r#"{"a":300}"#).unwrap_err();
    table.push(r#"{"a":null,"b":2}"#).unwrap();
    table.push(r#"{"a":4,"b":2}"#).unwrap();
    assert_eq!(table.stored("a"), "1 0 0 4");
    assert_eq!(table.stored("_has_a"), "1 0 0 1");
    assert_eq!(table.stored("__has_b"), "no column");
    let block = table.encoder.encode(&table.columns);
    let last = block.body_columns.last().unwrap();
    assert_eq!((last.name.as_str(), last.presence_of), ("_has_a", Some(0)));

    table.columns.clear();
    table.push(r#"{"a":1}"#).unwrap();
    assert_eq!(table.stored("_has_a"), "no column");
    assert_eq!(table.stored("__has_b"), "0");
}

#[test]
fn the_last_value_is_seen_before_the_row_is_committed() {
    let columns = [
        ("s", "String"),
        ("l", "LowCardinality(Nullable(String))"),
        ("i", "Int16"),
        ("u", "UInt64"),
        ("f", "Float32"),
        ("b", "Bool"),
        ("n", "Nullable(Int8)"),
        ("e", "Enum8('on' = 1)"),
        ("d", "Decimal(9, 2)"),
        ("t", "DateTime"),
        ("a", "Array(Int8)"),
        ("w", "UInt256"),
    ];
    let mut table = Table::new(&plan(&columns));
    let record = r#"{"s":"xy","l":"q","i":-3,"u":18446744073709551615,"f":0.5,"b":true,"n":null,
        "e":"on","d":1.25,"t":60,"a":[1],"w":1}"#;
    let expected = [
        Value::Str("xy"),
        Value::Str("q"),
        Value::I64(-3),
        Value::U64(u64::MAX),
        Value::F64(0.5),
        Value::Bool(true),
        Value::Null,
        Value::Str("on"),
        Value::F64(1.25),
        Value::I64(60),
        Value::Other,
        Value::Other,
    ];
    for before in ["{}", record] {
        table.push(before).unwrap();
        table.decoder.decode_value(record.as_bytes(), &mut table.columns).unwrap();
        for (column, expected) in expected.iter().enumerate() {
            assert_eq!(table.columns.last_value(column), *expected, "{}", columns[column].0);
        }
        table.columns.rollback_row();
    }
    assert_eq!(table.stored("s"), "\"\" \"xy\"");
}

#[test]
fn an_error_says_what_where_and_which_field() {
    let mut table = Table::new(&plan(&[("a", "UInt8"), ("b", "String")]));
    let error = table.push(r#"{"b":"x","a":300}"#).unwrap_err();
    assert_eq!(error.code, ErrorCode::OutOfRange);
    assert_eq!(error.code.stage(), Stage::Convert);
    assert_eq!(error.field.as_deref(), Some("a"));
    assert_eq!(error.to_string(), "field a (UInt8): outside the range of the column at byte 13: \"300}\"");
    let error = table.push(r#"{"b":"x" "a":3}"#).unwrap_err();
    assert_eq!(error.to_string(), "not json at byte 9: \"\\\"a\\\":3}\"");
    assert_eq!((error.code.stage(), error.field), (Stage::Decode, None));
}

#[test]
fn codes_are_stable_and_differ() {
    let names: Vec<_> = ErrorCode::ALL.map(ErrorCode::as_str).into();
    let mut unique = names.clone();
    unique.sort_unstable();
    unique.dedup();
    assert_eq!(unique.len(), names.len());
    assert!(names.iter().all(|n| { n.bytes().all(|b| b == b'_' || b.is_ascii_lowercase() || b == b'8') }));
}

#[test]
fn a_block_is_used_again_after_clear() {
    let columns = [("s", "LowCardinality(String)"), ("l", "Array(String)"), ("n", "Nullable(Int8)")];
    let mut table = Table::new(&plan(&columns));
    let record = r#"{"s":"v","l":["x","y"],"n":1}"#;
    table.push(record).unwrap();
    let first = table.raw_block();
    table.push(r#"{"s":"w","l":["z"]}"#).unwrap();
    assert!(table.columns.heap_bytes() >= table.columns.wire_bytes());
    table.columns.clear();
    assert_eq!(table.columns.rows(), 0);
    table.push(record).unwrap();
    assert_eq!(table.raw_block(), first);
}

#[test]
fn dictionaries_of_every_index_width() {
    for (values, rows) in [(3_u32, 600_u32), (256, 600), (257, 600), (65_536, 66_000), (70_000, 70_000)] {
        // The type's default takes one place, so `values` distinct ones are one too many.
        let mut table = Table::new(&plan(&[("s", "LowCardinality(String)")]));
        let name = |row: u32| format!("v{}", row * 7 % values);
        for row in 0..rows {
            table.push(format!("{{\"s\":\"{}\"}}", name(row))).unwrap();
        }
        let expected: Vec<_> = (0..rows).map(|row| format!("{:?}", name(row))).collect();
        assert!(table.stored("s") == expected.join(" "), "{values} values");
    }
}

#[test]
fn plans_that_cannot_work_are_refused() {
    let column = |name: &str, text: &str, default| ColumnSpec::new(name, text, default).unwrap();
    let offset = |text: &str| CoordinateSpec::new(CoordinateKind::Offset, "_offset", text).unwrap();
    let zero = DefaultValue::TypeZero;
    let twice = vec![column("a", "Int8", zero.clone()), column("a", "Int8", zero.clone())];
    assert_eq!(RowPlan::new(twice, vec![], "UTC").unwrap_err(), PlanError::DuplicateColumn("a".into()));
    let narrow = RowPlan::new(vec![], vec![offset("UInt32")], "UTC").unwrap_err();
    assert_eq!(narrow.to_string(), "coordinate column _offset is UInt32: it must be Int64 or UInt64");
    let zone = vec![column("t", "DateTime('Mars/Olympus')", zero.clone())];
    assert_eq!(RowPlan::new(zone, vec![], "UTC").unwrap_err().to_string(), "time zone Mars/Olympus is unknown");
    let constant = vec![column("n", "UInt8", DefaultValue::Constant(vec![1, 2]))];
    assert_eq!(
        RowPlan::new(constant, vec![], "UTC").unwrap_err().to_string(),
        "default of column n is not a value of UInt8: 2 bytes"
    );
}
