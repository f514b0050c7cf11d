//! Request bodies. On the wire each is wrapped in an envelope such as
//! [`ProjectEnvelope`](super::ProjectEnvelope), which the client adds.
//!
//! Constructors take the required fields, and setters named after the fields set the optional ones.
//! Every value that can be constructed is a valid request body.

mod branch;
mod database;
mod endpoint;
mod project;
mod role;
mod snapshot;

pub use branch::{
    BranchEndpoint, CreateBranch, INIT_FROM_PARENT, INIT_SCHEMA_ONLY, NewBranch, RestoreBranch,
    UpdateBranch,
};
pub use database::{CreateDatabase, UpdateDatabase};
pub use endpoint::{CreateEndpoint, UpdateEndpoint};
pub use project::{CreateProject, FirstBranch, MAX_PROJECT_NAME_CHARS, UpdateProject};
pub use role::CreateRole;
pub use snapshot::{CreateSnapshot, FinalizeRestore, RestoreSnapshot};

/// Declares a setter for each optional field.
macro_rules! setters {
    ($name:ident { $($field:ident: $type:ty),+ $(,)? }) => {
        impl $name {
            $(
                #[doc = concat!("Sets `", stringify!($field), "`.")]
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
