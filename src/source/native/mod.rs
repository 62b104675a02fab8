//! The calls into librdkafka that the safe client lacks: batch reads from private queues, the group's identity, offsets
//! with raw metadata, topic ids, offsets by isolation level. The only module with `unsafe`.
//!
//! Takes safe clients, gives owned values or values whose borrow ends before what they point to.
//! Promises: no pointer leaves this module; a queue never outlives its consumer, a message never its queue.
//! Never: decides anything about the protocol.
#![expect(unsafe_code, reason = "the safe client has no batch reads, no group generation, no topic ids")]

mod admin;
mod membership;
mod queue;

use std::ffi::CStr;
use std::os::raw::c_char;
use std::time::Duration;

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::types::RDKafkaRespErr;

pub(crate) use admin::{
    ByPartition, WantedOffset, cluster_id, committed_offsets, offsets_of_log, positions, topic_identities,
    unreadable_topics,
};
pub use admin::{StoredOffset, TopicIdentity};
pub(crate) use membership::{GroupIdentity, TransactionError, send_offsets};
pub use queue::{Batch, Headers, Message};
pub(crate) use queue::{BatchQueue, ForwardTarget};

/// A failed call or an error that the broker reported, with Kafka's code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{doing}: {text}")]
pub struct KafkaFault {
    /// What was attempted.
    pub doing: String,
    /// Kafka's or the client library's code.
    pub code: RDKafkaErrorCode,
    /// The explanation that came with the code.
    pub text: String,
}

impl KafkaFault {
    /// A fault of the code alone, explained by the library's own text.
    pub(crate) fn new(doing: impl Into<String>, code: RDKafkaErrorCode) -> Self {
        Self { doing: doing.into(), code, text: code.to_string() }
    }

    /// Whether the client has given the partition up, so that only [`super::consumer::KafkaConsumer::rejoin`] brings it
    /// back: the offset is not in the log.
    pub fn needs_rejoin(&self) -> bool {
        self.code == RDKafkaErrorCode::AutoOffsetReset
    }

    /// Whether the batch that is next in the partition cannot be read, while everything else can.
    pub fn is_of_the_batch(&self) -> bool {
        use RDKafkaErrorCode as Code;
        matches!(
            self.code,
            Code::BadCompression
                | Code::BadMessage
                | Code::InvalidMessage
                | Code::InvalidMessageSize
                | Code::MessageSizeTooLarge
                | Code::UnsupportedCompressionType
                | Code::NotImplemented
                | Code::Underflow
                | Code::CriticalSystemResource
                | Code::KafkaStorageError
        )
    }

    /// What happened to the batch and what a person can do, where the client takes responses of so many bytes.
    pub(crate) fn explained_by(&self, response_bytes_max: u64) -> String {
        use RDKafkaErrorCode as Code;
        let advice = match self.code {
            Code::BadCompression | Code::MessageSizeTooLarge | Code::InvalidMessageSize => format!(
                "a batch that unfolds to more than `receive.message.max.bytes` ({response_bytes_max}) is not read: raise \
                 that under `kafka.properties`; if it is smaller, it is damaged on the broker"
            ),
            Code::BadMessage | Code::InvalidMessage => "it is damaged, on the way or on the broker".to_owned(),
            Code::NotImplemented | Code::UnsupportedCompressionType => {
                "its format or compression is not in this build: have it produced in another".to_owned()
            }
            Code::KafkaStorageError => "the broker cannot read its disk".to_owned(),
            _ => "it is tried again".to_owned(),
        };
        format!("{self}: {advice}")
    }

    /// A fault of the safe client.
    pub(crate) fn from_client(doing: impl Into<String>, error: &KafkaError) -> Self {
        Self {
            doing: doing.into(),
            code: error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown),
            text: error.to_string(),
        }
    }
}

/// A code as the library stores it. A broker may send codes that this version of the bindings does not know: those must
/// not become a value of the enum.
fn known_code(raw: i32) -> RDKafkaErrorCode {
    RDKafkaRespErr::try_from(raw).map_or(RDKafkaErrorCode::Unknown, RDKafkaErrorCode::from)
}

/// The library counts milliseconds in an `int`; a longer wait is cut to its greatest value.
fn timeout_ms(timeout: Duration) -> i32 {
    i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX)
}

/// A copy of a C string that the library owns.
///
/// # Safety
/// `text` is null or points to a string that ends with NUL and lives during the call.
unsafe fn owned_text(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: not null, and the caller vouches for the rest.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_of_newer_brokers_are_unknown_not_undefined() {
        let check = |raw, expected| assert_eq!(known_code(raw), expected, "{raw}");
        check(0, RDKafkaErrorCode::NoError);
        check(22, RDKafkaErrorCode::IllegalGeneration);
        check(-140, RDKafkaErrorCode::AutoOffsetReset);
        check(9_999, RDKafkaErrorCode::Unknown);
    }

    #[test]
    fn timeouts_fit_into_the_library_s_int() {
        let check = |timeout, expected| assert_eq!(timeout_ms(timeout), expected, "{timeout:?}");
        check(Duration::ZERO, 0);
        check(Duration::from_millis(20), 20);
        check(Duration::MAX, i32::MAX);
    }
}
