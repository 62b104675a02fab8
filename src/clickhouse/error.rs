//! Why a control statement did not give what was asked: no answer, a refusal, or an answer that cannot be used.
//!
//! None of these says whether the statement took effect. Whoever claims starts over with a new claim.

use std::time::Duration;

use super::codes::{self, Disposition};
use crate::insert::page_text;

/// A control statement that failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    /// No reply, or one that did not come from ClickHouse.
    #[error("{doing}: no answer from clickhouse at {server}: {why}")]
    Unreachable {
        /// What was tried.
        doing: String,
        /// The endpoint.
        server: String,
        /// What was seen instead of an answer.
        why: String,
    },
    /// Something else answered: a proxy, a load balancer, a page that asks for a password.
    #[error("{doing}: something that is not clickhouse answered at {server}: {said}")]
    Stranger {
        /// What was tried.
        doing: String,
        /// The endpoint.
        server: String,
        /// The beginning of its answer.
        said: String,
    },
    /// ClickHouse answered with an error.
    #[error("{doing}: clickhouse at {server} answered with code {code}: {text}")]
    Refused {
        /// What was tried.
        doing: String,
        /// The endpoint.
        server: String,
        /// The server's code.
        code: u32,
        /// Its message.
        text: String,
    },
    /// ClickHouse answered with something that this version does not understand.
    #[error("{doing}: cannot read the answer of clickhouse at {server}: {why}")]
    Malformed {
        /// What was tried.
        doing: String,
        /// The endpoint.
        server: String,
        /// What is wrong with it.
        why: String,
    },
    /// What the server has cannot be used until somebody changes it.
    #[error("{what}; {fix}")]
    Unusable {
        /// What is wrong, and where.
        what: String,
        /// What to do about it.
        fix: String,
    },
    /// Something that others have to finish was not finished in time.
    #[error("{doing}: gave up after {} s: {why}", waited.as_secs_f32())]
    Deadline {
        /// What was waited for.
        doing: String,
        /// For how long.
        waited: Duration,
        /// What was still missing.
        why: String,
    },
}

impl ControlError {
    /// The server's code, where it gave one.
    pub const fn code(&self) -> Option<u32> {
        match self {
            Self::Refused { code, .. } => Some(*code),
            Self::Unreachable { .. }
            | Self::Stranger { .. }
            | Self::Malformed { .. }
            | Self::Unusable { .. }
            | Self::Deadline { .. } => None,
        }
    }

    /// What to do about it.
    pub fn disposition(&self) -> Disposition {
        match self {
            Self::Unreachable { .. } | Self::Stranger { .. } | Self::Deadline { .. } => Disposition::Backoff,
            Self::Refused { code, text, .. } => match codes::disposition(*code, text) {
                // A control statement carries no records: what it says wrong stays wrong.
                Disposition::PermanentForBytes => Disposition::Configuration,
                Disposition::Other if codes::speaks_of_statement(*code) => Disposition::Configuration,
                other => other,
            },
            Self::Malformed { .. } => Disposition::Other,
            Self::Unusable { .. } => Disposition::Configuration,
        }
    }

    /// The error of a control statement, from the client crate's.
    pub(super) fn from_client(doing: &str, server: &str, error: &clickhouse::error::Error) -> Self {
        use clickhouse::error::Error;
        let (doing, server) = (doing.to_owned(), server.to_owned());
        match error {
            Error::BadResponse(text) => match codes::parse(text) {
                Some(code) => Self::Refused { doing, server, code, text: codes::message(text).to_owned() },
                None => Self::Stranger { doing, server, said: page_text(text) },
            },
            Error::Network(source) => Self::Unreachable { doing, server, why: chain(source.as_ref()) },
            Error::TimedOut => Self::Unreachable { doing, server, why: "timed out".to_owned() },
            other => Self::Malformed { doing, server, why: chain(other) },
        }
    }
}

/// An error and what caused it, in one line: hyper keeps the reason that a user needs in the cause.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.contains(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use clickhouse::error::Error;

    #[test]
    fn errors_of_the_client_become_ours() {
        let check = |error: Error, code: Option<u32>, disposition: Disposition| {
            let ours = ControlError::from_client("claiming", "http://h:1", &error);
            assert_eq!((ours.code(), ours.disposition()), (code, disposition), "{ours}");
            assert!(ours.to_string().starts_with("claiming: "), "{ours}");
        };
        let bad = |text: &str| Error::BadResponse(text.to_owned());
        check(bad("Code: 60. DB::Exception: Table x does not exist"), Some(60), Disposition::Configuration);
        check(bad("Code: 202. DB::Exception: Too many"), Some(202), Disposition::Backoff);
        check(bad("Code: 53. DB::Exception: x"), Some(53), Disposition::Configuration);
        check(bad("502 Bad Gateway"), None, Disposition::Backoff);
        let page = bad("<html><head><title>Sign in</title></head><body>..</body></html>");
        assert_eq!(
            ControlError::from_client("claiming", "http://h:1", &page).to_string(),
            "claiming: something that is not clickhouse answered at http://h:1: Sign in"
        );
        check(Error::Network("reset".into()), None, Disposition::Backoff);
        check(Error::TimedOut, None, Disposition::Backoff);
        check(Error::NotEnoughData, None, Disposition::Other);
    }
}
