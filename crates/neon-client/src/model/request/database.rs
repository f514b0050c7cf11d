//! Databases to be made or changed.

use serde::{Deserialize, Serialize};

use super::setters;
use crate::ids::{DatabaseName, RoleName};

/// A database to be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateDatabase {
    /// Its name.
    pub name: DatabaseName,
    /// The role that shall own it.
    pub owner_name: RoleName,
}

impl CreateDatabase {
    /// A database of this name and owner.
    pub const fn new(name: DatabaseName, owner_name: RoleName) -> Self {
        Self { name, owner_name }
    }
}

/// Changes of a database. What is `None` stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct UpdateDatabase {
    /// A new name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<DatabaseName>,
    /// A new owner.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner_name: Option<RoleName>,
}

setters!(UpdateDatabase {
    name: DatabaseName,
    owner_name: RoleName,
});
