//! Types that several modules share, without I/O.

mod rate_limit_class;
mod workspace;

pub use rate_limit_class::RateLimitClass;
pub use workspace::{
    InvalidRole, InvalidWorkspaceName, MAX_NAME_CHARS, Role, Workspace, WorkspaceName,
    WorkspaceState,
};
