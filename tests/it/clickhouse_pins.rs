//! A profile that would let rows vanish is overruled, and one that cannot be is named.

use devstack::{Engine, EngineOptions};
use oncesink::clickhouse::{Server, Session};
use oncesink::insert::Outcome;

use crate::clickhouse_fixture::{Fixture, settings};

/// An engine whose default profile holds these elements.
fn engine(folder: &std::path::Path, profile: &str) -> Engine {
    let users = folder.join("users.xml");
    std::fs::write(
        &users,
        format!(
            "<clickhouse><profiles><default>{profile}</default></profiles>\
             <users><default><password></password><networks><ip>::/0</ip></networks><profile>default</profile>\
             <quota>default</quota></default></users><quotas><default></default></quotas></clickhouse>"
        ),
    )
    .unwrap();
    Engine::start(&EngineOptions {
        config_xml: Some(format!("<users_config>{}</users_config>", users.display())),
        ..EngineOptions::default()
    })
    .unwrap()
}

/// (F1), (F2), (F8): each of these makes a fence pass, an insert lose rows or a look fall short.
#[tokio::test]
async fn a_hostile_profile_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let engine = engine(
        folder.path(),
        "<empty_result_for_aggregation_by_empty_set>1</empty_result_for_aggregation_by_empty_set>\
         <limit>1</limit><timeout_overflow_mode>break</timeout_overflow_mode>\
         <result_overflow_mode>break</result_overflow_mode><min_insert_block_size_rows>0</min_insert_block_size_rows>\
         <min_insert_block_size_bytes>0</min_insert_block_size_bytes><join_use_nulls>1</join_use_nulls>\
         <final>1</final>",
    );
    let fixture = Fixture::at(engine.url()).await;
    let sent = |name: &str| fixture.session.pins().control().iter().any(|(pin, _)| pin == name);
    for name in ["empty_result_for_aggregation_by_empty_set", "limit", "final"] {
        assert!(sent(name), "{name}");
    }
    assert!(!sent("read_overflow_mode"));
    let claims = fixture.claims(&[0]).await;
    assert_eq!(fixture.insert(&claims, &[(0, 0), (0, 1), (0, 2)]).await, Outcome::Acknowledged);
    assert_eq!(fixture.target_rows().await, 3);
    fixture.finish().await;
}

#[tokio::test]
async fn a_constraint_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let engine = engine(
        folder.path(),
        "<timeout_overflow_mode>break</timeout_overflow_mode>\
         <constraints><timeout_overflow_mode><readonly/></timeout_overflow_mode></constraints>",
    );
    let error = Session::open(Server::new(&settings(engine.url())).unwrap()).await.unwrap_err().to_string();
    assert!(error.contains("timeout_overflow_mode"), "{error}");
    assert!(error.contains("remove"), "{error}");
}
