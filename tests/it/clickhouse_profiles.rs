//! Whatever a profile sets, our statements do the same, or the setting is named.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use devstack::http::Client;
use devstack::{Engine, EngineOptions};
use oncesink::clickhouse::{
    ConstantDefault, Server, Session, Table, TableName, ensure_state_tables, missing_state_tables, preflight,
    structures,
};
use oncesink::insert::{Body, Condition, InputColumn, Insert, InsertRequest, Outcome, RowBinary, ServerDefault};
use oncesink::ledger::{audit, stored_facts};
use oncesink::ownership::{LookFrom, drain, known_routes, look};
use oncesink::types::{Offset, Partition, Replay};

use crate::clickhouse_fixture::{Fixture, LEDGER_RETENTION, expected, range, settings};
use crate::support::scenario::{Scenario, Servers};

/// Settings that broke a statement of ours, each at a value that a profile may have.
const BREAKING: &[(&str, &str)] = &[
    ("data_type_default_nullable", "1"),
    ("force_primary_key", "1"),
    ("force_index_by_date", "1"),
    ("format_binary_max_string_size", "1"),
    ("implicit_transaction", "1"),
    ("max_ast_depth", "1"),
    ("max_ast_elements", "1"),
    ("max_bytes_in_set", "1"),
    ("max_columns_to_read", "1"),
    ("max_expanded_ast_elements", "1"),
    ("max_parser_backtracks", "1"),
    ("max_parser_depth", "1"),
    ("max_query_size", "1"),
    ("max_rows_in_set", "1"),
    ("max_subquery_depth", "1"),
    ("max_temporary_columns", "1"),
    ("max_temporary_non_const_columns", "1"),
    ("output_format_binary_encode_types_in_binary_format", "1"),
    ("prefer_column_name_to_alias", "1"),
    ("query_plan_optimize_join_order_algorithm", "dphyp"),
];

/// Settings that make servers fail by chance, or that are of tests and fuzzing only.
const OF_CHANCE: [&str; 6] = ["fault", "fuzz", "injection", "debug", "unsafe", "throw_if_"];

/// These refuse or slow down what the user wants to be refused or slow, and the server's answer says so: memory, disks,
/// bandwidth, changes of any kind.
const MEANT: [&str; 6] =
    ["max_memory_usage", "allow_ddl", "readonly", "min_free_disk", "bandwidth", "merge_tree_coarse_index_granularity"];

/// Codes that speak against the value of a setting itself.
const OF_VALUES: [u32; 12] = [6, 26, 27, 36, 38, 69, 70, 72, 115, 164, 393, 452];

fn with_profile(url: &str, profile: &[(String, String)]) -> String {
    let mut text = format!("{url}/profile/");
    for (number, (name, value)) in profile.iter().enumerate() {
        let separator = if number == 0 { "" } else { "&" };
        write!(text, "{separator}{name}={}", encoded(value)).unwrap();
    }
    text
}

fn encoded(value: &str) -> String {
    value.bytes().fold(String::new(), |mut text, byte| {
        if byte.is_ascii_alphanumeric() || b"-._".contains(&byte) {
            text.push(char::from(byte));
        } else {
            write!(text, "%{byte:02X}").unwrap();
        }
        text
    })
}

