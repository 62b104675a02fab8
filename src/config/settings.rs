//! The whole configuration, checked, and the keys of the top level.
//!
//! Takes the root of the tree, gives [`Settings`] or, through the report, everything that is wrong.

use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;

use super::audit::read_audit;
use super::clickhouse::{ClickHouseSettings, read_clickhouse};
use super::cross_checks::{self, Parts};
use super::error::{Located, Problem};
use super::interpolate::Environment;
use super::kafka::{KafkaSettings, read_kafka};
use super::keys;
use super::names::{parse_connector_id, parse_database, parse_topic};
use super::section::{Found, Report, Section};
use super::topic::{TopicSettings, read_topic};
use super::tree::Node;
use super::units::{ByteSize, Limits, parse_duration, parse_size, show_duration};

const STATE_DATABASE_DEFAULT: &str = "oncesink";
const LEDGER_RETENTION_DEFAULT: Duration = Duration::from_secs(7 * 86_400);
const LEDGER_RETENTION: Limits<Duration> = Limits {
    least: Duration::from_secs(3_600),
    greatest: Duration::from_secs(3_650 * 86_400),
    below: "the ledger proves what was written when offsets are rewound",
    above: "the ledger would grow for ever",
};
const MEMORY_MAX_DEFAULT: ByteSize = ByteSize::from_mebibytes(256);
const MEMORY_MAX: Limits<ByteSize> = Limits {
    least: ByteSize::from_mebibytes(16),
    greatest: ByteSize::from_mebibytes(1 << 20),
    below: "it holds the records being fetched, decoded and sent",
    above: "no machine has as much",
};
/// Below Kubernetes' 30 s between SIGTERM and SIGKILL.
const DRAIN_TIMEOUT_DEFAULT: Duration = Duration::from_secs(25);
const DRAIN_TIMEOUT: Limits<Duration> = Limits {
    least: Duration::from_secs(1),
    greatest: Duration::from_secs(600),
    below: "a stop finishes its block and commits within it",
    above: "whoever stops the process would have killed it long before",
};
const ADMIN_LISTEN_DEFAULT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9464);
/// Each topic has its own table to describe and lane to keep.
pub(super) const TOPICS_MAX: usize = 1_000;

/// The configuration of one connector process, checked.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The connector's name: its consumer group, and part of every id. Required. Changing it makes a new connector that
    /// begins at `start` and refuses tables that the old one has claimed.
    pub name: String,
    /// This process among those of the connector: static member id, part of the transactional id, owner in claims.
    /// Default the host name (`HOSTNAME`, then `/etc/hostname`). Two processes with the same one: the older stops.
    pub instance: String,
    /// Where the brokers are and how to talk to them.
    pub kafka: KafkaSettings,
    /// Which server to write to, and as whom.
    pub clickhouse: ClickHouseSettings,
    /// The database of the connector's own tables. Default `oncesink`. Changing it forgets claims and ledger.
    pub state_database: String,
    /// Whether to create those tables where they are missing. Default `true`; `false` where the user may not, and they
    /// are made by hand.
    pub create_state_tables: bool,
    /// How long rows of the ledger are kept below its checkpoint. Default 7 d, 1 h to 3,650 d. Too short: a rewind of
    /// offsets finds less proof of what was already written.
    pub ledger_retention: Duration,
    /// The most memory for records: blocks being filled and sent, and the queue of fetched records. Default 256 MiB,
    /// 16 MiB to 1 TiB. Partitions are paused when it is full; too low: blocks are cut small.
    pub memory_max: ByteSize,
    /// How long a stop may take to finish its block and commit. Default 25 s, below Kubernetes' 30 s; 1 s to 10 min, and
    /// at least `kafka.transaction_timeout`. After it the process exits and the next start takes over.
    pub drain_timeout: Duration,
    /// The address of metrics, health and status. Default `127.0.0.1:9464`, reachable from this host only: the port has
    /// no authentication. Port 0 takes a free one.
    pub admin_listen: SocketAddr,
    /// How often rows that the ledger has proven are counted again while the connector runs, one recent range of each
    /// partition. Default 60 s, 1 s to 1 d; `off` is `None`. Off: rows that vanish later are noticed at the next takeover,
    /// or by `verify`.
    pub audit_interval: Option<Duration>,
    /// The topic that alerts are published to. Default none; needed by detectors.
    pub alert_topic: Option<String>,
    /// What is read and where it goes; with `patterns` at least one.
    pub topics: Vec<TopicSettings>,
    /// The same for the topics whose names match, once a cluster has said which there are: see [`Settings::expand`].
    pub patterns: Vec<TopicSettings>,
}

