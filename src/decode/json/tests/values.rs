//! What each column type takes.

use super::{Table, plan};
use crate::decode::Stage;

/// Decodes `{"x": <value>}` between two rows without `x`, and compares what is stored, or the code
/// of the error; the rows around must never suffer.
pub(super) fn check(type_text: &str, cases: &[(&str, &str)]) {
    for (value, expected) in cases {
        let mut table = Table::new(&plan(&[("x", type_text)]));
        table.push("{}").unwrap();
        let zero = table.stored("x");
        let outcome = table.push(format!("{{\"x\": {value}}}"));
        table.push("{}").unwrap();
        let stored = table.stored("x");
        let got = match outcome {
            Ok(()) => stored
                .strip_prefix(&zero)
                .and_then(|stored| stored.strip_suffix(&zero))
                .map_or_else(|| format!("neighbours damaged: {stored}"), |s| s.trim().to_owned()),
            Err(error) => {
                assert_eq!(stored, format!("{zero} {zero}"), "{type_text} {value}");
                if error.code.stage() == Stage::Convert {
                    assert_eq!(error.field.as_deref(), Some("x"), "{type_text} {value}");
                }
                error.code.as_str().to_owned()
            }
        };
        assert_eq!(&got, expected, "{type_text} {value}");
    }
}

#[test]
fn small_integers() {
    check(
        "UInt8",
        &[
            ("0", "0"),
            ("255", "255"),
            ("256", "out_of_range"),
            ("300", "out_of_range"),
            ("-1", "out_of_range"),
            ("-0", "0"),
            ("18446744073709551616", "out_of_range"),
            ("\"5\"", "5"),
            ("\"+5\"", "5"),
            ("\"005\"", "5"),
            ("\"\"", "invalid_number"),
            ("\" 5\"", "invalid_number"),
            ("\"--5\"", "invalid_number"),
            ("\"0x5\"", "invalid_number"),
            ("5.0", "5"),
            ("5e0", "5"),
            ("\"5.00\"", "5"),
            ("\"5.\"", "5"),
            ("0.25e3", "250"),
            ("2500e-1", "250"),
            ("-0.0", "0"),
            ("0e99999999999", "0"),
            ("0.00e-99999999999", "0"),
            ("5.5", "not_an_integer"),
            ("\"5.5\"", "not_an_integer"),
            ("1e-1", "not_an_integer"),
            ("1e-99999999999", "not_an_integer"),
            ("255.00000000000000000000000000000000000000000000000000000000000000000000000000000000", "255"),
            ("256.0", "out_of_range"),
            ("-1.0", "out_of_range"),
            ("1e3", "out_of_range"),
            ("1e99999999999", "out_of_range"),
            ("\"true\"", "1"),
            ("\"FALSE\"", "0"),
            ("\"yes\"", "invalid_number"),
            ("\"null\"", "invalid_number"),
            ("NaN", "type_mismatch"),
            ("-Infinity", "type_mismatch"),
            ("true", "1"),
            ("false", "0"),
            ("null", "0"),
            ("[]", "type_mismatch"),
            ("{\"a\": [1]}", "type_mismatch"),
            ("05", "invalid_json"),
            ("+5", "invalid_json"),
            ("5x", "invalid_json"),
            ("tru", "invalid_json"),
        ],
    );
    check("Int8", &[("-128", "-128"), ("127", "127"), ("128", "out_of_range"), ("-129", "out_of_range")]);
    check("Int16", &[("-32768", "-32768"), ("32768", "out_of_range")]);
    check("UInt16", &[("65535", "65535"), ("65536", "out_of_range")]);
    check("Int32", &[("-2147483648", "-2147483648"), ("2147483648", "out_of_range")]);
    check("UInt32", &[("4294967295", "4294967295"), ("4294967296", "out_of_range")]);
    check(
        "Int64",
        &[
            ("-9223372036854775808", "-9223372036854775808"),
            ("9223372036854775807", "9223372036854775807"),
            ("9223372036854775808", "out_of_range"),
            ("-9223372036854775809", "out_of_range"),
            ("100000000000000000000000000000000000000000000000000000000000000000000000000000000", "out_of_range"),
        ],
    );
    check(
        "UInt64",
        &[
            ("18446744073709551615", "18446744073709551615"),
            ("\"18446744073709551615\"", "18446744073709551615"),
            ("18446744073709551616", "out_of_range"),
            ("1.8446744073709551615e19", "18446744073709551615"),
            ("1.8446744073709551616e19", "out_of_range"),
            ("1.84467440737095516155e19", "not_an_integer"),
        ],
    );
}

