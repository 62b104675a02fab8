//! The commands against real servers: `verify` finds what was planted, `check`, `status` and `reset` say what is so.
//!
//! No connector runs here: rows, offsets and claims are written by the tests, so that each command is judged by itself.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use oncesink::clickhouse::{StateTables, state_table_statements};
use oncesink::commit::metadata::encode;
use oncesink::protocol::facts::Metadata;
use oncesink::types::{Offset, Replay};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset as NativeOffset, TopicPartitionList};

use crate::support::scenario::Scenario;
use crate::support::wait_for;

const TIMEOUT: Duration = Duration::from_secs(20);

/// Rows of a partition as a connector would have stored them.
fn insert_rows(scenario: &Scenario, partition: i32, offsets: &[u64]) {
    let offsets = joined(offsets);
    scenario.servers.query(&format!(
        "INSERT INTO {} (id, sensor, temp, _topic, _partition, _offset, _replay) \
         SELECT o, 's', 1, '{}', {partition}, o, 0 FROM (SELECT arrayJoin([{offsets}]::Array(UInt64)) AS o)",
        scenario.table, scenario.topic
    ));
}

fn insert_dead_letters(scenario: &Scenario, partition: i32, offsets: &[u64]) {
    let offsets = joined(offsets);
    scenario.servers.query(&format!(
        "INSERT INTO {}.dead_letters (cluster, connector, target, kafka_topic_name, kafka_partition, kafka_offset, replay, \
         stage) SELECT '{}', '{}', '{}', '{}', {partition}, arrayJoin([{offsets}]::Array(UInt64)), 0, 'decode'",
        scenario.database,
        cluster_id(scenario),
        scenario.name,
        scenario.table,
        scenario.topic
    ));
}

fn joined(offsets: &[u64]) -> String {
    offsets.iter().map(u64::to_string).collect::<Vec<_>>().join(", ")
}

fn delete_rows(scenario: &Scenario, partition: i32, condition: &str) {
    scenario.servers.query(&format!("DELETE FROM {} WHERE _partition = {partition} AND {condition}", scenario.table));
}

fn client(scenario: &Scenario) -> rdkafka::ClientConfig {
    let mut config = rdkafka::ClientConfig::new();
    config.set("bootstrap.servers", &scenario.servers.brokers).set("group.id", &scenario.name);
    config
}

fn cluster_id(scenario: &Scenario) -> String {
    let consumer: BaseConsumer = client(scenario).create().unwrap();
    consumer.client().fetch_cluster_id(TIMEOUT).unwrap()
}

/// Offsets with the metadata that the connector writes beside them.
fn commit(scenario: &Scenario, offsets: &BTreeMap<i32, u64>) {
    let metadata =
        Metadata { topic_id: None, replay: Replay(0), floor: Offset::ZERO, origin: Offset::ZERO, anchor: None };
    let consumer: BaseConsumer = client(scenario).create().unwrap();
    let mut list = TopicPartitionList::new();
    for (partition, offset) in offsets {
        let mut element = list.add_partition(&scenario.topic, *partition);
        element.set_offset(NativeOffset::Offset(i64::try_from(*offset).unwrap())).unwrap();
        element.set_metadata(encode(&metadata));
    }
    wait_for("offsets to be committed", || consumer.commit(&list, CommitMode::Sync).map_err(|error| error.to_string()));
}

/// A record of a transaction that is given up: two offsets that no reader of committed data sees.
fn produce_aborted(scenario: &Scenario, partition: i32) {
    let mut config = client(scenario);
    config.set("transactional.id", format!("{}-aborts", scenario.name));
    let producer: BaseProducer = config.create().unwrap();
    producer.init_transactions(TIMEOUT).unwrap();
    producer.begin_transaction().unwrap();
    producer.send(BaseRecord::<(), str>::to(&scenario.topic).partition(partition).payload("{}")).unwrap();
    producer.flush(TIMEOUT).unwrap();
    producer.abort_transaction(TIMEOUT).unwrap();
}

