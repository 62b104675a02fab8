//! Dates and times from texts and numbers.
//!
//! Texts: `YYYY-MM-DD`, and `YYYY-MM-DD hh:mm:ss` with `T` or a space, an optional fraction and an
//! optional offset (RFC 3339), at once; the other forms of [`super::time_text`] where it is none of these. A text without an
//! offset is local time in the column's zone. Digits beyond the column's precision are cut off; a time of day other than
//! midnight is not, in a column of dates: such a text is refused.
//!
//! Bare numbers: Unix time in seconds up to 11 digits before the point, milliseconds up to 14,
//! microseconds up to 17, nanoseconds above. Eleven digits of seconds reach past the end of
//! `DateTime64`, so no number is read as seconds by us and as something else by ClickHouse: it
//! reads all as seconds, and where that gives a time in range, so do we. For `Date` and `Date32` a
//! number counts days, as in ClickHouse.
//!
//! Spans, for `Time` and `Time64`: `[-]hhh:mm:ss` with one to three digits of hours and an optional fraction, less than a
//! thousand hours. `10:30` is refused: ClickHouse takes it for minutes and seconds, Java means hours and minutes. A number counts seconds, in both: ClickHouse takes one in quotes for seconds as well, but a bare one for
//! the ticks of `Time64`, as it did for `DateTime64` up to 25.8.

use super::error::ErrorCode;
use super::number::{DIGITS_U64, Number};
use super::time_text::Written;
use crate::columns::{TimeUnit, Zone};

pub(super) const SECONDS_PER_DAY: i64 = 86_400;
/// 1900-01-01, the first day of `Date32` and `DateTime64`.
const FIRST_DAY: i64 = -25_567;
/// 2299-12-31, their last.
const LAST_DAY: i64 = 120_529;

/// The first second, in either direction, that a `Time` cannot hold: that of the thousandth hour.
const SPAN_SECONDS_END: u32 = 3_600_000;

/// Powers of ten up to the ticks of the finest `DateTime64`.
const POWERS: [u32; 10] = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000, 1_000_000_000];

/// A moment: seconds since 1970-01-01 UTC, and nanoseconds that follow them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moment {
    seconds: i64,
    nanos: u32,
}

impl Moment {
    /// Takes ticks since 1970-01-01 UTC, of which a second has `10^precision`.
    pub(crate) fn from_ticks(ticks: i64, precision: u8) -> Self {
        let per_second = i64::from(POWERS[usize::from(precision)]);
        let fraction = u32::try_from(ticks.rem_euclid(per_second)).expect("a remainder is less than its divisor");
        Self { seconds: ticks.div_euclid(per_second), nanos: fraction * POWERS[9 - usize::from(precision)] }
    }

    /// Takes seconds since 1970-01-01 UTC and nanoseconds, less than a second of them.
    pub(crate) fn new(seconds: i64, nanos: u32) -> Self {
        debug_assert!(nanos < 1_000_000_000);
        Self { seconds, nanos }
    }

    /// The same moment, its seconds read as local time of `zone`.
    pub(crate) fn local_in(self, zone: &mut Zone) -> Self {
        // No offset brings what is further away than a day into the range of any column.
        let days = FIRST_DAY - 1..=LAST_DAY + 1;
        if !days.contains(&self.days()) {
            return self;
        }
        Self { seconds: zone.unix_seconds(self.seconds), ..self }
    }

    /// Seconds since 1970-01-01 UTC, and nanoseconds that follow them.
    pub(crate) fn parts(self) -> (i64, u32) {
        (self.seconds, self.nanos)
    }

    /// The day, in UTC, since 1970-01-01.
    pub(crate) fn days(self) -> i64 {
        self.seconds.div_euclid(SECONDS_PER_DAY)
    }

    /// The value of a `DateTime` column.
    #[inline]
    pub(crate) fn date_time(self) -> Result<u32, ErrorCode> {
        u32::try_from(self.seconds).map_err(|_| ErrorCode::OutOfRange.of_sign(self.seconds < 0))
    }

