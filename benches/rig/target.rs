//! The table of a load, and the configuration of the connector that fills it.

use crate::load::Load;

/// Creates `readings` in a database that exists.
pub(crate) fn table(database: &str, load: &Load) -> String {
    let columns = columns(load);
    format!(
        "CREATE TABLE {database}.readings ({columns}, _topic LowCardinality(String), _partition Int32, _offset UInt64, \
         _replay UInt32, INDEX offsets _offset TYPE minmax) ENGINE = MergeTree ORDER BY {}",
        load.order_by
    )
}

/// The Kafka table engine over the same columns, and the view that fills `readings` from it: one thread and one block
/// stream for each consumer, blocks as large as the connector's at most.
pub(crate) fn kafka_engine(database: &str, load: &Load, brokers: &str, topic: &str, consumers: usize) -> [String; 2] {
    let columns = columns(load);
    let names: Vec<&str> = load.columns.iter().map(|(name, _)| name.as_str()).collect();
    [
        format!(
            "CREATE TABLE {database}.source ({columns}) ENGINE = Kafka SETTINGS kafka_broker_list = '{brokers}', \
             kafka_topic_list = '{topic}', kafka_group_name = '{database}', kafka_format = 'JSONEachRow', \
             kafka_num_consumers = {consumers}, kafka_thread_per_consumer = {}, kafka_poll_max_batch_size = 65536, \
             kafka_max_block_size = 500000, kafka_flush_interval_ms = 1000, date_time_input_format = 'best_effort'",
            u8::from(consumers > 1)
        ),
        format!(
            "CREATE MATERIALIZED VIEW {database}.view TO {database}.readings AS SELECT {}, _topic, \
             toInt32(_partition) AS _partition, _offset, toUInt32(0) AS _replay FROM {database}.source",
            names.join(", ")
        ),
    ]
}

fn columns(load: &Load) -> String {
    let columns: Vec<String> = load.columns.iter().map(|(name, kind)| format!("{name} {kind}")).collect();
    columns.join(", ")
}

/// A connector of one topic.
pub(crate) struct Config<'a> {
    /// Its name, its group, and the database of its tables.
    pub(crate) database: &'a str,
    pub(crate) topic: &'a str,
    pub(crate) brokers: &'a str,
    pub(crate) clickhouse_url: &'a str,
    pub(crate) memory_max: &'a str,
    /// The inside of `batch`.
    pub(crate) batch: &'a str,
    /// Properties of the client library.
    pub(crate) properties: &'a str,
    /// The lines that say what its records are.
    pub(crate) format: &'a str,
    /// The line that names the registry, or none.
    pub(crate) registry: &'a str,
}

impl Config<'_> {
    /// The configuration file.
    pub(crate) fn text(&self) -> String {
        let Self { database, topic, brokers, clickhouse_url, memory_max, batch, properties, format, registry } = self;
        format!(
            "name: {database}\n\
             instance: bench-0\n\
             kafka: {{ brokers: \"{brokers}\", properties: {{ session.timeout.ms: 6000, heartbeat.interval.ms: 1000, {properties} }}, {registry} }}\n\
             clickhouse: {{ url: \"{clickhouse_url}\" }}\n\
             state_database: {database}\n\
             memory_max: {memory_max}\n\
             admin: {{ listen: \"127.0.0.1:0\" }}\n\
             topics:\n  \
               - topic: {topic}\n    \
                 table: {database}.readings\n    \
                 {format}\n    \
                 batch: {{ {batch} }}\n    \
                 coordinates: {{ topic: _topic, partition: _partition, offset: _offset, replay: _replay }}\n"
        )
    }
}
