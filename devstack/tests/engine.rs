//! The front against the engine: what a client of clickhouse-server relies on.

#![expect(clippy::unwrap_used, reason = "clippy knows tests, but not the functions that they share")]

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::LazyLock;
use std::thread;

use devstack::http::{Client, Reply};
use devstack::{Engine, EngineOptions, FaultAction, FaultWhen, PrivateCa};

static ENGINE: LazyLock<Engine> = LazyLock::new(|| Engine::start(&EngineOptions::default()).unwrap());

/// What a statement is answered with: HTTP status, exception code, and a text in the body.
fn check(params: &[(&str, &str)], body: &str, status: u16, code: Option<u32>, text: &str) {
    let reply = ENGINE.client().post(params, body.as_bytes()).unwrap();
    assert_eq!((reply.status, reply.code), (status, code), "{params:?} {body}\n{reply}");
    assert!(reply.text().contains(text), "{params:?} {body}\nexpected {text:?} in {reply}");
}

/// A table of its own for each test.
fn table(name: &str, columns: &str) {
    ENGINE.query(&format!("CREATE TABLE {name} ({columns}) ENGINE = MergeTree ORDER BY tuple()")).unwrap();
}

fn count(table: &str) -> String {
    ENGINE.query(&format!("SELECT count() FROM {table}")).unwrap().trim().to_owned()
}

/// The rows of a SELECT as one Native block.
fn native(select: &str) -> Vec<u8> {
    let reply = ENGINE.client().post(&[("default_format", "Native")], select.as_bytes()).unwrap();
    assert_eq!(reply.status, 200, "{reply}");
    reply.body
}

/// ClickHouse's compressed frames of at most `frame_bytes` each.
fn compressed(data: &[u8], frame_bytes: usize) -> Vec<u8> {
    let mut out = Vec::new();
    for part in data.chunks(frame_bytes) {
        let packed = lz4_flex::block::compress(part);
        let mut frame = vec![0x82];
        frame.extend(u32::try_from(packed.len() + 9).unwrap().to_le_bytes());
        frame.extend(u32::try_from(part.len()).unwrap().to_le_bytes());
        frame.extend(packed);
        out.extend(cityhash_rs::cityhash_102_128(&frame).rotate_right(64).to_le_bytes());
        out.extend(frame);
    }
    out
}

fn insert(sql: &str, body: &[u8]) -> Reply {
    ENGINE.client().post(&[("query", sql), ("decompress", "1")], body).unwrap()
}

#[test]
fn statements_are_answered_as_by_a_server() {
    table("statements", "a UInt64, b String");
    let insert = "INSERT INTO statements (a, b)";
    check(&[("query", "SELECT 1")], "", 200, None, "1\n");
    check(&[], "SELECT 1, 'x'", 200, None, "1\tx\n");
    check(&[("query", "SELECT")], " 1 + 1;", 200, None, "2\n");
    check(&[("default_format", "JSONEachRow")], "SELECT 1 AS one", 200, None, "{\"one\":1}\n");
    check(&[("param_x", "7")], "SELECT {x:UInt8} + 1", 200, None, "8\n");
    check(&[("database", "system")], "SELECT count() FROM one", 200, None, "1\n");
    check(&[("max_threads", "3")], "SELECT getSetting('max_threads')", 200, None, "3\n");
    check(
        &[("wait_end_of_query", "1")],
        "SELECT value FROM system.settings WHERE name = 'implicit_select'",
        200,
        None,
        "0",
    );
    check(&[("nonsense", "1")], "SELECT 1", 404, Some(115), "(UNKNOWN_SETTING) (version 26.9");
    check(&[], "SELECT * FROM nowhere", 404, Some(60), "Code: 60. DB::Exception: Unknown table expression");
    check(&[("database", "nowhere")], "SELECT 1", 404, Some(81), "Database nowhere does not exist. (UNKNOWN_DATABASE)");
    check(&[], "SELEKT 1", 400, Some(62), "failed at position 1 (SELEKT): SELEKT 1.");
    check(&[], "SELECT 1 +", 400, Some(62), "failed at position 11 (end of query)");
    check(&[], "SELECT 1; SELECT 2", 400, Some(62), "Multi-statements are not allowed");
    check(&[], " -- nothing", 400, Some(62), "Empty query");
    check(&[], "SELECT throwIf(1, 'no')", 500, Some(395), "(FUNCTION_THROW_IF_VALUE_IS_NON_ZERO)");
    check(&[], "SELECT 1 FORMAT Nonsense", 404, Some(73), "Code: 73. DB::Exception: Unknown format Nonsense");
    check(&[], &format!("{insert} VALUES (1, 'a;\n\nb'), (1 + 1, upper('c'));"), 200, None, "");
    check(&[("query", &format!("{insert} VALUES"))], "(3, 'd')", 200, None, "");
    check(&[], &format!("{insert} FORMAT JSONEachRow\n{{\"a\": 4, \"b\": \"e\"}}\n"), 200, None, "");
    check(&[("query", &format!("{insert} SETTINGS max_threads = 1 FORMAT CSV"))], "5,f", 200, None, "");
    check(&[], &format!("{insert} SELECT 6, 'FORMAT CSV'"), 200, None, "");
    check(&[("query", &format!("{insert} FORMAT CSV"))], "x,y", 400, Some(27), "Cannot parse input");
    check(&[("query", "INSERT INTO nowhere FORMAT CSV")], "1", 404, Some(60), "Table default.nowhere does not exist");
    let rows = "1\ta;\\n\\nb\n2\tC\n3\td\n4\te\n5\tf\n6\tFORMAT CSV\n";
    assert_eq!(ENGINE.query("SELECT * FROM statements ORDER BY a").unwrap(), rows);
}

