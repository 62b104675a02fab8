//! The servers of a bench, what is loaded into them, and one run: a topic into a table, by whatever does it.

use std::cell::{OnceCell, RefCell};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use devstack::http::query;
use devstack::{Registry, Stack, StackOptions};

use crate::contender::{Build, Contender, Running};
use crate::kafka::Kafka;
use crate::load::Load;
use crate::report::{Figure, figure};
use crate::throughput::BATCH;
use crate::{Common, now, process, target};

/// What is slower than this does not move at all.
pub(crate) const STALLED_AFTER: Duration = Duration::from_secs(60);
const WARM_UP_RECORDS: usize = 400_000;
/// Counting costs the engine 2 ms of CPU time: at twenty a second that was a tenth of what it spent.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// The servers, and what all runs have in common.
pub(crate) struct Rig {
    pub(crate) kafka: Kafka,
    /// Of configurations and logs.
    pub(crate) folder: PathBuf,
    pub(crate) common: Common,
    name: String,
    databases: RefCell<usize>,
    topics: RefCell<BTreeSet<String>>,
    registry: OnceCell<Registry>,
    broker: Option<u32>,
    engine: Option<u32>,
    _throw_away: Option<tempfile::TempDir>,
    // Declared, and so dropped, last.
    stack: Stack,
}

/// What one run moves where.
pub(crate) struct Job<'a> {
    pub(crate) topic: String,
    pub(crate) load: &'a Load,
    pub(crate) records: usize,
    /// The inside of the connector's `batch`.
    pub(crate) batch: &'a str,
}

impl Rig {
    /// Servers of our own, or those that the environment names.
    pub(crate) fn start(common: &Common) -> Result<Self> {
        let stack = Stack::from_env_or_start(&StackOptions::default())?;
        let (folder, throw_away) = match &common.folder {
            Some(folder) => {
                std::fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
                (folder.clone(), None)
            }
            None => {
                let folder = tempfile::tempdir()?;
                (folder.path().to_owned(), Some(folder))
            }
        };
        let ours = |name| stack.can_kill().then(|| process::child(name)).transpose();
        Ok(Self {
            kafka: Kafka::new(stack.bootstrap()),
            folder,
            _throw_away: throw_away,
            common: common.clone(),
            name: format!("bench_{:08x}", rand::random::<u32>()),
            databases: RefCell::new(0),
            topics: RefCell::default(),
            registry: OnceCell::new(),
            broker: ours("java")?,
            engine: ours("python")?,
            stack,
        })
    }

    /// Deletes the topics, which servers that are not ours would keep.
    pub(crate) fn stop(self) -> Result<()> {
        let topics = self.topics.borrow();
        let names: Vec<&str> = topics.iter().map(String::as_str).collect();
        // The client library refuses an empty list.
        if names.is_empty() { Ok(()) } else { self.kafka.delete_topics(&names) }
    }

    pub(crate) fn brokers(&self) -> &str {
        self.stack.bootstrap()
    }

    pub(crate) fn url(&self) -> &str {
        self.stack.clickhouse_url()
    }

    /// A registry, started for the first load whose records name a schema.
    fn registry(&self) -> Result<&Registry> {
        if self.registry.get().is_none() {
            drop(self.registry.set(Registry::start(None)?));
        }
        self.registry.get().context("it was just set")
    }

    /// The line of a configuration that names the registry, once there is one.
    pub(crate) fn registry_line(&self) -> String {
        let line = |registry: &Registry| format!("schema_registry: {{ url: \"{}\" }}", registry.url());
        self.registry.get().map(line).unwrap_or_default()
    }

    /// The engine, where it is ours.
    pub(crate) fn engine(&self) -> Option<u32> {
        self.engine
    }

    pub(crate) fn query(&self, statement: &str) -> Result<String> {
        query(self.url(), statement)
    }

