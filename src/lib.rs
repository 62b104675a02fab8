//! Exactly-once Kafka to ClickHouse sink connector.
