-- The first records of each reason that made a partition stop (`bad_share_max`): to look at, no more. They are neither rows
-- nor dead letters; what becomes of them is decided when the partition goes on. The same record is kept once.
CREATE TABLE IF NOT EXISTS {database}.halted_samples
(
    cluster          LowCardinality(String),
    connector        LowCardinality(String),
    target           LowCardinality(String) COMMENT 'database.table that the row should have gone to',
    kafka_topic_name LowCardinality(String),
    kafka_partition  Int32,
    kafka_offset     UInt64,
    replay           UInt32,
    kafka_key        Nullable(String) COMMENT 'its first 4096 bytes',
    raw_message      Nullable(String) COMMENT 'the first 4096 bytes of the value; NULL for a tombstone',
    raw_bytes        UInt64 COMMENT 'how many bytes the value has',
    stage            Enum8('decode' = 1, 'convert' = 2, 'insert' = 3),
    error            String,
    error_code       LowCardinality(String),
    error_field      String,
    halted_at        DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = ReplacingMergeTree(halted_at)
ORDER BY (cluster, connector, target, kafka_topic_name, replay, kafka_partition, kafka_offset)
TTL toDateTime(halted_at) + INTERVAL 30 DAY
COMMENT 'oncesink schema 1'
