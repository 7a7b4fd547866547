//! A certificate authority of a test's own, and what it certifies: servers on this machine's loopback, and clients.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

/// See the module.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// A certificate and its key, as PEM.
pub struct Certified {
    /// The certificate.
    pub certificate: String,
    /// Its key.
    pub key: String,
}

impl Authority {
    /// One that nobody knows yet.
    ///
    /// # Errors
    /// When no key can be made.
    pub fn new() -> Result<Authority> {
        let key = KeyPair::generate().context("making a key")?;
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "an authority of a test");
        let pem = params.self_signed(&key).context("signing the authority's certificate")?.pem();
        Ok(Authority { issuer: Issuer::new(params, key), pem })
    }

    /// Its own certificate, as PEM: what a peer has to trust.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// Certifies somebody under a name or an address.
    ///
    /// # Errors
    /// When the name cannot stand in a certificate.
    pub fn certify(&self, name: &str) -> Result<Certified> {
        let key = KeyPair::generate().context("making a key")?;
        let params = CertificateParams::new(vec![name.to_owned()]).context("naming a certificate")?;
        let certificate = params.signed_by(&key, &self.issuer).context("signing a certificate")?;
        Ok(Certified { certificate: certificate.pem(), key: key.serialize_pem() })
    }
}

impl Certified {
    /// Writes `NAME.pem` and `NAME.key` into a folder.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn write(&self, folder: &Path, name: &str) -> Result<(PathBuf, PathBuf)> {
        let (certificate, key) = (folder.join(format!("{name}.pem")), folder.join(format!("{name}.key")));
        fs::write(&certificate, &self.certificate).context("writing a certificate")?;
        fs::write(&key, &self.key).context("writing a key")?;
        Ok((certificate, key))
    }
}
