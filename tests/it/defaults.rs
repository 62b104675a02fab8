//! What a row gets that lacks columns: what the engine's own insert gives it, for constants of all types, and for
//! expressions that read other columns of any kind.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use crate::support::scenario::Scenario;

/// Constants of each type that are generated.
const CONSTANTS_PER_TYPE: usize = 3;

fn fixed(texts: &'static [&'static str]) -> BoxedStrategy<String> {
    prop::sample::select(texts).prop_map(str::to_owned).boxed()
}

fn number(value: impl Strategy<Value = impl ToString> + 'static) -> BoxedStrategy<String> {
    value.prop_map(|value| value.to_string()).boxed()
}

/// A literal of a text, with every byte that may be in one.
fn text(bytes: std::ops::Range<usize>) -> BoxedStrategy<String> {
    let plain =
        prop::string::string_regex("[a-z '\"\\\\\n\t\u{e9}\u{4e2d}\u{1f600}]{0,12}").expect("the pattern is valid");
    let plain = plain.prop_map(|text| format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'")));
    let binary = prop::collection::vec(any::<u8>(), bytes.clone());
    let binary = binary.prop_map(|bytes| {
        bytes.iter().fold(String::from("'"), |mut text, byte| {
            write!(text, "\\x{byte:02X}").unwrap();
            text
        }) + "'"
    });
    if bytes.end > 13 { prop_oneof![plain, binary].boxed() } else { binary.boxed() }
}

fn float(type_text: &'static str) -> BoxedStrategy<String> {
    prop_oneof![
        2 => fixed(&["nan", "NaN", "inf", "-inf", "-0.0", "1e-300", "0x1p4", "-(-1.5)"]),
        1 => number(any::<f32>().prop_filter("a literal is finite", |float| float.is_finite())),
        1 => number(any::<i16>()).prop_map(move |number| format!("CAST('{number}.25', '{type_text}')")),
    ]
    .boxed()
}

/// One of its literals, and what converts it.
fn integer(
    type_text: &'static str,
    narrow: BoxedStrategy<String>,
    large: &'static [&'static str],
) -> BoxedStrategy<String> {
    let texts = fixed(large).prop_map(move |text| format!("to{type_text}('{text}')"));
    let cast = narrow.clone().prop_map(move |number| format!("{number}::{type_text}"));
    prop_oneof![2 => narrow, 1 => cast, 1 => texts, 1 => fixed(&["NOT 1", "true", "2 * 3 - 4", "0x1F"])].boxed()
}

fn uuid() -> BoxedStrategy<String> {
    let digits = any::<u128>().prop_map(|id| {
        let id = format!("{id:032x}");
        format!("'{}-{}-{}-{}-{}'", &id[..8], &id[8..12], &id[12..16], &id[16..20], &id[20..])
    });
    prop_oneof![digits.clone(), digits.prop_map(|text| format!("toUUID({text})"))].boxed()
}

fn nullable(inner: BoxedStrategy<String>) -> BoxedStrategy<String> {
    prop_oneof![2 => inner, 1 => fixed(&["NULL"])].boxed()
}

fn list(inner: BoxedStrategy<String>) -> BoxedStrategy<String> {
    prop::collection::vec(inner, 0..4).prop_map(|items| format!("[{}]", items.join(", "))).boxed()
}

