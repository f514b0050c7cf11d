//! Which rate limit a request counts against.

/// A class of requests that share one rate limit. Every route belongs to exactly one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RateLimitClass {
    /// Pages, fragments of pages, and event streams.
    Reads,
    /// Forms that change something.
    Writes,
    /// Searches, which scan a tenant's database.
    Searches,
    /// Uploads, which reserve quota and sign a URL.
    Uploads,
    /// Questions, which may cost money.
    Questions,
    SignIns,
    /// Creating workspaces, deletions, exports and repeated ingestion.
    Expensive,
    /// Scripts, styles and fonts.
    Assets,
}

impl RateLimitClass {
    pub const ALL: [Self; 8] = [
        Self::Reads,
        Self::Writes,
        Self::Searches,
        Self::Uploads,
        Self::Questions,
        Self::SignIns,
        Self::Expensive,
        Self::Assets,
    ];

    /// The value of the metrics' `class` label, also part of the keys in Redis.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Reads => "reads",
            Self::Writes => "writes",
            Self::Searches => "searches",
            Self::Uploads => "uploads",
            Self::Questions => "questions",
            Self::SignIns => "sign_ins",
            Self::Expensive => "expensive",
            Self::Assets => "assets",
        }
    }
}
