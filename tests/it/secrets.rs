//! A secret that the connector was given comes out nowhere: not in the log at its most talkative, not on the admin port,
//! not in what a command prints, not in an error.

use std::fs;

use crate::support::admin::{self, get};
use crate::support::connector::{Connector, oncesink};
use crate::support::scenario::Scenario;
use crate::support::secured::Secured;
use crate::support::{servers_are_ours, wait_for};

/// Everything that any library of the process may want to say.
const TALKATIVE: (&str, &str) = ("ONCESINK_LOG", "trace,oncesink=trace");
const USER: &str = "oncesink";
const SASL_SECRET: &str = "canary-sasl-7f3a91";
const CLICKHOUSE_SECRET: &str = "canary-clickhouse-51be02";
const WRONG_SECRET: &str = "canary-wrong-c4d8e6";

/// A secret as it is, and as an HTTP basic header, a URL or a dump of bytes would carry it.
fn forms(secret: &str) -> Vec<String> {
    let hex: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
    let list = secret.bytes().map(|byte| byte.to_string()).collect::<Vec<_>>().join(", ");
    vec![secret.to_owned(), hex.to_uppercase(), hex, list]
}

#[track_caller]
fn assert_silent(what: &str, text: &str) {
    for secret in [SASL_SECRET, CLICKHOUSE_SECRET, WRONG_SECRET, "canary"] {
        for form in forms(secret) {
            if let Some(at) = text.find(&form) {
                let start = text[..at].rfind('\n').map_or(0, |line| line + 1);
                let end = text[at..].find('\n').map_or(text.len(), |line| at + line);
                panic!("{what} shows a secret: {}", &text[start..end]);
            }
        }
    }
}

/// Every page of the admin port.
fn pages(address: &str) -> String {
    ["/", "/metrics", "/status", "/livez", "/readyz", "/nothing"]
        .map(|path| get(address, path).unwrap_or_else(|reply| reply))
        .concat()
}

#[test]
fn secrets_that_are_right_or_wrong_stay_secret() {
    if !servers_are_ours("needs its own passwords") {
        return;
    }
    let secured = Secured::start(USER, SASL_SECRET, CLICKHOUSE_SECRET);
    let mut scenario = Scenario::new(secured.servers(SASL_SECRET, CLICKHOUSE_SECRET), "secrets", 1);
    scenario.produce(500);
    scenario.produce_payloads(&[(0, "bad")]);
    scenario.servers.kafka_properties.push(("debug".to_owned(), "all".to_owned()));
    let start = |scenario: &Scenario| {
        Connector::start_with_environment(scenario.folder.path(), "a", &scenario.config("a"), &[TALKATIVE])
    };
    let mut connector = start(&scenario);
    let port = admin::address(&mut connector);
    scenario.wait_until_stored();
    assert_silent("the admin port", &pages(&port));
    for arguments in [
        &["status", "--admin", &port][..],
        &["verify"],
        &["check", "--connect"],
        &["reset", "--new-replay", "--topic", "x"],
    ] {
        let (_, text) = scenario.run(arguments);
        assert_silent(arguments[0], &text);
    }
    assert_eq!(connector.terminate(), Some(0));
    assert!(connector.log().len() > 100_000, "the log was to be talkative");
    assert_silent("the log", &connector.log());

    // A password that the server refuses is not repeated in the refusal.
    scenario.servers.clickhouse_lines = secured.clickhouse_lines(WRONG_SECRET);
    let mut connector = start(&scenario);
    assert_eq!(connector.wait_for_exit(), Some(2), "{}", connector.log());
    assert_silent("the log", &connector.log());
    let (code, text) = scenario.run(&["check", "--connect"]);
    assert_eq!(code, 1, "{text}");
    assert_silent("check", &text);
    scenario.servers.clickhouse_lines = secured.clickhouse_lines(CLICKHOUSE_SECRET);
    let password = scenario.servers.kafka_properties.iter_mut().find(|(name, _)| name == "sasl.password").unwrap();
    WRONG_SECRET.clone_into(&mut password.1);
    let mut connector = start(&scenario);
    let port = admin::address(&mut connector);
    connector.wait_for_log("waiting for kafka");
    assert_silent("the admin port", &pages(&port));
    connector.signal("TERM");
    connector.wait_for_exit();
    assert_silent("the log", &connector.log());
    let (code, text) = scenario.run(&["verify"]);
    assert_eq!(code, 2, "{text}");
    assert_silent("verify", &text);
}

