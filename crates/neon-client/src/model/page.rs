//! Pages of lists.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Branch, Operation, Project, nulls};
use crate::ids::ProjectId;

/// Cursor of the next page, in the first of the API's two pagination styles.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pagination {
    /// Opaque cursor. It is sent back unchanged.
    pub cursor: String,
}

/// One page of projects. The API may return a cursor on the last page too: the list ends with a
/// page that is empty or has no cursor.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ProjectPage {
    /// The projects of the page.
    #[serde(deserialize_with = "nulls::as_default")]
    pub projects: Vec<Project>,
    /// Projects that exist but could not be read in time. They have not been deleted.
    #[serde(
        default,
        deserialize_with = "nulls::as_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub unavailable_project_ids: Vec<ProjectId>,
    /// Cursor of the next page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pagination: Option<Pagination>,
    /// Applications by project. Ignored by the client, but required in a server's response.
    #[serde(skip_deserializing, skip_serializing_if = "Option::is_none")]
    pub applications: Option<Map<String, Value>>,
    /// Integrations by project. Ignored by the client, but required in a server's response.
    #[serde(skip_deserializing, skip_serializing_if = "Option::is_none")]
    pub integrations: Option<Map<String, Value>>,
}

/// One page of operations, newest first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperationPage {
    /// The operations of the page.
    #[serde(deserialize_with = "nulls::as_default")]
    pub operations: Vec<Operation>,
    /// Cursor of the next page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pagination: Option<Pagination>,
}

/// Cursor of the next page, in the second of the API's two pagination styles. It includes the sort
/// order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CursorPagination {
    /// Opaque cursor. It is sent back unchanged. Absent or empty on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// Sort key of the list.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sort_by: Option<String>,
    /// Sort order: `asc` or `desc`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sort_order: Option<String>,
}

/// One page of branches.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct BranchPage {
    /// The branches of the page.
    #[serde(deserialize_with = "nulls::as_default")]
    pub branches: Vec<Branch>,
    /// Annotations by branch. Ignored by the client, but required in a server's response.
    #[serde(skip_deserializing, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<Map<String, Value>>,
    /// Cursor of the next page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pagination: Option<CursorPagination>,
}
