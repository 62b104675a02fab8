-- The targets of config/changes.yaml: the newest row of each key wins, and one that says `is_deleted` hides it.
CREATE TABLE shop.customers
(
    id UInt64,
    name String,
    email Nullable(String),
    changed DateTime64(3),
    version UInt64,
    is_deleted UInt8,
    _topic LowCardinality(String),
    _partition Int32,
    _offset UInt64,
    INDEX offsets _offset TYPE minmax
)
ENGINE = ReplacingMergeTree(version, is_deleted)
ORDER BY id;

CREATE TABLE shop.settings
(
    name String,
    value String,
    version UInt64,
    is_deleted UInt8,
    _topic LowCardinality(String),
    _partition Int32,
    _offset UInt64,
    INDEX offsets _offset TYPE minmax
)
ENGINE = ReplacingMergeTree(version, is_deleted)
ORDER BY name
