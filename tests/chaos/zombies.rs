//! Owners that are frozen, replaced, and wake up: on a plain table without a deduplication window nothing is doubled.

use std::sync::atomic::{AtomicUsize, Ordering};

use devstack::{Broker, BrokerOptions, Engine, EngineOptions, Fault, FaultAction, FaultWhen};
use serde_json::json;

use crate::record;
use crate::settings::number;
use crate::support::connector::Connector;
use crate::support::scenario::{Scenario, Servers};
use crate::support::wait_for;

/// Where the owner is frozen.
const POINTS: [&str; 8] = [
    "before_insert_target=stop",
    "sent, and not executed yet",
    "sent, executed, and not answered yet",
    "before_insert_target=stop:2",
    "after_insert_target=stop",
    "before_commit=stop",
    "after_send_offsets=stop:2",
    "after_look=stop",
];

/// Most of a run is waiting for sessions to end.
const AT_ONCE: usize = 4;

/// What the runs add up to.
#[derive(Default)]
struct Sums {
    begun: AtomicUsize,
    rows: AtomicUsize,
    refused: AtomicUsize,
}

/// Runs `ZOMBIE_RUNS` of them on the same servers.
pub(crate) fn zombies() {
    let runs: usize = number("ZOMBIE_RUNS", 10);
    let broker = Broker::start(&BrokerOptions::default()).unwrap();
    let engine = Engine::start(&EngineOptions::default()).unwrap();
    let sums = Sums::default();
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE.min(runs) {
            scope.spawn(|| {
                loop {
                    let run = sums.begun.fetch_add(1, Ordering::SeqCst);
                    if run >= runs {
                        break;
                    }
                    one(&broker, &engine, POINTS[run % POINTS.len()], &sums);
                    eprintln!("zombie {run} of {runs}, {}: nothing lost, nothing doubled", POINTS[run % POINTS.len()]);
                }
            });
        }
    });
    let figures = json!({
        "zombies": runs,
        "rows": sums.rows.load(Ordering::SeqCst),
        "refused_by_the_fence": sums.refused.load(Ordering::SeqCst),
        "lost": 0,
        "doubled": 0,
        "points": POINTS,
    });
    record::append("zombies", &figures);
}

/// One owner that is frozen, replaced, and woken.
fn one(broker: &Broker, engine: &Engine, point: &str, sums: &Sums) {
    let mut scenario = Scenario::new(Servers::plain(broker.bootstrap(), engine.url()), "zombie", 2);
    scenario.session_timeout_ms = 1_500;
    // Two blocks and a little.
    scenario.produce(10_500);
    let (mut zombie, held) = freeze(&scenario, engine, point);
    let mut other = scenario.start("b");
    if let Some(fault) = held {
        // Its takeover waits for what ClickHouse still holds of the first.
        other.wait_for_log("takeover begins");
        fault.release().unwrap();
    }
    scenario.wait_until_stored();
    let before = zombie.log().len();
    zombie.signal("CONT");
    // It does something before the end is judged.
    wait_for("the zombie to wake up", || {
        let log = zombie.log();
        let says = &log[before.min(log.len())..];
        if says.lines().count() > 1 { Ok(()) } else { Err(format!("it says {says:?}")) }
    });
    scenario.produce(500);
    // Committed as well: what a member has stored and then loses to another is published by the other.
    scenario.wait_until_done();
    assert_eq!(zombie.terminate(), Some(0), "{point}:\n{}", zombie.log());
    assert_eq!(other.terminate(), Some(0), "{point}:\n{}", other.log());
    scenario.assert_exactly_once();
    sums.refused
        .fetch_add(usize::from(zombie.log().contains("insert refused: another owner claimed")), Ordering::SeqCst);
    sums.rows.fetch_add(scenario.produced().len(), Ordering::SeqCst);
    scenario.servers.query(&format!("DROP DATABASE {} SYNC", scenario.database));
    scenario.kafka.delete_topic(&scenario.topic);
    scenario.kafka.delete_topic(&scenario.alert_topic);
}

/// An owner that is frozen at this point, and what holds its request, if anything does.
fn freeze(scenario: &Scenario, engine: &Engine, point: &str) -> (Connector, Option<Fault>) {
    let when = match point {
        "sent, and not executed yet" => FaultWhen::Before,
        "sent, executed, and not answered yet" => FaultWhen::After,
        failpoint => {
            let connector = scenario.start_with_failpoint("a", failpoint);
            connector.wait_until_frozen();
            return (connector, None);
        }
    };
    let target = format!("INSERT INTO `{}`.`readings`", scenario.database);
    let fault = engine.fault(&target, when, &FaultAction::Hold).unwrap();
    let connector = scenario.start("a");
    fault.wait_hit().unwrap();
    connector.signal("STOP");
    connector.wait_until_frozen();
    (connector, Some(fault))
}
