//! `oncesink check`: everything that is wrong with the configuration, and with `--connect` what the servers say to it.
//!
//! Gives findings: what was seen, why it matters, what to do. Changes nothing, joins no group, begins no transaction under
//! the connector's name (that would fence a running one). A server that does not answer is a finding, not a hang.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::Duration;

use clap::Args;
use rdkafka::config::ClientConfig;
use rdkafka::error::RDKafkaErrorCode;
use serde::Serialize;

use super::connect::{self, CommandError, block_on};
use super::output::{Output, print, print_json};
use super::{ConfigArgument, EXIT_CONFIG, EXIT_FINDINGS, EXIT_OK};
use crate::alerts::Detectors;
use crate::clickhouse::{
    Cell, ControlError, Finding, LaneTables, Session, Severity, StateTables, Table, Verdict, columns_can_be_added,
    missing_state_tables, preflight,
};
use crate::columns::RowPlan;
use crate::config::{ConfigError, ConfigErrors, Expansion, LeftOut, SchemaDrift, Settings, TopicSettings};
use crate::pipeline::lane_setup::{LaneError, topics_into};
use crate::pipeline::offset_version::{FIX, OffsetVersion};
use crate::pipeline::routes::check_coordinates;
use crate::pipeline::row_plan::row_plan;
use crate::pipeline::topic_decoding::TopicDecoding;
use crate::source::observer::Observer;
use crate::source::{BrokerSettings, Coordinator, KafkaFault};
use crate::types::Partition;

/// Where the cluster cannot be reached there is no id; nothing of what is asked then depends on it.
const UNKNOWN_CLUSTER: &str = "unknown";
/// What a broker allows where nobody has changed it.
const BROKER_CONFIG_TIMEOUT: Duration = Duration::from_secs(10);

/// Arguments of `check`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct CheckArguments {
    /// The configuration.
    #[command(flatten)]
    pub config: ConfigArgument,
    /// Ask Kafka and ClickHouse too
    #[arg(long)]
    pub connect: bool,
    /// How the findings are printed
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
}

const EXAMPLES: &str = "\
Examples:
  oncesink check --config oncesink.yaml                           the file alone: for an editor or a commit hook
  oncesink check --config oncesink.yaml --connect                 and the servers: before the first start
  oncesink check --config oncesink.yaml --connect --output json   for a pipeline

Exit codes: 0 nothing stands in the way (there may be warnings), 1 a server has to be mended, 2 the configuration is wrong.";

/// A finding with where it was made.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Located {
    place: String,
    finding: Finding,
}

#[derive(Debug, Serialize)]
struct Shown<'a> {
    severity: &'static str,
    place: &'a str,
    what: &'a str,
    why: &'a str,
    fix: &'a str,
}

/// Checks, prints, gives the exit code.
pub fn check(arguments: &CheckArguments) -> u8 {
    let settings = match arguments.config.load() {
        Ok(settings) => settings,
        Err(code) => return code,
    };
    let of_topic = |topic: &TopicSettings| {
        let detectors: Vec<ConfigError> =
            topic.tables().filter_map(|table| Detectors::check(&table.detectors).err()).flatten().collect();
        detectors.into_iter().chain(TopicDecoding::check(topic).err().unwrap_or_default())
    };
    let errors = settings.topics.iter().chain(&settings.patterns).flat_map(of_topic).collect();
    if let Some(errors) = ConfigErrors::from_list(errors) {
        eprintln!("{errors}");
        return EXIT_CONFIG;
    }
    let result = block_on(async {
        let mut findings = Findings::default();
        if arguments.connect {
            ask_servers(&settings, &mut findings).await;
        } else {
            unknown_topics(&settings, &mut findings);
        }
        findings.print(arguments.output, arguments.connect)?;
        Ok(findings.worst())
    });
    match result {
        Ok(Some(Severity::Error)) => EXIT_FINDINGS,
        Ok(_) => EXIT_OK,
        Err(error) => {
            eprintln!("{error}");
            EXIT_CONFIG
        }
    }
}

