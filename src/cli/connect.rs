//! What the commands share: reaching the servers with the connector's own settings, in bounded time.

use std::convert::Infallible;
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::error::RDKafkaErrorCode;
use tokio::task::JoinSet;

use crate::clickhouse::{ControlError, LaneTables, Server, ServerSettings, Session};
use crate::config::{Expansion, KafkaSettings, LeftOut, Settings, TopicSettings};
use crate::metrics::Metrics;
use crate::pipeline::{lane_setup, server_settings};
use crate::registry::Schemas;
use crate::source::observer::Observer;
use crate::source::{KafkaFault, UNREADABLE};
use crate::types::LaneId;

/// A person waits for the answer.
const KAFKA_TIMEOUT: Duration = Duration::from_secs(10);
/// For the first answer of ClickHouse.
const CLICKHOUSE_TIMEOUT: Duration = Duration::from_secs(10);

/// Why a command cannot do what it was asked.
#[derive(Debug, thiserror::Error)]
pub(super) enum CommandError {
    /// Kafka does not answer, or refuses.
    #[error("kafka: {0}")]
    Kafka(#[from] KafkaFault),
    /// ClickHouse does not answer, or refuses.
    #[error(transparent)]
    ClickHouse(#[from] ControlError),
    /// What was asked for cannot be done; says what to do instead.
    #[error("{0}")]
    Impossible(String),
    /// The system gives no runtime, or the output cannot be written.
    #[error(transparent)]
    System(#[from] std::io::Error),
}

/// Whether records of a topic are removed before their time, because others of their key came after them.
///
/// # Errors
/// Where the brokers do not answer, or our user may not ask.
pub(super) async fn is_compacted(kafka: &KafkaSettings, topic: &str) -> Result<bool, String> {
    let mut config = ClientConfig::new();
    for (property, value) in kafka.consumer_properties() {
        config.set(property, value);
    }
    config.set("bootstrap.servers", &kafka.brokers);
    // A plain client knows nothing of groups, and warns of every property of consumers.
    let admin: AdminClient<DefaultClientContext> = config.create().map_err(|error| error.to_string())?;
    let options = AdminOptions::new().request_timeout(Some(KAFKA_TIMEOUT));
    let described = admin.describe_configs([&ResourceSpecifier::Topic(topic)], &options).await;
    let described = described.map_err(|error| error.to_string())?;
    match described.into_iter().next() {
        // Not there: said elsewhere.
        None | Some(Err(RDKafkaErrorCode::UnknownTopicOrPartition)) => Ok(false),
        Some(Err(code)) => Err(code.to_string()),
        Some(Ok(topic)) => {
            let policy = topic.entries.into_iter().find(|entry| entry.name == "cleanup.policy");
            Ok(policy
                .and_then(|policy| policy.value)
                .is_some_and(|value| value.split(',').any(|one| one.trim() == "compact")))
        }
    }
}

/// Runs what a command waits for.
pub(super) fn block_on<T>(command: impl Future<Output = Result<T, CommandError>>) -> Result<T, CommandError> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(command)
}

/// Kafka, looked at from outside the group.
pub(super) fn observer(settings: &Settings) -> Result<Observer, CommandError> {
    Ok(Observer::new(&settings.kafka, &settings.name, KAFKA_TIMEOUT)?)
}

/// A session with ClickHouse, for statements that take as long as the connector would allow.
pub(super) async fn session(settings: &Settings) -> Result<Session, CommandError> {
    let settings = server_settings(&settings.clickhouse);
    // First with a short patience: a server that is not there is an answer too.
    let impatient = ServerSettings { response_timeout: CLICKHOUSE_TIMEOUT, ..settings.clone() };
    Session::open(Server::new(&impatient)?).await?;
    Ok(Session::open(Server::new(&settings)?).await?)
}

/// The schemas of the registry that the configuration names, asked for by a task of `beside`.
pub(super) fn schemas(settings: &Settings, beside: &mut JoinSet<Infallible>) -> Result<Option<Schemas>, CommandError> {
    let Some(registry) = &settings.kafka.schema_registry else { return Ok(None) };
    let connected = Schemas::connect(registry, &Metrics::new(&settings.name));
    let (schemas, asking) = connected.map_err(|error| CommandError::Impossible(error.to_string()))?;
    beside.spawn(asking);
    Ok(Some(schemas))
}

/// The settings with the topics that patterns find now.
pub(super) fn expand(settings: &Settings, observer: &Observer) -> Result<Expansion, CommandError> {
    if settings.patterns.is_empty() {
        return Ok(Expansion { settings: settings.clone(), left_out: Vec::new() });
    }
    let listed = observer.topics()?;
    let usable = listed.iter().filter(|topic| topic.obstacle.is_none()).map(|topic| topic.name.as_str());
    let matching: Vec<&str> = usable.filter(|topic| settings.pattern_of(topic).is_some()).collect();
    let unreadable = observer.unreadable(&matching)?;
    let mut expansion = settings.expand(matching.into_iter().filter(|topic| !unreadable.contains(*topic)));
    expansion.left_out.extend(unreadable.into_iter().map(|topic| LeftOut {
        reason: UNREADABLE.to_owned(),
        fix: format!("kafka-acls.sh --add --allow-principal User:.. --operation Read --topic {topic}"),
        topic,
    }));
    Ok(expansion)
}

/// The topics of the configuration with their lanes; only `wanted`, where it is given.
pub(super) fn lanes<'s>(
    settings: &'s Settings,
    wanted: Option<&str>,
    cluster_id: &str,
) -> Result<Vec<(LaneTables, &'s TopicSettings)>, CommandError> {
    let lanes: Vec<_> = (0_u16..)
        .map(LaneId)
        .zip(&settings.topics)
        .filter(|(_, topic)| wanted.is_none_or(|wanted| topic.topic.value == wanted))
        .map(|(lane, topic)| (lane_setup::lane_tables(settings, lane, topic, cluster_id), topic))
        .collect();
    if lanes.is_empty() && wanted.is_some() {
        let named = settings.topics.iter().filter(|topic| topic.pattern.is_none());
        let named = named.map(|topic| topic.topic.value.clone());
        let patterns = settings.patterns.iter().map(|topic| format!("the pattern `{}`", topic.topic.value));
        let known: Vec<_> = named.chain(patterns).collect();
        return Err(CommandError::Impossible(format!(
            "topic {} is not in the configuration, or cannot be read; it has {}",
            wanted.unwrap_or_default(),
            known.join(", ")
        )));
    }
    Ok(lanes)
}
