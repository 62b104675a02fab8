//! A format of the configuration as decoders take it: schemas of files are compiled here.

use crate::config::{self, ConfigError, CsvSettings};
use crate::decode::{CsvOptions, Format};
use crate::registry::Schemas;

/// The format, with its schemas.
///
/// # Errors
/// What is wrong with a schema file, at the place where the configuration names it.
pub(super) fn compiled(format: &config::Format, _schemas: Option<&Schemas>) -> Result<Format, Vec<ConfigError>> {
    Ok(match format {
        config::Format::Json(_) => Format::Json,
        config::Format::Csv(csv) => Format::Csv(csv_options(csv)),
        config::Format::Raw => Format::Raw,
        config::Format::Avro(_) | config::Format::Protobuf(_) => todo!(),
    })
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
