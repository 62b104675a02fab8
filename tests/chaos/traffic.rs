//! The producers: one plain and one transactional that gives up every fourth transaction.
//!
//! They write as long as they are not stopped, at a bounded rate and while the connector is not too far behind, through
//! broker failures, and keep books of what the broker acknowledged.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{
    BaseRecord, DefaultProducerContext, DeliveryResult, Producer, ProducerContext, ThreadedProducer,
};

use crate::clock::{Stop, now};
use crate::settings::Settings;
use crate::world::{NAME, World};

/// The value of records whose transaction is given up: a row with it must never be seen.
pub(crate) const ABORTED: &[u8] = br#"{"v":255}"#;
/// One record in so many fires an alert.
const HOT_EVERY: u64 = 1_000;
/// One record in so many is a dead letter.
const DEAD_EVERY: u64 = 50;
const TIMEOUT: Duration = Duration::from_secs(20);
const PACE: Duration = Duration::from_millis(20);

/// What the producers know.
#[derive(Debug, Default)]
pub(crate) struct Books {
    /// Records that the broker has acknowledged, in committed transactions where they were in one.
    pub(crate) acknowledged: AtomicU64,
    /// Records of which it is not known.
    pub(crate) uncertain: AtomicU64,
    /// Records in transactions that were given up.
    pub(crate) aborted: AtomicU64,
}

impl Books {
    /// Everything that may be in the topic.
    pub(crate) fn produced(&self) -> u64 {
        self.acknowledged.load(Ordering::SeqCst) + self.uncertain.load(Ordering::SeqCst)
    }
}

/// The n-th record: 7 to 9 bytes of JSON.
pub(crate) fn payload(number: u64) -> [u8; 9] {
    let mut text = *br#"{"v":00} "#;
    if number % HOT_EVERY == 7 {
        text = *br#"{"v":100}"#;
        text[6] = b'0' + u8::try_from(number / HOT_EVERY % 10).expect("a digit");
    } else if number % DEAD_EVERY == 3 {
        text = if number % (2 * DEAD_EVERY) == 3 { *br#"{"v":xx} "# } else { *br#"{"v":999}"# };
    } else {
        text[5] = b'1' + u8::try_from(number % 9).expect("a digit");
        text[6] = b'0' + u8::try_from(number / 9 % 10).expect("a digit");
    }
    text
}

struct Reports(Arc<Books>);

impl ClientContext for Reports {}

impl ProducerContext for Reports {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let book = if result.is_ok() { &self.0.acknowledged } else { &self.0.uncertain };
        book.fetch_add(1, Ordering::SeqCst);
    }
}

/// Running producers.
pub(crate) struct Traffic {
    pub(crate) books: Arc<Books>,
    stop: Stop,
    threads: Vec<JoinHandle<()>>,
}

impl Traffic {
    /// Starts both producers; a fifth of the records is transactional.
    pub(crate) fn start(world: &Arc<World>, settings: &Settings) -> Self {
        let (books, stop) = (Arc::new(Books::default()), Stop::default());
        let line = |rate| Line {
            world: Arc::clone(world),
            books: Arc::clone(&books),
            stop: stop.clone(),
            rate,
            backlog_max: settings.backlog_max,
        };
        let (plain, transactional) = (line(settings.rate * 4 / 5), line(settings.rate / 5));
        let threads = vec![
            std::thread::spawn(move || plain.produce_plainly()),
            std::thread::spawn(move || transactional.produce_in_transactions()),
        ];
        Self { books, stop, threads }
    }

    /// Asks the producers to end.
    pub(crate) fn stop(&self) {
        self.stop.set();
    }

    /// Ends the producers once everything they sent is acknowledged.
    pub(crate) fn finish(&mut self) {
        self.stop();
        for thread in self.threads.drain(..) {
            thread.join().unwrap();
        }
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.stop();
    }
}

struct Line {
    world: Arc<World>,
    books: Arc<Books>,
    stop: Stop,
    rate: u64,
    backlog_max: u64,
}

impl Line {
    fn allowed(&self) -> bool {
        self.books.produced().saturating_sub(self.world.stored.load(Ordering::SeqCst)) < self.backlog_max
    }

    /// Where a record goes: spread, so that no partition gets all of a kind.
    fn partition(&self, number: u64) -> i32 {
        let spread = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 33;
        let partitions = u64::try_from(self.world.partitions.load(Ordering::SeqCst)).expect("a count");
        i32::try_from(spread % partitions).expect("below a count of partitions")
    }

