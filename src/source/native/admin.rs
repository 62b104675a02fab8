//! Questions to the cluster: topic ids, cluster id, committed offsets with raw metadata, the ends of a log.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::CString;
use std::os::raw::c_char;
use std::ptr::{self, NonNull};
use std::slice;
use std::time::Duration;

use rdkafka::bindings as rd;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::topic_partition_list::{Offset as NativeOffset, TopicPartitionList};

use super::{KafkaFault, known_code, owned_text, timeout_ms};
use crate::types::{Offset, Partition, TopicId};

/// What the cluster knows under a topic's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TopicIdentity {
    /// There is no topic of this name.
    Unknown,
    /// The topic exists, but the broker is too old to give it an id.
    WithoutId,
    /// The topic's id, another one for every creation.
    Id(TopicId),
}

/// A committed offset with the bytes beside it, whoever wrote them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredOffset {
    /// The next offset to consume.
    pub offset: Offset,
    /// The metadata, not necessarily text.
    pub metadata: Vec<u8>,
}

/// Which offset of a log is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WantedOffset {
    /// The oldest that is retained.
    Earliest,
    /// The high watermark.
    HighWatermark,
    /// The end of what a reader of committed data may see.
    LastStable,
    /// The first record at or after a time, in milliseconds since 1970.
    AtTime(i64),
}

/// Partitions by topic name.
pub(crate) type ByPartition<T> = BTreeMap<(String, Partition), T>;

/// The id of the cluster, or `None` if it could not be learned in time.
pub(crate) fn cluster_id<C: ConsumerContext>(consumer: &BaseConsumer<C>, timeout: Duration) -> Option<String> {
    let client = consumer.client().native_ptr();
    // SAFETY: the client is alive; the string is ours, is copied, then freed by the library's own function.
    unsafe {
        let text = rd::rd_kafka_clusterid(client, timeout_ms(timeout));
        if text.is_null() {
            return None;
        }
        let id = owned_text(text);
        rd::rd_kafka_mem_free(client, text.cast());
        Some(id)
    }
}

/// The committed offsets of the group. Waits for pending transactions, since the consumer reads committed data only.
pub(crate) fn committed_offsets<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    partitions: &[(&str, Partition)],
    timeout: Duration,
) -> Result<ByPartition<Result<Option<StoredOffset>, KafkaFault>>, KafkaFault> {
    let mut list = TopicPartitionList::with_capacity(partitions.len());
    for (topic, partition) in partitions {
        list.add_partition(topic, partition.0);
    }
    let list = consumer
        .committed_offsets(list, timeout)
        .map_err(|error| KafkaFault::from_client("reading committed offsets", &error))?;
    // SAFETY: the list is alive until the end of this function. The safe accessor of metadata panics on bytes that are not
    // UTF-8, and anyone may have written them.
    Ok(unsafe { elements(list.ptr()) }
        .iter()
        .map(|element| {
            // SAFETY: an element of a live list.
            let (key, code) = unsafe { described(element) };
            let stored = if code == RDKafkaErrorCode::NoError {
                Ok(Offset::from_kafka(element.offset).map(|offset| StoredOffset {
                    offset,
                    // SAFETY: the element owns `metadata_size` bytes, if any.
                    metadata: unsafe { owned_bytes(element.metadata.cast(), element.metadata_size) },
                }))
            } else {
                Err(KafkaFault::new(format!("reading the committed offset of {} [{}]", key.0, key.1), code))
            };
            (key, stored)
        })
        .collect())
}

/// How far the application has read each partition: above every record that it was given, and above what of a fetch is no
/// record for a reader of committed data. `None` since a seek until the first of either. Asks nobody.
pub(crate) fn positions<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    list: &TopicPartitionList,
) -> Result<ByPartition<Option<Offset>>, KafkaFault> {
    // SAFETY: client and list are alive; the call writes into the list's elements only.
    let code = unsafe { rd::rd_kafka_position(consumer.client().native_ptr(), list.ptr()) };
    let code = RDKafkaErrorCode::from(code);
    if code != RDKafkaErrorCode::NoError {
        return Err(KafkaFault::new("reading positions", code));
    }
    // SAFETY: the list is alive until the end of this function.
    Ok(unsafe { elements(list.ptr()) }
        .iter()
        .map(|element| {
            // SAFETY: an element of a live list.
            let (key, _) = unsafe { described(element) };
            (key, Offset::from_kafka(element.offset))
        })
        .collect())
}

