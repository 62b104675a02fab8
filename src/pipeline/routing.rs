//! Which of a topic's tables a record goes to.
//!
//! Takes `route_by` and `routes` of the configuration. The parts of a record that decide are decoded into columns of their
//! own, by the topic's own format, and conditions look at these. A record that cannot be decoded goes nowhere.

use std::sync::Arc;

use crate::alerts::Filter;
use crate::columns::{Changes, ColumnSpec, Columns, DefaultValue, OnError, RowPlan, Source};
use crate::config::{self, ConfigError, Envelope, TopicSettings, Unrouted};
use crate::decode::{DecodeError, Record, RecordDecoder, RowCursor, Undecoded};
use crate::pipeline::decoding::Decoding;
use crate::pipeline::row_plan::carried;
use crate::registry::Schemas;
use crate::types::TargetNumber;

/// The type of the columns that conditions look at.
const PART_TYPE: &str = "Nullable(String)";

/// The routes of a topic, compiled.
#[derive(Debug, Clone)]
pub struct Routing {
    decoding: Decoding,
    routes: Arc<[(Filter, TargetNumber)]>,
    unrouted: Unrouted,
    /// Whether a part of the value decides; otherwise the value is not decoded for it.
    by_value: bool,
}

impl Routing {
    /// Compiles the routes of a topic, where it has any. Needs no table.
    ///
    /// # Errors
    /// Everything that is wrong with them, each with its place.
    pub fn compile(topic: &TopicSettings, schemas: Option<&Schemas>) -> Result<Option<Self>, Vec<ConfigError>> {
        let Some(routing) = &topic.routing else { return Ok(None) };
        let plan = parts(routing, topic.mapping.envelope).map_err(|reason| {
            vec![ConfigError::at(topic.location.clone(), format!("`route_by`: {reason}"), "name other parts")]
        })?;
        let mut errors = Vec::new();
        let mut routes = Vec::new();
        for route in &routing.routes {
            match Filter::compile("when", &route.when, &plan) {
                Ok(condition) => routes.push((condition, route.target)),
                Err(more) => errors.extend(more),
            }
        }
        let by_value = routing
            .by
            .values()
            .any(|source| matches!(source.value, Source::Value(_) | Source::Record(_) | Source::Raw));
        let mut every = topic.clone();
        every.only_when = None;
        match Decoding::compile(&every, plan, schemas) {
            Ok(decoding) if errors.is_empty() => {
                Ok(Some(Self { decoding, routes: routes.into(), unrouted: routing.unrouted, by_value }))
            }
            Ok(_) => Err(errors),
            Err(more) => Err(errors.into_iter().chain(more).collect()),
        }
    }

    /// Whether each record goes to a table or becomes a dead letter.
    pub fn keeps_every_record(&self) -> bool {
        self.unrouted != Unrouted::Skip
    }

    /// What routes records, for one thread.
    pub fn router(&self) -> Router {
        Router {
            decoder: self.decoding.decoder(),
            columns: Columns::new(&self.decoding.rows).expect("columns of texts have no time zone"),
            routing: self.clone(),
        }
    }
}

/// The columns that conditions look at. What is no text there and cannot be one is null, and so is what is missing.
fn parts(routing: &config::Routing, envelope: Envelope) -> Result<RowPlan, String> {
    let part = |(name, source): (&String, &config::Located<Source>)| {
        let spec = ColumnSpec::new(name, PART_TYPE, DefaultValue::TypeZero).map_err(|error| error.to_string())?;
        Ok(ColumnSpec { on_error: OnError::Null, ..spec.from_source(source.value.clone()) })
    };
    let columns = routing.by.iter().map(part).collect::<Result<_, String>>()?;
    let plan = RowPlan::new(columns, Vec::new(), "UTC").map_err(|error| error.to_string())?;
    // Whether a record without a value makes a row is the table's matter; its key may say which.
    Ok(plan.with_changes(Changes {
        carried: carried(envelope),
        envelope: false,
        tombstone_rows: true,
        ..Changes::default()
    }))
}