    fn produce_plainly(&self) {
        let mut config = self.world.client();
        config.set("enable.idempotence", "true").set("linger.ms", "20").set("compression.type", "lz4");
        config.set("message.timeout.ms", "0").set("queue.buffering.max.messages", "200000");
        let mut pace = Pace::new(self.rate);
        let mut number = 0;
        while !self.stop.is_set() {
            let reports = Reports(Arc::clone(&self.books));
            let producer: ThreadedProducer<Reports> = config.create_with_context(reports).unwrap();
            while !self.stop.wait(PACE) && producer.client().fatal_error().is_none() {
                for _ in 0..if self.allowed() { pace.due() } else { pace.skip() } {
                    self.send(&producer, number, &payload(number));
                    number += 1;
                }
            }
            // Without an end: what was queued becomes acknowledged, however long the broker is away.
            while producer.flush(TIMEOUT).is_err() {}
        }
    }

    fn produce_in_transactions(&self) {
        let mut pace = Pace::new(self.rate);
        let (mut number, mut transaction) = (1 << 40, 0_u64);
        'producer: while !self.stop.is_set() {
            let mut config = self.world.client();
            config.set("transactional.id", "chaos-source").set("transaction.timeout.ms", "10000");
            config.set("linger.ms", "20").set("compression.type", "lz4");
            let producer: ThreadedProducer<DefaultProducerContext> = config.create().unwrap();
            while let Err(error) = producer.init_transactions(TIMEOUT) {
                if self.stop.is_set() || !is_retriable(&error) {
                    continue 'producer;
                }
            }
            while !self.stop.wait(PACE * 10) {
                let count = if self.allowed() { pace.due() } else { pace.skip() };
                if count == 0 {
                    continue;
                }
                transaction += 1;
                let abort = transaction.is_multiple_of(4);
                if producer.begin_transaction().is_err() {
                    continue 'producer;
                }
                let mut queued = 0;
                for _ in 0..count {
                    let bytes = payload(number);
                    let bytes: &[u8] = if abort { ABORTED } else { &bytes };
                    queued += u64::from(self.send(&producer, number, bytes));
                    number += 1;
                }
                if !self.end(&producer, queued, abort) {
                    continue 'producer;
                }
            }
        }
    }

    /// Queues a record and says whether it did; waits while the queue is full, but not once it is to stop.
    fn send<C>(&self, producer: &ThreadedProducer<C>, number: u64, payload: &[u8]) -> bool
    where
        C: ProducerContext<DeliveryOpaque = ()> + 'static,
    {
        let payload = payload.strip_suffix(b" ").unwrap_or(payload);
        let mut record = BaseRecord::<(), [u8]>::to(NAME).partition(self.partition(number)).payload(payload);
        while let Err((error, back)) = producer.send(record) {
            // A transaction that has failed takes no more, and its end says so; a new partition may not be known yet.
            if error.rdkafka_error_code() != Some(RDKafkaErrorCode::QueueFull) || self.stop.wait(PACE) {
                return false;
            }
            record = back;
        }
        true
    }

    /// Ends the transaction; says whether the producer can go on.
    fn end(&self, producer: &ThreadedProducer<DefaultProducerContext>, count: u64, abort: bool) -> bool {
        let mut aborting = abort;
        // Bounded by the broker's own timeout of the transaction.
        for _ in 0..10 {
            let result =
                if aborting { producer.abort_transaction(TIMEOUT) } else { producer.commit_transaction(TIMEOUT) };
            match result {
                Ok(()) => {
                    let book = if aborting { &self.books.aborted } else { &self.books.acknowledged };
                    book.fetch_add(count, Ordering::SeqCst);
                    return true;
                }
                Err(KafkaError::Transaction(error)) if error.txn_requires_abort() => aborting = true,
                Err(error) if is_retriable(&error) => {}
                Err(_) => break,
            }
        }
        // A transaction that was to be given up is given up by the broker, if by nobody else.
        let book = if abort { &self.books.aborted } else { &self.books.uncertain };
        book.fetch_add(count, Ordering::SeqCst);
        false
    }
}

fn is_retriable(error: &KafkaError) -> bool {
    matches!(error, KafkaError::Transaction(error) if error.is_retriable())
}

/// How many records are due at a steady rate; what a pause held up is not made up for.
struct Pace {
    rate: u64,
    began: Instant,
    given: u64,
}

impl Pace {
    fn new(rate: u64) -> Self {
        Self { rate, began: now(), given: 0 }
    }

    fn due(&mut self) -> u64 {
        let millis = u64::try_from(self.began.elapsed().as_millis()).expect("a run is short");
        let due = (self.rate * millis / 1_000).saturating_sub(self.given).min(self.rate / 2 + 1);
        if due > self.rate / 2 {
            self.skip();
        } else {
            self.given += due;
        }
        due
    }

    fn skip(&mut self) -> u64 {
        (self.began, self.given) = (now(), 0);
        0
    }
}
