//! What a record may look like: bytes that are not what the schema says, framing, paths, and fields that nobody takes.

use super::{Table, bare, long, outcome, plan, record, sized, spec};
use crate::block::test_reader;
use crate::columns::{OnError, RowPlan, Source, UnknownFields};
use crate::decode::avro::cursor::DEPTH_MAX;
use crate::decode::avro::shape::BYTELESS_MAX;
use crate::decode::{AvroFraming, AvroSchema, ErrorCode, Stage};

/// A record of one field `v` of this type, which no column takes, one that takes it as JSON, and `w`, an int behind it.
/// Expects the byte at which it fails, with its code where that is another than of invalid Avro; `ok` where it does not.
fn check(schema: &str, bytes: impl AsRef<[u8]>, expected: &str) {
    let schema = record("R", &[("v", schema), ("w", "\"int\"")]);
    for columns in [&["w"][..], &["v", "w"]] {
        let plan = plan(columns.iter().map(|name| spec(name, "String")).collect());
        let mut table = Table::new(plan, &schema);
        let got = match table.push(bytes.as_ref()) {
            Ok(()) => "ok".to_owned(),
            Err(error) => {
                let at = error.reason.split("at byte ").nth(1).unwrap().split(':').next().unwrap().to_owned();
                if error.code == ErrorCode::InvalidAvro { at } else { format!("{at} {}", error.code) }
            }
        };
        assert_eq!(got, expected, "{schema} {:x?} {columns:?}", bytes.as_ref());
    }
}

#[test]
fn bytes_that_are_not_what_the_schema_says() {
    let after = |bytes: Vec<u8>| [bytes, long(1)].concat();
    check("\"null\"", [2], "ok");
    check("\"null\"", [], "0 empty");
    check("\"null\"", [2, 0], "1 trailing_data");
    check("\"boolean\"", [2, 2], "0");
    check("\"boolean\"", [1], "1");
    check("\"int\"", [0x80], "0");
    check("\"int\"", [0xFF, 0xFF, 0xFF, 0xFF, 0x0F, 2], "ok");
    check("\"int\"", [0x80, 0x80, 0x80, 0x80, 0x10, 2], "0");
    // Longer than it need be, but no longer than ten bytes.
    check("\"int\"", [0x82, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00, 2], "ok");
    check("\"long\"", [[0xFF; 9].as_slice(), &[0x01, 2]].concat(), "ok");
    check("\"long\"", [[0xFF; 9].as_slice(), &[0x02, 2]].concat(), "0");
    check("\"long\"", [[0x80; 10].as_slice(), &[0x00, 2]].concat(), "0");
    check("\"float\"", [0; 3], "0");
    check("\"double\"", [0; 7], "0");
    check("\"string\"", [10, b'a'], "0");
    check("\"string\"", [1], "0");
    check("\"bytes\"", after(long(i64::MAX)), "0");
    check("\"bytes\"", after(long(i64::MIN)), "0");
    check("{\"type\": \"fixed\", \"name\": \"F\", \"size\": 3}", [0; 2], "0");
    check("{\"type\": \"fixed\", \"name\": \"F\", \"size\": 1073741824}", [0; 2], "0");
    check("{\"type\": \"enum\", \"name\": \"E\", \"symbols\": [\"A\"]}", [2, 2], "0");
    check("{\"type\": \"enum\", \"name\": \"E\", \"symbols\": [\"A\"]}", [1, 2], "0");
    check("[\"int\"]", [2, 2], "0");
    check("[\"int\"]", [1, 2], "0");
    check("[\"int\", \"string\"]", [2], "1");
}

#[test]
fn numbers_of_every_length() {
    let schema = record("R", &[("v", "\"long\""), ("rest", "\"string\"")]);
    let mut table = Table::new(plan(vec![spec("v", "Int64")]), &schema);
    let mut expected = Vec::new();
    for bits in 0..64 {
        for value in [1_i64 << bits, (1_i64 << bits).wrapping_sub(1), -1 << bits, (0x0123_4567_89AB_CDEF >> bits)] {
            // With many bytes behind the number, and with few.
            for text in ["", "a text of some length"] {
                table.push([long(value), sized(text)].concat()).unwrap();
                expected.push(value.to_string());
            }
        }
    }
    assert_eq!(table.stored(), expected.join(" "));
}

