//! The ClickHouse side: how a server is reached, what its errors mean, what it is told and asked.
//!
//! Statements that read or define go through [`Session`]; inserts are built and judged in [`crate::insert`].

mod client;
pub mod codes;
mod column_ttl;
mod ddl;
mod engine;
mod error;
pub(crate) mod expression;
mod names;
mod pins;
mod preflight;
mod session;
pub(crate) mod sql;
mod structure;
mod table;
mod units;

pub use client::{Server, ServerSettings};
pub use ddl::{ensure_state_tables, missing_state_tables, statements as state_table_statements};
pub use engine::Verdict;
pub use error::ControlError;
pub(crate) use error::chain;
pub use names::{Cell, Coordinates, LaneTables, QueryPrefix, StateTables, TableName};
pub use pins::Pins;
pub use preflight::{Finding, Severity, alter_grant, columns_can_be_added, preflight};
pub use session::Session;
pub use structure::{Structure, structures};
pub use table::{Column, ConstantDefault, DefaultKind, SkipIndex, Table};
pub(crate) use units::{COMPUTED, Units};
