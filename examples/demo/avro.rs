//! Flights as Avro, as a registry's serializer writes them.

use anyhow::{Context, Result};
use apache_avro::Schema;
use apache_avro::types::Value;
use apache_avro::writer::datum::GenericDatumWriter;

/// What a flight is written with.
pub(crate) const SCHEMA: &str = include_str!("../../schemas/flight.avsc");

/// Writes each JSON object as a zero byte, the schema's id and the record.
pub(crate) fn encode(jsons: impl Iterator<Item = Vec<u8>>, schema_id: u32) -> Result<Vec<Vec<u8>>> {
    let schema = Schema::parse_str(SCHEMA)?;
    let Schema::Record(record) = &schema else { anyhow::bail!("the schema of flights is no record") };
    let writer = GenericDatumWriter::builder(&schema).build()?;
    jsons
        .map(|json| {
            let flight: serde_json::Value = serde_json::from_slice(&json)?;
            let field = |name: &str| value(name, &flight[name]);
            let fields = record.fields.iter().map(|known| Ok((known.name.clone(), field(&known.name)?)));
            let value = Value::Record(fields.collect::<Result<_>>()?).resolve(&schema)?;
            let mut bytes = vec![0];
            bytes.extend_from_slice(&schema_id.to_be_bytes());
            bytes.extend(writer.write_value_to_vec(value)?);
            Ok(bytes)
        })
        .collect()
}

fn value(name: &str, json: &serde_json::Value) -> Result<Value> {
    Ok(match (name, json) {
        (_, serde_json::Value::Null) => Value::Null,
        ("time_hour", serde_json::Value::String(text)) => {
            let time: jiff::Timestamp = text.parse().with_context(|| format!("read the time {text}"))?;
            Value::TimestampMillis(time.as_millisecond())
        }
        (_, serde_json::Value::String(text)) => Value::String(text.clone()),
        (_, number) => Value::Long(number.as_i64().with_context(|| format!("{name} is {number}"))?),
    })
}
