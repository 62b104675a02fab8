//! The rules for names: of connectors, topics, databases, tables, columns and servers.
//!
//! Takes the text of one value, gives it checked or what is wrong with it. Each rule is the narrowest of the systems
//! that the name reaches, so that it is refused here, with a line, and not by a broker later. Does no I/O.

use hyper::Uri;

use super::error::Problem;

/// The longest topic name a broker accepts, and the longest static member id.
const TOPIC_LENGTH_MAX: usize = 249;
/// `name` and `instance` together make the transactional id and the static member id.
const CONNECTOR_LENGTH_MAX: usize = 100;
/// ClickHouse makes file names of database and table: together they must stay below 255 bytes with what it adds.
const IDENTIFIER_LENGTH_MAX: usize = 100;

/// Where the name of a pattern's topic goes in the name of its table.
const TOPIC_PLACE: &str = "{topic}";

/// A table with its database.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableName {
    database: String,
    table: String,
}

impl TableName {
    /// The database.
    pub fn database(&self) -> &str {
        &self.database
    }

    /// The table without its database.
    pub fn table(&self) -> &str {
        &self.table
    }

    /// Whether it is another one for each topic of a pattern.
    pub(super) fn holds_topic(&self) -> bool {
        self.table.contains(TOPIC_PLACE)
    }

    /// The table of one topic: with its name, in which `_` stands for what few table names hold.
    pub(super) fn of_topic(&self, topic: &str) -> Result<Self, Problem> {
        let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
        let table = self.table.replace(TOPIC_PLACE, &topic.chars().map(plain).collect::<String>());
        check_identifier(&table, "table")?;
        Ok(Self { database: self.database.clone(), table })
    }
}

impl std::fmt::Display for TableName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.database, self.table)
    }
}

fn is_id_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')
}

/// A word of `[A-Za-z0-9._-]`, which is what Kafka accepts in topic names and static member ids.
fn check_id(text: &str, length_max: usize) -> Result<(), Problem> {
    if let Some(bad) = text.chars().find(|c| !is_id_char(*c)) {
        return Err(Problem::new(
            format!("holds `{}`, which is not allowed", bad.escape_default()),
            "use letters, digits, `.`, `_` and `-` only",
        ));
    }
    if text.len() > length_max {
        return Err(Problem::new(
            format!("is {} characters long", text.len()),
            format!("use at most {length_max} characters"),
        ));
    }
    if text.is_empty() || text == "." || text == ".." {
        return Err(Problem::new("is not a name", "use at least one letter or digit"));
    }
    Ok(())
}

/// `name` and `instance`.
pub(super) fn parse_connector_id(text: &str) -> Result<String, Problem> {
    check_id(text, CONNECTOR_LENGTH_MAX)?;
    Ok(text.to_owned())
}

/// A Kafka topic.
pub(super) fn parse_topic(text: &str) -> Result<String, Problem> {
    check_id(text, TOPIC_LENGTH_MAX)?;
    if matches!(text, "__consumer_offsets" | "__transaction_state") {
        return Err(Problem::new("is a topic of the broker's own", "name a topic with records of yours"));
    }
    Ok(text.to_owned())
}

/// A name that metrics and alerts carry as a label.
pub(super) fn parse_label(text: &str) -> Result<String, Problem> {
    let good = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if text.is_empty() || text.len() > 64 || !text.chars().all(good) {
        return Err(Problem::new(
            "is not a name that fits into metrics and alerts",
            "use 1 to 64 letters, digits, `_` and `-`",
        ));
    }
    Ok(text.to_owned())
}

/// A database, table or column. Statements quote it, so `-` and leading digits are fine.
fn check_identifier(text: &str, what: &str) -> Result<(), Problem> {
    let good = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if text.is_empty() || !text.chars().all(good) {
        return Err(Problem::new(
            format!("is not a {what} name that is supported"),
            "use letters, digits, `_` and `-` only",
        ));
    }
    if text.len() > IDENTIFIER_LENGTH_MAX {
        return Err(Problem::new(
            format!("is a {what} name of {} characters", text.len()),
            format!("use at most {IDENTIFIER_LENGTH_MAX} characters"),
        ));
    }
    Ok(())
}

