//! Named failpoints before and after the steps of the driver.
//!
//! Compiled in only with the feature `failpoints`, which a release never has. `ONCESINK_FAILPOINT` names one:
//! `after_insert_target=kill` ends the process there as `kill -9` does, `before_insert_target=stop` freezes it as
//! SIGSTOP does; `after_commit=kill:3` waits for the third time.

/// The step has come to this point.
#[cfg(not(feature = "failpoints"))]
#[inline(always)]
pub fn hit(_name: &'static str) {}

/// The step has come to this point.
#[cfg(feature = "failpoints")]
pub fn hit(name: &'static str) {
    armed::hit(name);
}

#[cfg(feature = "failpoints")]
mod armed {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU32, Ordering};

    struct Armed {
        name: String,
        signal: &'static str,
        left: AtomicU32,
    }

    fn armed() -> Option<&'static Armed> {
        static ARMED: OnceLock<Option<Armed>> = OnceLock::new();
        ARMED.get_or_init(|| std::env::var("ONCESINK_FAILPOINT").ok().map(|text| parse(&text))).as_ref()
    }

    fn parse(text: &str) -> Armed {
        let (name, action) = text.split_once('=').expect("ONCESINK_FAILPOINT is name=action");
        let (action, times) = action.split_once(':').unwrap_or((action, "1"));
        let signal = match action {
            "kill" => "KILL",
            "stop" => "STOP",
            other => panic!("unknown failpoint action {other}"),
        };
        let left = AtomicU32::new(times.parse().expect("a failpoint counts in whole numbers"));
        Armed { name: name.to_owned(), signal, left }
    }

    pub(super) fn hit(name: &'static str) {
        let Some(armed) = armed().filter(|armed| armed.name == name) else { return };
        if armed.left.fetch_sub(1, Ordering::SeqCst) != 1 {
            return;
        }
        tracing::warn!(failpoint = name, signal = armed.signal, "failpoint reached");
        let pid = std::process::id().to_string();
        let status = std::process::Command::new("kill").args(["-s", armed.signal, &pid]).status();
        status.expect("the kill command of the system can be run");
    }
}
