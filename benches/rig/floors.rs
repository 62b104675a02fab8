//! What reading costs at least: CPU seconds of this process, fetch and decompression included, for records that are looked
//! at and thrown away. Once by the ordinary way, a record a call; once by the connector's own consumer, in batches.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use oncesink::source::consumer::{ConsumerSettings, KafkaConsumer, StartAt, StartError};
use oncesink::source::group::{Assignments, GroupEvent};
use oncesink::types::{LaneId, Offset};
use rdkafka::Message as _;
use rdkafka::consumer::{BaseConsumer, Consumer};

use crate::load::Load;
use crate::now;
use crate::process::cpu_seconds;
use crate::report::{Figure, Report, figure};
use crate::run::Rig;

const PARTITIONS: i32 = 4;
const LANE: LaneId = LaneId(0);
const READ_RECORDS_MAX: usize = 10_000;
const WAIT: Duration = Duration::from_millis(20);

pub(crate) fn bench(rig: &Rig, report: &mut Report) -> Result<()> {
    let records = rig.common.records;
    let topic = rig.loaded(&Load::l1(), PARTITIONS, records)?;
    for _ in 0..rig.common.runs {
        report.add("poll loop", poll_loop(rig, &topic, records)?)?;
        report.add("batch loop", batch_loop(rig, &topic, records)?)?;
    }
    Ok(())
}

fn figures(records: usize, began: Option<(Instant, f64)>) -> Result<Vec<Figure>> {
    let (began, cpu_began) = began.context("records come after an assignment")?;
    let millions = records as f64 / 1e6;
    let cpu = cpu_seconds(std::process::id())? - cpu_began;
    Ok(vec![
        figure("CPU s per million", cpu / millions),
        figure("thousand records/s", 1e3 * millions / began.elapsed().as_secs_f64()),
    ])
}

fn poll_loop(rig: &Rig, topic: &str, records: usize) -> Result<Vec<Figure>> {
    let mut config = rig.kafka.config();
    config
        .set("group.id", format!("floor_{:08x}", rand::random::<u32>()))
        .set("auto.offset.reset", "earliest")
        .set("enable.auto.commit", "false")
        .set("fetch.queue.backoff.ms", "20");
    let consumer: BaseConsumer = config.create().context("make a consumer")?;
    consumer.subscribe(&[topic])?;
    let (mut seen, mut bytes, mut began) = (0, 0, None);
    while seen < records {
        let Some(message) = consumer.poll(WAIT) else { continue };
        // From the first record on: what joining takes is not what reading costs.
        if began.is_none() {
            began = Some((now(), cpu_seconds(std::process::id())?));
        }
        bytes += message?.payload().map_or(0, <[u8]>::len);
        seen += 1;
    }
    std::hint::black_box(bytes);
    figures(records, began)
}

fn batch_loop(rig: &Rig, topic: &str, records: usize) -> Result<Vec<Figure>> {
    let settings = ConsumerSettings {
        brokers: rig.brokers().to_owned(),
        name: format!("floor_{:08x}", rand::random::<u32>()),
        instance: "a".to_owned(),
        topics: [(LANE, topic.to_owned())].into(),
        properties: [].into(),
        memory_bytes: 128 << 20,
    };
    let mut consumer = KafkaConsumer::subscribe(&settings, Arc::new(Assignments::new()))?;
    let (mut waiting, mut seen, mut bytes, mut began) = (Vec::new(), 0, 0, None);
    while seen < records {
        for event in consumer.serve() {
            if let GroupEvent::Assigned(added) = event {
                waiting.extend(added);
            }
        }
        if !waiting.is_empty() && began.is_none() {
            began = Some((now(), cpu_seconds(std::process::id())?));
        }
        let at = |(key, assignment)| StartAt { key, assignment, offset: Offset::ZERO };
        let starts: Vec<StartAt> = waiting.drain(..).map(at).collect();
        let mut answers = consumer.start(&starts);
        for start in starts {
            match answers.remove(&start.key).context("each partition gets an answer")? {
                Ok(()) => {}
                Err(StartError::NotYet(_)) => waiting.push((start.key, start.assignment)),
                Err(error) => return Err(error.into()),
            }
        }
        let batch = consumer.read(LANE, WAIT, READ_RECORDS_MAX);
        for message in batch.iter() {
            if let Some(fault) = message.error() {
                return Err(fault.into());
            }
            bytes += message.payload().map_or(0, <[u8]>::len);
            seen += 1;
        }
    }
    std::hint::black_box(bytes);
    figures(records, began)
}
