//! What our Native block stores of CSV and of tab-separated text is what the engine's own formats store: for every type
//! that both read in the same way, on generated fields.
//!
//! Where the two differ on purpose: lists of texts, maps and tuples are JSON to us, and have a syntax of their own in
//! ClickHouse; a `Bool` may be quoted; a `Dynamic` takes a number in quotes as a number, and an object as one; numbers out of range and days that do not exist are refused; an empty field gives
//! the column's default also in an enum without 0, where ClickHouse fails, and in tab-separated text, where ClickHouse
//! does so by a setting only. There an empty field is an empty text to us in a `Nullable(String)` too.

use std::sync::Arc;

use devstack::http::Client;
use oncesink::block::native::NativeEncoder;
use oncesink::columns::{ColumnSpec, Columns, CoordinateKind, CoordinateSpec, DefaultValue, RowCoordinates, RowPlan};
use oncesink::decode::{CsvOptions, Format, RecordDecoder};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use super::columns::{Scratch, VALUES_PER_TYPE, client, post, value_of};

/// Floats rounded correctly, RFC 3339 times taken, empty fields as in CSV, whatever the version's defaults are.
const SETTINGS: &str =
    "precise_float_parsing = 1, date_time_input_format = 'best_effort', input_format_tsv_empty_as_default = 1";

/// A field before it is written.
#[derive(Debug, Clone)]
enum Field {
    Null,
    Empty,
    /// A text that may stand in quotes.
    Text(String),
    /// One that has to stand without.
    Bare(String),
}

fn texts(regex: &'static str) -> BoxedStrategy<Field> {
    prop::string::string_regex(regex).expect("the pattern is valid").prop_map(Field::Text).boxed()
}

fn values(value: impl Strategy<Value = impl ToString> + 'static) -> BoxedStrategy<Field> {
    value.prop_map(|value| Field::Text(value.to_string())).boxed()
}

fn bare(words: &'static [&'static str]) -> BoxedStrategy<Field> {
    prop::sample::select(words).prop_map(|word| Field::Bare(word.to_owned())).boxed()
}

fn or_nothing(fields: BoxedStrategy<Field>) -> BoxedStrategy<Field> {
    prop_oneof![6 => fields, 1 => Just(Field::Null), 1 => Just(Field::Empty)].boxed()
}

fn or_null(fields: BoxedStrategy<Field>) -> BoxedStrategy<Field> {
    prop_oneof![6 => fields, 1 => Just(Field::Null)].boxed()
}

const DAY: &str = "20[0-9][0-9]-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])";
const MOMENT: &str = "20[0-9][0-9]-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])[ T]([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]\
                      (\\.[0-9]{1,9})?(Z|\\+02:00|-0530)?";
const STRING: &str = "[a-zA-Z \",;'\\\\/\t\n\u{e9}\u{4e2d}\u{1f600}]{1,24}";
const FLOAT: &str = "-?(0|[1-9][0-9]{0,18})(\\.[0-9]{1,20})?([eE][-+]?[0-9])?";

