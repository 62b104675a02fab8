//! Does a fault, and proves that it was one. What it breaks it repairs before it returns.

use std::collections::BTreeMap;
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use devstack::FaultAction;
use devstack::proxy::{Action, Rule};

use crate::clock::Stop;
use crate::fault::Fault;
use crate::fleet::Fleet;
use crate::oracle::Oracle;
use crate::support::connector::Connector;
use crate::world::{NAME, SESSION, World};

/// How long a fault waits for what it is to strike.
const PATIENCE: Duration = Duration::from_secs(20);
/// The topic does not grow beyond.
const PARTITIONS_MAX: i32 = 12;

/// How often the fault struck, or why it did not.
pub(crate) type Outcome = Result<u64, String>;

/// Offsets of a partition, half-open.
pub(crate) type Window = (i32, u64, u64);

/// What the faults of a run share.
pub(crate) struct Ground<'a> {
    pub(crate) fleet: &'a Fleet,
    /// Ends every wait of a fault; it then repairs what it broke.
    pub(crate) stop: Stop,
    engine_down: AtomicBool,
    broker_down: AtomicBool,
    guest: AtomicBool,
    guests: Mutex<u32>,
    /// Alerts of these offsets may be repeated: the group's offsets were moved by a foreign tool.
    repeatable: Mutex<Vec<Window>>,
}

/// Flags that a fault has taken; given back when dropped.
struct Taken<'a>(Vec<&'a AtomicBool>);

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        for flag in &self.0 {
            flag.store(false, Ordering::SeqCst);
        }
    }
}

fn take<'a>(flags: &[&'a AtomicBool]) -> Option<Taken<'a>> {
    let mut taken = Taken(Vec::new());
    for flag in flags {
        if flag.swap(true, Ordering::SeqCst) {
            return None;
        }
        taken.0.push(flag);
    }
    Some(taken)
}

impl<'a> Ground<'a> {
    pub(crate) fn new(fleet: &'a Fleet) -> Self {
        Self {
            fleet,
            stop: Stop::default(),
            engine_down: AtomicBool::new(false),
            broker_down: AtomicBool::new(false),
            guest: AtomicBool::new(false),
            guests: Mutex::new(0),
            repeatable: Mutex::default(),
        }
    }

    fn world(&self) -> &World {
        &self.fleet.world
    }

