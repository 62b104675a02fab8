-- The target of the examples: a reading of a device, from JSON, Avro, Protobuf or CSV alike.
CREATE TABLE iot.readings
(
    event_id UInt64,
    ts DateTime64(3),
    device String,
    site LowCardinality(String),
    kind LowCardinality(String),
    user_id UInt32,
    temperature Float64,
    humidity Float64,
    battery UInt8,
    sequence Int64,
    url String,
    message String,
    _topic LowCardinality(String),
    _partition Int32,
    _offset UInt64,
    INDEX offsets _offset TYPE minmax
)
ENGINE = MergeTree
ORDER BY (site, device, ts)
