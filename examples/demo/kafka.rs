//! Topics, records in, alerts out: what the demo and the bench want of Kafka beside the connector.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};

const TIMEOUT: Duration = Duration::from_secs(60);
const GROUP_LOOK_EVERY: Duration = Duration::from_millis(200);
/// Twice the session timeout that demo and bench give the connector.
const GROUP_LOOKS_MAX: u32 = 60;

/// A client of one cluster.
pub(crate) struct Kafka {
    config: ClientConfig,
}

impl Kafka {
    pub(crate) fn new(brokers: &str) -> Self {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", brokers);
        Self { config }
    }

    pub(crate) fn config(&self) -> ClientConfig {
        self.config.clone()
    }

    fn admin(&self) -> Result<AdminClient<DefaultClientContext>> {
        self.config.create().context("make a Kafka client")
    }

    /// Makes topics; those that exist already are an error.
    pub(crate) fn create_topics(&self, topics: &[(&str, i32)]) -> Result<()> {
        let new: Vec<_> = topics
            .iter()
            .map(|(topic, partitions)| NewTopic::new(topic, *partitions, TopicReplication::Fixed(1)))
            .collect();
        let options = AdminOptions::new().operation_timeout(Some(TIMEOUT));
        for result in wait(self.admin()?.create_topics(&new, &options))?? {
            result.map_err(|(topic, code)| anyhow::anyhow!("make topic {topic}: {code}"))?;
        }
        Ok(())
    }

    /// Deletes topics, as far as they exist.
    pub(crate) fn delete_topics(&self, topics: &[&str]) -> Result<()> {
        let options = AdminOptions::new().operation_timeout(Some(TIMEOUT));
        for result in wait(self.admin()?.delete_topics(topics, &options))?? {
            match result {
                Ok(_) | Err((_, RDKafkaErrorCode::UnknownTopicOrPartition)) => {}
                Err((topic, code)) => bail!("delete topic {topic}: {code}"),
            }
        }
        Ok(())
    }

    /// Deletes a connector's consumer group, if it exists. Its members are static and so leave by their session timeout
    /// only: that is waited for.
    pub(crate) fn delete_group(&self, group: &str) -> Result<()> {
        let admin = self.admin()?;
        for _ in 0..GROUP_LOOKS_MAX {
            let results = wait(admin.delete_groups(&[group], &AdminOptions::new()))??;
            match results.into_iter().next() {
                None | Some(Ok(_) | Err((_, RDKafkaErrorCode::GroupIdNotFound))) => return Ok(()),
                Some(Err((_, RDKafkaErrorCode::NonEmptyGroup))) => std::thread::sleep(GROUP_LOOK_EVERY),
                Some(Err((_, code))) => bail!("delete group {group}: {code}"),
            }
        }
        bail!("delete group {group}: it still has members")
    }

    /// Produces records (partition, key, payload) in the given order and waits until all are acknowledged.
    pub(crate) fn produce<P: AsRef<[u8]>>(
        &self,
        topic: &str,
        records: impl IntoIterator<Item = (i32, Option<String>, P)>,
    ) -> Result<()> {
        let producer: ThreadedProducer<DefaultProducerContext> = self
            .config()
            .set("enable.idempotence", "true")
            .set("compression.type", "lz4")
            .set("linger.ms", "50")
            .set("batch.size", "1000000")
            .create()
            .context("make a producer")?;
        for (partition, key, payload) in records {
            let mut record = BaseRecord::<str, [u8]>::to(topic).partition(partition).payload(payload.as_ref());
            record.key = key.as_deref();
            while let Err((error, again)) = producer.send(record) {
                if error != KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull) {
                    return Err(error).context("produce a record");
                }
                record = again;
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        producer.flush(TIMEOUT).context("wait for the broker to acknowledge all records")
    }
}

fn wait<T>(future: impl Future<Output = T>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().context("start a runtime")?;
    Ok(runtime.block_on(future))
}
