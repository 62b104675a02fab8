//! What each kind of value becomes in each kind of column.

use std::sync::Arc;

use ethnum::I256;

use super::{Typed, append_typed, write_json};
use crate::block::native::NativeEncoder;
use crate::block::test_reader;
use crate::columns::{ColumnSpec, Columns, DefaultValue, RowCoordinates, RowPlan};

const PLACE: RowCoordinates<'_> = RowCoordinates { topic: "t", partition: 0, offset: 0, row: 0, replay: 0 };

/// What a column of this type stores of a value, or the code with which it refuses it. The server's zone is Berlin's.
fn stored(value: Typed<'_>, kind: &str) -> String {
    let spec = ColumnSpec::new("x", kind, DefaultValue::TypeZero).unwrap();
    let plan = Arc::new(RowPlan::new(vec![spec], Vec::new(), "Europe/Berlin").unwrap());
    let mut columns = Columns::new(&plan).unwrap();
    columns.begin_row();
    let appended = append_typed(value, columns.open(0).unwrap());
    match appended {
        Ok(()) => columns.commit_row(&PLACE),
        Err(_) => columns.rollback_row(),
    }
    // A row behind it shows that all parts of the column are as long as each other.
    columns.begin_row();
    columns.complete_row();
    columns.commit_row(&PLACE);
    let raw = test_reader::decompress(&NativeEncoder::new().encode(&columns).frames);
    let (_, _, mut values) = test_reader::read_block(&raw).remove(0);
    match appended {
        Ok(()) => {
            assert_eq!(values.len(), 2, "{kind}");
            values.remove(0)
        }
        Err(code) => {
            assert_eq!(values.len(), 1, "{kind}");
            format!("{code:?}")
        }
    }
}

fn check(value: Typed<'_>, cases: &[(&str, &str)]) {
    for (kind, expected) in cases {
        assert_eq!(&stored(value, kind), expected, "{value:?} into {kind}");
    }
}

const TIMES: [&str; 4] = ["DateTime", "DateTime64(3)", "Date", "Date32"];

fn refused(value: Typed<'_>, kinds: &[&str], code: &str) {
    for kind in kinds {
        assert_eq!(stored(value, kind), code, "{value:?} into {kind}");
    }
}

#[test]
fn booleans() {
    check(
        Typed::Bool(true),
        &[
            ("Bool", "true"),
            ("UInt8", "1"),
            ("Int256", "1"),
            ("Float32", "1.0"),
            ("Float64", "1.0"),
            ("BFloat16", "1"),
            ("String", "\"true\""),
            ("Nullable(Bool)", "true"),
            ("LowCardinality(String)", "\"true\""),
            ("LowCardinality(UInt8)", "1"),
            ("Nullable(String)", "\"true\""),
        ],
    );
    check(Typed::Bool(false), &[("Bool", "false"), ("UInt64", "0"), ("String", "\"false\"")]);
    refused(Typed::Bool(true), &TIMES, "TypeMismatch");
    refused(
        Typed::Bool(true),
        &["Decimal(9, 2)", "UUID", "IPv4", "IPv6", "FixedString(4)", "Enum8('true' = 1)"],
        "TypeMismatch",
    );
    refused(Typed::Bool(true), &["Array(Bool)", "Map(String, Bool)", "Tuple(Bool)"], "TypeMismatch");
}