/// What only the brokers can say.
fn unknown_topics(settings: &Settings, findings: &mut Findings) {
    for entry in &settings.patterns {
        findings.push(
            &format!("pattern {}", entry.topic.value),
            Severity::Note,
            "which topics match is not known without the brokers",
            "a topic whose table is missing or does not fit is left out",
            "oncesink check --connect asks for the topics, and looks at their tables",
        );
    }
}

async fn ask_servers(settings: &Settings, findings: &mut Findings) {
    let mut partitions = BTreeMap::new();
    let (cluster_id, expanded) = match ask_kafka(settings, &mut partitions, findings).await {
        Ok(answer) => answer,
        Err(error) => {
            findings.error(
                "kafka",
                format!("the brokers {} cannot be used: {error}", settings.kafka.brokers),
                "nothing can be consumed",
                "mend `kafka.brokers` and `kafka.properties`, or start the brokers",
            );
            unknown_topics(settings, findings);
            (UNKNOWN_CLUSTER.to_owned(), settings.clone())
        }
    };
    if let Err(error) = ask_clickhouse(&expanded, &cluster_id, &partitions, findings).await {
        findings.error(
            "clickhouse",
            error.to_string(),
            "nothing can be stored",
            "mend `clickhouse.url`, `user` and `password`, or start the server",
        );
    }
}

/// Gives the cluster's id, and the settings with the topics that patterns find. An error means that no broker could be
/// asked.
async fn ask_kafka(
    settings: &Settings,
    partitions_of: &mut BTreeMap<String, usize>,
    findings: &mut Findings,
) -> Result<(String, Settings), CommandError> {
    let observer = connect::observer(settings)?;
    let cluster_id = observer.cluster_id()?;
    let Expansion { settings, left_out } = connect::expand(settings, &observer)?;
    pattern_findings(&settings, left_out, findings);
    let topics = settings.topics.iter().map(|topic| (topic.topic.value.as_str(), true));
    let topics: Vec<_> = topics.chain(settings.alert_topic.as_deref().map(|topic| (topic, false))).collect();
    for (topic, is_consumed) in topics {
        let partitions = topic_findings(&observer, topic, is_consumed, findings);
        if is_consumed && !partitions.is_empty() {
            partitions_of.insert(topic.to_owned(), partitions.len());
            group_findings(&observer, &settings.name, topic, &partitions, findings);
        }
    }
    transaction_findings(&observer, &settings, findings).await;
    Ok((cluster_id, settings))
}

fn pattern_findings(settings: &Settings, left_out: Vec<LeftOut>, findings: &mut Findings) {
    for LeftOut { topic, reason, fix } in left_out {
        findings.error(&format!("topic {topic}"), reason, "it matches a pattern and would be left out", fix);
    }
    for entry in &settings.patterns {
        let finds = |topic: &TopicSettings| {
            topic.pattern.as_ref().is_some_and(|pattern| pattern.to_string() == entry.topic.value)
        };
        if !settings.topics.iter().any(finds) {
            findings.push(
                &format!("pattern {}", entry.topic.value),
                Severity::Warning,
                "no topic matches that could be read",
                "the connector runs, and waits for one",
                "correct the pattern, unless such topics are still to come",
            );
        }
    }
}

/// Gives the topic's partitions, none where they cannot be known.
fn topic_findings(observer: &Observer, topic: &str, is_consumed: bool, findings: &mut Findings) -> Vec<Partition> {
    let place = format!("topic {topic}");
    let why = if is_consumed { "nothing can be consumed from it" } else { "alerts have nowhere to go" };
    match observer.partitions(topic) {
        Ok(Some(partitions)) if !partitions.is_empty() => return partitions,
        Ok(_) => findings.error(
            &place,
            format!("topic {topic} does not exist"),
            why,
            format!("correct its name, or create it: kafka-topics.sh --create --topic {topic} --bootstrap-server .."),
        ),
        Err(fault) => {
            let operation = if is_consumed { "Read" } else { "Write" };
            let fix = format!(
                "kafka-acls.sh --add --allow-principal User:.. --operation {operation} --operation Describe --topic {topic}"
            );
            findings.error(&place, fault.to_string(), why, fix);
        }
    }
    Vec::new()
}

