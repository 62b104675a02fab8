//! Connections of the admin port, each bounded in time and all in number: whoever reaches the port cannot take memory,
//! sockets or the port itself away by being slow, silent or many.

use std::io;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Connections at a time. More wait in the system's queue until one of these ends.
const CONNECTIONS_MAX: usize = 128;
/// For a request's head to arrive, and so for an idle connection. Longer than any pause between two scrapes is not
/// needed: a scraper connects again.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// For everything on one connection: one that is still in use is asked to close, one that does not read is cut.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(60);
const GOODBYE_TIMEOUT: Duration = Duration::from_secs(5);
/// The library's least bound on a head.
const HEAD_BYTES_MAX: usize = 8 * 1024;
const HEADERS_MAX: usize = 64;
/// After the system refused to accept: out of file descriptors, most likely.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves until `stopping` turns true and open requests have ended.
pub(super) async fn serve_connections(
    listener: TcpListener,
    router: Router,
    mut stopping: watch::Receiver<bool>,
) -> io::Result<()> {
    let mut connections = JoinSet::new();
    let for_connections = stopping.clone();
    loop {
        tokio::select! {
            accepted = listener.accept(), if connections.len() < CONNECTIONS_MAX => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(serve_connection(stream, router.clone(), for_connections.clone()));
                }
                Err(error) if belongs_to_a_client(&error) => {}
                Err(error) => {
                    tracing::warn!(%error, "the admin port cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(ended) = connections.join_next() => report(ended),
            () = told(&mut stopping) => break,
        }
    }
    drop(listener);
    while let Some(ended) = connections.join_next().await {
        report(ended);
    }
    Ok(())
}

async fn told(stopping: &mut watch::Receiver<bool>) {
    // An error means that nobody can tell us any more: the same as being told.
    drop(stopping.wait_for(|stopping| *stopping).await);
}

fn belongs_to_a_client(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset
    )
}

fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a request to the admin port panicked");
    }
}

async fn serve_connection(stream: TcpStream, router: Router, mut stopping: watch::Receiver<bool>) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        ended = connection.as_mut() => return said(ended),
        () = tokio::time::sleep(CONNECTION_TIMEOUT) => {}
        () = told(&mut stopping) => {}
    }
    connection.as_mut().graceful_shutdown();
    if let Ok(ended) = tokio::time::timeout(GOODBYE_TIMEOUT, connection).await {
        said(ended);
    }
}

/// What a client does wrong is its own affair.
fn said(ended: hyper::Result<()>) {
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection to the admin port ended early");
    }
}
