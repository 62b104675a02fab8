-- Run once by the ClickHouse container, when its volume is empty. The connector makes its own tables itself.
CREATE DATABASE IF NOT EXISTS iot;
CREATE TABLE IF NOT EXISTS iot.readings
(
    sensor      LowCardinality(String),
    at          DateTime64(3, 'UTC'),
    temperature Float64,
    _topic      LowCardinality(String),
    _partition  Int32,
    _offset     UInt64,
    _replay     UInt32
)
ENGINE = MergeTree
ORDER BY (sensor, at);