fn group_findings(observer: &Observer, group: &str, topic: &str, partitions: &[Partition], findings: &mut Findings) {
    let faults: Vec<KafkaFault> = match observer.committed(topic, partitions) {
        Ok(committed) => committed.into_values().filter_map(Result::err).collect(),
        Err(fault) => vec![fault],
    };
    let Some(fault) = faults.first() else { return };
    let fix = if fault.code == RDKafkaErrorCode::GroupAuthorizationFailed {
        format!("kafka-acls.sh --add --allow-principal User:.. --operation Read --group {group}")
    } else {
        "a pending transaction or a coordinator that moves may pass by itself: try again".to_owned()
    };
    findings.error(
        &format!("group {group}"),
        format!("its offsets cannot be read: {fault}"),
        "nobody can tell where consumption goes on",
        fix,
    );
}

/// What the brokers allow transactions. Asks one broker; the settings are the same on all where somebody cares for them.
async fn transaction_findings(observer: &Observer, settings: &Settings, findings: &mut Findings) {
    let place = "transactions";
    let ours = settings.kafka.transaction_timeout.as_millis();
    let found = match broker_settings(settings).await {
        Ok(found) => found,
        Err(why) => {
            let why = observer.trouble().unwrap_or(why);
            return findings.push(
                place,
                Severity::Note,
                format!("the brokers' settings cannot be read: {why}"),
                format!(
                    "they have to allow transactions of {ours} ms (transaction.max.timeout.ms, 15 minutes by default)"
                ),
                "nothing to do where the default stands; or allow DescribeConfigs on the cluster",
            );
        }
    };
    if let Some(most) = found.get("transaction.max.timeout.ms")
        && most.parse::<u128>().is_ok_and(|most| most < ours)
    {
        findings.error(
            place,
            format!("transaction.timeout.ms is {ours}, the brokers allow {most} (transaction.max.timeout.ms)"),
            "the producer would be refused",
            format!("set `kafka.properties: {{ transaction.timeout.ms: {most} }}` or less"),
        );
    }
    // Where the internal topic was made while there were more brokers it is there all the same: so no error.
    for (coordinator, why) in [
        (Coordinator::Transactions, "no offset can be committed, so nothing is consumed"),
        (Coordinator::Group, "nobody gives partitions out, so nothing is consumed"),
    ] {
        if let Some(obstacle) = found.obstacle(coordinator) {
            findings.push(
                "brokers",
                Severity::Warning,
                obstacle,
                why,
                "start more brokers, or set the factor in the brokers' server.properties to how many there are; nothing \
                 to do where the cluster lacks brokers for a while only",
            );
        }
    }
}

async fn broker_settings(settings: &Settings) -> Result<BrokerSettings, String> {
    let mut config = ClientConfig::new();
    for (property, value) in settings.kafka.consumer_properties() {
        config.set(property, value);
    }
    config.set("bootstrap.servers", &settings.kafka.brokers);
    BrokerSettings::read(&config, BROKER_CONFIG_TIMEOUT).await
}

/// An error means that the server did not answer.
async fn ask_clickhouse(
    settings: &Settings,
    cluster_id: &str,
    partitions: &BTreeMap<String, usize>,
    findings: &mut Findings,
) -> Result<(), CommandError> {
    let session = connect::session(settings).await?;
    state_findings(&session, settings, findings).await?;
    for (lane, topic) in connect::lanes(settings, None, cluster_id)? {
        let partitions = partitions.get(&lane.cell.topic).copied().unwrap_or(0);
        lane_findings(&session, settings, &lane, topic, partitions, findings).await?;
    }
    Ok(())
}

async fn state_findings(session: &Session, settings: &Settings, findings: &mut Findings) -> Result<(), ControlError> {
    let place = format!("state database {}", settings.state_database);
    let state = StateTables { database: settings.state_database.clone() };
    match missing_state_tables(session, &state, settings.ledger_retention).await {
        Ok(statements) if statements.is_empty() => {}
        Ok(_) if settings.create_state_tables => findings.push(
            &place,
            Severity::Note,
            "tables of the connector's own are missing or old",
            "they hold claims, the ledger, dead letters and alerts",
            "nothing to do: `run` creates them",
        ),
        Ok(statements) => findings.error(
            &place,
            "tables of the connector's own are missing or old",
            "they hold claims, the ledger, dead letters and alerts, and `create_state_tables` is false",
            format!("run: {}", statements.join(";\n")),
        ),
        Err(ControlError::Unusable { what, fix }) => {
            findings.error(&place, what, "claims and the ledger have to be kept there", fix);
        }
        Err(error) => return Err(error),
    }
    Ok(())
}

