//! Names that somebody else chose: columns of the target table with everything that could end a quoted name, and
//! defaults that name them. What the configuration itself may name is refused unless it is harmless.

use oncesink::config;

use crate::support::scenario::Scenario;

/// Columns of a table as somebody else may have named them.
const COLUMNS: [&str; 9] = [
    "it's",
    "back`tick",
    "back\\slash",
    "'; DROP TABLE x; --",
    "line\nbreak",
    "tab\there",
    "Größe 中文 😀",
    "{curly} %s $1 ?",
    "_has_late",
];

fn quoted(name: &str) -> String {
    let escaped = name.replace('\\', "\\\\").replace('`', "\\`").replace('\n', "\\n").replace('\t', "\\t");
    format!("`{escaped}`")
}

#[test]
fn columns_of_any_name_are_written_and_verified() {
    let mut scenario = Scenario::shared("names", 1);
    for name in COLUMNS {
        let (table, name) = (&scenario.table, quoted(name));
        scenario.servers.query(&format!("ALTER TABLE {table} ADD COLUMN {name} String"));
    }
    // Defaults that only the server can evaluate, one with a name of the worst kind.
    for (name, default) in [("late", "id * 2"), ("late`r\\'", "concat(`it's`, '\\'')")] {
        let (table, name) = (&scenario.table, quoted(name));
        let kind = if default.starts_with("id") { "UInt64" } else { "String" };
        scenario.servers.query(&format!("ALTER TABLE {table} ADD COLUMN {name} {kind} DEFAULT {default}"));
    }
    let record = |id: u64, all: bool| {
        let mut record =
            serde_json::json!({ "id": id, "sensor": "'; DROP TABLE x; --", "temp": 1.5, "note": "it's `\\ \n" });
        let fields = record.as_object_mut().unwrap();
        for name in COLUMNS {
            fields.insert(name.to_owned(), format!("value of {name}").into());
        }
        if all {
            fields.insert("late".to_owned(), 7.into());
            fields.insert("late`r\\'".to_owned(), "given".into());
        }
        record.to_string()
    };
    let payloads: Vec<(i32, String)> =
        (0..20).map(|id| (0, record(id, id % 2 == 0))).chain([(0, "{'; DROP TABLE".to_owned())]).collect();
    scenario.produce_payloads(&payloads);
    let mut connector = scenario.start("a");
    scenario.wait_until_done();
    assert_eq!(connector.terminate(), Some(0));
    scenario.assert_exactly_once();
    let (code, text) = scenario.run(&["verify", "--contents"]);
    assert_eq!(code, 0, "{text}");
    for name in COLUMNS {
        let (table, name) = (&scenario.table, quoted(name));
        let different = scenario.servers.query(&format!("SELECT uniqExact({name}), count() FROM {table}"));
        assert_eq!(different, "1\t20\n", "{name}");
    }
    let late = scenario.servers.query(&format!(
        "SELECT countIf(late = 7), countIf(late = id * 2), countIf({0} = 'given'), countIf({0} = concat(`it's`, '\\'')) \
         FROM {1} WHERE id != 7",
        quoted("late`r\\'"),
        scenario.table
    ));
    assert_eq!(late, "10\t9\t10\t9\n");
}

#[test]
fn names_of_the_configuration_cannot_leave_their_quotes() {
    let file = |key: &str, name: &str| {
        let mut text = String::new();
        let value = |wanted: &str, plain: &str| {
            if wanted == key { serde_json::to_string(name).unwrap() } else { plain.to_owned() }
        };
        text.push_str(&format!(
            "name: {}\ninstance: {}\nkafka: {{ brokers: \"k:9092\" }}\nclickhouse: {{ url: \"http://c:8123\", user: u }}\n\
             state_database: {}\nalerts: {{ topic: {} }}\ntopics:\n  - topic: {}\n    table: {}\n    \
             coordinates: {{ topic: {}, partition: {}, offset: {}, replay: {} }}\n",
            value("name", "n"),
            value("instance", "i"),
            value("state_database", "s"),
            value("alerts", "a"),
            value("topic", "t"),
            value("table", "d.t"),
            value("coordinates.topic", "_topic"),
            value("coordinates.partition", "_partition"),
            value("coordinates.offset", "_offset"),
            value("coordinates.replay", "_replay"),
        ));
        text
    };
    let keys = [
        "name",
        "instance",
        "state_database",
        "alerts",
        "topic",
        "table",
        "coordinates.topic",
        "coordinates.partition",
        "coordinates.offset",
        "coordinates.replay",
    ];
    let names = [
        "a'b",
        "a\"b",
        "a`b",
        "a\\b",
        "a;b",
        "a b",
        "a\nb",
        "a\rb",
        "a\tb",
        "a\u{0}b",
        "a--b'",
        "a/*b",
        "a)b",
        "a,b",
        "Größe",
        "\u{202e}a",
        "a\u{200b}b",
        "a%27b",
        "",
        " ",
        "a/b",
        "../a",
        "a$b",
        "a{b}",
        "a=b",
    ];
    for key in keys {
        let good = file(key, if key == "table" { "d.t-2" } else { "x_1-2" });
        assert!(config::parse("x.yaml", &good, &|_| None).is_ok(), "{good}");
        for name in names {
            let errors = match config::parse("x.yaml", &file(key, name), &|_| None) {
                Err(errors) => errors.to_string(),
                Ok(settings) => panic!("{key} takes {name:?}: {settings:?}"),
            };
            assert!(errors.contains("x.yaml:"), "{errors}");
        }
    }
}
