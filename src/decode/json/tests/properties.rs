//! What holds for all records: the grammar of what is kept is serde_json's, what that takes is passed over, and a bad row
//! leaves no trace.

use std::collections::HashMap;

use proptest::prelude::*;

use super::{Table, plan};
use crate::decode::ErrorCode;
use crate::decode::json::cursor::Cursor;

const CASES: u32 = 200;

/// JSON documents as texts, with all kinds of white space, numbers and escapes.
fn document() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        Just("false".to_owned()),
        any::<i64>().prop_map(|n| n.to_string()),
        any::<f64>().prop_filter("JSON has no NaN", |f| f.is_finite()).prop_map(|f| format!("{f:e}")),
        "-?(0|[1-9][0-9]{0,30})(\\.[0-9]{1,25})?([eE][-+]?[0-9]{1,2})?",
        string(),
    ];
    leaf.prop_recursive(6, 40, 6, |inner| {
        let space = "[ \t\r\n]{0,2}";
        prop_oneof![
            (prop::collection::vec(inner.clone(), 0..6), space)
                .prop_map(|(items, space)| format!("[{space}{}]", items.join(&format!("{space},")))),
            (prop::collection::vec((string(), inner), 0..6), space).prop_map(|(fields, space)| {
                let fields: Vec<_> =
                    fields.into_iter().map(|(key, value)| format!("{key}{space}:{space}{value}{space}")).collect();
                format!("{{{space}{}}}", fields.join(","))
            }),
        ]
    })
}

fn string() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        "[a-z \u{e9}\u{1f600}/]{0,12}",
        "\\\\[\"\\\\/bfnrt]",
        "\\\\u[0-9a-fA-F]{4}",
        Just("\\ud83d\\ude00".to_owned()),
    ];
    prop::collection::vec(piece, 0..4).prop_map(|pieces| format!("\"{}\"", pieces.concat()))
}

/// A document with some bytes changed, removed or added.
fn mutated() -> impl Strategy<Value = Vec<u8>> {
    (document(), changes()).prop_map(|(text, changes)| apply(text, changes))
}

type Changes = Vec<(prop::sample::Index, u8, u8)>;

fn changes() -> impl Strategy<Value = Changes> {
    let bytes =
        prop_oneof![prop::sample::select(&b"{}[]\",:\\u0123456789.eE+-tfn \n\t\0/\xc3\xa9\xff"[..]), any::<u8>()];
    let change = (any::<prop::sample::Index>(), bytes, 0..3_u8);
    prop::collection::vec(change, 0..4)
}

fn apply(text: String, changes: Changes) -> Vec<u8> {
    let mut bytes = text.into_bytes();
    for (place, byte, kind) in changes {
        let place = place.index(bytes.len() + 1);
        match kind {
            0 => bytes.insert(place, byte),
            1 if place < bytes.len() => bytes[place] = byte,
            _ => bytes.truncate(place),
        }
    }
    bytes
}

/// Records of one producer: the same keys in the same style, now and then damaged. What the
/// decoder has learned from one record must not make it lenient with the next.
fn similar_records() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let style = ("[ \n]{0,2}", "[ \t]{0,2}", "[ ]{0,2}", 0..6_usize);
    let record = (prop::collection::vec(document(), 4), prop_oneof![3 => Just(Vec::new()), 2 => changes()]);
    (style, prop::collection::vec(record, 2..6)).prop_map(|((begin, before, after, first), records)| {
        let record = |(values, changes): (Vec<String>, Changes)| {
            let keys = ["a", "unknown", "b", "\\u0063", "another rather long key of no column", "d"];
            let fields: Vec<_> = keys[first..]
                .iter()
                .zip(&values)
                .map(|(key, value)| format!("{before}\"{key}\"{after}:{after}{value}"))
                .collect();
            apply(format!("{begin}{{{}}}", fields.join(",")), changes)
        };
        records.into_iter().map(record).collect()
    })
}

/// Whether our parser takes the text as one value, by the path that checks a text that is kept.
fn keeps(text: &[u8]) -> bool {
    let mut json = Cursor::new(text);
    std::str::from_utf8(text).is_ok() && json.check_value().is_ok() && json.next_token() == 0 && json.at_end()
}

