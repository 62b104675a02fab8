//! What our Native block stores is what the engine's own JSONEachRow stores: for every column type,
//! on generated values that both must take.
//!
//! Where the two differ on purpose (JSONEachRow wraps numbers out of range, invents days, and reads
//! an empty text as 0; we refuse), the unit tests of the decoder say so.

use std::sync::Arc;

use devstack::Stack;
use devstack::http::Client;
use oncesink::block::native::{NativeBlock, NativeEncoder};
use oncesink::columns::{ColumnSpec, Columns, CoordinateKind, CoordinateSpec, DefaultValue, RowCoordinates, RowPlan};
use oncesink::decode::RecordDecoder;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

const VALUES_PER_TYPE: usize = 40;

/// How JSONEachRow reads: floats rounded correctly, RFC 3339 times taken, whatever the version's
/// defaults are.
const READ_SETTINGS: &str = "precise_float_parsing = 1, date_time_input_format = 'best_effort'";

fn one_of(choices: &'static [&'static str]) -> BoxedStrategy<String> {
    prop::sample::select(choices).prop_map(str::to_owned).boxed()
}

fn pattern(regex: &'static str) -> BoxedStrategy<String> {
    prop::string::string_regex(regex).expect("the pattern is valid").boxed()
}

fn quoted(text: BoxedStrategy<String>) -> BoxedStrategy<String> {
    text.prop_map(|text| serde_json::to_string(&text).expect("a text can be quoted")).boxed()
}

fn number(value: impl Strategy<Value = impl ToString> + 'static) -> BoxedStrategy<String> {
    let number = value.prop_map(|value| value.to_string()).boxed();
    prop_oneof![3 => number.clone(), 1 => quoted(number)].boxed()
}

fn digits(greatest: usize, negative: bool) -> BoxedStrategy<String> {
    let sign = if negative { "-?" } else { "" };
    let digits = format!("{sign}(0|[1-9][0-9]{{0,{}}})", greatest - 1);
    let strategy = prop::string::string_regex(&digits).expect("the pattern is valid");
    number(strategy.prop_filter("JSONEachRow refuses it", |text| text != "-0"))
}

fn float() -> BoxedStrategy<String> {
    prop_oneof![
        pattern("-?(0|[1-9][0-9]{0,18})(\\.[0-9]{1,20})?([eE][-+]?[0-9])?"),
        (-1e9..1e9_f64).prop_map(|float| float.to_string()),
        one_of(&["true", "false", "\"nan\"", "\"inf\"", "\"-inf\"", "\"1.5\"", "-0", "null"]),
    ]
    .boxed()
}

fn decimal(whole: usize, fraction: usize) -> BoxedStrategy<String> {
    let whole = if whole == 0 { "0".to_owned() } else { format!("(0|[1-9][0-9]{{0,{}}})", whole - 1) };
    let text = format!("-?{whole}(\\.[0-9]{{1,{}}})?", fraction + 3);
    number(prop::string::string_regex(&text).expect("the pattern is valid"))
}

fn string() -> BoxedStrategy<String> {
    let text = pattern("[a-zA-Z \"\\\\/\u{0}\u{1f}\n\u{e9}\u{4e2d}\u{1f600}]{0,24}");
    prop_oneof![
        4 => quoted(text),
        1 => one_of(&["5", "-1.50", "1e3", "true", "null", "{\"a\" : [1,  2]}", "[ 1, \"]\" ]", "\"\\ud83d\\ude00\\u0041\""]),
    ]
    .boxed()
}

fn label() -> BoxedStrategy<String> {
    one_of(&["\"a\"", "\"b\"", "\"\"", "\"long enough to be no small string\"", "null"])
}

fn date(years: &'static str) -> BoxedStrategy<String> {
    let text = format!("{years}-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])");
    prop::string::string_regex(&text).expect("the pattern is valid").boxed()
}

fn time(years: &'static str) -> BoxedStrategy<String> {
    let clock = "[ T]([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,9})?";
    let zone = one_of(&["", "", "", "Z", "+02:00", "-0530", "+00:00"]);
    let text = (date(years), pattern(clock), zone).prop_map(|(date, clock, zone)| format!("\"{date}{clock}{zone}\""));
    prop_oneof![6 => text, 1 => number(1_000_000_000..2_000_000_000_u32), 1 => quoted(date(years))].boxed()
}