fn check_database(text: &str) -> Result<(), Problem> {
    check_identifier(text, "database")?;
    if text == "system" || text.eq_ignore_ascii_case("information_schema") {
        return Err(Problem::new("is a database of the server's own", "name a database of yours"));
    }
    Ok(())
}

/// A database of ours.
pub(super) fn parse_database(text: &str) -> Result<String, Problem> {
    check_database(text)?;
    Ok(text.to_owned())
}

/// A column.
pub(super) fn parse_column(text: &str) -> Result<String, Problem> {
    check_identifier(text, "column")?;
    Ok(text.to_owned())
}

/// `table` (in the database `default`) or `database.table`.
pub(super) fn parse_table(text: &str) -> Result<TableName, Problem> {
    if text.contains(TOPIC_PLACE) {
        let fix = "write the table's name; `{topic}` is for entries with `pattern`, which have several topics";
        return Err(Problem::new("holds `{topic}`, and this entry has one topic", fix));
    }
    if text.contains(['`', '"']) {
        return Err(Problem::new("holds quotes", "write it without: statements quote the names themselves"));
    }
    let (database, table) = text.split_once('.').unwrap_or(("default", text));
    if table.contains('.') {
        return Err(Problem::new("has more than one `.`", "write `table` or `database.table`"));
    }
    check_identifier(table, "table")?;
    check_database(database)?;
    Ok(TableName { database: database.to_owned(), table: table.to_owned() })
}

/// The same where the table may hold the name of the topic.
pub(super) fn parse_table_of_pattern(text: &str) -> Result<TableName, Problem> {
    let (database, table) = text.split_once('.').unwrap_or(("default", text));
    if database.contains(TOPIC_PLACE) {
        let fix = "write the database's name: only the table may be another one for each topic";
        return Err(Problem::new("holds `{topic}` in its database", fix));
    }
    // What is written around the place has to be a name whatever the topic is.
    parse_table(&format!("{database}.{}", table.replace(TOPIC_PLACE, "t")))?;
    Ok(TableName { database: database.to_owned(), table: table.to_owned() })
}

/// One `host:port`, IPv6 in brackets.
pub(super) fn check_broker(text: &str) -> Result<(), Problem> {
    let fix = "write `host:port`, such as `kafka-1:9092`; an IPv6 address in brackets: `[::1]:9092`";
    if text.is_empty() {
        return Err(Problem::new("has an empty entry", fix));
    }
    if text.contains('@') {
        let fix = "write `host:port` only; credentials are `sasl.username` and `sasl.password_file`";
        return Err(Problem::new("holds an `@`", fix).hiding_value());
    }
    if text.contains("://") {
        return Err(Problem::new(
            "has a scheme",
            "write `host:port` only; encryption is `kafka.properties: { security.protocol: SSL }`",
        ));
    }
    let Some((host, port)) = text.rsplit_once(':') else {
        return Err(Problem::new("has an entry without a port", fix));
    };
    if !is_host(host) {
        return Err(Problem::new("has an entry whose host is no host name or address", fix));
    }
    match port.parse::<u16>() {
        Ok(port) if port > 0 => Ok(()),
        _ => Err(Problem::new("has an entry whose port is not in 1 to 65535", fix)),
    }
}

/// Whether `host` is a host name, an IPv4 address or an IPv6 address in brackets.
pub(super) fn is_host(host: &str) -> bool {
    if let Some(address) = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return address.parse::<std::net::Ipv6Addr>().is_ok();
    }
    // Underscores are no host name letters, but compose files and cluster DNS use them.
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    host.len() <= 253 && host.split('.').all(|label| !label.is_empty() && label.len() <= 63 && label.chars().all(good))
}

