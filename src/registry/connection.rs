//! One question to the registry over HTTP: a GET, the first of the base addresses that answers, its reply read as JSON.
//!
//! Takes a path below the base address. Promises that every request ends in time, that a reply of any length takes
//! bounded memory, and that [`Reply::Absent`] is a registry's own word: a page of something else that happens to be
//! missing is a failure.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::{BodyExt, Empty, LengthLimitError, Limited};
use hyper::header::{ACCEPT, AUTHORIZATION, HeaderValue};
use hyper::{Method, Request, StatusCode, Uri};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use secrecy::ExposeSecret;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::RegistryError;
use crate::clickhouse::chain;
use crate::config::{RegistryCredentials, RegistrySettings};
use crate::http::{self, TlsFault};
use crate::metrics::{RegistryReply, SchemaMetrics};

/// For making a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// For one reply, whole.
pub(super) const RESPONSE_TIMEOUT: Duration = Duration::from_secs(10);
/// No schema is near this.
pub(super) const REPLY_BYTES_MAX: usize = 16 << 20;
/// How much of a registry's own message is repeated, in characters.
const MESSAGE_SHOWN_MAX: usize = 200;
const MEDIA_TYPE: HeaderValue = HeaderValue::from_static("application/vnd.schemaregistry.v1+json");
/// A page that every registry has, whatever is registered.
const PAGE_OF_EVERY_REGISTRY: &str = "/schemas/types";

/// What came of a question.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reply<T> {
    Page(T),
    /// The registry says that there is none.
    Absent(String),
    /// The reply is longer than [`REPLY_BYTES_MAX`].
    TooLong,
    /// No address gave an answer.
    Failed(String),
}

/// The addresses of one registry.
pub(super) struct Connection {
    http: Client<HttpsConnector<HttpConnector>, Empty<Bytes>>,
    /// Without a slash at the end. Never empty.
    bases: Vec<String>,
    /// The one that answered last, where the next question begins.
    preferred: AtomicUsize,
    authorization: Option<HeaderValue>,
    response_timeout: Duration,
    metrics: SchemaMetrics,
}

impl Connection {
    /// Prepares the connection; connects nowhere yet.
    pub(super) fn new(
        settings: &RegistrySettings,
        response_timeout: Duration,
        metrics: SchemaMetrics,
    ) -> Result<Self, RegistryError> {
        let tls = http::tls_config(
            "the schema registry",
            settings.certificate_authorities.as_deref(),
            settings.identity.as_ref(),
        )
        .map_err(|TlsFault { what, fix }| RegistryError { what, fix })?;
        let mut builder = http::client_builder();
        // Nothing here changes anything, so a request that met a closing connection may be sent again.
        let http = builder.retry_canceled_requests(true).build(http::connector(tls, CONNECT_TIMEOUT));
        let bases = settings.urls.iter().map(|url| url.to_string().trim_end_matches('/').to_owned()).collect();
        let authorization = authorization(&settings.credentials)?;
        Ok(Self { http, bases, preferred: AtomicUsize::new(0), authorization, response_timeout, metrics })
    }

    /// Gets the page at `path`, which begins with a slash and is encoded.
    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Reply<T> {
        let first = self.preferred.load(Ordering::Relaxed);
        let mut failures = Vec::new();
        for at in (0..self.bases.len()).map(|number| (first + number) % self.bases.len()) {
            match self.get_from(&self.bases[at], path).await {
                Ok(reply) => {
                    self.preferred.store(at, Ordering::Relaxed);
                    return reply;
                }
                Err(failure) => failures.push(failure),
            }
        }
        Reply::Failed(failures.join("; "))
    }

