//! Messages with their length in front: read where that is configured, and never taken for messages without.

use std::sync::Arc;

use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng};

use super::{Table, column, f4, f8, l, plan, schema, v, varint};
use crate::columns::{Columns, RowCoordinates};
use crate::decode::{Format, Record, RecordDecoder, RowCursor};

/// Records of each kind.
const ROUNDS: u32 = 4_000;

/// Of many kinds of messages: short and long ones, of texts, numbers, lists and messages.
const SCHEMAS: [&str; 5] = [
    "message M { int64 id = 1; string name = 2; double x = 3; }",
    "message M { string name = 1; }",
    "message M { fixed32 a = 1; bytes b = 2; repeated int32 list = 4; M next = 5; }",
    "message M { bytes b = 7; string s = 15; uint64 n = 16; repeated double d = 2; }",
    "message M { bool a = 1; bool b = 2; int32 c = 3; int32 d = 4; int32 e = 5; int32 f = 6; }",
];

fn table(text: &str) -> Table {
    let schema = schema(&format!("syntax = \"proto3\"; {text}"));
    let message = schema.message("M").unwrap();
    let columns = message.fields().map(|field| column(field.name(), "String"));
    Table::new(&Arc::new(plan(columns.collect())), &schema, "M")
}

fn with_length(message: &[u8]) -> Vec<u8> {
    [varint(u64::try_from(message.len()).unwrap()), message.to_vec()].concat()
}

/// A message of one of the types, as any writer puts it: by number, without zeros; never an empty one.
fn message(random: &mut SmallRng, number: usize) -> Vec<u8> {
    let mut text = |most: usize| {
        let length = random.random_range(1..=most);
        (0..length).map(|_| random.random_range(b' '..=b'~')).collect::<Vec<u8>>()
    };
    let (short, long) = (text(12), text(200));
    let mut fields = match number {
        0 => vec![v(1, random.random_range(1..1 << 40)), l(2, &short), f8(3, random.random())],
        1 => vec![l(1, long)],
        2 => vec![f4(1, random.random()), l(2, &long), l(4, [1, 2, 3]), l(5, f4(1, random.random()))],
        3 => vec![l(2, [0x40; 16]), l(7, &long), l(15, &short), v(16, random.random())],
        _ => (1..=6).map(|field| v(field, random.random_range(1..=1 << (field * 2)))).collect(),
    };
    let first = random.random_range(0..fields.len());
    fields.rotate_left(first);
    let kept = random.random_range(1..=fields.len());
    fields.truncate(kept);
    // By their numbers again.
    fields.sort_by_key(|field| number_of(field));
    fields.concat()
}

/// The number of a field that was written.
fn number_of(field: &[u8]) -> u64 {
    let low = u64::from(field[0] & 0x7F);
    let tag = if field[0] < 0x80 { low } else { low | u64::from(field[1]) << 7 };
    tag >> 3
}

#[test]
fn no_length_is_taken_for_a_message() {
    let mut random = SmallRng::seed_from_u64(14);
    for (number, text) in SCHEMAS.iter().enumerate() {
        let mut table = table(text);
        let (mut taken, mut refused) = (0, [0_u32; 2]);
        for round in 0..ROUNDS {
            let messages = if round % 4 == 0 { random.random_range(2..5) } else { 1 };
            let record: Vec<u8> = (0..messages).flat_map(|_| with_length(&message(&mut random, number))).collect();
            let Err(error) = table.push(&record) else {
                taken += 1;
                continue;
            };
            refused[usize::from(error.reason.contains("framing: length"))] += 1;
        }
        // Bytes that are both are taken for what was said. Nearly all others are refused with the words that help.
        assert!(taken <= 2 && refused[0] < 8, "{text}: {taken} taken, {refused:?} refused");
    }
}

#[test]
fn messages_are_taken_with_fields_that_the_schema_lacks() {
    let mut random = SmallRng::seed_from_u64(14);
    for (number, text) in SCHEMAS.iter().enumerate() {
        let mut table = table(text);
        let mut refused = 0;
        for round in 0..ROUNDS {
            let mut record = message(&mut random, number);
            match round % 4 {
                0 => record.extend(v(100, random.random())),
                1 => record.extend(l(20, b"added")),
                // A number below the others that nobody had.
                2 => record = [v(6 + 4 * u64::from(number == 4), random.random()), record].concat(),
                _ => {}
            }
            refused += u32::from(table.push(&record).is_err());
        }
        assert!(refused <= 2, "{text}: {refused} of {ROUNDS}");
    }
}