#[test]
fn unknown_user_is_refused() {
    let reply = Client::new(ENGINE.url()).user("default", "wrong").post(&[], b"SELECT 1").unwrap();
    assert_eq!((reply.status, reply.code), (403, Some(516)), "{reply}");
    assert!(reply.text().starts_with("Code: 516. DB::Exception: default: Authentication failed"), "{reply}");
}

#[test]
fn compressed_native_insert_arrives_whole_or_not_at_all() {
    table("binary", "n UInt64, s LowCardinality(String), o Nullable(Int32)");
    let block = native(
        "SELECT number AS n, concat('\\n\\n', toString(number % 7)) AS s, NULL::Nullable(Int32) AS o FROM numbers(50000)",
    );
    let body = compressed(&block, 100_000);
    let sql = "INSERT INTO binary (n, s, o) FORMAT Native";

    let cut = insert(sql, &body[..body.len() - 1]);
    assert_eq!((cut.status, cut.code), (500, Some(32)), "{cut}");
    let mut flipped = body.clone();
    *flipped.last_mut().unwrap() ^= 1;
    let flipped = insert(sql, &flipped);
    assert_eq!((flipped.status, flipped.code), (500, Some(40)), "{flipped}");
    assert_eq!(count("binary"), "0");

    let whole = insert(sql, &body);
    assert_eq!((whole.status, whole.code), (200, None), "{whole}");
    assert!(whole.summary.as_ref().unwrap().contains("\"written_rows\":\"50000\""), "{whole:?}");
    assert_eq!(ENGINE.query("SELECT count(), sum(n), any(length(s)) FROM binary").unwrap(), "50000\t1249975000\t3\n");
}

#[test]
fn unfinished_request_inserts_nothing() {
    table("unfinished", "a UInt64");
    let head = "POST /?query=INSERT+INTO+unfinished+FORMAT+CSV HTTP/1.1\r\nHost: x\r\n";
    for rest in [
        "Content-Length: 4\r\n\r\n1\n2",
        "Transfer-Encoding: chunked\r\n\r\n2\r\n1\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n0\r\n",
    ] {
        let mut stream = TcpStream::connect(ENGINE.url().strip_prefix("http://").unwrap()).unwrap();
        stream.write_all(format!("{head}{rest}").as_bytes()).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut reply = String::new();
        stream.read_to_string(&mut reply).unwrap();
        assert_eq!((reply.as_str(), count("unfinished").as_str()), ("", "0"), "{rest}");
    }
}

/// The form of the connector's inserts; `mine` is the claim that it holds.
fn fenced(mine: u8) -> String {
    format!(
        r"INSERT INTO `fe nced` (`k ey`, `t`, `b`) SELECT `k ey`, `t`, if(_has_b, b, concat('input(', toString(`k ey`))) AS b
        FROM input('`k ey` Enum8(\'a\' = 1, \'b\'\'(c)\' = 2), `t` Tuple(x Array(String), `y z` Nullable(Decimal(9, 2))), `b` String, _has_b UInt8')
        WHERE throwIf(ifNull((SELECT countIf((topic, partition, newest) IN (('input', 0, {mine}))) FROM
            (SELECT topic, partition, max(claim) AS newest FROM claims WHERE topic = 'input' GROUP BY topic, partition)), 0)
            != 1, 'oncesink:fenced') = 0 FORMAT Native"
    )
}

