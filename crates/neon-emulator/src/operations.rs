//! The operations of the Neon API that the emulator implements.

use http::Method;

/// The name under which calls of unimplemented operations are counted.
pub(crate) const UNKNOWN: &str = "unknown";

/// The path prefix of the API.
pub(crate) const PREFIX: &str = "/api/v2";

/// The implemented operations: method, path below the base URL, and operation ID, as in Neon's
/// OpenAPI document.
pub const OPERATIONS: &[(Method, &str, &str)] = &[
    (Method::GET, "/projects", "listProjects"),
    (Method::POST, "/projects", "createProject"),
    (Method::GET, "/projects/shared", "listSharedProjects"),
    (Method::GET, "/projects/{project_id}", "getProject"),
    (Method::PATCH, "/projects/{project_id}", "updateProject"),
    (Method::DELETE, "/projects/{project_id}", "deleteProject"),
    (
        Method::POST,
        "/projects/{project_id}/recover",
        "recoverProject",
    ),
    (
        Method::GET,
        "/projects/{project_id}/operations",
        "listProjectOperations",
    ),
    (
        Method::GET,
        "/projects/{project_id}/operations/{operation_id}",
        "getProjectOperation",
    ),
    (
        Method::GET,
        "/projects/{project_id}/connection_uri",
        "getConnectionURI",
    ),
    (
        Method::GET,
        "/projects/{project_id}/endpoints",
        "listProjectEndpoints",
    ),
    (
        Method::POST,
        "/projects/{project_id}/endpoints",
        "createProjectEndpoint",
    ),
    (
        Method::GET,
        "/projects/{project_id}/endpoints/{endpoint_id}",
        "getProjectEndpoint",
    ),
    (
        Method::PATCH,
        "/projects/{project_id}/endpoints/{endpoint_id}",
        "updateProjectEndpoint",
    ),
    (
        Method::DELETE,
        "/projects/{project_id}/endpoints/{endpoint_id}",
        "deleteProjectEndpoint",
    ),
    (
        Method::POST,
        "/projects/{project_id}/endpoints/{endpoint_id}/start",
        "startProjectEndpoint",
    ),
    (
        Method::POST,
        "/projects/{project_id}/endpoints/{endpoint_id}/suspend",
        "suspendProjectEndpoint",
    ),
    (
        Method::POST,
        "/projects/{project_id}/endpoints/{endpoint_id}/restart",
        "restartProjectEndpoint",
    ),
    (
        Method::GET,
        "/projects/{project_id}/branches",
        "listProjectBranches",
    ),
    (
        Method::POST,
        "/projects/{project_id}/branches",
        "createProjectBranch",
    ),
    (
        Method::GET,
        "/projects/{project_id}/branches/count",
        "countProjectBranches",
    ),
    (
        Method::GET,
        "/projects/{project_id}/branches/{branch_id}",
        "getProjectBranch",
    ),
    (
        Method::PATCH,
        "/projects/{project_id}/branches/{branch_id}",
        "updateProjectBranch",
    ),
    (
        Method::DELETE,
        "/projects/{project_id}/branches/{branch_id}",
        "deleteProjectBranch",
    ),
    (
        Method::POST,
        "/projects/{project_id}/branches/{branch_id}/restore",
        "restoreProjectBranch",
    ),
    (
        Method::POST,
        "/projects/{project_id}/branches/{branch_id}/recover",
        "recoverProjectBranch",
    ),
    (
        Method::POST,
        "/projects/{project_id}/branches/{branch_id}/set_as_default",
        "setDefaultProjectBranch",
    ),
    (
        Method::GET,
        "/projects/{project_id}/branches/{branch_id}/endpoints",
        "listProjectBranchEndpoints",
    ),
    (
        Method::GET,
        "/projects/{project_id}/branches/{branch_id}/databases",
        "listProjectBranchDatabases",
    ),
    (
        Method::POST,
        "/projects/{project_id}/branches/{branch_id}/databases",
        "createProjectBranchDatabase",
    ),
    (
        Method::GET,
        "/projects/{project_id}/branches/{branch_id}/databases/{database_name}",
        "getProjectBranchDatabase",
    ),
    (
        Method::PATCH,
        "/projects/{project_id}/branches/{branch_id}/databases/{database_name}",
        "updateProjectBranchDatabase",
    ),
    (
        Method::DELETE,
        "/projects/{project_id}/branches/{branch_id}/databases/{database_name}",
        "deleteProjectBranchDatabase",
    ),
    (
        Method::GET,
        "/projects/{project_id}/branches/{branch_id}/roles",
        "listProjectBranchRoles",
    ),
    (
        Method::POST,
        "/projects/{project_id}/branches/{branch_id}/roles",
        "createProjectBranchRole",
    ),
    (
        Method::GET,
        "/projects/{project_id}/branches/{branch_id}/roles/{role_name}",
        "getProjectBranchRole",
    ),
    (
        Method::DELETE,
        "/projects/{project_id}/branches/{branch_id}/roles/{role_name}",
        "deleteProjectBranchRole",
    ),
    (
        Method::POST,
        "/projects/{project_id}/branches/{branch_id}/roles/{role_name}/reset_password",
        "resetProjectBranchRolePassword",
    ),
    (
        Method::GET,
        "/projects/{project_id}/branches/{branch_id}/roles/{role_name}/reveal_password",
        "getProjectBranchRolePassword",
    ),
    (
        Method::POST,
        "/projects/{project_id}/branches/{branch_id}/snapshot",
        "createSnapshot",
    ),
    (
        Method::POST,
        "/projects/{project_id}/branches/{branch_id}/finalize_restore",
        "finalizeRestoreBranch",
    ),
    (
        Method::GET,
        "/projects/{project_id}/snapshots",
        "listSnapshots",
    ),
    (
        Method::PATCH,
        "/projects/{project_id}/snapshots/{snapshot_id}",
        "updateSnapshot",
    ),
    (
        Method::DELETE,
        "/projects/{project_id}/snapshots/{snapshot_id}",
        "deleteSnapshot",
    ),
    (
        Method::POST,
        "/projects/{project_id}/snapshots/{snapshot_id}/restore",
        "restoreSnapshot",
    ),
    (
        Method::GET,
        "/consumption_history/v2/projects",
        "getConsumptionHistoryPerProjectV2",
    ),
    (
        Method::GET,
        "/consumption_history/v2/branches",
        "getConsumptionHistoryPerBranchV2",
    ),
    (Method::GET, "/regions", "getActiveRegions"),
    (Method::GET, "/users/me", "getCurrentUserInfo"),
    (
        Method::GET,
        "/users/me/organizations",
        "getCurrentUserOrganizations",
    ),
    (Method::GET, "/organizations/{org_id}", "getOrganization"),
    (Method::GET, "/auth", "getAuthDetails"),
];

/// The operation ID of a call.
pub(crate) fn name(method: &Method, path: &str) -> &'static str {
    let path = path.strip_prefix(PREFIX).unwrap_or(path);
    OPERATIONS
        .iter()
        .find(|(known, of, _)| known == method && *of == path)
        .map_or(UNKNOWN, |(_, _, name)| name)
}
