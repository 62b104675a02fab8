//! What each type of column takes of each type of Avro.

use super::{Table, long, outcome, plan, record, sized, spec};
use crate::columns::OnError;

/// A value of this type and these bytes into columns of these types: what is stored, or a code.
fn check(schema: &str, bytes: impl AsRef<[u8]>, cases: &[(&str, &str)]) {
    for (column, expected) in cases {
        let mut table = Table::new(plan(vec![spec("v", column)]), &record("R", &[("v", schema)]));
        assert_eq!(outcome(&mut table, bytes.as_ref()), *expected, "{schema} into {column}");
    }
}

#[test]
fn null_and_booleans() {
    check(
        "\"null\"",
        [],
        &[
            ("Nullable(Int8)", "NULL"),
            ("LowCardinality(Nullable(String))", "NULL"),
            ("Int8", "0"),
            ("String", "\"\""),
            ("Array(Int8)", "[]"),
            ("Enum8('b' = 2, 'a' = -1)", "-1"),
        ],
    );
    check(
        "\"boolean\"",
        [1],
        &[
            ("Bool", "true"),
            ("UInt8", "1"),
            ("Int256", "1"),
            ("Float64", "1.0"),
            ("String", "\"true\""),
            ("Nullable(Bool)", "true"),
            ("LowCardinality(String)", "\"true\""),
            ("Date", "type_mismatch"),
            ("Array(Bool)", "type_mismatch"),
        ],
    );
    check("\"boolean\"", [0], &[("Bool", "false"), ("Int8", "0")]);
    check("\"boolean\"", [2], &[("Bool", "invalid_avro")]);
}

#[test]
fn integers() {
    check(
        "\"int\"",
        long(300),
        &[
            ("Int32", "300"),
            ("Int16", "300"),
            ("UInt8", "out_of_range"),
            ("Int64", "300"),
            ("UInt64", "300"),
            ("UInt128", "300"),
            ("Float32", "300.0"),
            ("Float64", "300.0"),
            ("Decimal(9, 2)", "30000"),
            ("String", "\"300\""),
            ("Nullable(String)", "\"300\""),
            ("LowCardinality(Int32)", "300"),
            ("Bool", "out_of_range"),
            ("Date", "300"),
            ("Date32", "300"),
            ("DateTime", "300"),
            ("DateTime64(3)", "300000"),
            ("Enum16('a' = 300)", "300"),
            ("Enum8('a' = 1)", "unknown_enum_value"),
            ("UUID", "type_mismatch"),
            ("FixedString(3)", "type_mismatch"),
            ("Array(Int32)", "type_mismatch"),
            ("Map(String, Int32)", "type_mismatch"),
            ("Tuple(Int32)", "type_mismatch"),
        ],
    );
    check("\"int\"", long(-1), &[("UInt64", "out_of_range"), ("Int8", "-1")]);
    check("\"int\"", long(i32::MIN.into()), &[("Int32", "-2147483648")]);
    check("\"int\"", long(i64::from(i32::MAX) + 1), &[("Int64", "invalid_avro")]);
    check(
        "\"long\"",
        long(i64::MIN),
        &[
            ("Int64", "-9223372036854775808"),
            ("Int32", "out_of_range"),
            ("Float64", "-9.223372036854776e18"),
            ("String", "\"-9223372036854775808\""),
        ],
    );
    check("\"long\"", long(i64::MAX), &[("UInt64", "9223372036854775807"), ("Int128", "9223372036854775807")]);
    // Seconds by the number of its digits, as of any number without a unit.
    check("\"long\"", long(1_700_000_000_000), &[("DateTime64(3)", "1700000000000"), ("DateTime", "1700000000")]);
}

