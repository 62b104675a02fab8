//! CSV files to Kafka records, and the damage that is done to a few of them.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, Result, ensure};

/// A zero byte and the schema's id.
const FRAME_BYTES: usize = 5;

/// A record to produce.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) partition: i32,
    pub(crate) key: String,
    pub(crate) payload: Vec<u8>,
}

/// A record that is damaged on purpose: which one of a topic, and what is done to it.
pub(crate) struct Damage {
    pub(crate) index: usize,
    pub(crate) what: &'static str,
    apply: fn(&[u8]) -> Vec<u8>,
}

pub(crate) const WEATHER_DAMAGE: [Damage; 3] = [
    Damage { index: 1_000, what: "cut off in the middle", apply: |json| json[..json.len() / 2].into() },
    Damage { index: 5_000, what: "a temperature in words", apply: |json| with_value(json, "temp", "\"mild\"") },
    Damage { index: 9_000, what: "wind from 66,000 degrees", apply: |json| with_value(json, "wind_dir", "66000") },
];

pub(crate) const FLIGHT_DAMAGE: [Damage; 3] = [
    Damage { index: 20_000, what: "last byte missing", apply: |avro| avro[..avro.len() - 1].into() },
    Damage { index: 150_000, what: "a byte that is no UTF-8", apply: with_bad_byte },
    Damage { index: 300_000, what: "the id of a schema that nobody knows", apply: with_unknown_schema },
];

/// Reads a CSV file: a JSON object a line, `NA` as null. `place` gives a record's partition and key.
pub(crate) fn read_csv(path: &Path, place: fn(usize, &[&str]) -> (i32, String)) -> Result<Vec<Record>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    ensure!(!text.contains('"'), "{} has quoted values, which this reader does not know", path.display());
    let mut lines = text.lines();
    let names: Vec<&str> = lines.next().unwrap_or_default().split(',').collect();
    lines
        .enumerate()
        .map(|(index, line)| {
            let values: Vec<&str> = line.split(',').collect();
            ensure!(values.len() == names.len(), "line {} of {} is odd: {line}", index + 2, path.display());
            let (partition, key) = place(index, &values);
            Ok(Record { partition, key, payload: json(&names, &values).into_bytes() })
        })
        .collect()
}

fn json(names: &[&str], values: &[&str]) -> String {
    let mut json = String::from("{");
    for (name, value) in names.iter().zip(values) {
        let separator = if json.len() > 1 { "," } else { "" };
        let written = match *value {
            "NA" | "" => write!(json, "{separator}\"{name}\":null"),
            number if number.parse::<f64>().is_ok() => write!(json, "{separator}\"{name}\":{number}"),
            text => write!(json, "{separator}\"{name}\":\"{text}\""),
        };
        written.expect("writing to a string does not fail");
    }
    json.push('}');
    json
}

/// Damages a record.
pub(crate) fn damage(records: &mut [Record], damage: &Damage) -> Result<()> {
    let record = records.get_mut(damage.index).context("there are fewer records than expected")?;
    let damaged = (damage.apply)(&record.payload);
    ensure!(record.payload != damaged, "record {} was not damaged", damage.index);
    record.payload = damaged;
    Ok(())
}

/// The object with another value of one field, which is not its last.
fn with_value(json: &[u8], name: &str, value: &str) -> Vec<u8> {
    let json = std::str::from_utf8(json).unwrap_or_default();
    let (before, after) = json.split_once(&format!("\"{name}\":")).unwrap_or((json, ""));
    let rest = after.find(',').map_or("", |comma| &after[comma..]);
    format!("{before}\"{name}\":{value}{rest}").into_bytes()
}

/// The carrier stands behind the time and its own length.
fn with_bad_byte(avro: &[u8]) -> Vec<u8> {
    let mut bytes = avro.to_vec();
    let time_bytes = bytes[FRAME_BYTES..].iter().take_while(|byte| **byte >= 0x80).count() + 1;
    bytes[FRAME_BYTES + time_bytes + 1] = 0xff;
    bytes
}

fn with_unknown_schema(avro: &[u8]) -> Vec<u8> {
    let mut bytes = avro.to_vec();
    bytes[1..FRAME_BYTES].copy_from_slice(&u32::MAX.to_be_bytes());
    bytes
}
