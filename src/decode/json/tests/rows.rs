//! Records that hold several objects.

use std::sync::Arc;

use super::plan;
use crate::columns::{
    ColumnSpec, Columns, CoordinateKind, CoordinateSpec, DefaultValue, RowCoordinates, RowPlan, Source, UnknownFields,
};
use crate::config::Records;
use crate::decode::{Record, RecordDecoder, RowCursor, Undecoded};

/// The rows of a record as `a,b` each, or what is wrong with it.
pub(super) fn read(plan: &Arc<RowPlan>, records: Records, bytes: &[u8]) -> Result<Vec<String>, String> {
    let (mut decoder, mut columns) = (RecordDecoder::json(plan).of_records(&records), Columns::new(plan).unwrap());
    let (record, mut cursor) = (Record::of_value(bytes), RowCursor::default());
    let mut rows = Vec::new();
    while decoder.next_row(&record, &mut cursor, &mut columns).map_err(explained)? {
        let row: Vec<String> =
            (0..plan.columns().len()).map(|column| format!("{:?}", columns.last_value(column))).collect();
        rows.push(row.join(","));
        let row = u32::try_from(cursor.rows() - 1).unwrap();
        columns.commit_row(&RowCoordinates { topic: "t", partition: 0, offset: 0, row, replay: 0 });
    }
    assert_eq!(columns.rows(), rows.len());
    Ok(rows)
}

fn explained(undecoded: Undecoded) -> String {
    match undecoded {
        Undecoded::Bad(error) => format!("{}: {error}", error.code),
        other => format!("{other:?}"),
    }
}

