//! What the names of Kafka Connect and Debezium say of a value.

use super::{Table, long, outcome, plan, record, sized, spec};

/// A type of this name, as Connect's converter writes it.
fn named(kind: &str, name: &str) -> String {
    format!("{{\"type\": \"{kind}\", \"connect.version\": 1, \"connect.name\": \"{name}\"}}")
}

/// A value of this type and these bytes into columns of these types: what is stored, or a code. Alone, and as a nullable
/// element of a list inside a record.
fn check(schema: &str, bytes: impl AsRef<[u8]>, cases: &[(&str, &str)]) {
    let bytes = bytes.as_ref();
    for (column, expected) in cases {
        let mut table = Table::new(plan(vec![spec("v", column)]), &record("R", &[("v", schema)]));
        assert_eq!(outcome(&mut table, bytes), *expected, "{schema} into {column}");

        let list = format!("{{\"type\": \"array\", \"items\": [\"null\", {schema}]}}");
        let inner = record("I", &[("list", &list), ("v", &format!("[{schema}, \"null\"]"))]);
        let is_record = schema.contains("\"record\"");
        if is_record || column.starts_with("Array") || column.starts_with("Map") {
            continue;
        }
        let spec = spec("r", &format!("Tuple(list Array({column}), v {column})"));
        let mut table = Table::new(plan(vec![spec]), &record("R", &[("r", &inner)]));
        let bytes = [long(1), long(1), bytes.to_vec(), long(0), long(0), bytes.to_vec()].concat();
        let stored = outcome(&mut table, &bytes);
        assert!(
            stored == *expected || stored == format!("([{expected}], {expected})"),
            "{schema} into {column}: {stored}"
        );
    }
}

#[test]
fn times_have_the_unit_of_their_name() {
    let micros = 1_700_000_000_123_456;
    check(
        &named("long", "io.debezium.time.MicroTimestamp"),
        long(micros),
        &[
            ("DateTime64(6)", "1700000000123456"),
            ("DateTime64(3)", "1700000000123"),
            ("DateTime", "1700000000"),
            ("Date", "19675"),
            ("Int64", "1700000000123456"),
            ("String", "\"2023-11-14T22:13:20.123456Z\""),
        ],
    );
    // By its size it would be seconds.
    check(
        &named("long", "io.debezium.time.MicroTimestamp"),
        long(86_400_000_000),
        &[("DateTime64(6)", "86400000000"), ("DateTime", "86400"), ("Date32", "1")],
    );
    check(&named("long", "io.debezium.time.MicroTimestamp"), long(-1), &[("DateTime64(6)", "-1")]);
    for name in ["io.debezium.time.Timestamp", "org.apache.kafka.connect.data.Timestamp"] {
        check(&named("long", name), long(5_000), &[("DateTime64(3)", "5000"), ("DateTime", "5")]);
    }
    check(
        &named("long", "io.debezium.time.NanoTimestamp"),
        long(86_400_000_000_001),
        &[("DateTime64(9)", "86400000000001"), ("Date", "1")],
    );
    for name in ["io.debezium.time.Date", "org.apache.kafka.connect.data.Date"] {
        check(
            &named("int", name),
            long(19_000),
            &[
                ("Date", "19000"),
                ("Date32", "19000"),
                ("DateTime", "1641600000"),
                ("DateTime64(3)", "1641600000000"),
                ("Int32", "19000"),
                ("String", "\"2022-01-08\""),
            ],
        );
    }
    for name in ["io.debezium.time.Time", "org.apache.kafka.connect.data.Time"] {
        check(
            &named("int", name),
            long(3_661_001),
            &[("Time64(3)", "3661001"), ("Time", "3661"), ("Int32", "3661001"), ("String", "\"01:01:01.001\"")],
        );
    }
    check(&named("long", "io.debezium.time.MicroTime"), long(3_661_000_001), &[("Time64(6)", "3661000001")]);
    check(&named("long", "io.debezium.time.NanoTime"), long(3_661_000_000_001), &[("Time64(9)", "3661000000001")]);
    check(&named("long", "io.debezium.time.MicroDuration"), long(90_000_000), &[("Time", "90"), ("Int64", "90000000")]);
    check(
        &named("int", "io.debezium.time.Year"),
        long(2_024),
        &[
            ("UInt16", "2024"),
            ("Date", "19723"),
            ("DateTime", "1704067200"),
            ("String", "\"2024\""),
            ("Time", "type_mismatch"),
        ],
    );
    // A name that the type is not made for says nothing.
    check(&named("int", "io.debezium.time.MicroTimestamp"), long(7), &[("DateTime", "7")]);
    check(&named("long", "io.debezium.time.Unheard"), long(7), &[("DateTime", "7")]);
    check(&named("long", "io.debezium.time.Date"), long(7), &[("Date", "7"), ("DateTime", "7")]);
    // A logical type beside the name is the same, or outranks it.
    let both = "{\"type\": \"int\", \"connect.version\": 1, \"connect.name\": \"org.apache.kafka.connect.data.Date\", \
                \"logicalType\": \"date\"}";
    check(both, long(1), &[("DateTime", "86400")]);
    let other =
        "{\"type\": \"long\", \"connect.name\": \"io.debezium.time.Timestamp\", \"logicalType\": \"timestamp-micros\"}";
    check(other, long(1_000_000), &[("DateTime", "1")]);
}

