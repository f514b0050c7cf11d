//! Pages of lists.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Branch, Operation, Project, nulls};
use crate::ids::ProjectId;

/// Where the next page begins: the first of the two styles of the API, with a cursor that is opaque.
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

/// Where the next page begins: the second of the two styles of the API, which is sent with the order that it belongs to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CursorPagination {
    /// To be given back as it is; absent or empty after the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// What the list is sorted by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sort_by: Option<String>,
    /// `asc` or `desc`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sort_order: Option<String>,
}

/// One page of branches.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct BranchPage {
    /// The branches.
    #[serde(deserialize_with = "nulls::as_default")]
    pub branches: Vec<Branch>,
    /// Notes on them, by branch. The client has no use for them and does not read them; a server must write them.
    #[serde(skip_deserializing, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<Map<String, Value>>,
    /// Where the next page begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pagination: Option<CursorPagination>,
}
