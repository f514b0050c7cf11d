//! The certificates and keys of a control plane, created at its start and removed with its folder.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
};

/// Members of this group have all permissions.
const ADMIN_GROUP: &str = "system:masters";
/// The names and addresses in the API server's certificate.
const SERVER_NAMES: [&str; 4] = [
    "127.0.0.1",
    "localhost",
    "kubernetes.default.svc",
    "10.0.0.1",
];

/// The paths of the files, all in PEM format.
#[derive(Debug, Clone)]
pub(super) struct Certificates {
    pub(super) ca: PathBuf,
    pub(super) serving: KeyPairFiles,
    pub(super) admin: KeyPairFiles,
    /// Signs the tokens of `ServiceAccounts`.
    pub(super) service_account_key: PathBuf,
    /// Verifies the tokens of `ServiceAccounts`.
    pub(super) service_account_public_key: PathBuf,
}

#[derive(Debug, Clone)]
pub(super) struct KeyPairFiles {
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
}

/// Creates all certificates and keys in `folder`.
pub(super) fn create(folder: &Path) -> Result<Certificates> {
    fs::create_dir(folder).with_context(|| format!("failed to create {}", folder.display()))?;
    let mut params = CertificateParams::default();
    params.distinguished_name = name("local control plane", None);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![
        KeyUsagePurpose::KeyCertSign,
        KeyUsagePurpose::CrlSign,
        KeyUsagePurpose::DigitalSignature,
    ];
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
    let ca = write(folder, "ca.crt", &issuer.pem())?;

    let mut serving = CertificateParams::new(SERVER_NAMES.map(String::from).to_vec())?;
    serving.distinguished_name = name("kube-apiserver", None);
    serving.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let serving = issue(folder, "serving", serving, &issuer)?;

    let mut admin = CertificateParams::default();
    admin.distinguished_name = name("admin", Some(ADMIN_GROUP));
    admin.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let admin = issue(folder, "admin", admin, &issuer)?;

    let tokens = KeyPair::generate()?;
    Ok(Certificates {
        ca,
        serving,
        admin,
        service_account_key: write(folder, "tokens.key", &tokens.serialize_pem())?,
        service_account_public_key: write(folder, "tokens.pub", &tokens.public_key_pem())?,
    })
}

fn issue(
    folder: &Path,
    stem: &str,
    mut params: CertificateParams,
    issuer: &CertifiedIssuer<'_, KeyPair>,
) -> Result<KeyPairFiles> {
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    let key = KeyPair::generate()?;
    let certificate = params.signed_by(&key, issuer)?;
    Ok(KeyPairFiles {
        certificate: write(folder, &format!("{stem}.crt"), &certificate.pem())?,
        key: write(folder, &format!("{stem}.key"), &key.serialize_pem())?,
    })
}

fn name(common_name: &str, organization: Option<&str>) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    if let Some(organization) = organization {
        name.push(DnType::OrganizationName, organization);
    }
    name
}

/// Writes a file that only this user can read.
pub(super) fn write(folder: &Path, file: &str, text: &str) -> Result<PathBuf> {
    let path = folder.join(file);
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .with_context(|| format!("failed to write {}", path.display()))?;
    Ok(path)
}
