//! Amounts with a unit: durations, byte sizes, shares and rates.
//!
//! Takes the text of one value, gives a checked amount or what is wrong with it. A bare number is refused where a unit
//! is needed: `10` has meant seconds to one reader and milliseconds to the next. Never rounds.

use std::fmt;
use std::time::Duration;

use super::error::Problem;

/// The least and the greatest value of a key, and why it ends there.
pub(super) struct Limits<T> {
    pub(super) least: T,
    pub(super) greatest: T,
    /// Why not less.
    pub(super) below: &'static str,
    /// Why not more.
    pub(super) above: &'static str,
}

impl<T: PartialOrd> Limits<T> {
    /// `value` where it lies within; `show` writes a limit as the file would.
    pub(super) fn check(&self, value: T, show: impl Fn(&T) -> String) -> Result<T, Problem> {
        let (side, because) = if value < self.least {
            ("below the least", self.below)
        } else if value > self.greatest {
            ("above the greatest", self.above)
        } else {
            return Ok(value);
        };
        let (least, greatest) = (show(&self.least), show(&self.greatest));
        Err(Problem::new(
            format!("is {side} value allowed: {because}"),
            format!("write a value from `{least}` to `{greatest}`"),
        ))
    }
}

/// A number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(u64);

impl ByteSize {
    /// `bytes` bytes.
    pub const fn from_bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    /// `mebibytes` times 1,048,576 bytes.
    pub const fn from_mebibytes(mebibytes: u32) -> Self {
        // Widening, so nothing is lost; `From` is not const.
        Self(mebibytes as u64 * 1_048_576)
    }

    /// The number of bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }
}

const SIZE_UNITS: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("TB", 1_000_000_000_000),
    ("GiB", 1 << 30),
    ("GB", 1_000_000_000),
    ("MiB", 1 << 20),
    ("MB", 1_000_000),
    ("KiB", 1 << 10),
    ("KB", 1_000),
    ("B", 1),
];

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, size) =
            SIZE_UNITS.iter().find(|(_, size)| self.0 >= *size && self.0.is_multiple_of(*size)).unwrap_or(&("B", 1));
        write!(f, "{}{unit}", self.0 / size)
    }
}

/// A part of a whole, kept exactly, in millionths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Share {
    millionths: u32,
}

impl Share {
    /// `percent` of 100. Panics above 100: it is for constants.
    pub const fn from_percent(percent: u32) -> Self {
        assert!(percent <= 100);
        Self { millionths: percent * 10_000 }
    }

    /// The share in millionths.
    pub const fn millionths(self) -> u32 {
        self.millionths
    }

    /// Whether `part` of `whole` is more than this share.
    pub fn is_exceeded_by(self, part: u64, whole: u64) -> bool {
        u128::from(part) * 1_000_000 > u128::from(whole) * u128::from(self.millionths)
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, fraction) = (self.millionths / 10_000, self.millionths % 10_000);
        if fraction == 0 {
            write!(f, "{whole}%")
        } else {
            let digits = format!("{fraction:04}");
            write!(f, "{whole}.{}%", digits.trim_end_matches('0'))
        }
    }
}

const DURATION_UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// `duration` as it would be written in the file.
pub(super) fn show_duration(duration: &Duration) -> String {
    let millis = duration.as_millis();
    let (unit, size) = DURATION_UNITS
        .iter()
        .find(|(_, size)| millis > 0 && millis.is_multiple_of(u128::from(*size)))
        .unwrap_or(&("ms", 1));
    format!("{}{unit}", millis / u128::from(*size))
}

/// `250ms`, `1s`, `5m`, `12h`, `7d`.
pub(super) fn parse_duration(text: &str) -> Result<Duration, Problem> {
    // Nobody waits a thousand seconds for anything here, so from there on milliseconds are meant.
    let guess = |number: u64| {
        if number < 1_000 { format!("{number}s") } else { show_duration(&Duration::from_millis(number)) }
    };
    let examples = "`250ms`, `1s`, `5m`, `12h` or `7d`";
    let millis = parse_amount(text, &DURATION_UNITS, "a duration", guess, examples)?;
    Ok(Duration::from_millis(millis))
}

