//! `kill -9` of the connector at every named step, and a frozen process that wakes up too late.

use devstack::{FaultAction, FaultWhen};

use crate::support::scenario::Scenario;
use crate::support::servers_are_ours;

/// Kills a connector at a failpoint, starts it again, and compares.
fn check(failpoint: &str) {
    let mut scenario = Scenario::shared(failpoint.split(['=', ':']).next().unwrap(), 3);
    // Two blocks and a little.
    scenario.produce(9_000);
    scenario.produce_payloads(&[(0, "bad"), (2, "{")]);
    let mut connector = scenario.start_with_failpoint("a", failpoint);
    assert_eq!(connector.wait_for_exit(), None, "{failpoint} was not reached:\n{}", connector.log());
    scenario.produce(1_000);
    let mut connector = scenario.start("a");
    scenario.wait_until_done();
    assert_eq!(connector.terminate(), Some(0));
    scenario.assert_exactly_once();
}

macro_rules! killed {
    ($($name:ident: $failpoint:literal,)*) => { $(
        #[test]
        fn $name() {
            check($failpoint);
        }
    )* };
}

killed! {
    before_the_first_claim: "before_claim=kill",
    after_the_claim: "after_claim=kill",
    after_the_look: "after_look=kill",
    before_the_block_is_sent: "before_insert_target=kill",
    after_the_table_acknowledged: "after_insert_target=kill",
    after_a_later_block_was_acknowledged: "after_insert_target=kill:2",
    after_the_dead_letters_were_acknowledged: "after_insert_dead_letters=kill",
    after_the_alerts_were_acknowledged: "after_insert_alerts=kill",
    after_the_ledger_was_acknowledged: "after_insert_ledger=kill",
    before_the_commit: "before_commit=kill",
    // The first transaction is the takeover's proof.
    after_the_proof_sent_offsets: "after_send_offsets=kill",
    after_offsets_were_sent: "after_send_offsets=kill:2",
    after_the_transaction_was_committed: "after_commit=kill",
}

/// The request is out, the server has executed it, and nobody is left to hear the answer.
#[test]
fn after_the_block_was_sent() {
    if !servers_are_ours("holds a reply of ClickHouse") {
        return;
    }
    let engine = devstack::Stack::shared().unwrap().engine().unwrap();
    for when in [FaultWhen::Before, FaultWhen::After] {
        let mut scenario = Scenario::shared("sent", 3);
        let target = format!("INSERT INTO `{}`.`readings`", scenario.database);
        let fault = engine.fault(&target, when, &FaultAction::Hold).unwrap();
        scenario.produce(4_000);
        let mut connector = scenario.start("a");
        fault.wait_hit().unwrap();
        connector.kill9();
        // The next owner's takeover waits for the statement that is still running.
        let mut connector = scenario.start("a");
        connector.wait_for_log("takeover begins");
        fault.release().unwrap();
        scenario.wait_until_done();
        assert_eq!(connector.terminate(), Some(0));
        scenario.assert_exactly_once();
    }
}

/// The group has dropped it and says "unknown member": that is no second process with its instance id.
#[test]
fn a_frozen_instance_that_wakes_with_offsets_unsent_joins_again() {
    let mut scenario = Scenario::shared("dropped", 2);
    scenario.produce(2_000);
    let mut frozen = scenario.start_with_failpoint("a", "before_commit=stop");
    frozen.wait_until_frozen();
    let mut other = scenario.start("b");
    scenario.wait_until_done();
    frozen.signal("CONT");
    frozen.wait_for_log("transaction");
    frozen.wait_for_log("partition revoked");
    scenario.produce(2_000);
    scenario.wait_until_done();
    assert_eq!(frozen.terminate(), Some(0), "{}", frozen.log());
    assert_eq!(other.terminate(), Some(0));
    scenario.assert_exactly_once();
}

#[test]
fn a_frozen_instance_that_wakes_with_an_insert_unsent_is_refused_by_the_server() {
    let mut scenario = Scenario::shared("frozen", 2);
    scenario.produce(2_000);
    let mut frozen = scenario.start_with_failpoint("a", "before_insert_target=stop");
    frozen.wait_until_frozen();
    // The group gives its partitions away when its session ends; the other stores everything.
    let mut other = scenario.start("b");
    scenario.wait_until_done();
    frozen.signal("CONT");
    frozen.wait_for_log("insert refused: another owner claimed");
    scenario.produce(2_000);
    scenario.wait_until_done();
    assert_eq!(frozen.terminate(), Some(0), "{}", frozen.log());
    assert_eq!(other.terminate(), Some(0));
    scenario.assert_exactly_once();
}

/// A member that comes back under its static id while the group is stable is given what it had, without a rebalance.
#[test]
fn partitions_added_while_the_instance_was_dead_are_read() {
    let mut scenario = Scenario::shared("added", 2);
    scenario.session_timeout_ms = 45_000;
    scenario.produce(500);
    let mut connector = scenario.start("a");
    scenario.wait_until_done();
    connector.kill9();
    scenario.add_partitions(4);
    scenario.produce(500);
    let mut connector = scenario.start("a");
    scenario.wait_until_done();
    assert_eq!(connector.terminate(), Some(0));
    scenario.assert_exactly_once();
}
