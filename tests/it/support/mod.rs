//! What the tests on real parts share: a scenario with its own names, the connector as a process, the oracle.

pub(crate) mod admin;
pub(crate) mod connector;
pub(crate) mod kafka;
pub(crate) mod oracle;
pub(crate) mod scenario;
pub(crate) mod secured;

use std::io::Write as _;
use std::time::{Duration, Instant};

/// A bound on every wait of the tests: reached only when something is broken.
pub(crate) const WAIT_MAX: Duration = Duration::from_secs(180);

const PROBE_EVERY: Duration = Duration::from_millis(50);

/// Waits until `condition` gives something; fails with `what` and the last word of `condition` when it never does.
#[expect(clippy::disallowed_methods, reason = "the tests have no clock of their own")]
pub(crate) fn wait_for<T>(what: &str, mut condition: impl FnMut() -> Result<T, String>) -> T {
    let began = Instant::now();
    loop {
        match condition() {
            Ok(value) => return value,
            Err(why) if began.elapsed() > WAIT_MAX => panic!("waited {WAIT_MAX:?} for {what}: {why}"),
            Err(_) => std::thread::sleep(PROBE_EVERY),
        }
    }
}

/// Whether the servers may be killed; says what is left out where they may not.
pub(crate) fn servers_are_ours(what: &str) -> bool {
    let ours = devstack::Stack::shared().unwrap().can_kill();
    if !ours {
        // Not by `eprintln!`: of a test that passes that is not shown.
        let mut shown = std::io::stderr();
        writeln!(shown, "left out on servers of the user's own: a test that {what}").unwrap();
    }
    ours
}
