-- Who may write. A row per claim; the greatest claim of a partition is the only one that the fence lets in.
-- Local on every server, never replicated: a claim that arrives later elsewhere would fence nobody there.
CREATE TABLE IF NOT EXISTS {database}.ownership
(
    cluster    LowCardinality(String) COMMENT 'Kafka cluster id',
    connector  LowCardinality(String) COMMENT 'name of the connector, which is its consumer group',
    target     LowCardinality(String) COMMENT 'database.table that the rows go to',
    topic      LowCardinality(String),
    partition  Int32,
    claim      UInt128 COMMENT 'rank in the upper 64 bits, random in the lower; never used twice',
    owner      String COMMENT 'the instance, for people',
    table_uuid UUID COMMENT 'the target when it was claimed',
    topic_id   Nullable(UUID) COMMENT 'Kafka''s identity of the topic',
    replay     UInt32,
    routes     Array(String) COMMENT 'other tables that rows of the topic may be in',
    claimed_at DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = MergeTree
ORDER BY (cluster, connector, target, topic, partition, claim)
SETTINGS fsync_after_insert = 1
COMMENT 'oncesink schema 2'
