//! A broker and an engine of a test's own that ask for passwords, over a private certificate authority.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use devstack::{Broker, BrokerOptions, Engine, EngineOptions, PrivateCa, SaslSsl};

use super::scenario::Servers;

/// What a user may do with a topic, as Kafka's protocol numbers it.
#[derive(Debug, Clone, Copy)]
#[repr(u8)]
pub(crate) enum AclOperation {
    All = 2,
    Describe = 8,
}

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

    /// Lets the user do this with a topic, of which nothing else is allowed any more.
    pub(crate) fn allow(&self, topic: &str, operation: AclOperation) {
        self.allow_resource(2, topic, operation);
    }

    /// The same with a transactional id.
    pub(crate) fn allow_transactions(&self, id: &str, operation: AclOperation) {
        self.allow_resource(5, id, operation);
    }

    /// A CreateAcls request, version 1.
    fn allow_resource(&self, kind: u8, name: &str, operation: AclOperation) {
        let text = |text: &str| [&u16::try_from(text.len()).unwrap().to_be_bytes(), text.as_bytes()].concat();
        let (literal, allowed) = (3, 3);
        let mut request = vec![0, 30, 0, 1, 0, 0, 0, 1];
        request.extend(text("tests"));
        request.extend([0, 0, 0, 1, kind]);
        request.extend(text(name));
        request.push(literal);
        request.extend(text(&format!("User:{}", self.user)));
        request.extend(text("*"));
        request.extend([operation as u8, allowed]);
        let mut stream = TcpStream::connect(self.broker.bootstrap()).unwrap();
        stream.write_all(&u32::try_from(request.len()).unwrap().to_be_bytes()).unwrap();
        stream.write_all(&request).unwrap();
        // Size, correlation id, throttle time, one result, its error.
        let mut reply = [0; 18];
        stream.read_exact(&mut reply).unwrap();
        assert_eq!(reply[16..], [0, 0], "the broker takes the rule");
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
