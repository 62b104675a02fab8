//! The identity of an alert: the same for the same record and detector, whoever fires it and how often.

use std::fmt;

use serde::{Serialize, Serializer};
use xxhash_rust::xxh3::xxh3_128;

use crate::types::{Offset, Partition, Replay, TopicId};

/// 128 bits that stand for one detector at one record. Written as 32 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AlertId(u128);

/// Whether the alert speaks of one record or of all that were suppressed from a record on. One record may be the
/// subject of both, in blocks that were cut differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AlertKind {
    Record,
    Summary,
}

/// What an id is made of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Identity<'a> {
    pub(crate) kind: AlertKind,
    pub(crate) connector: &'a str,
    pub(crate) topic: &'a str,
    pub(crate) topic_id: TopicId,
    pub(crate) replay: Replay,
    pub(crate) partition: Partition,
    pub(crate) offset: Offset,
    /// Which row of the record; 0 where it makes one.
    pub(crate) row: u64,
    pub(crate) detector: &'a str,
}

/// Never part of UTF-8, so that no two lists of texts look alike.
const SEPARATOR: u8 = 0xFF;

impl AlertId {
    /// Frozen: a change makes every alert of the past a new one.
    pub(crate) fn of(identity: &Identity<'_>) -> Self {
        let mut bytes = vec![match identity.kind {
            AlertKind::Record => 0,
            AlertKind::Summary => 1,
        }];
        for text in [identity.connector, identity.topic, identity.detector] {
            bytes.extend_from_slice(text.as_bytes());
            bytes.push(SEPARATOR);
        }
        bytes.extend_from_slice(&identity.topic_id.0.to_be_bytes());
        bytes.extend_from_slice(&identity.replay.0.to_be_bytes());
        bytes.extend_from_slice(&identity.partition.0.to_be_bytes());
        bytes.extend_from_slice(&identity.offset.get().to_be_bytes());
        // Ids were made without it when a record made one row.
        if identity.row > 0 {
            bytes.extend_from_slice(&identity.row.to_be_bytes());
        }
        Self(xxh3_128(&bytes))
    }
}

impl fmt::Display for AlertId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl Serialize for AlertId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const IDENTITY: Identity<'_> = Identity {
        kind: AlertKind::Record,
        connector: "readings",
        topic: "iot",
        topic_id: TopicId(0x0123_4567_89ab_cdef),
        replay: Replay(2),
        partition: Partition(3),
        offset: Offset::new(4_000_000_000),
        row: 0,
        detector: "too_hot",
    };

    #[test]
    fn ids_are_frozen() {
        let check = |identity: Identity<'_>, expected: &str| {
            assert_eq!(AlertId::of(&identity).to_string(), expected, "{identity:?}");
        };
        check(IDENTITY, "b47d56d74b0416978a8abc8f6c6d9a20");
        check(Identity { kind: AlertKind::Summary, ..IDENTITY }, "32f1b5aaaeb9f2854198bd1dfaec148e");
        check(Identity { row: 7, ..IDENTITY }, "67db024a9923ada9c05acbaf5d4c43f9");
    }

    #[test]
    fn every_part_of_the_identity_counts() {
        let variants = [
            IDENTITY,
            Identity { kind: AlertKind::Summary, ..IDENTITY },
            Identity { connector: "readingsiot", topic: "", ..IDENTITY },
            Identity { connector: "", topic: "readingsiot", ..IDENTITY },
            Identity { topic: "iott", detector: "oo_hot", ..IDENTITY },
            Identity { topic_id: TopicId(1), ..IDENTITY },
            Identity { replay: Replay(3), ..IDENTITY },
            Identity { partition: Partition(2), ..IDENTITY },
            Identity { offset: Offset::new(3), ..IDENTITY },
            Identity { row: 1, ..IDENTITY },
            Identity { row: 2, ..IDENTITY },
            Identity { detector: "too_cold", ..IDENTITY },
        ];
        let ids: BTreeSet<_> = variants.iter().map(AlertId::of).collect();
        assert_eq!(ids.len(), variants.len());
    }
}
