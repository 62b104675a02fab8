//! What is sent for one table of one block: the statement, its settings, its identity, its bytes.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::condition::Condition;
use super::rowbinary::RowBinary;
use crate::block::compress;
use crate::clickhouse::{LaneTables, Pins, QueryPrefix, TableName, sql};
use crate::types::{BlockNumber, Claim, Partition};

/// A column of the body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputColumn {
    /// The target's column.
    pub name: String,
    /// Its type in the body: exactly the target's, as with another one the server would convert, and other values pass;
    /// or the one that `conversion` takes.
    pub kind: String,
    /// What makes the target's value of the body's, where that is another one.
    pub conversion: Option<String>,
    /// Where the server is to fill a DEFAULT in.
    pub default: Option<ServerDefault>,
}

/// A column of the target that the body lacks, and that defaults are made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ComputedColumn {
    /// Its name.
    pub name: String,
    /// The expression of its value.
    pub value: String,
    /// Whether the value is inserted; else the table computes the same by itself.
    pub inserted: bool,
}

/// A DEFAULT that only the server can evaluate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerDefault {
    /// The body's `UInt8` column that is 1 where the record had a value. Whoever makes the body names it, so that it is no
    /// column of the target.
    pub presence: String,
    /// Its expression, of the column's type. Other columns stand in it by their names.
    pub expression: String,
}

/// The rows, as they are sent.
#[derive(Debug, Clone)]
pub enum Body {
    /// One Native block in ClickHouse's own compressed frames.
    Native {
        /// The frames, in order.
        frames: Vec<Bytes>,
    },
    /// Plain `RowBinary`, for our own small tables.
    RowBinary(RowBinary),
}

impl Body {
    const fn format(&self) -> &'static str {
        match self {
            Self::Native { .. } => "Native",
            Self::RowBinary(_) => "RowBinary",
        }
    }
}

/// Who writes: the same for all inserts of a process.
#[derive(Debug, Clone)]
pub struct Writer {
    /// The frozen start of its query ids.
    pub prefix: QueryPrefix,
    /// The instance, for people who read `system.processes`.
    pub owner: String,
}

/// One table of one block.
#[derive(Debug)]
pub struct Insert<'a> {
    /// The lane.
    pub lane: &'a LaneTables,
    /// Where the rows go.
    pub table: &'a TableName,
    /// What the table is to us, as it stands in the query id: `target`, `route1`, `dead_letters`, `alerts`, `ledger`.
    pub role: &'a str,
    /// All partitions of the block that we still own, with their claims.
    pub claims: &'a BTreeMap<Partition, Claim>,
    /// The block.
    pub block: BlockNumber,
    /// The body's columns, in order, without presence columns.
    pub columns: &'a [InputColumn],
    /// What else their defaults read.
    pub computed: &'a [ComputedColumn],
    /// Proof and presence test, besides the fence, which is never left out.
    pub conditions: Vec<Condition>,
    /// How many rows the body holds.
    pub rows: u64,
    /// The rows.
    pub body: Body,
}

/// A longer statement goes in front of the rows instead of into the URL. RFC 9112 (section 3) has everybody take 8,000
/// bytes, which a block of a dozen partitions or a table of a hundred columns exceeds with what encoding and settings add;
/// the client library stops at 65,534, proxies before that.
const STATEMENT_IN_URL_BYTES_MAX: usize = 4_000;

/// The server's defaults of `max_query_size` and, for some 20 elements a partition, `max_ast_elements` allow for longer
/// statements than this.
const STATEMENT_BYTES_USUAL: usize = 100_000;

/// An insert, ready to be sent once.
#[derive(Debug)]
pub struct InsertRequest {
    pub(super) statement: String,
    /// Otherwise it is the beginning of the body.
    pub(super) statement_in_url: bool,
    pub(super) settings: Vec<(String, String)>,
    pub(super) body: Vec<Bytes>,
    pub(super) rows: u64,
}

