//! Roles and databases of a branch.

use jiff::Timestamp;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use super::secret;
use crate::ids::{BranchId, DatabaseName, RoleName};

/// A PostgreSQL role of a branch.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Role {
    /// The branch it belongs to.
    pub branch_id: BranchId,
    /// Its name.
    pub name: RoleName,
    /// Its password: only in the answers that make a role or reset its password.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        serialize_with = "secret::expose_option"
    )]
    pub password: Option<SecretString>,
    /// Whether it belongs to the platform.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protected: Option<bool>,
    /// How it signs in: `password` or `no_login`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authentication_method: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

/// A PostgreSQL database of a branch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Database {
    /// A number that the platform gave it.
    pub id: i64,
    /// The branch it belongs to.
    pub branch_id: BranchId,
    /// Its name.
    pub name: DatabaseName,
    /// The role that owns it.
    pub owner_name: RoleName,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}
