//! The connections that questions go over.
//!
//! A broker answers the requests of one connection in their order, and a fetch at the end of a log waits for records for up
//! to `fetch.wait.max.ms`, half a second: a question behind it waits as long. So whoever asks has a client of its own, with
//! the consumer's settings, that never subscribes and never fetches.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, ConsumerContext};
use rdkafka::error::KafkaError;

use super::native::KafkaFault;

/// What the client has to say of itself between two questions at most; the rest waits for the next.
const EVENTS_MAX: usize = 64;

/// The client.
pub(crate) struct Asking {
    client: BaseConsumer<AskingContext>,
    config: ClientConfig,
}

/// Says nothing: whoever asks gets the error, and the consumer reports what is wrong with the cluster.
pub(crate) struct AskingContext;

impl ClientContext for AskingContext {
    fn error(&self, _error: KafkaError, _reason: &str) {}

    fn log(&self, _level: RDKafkaLogLevel, _facility: &str, _message: &str) {}
}

impl ConsumerContext for AskingContext {}

impl Asking {
    /// A client with the settings of a consumer; nothing is waited for.
    ///
    /// # Errors
    /// Where the client library refuses the settings.
    pub(crate) fn new(consumer: &ClientConfig) -> Result<Self, KafkaFault> {
        let mut config = consumer.clone();
        config.remove("group.instance.id");
        let client = config.create_with_context(AskingContext);
        let client = client.map_err(|error| KafkaFault::from_client("building the client for questions", &error))?;
        Ok(Self { client, config })
    }

    /// Another client with the same settings, which remembers nothing.
    ///
    /// # Errors
    /// Where the client library has no threads for it.
    pub(crate) fn made_anew(&self) -> Result<Self, KafkaFault> {
        Self::new(&self.config)
    }

    /// The client, for one question.
    pub(crate) fn client(&self) -> &BaseConsumer<AskingContext> {
        // Errors and log lines wait to be fetched, and there is no bound on how many.
        for _ in 0..EVENTS_MAX {
            if self.client.poll(Duration::ZERO).is_none() {
                break;
            }
        }
        &self.client
    }
}
