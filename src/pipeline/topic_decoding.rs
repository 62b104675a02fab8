//! How the records of a topic become rows of its tables: which table, and how its columns are filled.
//!
//! Made once per lane, and by `verify` for itself, so that both read a record in the same way.

use std::sync::Arc;
use std::time::Duration;

use crate::alerts::Filter;
use crate::columns::{Columns, PlanError, RowPlan};
use crate::config::{ConfigError, TopicSettings};
use crate::decode::{Record, RecordDecoder, RowCursor, Undecoded};
use crate::pipeline::decoding::Decoding;
use crate::pipeline::routing::{Routed, Router, Routing};
use crate::registry::{SchemaKey, Schemas};
use crate::types::TargetNumber;

/// How the records of a topic become rows of its tables.
#[derive(Debug, Clone)]
pub struct TopicDecoding {
    /// By number.
    tables: Vec<Decoding>,
    routing: Option<Routing>,
}

impl TopicDecoding {
    /// Checks what can be checked while the tables are not known.
    ///
    /// # Errors
    /// Everything that is wrong, each with its place.
    pub fn check(topic: &TopicSettings) -> Result<(), Vec<ConfigError>> {
        let tables = topic.tables().filter_map(|table| Decoding::check(table).err());
        let errors: Vec<ConfigError> = tables.chain(Routing::compile(topic, None).err()).flatten().collect();
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    /// Compiles what the configuration says against the columns of the topic's tables, which come in the order of
    /// [`TopicSettings::tables`].
    ///
    /// # Errors
    /// Everything that is wrong, each with its place.
    pub fn compile(
        topic: &TopicSettings,
        rows: Vec<RowPlan>,
        schemas: Option<&Schemas>,
    ) -> Result<Self, Vec<ConfigError>> {
        let mut errors = Vec::new();
        let mut tables = Vec::new();
        for (table, rows) in topic.tables().zip(rows) {
            match Decoding::compile(table, rows, schemas) {
                Ok(decoding) => tables.push(decoding),
                Err(more) => errors.extend(more),
            }
        }
        match Routing::compile(topic, schemas) {
            Ok(routing) if errors.is_empty() => Ok(Self { tables, routing }),
            Ok(_) => Err(errors),
            Err(more) => Err(errors.into_iter().chain(more).collect()),
        }
    }

    /// How records become rows of each table.
    pub fn tables(&self) -> &[Decoding] {
        &self.tables
    }

    /// Whether each record with a value, and no other, makes a row or a dead letter.
    pub fn keeps_every_value(&self) -> bool {
        self.tables.iter().all(Decoding::keeps_every_value)
            && self.routing.as_ref().is_none_or(Routing::keeps_every_record)
    }

    /// Whether a schema has been asked for and is not there yet.
    pub fn awaits(&self, schema: SchemaKey) -> bool {
        self.tables[0].awaits(schema)
    }

    /// The schemas that a record names.
    pub fn schemas_of(&self, record: &Record<'_>) -> impl Iterator<Item = SchemaKey> {
        self.tables[0].schemas_of(record)
    }

    /// The most rows that a record may make: a block that is less than half full has room for them.
    pub fn record_rows_max(&self) -> u64 {
        self.tables[0].record_rows_max
    }

    /// A decoder, for one thread.
    ///
    /// # Errors
    /// Where a column names an unknown time zone, which making the plan has ruled out.
    pub fn decoder(&self) -> Result<TopicDecoder, PlanError> {
        let table = |decoding: &Decoding| {
            let columns = Columns::new(&decoding.rows)?;
            Ok(TableRows { decoder: decoding.decoder(), columns, filter: decoding.filter.clone() })
        };
        let tables = self.tables.iter().map(table).collect::<Result<_, PlanError>>()?;
        Ok(TopicDecoder { tables, router: self.routing.as_ref().map(Routing::router) })
    }
}

/// How often a thread that may wait looks for a schema, and how many times: five minutes.
const LOOK_EVERY: Duration = Duration::from_millis(20);
const LOOKS_MAX: u32 = 15_000;

fn patiently<T>(mut decode: impl FnMut() -> Result<T, Undecoded>) -> Result<T, Undecoded> {
    for _ in 0..LOOKS_MAX {
        match decode() {
            Err(Undecoded::Awaiting(_)) => std::thread::sleep(LOOK_EVERY),
            decoded => return decoded,
        }
    }
    decode()
}

/// Decodes the records of a topic on one thread, into rows of each of its tables.
#[derive(Debug)]
pub struct TopicDecoder {
    tables: Vec<TableRows>,
    router: Option<Router>,
}

#[derive(Debug)]
struct TableRows {
    decoder: RecordDecoder,
    columns: Columns,
    filter: Option<Arc<Filter>>,
}

impl TopicDecoder {
    /// Appends a record as an open row of its table; the caller commits it or rolls it back there.
    ///
    /// # Errors
    /// Says why there is none; nothing of the record is left then.
    #[inline]
    pub fn decode(&mut self, record: &Record<'_>) -> Result<TargetNumber, Undecoded> {
        let target = match &mut self.router {
            None => TargetNumber::OWN,
            Some(router) => match router.route(record)? {
                Routed::To(target) => target,
                Routed::Nowhere => return Err(Undecoded::Skipped),
            },
        };
        let TableRows { decoder, columns, .. } = &mut self.tables[target.index()];
        decoder.decode(record, columns).map(|()| target)
    }