#[test]
fn floats() {
    check(
        "\"float\"",
        0.1_f32.to_le_bytes(),
        &[
            ("Float32", "0.1"),
            ("Float64", "0.10000000149011612"),
            ("BFloat16", "0.099609375"),
            ("String", "\"0.1\""),
            ("Decimal(9, 3)", "100"),
            ("Int32", "not_an_integer"),
            ("UUID", "type_mismatch"),
        ],
    );
    check(
        "\"double\"",
        1e300_f64.to_le_bytes(),
        &[("Float64", "1e300"), ("Float32", "out_of_range"), ("String", "\"1e300\""), ("Int64", "out_of_range")],
    );
    check("\"double\"", f64::NAN.to_le_bytes(), &[("Float64", "NaN"), ("String", "\"NaN\"")]);
    check("\"double\"", f64::INFINITY.to_le_bytes(), &[("Float32", "inf")]);
}

#[test]
fn bytes_and_texts() {
    check(
        "\"bytes\"",
        sized("abcd"),
        &[
            ("String", "\"abcd\""),
            ("FixedString(4)", "\"abcd\""),
            ("FixedString(6)", "\"abcd\\0\\0\""),
            ("FixedString(3)", "too_long"),
            ("LowCardinality(String)", "\"abcd\""),
            ("Nullable(String)", "\"abcd\""),
            ("IPv4", "97.98.99.100"),
            ("UUID", "type_mismatch"),
            ("Int32", "type_mismatch"),
        ],
    );
    check("\"bytes\"", sized([0xFF, 0]), &[("String", "b\"\\xff\\x00\"")]);
    check("\"bytes\"", sized([7; 16]), &[("UUID", "07070707070707070707070707070707")]);
    check(
        "{\"type\": \"fixed\", \"name\": \"F\", \"size\": 2}",
        "hi",
        &[("String", "\"hi\""), ("IPv4", "type_mismatch")],
    );
    check(
        "{\"type\": \"fixed\", \"name\": \"F\", \"size\": 0}",
        "",
        &[("String", "\"\""), ("FixedString(1)", "\"\\0\"")],
    );
    check(
        "\"string\"",
        sized("caf\u{e9}"),
        &[
            ("String", "\"caf\u{e9}\""),
            ("LowCardinality(Nullable(String))", "\"caf\u{e9}\""),
            ("FixedString(5)", "\"caf\u{e9}\""),
            ("Int8", "invalid_number"),
            ("Date", "invalid_time"),
            ("Bool", "type_mismatch"),
            ("Enum8('caf\u{e9}' = 3)", "3"),
            ("Enum8('tea' = 3)", "unknown_enum_value"),
        ],
    );
    check("\"string\"", sized("-12"), &[("Int8", "-12"), ("Float64", "-12.0"), ("UInt8", "out_of_range")]);
    check("\"string\"", sized("2026-01-31"), &[("Date32", "20484")]);
    check(
        "\"string\"",
        sized("a text of more than thirty-two bytes in all"),
        &[("String", "\"a text of more than thirty-two bytes in all\"")],
    );
    for bad in [&b"\xff"[..], b"a\xc3", b"\xed\xa0\x80"] {
        check("\"string\"", sized(bad), &[("String", "invalid_utf8"), ("Int8", "invalid_utf8")]);
    }
}

#[test]
fn enums() {
    check(
        "{\"type\": \"enum\", \"name\": \"E\", \"symbols\": [\"LOW\", \"HIGH\"]}",
        long(1),
        &[
            ("Enum8('HIGH' = -3, 'LOW' = 7)", "-3"),
            ("Enum16('LOW' = 1)", "unknown_enum_value"),
            ("String", "\"HIGH\""),
            ("LowCardinality(String)", "\"HIGH\""),
            ("FixedString(4)", "\"HIGH\""),
            ("UInt8", "1"),
            ("Int64", "1"),
            ("Date", "invalid_time"),
            ("Array(String)", "type_mismatch"),
        ],
    );
}

