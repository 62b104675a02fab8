//! What is fuzzed: functions that take any bytes, fail by panicking, and are the same for libFuzzer (`bin/`) and for the
//! short run of every `make test` (`tests/fuzz_smoke.rs`).

pub(crate) mod avro;
pub(crate) mod config;
pub(crate) mod csv;
pub(crate) mod detector;
pub(crate) mod json;
pub(crate) mod metadata;
pub(crate) mod protobuf;
pub(crate) mod reply;
pub(crate) mod row;
pub(crate) mod rows;
