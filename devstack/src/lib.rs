//! Local broker, ClickHouse engine and registry for demo, tests and benches.
