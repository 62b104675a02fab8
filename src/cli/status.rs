//! `oncesink status`: what the running connector is doing, from its admin port; without one, what Kafka knows.

use std::fmt::Write as _;
use std::io::{self, IsTerminal};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use jiff::Timestamp;
use serde::Serialize;

use super::connect::{self, CommandError, block_on};
use super::output::{Output, print, print_json, table};
use super::{ConfigArgument, EXIT_CONFIG, EXIT_FINDINGS, EXIT_OK};
use crate::admin::{PartitionStatus, Status};
use crate::config::Settings;

const ASK_TIMEOUT: Duration = Duration::from_secs(3);
const WATCH_INTERVAL: Duration = Duration::from_secs(1);
/// Thousands of partitions with their last errors are far below.
const REPLY_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Characters of a last error that fit beside the other columns.
const ERROR_SHOWN_MAX: usize = 60;

/// Partitions whose dead letters are listed: a person reads it.
const DEAD_LETTERS_SHOWN_MAX: usize = 20;

/// Arguments of `status`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct StatusArguments {
    /// The configuration.
    #[command(flatten)]
    pub config: ConfigArgument,
    /// Where the connector's admin port is [default: `admin.listen` of the configuration]
    #[arg(long)]
    pub admin: Option<SocketAddr>,
    /// Show it again every second, until Ctrl-C
    #[arg(long, conflicts_with = "output")]
    pub watch: bool,
    /// How it is printed
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
}

const EXAMPLES: &str = "\
Examples:
  oncesink status --config oncesink.yaml                         the connector on this host
  oncesink status --config oncesink.yaml --watch                 the same, every second
  oncesink status --config oncesink.yaml --admin 10.0.0.7:9464   one on another host
  oncesink status --config oncesink.yaml --output json           for a script

Where no connector answers, it says so and shows what Kafka knows: committed offset, end and lag.

Exit codes: 0 a connector runs, no partition is halted, no topic left out and no stranger in the group, 1 otherwise, 2 Kafka or the configuration cannot be used.";

/// What is known without a connector.
#[derive(Debug, Serialize)]
struct Unattended {
    connector: String,
    /// Why no connector's answer is shown.
    no_connector: String,
    partitions: Vec<Unread>,
}

#[derive(Debug, Serialize)]
struct Unread {
    topic: String,
    partition: i32,
    committed: Option<u64>,
    end: u64,
    lag_records: u64,
}

#[derive(Debug)]
enum Answer {
    Running(Box<Status>),
    Unattended(Unattended),
}

/// Asks, prints, gives the exit code.
pub fn status(arguments: &StatusArguments) -> u8 {
    let settings = match arguments.config.load() {
        Ok(settings) => settings,
        Err(code) => return code,
    };
    match block_on(run(&settings, arguments)) {
        Ok(true) => EXIT_OK,
        Ok(false) => EXIT_FINDINGS,
        Err(error) => {
            eprintln!("{error}");
            EXIT_CONFIG
        }
    }
}

async fn run(settings: &Settings, arguments: &StatusArguments) -> Result<bool, CommandError> {
    if arguments.watch && !io::stdout().is_terminal() {
        return Err(CommandError::Impossible("--watch needs a terminal; use --output json in a script".to_owned()));
    }
    loop {
        let answer = answer(settings, arguments.admin.unwrap_or(settings.admin_listen)).await?;
        if arguments.watch {
            // Clear the screen, cursor to its top left corner.
            print(&format!("\x1b[2J\x1b[H{}", answer.text()))?;
            tokio::time::sleep(WATCH_INTERVAL).await;
            continue;
        }
        match (arguments.output, &answer) {
            (Output::Text, _) => print(&answer.text())?,
            (Output::Json, Answer::Running(status)) => print_json(status)?,
            (Output::Json, Answer::Unattended(unattended)) => print_json(unattended)?,
        }
        return Ok(matches!(answer, Answer::Running(status) if status.is_well()));
    }
}

async fn answer(settings: &Settings, listen: SocketAddr) -> Result<Answer, CommandError> {
    let no_connector = match ask(listen).await {
        Ok(status) if status.connector == settings.name => return Ok(Answer::Running(Box::new(status))),
        Ok(status) => format!("the connector at {listen} is {}, not {}", status.connector, settings.name),
        Err(why) => why,
    };
    unattended(settings, no_connector).map(Answer::Unattended)
}

/// Asks the admin port.
async fn ask(listen: SocketAddr) -> Result<Status, String> {
    if listen.port() == 0 {
        return Err("`admin.listen` has port 0, so the connector took a free one: give it with --admin".to_owned());
    }
    let address = reachable(listen);
    let asking = async {
        let url = format!("http://{address}/status").parse().map_err(|_| "the address is none".to_owned())?;
        let client = Client::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>();
        let reply = client.get(url).await.map_err(|error| crate::clickhouse::chain(&error))?;
        let body =
            Limited::new(reply.into_body(), REPLY_BYTES_MAX).collect().await.map_err(|error| error.to_string())?;
        serde_json::from_slice(&body.to_bytes()).map_err(|error| format!("its answer cannot be read: {error}"))
    };
    let why = match tokio::time::timeout(ASK_TIMEOUT, asking).await {
        Ok(Ok(status)) => return Ok(status),
        Ok(Err(why)) => why,
        Err(_) => format!("no answer within {} s", ASK_TIMEOUT.as_secs()),
    };
    Err(format!("no connector answers at {address}: {why}"))
}

