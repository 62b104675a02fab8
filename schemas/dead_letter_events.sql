-- What became of dead letters. One without a row here is open.
CREATE TABLE IF NOT EXISTS {database}.dead_letter_events
(
    cluster          LowCardinality(String),
    connector        LowCardinality(String),
    target           LowCardinality(String),
    kafka_topic_name LowCardinality(String),
    kafka_partition  Int32,
    kafka_offset     UInt64,
    replay           UInt32,
    status           Enum8('replayed' = 1, 'discarded' = 2),
    author           String,
    note             String,
    event_time       DateTime64(6, 'UTC') DEFAULT now64(6)
)
ENGINE = MergeTree
ORDER BY (cluster, connector, target, kafka_topic_name, replay, kafka_partition, kafka_offset)
COMMENT 'oncesink schema 1'
