//! The operations of the API that this client knows: the one list that metrics, quotas, documentation and the emulator share.

use std::fmt;

use http::Method;

macro_rules! routes {
    ($($(#[$meta:meta])* $variant:ident = $name:literal, $method:ident $template:literal;)+) => {
        /// One operation of the API.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Route {
            $($(#[$meta])* $variant,)+
        }

        impl Route {
            /// Every operation.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// Its name in metrics and logs: `create_project`.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }

            /// Its HTTP method.
            pub const fn method(self) -> Method {
                match self {
                    $(Self::$variant => Method::$method,)+
                }
            }

            /// Its path below the base URL, with each parameter in braces: `/projects/{project_id}`.
            pub const fn template(self) -> &'static str {
                match self {
                    $(Self::$variant => $template,)+
                }
            }
        }
    };
}

routes! {
    /// Make a project. It cannot be repeated: names are not unique.
    CreateProject = "create_project", POST "/projects";
    /// One page of projects.
    ListProjects = "list_projects", GET "/projects";
    /// One project.
    GetProject = "get_project", GET "/projects/{project_id}";
    /// Change a project's name or settings.
    UpdateProject = "update_project", PATCH "/projects/{project_id}";
    /// Delete a project. It can be recovered for some days.
    DeleteProject = "delete_project", DELETE "/projects/{project_id}";
    /// Bring a deleted project back.
    RecoverProject = "recover_project", POST "/projects/{project_id}/recover";
    /// A connection URI for a role and a database.
    GetConnectionUri = "get_connection_uri", GET "/projects/{project_id}/connection_uri";
    /// One page of a project's operations.
    ListOperations = "list_operations", GET "/projects/{project_id}/operations";
    /// One operation.
    GetOperation = "get_operation", GET "/projects/{project_id}/operations/{operation_id}";
    /// A project's computes.
    ListEndpoints = "list_endpoints", GET "/projects/{project_id}/endpoints";
    /// One compute.
    GetEndpoint = "get_endpoint", GET "/projects/{project_id}/endpoints/{endpoint_id}";
    /// Change a compute.
    UpdateEndpoint = "update_endpoint", PATCH "/projects/{project_id}/endpoints/{endpoint_id}";
    /// Make a compute.
    CreateEndpoint = "create_endpoint", POST "/projects/{project_id}/endpoints";
    /// Remove a compute.
    DeleteEndpoint = "delete_endpoint", DELETE "/projects/{project_id}/endpoints/{endpoint_id}";
    /// Start a compute.
    StartEndpoint = "start_endpoint", POST "/projects/{project_id}/endpoints/{endpoint_id}/start";
    /// Suspend a compute.
    SuspendEndpoint = "suspend_endpoint", POST "/projects/{project_id}/endpoints/{endpoint_id}/suspend";
    /// Suspend a compute and start it again.
    RestartEndpoint = "restart_endpoint", POST "/projects/{project_id}/endpoints/{endpoint_id}/restart";
    /// Make a branch. It cannot be repeated: the second has another name.
    CreateBranch = "create_branch", POST "/projects/{project_id}/branches";
    /// One page of a project's branches.
    ListBranches = "list_branches", GET "/projects/{project_id}/branches";
    /// One branch.
    GetBranch = "get_branch", GET "/projects/{project_id}/branches/{branch_id}";
    /// Change a branch's name, protection or end.
    UpdateBranch = "update_branch", PATCH "/projects/{project_id}/branches/{branch_id}";
    /// Remove a branch.
    DeleteBranch = "delete_branch", DELETE "/projects/{project_id}/branches/{branch_id}";
    /// Set a branch to the state of another, or to one of its own past.
    RestoreBranch = "restore_branch", POST "/projects/{project_id}/branches/{branch_id}/restore";
    /// Make a branch the one that calls without a branch mean.
    SetDefaultBranch = "set_default_branch", POST "/projects/{project_id}/branches/{branch_id}/set_as_default";
    /// A branch's computes.
    ListBranchEndpoints = "list_branch_endpoints", GET "/projects/{project_id}/branches/{branch_id}/endpoints";
    /// Make a database.
    CreateDatabase = "create_database", POST "/projects/{project_id}/branches/{branch_id}/databases";
    /// A branch's databases.
    ListDatabases = "list_databases", GET "/projects/{project_id}/branches/{branch_id}/databases";
    /// One database.
    GetDatabase = "get_database", GET "/projects/{project_id}/branches/{branch_id}/databases/{database_name}";
    /// Change a database's name or owner.
    UpdateDatabase = "update_database", PATCH "/projects/{project_id}/branches/{branch_id}/databases/{database_name}";
    /// Remove a database.
    DeleteDatabase = "delete_database", DELETE "/projects/{project_id}/branches/{branch_id}/databases/{database_name}";
    /// Make a role. It cannot be repeated: the second is refused, and the first's password stays unknown.
    CreateRole = "create_role", POST "/projects/{project_id}/branches/{branch_id}/roles";
    /// A branch's roles.
    ListRoles = "list_roles", GET "/projects/{project_id}/branches/{branch_id}/roles";
    /// One role.
    GetRole = "get_role", GET "/projects/{project_id}/branches/{branch_id}/roles/{role_name}";
    /// Remove a role.
    DeleteRole = "delete_role", DELETE "/projects/{project_id}/branches/{branch_id}/roles/{role_name}";
    /// Give a role a new password. It cannot be repeated: each answer has another password.
    ResetRolePassword = "reset_role_password", POST "/projects/{project_id}/branches/{branch_id}/roles/{role_name}/reset_password";
    /// A role's password, where the platform keeps it.
    RevealRolePassword = "reveal_role_password", GET "/projects/{project_id}/branches/{branch_id}/roles/{role_name}/reveal_password";
    /// One page of what projects used up.
    ListProjectConsumption = "list_project_consumption", GET "/consumption_history/v2/projects";
    /// One page of what branches used up.
    ListBranchConsumption = "list_branch_consumption", GET "/consumption_history/v2/branches";
    /// Where projects can be.
    ListRegions = "list_regions", GET "/regions";
    /// Who holds the key.
    GetCurrentUser = "get_current_user", GET "/users/me";
    /// The organizations of who holds the key.
    ListOrganizations = "list_organizations", GET "/users/me/organizations";
    /// One organization.
    GetOrganization = "get_organization", GET "/organizations/{org_id}";
}

/// Requests a minute that the API grants an account for its consumption, whatever else it may do.
const CONSUMPTION_PER_MINUTE: u32 = 30;

impl Route {
    /// Whether doing it twice ends as doing it once. Changes name the values to be reached, so they are among these; a deletion
    /// done twice answers the second time that there is nothing. What only starts or stops something is not among these either: sent
    /// again late, it would undo what was done since.
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
                | Self::SetDefaultBranch
                | Self::CreateDatabase
                | Self::CreateRole
                | Self::ResetRolePassword
        )
    }

    /// A limit of its own, in requests a minute, where the API has one that is less than the account's.
    pub(crate) const fn per_minute_max(self) -> Option<u32> {
        match self {
            Self::ListProjectConsumption | Self::ListBranchConsumption => {
                Some(CONSUMPTION_PER_MINUTE)
            }
            _ => None,
        }
    }

    /// Its place in [`Route::ALL`].
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
    fn every_route_stands_at_its_own_index() {
        for (index, route) in Route::ALL.iter().enumerate() {
            assert_eq!(route.index(), index);
        }
    }

    /// Where the calls are.
    const SOURCES: [&str; 8] = [
        include_str!("account.rs"),
        include_str!("branches.rs"),
        include_str!("consumption.rs"),
        include_str!("databases.rs"),
        include_str!("endpoints.rs"),
        include_str!("operations.rs"),
        include_str!("projects.rs"),
        include_str!("roles.rs"),
    ];

    #[test]
    fn every_route_stands_in_the_documentation_of_its_call() {
        for route in Route::ALL {
            let told = format!("`{} {}`", route.method(), route.template());
            assert!(
                SOURCES.iter().any(|source| source.contains(&told)),
                "{route}: {told} is not documented"
            );
        }
    }

    #[test]
    fn exactly_the_posts_are_not_idempotent() {
        for route in Route::ALL {
            assert_eq!(
                route.is_idempotent(),
                route.method() != Method::POST,
                "{route}"
            );
        }
    }
}
