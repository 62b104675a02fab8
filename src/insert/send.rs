//! Sends an insert over HTTP, once, and reads the reply to its end.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, Bytes};
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::header::HeaderValue;
use hyper::{Method, Request, Uri};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::{Client, connect::HttpConnector};

use super::outcome::{Outcome, Reply};
use super::request::InsertRequest;
use crate::clickhouse::{ControlError, chain};
use crate::http::push_encoded;

/// An error text ends somewhere; what a proxy sends instead of one may not.
const REPLY_BYTES_MAX: usize = 64 * 1024;

/// The HTTP side of one endpoint.
#[derive(Clone)]
pub(crate) struct Sender {
    http: Client<HttpsConnector<HttpConnector>, Frames>,
    base: Uri,
    user: HeaderValue,
    password: HeaderValue,
    response_timeout: Duration,
}

impl Sender {
    pub(crate) fn new(
        http: Client<HttpsConnector<HttpConnector>, Frames>,
        base: Uri,
        user: &str,
        password: &str,
        response_timeout: Duration,
    ) -> Result<Self, ControlError> {
        let header = |what: &str, value: &str| {
            HeaderValue::from_bytes(value.as_bytes()).map_err(|_| ControlError::Unusable {
                what: format!("the clickhouse {what} holds a line break or control character"),
                fix: format!("change the {what}; it cannot be sent as an http header"),
            })
        };
        let user = header("user", user)?;
        let mut password = header("password", password)?;
        password.set_sensitive(true);
        Ok(Self { http, base, user, password, response_timeout })
    }

    /// Sends the request and judges the reply. Whatever goes wrong on the way is [`Outcome::Unknown`].
    pub(crate) async fn send(&self, insert: InsertRequest) -> Outcome {
        let rows = insert.rows;
        match tokio::time::timeout(self.response_timeout, self.exchange(insert)).await {
            Ok(Ok((head, body))) => {
                let text = |name: &str| head.headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()));
                Outcome::judge(
                    &Reply {
                        status: head.status.as_u16(),
                        exception_code: text("X-ClickHouse-Exception-Code").as_deref(),
                        summary: text("X-ClickHouse-Summary").as_deref(),
                        body: &body,
                        from_clickhouse: head.headers.keys().any(|name| name.as_str().starts_with("x-clickhouse-")),
                    },
                    rows,
                )
            }
            Ok(Err(why)) => Outcome::Unknown { why },
            Err(_) => Outcome::Unknown { why: format!("no reply within {} s", self.response_timeout.as_secs_f32()) },
        }
    }

    async fn exchange(&self, insert: InsertRequest) -> Result<(hyper::http::response::Parts, String), String> {
        let request = Request::builder()
            .method(Method::POST)
            .uri(self.url(&insert)?)
            .header("X-ClickHouse-User", &self.user)
            .header("X-ClickHouse-Key", &self.password)
            .header("Content-Type", "application/octet-stream")
            .body(Frames::new(insert.body))
            .map_err(|error| format!("the request cannot be built: {error}"))?;
        let reply = self.http.request(request).await.map_err(|error| chain(&error))?;
        let (head, body) = reply.into_parts();
        let body = read(body).await?;
        Ok((head, body))
    }

    fn url(&self, insert: &InsertRequest) -> Result<Uri, String> {
        let mut url = format!(
            "{}://{}{}?",
            self.base.scheme_str().unwrap_or("http"),
            self.base.authority().map_or("", |host| host.as_str()),
            self.base.path(),
        );
        let statement = insert.statement_in_url.then_some(("query", insert.statement.as_str()));
        let settings = insert.settings.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        for (number, (name, value)) in statement.into_iter().chain(settings).enumerate() {
            if number > 0 {
                url.push('&');
            }
            push_encoded(&mut url, name);
            url.push('=');
            push_encoded(&mut url, value);
        }
        url.parse().map_err(|error| format!("the url of the insert cannot be built: {error}"))
    }
}

/// A reply that breaks off says nothing, whatever its headers were.
async fn read(mut body: Incoming) -> Result<String, String> {
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| format!("the reply broke off: {}", chain(&error)))?;
        if let Some(data) = frame.data_ref() {
            let room = REPLY_BYTES_MAX.saturating_sub(bytes.len());
            bytes.extend_from_slice(data.get(..room).unwrap_or(data));
        }
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// A request body of known length: the server gets a `Content-Length`, so that a cut body never looks complete.
pub(crate) struct Frames {
    rest: VecDeque<Bytes>,
    bytes: u64,
}

impl Frames {
    fn new(frames: Vec<Bytes>) -> Self {
        let rest: VecDeque<Bytes> = frames.into_iter().filter(|frame| frame.has_remaining()).collect();
        let bytes = rest.iter().map(length).sum();
        Self { rest, bytes }
    }
}

fn length(frame: &Bytes) -> u64 {
    u64::try_from(frame.len()).expect("no frame is longer than 64 bits can say")
}

impl Body for Frames {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let next = self.rest.pop_front();
        if let Some(frame) = &next {
            self.bytes -= length(frame);
        }
        Poll::Ready(next.map(|frame| Ok(Frame::data(frame))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_is_known_before_sending() {
        let check = |frames: &[&'static str], expected: u64| {
            let frames = Frames::new(frames.iter().map(|frame| Bytes::from_static(frame.as_bytes())).collect());
            assert_eq!(frames.size_hint().exact(), Some(expected));
            assert_eq!(frames.is_end_stream(), expected == 0);
        };
        check(&[], 0);
        check(&["", ""], 0);
        check(&["ab", "", "c"], 3);
    }
}
