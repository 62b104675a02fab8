//! The section `clickhouse`: which server, as whom.
//!
//! Takes the section, gives [`ClickHouseSettings`]. Credentials stay out of the address, because addresses are logged.

use hyper::Uri;
use secrecy::SecretString;

use super::error::Problem;
use super::names::parse_http_url;
use super::secret_file::{read_certificates, read_secret_keys};
use super::section::Section;

/// Which server to write to, and as whom.
#[derive(Debug, Clone)]
pub struct ClickHouseSettings {
    /// The HTTP interface, such as `http://127.0.0.1:8123`. Required, with scheme, host and port; no credentials, query
    /// or fragment. It must reach one server, not a load balancer: a takeover looks for its rows on the server it names.
    pub url: Uri,
    /// The user. Default `default`, ClickHouse's own default user. It needs the grants that `check --connect` prints.
    pub user: String,
    /// The password, from `password` or, without one trailing line break, from `password_file`. Default none.
    pub password: Option<SecretString>,
    /// Whether something between us and the server may repeat a POST. Default `false`. Each insert then also tests that
    /// its rows are not there yet. Wrong `false` behind such a proxy: rows may double.
    pub behind_proxy: bool,
    /// PEM text of the certificate authorities that `https` is checked against, read from `ca_file`. Default none: the
    /// system's own.
    pub certificate_authorities: Option<String>,
}

impl ClickHouseSettings {
    /// Whether the connection is encrypted.
    pub fn is_encrypted(&self) -> bool {
        self.url.scheme_str() == Some("https")
    }
}

pub(super) fn read_clickhouse(section: &Section<'_>) -> Option<ClickHouseSettings> {
    let report = section.report;
    let url = section.value("url", "an address such as `http://127.0.0.1:8123`", parse_url);
    let url = section.require("url", url, "add `url: http://host:8123`");
    let user = section.value("user", "a user name", parse_user).or("default".to_owned(), &section.location);
    let password = read_secret_keys(section, "password", "a password");
    let behind_proxy = section.truth("behind_proxy").or(false, &section.location);
    let certificates = section.value("ca_file", "the path of a file", read_certificates).optional();
    if let (Some(url), Some(entry)) = (&url, section.entry("ca_file"))
        && url.value.scheme_str() == Some("http")
    {
        let reason =
            "`clickhouse.ca_file` is given, but `clickhouse.url` starts with `http://`, so nothing would be encrypted";
        report.add(&entry.key_location, reason, "write `https://` in `url`, or remove `ca_file`");
    }
    Some(ClickHouseSettings {
        url: url?.value,
        user: user?.value,
        password: password?,
        behind_proxy: behind_proxy?.value,
        certificate_authorities: certificates?.map(|located| located.value),
    })
}

/// A user name; it travels in a header.
fn parse_user(text: &str) -> Result<String, Problem> {
    if text.is_empty() || text.contains(char::is_control) {
        return Err(Problem::new(
            "is empty or holds a control character",
            "write the name of a ClickHouse user, or remove the line for `default`",
        ));
    }
    Ok(text.to_owned())
}

fn parse_url(text: &str) -> Result<Uri, Problem> {
    let uri = parse_http_url(
        text,
        "write `http://host:8123` or `https://host:8443`",
        "move them to `user` and `password_file`: addresses are logged",
        "remove it: settings are sent per statement, and the database stands in `table`",
    )?;
    match uri.port_u16() {
        Some(port) if port > 0 => Ok(uri),
        _ => Err(Problem::new(
            "has no port",
            "add it: `:8123` for http, `:8443` for https, `:443` behind most ingresses",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let found = match parse_url(text) {
            Ok(url) => url.to_string(),
            Err(problem) => format!("error: {}", problem.reason),
        };
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn urls() {
        check("http://127.0.0.1:8123", "http://127.0.0.1:8123/");
        check("https://ch.example.com:443/prefix", "https://ch.example.com:443/prefix");
        check("http://[::1]:8123", "http://[::1]:8123/");
        check("127.0.0.1:8123", "error: does not start with `http://` or `https://`");
        check("tcp://127.0.0.1:9000", "error: does not start with `http://` or `https://`");
        check("http://ch", "error: has no port");
        check("http://ch:0", "error: has no port");
        check("http://ch:99999", "error: has no port");
        check("http://", "error: is not an address");
        check("http://:8123", "error: has no host name or address");
        check("http://a b:8123", "error: is not an address");
        check("http://me:secret@ch:8123", "error: holds credentials");
        check("me:secret@ch", "error: holds credentials");
        check("http://ch:8123/?database=x", "error: holds a query or a fragment");
        check("http://ch:8123/#x", "error: holds a query or a fragment");
    }
}
