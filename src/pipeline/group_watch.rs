//! Looks at whether the group has given every partition to somebody, and joins it anew where it has not.
//!
//! Never touches the protocol: joining anew is a rebalance like any other.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use crate::source::handle::GroupHandle;
use crate::source::poll_loop::Command;

/// Between two looks. What is without an owner in two of them in a row is no rebalance that is about to end.
const INTERVAL: Duration = Duration::from_secs(10);
/// Before each of the first two: a consumer that was built anew with more topics comes back under its static id, and the
/// group gives it what it had.
const FIRST_INTERVAL: Duration = Duration::from_secs(2);
const TIMEOUT: Duration = Duration::from_secs(3);

/// Looks until it is aborted.
pub(super) async fn watch_for_ever(group: GroupHandle, name: String, commands: SyncSender<Command>) -> Infallible {
    let mut before = BTreeSet::new();
    let mut intervals = [FIRST_INTERVAL; 2].into_iter();
    loop {
        tokio::time::sleep(intervals.next().unwrap_or(INTERVAL)).await;
        let (asking, name) = (group.clone(), name.clone());
        let looked = tokio::task::spawn_blocking(move || asking.unowned(&name, TIMEOUT)).await;
        let unowned = match looked.expect("looking at the group does not panic") {
            Ok(unowned) => unowned,
            Err(fault) => {
                tracing::debug!(%fault, "looking for partitions without an owner");
                BTreeSet::new()
            }
        };
        let lasting: Vec<String> =
            unowned.intersection(&before).map(|key| format!("{} [{}]", group.topic(key.lane), key.partition)).collect();
        if lasting.is_empty() {
            before = unowned;
            continue;
        }
        tracing::warn!(partitions = lasting.join(", "), "the group has given partitions to nobody: joining it anew");
        // A full queue is a busy thread: the next look finds it again.
        drop(commands.try_send(Command::Rejoin));
        before.clear();
    }
}
