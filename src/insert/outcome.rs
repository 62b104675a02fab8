//! What became of an insert, judged from the reply alone.

use crate::clickhouse::codes::{self, Disposition};

/// The text that the fence raises: a newer claim exists, or ours is gone.
pub(crate) const FENCED: &str = "oncesink:fenced";
/// The text that the ledger's proof raises: rows that the block vouches for are not there.
pub(crate) const SHORT: &str = "oncesink:short";
/// The text that the presence test raises: other rows are there than the look found.
pub(crate) const PRESENT: &str = "oncesink:present";
/// The text of the condition on the structure: the table is not as it was when the rows were made.
pub(crate) const TABLE_CHANGED: &str = "oncesink:table_changed";

/// The status of a request that is too large, for whoever bounds them.
const PAYLOAD_TOO_LARGE: u16 = 413;

/// What became of an insert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// All of it is there.
    Acknowledged,
    /// One of our own conditions refused it; nothing of it was written.
    Refused(Refusal),
    /// The server ended it with an error. Some of it may be there: an error can come from behind the commit.
    Ended {
        /// The server's code.
        code: u32,
        /// Its message.
        text: String,
        /// What the code asks for.
        disposition: Disposition,
    },
    /// Something in front of the server says that the request is too large. As unclear as no reply.
    TooLarge {
        /// What it said.
        why: String,
    },
    /// No reply that says anything. It may still be running.
    Unknown {
        /// What was seen instead.
        why: String,
    },
}

/// Which of our conditions refused an insert.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The fence: we are not the newest claimant of every partition.
    Fenced,
    /// The proof: the table does not hold what the block says.
    Short,
    /// The presence test: the table holds other rows than the look found, for example from a repeated request.
    Present,
    /// The table has another structure than the one that the rows were made for, or is another table.
    TableChanged,
}

/// A reply, as far as it says something about the outcome.
#[derive(Debug, Clone, Default)]
pub struct Reply<'a> {
    /// Of HTTP.
    pub status: u16,
    /// `X-ClickHouse-Exception-Code`.
    pub exception_code: Option<&'a str>,
    /// `X-ClickHouse-Summary`.
    pub summary: Option<&'a str>,
    /// Whether any header begins with `X-ClickHouse-`: the server never leaves all of them out.
    pub from_clickhouse: bool,
    /// The beginning of the body.
    pub body: &'a str,
}

impl Outcome {
    /// Judges a complete reply to an insert of `rows` rows.
    pub fn judge(reply: &Reply<'_>, rows: u64) -> Self {
        let code = reply
            .exception_code
            .and_then(|code| code.trim().parse().ok())
            // With status 200 an exception can stand in the body alone: the headers had been sent before it happened.
            .or_else(|| codes::parse(reply.body));
        if let Some(code) = code {
            return Self::of_error(code, codes::message(reply.body));
        }
        if let Some(header) = reply.exception_code {
            return Self::Unknown { why: format!("an exception code that is no number: {header:?}") };
        }
        if !reply.from_clickhouse {
            let why = stranger(reply.status, reply.body);
            let too_large = reply.status == PAYLOAD_TOO_LARGE;
            return if too_large { Self::TooLarge { why } } else { Self::Unknown { why } };
        }
        if reply.status != 200 {
            return Self::Unknown {
                why: format!("http status {} without a clickhouse code: {}", reply.status, excerpt(reply.body)),
            };
        }
        match reply.summary.map(written_rows) {
            None => Self::Acknowledged,
            Some(Some(written)) if written >= rows => Self::Acknowledged,
            Some(Some(written)) => {
                Self::Unknown { why: format!("the summary speaks of {written} written rows, {rows} were sent") }
            }
            Some(None) => Self::Unknown { why: "the summary cannot be read".to_owned() },
        }
    }

    fn of_error(code: u32, text: &str) -> Self {
        if code == codes::THROW_IF
            && let Some(refusal) = Refusal::of_message(text)
        {
            return Self::Refused(refusal);
        }
        Self::Ended {
            code,
            text: excerpt(text),
            // Without its text a 395 may as well have been our fence: no reason to doubt the records.
            disposition: if code == codes::THROW_IF && text.is_empty() {
                Disposition::Other
            } else {
                codes::disposition(code, text)
            },
        }
    }
}

impl Refusal {
    /// Ours only if the message *begins* with our text: the server appends the expression that failed, and with a
    /// view that throws by itself this names whatever else stands in the statement.
    fn of_message(message: &str) -> Option<Self> {
        let texts = [
            (FENCED, Self::Fenced),
            (SHORT, Self::Short),
            (PRESENT, Self::Present),
            (TABLE_CHANGED, Self::TableChanged),
        ];
        texts.into_iter().find(|(text, _)| message.starts_with(text)).map(|(_, refusal)| refusal)
    }
}

fn written_rows(summary: &str) -> Option<u64> {
    let summary: serde_json::Value = serde_json::from_str(summary).ok()?;
    match summary.get("written_rows")? {
        serde_json::Value::String(text) => text.parse().ok(),
        number => number.as_u64(),
    }
}

