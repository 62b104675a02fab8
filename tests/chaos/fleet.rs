//! The instances of the connector: started, watched, and never ending by themselves.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::clock::Stop;
use crate::support::connector::Connector;
use crate::watch;
use crate::world::World;

/// What must not happen, and did.
#[derive(Debug, Clone, Default)]
pub(crate) struct Findings {
    list: Arc<Mutex<Vec<String>>>,
    /// Set with the first finding.
    pub(crate) stop: Stop,
}

impl Findings {
    /// Adds one, and ends the run.
    pub(crate) fn add(&self, finding: String) {
        self.note(finding);
        self.stop.set();
    }

    /// Adds one that says nothing of what is stored: the run goes on, and fails at its end.
    pub(crate) fn note(&self, finding: String) {
        eprintln!("FOUND: {finding}");
        self.list.lock().unwrap_or_else(PoisonError::into_inner).push(finding);
    }

    /// All so far.
    pub(crate) fn all(&self) -> Vec<String> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A place for an instance; one process at a time.
pub(crate) struct Slot {
    pub(crate) name: String,
    connector: Mutex<Option<Connector>>,
    /// A fault is being done to it: it may end.
    pub(crate) busy: AtomicBool,
}

impl Slot {
    fn new(name: &str) -> Self {
        Self { name: name.to_owned(), connector: Mutex::new(None), busy: AtomicBool::new(false) }
    }

    /// Its process.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Option<Connector>> {
        self.connector.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All instances.
pub(crate) struct Fleet {
    pub(crate) world: Arc<World>,
    pub(crate) slots: Vec<Slot>,
    pub(crate) findings: Findings,
    running: Mutex<BTreeMap<u32, String>>,
    peak_kib: AtomicU64,
    logs: Mutex<BTreeMap<PathBuf, u64>>,
    /// How many lines of level ERROR there were, by their words.
    errors: Mutex<BTreeMap<String, u64>>,
}

impl Fleet {
    /// A fleet without processes.
    pub(crate) fn new(world: &Arc<World>, names: &[&str], findings: &Findings) -> Self {
        Self {
            world: Arc::clone(world),
            slots: names.iter().map(|name| Slot::new(name)).collect(),
            findings: findings.clone(),
            running: Mutex::default(),
            peak_kib: AtomicU64::new(0),
            logs: Mutex::default(),
            errors: Mutex::default(),
        }
    }

    /// Starts a process.
    pub(crate) fn start(&self, instance: &str) -> Connector {
        let connector = Connector::start(self.world.folder.path(), instance, &self.world.config(instance), None);
        self.running().insert(connector.pid(), instance.to_owned());
        connector
    }

    /// Starts a process in every slot that has none.
    pub(crate) fn start_all(&self) {
        for slot in &self.slots {
            slot.lock().get_or_insert_with(|| self.start(&slot.name));
        }
    }

    /// `kill -9` to all.
    pub(crate) fn kill_all(&self) {
        for slot in &self.slots {
            if let Some(mut connector) = slot.lock().take() {
                connector.kill9();
            }
        }
    }

    /// SIGTERM to all; the exit codes.
    pub(crate) fn terminate_all(&self) -> Vec<Option<i32>> {
        let connectors: Vec<_> = self.slots.iter().filter_map(|slot| slot.lock().take()).collect();
        for connector in &connectors {
            connector.signal("TERM");
        }
        connectors.into_iter().map(|mut connector| connector.wait_for_exit()).collect()
    }

    fn running(&self) -> MutexGuard<'_, BTreeMap<u32, String>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The most memory that any process has had so far, in KiB.
    pub(crate) fn peak_kib(&self) -> u64 {
        self.peak_kib.load(Ordering::SeqCst)
    }

    /// The most memory that a process has now, in KiB.
    pub(crate) fn resident_kib(&self) -> u64 {
        self.running().keys().filter_map(|pid| watch::resident_kib(*pid)).max().unwrap_or(0)
    }

    /// The ERROR lines by their words.
    pub(crate) fn errors(&self) -> BTreeMap<String, u64> {
        self.errors.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Looks at every process and every log: memory, ends that nobody asked for, panics, partitions that halt.
    pub(crate) fn watch(&self, memory_bound_kib: u64) {
        self.running().retain(|pid, instance| {
            let Some(peak) = watch::peak_kib(*pid) else { return false };
            let before = self.peak_kib.fetch_max(peak, Ordering::SeqCst);
            if peak > memory_bound_kib && before <= memory_bound_kib {
                self.findings.note(format!("{instance} has {peak} KiB of memory, bound {memory_bound_kib} KiB"));
            }
            true
        });
        for slot in &self.slots {
            let Ok(mut connector) = slot.connector.try_lock() else { continue };
            if slot.busy.load(Ordering::SeqCst) {
                continue;
            }
            if let Some(status) = connector.as_mut().and_then(Connector::ended) {
                self.findings.note(format!("{} ended by itself: {status}", slot.name));
                *connector = Some(self.start(&slot.name));
            }
        }
        self.read_logs();
    }

    fn read_logs(&self) {
        let mut logs = self.logs.lock().unwrap_or_else(PoisonError::into_inner);
        let mut errors = self.errors.lock().unwrap_or_else(PoisonError::into_inner);
        for entry in std::fs::read_dir(self.world.folder.path()).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_none_or(|extension| extension != "log") {
                continue;
            }
            let from = logs.entry(path.clone()).or_default();
            let (lines, read) = watch::new_lines(&path, *from);
            *from = read;
            for line in lines {
                let text = line.split_once("ERROR ").map(|(_, text)| text);
                if line.contains("panicked at") || line.contains("partition halted") {
                    self.findings.add(format!("{}: {line}", path.display()));
                }
                if let Some(text) = text {
                    let words = text.split(['=', '/']).next().unwrap_or(text).chars().take(80).collect();
                    *errors.entry(words).or_default() += 1;
                }
            }
        }
    }
}
