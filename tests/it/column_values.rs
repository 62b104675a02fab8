//! Column types and JSON values that they take, for `columns`.

use proptest::prelude::*;

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

/// `[-]hhh:mm:ss`, with up to so many digits behind it; seconds in quotes.
fn span(digits: usize) -> BoxedStrategy<String> {
    let fraction = if digits == 0 { String::new() } else { format!("(\\.[0-9]{{1,{digits}}})?") };
    let clock = format!("-?[0-9]{{1,3}}:[0-5][0-9]:[0-5][0-9]{fraction}");
    let clock = prop::string::string_regex(&clock).expect("the pattern is valid").boxed();
    prop_oneof![4 => quoted(clock), 1 => quoted(pattern("-?[0-9]{1,2}")), 1 => one_of(&["null"])].boxed()
}

fn point() -> BoxedStrategy<String> {
    (-180.0..180.0_f64, -90.0..90.0_f64).prop_map(|(x, y)| format!("[{x}, {y}]")).boxed()
}

/// A JSON object of few paths, whose types differ from one to the next.
fn json_object() -> BoxedStrategy<String> {
    let leaf = prop_oneof![
        one_of(&[
            "null",
            "true",
            "1",
            "-1.50",
            "\"\"",
            "\"2024-01-31\"",
            "\"2024-01-31 10:00:00\"",
            "18446744073709551615",
            "[]",
            "{}"
        ]),
        string_value(),
        list(number(any::<i32>())),
        list(one_of(&["1", "\"a\"", "null", "{\"x\": 1}"])),
    ];
    let fields = |value: BoxedStrategy<String>| {
        (value.clone(), value.clone(), value)
            .prop_map(|(a, b, c)| format!("{{\"a\": {a}, \"b c\" :{b},\"\u{e9}\":{c}}}"))
    };
    let inner = prop_oneof![3 => leaf.clone(), 1 => fields(leaf.boxed())].boxed();
    prop_oneof![6 => fields(inner), 1 => one_of(&["{}", "null", "{\"a.b\": 1}"])].boxed()
}

fn string_value() -> BoxedStrategy<String> {
    quoted(pattern("[a-z \"\\\\/\n\u{e9}\u{1f600}]{0,12}"))
}

fn dynamic() -> BoxedStrategy<String> {
    prop_oneof![
        one_of(&["null", "true", "false", "0.5", "1e3", "18446744073709551615", "9007199254740993"]),
        one_of(&["\"2024-01-31\"", "\"2024-01-31 10:00:00\"", "\"2024-01-31 10:00:00.5\"", "\"2024-01-31T10:00:00Z\""]),
        one_of(&[
            "[]",
            "[1, -2]",
            "[0.5, 2]",
            "[\"a\"]",
            "[true]",
            "[null, 1]",
            "[\"a\", null]",
            "[null]",
            "[0.5, null]"
        ]),
        string_value(),
        (-1_000_000..1_000_000_i64).prop_map(|number| number.to_string()),
    ]
    .boxed()
}

/// Types whose values say less of themselves as texts: with what shows the rest, and values that both readers take.
pub(crate) fn converted_types() -> Vec<(&'static str, &'static str, BoxedStrategy<String>)> {
    const PATHS: &str = "arraySort(mapKeys(JSONAllPathsWithTypes(x))), toString(JSONAllPathsWithTypes(x))";
    let plain =
        || prop_oneof![number(0..300), one_of(&["-5", "5.5", "true", "null", "\"a\"", "\"1\"", "[1, 2]"])].boxed();
    vec![
        ("JSON", PATHS, json_object()),
        ("JSON(max_dynamic_paths=1, a Nullable(String), SKIP `b c`)", PATHS, json_object()),
        (
            "JSON(n.m UInt32)",
            PATHS,
            one_of(&["{\"n\": {\"m\": 5}}", "{\"n.m\": \"7\"}", "{}", "null", "{\"n\":{\"o\":1}}"]),
        ),
        ("Nullable(JSON)", "isNull(x)", json_object()),
        ("Array(JSON)", "arrayMap(one -> JSONAllPathsWithTypes(one), x)", list(json_object())),
        ("Map(String, JSON)", "1", object(quoted(pattern("[a-c]")), json_object())),
        ("Tuple(a JSON, b Int64)", "1", json_object().prop_map(|json| format!("{{\"a\": {json}, \"b\": 7}}")).boxed()),
        ("Dynamic", "dynamicType(x)", dynamic()),
        ("Dynamic(max_types=1)", "dynamicType(x)", dynamic()),
        ("Array(Dynamic)", "arrayMap(one -> dynamicType(one), x)", list(dynamic())),
        (
            "Array(Tuple(k Dynamic, j JSON, n UInt8))",
            "arrayMap(one -> dynamicType(one.1), x)",
            list((dynamic(), json_object()).prop_map(|(k, j)| format!("{{\"k\": {k}, \"j\": {j}, \"n\": 3}}")).boxed()),
        ),
        ("Variant(Array(UInt64), String, UInt64)", "variantType(x)", plain()),
        ("Variant(Bool, Float64, Int8, String)", "variantType(x)", plain()),
        (
            "Variant(Date, DateTime64(3), LowCardinality(String), UUID)",
            "variantType(x)",
            prop_oneof![uuid(), quoted(date("20[0-9][0-9]")), one_of(&["\"a\"", "\"b\"", "null"])].boxed(),
        ),
        (
            "Variant(Array(Nullable(Int64)), Map(String, Int64), Tuple(a Array(Int64), b String))",
            "variantType(x)",
            one_of(&["[1, null]", "{\"a\": [1], \"b\": \"x\"}", "{\"k\": 5}", "null", "[]"]),
        ),
        ("Array(Variant(LowCardinality(String), UInt8))", "arrayMap(one -> variantType(one), x)", list(plain())),
        ("Variant(Decimal(9, 2), String)", "variantType(x)", one_of(&["1.5", "\"1.5\"", "7", "null", "\"a\""])),
    ]
}

/// Every column type with values that both readers take.
pub(crate) fn types() -> Vec<(&'static str, BoxedStrategy<String>)> {
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
        ("Time", span(0)),
        ("Time64(0)", span(0)),
        ("Time64(3)", span(5)),
        ("Time64(9)", span(9)),
        ("Nullable(Time)", prop_oneof![span(0), one_of(&["null"])].boxed()),
        ("Map(LowCardinality(String), Nullable(Time))", object(quoted(pattern("[a-c]")), span(0))),
        ("LowCardinality(Nullable(FixedString(5)))", one_of(&["\"a\"", "\"abcde\"", "\"\"", "null"])),
        ("Point", point()),
        ("Ring", list(point())),
        ("LineString", list(point())),
        ("MultiPoint", list(point())),
        ("Polygon", list(list(point()))),
        ("MultiLineString", list(list(point()))),
        ("MultiPolygon", list(list(list(point())))),
        ("SimpleAggregateFunction(sum, UInt64)", number(any::<u64>())),
        ("SimpleAggregateFunction(anyLast, Nullable(String))", string()),
        ("SimpleAggregateFunction(groupArrayArray, Array(String))", list(label())),
        ("SimpleAggregateFunction(max, Time)", span(0)),
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
