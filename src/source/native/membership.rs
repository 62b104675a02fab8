//! Who the group says we are, and offsets sent under exactly that identity.

use std::fmt;
use std::ptr::NonNull;
use std::time::Duration;

use rdkafka::bindings as rd;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{Producer, ProducerContext};
use rdkafka::topic_partition_list::TopicPartitionList;

use super::{owned_text, timeout_ms};

/// The group's generation and our member id, as the broker is to check them.
pub(crate) struct GroupIdentity {
    native: NonNull<rd::rd_kafka_consumer_group_metadata_t>,
    generation: i32,
    member_id: String,
}

// SAFETY: the object is a plain copy that the library reads and never changes after it was made.
unsafe impl Send for GroupIdentity {}

impl GroupIdentity {
    /// The identity now. `None` while the consumer is in no generation: the broker does not fence offsets that are sent
    /// without one, so they must not be sent at all.
    pub(crate) fn of<C: ConsumerContext>(consumer: &BaseConsumer<C>) -> Option<Self> {
        // SAFETY: the client is alive. The object made here is ours and destroyed in `drop`.
        let native = unsafe { rd::rd_kafka_consumer_group_metadata(consumer.client().native_ptr()) };
        let native = NonNull::new(native)?;
        // SAFETY: the object is alive, and its member id is a string within it.
        let (generation, member_id) = unsafe {
            (
                rd::rd_kafka_consumer_group_metadata_generation_id(native.as_ptr()),
                owned_text(rd::rd_kafka_consumer_group_metadata_member_id(native.as_ptr())),
            )
        };
        let identity = Self { native, generation, member_id };
        (generation >= 0 && !identity.member_id.is_empty()).then_some(identity)
    }
}

impl Drop for GroupIdentity {
    fn drop(&mut self) {
        // SAFETY: made by `of`, destroyed once.
        unsafe { rd::rd_kafka_consumer_group_metadata_destroy(self.native.as_ptr()) };
    }
}

impl fmt::Debug for GroupIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GroupIdentity")
            .field("generation", &self.generation)
            .field("member_id", &self.member_id)
            .finish()
    }
}

/// What the library says of a failed transactional call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TransactionError {
    pub(crate) code: RDKafkaErrorCode,
    pub(crate) fatal: bool,
    pub(crate) retriable: bool,
    pub(crate) requires_abort: bool,
    pub(crate) text: String,
}

impl From<KafkaError> for TransactionError {
    fn from(error: KafkaError) -> Self {
        let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown);
        match error {
            KafkaError::Transaction(native) => Self {
                code,
                fatal: native.is_fatal(),
                retriable: native.is_retriable(),
                requires_abort: native.txn_requires_abort(),
                text: native.string(),
            },
            // Committing flushes first, and gives a flush that ran out of time its own kind of error.
            KafkaError::Flush(_) => Self {
                code,
                fatal: false,
                retriable: code == RDKafkaErrorCode::OperationTimedOut,
                requires_abort: false,
                text: error.to_string(),
            },
            other => Self { code, fatal: false, retriable: false, requires_abort: false, text: other.to_string() },
        }
    }
}

/// Adds `offsets` to the producer's transaction under this identity and no other.
pub(crate) fn send_offsets<C: ProducerContext, P: Producer<C>>(
    producer: &P,
    offsets: &TopicPartitionList,
    identity: &GroupIdentity,
    timeout: Duration,
) -> Result<(), TransactionError> {
    // SAFETY: producer, list and identity are alive during the call, which copies what it keeps. The error it returns is
    // ours; it is read, then destroyed once, and not used afterwards.
    unsafe {
        let error = rd::rd_kafka_send_offsets_to_transaction(
            producer.client().native_ptr(),
            offsets.ptr(),
            identity.native.as_ptr(),
            timeout_ms(timeout),
        );
        if error.is_null() {
            return Ok(());
        }
        let described = TransactionError {
            code: rd::rd_kafka_error_code(error).into(),
            fatal: rd::rd_kafka_error_is_fatal(error) != 0,
            retriable: rd::rd_kafka_error_is_retriable(error) != 0,
            requires_abort: rd::rd_kafka_error_txn_requires_abort(error) != 0,
            text: owned_text(rd::rd_kafka_error_string(error)),
        };
        rd::rd_kafka_error_destroy(error);
        Err(described)
    }
}