/// What something between us and the server said.
pub(crate) fn stranger(status: u16, body: &str) -> String {
    let said = page_text(body);
    let colon = if said.is_empty() { "" } else { ": " };
    format!("http status {status} from something that is not clickhouse{colon}{said}")
}

/// The title of a page, else the beginning of a text.
pub(crate) fn page_text(body: &str) -> String {
    const CHARACTERS_MAX: usize = 200;
    let lower = body.to_ascii_lowercase();
    let title = lower.find("<title>").and_then(|at| {
        let start = at + "<title>".len();
        body.get(start..start + lower.get(start..)?.find("</title>")?)
    });
    title.unwrap_or(body).trim().chars().take(CHARACTERS_MAX).collect()
}

/// Messages of the server can carry whole statements; logs and dead letters get the beginning.
fn excerpt(text: &str) -> String {
    const CHARACTERS_MAX: usize = 2_000;
    text.chars().take(CHARACTERS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply<'a>(status: u16, code: &'a str, body: &'a str) -> Reply<'a> {
        Reply { status, exception_code: (!code.is_empty()).then_some(code), summary: None, body, from_clickhouse: true }
    }

    #[test]
    fn replies_are_judged() {
        let check = |reply: Reply<'_>, expected: &str| {
            let outcome = match Outcome::judge(&reply, 10) {
                Outcome::Acknowledged => "acknowledged".to_owned(),
                Outcome::Refused(refusal) => format!("{refusal:?}").to_lowercase(),
                Outcome::Ended { code, disposition, .. } => format!("ended {code} {disposition:?}"),
                Outcome::TooLarge { why } => format!("too large: {why}"),
                Outcome::Unknown { why } if why.contains("not clickhouse") => why,
                Outcome::Unknown { .. } => "unknown".to_owned(),
            };
            assert_eq!(outcome, expected, "{reply:?}");
        };
        check(reply(200, "", ""), "acknowledged");
        let fenced = "Code: 395. DB::Exception: oncesink:fenced: while executing 'FUNCTION throwIf(..)'. (FUNCTION_THROW_IF_VALUE_IS_NON_ZERO)";
        check(reply(500, "395", fenced), "fenced");
        check(reply(500, "", fenced), "fenced");
        check(reply(200, "", fenced), "fenced");
        check(reply(500, "395", "Code: 395. DB::Exception: oncesink:short: while executing"), "short");
        check(reply(500, "395", "Code: 395. DB::Exception: oncesink:present: while executing"), "present");
        check(reply(500, "395", "Code: 395. DB::Exception: oncesink:table_changed: while executing"), "tablechanged");
        // A view's own 395, also when the statement that it quotes carries our text.
        check(
            reply(500, "395", "Code: 395. DB::Exception: too hot: while executing 'FUNCTION throwIf'"),
            "ended 395 PermanentForBytes",
        );
        check(
            reply(500, "395", "Code: 395. DB::Exception: too hot: while executing throwIf(.., 'oncesink:fenced')"),
            "ended 395 PermanentForBytes",
        );
        check(reply(500, "395", ""), "ended 395 Other");
        // Our text under another code is not the fence.
        check(reply(500, "47", "Code: 47. DB::Exception: oncesink:fenced"), "ended 47 Configuration");
        check(reply(500, "241", "Code: 241. DB::Exception: Memory limit"), "ended 241 Backoff");
        check(reply(200, "209", ""), "ended 209 Backoff");
        check(reply(404, "60", "Code: 60. DB::Exception: x"), "ended 60 Configuration");
        check(reply(502, "", "<html>Bad Gateway"), "unknown");
        check(reply(504, "", ""), "unknown");
        check(reply(204, "", ""), "unknown");
        check(reply(301, "", ""), "unknown");
        check(reply(500, "x", ""), "unknown");
        // What stands between us and the server says nothing of the server, whatever its status.
        let page = "<html>\r\n<head><title>413 Request Entity Too Large</title></head></html>";
        let stranger = |status, body| Reply { from_clickhouse: false, ..reply(status, "", body) };
        check(stranger(502, ""), "http status 502 from something that is not clickhouse");
        check(stranger(200, " welcome "), "http status 200 from something that is not clickhouse: welcome");
        check(stranger(200, ""), "http status 200 from something that is not clickhouse");
        check(stranger(302, ""), "http status 302 from something that is not clickhouse");
        check(stranger(429, "slow down"), "http status 429 from something that is not clickhouse: slow down");
        check(
            stranger(413, page),
            "too large: http status 413 from something that is not clickhouse: 413 Request Entity Too Large",
        );
        // An exception of the server that somebody passes on without its headers.
        check(stranger(500, "Code: 241. DB::Exception: Memory limit"), "ended 241 Backoff");
        let with_summary = |summary: &'static str| Reply { summary: Some(summary), ..reply(200, "", "") };
        check(with_summary(r#"{"written_rows":"10"}"#), "acknowledged");
        check(with_summary(r#"{"written_rows":10}"#), "acknowledged");
        check(with_summary(r#"{"written_rows":"30"}"#), "acknowledged");
        check(with_summary(r#"{"written_rows":"9"}"#), "unknown");
        check(with_summary(r#"{"read_rows":"10"}"#), "unknown");
        check(with_summary("torn"), "unknown");
    }
}
