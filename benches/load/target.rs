//! The table of a load, and the configuration of the connector that fills it.

use std::fmt::Write as _;

use crate::load::Load;

/// Creates `readings` in a database that exists.
pub(crate) fn table(database: &str, load: Load) -> String {
    let mut columns = String::new();
    for (name, kind) in load.columns {
        write!(columns, "{name} {kind}, ").expect("writing to a string does not fail");
    }
    format!(
        "CREATE TABLE {database}.readings ({columns} _topic LowCardinality(String), _partition Int32, _offset UInt64, \
         _replay UInt32, INDEX offsets _offset TYPE minmax) ENGINE = MergeTree ORDER BY {}",
        load.order_by
    )
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
}

impl Config<'_> {
    /// The configuration file.
    pub(crate) fn text(&self) -> String {
        let Self { database, topic, brokers, clickhouse_url, memory_max, batch, properties } = self;
        format!(
            "name: {database}\n\
             instance: bench-0\n\
             kafka: {{ brokers: \"{brokers}\", properties: {{ session.timeout.ms: 6000, heartbeat.interval.ms: 1000, {properties} }} }}\n\
             clickhouse: {{ url: \"{clickhouse_url}\" }}\n\
             state_database: {database}\n\
             memory_max: {memory_max}\n\
             admin: {{ listen: \"127.0.0.1:0\" }}\n\
             topics:\n  \
               - topic: {topic}\n    \
                 table: {database}.readings\n    \
                 batch: {{ {batch} }}\n    \
                 coordinates: {{ topic: _topic, partition: _partition, offset: _offset, replay: _replay }}\n"
        )
    }
}