#[test]
fn integers() {
    check(
        Typed::Int(-5),
        &[
            ("Int8", "-5"),
            ("Int16", "-5"),
            ("Int32", "-5"),
            ("Int64", "-5"),
            ("Int128", "-5"),
            ("Int256", "-5"),
            ("UInt8", "BelowRange"),
            ("UInt16", "BelowRange"),
            ("UInt32", "BelowRange"),
            ("UInt64", "BelowRange"),
            ("UInt128", "BelowRange"),
            ("UInt256", "BelowRange"),
            ("Float32", "-5.0"),
            ("Float64", "-5.0"),
            ("BFloat16", "-5"),
            ("Decimal(9, 2)", "-500"),
            ("Decimal(38, 10)", "-50000000000"),
            ("String", "\"-5\""),
            ("Enum8('a' = -5)", "-5"),
            ("Enum16('a' = 5)", "UnknownEnumValue"),
            ("Bool", "BelowRange"),
            ("Date", "BelowRange"),
            ("Date32", "-5"),
            ("DateTime", "BelowRange"),
            ("DateTime64(3)", "-5000"),
            ("Nullable(Int8)", "-5"),
            ("LowCardinality(Int8)", "-5"),
            ("LowCardinality(Nullable(String))", "\"-5\""),
        ],
    );
    let limits = [
        ("Int8", i64::from(i8::MIN), i64::from(i8::MAX)),
        ("Int16", i64::from(i16::MIN), i64::from(i16::MAX)),
        ("Int32", i64::from(i32::MIN), i64::from(i32::MAX)),
        ("UInt8", 0, i64::from(u8::MAX)),
        ("UInt16", 0, i64::from(u16::MAX)),
        ("UInt32", 0, i64::from(u32::MAX)),
        ("Bool", 0, 1),
        ("Date", 0, 65_535),
        ("Date32", -25_567, 120_529),
        ("DateTime", 0, i64::from(u32::MAX)),
        ("Decimal(4, 2)", -99, 99),
    ];
    for (kind, least, greatest) in limits {
        for (value, code) in [(least - 1, "BelowRange"), (greatest + 1, "OutOfRange")] {
            refused(Typed::Int(value), &[kind], code);
        }
        for value in [least, greatest] {
            let found = stored(Typed::Int(value), kind);
            let expected = match (kind, value) {
                ("Bool", value) => (value == 1).to_string(),
                ("Decimal(4, 2)", value) => (100 * value).to_string(),
                (_, value) => value.to_string(),
            };
            assert_eq!(found, expected, "{value} into {kind}");
        }
    }
    refused(Typed::Int(5), &["UUID", "IPv4", "IPv6", "FixedString(4)", "Array(Int8)"], "TypeMismatch");
    check(Typed::Int(i64::MIN), &[("Int64", "-9223372036854775808"), ("Int128", "-9223372036854775808")]);
    check(
        Typed::UInt(u64::MAX),
        &[
            ("UInt64", "18446744073709551615"),
            ("UInt128", "18446744073709551615"),
            ("Int64", "OutOfRange"),
            ("Int128", "18446744073709551615"),
            ("UInt8", "OutOfRange"),
            ("Float64", "1.8446744073709552e19"),
            ("Float32", "1.8446744e19"),
            ("Decimal(38, 0)", "18446744073709551615"),
            ("Decimal(18, 0)", "OutOfRange"),
            ("String", "\"18446744073709551615\""),
            ("LowCardinality(UInt64)", "18446744073709551615"),
        ],
    );
    check(Typed::UInt(7), &[("UInt64", "7"), ("Int8", "7"), ("DateTime64(0)", "7"), ("Enum8('x' = 7)", "7")]);
}

