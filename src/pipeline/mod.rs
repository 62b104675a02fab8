//! The pipeline: one consumer, one producer, one server, driven by the protocol.
//!
//! Takes checked settings, runs until it is told to stop. It waits for servers that do not answer, says so once a
//! minute, and goes on by itself; it ends only when a person has to act.

mod alert_rows;
mod audit;
mod blocks;
mod client_watch;
pub mod decoding;
mod discovery;
pub mod drift;
mod driver;
mod effects;
mod format;
mod group_watch;
mod inserts;
mod lag;
pub mod lane_setup;
mod offences;
pub mod offset_version;
mod report;
pub mod routes;
pub mod routing;
pub mod row_plan;
pub mod server_values;
mod table_watch;
pub mod topic_decoding;

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::atomic::AtomicU64;
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use secrecy::SecretString;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

pub use driver::Ended;

use crate::admin::{Heartbeat, Status};
use crate::clickhouse::{
    ControlError, QueryPrefix, Server, ServerSettings, Session, StateTables, codes::Disposition, ensure_state_tables,
};
use crate::clock;
use crate::commit::transactions::{TransactionSettings, TransactionThread};
use crate::config::{ClickHouseSettings, Settings};
use crate::insert::Writer;
use crate::metrics::Metrics;
use crate::pipeline::client_watch::Patience;
use crate::pipeline::discovery::Discovery;
use crate::pipeline::driver::Driver;
use crate::pipeline::effects::Effects;
use crate::pipeline::group_watch::GroupWatch;
use crate::pipeline::lane_setup::{LaneError, LaneSetup, Process, fetch_bytes, lane_setup};
use crate::pipeline::report::Report;
use crate::pipeline::table_watch::TableWatch;
use crate::protocol::state::State;
use crate::registry::Schemas;
use crate::source::consumer::{ConsumerError, ConsumerSettings, KafkaConsumer};
use crate::source::poll_loop::PollLoop;
use crate::types::LaneId;

/// How long to wait before a server that did not answer is asked again.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);
/// For making a connection to ClickHouse.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// For the reply to one statement. What takes longer has no known outcome: a takeover, whose drain waits for it.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(60);
/// For one question for the cluster's id.
const CLUSTER_ID_TIMEOUT: Duration = Duration::from_secs(1);
/// Commands and events under way. Bounded by the protocol far below: a few per partition at a takeover.
const QUEUE_MAX: usize = 65_536;

/// What the pipeline shows people.
#[derive(Debug, Clone)]
pub struct Views {
    /// Counters and log lines.
    pub metrics: Metrics,
    /// The status page's contents.
    pub status: watch::Sender<Arc<Status>>,
    /// Beaten as long as the pipeline's loop turns.
    pub heartbeat: Heartbeat,
}

/// Why the pipeline cannot run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A table, a grant or a setting does not fit: each line says what and how to mend it.
    #[error("{0}")]
    Unfit(String),
    /// The client library refuses the configuration.
    #[error(transparent)]
    Consumer(#[from] ConsumerError),
    /// The system gives no thread.
    #[error("no thread can be started: {0}")]
    Thread(#[from] std::io::Error),
}

/// How a server is reached.
pub fn server_settings(settings: &ClickHouseSettings) -> ServerSettings {
    ServerSettings {
        url: settings.url.to_string(),
        user: settings.user.clone(),
        password: settings.password.clone().unwrap_or_else(|| SecretString::from(String::new())),
        certificate_authorities: settings.certificate_authorities.clone(),
        connect_timeout: CONNECT_TIMEOUT,
        response_timeout: RESPONSE_TIMEOUT,
        behind_proxy: settings.behind_proxy,
    }
}

/// Runs until `stop` says so or a person has to act. A consumer that failed for good is built anew, and so is one whose
/// topics or tables have changed.
///
/// # Errors
/// Where configuration and servers do not fit each other at the start. Later that is waited out: it ran before.
pub async fn run(
    settings: &Settings,
    adopt: bool,
    views: &Views,
    mut stop: watch::Receiver<bool>,
) -> Result<Ended, RunError> {
    let mut unfit = Unfit::Ends;
    let patience = Arc::default();
    let discovery = Discovery::new(settings, adopt, views).map_err(ConsumerError::from)?;
    loop {
        match run_consumer(settings, discovery.as_ref(), adopt, views, &mut stop, unfit, &patience).await? {
            Life::Ended(Ended::ConsumerFailed(text)) => {
                tracing::error!(error = text, "the consumer failed for good and is built anew");
                tokio::time::sleep(RETRY_INTERVAL).await;
            }
            Life::Ended(ended) => return Ok(ended),
            Life::Outdated(Outdated(what)) => {
                tracing::info!(what, "starting anew within the process");
                views.status.send_modify(|status| Arc::make_mut(status).start_anew());
                unfit = Unfit::IsWaitedOut;
            }
        }
    }
}

/// What a consumer was built for has changed: topics, tables, or where brokers are. It drains, and the next one is built.
#[derive(Debug)]
struct Outdated(String);

/// How one consumer's life ended.
enum Life {
    Ended(Ended),
    Outdated(Outdated),
}

/// What is done where configuration and servers do not fit each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unfit {
    /// The process ends: a person is looking.
    Ends,
    /// They did before: it may have been changed back in a moment.
    IsWaitedOut,
}

