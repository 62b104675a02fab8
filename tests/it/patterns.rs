//! Topics by pattern: those that are there, those that come, and those that go, every record once.

use std::collections::{BTreeMap, BTreeSet};

use crate::support::connector::{Connector, oncesink};
use crate::support::oracle::{Stored, Unit};
use crate::support::scenario::{HOT_EVERY, Scenario};
use crate::support::secured::{AclOperation, Secured};
use crate::support::{admin, servers_are_ours, wait_for};

/// Topics whose names begin alike, and what was produced to each.
struct Family {
    scenario: Scenario,
    pattern: String,
    /// More lines of the entry.
    lines: Vec<String>,
    /// More entries.
    entries: Vec<String>,
    produced: BTreeMap<String, BTreeSet<Unit>>,
    /// What was produced before the connector was to begin.
    unwanted: BTreeMap<String, BTreeSet<Unit>>,
}

const PARTITIONS: i32 = 2;

impl Family {
    fn new(name: &str) -> Self {
        Self::of(Scenario::shared(name, 1))
    }

    fn of(scenario: Scenario) -> Self {
        let pattern = format!("{}[.].*", scenario.name);
        Self {
            scenario,
            pattern,
            lines: Vec::new(),
            entries: Vec::new(),
            produced: BTreeMap::new(),
            unwanted: BTreeMap::new(),
        }
    }

    fn topic(&self, name: &str) -> String {
        format!("{}.{name}", self.scenario.name)
    }

    fn table(&self, name: &str) -> String {
        let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
        format!("{}.{}", self.scenario.database, self.topic(name).chars().map(plain).collect::<String>())
    }

    fn create_topic(&mut self, name: &str) {
        self.scenario.kafka.create_topic(&self.topic(name), PARTITIONS);
        self.produced.entry(name.to_owned()).or_default();
    }

    fn create_table(&self, name: &str) {
        let Scenario { servers, table, .. } = &self.scenario;
        servers.query(&format!("CREATE TABLE IF NOT EXISTS {} AS {table}", self.table(name)));
    }

    fn create(&mut self, name: &str) {
        self.create_table(name);
        self.create_topic(name);
    }

