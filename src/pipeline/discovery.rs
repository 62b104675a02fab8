//! Topics by pattern: which there are, which of them have a table that fits, and when that changes.
//!
//! Lists the cluster's topics before each consumer is built, and every few seconds beside it. Gives the settings with the
//! topics that can be read; the others are said with the reason and tried again. Never touches a running consumer: a
//! topic that came or went makes it outdated, and the next one is built with other topics.

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::{NotYet, Outdated, Views, lanes};
use crate::admin::LeftOutTopic;
use crate::clickhouse::{ControlError, Session};
use crate::clock;
use crate::config::{Expansion, Settings, Start};
use crate::pipeline::effects::Effects;
use crate::pipeline::lane_setup::{LaneError, Process, lane_setup};
use crate::registry::Schemas;
use crate::source::{KafkaFault, ListedTopic, Lister, UNREADABLE};

/// Between two looks. A topic that is not listed in two of them in a row is gone: a broker that has just started may not
/// know all of them yet.
const INTERVAL: Duration = Duration::from_secs(10);
const TIMEOUT: Duration = Duration::from_secs(5);

/// Looks for topics, as long as the process lives.
#[derive(Debug)]
pub(super) struct Discovery {
    lister: Arc<Lister>,
    /// With the patterns.
    settings: Settings,
    adopt: bool,
    views: Views,
    /// The matching topics of the first look. Any other was made while the process ran.
    at_first: OnceLock<BTreeSet<String>>,
}

/// What a look has seen.
#[derive(Debug)]
struct Seen {
    /// With every topic that may be read.
    settings: Settings,
    /// All topics that match, whether they can be read or not.
    matching: BTreeSet<String>,
    /// What a person has to mend.
    left_out: Vec<LeftOutTopic>,
    /// What may pass by itself.
    obstructed: Vec<LeftOutTopic>,
}

/// What a running consumer was built from.
pub(super) struct Watched {
    topics: BTreeSet<String>,
    effects: Arc<Effects>,
    cluster_id: String,
    schemas: Option<Schemas>,
}

impl Discovery {
    /// `None` where the configuration has no patterns.
    ///
    /// # Errors
    /// Where the client library refuses the settings.
    pub(super) fn new(settings: &Settings, adopt: bool, views: &Views) -> Result<Option<Arc<Self>>, KafkaFault> {
        if settings.patterns.is_empty() {
            return Ok(None);
        }
        let lister = Arc::new(Lister::new(&settings.kafka, TIMEOUT)?);
        let (settings, views) = (settings.clone(), views.clone());
        Ok(Some(Arc::new(Self { lister, settings, adopt, views, at_first: OnceLock::new() })))
    }

    /// The id of the cluster, once there is a topic to be read.
    pub(super) async fn find(&self) -> Result<String, NotYet> {
        let seen = self.look().await.map_err(|fault| NotYet::Passing(fault.to_string()))?;
        self.require_topics(&seen).inspect_err(|_| self.show(&seen))?;
        let lister = Arc::clone(&self.lister);
        let answer = tokio::task::spawn_blocking(move || lister.cluster_id()).await;
        let answer = answer.expect("asking for the cluster's id does not panic");
        answer.ok_or_else(|| NotYet::Passing("no broker says which cluster it belongs to".to_owned()))
    }

    /// The settings with the topics that can be read, of which there is at least one.
    pub(super) async fn choose(
        &self,
        session: &Session,
        cluster_id: &str,
        schemas: Option<&Schemas>,
    ) -> Result<Settings, NotYet> {
        let mut seen = self.look().await.map_err(|fault| NotYet::Passing(fault.to_string()))?;
        self.leave_out_unfit(&mut seen, &BTreeSet::new(), session, cluster_id, schemas).await?;
        self.show(&seen);
        self.require_topics(&seen)?;
        let found: Vec<&str> = by_pattern(&seen.settings).collect();
        tracing::info!(topics = found.join(", "), "topics found by pattern");
        Ok(seen.settings)
    }

    /// What a consumer is built from, to be watched beside it.
    pub(super) fn watched(
        &self,
        settings: &Settings,
        effects: Arc<Effects>,
        cluster_id: &str,
        schemas: Option<Schemas>,
    ) -> Watched {
        let topics = by_pattern(settings).map(str::to_owned).collect();
        Watched { topics, effects, cluster_id: cluster_id.to_owned(), schemas }
    }

