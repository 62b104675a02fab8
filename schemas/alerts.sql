-- Alerts and their acknowledgement. An alert may be inserted again and changes nothing; an acknowledgement is a row
-- with the same connector and alert_id that leaves the other columns at their defaults: max() keeps what was said.
-- Read with GROUP BY connector, alert_id and max() of each column, or with FINAL.
CREATE TABLE IF NOT EXISTS {database}.alerts
(
    connector  LowCardinality(String),
    alert_id   String COMMENT 'the same for the same record and detector, whoever fires it',
    detector   SimpleAggregateFunction(max, String),
    severity   SimpleAggregateFunction(max, String),
    cluster    SimpleAggregateFunction(max, String),
    topic      SimpleAggregateFunction(max, String),
    partition  SimpleAggregateFunction(max, Int32),
    offset     SimpleAggregateFunction(max, UInt64),
    replay     SimpleAggregateFunction(max, UInt32),
    event_time SimpleAggregateFunction(max, DateTime64(3, 'UTC')),
    key        SimpleAggregateFunction(max, String),
    value      SimpleAggregateFunction(max, String) COMMENT 'what was observed',
    threshold  SimpleAggregateFunction(max, String) COMMENT 'what it was compared with, where there is one',
    message    SimpleAggregateFunction(max, String),
    suppressed SimpleAggregateFunction(max, UInt64) COMMENT 'of a summary: how many alerts it stands for',
    last_offset SimpleAggregateFunction(max, UInt64) COMMENT 'of a summary: the last record among them',
    acked      SimpleAggregateFunction(max, UInt8),
    acked_at   SimpleAggregateFunction(max, DateTime64(3, 'UTC')),
    acked_by   SimpleAggregateFunction(max, String)
)
ENGINE = AggregatingMergeTree
ORDER BY (connector, alert_id)
COMMENT 'oncesink schema 1'
