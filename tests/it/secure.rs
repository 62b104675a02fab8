//! The same promise over SASL_SSL and HTTPS with a private certificate authority.

use devstack::{Broker, BrokerOptions, Engine, EngineOptions, PrivateCa, SaslSsl};

use crate::support::scenario::{Scenario, Servers};
use crate::support::servers_are_ours;

#[test]
fn over_sasl_ssl_and_https_with_a_private_ca() {
    if !servers_are_ours("needs its own certificates") {
        return;
    }
    let ca = PrivateCa::new().unwrap();
    let (user, password) = ("oncesink", "s3cret-word");
    let sasl = SaslSsl { ca: ca.clone(), user: user.to_owned(), password: password.to_owned() };
    let broker = Broker::start(&BrokerOptions { sasl_ssl: Some(sasl), ..BrokerOptions::default() }).unwrap();
    let engine = Engine::start(&EngineOptions {
        tls: Some(ca),
        users: vec![(user.to_owned(), password.to_owned())],
        ..EngineOptions::default()
    })
    .unwrap();
    let property = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let servers = Servers {
        brokers: broker.sasl_bootstrap().unwrap().to_owned(),
        clickhouse_url: engine.url().to_owned(),
        kafka_properties: vec![
            property("security.protocol", "SASL_SSL"),
            property("sasl.mechanism", "SCRAM-SHA-512"),
            property("sasl.username", user),
            property("sasl.password", password),
            property("ssl.ca.location", broker.ca_file().to_str().unwrap()),
        ],
        client: engine.client().clone(),
        clickhouse_lines: vec![
            format!("user: {user}"),
            format!("password: {password}"),
            format!("ca_file: {}", engine.ca_file().display()),
        ],
    };
    let mut scenario = Scenario::new(servers, "secure", 4);
    scenario.produce(5_000);
    scenario.produce_payloads(&[(1, "bad")]);
    let mut connector = scenario.start("a");
    scenario.wait_until_done();
    assert_eq!(connector.terminate(), Some(0));
    scenario.assert_exactly_once();
    assert!(!connector.log().contains(password), "no secret is logged");
}
