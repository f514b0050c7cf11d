//! Responses of calls that change resources. They contain the resource and the operations that are
//! still running.

use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use super::{
    Branch, ConnectionDetails, Database, Endpoint, Operation, Project, Role, nulls, secret,
};

/// Response of creating a project. The password is returned only here; later it can only be
/// revealed or reset.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CreatedProject {
    /// The new project.
    pub project: Project,
    /// Connection details with passwords.
    #[serde(default, deserialize_with = "nulls::as_default")]
    pub connection_uris: Vec<ConnectionDetails>,
    /// Roles of the project. At least one includes its password.
    #[serde(default, deserialize_with = "nulls::as_default")]
    pub roles: Vec<Role>,
    /// Databases of the project.
    #[serde(default, deserialize_with = "nulls::as_default")]
    pub databases: Vec<Database>,
    /// Operations that must finish before the project accepts connections.
    #[serde(default, deserialize_with = "nulls::as_default")]
    pub operations: Vec<Operation>,
    /// First branch of the project.
    pub branch: Branch,
    /// Computes of the project.
    #[serde(default, deserialize_with = "nulls::as_default")]
    pub endpoints: Vec<Endpoint>,
}

/// Response of updating a project.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UpdatedProject {
    /// The project after the change.
    pub project: Project,
    /// Operations that are still running.
    #[serde(default, deserialize_with = "nulls::as_default")]
    pub operations: Vec<Operation>,
}

/// Response of recovering a project.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RecoveredProject {
    /// The project after the change.
    pub project: Project,
    /// Branches of the project.
    #[serde(default, deserialize_with = "nulls::as_default")]
    pub branches: Vec<Branch>,
}

/// Response of creating, updating, starting, suspending, restarting or deleting a compute.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EndpointOperations {
    /// The compute after the change, or before its deletion.
    pub endpoint: Endpoint,
    /// Operations that are still running.
    #[serde(default, deserialize_with = "nulls::as_default")]
    pub operations: Vec<Operation>,
}

/// Response of creating or deleting a role, or of resetting its password.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RoleOperations {
    /// The role. Includes the password if a new one was set.
    pub role: Role,
    /// Operations that must finish before the change is in effect.
    #[serde(default, deserialize_with = "nulls::as_default")]
    pub operations: Vec<Operation>,
}

/// Response of revealing a role's password.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RevealedPassword {
    /// The password.
    #[serde(serialize_with = "secret::expose")]
    pub password: SecretString,
}

/// Response of creating a branch.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CreatedBranch {
    /// The new branch.
    pub branch: Branch,
    /// Computes created with the branch.
    #[serde(default, deserialize_with = "nulls::as_default")]
    pub endpoints: Vec<Endpoint>,
    /// Operations that must finish before the branch can be used.
    #[serde(default, deserialize_with = "nulls::as_default")]
    pub operations: Vec<Operation>,
    /// Roles copied from the parent branch.
    #[serde(default, deserialize_with = "nulls::as_default")]
    pub roles: Vec<Role>,
    /// Databases copied from the parent branch.
    #[serde(default, deserialize_with = "nulls::as_default")]
    pub databases: Vec<Database>,
    /// Connection details with passwords, if the branch has a compute.
    #[serde(
        default,
        deserialize_with = "nulls::as_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub connection_uris: Vec<ConnectionDetails>,
}

/// Response of updating, restoring or deleting a branch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BranchOperations {
    /// The branch after the change, or before its deletion.
    pub branch: Branch,
    /// Operations that are still running.
    #[serde(default, deserialize_with = "nulls::as_default")]
    pub operations: Vec<Operation>,
}

/// Response of creating, updating or deleting a database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseOperations {
    /// The database after the change, or before its deletion.
    pub database: Database,
    /// Operations that are still running.
    #[serde(default, deserialize_with = "nulls::as_default")]
    pub operations: Vec<Operation>,
}
