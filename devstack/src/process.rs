//! A child process that cannot outlive us.
//!
//! Takes a command, a log file and (for throw-away folders) the folder to remove. Gives signals, exit and log tail.
//! Promises that the child's whole process group is killed when the [`Service`] is dropped, and also when this process
//! dies without dropping anything (panic, Ctrl-C, kill -9): a small shell, in a group of its own, reads a pipe that
//! only we hold open and kills the group at end of file. The child itself starts behind a gate that opens once that
//! watchdog runs, so that there is no moment in which it could be orphaned.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

/// How often a condition is looked at while waiting for it.
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// Waits for a line on standard input, then becomes the command; without that line it ends.
const GATE: &str = r#"read -r go || exit 1; exec "$@" </dev/null"#;

/// Waits for the end of its standard input, then kills the process group `$1` and removes the folder `$2`, if given.
const WATCHDOG: &str = r#"read -r nothing; kill -s KILL -- "-$1"; test -z "$2" || rm -rf -- "$2""#;

/// Calls `look` until it gives a value; after about `limit` it fails with the last reason.
pub(crate) fn wait_until<T>(what: &str, limit: Duration, mut look: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    // Counted, not timed: a machine that stands still for a while gets its full number of looks.
    let looks = limit.as_millis() / POLL_INTERVAL.as_millis();
    for _ in 0..looks {
        if let Some(value) = look()? {
            return Ok(value);
        }
        thread::sleep(POLL_INTERVAL);
    }
    bail!("{what}: not seen within {} s", limit.as_secs())
}

/// What to start.
#[derive(Debug)]
pub(crate) struct ServiceCommand {
    /// Names the service in messages.
    pub(crate) name: String,
    /// The program and its arguments.
    pub(crate) argv: Vec<OsString>,
    /// Standard output and error are appended here.
    pub(crate) log: PathBuf,
    /// Removed by the watchdog when this process dies without cleaning up.
    pub(crate) throw_away: Option<PathBuf>,
}

/// A running child process with its watchdog.
#[derive(Debug)]
pub(crate) struct Service {
    name: String,
    log: PathBuf,
    group: Pid,
    child: Child,
    watchdog: Child,
}

impl Service {
    /// Starts the command in a process group of its own.
    pub(crate) fn start(command: &ServiceCommand) -> Result<Self> {
        let log = open_log(&command.log)?;
        let mut child = Command::new("sh")
            .args(["-c", GATE, &command.name])
            .args(&command.argv)
            .stdin(Stdio::piped())
            .stdout(log.try_clone().context("duplicate the log file handle")?)
            .stderr(log)
            .process_group(0)
            .spawn()
            .with_context(|| format!("start {}", command.name))?;
        let mut gate = child.stdin.take().expect("standard input was piped");
        let pid = i32::try_from(child.id()).expect("process ids are positive i32 on unix");
        let folder = command.throw_away.as_deref().unwrap_or(Path::new(""));
        let watchdog = Command::new("sh")
            .args(["-c", WATCHDOG, "devstack-watchdog", &pid.to_string()])
            .arg(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .context("start the watchdog shell")?;
        // From here on dropping the service cleans up.
        let service =
            Self { name: command.name.clone(), log: command.log.clone(), group: Pid::from_raw(pid), child, watchdog };
        gate.write_all(b"go\n").with_context(|| format!("start {}", service.name))?;
        Ok(service)
    }

    /// Waits until `ready` says so; fails with the tail of the log when the process ends first or time runs out.
    pub(crate) fn wait_ready(&mut self, limit: Duration, mut ready: impl FnMut() -> bool) -> Result<()> {
        let what = format!("{} ready", self.name);
        let child = &mut self.child;
        let waited = wait_until(&what, limit, || {
            if let Some(status) = child.try_wait().context("look at the child process")? {
                bail!("ended while starting ({status})");
            }
            Ok(ready().then_some(()))
        });
        waited
            .with_context(|| format!("start {}; last lines of {}:\n{}", self.name, self.log.display(), tail(&self.log)))
    }

    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        killpg(self.group, signal).with_context(|| format!("send {signal} to {}", self.name))
    }

    /// Asks the process to end, and kills it when it has not after `patience`.
    pub(crate) fn stop(mut self, patience: Duration) -> Result<()> {
        // A stopped process acts on nothing but SIGKILL and SIGCONT.
        self.signal(Signal::SIGTERM)?;
        self.signal(Signal::SIGCONT)?;
        let child = &mut self.child;
        let ended: Result<ExitStatus> =
            wait_until("end", patience, || child.try_wait().context("look at the child process"));
        drop(self);
        match ended {
            Ok(_status) => Ok(()),
            Err(error) => Err(error.context("did not stop when asked, so it was killed")),
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // The watchdog goes first: after our wait the process id may belong to somebody else. None of these can be
        // acted upon here, and each fails only when the process is gone already.
        self.watchdog.kill().ok();
        self.watchdog.wait().ok();
        killpg(self.group, Signal::SIGKILL).ok();
        self.child.wait().ok();
    }
}

/// The last lines of a log.
pub(crate) fn tail(log: &Path) -> String {
    const LINES: usize = 25;
    let text = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}

/// Opens a log for appending, so that a restart keeps what was said before.
pub(crate) fn open_log(path: &Path) -> Result<File> {
    OpenOptions::new().create(true).append(true).open(path).with_context(|| format!("open log {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sleeping(folder: &Path) -> Service {
        let argv = ["sleep", "1000"].map(OsString::from).to_vec();
        let command = ServiceCommand {
            name: "sleep".into(),
            argv,
            log: folder.join("log"),
            throw_away: Some(folder.join("data")),
        };
        Service::start(&command).unwrap()
    }

    /// What happens when this process dies: the watchdog's pipe closes.
    #[test]
    fn watchdog_kills_the_group_and_removes_the_folder_when_its_pipe_closes() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("data")).unwrap();
        let mut service = sleeping(folder.path());
        drop(service.watchdog.stdin.take());
        let killed = wait_until("kill", Duration::from_secs(10), || Ok(service.child.try_wait()?)).unwrap();
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&killed), Some(9));
        service.watchdog.wait().unwrap();
        assert!(!folder.path().join("data").exists());
    }

    #[test]
    fn dropped_service_is_gone_even_when_it_was_paused() {
        let folder = tempfile::tempdir().unwrap();
        let service = sleeping(folder.path());
        service.signal(Signal::SIGSTOP).unwrap();
        let group = service.group;
        drop(service);
        assert_eq!(killpg(group, None), Err(nix::errno::Errno::ESRCH));
    }

    #[test]
    fn service_that_ends_while_starting_is_reported_with_its_log() {
        let folder = tempfile::tempdir().unwrap();
        let argv = ["sh", "-c", "echo out of luck; exit 3"].map(OsString::from).to_vec();
        let log = folder.path().join("log");
        let command = ServiceCommand { name: "unlucky".into(), argv, log, throw_away: None };
        let mut service = Service::start(&command).unwrap();
        let error = service.wait_ready(Duration::from_secs(10), || false).unwrap_err();
        let text = format!("{error:#}");
        assert!(
            text.contains("start unlucky") && text.contains("out of luck") && text.contains("exit status: 3"),
            "{text}"
        );
    }
}
