//! The oracle: compares what was produced with what ClickHouse has. Knows nothing of the connector but its promise.

use std::collections::{BTreeMap, BTreeSet};

use devstack::http::Client;

/// (partition, offset).
pub(crate) type Unit = (i32, u64);

/// How often each unit is in the target table and in the dead letters.
#[derive(Debug, Default)]
pub(crate) struct Stored {
    pub(crate) rows: BTreeMap<Unit, u64>,
    pub(crate) dead: BTreeMap<Unit, u64>,
}

impl Stored {
    /// Reads both tables.
    pub(crate) fn read(client: &Client, table: &str, state_database: &str, topic: &str) -> Result<Self, String> {
        let rows = units(
            client,
            &format!("SELECT _partition, _offset, count() FROM {table} WHERE _topic = '{topic}' GROUP BY ALL"),
        )?;
        let dead = units(
            client,
            &format!(
                "SELECT kafka_partition, kafka_offset, count() FROM {state_database}.dead_letters \
                 WHERE kafka_topic_name = '{topic}' AND target = '{table}' GROUP BY ALL"
            ),
        )?;
        Ok(Self { rows, dead })
    }

    /// Says what breaks the promise: units that are missing, doubled, in both tables, or were never produced.
    pub(crate) fn compare(&self, produced: &BTreeSet<Unit>) -> Result<(), String> {
        let mut faults = Vec::new();
        for unit in produced {
            let rows = self.rows.get(unit).copied().unwrap_or(0);
            let dead = self.dead.get(unit).copied().unwrap_or(0);
            match (rows, dead) {
                (1, 0) | (0, 1) => {}
                (0, 0) => faults.push(format!("{unit:?} is missing")),
                _ => faults.push(format!("{unit:?} has {rows} rows and {dead} dead letters")),
            }
        }
        let stored = self.rows.keys().chain(self.dead.keys());
        faults
            .extend(stored.filter(|unit| !produced.contains(unit)).map(|unit| format!("{unit:?} was never produced")));
        if faults.is_empty() {
            return Ok(());
        }
        let count = faults.len();
        faults.truncate(10);
        Err(format!("{count} of {} units are wrong: {}", produced.len(), faults.join("; ")))
    }
}

fn units(client: &Client, query: &str) -> Result<BTreeMap<Unit, u64>, String> {
    let text = client.query(query).map_err(|error| format!("{error:#}"))?;
    let parse = |line: &str| {
        let mut fields = line.split('\t');
        let mut number = || fields.next().ok_or_else(|| format!("bad line {line:?}"));
        let partition = number()?.parse().map_err(|_| format!("bad partition in {line:?}"))?;
        let offset = number()?.parse().map_err(|_| format!("bad offset in {line:?}"))?;
        let count = number()?.parse().map_err(|_| format!("bad count in {line:?}"))?;
        Ok(((partition, offset), count))
    };
    text.lines().map(parse).collect()
}

#[test]
fn the_oracle_sees_every_kind_of_fault() {
    let check = |rows: &[(Unit, u64)], dead: &[(Unit, u64)], expected: Option<&str>| {
        let stored = Stored { rows: rows.iter().copied().collect(), dead: dead.iter().copied().collect() };
        let produced = BTreeSet::from([(0, 0), (0, 1)]);
        match (stored.compare(&produced), expected) {
            (Ok(()), None) => {}
            (Err(text), Some(part)) => assert!(text.contains(part), "{text}"),
            (result, expected) => panic!("{result:?} instead of {expected:?}"),
        }
    };
    check(&[((0, 0), 1), ((0, 1), 1)], &[], None);
    check(&[((0, 0), 1)], &[((0, 1), 1)], None);
    check(&[((0, 0), 1)], &[], Some("(0, 1) is missing"));
    check(&[((0, 0), 2), ((0, 1), 1)], &[], Some("(0, 0) has 2 rows and 0 dead letters"));
    check(&[((0, 0), 1), ((0, 1), 1)], &[((0, 1), 1)], Some("(0, 1) has 1 rows and 1 dead letters"));
    check(&[((0, 0), 1)], &[((0, 1), 2)], Some("(0, 1) has 0 rows and 2 dead letters"));
    check(&[((0, 0), 1), ((0, 1), 1), ((1, 0), 1)], &[], Some("(1, 0) was never produced"));
}
