//! Schema resolution: what a writer's schema becomes when it is read as another.

use super::{Table, long, outcome, plan, record, sized, spec};

const E: &str = "\"type\": \"enum\", \"name\": \"E\"";

/// One value written as `writer` and read as `reader`, stored in a column of this type; or the end of the error.
fn check(writer: &str, reader: &str, bytes: impl AsRef<[u8]>, column: &str, expected: &str) {
    let (from, to) = (record("R", &[("v", writer)]), record("R", &[("v", reader)]));
    let got = match Table::read_as(plan(vec![spec("v", column)]), &from, &to) {
        Ok(mut table) => outcome(&mut table, bytes.as_ref()),
        Err(error) => {
            let shorter = error.strip_prefix("the schema cannot be read as the reader's: field v of R: ");
            shorter.unwrap_or(&error).to_owned()
        }
    };
    assert_eq!(got, expected, "{writer} as {reader}");
}

#[test]
fn promotions() {
    let float = 0.5_f32.to_le_bytes();
    check("\"int\"", "\"long\"", long(5), "Int64", "5");
    check("\"int\"", "\"long\"", long(1 << 40), "Int64", "invalid_avro");
    check("\"int\"", "\"float\"", long(16_777_217), "Float64", "16777216.0");
    check("\"int\"", "\"double\"", long(16_777_217), "Float64", "16777217.0");
    check("\"long\"", "\"float\"", long(5), "Float32", "5.0");
    check("\"long\"", "\"double\"", long(i64::MAX), "Float64", "9.223372036854776e18");
    check("\"float\"", "\"double\"", float, "Float64", "0.5");
    check("\"float\"", "\"double\"", float, "Float32", "0.5");
    check("\"string\"", "\"bytes\"", sized("x"), "String", "\"x\"");
    check("\"bytes\"", "\"string\"", sized("12"), "Int8", "12");
    check("\"bytes\"", "\"string\"", sized([0xFF]), "String", "invalid_utf8");
    for (writer, reader) in [
        ("long", "int"),
        ("double", "float"),
        ("float", "long"),
        ("double", "long"),
        ("string", "int"),
        ("boolean", "int"),
        ("int", "string"),
        ("null", "int"),
    ] {
        let expected = format!("{writer} cannot be read as {reader}");
        check(&format!("\"{writer}\""), &format!("\"{reader}\""), [], "String", &expected);
    }
    check(
        "{\"type\": \"array\", \"items\": \"int\"}",
        "{\"type\": \"array\", \"items\": \"double\"}",
        [2, 8, 0],
        "Array(Float64)",
        "[4.0]",
    );
    check(
        "{\"type\": \"map\", \"values\": \"int\"}",
        "{\"type\": \"map\", \"values\": \"long\"}",
        [2, 2, b'k', 8, 0],
        "String",
        "\"{\\\"k\\\":4}\"",
    );
    check(
        "{\"type\": \"array\", \"items\": \"int\"}",
        "{\"type\": \"map\", \"values\": \"int\"}",
        [],
        "String",
        "array cannot be read as map",
    );
    check(
        "{\"type\": \"array\", \"items\": \"string\"}",
        "{\"type\": \"array\", \"items\": \"int\"}",
        [],
        "String",
        "string cannot be read as int",
    );
}

