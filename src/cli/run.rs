//! `oncesink run`: the connector itself.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::{EXIT_CONFIG, EXIT_DUPLICATE_INSTANCE, EXIT_OK, EXIT_STOPPED_LATE, RunArguments};
use crate::admin::{self, Heartbeat, Status};
use crate::clock;
use crate::config::Settings;
use crate::metrics::Metrics;
use crate::pipeline::{self, Ended, Views};

/// The loop of the pipeline turns at least this often, or the process is stuck.
const SILENCE_MAX: Duration = Duration::from_secs(120);

/// Runs the connector until it is told to stop. Gives the exit code.
pub fn run(arguments: &RunArguments) -> u8 {
    let settings = match arguments.config.load() {
        Ok(settings) => settings,
        Err(code) => return code,
    };
    // Polling, committing and encoding have threads of their own; what is left is waiting.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "no runtime can be started");
            return EXIT_CONFIG;
        }
    };
    let code = runtime.block_on(serve(&settings, arguments.adopt));
    runtime.shutdown_background();
    code
}

async fn serve(settings: &Settings, adopt: bool) -> u8 {
    let listener = match TcpListener::bind(settings.admin_listen).await {
        Ok(listener) => listener,
        Err(error) => {
            let listen = settings.admin_listen;
            tracing::error!(%listen, %error, "the admin port cannot be opened; set admin.listen to a free one");
            return EXIT_CONFIG;
        }
    };
    let address = listener.local_addr().map_or_else(|_| settings.admin_listen.to_string(), |at| at.to_string());
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        connector = settings.name,
        instance = settings.instance,
        topics = settings.topics.len(),
        patterns = settings.patterns.len(),
        admin = address,
        "oncesink starts"
    );
    let status = Status::starting(&settings.name, &settings.instance, clock::unix_ms(), settings.memory_max.bytes());
    let (status, shown) = watch::channel(Arc::new(status));
    let views = Views { metrics: Metrics::new(&settings.name), status, heartbeat: Heartbeat::new(SILENCE_MAX) };
    let (stop_sender, stop) = watch::channel(false);
    let (admin_stop_sender, mut admin_stop) = watch::channel(false);
    let mut side = JoinSet::new();
    let sources = admin::Sources { metrics: views.metrics.clone(), heartbeat: views.heartbeat.clone(), status: shown };
    side.spawn(async move {
        let stopped = async move {
            // An error means that the sender is gone, and with it the process.
            drop(admin_stop.wait_for(|stop| *stop).await);
        };
        if let Err(error) = admin::serve(listener, sources, stopped).await {
            tracing::error!(%error, "the admin port failed; the connector goes on without it");
        }
    });
    let mut signals = JoinSet::new();
    signals.spawn(async move {
        wait_for_signal().await;
        stop_sender.send_replace(true);
        // A second signal is for those who do not want to wait.
        wait_for_signal().await;
    });
    let result = tokio::select! {
        result = pipeline::run(settings, adopt, &views, stop) => result,
        Some(second) = signals.join_next() => {
            second.expect("waiting for signals panicked");
            tracing::warn!("second signal: ending at once; the next start takes over");
            return EXIT_STOPPED_LATE;
        }
    };
    admin_stop_sender.send_replace(true);
    while let Some(ended) = side.join_next().await {
        ended.expect("the admin port panicked");
    }
    exit_code(result)
}

fn exit_code(result: Result<Ended, pipeline::RunError>) -> u8 {
    match result {
        Ok(Ended::Stopped) => {
            tracing::info!("stopped: everything under way is finished");
            EXIT_OK
        }
        Ok(Ended::StoppedLate) => {
            tracing::warn!("drain_timeout is over: what was under way is taken over at the next start");
            EXIT_STOPPED_LATE
        }
        Ok(Ended::DuplicateInstance(reason)) => {
            tracing::error!(
                reason,
                "another process runs with this `instance`; give each process its own, then start this one again"
            );
            EXIT_DUPLICATE_INSTANCE
        }
        Ok(Ended::ConsumerFailed(reason)) => {
            tracing::error!(reason, "the consumer failed");
            EXIT_CONFIG
        }
        Err(error) => {
            tracing::error!("{error}");
            EXIT_CONFIG
        }
    }
}

/// SIGTERM or Ctrl-C.
async fn wait_for_signal() {
    let mut terminate = signal(SignalKind::terminate()).expect("the process may handle SIGTERM");
    let mut interrupt = signal(SignalKind::interrupt()).expect("the process may handle SIGINT");
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
