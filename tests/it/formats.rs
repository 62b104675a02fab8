//! Records of every format, from a real broker through the connector into a real engine.

use std::fmt::Write as _;

use apache_avro::Schema;
use apache_avro::types::Value;
use apache_avro::writer::datum::GenericDatumWriter;
use devstack::Registry;

use crate::support::admin;
use crate::support::connector::Connector;
use crate::support::scenario::Scenario;
use crate::support::wait_for;

pub(crate) const READING: &str = r#"{"type":"record","name":"Reading","namespace":"iot","fields":[
    {"name":"id","type":"long"},{"name":"sensor","type":"string"},{"name":"temp","type":"double"},
    {"name":"note","type":["null","string"]}]}"#;

/// A scenario whose table has these columns beside the coordinates, and no detectors.
fn scenario(name: &str, columns: &str, engine: &str) -> Scenario {
    let mut scenario = Scenario::shared(name, 1);
    scenario.detector_lines.clear();
    scenario.table = format!("{}.target", scenario.database);
    scenario.servers.query(&format!(
        "CREATE TABLE {} ({columns}, _topic LowCardinality(String), _partition Int32, _offset UInt64, \
         _replay UInt32, INDEX offsets _offset TYPE minmax) ENGINE = {engine}",
        scenario.table
    ));
    scenario
}

/// What the table has, by offset.
fn stored(scenario: &Scenario, columns: &str) -> String {
    scenario.servers.query(&format!("SELECT {columns} FROM {} ORDER BY _offset", scenario.table))
}

/// Offset, code and schema id of each dead letter.
fn dead(scenario: &Scenario) -> String {
    scenario.servers.query(&format!(
        "SELECT kafka_offset, error_code, schema_id FROM {}.dead_letters ORDER BY kafka_offset",
        scenario.database
    ))
}

/// Runs a connector until everything is stored and committed.
fn run(scenario: &Scenario) {
    let mut connector = scenario.start("a");
    scenario.wait_until_done();
    assert_eq!(connector.terminate(), Some(0));
}

/// A record behind the id of its schema.
pub(crate) fn framed(id: u32, body: &[u8]) -> Vec<u8> {
    [&[0][..], &id.to_be_bytes(), body].concat()
}

pub(crate) fn avro(schema: &str, fields: &[(&str, Value)]) -> Vec<u8> {
    let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    let schema = Schema::parse_str(schema).unwrap();
    let writer = GenericDatumWriter::builder(&schema).build().unwrap();
    writer.write_value_to_vec(Value::Record(fields)).unwrap()
}

fn reading(id: i64, note: Option<&str>) -> Vec<u8> {
    let note = match note {
        None => Value::Union(0, Box::new(Value::Null)),
        Some(note) => Value::Union(1, Box::new(Value::String(note.to_owned()))),
    };
    avro(
        READING,
        &[
            ("id", Value::Long(id)),
            ("sensor", Value::String(format!("s{id}"))),
            ("temp", Value::Double(20.5)),
            ("note", note),
        ],
    )
}

pub(crate) fn registry_line(registry: &Registry, unknown_after: &str) -> String {
    format!("schema_registry: {{ url: \"{}\", unknown_schema_after: {unknown_after} }}", registry.url())
}

/// Values that are not framed as the registry's serializers do name a schema each that nobody knows: were each waited for, 300
/// records would take ten minutes here. Two of them among good records are dead letters.
#[test]
fn ids_that_are_no_ids_stop_the_partition() {
    let registry = Registry::start(None).unwrap();
    let id = registry.register("readings-value", "AVRO", READING, &[]).unwrap();
    let mut scenario = Scenario::shared("bogus_ids", 2);
    scenario.kafka_lines.push(registry_line(&registry, "2s"));
    scenario.topic_lines.push("format: avro".to_owned());
    let good = |number: i64| framed(id, &reading(number, None));
    let mut payloads: Vec<(i32, Vec<u8>)> = (0..40).map(|number| (0, good(number))).collect();
    payloads.extend([90_001, 90_002].map(|unknown| (0, framed(unknown, &reading(7, None)))));
    payloads.push((0, good(41)));
    payloads.extend((0..300).map(|number| (1, framed(4_096 + number, &reading(7, None)))));
    scenario
        .kafka
        .produce(&scenario.topic, payloads.iter().map(|(partition, payload)| (*partition, payload.as_slice())));
    let mut connector = scenario.start("a");
    let admin = admin::address(&mut connector);
    connector.wait_for_log("name the schema ids 4096, 4097, 4098, and the registry knows none of them");
    let rows = format!("SELECT _partition, count() FROM {} GROUP BY _partition", scenario.table);
    wait_for("the other partition", || match (scenario.servers.query(&rows), dead(&scenario)) {
        (rows, letters) if rows == "0\t41\n" && letters == "40\tunknown_schema\t90001\n41\tunknown_schema\t90002\n" => {
            Ok(())
        }
        other => Err(format!("{other:?}")),
    });
    let (_, status) = scenario.run(&["status", "--admin", &admin]);
    assert!(status.contains("unknown_schemas") || status.contains("the registry knows none"), "{status}");
    assert_eq!(connector.terminate(), Some(0));
}

