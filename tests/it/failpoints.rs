//! Every failpoint of the driver, with everything that can happen there, on one broker and one engine.
//!
//! For each: records, dead letters and alerts arrive, the connector meets the failpoint, goes on or is started again,
//! and the oracle compares.

use crate::support::scenario::Scenario;

/// The failpoints, in the order in which a connector meets them. Errors cannot be planted at the last.
const POINTS: [&str; 23] = [
    "before_facts",
    "after_facts",
    "before_proof",
    "after_proof",
    "before_claim",
    "after_claim",
    "before_drain",
    "after_drain",
    "before_look",
    "after_look",
    "before_topic_check",
    "after_topic_check",
    "before_insert_target",
    "after_insert_target",
    "before_insert_dead_letters",
    "after_insert_dead_letters",
    "before_insert_alerts",
    "after_insert_alerts",
    "before_insert_ledger",
    "after_insert_ledger",
    "before_commit",
    "after_commit",
    "after_send_offsets",
];

fn check(action: &str, points: &[&str]) {
    let mut scenario = Scenario::shared(&format!("points_{action}"), 2);
    for point in points {
        scenario.produce(200);
        scenario.produce_payloads(&[(0, "bad"), (1, "{")]);
        let mut connector = scenario.start_with_failpoint("a", &format!("{point}={action}"));
        match action {
            "kill" => {
                assert_eq!(connector.wait_for_exit(), None, "{point} was not reached:\n{}", connector.log());
                connector = scenario.start("a");
            }
            "stop" => {
                connector.wait_until_frozen();
                connector.signal("CONT");
            }
            _ => connector.wait_for_log("failpoint reached"),
        }
        scenario.produce(100);
        scenario.wait_until_done();
        assert_eq!(connector.terminate(), Some(0), "{point}={action}:\n{}", connector.log());
        scenario.assert_exactly_once();
    }
}

#[test]
fn killed_at_every_point() {
    check("kill", &POINTS);
}

#[test]
fn frozen_for_a_moment_at_every_point() {
    check("stop", &POINTS);
}

#[test]
fn held_up_at_every_point() {
    check("delay", &POINTS);
}

#[test]
fn failing_at_every_point() {
    check("error", &POINTS[..22]);
}
