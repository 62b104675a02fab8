//! The connector as its users run it: a process. It ends with the process that started it, however that ends.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};

/// Reads a pipe that only we hold open; at its end, kills.
const WATCHDOG: &str = r#"read -r nothing; kill -s KILL -- "$1""#;

/// A running `oncesink run`. Killed when dropped.
pub(crate) struct Connector {
    child: Child,
    watchdog: Child,
    log: PathBuf,
}

impl Connector {
    /// Starts the binary with a configuration; its log goes to a file.
    pub(crate) fn start(binary: &Path, config: &Path, environment: &[(&str, String)], log: PathBuf) -> Result<Self> {
        let output = File::create(&log).with_context(|| format!("make {}", log.display()))?;
        // A process group of its own, so that Ctrl-C reaches us alone and we stop it in order.
        let child = Command::new(binary)
            .args(["--log-format", "human", "run", "--config"])
            .arg(config)
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .process_group(0)
            .spawn()
            .with_context(|| format!("start {}", binary.display()))?;
        let watchdog = Command::new("sh")
            .args(["-c", WATCHDOG, "watchdog", &child.id().to_string()])
            .stdin(Stdio::piped())
            .process_group(0)
            .spawn()
            .context("start the watchdog shell")?;
        Ok(Self { child, watchdog, log })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&mut self) -> Result<Option<ExitStatus>> {
        self.child.try_wait().context("look at the connector")
    }

    /// Sends SIGTERM and waits for the end.
    pub(crate) fn terminate(&mut self) -> Result<ExitStatus> {
        let sent = Command::new("kill").args(["-s", "TERM", &self.pid().to_string()]).status();
        anyhow::ensure!(sent.context("run kill")?.success(), "the connector could not be sent SIGTERM");
        loop {
            if let Some(status) = self.ended()? {
                return Ok(status);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// The last lines that it logged.
    pub(crate) fn log_tail(&self) -> String {
        const LINES: usize = 25;
        let Ok(log) = File::open(&self.log) else { return String::new() };
        let lines: Vec<String> = BufReader::new(log).lines().map_while(Result::ok).collect();
        lines[lines.len().saturating_sub(LINES)..].join("\n")
    }
}

impl Drop for Connector {
    fn drop(&mut self) {
        // The watchdog goes first: after our wait the process id may belong to somebody else. Each of these fails only
        // when the process is gone already.
        self.watchdog.kill().ok();
        self.watchdog.wait().ok();
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