fn list(item: BoxedStrategy<String>) -> BoxedStrategy<String> {
    prop::collection::vec(item, 0..5).prop_map(|items| format!("[{}]", items.join(", "))).boxed()
}

fn object(key: BoxedStrategy<String>, value: BoxedStrategy<String>) -> BoxedStrategy<String> {
    prop::collection::vec((key, value), 0..4)
        .prop_map(|fields| {
            let fields: Vec<_> = fields.iter().map(|(k, v)| format!("{k}: {v}")).collect();
            format!("{{{}}}", fields.join(","))
        })
        .boxed()
}

fn ip_v6() -> BoxedStrategy<String> {
    let groups = prop::collection::vec(any::<u16>().prop_map(|group| format!("{group:x}")), 8);
    let text = groups.prop_map(|groups| format!("\"{}\"", groups.join(":")));
    prop_oneof![text, one_of(&["\"::1\"", "\"1.2.3.4\"", "\"fe80::1:2\"", "\"::\""])].boxed()
}

fn uuid() -> BoxedStrategy<String> {
    quoted(pattern("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-fA-F]{12}"))
}

/// Every column type with values that both readers take.
fn types() -> Vec<(&'static str, BoxedStrategy<String>)> {
    const RECENT: &str = "20[0-9][0-9]";
    vec![
        ("Int8", number(any::<i8>())),
        ("Int16", number(any::<i16>())),
        ("Int32", number(any::<i32>())),
        ("Int64", number(any::<i64>())),
        ("Int128", number(any::<i128>())),
        ("Int256", digits(76, true)),
        ("UInt8", prop_oneof![number(any::<u8>()), one_of(&["true", "false", "null"])].boxed()),
        ("UInt16", number(any::<u16>())),
        ("UInt32", number(any::<u32>())),
        ("UInt64", number(any::<u64>())),
        ("UInt128", number(any::<u128>())),
        ("UInt256", digits(77, false)),
        ("Float32", float()),
        ("Float64", float()),
        ("BFloat16", float()),
        ("Bool", one_of(&["true", "false", "1", "0", "null"])),
        ("String", string()),
        ("FixedString(9)", quoted(pattern("[a-z\u{e9}]{0,4}"))),
        (
            "Date",
            prop_oneof![
                quoted(date(RECENT)),
                number(0..65_536).prop_filter("a bare number", |n| !n.starts_with('"')).boxed()
            ]
            .boxed(),
        ),
        ("Date32", quoted(date("(19|20|21|22)[0-9][0-9]"))),
        ("DateTime", time(RECENT)),
        ("DateTime('Europe/Berlin')", time("20[2-9][0-9]")),
        ("DateTime('America/New_York')", time("202[0-9]")),
        ("DateTime64(0)", time(RECENT)),
        ("DateTime64(3)", time("(19|20|21|22)[0-9][0-9]")),
        ("DateTime64(6, 'Asia/Kolkata')", time(RECENT)),
        ("DateTime64(9)", time("(19|20|21)[0-9][0-9]")),
        ("DateTime64(3, 'Australia/Lord_Howe')", time("20[0-2][0-9]")),
        ("UUID", uuid()),
        ("Decimal(9, 2)", decimal(7, 2)),
        ("Decimal(18, 18)", decimal(0, 18)),
        ("Decimal(38, 10)", decimal(28, 10)),
        ("Decimal(76, 30)", decimal(46, 30)),
        ("Enum8('a' = -1, 'b\\'s' = 2, '' = 0)", one_of(&["\"a\"", "\"b's\"", "\"\"", "2", "\"-1\""])),
        ("Enum16('x' = 1000, 'y' = -1000)", one_of(&["\"x\"", "\"y\"", "-1000"])),
        ("IPv4", any::<u32>().prop_map(|ip| format!("\"{}\"", std::net::Ipv4Addr::from(ip))).boxed()),
        ("IPv6", ip_v6()),
        ("Nullable(Int32)", prop_oneof![number(any::<i32>()), one_of(&["null"])].boxed()),
        ("Nullable(String)", string()),
        ("Nullable(DateTime64(3))", prop_oneof![time(RECENT), one_of(&["null"])].boxed()),
        ("LowCardinality(String)", prop_oneof![label(), string()].boxed()),
        ("LowCardinality(Nullable(String))", prop_oneof![label(), string()].boxed()),
        ("LowCardinality(Int64)", number(-3..3_i64)),
        ("LowCardinality(FixedString(3))", one_of(&["\"a\"", "\"abc\"", "\"\""])),
        ("Array(Int32)", prop_oneof![list(number(any::<i32>())), one_of(&["null", "[1, null]"])].boxed()),
        ("Array(Array(LowCardinality(Nullable(String))))", list(list(label()))),
        ("Array(LowCardinality(String))", one_of(&["[]"])),
        ("Map(String, Int32)", object(quoted(pattern("[a-c\n]{0,3}")), number(any::<i32>()))),
        (
            "Map(LowCardinality(String), Nullable(Float64))",
            object(quoted(pattern("[a-c]")), prop_oneof![float(), one_of(&["null"])].boxed()),
        ),
        ("Map(UInt16, Array(String))", object(quoted(pattern("[1-9][0-9]{0,3}")), list(string()))),
        (
            "Tuple(Int32, String, Array(UInt8))",
            (number(any::<i32>()), string(), list(number(any::<u8>())))
                .prop_map(|(a, b, c)| format!("[{a},{b},{c}]"))
                .boxed(),
        ),
        (
            "Tuple(a Int32, `b c` LowCardinality(String), d Tuple(e UInt8, f Nullable(String)))",
            one_of(&[
                "{\"b c\":\"q\",\"a\":1,\"d\":{\"f\":null,\"e\":3}}",
                "{}",
                "{\"z\":1,\"d\":{\"f\":\"x\"}}",
                "null",
                "{\"a\":null}",
            ]),
        ),
        (
            "Array(Tuple(k LowCardinality(String), v Map(String, Array(Decimal(9, 2)))))",
            list(
                (label(), object(quoted(pattern("[a-c]")), list(decimal(5, 2))))
                    .prop_map(|(k, v)| format!("{{\"k\":{k},\"v\":{v}}}"))
                    .boxed(),
            ),
        ),
    ]
}

