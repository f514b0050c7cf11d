//! Types that several modules share, without I/O.

mod rate_limit_class;
mod workspace;

pub use rate_limit_class::RateLimitClass;
pub use workspace::{NAME_CHARS_MAX, NotAName, NotARole, Role, Workspace, WorkspaceName, WorkspaceState};