/// One statement of each kind of ours, with what it has to come to.
async fn every_kind(url: &str, profile: &[(String, String)]) {
    let plain = Client::new(url);
    let fixture = Fixture::without_tables(&with_profile(url, profile)).await;
    let (session, lane) = (&fixture.session, &fixture.lane);
    ensure_state_tables(session, &lane.state, LEDGER_RETENTION, true).await.unwrap();
    assert_eq!(missing_state_tables(session, &lane.state, LEDGER_RETENTION).await.unwrap(), Vec::<String>::new());
    let types = |url: &Client| {
        let question = format!(
            "SELECT groupArray((table, name, type)) FROM (SELECT table, name, type FROM system.columns \
             WHERE database = '{}' ORDER BY table, name)",
            lane.state.database
        );
        url.query(&question).unwrap()
    };
    assert!(!types(&plain).contains("_replay', 'Nullable"), "{}", types(&plain));
    let target = lane.cell.target.quoted();
    plain
        .query(&format!(
            "CREATE TABLE {target} (_topic LowCardinality(String), _partition Int32, _offset UInt64, _replay UInt32, \
             v String, INDEX offset_minmax _offset TYPE minmax GRANULARITY 1) ENGINE = MergeTree ORDER BY v"
        ))
        .unwrap();
    let claims = fixture.claims(&[0, 1]).await;
    let table = Table::read(session, &lane.cell.target).await.unwrap().unwrap();
    assert_eq!(table.columns.len(), 5);
    assert!(table.columns_with_ttl(session).await.unwrap().is_empty());
    assert_eq!(structures(session, &[&lane.cell.target]).await.unwrap()[&lane.cell.target], table.structure);
    let conditions = vec![
        Condition::presence_of_rows(lane, &[expected(0, range(0, 3), 0)]).unwrap(),
        Condition::structure(&table.name, table.structure),
    ];
    let rows: Vec<(i32, u64)> = (0..300).map(|offset| (0, offset)).collect();
    let request = fixture.request(&claims, &rows, conditions);
    assert_eq!(session.server().insert(request).await, Outcome::Acknowledged);
    let parts = format!("SELECT count() FROM system.parts WHERE active AND database = '{}'", lane.cell.target.database);
    assert_eq!(plain.query(&parts).unwrap(), "1\n");
    let dead = format!(
        "INSERT INTO {} (cluster, connector, target, kafka_topic_name, kafka_partition, kafka_offset, replay) \
         VALUES ('cluster', '{}', '{}', 'it\\'s a topic', 0, 300, 0)",
        lane.state.dead_letters().quoted(),
        lane.cell.connector,
        lane.cell.target
    );
    plain.query(&dead).unwrap();
    let mut row = fixture.ledger_row(0, claims[&Partition(0)], range(0, 301), 300);
    row.dead = oncesink::types::RecordCount(1);
    assert_eq!(fixture.write_ledger(&claims, &[row]).await, Outcome::Acknowledged);
    let from = LookFrom { partition: Partition(0), replay: Replay(0), from: Offset::new(0) };
    let found = look(session, lane, &[from]).await.unwrap();
    let presence = &found.presence[&lane.key(Partition(0))];
    assert_eq!(*presence.rows.numbers(), [range(0, 300)].into_iter().collect());
    assert_eq!(presence.dead, [range(300, 301)].into_iter().collect());
    assert_eq!(drain(session, &fixture.writer.prefix, Duration::from_secs(5)).await.unwrap(), 0);
    let facts = stored_facts(session, lane, &[Partition(0)], true).await.unwrap();
    let facts = &facts[&lane.key(Partition(0))];
    assert_eq!((facts.missing, facts.covered.clone()), (None, [range(0, 301)].into_iter().collect()));
    let audited = audit(session, lane, &[Partition(0)], &[], &mut |_| 0).await.unwrap();
    assert!(audited.len() == 1 && !audited[0].differs(), "{audited:?}");
    assert!(known_routes(session, lane).await.unwrap().is_empty());
    preflight(session, lane, "default").await.unwrap();
    every_type(&plain, &fixture, &claims).await;
    plain.query(&format!("DROP DATABASE {}", lane.cell.target.database)).unwrap();
    plain.query(&format!("DROP DATABASE {}", lane.state.database)).unwrap();
}

