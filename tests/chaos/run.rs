//! One run: servers, producers, instances, faults, the oracle beside them, and the comparison at the end.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::clock::{Stop, now};
use crate::fleet::{Findings, Fleet};
use crate::inflict::{Ground, Window};
use crate::oracle::{Oracle, Verdict};
use crate::reader::{Reader, read_alerts};
use crate::rng::Rng;
use crate::schedule::{self, Counts};
use crate::settings::Settings;
use crate::tally::compare_alerts;
use crate::traffic::Traffic;
use crate::world::{ALERTS, MEMORY_MAX_MIB, NAME, TABLE, World};
use crate::{record, support};

/// What a process may have beyond 1.1 times `memory_max`: nothing; the code of a debug build alone is larger than that.
const MEMORY_BASE_MIB: u64 = if cfg!(debug_assertions) { 64 } else { 0 };
/// 1.1 times `memory_max`, and the base.
pub(crate) const MEMORY_BOUND_KIB: u64 = (MEMORY_MAX_MIB * 11 / 10 + MEMORY_BASE_MIB) << 10;
/// What does not move for so long is stuck: above every pause of the connector and every timeout of the servers.
const STUCK_AFTER: Duration = Duration::from_secs(180);
const PARTITIONS: i32 = 8;

/// Everything that runs beside the faults.
pub(crate) struct Run {
    pub(crate) world: Arc<World>,
    pub(crate) fleet: Fleet,
    pub(crate) traffic: Traffic,
    pub(crate) reader: Reader,
    pub(crate) findings: Findings,
    oracle: std::sync::Mutex<Oracle>,
}

impl Run {
    /// Starts servers, producers and instances.
    pub(crate) fn start(settings: &Settings, instances: &[&str]) -> Self {
        let world = Arc::new(World::start(PARTITIONS));
        let findings = Findings::default();
        let fleet = Fleet::new(&world, instances, &findings);
        let reader = Reader::start(&world);
        let traffic = Traffic::start(&world, settings);
        fleet.start_all();
        let oracle = std::sync::Mutex::new(Oracle::new(&world));
        Self { world, fleet, traffic, reader, findings, oracle }
    }

    pub(crate) fn oracle(&self) -> std::sync::MutexGuard<'_, Oracle> {
        self.oracle.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Watches processes and compares, until `stop`; how many comparisons there were.
    pub(crate) fn watch(&self, stop: &Stop) -> u64 {
        let (mut checks, mut round) = (0, 0_u64);
        while !stop.wait(Duration::from_millis(500)) {
            self.fleet.watch(MEMORY_BOUND_KIB);
            round += 1;
            if round.is_multiple_of(6)
                && let Ok(faults) = self.oracle().check(&self.reader)
            {
                checks += 1;
                faults.into_iter().for_each(|fault| self.findings.add(fault));
            }
        }
        self.fleet.watch(MEMORY_BOUND_KIB);
        checks
    }

    /// How many rows and dead letters there are; waits for ClickHouse.
    pub(crate) fn stored(&self) -> u64 {
        support::wait_for("ClickHouse to count its rows", || self.oracle().count_stored())
    }

    /// Rows and dead letters per second over this time.
    pub(crate) fn rate_over(&self, time: Duration) -> f64 {
        let (began, before) = (now(), self.stored());
        self.findings.stop.wait(time);
        per_second(self.stored() - before, began.elapsed())
    }

    /// Waits until the first rows are stored.
    pub(crate) fn wait_for_first_rows(&self) {
        support::wait_for("the first rows", || if self.stored() > 0 { Ok(()) } else { Err("none".to_owned()) });
    }

    /// Ends the producers and waits until the reader has seen everything that they wrote.
    pub(crate) fn finish_traffic(&mut self) {
        self.traffic.finish();
        support::wait_for("the reader to read everything", || {
            let (known, books) = (self.reader.expected(), &self.traffic.books);
            let load = |book: &std::sync::atomic::AtomicU64| book.load(std::sync::atomic::Ordering::SeqCst);
            let (sure, perhaps) = (load(&books.acknowledged), load(&books.uncertain));
            let all = known.at_end.len() == usize::try_from(self.world.partition_numbers().end).unwrap();
            if all && known.records >= sure {
                assert!(known.records <= sure + perhaps, "{} records read, {sure} + {perhaps} made", known.records);
                return Ok(());
            }
            Err(format!(
                "{} of {sure} to {} records, {} partitions at their end",
                known.records,
                sure + perhaps,
                known.at_end.len()
            ))
        });
    }

    /// Waits until everything is stored and committed, unless it does not move any more: that is a finding.
    pub(crate) fn drain(&self) -> Duration {
        let began = now();
        let (mut last, pace) = (((0, 0), now()), Stop::default());
        loop {
            pace.wait(Duration::from_millis(200));
            match self.oracle().drained(&self.reader) {
                Ok(Ok(())) => break,
                Ok(Err(progress)) if progress != last.0 => last = (progress, now()),
                Ok(Err(progress)) if last.1.elapsed() > STUCK_AFTER => {
                    let expected = self.reader.expected().records;
                    self.findings.add(format!("stuck: {progress:?} (stored, committed) of {expected} records"));
                    break;
                }
                Ok(Err(_)) | Err(_) => {}
            }
        }
        began.elapsed()
    }

