//! State tables are made once, kept, and refused when they are not ours.

use oncesink::clickhouse::ensure_state_tables;

use crate::clickhouse_fixture::{Fixture, LEDGER_RETENTION, url};

#[tokio::test]
async fn state_tables_are_made_once_and_a_newer_version_is_refused() {
    let fixture = Fixture::without_tables(&url()).await;
    let state = &fixture.lane.state;
    let ensure = async |create| {
        ensure_state_tables(&fixture.session, state, LEDGER_RETENTION, create).await.map_err(|error| error.to_string())
    };
    let refused = ensure(false).await.unwrap_err();
    assert!(refused.contains("CREATE TABLE IF NOT EXISTS"), "{refused}");
    let (first, second) = tokio::join!(ensure(true), ensure(true));
    assert_eq!((first, second), (Ok(()), Ok(())));
    fixture.claims(&[0]).await;
    assert_eq!(ensure(true).await, Ok(()));
    assert_eq!(ensure(false).await, Ok(()));
    assert_eq!(fixture.count(&state.ownership().quoted()).await, 1);
    fixture.run(&format!("ALTER TABLE {} MODIFY COMMENT 'oncesink schema 2'", state.ledger().quoted())).await;
    let refused = ensure(true).await.unwrap_err();
    assert!(refused.contains("has schema 2"), "{refused}");
    fixture.finish().await;
}

#[tokio::test]
async fn tables_of_an_older_version_are_brought_up_to_date() {
    let fixture = Fixture::without_tables(&url()).await;
    let state = &fixture.lane.state;
    let ensure = async |create| {
        ensure_state_tables(&fixture.session, state, LEDGER_RETENTION, create).await.map_err(|error| error.to_string())
    };
    ensure(true).await.unwrap();
    fixture.claims(&[0]).await;
    let ownership = state.ownership().quoted();
    fixture.run(&format!("ALTER TABLE {ownership} DROP COLUMN routes, MODIFY COMMENT 'oncesink schema 1'")).await;
    let refused = ensure(false).await.unwrap_err();
    assert!(refused.contains("ADD COLUMN IF NOT EXISTS routes"), "{refused}");
    let (first, second) = tokio::join!(ensure(true), ensure(true));
    assert_eq!((first, second), (Ok(()), Ok(())));
    assert_eq!(ensure(false).await, Ok(()));
    fixture.claims(&[0]).await;
    assert_eq!(fixture.count(&format!("{ownership} WHERE routes = []")).await, 2);
    fixture.finish().await;
}