/// A port that listens on all addresses is reached on the loopback one.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

fn unattended(settings: &Settings, no_connector: String) -> Result<Unattended, CommandError> {
    let observer = connect::observer(settings)?;
    let mut unread = Vec::new();
    for topic in &connect::expand(settings, &observer)?.settings.topics {
        let topic = &topic.topic.value;
        let partitions = observer.partitions(topic)?.unwrap_or_default();
        if partitions.is_empty() {
            continue;
        }
        let mut committed = observer.committed(topic, &partitions)?;
        let mut stable = observer.last_stable(topic, &partitions)?;
        for (partition, log) in observer.logs(topic, &partitions)? {
            let log = log?;
            // What lies above cannot be read yet.
            let end = stable.remove(&partition).transpose()?.flatten().unwrap_or(log.end());
            let committed = committed.remove(&partition).transpose()?.flatten().map(|stored| stored.offset.get());
            let next = committed.unwrap_or(log.start().get()).max(log.start().get());
            unread.push(Unread {
                topic: topic.clone(),
                partition: partition.0,
                committed,
                end: end.get(),
                lag_records: end.get().saturating_sub(next),
            });
        }
    }
    Ok(Unattended { connector: settings.name.clone(), no_connector, partitions: unread })
}

impl Answer {
    fn text(&self) -> String {
        match self {
            Self::Running(status) => running_text(status),
            Self::Unattended(unattended) => unattended_text(unattended),
        }
    }
}

fn unattended_text(unattended: &Unattended) -> String {
    let mut lines = vec![cells(["topic", "partition", "committed", "end", "lag"])];
    for one in &unattended.partitions {
        lines.push(vec![
            one.topic.clone(),
            one.partition.to_string(),
            or_dash(one.committed),
            one.end.to_string(),
            one.lag_records.to_string(),
        ]);
    }
    format!("{}\nwhat Kafka knows of connector {}:\n{}", unattended.no_connector, unattended.connector, table(&lines))
}

fn running_text(status: &Status) -> String {
    let mut text = format!(
        "connector {}, instance {}, version {}: {}\nrunning since {}, memory {} of {} MiB\n",
        status.connector,
        status.instance,
        status.version,
        word(&status.state),
        time(status.started_unix_ms),
        status.memory.bytes >> 20,
        status.memory.bytes_max >> 20,
    );
    for obstacle in status.obstacles() {
        writeln!(text, "not ready: {obstacle}").expect("writing to a string does not fail");
    }
    for awaited in status.schema_registry.iter().flat_map(|registry| &registry.awaited) {
        writeln!(text, "schema registry: waiting since {} for {awaited}", time(awaited.since_unix_ms))
            .expect("writing to a string does not fail");
    }
    let mut lines = vec![cells([
        "topic",
        "partition",
        "state",
        "position",
        "committed",
        "lag",
        "lag seconds",
        "last insert",
        "last error",
    ])];
    lines.extend(status.partitions.iter().map(partition_line));
    text.push_str(&table(&lines));
    for one in &status.partitions {
        if let Some(open) = &one.open_transaction {
            writeln!(
                text,
                "open transaction: {} [{}]: since {}, nothing from offset {} on can be read until its producer ends it or \
                 it times out",
                one.topic,
                one.partition,
                time(open.since_unix_ms),
                open.offset
            )
            .expect("writing to a string does not fail");
        }
    }
    for line in &status.unfit_tables {
        writeln!(text, "table: {line}").expect("writing to a string does not fail");
    }
    for difference in &status.audit_differences {
        writeln!(text, "audit: {difference}; run `oncesink verify`").expect("writing to a string does not fail");
    }
    for stranger in &status.group_strangers {
        writeln!(text, "group: a member is not of this connector: {stranger}")
            .expect("writing to a string does not fail");
    }
    for topic in &status.left_out {
        writeln!(text, "left out: topic {topic}").expect("writing to a string does not fail");
    }
    for one in status.partitions.iter().filter(|one| !one.dead_letters.is_empty()).take(DEAD_LETTERS_SHOWN_MAX) {
        let counts: Vec<String> = one.dead_letters.iter().map(ToString::to_string).collect();
        writeln!(text, "dead letters: {} [{}]: {}", one.topic, one.partition, counts.join(", "))
            .expect("writing to a string does not fail");
    }
    for halted in status.halted() {
        if let Some(reason) = &halted.halted {
            writeln!(text, "halted: {} [{}]: {}", halted.topic, halted.partition, reason.reason)
                .expect("writing to a string does not fail");
        }
    }
    text
}