#[test]
fn floats() {
    check(
        Typed::Float64(0.1),
        &[
            ("Float64", "0.1"),
            ("Float32", "0.1"),
            ("BFloat16", "0.099609375"),
            ("String", "\"0.1\""),
            ("Decimal(9, 4)", "1000"),
            ("Decimal(9, 0)", "0"),
            ("Int32", "NotAnInteger"),
            ("UInt64", "NotAnInteger"),
            ("Bool", "OutOfRange"),
            ("Nullable(Float64)", "0.1"),
            ("LowCardinality(String)", "\"0.1\""),
        ],
    );
    check(Typed::Float64(5.0), &[("Int8", "5"), ("UInt256", "5"), ("Enum8('a' = 5)", "5"), ("Date", "5")]);
    check(Typed::Float32(-5.0), &[("Int8", "-5"), ("UInt8", "BelowRange"), ("Int256", "-5")]);
    check(
        Typed::Float64(1.0),
        &[("Bool", "true"), ("Variant(Float64, Int8)", "0:1.0"), ("Variant(Int8, String)", "1:\"1.0\"")],
    );
    // The integer that the float is, and not the one of its shortest text.
    check(
        Typed::Float64(2_f64.powi(80)),
        &[("UInt128", "1208925819614629174706176"), ("Int64", "OutOfRange"), ("String", "\"1.2089258196146292e24\"")],
    );
    check(Typed::Float64(-(2_f64.powi(63))), &[("Int64", "-9223372036854775808"), ("UInt64", "BelowRange")]);
    check(Typed::Float64(2_f64.powi(63)), &[("UInt64", "9223372036854775808"), ("Int64", "OutOfRange")]);
    check(Typed::Float64(2_f64.powi(256)), &[("UInt256", "OutOfRange")]);
    check(Typed::Float64(-1e300), &[("Int256", "BelowRange")]);
    check(
        Typed::Float64(1e300),
        &[
            ("Float64", "1e300"),
            ("Float32", "OutOfRange"),
            ("BFloat16", "OutOfRange"),
            ("Decimal(76, 0)", "OutOfRange"),
        ],
    );
    check(
        Typed::Float64(-1e300),
        &[("Float32", "BelowRange"), ("Decimal(9, 2)", "BelowRange"), ("String", "\"-1e300\"")],
    );
    for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let text = format!("{value:?}");
        check(Typed::Float64(value), &[("Float64", &text), ("Float32", &text), ("String", &format!("\"{text}\""))]);
        refused(Typed::Float64(value), &["Decimal(9, 2)", "Int8"], "InvalidNumber");
    }
    check(
        Typed::Float32(0.1),
        &[
            ("Float32", "0.1"),
            ("BFloat16", "0.099609375"),
            // The same value, whose 64-bit text is longer.
            ("Float64", "0.10000000149011612"),
            ("String", "\"0.1\""),
            ("Decimal(9, 8)", "10000000"),
            ("Int8", "NotAnInteger"),
        ],
    );
    check(Typed::Float32(f32::MAX), &[("Float32", "3.4028235e38"), ("Float64", "3.4028234663852886e38")]);
    check(Typed::Float64(-0.0), &[("Float64", "-0.0"), ("Float32", "-0.0"), ("Decimal(9, 2)", "0")]);
    refused(Typed::Float64(1.5), &["UUID", "IPv4", "FixedString(9)", "Tuple(Float64)"], "TypeMismatch");
    check(Typed::Float64(1.5), &[("DateTime64(3)", "1500"), ("DateTime", "1"), ("Enum8('a' = 1)", "NotAnInteger")]);
}

#[test]
fn texts() {
    check(
        Typed::Text("12"),
        &[
            ("String", "\"12\""),
            ("FixedString(4)", "\"12\\0\\0\""),
            ("FixedString(1)", "TooLong"),
            ("Int8", "12"),
            ("UInt256", "12"),
            ("Float64", "12.0"),
            ("Decimal(9, 2)", "1200"),
            ("DateTime", "12"),
            ("Bool", "TypeMismatch"),
            ("Date", "InvalidTime"),
            ("Enum8('12' = 1)", "1"),
            ("Enum8('a' = 12)", "12"),
            ("Enum8('a' = 1)", "UnknownEnumValue"),
            ("UUID", "InvalidUuid"),
            ("IPv4", "InvalidAddress"),
            ("Nullable(String)", "\"12\""),
            ("LowCardinality(Nullable(String))", "\"12\""),
            ("LowCardinality(FixedString(2))", "\"12\""),
            ("Nullable(Int8)", "12"),
            ("Array(String)", "TypeMismatch"),
        ],
    );
    check(Typed::Text(""), &[("String", "\"\""), ("Int8", "InvalidNumber"), ("FixedString(1)", "\"\\0\"")]);
    check(Typed::Text("300"), &[("UInt8", "OutOfRange"), ("UInt16", "300")]);
    check(Typed::Text("-300"), &[("UInt16", "BelowRange"), ("Int8", "BelowRange")]);
    check(Typed::Text("2026-01-31T01:00:00+01:00"), &[("DateTime", "1769817600"), ("DateTime64(3)", "1769817600000")]);
    check(Typed::Text("2026-01-31 01:00:00"), &[("DateTime", "1769817600"), ("DateTime('UTC')", "1769821200")]);
    check(Typed::Text("2026-01-31"), &[("Date", "20484"), ("Date32", "20484"), ("DateTime('UTC')", "1769817600")]);
    check(Typed::Text("fe80::1"), &[("IPv6", "fe80::1"), ("IPv4", "InvalidAddress")]);
    check(Typed::Text("00112233-4455-6677-8899-aabbccddeeff"), &[("UUID", "00112233445566778899aabbccddeeff")]);
}

