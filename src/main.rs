//! The `oncesink` command: arguments, then an exit code; everything else is in the library.

use std::process::ExitCode;

use clap::Parser;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    ExitCode::from(oncesink::cli::main(oncesink::cli::Cli::parse()))
}