#[test]
fn blocks_of_lists_and_maps() {
    let list = "{\"type\": \"array\", \"items\": \"int\"}";
    let map = "{\"type\": \"map\", \"values\": \"int\"}";
    check(list, [0, 2], "ok");
    check(list, [2, 8, 4, 8, 10, 0, 2], "ok");
    // A negative count: the block's length in bytes follows.
    check(list, [3, 4, 8, 8, 0, 2], "ok");
    check(list, [3, 4, 8, 8, 1, 2, 8, 0, 2], "ok");
    check(list, [2, 8], "2");
    check(list, [1, 0x80], "1");
    check(list, [3, 0x7E, 8, 8, 0, 2], "0");
    check(list, [1, 1, 8, 0, 2], "0");
    check(list, [&long(i64::MIN)[..], &[2, 8, 0, 2]].concat(), "0");
    check(list, [&long(1 << 60)[..], &[8, 0, 2]].concat(), "0");
    check(list, [10, 8, 8], "0");
    check(map, [0, 2], "ok");
    check(map, [2, 2, b'k', 8, 0, 2], "ok");
    check(map, [1, 6, 2, b'k', 8, 0, 2], "ok");
    check(map, [2, 2], "1");
    check(map, [&long(1 << 60)[..], &[8, 0, 2]].concat(), "0");
    // Where it is looked at, a block is as long as its writer said.
    for bytes in [[3, 6, 8, 8, 0, 2], [3, 2, 8, 8, 0, 2]] {
        let schema = record("R", &[("v", list), ("w", "\"int\"")]);
        let mut table = Table::new(plan(vec![spec("v", "Array(Int32)")]), &schema);
        let error = table.push(bytes).unwrap_err();
        assert_eq!(error.code, ErrorCode::InvalidAvro, "{error}");
    }
}

#[test]
fn items_without_bytes_are_bounded() {
    let most = i64::from(BYTELESS_MAX);
    let nulls = |count| [long(count), long(0), long(1)].concat();
    let list = "{\"type\": \"array\", \"items\": \"null\"}";
    check(list, nulls(1_000), "ok");
    check(list, nulls(most), "ok");
    check(list, nulls(most + 1), "0");
    check(list, nulls(1 << 60), "0");
    check(list, [long(most), long(1), long(0), long(1)].concat(), "3");
    check(
        "{\"type\": \"array\", \"items\": {\"type\": \"fixed\", \"name\": \"F\", \"size\": 0}}",
        nulls(most + 1),
        "0",
    );
    // Two nulls and the record around them are three times the work.
    let pair = record("P", &[("a", "\"null\""), ("b", "\"null\"")]);
    let pairs = format!("{{\"type\": \"array\", \"items\": {pair}}}");
    check(&pairs, nulls(most / 3), "ok");
    check(&pairs, nulls(most / 3 + 1), "0");
    // A list in each of which are as many.
    let lists = format!("{{\"type\": \"array\", \"items\": {list}}}");
    let bytes = [long(2), long(most / 2), long(0), long(most / 2), long(0), long(0), long(1)].concat();
    check(&lists, bytes, "ok");
    let bytes = [long(2), long(most / 2), long(0), long(most / 2 + 1), long(0), long(0), long(1)].concat();
    check(&lists, bytes, "5");
}

#[test]
fn recursion_is_bounded() {
    let list =
        "{\"type\": \"record\", \"name\": \"L\", \"fields\": [{\"name\": \"next\", \"type\": [\"null\", \"L\"]}]}";
    // The record around it counts too.
    let deepest = DEPTH_MAX as usize - 1;
    let chain = |links: usize| [vec![2; links - 1], vec![0, 2]].concat();
    check(list, chain(deepest), "ok");
    check(list, chain(deepest + 1), "63 too_deep");
    check(list, vec![2; 1_000_000], "63 too_deep");
    let trees = "{\"type\": \"record\", \"name\": \"T\", \"fields\": \
        [{\"name\": \"t\", \"type\": {\"type\": \"array\", \"items\": \"T\"}}]}";
    check(trees, [4, 4, 0, 0, 0, 0, 0, 2], "ok");
    check(trees, vec![2; 100_000], "31 too_deep");
    // No bytes, and no end.
    check(
        "{\"type\": \"record\", \"name\": \"X\", \"fields\": [{\"name\": \"x\", \"type\": \"X\"}]}",
        [2],
        "0 too_deep",
    );
    // As a column of its own depth.
    let schema = record("R", &[("v", list)]);
    let column = "Tuple(next Tuple(next Tuple(next Nullable(String))))";
    let mut table = Table::new(plan(vec![spec("v", column)]), &schema);
    table.push([2, 2, 0]).unwrap();
    table.push([2, 2, 2, 2, 0]).unwrap();
    assert_eq!(table.stored(), "(((NULL))) (((\"{\\\"next\\\":{\\\"next\\\":null}}\")))");
    // The type ends where the tuple does.
    let deep = table.push(vec![2; 100]).unwrap_err();
    assert_eq!(deep.code, ErrorCode::TooDeep);
}

