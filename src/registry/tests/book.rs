//! What is asked for when, and what is believed, without a server and with a clock of the test's own.

use std::time::{Duration, Instant};

use crate::admin::AwaitedSchema;
use crate::clock;
use crate::registry::book::{Answer, Book, Key, Moment, Rules, Verdict};
use crate::registry::{Lookup, RegisteredSchema, SchemaKey, SchemaKind};

/// A book and a clock.
struct Bench {
    book: Book,
    start: Instant,
    at: Duration,
}

const MS: Duration = Duration::from_millis(1);

fn key(id: u32) -> Key {
    Key::Schema(SchemaKey::Id(id))
}

fn schema(bytes: usize) -> Answer {
    Answer::Schema(RegisteredSchema { kind: SchemaKind::Avro, text: "x".repeat(bytes), references: Vec::new() })
}

fn absent() -> Answer {
    Answer::Absent("none".to_owned())
}

impl Bench {
    fn new(change: impl FnOnce(&mut Rules)) -> Self {
        let mut rules = Rules::new(Duration::from_secs(60));
        change(&mut rules);
        Self { book: Book::new(rules), start: clock::now(), at: Duration::ZERO }
    }

    fn now(&self) -> Instant {
        self.start + self.at
    }

    /// The wall clock shows 5 ms where the test begins.
    fn moment(&self) -> Moment {
        Moment { at: self.now(), unix_ms: 5 + i64::try_from(self.at.as_millis()).unwrap() }
    }

    fn look(&mut self, id: u32) -> &'static str {
        let now = self.moment();
        word(&self.book.look_up(&key(id), || now).0)
    }

    /// The ids that are asked for now.
    fn due(&mut self) -> Vec<Key> {
        self.book.take_due(self.now(), 100)
    }

    /// Goes to the time when something is due, gives it and how long that took.
    fn wait(&mut self) -> (Duration, Vec<Key>) {
        let next = self.book.next_due().expect("something is to be asked") - self.start;
        let waited = next.saturating_sub(self.at);
        self.at += waited;
        (waited, self.due())
    }

    fn answer(&mut self, id: u32, answer: Answer) -> Verdict {
        self.book.answered(&key(id), answer, self.now())
    }
}

fn word(lookup: &Lookup) -> &'static str {
    match lookup {
        Lookup::Ready(_) => "ready",
        Lookup::Unknown => "unknown",
        Lookup::Pending => "pending",
        Lookup::Unusable(_) => "unusable",
    }
}

#[test]
fn a_key_is_asked_for_once_whoever_looks_it_up() {
    let mut bench = Bench::new(|_| {});
    let now = bench.moment();
    assert!(bench.book.look_up(&key(7), || now).1, "new");
    assert!(!bench.book.look_up(&key(7), || now).1, "no longer");
    assert_eq!(bench.due(), [key(7)]);
    assert_eq!(bench.due(), [], "one request at a time");
    assert_eq!(bench.look(7), "pending");
    assert_eq!(bench.answer(7, schema(1)), Verdict::Found);
    assert_eq!(bench.look(7), "ready");
    assert_eq!(bench.book.next_due(), None);
    assert_eq!(bench.book.awaited_count(), 0);
}

#[test]
fn failures_are_tried_again_for_ever_with_growing_pauses() {
    let mut bench = Bench::new(|_| {});
    bench.at = MS;
    bench.look(7);
    let mut pauses = Vec::new();
    for attempt in 0..100 {
        let (pause, due) = bench.wait();
        assert_eq!(due, [key(7)], "attempt {attempt}");
        pauses.push(pause.as_millis());
        assert_eq!(bench.answer(7, Answer::Failed("down".to_owned())), Verdict::Failed("down".to_owned()));
        assert_eq!(bench.look(7), "pending");
    }
    assert_eq!(pauses[..8], [0, 200, 400, 800, 1_600, 3_200, 5_000, 5_000]);
    assert!(pauses[8..].iter().all(|pause| *pause == 5_000));
    bench.look(8);
    let later = 5 + i64::try_from(bench.at.as_millis()).unwrap();
    let awaited = |schema: &str, since_unix_ms, reason: Option<&str>| AwaitedSchema {
        schema: schema.to_owned(),
        since_unix_ms,
        reason: reason.map(str::to_owned),
    };
    assert_eq!(bench.book.awaited(), [awaited("id 7", 6, Some("down")), awaited("id 8", later, None)]);
}

#[test]
fn a_schema_is_unknown_only_after_the_registry_has_said_so_for_the_whole_time() {
    // No multiple of the pauses.
    let whole = Duration::from_secs(63);
    let mut bench = Bench::new(|rules| rules.unknown_after = whole);
    bench.look(7);
    // An outage before the first answer does not count.
    while bench.at < Duration::from_secs(90) {
        assert_eq!(bench.wait().1, [key(7)]);
        bench.answer(7, Answer::Failed("down".to_owned()));
    }
    bench.wait();
    let first = bench.at;
    assert_eq!(bench.answer(7, absent()), Verdict::Absent("none".to_owned()));
    let mut verdict = Verdict::Found;
    while bench.at < first + whole {
        assert_eq!(bench.look(7), "pending");
        bench.wait();
        verdict = bench.answer(7, absent());
    }
    assert_eq!(verdict, Verdict::Unknown);
    assert_eq!(bench.at - first, whole, "the last word is asked for when the time is over");
    assert_eq!(bench.look(7), "unknown");
}

