//! How the records of a topic become rows: columns, formats, and which rows are wanted.
//!
//! Made once per lane, and by `verify` for itself, so that both read a record in the same way.

use std::sync::Arc;

use crate::alerts::Filter;
use crate::columns::{Changes, RowPlan};
use crate::config::{self, ConfigError, Records, TopicSettings};
use crate::decode::{Format, Record, RecordDecoder};
use crate::pipeline::format;
use crate::registry::{Lookup, SchemaKey, Schemas};
use crate::types::RECORD_ROWS_MAX;

/// How the records of a topic become rows.
#[derive(Debug, Clone)]
pub struct Decoding {
    /// The columns.
    pub rows: Arc<RowPlan>,
    /// Which rows are written; all without one.
    pub filter: Option<Arc<Filter>>,
    /// The most rows that a record may make: a block that is less than half full has room for them.
    pub record_rows_max: u64,
    records: Records,
    value: Format,
    key: Option<Format>,
    schemas: Option<Schemas>,
}

impl Decoding {
    /// Checks what can be checked while the table is not known: the schemas in files, the filter's syntax.
    ///
    /// # Errors
    /// Everything that is wrong, each with its place.
    pub fn check(topic: &TopicSettings) -> Result<(), Vec<ConfigError>> {
        let filter = topic.only_when.as_ref().and_then(|text| Filter::check(text).err());
        let formats = [Some(&topic.format), topic.key_format.as_ref()].into_iter().flatten();
        let formats = formats.filter_map(|one| format::compiled(one, None).err());
        let errors: Vec<ConfigError> = filter.into_iter().chain(formats).flatten().collect();
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    /// Compiles what the configuration says against the columns.
    ///
    /// # Errors
    /// Everything that is wrong, each with its place.
    pub fn compile(topic: &TopicSettings, rows: RowPlan, schemas: Option<&Schemas>) -> Result<Self, Vec<ConfigError>> {
        let filter = topic.only_when.as_ref().map(|text| Filter::compile("only_when", text, &rows)).transpose()?;
        let at = |reason: String| {
            let fix = "change the format's options, or what the columns are filled `from`";
            vec![ConfigError::at(topic.location.clone(), format!("topic `{}`: {reason}", topic.topic.value), fix)]
        };
        let value = format::compiled(&topic.format, schemas)?;
        let key = topic.key_format.as_ref().map(|key| format::compiled(key, schemas)).transpose()?;
        let rows = Arc::new(rows);
        RecordDecoder::new(&rows, &value, key.as_ref()).map_err(at)?;
        let records = match &topic.format {
            config::Format::Json(json) => json.records.clone(),
            config::Format::Avro(_) | config::Format::Protobuf(_) | config::Format::Csv(_) | config::Format::Raw => {
                Records::One
            }
        };
        let record_rows_max = u64::from(topic.batch.rows_max / 2).clamp(1, RECORD_ROWS_MAX);
        let (filter, schemas) = (filter.map(Arc::new), schemas.cloned());
        Ok(Self { rows, filter, record_rows_max, records, value, key, schemas })
    }

    /// Whether each record with a value, and no other, makes a row or a dead letter.
    pub fn keeps_every_value(&self) -> bool {
        self.filter.is_none() && self.rows.changes() == Changes::default()
    }

    /// Whether a schema has been asked for and is not there yet.
    pub fn awaits(&self, schema: SchemaKey) -> bool {
        self.schemas.as_ref().is_some_and(|schemas| matches!(schemas.get(schema), Lookup::Pending))
    }

    /// The schemas that a record names in its value and in its key.
    pub fn schemas_of(&self, record: &Record<'_>) -> impl Iterator<Item = SchemaKey> + use<> {
        let of_key = self.key.as_ref().and_then(|key| key.schema_of_key(record));
        self.value.schema_of_value(record).into_iter().chain(of_key)
    }

    /// A decoder, for one thread.
    pub fn decoder(&self) -> RecordDecoder {
        let decoder = RecordDecoder::new(&self.rows, &self.value, self.key.as_ref());
        decoder.expect("one was made before").of_records(&self.records)
    }
}