fn create_state_tables(scenario: &Scenario) {
    let state = StateTables { database: scenario.database.clone() };
    for statement in state_table_statements(&state, Duration::from_secs(604_800)) {
        scenario.servers.query(&statement);
    }
}

#[track_caller]
fn check(scenario: &Scenario, arguments: &[&str], code: i32, parts: &[&str]) {
    let (found, text) = scenario.run(arguments);
    assert_eq!(found, code, "{arguments:?}: {text}");
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in the output of {arguments:?}: {text}");
    }
}

const ALL: [u64; 20] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19];

/// Twenty records in each of two partitions, all stored and committed; behind them a tombstone in partition 0 and an
/// aborted transaction in partition 1.
fn stored_scenario(name: &str) -> Scenario {
    let mut scenario = Scenario::shared(name, 2);
    scenario.produce(40);
    scenario.kafka.produce_tombstone(&scenario.topic, 0);
    produce_aborted(&scenario, 1);
    create_state_tables(&scenario);
    insert_rows(&scenario, 0, &ALL);
    insert_rows(&scenario, 1, &ALL);
    commit(&scenario, &BTreeMap::from([(0, 21), (1, 20)]));
    scenario
}

#[test]
fn verify_finds_every_planted_fault() {
    let scenario = stored_scenario("verify");
    check(&scenario, &["verify", "--complete"], 0, &["41 records compared", "clean"]);

    delete_rows(&scenario, 0, "_offset IN (3, 4, 7)");
    check(&scenario, &["verify"], 1, &["partition 0: 3 records are missing", "offsets 3..4, 7"]);
    insert_dead_letters(&scenario, 0, &[3, 4, 7]);
    check(&scenario, &["verify"], 0, &["clean"]);
    insert_rows(&scenario, 0, &[4]);
    check(&scenario, &["verify"], 1, &["partition 0: 1 offsets have a row and a dead letter: offsets 4"]);
    delete_rows(&scenario, 0, "_offset = 4");

    insert_rows(&scenario, 1, &[5, 5, 19]);
    check(
        &scenario,
        &["verify"],
        1,
        &["partition 1: 2 offsets are doubled (3 rows or dead letters too many): offsets 5, 19"],
    );
    delete_rows(&scenario, 1, "_offset IN (5, 19)");
    insert_rows(&scenario, 1, &[5, 19]);
    insert_dead_letters(&scenario, 0, &[7]);
    check(
        &scenario,
        &["verify"],
        1,
        &["partition 0: 1 offsets are doubled (1 rows or dead letters too many): offsets 7"],
    );
    check(&scenario, &["verify", "--output", "json"], 1, &["\"findings\": 1", "\"surplus\": 1"]);
}

#[test]
fn verify_finds_what_was_never_produced() {
    let mut scenario = stored_scenario("unexplained");
    // Offset 22 comes behind the record and the marker of the aborted transaction.
    scenario.kafka.produce(&scenario.topic, [(1, b"{}".as_slice())]);
    insert_rows(&scenario, 1, &[22]);
    commit(&scenario, &BTreeMap::from([(1, 23)]));
    scenario.forget_produced();
    check(&scenario, &["verify", "--complete"], 0, &["clean"]);

    insert_rows(&scenario, 1, &[20]);
    check(&scenario, &["verify"], 1, &["partition 1: 1 rows or dead letters are unexplained", "offsets 20"]);
    // Compaction removes records that were stored before.
    scenario.kafka.configure_topic(&scenario.topic, "cleanup.policy", "delete,compact");
    let note = "partition 1: 1 rows or dead letters are of records that compaction removed";
    check(&scenario, &["verify", "--complete"], 0, &[note, "clean"]);
    insert_rows(&scenario, 1, &[500]);
    check(&scenario, &["verify"], 1, &["partition 1: 1 rows or dead letters are unexplained", "offsets", note]);
    delete_rows(&scenario, 1, "_offset = 500");
    scenario.kafka.configure_topic(&scenario.topic, "cleanup.policy", "delete");
    delete_rows(&scenario, 1, "_offset = 20");
    insert_rows(&scenario, 1, &[500]);
    check(&scenario, &["verify"], 1, &["partition 1: 1 rows or dead letters are unexplained"]);
    delete_rows(&scenario, 1, "_offset = 500");
    insert_rows(&scenario, 7, &[0]);
    check(&scenario, &["verify"], 1, &["1 rows are unexplained: partition 7, replay 0"]);
}

