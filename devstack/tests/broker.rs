//! The broker answers, also after a kill.

use devstack::{Broker, BrokerOptions, PrivateCa, SaslSsl};

#[test]
fn broker_starts_with_sasl_and_survives_a_kill() {
    let sasl = SaslSsl { ca: PrivateCa::new().unwrap(), user: "sink".into(), password: "secret".into() };
    let broker = Broker::start(&BrokerOptions { sasl_ssl: Some(sasl), ..BrokerOptions::default() }).unwrap();
    broker.kill9();
    broker.restart().unwrap();
    assert!(broker.sasl_bootstrap().is_some());
}