    /// Appends the next row of a record as an open row of its table, where a record may make several; `None` where none is
    /// left. What no table takes is [`Routed::Nowhere`] and counts as a row.
    ///
    /// # Errors
    /// As [`TopicDecoder::decode`].
    pub fn next_row(&mut self, record: &Record<'_>, cursor: &mut RowCursor) -> Result<Option<Routed>, Undecoded> {
        let before = *cursor;
        let routed = match &mut self.router {
            None => Routed::To(TargetNumber::OWN),
            Some(router) if router.is_by_row() => match router.route_row(record, cursor)? {
                None => return Ok(None),
                Some(routed) => routed,
            },
            Some(router) => router.route(record)?,
        };
        let Routed::To(target) = routed else {
            // Without a row of its own the record is skipped as a whole.
            return if *cursor == before { Err(Undecoded::Skipped) } else { Ok(Some(Routed::Nowhere)) };
        };
        cursor.go_back(&before);
        let TableRows { decoder, columns, .. } = &mut self.tables[target.index()];
        let found = decoder.next_row(record, cursor, columns)?;
        Ok(found.then_some(routed))
    }

    /// The same as [`TopicDecoder::decode`] on a thread that may wait for a schema.
    ///
    /// # Errors
    /// As there; a schema that does not come in minutes is still awaited then.
    pub fn decode_patiently(&mut self, record: &Record<'_>) -> Result<TargetNumber, Undecoded> {
        patiently(|| self.decode(record))
    }

    /// The same as [`TopicDecoder::next_row`] on a thread that may wait for a schema.
    ///
    /// # Errors
    /// As there; a schema that does not come in minutes is still awaited then.
    pub fn next_row_patiently(
        &mut self,
        record: &Record<'_>,
        cursor: &mut RowCursor,
    ) -> Result<Option<Routed>, Undecoded> {
        let before = *cursor;
        patiently(|| {
            *cursor = before;
            self.next_row(record, cursor)
        })
    }

    /// Whether fields without a column are dropped that are reported otherwise: of records that are stored already.
    pub fn overlook_unknown_fields(&mut self, overlook: bool) {
        for table in &mut self.tables {
            table.decoder.overlook_unknown_fields(overlook);
        }
    }

    /// Whether no column was filled from the value of the record that went to this table last, though columns expect fields.
    #[inline]
    pub fn has_no_known_field(&self, target: TargetNumber) -> bool {
        self.tables[target.index()].decoder.has_no_known_field()
    }

    /// The names of the fields of such a record.
    #[cold]
    pub fn unknown_fields(&mut self, target: TargetNumber, record: &Record<'_>) -> String {
        self.tables[target.index()].decoder.unknown_fields(record)
    }

    /// Whether the open row of a table is wanted.
    #[inline]
    pub fn admits(&self, target: TargetNumber) -> bool {
        let TableRows { columns, filter, .. } = &self.tables[target.index()];
        filter.as_ref().is_none_or(|filter| filter.admits(columns))
    }

    /// The columns of a table.
    #[inline]
    pub fn columns(&self, target: TargetNumber) -> &Columns {
        &self.tables[target.index()].columns
    }

    /// The columns of a table, to commit or roll back the open row.
    #[inline]
    pub fn columns_mut(&mut self, target: TargetNumber) -> &mut Columns {
        &mut self.tables[target.index()].columns
    }

    /// The columns of all tables, each with its number.
    pub fn all_columns(&self) -> impl Iterator<Item = (TargetNumber, &Columns)> {
        (0..).map(TargetNumber).zip(self.tables.iter().map(|table| &table.columns))
    }

