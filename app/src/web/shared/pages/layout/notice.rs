//! What a page says once about what was just done.

/// What was just done, said once at the top of the page that a form led to: `?notice=renamed`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notice {
    /// Something has its new name.
    Renamed,
    /// A document is on its way out.
    DocumentRemoved,
    /// A document is being read again.
    ReadingAgain,
    /// A conversation is gone.
    ThreadRemoved,
    /// An invitation is good no more.
    InvitationRevoked,
    /// Somebody is no member any more.
    MemberRemoved,
    /// Somebody's role is another.
    RoleChanged,
    /// The person joined the workspace.
    Joined,
    /// The person is no member any more.
    Left,
    /// A session was ended.
    SessionEnded,
}

impl Notice {
    /// The query parameter that carries it.
    pub const PARAMETER: &str = "notice";
    const ALL: [Self; 10] = [
        Self::Renamed,
        Self::DocumentRemoved,
        Self::ReadingAgain,
        Self::ThreadRemoved,
        Self::InvitationRevoked,
        Self::MemberRemoved,
        Self::RoleChanged,
        Self::Joined,
        Self::Left,
        Self::SessionEnded,
    ];

    /// As the query parameter says it.
    pub fn key(self) -> &'static str {
        match self {
            Self::Renamed => "renamed",
            Self::DocumentRemoved => "document-removed",
            Self::ReadingAgain => "reading-again",
            Self::ThreadRemoved => "thread-removed",
            Self::InvitationRevoked => "invitation-revoked",
            Self::MemberRemoved => "member-removed",
            Self::RoleChanged => "role-changed",
            Self::Joined => "joined",
            Self::Left => "left",
            Self::SessionEnded => "session-ended",
        }
    }

    /// From the query parameter.
    pub fn parse(key: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|notice| notice.key() == key)
    }

    pub(in crate::web) fn words(self) -> &'static str {
        match self {
            Self::Renamed => "The new name is saved.",
            Self::DocumentRemoved => "The document is being removed, with everything made from it.",
            Self::ReadingAgain => "The document is being read again.",
            Self::ThreadRemoved => "The conversation is gone.",
            Self::InvitationRevoked => "That invitation link lets nobody in any more.",
            Self::MemberRemoved => "They are no longer a member.",
            Self::RoleChanged => "The role is changed.",
            Self::Joined => "Welcome. You are a member now.",
            Self::Left => "You have left the workspace.",
            Self::SessionEnded => "That session is signed out.",
        }
    }
}