/// A block with columns that the server converts and fills.
async fn every_type(plain: &Client, fixture: &Fixture, claims: &BTreeMap<Partition, oncesink::types::Claim>) {
    let table = TableName::new(&fixture.lane.cell.target.database, "typed");
    let columns = "a UInt32, n Nullable(String), l LowCardinality(Nullable(String)), d Decimal(9, 2), t DateTime64(3, 'UTC'), \
                   j JSON, m Map(String, Array(UInt8)), b UInt32 DEFAULT a * 2, c String DEFAULT concat('x', toString(b)), \
                   k Float64 DEFAULT nan, e Enum8('p' = 1, 'q' = 2) DEFAULT 'q', s FixedString(3) DEFAULT 'ab'";
    plain.query(&format!("CREATE TABLE {} ({columns}) ENGINE = MergeTree ORDER BY a", table.quoted())).unwrap();
    let read = Table::read(&fixture.session, &table).await.unwrap().unwrap();
    for (column, bytes) in [("k", f64::NAN.to_le_bytes().to_vec()), ("e", vec![2]), ("s", b"ab\0".to_vec())] {
        let default = read.column(column).unwrap().constant_default(&fixture.session).await.unwrap();
        assert_eq!(default, ConstantDefault::Value(bytes), "{column}");
    }
    let column = |name: &str, kind: &str, default: bool| InputColumn {
        name: name.to_owned(),
        kind: kind.to_owned(),
        conversion: (name == "j").then(|| "CAST(`j`, 'JSON')".to_owned()),
        default: default.then(|| ServerDefault {
            presence: format!("_has_{name}"),
            expression: read.column(name).unwrap().default_value(),
        }),
    };
    let columns = [
        column("a", "UInt32", false),
        column("n", "Nullable(String)", false),
        column("l", "LowCardinality(Nullable(String))", false),
        column("d", "Decimal(9, 2)", false),
        column("t", "DateTime64(3, 'UTC')", false),
        column("j", "String", false),
        column("b", "UInt32", true),
        column("c", "String", true),
    ];
    let mut body = RowBinary::new();
    for (a, present) in [(1_u32, true), (2, false), (3, true)] {
        body.u32(a);
        body.bool(!present);
        if present {
            body.string("n");
        }
        body.bool(true);
        body.i32(1234);
        body.u64(1_700_000_000_123);
        body.string(r#"{"x":{"y":5}}"#);
        body.u32(7);
        body.bool(present);
        body.string("c");
        body.bool(false);
    }
    let request = InsertRequest::new(
        fixture.session.pins(),
        &fixture.writer,
        Insert {
            lane: &fixture.lane,
            table: &table,
            role: "target",
            claims,
            block: fixture.next_block(),
            columns: &columns,
            computed: &[],
            conditions: Vec::new(),
            rows: 3,
            body: Body::RowBinary(body),
        },
    );
    assert_eq!(fixture.session.server().insert(request).await, Outcome::Acknowledged);
    let stored = plain
        .query(&format!(
            "SELECT a, n, l, d, toUnixTimestamp64Milli(t), j.x.y, m, b, c, k, e, hex(s) FROM {} ORDER BY a FORMAT CSV",
            table.quoted()
        ))
        .unwrap();
    let rest = |b: u32| format!("\\N,12.34,1700000000123,5,\"{{}}\",{b},\"x{b}\",nan,\"q\",\"616200\"\n");
    assert_eq!(stored, format!("1,\"n\",{}2,\\N,{}3,\"n\",{}", rest(7), rest(4), rest(7)));
}

/// What breaks under a profile, or nothing.
fn broken(url: &str, profile: &[(String, String)], verify: Option<&Scenario>) -> Option<String> {
    let run = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(every_kind(url, profile));
    };
    if let Err(panic) = std::panic::catch_unwind(AssertUnwindSafe(run)) {
        let text = panic.downcast_ref::<String>().cloned();
        return Some(text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default());
    }
    let scenario = verify?;
    let config = scenario.config("command").replace(url, &with_profile(url, profile));
    let path = scenario.folder.path().join("profile.yaml");
    std::fs::write(&path, config).unwrap();
    for command in [vec!["verify", "--complete", "--contents"], vec!["check", "--connect"]] {
        let (code, text) =
            crate::support::connector::oncesink(&[command.clone(), vec!["--config", path.to_str().unwrap()]].concat());
        if code != 0 {
            return Some(format!("{command:?}: {text}"));
        }
    }
    None
}

