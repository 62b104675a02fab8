//! Any reply to an insert: taken for an acknowledgement only when nothing in it speaks of an error.

use oncesink::clickhouse::codes;
use oncesink::insert::{Outcome, Reply};

/// The most characters of a server's text that are kept.
const TEXT_CHARACTERS_MAX: usize = 2_000;
/// What we sent.
const ROWS: u64 = 10;

/// The first line is the status, the second and third are headers where they are not empty, the rest is the body.
pub(crate) fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut parts = text.splitn(4, '\n');
    let mut part = || parts.next().unwrap_or_default();
    let status = part().parse().unwrap_or(200);
    let header = |text| Some(text).filter(|text: &&str| !text.is_empty());
    let (exception_code, summary) = (header(part()), header(part()));
    let body = part();
    let from_clickhouse = exception_code.is_some() || summary.is_some();
    let reply = Reply { status, exception_code, summary, body, from_clickhouse };
    match Outcome::judge(&reply, ROWS) {
        Outcome::Acknowledged => {
            assert_eq!((status, exception_code, codes::parse(body)), (200, None, None));
            assert!(from_clickhouse, "nobody else acknowledges an insert");
            let number = |text: &str| text.bytes().any(|byte| byte.is_ascii_digit());
            assert!(summary.is_none_or(number), "{summary:?}");
        }
        Outcome::Refused(_) => {
            let code = exception_code.and_then(|code| code.trim().parse().ok()).or_else(|| codes::parse(body));
            assert_eq!(code, Some(codes::THROW_IF));
            assert!(body.contains("oncesink:"));
        }
        Outcome::Ended { text, .. } => assert!(text.chars().count() <= TEXT_CHARACTERS_MAX),
        Outcome::TooLarge { why } => assert!(status == 413 && !why.is_empty()),
        Outcome::Unknown { why } => assert!(!why.is_empty()),
    }
}