async fn lane_findings(
    session: &Session,
    settings: &Settings,
    lane: &LaneTables,
    topic: &TopicSettings,
    partitions: usize,
    findings: &mut Findings,
) -> Result<(), ControlError> {
    let (mut found, mut plans) = (Vec::new(), Vec::new());
    for (target, topic) in lane.targets().zip(topic.tables()) {
        let one = LaneTables { cell: Cell { target: target.clone(), ..lane.cell.clone() }, ..lane.clone() };
        let Some((table, plan)) = table_findings(session, settings, &one, topic, findings).await? else { continue };
        version_findings(settings, &one, &table, &plan, partitions, findings);
        found.push(table);
        plans.push(plan);
    }
    // Otherwise a table's own findings come first.
    if plans.len() == topic.tables().count() {
        for line in check_coordinates(&found[0], &found[1..], &lane.coordinates).err().unwrap_or_default() {
            findings.error(&place_of(lane), line, "a takeover asks all tables of a topic at once", "change the type");
        }
        let errors = TopicDecoding::compile(topic, plans, None).err().unwrap_or_default();
        expression_findings(&place_of(lane), errors, findings);
    }
    Ok(())
}

/// An offset that decides which row is newer.
fn version_findings(
    settings: &Settings,
    lane: &LaneTables,
    table: &Table,
    plan: &RowPlan,
    partitions: usize,
    findings: &mut Findings,
) {
    let topics = topics_into(settings, &table.name);
    let Some(version) = OffsetVersion::of(table, &lane.coordinates, plan, topics) else { return };
    let what = format!("the version of {}, {}, is an offset", version.table, version.column);
    match version.fault(partitions) {
        Some(why) => findings.push(&place_of(lane), Severity::Warning, what, why, FIX),
        None => findings.push(
            &place_of(lane),
            Severity::Note,
            what,
            "it is right as long as the topic has one partition and is not made anew: offsets of two partitions, or of two topics \
             of one name, say nothing of what is newer",
            FIX,
        ),
    }
}

fn place_of(lane: &LaneTables) -> String {
    format!("topic {} into {}", lane.cell.topic, lane.cell.target)
}

/// What is to be said of one table of a topic; gives it with its plan, where it has one.
async fn table_findings(
    session: &Session,
    settings: &Settings,
    lane: &LaneTables,
    topic: &TopicSettings,
    findings: &mut Findings,
) -> Result<Option<(Table, RowPlan)>, ControlError> {
    let place = place_of(lane);
    for finding in preflight(session, lane, &settings.clickhouse.user).await? {
        findings.add(&place, finding);
    }
    if let SchemaDrift::AddColumns { .. } = topic.schema_drift
        && let Some(finding) = columns_can_be_added(session, &lane.cell.target, &settings.clickhouse.user).await?
    {
        findings.add(&place, finding);
    }
    let Some(table) = Table::read(session, &lane.cell.target).await? else { return Ok(None) };
    // Of a view or the like the columns do not matter, and missing coordinates were found above.
    let names = &lane.coordinates;
    let has_coordinates = names.names().all(|name| table.column(name).is_some());
    if matches!(table.verdict(names), Verdict::Refused { .. }) || !has_coordinates {
        return Ok(None);
    }
    match row_plan(session, &table, names, &topic.mapping, &topic.format).await {
        Ok((plan, values)) => {
            for (column, reason) in values.refused(session, &table, &plan).await? {
                findings.error(
                    &place,
                    format!("column {column} of {}: its DEFAULT cannot be evaluated: {reason}", table.name),
                    "the server refuses every insert whose records lack the column",
                    "mend the expression, or what it reads",
                );
            }
            let compiled =
                Detectors::compile(&lane.cell.cluster_id, &settings.name, &lane.cell.topic, &topic.detectors, &plan);
            expression_findings(&place, compiled.err().unwrap_or_default(), findings);
            Ok(Some((table, plan)))
        }
        Err(LaneError::Unfit(lines)) => {
            for line in lines {
                findings.error(
                    &place,
                    line,
                    "records cannot be made into rows of this table",
                    "change the column's type, or write into a table without it and feed this one from a view",
                );
            }
            Ok(None)
        }
        Err(LaneError::Control(error)) => Err(error),
    }
}