/// All secrets of the configuration at once, with servers that are not there.
#[test]
fn secrets_stay_secret_where_nobody_answers() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("canary-is-no-secret-in-a-path");
    fs::write(&path, SASL_SECRET).unwrap();
    let plain = folder.path().join("secret");
    fs::write(&plain, SASL_SECRET).unwrap();
    let config = format!(
        "name: n\ninstance: i\nkafka:\n  brokers: 127.0.0.1:1\n  properties:\n    debug: all\n    \
         security.protocol: SASL_SSL\n    sasl.mechanism: PLAIN\n    sasl.username: u\n    sasl.password_file: {}\n    \
         ssl.key.password: {WRONG_SECRET}\nclickhouse: {{ url: \"http://127.0.0.1:1\", password: \"${{CANARY}}\" }}\n\
         admin: {{ listen: 127.0.0.1:0 }}\ntopics: [{{ topic: t, table: d.t }}]\n",
        plain.display()
    );
    let environment = [TALKATIVE, ("CANARY", CLICKHOUSE_SECRET)];
    let mut connector = Connector::start_with_environment(folder.path(), "i", &config, &environment);
    let port = admin::address(&mut connector);
    connector.wait_for_log("waiting for clickhouse");
    wait_for("clickhouse to be missed", || {
        let status = get(&port, "/status")?;
        if status.contains("127.0.0.1:1") { Ok(()) } else { Err(status) }
    });
    assert_silent("the admin port", &pages(&port));
    assert!(connector.is_running());
    assert_eq!(connector.terminate(), Some(0));
    assert_silent("the log", &connector.log());
}

