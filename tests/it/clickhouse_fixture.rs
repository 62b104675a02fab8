//! A database of its own with state tables and a target, and inserts into it as the connector makes them.

use std::collections::BTreeMap;
use std::time::Duration;

use devstack::Stack;
use oncesink::clickhouse::{
    Cell, Coordinates, LaneTables, QueryPrefix, Server, ServerSettings, Session, StateTables, TableName,
    ensure_state_tables,
};
use oncesink::insert::{Body, Condition, Expected, InputColumn, Insert, InsertRequest, Outcome, RowBinary, Writer};
use oncesink::ownership::{ToClaim, claim};
use oncesink::protocol::facts::{Claimed, LedgerRow};
use oncesink::types::{BlockNumber, Claim, LaneId, Offset, OffsetRange, Partition, RecordCount, Replay, TopicId};
use uuid::Uuid;

pub(crate) const LEDGER_RETENTION: Duration = Duration::from_secs(604_800);
pub(crate) const TOPIC_ID: TopicId = TopicId(0x0123_4567_89ab_cdef);

pub(crate) struct Fixture {
    pub(crate) session: Session,
    pub(crate) lane: LaneTables,
    pub(crate) writer: Writer,
    block: std::cell::Cell<u64>,
}

pub(crate) fn settings(url: &str) -> ServerSettings {
    ServerSettings {
        url: url.to_owned(),
        user: "default".to_owned(),
        password: secrecy::SecretString::from(""),
        certificate_authorities: None,
        connect_timeout: Duration::from_secs(5),
        response_timeout: Duration::from_secs(60),
        behind_proxy: false,
    }
}

pub(crate) fn url() -> String {
    Stack::shared().unwrap().clickhouse_url().to_owned()
}

pub(crate) async fn session(url: &str) -> Session {
    Session::open(Server::new(&settings(url)).unwrap()).await.unwrap()
}

pub(crate) fn range(start: u64, end: u64) -> OffsetRange {
    OffsetRange::new(Offset::new(start), Offset::new(end))
}

impl Fixture {
    /// A database with state tables and an empty target.
    pub(crate) async fn new() -> Self {
        Self::at(&url()).await
    }

    /// The same on a server of one's choice.
    pub(crate) async fn at(url: &str) -> Self {
        let fixture = Self::without_tables(url).await;
        ensure_state_tables(&fixture.session, &fixture.lane.state, LEDGER_RETENTION, true).await.unwrap();
        fixture
            .run(&format!(
                "CREATE TABLE {} (_topic LowCardinality(String), _partition Int32, _offset UInt64, _replay UInt32, \
                 v String, INDEX offset_minmax _offset TYPE minmax GRANULARITY 1) ENGINE = MergeTree ORDER BY v",
                fixture.lane.cell.target.quoted()
            ))
            .await;
        fixture
    }

    /// Only names, none of which exists yet but the target's database.
    pub(crate) async fn without_tables(url: &str) -> Self {
        let session = session(url).await;
        let unique = format!("it_{:016x}", rand::random::<u64>());
        session.execute("preparing", &format!("CREATE DATABASE {unique}")).await.unwrap();
        let cell = Cell {
            cluster_id: "cluster".to_owned(),
            connector: unique.clone(),
            target: TableName::new(&unique, "target"),
            topic: "it's a topic".to_owned(),
        };
        Self {
            session,
            writer: Writer { prefix: QueryPrefix::new(&cell.cluster_id, &cell.connector), owner: "tester".to_owned() },
            lane: LaneTables {
                lane: LaneId(3),
                state: StateTables { database: format!("{unique}_state") },
                cell,
                routes: Vec::new(),
                coordinates: Coordinates { replay: Some("_replay".to_owned()), ..Coordinates::default() },
            },
            block: std::cell::Cell::new(0),
        }
    }

    /// Drops what the test made.
    pub(crate) async fn finish(self) {
        for database in [&self.lane.cell.target.database, &self.lane.state.database] {
            self.run(&format!("DROP DATABASE IF EXISTS {database}")).await;
        }
    }

    pub(crate) async fn run(&self, statement: &str) {
        self.session.execute("testing", statement).await.unwrap();
    }

