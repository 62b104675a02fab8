//! What the schema registry has said.

use std::fmt::Display;
use std::sync::Arc;

use metrics::{Counter, Gauge};
use tracing::{debug, info, warn};

use super::definitions as names;
use super::registry::{Registry, float};
use crate::clock;

/// How one request to the registry ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RegistryReply {
    /// With what was asked for.
    Found,
    /// There is no such thing.
    Absent,
    /// We may not ask.
    Refused,
    /// With no reply, or one that says nothing.
    Failed,
}

/// The handles of the schema registry's client.
#[derive(Debug, Clone)]
pub struct SchemaMetrics {
    registry: Arc<Registry>,
    found: Counter,
    absent: Counter,
    refused: Counter,
    failed: Counter,
    awaited: Gauge,
}

impl SchemaMetrics {
    pub(super) fn new(registry: &Arc<Registry>) -> Self {
        let counter = |outcome: &str| registry.counter(&names::SCHEMA_REGISTRY_REQUESTS, &[outcome]);
        Self {
            found: counter("found"),
            absent: counter("absent"),
            refused: counter("refused"),
            failed: counter("failed"),
            awaited: registry.gauge(&names::SCHEMAS_AWAITED, &[]),
            registry: Arc::clone(registry),
        }
    }

    /// A request has ended.
    pub fn replied(&self, reply: RegistryReply) {
        let counter = match reply {
            RegistryReply::Found => &self.found,
            RegistryReply::Absent => &self.absent,
            RegistryReply::Refused => &self.refused,
            RegistryReply::Failed => &self.failed,
        };
        counter.increment(1);
    }

    /// So many schemas are waited for now.
    pub fn awaited(&self, schemas: u64) {
        self.awaited.set(float(schemas));
    }

    /// A schema is there.
    pub fn found(&self, schema: &dyn Display) {
        debug!(%schema, "the schema registry has given this schema");
    }

    /// The registry answers again.
    pub fn answers_again(&self) {
        self.sometimes("schema registry answers", |held_back| info!(held_back, "the schema registry answers again"));
    }

    /// The registry did not say what is asked; it is asked again.
    pub fn failed(&self, schema: &dyn Display, reason: &str) {
        self.sometimes("schema registry", |held_back| {
            warn!(%schema, error = reason, held_back, "the schema registry does not answer as it should: partitions wait");
        });
    }

    /// There is no such schema; it is asked for again.
    pub fn absent(&self, schema: &dyn Display, reason: &str) {
        self.sometimes("schema registry absent", |held_back| {
            warn!(%schema, reason, held_back, "the schema registry has no such schema yet: partitions wait");
        });
    }

    /// There has been no such schema for so long that nobody waits for it any more.
    pub fn unknown(&self, schema: &dyn Display) {
        self.sometimes("schema registry unknown", |held_back| {
            warn!(%schema, held_back, "the schema registry has no such schema: records that name it cannot be read");
        });
    }

    /// A schema is there and cannot be used.
    pub fn unusable(&self, schema: &dyn Display, reason: &str) {
        self.sometimes("schema registry unusable", |held_back| {
            warn!(%schema, reason, held_back, "this schema cannot be used: records that name it cannot be read");
        });
    }

    fn sometimes(&self, cause: &str, log: impl FnOnce(u64)) {
        if let Some(held_back) = self.registry.throttled.permit(cause, clock::now()) {
            log(held_back);
        }
    }
}