#[test]
fn logical_types() {
    let of = |primitive: &str, logical: &str| format!("{{\"type\": \"{primitive}\", \"logicalType\": \"{logical}\"}}");
    let (millis, micros) = (of("long", "timestamp-millis"), of("long", "timestamp-micros"));
    let (date, local) = (of("int", "date"), of("long", "local-timestamp-millis"));
    check("\"long\"", &millis, long(5_000), "DateTime", "5");
    check("\"int\"", &micros, long(5_000_000), "DateTime", "5");
    check(&millis, "\"long\"", long(5_000), "String", "\"5000\"");
    check(&date, "\"long\"", long(7), "String", "\"7\"");
    check(&date, "\"double\"", long(7), "Float64", "7.0");
    check("\"int\"", &date, long(7), "String", "\"1970-01-08\"");
    check(&millis, &micros, [], "DateTime", "long cannot be read as long");
    check(&millis, &local, [], "DateTime", "long cannot be read as long");
    check(&date, &millis, [], "DateTime", "int cannot be read as long");
    let decimal =
        |scale| format!("{{\"type\": \"bytes\", \"logicalType\": \"decimal\", \"precision\": 9, \"scale\": {scale}}}");
    let fixed = "{\"type\": \"fixed\", \"name\": \"F\", \"size\": 2, \"logicalType\": \"decimal\", \"precision\": 4, \"scale\": 2}";
    check("\"bytes\"", &decimal(2), sized([5]), "String", "\"0.05\"");
    check("\"string\"", &decimal(2), sized("0"), "String", "\"0.48\"");
    check(&decimal(2), "\"bytes\"", sized("5"), "String", "\"5\"");
    check(&decimal(2), &decimal(3), [], "String", "bytes cannot be read as bytes");
    check(&decimal(2), fixed, sized([5]), "String", "\"0.05\"");
    check(fixed, &decimal(2), [0, 5], "String", "\"0.05\"");
    check(fixed, "\"bytes\"", [], "String", "fixed F cannot be read as bytes");
    let uuid = of("string", "uuid");
    let bytes = "{\"type\": \"fixed\", \"name\": \"U\", \"size\": 16, \"logicalType\": \"uuid\"}";
    let text = "01234567-89ab-cdef-0123-456789abcdef";
    let stored = "0123456789abcdef0123456789abcdef";
    check("\"string\"", &uuid, sized(text), "UUID", stored);
    check(&uuid, bytes, sized(text), "UUID", stored);
    check(bytes, &uuid, 0x0123_4567_89ab_cdef_0123_4567_89ab_cdef_u128.to_be_bytes(), "UUID", stored);
}

#[test]
fn names_and_aliases() {
    let fixed = |name: &str, more: &str, size: u32| {
        format!("{{\"type\": \"fixed\", \"name\": \"{name}\", \"size\": {size}{more}}}")
    };
    check(&fixed("F", "", 1), &fixed("other.F", "", 1), "x", "String", "\"x\"");
    check(&fixed("F", "", 1), &fixed("F", "", 2), [], "String", "fixed F cannot be read as fixed F");
    check(&fixed("F", "", 1), &fixed("G", "", 1), [], "String", "fixed F cannot be read as fixed G");
    check(&fixed("F", "", 1), &fixed("G", ", \"aliases\": [\"F\"]", 1), "x", "String", "\"x\"");
    check(
        &fixed("a.F", "", 1),
        &fixed("b.G", ", \"aliases\": [\"F\"]", 1),
        [],
        "String",
        "fixed a.F cannot be read as fixed b.G",
    );
    check(&fixed("a.F", "", 1), &fixed("b.G", ", \"aliases\": [\"a.F\"]", 1), "x", "String", "\"x\"");
    let inner = record("I", &[("x", "\"int\"")]);
    let renamed = "{\"type\": \"record\", \"name\": \"J\", \"aliases\": [\"I\"], \"fields\": [\
        {\"name\": \"y\", \"type\": \"long\", \"aliases\": [\"w\", \"x\"]}]}";
    check(&inner, renamed, long(5), "Tuple(y Int64)", "(5)");
    check(&inner, &record("J", &[("x", "\"int\"")]), [], "String", "record I cannot be read as record J");
    // A name outranks an alias.
    let pair = record("I", &[("x", "\"int\""), ("y", "\"int\"")]);
    let swapped = "{\"type\": \"record\", \"name\": \"I\", \"fields\": [\
        {\"name\": \"x\", \"type\": \"int\"}, {\"name\": \"z\", \"type\": \"int\", \"aliases\": [\"x\", \"y\"]}]}";
    check(&pair, swapped, [2, 4], "Tuple(x Int8, z Int8)", "(1, 2)");
}

#[test]
fn enums() {
    let written = format!("{{{E}, \"symbols\": [\"A\", \"B\", \"C\"]}}");
    let check = |reader: &str, symbol, column: &str, expected: &str| {
        let reader = format!("{{{E}, \"symbols\": {reader}}}");
        check(&written, &reader, long(symbol), column, expected);
    };
    check("[\"C\", \"A\"]", 2, "String", "\"C\"");
    check("[\"C\", \"A\"]", 2, "Int8", "0");
    check("[\"C\", \"A\"]", 1, "String", "unknown_enum_value");
    check("[\"C\", \"A\"], \"default\": \"A\"", 1, "String", "\"A\"");
    check("[\"C\", \"A\"], \"default\": \"A\"", 2, "String", "\"C\"");
    check("[\"C\", \"A\"]", 3, "String", "invalid_avro");
}