    /// Looks until a topic has come that can be read, or one has gone.
    pub(super) async fn watch(self: Arc<Self>, watched: Watched) -> Outdated {
        let Watched { topics: known, effects, cluster_id, schemas } = watched;
        let mut missing = BTreeSet::new();
        loop {
            tokio::time::sleep(INTERVAL).await;
            let mut seen = match self.look().await {
                Ok(seen) => seen,
                Err(fault) => {
                    tracing::debug!(%fault, "looking for topics");
                    continue;
                }
            };
            let missing_before = std::mem::replace(&mut missing, &known - &seen.matching);
            if let Some(topic) = missing.intersection(&missing_before).next() {
                return Outdated(format!("topic {topic} is gone"));
            }
            let session = effects.session();
            let unfit = self.leave_out_unfit(&mut seen, &known, &session, &cluster_id, schemas.as_ref());
            if let Err(error) = unfit.await {
                tracing::debug!(%error, "looking at the tables of new topics");
                continue;
            }
            self.show(&seen);
            if let Some(topic) = by_pattern(&seen.settings).find(|topic| !known.contains(*topic)) {
                return Outdated(format!("topic {topic} appeared"));
            }
        }
    }

    async fn look(&self) -> Result<Seen, KafkaFault> {
        let lister = Arc::clone(&self.lister);
        let listed = tokio::task::spawn_blocking(move || lister.topics()).await;
        let mut matching = listed.expect("listing topics does not panic")?;
        matching.retain(|topic| self.settings.pattern_of(&topic.name).is_some());
        let lister = Arc::clone(&self.lister);
        let asking = tokio::task::spawn_blocking(move || {
            let usable = matching.iter().filter(|topic| topic.obstacle.is_none());
            let usable: Vec<&str> = usable.map(|topic| topic.name.as_str()).collect();
            let unreadable = lister.unreadable(&usable)?;
            for topic in matching.iter_mut().filter(|topic| unreadable.contains(&topic.name)) {
                topic.obstacle = Some(UNREADABLE.to_owned());
            }
            Ok(matching)
        });
        Ok(self.see(&asking.await.expect("asking for rights does not panic")?))
    }

    fn see(&self, matching: &[ListedTopic]) -> Seen {
        let (readable, obstructed): (Vec<&ListedTopic>, _) =
            matching.iter().partition(|topic| topic.obstacle.is_none());
        let matching: BTreeSet<String> = readable.iter().chain(&obstructed).map(|topic| topic.name.clone()).collect();
        let at_first = self.at_first.get_or_init(|| matching.clone());
        let Expansion { mut settings, left_out } =
            self.settings.expand(readable.iter().map(|topic| topic.name.as_str()));
        for topic in &mut settings.topics {
            // Its first records came before anybody could see it.
            let is_new = topic.pattern.is_some() && !at_first.contains(&topic.topic.value);
            if is_new && topic.start == Start::Latest {
                topic.start = Start::Earliest;
            }
        }
        let left_out = left_out.into_iter().map(|one| {
            let reason = one.to_string();
            LeftOutTopic { topic: one.topic, reason }
        });
        let obstructed = obstructed.into_iter().map(|topic| LeftOutTopic {
            topic: topic.name.clone(),
            reason: topic.obstacle.clone().unwrap_or_default(),
        });
        Seen { settings, matching, left_out: left_out.collect(), obstructed: obstructed.collect() }
    }

    /// Tries the tables of topics that are not `known` to fit.
    async fn leave_out_unfit(
        &self,
        seen: &mut Seen,
        known: &BTreeSet<String>,
        session: &Session,
        cluster_id: &str,
        schemas: Option<&Schemas>,
    ) -> Result<(), ControlError> {
        let (metrics, adopt) = (&self.views.metrics, self.adopt);
        let process = Process { session, settings: &seen.settings, cluster_id, metrics, schemas, adopt };
        let mut unfit = Vec::new();
        for (lane, topic) in lanes(&seen.settings) {
            if topic.pattern.is_none() || known.contains(&topic.topic.value) {
                continue;
            }
            match lane_setup(&process, lane, topic).await {
                Ok(_) => {}
                Err(LaneError::Unfit(lines)) => {
                    unfit.push(LeftOutTopic { topic: topic.topic.value.clone(), reason: lines.join("; ") });
                }
                Err(LaneError::Control(error)) => return Err(error),
            }
        }
        seen.settings.topics.retain(|topic| !unfit.iter().any(|one| one.topic == topic.topic.value));
        seen.left_out.append(&mut unfit);
        Ok(())
    }

    fn require_topics(&self, seen: &Seen) -> Result<(), NotYet> {
        if !seen.settings.topics.is_empty() {
            return Ok(());
        }
        let patterns: Vec<String> =
            self.settings.patterns.iter().map(|entry| format!("`{}`", entry.topic.value)).collect();
        let patterns = patterns.join(", ");
        Err(NotYet::Passing(match seen.left_out.iter().chain(&seen.obstructed).next() {
            None => format!("no topic matches {patterns} yet"),
            Some(one) => format!("none of the topics that match {patterns} can be read: {one}"),
        }))
    }

