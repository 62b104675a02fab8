//! The command line of the local stack: `devstack up | down | status | run -- CMD`.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Args, Parser, Subcommand};
use devstack::{EngineVersion, Stack, StackOptions};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// A local Kafka broker and ClickHouse engine on free ports of 127.0.0.1.
#[derive(Debug, Parser)]
#[command(name = "devstack")]
struct Cli {
    #[command(subcommand)]
    command: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Start in the background and print where everything is.
    Up {
        #[command(flatten)]
        start: StartArgs,
        #[command(flatten)]
        place: PlaceArgs,
    },
    /// Stop what `up` started; data and logs stay.
    Down {
        #[command(flatten)]
        place: PlaceArgs,
    },
    /// Say whether it runs (exit code 3 when not) and where everything is.
    Status {
        #[command(flatten)]
        place: PlaceArgs,
    },
    /// Start, run a command with KAFKA_BROKERS and CLICKHOUSE_URL set, stop, and exit as the command did.
    Run {
        #[command(flatten)]
        start: StartArgs,
        /// Keep data and logs here; they are thrown away when absent.
        #[arg(long)]
        folder: Option<PathBuf>,
        /// The command and its arguments.
        #[arg(last = true, required = true)]
        command: Vec<String>,
    },
    /// The process behind `up`.
    #[command(hide = true)]
    Serve {
        #[command(flatten)]
        start: StartArgs,
        #[command(flatten)]
        place: PlaceArgs,
    },
}

#[derive(Debug, Args)]
struct StartArgs {
    /// Start a schema registry as well (SCHEMA_REGISTRY_URL).
    #[arg(long)]
    registry: bool,
    /// Release of the engine: 26.9 or 25.8.
    #[arg(long, default_value = "26.9")]
    engine: EngineVersion,
    /// HTTPS for the engine and a SASL_SSL listener for the broker, under a private CA (DEVSTACK_CA_FILE).
    #[arg(long)]
    tls: bool,
}

impl StartArgs {
    fn options(&self, folder: Option<PathBuf>) -> StackOptions {
        StackOptions { folder, engine: self.engine, registry: self.registry, tls: self.tls }
    }

    fn arguments(&self) -> Vec<String> {
        let mut arguments = vec!["--engine".to_owned(), self.engine.to_string()];
        arguments.extend(self.registry.then(|| "--registry".to_owned()));
        arguments.extend(self.tls.then(|| "--tls".to_owned()));
        arguments
    }
}

#[derive(Debug, Args)]
struct PlaceArgs {
    /// Folder of data, logs and state [default: .devstack in the root of the repository].
    #[arg(long)]
    folder: Option<PathBuf>,
}

impl PlaceArgs {
    fn folder(&self) -> Result<PathBuf> {
        if let Some(folder) = &self.folder {
            return Ok(folder.clone());
        }
        let here = std::env::current_dir().context("find the current folder")?;
        let root = here.ancestors().find(|folder| folder.join(".git").exists()).unwrap_or(&here);
        Ok(root.join(".devstack"))
    }
}

/// `status` when nothing runs.
const NOT_RUNNING: u8 = 3;
const POLL_INTERVAL: Duration = Duration::from_millis(20);

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Action::Up { start, place } => up(&start, &place),
        Action::Down { place } => down(&place),
        Action::Status { place } => status(&place),
        Action::Run { start, folder, command } => run(&start.options(folder), &command),
        Action::Serve { start, place } => serve(&start, &place),
    };
    done.unwrap_or_else(|error| {
        // Nothing is left to tell it to when standard error is gone.
        writeln!(io::stderr(), "devstack: {error:#}").ok();
        ExitCode::FAILURE
    })
}

/// The files of a stack that runs in the background.
struct Background {
    folder: PathBuf,
}

impl Background {
    fn new(place: &PlaceArgs) -> Result<Self> {
        let folder = place.folder()?;
        std::fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
        Ok(Self { folder })
    }

    /// Its process id in the first line, then one variable a line; there once everything is ready.
    fn state(&self) -> PathBuf {
        self.folder.join("state")
    }

    fn log(&self) -> PathBuf {
        self.folder.join("devstack.log")
    }

    /// Takes the lock that the background process holds for as long as it lives; None while it does.
    fn lock(&self) -> Result<Option<File>> {
        let path = self.folder.join("lock");
        let file = File::create(&path).with_context(|| format!("create {}", path.display()))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(std::fs::TryLockError::WouldBlock) => Ok(None),
            Err(std::fs::TryLockError::Error(error)) => Err(error).with_context(|| format!("lock {}", path.display())),
        }
    }

    /// The state, where one is running and ready.
    fn running(&self) -> Result<Option<(Pid, String)>> {
        if self.lock()?.is_some() {
            return Ok(None);
        }
        let Ok(text) = std::fs::read_to_string(self.state()) else {
            return Ok(None);
        };
        let (pid, variables) = text.split_once('\n').context("read the state file")?;
        Ok(Some((Pid::from_raw(pid.parse().context("read the process id in the state file")?), variables.to_owned())))
    }
}

