//! The data plane's certificates: the emulator's own CA, and a certificate for each server name.
//!
//! Clients differ in how they treat wildcards directly below a top-level domain, such as
//! `*.localhost`. A separate certificate is therefore issued when a client first requests a name.
//! The CA is stored in the state and does not change.

use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;

use jiff::Zoned;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, date_time_ymd,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::{CertifiedKey, SigningKey};

use crate::store::{Store, StoreError};

/// The key of the CA in the state.
pub(crate) const CA_META_KEY: &str = "certificate_authority";
/// The ALPN protocol ID for direct TLS connections.
pub(crate) const ALPN: &[u8] = b"postgresql";
/// Subject alternative names of every certificate.
const COMMON_NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];
/// Maximum number of cached certificates. When it is exceeded, the cache is cleared.
const MAX_CERTIFICATES: usize = 4_096;
/// Validity of a certificate, in years. Some clients reject longer validities.
const VALID_YEARS: i32 = 2;
const CERTIFICATE_BEGIN: &str = "-----BEGIN CERTIFICATE-----";

/// Why the certificates are not available.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("failed to create a certificate")]
    Certificate(#[from] rcgen::Error),
    #[error("failed to configure TLS")]
    Tls(#[from] rustls::Error),
    #[error("failed to read the emulator's certificate authority: {0}")]
    State(String),
}

impl From<StoreError> for TlsError {
    fn from(error: StoreError) -> Self {
        Self::State(error.to_string())
    }
}

/// The CA and the certificates that it has issued.
pub(crate) struct Certificates {
    issuer: Issuer<'static, KeyPair>,
    ca_pem: String,
    ca: CertificateDer<'static>,
    key: KeyPair,
    signing_key: Arc<dyn SigningKey>,
    suffix: Option<String>,
    common: Arc<CertifiedKey>,
    by_name: Mutex<HashMap<String, Arc<CertifiedKey>>>,
}

impl std::fmt::Debug for Certificates {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Certificates")
            .field("suffix", &self.suffix)
            .finish_non_exhaustive()
    }
}

impl Certificates {
    /// Loads the CA from the state, or creates it. `suffix` follows the endpoint ID in host names.
    pub(crate) async fn open(store: &Store, suffix: Option<&str>) -> Result<Arc<Self>, TlsError> {
        let new = new_authority()?;
        let stored = store.meta(CA_META_KEY, || new).await?;
        let (key_pem, ca_pem) = stored
            .find(CERTIFICATE_BEGIN)
            .map(|at| stored.split_at(at))
            .ok_or_else(|| {
                TlsError::State("the stored value contains no certificate".to_owned())
            })?;
        let issuer = Issuer::from_ca_cert_pem(ca_pem, KeyPair::from_pem(key_pem)?)?;
        let ca = rustls::pki_types::pem::PemObject::from_pem_slice(ca_pem.as_bytes())
            .map_err(|error| TlsError::State(format!("{error:?}")))?;

        let key = KeyPair::generate()?;
        let der = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let signing_key = rustls::crypto::ring::sign::any_supported_type(&der)?;
        let common = sign(&issuer, &ca, &key, &signing_key, None)?;
        Ok(Arc::new(Self {
            issuer,
            ca_pem: ca_pem.to_owned(),
            ca,
            key,
            signing_key,
            suffix: suffix.map(|suffix| format!(".{suffix}")),
            common,
            by_name: Mutex::default(),
        }))
    }

    /// The CA certificate that clients must trust.
    pub(crate) fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// The TLS configuration of the data plane.
    pub(crate) fn server_config(self: Arc<Self>) -> Result<Arc<rustls::ServerConfig>, TlsError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(self);
        config.alpn_protocols = vec![ALPN.to_vec()];
        Ok(Arc::new(config))
    }

    /// The certificate for a client that requests this server name.
    pub(crate) fn end_entity(&self, name: Option<&str>) -> CertificateDer<'static> {
        let certificate = name
            .filter(|name| self.has_certificate(name))
            .and_then(|name| self.certificate_for(name))
            .unwrap_or_else(|| self.common.clone());
        let first = certificate.cert.first().cloned();
        first.unwrap_or_else(|| CertificateDer::from(Vec::new()))
    }

    fn has_certificate(&self, name: &str) -> bool {
        name.ends_with(".localhost")
            || self
                .suffix
                .as_deref()
                .is_some_and(|suffix| name.ends_with(suffix))
    }

    fn certificate_for(&self, name: &str) -> Option<Arc<CertifiedKey>> {
        let mut by_name = self.by_name.lock();
        if let Some(stored) = by_name.get(name) {
            return Some(stored.clone());
        }
        let certificate = sign(
            &self.issuer,
            &self.ca,
            &self.key,
            &self.signing_key,
            Some(name),
        )
        .ok()?;
        if by_name.len() >= MAX_CERTIFICATES {
            by_name.clear();
        }
        by_name.insert(name.to_owned(), certificate.clone());
        Some(certificate)
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        match hello.server_name() {
            Some(name) if self.has_certificate(name) => self.certificate_for(name),
            _ => Some(self.common.clone()),
        }
    }
}

fn new_authority() -> Result<String, rcgen::Error> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::default();
    params.distinguished_name = common_name("Neon emulator CA");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let certificate = params.self_signed(&key)?;
    Ok(format!("{}{}", key.serialize_pem(), certificate.pem()))
}

fn sign(
    issuer: &Issuer<'_, KeyPair>,
    ca: &CertificateDer<'static>,
    key: &KeyPair,
    signing_key: &Arc<dyn SigningKey>,
    name: Option<&str>,
) -> Result<Arc<CertifiedKey>, rcgen::Error> {
    let names: Vec<String> = name
        .into_iter()
        .chain(COMMON_NAMES)
        .map(str::to_owned)
        .collect();
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name = common_name("Neon emulator");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    let year = i32::from(Zoned::now().year());
    params.not_before = date_time_ymd(year - 1, 1, 1);
    params.not_after = date_time_ymd(year + VALID_YEARS, 1, 1);
    let certificate = params.signed_by(key, issuer)?;
    Ok(Arc::new(CertifiedKey::new(
        vec![certificate.der().clone(), ca.clone()],
        signing_key.clone(),
    )))
}

fn common_name(name: &str) -> DistinguishedName {
    let mut names = DistinguishedName::new();
    names.push(DnType::CommonName, name);
    names
}
