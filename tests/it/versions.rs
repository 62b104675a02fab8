//! An offset as the version of a `ReplacingMergeTree` is told, before it keeps an older row.

use crate::support::scenario::Scenario;
use crate::support::wait_for;

#[test]
fn an_offset_that_is_a_version_is_told() {
    let mut scenario = Scenario::shared("versions", 1);
    scenario.table = format!("{}.newest", scenario.database);
    scenario.servers.query(&format!(
        "CREATE TABLE {} (id UInt64, temp Float64, sensor String, version UInt64, _topic LowCardinality(String), _partition Int32, \
         _offset UInt64, _replay UInt32, INDEX offsets _offset TYPE minmax) ENGINE = ReplacingMergeTree(version) ORDER BY id",
        scenario.table
    ));
    scenario.topic_lines.push("columns: { version: $offset }".to_owned());
    let checked = |scenario: &Scenario| {
        let (code, text) = scenario.run(&["check", "--connect"]);
        assert_eq!(code, 0, "{text}");
        text
    };
    let what = format!("topic {} into {}: the version of {1}, version, is an offset", scenario.topic, scenario.table);
    let text = checked(&scenario);
    assert!(text.contains(&format!("note: {what}")), "{text}");
    let mut connector = scenario.start("a");
    scenario.produce_payloads(&[(0, r#"{"id":1}"#)]);
    scenario.wait_until_stored();
    assert!(!connector.log().contains("an offset is the version of rows"), "{}", connector.log());
    scenario.add_partitions(3);
    let text = checked(&scenario);
    assert!(text.contains(&format!("warning: {what}")), "{text}");
    assert!(text.contains("offsets of 3 partitions are compared"), "{text}");
    assert!(text.contains("$.source.lsn"), "{text}");
    wait_for("the log to say so", || {
        let log = connector.log();
        if log.contains("an offset is the version of rows") { Ok(()) } else { Err(log) }
    });
    assert_eq!(connector.terminate(), Some(0));
    // A version of the source is not one of the offsets.
    scenario.topic_lines = vec!["columns: { version: $.lsn }".to_owned()];
    let text = checked(&scenario);
    assert!(!text.contains("is an offset"), "{text}");
}
