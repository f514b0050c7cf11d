//! Identifies the owner of a Neon project: its name ends with a mark, which contains the
//! installation, the Tenant's UID, and the Tenant's namespace and name.
//!
//! Neon's project names are not unique and its API has no idempotency key. If a response is
//! lost, this mark is the only way to recognize the project that the request created. The UID identifies
//! one Tenant object; the namespace and the name identify the Tenants that are applied or restored
//! in its place. Only this module builds and parses the mark.

use std::fmt::{self, Write as _};

use sha2::{Digest, Sha256};
use uuid::Uuid;

/// Longest human-readable part of a project's name, in characters.
const MAX_LABEL_CHARS: usize = 120;
const MARK_PREFIX: &str = "dbpt-";
/// Longest [`TenantKey`], in characters. With it, the longest label and the longest installation id,
/// a project's name stays below Neon's limit.
const MAX_KEY_CHARS: usize = 55;
/// Bytes of the digest of a namespace and name that are too long for a key.
const KEY_DIGEST_BYTES: usize = 16;

/// Identifies an installation of the controller. Installations that share a Neon account ignore
/// each other's projects.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct InstallationId(String);

#[derive(Debug, thiserror::Error)]
#[error(
    "must consist of 1 to 36 of the characters a-z, 0-9 and -, and start and end with a letter or digit, such as `prod-eu` (got `{0}`)"
)]
pub struct InvalidInstallationId(String);

impl InstallationId {
    /// Parses an id: 1 to 36 characters of `a-z`, `0-9` and `-`, starting and ending with a letter
    /// or digit.
    pub fn parse(text: &str) -> Result<Self, InvalidInstallationId> {
        let valid = (1..=36).contains(&text.len())
            && text
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && !text.starts_with('-')
            && !text.ends_with('-');
        if valid {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidInstallationId(text.to_owned()))
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for InstallationId {
    type Err = InvalidInstallationId;

    fn from_str(text: &str) -> Result<Self, InvalidInstallationId> {
        Self::parse(text)
    }
}

impl fmt::Display for InstallationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// UID of a Tenant. Unlike its name, it is never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TenantUid(Uuid);

impl TenantUid {
    /// Parses a UID that the API server assigned.
    pub fn parse(text: &str) -> Option<Self> {
        Uuid::try_parse(text).ok().map(Self)
    }

    /// A number that is as good as random and always the same for a Tenant. Rollouts order the
    /// Tenants by it.
    pub fn hash_order(self) -> u64 {
        let digest = Sha256::digest(self.0.as_bytes());
        digest
            .iter()
            .take(size_of::<u64>())
            .fold(0, |number, byte| (number << 8) | u64::from(*byte))
    }
}

impl fmt::Display for TenantUid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

/// Namespace and name of a Tenant in the form in which a project's name contains them:
/// `namespace/name`, or a digest if that is too long.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TenantKey(Box<str>);

impl TenantKey {
    pub fn new(namespace: &str, name: &str) -> Self {
        let text = format!("{namespace}/{name}");
        if text.len() <= MAX_KEY_CHARS {
            return Self(text.into());
        }
        // A digest contains no slash, so it is not the key of any other Tenant.
        let digest = Sha256::digest(text.as_bytes());
        let hex = digest
            .iter()
            .take(KEY_DIGEST_BYTES)
            .fold(String::new(), |mut hex, byte| {
                // Writing to a String cannot fail.
                let _ = write!(hex, "{byte:02x}");
                hex
            });
        Self(hex.into())
    }
}

impl fmt::Display for TenantKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The mark in the name of a project that an installation of the controller created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProjectMark {
    pub installation: InstallationId,
    /// The Tenant that the project was created for, or that took it back last.
    pub tenant: TenantUid,
    /// Namespace and name of that Tenant.
    pub key: TenantKey,
}

impl ProjectMark {
    /// The mark in a project's name, if there is one.
    pub fn parse(name: &str) -> Option<Self> {
        let mark = name.rsplit(' ').next()?.strip_prefix(MARK_PREFIX)?;
        let mut parts = mark.splitn(3, '/');
        Some(Self {
            installation: InstallationId::parse(parts.next()?).ok()?,
            tenant: TenantUid::parse(parts.next()?)?,
            key: TenantKey(parts.next()?.into()),
        })
    }

    /// Name of a project with this mark: a human-readable label, then the mark.
    pub fn project_name(&self, label: &str) -> String {
        let label: String = label
            .chars()
            .filter(|c| !c.is_control())
            .take(MAX_LABEL_CHARS)
            .collect();
        let Self {
            installation,
            tenant,
            key,
        } = self;
        format!(
            "{} {MARK_PREFIX}{installation}/{tenant}/{key}",
            label.trim()
        )
    }
}

/// The Tenant that the mark in a project's name refers to, if the mark is of this installation.
pub fn marked_tenant(name: &str, installation: &InstallationId) -> Option<TenantUid> {
    ProjectMark::parse(name)
        .filter(|mark| mark.installation == *installation)
        .map(|mark| mark.tenant)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn installation(text: &str) -> InstallationId {
        InstallationId::parse(text).unwrap()
    }

    fn mark(id: &str, tenant: TenantUid, key: TenantKey) -> ProjectMark {
        ProjectMark {
            installation: installation(id),
            tenant,
            key,
        }
    }

    proptest! {
        #[test]
        fn a_project_name_identifies_its_tenant_for_any_label(
            label in ".{0,300}",
            bytes in any::<u128>(),
            id in "[a-z0-9]([a-z0-9-]{0,34}[a-z0-9])?",
            namespace in "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?",
            tenant_name in "[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?",
        ) {
            let key = TenantKey::new(&namespace, &tenant_name);
            let mark = mark(&id, TenantUid(Uuid::from_u128(bytes)), key);
            let name = mark.project_name(&label);
            prop_assert!(name.chars().count() <= neon_client::model::MAX_PROJECT_NAME_CHARS);
            prop_assert_eq!(ProjectMark::parse(&name), Some(mark));
        }

        #[test]
        fn a_name_without_the_mark_identifies_no_tenant(name in ".{0,100}") {
            prop_assert_eq!(ProjectMark::parse(&name), None);
        }
    }

    #[test]
    fn the_key_of_a_tenant_is_readable_unless_it_is_too_long() {
        assert_eq!(TenantKey::new("acme", "main").to_string(), "acme/main");
        let (long, other) = ("n".repeat(63), "m".repeat(63));
        let keys = [
            TenantKey::new(&long, &long),
            TenantKey::new(&long, &other),
            TenantKey::new(&other, &long),
        ];
        assert_eq!(keys[0], TenantKey::new(&long, &long));
        assert!(keys[0] != keys[1] && keys[1] != keys[2] && keys[0] != keys[2]);
        assert!(keys[0].to_string().len() <= MAX_KEY_CHARS);
    }

    #[test]
    fn invalid_installation_ids_are_rejected() {
        for invalid in [
            "",
            "-a",
            "a-",
            "A",
            "a/b",
            "a b",
            "0123456789012345678901234567890123456",
        ] {
            assert!(InstallationId::parse(invalid).is_err(), "{invalid:?}");
        }
    }
}
