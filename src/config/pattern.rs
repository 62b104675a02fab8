//! Topics by pattern: for which topics of a cluster an entry is, and the configuration with each of them in it.
//!
//! Takes the names that a cluster lists, gives the settings as if each matching topic had an entry of its own, and says
//! which were left out and why. Pure: the same names give the same topics in the same order in every process. Never takes
//! a topic of the broker's own, the alert topic, or one that has an entry by name.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use regex_lite::Regex;

use super::cross_checks::STATE_TABLES;
use super::error::{Located, Problem};
use super::names::TableName;
use super::settings::{Settings, TOPICS_MAX};
use super::topic::{CoordinateColumns, TopicSettings};

/// Topics of the broker and of its tools begin with this.
const INTERNAL_PREFIX: &str = "__";

/// A regular expression that the whole name of a topic has to match.
#[derive(Clone)]
pub struct Pattern {
    text: String,
    whole: Regex,
}

impl Pattern {
    /// Whether the topic's whole name matches.
    pub fn matches(&self, topic: &str) -> bool {
        self.whole.is_match(topic)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pattern({})", self.text)
    }
}

pub(super) fn parse_pattern(text: &str) -> Result<Pattern, Problem> {
    let fix = "write a regular expression for the whole name, such as `orders\\..*`";
    if text.is_empty() {
        return Err(Problem::new("matches no topic", fix));
    }
    // By itself first: what is put around it must not mend it.
    let whole = Regex::new(text).and_then(|_| Regex::new(&format!("^(?:{text})$")));
    let whole = whole.map_err(|error| Problem::new(format!("is no regular expression: {error}"), fix))?;
    Ok(Pattern { text: text.to_owned(), whole })
}

/// The settings with the topics that patterns have found.
#[derive(Debug, Clone)]
pub struct Expansion {
    /// With all topics in `topics`: those with entries of their own first, then those of each pattern by their names.
    pub settings: Settings,
    /// What matches a pattern and is not among them.
    pub left_out: Vec<LeftOut>,
}

/// A topic that matches a pattern and cannot be read all the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// The topic.
    pub topic: String,
    /// Why.
    pub reason: String,
    /// What to do.
    pub fix: String,
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.reason, self.fix)
    }
}

impl Settings {
    /// The entry by whose pattern a topic is read: the first that matches.
    pub fn pattern_of(&self, topic: &str) -> Option<&TopicSettings> {
        self.patterns.get(self.index_of(topic)?)
    }

    fn index_of(&self, topic: &str) -> Option<usize> {
        if topic.starts_with(INTERNAL_PREFIX) || self.alert_topic.as_deref() == Some(topic) {
            return None;
        }
        let matches = |entry: &TopicSettings| entry.pattern.as_ref().is_some_and(|pattern| pattern.matches(topic));
        let index = self.patterns.iter().position(matches)?;
        let has_its_own = self.topics.iter().any(|entry| entry.topic.value == topic);
        (!has_its_own).then_some(index)
    }