#[test]
fn bytes() {
    check(
        Typed::Bytes(b"1234"),
        &[
            ("String", "\"1234\""),
            ("FixedString(5)", "\"1234\\0\""),
            ("FixedString(3)", "TooLong"),
            ("IPv4", "49.50.51.52"),
            ("LowCardinality(String)", "\"1234\""),
            ("Nullable(FixedString(4))", "\"1234\""),
        ],
    );
    let kinds =
        ["UInt32", "Int64", "Float32", "Decimal(9, 2)", "Bool", "UUID", "IPv6", "Enum8('1234' = 1)", "Array(UInt8)"];
    refused(Typed::Bytes(b"1234"), &kinds, "TypeMismatch");
    refused(Typed::Bytes(b"1234"), &TIMES, "TypeMismatch");
    let sixteen: Vec<u8> = (0..16).collect();
    check(
        Typed::Bytes(&sixteen),
        &[
            ("UUID", "000102030405060708090a0b0c0d0e0f"),
            ("IPv6", "1:203:405:607:809:a0b:c0d:e0f"),
            ("IPv4", "TypeMismatch"),
            ("UInt128", "TypeMismatch"),
        ],
    );
    check(Typed::Bytes(b""), &[("String", "\"\""), ("FixedString(2)", "\"\\0\\0\""), ("IPv4", "TypeMismatch")]);
}

#[test]
fn enums() {
    check(
        Typed::Enum { name: Some("b"), number: 7 },
        &[
            ("Enum8('a' = 1, 'b' = 2)", "2"),
            ("Enum16('a' = 1, 'b' = 1000)", "1000"),
            ("Enum8('a' = 7)", "UnknownEnumValue"),
            ("String", "\"b\""),
            ("LowCardinality(String)", "\"b\""),
            ("FixedString(2)", "\"b\\0\""),
            ("UInt8", "7"),
            ("Int256", "7"),
            ("Nullable(Enum8('b' = 3))", "3"),
            ("Bool", "TypeMismatch"),
            ("Float64", "InvalidNumber"),
            ("Array(String)", "TypeMismatch"),
        ],
    );
    check(
        Typed::Enum { name: None, number: 300 },
        &[
            ("Enum16('x' = 300)", "300"),
            ("Enum16('x' = 1)", "UnknownEnumValue"),
            ("UInt8", "OutOfRange"),
            ("Int16", "300"),
            ("String", "\"300\""),
            ("LowCardinality(String)", "\"300\""),
            ("Float64", "UnknownEnumValue"),
        ],
    );
    refused(Typed::Enum { name: Some("b"), number: 1 }, &["DateTime", "Date"], "InvalidTime");
}

