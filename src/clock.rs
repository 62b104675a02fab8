//! The only place that reads time. Everything else is told the time, so that a test decides what time it is.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The monotonic clock: for waits and durations. It does not go on while the machine sleeps on every system,
/// and it says nothing of the date.
#[expect(clippy::disallowed_methods, reason = "this module is where time is read")]
pub fn now() -> Instant {
    Instant::now()
}

/// The wall clock in milliseconds since 1970: to be shown, stored, and compared with Kafka's timestamps.
/// It can jump, so no wait and no decision of the protocol depends on it.
#[expect(clippy::disallowed_methods, reason = "this module is where time is read")]
pub fn unix_ms() -> i64 {
    since_epoch_ms(SystemTime::now())
}

fn since_epoch_ms(time: SystemTime) -> i64 {
    let ms = |distance: Duration| i64::try_from(distance.as_millis()).unwrap_or(i64::MAX);
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => ms(after),
        // A clock set before 1970 is wrong, but it is no reason to fall over.
        Err(before) => -ms(before.duration()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wall_time_is_milliseconds_since_1970() {
        let check = |time: SystemTime, expected: i64| assert_eq!(since_epoch_ms(time), expected);
        check(UNIX_EPOCH, 0);
        check(UNIX_EPOCH + Duration::from_micros(1_999), 1);
        check(UNIX_EPOCH - Duration::from_secs(1), -1_000);
    }
}
