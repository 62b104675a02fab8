//! A service that can be killed, paused and started again in place.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::signal::Signal;

use crate::process::{Service, ServiceCommand};

/// How a service is started and recognised as ready, and its process while there is one.
pub(crate) struct Slot {
    command: ServiceCommand,
    ready: Box<dyn Fn() -> bool + Send + Sync>,
    start_limit: Duration,
    stop_limit: Duration,
    running: Mutex<Option<Service>>,
}

impl Slot {
    /// Starts the service and waits until `ready` says so.
    pub(crate) fn start(
        command: ServiceCommand,
        start_limit: Duration,
        stop_limit: Duration,
        ready: impl Fn() -> bool + Send + Sync + 'static,
    ) -> Result<Self> {
        let slot = Self { command, ready: Box::new(ready), start_limit, stop_limit, running: Mutex::new(None) };
        slot.restart()?;
        Ok(slot)
    }

    fn running(&self) -> MutexGuard<'_, Option<Service>> {
        // A test that panicked while holding the lock leaves a process that can still be killed.
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// SIGKILL to the whole process group; returns when it is gone.
    pub(crate) fn kill9(&self) {
        drop(self.running().take());
    }

    /// SIGTERM, then SIGKILL after a while.
    pub(crate) fn stop(&self) -> Result<()> {
        match self.running().take() {
            Some(service) => service.stop(self.stop_limit),
            None => Ok(()),
        }
    }

    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        let running = self.running();
        running.as_ref().with_context(|| format!("{} is not running", self.command.name))?.signal(signal)
    }

    /// Kills the process if there is one, and starts it again on the same folder and port.
    pub(crate) fn restart(&self) -> Result<()> {
        let mut running = self.running();
        drop(running.take());
        let service = running.insert(Service::start(&self.command)?);
        service.wait_ready(self.start_limit, &self.ready)
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slot").field("command", &self.command).field("running", &self.running).finish_non_exhaustive()
    }
}

/// Gives a service that holds a `slot: Slot` the controls that tests use.
macro_rules! controls {
    ($service:ty) => {
        impl $service {
            /// Kills the process with SIGKILL and returns when it is gone. The folder stays.
            pub fn kill9(&self) {
                self.slot.kill9();
            }

            /// Asks the process to end and waits for it. The folder stays.
            ///
            /// # Errors
            /// When it did not end in time and had to be killed.
            pub fn stop(&self) -> anyhow::Result<()> {
                self.slot.stop()
            }

            /// Freezes the process (SIGSTOP).
            ///
            /// # Errors
            /// When it is not running.
            pub fn pause(&self) -> anyhow::Result<()> {
                self.slot.signal(nix::sys::signal::Signal::SIGSTOP)
            }

            /// Wakes a frozen process (SIGCONT).
            ///
            /// # Errors
            /// When it is not running.
            pub fn resume(&self) -> anyhow::Result<()> {
                self.slot.signal(nix::sys::signal::Signal::SIGCONT)
            }

            /// Starts the process again on the same data and the same port, killing it first where it still runs, and
            /// waits until it answers.
            ///
            /// # Errors
            /// When it does not start; the log's tail is included.
            pub fn restart(&self) -> anyhow::Result<()> {
                self.slot.restart()
            }

            /// Where data and logs are.
            #[must_use]
            pub fn folder(&self) -> &std::path::Path {
                self.folder.path()
            }
        }
    };
}
pub(crate) use controls;