    /// An empty topic, whose name begins so.
    pub(crate) fn topic(&self, name: &str, partitions: i32) -> Result<String> {
        let topic = format!("{}_{name}_{partitions}", self.name);
        if self.topics.borrow_mut().insert(topic.clone()) {
            self.kafka.create_topics(&[(&topic, partitions)])?;
        }
        Ok(topic)
    }

    /// A topic that holds so many records of a load, dealt out to its partitions in turns.
    pub(crate) fn loaded(&self, load: &Load, partitions: i32, records: usize) -> Result<String> {
        let topic = format!("{}_{}_{partitions}", self.name, load.name);
        if self.topics.borrow().contains(&topic) {
            return Ok(topic);
        }
        let began = now();
        let topic = self.topic(&load.name, partitions)?;
        let schema_id = match load.schema() {
            Some(schema) => self.registry()?.register(&format!("{topic}-value"), schema.kind, schema.text, &[])?,
            None => 0,
        };
        let mut bytes = 0;
        self.produce(
            &topic,
            partitions,
            load.records(schema_id).take(records).inspect(|payload| bytes += payload.len()),
        )?;
        println!(
            "{}: {records} records of {} bytes, {partitions} partitions, lz4, produced in {:.0} s",
            load.name,
            bytes / records.max(1),
            began.elapsed().as_secs_f64()
        );
        Ok(topic)
    }

    /// Produces records, dealt out to the topic's partitions in turns.
    pub(crate) fn produce(
        &self,
        topic: &str,
        partitions: i32,
        records: impl IntoIterator<Item = Vec<u8>>,
    ) -> Result<()> {
        let dealt = records.into_iter().zip((0..partitions).cycle());
        self.kafka.produce(topic, dealt.map(|(payload, partition)| (partition, None, payload)))
    }

    /// A run that is not reported: what the first one pays, compiled code of the broker and its first topics of every kind,
    /// is not what is measured.
    pub(crate) fn warm_up(&self) -> Result<()> {
        let load = Load::warm_up();
        let topic = self.loaded(&load, 4, WARM_UP_RECORDS)?;
        let job = Job { topic, load: &load, records: WARM_UP_RECORDS, batch: BATCH };
        self.run(&Contender::Connector(Build::ours()), &job)?;
        Ok(())
    }

    /// A new database with the table of a load.
    pub(crate) fn database(&self, load: &Load) -> Result<String> {
        *self.databases.borrow_mut() += 1;
        let database = format!("{}_{}", self.name, self.databases.borrow());
        self.query(&format!("CREATE DATABASE {database}"))?;
        self.query(&target::table(&database, load))?;
        Ok(database)
    }

    /// Drops a database, and forgets the group of the same name, for which servers of our own need not wait.
    pub(crate) fn drop_database(&self, database: &str) -> Result<()> {
        self.query(&format!("DROP DATABASE {database} SYNC"))?;
        if self.stack.can_kill() { Ok(()) } else { self.kafka.delete_group(database) }
    }

    pub(crate) fn rows(&self, database: &str) -> Result<usize> {
        Ok(self.query(&format!("SELECT count() FROM {database}.readings"))?.trim().parse()?)
    }

    /// Every record is there, once; gives the number of inserts.
    pub(crate) fn check(&self, database: &str, rows: usize, dead: usize) -> Result<f64> {
        let letters = self.query(&format!("SELECT count() FROM {database}.dead_letters"))?;
        ensure!(letters.trim() == dead.to_string(), "{letters} dead letters instead of {dead}");
        let counts = self.query(&format!("SELECT count(), uniqExact(_partition, _offset) FROM {database}.readings"))?;
        let expected = format!("{rows}\t{rows}\n");
        ensure!(counts == expected, "rows and distinct offsets are {counts:?} instead of {expected:?}");
        Ok(self.query(&format!("SELECT uniqExact(block) FROM {database}.ledger"))?.trim().parse()?)
    }

    /// CPU seconds of broker and engine, where they are ours.
    pub(crate) fn servers(&self) -> Result<Option<(f64, f64)>> {
        let (Some(broker), Some(engine)) = (self.broker, self.engine) else { return Ok(None) };
        Ok(Some((process::cpu_seconds(broker)?, process::cpu_seconds(engine)?)))
    }