fn expression_findings(place: &str, errors: Vec<ConfigError>, findings: &mut Findings) {
    for error in errors {
        findings.error(
            place,
            format!("{}: {}", error.location(), error.reason()),
            "the expression cannot look at rows of this table",
            error.fix(),
        );
    }
}

/// What was found, each thing once: servers say some things once per topic.
#[derive(Debug, Default)]
struct Findings(Vec<Located>);

impl Findings {
    fn add(&mut self, place: &str, finding: Finding) {
        if !self.0.iter().any(|known| known.finding == finding) {
            self.0.push(Located { place: place.to_owned(), finding });
        }
    }

    fn push(
        &mut self,
        place: &str,
        severity: Severity,
        what: impl Into<String>,
        why: impl Into<String>,
        fix: impl Into<String>,
    ) {
        self.add(place, Finding { severity, what: what.into(), why: why.into(), fix: fix.into() });
    }

    fn error(&mut self, place: &str, what: impl Into<String>, why: impl Into<String>, fix: impl Into<String>) {
        self.push(place, Severity::Error, what, why, fix);
    }

    fn worst(&self) -> Option<Severity> {
        self.0.iter().map(|located| located.finding.severity).max()
    }

    fn print(&self, output: Output, connected: bool) -> std::io::Result<()> {
        match output {
            Output::Json => print_json(&self.0.iter().map(Shown::of).collect::<Vec<_>>()),
            Output::Text => print(&self.text(connected)),
        }
    }

    fn text(&self, connected: bool) -> String {
        let mut text = String::new();
        for located in self.0.iter().map(Shown::of) {
            let Shown { severity, place, what, why, fix } = located;
            writeln!(text, "{severity}: {place}: {what}\n  why: {why}\n  fix: {fix}")
                .expect("writing to a string does not fail");
        }
        let count = |severity| self.0.iter().filter(|located| located.finding.severity == severity).count();
        let places: BTreeSet<&str> = self.0.iter().map(|located| located.place.as_str()).collect();
        match (self.0.len(), connected) {
            (0, true) => text.push_str("the configuration fits the servers\n"),
            (0, false) => text.push_str("the configuration has no errors; --connect asks the servers too\n"),
            _ => writeln!(
                text,
                "{} errors, {} warnings, {} notes in {} places",
                count(Severity::Error),
                count(Severity::Warning),
                count(Severity::Note),
                places.len()
            )
            .expect("writing to a string does not fail"),
        }
        text
    }
}

impl<'a> Shown<'a> {
    fn of(located: &'a Located) -> Self {
        let Located { place, finding } = located;
        let severity = match finding.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Note => "note",
        };
        Self { severity, place, what: &finding.what, why: &finding.why, fix: &finding.fix }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_are_said_once_and_the_worst_decides() {
        let check = |severities: &[Severity], worst: Option<Severity>, last_line: &str| {
            let mut findings = Findings::default();
            for severity in severities {
                for place in ["topic a", "topic b"] {
                    findings.push(place, *severity, format!("{severity:?} seen"), "it matters", "do this");
                }
            }
            assert_eq!(findings.worst(), worst);
            assert_eq!(findings.text(true).lines().last(), Some(last_line));
        };
        use Severity::{Error, Note, Warning};
        check(&[], None, "the configuration fits the servers");
        check(&[Note], Some(Note), "0 errors, 0 warnings, 1 notes in 1 places");
        check(&[Note, Error, Warning], Some(Error), "1 errors, 1 warnings, 1 notes in 1 places");
    }

    #[test]
    fn each_finding_says_what_why_and_the_fix() {
        let mut findings = Findings::default();
        findings.error("kafka", "no broker answers", "nothing can be consumed", "start one");
        let text = findings.text(true);
        assert!(
            text.starts_with("error: kafka: no broker answers\n  why: nothing can be consumed\n  fix: start one\n"),
            "{text}"
        );
    }
}
