//! The API operations that the client supports. Metrics, quotas, documentation and the emulator
//! share this list.

use std::fmt;

use http::Method;

macro_rules! routes {
    ($($(#[$meta:meta])* $variant:ident = $name:literal, $method:ident $template:literal;)+) => {
        /// An API operation.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Route {
            $($(#[$meta])* $variant,)+
        }

        impl Route {
            /// All operations, in declaration order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// Name in metrics and logs, such as `create_project`.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }

            /// HTTP method of the operation.
            pub const fn method(self) -> Method {
                match self {
                    $(Self::$variant => Method::$method,)+
                }
            }

            /// Path below the base URL, with parameters in braces, such as
            /// `/projects/{project_id}`.
            pub const fn template(self) -> &'static str {
                match self {
                    $(Self::$variant => $template,)+
                }
            }
        }
    };
}

routes! {
    /// Creates a project. Not idempotent, because names are not unique.
    CreateProject = "create_project", POST "/projects";
    /// Lists projects, one page at a time.
    ListProjects = "list_projects", GET "/projects";
    /// Returns one project.
    GetProject = "get_project", GET "/projects/{project_id}";
    /// Updates the name or the settings of a project.
    UpdateProject = "update_project", PATCH "/projects/{project_id}";
    /// Deletes a project. It can be recovered for some days.
    DeleteProject = "delete_project", DELETE "/projects/{project_id}";
    /// Recovers a deleted project.
    RecoverProject = "recover_project", POST "/projects/{project_id}/recover";
    /// Returns a connection URI for a role and a database.
    GetConnectionUri = "get_connection_uri", GET "/projects/{project_id}/connection_uri";
    /// Lists the operations of a project, one page at a time.
    ListOperations = "list_operations", GET "/projects/{project_id}/operations";
    /// Returns one operation.
    GetOperation = "get_operation", GET "/projects/{project_id}/operations/{operation_id}";
    /// Lists the computes of a project.
    ListEndpoints = "list_endpoints", GET "/projects/{project_id}/endpoints";
    /// Returns one compute.
    GetEndpoint = "get_endpoint", GET "/projects/{project_id}/endpoints/{endpoint_id}";
    /// Updates a compute.
    UpdateEndpoint = "update_endpoint", PATCH "/projects/{project_id}/endpoints/{endpoint_id}";
    /// Creates a compute.
    CreateEndpoint = "create_endpoint", POST "/projects/{project_id}/endpoints";
    /// Deletes a compute.
    DeleteEndpoint = "delete_endpoint", DELETE "/projects/{project_id}/endpoints/{endpoint_id}";
    /// Starts a compute.
    StartEndpoint = "start_endpoint", POST "/projects/{project_id}/endpoints/{endpoint_id}/start";
    /// Suspends a compute.
    SuspendEndpoint = "suspend_endpoint", POST "/projects/{project_id}/endpoints/{endpoint_id}/suspend";
    /// Restarts a compute.
    RestartEndpoint = "restart_endpoint", POST "/projects/{project_id}/endpoints/{endpoint_id}/restart";
    /// Creates a branch. Not idempotent, because Neon generates another name for a second one.
    CreateBranch = "create_branch", POST "/projects/{project_id}/branches";
    /// Lists the branches of a project, one page at a time.
    ListBranches = "list_branches", GET "/projects/{project_id}/branches";
    /// Returns one branch.
    GetBranch = "get_branch", GET "/projects/{project_id}/branches/{branch_id}";
    /// Updates the name, the protection or the expiration of a branch.
    UpdateBranch = "update_branch", PATCH "/projects/{project_id}/branches/{branch_id}";
    /// Deletes a branch.
    DeleteBranch = "delete_branch", DELETE "/projects/{project_id}/branches/{branch_id}";
    /// Resets a branch to the state of another branch or to an earlier state of its own.
    RestoreBranch = "restore_branch", POST "/projects/{project_id}/branches/{branch_id}/restore";
    /// Lets a branch that was restored from a snapshot replace the original one.
    FinalizeRestore = "finalize_restore", POST "/projects/{project_id}/branches/{branch_id}/finalize_restore";
    /// Makes a branch the default branch of its project.
    SetDefaultBranch = "set_default_branch", POST "/projects/{project_id}/branches/{branch_id}/set_as_default";
    /// Lists the computes of a branch.
    ListBranchEndpoints = "list_branch_endpoints", GET "/projects/{project_id}/branches/{branch_id}/endpoints";
    /// Creates a snapshot of a branch. Not idempotent, because names are not unique.
    CreateSnapshot = "create_snapshot", POST "/projects/{project_id}/branches/{branch_id}/snapshot";
    /// Lists the snapshots of a project.
    ListSnapshots = "list_snapshots", GET "/projects/{project_id}/snapshots";
    /// Restores a snapshot to a new branch.
    RestoreSnapshot = "restore_snapshot", POST "/projects/{project_id}/snapshots/{snapshot_id}/restore";
    /// Creates a database.
    CreateDatabase = "create_database", POST "/projects/{project_id}/branches/{branch_id}/databases";
    /// Lists the databases of a branch.
    ListDatabases = "list_databases", GET "/projects/{project_id}/branches/{branch_id}/databases";
    /// Returns one database.
    GetDatabase = "get_database", GET "/projects/{project_id}/branches/{branch_id}/databases/{database_name}";
    /// Updates the name or the owner of a database.
    UpdateDatabase = "update_database", PATCH "/projects/{project_id}/branches/{branch_id}/databases/{database_name}";
    /// Deletes a database.
    DeleteDatabase = "delete_database", DELETE "/projects/{project_id}/branches/{branch_id}/databases/{database_name}";
    /// Creates a role. Not idempotent: a second request is rejected, and the password of the first
    /// is lost.
    CreateRole = "create_role", POST "/projects/{project_id}/branches/{branch_id}/roles";
    /// Lists the roles of a branch.
    ListRoles = "list_roles", GET "/projects/{project_id}/branches/{branch_id}/roles";
    /// Returns one role.
    GetRole = "get_role", GET "/projects/{project_id}/branches/{branch_id}/roles/{role_name}";
    /// Deletes a role.
    DeleteRole = "delete_role", DELETE "/projects/{project_id}/branches/{branch_id}/roles/{role_name}";
    /// Resets the password of a role. Not idempotent, because every response has another password.
    ResetRolePassword = "reset_role_password", POST "/projects/{project_id}/branches/{branch_id}/roles/{role_name}/reset_password";
    /// Returns the password of a role if Neon stores it.
    RevealRolePassword = "reveal_role_password", GET "/projects/{project_id}/branches/{branch_id}/roles/{role_name}/reveal_password";
    /// Lists the consumption of projects, one page at a time.
    ListProjectConsumption = "list_project_consumption", GET "/consumption_history/v2/projects";
    /// Lists the consumption of branches, one page at a time.
    ListBranchConsumption = "list_branch_consumption", GET "/consumption_history/v2/branches";
    /// Lists the regions in which projects can be created.
    ListRegions = "list_regions", GET "/regions";
    /// Returns the user or the organization to which the API key belongs.
    GetAuthDetails = "get_auth_details", GET "/auth";
    /// Returns the user to whom the API key belongs.
    GetCurrentUser = "get_current_user", GET "/users/me";
    /// Lists the organizations of the current user.
    ListOrganizations = "list_organizations", GET "/users/me/organizations";
    /// Returns one organization.
    GetOrganization = "get_organization", GET "/organizations/{org_id}";
}

/// Consumption requests per minute that the API allows an account, independent of its other limits.
const CONSUMPTION_PER_MINUTE: u32 = 30;

impl Route {
    /// Whether repeating the operation has the same result. Updates are idempotent because they set
    /// values. Deletions are idempotent because a repeated deletion finds nothing. Starting or
    /// suspending a compute is not idempotent: a delayed repetition would undo later changes.
    pub const fn is_idempotent(self) -> bool {
        !matches!(
            self,
            Self::CreateProject
                | Self::RecoverProject
                | Self::CreateEndpoint
                | Self::StartEndpoint
                | Self::SuspendEndpoint
                | Self::RestartEndpoint
                | Self::CreateBranch
                | Self::RestoreBranch
                | Self::FinalizeRestore
                | Self::SetDefaultBranch
                | Self::CreateSnapshot
                | Self::RestoreSnapshot
                | Self::CreateDatabase
                | Self::CreateRole
                | Self::ResetRolePassword
        )
    }

    /// The operation's own limit in requests per minute, if the API has one.
    pub(crate) const fn max_requests_per_minute(self) -> Option<u32> {
        match self {
            Self::ListProjectConsumption | Self::ListBranchConsumption => {
                Some(CONSUMPTION_PER_MINUTE)
            }
            _ => None,
        }
    }

    /// Index in [`Route::ALL`].
    pub(crate) const fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_index_of_every_route_matches_its_position() {
        for (index, route) in Route::ALL.iter().enumerate() {
            assert_eq!(route.index(), index);
        }
    }

    /// Source files that define the calls.
    const SOURCES: [&str; 9] = [
        include_str!("account.rs"),
        include_str!("branches.rs"),
        include_str!("consumption.rs"),
        include_str!("databases.rs"),
        include_str!("endpoints.rs"),
        include_str!("operations.rs"),
        include_str!("projects.rs"),
        include_str!("roles.rs"),
        include_str!("snapshots.rs"),
    ];

    #[test]
    fn every_route_is_documented_at_its_call() {
        for route in Route::ALL {
            let documented = format!("`{} {}`", route.method(), route.template());
            assert!(
                SOURCES.iter().any(|source| source.contains(&documented)),
                "{route}: {documented} is not documented"
            );
        }
    }

    #[test]
    fn exactly_the_post_routes_are_not_idempotent() {
        for route in Route::ALL {
            assert_eq!(
                route.is_idempotent(),
                route.method() != Method::POST,
                "{route}"
            );
        }
    }
}