    /// One run: everything in the topic is moved into a new table, then counted.
    pub(crate) fn run(&self, contender: &Contender, job: &Job<'_>) -> Result<Vec<Figure>> {
        let database = self.database(job.load)?;
        let result = self.measure(contender, job, &database);
        self.drop_database(&database)?;
        result
    }

    fn measure(&self, contender: &Contender, job: &Job<'_>, database: &str) -> Result<Vec<Figure>> {
        let servers = self.servers()?;
        let began = now();
        let mut running = contender.start(self, job, database)?;
        let expected = job.records - job.load.dead(job.records);
        let visible = self.wait(database, expected, &mut running);
        let (first, first_rows, last) = visible.with_context(|| running.last_words())?;
        let servers_after = self.servers()?;
        let spent = running.spent()?;
        running.stop(self, database)?;
        let mut figures = vec![
            figure("thousand rows/s", (expected - first_rows) as f64 / (last - first).as_secs_f64() / 1e3),
            figure("from start, thousand rows/s", expected as f64 / (last - began).as_secs_f64() / 1e3),
        ];
        let millions = job.records as f64 / 1e6;
        if let Some(spent) = spent {
            figures.push(figure("million rows per CPU s", millions / spent.cpu_seconds));
            figures.push(figure("CPU s per million", spent.cpu_seconds / millions));
            figures.push(figure("peak MiB", spent.peak_mib));
            for (thread, seconds) in &spent.threads {
                figures.push(figure(format!("thread {thread}, CPU s per million"), seconds / millions));
            }
            figures.extend(spent.stages.iter().map(|(stage, seconds)| figure(stage.clone(), *seconds)));
        }
        if let (Some(before), Some(after)) = (servers, servers_after) {
            figures.push(figure("broker, CPU s per million", (after.0 - before.0) / millions));
            figures.push(figure("engine, CPU s per million", (after.1 - before.1) / millions));
        }
        match contender {
            Contender::Connector(connector) if connector.without.is_none() => {
                figures.push(figure("inserts", self.check(database, expected, job.load.dead(job.records))?));
            }
            _ => {}
        }
        Ok(figures)
    }

    /// Waits until all rows are visible; gives when the first were, how many those were, and when the last was.
    fn wait(&self, database: &str, expected: usize, running: &mut Running) -> Result<(Instant, usize, Instant)> {
        let mut first = None;
        self.wait_for_rows(database, expected, LOOK_EVERY, |rows| {
            if rows > 0 && first.is_none() {
                first = Some((now(), rows));
            }
            running.check()
        })?;
        let last = now();
        let (first, first_rows) = first.context("a run has rows")?;
        Ok((first, first_rows, last))
    }

    /// Waits until so many rows are visible; whoever waits is told how many there are at each look.
    pub(crate) fn wait_for_rows(
        &self,
        database: &str,
        expected: usize,
        look_every: Duration,
        mut on_look: impl FnMut(usize) -> Result<()>,
    ) -> Result<()> {
        let (mut most, mut changed) = (0, now());
        loop {
            let rows = self.rows(database)?;
            on_look(rows)?;
            if rows >= expected {
                return Ok(());
            }
            if rows > most {
                (most, changed) = (rows, now());
            }
            ensure!(changed.elapsed() < STALLED_AFTER, "stuck at {rows} of {expected} rows");
            std::thread::sleep(look_every);
        }
    }

    /// Writes a connector's configuration into a file.
    pub(crate) fn write_config(&self, config: &target::Config<'_>) -> Result<PathBuf> {
        let path = self.folder.join(format!("{}.yaml", config.database));
        std::fs::write(&path, config.text()).with_context(|| format!("write {}", path.display()))?;
        Ok(path)
    }
}

/// The path of the release binary under test.
pub(crate) fn binary() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_oncesink"))
}