#[test]
fn each_object_is_a_row() {
    let plan = plan(&[("a", "UInt8"), ("b", "String")]);
    let one = read(&plan, Records::One, br#"{"a":1,"b":"x"}"#).unwrap();
    let two = read(&plan, Records::One, br#"{"b":"y"}"#).unwrap();
    let both = [one.clone(), two.clone()].concat();
    let check = |records: Records, text: &str, expected: &[String]| {
        assert_eq!(read(&plan, records, text.as_bytes()).as_deref(), Ok(expected), "{text:?}");
    };
    check(Records::One, r#" {"a":1,"b":"x"} "#, &one);
    check(Records::Array, "[]", &[]);
    check(Records::Array, " [ ] \n", &[]);
    check(Records::Array, r#"[{"a":1,"b":"x"}]"#, &one);
    check(Records::Array, r#"[{"a":1,"b":"x"},{"b":"y"}]"#, &both);
    check(Records::Array, " [ {\"b\":\"x\" ,\"a\":1} ,\n {\"z\":[{}],\"b\":\"y\"} ] ", &both);
    check(Records::Lines, "", &[]);
    check(Records::Lines, " \r\n\n", &[]);
    check(Records::Lines, r#"{"a":1,"b":"x"}"#, &one);
    check(Records::Lines, "{\"a\":1,\"b\":\"x\"}\n{\"b\":\"y\"}\n", &both);
    check(Records::Lines, "\n{\"a\":1,\"b\":\"x\"}\r\n\r\n{\"b\":\"y\"}", &both);
    // With a byte order mark, and values that nobody takes and that are no JSON.
    check(Records::Array, "\u{feff}[{\"a\":1,\"b\":\"x\"},{\"z\":NaN,\"b\":\"y\"}]", &both);
    check(Records::Lines, "\u{feff}{\"a\":1,\"b\":\"x\"}\n{\"z\":\"\\ud800\",\"b\":\"y\"}\n", &both);
    let many: Vec<String> = (0..1000).flat_map(|_| both.clone()).collect();
    check(Records::Lines, &"{\"a\":1,\"b\":\"x\"}\n{\"b\":\"y\"}\n".repeat(1000), &many);
}

#[test]
fn a_bad_row_is_named_with_its_place() {
    let plan = plan(&[("a", "UInt8"), ("b", "String")]);
    let check = |records, text: &str, expected: &str| {
        assert_eq!(read(&plan, records, text.as_bytes()), Err(expected.to_owned()), "{text:?}");
    };
    let array = || Records::Array;
    check(array(), "", r#"empty: row 0: the record has no bytes at byte 0: """#);
    check(
        array(),
        r#"{"a":1}"#,
        r#"not_a_list: row 0: not a json list, where the rows are to be at byte 0: "{\"a\":1}""#,
    );
    check(array(), "[", r#"invalid_json: row 0: not json at byte 1: """#);
    check(array(), "[5]", r#"not_an_object: row 0: the record is not an object at byte 1: "5]""#);
    check(
        array(),
        r#"[{"a":1},{"a":300}]"#,
        r#"out_of_range: row 1: field a (UInt8): outside the range of the column at byte 14: "300}]""#,
    );
    check(array(), r#"[{"a":1},]"#, r#"invalid_json: row 1: not json at byte 9: "]""#);
    check(array(), r#"[{"a":1} {"a":2}]"#, r#"invalid_json: row 1: not json at byte 9: "{\"a\":2}]""#);
    check(array(), r#"[{"a":1}"#, r#"invalid_json: row 1: not json at byte 8: """#);
    check(array(), r#"[{"a":1}] x"#, r#"trailing_data: row 1: bytes follow the record at byte 10: "x""#);
    check(array(), "[] []", r#"trailing_data: row 0: bytes follow the record at byte 3: "[]""#);
    let lines = || Records::Lines;
    check(
        lines(),
        "{\"a\":1}\n{\"a\":-1}\n",
        r#"out_of_range: row 1: field a (UInt8): outside the range of the column at byte 13: "-1}\n""#,
    );
    check(lines(), "{\"a\":1}\n]", r#"invalid_json: row 1: not json at byte 8: "]""#);
    check(lines(), "{\"a\":1}\n[]", r#"not_an_object: row 1: the record is not an object at byte 8: "[]""#);
    let deep = format!("[{{\"x\":{}", "[".repeat(127));
    assert!(read(&plan, array(), deep.as_bytes()).unwrap_err().starts_with("too_deep: row 0: "));
    assert!(read(&plan, lines(), b"{\"b\":\"\xff\"}").unwrap_err().starts_with("invalid_utf8: row 0: "));
}

/// What is beside the fields of a row: the object itself, what no column takes, and what every row of the record shares.
#[test]
fn a_row_is_filled_from_its_object_and_its_record() {
    let column = |name: &str, source: Source| {
        ColumnSpec::new(name, "String", DefaultValue::TypeZero).unwrap().from_source(source)
    };
    let columns = vec![
        column("a", Source::field("a")),
        column("whole", Source::parse("$").unwrap()),
        column("key", Source::parse("$key").unwrap()),
        column("rest", Source::UnknownFields),
    ];
    let row = CoordinateSpec::new(CoordinateKind::Row, "_row", "UInt32").unwrap();
    let plan = RowPlan::new(columns, vec![row], "UTC").unwrap().with_unknown_fields(UnknownFields::Collect(3));
    let plan = Arc::new(plan);
    let (mut decoder, mut columns) =
        (RecordDecoder::json(&plan).of_records(&Records::Array), Columns::new(&plan).unwrap());
    let record = Record { key: Some(b"k"), ..Record::of_value(br#"[{"a":"x","b":1}, {"c":[2]}]"#) };
    let mut cursor = RowCursor::default();
    let mut rows = Vec::new();
    while decoder.next_row(&record, &mut cursor, &mut columns).unwrap() {
        rows.push((0..4).map(|column| format!("{:?}", columns.last_value(column))).collect::<Vec<_>>().join(" "));
        columns.rollback_row();
    }
    assert_eq!(
        rows,
        [
            r#"Str("x") Str("{\"a\":\"x\",\"b\":1}") Str("k") Str("{\"b\":1}")"#,
            r#"Str("") Str("{\"c\":[2]}") Str("k") Str("{\"c\":[2]}")"#,
        ]
    );
}
