//! The same promise over SASL_SSL and HTTPS with a private certificate authority.

use crate::support::scenario::Scenario;
use crate::support::secured::Secured;
use crate::support::servers_are_ours;

#[test]
fn over_sasl_ssl_and_https_with_a_private_ca() {
    if !servers_are_ours("needs its own certificates") {
        return;
    }
    let password = "s3cret-word";
    let secured = Secured::start("oncesink", password, password);
    let mut scenario = Scenario::new(secured.servers(password, password), "secure", 4);
    scenario.produce(5_000);
    scenario.produce_payloads(&[(1, "bad")]);
    let mut connector = scenario.start("a");
    scenario.wait_until_done();
    assert_eq!(connector.terminate(), Some(0));
    scenario.assert_exactly_once();
    assert!(!connector.log().contains(password), "no secret is logged");
}