/// Reads the whole file; `None` where something is wrong, which is then in the report.
pub(super) fn read_settings(report: &Report, root: &Node, env: Environment<'_>) -> Option<Settings> {
    let top = Section::open(report, root, &root.location, String::new(), keys::TOP)?;
    let here = &top.location;
    let name = top.value("name", "a name", parse_connector_id);
    let name = top.require("name", name, "add `name: ..`, the consumer group of this connector");
    let instance = read_instance(&top, env);
    let kafka = required_section(&top, "kafka", keys::KAFKA, "add `kafka:` with `brokers: host:9092` below it");
    let kafka = kafka.and_then(|section| read_kafka(&section));
    let clickhouse = required_section(
        &top,
        "clickhouse",
        keys::CLICKHOUSE,
        "add `clickhouse:` with `url: http://host:8123` below it",
    );
    let clickhouse = clickhouse.and_then(|section| read_clickhouse(&section));
    let state_database = top
        .value("state_database", "the name of a database", parse_database)
        .or(STATE_DATABASE_DEFAULT.to_owned(), here);
    let create_state_tables = top.truth("create_state_tables").or(true, here);
    let duration = |key: &str, limits: &Limits<Duration>| {
        top.value(key, "a duration", |text| limits.check(parse_duration(text)?, show_duration))
    };
    let ledger_retention = duration("ledger_retention", &LEDGER_RETENTION).or(LEDGER_RETENTION_DEFAULT, here);
    let drain_timeout = duration("drain_timeout", &DRAIN_TIMEOUT).optional();
    let memory_max = top
        .value("memory_max", "a size", |text| MEMORY_MAX.check(parse_size(text)?, ByteSize::to_string))
        .or(MEMORY_MAX_DEFAULT, here);
    let admin_listen = read_admin(&top);
    let audit_interval = read_audit(&top);
    let alert_topic = read_alerts(&top);
    let topics = read_topics(&top);

    let alerts_known = alert_topic.is_some();
    let alert_topic = alert_topic.flatten();
    cross_checks::check(
        report,
        &Parts {
            topics: &topics,
            alert_topic: &alert_topic,
            alerts_known,
            memory_max: memory_max.as_ref(),
            drain_timeout: drain_timeout.as_ref(),
            drain_timeout_default: DRAIN_TIMEOUT_DEFAULT,
            state_database: state_database.as_ref(),
            transaction_timeout: kafka.as_ref().map(|kafka| &kafka.transaction_timeout),
            response_bytes_max: kafka.as_ref().and_then(|kafka| kafka.response_bytes_max.as_ref()),
            registry_missing: kafka.as_ref().is_some_and(|kafka| kafka.settings.schema_registry.is_none()),
        },
    );
    let topics: Vec<TopicSettings> = topics.into_iter().collect::<Option<_>>()?;
    let (patterns, topics) = topics.into_iter().partition(|topic| topic.pattern.is_some());
    Some(Settings {
        name: name?.value,
        instance: instance?,
        kafka: kafka?.settings,
        clickhouse: clickhouse?,
        state_database: state_database?.value,
        create_state_tables: create_state_tables?.value,
        ledger_retention: ledger_retention?.value,
        memory_max: memory_max?.value,
        drain_timeout: drain_timeout?.map_or(DRAIN_TIMEOUT_DEFAULT, |drain| drain.value),
        admin_listen: admin_listen?,
        audit_interval: audit_interval?,
        alert_topic: alert_topic.map(|topic| topic.value),
        topics,
        patterns,
    })
}