#[test]
fn fenced_insert_is_refused_or_accepted_as_a_whole() {
    table(
        "`fe nced`",
        "`k ey` Enum8('a' = 1, 'b\\'(c)' = 2), t Tuple(x Array(String), `y z` Nullable(Decimal(9, 2))), b String",
    );
    table("claims", "topic String, partition Int32, claim UInt128");
    ENGINE.query("INSERT INTO claims VALUES ('input', 0, 1), ('input', 0, 2)").unwrap();
    let block = native(
        r"SELECT CAST(number % 2 + 1 AS Enum8('a' = 1, 'b\'(c)' = 2)) AS `k ey`,
        CAST((['x'], NULL), 'Tuple(x Array(String), `y z` Nullable(Decimal(9, 2)))') AS t,
        'present' AS b, toUInt8(number = 0) AS _has_b FROM numbers(3)",
    );
    let body = compressed(&block, 1 << 20);

    let refused = insert(&fenced(1), &body);
    assert_eq!((refused.status, refused.code), (500, Some(395)), "{refused}");
    assert!(refused.text().starts_with("Code: 395. DB::Exception: oncesink:fenced: while executing"), "{refused}");
    assert_eq!(count("`fe nced`"), "0");

    let accepted = insert(&fenced(2), &body);
    assert_eq!((accepted.status, accepted.code), (200, None), "{accepted}");
    assert!(accepted.summary.as_ref().unwrap().contains("\"written_rows\":\"3\""), "{accepted:?}");
    let rows = "a\tpresent\na\tinput(a\nb\\'(c)\tinput(b\\'(c)\n";
    assert_eq!(ENGINE.query("SELECT `k ey`, b FROM `fe nced` ORDER BY `k ey`, b DESC").unwrap(), rows);
}

#[test]
fn query_id_cannot_run_twice_at_once() {
    let held = ENGINE.fault("twice", FaultWhen::Before, &FaultAction::Hold).unwrap();
    let params = [("query_id", "one-and-only")];
    thread::scope(|scope| {
        let first = scope.spawn(|| ENGINE.client().post(&params, b"SELECT 'twice'").unwrap());
        held.wait_hit().unwrap();
        let second = ENGINE.client().post(&params, b"SELECT 'again'").unwrap();
        assert_eq!((second.status, second.code), (500, Some(216)), "{second}");
        assert_eq!(held.release().unwrap(), 1);
        assert_eq!(first.join().unwrap().text(), "twice\n");
    });
    check(&params, "SELECT 'again'", 200, None, "again");
}

#[test]
fn fault_switches_strike_where_they_say() {
    table("faulty", "a UInt64");
    for (when, rows) in [(FaultWhen::Before, "0"), (FaultWhen::After, "1")] {
        ENGINE.query("TRUNCATE TABLE faulty").unwrap();
        let dropped = ENGINE.fault("INTO faulty", when, &FaultAction::Drop).unwrap();
        assert!(ENGINE.query("INSERT INTO faulty VALUES (1)").is_err(), "{when:?}");
        assert_eq!((dropped.release().unwrap(), count("faulty").as_str()), (1, rows), "{when:?}");

        ENGINE.query("TRUNCATE TABLE faulty").unwrap();
        let action = FaultAction::Error { code: 241, text: "Memory limit exceeded. (MEMORY_LIMIT_EXCEEDED)".into() };
        let failed = ENGINE.fault("INTO faulty", when, &action).unwrap();
        check(&[], "INSERT INTO faulty VALUES (1)", 500, Some(241), "Code: 241. DB::Exception: Memory limit");
        assert_eq!((failed.release().unwrap(), count("faulty").as_str()), (1, rows), "{when:?}");
    }
}

#[test]
fn running_statement_is_listed_under_its_query_id_and_data_outlives_a_kill() {
    let options = EngineOptions {
        tls: Some(PrivateCa::new().unwrap()),
        users: vec![("sink".into(), "secret".into())],
        ..EngineOptions::default()
    };
    let engine = Engine::start(&options).unwrap();
    engine.query("CREATE TABLE kept (a UInt64) ENGINE = MergeTree ORDER BY a").unwrap();
    engine.query("INSERT INTO kept VALUES (1)").unwrap();
    let params = [("query_id", "oncesink-1/*x*/"), ("log_comment", "mine")];
    let endless = b"INSERT INTO kept SELECT sleepEachRow(1) FROM numbers(60) SETTINGS max_block_size = 1";
    thread::scope(|scope| {
        let running = scope.spawn(|| engine.client().post(&params, endless));
        let listed = "SELECT count() FROM system.processes p WHERE startsWith(p.query_id, 'oncesink-1/*x') \
            AND p.Settings['log_comment'] = 'mine' AND startsWith(query, 'INSERT INTO kept')";
        while engine.query(listed).unwrap() != "1\n" {
            assert!(!running.is_finished(), "the statement ended");
            thread::yield_now();
        }
        engine.kill9();
        assert!(running.join().unwrap().is_err());
    });
    engine.restart().unwrap();
    assert_eq!(engine.query("SELECT a FROM kept").unwrap(), "1\n");
    engine.stop().unwrap();
}
