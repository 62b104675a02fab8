//! Bad configurations and what is said about them, the examples under `config/`, and the reference page.
//!
//! The cases stand in `tests/config_cases/*.cases`: a name, a configuration, and every error as `line:column reason |
//! fix`. A line such as `@kafka` stands for one line of a good configuration, so that line numbers stay as written.
//! After a change of wording, `UPDATE_CONFIG_CASES=1 cargo test --test config` writes the new words; read the diff.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic too")]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use oncesink::config::{
    ByteSize, ConfigErrors, Format, OnGap, RegistryCredentials, Settings, Severity, Share, Start, load, parse,
};
use proptest::prelude::*;
use secrecy::ExposeSecret;

/// Target E2: as many bad configurations, each with file, line, reason and fix.
const CASES_MIN: usize = 150;

fn env(name: &str) -> Option<String> {
    let value = match name {
        "HOSTNAME" => "pod-0",
        "PASSWORD" => "hunter2-from-env",
        "BROKERS" => "a:9092,b:9092",
        "PIN" => "48151623",
        "FLAGS" => "broker,hunter2",
        "ROWS" => "1000",
        "TRUE" => "true",
        "TWO_LINES" => "me\nbehind_proxy: true",
        "INJECTION" => "[{ topic: t, table: hunter2 }]",
        "EMPTY" => "",
        _ => return None,
    };
    Some(value.to_owned())
}

/// `@word` lines replaced by a good line.
fn expand(yaml: &str) -> String {
    let lines = yaml.lines().map(|line| match line {
        "@name" => "name: readings",
        "@kafka" => "kafka: { brokers: \"k:9092\" }",
        "@clickhouse" => "clickhouse: { url: \"http://c:8123\" }",
        "@alerts" => "alerts: { topic: alerts }",
        "@topics" => "topics: [ { topic: readings, table: readings } ]",
        line => line,
    });
    lines.map(|line| format!("{line}\n")).collect()
}

fn describe(result: Result<Settings, ConfigErrors>) -> String {
    let mut text = String::new();
    match result {
        Ok(_) => text.push_str("accepted\n"),
        Err(errors) => {
            for error in &errors {
                let at = error.location();
                let (line, column) = (at.line(), at.column());
                writeln!(text, "{line}:{column} {} | {}", error.reason(), error.fix()).unwrap();
            }
        }
    }
    text
}

/// One case: what is wrong with `yaml` is `expected`. Gives what was said.
fn check(file: &str, name: &str, yaml: &str, expected: &str) -> String {
    let result = parse("x.yaml", &expand(yaml), &env);
    if let Err(errors) = &result {
        let shown = errors.to_string();
        assert!(
            !shown.contains("hunter2") && !shown.contains("48151623"),
            "{file}, {name}: a secret is shown: {shown}"
        );
        for error in errors {
            let place = format!("x.yaml:{}:{}: ", error.location().line(), error.location().column());
            assert!(error.to_string().starts_with(&place), "{file}, {name}: {error}");
            assert!(error.location().line() <= yaml.lines().count() + 1, "{file}, {name}: {error}");
            for words in [error.reason(), error.fix()] {
                assert!(!words.is_empty() && !words.ends_with('.'), "{file}, {name}: {error}");
                let sentence = words.chars().take(2).map(char::is_uppercase);
                assert!(!sentence.eq([true, false]), "{file}, {name}: {error}");
            }
        }
    }
    let found = describe(result);
    if std::env::var_os("UPDATE_CONFIG_CASES").is_none() {
        assert_eq!(found, expected, "{file}, {name}");
    }
    found
}

#[test]
fn every_bad_configuration_is_explained() {
    let mut count = 0;
    for path in files_in("tests/config_cases", "cases") {
        let text = std::fs::read_to_string(&path).unwrap();
        let file = path.display().to_string();
        let mut updated = String::new();
        for case in text.split("=== ").skip(1) {
            let (name, rest) = case.split_once('\n').unwrap();
            // The last `---` ends the configuration: a case may have one of its own.
            let (yaml, expected) = rest.rsplit_once("---\n").unwrap();
            let found = check(&file, name, yaml, expected);
            write!(updated, "=== {name}\n{yaml}---\n{found}").unwrap();
            count += 1;
        }
        if std::env::var_os("UPDATE_CONFIG_CASES").is_some() {
            std::fs::write(&path, updated).unwrap();
        }
    }
    assert!(count >= CASES_MIN, "only {count} cases");
}

fn files_in(folder: &str, extension: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|found| found == extension));
    files.sort();
    files
}

#[track_caller]
fn accept(yaml: &str) -> Settings {
    match parse("x.yaml", &expand(yaml), &env) {
        Ok(settings) => settings,
        Err(errors) => panic!("{errors}"),
    }
}

#[test]
fn every_example_is_accepted() {
    for path in files_in("config", "yaml") {
        if let Err(errors) = load(&path, &env) {
            panic!("{errors}");
        }
    }
}

