//! What moves records from a topic into a table: the connector, the Kafka table engine of the same server, or a command.

use std::collections::BTreeMap;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::connector::Connector;
use crate::load::Load;
use crate::run::{Job, Rig, STALLED_AFTER, binary};
use crate::stages::{page, stages, total};
use crate::target::{self, Config};
use crate::{now, process};

const OWNED_LOOK_EVERY: Duration = Duration::from_millis(100);

/// What is compared.
#[derive(Debug, Clone)]
pub(crate) enum Contender {
    Connector(Build),
    /// The server's own: `ENGINE = Kafka` and a materialized view.
    KafkaEngine {
        consumers: usize,
    },
    /// A shell command that runs until it is killed. It is told where everything is: `BROKERS`, `TOPIC`,
    /// `CLICKHOUSE_URL`, `DATABASE`; it fills `readings` in that database.
    Command(String),
}

/// A connector as it is run.
#[derive(Debug, Clone)]
pub(crate) struct Build {
    pub(crate) binary: PathBuf,
    /// Properties of the client library: `a: 1, b: 2`.
    pub(crate) properties: String,
    /// What is left out of the protocol; by a build that can only.
    pub(crate) without: Option<&'static str>,
    /// Where `perf` writes what it sees of it.
    pub(crate) profile: Option<PathBuf>,
}

/// What a process has spent so far.
pub(crate) struct Spent {
    pub(crate) cpu_seconds: f64,
    pub(crate) peak_mib: f64,
    pub(crate) threads: BTreeMap<String, f64>,
    pub(crate) stages: BTreeMap<String, f64>,
}

/// One of them, at work.
pub(crate) enum Running {
    Connector { process: Connector, log: PathBuf },
    KafkaEngine,
    Command(Child),
}

impl Build {
    /// The one that was built with the bench, complete and with nothing changed.
    pub(crate) fn ours() -> Self {
        Self { binary: binary().to_owned(), properties: String::new(), without: None, profile: None }
    }

    /// Starts to move a topic into `readings` of a database, by such an inside of `batch`. Gives the path of its log too.
    pub(crate) fn start(
        &self,
        rig: &Rig,
        database: &str,
        topic: &str,
        load: &Load,
        batch: &str,
    ) -> Result<(Connector, PathBuf)> {
        let config = rig.write_config(&Config {
            database,
            topic,
            brokers: rig.brokers(),
            clickhouse_url: rig.url(),
            memory_max: &rig.common.memory,
            batch,
            properties: &self.properties,
            format: &load.format(),
            registry: &rig.registry_line(),
        })?;
        let log = config.with_extension("log");
        let environment: Vec<_> = self.without.map(|part| ("ONCESINK_WITHOUT", part.to_owned())).into_iter().collect();
        let process = Connector::start(&self.binary, &config, &environment, log.clone())?;
        if let Some(path) = &self.profile {
            attach_profiler(process.pid(), path)?;
        }
        Ok((process, log))
    }
}

impl Contender {
    /// Starts to move the job's topic into `readings`.
    pub(crate) fn start(&self, rig: &Rig, job: &Job<'_>, database: &str) -> Result<Running> {
        match self {
            Self::Connector(build) => {
                let (process, log) = build.start(rig, database, &job.topic, job.load, job.batch)?;
                Ok(Running::Connector { process, log })
            }
            Self::KafkaEngine { consumers } => {
                for statement in target::kafka_engine(database, job.load, rig.brokers(), &job.topic, *consumers) {
                    rig.query(&statement)?;
                }
                Ok(Running::KafkaEngine)
            }
            Self::Command(command) => {
                let child = Command::new("sh")
                    .args(["-c", command])
                    .env("BROKERS", rig.brokers())
                    .env("TOPIC", &job.topic)
                    .env("CLICKHOUSE_URL", rig.url())
                    .env("DATABASE", database)
                    .stdin(Stdio::null())
                    .process_group(0)
                    .spawn()
                    .with_context(|| format!("start {command}"))?;
                Ok(Running::Command(child))
            }
        }
    }
}

impl Running {
    /// An error if it has ended by itself.
    pub(crate) fn check(&mut self) -> Result<()> {
        let ended = match self {
            Self::Connector { process, .. } => process.ended()?,
            Self::KafkaEngine => None,
            Self::Command(child) => child.try_wait()?,
        };
        match ended {
            None => Ok(()),
            Some(status) => bail!("it ended by itself ({status})"),
        }
    }

    /// What it logged last, where we know.
    pub(crate) fn last_words(&self) -> String {
        match self {
            Self::Connector { process, .. } => format!("the connector's log ends with:\n{}", process.log_tail()),
            Self::KafkaEngine => "system.kafka_consumers may know why".to_owned(),
            Self::Command(_) => "the command may have said why".to_owned(),
        }
    }

    /// What it has spent; nothing is known of what works inside the server.
    pub(crate) fn spent(&self) -> Result<Option<Spent>> {
        match self {
            Self::KafkaEngine => Ok(None),
            Self::Connector { process, log } => {
                let pid = process.pid();
                Ok(Some(Spent {
                    cpu_seconds: process::cpu_seconds(pid)?,
                    peak_mib: process::peak_mib(pid)?,
                    threads: process::cpu_seconds_by_thread(pid)?,
                    stages: stages(&page(log)?),
                }))
            }
            Self::Command(child) => Ok(Some(Spent {
                cpu_seconds: process::cpu_seconds_of_tree(child.id())?,
                peak_mib: process::peak_mib_of_tree(child.id())?,
                threads: BTreeMap::new(),
                stages: BTreeMap::new(),
            })),
        }
    }

    /// Stops it.
    pub(crate) fn stop(self, rig: &Rig, database: &str) -> Result<()> {
        match self {
            Self::Connector { process, .. } => terminate(process)?,
            Self::KafkaEngine => {
                for table in ["view", "source"] {
                    rig.query(&format!("DROP TABLE {database}.{table} SYNC"))?;
                }
            }
            Self::Command(mut child) => {
                let group = format!("-{}", child.id());
                ensure!(Command::new("kill").args(["-s", "KILL", "--", &group]).status()?.success(), "kill failed");
                child.wait()?;
            }
        }
        Ok(())
    }
}

/// Stops a connector, which has to end well.
pub(crate) fn terminate(mut process: Connector) -> Result<()> {
    let status = process.terminate()?;
    ensure!(status.success(), "the connector ended with {status}:\n{}", process.log_tail());
    Ok(())
}

/// Starts `perf`, which ends with the process that it looks at.
fn attach_profiler(pid: u32, path: &Path) -> Result<()> {
    let mut perf = Command::new("perf");
    perf.args(["record", "-q", "-F", "299", "--call-graph", "dwarf,8192", "-p", &pid.to_string(), "-o"]).arg(path);
    perf.stdin(Stdio::null()).stdout(Stdio::null()).spawn().context("start perf (package linux-perf)")?;
    Ok(())
}

/// Waits until the connector reads so many partitions.
pub(crate) fn wait_until_owned(log: &Path, partitions: i32) -> Result<()> {
    let began = now();
    loop {
        let page = page(log).unwrap_or_default();
        let assigned = total(&page, "oncesink_partitions_assigned");
        if assigned >= f64::from(partitions) && total(&page, "oncesink_takeover_seconds_count") > 0.0 {
            return Ok(());
        }
        ensure!(began.elapsed() < STALLED_AFTER, "{assigned} of {partitions} partitions after {STALLED_AFTER:?}");
        std::thread::sleep(OWNED_LOOK_EVERY);
    }
}