    /// Compares rows and dead letters; what is wrong is a finding.
    pub(crate) fn compare(&self) -> Verdict {
        let verdict = support::wait_for("the comparison", || self.oracle().compare_all(&self.reader));
        verdict.faults.iter().for_each(|fault| self.findings.add(fault.clone()));
        verdict
    }

    /// Compares alerts; gives how many there are, and how many came again after a foreign rewind, as they may.
    pub(crate) fn compare_alerts(&self, repeatable: &[Window]) -> (u64, u64) {
        let alerts = read_alerts(&self.world, ALERTS);
        let known = self.reader.expected();
        let expected: Vec<(i32, u64)> =
            known.hot.iter().flat_map(|(partition, of)| of.iter().map(|offset| (*partition, *offset))).collect();
        let seen: Vec<(i32, u64)> = alerts.iter().map(|(unit, _)| *unit).collect();
        let mut faults = compare_alerts(&expected, &seen);
        let all = faults.repeated.len();
        faults.repeated.retain(|(partition, offset)| {
            !repeatable.iter().any(|(of, start, end)| of == partition && start <= offset && offset < end)
        });
        let allowed = all - faults.repeated.len();
        for (what, list) in
            [("missing", &faults.missing), ("repeated", &faults.repeated), ("unexpected", &faults.unexpected)]
        {
            if !list.is_empty() {
                let some = &list[..list.len().min(10)];
                self.findings.add(format!("{} alerts {what}, such as (partition, offset) {some:?}", list.len()));
            }
        }
        let ids = alerts.windows(2).filter(|pair| pair[0].0 == pair[1].0 && pair[0].1 != pair[1].1).count();
        if ids > 0 {
            self.findings.add(format!("{ids} repeated alerts have another id"));
        }
        (u64::try_from(seen.len()).unwrap(), u64::try_from(allowed).unwrap())
    }

    /// The figures that every run has.
    pub(crate) fn figures(&self, verdict: &Verdict) -> Value {
        let books = &self.traffic.books;
        let load = |book: &std::sync::atomic::AtomicU64| book.load(std::sync::atomic::Ordering::SeqCst);
        json!({
            "rows": verdict.rows,
            "dead_letters": verdict.dead,
            "records_of_aborted_transactions": load(&books.aborted),
            "lost": verdict.lost,
            "doubled": verdict.doubled,
            "wrong": verdict.wrong,
            "peak_rss_mib": self.fleet.peak_kib() >> 10,
            "memory_max_mib": MEMORY_MAX_MIB,
            "error_lines": self.fleet.errors(),
            "findings": self.findings.all(),
        })
    }

    /// Fails where something was found, and keeps the logs then.
    pub(crate) fn conclude(self) {
        let found = self.findings.all();
        if found.is_empty() {
            return;
        }
        let kept = std::env::temp_dir().join(format!("oncesink-chaos-{}", std::process::id()));
        std::fs::create_dir_all(&kept).unwrap();
        for entry in std::fs::read_dir(self.world.folder.path()).unwrap() {
            let path = entry.unwrap().path();
            std::fs::copy(&path, kept.join(path.file_name().unwrap())).unwrap();
        }
        panic!("{} findings; logs in {}:\n{}", found.len(), kept.display(), found.join("\n"));
    }
}

pub(crate) fn per_second(count: u64, time: Duration) -> f64 {
    // Exact up to 2^53.
    #[expect(clippy::cast_precision_loss, reason = "a rate is no count")]
    let count = count as f64;
    (count / time.as_secs_f64()).round()
}

/// Whether the faults stop before everything is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tail {
    /// They stop, everything comes to rest, and is compared.
    Quiet,
    /// The producers stop and all is compared while the faults go on; at their end all instances are killed.
    None,
}