fn types() -> Vec<(&'static str, BoxedStrategy<String>)> {
    let small = || number(0_i32..100);
    let long = || text(0..20);
    vec![
        ("Int8", integer("Int8", number(any::<i16>()), &["-128", "127"])),
        ("Int16", integer("Int16", number(any::<i16>()), &["-32768"])),
        ("Int32", integer("Int32", number(any::<i32>()), &["-2147483648"])),
        ("Int64", integer("Int64", number(any::<i64>()), &["-9223372036854775808"])),
        ("Int128", integer("Int128", number(any::<i64>()), &["-170141183460469231731687303715884105728"])),
        (
            "Int256",
            integer("Int256", number(any::<i128>()), &["-5789604461865809771178549250434395392663499233282028"]),
        ),
        ("UInt8", integer("UInt8", number(any::<u16>()), &["255"])),
        ("UInt16", integer("UInt16", number(any::<u16>()), &["65535"])),
        ("UInt32", integer("UInt32", number(any::<u32>()), &["4294967295"])),
        ("UInt64", integer("UInt64", number(any::<u64>()), &["18446744073709551615"])),
        ("UInt128", integer("UInt128", number(any::<u64>()), &["340282366920938463463374607431768211455"])),
        ("UInt256", integer("UInt256", number(any::<u128>()), &["11579208923731619542357098500868790785326998466564"])),
        ("Float32", float("Float32")),
        ("Float64", float("Float64")),
        ("BFloat16", fixed(&["1.5", "-3", "nan", "-inf"])),
        ("Bool", fixed(&["true", "FALSE", "1", "0", "'yes'", "toBool(1)"])),
        ("Decimal(9, 2)", fixed(&["1.5", "-1.25", "7", "'3.14'", "toDecimal32('9999999.99', 2)"])),
        (
            "Decimal(38, 10)",
            fixed(&["1.5", "'-9999999999999999999999999999.9999999999'", "CAST('0.0000000001', 'Decimal(38, 10)')"]),
        ),
        ("Decimal(76, 20)", fixed(&["-2", "toDecimal256('123456789012345678901234567890.5', 20)"])),
        ("String", long()),
        ("FixedString(5)", prop_oneof![text(0..6), fixed(&["toFixedString('ab', 5)"])].boxed()),
        ("Date", fixed(&["'2024-02-29'", "toDate('1970-01-01')", "19000", "date'2149-06-06'"])),
        ("Date32", fixed(&["'1900-01-01'", "toDate32('2299-12-31')", "-5"])),
        (
            "DateTime",
            fixed(&["'2024-05-01 10:00:00'", "toDateTime('2024-05-01 10:00:00', 'Asia/Tokyo')", "1700000000", "0"]),
        ),
        ("DateTime('Europe/Berlin')", fixed(&["'2024-05-01 10:00:00'", "1700000000"])),
        (
            "DateTime64(3)",
            fixed(&["'2024-05-01 10:00:00.125'", "toDateTime64('1969-12-31 23:59:59.5', 3, 'UTC')", "1.5"]),
        ),
        ("DateTime64(9, 'UTC')", fixed(&["'2024-05-01 10:00:00.123456789'", "0"])),
        ("Time", fixed(&["'12:30:00'", "-5", "'-999:59:59'"])),
        ("Time64(3)", fixed(&["'12:30:00.125'", "CAST('-0:00:01.5', 'Time64(3)')"])),
        ("UUID", uuid()),
        ("IPv4", fixed(&["'10.0.0.1'", "toIPv4('255.255.255.255')", "CAST('1.2.3.4', 'IPv4')", "5"])),
        ("IPv6", fixed(&["'fe80::1'", "toIPv6('1.2.3.4')", "'::'"])),
        (
            "Enum8('a' = -1, 'it\\'s' = 2)",
            fixed(&["'a'", "'it\\'s'", "2", "CAST('a', 'Enum8(\\'a\\' = -1, \\'it\\\\\\'s\\' = 2)')"]),
        ),
        ("Enum16('x' = 1000, '' = -5)", fixed(&["'x'", "''", "-5"])),
        ("LowCardinality(String)", long()),
        ("LowCardinality(Nullable(String))", nullable(long())),
        ("LowCardinality(FixedString(3))", text(0..4)),
        ("LowCardinality(Int32)", number(any::<i32>())),
        ("Nullable(Float64)", nullable(float("Float64"))),
        ("Nullable(String)", nullable(long())),
        ("Nullable(UUID)", nullable(uuid())),
        ("Nullable(DateTime64(3))", fixed(&["NULL", "'2024-05-01 10:00:00.125'"])),
        ("Array(UInt8)", list(small())),
        ("Array(Array(Nullable(Int16)))", list(list(nullable(small())))),
        ("Array(LowCardinality(Nullable(String)))", list(nullable(text(1..20)))),
        ("Array(Tuple(UInt8, String))", list((small(), text(1..20)).prop_map(|(a, b)| format!("({a}, {b})")).boxed())),
        (
            "Map(String, Float64)",
            (long(), float("Float64")).prop_map(|(key, value)| format!("map({key}, {value})")).boxed(),
        ),
        ("Map(LowCardinality(String), Array(UInt8))", fixed(&["map()", "map('a', [1, 2], 'b', [])"])),
        (
            "Tuple(a UInt8, b Nullable(String))",
            (small(), nullable(long())).prop_map(|(a, b)| format!("({a}, {b})")).boxed(),
        ),
        ("Point", fixed(&["(1.5, -inf)", "(0, nan)"])),
        ("Variant(String, UInt8)", fixed(&["5", "'x'", "NULL"])),
        ("SimpleAggregateFunction(max, Int32)", number(any::<i32>())),
        ("JSON", fixed(&["'{\"a\": 1, \"b\": [\"x\"]}'", "'{}'"])),
        ("Dynamic", fixed(&["5", "'x'", "[1, 2]"])),
    ]
}

