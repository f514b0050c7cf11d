//! API keys: of the emulator's user, or of an organization.

use std::fmt;
use std::str::FromStr;

use neon_client::ids::OrgId;

/// Separates a key from its organization.
const SEPARATOR: char = '@';

/// An accepted API key: `KEY` of the user, who sees all projects, or `KEY@ORGANIZATION` of an
/// organization, which sees only its own projects. As in Neon, projects that are created with the
/// key of an organization belong to that organization, regardless of the request.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey {
    secret: String,
    organization: Option<OrgId>,
}

#[derive(Debug, thiserror::Error)]
#[error(
    "an API key must be KEY or KEY@ORGANIZATION, with an organization id such as org-blue-sea-1"
)]
pub struct InvalidApiKey;

impl ApiKey {
    /// The key as clients send it.
    pub fn secret(&self) -> &str {
        &self.secret
    }

    pub(crate) fn organization(&self) -> Option<&OrgId> {
        self.organization.as_ref()
    }
}

impl FromStr for ApiKey {
    type Err = InvalidApiKey;

    fn from_str(text: &str) -> Result<Self, InvalidApiKey> {
        let (secret, organization) = match text.split_once(SEPARATOR) {
            Some((secret, organization)) => (
                secret,
                Some(organization.parse().map_err(|_| InvalidApiKey)?),
            ),
            None => (text, None),
        };
        if secret.is_empty() {
            return Err(InvalidApiKey);
        }
        Ok(Self {
            secret: secret.to_owned(),
            organization,
        })
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiKey")
            .field("organization", &self.organization)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_names_its_organization_after_the_separator() {
        let key: ApiKey = "napi_a@org-blue-1".parse().unwrap();
        assert_eq!(key.secret(), "napi_a");
        assert_eq!(key.organization().map(OrgId::as_str), Some("org-blue-1"));
        assert!(!format!("{key:?}").contains("napi_a"));
        assert_eq!("napi_b".parse::<ApiKey>().unwrap().organization(), None);
        for invalid in ["", "@org-blue-1", "napi_a@", "napi_a@No Organization"] {
            assert!(invalid.parse::<ApiKey>().is_err(), "{invalid}");
        }
    }
}
