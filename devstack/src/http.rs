//! A small blocking client of ClickHouse's HTTP interface, for oracles, tests and the command line.
//!
//! It keeps no connection between requests, so that nothing of one test's faults reaches into another request.

use std::fmt;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use ureq::Body;
use ureq::http::{HeaderMap, Response};
use ureq::tls::{Certificate, RootCerts, TlsConfig};

/// Replies are read up to here.
const REPLY_BYTES_MAX: u64 = 1 << 30;

/// What to send where, and whom to trust.
#[derive(Debug, Clone)]
pub struct Client {
    agent: ureq::Agent,
    url: String,
    user: Option<(String, String)>,
}

/// A reply, of whatever status.
#[derive(Debug, Clone)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// `X-ClickHouse-Exception-Code`.
    pub code: Option<u32>,
    /// `X-ClickHouse-Summary`.
    pub summary: Option<String>,
    /// The body as it came.
    pub body: Vec<u8>,
}

impl Reply {
    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "status {}, code {:?}: {}", self.status, self.code, self.text().trim_end())
    }
}

impl Client {
    /// A client of the server at `url`, for example `http://127.0.0.1:8123`; credentials may stand in the URL.
    #[must_use]
    pub fn new(url: &str) -> Self {
        Self { agent: agent(TlsConfig::default()), url: url.trim_end_matches('/').to_owned(), user: None }
    }

    /// Trusts the certificates in `pem`, and no others.
    ///
    /// # Errors
    /// When there is no certificate in `pem`.
    pub fn trusting(mut self, pem: &str) -> Result<Self> {
        let certificate = Certificate::from_pem(pem.as_bytes()).context("read the CA's certificate")?;
        let roots = RootCerts::new_with_certs(&[certificate]);
        self.agent = agent(TlsConfig::builder().root_certs(roots).build());
        Ok(self)
    }

    /// Authenticates as this user.
    #[must_use]
    pub fn user(mut self, name: &str, password: &str) -> Self {
        self.user = Some((name.to_owned(), password.to_owned()));
        self
    }

    /// Sends `body` with these URL parameters and gives the reply, also when it is an error.
    ///
    /// # Errors
    /// When there is no reply.
    pub fn post(&self, params: &[(&str, &str)], body: &[u8]) -> Result<Reply> {
        self.post_to("/", params, body)
    }

    pub(crate) fn post_to(&self, path: &str, params: &[(&str, &str)], body: &[u8]) -> Result<Reply> {
        let mut request = self.agent.post(format!("{}{path}", self.url)).query_pairs(params.iter().copied());
        if let Some((name, password)) = &self.user {
            request = request.header("X-ClickHouse-User", name).header("X-ClickHouse-Key", password);
        }
        Self::reply(request.send(body).with_context(|| format!("send to {}", self.url))?)
    }

    /// Sends a JSON text to a page of the server at our URL.
    pub(crate) fn post_json(&self, path: &str, body: &str) -> Result<Reply> {
        let request = self.agent.post(format!("{}{path}", self.url)).header("Content-Type", "application/json");
        Self::reply(request.send(body).with_context(|| format!("send to {path} of {}", self.url))?)
    }

    /// Gets a page of the server at our URL.
    ///
    /// # Errors
    /// When there is no reply.
    pub fn get(&self, path: &str) -> Result<Reply> {
        let request = self.agent.get(format!("{}{path}", self.url));
        Self::reply(request.call().with_context(|| format!("get {path} from {}", self.url))?)
    }

    fn reply(mut response: Response<Body>) -> Result<Reply> {
        let code = header(response.headers(), "X-ClickHouse-Exception-Code");
        let code = code.map(|code| code.parse().with_context(|| format!("read the exception code {code:?}")));
        let body = response.body_mut().with_config().limit(REPLY_BYTES_MAX).read_to_vec();
        Ok(Reply {
            status: response.status().as_u16(),
            code: code.transpose()?,
            summary: header(response.headers(), "X-ClickHouse-Summary"),
            body: body.context("read the reply")?,
        })
    }

    /// Executes a statement and gives its result as text, tab separated unless it says otherwise.
    ///
    /// # Errors
    /// When there is no reply or when it is an error.
    pub fn query(&self, sql: &str) -> Result<String> {
        let reply = self.post(&[], sql.as_bytes())?;
        if reply.status != 200 || reply.code.is_some() {
            bail!("{reply}\nstatement: {sql}");
        }
        Ok(reply.text())
    }
}

/// Executes a statement on the server at `url` and gives its result as text, tab separated unless it says otherwise.
///
/// # Errors
/// When there is no reply or when it is an error.
pub fn query(url: &str, sql: &str) -> Result<String> {
    Client::new(url).query(sql)
}

fn agent(tls: TlsConfig) -> ureq::Agent {
    ureq::Agent::config_builder()
        .http_status_as_error(false)
        .max_idle_connections(0)
        .timeout_connect(Some(Duration::from_secs(10)))
        .tls_config(tls)
        .build()
        .new_agent()
}

fn header(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
}
