//! Which partitions a topic has, as any client is told.

use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::RDKafkaErrorCode;

use super::native::KafkaFault;
use crate::types::Partition;

/// The partitions of a topic, in ascending order; `None` if there is no such topic.
///
/// # Errors
/// Where no broker answers in time, or access is denied.
pub(crate) fn partitions<C: ConsumerContext>(
    client: &BaseConsumer<C>,
    topic: &str,
    timeout: Duration,
) -> Result<Option<Vec<Partition>>, KafkaFault> {
    let doing = format!("reading the partitions of topic {topic}");
    let metadata =
        client.fetch_metadata(Some(topic), timeout).map_err(|error| KafkaFault::from_client(&doing, &error))?;
    let Some(found) = metadata.topics().iter().find(|found| found.name() == topic) else { return Ok(None) };
    match found.error().map(RDKafkaErrorCode::from) {
        None => {}
        Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => return Ok(None),
        Some(code) => return Err(KafkaFault::new(doing, code)),
    }
    let mut partitions: Vec<_> = found.partitions().iter().map(|partition| Partition(partition.id())).collect();
    partitions.sort_unstable();
    Ok(Some(partitions))
}