#[test]
fn a_schema_that_is_registered_late_is_found() {
    let mut bench = Bench::new(|rules| rules.unknown_after = Duration::ZERO);
    bench.look(7);
    bench.due();
    assert_eq!(bench.answer(7, absent()), Verdict::Unknown);
    bench.at += Duration::from_secs(300) - MS;
    assert_eq!(bench.look(7), "unknown");
    bench.at += MS;
    assert_eq!(bench.look(7), "pending", "asked again");
    assert_eq!(bench.due(), [key(7)]);
    assert_eq!(bench.answer(7, schema(1)), Verdict::Found);
    assert_eq!(bench.look(7), "ready");
}

#[test]
fn what_was_unknown_needs_one_word_to_be_unknown_again() {
    let mut bench = Bench::new(|_| {});
    bench.look(7);
    while bench.look(7) == "pending" {
        bench.wait();
        bench.answer(7, absent());
    }
    bench.at += Duration::from_secs(300);
    assert_eq!(bench.look(7), "pending");
    bench.due();
    assert_eq!(bench.answer(7, Answer::Failed("down".to_owned())), Verdict::Failed("down".to_owned()));
    bench.wait();
    assert_eq!(bench.answer(7, absent()), Verdict::Unknown, "it has said so for five minutes");
}

#[test]
fn what_can_never_be_used_is_so_at_once_and_what_lacks_a_part_after_the_time() {
    let mut bench = Bench::new(|_| {});
    bench.look(7);
    bench.due();
    assert_eq!(bench.answer(7, Answer::Unusable("cycle".to_owned())), Verdict::Unusable("cycle".into()));
    assert_eq!(bench.look(7), "unusable");
    let incomplete = || Answer::Incomplete("part".to_owned());
    bench.look(8);
    bench.due();
    assert_eq!(bench.answer(8, incomplete()), Verdict::Absent("part".to_owned()));
    bench.at += Duration::from_secs(60);
    bench.due();
    assert_eq!(bench.answer(8, incomplete()), Verdict::Unusable("part".into()));
    bench.at += Duration::from_secs(300);
    assert_eq!((bench.look(7), bench.look(8)), ("pending", "pending"), "both are looked at again");
}

#[test]
fn what_is_due_longest_comes_first_and_no_more_than_there_is_room_for() {
    let mut bench = Bench::new(|_| {});
    for id in 1..=3 {
        bench.look(id);
        bench.at += MS;
    }
    let now = bench.now();
    assert_eq!(bench.book.take_due(now, 2), [key(1), key(2)]);
    assert_eq!(bench.book.take_due(now, 0), []);
    assert_eq!(bench.book.take_due(now, 2), [key(3)]);
}

#[test]
fn what_was_used_longest_ago_is_forgotten_first() {
    let check = |change: &dyn Fn(&mut Rules), bytes: usize, expected: [&str; 4]| {
        let mut bench = Bench::new(change);
        for id in 1..=3 {
            bench.look(id);
            bench.due();
            bench.answer(id, schema(bytes));
        }
        assert_eq!(bench.look(1), "ready", "used again, so it stays");
        bench.look(4);
        bench.due();
        bench.answer(4, schema(bytes));
        let found: Vec<_> = (1..=4).map(|id| bench.look(id)).collect();
        assert_eq!(found, expected);
    };
    check(&|rules| rules.known_max = 4, 10, ["ready", "ready", "ready", "ready"]);
    check(&|rules| rules.known_max = 3, 10, ["ready", "pending", "ready", "ready"]);
    check(&|rules| rules.known_bytes_max = 39, 10, ["ready", "pending", "ready", "ready"]);
    check(&|rules| rules.known_bytes_max = 40, 10, ["ready", "ready", "ready", "ready"]);
}

#[test]
fn a_schema_above_the_bound_is_kept_alone() {
    let mut bench = Bench::new(|rules| rules.known_bytes_max = 5);
    for id in 1..=2 {
        bench.look(id);
        bench.due();
        bench.answer(id, schema(10));
        assert_eq!(bench.look(id), "ready");
    }
    assert_eq!(bench.look(1), "pending");
}

#[test]
fn what_nobody_looks_up_is_not_asked_for_any_more() {
    let mut bench = Bench::new(|rules| rules.wanted_max = 2);
    bench.look(1);
    bench.look(2);
    bench.at += Duration::from_secs(599);
    bench.look(2);
    bench.at += Duration::from_secs(1);
    assert_eq!(bench.due(), [key(2)]);
    bench.look(3);
    bench.look(4);
    assert_eq!(bench.due(), [key(4)], "2 is being asked for, so 3 had to go");
}
