//! Records that make several rows: each row once by partition, offset and row, whatever happens between.

use std::collections::BTreeMap;

use crate::support::admin;
use crate::support::scenario::Scenario;
use crate::support::wait_for;

/// A row: partition, offset, number.
type Unit = (i32, u64, u64);

/// What a record is to leave.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Fate {
    /// Rows with these ids, by their numbers.
    Rows(Vec<(u64, u64)>),
    Dead,
}

/// A list inside of records.
const INSIDE: &str = "$.order.items";

/// A scenario with the fates of its records.
struct Rows {
    scenario: Scenario,
    records: &'static str,
    fates: BTreeMap<(i32, u64), Fate>,
    next: BTreeMap<i32, u64>,
    next_id: u64,
}

impl Rows {
    /// `records` as in the configuration; the table has a column for the row, and parts by the last digit of an id.
    fn new(name: &str, records: &'static str) -> Self {
        let mut scenario = Scenario::shared(name, 2);
        scenario.table = format!("{}.pieces", scenario.database);
        scenario.servers.query(&format!(
            "CREATE TABLE {} (id UInt64, temp Float64, note String, above UInt64, below UInt64, _topic LowCardinality(String), _partition Int32, \
             _offset UInt64, _row UInt32, INDEX offsets _offset TYPE minmax) \
             ENGINE = MergeTree PARTITION BY id % 10 ORDER BY id",
            scenario.table
        ));
        scenario.coordinates = "row: _row".to_owned();
        scenario.detector_lines = vec![
            "detectors:".to_owned(),
            "  - { name: too_hot, when: temp > 90, alerts_per_block_max: 100000 }".to_owned(),
        ];
        scenario.topic_lines.push(format!("json: {{ records: {records} }}"));
        scenario.topic_lines.push("only_when: \"note != 'unwanted'\"".to_owned());
        if records == INSIDE {
            scenario.topic_lines.push("columns: { above: $record.above, below: $record.more.below }".to_owned());
        }
        Self { scenario, records, fates: BTreeMap::new(), next: BTreeMap::new(), next_id: 0 }
    }