/// Records of two versions of a schema; ids that the registry does not know; damaged records. Meanwhile the registry is
/// frozen: records wait for it.
#[test]
fn avro_records_are_read_by_the_schemas_that_they_name() {
    let registry = Registry::start(None).unwrap();
    let first = registry.register("readings-value", "AVRO", READING, &[]).unwrap();
    let second_text =
        READING.replace(r#"{"name":"note""#, r#"{"name":"added","type":{"type":"map","values":"int"}},{"name":"note""#);
    let second = registry.register("readings-value", "AVRO", &second_text, &[]).unwrap();
    let mut scenario = Scenario::shared("avro", 2);
    scenario.kafka_lines.push(registry_line(&registry, "1s"));
    scenario.topic_lines.extend(["format: avro".to_owned(), "bad_share_max: 100%".to_owned()]);
    let added = Value::Map([("x".to_owned(), Value::Int(1))].into());
    let wider = avro(
        &second_text,
        &[
            ("id", Value::Long(4)),
            ("sensor", Value::String("s4".to_owned())),
            ("temp", Value::Double(95.0)),
            ("added", added),
            ("note", Value::Union(0, Box::new(Value::Null))),
        ],
    );
    let mut truncated = framed(first, &reading(9, Some("cut")));
    truncated.pop();
    let trailing = [framed(first, &reading(9, None)), vec![0]].concat();
    scenario.produce_payloads(&[
        (0, framed(first, &reading(1, Some("one")))),
        (0, framed(first, &reading(2, None))),
        (1, framed(second, &wider)),
        (0, truncated),
        (0, trailing),
        (0, framed(77_777, &reading(5, None))),
        (0, reading(6, None)),
        (0, vec![0, 0]),
        (0, framed(first, &reading(7, None))),
    ]);
    registry.pause().unwrap();
    let mut connector = scenario.start("a");
    connector.wait_for_log("waits for its schema");
    assert_eq!(scenario.stored_count(), 0);
    registry.resume().unwrap();
    scenario.wait_until_done();
    scenario.assert_exactly_once();

    // A version that comes while the connector runs.
    let third_text = READING.replace(r#""type":"double""#, r#""type":"float""#);
    let third = registry.register("other-value", "AVRO", &third_text, &[]).unwrap();
    let narrower = avro(
        &third_text,
        &[
            ("id", Value::Long(8)),
            ("sensor", Value::String("s8".to_owned())),
            ("temp", Value::Float(1.5)),
            ("note", Value::Union(0, Box::new(Value::Null))),
        ],
    );
    scenario.produce_payloads(&[(1, framed(third, &narrower))]);
    scenario.wait_until_done();
    assert_eq!(connector.terminate(), Some(0));
    scenario.assert_exactly_once();
    let rows = scenario.servers.query(&format!("SELECT id, sensor, temp, note FROM {} ORDER BY id", scenario.table));
    assert_eq!(rows, "1\ts1\t20.5\tone\n2\ts2\t20.5\t\\N\n4\ts4\t95\t\\N\n7\ts7\t20.5\t\\N\n8\ts8\t1.5\t\\N\n");
    let mut expected = String::new();
    for (offset, code, id) in [
        (2, "invalid_avro", first.to_string()),
        (3, "trailing_data", first.to_string()),
        (4, "unknown_schema", "77777".to_owned()),
        (5, "invalid_framing", "\\N".to_owned()),
        (6, "invalid_framing", "\\N".to_owned()),
    ] {
        writeln!(expected, "{offset}\t{code}\t{id}").unwrap();
    }
    assert_eq!(dead(&scenario), expected);
    let (code, text) = scenario.run(&["verify", "--contents", "--complete"]);
    assert_eq!(code, 0, "{text}");
}

#[test]
fn avro_keys_names_in_another_case_and_a_reader_s_schema() {
    let registry = Registry::start(None).unwrap();
    let key = registry
        .register("k", "AVRO", r#"{"type":"record","name":"K","fields":[{"name":"site","type":"string"}]}"#, &[])
        .unwrap();
    let value_text = r#"{"type":"record","name":"V","fields":[{"name":"oldName","type":"int"},{"name":"deviceId","type":"string"}]}"#;
    let value = registry.register("v", "AVRO", value_text, &[]).unwrap();
    let mut scenario = scenario(
        "avro_keys",
        "new_name Int64, device_id String, site String, extra Int32",
        "MergeTree ORDER BY new_name",
    );
    let reader = scenario.folder.path().join("reader.avsc");
    std::fs::write(
        &reader,
        r#"{"type":"record","name":"V","fields":[{"name":"newName","type":"long","aliases":["oldName"]},
            {"name":"deviceId","type":"string"},{"name":"extra","type":"int","default":42}]}"#,
    )
    .unwrap();
    scenario.kafka_lines.push(registry_line(&registry, "1m"));
    scenario.topic_lines.extend([
        "format: avro".to_owned(),
        format!("avro: {{ reader_schema_file: {} }}", reader.display()),
        "key: { format: avro }".to_owned(),
        "field_names: camelCase".to_owned(),
        "columns: { site: $key.site }".to_owned(),
    ]);
    let key_text = r#"{"type":"record","name":"K","fields":[{"name":"site","type":"string"}]}"#;
    let key = framed(key, &avro(key_text, &[("site", Value::String("north".to_owned()))]));
    let fields = [("oldName", Value::Int(7)), ("deviceId", Value::String("d".to_owned()))];
    let value = framed(value, &avro(value_text, &fields));
    scenario.kafka.produce_one(&scenario.topic, &key, Some(&value), &[]);
    run_until(&scenario, 1);
    assert_eq!(stored(&scenario, "new_name, device_id, site, extra"), "7\td\tnorth\t42\n");
}

/// As [`run`], for records that the scenario has not produced itself.
fn run_until(scenario: &Scenario, units: usize) {
    let mut connector = scenario.start("a");
    wait_for("everything to be stored", || match scenario.stored_count() {
        count if count == units => Ok(()),
        count => Err(format!("{count} of {units}")),
    });
    assert_eq!(connector.terminate(), Some(0));
    let (code, text) = scenario.run(&["verify", "--contents", "--complete"]);
    assert_eq!(code, 0, "{text}");
}

#[test]
fn protobuf_records_of_a_registry_and_of_a_file() {
    let registry = Registry::start(None).unwrap();
    let text = "syntax = \"proto3\";\npackage iot;\n\nmessage Unused {\n  int32 x = 1;\n}\n\nmessage Outer {\n  message \
                Reading {\n    uint64 id = 1;\n    string sensor = 2;\n    double temp = 3;\n    optional string note = \
                4;\n  }\n}\n";
    let id = registry.register("readings-value", "PROTOBUF", text, &[]).unwrap();
    // id 5, sensor "s", temp 1.5, no note.
    let bare: &[u8] = &[0x08, 5, 0x12, 1, b's', 0x19, 0, 0, 0, 0, 0, 0, 0xF8, 0x3F];
    // The second message, and the first inside of it.
    let indexes: &[u8] = &[4, 2, 0];
    let mut scenario = Scenario::shared("protobuf", 1);
    scenario.kafka_lines.push(registry_line(&registry, "1s"));
    scenario.topic_lines.extend(["format: protobuf".to_owned(), "bad_share_max: 100%".to_owned()]);
    scenario.produce_payloads(&[
        (0, framed(id, &[indexes, bare].concat())),
        (0, framed(id, &[indexes, bare, &[0x22, 1, b'n']].concat())),
        (0, framed(id, &[indexes, &bare[..bare.len() - 1]].concat())),
        (0, framed(id, &[&[2, 8][..], bare].concat())),
        (0, framed(99_999, &[indexes, bare].concat())),
    ]);
    run(&scenario);
    scenario.assert_exactly_once();
    assert_eq!(
        scenario.servers.query(&format!("SELECT id, sensor, temp, note FROM {} ORDER BY _offset", scenario.table)),
        "5\ts\t1.5\t\\N\n5\ts\t1.5\tn\n"
    );
    assert_eq!(
        dead(&scenario),
        format!("2\tinvalid_protobuf\t{id}\n3\tunusable_schema\t{id}\n4\tunknown_schema\t99999\n")
    );

    let mut bare_scenario = Scenario::shared("protobuf_bare", 1);
    let file = bare_scenario.folder.path().join("reading.proto");
    std::fs::write(&file, text).unwrap();
    let folder = bare_scenario.folder.path().display().to_string();
    bare_scenario.topic_lines.extend([
        "format: protobuf".to_owned(),
        format!(
            "protobuf: {{ framing: none, proto_files: reading.proto, include: {folder}, message: iot.Outer.Reading }}"
        ),
    ]);
    bare_scenario.produce_payloads(&[(0, bare)]);
    run(&bare_scenario);
    bare_scenario.assert_exactly_once();
}

/// As ClickHouse's format `Protobuf` writes them: each message behind its length. Who does not say so gets dead letters that
/// do, and no row.
#[test]
fn protobuf_messages_behind_their_lengths() {
    let mut lengths =
        scenario("protobuf_lengths", "id UInt64, name String, _row UInt32", "MergeTree ORDER BY (id, _row)");
    let file = lengths.folder.path().join("m.proto");
    std::fs::write(&file, "syntax = \"proto3\"; message M { uint64 id = 1; string name = 2; }").unwrap();
    let folder = lengths.folder.path().display().to_string();
    let lines = |framing: &str| {
        let options = format!("framing: {framing}, proto_files: m.proto, include: {folder}, message: M");
        ["format: protobuf".to_owned(), "bad_share_max: 100%".to_owned(), format!("protobuf: {{ {options} }}")]
    };
    let message = |id: u8, length: u8| {
        let name = vec![b'n'; length.into()];
        [&[length + 4, 0x08, id, 0x12, length][..], &name].concat()
    };
    // Among them lengths that are the tags of both fields.
    let records: Vec<Vec<u8>> = (0..100)
        .map(|id| match id % 10 {
            0 => [message(id, 3), message(id, id), message(id, 20)].concat(),
            _ => message(id, id),
        })
        .collect();
    let records: Vec<(i32, &[u8])> = records.iter().map(|record| (0, record.as_slice())).collect();
    lengths.coordinates = "row: _row".to_owned();
    lengths.topic_lines.extend(lines("length"));
    lengths.produce_payloads(&records);
    let sums =
        format!("SELECT count(), countIf(id != _offset), countIf(_row > 0), sum(length(name)) FROM {}", lengths.table);
    let mut connector = lengths.start("a");
    wait_for("the rows", || match lengths.servers.query(&sums) {
        found if found == "120\t0\t20\t5180\n" => Ok(()),
        found => Err(found),
    });
    assert_eq!(connector.terminate(), Some(0));
    let (code, text) = lengths.run(&["verify", "--contents", "--complete"]);
    assert_eq!(code, 0, "{text}");

    let mut unsaid = scenario("protobuf_unsaid", "id UInt64, name String", "MergeTree ORDER BY id");
    unsaid.topic_lines.extend(lines("none"));
    unsaid.produce_payloads(&records);
    run(&unsaid);
    let letters = format!(
        "SELECT count(), countIf(error_code = 'invalid_framing'), countIf(error LIKE '%framing: length%') \
         FROM {}.dead_letters",
        unsaid.database
    );
    assert_eq!(unsaid.servers.query(&letters), "100\t100\t100\n");
    assert_eq!(unsaid.servers.query(&format!("SELECT count() FROM {}", unsaid.table)), "0\n");
}

#[test]
fn csv_lines_and_bytes_as_they_are() {
    let mut csv = Scenario::shared("csv", 1);
    csv.topic_lines.extend([
        "format: csv".to_owned(),
        "csv: { columns: [id, sensor, temp, note, unused] }".to_owned(),
        "bad_share_max: 100%".to_owned(),
    ]);
    csv.produce_payloads(&[
        (0, &b"1,s1,1.5,\"a, \"\"quoted\"\" note\",x"[..]),
        (0, b"2,s2,2.5,\\N,"),
        (0, b"3,s3,hot,,"),
        (0, b"4,s4,1,n"),
        (0, b"5,\"s5,1,n,x"),
    ]);
    run(&csv);
    csv.assert_exactly_once();
    assert_eq!(
        csv.servers.query(&format!("SELECT id, sensor, temp, note FROM {} ORDER BY _offset", csv.table)),
        "1\ts1\t1.5\ta, \"quoted\" note\n2\ts2\t2.5\t\\N\n"
    );
    assert_eq!(dead(&csv), "2\tinvalid_number\t\\N\n3\tinvalid_csv\t\\N\n4\tinvalid_csv\t\\N\n");

    let mut raw = scenario("raw", "body String, device String, trace Nullable(String)", "MergeTree ORDER BY _offset");
    raw.topic_lines.extend(["format: raw".to_owned(), "columns: { device: $key, trace: $headers.trace }".to_owned()]);
    raw.kafka.produce_one(&raw.topic, b"d1", Some(&[0xFF, 0x00, 0x01]), &[("trace", b"t1"), ("trace", b"t2")]);
    raw.kafka.produce_one(&raw.topic, b"d2", Some(b""), &[]);
    run_until(&raw, 2);
    assert_eq!(stored(&raw, "hex(body), device, trace"), "FF0001\td1\tt2\n\td2\t\\N\n");
}

#[test]
fn columns_are_mapped_replaced_and_filtered_as_configured() {
    let mut scenario = scenario(
        "mapping",
        "user_id UInt32, city String, score UInt8, referrer Nullable(UInt16), kind String, extra String, \
         at DateTime64(3, 'UTC'), filled String DEFAULT 'by the table'",
        "MergeTree ORDER BY user_id",
    );
    scenario.topic_lines.extend([
        "field_names: camelCase".to_owned(),
        "columns: { city: \"$.geo.city\", score: { on_error: clamp }, referrer: { on_error: null }, at: { from: when, \
         parse: unix_s }, filled: $none }"
            .to_owned(),
        "unknown_fields: { column: extra }".to_owned(),
        "only_when: kind != \"heartbeat\"".to_owned(),
    ]);
    scenario.produce_payloads(&[
        (0, &br#"{"userId": 1, "geo": {"city": "Ulm"}, "score": 300, "referrer": "x", "kind": "view", "when": 1700000000, "more": [1]}"#[..]),
        (0, br#"{"userId": 2, "kind": "heartbeat"}"#),
        (0, br#"{"user_id": 3, "score": -1, "referrer": 5, "kind": "view", "filled": "kept"}"#),
    ]);
    let mut connector = scenario.start("a");
    wait_for("both rows", || if scenario.stored_count() == 2 { Ok(()) } else { Err("not yet".to_owned()) });
    let (code, text) = scenario.run(&["verify", "--contents"]);
    assert_eq!(code, 0, "{text}");
    assert_eq!(connector.terminate(), Some(0));
    assert_eq!(
        stored(&scenario, "user_id, city, score, referrer, kind, extra, at, filled"),
        "1\tUlm\t255\t\\N\tview\t{\"geo\":{\"city\":\"Ulm\"},\"more\":[1]}\t2023-11-14 22:13:20.000\tby the table\n\
         3\t\t0\t5\tview\t{\"filled\":\"kept\"}\t1970-01-01 00:00:00.000\tby the table\n"
            .replace("{\"geo\":{\"city\":\"Ulm\"},\"more\":[1]}", "{\"more\":[1]}")
    );
}

#[test]
fn changes_of_a_database_end_in_a_replacing_table() {
    let mut scenario = scenario(
        "changes",
        "id UInt64, name String, changed UInt32, version UInt64, is_deleted UInt8",
        "ReplacingMergeTree(version, is_deleted) ORDER BY id",
    );
    scenario.topic_lines.extend([
        "envelope: debezium".to_owned(),
        "deleted: is_deleted".to_owned(),
        "columns: { version: $offset, changed: $.source.ts_ms }".to_owned(),
    ]);
    let events = [
        r#"{"op":"c","before":null,"after":{"id":1,"name":"a"}}"#,
        r#"{"op":"c","before":null,"after":{"id":2,"name":"b"}}"#,
        r#"{"op":"u","before":{"id":1,"name":"a"},"after":{"id":1,"name":"c"}}"#,
        r#"{"op":"d","before":{"id":2,"name":"b"},"after":null}"#,
        r#"{"op":"t"}"#,
        // Nothing says which row these are about: row 0 is not theirs.
        r#"{"op":"r","before":null,"after":{"id":0,"name":"zero"}}"#,
        r#"{"op":"d","before":null,"after":null}"#,
        r#"{"op":"u","before":null,"after":null}"#,
        r#"{"op":"u","after":[{"id":0,"name":"in a list"}]}"#,
        // Of MongoDB the row is a text.
        r#"{"op":"c","after":"{\"_id\":{\"$oid\":\"6\"},\"id\":{\"$numberLong\":\"6\"},\"name\":\"m\"}"}"#,
        r#"{"schema":{},"payload":{"op":"u","after":{"id":1,"name":"d"},"source":{"ts_ms":17}}}"#,
        r#"{"op":"u","after":{"id":1,"name":"__debezium_unavailable_value"}}"#,
    ];
    for event in events {
        scenario.kafka.produce_one(&scenario.topic, b"k", Some(event.as_bytes()), &[]);
    }
    scenario.kafka.produce_tombstone(&scenario.topic, 0);
    run_until(&scenario, 11);
    let dead = scenario.servers.query(&format!(
        "SELECT kafka_offset, error_code, error LIKE '%REPLICA IDENTITY FULL%' FROM {}.dead_letters ORDER BY kafka_offset",
        scenario.database
    ));
    assert_eq!(dead, "6\tinvalid_envelope\t1\n7\tinvalid_envelope\t1\n8\ttype_mismatch\t0\n11\tunavailable_value\t1\n");
    let now = scenario.servers.query(&format!("SELECT id, name, changed FROM {} FINAL ORDER BY id", scenario.table));
    assert_eq!(now, "0\tzero\t0\n1\td\t17\n6\tm\t0\n");

    let mut compacted = self::scenario(
        "tombstones_as_rows",
        "name String, value String, version UInt64, is_deleted UInt8",
        "ReplacingMergeTree(version, is_deleted) ORDER BY name",
    );
    compacted.topic_lines.extend([
        "tombstones: row".to_owned(),
        "deleted: is_deleted".to_owned(),
        "columns: { name: $key, version: $offset }".to_owned(),
    ]);
    compacted.kafka.produce_one(&compacted.topic, b"x", Some(br#"{"value":"1"}"#), &[]);
    compacted.kafka.produce_one(&compacted.topic, b"y", Some(br#"{"value":"2"}"#), &[]);
    compacted.kafka.produce_one(&compacted.topic, b"x", None, &[]);
    run_until(&compacted, 3);
    let now = compacted.servers.query(&format!("SELECT name, value FROM {} FINAL ORDER BY name", compacted.table));
    assert_eq!(now, "y\t2\n");
}

/// Rows of defaults would be stored of them, and nobody told.
#[test]
fn records_that_have_none_of_the_fields_stop_the_partition_until_they_are_read_right() {
    let mut scenario = scenario("no_known_field", "id UInt64, name String", "MergeTree ORDER BY id");
    for id in 1..=20 {
        let record = format!(r#"{{"schema":{{"type":"struct"}},"payload":{{"id":{id},"name":"n"}}}}"#);
        scenario.kafka.produce_one(&scenario.topic, b"k", Some(record.as_bytes()), &[]);
    }
    let mut connector = scenario.start("a");
    let admin = admin::address(&mut connector);
    wait_for("the partition to stop", || {
        let status: serde_json::Value =
            serde_json::from_str(&admin::get(&admin, "/status")?).map_err(|error| error.to_string())?;
        let code = status["partitions"][0]["halted"]["code"].as_str();
        if code == Some("no_known_field") { Ok(()) } else { Err(status.to_string()) }
    });
    let (code, text) = scenario.run(&["status", "--admin", &admin]);
    assert!(code == 1 && text.contains("they have payload, schema: `envelope: connect` reads"), "{text}");
    assert_eq!(scenario.stored_count(), 0);
    assert_eq!(connector.terminate(), Some(0));

    // What the message says helps; records without any field are rows, and one odd record stops nothing.
    scenario.topic_lines.push("envelope: connect".to_owned());
    run_until(&scenario, 20);
    for record in [r#"{"payload":{}}"#, r#"{"payload":{"other":1}}"#] {
        scenario.kafka.produce_one(&scenario.topic, b"k", Some(record.as_bytes()), &[]);
    }
    run_until(&scenario, 22);
    let found = scenario.servers.query(&format!("SELECT count(), sum(id) FROM {}", scenario.table));
    assert_eq!(found, "22\t210\n");
}

/// Two entries, one table: rows of the same partition and offset are told apart by their topics.
#[test]
fn topics_of_two_formats_share_a_table() {
    let mut scenario = Scenario::shared("two_topics", 1);
    let second = format!("{}_csv", scenario.topic);
    scenario.kafka.create_topic(&second, 1);
    let config = scenario.config("a")
        + &format!(
            "  - topic: {second}\n    table: {}\n    format: csv\n    csv: {{ columns: [id, sensor, temp, note] }}\n    \
             batch: {{ linger: 100ms }}\n    \
             coordinates: {{ topic: _topic, partition: _partition, offset: _offset, replay: _replay }}\n",
            scenario.table
        );
    scenario.produce(50);
    let lines: Vec<(i32, Vec<u8>)> = (0..40).map(|id| (0, format!("{id},s,1.5,n").into_bytes())).collect();
    scenario.kafka.produce(&second, lines.iter().map(|(partition, line)| (*partition, line.as_slice())));
    let mut connector = Connector::start(scenario.folder.path(), "a", &config, None);
    let counts = format!(
        "SELECT _topic, count(), uniqExact(_offset) FROM {} GROUP BY _topic ORDER BY count() DESC",
        scenario.table
    );
    let expected = format!("{}\t50\t50\n{second}\t40\t40\n", scenario.topic);
    wait_for("the rows of both topics", || match scenario.servers.query(&counts) {
        found if found == expected => Ok(()),
        found => Err(found),
    });
    assert_eq!(connector.terminate(), Some(0));
    scenario.assert_exactly_once();
}

/// What the names of Connect and Debezium say counts in JSON with its schema, in changes with theirs, and in Avro: the same
/// values three times.
#[test]
fn logical_names_of_connect_and_debezium_are_read_in_every_format() {
    let mut scenario = scenario(
        "logical_names",
        "id UInt32, price Decimal(9, 2), day Date, at DateTime64(6, 'UTC'), zoned DateTime('UTC'), flags UInt16, \
         tags Array(String), gone UInt8",
        "MergeTree ORDER BY id",
    );
    let names = [
        ("price", "bytes", "org.apache.kafka.connect.data.Decimal", r#""BNI=""#),
        ("day", "int32", "io.debezium.time.Date", "19000"),
        // By its size it would be seconds.
        ("at", "int64", "io.debezium.time.MicroTimestamp", "86400000001"),
        ("zoned", "string", "io.debezium.time.ZonedTimestamp", r#""2024-05-01T12:00:00+02:00""#),
        ("flags", "bytes", "io.debezium.data.Bits", r#""BQE=""#),
        ("tags", "string", "io.debezium.data.EnumSet", r#""a,b""#),
    ];
    let field = |(name, kind, logical, _): &(&str, &str, &str, &str)| {
        format!(r#"{{"type":"{kind}","name":"{logical}","parameters":{{"scale":"2"}},"field":"{name}"}}"#)
    };
    let fields = names.iter().map(field).collect::<Vec<_>>().join(",");
    let schema = format!(r#"{{"type":"struct","fields":[{{"type":"int32","field":"id"}},{fields}]}}"#);
    let values = names.map(|(name, _, _, value)| format!(r#""{name}":{value}"#)).join(",");
    let row = |id: u32| format!(r#"{{"id":{id},{values}}}"#);
    let key = br#"{"schema":null,"payload":null}"#;
    let connect = [
        format!(r#"{{"schema":{schema},"payload":{}}}"#, row(1)),
        r#"{"schema":null,"payload":null}"#.to_owned(),
        row(9),
        format!(r#"{{"schema":{schema},"payload":{}}}"#, row(2)),
    ];
    for value in &connect {
        scenario.kafka.produce_one(&scenario.topic, key, Some(value.as_bytes()), &[]);
    }
    let changes = format!("{}_changes", scenario.topic);
    scenario.kafka.create_topic(&changes, 1);
    let below = |name: &str| schema.replacen("{", &format!(r#"{{"field":"{name}","#), 1);
    let event = format!(r#"{{"type":"struct","fields":[{},{}]}}"#, below("before"), below("after"));
    for payload in [format!(r#"{{"op":"c","after":{}}}"#, row(3)), format!(r#"{{"op":"d","before":{}}}"#, row(4))] {
        let value = format!(r#"{{"schema":{event},"payload":{payload}}}"#);
        scenario.kafka.produce_one(&changes, key, Some(value.as_bytes()), &[]);
    }
    let of_avro = format!("{}_avro", scenario.topic);
    scenario.kafka.create_topic(&of_avro, 1);
    let in_avro = |(name, kind, logical, _): &(&str, &str, &str, &str)| {
        let kind = kind.replace("int32", "int").replace("int64", "long");
        format!(
            r#"{{"name":"{name}","type":["null",{{"type":"{kind}","connect.name":"{logical}","connect.parameters":{{"scale":"2"}}}}]}}"#
        )
    };
    let fields = names.iter().map(in_avro).collect::<Vec<_>>().join(",");
    let avro_schema = format!(r#"{{"type":"record","name":"R","fields":[{{"name":"id","type":"int"}},{fields}]}}"#);
    let file = scenario.folder.path().join("r.avsc");
    std::fs::write(&file, &avro_schema).unwrap();
    let some = |value: Value| Value::Union(1, Box::new(value));
    let record = avro(
        &avro_schema,
        &[
            ("id", Value::Int(5)),
            ("price", some(Value::Bytes(vec![4, 0xD2]))),
            ("day", some(Value::Int(19_000))),
            ("at", some(Value::Long(86_400_000_001))),
            ("zoned", some(Value::String("2024-05-01T12:00:00+02:00".to_owned()))),
            ("flags", some(Value::Bytes(vec![5, 1]))),
            ("tags", some(Value::String("a,b".to_owned()))),
        ],
    );
    scenario.kafka.produce_one(&of_avro, key, Some(&record), &[]);
    scenario.topic_lines.extend(["envelope: connect".to_owned(), "bad_share_max: 100%".to_owned()]);
    let entry = |topic: &str, lines: &str| {
        format!(
            "  - topic: {topic}\n    table: {}\n{lines}    batch: {{ linger: 100ms }}\n    \
             coordinates: {{ topic: _topic, partition: _partition, offset: _offset, replay: _replay }}\n",
            scenario.table
        )
    };
    let config = scenario.config("a")
        + &entry(&changes, "    envelope: debezium\n    deleted: gone\n")
        + &entry(
            &of_avro,
            &format!("    format: avro\n    avro: {{ framing: none, schema_files: [\"{}\"] }}\n", file.display()),
        );
    let mut connector = Connector::start(scenario.folder.path(), "a", &config, None);
    let rows = format!("SELECT * EXCEPT (_topic, _partition, _offset, _replay) FROM {} ORDER BY id", scenario.table);
    let same = "12.34\t2022-01-08\t1970-01-02 00:00:00.000001\t2024-05-01 10:00:00\t261\t['a','b']";
    let expected: String = (1..=5).map(|id| format!("{id}\t{same}\t{}\n", u8::from(id == 4))).collect();
    wait_for("the rows of all topics", || match scenario.servers.query(&rows) {
        found if found == expected => Ok(()),
        found => Err(found),
    });
    wait_for("the dead letter", || match dead(&scenario) {
        found if found == "2\tinvalid_envelope\t\\N\n" => Ok(()),
        found => Err(found),
    });
    let (code, text) = scenario.run(&["verify", "--contents"]);
    assert_eq!(code, 0, "{text}");
    assert_eq!(connector.terminate(), Some(0));
}