#[test]
fn texts_with_a_meaning() {
    check(
        &named("string", "io.debezium.time.ZonedTimestamp"),
        sized("2024-05-01T10:00:00.5+02:00"),
        &[("DateTime64(3)", "1714550400500"), ("String", "\"2024-05-01T10:00:00.5+02:00\"")],
    );
    let zoned = named("string", "io.debezium.time.ZonedTime");
    check(&zoned, sized("10:15:30.5Z"), &[("Time64(3)", "36930500"), ("Time", "36930"), ("String", "\"10:15:30.5Z\"")]);
    check(&zoned, sized("00:15:30+01:00"), &[("Time", "83730")]);
    check(&zoned, sized("noon"), &[("Time", "invalid_time")]);
    check(&named("string", "io.debezium.time.IsoTime"), sized("10:15:30Z"), &[("Time", "36930")]);
    check(
        &named("string", "io.debezium.time.IsoDate"),
        sized("2017-09-15Z"),
        &[("Date", "17424"), ("Date32", "17424"), ("LowCardinality(String)", "\"2017-09-15Z\"")],
    );
    check(
        &named("string", "io.debezium.data.Uuid"),
        sized("61f0c404-5cb3-11e7-907b-a6006ad3dba0"),
        &[
            ("UUID", "61f0c4045cb311e7907ba6006ad3dba0"),
            ("String", "\"61f0c404-5cb3-11e7-907b-a6006ad3dba0\""),
            ("FixedString(36)", "\"61f0c404-5cb3-11e7-907b-a6006ad3dba0\""),
        ],
    );
    let json = named("string", "io.debezium.data.Json");
    check(
        &json,
        sized("{\"a\": 1}"),
        &[
            ("Map(String, UInt8)", "{\"a\": 1}"),
            ("String", "\"{\\\"a\\\": 1}\""),
            ("Nullable(String)", "\"{\\\"a\\\": 1}\""),
        ],
    );
    check(&json, sized("[1, 2]"), &[("Array(UInt8)", "[1, 2]"), ("UInt8", "invalid_number")]);
    check(
        &named("string", "io.debezium.data.Enum"),
        sized("b"),
        &[("Enum8('a' = 1, 'b' = 2)", "2"), ("String", "\"b\"")],
    );
    let set = named("string", "io.debezium.data.EnumSet");
    check(&set, sized("a,b"), &[("Array(String)", "[\"a\", \"b\"]"), ("String", "\"a,b\"")]);
    check(&set, sized(""), &[("Array(LowCardinality(String))", "[]"), ("String", "\"\"")]);
    check(&named("string", "io.debezium.data.Xml"), sized("<a/>"), &[("String", "\"<a/>\"")]);
}

