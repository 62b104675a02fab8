//! `oncesink reset --new-replay`: consume a topic from its beginning under a new replay number.
//!
//! Takes a topic of the configuration; claims its partitions, so that a running connector is fenced, and writes one
//! fenced ledger row per partition that begins the next replay. Touches no offsets of Kafka: metadata of an older replay
//! is outdated, so that a takeover starts at that ledger row. Never changes or removes a row of the target.
//!
//! The claim still carries the *old* replay and topic id: should the ledger row be refused, because the connector has
//! claimed in between, then nothing has changed, and the new replay never exists without the row that says where it
//! begins.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, BufRead, IsTerminal};

use clap::Args;

use super::connect::{self, CommandError, block_on};
use super::output::print;
use super::{ConfigArgument, EXIT_CONFIG, EXIT_FINDINGS, EXIT_OK};
use crate::clickhouse::{LaneTables, QueryPrefix, Session, Table, sql};
use crate::commit::metadata;
use crate::config::Settings;
use crate::insert::{Outcome, Refusal, Writer};
use crate::ledger;
use crate::ownership::{self, ToClaim};
use crate::protocol::facts::{LedgerRow, StoredIdentity};
use crate::source::observer::Observer;
use crate::source::{StoredOffset, TopicIdentity};
use crate::types::{BlockNumber, Claim, Offset, OffsetRange, Partition, RecordCount, Replay, TopicId};

/// A running connector may claim between our claim and our row; it does so once, when it is fenced.
const ATTEMPTS_MAX: usize = 10;

/// Arguments of `reset`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct ResetArguments {
    /// The configuration.
    #[command(flatten)]
    pub config: ConfigArgument,
    /// The topic to consume from its beginning
    #[arg(long)]
    pub topic: String,
    /// Raise the replay number: what is stored stays, what is read now is stored beside it
    #[arg(long, required = true)]
    pub new_replay: bool,
    /// Do not ask
    #[arg(long, short)]
    pub yes: bool,
}

const EXAMPLES: &str = "\
Examples:
  oncesink reset --config oncesink.yaml --topic readings --new-replay         shows what would happen, then asks
  oncesink reset --config oncesink.yaml --topic readings --new-replay --yes   for a script

The way out of a topic that was deleted and created again. Works while the connector runs, which then goes on by itself,
and while it is stopped. The table needs a replay column, named by `coordinates.replay`; without one this command refuses
and prints the ALTER.

Exit codes: 0 done, 1 not done because the answer was no, 2 a server, the table or the configuration does not allow it.";

/// What is to be done, worked out before anything is changed.
#[derive(Debug)]
struct Plan {
    topic_now: Option<TopicId>,
    known: BTreeMap<Partition, StoredIdentity>,
    from: Replay,
    to: Replay,
    starts: BTreeMap<Partition, OffsetRange>,
}

/// Shows, asks, does. Gives the exit code.
pub fn reset(arguments: &ResetArguments) -> u8 {
    let settings = match arguments.config.load() {
        Ok(settings) => settings,
        Err(code) => return code,
    };
    match block_on(run(&settings, arguments)) {
        Ok(true) => EXIT_OK,
        Ok(false) => EXIT_FINDINGS,
        Err(error) => {
            eprintln!("nothing was reset: {error}");
            EXIT_CONFIG
        }
    }
}

async fn run(settings: &Settings, arguments: &ResetArguments) -> Result<bool, CommandError> {
    let observer = connect::observer(settings)?;
    let cluster_id = observer.cluster_id()?;
    let session = connect::session(settings).await?;
    let settings = &connect::expand(settings, &observer)?.settings;
    let lanes = connect::lanes(settings, Some(&arguments.topic), &cluster_id)?;
    let (lane, _) = lanes.first().expect("a topic that is not configured is an error");
    let table = replay_table(&session, lane).await?;
    let plan = plan(&observer, &session, lane).await?;
    print(&plan.text(lane))?;
    if !arguments.yes && !confirmed()? {
        print("nothing was changed\n")?;
        return Ok(false);
    }
    let writer = Writer { prefix: QueryPrefix::new(&cluster_id, &settings.name), owner: settings.instance.clone() };
    carry_out(&session, lane, &table, &writer, &plan).await?;
    print(&format!(
        "done: topic {} goes on as replay {}; a running connector takes over by itself\n",
        arguments.topic, plan.to
    ))?;
    Ok(true)
}

