//! A TCP proxy for HTTP/1.1 that does to chosen requests what networks and careless proxies do.
//!
//! Takes the address of a server and rules; gives an address to connect to instead. A rule strikes a request whose
//! first bytes contain a given text, and cuts or stalls the request or its reply at byte k, drops the reply, or sends
//! the request a second time. Bytes are counted from the start of the request or reply, head included. Everything else
//! passes unchanged. Requests on one connection are handled one after another; a reply is passed on once its request
//! has been.

mod message;

use std::io::{self, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use message::{Messages, url_decoded};

/// How much of a body is looked at when a rule is matched.
const MATCHED_BODY_BYTES: usize = 4 << 10;
/// How long a test may wait for a rule to strike or for a repeated request to be answered.
const WAIT_LIMIT: Duration = Duration::from_secs(60);

/// What nginx says.
const TOO_LARGE: &[u8] =
    b"HTTP/1.1 413 Request Entity Too Large\r\nContent-Type: text/html\r\nContent-Length: 69\r\n\r\n\
<html><head><title>413 Request Entity Too Large</title></head></html>";

/// What is done to a request that matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Passes `after` bytes of the request on, then closes both connections.
    CutRequest {
        /// Bytes of the request that arrive.
        after: u64,
    },
    /// Passes `after` bytes of the request on, then waits until the rule is released.
    StallRequest {
        /// Bytes of the request that arrive before the stall.
        after: u64,
    },
    /// Passes the request and `after` bytes of the reply on, then closes both connections.
    CutReply {
        /// Bytes of the reply that arrive.
        after: u64,
    },
    /// Passes the request and `after` bytes of the reply on, then waits until the rule is released.
    StallReply {
        /// Bytes of the reply that arrive before the stall.
        after: u64,
    },
    /// Passes the request on, waits for the reply, and closes the client's connection without it.
    DropReply,
    /// Passes request and reply on, and sends the same bytes on another connection at the same time.
    Repeat,
    /// Passes request and reply on, and sends the same bytes on another connection when the rule is released.
    RepeatLater,
}

/// Which requests an action strikes.
#[derive(Debug, Clone)]
pub struct Rule {
    /// A text in the first bytes of the request: head, URL decoded as well as raw, and the start of the body.
    pub matching: String,
    /// How many of the matching requests are struck.
    pub times: u64,
    /// What is done to them.
    pub action: Action,
}

impl Rule {
    /// A rule for the next request that contains `matching`.
    #[must_use]
    pub fn once(matching: &str, action: Action) -> Self {
        Self { matching: matching.to_owned(), times: 1, action }
    }
}

/// A rule in force. It stays so when this is dropped.
#[derive(Debug, Clone)]
pub struct Armed(Arc<ArmedRule>);

#[derive(Debug)]
struct ArmedRule {
    rule: Rule,
    state: Mutex<RuleState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct RuleState {
    hits: u64,
    cut: u64,
    stalled: u64,
    released: bool,
    disarmed: bool,
    /// Replies to repeated requests; empty where the server closed without one.
    repeats: Vec<Vec<u8>>,
}

impl Armed {
    /// How many requests the rule has struck.
    #[must_use]
    pub fn hits(&self) -> u64 {
        self.0.state().hits
    }

    /// Waits until `count` requests have matched; they may not have been passed on yet.
    ///
    /// # Errors
    /// When it has not within a minute.
    pub fn wait_hits(&self, count: u64) -> Result<()> {
        self.0.wait_for("requests that match", |state| state.hits >= count).map(drop)
    }

    /// Waits until `count` requests have been stalled at their byte: what comes before it has been passed on. A stalled
    /// reply means that the server has answered.
    ///
    /// # Errors
    /// When they have not within a minute.
    pub fn wait_stalled(&self, count: u64) -> Result<()> {
        self.0.wait_for("stalled requests", |state| state.stalled >= count).map(drop)
    }

