//! Blocks: one insert each, made of the batches of one or more partitions of a lane.

mod compress;
pub mod fill;
pub mod native;
//! Blocks: one insert each, made of the batches of one or more partitions of a lane, encoded to one request body.

mod compress;
pub mod fill;
mod native;

#[cfg(test)]
pub(crate) mod test_reader;