fn partition_line(one: &PartitionStatus) -> Vec<String> {
    let error = one.last_error.as_ref().map_or_else(String::new, |error| {
        let shown: String = error.text.chars().take(ERROR_SHOWN_MAX).collect();
        let cut = if shown.len() < error.text.len() { ".." } else { "" };
        format!("{} {shown}{cut}", time(error.unix_ms))
    });
    vec![
        one.topic.clone(),
        one.partition.to_string(),
        word(&one.state),
        or_dash(one.position),
        or_dash(one.committed),
        or_dash(one.lag_records),
        one.lag_seconds.map_or_else(|| "-".to_owned(), |seconds| format!("{seconds:.1}")),
        one.last_insert_unix_ms.map_or_else(|| "-".to_owned(), time),
        error,
    ]
}

/// A state as the admin port writes it.
fn word(state: &impl Serialize) -> String {
    let value = serde_json::to_value(state).unwrap_or_default();
    value.as_str().unwrap_or("unknown").replace('_', " ")
}

fn time(unix_ms: i64) -> String {
    Timestamp::from_millisecond(unix_ms).map_or_else(|_| unix_ms.to_string(), |time| format!("{time:.0}"))
}

fn or_dash(number: Option<u64>) -> String {
    number.map_or_else(|| "-".to_owned(), |number| number.to_string())
}

fn cells<const N: usize>(cells: [&str; N]) -> Vec<String> {
    cells.into_iter().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::{
        AwaitedSchema, Contact, DeadLetterCount, GroupStranger, Halted, LeftOutTopic, OpenTransaction, PartitionState,
        ProcessState, RegistryStatus,
    };

    #[test]
    fn a_port_on_all_addresses_is_asked_on_this_host() {
        let check = |listen: &str, expected: &str| {
            assert_eq!(reachable(listen.parse().unwrap()).to_string(), expected);
        };
        check("0.0.0.0:9464", "127.0.0.1:9464");
        check("[::]:9464", "[::1]:9464");
        check("10.0.0.7:1", "10.0.0.7:1");
    }

    #[test]
    fn every_partition_is_shown_with_its_state() {
        let mut status = Status::starting("readings", "host-1", 0, 256 << 20);
        status.state = ProcessState::Running;
        status.partitions.push(PartitionStatus {
            topic: "t".to_owned(),
            table: "iot.t".to_owned(),
            partition: 3,
            state: PartitionState::TakingOver,
            position: Some(12),
            committed: None,
            lag_records: Some(5),
            lag_seconds: Some(0.25),
            open_transaction: Some(OpenTransaction { offset: 12, since_unix_ms: 3_000 }),
            last_insert_unix_ms: Some(1_000),
            last_error: None,
            dead_letters: vec![DeadLetterCount {
                code: "out_of_range".to_owned(),
                field: "price".to_owned(),
                records: 2,
                first_offset: 7,
                last_unix_ms: 3,
            }],
            halted: Some(Halted { code: "gap".to_owned(), reason: "records are gone".to_owned() }),
        });
        status.group_strangers.push(GroupStranger {
            client_id: "flink".to_owned(),
            host: "10.0.0.9".to_owned(),
            protocol: "range".to_owned(),
            partition_count: 2,
            partitions: vec!["t [1]".to_owned(), "t [2]".to_owned()],
        });
        let reason = "table iot.u does not exist".to_owned();
        status.left_out.push(LeftOutTopic { topic: "u".to_owned(), reason });
        status.schema_registry = Some(RegistryStatus {
            contact: Contact::default(),
            awaited: vec![AwaitedSchema { schema: "id 7".to_owned(), since_unix_ms: 2_000, reason: None }],
        });
        let text = running_text(&status);
        for part in [
            "schema registry: waiting since 1970-01-01T00:00:02Z for id 7: it has not answered yet",
            "connector readings, instance host-1",
            ": running",
            "not ready: kafka: it has not answered yet",
            "taking over",
            "1970-01-01T00:00:01Z",
            "halted: t [3]: records are gone",
            "dead letters: t [3]: 2 out_of_range in `price` (first at offset 7)",
            "open transaction: t [3]: since 1970-01-01T00:00:03Z, nothing from offset 12 on can be read",
            "group: a member is not of this connector: client id \"flink\" at 10.0.0.9, protocol range, has 2 partitions: t [1], t [2]",
            "left out: topic u: table iot.u does not exist",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }

    #[test]
    fn without_a_connector_kafka_s_view_is_shown() {
        let unread = Unread { topic: "t".to_owned(), partition: 0, committed: None, end: 7, lag_records: 7 };
        let unattended = Unattended {
            connector: "readings".to_owned(),
            no_connector: "no connector answers".to_owned(),
            partitions: vec![unread],
        };
        let text = unattended_text(&unattended);
        assert!(
            text.starts_with("no connector answers\n") && text.contains("  t              0          -    7    7"),
            "{text}"
        );
    }
}