fn required_section<'a>(top: &Section<'a>, key: &str, rules: &'static str, fix: &str) -> Option<Section<'a>> {
    let found = top.section(key, rules);
    Some(top.require(key, found, fix)?.value)
}

/// `instance`, or the host name.
fn read_instance(top: &Section<'_>, env: Environment<'_>) -> Option<String> {
    match top.value("instance", "a name", parse_connector_id) {
        Found::Value(instance) => return Some(instance.value),
        Found::Bad => return None,
        Found::Absent => {}
    }
    let host_name = env("HOSTNAME").filter(|name| !name.is_empty()).or_else(|| {
        let name = std::fs::read_to_string("/etc/hostname").ok()?;
        Some(name.trim().to_owned()).filter(|name| !name.is_empty())
    });
    let fix = "add `instance: ..`, a name that no other process of this connector has";
    let Some(host_name) = host_name else {
        let reason = "`instance` is missing, and neither `HOSTNAME` nor /etc/hostname gives a host name";
        top.report.add(&top.location, reason, fix);
        return None;
    };
    match parse_connector_id(&host_name) {
        Ok(instance) => Some(instance),
        Err(problem) => {
            let reason = format!("`instance` is missing, and the host name cannot stand for it: it {}", problem.reason);
            top.report.add(&top.location, reason, fix);
            None
        }
    }
}

fn read_admin(top: &Section<'_>) -> Option<SocketAddr> {
    let section = match top.section("admin", keys::ADMIN) {
        Found::Absent => return Some(ADMIN_LISTEN_DEFAULT),
        Found::Bad => return None,
        Found::Value(section) => section.value,
    };
    let listen = section.value("listen", "an address such as `127.0.0.1:9464`", parse_listen);
    let listen = listen.or(ADMIN_LISTEN_DEFAULT, &section.location)?;
    Some(listen.value)
}

fn parse_listen(text: &str) -> Result<SocketAddr, Problem> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let fix = "write `127.0.0.1:9464`, or `0.0.0.0:9464` to be reachable from other hosts";
    let Some((host, port)) = text.rsplit_once(':') else {
        return Err(Problem::new("is not an address with a port", fix));
    };
    if port.parse::<u16>().is_err() {
        return Err(Problem::new("has a port that is not in 0 to 65535", fix));
    }
    if !super::names::is_host(host) {
        return Err(Problem::new("has no host name or address", fix));
    }
    text.to_socket_addrs()
        .ok()
        .and_then(|mut addresses| addresses.next())
        .ok_or_else(|| Problem::new("has a host name that this host cannot resolve", fix))
}

/// `alerts.topic`; the outer `None` where it was bad.
fn read_alerts(top: &Section<'_>) -> Option<Option<Located<String>>> {
    let section = match top.section("alerts", keys::ALERTS) {
        Found::Absent => return Some(None),
        Found::Bad => return None,
        Found::Value(section) => section.value,
    };
    let topic = section.value("topic", "the name of a topic", parse_topic);
    section.require("topic", topic, "add `topic: ..`, or remove `alerts`").map(Some)
}

/// The entries of `topics`, `None` for each that was bad.
fn read_topics(top: &Section<'_>) -> Vec<Option<TopicSettings>> {
    let sections = match top.list("topics", keys::TOPIC) {
        Found::Value(sections) => sections,
        Found::Bad => return vec![None],
        Found::Absent => {
            top.report_missing("topics", "add `topics:` with `- topic: ..` and `table: ..` below it");
            return vec![None];
        }
    };
    if sections.value.len() > TOPICS_MAX {
        let reason = format!("`topics` has {} entries", sections.value.len());
        let fix = format!("keep at most {TOPICS_MAX} per connector and start a second one");
        top.report.add(&sections.location, reason, fix);
    }
    let sections = sections.value.iter();
    sections.map(|section| section.as_ref().and_then(read_topic)).collect()
}
