//! The connections that questions go over.
//!
//! A broker answers the requests of one connection in their order, and a fetch at the end of a log waits for records for up
//! to `fetch.wait.max.ms`, half a second: a question behind it waits as long. So whoever asks has a client of its own, with
//! the consumer's settings, that never subscribes and never fetches.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};

use super::native::KafkaFault;
use super::trouble::Heard;

/// What the client has to say of itself between two questions at most; the rest waits for the next.
const EVENTS_MAX: usize = 64;

/// The client.
pub(crate) struct Asking {
    client: BaseConsumer<Heard>,
    config: ClientConfig,
}

impl Asking {
    /// A client with the settings of a consumer; nothing is waited for.
    ///
    /// # Errors
    /// Where the client library refuses the settings.
    pub(crate) fn new(consumer: &ClientConfig) -> Result<Self, KafkaFault> {
        let mut config = consumer.clone();
        config.remove("group.instance.id");
        let client = config.create_with_context(Heard::new(&config));
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
    pub(crate) fn client(&self) -> &BaseConsumer<Heard> {
        // Errors and log lines wait to be fetched, and there is no bound on how many.
        for _ in 0..EVENTS_MAX {
            // An event that was served looks like an empty queue.
            drop(self.client.poll(Duration::ZERO));
        }
        &self.client
    }

    /// The fault, with what the client has heard of the brokers meanwhile.
    pub(crate) fn explained(&self, fault: KafkaFault) -> KafkaFault {
        self.client().context().explained(fault)
    }
}