#[test]
fn our_block_stores_what_json_each_row_stores() {
    let client = client();
    let mut random = TestRunner::deterministic();
    for (type_text, values) in types() {
        let values: Vec<_> =
            (0..VALUES_PER_TYPE).map(|_| values.new_tree(&mut random).expect("values can be made").current()).collect();
        check(&client, type_text, &values);
    }
}

/// Stores the values once by each way, and compares what the engine then shows.
fn check(client: &Client, type_text: &str, values: &[String]) {
    let ours = Scratch::new(client, &format!("_offset UInt64, x {type_text}"));
    let theirs = Scratch::new(client, &format!("_offset UInt64, x {type_text}"));

    let records: Vec<_> = values.iter().map(|value| format!("{{\"x\": {value}}}")).collect();
    let block = encode(client, &[("x", type_text, DefaultValue::TypeZero)], &records);
    ours.insert(&block, "x, _offset", "x, _offset");

    let rows = values.iter().enumerate();
    let lines: String = rows.map(|(offset, value)| format!("{{\"_offset\": {offset}, \"x\": {value}}}\n")).collect();
    let sql = format!("INSERT INTO {} SETTINGS {READ_SETTINGS} FORMAT JSONEachRow", theirs.name);
    post(client, &[("query", &sql)], lines.as_bytes());

    let shown = |table: &Scratch| {
        let sql = format!("SELECT _offset, x, hex(toString(x)) FROM {} ORDER BY _offset", table.name);
        client.query(&sql).expect("the engine answers")
    };
    let (ours, theirs) = (shown(&ours), shown(&theirs));
    assert_eq!(theirs.lines().count(), values.len(), "{type_text}");
    for ((ours, theirs), value) in ours.lines().zip(theirs.lines()).zip(values) {
        assert_eq!(ours, theirs, "{type_text} {value}");
    }
    assert_eq!(ours.lines().count(), values.len(), "{type_text}");
}