/// The address of an HTTP server: scheme, host, perhaps port and path. `fix` says how one is written, `credentials_fix`
/// and `query_fix` where those belong instead.
pub(super) fn parse_http_url(text: &str, fix: &str, credentials_fix: &str, query_fix: &str) -> Result<Uri, Problem> {
    if text.contains('@') {
        return Err(Problem::new("holds credentials", credentials_fix).hiding_value());
    }
    if !text.starts_with("http://") && !text.starts_with("https://") {
        return Err(Problem::new("does not start with `http://` or `https://`", fix));
    }
    let uri: Uri = text.parse().map_err(|_| Problem::new("is not an address", fix))?;
    if uri.query().is_some() || text.contains('#') {
        return Err(Problem::new("holds a query or a fragment", query_fix).hiding_value());
    }
    if !is_host(uri.host().unwrap_or_default()) {
        return Err(Problem::new("has no host name or address", fix));
    }
    Ok(uri)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check<T: std::fmt::Display>(parsed: Result<T, Problem>, expected: &str) {
        let found = match parsed {
            Ok(value) => value.to_string(),
            Err(problem) => format!("error: {}", problem.reason),
        };
        assert_eq!(found, expected);
    }

    #[test]
    fn tables() {
        check(parse_table("iot.readings"), "iot.readings");
        check(parse_table("readings"), "default.readings");
        check(parse_table("my-db.2024-readings"), "my-db.2024-readings");
        check(parse_table("a.b.c"), "error: has more than one `.`");
        check(parse_table("`a`.b"), "error: holds quotes");
        check(parse_table(".b"), "error: is not a database name that is supported");
        check(parse_table("a."), "error: is not a table name that is supported");
        check(parse_table("a b"), "error: is not a table name that is supported");
        check(parse_table("system.parts"), "error: is a database of the server's own");
        check(parse_table("INFORMATION_SCHEMA.tables"), "error: is a database of the server's own");
        check(parse_table(&"x".repeat(101)), "error: is a table name of 101 characters");
    }

    #[test]
    fn tables_of_patterns() {
        check(parse_table("iot.{topic}"), "error: holds `{topic}`, and this entry has one topic");
        check(parse_table_of_pattern("iot.{topic}_raw"), "iot.{topic}_raw");
        check(parse_table_of_pattern("{topic}"), "default.{topic}");
        check(parse_table_of_pattern("iot.readings"), "iot.readings");
        check(parse_table_of_pattern("{topic}.readings"), "error: holds `{topic}` in its database");
        check(parse_table_of_pattern("iot.{Topic}"), "error: is not a table name that is supported");
        check(parse_table_of_pattern("iot.a.{topic}"), "error: has more than one `.`");
        let of = |table: &str, topic: &str| parse_table_of_pattern(table).unwrap().of_topic(topic);
        check(of("iot.{topic}", "orders.eu-1_x"), "iot.orders_eu_1_x");
        check(of("{topic}_of_{topic}", "a"), "default.a_of_a");
        check(of("iot.readings", "orders.eu"), "iot.readings");
        check(of("iot.{topic}", &"x".repeat(101)), "error: is a table name of 101 characters");
    }

    #[test]
    fn ids_and_topics() {
        check(parse_topic("readings.v1_a-b"), "readings.v1_a-b");
        check(parse_topic(&"x".repeat(250)), "error: is 250 characters long");
        check(parse_topic("a b"), "error: holds ` `, which is not allowed");
        check(parse_topic("grün"), "error: holds `\\u{fc}`, which is not allowed");
        check(parse_topic(".."), "error: is not a name");
        check(parse_topic("__consumer_offsets"), "error: is a topic of the broker's own");
        check(parse_connector_id(&"x".repeat(101)), "error: is 101 characters long");
        check(parse_connector_id("pod-0.sinks"), "pod-0.sinks");
        check(parse_label("too_hot"), "too_hot");
        check(parse_label("too hot"), "error: is not a name that fits into metrics and alerts");
    }

    #[test]
    fn brokers() {
        let ok = |text: &str| check_broker(text).map(|()| "ok");
        check(ok("kafka-1:9092"), "ok");
        check(ok("10.0.0.1:9092"), "ok");
        check(ok("[::1]:9092"), "ok");
        check(ok("kafka_1.svc.cluster.local:65535"), "ok");
        check(ok(""), "error: has an empty entry");
        check(ok("kafka"), "error: has an entry without a port");
        check(ok("kafka:0"), "error: has an entry whose port is not in 1 to 65535");
        check(ok("kafka:65536"), "error: has an entry whose port is not in 1 to 65535");
        check(ok("ssl://kafka:9092"), "error: has a scheme");
        check(ok("::1:9092"), "error: has an entry whose host is no host name or address");
        check(ok("ka fka:9092"), "error: has an entry whose host is no host name or address");
        check(ok(":9092"), "error: has an entry whose host is no host name or address");
    }
}