/// The topic's own table, if it and those of its routes can tell replays apart.
async fn replay_table(session: &Session, lane: &LaneTables) -> Result<Table, CommandError> {
    let configured = lane.coordinates.replay.as_deref();
    let column = configured.unwrap_or("_replay");
    let mut tables = Vec::new();
    let mut fix = String::new();
    for target in lane.targets() {
        let Some(table) = Table::read(session, target).await? else {
            return Err(CommandError::Impossible(format!("table {target} does not exist, or our user may not see it")));
        };
        if table.column(column).is_none() {
            let (quoted, column) = (target.quoted(), sql::identifier(column));
            write!(fix, "\n  run ALTER TABLE {quoted} ADD COLUMN {column} UInt32")
                .expect("writing to a string does not fail");
        }
        tables.push(table);
    }
    if configured.is_none() {
        write!(fix, "\n  add `replay: {column}` to `coordinates` of this topic, and restart the connector")
            .expect("writing to a string does not fail");
    }
    if fix.is_empty() {
        return Ok(tables.swap_remove(0));
    }
    Err(CommandError::Impossible(format!(
        "{} cannot tell replays apart: rows of the new topic would be taken for rows of the old one{fix}",
        sql::joined(lane.targets(), ", ")
    )))
}

async fn plan(observer: &Observer, session: &Session, lane: &LaneTables) -> Result<Plan, CommandError> {
    let topic = &lane.cell.topic;
    let Some(partitions) = observer.partitions(topic)? else {
        return Err(CommandError::Impossible(format!("topic {topic} does not exist: create it first")));
    };
    let topic_now = match observer.topic_identity(topic)? {
        TopicIdentity::Id(id) => Some(id),
        TopicIdentity::Unknown | TopicIdentity::WithoutId => None,
    };
    let mut starts = BTreeMap::new();
    for (partition, log) in observer.logs(topic, &partitions)? {
        starts.insert(partition, log?);
    }
    let mut replays = Vec::new();
    for (partition, stored) in observer.committed(topic, &partitions)? {
        replays.extend(committed_replay(partition, stored?, starts.get(&partition))?);
    }
    let facts = ledger::stored_facts(session, lane, &partitions, false).await?;
    let known: BTreeMap<Partition, StoredIdentity> =
        facts.into_iter().filter_map(|(key, facts)| Some((key.partition, facts.identity?))).collect();
    replays.extend(known.values().map(|identity| identity.replay));
    let Some(from) = replays.into_iter().max() else {
        return Err(CommandError::Impossible(format!(
            "topic {topic} was never consumed into {}: `oncesink run` begins where `start` says",
            lane.cell.target
        )));
    };
    Ok(Plan { topic_now, known, from, to: from.next(), starts })
}

/// The replay of a committed offset. One that another tool has set would win over the new replay's start.
fn committed_replay(
    partition: Partition,
    stored: Option<StoredOffset>,
    log: Option<&OffsetRange>,
) -> Result<Option<Replay>, CommandError> {
    let Some(stored) = stored else { return Ok(None) };
    match metadata::decode(&stored.metadata) {
        Ok(Some(metadata)) => Ok(Some(metadata.replay)),
        Ok(None) if log.is_some_and(|log| log.start() == stored.offset) => Ok(None),
        Ok(None) => Err(CommandError::Impossible(format!(
            "the group's offset {} of partition {partition} was set by another tool, and the connector would go on from \
             there; stop the connector and delete the group's offsets of this topic (kafka-consumer-groups.sh \
             --delete-offsets), then run this again",
            stored.offset
        ))),
        Err(error) => Err(CommandError::Impossible(format!("partition {partition}: {error}"))),
    }
}

