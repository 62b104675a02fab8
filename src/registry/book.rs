//! What is known of schemas, what is being waited for, and when to ask again.
//!
//! Takes questions, answers and the time, gives what to ask next. Does no I/O and reads no clock. Each key is asked for by
//! one request at a time. Bounded: what was used longest ago is forgotten first.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Lookup, RegisteredSchema, SchemaKey};
use crate::admin::AwaitedSchema;

/// What the registry can be asked for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Key {
    Schema(SchemaKey),
    /// The newest schema of this subject.
    Latest(Arc<str>),
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Schema(key) => key.fmt(f),
            Self::Latest(subject) => write!(f, "the latest of subject {subject}"),
        }
    }
}

/// A moment on both clocks: the one that waits are counted by, and the one that people read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    pub(super) at: Instant,
    pub(super) unix_ms: i64,
}

/// What came of asking once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    Schema(RegisteredSchema),
    /// The registry says that there is no such schema.
    Absent(String),
    /// It is there, but something that it refers to is not.
    Incomplete(String),
    /// It is there, and can never be used.
    Unusable(String),
    /// Nothing is known of it.
    Failed(String),
}

/// What an answer means for those who wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    Found,
    /// Nothing is known; asked again later.
    Failed(String),
    /// There is none, or not all of it; asked again later.
    Absent(String),
    Unknown,
    Unusable(Arc<str>),
}

/// How long and how much.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules {
    /// For how long "there is none" is doubted.
    pub(super) unknown_after: Duration,
    /// Between the first two requests for the same key; doubled each time.
    pub(super) retry_least: Duration,
    /// Between any two.
    pub(super) retry_most: Duration,
    /// For how long it is believed that a schema is unknown or unusable.
    pub(super) settled_for: Duration,
    /// What nobody has looked up for so long is not asked for any more.
    pub(super) forgotten_after: Duration,
    pub(super) known_max: usize,
    pub(super) known_bytes_max: usize,
    pub(super) wanted_max: usize,
}

impl Rules {
    pub(super) fn new(unknown_after: Duration) -> Self {
        Self {
            unknown_after,
            retry_least: Duration::from_millis(200),
            retry_most: Duration::from_secs(5),
            settled_for: Duration::from_secs(300),
            // Those that are asked for ahead are looked up again when the first one is judged.
            forgotten_after: Duration::from_secs(600).max(unknown_after.saturating_mul(2)),
            known_max: 10_000,
            known_bytes_max: 64 << 20,
            wanted_max: 1_000,
        }
    }
}

#[derive(Debug)]
pub(super) struct Book {
    rules: Rules,
    known: HashMap<Key, Known>,
    wanted: HashMap<Key, Wanted>,
    /// Counts look-ups, so that "longest ago" needs no clock where schemas are there.
    uses: u64,
    /// Of the texts in `known`.
    bytes: usize,
}

#[derive(Debug)]
struct Known {
    last_use: u64,
    bytes: usize,
    what: What,
}

#[derive(Debug)]
enum What {
    Ready(Arc<RegisteredSchema>),
    Settled { as_what: Settled, until: Instant, absent_since: Option<Instant> },
}

#[derive(Debug, Clone)]
enum Settled {
    Unknown,
    Unusable(Arc<str>),
}

#[derive(Debug)]
struct Wanted {
    since_unix_ms: i64,
    last_use: Instant,
    /// When the registry first said that there is none.
    absent_since: Option<Instant>,
    attempts: u32,
    due: Instant,
    asking: bool,
    reason: Option<String>,
}

impl Book {
    pub(super) fn new(rules: Rules) -> Self {
        Self { rules, known: HashMap::new(), wanted: HashMap::new(), uses: 0, bytes: 0 }
    }

    /// What is known of `key`, and whether it is now to be asked for.
    pub(super) fn look_up(&mut self, key: &Key, now: impl FnOnce() -> Moment) -> (Lookup, bool) {
        self.uses += 1;
        let mut absent_since = None;
        let now = match self.known.get_mut(key) {
            None => now(),
            Some(known) => {
                known.last_use = self.uses;
                match &known.what {
                    What::Ready(schema) => return (Lookup::Ready(Arc::clone(schema)), false),
                    What::Settled { as_what, until, absent_since: since } => {
                        let now = now();
                        if now.at < *until {
                            return (as_what.lookup(), false);
                        }
                        absent_since = *since;
                        self.forget(key);
                        now
                    }
                }
            }
        };
        if let Some(wanted) = self.wanted.get_mut(key) {
            wanted.last_use = now.at;
            return (Lookup::Pending, false);
        }
        if self.wanted.len() >= self.rules.wanted_max {
            let idle = self.wanted.iter().filter(|(_, wanted)| !wanted.asking);
            let oldest = idle.min_by_key(|(_, wanted)| wanted.last_use).map(|(key, _)| key.clone());
            if let Some(oldest) = oldest {
                self.wanted.remove(&oldest);
            }
        }
        let wanted = Wanted {
            since_unix_ms: now.unix_ms,
            last_use: now.at,
            absent_since,
            attempts: 0,
            due: now.at,
            asking: false,
            reason: None,
        };
        self.wanted.insert(key.clone(), wanted);
        (Lookup::Pending, true)
    }

