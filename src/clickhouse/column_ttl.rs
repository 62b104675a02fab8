//! Which columns' values expire, read from the statement that would create the table: no system table says it.

use clickhouse::Row;
use serde::Deserialize;

use super::error::ControlError;
use super::session::{Session, one};
use super::sql;
use super::table::Table;

#[derive(Debug, Row, Deserialize)]
struct Statement {
    create_table_query: String,
}

impl Table {
    /// The columns with a TTL of their own.
    pub async fn columns_with_ttl(&self, session: &Session) -> Result<Vec<String>, ControlError> {
        let doing = "reading the target table's columns";
        let statements: Vec<Statement> = session
            .fetch(
                doing,
                &format!(
                    "SELECT toValidUTF8(create_table_query) AS create_table_query FROM system.tables WHERE database = {} AND table = {}",
                    sql::string(&self.name.database),
                    sql::string(&self.name.table)
                ),
            )
            .await?;
        Ok(columns_with_ttl(&one(session.server(), doing, statements)?.create_table_query))
    }
}

/// The names of the columns in a `CREATE TABLE` of the server's own making whose definitions hold a `TTL`.
fn columns_with_ttl(statement: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut depth = 0_u32;
    // The name that stands at the start of the definition under way, and the words outside of quotes behind it.
    let (mut name, mut words) = (None, String::new());
    let mut rest = statement.chars();
    while let Some(character) = rest.next() {
        match character {
            '`' | '\'' | '"' => {
                let text = quoted(&mut rest, character);
                if depth == 1 && name.is_none() && words.trim().is_empty() {
                    name = Some(text);
                }
                words.push(' ');
            }
            '(' => {
                depth += 1;
                words.push(' ');
                if depth == 1 {
                    (name, words) = (None, String::new());
                }
            }
            ',' | ')' => {
                if depth == 1 {
                    let expires = words.split_whitespace().any(|word| word == "TTL");
                    found.extend(name.take().filter(|_| expires));
                    words.clear();
                }
                words.push(' ');
                if character == ')' {
                    depth = depth.saturating_sub(1);
                    if depth == 0 {
                        return found;
                    }
                }
            }
            other if depth == 1 => words.push(other),
            _ => {}
        }
    }
    found
}

/// What stands between quotes, the opening one taken already.
fn quoted(rest: &mut std::str::Chars<'_>, quote: char) -> String {
    let mut text = String::new();
    while let Some(character) = rest.next() {
        match character {
            '\\' => text.extend(rest.next()),
            end if end == quote => break,
            other => text.push(other),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_that_expire_are_found() {
        let check = |columns: &str, expected: &[&str]| {
            let statement =
                format!("CREATE TABLE `a(b`.t ({columns}) ENGINE = MergeTree ORDER BY a TTL d + toIntervalDay(1)");
            assert_eq!(columns_with_ttl(&statement), expected, "{columns}");
        };
        check("`a` UInt8, `b` String", &[]);
        check("`a` UInt8 TTL d + toIntervalDay(1), `b` String", &["a"]);
        check("`a` Decimal(9, 2), `b` String DEFAULT 'x TTL y' CODEC(ZSTD(1)) TTL d + toIntervalDay(1)", &["b"]);
        check("`TTL` UInt8, `it\\`s` UInt8 TTL d", &["it`s"]);
        check("`a` Enum8('TTL' = 1), INDEX `i` a TYPE minmax GRANULARITY 1", &[]);
    }
}
