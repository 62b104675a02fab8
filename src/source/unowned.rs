//! Which partitions of the topics the group has given to nobody, and which to members that are not of this connector.
//!
//! A member that comes back under its static id while the group is stable is given what it had, without a rebalance
//! (KIP-345); partitions that were added meanwhile, or that the coordinator lost sight of in a crash, stay without an owner
//! until the next one. The client library does not notice: it compares topics with what it knew, not with what was given out.

use std::collections::BTreeSet;
use std::time::Duration;

use rdkafka::consumer::Consumer;

use super::handle::GroupHandle;
use super::native::KafkaFault;
use super::partitions::partitions;
use crate::types::{Partition, PartitionKey};

/// What the coordinator calls a group in which no rebalance is under way.
const STABLE: &str = "Stable";

/// How the members of a connector are called where nobody has set `client.id`.
pub(crate) const CLIENT_ID: &str = "oncesink";

/// What a look at the group has found.
#[derive(Debug, Default)]
pub struct GroupLook {
    /// The partitions that no member has, while no rebalance is under way; otherwise none.
    pub unowned: BTreeSet<PartitionKey>,
    /// The members that are not of this connector.
    pub strangers: Vec<Stranger>,
}

/// A member of the group that is not of this connector.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stranger {
    /// What it calls itself.
    pub client_id: String,
    /// Where it is.
    pub host: String,
    /// How the group's partitions are given out, such as `range`; empty while that is not settled.
    pub protocol: String,
    /// The partitions of our topics that it has.
    pub partitions: BTreeSet<(String, Partition)>,
}

impl GroupHandle {
    /// Looks at the group. `client_id` is ours, and that of all instances with this configuration. Each question, one for
    /// the group and one for each topic, blocks for up to the timeout; the first that fails is the last.
    pub fn look_at_group(&self, group: &str, client_id: &str, timeout: Duration) -> Result<GroupLook, KafkaFault> {
        let fault = |error| KafkaFault::from_client("describing the group", &error);
        let found = self.asking.client().fetch_group_list(Some(group), timeout).map_err(fault)?;
        let Some(described) = found.groups().iter().find(|known| known.name() == group) else {
            return Ok(GroupLook::default());
        };
        let mut look = GroupLook::default();
        let mut owned = Some(BTreeSet::new());
        for member in described.members() {
            let assignment = member.assignment().and_then(read_assignment);
            if member.client_id() != client_id && !member.client_id().starts_with(CLIENT_ID) {
                let ours = |(topic, _): &(String, Partition)| self.topics().lane(topic).is_some();
                look.strangers.push(Stranger {
                    client_id: member.client_id().to_owned(),
                    host: member.client_host().trim_start_matches('/').to_owned(),
                    protocol: described.protocol().to_owned(),
                    partitions: assignment.iter().flatten().filter(|one| ours(one)).cloned().collect(),
                });
            }
            // What cannot be read may be anything: nothing is said of partitions without an owner then.
            owned = owned.zip(assignment).map(|(mut owned, assignment)| {
                owned.extend(assignment);
                owned
            });
        }
        look.strangers.sort_unstable();
        let Some(owned) = owned.filter(|_| described.state() == STABLE) else { return Ok(look) };
        for (lane, topic) in self.topics().iter() {
            let partitions = partitions(self.asking.client(), topic, timeout)?.unwrap_or_default();
            let missing = partitions.into_iter().filter(|partition| !owned.contains(&(topic.to_owned(), *partition)));
            look.unowned.extend(missing.map(|partition| PartitionKey { lane, partition }));
        }
        Ok(look)
    }
}

/// The partitions in a `ConsumerProtocolAssignment` (version, topics with their partitions, user data); `None` if it is
/// something else.
fn read_assignment(bytes: &[u8]) -> Option<BTreeSet<(String, Partition)>> {
    let mut rest = bytes;
    let mut partitions = BTreeSet::new();
    // The version: later ones append fields.
    take::<2>(&mut rest)?;
    for _ in 0..i32::from_be_bytes(take(&mut rest)?) {
        let length = usize::try_from(i16::from_be_bytes(take(&mut rest)?)).ok()?;
        let (topic, behind) = rest.split_at_checked(length)?;
        rest = behind;
        let topic = std::str::from_utf8(topic).ok()?;
        for _ in 0..i32::from_be_bytes(take(&mut rest)?) {
            partitions.insert((topic.to_owned(), Partition(i32::from_be_bytes(take(&mut rest)?))));
        }
    }
    Some(partitions)
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn assignments_are_read_as_members_write_them() {
        let check = |bytes: &[u8], expected: Option<&[(&str, i32)]>| {
            let expected =
                expected.map(|list| list.iter().map(|(topic, n)| ((*topic).to_owned(), Partition(*n))).collect());
            assert_eq!(read_assignment(bytes), expected, "{bytes:?}");
        };
        check(b"\0\x03\0\0\0\0\xff\xff\xff\xff", Some(&[]));
        let one = b"\0\x01\0\0\0\x01\0\x02ab\0\0\0\x02\0\0\0\x07\0\0\x01\0\0\0\0\0";
        check(one, Some(&[("ab", 7), ("ab", 256)]));
        check(&one[..one.len() - 5], None);
        check(b"", None);
        check(b"\0\x01\0\0\0\x01\xff\xff", None);
    }
}
