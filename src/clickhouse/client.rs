//! One ClickHouse endpoint over HTTP.
//!
//! Takes statements and inserts, gives rows, an [`Outcome`] or a [`ControlError`]. A lane stays with one endpoint;
//! going to another one is a takeover. Never repeats a request: whether one took effect is the protocol's question,
//! so the HTTP client's own second try is switched off. Never shows the password.

use std::fmt;
use std::time::Duration;

use clickhouse::{RowOwned, RowRead};
use hyper::Uri;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::connect::HttpConnector;
use secrecy::{ExposeSecret, SecretString};

use super::error::ControlError;
use crate::http::{self, TlsFault};
use crate::insert::{self, InsertRequest, Outcome};

/// How to reach a server.
#[derive(Debug, Clone)]
pub struct ServerSettings {
    /// `http://` or `https://`, host, port, optionally a path.
    pub url: String,
    /// The user.
    pub user: String,
    /// The user's password.
    pub password: SecretString,
    /// Private certificate authorities as PEM text, trusted beside the system's.
    pub certificate_authorities: Option<String>,
    /// How long a connection may take to be made.
    pub connect_timeout: Duration,
    /// How long a reply may take, from the first byte sent.
    pub response_timeout: Duration,
    /// Whether something between us and the server may repeat a request.
    pub behind_proxy: bool,
}

/// One endpoint.
#[derive(Clone)]
pub struct Server {
    name: String,
    control: clickhouse::Client,
    inserts: insert::Sender,
    response_timeout: Duration,
    behind_proxy: bool,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("name", &self.name)
            .field("behind_proxy", &self.behind_proxy)
            .finish_non_exhaustive()
    }
}

impl Server {
    /// Prepares an endpoint; connects nowhere yet. Reads certificate files, so it belongs to the start of the process.
    pub fn new(settings: &ServerSettings) -> Result<Self, ControlError> {
        let base = base_uri(&settings.url)?;
        let connector = connector(settings)?;
        let password = settings.password.expose_secret();
        let control = clickhouse::Client::with_http_client(
            // Not one client for both: the crate's request body is its own type.
            http::client_builder().build(connector.clone()),
        )
        .with_url(base.to_string())
        .with_user(&settings.user)
        .with_password(password)
        // Uncompressed: control replies are small, and the crate would otherwise ask for a setting that a
        // readonly profile forbids.
        .with_compression(clickhouse::Compression::None);
        let inserts = insert::Sender::new(
            http::client_builder().build(connector),
            base,
            &settings.user,
            password,
            settings.response_timeout,
        )?;
        Ok(Self {
            name: settings.url.clone(),
            control,
            inserts,
            response_timeout: settings.response_timeout,
            behind_proxy: settings.behind_proxy,
        })
    }

    /// The endpoint's address, for messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether something between us and the server may repeat a request.
    pub const fn behind_proxy(&self) -> bool {
        self.behind_proxy
    }

    /// Runs a statement that returns no rows. `doing` says in a word or two what for.
    pub async fn execute(
        &self,
        doing: &str,
        statement: &str,
        settings: &[(String, String)],
    ) -> Result<(), ControlError> {
        let query = self.query(doing, statement, settings);
        self.timed(doing, query.execute()).await
    }

    /// Runs a statement and returns all of its rows; the caller bounds them in the statement.
    pub async fn fetch<T: RowOwned + RowRead>(
        &self,
        doing: &str,
        statement: &str,
        settings: &[(String, String)],
    ) -> Result<Vec<T>, ControlError> {
        let query = self.query(doing, statement, settings);
        self.timed(doing, query.fetch_all()).await
    }

    /// Sends an insert, once.
    pub async fn insert(&self, request: InsertRequest) -> Outcome {
        self.inserts.send(request).await
    }

    fn query(&self, doing: &str, statement: &str, settings: &[(String, String)]) -> clickhouse::query::Query {
        settings
            .iter()
            .fold(self.control.query_raw(statement), |query, (name, value)| query.with_setting(name, value))
            .with_setting("log_comment", format!("oncesink control: {doing}"))
            .with_setting("wait_end_of_query", "1")
    }

    async fn timed<T>(
        &self,
        doing: &str,
        reply: impl Future<Output = clickhouse::error::Result<T>>,
    ) -> Result<T, ControlError> {
        match tokio::time::timeout(self.response_timeout, reply).await {
            Ok(reply) => reply.map_err(|error| ControlError::from_client(doing, &self.name, &error)),
            Err(_) => Err(ControlError::Unreachable {
                doing: doing.to_owned(),
                server: self.name.clone(),
                why: format!("no reply within {} s", self.response_timeout.as_secs_f32()),
            }),
        }
    }
}

fn base_uri(url: &str) -> Result<Uri, ControlError> {
    let unusable = |what: String| ControlError::Unusable {
        what,
        fix: "write it as http://host:8123 or https://host:8443".to_owned(),
    };
    let uri: Uri = url.parse().map_err(|error| unusable(format!("clickhouse url {url:?} cannot be read: {error}")))?;
    match uri.scheme_str() {
        Some("http" | "https") => {}
        _ => {
            return Err(unusable(format!("clickhouse url {url:?} is neither http nor https")));
        }
    }
    if uri.query().is_some() {
        return Err(unusable(format!("clickhouse url {url:?} has a query string, which would be dropped")));
    }
    if uri.authority().is_some_and(|host| host.as_str().contains('@')) {
        return Err(unusable("the clickhouse url carries a user or password; they have keys of their own".to_owned()));
    }
    Ok(uri)
}

fn connector(settings: &ServerSettings) -> Result<HttpsConnector<HttpConnector>, ControlError> {
    let tls = http::tls_config("clickhouse", settings.certificate_authorities.as_deref(), None)
        .map_err(|TlsFault { what, fix }| ControlError::Unusable { what, fix })?;
    Ok(http::connector(tls, settings.connect_timeout))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(url: &str) -> ServerSettings {
        ServerSettings {
            url: url.to_owned(),
            user: "someone".to_owned(),
            password: SecretString::from("s3cret"),
            certificate_authorities: None,
            connect_timeout: Duration::from_secs(1),
            response_timeout: Duration::from_secs(1),
            behind_proxy: false,
        }
    }

    #[test]
    fn urls_that_cannot_work_are_refused() {
        let check = |url: &str, expected: Option<&str>| {
            let refused = Server::new(&settings(url)).err().map(|e| e.to_string());
            match expected {
                None => assert_eq!(refused, None, "{url}"),
                Some(part) => assert!(refused.as_ref().is_some_and(|text| text.contains(part)), "{url}: {refused:?}"),
            }
        };
        check("http://127.0.0.1:8123", None);
        check("https://clickhouse.example:8443/path", None);
        check("clickhouse:9000", Some("neither http nor https"));
        check("tcp://h:9000", Some("neither http nor https"));
        check("http://h:8123/?user=x", Some("query string"));
        check("http://u:p@h:8123", Some("user or password"));
        check("http://exa mple", Some("cannot be read"));
    }

    #[test]
    fn certificate_authorities_must_hold_a_certificate() {
        let mut settings = settings("https://h:8443");
        settings.certificate_authorities = Some("nothing here".to_owned());
        let error = Server::new(&settings).unwrap_err().to_string();
        assert!(error.contains("cannot be used"), "{error}");
    }

    #[test]
    fn the_password_is_never_shown() {
        let settings = settings("http://127.0.0.1:8123");
        let server = Server::new(&settings).unwrap();
        assert!(!format!("{settings:?} {server:?}").contains("s3cret"));
    }
}