    /// Alerts of these offsets may be repeated.
    pub(crate) fn repeatable(&self) -> Vec<Window> {
        self.repeatable.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Does the fault; `None` where another one is under way at the same place.
    pub(crate) fn inflict(&self, fault: &Fault) -> Option<Outcome> {
        let slots = &self.fleet.slots;
        let _taken = take(&match fault {
            Fault::Kill { slot, .. }
            | Fault::Terminate { slot, .. }
            | Fault::PauseBeyondSession { slot, .. }
            | Fault::PauseShort { slot, .. } => vec![&slots[*slot].busy],
            Fault::Join { .. } => vec![&self.guest],
            Fault::KillBroker { .. } => vec![&self.broker_down],
            Fault::KillEngine { .. } => vec![&self.engine_down],
            Fault::Network { .. } | Fault::Error { .. } | Fault::AddPartition => Vec::new(),
            Fault::Rewind { .. } => {
                let all = slots.iter().map(|slot| &slot.busy);
                all.chain([&self.guest, &self.broker_down, &self.engine_down]).collect()
            }
        })?;
        Some(match fault {
            Fault::Kill { slot, down } => self.kill(*slot, *down),
            Fault::Terminate { slot, down } => self.terminate(*slot, *down),
            Fault::PauseBeyondSession { slot, more } => self.pause(*slot, *more, true),
            Fault::PauseShort { slot, time } => self.pause(*slot, *time, false),
            Fault::Join { stay } => self.join(*stay),
            Fault::KillBroker { down } => self.kill_broker(*down),
            Fault::KillEngine { down } => self.kill_engine(*down),
            Fault::Network { action, table, times, hold } => self.network(*action, table, *times, *hold),
            Fault::Error { code, when, table, times } => {
                let text = "injected by the chaos run".to_owned();
                let action = FaultAction::Error { code: *code, text };
                let engine = &self.world().engine;
                let armed = engine.fault_times(table, *when, &action, *times).map_err(|error| format!("{error:#}"));
                armed.and_then(|armed| {
                    let mut hits = 0;
                    // A fault that is armed in ClickHouse is gone when ClickHouse is killed.
                    self.stop.until(PATIENCE, || {
                        hits = armed.hits().unwrap_or(0).max(hits);
                        hits >= *times
                    });
                    fired(armed.release().unwrap_or(hits))
                })
            }
            Fault::Rewind { kill, back } => self.rewind(*kill, back),
            Fault::AddPartition => {
                if self.world().partition_numbers().end >= PARTITIONS_MAX {
                    return None;
                }
                self.world().add_partition().map(|_| 1)
            }
        })
    }

    /// The process in a slot, which must still run.
    fn with_running(&self, slot: usize, act: impl FnOnce(&mut Connector) -> Outcome) -> Outcome {
        let slot = &self.fleet.slots[slot];
        let mut place = slot.lock();
        let connector = place.as_mut().ok_or("there is no process")?;
        if let Some(status) = connector.ended() {
            self.fleet.findings.note(format!("{} ended by itself: {status}", slot.name));
            return Err("it had ended".to_owned());
        }
        act(connector)
    }

    fn restart(&self, slot: usize, down: Duration) {
        self.stop.wait(down);
        let slot = &self.fleet.slots[slot];
        *slot.lock() = Some(self.fleet.start(&slot.name));
    }

    fn kill(&self, slot: usize, down: Duration) -> Outcome {
        let outcome = self.with_running(slot, |connector| {
            connector.kill9();
            // Its end is the proof: by a signal, and not before.
            if connector.ended().is_some_and(|status| status.code().is_none()) { Ok(1) } else { fired(0) }
        });
        self.restart(slot, down);
        outcome
    }

    fn terminate(&self, slot: usize, down: Duration) -> Outcome {
        let outcome = self.with_running(slot, |connector| {
            connector.signal("TERM");
            // 4: stopped before everything was finished, as when a server is down.
            match connector.wait_for_exit() {
                Some(0 | 4) => Ok(1),
                code => {
                    self.fleet.findings.note(format!("{} ended with {code:?} after SIGTERM", connector.instance));
                    fired(0)
                }
            }
        });
        self.restart(slot, down);
        outcome
    }

    fn pause(&self, slot: usize, time: Duration, beyond_session: bool) -> Outcome {
        self.with_running(slot, |connector| {
            let before = self.world().generation();
            connector.signal("STOP");
            connector.wait_until_frozen();
            // Beyond the session: until the group has given its partitions to the others.
            let given_away =
                beyond_session && self.stop.until(SESSION + PATIENCE, || self.world().generation() > before);
            self.stop.wait(time);
            connector.signal("CONT");
            if given_away || !beyond_session { Ok(1) } else { Err("the group did not notice".to_owned()) }
        })
    }

    fn join(&self, stay: Duration) -> Outcome {
        let name = {
            let mut count = self.guests.lock().unwrap_or_else(PoisonError::into_inner);
            *count += 1;
            format!("guest{count}")
        };
        let before = self.world().generation();
        let mut guest = self.fleet.start(&name);
        let joined = self.stop.until(PATIENCE, || self.world().has_joined(&name) && self.world().generation() > before);
        self.stop.wait(stay);
        if let Some(status) = guest.ended() {
            self.fleet.findings.note(format!("{name} ended by itself: {status}"));
            return if joined { Ok(1) } else { Err("it ended".to_owned()) };
        }
        guest.signal("TERM");
        let code = guest.wait_for_exit();
        // One that has just begun may not have heard of SIGTERM yet, and is ended by it.
        if !matches!(code, Some(0 | 4)) && (joined || code.is_some()) {
            self.fleet.findings.note(format!("{name} ended with {code:?} after SIGTERM"));
        }
        if joined { Ok(1) } else { Err("it did not join".to_owned()) }
    }

    fn kill_broker(&self, down: Duration) -> Outcome {
        let broker = &self.world().broker;
        broker.kill9();
        let refused = TcpStream::connect(broker.bootstrap()).is_err();
        self.stop.wait(down);
        broker.restart().map_err(|error| format!("{error:#}"))?;
        fired(u64::from(refused))
    }

    fn kill_engine(&self, down: Duration) -> Outcome {
        let engine = &self.world().engine;
        engine.kill9();
        let refused = TcpStream::connect(engine.url().trim_start_matches("http://")).is_err();
        self.stop.wait(down);
        engine.restart().map_err(|error| format!("{error:#}"))?;
        fired(u64::from(refused))
    }

    fn network(&self, action: Action, table: &str, times: u64, hold: Duration) -> Outcome {
        let rule = self.world().proxy.add(Rule { matching: table.to_owned(), times, action });
        let later = action == Action::RepeatLater;
        self.stop.until(PATIENCE, || if later { rule.hits() } else { rule.struck() } >= times);
        if later || matches!(action, Action::StallRequest { .. } | Action::StallReply { .. }) {
            self.stop.wait(hold);
        }
        let hits = rule.disarm();
        rule.release();
        if later {
            self.stop.until(PATIENCE, || rule.struck() >= hits);
        }
        fired(rule.struck())
    }

    fn rewind(&self, kill: bool, back: &[u64]) -> Outcome {
        if kill {
            self.fleet.kill_all();
        } else {
            let codes = self.fleet.terminate_all();
            if !codes.iter().all(|code| matches!(code, Some(0 | 4))) {
                self.fleet.findings.note(format!("ended with {codes:?} after SIGTERM"));
            }
        }
        let moved = self.move_back(back);
        self.fleet.start_all();
        moved
    }

    fn move_back(&self, back: &[u64]) -> Outcome {
        let client = self.world().group_client();
        let committed = self.world().committed(&client)?;
        let offsets: BTreeMap<i32, u64> = committed
            .iter()
            .zip(back)
            .map(|((partition, offset), back)| (*partition, offset.saturating_sub(*back)))
            .collect();
        let windows = Oracle::new(&self.fleet.world).last_two_blocks()?;
        let windows = windows.into_iter().filter(|(partition, _, _)| offsets.contains_key(partition));
        self.repeatable.lock().unwrap_or_else(PoisonError::into_inner).extend(windows);
        // Static members are in the group until their sessions end. Not ended by the stop: it has to be tidy.
        let mut last = String::new();
        let moved = Stop::default().until(SESSION + PATIENCE, || {
            self.world().move_offsets(&client, &offsets).map_err(|error| last = error).is_ok()
        });
        if !moved {
            return Err(format!("offsets of {NAME} were not moved: {last}"));
        }
        let now = self.world().committed(&client)?;
        fired(u64::from(offsets.iter().all(|(partition, offset)| now.get(partition) == Some(offset))))
    }
}

fn fired(count: u64) -> Outcome {
    if count == 0 { Err("nothing was struck".to_owned()) } else { Ok(count) }
}
