//! The pages of this area.

pub mod invitation;
pub mod members;
pub mod new_workspace;
pub mod provisioning;
pub mod receipt;
pub mod settings;
