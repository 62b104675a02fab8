//! One block to one request body.

mod compress;
mod native;

#[cfg(test)]
pub(crate) mod test_reader;

pub use native::{BodyColumn, NativeBlock, NativeEncoder};