    fn text(&self, objects: &[String]) -> String {
        match self.records {
            "lines" => objects.iter().map(|object| format!("{object}\n")).collect(),
            INSIDE => {
                let (around, list) = (self.next_id, objects.join(", "));
                format!(r#"{{"above":{around},"order":{{"id":0,"items":[{list}]}},"more":{{"below":"{around}"}}}}"#)
            }
            _ => format!("[{}]", objects.join(", ")),
        }
    }

    fn put(&mut self, partition: i32, payloads: &mut Vec<(i32, String)>, payload: String, fate: Option<Fate>) {
        let next = self.next.entry(partition).or_default();
        if let Some(fate) = fate {
            self.fates.insert((partition, *next), fate);
        }
        *next += 1;
        payloads.push((partition, payload));
    }

    /// Produces records of 0 to 6 rows; some have a bad row, some rows that nobody wants.
    fn produce(&mut self, count: u64) {
        let mut payloads = Vec::new();
        for number in 0..count {
            let made = number * 7 % 11 % 7;
            let bad = number % 50 == 20;
            let (mut objects, mut rows) = (Vec::new(), Vec::new());
            for row in 0..made {
                let id = self.next_id;
                self.next_id += 1;
                let note = if id % 9 == 4 { "unwanted" } else { "n" };
                let temp = if id.is_multiple_of(60) { 95.5 } else { 20.25 };
                let id_text = if bad && row == made - 1 { "-1".to_owned() } else { id.to_string() };
                objects.push(format!(r#"{{"id":{id_text},"temp":{temp},"note":"{note}"}}"#));
                if note == "n" {
                    rows.push((row, id));
                }
            }
            let fate = if bad && made > 0 { Some(Fate::Dead) } else { (!rows.is_empty()).then_some(Fate::Rows(rows)) };
            let partition = i32::try_from(number % 2).unwrap();
            let payload = self.text(&objects);
            self.put(partition, &mut payloads, payload, fate);
        }
        self.scenario.kafka.produce(
            &self.scenario.topic,
            payloads.iter().map(|(partition, payload)| (*partition, payload.as_bytes())).collect::<Vec<_>>(),
        );
    }

    /// Produces one record.
    fn produce_one(&mut self, partition: i32, payload: String, fate: Option<Fate>) {
        let mut payloads = Vec::new();
        self.put(partition, &mut payloads, payload, fate);
        let payload = payloads[0].1.as_bytes();
        self.scenario.kafka.produce(&self.scenario.topic, vec![(partition, payload)]);
    }

    fn wait_until_done(&self) {
        wait_for(&format!("{} to be done", self.scenario.name), || {
            let (code, text) = self.scenario.run(&["verify", "--complete"]);
            if code == 0 { Ok(()) } else { Err(text) }
        });
    }

    /// How often each row is there, and its id.
    fn stored(&self) -> BTreeMap<Unit, (u64, u64)> {
        let text = self.scenario.servers.query(&format!(
            "SELECT _partition, _offset, _row, count(), any(id) FROM {} GROUP BY ALL",
            self.scenario.table
        ));
        let row = |line: &str| {
            let fields: Vec<u64> = line.split('\t').map(|field| field.parse().unwrap()).collect();
            ((i32::try_from(fields[0]).unwrap(), fields[1], fields[2]), (fields[3], fields[4]))
        };
        text.lines().map(row).collect()
    }

    /// The promise: every wanted row once, every bad record once among the dead letters, every alert once.
    fn assert_exactly_once(&self) {
        let mut expected: BTreeMap<Unit, (u64, u64)> = BTreeMap::new();
        let mut dead = String::new();
        for ((partition, offset), fate) in &self.fates {
            match fate {
                Fate::Rows(rows) => {
                    expected.extend(rows.iter().map(|(row, id)| ((*partition, *offset, *row), (1, *id))));
                }
                Fate::Dead => dead += &format!("{partition}\t{offset}\t1\n"),
            }
        }
        let found = self.stored();
        let wrong: Vec<_> = expected
            .keys()
            .chain(found.keys())
            .filter(|unit| expected.get(unit) != found.get(unit))
            .map(|unit| format!("{unit:?}: {:?} instead of {:?}", found.get(unit), expected.get(unit)))
            .collect();
        assert!(wrong.is_empty(), "{} rows are wrong: {}", wrong.len(), wrong[..wrong.len().min(10)].join("; "));
        if self.records == INSIDE {
            // What is around a list is the next id at that time: that behind its own.
            let strange = self.scenario.servers.query(&format!(
                "SELECT _partition, _offset, _row FROM {} WHERE id > 1 AND (above != below OR above <= id OR above > id + 7)",
                self.scenario.table
            ));
            assert_eq!(strange, "", "rows with what is around others");
        }
        let letters = self.scenario.servers.query(&format!(
            "SELECT kafka_partition, kafka_offset, count() FROM {}.dead_letters GROUP BY ALL ORDER BY ALL",
            self.scenario.database
        ));
        assert_eq!(letters, dead);
        let mut alerts: BTreeMap<Unit, u32> = BTreeMap::new();
        for record in self.scenario.kafka.read_all(&self.scenario.alert_topic) {
            let alert: serde_json::Value = serde_json::from_slice(&record.payload).unwrap();
            let number = |name: &str| alert.get(name).map_or(0, |value| value.as_u64().unwrap());
            let unit = (i32::try_from(number("partition")).unwrap(), number("offset"), number("row"));
            *alerts.entry(unit).or_default() += 1;
        }
        let hot = found.iter().filter(|(_, (_, id))| id.is_multiple_of(60)).map(|(unit, _)| (*unit, 1));
        assert_eq!(alerts, hot.collect());
    }
}

#[test]
fn objects_become_rows_and_bad_records_dead_letters() {
    for records in ["lines", "array", INSIDE] {
        let mut rows = Rows::new("rows", records);
        rows.produce(2_000);
        let many = |count: u64| rows.text(&vec![r#"{"id":1,"note":"n"}"#.to_owned(); usize::try_from(count).unwrap()]);
        let (fits, too_many) = (many(2_500), many(2_501));
        rows.produce_one(0, fits, Some(Fate::Rows((0..2_500).map(|row| (row, 1)).collect())));
        rows.produce_one(1, too_many, Some(Fate::Dead));
        rows.produce(100);
        let mut connector = rows.scenario.start("a");
        rows.wait_until_done();
        assert_eq!(connector.terminate(), Some(0));
        rows.assert_exactly_once();
        let codes = rows.scenario.servers.query(&format!(
            "SELECT DISTINCT error_code, error_field FROM {}.dead_letters ORDER BY error_code",
            rows.scenario.database
        ));
        assert_eq!(codes, "out_of_range\tid\ntoo_many_rows\t\n");
        let (code, text) = rows.scenario.run(&["verify", "--complete", "--contents"]);
        assert_eq!(code, 0, "{text}");
    }
}

/// What a record may have where others have a list.
#[test]
fn a_list_that_is_not_there_makes_no_rows_and_anything_else_a_dead_letter() {
    let mut rows = Rows::new("rows_inside", INSIDE);
    rows.produce(40);
    let good = |above: &str| format!(r#"{{"order":{{"items":[{{"id":1,"note":"n"}}]}},"above":{above}}}"#);
    let whole = Fate::Rows(vec![(0, 1)]);
    for (payload, fate) in [
        (r#"{"order":{"id":1}}"#.to_owned(), None),
        (r#"{"order":{"items":null}}"#.to_owned(), None),
        ("{}".to_owned(), None),
        (good("null"), Some(whole.clone())),
        (r#"{"order":{"items":{"id":1}}}"#.to_owned(), Some(Fate::Dead)),
        (good("\"x\""), Some(Fate::Dead)),
        (good("1,\"above\":2"), Some(Fate::Dead)),
        (good("1}"), Some(Fate::Dead)),
        (good("5"), Some(whole)),
    ] {
        rows.produce_one(0, payload, fate);
    }
    rows.scenario.topic_lines.push("bad_share_max: 100%".to_owned());
    let mut connector = rows.scenario.start("a");
    rows.wait_until_done();
    let page = admin::get(&admin::address(&mut connector), "/metrics").unwrap();
    let empty = page.lines().filter(|line| line.starts_with("oncesink_skipped_total{") && line.contains("\"empty\""));
    let empty: f64 = empty.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum();
    // Of the first records each seventh or so is a list without elements.
    let lists = (0..40).filter(|number| number * 7 % 11 % 7 == 0).count();
    assert_eq!(empty.to_string(), (lists + 3).to_string());
    assert_eq!(connector.terminate(), Some(0));
    rows.assert_exactly_once();
    let letters = rows.scenario.servers.query(&format!(
        "SELECT error_code, error_field, error FROM {}.dead_letters ORDER BY kafka_offset DESC LIMIT 4",
        rows.scenario.database
    ));
    let letters: Vec<_> = letters.lines().map(|line| line.split(" at byte").next().unwrap()).collect();
    assert_eq!(
        letters,
        [
            "trailing_data\t\trow 0: bytes follow the record",
            "duplicate_key\tabove\trow 0: field above (UInt64): the key occurs twice",
            "invalid_number\tabove\trow 0: field above (UInt64): not a number",
            "not_a_list\t\trow 0: not a json list, where the rows are to be",
        ]
    );
    let (code, text) = rows.scenario.run(&["verify", "--complete", "--contents"]);
    assert_eq!(code, 0, "{text}");
}

/// Kills a connector at a failpoint, starts it again, and compares.
fn check_killed(records: &'static str, failpoint: &str) {
    let mut rows = Rows::new("rows_killed", records);
    rows.produce(3_000);
    let mut connector = rows.scenario.start_with_failpoint("a", failpoint);
    assert_eq!(connector.wait_for_exit(), None, "{failpoint} was not reached:\n{}", connector.log());
    rows.produce(500);
    let mut connector = rows.scenario.start("a");
    rows.wait_until_done();
    assert_eq!(connector.terminate(), Some(0));
    rows.assert_exactly_once();
    let (code, text) = rows.scenario.run(&["verify", "--complete", "--contents"]);
    assert_eq!(code, 0, "{text}");
}

#[test]
fn rows_outlive_a_kill_before_they_are_sent() {
    check_killed("lines", "before_insert_target=kill:2");
}

#[test]
fn rows_outlive_a_kill_after_they_were_acknowledged() {
    check_killed("lines", "after_insert_target=kill:2");
}

#[test]
fn rows_of_a_list_inside_outlive_a_kill_after_they_were_acknowledged() {
    check_killed(INSIDE, "after_insert_target=kill:2");
}

#[test]
fn rows_outlive_a_kill_before_the_commit() {
    check_killed("lines", "before_commit=kill");
}

/// The parts of a block are written one after the other, and the index of one of them throws: what was written before
/// stays, and with it some rows of a record and not the others.
#[test]
fn a_record_of_which_some_rows_were_stored_gets_the_others() {
    let mut rows = Rows::new("rows_partly", "array");
    let table = rows.scenario.table.clone();
    rows.scenario.servers.query(&format!("ALTER TABLE {table} ADD INDEX no_seven throwIf(id % 10 = 7) TYPE minmax"));
    rows.produce(1_000);
    let mut connector = rows.scenario.start("a");
    connector.wait_for_log("insert ended with an error");
    let partly = || {
        let stored = rows.stored();
        let partly = rows.fates.iter().filter(|((partition, offset), fate)| {
            let Fate::Rows(wanted) = fate else { return false };
            let there = wanted.iter().filter(|(row, _)| stored.contains_key(&(*partition, *offset, *row))).count();
            (1..wanted.len()).contains(&there)
        });
        partly.count()
    };
    assert!(partly() > 10, "no record is partly there");
    // Neither does another process double what is there.
    connector.kill9();
    let mut connector = rows.scenario.start("a");
    connector.wait_for_log("insert ended with an error");
    rows.scenario.servers.query(&format!("ALTER TABLE {table} DROP INDEX no_seven"));
    rows.produce(500);
    rows.wait_until_done();
    assert_eq!(connector.terminate(), Some(0));
    rows.assert_exactly_once();
}

/// (N4): the search ends at a record, which becomes a dead letter with all of its rows.
#[test]
fn a_record_with_a_row_that_the_server_refuses_becomes_a_dead_letter_as_a_whole() {
    let mut rows = Rows::new("rows_refused", "lines");
    let table = rows.scenario.table.clone();
    rows.scenario.servers.query(&format!("ALTER TABLE {table} ADD CONSTRAINT refused CHECK note != 'refused'"));
    rows.produce(60);
    let record = rows.text(&[
        r#"{"id":1000001,"note":"n"}"#.to_owned(),
        r#"{"id":1000002,"note":"refused"}"#.to_owned(),
        r#"{"id":1000003,"note":"n"}"#.to_owned(),
    ]);
    rows.produce_one(0, record, Some(Fate::Dead));
    rows.produce(60);
    let mut connector = rows.scenario.start("a");
    rows.wait_until_done();
    assert_eq!(connector.terminate(), Some(0));
    rows.assert_exactly_once();
}

#[test]
fn verify_names_rows_that_are_missing_doubled_or_altered() {
    for records in ["array", INSIDE] {
        check_verify(records);
    }
}

fn check_verify(records: &'static str) {
    let mut rows = Rows::new("rows_verify", records);
    rows.produce(200);
    let mut connector = rows.scenario.start("a");
    rows.wait_until_done();
    assert_eq!(connector.terminate(), Some(0));
    let table = rows.scenario.table.clone();
    let several: Vec<u64> = rows
        .fates
        .iter()
        .filter(|((partition, _), fate)| *partition == 0 && matches!(fate, Fate::Rows(rows) if rows.len() > 2))
        .map(|((_, offset), _)| *offset)
        .collect();
    let (lost, doubled, altered) = (several[0], several[1], several[2]);
    let row_of = |offset: u64| match &rows.fates[&(0, offset)] {
        Fate::Rows(rows) => rows[1].0,
        Fate::Dead => unreachable!("it has rows"),
    };
    let place = |offset: u64| format!("_partition = 0 AND _offset = {offset} AND _row = {}", row_of(offset));
    let query = |sql: String| rows.scenario.servers.query(&sql);
    query(format!("ALTER TABLE {table} DELETE WHERE {} SETTINGS mutations_sync = 2", place(lost)));
    query(format!("INSERT INTO {table} SELECT * FROM {table} WHERE {}", place(doubled)));
    query(format!("ALTER TABLE {table} UPDATE temp = 1 WHERE {} SETTINGS mutations_sync = 2", place(altered)));
    let (code, text) = rows.scenario.run(&["verify"]);
    assert_eq!(code, 1, "{text}");
    assert!(text.contains(&format!("1 records lack some of their rows: offsets {lost}")), "{text}");
    assert!(
        text.contains(&format!("1 offsets are doubled (1 rows or dead letters too many): offsets {doubled}")),
        "{text}"
    );
    let (code, text) = rows.scenario.run(&["verify", "--contents"]);
    assert_eq!(code, 1, "{text}");
    assert!(text.contains(&format!("1 rows do not hold what their record says: offsets {altered}")), "{text}");
}