#[test]
fn decimals() {
    let decimal = |unscaled: i64, scale| Typed::Decimal { unscaled: I256::from(unscaled), scale };
    check(
        decimal(-12_345, 3),
        &[
            ("Decimal(9, 3)", "-12345"),
            ("Decimal(9, 2)", "-1234"),
            ("Decimal(76, 30)", "-12345000000000000000000000000000"),
            ("Decimal(4, 3)", "BelowRange"),
            ("Float64", "-12.345"),
            ("Float32", "-12.345"),
            ("Int32", "NotAnInteger"),
            ("String", "\"-12.345\""),
            ("Nullable(Decimal(9, 3))", "-12345"),
            ("LowCardinality(String)", "\"-12.345\""),
        ],
    );
    check(decimal(5, 0), &[("Int8", "5"), ("UInt64", "5"), ("Decimal(9, 2)", "500"), ("String", "\"5\"")]);
    check(decimal(5, 3), &[("String", "\"0.005\""), ("Decimal(9, 3)", "5"), ("Float64", "0.005")]);
    check(decimal(300, 0), &[("UInt8", "OutOfRange")]);
    check(decimal(-300, 0), &[("UInt16", "BelowRange")]);
    check(
        Typed::Decimal { unscaled: I256::MIN, scale: 76 },
        &[
            ("String", "\"-5.7896044618658097711785492504343953926634992332820282019728792003956564819968\""),
            ("Decimal(76, 76)", "BelowRange"),
            ("Decimal(76, 70)", "-57896044618658097711785492504343953926634992332820282019728792003956564"),
            ("Float64", "-5.789604461865809"),
        ],
    );
    check(
        Typed::Decimal { unscaled: I256::MIN, scale: 0 },
        &[("Int256", &I256::MIN.to_string()), ("Int128", "BelowRange")],
    );
    refused(decimal(5, 0), &["UUID", "FixedString(2)", "IPv4", "Array(Int8)"], "TypeMismatch");
}

#[test]
fn dates() {
    check(
        Typed::Date(20_484),
        &[
            ("Date", "20484"),
            ("Date32", "20484"),
            ("DateTime", "1769817600"),
            ("DateTime('America/New_York')", "1769817600"),
            ("DateTime64(6)", "1769817600000000"),
            ("Int32", "20484"),
            ("UInt8", "OutOfRange"),
            ("String", "\"2026-01-31\""),
            ("Nullable(Date)", "20484"),
            ("LowCardinality(String)", "\"2026-01-31\""),
        ],
    );
    check(
        Typed::Date(-1),
        &[("Date", "BelowRange"), ("Date32", "-1"), ("DateTime", "BelowRange"), ("String", "\"1969-12-31\"")],
    );
    check(Typed::Date(65_536), &[("Date", "OutOfRange"), ("Date32", "65536"), ("DateTime", "OutOfRange")]);
    check(Typed::Date(120_530), &[("Date32", "OutOfRange"), ("DateTime64(3)", "OutOfRange")]);
    // No calendar has it: a number is better than nothing, where the column is of texts.
    check(
        Typed::Date(i64::MAX),
        &[("String", "\"9223372036854775807\""), ("DateTime", "OutOfRange"), ("Date32", "OutOfRange")],
    );
    refused(Typed::Date(1), &["UUID", "FixedString(10)", "IPv6", "Tuple(Date)"], "TypeMismatch");
}