#[test]
fn defaults_are_as_documented() {
    let settings = load(Path::new("config/minimal.yaml"), &env).unwrap();
    assert_eq!(settings.name, "readings");
    assert_eq!(settings.instance, "pod-0");
    assert_eq!(settings.kafka.brokers, "127.0.0.1:9092");
    assert_eq!(settings.kafka.transaction_timeout, Duration::from_secs(10));
    assert_eq!(settings.kafka.consumer_properties().count(), 0);
    assert_eq!(settings.clickhouse.url, "http://127.0.0.1:8123/");
    assert_eq!(settings.clickhouse.user, "default");
    assert!(settings.clickhouse.password.is_none());
    assert!(!settings.clickhouse.behind_proxy);
    assert!(!settings.clickhouse.is_encrypted());
    assert_eq!(settings.state_database, "oncesink");
    assert!(settings.create_state_tables);
    assert_eq!(settings.ledger_retention, Duration::from_secs(7 * 86_400));
    assert_eq!(settings.memory_max, ByteSize::from_mebibytes(256));
    assert_eq!(settings.drain_timeout, Duration::from_secs(25));
    assert_eq!(settings.admin_listen.to_string(), "127.0.0.1:9464");
    assert_eq!(settings.alert_topic, None);
    let [topic] = settings.topics.as_slice() else { panic!("one topic") };
    assert_eq!(topic.topic.value, "readings");
    assert_eq!(topic.table.value.to_string(), "default.readings");
    assert_eq!(topic.format, Format::DEFAULT);
    assert_eq!(topic.start, Start::Earliest);
    assert_eq!(topic.batch.linger, Duration::from_secs(1));
    assert_eq!(topic.batch.rows_max, 500_000);
    assert_eq!(topic.batch.bytes_max, ByteSize::from_mebibytes(64));
    assert!((topic.batch.inserts_per_second_max - 1.0).abs() < f64::EPSILON);
    assert_eq!(topic.coordinates.offset, "_offset");
    assert_eq!(topic.coordinates.replay, None);
    assert_eq!(topic.on_gap, OnGap::Halt);
    assert_eq!(topic.bad_share_max, Share::from_percent(10));
    assert!(topic.detectors.is_empty());
}

#[test]
fn detectors_keep_their_place() {
    let yaml = "@name\n@kafka\n@clickhouse\n@alerts\ntopics:\n  - topic: t\n    table: t\n    detectors:\n      - name: hot\n        when: \"temp > 90\"\n        severity: [ { when: temp > 110, is: critical } ]\n";
    let settings = accept(yaml);
    let detector = &settings.topics[0].detectors[0];
    assert_eq!(detector.when.value, "temp > 90");
    assert_eq!(detector.when.location.to_string(), "x.yaml:10:15");
    assert_eq!(detector.alerts_per_block_max, 1000);
    let severities: Vec<_> = detector.severity.iter().map(|rule| (rule.when.is_some(), rule.is)).collect();
    assert_eq!(severities, [(true, Severity::Critical), (false, Severity::Medium)]);
}

#[test]
fn variables_are_typed_like_plain_values() {
    let settings = accept(
        "@name\nkafka: { brokers: \"${BROKERS}\" }\n@clickhouse\ncreate_state_tables: \"${TRUE}\"\ntopics:\n  - topic: t\n    table: t\n    batch: { rows_max: \"${ROWS}\" }\n",
    );
    assert_eq!(settings.kafka.brokers, "a:9092,b:9092");
    assert!(settings.create_state_tables);
    assert_eq!(settings.topics[0].batch.rows_max, 1000);
}

const SECRETS: &str = "@name
kafka:
  brokers: [ 'a:9092', 'b:9092' ]
  properties:
    security.protocol: SASL_SSL
    sasl.mechanism: PLAIN
    sasl.username: me
    sasl.password_file: tests/config_cases/files/password
    ssl.key.password: hunter2 in the file
    session.timeout.ms: 30000
    batch.size: 100000
    transaction.timeout.ms: 12000
clickhouse:
  url: https://c:8443
  user: me
  password: ${PASSWORD}
  ca_file: tests/config_cases/files/ca.pem
@topics
";

#[test]
fn secrets_are_read_and_never_printed() {
    let settings = accept(SECRETS);
    let password = settings.clickhouse.password.as_ref().unwrap();
    assert_eq!(password.expose_secret(), "hunter2-from-env");
    let consumer: Vec<_> = settings.kafka.consumer_properties().collect();
    assert!(consumer.contains(&("sasl.password", "hunter2-from-file")));
    assert!(consumer.contains(&("ssl.key.password", "hunter2 in the file")));
    let shown = format!("{settings:?} {settings:#?}");
    assert!(shown.contains("sasl.username") && !shown.contains("hunter2"), "{shown}");
}

