//! Where a service keeps its data, and which port it gets.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

/// The folder of one service: given by the caller and kept, or made for it and removed with it.
#[derive(Debug)]
pub(crate) enum Folder {
    Given(PathBuf),
    ThrowAway(TempDir),
}

impl Folder {
    /// Uses `given`, or makes a throw-away folder; `DEVSTACK_KEEP` in the environment keeps those as well.
    pub(crate) fn new(given: Option<&Path>, name: &str) -> Result<Self> {
        if let Some(path) = given {
            std::fs::create_dir_all(path).with_context(|| format!("make folder {}", path.display()))?;
            let path = path.canonicalize().with_context(|| format!("resolve folder {}", path.display()))?;
            return Ok(Self::Given(path));
        }
        let made = tempfile::Builder::new()
            .prefix(&format!("devstack-{name}-"))
            .tempdir()
            .context("make a temporary folder")?;
        Ok(if std::env::var_os("DEVSTACK_KEEP").is_some() { Self::Given(made.keep()) } else { Self::ThrowAway(made) })
    }

    pub(crate) fn path(&self) -> &Path {
        match self {
            Self::Given(path) => path,
            Self::ThrowAway(made) => made.path(),
        }
    }

    /// The port that `name` had in this folder before, or a free one that it will have from now on.
    pub(crate) fn port(&self, name: &str) -> Result<u16> {
        let file = self.path().join(format!("{name}.port"));
        if let Ok(text) = std::fs::read_to_string(&file) {
            return text.trim().parse().with_context(|| format!("read a port number from {}", file.display()));
        }
        let port = free_port()?;
        std::fs::write(&file, port.to_string()).with_context(|| format!("write {}", file.display()))?;
        Ok(port)
    }

    pub(crate) fn throw_away(&self) -> Option<PathBuf> {
        match self {
            Self::Given(_) => None,
            Self::ThrowAway(made) => Some(made.path().to_owned()),
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Self::ThrowAway(made) = self
            && std::thread::panicking()
        {
            // A test has failed: its logs are worth more than a tidy disk.
            made.disable_cleanup(true);
            eprintln!("devstack: kept {}", made.path().display());
        }
    }
}

/// A port of the loopback interface that nobody listens on, and that this process has given to nobody else: a service
/// takes seconds until it listens, in which others are started.
///
/// From below the range that outgoing connections use, so that a service which is killed and restarted finds its port
/// free again.
fn free_port() -> Result<u16> {
    const FIRST: u16 = 15_000;
    const COUNT: u64 = 15_000;
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    for _ in 0..1_000 {
        let offset = u16::try_from(random_u64() % COUNT).expect("the remainder is below 15,000");
        let port = FIRST + offset;
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
        if free && GIVEN.lock().unwrap_or_else(PoisonError::into_inner).insert(port) {
            return Ok(port);
        }
    }
    bail!("no free port found between {FIRST} and 30000 on 127.0.0.1")
}

pub(crate) fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

/// Random bits from the seed that std draws for its hash maps; enough to keep ports apart.
fn random_u64() -> u64 {
    use std::hash::{BuildHasher, Hasher, RandomState};
    RandomState::new().build_hasher().finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_services_get_the_same_port() {
        let ports: Vec<u16> = (0..500).map(|_| free_port().expect("there are thousands")).collect();
        let different: BTreeSet<u16> = ports.iter().copied().collect();
        assert_eq!(different.len(), ports.len());
    }
}
