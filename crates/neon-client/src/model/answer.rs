//! Answers to changes: what was changed, and the work that is still to be done.

use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use super::{
    Branch, ConnectionDetails, Database, Endpoint, Operation, Project, Role, nulls, secret,
};

/// The answer to a creation. Its password is shown once: nothing but a reveal or a reset brings it back.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CreatedProject {
    /// The project.
    pub project: Project,
    /// Ways in, with passwords.
    #[serde(default, deserialize_with = "nulls::as_default")]
    pub connection_uris: Vec<ConnectionDetails>,
    /// Its roles, one at least with its password.
    #[serde(default, deserialize_with = "nulls::as_default")]
    pub roles: Vec<Role>,
    /// Its databases.
    #[serde(default, deserialize_with = "nulls::as_default")]
    pub databases: Vec<Database>,
    /// Work that is still to be done before it can be connected to.
    #[serde(default, deserialize_with = "nulls::as_default")]
    pub operations: Vec<Operation>,
    /// Its first branch.
    pub branch: Branch,
    /// Its computes.
    #[serde(default, deserialize_with = "nulls::as_default")]
    pub endpoints: Vec<Endpoint>,
}

/// The answer to a change of a project.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UpdatedProject {
    /// The project as it is now.
    pub project: Project,
    /// Work that is still to be done.
    #[serde(default, deserialize_with = "nulls::as_default")]
    pub operations: Vec<Operation>,
}

/// The answer to a recovery.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RecoveredProject {
    /// The project as it is now.
    pub project: Project,
    /// Its branches.
    #[serde(default, deserialize_with = "nulls::as_default")]
    pub branches: Vec<Branch>,
}

/// The answer to what makes, changes, starts, stops or removes a compute.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EndpointOperations {
    /// The compute as it is now, or was.
    pub endpoint: Endpoint,
    /// Work that is still to be done.
    #[serde(default, deserialize_with = "nulls::as_default")]
    pub operations: Vec<Operation>,
}

/// The answer to what makes or removes a role, or resets its password.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RoleOperations {
    /// The role; with its password, where it has a new one.
    pub role: Role,
    /// Work that is still to be done before it holds.
    #[serde(default, deserialize_with = "nulls::as_default")]
    pub operations: Vec<Operation>,
}

/// The answer to a request for a role's password.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RevealedPassword {
    /// The password.
    #[serde(serialize_with = "secret::expose")]
    pub password: SecretString,
}

/// The answer to the creation of a branch.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CreatedBranch {
    /// The branch.
    pub branch: Branch,
    /// The computes that were made with it.
    #[serde(default, deserialize_with = "nulls::as_default")]
    pub endpoints: Vec<Endpoint>,
    /// Work that is still to be done before it can be used.
    #[serde(default, deserialize_with = "nulls::as_default")]
    pub operations: Vec<Operation>,
    /// The roles that it has from its parent.
    #[serde(default, deserialize_with = "nulls::as_default")]
    pub roles: Vec<Role>,
    /// The databases that it has from its parent.
    #[serde(default, deserialize_with = "nulls::as_default")]
    pub databases: Vec<Database>,
    /// Ways in, with passwords, where it has a compute.
    #[serde(
        default,
        deserialize_with = "nulls::as_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub connection_uris: Vec<ConnectionDetails>,
}

/// The answer to what changes, restores or removes a branch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BranchOperations {
    /// The branch as it is now, or was.
    pub branch: Branch,
    /// Work that is still to be done.
    #[serde(default, deserialize_with = "nulls::as_default")]
    pub operations: Vec<Operation>,
}

/// The answer to what makes, changes or removes a database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseOperations {
    /// The database as it is now, or was.
    pub database: Database,
    /// Work that is still to be done.
    #[serde(default, deserialize_with = "nulls::as_default")]
    pub operations: Vec<Operation>,
}
