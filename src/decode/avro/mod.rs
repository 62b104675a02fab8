//! Avro records to columns, by a plan that is compiled once for each schema.
//!
//! Takes the schema that records were written with, and where configured the one that they are to be read as; gives a plan
//! that decodes straight into columns. All of Avro 1.12's binary encoding, its logical types, schema resolution
//! ([`resolve`]) and single-object encoding. Which column takes what: [`value`].
//!
//! Strict where readers differ:
//!
//! - Nothing may follow the record, and a list's or a map's block is as long as the writer says.
//! - A number longer than its type, a boolean that is neither 0 nor 1, a branch or symbol that the schema lacks, a length
//!   beyond the record and text that is not UTF-8 make a dead letter. What no column takes is checked alike, but its text
//!   is not, and blocks whose length is given are stepped over unseen.
//! - Records, lists and maps nest at most [`cursor::DEPTH_MAX`] deep, and items without bytes (a list of nulls) are at most
//!   [`shape::BYTELESS_MAX`] in a record: a few bytes could claim any number of them.
//!
//! Differs from `apache_avro`, the oracle of the tests: aliases of fields and names are followed; a reader's float is not
//! read from a double, nor an int from a long, nor a fixed from a string, which the specification has no promotions for;
//! names of records, enums and fixed must match; of a reader's union the writer's own type is taken before one that it is
//! promoted to; decimals of different scales do not match; a UUID on bytes is bytes; a record that ends too early is an
//! error everywhere, also where the oracle sees null.

mod compile;
mod cursor;
mod defaults;
mod json;
mod natural;
mod nested;
mod resolve;
mod schema;
mod shape;
mod value;
mod walk;

#[cfg(test)]
mod tests;

use std::sync::Arc;

pub(crate) use self::compile::AvroPlan;
use self::cursor::Cursor;
pub use self::schema::AvroSchema;
use self::schema::{Defaults, Parsed};
use self::value::Values;
use super::error::{ErrorCode, Fault};
use super::json::Walk;
use super::record::Rest;
use super::target::Target;
use crate::columns::{Columns, RowPlan};

/// What stands in front of a record in single-object encoding; the schema's fingerprint follows.
const SINGLE_OBJECT_MAGIC: [u8; 2] = [0xC3, 0x01];
/// Largest buffer that is kept from one record to the next.
const SCRATCH_BYTES_KEPT: usize = 1 << 20;

/// How Avro is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AvroOptions {
    /// Which schema a record has.
    pub framing: AvroFraming,
    /// The schema that records are read as, by Avro's schema resolution, where that is not the one that they were written
    /// with.
    pub reader: Option<AvroSchema>,
}

/// Which schema a record has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AvroFraming {
    /// All records have this one; nothing stands in front of them.
    Bare(AvroSchema),
    /// The one of these whose fingerprint stands in front of the record, as the specification's single-object encoding has
    /// it.
    SingleObject(Vec<AvroSchema>),
}

/// Decodes Avro into the open row of a table.
#[derive(Debug)]
pub(super) struct AvroDecoder {
    plans: Plans,
    scratch: AvroScratch,
}

#[derive(Debug)]
enum Plans {
    Bare(AvroPlan),
    /// By their fingerprints, in order.
    SingleObject(Vec<AvroPlan>),
}

/// What decoding keeps from one record to the next.
#[derive(Debug, Default)]
pub(crate) struct AvroScratch(Vec<u8>, Option<Box<Walk>>);

