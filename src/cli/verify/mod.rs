//! `oncesink verify`: is every consumed record stored exactly once?
//!
//! Takes what a reader of committed data finds in the topic, and what the target and the dead letters hold; gives what is
//! missing, doubled, in both or unexplained, and, where asked for, what does not hold what its record says. Trusts the
//! connector in two things only: where its consumption began, and the ledger's gaps. Changes nothing, joins no group. Memory does not grow with the topic.

mod compare;
mod contents;
mod left_out;
mod past;
mod records;
mod report;
mod several;
mod stored;
mod subject;
mod sums;
mod survey;
mod tables;

use std::collections::BTreeMap;

use clap::Args;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::connect::{self, CommandError, block_on};
use super::output::{Output, Progress, print, print_json};
use super::{ConfigArgument, EXIT_CONFIG, EXIT_FINDINGS, EXIT_OK};
use crate::clickhouse::{ControlError, LaneTables, Session};
use crate::clock;
use crate::commit::metadata;
use crate::config::{Expansion, Settings};
use crate::ledger;
use crate::pipeline::topic_decoding::TopicDecoding;
use crate::protocol::facts::CommittedOffset;
use crate::source::observer::Observer;
use crate::source::{StoredOffset, TopicIdentity};
use crate::types::{OffsetRange, Partition, Replay, UnitKind};
use compare::{WINDOW_OFFSETS, WINDOW_OFFSETS_WITH_CONTENTS, Window, compare};
use contents::{ContentsPlan, compare_contents};
use left_out::without_table;
use records::{Reading, Sieve};
use report::{PartitionReport, Report, TopicReport};
use several::{RowReader, compare_records};
use stored::{Kind, StoredSide};
use subject::{Known, Subject};
use survey::Survey;
use tables::{decoding, former_routes, tables};

/// Partitions that are read at once: bounds the memory for their windows.
const PARTITIONS_AT_ONCE: usize = 32;
/// The same where contents are compared, whose windows are larger.
const PARTITIONS_AT_ONCE_WITH_CONTENTS: usize = 8;
/// Windows that wait for ClickHouse.
const WINDOWS_QUEUED_MAX: usize = 4;
/// Altered rows of a partition whose columns are named.
const ROWS_EXPLAINED_MAX: usize = 10;
/// Server codes of a table and of a database that are not there.
const UNKNOWN: [u32; 2] = [60, 81];

/// Arguments of `verify`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct VerifyArguments {
    /// The configuration.
    #[command(flatten)]
    pub config: ConfigArgument,
    /// Only this topic
    #[arg(long)]
    pub topic: Option<String>,
    /// A record that is not committed yet is a finding too
    #[arg(long)]
    pub complete: bool,
    /// Compares contents too: every row with what its record decodes to, every dead letter with the record's bytes
    #[arg(long)]
    pub contents: bool,
    /// How the result is printed
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
}

const EXAMPLES: &str = "\
Examples:
  oncesink verify --config oncesink.yaml                   all topics, up to the committed offsets
  oncesink verify --config oncesink.yaml --topic readings  one topic
  oncesink verify --config oncesink.yaml --complete        and nothing may be left to consume
  oncesink verify --config oncesink.yaml --contents        and every row holds what its record says
  oncesink verify --config oncesink.yaml --output json     for a script

The connector may run or not. Rows above the committed offset are counted, not judged: they are in flight, or will be
recognised when the connector goes on. Offsets that Kafka has removed (retention) cannot be compared; rows of records that
compaction has removed (`cleanup.policy` has `compact`) are counted, and are no finding.

With --contents records are decoded as the connector would today: a row that was changed on purpose (ALTER UPDATE) is a
finding. Rows of before an ALTER that show the default of a column that was added, or an older default, are noted only. Columns that do not come from the record alone are left out, and
named.

Exit codes: 0 no findings, 1 findings, 2 a server or the configuration cannot be used.";

/// Compares, prints, gives the exit code.
pub fn verify(arguments: &VerifyArguments) -> u8 {
    let settings = match arguments.config.load() {
        Ok(settings) => settings,
        Err(code) => return code,
    };
    let result = block_on(async {
        let report = run(&settings, arguments).await?;
        match arguments.output {
            Output::Text => print(&report.text())?,
            Output::Json => print_json(&report)?,
        }
        Ok(report.findings)
    });
    match result {
        Ok(0) => EXIT_OK,
        Ok(_) => EXIT_FINDINGS,
        Err(error) => {
            eprintln!("verify cannot go on: {error}");
            EXIT_CONFIG
        }
    }
}