#[test]
fn every_beginning_of_a_record_is_refused() {
    let schema = record(
        "R",
        &[
            ("a", "\"long\""),
            ("s", "\"string\""),
            ("l", "{\"type\": \"array\", \"items\": [\"null\", \"double\"]}"),
            ("m", "{\"type\": \"map\", \"values\": \"boolean\"}"),
            ("f", "{\"type\": \"fixed\", \"name\": \"F\", \"size\": 2}"),
        ],
    );
    let good = [
        long(-300),
        sized("text"),
        [long(2), long(1), 1.5_f64.to_le_bytes().to_vec(), long(0), long(0)].concat(),
        [long(1), sized("k"), vec![1], long(0)].concat(),
        b"xy".to_vec(),
    ]
    .concat();
    let types = ["Int64", "String", "Array(Nullable(Float64))", "Map(String, Bool)", "FixedString(2)"];
    let columns = ["a", "s", "l", "m", "f"].iter().zip(types).map(|(name, kind)| spec(name, kind));
    let mut table = Table::new(plan(columns.collect()), &schema);
    for end in 0..good.len() {
        let error = table.push(&good[..end]).unwrap_err();
        let expected = if end == 0 { ErrorCode::Empty } else { ErrorCode::InvalidAvro };
        assert_eq!(error.code, expected, "{end} bytes: {error}");
    }
    table.push(&good).unwrap();
    assert_eq!(table.push([&good[..], &[0]].concat()).unwrap_err().code, ErrorCode::TrailingData);
    table.push(&good).unwrap();
    let row = |value: &str| format!("{value} {value}");
    let expected = ["-300", "\"text\"", "[1.5, NULL]", "{\"k\": true}", "\"xy\""].map(row).join(" / ");
    assert_eq!(table.stored(), expected);
}

#[test]
fn an_error_says_what_where_and_which_field() {
    let schema = record("R", &[("a", "\"int\""), ("s", "\"string\"")]);
    let mut table = Table::new(plan(vec![spec("s", "String"), spec("a", "UInt8")]), &schema);
    let shown =
        |error: crate::decode::DecodeError| format!("{error} [{} {:?}]", error.code.stage().as_str(), error.field);
    let out_of_range = table.push([long(300), sized("x")].concat()).unwrap_err();
    assert_eq!(out_of_range.code.stage(), Stage::Convert);
    assert_eq!(
        shown(out_of_range),
        "field a (UInt8): outside the range of the column at byte 0: 0xd8040278 [convert Some(\"a\")]"
    );
    assert_eq!(
        shown(table.push([2, 8, b'x']).unwrap_err()),
        "field s (String): not avro by its schema at byte 1: 0x0878 [decode Some(\"s\")]"
    );
    assert_eq!(
        shown(table.push([2, 4, b'x', 0xFF]).unwrap_err()),
        "field s (String): the record is not utf-8 at byte 3: 0xff [decode Some(\"s\")]"
    );
    assert_eq!(
        shown(table.push([2]).unwrap_err()),
        "field s (String): not avro by its schema at byte 1: the end [decode Some(\"s\")]"
    );
    assert_eq!(shown(table.push([2, 0, 7]).unwrap_err()), "bytes follow the record at byte 2: 0x07 [decode None]");
}

