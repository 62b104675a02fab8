//! The target is described as it is, and defaults are filled in by the server where only it can.

use std::time::Duration;

use oncesink::clickhouse::{
    ConstantDefault, ControlError, Server, Session, Severity, Table, TableName, Verdict, preflight,
};
use oncesink::insert::{Body, InputColumn, Insert, InsertRequest, Outcome, RowBinary, ServerDefault};

use crate::clickhouse_fixture::{Fixture, settings};

#[tokio::test]
async fn a_table_is_read_whole() {
    let fixture = Fixture::new().await;
    let database = &fixture.lane.cell.target.database;
    fixture
        .run(&format!(
            "CREATE TABLE {database}.described (_offset UInt64, at DateTime, a UInt8 DEFAULT 5, b String DEFAULT concat('x', toString(a)), \
             c Nullable(UInt8) DEFAULT NULL, d DateTime DEFAULT now(), e UInt8 MATERIALIZED a, f UInt8 ALIAS a, \
             g Array(UInt8) DEFAULT [1, 2], INDEX i _offset TYPE minmax) \
             ENGINE = ReplacingMergeTree(_offset) PARTITION BY a ORDER BY (a, at) TTL at + INTERVAL 1 YEAR"
        ))
        .await;
    fixture
        .run(&format!(
            "CREATE MATERIALIZED VIEW {database}.view ENGINE = MergeTree ORDER BY a AS SELECT a FROM {database}.described"
        ))
        .await;
    let table = Table::read(&fixture.session, &TableName::new(database, "described")).await.unwrap().unwrap();
    assert_eq!(table.engine, "ReplacingMergeTree");
    assert!(!table.uuid.is_nil());
    assert_eq!((table.partition_key.as_str(), table.sorting_key.as_str()), ("a", "a, at"));
    assert!(table.has_row_ttl());
    assert!(!table.rows_countable());
    assert!(table.has_offset_index(&fixture.lane.coordinates));
    assert_eq!(table.dependents, [TableName::new(database, "view")]);
    assert!(matches!(table.verdict(&fixture.lane.coordinates), Verdict::Conditional { .. }));
    let value = |bytes: &[u8]| ConstantDefault::Value(bytes.to_vec());
    for (column, expected) in [
        ("a", value(&[5])),
        ("b", ConstantDefault::NotConstant),
        ("c", value(&[1])),
        ("d", ConstantDefault::NotConstant),
        ("e", ConstantDefault::NotConstant),
        ("g", value(&[2, 1, 2])),
    ] {
        let default = table.column(column).unwrap().constant_default(&fixture.session).await.unwrap();
        assert_eq!(default, expected, "{column}");
    }
    let absent = Table::read(&fixture.session, &TableName::new(database, "absent")).await;
    assert_eq!(absent.unwrap(), None);
    fixture.finish().await;
}

#[tokio::test]
async fn the_server_fills_a_default_in_where_a_record_has_no_value() {
    let fixture = Fixture::new().await;
    let claims = fixture.claims(&[0]).await;
    let table = TableName::new(&fixture.lane.cell.target.database, "defaults");
    fixture
        .run(&format!(
            "CREATE TABLE {} (a UInt32, b UInt32 DEFAULT a * 2, c UInt32 DEFAULT b + 1) ENGINE = MergeTree ORDER BY a",
            table.quoted()
        ))
        .await;
    let column = |name: &str, default: Option<&str>| InputColumn {
        name: name.to_owned(),
        kind: "UInt32".to_owned(),
        conversion: None,
        default: default
            .map(|expression| ServerDefault { presence: format!("_has_{name}"), expression: expression.to_owned() }),
    };
    let mut body = RowBinary::new();
    for (a, b, c) in [(1, Some(7), Some(9)), (2, None, None), (3, Some(0), None)] {
        body.u32(a);
        for value in [b, c] {
            body.u32(value.unwrap_or(0));
            body.bool(value.is_some());
        }
    }
    let request = InsertRequest::new(
        fixture.session.pins(),
        &fixture.writer,
        Insert {
            lane: &fixture.lane,
            table: &table,
            role: "target",
            claims: &claims,
            block: fixture.next_block(),
            columns: &[column("a", None), column("b", Some("a * 2")), column("c", Some("b + 1"))],
            computed: &[],
            conditions: Vec::new(),
            rows: 3,
            body: Body::RowBinary(body),
        },
    );
    let outcome = fixture.session.server().insert(request).await;
    assert_eq!(outcome, Outcome::Acknowledged);
    let rows: Vec<(u32, u32, u32)> =
        fixture.session.fetch("testing", &format!("SELECT a, b, c FROM {} ORDER BY a", table.quoted())).await.unwrap();
    assert_eq!(rows, [(1, 7, 9), (2, 4, 5), (3, 0, 1)]);
    fixture.finish().await;
}

#[tokio::test]
async fn a_good_target_has_no_errors_and_a_bad_one_is_named() {
    let fixture = Fixture::new().await;
    let errors = async |fixture: &Fixture| -> Vec<String> {
        preflight(&fixture.session, &fixture.lane, "default")
            .await
            .unwrap()
            .into_iter()
            .filter(|finding| finding.severity == Severity::Error)
            .map(|finding| finding.to_string())
            .collect()
    };
    assert_eq!(errors(&fixture).await, Vec::<String>::new());
    let target = fixture.lane.cell.target.quoted();
    fixture.run(&format!("DROP TABLE {target}")).await;
    let found = errors(&fixture).await;
    assert!(found.iter().any(|text| text.contains("is not there")), "{found:?}");
    fixture.run(&format!("CREATE TABLE {target} (k UInt8, n UInt64) ENGINE = SummingMergeTree ORDER BY k")).await;
    let found = errors(&fixture).await;
    assert!(found.iter().any(|text| text.contains("SummingMergeTree")), "{found:?}");
    assert!(found.iter().any(|text| text.contains("ADD COLUMN `_offset` UInt64")), "{found:?}");
    fixture.finish().await;
}

#[tokio::test]
async fn nobody_listening_is_unreachable() {
    // A port that was free a moment ago and is bound by nobody.
    let port = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    let mut settings = settings(&format!("http://127.0.0.1:{port}"));
    settings.connect_timeout = Duration::from_secs(1);
    let error = Session::open(Server::new(&settings).unwrap()).await.unwrap_err();
    assert!(matches!(error, ControlError::Unreachable { .. }), "{error}");
}
