//! The client against a fake registry: what each kind of answer leads to.

mod answers;
mod book;
mod client;
mod fake;

use secrecy::SecretString;
use std::time::Duration;

use crate::config::{RegistryCredentials, RegistrySettings};

/// Settings for these addresses, with nothing else.
fn settings(urls: &[&str]) -> RegistrySettings {
    RegistrySettings {
        urls: urls.iter().map(|url| url.parse().unwrap()).collect(),
        credentials: RegistryCredentials::None,
        certificate_authorities: None,
        identity: None,
        unknown_schema_after: Duration::from_secs(60),
    }
}

fn secret(text: &str) -> SecretString {
    SecretString::from(text.to_owned())
}

/// An address where nobody listens.
fn nobody() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}