#[test]
fn paths() {
    let inner = record("I", &[("b", "{\"type\": \"array\", \"items\": \"int\"}"), ("c", "\"string\"")]);
    let schema = record(
        "R",
        &[
            ("skipped", "\"string\""),
            ("a", &format!("[\"null\", {inner}]")),
            ("m", "{\"type\": \"map\", \"values\": \"I\"}"),
            ("l", "{\"type\": \"array\", \"items\": \"I\"}"),
        ],
    );
    let value = |b: &[i64], c: &str| {
        let items: Vec<u8> = b.iter().flat_map(|item| long(*item)).collect();
        let count = if b.is_empty() { Vec::new() } else { long(i64::try_from(b.len()).unwrap()) };
        [count, items, long(0), sized(c)].concat()
    };
    let full = [
        sized("s"),
        [long(1), value(&[4, 5, 6], "ac")].concat(),
        [long(2), sized("x.y"), value(&[], "mx"), sized("k"), value(&[7], "mk"), long(0)].concat(),
        [long(2), value(&[1], "l0"), value(&[2, 3], "l1"), long(0)].concat(),
    ]
    .concat();
    let bare = [sized("s"), long(0), long(0), long(0)].concat();
    let check = |path: &str, column: &str, expected: &str| {
        let spec = spec("v", column).from_source(Source::parse(path).unwrap());
        let mut table = Table::new(plan(vec![spec]), &schema);
        for record in [&full, &bare] {
            table.push(record).unwrap_or_else(|error| panic!("{path}: {error}"));
        }
        assert_eq!(table.stored(), expected, "{path}");
    };
    check("a", "Tuple(c String)", "(\"ac\") (\"\")");
    check("$.a.c", "String", "\"ac\" \"\"");
    check("$.a.b", "Array(Int8)", "[4, 5, 6] []");
    check("$.a.b[1]", "Nullable(Int8)", "5 NULL");
    check("$.a.b[3]", "Nullable(Int8)", "NULL NULL");
    check("$.a.none", "Nullable(Int8)", "NULL NULL");
    check("$.m['x.y'].c", "String", "\"mx\" \"\"");
    check("$.m.k.b[0]", "Int8", "7 0");
    check("$.m.k", "String", "\"{\\\"b\\\":[7],\\\"c\\\":\\\"mk\\\"}\" \"\"");
    check("$.l[1].b", "Array(Int8)", "[2, 3] []");
    check("$.l[0].c", "String", "\"l0\" \"\"");
    check("$.skipped", "String", "\"s\" \"s\"");
    check("$", "Map(String, String)", &{
        let a = "{\\\"b\\\":[4,5,6],\\\"c\\\":\\\"ac\\\"}";
        let m = "{\\\"x.y\\\":{\\\"b\\\":[],\\\"c\\\":\\\"mx\\\"},\\\"k\\\":{\\\"b\\\":[7],\\\"c\\\":\\\"mk\\\"}}";
        let l = "[{\\\"b\\\":[1],\\\"c\\\":\\\"l0\\\"},{\\\"b\\\":[2,3],\\\"c\\\":\\\"l1\\\"}]";
        let first = format!("{{\"skipped\": \"s\", \"a\": \"{a}\", \"m\": \"{m}\", \"l\": \"{l}\"}}");
        format!("{first} {{\"skipped\": \"s\", \"a\": \"\", \"m\": \"{{}}\", \"l\": \"[]\"}}")
    });
    // One value for several columns, and parts of it for others.
    let columns =
        [("v", "a", "String"), ("c", "$.a.c", "String"), ("b", "$.a.b[0]", "UInt8"), ("again", "$.a.b[0]", "String")];
    let columns = columns.map(|(name, path, kind)| spec(name, kind).from_source(Source::parse(path).unwrap()));
    let mut table = Table::new(plan(columns.into()), &schema);
    table.push(&full).unwrap();
    assert_eq!(table.stored(), "\"{\\\"b\\\":[4,5,6],\\\"c\\\":\\\"ac\\\"}\" / \"ac\" / 4 / \"4\"");
}

#[test]
fn a_value_that_is_replaced_leaves_the_parts_of_its_place() {
    let inner = record("I", &[("x", "\"int\"")]);
    let schema = record("R", &[("a", &inner), ("b", "\"int\"")]);
    let source = |path| Source::parse(path).unwrap();
    let columns = vec![
        spec("a", "UInt8").on_error(OnError::Default),
        spec("x", "Int32").from_source(source("$.a.x")),
        spec("b", "Int32"),
    ];
    let mut table = Table::new(plan(columns), &schema);
    table.push([2, 4]).unwrap();
    assert_eq!(table.stored(), "0 / 1 / 2");
}

#[test]
fn a_map_that_repeats_a_key_which_has_a_column() {
    let schema = record("R", &[("m", "{\"type\": \"map\", \"values\": \"int\"}")]);
    let column = spec("v", "Int32").from_source(Source::parse("$.m.k").unwrap());
    let mut table = Table::new(plan(vec![column]), &schema);
    let twice = [long(2), sized("k"), long(1), sized("k"), long(1), long(0)].concat();
    assert_eq!(outcome(&mut table, &twice), "duplicate_key");
}

