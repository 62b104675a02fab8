//! A takeover's look at a large table: what is behind the committed offset is found without reading the rest.

use std::time::Duration;

use anyhow::{Result, ensure};
use clap::Args;
use oncesink::clickhouse::{
    Cell, Coordinates, LaneTables, Server, ServerSettings, Session, StateTables, TableName, ensure_state_tables,
};
use oncesink::ownership::{LookFrom, look};
use oncesink::types::{LaneId, Offset, Partition, RecordCount, Replay};

use crate::now;
use crate::report::{Report, figure};
use crate::run::Rig;

const PARTITIONS: u64 = 4;
/// Rows behind the committed offset of each partition, as a crash leaves them.
const BEHIND: u64 = 50_000;
/// The table grows by inserts like this, so that parts and merges are those of a table that was filled over time.
const ROWS_OF_AN_INSERT: u64 = 2_000_000;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Rows of the table; once for each size to compare, in ascending order.
    #[arg(long, value_delimiter = ',', default_value = "1000000,10000000,100000000")]
    rows: Vec<u64>,
}

pub(crate) fn bench(rig: &Rig, report: &mut Report, options: &Options) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(sizes(rig, report, &options.rows))
}

async fn sizes(rig: &Rig, report: &mut Report, sizes: &[u64]) -> Result<()> {
    let database = format!("look_{:08x}", rand::random::<u32>());
    let settings = ServerSettings {
        url: rig.url().to_owned(),
        user: "default".to_owned(),
        password: secrecy::SecretString::from(""),
        certificate_authorities: None,
        connect_timeout: Duration::from_secs(5),
        response_timeout: Duration::from_secs(60),
        behind_proxy: false,
    };
    let session = Session::open(Server::new(&settings)?).await?;
    let lane = LaneTables {
        routes: Vec::new(),
        lane: LaneId(0),
        state: StateTables { database: database.clone() },
        cell: Cell {
            cluster_id: "cluster".to_owned(),
            connector: database.clone(),
            target: TableName::new(&database, "readings"),
            topic: "readings".to_owned(),
        },
        coordinates: Coordinates { replay: Some("_replay".to_owned()), ..Coordinates::default() },
    };
    rig.query(&format!("CREATE DATABASE {database}"))?;
    ensure_state_tables(&session, &lane.state, Duration::from_secs(604_800), true).await?;
    rig.query(&format!(
        "CREATE TABLE {database}.readings (site LowCardinality(String), device UInt32, ts DateTime, \
         _topic LowCardinality(String), _partition Int32, _offset UInt64, _replay UInt32, \
         INDEX offsets _offset TYPE minmax) ENGINE = MergeTree ORDER BY (site, device, ts)"
    ))?;
    let mut filled = 0;
    for rows in sizes {
        while filled < *rows {
            let more = ROWS_OF_AN_INSERT.min(rows - filled);
            rig.query(&format!(
                "INSERT INTO {database}.readings SELECT concat('plant-', toString(cityHash64(number) % 40)), \
                 cityHash64(number, 1) % 20000, toDateTime(1700000000 + intDiv(number, 1000)), 'readings', \
                 number % {PARTITIONS}, intDiv(number, {PARTITIONS}), 0 FROM numbers({filled}, {more})"
            ))?;
            filled += more;
        }
        let from = Offset::new((rows / PARTITIONS).saturating_sub(BEHIND));
        let partitions: Vec<_> = (0..i32::try_from(PARTITIONS)?)
            .map(|partition| LookFrom { partition: Partition(partition), replay: Replay(0), from })
            .collect();
        for _ in 0..rig.common.runs {
            let began = now();
            let found = look(&session, &lane, &partitions).await?;
            let elapsed = began.elapsed();
            let rows_found = found.presence.values().fold(RecordCount(0), |sum, presence| sum + presence.rows.count());
            let behind = RecordCount((rows / PARTITIONS - from.get()) * PARTITIONS);
            ensure!(rows_found == behind, "the look found {rows_found} rows of {behind}");
            report.add(&format!("{rows} rows"), vec![figure("look, ms", 1e3 * elapsed.as_secs_f64())])?;
        }
    }
    rig.query(&format!("DROP DATABASE {database} SYNC"))?;
    Ok(())
}
