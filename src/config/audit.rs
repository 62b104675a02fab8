//! The section `audit`: how often the running connector looks at what it has written.

use std::time::Duration;

use super::error::Problem;
use super::keys;
use super::section::{Found, Section};
use super::units::{Limits, parse_duration, show_duration};

const INTERVAL_DEFAULT: Duration = Duration::from_secs(60);
const INTERVAL: Limits<Duration> = Limits {
    least: Duration::from_secs(1),
    greatest: Duration::from_secs(86_400),
    below: "every audit counts rows of each partition on the server",
    above: "a difference would be noticed too late",
};

/// `audit.interval`, where it is not off; the outer `None` where it was bad.
pub(super) fn read_audit(top: &Section<'_>) -> Option<Option<Duration>> {
    let section = match top.section("audit", keys::AUDIT) {
        Found::Absent => return Some(Some(INTERVAL_DEFAULT)),
        Found::Bad => return None,
        Found::Value(section) => section.value,
    };
    let interval = section.value("interval", "a duration, or `off`", parse_interval);
    Some(interval.or(Some(INTERVAL_DEFAULT), &section.location)?.value)
}

fn parse_interval(text: &str) -> Result<Option<Duration>, Problem> {
    if text == "off" {
        return Ok(None);
    }
    let or_off = |problem: Problem| Problem { fix: format!("{}, or `off`", problem.fix), ..problem };
    let interval = parse_duration(text).and_then(|interval| INTERVAL.check(interval, show_duration));
    interval.map(Some).map_err(or_off)
}
