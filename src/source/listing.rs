//! Which topics a cluster has, as any client is told.
//!
//! Gives names and what stands in the way of reading them. A broker lists only what the user may describe.

use std::collections::BTreeSet;
use std::time::Duration;

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::RDKafkaErrorCode;

use super::asking::Asking;
use super::native::{self, KafkaFault};
use crate::config::KafkaSettings;

/// A topic of the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedTopic {
    /// Its name.
    pub name: String,
    /// Why it cannot be read now, as far as that is known.
    pub obstacle: Option<String>,
}

/// What stands in the way of a topic that our user may describe only.
pub(crate) const UNREADABLE: &str = "the user may describe it, but not read it";

/// All topics.
///
/// # Errors
/// Where no broker answers in time.
pub(crate) fn topics<C: ConsumerContext>(
    client: &BaseConsumer<C>,
    timeout: Duration,
) -> Result<Vec<ListedTopic>, KafkaFault> {
    let metadata =
        client.fetch_metadata(None, timeout).map_err(|error| KafkaFault::from_client("listing topics", &error))?;
    let listed = metadata.topics().iter().map(|topic| ListedTopic {
        name: topic.name().to_owned(),
        obstacle: match topic.error().map(RDKafkaErrorCode::from) {
            Some(code) => Some(code.to_string()),
            None if topic.partitions().is_empty() => Some("it has no partitions".to_owned()),
            None => None,
        },
    });
    Ok(listed.collect())
}

/// Those of the topics that our user may describe and not read.
///
/// # Errors
/// Where no broker answers in time.
pub(crate) fn unreadable<C: ConsumerContext>(
    client: &BaseConsumer<C>,
    topics: &[&str],
    timeout: Duration,
) -> Result<BTreeSet<String>, KafkaFault> {
    // The library answers an empty request with an error.
    if topics.is_empty() { Ok(BTreeSet::new()) } else { native::unreadable_topics(client, topics, timeout) }
}

/// A client that lists topics and is no member of any group.
pub(crate) struct Lister {
    asking: Asking,
    timeout: Duration,
}

impl Lister {
    /// Prepares the client; nothing is waited for. Each question waits for up to `timeout`.
    ///
    /// # Errors
    /// Where the client library refuses the settings.
    pub(crate) fn new(kafka: &KafkaSettings, timeout: Duration) -> Result<Self, KafkaFault> {
        let mut config = ClientConfig::new();
        for (property, value) in kafka.consumer_properties() {
            config.set(property, value);
        }
        config.set("bootstrap.servers", &kafka.brokers).set("allow.auto.create.topics", "false");
        Ok(Self { asking: Asking::new(&config)?, timeout })
    }

    /// All topics.
    ///
    /// # Errors
    /// Where no broker answers in time.
    pub(crate) fn topics(&self) -> Result<Vec<ListedTopic>, KafkaFault> {
        topics(self.asking.client(), self.timeout).map_err(|fault| self.asking.explained(fault))
    }

    /// Those of the topics that our user may describe and not read.
    ///
    /// # Errors
    /// Where no broker answers in time.
    pub(crate) fn unreadable(&self, topics: &[&str]) -> Result<BTreeSet<String>, KafkaFault> {
        unreadable(self.asking.client(), topics, self.timeout).map_err(|fault| self.asking.explained(fault))
    }

    /// The id of the cluster; `None` before a broker has answered.
    pub(crate) fn cluster_id(&self) -> Option<String> {
        native::cluster_id(self.asking.client(), self.timeout)
    }
}

impl std::fmt::Debug for Lister {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Lister")
    }
}