#[test]
fn decimals() {
    let decimal = "{\"type\": \"bytes\", \"logicalType\": \"decimal\", \"precision\": 9, \"scale\": 2}";
    check(
        decimal,
        sized([0xFF, 0x85]),
        &[
            ("Decimal(9, 2)", "-123"),
            ("Decimal(38, 10)", "-12300000000"),
            ("Decimal(9, 0)", "-1"),
            ("String", "\"-1.23\""),
            ("Float64", "-1.23"),
            ("Int32", "not_an_integer"),
            ("UUID", "type_mismatch"),
        ],
    );
    check(decimal, sized([]), &[("Decimal(9, 2)", "0")]);
    check(decimal, sized([5]), &[("String", "\"0.05\"")]);
    check(decimal, sized([0x75, 0x30]), &[("Decimal(4, 2)", "out_of_range"), ("Int32", "300")]);
    // Sign and greatest byte of 256 bits, with bytes that only repeat the sign.
    let wide = "{\"type\": \"bytes\", \"logicalType\": \"decimal\", \"precision\": 77, \"scale\": 0}";
    let least = [&[0xFF; 3][..], &[0x80], &[0; 31]].concat();
    let two_to_255 = "57896044618658097711785492504343953926634992332820282019728792003956564819968";
    check(wide, sized(&least), &[("Int256", &format!("-{two_to_255}")), ("String", &format!("\"-{two_to_255}\""))]);
    check(wide, sized([&[0, 0x80][..], &[0; 31]].concat()), &[("Int256", "out_of_range")]);
    check(wide, sized([&[0xFF, 0x7F][..], &[0; 31]].concat()), &[("Int256", "out_of_range")]);
    check(
        "{\"type\": \"fixed\", \"name\": \"F\", \"size\": 3, \"logicalType\": \"decimal\", \"precision\": 6, \"scale\": 6}",
        [0, 0, 7],
        &[("Decimal(18, 8)", "700"), ("String", "\"0.000007\"")],
    );
    // More digits behind the point than any column has.
    let fine = "{\"type\": \"bytes\", \"logicalType\": \"decimal\", \"precision\": 90, \"scale\": 80}";
    check(fine, sized([1]), &[("Float64", "out_of_range"), ("String", "out_of_range")]);
    let big = "{\"type\": \"bytes\", \"logicalType\": \"big-decimal\"}";
    let of = |digits: &[u8], scale| sized([sized(digits), long(scale)].concat());
    check(big, of(&[0x7B], 1), &[("Decimal(9, 2)", "1230"), ("String", "\"12.3\"")]);
    check(big, of(&[0x7B], -2), &[("Int64", "12300")]);
    check(big, of(&[0x7B], -77), &[("String", "out_of_range")]);
    check(big, of(&[0x7B], 77), &[("String", "out_of_range")]);
    check(big, sized([2, 0x7B]), &[("String", "invalid_avro")]);
    check(big, sized([sized([1]), long(0), vec![0]].concat()), &[("String", "invalid_avro")]);
}

#[test]
fn uuids() {
    let text = "01234567-89ab-cdef-0123-456789ABCDEF";
    let stored = "0123456789abcdef0123456789abcdef";
    check(
        "{\"type\": \"string\", \"logicalType\": \"uuid\"}",
        sized(text),
        &[
            ("UUID", stored),
            // As it stands: a column of texts is no place to correct them.
            ("String", &format!("{text:?}")),
            ("LowCardinality(Nullable(String))", &format!("{text:?}")),
            ("UInt128", "1512366075204170929049582354406559215"),
            ("Int32", "type_mismatch"),
        ],
    );
    check(
        "{\"type\": \"string\", \"logicalType\": \"uuid\"}",
        sized("no uuid"),
        &[("UUID", "invalid_uuid"), ("String", "\"no uuid\"")],
    );
    check(
        "{\"type\": \"fixed\", \"name\": \"F\", \"size\": 16, \"logicalType\": \"uuid\"}",
        0x0123_4567_89ab_cdef_0123_4567_89ab_cdef_u128.to_be_bytes(),
        &[("UUID", stored), ("String", &format!("{:?}", text.to_lowercase()))],
    );
}

