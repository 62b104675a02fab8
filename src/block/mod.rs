//! Blocks: one insert each, made of the batches of one or more partitions of a lane.

pub(crate) mod compress;
pub mod fill;
pub mod lane_fill;
pub mod native;
#[cfg(test)]
pub(crate) mod test_reader;
