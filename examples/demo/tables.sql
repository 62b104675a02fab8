-- The tables of `make demo`. The last four columns say which record a row came from, and with the skip index a takeover
-- looks for offsets without reading the whole table.
CREATE TABLE {database}.weather
(
    origin     LowCardinality(String),
    time_hour  DateTime('UTC'),
    temp       Nullable(Float64) COMMENT 'degrees Fahrenheit',
    dewp       Nullable(Float64),
    humid      Nullable(Float64),
    wind_dir   Nullable(UInt16) COMMENT 'degrees',
    wind_speed Nullable(Float64),
    precip     Decimal(6, 2) COMMENT 'inches',
    pressure   Nullable(Decimal(6, 1)) COMMENT 'millibars',
    visib      Float64,
    _topic     LowCardinality(String),
    _partition Int32,
    _offset    UInt64,
    _replay    UInt32,
    INDEX offsets _offset TYPE minmax
)
ENGINE = MergeTree
ORDER BY (origin, time_hour);

CREATE TABLE {database}.flights
(
    time_hour  DateTime('UTC') COMMENT 'scheduled hour of departure',
    carrier    LowCardinality(String),
    flight     UInt16,
    tailnum    LowCardinality(Nullable(String)),
    origin     LowCardinality(String),
    dest       LowCardinality(String),
    dep_delay  Nullable(Int16) COMMENT 'minutes; null: cancelled',
    arr_delay  Nullable(Int16),
    air_time   Nullable(UInt16),
    distance   UInt16 COMMENT 'miles',
    _topic     LowCardinality(String),
    _partition Int32,
    _offset    UInt64,
    _replay    UInt32,
    INDEX offsets _offset TYPE minmax
)
ENGINE = MergeTree
ORDER BY (carrier, time_hour);
