//! What the brokers are set to, and which of their settings stand in the way of a coordinator.
//!
//! Asks with a client of its own; gives settings, or a sentence for a person. Never changes anything.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, ResourceSpecifier};

use super::trouble::Heard;

/// What one broker is set to; the settings asked for are the same on all where somebody cares for them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BrokerSettings {
    /// How many brokers the cluster has now.
    pub(crate) brokers: usize,
    settings: BTreeMap<String, String>,
}

impl BrokerSettings {
    /// Asks. `config` is of any client of this cluster.
    ///
    /// # Errors
    /// Why not, where no broker answers in time, or the user may not read settings.
    pub(crate) async fn read(config: &ClientConfig, timeout: Duration) -> Result<Self, String> {
        let client: AdminClient<Heard> =
            config.create_with_context(Heard::new(config)).map_err(|error| error.to_string())?;
        let metadata = client.inner().fetch_metadata(None, timeout).map_err(|error| error.to_string())?;
        let broker = metadata.brokers().first().ok_or("no broker is known")?.id();
        let options = AdminOptions::new().request_timeout(Some(timeout));
        let described = client.describe_configs([&ResourceSpecifier::Broker(broker)], &options).await;
        let described = described.map_err(|error| error.to_string())?.into_iter().next().ok_or("no answer")?;
        let described = described.map_err(|code| code.to_string())?;
        let settings = described.entries.into_iter().filter_map(|entry| Some((entry.name, entry.value?))).collect();
        Ok(Self { brokers: metadata.brokers().len(), settings })
    }

    /// One of the settings.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.settings.get(name).map(String::as_str)
    }

    /// Why there is no coordinator, where a setting of its topic says so.
    pub(crate) fn obstacle(&self, coordinator: Coordinator) -> Option<String> {
        let (name, settings) = match coordinator {
            Coordinator::Transactions => {
                ("transaction", ["transaction.state.log.replication.factor", "transaction.state.log.min.isr"])
            }
            // Its topic takes `min.insync.replicas` of the brokers.
            Coordinator::Group => ("group", ["offsets.topic.replication.factor", "min.insync.replicas"]),
        };
        settings.into_iter().find_map(|setting| {
            let wanted = self.get(setting)?;
            let brokers = self.brokers;
            let (verb, plural) = if brokers == 1 { ("is", "") } else { ("are", "s") };
            (wanted.parse::<usize>().ok()? > brokers).then(|| {
                format!(
                    "the {name} coordinator is not available: {setting} is {wanted} and there {verb} {brokers} \
                     broker{plural}"
                )
            })
        })
    }
}

/// Who keeps positions and transactions, each in an internal topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Coordinator {
    /// Of groups.
    Group,
    /// Of transactional producers.
    Transactions,
}

/// [`BrokerSettings::obstacle`], for a thread that may block for up to twice the timeout; `None` too where it cannot be told.
pub(crate) fn coordinator_obstacle(
    config: &ClientConfig,
    coordinator: Coordinator,
    timeout: Duration,
) -> Option<String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
    match runtime.block_on(BrokerSettings::read(config, timeout)) {
        Ok(settings) => settings.obstacle(coordinator),
        Err(why) => {
            tracing::debug!(why, "asking why there is no coordinator");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn factors_above_the_number_of_brokers_are_obstacles() {
        let check = |brokers, setting: (&str, &str), coordinator, expected: Option<&str>| {
            let settings = [(setting.0.to_owned(), setting.1.to_owned())].into();
            let found = BrokerSettings { brokers, settings }.obstacle(coordinator);
            assert_eq!(found.as_deref(), expected, "{setting:?} of {brokers}");
        };
        use Coordinator::{Group, Transactions};
        let factor = "transaction.state.log.replication.factor";
        let words =
            "the transaction coordinator is not available: transaction.state.log.replication.factor is 3 and there";
        check(1, (factor, "3"), Transactions, Some(&format!("{words} is 1 broker")));
        check(2, (factor, "3"), Transactions, Some(&format!("{words} are 2 brokers")));
        check(3, (factor, "3"), Transactions, None);
        check(1, (factor, "3"), Group, None);
        check(
            1,
            ("offsets.topic.replication.factor", "3"),
            Group,
            Some("the group coordinator is not available: offsets.topic.replication.factor is 3 and there is 1 broker"),
        );
        check(1, ("transaction.state.log.min.isr", "x"), Transactions, None);
    }
}