/// The types whose fields both read in the same way.
fn types() -> Vec<(&'static str, BoxedStrategy<Field>)> {
    let truths =
        &["true", "TRUE", "t", "yes", "Y", "on", "enabled", "1", "false", "F", "no", "n", "Off", "disable", "0"];
    vec![
        ("Int8", or_null(values(any::<i8>()))),
        ("Int16", or_null(values(any::<i16>()))),
        ("Int32", or_nothing(values(any::<i32>()))),
        ("Int64", or_nothing(values(any::<i64>()))),
        ("Int128", or_null(values(any::<i128>()))),
        ("UInt8", or_nothing(values(any::<u8>()))),
        ("UInt64", or_nothing(values(any::<u64>()))),
        ("UInt256", or_null(texts("[1-9][0-9]{0,76}"))),
        ("Float32", or_nothing(texts(FLOAT))),
        ("Float64", or_nothing(prop_oneof![texts(FLOAT), bare(&["nan", "inf", "-inf"])].boxed())),
        ("Bool", or_nothing(bare(truths))),
        ("String", or_nothing(texts(STRING))),
        ("FixedString(9)", or_null(texts("[a-z\u{e9}]{1,4}"))),
        ("Date", or_nothing(texts(DAY))),
        ("Date32", or_nothing(texts(DAY))),
        (
            "DateTime('Europe/Berlin')",
            or_nothing(prop_oneof![texts(MOMENT), values(1_000_000_000..2_000_000_000_u32)].boxed()),
        ),
        ("DateTime64(3)", or_nothing(texts(MOMENT))),
        ("DateTime64(9, 'Asia/Kolkata')", or_nothing(texts(MOMENT))),
        ("UUID", or_nothing(texts("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"))),
        ("Decimal(9, 2)", or_nothing(texts("-?(0|[1-9][0-9]{0,6})(\\.[0-9]{1,5})?"))),
        ("Decimal(38, 10)", or_nothing(texts("-?(0|[1-9][0-9]{0,27})(\\.[0-9]{1,13})?"))),
        ("Enum8('a' = -1, 'it is' = 2)", values(prop::sample::select(&["a", "it is", "2", "-1"][..]))),
        ("IPv4", or_nothing(values(any::<u32>().prop_map(std::net::Ipv4Addr::from)))),
        ("IPv6", or_nothing(values(any::<u128>().prop_map(std::net::Ipv6Addr::from)))),
        ("Nullable(Int32)", or_null(values(any::<i32>()))),
        ("Nullable(String)", or_null(texts(STRING))),
        ("Nullable(DateTime64(3))", or_null(texts(MOMENT))),
        ("LowCardinality(String)", or_nothing(texts(STRING))),
        ("LowCardinality(Nullable(String))", or_null(texts("[ab]"))),
        ("LowCardinality(Int64)", or_null(values(-3..3_i64))),
        ("Time", or_nothing(texts("-?[0-9]{1,3}:[0-5][0-9]:[0-5][0-9]"))),
        ("Time64(3)", or_null(texts("-?[0-9]{2}:[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,3})?"))),
        (
            "JSON",
            or_nothing(values(prop::sample::select(&["{\"a\":1}", "{}", "{\"b\":{\"c\":\"x\"},\"d\":[1,2]}"][..]))),
        ),
        ("Variant(String, UInt64)", or_null(prop_oneof![texts("[b-e]{2,5}"), values(any::<u64>())].boxed())),
        ("Variant(Bool, Float64)", or_null(bare(&["true", "false", "1.5", "-3", "1"]))),
        ("Variant(Bool, String)", or_null(bare(&["true", "True", "t", "1", "no", "false"]))),
        (
            "Dynamic",
            or_null(
                prop_oneof![texts("[b-e]{2,5}"), bare(&["5", "-1.5", "true", "2024-01-31", "18446744073709551615"])]
                    .boxed(),
            ),
        ),
        ("Array(Int32)", texts("\\[(-?[1-9][0-9]{0,8}(, ?-?[1-9][0-9]{0,8}){0,4})?\\]")),
        ("Array(Array(UInt8))", texts("\\[(\\[\\]|\\[[1-9]\\]|\\[1,2\\])(,\\[5\\]){0,3}\\]")),
        ("Array(Float64)", texts("\\[-?[0-9]\\.[0-9]{1,5}(,[1-9]e[0-9]){0,3}\\]")),
    ]
}

/// How a format writes a field; `quoted` where either is right.
type Write = fn(&Field, quoted: bool) -> String;

fn as_csv(field: &Field, quoted: bool) -> String {
    match field {
        Field::Null => "\\N".to_owned(),
        Field::Empty => String::new(),
        Field::Bare(text) => text.clone(),
        Field::Text(text) => {
            // The engine takes blanks for a part of a text in quotes only, and reads `\N` in any text.
            let needs_quotes = text.contains([',', '"', '\n', '\\']) || text.trim_matches([' ', '\t']) != text;
            // A list without quotes ends at its first comma.
            match quoted || needs_quotes || text.starts_with('\'') {
                true => format!("\"{}\"", text.replace('"', "\"\"")),
                false => text.clone(),
            }
        }
    }
}

fn as_tab_separated(field: &Field, _quoted: bool) -> String {
    match field {
        Field::Null => "\\N".to_owned(),
        Field::Empty => String::new(),
        Field::Bare(text) | Field::Text(text) => {
            text.replace('\\', "\\\\").replace('\t', "\\t").replace('\n', "\\n").replace('\'', "\\'")
        }
    }
}

