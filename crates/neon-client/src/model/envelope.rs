//! The objects that single answers, lists and requests stand in.

use serde::{Deserialize, Serialize};

use super::{Branch, Database, Endpoint, Operation, Project, Role, nulls};

/// `{"project": ...}`: the answer about one project, and the body of the requests that make or change one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProjectEnvelope<T = Project> {
    /// What is inside.
    pub project: T,
}

/// `{"endpoint": ...}`: the answer about one compute, and the body of the request that changes one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EndpointEnvelope<T = Endpoint> {
    /// What is inside.
    pub endpoint: T,
}

/// `{"operation": ...}`: the answer about one operation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperationEnvelope {
    /// What is inside.
    pub operation: Operation,
}

/// `{"branch": ...}`: the answer about one branch, and the body of the request that changes one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BranchEnvelope<T = Branch> {
    /// What is inside.
    pub branch: T,
}

/// `{"database": ...}`: the answer about one database, and the body of the requests that make or change one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseEnvelope<T = Database> {
    /// What is inside.
    pub database: T,
}

/// `{"role": ...}`: the answer about one role, and the body of the request that makes one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoleEnvelope<T = Role> {
    /// What is inside.
    pub role: T,
}

/// The computes of a project, or of a branch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EndpointList {
    /// All of them.
    #[serde(deserialize_with = "nulls::as_default")]
    pub endpoints: Vec<Endpoint>,
}

/// The databases of a branch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseList {
    /// All of them.
    #[serde(deserialize_with = "nulls::as_default")]
    pub databases: Vec<Database>,
}

/// The roles of a branch.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RoleList {
    /// All of them, without passwords.
    #[serde(deserialize_with = "nulls::as_default")]
    pub roles: Vec<Role>,
}
