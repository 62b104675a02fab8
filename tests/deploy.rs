//! What `deploy/` promises, as far as it can be checked without a container engine.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "helpers of tests may panic, and say what they leave out"
)]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use oncesink::config::{self, Settings};
use oncesink::metrics::definitions::{ALL, Kind};

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(name)
}

fn text(name: &str) -> String {
    std::fs::read_to_string(path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The configuration of the compose file, as the connector reads it.
fn settings() -> Settings {
    let environment = |name: &str| (name == "CLICKHOUSE_PASSWORD").then(|| "secret".to_owned());
    config::parse("oncesink.yaml", &text("compose/oncesink.yaml"), &environment).unwrap()
}

/// Runs a program that may not be installed.
fn run_if_installed(program: &str, arguments: &[&str], folder: &Path) {
    match Command::new(program).args(arguments).current_dir(folder).output() {
        Ok(output) => assert!(
            output.status.success(),
            "{program} {arguments:?}\n{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        ),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            println!("left out: {program} is not installed");
        }
        Err(error) => panic!("{program}: {error}"),
    }
}

#[test]
fn prometheus_accepts_its_files() {
    let folder = path("prometheus");
    run_if_installed("promtool", &["check", "config", "prometheus.yml"], &folder);
    run_if_installed("promtool", &["check", "rules", "--lint=all", "--lint-fatal", "alerts.yml"], &folder);
    run_if_installed("promtool", &["test", "rules", "alerts_test.yml"], &folder);
}

#[test]
fn alert_rules_use_metrics_that_exist() {
    let mut names = Vec::new();
    for metric in ALL {
        match metric.kind {
            Kind::Histogram => names.extend(["_bucket", "_count", "_sum"].map(|end| format!("{}{end}", metric.name))),
            Kind::Counter | Kind::Gauge => names.push(metric.name.to_owned()),
        }
    }
    let mut used = 0;
    for file in ["prometheus/alerts.yml", "prometheus/alerts_test.yml"] {
        for word in text(file).split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_') {
            if word.starts_with("oncesink_") {
                assert!(names.iter().any(|name| name == word), "{file} uses {word}");
                used += 1;
            }
        }
    }
    assert!(used > 10, "{used} metrics found: are the files read?");
}

#[test]
fn the_compose_configuration_is_valid_and_matches_its_surroundings() {
    let settings = settings();
    let compose = text("compose/compose.yaml");
    assert_eq!(settings.admin_listen.port(), 9464);
    assert!(text("prometheus/prometheus.yml").contains("oncesink:9464"));
    assert!(compose.contains("127.0.0.1:9464:9464"), "the admin port is for this machine only");
    for topic in &settings.topics {
        assert!(compose.contains(&format!("in {} alerts;", topic.topic.value)), "the topic is made");
        let table = topic.table.value.to_string();
        assert!(text("compose/tables.sql").contains(&format!("CREATE TABLE IF NOT EXISTS {table}\n")), "{table}");
    }
}

#[test]
fn whoever_stops_it_waits_longer_than_it_drains() {
    let drain = settings().drain_timeout;
    let check = |file: &str, key: &str| {
        let text = text(file);
        let line = text.lines().find_map(|line| line.trim().strip_prefix(key)).unwrap_or_else(|| panic!("{key}"));
        let seconds = line.trim().strip_suffix('s').unwrap().parse().unwrap();
        assert!(Duration::from_secs(seconds) > drain + Duration::from_secs(5), "{file}: {key} {line}");
    };
    check("systemd/oncesink@.service", "TimeoutStopSec=");
    check("compose/compose.yaml", "stop_grace_period:");
}

#[test]
fn systemd_accepts_the_unit() {
    let folder = tempfile::tempdir().unwrap();
    let unit = text("systemd/oncesink@.service").replace("/usr/local/bin/oncesink", env!("CARGO_BIN_EXE_oncesink"));
    std::fs::write(folder.path().join("oncesink@readings.service"), unit).unwrap();
    run_if_installed("systemd-analyze", &["verify", "--man=no", "./oncesink@readings.service"], folder.path());
}
