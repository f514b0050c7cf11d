//! Id types. Values from URLs and rows are parsed into one of these before they are used.

use std::fmt;
use std::str::FromStr;

use rand::RngExt as _;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Length of a [`WorkspaceId`]. With 36^12 values, collisions and guesses are improbable.
pub const WORKSPACE_ID_CHARS: usize = 12;
const WORKSPACE_ID_ALPHABET: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("invalid id")]
pub struct InvalidId;

/// The id of a workspace. It is part of URLs, of the Tenant's name and of the prefix of its
/// objects.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct WorkspaceId(String);

impl WorkspaceId {
    pub fn random() -> Self {
        let mut rng = rand::rng();
        let alphabet = WORKSPACE_ID_ALPHABET;
        Self(
            (0..WORKSPACE_ID_CHARS)
                .map(|_| char::from(alphabet[rng.random_range(0..alphabet.len())]))
                .collect(),
        )
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for WorkspaceId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let is_valid = text.len() == WORKSPACE_ID_CHARS
            && text
                .bytes()
                .all(|byte| WORKSPACE_ID_ALPHABET.contains(&byte));
        if is_valid {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidId)
        }
    }
}

impl TryFrom<String> for WorkspaceId {
    type Error = InvalidId;

    fn try_from(text: String) -> Result<Self, InvalidId> {
        text.parse()
    }
}

impl From<WorkspaceId> for String {
    fn from(id: WorkspaceId) -> Self {
        id.0
    }
}

impl fmt::Display for WorkspaceId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, sqlx::Type,
        )]
        #[serde(transparent)]
        #[sqlx(transparent)]
        pub struct $name(pub Uuid);

        impl $name {
                    pub fn random() -> Self {
                Self(Uuid::new_v4())
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                Uuid::try_parse(text).map(Self).map_err(|_| InvalidId)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(formatter)
            }
        }
    };
}

uuid_id!(UserId);
uuid_id!(
    /// Identifies a session on the account page. It does not authenticate; the session's token
    /// does.
    SessionId
);
uuid_id!(
    /// Identifies an invitation on the members page. It does not grant access; the invitation's
    /// token does.
    InvitationId
);
uuid_id!(
    /// Identifies a document in the main database, in the tenant's database and in S3.
    DocumentId
);
uuid_id!(
    /// Identifies a conversation in the tenant's database.
    ThreadId
);
uuid_id!(
    /// Identifies a question or an answer in the tenant's database.
    MessageId
);
uuid_id!(
    /// Identifies the deletion of a workspace or an account.
    DeletionId
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_random_workspace_id_round_trips() {
        let id = WorkspaceId::random();
        assert_eq!(id.as_str().parse(), Ok(id));
    }

    #[test]
    fn workspace_ids_cannot_contain_separators() {
        for text in [
            "",
            "abc",
            "ABCDEFGHIJKL",
            "abcdefghij/k",
            "../../../etc",
            "abcdefghijkl1",
            "abcdefghijk\u{e9}",
        ] {
            assert_eq!(text.parse::<WorkspaceId>(), Err(InvalidId), "{text:?}");
        }
    }
}
