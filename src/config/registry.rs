//! The section `kafka.schema_registry`: where schemas come from, and as whom they are asked for.
//!
//! Takes the section, gives [`RegistrySettings`]. Credentials stay out of the addresses, because addresses are logged.

use std::time::Duration;

use hyper::Uri;
use secrecy::SecretString;

use super::error::Problem;
use super::names::parse_http_url;
use super::secret_file::{read_certificates, read_key, read_secret_keys};
use super::section::Section;
use super::units::{Limits, parse_duration, show_duration};

/// A producer may be ahead of the registry's replicas by seconds; a record is worth waiting that long many times over.
const UNKNOWN_SCHEMA_AFTER_DEFAULT: Duration = Duration::from_secs(60);
const UNKNOWN_SCHEMA_AFTER: Limits<Duration> = Limits {
    least: Duration::from_secs(1),
    greatest: Duration::from_secs(86_400),
    below: "a registry may know a schema later than the first record that names it",
    above: "the partition stands still for as long",
};

/// Where schemas come from, and as whom they are asked for.
#[derive(Debug, Clone)]
pub struct RegistrySettings {
    /// Base addresses of one registry's Confluent-compatible API, such as `http://127.0.0.1:8081`; the next is tried
    /// where one does not answer. At least one; no credentials, query or fragment.
    pub urls: Vec<Uri>,
    /// As whom. Default nobody.
    pub credentials: RegistryCredentials,
    /// PEM text of certificate authorities that `https` is checked against beside the system's own, read from `ca_file`.
    pub certificate_authorities: Option<String>,
    /// What is shown to a registry that asks for a client's certificate. Default none.
    pub identity: Option<ClientIdentity>,
    /// For how long the registry must say that there is no such schema before the records that name it become dead
    /// letters. Default 1 min, 1 s to 1 d. The partition waits meanwhile.
    pub unknown_schema_after: Duration,
}

/// As whom a registry is asked.
#[derive(Debug, Clone)]
pub enum RegistryCredentials {
    /// Nobody.
    None,
    /// Basic authentication; at some hosts these are called API key and secret.
    Basic {
        /// The user.
        username: String,
        /// The user's password.
        password: SecretString,
    },
    /// A bearer token.
    Bearer(SecretString),
}

/// What a client shows to a server that asks who it is.
#[derive(Debug, Clone)]
pub struct ClientIdentity {
    /// The client's certificate and those between it and the authority, as PEM text.
    pub certificates: String,
    /// Its private key as PEM text.
    pub key: SecretString,
}

pub(super) fn read_registry(section: &Section<'_>) -> Option<RegistrySettings> {
    let urls =
        section.values("url", "addresses such as `http://127.0.0.1:8081`", "write `- http://..` lines", parse_urls);
    let urls = section.require("url", urls, "add `url: http://host:8081`");
    let urls: Option<Vec<Uri>> = urls.map(|urls| urls.value.into_iter().flat_map(|urls| urls.value).collect());
    let credentials = read_credentials(section);
    let authorities = section.value("ca_file", "the path of a file", read_certificates).optional();
    let identity = read_identity(section);
    let unknown_schema_after = section
        .value("unknown_schema_after", "a duration", |text| {
            UNKNOWN_SCHEMA_AFTER.check(parse_duration(text)?, show_duration)
        })
        .or(UNKNOWN_SCHEMA_AFTER_DEFAULT, &section.location);
    if let Some(urls) = &urls
        && urls.iter().all(|url| url.scheme_str() == Some("http"))
    {
        for entry in ["ca_file", "certificate_file", "key_file"].iter().filter_map(|key| section.entry(key)) {
            let (path, url) = (section.path_of(&entry.key), section.path_of("url"));
            let reason = format!("`{path}` is given, but `{url}` starts with `http://`, so nothing would be encrypted");
            let fix = format!("write `https://` in `url`, or remove `{}`", entry.key);
            section.report.add(&entry.key_location, reason, fix);
        }
    }
    Some(RegistrySettings {
        urls: urls?,
        credentials: credentials?,
        certificate_authorities: authorities?.map(|located| located.value),
        identity: identity?,
        unknown_schema_after: unknown_schema_after?.value,
    })
}

/// The addresses of one text, separated by commas.
fn parse_urls(text: &str) -> Result<Vec<Uri>, Problem> {
    // The whole text first: what stands before a comma may be a part of a password.
    if text.contains('@') {
        return parse_url(text).map(|url| vec![url]);
    }
    let urls: Vec<_> = text.split(',').map(str::trim).collect();
    if urls.len() > 1 && urls.contains(&"") {
        return Err(Problem::new("has an empty entry", "write one comma between two addresses"));
    }
    urls.into_iter().map(parse_url).collect()
}