/// Where a record, or a row of it, goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Routed {
    /// To this table.
    To(TargetNumber),
    /// It is skipped.
    Nowhere,
}

/// Routes records on one thread.
#[derive(Debug)]
pub struct Router {
    routing: Routing,
    decoder: RecordDecoder,
    columns: Columns,
}

impl Router {
    /// Where a record goes.
    ///
    /// # Errors
    /// Where it cannot be decoded, its schema is awaited, or no route takes it and it is to be a dead letter.
    pub fn route(&mut self, record: &Record<'_>) -> Result<Routed, Undecoded> {
        let without_value = Record { value: None, ..*record };
        let record = if self.routing.by_value { record } else { &without_value };
        self.decoder.decode(record, &mut self.columns)?;
        self.decide(None)
    }

    /// Where the next row of a record goes, where a record may make several; `None` where none is left.
    ///
    /// # Errors
    /// As [`Router::route`].
    pub fn route_row(&mut self, record: &Record<'_>, cursor: &mut RowCursor) -> Result<Option<Routed>, Undecoded> {
        let row = cursor.rows();
        if !self.decoder.next_row(record, cursor, &mut self.columns)? {
            return Ok(None);
        }
        self.decide(Some(row)).map(Some)
    }

    /// Whether a row of a record can go elsewhere than its other rows.
    pub fn is_by_row(&self) -> bool {
        self.routing.by_value
    }

