//! Target tables that are altered while the connector runs: every record is stored once, for the table as it is then, and
//! no value is converted by the server.

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