/// What the cluster knows of each topic.
pub(crate) fn topic_identities<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    topics: &[&str],
    timeout: Duration,
) -> Result<BTreeMap<String, TopicIdentity>, KafkaFault> {
    let reply = describe_topics(consumer, topics, false, timeout, "reading topic ids")?;
    described_topics(&reply)
        .iter()
        .map(|topic| {
            // SAFETY: an element of the array above; id and error may be null, which the accessors take.
            let (name, id, code, text) = unsafe {
                let error = rd::rd_kafka_TopicDescription_error(*topic);
                (
                    owned_text(rd::rd_kafka_TopicDescription_name(*topic)),
                    topic_id(rd::rd_kafka_TopicDescription_topic_id(*topic)),
                    RDKafkaErrorCode::from(rd::rd_kafka_error_code(error)),
                    owned_text(rd::rd_kafka_error_string(error)),
                )
            };
            let identity = match (code, id) {
                (RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopicId, _) => {
                    TopicIdentity::Unknown
                }
                (RDKafkaErrorCode::NoError, None) => TopicIdentity::WithoutId,
                (RDKafkaErrorCode::NoError, Some(id)) => TopicIdentity::Id(id),
                _ => {
                    return Err(KafkaFault { doing: format!("reading the id of topic {name}"), code, text });
                }
            };
            Ok((name, identity))
        })
        .collect()
}

/// Those of the topics that our user may describe and not read. A broker that does not say so allows it.
pub(crate) fn unreadable_topics<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    topics: &[&str],
    timeout: Duration,
) -> Result<BTreeSet<String>, KafkaFault> {
    let reply = describe_topics(consumer, topics, true, timeout, "asking which topics may be read")?;
    let unreadable = described_topics(&reply).iter().filter_map(|topic| {
        // SAFETY: an element of the array above; the operations are part of it, `count` of them.
        let (name, operations) = unsafe {
            let mut count = 0;
            let first = rd::rd_kafka_TopicDescription_authorized_operations(*topic, &raw mut count);
            (owned_text(rd::rd_kafka_TopicDescription_name(*topic)), array(first, count))
        };
        let may_read =
            operations.is_empty() || operations.contains(&rd::rd_kafka_AclOperation_t::RD_KAFKA_ACL_OPERATION_READ);
        (!may_read).then_some(name)
    });
    Ok(unreadable.collect())
}

/// Asks for what the cluster knows of each topic, and whether for what our user may do with it.
fn describe_topics<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    topics: &[&str],
    with_operations: bool,
    timeout: Duration,
    doing: &str,
) -> Result<Reply, KafkaFault> {
    let names: Vec<CString> =
        topics.iter().map(|topic| CString::new(*topic).expect("topic names of Kafka hold no NUL")).collect();
    let mut pointers: Vec<*const c_char> = names.iter().map(|name| name.as_ptr()).collect();
    let client = consumer.client().native_ptr();
    let request = Request::new(client, rd::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS, timeout);
    // SAFETY: the client is alive, the names during the first call, which copies them; the collection is ours and is
    // destroyed once, after the request has copied it. The error that options of another request would give is ours and
    // destroyed once.
    unsafe {
        let refused = rd::rd_kafka_AdminOptions_set_include_authorized_operations(
            request.options.as_ptr(),
            with_operations.into(),
        );
        if !refused.is_null() {
            let fault = KafkaFault::new(doing, rd::rd_kafka_error_code(refused).into());
            rd::rd_kafka_error_destroy(refused);
            return Err(fault);
        }
        let collection = rd::rd_kafka_TopicCollection_of_topic_names(pointers.as_mut_ptr(), pointers.len());
        rd::rd_kafka_DescribeTopics(client, collection, request.options.as_ptr(), request.queue.as_ptr());
        rd::rd_kafka_TopicCollection_destroy(collection);
    }
    request.wait(doing)
}

/// The topics of a reply to `describe_topics`.
fn described_topics(reply: &Reply) -> &[*const rd::rd_kafka_TopicDescription_t] {
    // SAFETY: the result and all that hangs on it belong to `reply`, which outlives them here; `count` is the length of the
    // array that is returned.
    unsafe {
        let result = rd::rd_kafka_event_DescribeTopics_result(reply.0.as_ptr());
        let mut count = 0;
        let first = rd::rd_kafka_DescribeTopics_result_topics(result, &raw mut count);
        array(first, count)
    }
}

