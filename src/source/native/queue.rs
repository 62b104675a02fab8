//! Batch reads: one private queue per lane, to which the lane's partitions are forwarded.

use std::ffi::CString;
use std::fmt;
use std::marker::PhantomData;
use std::os::raw::c_char;
use std::ptr::{self, NonNull};
use std::slice;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::bindings as rd;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::RDKafkaErrorCode;

use super::{KafkaFault, known_code, owned_text, timeout_ms};
use crate::types::{Offset, Partition};

/// What Kafka's protocol has in the place of a timestamp that a record has not.
const NO_TIMESTAMP: i64 = -1;

/// The address of a queue for those who forward partitions to it. Empty once the queue is gone.
#[derive(Clone)]
pub(crate) struct ForwardTarget(Arc<Mutex<Option<QueueAddress>>>);

struct QueueAddress(NonNull<rd::rd_kafka_queue_t>);

// SAFETY: queues of the library may be used from any thread; this address is only ever used under the mutex around it,
// and its owner empties that before it destroys the queue.
unsafe impl Send for QueueAddress {}

impl ForwardTarget {
    /// Sends what is fetched for the partition to this queue. To be called before each assign: a partition that starts
    /// without a new forward is silent for ever. Does nothing once the queue is gone.
    pub(crate) fn forward<C: ConsumerContext>(&self, consumer: &BaseConsumer<C>, topic: &str, partition: Partition) {
        let target = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(target) = target.as_ref() else {
            return;
        };
        let topic = CString::new(topic).expect("topic names of Kafka hold no NUL");
        // SAFETY: the client lives as long as the borrow of `consumer`, the name during the call, the target queue as
        // long as the lock is held. The partition's queue is a counted reference of ours, given back here.
        unsafe {
            let queue = rd::rd_kafka_queue_get_partition(consumer.client().native_ptr(), topic.as_ptr(), partition.0);
            if !queue.is_null() {
                rd::rd_kafka_queue_forward(queue, target.0.as_ptr());
                rd::rd_kafka_queue_destroy(queue);
            }
        }
    }
}

impl fmt::Debug for ForwardTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ForwardTarget")
    }
}

/// A private queue that is read in batches. Keeps its consumer alive, and is destroyed before it: the other order hangs.
pub(crate) struct BatchQueue<C: ConsumerContext> {
    native: NonNull<rd::rd_kafka_queue_t>,
    target: ForwardTarget,
    /// The array that the library fills; the first `held` entries are messages that are ours to destroy.
    slots: Vec<*mut rd::rd_kafka_message_t>,
    held: usize,
    /// Dropped after `Drop` of this type has run.
    _consumer: Arc<BaseConsumer<C>>,
}

// SAFETY: the library's queues and messages may be used from any thread, one at a time, which `&mut self` of every method
// ensures; the consumer is `Send + Sync` by its own declaration.
unsafe impl<C: ConsumerContext> Send for BatchQueue<C> {}

impl<C: ConsumerContext> BatchQueue<C> {
    /// A new, empty queue. To be made before the consumer subscribes.
    pub(crate) fn new(consumer: Arc<BaseConsumer<C>>) -> Self {
        // SAFETY: the client is alive; the queue made here is destroyed in `drop`, before `consumer` can be.
        let native = unsafe { rd::rd_kafka_queue_new(consumer.client().native_ptr()) };
        let native = NonNull::new(native).expect("the library aborts when memory runs out");
        Self {
            native,
            target: ForwardTarget(Arc::new(Mutex::new(Some(QueueAddress(native))))),
            slots: Vec::new(),
            held: 0,
            _consumer: consumer,
        }
    }

    /// Where to forward partitions to.
    pub(crate) fn target(&self) -> ForwardTarget {
        self.target.clone()
    }

