//! A drain waits for the inserts that run, and for no others.

use std::time::Duration;

use oncesink::clickhouse::{ControlError, QueryPrefix, Session};
use oncesink::insert::{Outcome, Refusal};
use oncesink::ownership::{Drain, drain};
use tokio::task::JoinSet;

use crate::clickhouse_fixture::Fixture;

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

/// Waits for a query to be listed; it may not come because it has ended already, and then this says so.
async fn until_running(session: &Session, log_comment: &str) {
    let wait = async {
        while running(session, log_comment).await == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(DEADLINE, wait).await.expect("a query is listed while it runs");
}

/// Starts a query that runs for minutes under this log comment. A select will do: the drain asks no query what it is.
async fn start_endless(tasks: &mut JoinSet<Result<(), ControlError>>, session: &Session, log_comment: &str) {
    let server = session.server().clone();
    let statement = format!(
        "SELECT sum(sleepEachRow(1)) FROM numbers(600) \
         SETTINGS log_comment = '{log_comment}', max_block_size = 1, function_sleep_max_microseconds_per_block = 0"
    );
    tasks.spawn(async move { server.execute("testing", &statement, &[]).await });
    until_running(session, log_comment).await;
}

async fn end(tasks: &mut JoinSet<Result<(), ControlError>>, session: &Session, log_comment: &str) {
    let kill = format!("KILL QUERY WHERE Settings['log_comment'] = '{log_comment}' SYNC");
    session.execute("testing", &kill).await.unwrap();
    tasks.join_next().await.unwrap().unwrap().unwrap_err();
}

#[tokio::test]
async fn an_insert_that_passed_its_fence_is_waited_for() {
    let fixture = Fixture::new().await;
    slow_view(&fixture).await;
    let old = fixture.claims(&[0]).await;
    let request = fixture.request(&old, &[(0, 0), (0, 1), (0, 2)], Vec::new());
    let server = fixture.session.server().clone();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { server.insert(request).await });
    until_running(&fixture.session, fixture.writer.prefix.as_str()).await;

    fixture.claims(&[0]).await;
    let waited_for = drain(&fixture.session, &fixture.writer.prefix, DEADLINE).await.unwrap();
    assert_eq!(waited_for, 1);
    // What the old claim wrote is there now, and nothing of it comes later.
    let database = &fixture.lane.cell.target.database;
    assert_eq!(fixture.target_rows().await, 3);
    assert_eq!(fixture.count(&format!("{database}.slow")).await, 3);
    let outcome = tasks.join_next().await.unwrap().unwrap();
    assert_eq!(outcome, Outcome::Acknowledged);
    assert_eq!(fixture.insert(&old, &[(0, 3)]).await, Outcome::Refused(Refusal::Fenced));
    assert_eq!(fixture.target_rows().await, 3);
    fixture.finish().await;
}

#[tokio::test]
async fn what_starts_later_is_not_waited_for() {
    let fixture = Fixture::new().await;
    slow_view(&fixture).await;
    let claims = fixture.claims(&[0]).await;
    let prefix = &fixture.writer.prefix;
    let request = fixture.request(&claims, &[(0, 0), (0, 1), (0, 2)], Vec::new());
    let server = fixture.session.server().clone();
    let mut inserts = JoinSet::new();
    inserts.spawn(async move { server.insert(request).await });
    until_running(&fixture.session, prefix.as_str()).await;
    let drain = Drain::begin(&fixture.session, prefix).await.unwrap();
    let later = format!("{}later", prefix.as_str());
    let mut tasks = JoinSet::new();
    start_endless(&mut tasks, &fixture.session, &later).await;
    assert_eq!(drain.wait(DEADLINE).await.unwrap(), 1);
    assert_eq!(fixture.target_rows().await, 3);
    assert_eq!(running(&fixture.session, prefix.as_str()).await, 1);
    assert_eq!(inserts.join_next().await.unwrap().unwrap(), Outcome::Acknowledged);
    end(&mut tasks, &fixture.session, &later).await;
    fixture.finish().await;
}

#[tokio::test]
async fn other_connectors_are_not_waited_for_and_a_deadline_says_what_runs() {
    let fixture = Fixture::new().await;
    let busy = format!("{}someone-else", fixture.writer.prefix.as_str());
    let mut tasks = JoinSet::new();
    start_endless(&mut tasks, &fixture.session, &busy).await;
    let other = QueryPrefix::new("cluster", "somebody else");
    assert_eq!(drain(&fixture.session, &other, DEADLINE).await.unwrap(), 0);
    let error = drain(&fixture.session, &fixture.writer.prefix, Duration::from_millis(50)).await.unwrap_err();
    assert!(matches!(&error, ControlError::Deadline { why, .. } if why.contains("someone-else")), "{error}");
    end(&mut tasks, &fixture.session, &busy).await;
    assert_eq!(drain(&fixture.session, &fixture.writer.prefix, DEADLINE).await.unwrap(), 0);
    fixture.finish().await;
}
