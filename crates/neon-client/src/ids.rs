//! Identifiers and names, validated when they are parsed.
//!
//! Each has its own type, so that a branch id cannot be used as a project id. Each is safe as a
//! segment of a URL path: it is never empty, `.` or `..`, and contains no control characters. The
//! client percent-encodes all other characters.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Maximum length of an identifier, in bytes.
pub const MAX_ID_BYTES: usize = 60;

/// Maximum length of a role or database name in PostgreSQL, in bytes.
pub const MAX_NAME_BYTES: usize = 63;

/// Error of parsing an identifier or name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid {what} {text:?}: {rule}")]
pub struct ParseIdError {
    what: &'static str,
    rule: &'static str,
    text: String,
}

impl ParseIdError {
    /// Number of characters of the invalid text that the message contains.
    const MAX_SHOWN_CHARS: usize = 80;

    fn new(what: &'static str, rule: &'static str, text: &str) -> Self {
        Self {
            what,
            rule,
            text: text.chars().take(Self::MAX_SHOWN_CHARS).collect(),
        }
    }
}

const ID_RULE: &str = "must be 1 to 60 characters of a-z, 0-9 and -";
const NAME_RULE: &str = "must be 1 to 63 bytes without control characters, and not . or ..";

fn is_id(text: &str) -> bool {
    (1..=MAX_ID_BYTES).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

fn is_name(text: &str) -> bool {
    (1..=MAX_NAME_BYTES).contains(&text.len())
        && !matches!(text, "." | "..")
        && !text.chars().any(char::is_control)
}

macro_rules! text_id {
    ($(#[$meta:meta])* $name:ident, $what:literal, $check:ident, $rule:ident) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// The identifier as it appears on the wire.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                if $check(text) { Ok(Self(text.into())) } else { Err(ParseIdError::new($what, $rule, text)) }
            }
        }

        impl TryFrom<String> for $name {
            type Error = ParseIdError;

            fn try_from(text: String) -> Result<Self, ParseIdError> {
                if $check(&text) { Ok(Self(text.into())) } else { Err(ParseIdError::new($what, $rule, &text)) }
            }
        }

        impl TryFrom<&str> for $name {
            type Error = ParseIdError;

            fn try_from(text: &str) -> Result<Self, ParseIdError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.as_str().to_owned()
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text_id!(
    /// Id of a project, such as `spring-example-302709`.
    ProjectId, "project id", is_id, ID_RULE
);
text_id!(
    /// Id of a branch, such as `br-wispy-meadow-118737`.
    BranchId, "branch id", is_id, ID_RULE
);
text_id!(
    /// Id of a compute endpoint, such as `ep-silent-smoke-806639`. It is the first label of the
    /// endpoint's host name.
    EndpointId, "endpoint id", is_id, ID_RULE
);
text_id!(
    /// Id of a snapshot, such as `snap-billowing-night-123456`.
    SnapshotId, "snapshot id", is_id, ID_RULE
);
text_id!(
    /// Id of an organization, such as `org-cool-sea-12345678`. Projects belong to an organization
    /// and are billed to it.
    OrgId, "organization id", is_id, ID_RULE
);
text_id!(
    /// Id of a region, such as `aws-us-east-2`.
    RegionId, "region id", is_id, ID_RULE
);
text_id!(
    /// Name of a PostgreSQL role.
    RoleName, "role name", is_name, NAME_RULE
);
text_id!(
    /// Name of a PostgreSQL database.
    DatabaseName, "database name", is_name, NAME_RULE
);

/// Id of an operation. An operation is a task of Neon's control plane for a project, such as
/// starting a compute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OperationId(pub Uuid);

impl FromStr for OperationId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        text.parse()
            .map(Self)
            .map_err(|_| ParseIdError::new("operation id", "must be a UUID", text))
    }
}

impl fmt::Display for OperationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ids_that_are_unsafe_in_a_path_are_rejected() {
        for text in [
            "",
            ".",
            "..",
            "a/b",
            "a b",
            "UPPER",
            "a?b",
            "a#b",
            "ä",
            "a\n",
            &"a".repeat(61),
        ] {
            assert!(text.parse::<ProjectId>().is_err(), "{text:?}");
        }
        assert!("a".repeat(60).parse::<ProjectId>().is_ok());
    }

    #[test]
    fn names_may_contain_anything_that_postgres_allows_except_control_characters() {
        for text in ["neondb_owner", "Ünïcode", "with space", "a/b", "100%"] {
            assert_eq!(text.parse::<RoleName>().unwrap().as_str(), text);
        }
        for text in ["", ".", "..", "a\0b", "a\nb", &"a".repeat(64)] {
            assert!(text.parse::<DatabaseName>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_parse_error_states_the_rule_and_truncates_the_text() {
        let error = "X"
            .repeat(10_000)
            .parse::<ProjectId>()
            .unwrap_err()
            .to_string();
        assert!(error.contains("must be 1 to 60 characters"), "{error}");
        assert!(error.len() < 200, "{error}");
    }

    proptest! {
        #[test]
        fn every_id_round_trips_through_json(text in "[a-z0-9-]{1,60}") {
            let id: ProjectId = text.parse().unwrap();
            let json = serde_json::to_string(&id).unwrap();
            prop_assert_eq!(&json, &format!("\"{text}\""));
            prop_assert_eq!(serde_json::from_str::<ProjectId>(&json).unwrap(), id);
        }

        #[test]
        fn json_and_from_str_accept_the_same_ids(text in any::<String>()) {
            let json = serde_json::to_string(&text).unwrap();
            prop_assert_eq!(serde_json::from_str::<BranchId>(&json).is_ok(), text.parse::<BranchId>().is_ok());
        }
    }
}
