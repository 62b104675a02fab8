//! What came of it: rows, dead letters, alerts, and whether they are what they have to be.

#![expect(clippy::print_stdout, reason = "the demo is there to be watched")]

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rdkafka::Message as _;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use serde_json::Value;

use crate::Produced;
use crate::setting::Setting;

const ALERTS_SHOWN: usize = 4;
const READ_TIMEOUT: Duration = Duration::from_secs(10);

/// Prints the outcome; gives what is wrong with it.
pub(crate) fn show(setting: &Setting, produced: &Produced) -> Result<Vec<String>> {
    let mut faults = Vec::new();
    show_rows(setting, produced, &mut faults)?;
    show_dead_letters(setting, produced, &mut faults)?;
    show_alerts(setting, &mut faults)?;
    Ok(faults)
}

fn show_rows(setting: &Setting, produced: &Produced, faults: &mut Vec<String>) -> Result<()> {
    let tables =
        [("weather", setting.weather_topic(), produced.weather), ("flights", setting.flight_topic(), produced.flights)];
    for (table, topic, records) in tables {
        let damaged = produced.damaged.iter().filter(|(of, ..)| *of == topic).count();
        let rows = setting.count(&format!("SELECT count() FROM {{database}}.{table}"))?;
        println!("{table:8} {:>7} records, {damaged} damaged, {:>7} rows", grouped(records), grouped(rows));
        if rows + damaged != records {
            faults.push(format!("table {table} has {rows} rows instead of {}", records - damaged));
        }
    }
    let hottest = "SELECT origin, time_hour, temp FROM {database}.weather ORDER BY temp DESC LIMIT 1";
    for line in setting.query(hottest)? {
        println!("the hottest hour: {} at {} UTC, {} F", line[0], line[1], line[2]);
    }
    let latest = "SELECT carrier, flight, origin, dest, dep_delay FROM {database}.flights ORDER BY dep_delay DESC NULLS LAST LIMIT 1";
    for line in setting.query(latest)? {
        println!("the latest flight: {} {} from {} to {}, {} minutes", line[0], line[1], line[2], line[3], line[4]);
    }
    Ok(())
}

fn show_dead_letters(setting: &Setting, produced: &Produced, faults: &mut Vec<String>) -> Result<()> {
    let letters = setting.query(
        "SELECT kafka_topic_name, kafka_partition, kafka_offset, error_code, error FROM {database}.dead_letters ORDER BY 1, 2, 3 FORMAT TSVRaw",
    )?;
    println!("\ndead letters, each with the exact bytes beside:");
    let mut found = Vec::new();
    for line in &letters {
        println!("  {} partition {} offset {}: {}: {}", line[0], line[1], line[2], line[3], line[4]);
        found.push((line[0].clone(), line[1].parse()?, line[2].parse()?));
    }
    let mut expected = produced.damaged.clone();
    expected.sort();
    found.sort();
    if found != expected {
        faults.push(format!("the dead letters {found:?} are not the damaged records {expected:?}"));
    }
    Ok(())
}

fn show_alerts(setting: &Setting, faults: &mut Vec<String>) -> Result<()> {
    let alerts = read_alerts(setting)?;
    let text = |alert: &Value, name: &str| match &alert[name] {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let hot = setting.count("SELECT count() FROM {database}.weather WHERE temp > 95")?;
    let late = setting.count("SELECT count() FROM {database}.flights WHERE dep_delay > 900")?;
    let stored = setting.count("SELECT uniqExact(alert_id) FROM {database}.alerts")?;
    println!(
        "\nalerts of temp > 95 and dep_delay > 900: {} for a read_committed consumer, {stored} in ClickHouse; {hot} + {late} rows match",
        alerts.len()
    );
    for severity in ["critical", "high", "medium"] {
        let of_severity = alerts.iter().filter(|alert| text(alert, "severity") == severity);
        for alert in of_severity.take(ALERTS_SHOWN.div_ceil(2)) {
            println!(
                "  {severity:8} {}: {} ({} > {}), {} partition {} offset {}",
                text(alert, "detector"),
                text(alert, "message"),
                text(alert, "value"),
                text(alert, "threshold"),
                text(alert, "topic"),
                text(alert, "partition"),
                text(alert, "offset")
            );
        }
    }
    let ids: BTreeSet<String> = alerts.iter().map(|alert| text(alert, "alert_id")).collect();
    if ids.len() != alerts.len() || alerts.len() != hot + late || stored != alerts.len() {
        faults.push(format!(
            "{} alerts with {} ids in Kafka and {stored} in ClickHouse instead of {}",
            alerts.len(),
            ids.len(),
            hot + late
        ));
    }
    Ok(())
}

/// All alerts that are committed.
fn read_alerts(setting: &Setting) -> Result<Vec<Value>> {
    let mut config = setting.kafka.config();
    config.set("group.id", setting.alert_topic()).set("enable.auto.commit", "false");
    config.set("isolation.level", "read_committed").set("enable.partition.eof", "true");
    let consumer: BaseConsumer = config.create().context("make a consumer")?;
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(&setting.alert_topic(), 0, Offset::Beginning)?;
    consumer.assign(&list)?;
    let mut alerts = Vec::new();
    loop {
        match consumer.poll(READ_TIMEOUT).context("the alert topic cannot be read")? {
            Ok(message) => alerts.push(serde_json::from_slice(message.payload().unwrap_or_default())?),
            Err(KafkaError::PartitionEOF(_)) => return Ok(alerts),
            Err(error) => ensure!(false, "read the alert topic: {error}"),
        }
    }
}

/// A number with commas.
pub(crate) fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().map(|group| std::str::from_utf8(group).unwrap_or_default()).collect();
    groups.join(",")
}
