//! Roles to be made.

use serde::{Deserialize, Serialize};

use super::setters;
use crate::ids::RoleName;

/// A role to be made. The platform gives it its password.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateRole {
    /// Its name.
    pub name: RoleName,
    /// Whether nobody shall sign in as it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_login: Option<bool>,
}

impl CreateRole {
    /// A role of this name that can sign in.
    pub const fn new(name: RoleName) -> Self {
        Self {
            name,
            no_login: None,
        }
    }
}

setters!(CreateRole { no_login: bool });