    /// The keys to ask for now, at most `room`, those that are due longest first.
    pub(super) fn take_due(&mut self, now: Instant, room: usize) -> Vec<Key> {
        let forgotten_after = self.rules.forgotten_after;
        self.wanted
            .retain(|_, wanted| wanted.asking || now.saturating_duration_since(wanted.last_use) < forgotten_after);
        let due = self.wanted.iter().filter(|(_, wanted)| !wanted.asking && wanted.due <= now);
        let mut due: Vec<_> = due.map(|(key, wanted)| (wanted.due, key.clone())).collect();
        due.sort_by_key(|(at, _)| *at);
        due.truncate(room);
        let due: Vec<Key> = due.into_iter().map(|(_, key)| key).collect();
        for key in &due {
            if let Some(wanted) = self.wanted.get_mut(key) {
                wanted.asking = true;
            }
        }
        due
    }

    /// When something is to be asked next.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.wanted.values().filter(|wanted| !wanted.asking).map(|wanted| wanted.due).min()
    }

    /// The request for `key` has ended.
    pub(super) fn answered(&mut self, key: &Key, answer: Answer, now: Instant) -> Verdict {
        let wanted = self.wanted.get_mut(key).expect("what is being asked for stays wanted");
        wanted.asking = false;
        let rules = self.rules;
        let pause = rules.retry_least.saturating_mul(1_u32.checked_shl(wanted.attempts).unwrap_or(u32::MAX));
        wanted.attempts = wanted.attempts.saturating_add(1);
        wanted.due = now + pause.min(rules.retry_most);
        let settled = match answer {
            Answer::Schema(schema) => {
                self.wanted.remove(key);
                let bytes = schema.text.len() + schema.references.iter().map(|one| one.text.len()).sum::<usize>();
                self.know(key.clone(), bytes, What::Ready(Arc::new(schema)));
                return Verdict::Found;
            }
            Answer::Failed(reason) => {
                wanted.reason = Some(reason.clone());
                return Verdict::Failed(reason);
            }
            Answer::Unusable(reason) => {
                wanted.absent_since = None;
                Settled::Unusable(reason.into())
            }
            Answer::Absent(reason) => match wanted.doubt(reason, now, rules.unknown_after) {
                Some(verdict) => return verdict,
                None => Settled::Unknown,
            },
            Answer::Incomplete(reason) => match wanted.doubt(reason.clone(), now, rules.unknown_after) {
                Some(verdict) => return verdict,
                None => Settled::Unusable(reason.into()),
            },
        };
        let absent_since = wanted.absent_since;
        self.wanted.remove(key);
        let verdict = settled.verdict();
        self.know(key.clone(), 0, What::Settled { as_what: settled, until: now + rules.settled_for, absent_since });
        verdict
    }

    /// How many schemas are waited for.
    pub(super) fn awaited_count(&self) -> usize {
        self.wanted.len()
    }

    /// What is waited for, the longest first.
    pub(super) fn awaited(&self) -> Vec<AwaitedSchema> {
        let awaited = self.wanted.iter().map(|(key, wanted)| AwaitedSchema {
            schema: key.to_string(),
            since_unix_ms: wanted.since_unix_ms,
            reason: wanted.reason.clone(),
        });
        let mut awaited: Vec<_> = awaited.collect();
        awaited.sort_by(|one, other| (one.since_unix_ms, &one.schema).cmp(&(other.since_unix_ms, &other.schema)));
        awaited
    }

    fn forget(&mut self, key: &Key) {
        if let Some(known) = self.known.remove(key) {
            self.bytes -= known.bytes;
        }
    }

    fn know(&mut self, key: Key, bytes: usize, what: What) {
        self.uses += 1;
        self.forget(&key);
        self.known.insert(key, Known { last_use: self.uses, bytes, what });
        self.bytes += bytes;
        // The one just learnt was used last, so it stays.
        while self.known.len() > self.rules.known_max
            || (self.bytes > self.rules.known_bytes_max && self.known.len() > 1)
        {
            let oldest = self.known.iter().min_by_key(|(_, known)| known.last_use).map(|(key, _)| key.clone());
            let Some(oldest) = oldest else { return };
            self.forget(&oldest);
        }
    }
}

impl Wanted {
    /// The registry says that there is none; `None` where it has said so for long enough.
    fn doubt(&mut self, reason: String, now: Instant, unknown_after: Duration) -> Option<Verdict> {
        let believed_at = *self.absent_since.get_or_insert(now) + unknown_after;
        if now >= believed_at {
            return None;
        }
        self.reason = Some(reason.clone());
        // The last word is asked for when the time is over, not one pause later.
        self.due = self.due.min(believed_at);
        Some(Verdict::Absent(reason))
    }
}

impl Settled {
    fn lookup(&self) -> Lookup {
        match self {
            Self::Unknown => Lookup::Unknown,
            Self::Unusable(reason) => Lookup::Unusable(Arc::clone(reason)),
        }
    }

    fn verdict(&self) -> Verdict {
        match self {
            Self::Unknown => Verdict::Unknown,
            Self::Unusable(reason) => Verdict::Unusable(Arc::clone(reason)),
        }
    }
}