#[test]
fn rows_above_the_committed_offset_are_in_flight() {
    let scenario = stored_scenario("in_flight");
    commit(&scenario, &BTreeMap::from([(1, 12)]));
    check(&scenario, &["verify"], 0, &["33 records compared, clean"]);
    check(&scenario, &["verify", "--complete"], 1, &["partition 1: records of the offsets [12, "]);
    // Nothing below the committed offset is looked for where consumption never was.
    scenario.kafka.move_offsets(&scenario.name, &scenario.topic, &BTreeMap::from([(0, 5)]));
    delete_rows(&scenario, 0, "_offset = 2");
    check(&scenario, &["verify"], 0, &["1 records lie before the offset where consumption began"]);
}

#[test]
fn status_without_a_connector_shows_what_kafka_knows() {
    let scenario = stored_scenario("status");
    commit(&scenario, &BTreeMap::from([(0, 6)]));
    check(&scenario, &["status"], 1, &["give it with --admin", "committed", "15"]);
    check(
        &scenario,
        &["status", "--admin", "127.0.0.1:1", "--output", "json"],
        1,
        &["no connector answers at 127.0.0.1:1", "\"lag_records\": 15"],
    );
}

#[test]
fn check_reads_the_schemas_of_files() {
    let mut scenario = Scenario::shared("check_schemas", 1);
    let file = scenario.folder.path().join("reading.proto");
    std::fs::write(&file, "syntax = \"proto3\";\npackage iot;\nmessage Reading {\n  uint64 id = 1;\n}\n").unwrap();
    let folder = scenario.folder.path().display().to_string();
    let protobuf = |message: &str| {
        format!("protobuf: {{ framing: none, proto_files: reading.proto, include: {folder}, message: {message} }}")
    };
    scenario.topic_lines = vec!["format: protobuf".to_owned(), protobuf("iot.Reading")];
    check(&scenario, &["check"], 0, &["no errors"]);
    scenario.topic_lines[1] = protobuf("iot.Raeding");
    check(&scenario, &["check"], 2, &["`iot.Raeding` cannot be used: there is no message iot.Raeding", "iot.Reading"]);
    std::fs::write(&file, "syntax = \"proto3\";\nmessage Reading {\n  uint64 id = ;\n}\n").unwrap();
    check(&scenario, &["check"], 2, &["`reading.proto` cannot be used"]);

    let write = |name: &str, text: &str| {
        let file = folder.clone() + "/" + name;
        std::fs::write(&file, text).unwrap();
        file
    };
    let unit = write("unit.avsc", r#"{"type": "enum", "name": "iot.Unit", "symbols": ["C", "F"]}"#);
    let reading = write(
        "reading.avsc",
        r#"{"type": "record", "name": "iot.Reading", "fields": [{"name": "unit", "type": "iot.Unit"}]}"#,
    );
    let broken = write("broken.avsc", r#"{"type": "record", "name": "iot.Reading", "fields": [}"#);
    let other =
        write("other.avsc", r#"{"type": "record", "name": "iot.Reading", "fields": [{"name": "id", "type": "long"}]}"#);
    let mut avro = |options: String, code: i32, parts: &[&str]| {
        scenario.topic_lines = vec!["format: avro".to_owned(), format!("avro: {{ {options} }}")];
        check(&scenario, &["check"], code, parts);
    };
    avro(format!("framing: none, schema_files: [ {unit}, {reading} ]"), 0, &["no errors"]);
    avro(format!("framing: none, schema_files: {reading}"), 2, &[&format!("`{reading}` cannot be used"), "iot.Unit"]);
    avro(format!("framing: none, schema_files: {broken}"), 2, &[&format!("`{broken}` cannot be used: it is not JSON")]);
    avro(format!("framing: single_object, schema_files: [ {unit}, {broken} ]"), 2, &[&broken]);
    avro(format!("framing: none, schema_files: {unit}, reader_schema_file: {broken}"), 2, &[&broken]);
    avro(format!("framing: none, schema_files: [ {unit}, {reading} ], reader_schema_file: {other}"), 2, &["id"]);
}

#[test]
fn check_connect_names_what_does_not_fit() {
    let mut scenario = Scenario::shared("check", 1);
    check(&scenario, &["check"], 0, &["no errors"]);
    check(&scenario, &["check", "--connect"], 0, &["0 errors"]);

    let table = scenario.table.clone();
    scenario.servers.query(&format!("ALTER TABLE {table} ADD COLUMN odd AggregateFunction(sum, UInt64)"));
    check(&scenario, &["check", "--connect"], 1, &["column odd", "AggregateFunction"]);
    scenario.servers.query(&format!("ALTER TABLE {table} DROP COLUMN odd, RENAME COLUMN temp TO heat"));
    check(&scenario, &["check", "--connect"], 1, &["temp", "the expression cannot look at rows of this table"]);
    scenario.servers.query(&format!("ALTER TABLE {table} RENAME COLUMN heat TO temp, DROP COLUMN _replay"));
    check(&scenario, &["check", "--connect"], 1, &["ADD COLUMN `_replay` UInt32"]);

    scenario.servers.query(&format!("ALTER TABLE {table} ADD COLUMN _replay UInt32"));
    let topic = std::mem::replace(&mut scenario.topic, "nowhere".to_owned());
    check(&scenario, &["check", "--connect"], 1, &["topic nowhere does not exist"]);
    scenario.topic = topic;

    let brokers = std::mem::replace(&mut scenario.servers.brokers, "127.0.0.1:1".to_owned());
    scenario.clickhouse_through = Some("http://127.0.0.1:1".to_owned());
    check(&scenario, &["check", "--connect"], 1, &["the brokers 127.0.0.1:1 cannot be used", "clickhouse: "]);
    scenario.servers.brokers = brokers;
    scenario.clickhouse_through = None;
}

#[test]
fn reset_begins_a_new_replay_in_the_ledger() {
    let scenario = stored_scenario("reset");
    let state = &scenario.database;
    check(&scenario, &["reset", "--new-replay", "--topic", "nowhere", "--yes"], 2, &["topic nowhere is not in"]);
    check(
        &scenario,
        &["reset", "--new-replay", "--topic", &scenario.topic],
        2,
        &["0 -> 1", "nobody to ask; say --yes"],
    );
    check(
        &scenario,
        &["reset", "--new-replay", "--topic", &scenario.topic, "--yes"],
        0,
        &["0 -> 1", "goes on as replay 1"],
    );
    let ledger = scenario.servers.query(&format!(
        "SELECT partition, replay, start_offset, end_offset, origin, floor, checkpoint, topic_id IS NULL FROM {state}.ledger \
         ORDER BY partition"
    ));
    let mut expected = String::new();
    for partition in 0..2 {
        writeln!(expected, "{partition}\t1\t0\t0\t0\t0\ttrue\t0").unwrap();
    }
    assert_eq!(ledger, expected);
    // What was committed belongs to the replay before; nothing of the new one is there yet.
    check(&scenario, &["verify"], 0, &["nothing is committed yet", "0 records compared"]);
    check(&scenario, &["reset", "--new-replay", "--topic", &scenario.topic, "--yes"], 0, &["1 -> 2"]);
}

#[test]
fn reset_needs_a_replay_column() {
    let scenario = stored_scenario("no_replay");
    scenario.servers.query(&format!("ALTER TABLE {} DROP COLUMN _replay", scenario.table));
    check(
        &scenario,
        &["reset", "--new-replay", "--topic", &scenario.topic, "--yes"],
        2,
        &["cannot tell replays apart", "ADD COLUMN `_replay` UInt32"],
    );
}