#[test]
fn dates_and_times() {
    check(
        "{\"type\": \"int\", \"logicalType\": \"date\"}",
        long(20_484),
        &[
            ("Date", "20484"),
            ("Date32", "20484"),
            ("DateTime", "1769817600"),
            ("DateTime64(6)", "1769817600000000"),
            ("Int32", "20484"),
            ("String", "\"2026-01-31\""),
            ("UUID", "type_mismatch"),
        ],
    );
    check("{\"type\": \"int\", \"logicalType\": \"date\"}", long(-1), &[("Date", "out_of_range"), ("Date32", "-1")]);
    let moment = 1_769_817_601_500;
    check(
        "{\"type\": \"long\", \"logicalType\": \"timestamp-millis\"}",
        long(moment),
        &[
            ("DateTime64(3)", "1769817601500"),
            ("DateTime64(9, 'Asia/Tokyo')", "1769817601500000000"),
            ("DateTime64(0)", "1769817601"),
            ("DateTime", "1769817601"),
            ("Date", "20484"),
            ("Int64", "1769817601500"),
            ("String", "\"2026-01-31T00:00:01.5Z\""),
            ("Int32", "out_of_range"),
            ("Nullable(DateTime64(3))", "1769817601500"),
        ],
    );
    // The years 1900 to 2299, in the column's own unit and in another.
    let millis = "{\"type\": \"long\", \"logicalType\": \"timestamp-millis\"}";
    let (first, last) = (-2_208_988_800_000, 10_413_791_999_999);
    for column in ["DateTime64(3)", "Nullable(DateTime64(3))"] {
        check(millis, long(first), &[(column, &first.to_string())]);
        check(millis, long(last), &[(column, &last.to_string())]);
        check(millis, long(first - 1), &[(column, "out_of_range"), ("DateTime64(2)", "out_of_range")]);
        check(millis, long(last + 1), &[(column, "out_of_range"), ("DateTime64(2)", "out_of_range")]);
    }
    let nanos = "{\"type\": \"long\", \"logicalType\": \"timestamp-nanos\"}";
    check(nanos, long(i64::MAX), &[("DateTime64(9)", &i64::MAX.to_string())]);
    check(nanos, long(first * 1_000_000 - 1), &[("DateTime64(9)", "out_of_range")]);
    for (logical, factor) in [("timestamp-micros", 1_000), ("timestamp-nanos", 1_000_000)] {
        let schema = format!("{{\"type\": \"long\", \"logicalType\": \"{logical}\"}}");
        check(&schema, long(moment * factor), &[("DateTime64(3)", "1769817601500"), ("DateTime", "1769817601")]);
    }
    for (logical, factor) in
        [("local-timestamp-millis", 1), ("local-timestamp-micros", 1_000), ("local-timestamp-nanos", 1_000_000)]
    {
        let schema = format!("{{\"type\": \"long\", \"logicalType\": \"{logical}\"}}");
        check(
            &schema,
            long(moment * factor),
            &[
                ("DateTime64(3)", "1769817601500"),
                ("DateTime('Asia/Tokyo')", "1769785201"),
                ("String", "\"2026-01-31T00:00:01.5\""),
            ],
        );
    }
    check(
        "{\"type\": \"int\", \"logicalType\": \"time-millis\"}",
        long(49_500_250),
        &[("Int32", "49500250"), ("String", "\"13:45:00.250\""), ("DateTime", "invalid_time")],
    );
    check(
        "{\"type\": \"long\", \"logicalType\": \"time-micros\"}",
        long(49_500_000_001),
        &[("Int64", "49500000001"), ("String", "\"13:45:00.000001\"")],
    );
    check(
        "{\"type\": \"fixed\", \"name\": \"F\", \"size\": 12, \"logicalType\": \"duration\"}",
        [[1, 0, 0, 0], [2, 0, 0, 0], [4, 0x0C, 0, 0]].concat(),
        &[
            ("String", "\"P1M2DT3.076S\""),
            ("FixedString(12)", r#""\u{1}\0\0\0\u{2}\0\0\0\u{4}\u{c}\0\0""#),
            ("Int64", "invalid_number"),
        ],
    );
}

#[test]
fn logical_types_that_the_specification_lacks_are_ignored() {
    for (schema, bytes, column, expected) in [
        ("{\"type\": \"long\", \"logicalType\": \"date\"}", long(5), "String", "\"5\""),
        ("{\"type\": \"string\", \"logicalType\": \"x-mine\"}", sized("x"), "String", "\"x\""),
        ("{\"type\": \"string\", \"logicalType\": 7}", sized("x"), "String", "\"x\""),
        ("{\"type\": \"bytes\", \"logicalType\": \"uuid\"}", sized("ab"), "String", "\"ab\""),
        ("{\"type\": \"bytes\", \"logicalType\": \"decimal\"}", sized("ab"), "String", "\"ab\""),
        (
            "{\"type\": \"bytes\", \"logicalType\": \"decimal\", \"precision\": 2, \"scale\": 3}",
            sized("ab"),
            "String",
            "\"ab\"",
        ),
        (
            "{\"type\": \"bytes\", \"logicalType\": \"decimal\", \"precision\": 2, \"scale\": \"1\"}",
            sized("a"),
            "String",
            "\"a\"",
        ),
        (
            "{\"type\": \"fixed\", \"name\": \"F\", \"size\": 2, \"logicalType\": \"duration\"}",
            b"ab".to_vec(),
            "String",
            "\"ab\"",
        ),
        (
            "{\"type\": \"fixed\", \"name\": \"F\", \"size\": 2, \"logicalType\": \"uuid\"}",
            b"ab".to_vec(),
            "String",
            "\"ab\"",
        ),
    ] {
        check(schema, bytes, &[(column, expected)]);
    }
}

const POINT: &str = "{\"type\": \"record\", \"name\": \"P\", \"fields\": [\
    {\"name\": \"x\", \"type\": \"int\"}, {\"name\": \"label\", \"type\": [\"null\", \"string\"]}]}";

#[test]
fn records() {
    let labelled = [long(7), long(1), sized("l")].concat();
    check(
        POINT,
        &labelled,
        &[
            ("Tuple(x Int32, label String)", "(7, \"l\")"),
            ("Tuple(label Nullable(String), more Int8, x Int64)", "(\"l\", 0, 7)"),
            ("Tuple(other Nullable(Int8))", "(NULL)"),
            ("Tuple(x UInt8, label UInt8)", "invalid_number"),
            ("Tuple(Int32, String)", "type_mismatch"),
            ("Map(String, String)", "{\"x\": \"7\", \"label\": \"l\"}"),
            ("Map(LowCardinality(String), Nullable(String))", "{\"x\": \"7\", \"label\": \"l\"}"),
            ("Map(String, Int32)", "invalid_number"),
            ("Map(Int32, String)", "invalid_number"),
            ("String", "\"{\\\"x\\\":7,\\\"label\\\":\\\"l\\\"}\""),
            ("LowCardinality(Nullable(String))", "\"{\\\"x\\\":7,\\\"label\\\":\\\"l\\\"}\""),
            ("Int32", "type_mismatch"),
            ("Array(Int32)", "type_mismatch"),
            ("FixedString(30)", "type_mismatch"),
        ],
    );
    let bald = [long(7), long(0)].concat();
    check(
        POINT,
        &bald,
        &[
            ("Tuple(x Int32, label String)", "(7, \"\")"),
            ("Tuple(label Nullable(String))", "(NULL)"),
            ("Map(String, Nullable(Int8))", "{\"x\": 7, \"label\": NULL}"),
            ("String", "\"{\\\"x\\\":7,\\\"label\\\":null}\""),
        ],
    );
}

#[test]
fn lists_and_maps() {
    let ints = "{\"type\": \"array\", \"items\": \"int\"}";
    let three = [long(2), long(1), long(2), long(-1), long(1), long(-3), long(0)].concat();
    check(
        ints,
        &three,
        &[
            ("Array(Int8)", "[1, 2, -3]"),
            ("Array(Nullable(String))", "[\"1\", \"2\", \"-3\"]"),
            ("Tuple(Int8, String, Float32)", "(1, \"2\", -3.0)"),
            ("Tuple(Int8, Int8)", "type_mismatch"),
            ("Tuple(Int8, Int8, Int8, Int8)", "type_mismatch"),
            ("Tuple(a Int8, b Int8, c Int8)", "type_mismatch"),
            ("String", "\"[1,2,-3]\""),
            ("Array(UInt8)", "out_of_range"),
            ("Array(Array(Int8))", "type_mismatch"),
            ("Map(String, Int8)", "type_mismatch"),
            ("Int8", "type_mismatch"),
        ],
    );
    check(ints, [0], &[("Array(Int8)", "[]"), ("String", "\"[]\""), ("Tuple(Int8)", "type_mismatch")]);
    let map = "{\"type\": \"map\", \"values\": [\"null\", \"int\"]}";
    let two = [long(2), sized("a"), long(1), long(5), sized("b"), long(0), long(0)].concat();
    check(
        map,
        &two,
        &[
            ("Map(String, Int8)", "{\"a\": 5, \"b\": 0}"),
            ("Map(LowCardinality(String), Nullable(Int8))", "{\"a\": 5, \"b\": NULL}"),
            ("Map(Int8, Int8)", "invalid_number"),
            ("String", "\"{\\\"a\\\":5,\\\"b\\\":null}\""),
            ("Tuple(a Int8)", "type_mismatch"),
            ("Array(Int8)", "type_mismatch"),
        ],
    );
    let lists = format!("{{\"type\": \"array\", \"items\": {POINT}}}");
    let points = [long(2), long(1), long(0), long(2), long(1), sized("l"), long(0)].concat();
    check(&lists, points, &[("Array(Tuple(label String, x Int8))", "[(\"\", 1), (\"l\", 2)]")]);
}

#[test]
fn unions_of_several_types() {
    let union =
        format!("[\"null\", \"int\", \"string\", \"boolean\", {POINT}, {{\"type\": \"array\", \"items\": \"long\"}}]");
    let columns = ["String", "Nullable(Int64)", "Array(Int8)", "Tuple(x Int8)"];
    for (bytes, expected) in [
        (long(0), ["\"\"", "NULL", "[]", "(0)"]),
        ([long(1), long(5)].concat(), ["\"5\"", "5", "type_mismatch", "type_mismatch"]),
        ([long(2), sized("x")].concat(), ["\"x\"", "invalid_number", "type_mismatch", "type_mismatch"]),
        ([long(3), vec![1]].concat(), ["\"true\"", "1", "type_mismatch", "type_mismatch"]),
        (
            [long(4), long(1), long(0)].concat(),
            ["\"{\\\"x\\\":1,\\\"label\\\":null}\"", "type_mismatch", "type_mismatch", "(1)"],
        ),
        ([long(5), long(1), long(9), long(0)].concat(), ["\"[9]\"", "type_mismatch", "[9]", "type_mismatch"]),
        (long(6), ["invalid_avro"; 4]),
        (long(-1), ["invalid_avro"; 4]),
    ] {
        for (column, expected) in columns.iter().zip(expected) {
            check(&union, &bytes, &[(column, expected)]);
        }
    }
}

#[test]
fn columns_of_any_type() {
    let list = "{\"type\": \"array\", \"items\": \"int\"}";
    let union = format!("[\"null\", \"long\", \"string\", {list}, {POINT}]");
    let columns = ["Variant(Array(Int64), Int64, String)", "Dynamic", "JSON"];
    let point = format!("{:?}", "{\"x\":1,\"label\":null}");
    // With the place of the type that each has become.
    let cases = [
        (long(0), ["NULL", "NULL", "\"{}\""].map(str::to_owned)),
        ([long(1), long(5)].concat(), ["1:5", "13:5", "type_mismatch"].map(str::to_owned)),
        ([long(2), sized("x")].concat(), ["2:\"x\"", "14:\"x\"", "invalid_json"].map(str::to_owned)),
        ([long(3), vec![2, 4, 0]].concat(), ["0:[2]", "2:[2]", "type_mismatch"].map(str::to_owned)),
        ([long(4), long(1), long(0)].concat(), [format!("2:{point}"), format!("15:({point})"), point]),
    ];
    for (bytes, expected) in cases {
        for (column, expected) in columns.iter().zip(expected) {
            check(&union, &bytes, &[(column, &expected)]);
        }
    }
}

#[test]
fn values_as_json() {
    let of = |schema: &str, bytes: &[u8], expected: &str| {
        let list = format!("{{\"type\": \"array\", \"items\": {schema}}}");
        let bytes = [&long(1), bytes, &long(0)].concat();
        check(&list, bytes, &[("String", &format!("{:?}", format!("[{expected}]")))]);
    };
    of("\"null\"", b"", "null");
    of("\"boolean\"", &[1], "true");
    of("\"long\"", &long(-5), "-5");
    of("\"double\"", &1.5_f64.to_le_bytes(), "1.5");
    of("\"double\"", &f64::NAN.to_le_bytes(), "\"NaN\"");
    of("\"bytes\"", &sized([0xFF, 0]), "\"/wA=\"");
    of("\"string\"", &sized("a\"\n\u{e9}"), "\"a\\\"\\n\u{e9}\"");
    of("{\"type\": \"enum\", \"name\": \"E\", \"symbols\": [\"A\"]}", &long(0), "\"A\"");
    of("{\"type\": \"bytes\", \"logicalType\": \"decimal\", \"precision\": 4, \"scale\": 1}", &sized([12]), "1.2");
    of("{\"type\": \"int\", \"logicalType\": \"date\"}", &long(0), "\"1970-01-01\"");
    of("{\"type\": \"string\", \"logicalType\": \"uuid\"}", &sized("X"), "\"X\"");
    of(
        "{\"type\": \"map\", \"values\": \"int\"}",
        &[long(1), sized("k\""), long(1), long(0)].concat(),
        "{\"k\\\"\":1}",
    );
}

#[test]
fn values_that_do_not_fit_may_be_replaced() {
    let union = "[\"null\", \"long\", \"string\", {\"type\": \"array\", \"items\": \"long\"}]";
    let schema = record("R", &[("v", union), ("w", "\"int\"")]);
    let check = |column: &str, on_error, branch: Vec<u8>, expected: &str| {
        let plan = plan(vec![spec("v", column).on_error(on_error), spec("w", "Int32")]);
        let mut table = Table::new(plan, &schema);
        let record = [branch, long(9)].concat();
        assert_eq!(outcome(&mut table, &record), expected, "{column} {on_error:?}");
    };
    let number = |value| [long(1), long(value)].concat();
    let list = || [long(3), long(2), long(1), long(2), long(0)].concat();
    check("UInt8", OnError::DeadLetter, number(300), "out_of_range");
    check("UInt8", OnError::Default, number(300), "0 / 9");
    check("UInt8", OnError::Clamp, number(300), "255 / 9");
    check("UInt8", OnError::Clamp, number(-300), "0 / 9");
    check("Nullable(UInt8)", OnError::Null, number(300), "NULL / 9");
    check("UInt8", OnError::Clamp, [long(2), sized("x")].concat(), "invalid_number");
    check("UInt8", OnError::Default, [long(2), sized("x")].concat(), "0 / 9");
    check("UInt8", OnError::Default, list(), "0 / 9");
    check("Array(Bool)", OnError::Default, list(), "[] / 9");
    check("UInt8", OnError::Default, [long(3), long(5)].concat(), "invalid_avro");
}
