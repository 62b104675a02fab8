//! The record: one JSON line for every run.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::process::Command;

use serde_json::{Value, json};

use crate::settings::record_file;

/// Appends a line: what every run says of itself, and `figures`.
pub(crate) fn append(what: &str, figures: &Value) {
    let mut line = json!({
        "what": what,
        "date": jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        "commit": commit(),
        "profile": if cfg!(debug_assertions) { "debug" } else { "release" },
    });
    let fields = line.as_object_mut().expect("it is an object");
    fields.extend(figures.as_object().expect("figures are an object").clone());
    let file = record_file();
    fs::create_dir_all(file.parent().expect("a file is in a folder")).unwrap();
    let mut record = OpenOptions::new().create(true).append(true).open(&file).unwrap();
    writeln!(record, "{line}").unwrap();
    eprintln!("{line}\nappended to {}", file.display());
}

/// Which code this is.
fn commit() -> String {
    let described = Command::new("git").args(["describe", "--always", "--dirty", "--abbrev=12"]).output();
    let described = described.ok().filter(|done| done.status.success());
    described.map_or_else(|| "unknown".to_owned(), |done| String::from_utf8_lossy(&done.stdout).trim().to_owned())
}
