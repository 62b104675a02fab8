//! Schemas, from a registry with Confluent's API.
//!
//! Takes the key that a record carries, gives the schema with all that it refers to. [`Schemas::get`] never waits: what
//! is not there yet is asked for in the background, once, whoever asks (`book` remembers, `connection` asks over
//! HTTP, `resolve` puts a schema together, `schemas` keeps them going).
//!
//! Promises: only the registry's own word, given for as long as `unknown_schema_after` says, makes a schema unknown; an
//! outage, a refusal and an answer that makes no sense are waited out and shown. A schema that cannot be used is called
//! so, with the reason. What is kept is bounded in number and bytes. Never registers or changes a schema, never follows a
//! redirect, never shows a credential.

mod book;
mod connection;
mod resolve;
mod schemas;

use std::fmt;
use std::sync::Arc;

pub use schemas::Schemas;

/// How a record names its schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SchemaKey {
    /// By the number that the registry gave to it.
    Id(u32),
    /// By the number that follows from its content.
    Guid(uuid::Uuid),
}

impl fmt::Display for SchemaKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => write!(f, "id {id}"),
            Self::Guid(guid) => write!(f, "guid {guid}"),
        }
    }
}

/// The language that a schema is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SchemaKind {
    /// Avro, as JSON.
    Avro,
    /// Protobuf, as a `.proto` file.
    Protobuf,
    /// JSON Schema.
    Json,
}

/// A schema with all it refers to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegisteredSchema {
    /// The language of it and of all that it refers to.
    pub kind: SchemaKind,
    /// The schema itself.
    pub text: String,
    /// What it refers to, each after what it needs itself; no name stands twice.
    pub references: Vec<SchemaReference>,
}

/// A schema that another one refers to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaReference {
    /// The name that it is imported under: a full name in Avro, a file name in Protobuf, an address in JSON Schema.
    pub name: String,
    /// The schema itself.
    pub text: String,
}

/// What is known of a schema.
#[derive(Debug, Clone)]
pub enum Lookup {
    /// It is there.
    Ready(Arc<RegisteredSchema>),
    /// The registry has said for longer than `unknown_schema_after` that there is none. Asked again some minutes later.
    Unknown,
    /// Asked for, not answered yet.
    Pending,
    /// It cannot be used, for this reason. Asked for again some minutes later.
    Unusable(Arc<str>),
}

/// Why no registry can be asked with these settings.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}; {fix}")]
pub struct RegistryError {
    /// What is wrong.
    pub what: String,
    /// What to do about it.
    pub fix: String,
}

#[cfg(test)]
mod tests;