/// The same by the path that passes over what nobody takes.
fn skips(text: &[u8]) -> bool {
    let mut json = Cursor::new(text);
    json.skip_value().is_ok() && json.next_token() == 0 && json.at_end()
}

/// A record of all kinds of columns; `bad` breaks one of its fields.
fn record() -> impl Strategy<Value = (String, bool)> {
    let fields = (
        any::<i32>(),
        string_value(),
        prop::collection::vec(string_value(), 0..3),
        prop::option::of(any::<i8>()),
        prop::collection::vec(("[a-c]", any::<u8>()), 0..3),
        0..14_u8,
        any::<u8>(),
    );
    fields.prop_map(|(n, s, list, o, map, fault, order)| {
        let quote = |text: &String| serde_json::to_string(text).unwrap();
        let list: Vec<_> = list.iter().map(quote).collect();
        let map: Vec<_> = map.iter().map(|(k, v)| format!("{k:?}:{v}")).collect();
        let mut fields = vec![
            format!("\"n\":{n}"),
            format!("\"s\":{}", quote(&s)),
            format!("\"c\":{}", quote(&s)),
            format!("\"l\":[{}]", list.join(",")),
            format!("\"o\":{}", o.map_or("null".into(), |o| o.to_string())),
            format!("\"m\":{{{}}}", map.join(",")),
            format!("\"t\":[{n},[{}]]", list.join(",")),
            format!("\"v\":[{n},{},[{}]]", quote(&s), list.join(",")),
            format!("\"j\":[{{\"a\":{n}}},{{\"b\":{}}}]", quote(&s)),
        ];
        let places = fields.len();
        fields.rotate_left(usize::from(order) % places);
        let place = usize::from(order / 7) % places;
        match fault {
            0 => fields.push("\"n\":99999999999".into()),
            1 => fields.insert(place, "\"z\":[1,}".into()),
            2 => fields.push("\"l\":[\"new\",\"values\",5,{}".into()),
            3 => fields.insert(place, "\"n\":\"x\"".into()),
            4 => fields.push("\"s\":\"\\ud800\"".into()),
            5 => fields.push("\"t\":[1,[\"fresh\",[1]".into()),
            6 => fields.push("\"m\":{\"fresh\":300}".into()),
            7 => fields.push("\"v\":[1,\"fresh\",[\"fresh\"],{}]".into()),
            8 => fields.push("\"j\":[{\"fresh\":1},1]".into()),
            _ => {
                // A good record may lack a field.
                fields.truncate(places - usize::from(fault % 2));
            }
        }
        (format!("{{{}}}", fields.join(",")), fault > 8)
    })
}

