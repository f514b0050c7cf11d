//! Identifiers and names, checked when they are read.
//!
//! Each is a type of its own, so a branch cannot stand where a project belongs, and each is safe as one segment of a URL path:
//! never empty, never `.` or `..`, no control characters. What the alphabet leaves open is percent-encoded by the client.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The longest identifier that the API gives out, in bytes.
pub const ID_BYTES_MAX: usize = 60;

/// The longest name of a role or database that PostgreSQL keeps, in bytes.
pub const NAME_BYTES_MAX: usize = 63;

/// Why a text is not the identifier or name it was read as.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not {what}: {rule}")]
pub struct ParseIdError {
    what: &'static str,
    rule: &'static str,
    text: String,
}

impl ParseIdError {
    /// How much of a refused text is repeated in the message, in characters.
    const SHOWN_CHARS_MAX: usize = 80;

    fn new(what: &'static str, rule: &'static str, text: &str) -> Self {
        Self {
            what,
            rule,
            text: text.chars().take(Self::SHOWN_CHARS_MAX).collect(),
        }
    }
}

const ID_RULE: &str = "it must be 1 to 60 characters of a-z, 0-9 and -";
const NAME_RULE: &str = "it must be 1 to 63 bytes without control characters, and not . or ..";

fn is_id(text: &str) -> bool {
    (1..=ID_BYTES_MAX).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

fn is_name(text: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&text.len())
        && !matches!(text, "." | "..")
        && !text.chars().any(char::is_control)
}

macro_rules! text_id {
    ($(#[$meta:meta])* $name:ident, $what:literal, $check:ident, $rule:ident) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Box<str>);

        impl $name {
            /// The text, as it stands on the wire.
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
                id.0.into()
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
    /// A project: `spring-example-302709`. One tenant's database server, with its branches, computes and quota.
    ProjectId, "a project id", is_id, ID_RULE
);
text_id!(
    /// A branch of a project: `br-wispy-meadow-118737`.
    BranchId, "a branch id", is_id, ID_RULE
);
text_id!(
    /// A compute endpoint of a branch: `ep-silent-smoke-806639`. It is the first label of the host.
    EndpointId, "an endpoint id", is_id, ID_RULE
);
text_id!(
    /// An organization, which projects belong to and are billed to: `org-cool-sea-12345678`.
    OrgId, "an organization id", is_id, ID_RULE
);
text_id!(
    /// A region: `aws-us-east-2`.
    RegionId, "a region id", is_id, ID_RULE
);
text_id!(
    /// The name of a PostgreSQL role.
    RoleName, "a role name", is_name, NAME_RULE
);
text_id!(
    /// The name of a PostgreSQL database.
    DatabaseName, "a database name", is_name, NAME_RULE
);

/// One piece of work that the control plane does for a project, such as starting a compute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OperationId(pub Uuid);

impl FromStr for OperationId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        text.parse()
            .map(Self)
            .map_err(|_| ParseIdError::new("an operation id", "it must be a UUID", text))
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
    fn ids_that_could_leave_their_path_segment_are_refused() {
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
    fn names_may_hold_what_postgres_allows_but_no_control_characters() {
        for text in ["neondb_owner", "Ünïcode", "with space", "a/b", "100%"] {
            assert_eq!(text.parse::<RoleName>().unwrap().as_str(), text);
        }
        for text in ["", ".", "..", "a\0b", "a\nb", &"a".repeat(64)] {
            assert!(text.parse::<DatabaseName>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_refused_id_says_what_to_write_and_repeats_only_a_piece_of_it() {
        let error = "X"
            .repeat(10_000)
            .parse::<ProjectId>()
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("a project id: it must be 1 to 60 characters"),
            "{error}"
        );
        assert!(error.len() < 200, "{error}");
    }

    proptest! {
        #[test]
        fn every_id_survives_json(text in "[a-z0-9-]{1,60}") {
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