impl Plan {
    fn text(&self, lane: &LaneTables) -> String {
        let id = |id: Option<TopicId>| id.map_or_else(|| "unknown".to_owned(), |id| id.to_string());
        let before: Vec<Option<TopicId>> = self.known.values().map(|identity| identity.topic_id).collect();
        let is_same = before.iter().any(|known| *known == self.topic_now && known.is_some());
        let before = before.into_iter().flatten().next();
        let mut text = format!(
            "topic {} into table {}\n  topic id   {} known, {} now\n  replay     {} -> {}\n  starts at ",
            lane.cell.topic,
            lane.cell.target,
            id(before),
            id(self.topic_now),
            self.from,
            self.to,
        );
        for (number, (partition, log)) in self.starts.iter().enumerate() {
            let separator = if number == 0 { " " } else { ", " };
            write!(text, "{separator}{} of partition {partition} (end {})", log.start(), log.end())
                .expect("writing to a string does not fail");
        }
        text.push('\n');
        if is_same {
            text.push_str(
                "  the topic is the one that was consumed before: every record that it still has is stored a second time, \
                 under the new replay\n",
            );
        }
        text
    }

    fn to_claim(&self) -> Vec<ToClaim> {
        let claim = |partition: &Partition| {
            let known = self.known.get(partition);
            ToClaim {
                partition: *partition,
                topic_id: known.and_then(|identity| identity.topic_id),
                replay: known.map_or(Replay(0), |identity| identity.replay),
            }
        };
        self.starts.keys().map(claim).collect()
    }

    fn rows(&self, lane: &LaneTables, claims: &BTreeMap<Partition, Claim>) -> Vec<LedgerRow> {
        let row = |(partition, log): (&Partition, &OffsetRange)| {
            let start: Offset = log.start();
            LedgerRow {
                key: lane.key(*partition),
                claim: claims[partition],
                topic_id: self.topic_now,
                replay: self.to,
                range: OffsetRange::new(start, start),
                origin: start,
                checkpoint: true,
                rows: RecordCount(0),
                dead: RecordCount(0),
                skipped: RecordCount(0),
                gap: None,
                floor: start,
                damaged: false,
                views_unverified: false,
            }
        };
        self.starts.iter().map(row).collect()
    }
}

async fn carry_out(
    session: &Session,
    lane: &LaneTables,
    table: &Table,
    writer: &Writer,
    plan: &Plan,
) -> Result<(), CommandError> {
    for _ in 0..ATTEMPTS_MAX {
        let to_claim = plan.to_claim();
        let claimed =
            ownership::claim(session, lane, &to_claim, table.uuid, &writer.owner, rand::random::<u64>).await?;
        let claims: BTreeMap<Partition, Claim> =
            claimed.claims.into_iter().map(|(key, claim)| (key.partition, claim)).collect();
        let rows = plan.rows(lane, &claims);
        let request = ledger::insert(session, lane, writer, BlockNumber(0), &claims, &rows, false);
        match session.server().insert(request).await {
            Outcome::Acknowledged => return Ok(()),
            Outcome::Refused(Refusal::Fenced) => {}
            outcome => {
                return Err(CommandError::Impossible(format!(
                    "ClickHouse did not confirm the ledger rows ({outcome:?}); run this again: it shows what was done"
                )));
            }
        }
    }
    Err(CommandError::Impossible(format!(
        "a running connector claimed the partitions first, {ATTEMPTS_MAX} times; run this again, or stop the connector"
    )))
}