/// Defaults that read other columns.
const READING: &str = "\
    at DateTime('UTC') DEFAULT '2024-05-06 01:02:03', day Date MATERIALIZED toDate(at), \
    month String DEFAULT formatDateTime(day, '%Y-%m'), upper String ALIAS upper(month), \
    size UInt64 DEFAULT length(upper), ip_text String EPHEMERAL, ip IPv4 DEFAULT toIPv4OrDefault(ip_text), \
    ip_size UInt8 MATERIALIZED length(ip_text), word String EPHEMERAL 'none', word2 String EPHEMERAL concat(word, '!'), \
    words String DEFAULT word2, chain UInt16 DEFAULT link + 1, link UInt8 DEFAULT 254 + id, \
    hidden UInt8 EPHEMERAL id + 1, next UInt8 MATERIALIZED hidden + 1, over UInt8 DEFAULT next + 1, \
    document JSON, named String DEFAULT document.name, pair Tuple(x UInt8, y String), part UInt8 DEFAULT pair.x, \
    list Nested(a UInt8, b String), first UInt8 DEFAULT list.a[1], narrow UInt8 DEFAULT id + 300, number String DEFAULT id + 1, \
    low LowCardinality(String) DEFAULT concat('n', toString(id)), none Nullable(UInt8) DEFAULT nullIf(id, 0), \
    left_out UInt8 DEFAULT 7, beside UInt8 DEFAULT left_out + 1, `od``d, name` UInt8 DEFAULT id + 3, `_has_at` UInt8 ALIAS 1";

/// The same, where two inserts differ by nature.
const UNIQUE: &str = "\
    unique UUID DEFAULT generateUUIDv4(), of_unique String DEFAULT toString(unique), \
    made_of_unique String MATERIALIZED toString(unique), of_made String DEFAULT made_of_unique, \
    moment DateTime DEFAULT now(), of_topic String DEFAULT concat(_topic, '/', toString(_offset))";