#[test]
fn what_cannot_be_the_message_is_refused() {
    let check = |record: &[u8], expected: &str| {
        let mut table = table(SCHEMAS[0]);
        let found =
            table.push(record).map_or_else(|error| format!("{}: {}", error.code, error.reason), |()| String::new());
        assert!(
            found.starts_with(expected) && found.is_empty() == expected.is_empty(),
            "{}: {found}",
            super::hex(record)
        );
    };
    let good = [v(1, 7), l(2, "a")].concat();
    check(&[], "");
    check(&good, "");
    check(&[v(9, 1), good.clone()].concat(), "");
    check(&[good.clone(), v(9, 1)].concat(), "");
    // Another type behind the first field is an unknown field, as for all readers.
    check(&[v(1, 7), v(2, 1)].concat(), "");
    let none = "invalid_protobuf: the schema has none of its fields; is it another message, or is there something in front of it? \
                at byte 0";
    check(&v(9, 1), none);
    check(&[v(9, 1), l(10, "x")].concat(), none);
    check(&[v(2, 1), v(1, 7)].concat(), "invalid_protobuf: the first field has another wire type than the schema says");
    let length = "invalid_framing: it seems to be messages with their length in front, which `protobuf: { framing: length }` reads \
                  at byte 0";
    check(&with_length(&good), length);
    check(&[with_length(&good), with_length(&v(1, 1))].concat(), length);
    // The length is the tag of the text.
    check(&with_length(&[v(1, 8), l(2, "0123456789abcd")].concat()), length);
}

/// The rows of a record with lengths, as `id name`, or the error.
fn rows(record: &[u8]) -> Result<Vec<String>, String> {
    let schema = schema("syntax = \"proto3\"; message M { int64 id = 1; string name = 2; }");
    let plan = Arc::new(plan(vec![column("id", "Int64"), column("name", "String")]));
    let format = Format::DelimitedProtobuf(schema, "M".to_owned());
    let mut decoder = RecordDecoder::new(&plan, &format, None).unwrap();
    let mut columns = Columns::new(&plan).unwrap();
    let (mut cursor, record) = (RowCursor::default(), Record::of_value(record));
    loop {
        match decoder.next_row(&record, &mut cursor, &mut columns) {
            Ok(true) => columns.commit_row(&RowCoordinates { topic: "t", partition: 0, offset: 0, row: 0, replay: 0 }),
            Ok(false) => break,
            Err(crate::decode::Undecoded::Bad(error)) => return Err(format!("{}: {}", error.code, error.reason)),
            Err(other) => panic!("{other:?}"),
        }
    }
    let table = Table { decoder, columns };
    let stored = table.stored();
    Ok(stored[0].iter().zip(&stored[1]).map(|(id, name)| format!("{id} {name}")).collect())
}

#[test]
fn each_message_makes_a_row() {
    let check =
        |record: Vec<u8>, expected: &[&str]| assert_eq!(rows(&record).unwrap(), expected, "{}", super::hex(&record));
    let one = |id: i64, name: &str| with_length(&[v(1, id), l(2, name)].concat());
    let long = "x".repeat(300);
    check(one(1, "a"), &["1 \"a\""]);
    check([one(1, "a"), one(2, &long), one(3, "")].concat(), &["1 \"a\"", &format!("2 \"{long}\""), "3 \"\""]);
    check(vec![0], &["0 \"\""]);
    check([vec![0], one(4, "d"), vec![0]].concat(), &["0 \"\"", "4 \"d\"", "0 \"\""]);
    let refused = |record: Vec<u8>, expected: &str| {
        let error = rows(&record).unwrap_err();
        assert!(error.starts_with(expected), "{}: {error}", super::hex(&record));
    };
    refused(vec![], "empty: ");
    refused(vec![5, 8, 1], "invalid_framing: row 0: the record does not begin as its framing says at byte 0");
    refused([one(1, "a"), vec![9, 8]].concat(), "invalid_framing: row 1: ");
    refused([one(1, "a"), with_length(&[8])].concat(), "invalid_protobuf: row 1: ");
    refused(with_length(&v(9, 1)), "invalid_protobuf: row 0: the schema has none of its fields");

    // Without rows: one message, and no more.
    let schema = schema("syntax = \"proto3\"; message M { int64 id = 1; string name = 2; }");
    let plan = Arc::new(plan(vec![column("id", "Int64"), column("name", "String")]));
    let decoder = RecordDecoder::new(&plan, &Format::DelimitedProtobuf(schema, "M".to_owned()), None).unwrap();
    let mut table = Table { decoder, columns: Columns::new(&plan).unwrap() };
    table.push(&one(1, "a")).unwrap();
    let error = table.push(&[one(1, "a"), one(2, "b")].concat()).unwrap_err();
    assert_eq!(error.code.as_str(), "too_many_rows");
    assert!(error.reason.starts_with("another message follows; with a column `row` in `coordinates`"), "{error}");
    table.push(&one(3, "c")).unwrap();
    assert_eq!(table.stored(), [["1", "3"], ["\"a\"", "\"c\""]]);
}
