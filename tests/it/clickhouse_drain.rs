//! A drain waits for the inserts that run, and for no others.

use std::time::Duration;

use oncesink::clickhouse::{ControlError, Session};
use oncesink::insert::{Outcome, Refusal};
use oncesink::ownership::{Drain, drain};

use crate::clickhouse_fixture::{Fixture, session, url};

const DEADLINE: Duration = Duration::from_secs(60);

/// Rows of the target go through a view that takes its time, after the fence was passed.
async fn slow_view(fixture: &Fixture) {
    let database = &fixture.lane.cell.target.database;
    fixture
        .run(&format!(
            "CREATE MATERIALIZED VIEW {database}.slow ENGINE = MergeTree ORDER BY o AS \
             SELECT _offset AS o, sleepEachRow(1) AS slept FROM {database}.target"
        ))
        .await;
}

async fn running(session: &Session, log_comment: &str) -> u64 {
    let counts: Vec<u64> = session
        .fetch(
            "testing",
            &format!("SELECT count() FROM system.processes WHERE startsWith(Settings['log_comment'], '{log_comment}')"),
        )
        .await
        .unwrap();
    counts[0]
}

async fn until_running(session: &Session, log_comment: &str, wanted: u64) {
    while running(session, log_comment).await != wanted {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn an_insert_that_passed_its_fence_is_waited_for() {
    let fixture = Fixture::new().await;
    slow_view(&fixture).await;
    let old = fixture.claims(&[0]).await;
    let request = fixture.request(&old, &[(0, 0), (0, 1)], Vec::new());
    let server = fixture.session.server().clone();
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(async move { server.insert(request).await });
    until_running(&fixture.session, fixture.writer.prefix.as_str(), 1).await;

    fixture.claims(&[0]).await;
    let waited_for = drain(&fixture.session, &fixture.writer.prefix, DEADLINE).await.unwrap();
    assert_eq!(waited_for, 1);
    // What the old claim wrote is there now, and nothing of it comes later.
    let database = &fixture.lane.cell.target.database;
    assert_eq!(fixture.target_rows().await, 2);
    assert_eq!(fixture.count(&format!("{database}.slow")).await, 2);
    let outcome = tasks.join_next().await.unwrap().unwrap();
    assert_eq!(outcome, Outcome::Acknowledged);
    assert_eq!(fixture.insert(&old, &[(0, 2)]).await, Outcome::Refused(Refusal::Fenced));
    assert_eq!(fixture.target_rows().await, 2);
    fixture.finish().await;
}

#[tokio::test]
async fn what_starts_later_is_not_waited_for() {
    let fixture = Fixture::new().await;
    slow_view(&fixture).await;
    let claims = fixture.claims(&[0, 1]).await;
    let prefix = &fixture.writer.prefix;
    let mut tasks = tokio::task::JoinSet::new();
    let send = |tasks: &mut tokio::task::JoinSet<Outcome>, rows: &[(i32, u64)]| {
        let request = fixture.request(&claims, rows, Vec::new());
        let server = fixture.session.server().clone();
        tasks.spawn(async move { server.insert(request).await });
    };
    send(&mut tasks, &[(0, 0)]);
    until_running(&fixture.session, prefix.as_str(), 1).await;
    let drain = Drain::begin(&fixture.session, prefix).await.unwrap();
    // Later, and it outlasts the first: the view sleeps a second for every row.
    send(&mut tasks, &[(1, 0), (1, 1), (1, 2)]);
    assert_eq!(drain.wait(DEADLINE).await.unwrap(), 1);
    until_running(&fixture.session, prefix.as_str(), 1).await;
    while let Some(outcome) = tasks.join_next().await {
        assert_eq!(outcome.unwrap(), Outcome::Acknowledged);
    }
    assert_eq!(fixture.target_rows().await, 4);
    fixture.finish().await;
}

#[tokio::test]
async fn other_connectors_are_not_waited_for_and_a_deadline_says_what_runs() {
    let fixture = Fixture::new().await;
    let stranger = session(&url()).await;
    let busy = format!("{}someone-else", fixture.writer.prefix.as_str());
    let mut tasks = tokio::task::JoinSet::new();
    {
        let (server, busy) = (stranger.server().clone(), busy.clone());
        // A select may carry our prefix too: the drain asks no query what it is.
        let statement =
            format!("SELECT sum(sleepEachRow(1)) FROM numbers(3) SETTINGS log_comment = '{busy}', max_block_size = 1");
        tasks.spawn(async move { server.execute("testing", &statement, &[]).await });
    }
    until_running(&fixture.session, &busy, 1).await;
    let other = oncesink::clickhouse::QueryPrefix::new("cluster", "somebody else");
    assert_eq!(drain(&fixture.session, &other, DEADLINE).await.unwrap(), 0);
    let error = drain(&fixture.session, &fixture.writer.prefix, Duration::from_millis(50)).await.unwrap_err();
    assert!(matches!(&error, ControlError::Deadline { why, .. } if why.contains("someone-else")), "{error}");
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap().unwrap();
    }
    assert_eq!(drain(&fixture.session, &fixture.writer.prefix, DEADLINE).await.unwrap(), 0);
    fixture.finish().await;
}
