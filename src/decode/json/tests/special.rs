//! What types take whose form in a record, in a block or in a table is not the same.

use super::values::check;
use super::{Table, plan};

#[test]
fn spans_of_time() {
    check(
        "Time",
        &[
            ("\"00:00:00\"", "0"),
            ("\"12:34:56\"", "45296"),
            ("\"1:02:03\"", "3723"),
            ("\"-00:00:01\"", "-1"),
            ("\"999:59:59\"", "3599999"),
            ("\"-999:59:59\"", "-3599999"),
            ("\"12:34:56.987\"", "45296"),
            ("\"-00:00:01.9\"", "-1"),
            ("\"1000:00:00\"", "out_of_range"),
            ("\"-1000:00:00\"", "out_of_range"),
            ("\"99999999999999999999:00:00\"", "out_of_range"),
            ("\"99:60:00\"", "invalid_time"),
            ("\"99:59:60\"", "invalid_time"),
            ("\"1:2:3\"", "invalid_time"),
            // Minutes and seconds to the engine, hours and minutes to others.
            ("\"01:02\"", "invalid_time"),
            ("\":01:02\"", "invalid_time"),
            ("\"+1:00:00\"", "invalid_time"),
            ("\"--1:00:00\"", "invalid_time"),
            ("\"1:00:00.\"", "invalid_time"),
            ("\"1:00:00Z\"", "invalid_time"),
            ("\" 1:00:00\"", "invalid_time"),
            ("\"2020-01-01 12:34:56\"", "invalid_time"),
            ("\"\"", "invalid_time"),
            ("\"noon\"", "invalid_time"),
            ("5", "5"),
            ("-5", "-5"),
            ("\"5\"", "5"),
            ("1.9", "1"),
            ("3599999", "3599999"),
            ("3600000", "out_of_range"),
            ("-3600000", "out_of_range"),
            ("99999999999999999999", "out_of_range"),
            ("1e3", "1000"),
            ("true", "type_mismatch"),
            ("null", "0"),
            ("[]", "type_mismatch"),
        ],
    );
    check(
        "Time64(3)",
        &[
            ("\"12:34:56.789\"", "45296789"),
            ("\"-0:00:00.5\"", "-500"),
            ("\"00:00:00.1239999999999\"", "123"),
            ("\"999:59:59.999999\"", "3599999999"),
            ("5", "5000"),
            ("-1.25", "-1250"),
            ("\"1.5\"", "1500"),
            ("3600000", "out_of_range"),
        ],
    );
    check("Time64(0)", &[("\"00:00:01.9\"", "1")]);
    check("Time64(9)", &[("\"-999:59:59.999999999\"", "-3599999999999999"), ("0.000000001", "1")]);
    check("Nullable(Time)", &[("null", "NULL"), ("\"00:00:01\"", "1")]);
    check(
        "Map(LowCardinality(String), Nullable(Time))",
        &[("{\"a\": \"00:01:00\", \"b\": null}", "{\"a\": 60, \"b\": NULL}")],
    );
}

#[test]
fn shapes_and_records() {
    check(
        "Point",
        &[
            ("[1.5, -2]", "(1.5, -2.0)"),
            ("null", "(0.0, 0.0)"),
            ("[1]", "type_mismatch"),
            ("[1, 2, 3]", "type_mismatch"),
            ("\"(1,2)\"", "type_mismatch"),
            ("{\"x\": 1}", "type_mismatch"),
        ],
    );
    check("Ring", &[("[[1, 2], [3, 4]]", "[(1.0, 2.0), (3.0, 4.0)]"), ("[]", "[]"), ("[1, 2]", "type_mismatch")]);
    check("MultiPolygon", &[("[[[[1, 2]]], []]", "[[[(1.0, 2.0)]], []]")]);
    check(
        "Nested(a UInt8, b Nested(c String))",
        &[
            ("[{\"a\": 1, \"b\": [{\"c\": \"x\"}]}, {}]", "[(1, [(\"x\")]), (0, [])]"),
            ("[]", "[]"),
            ("{\"a\": [1]}", "type_mismatch"),
            ("[{\"a\": 256}]", "out_of_range"),
        ],
    );
    check("SimpleAggregateFunction(max, Nullable(UInt8))", &[("7", "7"), ("null", "NULL"), ("256", "out_of_range")]);
}