    /// Waits up to `timeout` for a message, then takes what is there, up to `limit` messages.
    pub(crate) fn read(&mut self, timeout: Duration, limit: usize) -> Batch<'_> {
        self.release();
        if self.slots.len() < limit {
            self.slots.resize(limit, ptr::null_mut());
        }
        // The call returns early only when its array is full: so first one message, then the rest without waiting.
        self.receive(timeout, limit.min(1));
        if self.held > 0 {
            self.receive(Duration::ZERO, limit);
        }
        Batch { messages: &self.slots[..self.held] }
    }

    fn receive(&mut self, timeout: Duration, limit: usize) {
        let free = &mut self.slots[self.held..limit];
        if free.is_empty() {
            return;
        }
        // SAFETY: the queue is alive, and the array holds `free.len()` slots that belong to no message.
        let received = unsafe {
            rd::rd_kafka_consume_batch_queue(self.native.as_ptr(), timeout_ms(timeout), free.as_mut_ptr(), free.len())
        };
        self.held += usize::try_from(received).unwrap_or(0);
    }

    /// Gives the messages of the last batch back: also those of a batch that was forgotten.
    fn release(&mut self) {
        for slot in self.slots.drain(..self.held) {
            // SAFETY: the library filled this slot and gave the message to us; no borrow of it is left, because a batch
            // borrows this queue, and the slot is gone with this.
            unsafe { rd::rd_kafka_message_destroy(slot) };
        }
        self.held = 0;
    }
}

impl<C: ConsumerContext> Drop for BatchQueue<C> {
    fn drop(&mut self) {
        self.release();
        let mut target = self.target.0.lock().unwrap_or_else(PoisonError::into_inner);
        *target = None;
        // SAFETY: the queue was made by `new`, is destroyed once, and nobody else has its address any more.
        unsafe { rd::rd_kafka_queue_destroy(self.native.as_ptr()) };
    }
}

impl<C: ConsumerContext> fmt::Debug for BatchQueue<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BatchQueue").field("held", &self.held).finish_non_exhaustive()
    }
}

/// Messages of one read, in the order of their partitions' offsets. They are freed with the next read.
#[derive(Debug)]
pub struct Batch<'q> {
    messages: &'q [*mut rd::rd_kafka_message_t],
}

impl<'q> Batch<'q> {
    /// How many messages, errors among them, it holds.
    pub fn len(&self) -> usize {
        self.messages.len()
    }

    /// Whether nothing came within the time.
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// The messages.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Message<'q>> {
        self.messages.iter().map(|message| Message {
            native: NonNull::new(*message).expect("the library fills the slots it counts"),
            _batch: PhantomData,
        })
    }
}

/// A record, or an error of its partition, in the library's memory.
#[derive(Clone, Copy)]
pub struct Message<'b> {
    native: NonNull<rd::rd_kafka_message_t>,
    _batch: PhantomData<&'b rd::rd_kafka_message_t>,
}

impl<'b> Message<'b> {
    /// The partition of the lane's topic.
    pub fn partition(&self) -> Partition {
        // SAFETY: the message lives as long as the batch that `'b` borrows.
        Partition(unsafe { (*self.native.as_ptr()).partition })
    }

    /// The record's offset; `None` on errors that have none.
    pub fn offset(&self) -> Option<Offset> {
        // SAFETY: as in `partition`.
        Offset::from_kafka(unsafe { (*self.native.as_ptr()).offset })
    }

    /// The timestamp in milliseconds since 1970, where the record has one: Kafka writes -1 where it has none.
    pub fn timestamp_ms(&self) -> Option<i64> {
        let mut kind = rd::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: as in `partition`; `kind` is written during the call only.
        let value = unsafe { rd::rd_kafka_message_timestamp(self.native.as_ptr(), &raw mut kind) };
        let is_there = kind != rd::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE && value != NO_TIMESTAMP;
        is_there.then_some(value)
    }

