//! What the clients of this program that speak HTTP share: whom they trust, how they connect, how they write addresses.
//!
//! Takes texts in PEM form, gives connectors. Reads the system's certificates and no other file. Never shows a key.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::{Builder, Client, connect::HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use secrecy::ExposeSecret;

use crate::config::ClientIdentity;

/// Shorter than any keep-alive of a server (3 s before ClickHouse 23.8, 10 s and more since), so that a request hardly
/// ever meets a connection that the server is just closing.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(2);
const TCP_KEEPALIVE: Duration = Duration::from_secs(30);

/// Why no encrypted connection could ever be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}; {fix}")]
pub(crate) struct TlsFault {
    pub(crate) what: String,
    pub(crate) fix: String,
}

/// Trusts the system's certificate authorities and those in `authorities`, and shows `identity` to a server that asks.
/// `whose` names the server in errors.
pub(crate) fn tls_config(
    whose: &str,
    authorities: Option<&str>,
    identity: Option<&ClientIdentity>,
) -> Result<rustls::ClientConfig, TlsFault> {
    let mut roots = rustls::RootCertStore::empty();
    // A certificate of the system that cannot be read is not ours to complain about; one missing shows when connecting.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(pem) = authorities {
        let unusable = |why: String| TlsFault {
            what: format!("the certificate authorities of {whose} cannot be used: {why}"),
            fix: "give a pem file with at least one certificate".to_owned(),
        };
        for certificate in certificates(pem).map_err(unusable)? {
            roots.add(certificate).map_err(|error| unusable(error.to_string()))?;
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| TlsFault {
            what: format!("tls cannot be set up: {error}"),
            fix: "this is a fault of the build, please report it".to_owned(),
        })?
        .with_root_certificates(roots);
    let Some(identity) = identity else { return Ok(config.with_no_client_auth()) };
    let unusable = |why: String| TlsFault {
        what: format!("the client certificate for {whose} cannot be used: {why}"),
        fix: "give a certificate and its own private key, unencrypted, both in pem form".to_owned(),
    };
    let chain = certificates(&identity.certificates).map_err(unusable)?;
    // What the parser says of a key is left out: it may show a part of it.
    let key = PrivateKeyDer::from_pem_slice(identity.key.expose_secret().as_bytes())
        .map_err(|_| unusable("there is no private key that can be read".to_owned()))?;
    config.with_client_auth_cert(chain, key).map_err(|error| unusable(error.to_string()))
}

fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    let found = found.map_err(|error| error.to_string())?;
    if found.is_empty() { Err("there is no certificate in it".to_owned()) } else { Ok(found) }
}

/// Connects with or without encryption, as the address says.
pub(crate) fn connector(tls: rustls::ClientConfig, connect_timeout: Duration) -> HttpsConnector<HttpConnector> {
    let mut http = HttpConnector::new();
    http.enforce_http(false);
    http.set_nodelay(true);
    http.set_keepalive(Some(TCP_KEEPALIVE));
    http.set_connect_timeout(Some(connect_timeout));
    HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().wrap_connector(http)
}

/// A client that sends each request once.
pub(crate) fn client_builder() -> Builder {
    let mut builder = Client::builder(TokioExecutor::new());
    builder.pool_timer(TokioTimer::new()).pool_idle_timeout(POOL_IDLE_TIMEOUT).retry_canceled_requests(false);
    builder
}

/// Writes `text` as one part of a path or query.
pub(crate) fn push_encoded(url: &mut String, text: &str) {
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                url.push(char::from(byte));
            }
            other => write!(url, "%{other:02X}").expect("writing to a string does not fail"),
        }
    }
}

#[cfg(test)]
mod tests {
    use devstack::PrivateCa;
    use secrecy::SecretString;

    use super::*;

    #[test]
    fn everything_but_the_plainest_is_encoded() {
        let check = |text: &str, expected: &str| {
            let mut url = String::new();
            push_encoded(&mut url, text);
            assert_eq!(url, expected);
        };
        check("a-b_c.d~9", "a-b_c.d~9");
        check("a b+c&d=e%", "a%20b%2Bc%26d%3De%25");
        check("ü\n'", "%C3%BC%0A%27");
    }

    #[test]
    fn certificates_and_keys_that_cannot_be_used_are_refused() {
        let ca = PrivateCa::new().unwrap();
        let (mine, other) = (ca.issue("me").unwrap(), ca.issue("other").unwrap());
        let check = |authorities: &str, certificates: &str, key: &str, expected: Option<&str>| {
            let identity =
                ClientIdentity { certificates: certificates.to_owned(), key: SecretString::from(key.to_owned()) };
            let fault = tls_config("the server", Some(authorities), Some(&identity)).err().map(|fault| fault.what);
            match expected {
                None => assert_eq!(fault, None),
                Some(part) => assert!(fault.as_ref().is_some_and(|what| what.contains(part)), "{part}: {fault:?}"),
            }
        };
        let authorities = ca.certificate_pem();
        check(&authorities, &mine.certificate_pem, &mine.key_pem, None);
        check("nothing", &mine.certificate_pem, &mine.key_pem, Some("authorities of the server cannot be used"));
        check(&authorities, "nothing", &mine.key_pem, Some("there is no certificate in it"));
        check(&authorities, &mine.certificate_pem, "nothing", Some("there is no private key"));
        check(&authorities, &mine.certificate_pem, &other.key_pem, Some("client certificate for the server"));
    }
}
