//! What times mean that do not say it themselves: local time to UTC for texts without an offset, the unit of numbers.

use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone};

use super::source::TimeUnit;

/// Transitions fall on quarter hours, so one offset holds for a whole quarter hour of local time
/// when it holds at both of its ends.
const BUCKET_SECONDS: i64 = 900;

/// A time zone with the offset of the last local time kept, because neighbouring rows are
/// neighbours in time.
#[derive(Debug, Clone)]
pub(crate) struct Zone {
    /// `None` is UTC, which needs no lookup.
    zone: Option<TimeZone>,
    bucket: i64,
    bucket_offset_seconds: i64,
    /// What a number counts; by its size where nothing is said.
    pub(crate) unit: Option<TimeUnit>,
}

impl Zone {
    /// A zone by its IANA name; `None` where the name is unknown.
    pub(crate) fn named(name: &str) -> Option<Self> {
        let zone = match name {
            "UTC" | "Etc/UTC" | "GMT" | "Etc/GMT" => None,
            other => Some(TimeZone::get(other).ok()?),
        };
        Some(Self { zone, bucket: i64::MIN, bucket_offset_seconds: 0, unit: None })
    }

    /// Unix seconds of a local time given as seconds since 1970-01-01 00:00:00 *local*.
    ///
    /// A local time that a clock change skips or repeats is read as ClickHouse reads it: the
    /// earlier of the two readings.
    #[inline]
    pub(crate) fn unix_seconds(&mut self, local_seconds: i64) -> i64 {
        let Some(zone) = &self.zone else {
            return local_seconds;
        };
        let bucket = local_seconds.div_euclid(BUCKET_SECONDS);
        if bucket == self.bucket {
            return local_seconds - self.bucket_offset_seconds;
        }
        let first = bucket * BUCKET_SECONDS;
        let last = first + BUCKET_SECONDS - 1;
        if let (Some((from, true)), Some((to, true))) = (offset(zone, first), offset(zone, last))
            && from == to
        {
            self.bucket = bucket;
            self.bucket_offset_seconds = from;
        }
        let (seconds, _) = offset(zone, local_seconds).unwrap_or((0, false));
        local_seconds - seconds
    }
}

/// Offset from UTC of a local time, and whether the local time exists exactly once.
fn offset(zone: &TimeZone, local_seconds: i64) -> Option<(i64, bool)> {
    let epoch = DateTime::constant(1970, 1, 1, 0, 0, 0, 0);
    let local = epoch.checked_add(jiff::SignedDuration::from_secs(local_seconds)).ok()?;
    let (offset, once) = match zone.to_ambiguous_timestamp(local).offset() {
        AmbiguousOffset::Unambiguous { offset } => (offset, true),
        AmbiguousOffset::Gap { after, .. } => (after, false),
        AmbiguousOffset::Fold { before, .. } => (before, false),
    };
    Some((i64::from(offset.seconds()), once))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(zone: &mut Zone, local: &str, expected_utc: &str) {
        let epoch = DateTime::constant(1970, 1, 1, 0, 0, 0, 0);
        let local: DateTime = local.parse().unwrap();
        let seconds = local.duration_since(epoch).as_secs();
        let utc = jiff::Timestamp::from_second(zone.unix_seconds(seconds)).unwrap();
        assert_eq!(utc.to_string(), expected_utc, "{local}");
    }

    #[test]
    fn clock_changes_are_read_as_the_server_reads_them() {
        let mut berlin = Zone::named("Europe/Berlin").unwrap();
        for _ in 0..2 {
            check(&mut berlin, "2024-06-01T00:00:00", "2024-05-31T22:00:00Z");
            check(&mut berlin, "2024-03-31T01:59:59", "2024-03-31T00:59:59Z");
            check(&mut berlin, "2024-03-31T02:30:00", "2024-03-31T00:30:00Z");
            check(&mut berlin, "2024-03-31T03:00:00", "2024-03-31T01:00:00Z");
            check(&mut berlin, "2024-10-27T02:30:00", "2024-10-27T00:30:00Z");
            check(&mut berlin, "2024-10-27T03:00:00", "2024-10-27T02:00:00Z");
        }
        let mut utc = Zone::named("UTC").unwrap();
        check(&mut utc, "2024-03-31T02:30:00", "2024-03-31T02:30:00Z");
        assert!(Zone::named("Mars/Olympus").is_none());
    }
}
