//! What our Native block stores is what the engine's own JSONEachRow stores: for every column type,
//! on generated values that both must take.
//!
//! Where the two differ on purpose (JSONEachRow wraps numbers out of range, invents days, and reads
//! an empty text as 0; we refuse), the unit tests of the decoder say so.

use std::sync::Arc;

use devstack::Stack;
use devstack::http::Client;
use oncesink::block::native::{NativeBlock, NativeEncoder};
use oncesink::columns::{
    ColumnSpec, Columns, CoordinateKind, CoordinateSpec, DefaultValue, Path, RowCoordinates, RowPlan, Source, Step,
};
use oncesink::decode::RecordDecoder;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;

use crate::column_values::{converted_types, types};

pub(super) const VALUES_PER_TYPE: usize = 40;

/// How JSONEachRow reads: floats rounded correctly, RFC 3339 times taken, whatever the version's
/// defaults are.
const READ_SETTINGS: &str = "precise_float_parsing = 1, date_time_input_format = 'best_effort'";

#[test]
fn our_block_stores_what_json_each_row_stores() {
    let client = client();
    let mut random = TestRunner::deterministic();
    for (type_text, values) in types() {
        let values: Vec<_> =
            (0..VALUES_PER_TYPE).map(|_| values.new_tree(&mut random).expect("values can be made").current()).collect();
        check(&client, type_text, "1", &values);
    }
}

#[test]
fn what_the_server_makes_of_our_texts_is_what_json_each_row_stores() {
    let client = client();
    let mut random = TestRunner::deterministic();
    for (type_text, shown, values) in converted_types() {
        let values: Vec<_> =
            (0..VALUES_PER_TYPE).map(|_| values.new_tree(&mut random).expect("values can be made").current()).collect();
        check(&client, type_text, shown, &values);
    }
}