#[test]
fn unions() {
    let maybe = |kind: &str| format!("[\"null\", {kind}]");
    // A reader's union.
    check("\"int\"", &maybe("\"int\""), long(5), "Nullable(Int8)", "5");
    check("\"int\"", &maybe("\"double\""), long(5), "Nullable(String)", "\"5.0\"");
    check("\"int\"", "[\"double\", \"int\"]", long(5), "String", "\"5\"");
    check("\"int\"", "[\"float\", \"double\"]", long(16_777_217), "String", "\"16777216.0\"");
    check("\"string\"", &maybe("\"int\""), [], "String", "string is no branch of the reader's union");
    // A writer's union: only the branch that a record has need be read.
    check(&maybe("\"int\""), "\"int\"", [2, 10], "String", "\"5\"");
    check(&maybe("\"int\""), "\"int\"", [0], "String", "type_mismatch");
    check(&maybe("\"int\""), "\"string\"", [], "String", "null cannot be read as string");
    check("[\"int\", \"string\"]", "\"long\"", [2, 2, b'x'], "Int64", "type_mismatch");
    check("[\"int\", \"string\"]", "\"long\"", [0, 10], "Int64", "5");
    // Both.
    check(&maybe("\"int\""), "[\"long\", \"null\"]", [2, 10], "Nullable(Int8)", "5");
    check(&maybe("\"int\""), "[\"long\", \"null\"]", [0], "Nullable(Int8)", "NULL");
    check("[\"int\", \"string\", \"null\"]", "[\"null\", \"string\"]", [0, 10], "String", "type_mismatch");
    check("[\"int\", \"string\", \"null\"]", "[\"null\", \"string\"]", [2, 2, b'x'], "String", "\"x\"");
    // Records: by full name, then by short name or alias.
    let of = |name: &str, field: &str| record(name, &[(field, "\"int\"")]);
    let both = format!("[{}, {}]", record("b.I", &[("x", "\"long\"")]), record("a.I", &[("x", "\"int\"")]));
    check(&of("a.I", "x"), &both, long(5), "String", "\"{\\\"x\\\":5}\"");
    check(&of("c.I", "x"), &both, long(5), "String", "\"{\\\"x\\\":5}\"");
    check(&of("c.J", "x"), &both, [], "String", "record c.J is no branch of the reader's union");
    // The first of a name has a field that the writer lacks.
    let second = format!("[{}, {}]", of("b.I", "z"), of("a.I", "x"));
    check(&of("c.I", "x"), &second, long(5), "String", "\"{\\\"x\\\":5}\"");
}

#[test]
fn a_value_that_the_reader_refuses_may_be_replaced() {
    let from = record("R", &[("v", "[\"int\", \"string\"]"), ("w", "\"int\"")]);
    let to = record("R", &[("v", "\"int\""), ("w", "\"int\"")]);
    let columns = vec![spec("v", "UInt8").on_error(crate::columns::OnError::Default), spec("w", "Int8")];
    let mut table = Table::read_as(plan(columns), &from, &to).unwrap();
    assert_eq!(outcome(&mut table, &[2, 2, b'x', 14]), "0 / 7");
}

#[test]
fn fields_that_come_and_go() {
    let writer =
        record("R", &[("gone", "{\"type\": \"array\", \"items\": \"string\"}"), ("b", "\"int\""), ("a", "\"int\"")]);
    let reader = "{\"type\": \"record\", \"name\": \"R\", \"fields\": [\
        {\"name\": \"a\", \"type\": \"long\"}, \
        {\"name\": \"new\", \"type\": \"string\", \"default\": \"n\"}, \
        {\"name\": \"b\", \"type\": [\"null\", \"long\"]}]}";
    let columns = || ["a", "b", "new", "gone"].map(|name| spec(name, "String")).to_vec();
    let mut table = Table::read_as(plan(columns()), &writer, reader).unwrap();
    assert_eq!(outcome(&mut table, &[2, 2, b'x', 0, 4, 6]), "\"3\" / \"2\" / \"n\" / \"\"");
    let longer = writer.replace("\"int\"", "\"long\"");
    let error = Table::read_as(plan(columns()), reader, &longer).err().unwrap();
    assert_eq!(
        error,
        "the schema cannot be read as the reader's: field gone of R: the writer has none, and there is no default"
    );
    // Nobody sees what the reader does not have.
    let rest = plan(vec![spec("a", "String"), spec("rest", "String")]);
    let rest = rest.with_unknown_fields(crate::columns::UnknownFields::Collect(1));
    let mut table = Table::read_as(rest, &writer, reader).unwrap();
    assert_eq!(outcome(&mut table, &[0, 4, 6]), "\"3\" / \"{\\\"b\\\":2,\\\"new\\\":\\\"n\\\"}\"");
}