fn string_value() -> impl Strategy<Value = String> {
    prop_oneof!["[a-d]{0,2}", ".{0,20}"]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: CASES, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_accepted_is_what_serde_json_accepts(text in mutated()) {
        let expected = serde_json::from_slice::<serde::de::IgnoredAny>(&text).is_ok();
        // serde_json does not look into strings that it ignores.
        let expected = expected && strings_are_sound(&text);
        prop_assert_eq!(keeps(&text), expected, "{}", String::from_utf8_lossy(&text));
        prop_assert!(skips(&text) || !expected, "{}", String::from_utf8_lossy(&text));
    }

    #[test]
    fn what_was_learned_of_one_record_changes_nothing_in_the_next(records in similar_records()) {
        let columns = [("a", "String"), ("b", "String"), ("c", "String"), ("d", "String")];
        let plan = plan(&columns);
        let mut table = Table::new(&plan);
        for record in &records {
            let expected = std::str::from_utf8(record).is_ok()
                && serde_json::from_slice::<HashMap<String, serde::de::IgnoredAny>>(record).is_ok()
                && strings_are_sound(record);
            let outcome = table.push(record);
            let alone = Table::new(&plan).push(record);
            prop_assert_eq!(&outcome, &alone, "{}", String::from_utf8_lossy(record));
            let duplicate = matches!(&outcome, Err(e) if e.code == ErrorCode::DuplicateKey);
            prop_assert!(
                duplicate || outcome.is_ok() || !expected,
                "{:?} {}", outcome, String::from_utf8_lossy(record)
            );
        }
        table.raw_block();
    }

    #[test]
    fn strings_and_numbers_are_those_of_serde_json(text in document()) {
        let Ok(expected) = serde_json::from_str::<serde_json::Value>(&text) else {
            return Ok(());
        };
        let record = format!("{{\"b\":{text},\"x\":{text}}}");
        if let Some(expected) = expected.as_str() {
            let mut table = Table::new(&plan(&[("b", "String")]));
            table.push(record).unwrap();
            prop_assert_eq!(table.stored("b"), format!("{expected:?}"));
        } else if expected.is_number() {
            let float: f64 = text.parse().unwrap();
            let mut table = Table::new(&plan(&[("x", "Float64"), ("b", "Int64")]));
            let outcome = table.push(record);
            match text.parse::<i64>() {
                Ok(integer) => prop_assert_eq!(table.stored("b"), integer.to_string()),
                // Written with a point or an exponent, or too great.
                Err(_) if outcome.is_ok() => {
                    prop_assert_eq!(table.stored("b").parse::<i64>().unwrap() as f64, float);
                }
                Err(_) => prop_assert!(float.fract() != 0.0 || float.abs() > 9e15 || text.len() > 15, "{}", text),
            }
            let mut table = Table::new(&plan(&[("x", "Float64")]));
            table.push(format!("{{\"x\":{text}}}")).unwrap();
            prop_assert_eq!(table.stored("x"), format!("{float:?}"));
        }
    }

    #[test]
    fn bad_rows_leave_no_trace(records in prop::collection::vec(record(), 1..30)) {
        let plan = plan(&[
            ("n", "Int32"),
            ("s", "String"),
            ("c", "LowCardinality(String)"),
            ("l", "Array(LowCardinality(Nullable(String)))"),
            ("o", "Nullable(Int8)"),
            ("m", "Map(LowCardinality(String), UInt8)"),
            ("t", "Tuple(Int32, Array(String))"),
            ("v", "Array(Variant(Array(LowCardinality(String)), Int32, LowCardinality(FixedString(80))))"),
            ("j", "Array(JSON)"),
        ]);
        let (mut mixed, mut good_only) = (Table::new(&plan), Table::new(&plan));
        for (offset, (record, good)) in (0_i64..).zip(&records) {
            prop_assert_eq!(mixed.push_at(record, offset).is_ok(), *good, "{}", record);
            if *good {
                good_only.push_at(record, offset).unwrap();
            } else if offset % 2 == 0 {
                // A row that was decoded and is taken back is as one that failed.
                let (other, _) = &records[0];
                if mixed.decoder.decode_value(other.as_bytes(), &mut mixed.columns).is_ok() {
                    mixed.columns.rollback_row();
                }
            }
        }
        prop_assert_eq!(mixed.raw_block(), good_only.raw_block());
    }
}

/// Whether all strings of a JSON text can be unescaped. A number too large for a float is no
/// matter: only a column of that type can refuse it.
fn strings_are_sound(text: &[u8]) -> bool {
    // A number out of range would end the reading before the strings behind it.
    serde_json::from_slice::<serde_json::Value>(&small_exponents(text)).is_ok()
}

/// The same document with all exponents zero.
fn small_exponents(text: &[u8]) -> Vec<u8> {
    let (mut in_string, mut escaped, mut in_exponent, mut before) = (false, false, false, b' ');
    let mut small = text.to_vec();
    for byte in &mut small {
        let now = *byte;
        if in_string {
            in_string = escaped || now != b'"';
            escaped = !escaped && now == b'\\';
        } else if now == b'"' {
            (in_string, in_exponent) = (true, false);
        } else if in_exponent && now.is_ascii_digit() {
            *byte = b'0';
        } else {
            in_exponent =
                matches!(now, b'e' | b'E') && before.is_ascii_digit() || in_exponent && matches!(now, b'+' | b'-');
        }
        before = now;
    }
    small
}

#[test]
fn a_number_out_of_range_hides_no_string() {
    assert!(strings_are_sound(br#"{"a":1e999,"b":"\\e1e9\"","c":true}"#));
    assert!(!strings_are_sound(br#"{"a":-1E13386607569298,"b":"\ude8d"}"#));
}
