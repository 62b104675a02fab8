//! What reading records out of Kafka costs: CPU seconds of this process per million records, fetch and decompression
//! included, nothing done with the records but to look at them. `KAFKA_BOOTSTRAP` names a broker to use instead of one
//! of its own; `RECORDS` says how many millions.
#![expect(clippy::print_stdout, reason = "a bench prints what it measured")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use devstack::{Broker, BrokerOptions};
use oncesink::source::consumer::{ConsumerSettings, KafkaConsumer, StartError};
use oncesink::source::group::{Assignments, GroupEvent};
use oncesink::types::{LaneId, Offset, RecordCount};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};

const PARTITIONS: i32 = 4;
const LANE: LaneId = LaneId(0);
const ROUNDS: usize = 3;
const READ_RECORDS_MAX: usize = 10_000;

fn main() -> anyhow::Result<()> {
    let broker;
    let bootstrap = if let Ok(bootstrap) = std::env::var("KAFKA_BOOTSTRAP") {
        bootstrap
    } else {
        broker = Broker::start(&BrokerOptions::default())?;
        broker.bootstrap().to_owned()
    };
    let millions: u64 = std::env::var("RECORDS").map_or(Ok(2), |text| text.parse())?;
    let count = RecordCount(millions * 1_000_000);
    let topic = format!("bench-{:016x}", rand::random::<u64>());
    fill(&bootstrap, &topic, count)?;
    for round in 1..=ROUNDS {
        let (wall, cpu_seconds, bytes) = consume(&bootstrap, &topic, count)?;
        let per_million = cpu_seconds * 1e6 / to_f64(count.0);
        let rate = to_f64(count.0) / wall.as_secs_f64() / 1e6;
        println!(
            "round {round}: {count} records, {} MB: {per_million:.2} CPU s per million, {rate:.2} million/s",
            bytes / 1_000_000
        );
    }
    Ok(())
}

fn consume(bootstrap: &str, topic: &str, count: RecordCount) -> anyhow::Result<(Duration, f64, u64)> {
    let settings = ConsumerSettings {
        brokers: bootstrap.to_owned(),
        name: format!("bench-{:016x}", rand::random::<u64>()),
        instance: "a".to_owned(),
        topics: [(LANE, topic.to_owned())].into(),
        properties: [].into(),
        memory_bytes: 128 << 20,
    };
    let mut consumer = KafkaConsumer::subscribe(&settings, Arc::new(Assignments::new()))?;
    let (mut waiting, mut seen, mut bytes) = (Vec::new(), RecordCount(0), 0);
    let mut began = None;
    while seen < count {
        for event in consumer.serve() {
            if let GroupEvent::Assigned(added) = event {
                waiting.extend(added);
            }
        }
        if !waiting.is_empty() {
            began.get_or_insert((now(), cpu_seconds()?));
        }
        let mut later = Vec::new();
        for (key, number) in waiting.drain(..) {
            match consumer.start(key, number, Offset::ZERO) {
                Ok(()) => {}
                Err(StartError::NotYet(_)) => later.push((key, number)),
                Err(error) => return Err(error.into()),
            }
        }
        waiting = later;
        let batch = consumer.read(LANE, Duration::from_millis(20), READ_RECORDS_MAX);
        for message in batch.iter() {
            if let Some(fault) = message.error() {
                return Err(fault.into());
            }
            bytes += u64::try_from(message.payload().map_or(0, <[u8]>::len))?;
            seen += RecordCount(1);
        }
    }
    let (wall_began, cpu_began) = began.expect("records come after an assignment only");
    Ok((wall_began.elapsed(), cpu_seconds()? - cpu_began, bytes))
}

fn fill(bootstrap: &str, topic: &str, count: RecordCount) -> anyhow::Result<()> {
    let admin: AdminClient<DefaultClientContext> = ClientConfig::new().set("bootstrap.servers", bootstrap).create()?;
    let new_topic = NewTopic::new(topic, PARTITIONS, TopicReplication::Fixed(1));
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    runtime.block_on(admin.create_topics([&new_topic], &AdminOptions::new()))?;
    let producer: ThreadedProducer<DefaultProducerContext> = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("compression.type", "lz4")
        .set("linger.ms", "50")
        .set("batch.size", "1000000")
        .create()?;
    let padding = "x".repeat(250);
    for index in 0..count.0 {
        let partition = i32::try_from(index % u64::from(PARTITIONS.unsigned_abs()))?;
        let payload = format!(
            r#"{{"id":{index},"when":"2026-01-01T00:00:00Z","value":{},"text":"{padding}"}}"#,
            index.wrapping_mul(2_654_435_761)
        );
        let mut record = BaseRecord::<(), _>::to(topic).partition(partition).payload(&payload);
        while let Err((error, again)) = producer.send(record) {
            if error != KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull) {
                return Err(error.into());
            }
            record = again;
            std::thread::yield_now();
        }
    }
    producer.flush(Duration::from_secs(120))?;
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "a bench measures the real clock")]
fn now() -> Instant {
    Instant::now()
}

/// User and system time of this process. Linux counts it in hundredths of a second.
fn cpu_seconds() -> anyhow::Result<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    // The name of the program, in brackets, may hold spaces; behind it the 12th and 13th fields are the two times.
    let behind_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks: u32 = behind_name.split_whitespace().skip(11).take(2).map(str::parse::<u32>).sum::<Result<u32, _>>()?;
    Ok(f64::from(ticks) / 100.0)
}

fn to_f64(count: u64) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}
