//! A broker and an engine of a test's own that ask for passwords, over a private certificate authority.

use devstack::{Broker, BrokerOptions, Engine, EngineOptions, PrivateCa, SaslSsl};

use super::scenario::Servers;

/// The two servers, for one user.
pub(crate) struct Secured {
    user: String,
    broker: Broker,
    engine: Engine,
}

impl Secured {
    /// Starts them: the first password is the broker's, the second the engine's.
    pub(crate) fn start(user: &str, kafka_password: &str, clickhouse_password: &str) -> Self {
        let ca = PrivateCa::new().unwrap();
        let sasl = SaslSsl { ca: ca.clone(), user: user.to_owned(), password: kafka_password.to_owned() };
        let broker = Broker::start(&BrokerOptions { sasl_ssl: Some(sasl), ..BrokerOptions::default() }).unwrap();
        let users = vec![(user.to_owned(), clickhouse_password.to_owned())];
        let engine = Engine::start(&EngineOptions { tls: Some(ca), users, ..EngineOptions::default() }).unwrap();
        Self { user: user.to_owned(), broker, engine }
    }

    /// How a connector with these passwords reaches them.
    pub(crate) fn servers(&self, kafka_password: &str, clickhouse_password: &str) -> Servers {
        let property = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        Servers {
            brokers: self.broker.sasl_bootstrap().unwrap().to_owned(),
            clickhouse_url: self.engine.url().to_owned(),
            kafka_properties: vec![
                property("security.protocol", "SASL_SSL"),
                property("sasl.mechanism", "SCRAM-SHA-512"),
                property("sasl.username", &self.user),
                property("sasl.password", kafka_password),
                property("ssl.ca.location", self.broker.ca_file().to_str().unwrap()),
            ],
            client: self.engine.client().clone(),
            clickhouse_lines: self.clickhouse_lines(clickhouse_password),
        }
    }

    /// The lines of `clickhouse` with this password.
    pub(crate) fn clickhouse_lines(&self, password: &str) -> Vec<String> {
        let ca_file = self.engine.ca_file();
        vec![format!("user: {}", self.user), format!("password: {password}"), format!("ca_file: {}", ca_file.display())]
    }
}
