//! Envelopes around single objects and lists.

use serde::{Deserialize, Serialize};

use super::{Branch, Database, Endpoint, Operation, Project, Role, nulls};

/// `{"project": ...}`: wraps one project in responses and in requests that create or update one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProjectEnvelope<T = Project> {
    /// The enclosed object.
    pub project: T,
}

/// `{"endpoint": ...}`: wraps one compute in responses and in requests that create or update one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EndpointEnvelope<T = Endpoint> {
    /// The enclosed object.
    pub endpoint: T,
}

/// `{"operation": ...}`: wraps one operation in responses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperationEnvelope {
    /// The enclosed object.
    pub operation: Operation,
}

/// `{"branch": ...}`: wraps one branch in responses and in requests that update one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BranchEnvelope<T = Branch> {
    /// The enclosed object.
    pub branch: T,
}

/// `{"database": ...}`: wraps one database in responses and in requests that create or update one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseEnvelope<T = Database> {
    /// The enclosed object.
    pub database: T,
}

/// `{"role": ...}`: wraps one role in responses and in requests that create one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoleEnvelope<T = Role> {
    /// The enclosed object.
    pub role: T,
}

/// Computes of a project or branch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EndpointList {
    /// The list.
    #[serde(deserialize_with = "nulls::as_default")]
    pub endpoints: Vec<Endpoint>,
}

/// Databases of a branch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseList {
    /// The list.
    #[serde(deserialize_with = "nulls::as_default")]
    pub databases: Vec<Database>,
}

/// Roles of a branch.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RoleList {
    /// The list. It contains no passwords.
    #[serde(deserialize_with = "nulls::as_default")]
    pub roles: Vec<Role>,
}
