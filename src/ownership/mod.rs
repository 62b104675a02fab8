//! Who may write a partition: claim it, wait until older inserts have ended, look what they left.
//!
//! Takes a session and the partitions of a lane, gives claims, a drained server and the units that are there. In this
//! order, always: an older insert is then either running and waited for, or refused by its fence, so that what the look
//! finds is final. Nothing here is repeated: after an error the caller starts over with a new claim.

mod drain;
mod look;

pub use drain::{Drain, drain};
pub use look::{LOOK_RUNS_MAX, Look, LookFrom, look, parts_are_certain};

use std::collections::{BTreeMap, BTreeSet};

use clickhouse::Row;
use serde::Deserialize;
use uuid::Uuid;

use crate::clickhouse::{ControlError, LaneTables, Session, sql};
use crate::protocol::facts::Claimed;
use crate::types::{Claim, Partition, Replay, TopicId};

/// A partition to be claimed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ToClaim {
    /// The partition.
    pub partition: Partition,
    /// The topic's identity now.
    pub topic_id: Option<TopicId>,
    /// The replay that will be written.
    pub replay: Replay,
}

#[derive(Debug, Row, Deserialize)]
struct Greatest {
    partition: i32,
    claim: u128,
}

#[derive(Debug, Row, Deserialize)]
struct Other {
    cluster: String,
    connector: String,
}

/// Claims partitions of a lane: what older claims still send is refused from the moment this returns.
///
/// `random` gives 64 fresh random bits per call. Two that claim at once both get a claim, and one of the two is the
/// greater: the other's inserts are refused. Others that ever claimed the same topic for the same table are named, and
/// they are asked for *after* our claim stands, so that of two newcomers at least one sees the other (S9).
pub async fn claim(
    session: &Session,
    lane: &LaneTables,
    partitions: &[ToClaim],
    table_uuid: Uuid,
    owner: &str,
    mut random: impl FnMut() -> u64,
) -> Result<Claimed, ControlError> {
    let mut claimed = Claimed::default();
    if partitions.is_empty() {
        return Ok(claimed);
    }
    let greatest = greatest(session, lane, partitions).await?;
    let mut rows = Vec::with_capacity(partitions.len());
    for to_claim in partitions {
        let claim = Claim::above(greatest.get(&to_claim.partition).copied(), random());
        claimed.claims.insert(lane.key(to_claim.partition), claim);
        rows.push(row(lane, to_claim, claim, table_uuid, owner));
    }
    let statement = format!(
        "INSERT INTO {} (cluster, connector, target, topic, `partition`, claim, owner, table_uuid, topic_id, replay, \
         routes) VALUES {}",
        lane.state.ownership().quoted(),
        rows.join(", ")
    );
    session.execute("claiming partitions", &statement).await?;
    claimed.others = others(session, lane).await?;
    Ok(claimed)
}

/// Also of the ledger's claims: of two ledger rows the greater claim is the newer one, and that must stay so when claims
/// were lost (a restored table, a loss of power).
async fn greatest(
    session: &Session,
    lane: &LaneTables,
    partitions: &[ToClaim],
) -> Result<BTreeMap<Partition, Claim>, ControlError> {
    let numbers = sql::joined(partitions.iter().map(|one| one.partition), ", ");
    let rows: Vec<Greatest> = session
        .fetch(
            "reading the greatest claims",
            &format!(
                "SELECT `partition`, max(known.claim) AS claim FROM (\
                 SELECT `partition`, claim FROM {ownership} WHERE {cell} AND `partition` IN ({numbers}) UNION ALL \
                 SELECT `partition`, claim FROM {ledger} WHERE {cell} AND `partition` IN ({numbers})\
                 ) AS known GROUP BY `partition`",
                ownership = lane.state.ownership().quoted(),
                ledger = lane.state.ledger().quoted(),
                cell = lane.cell.condition(),
            ),
        )
        .await?;
    Ok(rows.into_iter().map(|row| (Partition(row.partition), Claim(row.claim))).collect())
}

/// Not restricted to our cluster: rows of another cluster's topic of the same name would have the same coordinates.
async fn others(session: &Session, lane: &LaneTables) -> Result<Vec<String>, ControlError> {
    let cell = &lane.cell;
    let rows: Vec<Other> = session
        .fetch(
            "looking for other connectors",
            &format!(
                "SELECT DISTINCT cluster, connector FROM {} WHERE target = {} AND topic = {} \
                 AND NOT (cluster = {} AND connector = {}) ORDER BY cluster, connector LIMIT 100",
                lane.state.ownership().quoted(),
                sql::string(&cell.target.to_string()),
                sql::string(&cell.topic),
                sql::string(&cell.cluster_id),
                sql::string(&cell.connector),
            ),
        )
        .await?;
    let named: BTreeSet<String> = rows
        .into_iter()
        .map(|other| {
            if other.cluster == cell.cluster_id {
                other.connector
            } else {
                format!("{} on cluster {}", other.connector, other.cluster)
            }
        })
        .collect();
    Ok(named.into_iter().collect())
}

fn row(lane: &LaneTables, to_claim: &ToClaim, claim: Claim, table_uuid: Uuid, owner: &str) -> String {
    let cell = &lane.cell;
    let topic_id = to_claim.topic_id.map_or_else(|| "NULL".to_owned(), |id| format!("'{}'", Uuid::from_u128(id.0)));
    format!(
        "({}, {}, {}, {}, {}, '{}', {}, '{table_uuid}', {topic_id}, {}, [{}])",
        sql::string(&cell.cluster_id),
        sql::string(&cell.connector),
        sql::string(&cell.target.to_string()),
        sql::string(&cell.topic),
        to_claim.partition,
        claim.0,
        sql::string(owner),
        to_claim.replay,
        sql::joined(lane.routes.iter().map(|route| sql::string(&route.to_string())), ", "),
    )
}

/// Every table of a route, besides its own, that rows of the lane's topic were ever claimed for.
pub async fn known_routes(session: &Session, lane: &LaneTables) -> Result<BTreeSet<String>, ControlError> {
    let statement = format!(
        "SELECT DISTINCT arrayJoin(routes) AS route FROM {} WHERE {}",
        lane.state.ownership().quoted(),
        lane.cell.condition()
    );
    let routes: Vec<String> = session.fetch("reading which tables the topic went to", &statement).await?;
    Ok(routes.into_iter().collect())
}