impl InsertRequest {
    /// Builds the request of an insert.
    pub fn new(pins: &Pins, writer: &Writer, insert: Insert<'_>) -> Self {
        let statement = statement(&insert);
        let query_id = query_id(writer, &insert);
        let mut settings = pins.insert().to_vec();
        settings.extend(pins.block(insert.rows));
        let texts = insert.columns.iter().flat_map(|column| [Some(&column.kind), column.conversion.as_ref()]);
        let texts = texts.flatten().chain(insert.computed.iter().map(|column| &column.value));
        settings.extend(pins.types(texts.map(String::as_str)));
        let mut set = |name: &str, value: &str| {
            // A pin of the same name would come first.
            settings.retain(|(known, _)| known != name);
            settings.push((name.to_owned(), value.to_owned()));
        };
        set("wait_end_of_query", "1");
        set("query_id", &query_id);
        // Something between us and the server may replace the query id; the drain looks at both.
        set("log_comment", &query_id);
        // Unique per send, so that no window of the table ever takes a block for another one.
        set("insert_deduplication_token", &query_id);
        if statement.len() > STATEMENT_BYTES_USUAL {
            set("max_query_size", &(2 * statement.len()).to_string());
            // No limit.
            set("max_ast_elements", "0");
            set("max_expanded_ast_elements", "0");
        }
        let statement_in_url = statement.len() <= STATEMENT_IN_URL_BYTES_MAX;
        // The server reads the rows from behind the line break on.
        let head = if statement_in_url { String::new() } else { format!("{statement}\n") };
        let body = match insert.body {
            Body::Native { frames } => {
                set("decompress", "1");
                if statement_in_url { frames } else { [compress::frames(head.as_bytes()), frames].concat() }
            }
            Body::RowBinary(rows) => vec![Bytes::from(head), Bytes::from(rows.into_bytes())],
        };
        Self { statement, statement_in_url, settings, body, rows: insert.rows }
    }

    /// The statement, for logs and tests.
    pub fn statement(&self) -> &str {
        &self.statement
    }

    /// The settings and parameters that go with it.
    pub fn settings(&self) -> &[(String, String)] {
        &self.settings
    }
}

/// Unique per send: claims hold random bits, and the number of a block is never used twice by a process.
fn query_id(writer: &Writer, insert: &Insert<'_>) -> String {
    let claim = insert.claims.values().max().expect("an insert without claims is refused when its fence is built");
    format!("{}{}-{claim}-{}-{}", writer.prefix.as_str(), writer.owner, insert.block, insert.role)
}

/// Ends at the format's name, without a newline: the server adds one, and a second would be the body's first byte.
fn statement(insert: &Insert<'_>) -> String {
    let structure = structure(insert.columns).into_iter().map(|(name, kind)| format!("{name} {kind}"));
    let body = format!("input({})", sql::string(&sql::joined(structure, ", ")));
    let fence = Condition::fence(insert.lane, insert.claims);
    let conditions = std::iter::once(&fence).chain(&insert.conditions).map(Condition::as_sql);
    let (names, select) = selection(insert.columns, insert.computed, &body);
    format!(
        "INSERT INTO {} ({names}) {select} WHERE {} FORMAT {}",
        insert.table.quoted(),
        sql::joined(conditions, " AND "),
        insert.body.format(),
    )
}

/// The columns of a body, quoted, with their types.
pub(crate) fn structure(columns: &[InputColumn]) -> Vec<(String, &str)> {
    let mut structure = Vec::new();
    for column in columns {
        structure.push((sql::identifier(&column.name), column.kind.as_str()));
        structure.extend(column.default.as_ref().map(|default| (sql::identifier(&default.presence), "UInt8")));
    }
    structure
}

