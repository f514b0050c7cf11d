//! Requests that create roles.

use serde::{Deserialize, Serialize};

use super::setters;
use crate::ids::RoleName;

/// Creates a role. Neon generates its password.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateRole {
    /// Name.
    pub name: RoleName,
    /// Whether the role cannot log in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_login: Option<bool>,
}

impl CreateRole {
    /// Creates a role with this name that can log in.
    pub const fn new(name: RoleName) -> Self {
        Self {
            name,
            no_login: None,
        }
    }
}

setters!(CreateRole { no_login: bool });
