//! ClickHouse fails for minutes while records keep coming: nobody ends, the group stays as it is, memory stays bounded,
//! and afterwards everything is stored exactly once.

use std::time::Duration;

use devstack::proxy::{Action, Armed, Rule};
use devstack::{Fault, FaultAction, FaultWhen};
use serde_json::json;

use crate::clock::{Stop, now};
use crate::record;
use crate::run::Run;
use crate::settings::{Settings, number};

/// How ClickHouse fails.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Overload {
    /// Connections are refused.
    Stopped,
    /// Every insert is answered with an error: memory, parts, queries, a third of the time each.
    Refusing,
    /// Connections are accepted, and nothing is answered. What was sent meanwhile arrives at the end.
    BlackHole,
}

/// Keeps ClickHouse failing until it is ended.
enum Failing {
    Stopped,
    Refusing(Fault),
    BlackHole(Armed),
}

/// Every code in turn.
const CODES: [u32; 3] = [241, 252, 202];

impl Failing {
    fn begin(run: &Run, overload: Overload, part: usize) -> Self {
        match overload {
            Overload::Stopped => {
                run.world.engine.stop().unwrap();
                Self::Stopped
            }
            Overload::Refusing => {
                let error = FaultAction::Error { code: CODES[part], text: "overloaded".to_owned() };
                let engine = &run.world.engine;
                Self::Refusing(engine.fault_times("^INSERT INTO", FaultWhen::Before, &error, u64::MAX >> 1).unwrap())
            }
            Overload::BlackHole => {
                let action = Action::StallRequest { after: 0 };
                Self::BlackHole(run.world.proxy.add(Rule { matching: String::new(), times: u64::MAX, action }))
            }
        }
    }

    /// Ends it; gives how many requests were struck, where requests are counted.
    fn end(self, run: &Run) -> Option<u64> {
        match self {
            Self::Stopped => {
                run.world.engine.restart().unwrap();
                None
            }
            Self::Refusing(fault) => Some(fault.release().unwrap()),
            Self::BlackHole(rule) => {
                rule.disarm();
                rule.release();
                Some(rule.struck())
            }
        }
    }
}

/// A whole run.
pub(crate) fn overload(overload: Overload) {
    let time = Duration::from_secs_f64(number("OVERLOAD_MINUTES", 0.4) * 60.0);
    let rate = number("OVERLOAD_RATE", if cfg!(debug_assertions) { 5_000 } else { 25_000 });
    let settings = Settings { rate, backlog_max: u64::MAX, ..Settings::from_environment() };
    let mut run = Run::start(&settings, &["a", "b"]);
    run.wait_for_first_rows();
    let watching = Stop::default();
    let mut resident_mib = Vec::new();
    let (mut struck, mut generations, mut backlog) = (None, (0, 0), 0);
    let clean = run.rate_over(Duration::from_secs(10));
    std::thread::scope(|scope| {
        scope.spawn(|| run.watch(&watching));
        generations.0 = run.world.generation();
        // A third each, so that memory can be compared over time.
        let parts = if matches!(overload, Overload::Refusing) { 3 } else { 1 };
        for part in 0..parts {
            let failing = Failing::begin(&run, overload, part);
            let began = now();
            for _ in 0..3 / parts {
                run.findings.stop.wait(time / 3);
                resident_mib.push(run.fleet.resident_kib() >> 10);
            }
            eprintln!("{overload:?}: failed for {:?}, memory {resident_mib:?} MiB", began.elapsed());
            generations.1 = run.world.generation();
            struck = failing.end(&run).map(|hits| struck.unwrap_or(0) + hits).or(struck);
        }
        backlog = run.traffic.books.produced().saturating_sub(run.stored());
        watching.set();
    });
    if generations.0 != generations.1 {
        run.findings.add(format!("the group went from generation {} to {}", generations.0, generations.1));
    }
    if struck == Some(0) {
        run.findings.add("nothing was struck".to_owned());
    }
    let recovering = now();
    run.finish_traffic();
    let watching = Stop::default();
    std::thread::scope(|scope| {
        scope.spawn(|| run.watch(&watching));
        run.drain();
        watching.set();
    });
    let drain = recovering.elapsed();
    let verdict = run.compare();
    let codes = run.fleet.terminate_all();
    if codes.iter().any(|code| *code != Some(0)) {
        run.findings.add(format!("exit codes after everything was stored: {codes:?}"));
    }
    let (alerts, _) = run.compare_alerts(&[]);
    let mut figures = run.figures(&verdict);
    let of_run = json!({
        "overload": format!("{overload:?}"),
        "minutes": time.as_secs_f64() / 60.0,
        "requests_struck": struck,
        "rows_per_second_before": clean,
        "resident_mib_over_time": resident_mib,
        "group_generations": [generations.0, generations.1],
        "backlog_at_its_end": backlog,
        "drain_s": drain.as_secs_f64().round(),
        "alerts": alerts,
    });
    figures.as_object_mut().unwrap().extend(of_run.as_object().unwrap().clone());
    record::append("overload", &figures);
    run.conclude();
}