    /// The value of a `DateTime64` column.
    #[inline]
    pub(crate) fn date_time64(self, precision: u8) -> Result<i64, ErrorCode> {
        let first = FIRST_DAY * SECONDS_PER_DAY;
        let end = (LAST_DAY + 1) * SECONDS_PER_DAY;
        if !(first..end).contains(&self.seconds) {
            return Err(ErrorCode::OutOfRange.of_sign(self.seconds < first));
        }
        let precision = usize::from(precision);
        let per_second = i64::from(POWERS[precision]);
        let fraction = i64::from(self.nanos / POWERS[9 - precision]);
        self.seconds.checked_mul(per_second).and_then(|ticks| ticks.checked_add(fraction)).ok_or(ErrorCode::OutOfRange)
    }

    /// Reads a bare number, in this unit; see the module's text for the unit where none is given.
    pub(crate) fn from_number(number: &Number<'_>, unit: Option<TimeUnit>) -> Result<Self, ErrorCode> {
        let (value, fraction) = whole_and_billionths(number)?;
        let whole_digits = match number.exponent {
            0 => number.digits - number.fraction_digits,
            _ => value.checked_ilog10().map_or(1, |power| power as usize + 1),
        };
        let per_second = match (unit, whole_digits) {
            (Some(TimeUnit::Seconds), _) | (None, 0..=11) => 1,
            (Some(TimeUnit::Milliseconds), _) | (None, 12..=14) => 1_000,
            (Some(TimeUnit::Microseconds), _) | (None, 15..=17) => 1_000_000,
            (Some(TimeUnit::Nanoseconds), _) | (None, _) => 1_000_000_000,
        };
        let value = i128::from(value) * 1_000_000_000 / per_second;
        let nanos = value + i128::from(fraction) / per_second;
        let nanos = if number.negative { -nanos } else { nanos };
        Ok(Self {
            seconds: i64::try_from(nanos.div_euclid(1_000_000_000)).map_err(|_| ErrorCode::OutOfRange)?,
            nanos: u32::try_from(nanos.rem_euclid(1_000_000_000)).map_err(|_| ErrorCode::OutOfRange)?,
        })
    }

    /// Reads a text; `zone` is for texts without an offset.
    #[inline]
    pub(crate) fn from_text(text: &[u8], zone: &mut Zone) -> Result<Self, ErrorCode> {
        Self::from_common_text(text, zone).map_or_else(|| Self::from_other_text(text, zone), Ok)
    }

    /// Reads a text in the form that nearly all have; `None` where it has another.
    #[inline]
    fn from_common_text(text: &[u8], zone: &mut Zone) -> Option<Self> {
        let (date, rest) = text.split_at_checked(10)?;
        let local_midnight = days_from_text(date)? * SECONDS_PER_DAY;
        if rest.is_empty() {
            return Some(Self { seconds: zone.unix_seconds(local_midnight), nanos: 0 });
        }
        let (clock, mut rest) = rest.split_at_checked(9)?;
        let &[b'T' | b't' | b' ', h1, h2, b':', m1, m2, b':', s1, s2] = clock else {
            return None;
        };
        let hour = two_digits(h1, h2).filter(|hour| *hour < 24)?;
        let minute = two_digits(m1, m2).filter(|minute| *minute < 60)?;
        // 60 is a leap second, which Unix time counts as the next second.
        let second = two_digits(s1, s2).filter(|second| *second <= 60)?;
        let local_seconds = local_midnight + hour * 3_600 + minute * 60 + second;

        let nanos = take_fraction(&mut rest).ok()?;
        let seconds = match rest {
            [] => zone.unix_seconds(local_seconds),
            [b'Z' | b'z'] => local_seconds,
            _ => local_seconds - offset_seconds(rest)?,
        };
        Some(Self { seconds, nanos })
    }

    /// Reads a text in any form.
    #[cold]
    pub(crate) fn from_other_text(text: &[u8], zone: &mut Zone) -> Result<Self, ErrorCode> {
        let written = Written::read(text).ok_or(ErrorCode::InvalidTime)?;
        let (local_seconds, nanos) = written.local();
        let seconds = match written.offset {
            Some(offset) => local_seconds - offset,
            None => zone.unix_seconds(local_seconds),
        };
        Ok(Self { seconds, nanos })
    }
}

