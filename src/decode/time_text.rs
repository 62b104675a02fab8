//! Dates and times as others write them.
//!
//! Takes ISO 8601 in its common forms, RFC 2822, and what databases and languages print by default; `docs/values.md` lists them. Gives
//! the day, the time of day and the offset that a text says. Refuses what two readers would read differently, such as
//! `01/05/2024`.

use super::error::ErrorCode;
use super::time::{SECONDS_PER_DAY, days_of_date, take_fraction, two_digits};

/// What a text says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Written {
    /// Days since 1970-01-01.
    days: i64,
    /// Seconds since midnight: a whole day of them at `24:00:00`.
    seconds: i64,
    nanos: u32,
    /// By how many seconds the clock is ahead of UTC, where the text says so.
    pub(super) offset: Option<i64>,
}

impl Written {
    /// Reads a text; `None` where it is none of the known forms, or there is no such day or time.
    #[cold]
    pub(super) fn read(text: &[u8]) -> Option<Self> {
        Self::read_numbers(text).or_else(|| Self::read_words(text))
    }

    /// RFC 2822, as mails and HTTP have it: `Wed, 01 May 2024 10:00:00 GMT`.
    fn read_words(text: &[u8]) -> Option<Self> {
        let zoned = jiff::fmt::rfc2822::DateTimeParser::new().parse_zoned(text.trim_ascii()).ok()?;
        let offset = i64::from(zoned.offset().seconds());
        let local = zoned.timestamp().as_second() + offset;
        let (days, seconds) = (local.div_euclid(SECONDS_PER_DAY), local.rem_euclid(SECONDS_PER_DAY));
        Some(Self { days, seconds, nanos: 0, offset: Some(offset) })
    }

    fn read_numbers(text: &[u8]) -> Option<Self> {
        let mut rest = text.trim_ascii();
        let days = take_date(&mut rest)?;
        let midnight = Self { days, seconds: 0, nanos: 0, offset: None };
        match rest {
            [] => return Some(midnight),
            [b'T' | b't', clock @ ..] => rest = clock,
            [b' ', clock @ ..] => rest = clock.trim_ascii_start(),
            // `YYYYMMDDhhmmss`
            [b'0'..=b'9', ..] if text.len() == 14 => {}
            _ => return None,
        }
        let (seconds, nanos) = take_clock(&mut rest)?;
        let offset = read_zone(rest)?;
        Some(Self { seconds, nanos, offset, ..midnight })
    }

    /// Seconds since 1970-01-01 by the clock that the text was read from, and nanoseconds that follow them.
    pub(super) fn local(self) -> (i64, u32) {
        (self.days * SECONDS_PER_DAY + self.seconds, self.nanos)
    }

    /// The day as it is written, whatever the offset.
    ///
    /// # Errors
    /// Where there is a time of day, which would be lost.
    pub(super) fn date(self) -> Result<i64, ErrorCode> {
        match (self.seconds, self.nanos) {
            (0, 0) => Ok(self.days),
            (SECONDS_PER_DAY, 0) => Ok(self.days + 1),
            _ => Err(ErrorCode::TimeOfDay),
        }
    }
}

/// Takes `YYYY-MM-DD`, `YYYY/MM/DD`, both also with one digit for month or day, or `YYYYMMDD`.
fn take_date(rest: &mut &[u8]) -> Option<i64> {
    let (&[y1, y2, y3, y4], after) = rest.split_first_chunk()?;
    let year = two_digits(y1, y2)? * 100 + two_digits(y3, y4)?;
    *rest = after;
    let (month, day) = match rest.first()? {
        separator @ (b'-' | b'/') => {
            *rest = &rest[1..];
            let month = take_one_or_two_digits(rest)?;
            *rest = rest.strip_prefix(&[*separator])?;
            (month, take_one_or_two_digits(rest)?)
        }
        _ => (take_two_digits(rest)?, take_two_digits(rest)?),
    };
    days_of_date(year, month, day)
}

/// Takes `hh`, `hh:mm`, `hh:mm:ss`, `hhmm` or `hhmmss`, with a fraction behind the seconds.
fn take_clock(rest: &mut &[u8]) -> Option<(i64, u32)> {
    let hour = take_two_digits(rest)?;
    let colons = rest.first() == Some(&b':');
    let (mut minute, mut second, mut nanos) = (0, 0, 0);
    if let Some(found) = take_next(rest, colons)? {
        minute = found;
        if let Some(found) = take_next(rest, colons)? {
            second = found;
            nanos = take_fraction(rest).ok()?;
        }
    }
    // 60 is a leap second, which Unix time counts as the next second.
    let exists = minute < 60 && second <= 60 && (hour < 24 || (hour, minute, second, nanos) == (24, 0, 0, 0));
    exists.then_some((hour * 3_600 + minute * 60 + second, nanos))
}

