//! Requests that create or update databases.

use serde::{Deserialize, Serialize};

use super::setters;
use crate::ids::{DatabaseName, RoleName};

/// Creates a database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateDatabase {
    /// Name.
    pub name: DatabaseName,
    /// Role that owns the database.
    pub owner_name: RoleName,
}

impl CreateDatabase {
    /// Creates a database with this name and owner.
    pub const fn new(name: DatabaseName, owner_name: RoleName) -> Self {
        Self { name, owner_name }
    }
}

/// Updates a database. Fields that are `None` are not changed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct UpdateDatabase {
    /// New name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<DatabaseName>,
    /// New owner.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner_name: Option<RoleName>,
}

setters!(UpdateDatabase {
    name: DatabaseName,
    owner_name: RoleName,
});
