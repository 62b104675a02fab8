//! What a value is as a text, and as JSON.

use std::fmt::{self, Write as _};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ethnum::I256;

use super::Typed;
use crate::decode::time::Moment;

/// Longest text of a value: a decimal of 256 bits with sign, point and leading zeros.
const SHORT_TEXT_BYTES: usize = 128;

/// A short text on the stack.
pub(crate) struct ShortText {
    bytes: [u8; SHORT_TEXT_BYTES],
    length: usize,
}

impl ShortText {
    pub(crate) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..self.length]).expect("only whole texts were written")
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    pub(super) fn of(arguments: fmt::Arguments<'_>) -> Self {
        let mut text = Self { bytes: [0; SHORT_TEXT_BYTES], length: 0 };
        text.write_fmt(arguments).expect("no value has a longer text");
        text
    }
}

impl fmt::Write for ShortText {
    fn write_str(&mut self, piece: &str) -> fmt::Result {
        let end = self.length + piece.len();
        self.bytes.get_mut(self.length..end).ok_or(fmt::Error)?.copy_from_slice(piece.as_bytes());
        self.length = end;
        Ok(())
    }
}

/// The text of a value that is neither a text nor bytes.
pub(crate) fn text_of(value: Typed<'_>) -> ShortText {
    match value {
        Typed::Bool(value) => ShortText::of(format_args!("{value}")),
        Typed::Int(value) | Typed::Year(value) => ShortText::of(format_args!("{value}")),
        Typed::UInt(value) => ShortText::of(format_args!("{value}")),
        // The shortest text that reads back as the same float, with an exponent where it is long.
        Typed::Float32(value) => ShortText::of(format_args!("{value:?}")),
        Typed::Float64(value) => ShortText::of(format_args!("{value:?}")),
        Typed::Enum { name: None, number } => ShortText::of(format_args!("{number}")),
        Typed::Decimal { unscaled, scale } => decimal_text(unscaled, scale),
        Typed::Date(days) => date_text(days),
        Typed::Timestamp { ticks, precision } => time_text(Moment::from_ticks(ticks, precision), "Z"),
        Typed::Instant { seconds, nanos } => time_text(Moment::new(seconds, nanos), "Z"),
        Typed::LocalTimestamp { ticks, precision } => time_text(Moment::from_ticks(ticks, precision), ""),
        Typed::TimeOfDay { ticks, precision } => clock_text(ticks, precision),
        Typed::Span { seconds, nanos } => ShortText::of(format_args!("{}s", span_text(seconds, nanos).as_str())),
        Typed::Duration { months, days, millis } => {
            let seconds = millis / 1_000;
            ShortText::of(format_args!("P{months}M{days}DT{seconds}.{:03}S", millis % 1_000))
        }
        Typed::Uuid(value) => ShortText::of(format_args!("{}", uuid::Uuid::from_u128(value))),
        Typed::Text(_) | Typed::Meant(..) | Typed::Bytes(_) | Typed::Bits(_) | Typed::Enum { name: Some(_), .. } => {
            unreachable!("a text has no other text")
        }
    }
}

fn decimal_text(unscaled: I256, scale: u32) -> ShortText {
    let digits = ShortText::of(format_args!("{}", unscaled.unsigned_abs()));
    let digits = digits.as_str();
    let sign = if unscaled < I256::ZERO { "-" } else { "" };
    let scale = usize::try_from(scale).unwrap_or(usize::MAX).min(DECIMAL_SCALE_MAX);
    match digits.len().checked_sub(scale) {
        _ if scale == 0 => ShortText::of(format_args!("{sign}{digits}")),
        Some(whole) if whole > 0 => ShortText::of(format_args!("{sign}{}.{}", &digits[..whole], &digits[whole..])),
        _ => ShortText::of(format_args!("{sign}0.{digits:0>scale$}")),
    }
}

/// Digits after the point that a decimal may have; plans refuse schemas with more.
pub(crate) const DECIMAL_SCALE_MAX: usize = 76;