/// Takes the next two digits of a clock; the inner `None` where it ends before them.
fn take_next(rest: &mut &[u8], colons: bool) -> Option<Option<i64>> {
    match (rest.first(), colons) {
        (Some(b':'), true) => *rest = &rest[1..],
        (Some(b'0'..=b'9'), false) => {}
        _ => return Some(None),
    }
    take_two_digits(rest).map(Some)
}

/// Reads what stands behind a clock: nothing, `Z`, `UTC` or an offset; behind an offset also the name of its zone, as in
/// `+02:00[Europe/Berlin]` and `+0200 CEST m=+0.01`. The inner `None` where there is nothing.
fn read_zone(rest: &[u8]) -> Option<Option<i64>> {
    let mut rest = rest.trim_ascii_start();
    let offset = match rest {
        [] => return Some(None),
        [b'+' | b'-', ..] => take_offset(&mut rest)?,
        [b'Z' | b'z', after @ ..] => {
            rest = after;
            0
        }
        _ => {
            rest = rest.strip_prefix(b"UTC").or_else(|| rest.strip_prefix(b"GMT"))?;
            0
        }
    };
    is_zone_name(rest).then_some(Some(offset))
}

/// Takes `+hh:mm`, `+hhmm`, `+hh`, or with seconds as local mean times have them, `+hh:mm:ss`.
fn take_offset(rest: &mut &[u8]) -> Option<i64> {
    let negative = rest.first() == Some(&b'-');
    *rest = rest.get(1..)?;
    let hours = take_two_digits(rest)?;
    let colons = rest.first() == Some(&b':');
    let minutes = take_next(rest, colons)?;
    let seconds = if colons { take_next(rest, colons)? } else { None };
    let (minutes, seconds) = (minutes.unwrap_or(0), seconds.unwrap_or(0));
    let offset = hours * 3_600 + minutes * 60 + seconds;
    let exists = hours < 24 && minutes < 60 && seconds < 60;
    exists.then_some(if negative { -offset } else { offset })
}

/// Whether what follows an offset is nothing, or says only which zone has it.
fn is_zone_name(rest: &[u8]) -> bool {
    if let [b'[', name @ .., b']'] = rest {
        return !name.is_empty() && name.iter().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'[' | b']'));
    }
    // Go has a clock reading behind the name.
    let mut words = rest.split(|byte| *byte == b' ').filter(|word| !word.is_empty());
    let is_name = |word: &[u8]| {
        word.len() <= 6 && word.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'+' || *byte == b'-')
    };
    let mut next = words.next();
    if rest.first().is_some_and(|byte| *byte != b' ') {
        return false;
    }
    if next.is_some_and(is_name) {
        next = words.next();
    }
    next.is_none_or(|word| word.starts_with(b"m=")) && words.next().is_none()
}

fn take_two_digits(rest: &mut &[u8]) -> Option<i64> {
    let (&[tens, ones], after) = rest.split_first_chunk()?;
    *rest = after;
    two_digits(tens, ones)
}