#[test]
fn wide_integers() {
    let u128_max = u128::MAX.to_string();
    let u256_max = ethnum::U256::MAX.to_string();
    let u256_over = "115792089237316195423570985008687907853269984665640564039457584007913129639936";
    let i256_min = ethnum::I256::MIN.to_string();
    let i256_under = "-57896044618658097711785492504343953926634992332820282019728792003956564819969";
    check(
        "UInt128",
        &[
            (&u128_max, &u128_max),
            ("-1", "out_of_range"),
            ("true", "1"),
            ("1.0", "1"),
            ("1e38", &format!("1{}", "0".repeat(38))),
        ],
    );
    check(
        "Int128",
        &[
            ("170141183460469231731687303715884105727", "170141183460469231731687303715884105727"),
            ("170141183460469231731687303715884105728", "out_of_range"),
            ("-170141183460469231731687303715884105728", "-170141183460469231731687303715884105728"),
            ("-170141183460469231731687303715884105729", "out_of_range"),
            ("\"-1\"", "-1"),
        ],
    );
    check("UInt256", &[(&u256_max, &u256_max), (u256_over, "out_of_range"), ("-0", "0")]);
    check(
        "Int256",
        &[
            (&i256_min, &i256_min),
            (&format!("{i256_min}.0"), &i256_min),
            (i256_under, "out_of_range"),
            (&u256_max, "out_of_range"),
        ],
    );
}

#[test]
fn floats() {
    check(
        "Float64",
        &[
            ("5", "5.0"),
            ("-0", "-0.0"),
            ("0.30000000000000004", "0.30000000000000004"),
            ("9007199254740993", "9007199254740992.0"),
            ("123456789012345678901234567890", "1.2345678901234568e29"),
            ("1.7976931348623157e308", "1.7976931348623157e308"),
            ("5e-324", "5e-324"),
            ("1e-400", "0.0"),
            ("1e400", "out_of_range"),
            ("-1e99999999999999999999", "out_of_range"),
            ("\"5.25\"", "5.25"),
            ("\"-1e3\"", "-1000.0"),
            ("\"nan\"", "NaN"),
            ("\"-Infinity\"", "-inf"),
            ("\"inf\"", "inf"),
            ("\"\"", "invalid_number"),
            ("\"abc\"", "invalid_number"),
            ("true", "1.0"),
            ("null", "0.0"),
            ("[1]", "type_mismatch"),
            (".5", "invalid_json"),
            ("5.", "invalid_json"),
            ("1e", "invalid_json"),
            ("NaN", "NaN"),
            ("Infinity", "inf"),
            ("-Infinity", "-inf"),
            ("-NaN", "invalid_json"),
            ("Nan", "invalid_json"),
            ("\".5\"", "0.5"),
            ("\"-5.\"", "-5.0"),
            ("\".\"", "invalid_number"),
            ("\"5.e1\"", "invalid_number"),
            ("\"true\"", "1.0"),
        ],
    );
    check("Array(Nullable(Float32))", &[("[NaN, null, -Infinity]", "[NaN, NULL, -inf]")]);
    check("Decimal(9, 2)", &[("\".5\"", "50"), ("\"5.\"", "500"), ("\"-.129\"", "-12"), ("NaN", "type_mismatch")]);
    check(
        "Float32",
        &[("0.1", "0.1"), ("16777217", "16777216.0"), ("1e39", "out_of_range"), ("\"inf\"", "inf"), ("true", "1.0")],
    );
    check("BFloat16", &[("0.1", "0.099609375"), ("-3", "-3"), ("true", "1"), ("\"inf\"", "inf")]);
}