#[test]
fn timestamps() {
    check(
        Typed::Timestamp { ticks: 1_769_817_600_123, precision: 3 },
        &[
            ("DateTime64(3)", "1769817600123"),
            ("DateTime64(0)", "1769817600"),
            ("DateTime64(9)", "1769817600123000000"),
            ("DateTime", "1769817600"),
            ("Date", "20484"),
            ("Date32", "20484"),
            ("Int64", "1769817600123"),
            ("UInt32", "OutOfRange"),
            ("Float64", "1769817600123.0"),
            ("String", "\"2026-01-31T00:00:00.123Z\""),
            ("Nullable(DateTime64(3))", "1769817600123"),
            ("LowCardinality(String)", "\"2026-01-31T00:00:00.123Z\""),
        ],
    );
    let before = Typed::Timestamp { ticks: -1, precision: 6 };
    check(
        before,
        &[
            ("DateTime64(6)", "-1"),
            ("DateTime64(3)", "-1"),
            ("DateTime", "BelowRange"),
            ("Date", "BelowRange"),
            ("Date32", "-1"),
            ("String", "\"1969-12-31T23:59:59.999999Z\""),
            ("Int64", "-1"),
        ],
    );
    let far = Typed::Timestamp { ticks: i64::MAX, precision: 3 };
    check(
        far,
        &[
            ("DateTime64(3)", "OutOfRange"),
            ("DateTime", "OutOfRange"),
            ("Date", "OutOfRange"),
            ("String", "\"9223372036854775.807000000\""),
        ],
    );
    check(
        Typed::Timestamp { ticks: i64::MIN, precision: 0 },
        &[("DateTime64(3)", "BelowRange"), ("Date32", "BelowRange")],
    );
    check(Typed::Timestamp { ticks: 9_300_000_000, precision: 0 }, &[("DateTime64(9)", "OutOfRange")]);
    refused(before, &["UUID", "FixedString(30)", "IPv4", "Array(DateTime)"], "TypeMismatch");

    check(
        Typed::Instant { seconds: 1_769_817_600, nanos: 123_456_789 },
        &[
            ("DateTime64(9)", "1769817600123456789"),
            ("DateTime64(3)", "1769817600123"),
            ("DateTime", "1769817600"),
            ("Date", "20484"),
            ("Int64", "NotAnInteger"),
            ("Float64", "1769817600.1234567"),
            ("Decimal(38, 9)", "1769817600123456789"),
            ("String", "\"2026-01-31T00:00:00.123456789Z\""),
        ],
    );
    check(Typed::Instant { seconds: 5, nanos: 0 }, &[("Int64", "5"), ("UInt8", "5"), ("Decimal(9, 3)", "5000")]);
    check(
        Typed::Instant { seconds: -1, nanos: 250_000_000 },
        &[("Decimal(9, 3)", "-750"), ("DateTime64(3)", "-750"), ("Float64", "-0.75"), ("DateTime", "BelowRange")],
    );
}

#[test]
fn local_timestamps() {
    // Midnight in Berlin is 23:00 UTC of the day before.
    check(
        Typed::LocalTimestamp { ticks: 1_769_817_600_123, precision: 3 },
        &[
            ("DateTime64(3)", "1769814000123"),
            ("DateTime64(3, 'UTC')", "1769817600123"),
            ("DateTime", "1769814000"),
            ("DateTime('America/New_York')", "1769835600"),
            // A date is that of the clock, wherever it hangs.
            ("Date", "20484"),
            ("Date32", "20484"),
            ("Int64", "1769817600123"),
            ("String", "\"2026-01-31T00:00:00.123\""),
            ("Nullable(DateTime('UTC'))", "1769817600"),
        ],
    );
    refused(Typed::LocalTimestamp { ticks: i64::MAX, precision: 0 }, &["DateTime64(3)", "Date32"], "OutOfRange");
    refused(Typed::LocalTimestamp { ticks: i64::MIN, precision: 0 }, &["DateTime64(3)", "Date32"], "BelowRange");
}

#[test]
fn times_of_day_spans_and_durations() {
    check(
        Typed::TimeOfDay { ticks: 49_500_500, precision: 3 },
        &[
            ("String", "\"13:45:00.500\""),
            ("Int32", "49500500"),
            ("UInt8", "OutOfRange"),
            ("FixedString(12)", "\"13:45:00.500\""),
            ("LowCardinality(String)", "\"13:45:00.500\""),
            ("Date", "InvalidTime"),
            ("Array(String)", "TypeMismatch"),
        ],
    );
    check(Typed::TimeOfDay { ticks: 0, precision: 6 }, &[("String", "\"00:00:00\""), ("Int64", "0")]);
    check(
        Typed::Span { seconds: 1, nanos: 500_000_000 },
        &[
            ("String", "\"1.5s\""),
            ("Float64", "1.5"),
            ("Decimal(9, 3)", "1500"),
            ("Int64", "NotAnInteger"),
            ("FixedString(4)", "TypeMismatch"),
        ],
    );
    check(Typed::Span { seconds: 0, nanos: -1 }, &[("String", "\"-0.000000001s\""), ("Decimal(18, 9)", "-1")]);
    check(Typed::Span { seconds: -90, nanos: 0 }, &[("String", "\"-90s\""), ("Int8", "-90"), ("UInt8", "BelowRange")]);
    check(Typed::Span { seconds: 300, nanos: 0 }, &[("UInt8", "OutOfRange"), ("Nullable(UInt16)", "300")]);
    let duration = Typed::Duration { months: 1, days: 2, millis: 3_004 };
    check(
        duration,
        &[("String", "\"P1M2DT3.004S\""), ("LowCardinality(String)", "\"P1M2DT3.004S\""), ("Int64", "InvalidNumber")],
    );
    // Its bytes, as Avro has them; never its text, which may be as long.
    let bytes = r#"b"\x01\x00\x00\x00\x02\x00\x00\x00\xbc\x0b\x00\x00""#;
    check(
        duration,
        &[("FixedString(12)", bytes), ("Nullable(FixedString(12))", bytes), ("FixedString(11)", "TooLong")],
    );
}