/// One consumer's life.
async fn run_consumer(
    settings: &Settings,
    discovery: Option<&Arc<Discovery>>,
    adopt: bool,
    views: &Views,
    stop: &mut watch::Receiver<bool>,
    unfit: Unfit,
    patience: &Arc<Mutex<Patience>>,
) -> Result<Life, RunError> {
    let server =
        Server::new(&server_settings(&settings.clickhouse)).map_err(|error| RunError::Unfit(error.to_string()))?;
    let opening = wait_for(views, stop, unfit, "clickhouse", || async {
        let session = Session::open(server.clone()).await?;
        let state = StateTables { database: settings.state_database.clone() };
        ensure_state_tables(&session, &state, settings.ledger_retention, settings.create_state_tables).await?;
        Ok::<_, ControlError>(session)
    });
    let Some(session) = opening.await? else { return Ok(Life::Ended(Ended::Stopped)) };
    views.status.send_modify(|status| Arc::make_mut(status).clickhouse.succeeded(clock::unix_ms()));

    // Beside the pipeline and of no consequence to it; dropped, and with it aborted, when this consumer's life ends.
    let mut beside: JoinSet<Outdated> = JoinSet::new();
    let mut schemas = None;
    if let Some(registry) = &settings.kafka.schema_registry {
        let (connected, asking) =
            Schemas::connect(registry, &views.metrics).map_err(|error| RunError::Unfit(error.to_string()))?;
        beside.spawn(async { match asking.await {} });
        schemas = Some(connected);
    }

    let chosen;
    let settings = match discovery {
        None => settings,
        Some(discovery) => {
            let found = wait_for(views, stop, unfit, "kafka", || discovery.find()).await?;
            let Some(cluster_id) = found else { return Ok(Life::Ended(Ended::Stopped)) };
            views.status.send_modify(|status| Arc::make_mut(status).kafka.succeeded(clock::unix_ms()));
            let choosing = wait_for(views, stop, unfit, "clickhouse", || {
                discovery.choose(&session, &cluster_id, schemas.as_ref())
            });
            let Some(settings) = choosing.await? else { return Ok(Life::Ended(Ended::Stopped)) };
            chosen = settings;
            &chosen
        }
    };
    let topics: BTreeMap<LaneId, String> =
        lanes(settings).map(|(lane, topic)| (lane, topic.topic.value.clone())).collect();
    let consumer_settings = ConsumerSettings {
        brokers: settings.kafka.brokers.clone(),
        name: settings.name.clone(),
        instance: settings.instance.clone(),
        topics,
        properties: owned(settings.kafka.consumer_properties()),
        memory_bytes: fetch_bytes(settings),
    };
    let consumer = KafkaConsumer::subscribe(&consumer_settings, Arc::default())?;
    let group = consumer.handle();
    let asking = group.clone();
    let cluster_id = wait_for(views, stop, unfit, "kafka", || {
        let asking = asking.clone();
        async move {
            let answer = tokio::task::spawn_blocking(move || {
                asking.cluster_id(CLUSTER_ID_TIMEOUT).ok_or_else(|| asking.trouble(CLUSTER_ID_TIMEOUT))
            });
            answer.await.expect("asking for the cluster's id panicked").map_err(|trouble| {
                let no_broker = || format!("no broker of {} answers", settings.kafka.brokers);
                NotYet::Passing(trouble.unwrap_or_else(no_broker))
            })
        }
    });
    let Some(cluster_id) = cluster_id.await? else { return Ok(Life::Ended(Ended::Stopped)) };

    let process = Process {
        session: &session,
        settings,
        cluster_id: &cluster_id,
        metrics: &views.metrics,
        schemas: schemas.as_ref(),
        adopt,
    };
    let preparing = wait_for(views, stop, unfit, "clickhouse", || async {
        let mut setups: BTreeMap<LaneId, LaneSetup> = BTreeMap::new();
        let mut unfit = Vec::new();
        for (lane, topic) in lanes(settings) {
            match lane_setup(&process, lane, topic).await {
                Ok(setup) => drop(setups.insert(lane, setup)),
                // It did a moment ago. Looked at again, it is left out.
                Err(LaneError::Unfit(lines)) if topic.pattern.is_some() => {
                    return Ok(Err(Outdated(format!("topic {}: {}", topic.topic.value, lines.join("; ")))));
                }
                Err(LaneError::Unfit(lines)) => unfit.extend(lines),
                Err(error @ LaneError::Control(_)) => return Err(error),
            }
        }
        if unfit.is_empty() { Ok(Ok(setups)) } else { Err(LaneError::Unfit(unfit)) }
    });
    let setups = match preparing.await? {
        None => return Ok(Life::Ended(Ended::Stopped)),
        Some(Err(outdated)) => return Ok(Life::Outdated(outdated)),
        Some(Ok(setups)) => setups,
    };

    let mut plans = BTreeMap::new();
    let mut policies = BTreeMap::new();
    let mut lane_effects = BTreeMap::new();
    for (lane, LaneSetup { plan, effects, policy }) in setups {
        plans.insert(lane, plan);
        policies.insert(lane, policy);
        lane_effects.insert(lane, effects);
    }
    let writer = Writer { prefix: QueryPrefix::new(&cluster_id, &settings.name), owner: settings.instance.clone() };
    let (outdated_notice, noticed) = routes::outdated_notice();
    beside.spawn(async { Outdated(noticed.await) });
    let effects = Arc::new(Effects::new(session, group.clone(), writer, lane_effects, outdated_notice));
    let transactions = TransactionThread::start(
        TransactionSettings {
            brokers: settings.kafka.brokers.clone(),
            name: settings.name.clone(),
            instance: settings.instance.clone(),
            properties: owned(settings.kafka.producer_properties()),
            transaction_timeout: settings.kafka.transaction_timeout,
            now: clock::now,
        },
        group.clone(),
    )?;
    let (command_sender, commands) = sync_channel(QUEUE_MAX);
    let (event_sender, events) = mpsc::channel(QUEUE_MAX);
    let memory = Arc::new(AtomicU64::new(0));
    let poll_loop = PollLoop::new(consumer, &plans, commands, event_sender, Arc::clone(&memory))
        .expect("the columns were checked when the plan was made");
    let poll_thread = std::thread::Builder::new().name("poll".to_owned()).spawn(move || poll_loop.run())?;
    let watching = GroupWatch::new(settings, group.clone(), command_sender.clone(), views).watch_for_ever();
    beside.spawn(async { match watching.await {} });
    beside.spawn(client_watch::watch(group.clone(), Arc::clone(patience)));
    if let Some(interval) = settings.audit_interval {
        let auditing = audit::audit_for_ever(interval, Arc::clone(&effects), views.status.clone());
        beside.spawn(async { match auditing.await {} });
    }
    if let Some(discovery) = discovery {
        let watched = discovery.watched(settings, Arc::clone(&effects), &cluster_id, schemas.clone());
        beside.spawn(Arc::clone(discovery).watch(watched));
    }
    let tables = TableWatch {
        settings: settings.clone(),
        cluster_id: cluster_id.clone(),
        metrics: views.metrics.clone(),
        schemas: schemas.clone(),
        adopt,
        effects: Arc::clone(&effects),
        status: views.status.clone(),
    };
    beside.spawn(tables.run());
    let report = Report::new(views.metrics.clone(), Arc::clone(&effects), views.status.clone(), schemas);
    let driver = Driver::new(
        State::new(policies),
        effects,
        report,
        command_sender,
        transactions,
        settings.alert_topic.as_deref(),
        memory,
    );
    let (stop_sender, stop_once) = oneshot::channel();
    let mut driving = std::pin::pin!(driver.run(events, stop_once, settings.drain_timeout, views.heartbeat.clone()));
    let mut outdated = None;
    let early = tokio::select! {
        ended = &mut driving => Some(ended),
        Some(ended) = beside.join_next() => {
            outdated = Some(ended.expect("a task beside the pipeline panicked"));
            None
        }
        () = stopped(stop) => None,
    };
    let ended = match early {
        Some(ended) => ended,
        None => {
            if stop_sender.send(()).is_err() {
                tracing::debug!("the driver ends by itself");
            }
            driving.await
        }
    };
    tokio::task::spawn_blocking(move || poll_thread.join())
        .await
        .expect("joining a thread does not panic")
        .expect("the polling thread panicked");
    Ok(match outdated {
        Some(outdated) if matches!(ended, Ended::Stopped | Ended::StoppedLate) && !*stop.borrow() => {
            Life::Outdated(outdated)
        }
        _ => Life::Ended(ended),
    })
}