fn check(format_name: &str, options: CsvOptions, write: Write) {
    let client = client();
    let mut random = TestRunner::deterministic();
    let types = types();
    let names: Vec<String> = (0..types.len()).map(|number| format!("c{number}")).collect();
    let mut line = || -> String {
        let fields = types.iter().map(|(_, fields)| {
            let field = fields.new_tree(&mut random).expect("fields can be made").current();
            let quoted = any::<bool>().new_tree(&mut random).expect("truths can be made").current();
            write(&field, quoted)
        });
        fields.collect::<Vec<_>>().join(&char::from(options.delimiter).to_string())
    };
    let lines: Vec<String> = (0..4 * VALUES_PER_TYPE).map(|_| line()).collect();

    let columns: Vec<_> = names.iter().zip(&types).map(|(name, (kind, _))| format!("{name} {kind}")).collect();
    let columns = format!("_offset UInt64, {}", columns.join(", "));
    let (ours, theirs) = (Scratch::new(&client, &columns), Scratch::new(&client, &columns));
    let all = names.join(", ");
    insert_ours(&client, &ours, &names, &types, &lines, CsvOptions { columns: names.clone(), ..options.clone() });
    let sql = format!("INSERT INTO {} (_offset, {all}) SETTINGS {SETTINGS} FORMAT {format_name}", theirs.name);
    let delimiter = char::from(options.delimiter);
    let rows = lines.iter().enumerate();
    let body: String = rows.map(|(offset, line)| format!("{offset}{delimiter}{line}\n")).collect();
    post(&client, &[("query", &sql)], body.as_bytes());

    for (name, (kind, _)) in names.iter().zip(&types) {
        let type_of = match *kind {
            "Dynamic" => format!("dynamicType({name})"),
            "JSON" => format!("toString(JSONAllPathsWithTypes({name}))"),
            kind if kind.starts_with("Variant") => format!("variantType({name})"),
            _ => format!("isNull({name})"),
        };
        let shown = |table: &Scratch<'_>| {
            let sql = format!("SELECT _offset, {type_of}, hex(toString({name})) FROM {} ORDER BY _offset", table.name);
            client.query(&sql).expect("the engine answers")
        };
        let (ours, theirs) = (shown(&ours), shown(&theirs));
        assert_eq!(theirs.lines().count(), lines.len(), "{kind}");
        for ((ours, theirs), line) in ours.lines().zip(theirs.lines()).zip(&lines) {
            assert_eq!(ours, theirs, "{kind} as {name} of {line}");
        }
        assert_eq!(ours.lines().count(), lines.len(), "{kind}");
    }
}

fn insert_ours(
    client: &Client,
    table: &Scratch<'_>,
    names: &[String],
    types: &[(&str, BoxedStrategy<Field>)],
    lines: &[String],
    options: CsvOptions,
) {
    let spec = |(name, (kind, _)): (&String, &(&str, BoxedStrategy<Field>))| {
        ColumnSpec::new(name, *kind, DefaultValue::TypeZero).expect("the type is known")
    };
    let offset = CoordinateSpec::new(CoordinateKind::Offset, "_offset", "UInt64").expect("the type is known");
    let zone = client.query("SELECT timezone()").expect("the engine answers");
    let specs = names.iter().zip(types).map(spec).collect();
    let plan = Arc::new(RowPlan::new(specs, vec![offset], zone.trim()).expect("the columns fit"));
    let mut decoder = RecordDecoder::new(&plan, &Format::Csv(options), None).expect("the columns are named");
    let mut columns = Columns::new(&plan).expect("the plan was checked");
    for (offset, line) in (0..).zip(lines) {
        if let Err(error) = decoder.decode_value(line.as_bytes(), &mut columns) {
            panic!("{line}: {error}");
        }
        columns.commit_row(&RowCoordinates { topic: "t", partition: 0, offset, row: 0, replay: 0 });
    }
    let all = names.join(", ");
    let block = NativeEncoder::new().encode(&columns);
    let select: Vec<_> = names.iter().map(|name| value_of(name, &block)).collect();
    table.insert(&block, &format!("{all}, _offset"), &format!("{}, _offset", select.join(", ")));
}

#[test]
fn our_block_stores_what_csv_stores() {
    check("CSV", CsvOptions { trim: true, ..CsvOptions::default() }, as_csv);
}

#[test]
fn our_block_stores_what_tab_separated_text_stores() {
    check("TabSeparated", CsvOptions::tab_separated(), as_tab_separated);
}
