//! Identifies the owner of a Neon project: its name carries a mark with the installation and the
//! Tenant's UID.
//!
//! Neon's project names are not unique and its API has no idempotency key. After a lost answer,
//! this mark is the only way to recognise the project that the request created. Only this module
//! builds and parses it.

use std::fmt;

use uuid::Uuid;

/// Longest human-readable part of a project's name, in characters.
const MAX_LABEL_CHARS: usize = 120;
const MARK_PREFIX: &str = "dbpt-";

/// Identifies an installation of the controller. Installations that share a Neon account ignore
/// each other's projects.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct InstallationId(String);

#[derive(Debug, thiserror::Error)]
#[error(
    "write 1 to 36 of the characters a-z, 0-9 and -, starting and ending with a letter or digit, such as `prod-eu` (got `{0}`)"
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
}

impl fmt::Display for TenantUid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

/// Name of a Tenant's project: a human-readable label, then the mark.
pub fn project_name(label: &str, installation: &InstallationId, tenant: TenantUid) -> String {
    let label: String = label
        .chars()
        .filter(|c| !c.is_control())
        .take(MAX_LABEL_CHARS)
        .collect();
    format!("{} {MARK_PREFIX}{installation}/{tenant}", label.trim())
}

/// The Tenant that the mark in a project's name refers to, if the mark is of this installation.
pub fn marked_tenant(name: &str, installation: &InstallationId) -> Option<TenantUid> {
    let mark = name.rsplit(' ').next()?;
    let tenant = mark
        .strip_prefix(MARK_PREFIX)?
        .strip_prefix(installation.as_str())?
        .strip_prefix('/')?;
    TenantUid::parse(tenant)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn installation(text: &str) -> InstallationId {
        InstallationId::parse(text).unwrap()
    }

    proptest! {
        #[test]
        fn a_project_name_identifies_its_tenant_for_any_label(label in ".{0,300}", bytes in any::<u128>()) {
            let tenant = TenantUid(Uuid::from_u128(bytes));
            let name = project_name(&label, &installation("prod-1"), tenant);
            prop_assert!(name.chars().count() <= neon_client::model::MAX_PROJECT_NAME_CHARS);
            prop_assert_eq!(marked_tenant(&name, &installation("prod-1")), Some(tenant));
            prop_assert_eq!(marked_tenant(&name, &installation("prod")), None);
            prop_assert_eq!(marked_tenant(&name, &installation("prod-12")), None);
        }

        #[test]
        fn a_name_without_the_mark_identifies_no_tenant(name in ".{0,100}") {
            prop_assert_eq!(marked_tenant(&name, &installation("prod-1")), None);
        }
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
