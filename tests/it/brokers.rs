//! Brokers that answer and do not serve: a person is told why, in words of the brokers' own settings, and it goes on by
//! itself when they are mended.

use std::fs;

use devstack::{Broker, BrokerOptions};

use crate::support::admin::{self, get};
use crate::support::connector::oncesink;
use crate::support::scenario::{Scenario, Servers};
use crate::support::secured::{AclOperation, Secured};
use crate::support::{servers_are_ours, wait_for};

/// Waits until whoever asks whether the connector is ready is told `text`.
fn wait_for_obstacle(address: &str, text: &str) {
    wait_for(&format!("{text:?} to be told"), || match get(address, "/readyz") {
        Err(reply) if reply.contains(text) => Ok(()),
        Ok(reply) | Err(reply) => Err(reply),
    });
}

#[test]
fn brokers_that_cannot_serve_are_told_by_their_settings_and_waited_out() {
    let folder = tempfile::tempdir().unwrap();
    let factor = "transaction.state.log.replication.factor";
    let options = BrokerOptions {
        folder: Some(folder.path().to_owned()),
        properties: format!("{factor}=3\n"),
        ..BrokerOptions::default()
    };
    let broker = Broker::start(&options).unwrap();
    let mended = |line: &str| {
        let path = folder.path().join("server.properties");
        let properties = fs::read_to_string(&path).unwrap();
        fs::write(&path, format!("{properties}{line}\n")).unwrap();
        broker.restart().unwrap();
    };
    let servers = Servers { brokers: broker.bootstrap().to_owned(), ..Servers::shared() };
    let mut scenario = Scenario::new(servers, "brokers", 2);
    scenario.produce(200);
    let mut connector = scenario.start("a");
    let port = admin::address(&mut connector);

    let why = format!("the transaction coordinator is not available: {factor} is 3 and there is 1 broker");
    connector.wait_for_log(&why);
    wait_for_obstacle(&port, &format!("transactions: starting transactions: {why}"));
    let (_, text) = scenario.run(&["status", "--admin", &port]);
    assert!(text.contains(&why), "{text}");
    let (_, text) = scenario.run(&["check", "--connect"]);
    assert!(text.contains(&format!("warning: brokers: {why}")), "{text}");

    let wrong = "127.0.0.1:1";
    mended(&format!("{factor}=1\nadvertised.listeners=PLAINTEXT://{wrong}"));
    let why = format!(
        "{} answers and says that broker 1 is at {wrong}, which refuses the connection; correct the broker's \
         advertised.listeners",
        broker.bootstrap()
    );
    connector.wait_for_log(&why);
    wait_for_obstacle(&port, &why);
    let (code, text) = scenario.run(&["check", "--connect"]);
    let told = format!("is at {wrong}, which refuses the connection; correct the broker's advertised.listeners");
    assert!(code == 1 && text.contains(&told), "{text}");

    mended(&format!("advertised.listeners=PLAINTEXT://{}", broker.bootstrap()));
    scenario.wait_until_done();
    assert_eq!(connector.terminate(), Some(0));
    scenario.assert_exactly_once();
}

/// Nobody listens: the cause is said, and not where the program was built.
#[test]
fn a_dead_port_is_called_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("dead.yaml");
    let text = "name: n\ninstance: i\nkafka: { brokers: \"127.0.0.1:1\" }\nclickhouse: { url: \"http://127.0.0.1:1\" }\n\
                topics: [{ topic: t, table: d.t }]\n";
    fs::write(&path, text).unwrap();
    let (code, text) = oncesink(&["--log-format", "json", "check", "--connect", "--config", path.to_str().unwrap()]);
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("broker 127.0.0.1:1 refuses the connection"), "{text}");
    for unsaid in ["imed out", ".rs", "log.file"] {
        assert!(!text.contains(unsaid), "{unsaid}: {text}");
    }
}

#[test]
fn what_access_rules_and_passwords_refuse_is_named() {
    if !servers_are_ours("needs its own access rules") {
        return;
    }
    let password = "s3cret-word";
    let secured = Secured::start("oncesink", password, password);
    let mut scenario = Scenario::new(secured.servers(password, password), "acl_transactions", 1);
    scenario.produce(100);
    let id = format!("{}-a", scenario.name);
    secured.allow_transactions(&id, AclOperation::Describe);
    let mut connector = scenario.start("a");
    let port = admin::address(&mut connector);
    let why = format!(
        "the cluster does not let this user use the transactional id {id}: kafka-acls.sh --add --allow-principal User:.. \
         --operation Write --operation Describe --transactional-id {id}"
    );
    connector.wait_for_log(&why);
    wait_for_obstacle(&port, &why);
    secured.allow_transactions(&id, AclOperation::All);
    scenario.wait_until_done();
    assert_eq!(connector.terminate(), Some(0));
    scenario.assert_exactly_once();

    let right = scenario.servers.kafka_properties.clone();
    let property = scenario.servers.kafka_properties.iter_mut().find(|(name, _)| name == "sasl.password").unwrap();
    "wrong".clone_into(&mut property.1);
    let mut connector = scenario.start("b");
    let port = admin::address(&mut connector);
    connector.wait_for_log(" refuses the credentials: ");
    wait_for_obstacle(&port, " refuses the credentials: ");
    assert_eq!(connector.terminate(), Some(0));
    scenario.servers.kafka_properties = right;
}