async fn run(settings: &Settings, arguments: &VerifyArguments) -> Result<Report, CommandError> {
    let mut observer = connect::observer(settings)?;
    let cluster_id = observer.cluster_id()?;
    let session = connect::session(settings).await?;
    let mut beside = JoinSet::new();
    let schemas = connect::schemas(settings, &mut beside)?;
    let mut report = Report::default();
    let kafka = settings.kafka.clone();
    let Expansion { settings, left_out } = connect::expand(settings, &observer)?;
    for one in left_out.into_iter().filter(|one| arguments.topic.as_ref().is_none_or(|topic| *topic == one.topic)) {
        report.add(TopicReport::left_out(one));
    }
    for (mut lane, settings) in connect::lanes(&settings, arguments.topic.as_deref(), &cluster_id)? {
        if settings.pattern.is_some()
            && let Some(topic) = without_table(&session, &observer, &lane).await?
        {
            report.add(topic);
            continue;
        }
        let former = former_routes(&session, &lane).await?;
        if let Some(table) = former.first().filter(|_| arguments.contents) {
            return Err(CommandError::Impossible(format!(
                "topic {} has rows in {table}, where a former route wrote them; how is not known any more: verify without \
                 --contents",
                lane.cell.topic
            )));
        }
        lane.routes.extend(former);
        let compacted = connect::is_compacted(&kafka, &lane.cell.topic).await;
        let mut verification = Verification {
            session: &session,
            lane: &lane,
            complete: arguments.complete,
            compacted: compacted.clone().unwrap_or(false),
            contents: None,
            decoding: None,
        };
        let several = lane.coordinates.unit_kind() == UnitKind::Row;
        // Without any of these, how records are decoded does not matter, and the table may be any.
        if arguments.contents || !settings.keeps_every_value() || several {
            let tables = tables(&session, &lane).await?;
            let decoding = decoding(&session, &lane, settings, &tables, schemas.as_ref()).await?;
            if arguments.contents {
                verification.contents = Some(ContentsPlan::read(&session, &tables, decoding.clone()).await?);
            }
            verification.decoding = Some(decoding);
        }
        let (mut topic, used) = verification.topic(observer).await?;
        if let Err(error) = compacted
            && topic.partitions.iter().any(|partition| !partition.tally.unexplained.is_empty())
        {
            topic.notes.push(format!("whether the topic is compacted cannot be read (DescribeConfigs): {error}"));
        }
        observer = used;
        report.add(topic);
    }
    Ok(report)
}

/// The comparison of one topic with its table.
#[derive(Debug)]
struct Verification<'a> {
    session: &'a Session,
    lane: &'a LaneTables,
    complete: bool,
    /// Whether the topic is compacted.
    compacted: bool,
    /// Where contents are compared.
    contents: Option<ContentsPlan>,
    /// Where records have to be decoded.
    decoding: Option<TopicDecoding>,
}

