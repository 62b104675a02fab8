//! The exactly-once protocol, without any I/O.

pub mod facts;
