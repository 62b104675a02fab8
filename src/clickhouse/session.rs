//! A server together with what had to be asked of it once: its version, its identity, the settings to pin.
//!
//! Opened at start and again at every takeover, because a server can be restarted with another profile in between.

use clickhouse::{Row, RowOwned, RowRead};
use serde::Deserialize;

use super::client::Server;
use super::codes;
use super::error::ControlError;
use super::pins::{self, Pins, Setting};

/// A server whose pins are known.
#[derive(Debug, Clone)]
pub struct Session {
    server: Server,
    pins: Pins,
    version: String,
    host: String,
    time_zone: String,
}

#[derive(Debug, Row, Deserialize)]
struct Identity {
    version: String,
    host: String,
    time_zone: String,
}

impl Session {
    /// Asks a server for its version and settings, and tries the pins on it.
    pub async fn open(server: Server) -> Result<Self, ControlError> {
        let first = owned(pins::OF_THE_QUESTION);
        let mut always = Vec::new();
        let Answers { identity, settings } = match ask(&server, &first).await {
            Ok(answers) => answers,
            Err(error @ (ControlError::Refused { .. } | ControlError::Malformed { .. })) => {
                let Some((answers, sent)) = ask_in_spite(&server, &first).await else { return Err(forbidden(error)) };
                always = sent;
                answers
            }
            Err(error) => return Err(error),
        };
        let identity = one(&server, "asking for the version", identity)?;
        let pins = Pins::from_settings(server.name(), &settings, &always)?;
        let session =
            Self { server, pins, version: identity.version, host: identity.host, time_zone: identity.time_zone };
        session.try_pins().await?;
        Ok(session)
    }

    /// The server.
    pub const fn server(&self) -> &Server {
        &self.server
    }

    /// The settings to send.
    pub const fn pins(&self) -> &Pins {
        &self.pins
    }

    /// The server's version, for the ledger.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The host that answered: another answer later tells of a load balancer.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The server's time zone, in which it reads times that name none.
    pub fn time_zone(&self) -> &str {
        &self.time_zone
    }

    /// Whether the server's version is at least `major.minor`.
    pub fn is_at_least(&self, major: u32, minor: u32) -> bool {
        version_is_at_least(&self.version, major, minor)
    }

    /// Runs a control statement that returns no rows, with the pins.
    pub async fn execute(&self, doing: &str, statement: &str) -> Result<(), ControlError> {
        self.server.execute(doing, statement, self.pins.control()).await
    }

    /// Runs a control SELECT, with the pins.
    pub async fn fetch<T: RowOwned + RowRead>(&self, doing: &str, statement: &str) -> Result<Vec<T>, ControlError> {
        self.server.fetch(doing, statement, self.pins.control()).await
    }

    /// Runs a control SELECT with settings that win over the pins of the same name.
    pub(crate) async fn fetch_with<T: RowOwned + RowRead>(
        &self,
        doing: &str,
        statement: &str,
        settings: &[(&str, &str)],
    ) -> Result<Vec<T>, ControlError> {
        let mut all = self.pins.control().to_vec();
        all.extend(settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        self.server.fetch(doing, statement, &all).await
    }

    /// Sends the pins once with a statement that does nothing, so that a constraint shows here and not in an insert.
    async fn try_pins(&self) -> Result<(), ControlError> {
        let doing = "trying the settings that exactly-once needs";
        let mut settings = self.pins.control().to_vec();
        settings.extend(self.pins.block(0));
        self.server.fetch::<u8>(doing, "SELECT toUInt8(1)", &settings).await.map(|_| ()).map_err(forbidden)
    }
}

/// What is asked of a server before anything is known of it.
struct Answers {
    identity: Vec<Identity>,
    settings: Vec<Setting>,
}

async fn ask(server: &Server, settings: &[(String, String)]) -> Result<Answers, ControlError> {
    let question = "SELECT version() AS version, hostName() AS host, timezone() AS time_zone";
    let identity = server.fetch("asking for the version", question, settings).await?;
    let settings = server.fetch("reading settings", &Pins::question(), settings).await?;
    Ok(Answers { identity, settings })
}

/// The same under a profile that would refuse or garble even these questions. Gives what was sent for it beside `first`;
/// `None` where nothing helps.
async fn ask_in_spite(server: &Server, first: &[(String, String)]) -> Option<(Answers, Vec<(String, String)>)> {
    let mut more = owned(pins::OF_A_REFUSED_QUESTION);
    loop {
        match ask(server, &[first, &more].concat()).await {
            Ok(answers) => return Some((answers, more)),
            // One that the server does not know, or that the profile holds where it is.
            Err(ControlError::Refused { code, text, .. })
                if code == codes::UNKNOWN_SETTING || code == codes::SETTING_CONSTRAINT =>
            {
                let named = more.iter().position(|(name, _)| {
                    text.split(|letter: char| !(letter.is_alphanumeric() || letter == '_')).any(|word| word == name)
                })?;
                more.remove(named);
            }
            Err(_) => return None,
        }
    }
}

fn owned(settings: &[(&str, &str)]) -> Vec<(String, String)> {
    settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// A constraint names its setting in the server's message.
fn forbidden(error: ControlError) -> ControlError {
    match error {
        ControlError::Refused { server, code, text, .. }
            if code == codes::SETTING_CONSTRAINT || code == codes::READONLY =>
        {
            ControlError::Unusable {
                what: format!("the profile of our user at {server} forbids a setting that exactly-once needs: {text}"),
                fix: "remove that constraint from the profile".to_owned(),
            }
        }
        other => other,
    }
}

/// The only row of an answer.
pub(super) fn one<T>(server: &Server, doing: &str, rows: Vec<T>) -> Result<T, ControlError> {
    let count = rows.len();
    let mut rows = rows.into_iter();
    match (rows.next(), rows.next()) {
        (Some(row), None) => Ok(row),
        _ => Err(ControlError::Malformed {
            doing: doing.to_owned(),
            server: server.name().to_owned(),
            why: format!("expected one row, got {count}"),
        }),
    }
}

fn version_is_at_least(version: &str, major: u32, minor: u32) -> bool {
    let mut numbers = version.split('.').map(|part| part.parse::<u32>().ok());
    match (numbers.next().flatten(), numbers.next().flatten()) {
        (Some(its_major), Some(its_minor)) => (its_major, its_minor) >= (major, minor),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_by_number() {
        let check = |version: &str, expected: bool| {
            assert_eq!(version_is_at_least(version, 26, 5), expected, "{version}");
        };
        check("26.5.1.480", true);
        check("26.10.1", true);
        check("27.1", true);
        check("26.4.9.9", false);
        check("25.8.2.1", false);
        check("unknown", false);
    }
}