/// Stores the values once by each way, and compares what the engine then shows of them, and what `shown` says.
fn check(client: &Client, type_text: &str, shown: &str, values: &[String]) {
    let ours = Scratch::new(client, &format!("_offset UInt64, x {type_text}"));
    let theirs = Scratch::new(client, &format!("_offset UInt64, x {type_text}"));

    let records: Vec<_> = values.iter().map(|value| format!("{{\"x\": {value}}}")).collect();
    let block = encode(client, &[("x", type_text, DefaultValue::TypeZero)], &records);
    ours.insert(&block, "x, _offset", &format!("{}, _offset", value_of("x", &block)));

    let rows = values.iter().enumerate();
    let lines: String = rows.map(|(offset, value)| format!("{{\"_offset\": {offset}, \"x\": {value}}}\n")).collect();
    let sql = format!("INSERT INTO {} SETTINGS {READ_SETTINGS} FORMAT JSONEachRow", theirs.name);
    post(client, &[("query", &sql)], lines.as_bytes());

    let shown = |table: &Scratch| {
        let sql = format!("SELECT _offset, x, hex(toString(x)), {shown} FROM {} ORDER BY _offset", table.name);
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

#[test]
fn texts_and_types_of_a_value_that_differ_from_json_each_row_on_purpose() {
    let client = client();
    // A column's type, a value, what we store of it and what JSONEachRow stores.
    let check = |type_text: &str, value: &str, ours: &str, theirs: &str| {
        let shown = match type_text {
            "Dynamic" => "dynamicType(x)",
            text if text.starts_with("Variant") => "variantType(x)",
            _ => "'-'",
        };
        let one = |table: &Scratch| {
            client
                .query(&format!("SELECT {shown}, x FROM {}", table.name))
                .expect("the engine answers")
                .trim_end_matches('\n')
                .to_owned()
        };
        let (our_table, their_table) = (scratch(&client, type_text), scratch(&client, type_text));
        let record = format!("{{\"x\": {value}}}");
        let block = encode(&client, &[("x", type_text, DefaultValue::TypeZero)], std::slice::from_ref(&record));
        our_table.insert(&block, "x, _offset", &format!("{}, _offset", value_of("x", &block)));
        let sql = format!("INSERT INTO {} SETTINGS {READ_SETTINGS} FORMAT JSONEachRow", their_table.name);
        post(&client, &[("query", &sql)], record.as_bytes());
        assert_eq!((one(&our_table).as_str(), one(&their_table).as_str()), (ours, theirs), "{type_text} {value}");
    };
    // Seconds, as in quotes and as in every other column of times.
    check("Time64(3)", "5", "-\t00:00:05.000", "-\t00:00:00.005");
    // An object keeps its names and may have others in the next row.
    check("Dynamic", "{\"a\":1}", "JSON\t{\"a\":1}", "Tuple(a Int64)\t(1)");
    // Texts in a list stay texts.
    check("Dynamic", "[\"2024-01-31\"]", "Array(String)\t['2024-01-31']", "Array(Date)\t['2024-01-31']");
    // What a number column of its own would refuse is a text.
    check("Variant(String, UInt64)", "\"\"", "String\t", "UInt64\t0");
    check("Variant(String, UInt64)", "\"true\"", "String\ttrue", "UInt64\t1");
    check("Variant(Float64, String)", "1e400", "String\t1e400", "Float64\tinf");
}

#[test]
fn a_nested_column_is_a_list_of_objects() {
    let client = client();
    let table = Scratch::with(&client, "_offset UInt64, n Nested(a UInt8, `b c` String, j JSON)", "flatten_nested");
    let records =
        ["{\"n\": [{\"a\": 1, \"b c\": \"x\", \"j\": {\"k\": 1}}, {\"a\": 2}]}", "{\"n\": []}", "{}", "{\"n\": [{}]}"];
    let type_text =
        client.query(&format!("SELECT type FROM system.columns WHERE name = 'n' AND table = '{}'", table.table()));
    let type_text = type_text.expect("the engine answers");
    let block = encode(&client, &[("n", type_text.trim(), DefaultValue::TypeZero)], &records.map(str::to_owned));
    table.insert(&block, "n, _offset", &format!("{} AS n, _offset", value_of("n", &block)));
    let sql = format!("SELECT toJSONString(n) FROM {} ORDER BY _offset", table.name);
    assert_eq!(
        client.query(&sql).expect("the engine answers"),
        "[{\"a\":1,\"b c\":\"x\",\"j\":{\"k\":1}},{\"a\":2,\"b c\":\"\",\"j\":{}}]\n[]\n[]\n\
         [{\"a\":0,\"b c\":\"\",\"j\":{}}]\n"
    );
}

#[test]
fn a_flattened_nested_column_is_a_column_per_field() {
    let client = client();
    let table = Scratch::new(&client, "_offset UInt64, n Nested(a UInt8, b String)");
    let columns = [("n.a", "Array(UInt8)", DefaultValue::TypeZero), ("n.b", "Array(String)", DefaultValue::ServerSide)];
    let path = |spec: ColumnSpec| {
        let path = spec.name.split('.').map(|field| Step::Field(field.to_owned())).collect();
        spec.from_source(Source::Value(Path(path)))
    };
    let records = ["{\"n\": {\"a\": [1, 2], \"b\": [\"x\", \"y\"]}}", "{\"n\": {\"a\": [3]}}", "{}"];
    let block = encode_with(&client, &columns, path, &records.map(str::to_owned));
    let fallback = "arrayMap(_ -> 'none', `n.a`)";
    table.insert(
        &block,
        "`n.a`, `n.b`, _offset",
        &format!("`n.a`, if(`_has_n.b`, `n.b`, {fallback}) AS `n.b`, _offset"),
    );
    let sql = format!("SELECT `n.a`, n.b FROM {} ORDER BY _offset", table.name);
    assert_eq!(client.query(&sql).expect("the engine answers"), "[1,2]\t['x','y']\n[3]\t['none']\n[]\t[]\n");
}

#[test]
fn a_list_of_objects_fills_a_flattened_nested_as_json_each_row_fills_one_that_is_not() {
    let client = client();
    let columns = "_offset UInt64, n Nested(a UInt8, b Array(Nullable(String)))";
    let (ours, theirs) = (Scratch::new(&client, columns), Scratch::with(&client, columns, "flatten_nested"));
    let path = |spec: ColumnSpec| {
        let path = Path(spec.name.split('.').map(|field| Step::Field(field.to_owned())).collect());
        spec.from_source(Source::Value(path))
    };
    let lists = [
        "[]",
        "[{\"a\": 1, \"b\": [\"x\", null]}, {\"b\": []}]",
        "[{}, {\"a\": 3}]",
        "[{\"c\": {\"a\": 9}, \"a\": 4}]",
    ];
    let records = lists.map(|list| format!("{{\"n\": {list}}}"));
    let types = [
        ("n.a", "Array(UInt8)", DefaultValue::TypeZero),
        ("n.b", "Array(Array(Nullable(String)))", DefaultValue::TypeZero),
    ];
    let block = encode_with(&client, &types, path, &records);
    ours.insert(&block, "`n.a`, `n.b`, _offset", "`n.a`, `n.b`, _offset");
    let lines = lists.iter().enumerate();
    let lines: String = lines.map(|(offset, list)| format!("{{\"_offset\": {offset}, \"n\": {list}}}\n")).collect();
    let sql = format!("INSERT INTO {} SETTINGS {READ_SETTINGS} FORMAT JSONEachRow", theirs.name);
    post(&client, &[("query", &sql)], lines.as_bytes());
    let shown = |table: &Scratch| {
        client.query(&format!("SELECT n.a, n.b FROM {} ORDER BY _offset", table.name)).expect("the engine answers")
    };
    assert_eq!(shown(&ours).lines().count(), lists.len());
    assert_eq!(shown(&ours), shown(&theirs));
}

#[test]
fn a_default_beside_a_text_that_the_server_reads_is_of_the_same_type() {
    let client = client();
    let table =
        Scratch::new(&client, "_offset UInt64, j JSON DEFAULT '{\"d\": 1}', v Variant(String, UInt8) DEFAULT 5");
    let columns = [("j", "JSON", DefaultValue::ServerSide), ("v", "Variant(String, UInt8)", DefaultValue::ServerSide)];
    let records = ["{\"j\": {\"k\": \"x\"}, \"v\": \"y\"}", "{}", "{\"j\": null, \"v\": null}"];
    let block = encode(&client, &columns, &records.map(str::to_owned));
    let json = value_of("j", &block);
    table.insert(
        &block,
        "j, v, _offset",
        &format!(
            "if(_has_j, {json}, CAST('{{\"d\": 1}}', 'JSON')) AS j, \
             if(_has_v, v, CAST(5, 'Variant(String, UInt8)')) AS v, _offset"
        ),
    );
    let sql = format!("SELECT j, v, variantType(v) FROM {} ORDER BY _offset", table.name);
    let expected = "{\"k\":\"x\"}\ty\tString\n{\"d\":1}\t5\tUInt8\n{\"d\":1}\t\\N\tNone\n";
    assert_eq!(client.query(&sql).expect("the engine answers"), expected);
}

/// The expression of a column, as the statement has it.
pub(super) fn value_of(name: &str, block: &NativeBlock) -> String {
    let column = block.body_columns.iter().find(|column| column.name == name).expect("the block has the column");
    column.conversion.clone().unwrap_or_else(|| name.to_owned())
}

fn scratch<'a>(client: &'a Client, type_text: &str) -> Scratch<'a> {
    Scratch::new(client, &format!("_offset UInt64, x {type_text}"))
}

