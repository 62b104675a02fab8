//! The downloads, each fetched once per machine.
//!
//! Takes what a service needs (a pom, a requirements file), gives the folder it is in. Promises that a folder it gives
//! is complete, whichever tests ask for it at the same time: installing happens under a file lock, and a marker with
//! the digest of the recipe is written last. Checks are the package managers' own: Maven's checksums, pip's hashes.

use std::ffi::OsStr;
use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::process::{open_log, tail};

const MARKER: &str = "complete";

/// The cache folder: `DEVSTACK_CACHE`, else `oncesink-devstack` in the user's cache folder.
pub(crate) fn cache_dir() -> Result<PathBuf> {
    let var = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(dir) = var("DEVSTACK_CACHE") {
        return Ok(dir);
    }
    let base = var("XDG_CACHE_HOME").or_else(|| var("HOME").map(|home| home.join(".cache")));
    let base = base.context("no place for downloads: set DEVSTACK_CACHE, XDG_CACHE_HOME or HOME")?;
    Ok(base.join("oncesink-devstack"))
}

/// Gives the folder `name-<digest of recipe>`, filled by `fill` unless it is complete already.
pub(crate) fn installed(name: &str, recipe: &str, fill: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    let cache = cache_dir()?;
    std::fs::create_dir_all(&cache).with_context(|| format!("make cache folder {}", cache.display()))?;
    let mut hasher = DefaultHasher::new();
    recipe.hash(&mut hasher);
    let dir = cache.join(format!("{name}-{:016x}", hasher.finish()));
    if dir.join(MARKER).exists() {
        return Ok(dir);
    }
    let lock_path = cache.join(format!("{name}.lock"));
    let lock = File::create(&lock_path).with_context(|| format!("create {}", lock_path.display()))?;
    lock.lock().with_context(|| format!("lock {}", lock_path.display()))?;
    if dir.join(MARKER).exists() {
        return Ok(dir);
    }
    if dir.exists() {
        std::fs::remove_dir_all(&dir).with_context(|| format!("remove half-made {}", dir.display()))?;
    }
    std::fs::create_dir_all(&dir).with_context(|| format!("make {}", dir.display()))?;
    fill(&dir).with_context(|| format!("install {name} into {}", dir.display()))?;
    std::fs::write(dir.join(MARKER), recipe).with_context(|| format!("mark {} complete", dir.display()))?;
    Ok(dir)
}

/// Runs an installer to its end; its output goes to `install.log` in `dir` and, on failure, into the error.
pub(crate) fn run<S: AsRef<OsStr>>(dir: &Path, program: &str, args: &[S]) -> Result<()> {
    let log_path = dir.join("install.log");
    let log = open_log(&log_path)?;
    let status = Command::new(program)
        .args(args)
        .current_dir(dir)
        .stdin(Stdio::null())
        .stdout(log.try_clone().context("duplicate the log file handle")?)
        .stderr(log)
        .status()
        .with_context(|| format!("run {program}"))?;
    if !status.success() {
        bail!("{program} failed ({status}):\n{}", tail(&log_path));
    }
    Ok(())
}

/// Fails with the name of the system package when a program is missing.
pub(crate) fn require(program: &str, package: &str) -> Result<()> {
    let found = Command::new("sh")
        .args(["-c", "command -v -- \"$1\"", "sh", program])
        .stdout(Stdio::null())
        .status()
        .context("run sh")?;
    if !found.success() {
        bail!("{program} is not installed: install the system package {package} (Debian: apt-get install {package})");
    }
    Ok(())
}