    /// The settings with the matching ones of a cluster's topics.
    pub fn expand<'t>(&self, topics: impl IntoIterator<Item = &'t str>) -> Expansion {
        let matching: BTreeSet<(usize, &str)> =
            topics.into_iter().filter_map(|topic| Some((self.index_of(topic)?, topic))).collect();
        let mut matching = matching.into_iter();
        let mut settings = self.clone();
        let mut tables: BTreeMap<TableName, CoordinateColumns> = BTreeMap::new();
        for entry in self.topics.iter().flat_map(TopicSettings::tables) {
            tables.insert(entry.table.value.clone(), entry.coordinates.clone());
        }
        let mut left_out = Vec::new();
        while let Some((index, topic)) = matching.next() {
            if settings.topics.len() >= TOPICS_MAX {
                let more = matching.by_ref().count();
                left_out.push(LeftOut {
                    topic: topic.to_owned(),
                    reason: format!("it and {more} more are above the {TOPICS_MAX} topics of one connector"),
                    fix: "narrow the pattern and start a second connector for them".to_owned(),
                });
                break;
            }
            match self.of_topic(&self.patterns[index], topic, &tables) {
                Ok(entry) => {
                    for entry in entry.tables() {
                        tables.insert(entry.table.value.clone(), entry.coordinates.clone());
                    }
                    settings.topics.push(entry);
                }
                Err(Problem { reason, fix, .. }) => left_out.push(LeftOut { topic: topic.to_owned(), reason, fix }),
            }
        }
        Expansion { settings, left_out }
    }

    /// The entry for one topic of a pattern, given the tables of the others.
    fn of_topic(
        &self,
        entry: &TopicSettings,
        topic: &str,
        tables: &BTreeMap<TableName, CoordinateColumns>,
    ) -> Result<TopicSettings, Problem> {
        let mut own = self.at_table(entry, topic, tables)?;
        if let Some(routing) = &mut own.routing {
            let routes = routing.tables.iter().map(|route| self.at_table(route, topic, tables));
            routing.tables = routes.collect::<Result<_, _>>()?;
        }
        let mut distinct = BTreeSet::new();
        if let Some(twice) = own.tables().find(|table| !distinct.insert(&table.table.value)) {
            return Err(Problem::new(
                format!("two of its routes go to the table {}", twice.table.value),
                "give their tables names that stay different with the topic in them",
            ));
        }
        Ok(own)
    }

    /// The same entry, or that of one of its routes, with the topic and the table's name of the topic.
    fn at_table(
        &self,
        entry: &TopicSettings,
        topic: &str,
        tables: &BTreeMap<TableName, CoordinateColumns>,
    ) -> Result<TopicSettings, Problem> {
        let table = entry.table.value.of_topic(topic);
        let table = table.map_err(|problem| Problem { reason: format!("its table {}", problem.reason), ..problem })?;
        if table.database() == self.state_database && STATE_TABLES.contains(&table.table()) {
            return Err(Problem::new(
                format!("its table {table} is one of the connector's own"),
                "narrow the pattern, or write into another database",
            ));
        }
        if tables.get(&table).is_some_and(|columns| *columns != entry.coordinates) {
            return Err(Problem::new(
                format!("another topic goes to its table {table} with other `coordinates`"),
                "give both entries the same `coordinates`: they tell the rows of the two topics apart",
            ));
        }
        Ok(TopicSettings {
            topic: Located { value: topic.to_owned(), location: entry.topic.location.clone() },
            table: Located { value: table, location: entry.table.location.clone() },
            ..entry.clone()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    fn settings(entries: &str) -> Settings {
        let text = format!(
            "name: n\ninstance: i\nkafka: {{ brokers: \"k:9092\" }}\nclickhouse: {{ url: \"http://c:8123\" }}\n\
             alerts: {{ topic: orders.alerts }}\ntopics:\n{entries}"
        );
        config::parse("x.yaml", &text, &|_| None).unwrap()
    }

    /// `topic>table` of what is read, `topic!reason` of what is left out.
    fn expanded(entries: &str, topics: &[&str]) -> Vec<String> {
        let Expansion { settings, left_out } = settings(entries).expand(topics.iter().copied());
        let tables = settings.topics.iter().flat_map(TopicSettings::tables);
        let read = tables.map(|entry| format!("{}>{}", entry.topic.value, entry.table.value));
        read.chain(left_out.iter().map(|one| format!("{}!{one}", one.topic))).collect()
    }

    #[test]
    fn each_matching_topic_is_as_if_it_had_an_entry() {
        let check = |entries: &[&str], topics: &[&str], expected: &[&str]| {
            let entries: String = entries.iter().map(|entry| format!("  - {{ {entry} }}\n")).collect();
            assert_eq!(expanded(&entries, topics), expected, "{entries}{topics:?}");
        };
        let orders = "pattern: 'orders\\..*', table: 'shop.{topic}'";
        // The whole name, in the order of names, whatever the cluster's is.
        check(
            &[orders],
            &["orders.us", "my.orders.x", "orders", "orders.eu"],
            &["orders.eu>shop.orders_eu", "orders.us>shop.orders_us"],
        );
        check(&["pattern: 'a|bc', table: t"], &["a", "abc", "bc", "b", "ac"], &["a>default.t", "bc>default.t"]);
        // Not the broker's, not our alerts, not what has an entry by name.
        check(
            &["pattern: '.*', table: t"],
            &["__consumer_offsets", "orders.alerts", "_schemas"],
            &["_schemas>default.t"],
        );
        check(
            &[orders, "topic: orders.eu, table: eu.orders"],
            &["orders.eu", "orders.us"],
            &["orders.eu>eu.orders", "orders.us>shop.orders_us"],
        );
        // The first of two patterns, and a name that is not there.
        check(
            &[orders, "pattern: '.*', table: rest", "topic: z, table: z"],
            &["b", "orders.a"],
            &["z>default.z", "orders.a>shop.orders_a", "b>default.rest"],
        );
        // Two topics that make one name share the table.
        check(&[orders], &["orders.a-b", "orders.a.b"], &["orders.a-b>shop.orders_a_b", "orders.a.b>shop.orders_a_b"]);
        check(&[orders], &[], &[]);
        let routes = "route_by: { kind: $.kind }, routes: [ { when: 'kind == \"x\"', table: '{topic}_x' } ]";
        check(
            &[&format!("pattern: 'a.*', table: '{{topic}}', {routes}")],
            &["a", "a.b"],
            &["a>default.a", "a>default.a_x", "a.b>default.a_b", "a.b>default.a_b_x"],
        );
    }

    #[test]
    fn what_cannot_be_read_is_left_out_with_the_reason() {
        let check = |entries: &[&str], topics: &[&str], expected: &[&str]| {
            let entries: String = entries.iter().map(|entry| format!("  - {{ {entry} }}\n")).collect();
            let found = expanded(&entries, topics);
            assert_eq!(found.len(), expected.len(), "{found:?}");
            for (found, expected) in found.iter().zip(expected) {
                assert!(found.starts_with(expected), "{found} for {expected}");
            }
        };
        let long = "x".repeat(101);
        check(
            &["pattern: '.*', table: '{topic}'"],
            &[&long, "y"],
            &["y>default.y", &format!("{long}!its table is a table name of 101 characters; use at most 100")],
        );
        check(
            &["pattern: '.*', table: 'oncesink.{topic}'"],
            &["ledger", "x"],
            &["x>oncesink.x", "ledger!its table oncesink.ledger is one of the connector's own"],
        );
        let routes = "route_by: { kind: $.kind }, routes: [ { when: 'kind == \"x\"', table: '{topic}_x' } ]";
        check(
            &[&format!("pattern: '.*', table: a_x, {routes}")],
            &["a", "b"],
            &["b>default.a_x", "b>default.b_x", "a!two of its routes go to the table default.a_x"],
        );
        let other = "pattern: '.*', table: '{topic}', coordinates: { offset: o }";
        check(
            &["topic: a.b, table: a_b", other],
            &["a-b", "c"],
            &[
                "a.b>default.a_b",
                "c>default.c",
                "a-b!another topic goes to its table default.a_b with other `coordinates`",
            ],
        );
    }

    #[test]
    fn a_connector_has_a_bounded_number_of_topics() {
        let names: Vec<String> = (0..TOPICS_MAX + 5).map(|number| format!("t{number:04}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let found = expanded("  - { topic: one, table: t }\n  - { pattern: 't.*', table: t }\n", &names);
        assert_eq!(found.len(), TOPICS_MAX + 1);
        assert_eq!(found[TOPICS_MAX - 1], "t0998>default.t");
        assert!(
            found[TOPICS_MAX].starts_with("t0999!it and 5 more are above the 1000 topics"),
            "{}",
            found[TOPICS_MAX]
        );
    }

    #[test]
    fn patterns_are_regular_expressions() {
        let check = |text: &str, expected: &str| {
            let found = parse_pattern(text).map_or_else(|problem| problem.reason, |pattern| pattern.to_string());
            assert!(found.starts_with(expected), "{text}: {found}");
        };
        check("orders\\..*", "orders\\..*");
        check("", "matches no topic");
        check("a)(b", "is no regular expression: ");
        check("[", "is no regular expression: ");
        check("(?x)a # and", "is no regular expression: ");
    }
}
