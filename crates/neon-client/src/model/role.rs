//! Roles and databases of a branch.

use jiff::Timestamp;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use super::secret;
use crate::ids::{BranchId, DatabaseName, RoleName};

/// A PostgreSQL role of a branch.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Role {
    /// Branch that it belongs to.
    pub branch_id: BranchId,
    /// Name.
    pub name: RoleName,
    /// Password. Only in responses of creating a role or resetting its password.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        serialize_with = "secret::expose_option"
    )]
    pub password: Option<SecretString>,
    /// Whether the role is managed by Neon.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protected: Option<bool>,
    /// Authentication method: `password` or `no_login`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authentication_method: Option<String>,
    /// Creation time.
    pub created_at: Timestamp,
    /// Time of the last update.
    pub updated_at: Timestamp,
}

/// A PostgreSQL database of a branch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Database {
    /// Unique id.
    pub id: i64,
    /// Branch that it belongs to.
    pub branch_id: BranchId,
    /// Name.
    pub name: DatabaseName,
    /// Role that owns the database.
    pub owner_name: RoleName,
    /// Creation time.
    pub created_at: Timestamp,
    /// Time of the last update.
    pub updated_at: Timestamp,
}
