//! Values that name their schema, which the registry gives.
//!
//! Takes what Confluent's serializers put in front of a value, or into a header, finds or makes the plan of that schema,
//! and has it read the value. Never waits: of a schema that is not there yet it says so, and nothing of the record is kept.

use std::collections::HashMap;
use std::sync::Arc;

use super::avro::{AvroPlan, AvroSchema, AvroScratch};
use super::error::{DecodeError, ErrorCode, Fault};
use super::format::{Part, Stop};
use super::protobuf::{InFront, MessageIndexes, ProtobufPlan, ProtobufReader, ProtobufSchema};
use super::record::{Headers, Rest};
use super::target::Target;
use crate::columns::{Columns, RowPlan};
use crate::registry::{Lookup, RegisteredSchema, SchemaKey, SchemaKind, Schemas};

/// Schemas of one topic whose plans are kept; more are a topic that was given to anybody.
const PLANS_MAX: usize = 1_000;
/// A zero byte and the schema's number.
const PREFIX_BYTES: usize = 5;
/// What a header begins with that names a schema by its content's number, and one by its own.
const HEADER_GUID: u8 = 1;
const HEADER_ID: u8 = 0;

/// How values name their schemas.
#[derive(Debug, Clone)]
pub struct Registry {
    /// Where the schemas come from.
    pub schemas: Schemas,
    /// Whether a header may name the schema instead of what stands in front of the value.
    pub headers: bool,
}

impl Registry {
    /// The schema that a value or a key names.
    pub(super) fn schema_named(&self, bytes: &[u8], headers: &dyn Headers, part: Part) -> Option<SchemaKey> {
        let by_header = if self.headers { headers.last(header_of(part)).flatten() } else { None };
        match by_header {
            Some(header) => in_header(header).map(|(schema, _)| schema),
            None => prefix(bytes).ok().map(|(schema, _)| schema),
        }
    }
}

/// The header that may name the schema.
fn header_of(part: Part) -> &'static str {
    match part {
        Part::Value => "__value_schema_id",
        Part::Key => "__key_schema_id",
    }
}

/// The schema that a header names, and where that name ends.
fn in_header(header: &[u8]) -> Option<(SchemaKey, usize)> {
    match header.split_first()? {
        (&HEADER_GUID, rest) => {
            let guid = rest.first_chunk()?;
            Some((SchemaKey::Guid(uuid::Uuid::from_bytes(*guid)), 1 + guid.len()))
        }
        (&HEADER_ID, rest) => Some((SchemaKey::Id(u32::from_be_bytes(*rest.first_chunk()?)), PREFIX_BYTES)),
        _ => None,
    }
}

/// In which language the schemas are, and so the values.
#[derive(Debug, Clone)]
pub(super) enum Language {
    /// With the schema that values are read as, if not their own.
    Avro(Option<AvroSchema>),
    Protobuf,
}

/// Decodes values that name their schema.
#[derive(Debug)]
pub(super) struct RegisteredDecoder {
    registry: Registry,
    /// The header that may name the schema.
    header: &'static str,
    language: Language,
    row: Arc<RowPlan>,
    root: Target,
    plans: HashMap<Name, Result<Plan, Arc<str>>>,
    /// The plan of the value before, which is nearly always that of the next one too.
    last: Option<(Name, Plan)>,
    avro: AvroScratch,
    protobuf: ProtobufReader,
    /// Of the value that was read last.
    schema_id: Option<u32>,
    /// Why the schema of that value is of no use.
    trouble: Option<Arc<str>>,
}

/// What a plan is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Name {
    schema: SchemaKey,
    /// Of a Protobuf schema: which of its messages.
    message: Option<MessageIndexes>,
}

#[derive(Debug, Clone)]
enum Plan {
    Avro(Arc<AvroPlan>),
    Protobuf(Arc<ProtobufPlan>),
}

impl RegisteredDecoder {
    pub(super) fn new(plan: &Arc<RowPlan>, root: Target, registry: &Registry, language: Language, part: Part) -> Self {
        Self {
            registry: registry.clone(),
            header: header_of(part),
            language,
            row: Arc::clone(plan),
            root,
            plans: HashMap::new(),
            last: None,
            avro: AvroScratch::default(),
            protobuf: ProtobufReader::new(plan),
            schema_id: None,
            trouble: None,
        }
    }

    /// Fills the open row; columns that the value has nothing for are left.
    pub(super) fn decode(
        &mut self,
        bytes: &[u8],
        headers: &dyn Headers,
        rest: &mut Rest,
        columns: &mut Columns,
    ) -> Result<(), Stop> {
        self.schema_id = None;
        self.trouble = None;
        let (name, at) = self.name(bytes, headers)?;
        if let SchemaKey::Id(id) = name.schema {
            self.schema_id = Some(id);
        }
        let plan = match &self.last {
            Some((known, plan)) if *known == name => plan,
            _ => {
                let plan = self.plan(name, at)?;
                &self.last.insert((name, plan)).1
            }
        };
        match plan {
            Plan::Avro(plan) => plan.decode(bytes, at, &mut self.avro, rest, columns)?,
            Plan::Protobuf(plan) => self.protobuf.decode(plan, bytes, at, InFront::Known, rest, columns)?,
        }
        Ok(())
    }

