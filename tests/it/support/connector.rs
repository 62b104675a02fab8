//! The connector as its users run it: a process with a configuration file.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};

use super::wait_for;

/// A running `oncesink run`. Killed when dropped.
pub(crate) struct Connector {
    child: Child,
    log: PathBuf,
    /// The name of its instance.
    pub(crate) instance: String,
}

impl Connector {
    /// Starts `oncesink run` with this configuration, in `folder`. `failpoint` as in `src/failpoint.rs`.
    pub(crate) fn start(folder: &std::path::Path, instance: &str, config: &str, failpoint: Option<&str>) -> Self {
        let failpoint: Vec<_> = failpoint.map(|failpoint| ("ONCESINK_FAILPOINT", failpoint)).into_iter().collect();
        Self::start_with_environment(folder, instance, config, &failpoint)
    }

    /// The same with these environment variables.
    pub(crate) fn start_with_environment(
        folder: &std::path::Path,
        instance: &str,
        config: &str,
        environment: &[(&str, &str)],
    ) -> Self {
        let count = fs::read_dir(folder).unwrap().count();
        let config_file = folder.join(format!("{instance}-{count}.yaml"));
        fs::write(&config_file, config).unwrap();
        let log = config_file.with_extension("log");
        let output = File::create(&log).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_oncesink"));
        command.args(["--log-format", "human", "run", "--config"]).arg(&config_file);
        command.stdin(Stdio::null()).stdout(output.try_clone().unwrap()).stderr(output);
        command.env_remove("ONCESINK_FAILPOINT");
        command.envs(environment.iter().copied());
        let child = command.spawn().unwrap();
        Self { child, log, instance: instance.to_owned() }
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Everything it has logged.
    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap()).into_owned()
    }

    /// Waits until it has logged `text`.
    pub(crate) fn wait_for_log(&mut self, text: &str) {
        wait_for(&format!("{text:?} in the log of {}", self.instance), || {
            let log = self.log();
            if log.contains(text) {
                return Ok(());
            }
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("{} ended with {status} before it logged {text:?}:\n{log}", self.instance);
            }
            Err(tail(&log))
        });
    }

    /// Sends a signal by its name, as `kill -s` takes it.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.pid().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success(), "kill -s {name}");
    }

    /// Waits until the kernel says that the process is frozen.
    pub(crate) fn wait_until_frozen(&self) {
        let stat = format!("/proc/{}/stat", self.pid());
        wait_for(&format!("{} to be frozen", self.instance), || {
            let text = fs::read_to_string(&stat).map_err(|error| error.to_string())?;
            let state = text.rsplit(") ").next().unwrap_or_default().chars().next();
            if state == Some('T') { Ok(()) } else { Err(format!("its state is {state:?}\n{}", tail(&self.log()))) }
        });
    }

    /// `kill -9`, and waits for the end.
    pub(crate) fn kill9(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits for the process to end; gives its exit code, `None` if a signal ended it.
    pub(crate) fn wait_for_exit(&mut self) -> Option<i32> {
        let status = wait_for(&format!("{} to end", self.instance), || {
            self.child.try_wait().unwrap().ok_or_else(|| tail(&self.log()))
        });
        status.code()
    }

    /// SIGTERM, and the exit code.
    pub(crate) fn terminate(&mut self) -> Option<i32> {
        self.signal("TERM");
        self.wait_for_exit()
    }

    /// Whether it still runs.
    pub(crate) fn is_running(&mut self) -> bool {
        self.ended().is_none()
    }
}

impl Drop for Connector {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- log of {} ---\n{}", self.instance, tail(&self.log()));
        }
        if let Err(error) = self.child.kill() {
            eprintln!("killing {}: {error}", self.instance);
        }
        if let Err(error) = self.child.wait() {
            eprintln!("waiting for {}: {error}", self.instance);
        }
    }
}

fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(60)..].join("\n")
}

/// Runs another command of the binary to its end.
pub(crate) fn oncesink(arguments: &[&str]) -> (i32, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_oncesink")).args(arguments).output().unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output.status.code().unwrap_or(-1), text)
}
