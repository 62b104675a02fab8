//! The servers, and the names of what the demo makes on them.

use std::fmt;
use std::path::PathBuf;

use anyhow::{Context, Result};
use devstack::http::Client;
use devstack::{Registry, Stack, StackOptions};

use crate::avro;

use crate::kafka::Kafka;

pub(crate) const WEATHER_PARTITIONS: i32 = 3;
pub(crate) const FLIGHT_PARTITIONS: i32 = 4;

const TABLES: &str = include_str!("tables.sql");

/// Where the demo takes place. What it made on servers of the user's own is deleted when this is dropped.
pub(crate) struct Setting {
    pub(crate) kafka: Kafka,
    pub(crate) clickhouse: Client,
    name: String,
    folder: tempfile::TempDir,
    registry: Registry,
    // Declared, and so dropped, last: deleting needs the servers.
    stack: Stack,
}

/// How much is visible.
pub(crate) struct StoredCounts {
    pub(crate) weather: usize,
    pub(crate) flights: usize,
    pub(crate) dead: usize,
}

impl Setting {
    /// Starts the servers, or takes the user's, and makes topics, database and tables.
    pub(crate) fn start() -> Result<Self> {
        // At the same time, where all of them are ours.
        let registry = std::thread::spawn(|| Registry::start(None));
        let stack = Stack::from_env_or_start(&StackOptions::default())?;
        let registry = registry.join().expect("starting a registry does not panic")?;
        let name = if stack.can_kill() { "demo".to_owned() } else { format!("demo_{:08x}", rand::random::<u32>()) };
        let mut clickhouse = Client::new(stack.clickhouse_url());
        if let Ok(user) = std::env::var("CLICKHOUSE_USER") {
            clickhouse = clickhouse.user(&user, &std::env::var("CLICKHOUSE_PASSWORD").unwrap_or_default());
        }
        let kafka = Kafka::new(stack.bootstrap());
        let folder = tempfile::tempdir().context("make a temporary folder")?;
        let setting = Self { kafka, clickhouse, name, folder, registry, stack };
        setting.make()?;
        Ok(setting)
    }

    fn make(&self) -> Result<()> {
        let (weather, flights, alerts) = (self.weather_topic(), self.flight_topic(), self.alert_topic());
        self.kafka.create_topics(&[(&weather, WEATHER_PARTITIONS), (&flights, FLIGHT_PARTITIONS), (&alerts, 1)])?;
        self.clickhouse.query(&format!("CREATE DATABASE {}", self.name))?;
        for statement in TABLES.replace("{database}", &self.name).split(";\n").filter(|text| !text.trim().is_empty()) {
            self.clickhouse.query(statement)?;
        }
        Ok(())
    }

    /// Deletes what was made on servers that go on.
    fn delete(&self) -> Result<()> {
        if self.stack.can_kill() {
            return Ok(());
        }
        let topics = [self.weather_topic(), self.flight_topic(), self.alert_topic()];
        let topics = topics.each_ref().map(String::as_str);
        let kafka = self.kafka.delete_topics(&topics).and(self.kafka.delete_group(&self.name));
        self.clickhouse.query(&format!("DROP DATABASE IF EXISTS {} SYNC", self.name))?;
        kafka
    }

    /// Deletes what was made and stops what was started.
    pub(crate) fn end(self) -> Result<()> {
        self.delete()
    }

    pub(crate) fn weather_topic(&self) -> String {
        format!("{}_weather", self.name)
    }

    pub(crate) fn flight_topic(&self) -> String {
        format!("{}_flights", self.name)
    }

    pub(crate) fn alert_topic(&self) -> String {
        format!("{}_alerts", self.name)
    }

    /// Registers the schema of flights, as their producer would; gives its id.
    pub(crate) fn register_flights(&self) -> Result<u32> {
        self.registry.register(&format!("{}-value", self.flight_topic()), "AVRO", avro::SCHEMA, &[])
    }

    /// What `config/demo.yaml` wants to know.
    pub(crate) fn environment(&self) -> Vec<(&'static str, String)> {
        let mut environment = self.stack.environment();
        environment.push(("SCHEMA_REGISTRY_URL", self.registry.url().to_owned()));
        environment.push(("DEMO_NAME", self.name.clone()));
        environment.push(("DEMO_ADMIN", "127.0.0.1:0".to_owned()));
        environment
    }

    /// Where the connector's log goes.
    pub(crate) fn log(&self) -> PathBuf {
        self.folder.path().join("oncesink.log")
    }

    /// Executes a statement, in which `{database}` is the demo's database; gives lines of values.
    pub(crate) fn query(&self, statement: &str) -> Result<Vec<Vec<String>>> {
        let text = self.clickhouse.query(&statement.replace("{database}", &self.name))?;
        Ok(text.lines().map(|line| line.split('\t').map(str::to_owned).collect()).collect())
    }

    /// One number.
    pub(crate) fn count(&self, statement: &str) -> Result<usize> {
        let lines = self.query(statement)?;
        let value = lines.first().and_then(|line| line.first()).context("a count has a value")?;
        value.parse().with_context(|| format!("read the count {value:?}"))
    }

    /// What is visible now. The connector makes the table of dead letters when it starts.
    pub(crate) fn stored(&self) -> Result<StoredCounts> {
        let made = self.count("EXISTS TABLE {database}.dead_letters")? == 1;
        Ok(StoredCounts {
            weather: self.count("SELECT count() FROM {database}.weather")?,
            flights: self.count("SELECT count() FROM {database}.flights")?,
            dead: if made { self.count("SELECT count() FROM {database}.dead_letters")? } else { 0 },
        })
    }
}

impl Drop for Setting {
    fn drop(&mut self) {
        if let Err(error) = self.delete() {
            eprintln!("deleting topics and database {}: {error:#}", self.name);
        }
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kafka, clickhouse, name) = (self.stack.bootstrap(), self.stack.clickhouse_url(), &self.name);
        if self.stack.can_kill() {
            write!(
                f,
                "Kafka broker at {kafka}, ClickHouse's engine (behind our HTTP front) at {clickhouse}, schema registry at {}",
                self.registry.url()
            )
        } else {
            write!(
                f,
                "your Kafka at {kafka} and ClickHouse at {clickhouse}: topics {name}_weather, {name}_flights and \
                 {name}_alerts and database {name} were made and are deleted at the end"
            )
        }
    }
}
