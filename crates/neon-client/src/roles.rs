//! Calls for the roles of a branch.

use crate::{
    Call, Neon, Route,
    call::{decode, decode_optional},
    ids::{BranchId, ProjectId, RoleName},
    model::{CreateRole, RevealedPassword, Role, RoleEnvelope, RoleList, RoleOperations},
};

impl Neon {
    /// Returns the calls for the roles of a branch.
    pub fn roles(&self, project: &ProjectId, branch: &BranchId) -> Roles {
        Roles::new(self.clone(), project.clone(), branch.clone())
    }
}

/// Calls for the roles of a branch. See [`Neon::roles`].
#[derive(Debug, Clone)]
pub struct Roles {
    neon: Neon,
    project: ProjectId,
    branch: BranchId,
}

impl Roles {
    pub(crate) fn new(neon: Neon, project: ProjectId, branch: BranchId) -> Self {
        Self {
            neon,
            project,
            branch,
        }
    }

    fn parameters<'a>(&'a self, role: &'a RoleName) -> [&'a str; 3] {
        [self.project.as_str(), self.branch.as_str(), role.as_str()]
    }

    /// Creates a role and returns its password:
    /// `POST /projects/{project_id}/branches/{branch_id}/roles`. Not retried if the outcome of the
    /// request is unknown.
    pub fn create(&self, role: CreateRole) -> Call<RoleOperations> {
        let parameters = [self.project.as_str(), self.branch.as_str()];
        let body = RoleEnvelope { role };
        let request = self
            .neon
            .request_with(Route::CreateRole, &parameters, &body);
        Call::new(self.neon.clone(), request, decode)
    }

    /// Lists the roles: `GET /projects/{project_id}/branches/{branch_id}/roles`.
    pub fn list(&self) -> Call<Vec<Role>> {
        let parameters = [self.project.as_str(), self.branch.as_str()];
        let request = self.neon.request(Route::ListRoles, &parameters);
        Call::new(self.neon.clone(), request, |body| {
            decode::<RoleList>(body).map(|list| list.roles)
        })
    }

    /// Returns one role: `GET /projects/{project_id}/branches/{branch_id}/roles/{role_name}`.
    pub fn get(&self, role: &RoleName) -> Call<Role> {
        let request = self.neon.request(Route::GetRole, &self.parameters(role));
        Call::new(self.neon.clone(), request, |body| {
            decode::<RoleEnvelope>(body).map(|envelope| envelope.role)
        })
    }

    /// Deletes a role: `DELETE /projects/{project_id}/branches/{branch_id}/roles/{role_name}`.
    /// Returns `None` if the role did not exist. A role that owns a database cannot be deleted.
    pub fn delete(&self, role: &RoleName) -> Call<Option<RoleOperations>> {
        let request = self.neon.request(Route::DeleteRole, &self.parameters(role));
        Call::new(self.neon.clone(), request, decode_optional)
    }

    /// Resets the password of a role:
    /// `POST /projects/{project_id}/branches/{branch_id}/roles/{role_name}/reset_password`. Not
    /// retried if the outcome of the request is unknown, because a delayed reset would invalidate
    /// the password of a later one.
    pub fn reset_password(&self, role: &RoleName) -> Call<RoleOperations> {
        let request = self
            .neon
            .request(Route::ResetRolePassword, &self.parameters(role));
        Call::new(self.neon.clone(), request, decode)
    }

    /// Returns the password of a role:
    /// `GET /projects/{project_id}/branches/{branch_id}/roles/{role_name}/reveal_password`. Fails
    /// with [`PreconditionFailed`](crate::ErrorKind::PreconditionFailed) if the project does not
    /// store passwords.
    pub fn reveal_password(&self, role: &RoleName) -> Call<RevealedPassword> {
        let request = self
            .neon
            .request(Route::RevealRolePassword, &self.parameters(role));
        Call::new(self.neon.clone(), request, decode)
    }
}