/// What records give, each as JSON and as the engine's insert has it.
const GIVEN: [(&str, &str); 5] = [
    ("", ""),
    (r#""ip_text":"10.0.0.1","word":"w""#, "ip_text,word|'10.0.0.1','w'"),
    (r#""word2":"w2","at":"2020-02-03 00:00:00","link":9"#, "word2,at,link|'w2','2020-02-03 00:00:00',9"),
    (
        r#""document":{"name":"n"},"pair":{"x":4,"y":"y"},"list.a":[6],"list.b":["x"],"hidden":40"#,
        "document,pair,list.a,list.b,hidden|'{\"name\":\"n\"}',(4,'y'),[6],['x'],40",
    ),
    (
        r#""month":"m","size":1,"ip":"1.1.1.1","ip_text":"2.2.2.2","chain":3,"over":4,"named":"x","part":5,"number":"six""#,
        "month,size,ip,ip_text,chain,over,named,part,number|'m',1,'1.1.1.1','2.2.2.2',3,4,'x',5,'six'",
    ),
];

#[test]
fn a_row_without_columns_gets_what_the_engine_gives_it() {
    let mut random = TestRunner::deterministic();
    let mut columns = String::new();
    let mut constants: BTreeMap<String, String> = BTreeMap::new();
    for (kind, values) in types() {
        let mut seen: Vec<String> = Vec::new();
        for _ in 0..CONSTANTS_PER_TYPE {
            let constant = values.new_tree(&mut random).expect("values can be made").current();
            if seen.contains(&constant) {
                continue;
            }
            let name = format!("c{}", constants.len());
            // Every other one is made by the server, row by row.
            let default = if seen.len().is_multiple_of(2) {
                constant.clone()
            } else {
                format!("if(id > 1000, {constant}, {constant})")
            };
            write!(columns, "{name} {kind} DEFAULT {default}, ").unwrap();
            constants.insert(name, format!("{kind} DEFAULT {default}"));
            seen.push(constant);
        }
    }
    let mut scenario = Scenario::shared("defaults", 1);
    scenario.table = format!("{}.wide", scenario.database);
    scenario.topic_lines.push("columns: { left_out: $none }".to_owned());
    let coordinates = "_topic LowCardinality(String), _partition Int32, _offset UInt64, _replay UInt32";
    let twin = format!("{}.twin", scenario.database);
    for table in [&scenario.table, &twin] {
        scenario.servers.query(&format!(
            "CREATE TABLE {table} (id UInt64, temp Float64, sensor String, {columns} {READING}, {UNIQUE}, {coordinates}, \
             INDEX offsets _offset TYPE minmax) ENGINE = MergeTree ORDER BY id SETTINGS \
             allow_suspicious_low_cardinality_types = 1, allow_suspicious_variant_types = 1, enable_time_time64_type = 1"
        ));
    }
    let payloads: Vec<(i32, String)> = (0..10_usize)
        .map(|id| {
            let given = GIVEN[id % 5].0;
            let comma = if given.is_empty() { "" } else { "," };
            (0, format!(r#"{{"id":{id}{comma}{given}}}"#))
        })
        .collect();
    scenario.produce_payloads(&payloads);
    let mut connector = scenario.start("a");
    scenario.wait_until_done();
    let (code, text) = scenario.run(&["verify", "--complete", "--contents"]);
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("ip_text (EPHEMERAL)"), "{text}");
    assert_eq!(connector.terminate(), Some(0), "{}", connector.log());

    for id in 0..10_usize {
        // The engine finds parts of a column only where an insert names the column.
        let given = GIVEN[id % 5].1;
        let given = if given.contains("document") {
            given.to_owned()
        } else {
            format!("document,pair,{}", given.replace('|', "|'{}',(0,''),"))
        };
        let given = if given.contains('|') { given } else { format!("{given}|'{{}}',(0,'')") };
        let (names, values) = given.split_once('|').unwrap_or_default();
        let names: Vec<String> =
            names.split(',').filter(|name| !name.is_empty()).map(|name| format!(", `{name}`")).collect();
        let comma = if values.is_empty() { "" } else { "," };
        let names = names.concat();
        scenario.servers.query(&format!(
            "INSERT INTO {twin} (_topic, _offset, id{names}) VALUES ('{}', {id}, {id}{comma}{values})",
            scenario.topic
        ));
    }
    let except = "_partition, unique, of_unique, of_made, moment";
    // As a person sees them, which names the column, and bit by bit; paths of JSON come in any order.
    for shown in ["", "APPLY (x -> if(toTypeName(x) = 'JSON', '', hex(formatRow('RowBinary', x))))"] {
        let read = |table: &str| {
            let columns = format!("* EXCEPT ({except}) {shown}, day, ip_size, next");
            scenario.servers.query(&format!("SELECT {columns} FROM {table} ORDER BY id FORMAT Vertical"))
        };
        let (ours, theirs) = (read(&scenario.table), read(&twin));
        for (ours, theirs) in ours.lines().zip(theirs.lines()) {
            let column = constants.iter().find(|(name, _)| ours.split([':', ' ', ',', ')']).any(|word| word == **name));
            assert_eq!(ours, theirs, "{column:?}");
        }
        assert_eq!(ours, theirs);
    }
    let unique = format!(
        "SELECT uniqExact(unique), countIf(toString(unique) = of_unique AND made_of_unique = of_unique \
         AND of_made = of_unique AND moment > now() - 600) FROM {}",
        scenario.table
    );
    assert_eq!(scenario.servers.query(&unique), "10\t10\n");
    refused(&scenario);
}

/// What cannot be had is told before a record is read.
fn refused(scenario: &Scenario) {
    let (code, text) = scenario.run(&["check", "--connect"]);
    assert_eq!(code, 0, "{text}");
    let database = &scenario.database;
    scenario.servers.query(&format!(
        "CREATE DICTIONARY {database}.names (id UInt64, name String) PRIMARY KEY id \
         SOURCE(NULL()) LAYOUT(FLAT()) LIFETIME(0)"
    ));
    scenario.servers.query(&format!(
        "ALTER TABLE {} ADD COLUMN chance UUID MATERIALIZED generateUUIDv4(), ADD COLUMN of_chance String DEFAULT toString(chance), \
         ADD COLUMN looked_up String DEFAULT dictGet('{database}.names', 'name', id)",
        scenario.table
    ));
    let (code, text) = scenario.run(&["check", "--connect"]);
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("column of_chance of"), "{text}");
    assert!(text.contains("chance, which the server makes anew each time (MATERIALIZED generateUUIDv4())"), "{text}");
    assert!(!text.contains("looked_up"), "{text}");
    scenario
        .servers
        .query(&format!("ALTER TABLE {} MODIFY COLUMN chance UUID DEFAULT generateUUIDv4()", scenario.table));
    scenario.servers.query(&format!("DROP DICTIONARY {database}.names SETTINGS check_table_dependencies = 0"));
    let (code, text) = scenario.run(&["check", "--connect"]);
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("column looked_up of"), "{text}");
    assert!(text.contains("its DEFAULT cannot be evaluated"), "{text}");
    assert!(!text.contains("of_chance"), "{text}");
}
