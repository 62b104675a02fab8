//! Blocks: one insert each, made of the batches of one or more partitions of a lane.

pub mod fill;