    /// Strikes no further request; gives how many it has struck.
    pub fn disarm(&self) -> u64 {
        let mut state = self.0.state();
        state.disarmed = true;
        state.hits
    }

    /// To how many requests it was really done: cut or stalled at the byte, which a shorter one does not reach, or
    /// repeated and answered.
    #[must_use]
    pub fn struck(&self) -> u64 {
        let state = self.0.state();
        match self.0.rule.action {
            Action::CutRequest { .. } | Action::CutReply { .. } | Action::DropReply => state.cut,
            Action::StallRequest { .. } | Action::StallReply { .. } => state.stalled,
            Action::Repeat | Action::RepeatLater => {
                u64::try_from(state.repeats.len()).expect("a count fits into 64 bits")
            }
        }
    }

    /// Lets what is stalled go on, and sends what is to be repeated later.
    pub fn release(&self) {
        self.0.state().released = true;
        self.0.changed.notify_all();
    }

    /// Waits for the replies to `count` repeated requests and gives their bytes, head included.
    ///
    /// # Errors
    /// When they have not come within a minute.
    pub fn wait_repeats(&self, count: usize) -> Result<Vec<Vec<u8>>> {
        let state = self.0.wait_for("replies to repeated requests", |state| state.repeats.len() >= count)?;
        Ok(state.repeats.clone())
    }
}

impl ArmedRule {
    fn state(&self) -> MutexGuard<'_, RuleState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_for(&self, what: &str, reached: impl Fn(&RuleState) -> bool) -> Result<MutexGuard<'_, RuleState>> {
        let waited = self.changed.wait_timeout_while(self.state(), WAIT_LIMIT, |state| !reached(state));
        let (state, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
        if timeout.timed_out() {
            bail!("{what} {:?}: not enough within {} s", self.rule.matching, WAIT_LIMIT.as_secs());
        }
        Ok(state)
    }

    fn wait_released(&self) {
        let released = self.changed.wait_while(self.state(), |state| !state.released);
        drop(released.unwrap_or_else(PoisonError::into_inner));
    }

    /// Counts the request where the rule has strikes left and the text is in it.
    fn strikes(&self, seen: &[Vec<u8>]) -> bool {
        let over = |state: &RuleState| state.disarmed || state.hits >= self.rule.times;
        if over(&self.state()) {
            return false;
        }
        let text = self.rule.matching.as_bytes();
        if !seen.iter().any(|bytes| text.is_empty() || bytes.windows(text.len()).any(|window| window == text)) {
            return false;
        }
        let mut state = self.state();
        if over(&state) {
            return false;
        }
        state.hits += 1;
        self.changed.notify_all();
        true
    }
}

/// A running proxy; it and its connections end when it is dropped.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    upstream: SocketAddr,
    rules: Mutex<Vec<Arc<ArmedRule>>>,
    open: Mutex<Vec<TcpStream>>,
    rejecting: AtomicBool,
    /// Larger bodies are refused.
    body_bytes_max: AtomicU64,
    ended: AtomicBool,
}

impl Proxy {
    /// Starts a proxy on a free port of 127.0.0.1 in front of `upstream`.
    ///
    /// # Errors
    /// When no port can be had.
    pub fn start(upstream: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("listen on a free port")?;
        let address = listener.local_addr().context("read the proxy's address")?;
        let shared = Arc::new(Shared {
            upstream,
            rules: Mutex::default(),
            open: Mutex::default(),
            rejecting: AtomicBool::new(false),
            body_bytes_max: AtomicU64::new(u64::MAX),
            ended: AtomicBool::new(false),
        });
        let of_thread = Arc::clone(&shared);
        thread::spawn(move || accept(&listener, &of_thread));
        Ok(Self { address, shared })
    }

