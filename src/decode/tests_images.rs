//! Tests of deletions that only a key describes, of documents around changes, and of paths around the rows of a record.

use std::sync::Arc;

use super::tests_record::{Mapped, decoded_by, spec};
use super::{Format, Record, RecordDecoder};
use crate::columns::{Carried, Changes, ColumnSpec, DefaultValue, OnError, RowPlan, Source};
use crate::config::Records;

fn with(columns: &[Mapped<'_>], changes: Changes) -> Arc<RowPlan> {
    let deleted = ColumnSpec::new("deleted", "UInt8", DefaultValue::TypeZero).unwrap().from_source(Source::Deleted);
    let columns = columns.iter().map(spec).chain([deleted]).collect();
    Arc::new(RowPlan::new(columns, Vec::new(), "UTC").unwrap().with_changes(changes))
}

/// What becomes of a record; its code where it is a dead letter.
fn stored(plan: &Arc<RowPlan>, key: Option<&str>, value: Option<&str>) -> String {
    let mut decoder = RecordDecoder::new(plan, &Format::Json, Some(&Format::Json)).unwrap();
    let record = Record { key: key.map(str::as_bytes), value: value.map(str::as_bytes), ..Record::of_value(b"") };
    let shown = decoded_by(&mut decoder, plan, &record);
    match shown.split_once(": ") {
        Some((code, _)) if !shown.contains('=') || code == "invalid_envelope" => code.to_owned(),
        _ => shown,
    }
}

const CHANGES: Changes = Changes {
    carried: Carried::Maybe,
    envelope: true,
    tombstone_rows: true,
    deletes_by_key: true,
    replaces_nothing: false,
};

#[test]
fn a_deletion_needs_the_key_that_columns_are_filled_from() {
    let by_key = [("id", "UInt32", "$key.id"), ("note", "Nullable(String)", "$key.note")];
    let named = [by_key[0], by_key[1], ("name", "String", "$.after.name")];
    let (key, bare) = (Some(r#"{"id":7}"#), r#"{"op":"d","before":null}"#);
    let full = r#"{"op":"d","before":{"name":"a"}}"#;
    for (columns, key, value, expected) in [
        (&by_key[..], key, Some(bare), "id=7, note=NULL, deleted=1"),
        (&by_key, None, Some(bare), "invalid_envelope"),
        (&by_key, Some("{}"), Some(bare), "invalid_envelope"),
        (&by_key, key, None, "id=7, note=NULL, deleted=1"),
        (&by_key, None, None, "invalid_envelope"),
        (&named, key, Some(full), "id=7, note=NULL, name=a, deleted=1"),
        // The row that was there does not say which one it is.
        (&named, None, Some(full), "invalid_envelope"),
    ] {
        assert_eq!(stored(&with(columns, CHANGES), key, value), expected, "{columns:?} {key:?} {value:?}");
    }
}

/// A table that keeps every event has rows that take no other's place.
#[test]
fn where_no_row_replaces_another_a_deletion_needs_no_key() {
    let changes = Changes { deletes_by_key: false, replaces_nothing: true, ..CHANGES };
    let plan = with(&[("id", "UInt32", "$key.id"), ("name", "String", "$.after.name")], changes);
    assert_eq!(stored(&plan, None, None), "id=0, name=, deleted=1");
    assert_eq!(stored(&plan, None, Some(r#"{"op":"d","before":{"name":"a"}}"#)), "id=0, name=a, deleted=1");
    assert_eq!(stored(&plan, Some(r#"{"id":1}"#), Some(r#"{"op":"d","before":null}"#)), "invalid_envelope");
}

#[test]
fn documents_are_read_before_a_change_as_well_and_by_routes() {
    let columns = [("new", "String", "$.after.n"), ("old", "String", "$.before.n")];
    let event = r#"{"op":"u","before":"{\"n\":{\"$oid\":\"1\"}}","after":"{\"n\":\"2\"}"}"#;
    assert_eq!(stored(&with(&columns, CHANGES), Some("{}"), Some(event)), "new=2, old=1, deleted=0");
    // What was there before is no row of the change.
    let lacking = r#"{"op":"u","before":"{\"n\":\"1\"}","after":null}"#;
    assert_eq!(stored(&with(&columns, CHANGES), Some("{}"), Some(lacking)), "invalid_envelope");
    let route = Changes { envelope: false, ..CHANGES };
    assert_eq!(stored(&with(&columns, route), Some("{}"), Some(event)), "new=2, old=1, deleted=0");
}

/// Values that may hold themselves are read once: read twice at each level, this would take for ever.
#[test]
fn documents_that_nest_deeply_are_read_once() {
    let plan = with(&[("c", "String", "$.after.c")], CHANGES);
    for name in ["$date", "$oid", "$numberLong", "$binary"] {
        let deep = format!(r#"{}1{}"#, format!(r#"{{"{name}":"#).repeat(90), "}".repeat(90));
        let document = serde_json::to_string(&format!(r#"{{"c":{deep}}}"#)).unwrap();
        let shown = stored(&plan, Some("{}"), Some(&format!(r#"{{"op":"c","after":{document}}}"#)));
        assert!(shown.starts_with(&format!(r#"c={{"{name}":{{"{name}""#)), "{shown}");
    }
    for odd in
        [r#"{"$binary":{}}"#, r#"{"$binary":{"base64":5}}"#, r#"{"$date":{}}"#, r#"{"$date":{"$numberLong":true}}"#]
    {
        let document = serde_json::to_string(&format!(r#"{{"c":{odd}}}"#)).unwrap();
        let shown = stored(&plan, Some("{}"), Some(&format!(r#"{{"op":"c","after":{document}}}"#)));
        assert_eq!(shown, format!("c={odd}, deleted=0"));
    }
}

#[test]
fn a_path_around_the_rows_leads_through_objects_only() {
    let check = |policy: OnError, record: &str, expected: &str| {
        let city = spec(&("city", "String", "$record.to.city")).on_error(policy);
        let plan = Arc::new(RowPlan::new(vec![spec(&("a", "UInt8", "a")), city], Vec::new(), "UTC").unwrap());
        let Ok(Source::Value(path)) = Source::parse("$.items") else { unreachable!("it is a path") };
        let mut decoder = RecordDecoder::json(&plan).of_records(&Records::Inside(path));
        let mut columns = crate::columns::Columns::new(&plan).unwrap();
        let mut cursor = super::RowCursor::default();
        let next = decoder.next_row(&Record::of_value(record.as_bytes()), &mut cursor, &mut columns);
        let found = match next {
            Ok(found) => found.to_string(),
            Err(super::Undecoded::Bad(error)) => format!("{} {:?}", error.code, error.field),
            Err(other) => panic!("{other:?}"),
        };
        assert_eq!(found, expected, "{policy:?} {record}");
    };
    for value in ["5", "true", "\"text\"", "[]"] {
        let record = format!(r#"{{"items":[{{"a":1}}],"to":{value}}}"#);
        check(OnError::DeadLetter, &record, r#"type_mismatch Some("city")"#);
        check(OnError::Default, &record, "true");
    }
    check(OnError::DeadLetter, r#"{"items":[{"a":1}],"to":null}"#, "true");
    check(OnError::DeadLetter, r#"{"items":[{"a":1}],"to":{}}"#, "true");
}