fn with_unknown_fields(policy: UnknownFields) -> RowPlan {
    plan(vec![spec("a", "Int32"), spec("rest", "String")]).with_unknown_fields(policy)
}

#[test]
fn fields_that_no_column_takes() {
    let inner = record("I", &[("x", "\"int\"")]);
    let schema = record("R", &[("b", "\"string\""), ("a", "\"int\""), ("c", &format!("[\"null\", {inner}]"))]);
    let record = [sized("t"), long(5), long(1), long(7)].concat();
    let check = |policy, expected: &str| {
        let mut table = Table::new(with_unknown_fields(policy), &schema);
        assert_eq!(outcome(&mut table, &record), expected, "{policy:?}");
    };
    check(UnknownFields::Ignore, "5 / \"\"");
    check(UnknownFields::DeadLetter, "unknown_field");
    check(UnknownFields::Collect(1), "5 / \"{\\\"b\\\":\\\"t\\\",\\\"c\\\":{\\\"x\\\":7}}\"");
    let known = super::record("R", &[("a", "\"int\"")]);
    let mut table = Table::new(with_unknown_fields(UnknownFields::DeadLetter), &known);
    assert_eq!(outcome(&mut table, &long(5)), "5 / \"\"");
    // Of a map the keys are the fields.
    let mut table =
        Table::new(with_unknown_fields(UnknownFields::Collect(1)), "{\"type\": \"map\", \"values\": \"int\"}");
    let map = [long(2), sized("z"), long(1), sized("a"), long(2), long(0)].concat();
    assert_eq!(outcome(&mut table, &map), "2 / \"{\\\"z\\\":1}\"");
    let bad_key = [long(1), sized([0xFF]), long(1), long(0)].concat();
    assert_eq!(outcome(&mut table, &bad_key), "invalid_utf8");
    // Columns inside an unknown field do not make it known, columns of its parts do.
    let part = spec("a", "Int32").from_source(Source::parse("$.c.x").unwrap());
    let plan = plan(vec![part, spec("rest", "String")]).with_unknown_fields(UnknownFields::Collect(1));
    let mut table = Table::new(plan, &schema);
    assert_eq!(outcome(&mut table, &record), "7 / \"{\\\"b\\\":\\\"t\\\",\\\"a\\\":5}\"");
}

#[test]
fn roots_of_other_kinds() {
    let whole = || plan(vec![spec("v", "String").from_source(Source::parse("$").unwrap())]);
    let check = |schema: &str, bytes: &[u8], expected: &str| {
        assert_eq!(outcome(&mut Table::new(whole(), schema), bytes), expected, "{schema}");
    };
    check("\"string\"", &sized("x"), "\"x\"");
    check("\"null\"", &[], "\"\"");
    check("\"long\"", &long(5), "\"5\"");
    check("{\"type\": \"array\", \"items\": \"int\"}", &[2, 8, 0], "\"[4]\"");
    check(&record("R", &[("a", "\"int\"")]), &[8], "\"{\\\"a\\\":4}\"");
    check("[\"int\", \"string\"]", &[2, 2, b'x'], "\"x\"");
    check("\"long\"", &[], "empty");
    check("\"long\"", &[2, 2], "trailing_data");

    let element = spec("v", "Int32").from_source(Source::parse("$[1]").unwrap());
    let mut table = Table::new(plan(vec![element]), "{\"type\": \"array\", \"items\": \"int\"}");
    assert_eq!(outcome(&mut table, &[4, 8, 10, 0]), "5");

    let field = || plan(vec![spec("a", "Int32")]);
    let event = record("E", &[("a", "\"int\"")]);
    let other = record("O", &[("z", "\"int\""), ("a", "\"long\"")]);
    let mut table = Table::new(field(), &format!("[\"null\", {event}, {other}]"));
    table.push([2, 8]).unwrap();
    table.push([4, 2, 10]).unwrap();
    assert_eq!(table.stored(), "4 5");
    assert_eq!(table.push([0]).unwrap_err().code, ErrorCode::NotAnObject);
    for schema in ["\"string\"", "{\"type\": \"array\", \"items\": \"int\"}"] {
        let error = Table::try_new(field(), &bare(schema), None).err().unwrap();
        assert_eq!(error, "the schema has no fields, and columns are filled from fields");
    }
}

