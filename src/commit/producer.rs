//! The transactional producer: its properties, and delivery reports that are counted.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};

use super::transactions::{AlertMessage, TransactionSettings};
use crate::config::producer_takes;
use crate::source::group::log_line;
use crate::source::unowned::CLIENT_ID;
use crate::source::{Heard, TransactionError};

/// A producer whose delivery reports are counted by its context.
pub(super) type AlertProducer = BaseProducer<Deliveries>;

/// Which messages of the transaction at hand were delivered.
#[derive(Debug)]
pub(super) struct Deliveries {
    counts: Mutex<Counts>,
    heard: Heard,
}

impl Deliveries {
    /// Of a producer with this configuration.
    pub(super) fn new(config: &ClientConfig) -> Self {
        Self { counts: Mutex::default(), heard: Heard::new(config) }
    }

    /// What the brokers last had against us.
    pub(super) fn heard(&self) -> Option<String> {
        self.heard.reason()
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug, Default)]
struct Counts {
    delivered: usize,
    first_error: Option<String>,
}

impl ClientContext for Deliveries {
    fn error(&self, error: KafkaError, reason: &str) {
        let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown);
        let sentence = self.heard.heard(code, reason);
        // It comes after the reason, which was said.
        if code != RDKafkaErrorCode::AllBrokersDown {
            tracing::warn!(target: "librdkafka", "the producer: {sentence}");
        }
    }

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log_line(level, facility, message);
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let mut counts = self.counts();
        match result {
            Ok(_) => counts.delivered += 1,
            Err((error, _)) => {
                counts.first_error.get_or_insert_with(|| error.to_string());
            }
        }
    }
}

/// Properties without which a commit is not what it is taken for.
const FIXED: [(&str, &str); 5] = [
    ("enable.idempotence", "true"),
    ("acks", "all"),
    // A transaction right after another meets one that is still being finished: 103 ms with the default of 100.
    ("retry.backoff.ms", "2"),
    ("linger.ms", "1"),
    ("statistics.interval.ms", "0"),
];

pub(super) fn client_config(settings: &TransactionSettings) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("compression.type", "lz4").set("client.id", CLIENT_ID);
    for (property, value) in &settings.properties {
        config.set(property, value);
    }
    for (property, value) in FIXED {
        config.set(property, value);
    }
    config
        .set("bootstrap.servers", &settings.brokers)
        .set("transactional.id", settings.transactional_id())
        .set("transaction.timeout.ms", settings.transaction_timeout.as_millis().to_string())
        // Above the transaction's it would be refused.
        .set("delivery.timeout.ms", settings.transaction_timeout.as_millis().to_string());
    config
}

/// Sends the messages and waits until each is acknowledged. `Err(Ok(text))`: not all were, the transaction can be
/// aborted; `Err(Err(error))`: the producer failed.
pub(super) fn deliver(
    producer: &AlertProducer,
    alerts: &[AlertMessage],
    timeout: Duration,
) -> Result<(), Result<String, TransactionError>> {
    if alerts.is_empty() {
        return Ok(());
    }
    let deliveries = producer.context();
    *deliveries.counts() = Counts::default();
    for alert in alerts {
        if let Err(error) = enqueue(producer, alert) {
            return Err(Ok(format!("alert for topic {}: {error}", alert.topic)));
        }
    }
    let flushed = producer.flush(timeout);
    if let Some((code, text)) = producer.client().fatal_error() {
        return Err(Err(TransactionError { code, fatal: true, retriable: false, requires_abort: false, text }));
    }
    let counts = deliveries.counts();
    if let Some(error) = &counts.first_error {
        return Err(Ok(format!("alerts were not delivered: {error}")));
    }
    if flushed.is_err() || counts.delivered != alerts.len() {
        return Err(Ok(format!("{} of {} alerts were delivered in time", counts.delivered, alerts.len())));
    }
    Ok(())
}

fn enqueue(producer: &AlertProducer, alert: &AlertMessage) -> KafkaResult<()> {
    let mut headers = OwnedHeaders::new_with_capacity(alert.headers.len());
    for (name, value) in &alert.headers {
        headers = headers.insert(Header { key: name, value: Some(value.as_slice()) });
    }
    let mut record = BaseRecord::to(&alert.topic).payload(alert.payload.as_slice()).headers(headers);
    record.key = alert.key.as_deref();
    for _ in 0..FULL_QUEUE_WAITS_MAX {
        match producer.send(record) {
            Ok(()) => return Ok(()),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), again)) => {
                record = again;
                producer.poll(FULL_QUEUE_WAIT);
            }
            Err((error, _)) => return Err(error),
        }
    }
    Err(KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull))
}

const FULL_QUEUE_WAIT: Duration = Duration::from_millis(10);
const FULL_QUEUE_WAITS_MAX: usize = 500;

/// The first of the user's properties that is not the user's to set.
pub(super) fn refused_property(properties: &BTreeMap<String, String>) -> Option<&str> {
    // Given by a setting of its own.
    let ours = |property: &str| property == "transaction.timeout.ms";
    properties.keys().map(String::as_str).find(|property| !producer_takes(property) || ours(property))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_fixed_is_refused_in_the_file_too() {
        let ours = ["transactional.id", "delivery.timeout.ms", "message.timeout.ms", "bootstrap.servers"];
        for property in FIXED.iter().map(|(property, _)| *property).chain(ours) {
            assert!(!producer_takes(property), "{property}");
            assert_eq!(refused_property(&[(property.to_owned(), "1".to_owned())].into()), Some(property));
        }
        assert_eq!(refused_property(&[("sasl.password".to_owned(), "x".to_owned())].into()), None);
    }
}
