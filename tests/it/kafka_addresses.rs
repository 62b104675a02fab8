//! A broker that names a wrong address, and later the right one: what the client remembers is not for ever.

use std::fs;

use devstack::{Broker, BrokerOptions};

use crate::support::scenario::{Scenario, Servers};
use crate::support::servers_are_ours;

/// Starts the broker again with another advertised address.
fn advertise(broker: &Broker, address: &str) {
    broker.stop().unwrap();
    let file = broker.folder().join("server.properties");
    let text = fs::read_to_string(&file).unwrap();
    let lines = text.lines().map(|line| match line.strip_prefix("advertised.listeners=") {
        Some(_) => format!("advertised.listeners=PLAINTEXT://{address}"),
        None => line.to_owned(),
    });
    fs::write(&file, lines.collect::<Vec<_>>().join("\n")).unwrap();
    broker.restart().unwrap();
}

#[test]
fn a_broker_that_named_a_wrong_address_is_found_again() {
    if !servers_are_ours("restarts Kafka") {
        return;
    }
    let stack = devstack::Stack::shared().unwrap();
    let broker = Broker::start(&BrokerOptions::default()).unwrap();
    let mut scenario = Scenario::new(Servers::plain(broker.bootstrap(), stack.clickhouse_url()), "addresses", 2);
    scenario.produce(200);
    advertise(&broker, "127.0.0.1:1");
    let mut connector = scenario.start("a");
    // From here on the client keeps the coordinator that it was told.
    connector.wait_for_log("the group coordinator is at 127.0.0.1:1");
    advertise(&broker, broker.bootstrap());
    scenario.wait_until_stored();
    connector.wait_for_log("the kafka client does not find what a new one finds");
    assert_eq!(connector.terminate(), Some(0));
    scenario.assert_exactly_once();
}
