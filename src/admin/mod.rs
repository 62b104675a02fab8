//! The admin port: metrics, health, status, as machine and person read them.
//!
//! Takes a listener, the metrics, the main loop's heartbeat and a watch of [`Status`]; serves HTTP until told to stop.
//! Only reads: no request changes anything or reaches into the pipeline. Shows no secrets and no record contents, and
//! asks nobody who they are, so it belongs on an address that only operators reach.

mod heartbeat;
mod server;
mod status;

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::get;
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::sync::watch;

pub use heartbeat::Heartbeat;
pub use status::{
    AuditDifference, AwaitedSchema, Contact, DeadLetterCount, GroupStranger, Halted, LeftOutTopic, MemoryStatus,
    OpenTransaction, PartitionState, PartitionStatus, ProcessState, ProducerState, ProducerStatus, RegistryStatus,
    Status, TimedError,
};

use crate::metrics::Metrics;

/// How often samples are moved into buckets, whether anybody scrapes or not.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

/// How long open requests may take after the port was told to stop.
const FAREWELL_MAX: Duration = Duration::from_secs(2);

/// What the admin port reads.
#[derive(Debug, Clone)]
pub struct Sources {
    /// For `/metrics`.
    pub metrics: Metrics,
    /// For `/livez`.
    pub heartbeat: Heartbeat,
    /// For everything else.
    pub status: watch::Receiver<Arc<Status>>,
}

/// Serves until `shutdown` is done, then lets open requests end.
///
/// # Errors
/// Where the listener fails for good.
pub async fn serve(
    listener: TcpListener,
    sources: Sources,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    serve_until(listener, sources, shutdown, FAREWELL_MAX).await
}

async fn serve_until(
    listener: TcpListener,
    sources: Sources,
    shutdown: impl Future<Output = ()> + Send + 'static,
    farewell_max: Duration,
) -> io::Result<()> {
    let metrics = sources.metrics.clone();
    let (stopping, mut stopped) = watch::channel(false);
    let server = server::serve_connections(listener, router(sources), stopped.clone());
    let shutdown = async move {
        shutdown.await;
        stopping.send_replace(true);
        // The rest is the server's, and the farewell's.
        std::future::pending::<()>().await;
    };
    let upkeep = async {
        let mut ticks = tokio::time::interval(UPKEEP_INTERVAL);
        loop {
            ticks.tick().await;
            metrics.upkeep();
        }
    };
    // A client that keeps its request open must not keep the process alive.
    let farewell = async {
        if stopped.wait_for(|stopping| *stopping).await.is_ok() {
            tokio::time::sleep(farewell_max).await;
        } else {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        ended = server => ended,
        () = farewell => Ok(()),
        () = upkeep => Ok(()),
        () = shutdown => Ok(()),
    }
}

fn router(sources: Sources) -> Router {
    Router::new()
        .route("/", get(page))
        .route("/metrics", get(metrics))
        .route("/livez", get(livez))
        .route("/ping", get(livez))
        .route("/readyz", get(readyz))
        .route("/ready", get(readyz))
        .route("/status", get(status))
        .fallback(unknown)
        .with_state(sources)
}

/// Nothing here may be cached, framed, or taken for another type than it is.
const CAREFUL: [(HeaderName, &str); 3] = [
    (header::CACHE_CONTROL, "no-store"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
];

async fn page() -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; \
             img-src data:; base-uri 'none'; form-action 'none'",
        ),
    ];
    (CAREFUL, headers, include_str!("page.html")).into_response()
}

async fn metrics(State(sources): State<Sources>) -> Response {
    let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    (CAREFUL, kind, sources.metrics.render()).into_response()
}

#[derive(Serialize)]
struct Liveness {
    live: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    silent_seconds: Option<f64>,
}

/// Alive as long as the main loop comes round. Kafka or ClickHouse being down changes nothing here: a restart would not
/// help, and would cost a takeover.
async fn livez(State(sources): State<Sources>) -> Response {
    let stuck = sources.heartbeat.stuck();
    let liveness = Liveness { live: stuck.is_none(), silent_seconds: stuck.map(|silence| silence.as_secs_f64()) };
    (code(liveness.live), CAREFUL, Json(liveness)).into_response()
}

#[derive(Serialize)]
struct Readiness {
    ready: bool,
    reasons: Vec<String>,
    halted_partitions: usize,
}

/// Ready when the group is joined and both sides answered the last time they were asked.
async fn readyz(State(sources): State<Sources>) -> Response {
    let status = Arc::clone(&sources.status.borrow());
    let reasons = status.obstacles();
    let halted_partitions = status.halted().count();
    let readiness = Readiness { ready: reasons.is_empty(), reasons, halted_partitions };
    (code(readiness.ready), CAREFUL, Json(readiness)).into_response()
}

async fn status(State(sources): State<Sources>) -> Response {
    let status = Arc::clone(&sources.status.borrow());
    (CAREFUL, Json(&*status)).into_response()
}

async fn unknown() -> Response {
    let text = "not found: there are /, /metrics, /livez (/ping), /readyz (/ready) and /status\n";
    (StatusCode::NOT_FOUND, CAREFUL, text).into_response()
}

fn code(well: bool) -> StatusCode {
    if well { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}

#[cfg(test)]
mod tests;