/// The wanted offset of each log. `None` where there is none: no record is as young as the time asked for.
pub(crate) fn offsets_of_log<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    partitions: &[(&str, Partition)],
    wanted: WantedOffset,
    timeout: Duration,
) -> Result<ByPartition<Result<Option<Offset>, KafkaFault>>, KafkaFault> {
    if partitions.is_empty() {
        // The library answers an empty request with an error.
        return Ok(BTreeMap::new());
    }
    let doing = "reading the offsets of a log";
    let (spec, isolation) = match wanted {
        WantedOffset::Earliest => (NativeOffset::Beginning, READ_UNCOMMITTED),
        WantedOffset::HighWatermark => (NativeOffset::End, READ_UNCOMMITTED),
        WantedOffset::LastStable => (NativeOffset::End, READ_COMMITTED),
        // The protocol carries the time in the place of the offset.
        WantedOffset::AtTime(time_ms) => (NativeOffset::Offset(time_ms.max(0)), READ_UNCOMMITTED),
    };
    let mut list = TopicPartitionList::with_capacity(partitions.len());
    for (topic, partition) in partitions {
        list.add_partition(topic, partition.0)
            .set_offset(spec)
            .map_err(|error| KafkaFault::from_client(doing, &error))?;
    }
    let client = consumer.client().native_ptr();
    let request = Request::new(client, rd::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_LISTOFFSETS, timeout);
    // SAFETY: list, client, options and queue are alive during the calls; the request copies the list. The error that a
    // wrong isolation level would give is ours and destroyed once.
    unsafe {
        let refused = rd::rd_kafka_AdminOptions_set_isolation_level(request.options.as_ptr(), isolation);
        if !refused.is_null() {
            let fault = KafkaFault::new(doing, rd::rd_kafka_error_code(refused).into());
            rd::rd_kafka_error_destroy(refused);
            return Err(fault);
        }
        rd::rd_kafka_ListOffsets(client, list.ptr(), request.options.as_ptr(), request.queue.as_ptr());
    }
    let reply = request.wait(doing)?;
    // SAFETY: as in `topic_identities`.
    let infos = unsafe {
        let result = rd::rd_kafka_event_ListOffsets_result(reply.0.as_ptr());
        let mut count = 0;
        let first = rd::rd_kafka_ListOffsets_result_infos(result, &raw mut count);
        array(first, count)
    };
    Ok(infos
        .iter()
        .map(|info| {
            // SAFETY: an element of the array above; its partition is part of it.
            let (key, code, offset) = unsafe {
                let element = &*rd::rd_kafka_ListOffsetsResultInfo_topic_partition(*info);
                let (key, code) = described(element);
                (key, code, element.offset)
            };
            let offset = if code == RDKafkaErrorCode::NoError {
                Ok(Offset::from_kafka(offset))
            } else {
                Err(KafkaFault::new(format!("reading the offsets of {} [{}]", key.0, key.1), code))
            };
            (key, offset)
        })
        .collect())
}

const READ_UNCOMMITTED: rd::rd_kafka_IsolationLevel_t =
    rd::rd_kafka_IsolationLevel_t::RD_KAFKA_ISOLATION_LEVEL_READ_UNCOMMITTED;
const READ_COMMITTED: rd::rd_kafka_IsolationLevel_t =
    rd::rd_kafka_IsolationLevel_t::RD_KAFKA_ISOLATION_LEVEL_READ_COMMITTED;

/// Options and reply queue of one request.
struct Request {
    options: NonNull<rd::rd_kafka_AdminOptions_t>,
    queue: NonNull<rd::rd_kafka_queue_t>,
    timeout: Duration,
}

/// A reply, which owns everything read from it.
struct Reply(NonNull<rd::rd_kafka_event_t>);