fn date_text(days: i64) -> ShortText {
    let date = days.checked_mul(86_400).and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    match date {
        Some(time) => ShortText::of(format_args!("{}", jiff::tz::Offset::UTC.to_datetime(time).date())),
        None => ShortText::of(format_args!("{days}")),
    }
}

/// A time that has no calendar date stands as its seconds.
fn time_text(moment: Moment, zone: &str) -> ShortText {
    let (seconds, nanos) = moment.parts();
    match jiff::Timestamp::new(seconds, i32::try_from(nanos).unwrap_or(0)) {
        Ok(time) => ShortText::of(format_args!("{}{zone}", jiff::tz::Offset::UTC.to_datetime(time))),
        Err(_) => seconds_text(seconds, nanos),
    }
}

pub(super) fn seconds_text(seconds: i64, nanos: u32) -> ShortText {
    match nanos {
        0 => ShortText::of(format_args!("{seconds}")),
        // The seconds are the whole ones below: -1 s and 0.25 s are -0.75 s.
        _ if seconds < 0 => ShortText::of(format_args!("-{}.{:09}", -(seconds + 1), 1_000_000_000 - nanos)),
        _ => ShortText::of(format_args!("{seconds}.{nanos:09}")),
    }
}

pub(super) fn span_text(seconds: i64, nanos: i32) -> ShortText {
    let sign = if seconds < 0 || nanos < 0 { "-" } else { "" };
    match nanos.unsigned_abs() {
        0 => ShortText::of(format_args!("{seconds}")),
        nanos => {
            let fraction = ShortText::of(format_args!("{nanos:09}"));
            let fraction = fraction.as_str().trim_end_matches('0');
            ShortText::of(format_args!("{sign}{}.{fraction}", seconds.unsigned_abs()))
        }
    }
}

fn clock_text(ticks: i64, precision: u8) -> ShortText {
    let sign = if ticks < 0 { "-" } else { "" };
    let per_second = 10_u64.pow(precision.into());
    let (seconds, fraction) = (ticks.unsigned_abs() / per_second, ticks.unsigned_abs() % per_second);
    let (hours, minutes, seconds) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    match fraction {
        0 => ShortText::of(format_args!("{sign}{hours:02}:{minutes:02}:{seconds:02}")),
        _ => {
            let digits = usize::from(precision);
            ShortText::of(format_args!("{sign}{hours:02}:{minutes:02}:{seconds:02}.{fraction:0digits$}"))
        }
    }
}

/// Appends a value as JSON: numbers as numbers where JSON has them, bytes in base64, all else as texts.
pub(crate) fn write_json(value: Typed<'_>, json: &mut Vec<u8>) {
    match value {
        Typed::Bool(_)
        | Typed::Int(_)
        | Typed::Year(_)
        | Typed::UInt(_)
        | Typed::Decimal { .. }
        | Typed::Enum { name: None, .. } => {
            json.extend_from_slice(text_of(value).as_bytes());
        }
        Typed::Float32(number) if number.is_finite() => json.extend_from_slice(text_of(value).as_bytes()),
        Typed::Float64(number) if number.is_finite() => json.extend_from_slice(text_of(value).as_bytes()),
        Typed::Text(text) | Typed::Meant(text, _) | Typed::Enum { name: Some(text), .. } => write_json_text(text, json),
        Typed::Bytes(bytes) | Typed::Bits(bytes) => write_json_bytes(bytes, json),
        _ => write_json_text(text_of(value).as_str(), json),
    }
}

fn write_json_bytes(bytes: &[u8], json: &mut Vec<u8>) {
    json.push(b'"');
    let start = json.len();
    json.resize(start + bytes.len().div_ceil(3) * 4, 0);
    let written = BASE64_STANDARD.encode_slice(bytes, &mut json[start..]).expect("four characters for three bytes");
    json.truncate(start + written);
    json.push(b'"');
}

/// Appends a text as a JSON string.
pub(crate) fn write_json_text(text: &str, json: &mut Vec<u8>) {
    serde_json::to_writer(json, text).expect("a text can always be written to memory");
}
