//! The ClickHouse side: how a server is reached, what its errors mean, what it is told and asked.
//!
//! Statements that read or define go through [`Session`]; inserts are built and judged in [`crate::insert`].

mod client;
pub mod codes;
mod ddl;
mod error;
mod names;
mod pins;
mod session;
pub(crate) mod sql;
mod units;

pub use client::{Server, ServerSettings};
pub use ddl::{ensure_state_tables, statements as state_table_statements};
pub use error::ControlError;
pub(crate) use error::chain;
pub use names::{Cell, Coordinates, LaneTables, QueryPrefix, StateTables, TableName};
pub use pins::Pins;

pub use session::Session;

pub(crate) use units::Units;