#[test]
fn a_variant_takes_what_one_of_its_types_takes() {
    check(
        "Variant(String, UInt64)",
        &[
            ("5", "1:5"),
            ("\"5\"", "1:5"),
            ("-5", "0:\"-5\""),
            ("5.5", "0:\"5.5\""),
            ("18446744073709551616", "0:\"18446744073709551616\""),
            ("true", "1:1"),
            ("\"\"", "0:\"\""),
            ("[1, 2]", "0:\"[1, 2]\""),
            ("null", "NULL"),
            ("[1,", "invalid_json"),
            ("[1, 2 3]", "invalid_json"),
        ],
    );
    check(
        "Variant(Bool, Int8, String)",
        &[("1", "1:1"), ("true", "0:true"), ("\"true\"", "2:\"true\""), ("300", "2:\"300\"")],
    );
    check("Variant(Bool, String)", &[("1", "1:\"1\""), ("false", "0:false"), ("\"false\"", "1:\"false\"")]);
    check("Variant(Float64, String)", &[("\"true\"", "1:\"true\""), ("\"1.5\"", "0:1.5"), ("NaN", "0:NaN")]);
    check(
        "Variant(Date, String)",
        &[("\"1970-01-02\"", "0:1"), ("\"1970-01-02T00:00:00Z\"", "1:\"1970-01-02T00:00:00Z\"")],
    );
    check("Variant(Decimal(9, 2), String)", &[("1.5", "0:150"), ("\"1.5\"", "1:\"1.5\"")]);
    check(
        "Variant(Float64, Int64)",
        &[
            ("5", "1:5"),
            ("5.5", "0:5.5"),
            ("5.0", "0:5.0"),
            ("\"5.0\"", "0:5.0"),
            ("\"x\"", "type_mismatch"),
            ("1e400", "type_mismatch"),
        ],
    );
    check(
        "Variant(Array(String), Array(UInt8), Tuple(a Int64, b String))",
        &[
            ("[1, 2]", "1:[1, 2]"),
            ("[1, 256]", "0:[\"1\", \"256\"]"),
            ("[1, [2]]", "0:[\"1\", \"[2]\"]"),
            ("{\"a\": 1}", "2:(1, \"\")"),
            ("5", "type_mismatch"),
        ],
    );
    check(
        "Array(Variant(LowCardinality(String), UInt8))",
        &[
            ("[1, \"a\", null, \"b\", \"a\", 300]", "[1:1, 0:\"a\", NULL, 0:\"b\", 0:\"a\", 0:\"300\"]"),
            ("[1, [}]", "invalid_json"),
        ],
    );
    let deep = format!("{}1{}", "[".repeat(200), "]".repeat(200));
    check("Variant(Array(UInt8), UInt8)", &[(&deep, "too_deep")]);
}

#[test]
fn a_variant_is_tried_in_the_order_of_the_engine() {
    // Each is tried before those that follow, whatever the server's own order is.
    const ORDER: [&str; 13] = [
        "Array(Array(String))",
        "Array(Nullable(String))",
        "Enum8('1' = 1)",
        "Bool",
        "Int8",
        "UInt8",
        "Int64",
        "UInt256",
        "Decimal(9, 2)",
        "Float64",
        "DateTime",
        "FixedString(20)",
        "String",
    ];
    for (value, first) in [
        ("[[]]", "Array(Array(String))"),
        ("[1]", "Array(Nullable(String))"),
        ("1", "Enum8('1' = 1)"),
        ("true", "Bool"),
        ("-7", "Int8"),
        ("200", "UInt8"),
        ("-300", "Int64"),
        ("18446744073709551616", "UInt256"),
        ("1.5", "Decimal(9, 2)"),
        ("1e300", "Float64"),
        ("\"2020-01-01\"", "DateTime"),
        ("\"x\"", "FixedString(20)"),
        ("\"longer than twenty bytes\"", "String"),
    ] {
        for reversed in [false, true] {
            let mut types = ORDER.to_vec();
            types.sort_unstable();
            if reversed {
                types.reverse();
            }
            let mut table = Table::new(&plan(&[("x", &format!("Variant({})", types.join(", ")))]));
            table.push(format!("{{\"x\": {value}}}")).unwrap();
            let stored = table.stored("x");
            let place: usize = stored.split(':').next().unwrap().parse().unwrap();
            assert_eq!(types[place], first, "{value}");
        }
    }
}

