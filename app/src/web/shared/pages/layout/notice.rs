//! One-time notices about a completed action.

/// Shown once on the page that a form redirects to, for example `?notice=renamed`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notice {
    Renamed,
    DocumentDeleted,
    Reprocessing,
    ThreadDeleted,
    ThreadRestored,
    ThreadShared,
    ThreadMadePrivate,
    InvitationRevoked,
    MemberRemoved,
    RoleChanged,
    Joined,
    Left,
    SessionEnded,
}

impl Notice {
    /// Name of the query parameter.
    pub const PARAMETER: &str = "notice";
    const ALL: [Self; 13] = [
        Self::Renamed,
        Self::DocumentDeleted,
        Self::Reprocessing,
        Self::ThreadDeleted,
        Self::ThreadRestored,
        Self::ThreadShared,
        Self::ThreadMadePrivate,
        Self::InvitationRevoked,
        Self::MemberRemoved,
        Self::RoleChanged,
        Self::Joined,
        Self::Left,
        Self::SessionEnded,
    ];

    /// Value of the query parameter.
    pub fn key(self) -> &'static str {
        match self {
            Self::Renamed => "renamed",
            Self::DocumentDeleted => "document-deleted",
            Self::Reprocessing => "reprocessing",
            Self::ThreadDeleted => "thread-deleted",
            Self::ThreadRestored => "thread-restored",
            Self::ThreadShared => "thread-shared",
            Self::ThreadMadePrivate => "thread-made-private",
            Self::InvitationRevoked => "invitation-revoked",
            Self::MemberRemoved => "member-removed",
            Self::RoleChanged => "role-changed",
            Self::Joined => "joined",
            Self::Left => "left",
            Self::SessionEnded => "session-ended",
        }
    }

    /// The path with this notice. It must have no query.
    pub fn on(self, path: &str) -> String {
        format!("{path}?{}={}", Self::PARAMETER, self.key())
    }

    /// Parses the value of the query parameter.
    pub fn parse(key: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|notice| notice.key() == key)
    }

    pub(in crate::web) fn message(self) -> &'static str {
        match self {
            Self::Renamed => "Name saved.",
            Self::DocumentDeleted => "The document is being deleted.",
            Self::Reprocessing => "The document is being processed again.",
            Self::ThreadDeleted => "Conversation deleted.",
            Self::ThreadRestored => "Conversation restored.",
            Self::ThreadShared => "Conversation shared. All members can read and continue it.",
            Self::ThreadMadePrivate => "Only you can see this conversation now.",
            Self::InvitationRevoked => "Invitation revoked. Its link no longer works.",
            Self::MemberRemoved => "Member removed.",
            Self::RoleChanged => "Role changed.",
            Self::Joined => "Welcome! You\u{2019}ve joined the workspace.",
            Self::Left => "You\u{2019}ve left the workspace.",
            Self::SessionEnded => "Session signed out.",
        }
    }
}
