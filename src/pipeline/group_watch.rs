//! Looks at whom the group has given the partitions to. Where it has given some to nobody, it is joined anew; members that
//! are not of this connector are told.
//!
//! Never touches the protocol: joining anew is a rebalance like any other.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::error::RDKafkaErrorCode;

use super::Views;
use crate::admin::GroupStranger;
use crate::clock;
use crate::config::Settings;
use crate::source::handle::GroupHandle;
use crate::source::poll_loop::Command;
use crate::source::unowned::{GroupLook, Stranger};
use crate::source::{Coordinator, KafkaFault, coordinator_obstacle};

/// Between two looks. What is without an owner in two of them in a row is no rebalance that is about to end.
const INTERVAL: Duration = Duration::from_secs(5);
/// Before each of the first two: a consumer that was built anew with more topics comes back under its static id, and the
/// group gives it what it had.
const FIRST_INTERVAL: Duration = Duration::from_secs(2);
const TIMEOUT: Duration = Duration::from_secs(3);
/// So many members are shown, and so many partitions of each: a group may have thousands.
const STRANGERS_SHOWN_MAX: usize = 20;
const PARTITIONS_SHOWN_MAX: usize = 50;

/// What is looked at, and who is told.
pub(super) struct GroupWatch {
    group: GroupHandle,
    name: String,
    /// What all members of this connector call themselves.
    client_id: String,
    /// For questions about the brokers' settings.
    client: ClientConfig,
    commands: SyncSender<Command>,
    views: Views,
}

impl GroupWatch {
    pub(super) fn new(settings: &Settings, group: GroupHandle, commands: SyncSender<Command>, views: &Views) -> Self {
        let mut client = ClientConfig::new();
        for (property, value) in settings.kafka.consumer_properties() {
            client.set(property, value);
        }
        client.set("bootstrap.servers", &settings.kafka.brokers);
        Self {
            group,
            name: settings.name.clone(),
            client_id: client.get("client.id").unwrap_or(crate::source::unowned::CLIENT_ID).to_owned(),
            client,
            commands,
            views: views.clone(),
        }
    }

    /// Looks until it is aborted.
    pub(super) async fn watch_for_ever(self) -> Infallible {
        let watch = Arc::new(self);
        let mut before = BTreeSet::new();
        let mut intervals = [FIRST_INTERVAL; 2].into_iter();
        loop {
            tokio::time::sleep(intervals.next().unwrap_or(INTERVAL)).await;
            let looking = Arc::clone(&watch);
            let looked = tokio::task::spawn_blocking(move || {
                looking.group.look_at_group(&looking.name, &looking.client_id, TIMEOUT).map_err(|fault| {
                    let why = looking.why_none(&fault);
                    (fault, why)
                })
            });
            let unowned = match looked.await.expect("looking at the group does not panic") {
                Ok(GroupLook { unowned, strangers }) => {
                    watch.tell(&strangers);
                    unowned
                }
                Err((fault, why)) => {
                    tracing::debug!(%fault, "looking at the group");
                    if let Some(why) = why {
                        watch.blame(&why);
                    }
                    BTreeSet::new()
                }
            };
            let lasting: Vec<String> = unowned
                .intersection(&before)
                .map(|key| format!("{} [{}]", watch.group.topic(key.lane), key.partition))
                .collect();
            if lasting.is_empty() {
                before = unowned;
                continue;
            }
            tracing::warn!(
                partitions = lasting.join(", "),
                "the group has given partitions to nobody: joining it anew"
            );
            // A full queue is a busy thread: the next look finds it again.
            drop(watch.commands.try_send(Command::Rejoin));
            before.clear();
        }
    }

    /// Why there is no coordinator, where the brokers' settings say it. Blocks.
    fn why_none(&self, fault: &KafkaFault) -> Option<String> {
        let silent =
            matches!(fault.code, RDKafkaErrorCode::CoordinatorNotAvailable | RDKafkaErrorCode::OperationTimedOut);
        let joined = self.views.status.borrow().group_joined;
        if !silent || joined {
            return None;
        }
        coordinator_obstacle(&self.client, Coordinator::Group, TIMEOUT)
    }

    fn blame(&self, why: &str) {
        self.views.status.send_modify(|status| Arc::make_mut(status).kafka.failed(clock::unix_ms(), why));
        if let Some(held_back) = self.views.metrics.throttled().permit(&format!("group {why}"), clock::now()) {
            tracing::warn!(error = why, held_back, "the group cannot be joined; waiting for it to pass");
        }
    }

    /// Tells of members that are not ours: in the status, the metrics, and the log, where they are named once a minute.
    fn tell(&self, strangers: &[Stranger]) {
        let mut partitions: BTreeMap<&str, u64> = self.group.topic_names().map(|topic| (topic, 0)).collect();
        for (topic, _) in strangers.iter().flat_map(|stranger| &stranger.partitions) {
            *partitions.entry(topic).or_default() += 1;
        }
        for (topic, count) in partitions {
            self.views.metrics.stranger_partitions(topic, count);
        }
        let shown: Vec<GroupStranger> = strangers.iter().take(STRANGERS_SHOWN_MAX).map(shown).collect();
        for stranger in &shown {
            if let Some(held_back) =
                self.views.metrics.throttled().permit(&format!("stranger {stranger}"), clock::now())
            {
                tracing::warn!(
                    held_back,
                    "group {} has a member that is not of this connector: {stranger}; what it is given is not read here: \
                     stop it, or give it another group.id",
                    self.name
                );
            }
        }
        let changed = self.views.status.borrow().group_strangers != shown;
        if changed {
            self.views.status.send_modify(|status| Arc::make_mut(status).group_strangers = shown);
        }
    }
}

fn shown(stranger: &Stranger) -> GroupStranger {
    let Stranger { client_id, host, protocol, partitions } = stranger;
    let names = partitions.iter().take(PARTITIONS_SHOWN_MAX).map(|(topic, partition)| format!("{topic} [{partition}]"));
    GroupStranger {
        client_id: client_id.clone(),
        host: host.clone(),
        protocol: protocol.clone(),
        partition_count: u64::try_from(partitions.len()).unwrap_or(u64::MAX),
        partitions: names.collect(),
    }
}
