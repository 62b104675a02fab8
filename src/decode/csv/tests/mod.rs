//! Tests of the CSV decoder: what a record may look like, what a field may hold, what is refused.

mod properties;

use super::CsvOptions;
use crate::columns::{ColumnSpec, DefaultValue, OnError, RowPlan, Source, UnknownFields};
use crate::decode::tests_record::{Mapped, decoded_by, plan, spec};
use crate::decode::{Format, Record, RecordDecoder};

/// Fields of these names.
fn named(names: &[&str]) -> CsvOptions {
    CsvOptions { columns: names.iter().map(|name| (*name).to_owned()).collect(), ..CsvOptions::default() }
}

/// What becomes of a record.
fn row(options: &CsvOptions, plan: RowPlan, record: &[u8]) -> String {
    let plan = std::sync::Arc::new(plan);
    match RecordDecoder::new(&plan, &Format::Csv(options.clone()), None) {
        Ok(mut decoder) => decoded_by(&mut decoder, &plan, &Record::of_value(record)),
        Err(error) => format!("refused: {error}"),
    }
}

fn check(options: &CsvOptions, columns: &[Mapped<'_>], cases: &[(&str, &str)]) {
    for (record, expected) in cases {
        let plan = RowPlan::new(columns.iter().map(spec).collect(), Vec::new(), "UTC").unwrap();
        assert_eq!(&row(options, plan, record.as_bytes()), expected, "{record:?}");
    }
}

const TWO: [Mapped<'_>; 2] = [("a", "String", "a"), ("b", "Nullable(String)", "b")];

#[test]
fn shapes_of_records() {
    check(
        &named(&["a", "b"]),
        &TWO,
        &[
            ("x,y", "a=x, b=y"),
            ("\u{feff}x,y", "a=x, b=y"),
            ("\u{feff}\"x\",y", "a=x, b=y"),
            ("\u{feff}x,\"y", "invalid_csv: column 2 (b) of the record: not csv as configured at byte 5: \"\\\"y\""),
            ("x,y\n", "a=x, b=y"),
            ("x,y\r\n", "a=x, b=y"),
            ("x,y\r", "a=x, b=y"),
            (" x ,\ty", "a= x , b=\\ty"),
            ("\u{e9},\u{1f600}", "a=\u{e9}, b=\u{1f600}"),
            (",", "a=, b=NULL"),
            ("\"x\",\"y\"", "a=x, b=y"),
            ("\"x\",\"y\"\r\n", "a=x, b=y"),
            ("\"x,1\r\n\",\"\"\"y\"\"\"", "a=x,1\\r\\n, b=\"y\""),
            ("\"\",\"\"", "a=, b="),
            ("\"\"\"\",x", "a=\", b=x"),
            ("x\"y,z\"", "a=x\"y, b=z\""),
            ("x'y,'z'", "a=x'y, b='z'"),
            ("", "empty: the record has no bytes at byte 0: \"\""),
            ("x,\"y", "invalid_csv: column 2 (b) of the record: not csv as configured at byte 2: \"\\\"y\""),
            (
                "x,\"y\"\"",
                "invalid_csv: column 2 (b) of the record: not csv as configured at byte 2: \"\\\"y\\\"\\\"\"",
            ),
            ("\"x\"y,z", "invalid_csv: column 1 (a) of the record: not csv as configured at byte 3: \"y,z\""),
            ("\"x\" ,z", "invalid_csv: column 1 (a) of the record: not csv as configured at byte 3: \" ,z\""),
            ("x,y\n\n", "trailing_data: column 2 (b) of the record: bytes follow the record at byte 4: \"\\n\""),
            ("x,y\nz,w", "trailing_data: column 2 (b) of the record: bytes follow the record at byte 4: \"z,w\""),
            ("x,y\rz", "trailing_data: column 2 (b) of the record: bytes follow the record at byte 4: \"z\""),
            ("x\n,y", "trailing_data: column 1 (a) of the record: bytes follow the record at byte 2: \",y\""),
            ("x", "invalid_csv: the record has 1 fields, and 2 have a name: not csv as configured at byte 1: \"\""),
            ("\n", "invalid_csv: the record has 1 fields, and 2 have a name: not csv as configured at byte 1: \"\""),
            (
                "x,y,z,\"w\"",
                "invalid_csv: the record has 4 fields, and 2 have a name: not csv as configured at byte 4: \"z,\\\"w\\\"\"",
            ),
            ("x,y,", "invalid_csv: the record has 3 fields, and 2 have a name: not csv as configured at byte 4: \"\""),
        ],
    );
    let bad = RowPlan::new(TWO.iter().map(spec).collect(), Vec::new(), "UTC").unwrap();
    assert_eq!(
        row(&named(&["a", "b"]), bad, b"x,\xff"),
        "invalid_utf8: column 2 (b) of the record: the record is not utf-8 at byte 2: \"\u{fffd}\""
    );
    // What no column takes is not looked at.
    let first = || RowPlan::new(vec![spec(&TWO[0])], Vec::new(), "UTC").unwrap();
    assert_eq!(row(&named(&["a", "b"]), first(), b"x,\xff"), "a=x");
    assert_eq!(row(&named(&["a", "b"]), first(), b"x,\"\"\"\xff\""), "a=x");
    check(&named(&["a"]), &TWO[..1], &[("\n", "a="), ("x", "a=x"), ("\"\"\n", "a=")]);
}

#[test]
fn records_of_another_length() {
    let more = CsvOptions { extra_fields: true, ..named(&["a", "b"]) };
    check(&more, &TWO, &[("x,y,z", "a=x, b=y"), ("x,y,\"z\n\"\n", "a=x, b=y"), ("x,y", "a=x, b=y")]);
    check(
        &more,
        &TWO,
        &[
            ("x,y,\"z", "invalid_csv: column 3 of the record: not csv as configured at byte 4: \"\\\"z\""),
            ("x", "invalid_csv: the record has 1 fields, and 2 have a name: not csv as configured at byte 1: \"\""),
        ],
    );
    let fewer = CsvOptions { missing_fields: true, ..named(&["a", "b"]) };
    check(&fewer, &TWO, &[("x", "a=x, b=NULL"), ("x,y", "a=x, b=y"), ("\n", "a=, b=NULL")]);
}

#[test]
fn empty_and_null() {
    let options = named(&["a", "b", "n", "e"]);
    let default =
        |name: &str, kind: &str, json: &str| ColumnSpec::new(name, kind, DefaultValue::of_json(kind, json)).unwrap();
    let columns = || {
        vec![
            default("a", "String", "\"none\""),
            default("b", "Nullable(String)", "\"some\""),
            default("n", "UInt8", "7"),
            default("e", "LowCardinality(Nullable(String))", "null"),
        ]
    };
    let check = |options: &CsvOptions, record: &str, expected: &str| {
        let plan = RowPlan::new(columns(), Vec::new(), "UTC").unwrap();
        assert_eq!(row(options, plan, record.as_bytes()), expected, "{record}");
    };
    check(&options, ",,,", "a=none, b=some, n=7, e=NULL");
    check(&options, "\\N,\\N,\\N,\\N", "a=none, b=NULL, n=7, e=NULL");
    check(&options, "\"\",\"\",1,\"\"", "a=, b=, n=1, e=");
    check(&options, "\"\\N\",\"\\N\",1,\"\\N\"", "a=\\N, b=\\N, n=1, e=\\N");
    check(&options, "NULL,NULL,1,NULL", "a=NULL, b=NULL, n=1, e=NULL");
    let text = CsvOptions { null: Some("nil".to_owned()), ..options.clone() };
    check(&text, "nil,nil,nil,\"nil\"", "a=none, b=NULL, n=7, e=nil");
    let empty = CsvOptions { null: Some(String::new()), ..options.clone() };
    check(&empty, ",,,", "a=none, b=NULL, n=7, e=NULL");
    let never = CsvOptions { null: None, ..options };
    check(&never, "\\N,\\N,,\\N", "a=\\N, b=\\N, n=7, e=\\N");
    // Without quotes there is no other way to write an empty text.
    let unquoted = CsvOptions { quote: None, ..named(&["a", "b", "n", "e"]) };
    check(&unquoted, ",,,", "a=, b=, n=7, e=");
    check(&unquoted, "\\N,\\N,\\N,\\N", "a=none, b=NULL, n=7, e=NULL");
    check(&unquoted, "\"\",\"x\",1,\"", "a=\"\", b=\"x\", n=1, e=\"");
}

#[test]
fn other_bytes_than_usual() {
    let semicolons = CsvOptions { delimiter: b';', quote: Some(b'\''), ..named(&["a", "b"]) };
    check(&semicolons, &TWO, &[("x,1;'y;''z'''", "a=x,1, b=y;'z'"), ("\"x;y", "a=\"x, b=y")]);
    let escapes = CsvOptions { escape: Some(b'\\'), ..named(&["a", "b"]) };
    check(
        &escapes,
        &TWO,
        &[
            (r#""x\"y","\\z\n\é""#, "a=x\"y, b=\\zné"),
            (r#""x""y",z"#, "a=x\"y, b=z"),
            (r"x\n,y", "a=x\\n, b=y"),
            (r#"x,"y\""#, r#"invalid_csv: column 2 (b) of the record: not csv as configured at byte 2: "\"y\\\"""#),
            (r#"x,"y\"#, r#"invalid_csv: column 2 (b) of the record: not csv as configured at byte 2: "\"y\\""#),
        ],
    );
    let trimmed = CsvOptions { trim: true, ..named(&["a", "b"]) };
    check(
        &trimmed,
        &TWO,
        &[
            (" x y \t,\t\\N ", "a=x y, b=NULL"),
            (" \" x \" ,  \"y\"\t\r\n", "a= x , b=y"),
            ("  ,  ", "a=, b=NULL"),
            (" \" \" , \"\" ", "a= , b="),
        ],
    );
    let tabs_trimmed = CsvOptions { trim: true, delimiter: b'\t', ..named(&["a", "b"]) };
    check(&tabs_trimmed, &TWO, &[(" x \t \"y\" ", "a=x, b=y"), ("\t", "a=, b=NULL")]);
}

#[test]
fn tab_separated() {
    let options = CsvOptions { columns: vec!["a".to_owned(), "b".to_owned()], ..CsvOptions::tab_separated() };
    let shown = "column 2 (b) of the record: not csv as configured at byte";
    check(
        &options,
        &TWO,
        &[
            ("x,\"y\tz\"", "a=x,\"y, b=z\""),
            ("x\\ty\\n\\r\\\\\t\\'z\\\"\\/\\0", "a=x\\ty\\n\\r\\, b='z\"/\\0"),
            ("x\\\ny\tz\n", "a=x\\ny, b=z"),
            ("\\N\t\\N", "a=, b=NULL"),
            ("\t", "a=, b="),
            ("x\ty\\qz", &format!("invalid_csv: {shown} 3: \"\\\\qz\"")),
            ("x\ty\\x41", &format!("invalid_csv: {shown} 3: \"\\\\x41\"")),
            ("x\ty\\Nz", &format!("invalid_csv: {shown} 3: \"\\\\Nz\"")),
            ("x\ty\\", &format!("invalid_csv: {shown} 3: \"\\\\\"")),
            ("x\\\ty", "invalid_csv: column 1 (a) of the record: not csv as configured at byte 1: \"\\\\\\ty\""),
        ],
    );
}

#[test]
fn fields_become_values_of_every_type() {
    let check = |kind: &str, cases: &[(&str, &str)]| {
        let plan = || RowPlan::new(vec![spec(&("x", kind, "x"))], Vec::new(), "Europe/Berlin").unwrap();
        for (field, expected) in cases {
            let found = row(&named(&["x"]), plan(), format!("{field}\n").as_bytes());
            let found = found.strip_prefix("x=").or_else(|| found.split(':').next()).unwrap();
            assert_eq!(&found, expected, "{kind} {field}");
        }
    };
    let truths = ["true", "True", "TRUE", "t", "T", "yes", "Yes", "y", "on", "enable", "ENABLED", "1", "\"true\""];
    check("Bool", &truths.map(|word| (word, "true")));
    let lies = ["false", "f", "F", "no", "N", "off", "disable", "Disabled", "0", "\"0\""];
    check("Bool", &lies.map(|word| (word, "false")));
    check("Bool", &[(" true", "true"), ("\" 0 \"", "false")]);
    check("Bool", &["2", "tr", "truee", "\"\"", "-1"].map(|word| (word, "type_mismatch")));
    check("Nullable(Bool)", &[("\\N", "NULL"), ("yes", "true"), ("x", "type_mismatch")]);
    check("LowCardinality(Bool)", &[("\\N", "false"), ("yes", "true"), ("x", "type_mismatch")]);
    check(
        "UInt8",
        &[
            ("5", "5"),
            ("\"5\"", "5"),
            ("+5", "5"),
            ("007", "7"),
            ("256", "out_of_range"),
            ("-1", "out_of_range"),
            ("5.0", "5"),
            ("5.5", "not_an_integer"),
            ("true", "1"),
            ("yes", "invalid_number"),
            ("\"\"", "invalid_number"),
            (" 5\t", "5"),
            ("\" 5 \"", "5"),
            ("5 5", "invalid_number"),
            (" \t", "0"),
            ("\"  \"", "invalid_number"),
        ],
    );
    check("Int256", &[("-123456789012345678901234567890", "-123456789012345678901234567890")]);
    check("Float64", &[("1.5", "1.5"), ("-1e3", "-1000.0"), ("nan", "NaN"), ("-inf", "-inf"), ("1,5", "invalid_csv")]);
    check("Decimal(9, 2)", &[("1.239", "123"), ("-0.01", "-1"), ("12345678", "out_of_range")]);
    check("Date", &[("1970-01-03", "2"), ("19000", "invalid_time"), ("19700103", "2"), ("1970-01-03 00:00", "2")]);
    check("DateTime", &[("1970-01-01 01:00:05", "5"), ("1970-01-01T00:00:05Z", "5"), ("5", "5")]);
    check("DateTime64(3, 'UTC')", &[("1970-01-01 00:00:00.25", "250"), ("\"1970-01-01\"", "0")]);
    check("Enum8('a' = 1, 'b' = 2)", &[("b", "2"), ("2", "2"), ("", "1"), ("c", "unknown_enum_value")]);
    check("UUID", &[("00112233-4455-6677-8899-aabbccddeeff", "00112233445566778899aabbccddeeff")]);
    check("IPv4", &[("1.2.3.4", "1.2.3.4"), ("001.02.3.4", "1.2.3.4"), ("1.2.3", "invalid_address")]);
    check(
        "IPv4",
        &["1.2.3.4.5", "1..3.4", "0001.2.3.4", "256.2.3.4", "1.2.3.x", ""]
            .map(|text| (text, if text.is_empty() { "0.0.0.0" } else { "invalid_address" })),
    );
    check("FixedString(2)", &[("ab", "ab"), ("abc", "too_long")]);
    check("Nullable(Int8)", &[("", "NULL"), ("\\N", "NULL"), ("-5", "-5"), ("x", "invalid_number")]);
    check("LowCardinality(Int64)", &[("-5", "-5"), ("x", "invalid_number")]);
    check(
        "Array(String)",
        &[
            ("\"[\"\"a\"\",\"\"b\\n\"\"]\"", "[\"a\", \"b\\n\"]"),
            ("[]", "[]"),
            ("", "[]"),
            ("\\N", "[]"),
            ("\"['a']\"", "type_mismatch"),
            ("\"[\"\"a\"\"]]\"", "type_mismatch"),
            ("\"\"", "type_mismatch"),
            ("x", "type_mismatch"),
        ],
    );
    check("Array(UInt8)", &[("[1]", "[1]"), ("\"[1, 2]\"", "[1, 2]"), ("[300]", "out_of_range")]);
    check("Map(String, UInt8)", &[("\"{\"\"a\"\":1}\"", "{\"a\": 1}"), ("[1]", "type_mismatch")]);
    check(
        "Variant(String, UInt64)",
        &[("5", "1:5"), ("\"5\"", "1:5"), ("ab", "0:\"ab\""), ("", "NULL"), ("\\N", "NULL")],
    );
    check("Variant(Bool, Float64)", &[("true", "0:true"), ("yes", "type_mismatch"), ("1.5", "1:1.5"), ("1", "1:1.0")]);
    check("Variant(Int8, String)", &[("5", "0:5"), ("5.0", "1:\"5.0\""), ("true", "1:\"true\"")]);
    check("Time", &[("-01:00:01", "-3601"), ("x", "invalid_time")]);
    check("JSON", &[("{}", "{}"), ("", "{}"), ("[]", "type_mismatch"), ("{", "type_mismatch")]);
    check(
        "Dynamic",
        &[
            ("5", "13:5"),
            ("1.5", "12:1.5"),
            ("true", "8:true"),
            ("1970-01-03", "9:2"),
            ("1970-99-99", "14:\"1970-99-99\""),
            ("5x", "14:\"5x\""),
            ("null", "14:\"null\""),
            ("\"\"\"a\"\"\"", "14:\"\"a\"\""),
            ("\"[1,2]\"", "2:[1, 2]"),
            ("\"[1,\"\"x\"\"]\"", "type_mismatch"),
            ("\"{\"\"a\"\":1}\"", "15:(\"{\"a\":1}\")"),
            ("", "NULL"),
        ],
    );
    check("Tuple(UInt8, String)", &[("\"[1,\"\"x\"\"]\"", "(1, \"x\")")]);
}

#[test]
fn errors_say_which_field_and_where() {
    let columns = [("temp", "Int16", "t"), ("tags", "Array(UInt8)", "tags"), ("name", "String", "name")];
    check(
        &named(&["name", "t", "tags"]),
        &columns,
        &[
            (
                "\"a\"\"b\",warm,",
                "invalid_number: column 2 (t) of the record: field temp (Int16): not a number at byte 7: \"warm,\"",
            ),
            (
                "x,\"40000\",",
                "out_of_range: column 2 (t) of the record: field temp (Int16): outside the range of the column at byte 3: \
                 \"40000\\\",\"",
            ),
            (
                "x,1,\"[1, 2,300]\"",
                "out_of_range: column 3 (tags) of the record: field tags (Array(UInt8)): outside the range of the column \
                 at byte 11: \"300]\\\"\"",
            ),
            // Where quotes were doubled the place is that of the field.
            (
                "x,1,\"[1, \"\"2\"\",300]\"",
                "out_of_range: column 3 (tags) of the record: field tags (Array(UInt8)): outside the range of the column \
                 at byte 5: \"[1, \\\"\\\"2\\\"\\\",300]\\\"\"",
            ),
            // What is wrong with the text itself belongs to no column of the table.
            ("x,\"1", "invalid_csv: column 2 (t) of the record: not csv as configured at byte 2: \"\\\"1\""),
        ],
    );
}

#[test]
fn columns_are_filled_by_number_by_name_and_from_the_whole() {
    let numbers = [("x", "UInt8", "$[2]"), ("y", "String", "$[0]")];
    check(&CsvOptions::default(), &numbers, &[("a,b,3", "x=3, y=a"), ("a", "x=0, y=a"), ("a,b,3,d", "x=3, y=a")]);
    check(
        &CsvOptions::default(),
        &numbers,
        &[("a,b,c", "invalid_number: column 3 of the record: field x (UInt8): not a number at byte 4: \"c\"")],
    );
    let mixed = [("x", "UInt8", "$[1]"), ("y", "String", "b"), ("z", "String", "$.a"), ("absent", "Int8", "c")];
    check(&named(&["a", "b"]), &mixed, &[("p,3", "x=3, y=3, z=p, absent=0")]);
    let whole = [("w", "String", "$"), ("a", "UInt8", "a")];
    check(
        &named(&["a", "", "b"]),
        &whole,
        &[
            ("1,\"x\"\"\n\",\\N", r#"w={"a":"1","1":"x\"\n","b":null}, a=1"#),
            ("1,,\u{e9}", "w={\"a\":\"1\",\"1\":\"\",\"b\":\"\u{e9}\"}, a=1"),
            ("x,\"", "invalid_csv: column 2 of the record: not csv as configured at byte 2: \"\\\"\""),
        ],
    );
    check(&CsvOptions::default(), &whole[..1], &[("1,,x", r#"w=["1","","x"]"#)]);
    let map = [("w", "Map(String, Nullable(UInt8))", "$")];
    check(
        &named(&["a", "b"]),
        &map,
        &[
            ("1,\\N", "w={\"a\": 1, \"b\": NULL}"),
            ("1,x", "invalid_number: field w (Map(String, Nullable(UInt8))): not a number at byte 0: \"1,x\""),
        ],
    );
}

#[test]
fn fields_that_no_column_takes() {
    let columns = || {
        let rest = ColumnSpec::new("rest", "String", DefaultValue::TypeZero).unwrap();
        vec![spec(&("a", "UInt8", "a")), rest.from_source(Source::UnknownFields)]
    };
    let check = |options: &CsvOptions, policy: UnknownFields, record: &str, expected: &str| {
        let plan = RowPlan::new(columns(), Vec::new(), "UTC").unwrap().with_unknown_fields(policy);
        assert_eq!(row(options, plan, record.as_bytes()), expected, "{record}");
    };
    let options = named(&["a", "b", "", "d"]);
    check(&options, UnknownFields::Ignore, "1,2,3,4", "a=1, rest=");
    check(
        &options,
        UnknownFields::DeadLetter,
        "1,2,3,4",
        "unknown_field: column 2 (b) of the record: no column takes this field at byte 2: \"2,3,4\"",
    );
    check(&named(&["a"]), UnknownFields::DeadLetter, "1", "a=1, rest=");
    check(&options, UnknownFields::Collect(1), "1,\"x\"\"y\",,\\N", r#"a=1, rest={"b":"x\"y","2":"","d":null}"#);
    check(&named(&["a"]), UnknownFields::Collect(1), "1", "a=1, rest={}");
}

#[test]
fn values_that_do_not_fit_are_replaced_where_that_is_wanted() {
    let check = |kind: &str, policy: OnError, field: &str, expected: &str| {
        let column = ColumnSpec::new("c", kind, DefaultValue::TypeZero).unwrap().on_error(policy);
        let after = ColumnSpec::new("after", "UInt8", DefaultValue::TypeZero).unwrap();
        let plan = RowPlan::new(vec![column, after], Vec::new(), "UTC").unwrap();
        let found = row(&named(&["c", "after"]), plan, format!("{field},1").as_bytes());
        assert_eq!(found.split(':').next().unwrap(), expected, "{kind} {policy:?} {field}");
    };
    check("UInt8", OnError::DeadLetter, "300", "out_of_range");
    check("UInt8", OnError::Default, "300", "c=0, after=1 (1 replaced)");
    check("UInt8", OnError::Default, "\"x\"\"y\"", "c=0, after=1 (1 replaced)");
    check("Nullable(UInt8)", OnError::Null, "x", "c=NULL, after=1 (1 replaced)");
    check("UInt8", OnError::Clamp, "-300", "c=0, after=1 (1 replaced)");
    check("UInt8", OnError::Clamp, "300", "c=255, after=1 (1 replaced)");
    check("UInt8", OnError::Clamp, "x", "invalid_number");
    check("Nullable(Bool)", OnError::Null, "maybe", "c=NULL, after=1 (1 replaced)");
    // The record is well-formed, whatever stands in the field.
    check("Array(UInt8)", OnError::Default, "[1", "c=[], after=1 (1 replaced)");
    check("Array(UInt8)", OnError::Default, "\"[1,300]\"", "c=[], after=1 (1 replaced)");
    check("UInt8", OnError::Default, "\"1", "invalid_csv");
}

#[test]
fn what_cannot_work_is_refused_when_the_decoder_is_made() {
    let check = |options: CsvOptions, columns: &[Mapped<'_>], expected: &str| {
        let plan = plan(columns.iter().map(spec).collect());
        let refused = RecordDecoder::new(&plan, &Format::Csv(options), None).unwrap_err();
        assert_eq!(refused, expected);
    };
    let a = [("a", "UInt8", "a")];
    check(CsvOptions::default(), &a, "a: filled from the field `a`, but `columns` names no fields");
    check(named(&["a"]), &[("x", "UInt8", "$.a.b")], "x: a field of CSV has no parts");
    check(named(&["a"]), &[("x", "UInt8", "$[0][1]")], "x: a field of CSV has no parts");
    check(named(&["a"]), &[("x", "UInt8", "$[1]")], "x: filled from `$[1]` of 1 fields");
    check(CsvOptions::default(), &[("x", "UInt8", "$[10000]")], "x: filled from `$[10000]` of 10000 fields");
    check(named(&["a", "b", "a"]), &a, "columns names `a` twice");
    let with = |delimiter, quote, escape| CsvOptions { delimiter, quote, escape, ..named(&["a"]) };
    check(with(b'"', Some(b'"'), None), &a, "quote and delimiter are both '\"'");
    check(with(b',', Some(b'"'), Some(b'"')), &a, "escape and quote are both '\"'");
    check(with(b',', None, Some(b',')), &a, "escape and delimiter are both ','");
    check(with(b'\n', None, None), &a, "delimiter is '\\n': it must be an ASCII character and no line break");
    check(with(b',', Some(0xAB), None), &a, "quote is '\u{ab}': it must be an ASCII character and no line break");
    let null = CsvOptions { null: Some("a,b".to_owned()), ..named(&["a"]) };
    check(null, &a, "null has a delimiter, a quote or a line break in it");
    let twice = plan(vec![ColumnSpec { aliases: vec![Source::field("A")], ..spec(&a[0]) }]);
    let refused = RecordDecoder::new(&twice, &Format::Csv(named(&["a", "A"])), None).unwrap_err();
    assert_eq!(refused, "a: filled from two fields");
    assert!(RecordDecoder::new(&twice, &Format::Csv(named(&["b", "A"])), None).is_ok());
}
