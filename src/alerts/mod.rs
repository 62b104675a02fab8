//! Detectors of anomalies, and the alerts that they fire; and the filter that says which rows are written.
//!
//! Takes the detectors of a topic's configuration and the columns of its table, compiles their expressions once, and
//! then looks at every row as it is appended. Gives alerts, apart by partition, which the caller stores in the alerts
//! table and publishes in the transaction that commits their records.
//!
//! Promises: an alert's id depends on nothing but its record and its detector, so that a record that is read again fires
//! the same alert; a block holds a bounded number of alerts per detector and counts the rest; a mistake in an
//! expression is found when it is compiled, never by a row. Never does I/O and never reads the time.

mod alert;
mod buffer;
mod column;
mod compile;
mod detector;
mod expression;
mod filter;
mod id;
mod number;
mod observed;
mod operators;
mod program;
mod row;

#[cfg(test)]
mod interpreter_test;

pub use alert::{Alert, AlertRow};
pub use buffer::{AlertBuffer, AlertCoordinates, AlertSet};
pub use detector::Detectors;
pub use filter::Filter;
pub use id::AlertId;