impl Request {
    fn new(client: *mut rd::rd_kafka_t, kind: rd::rd_kafka_admin_op_t, timeout: Duration) -> Self {
        // SAFETY: the callers pass the pointer of a consumer that they borrow for longer than this value lives. Options and
        // queue are ours and destroyed in `drop`.
        let (options, queue) = unsafe { (rd::rd_kafka_AdminOptions_new(client, kind), rd::rd_kafka_queue_new(client)) };
        let options = NonNull::new(options).expect("the library knows this kind of request");
        let queue = NonNull::new(queue).expect("the library aborts when memory runs out");
        // SAFETY: the options are alive; without a buffer for its text the call writes none. It fails only above an hour.
        unsafe {
            rd::rd_kafka_AdminOptions_set_request_timeout(
                options.as_ptr(),
                timeout_ms(timeout).min(3_600_000),
                ptr::null_mut(),
                0,
            );
        }
        Self { options, queue, timeout }
    }

    fn wait(&self, doing: &str) -> Result<Reply, KafkaFault> {
        // The request ends by its own timeout; the grace is for the reply to be handed over.
        let patience = timeout_ms(self.timeout + Duration::from_secs(1));
        // SAFETY: the queue is alive; the event is ours and destroyed by `Reply`.
        let event = unsafe { rd::rd_kafka_queue_poll(self.queue.as_ptr(), patience) };
        let Some(event) = NonNull::new(event) else {
            return Err(KafkaFault::new(doing, RDKafkaErrorCode::OperationTimedOut));
        };
        let reply = Reply(event);
        // SAFETY: the event is alive; the text belongs to it or is static.
        let (code, text) = unsafe {
            (
                RDKafkaErrorCode::from(rd::rd_kafka_event_error(event.as_ptr())),
                owned_text(rd::rd_kafka_event_error_string(event.as_ptr())),
            )
        };
        if code == RDKafkaErrorCode::NoError {
            return Ok(reply);
        }
        Err(KafkaFault { doing: doing.to_owned(), code, text })
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        // SAFETY: both were made by `new` and are destroyed once. A late reply finds its queue closed and is dropped.
        unsafe {
            rd::rd_kafka_AdminOptions_destroy(self.options.as_ptr());
            rd::rd_kafka_queue_destroy(self.queue.as_ptr());
        }
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        // SAFETY: given to us by the poll that made this value, destroyed once.
        unsafe { rd::rd_kafka_event_destroy(self.0.as_ptr()) };
    }
}

/// # Safety
/// `list` points to a list that lives and does not change for `'l`.
unsafe fn elements<'l>(list: *const rd::rd_kafka_topic_partition_list_t) -> &'l [rd::rd_kafka_topic_partition_t] {
    // SAFETY: by the caller; the library keeps `cnt` elements behind `elems`.
    unsafe {
        let count = usize::try_from((*list).cnt).unwrap_or(0);
        array((*list).elems, count)
    }
}

/// # Safety
/// `first` is null or the first of `count` values that live and do not change for `'a`.
unsafe fn array<'a, T>(first: *const T, count: usize) -> &'a [T] {
    if first.is_null() || count == 0 {
        return &[];
    }
    // SAFETY: by the caller.
    unsafe { slice::from_raw_parts(first, count) }
}

/// Topic, partition and error of an element.
///
/// # Safety
/// The element belongs to a live list or result.
unsafe fn described(element: &rd::rd_kafka_topic_partition_t) -> ((String, Partition), RDKafkaErrorCode) {
    // SAFETY: by the caller, the name is a string.
    let topic = unsafe { owned_text(element.topic) };
    // SAFETY: a field of a live value, read as the number it is.
    let code = unsafe { (&raw const element.err).cast::<i32>().read() };
    ((topic, Partition(element.partition)), known_code(code))
}

/// # Safety
/// `id` is null or points to a live id.
unsafe fn topic_id(id: *const rd::rd_kafka_Uuid_t) -> Option<TopicId> {
    if id.is_null() {
        return None;
    }
    // SAFETY: by the caller.
    let (high, low) =
        unsafe { (rd::rd_kafka_Uuid_most_significant_bits(id), rd::rd_kafka_Uuid_least_significant_bits(id)) };
    let value = (u128::from(high.cast_unsigned()) << 64) | u128::from(low.cast_unsigned());
    (value != 0).then_some(TopicId(value))
}

/// # Safety
/// `start` is null or the first of `len` live bytes.
unsafe fn owned_bytes(start: *const u8, len: usize) -> Vec<u8> {
    // SAFETY: by the caller.
    unsafe { array(start, len) }.to_vec()
}
