//! A Kafka message as decoders see it.

use super::Message;
use crate::decode::{Headers, Record};
use crate::types::Offset;

impl Headers for Message<'_> {
    fn last(&self, name: &str) -> Option<Option<&[u8]>> {
        self.headers().filter(|(known, _)| *known == name.as_bytes()).last().map(|(_, value)| value)
    }
}

/// What may be a time in milliseconds since 1970: from March 1973 to the end of 2099. Seconds, microseconds and nanoseconds
/// of our days lie outside.
const AGED_MS: std::ops::Range<i64> = 100_000_000_000..4_102_444_800_000;

impl Message<'_> {
    /// The timestamp from which the record's age is reckoned: none where it is in another unit, which would make an age of
    /// decades.
    pub fn aged_timestamp_ms(&self) -> Option<i64> {
        self.timestamp_ms().filter(|timestamp| AGED_MS.contains(timestamp))
    }

    /// The record of `topic` that this message is; `None` of what is no record.
    pub fn record<'r>(&'r self, topic: &'r str) -> Option<Record<'r>> {
        Some(Record {
            value: self.payload(),
            key: self.key(),
            headers: self,
            timestamp_ms: self.timestamp_ms(),
            topic,
            partition: self.partition().0,
            offset: self.offset()?.to_kafka(),
        })
    }
}

/// A record that outlives the message it was read from.
#[derive(Debug, Clone)]
pub struct OwnedRecord {
    value: Option<Vec<u8>>,
    key: Option<Vec<u8>>,
    headers: OwnedHeaders,
    timestamp_ms: Option<i64>,
    partition: i32,
    offset: i64,
}

#[derive(Debug, Clone)]
struct OwnedHeaders(Vec<(Vec<u8>, Option<Vec<u8>>)>);

impl Headers for OwnedHeaders {
    fn last(&self, name: &str) -> Option<Option<&[u8]>> {
        self.0.iter().rev().find(|(known, _)| known == name.as_bytes()).map(|(_, value)| value.as_deref())
    }
}

impl OwnedRecord {
    /// A copy; `None` of what is no record.
    pub fn of(message: &Message<'_>) -> Option<Self> {
        let headers = message.headers().map(|(name, value)| (name.to_vec(), value.map(<[u8]>::to_vec)));
        Some(Self {
            value: message.payload().map(<[u8]>::to_vec),
            key: message.key().map(<[u8]>::to_vec),
            headers: OwnedHeaders(headers.collect()),
            timestamp_ms: message.timestamp_ms(),
            partition: message.partition().0,
            offset: message.offset()?.to_kafka(),
        })
    }

    /// Where it stands in its partition.
    pub fn offset(&self) -> Option<Offset> {
        Offset::from_kafka(self.offset)
    }

    /// The record of `topic`.
    pub fn record<'r>(&'r self, topic: &'r str) -> Record<'r> {
        Record {
            value: self.value.as_deref(),
            key: self.key.as_deref(),
            headers: &self.headers,
            timestamp_ms: self.timestamp_ms,
            topic,
            partition: self.partition,
            offset: self.offset,
        }
    }
}