impl Verification<'_> {
    fn stored(&self) -> StoredSide<'_> {
        let row_hashes = self.contents.as_ref().map(ContentsPlan::row_hashes).unwrap_or_default();
        StoredSide { session: self.session, lane: self.lane, row_hashes }
    }

    /// Takes the client of Kafka and gives it back, because a thread of its own reads with it.
    async fn topic(&self, mut observer: Observer) -> Result<(TopicReport, Observer), CommandError> {
        let topic = &self.lane.cell.topic;
        let mut report =
            TopicReport { topic: topic.clone(), table: self.lane.cell.target.to_string(), ..TopicReport::default() };
        let Some(partitions) = observer.partitions(topic)? else {
            report.findings.push(format!("topic {topic} does not exist"));
            return Ok((report, observer));
        };
        let at_once = match &self.contents {
            None => PARTITIONS_AT_ONCE,
            Some(contents) => {
                report.contents = true;
                if !contents.left_out.is_empty() {
                    report.notes.push(format!("columns that are not compared: {}", contents.left_out.join(", ")));
                }
                PARTITIONS_AT_ONCE_WITH_CONTENTS
            }
        };
        for some in partitions.chunks(at_once) {
            let (mut done, used) = self.partitions(observer, some).await?;
            observer = used;
            report.partitions.append(&mut done);
        }
        let greatest = report.partitions.iter().map(|one| one.replay).max().unwrap_or_default();
        for kind in [Kind::Rows, Kind::DeadLetters] {
            let strangers = self.stored().strangers(kind, &partitions, Replay(greatest)).await;
            for stranger in or_nothing(kind, strangers)?.unwrap_or_default() {
                report.findings.push(format!(
                    "{} {} are unexplained: partition {}, replay {} was never produced to",
                    stranger.units,
                    name(kind),
                    stranger.unit_partition,
                    stranger.unit_replay
                ));
            }
        }
        Ok((report, observer))
    }

    async fn partitions(
        &self,
        observer: Observer,
        partitions: &[Partition],
    ) -> Result<(Vec<PartitionReport>, Observer), CommandError> {
        let mut subjects = BTreeMap::new();
        let mut reports = BTreeMap::new();
        for (partition, subject) in self.subjects(&observer, partitions).await? {
            match subject {
                Ok(subject) => {
                    reports.insert(partition, PartitionReport::of(&subject));
                    subjects.insert(partition, subject);
                }
                Err(reason) => {
                    reports.insert(partition, PartitionReport::refused(partition.0, reason));
                }
            }
        }
        let mut observer = self.compare_windows(observer, &subjects, &mut reports).await?;
        self.excuse_the_past(&mut observer, &subjects, &mut reports).await?;
        self.name_columns(&mut observer, &subjects, &mut reports).await?;
        self.outside(&observer, &subjects, &mut reports).await?;
        if self.complete {
            self.uncommitted(&mut observer, &subjects, &mut reports)?;
        }
        let mut reports: Vec<_> = reports.into_values().collect();
        for report in &mut reports {
            report.conclude();
        }
        Ok((reports, observer))
    }

    /// What to compare. Committed offsets are read first: everything below them is in the tables by then.
    async fn subjects(
        &self,
        observer: &Observer,
        partitions: &[Partition],
    ) -> Result<BTreeMap<Partition, Result<Subject, String>>, CommandError> {
        let topic = &self.lane.cell.topic;
        let mut committed = observer.committed(topic, partitions)?;
        let topic_id = match observer.topic_identity(topic)? {
            TopicIdentity::Id(id) => Some(id),
            TopicIdentity::Unknown | TopicIdentity::WithoutId => None,
        };
        let mut logs = observer.logs(topic, partitions)?;
        let stored = ledger::stored_facts(self.session, self.lane, partitions, false).await;
        let mut stored = or_unknown(stored)?.unwrap_or_default();
        let mut gaps = or_unknown(self.stored().gaps().await)?.unwrap_or_default();
        let mut subjects = BTreeMap::new();
        for partition in partitions {
            let (Some(log), Some(offset)) = (logs.remove(partition), committed.remove(partition)) else { continue };
            let (log, offset) = (log?, offset?);
            let stored = stored.remove(&self.lane.key(*partition)).unwrap_or_default();
            let known = |committed| Known { partition: *partition, topic_id, log, committed, stored };
            let subject =
                committed_offset(offset).and_then(|committed| known(committed).subject()).map(|mut subject| {
                    subject.excused.compacted = self.compacted;
                    subject.excused.gaps = gaps.remove(&(*partition, subject.replay)).unwrap_or_default();
                    subject
                });
            subjects.insert(*partition, subject);
        }
        Ok(subjects)
    }

    async fn compare_windows(
        &self,
        mut observer: Observer,
        subjects: &BTreeMap<Partition, Subject>,
        reports: &mut BTreeMap<Partition, PartitionReport>,
    ) -> Result<Observer, CommandError> {
        let (sender, mut windows) = mpsc::channel(WINDOWS_QUEUED_MAX);
        let topic = self.lane.cell.topic.clone();
        let ranges: BTreeMap<_, _> = subjects.iter().map(|(partition, subject)| (*partition, subject.range)).collect();
        let total: u64 = ranges.values().map(|range| range.end().get() - range.start().get()).sum();
        let several = self.lane.coordinates.unit_kind() == UnitKind::Row;
        let large = self.contents.is_some() || several;
        let window_offsets = if large { WINDOW_OFFSETS_WITH_CONTENTS } else { WINDOW_OFFSETS };
        let decoding = self.decoding.as_ref().filter(|_| several);
        let how = Reading {
            window_offsets,
            hasher: self.contents.as_ref().map(ContentsPlan::hasher),
            sieve: self.decoding.as_ref().and_then(Sieve::of),
            rows: decoding.map(|decoding| RowReader::new(decoding, self.contents.as_ref())),
        };
        let mut survey = Survey::new(window_offsets, self.contents.is_some().then(|| self.stored().row_hash()));
        let reading = tokio::task::spawn_blocking(move || {
            let result = records::send_windows(&mut observer, &topic, &ranges, how, &sender);
            (observer, result)
        });
        let (mut progress, began, mut seen) = (Progress::new(), clock::now(), 0_u64);
        while let Some((partition, window)) = windows.recv().await {
            let report = reports.get_mut(&partition).expect("every window is of a subject, which has a report");
            let sums = survey.window(&self.stored(), subjects, partition, &window).await?;
            if window.sums == sums.rows + sums.dead {
                window.count_clean(sums.rows, sums.dead, &mut report.tally);
            } else {
                self.window(&subjects[&partition], &window, &survey, report).await?;
            }
            seen += window.range.end().get() - window.range.start().get();
            let seconds = clock::now().duration_since(began).as_secs().max(1);
            progress.show(&format!(
                "{}: {seen} of {total} offsets compared, {} a second",
                self.lane.cell.topic,
                seen / seconds
            ));
        }
        let (observer, result) = reading.await.expect("reading does not panic");
        result?;
        Ok(observer)
    }

    /// Looks at a window whose sums differ.
    async fn window(
        &self,
        subject: &Subject,
        window: &Window,
        survey: &Survey,
        report: &mut PartitionReport,
    ) -> Result<(), CommandError> {
        let stored = self.stored();
        if self.lane.coordinates.unit_kind() == UnitKind::Row {
            let records = |kind| {
                let contents = survey.hash_of(kind);
                stored.records(kind, contents, subject.partition, subject.replay, window.range)
            };
            let rows = records(Kind::Rows).await?;
            let dead = or_nothing(Kind::DeadLetters, records(Kind::DeadLetters).await)?.unwrap_or_default();
            compare_records(window, &rows, &dead, &subject.excused, &mut report.tally);
            return Ok(());
        }
        let words = |kind| stored.words(kind, subject.partition, subject.replay, window.range);
        let (rows, dead) = tokio::join!(words(Kind::Rows), words(Kind::DeadLetters));
        let (rows, dead) = (rows?, or_nothing(Kind::DeadLetters, dead)?.unwrap_or_default());
        let before = report.tally.surplus;
        compare(window, &rows, &dead, &subject.excused, &mut report.tally);
        if let Some((row_hash, dead_hash)) = survey.hash_of(Kind::Rows).zip(survey.hash_of(Kind::DeadLetters)) {
            let hashes = |kind, hash| stored.hashes(kind, hash, subject.partition, subject.replay, window.range);
            let rows = hashes(Kind::Rows, row_hash).await?;
            let dead = hashes(Kind::DeadLetters, dead_hash).await;
            let dead = or_nothing(Kind::DeadLetters, dead)?.unwrap_or_default();
            compare_contents(window, &rows, &dead, &mut report.tally);
        }
        if report.tally.surplus == before {
            return Ok(());
        }
        for kind in [Kind::Rows, Kind::DeadLetters] {
            let doubled = stored.doubled(kind, subject.partition, subject.replay, window.range).await;
            let (count, first) = or_nothing(kind, doubled)?.unwrap_or_default();
            let named = u64::try_from(first.len()).expect("few are named");
            for offset in first {
                report.tally.doubled.add(offset);
            }
            report.tally.doubled.count += count.saturating_sub(named);
        }
        Ok(())
    }

    /// What compares contents, where an offset names one row: where a record makes several, it names no column of one.
    fn contents_by_record(&self) -> Option<&ContentsPlan> {
        self.contents.as_ref().filter(|_| self.lane.coordinates.unit_kind() == UnitKind::Record)
    }

    /// Says which columns of the first altered rows differ: the records are read again for it.
    async fn name_columns(
        &self,
        observer: &mut Observer,
        subjects: &BTreeMap<Partition, Subject>,
        reports: &mut BTreeMap<Partition, PartitionReport>,
    ) -> Result<(), CommandError> {
        let Some(contents) = self.contents_by_record() else { return Ok(()) };
        let mut hasher = contents.hasher();
        for (partition, subject) in subjects {
            let report = reports.get_mut(partition).expect("every subject has a report");
            for offset in report.tally.altered.first(ROWS_EXPLAINED_MAX) {
                let topic = &self.lane.cell.topic;
                let record = records::record_at(observer, topic, *partition, offset)?;
                let expected = record.and_then(|record| hasher.column_hashes(&record.record(topic)));
                let Some((target, expected)) = expected else { continue };
                let hashes = contents.column_hashes(target);
                let found = self.stored().column_hashes(target, &hashes, *partition, subject.replay, offset).await?;
                let Some(found) = found else { continue };
                let sides = expected.iter().zip(&found);
                let names = contents.names(target).zip(sides).filter(|(_, (expected, found))| expected != found);
                let names: Vec<&str> = names.map(|(name, _)| name).collect();
                report.notes.push(format!("the row of offset {offset} differs in {}", names.join(", ")));
            }
        }
        Ok(())
    }

    /// Counts what lies outside of the compared offsets. What lies at or above the end that Kafka has *afterwards* was
    /// never produced.
    async fn outside(
        &self,
        observer: &Observer,
        subjects: &BTreeMap<Partition, Subject>,
        reports: &mut BTreeMap<Partition, PartitionReport>,
    ) -> Result<(), CommandError> {
        let stored = self.stored();
        let mut ahead = Vec::new();
        for (partition, subject) in subjects {
            let report = reports.get_mut(partition).expect("every subject has a report");
            for kind in [Kind::Rows, Kind::DeadLetters] {
                let outside = stored.outside(kind, *partition, subject.replay, subject.range).await;
                let outside = or_nothing(kind, outside)?.unwrap_or_default();
                report.below_log += outside.below;
                report.not_committed_yet += outside.above;
                if outside.negative > 0 {
                    report.findings.push(format!("{} {} have negative offsets", outside.negative, name(kind)));
                }
                if let Some(greatest) = outside.greatest.filter(|greatest| *greatest >= subject.end) {
                    ahead.push((*partition, kind, greatest));
                }
            }
        }
        let asked: Vec<Partition> = ahead.iter().map(|(partition, _, _)| *partition).collect();
        let mut ends = observer.logs(&self.lane.cell.topic, &asked)?;
        for (partition, kind, greatest) in ahead {
            let Some(log) = ends.get_mut(&partition) else { continue };
            let end = log.as_ref().map_err(Clone::clone)?.end();
            if greatest < end {
                continue;
            }
            let report = reports.get_mut(&partition).expect("every subject has a report");
            let count = stored.count_from(kind, partition, subjects[&partition].replay, end).await?;
            report.tally.unexplained.add_range(OffsetRange::new(end, greatest.next()), count);
            report.not_committed_yet = report.not_committed_yet.saturating_sub(count);
        }
        Ok(())
    }

    /// Says where records are left to consume. Transaction markers behind the committed offset are none.
    fn uncommitted(
        &self,
        observer: &mut Observer,
        subjects: &BTreeMap<Partition, Subject>,
        reports: &mut BTreeMap<Partition, PartitionReport>,
    ) -> Result<(), CommandError> {
        let topic = &self.lane.cell.topic;
        let partitions: Vec<_> = subjects.keys().copied().collect();
        let logs = observer.logs(topic, &partitions)?;
        let stable = observer.last_stable(topic, &partitions)?;
        for (partition, subject) in subjects {
            let (Some(Ok(log)), Some(Ok(stable))) = (logs.get(partition), stable.get(partition)) else {
                return Err(CommandError::Impossible(format!("the end of partition {partition} cannot be read")));
            };
            let committed = subject.committed.unwrap_or(log.start()).max(log.start());
            let stable = stable.unwrap_or(committed);
            let left = if log.end() > stable {
                Some(format!("a transaction is open above offset {stable}"))
            } else if committed < stable {
                let rest = OffsetRange::new(committed, stable);
                records::has_record(observer, topic, *partition, rest)?
                    .then(|| format!("records of the offsets {rest} are not committed yet"))
            } else {
                None
            };
            let report = reports.get_mut(partition).expect("every subject has a report");
            report.findings.extend(left);
        }
        Ok(())
    }
}

fn committed_offset(stored: Option<StoredOffset>) -> Result<Option<CommittedOffset>, String> {
    let Some(stored) = stored else { return Ok(None) };
    let metadata = metadata::decode(&stored.metadata).map_err(|error| error.to_string())?;
    Ok(Some(CommittedOffset { offset: stored.offset, metadata }))
}

const fn name(kind: Kind) -> &'static str {
    match kind {
        Kind::Rows => "rows",
        Kind::DeadLetters => "dead letters",
    }
}

/// Our own tables are made by the first start of the connector; before it there is nothing in them.
fn or_unknown<T>(result: Result<T, ControlError>) -> Result<Option<T>, ControlError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.code().is_some_and(|code| UNKNOWN.contains(&code)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The same for a table with units: the target has to be there.
fn or_nothing<T>(kind: Kind, result: Result<T, ControlError>) -> Result<Option<T>, ControlError> {
    match kind {
        Kind::Rows => result.map(Some),
        Kind::DeadLetters => or_unknown(result),
    }
}