/// A whole run.
pub(crate) fn chaos(tail: Tail) {
    let settings = Settings::from_environment();
    eprintln!("chaos with {tail:?} tail: {settings:?}; CHAOS_SEED={} repeats the choice of faults", settings.seed);
    let mut run = Run::start(&settings, &["a", "b", "c"]);
    run.wait_for_first_rows();
    let began = now();
    let (watching, choosing) = (Stop::default(), run.findings.stop.clone());
    let mut rng = Rng::new(settings.seed);
    let mut result = Figures::default();
    let ground = Ground::new(&run.fleet);
    std::thread::scope(|scope| {
        let watcher = scope.spawn(|| run.watch(&watching));
        result.clean_rate = run.rate_over(settings.clean);
        let (before, faults_began) = (run.stored(), now());
        match tail {
            Tail::Quiet => {
                result.counts = schedule::run(&ground, &mut rng, settings.interval, settings.faults, &choosing);
            }
            Tail::None => {
                let schedule =
                    scope.spawn(|| schedule::run(&ground, &mut rng, settings.interval, settings.faults, &choosing));
                choosing.wait(settings.faults.mul_f64(0.85));
                run.traffic.stop();
                result.counts = schedule.join().unwrap();
            }
        }
        result.fault_rate = per_second(run.stored() - before, faults_began.elapsed());
        watching.set();
        result.checks = watcher.join().unwrap();
    });
    result.repeatable = ground.repeatable();
    let backlog = run.traffic.books.produced().saturating_sub(run.stored());
    if tail == Tail::None {
        run.fleet.kill_all();
        run.fleet.start_all();
    }
    run.finish_traffic();
    let watching = Stop::default();
    std::thread::scope(|scope| {
        scope.spawn(|| run.watch(&watching));
        result.drain = run.drain();
        watching.set();
    });
    let verdict = run.compare();
    let codes = run.fleet.terminate_all();
    if codes.iter().any(|code| *code != Some(0)) {
        run.findings.add(format!("exit codes after everything was stored: {codes:?}"));
    }
    let (alerts, repeated) = run.compare_alerts(&result.repeatable);
    let mut figures = run.figures(&verdict);
    let of_run = json!({
        "tail": format!("{tail:?}").to_lowercase(),
        "seed": settings.seed,
        "minutes": (began.elapsed().as_secs_f64() / 6.0).round() / 10.0,
        "interval_s": settings.interval.as_secs_f64(),
        "produced_per_second_max": settings.rate,
        "faults_fired": schedule::fired(&result.counts),
        "faults_not_fired": result.counts.values().map(|count| count.not_fired).sum::<u64>(),
        "faults": result.counts.iter().map(|(kind, count)| (kind.clone(), json!([count.fired, count.not_fired]))).collect::<serde_json::Map<_, _>>(),
        "checks_during": result.checks,
        "alerts": alerts,
        "alerts_repeated_after_rewinds": repeated,
        "rows_per_second_clean": result.clean_rate,
        "rows_per_second_under_faults": result.fault_rate,
        "share_of_clean_rate": (result.fault_rate / result.clean_rate * 1_000.0).round() / 1_000.0,
        "backlog_at_the_end_of_faults": backlog,
        "drain_s": result.drain.as_secs_f64().round(),
    });
    figures.as_object_mut().unwrap().extend(of_run.as_object().unwrap().clone());
    record::append("chaos", &figures);
    run.conclude();
}

#[derive(Default)]
struct Figures {
    counts: Counts,
    checks: u64,
    clean_rate: f64,
    fault_rate: f64,
    repeatable: Vec<Window>,
    drain: Duration,
}

/// On real tables: one row is deleted, one inserted again, one inserted beside its dead letter.
pub(crate) fn planted_faults_are_found() {
    let settings = Settings { rate: 20_000, ..Settings::from_environment() };
    let mut run = Run::start(&settings, &["a"]);
    support::wait_for("enough rows", || if run.stored() > 100_000 { Ok(()) } else { Err("too few".to_owned()) });
    run.finish_traffic();
    run.drain();
    assert!(run.fleet.terminate_all() == [Some(0)] && run.findings.all().is_empty(), "{:?}", run.findings.all());
    let found = |run: &Run| {
        let verdict = run.oracle().compare_all(&run.reader).unwrap();
        let during = Oracle::new(&run.world).check(&run.reader).unwrap();
        assert_eq!(verdict.faults.is_empty(), during.is_empty(), "{verdict:?}, {during:?}");
        (verdict.lost, verdict.doubled, verdict.wrong)
    };
    assert_eq!(found(&run), (0, 0, 0));
    let mut expected = (0, 0, 0);
    let mut plant = |sql: &str, (lost, doubled, wrong)| {
        run.world.engine.query(sql).unwrap();
        expected = (expected.0 + lost, expected.1 + doubled, expected.2 + wrong);
        assert_eq!(found(&run), expected, "{sql}");
    };
    let row = "_partition = 3 AND _offset = (SELECT min(_offset) FROM target.readings WHERE _partition = 3)";
    plant(&format!("DELETE FROM {TABLE} WHERE {row}"), (1, 0, 0));
    let copy = format!("INSERT INTO {TABLE} SELECT * FROM {TABLE} WHERE _partition = 5 ORDER BY _offset LIMIT 1");
    plant(&copy, (0, 1, 0));
    let both = format!(
        "INSERT INTO {TABLE} SELECT 50, '{NAME}', kafka_partition, kafka_offset, 0 FROM {NAME}.dead_letters \
         WHERE kafka_partition = 2 ORDER BY kafka_offset LIMIT 1"
    );
    plant(&both, (0, 1, 0));
    let letter = format!("DELETE FROM {NAME}.dead_letters WHERE kafka_partition = 6 AND kafka_offset < 200");
    let letters = run.world.engine.query(&letter.replace("DELETE", "SELECT count()")).unwrap();
    plant(&letter, (letters.trim().parse().unwrap(), 0, 0));
}