pub(super) fn client() -> Client {
    let stack = Stack::shared().expect("the stack starts");
    Client::new(stack.clickhouse_url())
}

/// One block of all records, whose offsets count from 0.
fn encode(client: &Client, columns: &[(&str, &str, DefaultValue)], records: &[String]) -> NativeBlock {
    encode_with(client, columns, |spec| spec, records)
}

/// The same, with columns changed.
fn encode_with(
    client: &Client,
    columns: &[(&str, &str, DefaultValue)],
    change: impl Fn(ColumnSpec) -> ColumnSpec,
    records: &[String],
) -> NativeBlock {
    let columns = columns
        .iter()
        .map(|(name, text, default)| change(ColumnSpec::new(*name, *text, default.clone()).expect("the type is known")))
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
        columns.commit_row(&RowCoordinates { topic: "t", partition: 0, offset, row: 0, replay: 0 });
    }
    NativeEncoder::new().encode(&columns)
}

/// A table of its own, dropped at the end.
pub(super) struct Scratch<'a> {
    client: &'a Client,
    pub(super) name: String,
}

impl<'a> Scratch<'a> {
    pub(super) fn new(client: &'a Client, columns: &str) -> Self {
        Self::with(client, columns, "")
    }

    /// With a setting turned off.
    fn with(client: &'a Client, columns: &str, off: &str) -> Self {
        let name = format!("default.columns_{:032x}", rand::random::<u128>());
        let sql = format!("CREATE TABLE {name} ({columns}) ENGINE = MergeTree ORDER BY _offset");
        let mut settings = TYPE_SETTINGS.to_vec();
        settings.extend([(off, "0")].iter().filter(|(name, _)| !name.is_empty()));
        post(client, &settings, sql.as_bytes());
        Self { client, name }
    }

    /// The name without the database.
    fn table(&self) -> &str {
        self.name.trim_start_matches("default.")
    }

    /// Inserts as the sink does: one compressed Native block through `input()`.
    pub(super) fn insert(&self, block: &NativeBlock, columns: &str, select: &str) {
        let structure: Vec<_> =
            block.body_columns.iter().map(|column| format!("`{}` {}", column.name, column.type_text)).collect();
        let structure = structure.join(", ").replace('\\', "\\\\").replace('\'', "\\'");
        let sql =
            format!("INSERT INTO {} ({columns}) SELECT {select} FROM input('{structure}') FORMAT Native", self.name);
        let mut settings = vec![("query", sql.as_str()), ("decompress", "1")];
        settings.extend(TYPE_SETTINGS);
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

/// What lets every type be made; an insert of the sink sends those that its types need.
const TYPE_SETTINGS: [(&str, &str); 3] = [
    ("allow_suspicious_low_cardinality_types", "1"),
    ("allow_suspicious_variant_types", "1"),
    ("enable_time_time64_type", "1"),
];

pub(super) fn post(client: &Client, parameters: &[(&str, &str)], body: &[u8]) {
    let reply = client.post(parameters, body).expect("the engine answers");
    assert!(reply.status == 200 && reply.code.is_none(), "{reply}\n{parameters:?}");
}