    /// Starts a proxy in front of the server that a URL like `http://127.0.0.1:8123` names.
    ///
    /// # Errors
    /// When the URL has no `http://`, host and port, or no port can be had.
    pub fn to_url(url: &str) -> Result<Self> {
        let address = url.strip_prefix("http://").with_context(|| format!("{url:?} does not start with http://"))?;
        let address = address.trim_end_matches('/').parse();
        Self::start(address.with_context(|| format!("read an address and port from {url:?}"))?)
    }

    /// Where to connect.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where to connect, as a URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Puts a rule in force. Of several that match, the one added first strikes.
    pub fn add(&self, rule: Rule) -> Armed {
        let armed = Arc::new(ArmedRule { rule, state: Mutex::default(), changed: Condvar::new() });
        self.shared.rules().push(Arc::clone(&armed));
        Armed(armed)
    }

    /// Closes every new connection at once, or ends doing so.
    pub fn reject_new(&self, reject: bool) {
        self.shared.rejecting.store(reject, Ordering::SeqCst);
    }

    /// Passes no request on whose body is larger, and answers it as many a proxy does: status 413 and a page.
    pub fn bound_bodies(&self, bytes_max: u64) {
        self.shared.body_bytes_max.store(bytes_max, Ordering::SeqCst);
    }

    /// Closes the connections that are open.
    pub fn cut_all(&self) {
        for stream in self.shared.open().drain(..) {
            // Fails only where the peer has closed already.
            stream.shutdown(Shutdown::Both).ok();
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        for rule in self.shared.rules().drain(..) {
            Armed(rule).release();
        }
        self.cut_all();
        // Wakes the accepting thread, so that it sees the end.
        TcpStream::connect(self.address).ok();
    }
}

impl Shared {
    fn rules(&self) -> MutexGuard<'_, Vec<Arc<ArmedRule>>> {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self) -> MutexGuard<'_, Vec<TcpStream>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn connect(&self) -> io::Result<TcpStream> {
        let stream = TcpStream::connect(self.upstream)?;
        self.keep(&stream)?;
        Ok(stream)
    }

    /// Remembers a connection, so that it can be cut.
    fn keep(&self, stream: &TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let mut open = self.open();
        open.retain(|other| other.peer_addr().is_ok());
        open.push(stream.try_clone()?);
        Ok(())
    }

