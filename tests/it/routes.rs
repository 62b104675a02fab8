//! One topic into several tables: each record in exactly one of them, whatever happens between.

use std::collections::BTreeMap;

use crate::support::connector::Connector;
use crate::support::scenario::Scenario;
use crate::support::wait_for;

/// Where a record is to be: a table, or among the dead letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Table(&'static str),
    Dead,
}

const OTHER: Place = Place::Table("other");
const ORDERS: Place = Place::Table("orders");
const PAYMENTS: Place = Place::Table("payments");
const FORMER: Place = Place::Table("former");

/// A scenario with the places of its records.
struct Routes {
    scenario: Scenario,
    places: BTreeMap<(i32, u64), (Place, u64)>,
    next_offset: BTreeMap<i32, u64>,
    next_id: u64,
}

impl Routes {
    fn new(name: &str, routing: &[&str]) -> Self {
        let mut scenario = Scenario::shared(name, 2);
        scenario.table = format!("{}.other", scenario.database);
        for (table, columns) in [
            ("other", "id UInt64, kind String"),
            ("orders", "id UInt64, total Decimal(18, 2), place String DEFAULT 'web'"),
            ("payments", "number UInt64, method LowCardinality(String), temp Float64"),
            ("former", "id UInt64, total Float64"),
        ] {
            scenario.servers.query(&format!(
                "CREATE TABLE {}.{table} ({columns}, _topic LowCardinality(String), _partition Int32, _offset UInt64, \
                 _replay UInt32, INDEX offsets _offset TYPE minmax) ENGINE = MergeTree ORDER BY tuple()",
                scenario.database
            ));
        }
        scenario.detector_lines.clear();
        let mut routes = Self { scenario, places: BTreeMap::new(), next_offset: BTreeMap::new(), next_id: 0 };
        routes.route(routing);
        routes
    }

    /// Other routes, with `@` for the database.
    fn route(&mut self, routing: &[&str]) {
        let database = self.scenario.database.clone();
        self.scenario.topic_lines = routing.iter().map(|line| line.replace('@', &database)).collect();
    }

