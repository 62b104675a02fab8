//! What Linux says of a process: CPU seconds (user and system), peak memory, threads.

use std::collections::BTreeMap;
use std::fs::{read_dir, read_to_string};

use anyhow::{Context, Result};

/// Linux counts CPU time in hundredths of a second.
const TICKS_PER_SECOND: f64 = 100.0;

/// User and system time so far.
pub(crate) fn cpu_seconds(pid: u32) -> Result<f64> {
    Ok(stat(&format!("/proc/{pid}/stat"))?.1)
}

/// The same by name of thread; threads that have ended are left out.
pub(crate) fn cpu_seconds_by_thread(pid: u32) -> Result<BTreeMap<String, f64>> {
    let mut threads = BTreeMap::new();
    for thread in read_dir(format!("/proc/{pid}/task"))? {
        let (name, seconds) = stat(&thread?.path().join("stat").display().to_string())?;
        *threads.entry(name).or_insert(0.0) += seconds;
    }
    Ok(threads)
}

/// Most resident memory so far (`VmHWM`), in MiB.
pub(crate) fn peak_mib(pid: u32) -> Result<f64> {
    mib(pid, "VmHWM:")
}

/// Resident memory now (`VmRSS`), in MiB.
pub(crate) fn resident_mib(pid: u32) -> Result<f64> {
    mib(pid, "VmRSS:")
}

fn mib(pid: u32, name: &str) -> Result<f64> {
    let status = read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(name)).context("a process has memory")?;
    let kib: f64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kib / 1024.0)
}

/// The same of a process and all that descend from it.
pub(crate) fn cpu_seconds_of_tree(pid: u32) -> Result<f64> {
    tree(pid)?.into_iter().map(cpu_seconds).sum()
}

/// The sum of their peaks.
pub(crate) fn peak_mib_of_tree(pid: u32) -> Result<f64> {
    tree(pid)?.into_iter().map(peak_mib).sum()
}

fn tree(pid: u32) -> Result<Vec<u32>> {
    let mut found = vec![pid];
    let mut at = 0;
    while let Some(pid) = found.get(at).copied() {
        at += 1;
        for thread in read_dir(format!("/proc/{pid}/task"))? {
            let children = read_to_string(thread?.path().join("children"))?;
            found.extend(children.split_whitespace().filter_map(|pid| pid.parse::<u32>().ok()));
        }
    }
    Ok(found)
}

/// The child of this process whose name begins so.
pub(crate) fn child(name: &str) -> Result<u32> {
    let children = read_to_string(format!("/proc/{0}/task/{0}/children", std::process::id()))?;
    let named = children
        .split_whitespace()
        .filter_map(|pid| pid.parse().ok())
        .find(|pid: &u32| read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm.starts_with(name)));
    named.with_context(|| format!("there is no child process {name}"))
}

fn stat(path: &str) -> Result<(String, f64)> {
    let stat = read_to_string(path).with_context(|| format!("read {path}"))?;
    // The name, in brackets, may hold anything; behind it the 12th and 13th fields are the two times.
    let (name, fields) = stat.rsplit_once(") ").context("a stat line has a name")?;
    let name = name.split_once('(').map_or("", |(_, name)| name);
    let ticks: f64 = fields.split_whitespace().skip(11).take(2).map(str::parse::<f64>).sum::<Result<f64, _>>()?;
    Ok((name.to_owned(), ticks / TICKS_PER_SECOND))
}
