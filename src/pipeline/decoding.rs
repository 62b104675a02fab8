//! How the records of a topic become rows: columns, formats, and which rows are wanted.
//!
//! Made once per lane, and by `verify` for itself, so that both read a record in the same way.

use std::sync::Arc;

use crate::alerts::Filter;
use crate::columns::RowPlan;
use crate::config::{ConfigError, TopicSettings};
use crate::decode::RecordDecoder;
use crate::registry::{Lookup, SchemaKey, Schemas};

/// How the records of a topic become rows.
#[derive(Debug, Clone)]
pub struct Decoding {
    /// The columns.
    pub rows: Arc<RowPlan>,
    /// Which rows are written; all without one.
    pub filter: Option<Arc<Filter>>,
    schemas: Option<Schemas>,
}

impl Decoding {
    /// Compiles what the configuration says against the columns.
    ///
    /// # Errors
    /// Everything that is wrong, each with its place.
    pub fn compile(topic: &TopicSettings, rows: RowPlan, schemas: Option<&Schemas>) -> Result<Self, Vec<ConfigError>> {
        let filter = topic.only_when.as_ref().map(|text| Filter::compile(text, &rows)).transpose()?;
        Ok(Self { rows: Arc::new(rows), filter: filter.map(Arc::new), schemas: schemas.cloned() })
    }

    /// Whether a schema has been asked for and is not there yet.
    pub fn awaits(&self, schema: SchemaKey) -> bool {
        self.schemas.as_ref().is_some_and(|schemas| matches!(schemas.get(schema), Lookup::Pending))
    }

    /// A decoder, for one thread.
    pub fn decoder(&self) -> RecordDecoder {
        RecordDecoder::json(&self.rows)
    }
}