/// A length of time, in either direction: what `Time` and `Time64` hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    negative: bool,
    seconds: u32,
    nanos: u32,
}

impl Span {
    fn new(negative: bool, seconds: u64, nanos: u32) -> Result<Self, ErrorCode> {
        match u32::try_from(seconds) {
            Ok(seconds) if seconds < SPAN_SECONDS_END => Ok(Self { negative, seconds, nanos }),
            _ => Err(ErrorCode::OutOfRange.of_sign(negative)),
        }
    }

    /// Reads seconds.
    pub(crate) fn from_number(number: &Number<'_>) -> Result<Self, ErrorCode> {
        let (seconds, nanos) = whole_and_billionths(number)?;
        Self::new(number.negative, seconds, nanos)
    }

    /// Reads `[-]hhh:mm:ss[.fraction]`.
    pub(crate) fn from_text(text: &[u8]) -> Result<Self, ErrorCode> {
        let invalid = ErrorCode::InvalidTime;
        let (negative, text) = match text {
            [b'-', text @ ..] => (true, text),
            text => (false, text),
        };
        let hour_digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (hours, rest) = text.split_at(hour_digits);
        let (clock, mut rest) = rest.split_at_checked(6).ok_or(invalid)?;
        let &[b':', m1, m2, b':', s1, s2] = clock else {
            return Err(invalid);
        };
        let minutes = two_digits(m1, m2).filter(|minute| *minute < 60).ok_or(invalid)?;
        let seconds = two_digits(s1, s2).filter(|second| *second < 60).ok_or(invalid)?;
        let nanos = take_fraction(&mut rest)?;
        if !rest.is_empty() {
            return Err(invalid);
        }
        let hours = match hours {
            [] => return Err(invalid),
            [_, _, _, _, ..] => return Err(ErrorCode::OutOfRange.of_sign(negative)),
            digits => digits.iter().fold(0, |hours, digit| hours * 10 + u64::from(digit - b'0')),
        };
        Self::new(negative, hours * 3_600 + (minutes * 60 + seconds).unsigned_abs(), nanos)
    }

    /// The value of a `Time` column: a fraction is cut off.
    pub(crate) fn time(self) -> i32 {
        let seconds = i32::try_from(self.seconds).unwrap_or(i32::MAX);
        if self.negative { -seconds } else { seconds }
    }

    /// The value of a `Time64` column.
    pub(crate) fn time64(self, precision: u8) -> i64 {
        let precision = usize::from(precision);
        let whole = i64::from(self.seconds) * i64::from(POWERS[precision]);
        let ticks = whole + i64::from(self.nanos / POWERS[9 - precision]);
        if self.negative { -ticks } else { ticks }
    }
}

/// A number's digits before the point, and the first nine after it, without its sign.
fn whole_and_billionths(number: &Number<'_>) -> Result<(u64, u32), ErrorCode> {
    if number.exponent != 0 {
        return moved_by_exponent(number);
    }
    if number.digits > DIGITS_U64 + 9 {
        return Err(ErrorCode::InvalidTime);
    }
    let whole_digits = number.digits - number.fraction_digits;
    let (mut value, mut fraction) = (0_u64, 0_u32);
    let mut fraction_unit = 100_000_000;
    for (place, digit) in number.magnitude.iter().enumerate() {
        let digit = digit.wrapping_sub(b'0');
        if place < whole_digits {
            value =
                value.checked_mul(10).and_then(|value| value.checked_add(digit.into())).ok_or(ErrorCode::OutOfRange)?;
        } else if place > whole_digits {
            fraction += u32::from(digit) * fraction_unit;
            fraction_unit /= 10;
        }
    }
    Ok((value, fraction))
}