    async fn get_from<T: DeserializeOwned>(&self, base: &str, path: &str) -> Result<Reply<T>, String> {
        let (reply, counts_as) = match self.exchange(base, path).await {
            Err(why) => (Err(format!("{base} does not answer: {why}")), RegistryReply::Failed),
            Ok((StatusCode::OK, None)) => (Ok(Reply::TooLong), RegistryReply::Found),
            Ok((StatusCode::OK, Some(body))) => match serde_json::from_slice(&body) {
                Ok(page) => (Ok(Reply::Page(page)), RegistryReply::Found),
                Err(error) => (
                    Err(format!("{base} answers what is no page of a schema registry: {error}")),
                    RegistryReply::Failed,
                ),
            },
            Ok((status, body)) => {
                let refusal = Refusal::read(status, &body.unwrap_or_default());
                match status {
                    StatusCode::NOT_FOUND | StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY => {
                        match self.is_absent(base, &refusal).await {
                            Ok(()) => (Ok(Reply::Absent(refusal.to_string())), RegistryReply::Absent),
                            Err(why) => (Err(why), RegistryReply::Failed),
                        }
                    }
                    StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                        let why = format!("{base} refuses us: {refusal}; check user name, password or token");
                        (Err(why), RegistryReply::Refused)
                    }
                    _ if status.is_redirection() => {
                        let why = format!("{base} redirects elsewhere ({refusal}); write that address into `url`");
                        (Err(why), RegistryReply::Failed)
                    }
                    _ => (Err(format!("{base} answers with {refusal}")), RegistryReply::Failed),
                }
            }
        };
        self.metrics.replied(counts_as);
        reply
    }

    /// Whether a missing page is a missing schema. A code such as 40403 says so; without one there must at least be a
    /// registry here, or a wrong path in `url` would make every schema unknown. Old registries, and a number that no
    /// registry gives to a schema, have no such code.
    async fn is_absent(&self, base: &str, refusal: &Refusal) -> Result<(), String> {
        if refusal.code.is_some_and(|code| code / 100 == u32::from(refusal.status.as_u16())) {
            return Ok(());
        }
        let reply = self.exchange(base, PAGE_OF_EVERY_REGISTRY).await;
        let reply = reply.map_err(|why| format!("{base} does not answer: {why}"))?;
        match reply {
            (StatusCode::OK, Some(body)) if serde_json::from_slice::<Vec<String>>(&body).is_ok() => Ok(()),
            (status, _) => Err(format!(
                "there is no schema registry at {base}: {refusal}, and {PAGE_OF_EVERY_REGISTRY} gives status {}; `url` \
                 may lack a path, such as /apis/ccompat/v7",
                status.as_u16()
            )),
        }
    }

    /// Status and body; no body where it is too long.
    async fn exchange(&self, base: &str, path: &str) -> Result<(StatusCode, Option<Bytes>), String> {
        let url: Uri =
            format!("{base}{path}").parse().map_err(|error| format!("no such address can be asked: {error}"))?;
        let mut request = Request::builder().method(Method::GET).uri(url).header(ACCEPT, MEDIA_TYPE);
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        let request = request.body(Empty::new()).map_err(|error| format!("the request cannot be built: {error}"))?;
        let exchange = async {
            let reply = self.http.request(request).await.map_err(|error| chain(&error))?;
            let (head, body) = reply.into_parts();
            match Limited::new(body, REPLY_BYTES_MAX).collect().await {
                Ok(body) => Ok((head.status, Some(body.to_bytes()))),
                Err(error) if error.is::<LengthLimitError>() => Ok((head.status, None)),
                Err(error) => Err(format!("the reply broke off: {}", chain(error.as_ref()))),
            }
        };
        let over = |_| Err(format!("no reply within {} s", self.response_timeout.as_secs_f32()));
        tokio::time::timeout(self.response_timeout, exchange).await.unwrap_or_else(over)
    }
}

fn authorization(credentials: &RegistryCredentials) -> Result<Option<HeaderValue>, RegistryError> {
    let text = match credentials {
        RegistryCredentials::None => return Ok(None),
        RegistryCredentials::Basic { username, password } => {
            format!("Basic {}", STANDARD.encode(format!("{username}:{}", password.expose_secret())))
        }
        RegistryCredentials::Bearer(token) => format!("Bearer {}", token.expose_secret()),
    };
    let mut value = HeaderValue::from_str(&text).map_err(|_| RegistryError {
        what: "the token for the schema registry cannot be sent as an http header".to_owned(),
        fix: "give a token of plain ascii characters".to_owned(),
    })?;
    value.set_sensitive(true);
    Ok(Some(value))
}

/// A reply that is not what was asked for.
struct Refusal {
    status: StatusCode,
    /// The registry's own code, such as 40403.
    code: Option<u32>,
    message: Option<Arc<str>>,
}

impl Refusal {
    fn read(status: StatusCode, body: &[u8]) -> Self {
        #[derive(Deserialize)]
        struct Page {
            error_code: Option<u32>,
            message: Option<String>,
        }
        let page = serde_json::from_slice(body).unwrap_or(Page { error_code: None, message: None });
        let clean = |c: char| if c.is_control() { ' ' } else { c };
        let message =
            page.message.map(|text| text.chars().take(MESSAGE_SHOWN_MAX).map(clean).collect::<String>().into());
        Self { status, code: page.error_code, message }
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "status {}", self.status.as_u16())?;
        if let Some(code) = self.code.filter(|code| *code > 0) {
            write!(f, ", code {code}")?;
        }
        if let Some(message) = &self.message {
            write!(f, ": {message}")?;
        }
        Ok(())
    }
}