#[test]
fn single_object_encoding() {
    let first = record("A", &[("a", "\"int\"")]);
    let second = record("B", &[("b", "\"string\""), ("a", "\"int\"")]);
    let framing = AvroFraming::SingleObject(vec![AvroSchema::alone(&first), AvroSchema::alone(&second)]);
    let mut table = Table::try_new(plan(vec![spec("a", "UInt8")]), &framing, None).unwrap();
    let framed = |schema: &str, value: &[u8]| {
        let schema = apache_avro::Schema::parse_str(schema).unwrap();
        let fingerprint = schema.fingerprint::<apache_avro::rabin::Rabin>().bytes;
        [&[0xC3, 1][..], &fingerprint, value].concat()
    };
    table.push(framed(&first, &[8])).unwrap();
    table.push(framed(&second, &[2, b'x', 10])).unwrap();
    assert_eq!(table.stored(), "4 5");
    let mut check = |record: &[u8], expected: &str| {
        let error = table.push(record).unwrap_err();
        assert_eq!(format!("{}: {error}", error.code), expected);
    };
    let long = framed(&second, &[2, b'x', 0xFE, 0xFF, 1]);
    check(&long, "out_of_range: field a (UInt8): outside the range of the column at byte 12: 0xfeff01");
    check(&[], "empty: the record has no bytes at byte 0: the end");
    check(&[0xC3], "invalid_framing: the record does not begin as its framing says at byte 0: 0xc3");
    let short = framed(&first, &[])[..9].to_vec();
    let shown = format!("invalid_framing: the record does not begin as its framing says at byte 0: 0x{}", hex(&short));
    check(&short, &shown);
    let mut wrong_magic = framed(&first, &[8]);
    wrong_magic[1] = 2;
    assert_eq!(table.push(&wrong_magic).unwrap_err().code, ErrorCode::InvalidFraming);
    let mut unknown = framed(&first, &[8]);
    unknown[9] ^= 1;
    let error = table.push(&unknown).unwrap_err();
    assert_eq!((error.code, error.field), (ErrorCode::UnknownSchema, None));
    assert!(error.reason.starts_with("no such schema is known at byte 2: 0x"), "{}", error.reason);
    let truncated = framed(&first, &[]);
    assert_eq!(table.push(&truncated).unwrap_err().code, ErrorCode::InvalidAvro);

    let dated = record("A", &[("a", "{\"type\": \"int\", \"logicalType\": \"date\"}")]);
    let twins = AvroFraming::SingleObject(vec![AvroSchema::alone(&first), AvroSchema::alone(&dated)]);
    let error = Table::try_new(plan(vec![spec("a", "UInt8")]), &twins, None).err().unwrap();
    assert!(error.starts_with("two schemas have the fingerprint "), "{error}");
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_row_that_fails_is_taken_back_in_every_column() {
    let fields = [
        ("a", "\"int\""),
        ("l", "{\"type\": \"array\", \"items\": \"string\"}"),
        ("m", "{\"type\": \"map\", \"values\": \"long\"}"),
        ("n", "[\"null\", \"double\"]"),
        ("z", "\"boolean\""),
    ];
    let types =
        ["UInt64", "Array(LowCardinality(String))", "Map(String, Nullable(Int64))", "Nullable(Float64)", "Bool"];
    let schema = record("R", &fields);
    let columns = || fields.iter().zip(types).map(|((name, _), kind)| spec(name, kind)).collect::<Vec<_>>();
    let good = [
        long(1),
        [long(2), sized("x"), sized("y"), long(0)].concat(),
        [long(1), sized("k"), long(-1), long(0)].concat(),
        [long(1), 0.5_f64.to_le_bytes().to_vec()].concat(),
        vec![1],
    ]
    .concat();
    let raw = |table: &Table| -> Vec<u8> {
        let block = crate::block::native::NativeEncoder::new().encode(&table.columns);
        test_reader::decompress(&block.frames)
    };
    let mut alone = Table::new(plan(columns()), &schema);
    alone.push(&good).unwrap();
    for place in 0..good.len() {
        for change in [0x01, 0x80, 0xFF] {
            let mut table = Table::new(plan(columns()), &schema);
            let mut bad = good.clone();
            bad[place] ^= change;
            if table.push(&bad).is_ok() {
                continue;
            }
            table.push(&good).unwrap();
            assert!(raw(&table) == raw(&alone), "byte {place} ^ {change:#x}");
        }
    }
}