/// `64MiB`, `64MB`, `1GiB`.
pub(super) fn parse_size(text: &str) -> Result<ByteSize, Problem> {
    // As above: small numbers are mebibytes, large ones bytes.
    let guess = |number: u64| {
        if number < 65_536 { format!("{number}MiB") } else { ByteSize(number).to_string() }
    };
    let examples = "`512KiB`, `64MiB`, `64MB` or `1GiB`";
    parse_amount(text, &SIZE_UNITS, "a size", guess, examples).map(ByteSize)
}

/// A whole number and one of `units`, with nothing between. `guess` says what a bare number was probably meant to be.
fn parse_amount(
    text: &str,
    units: &[(&str, u64)],
    what: &str,
    guess: impl Fn(u64) -> String,
    examples: &str,
) -> Result<u64, Problem> {
    let digits_end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(digits_end);
    if digits.is_empty() {
        return Err(Problem::new(format!("is not {what}"), format!("write {examples}")));
    }
    if unit.is_empty() {
        let problem =
            Problem::new(format!("has no unit; {what} needs one"), format!("write {what} such as {examples}"));
        return Err(match digits.parse() {
            Ok(number) => problem.guessing(guess(number)),
            Err(_) => problem,
        });
    }
    let Some((_, size)) = units.iter().find(|(name, _)| *name == unit) else {
        let fix = format!("write a whole number and one unit, such as {examples}");
        let problem = Problem::new(format!("is not {what}"), fix);
        let meant = |name: &str| name.eq_ignore_ascii_case(unit.trim());
        return Err(match units.iter().find(|(name, _)| meant(name)) {
            Some((name, _)) => problem.guessing(format!("{digits}{name}")),
            None => problem,
        });
    };
    digits
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(*size))
        .ok_or_else(|| Problem::new("is too large", format!("write {what} such as {examples}")))
}