fn confirmed() -> Result<bool, CommandError> {
    if !io::stdin().is_terminal() {
        return Err(CommandError::Impossible("there is nobody to ask; say --yes".to_owned()));
    }
    print("go on? [yes/no] ")?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(answer.trim() == "yes")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commit::metadata::{decode, encode};
    use crate::insert::tests::lane;
    use crate::protocol::facts::{CommittedOffset, Facts, Metadata, StoredFacts};
    use crate::protocol::resolve::{OnGap, Resolution, StartCause, resolve};

    const OLD: TopicId = TopicId(1);
    const NEW: TopicId = TopicId(2);

    fn old_metadata() -> Metadata {
        Metadata {
            topic_id: Some(OLD),
            replay: Replay(3),
            floor: Offset::new(900),
            origin: Offset::new(0),
            anchor: None,
        }
    }

    fn plan() -> Plan {
        let log = OffsetRange::new(Offset::new(10), Offset::new(50));
        let identity = StoredIdentity { topic_id: Some(OLD), replay: Replay(3) };
        Plan {
            topic_now: Some(NEW),
            known: BTreeMap::from([(Partition(0), identity)]),
            from: Replay(3),
            to: Replay(4),
            starts: BTreeMap::from([(Partition(0), log), (Partition(1), log)]),
        }
    }

    /// The reason why no offset of Kafka is touched.
    #[test]
    fn a_takeover_starts_at_the_row_whatever_was_committed_before() {
        let claims = BTreeMap::from([(Partition(0), Claim(1)), (Partition(1), Claim(2))]);
        let rows = plan().rows(&lane(), &claims);
        assert_eq!(rows.len(), 2);
        let check = |committed: Option<CommittedOffset>| {
            let row = &rows[0];
            let facts = Facts {
                topic_id: Some(NEW),
                log: OffsetRange::new(Offset::new(10), Offset::new(50)),
                // A start policy that would lose records.
                start: Offset::new(50),
                committed: committed.clone(),
                stored: StoredFacts {
                    identity: Some(StoredIdentity { topic_id: row.topic_id, replay: row.replay }),
                    covered: [row.range].into_iter().collect(),
                    origin: Some(row.origin),
                    floor: Some(row.floor),
                    missing: None,
                    damaged: Vec::new(),
                },
            };
            let Resolution::Start(start) = resolve(&facts, OnGap::Halt) else { panic!("halted: {committed:?}") };
            assert_eq!(start.commit, Offset::new(10), "{committed:?}");
            assert_eq!((start.replay, start.topic_id), (Replay(4), Some(NEW)), "{committed:?}");
            assert_eq!((start.origin, start.floor), (Offset::new(10), Offset::new(10)), "{committed:?}");
            assert_eq!((start.cause, start.damaged), (StartCause::Ledger, None), "{committed:?}");
        };
        check(None);
        check(Some(CommittedOffset { offset: Offset::new(900), metadata: Some(old_metadata()) }));
        check(Some(CommittedOffset { offset: Offset::new(20), metadata: Some(old_metadata()) }));
    }

    #[test]
    fn the_claim_does_not_bring_the_new_replay_into_being() {
        let claims = plan().to_claim();
        let found: Vec<_> = claims.iter().map(|one| (one.partition.0, one.topic_id, one.replay.0)).collect();
        assert_eq!(found, [(0, Some(OLD), 3), (1, None, 0)]);
    }

    #[test]
    fn an_offset_of_another_tool_is_in_the_way() {
        let log = OffsetRange::new(Offset::new(10), Offset::new(50));
        let check = |metadata: &[u8], offset: u64, expected: Result<Option<u32>, &str>| {
            let stored = StoredOffset { offset: Offset::new(offset), metadata: metadata.to_vec() };
            match (committed_replay(Partition(7), Some(stored), Some(&log)), expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found.map(|replay| replay.0), expected),
                (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{error}"),
                (found, expected) => panic!("{found:?} instead of {expected:?}"),
            }
        };
        let ours = encode(&old_metadata());
        assert_eq!(decode(ours.as_bytes()), Ok(Some(old_metadata())));
        check(ours.as_bytes(), 900, Ok(Some(3)));
        check(b"", 10, Ok(None));
        check(b"", 11, Err("set by another tool"));
        check(b"oncesink9;", 10, Err("version 9"));
    }

    #[test]
    fn what_will_happen_is_shown() {
        let text = plan().text(&lane());
        for part in ["3 -> 4", "10 of partition 0 (end 50), 10 of partition 1", &OLD.to_string(), &NEW.to_string()] {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert!(!text.contains("second time"), "{text}");
        let again = Plan { topic_now: Some(OLD), ..plan() };
        assert!(again.text(&lane()).contains("second time"));
    }
}