#[test]
fn uuids() {
    check(
        Typed::Uuid(0x0011_2233_4455_6677_8899_aabb_ccdd_eeff),
        &[
            ("UUID", "00112233445566778899aabbccddeeff"),
            ("String", "\"00112233-4455-6677-8899-aabbccddeeff\""),
            ("UInt128", "88962710306127702866241727433142015"),
            ("Nullable(UUID)", "00112233445566778899aabbccddeeff"),
            ("LowCardinality(String)", "\"00112233-4455-6677-8899-aabbccddeeff\""),
            ("FixedString(15)", "TooLong"),
            ("Int128", "TypeMismatch"),
            ("IPv6", "TypeMismatch"),
        ],
    );
    check(Typed::Uuid(0x3031_3233_3435_3637_3839_6162_6364_6566), &[("FixedString(16)", "\"0123456789abcdef\"")]);
}

#[test]
fn json_of_every_kind() {
    let check = |value: Typed<'_>, expected: &str| {
        let mut json = Vec::new();
        write_json(value, &mut json);
        assert_eq!(String::from_utf8(json).unwrap(), expected, "{value:?}");
        serde_json::from_str::<serde_json::Value>(expected).unwrap();
    };
    check(Typed::Bool(true), "true");
    check(Typed::Int(-5), "-5");
    check(Typed::UInt(u64::MAX), "18446744073709551615");
    check(Typed::Float32(0.1), "0.1");
    check(Typed::Float64(1e300), "1e300");
    check(Typed::Float64(5.0), "5.0");
    check(Typed::Float64(f64::NAN), "\"NaN\"");
    check(Typed::Float32(f32::NEG_INFINITY), "\"-inf\"");
    check(Typed::Text("a\"\n\u{e9}"), "\"a\\\"\\n\u{e9}\"");
    check(Typed::Bytes(b"\xff\x00"), "\"/wA=\"");
    check(Typed::Enum { name: Some("on"), number: 1 }, "\"on\"");
    check(Typed::Enum { name: None, number: 1 }, "1");
    check(Typed::Decimal { unscaled: I256::from(-5), scale: 2 }, "-0.05");
    check(Typed::Date(0), "\"1970-01-01\"");
    check(Typed::Timestamp { ticks: 1, precision: 3 }, "\"1970-01-01T00:00:00.001Z\"");
    check(Typed::Instant { seconds: 0, nanos: 1 }, "\"1970-01-01T00:00:00.000000001Z\"");
    check(Typed::LocalTimestamp { ticks: 1, precision: 0 }, "\"1970-01-01T00:00:01\"");
    check(Typed::TimeOfDay { ticks: 1, precision: 0 }, "\"00:00:01\"");
    check(Typed::Span { seconds: 1, nanos: 0 }, "\"1s\"");
    check(Typed::Duration { months: 0, days: 0, millis: 1 }, "\"P0M0DT0.001S\"");
    check(Typed::Uuid(0), "\"00000000-0000-0000-0000-000000000000\"");
}
