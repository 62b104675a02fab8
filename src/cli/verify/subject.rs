//! Which offsets of a partition can be compared, and what may be absent among them.
//!
//! Pure. Kafka decides how far: from the oldest record that it still has up to the committed offset.

use crate::protocol::facts::{CommittedOffset, StoredFacts};
use crate::types::{Offset, OffsetRange, OffsetSet, Partition, Replay, TopicId};

use super::compare::Excused;

/// What is known of a partition before anything is compared.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub(super) partition: Partition,
    pub(super) topic_id: Option<TopicId>,
    pub(super) log: OffsetRange,
    pub(super) committed: Option<CommittedOffset>,
    pub(super) stored: StoredFacts,
}

/// A partition as it is compared.
#[derive(Debug, Clone)]
pub(super) struct Subject {
    pub(super) partition: Partition,
    pub(super) replay: Replay,
    /// What is compared.
    pub(super) range: OffsetRange,
    /// The offset committed for this replay.
    pub(super) committed: Option<Offset>,
    /// The high watermark.
    pub(super) end: Offset,
    pub(super) excused: Excused,
    pub(super) notes: Vec<String>,
}

impl Known {
    /// What to compare, or why nothing can be.
    pub(super) fn subject(self) -> Result<Subject, String> {
        let Self { partition, topic_id, log, committed, stored } = self;
        let stored_replay = stored.identity.map(|identity| identity.replay);
        let metadata = committed.as_ref().and_then(|committed| committed.metadata);
        let outdated = metadata.zip(stored_replay).is_some_and(|(metadata, replay)| metadata.replay < replay);
        let metadata = metadata.filter(|_| !outdated);
        let committed = committed.filter(|_| !outdated).map(|committed| committed.offset);
        let replay = metadata.map(|metadata| metadata.replay).max(stored_replay).unwrap_or_default();

        let known_ids = [
            metadata.and_then(|metadata| metadata.topic_id),
            stored.identity.filter(|identity| identity.replay == replay).and_then(|identity| identity.topic_id),
        ];
        if known_ids.into_iter().flatten().zip(topic_id.into_iter().cycle()).any(|(known, now)| known != now) {
            return Err("the topic was deleted and created again: its offsets mean other records now; run \
                        `oncesink reset --new-replay`"
                .to_owned());
        }
        if let Some(committed) = committed.filter(|committed| *committed > log.end()) {
            return Err(format!(
                "the committed offset {committed} lies behind the end of the partition {}: the broker lost records, or \
                 the topic was replaced",
                log.end()
            ));
        }
        let mut notes = Vec::new();
        let origin = metadata.map(|metadata| metadata.origin).or(stored.origin).or(committed);
        let origin = origin.unwrap_or(log.start());
        let until = committed.unwrap_or(log.start());
        if committed.is_none() {
            notes.push("nothing is committed yet".to_owned());
        } else if until < log.start() {
            notes.push(format!(
                "Kafka no longer has the offsets {}, which were not consumed",
                OffsetRange::new(until, log.start())
            ));
        }
        let gone_until = log.start().min(until);
        if origin < gone_until {
            notes.push(format!(
                "Kafka no longer has the offsets {}: they cannot be compared",
                OffsetRange::new(origin, gone_until)
            ));
        }
        Ok(Subject {
            partition,
            replay,
            range: OffsetRange::new(log.start(), until.max(log.start())),
            committed,
            end: log.end(),
            excused: Excused { origin, gaps: OffsetSet::empty(), compacted: false },
            notes,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::facts::{Metadata, StoredIdentity};

    fn offset(offset: u64) -> Offset {
        Offset::new(offset)
    }

    fn committed(at: u64, replay: u32, topic_id: u128, origin: u64) -> CommittedOffset {
        let metadata = Metadata {
            topic_id: Some(TopicId(topic_id)),
            replay: Replay(replay),
            floor: offset(0),
            origin: offset(origin),
            anchor: None,
        };
        CommittedOffset { offset: offset(at), metadata: Some(metadata) }
    }

    fn foreign(at: u64) -> CommittedOffset {
        CommittedOffset { offset: offset(at), metadata: None }
    }

    fn stored(replay: u32, topic_id: u128, origin: u64) -> StoredFacts {
        StoredFacts {
            identity: Some(StoredIdentity { topic_id: Some(TopicId(topic_id)), replay: Replay(replay) }),
            origin: Some(offset(origin)),
            ..StoredFacts::default()
        }
    }

    /// What is compared, under which replay, from which origin, with how many notes.
    type Compared = ((u64, u64), u32, u64, usize);

    /// What is compared, or a part of the reason why nothing is.
    fn check(
        log: (u64, u64),
        committed: Option<CommittedOffset>,
        stored: StoredFacts,
        expected: Result<Compared, &str>,
    ) {
        let known = Known {
            partition: Partition(0),
            topic_id: Some(TopicId(7)),
            log: OffsetRange::new(offset(log.0), offset(log.1)),
            committed,
            stored,
        };
        match (known.subject(), expected) {
            (Ok(subject), Ok(expected)) => {
                let range = (subject.range.start().get(), subject.range.end().get());
                let found = (range, subject.replay.0, subject.excused.origin.get(), subject.notes.len());
                assert_eq!(found, expected, "{subject:?}");
            }
            (Err(reason), Err(part)) => assert!(reason.contains(part), "{reason}"),
            (found, expected) => panic!("{found:?} instead of {expected:?}"),
        }
    }

    #[test]
    fn kafka_and_the_committed_offset_bound_what_is_compared() {
        let nothing = StoredFacts::default;
        check((0, 100), Some(committed(60, 0, 7, 0)), nothing(), Ok(((0, 60), 0, 0, 0)));
        check((0, 100), Some(committed(60, 2, 7, 5)), stored(2, 7, 0), Ok(((0, 60), 2, 5, 0)));
        // Retention.
        check((30, 100), Some(committed(60, 0, 7, 0)), nothing(), Ok(((30, 60), 0, 0, 1)));
        check((30, 100), Some(committed(20, 0, 7, 0)), nothing(), Ok(((30, 30), 0, 0, 2)));
        // Nothing consumed, or only begun.
        check((5, 100), None, nothing(), Ok(((5, 5), 0, 5, 1)));
        check((0, 100), None, stored(0, 7, 4), Ok(((0, 0), 0, 4, 1)));
        // Moved by another tool: the ledger knows where it began.
        check((0, 100), Some(foreign(60)), nothing(), Ok(((0, 60), 0, 60, 0)));
        check((0, 100), Some(foreign(60)), stored(1, 7, 3), Ok(((0, 60), 1, 3, 0)));
        // A new replay was begun and nothing is committed for it.
        check((0, 100), Some(committed(60, 0, 6, 0)), stored(1, 7, 0), Ok(((0, 0), 1, 0, 1)));
    }

    #[test]
    fn other_records_under_the_same_name_are_not_compared() {
        let nothing = StoredFacts::default;
        check((0, 100), Some(committed(60, 0, 6, 0)), nothing(), Err("created again"));
        check((0, 100), Some(foreign(60)), stored(0, 6, 0), Err("created again"));
        check((0, 50), Some(committed(60, 0, 7, 0)), nothing(), Err("lies behind the end"));
    }
}
