//! The `oncesink` command.
fn main() {}
