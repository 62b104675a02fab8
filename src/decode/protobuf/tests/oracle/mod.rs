//! Generated messages, decoded by us and by `prost_reflect`.
//!
//! A message is written by the oracle, then written anew with the same fields in other ways: in another order, in pieces, in
//! between others of its kind, packed and unpacked, with unknown fields. What the oracle reads of that is what columns must
//! hold. `PROTOBUF_PAIRS` sets the number of messages, `PROTOBUF_SEED` the first seed.
//!
//! Where we differ by choice the generator does not go: numbers that a closed enum lacks (the oracle keeps them), wire types
//! that do not fit (it refuses them), and times that are none. Records of unknown fields only we refuse.

mod render;
mod schemas;
mod values;
mod write;

use std::sync::Arc;

use prost_reflect::prost::Message as _;
use prost_reflect::{DynamicMessage, MessageDescriptor};
use rand::SeedableRng;
use rand::rngs::SmallRng;

use self::render::{Place, Step, expected, normal};
use self::values::Generator;
use super::{Table, column, hex, plan};
use crate::columns::{ColumnType, RowPlan, UnknownFields};
use crate::decode::ProtobufSchema;

/// Pairs of a message type and a value.
const PAIRS: u64 = 100_000;
/// Values of one type.
const VALUES: u64 = 100;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

/// A table of columns for the fields of a message, and what each is to hold.
fn table(generator: &mut Generator, message: &MessageDescriptor) -> (RowPlan, Vec<Place>) {
    let mut places = Vec::new();
    let keeps_rest = generator.one_in(4);
    for field in message.fields() {
        if !keeps_rest || generator.one_in(2) {
            places.push((format!("$['{}']", field.name()), Place::Field(field.clone())));
        }
        if generator.one_in(2)
            && let Some((path, place)) = generator.place_inside(&field)
        {
            places.push((path, place));
        }
    }
    if generator.one_in(3) {
        places.push(("$".to_owned(), Place::Record));
    }
    let mapped: Vec<_> = places.iter().map(|(path, _)| path.clone()).collect();
    let mut columns: Vec<_> = places
        .iter()
        .map(|(path, place)| {
            let type_text = match place {
                Place::Record => generator.column_of_message(message, 0),
                Place::Field(field) => generator.column(field, 0),
                Place::Inside(steps, last) if matches!(steps.last(), Some(Step::Field(_))) => generator.column(last, 1),
                Place::Inside(_, last) => generator.column_of_one(last, 1),
                Place::Rest(_) => unreachable!("it is added last"),
            };
            column(path, &type_text)
        })
        .collect();
    let mut places: Vec<_> = places.into_iter().map(|(_, place)| place).collect();
    if keeps_rest && !columns.is_empty() {
        let is_mapped = |name: &str| mapped.iter().any(|path| path.starts_with(&format!("$['{name}']")));
        let rest = message.fields().filter(|field| !is_mapped(field.name())).collect();
        columns.push(column("$.no_field_has_this_name", "String"));
        places.push(Place::Rest(rest));
        let last = columns.len() - 1;
        return (plan(columns).with_unknown_fields(UnknownFields::Collect(last)), places);
    }
    (plan(columns), places)
}

fn check(seed: u64) -> Result<(), String> {
    let mut generator = Generator::new(SmallRng::seed_from_u64(seed));
    let text = generator.schema();
    let schema = ProtobufSchema::from_registry(&text, &[]).map_err(|error| format!("{error}\n{text}"))?;
    let message = schema.message("M").map_err(|error| format!("{error}\n{text}"))?;
    let (plan, places) = table(&mut generator, &message);
    let types: Vec<ColumnType> = plan.columns().iter().map(|spec| spec.column_type.clone()).collect();
    let mut table = Table::new(&Arc::new(plan), &schema, "M");
    let mut rows: Vec<Vec<String>> = Vec::new();
    let mut records = Vec::new();
    for _ in 0..VALUES {
        let mut record = generator.message(&message, 0).encode_to_vec();
        if generator.one_in(2) {
            record.extend(generator.message(&message, 0).encode_to_vec());
        }
        if !generator.one_in(8) {
            record = write::anew(&mut generator, &record, &message);
        }
        let shown = || format!("{}\n{text}", hex(&record));
        let theirs = DynamicMessage::decode(message.clone(), record.as_slice());
        let theirs = theirs.map_err(|error| format!("the oracle: {error}: {}", shown()))?;
        if theirs.fields().next().is_none() && theirs.unknown_fields().next().is_some() {
            // Nothing but fields that the schema lacks.
            let refused = table.push(&record).is_err();
            if !refused {
                return Err(format!("taken: {}", shown()));
            }
            continue;
        }
        table.push(&record).map_err(|error| format!("{error}: {}", shown()))?;
        rows.push(places.iter().zip(&types).map(|(place, column)| expected(&theirs, place, column)).collect());
        records.push(record);
    }
    for (column, stored) in table.stored().iter().enumerate() {
        for (row, stored) in stored.iter().enumerate() {
            let (stored, expected) = (normal(stored), normal(&rows[row][column]));
            if stored != expected {
                let spec = &table.columns.plan().columns()[column];
                let record = hex(&records[row]);
                return Err(format!(
                    "{} {} of {record} is\n{stored}\nand not\n{expected}\n{text}",
                    spec.name, spec.type_text
                ));
            }
        }
    }
    Ok(())
}

#[test]
fn messages_are_those_of_the_oracle() {
    let types = number("PROTOBUF_PAIRS", PAIRS).div_ceil(VALUES);
    let first = number("PROTOBUF_SEED", 1);
    let run = |half: u64| {
        for seed in (first..first + types).filter(|seed| seed % 2 == half) {
            check(seed).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        }
    };
    std::thread::scope(|threads| {
        threads.spawn(|| run(0));
        threads.spawn(|| run(1));
    });
}