#[test]
fn booleans() {
    check(
        "Bool",
        &[
            ("true", "true"),
            ("false", "false"),
            ("1", "true"),
            ("0", "false"),
            ("2", "out_of_range"),
            ("1.0", "true"),
            ("1.5", "out_of_range"),
            ("\"true\"", "true"),
            ("\"False\"", "false"),
            ("\"1\"", "true"),
            ("\"t\"", "true"),
            ("\"no\"", "false"),
            ("\"2\"", "type_mismatch"),
            ("\"\"", "type_mismatch"),
            ("\"null\"", "type_mismatch"),
            ("null", "false"),
            ("TRUE", "invalid_json"),
        ],
    );
}

#[test]
fn strings() {
    let cases = [
        ("\"\"", "\"\""),
        (r#""a\u00e9\ud83d\ude00\n\/""#, "\"aé😀\\n/\""),
        (r#""\u0000""#, "\"\\0\""),
        ("5.10", "\"5.10\""),
        ("-0", "\"-0\""),
        ("true", "\"true\""),
        ("null", "\"\""),
        ("{\"a\" :  [1, \"]\"]}", "\"{\\\"a\\\" :  [1, \\\"]\\\"]}\""),
        ("NaN", "\"NaN\""),
        ("-Infinity", "\"-Infinity\""),
        ("[NaN]", "\"[NaN]\""),
        ("[\"\0\"]", "invalid_json"),
        (r#""\ud800""#, "invalid_json"),
        (r#""\ud800\u0041""#, "invalid_json"),
        (r#""\udc00""#, "invalid_json"),
        (r#""\u12g4""#, "invalid_json"),
        (r#""\x""#, "invalid_json"),
        ("\"a\tb\"", "invalid_json"),
        ("\"a", "invalid_json"),
        ("[1,]", "invalid_json"),
        ("00", "invalid_json"),
    ];
    check("String", &cases);
    check("LowCardinality(String)", &cases);
    let long = "ä".repeat(70_000);
    check("String", &[(&format!("\"{long}\""), &format!("{long:?}"))]);
    check(
        "FixedString(3)",
        &[
            ("\"abc\"", "\"abc\""),
            ("\"a\"", "\"a\\0\\0\""),
            ("\"abcd\"", "too_long"),
            ("5", "type_mismatch"),
            ("null", "\"\\0\\0\\0\""),
        ],
    );
}

#[test]
fn dates() {
    check(
        "Date",
        &[
            ("\"1970-01-02\"", "1"),
            ("\"2024-02-29\"", "19782"),
            ("\"2149-06-06\"", "65535"),
            ("\"2149-06-07\"", "out_of_range"),
            ("\"1969-12-31\"", "out_of_range"),
            ("\"2023-02-29\"", "invalid_time"),
            ("\"2024-13-01\"", "invalid_time"),
            ("\"2024-00-10\"", "invalid_time"),
            ("\"2024-01-00\"", "invalid_time"),
            ("\"2024-02-29T10:00:00Z\"", "invalid_time"),
            ("\"2024-02-29T00:00:00Z\"", "19782"),
            ("\"2024-02-29 00:00:00.000+02:00\"", "19782"),
            ("\"20240229\"", "19782"),
            ("\"2024-2-9\"", "19762"),
            ("\"2024-2-30\"", "invalid_time"),
            ("19000.0", "19000"),
            ("\"\"", "invalid_time"),
            ("19000", "19000"),
            ("65536", "out_of_range"),
            ("-1", "out_of_range"),
            ("true", "type_mismatch"),
        ],
    );
    check(
        "Date32",
        &[
            ("\"1900-01-01\"", "-25567"),
            ("\"1899-12-31\"", "out_of_range"),
            ("\"2299-12-31\"", "120529"),
            ("\"2300-01-01\"", "out_of_range"),
            ("\"1900-02-29\"", "invalid_time"),
            ("\"2000-02-29\"", "11016"),
            ("-1", "-1"),
        ],
    );
}

#[test]
fn times() {
    check(
        "DateTime",
        &[
            ("\"2024-02-29 10:00:00\"", "1709200800"),
            ("\"2024-02-29T10:00:00\"", "1709200800"),
            ("\"2024-02-29T10:00:00Z\"", "1709200800"),
            ("\"2024-02-29T10:00:00.999Z\"", "1709200800"),
            ("\"2024-02-29T10:00:00+02:00\"", "1709193600"),
            ("\"2024-02-29T10:00:00-0230\"", "1709209800"),
            ("\"2024-02-29\"", "1709164800"),
            ("\"2024-02-29T10:00:60Z\"", "1709200860"),
            ("\"2106-02-07 06:28:15\"", "4294967295"),
            ("\"2106-02-07 06:28:16\"", "out_of_range"),
            ("\"1969-12-31 23:59:59\"", "out_of_range"),
            ("\"2024-02-29 24:00:00\"", "1709251200"),
            ("\"2024-02-29 24:00:01\"", "invalid_time"),
            ("\"2024-02-29 10:60:00\"", "invalid_time"),
            ("\"2024-02-29 10:00:61\"", "invalid_time"),
            ("\"2024-02-29 10:00\"", "1709200800"),
            ("\"2024-02-29T10:00Z\"", "1709200800"),
            ("\"20240229T100000Z\"", "1709200800"),
            ("\"20240229100000\"", "1709200800"),
            ("\"20240229\"", "1709164800"),
            ("\"20240230\"", "invalid_time"),
            ("20240229", "20240229"),
            ("\"2024-02-29 10:00:00+00\"", "1709200800"),
            ("\"2024-02-29 10:00:00,5 +0000\"", "1709200800"),
            ("\"2024-02-29 10:00:00.\"", "invalid_time"),
            ("\"2024-02-29 10:00:00 UTC\"", "1709200800"),
            ("\"29/02/2024\"", "invalid_time"),
            ("\"2024-02-29 10:00:00+24:00\"", "invalid_time"),
            ("\"\"", "invalid_time"),
            ("1700000000", "1700000000"),
            ("\"1700000000\"", "1700000000"),
            ("1700000000.9", "1700000000"),
            ("1700000000123", "1700000000"),
            ("1700000000123456", "1700000000"),
            ("1700000000123456789", "1700000000"),
            ("-1", "out_of_range"),
            ("4294967296", "out_of_range"),
            ("1.7e9", "1700000000"),
            ("1.7000000001234e12", "1700000000"),
            ("17e-1", "1"),
            ("1e-99999", "0"),
            ("1e99999", "out_of_range"),
        ],
    );
    check(
        "DateTime('Europe/Berlin')",
        &[("\"2024-06-01 00:00:00\"", "1717192800"), ("\"2024-06-01T00:00:00Z\"", "1717200000")],
    );
    check(
        "DateTime64(3)",
        &[
            ("\"2024-02-29T10:00:00.1239Z\"", "1709200800123"),
            ("\"2024-02-29 10:00:00.1\"", "1709200800100"),
            ("\"1969-12-31 23:59:59.5\"", "-500"),
            ("1700000000", "1700000000000"),
            ("1700000000.1239", "1700000000123"),
            ("1700000000123", "1700000000123"),
            ("1700000000123456", "1700000000123"),
            ("1700000000123456789", "1700000000123"),
            ("-1.5", "-1500"),
            ("\"2299-12-31 23:59:59.999\"", "10413791999999"),
            ("\"2300-01-01 00:00:00\"", "out_of_range"),
            ("\"1899-12-31 23:59:59\"", "out_of_range"),
            ("17000000001", "out_of_range"),
            ("99999999999999999999", "out_of_range"),
        ],
    );
    check(
        "DateTime64(9)",
        &[
            ("\"2262-04-11 23:47:16.854775807\"", "9223372036854775807"),
            ("\"2262-04-11 23:47:16.854775808\"", "out_of_range"),
            ("\"2024-02-29 10:00:00.123456789123\"", "1709200800123456789"),
            ("1700000000.123456789", "1700000000123456789"),
        ],
    );
    check("DateTime64(0)", &[("\"2024-02-29 10:00:00.999\"", "1709200800")]);
    check("DateTime64(6, 'Asia/Kolkata')", &[("\"1970-01-01 05:30:00\"", "0")]);
}

#[test]
fn decimals() {
    check(
        "Decimal(9, 2)",
        &[
            ("1.23", "123"),
            ("1.239", "123"),
            ("-1.239", "-123"),
            ("1e3", "100000"),
            ("1.5e-1", "15"),
            ("1e-30", "0"),
            ("1e-99999999999", "0"),
            ("0e99999999999", "0"),
            ("9999999.99", "999999999"),
            ("9999999.999", "999999999"),
            ("10000000", "out_of_range"),
            ("1e8", "out_of_range"),
            ("1e99999999999", "out_of_range"),
            ("\"1.23\"", "123"),
            ("\"+01.5\"", "150"),
            ("\"\"", "invalid_number"),
            ("\"1,5\"", "invalid_number"),
            ("true", "type_mismatch"),
            ("null", "0"),
        ],
    );
    let digits = "9".repeat(76);
    check(
        "Decimal(76, 0)",
        &[
            (&digits, &digits),
            (&format!("{digits}9"), "out_of_range"),
            (&format!("-{digits}.9"), &format!("-{digits}")),
        ],
    );
    check(
        "Decimal(38, 10)",
        &[
            ("1234567890123456789012345678.0123456789", "12345678901234567890123456780123456789"),
            ("12345678901234567890123456789", "out_of_range"),
            ("0.00000000000000000000000001e26", "10000000000"),
        ],
    );
    check("Decimal(18, 18)", &[("0.123456789012345678", "123456789012345678"), ("1", "out_of_range")]);
    check("Decimal(76, 76)", &[("0.1e-75", "1"), ("1e-77", "0")]);
}

#[test]
fn identifiers_and_addresses() {
    let uuid = "61f0c4045cb311e7907ba6006ad3dba0";
    check(
        "UUID",
        &[
            ("\"61f0c404-5cb3-11e7-907b-a6006ad3dba0\"", uuid),
            ("\"61F0C4045CB311E7907BA6006AD3DBA0\"", uuid),
            ("\"61f0c404-5cb3-11e7-907b-a6006ad3dba\"", "invalid_uuid"),
            ("\"61f0c404-5cb3-11e7-907b+a6006ad3dba0\"", "invalid_uuid"),
            ("\"g1f0c404-5cb3-11e7-907b-a6006ad3dba0\"", "invalid_uuid"),
            ("5", "type_mismatch"),
        ],
    );
    check(
        "IPv4",
        &[
            ("\"1.2.3.4\"", "1.2.3.4"),
            ("\"1.2.3\"", "invalid_address"),
            ("\"256.1.1.1\"", "invalid_address"),
            ("16909060", "type_mismatch"),
        ],
    );
    check(
        "IPv6",
        &[("\"2001:db8::ff\"", "2001:db8::ff"), ("\"1.2.3.4\"", "::ffff:1.2.3.4"), ("\"x\"", "invalid_address")],
    );
}

#[test]
fn enums() {
    check(
        "Enum8('a' = -1, 'b' = 2, '7' = 3)",
        &[
            ("\"a\"", "-1"),
            ("\"b\"", "2"),
            ("\"7\"", "3"),
            ("2", "2"),
            ("\"2\"", "2"),
            ("\"c\"", "unknown_enum_value"),
            ("\"\"", "unknown_enum_value"),
            ("9", "unknown_enum_value"),
            ("300", "unknown_enum_value"),
            ("null", "-1"),
            ("true", "type_mismatch"),
        ],
    );
    check("Enum16('x' = 1000)", &[("\"x\"", "1000"), ("1000", "1000"), ("{}", "type_mismatch")]);
}

#[test]
fn nullable_and_low_cardinality() {
    check("Nullable(Int32)", &[("null", "NULL"), ("5", "5"), ("\"null\"", "invalid_number"), ("nul", "invalid_json")]);
    check("Nullable(String)", &[("\"null\"", "\"null\""), ("\"\"", "\"\"")]);
    check("LowCardinality(Nullable(String))", &[("null", "NULL"), ("\"\"", "\"\""), ("\"a\"", "\"a\"")]);
    check("LowCardinality(Int64)", &[("null", "0"), ("-7", "-7"), ("\"x\"", "invalid_number")]);
    check("LowCardinality(FixedString(2))", &[("\"a\"", "\"a\\0\""), ("\"abc\"", "too_long")]);
}

#[test]
fn lists_maps_and_tuples() {
    check(
        "Array(Int32)",
        &[
            ("[1, 2,-3]", "[1, 2, -3]"),
            ("[ ]", "[]"),
            ("null", "[]"),
            ("[1, null]", "[1, 0]"),
            ("[\"1\"]", "[1]"),
            ("[1, \"x\"]", "invalid_number"),
            ("[1,]", "invalid_json"),
            ("[1", "invalid_json"),
            ("{}", "type_mismatch"),
            ("5", "type_mismatch"),
            ("\"[1]\"", "type_mismatch"),
        ],
    );
    check(
        "Array(Array(LowCardinality(Nullable(String))))",
        &[("[[\"a\", null], [], [\"a\"]]", "[[\"a\", NULL], [], [\"a\"]]")],
    );
    check("Array(Nullable(UInt8))", &[("[1, null, 300]", "out_of_range"), ("[1, null]", "[1, NULL]")]);
    check(
        "Map(String, Int32)",
        &[
            ("{\"a\": 1, \"b\" : null}", "{\"a\": 1, \"b\": 0}"),
            ("{\"a\":1,\"a\":2}", "{\"a\": 1, \"a\": 2}"),
            ("{}", "{}"),
            ("{\"a\": \"x\"}", "invalid_number"),
            ("{\"a\"}", "invalid_json"),
            ("[[\"a\", 1]]", "type_mismatch"),
        ],
    );
    check(
        "Map(UInt16, Array(String))",
        &[("{\"7\": [\"x\"]}", "{7: [\"x\"]}"), ("{\"x\": []}", "invalid_number"), ("{\"70000\": []}", "out_of_range")],
    );
    check("Map(LowCardinality(String), Float64)", &[("{\"k\\n\": 1.5}", "{\"k\\n\": 1.5}")]);
    check(
        "Tuple(Int32, String)",
        &[
            ("[1, \"a\"]", "(1, \"a\")"),
            ("[1]", "type_mismatch"),
            ("[]", "type_mismatch"),
            ("[1, \"a\", 3]", "type_mismatch"),
            ("{\"1\": 1}", "type_mismatch"),
            ("null", "(0, \"\")"),
        ],
    );
    check(
        "Tuple(a Int32, b Nullable(String))",
        &[
            ("{\"b\": \"x\", \"a\": 2}", "(2, \"x\")"),
            ("{\"a\": 1, \"z\": [3]}", "(1, NULL)"),
            ("{}", "(0, NULL)"),
            ("{\"a\": null}", "(0, NULL)"),
            ("{\"a\": 1, \"a\": 2}", "duplicate_key"),
            ("{\"z\": 1, \"z\": 2}", "(0, NULL)"),
            ("{\"b\": \"x\", \"a\": \"x\"}", "invalid_number"),
            ("[1, \"a\"]", "type_mismatch"),
        ],
    );
    check(
        "Map(String, Tuple(a Array(UInt8), b Map(String, Enum8('q' = 1))))",
        &[("{\"k\": {\"a\": [1, 2], \"b\": {\"w\": \"q\"}}}", "{\"k\": ([1, 2], {\"w\": 1})}")],
    );
}
