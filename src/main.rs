//! The `oncesink` command: arguments, then an exit code; everything else is in the library.

use std::process::ExitCode;

use clap::Parser;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Columns grow by doubling, and with huge pages the half that is never written counts as used: a third more resident
    // memory was measured, and no less CPU time. An old kernel that cannot say so keeps what it does.
    #[cfg(target_os = "linux")]
    rustix::thread::disable_transparent_huge_pages(true).ok();
    ExitCode::from(oncesink::cli::main(oncesink::cli::Cli::parse()))
}