    /// The key, or `None` where it is null.
    pub fn key(&self) -> Option<&'b [u8]> {
        // SAFETY: as in `partition`; the library sets pointer and length together, and the bytes are part of the message.
        unsafe {
            let message = self.native.as_ptr();
            bytes((*message).key.cast(), (*message).key_len)
        }
    }

    /// The value, or `None` for a tombstone. Of an error there is none.
    pub fn payload(&self) -> Option<&'b [u8]> {
        if self.code() != RDKafkaErrorCode::NoError {
            return None;
        }
        // SAFETY: as in `key`.
        unsafe {
            let message = self.native.as_ptr();
            bytes((*message).payload.cast(), (*message).len)
        }
    }

    /// Whether it is a record without a value.
    pub fn is_tombstone(&self) -> bool {
        self.code() == RDKafkaErrorCode::NoError && self.payload().is_none()
    }

    /// The headers. They are parsed when this is called.
    pub fn headers(&self) -> Headers<'b> {
        let mut native = ptr::null_mut();
        // SAFETY: as in `partition`. The library parses into the message and keeps the result there; messages are neither
        // `Send` nor `Sync`, so that no other thread does the same.
        let found = unsafe { rd::rd_kafka_message_headers(self.native.as_ptr(), &raw mut native) };
        let known = found == rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR;
        Headers { native: if known { NonNull::new(native) } else { None }, next: 0, _batch: PhantomData }
    }

    /// The error that came in place of a record. After one the partition's position inside the library is wrong (its
    /// issue 4844): start the partition again before the consumer is served.
    pub fn error(&self) -> Option<KafkaFault> {
        let code = self.code();
        if code == RDKafkaErrorCode::NoError {
            return None;
        }
        // SAFETY: as in `partition`; the text belongs to the message or is static.
        let text = unsafe { owned_text(rd::rd_kafka_message_errstr(self.native.as_ptr())) };
        Some(KafkaFault { doing: format!("fetching from partition {}", self.partition()), code, text })
    }

    fn code(&self) -> RDKafkaErrorCode {
        // SAFETY: as in `partition`. Read as a number, since the value may be none of the enum's.
        known_code(unsafe { (&raw const (*self.native.as_ptr()).err).cast::<i32>().read() })
    }
}

impl fmt::Debug for Message<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("partition", &self.partition())
            .field("offset", &self.offset())
            .field("code", &self.code())
            .finish_non_exhaustive()
    }
}

/// The headers of a record: name and value, in order, names may repeat.
#[derive(Debug, Clone)]
pub struct Headers<'b> {
    native: Option<NonNull<rd::rd_kafka_headers_t>>,
    next: usize,
    _batch: PhantomData<&'b rd::rd_kafka_message_t>,
}

impl<'b> Iterator for Headers<'b> {
    type Item = (&'b [u8], Option<&'b [u8]>);

    fn next(&mut self) -> Option<Self::Item> {
        let native = self.native?;
        let (mut name, mut value, mut len) = (ptr::null::<c_char>(), ptr::null(), 0);
        // SAFETY: the headers belong to a message that lives for `'b`; the three places are written during the call.
        let found = unsafe {
            rd::rd_kafka_header_get_all(native.as_ptr(), self.next, &raw mut name, &raw mut value, &raw mut len)
        };
        if found != rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
            self.native = None;
            return None;
        }
        self.next += 1;
        // SAFETY: the call succeeded, so the name ends with NUL and the value has `len` bytes or is null, both within the
        // message.
        unsafe { Some((std::ffi::CStr::from_ptr(name).to_bytes(), bytes(value.cast(), len))) }
    }
}

/// # Safety
/// `start` is null or the first of `len` bytes that live and do not change for `'b`.
unsafe fn bytes<'b>(start: *const u8, len: usize) -> Option<&'b [u8]> {
    if start.is_null() {
        return None;
    }
    // SAFETY: by the caller.
    Some(unsafe { slice::from_raw_parts(start, len) })
}
