//! Owners that are frozen, replaced, and wake up: on a plain table without a deduplication window nothing is doubled.

use devstack::{Broker, BrokerOptions, Engine, EngineOptions, FaultAction, FaultWhen};
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

/// Runs `ZOMBIE_RUNS` of them on the same servers.
pub(crate) fn zombies() {
    let runs: usize = number("ZOMBIE_RUNS", 10);
    let broker = Broker::start(&BrokerOptions::default()).unwrap();
    let engine = Engine::start(&EngineOptions::default()).unwrap();
    let (mut rows, mut refused) = (0, 0);
    for run in 0..runs {
        let point = POINTS[run % POINTS.len()];
        let servers = Servers::plain(broker.bootstrap(), engine.url());
        let mut scenario = Scenario::new(servers, "zombie", 2);
        scenario.session_timeout_ms = 1_500;
        // Two blocks and a little.
        scenario.produce(10_500);
        let mut frozen = freeze(&scenario, &engine, point);
        // The other owner stores everything, but for what ClickHouse still holds of the first.
        let mut other = scenario.start("b");
        let hold = frozen.1.take();
        if let Some(fault) = hold {
            other.wait_for_log("takeover begins");
            fault.release().unwrap();
        }
        scenario.wait_until_stored();
        let mut zombie = frozen.0;
        let before = zombie.log().len();
        zombie.signal("CONT");
        // It does something before the end is judged.
        wait_for("the zombie to wake up", || {
            let log = zombie.log();
            let says = &log[before.min(log.len())..];
            if says.lines().count() > 1 { Ok(()) } else { Err(format!("it says {says:?}")) }
        });
        scenario.produce(500);
        scenario.wait_until_stored();
        assert_eq!(zombie.terminate(), Some(0), "{point}:\n{}", zombie.log());
        assert_eq!(other.terminate(), Some(0), "{point}:\n{}", other.log());
        scenario.assert_exactly_once();
        refused += usize::from(zombie.log().contains("insert refused: another owner claimed"));
        rows += scenario.produced().len();
        scenario.servers.query(&format!("DROP DATABASE {} SYNC", scenario.database));
        scenario.kafka.delete_topic(&scenario.topic);
        scenario.kafka.delete_topic(&scenario.alert_topic);
        eprintln!("zombie {} of {runs}: {point}: nothing lost, nothing doubled", run + 1);
    }
    let figures = json!({
        "zombies": runs, "rows": rows, "refused_by_the_fence": refused, "lost": 0, "doubled": 0, "points": POINTS,
    });
    record::append("zombies", &figures);
}

/// An owner that is frozen at this point, and what holds its request, if anything does.
fn freeze(scenario: &Scenario, engine: &Engine, point: &str) -> (Connector, Option<devstack::Fault>) {
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
