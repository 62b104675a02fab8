//! `route_by`, `routes` and `unrouted` of a topic: which of several tables a record goes to.
//!
//! Takes the topic's section and what was read of the topic itself, gives [`Routing`]. Whether the conditions can be
//! compiled is seen when the topic's decoding is.

use std::collections::BTreeMap;

use super::detector::{DetectorSettings, read_detectors};
use super::error::{Located, Problem};
use super::keys;
use super::mapping::{ColumnMapping, ColumnSource, FROM, parse_any_column, parse_source, read_columns};
use super::names::{TableName, parse_table, parse_table_of_pattern};
use super::section::{Found, Section};
use super::topic::TopicSettings;
use crate::columns::Source;
use crate::types::TargetNumber;

/// Each table has its own columns to keep in memory, and its own insert in every block.
const TABLES_MAX: usize = 100;

/// Which table a record goes to.
#[derive(Debug, Clone)]
pub struct Routing {
    /// The parts of a record that conditions look at, each as a text, by the name that they know it by.
    pub by: BTreeMap<String, Located<Source>>,
    /// In their order: the first whose condition holds decides.
    pub routes: Vec<Route>,
    /// The topic as if all of its records went to the table, for each table of a route that is not the topic's own;
    /// numbered from 1 on.
    pub tables: Vec<TopicSettings>,
    /// What happens with records for which no condition holds. Default the topic's own table.
    pub unrouted: Unrouted,
}

/// A condition, and where records go for which it holds.
#[derive(Debug, Clone)]
pub struct Route {
    /// An expression over the names of `route_by`.
    pub when: Located<String>,
    /// The table.
    pub target: TargetNumber,
}

/// What happens with records for which no condition holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unrouted {
    /// They go to the topic's own table.
    Table,
    /// They become dead letters.
    DeadLetter,
    /// They are skipped and counted.
    Skip,
}

/// One entry of `routes`, read.
struct RouteSection {
    when: Located<String>,
    table: Located<TableName>,
    only_when: Option<Located<String>>,
    columns: BTreeMap<String, Located<ColumnMapping>>,
    detectors: Vec<DetectorSettings>,
}

/// What a topic says of routes; the outer `None` where something is bad.
pub(super) fn read_routing(section: &Section<'_>, topic: &TopicSettings) -> Option<Option<Routing>> {
    let by = read_parts(section);
    let unrouted = read_unrouted(section);
    let Some(entry) = section.entry("routes") else {
        for key in ["route_by", "unrouted"] {
            if let Some(entry) = section.entry(key) {
                let reason = format!("`{key}` has no effect without `routes`");
                section.report.add(
                    &entry.key_location,
                    reason,
                    "add `routes: [{ when: .., table: .. }]`, or remove it",
                );
            }
        }
        return by.zip(unrouted).map(|_| None);
    };
    if section.entry("route_by").is_none() {
        let fix = "add `route_by: { kind: $.type }`: names for the parts of a record that `when` looks at";
        section.report.add(&entry.key_location, "`routes` needs `route_by`", fix);
        return None;
    }
    let routes = read_routes(section, topic.pattern.is_some());
    let (by, unrouted, routes) = (by?, unrouted?, routes?);
    let mut tables: Vec<TopicSettings> = Vec::new();
    let mut numbered = Vec::new();
    for route in routes {
        let target = number_of(section, &route, topic, &mut tables);
        numbered.push(target.map(|target| Route { when: route.when, target }));
    }
    if tables.len() > TABLES_MAX {
        let reason = format!("`routes` names {} tables, more than {TABLES_MAX}", tables.len());
        section.report.add(&entry.key_location, reason, "divide the topic among several connectors");
        return None;
    }
    let routes = numbered.into_iter().collect::<Option<_>>()?;
    Some(Some(Routing { by, routes, tables, unrouted }))
}