    /// Produces records of every kind; `orders` says where orders go.
    fn produce(&mut self, count: u64, orders: Place) {
        let mut payloads = Vec::new();
        for _ in 0..count {
            let id = self.next_id;
            self.next_id += 1;
            let (place, payload) = match id % 10 {
                0..4 => (orders, format!(r#"{{"id":{id},"kind":"order","total":{id}.25}}"#)),
                4..7 => {
                    let temp = if id.is_multiple_of(25) { 95 } else { 20 };
                    let method = ["card", "cash"][usize::try_from(id % 2).unwrap()];
                    let kind = format!("pay-{method}");
                    (
                        PAYMENTS,
                        format!(r#"{{"payment":{{"id":{id},"method":"{method}"}},"temp":{temp},"kind":"{kind}"}}"#),
                    )
                }
                7 => (OTHER, format!(r#"{{"id":{id},"kind":"misc"}}"#)),
                _ if id % 50 == 9 => (Place::Dead, format!(r#"{{"id":"{id}x","kind":"order"}}"#)),
                _ => (OTHER, format!(r#"{{"id":{id}}}"#)),
            };
            let partition = i32::try_from(id % 2).unwrap();
            let offset = self.next_offset.entry(partition).or_default();
            self.places.insert((partition, *offset), (place, id));
            *offset += 1;
            payloads.push((partition, payload));
        }
        let payloads = payloads.iter().map(|(partition, payload)| (*partition, payload.as_bytes()));
        self.scenario.kafka.produce(&self.scenario.topic, payloads.collect::<Vec<_>>());
    }

    fn wait_until_done(&self) {
        wait_for(&format!("{} to be done", self.scenario.name), || {
            let (code, text) = self.scenario.run(&["verify", "--complete"]);
            if code == 0 { Ok(()) } else { Err(text) }
        });
    }

    /// Where each record is, and with which id; more than one place is what must not be.
    fn found(&self) -> BTreeMap<(i32, u64), Vec<(Place, u64)>> {
        let mut found: BTreeMap<(i32, u64), Vec<(Place, u64)>> = BTreeMap::new();
        let tables = [("other", "id"), ("orders", "id"), ("payments", "number"), ("former", "id")];
        let select = |(table, id): &(&str, &str)| {
            format!("SELECT _partition, _offset, {id} FROM {}.{table}", self.scenario.database)
        };
        let dead = format!(
            "SELECT kafka_partition, kafka_offset, \
             extract(raw_message, '\"id\":\"?([0-9]+)')::UInt64 FROM {}.dead_letters",
            self.scenario.database
        );
        let all = tables.iter().map(|table| (Place::Table(table.0), select(table))).chain([(Place::Dead, dead)]);
        for (place, sql) in all {
            for line in self.scenario.servers.query(&sql).lines() {
                let fields: Vec<u64> = line.split('\t').map(|field| field.parse().unwrap()).collect();
                let unit = (i32::try_from(fields[0]).unwrap(), fields[1]);
                found.entry(unit).or_default().push((place, fields[2]));
            }
        }
        found
    }

    /// The promise.
    fn assert_exactly_once(&self) {
        let found = self.found();
        let expected: BTreeMap<_, _> = self.places.iter().map(|(unit, place)| (*unit, vec![*place])).collect();
        let wrong: Vec<_> = expected
            .keys()
            .chain(found.keys())
            .filter(|unit| expected.get(unit) != found.get(unit))
            .map(|unit| format!("{unit:?}: {:?} instead of {:?}", found.get(unit), expected.get(unit)))
            .collect();
        assert!(wrong.is_empty(), "{} records are wrong: {}", wrong.len(), wrong[..wrong.len().min(10)].join("; "));
    }

    fn stop(&self, connector: &mut Connector) {
        self.wait_until_done();
        assert_eq!(connector.terminate(), Some(0), "{}", connector.log());
        self.assert_exactly_once();
    }
}

/// By a field, with an expression and with a regular one.
const BY_KIND: &[&str] = &[
    "route_by: { kind: $.kind }",
    "routes:",
    "  - { when: kind == 'order', table: @.orders }",
    "  - when: kind.matches('^pay-(card|cash)$')",
    "    table: @.payments",
    "    columns: { number: '$.payment.id', method: '$.payment.method' }",
    "    detectors: [ { name: too_hot, when: temp > 90, alerts_per_block_max: 100000 } ]",
];

#[test]
fn each_record_goes_to_the_table_of_its_route() {
    let mut routes = Routes::new("routes", BY_KIND);
    let (code, text) = routes.scenario.run(&["check", "--connect"]);
    assert!(code != 2 && text.contains("0 errors"), "{text}");
    routes.produce(3_000, ORDERS);
    let mut connector = routes.scenario.start("a");
    routes.stop(&mut connector);
    let (code, text) = routes.scenario.run(&["verify", "--complete", "--contents"]);
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("with its contents"), "{text}");
    // Detectors look at the rows of their own table, each once.
    let hot = routes.scenario.servers.query(&format!(
        "SELECT _partition, _offset FROM {}.payments WHERE temp > 90 ORDER BY ALL",
        routes.scenario.database
    ));
    let alerts = routes.scenario.kafka.read_all(&routes.scenario.alert_topic);
    let mut alerts: Vec<String> = alerts
        .iter()
        .map(|record| serde_json::from_slice::<serde_json::Value>(&record.payload).unwrap())
        .map(|alert| format!("{}\t{}", alert["partition"], alert["offset"]))
        .collect();
    alerts.sort_by_key(|line| line.split('\t').map(|n| n.parse::<u64>().unwrap()).collect::<Vec<_>>());
    assert!(!alerts.is_empty(), "no payment is hot");
    assert_eq!(alerts.join("\n") + "\n", hot);
}

#[test]
fn verify_names_a_row_that_is_in_the_table_of_another_route() {
    let mut routes = Routes::new("routes_verify", BY_KIND);
    routes.produce(300, ORDERS);
    let mut connector = routes.scenario.start("a");
    routes.stop(&mut connector);
    let database = &routes.scenario.database;
    let ((partition, offset), _) = *routes.places.iter().find(|(_, (place, _))| *place == ORDERS).as_ref().unwrap();
    let here = format!("_partition = {partition} AND _offset = {offset}");
    let coordinates = "id, _topic, _partition, _offset, _replay";
    routes.scenario.servers.query(&format!(
        "INSERT INTO {database}.other ({coordinates}) SELECT {coordinates} FROM {database}.orders WHERE {here}"
    ));
    let (code, text) = routes.scenario.run(&["verify"]);
    assert_eq!(code, 1, "{text}");
    assert!(
        text.contains(&format!("1 offsets are doubled (1 rows or dead letters too many): offsets {offset}")),
        "{text}"
    );
    routes
        .scenario
        .servers
        .query(&format!("ALTER TABLE {database}.orders DELETE WHERE {here} SETTINGS mutations_sync = 2"));
    assert_eq!(routes.scenario.run(&["verify"]).0, 0, "every offset is there, once");
    let (code, text) = routes.scenario.run(&["verify", "--contents"]);
    assert_eq!(code, 1, "{text}");
    assert!(text.contains(&format!("1 rows do not hold what their record says: offsets {offset}")), "{text}");
}

#[test]
fn records_that_no_route_takes_are_dead_letters_or_skipped_where_wanted() {
    let mut routes =
        Routes::new("routes_unrouted", &[BY_KIND, &["unrouted: dead_letter", "bad_share_max: 100%"]].concat());
    routes.produce(500, ORDERS);
    for (place, _) in routes.places.values_mut().filter(|(place, _)| *place == OTHER) {
        *place = Place::Dead;
    }
    let mut connector = routes.scenario.start("a");
    routes.stop(&mut connector);
    let codes = routes.scenario.servers.query(&format!(
        "SELECT error_code, count() FROM {}.dead_letters GROUP BY error_code ORDER BY error_code",
        routes.scenario.database
    ));
    assert_eq!(codes, "invalid_number\t10\nunrouted\t140\n");

    let mut routes = Routes::new("routes_skipped", &[BY_KIND, &["unrouted: skip"]].concat());
    routes.produce(500, ORDERS);
    routes.places.retain(|_, (place, _)| *place != OTHER);
    let mut connector = routes.scenario.start("a");
    routes.stop(&mut connector);
}

#[test]
fn headers_and_keys_decide_where_the_value_is_not_looked_into() {
    let mut routes = Routes::new(
        "routes_headers",
        &[
            "route_by: { kind: $headers.kind, key: $key }",
            "routes:",
            "  - { when: kind == 'order', table: @.orders }",
            "  - { when: key.startsWith('f'), table: @.former }",
        ],
    );
    let produce = |key: &str, value: &str, headers: &[(&str, &[u8])]| {
        routes.scenario.kafka.produce_one(&routes.scenario.topic, key.as_bytes(), Some(value.as_bytes()), headers);
    };
    produce("a", r#"{"id":0}"#, &[("kind", b"order")]);
    produce("f", r#"{"id":1,"kind":"order"}"#, &[("kind", b"none")]);
    produce("g", r#"{"id":2}"#, &[]);
    produce("f", r#"{"id":3"#, &[]);
    for (offset, place) in [ORDERS, FORMER, OTHER, Place::Dead].into_iter().enumerate() {
        let offset = u64::try_from(offset).unwrap();
        routes.places.insert((0, offset), (place, offset));
    }
    let mut connector = routes.scenario.start("a");
    routes.stop(&mut connector);
}

/// Kills a connector at a failpoint, starts it again, and compares.
fn check_killed(failpoint: &str) {
    let mut routes = Routes::new("routes_killed", BY_KIND);
    routes.produce(2_000, ORDERS);
    let mut connector = routes.scenario.start_with_failpoint("a", failpoint);
    assert_eq!(connector.wait_for_exit(), None, "{failpoint} was not reached:\n{}", connector.log());
    routes.produce(500, ORDERS);
    let mut connector = routes.scenario.start("a");
    routes.stop(&mut connector);
}

#[test]
fn records_outlive_a_kill_between_the_tables_of_a_block() {
    check_killed("after_insert_target=kill");
}

#[test]
fn records_outlive_a_kill_before_the_second_route_is_written() {
    check_killed("before_insert_route=kill:2");
}

#[test]
fn records_outlive_a_kill_behind_the_last_table() {
    check_killed("after_insert_route=kill:2");
}

#[test]
fn records_outlive_a_kill_before_the_offsets_of_all_tables_are_committed() {
    check_killed("before_commit=kill");
}

/// A freeze, a delay, a step that fails, a reply that is lost: around the insert into a route's table.
#[test]
fn records_outlive_everything_around_a_route() {
    let mut routes = Routes::new("routes_points", BY_KIND);
    for point in ["before_insert_route", "after_insert_route"] {
        for action in ["stop", "delay", "error"] {
            routes.produce(500, ORDERS);
            let mut connector = routes.scenario.start_with_failpoint("a", &format!("{point}={action}"));
            if action == "stop" {
                connector.wait_until_frozen();
                connector.signal("CONT");
            } else {
                connector.wait_for_log("failpoint reached");
            }
            routes.produce(100, ORDERS);
            routes.stop(&mut connector);
        }
    }
}

/// What the first tables of a block have got stays, and is not written again when the last one takes its rows.
#[test]
fn a_table_that_refuses_holds_all_back_and_doubles_none() {
    let mut routes = Routes::new("routes_refused", BY_KIND);
    let payments = format!("{}.payments", routes.scenario.database);
    routes.scenario.servers.query(&format!("RENAME TABLE {payments} TO {payments}_away"));
    // The start needs all tables; what goes away later is waited for.
    routes.scenario.servers.query(&format!("CREATE TABLE {payments} AS {payments}_away"));
    let mut connector = routes.scenario.start("a");
    connector.wait_for_log("takeover done");
    routes.scenario.servers.query(&format!("DROP TABLE {payments} SYNC"));
    routes.produce(1_000, ORDERS);
    connector.wait_for_log("Unknown table");
    connector.kill9();
    routes.scenario.servers.query(&format!("RENAME TABLE {payments}_away TO {payments}"));
    assert!(!routes.found().is_empty(), "nothing was written into the first tables");
    let mut connector = routes.scenario.start("a");
    routes.stop(&mut connector);
}

/// Stored, not committed, and left out by the routes of the next start: the rows stay, and count as stored.
#[test]
fn rows_that_today_s_routes_skip_are_counted_as_stored() {
    let mut routes = Routes::new("routes_skip_stored", BY_KIND);
    routes.produce(200, ORDERS);
    let mut connector = routes.scenario.start_with_failpoint("a", "before_commit=kill");
    assert_eq!(connector.wait_for_exit(), None, "the failpoint was not reached:\n{}", connector.log());
    routes.route(&[BY_KIND, &["unrouted: skip"]].concat());
    routes.produce(100, ORDERS);
    routes.places.retain(|(_, offset), (place, _)| *place != OTHER || *offset < 100);
    let mut connector = routes.scenario.start("a");
    routes.stop(&mut connector);
    assert!(!connector.log().contains("panicked"), "{}", connector.log());
}

/// Other routes than those under which rows were written: the rows count where they are, also those that were not committed.
#[test]
fn rows_of_yesterday_s_routes_are_not_written_again() {
    let former: &[&str] = &[
        "route_by: { kind: $.kind }",
        "routes:",
        "  - { when: kind == 'order', table: @.former }",
        "  - { when: kind.startsWith('pay'), table: @.payments, columns: { number: '$.payment.id', method: '$.payment.method' } }",
    ];
    let mut routes = Routes::new("routes_changed", former);
    routes.produce(1_000, FORMER);
    let mut connector = routes.scenario.start_with_failpoint("a", "before_commit=kill");
    assert_eq!(connector.wait_for_exit(), None, "{}", connector.log());
    let before = routes.found();
    assert!(before.values().flatten().any(|(place, _)| *place == FORMER), "nothing went to the former table");
    routes.route(BY_KIND);
    routes.produce(500, ORDERS);
    // Orders that were not there yet go where they go now.
    for (unit, (place, _)) in &mut routes.places {
        if *place == FORMER && !before.contains_key(unit) {
            *place = ORDERS;
        }
    }
    let mut connector = routes.scenario.start("a");
    connector.wait_for_log("a former route wrote here");
    routes.stop(&mut connector);
    let (code, text) = routes.scenario.run(&["verify", "--contents"]);
    assert_eq!(code, 2, "{text}");
    assert!(text.contains("where a former route wrote them"), "{text}");
}

/// An instance with yesterday's configuration takes partitions over from one with today's.
#[test]
fn an_instance_that_runs_with_other_routes_looks_into_the_tables_of_all() {
    let mut routes = Routes::new("routes_mixed", BY_KIND);
    routes.scenario.linger = "20ms".to_owned();
    let former = &["route_by: { kind: $.kind }", "routes: [ { when: kind == 'misc', table: @.former } ]"];
    let mut old = routes.scenario.start("a");
    old.wait_for_log("takeover done");
    routes.route(former);
    let mut new = routes.scenario.start_with_failpoint("b", "before_insert_ledger=kill");
    new.wait_for_log("takeover done");
    // Only what both send to the same tables, or what the old one does not know.
    let mut misc = Vec::new();
    for id in 0..400_u64 {
        misc.push((i32::try_from(id % 2).unwrap(), format!(r#"{{"id":{id},"kind":"misc"}}"#)));
    }
    let records: Vec<_> = misc.iter().map(|(partition, payload)| (*partition, payload.as_bytes())).collect();
    routes.scenario.kafka.produce(&routes.scenario.topic, records);
    assert_eq!(new.wait_for_exit(), None, "{}", new.log());
    let before = routes.found();
    let of_new = before.iter().filter(|(_, places)| places.iter().any(|(place, _)| *place == FORMER)).count();
    assert!(of_new > 0, "nothing went to the new table");
    for id in 0..400_u64 {
        let unit = (i32::try_from(id % 2).unwrap(), id / 2);
        let place = if before.get(&unit).is_some_and(|places| places[0].0 == FORMER) { FORMER } else { OTHER };
        routes.places.insert(unit, (place, id));
    }
    old.wait_for_log("which another process runs with");
    routes.route(BY_KIND);
    routes.stop(&mut old);
}

/// The elements of a list, each by its own kind.
#[test]
fn rows_of_one_record_go_to_several_tables() {
    check_rows("array", |elements, _| format!("[{elements}]"));
}

/// The same with a list inside, of which each table takes something else that is around it.
#[test]
fn rows_of_a_list_inside_go_to_several_tables_each_with_what_is_around_them() {
    let routes = check_rows("$.cart.items", |elements, number| match number % 2 {
        0 => format!(r#"{{"place":"p{number}","cart":{{"items":[{elements}]}},"temp":{number}}}"#),
        _ => format!(r#"{{"temp":{number},"cart":{{"total":5,"items":[{elements}]}},"place":"p{number}"}}"#),
    });
    for (table, strange) in [
        ("orders", "place != concat('p', toString(intDiv(id, 10)))"),
        ("payments", "temp != intDiv(number, 10)"),
        ("other", "kind != toString(intDiv(id, 10))"),
    ] {
        let sql = format!("SELECT count(), countIf({strange}) FROM {}.{table}", routes.scenario.database);
        let counts = routes.scenario.servers.query(&sql);
        assert!(counts.ends_with("\t0\n") && !counts.starts_with("0\t"), "{table}: {counts}");
    }
}

fn check_rows(records: &str, record: impl Fn(&str, u64) -> String) -> Routes {
    let mut routes = Routes::new("routes_rows", BY_KIND);
    for table in ["other", "orders", "payments"] {
        let table = format!("{}.{table}", routes.scenario.database);
        routes.scenario.servers.query(&format!("ALTER TABLE {table} ADD COLUMN _row UInt32"));
    }
    routes.scenario.coordinates = "row: _row".to_owned();
    let lines = &mut routes.scenario.topic_lines;
    if records != "array" {
        let columns = |line: &str, from: &str, to: &str| {
            assert!(line.contains(from), "{line}");
            line.replace(from, to)
        };
        lines[2] = columns(&lines[2], ".orders }", ".orders, columns: { place: $record.place } }");
        lines[5] = columns(&lines[5], "method'", "method', temp: $record.temp");
        lines.push("columns: { kind: $record.temp }".to_owned());
    }
    lines.push(format!("json: {{ records: {records} }}"));
    let mut payloads = Vec::new();
    let mut expected: BTreeMap<(i32, u64, u64), (&str, u64)> = BTreeMap::new();
    for number in 0..1_000_u64 {
        let mut elements = Vec::new();
        for row in 0..number % 4 {
            let id = number * 10 + row;
            let (table, element) = match (number + row) % 3 {
                0 => ("orders", format!(r#"{{"id":{id},"kind":"order","total":1.5}}"#)),
                1 => ("payments", format!(r#"{{"payment":{{"id":{id},"method":"card"}},"kind":"pay-card"}}"#)),
                _ => ("other", format!(r#"{{"id":{id}}}"#)),
            };
            expected.insert((i32::try_from(number % 2).unwrap(), number / 2, row), (table, id));
            elements.push(element);
        }
        payloads.push((i32::try_from(number % 2).unwrap(), record(&elements.join(","), number)));
    }
    let records: Vec<_> = payloads.iter().map(|(partition, payload)| (*partition, payload.as_bytes())).collect();
    routes.scenario.kafka.produce(&routes.scenario.topic, records);
    let mut connector = routes.scenario.start_with_failpoint("a", "after_insert_route=kill");
    assert_eq!(connector.wait_for_exit(), None, "{}", connector.log());
    let mut connector = routes.scenario.start("a");
    routes.wait_until_done();
    assert_eq!(connector.terminate(), Some(0));
    let mut found: BTreeMap<(i32, u64, u64), (&str, u64)> = BTreeMap::new();
    for (table, id) in [("other", "id"), ("orders", "id"), ("payments", "number")] {
        let sql = format!("SELECT _partition, _offset, _row, {id} FROM {}.{table}", routes.scenario.database);
        for line in routes.scenario.servers.query(&sql).lines() {
            let fields: Vec<u64> = line.split('\t').map(|field| field.parse().unwrap()).collect();
            let unit = (i32::try_from(fields[0]).unwrap(), fields[1], fields[2]);
            let twice = found.insert(unit, (table, fields[3]));
            assert!(twice.is_none(), "{unit:?} is there twice");
        }
    }
    assert_eq!(found, expected);
    let (code, text) = routes.scenario.run(&["verify", "--complete", "--contents"]);
    assert_eq!(code, 0, "{text}");
    routes
}
