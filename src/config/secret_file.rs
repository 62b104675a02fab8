//! Files that a configuration names: secrets, certificates and schemas.
//!
//! Takes a path (absolute, or relative to the working directory), gives the content, read once when the configuration
//! is loaded, so that a missing file is an error with a line and not a failure hours later. Never shows a secret.

use std::io::Read;
use std::path::Path;

use secrecy::SecretString;

use super::error::Problem;

/// No password, key or bundle of certificate authorities is near this, and a wrong path may name something endless.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// How many lines the content may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lines {
    One,
    Many,
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