#[test]
fn a_default_that_only_the_server_knows_is_evaluated_by_it() {
    let client = client();
    let table = Scratch::new(&client, "_offset UInt64, a UInt32, b String DEFAULT concat('from ', toString(a))");
    let columns = [("a", "UInt32", DefaultValue::TypeZero), ("b", "String", DefaultValue::ServerSide)];
    let records = ["{\"a\":1,\"b\":\"given\"}", "{\"a\":2}", "{\"a\":3,\"b\":null}", "{\"a\":4,\"b\":\"\"}"];
    let block = encode(&client, &columns, &records.map(str::to_owned));
    table.insert(&block, "a, b, _offset", "a, if(_has_b, b, concat('from ', toString(a))) AS b, _offset");
    let sql = format!("SELECT b FROM {} ORDER BY _offset", table.name);
    assert_eq!(client.query(&sql).expect("the engine answers"), "given\nfrom 2\nfrom 3\n\n");
}

fn client() -> Client {
    let stack = Stack::shared().expect("the stack starts");
    Client::new(stack.clickhouse_url())
}

/// One block of all records, whose offsets count from 0.
fn encode(client: &Client, columns: &[(&str, &str, DefaultValue)], records: &[String]) -> NativeBlock {
    let columns = columns
        .iter()
        .map(|(name, text, default)| ColumnSpec::new(*name, *text, default.clone()).expect("the type is known"))
        .collect();
    let offset = CoordinateSpec::new(CoordinateKind::Offset, "_offset", "UInt64").expect("the type is known");
    let zone = client.query("SELECT timezone()").expect("the engine answers");
    let plan = Arc::new(RowPlan::new(columns, vec![offset], zone.trim()).expect("the columns fit"));
    let mut decoder = RecordDecoder::json(&plan);
    let mut columns = Columns::new(&plan).expect("the plan was checked");
    for (offset, record) in (0..).zip(records) {
        if let Err(error) = decoder.decode_value(record.as_bytes(), &mut columns) {
            panic!("{record}: {error}");
        }
        columns.commit_row(&RowCoordinates { topic: "t", partition: 0, offset, replay: 0 });
    }
    NativeEncoder::new().encode(&columns)
}

/// A table of its own, dropped at the end.
struct Scratch<'a> {
    client: &'a Client,
    name: String,
}

impl<'a> Scratch<'a> {
    fn new(client: &'a Client, columns: &str) -> Self {
        let name = format!("default.columns_{:032x}", rand::random::<u128>());
        let sql = format!("CREATE TABLE {name} ({columns}) ENGINE = MergeTree ORDER BY _offset");
        post(client, &[("allow_suspicious_low_cardinality_types", "1")], sql.as_bytes());
        Self { client, name }
    }

    /// Inserts as the sink does: one compressed Native block through `input()`.
    fn insert(&self, block: &NativeBlock, columns: &str, select: &str) {
        let structure: Vec<_> =
            block.body_columns.iter().map(|column| format!("{} {}", column.name, column.type_text)).collect();
        let structure = structure.join(", ").replace('\\', "\\\\").replace('\'', "\\'");
        let sql =
            format!("INSERT INTO {} ({columns}) SELECT {select} FROM input('{structure}') FORMAT Native", self.name);
        let settings = [("query", sql.as_str()), ("decompress", "1"), ("allow_suspicious_low_cardinality_types", "1")];
        post(self.client, &settings, &block.frames.concat());
    }
}

impl Drop for Scratch<'_> {
    fn drop(&mut self) {
        let dropped = self.client.query(&format!("DROP TABLE IF EXISTS {}", self.name));
        if let Err(error) = dropped
            && !std::thread::panicking()
        {
            panic!("drop {}: {error:#}", self.name);
        }
    }
}

fn post(client: &Client, parameters: &[(&str, &str)], body: &[u8]) {
    let reply = client.post(parameters, body).expect("the engine answers");
    assert!(reply.status == 200 && reply.code.is_none(), "{reply}\n{parameters:?}");
}
