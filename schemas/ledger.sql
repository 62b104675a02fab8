-- What was written. A row per block and partition, proven against the target when it is inserted.
-- A checkpoint vouches for everything from its origin, so rows before it may expire.
CREATE TABLE IF NOT EXISTS {database}.ledger
(
    cluster          LowCardinality(String),
    connector        LowCardinality(String),
    target           LowCardinality(String),
    topic            LowCardinality(String),
    partition        Int32,
    topic_id         Nullable(UUID),
    replay           UInt32,
    start_offset     UInt64,
    end_offset       UInt64 COMMENT 'the offset behind the last one',
    origin           UInt64 COMMENT 'where consumption began or was moved to',
    checkpoint       Bool COMMENT 'vouches for everything from origin to end_offset',
    rows             UInt64 COMMENT 'rows of the target within the range, counted by the server',
    dead             UInt64 COMMENT 'dead letters within the range, counted by the server',
    skipped          UInt64 COMMENT 'records left out on purpose',
    gap_start        Nullable(UInt64) COMMENT 'offsets that Kafka no longer had',
    gap_end          Nullable(UInt64),
    floor            UInt64 COMMENT 'first offset whose alerts were not known to be committed',
    claim            UInt128,
    block            UInt64,
    damaged          Bool COMMENT 'the range had lost rows and is being repaired',
    views_unverified Bool COMMENT 'views behind the target may lack this range',
    server_version   LowCardinality(String),
    inserted_at      DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = MergeTree
ORDER BY (cluster, connector, target, topic, partition, claim, block)
TTL toDateTime(inserted_at) + toIntervalSecond({ledger_retention_s}) DELETE WHERE NOT checkpoint
COMMENT 'oncesink schema 1'
