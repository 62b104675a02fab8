//! Topics that are deleted and made again.

use crate::support::scenario::Scenario;
use crate::support::wait_for;

/// (N8, N9): the offsets of a recreated topic mean other records; nothing is written under the old replay.
#[test]
fn a_recreated_topic_halts_and_goes_on_after_reset_new_replay() {
    let mut scenario = Scenario::shared("recreated", 2);
    scenario.produce(1_000);
    let mut connector = scenario.start("a");
    scenario.wait_until_done();
    let before = scenario.stored().unwrap();
    scenario.kafka.delete_topic(&scenario.topic);
    scenario.kafka.create_topic(&scenario.topic, 2);
    scenario.forget_produced();
    scenario.produce(1_500);
    connector.wait_for_log("the topic was deleted and created again");
    assert!(connector.is_running());
    let still = scenario.stored().unwrap();
    assert_eq!(before.rows, still.rows, "nothing of the new topic is written");

    let (code, text) = scenario.run(&["reset", "--new-replay", "--yes", "--topic", &scenario.topic]);
    assert_eq!(code, 0, "{text}");
    let new_rows = format!("SELECT count(), uniqExact(_partition, _offset) FROM {} WHERE _replay = 1", scenario.table);
    wait_for("the new topic to be stored", || {
        let counts = scenario.servers.query(&new_rows);
        if counts.trim_end() == "1500\t1500" { Ok(()) } else { Err(format!("{counts:?}\n{}", connector.log())) }
    });
    let old_rows = format!("SELECT count(), uniqExact(_partition, _offset) FROM {} WHERE _replay = 0", scenario.table);
    assert_eq!(scenario.servers.query(&old_rows).trim_end(), "1000\t1000");
    assert_eq!(connector.terminate(), Some(0));
}
