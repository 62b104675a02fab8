//! Blocks: one insert each, made of the batches of one or more partitions of a lane.

pub mod fill;
//! One block to one request body.

mod compress;
mod native;

#[cfg(test)]
pub(crate) mod test_reader;

pub use native::{BodyColumn, NativeBlock, NativeEncoder};