/// The same of a number with an exponent.
#[cold]
fn moved_by_exponent(number: &Number<'_>) -> Result<(u64, u32), ErrorCode> {
    const BILLION: u128 = 1_000_000_000;
    if number.digits > DIGITS_U64 {
        return Err(ErrorCode::InvalidTime);
    }
    let fraction_digits = i32::try_from(number.fraction_digits).map_err(|_| ErrorCode::InvalidTime)?;
    let power = number.exponent - fraction_digits + 9;
    let mantissa = u128::from(number.mantissa);
    let factor = 10_u128.checked_pow(power.unsigned_abs());
    let billionths = match (power < 0, factor) {
        (_, None) if mantissa == 0 || power < 0 => 0,
        (_, None) => return Err(ErrorCode::OutOfRange),
        (true, Some(factor)) => mantissa / factor,
        (false, Some(factor)) => mantissa.checked_mul(factor).ok_or(ErrorCode::OutOfRange)?,
    };
    let whole = u64::try_from(billionths / BILLION).map_err(|_| ErrorCode::OutOfRange)?;
    let fraction = u32::try_from(billionths % BILLION).map_err(|_| ErrorCode::OutOfRange)?;
    Ok((whole, fraction))
}

/// Takes a point or a comma and its digits, if there are any, as nanoseconds.
#[inline]
pub(super) fn take_fraction(rest: &mut &[u8]) -> Result<u32, ErrorCode> {
    let [b'.' | b',', fraction @ ..] = *rest else {
        return Ok(0);
    };
    let digits = fraction.iter().take_while(|b| b.is_ascii_digit()).count();
    if digits == 0 {
        return Err(ErrorCode::InvalidTime);
    }
    let (mut nanos, mut unit) = (0, 100_000_000);
    for digit in &fraction[..digits] {
        nanos += u32::from(digit - b'0') * unit;
        unit /= 10;
    }
    *rest = &fraction[digits..];
    Ok(nanos)
}

/// Days since 1970-01-01 of the number or text of a date, within `least` and `greatest`.
pub(crate) fn days_within(days: i64, least: i64, greatest: i64) -> Result<i64, ErrorCode> {
    if (least..=greatest).contains(&days) { Ok(days) } else { Err(ErrorCode::OutOfRange.of_sign(days < least)) }
}

/// The range of `Date`.
pub(crate) const DATE_DAYS: (i64, i64) = (0, 65_535);
/// The range of `Date32`.
pub(crate) const DATE32_DAYS: (i64, i64) = (FIRST_DAY, LAST_DAY);

/// Days since 1970-01-01 of a text.
#[inline]
pub(crate) fn date_from_text(text: &[u8]) -> Result<i64, ErrorCode> {
    match days_from_text(text) {
        Some(days) => Ok(days),
        None => Written::read(text).ok_or(ErrorCode::InvalidTime)?.date(),
    }
}

/// Days since 1970-01-01 of `YYYY-MM-DD`.
#[inline]
fn days_from_text(text: &[u8]) -> Option<i64> {
    let &[y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] = text else {
        return None;
    };
    let year = two_digits(y1, y2)? * 100 + two_digits(y3, y4)?;
    let month = two_digits(m1, m2)?;
    let day = two_digits(d1, d2)?;
    days_of_date(year, month, day)
}

/// Days since 1970-01-01 of a day, where there is such a day.
#[inline]
pub(super) fn days_of_date(year: i64, month: i64, day: i64) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let month_days = match month {
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        1..=12 => 31,
        _ => return None,
    };
    if day < 1 || day > month_days {
        return None;
    }
    // Years begin in March here, so that the leap day is the last one.
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year - era * 400;
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    Some(era * 146_097 + day_of_era - 719_468)
}

/// `+hh:mm` or `+hhmm` in seconds.
fn offset_seconds(text: &[u8]) -> Option<i64> {
    let (sign, digits) = text.split_first()?;
    let (hours, minutes) = match digits {
        &[h1, h2, b':', m1, m2] | &[h1, h2, m1, m2] => (two_digits(h1, h2)?, two_digits(m1, m2)?),
        _ => return None,
    };
    if hours > 23 || minutes > 59 {
        return None;
    }
    let seconds = hours * 3_600 + minutes * 60;
    match sign {
        b'+' => Some(seconds),
        b'-' => Some(-seconds),
        _ => None,
    }
}

#[inline]
pub(super) fn two_digits(tens: u8, ones: u8) -> Option<i64> {
    let (tens, ones) = (tens.wrapping_sub(b'0'), ones.wrapping_sub(b'0'));
    (tens < 10 && ones < 10).then(|| i64::from(tens) * 10 + i64::from(ones))
}