fn up(start: &StartArgs, place: &PlaceArgs) -> Result<ExitCode> {
    let background = Background::new(place)?;
    if let Some((_, variables)) = background.running()? {
        return say(&variables);
    }
    let log = File::create(background.log()).with_context(|| format!("create {}", background.log().display()))?;
    let program = std::env::current_exe().context("find this program")?;
    let mut child = Command::new(program)
        .arg("serve")
        .args(start.arguments())
        .arg("--folder")
        .arg(&background.folder)
        .stdin(Stdio::null())
        .stdout(log.try_clone().context("duplicate the log file handle")?)
        .stderr(log)
        .process_group(0)
        .spawn()
        .context("start the background process")?;
    loop {
        if let Some((_, variables)) = background.running()? {
            return say(&variables);
        }
        if child.try_wait().context("look at the background process")?.is_some() {
            let log = std::fs::read_to_string(background.log()).unwrap_or_default();
            bail!("could not start:\n{}", log.trim_end());
        }
        thread::sleep(POLL_INTERVAL);
    }
}

fn serve(start: &StartArgs, place: &PlaceArgs) -> Result<ExitCode> {
    let mut signals = ending_signals()?;
    let background = Background::new(place)?;
    let _lock = background.lock()?.context("another devstack runs in this folder")?;
    remove_if_there(&background.state())?;
    let stack = Stack::start(&start.options(Some(background.folder.clone())))?;
    let mut state = format!("{}\n", std::process::id());
    state.push_str(&lines(&stack));
    let half_made = background.folder.join("state.new");
    std::fs::write(&half_made, state).with_context(|| format!("write {}", half_made.display()))?;
    std::fs::rename(&half_made, background.state()).context("put the state file in place")?;
    signals.forever().next();
    remove_if_there(&background.state())?;
    stack.stop()?;
    Ok(ExitCode::SUCCESS)
}

fn down(place: &PlaceArgs) -> Result<ExitCode> {
    let background = Background::new(place)?;
    let Some((pid, _)) = background.running()? else {
        return say("not running\n");
    };
    kill(pid, Signal::SIGTERM).context("stop the background process")?;
    while background.lock()?.is_none() {
        thread::sleep(POLL_INTERVAL);
    }
    say("stopped\n")
}

fn status(place: &PlaceArgs) -> Result<ExitCode> {
    match Background::new(place)?.running()? {
        Some((_, variables)) => say(&format!("running\n{variables}")),
        None => say("not running\n").map(|_| ExitCode::from(NOT_RUNNING)),
    }
}

fn run(options: &StackOptions, command: &[String]) -> Result<ExitCode> {
    let mut signals = ending_signals()?;
    let child_pid: Arc<Mutex<Option<Pid>>> = Arc::default();
    let child_of_signals = Arc::clone(&child_pid);
    thread::spawn(move || pass_on(&mut signals, &child_of_signals));
    let stack = Stack::start(options)?;
    let (program, arguments) = command.split_first().context("no command given")?;
    let mut child = Command::new(program)
        .args(arguments)
        .envs(stack.environment())
        .spawn()
        .with_context(|| format!("run {program}"))?;
    let pid = i32::try_from(child.id()).context("read the command's process id")?;
    *child_pid.lock().unwrap_or_else(PoisonError::into_inner) = Some(Pid::from_raw(pid));
    let ended = child.wait().context("wait for the command")?;
    stack.stop()?;
    let code = ended.code().unwrap_or_else(|| 128 + ended.signal().unwrap_or_default());
    Ok(ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX)))
}

/// Hands signals to the command, so that it ends and we clean up after it; before it runs, ends this process, and with
/// it all that was started.
fn pass_on(signals: &mut Signals, child: &Mutex<Option<Pid>>) {
    for signal in signals.forever() {
        match *child.lock().unwrap_or_else(PoisonError::into_inner) {
            // The command may have ended just now; then there is nobody to tell.
            Some(pid) => drop(Signal::try_from(signal).and_then(|signal| kill(pid, signal)).ok()),
            None => std::process::exit(128 + signal),
        }
    }
}

/// Catches the signals that ask to end.
fn ending_signals() -> Result<Signals> {
    Signals::new([SIGINT, SIGTERM, SIGHUP]).context("catch signals")
}

fn lines(stack: &Stack) -> String {
    stack.environment().iter().map(|(name, value)| format!("{name}={value}\n")).collect()
}

fn say(text: &str) -> Result<ExitCode> {
    io::stdout().write_all(text.as_bytes()).context("write to standard output")?;
    Ok(ExitCode::SUCCESS)
}

fn remove_if_there(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("remove {}", path.display()))
        }
        _ => Ok(()),
    }
}
