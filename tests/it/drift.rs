//! Target tables that are altered while the connector runs: every record is stored once, for the table as it is then, and
//! no value is converted by the server.

use apache_avro::types::Value;
use devstack::Registry;
use devstack::proxy::{Action, Proxy, Rule};

use crate::formats::{READING, avro, framed, registry_line};
use crate::support::admin;
use crate::support::connector::Connector;
use crate::support::scenario::Scenario;
use crate::support::wait_for;

/// Records with an `extra`, over two partitions.
struct Load {
    scenario: Scenario,
    next: u64,
}

impl Load {
    /// The table has this column beside those of a reading.
    fn new(name: &str, column: &str) -> Self {
        let scenario = Scenario::shared(name, 2);
        let load = Self { scenario, next: 0 };
        if !column.is_empty() {
            load.alter(&format!("ADD COLUMN {column}"));
        }
        load
    }

    fn alter(&self, what: &str) {
        self.scenario.servers.query(&format!("ALTER TABLE {} {what}", self.scenario.table));
    }

    /// Produces records whose `extra` is made from their id.
    fn produce(&mut self, count: u64, extra: impl Fn(u64) -> String) {
        let record = |id: u64| {
            let temp = if id.is_multiple_of(100) { 95.5 } else { 20.25 };
            let fields = format!(r#""id":{id},"sensor":"s{}","temp":{temp},"note":"n{id}""#, id % 50);
            (i32::try_from(id % 2).unwrap(), format!("{{{fields}{}}}", extra(id)))
        };
        let payloads: Vec<_> = (self.next..self.next + count).map(record).collect();
        self.next += count;
        self.scenario.produce_payloads(&payloads);
    }

    fn ask(&self, question: &str) -> String {
        self.scenario.servers.query(&question.replace("{table}", &self.scenario.table))
    }

    /// Offsets of dead letters by code.
    fn dead(&self) -> String {
        self.scenario.servers.query(&format!(
            "SELECT error_code, error_field, count() FROM {}.dead_letters GROUP BY ALL ORDER BY ALL",
            self.scenario.database
        ))
    }

    fn finish(&self, mut connector: Connector) {
        self.scenario.wait_until_done();
        assert_eq!(connector.terminate(), Some(0), "{}", connector.log());
        self.scenario.assert_exactly_once();
    }
}

fn extra(id: u64) -> String {
    format!(r#","extra":{}"#, id % 512)
}

/// Alters the table between records, while blocks are under way.
#[track_caller]
fn check_altered(name: &str, column: &str, alter: &str, question: &str, expected: &str) {
    let mut load = Load::new(name, column);
    let connector = load.scenario.start("a");
    load.produce(3_000, |id| format!(r#","extra":{}"#, id % 200));
    wait_for("the first rows", || if load.scenario.stored_count() > 0 { Ok(()) } else { Err("none".to_owned()) });
    load.produce(3_000, |id| format!(r#","extra":{}"#, id % 200));
    load.alter(alter);
    load.produce(3_000, |id| format!(r#","extra":{}"#, id % 200));
    load.finish(connector);
    assert_eq!(load.ask(question), expected);
    assert_eq!(load.dead(), "");
}

#[test]
fn a_column_that_is_added_is_filled_from_the_next_insert_on() {
    check_altered(
        "drift_added",
        "",
        "ADD COLUMN extra UInt32 DEFAULT 777",
        // What was produced behind the ALTER, and whether what was before is as it was or filled: nothing between.
        "SELECT countIf(id >= 6000 AND extra = id % 200), countIf(extra != id % 200 AND extra != 777) FROM {table}",
        "3000\t0\n",
    );
}

/// Rows of before an ALTER are compared as what they are, and faults are found all the same.
#[test]
fn verify_knows_rows_that_are_older_than_an_alter() {
    let mut load = Load::new("drift_past", "extra UInt16 DEFAULT 5");
    let connector = load.scenario.start("a");
    let fields = |id: u64| {
        if id.is_multiple_of(3) { format!(r#","extra":{id},"late":{id}"#) } else { format!(r#","late":{id}"#) }
    };
    load.produce(300, fields);
    load.scenario.wait_until_done();
    let ledger = format!(
        "SELECT toUInt8(toUnixTimestamp(now()) > toUnixTimestamp(toDateTime(min(inserted_at)))) FROM {}.ledger",
        load.scenario.database
    );
    wait_for("another second", || if load.ask(&ledger) == "1\n" { Ok(()) } else { Err("the same".to_owned()) });
    load.alter("MODIFY COLUMN extra DEFAULT 6, ADD COLUMN late UInt32 DEFAULT 777");
    load.produce(300, fields);
    load.finish(connector);
    let verify = |code: i32, texts: &[&str]| {
        let (found, text) = load.scenario.run(&["verify", "--complete", "--contents"]);
        assert_eq!(found, code, "{text}");
        assert!(texts.iter().all(|wanted| text.contains(wanted)), "{text}");
    };
    let note = "hold another value in extra, late than their records say, or lack it: they were written before";
    verify(0, &["150 rows up to offset 149", note, "clean"]);
    // The same difference in rows that are newer, and another one in rows that are older.
    load.alter("UPDATE late = 777 WHERE id = 590 SETTINGS mutations_sync = 1");
    load.alter("UPDATE note = 'x' WHERE id = 4 SETTINGS mutations_sync = 1");
    verify(1, &["2 rows do not hold what their record says: offsets 2, 295", "offset 295 differs in late", note]);
}

/// The server refuses rows in which the lists of a Nested differ in length.
#[test]
fn a_list_that_is_added_to_a_nested_is_as_long_as_those_beside_it() {
    let mut load = Load::new("drift_nested", "n Nested(a UInt8, b String)");
    let connector = load.scenario.start("a");
    let lists = |id: u64| format!(r#","n.a":[1,{}],"n.b":["x","n{id}"]"#, id % 100);
    load.produce(1_000, lists);
    load.scenario.wait_until_stored();
    load.alter("ADD COLUMN `n.c` Array(Float64), ADD COLUMN `n.d` Array(Array(String))");
    load.produce(1_000, lists);
    load.produce(100, |id| format!(r#"{},"n.c":[{id}.5,2],"n.d":[["x"],[]]"#, lists(id)));
    load.finish(connector);
    assert_eq!(load.dead(), "");
    assert_eq!(
        load.ask("SELECT count(), countIf(n.c = [0, 0] AND n.d = [[], []]), countIf(n.c = [id + 0.5, 2]) FROM {table}"),
        "2100\t2000\t100\n"
    );
    let (code, text) = load.scenario.run(&["verify", "--complete", "--contents"]);
    assert_eq!(code, 0, "{text}");
}

#[test]
fn a_column_of_another_type_gets_what_records_say() {
    for (name, column, alter) in [
        ("drift_wider", "extra UInt32", "MODIFY COLUMN extra UInt64"),
        ("drift_text", "extra UInt16", "MODIFY COLUMN extra Nullable(Int64)"),
        ("drift_default", "extra UInt16", "MODIFY COLUMN extra DEFAULT id * 2"),
    ] {
        check_altered(name, column, alter, "SELECT count(), countIf(extra = id % 200) FROM {table}", "9000\t9000\n");
    }
    for kind in ["String DEFAULT ''", "LowCardinality(Nullable(String))"] {
        check_altered(
            "drift_note",
            "extra UInt16",
            &format!("MODIFY COLUMN note {kind}"),
            "SELECT count(), countIf(note = concat('n', toString(id))) FROM {table}",
            "9000\t9000\n",
        );
    }
}

#[test]
fn a_column_that_is_dropped_is_left_out() {
    check_altered("drift_dropped", "extra UInt16", "DROP COLUMN extra", "SELECT count() FROM {table}", "9000\n");
}

/// The connector is frozen with an insert in its hands; meanwhile the table is altered.
fn check_between(name: &str, column: &str, alter: &str) -> (Load, String) {
    let mut load = Load::new(name, column);
    load.scenario.topic_lines.push("bad_share_max: 100%".to_owned());
    // A session that ends meanwhile would have the block dropped before it is sent.
    load.scenario.session_timeout_ms = 45_000;
    let connector = load.scenario.start_with_failpoint("a", "before_insert_target=stop:2");
    load.produce(200, |id| format!(r#","extra":{}"#, id % 200));
    load.scenario.wait_until_stored();
    load.produce(2_000, extra);
    connector.wait_until_frozen();
    load.alter(alter);
    connector.signal("CONT");
    load.produce(2_000, extra);
    load.scenario.wait_until_done();
    let log = connector.log();
    load.finish(connector);
    (load, log)
}

#[test]
fn what_does_not_fit_a_narrower_column_is_a_dead_letter_and_not_another_value() {
    let (load, log) = check_between("drift_narrower", "extra UInt64", "MODIFY COLUMN extra UInt8");
    assert!(log.contains("insert refused: the table was changed"), "{log}");
    assert!(log.contains("column extra altered from UInt64 to UInt8"), "{log}");
    assert_eq!(load.ask("SELECT countIf(extra != id % 512 AND id >= 200) FROM {table}"), "0\n");
    let large = (200..4_200).filter(|id| id % 512 > 255).count();
    assert_eq!(load.dead(), format!("out_of_range\textra\t{large}\n"));
    let (code, text) = load.scenario.run(&["verify", "--complete", "--contents"]);
    assert_eq!(code, 0, "{text}");
}

/// Nothing can be inserted into the column any more, which the server says by a code that otherwise speaks against a record.
#[test]
fn no_record_is_blamed_for_a_table_that_was_changed() {
    let (load, log) = check_between("drift_blamed", "extra UInt64", "MODIFY COLUMN extra UInt64 MATERIALIZED id");
    assert!(log.contains("insert ended with an error: the table was changed since it was read"), "{log}");
    assert!(!log.contains("rows per block limited"), "{log}");
    assert_eq!(
        load.ask("SELECT countIf(extra = id % 200), countIf(extra = id) FROM {table} WHERE id != extra OR id >= 200"),
        "0\t4000\n"
    );
    assert_eq!(load.dead(), "");
}

#[test]
fn a_column_that_the_configuration_names_is_waited_for() {
    let mut load = Load::new("drift_renamed", "extra UInt16");
    load.scenario.topic_lines.push("columns: { extra: $.extra }".to_owned());
    let mut connector = load.scenario.start("a");
    load.produce(500, extra);
    load.scenario.wait_until_stored();
    load.alter("RENAME COLUMN extra TO other");
    load.produce(500, extra);
    connector.wait_for_log("the configuration does not fit any more");
    let address = admin::address(&mut connector);
    wait_for("the status to say so", || {
        let status = admin::get(&address, "/status")?;
        if status.contains("the table has no such column") { Ok(()) } else { Err(status) }
    });
    assert_eq!(load.scenario.stored_count(), 500);
    load.alter("RENAME COLUMN other TO extra");
    load.finish(connector);
    assert_eq!(load.ask("SELECT count(), countIf(extra = id % 512) FROM {table}"), "1000\t1000\n");
    assert_eq!(load.dead(), "");
}

/// Another table under the same name is filled again from the topic, as after a restore.
#[test]
fn a_table_that_is_made_anew_is_filled_again() {
    let mut load = Load::new("drift_anew", "extra UInt16");
    let connector = load.scenario.start("a");
    load.produce(1_000, extra);
    load.scenario.wait_until_done();
    let create = load.ask("SHOW CREATE TABLE {table} FORMAT TSVRaw");
    load.ask("DROP TABLE {table} SYNC");
    load.scenario.servers.query(&create);
    load.produce(1_000, extra);
    load.finish(connector);
    assert_eq!(load.ask("SELECT count(), countIf(extra = id % 512) FROM {table}"), "2000\t2000\n");
}

/// A field appears in the middle of a topic, which two instances read.
#[test]
fn fields_that_appear_become_columns() {
    let mut load = Load::new("drift_add", "");
    load.scenario.topic_lines.push("schema_drift: add_columns".to_owned());
    let first = load.scenario.start("a");
    let mut second = load.scenario.start("b");
    second.wait_for_log("partition resumed");
    load.produce(2_000, |_| r#","nothing":null"#.to_owned());
    load.scenario.wait_until_stored();
    load.produce(2_000, |id| format!(r#","extra":{id},"more":{{"deep":[{id}]}}"#));
    load.produce(2_000, |id| format!(r#","more":"text","late":{}.5,"yes":{}"#, id, id % 2 == 0));
    load.scenario.wait_until_done();
    assert_eq!(second.terminate(), Some(0));
    let log = first.log() + &second.log();
    load.finish(first);
    assert_eq!(load.dead(), "");
    let filled = "SELECT count(), countIf(extra = id AND more = concat('{\"deep\":[', toString(id), ']}')), \
                  countIf(more = 'text' AND late = id + 0.5 AND yes = (id % 2 = 0)), countIf(isNull(more)) FROM {table}";
    assert_eq!(load.ask(filled), "6000\t2000\t2000\t2000\n");
    let columns = "SELECT name, type FROM system.columns WHERE concat(database, '.', table) = '{table}' \
                   AND name NOT LIKE '\\_%' AND position > 4 ORDER BY name";
    assert_eq!(
        load.ask(columns),
        "extra\tNullable(Int64)\nlate\tNullable(Float64)\nmore\tNullable(String)\nyes\tNullable(Bool)\n"
    );
    assert!(log.contains("ADD COLUMN IF NOT EXISTS `extra` Nullable(Int64)"), "{log}");
    let (code, text) = load.scenario.run(&["verify", "--complete", "--contents"]);
    assert_eq!(code, 0, "{text}");
}

/// The same with a new version of the schema, which says what the columns are.
#[test]
fn fields_of_a_new_schema_become_columns() {
    let registry = Registry::start(None).unwrap();
    let first = registry.register("readings-value", "AVRO", READING, &[]).unwrap();
    let wider = READING.replace(
        r#"{"name":"note""#,
        r#"{"name":"at","type":{"type":"long","logicalType":"timestamp-millis"}},
           {"name":"tags","type":{"type":"array","items":"string"}},
           {"name":"extra","type":["null","long"]},{"name":"note""#,
    );
    let second = registry.register("readings-value", "AVRO", &wider, &[]).unwrap();
    let mut load = Load::new("drift_avro", "");
    load.scenario.kafka_lines.push(registry_line(&registry, "1m"));
    load.scenario.topic_lines.extend(["format: avro".to_owned(), "schema_drift: add_columns".to_owned()]);
    let record = |id: u64, is_wide: bool| {
        let number = i64::try_from(id).unwrap();
        let mut fields =
            vec![("id", Value::Long(number)), ("sensor", Value::String("s".to_owned())), ("temp", Value::Double(20.0))];
        if is_wide {
            fields.push(("at", Value::TimestampMillis(1_700_000_000_000 + number)));
            fields.push(("tags", Value::Array(vec![Value::String(format!("t{id}"))])));
            let extra = if id.is_multiple_of(2) { Value::Null } else { Value::Long(number) };
            fields.push(("extra", Value::Union(u32::from(extra != Value::Null), Box::new(extra))));
        }
        fields.push(("note", Value::Union(0, Box::new(Value::Null))));
        let (schema, text) = if is_wide { (second, wider.as_str()) } else { (first, READING) };
        (i32::try_from(id / 10 % 2).unwrap(), framed(schema, &avro(text, &fields)))
    };
    let connector = load.scenario.start("a");
    let mut other = load.scenario.start("b");
    other.wait_for_log("partition resumed");
    let narrow: Vec<_> = (0..300).map(|id| record(id, false)).collect();
    load.scenario.produce_payloads(&narrow);
    load.scenario.wait_until_stored();
    let mixed: Vec<_> = (300..900).map(|id| record(id, id % 3 > 0)).collect();
    load.scenario.produce_payloads(&mixed);
    load.scenario.wait_until_done();
    assert_eq!(other.terminate(), Some(0));
    load.finish(connector);
    assert_eq!(load.dead(), "");
    let filled = "SELECT count(), countIf(toUnixTimestamp64Milli(at) = 1700000000000 + id AND tags = [concat('t', toString(id))] \
                  AND ifNull(extra, 0) = if(id % 2 = 0, 0, id)), countIf(isNull(at) AND empty(tags)) FROM {table}";
    assert_eq!(load.ask(filled), "900\t400\t500\n");
    let (code, text) = load.scenario.run(&["verify", "--complete", "--contents"]);
    assert_eq!(code, 0, "{text}");
}

#[test]
fn records_that_would_need_too_many_columns_are_dead_letters() {
    let mut load = Load::new("drift_limit", "");
    // It has eight.
    load.scenario.topic_lines.push("schema_drift: { policy: add_columns, columns_max: 9 }".to_owned());
    load.scenario.topic_lines.push("bad_share_max: 100%".to_owned());
    let connector = load.scenario.start("a");
    load.produce(100, |_| r#","one":1,"two":2"#.to_owned());
    load.produce(100, |_| r#","one":1"#.to_owned());
    load.produce(100, |_| r#","one":1,"two":2"#.to_owned());
    load.finish(connector);
    assert_eq!(load.ask("SELECT count(), countIf(one = 1) FROM {table}"), "100\t100\n");
    let codes = "SELECT DISTINCT error_code, count() OVER () FROM {table}"
        .replace("{table}", &format!("{}.dead_letters", load.scenario.database));
    assert_eq!(load.scenario.servers.query(&codes), "too_many_columns\t200\n");
}

#[test]
fn a_partition_halts_at_a_new_field_until_the_table_has_its_column() {
    let mut load = Load::new("drift_halt", "");
    load.scenario.topic_lines.push("schema_drift: halt".to_owned());
    let mut connector = load.scenario.start("a");
    load.produce(500, |_| String::new());
    load.scenario.wait_until_stored();
    // Of every second record, so of one of the two partitions.
    load.produce(500, |id| if id % 2 == 0 { format!(r#","extra":{id}"#) } else { String::new() });
    connector.wait_for_log("ALTER TABLE");
    wait_for("the other partition", || match load.scenario.stored_count() {
        750 => Ok(()),
        count => Err(format!("{count} are stored")),
    });
    let log = connector.log();
    let halted = format!(
        "ALTER TABLE `{0}`.`readings` ADD COLUMN IF NOT EXISTS `extra` Nullable(Int64)",
        load.scenario.database
    );
    assert!(log.contains("the record at offset 250 has a field `extra` that no column takes"), "{log}");
    assert!(log.contains(&halted), "{log}");
    load.alter("ADD COLUMN extra Nullable(UInt64)");
    load.finish(connector);
    assert_eq!(
        load.ask("SELECT count(), countIf(extra = id), countIf(isNull(extra)) FROM {table}"),
        "1000\t250\t750\n"
    );
    assert_eq!(load.dead(), "");
}

/// As a server refuses a user without the grant; the front of the engine knows none.
#[test]
fn columns_that_may_not_be_added_are_asked_for_and_waited_for() {
    let mut load = Load::new("drift_grant", "");
    let proxy = Proxy::to_url(&load.scenario.servers.clickhouse_url).unwrap();
    load.scenario.clickhouse_through = Some(proxy.url());
    let rule =
        proxy.add(Rule { matching: "ALTER TABLE".to_owned(), times: 1, action: Action::CutRequest { after: 10 } });
    load.scenario.topic_lines.push("schema_drift: add_columns".to_owned());
    let mut connector = load.scenario.start("a");
    load.produce(500, |id| format!(r#","extra":{id}"#));
    connector.wait_for_log("GRANT ALTER ADD COLUMN ON");
    rule.wait_hits(1).unwrap();
    assert_eq!(load.scenario.stored_count(), 0);
    // Nothing is read past the record that waits. The ALTER is tried again at the next look.
    load.produce(500, |_| String::new());
    load.finish(connector);
    assert_eq!(
        load.ask("SELECT count(), countIf(extra = id), countIf(isNull(extra)) FROM {table}"),
        "1000\t500\t500\n"
    );
}
