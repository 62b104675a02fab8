-- Records that could not become rows, byte for byte. Never changed: what became of one is a row of dead_letter_events.
-- Columns that ClickHouse's own system.dead_letter_queue has too are named as there.
CREATE TABLE IF NOT EXISTS {database}.dead_letters
(
    cluster          LowCardinality(String),
    connector        LowCardinality(String),
    target           LowCardinality(String) COMMENT 'database.table that the row should have gone to',
    kafka_topic_name LowCardinality(String),
    kafka_partition  Int32,
    kafka_offset     UInt64,
    replay           UInt32,
    kafka_key        Nullable(String),
    kafka_timestamp  Nullable(DateTime64(3, 'UTC')),
    kafka_headers    Array(Tuple(name String, value Nullable(String))),
    raw_message      Nullable(String) COMMENT 'the value, exactly as it was; NULL for a tombstone',
    stage            Enum8('decode' = 1, 'convert' = 2, 'insert' = 3),
    error            String,
    error_code       LowCardinality(String) COMMENT 'a reason of ours, or the number that the server gave',
    error_field      String,
    schema_id        Nullable(UInt32),
    event_time       DateTime64(6, 'UTC') DEFAULT now64(6)
)
ENGINE = MergeTree
ORDER BY (cluster, connector, target, kafka_topic_name, replay, kafka_partition, kafka_offset)
COMMENT 'oncesink schema 1'
