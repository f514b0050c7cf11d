//! Workspaces, their names, and the roles of members.

use jiff::Timestamp;

use crate::ids::{UserId, WorkspaceId};

/// Limit on a workspace's name. The name also becomes the Tenant's display name, which may have 120
/// characters.
pub const MAX_NAME_CHARS: usize = 80;

#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::Type)]
#[sqlx(type_name = "workspace_state", rename_all = "lowercase")]
pub enum WorkspaceState {
    /// The row exists; the Tenant may not exist yet.
    Creating,
    /// The Tenant was applied and its UID is recorded. If the Tenant is missing from now on,
    /// someone deleted it.
    Active,
    /// Deletion was requested. To everyone else the workspace no longer exists.
    Deleting,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::Type)]
#[sqlx(type_name = "member_role", rename_all = "lowercase")]
pub enum Role {
    /// Full access, including managing members and deleting the workspace. Every workspace has at
    /// least one owner.
    Owner,
    /// Access to documents and conversations.
    Member,
}

impl Role {
    pub fn is_owner(self) -> bool {
        self == Self::Owner
    }

    /// The value used in rows and forms.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Member => "member",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("role must be 'owner' or 'member'")]
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

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workspace {
    /// Part of URLs, of the Tenant's name and of the S3 prefix.
    pub id: WorkspaceId,
    pub name: String,
    /// Name of the Tenant's `TenantClass`.
    pub class_name: String,
    /// Requested region; `None` means the class's default.
    pub region: Option<String>,
    pub state: WorkspaceState,
    /// UID of the applied Tenant. A Tenant of the same name with another UID does not belong to the
    /// workspace.
    pub tenant_uid: Option<String>,
    /// The embedding model whose vectors are searched; `None` until the first document is stored.
    pub embedding_model: Option<String>,
    /// The user whose personal workspace this is.
    pub personal_of: Option<UserId>,
    pub created_at: Timestamp,
    /// When the database first became available.
    pub available_at: Option<Timestamp>,
}

/// A workspace's name: one line of 1 to [`MAX_NAME_CHARS`] characters without surrounding
/// whitespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkspaceName(String);

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidWorkspaceName {
    #[error("a workspace name must not be empty")]
    Empty,
    #[error("a workspace name may have at most {MAX_NAME_CHARS} characters")]
    TooLong,
    #[error("a workspace name must be one line of printable text")]
    ControlCharacters,
}

impl WorkspaceName {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Derives the name of a user's personal workspace from their display name.
    pub fn personal(display_name: &str) -> Self {
        const TAIL: &str = "'s workspace";
        let name: String = display_name
            .chars()
            .filter(|letter| !letter.is_control())
            .collect();
        let name: String = name
            .trim()
            .chars()
            .take(MAX_NAME_CHARS - TAIL.len())
            .collect();
        match name.trim_end() {
            "" => Self("My workspace".to_owned()),
            name => Self(format!("{name}{TAIL}")),
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
        fn every_display_name_gives_a_valid_workspace_name(display_name in "\\PC{0,200}|.{0,50}") {
            let name = WorkspaceName::personal(&display_name);
            prop_assert_eq!(name.as_str().parse(), Ok(name.clone()));
        }
    }

    #[test]
    fn names_are_trimmed_and_validated() {
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
    fn roles_round_trip() {
        for role in [Role::Owner, Role::Member] {
            assert_eq!(role.as_str().parse(), Ok(role));
        }
        assert_eq!("admin".parse::<Role>(), Err(InvalidRole));
    }
}