    fn produce(&mut self, name: &str, count: u64) {
        let topic = self.topic(name);
        let units = self.produced.get_mut(name).unwrap();
        let unwanted = self.unwanted.get(name).map_or(0, BTreeSet::len);
        let payloads: Vec<(i32, String)> = (0..count)
            .map(|_| {
                let id = u64::try_from(units.len() + unwanted).unwrap();
                let partition = i32::try_from(id % u64::try_from(PARTITIONS).unwrap()).unwrap();
                units.insert((partition, id / u64::try_from(PARTITIONS).unwrap()));
                let temp = if id.is_multiple_of(HOT_EVERY) { 95.5 } else { 20.25 };
                (partition, format!(r#"{{"id":{id},"sensor":"{name}","temp":{temp}}}"#))
            })
            .collect();
        let records = payloads.iter().map(|(partition, payload)| (*partition, payload.as_bytes()));
        self.scenario.kafka.produce(&topic, records);
    }

    /// What was produced until now is not to be stored.
    fn forget_produced(&mut self, name: &str) {
        let units = std::mem::take(self.produced.get_mut(name).unwrap());
        self.unwanted.insert(name.to_owned(), units);
    }

    fn config(&self, instance: &str) -> String {
        let Scenario { topic, table, database, .. } = &self.scenario;
        let by_name = format!("  - topic: {topic}\n    table: {table}\n");
        let by_pattern = format!("  - pattern: '{}'\n    table: '{database}.{{topic}}'\n", self.pattern);
        let mut config = self.scenario.config(instance);
        assert!(config.contains(&by_name), "{config}");
        config = config.replace(&by_name, &by_pattern);
        for line in &self.lines {
            config += &format!("    {line}\n");
        }
        for entry in &self.entries {
            config += &format!("  - {entry}\n");
        }
        config
    }

    fn start(&self, instance: &str) -> Connector {
        Connector::start(self.scenario.folder.path(), instance, &self.config(instance), None)
    }

    fn run(&self, arguments: &[&str]) -> (i32, String) {
        let config = self.scenario.folder.path().join("command.yaml");
        std::fs::write(&config, self.config("command")).unwrap();
        let mut all = arguments.to_vec();
        all.extend(["--config", config.to_str().unwrap()]);
        oncesink(&all)
    }

    fn compare(&self, name: &str) -> Result<(), String> {
        let Scenario { servers, database, .. } = &self.scenario;
        let stored = Stored::read(&servers.client, &self.table(name), database, &self.topic(name))?;
        stored.compare(&self.produced[name]).map_err(|why| format!("{name}: {why}"))
    }

    fn wait_until_stored(&self) {
        wait_for(&format!("{} to be stored", self.scenario.name), || {
            self.produced.keys().try_for_each(|name| self.compare(name))
        });
    }

    /// Waits until nothing is left to consume of what is not left out; gives what `verify` says then.
    fn wait_until_committed(&self) -> String {
        wait_for(&format!("{} to be committed", self.scenario.name), || {
            let (code, text) = self.run(&["verify", "--complete"]);
            if code == 0 { Ok(text) } else { Err(text) }
        })
    }

    /// Waits until every record is stored and committed, then looks once more whether each is there once, with its alert.
    fn wait_until_done(&self) {
        self.wait_until_stored();
        self.wait_until_committed();
        let mut hot = BTreeSet::new();
        for name in self.produced.keys() {
            self.compare(name).unwrap();
            let units = self.scenario.servers.query(&format!(
                "SELECT concat(_topic, ' ', toString(_partition), ' ', toString(_offset)) FROM {} WHERE temp > 90",
                self.table(name)
            ));
            hot.extend(units.lines().map(str::to_owned));
        }
        let mut alerts = Vec::new();
        for record in self.scenario.kafka.read_all(&self.scenario.alert_topic) {
            let alert: serde_json::Value = serde_json::from_slice(&record.payload).unwrap();
            alerts.push(format!("{} {} {}", alert["topic"].as_str().unwrap(), alert["partition"], alert["offset"]));
        }
        alerts.sort();
        let mut hot: Vec<String> = hot.into_iter().collect();
        hot.sort();
        assert_eq!(alerts, hot);
    }
}

impl Drop for Family {
    fn drop(&mut self) {
        if !std::thread::panicking() && std::env::var_os("KAFKA_BROKERS").is_some() {
            for name in self.produced.keys() {
                self.scenario.kafka.delete_topic(&self.topic(name));
            }
        }
    }
}

#[test]
fn topics_that_are_there_go_each_into_its_table() {
    let mut family = Family::new("pattern_there");
    // Matches the topic of alerts too, and one that has an entry of its own.
    family.pattern = format!("{}.*", family.scenario.name);
    let Scenario { topic, table, .. } = &family.scenario;
    family.entries.push(format!("{{ topic: {topic}, table: {table}, batch: {{ linger: 100ms }} }}"));
    // The last two have names that make the same table.
    for name in ["orders", "clicks", "eu-west", "eu.west"] {
        family.create(name);
        family.produce(name, 500);
    }
    family.scenario.produce(300);
    let (code, text) = family.run(&["check", "--connect"]);
    assert_eq!(code, 0, "{text}");
    let mut connector = family.start("a");
    family.scenario.wait_until_stored();
    family.wait_until_done();
    let (code, text) = family.run(&["verify", "--complete", "--contents"]);
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("2300 records compared, clean"), "{text}");
    let (code, text) = family.run(&["verify", "--topic", &family.topic("eu-west")]);
    assert!(code == 0 && text.contains("500 records compared, clean"), "{text}");
    let (code, text) = family.run(&["verify", "--topic", &family.scenario.alert_topic]);
    assert!(code == 2 && text.contains("is not in the configuration"), "{text}");
    assert_eq!(connector.terminate(), Some(0));
    let (_, text) = family.run(&["status"]);
    assert!(text.contains(&family.topic("clicks")) && !text.contains(&family.scenario.alert_topic), "{text}");
}

#[test]
fn a_topic_that_appears_under_load_is_read_whole_and_costs_the_others_nothing() {
    let mut family = Family::new("pattern_appears");
    family.create("first");
    family.produce("first", 1_000);
    let mut connector = family.start("a");
    family.wait_until_stored();
    family.create("second");
    family.produce("second", 1_000);
    let appeared = format!("topic {} appeared", family.topic("second"));
    wait_for("the second topic to be found", || {
        family.produce("first", 200);
        family.produce("second", 100);
        let log = connector.log();
        if log.contains(&appeared) { Ok(()) } else { Err(log) }
    });
    for _ in 0..20 {
        family.produce("first", 200);
        family.produce("second", 100);
    }
    family.wait_until_done();
    assert_eq!(connector.log().matches("starting anew").count(), 1, "{}", connector.log());
    let address = admin::address(&mut connector);
    let ready = admin::get(&address, "/readyz").unwrap();
    assert!(ready.contains(r#""ready":true"#), "{ready}");
    assert_eq!(connector.terminate(), Some(0));
}

/// For some seconds one instance subscribes to a topic that the other does not know.
#[test]
fn two_instances_find_a_topic_each_in_its_own_time() {
    let mut family = Family::new("pattern_two");
    family.create("first");
    let mut connectors = [family.start("a"), family.start("b")];
    for connector in &mut connectors {
        connector.wait_for_log("partition resumed");
    }
    family.produce("first", 1_000);
    family.wait_until_stored();
    family.create("second");
    let appeared = format!("topic {} appeared", family.topic("second"));
    wait_for("both to find the second topic", || {
        family.produce("first", 200);
        family.produce("second", 200);
        match connectors.iter().find(|connector| !connector.log().contains(&appeared)) {
            None => Ok(()),
            Some(connector) => Err(connector.log()),
        }
    });
    family.produce("second", 1_000);
    family.wait_until_done();
    // Whoever is left has all of both.
    let [a, b] = &mut connectors;
    a.kill9();
    family.produce("first", 500);
    family.produce("second", 500);
    family.wait_until_done();
    assert_eq!(b.terminate(), Some(0));
}

#[test]
fn a_topic_whose_table_comes_later_stops_nobody() {
    let mut family = Family::new("pattern_table");
    family.create("first");
    family.create_topic("second");
    family.produce("first", 500);
    family.produce("second", 500);
    let (code, text) = family.run(&["check", "--connect"]);
    assert!(code == 1 && text.contains(&format!("{} is not there", family.table("second"))), "{text}");
    let mut connector = family.start("a");
    let address = admin::address(&mut connector);
    wait_for("the first topic to be stored", || family.compare("first"));
    let left_out = |connector: &Connector| {
        wait_for("the second topic to be left out", || {
            let status: serde_json::Value =
                serde_json::from_str(&admin::get(&address, "/status")?).map_err(|error| error.to_string())?;
            let reason = status["left_out"][0]["reason"].as_str().unwrap_or_default();
            if reason.contains("does not exist") { Ok(()) } else { Err(format!("{status} {}", connector.log())) }
        });
    };
    left_out(&connector);
    assert!(admin::metric(&address, "oncesink_topics_left_out").unwrap() > 0.5);
    let text = family.wait_until_committed();
    assert!(text.contains("left out: table"), "{text}");
    // Found while it runs, and left out too.
    family.create_topic("third");
    family.produce("third", 100);
    connector.wait_for_log(&format!("topic=\"{}\"", family.topic("third")));
    family.produce("first", 500);
    wait_for("the first topic to be stored", || family.compare("first"));
    assert!(!connector.log().contains("starting anew"), "{}", connector.log());
    family.create_table("second");
    family.create_table("third");
    family.wait_until_done();
    assert!(admin::metric(&address, "oncesink_topics_left_out").unwrap() < 0.5);
    assert_eq!(connector.terminate(), Some(0));
}

/// Every topic has tables of its own for its routes too, and is left out until all of them are there.
#[test]
fn routes_of_a_pattern_are_those_of_each_topic() {
    let mut family = Family::new("pattern_routes");
    family.lines.push("route_by: { temp: $.temp }".to_owned());
    let table = format!("{}.{{topic}}_hot", family.scenario.database);
    family.lines.push(format!("routes: [ {{ when: 'temp == \"95.5\"', table: '{table}' }} ]"));
    family.create("first");
    family.create_table("first_hot");
    family.create("second");
    family.produce("first", 1_000);
    family.produce("second", 500);
    let mut connector = family.start("a");
    connector.wait_for_log(&format!("{} does not exist", family.table("second_hot")));
    family.create_table("second_hot");
    let rows = |name: &str| {
        let sql = format!("SELECT count(), uniqExact(_topic, _partition, _offset) FROM {}", family.table(name));
        family.scenario.servers.query(&sql).trim_end().to_owned()
    };
    wait_for("both topics to be stored", || {
        let found = ["first", "first_hot", "second", "second_hot"].map(&rows);
        if found == ["990\t990", "10\t10", "495\t495", "5\t5"] { Ok(()) } else { Err(format!("{found:?}")) }
    });
    wait_for("both topics to be committed", || {
        let (code, text) = family.run(&["verify", "--complete", "--contents"]);
        if code == 0 && text.contains("1500 records compared, clean") { Ok(()) } else { Err(text) }
    });
    assert_eq!(connector.terminate(), Some(0));
}

#[test]
fn a_topic_that_the_user_may_not_read_is_left_out_until_it_may() {
    if !servers_are_ours("needs access rules") {
        return;
    }
    let password = "s3cret-word";
    let secured = Secured::start("oncesink", password, password);
    let mut family = Family::of(Scenario::new(secured.servers(password, password), "pattern_rights", 1));
    family.create("first");
    family.create("second");
    secured.allow(&family.topic("second"), AclOperation::Describe);
    family.produce("first", 500);
    let (code, text) = family.run(&["check", "--connect"]);
    assert!(code == 1 && text.contains("the user may describe it, but not read it"), "{text}");
    let mut connector = family.start("a");
    connector.wait_for_log("the user may describe it, but not read it");
    wait_for("the first topic to be stored", || family.compare("first"));
    let text = family.wait_until_committed();
    assert!(text.contains("left out: the user may describe it"), "{text}");
    secured.allow(&family.topic("second"), AclOperation::All);
    family.produce("second", 500);
    family.wait_until_done();
    assert_eq!(connector.terminate(), Some(0));
}

#[test]
fn a_topic_that_is_deleted_goes_and_the_others_go_on() {
    let mut family = Family::new("pattern_deleted");
    for name in ["first", "second"] {
        family.create(name);
        family.produce(name, 500);
    }
    let mut connector = family.start("a");
    family.wait_until_done();
    family.scenario.kafka.delete_topic(&family.topic("second"));
    let gone = format!("topic {} is gone", family.topic("second"));
    wait_for("the second topic to be missed", || {
        family.produce("first", 200);
        let log = connector.log();
        if log.contains(&gone) { Ok(()) } else { Err(log) }
    });
    family.produce("first", 500);
    let address = admin::address(&mut connector);
    wait_for("the first topic alone to be read", || {
        family.compare("first")?;
        let status: serde_json::Value =
            serde_json::from_str(&admin::get(&address, "/status")?).map_err(|error| error.to_string())?;
        let topics: BTreeSet<&str> =
            status["partitions"].as_array().unwrap().iter().filter_map(|one| one["topic"].as_str()).collect();
        if topics == BTreeSet::from([family.topic("first").as_str()]) { Ok(()) } else { Err(status.to_string()) }
    });
    let gone = format!("topic=\"{}\"", family.topic("second"));
    let metrics = admin::get(&address, "/metrics").unwrap();
    let mut assigned = metrics.lines().filter(|line| line.starts_with("oncesink_partitions_assigned{"));
    assert!(assigned.any(|line| line.contains(&gone) && line.ends_with(" 0")), "{metrics}");
    // Its rows stay.
    family.compare("second").unwrap();
    family.produced.remove("second");
    family.wait_until_committed();
    assert_eq!(connector.terminate(), Some(0));
}

/// A topic that is there at the start begins at its end; one that comes later has nothing that is older than the process.
#[test]
fn a_connector_without_topics_waits_and_a_new_topic_is_read_whole_with_start_latest() {
    let mut family = Family::new("pattern_none");
    family.lines.push("start: latest".to_owned());
    let mut connector = family.start("a");
    connector.wait_for_log("no topic matches");
    let address = admin::address(&mut connector);
    let status = admin::get(&address, "/status").unwrap();
    assert!(status.contains("no topic matches"), "{status}");
    let (code, text) = family.run(&["check", "--connect"]);
    assert!(code == 0 && text.contains("no topic matches"), "{text}");
    family.create("first");
    family.produce("first", 500);
    family.wait_until_done();
    assert_eq!(connector.terminate(), Some(0));

    family.create("second");
    family.produce("second", 500);
    family.forget_produced("second");
    let mut connector = family.start("a");
    connector.wait_for_log("partition resumed");
    wait_for("the second topic to be taken over", || {
        let (_, text) = family.run(&["verify", "--complete", "--topic", &family.topic("second")]);
        if text.contains("nothing is committed yet") { Err(text) } else { Ok(()) }
    });
    family.produce("second", 100);
    family.create("third");
    family.produce("third", 100);
    family.wait_until_done();
    assert_eq!(connector.terminate(), Some(0));
}