#[test]
fn bytes_with_a_meaning() {
    let decimal = |more: &str| {
        format!("{{\"type\": \"bytes\", \"connect.name\": \"org.apache.kafka.connect.data.Decimal\"{more}}}")
    };
    let price = &[("Decimal(9, 2)", "1234"), ("Float64", "12.34"), ("String", "\"12.34\"")];
    check(&decimal(", \"connect.parameters\": {\"scale\": \"2\"}"), sized([4, 0xD2]), price);
    let twice =
        ", \"scale\": 2, \"precision\": 64, \"logicalType\": \"decimal\", \"connect.parameters\": {\"scale\": \"2\"}";
    check(&decimal(twice), sized([4, 0xD2]), price);
    // Without a scale it is bytes, as ever.
    check(&decimal(""), sized([4, 0xD2]), &[("Decimal(9, 2)", "type_mismatch")]);
    let bits = named("bytes", "io.debezium.data.Bits");
    check(
        &bits,
        sized([0x05, 0x01]),
        &[
            ("UInt16", "261"),
            ("UInt8", "out_of_range"),
            ("UInt128", "261"),
            ("Bool", "out_of_range"),
            ("FixedString(2)", "\"\\u{5}\\u{1}\""),
        ],
    );
    check(&bits, sized([1, 0, 0]), &[("UInt8", "1"), ("Bool", "true")]);
    check(&bits, sized([0; 3]), &[("UInt8", "0")]);
    check(
        &bits,
        sized([[0xFF; 8].as_slice(), &[1]].concat()),
        &[("UInt128", "36893488147419103231"), ("UInt64", "out_of_range")],
    );
}

#[test]
fn a_decimal_with_its_own_scale() {
    let schema = |fields: &[(&str, &str)]| {
        let record = record("V", fields);
        format!("{}, \"connect.name\": \"io.debezium.data.VariableScaleDecimal\"}}", record.strip_suffix('}').unwrap())
    };
    let first = schema(&[("scale", "\"int\""), ("value", "\"bytes\"")]);
    let bytes = [long(2), sized([4, 0xD2])].concat();
    check(
        &first,
        &bytes,
        &[
            ("Decimal(9, 2)", "1234"),
            ("Nullable(Decimal(9, 2))", "1234"),
            ("Decimal(38, 4)", "123400"),
            ("Float64", "12.34"),
            ("String", "\"12.34\""),
            ("Int32", "not_an_integer"),
            ("Tuple(scale Int32, value String)", "(2, b\"\\x04\\xd2\")"),
        ],
    );
    check(
        &schema(&[("value", "\"bytes\""), ("scale", "\"int\"")]),
        [sized([4, 0xD2]), long(2)].concat(),
        &[("Decimal(9, 2)", "1234")],
    );
    check(&first, [long(-2), sized([5])].concat(), &[("UInt16", "500"), ("Decimal(9, 2)", "50000")]);
    check(
        &schema(&[("scale", "\"int\"")]),
        long(2),
        &[("Decimal(9, 2)", "type_mismatch"), ("String", "\"{\\\"scale\\\":2}\"")],
    );
    // Inside of others, as text and by its name.
    let twice = record(
        "R",
        &[("v", &format!("[\"null\", {first}]")), ("w", "\"V\""), ("x", "{\"type\": \"map\", \"values\": \"V\"}")],
    );
    let columns = [("v", "Nullable(Decimal(9, 2))"), ("w", "Decimal(9, 2)"), ("x", "Map(String, Decimal(9, 2))")];
    let mut table = Table::new(plan(columns.iter().map(|(name, kind)| spec(name, kind)).collect()), &twice);
    table.push([long(1), bytes.clone(), bytes.clone(), long(1), sized("k"), bytes.clone(), long(0)].concat()).unwrap();
    assert_eq!(table.stored(), "1234 / 1234 / {\"k\": 1234}");
    let mut table = Table::new(plan(vec![spec("o", "String")]), &record("O", &[("o", &twice)]));
    table.push([long(1), bytes.clone(), bytes.clone(), long(1), sized("k"), bytes, long(0)].concat()).unwrap();
    assert_eq!(table.stored(), "\"{\\\"v\\\":12.34,\\\"w\\\":12.34,\\\"x\\\":{\\\"k\\\":12.34}}\"");
}

#[test]
fn the_schema_that_is_read_as_decides() {
    let writer = record("R", &[("v", &named("long", "io.debezium.time.MicroTimestamp"))]);
    for (reader, expected) in [
        (named("long", "io.debezium.time.MicroTimestamp"), "1"),
        ("{\"type\": \"long\", \"logicalType\": \"timestamp-micros\"}".to_owned(), "1"),
        ("{\"type\": \"long\", \"logicalType\": \"local-timestamp-micros\"}".to_owned(), "1"),
        ("{\"type\": \"long\", \"logicalType\": \"timestamp-millis\"}".to_owned(), "1000"),
        ("\"long\"".to_owned(), "1000000"),
    ] {
        let reader = record("R", &[("v", &reader)]);
        let mut table = Table::read_as(plan(vec![spec("v", "DateTime")]), &writer, &reader).unwrap();
        assert_eq!(outcome(&mut table, &long(1_000_000)), expected, "{reader}");
    }
}
