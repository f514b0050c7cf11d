//! Calls about the roles of a branch.

use crate::{
    Call, Neon, Route,
    call::{read, read_unless_gone},
    ids::{BranchId, ProjectId, RoleName},
    model::{CreateRole, RevealedPassword, Role, RoleEnvelope, RoleList, RoleOperations},
};

/// Calls about the roles of a branch. See [`Neon::roles`].
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

    /// Makes one, with a password in the answer: `POST /projects/{project_id}/branches/{branch_id}/roles`. It is never sent again when
    /// its fate is unknown.
    pub fn create(&self, role: CreateRole) -> Call<RoleOperations> {
        let parameters = [self.project.as_str(), self.branch.as_str()];
        let body = RoleEnvelope { role };
        let request = self
            .neon
            .request_with(Route::CreateRole, &parameters, &body);
        Call::new(self.neon.clone(), request, read)
    }

    /// All of them: `GET /projects/{project_id}/branches/{branch_id}/roles`.
    pub fn list(&self) -> Call<Vec<Role>> {
        let parameters = [self.project.as_str(), self.branch.as_str()];
        let request = self.neon.request(Route::ListRoles, &parameters);
        Call::new(self.neon.clone(), request, |body| {
            read::<RoleList>(body).map(|list| list.roles)
        })
    }

    /// One of them: `GET /projects/{project_id}/branches/{branch_id}/roles/{role_name}`.
    pub fn get(&self, role: &RoleName) -> Call<Role> {
        let request = self.neon.request(Route::GetRole, &self.parameters(role));
        Call::new(self.neon.clone(), request, |body| {
            read::<RoleEnvelope>(body).map(|envelope| envelope.role)
        })
    }

    /// Removes one: `DELETE /projects/{project_id}/branches/{branch_id}/roles/{role_name}`. `None` says that it was gone already. A role
    /// that owns a database cannot be removed.
    pub fn delete(&self, role: &RoleName) -> Call<Option<RoleOperations>> {
        let request = self.neon.request(Route::DeleteRole, &self.parameters(role));
        Call::new(self.neon.clone(), request, read_unless_gone)
    }

    /// Gives a role a new password: `POST /projects/{project_id}/branches/{branch_id}/roles/{role_name}/reset_password`. It is never
    /// sent again when its fate is unknown: a late one would undo the password of a newer.
    pub fn reset_password(&self, role: &RoleName) -> Call<RoleOperations> {
        let request = self
            .neon
            .request(Route::ResetRolePassword, &self.parameters(role));
        Call::new(self.neon.clone(), request, read)
    }

    /// A role's password: `GET /projects/{project_id}/branches/{branch_id}/roles/{role_name}/reveal_password`.
    /// [`PreconditionFailed`](crate::ErrorKind::PreconditionFailed) where the project does not store passwords.
    pub fn reveal_password(&self, role: &RoleName) -> Call<RevealedPassword> {
        let request = self
            .neon
            .request(Route::RevealRolePassword, &self.parameters(role));
        Call::new(self.neon.clone(), request, read)
    }
}