    /// Which plan the value needs, and where it begins.
    #[inline]
    fn name(&self, bytes: &[u8], headers: &dyn Headers) -> Result<(Name, usize), Fault> {
        if self.registry.headers
            && let Some(Some(header)) = headers.last(self.header)
        {
            return self.named_by_header(header);
        }
        let (schema, mut at) = prefix(bytes)?;
        let mut message = None;
        if matches!(self.language, Language::Protobuf) {
            let invalid = |at| Fault { code: ErrorCode::InvalidFraming, at };
            let (indexes, end) = MessageIndexes::read(bytes, at).map_err(invalid)?;
            (message, at) = (Some(indexes), end);
        }
        Ok((Name { schema, message }, at))
    }

    #[cold]
    fn named_by_header(&self, header: &[u8]) -> Result<(Name, usize), Fault> {
        let invalid = Fault { code: ErrorCode::InvalidFraming, at: 0 };
        let (schema, end) = in_header(header).ok_or(invalid)?;
        let message = match self.language {
            Language::Avro(_) => None,
            Language::Protobuf => Some(MessageIndexes::read(header, end).map_err(|_| invalid)?.0),
        };
        Ok((Name { schema, message }, 0))
    }

    /// The plan of a value that begins at byte `at`.
    #[cold]
    fn plan(&mut self, name: Name, at: usize) -> Result<Plan, Stop> {
        if !self.plans.contains_key(&name) {
            let made = match self.registry.schemas.get(name.schema) {
                Lookup::Ready(schema) => self.compiled(&schema, name.message).map_err(Arc::from),
                Lookup::Pending => return Err(Stop::Awaiting(name.schema)),
                // Not kept: the registry is asked again after a while.
                Lookup::Unknown => return Err(Fault { code: ErrorCode::UnknownSchema, at: 0 }.into()),
                Lookup::Unusable(why) => {
                    self.trouble = Some(why);
                    return Err(Fault { code: ErrorCode::UnusableSchema, at: 0 }.into());
                }
            };
            if self.plans.len() == PLANS_MAX {
                self.plans.clear();
            }
            self.plans.insert(name, made);
        }
        match &self.plans[&name] {
            Ok(plan) => Ok(plan.clone()),
            Err(why) => {
                self.trouble = Some(Arc::clone(why));
                Err(Fault { code: ErrorCode::UnusableSchema, at }.into())
            }
        }
    }

    fn compiled(&self, schema: &RegisteredSchema, message: Option<MessageIndexes>) -> Result<Plan, String> {
        match (&self.language, schema.kind, message) {
            (Language::Avro(reader), SchemaKind::Avro, _) => {
                let references = schema.references.iter().map(|reference| reference.text.clone()).collect();
                let writer = AvroSchema { text: schema.text.clone(), references };
                let plan = AvroPlan::compile(&writer, reader.as_ref(), &self.row, &self.root)?;
                Ok(Plan::Avro(Arc::new(plan)))
            }
            (Language::Protobuf, SchemaKind::Protobuf, Some(indexes)) => {
                let references: Vec<_> = schema
                    .references
                    .iter()
                    .map(|reference| (reference.name.as_str(), reference.text.as_str()))
                    .collect();
                let compiled = ProtobufSchema::from_registry(&schema.text, &references)?;
                let plan = ProtobufPlan::compile(&compiled.message_at(&indexes)?, &self.row, &self.root)?;
                Ok(Plan::Protobuf(Arc::new(plan)))
            }
            (_, kind, _) => Err(format!("the registry says that it is {kind:?}, which the topic's format is not")),
        }
    }

    /// Adds to an error which schema it is about.
    pub(super) fn explain(&self, mut error: DecodeError) -> DecodeError {
        error.schema_id = self.schema_id;
        if error.code == ErrorCode::UnknownSchema && self.schema_id == Some(0) {
            error.reason.push_str(
                "; no registry gives the id 0: Apicurio's serializers write 8-byte ids unless told otherwise",
            );
        }
        if let Some(trouble) = &self.trouble {
            error.reason = format!("{}: {trouble}", error.reason);
        }
        error
    }
}

/// The schema that stands in front of a value, and where the value begins.
#[inline]
pub(super) fn prefix(bytes: &[u8]) -> Result<(SchemaKey, usize), Fault> {
    match bytes.first_chunk::<PREFIX_BYTES>() {
        Some([0, id @ ..]) => Ok((SchemaKey::Id(u32::from_be_bytes(*id)), PREFIX_BYTES)),
        _ if bytes.is_empty() => Err(Fault { code: ErrorCode::Empty, at: 0 }),
        _ => Err(Fault { code: ErrorCode::InvalidFraming, at: 0 }),
    }
}