#[test]
fn a_registry_is_read_with_its_defaults_and_with_all_it_can_have() {
    let registry = |lines: &str| {
        let yaml = format!("@name\nkafka:\n  brokers: k:9092\n  schema_registry:\n{lines}@clickhouse\n@topics\n");
        let settings = accept(&yaml);
        let shown = format!("{settings:?}");
        assert!(!shown.contains("hunter2"), "{shown}");
        settings.kafka.schema_registry.unwrap()
    };
    assert!(accept("@name\n@kafka\n@clickhouse\n@topics\n").kafka.schema_registry.is_none());

    let least = registry("    url: http://r:8081\n    password: ${EMPTY}\n");
    assert_eq!(least.urls, ["http://r:8081/"]);
    assert!(matches!(least.credentials, RegistryCredentials::None));
    assert!(least.certificate_authorities.is_none() && least.identity.is_none());
    assert_eq!(least.unknown_schema_after, Duration::from_secs(60));

    let full = registry(
        "    url: [ 'https://a', 'https://b:8443/apis/ccompat/v7, http://c:8081' ]\n    username: me\n    \
         password_file: tests/config_cases/files/password\n    ca_file: tests/config_cases/files/ca.pem\n    \
         certificate_file: tests/config_cases/files/ca.pem\n    key_file: tests/config_cases/files/key.pem\n    \
         unknown_schema_after: 5m\n",
    );
    assert_eq!(full.urls, ["https://a/", "https://b:8443/apis/ccompat/v7", "http://c:8081/"]);
    let RegistryCredentials::Basic { username, password } = &full.credentials else { panic!("basic") };
    assert_eq!((username.as_str(), password.expose_secret()), ("me", "hunter2-from-file"));
    assert!(full.certificate_authorities.unwrap().contains("BEGIN CERTIFICATE"));
    assert!(full.identity.unwrap().key.expose_secret().contains("PRIVATE KEY"));
    assert_eq!(full.unknown_schema_after, Duration::from_secs(300));

    let token = registry("    url: http://r:8081\n    token: ${PASSWORD}\n").credentials;
    let RegistryCredentials::Bearer(token) = token else { panic!("bearer") };
    assert_eq!(token.expose_secret(), "hunter2-from-env");
}

#[test]
fn properties_reach_the_client_they_are_for() {
    let settings = accept(SECRETS);
    let names = |properties: Vec<(&str, &str)>| -> Vec<String> {
        properties.into_iter().map(|(name, _)| name.to_owned()).collect()
    };
    let consumer = names(settings.kafka.consumer_properties().collect());
    let producer = names(settings.kafka.producer_properties().collect());
    let has = |list: &[String], name: &str| list.iter().any(|listed| listed == name);
    assert!(has(&consumer, "session.timeout.ms") && !has(&producer, "session.timeout.ms"));
    assert!(has(&producer, "batch.size") && !has(&consumer, "batch.size"));
    assert!(has(&consumer, "sasl.username") && has(&producer, "sasl.username"));
    assert!(!has(&producer, "transaction.timeout.ms"));
    assert_eq!(settings.kafka.transaction_timeout, Duration::from_secs(12));
    assert_eq!(settings.kafka.brokers, "a:9092,b:9092");
}

#[test]
fn a_file_that_cannot_be_read_is_an_error_with_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.yaml");
    let said = |path: &Path| load(path, &env).unwrap_err().to_string();
    assert!(said(&path).contains("x.yaml:1:1: the file cannot be read"));
    std::fs::write(&path, b"name: readings\nkafka: \xff\n").unwrap();
    assert!(said(&path).contains("x.yaml:2:8: this is not UTF-8 text"));
    std::fs::write(&path, "#".repeat((1 << 20) + 1)).unwrap();
    assert!(said(&path).contains("x.yaml:1:1: the file has 1048577 bytes"));
}

#[test]
fn a_byte_order_mark_and_windows_lines_are_accepted() {
    let text = std::fs::read_to_string("config/readings.yaml").unwrap();
    let windows = format!("\u{feff}{}", text.replace('\n', "\r\n"));
    if let Err(errors) = parse("x.yaml", &windows, &env) {
        panic!("{errors}");
    }
    // The mark is no column.
    let said = describe(parse("x.yaml", "\u{feff}a b: c\n", &env));
    assert!(said.starts_with("1:1 "), "{said}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn no_text_makes_it_panic(text in any::<String>()) {
        prop_assert!(parse("x.yaml", &text, &env).is_err());
    }

    /// Damage to a good file reaches further than random text.
    #[test]
    fn no_damage_makes_it_panic(at in 0_usize..4000, length in 0_usize..40, with in "[-:#&*!|>'\"%@`{}\\[\\],?$\t\n a0]{0,8}") {
        let mut text: Vec<char> = std::fs::read_to_string("config/readings.yaml").unwrap().chars().collect();
        let start = at.min(text.len());
        let end = (start + length).min(text.len());
        text.splice(start..end, with.chars());
        let damaged: String = text.into_iter().collect();
        if let Err(errors) = parse("x.yaml", &damaged, &env) {
            prop_assert!(errors.iter().count() > 0);
        }
    }
}
