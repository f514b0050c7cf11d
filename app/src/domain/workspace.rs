//! A workspace as its row describes it, its name, and the role of a member.

use jiff::Timestamp;

use crate::ids::{UserId, WorkspaceId};

/// Characters of a workspace's name at most. It also becomes the Tenant's display name, which holds 120.
pub const MAX_NAME_CHARS: usize = 80;

/// Where a workspace stands in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::Type)]
#[sqlx(type_name = "workspace_state", rename_all = "lowercase")]
pub enum WorkspaceState {
    /// The row is there; the Tenant may not be.
    Creating,
    /// The Tenant was applied and its uid is known: from then on its absence is news.
    Active,
    /// It is being taken away. For everybody but the removal it is gone.
    Deleting,
}

/// What a member may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::Type)]
#[sqlx(type_name = "member_role", rename_all = "lowercase")]
pub enum Role {
    /// Everything, also inviting, removing and taking the workspace away. There is always at least one.
    Owner,
    /// Documents and conversations.
    Member,
}

impl Role {
    /// Whether this is an owner.
    pub fn is_owner(self) -> bool {
        self == Self::Owner
    }

    /// As it stands in rows and forms.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Member => "member",
        }
    }
}

/// A text is no role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a role is 'owner' or 'member'")]
pub struct InvalidRole;

impl std::str::FromStr for Role {
    type Err = InvalidRole;

    fn from_str(text: &str) -> Result<Self, InvalidRole> {
        match text {
            "owner" => Ok(Self::Owner),
            "member" => Ok(Self::Member),
            _ => Err(InvalidRole),
        }
    }
}

/// A workspace, as its row has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workspace {
    /// In URLs, in the Tenant's name and in the objects' prefix.
    pub id: WorkspaceId,
    /// As people call it.
    pub name: String,
    /// The TenantClass that its Tenant names.
    pub class_name: String,
    /// Where its database was asked to be; `None` is the class's default.
    pub region: Option<String>,
    /// Where it stands in its life.
    pub state: WorkspaceState,
    /// Uid of the Tenant that was applied for it; another Tenant of that name is not ours.
    pub tenant_uid: Option<String>,
    /// The embedding model whose vectors serve questions; `None` until the first document is stored.
    pub embedding_model: Option<String>,
    /// The user whose first sign-in made it.
    pub personal_of: Option<UserId>,
    /// When the row was made.
    pub created_at: Timestamp,
    /// When its database was first seen to be there.
    pub available_at: Option<Timestamp>,
}

/// A workspace's name: one line of 1 to [`MAX_NAME_CHARS`] characters, without space around it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkspaceName(String);

/// Why a text is no name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidWorkspaceName {
    /// Nothing is left of it.
    #[error("a workspace needs a name")]
    Empty,
    /// It is longer than [`MAX_NAME_CHARS`].
    #[error("a workspace's name has at most {MAX_NAME_CHARS} characters")]
    TooLong,
    /// It has line breaks or other characters that nobody sees.
    #[error("a workspace's name is one line of printable text")]
    ControlCharacters,
}

impl WorkspaceName {
    /// As it stands in the row.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A first name for a person's own workspace, made from how they are called.
    pub fn personal(display_name: &str) -> Self {
        const TAIL: &str = "'s workspace";
        let person: String = display_name
            .chars()
            .filter(|letter| !letter.is_control())
            .collect();
        let person: String = person
            .trim()
            .chars()
            .take(MAX_NAME_CHARS - TAIL.len())
            .collect();
        match person.trim_end() {
            "" => Self("My workspace".to_owned()),
            person => Self(format!("{person}{TAIL}")),
        }
    }
}

impl std::str::FromStr for WorkspaceName {
    type Err = InvalidWorkspaceName;

    fn from_str(text: &str) -> Result<Self, InvalidWorkspaceName> {
        let text = text.trim();
        if text.is_empty() {
            Err(InvalidWorkspaceName::Empty)
        } else if text.chars().count() > MAX_NAME_CHARS {
            Err(InvalidWorkspaceName::TooLong)
        } else if text.chars().any(char::is_control) {
            Err(InvalidWorkspaceName::ControlCharacters)
        } else {
            Ok(Self(text.to_owned()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn whatever_a_person_is_called_their_workspace_gets_a_name(display_name in "\\PC{0,200}|.{0,50}") {
            let name = WorkspaceName::personal(&display_name);
            prop_assert_eq!(name.as_str().parse(), Ok(name.clone()));
        }
    }

    #[test]
    fn a_name_is_one_printable_line() {
        assert_eq!(
            "  Acme GmbH ".parse(),
            Ok(WorkspaceName("Acme GmbH".to_owned()))
        );
        for (text, wrong) in [
            ("   ", InvalidWorkspaceName::Empty),
            ("one\ntwo", InvalidWorkspaceName::ControlCharacters),
            (&"x".repeat(81), InvalidWorkspaceName::TooLong),
        ] {
            assert_eq!(text.parse::<WorkspaceName>(), Err(wrong), "{text:?}");
        }
        assert!("\u{e9}".repeat(80).parse::<WorkspaceName>().is_ok());
    }

    #[test]
    fn roles_are_read_as_they_are_written() {
        for role in [Role::Owner, Role::Member] {
            assert_eq!(role.as_str().parse(), Ok(role));
        }
        assert_eq!("admin".parse::<Role>(), Err(InvalidRole));
    }
}