    fn rule_for(&self, seen: &[Vec<u8>]) -> Option<Arc<ArmedRule>> {
        self.rules().iter().find(|rule| rule.strikes(seen)).cloned()
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for client in listener.incoming() {
        if shared.ended.load(Ordering::SeqCst) {
            return;
        }
        let Ok(client) = client else { continue };
        if shared.rejecting.load(Ordering::SeqCst) {
            continue;
        }
        let shared = Arc::clone(shared);
        thread::spawn(move || {
            // An error is a connection that one of the two sides has closed: the other one is closed as well.
            serve(&client, &shared).ok();
            client.shutdown(Shutdown::Both).ok();
        });
    }
}

/// Handles the requests of one connection until either side, or a rule, ends it.
fn serve(client: &TcpStream, shared: &Arc<Shared>) -> io::Result<()> {
    shared.keep(client)?;
    let upstream = shared.connect()?;
    let passed = pass_requests(client, &upstream, shared);
    upstream.shutdown(Shutdown::Both).ok();
    passed
}

fn pass_requests(client: &TcpStream, upstream: &TcpStream, shared: &Arc<Shared>) -> io::Result<()> {
    let mut requests = Messages::new(client.try_clone()?);
    let mut replies = Messages::new(upstream.try_clone()?);
    while let Some(head) = requests.head(true)? {
        if requests.stated_bytes() > shared.body_bytes_max.load(Ordering::SeqCst) {
            while requests.piece()?.is_some() {}
            let mut client = client;
            client.write_all(TOO_LARGE)?;
            continue;
        }
        let mut pieces = vec![head];
        let mut body_bytes = 0;
        while body_bytes < MATCHED_BODY_BYTES
            && let Some(piece) = requests.piece()?
        {
            body_bytes += piece.len();
            pieces.push(piece);
        }
        let rule = shared.rule_for(&[url_decoded(&pieces[0]), pieces.concat()]);
        let action = rule.as_ref().map(|rule| rule.rule.action);
        let repeated = matches!(action, Some(Action::Repeat | Action::RepeatLater));
        let mut recorded = Vec::new();
        let mut to_upstream = Gate::new(
            upstream,
            rule.as_deref(),
            match action {
                Some(Action::CutRequest { after }) => Limit::Cut(after),
                Some(Action::StallRequest { after }) => Limit::Stall(after),
                _ => Limit::None,
            },
        );
        let mut pieces = pieces.into_iter();
        while let Some(piece) = pieces.next().map_or_else(|| requests.piece(), |piece| Ok(Some(piece)))? {
            if repeated {
                recorded.extend_from_slice(&piece);
            }
            to_upstream.write(&piece)?;
        }
        if repeated && let Some(rule) = &rule {
            let (shared, rule) = (Arc::clone(shared), Arc::clone(rule));
            thread::spawn(move || repeat(&recorded, &shared, &rule));
        }
        let mut to_client = Gate::new(
            client,
            rule.as_deref(),
            match action {
                Some(Action::CutReply { after }) => Limit::Cut(after),
                Some(Action::StallReply { after }) => Limit::Stall(after),
                Some(Action::DropReply) => Limit::Cut(0),
                _ => Limit::None,
            },
        );
        let Some(head) = replies.head(false)? else {
            break;
        };
        to_client.write(&head)?;
        while let Some(piece) = replies.piece()? {
            to_client.write(&piece)?;
        }
    }
    Ok(())
}

/// Sends a recorded request on a connection of its own and keeps the reply.
fn repeat(request: &[u8], shared: &Shared, rule: &ArmedRule) {
    if rule.rule.action == Action::RepeatLater {
        rule.wait_released();
    }
    let exchange = || -> io::Result<Vec<u8>> {
        let mut stream = shared.connect()?;
        stream.write_all(request)?;
        let mut replies = Messages::new(stream);
        let mut reply = replies.head(false)?.unwrap_or_default();
        while let Some(piece) = replies.piece()? {
            reply.extend(piece);
        }
        Ok(reply)
    };
    let reply = exchange().unwrap_or_default();
    rule.state().repeats.push(reply);
    rule.changed.notify_all();
}

#[derive(Debug, Clone, Copy)]
enum Limit {
    None,
    Cut(u64),
    Stall(u64),
}

/// Writes to a connection up to the byte at which a rule cuts or stalls it.
struct Gate<'a> {
    stream: &'a TcpStream,
    rule: Option<&'a ArmedRule>,
    limit: Limit,
    written: u64,
}

impl<'a> Gate<'a> {
    fn new(stream: &'a TcpStream, rule: Option<&'a ArmedRule>, limit: Limit) -> Self {
        Self { stream, rule, limit, written: 0 }
    }

    fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        if let Limit::Cut(at) | Limit::Stall(at) = self.limit {
            let room = usize::try_from(at - self.written).unwrap_or(usize::MAX);
            if bytes.len() >= room {
                let (before, after) = bytes.split_at(room);
                self.stream.write_all(before)?;
                if let (Limit::Stall(_), Some(rule)) = (self.limit, self.rule) {
                    rule.state().stalled += 1;
                    rule.changed.notify_all();
                    rule.wait_released();
                    self.limit = Limit::None;
                    bytes = after;
                } else {
                    if let Some(rule) = self.rule {
                        rule.state().cut += 1;
                        rule.changed.notify_all();
                    }
                    return Err(io::ErrorKind::ConnectionAborted.into());
                }
            }
        }
        self.written += u64::try_from(bytes.len()).expect("a buffer's length fits into 64 bits");
        self.stream.write_all(bytes)
    }
}

#[cfg(test)]
mod tests;
