//! Secrets, and the files that a configuration names: secrets, keys, certificates and schemas.
//!
//! Takes a path (absolute, or relative to the working directory), gives the content, read once when the configuration
//! is loaded, so that a missing file is an error with a line and not a failure hours later. Never shows a secret.

use std::io::Read;
use std::path::Path;

use secrecy::SecretString;

use super::error::Problem;
use super::section::Section;
use super::tree::{Entry, NodeKind};

/// No password, key or bundle of certificate authorities is near this, and a wrong path may name something endless.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// How many lines the content may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lines {
    One,
    Many,
}

/// The secret under `key` itself or in the file that `<key>_file` names; the outer `None` where it was bad. A variable
/// that holds nothing (`${VAR:-}`) is no secret. `what` is what is expected under `key`.
pub(super) fn read_secret_keys(section: &Section<'_>, key: &str, what: &str) -> Option<Option<SecretString>> {
    let file_key = format!("{key}_file");
    let is_empty_variable = |entry: &Entry| match &entry.value.kind {
        NodeKind::Scalar(scalar) => scalar.template.is_some() && scalar.text.is_empty(),
        _ => false,
    };
    let written = if section.entry(key).is_some_and(is_empty_variable) {
        Some(None)
    } else {
        section.value(key, what, |text| parse_secret(text, Lines::One)).optional()
    };
    let in_file = section.value(&file_key, "the path of a file", |path| read_secret(path, Lines::One)).optional();
    if let (Some(_), Some(entry)) = (section.entry(key), section.entry(&file_key)) {
        let reason = format!("`{}` and `{}` are both given", section.path_of(key), section.path_of(&file_key));
        section.report.add(&entry.key_location, reason, "keep one of them");
    }
    let (written, in_file) = (written?, in_file?);
    Some(written.or(in_file).map(|located| located.value))
}

/// The secret in the file at `path`, without one trailing line break.
pub(super) fn read_secret(path: &str, lines: Lines) -> Result<SecretString, Problem> {
    let text = read_text(path)?;
    let secret = text.strip_suffix('\n').unwrap_or(&text);
    let secret = secret.strip_suffix('\r').unwrap_or(secret);
    if secret.is_empty() {
        return Err(Problem::new("is an empty file", "put the secret into the file"));
    }
    // The value that an error shows is the path.
    parse_secret(secret, lines).map_err(|_| {
        Problem::new("is a file of several lines, or with control characters", "put the secret alone on one line")
    })
}

/// The secret that stands in the configuration itself. Errors leave it out.
pub(super) fn parse_secret(text: &str, lines: Lines) -> Result<SecretString, Problem> {
    let allowed = |c: char| lines == Lines::Many && matches!(c, '\n' | '\r');
    if text.chars().any(|c| c.is_control() && !allowed(c)) {
        let reason = "holds a line break or another control character";
        let fix = "write it without, on one line";
        return Err(Problem::new(reason, fix).hiding_value());
    }
    Ok(SecretString::from(text))
}

/// The certificates in the PEM file at `path`.
pub(super) fn read_certificates(path: &str) -> Result<String, Problem> {
    let text = read_text(path)?;
    if !text.contains("-----BEGIN CERTIFICATE-----") {
        return Err(Problem::new(
            "is a file without a certificate in PEM form",
            "name a file that holds `-----BEGIN CERTIFICATE-----`",
        ));
    }
    Ok(text)
}

/// The private key in the PEM file at `path`. Errors show the path and nothing of the key.
pub(super) fn read_key(path: &str) -> Result<SecretString, Problem> {
    let text = read_text(path)?;
    if text.contains("ENCRYPTED") {
        return Err(Problem::new(
            "is a file with an encrypted key",
            "decrypt it into a file that only this user may read: `openssl pkey -in key.pem -out plain.pem`",
        ));
    }
    if !text.contains("PRIVATE KEY-----") {
        return Err(Problem::new(
            "is a file without a private key in PEM form",
            "name a file that holds `-----BEGIN PRIVATE KEY-----`",
        ));
    }
    Ok(SecretString::from(text))
}

fn read_text(path: &str) -> Result<String, Problem> {
    String::from_utf8(read_bytes(path)?)
        .map_err(|_| Problem::new("is a file that is not text", "store it as text in UTF-8"))
}

/// What stands in the file at `path`.
pub(super) fn read_bytes(path: &str) -> Result<Vec<u8>, Problem> {
    let fix = "check the path (absolute, or relative to the working directory) and that this user may read it";
    let unreadable = |error: std::io::Error| Problem::new(format!("cannot be read: {error}"), fix);
    // A named pipe would block until somebody writes to it.
    if !Path::new(path).metadata().map_err(unreadable)?.is_file() {
        return Err(Problem::new("is not a file", fix));
    }
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let mut bytes = Vec::new();
    let read = file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes);
    read.map_err(unreadable)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > FILE_BYTES_MAX) {
        return Err(Problem::new("is a file of more than 1 MiB", "check the path"));
    }
    Ok(bytes)
}