    pub(crate) async fn count(&self, from: &str) -> u64 {
        let counts: Vec<u64> = self.session.fetch("testing", &format!("SELECT count() FROM {from}")).await.unwrap();
        counts[0]
    }

    pub(crate) async fn target_rows(&self) -> u64 {
        self.count(&self.lane.cell.target.quoted()).await
    }

    pub(crate) async fn claim(&self, partitions: &[i32]) -> Claimed {
        let partitions: Vec<_> = partitions
            .iter()
            .map(|partition| ToClaim { partition: Partition(*partition), topic_id: Some(TOPIC_ID), replay: Replay(0) })
            .collect();
        claim(&self.session, &self.lane, &partitions, Uuid::nil(), "tester", rand::random).await.unwrap()
    }

    /// The claims of [`Fixture::claim`] as an insert wants them.
    pub(crate) async fn claims(&self, partitions: &[i32]) -> BTreeMap<Partition, Claim> {
        self.claim(partitions).await.claims.into_iter().map(|(key, claim)| (key.partition, claim)).collect()
    }

    pub(crate) fn next_block(&self) -> BlockNumber {
        self.block.set(self.block.get() + 1);
        BlockNumber(self.block.get())
    }

    pub(crate) fn request(
        &self,
        claims: &BTreeMap<Partition, Claim>,
        rows: &[(i32, u64)],
        conditions: Vec<Condition>,
    ) -> InsertRequest {
        let mut body = RowBinary::new();
        for (partition, offset) in rows {
            body.string(&self.lane.cell.topic);
            body.i32(*partition);
            body.u64(*offset);
            body.u32(0);
            body.string([0xff, 0x00, b'\n']);
        }
        let columns: Vec<_> = [
            ("_topic", "LowCardinality(String)"),
            ("_partition", "Int32"),
            ("_offset", "UInt64"),
            ("_replay", "UInt32"),
            ("v", "String"),
        ]
        .into_iter()
        .map(|(name, kind)| InputColumn {
            name: name.to_owned(),
            kind: kind.to_owned(),
            conversion: None,
            default: None,
        })
        .collect();
        InsertRequest::new(
            self.session.pins(),
            &self.writer,
            Insert {
                lane: &self.lane,
                table: &self.lane.cell.target,
                role: "target",
                claims,
                block: self.next_block(),
                columns: &columns,
                computed: &[],
                conditions,
                rows: rows.len() as u64,
                body: Body::RowBinary(body),
            },
        )
    }

    pub(crate) async fn insert(&self, claims: &BTreeMap<Partition, Claim>, rows: &[(i32, u64)]) -> Outcome {
        let request = self.request(claims, rows, Vec::new());
        self.session.server().insert(request).await
    }

    /// Dead letters of a connector, as far as the protocol reads them.
    pub(crate) async fn dead_letters(&self, connector: &str, partition: i32, offsets: &str) {
        self.run(&format!(
            "INSERT INTO {} (cluster, connector, target, kafka_topic_name, kafka_partition, kafka_offset, replay) \
             SELECT 'cluster', '{connector}', '{}', 'it\\'s a topic', {partition}, arrayJoin({offsets}), 0",
            self.lane.state.dead_letters().quoted(),
            self.lane.cell.target
        ))
        .await;
    }

    pub(crate) fn ledger_row(&self, partition: i32, claim: Claim, range: OffsetRange, rows: u64) -> LedgerRow {
        LedgerRow {
            key: self.lane.key(Partition(partition)),
            claim,
            topic_id: Some(TOPIC_ID),
            replay: Replay(0),
            range,
            origin: Offset::ZERO,
            checkpoint: false,
            rows: RecordCount(rows),
            dead: RecordCount(0),
            skipped: RecordCount(0),
            gap: None,
            floor: range.start(),
            damaged: false,
            views_unverified: false,
        }
    }

    pub(crate) async fn write_ledger(&self, claims: &BTreeMap<Partition, Claim>, rows: &[LedgerRow]) -> Outcome {
        let request =
            oncesink::ledger::insert(&self.session, &self.lane, &self.writer, self.next_block(), claims, rows, true);
        self.session.server().insert(request).await
    }
}

pub(crate) fn expected(partition: i32, range: OffsetRange, rows: u64) -> Expected {
    Expected { partition: Partition(partition), replay: Replay(0), range, rows: RecordCount(rows) }
}