    fn decide(&mut self, row: Option<u64>) -> Result<Routed, Undecoded> {
        let taken = self.routing.routes.iter().find(|(condition, _)| condition.admits(&self.columns));
        let routed = match (taken, self.routing.unrouted) {
            (Some((_, target)), _) => Ok(Routed::To(*target)),
            (None, Unrouted::Table) => Ok(Routed::To(TargetNumber::OWN)),
            (None, Unrouted::Skip) => Ok(Routed::Nowhere),
            (None, Unrouted::DeadLetter) => Err(Undecoded::Bad(DecodeError::unrouted(row))),
        };
        self.columns.rollback_row();
        routed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::Headers;

    struct Kind(&'static [u8]);

    impl Headers for Kind {
        fn last(&self, name: &str) -> Option<Option<&[u8]>> {
            (name == "kind").then_some(Some(self.0))
        }
    }

    fn topic(lines: &str) -> TopicSettings {
        let yaml = format!(
            "name: c\nkafka: {{ brokers: 'k:9092' }}\nclickhouse: {{ url: 'http://c:8123' }}\ntopics:\n  - topic: t\n    \
             table: own\n{lines}"
        );
        config::parse("x.yaml", &yaml, &|_| None).unwrap().topics.remove(0)
    }

    fn shown(routed: Result<Routed, Undecoded>) -> String {
        match routed {
            Ok(Routed::To(target)) => target.0.to_string(),
            Ok(Routed::Nowhere) => "nowhere".to_owned(),
            Err(Undecoded::Bad(error)) => error.code.to_string(),
            Err(other) => format!("{other:?}"),
        }
    }

    #[test]
    fn the_first_condition_that_holds_decides() {
        let routes = "    route_by: { kind: $.a.kind, n: $.n }\n    routes:\n      - { when: kind == 'x', table: x }\n      \
                      - { when: \"kind.matches('^[xy]$')\", table: y }\n      - { when: n == '7', table: x }\n      \
                      - { when: kind == 'own', table: own }\n";
        let check = |unrouted: &str, value: &str, expected: &str| {
            let topic = topic(&format!("{routes}    unrouted: {unrouted}\n"));
            let mut router = Routing::compile(&topic, None).unwrap().unwrap().router();
            // Twice, since nothing may be left of the first time.
            for _ in 0..2 {
                assert_eq!(shown(router.route(&Record::of_value(value.as_bytes()))), expected, "{unrouted} {value}");
            }
        };
        check("table", r#"{"a":{"kind":"x"}}"#, "1");
        check("table", r#"{"a":{"kind":"y"},"n":7}"#, "2");
        check("table", r#"{"n":7}"#, "1");
        check("table", r#"{"n":"7"}"#, "1");
        check("table", r#"{"n":[7]}"#, "0");
        check("table", r#"{"a":{"kind":null}}"#, "0");
        check("table", r#"{"a":{"kind":"z"}}"#, "0");
        check("skip", r#"{"a":{"kind":"own"}}"#, "0");
        check("skip", r#"{"a":5}"#, "nowhere");
        check("dead_letter", "{}", "unrouted");
        check("table", r#"{"a":{"kind":"x"}"#, "invalid_json");
        check("skip", "", "empty");
    }

    #[test]
    fn what_is_beside_the_value_decides_without_it() {
        let topic = topic(
            "    route_by: { kind: $headers.kind, key: $key, topic: $topic }\n    routes:\n      \
             - { when: kind == 'x' && topic == 't', table: x }\n      - { when: key.startsWith('k'), table: y }\n",
        );
        let mut router = Routing::compile(&topic, None).unwrap().unwrap().router();
        assert!(!router.is_by_row());
        let mut check = |kind: &'static [u8], key: Option<&[u8]>, value: Option<&[u8]>, expected: &str| {
            let record = Record { headers: &Kind(kind), key, value, topic: "t", ..Record::of_value(b"") };
            assert_eq!(shown(router.route(&record)), expected);
        };
        check(b"x", None, Some(b"no json"), "1");
        check(b"z", Some(b"k1"), Some(b"{}"), "2");
        check(b"z", Some(b"k1"), None, "2");
        check(b"z", None, None, "0");
        check(b"\xff", Some(b"\xff"), None, "0");
    }

    /// The bytes of the value are a part of it as well, which nothing else has to be found in.
    #[test]
    fn the_value_as_it_came_decides() {
        let topic =
            topic("    route_by: { raw: $raw }\n    routes:\n      - { when: \"raw.contains('x')\", table: x }\n");
        let mut router = Routing::compile(&topic, None).unwrap().unwrap().router();
        assert_eq!(shown(router.route(&Record::of_value(b"{\"a\":\"x\"}"))), "1");
        assert_eq!(shown(router.route(&Record::of_value(b"{}"))), "0");
    }

    /// What is around a list of rows is a part of the value too.
    #[test]
    fn what_is_around_the_rows_decides_for_each() {
        let topic = topic(
            "    json: { records: $.v }\n    coordinates: { row: _row }\n    route_by: { shop: $record.shop }\n    routes:\n      \
             - { when: shop == 'x', table: x }\n",
        );
        let mut router = Routing::compile(&topic, None).unwrap().unwrap().router();
        let mut check = |value: &str, expected: &str| {
            let (record, mut cursor) = (Record::of_value(value.as_bytes()), RowCursor::default());
            let rows = std::iter::from_fn(|| router.route_row(&record, &mut cursor).transpose());
            assert_eq!(rows.map(shown).collect::<Vec<_>>().join(" "), expected, "{value}");
        };
        check(r#"{"v":[{},{}],"shop":"x"}"#, "1 1");
        check(r#"{"v":[{"shop":"x"}]}"#, "0");
        check(r#"{"v":[]}"#, "");
        let mut router = Routing::compile(&topic, None).unwrap().unwrap().router();
        assert!(router.is_by_row());
        assert_eq!(shown(router.route(&Record::of_value(b"5"))), "not_an_object");
    }

    #[test]
    fn bad_conditions_are_all_named() {
        let topic = topic(
            "    route_by: { kind: $.kind }\n    routes:\n      - { when: knid == 'x', table: x }\n      \
             - { when: kind > 5, table: y }\n      - { when: kind, table: z }\n",
        );
        let errors = Routing::compile(&topic, None).unwrap_err();
        let places: Vec<_> = errors.iter().map(|error| error.location().line()).collect();
        assert_eq!(places, [9, 10, 11], "{errors:?}");
        assert!(errors[0].to_string().contains("`when`: `knid`"), "{}", errors[0]);
    }
}