/// Secrets in files that are wrong: the error says where and what, and not with which value.
#[test]
fn errors_of_the_configuration_leave_secrets_out() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secret");
    fs::write(&file, format!("{SASL_SECRET}\n{SASL_SECRET}\n")).unwrap();
    let long = "x".repeat(300);
    let kafka = |properties: &str| {
        format!(
            "kafka: {{ brokers: \"k:9092\", properties: {{ {properties} }} }}\nclickhouse: {{ url: \"http://c:8123\" }}"
        )
    };
    let clickhouse = |keys: &str| format!("kafka: {{ brokers: \"k:9092\" }}\nclickhouse: {{ {keys} }}");
    let sasl = "security.protocol: SASL_SSL, sasl.mechanism: PLAIN, sasl.username: u";
    let cases = [
        kafka(&format!("{sasl}, sasl.password: [{SASL_SECRET}]")),
        kafka(&format!("{sasl}, sasl.password: {{ {SASL_SECRET}: {SASL_SECRET} }}")),
        kafka(&format!("{sasl}, sasl.password: \"{SASL_SECRET}\\n{SASL_SECRET}\"")),
        kafka(&format!("{sasl}, sasl.password: {SASL_SECRET}, sasl.password_file: {}", file.display())),
        kafka(&format!("{sasl}, sasl.password_file: {}", file.display())),
        kafka(&format!("{sasl}, sasl.pasword: {SASL_SECRET}")),
        kafka(&format!("{sasl}, sasl.passwords: {SASL_SECRET}")),
        kafka(&format!("sasl.password: {SASL_SECRET}")),
        kafka(&format!("ssl.key.password: {SASL_SECRET}")),
        kafka(&format!("ssl.key.pem: [{SASL_SECRET}], security.protocol: SSL")),
        kafka(&format!("ssl.keystore.password: [{SASL_SECRET}], security.protocol: SSL")),
        kafka(&format!("sasl.jaas.config: \"required password={SASL_SECRET}\"")),
        kafka(&format!("sasl.oauthbearer.client.secret: {SASL_SECRET}")),
        kafka(&format!("sasl.oauthbearer.config: {SASL_SECRET}")),
        kafka(&format!("sasl.oauthbearer.assertion.private.key.passphrase: {SASL_SECRET}")),
        clickhouse(&format!("url: \"http://u:{CLICKHOUSE_SECRET}@c:8123\"")),
        clickhouse(&format!("url: \"http://{CLICKHOUSE_SECRET}@c:8123\"")),
        clickhouse(&format!("url: \"https://c:8443/?password={CLICKHOUSE_SECRET}\"")),
        clickhouse(&format!("url: \"https://c:8443/#{CLICKHOUSE_SECRET}\"")),
        clickhouse(&format!("url: \"u:{CLICKHOUSE_SECRET}@c\"")),
        clickhouse(&format!("url: \"tcp://u:{CLICKHOUSE_SECRET}@c:9000\"")),
        clickhouse(&format!("url: \"http://u:{CLICKHOUSE_SECRET}@ c:9000\"")),
        clickhouse(&format!("url: \"http://c:8123\", password: [ {CLICKHOUSE_SECRET} ]")),
        clickhouse(&format!("url: \"http://c:8123\", pasword: {CLICKHOUSE_SECRET}")),
        clickhouse(&format!("url: \"http://c:8123\", password: {CLICKHOUSE_SECRET}{long}, user: [x]")),
        clickhouse(&format!("url: \"http://c:8123\", password: \"{CLICKHOUSE_SECRET}\\u0007\"")),
        clickhouse(
            "url: \"http://c:8123\", password: \"${CANARY}\", user: \"${CANARY:?x}\", behind_proxy: \"${CANARY}\"",
        ),
        format!("kafka: {{ brokers: \"u:{SASL_SECRET}@k:9092\" }}\nclickhouse: {{ url: \"http://c:8123\" }}"),
        format!("kafka: {{ brokers: \"sasl://u:{SASL_SECRET}@k:9092\" }}\nclickhouse: {{ url: \"http://c:8123\" }}"),
        "kafka: { brokers: \"${CANARY}\" }\nclickhouse: { url: \"${CANARY}\" }".to_owned(),
    ];
    for (number, case) in cases.iter().enumerate() {
        let path = folder.path().join(format!("{number}.yaml"));
        fs::write(&path, format!("name: n\ninstance: i\n{case}\ntopics: [{{ topic: t, table: d.t }}]\n")).unwrap();
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_oncesink"))
            .args(["check", "--config"])
            .arg(&path)
            .env("CANARY", CLICKHOUSE_SECRET)
            .env(TALKATIVE.0, TALKATIVE.1)
            .output()
            .unwrap();
        let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(2), "{case}: {text}");
        assert!(text.contains(&format!("{number}.yaml:")), "{case}: {text}");
        assert_silent(case, &text);
    }
}

/// What only the client library can judge: keys that are none, and files that are not there.
#[test]
fn refusals_of_the_client_library_leave_secrets_out() {
    let folder = tempfile::tempdir().unwrap();
    let cases = [
        format!("ssl.key.pem: \"-----BEGIN PRIVATE KEY----- {SASL_SECRET}\""),
        format!("ssl.key.pem: {SASL_SECRET}, ssl.certificate.pem: nothing"),
        format!("ssl.keystore.location: /nowhere/keys, ssl.keystore.password: {SASL_SECRET}"),
        format!("ssl.key.location: /nowhere/key, ssl.key.password: {SASL_SECRET}"),
    ];
    for (number, case) in cases.iter().enumerate() {
        let path = folder.path().join(format!("{number}.yaml"));
        let config = format!(
            "name: n\ninstance: i\nkafka: {{ brokers: \"127.0.0.1:1\", properties: {{ debug: all, security.protocol: SSL, {case} }} }}\n\
             clickhouse: {{ url: \"http://127.0.0.1:1\" }}\ntopics: [{{ topic: t, table: d.t }}]\n"
        );
        fs::write(&path, config).unwrap();
        for command in [&["verify"][..], &["check", "--connect"]] {
            let mut arguments = vec!["--log-level", "trace,oncesink=trace"];
            arguments.extend(command);
            arguments.extend(["--config", path.to_str().unwrap()]);
            let (code, text) = oncesink(&arguments);
            assert!([1, 2].contains(&code), "{case}: {text}");
            assert_silent(case, &text);
        }
    }
}
