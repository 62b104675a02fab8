//! Partitions whose next batch cannot be read: each is tried again by itself, and the others go on.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::types::{LaneId, Offset, PartitionKey};

/// The shortest pause before a partition is tried again, and the longest.
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// The partitions and when each is tried again.
#[derive(Debug, Default)]
pub(super) struct Unreadable {
    partitions: BTreeMap<PartitionKey, Try>,
}

#[derive(Debug)]
struct Try {
    at: Offset,
    pause: Duration,
    /// `None` while it is being tried.
    due: Option<Instant>,
}

impl Unreadable {
    /// The partition cannot be read at this offset. Gives how long it is left alone.
    pub(super) fn failed(&mut self, key: PartitionKey, at: Offset, now: Instant) -> Duration {
        let known = self.partitions.get(&key).filter(|known| known.at == at);
        let pause = known.map_or(PAUSE_MIN, |known| (known.pause * 2).min(PAUSE_MAX));
        self.partitions.insert(key, Try { at, pause, due: Some(now + pause) });
        pause
    }

    /// Those that are to be tried now, each once.
    pub(super) fn due(&mut self, now: Instant) -> Vec<PartitionKey> {
        let due = self.partitions.iter_mut().filter(|(_, one)| one.due.is_some_and(|due| due <= now));
        due.map(|(key, one)| {
            one.due = None;
            *key
        })
        .collect()
    }

    /// Forgets the partitions of a lane that were read past where they could not be, and gives them.
    pub(super) fn read_past(
        &mut self,
        lane: LaneId,
        next: impl Fn(PartitionKey) -> Option<Offset>,
    ) -> Vec<PartitionKey> {
        let past = |(key, one): (&PartitionKey, &Try)| {
            let past = key.lane == lane && next(*key).is_some_and(|next| next > one.at);
            past.then_some(*key)
        };
        let over: Vec<PartitionKey> = self.partitions.iter().filter_map(past).collect();
        over.iter().for_each(|key| self.forget(*key));
        over
    }

    /// The partition is somebody else's, or is read from elsewhere.
    pub(super) fn forget(&mut self, key: PartitionKey) {
        self.partitions.remove(&key);
    }

    /// The partitions of the lane are started anew, wherever they stand.
    pub(super) fn forget_lane(&mut self, lane: LaneId) {
        self.partitions.retain(|key, _| key.lane != lane);
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.partitions.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Partition;

    #[test]
    fn a_partition_is_tried_again_after_pauses_that_grow_up_to_a_bound() {
        let key = PartitionKey { lane: LaneId(0), partition: Partition(3) };
        let (start, at) = (crate::clock::now(), Offset::new(7));
        let mut unreadable = Unreadable::default();
        assert!(unreadable.is_empty());
        let mut now = start;
        let mut pauses = Vec::new();
        for _ in 0..7 {
            let pause = unreadable.failed(key, at, now);
            assert_eq!(unreadable.due(now), []);
            now += pause;
            assert_eq!((unreadable.due(now), unreadable.due(now)), (vec![key], vec![]), "each is tried once");
            pauses.push(pause.as_secs());
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 30, 30]);
        assert_eq!(unreadable.read_past(LaneId(0), |_| Some(at)), []);
        assert_eq!(unreadable.read_past(LaneId(1), |_| Some(at.next())), []);
        assert_eq!(unreadable.read_past(LaneId(0), |_| Some(at.next())), [key]);
        assert!(unreadable.is_empty());
        // At another offset it begins anew.
        unreadable.failed(key, at, now);
        assert_eq!(unreadable.failed(key, at.next(), now), Duration::from_secs(1));
        unreadable.forget_lane(LaneId(0));
        assert!(unreadable.is_empty());
    }
}
