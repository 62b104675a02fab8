//! A plain Kafka client for the tests: makes topics, produces records, reads alerts.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::{
    AdminClient, AdminOptions, AlterConfig, NewPartitions, NewTopic, ResourceSpecifier, TopicReplication,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::{Header, Message as _, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::wait_for;

const TIMEOUT: Duration = Duration::from_secs(20);

/// A client of one cluster.
pub(crate) struct Kafka {
    config: ClientConfig,
}

/// A record as a reader of committed data sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) partition: i32,
    pub(crate) offset: u64,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) payload: Vec<u8>,
}

impl Kafka {
    /// A client with these properties besides the brokers.
    pub(crate) fn new(brokers: &str, properties: &[(&str, &str)]) -> Self {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", brokers).set("message.max.bytes", "33554432");
        for (name, value) in properties {
            config.set(*name, *value);
        }
        Self { config }
    }

    fn admin(&self) -> AdminClient<DefaultClientContext> {
        self.config.create().unwrap()
    }

    /// Makes a topic and waits until it can be used.
    pub(crate) fn create_topic(&self, topic: &str, partitions: i32) {
        let admin = self.admin();
        let options = AdminOptions::new().operation_timeout(Some(TIMEOUT));
        let new = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
        wait_for(&format!("topic {topic} to be made"), || {
            let made = block_on(admin.create_topics([&new], &options)).map_err(|error| error.to_string())?;
            made.into_iter().next().unwrap().map(|_| ()).map_err(|(_, code)| code.to_string())
        });
        wait_for(&format!("topic {topic} to have leaders"), || {
            let found = admin.inner().fetch_metadata(Some(topic), TIMEOUT).map_err(|error| error.to_string())?;
            let topic = found.topics().first().ok_or("no metadata")?;
            let ready = topic.partitions().len() == usize::try_from(partitions).unwrap()
                && topic.partitions().iter().all(|partition| partition.leader() >= 0);
            if ready { Ok(()) } else { Err("not all partitions have leaders".to_owned()) }
        });
    }

    /// Adds partitions to a topic, until it has so many.
    pub(crate) fn add_partitions(&self, topic: &str, partitions: i32) {
        let new = NewPartitions::new(topic, usize::try_from(partitions).unwrap());
        let options = AdminOptions::new().operation_timeout(Some(TIMEOUT));
        for result in block_on(self.admin().create_partitions([&new], &options)).unwrap() {
            result.unwrap();
        }
    }

    /// Sets a property of a topic.
    pub(crate) fn configure_topic(&self, topic: &str, name: &str, value: &str) {
        let alter = AlterConfig::new(ResourceSpecifier::Topic(topic)).set(name, value);
        for result in block_on(self.admin().alter_configs([&alter], &AdminOptions::new())).unwrap() {
            result.unwrap();
        }
    }

    /// Deletes a topic and waits until it is gone.
    pub(crate) fn delete_topic(&self, topic: &str) {
        let admin = self.admin();
        let options = AdminOptions::new().operation_timeout(Some(TIMEOUT));
        for result in block_on(admin.delete_topics(&[topic], &options)).unwrap() {
            result.unwrap();
        }
        wait_for(&format!("topic {topic} to be gone"), || {
            let found = admin.inner().fetch_metadata(None, TIMEOUT).map_err(|error| error.to_string())?;
            let there = found.topics().iter().any(|known| known.name() == topic);
            if there { Err("it is still listed".to_owned()) } else { Ok(()) }
        });
    }

    /// Deletes a consumer group: as if its offsets had expired.
    pub(crate) fn delete_group(&self, group: &str) {
        let admin = self.admin();
        wait_for(&format!("group {group} to be deleted"), || {
            let results = block_on(admin.delete_groups(&[group], &AdminOptions::new()));
            for result in results.map_err(|error| error.to_string())? {
                match result {
                    Ok(_) | Err((_, RDKafkaErrorCode::GroupIdNotFound)) => {}
                    Err((_, code)) => return Err(code.to_string()),
                }
            }
            Ok(())
        });
    }

    /// Moves the group's offsets as a foreign tool does: with empty metadata. The group must have no members.
    pub(crate) fn move_offsets(&self, group: &str, topic: &str, offsets: &BTreeMap<i32, u64>) {
        let mut config = self.config.clone();
        let consumer: BaseConsumer = config.set("group.id", group).create().unwrap();
        let mut list = TopicPartitionList::new();
        for (partition, offset) in offsets {
            let offset = Offset::Offset(i64::try_from(*offset).unwrap());
            list.add_partition_offset(topic, *partition, offset).unwrap();
        }
        wait_for(&format!("offsets of {group} to be moved"), || {
            consumer.commit(&list, rdkafka::consumer::CommitMode::Sync).map_err(|error| error.to_string())
        });
    }

