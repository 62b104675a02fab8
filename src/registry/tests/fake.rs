//! A registry that says what a test tells it to: one thread and one request for each connection,
//! with or without encryption.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};

/// What to do with a request.
#[derive(Debug, Clone)]
pub(super) enum Reply {
    /// Answer with this status and body.
    Say(u16, String),
    /// Promise the body and break off before its end.
    Cut(String),
    /// Never answer.
    Keep,
}

/// 200 with a schema of this type (`AVRO` is left out, as registries do), text and references.
pub(super) fn schema(kind: &str, text: &str, references: &[(&str, &str, i64)]) -> Reply {
    let references = references
        .iter()
        .map(|(name, subject, version)| serde_json::json!({ "name": name, "subject": subject, "version": version }));
    let mut page = serde_json::json!({ "schema": text, "references": references.collect::<Vec<_>>(), "other": 1 });
    if kind != "AVRO" {
        page["schemaType"] = kind.into();
    }
    Reply::Say(200, page.to_string())
}

/// An error as registries write it.
pub(super) fn refusal(status: u16, code: u32) -> Reply {
    Reply::Say(status, serde_json::json!({ "error_code": code, "message": "said the fake" }).to_string())
}

/// A fake registry on a port of its own.
#[derive(Debug)]
pub(super) struct Fake {
    pub(super) url: String,
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    /// What each path answers: one after the other, the last for ever.
    script: Mutex<BTreeMap<String, Vec<Reply>>>,
    requests: Mutex<Vec<String>>,
    kept: Mutex<Vec<TcpStream>>,
    stopped: AtomicBool,
}

impl Fake {
    pub(super) fn start() -> Self {
        Self::serve("http", |shared, stream| answer(shared, &stream, &stream))
    }

    /// Over TLS, for those who show a certificate of `ca`.
    pub(super) fn start_tls(ca: &devstack::PrivateCa) -> Self {
        let issued = ca.issue("127.0.0.1").unwrap();
        let certificates = |pem: &str| -> Vec<CertificateDer<'static>> {
            CertificateDer::pem_slice_iter(pem.as_bytes()).map(Result::unwrap).collect()
        };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(certificates(&ca.certificate_pem()).remove(0)).unwrap();
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
        let key = PrivateKeyDer::from_pem_slice(issued.key_pem.as_bytes()).unwrap();
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(verifier.build().unwrap())
            .with_single_cert(certificates(&issued.certificate_pem), key)
            .unwrap();
        let config = Arc::new(config);
        Self::serve("https", move |shared, stream| {
            let tls = ServerConnection::new(Arc::clone(&config)).map_err(io::Error::other)?;
            let mut encrypted = StreamOwned::new(tls, stream.try_clone()?);
            let (head, reply) = hear(shared, &mut encrypted)?;
            say(shared, &stream, &mut encrypted, &head, &reply)?;
            encrypted.conn.send_close_notify();
            encrypted.flush()
        })
    }

    fn serve(scheme: &str, answer: impl Fn(&Shared, TcpStream) -> io::Result<()> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared::default());
        let (answer, serving) = (Arc::new(answer), Arc::clone(&shared));
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if serving.stopped.load(Ordering::SeqCst) {
                    return;
                }
                let (answer, serving) = (Arc::clone(&answer), Arc::clone(&serving));
                // Not waited for: a client that timed out may keep its connection open and never say a word.
                std::thread::spawn(move || {
                    if let Err(error) = stream.and_then(|stream| answer(&serving, stream)) {
                        tracing::debug!(%error, "the fake's client went away");
                    }
                });
            }
        });
        Self { url: format!("{scheme}://{address}"), address, shared, thread: Some(thread) }
    }

    /// `path` is answered with `replies`, one after the other, and with the last of them from then on.
    pub(super) fn tell(&self, path: &str, replies: impl IntoIterator<Item = Reply>) {
        self.shared.script.lock().unwrap().insert(path.to_owned(), replies.into_iter().collect());
    }

    /// The requests so far, each as path and headers.
    pub(super) fn requests(&self) -> Vec<String> {
        self.shared.requests.lock().unwrap().clone()
    }

    /// How often `path` was asked for.
    pub(super) fn asked(&self, path: &str) -> usize {
        self.requests().iter().filter(|request| request.starts_with(&format!("GET {path} HTTP"))).count()
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        // Wakes the thread; where that fails it has ended by itself.
        drop(TcpStream::connect(self.address));
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

fn answer(shared: &Shared, stream: &TcpStream, mut through: &TcpStream) -> io::Result<()> {
    let (head, reply) = hear(shared, &mut through)?;
    say(shared, stream, &mut through, &head, &reply)
}

/// Reads a request and finds its reply.
fn hear(shared: &Shared, stream: &mut impl Read) -> io::Result<(String, Reply)> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let path = head.split(' ').nth(1).unwrap().to_owned();
    let mut script = shared.script.lock().unwrap();
    let reply = match script.get_mut(&path) {
        None => Reply::Say(404, "<html>no such page</html>".to_owned()),
        Some(replies) if replies.len() > 1 => replies.remove(0),
        Some(replies) => replies[0].clone(),
    };
    // Noted before it is answered: who has the answer finds the request counted.
    shared.requests.lock().unwrap().push(head.clone());
    Ok((head, reply))
}

fn say(shared: &Shared, stream: &TcpStream, through: &mut impl Write, head: &str, reply: &Reply) -> io::Result<()> {
    assert!(head.starts_with("GET "), "nothing is ever changed: {head}");
    let (status, body, length) = match reply {
        Reply::Say(status, body) => (*status, body.as_str(), body.len()),
        Reply::Cut(body) => (200, body.as_str(), body.len() + 1),
        Reply::Keep => {
            shared.kept.lock().unwrap().push(stream.try_clone()?);
            return Ok(());
        }
    };
    let head =
        format!("HTTP/1.1 {status} x\r\nContent-Length: {length}\r\nLocation: /elsewhere\r\nConnection: close\r\n\r\n");
    through.write_all(head.as_bytes())?;
    through.write_all(body.as_bytes())?;
    through.flush()
}
