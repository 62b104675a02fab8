//! A private certificate authority, made on the spot, for listeners on 127.0.0.1.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose};

/// A certificate authority that nobody trusts unless told to. Clones are the same authority.
#[derive(Clone)]
pub struct PrivateCa {
    issuer: Arc<CertifiedIssuer<'static, KeyPair>>,
}

/// A certificate with its private key, both as PEM text.
#[derive(Clone)]
pub struct Issued {
    /// The certificate.
    pub certificate_pem: String,
    /// Its private key.
    pub key_pem: String,
}

impl fmt::Debug for Issued {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issued").finish_non_exhaustive()
    }
}

/// The file names of a certificate and its key inside a service's folder.
pub(crate) const CERTIFICATE_FILE: &str = "certificate.pem";
pub(crate) const KEY_FILE: &str = "key.pem";
/// Key and certificate in one file, as Kafka reads it.
pub(crate) const KEYSTORE_FILE: &str = "keystore.pem";
/// The authority's own certificate.
pub(crate) const CA_FILE: &str = "ca.pem";

impl PrivateCa {
    /// Makes a new authority.
    ///
    /// # Errors
    /// When no key can be made.
    pub fn new() -> Result<Self> {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(DnType::CommonName, "devstack private CA");
        let key = KeyPair::generate().context("make the CA's key")?;
        let issuer = CertifiedIssuer::self_signed(params, key).context("sign the CA's certificate")?;
        Ok(Self { issuer: Arc::new(issuer) })
    }

    /// The authority's certificate, for clients to trust.
    #[must_use]
    pub fn certificate_pem(&self) -> String {
        self.issuer.pem()
    }

    /// Issues a certificate for `name`, to be shown by a server of that name or by a client.
    ///
    /// # Errors
    /// When no key can be made.
    pub fn issue(&self, name: &str) -> Result<Issued> {
        self.issue_for(vec![name.to_owned()], name)
    }

    fn issue_for(&self, names: Vec<String>, common_name: &str) -> Result<Issued> {
        let mut params = CertificateParams::new(names).context("name the certificate")?;
        params.distinguished_name.push(DnType::CommonName, common_name);
        let key = KeyPair::generate().context("make a key")?;
        let certificate = params.signed_by(&key, &self.issuer).context("sign the certificate")?;
        Ok(Issued { certificate_pem: certificate.pem(), key_pem: key.serialize_pem() })
    }

    /// Issues a certificate for localhost and 127.0.0.1, and writes it, its key and the CA's certificate to `folder`.
    pub(crate) fn issue_into(&self, folder: &Path) -> Result<()> {
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let Issued { certificate_pem: certificate, key_pem: key } = self.issue_for(names, "localhost")?;
        for (name, text) in [
            (CERTIFICATE_FILE, &certificate),
            (KEY_FILE, &key),
            (KEYSTORE_FILE, &format!("{key}{certificate}")),
            (CA_FILE, &self.certificate_pem()),
        ] {
            let path = folder.join(name);
            std::fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
        }
        Ok(())
    }
}

impl fmt::Debug for PrivateCa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateCa")
    }
}
