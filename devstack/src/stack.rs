//! One broker and one engine (and, on request, a registry), or servers of the user's own.

use std::path::PathBuf;
use std::sync::OnceLock;
use std::thread;

use anyhow::{Context, Result, anyhow, bail};

use crate::broker::{Broker, BrokerOptions, SaslSsl};
use crate::engine::{Engine, EngineOptions, EngineVersion};
use crate::registry::Registry;
use crate::tls::PrivateCa;

/// Names the brokers to use instead of a local one.
pub const KAFKA_BROKERS: &str = "KAFKA_BROKERS";
/// Names the ClickHouse server to use instead of a local engine.
pub const CLICKHOUSE_URL: &str = "CLICKHOUSE_URL";

/// The user of the SASL_SSL listener and of HTTPS that [`StackOptions::tls`] adds.
const TLS_USER: &str = "devstack";
const TLS_PASSWORD: &str = "devstack-secret";

/// How to start a [`Stack`].
#[derive(Debug, Clone, Default)]
pub struct StackOptions {
    /// Where data and logs are kept; throw-away folders when absent.
    pub folder: Option<PathBuf>,
    /// Release of the engine.
    pub engine: EngineVersion,
    /// Starts a schema registry as well.
    pub registry: bool,
    /// HTTPS for the engine and a SASL_SSL listener for the broker, under one private CA.
    pub tls: bool,
}

/// What is running where.
#[derive(Debug)]
pub struct Stack {
    bootstrap: String,
    clickhouse_url: String,
    local: Option<Local>,
}

#[derive(Debug)]
struct Local {
    broker: Broker,
    engine: Engine,
    registry: Option<Registry>,
    tls: bool,
}

impl Stack {
    /// Starts local services, all at once, whatever the environment says.
    ///
    /// # Errors
    /// When one of them cannot be installed or does not start.
    pub fn start(options: &StackOptions) -> Result<Self> {
        let folder = |name: &str| options.folder.as_ref().map(|folder| folder.join(name));
        let ca = if options.tls { Some(PrivateCa::new()?) } else { None };
        let user = (TLS_USER.to_owned(), TLS_PASSWORD.to_owned());
        let broker_options = BrokerOptions {
            folder: folder("kafka"),
            sasl_ssl: ca.clone().map(|ca| SaslSsl { ca, user: user.0.clone(), password: user.1.clone() }),
            properties: String::new(),
        };
        let engine_options = EngineOptions {
            folder: folder("clickhouse"),
            version: options.engine,
            users: ca.iter().map(|_| user.clone()).collect(),
            tls: ca,
            config_xml: None,
        };
        let (broker, engine, registry) = thread::scope(|scope| {
            let broker = scope.spawn(|| Broker::start(&broker_options));
            let registry = options.registry.then(|| scope.spawn(|| Registry::start(folder("registry").as_deref())));
            let engine = Engine::start(&engine_options);
            (joined(broker), engine, registry.map(joined))
        });
        let (broker, engine, registry) = (broker?, engine?, registry.transpose()?);
        Ok(Self {
            bootstrap: broker.bootstrap().to_owned(),
            clickhouse_url: engine.url().to_owned(),
            local: Some(Local { broker, engine, registry, tls: options.tls }),
        })
    }

    /// The servers that `KAFKA_BROKERS` and `CLICKHOUSE_URL` name, else local ones.
    ///
    /// # Errors
    /// When only one of the two is set, or a local service does not start.
    pub fn from_env_or_start(options: &StackOptions) -> Result<Self> {
        let var = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        match (var(KAFKA_BROKERS), var(CLICKHOUSE_URL)) {
            (Some(bootstrap), Some(clickhouse_url)) => Ok(Self { bootstrap, clickhouse_url, local: None }),
            (None, None) => Self::start(options),
            _ => bail!(
                "only one of {KAFKA_BROKERS} and {CLICKHOUSE_URL} is set: set both, or neither for local services"
            ),
        }
    }

    /// The stack that all tests of this process share, started when it is first asked for; it ends with the process.
    ///
    /// # Errors
    /// As [`Stack::from_env_or_start`], with the same error for every caller.
    pub fn shared() -> Result<&'static Self> {
        static SHARED: OnceLock<Result<Stack, String>> = OnceLock::new();
        let shared = SHARED
            .get_or_init(|| Self::from_env_or_start(&StackOptions::default()).map_err(|error| format!("{error:#}")));
        shared.as_ref().map_err(|error| anyhow!("{error}")).context("start the shared stack")
    }

    /// The brokers' addresses.
    #[must_use]
    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// The base URL of ClickHouse.
    #[must_use]
    pub fn clickhouse_url(&self) -> &str {
        &self.clickhouse_url
    }

    /// Whether the services are ours to kill, pause and restart.
    #[must_use]
    pub fn can_kill(&self) -> bool {
        self.local.is_some()
    }

    /// The local broker, where there is one.
    #[must_use]
    pub fn broker(&self) -> Option<&Broker> {
        self.local.as_ref().map(|local| &local.broker)
    }

    /// The local engine, where there is one.
    #[must_use]
    pub fn engine(&self) -> Option<&Engine> {
        self.local.as_ref().map(|local| &local.engine)
    }

    /// The local registry, where one was asked for.
    #[must_use]
    pub fn registry(&self) -> Option<&Registry> {
        self.local.as_ref().and_then(|local| local.registry.as_ref())
    }

    /// The environment variables that tell a program where everything is.
    #[must_use]
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        let mut variables =
            vec![(KAFKA_BROKERS, self.bootstrap.clone()), (CLICKHOUSE_URL, self.clickhouse_url.clone())];
        let Some(local) = &self.local else {
            return variables;
        };
        if let Some(registry) = &local.registry {
            variables.push(("SCHEMA_REGISTRY_URL", registry.url().to_owned()));
        }
        if local.tls {
            variables.extend([
                ("KAFKA_SASL_SSL_BROKERS", local.broker.sasl_bootstrap().unwrap_or_default().to_owned()),
                ("DEVSTACK_CA_FILE", local.engine.ca_file().display().to_string()),
                ("DEVSTACK_USER", TLS_USER.to_owned()),
                ("DEVSTACK_PASSWORD", TLS_PASSWORD.to_owned()),
            ]);
        }
        variables
    }

    /// Asks every local service to end and waits for it.
    ///
    /// # Errors
    /// When one had to be killed.
    pub fn stop(self) -> Result<()> {
        let Some(local) = self.local else {
            return Ok(());
        };
        let registry = local.registry.as_ref().map_or(Ok(()), Registry::stop);
        local.engine.stop().and(local.broker.stop()).and(registry)
    }
}

fn joined<T>(thread: thread::ScopedJoinHandle<'_, Result<T>>) -> Result<T> {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}