/// The number of a route's table; a table that is met for the first time gets the next one.
fn number_of(
    section: &Section<'_>,
    route: &RouteSection,
    topic: &TopicSettings,
    tables: &mut Vec<TopicSettings>,
) -> Option<TargetNumber> {
    let known = |settings: &TopicSettings| settings.table.value == route.table.value;
    let plain = route.only_when.is_none() && route.columns.is_empty() && route.detectors.is_empty();
    let number = |index: usize| TargetNumber(u16::try_from(index).expect("a file has few routes"));
    let first = if known(topic) { Some((topic, 0)) } else { None };
    let first = first.or_else(|| tables.iter().zip(1..).find(|(settings, _)| known(settings)));
    match first {
        Some((_, index)) if plain => Some(number(index)),
        Some((settings, _)) => {
            let reason = format!(
                "table `{}` stands before, on line {}; what is done with its columns is said there",
                route.table.value,
                settings.table.location.line()
            );
            let fix = "keep `when` and `table` only, and put `columns`, `only_when` and `detectors` there";
            section.report.add(&route.table.location, reason, fix);
            None
        }
        None => {
            let mut settings = topic.clone();
            settings.table = route.table.clone();
            settings.only_when.clone_from(&route.only_when);
            settings.mapping.columns.clone_from(&route.columns);
            settings.detectors.clone_from(&route.detectors);
            settings.location = route.table.location.clone();
            tables.push(settings);
            Some(number(tables.len()))
        }
    }
}

fn read_parts(topic: &Section<'_>) -> Option<BTreeMap<String, Located<Source>>> {
    let Some(entry) = topic.entry("route_by") else { return Some(BTreeMap::new()) };
    let path = topic.path_of("route_by");
    let section = Section::open_free(topic.report, &entry.value, &entry.key_location, path)?;
    let mut parts = Some(BTreeMap::new());
    for entry in section.entries() {
        let named = parse_part(&entry.key).map_err(|problem| {
            let reason = format!("`{}` {}", section.path_of(&entry.key), problem.reason);
            section.report.add(&entry.key_location, reason, problem.fix);
        });
        let source = section.value(&entry.key, FROM, parse_part_source).optional().flatten();
        parts = match (parts, named, source) {
            (Some(mut parts), Ok(name), Some(source)) => {
                parts.insert(name, source);
                Some(parts)
            }
            _ => None,
        };
    }
    parts
}

/// A name that an expression can use.
fn parse_part(text: &str) -> Result<String, Problem> {
    let fix = "write a name of letters, digits and `_`, such as `kind`";
    let name = parse_any_column(text).map_err(|_| Problem::new("is no name", fix))?;
    let plain =
        name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') && !name.starts_with(|c: char| c.is_ascii_digit());
    if plain { Ok(name) } else { Err(Problem::new("is no name that an expression can use", fix)) }
}

fn parse_part_source(text: &str) -> Result<Source, Problem> {
    match parse_source(text)? {
        ColumnSource::Source(source) => Ok(source),
        ColumnSource::Name | ColumnSource::Nothing => {
            Err(Problem::new("says nothing of a record", "write a path such as `$.type`, `$key` or `$headers.name`"))
        }
    }
}

fn read_unrouted(topic: &Section<'_>) -> Option<Unrouted> {
    let choices = [("table", Unrouted::Table), ("dead_letter", Unrouted::DeadLetter), ("skip", Unrouted::Skip)];
    topic.choice("unrouted", &choices).or(Unrouted::Table, &topic.location).map(|unrouted| unrouted.value)
}

fn read_routes(topic: &Section<'_>, by_pattern: bool) -> Option<Vec<RouteSection>> {
    let sections = match topic.list("routes", keys::ROUTE) {
        Found::Absent => return Some(Vec::new()),
        Found::Bad => return None,
        Found::Value(sections) => sections,
    };
    let read = |section: &Option<Section<'_>>| section.as_ref().and_then(|section| read_route(section, by_pattern));
    let routes: Vec<_> = sections.value.iter().map(read).collect();
    routes.into_iter().collect()
}

fn read_route(section: &Section<'_>, by_pattern: bool) -> Option<RouteSection> {
    let when = section.text("when", "an expression");
    let when = section.require("when", when, "add `when: kind == \"..\"`");
    let parse_table = if by_pattern { parse_table_of_pattern } else { parse_table };
    let table = section.value("table", "`table` or `database.table`", parse_table);
    let table = section.require("table", table, "add `table: database.table`");
    let only_when = section.text("only_when", "an expression").optional();
    let columns = read_columns(section);
    let detectors = read_detectors(section);
    Some(RouteSection { when: when?, table: table?, only_when: only_when?, columns: columns?, detectors: detectors? })
}