#[test]
fn defaults() {
    let check = |kind: &str, default: &str, column: &str, expected: &str| {
        let inner = format!(
            "{{\"type\": \"record\", \"name\": \"I\", \"fields\": [{{\"name\": \"d\", \"type\": {kind}, \"default\": {default}}}]}}"
        );
        let writer = record("R", &[("i", &record("I", &[])), ("w", "\"int\"")]);
        let reader = record("R", &[("i", &inner), ("w", "\"int\"")]);
        let column = spec("v", column).from_source(crate::columns::Source::parse("$.i.d").unwrap());
        let got = match Table::read_as(plan(vec![column]), &writer, &reader) {
            Ok(mut table) => outcome(&mut table, &[2]),
            Err(error) => error,
        };
        assert!(got == expected || got.contains(expected) && expected.contains("default"), "{kind} {default}: {got}");
        // As parts of wholes.
        if !expected.contains("default") && !expected.contains('_') {
            let mut table = Table::read_as(plan(vec![spec("i", "Map(String, String)")]), &writer, &reader).unwrap();
            assert!(outcome(&mut table, &[2]).starts_with("{\"d\": "));
        }
    };
    check("\"null\"", "null", "Nullable(Int8)", "NULL");
    check("\"boolean\"", "true", "Bool", "true");
    check("\"int\"", "-5", "Int32", "-5");
    check("\"int\"", "3000000000", "Int32", "default");
    check("\"long\"", "3000000000", "Int64", "3000000000");
    check("\"float\"", "1.5", "Float32", "1.5");
    check("\"double\"", "2", "Float64", "2.0");
    check("\"double\"", "\"NaN\"", "Float64", "NaN");
    check("\"string\"", "\"x\u{e9}\"", "String", "\"x\u{e9}\"");
    check("\"string\"", "5", "String", "default");
    check("\"bytes\"", "\"\u{ff}a\"", "String", "b\"\\xffa\"");
    check("{\"type\": \"fixed\", \"name\": \"F\", \"size\": 2}", "\"ab\"", "String", "\"ab\"");
    check("{\"type\": \"fixed\", \"name\": \"F\", \"size\": 3}", "\"ab\"", "String", "is no default for it");
    check("{\"type\": \"enum\", \"name\": \"E\", \"symbols\": [\"A\", \"B\"]}", "\"B\"", "String", "\"B\"");
    check("{\"type\": \"enum\", \"name\": \"E\", \"symbols\": [\"A\", \"B\"]}", "\"C\"", "String", "default");
    check("{\"type\": \"array\", \"items\": \"int\"}", "[]", "Array(Int8)", "[]");
    check("{\"type\": \"array\", \"items\": \"int\"}", "[1, 2]", "Array(Int8)", "[1, 2]");
    check("{\"type\": \"map\", \"values\": \"int\"}", "{\"k\": 1}", "Map(String, Int8)", "{\"k\": 1}");
    check("[\"null\", \"int\"]", "null", "Nullable(Int8)", "NULL");
    check("[\"null\", \"int\"]", "7", "Nullable(Int8)", "7");
    check("{\"type\": \"int\", \"logicalType\": \"date\"}", "7", "Date32", "7");
    check(
        "{\"type\": \"bytes\", \"logicalType\": \"decimal\", \"precision\": 4, \"scale\": 1}",
        "\"\\u0005\"",
        "String",
        "\"0.5\"",
    );
    let nested = "{\"type\": \"record\", \"name\": \"N\", \"fields\": [\
        {\"name\": \"a\", \"type\": \"int\"}, {\"name\": \"b\", \"type\": \"string\", \"default\": \"inner\"}]}";
    check(nested, "{\"a\": 1}", "Tuple(b String, a Int8)", "(\"inner\", 1)");
    check("\"int\"", "300", "UInt8", "out_of_range");
    let long = format!("\"{}\"", "x".repeat(70_000));
    check(
        "{\"type\": \"array\", \"items\": \"string\"}",
        &format!("[{long}, \"y\"]"),
        "String",
        "its default is too large",
    );
}