fn lanes(settings: &Settings) -> impl Iterator<Item = (LaneId, &crate::config::TopicSettings)> {
    settings
        .topics
        .iter()
        .enumerate()
        .map(|(index, topic)| (LaneId(u16::try_from(index).expect("a configuration has at most 1,000 topics")), topic))
}

fn owned<'a>(properties: impl Iterator<Item = (&'a str, &'a str)>) -> BTreeMap<String, String> {
    properties.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// Resolves when the process is to stop.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    // The sender lives as long as the process; if it were gone there would be nobody to stop for.
    if stop.wait_for(|stop| *stop).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Why a step of the start has not succeeded.
enum NotYet {
    /// A person has to change something.
    Unfit(String),
    /// It may pass by itself.
    Passing(String),
}

impl From<ControlError> for NotYet {
    fn from(error: ControlError) -> Self {
        let text = error.to_string();
        if error.disposition() == Disposition::Configuration { Self::Unfit(text) } else { Self::Passing(text) }
    }
}

impl From<LaneError> for NotYet {
    fn from(error: LaneError) -> Self {
        match error {
            LaneError::Unfit(lines) => Self::Unfit(lines.join("\n")),
            LaneError::Control(error) => error.into(),
        }
    }
}

/// Does something again and again until the server answers; `None` if the process is to stop before that.
async fn wait_for<T, E: Into<NotYet>, F: Future<Output = Result<T, E>>>(
    views: &Views,
    stop: &mut watch::Receiver<bool>,
    unfit: Unfit,
    whom: &'static str,
    attempt: impl Fn() -> F,
) -> Result<Option<T>, RunError> {
    loop {
        views.heartbeat.beat();
        let result = tokio::select! {
            result = attempt() => result.map_err(Into::into),
            () = stopped(stop) => return Ok(None),
        };
        let text = match result {
            Ok(value) => return Ok(Some(value)),
            Err(NotYet::Unfit(text)) if unfit == Unfit::Ends => return Err(RunError::Unfit(text)),
            Err(NotYet::Unfit(text) | NotYet::Passing(text)) => text,
        };
        if let Some(held_back) = views.metrics.throttled().permit(&format!("start {whom} {text}"), clock::now()) {
            tracing::warn!(error = text, held_back, "waiting for {whom}");
        }
        views.status.send_modify(|status| {
            let status = Arc::make_mut(status);
            let contact = if whom == "kafka" { &mut status.kafka } else { &mut status.clickhouse };
            contact.failed(clock::unix_ms(), text);
        });
        tokio::select! {
            () = tokio::time::sleep(RETRY_INTERVAL) => {}
            () = stopped(stop) => return Ok(None),
        }
    }
}