    /// The same, to be emptied.
    pub fn all_columns_mut(&mut self) -> impl Iterator<Item = &mut Columns> {
        self.tables.iter_mut().map(|table| &mut table.columns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::columns::{ColumnSpec, DefaultValue, Source, Value};
    use crate::config;

    fn decoder(unrouted: &str) -> TopicDecoder {
        let yaml = format!(
            "name: c\nkafka: {{ brokers: 'k:9092' }}\nclickhouse: {{ url: 'http://c:8123' }}\ntopics:\n  - topic: t\n    \
             table: own\n    json: {{ records: $.v }}\n    coordinates: {{ row: _row }}\n    unrouted: {unrouted}\n    \
             route_by: {{ kind: $.k, shop: $record.shop }}\n    routes:\n      - {{ when: kind == 'x', table: x }}\n      \
             - {{ when: kind == 'y' && shop == 's', table: y }}\n"
        );
        let topic = config::parse("x.yaml", &yaml, &|_| None).unwrap().topics.remove(0);
        let plan = |outer: &str| {
            let spec = |name: &str, source: &str| {
                let spec = ColumnSpec::new(name, "String", DefaultValue::TypeZero).unwrap();
                spec.from_source(Source::parse(source).unwrap())
            };
            RowPlan::new(vec![spec("n", "n"), spec("outer", outer)], Vec::new(), "UTC").unwrap()
        };
        let plans = ["$record.shop", "$record.head", "$record.tail"].map(plan).into();
        TopicDecoding::compile(&topic, plans, None).unwrap().decoder().unwrap()
    }

    /// The rows of a record as table, number and what is around them.
    fn rows(decoder: &mut TopicDecoder, text: &str) -> Result<Vec<String>, Undecoded> {
        let (record, mut cursor, mut rows) = (Record::of_value(text.as_bytes()), RowCursor::default(), Vec::new());
        while let Some(routed) = decoder.next_row(&record, &mut cursor)? {
            let Routed::To(target) = routed else {
                rows.push("nowhere".to_owned());
                continue;
            };
            let columns = decoder.columns_mut(target);
            let text = |column| match columns.last_value(column) {
                Value::Str(text) => text.to_owned(),
                other => panic!("{other:?}"),
            };
            rows.push(format!("{} {} {}", target.0, text(0), text(1)));
            columns.rollback_row();
        }
        Ok(rows)
    }

    /// The decoder of a table sees a record for the first time at the first row that goes there, and takes nothing that it
    /// knows of the record before.
    #[test]
    fn rows_of_one_record_go_to_several_tables_each_with_what_is_around_them() {
        let mut skipping = decoder("skip");
        let mut check = |text: &str, expected: &[&str]| {
            // Twice, as the pipeline does: once to count.
            for _ in 0..2 {
                assert_eq!(rows(&mut skipping, text).unwrap(), expected, "{text}");
            }
        };
        check(
            r#"{"shop":"s","head":"h1","v":[{"k":"y","n":0},{"k":"x","n":1},{"n":2},{"k":"y","n":3}],"tail":"t1"}"#,
            &["2 0 t1", "1 1 h1", "nowhere", "2 3 t1"],
        );
        // As long, with other places.
        check(
            r#"{"tail":"t2","v":[{"n":0},{"k":"x","n":1},{"k":"x","n":2},{"k":"y","n":3}],"head":"h2","shop":"s"}"#,
            &["nowhere", "1 1 h2", "1 2 h2", "2 3 t2"],
        );
        check(r#"{"v":[{"k":"y","n":0},{"k":"x","n":1}],"head":"h3"}"#, &["nowhere", "1 1 h3"]);
        check(r#"{"v":null}"#, &[]);
        check(r#"{"v":[{"n":0}],"head":"h4"}"#, &["nowhere"]);
        check(r#"{"head":"as long as before"}"#, &[]);
        let mut own = decoder("table");
        assert_eq!(
            rows(&mut own, r#"{"v":[{"n":0},{"k":"x","n":1},{"n":2}],"shop":"s","head":"h"}"#).unwrap(),
            ["0 0 s", "1 1 h", "0 2 s"]
        );
    }

    /// Each decoder reads what is around the rows once or twice, not once for each row.
    #[test]
    fn a_long_list_is_divided_in_one_go() {
        let elements: Vec<_> = (0..50_000).map(|n| format!(r#"{{"n":{n},"k":"{}"}}"#, ["x", "y"][n % 2])).collect();
        let text = format!(r#"{{"shop":"s","v":[{}],"head":"h","tail":"t"}}"#, elements.join(","));
        let expected: Vec<_> = (0..50_000).map(|n| format!("{} {n} {}", 1 + n % 2, ["h", "t"][n % 2])).collect();
        assert_eq!(rows(&mut decoder("dead_letter"), &text).unwrap(), expected);
    }
}