fn take_one_or_two_digits(rest: &mut &[u8]) -> Option<i64> {
    if let Some(value) = take_two_digits(&mut &**rest) {
        *rest = &rest[2..];
        return Some(value);
    }
    let (ones, after) = rest.split_first()?;
    *rest = after;
    two_digits(b'0', *ones)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_say_a_day_a_time_and_an_offset() {
        let check = |text: &str, expected: &str| {
            let found = Written::read(text.as_bytes()).map_or("none".to_owned(), |written| {
                let (seconds, nanos) = written.local();
                let time = jiff::Timestamp::new(seconds, i32::try_from(nanos).unwrap()).unwrap();
                let local = jiff::tz::Offset::UTC.to_datetime(time);
                let offset = written.offset.map_or(String::new(), |offset| format!(" {offset}"));
                format!("{local}{offset}")
            });
            assert_eq!(found, expected, "{text}");
        };
        let ten = "2024-05-01T10:00:00";
        // ISO 8601.
        check("2024-05-01", "2024-05-01T00:00:00");
        check("20240501", "2024-05-01T00:00:00");
        check("2024-05-01T10", ten);
        check("2024-05-01T10:00", ten);
        check("2024-05-01T10:00Z", &format!("{ten} 0"));
        check("2024-05-01t10:00:00z", &format!("{ten} 0"));
        check("2024-05-01T10:00:00,123", "2024-05-01T10:00:00.123");
        check("2024-05-01T10:00:00.1234567890123", "2024-05-01T10:00:00.123456789");
        check("20240501T100000Z", &format!("{ten} 0"));
        check("20240501T1000", ten);
        check("20240501T10Z", &format!("{ten} 0"));
        check("20240501T100000.5+0200", "2024-05-01T10:00:00.5 7200");
        check("20240501 10:00:00", ten);
        check("20240501100000", ten);
        check("2024-05-01T24:00:00Z", "2024-05-02T00:00:00 0");
        check("2024-05-01T23:59:60", "2024-05-02T00:00:00");
        // Postgres, MySQL.
        check("2024-05-01 10:00:00+00", &format!("{ten} 0"));
        check("2024-05-01 10:00:00.123456-05:30", "2024-05-01T10:00:00.123456 -19800");
        check("1890-01-01 00:00:00+00:53:28", "1890-01-01T00:00:00 3208");
        // Java, with and without a region.
        check("2024-05-01T10:00+02:00", &format!("{ten} 7200"));
        check("2024-05-01T10:00+02:00[Europe/Berlin]", &format!("{ten} 7200"));
        check("2024-05-01T10:00Z[UTC]", &format!("{ten} 0"));
        check("2024-05-01 10:00:00.0", ten);
        // Python, Ruby.
        check("2024-05-01 10:00:00 +0200", &format!("{ten} 7200"));
        check("2024-05-01 10:00:00 UTC", &format!("{ten} 0"));
        // Go.
        check("2024-05-01 10:00:00.5 +0200 CEST", "2024-05-01T10:00:00.5 7200");
        check("2024-05-01 10:00:00 +0300 +03", &format!("{ten} 10800"));
        check("2024-05-01 10:00:00 +0000 UTC m=+0.000012", &format!("{ten} 0"));
        // .NET.
        check("2024-05-01T10:00:00.0000000+02:00", &format!("{ten} 7200"));
        check("2024-05-01 10:00:00Z", &format!("{ten} 0"));
        // Mails and HTTP.
        check("Wed, 01 May 2024 10:00:00 GMT", &format!("{ten} 0"));
        check("1 May 2024 10:00:00 +0200", &format!("{ten} 7200"));
        // As people write them.
        check("2024-5-1", "2024-05-01T00:00:00");
        check("2024/05/01 10:00", ten);
        check(" 2024-05-01  10:00:00 ", ten);

        for text in [
            "",
            "2024",
            "2024-05",
            "2024-05-00",
            "2024-13-01",
            "2024-02-30",
            "2024-05/01",
            "2024-121",
            "2024-W18-3",
            "0000-00-00 00:00:00",
            "01/05/2024",
            "01.05.2024",
            "5/1/2024 10:00:00 AM",
            "2024-05-01 10:00:00 PM",
            "2024-05-01 1",
            "2024-05-01T",
            "2024-05-01T1:00",
            "2024-05-01T10:0",
            "2024-05-01T10:00:0",
            "2024-05-01T10:0000",
            "2024-05-01T1000:00",
            "2024-05-01T10:00:00.",
            "2024-05-01T10:00.5",
            "2024-05-01T24:00:01",
            "2024-05-01T25:00:00",
            "2024-05-01T10:60:00",
            "2024-05-01T10:00:61",
            "2024-05-01T10:00:00+24:00",
            "2024-05-01T10:00:00+02:60",
            "2024-05-01T10:00:00+2",
            "2024-05-01T10:00:00ZZ",
            "2024-05-01T10:00:00+02:00[",
            "2024-05-01T10:00:00+02:00[]",
            "2024-05-01 10:00:00[Europe/Berlin]",
            "2024-05-01 10:00:00 CEST",
            "2024-05-01 10:00:00 Europe/Berlin",
            "2024-05-01 10:00:00 +0200 CEST and more",
            "2024-05-01_10:00:00",
            "202405011000",
            "20240501100000Z",
            "2024050110000",
            "+2024-05-01",
            "-2024-05-01",
            "infinity",
            "Thu, 01 May 2024 10:00:00 GMT",
            "01 May 2024",
            "Wed May  1 10:00:00 2024",
            "Wed May 01 2024 10:00:00 GMT+0000 (Coordinated Universal Time)",
        ] {
            check(text, "none");
        }
    }

    #[test]
    fn a_date_keeps_no_time_of_day() {
        let check = |text: &str, expected: Result<i64, ErrorCode>| {
            assert_eq!(Written::read(text.as_bytes()).unwrap().date(), expected, "{text}");
        };
        check("1970-01-02", Ok(1));
        check("1970-01-02T00:00:00Z", Ok(1));
        check("1970-01-02 00:00", Ok(1));
        // The day that is written: as an instant this is the evening before.
        check("1970-01-02T00:00:00+02:00", Ok(1));
        check("1970-01-02T24:00:00", Ok(2));
        check("1970-01-02T00:00:00.000000001Z", Err(ErrorCode::TimeOfDay));
        check("1970-01-02T10:00Z", Err(ErrorCode::TimeOfDay));
    }
}