fn parse_url(text: &str) -> Result<Uri, Problem> {
    let fix = "write `http://host:8081` or `https://host`, with the path where the API has one";
    let credentials_fix = "move them to `username` and `password_file`: addresses are logged";
    let url = parse_http_url(text, fix, credentials_fix, "remove it: a path may follow the host, nothing else")?;
    let has_port = url.authority().map(hyper::http::uri::Authority::as_str) != url.host();
    if has_port && url.port_u16().is_none_or(|port| port == 0) {
        return Err(Problem::new("has a port that is not in 1 to 65535", fix));
    }
    Ok(url)
}

/// A user name of basic authentication, which ends at the first colon.
fn parse_username(text: &str) -> Result<String, Problem> {
    if text.is_empty() || text.contains(|c: char| c.is_control() || c == ':') {
        let fix = "write the name alone; the password stands in `password_file`";
        return Err(Problem::new("is empty or holds a colon or a control character", fix).hiding_value());
    }
    Ok(text.to_owned())
}

fn read_credentials(section: &Section<'_>) -> Option<RegistryCredentials> {
    let username = section.value("username", "a user name", parse_username).optional();
    let password = read_secret_keys(section, "password", "a password");
    let token = read_secret_keys(section, "token", "a token");
    let (username, password, token) = (username?, password?, token?);
    match (username, password, token) {
        (None, None, None) => Some(RegistryCredentials::None),
        (Some(username), Some(password), None) => {
            Some(RegistryCredentials::Basic { username: username.value, password })
        }
        (None, None, Some(token)) => Some(RegistryCredentials::Bearer(token)),
        (Some(_), None, None) => {
            section.report_missing("password", "add `password_file: ..` beside `username`");
            None
        }
        (None, Some(_), None) => {
            let fix = "add `username: ..` beside the password, or use `token_file` for a bearer token";
            section.report_missing("username", fix);
            None
        }
        (_, _, Some(_)) => {
            let entry = section.entry("token").or_else(|| section.entry("token_file"));
            let location = entry.map_or(&section.location, |entry| &entry.key_location);
            let reason = format!("`{}` is given beside a user name or password", section.path_of("token"));
            let fix = "keep one of them: `token_file` for a bearer token, `username` and `password_file` for basic \
                       authentication";
            section.report.add(location, reason, fix);
            None
        }
    }
}

/// `certificate_file` and `key_file`; the outer `None` where they were bad.
fn read_identity(section: &Section<'_>) -> Option<Option<ClientIdentity>> {
    let certificates = section.value("certificate_file", "the path of a file", read_certificates).optional();
    let key = section.value("key_file", "the path of a file", read_key).optional();
    for (one, other, what) in [
        ("certificate_file", "key_file", "its private key"),
        ("key_file", "certificate_file", "the certificate that belongs to it"),
    ] {
        if let (Some(entry), None) = (section.entry(one), section.entry(other)) {
            let reason = format!("`{}` is given without `{other}`", section.path_of(one));
            section.report.add(&entry.key_location, reason, format!("add `{other}: ..` with {what}"));
            return None;
        }
    }
    let (certificates, key) = (certificates?, key?);
    Some(
        certificates
            .zip(key)
            .map(|(certificates, key)| ClientIdentity { certificates: certificates.value, key: key.value }),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let found = match parse_urls(text) {
            Ok(urls) => urls.iter().map(Uri::to_string).collect::<Vec<_>>().join(" "),
            Err(problem) => {
                assert!(!problem.shows_value || !text.contains("secret"), "{text}");
                format!("error: {}", problem.reason)
            }
        };
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn urls() {
        check("http://127.0.0.1:8081", "http://127.0.0.1:8081/");
        check("https://psrc-1.example.cloud", "https://psrc-1.example.cloud/");
        check("http://r:8080/apis/ccompat/v7", "http://r:8080/apis/ccompat/v7");
        check("http://[::1]:8081", "http://[::1]:8081/");
        check("http://[::1]", "http://[::1]/");
        check("http://a:1, https://b", "http://a:1/ https://b/");
        check("r:8081", "error: does not start with `http://` or `https://`");
        check("http://a:1,,http://b:1", "error: has an empty entry");
        check("http://a:1,", "error: has an empty entry");
        check("", "error: does not start with `http://` or `https://`");
        check("http://r:0", "error: has a port that is not in 1 to 65535");
        check("http://r:99999", "error: has a port that is not in 1 to 65535");
        check("http://r:", "error: has a port that is not in 1 to 65535");
        check("http://a b", "error: is not an address");
        check("http://me:secret@r:8081", "error: holds credentials");
        check("http://me:sec,secret@r:8081", "error: holds credentials");
        check("http://a:1,http://me:secret@r:8081", "error: holds credentials");
        check("http://r:8081?x=secret", "error: holds a query or a fragment");
        check("http://r:8081/#x", "error: holds a query or a fragment");
    }
}
