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
    /// Give a role a new password. It cannot be repeated: each answer has another password.
    ResetRolePassword = "reset_role_password", POST "/projects/{project_id}/branches/{branch_id}/roles/{role_name}/reset_password";
    /// A role's password, where the platform keeps it.
    RevealRolePassword = "reveal_role_password", GET "/projects/{project_id}/branches/{branch_id}/roles/{role_name}/reveal_password";
}

impl Route {
    /// Whether doing it twice ends as doing it once. Changes name the values to be reached, so they are among these; a deletion
    /// done twice answers the second time that there is nothing.
    pub const fn is_idempotent(self) -> bool {
        !matches!(
            self,
            Self::CreateProject | Self::RecoverProject | Self::ResetRolePassword
        )
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