    /// Produces records to given partitions and waits until all are acknowledged.
    pub(crate) fn produce<'a>(&self, topic: &str, records: impl IntoIterator<Item = (i32, &'a [u8])>) {
        let producer: BaseProducer = self.config.clone().set("linger.ms", "5").create().unwrap();
        for (partition, payload) in records {
            let mut record = BaseRecord::<(), [u8]>::to(topic).partition(partition).payload(payload);
            while let Err((error, back)) = producer.send(record) {
                let full = rdkafka::types::RDKafkaErrorCode::QueueFull;
                assert_eq!(error.rdkafka_error_code(), Some(full), "{error}");
                producer.poll(Duration::from_millis(20));
                record = back;
            }
        }
        producer.flush(TIMEOUT).unwrap();
    }

    /// Produces all of this in one batch, compressed with zstd.
    pub(crate) fn produce_unfolding(&self, topic: &str, partition: i32, payloads: &[String]) {
        let mut config = self.config.clone();
        let sizes = ["message.max.bytes", "batch.size"].map(|property| (property, "64000000"));
        for (property, value) in sizes.into_iter().chain([("compression.type", "zstd"), ("linger.ms", "1000")]) {
            config.set(property, value);
        }
        let producer: BaseProducer = config.create().unwrap();
        for payload in payloads {
            let record = BaseRecord::<(), str>::to(topic).partition(partition).payload(payload);
            producer.send(record).map_err(|(error, _)| error).unwrap();
        }
        // Not by `flush`, which sends what is there at once.
        wait_for("the batch to be sent", || {
            producer.poll(Duration::from_millis(50));
            if producer.in_flight_count() == 0 { Ok(()) } else { Err("it is under way".to_owned()) }
        });
    }

    /// A producer of transactions, of which the first is begun.
    pub(crate) fn transactional(&self, id: &str) -> BaseProducer {
        let mut config = self.config.clone();
        let producer: BaseProducer = config.set("transactional.id", id).create().unwrap();
        producer.init_transactions(TIMEOUT).unwrap();
        producer.begin_transaction().unwrap();
        producer
    }

    /// Produces so many records in the transaction that the producer has begun, and waits until they are in the log.
    pub(crate) fn produce_in(producer: &BaseProducer, topic: &str, partition: i32, payloads: &[String]) {
        for payload in payloads {
            producer
                .send(BaseRecord::<(), str>::to(topic).partition(partition).payload(payload))
                .map_err(|(e, _)| e)
                .unwrap();
        }
        producer.flush(TIMEOUT).unwrap();
    }

    /// Produces records with timestamps of their own, whatever they say.
    pub(crate) fn produce_at<'a>(&self, topic: &str, records: impl IntoIterator<Item = (&'a [u8], i64)>) {
        let anything = AlterConfig::new(ResourceSpecifier::Topic(topic))
            .set("message.timestamp.after.max.ms", "9223372036854775807")
            .set("message.timestamp.before.max.ms", "9223372036854775807");
        let altered = block_on(self.admin().alter_configs([&anything], &AdminOptions::new())).unwrap();
        assert!(altered.iter().all(Result::is_ok), "{altered:?}");
        let producer: BaseProducer = self.config.create().unwrap();
        for (payload, timestamp) in records {
            let record = BaseRecord::<(), [u8]>::to(topic).partition(0).payload(payload).timestamp(timestamp);
            producer.send(record).map_err(|(error, _)| error).unwrap();
        }
        producer.flush(TIMEOUT).unwrap();
    }

    /// Removes everything below these offsets, as retention does.
    pub(crate) fn delete_records(&self, topic: &str, below: &BTreeMap<i32, u64>) {
        let mut list = TopicPartitionList::new();
        for (partition, offset) in below {
            let offset = Offset::Offset(i64::try_from(*offset).unwrap());
            list.add_partition_offset(topic, *partition, offset).unwrap();
        }
        let deleted = block_on(self.admin().delete_records(&list, &AdminOptions::new())).unwrap();
        deleted.elements().iter().for_each(|element| element.error().unwrap());
    }

    /// Produces one record with a key and headers; without a value it is a tombstone.
    pub(crate) fn produce_one(&self, topic: &str, key: &[u8], value: Option<&[u8]>, headers: &[(&str, &[u8])]) {
        let producer: BaseProducer = self.config.create().unwrap();
        let mut all = OwnedHeaders::new();
        for (name, value) in headers {
            all = all.insert(Header { key: name, value: Some(*value) });
        }
        let mut record = BaseRecord::<[u8], [u8]>::to(topic).partition(0).key(key).headers(all);
        record.payload = value;
        producer.send(record).unwrap();
        producer.flush(TIMEOUT).unwrap();
    }

    /// A tombstone: a key without a value.
    pub(crate) fn produce_tombstone(&self, topic: &str, partition: i32) {
        let producer: BaseProducer = self.config.create().unwrap();
        producer.send(BaseRecord::<str, [u8]>::to(topic).partition(partition).key("gone")).unwrap();
        producer.flush(TIMEOUT).unwrap();
    }

    /// All records of a topic that a reader of committed data sees, from the first to the last.
    pub(crate) fn read_all(&self, topic: &str) -> Vec<Record> {
        let mut config = self.config.clone();
        config
            .set("group.id", "oracle")
            .set("enable.auto.commit", "false")
            .set("auto.offset.reset", "earliest")
            .set("isolation.level", "read_committed")
            .set("enable.partition.eof", "true");
        let consumer: BaseConsumer = config.create().unwrap();
        let metadata = consumer.fetch_metadata(Some(topic), TIMEOUT).unwrap();
        let mut list = TopicPartitionList::new();
        for partition in metadata.topics()[0].partitions() {
            list.add_partition_offset(topic, partition.id(), Offset::Beginning).unwrap();
        }
        consumer.assign(&list).unwrap();
        let mut open = list.count();
        let mut records = Vec::new();
        while open > 0 {
            match consumer.poll(TIMEOUT).expect("the end of every partition comes in time") {
                Ok(message) => records.push(Record {
                    partition: message.partition(),
                    offset: u64::try_from(message.offset()).unwrap(),
                    key: message.key().map(<[u8]>::to_vec),
                    payload: message.payload().unwrap_or_default().to_vec(),
                }),
                Err(rdkafka::error::KafkaError::PartitionEOF(_)) => open -= 1,
                Err(error) => panic!("reading {topic}: {error}"),
            }
        }
        records
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}