/// `10%`, `0.5%`: 0 to 100, at most four decimals.
pub(super) fn parse_share(text: &str) -> Result<Share, Problem> {
    let fix = "write a percentage from `0%` to `100%`, such as `10%` or `0.5%`";
    let Some(number) = text.strip_suffix('%') else {
        return Err(Problem::new("is not a percentage", fix));
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let all_digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    if !all_digits(whole) || !all_digits(fraction) || fraction.len() > 4 {
        return Err(Problem::new("is not a percentage", fix));
    }
    let millionths = format!("{whole}{fraction:0<4}").parse::<u32>().ok();
    match millionths {
        Some(millionths) if millionths <= 1_000_000 => Ok(Share { millionths }),
        _ => Err(Problem::new("is above 100%", fix)),
    }
}

/// A number per second, such as `1` or `0.2`.
pub(super) fn parse_rate(text: &str) -> Result<f64, Problem> {
    let plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    text.parse::<f64>()
        .ok()
        .filter(|_| plain)
        .ok_or_else(|| Problem::new("is not a number", "write a number such as `1` or `0.2`, without a unit"))
}

/// A whole number without sign, separators or unit.
pub(super) fn parse_count(text: &str) -> Result<u64, Problem> {
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        return text.parse().map_err(|_| Problem::new("is too large", "write a smaller number"));
    }
    let digits: String = text.chars().filter(|c| !matches!(c, '_' | ',' | ' ')).collect();
    let problem = Problem::new("is not a whole number", "write digits only, such as `500000`");
    let only_digits = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    Err(if only_digits { problem.guessing(digits) } else { problem })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check<T>(text: &str, parsed: Result<T, Problem>, show: impl Fn(T) -> String, expected: &str) {
        let found = match parsed {
            Ok(value) => show(value),
            Err(problem) => {
                let fix = problem.guess.unwrap_or(problem.fix);
                format!("error: {} | {fix}", problem.reason)
            }
        };
        assert!(found.starts_with(expected), "{text}: {found}");
    }

    #[test]
    fn durations() {
        for (text, expected) in [
            ("250ms", "250ms"),
            ("1s", "1s"),
            ("90s", "90s"),
            ("120s", "2m"),
            ("5m", "5m"),
            ("48h", "2d"),
            ("7d", "7d"),
            ("0s", "0ms"),
            ("25", "error: has no unit; a duration needs one | 25s"),
            ("1500", "error: has no unit; a duration needs one | 1500ms"),
            ("", "error: is not a duration"),
            ("s", "error: is not a duration"),
            ("-1s", "error: is not a duration"),
            ("10 s", "error: is not a duration | 10s"),
            ("10S", "error: is not a duration | 10s"),
            ("1.5s", "error: is not a duration | write a whole number and one unit"),
            ("1h30m", "error: is not a duration | write a whole number and one unit"),
            ("5min", "error: is not a duration"),
            ("1w", "error: is not a duration"),
            ("99999999999999999999s", "error: is too large"),
            ("18446744073709551615d", "error: is too large"),
        ] {
            check(text, parse_duration(text), |duration| show_duration(&duration), expected);
        }
    }

    #[test]
    fn sizes() {
        for (text, expected) in [
            ("64MiB", "64MiB"),
            ("64MB", "64MB"),
            ("1GiB", "1GiB"),
            ("1024MiB", "1GiB"),
            ("1500B", "1500B"),
            ("0B", "0B"),
            ("64", "error: has no unit; a size needs one | 64MiB"),
            ("268435456", "error: has no unit; a size needs one | 256MiB"),
            ("64mib", "error: is not a size | 64MiB"),
            ("64 MB", "error: is not a size | 64MB"),
            ("64M", "error: is not a size | write a whole number and one unit"),
            ("1.5GiB", "error: is not a size | write a whole number and one unit"),
            ("99999999TiB", "error: is too large"),
        ] {
            check(text, parse_size(text), |size| size.to_string(), expected);
        }
    }

    #[test]
    fn shares() {
        for (text, expected) in [
            ("10%", "10%"),
            ("0%", "0%"),
            ("100%", "100%"),
            ("0.5%", "0.5%"),
            ("0.0001%", "0.0001%"),
            ("10", "error: is not a percentage"),
            ("10 %", "error: is not a percentage"),
            ("%", "error: is not a percentage"),
            (".5%", "error: is not a percentage"),
            ("-1%", "error: is not a percentage"),
            ("0.00001%", "error: is not a percentage"),
            ("100.0001%", "error: is above 100%"),
            ("99999999999%", "error: is above 100%"),
        ] {
            check(text, parse_share(text), |share| share.to_string(), expected);
        }
    }

    #[test]
    fn a_share_is_exceeded_only_above_it() {
        let share = Share::from_percent(10);
        assert!(!share.is_exceeded_by(10, 100));
        assert!(share.is_exceeded_by(11, 100));
        assert!(!share.is_exceeded_by(0, 0));
        assert!(Share::from_percent(0).is_exceeded_by(1, u64::MAX));
        assert!(!Share::from_percent(100).is_exceeded_by(u64::MAX, u64::MAX));
    }

    #[test]
    fn rates_and_counts() {
        for (text, expected) in [
            ("1", "1"),
            ("0.25", "0.25"),
            ("1/s", "error"),
            ("", "error"),
            ("1e3", "error"),
            ("inf", "error"),
            ("-1", "error"),
            ("1.2.3", "error"),
        ] {
            check(text, parse_rate(text), |rate| rate.to_string(), expected);
        }
        for (text, expected) in [
            ("500000", "500000"),
            ("500_000", "error: is not a whole number | 500000"),
            ("5e5", "error: is not a whole number"),
            ("-1", "error: is not a whole number"),
            ("1.5", "error: is not a whole number"),
            ("99999999999999999999", "error: is too large"),
        ] {
            check(text, parse_count(text), |count| count.to_string(), expected);
        }
    }
}
