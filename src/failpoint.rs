//! Named failpoints before and after the steps of the driver.
//!
//! Compiled in only with the feature `failpoints`, which a release never has. `ONCESINK_FAILPOINT` names one and what
//! happens there: `after_insert_target=kill` ends the process as `kill -9` does, `before_insert_target=stop` freezes it
//! as SIGSTOP does, `before_look=delay` holds the step up for a moment, `after_claim=error` makes the step fail (before
//! it: it is not done; after it: its reply is lost). `after_commit=kill:3` waits for the third time.

/// The step has come to this point. `Err`: it is to fail here, for this reason.
#[cfg(not(feature = "failpoints"))]
#[inline(always)]
pub fn reach(_name: &'static str) -> Result<(), String> {
    Ok(())
}

/// The step has come to this point. `Err`: it is to fail here, for this reason.
#[cfg(feature = "failpoints")]
pub fn reach(name: &'static str) -> Result<(), String> {
    armed::reach(name)
}

/// The step has come to this point, where it cannot fail.
#[inline(always)]
pub fn hit(name: &'static str) {
    assert!(reach(name).is_ok(), "no error can be planted at {name}");
}

/// A step between two failpoints. An error before it: it is not done; after it: its reply is lost.
pub async fn between<T>(
    before: &'static str,
    step: impl Future<Output = Result<T, String>>,
    after: &'static str,
) -> Result<T, String> {
    reach(before)?;
    let done = step.await;
    reach(after)?;
    done
}

#[cfg(feature = "failpoints")]
mod armed {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Duration;

    /// Long enough for everything else to go on meanwhile.
    const DELAY: Duration = Duration::from_millis(700);
    /// Until a signal has reached all threads.
    const SIGNAL_DELAY: Duration = Duration::from_millis(200);

    #[derive(Debug, Clone, Copy)]
    enum Action {
        Signal(&'static str),
        Delay,
        Error,
    }

    struct Armed {
        name: String,
        action: Action,
        left: AtomicU32,
    }

    fn armed() -> Option<&'static Armed> {
        static ARMED: OnceLock<Option<Armed>> = OnceLock::new();
        ARMED.get_or_init(|| std::env::var("ONCESINK_FAILPOINT").ok().map(|text| parse(&text))).as_ref()
    }

    fn parse(text: &str) -> Armed {
        let (name, action) = text.split_once('=').expect("ONCESINK_FAILPOINT is name=action");
        let (action, times) = action.split_once(':').unwrap_or((action, "1"));
        let action = match action {
            "kill" => Action::Signal("KILL"),
            "stop" => Action::Signal("STOP"),
            "delay" => Action::Delay,
            "error" => Action::Error,
            other => panic!("unknown failpoint action {other}"),
        };
        let left = AtomicU32::new(times.parse().expect("a failpoint counts in whole numbers"));
        Armed { name: name.to_owned(), action, left }
    }

    pub(super) fn reach(name: &'static str) -> Result<(), String> {
        let Some(armed) = armed().filter(|armed| armed.name == name) else { return Ok(()) };
        if armed.left.fetch_sub(1, Ordering::SeqCst) != 1 {
            return Ok(());
        }
        tracing::warn!(failpoint = name, action = ?armed.action, "failpoint reached");
        match armed.action {
            Action::Signal(signal) => {
                let pid = std::process::id().to_string();
                let status = std::process::Command::new("kill").args(["-s", signal, &pid]).status();
                status.expect("the kill command of the system can be run");
                // The signal is sent to the process: this thread may run on for a moment.
                std::thread::sleep(SIGNAL_DELAY);
            }
            Action::Delay => std::thread::sleep(DELAY),
            Action::Error => return Err(format!("failpoint {name}")),
        }
        Ok(())
    }
}
