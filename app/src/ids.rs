//! Names of things, as types that cannot be wrong: whatever comes from a URL or a row is parsed into one of these first.

use std::fmt;
use std::str::FromStr;

use rand::RngExt as _;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// How many letters and digits a [`WorkspaceId`] has: 36^12 of them, so that chance meetings and guesses are out of reach.
pub const WORKSPACE_ID_CHARS: usize = 12;
const WORKSPACE_ID_ALPHABET: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";

/// A text is not the id that it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is not the id of anything")]
pub struct InvalidId;

/// A workspace: in URLs, in its Tenant's name and in the prefix of its objects.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct WorkspaceId(String);

impl WorkspaceId {
    /// A new one, by chance.
    pub fn random() -> Self {
        let mut rng = rand::rng();
        let letters = WORKSPACE_ID_ALPHABET;
        Self(
            (0..WORKSPACE_ID_CHARS)
                .map(|_| char::from(letters[rng.random_range(0..letters.len())]))
                .collect(),
        )
    }

    /// As it stands in URLs and rows.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for WorkspaceId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let fits = text.len() == WORKSPACE_ID_CHARS
            && text
                .bytes()
                .all(|byte| WORKSPACE_ID_ALPHABET.contains(&byte));
        if fits {
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
            /// A new one, by chance.
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

uuid_id!(
    /// A person, once they have signed in.
    UserId
);
uuid_id!(
    /// A session, as the account page names it; what signs in is its token.
    SessionId
);
uuid_id!(
    /// An invitation, as the members page names it; what lets in is its token.
    InvitationId
);
uuid_id!(
    /// A file and all that was made of it, in the main and in the tenant's database alike.
    DocumentId
);
uuid_id!(
    /// A conversation, in the tenant's database.
    ThreadId
);
uuid_id!(
    /// A question or an answer, in the tenant's database.
    MessageId
);
uuid_id!(
    /// The taking away of a workspace or an account.
    DeletionId
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_random_workspace_id_parses_as_itself() {
        let id = WorkspaceId::random();
        assert_eq!(id.as_str().parse(), Ok(id));
    }

    #[test]
    fn what_could_leave_its_prefix_or_its_url_is_no_workspace_id() {
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
