//! The objects that answers and requests stand in.

use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{
    Branch, ConnectionDetails, Database, Endpoint, Operation, Project, Role, nulls, secret,
};
use crate::ids::ProjectId;

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

/// The answer to a change of a compute.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UpdatedEndpoint {
    /// The compute as it is now.
    pub endpoint: Endpoint,
    /// Work that is still to be done.
    #[serde(default, deserialize_with = "nulls::as_default")]
    pub operations: Vec<Operation>,
}

/// The answer to a reset of a role's password.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ResetPassword {
    /// The role, with its new password.
    pub role: Role,
    /// Work that is still to be done before the new password holds.
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

/// The computes of a project.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EndpointList {
    /// All of them.
    #[serde(deserialize_with = "nulls::as_default")]
    pub endpoints: Vec<Endpoint>,
}

/// Where the next page begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pagination {
    /// To be given back as it is.
    pub cursor: String,
}

/// One page of projects. The API may name a cursor on the last page too: the list ends with a page that is empty or names none.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ProjectPage {
    /// The projects.
    #[serde(deserialize_with = "nulls::as_default")]
    pub projects: Vec<Project>,
    /// Projects that exist, but whose details could not be had in time. They are not gone.
    #[serde(
        default,
        deserialize_with = "nulls::as_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub unavailable_project_ids: Vec<ProjectId>,
    /// Where the next page begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pagination: Option<Pagination>,
    /// Applications of the projects, by project. The client has no use for it and does not read it; a server must write it.
    #[serde(skip_deserializing, skip_serializing_if = "Option::is_none")]
    pub applications: Option<Map<String, Value>>,
    /// Integrations of the projects, by project. The client has no use for it and does not read it; a server must write it.
    #[serde(skip_deserializing, skip_serializing_if = "Option::is_none")]
    pub integrations: Option<Map<String, Value>>,
}

/// One page of operations, newest first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperationPage {
    /// The operations.
    #[serde(deserialize_with = "nulls::as_default")]
    pub operations: Vec<Operation>,
    /// Where the next page begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pagination: Option<Pagination>,
}