    /// Says what is left out.
    fn show(&self, seen: &Seen) {
        let Views { metrics, status, heartbeat: _ } = &self.views;
        let now = clock::now();
        let permit = |topic: &str| metrics.throttled().permit(&format!("left out {topic}"), now);
        for LeftOutTopic { topic, reason } in &seen.left_out {
            if let Some(held_back) = permit(topic) {
                tracing::error!(topic, reason, held_back, "a topic that matches a pattern is left out");
            }
        }
        for LeftOutTopic { topic, reason } in &seen.obstructed {
            if let Some(held_back) = permit(topic) {
                tracing::warn!(topic, reason, held_back, "a topic that matches a pattern cannot be read yet");
            }
        }
        let left_out: Vec<LeftOutTopic> = seen.left_out.iter().chain(&seen.obstructed).cloned().collect();
        metrics.topics_left_out(u64::try_from(left_out.len()).expect("a cluster has few topics"));
        status.send_if_modified(|status| {
            let changed = status.left_out != left_out;
            if changed {
                Arc::make_mut(status).left_out = left_out;
            }
            changed
        });
    }
}

fn by_pattern(settings: &Settings) -> impl Iterator<Item = &str> {
    settings.topics.iter().filter(|topic| topic.pattern.is_some()).map(|topic| topic.topic.value.as_str())
}

#[cfg(test)]
mod tests {
    use tokio::sync::watch;

    use super::*;
    use crate::admin::{Heartbeat, Status};
    use crate::config;
    use crate::metrics::Metrics;

    fn discovery(entries: &str) -> Arc<Discovery> {
        let text = format!(
            "name: n\ninstance: i\nkafka: {{ brokers: \"127.0.0.1:1\" }}\n\
             clickhouse: {{ url: \"http://127.0.0.1:1\" }}\ntopics:\n{entries}"
        );
        let settings = config::parse("x.yaml", &text, &|_| None).unwrap();
        let (status, _) = watch::channel(Arc::new(Status::starting("n", "i", 0, 1)));
        let views = Views { metrics: Metrics::new("n"), status, heartbeat: Heartbeat::new(INTERVAL) };
        Discovery::new(&settings, false, &views).unwrap().expect("there is a pattern")
    }

    fn listed(names: &[&str]) -> Vec<ListedTopic> {
        let obstacle = |name: &str| name.ends_with('!').then(|| "it has no partitions".to_owned());
        let topic = |name: &&str| ListedTopic { name: name.trim_end_matches('!').to_owned(), obstacle: obstacle(name) };
        names.iter().map(topic).collect()
    }

    #[test]
    fn what_comes_after_the_first_look_is_read_from_its_beginning() {
        let discovery = discovery(
            "  - { topic: named, table: t, start: latest }\n  - { pattern: 'l.*', table: t, start: latest }\n  \
             - { pattern: 't.*', table: t, start: \"2026-01-01T00:00:00Z\" }\n",
        );
        let check = |names: &[&str], expected: &[(&str, &str)]| {
            let seen = discovery.see(&listed(names));
            let found: Vec<(String, String)> =
                seen.settings.topics.iter().map(|one| (one.topic.value.clone(), format!("{:?}", one.start))).collect();
            let found: Vec<(&str, &str)> =
                found.iter().map(|(topic, start)| (topic.as_str(), start.as_str())).collect();
            assert_eq!(found, expected, "{names:?}");
        };
        let time = "Timestamp(2026-01-01T00:00:00Z)";
        // One that could not be read at the first look was there all the same.
        check(&["l1", "l2!", "t1"], &[("named", "Latest"), ("l1", "Latest"), ("t1", time)]);
        check(
            &["l1", "l2", "l3", "t1", "t2"],
            &[("named", "Latest"), ("l1", "Latest"), ("l2", "Latest"), ("l3", "Earliest"), ("t1", time), ("t2", time)],
        );
        check(&["l3"], &[("named", "Latest"), ("l3", "Earliest")]);
    }

    #[test]
    fn a_topic_that_cannot_be_read_is_there_but_not_among_those_that_are() {
        let discovery = discovery("  - { pattern: 'a.*', table: t }\n");
        let seen = discovery.see(&listed(&["a1", "a2!"]));
        assert_eq!(seen.matching, BTreeSet::from(["a1".to_owned(), "a2".to_owned()]));
        assert_eq!(by_pattern(&seen.settings).collect::<Vec<_>>(), ["a1"]);
        let reason = "it has no partitions".to_owned();
        assert_eq!(seen.obstructed, [LeftOutTopic { topic: "a2".to_owned(), reason }]);
        assert!(discovery.require_topics(&seen).is_ok());
    }

    #[test]
    fn whoever_waits_says_for_what() {
        let discovery = discovery("  - { pattern: 'a.*', table: t }\n  - { pattern: b, table: t }\n");
        let check = |names: &[&str], expected: &str| {
            let Err(NotYet::Passing(text)) = discovery.require_topics(&discovery.see(&listed(names))) else {
                panic!("{names:?} are not waited for")
            };
            assert_eq!(text, expected);
        };
        check(&[], "no topic matches `a.*`, `b` yet");
        check(&["b!"], "none of the topics that match `a.*`, `b` can be read: b: it has no partitions");
    }
}