#[test]
fn what_the_server_reads_is_sent_as_it_stands() {
    check(
        "JSON",
        &[
            ("{\"a\" : [1,  {\"b\": \"\\u00e9\"}]}", "\"{\\\"a\\\" : [1,  {\\\"b\\\": \\\"\\\\u00e9\\\"}]}\""),
            ("{}", "\"{}\""),
            ("null", "\"{}\""),
            ("[1]", "type_mismatch"),
            ("5", "type_mismatch"),
            ("\"{}\"", "type_mismatch"),
            ("{\"a\":}", "invalid_json"),
            ("{\"a\": tru}", "invalid_json"),
        ],
    );
    check("Nullable(JSON)", &[("null", "NULL"), ("{\"a\":1}", "\"{\\\"a\\\":1}\""), ("1", "type_mismatch")]);
    check("Array(JSON)", &[("[{\"a\":1}, null]", "[\"{\\\"a\\\":1}\", \"{}\"]"), ("[1]", "type_mismatch")]);
    check("Map(String, JSON(a UInt8))", &[("{\"k\": {\"a\":1}}", "{\"k\": \"{\\\"a\\\":1}\"}")]);
    check("Map(String, Array(JSON))", &[("{\"k\": [{}]}", "{\"k\": [\"{}\"]}"), ("{\"k\": [5]}", "type_mismatch")]);
}

#[test]
fn a_dynamic_value_has_the_type_of_its_kind() {
    check(
        "Dynamic",
        &[
            ("null", "NULL"),
            ("true", "8:true"),
            ("-5", "13:-5"),
            ("-0", "13:0"),
            ("9223372036854775808", "16:9223372036854775808"),
            ("18446744073709551616", "14:\"18446744073709551616\""),
            ("-9223372036854775809", "14:\"-9223372036854775809\""),
            ("1e3", "12:1000.0"),
            ("5.0", "12:5.0"),
            ("1e400", "out_of_range"),
            ("\"5\"", "14:\"5\""),
            ("\"\"", "14:\"\""),
            ("\"true\"", "14:\"true\""),
            ("\"1970-01-02\"", "9:1"),
            ("\"1969-12-31\"", "14:\"1969-12-31\""),
            ("\"2024-02-30\"", "14:\"2024-02-30\""),
            ("\"1970-01-01 00:00:01\"", "10:1"),
            ("\"1970-01-01T01:00:00+01:00\"", "10:0"),
            ("\"1970-01-01 00:00:00.5\"", "11:500000000"),
            ("\"1970-01-01 noon\"", "14:\"1970-01-01 noon\""),
            ("\"1970-01-01T01:00\"", "10:3600"),
            ("\"1970-01-01 01:00:00+01\"", "10:0"),
            ("\"1970-01-01 01:00:00,5\"", "14:\"1970-01-01 01:00:00,5\""),
            ("\"19700102\"", "14:\"19700102\""),
            ("[NaN]", "type_mismatch"),
            ("{\"a\": NaN}", "invalid_json"),
            ("[]", "7:[]"),
            ("[true, false]", "0:[true, false]"),
            ("[true, null]", "3:[true, NULL]"),
            ("[1, -2]", "2:[1, -2]"),
            ("[null, 1]", "5:[NULL, 1]"),
            ("[1, 2.5]", "1:[1.0, 2.5]"),
            ("[1, null, 2.5]", "4:[1.0, NULL, 2.5]"),
            ("[\"a\", \"2024-01-01\"]", "7:[\"a\", \"2024-01-01\"]"),
            ("[null]", "6:[NULL]"),
            ("[9223372036854775808]", "out_of_range"),
            ("[1, \"a\"]", "type_mismatch"),
            ("[1, true]", "type_mismatch"),
            ("[[1]]", "type_mismatch"),
            ("[{}]", "type_mismatch"),
            ("{\"a\" :1}", "15:(\"{\\\"a\\\" :1}\")"),
            ("{\"a\"}", "invalid_json"),
            ("[1", "invalid_json"),
            ("[1, [}", "invalid_json"),
            ("[1 2]", "invalid_json"),
            ("tru", "invalid_json"),
            ("\"\\ud800\"", "invalid_json"),
        ],
    );
    let deep = format!("{}1{}", "[".repeat(200), "]".repeat(200));
    check("Dynamic", &[(&deep, "too_deep"), (&format!("{{\"a\": {deep}}}"), "too_deep")]);
    check("Tuple(a Dynamic(max_types=3), b JSON)", &[("{\"a\":1.50}", "(12:1.5, \"{}\")")]);
    check("Array(Dynamic)", &[("[1, \"a\", null, [2]]", "[13:1, 14:\"a\", NULL, 2:[2]]")]);
}
