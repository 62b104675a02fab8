//! The command line: arguments in, an exit code out.

pub mod check;
mod connect;
mod output;
pub mod reset;
pub mod run;
pub mod status;
pub mod verify;

pub use output::Output;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::config::Settings;
use crate::logging::{self, LogFormat};

/// Everything is as it should be.
pub const EXIT_OK: u8 = 0;
/// `verify` found differences, `check` found something to mend.
pub const EXIT_FINDINGS: u8 = 1;
/// The configuration is wrong, or a table or server does not fit it.
pub const EXIT_CONFIG: u8 = 2;
/// Another process runs under the same `instance`.
pub const EXIT_DUPLICATE_INSTANCE: u8 = 3;
/// Stopped before everything under way was finished; the next start takes over, nothing is lost or doubled.
pub const EXIT_STOPPED_LATE: u8 = 4;

/// Exactly-once Kafka to ClickHouse sink connector
#[derive(Debug, Parser)]
#[command(name = "oncesink", version, about, long_about = None, after_help = EXAMPLES)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// How log lines look
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Auto)]
    pub log_format: LogFormat,
    /// Least important level to log: error, warn, info, debug [default: info]
    #[arg(long, global = true, env = logging::LEVEL_VARIABLE)]
    pub log_level: Option<String>,
}

const EXAMPLES: &str = "\
Examples:
  oncesink check --config oncesink.yaml              all errors of the configuration at once
  oncesink check --config oncesink.yaml --connect    and what the servers say to it
  oncesink run --config oncesink.yaml                the connector; stops with SIGTERM or Ctrl-C
  oncesink status --config oncesink.yaml             what the running connector is doing
  oncesink verify --config oncesink.yaml             is every consumed record stored exactly once?

Exit codes: 0 fine, 1 findings, 2 configuration, 3 the same instance runs twice, 4 stopped late.";

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the connector until SIGTERM or Ctrl-C
    Run(RunArguments),
    /// Find what is wrong with the configuration, or with the servers it names
    Check(check::CheckArguments),
    /// Show what the running connector is doing
    Status(status::StatusArguments),
    /// Compare topics and tables: is every consumed record stored exactly once?
    Verify(verify::VerifyArguments),
    /// Consume a topic from its beginning under a new replay number
    Reset(reset::ResetArguments),
}

/// Where the configuration is.
#[derive(Debug, Args)]
pub struct ConfigArgument {
    /// The configuration file
    #[arg(long, short, env = "ONCESINK_CONFIG", default_value = "oncesink.yaml")]
    pub config: PathBuf,
}

/// Arguments of `run`.
#[derive(Debug, Args)]
pub struct RunArguments {
    /// The configuration.
    #[command(flatten)]
    pub config: ConfigArgument,
    /// Take tables over from another connector that has claimed them
    #[arg(long)]
    pub adopt: bool,
}

impl ConfigArgument {
    /// Reads the configuration; what is wrong goes to stderr, all of it.
    ///
    /// # Errors
    /// The exit code.
    pub fn load(&self) -> Result<Settings, u8> {
        crate::config::load(&self.config, &|name| std::env::var(name).ok()).map_err(|errors| {
            eprintln!("{errors}");
            EXIT_CONFIG
        })
    }
}

/// Does what the arguments say and gives the exit code.
pub fn main(cli: Cli) -> u8 {
    if let Err(error) = logging::install(cli.log_format, cli.log_level.as_deref()) {
        eprintln!("{error}");
        return EXIT_CONFIG;
    }
    match cli.command {
        Command::Run(arguments) => run::run(&arguments),
        Command::Check(arguments) => check::check(&arguments),
        Command::Status(arguments) => status::status(&arguments),
        Command::Verify(arguments) => verify::verify(&arguments),
        Command::Reset(arguments) => reset::reset(&arguments),
    }
}