fn owned(profile: &[(&str, &str)]) -> Vec<(String, String)> {
    profile.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// Records that a connector has stored on this engine.
fn stored_scenario(engine: &Engine, profile: &[(String, String)]) -> Scenario {
    let stack = devstack::Stack::shared().unwrap();
    let mut scenario = Scenario::new(Servers::plain(stack.bootstrap(), engine.url()), "profiles", 2);
    scenario.servers.query(&format!("ALTER TABLE {} ADD COLUMN twice UInt64 DEFAULT id * 2", scenario.table));
    scenario.clickhouse_through = Some(with_profile(engine.url(), profile));
    scenario.produce(2_000);
    scenario.produce_payloads(&[(0, "no json"), (1, "neither")]);
    let mut connector = scenario.start("a");
    scenario.wait_until_done();
    assert_eq!(connector.terminate(), Some(0), "{}", connector.log());
    scenario.assert_exactly_once();
    scenario.clickhouse_through = None;
    scenario
}

/// All settings that ever broke something, at once.
#[test]
fn no_setting_of_a_profile_changes_what_statements_do() {
    let engine = Engine::start(&EngineOptions::default()).unwrap();
    let breaking = owned(BREAKING);
    let scenario = stored_scenario(&engine, &breaking);
    assert_eq!(broken(engine.url(), &breaking, Some(&scenario)), None);
}

/// Every setting of the server at plausible other values, many at once; where something breaks, by halves. Takes many
/// minutes: `make profiles`.
#[test]
fn no_setting_at_all_changes_what_statements_do() {
    if std::env::var_os("PROFILE_SWEEP").is_none() {
        return;
    }
    let engine = Engine::start(&EngineOptions::default()).unwrap();
    let scenario = std::env::var_os("KAFKA_BROKERS").is_none().then(|| stored_scenario(&engine, &[]));
    std::panic::set_hook(Box::new(|_| {}));
    let url = engine.url();
    let mut rounds: Vec<Vec<(String, String)>> = Vec::new();
    for (name, values) in alternatives(&engine) {
        for (round, value) in values.into_iter().enumerate() {
            if rounds.len() <= round {
                rounds.push(Vec::new());
            }
            rounds[round].push((name.clone(), value));
        }
    }
    let mut found = Vec::new();
    let counts: Vec<usize> = rounds.iter().map(Vec::len).collect();
    println!("settings with at least so many other values: {counts:?}");
    for round in rounds {
        let mut open: Vec<Vec<(String, String)>> = round.chunks(48).map(<[_]>::to_vec).collect();
        while let Some(some) = open.pop() {
            let began = oncesink::clock::now();
            let pairs: Vec<(&str, &str)> = some.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            let reply = Client::new(url).post(&pairs, b"SELECT 1").unwrap();
            let settable = !reply.code.is_some_and(|code| OF_VALUES.contains(&code));
            let outcome = if settable { broken(url, &some, scenario.as_ref()) } else { Some(String::new()) };
            if began.elapsed() > Duration::from_secs(10) {
                println!("slow: {some:?}");
            }
            let Some(reason) = outcome else { continue };
            if let [(name, value)] = some.as_slice() {
                if settable {
                    println!("{name} = {value:?}: {}", reason.chars().take(300).collect::<String>().replace('\n', " "));
                    found.push(name.clone());
                }
                continue;
            }
            let (left, right) = some.split_at(some.len() / 2);
            open.extend([left.to_vec(), right.to_vec()]);
        }
    }
    drop(std::panic::take_hook());
    assert!(found.is_empty(), "{found:?}");
}

fn alternatives(engine: &Engine) -> Vec<(String, Vec<String>)> {
    let question = "SELECT name, type, value FROM system.settings WHERE NOT readonly AND NOT is_obsolete AND alias_for = '' \
                    AND tier != 'PrivatePreview' FORMAT JSONCompactEachRow";
    let text = engine.query(question).unwrap();
    let mut all = Vec::new();
    for line in text.lines() {
        let (name, kind, value): (String, String, String) = serde_json::from_str(line).unwrap();
        if OF_CHANCE.iter().any(|part| name.contains(part)) || MEANT.iter().any(|part| name.contains(part)) {
            continue;
        }
        let numbers: &[&str] = &["1", "0", "1000000000"];
        let candidates: Vec<String> = match kind.as_str() {
            "Bool" | "BoolAuto" => vec!["1".to_owned(), "0".to_owned()],
            "Float" | "Double" | "FloatAuto" => vec!["0.5".to_owned(), "0".to_owned()],
            "UInt64" | "Int64" | "Int32" | "NonZeroUInt64" | "UInt64Auto" | "MaxThreads" | "Seconds"
            | "Milliseconds" => numbers.iter().map(|number| (*number).to_owned()).collect(),
            "String" | "Map" | "Char" | "URI" => Vec::new(),
            _ => {
                // A wrong word is answered with the right ones.
                let error = engine.query(&format!("SET {name} = 'no such word'")).unwrap_err().to_string();
                let words =
                    error.split_once('[').and_then(|(_, rest)| rest.split_once(']')).map_or("", |(words, _)| words);
                words
                    .split(',')
                    .map(|word| word.trim().trim_matches('\'').to_owned())
                    .filter(|word| !word.is_empty())
                    .collect()
            }
        };
        // So many threads the machine does not have.
        let is_too_much = |other: &String| name.contains("threads") && other.len() > 3;
        let candidates: Vec<String> =
            candidates.into_iter().filter(|other| *other != value && !is_too_much(other)).collect();
        if !candidates.is_empty() {
            all.push((name, candidates));
        }
    }
    all
}

/// A server that is told nothing has nothing to overrule.
#[tokio::test]
async fn a_plain_profile_needs_few_pins() {
    let url = crate::clickhouse_fixture::url();
    let session = Session::open(Server::new(&settings(&url)).unwrap()).await.unwrap();
    assert!(session.pins().control().len() < 30, "{:?}", session.pins().control());
}