#[test]
fn a_default_that_does_not_fit_may_be_replaced_and_has_a_place() {
    let writer = record("R", &[("a", "\"int\"")]);
    let reader = "{\"type\": \"record\", \"name\": \"R\", \"fields\": [{\"name\": \"a\", \"type\": \"int\"}, \
        {\"name\": \"d\", \"type\": \"int\", \"default\": 300}]}";
    let columns = |on_error| plan(vec![spec("d", "UInt8").on_error(on_error), spec("a", "Int8")]);
    let mut table = Table::read_as(columns(crate::columns::OnError::Clamp), &writer, reader).unwrap();
    assert_eq!(outcome(&mut table, &[2]), "255 / 1");
    let mut table = Table::read_as(columns(crate::columns::OnError::DeadLetter), &writer, reader).unwrap();
    let error = table.push([2]).unwrap_err();
    assert_eq!(error.to_string(), "field d (UInt8): outside the range of the column at byte 1: the end");
}

#[test]
fn recursive_types() {
    let list = |more: &str| {
        format!(
            "{{\"type\": \"record\", \"name\": \"L\", \"fields\": [{{\"name\": \"v\", \"type\": \"int\"}}, \
             {{\"name\": \"next\", \"type\": [\"null\", \"L\"]}}{more}]}}"
        )
    };
    let reader = list(", {\"name\": \"d\", \"type\": \"int\", \"default\": 9}").replace("\"int\"", "\"long\"");
    let columns = vec![spec("v", "Int8"), spec("next", "String")];
    let mut table = Table::read_as(plan(columns), &list(""), &reader).unwrap();
    assert_eq!(outcome(&mut table, &[2, 2, 4, 0]), "1 / \"{\\\"v\\\":2,\\\"next\\\":null,\\\"d\\\":9}\"");
    // A type that cannot be read, and one that holds it.
    let writer = record(
        "R",
        &[
            (
                "u",
                "[\"null\", {\"type\": \"record\", \"name\": \"A\", \"fields\": [\
                {\"name\": \"b\", \"type\": [\"null\", {\"type\": \"record\", \"name\": \"B\", \"fields\": [\
                    {\"name\": \"a\", \"type\": [\"null\", \"A\"]}]}]}, {\"name\": \"x\", \"type\": \"string\"}]}]",
            ),
            ("b", "[\"null\", \"B\"]"),
            ("w", "\"int\""),
        ],
    );
    let reader = writer.replace("\"x\", \"type\": \"string\"", "\"x\", \"type\": \"int\"");
    let columns = || vec![spec("b", "String"), spec("w", "Int8")];
    let mut table = Table::read_as(plan(columns()), &writer, &reader).unwrap();
    // u is null; b holds nothing; then b holds an A, which cannot be read.
    assert_eq!(outcome(&mut table, &[0, 2, 0, 14]), "\"{\\\"a\\\":null}\" / 7");
    assert_eq!(outcome(&mut table, &[0, 2, 2, 0, 2, b'x', 14]), "type_mismatch");
    let mut table = Table::read_as(plan(vec![spec("w", "Int8")]), &writer, &reader).unwrap();
    assert_eq!(outcome(&mut table, &[0, 2, 2, 0, 2, b'x', 14]), "7");
}

#[test]
fn the_root_is_resolved_too() {
    let reader = record("R", &[("a", "\"long\"")]);
    let columns = || plan(vec![spec("a", "Int64")]);
    let writer = format!("[\"null\", {}]", record("R", &[("a", "\"int\"")]));
    let mut table = Table::read_as(columns(), &writer, &reader).unwrap();
    assert_eq!(outcome(&mut table, &[2, 10]), "5");
    assert_eq!(outcome(&mut table, &[0]), "not_an_object");
    let error = Table::read_as(columns(), &record("S", &[("a", "\"int\"")]), &reader).err().unwrap();
    assert_eq!(error, "the schema cannot be read as the reader's: record S cannot be read as record R");
    let error = Table::read_as(columns(), &reader, "no schema").err().unwrap();
    assert!(error.starts_with("the reader's schema cannot be used: it is not JSON"), "{error}");
}
