//! How a Neon project says whose it is: its name carries a mark of the installation and of the Tenant.
//!
//! Neon's names are not unique and creation has no idempotency key, so this mark is the only way to tell, after an
//! answer was lost, that a project in the account is the one that was asked for. It must never be built or read
//! anywhere but here.

use std::fmt;

use uuid::Uuid;

/// Most characters of the part of a project's name that is for people.
const LABEL_CHARS_MAX: usize = 120;
const MARK_PREFIX: &str = "dbpt-";

/// Which installation of the controller a project belongs to; two that share a Neon account leave each other's alone.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct InstallationId(String);

/// Why a text is no installation id.
#[derive(Debug, thiserror::Error)]
#[error(
    "{0:?} is no installation id: use 1 to 36 of a-z, 0-9 and -, with a letter or digit at both ends"
)]
pub struct InvalidInstallationId(String);

impl InstallationId {
    /// Reads an id: 1 to 36 of `a-z`, `0-9` and `-`, with a letter or digit at both ends.
    pub fn parse(text: &str) -> Result<Self, InvalidInstallationId> {
        let good = (1..=36).contains(&text.len())
            && text
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && !text.starts_with('-')
            && !text.ends_with('-');
        if good {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidInstallationId(text.to_owned()))
        }
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for InstallationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// UID of a Tenant: unlike its name, never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TenantUid(Uuid);

impl TenantUid {
    /// Reads the UID that the API server gave.
    pub fn parse(text: &str) -> Option<Self> {
        Uuid::try_parse(text).ok().map(Self)
    }
}

impl fmt::Display for TenantUid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

/// The name of the project of a Tenant: a label for people, then the mark.
pub fn project_name(label: &str, installation: &InstallationId, tenant: TenantUid) -> String {
    let label: String = label
        .chars()
        .filter(|c| !c.is_control())
        .take(LABEL_CHARS_MAX)
        .collect();
    format!("{} {MARK_PREFIX}{installation}/{tenant}", label.trim())
}

/// Whose project a name says it is, if it bears the mark of this installation.
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
        fn a_project_name_leads_back_to_its_tenant_whatever_its_label(label in ".{0,300}", bytes in any::<u128>()) {
            let tenant = TenantUid(Uuid::from_u128(bytes));
            let name = project_name(&label, &installation("prod-1"), tenant);
            prop_assert!(name.chars().count() <= neon_client::model::MAX_PROJECT_NAME_CHARS);
            prop_assert_eq!(marked_tenant(&name, &installation("prod-1")), Some(tenant));
            prop_assert_eq!(marked_tenant(&name, &installation("prod")), None);
            prop_assert_eq!(marked_tenant(&name, &installation("prod-12")), None);
        }

        #[test]
        fn a_name_without_the_mark_is_nobodys(name in ".{0,100}") {
            prop_assert_eq!(marked_tenant(&name, &installation("prod-1")), None);
        }
    }

    #[test]
    fn installation_ids_that_could_be_mistaken_are_refused() {
        for bad in [
            "",
            "-a",
            "a-",
            "A",
            "a/b",
            "a b",
            "0123456789012345678901234567890123456",
        ] {
            assert!(InstallationId::parse(bad).is_err(), "{bad:?}");
        }
    }
}
