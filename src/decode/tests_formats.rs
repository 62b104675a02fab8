//! Tests of keys that have a format of their own, and of values that are taken as they are.

use super::tests_record::{Mapped, decoded_by, plan, spec};
use super::{CsvOptions, Format, Record, RecordDecoder};
use crate::columns::{ColumnSpec, OnError};

/// Decodes a record with this key into the columns.
fn check_key(key: Option<&Format>, columns: &[Mapped<'_>], bytes: Option<&[u8]>, expected: &str) {
    let plan = plan(columns.iter().map(spec).collect());
    let found = match RecordDecoder::new(&plan, &Format::Json, key) {
        Ok(mut decoder) => {
            decoded_by(&mut decoder, &plan, &Record { key: bytes, ..Record::of_value(br#"{"v": 1, "id": 9}"#) })
        }
        Err(error) => format!("refused: {error}"),
    };
    assert_eq!(found, expected, "{key:?} {columns:?} {bytes:?}");
}

#[test]
fn keys_have_a_format_of_their_own() {
    let parts = [("id", "UInt32", "$key.id"), ("site", "Nullable(String)", "$key.at[1]"), ("v", "UInt8", "v")];
    let json = Some(&Format::Json);
    check_key(json, &parts, Some(br#"{"id": 5, "at": ["x", "y"], "z": {}}"#), "id=5, site=y, v=1");
    check_key(json, &parts, Some(b"{}"), "id=0, site=NULL, v=1");
    check_key(json, &parts, None, "id=0, site=NULL, v=1");
    check_key(
        json,
        &parts,
        Some(br#"{"id": -5}"#),
        r#"out_of_range: key: field id (UInt32): outside the range of the column at byte 7: "-5}""#,
    );
    check_key(json, &parts, Some(b"id-5"), r#"invalid_json: key: not json at byte 0: "id-5""#);
    check_key(json, &parts, Some(b""), r#"empty: key: the record has no bytes at byte 0: """#);
    let whole = [("k", "UInt32", "$key"), ("v", "UInt8", "v")];
    check_key(json, &whole, Some(b" 17 "), "k=17, v=1");
    check_key(Some(&Format::Raw), &whole, Some(b"17"), "k=17, v=1");
    check_key(None, &whole, Some(b"17"), "k=17, v=1");
    check_key(None, &whole, None, "k=0, v=1");
    check_key(
        Some(&Format::Raw),
        &whole,
        Some(b"x"),
        r#"invalid_number: key: field k (UInt32): not a number at byte 0: "x""#,
    );
    let csv = Format::Csv(CsvOptions { columns: vec!["site".into(), "id".into()], ..CsvOptions::default() });
    let fields = [("id", "UInt32", "$key.id"), ("first", "String", "$key[0]"), ("v", "UInt8", "v")];
    check_key(Some(&csv), &fields, Some(b"hh,7"), "id=7, first=hh, v=1");
    check_key(
        Some(&csv),
        &fields,
        Some(b"hh,x"),
        r#"invalid_number: key: column 2 (id) of the record: field id (UInt32): not a number at byte 3: "x""#,
    );
    // A byte order mark is none of any text; as bytes it stays.
    check_key(json, &parts, Some("\u{feff}{\"id\": 5}".as_bytes()), "id=5, site=NULL, v=1");
    check_key(Some(&csv), &fields, Some("\u{feff}hh,7".as_bytes()), "id=7, first=hh, v=1");
    check_key(None, &whole, Some("\u{feff}17".as_bytes()), "k=17, v=1");
    check_key(Some(&Format::Raw), &whole, Some("\u{feff}17".as_bytes()), "k=17, v=1");
    check_key(None, &[("k", "String", "$key")], Some("\u{feff}x".as_bytes()), "k=\\u{feff}x");
    // A key whose format nobody asks anything of is not read.
    check_key(json, &[("v", "UInt8", "v")], Some(b"no json"), "v=1");
    check_key(None, &parts, None, "refused: id: filled from `$key.id`, but the key has no format");
    check_key(
        Some(&Format::Raw),
        &parts,
        None,
        "refused: key: id: filled from a part of the bytes, which `raw` does not read",
    );
}

#[test]
fn raw_values_go_to_columns_as_they_are() {
    let check = |columns: Vec<ColumnSpec>, value: &[u8], expected: &str| {
        let plan = plan(columns);
        let mut decoder = RecordDecoder::new(&plan, &Format::Raw, None).unwrap();
        assert_eq!(decoded_by(&mut decoder, &plan, &Record::of_value(value)), expected, "{value:?}");
    };
    let column = |name, kind| spec(&(name, kind, "$"));
    let both = || vec![column("text", "String"), column("number", "Nullable(Int16)")];
    check(both(), b"-5", "text=-5, number=-5");
    check(both(), b"x", r#"invalid_number: field number (Nullable(Int16)): not a number at byte 0: "x""#);
    check(vec![column("text", "String")], b"", "text=");
    check(vec![column("text", "LowCardinality(String)")], b"{\"a\": 1}\n", r#"text={"a": 1}\n"#);
    check(
        vec![column("code", "FixedString(2)")],
        b"abc",
        r#"too_long: field code (FixedString(2)): longer than the column at byte 0: "abc""#,
    );
    let clamped = column("number", "UInt8").on_error(OnError::Clamp);
    check(vec![clamped], b"300", "number=255 (1 replaced)");
    check(
        vec![column("number", "UInt8")],
        b"\xff",
        "invalid_utf8: field number (UInt8): the record is not utf-8 at byte 0: \"\u{fffd}\"",
    );
    let part = plan(vec![spec(&("a", "String", "$.a"))]);
    let refused = RecordDecoder::new(&part, &Format::Raw, None).unwrap_err();
    assert_eq!(refused, "a: filled from a part of the bytes, which `raw` does not read");
}