impl AvroPlan {
    /// Fills the open row from the value that begins at byte `at` of the record and ends with it; columns that it has nothing
    /// for are left.
    pub(crate) fn decode(
        &self,
        record: &[u8],
        at: usize,
        scratch: &mut AvroScratch,
        rest: &mut Rest,
        columns: &mut Columns,
    ) -> Result<(), Fault> {
        let mut avro = Cursor::new(record, at);
        let mut values = Values { shapes: &self.shapes, scratch: &mut scratch.0, walk: &mut scratch.1 };
        let decoded = values.place(&mut avro, &self.root, Some(rest), columns);
        if scratch.0.capacity() > SCRATCH_BYTES_KEPT {
            scratch.0 = Vec::new();
        }
        match decoded {
            Ok(()) if avro.at_end() => Ok(()),
            Ok(()) => {
                columns.leave_field();
                Err(Fault { code: ErrorCode::TrailingData, at: avro.at })
            }
            Err(Fault { code: ErrorCode::InvalidAvro, .. }) if record.is_empty() => {
                columns.leave_field();
                Err(Fault { code: ErrorCode::Empty, at: 0 })
            }
            Err(fault) => Err(fault),
        }
    }
}

impl AvroSchema {
    /// Whether it can be used, and read as `reader` where there is one, whatever the columns are.
    ///
    /// # Errors
    /// Says, for people, why not.
    pub fn check(&self, reader: Option<&Self>) -> Result<(), String> {
        Parsed::new(self, Defaults::Dropped)?.named()?.fingerprint()?;
        if reader.is_some() {
            let no_columns = RowPlan::new(Vec::new(), Vec::new(), "UTC").map_err(|error| error.to_string())?;
            AvroPlan::compile(self, reader, &no_columns, &Target::default())?;
        }
        Ok(())
    }
}

impl AvroDecoder {
    /// A decoder for columns made from this plan. `root` says what becomes of a record.
    ///
    /// # Errors
    /// Says, for people, why a schema cannot be used.
    pub(super) fn new(row: &Arc<RowPlan>, root: &Target, options: &AvroOptions) -> Result<Self, String> {
        let compile = |schema| AvroPlan::compile(schema, options.reader.as_ref(), row, root);
        let plans = match &options.framing {
            AvroFraming::Bare(schema) => Plans::Bare(compile(schema)?),
            AvroFraming::SingleObject(schemas) => {
                let mut plans = schemas.iter().map(compile).collect::<Result<Vec<_>, _>>()?;
                plans.sort_by_key(|plan| plan.fingerprint);
                // What they mean may still differ: fingerprints leave logical types out.
                if let Some(twin) = plans.windows(2).find(|twins| twins[0].fingerprint == twins[1].fingerprint) {
                    return Err(format!("two schemas have the fingerprint {:016x}", twin[0].fingerprint));
                }
                Plans::SingleObject(plans)
            }
        };
        Ok(Self { plans, scratch: AvroScratch::default() })
    }

    /// Fills the open row; columns that the record has no field for are left.
    pub(super) fn decode(&mut self, record: &[u8], rest: &mut Rest, columns: &mut Columns) -> Result<(), Fault> {
        let (plan, at) = match &self.plans {
            Plans::Bare(plan) => (plan, 0),
            Plans::SingleObject(plans) => {
                let (fingerprint, at) = single_object(record)?;
                let found = plans.binary_search_by_key(&fingerprint, |plan| plan.fingerprint);
                let unknown = Fault { code: ErrorCode::UnknownSchema, at: SINGLE_OBJECT_MAGIC.len() };
                (&plans[found.map_err(|_| unknown)?], at)
            }
        };
        plan.decode(record, at, &mut self.scratch, rest, columns)
    }
}

/// The fingerprint of a record's schema, and where its value begins.
fn single_object(record: &[u8]) -> Result<(u64, usize), Fault> {
    let fault = |code| Fault { code, at: 0 };
    if record.is_empty() {
        return Err(fault(ErrorCode::Empty));
    }
    let framed = record.strip_prefix(&SINGLE_OBJECT_MAGIC).and_then(<[u8]>::first_chunk);
    let fingerprint = framed.ok_or_else(|| fault(ErrorCode::InvalidFraming))?;
    Ok((u64::from_le_bytes(*fingerprint), SINGLE_OBJECT_MAGIC.len() + fingerprint.len()))
}