/// The columns that are inserted, and the SELECT that makes their values of `body`. An expression finds other columns by
/// the names that the SELECT gives them.
pub(crate) fn selection(columns: &[InputColumn], computed: &[ComputedColumn], body: &str) -> (String, String) {
    let mut selected = Vec::new();
    for column in columns {
        let name = sql::identifier(&column.name);
        let value = column.conversion.as_ref().unwrap_or(&name);
        match &column.default {
            None if column.conversion.is_none() => selected.push(name),
            None => selected.push(format!("{value} AS {name}")),
            Some(default) => {
                let present = sql::identifier(&default.presence);
                selected.push(format!("if({present}, {value}, {}) AS {name}", default.expression));
            }
        }
    }
    selected.extend(computed.iter().map(|column| format!("{} AS {}", column.value, sql::identifier(&column.name))));
    let inserted = computed.iter().filter(|column| column.inserted).map(|column| &column.name);
    let names =
        sql::joined(columns.iter().map(|column| &column.name).chain(inserted).map(|name| sql::identifier(name)), ", ");
    let select = format!("SELECT {} FROM {body}", selected.join(", "));
    let select = if computed.is_empty() { select } else { format!("SELECT {names} FROM ({select})") };
    (names, select)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::test_reader::decompress;
    use crate::insert::tests::lane;

    fn column(name: &str, kind: &str, default: Option<&str>) -> InputColumn {
        let default = default
            .map(|expression| ServerDefault { presence: format!("_has_{name}"), expression: expression.to_owned() });
        InputColumn { name: name.to_owned(), kind: kind.to_owned(), conversion: None, default }
    }

    fn request(columns: &[InputColumn], body: Body) -> InsertRequest {
        let lane = lane();
        InsertRequest::new(
            &Pins::default(),
            &Writer { prefix: QueryPrefix::new("c1", "readings"), owner: "host-1".to_owned() },
            Insert {
                lane: &lane,
                table: &lane.cell.target,
                role: "target",
                claims: &BTreeMap::from([(Partition(0), Claim((2 << 64) + 10))]),
                block: BlockNumber(17),
                columns,
                computed: &[],
                conditions: Vec::new(),
                rows: 3,
                body,
            },
        )
    }

    #[test]
    fn statements_name_the_types_of_the_target() {
        let check = |columns: &[InputColumn], body: Body, before: &str, after: &str| {
            let request = request(columns, body);
            let statement = request.statement();
            assert!(statement.starts_with(before), "{statement}");
            assert!(statement.ends_with(after), "{statement}");
        };
        check(
            &[column("at", "DateTime64(3, 'UTC')", None), column("v", "Float64", None)],
            Body::Native { frames: Vec::new() },
            "INSERT INTO `iot`.`readings` (`at`, `v`) SELECT `at`, `v` FROM \
             input('`at` DateTime64(3, \\'UTC\\'), `v` Float64') WHERE throwIf(ifNull((SELECT countIf(",
            "!= 1, 'oncesink:fenced') = 0 FORMAT Native",
        );
        check(
            &[column("b", "UInt32", Some("a * 2")), column("a", "UInt32", None)],
            Body::RowBinary(RowBinary::new()),
            "INSERT INTO `iot`.`readings` (`b`, `a`) SELECT if(`_has_b`, `b`, a * 2) AS `b`, `a` FROM \
             input('`b` UInt32, `_has_b` UInt8, `a` UInt32') WHERE ",
            " FORMAT RowBinary",
        );
        let json = |default| InputColumn {
            conversion: Some("CAST(`n.j`, 'JSON')".to_owned()),
            ..column("n.j", "String", default)
        };
        check(
            &[json(None), column("a", "UInt32", None)],
            Body::Native { frames: Vec::new() },
            "INSERT INTO `iot`.`readings` (`n.j`, `a`) SELECT CAST(`n.j`, 'JSON') AS `n.j`, `a` FROM \
             input('`n.j` String, `a` UInt32') WHERE ",
            " FORMAT Native",
        );
        check(
            &[json(Some("CAST('{}', 'JSON')"))],
            Body::Native { frames: Vec::new() },
            "INSERT INTO `iot`.`readings` (`n.j`) SELECT if(`_has_n.j`, CAST(`n.j`, 'JSON'), CAST('{}', 'JSON')) AS `n.j` \
             FROM input('`n.j` String, `_has_n.j` UInt8') WHERE ",
            " FORMAT Native",
        );
    }

    #[test]
    fn a_long_statement_goes_in_front_of_the_rows() {
        let check = |columns: usize, in_url: bool, larger: bool| {
            let columns: Vec<InputColumn> = (0..columns).map(|n| column(&format!("c{n}"), "UInt8", None)).collect();
            let rows = compress::frames(b"the rows");
            let native = request(&columns, Body::Native { frames: rows });
            let plain = request(&columns, Body::RowBinary(RowBinary::new()));
            assert_eq!((native.statement_in_url, plain.statement_in_url), (in_url, in_url));
            let head =
                |request: &InsertRequest| if in_url { String::new() } else { format!("{}\n", request.statement) };
            let sent = String::from_utf8(decompress(&native.body)).unwrap();
            assert_eq!(sent, format!("{}the rows", head(&native)));
            assert_eq!(plain.body.concat(), head(&plain).as_bytes());
            let raised = native.settings().iter().any(|(name, _)| name == "max_query_size");
            assert_eq!(raised, larger, "{} bytes", native.statement.len());
        };
        check(3, true, false);
        check(200, false, false);
        check(10_000, false, true);
    }

    #[test]
    fn the_identity_stands_in_three_places() {
        let check = |body: Body, decompress: bool| {
            let request = request(&[column("a", "UInt8", None)], body);
            let value = |wanted: &str| {
                let found: Vec<_> = request
                    .settings()
                    .iter()
                    .filter(|(name, _)| name == wanted)
                    .map(|(_, value)| value.as_str())
                    .collect();
                assert!(found.len() <= 1, "{wanted} twice");
                found.first().map(|value| (*value).to_owned())
            };
            let id = format!("{}host-1-2-000000000000000a-17-target", QueryPrefix::new("c1", "readings").as_str());
            for name in ["query_id", "log_comment", "insert_deduplication_token"] {
                assert_eq!(value(name).as_deref(), Some(id.as_str()), "{name}");
            }
            assert_eq!(value("wait_end_of_query").as_deref(), Some("1"));
            assert_eq!(value("decompress").is_some(), decompress);
        };
        check(Body::Native { frames: Vec::new() }, true);
        check(Body::RowBinary(RowBinary::new()), false);
    }
}
