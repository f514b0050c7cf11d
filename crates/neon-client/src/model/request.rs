//! Bodies of requests. On the wire each stands in an envelope ([`ProjectEnvelope`](super::ProjectEnvelope) and its like); the client
//! puts it there.
//!
//! What a request cannot do without is asked for by its constructor; the rest is set by methods of the fields' names. A value that
//! exists can be sent.

mod branch;
mod database;
mod endpoint;
mod project;
mod role;

pub use branch::{
    BranchEndpoint, CreateBranch, INIT_FROM_PARENT, INIT_SCHEMA_ONLY, NewBranch, RestoreBranch,
    UpdateBranch,
};
pub use database::{CreateDatabase, UpdateDatabase};
pub use endpoint::{CreateEndpoint, UpdateEndpoint};
pub use project::{CreateProject, FirstBranch, PROJECT_NAME_CHARS_MAX, UpdateProject};
pub use role::CreateRole;

/// A method of its own name for each optional field.
macro_rules! setters {
    ($name:ident { $($field:ident: $type:ty),+ $(,)? }) => {
        impl $name {
            $(
                #[doc = concat!("The same with this `", stringify!($field), "`.")]
                #[must_use]
                pub fn $field(mut self, $field: impl Into<$type>) -> Self {
                    self.$field = Some($field.into());
                    self
                }
            )+
        }
    };
}

use setters;
