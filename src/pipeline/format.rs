//! A format of the configuration as decoders take it: schemas of files are compiled here.

use std::str;

use crate::config::{self, AvroSettings, ConfigError, CsvSettings, Framing, ProtobufSettings, SchemaFile};
use crate::decode::{AvroFraming, AvroOptions, AvroSchema, CsvOptions, Format, ProtobufSchema, Registry};
use crate::registry::Schemas;

/// The format, with its schemas.
///
/// # Errors
/// What is wrong with a schema file, at the place where the configuration names it.
pub(super) fn compiled(format: &config::Format, schemas: Option<&Schemas>) -> Result<Format, Vec<ConfigError>> {
    // The configuration refuses formats that need a registry where there is none; `check` connects to none.
    let registry = |framing| Registry {
        schemas: schemas.cloned().unwrap_or_else(|| Schemas::fixed([])),
        headers: framing == Framing::RegistryHeaders,
    };
    match format {
        config::Format::Json(json) if json.framing == Framing::None => Ok(Format::Json),
        config::Format::Json(_) => Ok(Format::FramedJson),
        config::Format::Csv(csv) => Ok(Format::Csv(csv_options(csv))),
        config::Format::Raw => Ok(Format::Raw),
        config::Format::Avro(avro) => compiled_avro(avro, registry),
        config::Format::Protobuf(protobuf) => compiled_protobuf(protobuf, registry),
    }
}

fn compiled_avro(avro: &AvroSettings, registry: impl Fn(Framing) -> Registry) -> Result<Format, Vec<ConfigError>> {
    let read_as = |file| checked_avro(file, AvroSchema::alone(text(file)?), None);
    let reader = avro.reader_schema.as_ref().map(read_as).transpose()?;
    let framing = match avro.framing {
        framing @ (Framing::Registry | Framing::RegistryHeaders) => {
            return Ok(Format::RegisteredAvro(registry(framing), reader));
        }
        Framing::None => {
            let (last, others) = avro.schemas.split_last().expect("the configuration refuses a list without files");
            let references = others.iter().map(text).collect::<Result<_, _>>()?;
            let schema = AvroSchema { text: text(last)?, references };
            AvroFraming::Bare(checked_avro(last, schema, reader.as_ref())?)
        }
        Framing::Length => unreachable!("the configuration refuses it for Avro"),
        Framing::SingleObject => {
            let mut schemas = Vec::new();
            for (number, file) in avro.schemas.iter().enumerate() {
                let references = avro.schemas[..number].iter().map(text).collect::<Result<_, _>>()?;
                schemas.push(checked_avro(file, AvroSchema { text: text(file)?, references }, reader.as_ref())?);
            }
            AvroFraming::SingleObject(schemas)
        }
    };
    Ok(Format::Avro(AvroOptions { framing, reader }))
}

/// The schema of a file, if it can be used whatever the columns are.
fn checked_avro(
    file: &SchemaFile,
    schema: AvroSchema,
    reader: Option<&AvroSchema>,
) -> Result<AvroSchema, Vec<ConfigError>> {
    let fix = "mend the schema; files with the types that it refers to stand before it in `schema_files`";
    schema.check(reader).map_err(|error| wrong(file.location.clone(), &file.path, &error, fix))?;
    Ok(schema)
}

fn compiled_protobuf(
    protobuf: &ProtobufSettings,
    registry: impl Fn(Framing) -> Registry,
) -> Result<Format, Vec<ConfigError>> {
    let Some(message) = &protobuf.message else { return Ok(Format::RegisteredProtobuf(registry(protobuf.framing))) };
    let schema = match &protobuf.descriptor_set {
        Some(file) => ProtobufSchema::from_descriptor_set(&file.content).map_err(|error| {
            let fix = "make it by `protoc --include_imports --descriptor_set_out=..`";
            wrong(file.location.clone(), &file.path, &error, fix)
        })?,
        None => {
            let paths = |named: &[config::Located<String>]| -> Vec<String> {
                named.iter().map(|path| path.value.clone()).collect()
            };
            let files = paths(&protobuf.proto_files);
            ProtobufSchema::from_files(&files, &paths(&protobuf.include)).map_err(|error| {
                let first = protobuf.proto_files.first();
                let location = first.map_or(&message.location, |file| &file.location).clone();
                wrong(location, &files.join(", "), &error, "mend the file, or name its folder in `include`")
            })?
        }
    };
    schema.message(&message.value).map_err(|error| {
        wrong(message.location.clone(), &message.value, &error, "write the full name, with its package")
    })?;
    Ok(match protobuf.framing {
        Framing::Length => Format::DelimitedProtobuf(schema, message.value.clone()),
        _ => Format::Protobuf(schema, message.value.clone()),
    })
}

fn text(file: &SchemaFile) -> Result<String, Vec<ConfigError>> {
    match str::from_utf8(&file.content) {
        Ok(text) => Ok(text.to_owned()),
        Err(error) => Err(wrong(file.location.clone(), &file.path, &error.to_string(), "store it as text in UTF-8")),
    }
}

fn wrong(location: config::Location, what: &str, error: &str, fix: &str) -> Vec<ConfigError> {
    vec![ConfigError::at(location, format!("`{what}` cannot be used: {error}"), fix)]
}

fn csv_options(csv: &CsvSettings) -> CsvOptions {
    CsvOptions {
        delimiter: csv.delimiter,
        quote: csv.quote,
        escape: csv.escape,
        null: Some(csv.null.clone()),
        columns: csv.columns.clone(),
        trim: csv.trim,
        extra_fields: csv.extra_fields_ignored,
        missing_fields: csv.missing_fields_default,
    }
}
